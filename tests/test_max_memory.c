/* More weights than memory: with max_memory_bytes, a Vulkan device reads weights from the host's memory, and every bit is as it was;
 * what must be on the device and does not fit is refused with numbers, and so is all of it where there is one memory alone. */
#include "tests/support_models.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

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
    assert_true(pm_tensors_count(a) > 0);
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
    int32_t want[64], prompt[40];
    size_t n = 0;
    if (!has_vulkan()) skip();
    for (int i = 0; i < 40; i++) prompt[i] = 5 + i * i % 50;
    for (int round = 0; round < 4; round++) { /* a short prompt, and one of which weights are copied ahead */
        bool limited = round % 2;
        size_t n_prompt = round < 2 ? 3 : 40;
        pm_device *d = open_limited(test_device(), !limited ? 0 : round < 2 ? 70000 : 140000);
        test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
        pm_generate_options options = {.max_new = 20, .ignore_eos = true};
        pm_generated out = {0};
        assert_ok(pm_generate(o.s, prompt, n_prompt, &options, &out));
        if (limited) {
            assert_true(host_bytes(d) > 0);
            assert_int_equal(out.n_ids, n);
            assert_memory_equal(out.ids, want, n * sizeof *want);
        } else {
            n = out.n_ids;
            assert_int_equal(n, n_prompt + 20);
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

/* ---- streaming ---- */

/* A family's inputs, many times over: more rows than a tile of a product has. */
static pm_tensors *many_rows(const char *path) {
    enum { TIMES = 12 };
    pm_tensors *one, *many;
    assert_ok(pm_tensors_read(path, &one));
    assert_ok(pm_tensors_create(&many));
    for (size_t i = 0; i < pm_tensors_count(one); i++) {
        pm_array a = *pm_tensors_at(one, i);
        if (strncmp(a.name, "in.", 3) != 0) continue;
        unsigned char *data = malloc(TIMES * (size_t)a.bytes);
        for (size_t k = 0; k < TIMES; k++) memcpy(data + k * (size_t)a.bytes, a.data, (size_t)a.bytes);
        a.dims[0] *= TIMES;
        a.bytes *= TIMES;
        a.data = data;
        assert_ok(pm_tensors_add(many, &a, NULL));
        free(data);
    }
    pm_tensors_free(one);
    return many;
}

static pm_tensors *run_family(pm_device *d, const char *name, const pm_tensors *in) {
    test_session o = test_open_on(d, test_reference(name, NULL).s);
    pm_tensors *out;
    assert_ok(pm_session_run(o.s, in, "", &out));
    test_close(&o);
    return out;
}

/* The same device with `bytes` beside what its arena has grown to: pipelines are made once for both. */
static void limit_weights(pm_device *d, uint64_t bytes) {
    pm_device_stats s;
    pm_device_get_stats(d, &s);
    d->executor->options.max_memory_bytes = bytes ? s.arena_bytes + bytes : 0;
}

/* How much the programs of an open session stream. */
static uint64_t streamed_weights(pm_device *d) {
    const char *at = strstr(pm_device_memory_note(d), "a prompt copies ");
    return at ? strtoull(at + strlen("a prompt copies "), NULL, 10) : 0;
}

/* Opens the family with room for some of its weights, the least of some sizes with which its states fit, too. */
static test_session open_tight(pm_device *d, const char *name, const pm_tensors *in, uint64_t weights) {
    pm_tensors *out;
    for (uint64_t bytes = weights / 3;; bytes += weights / 3) {
        limit_weights(d, bytes);
        test_session o = test_open_on(d, test_reference(name, NULL).s);
        pm_status s = pm_session_run(o.s, in, "", &out);
        if (s == PM_OK) {
            pm_tensors_free(out);
            return o;
        }
        assert_int_equal(s, PM_ERR_MEMORY);
        test_close(&o);
    }
}

static void check_streams(pm_device *d, const char *name) {
    pm_tensors *in = many_rows(test_reference(name, "reference.safetensors").s),
               *want = run_family(d, name, in), *out;
    pm_device_stats stats;
    test_session o = test_open_on(d, test_reference(name, NULL).s);
    pm_device_get_stats(d, &stats);
    test_close(&o);
    o = open_tight(d, name, in, stats.store_bytes);
    for (int run = 0; run < 2; run++) {
        assert_ok(pm_session_run(o.s, in, "", &out));
        expect_equal(want, out);
        pm_tensors_free(out);
    }
    pm_device_get_stats(d, &stats);
    if (!streamed_weights(d)) fail_msg("%s streams nothing: %s", name, pm_device_memory_note(d));

    assert_true(stats.slot_bytes > 0);
    assert_true(own_bytes(d) + stats.slot_bytes <= d->executor->options.max_memory_bytes);
    test_close(&o);
    pm_device_get_stats(d, &stats);
    assert_true(stats.slot_bytes == 0 && stats.host_bytes == 0);
    limit_weights(d, 0);
    pm_tensors_free(in);
    pm_tensors_free(want);
}

/* SwiftShader takes a second to compile a shader: a few there. */
static bool is_asked_for(const pm_device *d, const char *name) {
    static const char *const few[] = {"gpt2", "mixtral"};
    bool found = !strstr(pm_device_name(d), "SwiftShader");
    for (size_t i = 0; i < PM_COUNT(few); i++) found |= !strcmp(few[i], name);
    return found && access(test_reference(name, "reference.safetensors").s, R_OK) == 0;
}

/* Every model of tests/data. */
static void test_streams(void **state) {
    (void)state;
    size_t n = 0;
    if (!has_vulkan()) skip();
    pm_device *d = open_limited(test_device(), 0);
    DIR *folder = opendir(PM_SOURCE_DIR "/tests/data/reference");
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        if (!is_asked_for(d, e->d_name)) continue;
        check_streams(d, e->d_name);
        n++;
    }
    closedir(folder);
    assert_true(n >= 2);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
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
                                       cmocka_unit_test(test_generation),
                                       cmocka_unit_test(test_tables_first),
                                       cmocka_unit_test(test_moved_under_a_program),
                                       cmocka_unit_test(test_streams)};
    return run_all_tests(tests);
}
