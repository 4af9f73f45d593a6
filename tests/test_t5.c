/* T5: buckets of distances, other ways of saying the same model, the encoder alone, and activations beyond 16-bit floats. */
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>

#include "models/blocks.h"
#include "models/convert.h"

/* ---- buckets ---- */

/* As transformers' T5Attention gives them: both sides and causal. */
static void test_buckets(void **state) {
    static const int32_t distance[] = {-300, -128, -100, -64, -20, -16, -10, -9, -8, -5, -2,  -1,  0,  1,
                                       2,    5,    7,    8,   12,  15,  16,  19, 31, 64, 127, 128, 300};
    static const struct {
        int64_t buckets, max_distance;
        bool causal;
        int32_t expected[PM_COUNT(distance)];
    } rows[] = {
        {32, 128, false, {15, 15, 15, 14, 10, 10, 8,  8,  8,  5,  2,  1,  0, 17,
                          18, 21, 23, 24, 25, 25, 26, 26, 27, 30, 31, 31, 31}},
        {32, 128, true, {31, 31, 30, 26, 17, 16, 10, 9, 8, 5, 2, 1}},
        {8, 20, false, {3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 1, 0, 5, 6, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}},
        {8, 20, true, {7, 7, 7, 7, 7, 7, 6, 6, 5, 4, 2, 1}},
    };
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        const pm_relative r = {.buckets = rows[i].buckets, .max_distance = rows[i].max_distance};
        for (size_t k = 0; k < PM_COUNT(distance); k++) {
            int32_t bucket;
            pm_relative_buckets(&r, rows[i].causal, distance[k], 1, &bucket);
            if (bucket != rows[i].expected[k])
                fail_msg("row %zu, distance %d: bucket %d, not %d", i, distance[k], bucket,
                         rows[i].expected[k]);
        }
    }
}

/* ---- one run of a folder ---- */

static pm_tensors *run(const char *device, const test_path *folder, const char *want) {
    pm_model *m;
    pm_session *s;
    pm_tensors *in, *out;
    pm_device *d = test_open_device(device);
    if (!d) skip_because("no device %s: %s", device, pm_error_text());
    assert_ok(pm_tensors_read(test_reference("t5", "reference.safetensors").s, &in));
    assert_ok(pm_model_open(folder->s, &m));
    assert_ok(pm_session_open(m, d, &s));
    assert_ok(pm_session_run(s, in, want, &out));
    pm_tensors_free(in);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
    return out;
}

static const float *values(const pm_tensors *set, const char *name, uint64_t *out_n) {
    const pm_array *a = pm_tensors_get(set, name);
    if (!a) fail_msg("%s is missing", name);
    assert_int_equal(a->dtype, PM_F32);
    *out_n = pm_array_elems(a);
    return a->data;
}

/* Norm of the difference over norm. */
static double distance_of(const float *x, const float *y, uint64_t n) {
    double difference = 0, norm = 0;
    for (uint64_t i = 0; i < n; i++) {
        difference += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        norm += (double)y[i] * (double)y[i];
    }
    return sqrt(difference / norm);
}

static void expect_near(const pm_tensors *a, const char *name_a, const pm_tensors *b, const char *name_b,
                        double tolerance) {
    uint64_t n, m;
    const float *x = values(a, name_a, &n), *y = values(b, name_b, &m);
    assert_int_equal(n, m);
    double error = distance_of(x, y, n);
    if (!(error <= tolerance)) fail_msg("%s: off by %g", name_a, error);
}

/* ---- the encoder alone ---- */

