/* `validate` of the Vulkan executor: silent on a program as compiled, and the negative control: a barrier that is
 * missing is reported and fails the run. The other tests of Vulkan run under the layer as a whole (validated.sh);
 * this one, which provokes it, cannot. */
#include "graph/compile.h"
#include "runtime/executor.h"
#include "tests/support.h"

#define WIDTH 40

/* Two products, the second waiting for the first. */
static pm_program *compile(const pm_caps *caps) {
    pm_graph *g;
    pm_program *p = NULL;
    assert_ok(pm_graph_create("two", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){3, WIDTH});
    pm_tensor *w = pm_weight(g, "w", PM_F32, 2, (int64_t[]){WIDTH, WIDTH});
    pm_output(g, "y", pm_matmul(g, pm_relu(g, pm_matmul(g, x, w)), w));
    assert_ok(pm_graph_status(g));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = caps}, &p));
    pm_graph_destroy(g);
    assert_true(p->n_dispatches > 1);
    return p;
}

/* Runs the program under the layer, with its barriers or without. */
static pm_status run(bool barriers, uint64_t *out_n_messages) {
    pm_executor *ex;
    pm_loaded *l;
    if (pm_executor_open(test_device(), &(pm_executor_options){.validate = true, .no_cache = true}, &ex) !=
        PM_OK)
        skip_because("%s", pm_error_text());
    static const float x[3 * WIDTH] = {0};
    pm_program *p = compile(pm_executor_caps(ex));
    assert_ok(pm_executor_put(ex, "w", NULL, WIDTH * WIDTH * 4));
    for (uint32_t i = 0; i < p->n_dispatches && !barriers; i++) p->dispatches[i].barrier = false;
    assert_ok(pm_executor_load(ex, p, &l));
    assert_ok(pm_loaded_write(l, 0, x, sizeof x));
    pm_status s = pm_loaded_run(l);
    pm_executor_stats stats;
    pm_executor_get_stats(ex, &stats);
    *out_n_messages = stats.n_messages;
    bool hazard = strstr(pm_executor_messages(ex), "SYNC-HAZARD") != NULL;
    assert_true(hazard == !barriers);
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
    return s;
}

static void test_silent(void **state) {
    (void)state;
    uint64_t n_messages;
    assert_ok(run(true, &n_messages));
    assert_int_equal(n_messages, 0);
}

static void test_missing_barrier(void **state) {
    (void)state;
    uint64_t n_messages;
    assert_int_equal(run(false, &n_messages), PM_ERR_OTHER);
    assert_true(n_messages > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_silent), cmocka_unit_test(test_missing_barrier)};
    return run_all_tests(tests);
}
