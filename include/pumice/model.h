/* Pumice, model: open a checkpoint, run it, generate, translate, look inside, verify.
 *
 *     pm_device *d; pm_model *m; pm_session *s;
 *     pm_device_open("auto", NULL, &d);
 *     pm_model_open("path/to/gpt2", &m);
 *     pm_session_open(m, d, &s);                              // uploads the weights
 *     pm_generate_options o = {.max_new = 20};                // greedy
 *     pm_generated out;
 *     if (pm_generate(s, (int32_t[]){5, 9, 2}, 3, &o, &out) == PM_OK) { ... out.ids[0 .. out.n_ids-1] ... }
 *     pm_generated_free(&out); pm_session_close(s); pm_model_close(m); pm_device_close(d);
 *
 * A model is read-only once open. A session is a model on a device: it caches compiled programs. Everything belongs to
 * one thread at a time.
 */
#ifndef PUMICE_MODEL_H
#define PUMICE_MODEL_H

#include "pumice/device.h"
#include "pumice/tensors.h"
#include "pumice/tokenizer.h"
#include "pumice/verify.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_model pm_model;
typedef struct pm_session pm_session;

/* path: a folder in Hugging Face layout, a .gguf file, or the name of a built-in model ("numbers-en-zh"). Errors:
 * PM_ERR_FILE. */
pm_status pm_model_open(const char *path, pm_model **out_model) PM_MUST_USE;

typedef struct pm_model_options {
    const char *
        lora; /* folder of a LoRA adapter as PEFT keeps it, added to the weights as they are read; NULL: none */
} pm_model_options;
/* The same; options NULL: all at their defaults. PM_ERR_FILE, too, when the adapter does not fit the model. */
pm_status pm_model_open_with(const char *path, const pm_model_options *options,
                             pm_model **out_model) PM_MUST_USE;
void pm_model_close(pm_model *m); /* accepts NULL */

typedef struct pm_model_info {
    const char *name;       /* the path or built-in name as given */
    const char *model_type; /* config.json's: "gpt2", "llama", "bert", "transformer" */
    const char *
        task; /* "generate", "translate", "transcribe", "features", "fill", "classify", "tag", "see", "match" */
    bool encoder_decoder, decoder, has_tokenizer;
    int64_t vocab_size, max_positions, n_layers, n_heads, width; /* of an encoder-decoder's decoder */
    int64_t source_vocab_size; /* of in.input_ids: an encoder-decoder's encoder; else vocab_size */
    int64_t n_labels;          /* classes of a classifier; else 0 */
    uint64_t n_parameters, weight_bytes;
    int32_t bos_id, eos_id, pad_id, decoder_start_id; /* -1 when the model has none */
} pm_model_info;
void pm_model_get_info(const pm_model *m, pm_model_info *out_info);
const char *pm_model_label(const pm_model *m, int64_t i); /* name of class i; NULL when there is none */
const char *pm_model_builtin_name(size_t i);              /* i-th built-in model, NULL past the last */

/* ---- text and ids ---- */

/* The model's tokenizer, for texts that go in (side 0) and come out (side 1); NULL when it has none, or is built in. */
const pm_tokenizer *pm_model_tokenizer(const pm_model *m, int side);
/* Ids of a text, with the special tokens the model wants. *out_ids is freed with pm_release.
 * Errors: PM_ERR_USAGE when the model has no tokenizer that is supported, or a word is unknown (named). */
pm_status pm_model_encode(const pm_model *m, const char *text, int32_t **out_ids, size_t *out_n) PM_MUST_USE;
/* Text of ids (special tokens left out); target side for encoder-decoders. Freed with pm_release. */
pm_status pm_model_decode(const pm_model *m, const int32_t *ids, size_t n, char **out_text) PM_MUST_USE;
/* Text of one id for an axis label: source (side 0) or target (side 1). The id's number when there is no tokenizer. */
pm_status pm_model_token_label(const pm_model *m, int side, int32_t id, char **out_text) PM_MUST_USE;
/* The token of a language, as "fr" of M2M-100 and NLLB ("fra_Latn"), or ">>fra<<" of Marian. Errors: PM_ERR_USAGE. */
pm_status pm_model_language(const pm_model *m, const char *code, int32_t *out_id) PM_MUST_USE;
void pm_release(void *p);

