/* Breaks the result of one dispatch, so that tests can see that verification finds it. Never runs in normal use. */
#include "runtime/cpu/spoil.h"

#include <stddef.h>
#include <string.h>

#include "shaders/attention.params.h"
#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"
#include "shaders/matmul.params.h"
#include "shaders/rowwise.params.h"
#include "shaders/sample.params.h"
#include "shaders/softmax.params.h"

#define WRONG      0x49742400u /* the float 1e6 */
#define ALSO_WRONG 0x4b189680u /* 1e7 */

/* Where each kernel's parameters keep the offset of its first result. */
static const size_t y_offset_at[PM_N_KERNELS] = {
    [PM_KERNEL_UNARY] = offsetof(pm_unary_params, y_offset),
    [PM_KERNEL_BINARY] = offsetof(pm_binary_params, y_offset),
    [PM_KERNEL_WHERE] = offsetof(pm_where_params, y_offset),
    [PM_KERNEL_REDUCE] = offsetof(pm_reduce_params, y_offset),
    [PM_KERNEL_ARGMAX] = offsetof(pm_reduce_params, y_offset),
    [PM_KERNEL_SAMPLE] = offsetof(pm_sample_params, y_offset),
    [PM_KERNEL_SOFTMAX] = offsetof(pm_softmax_params, y_offset),
    [PM_KERNEL_LOG_SOFTMAX] = offsetof(pm_norm_params, y_offset),
    [PM_KERNEL_LAYER_NORM] = offsetof(pm_norm_params, y_offset),
    [PM_KERNEL_RMS_NORM] = offsetof(pm_norm_params, y_offset),
    [PM_KERNEL_MATMUL] = offsetof(pm_matmul_params, y_offset),
    [PM_KERNEL_TOP_K] = offsetof(pm_top_k_params, y_offset),
    [PM_KERNEL_GROUPED_MATMUL] = offsetof(pm_grouped_params, y_offset),
    [PM_KERNEL_ATTENTION] = offsetof(pm_attention_params, y_offset),
    [PM_KERNEL_GATHER] = offsetof(pm_gather_params, y_offset),
    [PM_KERNEL_CACHE_WRITE] = offsetof(pm_cache_write_params, state_offset),
    [PM_KERNEL_ADVANCE] = offsetof(pm_advance_params, loop_offset),
    [PM_KERNEL_ROTARY] = offsetof(pm_rotary_params, y_offset),
    [PM_KERNEL_REL_SHIFT] = offsetof(pm_rel_shift_params, y_offset),
};

void pm_spoil(pm_kernel kernel, const pm_call *call) {
    uint32_t at, word = WRONG;
    if (!call->out) return;
    memcpy(&at, (const unsigned char *)call->params + y_offset_at[kernel], sizeof at);
    if (kernel == PM_KERNEL_CACHE_WRITE) { /* the first result is the row at `position` */
        const pm_cache_write_params *p = call->params;
        int32_t position = ((const int32_t *)call->in[1])[p->position_offset];
        if (position < 0 || (uint32_t)position >= p->n_slots) return;
        at += (uint32_t)position * p->state_stride[2];
    }
    unsigned char *y = (unsigned char *)call->out + (size_t)at * 4;
    if (!memcmp(y, &word, sizeof word)) word = ALSO_WRONG;
    memcpy(y, &word, sizeof word);
}
