/* Generation: greedy ids are PyTorch's, beams are those of a second implementation
 * (tests/data/make_beam_cases.py), the cache grows, decoding records nothing.
 */
#include "pumice/attend.h"
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "models/convert.h"
#include "models/decoder.h"

/* ---- greedy ---- */

static const char *const decoders[] = {"gpt2", "llama", "llama3-rope"};

static void check_greedy(pm_device *d, const char *folder, const char *name) {
    char path[TEST_PATH];
    pm_tensors *reference;
    snprintf(path, sizeof path, "%s/%s/reference.safetensors", folder, name);
    assert_ok(pm_tensors_read(path, &reference));
    const pm_array *expected = pm_tensors_get(reference, "out.greedy_from_7");
    size_t n = (size_t)pm_array_elems(expected);
    int32_t *ids = calloc(n, sizeof *ids);
    assert_ok(pm_convert_i32(expected, ids));
    snprintf(path, sizeof path, "%s/%s", folder, name);
    test_session o = test_open_on(d, path);
    pm_generate_options options = {.max_new = (int32_t)n - 7, .ignore_eos = true};
    pm_generated g;
    for (int round = 0; round < 2; round++) { /* the second finds programs and old keys in the cache */
        assert_ok(pm_generate(o.s, ids, 7, &options, &g));
        assert_int_equal(g.n_ids, n);
        assert_int_equal(g.n_prompt, 7);
        assert_memory_equal(g.ids, ids, n * sizeof *ids);
        assert_int_equal(g.decode_steps, n - 8);
        assert_int_equal(g.decode_recordings, 0);
        assert_true(g.n_device_ops > 0 && g.n_fallback_ops == 0);
        pm_generated_free(&g);
    }
    test_close(&o);
    pm_tensors_free(reference);
    free(ids);
}

