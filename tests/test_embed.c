/* Vectors of texts from models that are no plain encoders: what PyTorch made of the same folders, text by text
 * (data/make_embed_cases.py), in one batch here. Encoders are in test_texts.c. */
#include <jansson.h>
#include <math.h>

#include "pumice/text.h"
#include "tests/support_models.h"

enum { MAX_TEXTS = 8 };
static const double tolerance = 1e-5; /* of elements of size 1, over models of a layer or two */

static void check_model(const json_t *row, pm_device *device) {
    const json_t *texts = json_object_get(row, "texts"), *vectors = json_object_get(row, "vectors");
    const char *name = json_string_value(json_object_get(row, "model"));
    size_t n = json_array_size(texts), width;
    pm_text_input inputs[MAX_TEXTS] = {{NULL, NULL}};
    char path[TEST_PATH];
    pm_model *m;
    pm_session *s;
    float *v;
    assert_true(name && n > 1 && n <= MAX_TEXTS && json_array_size(vectors) == n);
    for (size_t i = 0; i < n; i++) inputs[i].text = json_string_value(json_array_get(texts, i));
    snprintf(path, sizeof path, PM_SOURCE_DIR "/tests/data/%s", name);
    assert_ok(pm_model_open(path, &m));
    assert_ok(pm_session_open(m, device, &s));
    assert_ok(pm_session_embed(s, inputs, n, NULL, &v, &width));
    for (size_t i = 0; i < n; i++) {
        const json_t *want = json_array_get(vectors, i);
        assert_int_equal(json_array_size(want), width);
        for (size_t k = 0; k < width; k++) {
            double x = (double)v[i * width + k], y = json_number_value(json_array_get(want, k));
            if (!(fabs(x - y) < tolerance))
                fail_msg("%s, text %zu, element %zu: %.9g, expected %.9g", name, i + 1, k, x, y);
        }
    }
    pm_release(v);
    pm_session_close(s);
    pm_model_close(m);
}

static void check_all(const char *device_name) {
    json_error_t error;
    pm_device *device = test_open_device(device_name);
    if (!device) skip_because("no device %s: %s", device_name, pm_error_text());
    json_t *cases = json_load_file(PM_SOURCE_DIR "/tests/data/texts/embed.json", 0, &error);
    assert_int_equal(json_array_size(cases), 4);
    for (size_t i = 0; i < json_array_size(cases); i++) check_model(json_array_get(cases, i), device);
    json_decref(cases);
    pm_device_close(device);
}

static void test_vectors(void **state) {
    (void)state, check_all("cpu");
}

static void test_vectors_vulkan(void **state) {
    (void)state, check_all(test_device());
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors), cmocka_unit_test(test_vectors_vulkan)};
    return run_all_tests(tests);
}
