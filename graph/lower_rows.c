/* Lowering of the operations over rows: reductions, argmax, top_k, sample, softmax, norms. Rows are counted by four outer
 * dims. */
#include "graph/lower.h"

#include <string.h>

#include "shaders/elementwise.params.h"
#include "shaders/rowwise.params.h"
#include "shaders/sample.params.h"
#include "shaders/softmax.params.h"

/* x without one axis, as a tensor for pm_lower_dims and pm_lower_strides. */
static pm_tensor without_axis(const pm_tensor *x, int32_t axis) {
    pm_tensor rows = *x;
    for (int32_t k = axis; k + 1 < x->rank; k++) {
        rows.dims[k] = x->dims[k + 1];
        rows.strides[k] = x->strides[k + 1];
    }
    rows.rank--;
    return rows;
}

typedef struct rows {
    uint32_t n, n_cols, dims[4], stride[4], col_stride;
} rows;

static rows rows_of(const pm_tensor *x, int32_t axis) {
    const pm_tensor outer = without_axis(x, axis);
    rows r = {.n = (uint32_t)pm_elems(&outer), .n_cols = (uint32_t)x->dims[axis]};
    r.col_stride = r.n_cols == 1 ? 1 : (uint32_t)x->strides[axis];
    pm_lower_dims(&outer, 4, r.dims);
    pm_lower_strides(&outer, 4, r.stride);
    return r;
}

static void set_reduce_rows(pm_reduce_params *p, const rows *x) {
    p->n_rows = x->n;
    p->n_cols = x->n_cols;
    p->x_col_stride = x->col_stride;
    memcpy(p->dims, x->dims, sizeof p->dims);
    memcpy(p->x_stride, x->stride, sizeof p->x_stride);
}

pm_status pm_lower_reduce(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const rows x = rows_of(t->in[0], t->attrs.axis), y = rows_of(t, t->attrs.axis);
    pm_reduce_params p = {0};
    (void)part;
    set_reduce_rows(&p, &x);
    memcpy(p.y_stride, y.stride, sizeof p.y_stride);
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    out->spec[PM_SPEC_FN] = pm_op_get(t->op)->fn;
    pm_lower_params(out, PM_KERNEL_REDUCE, &p);
    return PM_OK;
}

pm_status pm_lower_argmax(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const rows x = rows_of(t->in[0], t->in[0]->rank - 1);
    pm_reduce_params p = {0};
    (void)part;
    set_reduce_rows(&p, &x);
    pm_lower_strides(t, 4, p.y_stride);
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_params(out, PM_KERNEL_ARGMAX, &p);
    return PM_OK;
}

pm_status pm_lower_top_k(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const rows x = rows_of(t->in[0], t->rank - 1), y = rows_of(t, t->rank - 1);
    pm_top_k_params p = {
        .n_rows = x.n, .n_cols = x.n_cols, .k = (uint32_t)t->attrs.length, .x_col_stride = x.col_stride};
    (void)part;
    memcpy(p.dims, x.dims, sizeof p.dims);
    memcpy(p.x_stride, x.stride, sizeof p.x_stride);
    memcpy(p.y_stride, y.stride, sizeof p.y_stride);
    PM_TRY(pm_lower_want_rows(t));
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_params(out, PM_KERNEL_TOP_K, &p);
    return PM_OK;
}

