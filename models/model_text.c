/* See model_text.h, and "text and ids" of pumice/model.h. */
#include "models/model_text.h"

#include <stdio.h>
#include <string.h>

#include "models/arch.h"

/* ---- opening ---- */

/* tokenizer_config.json's src_lang, for models whose sources begin with a language: M2M-100's is English by itself. */
static pm_status read_source_language(pm_model *m) {
    const char *code = NULL;
    pm_config c = {0};
    pm_status s = PM_OK;
    m->source_language = -1;
    if (strcmp(m->arch->model_type, "m2m_100") != 0) return PM_OK;
    if (pm_files_has(&m->files, "tokenizer_config.json")) {
        PM_TRY(pm_config_open(&m->files, "tokenizer_config.json", &c));
        s = pm_config_text(&c, "src_lang", &code);
    }
    if (s == PM_OK && pm_model_language(m, code ? code : "en", &m->source_language) != PM_OK)
        m->source_language = -1;
    pm_config_close(&c);
    return s;
}

static pm_status open_sides(pm_model *m) {
    PM_TRY(pm_tokenizer_open_files(&m->files, PM_TOKENIZER_SOURCE, &m->tokenizer[0]));
    if (!pm_files_has(&m->files, "target.spm")) return PM_OK;
    return pm_tokenizer_open_files(&m->files, PM_TOKENIZER_TARGET, &m->tokenizer[1]);
}

pm_status pm_model_open_text(pm_model *m) {
    m->source_language = -1;
    if (m->words.source || !pm_tokenizer_has_files(&m->files)) return PM_OK;
    pm_status s = open_sides(m);
    if (s == PM_OK) return read_source_language(m);
    if (s != PM_ERR_FILE) return s;
    m->tokenizer_error = pm_strdup(pm_error_text());
    pm_tokenizer_close(m->tokenizer[0]);
    m->tokenizer[0] = NULL;
    return m->tokenizer_error ? PM_OK : PM_ERR_MEMORY;
}

void pm_model_close_text(pm_model *m) {
    pm_words_close(&m->words);
    for (int side = 0; side < 2; side++) pm_tokenizer_close(m->tokenizer[side]);
    pm_free(m->tokenizer_error);
}

const pm_tokenizer *pm_model_tokenizer(const pm_model *m, int side) {
    return m->tokenizer[side && m->tokenizer[1] ? 1 : 0];
}

pm_status pm_model_want_tokenizer(const pm_model *m) {
    if (m->tokenizer[0]) return PM_OK;
    if (m->tokenizer_error) return pm_raise(PM_ERR_FILE, "%s", m->tokenizer_error);
    return pm_raise(
        PM_ERR_USAGE,
        "%s: the model has no tokenizer (tokenizer.json, vocab.txt, tokenizer.model, ...), give ids "
        "instead of text",
        m->files.path);
}

/* ---- text to ids ---- */

static pm_status take_ids(const pm_encoding *e, int32_t **out_ids, size_t *out_n) {
    *out_ids = pm_calloc(e->n + 1, sizeof **out_ids);
    if (!*out_ids) return PM_ERR_MEMORY;
    for (size_t i = 0; i < e->n; i++) (*out_ids)[i] = e->tokens[i].id;
    *out_n = e->n;
    return PM_OK;
}

pm_status pm_model_encode_with(const pm_model *m, const char *text, bool add_special, int32_t **out_ids,
                               size_t *out_n) {
    pm_encode_options o = {.add_special = add_special};
    pm_encoding e;
    *out_ids = NULL;
    *out_n = 0;
    if (m->words.source) return pm_words_encode(&m->words, text, out_ids, out_n);
    PM_TRY(pm_model_want_tokenizer(m));
    PM_TRY(pm_tokenizer_encode(m->tokenizer[0], text, strlen(text), &o, &e));
    pm_status s = take_ids(&e, out_ids, out_n);
    pm_encoding_free(&e);
    return s;
}

pm_status pm_model_encode(const pm_model *m, const char *text, int32_t **out_ids, size_t *out_n) {
    return pm_model_encode_with(m, text, true, out_ids, out_n);
}

/* ---- languages ---- */

/* "__fr__", ">>fra<<", "<2fr>", "fr_XX", "fra_Latn". */
static bool is_language(const char *s, size_t n) {
    if (n > 4 && (!memcmp(s, "__", 2) || !memcmp(s, ">>", 2)))
        return !memcmp(s + n - 2, s[0] == '_' ? "__" : "<<", 2);
    if (n > 3 && !memcmp(s, "<2", 2)) return s[n - 1] == '>';
    return (n == 5 && s[2] == '_') || (n == 8 && s[3] == '_');
}