static void test_encoder(void **state) {
    test_path folder = test_copy_model("t5");
    pm_tensors *reference;
    (void)state;
    test_edit_config(&folder, "architectures", "[\"T5EncoderModel\"]");
    assert_ok(pm_tensors_read(test_reference("t5", "reference.safetensors").s, &reference));
    pm_tensors *out = run("cpu", &folder, "");
    assert_int_equal(pm_tensors_count(out),
                     7); /* three hidden states, two maps, the last one, one of the whole text */
    expect_near(out, "out.last_hidden_state", reference, "out.encoder_last_hidden_state", 1e-5);
    expect_near(out, "out.hidden_states.2", reference, "out.encoder_last_hidden_state", 1e-5);
    expect_near(out, "out.attentions.1", reference, "out.encoder_attentions.1", 1e-5);
    uint64_t n, m;
    const float *x = values(reference, "out.encoder_last_hidden_state", &n),
                *mean = values(out, "out.sentence_embedding", &m);
    assert_int_equal(m, 32);
    for (uint64_t c = 0; c < m; c++) {
        double sum = 0;
        for (uint64_t t = 0; t < n / m; t++) sum += (double)x[t * m + c];
        if (!(fabs((double)mean[c] - sum * (double)m / (double)n) < 1e-5))
            fail_msg("column %d is not the mean", (int)c);
    }
    pm_tensors_free(out);
    pm_tensors_free(reference);
}

/* Without a head the decoder's hidden states are the result. */
static void test_headless(void **state) {
    test_path folder = test_copy_model("t5");
    pm_tensors *reference;
    (void)state;
    test_edit_config(&folder, "architectures", "[\"T5Model\"]");
    assert_ok(pm_tensors_read(test_reference("t5", "reference.safetensors").s, &reference));
    pm_tensors *out = run("cpu", &folder, "");
    assert_null(pm_tensors_get(out, "out.logits"));
    expect_near(out, "out.last_hidden_state", reference, "out.decoder_hidden_states.2", 1e-5);
    expect_near(out, "out.encoder_last_hidden_state", reference, "out.encoder_last_hidden_state", 1e-5);
    pm_tensors_free(out);
    pm_tensors_free(reference);
}

/* ---- what the compiler finds ---- */

static int count(const char *text, const char *word) {
    int n = 0;
    for (; (text = strstr(text, word)); text += strlen(word)) n++;
    return n;
}

/* Self attention takes the table by distance, forward and step by step: no bias over queries and keys, nothing unfused. */
static void test_fused(void **state) {
    static const struct {
        const char *which;
        int n_attention, n_relative;
    } rows[] = {{"forward", 6, 4}, {"encode", 2, 2}, {"prefill", 4, 2}, {"decode", 4, 2}};
    static const char *const left[] = {"softmax(", "rsqrt(", "mean(", "where(", "relu(", "sub(", " tanh("};
    pm_model *m;
    (void)state;
    assert_ok(pm_model_open(test_reference("t5", NULL).s, &m));
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        char *text;
        assert_ok(pm_model_dump(m, &(pm_dump_options){.stage = "fused", .which = rows[i].which}, &text));
        if (count(text, "= attention(") != rows[i].n_attention ||
            count(text, "|relative") != rows[i].n_relative)
            fail_msg("%s: %d attentions, %d of them relative", rows[i].which, count(text, "= attention("),
                     count(text, "|relative"));
        for (size_t k = 0; k < PM_COUNT(left); k++)
            if (strstr(text, left[k])) fail_msg("%s: %s is left", rows[i].which, left[k]);
        pm_release(text);
    }
    pm_model_close(m);
}

/* ---- its kin ---- */

static void add_copy(pm_tensors *set, const char *from, const char *to) {
    const pm_array *a = pm_tensors_get(set, from);
    assert_non_null(a);
    pm_array copy = *a;
    copy.name = to;
    assert_ok(pm_tensors_add(set, &copy, NULL));
}

static float twice(float x, size_t i) {
    (void)i;
    return 2 * x;
}

