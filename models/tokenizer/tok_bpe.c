/* Byte pair encoding: characters become symbols in a chain, and the best pair is joined until none is left. Pairs wait in a heap, so
 * a word of n characters takes n log n. "Best" is the first in the list of merges (Hugging Face), or the joined token with the
 * highest score (SentencePiece). Words that a text repeats are looked up. */
#include "models/tokenizer/tok_data.h"

enum { NONE = -1, CACHE_SLOTS = 1 << 12, CACHE_WORD = 128, CACHE_IDS = 1 << 20 };

typedef struct pm_tok_symbol {
    int32_t id; /* NONE: SentencePiece's, a character without a token */
    int32_t before, after;
    uint32_t begin, n; /* bytes; n 0: joined to the one before */
} pm_tok_symbol;

typedef struct pm_tok_candidate {
    double rank; /* least first */
    int32_t at, id;
} pm_tok_candidate;

struct pm_tok_cached {
    const char *word; /* in the text of this call */
    uint32_t n, from, count;
};

/* ---- merges by pair ---- */

static size_t pair_slot(const pm_tok_model *m, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t mask = m->n_slots - 1, i = (size_t)((key * 0x9E3779B97F4A7C15u) >> 24) & mask;
    while (m->merge[i].left >= 0 && (m->merge[i].left != left || m->merge[i].right != right))
        i = (i + 1) & mask;
    return i;
}

static pm_status grow_merges(pm_tok_model *m) {
    size_t n_old = m->n_slots, n = n_old ? 2 * n_old : 64;
    if (n_old > 2 * (m->n_merges + 1)) return PM_OK;
    pm_tok_merge *old = m->merge, *merge = pm_calloc(n, sizeof *merge);
    if (!merge) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) merge[i].left = NONE;
    m->merge = merge;
    m->n_slots = n;
    for (size_t i = 0; i < n_old; i++)
        if (old[i].left >= 0) m->merge[pair_slot(m, old[i].left, old[i].right)] = old[i];
    pm_free(old);
    return PM_OK;
}

pm_status pm_tok_merge_add(pm_tok_model *m, pm_tok_merge add) {
    PM_TRY(grow_merges(m));
    size_t i = pair_slot(m, add.left, add.right);
    if (m->merge[i].left < 0) m->n_merges++;
    m->merge[i] = add;
    return PM_OK;
}

/* ---- the heap ---- */

