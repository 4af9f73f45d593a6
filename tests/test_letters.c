/* Spelling models, whose vocabularies are two texts of config.json: letters in, letters out, on the axes of maps, and what is
 * wrong with them. A trained one is in test_trained.c. */
#include "pumice/attend.h"
#include "tests/support_memory.h"
#include "tests/support_models.h"

static const char graphemes[] = "\"____abcdefghijklmnopqrstuvwxyz\\u00df\"",
                  phonemes[] = "\"____ABCDEFGHIJKLMNOPQRSTUVWXYZ\\u0283\"";

static test_path make_folder(const char *source, const char *target) {
    test_path folder = test_copy_model("bart");
    test_edit_config(&folder, "grapheme_chars", source);
    test_edit_config(&folder, "phoneme_chars", target);
    return folder;
}

static void test_ids(void **state) {
    (void)state;
    static const int32_t expected[] = {1, 6, 4, 5, 30, 2}, output[] = {2, 1, 4, 30, 5, 2};
    test_path folder = make_folder(graphemes, phonemes);
    pm_model *m;
    pm_model_info info;
    int32_t *ids;
    size_t n;
    char *text;
    assert_ok(pm_model_open(folder.s, &m));
    pm_model_get_info(m, &info);
    assert_true(info.has_tokenizer);
    assert_ok(pm_model_encode(m, "cab\xC3\x9F", &ids, &n));
    assert_int_equal(n, PM_COUNT(expected));
    assert_memory_equal(ids, expected, sizeof expected);
    pm_release(ids);
    assert_ok(pm_model_decode(m, output, PM_COUNT(output), &text));
    assert_string_equal(text, "A\xCA\x83"
                              "B");
    pm_release(text);
    assert_int_equal(pm_model_encode(m, "ca\xC3\xA9", &ids, &n), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "the letter \"\xC3\xA9\""));
    assert_int_equal(pm_model_encode(m, "a_b", &ids, &n), PM_ERR_USAGE); /* its places are special tokens' */
    assert_int_equal(pm_model_encode(m, "", &ids, &n), PM_ERR_USAGE);
    assert_int_equal(pm_model_encode(m, "a\xC3", &ids, &n), PM_ERR_USAGE);
    assert_int_equal(pm_model_decode(m, (int32_t[]){31}, 1, &text), PM_ERR_USAGE);
    pm_model_close(m);
}

static void test_axes(void **state) {
    (void)state;
    test_path folder = make_folder(graphemes, phonemes);
    pm_attention a;
    static const char *const keys[] = {"<bos>", "c", "a", "\xC3\x9F", "<eos>"};
    test_session o = test_open(folder.s, "cpu");
    assert_ok(pm_session_attend(o.s, &(pm_attend_options){.text = "ca\xC3\x9F", .map = "encoder"}, &a));
    assert_int_equal(a.n_keys, PM_COUNT(keys));
    assert_int_equal(a.n_queries, PM_COUNT(keys));
    for (size_t i = 0; i < PM_COUNT(keys); i++) assert_string_equal(a.key.labels[i], keys[i]);
    pm_attention_free(&a);
    test_close(&o);
}

static void test_wrong(void **state) {
    (void)state;
    static const struct {
        const char *source, *target, *words[3];
    } rows[] = {
        {"\"____\"", phonemes, {"grapheme_chars has 4 characters"}},
        {graphemes, "\"\"", {"phoneme_chars has 0 characters"}},
        {graphemes, "7", {"phoneme_chars is not a text"}},
        {"\"____0123456789012345678901234567890123456789012345678901234567890123456789\"",
         phonemes,
         {"grapheme_chars", "74 and 31"}},
    };
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = make_folder(rows[i].source, rows[i].target);
        test_expect_error(&folder, PM_ERR_FILE, rows[i].words);
    }
    test_path one = make_folder(graphemes, NULL); /* half of it is no tokenizer */
    pm_model *m;
    pm_model_info info;
    assert_ok(pm_model_open(one.s, &m));
    pm_model_get_info(m, &info);
    assert_false(info.has_tokenizer);
    pm_model_close(m);
}

static pm_status open_and_encode(void *user) {
    pm_model *m = NULL;
    int32_t *ids = NULL;
    size_t n;
    pm_status s = pm_model_open(user, &m);
    if (s == PM_OK) s = pm_model_encode(m, "abc", &ids, &n);
    pm_release(ids);
    pm_model_close(m);
    return s;
}

static void test_out_of_memory(void **state) {
    (void)state;
    test_path folder = make_folder(graphemes, phonemes);
    assert_true(test_every_allocation(open_and_encode, folder.s) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_axes),
                                       cmocka_unit_test(test_wrong), cmocka_unit_test(test_out_of_memory)};
    return run_all_tests(tests);
}
