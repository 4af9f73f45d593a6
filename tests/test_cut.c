/* Operands larger than one binding: every operation that can be cut along its outer dims (graph/lower_cut.c) gives, cut, what it gives
 * whole, on every executor; what cannot is refused in a sentence. */
#include <stdlib.h>

#include "graph/compile.h"
#include "models/device_data.h"
#include "runtime/executor.h"
#include "tests/support_compare.h"
#include "tests/support_models.h"
#include "tests/support_program.h"

static const char *const graphs[] = {
    /* elementwise, with broadcasts, of views */
    "%0 = input \"x\" f32[7,5,40]\n%1 = input \"b\" f32[5,1]\n%2 = add(%0, %1) f32[7,5,40]\n"
    "%3 = permute(%2) {axes=[1,0,2]} f32[5,7,40]\n%4 = tanh(%3) f32[5,7,40]\n%5 = copy(%4) f32[5,7,40]\n"
    "output \"y\" %2\noutput \"z\" %5\n",
    /* one dim, of an odd size */
    "%0 = input \"x\" f32[1501]\n%1 = input \"b\" f32[]\n%2 = mul(%0, %1) f32[1501]\n%3 = lt(%2, %0) bool[1501]\n"
    "%4 = where(%3, %0, %2) f32[1501]\noutput \"y\" %4\n",
    /* rows */
    "%0 = input \"x\" f32[3,11,60]\n%1 = weight \"g\" f32[60]\n%2 = weight \"b\" f32[60]\n"
    "%3 = layer_norm(%0, %1, %2) {eps=0.00001} f32[3,11,60]\n%4 = rms_norm(%3, %1) {eps=0.00001} f32[3,11,60]\n"
    "%5 = softmax(%4) f32[3,11,60]\n%6 = log_softmax(%4) f32[3,11,60]\n%7 = argmax(%6) i32[3,11]\n"
    "%8 = top_k(%6) {length=3} i32[3,11,3]\n%9 = sum(%5) {axis=2} f32[3,11,1]\n%10 = mean(%4) {axis=1} f32[3,1,60]\n"
    "output \"y\" %5\noutput \"z\" %6\noutput \"i\" %7\noutput \"k\" %8\noutput \"s\" %9\noutput \"m\" %10\n",
    /* products of many rows, and of a batch */
    "%0 = input \"x\" f32[2,90,24]\n%1 = weight \"w\" f32[37,24]\n%2 = weight \"b\" f32[37]\n"
    "%3 = matmul(%0, %1, %2) f32[2,90,37]\n%4 = input \"v\" f32[2,9,37]\n%5 = matmul(%3, %4) f32[2,90,9]\n"
    "output \"y\" %3\noutput \"z\" %5\n",
    /* a gather of more rows than are bound, from a table that is not either */
    "%0 = weight \"t\" f32[300,20]\n%1 = input \"ids\" i32[9,13]\n%2 = gather(%0, %1) f32[9,13,20]\noutput \"y\" %2\n",
    /* attention and its masks, by batch */
    "%0 = input \"q\" f32[5,4,9,8]\n%1 = input \"k\" f32[5,2,9,8]\n%2 = input \"v\" f32[5,2,9,8]\n"
    "%3 = input \"length\" i32[5]\n%4 = input \"keys\" i32[5,9]\n%5 = input \"bias\" f32[4,9,9]\n"
    "%6 = attention(%0, %1, %2, _, %3, %4, %5) {scale=0.3, mask=length|keys|bias} f32[5,4,9,8]\noutput \"y\" %6\n",
    /* guests among the columns of their concat: cut as they lie there */
    "%0 = input \"x\" f32[40,100]\n%1 = input \"z\" f32[40,8]\n%2 = exp(%0) f32[40,100]\n%3 = exp(%1) f32[40,8]\n"
    "%4 = concat(%2, %3) {axis=1} f32[40,108]\n%5 = mul(%4, %4) f32[40,108]\n%6 = input \"a\" f32[90,24]\n"
    "%7 = weight \"w\" f32[5,24]\n%8 = weight \"u\" f32[7,24]\n%9 = matmul(%6, %7) f32[90,5]\n%10 = matmul(%6, %8) f32[90,7]\n"
    "%11 = concat(%9, %10) {axis=1} f32[90,12]\noutput \"y\" %5\noutput \"z\" %11\n",
    /* turned to each other: blocks */
    "%0 = input \"x\" f32[2,70,90]\n%1 = permute(%0) {axes=[0,2,1]} f32[2,90,70]\n%2 = input \"b\" f32[90,1]\n"
    "%3 = add(%1, %2) f32[2,90,70]\n%4 = input \"m\" f32[80,80]\n%5 = permute(%4) {axes=[1,0]} f32[80,80]\n"
    "%6 = sub(%4, %5) f32[80,80]\noutput \"y\" %3\noutput \"z\" %6\n",
};

