/* Shape rules of reshape, permute, slice, expand, windows and as_i32. Their strides are in views.c. */
#include "graph/ops.h"

#include <inttypes.h>
#include <string.h>

/* One target dim may be -1: what is left of x's elements. */
static pm_status fill_free_dim(const pm_tensor *x, pm_attrs *a) {
    int32_t free_dim = -1;
    uint64_t known = 1;
    for (int32_t k = 0; k < a->rank; k++) {
        if (a->dims[k] == -1 && free_dim < 0) {
            free_dim = k;
            continue;
        }
        if (a->dims[k] < 1)
            return pm_raise(PM_ERR_USAGE,
                            "reshape: dim %d of %s is %" PRId64 ", 1 or more (or -1 once) was expected", k,
                            pm_shape_of(a->rank, a->dims).s, a->dims[k]);
        if (known > PM_MAX_ELEMS) continue; /* too many already, as the comparison below finds */
        known *= (uint64_t)a->dims[k] > PM_MAX_ELEMS ? PM_MAX_ELEMS + 1u : (uint64_t)a->dims[k];
    }
    if (free_dim >= 0 && (uint64_t)pm_elems(x) % known == 0)
        a->dims[free_dim] = (int64_t)((uint64_t)pm_elems(x) / known), known = (uint64_t)pm_elems(x);
    if (known != (uint64_t)pm_elems(x))
        return pm_raise(PM_ERR_USAGE, "reshape: %s to %s, equally many elements were expected", pm_shape(x).s,
                        pm_shape_of(a->rank, a->dims).s);
    return PM_OK;
}

static pm_status want_target_rank(const pm_tensor *t) {
    if (t->attrs.rank < 0 || t->attrs.rank > PM_MAX_DIMS)
        return pm_raise(PM_ERR_USAGE, "%s: rank %d, 0 to %d was expected", pm_op_get(t->op)->name,
                        t->attrs.rank, PM_MAX_DIMS);
    return PM_OK;
}

pm_status pm_infer_reshape(pm_tensor *t) {
    PM_TRY(want_target_rank(t));
    PM_TRY(fill_free_dim(t->in[0], &t->attrs));
    return pm_set_result(t, t->in[0]->dtype, t->attrs.rank, t->attrs.dims);
}

pm_status pm_infer_permute(pm_tensor *t) {
    const pm_tensor *x = t->in[0];
    int64_t dims[PM_MAX_DIMS];
    uint32_t seen = 0;
    if (t->attrs.rank != x->rank)
        return pm_raise(PM_ERR_USAGE, "permute: %d axes for %s, %d were expected", t->attrs.rank,
                        pm_shape(x).s, x->rank);
    for (int32_t k = 0; k < x->rank; k++) {
        int32_t *axis = &t->attrs.axes[k];
        PM_TRY(pm_want_axis(t, x->rank, axis));
        if (seen & 1u << *axis)
            return pm_raise(PM_ERR_USAGE, "permute: axis %d stands twice, each axis of %s once was expected",
                            *axis, pm_shape(x).s);
        seen |= 1u << *axis;
        dims[k] = x->dims[*axis];
    }
    return pm_set_result(t, x->dtype, x->rank, dims);
}

pm_status pm_infer_slice(pm_tensor *t) {
    const pm_tensor *x = t->in[0];
    pm_attrs *a = &t->attrs;
    int64_t dims[PM_MAX_DIMS];
    PM_TRY(pm_want_axis(t, x->rank, &a->axis));
    int64_t n = x->dims[a->axis];
    if (a->start < 0 || a->length < 1 || a->start > n || a->length > n - a->start)
        return pm_raise(PM_ERR_USAGE,
                        "slice: %" PRId64 " elements from %" PRId64
                        " on axis %d of %s, a part of it was expected",
                        a->length, a->start, a->axis, pm_shape(x).s);
    memcpy(dims, x->dims, sizeof dims);
    dims[a->axis] = a->length;
    return pm_set_result(t, x->dtype, x->rank, dims);
}

/* x[..,N,..] as [..,windows,length,..]. */
pm_status pm_infer_windows(pm_tensor *t) {
    const pm_tensor *x = t->in[0];
    pm_attrs *a = &t->attrs;
    int64_t dims[PM_MAX_DIMS];
    PM_TRY(pm_want_axis(t, x->rank, &a->axis));
    int64_t n = x->dims[a->axis];
    if (x->rank == PM_MAX_DIMS || a->length < 1 || a->length > n || a->step < 1 || a->step > PM_MAX_ELEMS)
        return pm_raise(PM_ERR_USAGE,
                        "windows: %" PRId64 " elements at steps of %" PRId64
                        " on axis %d of %s, parts of it were expected, and rank %d or less",
                        a->length, a->step, a->axis, pm_shape(x).s, PM_MAX_DIMS - 1);
    memcpy(dims, x->dims, (size_t)a->axis * sizeof dims[0]);
    dims[a->axis] = (n - a->length) / a->step + 1;
    dims[a->axis + 1] = a->length;
    for (int32_t k = a->axis + 1; k < x->rank; k++) dims[k + 1] = x->dims[k];
    return pm_set_result(t, x->dtype, x->rank + 1, dims);
}

pm_status pm_infer_as_i32(pm_tensor *t) {
    PM_TRY(pm_want_type(t, 0, "x", PM_TYPE_BOOL));
    return pm_set_result(t, PM_I32, t->in[0]->rank, t->in[0]->dims);
}

pm_status pm_infer_expand(pm_tensor *t) {
    const pm_tensor *x = t->in[0];
    PM_TRY(want_target_rank(t));
    if (!pm_broadcasts_to(x, t->attrs.rank, t->attrs.dims))
        return pm_raise(PM_ERR_USAGE, "expand: %s to %s, dims that are equal or 1 were expected",
                        pm_shape(x).s, pm_shape_of(t->attrs.rank, t->attrs.dims).s);
    return pm_set_result(t, x->dtype, t->attrs.rank, t->attrs.dims);
}
