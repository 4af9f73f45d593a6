/* The files that a tokenizer is made from: older forms give the same ids as tokenizer.json; what is wrong is refused in a sentence
 * that names it; no allocation that fails leaves anything behind. */
#include "tests/support_gguf.h"
#include "tests/support_memory.h"
#include "tests/support_tokenizer.h"

#include <stdlib.h>

/* ---- the same vocabulary in older forms ---- */

static void put(const test_path *folder, const char *file, const char *text) {
    test_path path = test_join(folder, file);
    test_write_file(path.s, text, strlen(text));
}

/* Tokens of a vocabulary in the order of their ids, one a line. */
static void write_lines(const json_t *vocab, const test_path *folder) {
    size_t n = json_object_size(vocab);
    const char **line = calloc(n, sizeof *line), *token;
    json_t *id;
    pm_text text = {0};
    json_object_foreach((json_t *)(uintptr_t)vocab, token, id) line[json_integer_value(id)] = token;
    for (size_t i = 0; i < n; i++) pm_text_add(&text, "%s\n", line[i]);
    put(folder, "vocab.txt", text.data);
    pm_text_free(&text);
    free(line);
}

static void check_cases(const test_path *folder, const char *base) {
    test_path data = test_tokenizer_folder(base);
    pm_tokenizer *t;
    assert_ok(pm_tokenizer_open(folder->s, &t));
    test_cases(t, &data);
    pm_tokenizer_close(t);
}

static void test_vocab_txt(void **state) {
    test_path base = test_tokenizer_folder("wordpiece"), folder = test_folder(),
              from = test_join(&base, "tokenizer.json");
    json_t *root = test_json(&from);
    (void)state;
    write_lines(json_object_get(json_object_get(root, "model"), "vocab"), &folder);
    check_cases(&folder, "wordpiece");
    put(&folder, "tokenizer_config.json", "{\"do_lower_case\":false}");
    pm_tokenizer *t;
    pm_encoding e;
    assert_ok(pm_tokenizer_open(folder.s, &t));
    assert_ok(pm_tokenizer_encode(t, "HELLO", 5, NULL, &e));
    assert_int_equal(e.tokens[0].id, 1); /* [UNK] */
    pm_encoding_free(&e);
    pm_tokenizer_close(t);
    json_decref(root);
}

static void test_vocab_and_merges(void **state) {
    test_path base = test_tokenizer_folder("bpe"), folder = test_folder(),
              from = test_join(&base, "tokenizer.json");
    test_path vocab = test_join(&folder, "vocab.json");
    json_t *root = test_json(&from), *model = json_object_get(root, "model"),
           *merges = json_object_get(model, "merges");
    pm_text text = {0};
    (void)state;
    pm_text_add(&text, "#version: 0.2\n");
    for (size_t i = 0; i < json_array_size(merges); i++)
        pm_text_add(&text, "%s %s\n", json_string_value(json_array_get(json_array_get(merges, i), 0)),
                    json_string_value(json_array_get(json_array_get(merges, i), 1)));
    put(&folder, "merges.txt", text.data);
    put(&folder, "special_tokens_map.json", "{\"pad_token\":\"<pad>\"}");
    test_write_json(&vocab, json_object_get(model, "vocab"));
    check_cases(&folder, "bpe");
    pm_text_free(&text);
    json_decref(root);
}

/* ---- SentencePiece ---- */

static void varint(pm_text *t, uint64_t v) {
    for (; v >= 128; v >>= 7) pm_text_add_bytes(t, &(char){(char)(v | 128)}, 1);
    pm_text_add_bytes(t, &(char){(char)v}, 1);
}

static void message(pm_text *t, unsigned field, const char *bytes, size_t n) {
    varint(t, field << 3 | 2);
    varint(t, n);
    pm_text_add_bytes(t, bytes, n);
}

