/* Lowering of matmul and attention. */
#include "graph/lower.h"

#include <string.h>

#include "graph/caches.h"

#include "shaders/attention.params.h"
#include "shaders/matmul.params.h"

#define N_BATCH 3

/* ---- matmul: shapes ---- */

/* The strides of an operand [..., rows, cols]: batch dims right-aligned. */
static void split_strides(const pm_tensor *x, uint32_t *batch, uint32_t *row, uint32_t *col) {
    uint32_t strides[PM_DIMS];
    pm_lower_strides(x, PM_DIMS, strides);
    memcpy(batch, strides, N_BATCH * sizeof *batch);
    *row = strides[N_BATCH];
    *col = strides[N_BATCH + 1];
}

/* Whether batch dim i of an operand goes on where its m rows end. */
static bool follows(const uint32_t *batch, int i, uint32_t row, uint32_t m) {
    return (uint64_t)row * m == batch[i];
}

/* Batches that share one b are only more rows: [B,T,K] . w is one product of B*T rows, if rows of a, residual
 * and y are evenly spaced across batches. */
static void merge_batches(pm_matmul_params *p, bool has_residual) {
    for (int i = N_BATCH - 1; i >= 0; i--) {
        if (p->batch[i] == 1) continue;
        if (p->b_batch[i] != 0) return;
        if (p->m == 1) {
            p->a_m = p->a_batch[i];
            p->y_m = p->y_batch[i];
            p->residual_m = p->residual_batch[i];
        } else if (!follows(p->a_batch, i, p->a_m, p->m) || !follows(p->y_batch, i, p->y_m, p->m) ||
                   (has_residual && !follows(p->residual_batch, i, p->residual_m, p->m))) {
            return;
        }
        p->m *= p->batch[i];
        p->batch[i] = 1;
        p->a_batch[i] = p->y_batch[i] = p->residual_batch[i] = 0;
    }
}

/* t, b, bias and residual with the columns of a part alone. */
typedef struct columns {
    pm_tensor t, b, bias, residual;
    int64_t first; /* of them in the whole */
    bool has_bias, has_residual;
} columns;

static columns columns_of_part(const pm_lowering *l, const pm_tensor *t, uint32_t part) {
    const pm_tensor *b = t->in[PM_MATMUL_B];
    columns c = {.has_bias = t->n_in > PM_MATMUL_BIAS && t->in[PM_MATMUL_BIAS],
                 .has_residual = t->n_in > PM_MATMUL_RESIDUAL && t->in[PM_MATMUL_RESIDUAL]};
    int64_t first, n;
    pm_lower_rows_of_part(l, t, part, &first, &n);
    c.first = first;
    c.t = pm_lower_slice(t, t->rank - 1, first, n);
    c.b = pm_lower_slice(b, b->rank - 2, first, n);
    if (c.has_bias) {
        const pm_tensor *bias = t->in[PM_MATMUL_BIAS];
        c.bias = pm_lower_slice(bias, bias->rank - 1, first, n);
    }
    if (c.has_residual) {
        const pm_tensor *residual = t->in[PM_MATMUL_RESIDUAL];
        c.residual = pm_lower_slice(residual, residual->rank - 1, first, n);
    }
    return c;
}

/* ---- columns that go to caches ---- */

static bool meet(const pm_cache_columns *c, int64_t first, int64_t n) {
    return c->first < first + n && first < c->first + (c->n_heads - 1) * c->pitch + c->size;
}

/* Words in the place of batch strides: a, residual and y have one batch then. */
static void describe_caches(pm_matmul_params *p, const pm_tensor *write, const pm_cache_columns *c) {
    p->pm_cache_tokens = (uint32_t)c->n_tokens;
    p->pm_cache_heads = (uint32_t)c->n_heads;
    p->pm_cache_size = (uint32_t)c->size;
    p->pm_cache_pitch = (uint32_t)c->pitch;
    p->pm_cache_repeats = (uint32_t)c->n_repeats;
    p->pm_cache_slots = (uint32_t)write->dims[2];
    p->pm_cache_position_stride = pm_lower_position_stride(write->in[2]);
}

