/* Shape rules of the operations that move data: gather, concat, cache_write, advance, rotary, rel_shift. */
#include "graph/ops.h"

#include <inttypes.h>
#include <string.h>

#include "shaders/common.params.h"

pm_status pm_infer_gather(pm_tensor *t) {
    const pm_tensor *table = t->in[0], *ids = t->in[1];
    int64_t dims[PM_MAX_DIMS], stride;
    PM_TRY(pm_want_type(t, 1, "ids", PM_TYPE_I32));
    if (table->rank != 2 || ids->rank >= PM_MAX_DIMS)
        return pm_raise(PM_ERR_USAGE, "gather: table %s and ids %s, rank 2 and rank %d or less were expected",
                        pm_shape(table).s, pm_shape(ids).s, PM_MAX_DIMS - 1);
    if (!pm_has_one_stride(ids, &stride))
        return pm_raise(PM_ERR_USAGE, "gather: ids %s do not lie evenly spaced, a copy was expected",
                        pm_shape(ids).s);
    memcpy(dims, ids->dims, sizeof dims);
    dims[ids->rank] = table->dims[1];
    return pm_set_result(t, table->dtype, ids->rank + 1, dims);
}

pm_status pm_infer_concat(pm_tensor *t) {
    const pm_tensor *first = t->in[0];
    int64_t dims[PM_MAX_DIMS];
    int32_t *axis = &t->attrs.axis;
    PM_TRY(pm_want_axis(t, first->rank, axis));
    memcpy(dims, first->dims, sizeof dims);
    for (int i = 1; i < t->n_in; i++) {
        const pm_tensor *x = t->in[i];
        bool agrees = x->rank == first->rank && x->dtype == first->dtype;
        for (int32_t k = 0; agrees && k < x->rank; k++) agrees = k == *axis || x->dims[k] == dims[k];
        if (!agrees)
            return pm_raise(PM_ERR_USAGE, "concat: parts %s%s and %s%s, equal but for axis %d was expected",
                            pm_dtype_name(first->dtype), pm_shape(first).s, pm_dtype_name(x->dtype),
                            pm_shape(x).s, *axis);
        dims[*axis] += x->dims[*axis]; /* at most 8 * 2^31 */
    }
    return pm_set_result(t, first->dtype, first->rank, dims);
}

/* cos and sin depend on dims 0 and 2 of x[B,H,T,D] alone: [T,R], [1,T,R], [1,1,T,R] or [B,1,T,R], for the first R of D. */
static pm_status want_rotary_table(const pm_tensor *t, const pm_tensor *x, int i, int64_t turned,
                                   const char *what) {
    const pm_tensor *c = t->in[i];
    const int64_t dims[4] = {x->dims[0], x->dims[1], x->dims[2], turned};
    PM_TRY(pm_want_type(t, i, what, PM_TYPE_F32));
    int32_t last = c->rank - 1;
    if (c->rank < 2 || !pm_broadcasts_to(c, 4, dims) || c->dims[last] != turned || c->strides[last] != 1 ||
        (c->rank > 2 && c->dims[c->rank - 3] != 1))
        return pm_raise(PM_ERR_USAGE,
                        "%s: %s is %s, [T,%" PRId64 "] or [B,1,T,%" PRId64
                        "] with stride 1 over its last dim was expected for x %s",
                        pm_op_get(t->op)->name, what, pm_shape(c).s, turned, turned, pm_shape(x).s);
    return PM_OK;
}

/* Inputs first and first + 1 of t turn x. */
static pm_status want_rotary_tables(const pm_tensor *t, const pm_tensor *x, int first) {
    const pm_tensor *cosine = t->in[first];
    int64_t turned = cosine->rank < 1 ? 0 : cosine->dims[cosine->rank - 1];
    if (turned < 2 || turned % 2 != 0 || turned > x->dims[3])
        return pm_raise(PM_ERR_USAGE,
                        "%s: cos %s turns %" PRId64 " dims of a head, an even number up to %" PRId64
                        " was expected",
                        pm_op_get(t->op)->name, pm_shape(cosine).s, turned, x->dims[3]);
    PM_TRY(want_rotary_table(t, x, first, turned, "cos"));
    return want_rotary_table(t, x, first + 1, turned, "sin");
}

pm_status pm_infer_rotary(pm_tensor *t) {
    const pm_tensor *x = t->in[0];
    PM_TRY(pm_want_type(t, 0, "x", PM_TYPE_F32));
    if (x->rank != 4) return pm_raise(PM_ERR_USAGE, "rotary: x is %s, [B,H,T,D] was expected", pm_shape(x).s);
    PM_TRY(want_rotary_tables(t, x, 1));
    return pm_infer_same(t);
}