/* ---- sessions ---- */
pm_status pm_session_open(const pm_model *m, pm_device *d, pm_session **out_session) PM_MUST_USE;
void pm_session_close(pm_session *s); /* accepts NULL */
/* The id that an encoder-decoder's decoder begins with, over config.json's. PM_ERR_USAGE: out of the vocabulary. */
pm_status pm_session_set_decoder_start(pm_session *s, int32_t id) PM_MUST_USE;

/* One forward pass on named tensors ("in.input_ids", "in.attention_mask", "in.token_type_ids", "in.decoder_input_ids"; others
 * ignored; a model with segment memory also takes "in.segment.0", "in.segment.1", ..., which it runs in turn, and numbers their
 * outputs, "out.log_probs.1"). want: comma-separated outputs, "" for all the model has, "final" for the last ones alone, or prefixes as
 * "logits,attentions". *out_set gets "out.logits", "out.hidden_states.0", ... freed with pm_tensors_free. */
pm_status pm_session_run(pm_session *s, const pm_tensors *inputs, const char *want,
                         pm_tensors **out_set) PM_MUST_USE;

/* The inputs of a forward pass on ids: in.input_ids and, for encoder-decoders, in.decoder_input_ids, which are what the
 * greedy output of these ids feeds the decoder with. Freed with pm_tensors_free. */
pm_status pm_session_inputs(pm_session *s, const int32_t *ids, size_t n, pm_tensors **out_inputs) PM_MUST_USE;

/* ---- generation ----
 * The model's own rules hold (generation_config.json, or config.json where that is missing): forced_bos_token_id,
 * forced_eos_token_id, suppress_tokens, begin_suppress_tokens, bad_words_ids, no_repeat_ngram_size, repetition_penalty, min_length,
 * min_new_tokens, length_penalty, early_stopping; max_length and max_new_tokens where max_new is 0; pm_translate takes num_beams,
 * too. Its sampling settings do not count: sampling is the caller's choice. */
typedef struct pm_generate_options {
    int32_t max_new;    /* most new tokens; 0: up to the model's limit */
    bool sample;        /* false: greedy (or beams) */
    float temperature;  /* 0 means 1 */
    int32_t top_k;      /* 0: off */
    float top_p, min_p; /* 0: off */
    uint64_t seed;      /* the same seed and logits give the same ids on every device */
    int32_t n_beams;    /* 0 or 1: no beam search */
    float
        length_penalty; /* beams: score = sum of log probabilities / length^penalty; see has_length_penalty */
    bool has_length_penalty;  /* false: the model's, else 1.0 */
    int32_t early_stopping;   /* beams: 0 false, 1 true, 2 "never" */
    bool has_early_stopping;  /* false with 0 above: the model's, else 0 */
    bool ignore_rules;        /* the model's rules do not hold */
    float repetition_penalty; /* of ids that came before; 0: the model's */
    int32_t no_repeat_ngram;  /* no run of so many ids comes twice; 0: the model's */
    int32_t min_new;          /* the end of text comes after so many new ids; 0: the model's */
    int32_t forced_bos;       /* the id behind the decoder's first */
    bool has_forced_bos;
    const char *from, *to; /* pm_translate: languages, for models of many; NULL: the model's default */
    bool ignore_eos;
    int32_t
        loop_steps; /* most steps that the device does before the host looks at the ids, 1..64; 0: 32; 1: the host
                           chooses each id, as it does for beams and some rules. The ids are the same */
    const char *const *stops; /* texts that end generation */
    size_t n_stops;
    /* Called as ids come (not with beams), mostly while the device goes on: it must not use the session. false stops. */
    bool (*on_token)(void *user, int32_t id);
    void *user;
    /* Of several prompts: how errors name prompt i: "line 12", with a number each; NULL: "prompt", and 1, 2, ... */
    const char *prompt_name;
    const size_t *prompt_numbers;
} pm_generate_options;

/* Ids of a prompt or a source; nothing is copied or freed. */
typedef struct pm_ids {
    const int32_t *ids;
    size_t n;
} pm_ids;

typedef struct pm_generated {
    int32_t *ids; /* prompt included (decoder-only), or from the decoder's start token (encoder-decoder) */
    size_t n_ids, n_prompt; /* n_prompt: leading ids that were given */
    float score;            /* beams: score of the best */
    uint64_t prompt_ns, decode_ns, first_token_ns;
    size_t
        n_together; /* sequences that ran together, this one among them: times and submissions are those of all */
    uint64_t loop_steps; /* of decode_steps: on the device, without the host */
    const char *no_loop; /* why the host chose every id; NULL: it did not have to */
    uint64_t decode_steps, decode_submits, decode_recordings, decode_host_ns;
    uint64_t n_device_ops, n_fallback_ops; /* dispatches of the decode program on the device / elsewhere */
} pm_generated;
/* ids: the prompt (decoder-only) or the source (encoder-decoder). Errors: PM_ERR_USAGE for ids outside the vocabulary or
 * prompts longer than the model allows. */