static void check_greedy_all(const char *spec) {
    pm_device *d = test_need_device(spec);
    const char *shared = test_shared_dir();
    char small[TEST_PATH];
    snprintf(small, sizeof small, "%s/reference/small", shared ? shared : "");
    for (size_t i = 0; i < PM_COUNT(decoders); i++) {
        check_greedy(d, PM_SOURCE_DIR "/tests/data/reference", decoders[i]);
        if (shared) check_greedy(d, small, decoders[i]);
    }
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_greedy_reference(void **state) {
    (void)state, check_greedy_all("reference");
}
static void test_greedy_cpu(void **state) {
    (void)state, check_greedy_all("cpu");
}
static void test_greedy_vulkan(void **state) {
    (void)state, check_greedy_all(test_device());
}

/* ---- beams ---- */

static void take_ids(json_t *list, int32_t *out, size_t *out_n) {
    *out_n = json_array_size(list);
    for (size_t i = 0; i < *out_n; i++) out[i] = (int32_t)json_integer_value(json_array_get(list, i));
}

static void check_beam_case(pm_device *d, json_t *c) {
    const char *name = json_string_value(json_object_get(c, "model"));
    test_path folder = test_copy_model(name);
    char *eos = json_dumps(json_object_get(c, "eos"), 0);
    int32_t ids[32], expected[32];
    size_t n, n_expected;
    pm_generated g;
    take_ids(json_object_get(c, "ids"), ids, &n);
    take_ids(json_object_get(c, "expected"), expected, &n_expected);
    test_edit_config(&folder, "eos_token_id", eos);
    test_edit_config(&folder, "decoder_start_token_id", "1");
    test_session o = test_open_on(d, folder.s);
    pm_generate_options options = {
        .n_beams = (int32_t)json_integer_value(json_object_get(c, "k")),
        .has_length_penalty = true,
        .length_penalty = (float)json_number_value(json_object_get(c, "length_penalty")),
        .early_stopping = (int32_t)json_integer_value(json_object_get(c, "early_stopping")),
        .max_new = (int32_t)json_integer_value(json_object_get(c, "max_new"))};
    assert_ok(pm_generate(o.s, ids, n, &options, &g));
    char *text = json_dumps(c, 0);
    if (g.n_ids - g.n_prompt != n_expected ||
        memcmp(g.ids + g.n_prompt, expected, n_expected * sizeof *ids) != 0) {
        for (size_t i = 0; i < g.n_ids; i++) print_message("%d ", (int)g.ids[i]);
        fail_msg("other ids: %s", text);
    }
    if (fabs((double)g.score - json_number_value(json_object_get(c, "score"))) > 2e-4)
        fail_msg("score %g: %s", (double)g.score, text);
    free(text);
    free(eos);
    pm_generated_free(&g);
    test_close(&o);
}

static void check_beams(const char *spec, size_t step) {
    pm_device *d = test_need_device(spec);
    json_t *root = json_load_file(PM_SOURCE_DIR "/tests/data/beam_cases.json", 0, NULL);
    assert_true(json_array_size(root) >= 50);
    for (size_t i = 0; i < json_array_size(root); i += step) check_beam_case(d, json_array_get(root, i));
    json_decref(root);
    pm_device_close(d);
}

static void test_beams_cpu(void **state) {
    (void)state, check_beams("cpu", 1);
}
static void test_beams_vulkan(void **state) {
    (void)state, check_beams(test_device(), 6);
}

/* ---- sampling ---- */

static void test_sampling_seeds(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
    const int32_t prompt[3] = {5, 9, 2};
    pm_generate_options options = {
        .max_new = 20, .sample = true, .temperature = 1.5f, .seed = 3, .ignore_eos = true};
    pm_generated a, b, greedy, top1;
    assert_ok(pm_generate(o.s, prompt, 3, &options, &a));
    assert_ok(pm_generate(o.s, prompt, 3, &options, &b));
    assert_memory_equal(a.ids, b.ids, a.n_ids * sizeof *a.ids);
    pm_generated_free(&b);
    options.seed = 4;
    assert_ok(pm_generate(o.s, prompt, 3, &options, &b));
    assert_memory_not_equal(a.ids, b.ids, a.n_ids * sizeof *a.ids);
    options.top_k = 1;
    assert_ok(pm_generate(o.s, prompt, 3, &options, &top1));
    options.sample = false;
    assert_ok(pm_generate(o.s, prompt, 3, &options, &greedy));
    assert_memory_equal(top1.ids, greedy.ids, greedy.n_ids * sizeof *greedy.ids);
    pm_generated *all[] = {&a, &b, &greedy, &top1};
    for (size_t i = 0; i < PM_COUNT(all); i++) pm_generated_free(all[i]);
    test_close(&o);
    pm_device_close(d);
}

/* ---- the cache ---- */

/* Fed in any pieces, with the cache growing or not, the logits are the same. */
static void test_pieces(void **state) {
    (void)state;
    static const size_t cuts[][5] = {{40}, {1, 39}, {7, 1, 32}, {16, 16, 8}, {3, 5, 9, 22, 1}};
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("llama", NULL).s);
    float first[61], logits[61];
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = 3 + i * 7 % 58;
    for (size_t c = 0; c < PM_COUNT(cuts); c++)
        for (int64_t expected = 1; expected <= 64; expected *= 64) {
            pm_decoder decoder;
            size_t at = 0;
            assert_ok(pm_decoder_open(&decoder, o.s, 1, expected));
            for (size_t i = 0; i < 5 && cuts[c][i]; at += cuts[c][i++])
                assert_ok(pm_decoder_feed(&decoder, ids + at, cuts[c][i]));
            assert_int_equal(at, 40);
            assert_int_equal(decoder.cache, 64);
            assert_ok(pm_decoder_logits(&decoder, c + (size_t)expected == 1 ? first : logits));
            for (int i = 0; c + (size_t)expected > 1 && i < 61; i++)
                assert_true(fabsf(first[i] - logits[i]) < 1e-4f);
        }
    test_close(&o);
    pm_device_close(d);
}

