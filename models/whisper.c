/* See whisper.h. */
#include "models/whisper.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "models/arch.h"
#include "models/config.h"

/* English-only models have one token less, as OpenAI's code tells them apart, though their tokenizers name the languages. */
enum { MULTILINGUAL_VOCAB = 51865, MAX_LANGUAGES = 1000 };

typedef struct numbers {
    int64_t no_timestamps, max_initial, previous, max_length;
    bool multilingual;
} numbers;
static const pm_config_field number_fields[] = {
    {"no_timestamps_token_id", PM_CONFIG_INT, offsetof(numbers, no_timestamps), -1, 0, INT32_MAX - 1},
    {"max_initial_timestamp_index", PM_CONFIG_INT, offsetof(numbers, max_initial), -1, 0, 1 << 20},
    {"prev_sot_token_id", PM_CONFIG_INT, offsetof(numbers, previous), -1, 0, INT32_MAX},
    {"max_length", PM_CONFIG_INT, offsetof(numbers, max_length), 0, 1, 1 << 20},
    {"is_multilingual", PM_CONFIG_BOOL, offsetof(numbers, multilingual), 0, 0, 1},
};

/* ---- ids ---- */

/* The id of a token by its name, -1 when the tokenizer has none. */
static int32_t named(const pm_model *m, const char *token) {
    const pm_tokenizer *t = pm_model_tokenizer(m, 1);
    return t ? pm_tokenizer_find(t, token, strlen(token)) : -1;
}

/* Checks an id of the file; -1 is none. */
static pm_status check_id(const pm_model *m, const char *key, int64_t id) {
    if (id >= -1 && id < m->info.vocab_size) return PM_OK;
    return pm_raise(PM_ERR_FILE, "generation_config.json: %s is %" PRId64 ", expected 0..%" PRId64, key, id,
                    m->info.vocab_size - 1);
}

/* "<|en|>" to "en"; false for what has another form. */
static bool take_code(const char *token, size_t bytes, char code[16]) {
    if (bytes < 5 || bytes - 4 > 15 || strncmp(token, "<|", 2) != 0 ||
        strncmp(token + bytes - 2, "|>", 2) != 0)
        return false;
    memcpy(code, token + 2, bytes - 4);
    code[bytes - 4] = 0;
    return true;
}

static void add_language(pm_whisper *w, const char *code, int32_t id) {
    size_t at = w->n_languages++;
    for (; at > 0 && w->languages[at - 1].id > id; at--) w->languages[at] = w->languages[at - 1];
    w->languages[at].id = id;
    snprintf(w->languages[at].code, sizeof w->languages[at].code, "%s", code);
}

static pm_status make_languages(pm_whisper *w, size_t most) {
    w->languages = pm_arena_alloc(&w->arena, (most + 1) * sizeof *w->languages);
    return w->languages ? PM_OK : PM_ERR_MEMORY;
}

static pm_status read_languages(const pm_model *m, const json_t *list, pm_whisper *w) {
    const char *key;
    json_t *value;
    char code[16];
    if (json_object_size(list) > MAX_LANGUAGES)
        return pm_raise(PM_ERR_FILE,
                        "generation_config.json: lang_to_id has %zu languages, expected at most %d",
                        json_object_size(list), MAX_LANGUAGES);
    PM_TRY(make_languages(w, json_object_size(list)));
    json_object_foreach((json_t *)list, key, value) {
        if (!take_code(key, strlen(key), code) || !json_is_integer(value))
            return pm_raise(PM_ERR_FILE, "generation_config.json: lang_to_id.%.40s is not \"<|code|>\": id",
                            key);
        PM_TRY(check_id(m, "an entry of lang_to_id", json_integer_value(value)));
        if (json_integer_value(value) >= 0) add_language(w, code, (int32_t)json_integer_value(value));
    }
    return PM_OK;
}

