/* Makes every pipeline that the cases of the operations select on a device, and runs none: for drivers whose device is not there
 * (vendors_test.sh).   usage: compile_kernels [DEVICE] */
#include <stdio.h>

#include "tests/support_ops.h"

int main(int argc, char **argv) {
    const char *device = argc > 1 ? argv[1] : "vulkan:0";
    pm_executor *ex = NULL;
    pm_executor_stats stats;
    size_t n = 0, n_failed = 0;
    const test_op_case *cases = test_op_cases(&n);
    if (pm_executor_open(device, NULL, &ex) != PM_OK) {
        fprintf(stderr, "compile_kernels: %s\n", pm_error_text());
        return PM_ERR_DEVICE;
    }
    for (size_t i = 0; i < n; i++) {
        if (test_load_op_case(ex, &cases[i]) == PM_OK) continue;
        n_failed++;
        fprintf(stderr, "compile_kernels: %s: %s\n", cases[i].name, pm_error_text());
    }
    pm_executor_get_stats(ex, &stats);
    printf("%s, %s: %zu cases, %llu pipelines, %zu failed\n", pm_executor_caps(ex)->name,
           pm_executor_caps(ex)->driver, n, (unsigned long long)stats.n_pipelines, n_failed);
    pm_executor_close(ex);
    return n_failed || !stats.n_pipelines ? PM_ERR_OTHER : 0;
}