/* A batch of sequences: each goes its own way, and reordering moves what was seen. */
static void test_reorder(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
    const int32_t ids[6] = {5, 9, 30, 31, 40, 7}, next[3] = {8, 8, 8}, order[3] = {2, 0, 0};
    float alone[3][61], together[3][61];
    pm_decoder one, batch;
    for (int i = 0; i < 3; i++) {
        assert_ok(pm_decoder_open(&one, o.s, 1, 16));
        assert_ok(pm_decoder_feed(&one, ids + order[i] * 2, 2));
        assert_ok(pm_decoder_feed(&one, next, 1));
        assert_ok(pm_decoder_logits(&one, alone[i]));
    }
    assert_ok(pm_decoder_open(&batch, o.s, 3, 16));
    assert_ok(pm_decoder_feed(&batch, ids, 2));
    assert_ok(pm_decoder_reorder(&batch, order));
    assert_ok(pm_decoder_feed(&batch, next, 1));
    assert_ok(pm_decoder_logits(&batch, together[0]));
    for (int i = 0; i < 3 * 61; i++)
        assert_true(fabsf(alone[i / 61][i % 61] - together[i / 61][i % 61]) < 1e-4f);
    test_close(&o);
    pm_device_close(d);
}

/* ---- ends and errors ---- */

static bool stop_after_three(void *user, int32_t id) {
    (void)id;
    return ++*(int *)user < 3;
}

static void test_ends(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("gpt2");
    const int32_t prompt[2] = {5, 9};
    test_session o = test_open_on(d, folder.s);
    pm_generated g;
    assert_ok(pm_generate(o.s, prompt, 2, &(pm_generate_options){.ignore_eos = true}, &g));
    assert_int_equal(g.n_ids, 65); /* 64 positions, and the last id needs none */
    int32_t fifth = g.ids[6];
    size_t at = 2;
    while (g.ids[at] != fifth) at++;
    pm_generated_free(&g);
    int calls = 0;
    assert_ok(pm_generate(
        o.s, prompt, 2,
        &(pm_generate_options){.on_token = stop_after_three, .user = &calls, .ignore_eos = true}, &g));
    assert_int_equal(g.n_ids, 5);
    pm_generated_free(&g);
    test_close(&o);
    char eos[64];
    snprintf(eos, sizeof eos, "[60,%d]", (int)fifth);
    test_edit_config(&folder, "eos_token_id", eos);
    o = test_open_on(d, folder.s);
    assert_ok(pm_generate(o.s, prompt, 2, NULL, &g));
    assert_true(g.n_ids <= at + 1 && (g.ids[g.n_ids - 1] == fifth || g.ids[g.n_ids - 1] == 60));
    pm_generated_free(&g);
    test_close(&o);
    pm_device_close(d);
}

/* Beams feed the prompt before the meter starts, and each later id but the last. */
static void test_beam_meter(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
    pm_generate_options options = {.max_new = 5, .n_beams = 2, .ignore_eos = true};
    pm_generated g;
    assert_ok(pm_generate(o.s, (int32_t[]){5, 9, 2}, 3, &options, &g));
    assert_int_equal(g.n_ids, 8);
    assert_int_equal(g.decode_steps, 4);
    assert_true(g.prompt_ns > 0 && g.first_token_ns > 0);
    pm_generated_free(&g);
    test_close(&o);
    pm_device_close(d);
}

/* ---- logits that are no numbers ---- */

static float make_nan(float x, size_t i) {
    (void)x, (void)i;
    return NAN;
}
static float make_first_row_nan(float x, size_t i) {
    return i < 32 ? NAN : x;
}

