/* See blocks.h: scaled dot-product attention (Vaswani et al. 2017) with grouped key heads (Ainslie et al.
 * 2023). Masks are predicates over positions, so that the compiler can skip what they empty. */
#include "models/blocks.h"

pm_tensor *pm_block_heads(pm_build *b, pm_tensor *x, int64_t n) {
    int64_t batch = pm_tensor_dim(x, 0), t = pm_tensor_dim(x, 1), d = pm_tensor_dim(x, 2) / n;
    x = pm_reshape(b->g, x, 4, (int64_t[]){batch, t, n, d});
    return pm_permute(b->g, x, (int[]){0, 2, 1, 3});
}

static pm_tensor *both(pm_graph *g, pm_tensor *a, pm_tensor *b) {
    return a && b ? pm_and(g, a, b) : a ? a : b;
}

static pm_tensor *shifted(pm_graph *g, pm_tensor *at, int64_t by) {
    return pm_add(g, at, pm_const_i32(g, (int32_t)by));
}

/* Of keys [1,S] and queries [..,T,1]: those near enough; NULL when all are. */
static pm_tensor *make_band(pm_graph *g, const pm_mask *mask, pm_tensor *keys, pm_tensor *queries) {
    int64_t s = pm_tensor_dim(keys, 1);
    if (mask->causal) {
        pm_tensor *behind = pm_le(g, keys, queries);
        if (!mask->window || mask->window >= s) return behind;
        return pm_and(g, behind, pm_gt(g, keys, shifted(g, queries, -mask->window)));
    }
    if (!mask->near || mask->reach >= s - 1) return NULL;
    return pm_and(g, pm_le(g, keys, shifted(g, queries, mask->reach)),
                  pm_ge(g, keys, shifted(g, queries, -mask->reach)));
}

/* x[B,n] as a tensor of `rank` dims with n at `axis`. */
static pm_tensor *along(pm_graph *g, pm_tensor *x, int rank, int axis) {
    int64_t dims[PM_MAX_DIMS] = {pm_tensor_dim(x, 0), 1, 1, 1, 1};
    dims[axis] = pm_tensor_dim(x, 1);
    return pm_reshape(g, x, rank, dims);
}

/* BOOL that broadcasts to scores of `rank` dims, T queries and S keys; NULL when every key is seen. */
static pm_tensor *make_mask(pm_build *b, const pm_mask *mask, int rank, int64_t t, int64_t s) {
    pm_graph *g = b->g;
    pm_tensor *keys = pm_reshape(g, pm_iota(g, s), 2, (int64_t[]){1, s});
    pm_tensor *queries = pm_reshape(g, pm_iota(g, t), 2, (int64_t[]){t, 1});
    if (mask->position) queries = pm_add(g, queries, pm_block_by_batch(b, mask->position, rank));
    pm_tensor *all = make_band(g, mask, keys, queries);
    if (all && mask->globals) all = pm_or(g, all, along(g, mask->globals, rank, rank - 1));
    if (mask->length) all = both(g, all, pm_lt(g, keys, pm_block_by_batch(b, mask->length, rank)));
    if (mask->keys) all = both(g, all, along(g, pm_cast(g, mask->keys, PM_BOOL), rank, rank - 1));
    if (mask->rows) all = both(g, all, along(g, mask->rows, rank, rank - 2));
    return all;
}

/* Weights of the scores, which keep their dims. */
static pm_tensor *weigh(pm_graph *g, pm_tensor *scores, pm_tensor *sinks, int64_t groups) {
    if (!sinks || !scores) return pm_softmax(g, scores);
    int rank = pm_tensor_rank(scores);
    int64_t dims[PM_MAX_DIMS], h = pm_tensor_dim(sinks, 0), n = pm_tensor_dim(scores, -1);
    for (int i = 0; i < rank; i++) dims[i] = pm_tensor_dim(scores, i);
    dims[rank - 1] = 1;
    const int64_t four[] = {1, h, 1, 1}, five[] = {1, groups, h / groups, 1, 1};
    sinks = pm_expand(g, pm_reshape(g, sinks, rank, rank == 5 ? five : four), rank, dims);
    pm_tensor *p = pm_softmax(g, pm_concat(g, 2, (pm_tensor *[]){scores, sinks}, -1));
    return pm_slice(g, p, -1, 0, n);
}

pm_tensor *pm_block_attention(pm_build *b, pm_tensor *q, pm_tensor *k, pm_tensor *v, const pm_mask *mask) {
    pm_graph *g = b->g;
    if (!q || !k || !v) return NULL;
    int64_t batch = pm_tensor_dim(q, 0), h = pm_tensor_dim(q, 1), t = pm_tensor_dim(q, 2),
            d = pm_tensor_dim(q, 3);
    int64_t groups = pm_tensor_dim(k, 1), s = pm_tensor_dim(k, 2);
    int rank = h == groups ? 4 : 5; /* a group's heads share its keys: q[B,G,H/G,T,D], k[B,G,1,S,D] */
    if (rank == 5) {
        q = pm_reshape(g, q, 5, (int64_t[]){batch, groups, h / groups, t, d});
        k = pm_reshape(g, k, 5, (int64_t[]){batch, groups, 1, s, d});
        v = pm_reshape(g, v, 5, (int64_t[]){batch, groups, 1, s, d});
    }
    pm_tensor *scores = pm_matmul(g, q, k);
    if (mask->places)
        scores =
            pm_add(g, scores, pm_rel_shift(g, pm_matmul(g, mask->by_place, mask->places), mask->position, s));
    scores = pm_mul(g, scores, pm_const_f32(g, mask->scale));
    scores = pm_block_softcap(b, scores, mask->softcap);
    if (mask->bias) {
        int each = pm_tensor_rank(mask->bias) == 4; /* a bias for each of the batch */
        int64_t of_groups[] = {batch, groups, h / groups, pm_tensor_dim(mask->bias, -2), s};
        scores = pm_add(g, scores,
                        rank == 5 ? pm_reshape(g, mask->bias, 4 + each, of_groups + !each) : mask->bias);
    }
    pm_tensor *seen = make_mask(b, mask, rank, t, s);
    if (seen) scores = pm_where(g, seen, scores, pm_const_f32(g, PM_MASKED));
    pm_tensor *p = weigh(g, scores, mask->sinks, groups);
    if (mask->weights) *mask->weights = p;
    if (mask->map)
        pm_build_output(b, mask->map, mask->layer, false, pm_reshape(g, p, 4, (int64_t[]){batch, h, t, s}));
    pm_tensor *y = pm_matmul(g, p, pm_transpose(g, v, -1, -2));
    if (rank == 5) y = pm_reshape(g, y, 4, (int64_t[]){batch, h, t, d});
    return pm_reshape(g, pm_permute(g, y, (int[]){0, 2, 1, 3}), 3, (int64_t[]){batch, t, h * d});
}
