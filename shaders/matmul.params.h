/* matmul: y[b,m,n] = act(scale * sum over k of a[b,m,k] b[b,n,k] + bias[n]) + residual[b,m,n].
 * b stands for three leading dims; each operand has strides of its own (0 where it broadcasts).
 * bindings: a, b, bias, residual, y; an absent bias or residual is bound to a's range and not read.
 * grouped_matmul: y[i,n] = act(sum over k of x[i,k] w[e,n,k] + bias[e,n]) with e = ids[i] - first_expert, for pairs i of a
 * token and one of its n_chosen choices. For other e than 0 .. n_experts-1 nothing is written when keep_others, else 0: a
 * table larger than a binding is multiplied in parts. bindings: x, w, ids, bias, y */
#ifndef PM_MATMUL_PARAMS_H
#define PM_MATMUL_PARAMS_H
#include "common.params.h"

#define PM_SPEC_ACT          8
#define PM_SPEC_HAS_BIAS     9
#define PM_SPEC_HAS_RESIDUAL 10

PM_PARAMS(pm_matmul_params) {
    pm_uint m, n, k;
    pm_uint batch[3];
    pm_uint a_offset, b_offset, bias_offset, residual_offset, y_offset;
    pm_uint a_batch[3], a_m, a_k;
    pm_uint b_batch[3], b_n, b_k;
    pm_uint residual_batch[3], residual_m; /* over n it is 1 */
    pm_uint y_batch[3], y_m;               /* over n it is 1 */
    float scale;
};

PM_PARAMS(pm_grouped_params) {
    pm_uint n_pairs, n_chosen, n, k;
    pm_uint first_expert, n_experts, keep_others;
    pm_uint x_offset, w_offset, ids_offset, bias_offset, y_offset;
    pm_uint x_token, x_choice, x_k; /* row of pair i: i / n_chosen * x_token + i % n_chosen * x_choice */
    pm_uint w_expert, w_n, w_k;
    pm_uint ids_stride, bias_expert, y_pair; /* bias and y have stride 1 over n */
};
#endif
