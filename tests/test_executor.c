/* The executor interface on the CPU executors: the store, inputs and outputs, programs that share an arena,
 * states, poison, spoiling, errors, memory running out; the choice of a device; the thread pool. */
#include <math.h>
#include <stdlib.h>

#include "runtime/cpu/thread_pool.h"
#include "runtime/executor.h"
#include "tests/support_memory.h"
#include "tests/support_ops.h"
#include "tests/support_random_graph.h"

static const char *const devices[] = {"reference", "cpu"};

static pm_executor *open_device(const char *device, const pm_executor_options *options) {
    pm_executor *ex = NULL;
    assert_ok(pm_executor_open(device, options, &ex));
    return ex;
}

/* Compiles for the baseline and destroys the graph. */
static pm_program *compile(pm_graph *g) {
    pm_program *p = NULL;
    assert_ok(pm_compile(g, NULL, &p));
    pm_graph_destroy(g);
    return p;
}

#define expect_error(call, status, part)                                                                     \
    do {                                                                                                     \
        assert_int_equal(call, status);                                                                      \
        if (!strstr(pm_error_text(), part)) fail_msg("'%s' does not say '%s'", pm_error_text(), part);       \
    } while (0)

/* ---- the store ---- */

static void check_store(const char *device) {
    pm_executor *ex = open_device(device, NULL);
    const float a[3] = {1, 2, 3}, b[3] = {4, 5, 6};
    float got[3];
    pm_executor_stats stats;
    assert_false(pm_executor_has(ex, "a"));
    assert_ok(pm_executor_put(ex, "a", a, sizeof a));
    assert_true(pm_executor_has(ex, "a"));
    assert_ok(pm_executor_get(ex, "a", got, sizeof got));
    assert_memory_equal(got, a, sizeof a);
    assert_ok(pm_executor_put(ex, "a", b, sizeof b));
    assert_ok(pm_executor_get(ex, "a", got, sizeof got));
    assert_memory_equal(got, b, sizeof b);
    assert_ok(pm_executor_put(ex, "a", NULL, sizeof b));
    assert_ok(pm_executor_get(ex, "a", got, sizeof got));
    assert_memory_equal(got, ((float[3]){0}), sizeof b);
    pm_executor_get_stats(ex, &stats);
    assert_int_equal(stats.store_bytes, 12);
    expect_error(pm_executor_put(ex, "a", a, 8), PM_ERR_USAGE, "12");
    expect_error(pm_executor_get(ex, "a", got, 8), PM_ERR_USAGE, "12");
    expect_error(pm_executor_get(ex, "z", got, 12), PM_ERR_USAGE, "z");
    pm_executor_drop(ex, "a");
    pm_executor_drop(ex, "a");
    assert_false(pm_executor_has(ex, "a"));
    pm_executor_get_stats(ex, &stats);
    assert_int_equal(stats.store_bytes, 0);
    assert_ok(pm_executor_put(ex, "a", a, 8)); /* another size is well after it was dropped */
    pm_executor_close(ex);
}

static void test_store(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(devices); i++) check_store(devices[i]);
}

/* Names that come and go, in a table that grows over them. */
static void test_store_of_many(void **state) {
    (void)state;
    enum { N = 700 };
    pm_executor *ex = open_device("reference", NULL);
    char name[32];
    for (int32_t round = 0; round < 3; round++) {
        for (int32_t i = 0; i < N; i++) {
            snprintf(name, sizeof name, "layers.%d.w", i);
            assert_ok(pm_executor_put(ex, name, &i, sizeof i));
        }
        for (int32_t i = round; i < N; i += 3) {
            snprintf(name, sizeof name, "layers.%d.w", i);
            pm_executor_drop(ex, name);
        }
        for (int32_t i = 0; i < N; i++) {
            int32_t got = -1;
            snprintf(name, sizeof name, "layers.%d.w", i);
            assert_int_equal(pm_executor_has(ex, name), i % 3 != round);
            if (i % 3 == round) continue;
            assert_ok(pm_executor_get(ex, name, &got, sizeof got));
            assert_int_equal(got, i);
        }
    }
    pm_executor_close(ex);
}

