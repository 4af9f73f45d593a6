/* What the shape rules share: shapes as text, size limits, types, broadcasting. No rule of any one operation.
 */
#include "graph/ops.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

pm_shape_text pm_shape_of(int32_t rank, const int64_t *dims) {
    pm_shape_text text = {"["};
    size_t at = 1;
    for (int32_t k = 0; k < rank && k < PM_MAX_DIMS; k++)
        at += (size_t)snprintf(text.s + at, sizeof text.s - at, k ? ",%" PRId64 : "%" PRId64, dims[k]);
    memcpy(text.s + at, "]", 2);
    return text;
}

pm_shape_text pm_shape(const pm_tensor *t) {
    return pm_shape_of(t->rank, t->dims);
}

pm_status pm_check_dims(const char *what, int32_t rank, const int64_t *dims) {
    uint64_t elems = 1;
    if (rank < 0 || rank > PM_MAX_DIMS)
        return pm_raise(PM_ERR_USAGE, "%s: rank %d, 0 to %d was expected", what, rank, PM_MAX_DIMS);
    for (int32_t k = 0; k < rank; k++) {
        if (dims[k] < 1)
            return pm_raise(PM_ERR_USAGE, "%s: dim %d of %s is %" PRId64 ", 1 or more was expected", what, k,
                            pm_shape_of(rank, dims).s, dims[k]);
        if (!pm_mul_u64(elems, (uint64_t)dims[k], &elems) || elems > PM_MAX_ELEMS)
            return pm_raise(
                PM_ERR_USAGE,
                "%s: %s has too many elements, at most %d were expected (kernels index with 32 bits)", what,
                pm_shape_of(rank, dims).s, PM_MAX_ELEMS);
    }
    return PM_OK;
}

static const char *op_name(const pm_tensor *t) {
    return pm_op_get(t->op)->name;
}

pm_status pm_want_type(const pm_tensor *t, int i, const char *what, unsigned types) {
    const pm_tensor *x = t->in[i];
    if (1u << x->dtype & types) return PM_OK;
    pm_shape_text want = {""};
    for (int k = 0; k < PM_N_DTYPES; k++)
        if (types & 1u << k) {
            size_t at = strlen(want.s);
            snprintf(want.s + at, sizeof want.s - at, "%s%s", at ? " or " : "", pm_dtype_name((pm_dtype)k));
        }
    return pm_raise(PM_ERR_USAGE, "%s: %s is %s%s, %s was expected", op_name(t), what,
                    pm_dtype_name(x->dtype), pm_shape(x).s, want.s);
}

pm_status pm_set_result(pm_tensor *t, pm_dtype type, int32_t rank, const int64_t *dims) {
    PM_TRY(pm_check_dims(op_name(t), rank, dims));
    t->dtype = type;
    t->rank = rank;
    for (int32_t k = 0; k < PM_MAX_DIMS; k++) t->dims[k] = k < rank ? dims[k] : 0;
    return PM_OK;
}

pm_status pm_want_axis(const pm_tensor *t, int32_t rank, int32_t *axis) {
    if (*axis < -rank || *axis >= rank)
        return pm_raise(PM_ERR_USAGE, "%s: axis %d of a tensor of rank %d, %d to %d was expected", op_name(t),
                        *axis, rank, -rank, rank - 1);
    if (*axis < 0) *axis += rank;
    return PM_OK;
}

/* Names the two inputs that do not agree; the others are not to blame. */
static pm_status broadcast_error(const pm_tensor *t, int i, int32_t axis_from_end) {
    for (int k = 0; k < i; k++) {
        const pm_tensor *x = t->in[k], *y = t->in[i];
        if (!x || x->rank < axis_from_end) continue;
        int64_t dx = x->dims[x->rank - axis_from_end], dy = y->dims[y->rank - axis_from_end];
        if (dx != 1 && dx != dy)
            return pm_raise(PM_ERR_USAGE,
                            "%s: %s and %s do not broadcast: dim -%d is %" PRId64 " and %" PRId64
                            ", equal or 1 was expected",
                            op_name(t), pm_shape(x).s, pm_shape(y).s, axis_from_end, dx, dy);
    }
    return pm_raise(PM_ERR_OTHER, "%s: broadcasting is at odds with itself", op_name(t));
}

pm_status pm_broadcast_inputs(const pm_tensor *t, int n, int32_t *out_rank, int64_t *out_dims) {
    int32_t rank = 0;
    for (int i = 0; i < n; i++)
        if (t->in[i] && t->in[i]->rank > rank) rank = t->in[i]->rank;
    for (int32_t k = 0; k < rank; k++) out_dims[k] = 1;
    for (int i = 0; i < n; i++) {
        const pm_tensor *x = t->in[i];
        for (int32_t k = 0; x && k < x->rank; k++) {
            int64_t *out = &out_dims[rank - x->rank + k];
            if (*out == 1)
                *out = x->dims[k];
            else if (x->dims[k] != 1 && x->dims[k] != *out)
                return broadcast_error(t, i, x->rank - k);
        }
    }
    *out_rank = rank;
    return PM_OK;
}

bool pm_broadcasts_to(const pm_tensor *x, int32_t rank, const int64_t *dims) {
    if (x->rank > rank) return false;
    for (int32_t k = 0; k < x->rank; k++)
        if (x->dims[k] != 1 && x->dims[k] != dims[rank - x->rank + k]) return false;
    return true;
}
