/* More weights than memory: with max_memory_bytes, a Vulkan device reads weights from the host's memory, and every bit is as it was;
 * what must be on the device and does not fit is refused with numbers, and so is all of it where there is one memory alone. */
#include "tests/support_models.h"

#include "models/device_data.h"
#include "pumice/compute.h"

#define REFERENCE test_reference("gpt2", "reference.safetensors").s

static pm_device *open_limited(const char *spec, uint64_t bytes) {
    pm_device *d = NULL;
    assert_ok(pm_device_open(spec, &(pm_device_options){.max_memory_bytes = bytes}, &d));
    return d;
}

static bool has_vulkan(void) {
    pm_device *d = test_open_device(test_device());
    if (!d) print_message("no device %s: %s\n", test_device(), pm_error_text());
    pm_device_close(d);
    return d != NULL;
}

/* What the device itself holds. */
static uint64_t own_bytes(const pm_device *d) {
    pm_device_stats s;
    pm_device_get_stats(d, &s);
    return s.store_bytes - s.host_bytes + s.arena_bytes;
}

static uint64_t host_bytes(const pm_device *d) {
    pm_device_stats s;
    pm_device_get_stats(d, &s);
    return s.host_bytes;
}

static pm_tensors *forward(pm_device *d) {
    test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
    pm_tensors *in, *out;
    assert_ok(pm_tensors_read(REFERENCE, &in));
    assert_ok(pm_session_run(o.s, in, "", &out));
    pm_tensors_free(in);
    test_close(&o);
    return out;
}

static void expect_equal(const pm_tensors *a, const pm_tensors *b) {
    assert_true(pm_tensors_count(a) > 2);
    assert_int_equal(pm_tensors_count(a), pm_tensors_count(b));
    for (size_t i = 0; i < pm_tensors_count(a); i++) {
        const pm_array *x = pm_tensors_at(a, i), *y = pm_tensors_get(b, x->name);
        assert_memory_equal(x->data, y->data, (size_t)x->bytes);
    }
}

static void test_weights_on_the_host(void **state) {
    (void)state;
    const uint64_t limits[] = {30000, 60000, 90000};
    if (!has_vulkan()) skip();
    pm_device *d = open_limited(test_device(), 0);
    pm_tensors *want = forward(d);
    pm_device_close(d);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        d = open_limited(test_device(), limits[i]);
        test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
        assert_true(own_bytes(d) <= limits[i]);
        pm_tensors *in, *out;
        assert_ok(pm_tensors_read(REFERENCE, &in));
        for (int run = 0; run < 2; run++) {
            assert_ok(pm_session_run(o.s, in, "", &out));
            expect_equal(want, out);
            pm_tensors_free(out);
            assert_true(own_bytes(d) <= limits[i]);
        }
        if (limits[i] < 76288) { /* the weights' bytes */
            assert_true(host_bytes(d) > 0);
            assert_non_null(strstr(pm_device_memory_note(d), "28 weights"));
            assert_non_null(strstr(pm_device_memory_note(d), "76288 bytes"));
        }
        pm_tensors_free(in);
        test_close(&o);
        assert_int_equal(host_bytes(d), 0);
        assert_string_equal(pm_device_memory_note(d), "");
        pm_device_close(d);
    }
    pm_tensors_free(want);
}

/* Of an embedding a few rows are read: it is the first to lie outside, though it stands in front of the model. */
static void test_tables_first(void **state) {
    (void)state;
    if (!has_vulkan()) skip();
    pm_device *d =
        open_limited(test_device(), 76000); /* of 77696 bytes, 7808 of the table; places have gaps */
    test_session o = test_open_on(d, test_reference("llama", NULL).s);
    assert_non_null(strstr(pm_device_memory_note(d), " to model.embed_tokens.weight"));
    assert_true(host_bytes(d) >= 7808 && host_bytes(d) < 77696 / 2);
    test_close(&o);
    pm_device_close(d);
}