pm_status pm_model_language(const pm_model *m, const char *code, int32_t *out_id) {
    static const char *const forms[] = {"__%s__", ">>%s<<", "<2%s>", "%s"};
    char token[80];
    *out_id = -1;
    PM_TRY(pm_model_want_tokenizer(m));
    for (size_t i = 0; i < PM_COUNT(forms) && *out_id < 0; i++) {
        int n = snprintf(token, sizeof token, forms[i], code);
        if (n > 0 && (size_t)n < sizeof token && is_language(token, (size_t)n))
            *out_id = pm_tokenizer_find(m->tokenizer[0], token, (size_t)n);
    }
    if (*out_id >= 0) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "language: %s has no token for \"%.40s\" (as __fr__, fra_Latn or >>fra<<)",
                    m->files.path, code);
}

pm_status pm_model_put_language(const pm_model *m, int32_t id, pm_encoding *e) {
    const char *token;
    size_t bytes;
    if (id < 0) return PM_OK;
    for (size_t i = 0; i < e->n; i++) {
        token = pm_tokenizer_token(m->tokenizer[0], e->tokens[i].id, &bytes);
        if (e->tokens[i].sequence < 0 && token && is_language(token, bytes))
            return e->tokens[i].id = id, PM_OK;
    }
    pm_token *tokens = pm_realloc_array(e->tokens, e->n + 1, sizeof *tokens);
    if (!tokens) return PM_ERR_MEMORY;
    memmove(tokens + 1, tokens, e->n++ * sizeof *tokens);
    tokens[0] = (pm_token){.id = id, .sequence = -1};
    e->tokens = tokens;
    return PM_OK;
}

/* Marian and T5 read the language that they shall write from the source; others begin their output with it. */
static bool in_source(const pm_model *m, int32_t id) {
    size_t n = 0;
    const char *token = pm_tokenizer_token(m->tokenizer[0], id, &n);
    return token && n > 1 && (token[0] == '>' || (token[0] == '<' && token[1] == '2'));
}

pm_status pm_model_encode_source(const pm_model *m, const char *text, pm_generate_options *o,
                                 int32_t **out_ids, size_t *out_n) {
    static const pm_encode_options special = {.add_special = true};
    int32_t from = m->source_language, to = -1;
    pm_encoding e;
    if (m->words.source) {
        if (o->from || o->to)
            return pm_raise(PM_ERR_USAGE, "language: %s translates between two languages alone",
                            m->files.path);
        return pm_words_encode(&m->words, text, out_ids, out_n);
    }
    PM_TRY(pm_model_want_tokenizer(m));
    if (o->from) PM_TRY(pm_model_language(m, o->from, &from));
    if (o->to) PM_TRY(pm_model_language(m, o->to, &to));
    if (to >= 0 && in_source(m, to)) {
        from = to;
    } else if (to >= 0) {
        o->forced_bos = to;
        o->has_forced_bos = true;
    }
    PM_TRY(pm_tokenizer_encode(m->tokenizer[0], text, strlen(text), &special, &e));
    pm_status s = pm_model_put_language(m, from, &e);
    if (s == PM_OK) s = take_ids(&e, out_ids, out_n);
    pm_encoding_free(&e);
    return s;
}

/* ---- ids to text ---- */

static pm_status take_text(pm_text *t, pm_status s, char **out_text) {
    if (s == PM_OK) s = pm_text_status(t);
    if (s == PM_OK && !t->data) t->data = pm_strdup("");
    if (s == PM_OK && t->data)
        *out_text = t->data;
    else
        pm_text_free(t);
    return s == PM_OK && !*out_text ? PM_ERR_MEMORY : s;
}

pm_status pm_model_decode(const pm_model *m, const int32_t *ids, size_t n, char **out_text) {
    pm_text t = {0};
    *out_text = NULL;
    if (m->words.source) return take_text(&t, pm_words_decode(&m->words, ids, n, &t), out_text);
    PM_TRY(pm_model_want_tokenizer(m));
    return pm_tokenizer_decode(pm_model_tokenizer(m, 1), ids, n, true, out_text, NULL);
}

pm_status pm_model_token_label(const pm_model *m, int side, int32_t id, char **out_text) {
    const pm_words *w = &m->words;
    const char **list = side ? w->target : w->source;
    size_t n = side ? w->n_target : w->n_source;
    pm_text t = {0};
    *out_text = NULL;
    if (list && id >= 0 && (size_t)id < n)
        pm_add_visible(&t, list[id], strlen(list[id]));
    else if (!list && m->tokenizer[0])
        pm_tokenizer_add_label(pm_model_tokenizer(m, side), id, &t);
    if (!t.length) pm_text_add(&t, "%d", (int)id);
    return take_text(&t, PM_OK, out_text);
}
