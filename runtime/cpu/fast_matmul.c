/* Fast matmul. An item is a tile of TILE_M x TILE_N results of one batch. With many rows b is packed first, columns side by side,
 * and a block of sums stays in registers. Few rows are not worth that: k side by side in both operands (dots in lanes), n side
 * by side in b (columns in lanes), and anything else (the reference kernel). */
#include "runtime/cpu/fast_dots.h"
#include "runtime/cpu/reference.h"
#include "shaders/matmul.params.h"

#include <string.h>

enum { TILE_M = 96, TILE_N = 32, ROWS = PM_DOT_ROWS, COLS = PM_DOT_COLS, WIDE = 32 };

enum { LEAST_PART = 16 }; /* terms of a chain */

typedef struct tile {
    const pm_matmul_params *p;
    const pm_call *call;
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

/* n results of row m, from column `first` on. */
static inline void put_row(const tile *t, uint64_t m, uint64_t first, uint64_t n, const float *values) {
    if (!t->call->spec[PM_SPEC_CACHES]) {
        memcpy(t->y + m * t->p->y_m + first, values, n * sizeof *values);
        return;
    }
    for (uint64_t i = 0, at; i < n; i++) {
        const pm_product_place to = pm_place_product(t->call, m, first + i);
        if (!to.binding) t->y[m * t->p->y_m + first + i] = values[i];
        for (uint32_t k = 0; to.binding && k < t->p->pm_cache_repeats; k++)
            if (pm_place_in_cache(&to, k, &at)) ((float *)t->call->also[to.binding])[at] = values[i];
    }
}

/* A row of the tile, columns n0 .. n1-1; sums are overwritten. */
static void store_row(const tile *t, uint64_t m, float *sums) {
    const pm_matmul_params *p = t->p;
    uint64_t n = t->n1 - t->n0;
    const float *bias = t->bias ? t->bias + t->n0 : NULL;
    const float *residual = t->residual ? t->residual + m * p->residual_m + t->n0 : NULL;
    for (uint64_t i = 0; i < n; i++) sums[i] = p->scale * sums[i] + (bias ? bias[i] : 0);
    pm_fast_act_row(t->call->spec[PM_SPEC_ACT], n, sums);
    for (uint64_t i = 0; residual && i < n; i++) sums[i] += residual[i];
    put_row(t, m, t->n0, n, sums);
}

static void store(const tile *t, uint64_t m, uint64_t n, float dot) {
    float v = dot * t->p->scale;
    if (t->bias) v += t->bias[n];
    v = pm_fast_act(t->call->spec[PM_SPEC_ACT], v);
    if (t->residual) v += t->residual[m * t->p->residual_m + n];
    put_row(t, m, n, 1, &v);
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

/* ---- many rows ---- */

enum { BLOCK_ROWS = 6, BLOCK_COLS = 16, PACKED = 256, LEAST_ROWS = 8, STRIP = 16 };

/* Vectors by name: of arrays of floats compilers keep the sums in memory. */
typedef float lanes __attribute__((vector_size(BLOCK_COLS / 2 * sizeof(float))));

/* BLOCK_ROWS x BLOCK_COLS sums over n terms, added to out, whose rows are TILE_N apart. b is packed: rows of TILE_N. */
PM_CLONES static void add_block(const float *const *a, uint64_t a_k, const float *b, uint64_t n, float *out) {
    lanes acc[BLOCK_ROWS][2] = {{{0}}}, low, high;
    for (uint64_t k = 0; k < n; k++) {
        memcpy(&low, b + k * TILE_N, sizeof low);
        memcpy(&high, b + k * TILE_N + BLOCK_COLS / 2, sizeof high);
        for (int r = 0; r < BLOCK_ROWS; r++) {
            acc[r][0] += a[r][k * a_k] * low;
            acc[r][1] += a[r][k * a_k] * high;
        }
    }
    for (int r = 0; r < BLOCK_ROWS; r++)
        for (int half = 0; half < 2; half++) {
            float *to = out + r * TILE_N + half * BLOCK_COLS / 2;
            memcpy(&low, to, sizeof low);
            low += acc[r][half];
            memcpy(to, &low, sizeof low);
        }
}

/* Terms k0 .. k0+n-1 of the tile's columns; columns past the end are 0. By strips, whose rows stay near while all columns are
 * written into them. */
PM_CLONES static void pack(const tile *t, uint64_t k0, uint64_t n, float *out) {
    for (uint64_t first = 0; first < n; first += STRIP)
        for (uint64_t j = 0; j < TILE_N; j++) {
            const float *column = t->b + (t->n0 + j) * t->p->b_n + k0 * t->p->b_k;
            bool in = t->n0 + j < t->n1;
            uint64_t last = n - first < STRIP ? n : first + STRIP;
            for (uint64_t k = first; k < last; k++) out[k * TILE_N + j] = in ? column[k * t->p->b_k] : 0;
        }
}

/* Rows past the last are it again, and not stored. */
static void by_blocks(const tile *t) {
    const pm_matmul_params *p = t->p;
    float b[PACKED * TILE_N], sums[TILE_M][TILE_N];
    uint64_t part = pm_fast_part(p->k, LEAST_PART), most = part < PACKED ? PACKED / part * part : PACKED;
    memset(sums, 0, sizeof sums);
    for (uint64_t k0 = 0; k0 < p->k; k0 += most) {
        uint64_t n = p->k - k0 < most ? p->k - k0 : most;
        pack(t, k0, n, b);
        for (uint64_t m = t->m0; m < t->m1; m += BLOCK_ROWS)
            for (uint64_t k = 0; k < n; k += part) {
                const float *a[BLOCK_ROWS];
                for (uint64_t r = 0; r < BLOCK_ROWS; r++)
                    a[r] = t->a + (m + r < t->m1 ? m + r : t->m1 - 1) * p->a_m + (k0 + k) * p->a_k;
                for (uint64_t j = 0; j < t->n1 - t->n0; j += BLOCK_COLS)
                    add_block(a, p->a_k, b + k * TILE_N + j, n - k < part ? n - k : part,
                              &sums[m - t->m0][j]);
            }
    }
    for (uint64_t m = t->m0; m < t->m1; m++) store_row(t, m, sums[m - t->m0]);
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
        tile t = {.p = p, .call = c, .m0 = m0, .n0 = n0};
        t.m1 = m0 + TILE_M < p->m ? m0 + TILE_M : p->m;
        t.n1 = n0 + TILE_N < p->n ? n0 + TILE_N : p->n;
        t.a = (const float *)c->in[0] + p->a_offset + pm_strided(batch, p->batch, p->a_batch, 3);
        t.b = (const float *)c->in[1] + p->b_offset + pm_strided(batch, p->batch, p->b_batch, 3);
        if (c->spec[PM_SPEC_HAS_BIAS]) t.bias = (const float *)c->in[2] + p->bias_offset;
        if (c->spec[PM_SPEC_HAS_RESIDUAL])
            t.residual = (const float *)c->in[3] + p->residual_offset +
                         pm_strided(batch, p->batch, p->residual_batch, 3);
        if (c->out) t.y = (float *)c->out + p->y_offset + pm_strided(batch, p->batch, p->y_batch, 3);
        if (t.m1 - t.m0 >= LEAST_ROWS)
            by_blocks(&t);
        else if ((p->a_k == 1 || p->k == 1) && (p->b_k == 1 || p->k == 1))
            by_dots(&t);
        else if (p->b_n == 1 || p->n == 1)
            by_columns(&t);
        else
            by_reference(c, &t, batch);
    }
}
