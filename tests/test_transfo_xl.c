/* Segment memory (Transformer-XL) against PyTorch, with the options that the tiny reference lacks (tests/data/transfo-xl,
 * made by its make.py), and against itself: segments with enough memory are one text, rows of a batch know nothing of each
 * other, and generation is what recomputing everything gives. */
#include "tests/support_compare.h"
#include "tests/support_models.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "models/convert.h"

static const char *const models[] = {"options", "same-length", "sizes", "no-memory", "apart"};

static void close_model(test_session *o) {
    assert_string_equal(pm_device_messages(o->d), "");
    test_close(o);
}

static test_path folder_of(const char *model) {
    test_path p;
    snprintf(p.s, sizeof p.s, PM_SOURCE_DIR "/tests/data/transfo-xl/%s", model);
    return p;
}

static const pm_array *want(const pm_tensors *set, const char *name) {
    const pm_array *a = pm_tensors_get(set, name);
    if (!a) fail_msg("%s is missing", name);
    return a;
}

/* n elements of each from the given ones on. */
static double difference(const pm_array *is, uint64_t is_from, const pm_array *expected, uint64_t from,
                         uint64_t n) {
    double off = 0, norm = 0;
    float *x = calloc(pm_array_elems(is) + 1, sizeof *x),
          *y = calloc(pm_array_elems(expected) + 1, sizeof *y);
    assert_true(x && y && is_from + n <= pm_array_elems(is) && from + n <= pm_array_elems(expected));
    assert_ok(pm_convert_f32(is, x));
    assert_ok(pm_convert_f32(expected, y));
    for (uint64_t i = 0; i < n; i++) {
        double a = (double)x[is_from + i], b = (double)y[from + i];
        off += (a - b) * (a - b);
        norm += b * b;
    }
    free(x);
    free(y);
    return norm > 0 ? sqrt(off / norm) : off;
}

/* ---- against PyTorch ---- */

static void compare(const char *model, const pm_tensors *set, const pm_tensors *reference, bool all) {
    assert_int_equal(test_compare(model, set, reference, all), pm_tensors_count(set));
}

static void check_greedy(const char *model, const test_session *o, const pm_tensors *reference) {
    const pm_array *prompt = want(reference, "in.prompt"), *expected = want(reference, "out.greedy");
    int32_t ids[64];
    size_t n = (size_t)prompt->dims[1];
    pm_generated g;
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)((const int64_t *)prompt->data)[i];
    const pm_generate_options options = {.max_new = (int32_t)(expected->dims[1] - prompt->dims[1]),
                                         .ignore_eos = true};
    assert_ok(pm_generate(o->s, ids, n, &options, &g));
    assert_int_equal(g.n_ids, expected->dims[1]);
    for (size_t i = 0; i < g.n_ids; i++)
        if (g.ids[i] != ((const int64_t *)expected->data)[i]) fail_msg("%s: greedy id %zu differs", model, i);
    pm_generated_free(&g);
}

static void check_device(const char *device, size_t n_models) {
    for (size_t i = 0; i < n_models; i++) {
        test_session o = test_open(folder_of(models[i]).s, device);
        test_path folder = folder_of(models[i]);
        pm_tensors *reference, *set;
        assert_ok(pm_tensors_read(test_join(&folder, "reference.safetensors").s, &reference));
        assert_ok(pm_session_run(o.s, reference, "", &set));
        compare(models[i], set, reference, true);
        pm_tensors_free(set);
        assert_ok(pm_session_run(o.s, reference, "final", &set)); /* the second run begins anew */
        compare(models[i], set, reference, false);
        pm_tensors_free(set);
        check_greedy(models[i], &o, reference);
        pm_tensors_free(reference);
        close_model(&o);
    }
}

static void test_on_reference(void **state) {
    (void)state, check_device("reference", PM_COUNT(models));
}
static void test_on_cpu(void **state) {
    (void)state, check_device("cpu", PM_COUNT(models));
}
static void test_on_vulkan(void **state) {
    (void)state;
    pm_device *d = test_open_device(test_device());
    if (!d) skip_because("no device %s: %s", test_device(), pm_error_text());
    pm_device_close(d);
    check_device(test_device(), 2); /* pipelines take most of the time: the others' kernels are the same */
}

static void test_verified(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(models); i++) {
        test_session o = test_open(folder_of(models[i]).s, "cpu");
        pm_verify_report report;
        bool segment = false, distances = false;
        assert_ok(pm_session_verify(o.s, NULL, NULL, &report));
        for (size_t row = 0; row < report.n_rows; row++) {
            segment |= strcmp(report.rows[row].program, "segment") == 0;
            distances |= strcmp(report.rows[row].program, "distances") == 0;
        }
        assert_true(distances && segment == (strcmp(models[i], "no-memory") != 0));
        pm_verify_report_free(&report);
        close_model(&o);
    }
}

