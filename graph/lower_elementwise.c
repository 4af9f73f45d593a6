/* Lowering of the operations that work element by element: unary, binary, gate, where. */
#include "graph/lower.h"

#include "shaders/elementwise.params.h"

/* Whether element i of every operand lies at its offset + i: all lie in one dense order of t's dims. */
static uint32_t is_dense(const pm_tensor *t) {
    if (!pm_is_dense_in_some_order(t->rank, t->dims, t->strides)) return 0;
    for (int i = 0; i < t->n_in; i++) {
        if (!pm_same_dims(t->in[i], t)) return 0;
        for (int32_t k = 0; k < t->rank; k++)
            if (t->dims[k] != 1 && t->in[i]->strides[k] != t->strides[k]) return 0;
    }
    return 1;
}

/* A cast from BOOL to I32 moves words that are 0 or 1 already; the table's function is that of F32. */
static uint32_t unary_fn(const pm_tensor *t) {
    if (t->op == PM_OP_TO_I32 && t->in[0]->dtype == PM_BOOL) return PM_FN_COPY;
    return pm_op_get(t->op)->fn;
}

pm_status pm_lower_unary(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    pm_unary_params p = {.n = (uint32_t)pm_elems(t)};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_dims(t, PM_DIMS, p.dims);
    pm_lower_strides(t->in[0], PM_DIMS, p.x_stride);
    pm_lower_strides(t, PM_DIMS, p.y_stride);
    out->spec[PM_SPEC_FN] = unary_fn(t);
    out->spec[PM_SPEC_DENSE] = is_dense(t);
    pm_lower_params(out, PM_KERNEL_UNARY, &p);
    return PM_OK;
}

static uint32_t glu_fn(int32_t act) {
    static const uint32_t fns[PM_N_ACT] = {
        [PM_ACT_RELU] = PM_FN_GLU_RELU,           [PM_ACT_GELU] = PM_FN_GLU_GELU,
        [PM_ACT_GELU_TANH] = PM_FN_GLU_GELU_TANH, [PM_ACT_SILU] = PM_FN_GLU_SILU,
        [PM_ACT_SIGMOID] = PM_FN_GLU_SIGMOID,     [PM_ACT_QUICK_GELU] = PM_FN_GLU_QUICK_GELU,
    };
    return fns[act];
}

static uint32_t binary_fn(const pm_tensor *t) {
    if (t->op == PM_OP_GLU) return glu_fn(t->attrs.act);
    uint32_t fn = pm_op_get(t->op)->fn;
    return t->in[0]->dtype != PM_F32 && fn <= PM_FN_NE ? fn + PM_FN_I32 : fn;
}

pm_status pm_lower_binary(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    pm_binary_params p = {.n = (uint32_t)pm_elems(t), .limit = t->attrs.limit};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.a_offset));
    PM_TRY(pm_lower_bind(l, out, t->in[1], false, &p.b_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_dims(t, PM_DIMS, p.dims);
    pm_lower_strides(t->in[0], PM_DIMS, p.a_stride);
    pm_lower_strides(t->in[1], PM_DIMS, p.b_stride);
    pm_lower_strides(t, PM_DIMS, p.y_stride);
    out->spec[PM_SPEC_FN] = binary_fn(t);
    out->spec[PM_SPEC_LIMITED] = t->attrs.limit != 0;
    out->spec[PM_SPEC_DENSE] = is_dense(t);
    pm_lower_params(out, PM_KERNEL_BINARY, &p);
    return PM_OK;
}

pm_status pm_lower_where(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    pm_where_params p = {.n = (uint32_t)pm_elems(t)};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.c_offset));
    PM_TRY(pm_lower_bind(l, out, t->in[1], false, &p.a_offset));
    PM_TRY(pm_lower_bind(l, out, t->in[2], false, &p.b_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_dims(t, PM_DIMS, p.dims);
    pm_lower_strides(t->in[0], PM_DIMS, p.c_stride);
    pm_lower_strides(t->in[1], PM_DIMS, p.a_stride);
    pm_lower_strides(t->in[2], PM_DIMS, p.b_stride);
    pm_lower_strides(t, PM_DIMS, p.y_stride);
    out->spec[PM_SPEC_DENSE] = is_dense(t);
    pm_lower_params(out, PM_KERNEL_WHERE, &p);
    return PM_OK;
}
