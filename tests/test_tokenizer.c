/* Tokenizers against the Hugging Face library's results: four kinds as they are, then with every component that is supported. */
#include <time.h>

#include "tests/support_tokenizer.h"

#include <stdlib.h>

static const char *const bases[] = {"bpe", "llama", "unigram", "wordpiece"};

static void test_bases(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bases); i++) {
        test_path folder = test_tokenizer_folder(bases[i]);
        pm_tokenizer *t;
        assert_ok(pm_tokenizer_open(folder.s, &t));
        test_cases(t, &folder);
        pm_tokenizer_close(t);
    }
}

/* The base's tokenizer.json with parts set, in a folder of its own. */
static void write_variant(const json_t *v, const test_path *folder) {
    test_path base = test_tokenizer_folder(json_string_value(json_object_get(v, "base")));
    test_path from = test_join(&base, "tokenizer.json"), to = test_join(folder, "tokenizer.json");
    json_t *t = test_json(&from), *value;
    const char *key;
    json_object_foreach(json_object_get(v, "set"), key, value) {
        if (!strcmp(key, "added_tokens"))
            json_array_extend(json_object_get(t, key), value);
        else if (!strcmp(key, "model"))
            json_object_update(json_object_get(t, key), value);
        else
            json_object_set(t, key, value);
    }
    test_write_json(&to, t);
    json_decref(t);
}

static void check_variant(const pm_tokenizer *t, const char *name, const json_t *c) {
    const json_t *text = json_object_get(c, "text"), *pair = json_object_get(c, "pair");
    const json_t *ids = json_object_get(c, "ids"), *spans = json_object_get(c, "spans"),
                 *decoded = json_object_get(c, "decoded");
    pm_encoding e;
    pm_encode_options o = {.add_special = true,
                           .apply_length = true,
                           .pair = json_string_value(pair),
                           .pair_bytes = json_string_length(pair)};
    assert_ok(pm_tokenizer_encode(t, json_string_value(text), json_string_length(text), &o, &e));
    if (e.n != json_array_size(ids)) fail_msg("%s: %zu tokens, not %zu", name, e.n, json_array_size(ids));
    for (size_t i = 0; i < e.n; i++) {
        const pm_token *k = &e.tokens[i];
        const json_t *span = json_array_get(spans, i);
        if (k->id != json_integer_value(json_array_get(ids, i)) ||
            k->begin != json_integer_value(json_array_get(span, 0)) ||
            k->end != json_integer_value(json_array_get(span, 1)))
            fail_msg("%s: \"%s\": token %zu is %d of bytes %u..%u", name, json_string_value(text), i,
                     (int)k->id, k->begin, k->end);
    }
    pm_encoding_free(&e);
    if (decoded) test_decoded(t, name, ids, decoded);
}

static void test_variants(void **state) {
    test_path path = test_tokenizer_folder("variants.json"), folder = test_folder();
    json_t *variants = test_json(&path);
    (void)state;
    assert_true(json_array_size(variants) > 40);
    for (size_t i = 0; i < json_array_size(variants); i++) {
        const json_t *v = json_array_get(variants, i), *cases = json_object_get(v, "cases");
        pm_tokenizer *t;
        write_variant(v, &folder);
        assert_ok(pm_tokenizer_open(folder.s, &t));
        for (size_t k = 0; k < json_array_size(cases); k++)
            check_variant(t, json_string_value(json_object_get(v, "name")), json_array_get(cases, k));
        pm_tokenizer_close(t);
    }
    json_decref(variants);
}

/* Real vocabularies, where they are at hand. */
static void test_shared(void **state) {
    static const char *const names[] = {"all-MiniLM-L6-v2", "roberta-base", "t5-small"};
    const char *shared = test_shared_dir();
    (void)state;
    if (!shared) skip_because("no folder ../shared with real vocabularies");
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        test_path folder;
        pm_tokenizer *t;
        snprintf(folder.s, sizeof folder.s, "%s/tokenizers/%s", shared, names[i]);
        assert_ok(pm_tokenizer_open(folder.s, &t));
        test_cases(t, &folder);
        pm_tokenizer_close(t);
    }
}

static json_t *numbers(const char *line) {
    json_t *ids = json_array();
    for (char *end;; line = end) {
        long v = strtol(line, &end, 10);
        if (end == line) return ids;
        json_array_append_new(ids, json_integer(v));
    }
}