/* ---- programs ---- */

/* y = x . w^T + position, of n elements by n */
static pm_program *linear_program(int64_t n) {
    pm_graph *g = NULL;
    assert_ok(pm_graph_create("linear", &g));
    pm_tensor *y = pm_matmul(g, pm_input(g, "x", PM_F32, 2, (int64_t[]){1, n}),
                             pm_weight(g, "w", PM_F32, 2, (int64_t[]){n, n}));
    pm_output(g, "y", pm_add(g, y, pm_cast(g, pm_param(g, "position"), PM_F32)));
    return compile(g);
}

static void test_errors_of_programs(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(devices); i++) {
        pm_executor *ex = open_device(devices[i], NULL);
        pm_program *p = linear_program(3);
        pm_loaded *l = NULL;
        float words[9] = {0};
        expect_error(pm_executor_load(ex, p, &l), PM_ERR_USAGE, "w");
        assert_ok(pm_executor_put(ex, "w", words, 8));
        expect_error(pm_executor_load(ex, p, &l), PM_ERR_USAGE, "8 bytes");
        pm_executor_drop(ex, "w");
        assert_ok(pm_executor_put(ex, "w", words, 36));
        assert_ok(pm_executor_load(ex, p, &l));
        expect_error(pm_loaded_write(l, 0, words, 8), PM_ERR_USAGE, "input x");
        expect_error(pm_loaded_write(l, 1, words, 12), PM_ERR_USAGE, "input 1");
        expect_error(pm_loaded_read(l, 0, words, 16), PM_ERR_USAGE, "output y");
        expect_error(pm_loaded_read(l, 7, words, 12), PM_ERR_USAGE, "output 7");
        expect_error(pm_loaded_step(l, p->n_dispatches), PM_ERR_USAGE, "dispatch");
        pm_loaded_set_param(l, 99, 1); /* not there: nothing happens */
        pm_loaded_unload(l);
        pm_loaded_unload(NULL);
        pm_program_destroy(p);
        pm_executor_close(ex);
    }
    pm_executor_close(NULL);
}

static void run_linear(pm_loaded *l, int64_t n, float x, int32_t position) {
    float *in = calloc((size_t)n, 4), *out = calloc((size_t)n, 4);
    assert_true(in && out);
    for (int64_t i = 0; i < n; i++) in[i] = x;
    assert_ok(pm_loaded_write(l, 0, in, (uint64_t)n * 4));
    pm_loaded_set_param(l, 0, position);
    assert_ok(pm_loaded_run(l));
    assert_ok(pm_loaded_read(l, 0, out, (uint64_t)n * 4));
    for (int64_t i = 0; i < n; i++)
        assert_float_equal(out[i], x * (float)(i + 1) + (float)position, 1e-3); /* w: diagonal */
    free(in);
    free(out);
}

static void put_diagonal(pm_executor *ex, const char *name, int64_t n) {
    float *w = calloc((size_t)(n * n), 4);
    assert_non_null(w);
    for (int64_t i = 0; i < n; i++) w[i * n + i] = (float)(i + 1);
    assert_ok(pm_executor_put(ex, name, w, (uint64_t)(n * n) * 4));
    free(w);
}

