/* tokenizer.json: the model with its vocabulary, added tokens, components. */
#include "models/tokenizer/tok_data.h"

#include <inttypes.h>

pm_status pm_tok_json_load(const pm_files *f, const char *name, json_t **out) {
    pm_blob blob;
    json_error_t error;
    PM_TRY(pm_files_get(f, name, &blob));
    *out = json_loadb(blob.data ? (const char *)blob.data : "", blob.bytes, JSON_ALLOW_NUL, &error);
    pm_blob_close(&blob);
    if (!*out) return pm_raise(PM_ERR_FILE, "%s: line %d: %s", name, error.line, error.text);
    if (json_is_object(*out)) return PM_OK;
    json_decref(*out);
    return pm_raise(PM_ERR_FILE, "%s: is not a JSON object", name);
}

static bool is_true(const json_t *json, const char *key) {
    return json_is_true(json_object_get(json, key));
}

/* ---- vocabularies ---- */

static pm_status read_map(pm_tok_vocab *v, const json_t *vocab, const char *where) {
    const char *token;
    json_t *id;
    if (!json_is_object(vocab)) return pm_raise(PM_ERR_FILE, "%s: vocab is not an object", where);
    json_object_foreach((json_t *)(uintptr_t)vocab, token, id) {
        if (!json_is_integer(id))
            return pm_raise(PM_ERR_FILE, "%s: vocab: the id of \"%.60s\" is not an integer", where, token);
        PM_TRY(pm_tok_vocab_add(v, token, strlen(token), json_integer_value(id), 0));
    }
    return PM_OK;
}

static pm_status read_scores(pm_tok_vocab *v, const json_t *vocab, const char *where) {
    if (!json_is_array(vocab))
        return pm_raise(PM_ERR_FILE, "%s: vocab is not a list of tokens and scores", where);
    for (size_t i = 0; i < json_array_size(vocab); i++) {
        const json_t *row = json_array_get(vocab, i), *token = json_array_get(row, 0),
                     *score = json_array_get(row, 1);
        if (!json_is_string(token) || !json_is_number(score))
            return pm_raise(PM_ERR_FILE, "%s: vocab: entry %zu is not [token, score]", where, i);
        PM_TRY(pm_tok_vocab_add(v, json_string_value(token), json_string_length(token), (int64_t)i,
                                json_number_value(score)));
    }
    return PM_OK;
}

/* ---- merges ---- */

typedef struct half {
    const char *s;
    size_t n;
} half;

/* "a b" or ["a", "b"] */
static bool read_halves(const json_t *merge, half *a, half *b) {
    const json_t *x = json_array_get(merge, 0), *y = json_array_get(merge, 1);
    if (json_is_array(merge)) {
        if (json_array_size(merge) != 2 || !json_is_string(x) || !json_is_string(y)) return false;
        *a = (half){json_string_value(x), json_string_length(x)};
        *b = (half){json_string_value(y), json_string_length(y)};
        return true;
    }
    const char *s = json_string_value(merge), *space = s ? strchr(s, ' ') : NULL;
    if (!space) return false;
    *a = (half){s, (size_t)(space - s)};
    *b = (half){space + 1, json_string_length(merge) - a->n - 1};
    return true;
}

pm_status pm_tok_merge_texts(pm_tok_model *m, const pm_tok_vocab *v, size_t rank, const char *a, size_t n_a,
                             const char *b, size_t n_b, const char *where) {
    const pm_tok_entry *left = pm_tok_vocab_find(v, a, n_a), *right = pm_tok_vocab_find(v, b, n_b),
                       *joined = NULL;
    size_t prefix = m->prefix ? strlen(m->prefix) : 0;
    char *text = pm_alloc(n_a + n_b + 1);
    if (!text) return PM_ERR_MEMORY;
    memcpy(text, a, n_a);
    if (n_b >= prefix) {
        memcpy(text + n_a, b + prefix, n_b - prefix);
        joined = pm_tok_vocab_find(v, text, n_a + n_b - prefix);
    }
    pm_free(text);
    if (!left || !right || !joined)
        return pm_raise(PM_ERR_FILE,
                        "%s: merges: number %zu, \"%.*s\" and \"%.*s\", joins what is not in the vocabulary",
                        where, rank, (int)(n_a < 40 ? n_a : 40), a, (int)(n_b < 40 ? n_b : 40), b);
    return pm_tok_merge_add(m, (pm_tok_merge){left->id, right->id, joined->id, (int32_t)rank});
}

