/* One vector for a text: every pooling against plain loops over the hidden states, and sentence-transformers' files that are
 * wrong. Whole layouts are compared with PyTorch in test_models.c (sentence-*). */
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- poolings ---- */

typedef double (*pool_fn)(const float *x, const int64_t *mask, int64_t t, int64_t c);

static double sum(const float *x, const int64_t *mask, int64_t t, int64_t c, bool by_place, double *out_n) {
    double s = 0;
    *out_n = 0;
    for (int64_t i = 0; i < t; i++) {
        double w = mask[i] ? by_place ? (double)(i + 1) : 1 : 0;
        s += w * (double)x[i * c];
        *out_n += w;
    }
    return s;
}

static double cls(const float *x, const int64_t *mask, int64_t t, int64_t c) {
    (void)mask, (void)t, (void)c;
    return (double)x[0];
}
static double largest(const float *x, const int64_t *mask, int64_t t, int64_t c) {
    double most = -1e9;
    for (int64_t i = 0; i < t; i++)
        if (mask[i]) most = fmax(most, (double)x[i * c]);
    return most;
}
static double mean(const float *x, const int64_t *mask, int64_t t, int64_t c) {
    double n, s = sum(x, mask, t, c, false, &n);
    return s / n;
}
static double mean_sqrt(const float *x, const int64_t *mask, int64_t t, int64_t c) {
    double n, s = sum(x, mask, t, c, false, &n);
    return s / sqrt(n);
}
static double weighted(const float *x, const int64_t *mask, int64_t t, int64_t c) {
    double n, s = sum(x, mask, t, c, true, &n);
    return s / n;
}
static double last(const float *x, const int64_t *mask, int64_t t, int64_t c) {
    int64_t at = 0;
    for (int64_t i = 0; i < t; i++)
        if (mask[i]) at = i;
    return (double)x[at * c];
}

static const struct {
    const char *name;
    pool_fn fn;
} poolings[] = {{"cls", cls},
                {"max", largest},
                {"mean", mean},
                {"mean_sqrt_len", mean_sqrt},
                {"weightedmean", weighted},
                {"lasttoken", last}};

static void check_pooling(pm_session *s, const pm_tensors *in, size_t k) {
    char want[128], name[128];
    pm_tensors *set;
    snprintf(want, sizeof want, "last_hidden_state,sentence_embedding.%s", poolings[k].name);
    snprintf(name, sizeof name, "out.sentence_embedding.%s", poolings[k].name);
    assert_ok(pm_session_run(s, in, want, &set));
    const pm_array *x = pm_tensors_get(set, "out.last_hidden_state"), *y = pm_tensors_get(set, name),
                   *mask = pm_tensors_get(in, "in.attention_mask");
    assert_true(x && y && mask && y->rank == 2);
    int64_t t = x->dims[1], c = x->dims[2];
    for (int64_t b = 0; b < x->dims[0]; b++)
        for (int64_t i = 0; i < c; i++) {
            double expected = poolings[k].fn((const float *)x->data + b * t * c + i,
                                             (const int64_t *)mask->data + b * t, t, c);
            double is = (double)((const float *)y->data)[b * c + i];
            if (!(fabs(is - expected) <= 2e-6 * (1 + fabs(expected))))
                fail_msg("%s: element %d of text %d is %g, not %g", name, (int)i, (int)b, is, expected);
        }
    pm_tensors_free(set);
}

static void check_device(const char *spec) {
    pm_device *d = test_open_device(spec);
    pm_model *m;
    pm_session *s;
    pm_tensors *in;
    if (!d) skip_because("no device %s: %s", spec, pm_error_text());
    assert_ok(pm_model_open(test_reference("distilbert-base", NULL).s, &m));
    assert_ok(pm_session_open(m, d, &s));
    assert_ok(pm_tensors_read(test_reference("distilbert-base", "reference.safetensors").s, &in));
    for (size_t k = 0; k < PM_COUNT(poolings); k++) check_pooling(s, in, k);
    pm_tensors_free(in);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
}

static void test_poolings(void **state) {
    (void)state;
    check_device("reference");
    check_device("cpu");
}
static void test_poolings_on_vulkan(void **state) {
    (void)state, check_device(test_device());
}

/* ---- files ---- */

#define TRANSFORMER "{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"}"
#define POOLING     "{\"path\":\"p\",\"type\":\"sentence_transformers.models.Pooling\"}"
#define GOOD        "[" TRANSFORMER "," POOLING "]"
#define MEAN        "{\"pooling_mode_mean_tokens\":true}"

static const struct {
    const char *modules, *pooling, *words[3];
} rows[] = {
    {GOOD, MEAN, {NULL}},
    {"{}", MEAN, {"modules.json", "not a list"}},
    {"[", MEAN, {"modules.json", "line 1"}},
    {"[{\"path\":\"\"}]", MEAN, {"entry 0 has no type"}},
    {"[" POOLING "]", MEAN, {"first module is Pooling", "Transformer"}},
    {"[" TRANSFORMER "," TRANSFORMER "]", MEAN, {"second module is Transformer", "Pooling"}},
    {"[" TRANSFORMER "," POOLING ",{\"path\":\"x\",\"type\":\"a.WordWeights\"}]",
     MEAN,
     {"WordWeights", "Dense"}},
    {"[" TRANSFORMER ",{\"path\":\"../p\",\"type\":\"a.Pooling\"}]", MEAN, {"../p"}},
    {"[" TRANSFORMER "," POOLING ",{\"path\":\"x\",\"type\":\"a.Dense\"}]", MEAN, {"x/config.json"}},
    {GOOD, "{}", {"p/config.json", "pooling_mode"}},
    {GOOD, "{\"pooling_mode_mean_tokens\":1}", {"pooling_mode_mean_tokens is 1", "true or false"}},
    {GOOD,
     "{\"pooling_mode_mean_tokens\":true,\"word_embedding_dimension\":99}",
     {"word_embedding_dimension is 99"}},
    {GOOD, NULL, {"p/config.json", "cannot open"}},
};

static void test_bad_files(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_copy_model("distilbert-base"), sub = test_join(&folder, "p"),
                  modules = test_join(&folder, "modules.json"), pooling = test_join(&sub, "config.json");
        pm_model *m = NULL;
        assert_int_equal(mkdir(sub.s, 0700), 0);
        test_write_file(modules.s, rows[i].modules, strlen(rows[i].modules));
        if (rows[i].pooling) test_write_file(pooling.s, rows[i].pooling, strlen(rows[i].pooling));
        if (rows[i].words[0])
            test_expect_error(&folder, PM_ERR_FILE, rows[i].words);
        else
            assert_ok(pm_model_open(folder.s, &m));
        pm_model_close(m);
        unlink(modules.s);
        unlink(pooling.s);
        rmdir(sub.s);
    }
}

static pm_status open_and_close(void *user) {
    pm_model *m = NULL;
    pm_status s = pm_model_open(user, &m);
    pm_model_close(m);
    return s;
}

static void test_out_of_memory(void **state) {
    (void)state;
    test_path path = test_reference("sentence-cls", NULL);
    assert_true(test_every_allocation(open_and_close, path.s) > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_poolings), cmocka_unit_test(test_poolings_on_vulkan),
        cmocka_unit_test(test_bad_files), cmocka_unit_test(test_out_of_memory)};
    return run_all_tests(tests);
}