static void piece(pm_text *t, const char *s, float score, unsigned type) {
    pm_text p = {0};
    message(&p, 1, s, strlen(s));
    varint(&p, 2 << 3 | 5);
    pm_text_add_bytes(&p, (const char *)&score, 4);
    varint(&p, 3 << 3);
    varint(&p, type);
    message(t, 1, p.data, p.length);
    pm_text_free(&p);
}

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

/* Ids 0..2 are special, 3..258 the bytes, then a few pieces. */
static void write_spm(const test_path *folder, unsigned model_type) {
    static const char *const pieces[] = {"\xE2\x96\x81",
                                         "a",
                                         "b",
                                         "c",
                                         "ab",
                                         ("\xE2\x96\x81"
                                          "ab"),
                                         "abc",
                                         "bc"};
    pm_text file = {0}, trainer = {0};
    test_path path = test_join(folder, "tokenizer.model");
    piece(&file, "<unk>", 0, UNKNOWN);
    piece(&file, "<s>", 0, CONTROL);
    piece(&file, "</s>", 0, CONTROL);
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        piece(&file, text, 0, BYTE);
    }
    for (size_t i = 0; i < PM_COUNT(pieces); i++) piece(&file, pieces[i], -1.0f - (float)i, NORMAL);
    piece(&file, "[X]", 0, USER_DEFINED);
    varint(&trainer, 3 << 3);
    varint(&trainer, model_type);
    message(&file, 2, trainer.data, trainer.length);
    test_write_file(path.s, file.data, file.length);
    pm_text_free(&file);
    pm_text_free(&trainer);
}

static void check_ids(const char *path, const char *text, bool special, const char *ids) {
    pm_tokenizer *t;
    json_t *want = json_loads(ids, 0, NULL), *s = json_string(text);
    assert_ok(pm_tokenizer_open(path, &t));
    test_ids(t, path, s, want, special);
    if (!special) test_decoded(t, path, want, s);
    pm_tokenizer_close(t);
    json_decref(want);
    json_decref(s);
}

static void test_sentencepiece(void **state) {
    test_path folder = test_folder();
    (void)state;
    write_spm(&folder, 2); /* the best score first: ab (-5), then with the space (-6) */
    check_ids(folder.s, "abc", false, "[264,262]");
    check_ids(folder.s, "abc", true, "[1,264,262]");
    check_ids(folder.s, "ab[X]\xC3\xA9", false, "[264,267,198,172]");
    write_spm(&folder, 1); /* the best sum: space + abc is -8, space-ab + c is -10 */
    check_ids(folder.s, "abc", false, "[259,265]");
    check_ids(folder.s, "abc", true, "[259,265,2]");
}

/* Pieces that vocab.json lacks are unknown one by one, characters that no piece covers as a run, which vocab.json may know. */
static void test_pieces_without_ids(void **state) {
    (void)state;
    for (unsigned type = 1; type <= 2; type++) {
        test_path folder = test_folder();
        write_spm(&folder, type);
        put(&folder, "vocab.json", "{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"\xE2\x96\x81\":3,\"a\":4,\"b\":5}");
        check_ids(folder.s, "acc", true, "[3,4,0,0,2]");
        check_ids(folder.s, "aXcYZcb", true, "[3,4,0,0,0,0,5,2]");
        check_ids(folder.s, "XYZ a", true, "[3,0,3,4,2]");
    }
}