/* Where the file lists no languages: the tokens between the start and the tasks are theirs. */
static pm_status find_languages(const pm_model *m, pm_whisper *w) {
    int32_t start = named(m, "<|startoftranscript|>"), end = named(m, "<|translate|>");
    char code[16];
    if (start < 0 || end - start > MAX_LANGUAGES) return PM_OK;
    PM_TRY(make_languages(w, MAX_LANGUAGES));
    for (int32_t id = start + 1; id < end; id++) {
        size_t bytes;
        const char *token = pm_tokenizer_token(pm_model_tokenizer(m, 1), id, &bytes);
        if (token && take_code(token, bytes, code)) add_language(w, code, id);
    }
    return PM_OK;
}

/* [[1, language or null], [2, task], ...]: entry `position`'s id, -1 when there is none. */
static int64_t forced_id(const json_t *list, int64_t position) {
    const json_t *entry;
    size_t i;
    json_array_foreach(list, i, entry) {
        if (json_integer_value(json_array_get(entry, 0)) == position &&
            json_is_integer(json_array_get(entry, 1)))
            return json_integer_value(json_array_get(entry, 1));
    }
    return -1;
}

static int32_t task_id(const pm_model *m, const json_t *tasks, const char *task, const char *token) {
    const json_t *id = json_object_get(tasks, task);
    return json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) < m->info.vocab_size
               ? (int32_t)json_integer_value(id)
               : named(m, token);
}

static pm_status read_speech_ids(const pm_model *m, const json_t *root, bool multilingual, pm_whisper *w) {
    const json_t *languages = json_object_get(root, "lang_to_id");
    if (!multilingual) return PM_OK;
    PM_TRY(languages ? read_languages(m, languages, w) : find_languages(m, w));
    if (!w->n_languages) return PM_OK;
    w->transcribe = task_id(m, json_object_get(root, "task_to_id"), "transcribe", "<|transcribe|>");
    w->translate = task_id(m, json_object_get(root, "task_to_id"), "translate", "<|translate|>");
    int64_t forced = forced_id(json_object_get(root, "forced_decoder_ids"), 1);
    for (size_t i = 0; i < w->n_languages; i++)
        if (w->languages[i].id == forced) w->language = w->languages[i].id;
    return PM_OK;
}

static pm_status read_generation(const pm_model *m, const pm_config *c, pm_whisper *w) {
    numbers n;
    PM_TRY(pm_config_read(c, NULL, number_fields, PM_COUNT(number_fields), &n));
    if (n.no_timestamps < 0) n.no_timestamps = named(m, "<|notimestamps|>");
    if (n.previous < 0) n.previous = named(m, "<|startofprev|>");
    PM_TRY(check_id(m, "no_timestamps_token_id", n.no_timestamps));
    PM_TRY(check_id(m, "prev_sot_token_id", n.previous));
    bool times = n.no_timestamps >= 0 && n.no_timestamps + 1 < m->info.vocab_size;
    w->times = (pm_timestamps){.first = times ? (int32_t)n.no_timestamps + 1 : -1,
                               .no_timestamps = (int32_t)n.no_timestamps,
                               .eos = m->info.eos_id,
                               .max_initial = (int32_t)n.max_initial};
    w->previous = (int32_t)n.previous;
    w->max_length = n.max_length;
    bool multilingual =
        pm_config_has(c, NULL, "is_multilingual")
            ? n.multilingual
            : pm_config_has(c, NULL, "lang_to_id") || m->info.vocab_size >= MULTILINGUAL_VOCAB;
    return read_speech_ids(m, c->root, multilingual, w);
}

/* ---- features ---- */

typedef struct features {
    int64_t mels, rate, hop, n_fft, seconds;
    bool normalize;
} features;
static const pm_config_field feature_fields[] = {
    {"feature_size", PM_CONFIG_INT, offsetof(features, mels), 80, 1, 512},
    {"sampling_rate", PM_CONFIG_INT, offsetof(features, rate), 16000, 1000, 768000},
    {"hop_length", PM_CONFIG_INT, offsetof(features, hop), 160, 1, 8192},
    {"n_fft", PM_CONFIG_INT, offsetof(features, n_fft), 400, 16, 8192},
    {"chunk_length", PM_CONFIG_INT, offsetof(features, seconds), 30, 1, 3600},
    {"do_normalize", PM_CONFIG_BOOL, offsetof(features, normalize), 0, 0, 1},
};