/* A small one, a large one that makes the arena grow, the small one again; inputs stay with their program. */
static void test_programs_share_the_arena(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(devices); i++) {
        pm_executor *ex = open_device(devices[i], &(pm_executor_options){.poison = i == 0});
        pm_program *small = linear_program(3), *large = linear_program(300);
        pm_loaded *s = NULL, *l = NULL;
        pm_executor_stats before, after;
        put_diagonal(ex, "w", 3);
        assert_ok(pm_executor_load(ex, small, &s));
        run_linear(s, 3, 2, 0);
        pm_loaded_unload(s);
        pm_executor_drop(ex, "w");
        put_diagonal(ex, "w", 300);
        assert_ok(pm_executor_load(ex, large, &l));
        pm_executor_get_stats(ex, &before);
        run_linear(l, 300, 1, 7);
        assert_ok(pm_executor_load(ex, large, &s));
        pm_executor_get_stats(ex, &after);
        assert_true(after.arena_bytes == before.arena_bytes && after.arena_bytes >= large->arena_bytes);
        run_linear(s, 300, -3, 9);
        run_linear(l, 300, 2, -1);
        float out[300];
        assert_ok(pm_loaded_run(s)); /* its own input and parameter, though l has run since */
        assert_ok(pm_loaded_read(s, 0, out, sizeof out));
        assert_float_equal(out[9], -3 * 10 + 9, 1e-4);
        pm_executor_get_stats(ex, &after);
        assert_int_equal(after.n_runs, 5);
        pm_loaded_unload(s);
        pm_loaded_unload(l);
        pm_program_destroy(small);
        pm_program_destroy(large);
        pm_executor_close(ex);
    }
}

/* sum over the cache after x was written at `position` */
static pm_program *cache_program(const char *name) {
    pm_graph *g = NULL;
    assert_ok(pm_graph_create(name, &g));
    pm_tensor *cache = pm_state(g, "cache", PM_F32, 4, (int64_t[]){1, 1, 4, 1});
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){1, 1, 1, 1});
    pm_output(g, "sum", pm_sum(g, pm_cache_write(g, cache, x, pm_param(g, "position")), 2));
    return compile(g);
}

static void test_states_survive(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(devices); i++) {
        pm_executor *ex = open_device(devices[i], &(pm_executor_options){.poison = true});
        pm_program *p = cache_program("one");
        pm_loaded *l[2] = {NULL, NULL};
        float sum, cache[4], want = 0;
        assert_ok(pm_executor_put(ex, "cache", NULL, 16));
        assert_ok(pm_executor_load(ex, p, &l[0]));
        assert_ok(pm_executor_load(ex, p, &l[1]));
        for (int32_t t = 0; t < 6; t++) { /* the last two fall off the end */
            float x = (float)(1 << t);
            assert_ok(pm_loaded_write(l[t % 2], 0, &x, 4));
            pm_loaded_set_param(l[t % 2], 0, t);
            assert_ok(pm_loaded_run(l[t % 2]));
            assert_ok(pm_loaded_read(l[t % 2], 0, &sum, 4));
            want += t < 4 ? x : 0;
            assert_float_equal(sum, want, 0);
        }
        assert_ok(pm_executor_get(ex, "cache", cache, 16));
        assert_memory_equal(cache, ((float[4]){1, 2, 4, 8}), 16);
        assert_ok(pm_executor_put(ex, "cache", NULL, 16)); /* cleared for another text */
        assert_ok(pm_loaded_run(l[0]));
        assert_ok(pm_loaded_read(l[0], 0, &sum, 4));
        assert_float_equal(sum, 0, 0);
        pm_loaded_unload(l[0]);
        pm_loaded_unload(l[1]);
        pm_program_destroy(p);
        pm_executor_close(ex);
    }
}

static void test_peek_poke_step(void **state) {
    (void)state;
    pm_executor *ex = open_device("reference", NULL);
    pm_program *p = linear_program(3);
    pm_loaded *l = NULL;
    float x[3] = {1, 10, 100}, y[3];
    put_diagonal(ex, "w", 3);
    assert_ok(pm_executor_load(ex, p, &l));
    pm_loaded_set_param(l, 0, 5);
    assert_ok(pm_loaded_poke(l, &p->inputs[0].range, x));
    assert_ok(pm_loaded_peek(l, &p->inputs[0].range, y));
    assert_memory_equal(x, y, 12);
    for (uint32_t i = 0; i < p->n_dispatches; i++) assert_ok(pm_loaded_step(l, i));
    assert_ok(pm_loaded_peek(l, &p->outputs[0].range, y));
    assert_memory_equal(y, ((float[3]){6, 25, 305}), 12);
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
}

