/* The vocabulary of a GGUF file (keys tokenizer.ggml.*): SentencePiece's two kinds, byte-level BPE, and BERT's. */
#include "models/tokenizer/tok_gguf.h"

#include <inttypes.h>

#define KEY(name) "tokenizer.ggml." name

static const char where[] = "tokenizer.ggml";

typedef struct vocabulary {
    const pm_gguf *g;
    uint64_t n;
    bool scores, types;
} vocabulary;

static bool flag_or(const pm_gguf *g, const char *key, bool fallback) {
    bool v;
    return pm_gguf_bool(g, key, &v) ? v : fallback;
}

/* A token id of the file, or -1. */
static pm_status read_id(const vocabulary *v, const char *key, int32_t *out) {
    int64_t id = -1;
    *out = -1;
    if (!pm_gguf_int(v->g, key, &id) || id == -1 || id == UINT32_MAX) return PM_OK;
    if (id < 0 || (uint64_t)id >= v->n)
        return pm_raise(PM_ERR_FILE, "%s is %" PRId64 ", expected 0..%" PRIu64, key, id, v->n - 1);
    *out = (int32_t)id;
    return PM_OK;
}

static pm_status open_vocabulary(vocabulary *v, const pm_gguf *g) {
    *v = (vocabulary){.g = g, .n = pm_gguf_length(g, KEY("tokens"))};
    uint64_t scores = pm_gguf_length(g, KEY("scores")), types = pm_gguf_length(g, KEY("token_type"));
    if (v->n == 0 || v->n > PM_TOK_MAX_ID)
        return pm_raise(PM_ERR_FILE, "%s.tokens: %" PRIu64 " tokens, expected 1..%d", where, v->n,
                        PM_TOK_MAX_ID);
    if ((scores && scores != v->n) || (types && types != v->n))
        return pm_raise(PM_ERR_FILE,
                        "%s: %" PRIu64 " tokens with %" PRIu64 " scores and %" PRIu64
                        " types, as many were expected",
                        where, v->n, scores, types);
    v->scores = scores > 0;
    v->types = types > 0;
    return PM_OK;
}

static pm_status read_token(const vocabulary *v, uint64_t i, pm_gguf_text *text, double *score, int *type) {
    int64_t kind = PM_TOK_NORMAL;
    *score = 0;
    if (!pm_gguf_string_at(v->g, KEY("tokens"), i, text))
        return pm_raise(PM_ERR_FILE, "%s.tokens: element %" PRIu64 " is not a text", where, i);
    if ((v->scores && (!pm_gguf_real_at(v->g, KEY("scores"), i, score) || *score != *score)) ||
        (v->types && !pm_gguf_int_at(v->g, KEY("token_type"), i, &kind)))
        return pm_raise(PM_ERR_FILE, "%s: token %" PRIu64 " has no number as score or type", where, i);
    *type = kind >= PM_TOK_NORMAL && kind <= PM_TOK_BYTE ? (int)kind : PM_TOK_UNUSED;
    return PM_OK;
}

/* Special by key, where types do not say so. */
static pm_status add_by_key(pm_tokenizer *t, const vocabulary *v) {
    static const char *const keys[] = {
        KEY("bos_token_id"),     KEY("eos_token_id"), KEY("unknown_token_id"), KEY("seperator_token_id"),
        KEY("padding_token_id"), KEY("cls_token_id"), KEY("mask_token_id")};
    for (size_t i = 0; i < PM_COUNT(keys); i++) {
        int32_t id;
        size_t n;
        PM_TRY(read_id(v, keys[i], &id));
        const char *s = id >= 0 ? pm_tokenizer_token(t, id, &n) : NULL;
        if (!s || pm_tokenizer_is_special(t, id)) continue;
        char *copy = pm_alloc(n + 1); /* the vocabulary may move while it grows */
        if (!copy) return PM_ERR_MEMORY;
        memcpy(copy, s, n);
        pm_tok_added_token like = {.id = id, .special = true};
        pm_status status = pm_tok_added_token_add(t, copy, n, &like);
        pm_free(copy);
        PM_TRY(status);
    }
    return PM_OK;
}

static pm_status set_around(pm_tokenizer *t, const vocabulary *v, bool bos, bool eos) {
    int32_t before = -1, after = -1;
    PM_TRY(read_id(v, KEY("bos_token_id"), &before));
    PM_TRY(read_id(v, KEY("eos_token_id"), &after));
    if (!flag_or(v->g, KEY("add_bos_token"), bos)) before = -1;
    if (!flag_or(v->g, KEY("add_eos_token"), eos)) after = -1;
    return before < 0 && after < 0 ? PM_OK : pm_tok_template_set(t, before, after);
}

/* ---- llama, t5 ---- */