enum { LIMIT = 4096 };

static pm_program *compile_text(const char *text, const pm_caps *caps) {
    pm_graph *g;
    pm_program *p;
    char all[4096];
    snprintf(all, sizeof all, "graph \"g\"\n%s", text);
    assert_ok(pm_graph_parse(all, &g));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = caps}, &p));
    pm_graph_destroy(g);
    return p;
}

static void fill(test_rng *r, pm_dtype type, uint32_t *words, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        float f = test_uniform(r, -1, 1);
        if (type == PM_F32)
            memcpy(&words[i], &f, 4);
        else
            words[i] = (uint32_t)test_below(r, 9);
    }
}

static uint32_t *run(pm_executor *ex, const pm_program *p, uint64_t *out_bytes) {
    static uint32_t words[1 << 14];
    test_rng r = {21};
    pm_loaded *l;
    for (uint32_t i = 0; i < p->n_externals; i++) {
        if (p->externals[i].kind != PM_EXTERNAL_WEIGHT) continue;
        fill(&r, PM_F32, words, p->externals[i].bytes / 4);
        assert_ok(pm_executor_put(ex, p->externals[i].name, words, p->externals[i].bytes));
    }
    assert_ok(pm_executor_load(ex, p, &l));
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        fill(&r, p->inputs[i].dtype, words, p->inputs[i].range.bytes / 4);
        assert_ok(pm_loaded_write(l, i, words, p->inputs[i].range.bytes));
    }
    assert_ok(pm_loaded_run(l));
    *out_bytes = 0;
    for (uint32_t i = 0; i < p->n_outputs; i++) *out_bytes += p->outputs[i].range.bytes;
    unsigned char *out = malloc((size_t)*out_bytes), *at = out;
    for (uint32_t i = 0; i < p->n_outputs; at += p->outputs[i].range.bytes, i++)
        assert_ok(pm_loaded_read(l, i, at, p->outputs[i].range.bytes));
    pm_loaded_unload(l);
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (p->externals[i].kind == PM_EXTERNAL_WEIGHT) pm_executor_drop(ex, p->externals[i].name);
    return (uint32_t *)(void *)out;
}

/* Equal bits where the same variant takes part and whole. */
static void check_device(const char *spec) {
    pm_executor *ex = NULL;
    if (pm_executor_open(spec, NULL, &ex) != PM_OK) skip_because("no device %s: %s", spec, pm_error_text());
    for (size_t i = 0; i < PM_COUNT(graphs); i++) {
        pm_caps small = *pm_executor_caps(ex);
        small.max_binding_bytes = LIMIT;
        pm_program *whole = compile_text(graphs[i], pm_executor_caps(ex)),
                   *parts = compile_text(graphs[i], &small);
        test_check_program(parts, &small);
        assert_true(parts->n_dispatches > whole->n_dispatches);
        for (uint32_t k = 0; k < parts->n_dispatches; k++)
            for (uint32_t b = 0; b < parts->dispatches[k].n_bindings; b++)
                assert_true(parts->dispatches[k].bindings[b].bytes <= LIMIT);
        uint64_t n, m;
        uint32_t *want = run(ex, whole, &n), *got = run(ex, parts, &m);
        assert_true(n == m);
        for (uint64_t k = 0; k < n / 4; k++) {
            float x, y;
            memcpy(&x, &want[k], 4);
            memcpy(&y, &got[k], 4);
            bool near = x - y < 1e-5f && y - x < 1e-5f;
            if (want[k] != got[k] && !near)
                fail_msg("graph %zu on %s: word %zu is %08x, not %08x", i, spec, (size_t)k, got[k], want[k]);
        }
        free(want);
        free(got);
        pm_program_destroy(whole);
        pm_program_destroy(parts);
    }
    pm_executor_close(ex);
}

