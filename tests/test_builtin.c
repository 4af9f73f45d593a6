/* The built-in model: it opens by name, its words are read as its grammar reads them, held-out phrases come
 * out as the answer key has them, on the CPU and on the Vulkan device, and its attention maps are
 * distributions. */
#include "pumice/attend.h"
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>

#include "models/words.h"

#define MODEL "numbers-en-zh"

static bool open_builtin(pm_model **out) {
    if (!pm_model_builtin_name(0)) return false;
    assert_ok(pm_model_open(MODEL, out));
    return true;
}

static void test_opens(void **state) {
    (void)state;
    pm_model *m;
    pm_model_info info;
    if (!open_builtin(&m)) skip_because("no built-in model in this build");
    assert_string_equal(pm_model_builtin_name(0), MODEL);
    assert_null(pm_model_builtin_name(1));
    pm_model_get_info(m, &info);
    assert_string_equal(info.name, MODEL);
    assert_string_equal(info.task, "translate");
    assert_true(info.encoder_decoder && info.decoder && info.has_tokenizer);
    assert_true(info.weight_bytes < 2 * 1024 * 1024);
    assert_int_equal(info.eos_id, 2);
    assert_int_equal(info.decoder_start_id, 1);
    pm_model_close(m);
}

/* ---- words ---- */

static void expect_same_ids(const pm_model *m, const char *a, const char *b) {
    int32_t *ids[2];
    size_t n[2];
    assert_ok(pm_model_encode(m, a, &ids[0], &n[0]));
    assert_ok(pm_model_encode(m, b, &ids[1], &n[1]));
    assert_int_equal(n[0], n[1]);
    assert_memory_equal(ids[0], ids[1], n[0] * sizeof *ids[0]);
    assert_int_equal(ids[0][n[0] - 1], 2);
    pm_release(ids[0]);
    pm_release(ids[1]);
}

static void expect_bad_text(const pm_model *m, const char *text, const char *word) {
    int32_t *ids;
    size_t n;
    assert_int_equal(pm_model_encode(m, text, &ids, &n), PM_ERR_USAGE);
    assert_null(ids);
    if (!strstr(pm_error_text(), word)) fail_msg("\"%s\" is not in: %s", word, pm_error_text());
}

static void test_words(void **state) {
    (void)state;
    pm_model *m;
    char *text;
    if (!open_builtin(&m)) skip_because("no built-in model in this build");
    expect_same_ids(m, "Twenty-One,", "  twenty one");
    expect_same_ids(m, "seven O'Clock!", "seven o'clock");
    expect_same_ids(m, "'seven' (o'clock).", "seven o'clock");
    expect_same_ids(m, "one\ttwo\nthree", "one two three");
    expect_bad_text(m, "seven zebras", "zebras");
    expect_bad_text(m, " ,;- ", "no words");
    expect_bad_text(m, "", "no words");
    expect_bad_text(m, "<bos> seven", "bos");
    assert_ok(pm_model_decode(m, (int32_t[]){1, 2, 0, 3}, 4, &text));
    assert_string_equal(text, "");
    pm_release(text);
    assert_int_equal(pm_model_decode(m, (int32_t[]){4, 4000}, 2, &text), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "4000"));
    assert_ok(pm_model_token_label(m, 0, 2, &text));
    assert_string_equal(text, "<eos>");
    pm_release(text);
    assert_ok(pm_model_token_label(m, 0, 99999, &text));
    assert_string_equal(text, "99999");
    pm_release(text);
    pm_model_close(m);
}

/* A list that does not fit the model is refused. */
static void test_bad_lists(void **state) {
    (void)state;
    test_path folder = test_copy_model("transformer");
    const char *lines = "<pad>\n<bos>\n<eos>\n<unk>\none\n";
    test_write_file(test_join(&folder, "source.vocab.txt").s, lines, strlen(lines));
    test_write_file(test_join(&folder, "target.vocab.txt").s, lines, strlen(lines));
    test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"vocab.txt", "5", "53", NULL});
    test_write_file(test_join(&folder, "target.vocab.txt").s, "a\n", 2);
    test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"target.vocab.txt: has 1 lines", NULL});
}

/* ---- translating ---- */

/* A stop ends beams as it ends a greedy search. */
static void test_stops(void **state) {
    (void)state;
    const char *stop = "点";
    pm_model *m;
    pm_session *s;
    char *text;
    if (!open_builtin(&m)) skip_because("no built-in model in this build");
    pm_device *d = test_open_device("cpu");
    assert_ok(pm_session_open(m, d, &s));
    for (int beams = 1; beams <= 3; beams += 2) {
        pm_generate_options options = {.n_beams = beams, .stops = &stop, .n_stops = 1};
        assert_ok(pm_translate(s, "half past three", &options, &text));
        assert_string_equal(text, "三点");
        pm_release(text);
    }
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
}

enum { PHRASES = 200 };

static void read_phrases(char **texts, char **answers) {
    char line[1024];
    size_t n = 0;
    FILE *f = fopen(PM_SOURCE_DIR "/models/builtin/numbers_en_zh_heldout.tsv", "r");
    assert_non_null(f);
    for (; fgets(line, sizeof line, f); n++) {
        char *answer = strchr(line, '\t'), *end = answer ? strpbrk(answer + 1, "\t\n") : NULL;
        assert_non_null(end);
        assert_true(n < PHRASES);
        *answer++ = *end = 0;
        texts[n] = strdup(line);
        answers[n] = strdup(answer);
    }
    assert_int_equal(n, PHRASES);
    fclose(f);
}