static pm_status copy_charsmap(const vocabulary *v, unsigned char **out, size_t *out_n) {
    uint64_t n = pm_gguf_length(v->g, KEY("precompiled_charsmap"));
    *out = NULL;
    *out_n = 0;
    if (n == 0) return PM_OK;
    if (n > 1 << 26)
        return pm_raise(PM_ERR_FILE, "%s.precompiled_charsmap: %" PRIu64 " bytes, at most 2^26 were expected",
                        where, n);
    unsigned char *bytes = pm_alloc((size_t)n);
    if (!bytes) return PM_ERR_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        int64_t b = 0;
        pm_gguf_int_at(v->g, KEY("precompiled_charsmap"), i, &b);
        bytes[i] = (unsigned char)b;
    }
    *out = bytes;
    *out_n = (size_t)n;
    return PM_OK;
}

static pm_status read_pieces(pm_tokenizer *t, const vocabulary *v, bool unigram) {
    pm_tok_sp o = {.unigram = unigram, .escape = true, .raw_user_defined = true};
    unsigned char *charsmap;
    o.prefix = flag_or(v->g, KEY("add_space_prefix"), true);
    o.collapse = flag_or(v->g, KEY("remove_extra_whitespaces"), unigram);
    PM_TRY(copy_charsmap(v, &charsmap, &o.charsmap_bytes));
    o.charsmap = charsmap;
    pm_status s = PM_OK;
    for (uint64_t i = 0; i < v->n && s == PM_OK; i++) {
        pm_gguf_text text = {0};
        double score = 0;
        int type = PM_TOK_NORMAL;
        s = read_token(v, i, &text, &score, &type);
        if (s == PM_OK) s = pm_tok_sp_add(t, &o, text.s, (size_t)text.n, (int64_t)i, type, score);
    }
    if (s == PM_OK && t->model.unk < 0) s = read_id(v, KEY("unknown_token_id"), &t->model.unk);
    if (s == PM_OK) s = pm_tok_sp_finish(t, &o, where);
    pm_free(charsmap);
    PM_TRY(s);
    PM_TRY(add_by_key(t, v));
    return set_around(t, v, !unigram, unigram);
}

static pm_status read_llama(pm_tokenizer *t, const vocabulary *v) {
    return read_pieces(t, v, false);
}

static pm_status read_t5(pm_tokenizer *t, const vocabulary *v) {
    return read_pieces(t, v, true);
}

/* ---- gpt2 ---- */

static pm_status add_split(pm_tok_pipeline *p, const char *pattern) {
    json_t *json = json_pack("{s:s, s:{s:s}, s:s}", "type", "Split", "pattern", "Regex", pattern, "behavior",
                             "Isolated");
    if (!json) return pm_raise(PM_ERR_MEMORY, "out of memory: %s", where);
    pm_status s = pm_tok_pipeline_read(p, &pm_tok_pretokenizers, json, where);
    json_decref(json);
    return s;
}

static pm_status set_pre(pm_tokenizer *t, const vocabulary *v) {
    pm_gguf_text name = {PM_TOK_LIT("default")};
    pm_gguf_string(v->g, KEY("pre"), &name);
    const pm_tok_pre *pre = pm_tok_pre_find(name.s, (size_t)name.n);
    if (!pre)
        return pm_raise(PM_ERR_FILE,
                        "%s.pre: \"%.*s\" is not supported; docs/tokenizers.md lists those that are", where,
                        (int)(name.n < 60 ? name.n : 60), name.s);
    for (size_t i = 0; i < PM_TOK_MAX_PRE && pre->pattern[i]; i++)
        PM_TRY(add_split(&t->pretokenizer, pre->pattern[i]));
    t->model.ignore_merges = pre->ignore_merges;
    return pm_tok_pipeline_read_text(
        &t->pretokenizer, &pm_tok_pretokenizers,
        "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}", where);
}

static pm_status read_merges(pm_tokenizer *t, const vocabulary *v) {
    uint64_t n = pm_gguf_length(v->g, KEY("merges"));
    if (n > PM_TOK_MAX_ID)
        return pm_raise(PM_ERR_FILE, "%s.merges: %" PRIu64 " of them, at most %d were expected", where, n,
                        PM_TOK_MAX_ID);
    for (uint64_t i = 0; i < n; i++) {
        pm_gguf_text m;
        const char *space = pm_gguf_string_at(v->g, KEY("merges"), i, &m) && m.n > 1
                                ? memchr(m.s + 1, ' ', (size_t)m.n - 1)
                                : NULL;
        if (!space) return pm_raise(PM_ERR_FILE, "%s.merges: number %" PRIu64 " is not two tokens", where, i);
        size_t a = (size_t)(space - m.s);
        PM_TRY(pm_tok_merge_texts(&t->model, &t->vocab, (size_t)i, m.s, a, space + 1, (size_t)m.n - a - 1,
                                  where));
    }
    return PM_OK;
}

