/* Shapes as kernels see them, and the operands that kernels share. See lower.h. */
#include "graph/lower.h"

#include <string.h>

void pm_lower_dims(const pm_tensor *t, int n, uint32_t *out) {
    for (int k = 0; k < n; k++) {
        int32_t axis = t->rank - n + k;
        out[k] = axis < 0 ? 1 : (uint32_t)t->dims[axis];
    }
}

void pm_lower_strides(const pm_tensor *x, int n, uint32_t *out) {
    for (int k = 0; k < n; k++) {
        int32_t axis = x->rank - n + k;
        out[k] = axis < 0 || x->dims[axis] == 1 ? 0 : (uint32_t)x->strides[axis];
    }
}

void pm_lower_params(pm_dispatch *d, pm_kernel kernel, const void *params) {
    d->kernel = kernel;
    d->param_bytes = pm_kernel_get(kernel)->param_bytes;
    memcpy(d->params, params, d->param_bytes);
}

pm_status pm_lower_want_rows(const pm_tensor *t) {
    int32_t last = t->rank - 1;
    if (t->dims[last] == 1 || t->strides[last] == 1) return PM_OK;
    return pm_raise(PM_ERR_OTHER,
                    "lowering: %%%u (%s) lies with stride %lld over its last dim, 1 was expected", t->id,
                    pm_op_get(t->op)->name, (long long)t->strides[last]);
}

uint32_t pm_lower_position_stride(const pm_tensor *position) {
    return position && position->rank && position->dims[0] != 1 ? (uint32_t)position->strides[0] : 0;
}

static const pm_tensor *operand(const pm_tensor *t, int i) {
    return i < t->n_in ? t->in[i] : NULL;
}

pm_status pm_lower_bind_masks(pm_lowering *l, const pm_tensor *t, int first, pm_dispatch *d,
                              pm_mask_params *out) {
    const pm_tensor *length = operand(t, first + 1), *keys = operand(t, first + 2);
    *out = (pm_mask_params){.scale = t->attrs.scale == 0 ? 1 : t->attrs.scale, .softcap = t->attrs.softcap};
    PM_TRY(pm_lower_bind(l, d, operand(t, first), false, &out->position_offset));
    PM_TRY(pm_lower_bind(l, d, length, false, &out->length_offset));
    PM_TRY(pm_lower_bind(l, d, keys, false, &out->key_mask_offset));
    PM_TRY(pm_lower_bind(l, d, operand(t, first + 3), false, &out->bias_offset));
    out->position_stride = pm_lower_position_stride(operand(t, first));
    if (length && length->rank && length->dims[0] != 1) out->length_stride = (uint32_t)length->strides[0];
    if (keys && keys->dims[0] != 1) out->key_mask_stride = (uint32_t)keys->strides[0];
    return PM_OK;
}
