/* Shape rules of the operations over rows: reductions, argmax, top_k, sample, softmax, log_softmax, norms; and the rule of masks, which
 * softmax and attention share (pm_want_masks in infer_masks.h). */
#include "graph/infer_masks.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "shaders/sample.params.h"

static pm_status want_f32_row(const pm_tensor *t) {
    PM_TRY(pm_want_type(t, 0, "x", PM_TYPE_F32));
    if (t->in[0]->rank < 1)
        return pm_raise(PM_ERR_USAGE, "%s: x has rank 0, rank 1 or more was expected",
                        pm_op_get(t->op)->name);
    return PM_OK;
}

pm_status pm_infer_reduce(pm_tensor *t) {
    int64_t dims[PM_MAX_DIMS];
    PM_TRY(want_f32_row(t));
    PM_TRY(pm_want_axis(t, t->in[0]->rank, &t->attrs.axis));
    memcpy(dims, t->in[0]->dims, sizeof dims);
    dims[t->attrs.axis] = 1;
    return pm_set_result(t, PM_F32, t->in[0]->rank, dims);
}

pm_status pm_infer_argmax(pm_tensor *t) {
    PM_TRY(want_f32_row(t));
    return pm_set_result(t, PM_I32, t->in[0]->rank - 1, t->in[0]->dims);
}

pm_status pm_infer_top_k(pm_tensor *t) {
    int64_t dims[PM_MAX_DIMS], k = t->attrs.length;
    PM_TRY(want_f32_row(t));
    int32_t last = t->in[0]->rank - 1;
    memcpy(dims, t->in[0]->dims, sizeof dims);
    if (k < 1 || k > dims[last])
        return pm_raise(PM_ERR_USAGE, "top_k: length is %" PRId64 ", 1 to %" PRId64 " was expected for x %s",
                        k, dims[last], pm_shape(t->in[0]).s);
    dims[last] = k;
    return pm_set_result(t, PM_I32, last + 1, dims);
}

/* A row's words of settings: [W] for all rows, or [R,W]. */
static pm_status want_settings(const pm_tensor *t, int64_t n_rows) {
    const pm_tensor *s = t->in[1];
    PM_TRY(pm_want_type(t, 1, "settings", PM_TYPE_I32));
    int32_t last = s->rank - 1;
    bool words = (s->rank == 1 || (s->rank == 2 && s->dims[0] == n_rows)) &&
                 s->dims[last] == PM_SAMPLE_WORDS && s->strides[last] == 1;
    if (words) return PM_OK;
    return pm_raise(PM_ERR_USAGE,
                    "sample: settings is %s, [%d] or [%" PRId64 ",%d] with stride 1 was expected for x %s",
                    pm_shape(s).s, PM_SAMPLE_WORDS, n_rows, PM_SAMPLE_WORDS, pm_shape(t->in[0]).s);
}

pm_status pm_infer_sample(pm_tensor *t) {
    const pm_tensor *x = t->in[0], *count = t->in[2];
    int64_t stride, n_rows;
    PM_TRY(want_f32_row(t));
    n_rows = pm_elems(x) / x->dims[x->rank - 1];
    PM_TRY(want_settings(t, n_rows));
    PM_TRY(pm_want_type(t, 2, "count", PM_TYPE_I32));
    if ((pm_elems(count) != 1 && pm_elems(count) != n_rows) || !pm_has_one_stride(count, &stride))
        return pm_raise(PM_ERR_USAGE,
                        "sample: count is %s, one element or %" PRId64
                        " evenly spaced ones were expected for x %s",
                        pm_shape(count).s, n_rows, pm_shape(x).s);
    return pm_set_result(t, PM_I32, x->rank - 1, x->dims);
}

/* ---- masks ---- */

/* An operand is there exactly when its bit is. */
static pm_status want_operand(const pm_mask_rule *r, int i, uint32_t bit, const char *what) {
    if (((r->t->attrs.mask & bit) != 0) == (r->t->in[i] != NULL)) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "%s: mask %s %s, but the operand is %s", pm_op_get(r->t->op)->name,
                    r->t->attrs.mask & bit ? "names" : "does not name", what,
                    r->t->in[i] ? "given" : "absent");
}

static pm_status bad_operand(const pm_mask_rule *r, int i, const char *what, const char *expected) {
    return pm_raise(PM_ERR_USAGE, "%s: %s is %s, %s for scores %s was expected", pm_op_get(r->t->op)->name,
                    what, pm_shape(r->t->in[i]).s, expected, pm_shape_of(r->rank, r->scores).s);
}

