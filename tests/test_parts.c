/* Tables larger than one binding: a gather from it and a product with it run in parts that see slices, and give what the
 * whole gives, on every executor. What cannot be cut is refused in a sentence. */
#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "graph/compile.h"
#include "runtime/executor.h"
#include "tests/support.h"

#define N_IDS   7
#define VOCAB   301
#define WIDTH   24
#define BINDING 8192 /* bytes: 64 rows of the table and a bit */

static const int32_t ids[N_IDS] = {0, 300, 63, 64, -1, 301, 150}; /* two are outside: zeros */

/* A tied head, as language models have it: rows of the table, and their products with all of it. */
static pm_program *compile(const pm_caps *caps, uint64_t max_binding_bytes, uint32_t *out_n_parts) {
    pm_caps limited = *caps;
    pm_graph *g;
    pm_program *p;
    if (max_binding_bytes) limited.max_binding_bytes = max_binding_bytes;
    assert_ok(pm_graph_create("tied", &g));
    pm_tensor *table = pm_weight(g, "table", PM_F32, 2, (int64_t[]){VOCAB, WIDTH});
    pm_tensor *bias = pm_weight(g, "bias", PM_F32, 1, (int64_t[]){VOCAB});
    pm_tensor *rows = pm_gather(g, table, pm_input(g, "ids", PM_I32, 1, (int64_t[]){N_IDS}));
    pm_output(g, "rows", rows);
    pm_output(g, "logits", pm_relu(g, pm_add(g, pm_matmul(g, rows, table), bias)));
    assert_ok(pm_graph_status(g));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = &limited}, &p));
    pm_graph_destroy(g);
    *out_n_parts = p->n_dispatches;
    return p;
}

static void run(pm_executor *ex, const pm_program *p, float *rows, float *logits) {
    pm_loaded *l;
    assert_ok(pm_executor_load(ex, p, &l));
    assert_ok(pm_loaded_write(l, 0, ids, sizeof ids));
    assert_ok(pm_loaded_run(l));
    assert_ok(pm_loaded_read(l, 0, rows, N_IDS * WIDTH * 4));
    assert_ok(pm_loaded_read(l, 1, logits, N_IDS * VOCAB * 4));
    pm_loaded_unload(l);
}

static void check_device(const char *device) {
    static float table[VOCAB * WIDTH], bias[VOCAB], rows[2][N_IDS * WIDTH], logits[2][N_IDS * VOCAB];
    test_rng r = {5};
    pm_executor *ex;
    uint32_t n_whole, n_parts;
    if (pm_executor_open(device, NULL, &ex) != PM_OK) skip_because("%s", pm_error_text());
    for (size_t i = 0; i < VOCAB * WIDTH; i++) table[i] = test_uniform(&r, -1, 1);
    for (size_t i = 0; i < VOCAB; i++) bias[i] = test_uniform(&r, -1, 1);
    assert_ok(pm_executor_put(ex, "table", table, sizeof table));
    assert_ok(pm_executor_put(ex, "bias", bias, sizeof bias));
    pm_program *whole = compile(pm_executor_caps(ex), 0, &n_whole);
    pm_program *parts = compile(pm_executor_caps(ex), BINDING, &n_parts);
    assert_int_equal(n_whole, 2);
    assert_int_equal(n_parts, 10); /* five slices of at most 64 rows, each gathered and multiplied */
    for (uint32_t i = 0; i < n_parts; i++)
        for (uint32_t b = 0; b < parts->dispatches[i].n_bindings; b++)
            assert_true(parts->dispatches[i].bindings[b].bytes <= BINDING ||
                        parts->dispatches[i].written >> b & 1);
    run(ex, whole, rows[0], logits[0]);
    run(ex, parts, rows[1], logits[1]);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
    for (size_t i = 0; i < WIDTH; i++) {
        assert_true(rows[1][WIDTH + i] == table[300 * WIDTH + i]);
        assert_true(rows[1][4 * WIDTH + i] == 0 && rows[1][5 * WIDTH + i] == 0);
    }
    for (size_t i = 0; i < N_IDS * VOCAB; i++) {
        float d = logits[0][i] - logits[1][i];
        assert_true(d < 1e-4f && d > -1e-4f);
    }
    pm_program_destroy(whole);
    pm_program_destroy(parts);
    pm_executor_close(ex);
}

/* ---- experts ---- */

enum { N_EXPERTS = 7, N_TOKENS = 5, N_CHOSEN = 2, ROWS = 70, PAIRS = N_TOKENS * N_CHOSEN };

/* -1 and 7 name no expert, 0 and 4 none chooses. */
static const int32_t choices[PAIRS] = {6, 1, 2, 5, -1, 3, 1, 7, 6, 2};

