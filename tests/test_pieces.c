/* Weights larger than one allocation: how they are cut (graph/pieces.c), lowered, stored and read, with the limit lowered so that
 * nothing large is allocated; and the arithmetic of sizes past 4 GiB, where nothing is allocated at all. */
#include "graph/compile.h"
#include "models/device_data.h"
#include "pumice/compute.h"
#include "tests/support_models.h"
#include "tests/support_program.h"

#define GIB (1ull << 30)

/* ---- the cut ---- */

static void check_pieces(const pm_caps *caps, int32_t rank, const int64_t *dims) {
    const pm_pieces p = pm_pieces_of(caps, rank, dims);
    uint64_t at = 0, largest = 0, smallest = UINT64_MAX, rows = 4;
    for (int32_t k = 0; k < rank; k++) rows *= (uint64_t)dims[k];
    assert_true(p.bytes == rows && p.n >= 1);
    for (uint64_t i = 0; i < p.n; i++) {
        uint64_t first, bytes;
        pm_piece_at(&p, i, &first, &bytes);
        assert_true(first == at && bytes > 0);
        assert_true(bytes <= caps->max_block_bytes && bytes % p.row_bytes == 0);
        assert_true(pm_piece_of(&p, first) == i && pm_piece_of(&p, first + bytes - 1) == i);
        assert_true(first / p.group_bytes == (first + bytes - 1) / p.group_bytes);
        at += bytes;
        largest = bytes > largest ? bytes : largest;
        smallest = bytes < smallest ? bytes : smallest;
    }
    assert_true(at == p.bytes);
    if (p.n > 1) assert_true(p.bytes > caps->max_block_bytes);
    if (p.group_bytes == p.bytes) assert_true(largest - smallest <= p.n * p.row_bytes); /* nearly alike */
}

static void test_cut(void **state) {
    (void)state;
    pm_caps caps;
    test_rng r = {11};
    pm_caps_baseline(&caps);
    for (int round = 0; round < 3000; round++) {
        int64_t dims[3];
        int32_t rank = 1 + (int32_t)test_below(&r, 3);
        for (int32_t k = 0; k < rank; k++) dims[k] = 1 + test_below(&r, 40);
        caps.max_block_bytes = 4 + test_below(&r, 9000);
        check_pieces(&caps, rank, dims);
    }
    caps.max_block_bytes = 4 * GIB - 2097152; /* as NVIDIA's drivers say it */
    check_pieces(&caps, 2, (int64_t[]){70001, 30000});
    check_pieces(&caps, 3, (int64_t[]){127, 5760, 2880});
    check_pieces(&caps, 3, (int64_t[]){1, 70001, 30000});
    caps.max_block_bytes = 2 * GIB;
    check_pieces(&caps, 3, (int64_t[]){2, 30011, 30011}); /* an expert is too large: cut within */
    const pm_pieces p = pm_pieces_of(&caps, 3, (int64_t[]){2, 30011, 30011});
    assert_true(p.n == 4 && p.row_bytes == 4 * 30011);
    assert_string_equal(pm_piece_name_of(&p, 2, "s1/", "w").s, "s1/w[30011:45017]");
    caps.max_block_bytes = 0;
    assert_true(pm_pieces_of(&caps, 2, (int64_t[]){70001, 30000}).n == 1);
}

/* ---- lowering, past 4 GiB ---- */

static pm_caps large_card(void) {
    pm_caps c;
    pm_caps_baseline(&c);
    c.max_block_bytes = 4 * GIB - 2097152;
    c.max_binding_bytes = UINT32_MAX;
    return c;
}

static pm_status compile_text(const char *text, const pm_caps *caps, pm_program **out) {
    pm_graph *g;
    assert_ok(pm_graph_parse(text, &g));
    pm_status s = pm_compile(g, &(pm_compile_options){.caps = caps}, out);
    pm_graph_destroy(g);
    return s;
}

/* Byte of the weight at which the dispatch's part of it begins, and where it ends. */
static uint64_t begins(const pm_program *p, const pm_range *r) {
    return p->externals[r->slot - p->n_blocks].first + r->offset;
}

