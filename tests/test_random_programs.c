/* Random graphs of all operations from builder to results, in small blocks and with several alignments: see
 * support_run_both.h. */
#include "tests/support_random_graph.h"
#include "tests/support_run_both.h"

static void test_passes_keep_results(void **state) {
    (void)state;
    test_rng r = {.state = 77};
    uint64_t n_elements = 0;
    for (int round = 0; round < 300; round++) {
        pm_graph *g = test_random_graph(&r, 5 + (int)test_below(&r, 50), round % 2);
        pm_caps caps;
        pm_caps_baseline(&caps);
        caps.binding_alignment = 16u << round % 5;
        if (round % 7 == 0) caps.max_block_bytes = 8192;
        n_elements += test_run_both(g, &caps, (uint64_t)round, 1);
        pm_graph_destroy(g);
    }
    print_message("%llu elements compared\n", (unsigned long long)n_elements);
    assert_true(n_elements > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes_keep_results)};
    return run_all_tests(tests);
}