/* Binds position and caches of those that get columns of the part, which begins at `first` and has n columns. */
static pm_status bind_caches(pm_lowering *l, const pm_tensor *whole, int64_t first, pm_matmul_params *p,
                             pm_dispatch *out) {
    const pm_tensor *writes[PM_MAX_CACHES], *used[PM_MAX_CACHES] = {NULL};
    uint32_t n_all, n = 0, first_of[PM_MAX_CACHES] = {0}, position_offset;
    pm_lower_caches_of(l, whole, writes, &n_all);
    for (uint32_t i = 0; i < n_all; i++) {
        pm_cache_columns c;
        if (!pm_cache_columns_of(whole, writes[i]->in[1], &c) || p->batch[0] * p->batch[1] * p->batch[2] != 1)
            return pm_raise(PM_ERR_OTHER, "lowering: %%%u (matmul) cannot write its caches", whole->id);
        if (!meet(&c, first, p->n)) continue;
        describe_caches(p, writes[i], &c);
        first_of[n] = (uint32_t)c.first - (uint32_t)first;
        used[n++] = writes[i];
    }
    PM_TRY(pm_lower_bind(l, out, n ? used[0]->in[2] : NULL, false, &position_offset));
    for (int i = 0; i < PM_MAX_CACHES; i++)
        PM_TRY(pm_lower_bind(l, out, used[i], used[i] != NULL, &p->cache_offset[i]));
    if (n) memcpy(p->pm_cache_first, first_of, sizeof first_of);
    if (n) p->pm_cache_position_offset = position_offset;
    out->spec[PM_SPEC_CACHES] = n;
    return PM_OK;
}

/* What the shader could write stands in for nothing that it reads: validation would take it for a hazard. */
static void stand_in_for_written(pm_dispatch *d) {
    const uint32_t y = d->n_bindings - 1, first = y - PM_MAX_CACHES;
    const uint32_t by = d->unused >> y & 1 ? first : y;
    for (uint32_t i = first; i <= y; i++)
        if (d->unused >> i & 1) d->bindings[i] = d->bindings[by];
}

/* ---- the product ---- */

pm_status pm_lower_matmul(pm_lowering *l, const pm_tensor *whole, uint32_t part, pm_dispatch *out) {
    const columns c = columns_of_part(l, whole, part);
    const pm_tensor *t = &c.t, *a = whole->in[PM_MATMUL_A], *b = &c.b;
    const pm_tensor *bias = c.has_bias ? &c.bias : NULL, *residual = c.has_residual ? &c.residual : NULL;
    pm_matmul_params p = {.m = (uint32_t)t->dims[t->rank - 2],
                          .n = (uint32_t)t->dims[t->rank - 1],
                          .k = (uint32_t)a->dims[a->rank - 1],
                          .scale = t->attrs.scale == 0 ? 1 : t->attrs.scale};
    uint32_t dims[PM_DIMS], unit;
    pm_lower_dims(t, PM_DIMS, dims);
    memcpy(p.batch, dims, sizeof p.batch);
    split_strides(a, p.a_batch, &p.a_m, &p.a_k);
    split_strides(b, p.b_batch, &p.b_n, &p.b_k);
    split_strides(t, p.y_batch, &p.y_m, &unit);
    if (residual) split_strides(residual, p.residual_batch, &p.residual_m, &unit);
    if (p.k == 1) p.a_k = p.b_k = 1; /* any stride will do: the one that kernels like */
    merge_batches(&p, residual != NULL);
    PM_TRY(pm_lower_want_rows(t));
    PM_TRY(pm_lower_bind(l, out, a, false, &p.a_offset));
    PM_TRY(pm_lower_bind(l, out, b, false, &p.b_offset));
    PM_TRY(pm_lower_bind(l, out, bias, false, &p.bias_offset));
    PM_TRY(pm_lower_bind(l, out, residual, false, &p.residual_offset));
    PM_TRY(bind_caches(l, whole, c.first, &p, out));
    bool is_gone = pm_lower_is_gone(l, whole);
    PM_TRY(pm_lower_bind(l, out, is_gone ? NULL : t, !is_gone, &p.y_offset));
    stand_in_for_written(out);
    out->spec[PM_SPEC_ACT] = (uint32_t)t->attrs.act;
    out->spec[PM_SPEC_HAS_BIAS] = bias != NULL;
    out->spec[PM_SPEC_HAS_RESIDUAL] = residual != NULL;
    pm_lower_params(out, PM_KERNEL_MATMUL, &p);
    return PM_OK;
}