/* Nothing of attention or of a log softmax is left in pieces, whichever program it is. */
static void test_fused(void **state) {
    (void)state;
    static const char *const which[] = {"forward", "prefill", "decode"};
    static const char *const left[] = {" softmax(", "rel_shift(", " exp(", " log(", "reduce_max(", " where("};
    for (size_t i = 0; i < PM_COUNT(models); i++)
        for (size_t k = 0; k < PM_COUNT(which); k++) {
            pm_model *m;
            char *text;
            assert_ok(pm_model_open(folder_of(models[i]).s, &m));
            assert_ok(pm_model_dump(m, &(pm_dump_options){.stage = "fused", .which = which[k]}, &text));
            assert_non_null(strstr(text, " attention("));
            assert_non_null(strstr(text, " log_softmax("));
            for (size_t n = 0; n < PM_COUNT(left); n++)
                if (strstr(text, left[n])) fail_msg("%s, %s: %s is left", models[i], which[k], left[n]);
            pm_release(text);
            pm_model_close(m);
        }
}

/* ---- against itself ---- */

enum { VOCAB = 61, LENGTH = 17 };

static void fill_ids(int32_t *ids, size_t n, uint64_t seed) {
    test_rng rng = {seed};
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)test_below(&rng, VOCAB);
}

static void add_ids(pm_tensors *set, const char *name, const int32_t *ids, int64_t batch, int64_t length) {
    pm_array a = {.name = name, .dtype = PM_I32, .rank = 2, .dims = {batch, length}, .data = ids};
    if (batch * length == 0) a.data = NULL;
    assert_ok(pm_tensors_add(set, &a, NULL));
}

/* The tiny reference with another memory. */
static test_session open_with_memory(const char *mem_len) {
    test_path folder = test_copy_model("transfo-xl");
    test_edit_config(&folder, "mem_len", mem_len);
    return test_open(folder.s, "cpu");
}

static pm_tensors *run(const test_session *o, pm_tensors *in, const char *what) {
    pm_tensors *set;
    assert_ok(pm_session_run(o->s, in, what, &set));
    pm_tensors_free(in);
    return set;
}

static pm_tensors *whole(const test_session *o, const int32_t *ids, int64_t n) {
    pm_tensors *in;
    assert_ok(pm_tensors_create(&in));
    add_ids(in, "in.input_ids", ids, 1, n);
    return run(o, in, "log_probs");
}

static void test_segments_are_one_text(void **state) {
    (void)state;
    static const int64_t lengths[] = {1, 6, 3, 7};
    test_session o = open_with_memory("32");
    int32_t ids[LENGTH];
    pm_tensors *in;
    char name[32];
    int64_t at = 0;
    fill_ids(ids, LENGTH, 5);
    assert_ok(pm_tensors_create(&in));
    for (size_t i = 0; i < PM_COUNT(lengths); at += lengths[i++]) {
        snprintf(name, sizeof name, "in.segment.%zu", i);
        add_ids(in, name, ids + at, 1, lengths[i]);
    }
    pm_tensors *set = run(&o, in, "log_probs"), *one = whole(&o, ids, LENGTH);
    at = 0;
    for (size_t i = 0; i < PM_COUNT(lengths); at += lengths[i++]) {
        snprintf(name, sizeof name, "out.log_probs.%zu", i);
        assert_true(difference(want(set, name), 0, want(one, "out.log_probs"), (uint64_t)at * VOCAB,
                               (uint64_t)lengths[i] * VOCAB) < 1e-5);
    }
    pm_tensors_free(set);
    pm_tensors_free(one);
    close_model(&o);
}

/* Without memory a segment is a text of its own; with it, it is not. */
static void test_memory_counts(void **state) {
    (void)state;
    static const char *const lengths[] = {"0", "3"};
    int32_t ids[12];
    fill_ids(ids, 12, 6);
    for (size_t i = 0; i < PM_COUNT(lengths); i++) {
        test_session o = open_with_memory(lengths[i]);
        pm_tensors *in;
        assert_ok(pm_tensors_create(&in));
        add_ids(in, "in.segment.0", ids, 1, 6);
        add_ids(in, "in.segment.1", ids + 6, 1, 6);
        pm_tensors *set = run(&o, in, ""), *one = whole(&o, ids + 6, 6);
        double off = difference(want(set, "out.log_probs.1"), 0, want(one, "out.log_probs"), 0, 6 * VOCAB);
        assert_true(i == 0 ? off < 1e-6 : off > 1e-3);
        assert_int_equal(want(set, "out.mems.1.2")->dims[0], i == 0 ? 0 : 3);
        assert_int_equal(want(set, "out.attentions.1.0")->dims[3], i == 0 ? 6 : 9);
        pm_tensors_free(set);
        pm_tensors_free(one);
        close_model(&o);
    }
}

