/* Fused against unfused through everything: each case of tests/passes/ is compiled with and without fusion
 * and run on the reference executor, and fused on the fast one and on a Vulkan device, with the same random
 * leaves. */
#include <math.h>

#include "graph/compile.h"
#include "runtime/executor.h"
#include "tests/support_pass_cases.h"

#define TOLERANCE 2e-5 /* storage between operations is fp32 here */

static const char *const files[] = {
    "fuse_norm.txt",   "fuse_act.txt",         "fuse_rotary.txt", "fuse_softmax.txt", "fuse_attention.txt",
    "fuse_matmul.txt", "fuse_log_softmax.txt", "fuse_places.txt", "fuse_grouped.txt", "layout.txt"};

/* The same words for the same name; integers are small. */
static void draw(const char *name, pm_dtype type, uint32_t *words, uint64_t n) {
    test_rng rng = {7};
    for (const char *c = name; *c; c++) rng.state = rng.state * 31 + (unsigned char)*c;
    for (uint64_t i = 0; i < n; i++) {
        float value = test_uniform(&rng, -2, 2);
        if (type == PM_F32)
            memcpy(&words[i], &value, 4);
        else
            words[i] = test_below(&rng, type == PM_BOOL ? 2 : 4);
    }
}

static uint32_t *drawn(const char *name, pm_dtype type, uint64_t bytes) {
    uint32_t *words = pm_alloc(bytes);
    assert_non_null(words);
    draw(name, type, words, bytes / 4);
    return words;
}

/* Puts weights and states, inputs and parameters, and runs. */
static pm_loaded *run_program(pm_executor *ex, const pm_program *p) {
    pm_loaded *l;
    for (uint32_t i = 0; i < p->n_externals; i++) {
        const pm_external *e = &p->externals[i];
        if (e->kind != PM_EXTERNAL_WEIGHT && e->kind != PM_EXTERNAL_STATE) continue;
        uint32_t *words = drawn(e->name, e->dtype, e->bytes);
        assert_ok(pm_executor_put(ex, e->name, words, e->bytes));
        pm_free(words);
    }
    assert_ok(pm_executor_load(ex, p, &l));
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        uint32_t *words = drawn(p->inputs[i].name, p->inputs[i].dtype, p->inputs[i].range.bytes);
        assert_ok(pm_loaded_write(l, i, words, p->inputs[i].range.bytes));
        pm_free(words);
    }
    for (uint32_t i = 0; i < p->n_params; i++) {
        uint32_t word;
        draw(p->param_names[i], PM_I32, &word, 1);
        pm_loaded_set_param(l, i, (int32_t)word);
    }
    assert_ok(pm_loaded_run(l));
    return l;
}

static float *read_output(pm_loaded *l, const pm_program *p, const char *name, uint64_t *out_n) {
    int i = pm_program_output(p, name);
    assert_true(i >= 0);
    uint64_t bytes = p->outputs[i].range.bytes;
    float *values = pm_alloc(bytes);
    assert_non_null(values);
    assert_ok(pm_loaded_read(l, (uint32_t)i, values, bytes));
    *out_n = bytes / 4;
    return values;
}

static double difference(const float *want, const float *got, uint64_t n) {
    double worst = 0;
    for (uint64_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - (double)want[i]) / fmax(1, fabs((double)want[i]));
        if (isnan(want[i])) off = 0; /* a device may lose NaNs */
        if (!(off <= worst)) worst = off;
    }
    return worst;
}

typedef struct devices {
    pm_executor *judge, *device;
} devices;

/* Names come again in other cases, with other sizes. */
static void drop_store(pm_executor *ex, const pm_program *p) {
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (p->externals[i].kind == PM_EXTERNAL_WEIGHT || p->externals[i].kind == PM_EXTERNAL_STATE)
            pm_executor_drop(ex, p->externals[i].name);
}

static void check_case(const test_pass_case *c, void *user) {
    const devices *d = user;
    pm_program *plain, *fused;
    const pm_compile_options options = {.caps = pm_executor_caps(d->device)};
    assert_ok(pm_compile(c->before, &(pm_compile_options){.no_fuse = true}, &plain));
    assert_ok(pm_compile(c->before, &options, &fused));
    pm_loaded *want_run = run_program(d->judge, plain), *got_run = run_program(d->device, fused);
    assert_int_equal(plain->n_outputs, fused->n_outputs);
    for (uint32_t i = 0; i < plain->n_outputs; i++) {
        uint64_t n_want, n_got;
        const char *name = plain->outputs[i].name;
        float *want = read_output(want_run, plain, name, &n_want),
              *got = read_output(got_run, fused, name, &n_got);
        assert_int_equal(n_want, n_got);
        double off = difference(want, got, n_want);
        if (!(off <= TOLERANCE))
            fail_msg("case %s on %s: \"%s\" is off by %g", c->name, pm_executor_name(d->device), name, off);
        pm_free(want);
        pm_free(got);
    }
    pm_loaded_unload(want_run);
    pm_loaded_unload(got_run);
    drop_store(d->judge, plain);
    drop_store(d->device, fused);
    pm_program_destroy(plain);
    pm_program_destroy(fused);
}

static void check_files(pm_executor *device) {
    devices d = {.device = device};
    assert_ok(pm_executor_open("reference", &(pm_executor_options){.poison = true}, &d.judge));
    for (size_t i = 0; i < PM_COUNT(files); i++) test_each_pass_case(files[i], check_case, &d);
    pm_executor_close(d.judge);
    pm_executor_close(device);
}

static void check_host(const char *name) {
    pm_executor *ex;
    assert_ok(pm_executor_open(name, &(pm_executor_options){.poison = true, .n_threads = 2}, &ex));
    check_files(ex);
}

static void on_reference(void **state) {
    (void)state;
    check_host("reference");
}

static void on_cpu(void **state) {
    (void)state;
    check_host("cpu");
}

static void on_vulkan(void **state) {
    (void)state;
    pm_executor *ex;
    if (pm_executor_open(test_device(), &(pm_executor_options){.no_cache = true}, &ex) != PM_OK)
        skip_because("no Vulkan device: %s", pm_error_text());
    check_files(ex);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(on_reference), cmocka_unit_test(on_cpu),
                                       cmocka_unit_test(on_vulkan)};
    return run_all_tests(tests);
}