/* The parts of one operation go through its weight without a gap; each within one piece. */
static void expect_cover(const pm_program *p, pm_kernel kernel, uint32_t binding, uint64_t bytes,
                         uint32_t n_parts) {
    uint64_t at = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_range *r = &p->dispatches[i].bindings[binding];
        if (p->dispatches[i].kernel != kernel) continue;
        assert_true(begins(p, r) <= at && at - begins(p, r) < 256); /* aligned down */
        at = begins(p, r) + r->bytes;
        n++;
    }
    assert_true(at == bytes);
    assert_int_equal(n, n_parts);
}

static void test_over_4_gib(void **state) {
    (void)state;
    const pm_caps caps = large_card();
    pm_program *p;
    assert_ok(compile_text("graph \"g\"\n%0 = input \"x\" f32[1,30000]\n%1 = weight \"w\" f32[70001,30000]\n"
                           "%2 = matmul(%0, %1) f32[1,70001]\n%3 = input \"ids\" i32[3]\n"
                           "%4 = gather(%1, %3) f32[3,30000]\noutput \"y\" %2\noutput \"z\" %4\n",
                           &caps, &p));
    test_check_program(p, &caps);
    assert_int_equal(p->n_externals, 2);
    assert_string_equal(p->externals[0].name, "w[0:35001]");
    assert_string_equal(p->externals[1].name, "w[35001:70001]");
    assert_string_equal(p->externals[1].tensor, "w");
    assert_true(p->externals[1].first == 35001ull * 120000 && p->externals[1].bytes == 35000ull * 120000);
    assert_true(pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT) == 70001ull * 120000);
    expect_cover(p, PM_KERNEL_MATMUL, 1, 70001ull * 120000, 2);
    expect_cover(p, PM_KERNEL_GATHER, 0, 70001ull * 120000, 2);
    pm_program_destroy(p);

    assert_ok(compile_text("graph \"g\"\n%0 = input \"x\" f32[5,2880]\n%1 = weight \"w\" f32[127,5760,2880]\n"
                           "%2 = input \"ids\" i32[5,4]\n%3 = grouped_matmul(%0, %1, %2) f32[5,4,5760]\n"
                           "output \"y\" %3\n",
                           &caps, &p));
    test_check_program(p, &caps);
    assert_int_equal(p->n_externals, 2);
    assert_string_equal(p->externals[1].name, "w[64:127]");
    expect_cover(p, PM_KERNEL_GROUPED_MATMUL, 1, 127ull * 5760 * 2880 * 4, 2);
    pm_program_destroy(p);

    assert_int_equal(
        compile_text("graph \"g\"\n%0 = weight \"w\" f32[70001,30000]\n%1 = exp(%0) f32[70001,30000]\n"
                     "output \"y\" %1\n",
                     &(pm_caps){.max_block_bytes = 4 * GIB,
                                .max_binding_bytes = 1ull << 40,
                                .binding_alignment = 16,
                                .name = "it"},
                     &p),
        PM_ERR_MEMORY); /* the result has no place either: the plan says so first */
    pm_caps small = large_card();
    small.max_block_bytes = 4096;
    assert_int_equal(compile_text("graph \"g\"\n%0 = input \"x\" f32[3,16]\n%1 = weight \"w\" f32[16,80]\n"
                                  "%2 = permute(%1) {axes=[1,0]} f32[80,16]\n%3 = matmul(%0, %2) f32[3,80]\n"
                                  "output \"y\" %3\n",
                                  &small, &p),
                     PM_ERR_DEVICE); /* its rows are columns of what is stored */
    assert_non_null(strstr(pm_error_text(), "weight \"w\""));
    assert_non_null(strstr(pm_error_text(), "2 pieces"));
    assert_int_equal(
        compile_text("graph \"g\"\n%0 = state \"kv\" f32[1,1,2000,1]\n%1 = input \"x\" f32[1,1,1,1]\n"
                     "%2 = param \"p\" i32[]\n%3 = cache_write(%0, %1, %2) f32[1,1,2000,1]\n"
                     "%4 = sum(%3) f32[1,1,2000,1]\noutput \"y\" %4\n",
                     &small, &p),
        PM_ERR_MEMORY);
}