/* UMT5 has relative positions in each layer: with the first layer's everywhere it is T5. */
static void test_umt5(void **state) {
    static const char *const first = "%s.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
                             *const second =
                                 "%s.block.1.layer.0.SelfAttention.relative_attention_bias.weight",
                             *const sides[] = {"encoder", "decoder"};
    test_path folder = test_copy_model("t5"), path = test_join(&folder, "model.safetensors");
    pm_tensors *set, *reference;
    (void)state;
    test_edit_config(&folder, "model_type", "\"umt5\"");
    test_edit_config(&folder, "architectures", "[\"UMT5ForConditionalGeneration\"]");
    test_expect_error(&folder, PM_ERR_FILE,
                      (const char *const[]){"encoder.block.1.layer.0.SelfAttention.relative_attention_bias",
                                            "missing", NULL});
    assert_ok(pm_tensors_read(path.s, &set));
    for (size_t i = 0; i < PM_COUNT(sides); i++) {
        char from[128], to[128];
        snprintf(from, sizeof from, first, sides[i]);
        snprintf(to, sizeof to, second, sides[i]);
        add_copy(set, from, to);
    }
    assert_ok(pm_tensors_write(set, path.s));
    pm_tensors_free(set);
    assert_ok(pm_tensors_read(test_reference("t5", "reference.safetensors").s, &reference));
    pm_tensors *out = run("cpu", &folder, "final");
    expect_near(out, "out.logits", reference, "out.logits", 1e-5);
    pm_tensors_free(out);
    pm_tensors_free(reference);
}

/* mT5 is T5 v1.1; a head of its own stands in the files that are not tied. */
static void test_mt5(void **state) {
    test_path folder = test_copy_model("t5-v1.1"), path = test_join(&folder, "model.safetensors");
    pm_tensors *set;
    (void)state;
    test_edit_config(&folder, "feed_forward_proj", NULL); /* gated-gelu unless it says otherwise */
    test_edit_config(&folder, "scale_decoder_outputs", NULL);
    test_edit_config(&folder, "model_type", "\"mt5\"");
    test_edit_config(&folder, "architectures", "[\"MT5ForConditionalGeneration\"]");
    pm_tensors *out = run("cpu", &folder, "final");
    assert_ok(pm_tensors_read(path.s, &set));
    add_copy(set, "shared.weight", "lm_head.weight");
    assert_ok(pm_tensors_write(set, path.s));
    pm_tensors_free(set);
    pm_tensors *same = run("cpu", &folder, "final");
    expect_near(same, "out.logits", out, "out.logits", 0);
    pm_tensors_free(same);
    test_edit_tensor(&folder, "lm_head.weight", twice);
    pm_tensors *doubled = run("cpu", &folder, "final");
    uint64_t n, m;
    const float *x = values(doubled, "out.logits", &n), *y = values(out, "out.logits", &m);
    assert_int_equal(n, m);
    for (uint64_t i = 0; i < n; i++) assert_true(x[i] == 2 * y[i]);
    pm_tensors_free(doubled);
    pm_tensors_free(out);
}

/* ---- configs of other ages ---- */

/* Before transformers 5 the scale of the logits stood in tie_word_embeddings. */
static void test_older_configs(void **state) {
    (void)state;
    static const struct {
        const char *tied, *scaled;
        bool is_scaled;
    } rows[] = {{"true", NULL, true},
                {NULL, NULL, true},
                {"false", NULL, false},
                {"true", "false", false},
                {"false", "true", true}};
    pm_tensors *reference;
    uint64_t n, m;
    assert_ok(pm_tensors_read(test_reference("t5", "reference.safetensors").s, &reference));
    const float *expected = values(reference, "out.logits", &n);
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_copy_model("t5");
        test_edit_config(&folder, "tie_word_embeddings", rows[i].tied);
        test_edit_config(&folder, "scale_decoder_outputs", rows[i].scaled);
        pm_tensors *out = run("cpu", &folder, "logits");
        const float *logits = values(out, "out.logits", &m);
        assert_int_equal(n, m);
        float *want = calloc(n, sizeof *want);
        assert_non_null(want);
        for (uint64_t k = 0; k < n; k++) want[k] = expected[k] * (rows[i].is_scaled ? 1 : sqrtf(32));
        if (!(distance_of(logits, want, n) < 1e-5)) fail_msg("row %zu: not the scale", i);
        free(want);
        pm_tensors_free(out);
    }
    pm_tensors_free(reference);
}

/* ---- large activations ---- */

