/* What an operation costs, for cutting submissions and for figures: multiply-adds, or elements moved. */
#include "graph/ops.h"

uint64_t pm_cost_elems(const pm_tensor *t) {
    return (uint64_t)pm_elems(t);
}

uint64_t pm_cost_one(const pm_tensor *t) {
    (void)t;
    return 1;
}

/* cache_write reads its x, not the state. */
uint64_t pm_cost_reads(const pm_tensor *t) {
    return (uint64_t)pm_elems(t->in[t->op == PM_OP_CACHE_WRITE ? 1 : 0]);
}

/* Each of the k is looked for in the whole row. */
uint64_t pm_cost_top_k(const pm_tensor *t) {
    return pm_cost_reads(t) * (uint64_t)t->attrs.length;
}

uint64_t pm_cost_matmul(const pm_tensor *t) {
    return (uint64_t)pm_elems(t) * (uint64_t)t->in[0]->dims[t->in[0]->rank - 1];
}

uint64_t pm_cost_grouped_matmul(const pm_tensor *t) {
    return (uint64_t)pm_elems(t) * (uint64_t)t->in[PM_GROUPED_W]->dims[2];
}

/* How many pairs of a query row and a key before place t + ahead there are. */
static uint64_t pairs_before(int64_t ahead, int64_t n_rows, int64_t n_keys) {
    int64_t first = ahead > 0 ? 0 : -ahead < n_rows ? -ahead : n_rows; /* the first row that has any */
    int64_t end = n_keys - ahead < n_rows ? n_keys - ahead : n_rows;   /* the first that has all */
    if (end < first) end = first;
    uint64_t n = (uint64_t)(end - first);
    return n * (uint64_t)(first + ahead) + n * (n - (n > 0)) / 2 +
           (uint64_t)(n_rows - end) * (uint64_t)n_keys;
}

/* Pairs of a query row and a key that the mask's band lets through. Where the rows stand may be known at run time
 * alone: then each has a whole window, or all keys. */
static uint64_t pairs_of_band(const pm_tensor *t, int64_t n_rows, int64_t n_keys) {
    bool causal = t->attrs.mask & PM_MASK_CAUSAL, window = t->attrs.mask & PM_MASK_WINDOW;
    int64_t most = causal && window && t->attrs.window < n_keys ? t->attrs.window : n_keys;
    float at = 0;
    if (t->attrs.mask & PM_MASK_POSITION && !pm_is_const_scalar(t->in[PM_ATTN_POSITION], &at))
        return (uint64_t)n_rows * (uint64_t)most;
    uint64_t pairs = (uint64_t)n_rows * (uint64_t)n_keys;
    if (causal) pairs = pairs_before((int64_t)at + 1, n_rows, n_keys);
    if (window) pairs -= pairs_before((int64_t)at + 1 - t->attrs.window, n_rows, n_keys);
    return pairs;
}

/* What other masks leave out is data: how many keys are global too, which are taken to lie in one block. */
uint64_t pm_cost_attention(const pm_tensor *t) {
    int64_t n_rows = t->dims[2], n_keys = t->in[PM_ATTN_K]->dims[2];
    uint64_t all = (uint64_t)n_rows * (uint64_t)n_keys, pairs = pairs_of_band(t, n_rows, n_keys);
    if (t->attrs.mask & PM_MASK_GLOBAL) pairs += (uint64_t)n_rows * PM_KEY_BLOCK;
    if (pairs > all) pairs = all;
    uint64_t products = t->n_in > PM_ATTN_PLACES && t->in[PM_ATTN_PLACES] ? 3 : 2;
    return products * (uint64_t)(t->dims[0] * t->dims[1] * t->dims[3]) * pairs;
}
