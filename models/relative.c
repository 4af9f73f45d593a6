/* Relative positions as T5 has them (see blocks.h): a bias that depends on the distance key - query alone. So it is written
 * as a table by distance, [N,H], and a gather of it at distances: the compiler takes the distance for what it is and
 * never stores [H,T,S]. */
#include "models/blocks.h"

#include <math.h>

/* Half of the buckets are a distance each, the others grow as logarithms do up to max_distance. With keys on both sides
 * each side has one half of all buckets. Rounded to fp32 where PyTorch's models round, since buckets begin at whole
 * numbers. */
static int32_t bucket_of(const pm_relative *r, bool causal, int64_t distance) {
    int64_t n = causal ? r->buckets : r->buckets / 2, exact = n / 2;
    int64_t ahead = !causal && distance > 0 ? n : 0, far = distance < 0 ? -distance : causal ? 0 : distance;
    if (far < exact) return (int32_t)(ahead + far);
    float share =
        (float)log((double)((float)far / (float)exact)) / (float)log((double)r->max_distance / (double)exact);
    int64_t bucket = exact + (int64_t)(share * (float)(n - exact));
    return (int32_t)(ahead + (bucket < n ? bucket : n - 1));
}

void pm_relative_buckets(const pm_relative *r, bool causal, int64_t first, int64_t n, int32_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = bucket_of(r, causal, first + i);
}

/* The biases of n distances from `first` on: [n,H]. */
static pm_tensor *bias_by_distance(pm_build *b, const pm_relative *r, const pm_relative_shape *shape,
                                   int64_t first, int64_t n) {
    int32_t *buckets = pm_calloc((size_t)n, sizeof *buckets);
    if (!buckets) return pm_build_fail(b, PM_ERR_MEMORY), NULL;
    pm_relative_buckets(r, shape->causal, first, n, buckets);
    pm_tensor *at = pm_const_data(b->g, PM_I32, 1, &n, buckets);
    pm_free(buckets);
    pm_tensor *weight = pm_build_weight(b, r->weight, 2, (int64_t[]){r->buckets, shape->n_heads});
    return pm_gather(b->g, weight, at);
}

pm_tensor *pm_block_relative_bias(pm_build *b, const pm_relative *r, const pm_relative_shape *shape) {
    pm_graph *g = b->g;
    int64_t t = shape->t, s = shape->s;
    int64_t behind = (b->position ? s : t) - 1, ahead = shape->causal ? 0 : s - 1;
    pm_tensor *table = bias_by_distance(b, r, shape, -behind, behind + 1 + ahead);
    int each = b->position && pm_tensor_rank(b->position) == 1; /* of the batch has a position */
    int64_t dims[3] = {each ? b->options.batch : 1, t, 1};
    pm_tensor *queries = b->position ? pm_block_places(b, t) : pm_iota(g, t);
    pm_tensor *keys = pm_reshape(g, pm_iota(g, s), 2, (int64_t[]){1, s});
    pm_tensor *distance = pm_sub(g, keys, pm_reshape(g, queries, 2 + each, dims + !each));
    pm_tensor *row = pm_add(g, distance, pm_const_i32(g, (int32_t)behind));
    return pm_permute(g, pm_gather(g, table, row), each ? (int[]){0, 3, 1, 2} : (int[]){2, 0, 1});
}
