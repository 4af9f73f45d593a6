/* Fast kernels: fp32, plain C that compilers vectorise (sums run in PM_LANES separate accumulators, since reordering a float sum is
 * the programmer's right and not the compiler's). Tested against the reference kernels and their bounds, as a GPU is. */
#ifndef PM_FAST_H
#define PM_FAST_H

#include "runtime/cpu/cpu_kernel.h"

#define PM_LANES 8

/* On x86-64 Linux the hot loops are compiled twice and chosen when the program starts: AVX2 with FMA, and plain SSE2. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) &&                 \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define PM_CLONES __attribute__((target_clones("avx2,fma", "default")))
#else
#define PM_CLONES
#endif

#define PM_FAST(name)                                                                                        \
    uint64_t pm_fast_##name##_items(const pm_call *c);                                                       \
    void pm_fast_##name(const pm_call *c, uint64_t first, uint64_t last);
PM_FAST(matmul)
PM_FAST(grouped_matmul)
PM_FAST(attention)
PM_FAST(sample)
PM_FAST(softmax)
PM_FAST(log_softmax)
PM_FAST(layer_norm)
PM_FAST(rms_norm)
PM_FAST(rotary)
PM_FAST(cache_write)
PM_FAST(unary)
PM_FAST(binary)
#undef PM_FAST

float pm_fast_act(uint32_t act, float x);                 /* PM_ACT_* */
void pm_fast_act_row(uint32_t act, uint64_t n, float *x); /* in place */

/* In place, over vectors: fast_functions.c. */
void pm_fast_gelu_row(uint64_t n, float *x);

static inline float pm_lanes_sum(const float *acc) {
    return ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]));
}

/* Sum over i of a[i] b[i]; both with stride 1. */
static inline float pm_fast_dot(const float *a, const float *b, uint64_t n) {
    float acc[PM_LANES] = {0};
    uint64_t i = 0;
    for (; i + PM_LANES <= n; i += PM_LANES)
        for (int j = 0; j < PM_LANES; j++) acc[j] += a[i + (uint64_t)j] * b[i + (uint64_t)j];
    float sum = pm_lanes_sum(acc);
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

#endif
