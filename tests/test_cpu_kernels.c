/* The kernels of the CPU executors: every case of the operation table against the reference's bounds. */
#include "tests/support_ops.h"

static void run_table(const char *device) {
    size_t n;
    const test_op_case *cases = test_op_cases(&n);
    pm_executor *ex = NULL;
    int n_failed = 0;
    assert_ok(pm_executor_open(device, NULL, &ex));
    for (size_t i = 0; i < n; i++) {
        test_op_result r;
        pm_status s = test_run_op_case(ex, &cases[i], &r);
        if (s == PM_OK && !r.failed) continue;
        n_failed++;
        print_error("%s: %s\n", cases[i].name, s == PM_OK ? r.text : pm_error_text());
    }
    pm_executor_close(ex);
    if (n_failed) fail_msg("%d of %zu cases failed", n_failed, n);
}

static void test_cpu_table(void **state) {
    (void)state;
    run_table("cpu");
}

static void test_reference_table(void **state) {
    (void)state;
    run_table("reference");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_table),
        cmocka_unit_test(test_reference_table),
    };
    return run_all_tests(tests);
}