/* The loop of generation, with its states and several programs. */
static void test_generation(void **state) {
    (void)state;
    int32_t want[32];
    size_t n = 0;
    if (!has_vulkan()) skip();
    for (int limited = 0; limited < 2; limited++) {
        pm_device *d = open_limited(test_device(), limited ? 70000 : 0);
        test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
        pm_generate_options options = {.max_new = 20, .ignore_eos = true};
        pm_generated out = {0};
        assert_ok(pm_generate(o.s, (int32_t[]){5, 9, 2}, 3, &options, &out));
        if (limited) {
            assert_true(host_bytes(d) > 0);
            assert_int_equal(out.n_ids, n);
            assert_memory_equal(out.ids, want, n * sizeof *want);
        } else {
            n = out.n_ids;
            assert_int_equal(n, 23);
            memcpy(want, out.ids, n * sizeof *want);
        }
        pm_generated_free(&out);
        test_close(&o);
        pm_device_close(d);
    }
}

static pm_compute *open_product(pm_device *d, const char *weight, int64_t rows) {
    pm_graph *g;
    pm_compute *c;
    assert_ok(pm_graph_create("product", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){rows, 64});
    pm_output(g, "y", pm_matmul(g, x, pm_weight(g, weight, PM_F32, 2, (int64_t[]){64, 64})));
    assert_ok(pm_compute_open(g, d, &c));
    assert_ok(pm_compute_feed_random(c, 3));
    pm_graph_destroy(g);
    return c;
}

/* A program that is loaded binds again when its weight moves out for another one's results. */
static void move_under_a_program(bool mapped) {
    float before[64], after[64];
    pm_device *d = open_limited(test_device(), 100000);
    if (!mapped)
        d->executor->caps.unified_memory = false; /* as on a card of its own: through the staging ring */
    pm_compute *small = open_product(d, "a", 1);
    assert_ok(pm_compute_run(small));
    assert_ok(pm_compute_output(small, "y", before, sizeof before));
    assert_int_equal(host_bytes(d), 0);
    pm_compute *large = open_product(d, "b", 170);
    assert_int_equal(host_bytes(d), 0);
    assert_ok(pm_compute_run(large));
    assert_true(host_bytes(d) >= 16384);
    assert_ok(pm_compute_run(small));
    assert_ok(pm_compute_output(small, "y", after, sizeof after));
    assert_memory_equal(before, after, sizeof before);
    pm_compute *huge = open_product(d, "a", 1000);
    assert_int_equal(pm_compute_run(huge), PM_ERR_MEMORY);
    assert_non_null(strstr(pm_error_text(), "100000"));
    assert_non_null(strstr(pm_error_text(), "intermediate results"));
    assert_ok(pm_compute_run(small)); /* the others go on */
    assert_ok(pm_compute_output(small, "y", after, sizeof after));
    assert_memory_equal(before, after, sizeof before);
    pm_compute_close(huge);
    pm_compute_close(large);
    pm_compute_close(small);
    pm_device_close(d);
}

static void test_moved_under_a_program(void **state) {
    (void)state;
    if (!has_vulkan()) skip();
    move_under_a_program(true);
    move_under_a_program(false);
}

static void test_one_memory(void **state) {
    (void)state;
    const char *devices[] = {"cpu", "reference"};
    for (int i = 0; i < 2; i++) {
        pm_model *m;
        pm_session *s;
        pm_device *d = open_limited(devices[i], 60000);
        assert_ok(pm_model_open(test_reference("gpt2", NULL).s, &m));
        assert_int_equal(pm_session_open(m, d, &s), PM_ERR_MEMORY);
        assert_non_null(strstr(pm_error_text(), "28 weights"));
        assert_non_null(strstr(pm_error_text(), "76288"));
        assert_non_null(strstr(pm_error_text(), "60000"));
        pm_device_close(d);
        d = open_limited(devices[i], 77000); /* the weights fit, what they make does not */
        assert_ok(pm_session_open(m, d, &s));
        pm_tensors *in, *out;
        assert_ok(pm_tensors_read(REFERENCE, &in));
        assert_int_equal(pm_session_run(s, in, "", &out), PM_ERR_MEMORY);
        assert_non_null(strstr(pm_error_text(), "intermediate results"));
        assert_non_null(strstr(pm_error_text(), "77000"));
        pm_tensors_free(in);
        pm_session_close(s);
        pm_device_close(d);
        d = open_limited(devices[i], 200000);
        pm_tensors_free(forward(d));
        assert_string_equal(pm_device_memory_note(d), "");
        pm_device_close(d);
        pm_model_close(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_memory),
                                       cmocka_unit_test(test_weights_on_the_host),
                                       cmocka_unit_test(test_generation), cmocka_unit_test(test_tables_first),
                                       cmocka_unit_test(test_moved_under_a_program)};
    return run_all_tests(tests);
}
