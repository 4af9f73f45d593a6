/* Unigram (Kudo 2018, section 3.2): the segmentation with the highest sum of scores, by Viterbi from the left. A character that no
 * token covers costs more than any token; such characters next to each other are one unknown. A token that the model itself
 * calls unknown (a piece that vocab.json lacks) is one by itself. */
#include "models/tokenizer/tok_data.h"

typedef struct pm_tok_step { /* the best way to get to a byte */
    double score;
    int64_t from;  /* -1: no way yet */
    int32_t entry; /* -1: unknown */
} pm_tok_step;

static double add(const pm_tok_model *m, double a, double b) {
    return m->single_precision ? (double)((float)a + (float)b) : a + b;
}

static void offer(pm_tok_step *to, double score, size_t from, int32_t entry) {
    if (to->from < 0 || score > to->score) *to = (pm_tok_step){score, (int64_t)from, entry};
}

static void walk(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_view in, pm_tok_step *step) {
    size_t k;
    int32_t c;
    for (size_t i = 0; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &c);
        double here = step[i].score;
        bool single = false;
        uint32_t node = 0;
        for (size_t j = i; j < in.n && pm_tok_trie_step(&m->trie, &node, (unsigned char)in.s[j]); j++) {
            int64_t entry = m->trie.value[node];
            if (entry < 0) continue;
            single |= j + 1 - i == k;
            offer(&step[j + 1], add(m, here, v->entry[entry].score), i, (int32_t)entry);
        }
        if (!single) offer(&step[i + k], add(m, here, m->unk_score), i, -1);
    }
}

/* A character that no token covers, or the token that stands for it. */
static bool is_unknown(const pm_tok_model *m, const pm_tok_vocab *v, int32_t entry) {
    return entry < 0 || (v->entry[entry].id == m->unk && pm_tok_vocab_by_id(v, m->unk) == &v->entry[entry]);
}

/* The path, from its end; unknowns that touch are one. */
static pm_status trace(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, size_t n) {
    pm_tok_ids *r = &x->reversed;
    bool was = false;
    r->n = 0;
    for (size_t end = n; end > 0;) {
        const pm_tok_step *s = &x->step[end];
        size_t from = (size_t)s->from;
        bool unknown = is_unknown(m, v, s->entry);
        if (unknown && was)
            r->v[r->n - 1].begin = (uint32_t)from;
        else
            PM_TRY(pm_tok_ids_add(r, s->entry < 0 ? m->unk : v->entry[s->entry].id, from, end));
        was = unknown;
        end = from;
    }
    return PM_OK;
}

pm_status pm_tok_unigram(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                         pm_tok_ids *out) {
    PM_TRY(pm_grow((void **)&x->step, &x->step_capacity, in.n + 1, sizeof *x->step));
    for (size_t i = 0; i <= in.n; i++) x->step[i] = (pm_tok_step){0, -1, -1};
    walk(m, v, in, x->step);
    PM_TRY(trace(m, v, x, in.n));
    for (size_t i = x->reversed.n; i-- > 0;) {
        pm_tok_id t = x->reversed.v[i];
        const char *text = in.s + t.begin;
        size_t n = t.end - t.begin;
        const pm_tok_entry *e = t.id == m->unk ? pm_tok_vocab_find(v, text, n) : NULL;
        if (t.id == m->unk && !e && m->byte_fallback && pm_tok_has_bytes(m, text, n)) {
            for (size_t b = 0; b < n; b++)
                PM_TRY(pm_tok_ids_add(out, m->byte_id[(unsigned char)text[b]], t.begin, t.end));
            continue;
        }
        if (t.id < 0 || (t.id == m->unk && !e))
            PM_TRY(pm_tok_put_unknown(m, in, t.begin, t.end, out));
        else
            PM_TRY(pm_tok_ids_add(out, e ? e->id : t.id, t.begin, t.end));
    }
    return PM_OK;
}