static void test_profile(void **state) {
    (void)state;
    for (int profile = 0; profile < 2; profile++) {
        pm_executor *ex = open_device("cpu", &(pm_executor_options){.profile = profile});
        pm_program *p = linear_program(64);
        pm_loaded *l = NULL;
        uint64_t sum = 0;
        put_diagonal(ex, "w", 64);
        assert_ok(pm_executor_load(ex, p, &l));
        run_linear(l, 64, 1, 1);
        const uint64_t *times = pm_loaded_times_ns(l);
        assert_int_equal(times != NULL, profile);
        for (uint32_t i = 0; times && i < p->n_dispatches; i++) sum += times[i];
        assert_true(!times || sum > 0);
        pm_loaded_unload(l);
        pm_program_destroy(p);
        pm_executor_close(ex);
    }
}

/* ---- poison and spoiling ---- */

static void fill(test_rng *r, pm_dtype type, uint32_t *words, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        float f = test_uniform(r, -2, 2);
        memcpy(&words[i], &f, 4);
        if (type != PM_F32) words[i] = test_below(r, type == PM_BOOL ? 2 : 4);
    }
}

/* Puts, loads and runs `p` with words drawn from `seed`; all outputs, one after the other. */
static uint32_t *run_program(pm_executor *ex, const pm_program *p, uint64_t seed, uint64_t *out_n) {
    test_rng r = {seed};
    pm_loaded *l = NULL;
    uint32_t *words = NULL, *out;
    uint64_t most = 4, n = 0;
    for (uint32_t i = 0; i < p->n_externals; i++)
        most = p->externals[i].bytes > most ? p->externals[i].bytes : most;
    for (uint32_t i = 0; i < p->n_inputs; i++)
        most = p->inputs[i].range.bytes > most ? p->inputs[i].range.bytes : most;
    for (uint32_t i = 0; i < p->n_outputs; i++) n += p->outputs[i].range.bytes / 4;
    words = malloc((size_t)most);
    out = malloc((size_t)n * 4 + 4);
    assert_true(words && out);
    for (uint32_t i = 0; i < p->n_externals; i++) {
        if (p->externals[i].kind != PM_EXTERNAL_WEIGHT && p->externals[i].kind != PM_EXTERNAL_STATE) continue;
        fill(&r, p->externals[i].dtype, words, p->externals[i].bytes / 4);
        assert_ok(pm_executor_put(ex, p->externals[i].name, words, p->externals[i].bytes));
    }
    assert_ok(pm_executor_load(ex, p, &l));
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        fill(&r, p->inputs[i].dtype, words, p->inputs[i].range.bytes / 4);
        assert_ok(pm_loaded_write(l, i, words, p->inputs[i].range.bytes));
    }
    for (uint32_t i = 0; i < p->n_params; i++) pm_loaded_set_param(l, i, (int32_t)test_below(&r, 3));
    assert_ok(pm_loaded_run(l));
    n = 0;
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        assert_ok(pm_loaded_read(l, i, out + n, p->outputs[i].range.bytes));
        n += p->outputs[i].range.bytes / 4;
    }
    pm_loaded_unload(l);
    free(words);
    *out_n = n;
    return out;
}

static uint32_t *run_once(const char *device, const pm_executor_options *options, const pm_program *p,
                          uint64_t seed, uint64_t *out_n) {
    pm_executor *ex = open_device(device, options);
    uint32_t *out = run_program(ex, p, seed, out_n);
    pm_executor_close(ex);
    return out;
}