static void test_rows_of_a_batch(void **state) {
    (void)state;
    test_session o = open_with_memory("5");
    int32_t ids[2][3][4];
    pm_tensors *in, *together;
    char name[32];
    fill_ids(ids[0][0], 24, 7);
    assert_ok(pm_tensors_create(&in));
    for (int s = 0; s < 2; s++) {
        snprintf(name, sizeof name, "in.segment.%d", s);
        add_ids(in, name, ids[s][0], 3, 4);
    }
    together = run(&o, in, "");
    for (int row = 0; row < 3; row++) {
        assert_ok(pm_tensors_create(&in));
        for (int s = 0; s < 2; s++) {
            snprintf(name, sizeof name, "in.segment.%d", s);
            add_ids(in, name, ids[s][row], 1, 4);
        }
        pm_tensors *alone = run(&o, in, "");
        const uint64_t n = 4 * VOCAB;
        assert_true(difference(want(together, "out.log_probs.1"), (uint64_t)row * n,
                               want(alone, "out.log_probs.1"), 0, n) < 1e-5);
        pm_tensors_free(alone);
    }
    assert_int_equal(want(together, "out.mems.1.0")->dims[1], 3);
    pm_tensors_free(together);
    close_model(&o);
}

static int32_t likeliest_after(const test_session *o, const int32_t *ids, size_t n) {
    pm_tensors *set = whole(o, ids, (int64_t)n);
    const float *row = (const float *)want(set, "out.log_probs")->data + (n - 1) * VOCAB;
    int32_t best = 0;
    for (int32_t i = 1; i < VOCAB; i++)
        if (row[i] > row[best]) best = i;
    pm_tensors_free(set);
    return best;
}

static void test_generation_is_recomputation(void **state) {
    (void)state;
    test_session o = open_with_memory("64"); /* more than is generated */
    int32_t ids[48];
    pm_generated g;
    fill_ids(ids, 4, 8);
    const pm_generate_options options = {.max_new = 40, .ignore_eos = true};
    assert_ok(pm_generate(o.s, ids, 4, &options, &g));
    assert_int_equal(g.n_ids, 44);
    for (size_t n = 4; n < g.n_ids; n++)
        if (g.ids[n] != likeliest_after(&o, g.ids, n)) fail_msg("id %zu is not the likeliest", n);
    pm_generated_free(&g);
    close_model(&o);
}

/* So many tokens that the cache has to forget, more than once. Two layers see 16 tokens back, with 8 of memory each, so
 * the last tokens of any part are what its own generation gives once that many of them were fed one at a time. */
static void test_forgetting(void **state) {
    (void)state;
    enum { TOTAL = 1300, SEEN = 24 };
    test_session o = open_with_memory("8");
    int32_t ids[3];
    pm_generated g;
    pm_tensors *in;
    char name[32];
    fill_ids(ids, 3, 9);
    assert_ok(pm_generate(o.s, ids, 3, &(pm_generate_options){.max_new = TOTAL, .ignore_eos = true}, &g));
    assert_int_equal(g.n_ids, TOTAL + 3);
    for (size_t end = 100; end < g.n_ids; end += 109) {
        assert_ok(pm_tensors_create(&in));
        for (size_t i = 0; i < SEEN; i++) {
            snprintf(name, sizeof name, "in.segment.%zu", i);
            add_ids(in, name, &g.ids[end - SEEN + i], 1, 1);
        }
        pm_tensors *set = run(&o, in, "log_probs");
        snprintf(name, sizeof name, "out.log_probs.%d", SEEN - 1);
        const float *row = want(set, name)->data;
        int32_t best = 0;
        for (int32_t i = 1; i < VOCAB; i++)
            if (row[i] > row[best]) best = i;
        if (g.ids[end] != best) fail_msg("id %zu is %d, not %d", end, (int)g.ids[end], (int)best);
        pm_tensors_free(set);
    }
    pm_generated_free(&g);
    close_model(&o);
}

/* ---- what is wrong ---- */

