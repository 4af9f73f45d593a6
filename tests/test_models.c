/* Every model family against PyTorch: each tensor of reference.safetensors within 1e-4 (norm of the
 * difference over norm), with every output and with the final ones alone, on the reference executor, the CPU
 * and the Vulkan device. The tiny set is in tests/data, the small one in ../shared. */
#include "tests/support_compare.h"
#include "tests/support_models.h"

#include <unistd.h>

/* Rows that several people add to. */
/* clang-format off */
static const char *const families[] = {
    "transformer", "gpt2", "llama", "llama3-rope",
    "bert-base", "bert-mlm", "bert-classify", "bert-ner", "distilbert", "roberta", "modernbert",
    "xlm-roberta", "camembert", "electra", "albert", "mpnet", "sentence-mean", "longformer",
    "mistral-window", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "olmo2", "phi3",
    "qwen3-moe", "mixtral", "gpt-oss",
    "gpt-neox", "opt", "bloom", "falcon",
    "bart", "m2m100", "marian",
    "t5", "t5-v1.1",
    "whisper", "vit", "clip",
    "transfo-xl",
};
/* Other heads on layers that those above have: on Vulkan, whose drivers take long, with the final outputs alone. */
static const char *const heads[] = {
    "bert-answer", "bert-regress", "distilbert-base", "distilbert-mlm", "distilbert-ner", "distilbert-answer",
    "roberta-base", "roberta-classify", "xlm-roberta-classify", "xlm-roberta-ner", "camembert-ner",
    "electra-detect", "electra-mlm", "electra-classify", "electra-ner", "albert-mlm", "albert-classify", "albert-ner",
    "mpnet-mlm", "mpnet-classify", "mpnet-ner", "modernbert-base", "modernbert-classify", "modernbert-ner",
    "vit-gray-odd", "deit", "dinov2", "dinov2-swiglu", "dinov2-registers", "clip-eos2", "clip-text-proj",
    "sentence-cls", "sentence-last", "sentence-many",
    "gemma3-both", "llama-classify",
    "longformer-globals", "longformer-none", "longformer-short", "longformer-classify", "longformer-ner",
    "longformer-answer",
};
/* clang-format on */

/* ---- running ---- */

/* What was generated from the first n ids of input_ids (0: all) is the reference's array `name`, where it has one. */
static void check_ids(pm_session *s, const pm_tensors *reference, const char *name, size_t n,
                      const pm_generate_options *options) {
    const pm_array *expected = pm_tensors_get(reference, name),
                   *source = pm_tensors_get(reference, "in.input_ids");
    if (!expected) return;
    int32_t prompt[64];
    pm_generated g;
    if (!n) n = (size_t)source->dims[1];
    assert_true(n <= PM_COUNT(prompt));
    for (size_t i = 0; i < n; i++) prompt[i] = (int32_t)((const int64_t *)source->data)[i];
    assert_ok(pm_generate(s, prompt, n, options, &g));
    if (g.n_ids != (size_t)expected->dims[1]) fail_msg("%s: %zu ids", name, g.n_ids);
    for (size_t i = 0; i < g.n_ids; i++) {
        int64_t id = ((const int64_t *)expected->data)[i];
        if (g.ids[i] != id) fail_msg("%s: id %zu is %d, not %d", name, i, (int)g.ids[i], (int)id);
    }
    pm_generated_free(&g);
}

static void check_generation(pm_session *s, const pm_tensors *reference) {
    const pm_generate_options greedy = {.max_new = 12, .ignore_eos = true}, translation = {.max_new = 10};
    const pm_generate_options beams = {.max_new = 10, .n_beams = 4, .early_stopping = 1};
    check_ids(s, reference, "out.greedy_from_7", 7, &greedy);
    check_ids(s, reference, "out.greedy", 0, &translation);
    check_ids(s, reference, "out.beam4", 0, &beams);
}

/* first: the want to begin with, 0 is every output. */
static void check_family(pm_device *d, const char *folder, const char *name, size_t first) {
    char path[2 * TEST_PATH], reference_path[3 * TEST_PATH], what[TEST_PATH];
    pm_tensors *reference, *set;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(reference_path, sizeof reference_path, "%s/%s/reference.safetensors", folder, name);
    test_session o = test_open_on(d, path);
    assert_ok(pm_tensors_read(reference_path, &reference));
    static const char *const wants[] = {"", "final"};
    for (size_t i = first; i < PM_COUNT(wants); i++) {
        snprintf(what, sizeof what, "%s, want \"%s\"", name, wants[i]);
        assert_ok(pm_session_run(o.s, reference, wants[i], &set));
        assert_true(test_compare(what, set, reference, i == 0) >= 1);
        pm_tensors_free(set);
    }
    check_generation(o.s, reference);
    pm_program_figures figures;
    assert_ok(pm_session_figures(o.s, &figures));
    assert_true(figures.n_dispatches > 0 && figures.arena_bytes >= figures.lower_bound_bytes);
    pm_tensors_free(reference);
    test_close(&o);
}