pm_status pm_lower_sample(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *settings = t->in[1], *count = t->in[2];
    const rows x = rows_of(t->in[0], t->in[0]->rank - 1);
    pm_sample_params p = {.n_rows = x.n, .n_cols = x.n_cols, .x_col_stride = x.col_stride};
    int64_t stride = 0;
    (void)part;
    memcpy(p.dims, x.dims, sizeof p.dims);
    memcpy(p.x_stride, x.stride, sizeof p.x_stride);
    pm_lower_strides(t, 4, p.y_stride);
    if (settings->rank == 2) p.settings_stride = (uint32_t)settings->strides[0];
    if (pm_elems(count) > 1 && pm_has_one_stride(count, &stride)) p.count_stride = (uint32_t)stride;
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, settings, false, &p.settings_offset));
    PM_TRY(pm_lower_bind(l, out, count, false, &p.count_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_params(out, PM_KERNEL_SAMPLE, &p);
    return PM_OK;
}

/* ---- norms: x, then gamma (and beta for layer_norm), then y ---- */

static pm_status lower_norm(pm_lowering *l, const pm_tensor *t, bool has_beta_slot, pm_dispatch *out) {
    const rows x = rows_of(t->in[0], t->rank - 1), y = rows_of(t, t->rank - 1);
    const pm_tensor *gamma = t->n_in > 1 ? t->in[1] : NULL, *beta = t->n_in > 2 ? t->in[2] : NULL;
    pm_norm_params p = {.n_rows = x.n,
                        .n_cols = x.n_cols,
                        .eps = t->attrs.eps,
                        .x_col_stride = x.col_stride,
                        .y_col_stride = y.col_stride};
    memcpy(p.dims, x.dims, sizeof p.dims);
    memcpy(p.x_stride, x.stride, sizeof p.x_stride);
    memcpy(p.y_stride, y.stride, sizeof p.y_stride);
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, gamma, false, &p.gamma_offset));
    if (has_beta_slot) PM_TRY(pm_lower_bind(l, out, beta, false, &p.beta_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    out->spec[PM_SPEC_HAS_GAMMA] = gamma != NULL;
    out->spec[PM_SPEC_HAS_BETA] = beta != NULL;
    pm_lower_params(out, has_beta_slot ? PM_KERNEL_LAYER_NORM : PM_KERNEL_RMS_NORM, &p);
    return PM_OK;
}

pm_status pm_lower_layer_norm(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    (void)part;
    return lower_norm(l, t, true, out);
}

pm_status pm_lower_rms_norm(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    (void)part;
    return lower_norm(l, t, false, out);
}

/* ---- softmax ---- */

pm_status pm_lower_log_softmax(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const rows x = rows_of(t->in[0], t->rank - 1), y = rows_of(t, t->rank - 1);
    pm_norm_params p = {
        .n_rows = x.n, .n_cols = x.n_cols, .x_col_stride = x.col_stride, .y_col_stride = y.col_stride};
    (void)part;
    memcpy(p.dims, x.dims, sizeof p.dims);
    memcpy(p.x_stride, x.stride, sizeof p.x_stride);
    memcpy(p.y_stride, y.stride, sizeof p.y_stride);
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_params(out, PM_KERNEL_LOG_SOFTMAX, &p);
    return PM_OK;
}

/* Scores [b, ..., t, s]: the outermost dim must come to stand first, since it tells the batch of length and
 * key_mask; the two last ones stand last. [B,T,S] becomes [B,1,1,T,S]. `rank` is that of the scores, with
 * which x broadcasts. */
static pm_tensor spread(const pm_tensor *x, int32_t rank) {
    pm_tensor wide = *x;
    wide.rank = PM_DIMS;
    for (int32_t k = 0; k < PM_DIMS; k++) wide.dims[k] = 1, wide.strides[k] = 0;
    for (int32_t k = 0; k < x->rank; k++) {
        int32_t axis = rank - x->rank + k, from_end = rank - axis;
        int32_t to = from_end <= 2 ? PM_DIMS - from_end : axis;
        wide.dims[to] = x->dims[k];
        wide.strides[to] = x->strides[k];
    }
    return wide;
}

pm_status pm_lower_softmax(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *bias = t->n_in > PM_SOFTMAX_BIAS ? t->in[PM_SOFTMAX_BIAS] : NULL;
    const pm_tensor x = spread(t->in[0], t->rank), y = spread(t, t->rank);
    pm_softmax_params p = {0};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind_masks(l, t, PM_SOFTMAX_POSITION, out, &p.masks));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_dims(&x, PM_DIMS, p.dims);
    pm_lower_strides(&x, PM_DIMS, p.x_stride);
    pm_lower_strides(&y, PM_DIMS, p.y_stride);
    if (t->attrs.mask & PM_MASK_RELATIVE) {
        if (bias->dims[0] != 1) p.bias_stride[t->rank - 3] = (uint32_t)bias->strides[0]; /* where H stands */
        p.bias_stride[PM_SOFTMAX_RELATIVE_COUNT] = (uint32_t)bias->dims[1];
        p.bias_stride[PM_SOFTMAX_RELATIVE_ORIGIN] = (uint32_t)t->attrs.origin;
    } else if (bias) {
        const pm_tensor wide = spread(bias, t->rank);
        pm_lower_strides(&wide, PM_DIMS, p.bias_stride);
    }
    out->spec[PM_SPEC_MASK] = t->attrs.mask;
    out->spec[PM_SPEC_WINDOW] = (uint32_t)t->attrs.window;
    pm_lower_params(out, PM_KERNEL_SOFTMAX, &p);
    return PM_OK;
}
