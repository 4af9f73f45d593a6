#include "tests/support_tokenizer.h"

#include <stdlib.h>

test_path test_tokenizer_folder(const char *name) {
    test_path p;
    snprintf(p.s, sizeof p.s, "%s/tests/data/tokenizers/%s", PM_SOURCE_DIR, name);
    return p;
}

json_t *test_json(const test_path *path) {
    json_error_t error;
    json_t *json = json_load_file(path->s, JSON_ALLOW_NUL, &error);
    if (!json) fail_msg("%s: %s", path->s, error.text);
    return json;
}

void test_write_json(const test_path *path, const json_t *json) {
    if (json_dump_file(json, path->s, 0) != 0) fail_msg("%s: cannot be written", path->s);
}

static int32_t *read_ids(const json_t *ids) {
    size_t n = json_array_size(ids);
    int32_t *out = malloc((n + 1) * sizeof *out);
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    return out;
}

void test_ids(const pm_tokenizer *t, const char *name, const json_t *text, const json_t *ids, bool special) {
    pm_encoding e;
    pm_encode_options o = {.add_special = special, .apply_length = true};
    int32_t *want = read_ids(ids);
    assert_ok(pm_tokenizer_encode(t, json_string_value(text), json_string_length(text), &o, &e));
    if (e.n != json_array_size(ids))
        fail_msg("%s: \"%s\": %zu tokens, not %zu", name, json_string_value(text), e.n, json_array_size(ids));
    for (size_t i = 0; i < e.n; i++)
        if (e.tokens[i].id != want[i])
            fail_msg("%s: \"%s\": token %zu is %d, not %d", name, json_string_value(text), i,
                     (int)e.tokens[i].id, (int)want[i]);
    free(want);
    pm_encoding_free(&e);
}

/* What a stream gives, checked to be whole characters at every step. */
static pm_text stream(const pm_tokenizer *t, const int32_t *ids, size_t n) {
    pm_text_stream *s;
    pm_text all = {0};
    const char *part;
    size_t bytes;
    assert_ok(pm_text_stream_open(t, false, &s));
    for (size_t i = 0; i <= n; i++) {
        assert_ok(i < n ? pm_text_stream_add(s, ids[i], &part, &bytes)
                        : pm_text_stream_end(s, &part, &bytes));
        pm_text_add_bytes(&all, part, bytes);
        json_t *whole = json_stringn(part, bytes);
        assert_non_null(whole);
        json_decref(whole);
    }
    pm_text_stream_close(s);
    return all;
}

void test_decoded(const pm_tokenizer *t, const char *name, const json_t *ids, const json_t *text) {
    int32_t *v = read_ids(ids);
    size_t n = json_array_size(ids), bytes, want = json_string_length(text);
    char *got;
    assert_ok(pm_tokenizer_decode(t, v, n, false, &got, &bytes));
    if (bytes != want || memcmp(got, json_string_value(text), want) != 0)
        fail_msg("%s: \"%s\" came back as \"%s\"", name, json_string_value(text), got);
    pm_text all = stream(t, v, n);
    if (all.length != bytes || (bytes && memcmp(all.data, got, bytes) != 0))
        fail_msg("%s: \"%s\" streams as \"%s\"", name, got, all.data);
    pm_text_free(&all);
    pm_release(got);
    free(v);
}

void test_cases(const pm_tokenizer *t, const test_path *folder) {
    test_path path = test_join(folder, "cases.json");
    json_t *cases = test_json(&path);
    assert_true(json_array_size(cases) > 20);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *text = json_object_get(c, "text");
        test_ids(t, folder->s, text, json_object_get(c, "ids"), false);
        test_ids(t, folder->s, text, json_object_get(c, "ids_special"), true);
        test_decoded(t, folder->s, json_object_get(c, "ids"), json_object_get(c, "decoded"));
    }
    json_decref(cases);
}
