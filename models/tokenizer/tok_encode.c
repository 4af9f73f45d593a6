/* Text to ids: the pipeline, one step after the other; and what a caller may ask of a vocabulary. */
#include "models/tokenizer/tok_data.h"

/* Added tokens, normalizers, added tokens again. */
static pm_status cut_and_normalize(const pm_tokenizer *t, pm_tok_view text, bool plain, pm_tok_pieces *out) {
    pm_tok_pieces raw = {0};
    pm_status s = pm_tok_added_split(t, text, false, plain, &raw);
    for (size_t i = 0; i < raw.n && s == PM_OK; i++) {
        const pm_tok_piece *p = &raw.piece[i];
        pm_tok_view in = pm_tok_text_view(&raw.text, p->begin, p->end, p->origin);
        size_t begin = out->text.n;
        pm_tok_text normal = {0};
        if (p->id >= 0) {
            s = pm_tok_text_copy(&out->text, in, 0, in.n);
            if (s == PM_OK) s = pm_tok_pieces_end(out, begin, p->origin, p->id);
            continue;
        }
        s = pm_tok_normalize(&t->normalizer, in, &normal);
        if (s == PM_OK)
            s = pm_tok_added_split(t, pm_tok_text_view(&normal, 0, normal.n, p->origin), true, plain, out);
        pm_tok_text_free(&normal);
    }
    pm_tok_pieces_free(&raw);
    return s;
}

static bool blank_at(const char *s, size_t n, size_t *out_bytes) {
    int32_t c;
    *out_bytes = pm_tok_char(s, n, &c);
    return c == pm_tok_byte_char(' ') || pm_tok_is_space(c);
}

/* Byte-level tokens carry the space before them; their place in the text begins after it. Each blank takes a character off. */
static void trim_offsets(const pm_tokenizer *t, bool first, pm_tok_view token_text, const char *text,
                         pm_token *token) {
    const char *s = token_text.s;
    size_t leading = 0, trailing = 0, n = token_text.n, k;
    bool valid;
    for (size_t i = 0; i < n && blank_at(s + i, n - i, &k); i += k) leading++;
    for (size_t end = n, at; end > 0; end = at, trailing++) {
        at = pm_tok_char_before(s, end);
        if (!blank_at(s + at, end - at, &k)) break;
    }
    if (leading == 1 && (first || token->begin == 0) && t->trim_prefix_space) leading = 0; /* it was added */
    for (; leading && token->begin < token->end; leading--)
        token->begin += (uint32_t)pm_tok_utf8_check((const unsigned char *)text + token->begin,
                                                    token->end - token->begin, &valid);
    for (; trailing && token->begin < token->end; trailing--)
        token->end = (uint32_t)pm_tok_char_before(text, token->end);
    if (token->end < token->begin) token->end = token->begin;
}

/* The tokens of one text on their way out. */
typedef struct sink {
    const pm_tokenizer *t;
    const char *text;
    pm_encoding *out;
    size_t capacity;
} sink;

static pm_status put_tokens(sink *k, pm_tok_view in, const pm_tok_ids *ids, bool added) {
    pm_encoding *out = k->out;
    PM_TRY(pm_grow((void **)&out->tokens, &k->capacity, out->n + ids->n, sizeof *out->tokens));
    for (size_t i = 0; i < ids->n; i++) {
        pm_tok_span at = pm_tok_view_span(in, ids->v[i].begin, ids->v[i].end);
        pm_token token = {.id = ids->v[i].id, .begin = at.begin, .end = at.end};
        pm_tok_view spelled = in;
        if (!added) spelled.s = pm_tokenizer_token(k->t, token.id, &spelled.n);
        if (k->t->trim_offsets && spelled.s) trim_offsets(k->t, out->n == 0, spelled, k->text, &token);
        out->tokens[out->n++] = token;
    }
    return PM_OK;
}

static pm_status run_model(const pm_tokenizer *t, pm_tok_scratch *x, pm_tok_view in, pm_tok_ids *out) {
    switch (t->model.type) {
    case PM_TOK_BPE: return pm_tok_bpe(&t->model, &t->vocab, x, in, out);
    case PM_TOK_WORDPIECE: return pm_tok_wordpiece(&t->model, &t->vocab, x, in, out);
    case PM_TOK_UNIGRAM: return pm_tok_unigram(&t->model, &t->vocab, x, in, out);
    case PM_TOK_WORDLEVEL: return pm_tok_wordlevel(&t->model, &t->vocab, x, in, out);
    }
    return PM_ERR_OTHER;
}