/* at_once: lines of a batch; 1: each line alone. */
static void check_phrases(const char *spec, size_t at_once) {
    char *texts[PHRASES], *answers[PHRASES];
    pm_translation is[PHRASES];
    pm_model *m;
    pm_session *s;
    if (!pm_model_builtin_name(0)) skip_because("no built-in model in this build");
    pm_device *d = test_open_device(spec);
    if (!d) skip_because("no device %s: %s", spec, pm_error_text());
    assert_true(open_builtin(&m));
    read_phrases(texts, answers);
    assert_ok(pm_session_open(m, d, &s));
    for (size_t i = 0; i < PHRASES; i += at_once) {
        size_t n = i + at_once < PHRASES ? at_once : PHRASES - i;
        const char *lines[PHRASES];
        for (size_t k = 0; k < n; k++) lines[k] = texts[i + k];
        if (at_once == 1)
            assert_ok(pm_translate(s, lines[0], NULL, &is[i].text));
        else
            assert_ok(pm_translate_batch(s, lines, n, NULL, &is[i]));
    }
    for (size_t i = 0; i < PHRASES; i++) {
        if (!is[i].text || strcmp(is[i].text, answers[i]) != 0)
            fail_msg("%s: \"%s\" gave %s, expected %s", spec, texts[i], is[i].text, answers[i]);
        pm_release(is[i].text);
        free(texts[i]);
        free(answers[i]);
    }
    assert_string_equal(pm_device_messages(d), "");
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
}

static void test_phrases_cpu(void **state) {
    (void)state, check_phrases("cpu", 1);
}
static void test_phrases_vulkan(void **state) {
    (void)state, check_phrases(test_device(), 50);
}

static void test_translate_options(void **state) {
    (void)state;
    pm_model *m;
    pm_session *s;
    pm_device *d;
    char *text;
    const char *stop = "三";
    if (!open_builtin(&m)) skip_because("no built-in model in this build");
    assert_ok(pm_device_open("cpu", NULL, &d));
    assert_ok(pm_session_open(m, d, &s));
    assert_ok(pm_translate(s, "twelve thousand three hundred and five", &(pm_generate_options){.n_beams = 4},
                           &text));
    assert_string_equal(text, "一万二千三百零五");
    pm_release(text);
    assert_ok(pm_translate(s, "twelve thousand three hundred and five",
                           &(pm_generate_options){.stops = &stop, .n_stops = 1}, &text));
    assert_string_equal(text, "一万二千三");
    pm_release(text);
    assert_int_equal(pm_translate(s, "seven zebras", NULL, &text), PM_ERR_USAGE);
    assert_null(text);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
}

/* ---- attention ---- */

static void check_map(pm_session *s, const char *map, int64_t n_queries, int64_t n_keys) {
    pm_attention a;
    assert_ok(pm_session_attend(s, &(pm_attend_options){.text = "seven o'clock", .map = map}, &a));
    assert_int_equal(a.n_heads, 4);
    if (n_queries) assert_int_equal(a.n_queries, n_queries);
    if (n_keys) assert_int_equal(a.n_keys, n_keys);
    for (int64_t row = 0; row < a.n_layers * a.n_heads * a.n_queries; row++) {
        double sum = 0;
        for (int64_t k = 0; k < a.n_keys; k++) sum += (double)a.weights[row * a.n_keys + k];
        assert_true(fabs(sum - 1) < 1e-5);
    }
    if (n_keys == 3) {
        assert_string_equal(a.key.labels[0], "seven");
        assert_string_equal(a.key.labels[1], "o'clock");
        assert_string_equal(a.key.labels[2], "<eos>");
    }
    assert_string_equal(a.query.labels[0], n_queries == 3 ? "seven" : "<bos>");
    if (!map) assert_string_equal(a.text, "七点");
    pm_attention_free(&a);
}

static void test_attend(void **state) {
    (void)state;
    pm_model *m;
    pm_session *s;
    pm_device *d;
    pm_attention a;
    if (!open_builtin(&m)) skip_because("no built-in model in this build");
    assert_ok(pm_device_open("cpu", NULL, &d));
    assert_ok(pm_session_open(m, d, &s));
    check_map(s, NULL, 0, 3);
    check_map(s, "cross", 0, 3);
    check_map(s, "encoder", 3, 3);
    check_map(s, "decoder", 0, 0);
    pm_attend_options o = {.text = "seven", .map = "sideways"};
    assert_int_equal(pm_session_attend(s, &o, &a), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "sideways"));
    pm_session_close(s);
    pm_model_close(m);
    assert_ok(pm_model_open(test_reference("gpt2", NULL).s, &m));
    assert_ok(pm_session_open(m, d, &s));
    o = (pm_attend_options){.ids = (int32_t[]){5, 9, 30}, .n_ids = 3};
    assert_ok(pm_session_attend(s, &o, &a));
    assert_true(a.n_layers == 2 && a.n_queries == 3 && a.n_keys == 3 && a.weights[1] == 0);
    assert_string_equal(a.key.labels[2], "30");
    pm_attention_free(&a);
    assert_int_equal(pm_session_attend(s, &(pm_attend_options){.text = "seven"}, &a), PM_ERR_USAGE);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_stops),
        cmocka_unit_test(test_bad_lists),
        cmocka_unit_test(test_phrases_cpu),
        cmocka_unit_test(test_phrases_vulkan),
        cmocka_unit_test(test_translate_options),
        cmocka_unit_test(test_attend),
    };
    return run_all_tests(tests);
}
