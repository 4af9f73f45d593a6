/* Fast matmul. An item is a tile of TILE_M x TILE_N results of one batch. Three ways, chosen by strides: k side by side in both
 * operands (dots in lanes), n side by side in b (columns in lanes), and anything else (the reference kernel). */
#include "runtime/cpu/fast_dots.h"
#include "runtime/cpu/reference.h"
#include "shaders/matmul.params.h"

enum { TILE_M = 32, TILE_N = 32, ROWS = PM_DOT_ROWS, COLS = PM_DOT_COLS, WIDE = 32 };

enum { LEAST_PART = 16 }; /* terms of a chain */

typedef struct tile {
    const pm_matmul_params *p;
    const uint32_t *spec;
    const float *a, *b, *bias, *residual; /* of this batch; bias and residual may be NULL */
    float *y;
    uint64_t m0, m1, n0, n1;
} tile;

static uint64_t tiles_of(uint64_t n, uint64_t size) {
    return (n + size - 1) / size;
}

uint64_t pm_fast_matmul_items(const pm_call *c) {
    const pm_matmul_params *p = c->params;
    return (uint64_t)p->batch[0] * p->batch[1] * p->batch[2] * tiles_of(p->m, TILE_M) *
           tiles_of(p->n, TILE_N);
}

static void store(const tile *t, uint64_t m, uint64_t n, float dot) {
    float v = dot * t->p->scale;
    if (t->bias) v += t->bias[n];
    v = pm_fast_act(t->spec[PM_SPEC_ACT], v);
    if (t->residual) v += t->residual[m * t->p->residual_m + n];
    t->y[m * t->p->y_m + n] = v;
}

static void by_dots(const tile *t) {
    const pm_matmul_params *p = t->p;
    uint64_t m = t->m0;
    for (; m + ROWS <= t->m1; m += ROWS) {
        uint64_t n = t->n0;
        for (; n + COLS <= t->n1; n += COLS) {
            const float *a[ROWS], *b[COLS];
            float out[ROWS * COLS];
            for (uint64_t r = 0; r < ROWS; r++) a[r] = t->a + (m + r) * p->a_m;
            for (uint64_t k = 0; k < COLS; k++) b[k] = t->b + (n + k) * p->b_n;
            pm_fast_dots(a, b, p->k, out);
            for (uint64_t r = 0; r < ROWS; r++)
                for (uint64_t k = 0; k < COLS; k++) store(t, m + r, n + k, out[r * COLS + k]);
        }
        for (; n < t->n1; n++)
            for (uint64_t r = 0; r < ROWS; r++)
                store(t, m + r, n, pm_fast_long_dot(t->a + (m + r) * p->a_m, t->b + n * p->b_n, p->k));
    }
    for (; m < t->m1; m++)
        for (uint64_t n = t->n0; n < t->n1; n++)
            store(t, m, n, pm_fast_long_dot(t->a + m * p->a_m, t->b + n * p->b_n, p->k));
}

/* One row of y, `width` columns at once, terms k0 .. k1-1, added to sum. */
PM_CLONES static void add_columns(const pm_matmul_params *p, const float *a, const float *b, uint64_t k0,
                                  uint64_t k1, uint64_t width, float *sum) {
    float acc[WIDE] = {0};
    if (width == WIDE) {
        for (uint64_t k = k0; k < k1; k++)
            for (uint64_t j = 0; j < WIDE; j++) acc[j] += a[k * p->a_k] * b[k * p->b_k + j];
    } else {
        for (uint64_t k = k0; k < k1; k++)
            for (uint64_t j = 0; j < width; j++) acc[j] += a[k * p->a_k] * b[k * p->b_k + j];
    }
    for (uint64_t j = 0; j < width; j++) sum[j] += acc[j];
}

static void by_columns(const tile *t) {
    uint64_t part = pm_fast_part(t->p->k, LEAST_PART);
    for (uint64_t m = t->m0; m < t->m1; m++)
        for (uint64_t n = t->n0; n < t->n1; n += WIDE) {
            float sum[WIDE] = {0};
            uint64_t width = t->n1 - n < WIDE ? t->n1 - n : WIDE;
            for (uint64_t k = 0; k < t->p->k; k += part)
                add_columns(t->p, t->a + m * t->p->a_m, t->b + n, k, t->p->k - k < part ? t->p->k : k + part,
                            width, sum);
            for (uint64_t j = 0; j < width; j++) store(t, m, n + j, sum[j]);
        }
}

static void by_reference(const pm_call *c, const tile *t, uint64_t batch) {
    for (uint64_t m = t->m0; m < t->m1; m++) {
        uint64_t row = (batch * t->p->m + m) * t->p->n;
        pm_reference_matmul(c, row + t->n0, row + t->n1);
    }
}

void pm_fast_matmul(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_matmul_params *p = c->params;
    uint64_t tn = tiles_of(p->n, TILE_N), tm = tiles_of(p->m, TILE_M);
    for (uint64_t i = first; i < last; i++) {
        uint64_t batch = i / tn / tm, m0 = i / tn % tm * TILE_M, n0 = i % tn * TILE_N;
        tile t = {.p = p, .spec = c->spec, .m0 = m0, .n0 = n0};
        t.m1 = m0 + TILE_M < p->m ? m0 + TILE_M : p->m;
        t.n1 = n0 + TILE_N < p->n ? n0 + TILE_N : p->n;
        t.a = (const float *)c->in[0] + p->a_offset + pm_strided(batch, p->batch, p->a_batch, 3);
        t.b = (const float *)c->in[1] + p->b_offset + pm_strided(batch, p->batch, p->b_batch, 3);
        if (c->spec[PM_SPEC_HAS_BIAS]) t.bias = (const float *)c->in[2] + p->bias_offset;
        if (c->spec[PM_SPEC_HAS_RESIDUAL])
            t.residual = (const float *)c->in[3] + p->residual_offset +
                         pm_strided(batch, p->batch, p->residual_batch, 3);
        t.y = (float *)c->out + p->y_offset + pm_strided(batch, p->batch, p->y_batch, 3);
        if ((p->a_k == 1 || p->k == 1) && (p->b_k == 1 || p->k == 1))
            by_dots(&t);
        else if (p->b_n == 1 || p->n == 1)
            by_columns(&t);
        else
            by_reference(c, &t, batch);
    }
}