static pm_status want_window(const pm_mask_rule *r) {
    const pm_attrs *a = &r->t->attrs;
    const uint32_t known = PM_MASK_CAUSAL | PM_MASK_WINDOW | PM_MASK_LENGTH | PM_MASK_KEYS | PM_MASK_BIAS |
                           PM_MASK_POSITION | PM_MASK_RELATIVE | PM_MASK_SINK | PM_MASK_GLOBAL | PM_MASK_ROWS;
    const char *name = pm_op_get(r->t->op)->name;
    if (a->mask & ~known)
        return pm_raise(PM_ERR_USAGE, "%s: mask is %#x, bits of %#x were expected", name, a->mask, known);
    if (((a->mask & PM_MASK_WINDOW) != 0) != (a->window != 0) || a->window < 0 || a->window > INT32_MAX)
        return pm_raise(PM_ERR_USAGE,
                        "%s: window is %" PRId64 ", more than 0 with the window mask and else 0 was expected",
                        name, a->window);
    if ((a->mask & PM_MASK_GLOBAL && !(a->mask & PM_MASK_KEYS)) ||
        (a->mask & PM_MASK_ROWS && !(a->mask & PM_MASK_LENGTH)))
        return pm_raise(PM_ERR_USAGE, "%s: mask is %#x, keys with global and length with rows were expected",
                        name, a->mask);
    if (r->rank < 2 &&
        a->mask & (PM_MASK_CAUSAL | PM_MASK_WINDOW | PM_MASK_POSITION | PM_MASK_RELATIVE | PM_MASK_ROWS))
        return pm_raise(PM_ERR_USAGE,
                        "%s: a mask over query positions on scores of rank %d, rank 2 was expected", name,
                        r->rank);
    if (!isfinite(a->scale) || !isfinite(a->softcap))
        return pm_raise(PM_ERR_USAGE, "%s: scale %g and softcap %g, finite numbers were expected", name,
                        (double)a->scale, (double)a->softcap);
    return PM_OK;
}

/* A bias by distance: [H,N] or [1,N]. */
static pm_status want_relative(const pm_mask_rule *r, const pm_tensor *bias) {
    const pm_attrs *a = &r->t->attrs;
    if (!bias) return want_operand(r, r->position + 3, PM_MASK_RELATIVE, "relative");
    int64_t heads = r->rank > 2 ? r->scores[r->rank - 3] : 1;
    if (bias->rank != 2 || (bias->dims[0] != 1 && bias->dims[0] != heads) ||
        (bias->dims[1] != 1 && bias->strides[1] != 1))
        return bad_operand(r, r->position + 3, "bias", "[H,N] or [1,N] with stride 1 over N");
    if (a->origin < -PM_MAX_ORIGIN || a->origin > PM_MAX_ORIGIN)
        return pm_raise(PM_ERR_USAGE, "%s: origin is %" PRId64 ", %d to %d was expected",
                        pm_op_get(r->t->op)->name, a->origin, -PM_MAX_ORIGIN, PM_MAX_ORIGIN);
    return PM_OK;
}

static int64_t batch_of(const pm_mask_rule *r) {
    return r->rank > 2 ? r->scores[0] : 1;
}

/* [B,n] with stride 1 */
static bool is_by_batch(const pm_mask_rule *r, const pm_tensor *x, int64_t n) {
    return x->rank == 2 && x->dims[0] == batch_of(r) && x->dims[1] == n && (n == 1 || x->strides[1] == 1);
}

static pm_status want_length(const pm_mask_rule *r) {
    const pm_tensor *length = r->t->in[r->position + 1];
    if (!length) return PM_OK;
    PM_TRY(pm_want_type(r->t, r->position + 1, "length", PM_TYPE_I32));
    if (r->t->attrs.mask & PM_MASK_ROWS)
        return is_by_batch(r, length, r->scores[r->rank - 2])
                   ? PM_OK
                   : bad_operand(r, r->position + 1, "length", "[B,T] with stride 1 over T");
    if (length->rank == 0 || (length->rank == 1 && length->dims[0] == batch_of(r))) return PM_OK;
    return bad_operand(r, r->position + 1, "length", "rank 0 or [B]");
}

