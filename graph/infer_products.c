/* Shape rules of matmul, grouped_matmul and attention. */
#include "graph/infer_masks.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Leading dims of a and b, broadcast. */
static pm_status batch_dims(const pm_tensor *t, int32_t *out_rank, int64_t *out_dims) {
    const pm_tensor *a = t->in[0], *b = t->in[1];
    int32_t rank = a->rank > b->rank ? a->rank : b->rank;
    for (int32_t back = 3; back <= rank; back++) {
        int64_t da = back <= a->rank ? a->dims[a->rank - back] : 1,
                db = back <= b->rank ? b->dims[b->rank - back] : 1;
        if (da != db && da != 1 && db != 1)
            return pm_raise(PM_ERR_USAGE,
                            "matmul: a %s and b %s do not agree: dim -%d is %" PRId64 " and %" PRId64
                            ", equal or 1 was expected",
                            pm_shape(a).s, pm_shape(b).s, back, da, db);
        out_dims[rank - back] = da == 1 ? db : da;
    }
    *out_rank = rank;
    return PM_OK;
}

static pm_status want_epilogue(const pm_tensor *t, int32_t rank, const int64_t *dims) {
    const pm_tensor *bias = t->in[PM_MATMUL_BIAS], *residual = t->in[PM_MATMUL_RESIDUAL];
    int64_t n = dims[rank - 1];
    if (bias) {
        PM_TRY(pm_want_type(t, PM_MATMUL_BIAS, "bias", PM_TYPE_F32));
        if (bias->rank != 1 || bias->dims[0] != n || (n != 1 && bias->strides[0] != 1))
            return pm_raise(PM_ERR_USAGE, "matmul: bias is %s, [%" PRId64 "] with stride 1 was expected",
                            pm_shape(bias).s, n);
    }
    if (residual) {
        PM_TRY(pm_want_type(t, PM_MATMUL_RESIDUAL, "residual", PM_TYPE_F32));
        int32_t last = residual->rank - 1;
        if (!pm_broadcasts_to(residual, rank, dims) || last < 0 || residual->dims[last] != n ||
            (n != 1 && residual->strides[last] != 1))
            return pm_raise(
                PM_ERR_USAGE,
                "matmul: residual is %s, one that broadcasts to %s with stride 1 over N was expected",
                pm_shape(residual).s, pm_shape_of(rank, dims).s);
    }
    return PM_OK;
}

pm_status pm_infer_matmul(pm_tensor *t) {
    const pm_tensor *a = t->in[PM_MATMUL_A], *b = t->in[PM_MATMUL_B];
    int64_t dims[PM_MAX_DIMS];
    int32_t rank = 0;
    PM_TRY(pm_want_type(t, PM_MATMUL_A, "a", PM_TYPE_F32));
    PM_TRY(pm_want_type(t, PM_MATMUL_B, "b", PM_TYPE_F32));
    if (a->rank < 2 || b->rank < 2)
        return pm_raise(PM_ERR_USAGE, "matmul: a %s and b %s, rank 2 or more was expected of both",
                        pm_shape(a).s, pm_shape(b).s);
    if (a->dims[a->rank - 1] != b->dims[b->rank - 1])
        return pm_raise(PM_ERR_USAGE, "matmul: a %s and b %s do not agree: K is %" PRId64 " and %" PRId64,
                        pm_shape(a).s, pm_shape(b).s, a->dims[a->rank - 1], b->dims[b->rank - 1]);
    PM_TRY(batch_dims(t, &rank, dims));
    dims[rank - 2] = a->dims[a->rank - 2];
    dims[rank - 1] = b->dims[b->rank - 2];
    PM_TRY(want_epilogue(t, rank, dims));
    if (t->attrs.act < 0 || t->attrs.act >= PM_N_ACT || !isfinite(t->attrs.scale))
        return pm_raise(PM_ERR_USAGE,
                        "matmul: act %d and scale %g, 0 to %d and a finite number were expected",
                        t->attrs.act, (double)t->attrs.scale, PM_N_ACT - 1);
    return pm_set_result(t, PM_F32, rank, dims);
}

/* x is [..,K] or [..,J,K] for ids [..,J]; its rows, but for those of one token's choices, lie evenly spaced. */
static pm_status want_grouped_rows(const pm_tensor *t) {
    const pm_tensor *x = t->in[PM_GROUPED_X], *ids = t->in[PM_GROUPED_IDS], *w = t->in[PM_GROUPED_W];
    int64_t stride;
    bool agrees = ids->rank >= 1 && ids->rank < PM_MAX_DIMS && w->rank == 3 &&
                  (x->rank == ids->rank || x->rank == ids->rank + 1) && x->dims[x->rank - 1] == w->dims[2];
    for (int32_t k = 0; agrees && k + 1 < x->rank; k++) agrees = x->dims[k] == ids->dims[k];
    if (!agrees)
        return pm_raise(PM_ERR_USAGE,
                        "grouped_matmul: x %s, w %s and ids %s, [..,K] or [..,J,K], [E,N,K] and [..,J] were "
                        "expected",
                        pm_shape(x).s, pm_shape(w).s, pm_shape(ids).s);
    if (!pm_has_one_stride(ids, &stride) || !pm_rows_have_one_stride(x, x->rank - ids->rank + 1, &stride))
        return pm_raise(
            PM_ERR_USAGE,
            "grouped_matmul: ids %s or rows of x %s do not lie evenly spaced, a copy was expected",
            pm_shape(ids).s, pm_shape(x).s);
    return PM_OK;
}