/* ---- attention ---- */

static void outer_strides(const pm_tensor *x, uint32_t *out) {
    uint32_t strides[4];
    pm_lower_strides(x, 4, strides);
    memcpy(out, strides, 3 * sizeof *out);
}

pm_status pm_lower_attention(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *q = t->in[PM_ATTN_Q], *k = t->in[PM_ATTN_K], *v = t->in[PM_ATTN_V];
    const pm_tensor *bias = t->n_in > PM_ATTN_BIAS ? t->in[PM_ATTN_BIAS] : NULL;
    const pm_tensor *places = t->n_in > PM_ATTN_PLACES ? t->in[PM_ATTN_PLACES] : NULL;
    pm_tensor masked = *t; /* places are bound where a bias would be */
    if (places) masked.in[PM_ATTN_BIAS] = t->in[PM_ATTN_PLACES];
    pm_attention_params p = {.n_batch = (uint32_t)q->dims[0],
                             .n_heads = (uint32_t)q->dims[1],
                             .n_queries = (uint32_t)q->dims[2],
                             .n_keys = (uint32_t)k->dims[2]};
    (void)part;
    PM_TRY(pm_lower_want_rows(t));
    PM_TRY(pm_lower_bind(l, out, q, false, &p.q_offset));
    PM_TRY(pm_lower_bind(l, out, k, false, &p.k_offset));
    PM_TRY(pm_lower_bind(l, out, v, false, &p.v_offset));
    PM_TRY(pm_lower_bind_masks(l, &masked, PM_ATTN_POSITION, out, &p.masks));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    outer_strides(q, p.q_stride);
    outer_strides(k, p.k_stride);
    outer_strides(v, p.v_stride);
    outer_strides(t, p.y_stride);
    if (places) {
        p.bias_stride[PM_ATTN_PLACES_COUNT] = (uint32_t)places->dims[1];
        p.bias_stride[1] = (uint32_t)places->strides[0];
        p.bias_stride[2] = (uint32_t)places->strides[1];
    } else if (t->attrs.mask & PM_MASK_RELATIVE) {
        p.bias_stride[PM_ATTN_RELATIVE_COUNT] = (uint32_t)bias->dims[1];
        p.bias_stride[PM_ATTN_RELATIVE_ORIGIN] = (uint32_t)t->attrs.origin;
        p.bias_stride[1] = bias->dims[0] == 1 ? 0 : (uint32_t)bias->strides[0];
    } else if (bias) {
        outer_strides(bias, p.bias_stride);
    }
    out->spec[PM_SPEC_MASK] = t->attrs.mask;
    out->spec[PM_SPEC_WINDOW] = (uint32_t)t->attrs.window;
    out->spec[PM_SPEC_HEAD_SIZE] = (uint32_t)k->dims[3];
    out->spec[PM_SPEC_PLACES] = places != NULL;
    out->spec[PM_SPEC_GROUP] = (uint32_t)(q->dims[1] / k->dims[1]);
    pm_lower_params(out, PM_KERNEL_ATTENTION, &p);
    return PM_OK;
}