/* None finite: every search says so. A single one that is not is passed over by every search. */
static void test_no_numbers(void **state) {
    (void)state;
    static const pm_generate_options searches[] = {
        {.max_new = 3}, {.max_new = 3, .n_beams = 2}, {.max_new = 3, .sample = true, .top_k = 1}};
    pm_device *d = test_need_device("cpu");
    test_path none = test_copy_model("gpt2"), one = test_copy_model("llama");
    test_edit_tensor(&none, "transformer.ln_f.bias", make_nan);
    test_edit_tensor(&one, "lm_head.weight", make_first_row_nan);
    test_session a = test_open_on(d, none.s), b = test_open_on(d, one.s);
    for (size_t i = 0; i < PM_COUNT(searches); i++) {
        pm_generated g;
        assert_int_equal(pm_generate(a.s, (int32_t[]){5, 9}, 2, &searches[i], &g), PM_ERR_OTHER);
        assert_string_equal(pm_error_text(), "generation: none of 61 logits is a finite number");
        assert_ok(pm_generate(b.s, (int32_t[]){5, 9}, 2, &searches[i], &g));
        for (size_t k = 2; k < g.n_ids; k++) assert_true(g.ids[k] > 0);
        pm_generated_free(&g);
    }
    test_close(&a);
    test_close(&b);
    pm_device_close(d);
}

/* ---- long contexts ---- */

/* The tables of positions are as long as the programs need them, not as the model could be. */
static void test_long_context(void **state) {
    (void)state;
    test_path folder = test_copy_model("llama");
    pm_device *d = test_need_device("cpu");
    pm_device_stats stats;
    pm_generated g, expected;
    test_session plain = test_open_on(d, test_reference("llama", NULL).s);
    assert_ok(pm_generate(plain.s, (int32_t[]){5, 9}, 2,
                          &(pm_generate_options){.max_new = 40, .ignore_eos = true}, &expected));
    test_close(&plain);
    test_edit_config(&folder, "max_position_embeddings", "131072");
    test_session o = test_open_on(d, folder.s);
    assert_ok(pm_generate(o.s, (int32_t[]){5, 9}, 2,
                          &(pm_generate_options){.max_new = 40, .ignore_eos = true}, &g));
    assert_memory_equal(g.ids, expected.ids, g.n_ids * sizeof *g.ids);
    pm_device_get_stats(d, &stats);
    assert_true(stats.store_bytes < 1 << 20);
    pm_generated_free(&g);
    pm_generated_free(&expected);
    test_close(&o);
    pm_device_get_stats(d, &stats);
    assert_int_equal(stats.store_bytes, 0);
    pm_device_close(d);
}

/* ---- encoder-decoders without special ids ---- */

static void test_decoder_start(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("transformer");
    pm_generate_options options = {.max_new = 6};
    pm_generated a, b;
    pm_attention map;
    test_session o = test_open_on(d, folder.s);
    const pm_attend_options encoder = {.ids = (int32_t[]){5, 9, 3}, .n_ids = 3, .map = "encoder"};
    assert_ok(pm_session_attend(o.s, &encoder, &map)); /* needs no output */
    assert_true(map.n_queries == 3 && map.n_keys == 3);
    pm_attention_free(&map);
    assert_int_equal(pm_session_set_decoder_start(o.s, 61), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "id 61"));
    assert_ok(pm_session_set_decoder_start(o.s, 1));
    assert_ok(pm_generate(o.s, (int32_t[]){5, 9}, 2, &options, &a));
    test_close(&o);
    test_edit_config(&folder, "decoder_start_token_id", "1");
    o = test_open_on(d, folder.s);
    assert_ok(pm_generate(o.s, (int32_t[]){5, 9}, 2, &options, &b));
    assert_int_equal(a.n_ids, b.n_ids);
    assert_memory_equal(a.ids, b.ids, a.n_ids * sizeof *a.ids);
    pm_generated_free(&a);
    pm_generated_free(&b);
    test_close(&o);
    o = test_open_on(d, test_reference("gpt2", NULL).s);
    assert_int_equal(pm_session_set_decoder_start(o.s, 1), PM_ERR_USAGE);
    test_close(&o);
    pm_device_close(d);
}

