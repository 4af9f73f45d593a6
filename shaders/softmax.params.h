/* softmax: y[...,t,s] = exp(z - max) / sum over the present s of z = softcap(scale * x[...,t,s]) + bias[...,t,s].
 * dims[3] is t, dims[4] is s, dims[0] is b of length and key_mask. Absent keys give 0; a row of absent keys gives 0.
 * Entries z <= PM_MASKED_F32 are absent too, and so are entries that are NaN: they give 0. softcap(z) = softcap * tanh(z / softcap) when softcap is not 0.
 * A relative bias is bias[..., s - (t + position) + origin] instead, 0 outside of the table.
 * bindings: x, position, length, key_mask, bias, y; an absent operand is bound to x's range and not read. */
#ifndef PM_SOFTMAX_PARAMS_H
#define PM_SOFTMAX_PARAMS_H
#include "common.params.h"

/* A relative bias varies over dims[0 .. 2] as it says; the strides over t and s hold how many distances it has, and the
 * origin. */
#define PM_SOFTMAX_RELATIVE_COUNT  3
#define PM_SOFTMAX_RELATIVE_ORIGIN 4

PM_PARAMS(pm_softmax_params) {
    pm_uint dims[PM_DIMS];
    pm_uint x_offset, y_offset;
    pm_uint x_stride[PM_DIMS], y_stride[PM_DIMS], bias_stride[PM_DIMS];
    PM_MASK_PARAMS
};
#endif
