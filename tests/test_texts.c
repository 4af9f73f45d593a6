/* Classes, entities, masked words and vectors of texts: what Hugging Face's pipelines made of the same small models
 * (data/make_text_cases.py), alone and in batches; limits and refusals. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "pumice/text.h"
#include "tests/support_models.h"

enum { MAX_TEXTS = 16, WIDTH = 64 };
static const double tolerance =
    2e-5; /* of scores and of vectors' elements of size 1, over fp32 models of a few layers */

typedef struct bench {
    json_t *cases;
    pm_text_input texts[MAX_TEXTS];
    size_t n;
    pm_device *device;
    pm_model *model;
    pm_session *session;
} bench;

static const char labels[] = "{\"0\":\"bad\",\"1\":\"so-so\",\"2\":\"good\"}";
static const char tags[] =
    "{\"0\":\"O\",\"1\":\"B-PER\",\"2\":\"I-PER\",\"3\":\"B-ORG\",\"4\":\"I-ORG\",\"5\":\"B-LOC\","
    "\"6\":\"I-LOC\",\"7\":\"PLAIN\",\"8\":\"B-MISC\"}";

static const char other_tags[] =
    "{\"0\":\"B-LOC\",\"1\":\"PER\",\"2\":\"B-MISC\",\"3\":\"I-PER\",\"4\":\"O\",\"5\":\"B-PER\",\"6\":\"I-LOC\","
    "\"7\":\"O\",\"8\":\"I-MISC\"}";

static test_path make_folder(const char *name, const char *id2label) {
    test_path folder = test_copy_model(name), vocab = test_join(&folder, "vocab.txt");
    size_t n;
    unsigned char *data = test_read_file(PM_SOURCE_DIR "/tests/data/texts/vocab.txt", &n);
    test_write_file(vocab.s, data, n);
    free(data);
    if (id2label) test_edit_config(&folder, "id2label", id2label);
    return folder;
}

static bool open_bench(bench *b, const test_path *folder, const char *device) {
    json_error_t error;
    *b = (bench){.device = test_open_device(device)};
    if (!b->device) return false;
    b->cases = json_load_file(PM_SOURCE_DIR "/tests/data/texts/cases.json", 0, &error);
    assert_non_null(b->cases);
    const json_t *texts = json_object_get(b->cases, "texts");
    b->n = json_array_size(texts);
    assert_true(b->n > 4 && b->n <= MAX_TEXTS);
    for (size_t i = 0; i < b->n; i++) b->texts[i].text = json_string_value(json_array_get(texts, i));
    assert_ok(pm_model_open(folder->s, &b->model));
    assert_ok(pm_session_open(b->model, b->device, &b->session));
    return true;
}

static void close_bench(bench *b) {
    pm_session_close(b->session);
    pm_model_close(b->model);
    pm_device_close(b->device);
    json_decref(b->cases);
}

/* ---- classes ---- */

static void check_scores(const bench *b, const json_t *expected, const float *scores) {
    assert_int_equal(json_object_size(expected), pm_model_n_labels(b->model));
    for (size_t i = 0; i < pm_model_n_labels(b->model); i++) {
        const json_t *want = json_object_get(expected, pm_model_label(b->model, (int64_t)i));
        assert_non_null(want);
        assert_true(fabs(json_number_value(want) - (double)scores[i]) < tolerance);
    }
}

static void check_kind(const char *device, const char *kind, int32_t batch) {
    test_path folder = make_folder("bert-classify", labels);
    char json[64];
    float scores[MAX_TEXTS * 3];
    bench b;
    snprintf(json, sizeof json, "\"%s\"", kind);
    test_edit_config(&folder, "problem_type", json);
    if (!open_bench(&b, &folder, device)) skip_because("no device %s: %s", device, pm_error_text());
    pm_text_options o = {.batch = batch};
    assert_ok(pm_session_classify(b.session, b.texts, b.n, &o, scores));
    for (size_t i = 0; i < b.n; i++)
        check_scores(&b, json_array_get(json_object_get(b.cases, kind), i), scores + 3 * i);
    pm_text_input pair = {b.texts[0].text, b.texts[1].text};
    assert_ok(pm_session_classify(b.session, &pair, 1, &o, scores));
    if (pm_model_class_kind(b.model) == PM_CLASS_ONE)
        check_scores(&b, json_object_get(b.cases, "pair"), scores);
    close_bench(&b);
}

static void check_classes(const char *device) {
    const int32_t batches[] = {1, 3, 100};
    for (size_t i = 0; i < PM_COUNT(batches); i++)
        check_kind(device, "single_label_classification", batches[i]);
    check_kind(device, "multi_label_classification", 0);
    check_kind(device, "regression", 0);
}

static void test_classes(void **state) {
    (void)state, check_classes("reference");
}
static void test_classes_cpu(void **state) {
    (void)state, check_classes("cpu");
}

/* ---- entities ---- */