static void test_gguf_vocabulary(void **state) {
    static const char *const tokens[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "\xE2\x96\x81",
                                         "a",
                                         "b",
                                         ("\xE2\x96\x81"
                                          "a"),
                                         "<0x43>",
                                         "<u>"};
    static const float scores[] = {0, 0, 0, -1, -2, -3, -4, 0, 0};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 1, 6, 4};
    enum { TYPE_I32 = 5, TYPE_F32 = 6, TYPE_TEXT = 8 };
    test_path folder = test_folder(), path = test_join(&folder, "v.gguf");
    test_gguf f = {0};
    pm_text list = {0};
    (void)state;
    for (size_t i = 0; i < PM_COUNT(tokens); i++) test_gguf_string(&list, tokens[i]);
    test_gguf_text(&f, "tokenizer.ggml.model", "llama");
    test_gguf_array(&f, "tokenizer.ggml.tokens", TYPE_TEXT, PM_COUNT(tokens), list.data, list.length);
    test_gguf_array(&f, "tokenizer.ggml.scores", TYPE_F32, PM_COUNT(tokens), (const char *)scores,
                    sizeof scores);
    test_gguf_array(&f, "tokenizer.ggml.token_type", TYPE_I32, PM_COUNT(tokens), (const char *)types,
                    sizeof types);
    test_gguf_u32(&f, "tokenizer.ggml.bos_token_id", 1);
    test_gguf_write(&f, path.s);
    pm_text_free(&list);
    check_ids(path.s, "abC", false, "[6,5,7]");
    check_ids(path.s, "ab", true, "[1,6,5]");
    check_ids(path.s, "a  b<u>", false, "[6,3,3,5,8]");
}

/* A file of BERT's that gives no ids of [CLS] and [SEP]: they are found by name. */
static void test_gguf_bert(void **state) {
    static const char *const tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xE2\x96\x81the", "s"};
    enum { TYPE_TEXT = 8 };
    test_path folder = test_folder(), path = test_join(&folder, "v.gguf");
    test_gguf f = {0};
    pm_text list = {0};
    (void)state;
    for (size_t i = 0; i < PM_COUNT(tokens); i++) test_gguf_string(&list, tokens[i]);
    test_gguf_text(&f, "tokenizer.ggml.model", "bert");
    test_gguf_array(&f, "tokenizer.ggml.tokens", TYPE_TEXT, PM_COUNT(tokens), list.data, list.length);
    test_gguf_write(&f, path.s);
    pm_text_free(&list);
    check_ids(path.s, "the thes", false, "[4,4,5]");
    check_ids(path.s, "the thes", true, "[2,4,4,5,3]");
}

/* ---- what is refused ---- */

typedef struct wrong {
    const char *base, *path,
        *json; /* path: keys, apart by slashes, into tokenizer.json; json NULL: removed */
    const char *words[4];
} wrong;

static const wrong wrongs[] = {
    {"bpe", "model", NULL, {"tokenizer.json", "model is missing"}},
    {"bpe", "model/type", "\"Rwkv\"", {"Rwkv", "WordPiece"}},
    {"bpe", "model/dropout", "0.1", {"dropout is 0.1"}},
    {"bpe", "model/vocab", "[]", {"vocab is not an object"}},
    {"bpe", "model/vocab/the", "-1", {"the", "-1"}},
    {"bpe", "model/vocab/the", "99999999999", {"the", "99999999999"}},
    {"bpe", "model/vocab/the", "\"x\"", {"the", "not an integer"}},
    {"bpe", "model/merges", "7", {"merges is not a list"}},
    {"bpe", "model/merges", "[[\"a\",\"nowhere\"]]", {"merges", "number 0", "nowhere"}},
    {"bpe", "model/merges", "[\"ab\"]", {"merges", "number 0"}},
    {"bpe", "normalizer", "{\"type\":\"Reverse\"}", {"normalizer", "Reverse", "not supported"}},
    {"bpe", "normalizer", "{}", {"normalizer", "no type"}},
    {"bpe", "normalizer", "{\"type\":\"Prepend\"}", {"Prepend", "prepend is missing"}},
    {"bpe",
     "normalizer",
     "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!!!!\"}",
     {"precompiled_charsmap", "base64"}},
    {"bpe",
     "normalizer",
     "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"////fwAA\"}",
     {"precompiled_charsmap", "fit"}},
    {"bpe", "pre_tokenizer", "{\"type\":\"UnicodeScripts\"}", {"pre_tokenizer", "UnicodeScripts"}},
    {"bpe",
     "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Removed\"}",
     {"regular expression", "(a"}},
    {"bpe",
     "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[^b]]\"},\"behavior\":\"Removed\"}",
     {"complement", "byte 3"}},
    {"bpe",
     "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Sideways\"}",
     {"behavior", "Sideways"}},
    {"bpe",
     "pre_tokenizer",
     "{\"type\":\"Metaspace\",\"prepend_scheme\":\"last\"}",
     {"prepend_scheme", "last"}},
    {"bpe", "post_processor", "{\"type\":\"Rot13\"}", {"post_processor", "Rot13"}},
    {"wordpiece", "post_processor/special_tokens", "{}", {"[CLS]", "no ids"}},
    {"wordpiece", "padding", "{\"strategy\":{\"Fixed\":999999999}}", {"Fixed", "1048576"}},
    {"bpe", "decoder", "{\"type\":\"CTC\"}", {"decoder", "CTC"}},
    {"bpe", "added_tokens", "[{\"content\":\"<x>\",\"id\":-4}]", {"added token", "<x>", "-4"}},
    {"unigram", "model/unk_id", "5000", {"unk_id is 5000"}},
    {"unigram", "model/vocab", "[[\"a\"]]", {"entry 0"}},
};