pm_status pm_generate(pm_session *s, const int32_t *ids, size_t n, const pm_generate_options *options,
                      pm_generated *out) PM_MUST_USE;
void pm_generated_free(pm_generated *g);

/* n sequences of any lengths at once, at most 256: out[i] is what pm_generate gives for prompts[i] alone with the same options (each
 * samples with the same seed), but faster than one after the other, since each step reads the weights once for all of them. A sequence
 * that ends takes no more part; the others go on. Memory for keys and values is taken for n sequences as long as the longest. Times
 * and submissions are those of the whole batch, decode_steps and loop_steps each sequence's own. Beams, and models with segment
 * memory, go one sequence after the other; where memory is short, so do parts of the batch. on_token is for one sequence alone. On an
 * error there are no results; PM_ERR_USAGE says which prompt ("prompt 3: ...", counted from 1, or as the options name it). Each result
 * is freed with pm_generated_free. */
pm_status pm_generate_batch(pm_session *s, const pm_ids *prompts, size_t n,
                            const pm_generate_options *options, pm_generated *out) PM_MUST_USE;
/* What generation would refuse of a prompt (or source) before it begins: no ids, ids outside the vocabulary, more than the model has
 * positions for. */
pm_status pm_check_prompt(pm_session *s, const int32_t *ids, size_t n) PM_MUST_USE;

/* Text to text with an encoder-decoder: encode, generate (with the model's beams where options say nothing), decode. Freed with
 * pm_release. Errors: PM_ERR_USAGE, too, when the model has no such language. */
pm_status pm_translate(pm_session *s, const char *text, const pm_generate_options *options,
                       char **out_text) PM_MUST_USE;

typedef struct pm_translation {
    char *text;       /* NULL: this one could not be translated: */
    pm_status status; /* PM_ERR_USAGE then */
    char *error;      /* why, in one sentence */
} pm_translation;
/* n texts, at most 256, by pm_generate_batch: out[i] is what pm_translate gives for texts[i]. A text that cannot be translated does
 * not keep the others; an error that is no text's is the result, with nothing in out. Freed with pm_translations_free. */
pm_status pm_translate_batch(pm_session *s, const char *const *texts, size_t n,
                             const pm_generate_options *options, pm_translation *out) PM_MUST_USE;
void pm_translations_free(pm_translation *t, size_t n);

/* ---- looking inside ---- */
typedef struct pm_dump_options {
    const char *stage;  /* "built", "fused", "planned", "program" */
    const char *format; /* "text", "json", "dot", "svg", "html"; "csv" of planned; NULL: text */
    const char *which;  /* "forward" (default), "decode", "prefill", "encode" */
    int64_t batch, length, target_length; /* 0: 1, 16, 16 (clamped to the model's limit) */
    const char *want;                     /* outputs, as in pm_session_run; NULL: "final" */
    pm_device *device;                    /* selection and limits; NULL: the baseline */
    bool no_fuse;                         /* primitive operations stay, to compare with */
    const char
        *profile; /* a trace (pm_device_trace) of the same program: times in the pictures; NULL: none */
    uint64_t
        max_memory_bytes; /* of "program": show which weights have room within it, and how the others are read; 0: the device's */
} pm_dump_options;
pm_status pm_model_dump(const pm_model *m, const pm_dump_options *options,
                        char **out_text) PM_MUST_USE; /* pm_release */

/* Every operation of the model's programs (forward with all outputs, forward fused, and the generation programs) on the
 * session's device against the reference executor. inputs NULL: made-up ids of `length` (0: 8). dump_dir: where offending
 * tensors go as .npy, NULL for nowhere. Returns PM_ERR_VERIFY when anything is out of bounds; the report is filled then too. */
pm_status pm_session_verify(pm_session *s, const pm_tensors *inputs, const char *dump_dir,
                            pm_verify_report *out_report) PM_MUST_USE;

/* Figures of the program that pm_session_run made last: the plan's bytes and counts. */
typedef struct pm_program_figures {
    uint64_t arena_bytes, lower_bound_bytes;
    uint32_t n_dispatches, n_barriers, n_submits, n_fallback;
} pm_program_figures;
pm_status pm_session_figures(const pm_session *s, pm_program_figures *out) PM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