/* With each dead range and all of the arena before the run made NaN, every bit is as without. */
static void test_poison_of_random_programs(void **state) {
    (void)state;
    size_t n_deaths = 0, n_blocks = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        test_rng r = {seed};
        pm_graph *g = test_random_graph(&r, 20 + (int)test_below(&r, 400), seed % 2);
        pm_caps caps;
        pm_caps_baseline(&caps);
        caps.max_block_bytes = seed % 3 ? 0 : 16384;
        pm_program *p = NULL;
        assert_ok(pm_compile(g, &(pm_compile_options){.caps = &caps, .no_fuse = seed % 4 == 0}, &p));
        pm_graph_destroy(g);
        uint64_t n, m;
        uint32_t *plain = run_once("reference", NULL, p, seed, &n);
        uint32_t *poisoned = run_once("reference", &(pm_executor_options){.poison = true}, p, seed, &m);
        assert_true(n == m);
        for (uint64_t i = 0; i < n; i++)
            if (plain[i] != poisoned[i])
                fail_msg("seed %llu: output word %llu is %08x, with poison %08x", (unsigned long long)seed,
                         (unsigned long long)i, plain[i], poisoned[i]);
        n_deaths += p->n_deaths;
        n_blocks += p->n_blocks;
        free(plain);
        free(poisoned);
        pm_program_destroy(p);
    }
    assert_true(n_deaths > 100 && n_blocks >= 150);
}

/* y = exp(x) - x: x is read by both, so it dies after the second. */
static pm_program *diamond_program(void) {
    pm_graph *g = NULL;
    assert_ok(pm_graph_create("diamond", &g));
    pm_tensor *x = pm_abs(g, pm_input(g, "x", PM_F32, 1, (int64_t[]){100}));
    pm_output(g, "y", pm_neg(g, pm_sub(g, pm_reshape(g, pm_sum(g, x, 0), 0, NULL), x)));
    return compile(g);
}

/* A plan that lets a range die before its last reader is noticed. */
static void test_poison_shows_an_early_death(void **state) {
    (void)state;
    pm_program *p = diamond_program();
    uint64_t n;
    uint32_t *good = run_once("cpu", &(pm_executor_options){.poison = true}, p, 1, &n);
    assert_int_equal(n, 100);
    for (uint64_t i = 0; i < n; i++) {
        float y;
        memcpy(&y, &good[i], 4);
        assert_true(isfinite(y));
    }
    pm_death early = {.dispatch = 0, .range = p->dispatches[0].bindings[p->dispatches[0].n_bindings - 1]};
    pm_death *deaths = p->deaths;
    uint32_t n_deaths = p->n_deaths;
    p->deaths = &early;
    p->n_deaths = 1;
    uint32_t *bad = run_once("cpu", &(pm_executor_options){.poison = true}, p, 1, &n);
    float y;
    memcpy(&y, bad, 4);
    assert_true(isnan(y));
    p->deaths = deaths;
    p->n_deaths = n_deaths;
    free(good);
    free(bad);
    pm_program_destroy(p);
}

/* Two executors give other results when one of them spoils a kernel of the program, and the same when it is
 * another. */
static void test_broken_kernel(void **state) {
    (void)state;
    pm_program *p = linear_program(33);
    for (size_t i = 0; i < PM_COUNT(devices); i++) {
        uint64_t n;
        uint32_t *good = run_once(devices[i], NULL, p, 1, &n);
        uint32_t *bad =
            run_once(devices[i], &(pm_executor_options){.broken_kernel = 1 + PM_KERNEL_MATMUL}, p, 1, &n);
        uint32_t *other =
            run_once(devices[i], &(pm_executor_options){.broken_kernel = 1 + PM_KERNEL_ARGMAX}, p, 1, &n);
        assert_int_not_equal(memcmp(good, bad, (size_t)n * 4), 0);
        assert_memory_equal(good, other, (size_t)n * 4);
        free(good);
        free(bad);
        free(other);
    }
    pm_program_destroy(p);
}

/* ---- memory runs out ---- */