static void edit(json_t *root, const char *path, const char *value) {
    char key[64];
    const char *slash = strchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : strlen(path);
    memcpy(key, path, n), key[n] = 0;
    if (slash)
        edit(json_object_get(root, key), slash + 1, value);
    else if (value)
        json_object_set_new(root, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(root, key);
}

static void expect_refusal(const test_path *folder, const char *what, const char *const *words) {
    pm_tokenizer *t;
    if (pm_tokenizer_open(folder->s, &t) != PM_ERR_FILE) fail_msg("%s was not refused", what);
    assert_null(t);
    for (; *words; words++)
        if (!strstr(pm_error_text(), *words))
            fail_msg("%s: \"%s\" does not say \"%s\"", what, pm_error_text(), *words);
}

static void test_refusals(void **state) {
    test_path folder = test_folder(), to = test_join(&folder, "tokenizer.json");
    (void)state;
    for (size_t i = 0; i < PM_COUNT(wrongs); i++) {
        const wrong *w = &wrongs[i];
        test_path base = test_tokenizer_folder(w->base), from = test_join(&base, "tokenizer.json");
        json_t *root = test_json(&from);
        edit(root, w->path, w->json);
        test_write_json(&to, root);
        json_decref(root);
        expect_refusal(&folder, w->json ? w->json : w->path, w->words);
    }
}

/* What a file holds comes into errors as text that a terminal may show: no controls, no broken UTF-8. */
static void test_bytes_in_errors(void **state) {
    test_path folder = test_folder();
    (void)state;
    put(&folder, "vocab.json", "{\"a\":0}");
    put(&folder, "merges.txt",
        "a\x1b[31m\xff\xc2\x9b\xed\xa0\x80\xc0\xaf\tb\xc3\xa9\xf0\x9f\x8d\x8e"
        "c\n");
    expect_refusal(&folder, "merges.txt",
                   (const char *const[]){"\"a?[31m?????\x3f\x3f\x3f b\xc3\xa9\xf0\x9f\x8d\x8e"
                                         "c\"",
                                         NULL});
}

static void test_deep_and_cut(void **state) {
    test_path folder = test_folder();
    pm_text deep = {0};
    (void)state;
    pm_text_add(&deep, "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}},\"normalizer\":");
    for (int i = 0; i < 100; i++) pm_text_add(&deep, "{\"type\":\"Sequence\",\"normalizers\":[");
    pm_text_add(&deep, "{\"type\":\"NFC\"}");
    for (int i = 0; i < 100; i++) pm_text_add(&deep, "]}");
    pm_text_add(&deep, "}");
    put(&folder, "tokenizer.json", deep.data);
    expect_refusal(&folder, "deep sequences", (const char *const[]){"sequences within sequences", NULL});
    deep.data[deep.length / 2] = 0;
    put(&folder, "tokenizer.json", deep.data);
    expect_refusal(&folder, "a cut file", (const char *const[]){"tokenizer.json", "line", NULL});
    pm_text_free(&deep);
    test_path empty = test_folder();
    expect_refusal(&empty, "an empty folder", (const char *const[]){"no tokenizer", "vocab.txt", NULL});
    put(&empty, "tokenizer.model", "\x0A\xFF\xFF\xFF\xFF\x7F");
    expect_refusal(&empty, "a length beyond the file",
                   (const char *const[]){"tokenizer.model", "broken", NULL});
}

/* A pattern that backtracks without end is an error of the text. */
static void test_hostile_pattern(void **state) {
    test_path folder = test_folder();
    pm_tokenizer *t;
    pm_encoding e;
    (void)state;
    put(&folder, "tokenizer.json",
        "{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"?\":0},\"unk_token\":\"?\"},\"pre_tokenizer\":{\"type\":\"Split\","
        "\"pattern\":{\"Regex\":\"(?:(?:a+)+)+[^a]\"},\"behavior\":\"Isolated\"}}");
    assert_ok(pm_tokenizer_open(folder.s, &t));
    assert_int_equal(pm_tokenizer_encode(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 47, NULL, &e),
                     PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "regular expression"));
    pm_tokenizer_close(t);
}

