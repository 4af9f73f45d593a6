/* The layout pass: copies that go and copies that must stay, as text in, text out (tests/passes/layout.txt);
 * random graphs stay valid; memory may run out. */
#include "tests/support_memory.h"
#include "tests/support_pass_cases.h"
#include "tests/support_random_graph.h"

static void check_case(const test_pass_case *c, void *user) {
    (void)user;
    test_pass_case_check(c, pm_pass_layout);
}

static void copies(void **state) {
    (void)state, test_each_pass_case("layout.txt", check_case, NULL);
}

static size_t n_copies(const pm_graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_items; i++) n += g->items[i]->op == PM_OP_COPY;
    return n;
}

static void random_graphs_stay_valid(void **state) {
    (void)state;
    test_rng rng = {12};
    size_t before = 0, after = 0;
    for (int i = 0; i < 300; i++) {
        pm_graph *g = test_random_graph(&rng, 60, i % 2), *out = NULL;
        assert_ok(pm_pass_layout(g, &out));
        assert_ok(pm_graph_verify(out));
        assert_true(n_copies(out) <= n_copies(g));
        before += n_copies(g);
        after += n_copies(out);
        pm_graph_destroy(g);
        pm_graph_destroy(out);
    }
    assert_true(after < before);
}

static pm_status lay_out_and_drop(void *user) {
    pm_graph *out = NULL;
    pm_status s = pm_pass_layout(user, &out);
    pm_graph_destroy(out);
    return s;
}

static void run_out_of_memory(const test_pass_case *c, void *user) {
    (void)user;
    assert_true(test_every_allocation(lay_out_and_drop, c->before) > 3);
}

static void memory_may_run_out(void **state) {
    (void)state;
    test_each_pass_case("layout.txt", run_out_of_memory, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies),
        cmocka_unit_test(random_graphs_stay_valid),
        cmocka_unit_test(memory_may_run_out),
    };
    return run_all_tests(tests);
}
