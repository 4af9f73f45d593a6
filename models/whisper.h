/* What Whisper's files say beside config.json: its special ids (generation_config.json, or the tokenizer's names for them) and
 * how sound becomes features (preprocessor_config.json). */
#ifndef PM_WHISPER_H
#define PM_WHISPER_H

#include "models/model_data.h"
#include "models/timestamps.h"
#include "pumice/audio.h"

typedef struct pm_language {
    char code[16]; /* "en" */
    int32_t id;
} pm_language;

typedef struct pm_whisper {
    pm_timestamps times;    /* first is -1 when the model has none */
    pm_language *languages; /* of a multilingual model, by id */
    size_t n_languages;
    int32_t language;                        /* the id that the files force; -1: none */
    int32_t transcribe, translate, previous; /* ids; -1: none */
    int64_t max_length;                      /* ids of the decoder, 0: its positions */
    pm_mel_options mel;
    int64_t frames; /* of a window */
    pm_arena arena;
} pm_whisper;

/* Errors: PM_ERR_USAGE for a model that is no Whisper, PM_ERR_FILE names the key that does not fit. */
pm_status pm_whisper_open(const pm_model *m, pm_whisper *out) PM_MUST_USE;
void pm_whisper_close(pm_whisper *w);
/* The language's id. PM_ERR_USAGE lists the ones that there are. */
pm_status pm_whisper_language(const pm_whisper *w, const char *code, int32_t *out_id) PM_MUST_USE;
/* What a pass on the sound's first window is made from: in.input_features, and in.decoder_input_ids: all that the decoder was fed with to
 * transcribe it, the prompt first. *out_text is freed with pm_free; NULL without a tokenizer. options may be NULL. */
pm_status pm_sound_first_window(pm_session *s, const pm_sound *sound, const pm_transcribe_options *options,
                                pm_tensors **out_inputs, char **out_text) PM_MUST_USE;
const char *pm_whisper_code(const pm_whisper *w, int32_t id); /* "" for an id that is no language */

#endif
