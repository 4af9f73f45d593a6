/* pumice/compute.h: a graph of one's own with weight, state, param and input. */
#include "tests/support_models.h"

#include "pumice/compute.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_compute), cmocka_unit_test(test_bad_graph)};
    return run_all_tests(tests);
}