static pm_program *compile_experts(const pm_caps *caps, uint64_t max_binding_bytes) {
    pm_caps limited = *caps;
    pm_graph *g;
    pm_program *p;
    if (max_binding_bytes) limited.max_binding_bytes = max_binding_bytes;
    assert_ok(pm_graph_create("experts", &g));
    pm_tensor *w = pm_weight(g, "experts", PM_F32, 3, (int64_t[]){N_EXPERTS, ROWS, WIDTH});
    pm_tensor *b = pm_weight(g, "experts.bias", PM_F32, 2, (int64_t[]){N_EXPERTS, ROWS});
    pm_tensor *e = pm_input(g, "ids", PM_I32, 2, (int64_t[]){N_TOKENS, N_CHOSEN});
    pm_tensor *x = pm_weight(g, "x", PM_F32, 2, (int64_t[]){N_TOKENS, WIDTH});
    pm_output(g, "y", pm_add(g, pm_grouped_matmul(g, x, w, e), pm_gather(g, b, e)));
    assert_ok(pm_graph_status(g));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = &limited}, &p));
    pm_graph_destroy(g);
    return p;
}

static void run_experts(pm_executor *ex, const pm_program *p, float *y) {
    pm_loaded *l;
    assert_ok(pm_executor_load(ex, p, &l));
    assert_ok(pm_loaded_write(l, 0, choices, sizeof choices));
    assert_ok(pm_loaded_run(l));
    assert_ok(pm_loaded_read(l, 0, y, PAIRS * ROWS * 4));
    pm_loaded_unload(l);
}

/* Weights of experts that no token chooses are NaN: they must not be read, whole or in parts. */
static void check_experts(const char *device) {
    static float w[N_EXPERTS * ROWS * WIDTH], b[N_EXPERTS * ROWS], x[N_TOKENS * WIDTH], y[PAIRS * ROWS],
        got[PAIRS * ROWS];
    static const struct {
        uint64_t binding;
        uint32_t n;
    } cuts[] = {{0, 1}, {16384, 4}, {6656, 14}}; /* two experts a part; one, of 64 rows or of 6 */
    test_rng r = {7};
    pm_executor *ex;
    if (pm_executor_open(device, NULL, &ex) != PM_OK) skip_because("%s", pm_error_text());
    for (size_t i = 0; i < PM_COUNT(w); i++)
        w[i] = i / (ROWS * WIDTH) % 4 == 0 ? NAN : test_uniform(&r, -1, 1);
    for (size_t i = 0; i < PM_COUNT(b); i++) b[i] = i / ROWS % 4 == 0 ? NAN : test_uniform(&r, -1, 1);
    for (size_t i = 0; i < PM_COUNT(x); i++) x[i] = test_uniform(&r, -1, 1);
    assert_ok(pm_executor_put(ex, "experts", w, sizeof w));
    assert_ok(pm_executor_put(ex, "experts.bias", b, sizeof b));
    assert_ok(pm_executor_put(ex, "x", x, sizeof x));
    for (size_t i = 0; i < PM_COUNT(y); i++) {
        int32_t e = choices[i / ROWS];
        size_t row = (size_t)e * ROWS + i % ROWS;
        bool none = e < 0 || e >= N_EXPERTS;
        y[i] = none ? 0 : b[row];
        for (size_t k = 0; k < WIDTH && !none; k++)
            y[i] += w[row * WIDTH + k] * x[i / ROWS / N_CHOSEN * WIDTH + k];
    }
    for (size_t c = 0; c < PM_COUNT(cuts); c++) {
        pm_program *p = compile_experts(pm_executor_caps(ex), cuts[c].binding);
        assert_int_equal(p->n_dispatches, cuts[c].n);
        run_experts(ex, p, got);
        for (size_t i = 0; i < PM_COUNT(y); i++)
            if (!(fabsf(got[i] - y[i]) < 1e-4f))
                fail_msg("cut %zu: pair %zu, row %zu is %g, not %g", c, i / ROWS, i % ROWS, (double)got[i],
                         (double)y[i]);
        pm_program_destroy(p);
    }
    pm_executor_close(ex);
}

/* ---- what experts cost ---- */

enum { WIDE = 256, TOKENS = 4, RUNS = 9 };