pm_status pm_infer_grouped_matmul(pm_tensor *t) {
    const pm_tensor *w = t->in[PM_GROUPED_W], *ids = t->in[PM_GROUPED_IDS];
    const pm_tensor *bias = t->n_in > PM_GROUPED_BIAS ? t->in[PM_GROUPED_BIAS] : NULL;
    int64_t dims[PM_MAX_DIMS];
    PM_TRY(pm_want_type(t, PM_GROUPED_X, "x", PM_TYPE_F32));
    PM_TRY(pm_want_type(t, PM_GROUPED_W, "w", PM_TYPE_F32));
    PM_TRY(pm_want_type(t, PM_GROUPED_IDS, "ids", PM_TYPE_I32));
    PM_TRY(want_grouped_rows(t));
    if (bias) PM_TRY(pm_want_type(t, PM_GROUPED_BIAS, "bias", PM_TYPE_F32));
    if (bias && (bias->rank != 2 || bias->dims[0] != w->dims[0] || bias->dims[1] != w->dims[1] ||
                 (bias->dims[1] != 1 && bias->strides[1] != 1)))
        return pm_raise(PM_ERR_USAGE,
                        "grouped_matmul: bias is %s, [E,N] with stride 1 over N was expected for w %s",
                        pm_shape(bias).s, pm_shape(w).s);
    if (t->attrs.act < 0 || t->attrs.act >= PM_N_ACT)
        return pm_raise(PM_ERR_USAGE, "grouped_matmul: act is %d, 0 to %d was expected", t->attrs.act,
                        PM_N_ACT - 1);
    memcpy(dims, ids->dims, sizeof dims);
    dims[ids->rank] = w->dims[1];
    return pm_set_result(t, PM_F32, ids->rank + 1, dims);
}

static pm_status want_head_rows(const pm_tensor *t, int i, const char *what) {
    PM_TRY(pm_want_type(t, i, what, PM_TYPE_F32));
    const pm_tensor *x = t->in[i];
    if (x->rank != 4 || (x->dims[3] != 1 && x->strides[3] != 1))
        return pm_raise(PM_ERR_USAGE, "attention: %s is %s, rank 4 with stride 1 over D was expected", what,
                        pm_shape(x).s);
    return PM_OK;
}

static pm_status want_places(const pm_tensor *t) {
    const pm_tensor *q = t->in[PM_ATTN_Q], *k = t->in[PM_ATTN_K], *x = t->in[PM_ATTN_PLACES];
    PM_TRY(pm_want_type(t, PM_ATTN_PLACES, "places", PM_TYPE_F32));
    if (t->in[PM_ATTN_BIAS]) return pm_raise(PM_ERR_USAGE, "attention: places and a bias, one was expected");
    if (x->rank == 3 && x->dims[0] == q->dims[1] && x->dims[2] == k->dims[3] &&
        (x->dims[2] == 1 || x->strides[2] == 1))
        return PM_OK;
    return pm_raise(PM_ERR_USAGE,
                    "attention: places is %s, [H,N,D] with stride 1 over D was expected for k %s",
                    pm_shape(x).s, pm_shape(k).s);
}

pm_status pm_infer_attention(pm_tensor *t) {
    const pm_tensor *q = t->in[PM_ATTN_Q], *k = t->in[PM_ATTN_K], *v = t->in[PM_ATTN_V],
                    *bias = t->in[PM_ATTN_BIAS], *places = t->in[PM_ATTN_PLACES];
    PM_TRY(want_head_rows(t, PM_ATTN_Q, "q"));
    PM_TRY(want_head_rows(t, PM_ATTN_K, "k"));
    PM_TRY(want_head_rows(t, PM_ATTN_V, "v"));
    if (!pm_same_dims(k, v) || q->dims[0] != k->dims[0] || q->dims[3] != k->dims[3] * (places ? 2 : 1) ||
        q->dims[1] % k->dims[1] != 0)
        return pm_raise(
            PM_ERR_USAGE,
            "attention: q %s, k %s, v %s, [B,H,T,%sD], [B,G,S,D], [B,G,S,D] with H a multiple of G "
            "was expected",
            pm_shape(q).s, pm_shape(k).s, pm_shape(v).s, places ? "2" : "");
    if (places) PM_TRY(want_places(t));
    int64_t scores[4] = {q->dims[0], q->dims[1], q->dims[2], k->dims[2]};
    pm_mask_rule rule = {.t = t, .position = PM_ATTN_POSITION, .rank = 4, .scores = scores};
    PM_TRY(pm_want_masks(&rule));
    if (bias && !(t->attrs.mask & (PM_MASK_RELATIVE | PM_MASK_SINK)) && scores[3] != 1 &&
        (bias->rank < 1 || bias->dims[bias->rank - 1] != scores[3] || bias->strides[bias->rank - 1] != 1))
        return pm_raise(PM_ERR_USAGE, "attention: bias is %s, stride 1 over S = %" PRId64 " was expected",
                        pm_shape(bias).s, scores[3]);
    const int64_t dims[4] = {q->dims[0], q->dims[1], q->dims[2], k->dims[3]};
    return pm_set_result(t, PM_F32, 4, dims);
}