static pm_status read_merges(pm_tokenizer *t, const json_t *merges, const char *where) {
    if (!json_is_array(merges)) return pm_raise(PM_ERR_FILE, "%s: merges is not a list", where);
    for (size_t i = 0; i < json_array_size(merges); i++) {
        half a, b;
        if (i >= PM_TOK_MAX_ID || !read_halves(json_array_get(merges, i), &a, &b))
            return pm_raise(PM_ERR_FILE, "%s: merges: number %zu is not two tokens", where, i);
        PM_TRY(pm_tok_merge_texts(&t->model, &t->vocab, i, a.s, a.n, b.s, b.n, where));
    }
    return PM_OK;
}

/* ---- models ---- */

static pm_status read_text(const json_t *model, const char *key, const char *where, char **out) {
    const json_t *v = json_object_get(model, key);
    if (!v || json_is_null(v)) return PM_OK;
    if (!json_is_string(v)) return pm_raise(PM_ERR_FILE, "%s: model: %s is not a text", where, key);
    *out = pm_strdup(json_string_value(v));
    return *out ? PM_OK : PM_ERR_MEMORY;
}

static pm_status read_unk(pm_tokenizer *t, const json_t *model, const char *where) {
    const json_t *v = json_object_get(model, "unk_token");
    if (!v || json_is_null(v)) return PM_OK;
    if (!json_is_string(v)) return pm_raise(PM_ERR_FILE, "%s: model: unk_token is not a text", where);
    const pm_tok_entry *e = pm_tok_vocab_find(&t->vocab, json_string_value(v), json_string_length(v));
    t->model.unk = e ? e->id : -1;
    return PM_OK;
}

static pm_status read_bpe(pm_tokenizer *t, const json_t *model, const char *where) {
    const json_t *dropout = json_object_get(model, "dropout");
    if (json_is_number(dropout) && json_number_value(dropout) != 0)
        return pm_raise(PM_ERR_FILE, "%s: model: dropout is %g, which makes ids random; expected null", where,
                        json_number_value(dropout));
    t->model.type = PM_TOK_BPE;
    t->model.fuse_unk = is_true(model, "fuse_unk");
    t->model.byte_fallback = is_true(model, "byte_fallback");
    t->model.ignore_merges = is_true(model, "ignore_merges");
    PM_TRY(read_map(&t->vocab, json_object_get(model, "vocab"), where));
    PM_TRY(read_unk(t, model, where));
    PM_TRY(read_text(model, "continuing_subword_prefix", where, &t->model.prefix));
    PM_TRY(read_text(model, "end_of_word_suffix", where, &t->model.suffix));
    return read_merges(t, json_object_get(model, "merges"), where);
}

static pm_status read_wordpiece(pm_tokenizer *t, const json_t *model, const char *where) {
    const json_t *most = json_object_get(model, "max_input_chars_per_word");
    t->model.type = PM_TOK_WORDPIECE;
    t->model.max_chars = 100;
    if (json_is_integer(most) && json_integer_value(most) >= 0)
        t->model.max_chars = (size_t)json_integer_value(most);
    PM_TRY(read_map(&t->vocab, json_object_get(model, "vocab"), where));
    PM_TRY(read_unk(t, model, where));
    return read_text(model, "continuing_subword_prefix", where, &t->model.prefix);
}

static pm_status read_wordlevel(pm_tokenizer *t, const json_t *model, const char *where) {
    t->model.type = PM_TOK_WORDLEVEL;
    PM_TRY(read_map(&t->vocab, json_object_get(model, "vocab"), where));
    return read_unk(t, model, where);
}

