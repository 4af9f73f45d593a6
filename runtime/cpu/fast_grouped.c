/* Fast grouped_matmul. An item is one expert and TILE_N columns: it looks for the expert's pairs and takes MOST of them at a
 * time, so that rows of w are read once for all of them. Items of experts without pairs end there. */
#include "runtime/cpu/fast_dots.h"
#include "runtime/cpu/reference.h"
#include "shaders/matmul.params.h"

enum { TILE_N = 32, MOST = 64 };

static uint64_t column_tiles(const pm_grouped_params *p) {
    return (p->n + TILE_N - 1) / TILE_N;
}

uint64_t pm_fast_grouped_matmul_items(const pm_call *c) {
    const pm_grouped_params *p = c->params;
    return p->n_experts * column_tiles(p);
}

/* Pairs of one expert, and where it and its results lie. */
typedef struct tile {
    const pm_call *c;
    const pm_grouped_params *p;
    const float *x, *w, *bias; /* bias may be NULL */
    float *y;
    uint64_t n0, n1;
    uint32_t pairs[MOST], n_pairs;
} tile;

static uint32_t expert_of(const tile *t, uint32_t pair) {
    return ((const uint32_t *)t->c->in[2])[t->p->ids_offset + (uint64_t)pair * t->p->ids_stride] -
           t->p->first_expert;
}

static const float *row_of(const tile *t, uint32_t i) {
    uint32_t pair = t->pairs[i];
    return t->x + (uint64_t)(pair / t->p->n_chosen) * t->p->x_token +
           (uint64_t)(pair % t->p->n_chosen) * t->p->x_choice;
}

static void store(const tile *t, uint32_t i, uint64_t n, float dot) {
    t->y[(uint64_t)t->pairs[i] * t->p->y_pair + n] =
        pm_fast_act(t->c->spec[PM_SPEC_ACT], t->bias ? dot + t->bias[n] : dot);
}

/* Columns n .. n + PM_DOT_COLS - 1 of all pairs. */
static void four_columns(const tile *t, uint64_t n) {
    const float *w[PM_DOT_COLS];
    uint32_t i = 0;
    for (uint64_t k = 0; k < PM_DOT_COLS; k++) w[k] = t->w + (n + k) * t->p->w_n;
    for (; i < t->n_pairs; i += PM_DOT_ROWS) {
        const float *x[PM_DOT_ROWS];
        float out[PM_DOT_ROWS * PM_DOT_COLS];
        for (uint32_t r = 0; r < PM_DOT_ROWS; r++) x[r] = row_of(t, i + r < t->n_pairs ? i + r : i);
        pm_fast_dots(x, w, t->p->k, out);
        for (uint32_t r = 0; r < PM_DOT_ROWS && i + r < t->n_pairs; r++)
            for (uint32_t k = 0; k < PM_DOT_COLS; k++) store(t, i + r, n + k, out[r * PM_DOT_COLS + k]);
    }
}

static void multiply(const tile *t) {
    uint64_t n = t->n0;
    for (; t->n_pairs > 1 && n + PM_DOT_COLS <= t->n1; n += PM_DOT_COLS) four_columns(t, n);
    for (; n < t->n1; n++)
        for (uint32_t i = 0; i < t->n_pairs; i++)
            store(t, i, n, pm_fast_long_dot(row_of(t, i), t->w + n * t->p->w_n, t->p->k));
}

static void by_reference(const tile *t) {
    for (uint32_t i = 0; i < t->n_pairs; i++)
        pm_reference_grouped_matmul(t->c, (uint64_t)t->pairs[i] * t->p->n + t->n0,
                                    (uint64_t)t->pairs[i] * t->p->n + t->n1);
}

static void take(tile *t) {
    const pm_grouped_params *p = t->p;
    if ((p->x_k == 1 || p->k == 1) && (p->w_k == 1 || p->k == 1))
        multiply(t);
    else
        by_reference(t);
    t->n_pairs = 0;
}

static void clear(const tile *t, uint32_t pair) {
    for (uint64_t n = t->n0; n < t->n1; n++) t->y[(uint64_t)pair * t->p->y_pair + n] = 0;
}

void pm_fast_grouped_matmul(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_grouped_params *p = c->params;
    uint64_t n_tiles = column_tiles(p);
    for (uint64_t item = first; item < last; item++) {
        uint32_t e = (uint32_t)(item / n_tiles);
        uint64_t n0 = item % n_tiles * TILE_N;
        tile t = {.c = c, .p = p, .n0 = n0, .n1 = n0 + TILE_N < p->n ? n0 + TILE_N : p->n};
        t.x = (const float *)c->in[0] + p->x_offset;
        t.w = (const float *)c->in[1] + p->w_offset + (uint64_t)e * p->w_expert;
        if (c->spec[PM_SPEC_HAS_BIAS])
            t.bias = (const float *)c->in[3] + p->bias_offset + (uint64_t)e * p->bias_expert;
        t.y = (float *)c->out + p->y_offset;
        for (uint32_t i = 0; i < p->n_pairs; i++) {
            uint32_t own = expert_of(&t, i);
            if (own == e) t.pairs[t.n_pairs++] = i;
            if (t.n_pairs == MOST) take(&t);
            if (e == 0 && own >= p->n_experts && !p->keep_others) clear(&t, i); /* of no expert: once */
        }
        take(&t);
    }
}