static size_t count_chars(const char *s, size_t n) {
    size_t chars = 0;
    for (size_t i = 0; i < n; i++) chars += ((unsigned char)s[i] & 0xC0) != 0x80;
    return chars;
}

static void check_spans(const char *text, const json_t *expected, const pm_spans *got) {
    if (json_array_size(expected) != got->n)
        fail_msg("\"%s\": %zu spans, expected %zu", text, got->n, json_array_size(expected));
    for (size_t i = 0; i < got->n; i++) {
        const json_t *want = json_array_get(expected, i);
        const pm_span *s = &got->spans[i];
        assert_int_equal(s->begin_char, json_integer_value(json_array_get(want, 0)));
        assert_int_equal(s->end_char, json_integer_value(json_array_get(want, 1)));
        assert_string_equal(s->type, json_string_value(json_array_get(want, 2)));
        assert_true(fabs(json_number_value(json_array_get(want, 3)) - (double)s->score) < tolerance);
        assert_int_equal(count_chars(text, s->begin), s->begin_char);
        assert_int_equal(count_chars(text, s->end), s->end_char);
    }
}

static void check_tags(const char *device, int32_t batch, const char *key) {
    test_path folder = make_folder("bert-ner", strcmp(key, "tags") ? other_tags : tags);
    pm_spans spans[MAX_TEXTS];
    bench b;
    if (!open_bench(&b, &folder, device)) skip_because("no device %s: %s", device, pm_error_text());
    pm_text_options o = {.batch = batch};
    assert_ok(pm_session_tag(b.session, b.texts, b.n, &o, spans));
    for (size_t i = 0; i < b.n; i++) {
        check_spans(b.texts[i].text, json_array_get(json_object_get(b.cases, key), i), &spans[i]);
        pm_spans_free(&spans[i]);
    }
    close_bench(&b);
}

static void test_tags(void **state) {
    (void)state;
    check_tags("reference", 0, "tags");
    check_tags("cpu", 1, "other tags");
    check_tags("cpu", 5, "tags");
    check_tags("cpu", 5, "other tags");
}

/* Words that are cut already get the label of their first token, as in the text. */
static void test_words(void **state) {
    (void)state;
    test_path folder = make_folder("bert-ner", tags);
    const char *const words[] = {"walking", ",", "talking", "city", "\xE2\x80\x8B"}, *const one[] = {"x"};
    pm_sentence sentences[] = {{words, 5}, {one, 1}};
    int32_t first[5], second[1], *const rows[] = {first, second}, alone[1], *const alone_row[] = {alone};
    bench b;
    assert_true(open_bench(&b, &folder, "cpu"));
    assert_ok(pm_session_tag_words(b.session, sentences, 2, NULL, rows));
    assert_ok(pm_session_tag_words(b.session, &sentences[1], 1, NULL, alone_row));
    assert_int_equal(second[0], alone[0]);
    for (int i = 0; i < 4; i++) assert_in_range(first[i], 0, 8);
    assert_int_equal(first[4], -1); /* a word that the normalizer takes away */
    close_bench(&b);
}

/* ---- masked words ---- */

static void check_fill(const bench *b, const json_t *row) {
    const json_t *masks = json_object_get(row, "masks");
    size_t n_each = json_array_size(json_array_get(masks, 0));
    pm_fill f;
    assert_ok(pm_session_fill(b->session, json_string_value(json_object_get(row, "text")), n_each, NULL, &f));
    assert_int_equal(f.n_masks, json_array_size(masks));
    assert_int_equal(f.n_each, n_each);
    for (size_t i = 0; i < f.n_masks * n_each; i++) {
        const json_t *want = json_array_get(json_array_get(masks, i / n_each), i % n_each);
        assert_int_equal(f.candidates[i].id, json_integer_value(json_array_get(want, 0)));
        assert_true(fabs(json_number_value(json_array_get(want, 1)) - (double)f.candidates[i].score) <
                    tolerance);
        assert_true(f.candidates[i].text[0] != 0);
    }
    pm_fill_free(&f);
}

static void check_fills(const char *device) {
    test_path folder = make_folder("bert-mlm", NULL);
    bench b;
    pm_fill f;
    size_t i;
    const json_t *row;
    if (!open_bench(&b, &folder, device)) skip_because("no device %s: %s", device, pm_error_text());
    json_array_foreach(json_object_get(b.cases, "fill"), i, row) check_fill(&b, row);
    assert_int_equal(pm_session_fill(b.session, "no mask here", 0, NULL, &f), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "[MASK]"));
    assert_ok(pm_session_fill(b.session, "a [MASK]", 1000, NULL, &f)); /* no more than there are */
    assert_int_equal(f.n_each, 61);
    pm_fill_free(&f);
    close_bench(&b);
}

static void test_fill(void **state) {
    (void)state, check_fills("cpu");
}

/* ---- vectors ---- */