/* ---- allocations that fail ---- */

static pm_status open_and_use(void *user) {
    const test_path *folder = user;
    pm_tokenizer *t = NULL;
    pm_encoding e = {0};
    char *text = NULL;
    pm_encode_options o = {.add_special = true, .apply_length = true};
    int32_t ids[64];
    pm_status s = pm_tokenizer_open(folder->s, &t);
    if (s == PM_OK) s = pm_tokenizer_encode(t, "ab <pad> \xC3\xA9 ab", 14, &o, &e);
    for (size_t i = 0; i < e.n && i < 64; i++) ids[i] = e.tokens[i].id;
    if (s == PM_OK) s = pm_tokenizer_decode(t, ids, e.n < 64 ? e.n : 64, false, &text, NULL);
    pm_release(text);
    pm_encoding_free(&e);
    pm_tokenizer_close(t);
    return s;
}

static void test_allocations(void **state) {
    test_path folder = test_folder();
    (void)state;
    put(&folder, "tokenizer.json",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"?\":4},\"unk_token\":\"?\",\"merges\":[\"a b\"]},"
        "\"added_tokens\":[{\"id\":5,\"content\":\"<pad>\",\"normalized\":true,\"lstrip\":true}],\"normalizer\":{\"type\":\"NFKC\"},"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"decoder\":{\"type\":\"ByteLevel\"},\"post_processor\":{\"type\":\"BertProcessing\","
        "\"cls\":[\"a\",0],\"sep\":[\"b\",1]}}");
    assert_true(test_every_allocation(open_and_use, &folder) > 40);
    test_path spm = test_folder();
    write_spm(&spm, 1);
    assert_true(test_every_allocation(open_and_use, &spm) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vocab_txt),       cmocka_unit_test(test_vocab_and_merges),
        cmocka_unit_test(test_sentencepiece),   cmocka_unit_test(test_pieces_without_ids),
        cmocka_unit_test(test_gguf_vocabulary), cmocka_unit_test(test_gguf_bert),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_bytes_in_errors),
        cmocka_unit_test(test_deep_and_cut),    cmocka_unit_test(test_hostile_pattern),
        cmocka_unit_test(test_allocations),
    };
    return run_all_tests(tests);
}