/* llama.cpp's own pairs: texts apart by a line, ids one text a line. */
static void check_gguf(const char *path) {
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char name[600];
    size_t n_in, n_out;
    pm_tokenizer *t;
    snprintf(name, sizeof name, "%s.inp", path);
    char *in = (char *)test_read_file(name, &n_in);
    snprintf(name, sizeof name, "%s.out", path);
    char *out = (char *)test_read_file(name, &n_out), *line = out;
    in = realloc(in, n_in + 1), in[n_in] = 0;
    out = line = realloc(out, n_out + 1), out[n_out] = 0;
    assert_ok(pm_tokenizer_open(path, &t));
    for (char *text = in, *next; text; text = next) {
        char *end = strstr(text, mark);
        next = end ? end + sizeof mark - 1 : NULL;
        json_t *s = json_stringn(text, end ? (size_t)(end - text) : strlen(text)), *ids;
        char *newline = strchr(line, '\n');
        if (newline) *newline = 0;
        ids = numbers(line);
        test_ids(t, path, s, ids, false);
        if (newline) line = newline + 1;
        json_decref(s);
        json_decref(ids);
    }
    pm_tokenizer_close(t);
    free(in);
    free(out);
}

static void test_shared_gguf(void **state) {
    static const char *const names[] = {"bert-bge", "falcon", "gpt-2", "llama-spm"};
    const char *shared = test_shared_dir();
    (void)state;
    if (!shared) skip_because("no folder ../shared with GGUF vocabularies");
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        char path[560];
        snprintf(path, sizeof path, "%s/tokenizers/gguf/ggml-vocab-%s.gguf", shared, names[i]);
        check_gguf(path);
    }
}

/* What is not UTF-8 is U+FFFD, as the standard counts it; places are those of the bytes. */
static void test_invalid_utf8(void **state) {
    static const char bad
        [] = "a\xFF\xE2\x82z\xF0\x9F\x98\x80\xC0\xAF\xED\xA0\x80",
     good[] =
         "a\xEF\xBF\xBD\xEF\xBF\xBDz\xF0\x9F\x98\x80\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD";
    test_path folder = test_tokenizer_folder("bpe");
    pm_tokenizer *t;
    pm_encoding a, b;
    (void)state;
    assert_ok(pm_tokenizer_open(folder.s, &t));
    assert_ok(pm_tokenizer_encode(t, bad, sizeof bad - 1, NULL, &a));
    assert_ok(pm_tokenizer_encode(t, good, sizeof good - 1, NULL, &b));
    assert_int_equal(a.n, b.n);
    for (size_t i = 0; i < a.n; i++) assert_int_equal(a.tokens[i].id, b.tokens[i].id);
    assert_int_equal(a.tokens[1].begin, 1);
    assert_int_equal(a.tokens[a.n - 1].end, sizeof bad - 1);
    pm_encoding_free(&a);
    pm_encoding_free(&b);
    pm_tokenizer_close(t);
}

/* A megabyte, without spaces, with marks alone, with spaces alone: time grows with the length, not with its square. */
static void test_long(void **state) {
    static const char *const units[] = {
        "ab", " ", "\xCC\x81\xCC\xA3", "the quick brown fox, ", "\n", "\xE6\x97\xA5", "'"};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES + 32);
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bases); i++) {
        test_path folder = test_tokenizer_folder(bases[i]);
        pm_tokenizer *t;
        assert_ok(pm_tokenizer_open(folder.s, &t));
        for (size_t u = 0; u < PM_COUNT(units); u++) {
            size_t n = 0;
            clock_t start = clock(); /* of this process alone: the machine may be busy */
            pm_encoding e;
            while (n < BYTES) memcpy(text + n, units[u], strlen(units[u])), n += strlen(units[u]);
            assert_ok(pm_tokenizer_encode(t, text, n, NULL, &e));
            pm_encoding_free(&e);
            if (clock() - start > 20 * CLOCKS_PER_SEC)
                fail_msg("%s: 1 MiB of \"%s\" took over 20 s", bases[i], units[u]);
        }
        pm_tokenizer_close(t);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bases),        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_shared),       cmocka_unit_test(test_shared_gguf),
        cmocka_unit_test(test_invalid_utf8), cmocka_unit_test(test_long),
    };
    return run_all_tests(tests);
}
