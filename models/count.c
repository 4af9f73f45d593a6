/* Running counts, from primitives: there is no operation that goes along an axis and keeps its sum. In blocks: a product
 * with a triangle of ones counts within each block, another one over the blocks before it, and T x T is never stored.
 * Counts are sums of ones, exact in fp32. */
#include "models/blocks.h"

enum { BLOCK = 64 };

/* F32 [n,n]: 1 where column < row + reach. */
static pm_tensor *triangle(pm_graph *g, int64_t n, int32_t reach) {
    pm_tensor *rows = pm_reshape(g, pm_iota(g, n), 2, (int64_t[]){n, 1});
    rows = pm_add(g, rows, pm_const_i32(g, reach));
    return pm_cast(g, pm_lt(g, pm_reshape(g, pm_iota(g, n), 2, (int64_t[]){1, n}), rows), PM_F32);
}

pm_tensor *pm_block_count(pm_build *b, pm_tensor *is) {
    pm_graph *g = b->g;
    int64_t batch = pm_tensor_dim(is, 0), t = pm_tensor_dim(is, 1), n = (t + BLOCK - 1) / BLOCK;
    int64_t size = n > 1 ? BLOCK : t, rest = n * size - t;
    pm_tensor *x = pm_cast(g, is, PM_F32);
    if (rest) {
        pm_tensor *parts[] = {x, pm_expand(g, pm_const_f32(g, 0), 2, (int64_t[]){batch, rest})};
        x = pm_concat(g, 2, parts, 1);
    }
    x = pm_matmul(g, pm_reshape(g, x, 3, (int64_t[]){batch, n, size}), triangle(g, size, 1));
    if (n > 1) {
        pm_tensor *whole = pm_reshape(g, pm_slice(g, x, 2, size - 1, 1), 2, (int64_t[]){batch, n});
        pm_tensor *before = pm_matmul(g, whole, triangle(g, n, 0));
        x = pm_add(g, x, pm_reshape(g, before, 3, (int64_t[]){batch, n, 1}));
    }
    x = pm_slice(g, pm_reshape(g, x, 2, (int64_t[]){batch, n * size}), 1, 0, t);
    return pm_cast(g, x, PM_I32);
}