static bool comes_first(const pm_tok_candidate *a, const pm_tok_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static pm_status heap_push(pm_tok_scratch *x, pm_tok_candidate c) {
    PM_TRY(pm_grow((void **)&x->heap, &x->heap_capacity, x->n_heap + 1, sizeof *x->heap));
    size_t i = x->n_heap++;
    for (; i > 0 && comes_first(&c, &x->heap[(i - 1) / 2]); i = (i - 1) / 2)
        x->heap[i] = x->heap[(i - 1) / 2];
    x->heap[i] = c;
    return PM_OK;
}

static pm_tok_candidate heap_pop(pm_tok_scratch *x) {
    pm_tok_candidate top = x->heap[0], last = x->heap[--x->n_heap];
    size_t i = 0;
    for (size_t k = 1; k < x->n_heap; k = 2 * i + 1) {
        if (k + 1 < x->n_heap && comes_first(&x->heap[k + 1], &x->heap[k])) k++;
        if (!comes_first(&x->heap[k], &last)) break;
        x->heap[i] = x->heap[k];
        i = k;
    }
    x->heap[i] = last;
    return top;
}

/* ---- one word ---- */

typedef struct word {
    const pm_tok_model *m;
    const pm_tok_vocab *v;
    pm_tok_scratch *x;
    pm_tok_view in;
    size_t n;         /* symbols */
    bool was_unknown; /* the last id that came out stands for characters without a token */
} word;

static pm_status add_symbol(word *w, int32_t id, size_t begin, size_t n) {
    PM_TRY(pm_grow((void **)&w->x->symbol, &w->x->symbol_capacity, w->n + 1, sizeof *w->x->symbol));
    w->x->symbol[w->n] = (pm_tok_symbol){id, (int32_t)w->n - 1, NONE, (uint32_t)begin, (uint32_t)n};
    if (w->n) w->x->symbol[w->n - 1].after = (int32_t)w->n;
    w->n++;
    return PM_OK;
}

/* The vocabulary's entry of a character with the prefix of a continuation and the suffix of a word's end. */
static pm_status find_char(word *w, size_t i, size_t n, const char **out_text, size_t *out_n,
                           int32_t *out_id) {
    const char *prefix = i ? w->m->prefix : "", *suffix = i + n == w->in.n ? w->m->suffix : "";
    size_t a = strlen(prefix), b = strlen(suffix);
    *out_text = w->in.s + i;
    *out_n = a + n + b;
    if (a + b) {
        PM_TRY(pm_grow((void **)&w->x->word, &w->x->word_capacity, a + n + b, 1));
        memcpy(w->x->word, prefix, a);
        memcpy(w->x->word + a, w->in.s + i, n);
        memcpy(w->x->word + a + n, suffix, b);
        *out_text = w->x->word;
    }
    const pm_tok_entry *e = pm_tok_vocab_find(w->v, *out_text, *out_n);
    *out_id = e ? e->id : NONE;
    return PM_OK;
}

/* Characters to symbols. What is unknown waits, to be fused with unknowns that follow; offsets go on without what was dropped, as in the
 * library whose files these are. */
static pm_status start_symbols(word *w) {
    const pm_tok_model *m = w->m;
    size_t at = 0, unk = 0, k, n;
    const char *text;
    int32_t c, id;
    for (size_t i = 0; i < w->in.n; i += k) {
        k = pm_tok_char(w->in.s + i, w->in.n - i, &c);
        PM_TRY(find_char(w, i, k, &text, &n, &id));
        if (id >= 0) {
            if (unk) PM_TRY(add_symbol(w, m->unk, at, unk));
            at += unk;
            PM_TRY(add_symbol(w, id, at, k));
            at += k;
            unk = 0;
        } else if (m->byte_fallback && pm_tok_has_bytes(m, text, n)) {
            for (size_t b = 0; b < n; b++) PM_TRY(add_symbol(w, m->byte_id[(unsigned char)text[b]], at++, 1));
        } else if (m->unk >= 0) {
            if (unk && !m->fuse_unk) {
                PM_TRY(add_symbol(w, m->unk, at, unk));
                at += unk;
                unk = 0;
            }
            unk += k;
        }
    }
    return unk ? add_symbol(w, m->unk, at, unk) : PM_OK;
}

/* SentencePiece joins characters that are no tokens, too: ids come last. */
static pm_status start_pieces(word *w) {
    size_t k;
    int32_t c;
    for (size_t i = 0; i < w->in.n; i += k) {
        k = pm_tok_char(w->in.s + i, w->in.n - i, &c);
        const pm_tok_entry *e = pm_tok_vocab_find(w->v, w->in.s + i, k);
        PM_TRY(add_symbol(w, e ? e->id : NONE, i, k));
    }
    return PM_OK;
}

/* What a symbol and the one after it join to. */
static bool find_pair(const word *w, int32_t at, pm_tok_candidate *out) {
    const pm_tok_symbol *a = &w->x->symbol[at];
    if (a->after < 0) return false;
    const pm_tok_symbol *b = &w->x->symbol[a->after];
    if (w->m->by_score) {
        const pm_tok_entry *e = pm_tok_vocab_find(w->v, w->in.s + a->begin, (size_t)a->n + b->n);
        if (e) *out = (pm_tok_candidate){-e->score, at, e->id};
        return e != NULL;
    }
    if (!w->m->n_slots) return false;
    const pm_tok_merge *g = &w->m->merge[pair_slot(w->m, a->id, b->id)];
    *out = (pm_tok_candidate){g->rank, at, g->id};
    return g->left >= 0;
}

static pm_status join(word *w) {
    pm_tok_candidate c, now;
    w->x->n_heap = 0;
    for (size_t i = 0; i + 1 < w->n; i++)
        if (find_pair(w, (int32_t)i, &c)) PM_TRY(heap_push(w->x, c));
    while (w->x->n_heap) {
        c = heap_pop(w->x);
        pm_tok_symbol *a = &w->x->symbol[c.at];
        if (a->n == 0 || !find_pair(w, c.at, &now) || now.id != c.id || now.rank != c.rank)
            continue; /* one of the two is gone */
        pm_tok_symbol *b = &w->x->symbol[a->after];
        a->id = c.id;
        a->n += b->n;
        a->after = b->after;
        b->n = 0;
        if (a->after >= 0) w->x->symbol[a->after].before = c.at;
        if (a->before >= 0 && find_pair(w, a->before, &now)) PM_TRY(heap_push(w->x, now));
        if (find_pair(w, c.at, &now)) PM_TRY(heap_push(w->x, now));
    }
    return PM_OK;
}

/* A piece without a token: its bytes, or unknown. */
static pm_status put_unknown(word *w, const pm_tok_symbol *s, pm_tok_ids *out) {
    const char *text = w->in.s + s->begin;
    size_t end = (size_t)s->begin + s->n;
    if (pm_tok_has_bytes(w->m, text, s->n)) {
        for (size_t i = 0; i < s->n; i++)
            PM_TRY(pm_tok_ids_add(out, w->m->byte_id[(unsigned char)text[i]], s->begin, end));
        w->was_unknown = false;
        return PM_OK;
    }
    if (w->m->unk < 0) return PM_OK;
    if (w->was_unknown) {
        out->v[out->n - 1].end = (uint32_t)end;
        return PM_OK;
    }
    w->was_unknown = true;
    return pm_tok_ids_add(out, w->m->unk, s->begin, end);
}

static pm_status encode_word(word *w, pm_tok_ids *out) {
    const pm_tok_entry *whole = w->m->ignore_merges ? pm_tok_vocab_find(w->v, w->in.s, w->in.n) : NULL;
    if (whole) return pm_tok_ids_add(out, whole->id, 0, w->in.n);
    PM_TRY(w->m->by_score ? start_pieces(w) : start_symbols(w));
    PM_TRY(join(w));
    for (int32_t i = w->n ? 0 : NONE; i >= 0; i = w->x->symbol[i].after) {
        const pm_tok_symbol *s = &w->x->symbol[i];
        if (s->id < 0) {
            PM_TRY(put_unknown(w, s, out));
            continue;
        }
        PM_TRY(pm_tok_ids_add(out, s->id, s->begin, (size_t)s->begin + s->n));
        w->was_unknown = false;
    }
    return PM_OK;
}

pm_status pm_tok_bpe(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                     pm_tok_ids *out) {
    word w = {.m = m, .v = v, .x = x, .in = in};
    size_t from = out->n;
    if (in.n > CACHE_WORD) return encode_word(&w, out);
    if (!x->cache) x->cache = pm_calloc(CACHE_SLOTS, sizeof *x->cache);
    if (!x->cache) return PM_ERR_MEMORY;
    struct pm_tok_cached *c = &x->cache[pm_tok_hash(in.s, in.n) % CACHE_SLOTS];
    if (c->word && c->n == in.n && memcmp(c->word, in.s, in.n) == 0) {
        for (size_t i = 0; i < c->count; i++) {
            pm_tok_id id = x->cached_ids.v[c->from + i];
            PM_TRY(pm_tok_ids_add(out, id.id, id.begin, id.end));
        }
        return PM_OK;
    }
    PM_TRY(encode_word(&w, out));
    if (x->cached_ids.n > CACHE_IDS) return PM_OK;
    *c = (struct pm_tok_cached){in.s, (uint32_t)in.n, (uint32_t)x->cached_ids.n, (uint32_t)(out->n - from)};
    for (size_t i = from; i < out->n; i++)
        PM_TRY(pm_tok_ids_add(&x->cached_ids, out->v[i].id, out->v[i].begin, out->v[i].end));
    return PM_OK;
}