/* ---- on devices ---- */

static const pm_device_options narrow = {.max_block_bytes = 2304};

/* A table that is looked up and multiplied with, and experts: pieces end between tiles, at odd rows. */
static pm_graph *make_graph(void) {
    pm_graph *g;
    assert_ok(pm_graph_create("pieces", &g));
    pm_tensor *table = pm_weight(g, "table", PM_F32, 2, (int64_t[]){131, 12});
    pm_tensor *experts = pm_weight(g, "experts", PM_F32, 3, (int64_t[]){5, 37, 12});
    pm_tensor *one = pm_weight(g, "one", PM_F32, 3, (int64_t[]){2, 61, 12}); /* an expert is too large */
    pm_tensor *x = pm_gather(g, table, pm_input(g, "ids", PM_I32, 1, (int64_t[]){4}));
    pm_tensor *chosen = pm_input(g, "chosen", PM_I32, 2, (int64_t[]){4, 2});
    pm_output(g, "x", x);
    pm_output(g, "y", pm_relu(g, pm_matmul(g, x, table)));
    pm_output(g, "z", pm_grouped_matmul(g, x, experts, chosen));
    pm_output(g, "o", pm_grouped_matmul(g, x, one, pm_input(g, "few", PM_I32, 2, (int64_t[]){4, 1})));
    assert_ok(pm_graph_status(g));
    return g;
}

typedef struct results {
    float x[4 * 12], y[4 * 131], z[4 * 2 * 37], o[4 * 61];
} results;

static void run(pm_device *d, results *out, bool pieces) {
    static const int32_t ids[] = {0, 130, 43, 44}, chosen[] = {4, 0, 1, 3, 2, 4, 0, 3}, few[] = {1, 0, 1, 1};
    pm_graph *g = make_graph();
    pm_compute *c;
    assert_ok(pm_compute_open(g, d, &c));
    assert_ok(pm_compute_input(c, "ids", ids, sizeof ids));
    assert_ok(pm_compute_input(c, "chosen", chosen, sizeof chosen));
    assert_ok(pm_compute_input(c, "few", few, sizeof few));
    assert_ok(pm_compute_feed_random(c, 5));
    assert_null(pm_compute_missing(c));
    assert_ok(pm_compute_run(c));
    assert_ok(pm_compute_output(c, "x", out->x, sizeof out->x));
    assert_ok(pm_compute_output(c, "y", out->y, sizeof out->y));
    assert_ok(pm_compute_output(c, "z", out->z, sizeof out->z));
    assert_ok(pm_compute_output(c, "o", out->o, sizeof out->o));
    pm_verify_report report;
    assert_ok(pm_compute_verify(c, NULL, &report));
    pm_verify_report_free(&report);
    pm_compute_figures figures;
    pm_compute_get_figures(c, &figures);
    assert_int_equal(figures.n_weights, 3);
    assert_int_equal(figures.n_dispatches, pieces ? 3 + 3 + 5 + 4 : 4);
    assert_int_equal(pm_compute_put(c, "table", out, 5), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "6288"));
    pm_device_stats stats;
    pm_device_get_stats(d, &stats);
    assert_true(stats.store_bytes == 4 * (131 * 12 + 5 * 37 * 12 + 2 * 61 * 12));
    const char *const names[] = {"table", "experts", "one"};
    for (size_t i = 0; i < PM_COUNT(names); i++) pm_compute_drop(c, names[i]);
    pm_device_get_stats(d, &stats);
    assert_true(stats.store_bytes == 0);
    pm_compute_close(c);
    pm_graph_destroy(g);
}