/* A model whose activations are several bindings each. */
static void check_model(const char *spec, const char *name) {
    enum { TIMES = 40 };
    pm_device *d = NULL;
    pm_tensors *one, *many, *out[2];
    if (pm_device_open(spec, NULL, &d) != PM_OK) skip_because("no device %s: %s", spec, pm_error_text());
    if (strstr(pm_device_name(d), "SwiftShader") &&
        strcmp(name, "llama") != 0) { /* slow to compile: one model */
        pm_device_close(d);
        return;
    }
    assert_ok(pm_tensors_read(test_reference(name, "reference.safetensors").s, &one));
    assert_ok(pm_tensors_create(&many));
    for (size_t i = 0; i < pm_tensors_count(one); i++) {
        pm_array a = *pm_tensors_at(one, i);
        if (strncmp(a.name, "in.", 3) != 0) continue;
        unsigned char *data = malloc(TIMES * (size_t)a.bytes);
        for (size_t k = 0; k < TIMES; k++) memcpy(data + k * (size_t)a.bytes, a.data, (size_t)a.bytes);
        a.dims[0] *= TIMES, a.bytes *= TIMES, a.data = data;
        assert_ok(pm_tensors_add(many, &a, NULL));
        free(data);
    }
    for (int limited = 0; limited < 2; limited++) {
        if (limited) d->executor->caps.max_binding_bytes = 32768;
        test_session o = test_open_on(d, test_reference(name, NULL).s);
        assert_ok(pm_session_run(o.s, many, "", &out[limited]));
        test_close(&o);
    }
    assert_true(test_compare(name, out[1], out[0], true) >= 1);
    for (int i = 0; i < 2; i++) pm_tensors_free(out[i]);
    pm_tensors_free(one);
    pm_tensors_free(many);
    pm_device_close(d);
}

static void check(const char *spec) {
    static const char *const models[] = {"gpt2", "bert-mlm", "llama", "t5"};
    check_device(spec);
    for (size_t i = 0; i < PM_COUNT(models); i++) check_model(spec, models[i]);
}

static void test_on_reference(void **state) {
    (void)state, check("reference");
}
static void test_on_cpu(void **state) {
    (void)state, check("cpu");
}
static void test_on_vulkan(void **state) {
    (void)state, check(test_device());
}

/* Sizes past 4 GiB: nothing is allocated. */
static void test_over_4_gib(void **state) {
    (void)state;
    pm_caps caps;
    pm_caps_baseline(&caps);
    caps.max_binding_bytes = 1u << 27;
    pm_program *p = compile_text(
        "%0 = input \"x\" f32[2,40009,24576]\n%1 = tanh(%0) f32[2,40009,24576]\noutput \"y\" %1\n", &caps);
    test_check_program(p, &caps);
    uint64_t end = 0;
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_range *r = &p->dispatches[i].bindings[1];
        assert_true(r->offset <= p->outputs[0].range.offset + end && r->bytes <= caps.max_binding_bytes);
        end = r->offset + r->bytes - p->outputs[0].range.offset;
    }
    assert_true(end == 2ull * 40009 * 24576 * 4);
    pm_program_destroy(p);
}

/* What lies turned is cut into blocks, not into runs of one row: 1677 rows or columns of 20000 fit. */
static void test_turned(void **state) {
    (void)state;
    pm_caps caps;
    pm_caps_baseline(&caps);
    caps.max_binding_bytes = 1u << 27;
    pm_program *p =
        compile_text("%0 = input \"x\" f32[20000,20000]\n%1 = permute(%0) {axes=[1,0]} f32[20000,20000]\n"
                     "%2 = exp(%1) f32[20000,20000]\noutput \"y\" %2\n",
                     &caps);
    test_check_program(p, &caps);
    assert_int_equal(p->n_dispatches, 12 * 12);
    pm_program_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_over_4_gib), cmocka_unit_test(test_turned),
                                       cmocka_unit_test(test_on_reference), cmocka_unit_test(test_on_cpu),
                                       cmocka_unit_test(test_on_vulkan)};
    return run_all_tests(tests);
}