static pm_status encode_text(const pm_tokenizer *t, const char *bytes, size_t n, bool plain,
                             pm_encoding *out) {
    pm_tok_text text = {0};
    pm_tok_pieces pieces = {0};
    pm_tok_scratch scratch = {0};
    pm_tok_ids ids = {0};
    pm_status s;
    sink to = {.t = t, .text = bytes, .out = out};
    PM_GOTO(pm_tok_text_read(&text, bytes, n));
    PM_GOTO(cut_and_normalize(t, pm_tok_text_view(&text, 0, text.n, 0), plain, &pieces));
    PM_GOTO(pm_tok_pretokenize(&t->pretokenizer, &pieces));
    for (size_t i = 0; i < pieces.n; i++) {
        const pm_tok_piece *p = &pieces.piece[i];
        pm_tok_view in = pm_tok_text_view(&pieces.text, p->begin, p->end, p->origin);
        ids.n = 0;
        PM_GOTO(p->id >= 0 ? pm_tok_ids_add(&ids, p->id, 0, in.n) : run_model(t, &scratch, in, &ids));
        PM_GOTO(put_tokens(&to, in, &ids, p->id >= 0));
    }
fail:
    pm_tok_text_free(&text);
    pm_tok_pieces_free(&pieces);
    pm_tok_scratch_free(&scratch);
    pm_free(ids.v);
    return s;
}

pm_status pm_tokenizer_encode(const pm_tokenizer *t, const char *text, size_t bytes,
                              const pm_encode_options *options, pm_encoding *out) {
    static const pm_encode_options none = {0};
    const pm_encode_options *o = options ? options : &none;
    pm_encoding parts[2] = {{0}};
    pm_status s;
    *out = (pm_encoding){0};
    PM_GOTO(encode_text(t, text, bytes, o->plain_specials, &parts[0]));
    if (o->pair) PM_GOTO(encode_text(t, o->pair, o->pair_bytes, o->plain_specials, &parts[1]));
    for (size_t i = 0; i < parts[1].n; i++) parts[1].tokens[i].sequence = 1;
    PM_GOTO(pm_tok_finish_encoding(t, o, parts, out));
fail:
    if (s != PM_OK) pm_encoding_free(out);
    pm_encoding_free(&parts[0]);
    pm_encoding_free(&parts[1]);
    return s;
}

void pm_encoding_free(pm_encoding *e) {
    pm_free(e->tokens);
    *e = (pm_encoding){0};
}

/* ---- the vocabulary ---- */

int32_t pm_tokenizer_id_limit(const pm_tokenizer *t) {
    return (int32_t)(t->vocab.n_ids > t->added.ids.n_ids ? t->vocab.n_ids : t->added.ids.n_ids);
}

const char *pm_tokenizer_token(const pm_tokenizer *t, int32_t id, size_t *out_bytes) {
    const pm_tok_vocab *v = &t->added.ids;
    const pm_tok_entry *e = pm_tok_vocab_by_id(v, id);
    if (!e) {
        v = &t->vocab;
        e = pm_tok_vocab_by_id(v, id);
    }
    *out_bytes = e ? e->n : 0;
    return e ? pm_tok_vocab_text(v, e) : NULL;
}

int32_t pm_tokenizer_find(const pm_tokenizer *t, const char *token, size_t bytes) {
    const pm_tok_entry *e = pm_tok_vocab_find(&t->added.ids, token, bytes);
    if (!e) e = pm_tok_vocab_find(&t->vocab, token, bytes);
    return e ? e->id : -1;
}

bool pm_tokenizer_is_special(const pm_tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->n_special && t->special[id];
}

bool pm_tokenizer_marks_words(const pm_tokenizer *t) {
    return t->model.type != PM_TOK_UNIGRAM && t->model.prefix[0];
}

bool pm_tokenizer_continues(const pm_tokenizer *t, int32_t id) {
    size_t n, prefix = strlen(t->model.prefix);
    const char *s = pm_tokenizer_token(t, id, &n);
    bool marked = s && n > prefix && memcmp(s, t->model.prefix, prefix) == 0;
    return marked != t->model.word_start && id != t->model.unk;
}