static uint64_t now_ns(void) {
    struct timespec t;
    (void)timespec_get(&t, TIME_UTC);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The shortest of some runs of TOKENS tokens that choose k of n experts. */
static uint64_t time_experts(pm_executor *ex, int64_t n, int64_t k) {
    size_t words = (size_t)(n * WIDE * WIDE);
    float *w = calloc(words, sizeof *w);
    int32_t chosen[TOKENS * 16];
    float x[TOKENS * WIDE];
    uint64_t least = UINT64_MAX;
    test_rng r = {(uint64_t)n};
    pm_graph *g;
    pm_program *p;
    pm_loaded *l;
    assert_non_null(w);
    for (size_t i = 0; i < words; i++) w[i] = 0.5f;
    for (int64_t i = 0; i < TOKENS * k; i++) chosen[i] = (int32_t)test_below(&r, (uint32_t)n);
    for (size_t i = 0; i < PM_COUNT(x); i++) x[i] = test_uniform(&r, -1, 1);
    assert_ok(pm_executor_put(ex, "w", w, words * sizeof *w));
    free(w);
    assert_ok(pm_graph_create("experts", &g));
    pm_tensor *e = pm_input(g, "ids", PM_I32, 2, (int64_t[]){TOKENS, k});
    pm_tensor *rows = pm_input(g, "x", PM_F32, 2, (int64_t[]){TOKENS, WIDE});
    pm_output(g, "y",
              pm_grouped_matmul(g, rows, pm_weight(g, "w", PM_F32, 3, (int64_t[]){n, WIDE, WIDE}), e));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = pm_executor_caps(ex)}, &p));
    assert_ok(pm_executor_load(ex, p, &l));
    assert_ok(pm_loaded_write(l, 0, chosen, (size_t)(TOKENS * k) * sizeof *chosen));
    assert_ok(pm_loaded_write(l, 1, x, sizeof x));
    for (int i = 0; i < RUNS; i++) {
        uint64_t start = now_ns();
        assert_ok(pm_loaded_run(l));
        uint64_t took = now_ns() - start;
        if (took < least) least = took;
    }
    pm_loaded_unload(l);
    pm_executor_drop(ex, "w");
    pm_program_destroy(p);
    pm_graph_destroy(g);
    return least;
}

/* Sixteen times as many experts would take sixteen times as long if all were computed; so do sixteen times as many
 * chosen ones, less what a run costs by itself. */
static void check_time(const char *device) {
    pm_executor *ex;
    if (pm_executor_open(device, NULL, &ex) != PM_OK) skip_because("%s", pm_error_text());
    uint64_t few = time_experts(ex, 16, 2), many = time_experts(ex, 256, 2);
    uint64_t one = time_experts(ex, 64, 1), chosen = time_experts(ex, 64, 16);
    print_message("%s: 2 of 16 experts %.3f ms, of 256 %.3f ms; of 64 one %.3f ms, 16 %.3f ms\n", device,
                  (double)few / 1e6, (double)many / 1e6, (double)one / 1e6, (double)chosen / 1e6);
    assert_true(many < 6 * few);
    assert_true(chosen > 2 * one);
    pm_executor_close(ex);
}

static void test_reference(void **state) {
    (void)state;
    check_device("reference");
    check_experts("reference");
    check_time("reference");
}
static void test_cpu(void **state) {
    (void)state;
    check_device("cpu");
    check_experts("cpu");
    check_time("cpu");
}
static void test_vulkan(void **state) {
    (void)state;
    check_device(test_device());
    check_experts(test_device());
    check_time(test_device());
}

/* A product that is more work than one submission may hold. */
static void test_work_is_cut(void **state) {
    (void)state;
    pm_caps caps;
    uint32_t n_parts;
    pm_caps_baseline(&caps);
    caps.submit_cost = N_IDS * WIDTH * 128;
    pm_program *p = compile(&caps, 0, &n_parts);
    assert_int_equal(n_parts, 4); /* the gather, and products with 128, 128 and 45 rows */
    assert_int_equal(p->n_submits, 3);
    pm_program_destroy(p);
}

/* One row is larger than a binding. */
static void test_refused(void **state) {
    (void)state;
    pm_caps caps;
    pm_graph *g;
    pm_program *p = NULL;
    pm_caps_baseline(&caps);
    caps.max_binding_bytes = 1024;
    assert_ok(pm_graph_create("wide", &g));
    pm_tensor *table = pm_weight(g, "table", PM_F32, 2, (int64_t[]){4, 1000});
    pm_output(g, "y", pm_gather(g, table, pm_input(g, "ids", PM_I32, 1, (int64_t[]){1})));
    assert_int_equal(pm_compile(g, &(pm_compile_options){.caps = &caps}, &p), PM_ERR_DEVICE);
    assert_non_null(strstr(pm_error_text(), "weight \"table\": "));
    assert_non_null(strstr(pm_error_text(), "must be bound at once, at most 1024"));
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_cpu),
                                       cmocka_unit_test(test_vulkan), cmocka_unit_test(test_work_is_cut),
                                       cmocka_unit_test(test_refused)};
    return run_all_tests(tests);
}