static pm_status want_keys(const pm_mask_rule *r) {
    const pm_tensor *keys = r->t->in[r->position + 2];
    int64_t n = r->scores[r->rank - 1];
    if (!keys) return PM_OK;
    if (r->t->attrs.mask & PM_MASK_GLOBAL) {
        PM_TRY(pm_want_type(r->t, r->position + 2, "key_mask", PM_TYPE_I32));
        if (is_by_batch(r, keys, n + (n + PM_KEY_BLOCK - 1) / PM_KEY_BLOCK)) return PM_OK;
        return bad_operand(r, r->position + 2, "key_mask",
                           "[B,N] with stride 1 and N words of keys and of their blocks");
    }
    PM_TRY(pm_want_type(r->t, r->position + 2, "key_mask", PM_TYPE_I32 | PM_TYPE_BOOL));
    if (is_by_batch(r, keys, n)) return PM_OK;
    return bad_operand(r, r->position + 2, "key_mask", "[B,S] with stride 1 over S");
}

pm_status pm_want_masks(const pm_mask_rule *r) {
    const pm_tensor *t = r->t, *position = t->in[r->position], *bias = t->in[r->position + 3];
    PM_TRY(want_window(r));
    PM_TRY(want_operand(r, r->position, PM_MASK_POSITION, "position"));
    PM_TRY(want_operand(r, r->position + 1, PM_MASK_LENGTH, "length"));
    PM_TRY(want_operand(r, r->position + 2, PM_MASK_KEYS, "keys"));
    PM_TRY(want_operand(r, r->position + 3, PM_MASK_BIAS | PM_MASK_SINK, "bias"));
    if (position) PM_TRY(pm_want_type(t, r->position, "position", PM_TYPE_I32));
    if (position && position->rank != 0 && (position->rank != 1 || position->dims[0] != batch_of(r)))
        return bad_operand(r, r->position, "position", "rank 0 or [B]");
    PM_TRY(want_length(r));
    PM_TRY(want_keys(r));
    if (bias) PM_TRY(pm_want_type(t, r->position + 3, "bias", PM_TYPE_F32));
    if (t->attrs.mask & PM_MASK_RELATIVE) return want_relative(r, bias);
    if (t->attrs.origin)
        return pm_raise(PM_ERR_USAGE, "%s: origin is %" PRId64 ", 0 without a relative bias was expected",
                        pm_op_get(t->op)->name, t->attrs.origin);
    if (t->attrs.mask & PM_MASK_SINK &&
        (t->attrs.mask & PM_MASK_BIAS || (bias->rank && bias->dims[bias->rank - 1] != 1)))
        return bad_operand(r, r->position + 3, t->attrs.mask & PM_MASK_BIAS ? "bias beside a sink" : "sink",
                           "[..,T,1] alone");
    if (bias && !pm_broadcasts_to(bias, r->rank, r->scores))
        return bad_operand(r, r->position + 3, "bias", "one that broadcasts");
    return PM_OK;
}

pm_status pm_infer_softmax(pm_tensor *t) {
    PM_TRY(want_f32_row(t));
    pm_mask_rule rule = {
        .t = t, .position = PM_SOFTMAX_POSITION, .rank = t->in[0]->rank, .scores = t->in[0]->dims};
    PM_TRY(pm_want_masks(&rule));
    return pm_infer_same(t);
}

pm_status pm_infer_log_softmax(pm_tensor *t) {
    PM_TRY(want_f32_row(t));
    return pm_infer_same(t);
}

/* ---- norms ---- */

static pm_status want_row_vector(const pm_tensor *t, int i, const char *what) {
    const pm_tensor *v = t->in[i], *x = t->in[0];
    if (!v) return PM_OK;
    PM_TRY(pm_want_type(t, i, what, PM_TYPE_F32));
    int64_t n = x->dims[x->rank - 1];
    if (v->rank != 1 || v->dims[0] != n || (n != 1 && v->strides[0] != 1))
        return pm_raise(PM_ERR_USAGE, "%s: %s is %s, [%" PRId64 "] with stride 1 was expected for x %s",
                        pm_op_get(t->op)->name, what, pm_shape(v).s, n, pm_shape(x).s);
    return PM_OK;
}

pm_status pm_infer_norm(pm_tensor *t) {
    PM_TRY(want_f32_row(t));
    PM_TRY(want_row_vector(t, 1, "gamma"));
    PM_TRY(want_row_vector(t, 2, "beta"));
    if (!(t->attrs.eps >= 0) || !isfinite(t->attrs.eps))
        return pm_raise(PM_ERR_USAGE, "%s: eps is %g, 0 or more was expected", pm_op_get(t->op)->name,
                        (double)t->attrs.eps);
    return pm_infer_same(t);
}