static void test_bad_settings(void **state) {
    (void)state;
    static const struct {
        const char *key, *json;
        const char *words[4];
    } rows[] = {
        {"cutoffs", "[20,20]", {"cutoffs has 20 at 1", "21", "61"}},
        {"cutoffs", "[40,20]", {"cutoffs has 20 at 1", "from 41"}},
        {"cutoffs", "[0,20]", {"cutoffs has 0 at 0", "from 1"}},
        {"cutoffs", "[20,61]", {"cutoffs has 61 at 1", "vocab_size, which is 61"}},
        {"cutoffs", "[20,\"x\"]", {"cutoffs"}},
        {"cutoffs", "[20]", {"emb_layers.1.weight", "[20,16]", "[41,16]"}},
        {"d_model", "33", {"d_model is 33", "even"}},
        {"d_head", "9", {"qkv_net.weight", "[96,32]", "[108,32]"}},
        {"div_val", "40", {"d_embed is 32", "div_val 40"}},
        {"div_val", "1", {"emb_layers.1.weight", "[20,16]", "[20,32]"}},
        {"mem_len", "-1", {"mem_len is -1"}},
        {"attn_type", "1", {"attn_type is 1", "0..0"}},
        {"untie_r", "false", {"transformer.r_r_bias", "missing"}},
        {"tie_projs", "[true,3,true]", {"tie_projs", "at 1"}},
        {"cluster_order", "\"random\"", {"cluster_order", "random", "rising, falling"}},
        {"n_layer", "3", {"transformer.layers.2.", "missing"}},
    };
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_copy_model("transfo-xl");
        test_edit_config(&folder, rows[i].key, rows[i].json);
        test_expect_error(&folder, PM_ERR_FILE, rows[i].words);
    }
    test_path folder = test_copy_model("transfo-xl");
    test_edit_config(&folder, "same_length", "true");
    test_edit_config(&folder, "mem_len", "0");
    test_expect_error(&folder, PM_ERR_FILE, (const char *const[]){"same_length", "mem_len is 0", NULL});
    folder = test_copy_model("transfo-xl");
    test_edit_header(&folder, "crit.cluster_bias", NULL, NULL);
    test_expect_error(&folder, PM_ERR_FILE, (const char *const[]){"crit.cluster_bias is missing", NULL});
}

typedef struct bad_segments {
    const char *names[3];
    int64_t dims[3][2];
    int32_t first;
    const char *words;
} bad_segments;

static void test_bad_segments(void **state) {
    (void)state;
    static const bad_segments rows[] = {
        {{"in.segment.0"}, {{1, 0}}, 0, "in.segment.0 is [1,0], expected [B,T]"},
        {{"in.segment.0", "in.segment.1"}, {{1, 2}, {1, 0}}, 0, "in.segment.1 is [1,0]"},
        {{"in.segment.1"}, {{1, 2}}, 0, "in.segment.0 is missing, there are 1 segments"},
        {{"in.segment.0", "in.segment.2"}, {{1, 2}, {1, 2}}, 0, "in.segment.1 is missing"},
        {{"in.segment.0", "in.segment.x"}, {{1, 2}, {1, 2}}, 0, "in.segment.1 is missing"},
        {{"in.segment.0", "in.segment.1"}, {{2, 2}, {1, 2}}, 0, "in.segment.1 has 1 rows, expected 2"},
        {{"in.segment.0"}, {{1, 2}}, 61, "segment.0: id 61 at 0, expected 0..60"},
        {{"in.input_ids"}, {{1, 2}}, -1, "input_ids: id -1 at 0"},
        {{"in.other"}, {{1, 2}}, 0, "in.input_ids is missing"},
    };
    test_session o = open_with_memory("8");
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        pm_tensors *in, *set;
        const int32_t ids[4] = {rows[i].first};
        assert_ok(pm_tensors_create(&in));
        for (int k = 0; k < 3 && rows[i].names[k]; k++)
            add_ids(in, rows[i].names[k], ids, rows[i].dims[k][0], rows[i].dims[k][1]);
        assert_int_equal(pm_session_run(o.s, in, "final", &set), PM_ERR_USAGE);
        if (!strstr(pm_error_text(), rows[i].words))
            fail_msg("\"%s\" is not in: %s", rows[i].words, pm_error_text());
        pm_tensors_free(in);
    }
    close_model(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_reference),
        cmocka_unit_test(test_on_cpu),
        cmocka_unit_test(test_on_vulkan),
        cmocka_unit_test(test_verified),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_segments_are_one_text),
        cmocka_unit_test(test_memory_counts),
        cmocka_unit_test(test_rows_of_a_batch),
        cmocka_unit_test(test_generation_is_recomputation),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_bad_settings),
        cmocka_unit_test(test_bad_segments),
    };
    return run_all_tests(tests);
}
