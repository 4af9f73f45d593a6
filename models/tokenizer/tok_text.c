/* Texts that know where their bytes came from, and texts cut into pieces. Invariant: a pm_tok_text is UTF-8, and its spans
 * never decrease. */
#include "models/tokenizer/tok_data.h"

static pm_status make_room(pm_tok_text *t, size_t more) {
    if (more > PM_TOK_MAX_TEXT || t->n > PM_TOK_MAX_TEXT - more)
        return pm_raise(PM_ERR_USAGE, "tokenize: the text grows beyond %d bytes", PM_TOK_MAX_TEXT);
    if (t->n + more <= t->capacity && t->s) return PM_OK;
    size_t capacity = t->capacity, spans = t->capacity;
    PM_TRY(pm_grow((void **)&t->s, &capacity, t->n + more, 1));
    PM_TRY(pm_grow((void **)&t->at, &spans, capacity, sizeof *t->at));
    t->capacity = capacity;
    return PM_OK;
}

pm_status pm_tok_text_add(pm_tok_text *t, const char *s, size_t n, pm_tok_span at) {
    PM_TRY(make_room(t, n));
    for (size_t i = 0; i < n; i++) {
        t->s[t->n + i] = s[i];
        t->at[t->n + i] = at;
    }
    t->n += n;
    return PM_OK;
}

pm_status pm_tok_text_add_char(pm_tok_text *t, int32_t c, pm_tok_span at) {
    char bytes[4];
    size_t n = pm_tok_char_write(c, bytes);
    return pm_tok_text_add(t, bytes, n, at);
}

pm_status pm_tok_text_copy(pm_tok_text *t, pm_tok_view from, size_t begin, size_t end) {
    if (begin == end) return PM_OK;
    PM_TRY(make_room(t, end - begin));
    memcpy(t->s + t->n, from.s + begin, end - begin);
    memcpy(t->at + t->n, from.at + begin, (end - begin) * sizeof *t->at);
    t->n += end - begin;
    return PM_OK;
}

pm_status pm_tok_text_read(pm_tok_text *t, const char *bytes, size_t n) {
    size_t k;
    if (n > PM_TOK_MAX_TEXT)
        return pm_raise(PM_ERR_USAGE, "tokenize: the text has %zu bytes, at most %d were expected", n,
                        PM_TOK_MAX_TEXT);
    for (size_t i = 0; i < n; i += k) {
        bool valid;
        k = pm_tok_utf8_check((const unsigned char *)bytes + i, n - i, &valid);
        pm_tok_span at = {(uint32_t)i, (uint32_t)(i + k)};
        PM_TRY(valid ? pm_tok_text_add(t, bytes + i, k, at) : pm_tok_text_add_char(t, 0xFFFD, at));
    }
    return PM_OK;
}

void pm_tok_text_free(pm_tok_text *t) {
    pm_free(t->s);
    pm_free(t->at);
    *t = (pm_tok_text){0};
}

pm_tok_span pm_tok_view_span(pm_tok_view v, size_t begin, size_t end) {
    if (end > v.n) end = v.n; /* bytes of a token's suffix are not in the text */
    if (begin >= end) {
        uint32_t at = v.n == 0 ? (uint32_t)v.origin : begin < v.n ? v.at[begin].begin : v.at[v.n - 1].end;
        return (pm_tok_span){at, at};
    }
    return (pm_tok_span){v.at[begin].begin, v.at[end - 1].end};
}

pm_status pm_tok_pieces_end(pm_tok_pieces *p, size_t begin, size_t origin, int32_t id) {
    if (begin == p->text.n) return PM_OK;
    PM_TRY(pm_grow((void **)&p->piece, &p->capacity, p->n + 1, sizeof *p->piece));
    p->piece[p->n++] = (pm_tok_piece){begin, p->text.n, origin, id};
    return PM_OK;
}

pm_status pm_tok_pieces_copy(pm_tok_pieces *p, pm_tok_view from, size_t begin, size_t end) {
    size_t start = p->text.n;
    if (begin == end) return PM_OK;
    PM_TRY(pm_tok_text_copy(&p->text, from, begin, end));
    return pm_tok_pieces_end(p, start, from.at[begin].begin, -1);
}

void pm_tok_pieces_free(pm_tok_pieces *p) {
    pm_tok_text_free(&p->text);
    pm_free(p->piece);
    *p = (pm_tok_pieces){0};
}
