/* What the models share, and the small ones: WordPiece and WordLevel. */
#include "models/tokenizer/tok_data.h"

#include <float.h>

enum { UNKNOWN_PENALTY = 10 }; /* SentencePiece's */

pm_status pm_tok_ids_add(pm_tok_ids *ids, int32_t id, size_t begin, size_t end) {
    PM_TRY(pm_grow((void **)&ids->v, &ids->capacity, ids->n + 1, sizeof *ids->v));
    ids->v[ids->n++] = (pm_tok_id){id, (uint32_t)begin, (uint32_t)end};
    return PM_OK;
}

void pm_tok_scratch_free(pm_tok_scratch *s) {
    pm_free(s->symbol);
    pm_free(s->heap);
    pm_free(s->step);
    pm_free(s->word);
    pm_free(s->cache);
    pm_free(s->cached_ids.v);
    pm_free(s->reversed.v);
    *s = (pm_tok_scratch){0};
}

void pm_tok_model_free(pm_tok_model *m) {
    pm_free(m->prefix);
    pm_free(m->suffix);
    pm_free(m->merge);
    pm_tok_trie_free(&m->trie);
    *m = (pm_tok_model){0};
}

bool pm_tok_has_bytes(const pm_tok_model *m, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (m->byte_id[(unsigned char)s[i]] < 0) return false;
    return true;
}

static int hex(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

bool pm_tok_byte_token(const char *s, size_t n, unsigned char *out) {
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>' || hex(s[3]) < 0 || hex(s[4]) < 0) return false;
    *out = (unsigned char)(hex(s[3]) * 16 + hex(s[4]));
    return true;
}

pm_status pm_tok_model_finish(pm_tok_model *m, const pm_tok_vocab *v) {
    double least = DBL_MAX;
    for (unsigned b = 0; b < 256; b++) {
        char token[8];
        snprintf(token, sizeof token, "<0x%02X>", b);
        const pm_tok_entry *e = m->byte_fallback ? pm_tok_vocab_find(v, token, 6) : NULL;
        if (e) m->byte_id[b] = e->id;
    }
    if (!m->prefix) m->prefix = pm_strdup("");
    if (!m->suffix) m->suffix = pm_strdup("");
    if (!m->prefix || !m->suffix) return PM_ERR_MEMORY;
    if (m->type != PM_TOK_UNIGRAM || m->trie.n_nodes) return PM_OK;
    for (size_t i = 0; i < v->n; i++) {
        const pm_tok_entry *e = &v->entry[i];
        if (e->n == 0 || e->n > PM_TOK_MAX_TOKEN) continue;
        if (e->score < least) least = e->score;
        PM_TRY(pm_tok_trie_add(&m->trie, pm_tok_vocab_text(v, e), e->n, (int64_t)i));
    }
    m->unk_score = (least < DBL_MAX ? least : 0) - UNKNOWN_PENALTY;
    return PM_OK;
}

pm_status pm_tok_put_unknown(const pm_tok_model *m, pm_tok_view in, size_t begin, size_t end,
                             pm_tok_ids *out) {
    if (m->unk >= 0) return pm_tok_ids_add(out, m->unk, begin, end);
    return pm_raise(PM_ERR_USAGE, "tokenize: \"%.*s\" is not in the vocabulary, which has no unknown token",
                    (int)(end - begin < 60 ? end - begin : 60), in.s + begin);
}

/* ---- WordLevel ---- */

pm_status pm_tok_wordlevel(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                           pm_tok_ids *out) {
    const pm_tok_entry *e = pm_tok_vocab_find(v, in.s, in.n);
    (void)x;
    return e ? pm_tok_ids_add(out, e->id, 0, in.n) : pm_tok_put_unknown(m, in, 0, in.n, out);
}

/* ---- WordPiece: from the left, the longest token that fits ---- */

static size_t count_chars(pm_tok_view in, size_t most) {
    size_t n = 0;
    for (size_t i = 0; i < in.n && n <= most; i++) n += ((unsigned char)in.s[i] & 0xC0) != 0x80;
    return n;
}

/* The longest token at `begin`, tried from the longest that the vocabulary has. */
static const pm_tok_entry *longest_at(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x,
                                      pm_tok_view in, size_t begin, size_t *out_end) {
    size_t prefix = (begin > 0) != m->word_start ? strlen(m->prefix) : 0;
    size_t most = v->longest < PM_TOK_MAX_TOKEN ? v->longest : PM_TOK_MAX_TOKEN;
    size_t room = most > prefix ? most - prefix : 0;
    size_t end = in.n - begin > room ? begin + room : in.n;
    memcpy(x->word, m->prefix, prefix);
    memcpy(x->word + prefix, in.s + begin, end - begin);
    for (; end > begin; end--) {
        if (end < in.n && ((unsigned char)in.s[end] & 0xC0) == 0x80) continue; /* inside a character */
        const pm_tok_entry *e = pm_tok_vocab_find(v, x->word, prefix + end - begin);
        if (e) return *out_end = end, e;
    }
    return NULL;
}

pm_status pm_tok_wordpiece(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                           pm_tok_ids *out) {
    size_t from = out->n, end;
    if (count_chars(in, m->max_chars) > m->max_chars) return pm_tok_put_unknown(m, in, 0, in.n, out);
    PM_TRY(pm_grow((void **)&x->word, &x->word_capacity, v->longest + strlen(m->prefix) + 1, 1));
    for (size_t begin = 0; begin < in.n; begin = end) {
        const pm_tok_entry *e = longest_at(m, v, x, in, begin, &end);
        if (!e) {
            out->n = from;
            return pm_tok_put_unknown(m, in, 0, in.n, out);
        }
        PM_TRY(pm_tok_ids_add(out, e->id, begin, end));
    }
    return PM_OK;
}
