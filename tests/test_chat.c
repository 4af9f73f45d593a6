/* Chat templates: every prompt is what Jinja made of the same template (data/make_chat_cases.py), or a refusal. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "pumice/chat.h"
#include "tests/support.h"

enum { MAX_MESSAGES = 8 };

/* @FORMAT@ in what is expected is today. */
static void put_today(const char *text, char *out, size_t room) {
    const char *at = strchr(text, '@'), *end = at ? strchr(at + 1, '@') : NULL;
    if (!end) {
        snprintf(out, room, "%s", text);
        return;
    }
    char format[32], day[64];
    time_t now = time(NULL);
    struct tm local;
    snprintf(format, sizeof format, "%.*s", (int)(end - at - 1), at + 1);
    assert_non_null(localtime_r(&now, &local));
    assert_true(strftime(day, sizeof day, format, &local) > 0);
    snprintf(out, room, "%.*s%s%s", (int)(at - text), text, day, end + 1);
}

static const char *string_of(const json_t *row, const char *key) {
    return json_string_value(json_object_get(row, key));
}

static bool check_case(const json_t *row) {
    const json_t *list = json_object_get(row, "messages");
    pm_chat_message messages[MAX_MESSAGES];
    size_t n = json_array_size(list);
    char expected[4096], *text = NULL;
    assert_true(n > 0 && n <= MAX_MESSAGES);
    for (size_t i = 0; i < n; i++) {
        const json_t *m = json_array_get(list, i);
        messages[i] = (pm_chat_message){json_string_value(json_array_get(m, 0)),
                                        json_string_value(json_array_get(m, 1))};
    }
    pm_chat_template t = {string_of(row, "template"), string_of(row, "bos"), string_of(row, "eos")};
    pm_status s = pm_chat_render_template(&t, messages, n, &text);
    const char *want = string_of(row, "expected");
    put_today(want ? want : "", expected, sizeof expected);
    bool right = want ? s == PM_OK && !strcmp(text, expected) : s == PM_ERR_USAGE || s == PM_ERR_FILE;
    if (!right)
        printf("%s, %zu messages\n  expected: %s\n  got:      %s\n", string_of(row, "name"), n,
               want ? expected : "a refusal", s == PM_OK ? text : pm_error_text());
    pm_release(text);
    return right;
}

static void test_cases(void **state) {
    (void)state;
    json_error_t error;
    json_t *cases = json_load_file(PM_SOURCE_DIR "/tests/data/chat_cases.json", 0, &error);
    size_t wrong = 0, i;
    const json_t *row;
    assert_non_null(cases);
    assert_true(json_array_size(cases) > 50);
    json_array_foreach(cases, i, row) wrong += !check_case(row);
    json_decref(cases);
    assert_int_equal(wrong, 0);
}

static void test_refusals(void **state) {
    (void)state;
    char *text;
    pm_chat_template t = {"{{'<|im_start|>' + message['role']}}", "<s>", "</s>"};
    pm_chat_message two[] = {{"user", "a"}, {"system", "b"}}, odd = {"tool", "a"};
    assert_int_equal(pm_chat_render_template(&t, two, 0, &text), PM_ERR_USAGE);
    assert_int_equal(pm_chat_render_template(&t, two, 2, &text), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "message 2"));
    assert_int_equal(pm_chat_render_template(&t, &odd, 1, &text), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "tool"));
    t.text = "{{ messages }}";
    assert_int_equal(pm_chat_render_template(&t, two, 1, &text), PM_ERR_FILE);
    assert_non_null(strstr(pm_error_text(), "docs/chat.md"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
