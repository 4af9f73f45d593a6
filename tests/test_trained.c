/* Trained models of ../shared on every executor: PyTorch's logits within 1e-4, its ids and its texts. Each test skips, with
 * a reason, where ../shared is not there. */
#include "tests/support_compare.h"
#include "tests/support_models.h"

#include <jansson.h>
#include <math.h>
#include "models/convert.h"

typedef struct opened {
    test_session on;
    json_t *expected; /* expected.json; or NULL */
} opened;

static test_path shared_path(const char *name, const char *file) {
    test_path p;
    snprintf(p.s, sizeof p.s, "%s/models/%s%s%s", test_shared_dir(), name, file ? "/" : "", file ? file : "");
    return p;
}

/* name: a folder or a file of ../shared/models; from: the folder whose expected.json is read, or NULL. */
static opened open_shared(const char *name, const char *from, const char *device) {
    opened o = {0};
    if (!test_shared_dir()) skip_because("no ../shared");
    pm_device *d = test_open_device(device);
    if (!d) skip_because("no device %s: %s", device, pm_error_text());
    o.on = test_open_on(d, shared_path(name, NULL).s);
    o.on.d = d;
    if (from) o.expected = json_load_file(shared_path(from, "expected.json").s, 0, NULL);
    assert_true(!from || o.expected);
    return o;
}

static void close_all(opened *o) {
    test_close(&o->on);
    json_decref(o->expected);
}

/* ---- logits ---- */

static void check_logits(const char *name, const char *device) {
    opened o = open_shared(name, NULL, device);
    pm_tensors *reference, *set;
    assert_ok(pm_tensors_read(shared_path(name, "reference.safetensors").s, &reference));
    assert_ok(pm_session_run(o.on.s, reference, "logits", &set));
    test_expect_near(name, pm_tensors_get(set, "out.logits"), pm_tensors_get(reference, "out.logits"), NULL);
    pm_tensors_free(reference);
    pm_tensors_free(set);
    close_all(&o);
}

/* ---- ids and texts ---- */

static size_t take_ids(const json_t *list, int32_t *out, size_t most) {
    size_t n = json_array_size(list);
    assert_true(n > 0 && n <= most);
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return n;
}

enum { MOST = 256 };

static void check_ids(const opened *o, const json_t *prompt, const json_t *expected,
                      const pm_generate_options *options) {
    int32_t from[MOST], ids[MOST];
    size_t n_from = take_ids(prompt, from, MOST), n = take_ids(expected, ids, MOST);
    pm_generated g;
    assert_ok(pm_generate(o->on.s, from, n_from, options, &g));
    assert_int_equal(g.n_ids, n);
    assert_memory_equal(g.ids, ids, n * sizeof *ids);
    pm_generated_free(&g);
}

/* The prompt's own text and what follows it, as expected.json has them. */
static void check_text(const opened *o, const char *prompt, const char *ids_key, const char *text_key) {
    int32_t *from, ids[MOST];
    size_t n_from, n = take_ids(json_object_get(o->expected, ids_key), ids, MOST);
    pm_generated g;
    char *text;
    assert_ok(pm_model_encode(o->on.m, prompt, &from, &n_from));
    pm_generate_options options = {.max_new = (int32_t)(n - n_from), .ignore_eos = true};
    assert_ok(pm_generate(o->on.s, from, n_from, &options, &g));
    assert_int_equal(g.n_ids, n);
    assert_memory_equal(g.ids, ids, n * sizeof *ids);
    assert_ok(pm_model_decode(o->on.m, g.ids, g.n_ids, &text));
    assert_string_equal(text, json_string_value(json_object_get(o->expected, text_key)));
    pm_release(text);
    pm_release(from);
    pm_generated_free(&g);
}

static void check_stories(const char *name, const char *device) {
    opened o = open_shared(name, "stories260k", device);
    check_text(&o, "", "greedy_from_bos", "text");
    check_text(&o, json_string_value(json_object_get(o.expected, "prompt")), "greedy_prompt", "text_prompt");
    close_all(&o);
}

/* A model whose 11 positions are all used: the last id needs none. */
static void check_sort(const char *device) {
    opened o = open_shared("gpt-sort", "gpt-sort", device);
    const pm_generate_options options = {.max_new = 6, .ignore_eos = true};
    json_t *row;
    size_t i;
    assert_int_equal(json_array_size(o.expected), 50);
    json_array_foreach(o.expected, i, row) {
        json_t *all = json_copy(json_array_get(row, 0));
        json_array_extend(all, json_array_get(row, 1));
        check_ids(&o, json_array_get(row, 0), all, &options);
        json_decref(all);
    }
    close_all(&o);
}

static void check_spelling(const char *device) {
    opened o = open_shared("g2p-us", "g2p-us", device);
    const pm_generate_options greedy = {.max_new = 30}, beams = {.max_new = 30, .n_beams = 4};
    json_t *row;
    size_t i;
    char *text;
    assert_true(json_array_size(o.expected) > 10);
    json_array_foreach(o.expected, i, row) {
        check_ids(&o, json_object_get(row, "ids"), json_object_get(row, "greedy"), &greedy);
        check_ids(&o, json_object_get(row, "ids"), json_object_get(row, "beam4"), &beams);
        assert_ok(pm_translate(o.on.s, json_string_value(json_object_get(row, "word")), &greedy, &text));
        assert_string_equal(text, json_string_value(json_object_get(row, "text")));
        pm_release(text);
    }
    close_all(&o);
}

/* One test for each executor, so that each says by itself why it was skipped. */
#define ON_ALL(name, call)                                                                                   \
    static void name##_reference(void **state) {                                                             \
        const char *device = "reference";                                                                    \
        (void)state, call;                                                                                   \
    }                                                                                                        \
    static void name##_cpu(void **state) {                                                                   \
        const char *device = "cpu";                                                                          \
        (void)state, call;                                                                                   \
    }                                                                                                        \
    static void name##_vulkan(void **state) {                                                                \
        const char *device = test_device();                                                                  \
        (void)state, call;                                                                                   \
    }
#define ROWS(name)                                                                                           \
    cmocka_unit_test(name##_reference), cmocka_unit_test(name##_cpu), cmocka_unit_test(name##_vulkan)

ON_ALL(albert, check_logits("albert-rxn", device))
ON_ALL(vit, check_logits("vit-mnist", device))
ON_ALL(stories, check_stories("stories260k", device))
ON_ALL(stories_gguf, check_stories("stories260k.gguf", device))
ON_ALL(sort, check_sort(device))
ON_ALL(spelling, check_spelling(device))

int main(void) {
    const struct CMUnitTest tests[] = {
        ROWS(albert), ROWS(vit), ROWS(stories), ROWS(stories_gguf), ROWS(sort), ROWS(spelling),
    };
    return run_all_tests(tests);
}
