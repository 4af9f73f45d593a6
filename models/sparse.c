/* See sparse.h. T x T is here anyway, since somebody wants weights; views and products with rows of ones bring it in order. */
#include "models/sparse.h"

static pm_tensor *zeros(pm_graph *g, int rank, const int64_t *dims) {
    return pm_expand(g, pm_const_f32(g, 0), rank, dims);
}

/* F32 [B,1,n_globals,T]: 1 where token t is global number n of its sequence. */
static pm_tensor *pick_globals(pm_build *b, const pm_context *context) {
    pm_graph *g = b->g;
    int64_t n = context->n_globals, batch = pm_tensor_dim(context->globals, 0),
            t = pm_tensor_dim(context->globals, 1), dims[4] = {batch, 1, 1, t};
    pm_tensor *count = pm_reshape(g, pm_block_count(b, context->globals), 4, dims);
    pm_tensor *number = pm_reshape(g, pm_iota(g, n), 4, (int64_t[]){1, 1, n, 1});
    pm_tensor *is = pm_eq(g, count, pm_add(g, number, pm_const_i32(g, 1)));
    return pm_cast(g, pm_and(g, is, pm_reshape(g, context->globals, 4, dims)), PM_F32);
}

/* Element (t, j) of the result is p's (t, t + j - reach): p between two margins, whose rows are then read as if each was
 * one longer, so that each begins one further. */
static pm_tensor *diagonals(pm_graph *g, pm_tensor *p, int64_t reach) {
    int64_t batch = pm_tensor_dim(p, 0), h = pm_tensor_dim(p, 1), t = pm_tensor_dim(p, 2);
    int64_t row = t + 2 * reach;
    pm_tensor *margin = zeros(g, 4, (int64_t[]){batch, h, t, reach});
    p = pm_concat(g, 3, (pm_tensor *[]){margin, p, margin}, 3);
    p = pm_reshape(g, p, 3, (int64_t[]){batch, h, t * row});
    p = pm_concat(g, 2, (pm_tensor *[]){p, zeros(g, 3, (int64_t[]){batch, h, t})}, 2);
    p = pm_reshape(g, p, 4, (int64_t[]){batch, h, t, row + 1});
    return pm_slice(g, p, 3, 0, 2 * reach + 1);
}

pm_tensor *pm_sparse_weights(pm_build *b, pm_tensor *p, const pm_context *context, int64_t reach) {
    pm_graph *g = b->g;
    if (!context->globals) return diagonals(g, p, reach);
    int64_t dims[4] = {pm_tensor_dim(context->globals, 0), 1, 1, pm_tensor_dim(p, 3)};
    pm_tensor *is = pm_reshape(g, context->globals, 4, dims);
    pm_tensor *near = pm_where(g, is, pm_const_f32(g, 0), p);
    pm_tensor *parts[] = {pm_matmul(g, p, pick_globals(b, context)), diagonals(g, near, reach)};
    return pm_concat(g, 2, parts, 3);
}

pm_tensor *pm_sparse_global_weights(pm_build *b, pm_tensor *p, const pm_context *context, int64_t window) {
    pm_graph *g = b->g;
    int64_t n = context->n_globals, batch = pm_tensor_dim(p, 0), h = pm_tensor_dim(p, 1),
            t = pm_tensor_dim(p, 2);
    int64_t rest = (window - t % window) % window;
    pm_tensor *pick = pick_globals(b, context);
    pm_tensor *y = pm_matmul(g, pm_transpose(g, p, 2, 3), pick);
    if (rest) y = pm_concat(g, 2, (pm_tensor *[]){y, zeros(g, 4, (int64_t[]){batch, h, rest, n})}, 2);
    pm_tensor *there = pm_gt(g, pm_transpose(g, pm_sum(g, pick, 3), 2, 3), pm_const_f32(g, 0));
    return pm_where(g, there, y, pm_const_f32(g, 1.0f / (float)(t + rest)));
}
