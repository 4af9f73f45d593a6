/* unary:  y[i] = fn(x[i])                      bindings: x, y
 * binary: y[i] = fn(a[i], b[i])                bindings: a, b, y
 *         when PM_SPEC_LIMITED, of min(a[i], limit) and clamp(b[i], -limit, limit) + 1
 * where:  y[i] = cond[i] != 0 ? a[i] : b[i]    bindings: cond, a, b, y
 * i runs over dims; each operand has strides of its own (0 where it broadcasts). Elements are 32-bit words. */
#ifndef PM_ELEMENTWISE_PARAMS_H
#define PM_ELEMENTWISE_PARAMS_H
#include "common.params.h"

#define PM_SPEC_FN 8 /* unary, binary, reduce: PM_FN_* */
#define PM_SPEC_DENSE                                                                                        \
    9 /* 1: every operand is dense in the same order with no broadcast, index = offset + i */

#define PM_SPEC_LIMITED 10

PM_PARAMS(pm_unary_params) {
    pm_uint n;
    pm_uint dims[PM_DIMS];
    pm_uint x_offset, y_offset;
    pm_uint x_stride[PM_DIMS], y_stride[PM_DIMS];
};

PM_PARAMS(pm_binary_params) {
    pm_uint n;
    pm_uint dims[PM_DIMS];
    pm_uint a_offset, b_offset, y_offset;
    pm_uint a_stride[PM_DIMS], b_stride[PM_DIMS], y_stride[PM_DIMS];
    float limit;
};

PM_PARAMS(pm_where_params) {
    pm_uint n;
    pm_uint dims[PM_DIMS];
    pm_uint c_offset, a_offset, b_offset, y_offset;
    pm_uint c_stride[PM_DIMS], a_stride[PM_DIMS], b_stride[PM_DIMS], y_stride[PM_DIMS];
};
#endif