/* The small set has not all of the tiny one's families, and one that nobody can agree with. */
static bool is_small(const char *folder, const char *name) {
    char path[2 * TEST_PATH];
    snprintf(path, sizeof path, "%s/%s/config.json", folder, name);
    if (access(path, R_OK) != 0) return false;
    if (strcmp(name, "marian") != 0) return true;
    print_message("skipped: small/marian: its outputs are of random positions, which are not in its files\n");
    return false;
}

static void check_device(const char *spec) {
    pm_device *d = test_open_device(spec);
    const char *shared = test_shared_dir();
    char small[TEST_PATH];
    if (!d) skip_because("no device %s: %s", spec, pm_error_text());
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        check_family(d, PM_SOURCE_DIR "/tests/data/reference", families[i], 0);
        snprintf(small, sizeof small, "%s/reference/small", shared ? shared : "");
        if (shared && is_small(small, families[i])) check_family(d, small, families[i], 0);
    }
    size_t first = strcmp(spec, "reference") != 0 && strcmp(spec, "cpu") != 0;
    for (size_t i = 0; i < PM_COUNT(heads); i++)
        check_family(d, PM_SOURCE_DIR "/tests/data/reference", heads[i], first);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_on_reference(void **state) {
    (void)state, check_device("reference");
}
static void test_on_cpu(void **state) {
    (void)state, check_device("cpu");
}
static void test_on_vulkan(void **state) {
    (void)state, check_device(test_device());
}

/* Two models with tensors of the same names on one device keep theirs apart, and nothing stays in the store.
 */
static void test_two_models(void **state) {
    (void)state;
    pm_device *d;
    test_session o[2];
    pm_tensors *reference, *set;
    test_path paths[2] = {test_reference("bert-mlm", NULL), test_reference("bert-ner", NULL)};
    assert_ok(pm_device_open("cpu", NULL, &d));
    for (int i = 0; i < 2; i++) o[i] = test_open_on(d, paths[i].s);
    assert_ok(pm_tensors_read(test_join(&paths[0], "reference.safetensors").s, &reference));
    assert_ok(pm_session_run(o[0].s, reference, "", &set));
    test_compare("bert-mlm beside bert-ner", set, reference, true);
    pm_tensors_free(set);
    pm_tensors_free(reference);
    for (int i = 0; i < 2; i++) test_close(&o[i]);
    pm_device_stats stats;
    pm_device_get_stats(d, &stats);
    assert_int_equal(stats.store_bytes, 0);
    pm_device_close(d);
}

/* Each family's programs on the CPU against the reference executor (test_verify.c plants errors), and none is left out. */
static void test_verify(void **state) {
    (void)state;
    static const char *const programs[] = {"all outputs", "forward", "encode", "prefill", "decode"};
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        pm_verify_report report;
        bool seen[PM_COUNT(programs)] = {false};
        pm_model_info info;
        test_session o = test_open(test_reference(families[i], NULL).s, "cpu");
        assert_ok(pm_session_verify(o.s, NULL, NULL, &report));
        pm_model_get_info(o.m, &info);
        test_close(&o);
        assert_true(report.first_out < 0 && report.bit_equal);
        for (size_t row = 0; row < report.n_rows; row++)
            for (size_t k = 0; k < PM_COUNT(programs); k++)
                seen[k] |= strcmp(report.rows[row].program, programs[k]) == 0;
        bool decoder = info.decoder, seq2seq = info.encoder_decoder;
        assert_true(seen[0] && seen[1] && seen[2] == seq2seq && seen[3] == decoder && seen[4] == decoder);
        pm_verify_report_free(&report);
    }
}

static void test_dump(void **state) {
    (void)state;
    static const char *const stages[] = {"built", "fused", "planned", "program"}, *const formats[] = {
                                                                                      "text", "json", "dot"};
    static const char *const which[] = {"forward", "prefill", "decode", "encode"};
    pm_model *m;
    assert_ok(pm_model_open(test_reference("transformer", NULL).s, &m));
    for (size_t i = 0; i < 4 * 4 * 3; i++) {
        pm_dump_options o = {.stage = stages[i % 4], .which = which[i / 4 % 4], .format = formats[i / 16]};
        char *text;
        if (i / 16 == 2 && i % 4 > 1) continue; /* graphs alone have pictures */
        assert_ok(pm_model_dump(m, &o, &text));
        assert_true(strlen(text) > 100);
        if (i % 4 == 1) assert_non_null(strstr(text, "layer_norm"));
        if (i % 4 == 0) assert_null(strstr(text, "layer_norm"));
        pm_release(text);
    }
    char *none;
    assert_int_equal(pm_model_dump(m, &(pm_dump_options){.stage = "cooked"}, &none), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "cooked"));
    assert_int_equal(pm_model_dump(m, &(pm_dump_options){.stage = "built", .which = "later"}, &none),
                     PM_ERR_USAGE);
    pm_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_reference), cmocka_unit_test(test_on_cpu), cmocka_unit_test(test_on_vulkan),
        cmocka_unit_test(test_two_models),   cmocka_unit_test(test_verify), cmocka_unit_test(test_dump),
    };
    return run_all_tests(tests);
}
