/* Blocks of models (models/blocks.h) that more than one architecture relies on, against plain loops: running counts, and
 * attention within reach on both sides, which must fuse without a mask in memory. */
#include <math.h>
#include <stdlib.h>

#include "graph/compile.h"
#include "models/blocks.h"
#include "pumice/compute.h"
#include "tests/support_models.h"

static void run(const char *spec, const pm_graph *g, pm_compute **out_c, pm_device **out_d) {
    assert_ok(pm_graph_status(g));
    assert_non_null(*out_d = test_open_device(spec));
    assert_ok(pm_compute_open(g, *out_d, out_c));
}

/* ---- counts ---- */

static void count(const char *spec, int64_t batch, int64_t t) {
    size_t n = (size_t)(batch * t);
    int32_t *is = calloc(n, sizeof *is), *counts = calloc(n, sizeof *counts);
    test_rng r = {(uint64_t)t};
    pm_graph *g;
    pm_compute *c;
    pm_device *d;
    assert_true(is && counts);
    assert_ok(pm_graph_create("count", &g));
    pm_build b = {.g = g};
    pm_output(g, "y", pm_block_count(&b, pm_cast(g, pm_build_ids(&b, "x", batch, t), PM_BOOL)));
    for (size_t i = 0; i < n; i++) is[i] = test_below(&r, 4) != 0;
    run(spec, g, &c, &d);
    assert_ok(pm_compute_input(c, "x", is, n * 4));
    assert_ok(pm_compute_run(c));
    assert_ok(pm_compute_output(c, "y", counts, n * 4));
    int32_t expected = 0;
    for (size_t i = 0; i < n; i++) {
        expected = i % (size_t)t ? expected + is[i] : is[i];
        if (counts[i] != expected) fail_msg("count %zu of T %d: %d", i, (int)t, (int)counts[i]);
    }
    pm_compute_close(c);
    pm_device_close(d);
    pm_graph_destroy(g);
    free(is);
    free(counts);
}

static void counts(void **state) {
    static const int64_t lengths[] = {1, 2, 63, 64, 65, 130, 512, 4098};
    (void)state;
    for (size_t i = 0; i < PM_COUNT(lengths); i++) {
        count("reference", 3, lengths[i]);
        count("cpu", 2, lengths[i]);
    }
}

static void counts_take_little_memory(void **state) {
    (void)state;
    pm_graph *g;
    pm_program *p;
    assert_ok(pm_graph_create("count", &g));
    pm_build b = {.g = g};
    pm_output(g, "y", pm_block_count(&b, pm_cast(g, pm_build_ids(&b, "x", 1, 4096), PM_BOOL)));
    assert_ok(pm_compile(g, &(pm_compile_options){0}, &p));
    assert_true(p->arena_bytes < 8 * 4096 * 4);
    pm_program_destroy(p);
    pm_graph_destroy(g);
}

/* ---- reach ---- */

/* reach -1: all keys */
static void attend(const float *q, const float *k, const float *v, const int64_t tds[3], int64_t reach,
                   float *y) {
    int64_t t = tds[0], d = tds[1], s = tds[2];
    for (int64_t i = 0; i < t; i++) {
        double sum = 0, row[16] = {0};
        for (int64_t j = 0; j < s; j++) {
            double z = 0;
            if (reach >= 0 && llabs(i - j) > reach) continue;
            for (int64_t e = 0; e < d; e++) z += (double)q[i * d + e] * (double)k[j * d + e];
            sum += z = exp(0.25 * z);
            for (int64_t e = 0; e < d; e++) row[e] += z * (double)v[j * d + e];
        }
        for (int64_t e = 0; e < d; e++) y[i * d + e] = sum > 0 ? (float)(row[e] / sum) : 0;
    }
}

static void reach_one(const char *spec, int64_t t, int64_t reach) {
    const int64_t d = 16, dims[4] = {1, 1, t, d};
    const char *names[] = {"q", "k", "v"};
    size_t n = (size_t)(t * d), bytes = n * sizeof(float);
    float *x[3], *y = calloc(2 * n, sizeof *y);
    pm_tensor *in[3];
    test_rng r = {(uint64_t)(t * 100 + reach)};
    pm_graph *g;
    pm_compute *c;
    pm_device *device;
    assert_ok(pm_graph_create("reach", &g));
    pm_build b = {.g = g};
    for (int i = 0; i < 3; i++) in[i] = pm_input(g, names[i], PM_F32, 4, dims);
    pm_output(g, "y",
              pm_block_attention(&b, in[0], in[1], in[2],
                                 &(pm_mask){.near = reach >= 0, .reach = reach, .scale = 0.25f}));
    run(spec, g, &c, &device);
    for (int i = 0; i < 3; i++) {
        assert_non_null(x[i] = calloc(n, sizeof **x));
        for (size_t k = 0; k < n; k++) x[i][k] = test_uniform(&r, -2, 2);
        assert_ok(pm_compute_input(c, names[i], x[i], bytes));
    }
    assert_ok(pm_compute_run(c));
    assert_ok(pm_compute_output(c, "y", y, bytes));
    attend(x[0], x[1], x[2], (int64_t[]){t, d, t}, reach, y + n);
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(y[i] - y[n + i]) <= 1e-5f))
            fail_msg("T %d, reach %d: element %zu is %g, not %g", (int)t, (int)reach, i, (double)y[i],
                     (double)y[n + i]);
    for (int i = 0; i < 3; i++) free(x[i]);
    free(y);
    pm_compute_close(c);
    pm_device_close(device);
    pm_graph_destroy(g);
}

static void reaches(void **state) {
    static const int64_t pairs[][2] = {{1, 1}, {1, 0},  {9, -1}, {9, 0},   {40, 0},  {9, 3},
                                       {9, 8}, {9, 20}, {40, 1}, {70, 16}, {130, 33}};
    (void)state;
    for (size_t i = 0; i < PM_COUNT(pairs); i++) {
        reach_one("reference", pairs[i][0], pairs[i][1]);
        reach_one("cpu", pairs[i][0], pairs[i][1]);
    }
}

static void reach_fuses(void **state) {
    (void)state;
    const int64_t dims[4] = {1, 2, 50, 16};
    pm_graph *g;
    pm_program *p;
    assert_ok(pm_graph_create("reach", &g));
    pm_build b = {.g = g};
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, dims), *k = pm_input(g, "k", PM_F32, 4, dims);
    pm_output(g, "y", pm_block_attention(&b, q, k, k, &(pm_mask){.near = true, .reach = 7, .scale = 0.25f}));
    assert_ok(pm_compile(g, &(pm_compile_options){0}, &p));
    assert_int_equal(p->n_dispatches, 1);
    assert_int_equal(p->dispatches[0].kernel, PM_KERNEL_ATTENTION);
    pm_program_destroy(p);
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),
        cmocka_unit_test(counts_take_little_memory),
        cmocka_unit_test(reaches),
        cmocka_unit_test(reach_fuses),
    };
    return run_all_tests(tests);
}
