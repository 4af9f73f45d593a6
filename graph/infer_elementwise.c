/* Shape rules of the operations that work element by element: unary, binary, gate, where. */
#include "graph/ops.h"

#include <math.h>

pm_status pm_infer_same(pm_tensor *t) {
    return pm_set_result(t, t->in[0]->dtype, t->in[0]->rank, t->in[0]->dims);
}

pm_status pm_infer_unary_f32(pm_tensor *t) {
    PM_TRY(pm_want_type(t, 0, "x", PM_TYPE_F32));
    return pm_infer_same(t);
}

pm_status pm_infer_unary_bool(pm_tensor *t) {
    PM_TRY(pm_want_type(t, 0, "x", PM_TYPE_BOOL));
    return pm_infer_same(t);
}

pm_status pm_infer_cast(pm_tensor *t) {
    static const struct {
        pm_op op;
        unsigned from;
        pm_dtype to;
    } casts[] = {
        {PM_OP_TO_F32, PM_TYPE_I32 | PM_TYPE_BOOL, PM_F32},
        {PM_OP_TO_I32, PM_TYPE_F32 | PM_TYPE_BOOL, PM_I32},
        {PM_OP_TO_BOOL, PM_TYPE_I32, PM_BOOL},
    };
    size_t i = 0;
    while (i + 1 < PM_COUNT(casts) && casts[i].op != t->op) i++;
    PM_TRY(pm_want_type(t, 0, "x", casts[i].from));
    return pm_set_result(t, casts[i].to, t->in[0]->rank, t->in[0]->dims);
}

static pm_status broadcast_result(pm_tensor *t, pm_dtype type, int n) {
    int64_t dims[PM_MAX_DIMS];
    int32_t rank = 0;
    PM_TRY(pm_broadcast_inputs(t, n, &rank, dims));
    return pm_set_result(t, type, rank, dims);
}

/* Inputs i and i + 1 have one type among `types`. */
static pm_status want_one_type(const pm_tensor *t, int i, unsigned types) {
    const pm_tensor *a = t->in[i], *b = t->in[i + 1];
    PM_TRY(pm_want_type(t, i, "a", types));
    PM_TRY(pm_want_type(t, i + 1, "b", types));
    if (a->dtype != b->dtype)
        return pm_raise(PM_ERR_USAGE, "%s: a is %s%s and b is %s%s, one type was expected",
                        pm_op_get(t->op)->name, pm_dtype_name(a->dtype), pm_shape(a).s,
                        pm_dtype_name(b->dtype), pm_shape(b).s);
    return PM_OK;
}

pm_status pm_infer_arith(pm_tensor *t) {
    PM_TRY(want_one_type(t, 0, PM_TYPE_F32 | PM_TYPE_I32));
    return broadcast_result(t, t->in[0]->dtype, 2);
}

pm_status pm_infer_compare(pm_tensor *t) {
    PM_TRY(want_one_type(t, 0, PM_TYPE_F32 | PM_TYPE_I32));
    return broadcast_result(t, PM_BOOL, 2);
}

pm_status pm_infer_logic(pm_tensor *t) {
    PM_TRY(want_one_type(t, 0, PM_TYPE_BOOL));
    return broadcast_result(t, PM_BOOL, 2);
}

pm_status pm_infer_glu(pm_tensor *t) {
    PM_TRY(want_one_type(t, 0, PM_TYPE_F32));
    int32_t act = t->attrs.act;
    if (act != PM_ACT_RELU && act != PM_ACT_GELU && act != PM_ACT_GELU_TANH && act != PM_ACT_SILU &&
        act != PM_ACT_SIGMOID && act != PM_ACT_QUICK_GELU)
        return pm_raise(PM_ERR_USAGE,
                        "glu: act is %d, relu, gelu, gelu_tanh, silu, sigmoid or quick_gelu was expected",
                        act);
    if (!(t->attrs.limit >= 0) || !isfinite(t->attrs.limit))
        return pm_raise(PM_ERR_USAGE, "glu: limit is %g, 0 or more was expected", (double)t->attrs.limit);
    return broadcast_result(t, PM_F32, 2);
}

pm_status pm_infer_where(pm_tensor *t) {
    PM_TRY(pm_want_type(t, 0, "cond", PM_TYPE_BOOL));
    PM_TRY(want_one_type(t, 1, PM_TYPE_F32 | PM_TYPE_I32 | PM_TYPE_BOOL));
    return broadcast_result(t, t->in[1]->dtype, 3);
}