static uint16_t to_bf16(float x) {
    uint32_t word;
    memcpy(&word, &x, 4);
    return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

/* The half float nearest to x, found among all of x's sign: any way of rounding that is not the library's will do. */
static uint16_t to_f16(float x) {
    uint16_t low = 0, high = 0x7bff; /* the largest finite one */
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        if (pm_f16_to_f32(middle) <= fabsf(x))
            low = middle;
        else
            high = middle;
    }
    bool up = pm_f16_to_f32(high) - fabsf(x) < fabsf(x) - pm_f16_to_f32(low);
    return (uint16_t)((up ? high : low) | (signbit(x) ? 0x8000 : 0));
}

/* The feed-forward's weights times 300, all weights in two bytes. */
static void store_large(const test_path *folder, pm_dtype dtype) {
    test_path path = test_join(folder, "model.safetensors");
    pm_tensors *from, *to;
    assert_ok(pm_tensors_read(path.s, &from));
    assert_ok(pm_tensors_create(&to));
    for (size_t i = 0; i < pm_tensors_count(from); i++) {
        pm_array a = *pm_tensors_at(from, i);
        const float *x = a.data, scale = strstr(a.name, "DenseReluDense") ? 300 : 1;
        void *data;
        uint64_t n = pm_array_elems(&a);
        a.dtype = dtype;
        a.data = NULL;
        a.bytes = 2 * n;
        assert_ok(pm_tensors_add(to, &a, &data));
        for (uint64_t k = 0; k < n; k++)
            ((uint16_t *)data)[k] = dtype == PM_F16 ? to_f16(x[k] * scale) : to_bf16(x[k] * scale);
    }
    assert_ok(pm_tensors_write(to, path.s));
    pm_tensors_free(from);
    pm_tensors_free(to);
}

/* Every output is finite and the reference's; the hidden states are beyond what 16-bit floats hold. */
static void check_large(const pm_tensors *set, const pm_tensors *expected) {
    float largest = 0;
    uint64_t n;
    assert_int_equal(pm_tensors_count(set), pm_tensors_count(expected));
    for (size_t i = 0; i < pm_tensors_count(set); i++) {
        const char *name = pm_tensors_at(set, i)->name;
        const float *x = values(set, name, &n);
        for (uint64_t k = 0; k < n; k++) {
            if (!isfinite(x[k]))
                fail_msg("%s: element %llu is %g", name, (unsigned long long)k, (double)x[k]);
            if (fabsf(x[k]) > largest) largest = fabsf(x[k]);
        }
        expect_near(set, name, expected, name, 1e-4);
    }
    if (!(largest > 65504)) fail_msg("the largest value is %g: no test of large ones", (double)largest);
}

static void check_large_on(const char *device) {
    static const char *const names[] = {"t5", "t5-v1.1"};
    static const pm_dtype types[] = {PM_F16, PM_BF16};
    for (size_t i = 0; i < PM_COUNT(names) * PM_COUNT(types); i++) {
        test_path folder = test_copy_model(names[i / 2]);
        store_large(&folder, types[i % 2]);
        pm_tensors *set = run(device, &folder, ""); /* skips the test where there is no such device */
        pm_tensors *expected = run("reference", &folder, "");
        check_large(set, expected);
        pm_tensors_free(set);
        set = run(device, &folder, "decoder_hidden_states,final");
        pm_tensors_free(expected);
        expected = run("reference", &folder, "decoder_hidden_states,final");
        check_large(set, expected);
        pm_tensors_free(set);
        pm_tensors_free(expected);
    }
}

static void test_large_on_cpu(void **state) {
    (void)state, check_large_on("cpu");
}
static void test_large_on_vulkan(void **state) {
    (void)state, check_large_on(test_device());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_headless),
        cmocka_unit_test(test_fused),
        cmocka_unit_test(test_umt5),
        cmocka_unit_test(test_mt5),
        cmocka_unit_test(test_older_configs),
        cmocka_unit_test(test_large_on_cpu),
        cmocka_unit_test(test_large_on_vulkan),
    };
    return run_all_tests(tests);
}
