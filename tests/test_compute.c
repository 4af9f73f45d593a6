/* pumice/compute.h: a graph of one's own with weight, state, param and input. */
#include "tests/support_models.h"

#include "graph/program.h"
#include "pumice/compute.h"

#include <math.h>

/* y = x . w^T + row `position` of what was kept; keeps x there. */
static pm_graph *make_graph(void) {
    pm_graph *g;
    assert_ok(pm_graph_create("own", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){1, 4});
    pm_tensor *w = pm_weight(g, "w", PM_F32, 2, (int64_t[]){4, 4});
    pm_tensor *kept = pm_state(g, "kept", PM_F32, 4, (int64_t[]){1, 1, 3, 4});
    pm_tensor *after =
        pm_cache_write(g, kept, pm_reshape(g, x, 4, (int64_t[]){1, 1, 1, 4}), pm_param(g, "position"));
    pm_output(g, "y", pm_matmul(g, x, w));
    pm_output(g, "sum", pm_sum(g, pm_reshape(g, after, 2, (int64_t[]){3, 4}), 0));
    assert_ok(pm_graph_status(g));
    return g;
}

static void test_compute(void **state) {
    (void)state;
    pm_device *d;
    pm_compute *c;
    float w[16] = {0}, x[4] = {1, 2, 3, 4}, y[4], sum[4];
    for (int i = 0; i < 4; i++) w[i * 4 + 3 - i] = (float)(i + 1);
    assert_ok(pm_device_open("cpu", NULL, &d));
    pm_graph *g = make_graph();
    assert_ok(pm_compute_open(g, d, &c));
    pm_graph_destroy(g);
    assert_int_equal(pm_compute_run(c), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "was not put"));
    assert_int_equal(pm_compute_put(c, "w", w, 4), PM_ERR_USAGE);
    assert_ok(pm_compute_put(c, "w", w, sizeof w));
    assert_ok(pm_compute_put_zeros(c));
    assert_int_equal(pm_compute_output(c, "y", y, sizeof y), PM_ERR_USAGE); /* nothing ran yet */
    assert_ok(pm_compute_input(c, "x", x, sizeof x));
    assert_ok(pm_compute_param(c, "position", 2));
    assert_ok(pm_compute_run(c));
    assert_ok(pm_compute_output(c, "y", y, sizeof y));
    assert_true(y[0] == 4 && y[1] == 6 && y[2] == 6 && y[3] == 4);
    x[0] = 10;
    assert_ok(pm_compute_input(c, "x", x, sizeof x));
    assert_ok(pm_compute_param(c, "position", 0));
    assert_ok(pm_compute_run(c));
    assert_ok(pm_compute_output(c, "sum", sum, sizeof sum));
    assert_true(sum[0] == 11 && sum[1] == 4 && sum[3] == 8);
    assert_true(pm_compute_cost(c) > 0);
    assert_int_equal(pm_compute_input(c, "z", x, sizeof x), PM_ERR_USAGE);
    assert_int_equal(pm_compute_input(c, "x", x, 3), PM_ERR_USAGE);
    assert_int_equal(pm_compute_param(c, "z", 0), PM_ERR_USAGE);
    assert_int_equal(pm_compute_output(c, "z", y, sizeof y), PM_ERR_USAGE);
    assert_int_equal(pm_compute_output(c, "y", y, 1), PM_ERR_USAGE);
    pm_compute_drop(c, "w");
    pm_compute_drop(c, "kept");
    pm_device_stats stats;
    pm_device_get_stats(d, &stats);
    assert_int_equal(stats.store_bytes, 0);
    pm_compute_close(c);
    pm_device_close(d);
}