static void check_graph(const char *spec) {
    static results whole, parts, hosted;
    pm_device *d = NULL;
    if (pm_device_open(spec, NULL, &d) != PM_OK) skip_because("no device %s: %s", spec, pm_error_text());
    run(d, &whole, false);
    pm_device_close(d);
    assert_ok(pm_device_open(spec, &narrow, &d));
    run(d, &parts, true);
    assert_memory_equal(&whole, &parts, sizeof whole);
    bool vulkan = pm_executor_caps(d->executor)->vulkan;
    pm_device_close(d);
    if (!vulkan) return;
    pm_device_options tight = narrow;
    tight.max_memory_bytes = 8192; /* and most pieces on the host */
    assert_ok(pm_device_open(spec, &tight, &d));
    run(d, &hosted, true);
    assert_memory_equal(&whole, &hosted, sizeof whole);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

/* ---- models ---- */

typedef struct outcome {
    pm_tensors *forward;
    pm_generated text;
} outcome;

static outcome run_model(const char *spec, const pm_device_options *options, const char *name) {
    static const int64_t ids[] = {5, 9, 2};
    outcome out = {0};
    pm_device *d;
    pm_tensors *in;
    assert_ok(pm_device_open(spec, options, &d));
    test_session o = test_open_on(d, test_reference(name, NULL).s);
    assert_ok(pm_tensors_create(&in));
    assert_ok(pm_tensors_add(in,
                             &(pm_array){.name = "in.input_ids",
                                         .dtype = PM_I64,
                                         .rank = 2,
                                         .dims = {1, 3},
                                         .data = ids,
                                         .bytes = sizeof ids},
                             NULL));
    assert_ok(pm_session_run(o.s, in, "final", &out.forward));
    pm_model_info info;
    pm_model_get_info(o.m, &info);
    if (info.decoder)
        assert_ok(pm_generate(o.s, (int32_t[]){5, 9, 2}, 3,
                              &(pm_generate_options){.max_new = 8, .ignore_eos = true}, &out.text));
    pm_tensors_free(in);
    test_close(&o);
    pm_device_stats stats;
    pm_device_get_stats(d, &stats);
    assert_true(stats.store_bytes == 0);
    pm_device_close(d);
    return out;
}

static void check_models(const char *spec) {
    static const struct {
        const char *name;
        uint64_t block; /* what it makes of a prompt still fits */
    } models[] = {{"llama", 2304}, {"bert-mlm", 2304}, {"qwen3-moe", 6144}, {"olmo2", 2304}};
    pm_device *d = NULL;
    if (pm_device_open(spec, NULL, &d) != PM_OK) skip_because("no device %s: %s", spec, pm_error_text());
    pm_device_close(d);
    for (size_t i = 0; i < PM_COUNT(models); i++) {
        const pm_device_options options = {.max_block_bytes = models[i].block};
        outcome a = run_model(spec, NULL, models[i].name), b = run_model(spec, &options, models[i].name);
        assert_int_equal(pm_tensors_count(a.forward), pm_tensors_count(b.forward));
        for (size_t k = 0; k < pm_tensors_count(a.forward); k++) {
            const pm_array *x = pm_tensors_at(a.forward, k), *y = pm_tensors_get(b.forward, x->name);
            assert_memory_equal(x->data, y->data, (size_t)x->bytes);
        }
        assert_int_equal(a.text.n_ids, b.text.n_ids);
        if (a.text.n_ids) assert_memory_equal(a.text.ids, b.text.ids, a.text.n_ids * sizeof *a.text.ids);
        pm_generated_free(&a.text);
        pm_generated_free(&b.text);
        pm_tensors_free(a.forward);
        pm_tensors_free(b.forward);
    }
}

static void test_on_reference(void **state) {
    (void)state;
    check_graph("reference");
    check_models("reference");
}
static void test_on_cpu(void **state) {
    (void)state;
    check_graph("cpu");
    check_models("cpu");
}
static void test_on_vulkan(void **state) {
    (void)state;
    check_graph(test_device());
    check_models(test_device());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut),    cmocka_unit_test(test_over_4_gib), cmocka_unit_test(test_on_reference),
        cmocka_unit_test(test_on_cpu), cmocka_unit_test(test_on_vulkan),
    };
    return run_all_tests(tests);
}