static void check_vectors(const bench *b, pm_embed_pooling pooling, const char *key) {
    const json_t *rows = json_object_get(b->cases, "embed");
    size_t n = json_array_size(rows), width;
    float *v;
    pm_embed_options o = {.pooling = pooling};
    assert_ok(pm_session_embed(b->session, b->texts, n, &o, &v, &width));
    for (size_t i = 0; i < n; i++) {
        const json_t *want = json_object_get(json_array_get(rows, i), key);
        assert_int_equal(json_array_size(want), width);
        for (size_t k = 0; k < width; k++)
            assert_true(fabs(json_number_value(json_array_get(want, k)) - (double)v[i * width + k]) <
                        tolerance);
    }
    pm_release(v);
}

static void check_embedding(const char *device) {
    test_path folder = make_folder("bert-base", NULL);
    bench b;
    size_t width;
    float *v;
    double sum = 0;
    if (!open_bench(&b, &folder, device)) skip_because("no device %s: %s", device, pm_error_text());
    check_vectors(&b, PM_EMBED_MEAN, "mean");
    check_vectors(&b, PM_EMBED_DEFAULT, "mean");
    check_vectors(&b, PM_EMBED_CLS, "cls");
    check_vectors(&b, PM_EMBED_LAST, "last");
    assert_ok(pm_session_embed(b.session, b.texts, 1, &(pm_embed_options){.normalize = true}, &v, &width));
    for (size_t k = 0; k < width; k++) sum += (double)v[k] * (double)v[k];
    assert_true(fabs(sum - 1) < 1e-5);
    pm_release(v);
    close_bench(&b);
}

static void test_vectors(void **state) {
    (void)state, check_embedding("cpu");
}

/* ---- on Vulkan, each once ---- */

static void test_classes_vulkan(void **state) {
    (void)state, check_kind(test_device(), "single_label_classification", 3);
}
static void test_tags_vulkan(void **state) {
    (void)state, check_tags(test_device(), 5, "tags");
}
static void test_fill_vulkan(void **state) {
    (void)state, check_fills(test_device());
}
static void test_vectors_vulkan(void **state) {
    (void)state, check_embedding(test_device());
}

/* ---- limits and refusals ---- */

static void test_long_texts(void **state) {
    (void)state;
    test_path folder = make_folder("bert-classify", labels);
    char text[400] = "x", same[200];
    float scores[6];
    bench b;
    for (size_t i = 0; i < 100; i++) strcat(text, " y");
    snprintf(same, sizeof same, "%.123s", text); /* x and 61 times y: 62 tokens and two around them */
    pm_text_input texts[] = {{"x", NULL}, {text, NULL}}, fits = {same, NULL}, pair = {text, "a b"};
    assert_true(open_bench(&b, &folder, "cpu"));
    assert_int_equal(pm_session_classify(b.session, texts, 2, NULL, scores), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "text 2: has 103 tokens, the model has 64 positions"));
    pm_text_options cut = {.truncate = true};
    assert_ok(pm_session_classify(b.session, texts, 2, &cut, scores));
    assert_ok(pm_session_classify(b.session, &fits, 1, NULL, scores));
    assert_true(fabs((double)scores[0] - (double)scores[3]) < tolerance);
    assert_ok(pm_session_classify(b.session, &pair, 1, &cut, scores));
    close_bench(&b);
}

static void test_refusals(void **state) {
    (void)state;
    test_path folder = make_folder("bert-classify", labels), bare = test_copy_model("bert-classify"),
              broken = make_folder("bert-classify", labels), file = test_join(&broken, "tokenizer.json");
    pm_spans spans;
    float scores[3];
    bench b;
    assert_true(open_bench(&b, &folder, "cpu"));
    assert_int_equal(pm_session_tag(b.session, b.texts, 1, NULL, &spans), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "classify"));
    close_bench(&b);
    assert_true(open_bench(&b, &bare, "cpu"));
    assert_int_equal(pm_session_classify(b.session, b.texts, 1, NULL, scores), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "tokenizer"));
    close_bench(&b);
    test_write_file(file.s, "{\"model\":{\"type\":\"Magic\"}}", 26);
    assert_true(open_bench(&b, &broken, "cpu")); /* the model opens; its texts do not */
    assert_int_equal(pm_session_classify(b.session, b.texts, 1, NULL, scores), PM_ERR_FILE);
    assert_non_null(strstr(pm_error_text(), "Magic"));
    close_bench(&b);
    test_edit_config(&folder, "problem_type", "\"guessing\"");
    test_expect_error(&folder, PM_ERR_FILE, (const char *const[]){"problem_type", "guessing", NULL});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),        cmocka_unit_test(test_classes_cpu),
        cmocka_unit_test(test_tags),           cmocka_unit_test(test_words),
        cmocka_unit_test(test_fill),           cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_long_texts),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_classes_vulkan), cmocka_unit_test(test_tags_vulkan),
        cmocka_unit_test(test_fill_vulkan),    cmocka_unit_test(test_vectors_vulkan),
    };
    return run_all_tests(tests);
}