static pm_status work_of_an_executor(void *user) {
    static const float w[9] = {1}, x[3] = {1, 2, 3};
    pm_program *p = user;
    pm_executor *ex = NULL;
    pm_loaded *l = NULL;
    float y[3];
    pm_status s = pm_executor_open("cpu", &(pm_executor_options){.n_threads = 2, .profile = true}, &ex);
    if (s != PM_OK) return s;
    PM_GOTO(pm_executor_put(ex, "w", w, sizeof w));
    PM_GOTO(pm_executor_load(ex, p, &l));
    PM_GOTO(pm_loaded_write(l, 0, x, sizeof x));
    PM_GOTO(pm_loaded_run(l));
    PM_GOTO(pm_loaded_read(l, 0, y, sizeof y));
fail:
    pm_loaded_unload(l);
    pm_executor_close(ex);
    return s;
}

static void test_every_failing_allocation(void **state) {
    (void)state;
    pm_program *p = linear_program(3);
    assert_true(test_every_allocation(work_of_an_executor, p) > 5);
    pm_program_destroy(p);
}

/* ---- devices ---- */

static void add_device(pm_caps *caps, const char *name, pm_device_type type, bool vulkan, uint64_t gib) {
    pm_caps_baseline(caps);
    snprintf(caps->name, sizeof caps->name, "%s", name);
    caps->type = type;
    caps->vulkan = vulkan;
    caps->memory_bytes = gib << 30;
}

static void test_choice_of_a_device(void **state) {
    (void)state;
    enum { N = 7 };
    pm_caps caps[N];
    add_device(&caps[0], "llvmpipe (LLVM 15)", PM_DEVICE_SOFTWARE_GPU, true, 100);
    add_device(&caps[1], "Intel Graphics", PM_DEVICE_INTEGRATED_GPU, true, 64);
    add_device(&caps[2], "GeForce small", PM_DEVICE_DISCRETE_GPU, true, 4);
    add_device(&caps[3], "Radeon big", PM_DEVICE_DISCRETE_GPU, true, 16);
    add_device(&caps[4], "virtio", PM_DEVICE_VIRTUAL_GPU, true, 32);
    add_device(&caps[5], "cpu", PM_DEVICE_CPU, false, 0);
    add_device(&caps[6], "reference", PM_DEVICE_CPU, false, 0);
    const struct {
        const char *spec;
        int device;
    } rows[] = {{"auto", 3},     {"cpu", 5},        {"reference", 6},  {"vulkan", 0},
                {"vulkan:0", 0}, {"vulkan:3", 3},   {"vulkan:4", 4},   {"vulkan:5", -1},
                {"vulkan:", -1}, {"vulkan:-1", -1}, {"vulkan:1x", -1}, {"vulkan:18446744073709551616", -1},
                {"radeon", 3},   {"GEFORCE", 2},    {"llvm", 0},       {"graphics", 1},
                {"nothing", -1}, {"", -1}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        int got = pm_choose_device(caps, N, rows[i].spec);
        if (got != rows[i].device)
            fail_msg("\"%s\": device %d, expected %d", rows[i].spec, got, rows[i].device);
    }
    caps[2].type = caps[3].type = PM_DEVICE_OTHER;
    assert_int_equal(pm_choose_device(caps, N, "auto"), 1);
    caps[1].type =
        PM_DEVICE_SOFTWARE_GPU; /* software is never chosen, nor what is only virtual or of no known type */
    assert_int_equal(pm_choose_device(caps, N, "auto"), 5);
    assert_int_equal(pm_choose_device(caps + 5, 2, "auto"), 0);
    assert_int_equal(pm_choose_device(caps + 5, 2, "vulkan"), -1);
    assert_int_equal(pm_choose_device(caps, 0, "auto"), -1);
    /* a Vulkan device may be called as it likes */
    snprintf(caps[0].name, sizeof caps[0].name, "cpu");
    assert_int_equal(pm_choose_device(caps, N, "cpu"), 5);
}

