/* See bench_cases.h. Weights are "w"; sizes are those of a small language model's layers. */
#include "cli/bench_cases.h"

static void build_matmul(pm_graph *g, const int64_t *s) { /* M K N */
    pm_tensor *x = pm_input(g, "x0", PM_F32, 2, (int64_t[]){s[0], s[1]});
    pm_output(g, "y", pm_matmul(g, x, pm_weight(g, "w", PM_F32, 2, (int64_t[]){s[2], s[1]})));
}

static void build_batched(pm_graph *g, const int64_t *s) { /* B M K N */
    pm_tensor *x = pm_input(g, "x0", PM_F32, 3, (int64_t[]){s[0], s[1], s[2]});
    pm_output(g, "y", pm_matmul(g, x, pm_input(g, "x1", PM_F32, 3, (int64_t[]){s[0], s[3], s[2]})));
}

static void build_attention(pm_graph *g, const int64_t *s) { /* H T S D, causal, the queries last */
    pm_tensor *q = pm_input(g, "x0", PM_F32, 4, (int64_t[]){1, s[0], s[1], s[3]});
    pm_tensor *k = pm_input(g, "x1", PM_F32, 4, (int64_t[]){1, s[0], s[2], s[3]});
    pm_tensor *v = pm_input(g, "x2", PM_F32, 4, (int64_t[]){1, s[0], s[2], s[3]});
    pm_tensor *row = pm_add(g, pm_iota(g, s[1]), pm_param(g, "position"));
    pm_tensor *mask = pm_le(g, pm_reshape(g, pm_iota(g, s[2]), 2, (int64_t[]){1, s[2]}),
                            pm_reshape(g, row, 2, (int64_t[]){s[1], 1}));
    pm_tensor *scores = pm_mul(g, pm_matmul(g, q, k), pm_const_f32(g, 0.125f));
    pm_tensor *p = pm_softmax(g, pm_where(g, mask, scores, pm_const_f32(g, PM_MASKED)));
    pm_output(g, "y", pm_matmul(g, p, pm_transpose(g, v, -1, -2)));
}

static void build_layer_norm(pm_graph *g, const int64_t *s) {
    pm_tensor *x = pm_input(g, "x0", PM_F32, 2, s);
    pm_tensor *d = pm_sub(g, x, pm_mean(g, x, -1));
    pm_tensor *r = pm_rsqrt(g, pm_add(g, pm_mean(g, pm_mul(g, d, d), -1), pm_const_f32(g, 1e-5f)));
    pm_output(g, "y", pm_mul(g, pm_mul(g, d, r), pm_weight(g, "w", PM_F32, 1, s + 1)));
}

static void build_softmax(pm_graph *g, const int64_t *s) {
    pm_output(g, "y", pm_softmax(g, pm_input(g, "x0", PM_F32, 2, s)));
}

static void build_add(pm_graph *g, const int64_t *s) {
    pm_output(g, "y", pm_add(g, pm_input(g, "x0", PM_F32, 2, s), pm_input(g, "x1", PM_F32, 2, s)));
}

static void build_permute(pm_graph *g, const int64_t *s) {
    pm_output(g, "y", pm_copy(g, pm_transpose(g, pm_input(g, "x0", PM_F32, 2, s), 0, 1)));
}

#define GFLOPS "GFLOP/s"
#define GBYTES "GB/s"
const bench_case bench_cases[] = {
    {"matmul 64x256x256", GFLOPS, 2.0 * 64 * 256 * 256, {64, 256, 256, 0}, 0, build_matmul},
    {"matmul 128x768x768", GFLOPS, 2.0 * 128 * 768 * 768, {128, 768, 768, 0}, 0, build_matmul},
    {"matmul 256x768x3072", GFLOPS, 2.0 * 256 * 768 * 3072, {256, 768, 3072, 0}, 0, build_matmul},
    {"matmul 12x 64x64x64", GFLOPS, 2.0 * 12 * 64 * 64 * 64, {12, 64, 64, 64}, 0, build_batched},
    {"matvec 768x768", GFLOPS, 2.0 * 768 * 768, {1, 768, 768, 0}, 0, build_matmul},
    {"matvec 768x32000", GFLOPS, 2.0 * 768 * 32000, {1, 768, 32000, 0}, 0, build_matmul},
    {"attention 12h T=1 S=512", GFLOPS, 4.0 * 12 * 512 * 64, {12, 1, 512, 64}, 511, build_attention},
    {"attention 12h T=128 S=128", GFLOPS, 2.0 * 12 * 128 * 128 * 64, {12, 128, 128, 64}, 0, build_attention},
    {"layer_norm 256x768", GBYTES, 8.0 * 256 * 768, {256, 768, 0, 0}, 0, build_layer_norm},
    {"softmax 512x512", GBYTES, 8.0 * 512 * 512, {512, 512, 0, 0}, 0, build_softmax},
    {"add 1024x1024", GBYTES, 12.0 * 1024 * 1024, {1024, 1024, 0, 0}, 0, build_add},
    {"transpose 1024x1024", GBYTES, 8.0 * 1024 * 1024, {1024, 1024, 0, 0}, 0, build_permute},
};
const size_t n_bench_cases = sizeof bench_cases / sizeof *bench_cases;