static pm_status read_unigram(pm_tokenizer *t, const json_t *model, const char *where) {
    const json_t *unk = json_object_get(model, "unk_id");
    t->model.type = PM_TOK_UNIGRAM;
    t->model.byte_fallback = is_true(model, "byte_fallback");
    PM_TRY(read_scores(&t->vocab, json_object_get(model, "vocab"), where));
    if (!json_is_integer(unk)) return PM_OK;
    json_int_t id = json_integer_value(unk);
    if (id < 0 || (uint64_t)id >= t->vocab.n)
        return pm_raise(PM_ERR_FILE, "%s: model: unk_id is %" JSON_INTEGER_FORMAT ", expected 0..%zu", where,
                        id, t->vocab.n);
    t->model.unk = (int32_t)id;
    return PM_OK;
}

static const struct {
    const char *name;
    pm_status (*read)(pm_tokenizer *t, const json_t *model, const char *where);
} models[] = {{"BPE", read_bpe},
              {"WordPiece", read_wordpiece},
              {"Unigram", read_unigram},
              {"WordLevel", read_wordlevel}};

/* Older files do not name the model's type. */
static const char *guess_type(const json_t *model) {
    if (json_is_array(json_object_get(model, "vocab"))) return "Unigram";
    if (json_object_get(model, "merges")) return "BPE";
    return json_object_get(model, "continuing_subword_prefix") ? "WordPiece" : "WordLevel";
}

static pm_status read_model(pm_tokenizer *t, const json_t *model, const char *where) {
    const json_t *named = json_object_get(model, "type");
    const char *type = json_is_string(named) ? json_string_value(named) : guess_type(model);
    if (!json_is_object(model)) return pm_raise(PM_ERR_FILE, "%s: model is missing", where);
    for (size_t i = 0; i < PM_COUNT(models); i++)
        if (!strcmp(models[i].name, type)) return models[i].read(t, model, where);
    return pm_raise(PM_ERR_FILE,
                    "%s: model \"%.60s\" is not supported, expected BPE, WordPiece, Unigram or WordLevel",
                    where, type);
}

/* ---- added tokens ---- */

pm_status pm_tok_read_added(pm_tokenizer *t, const json_t *token, int64_t id, const char *where) {
    const json_t *content = json_object_get(token, "content");
    if (!json_is_string(content) || id < 0 || id >= PM_TOK_MAX_ID)
        return pm_raise(PM_ERR_FILE,
                        "%s: added token %.60s has id %" PRId64 ", expected a content and an id in 0..%d",
                        where, json_is_string(content) ? json_string_value(content) : "without content", id,
                        PM_TOK_MAX_ID - 1);
    pm_tok_added_token like = {.id = (int32_t)id,
                               .single_word = is_true(token, "single_word"),
                               .left_strip = is_true(token, "lstrip"),
                               .right_strip = is_true(token, "rstrip"),
                               .normalized = is_true(token, "normalized"),
                               .special = is_true(token, "special")};
    return pm_tok_added_token_add(t, json_string_value(content), json_string_length(content), &like);
}

static pm_status read_added_tokens(pm_tokenizer *t, const json_t *list, const char *where) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *token = json_array_get(list, i), *id = json_object_get(token, "id");
        PM_TRY(pm_tok_read_added(t, token, json_is_integer(id) ? json_integer_value(id) : -1, where));
    }
    return PM_OK;
}

static pm_status read_all(pm_tokenizer *t, const json_t *root, const char *where) {
    const json_t *decoder = json_object_get(root, "decoder");
    PM_TRY(read_model(t, json_object_get(root, "model"), where));
    PM_TRY(pm_tok_pipeline_read(&t->normalizer, &pm_tok_normalizers, json_object_get(root, "normalizer"),
                                where));
    PM_TRY(pm_tok_pipeline_read(&t->pretokenizer, &pm_tok_pretokenizers,
                                json_object_get(root, "pre_tokenizer"), where));
    PM_TRY(pm_tok_pipeline_read(&t->decoder, &pm_tok_decoders, decoder, where));
    t->has_decoder = decoder && !json_is_null(decoder);
    PM_TRY(pm_tok_template_read(t, json_object_get(root, "post_processor"), where));
    PM_TRY(pm_tok_length_read(t, root, where));
    return read_added_tokens(t, json_object_get(root, "added_tokens"), where);
}

pm_status pm_tok_open_json(pm_tokenizer *t, const pm_files *f, const char *name) {
    json_t *root;
    PM_TRY(pm_tok_json_load(f, name, &root));
    pm_status s = read_all(t, root, name);
    json_decref(root);
    return s;
}