static pm_status read_features(const pm_model *m, const pm_config *c, pm_whisper *w) {
    const int64_t *dims = m->spec.signal.dims;
    features f;
    PM_TRY(pm_config_read(c, NULL, feature_fields, PM_COUNT(feature_fields), &f));
    if (f.normalize)
        return pm_raise(PM_ERR_FILE, "%s: do_normalize is true, which is not supported", c->label);
    if (f.mels != dims[0])
        return pm_raise(PM_ERR_FILE,
                        "%s: feature_size is %" PRId64 ", expected num_mel_bins of config.json, %" PRId64,
                        c->label, f.mels, dims[0]);
    if (f.seconds * f.rate / f.hop != dims[1])
        return pm_raise(PM_ERR_FILE,
                        "%s: chunk_length %" PRId64 " s are %" PRId64 " frames, expected %" PRId64
                        ", twice max_source_positions of config.json",
                        c->label, f.seconds, f.seconds * f.rate / f.hop, dims[1]);
    w->mel = (pm_mel_options){(int32_t)f.rate, (int32_t)f.n_fft, (int32_t)f.hop, (int32_t)f.mels};
    return PM_OK;
}

/* ---- the whole ---- */

/* Reads a file of the model by one of the functions above, or an empty one where there is none. */
static pm_status read_file(const pm_model *m, const char *name, pm_whisper *w,
                           pm_status (*read)(const pm_model *m, const pm_config *c, pm_whisper *w)) {
    pm_config c = {.label = name};
    if (pm_files_has(&m->files, name))
        PM_TRY(pm_config_open(&m->files, name, &c));
    else if (!(c.root = json_object()))
        return PM_ERR_MEMORY;
    pm_status s = read(m, &c, w);
    pm_config_close(&c);
    return s;
}

pm_status pm_whisper_open(const pm_model *m, pm_whisper *out) {
    *out = (pm_whisper){.language = -1, .transcribe = -1, .translate = -1};
    if (strcmp(m->arch->task, "transcribe") != 0)
        return pm_raise(PM_ERR_USAGE, "%s: a %s model does not transcribe", m->files.path,
                        m->arch->model_type);
    out->frames = m->spec.signal.dims[1];
    out->mel = (pm_mel_options){16000, 400, 160, (int32_t)m->spec.signal.dims[0]};
    pm_status s = read_file(m, "generation_config.json", out, read_generation);
    if (s == PM_OK && pm_files_has(&m->files, "preprocessor_config.json"))
        s = read_file(m, "preprocessor_config.json", out, read_features);
    if (s != PM_OK) pm_whisper_close(out);
    return s;
}

void pm_whisper_close(pm_whisper *w) {
    pm_arena_free(&w->arena);
    *w = (pm_whisper){0};
}

pm_status pm_whisper_language(const pm_whisper *w, const char *code, int32_t *out_id) {
    pm_text known = {0};
    for (size_t i = 0; i < w->n_languages; i++)
        if (strcmp(w->languages[i].code, code) == 0) return *out_id = w->languages[i].id, PM_OK;
    if (!w->n_languages)
        return pm_raise(PM_ERR_USAGE, "language: the model knows one only, \"%.20s\" cannot be asked for",
                        code);
    for (size_t i = 0; i < w->n_languages; i++)
        pm_text_add(&known, "%s%s", i ? ", " : "", w->languages[i].code);
    pm_status s = pm_text_status(&known);
    if (s == PM_OK)
        s = pm_raise(PM_ERR_USAGE, "language: \"%.20s\" is unknown to the model, expected one of: %s", code,
                     known.data);
    pm_text_free(&known);
    return s;
}

const char *pm_whisper_code(const pm_whisper *w, int32_t id) {
    for (size_t i = 0; i < w->n_languages; i++)
        if (w->languages[i].id == id) return w->languages[i].code;
    return "";
}
