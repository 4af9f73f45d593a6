/* The table of fast kernels; where there is none the reference kernel serves. */
#include "runtime/cpu/fast.h"

static const pm_cpu_kernel table[PM_N_KERNELS] = {
#define ROW(id, name, grain) [PM_KERNEL_##id] = {pm_fast_##name##_items, pm_fast_##name, grain}
    ROW(MATMUL, matmul, 1),
    ROW(ATTENTION, attention, 2),
    ROW(SAMPLE, sample, 1),
    ROW(SOFTMAX, softmax, 8),
    ROW(LAYER_NORM, layer_norm, 16),
    ROW(RMS_NORM, rms_norm, 16),
    ROW(UNARY, unary, 1),
    ROW(BINARY, binary, 1),
    ROW(LOG_SOFTMAX, log_softmax, 8),
    ROW(GROUPED_MATMUL, grouped_matmul, 1),
    ROW(ROTARY, rotary, 32),
    ROW(CACHE_WRITE, cache_write, 64),
#undef ROW
};

const pm_cpu_kernel *pm_fast_kernel(pm_kernel k) {
    return table[k].run ? &table[k] : NULL;
}