/* Tokens by text; control and user-defined ones are looked for in the text. */
static pm_status read_plain(pm_tokenizer *t, const vocabulary *v) {
    for (uint64_t i = 0; i < v->n; i++) {
        pm_gguf_text text = {0};
        double score = 0;
        int type = PM_TOK_NORMAL;
        PM_TRY(read_token(v, i, &text, &score, &type));
        PM_TRY(pm_tok_vocab_add(&t->vocab, text.s, (size_t)text.n, (int64_t)i, 0));
        pm_tok_added_token like = {.id = (int32_t)i, .special = type == PM_TOK_CONTROL};
        if (type == PM_TOK_CONTROL || type == PM_TOK_USER_DEFINED)
            PM_TRY(pm_tok_added_token_add(t, text.s, (size_t)text.n, &like));
    }
    PM_TRY(add_by_key(t, v));
    return read_id(v, KEY("unknown_token_id"), &t->model.unk);
}

static pm_status read_gpt2(pm_tokenizer *t, const vocabulary *v) {
    t->model.type = PM_TOK_BPE;
    PM_TRY(read_plain(t, v));
    t->model.unk = -1; /* every byte has a token */
    PM_TRY(read_merges(t, v));
    PM_TRY(set_pre(t, v));
    t->has_decoder = true;
    PM_TRY(pm_tok_pipeline_read_text(&t->decoder, &pm_tok_decoders, "{\"type\":\"ByteLevel\"}", where));
    return set_around(t, v, t->model.ignore_merges, false);
}

/* ---- bert: words begin with U+2581 instead of continuations with ## ---- */

static pm_status read_bert(pm_tokenizer *t, const vocabulary *v) {
    int32_t cls = -1, sep = -1;
    bool phantom = false;
    PM_TRY(read_plain(t, v));
    for (size_t i = 0; i < t->vocab.n && !phantom; i++)
        phantom = t->vocab.entry[i].n > 3 &&
                  !memcmp(pm_tok_vocab_text(&t->vocab, &t->vocab.entry[i]), PM_TOK_UNDERLINE, 3);
    t->model.type = PM_TOK_WORDPIECE;
    t->model.max_chars = SIZE_MAX / 2;
    t->model.word_start = phantom;
    t->model.prefix = pm_strdup(phantom ? PM_TOK_UNDERLINE : "##");
    if (!t->model.prefix) return PM_ERR_MEMORY;
    if (t->model.unk < 0) t->model.unk = pm_tokenizer_find(t, PM_TOK_LIT("[UNK]"));
    PM_TRY(pm_tok_pipeline_read_text(
        &t->normalizer, &pm_tok_normalizers,
        "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"lowercase\":true}",
        where));
    PM_TRY(pm_tok_pipeline_read_text(&t->pretokenizer, &pm_tok_pretokenizers,
                                     "{\"type\":\"BertPreTokenizer\"}", where));
    t->has_decoder = true;
    PM_TRY(pm_tok_pipeline_read_text(&t->decoder, &pm_tok_decoders,
                                     phantom ? "{\"type\":\"Metaspace\"}"
                                             : "{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}",
                                     where));
    PM_TRY(read_id(v, KEY("cls_token_id"), &cls));
    if (cls < 0) PM_TRY(read_id(v, KEY("bos_token_id"), &cls));
    if (cls < 0) cls = pm_tokenizer_find(t, PM_TOK_LIT("[CLS]"));
    PM_TRY(read_id(v, KEY("seperator_token_id"), &sep));
    if (sep < 0) PM_TRY(read_id(v, KEY("eos_token_id"), &sep));
    if (sep < 0) sep = pm_tokenizer_find(t, PM_TOK_LIT("[SEP]"));
    return cls >= 0 && sep >= 0 ? pm_tok_template_set_bert(t, cls, sep, false) : PM_OK;
}

static const struct {
    const char *name;
    pm_status (*read)(pm_tokenizer *t, const vocabulary *v);
} models[] = {{"llama", read_llama}, {"gpt2", read_gpt2}, {"bert", read_bert}, {"t5", read_t5}};

pm_status pm_tokenizer_open_gguf(const pm_gguf *g, pm_tokenizer **out) {
    pm_gguf_text name;
    vocabulary v;
    *out = NULL;
    if (!pm_gguf_string(g, KEY("model"), &name))
        return pm_raise(PM_ERR_FILE, "%s.model is missing: the file has no tokenizer", where);
    PM_TRY(open_vocabulary(&v, g));
    for (size_t i = 0; i < PM_COUNT(models); i++) {
        if (strlen(models[i].name) != name.n || memcmp(models[i].name, name.s, (size_t)name.n) != 0) continue;
        pm_tokenizer *t = pm_tok_new();
        if (!t) return PM_ERR_MEMORY;
        return pm_tok_finish(t, models[i].read(t, &v), out);
    }
    return pm_raise(PM_ERR_FILE, "%s.model is \"%.*s\", expected llama, gpt2, bert or t5", where,
                    (int)(name.n < 60 ? name.n : 60), name.s);
}