static void test_bad_graph(void **state) {
    (void)state;
    pm_device *d;
    pm_graph *g;
    pm_compute *c;
    assert_ok(pm_device_open("reference", NULL, &d));
    assert_ok(pm_graph_create("bad", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 1, (int64_t[]){4});
    pm_output(g, "y", pm_matmul(g, x, x));
    assert_int_equal(pm_compute_open(g, d, &c), PM_ERR_USAGE);
    assert_null(c);
    pm_graph_destroy(g);
    pm_device_close(d);
}

/* A lookup of ids, masked, and a running sum in a state: y = table[ids] * mask, z = what the state held, and y. */
static const char by_name[] = "graph \"by name\"\n"
                              "%0 = input \"ids\" i32[3]\n"
                              "%1 = input \"mask\" bool[3,1]\n"
                              "%2 = weight \"table\" f32[5,2]\n"
                              "%3 = weight \"unused\" f32[7]\n"
                              "%4 = state \"kept\" f32[1,1,4,2]\n"
                              "%5 = param \"at\" i32[]\n"
                              "%6 = gather(%2, %0) f32[3,2]\n"
                              "%7 = to_f32(%1) f32[3,1]\n"
                              "%8 = mul(%6, %7) f32[3,2]\n"
                              "%9 = reshape(%8) {dims=[1,1,3,2]} f32[1,1,3,2]\n"
                              "%10 = cache_write(%4, %9, %5) f32[1,1,4,2]\n"
                              "%11 = exp(%10) f32[1,1,4,2]\n"
                              "%12 = not(%1) bool[3,1]\n"
                              "output \"y\" %8\n"
                              "output \"e\" %11\n"
                              "output \"absent\" %12\n";

static pm_compute *open_text(const char *text, pm_device *d) {
    pm_graph *g;
    pm_compute *c;
    assert_ok(pm_graph_parse(text, &g));
    assert_ok(pm_compute_open(g, d, &c));
    pm_graph_destroy(g);
    return c;
}

static void add(pm_tensors *set, const char *name, pm_dtype type, int32_t rank, const int64_t *dims,
                const void *data) {
    pm_array a = {.name = name, .dtype = type, .rank = rank, .data = data};
    memcpy(a.dims, dims, (size_t)rank * sizeof *dims);
    assert_ok(pm_tensors_add(set, &a, NULL));
}

static void test_feed(void **state) {
    (void)state;
    pm_device *d;
    pm_tensors *in, *out;
    const float table[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, kept[8] = {0, 0, 0, 0, 0, 0, 1, 2};
    const unsigned char mask[] = {1, 0, 7};
    assert_ok(pm_device_open("cpu", NULL, &d));
    pm_compute *c = open_text(by_name, d);
    assert_ok(pm_tensors_create(&in));
    add(in, "in.ids", PM_I64, 1, (int64_t[]){3}, (const int64_t[]){4, 1, 0});
    add(in, "mask", PM_U8, 2, (int64_t[]){3, 1}, mask);
    add(in, "kept", PM_F32, 4, (int64_t[]){1, 1, 4, 2}, kept);
    add(in, "others", PM_F32, 1, (int64_t[]){1}, table);
    assert_ok(pm_compute_feed(c, in));
    assert_string_equal(pm_compute_missing(c), "table");
    add(in, "table", PM_F32, 2, (int64_t[]){2, 5}, table);
    assert_int_equal(pm_compute_feed(c, in), PM_ERR_FILE);
    assert_non_null(strstr(pm_error_text(), "table"));
    assert_non_null(strstr(pm_error_text(), "[2,5]"));
    assert_non_null(strstr(pm_error_text(), "[5,2]"));
    add(in, "table", PM_F32, 2, (int64_t[]){5, 2}, table);
    assert_ok(pm_compute_feed(c, in));
    assert_null(pm_compute_missing(c));
    assert_ok(pm_tensors_create(&out));
    assert_int_equal(pm_compute_results(c, out), PM_ERR_USAGE);
    assert_ok(pm_compute_run(c));
    assert_ok(pm_compute_results(c, out));
    assert_int_equal(pm_tensors_count(out), 4);
    const pm_array *y = pm_tensors_get(out, "y"), *absent = pm_tensors_get(out, "absent"),
                   *after = pm_tensors_get(out, "kept");
    const float *values = y->data, *states = after->data, want[] = {8, 9, 0, 0, 0, 1};
    assert_int_equal(y->rank, 2);
    for (int i = 0; i < 6; i++) assert_true(values[i] == want[i] && states[i] == want[i]);
    assert_true(states[6] == 1 && states[7] == 2);
    assert_int_equal(absent->dtype, PM_BOOL);
    assert_memory_equal(absent->data, ((unsigned char[]){0, 1, 0}), 3);
    add(in, "ids", PM_F32, 1, (int64_t[]){3}, table);
    assert_int_equal(pm_compute_feed(c, in), PM_ERR_FILE); /* ids are integers */
    pm_tensors_free(in);
    pm_tensors_free(out);
    pm_compute_close(c);
    pm_device_close(d);
}

/* The same numbers for one seed on every device, others for another; ids within the table. */
static void test_seeds(void **state) {
    (void)state;
    const char *devices[] = {"reference", "cpu"};
    float y[3][6];
    for (int i = 0; i < 3; i++) {
        pm_device *d;
        assert_ok(pm_device_open(devices[i % 2], NULL, &d));
        pm_compute *c = open_text(by_name, d);
        assert_ok(pm_compute_input(c, "mask", (int32_t[]){1, 1, 1}, 12));
        assert_ok(pm_compute_feed_random(c, i == 2 ? 8 : 7));
        assert_null(pm_compute_missing(c));
        assert_ok(pm_compute_run(c));
        assert_ok(pm_compute_output(c, "y", y[i], sizeof y[i]));
        for (int k = 0; k < 6; k++) assert_true(y[i][k] != 0 && fabsf(y[i][k]) < 2); /* no id is outside */
        pm_compute_close(c);
        pm_device_close(d);
    }
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_memory_not_equal(y[0], y[2], sizeof y[0]);
}

static void test_look(void **state) {
    (void)state;
    pm_device *d;
    pm_verify_report r;
    pm_compute_figures f;
    assert_ok(pm_device_open("cpu", &(pm_device_options){.profile = true}, &d));
    pm_compute *c = open_text(by_name, d);
    pm_compute_get_figures(c, &f);
    assert_int_equal(f.n_weights, 1);
    assert_int_equal(f.weight_bytes, 40);
    assert_int_equal(f.n_states, 1);
    assert_int_equal(f.state_bytes, 32);
    assert_int_equal(f.n_inputs, 2);
    assert_int_equal(f.n_outputs, 3);
    assert_int_equal(f.n_dispatches, pm_compute_n_steps(c));
    assert_ok(pm_compute_feed_random(c, 1));
    assert_ok(pm_compute_verify(c, NULL, &r));
    assert_int_equal(r.n_rows, f.n_dispatches);
    pm_verify_report_free(&r);
    assert_ok(pm_compute_run(c));
    uint64_t ns = 0, cost = 0;
    for (size_t i = 0; i < pm_compute_n_steps(c); i++) {
        pm_compute_step step;
        pm_compute_get_step(c, i, &step);
        assert_true(*step.kernel && *step.variant && *step.label);
        ns += step.ns;
        cost += step.cost;
    }
    assert_true(ns > 0);
    assert_int_equal(cost, pm_compute_cost(c));
    pm_compute_close(c);
    pm_device_close(d);
}

/* A kernel that is wrong is found. */
static void test_verify_finds(void **state) {
    (void)state;
    pm_device *d;
    pm_verify_report r;
    assert_ok(
        pm_device_open("cpu", &(pm_device_options){.test_break_kernel = 1 + PM_KERNEL_CACHE_WRITE}, &d));
    pm_compute *c = open_text(by_name, d);
    assert_ok(pm_compute_feed_random(c, 1));
    assert_int_equal(pm_compute_verify(c, NULL, &r), PM_ERR_VERIFY);
    assert_true(r.first_out >= 0);
    assert_string_equal(r.rows[r.first_out].kernel, "cache_write");
    pm_verify_report_free(&r);
    pm_compute_close(c);
    pm_device_close(d);
}

static void test_dump(void **state) {
    (void)state;
    pm_graph *g;
    char *text;
    assert_ok(pm_graph_parse(by_name, &g));
    assert_ok(pm_graph_dump(g, &(pm_graph_dump_options){.stage = "built"}, &text));
    assert_string_equal(text, by_name);
    pm_text_release(text);
    assert_ok(pm_graph_dump(g, &(pm_graph_dump_options){.stage = "program", .format = "json"}, &text));
    assert_non_null(strstr(text, "\"n_barriers\""));
    pm_text_release(text);
    assert_int_equal(pm_graph_dump(g, &(pm_graph_dump_options){.stage = "raw"}, &text), PM_ERR_USAGE);
    assert_null(text);
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compute), cmocka_unit_test(test_bad_graph),
                                       cmocka_unit_test(test_feed),    cmocka_unit_test(test_seeds),
                                       cmocka_unit_test(test_look),    cmocka_unit_test(test_verify_finds),
                                       cmocka_unit_test(test_dump)};
    return run_all_tests(tests);
}
