/* A window of one key on both sides is no window over all: where every layer has it, a token's hidden states are what it
 * has alone. Models whose layers see both ways, on each executor. */
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>

enum { N_IDS = 11, MAX_WIDTH = 64 };

static const int32_t ids[N_IDS] = {5, 17, 3, 32, 32, 8, 40, 1, 29, 33, 12};

static const struct {
    const char *reference, *key, *narrow, *wide;
} models[] = {
    {"gemma3-both", "sliding_window", "1", "2"},
    {"modernbert-base", "local_attention", "1", "2"},
};

static const char *const all_sliding = "[\"sliding_attention\",\"sliding_attention\",\"sliding_attention\"]";

/* The last hidden states of n ids, [n,width] into out; the width. */
static int64_t run(pm_session *s, const int32_t *of, size_t n, float *out) {
    pm_tensors *in, *set;
    assert_ok(pm_session_inputs(s, of, n, &in));
    assert_ok(pm_session_run(s, in, "final", &set));
    const pm_array *y = pm_tensors_get(set, "out.last_hidden_state");
    assert_true(y && y->rank == 3 && y->dims[1] == (int64_t)n && y->dims[2] <= MAX_WIDTH);
    int64_t width = y->dims[2];
    memcpy(out, y->data, (size_t)y->bytes);
    pm_tensors_free(in);
    pm_tensors_free(set);
    return width;
}

/* The largest difference between a token among others and alone. */
static double difference(pm_device *d, const test_path *folder) {
    static float together[N_IDS * MAX_WIDTH], alone[MAX_WIDTH];
    pm_model *m;
    pm_session *s;
    double most = 0;
    assert_ok(pm_model_open(folder->s, &m));
    assert_ok(pm_session_open(m, d, &s));
    int64_t width = run(s, ids, N_IDS, together);
    for (size_t i = 0; i < N_IDS; i++) {
        run(s, &ids[i], 1, alone);
        for (int64_t j = 0; j < width; j++)
            most = fmax(most, fabs((double)together[(int64_t)i * width + j] - (double)alone[j]));
    }
    pm_session_close(s);
    pm_model_close(m);
    return most;
}

static void check_device(pm_device *d) {
    for (size_t i = 0; i < PM_COUNT(models); i++) {
        test_path folder = test_copy_model(models[i].reference);
        test_edit_config(&folder, "layer_types", all_sliding);
        test_edit_config(&folder, models[i].key, models[i].narrow);
        double own = difference(d, &folder);
        test_edit_config(&folder, models[i].key, models[i].wide);
        double wide = difference(d, &folder);
        print_message("%s: %g with a window of %s, %g with %s\n", models[i].reference, own, models[i].narrow,
                      wide, models[i].wide);
        assert_true(own <= 1e-5);
        assert_true(wide > 1e-2); /* neighbours count */
    }
}

static void test_device_named(void **state) {
    pm_device *d = test_open_device(*state ? *state : test_device());
    if (!d) skip_because("no device \"%s\"", *state ? (const char *)*state : test_device());
    check_device(d);
    pm_device_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"reference", test_device_named, NULL, NULL, "reference"},
        {"cpu", test_device_named, NULL, NULL, "cpu"},
        {"vulkan", test_device_named, NULL, NULL, NULL},
    };
    return run_all_tests(tests);
}