static void expect_usage(test_session *o, const int32_t *ids, size_t n, pm_generate_options options,
                         const char *word) {
    pm_generated g;
    assert_int_equal(pm_generate(o->s, ids, n, &options, &g), PM_ERR_USAGE);
    assert_null(g.ids);
    if (!strstr(pm_error_text(), word)) fail_msg("\"%s\" is not in: %s", word, pm_error_text());
}

static void test_errors(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
    int32_t ids[65] = {5, 61, -7};
    const char *stop = "x";
    expect_usage(&o, ids, 2, (pm_generate_options){0}, "id 61 at 1, expected 0..60");
    expect_usage(&o, ids + 2, 1, (pm_generate_options){0}, "id -7");
    memset(ids, 0, sizeof ids);
    expect_usage(&o, ids, 65, (pm_generate_options){0}, "65 ids");
    expect_usage(&o, ids, 1, (pm_generate_options){.max_new = -1}, "max_new: -1");
    expect_usage(&o, ids, 1, (pm_generate_options){.sample = true, .top_p = 1.5f}, "top_p: 1.5");
    expect_usage(&o, ids, 1, (pm_generate_options){.sample = true, .temperature = -1}, "temperature: -1");
    expect_usage(&o, ids, 1, (pm_generate_options){.n_beams = -2}, "n_beams: -2");
    expect_usage(&o, ids, 1, (pm_generate_options){.n_beams = 2, .sample = true}, "n_beams: 2");
    expect_usage(&o, ids, 1, (pm_generate_options){.stops = &stop, .n_stops = 1}, "tokenizer");
    test_close(&o);
    o = test_open_on(d, test_reference("bert-mlm", NULL).s);
    expect_usage(&o, ids, 1, (pm_generate_options){0}, "no decoder");
    test_close(&o);
    o = test_open_on(d, test_reference("transformer", NULL).s);
    expect_usage(&o, ids, 1, (pm_generate_options){0}, "decoder_start_token_id");
    char *text;
    assert_int_equal(pm_translate(o.s, "one", NULL, &text), PM_ERR_USAGE);
    test_close(&o);
    pm_device_close(d);
}

/* ---- memory ---- */

/* Everything between opening a device and the last new id: with one beam the decode loop is among it. */
static pm_status generate_and_close(void *user) {
    pm_device *d = NULL;
    pm_model *m = NULL;
    pm_session *session = NULL;
    pm_generated g = {0};
    int n_beams = *(int *)user;
    pm_generate_options options = {.max_new = n_beams > 1 ? 2 : 4,
                                   .ignore_eos = true,
                                   .n_beams = n_beams,
                                   .repetition_penalty = n_beams > 1 ? 1 : 1.1f};
    pm_status s = pm_device_open("reference", NULL, &d);
    if (s == PM_OK) s = pm_model_open(test_reference("llama", NULL).s, &m);
    if (s == PM_OK) s = pm_session_open(m, d, &session);
    if (s == PM_OK) s = pm_generate(session, (int32_t[]){5, 9}, 2, &options, &g);
    pm_generated_free(&g);
    pm_session_close(session);
    pm_model_close(m);
    pm_device_close(d);
    return s;
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (int beams = 1; beams <= 2; beams++)
        assert_true(test_every_recovery(generate_and_close, &beams) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy_reference),
        cmocka_unit_test(test_greedy_cpu),
        cmocka_unit_test(test_greedy_vulkan),
        cmocka_unit_test(test_beams_cpu),
        cmocka_unit_test(test_beams_vulkan),
        cmocka_unit_test(test_sampling_seeds),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_beam_meter),
        cmocka_unit_test(test_no_numbers),
        cmocka_unit_test(test_long_context),
        cmocka_unit_test(test_decoder_start),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_out_of_memory),
    };
    return run_all_tests(tests);
}