static void test_opening(void **state) {
    (void)state;
    pm_executor *ex = NULL;
    pm_caps *caps = NULL;
    size_t n = 0;
    const char *note = NULL;
    assert_ok(pm_executor_list(&caps, &n, &note));
    assert_true(n >= 2 && note);
    assert_string_equal(caps[n - 2].name, "cpu");
    assert_string_equal(caps[n - 1].name, "reference");
    for (size_t i = 0; i + 2 < n; i++) assert_true(caps[i].vulkan);
    pm_free(caps);
    expect_error(pm_executor_open("no such device", NULL, &ex), PM_ERR_DEVICE, "no such device");
    assert_non_null(strstr(pm_error_text(), "cpu, reference"));
    assert_null(ex);
    expect_error(pm_executor_open("", NULL, &ex), PM_ERR_DEVICE, "reference");
    for (size_t i = 0; i < PM_COUNT(devices); i++) {
        ex = open_device(devices[i], &(pm_executor_options){.max_block_bytes = 4096, .submit_cost = 5});
        assert_string_equal(pm_executor_name(ex), devices[i]);
        assert_string_equal(pm_executor_messages(ex), "");
        assert_int_equal(pm_executor_caps(ex)->max_block_bytes, 4096);
        assert_int_equal(pm_executor_caps(ex)->submit_cost, 5);
        assert_false(pm_executor_caps(ex)->vulkan);
        pm_executor_close(ex);
    }
}

/* ---- the thread pool ---- */

typedef struct marks {
    uint32_t *seen; /* how often each item was done; each by one thread alone */
    uint64_t n, grain;
    uint32_t *too_small; /* by the item that a piece begins with */
} marks;

static void mark(const void *context, uint64_t first, uint64_t last) {
    const marks *m = context;
    for (uint64_t i = first; i < last; i++) m->seen[i]++;
    if (first < last && last - first < m->grain && last != m->n) m->too_small[first]++;
}

static void check_pool(uint32_t n_threads, uint32_t n_loops) {
    enum { MOST = 1000 };
    static const uint64_t sizes[] = {0, 1, 2, 7, 64, 999, MOST}, grains[] = {1, 3, 64, 5000};
    static uint32_t seen[MOST], too_small[MOST];
    pm_thread_pool *pool = NULL;
    assert_ok(pm_thread_pool_create(n_threads, &pool));
    if (n_threads) assert_int_equal(pm_thread_pool_size(pool), n_threads);
    assert_true(pm_thread_pool_size(pool) >= 1);
    for (uint32_t loop = 0; loop < n_loops; loop++) {
        marks m = {seen, sizes[loop % PM_COUNT(sizes)], grains[loop / PM_COUNT(sizes) % PM_COUNT(grains)],
                   too_small};
        memset(seen, 0, sizeof seen);
        memset(too_small, 0, sizeof too_small);
        pm_thread_pool_run(pool, m.n, m.grain, mark, &m);
        for (uint64_t i = 0; i < MOST; i++) {
            if (seen[i] != (i < m.n))
                fail_msg("%u threads: item %llu was done %u times", n_threads, (unsigned long long)i,
                         seen[i]);
            assert_int_equal(too_small[i], 0);
        }
    }
    pm_thread_pool_destroy(pool);
}

static void test_thread_pool(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0, 1, 2, 3, 4, 8, 33};
    for (size_t i = 0; i < PM_COUNT(sizes); i++) check_pool(sizes[i], 280);
    for (int i = 0; i < 50; i++) check_pool(3, 0); /* created and destroyed without work */
    pm_thread_pool_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store),
        cmocka_unit_test(test_store_of_many),
        cmocka_unit_test(test_errors_of_programs),
        cmocka_unit_test(test_programs_share_the_arena),
        cmocka_unit_test(test_states_survive),
        cmocka_unit_test(test_peek_poke_step),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_poison_of_random_programs),
        cmocka_unit_test(test_poison_shows_an_early_death),
        cmocka_unit_test(test_broken_kernel),
        cmocka_unit_test(test_every_failing_allocation),
        cmocka_unit_test(test_choice_of_a_device),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_thread_pool),
    };
    return run_all_tests(tests);
}