/* One for all of x, or one for each of its outermost dim. */
static pm_status want_position(const pm_tensor *t, const pm_tensor *position, const pm_tensor *x) {
    if (position->rank == 0) return PM_OK;
    if (position->rank == 1 && x->rank > 2 && position->dims[0] == x->dims[0]) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "%s: position is %s, rank 0 or [%" PRId64 "] was expected for x %s",
                    pm_op_get(t->op)->name, pm_shape(position).s, x->dims[0], pm_shape(x).s);
}

pm_status pm_infer_cache_write(pm_tensor *t) {
    const pm_tensor *state = t->in[0], *x = t->in[1], *position = t->in[2];
    if (state->op != PM_OP_STATE && state->op != PM_OP_CACHE_WRITE)
        return pm_raise(PM_ERR_USAGE,
                        "cache_write: the first input is the result of %s, a state was expected",
                        pm_op_get(state->op)->name);
    bool agrees = state->rank == 4 && x->rank == 4 && state->dtype == x->dtype;
    for (int k = 0; agrees && k < 4; k++) agrees = k == 2 || state->dims[k] == x->dims[k];
    if (!agrees)
        return pm_raise(
            PM_ERR_USAGE,
            "cache_write: state %s%s and x %s%s, [B,G,S,D] and [B,G,T,D] of one type were expected",
            pm_dtype_name(state->dtype), pm_shape(state).s, pm_dtype_name(x->dtype), pm_shape(x).s);
    PM_TRY(pm_want_type(t, 2, "position", PM_TYPE_I32));
    PM_TRY(want_position(t, position, x));
    if (t->n_in == 4 || (t->n_in > 3 && (!t->in[3] || !t->in[4])))
        return pm_raise(PM_ERR_USAGE,
                        "cache_write: one of cos and sin is missing, both or none was expected");
    if (t->n_in > 3) {
        PM_TRY(pm_want_type(t, 1, "x", PM_TYPE_F32));
        PM_TRY(want_rotary_tables(t, x, 3));
    }
    return pm_set_result(t, state->dtype, 4, state->dims);
}

/* One for each sequence of the loop. */
static pm_status want_of_sequences(const pm_tensor *t, int i, const char *what, int64_t n) {
    int64_t stride;
    if (pm_elems(t->in[i]) == n && pm_has_one_stride(t->in[i], &stride)) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "advance: %s is %s, %" PRId64 " evenly spaced elements were expected", what,
                    pm_shape(t->in[i]).s, n);
}

pm_status pm_infer_advance(pm_tensor *t) {
    const pm_tensor *loop = t->in[0];
    if ((loop->op != PM_OP_STATE && loop->op != PM_OP_ADVANCE) || loop->rank < 1 || loop->rank > 2 ||
        loop->dims[0] != PM_LOOP_WORDS || loop->dtype != PM_I32 || !pm_is_dense(loop))
        return pm_raise(PM_ERR_USAGE,
                        "advance: the loop is the result of %s, %s%s, a dense state i32[%d] or i32[%d,B] was "
                        "expected",
                        pm_op_get(loop->op)->name, pm_dtype_name(loop->dtype), pm_shape(loop).s,
                        PM_LOOP_WORDS, PM_LOOP_WORDS);
    int64_t n = loop->rank == 2 ? loop->dims[1] : 1;
    PM_TRY(pm_want_type(t, 1, "next", PM_TYPE_I32));
    PM_TRY(want_of_sequences(t, 1, "next", n));
    if (t->n_in > 2 && t->in[2]) {
        PM_TRY(pm_want_type(t, 2, "logit", PM_TYPE_F32));
        PM_TRY(want_of_sequences(t, 2, "logit", n));
    }
    return pm_set_result(t, PM_I32, loop->rank, loop->dims);
}

/* x[..,T,N] by distance becomes [..,T,S] by key. */
pm_status pm_infer_rel_shift(pm_tensor *t) {
    const pm_tensor *x = t->in[0], *position = t->n_in > 1 ? t->in[1] : NULL;
    int64_t dims[PM_MAX_DIMS];
    PM_TRY(pm_want_type(t, 0, "x", PM_TYPE_F32));
    if (x->rank < 2)
        return pm_raise(PM_ERR_USAGE, "rel_shift: x is %s, [..,T,N] was expected", pm_shape(x).s);
    if (position) PM_TRY(pm_want_type(t, 1, "position", PM_TYPE_I32));
    if (position) PM_TRY(want_position(t, position, x));
    if (t->attrs.length < 1)
        return pm_raise(PM_ERR_USAGE, "rel_shift: length is %" PRId64 ", 1 key or more was expected",
                        t->attrs.length);
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = t->attrs.length;
    return pm_set_result(t, PM_F32, x->rank, dims);
}
