/* Kernels over rows of n_cols elements; rows are counted by the four outer dims (row = ((i0*d1+i1)*d2+i2)*d3+i3).
 * reduce:     y[row] = fn over x[row, :]                                       bindings: x, y
 * argmax:     y[row] = lowest index of the largest x[row, :], I32              bindings: x, y
 *             NaN is never the largest; a row of NaN gives 0
 * top_k:      y[row, j] = index of the j-th largest x[row, :], I32; the lower index first among equals, NaN below all
 *             bindings: x, y
 * log_softmax: y = x - max - log(sum over c of exp(x - max)), max of x[row, :]  bindings: x, y
 * layer_norm: y = (x - mean) / sqrt(var + eps) * gamma[c] + beta[c]            bindings: x, gamma, beta, y
 * rms_norm:   y = x / sqrt(mean(x^2) + eps) * gamma[c]                         bindings: x, gamma, y
 * An absent gamma or beta is bound to x's range and not read. gamma and beta have stride 1. */
#ifndef PM_ROWWISE_PARAMS_H
#define PM_ROWWISE_PARAMS_H
#include "common.params.h"

#define PM_SPEC_HAS_GAMMA 8
#define PM_SPEC_HAS_BETA  9

PM_PARAMS(pm_reduce_params) { /* reduce (PM_SPEC_FN) and argmax */
    pm_uint n_rows, n_cols;
    pm_uint dims[4];
    pm_uint x_offset, y_offset;
    pm_uint x_stride[4], x_col_stride;
    pm_uint y_stride[4];
};

PM_PARAMS(pm_top_k_params) {
    pm_uint n_rows, n_cols, k;
    pm_uint dims[4];
    pm_uint x_offset, y_offset;
    pm_uint x_stride[4], x_col_stride;
    pm_uint y_stride[4]; /* over j it is 1 */
};

PM_PARAMS(pm_norm_params) {
    pm_uint n_rows, n_cols;
    pm_uint dims[4];
    pm_uint x_offset, y_offset, gamma_offset, beta_offset;
    pm_uint x_stride[4], x_col_stride;
    pm_uint y_stride[4], y_col_stride;
    float eps;
};
#endif
