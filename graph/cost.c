/* What an operation costs, for cutting submissions and for figures: multiply-adds, or elements moved. */
#include "graph/ops.h"

uint64_t pm_cost_elems(const pm_tensor *t) {
    return (uint64_t)pm_elems(t);
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

/* Of all keys, or of a window of them. How many are global is not known here. */
uint64_t pm_cost_attention(const pm_tensor *t) {
    const uint32_t band = PM_MASK_CAUSAL | PM_MASK_WINDOW;
    int64_t n_keys = t->in[PM_ATTN_K]->dims[2];
    bool narrow = (t->attrs.mask & (band | PM_MASK_GLOBAL)) == band && t->attrs.window < n_keys;
    return 2 * (uint64_t)pm_elems(t->in[PM_ATTN_Q]) * (uint64_t)(narrow ? t->attrs.window : n_keys);
}
