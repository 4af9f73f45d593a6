/* matmul: y[b,m,n] = act(scale * sum over k of a[b,m,k] b[b,n,k] + bias[n]) + residual[b,m,n].
 * b stands for three leading dims; each operand has strides of its own (0 where it broadcasts).
 * bindings: a, b, bias, residual, position, cache 0, cache 1, y; what is absent is bound to a's or y's range and not touched.
 * With PM_SPEC_CACHES some columns are rows of caches and are not written to y: column n of row m goes to
 * cache[b, h, position[b] + m % tokens, c - h * pitch] with c = n - first and h = c / pitch, where h < heads and the last index
 * < size, for the `repeats` sequences b from m / tokens * repeats on; rows past n_slots are dropped. A cache is dense:
 * [B, heads, n_slots, size].
 * grouped_matmul: y[i,n] = act(sum over k of x[i,k] w[e,n,k] + bias[e,n]) with e = ids[i] - first_expert, for pairs i of a
 * token and one of its n_chosen choices. For other e than 0 .. n_experts-1 nothing is written when keep_others, else 0: a
 * table larger than a binding is multiplied in parts. bindings: x, w, ids, bias, y */
#ifndef PM_MATMUL_PARAMS_H
#define PM_MATMUL_PARAMS_H
#include "common.params.h"

#define PM_SPEC_ACT          8
#define PM_SPEC_HAS_BIAS     9
#define PM_SPEC_HAS_RESIDUAL 10
#define PM_SPEC_CACHES       11 /* how many, 0 to 2 */

PM_PARAMS(pm_matmul_params) {
    pm_uint m, n, k;
    pm_uint batch[3];
    pm_uint a_offset, b_offset, bias_offset, residual_offset, y_offset;
    pm_uint a_batch[3], a_m, a_k;
    pm_uint b_batch[3], b_n, b_k;
    pm_uint residual_batch[3], residual_m; /* over n it is 1 */
    pm_uint y_batch[3], y_m;               /* over n it is 1 */
    float scale;
    pm_uint cache_offset[2];
};
/* With caches there is one batch: strides over it are multiplied by 0, and their words say this instead. */
#define pm_cache_tokens          a_batch[0]
#define pm_cache_heads           a_batch[1]
#define pm_cache_size            a_batch[2]
#define pm_cache_pitch           b_batch[0]
#define pm_cache_slots           b_batch[1]
#define pm_cache_position_offset b_batch[2]
#define pm_cache_position_stride residual_batch[0] /* over B; 0 for one position */
#define pm_cache_repeats         residual_batch[1]
#define pm_cache_first           y_batch /* [0], [1]: of each cache; wraps below 0 in a part of the columns */

PM_PARAMS(pm_grouped_params) {
    pm_uint n_pairs, n_chosen, n, k;
    pm_uint first_expert, n_experts, keep_others;
    pm_uint x_offset, w_offset, ids_offset, bias_offset, y_offset;
    pm_uint x_token, x_choice, x_k; /* row of pair i: i / n_chosen * x_token + i % n_chosen * x_choice */
    pm_uint w_expert, w_n, w_k;
    pm_uint ids_stride, bias_expert, y_pair; /* bias and y have stride 1 over n */
};
#endif
