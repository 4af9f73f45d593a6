/* The fuse pass: each pattern as text in, text out, in several spellings, and what almost matches left alone
 * (tests/passes/fuse_*.txt). Also: a second run finds nothing more, random graphs stay valid, memory may run
 * out. */
#include "tests/support_memory.h"
#include "tests/support_pass_cases.h"
#include "tests/support_random_graph.h"

static void check_case(const test_pass_case *c, void *user) {
    pm_graph *once = NULL, *twice = NULL;
    char *once_text, *twice_text;
    (void)user;
    test_pass_case_check(c, pm_pass_fuse);
    assert_ok(pm_pass_fuse(c->before, &once));
    assert_ok(pm_pass_fuse(once, &twice));
    assert_ok(pm_graph_print(once, &once_text));
    assert_ok(pm_graph_print(twice, &twice_text));
    assert_string_equal(once_text, twice_text);
    pm_text_release(once_text);
    pm_text_release(twice_text);
    pm_graph_destroy(once);
    pm_graph_destroy(twice);
}

static void norms(void **state) {
    (void)state, test_each_pass_case("fuse_norm.txt", check_case, NULL);
}
static void activations(void **state) {
    (void)state, test_each_pass_case("fuse_act.txt", check_case, NULL);
}
static void rotary(void **state) {
    (void)state, test_each_pass_case("fuse_rotary.txt", check_case, NULL);
}
static void softmax(void **state) {
    (void)state, test_each_pass_case("fuse_softmax.txt", check_case, NULL);
}
static void log_softmax(void **state) {
    (void)state, test_each_pass_case("fuse_log_softmax.txt", check_case, NULL);
}
static void relative(void **state) {
    (void)state, test_each_pass_case("fuse_relative.txt", check_case, NULL);
}
static void sink(void **state) {
    (void)state, test_each_pass_case("fuse_sink.txt", check_case, NULL);
}
static void attention(void **state) {
    (void)state, test_each_pass_case("fuse_attention.txt", check_case, NULL);
}
static void places(void **state) {
    (void)state, test_each_pass_case("fuse_places.txt", check_case, NULL);
}
static void matmul(void **state) {
    (void)state, test_each_pass_case("fuse_matmul.txt", check_case, NULL);
}

static void grouped(void **state) {
    (void)state, test_each_pass_case("fuse_grouped.txt", check_case, NULL);
}

/* The passes before this one must not hide a pattern from it: through all of them, each case that fuses still
 * ends with at most as many operations that run. */
static size_t n_running(const pm_graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_items; i++)
        n += !(pm_op_get(g->items[i]->op)->flags & (PM_OPF_LEAF | PM_OPF_VIEW));
    return n;
}

static void check_optimized(const test_pass_case *c, void *user) {
    pm_graph *fused = NULL, *optimized = NULL;
    (void)user;
    assert_ok(pm_pass_fuse(c->before, &fused));
    assert_ok(pm_optimize(c->before, &optimized));
    if (n_running(optimized) > n_running(fused))
        fail_msg("case %s: %zu operations after all passes, %zu after fusing alone", c->name,
                 n_running(optimized), n_running(fused));
    pm_graph_destroy(fused);
    pm_graph_destroy(optimized);
}

static void earlier_passes_hide_nothing(void **state) {
    (void)state;
    const char *files[] = {"fuse_norm.txt",        "fuse_act.txt",       "fuse_rotary.txt",
                           "fuse_softmax.txt",     "fuse_attention.txt", "fuse_matmul.txt",
                           "fuse_log_softmax.txt", "fuse_places.txt",    "fuse_relative.txt",
                           "fuse_grouped.txt",     "fuse_sink.txt"};
    for (size_t i = 0; i < PM_COUNT(files); i++) test_each_pass_case(files[i], check_optimized, NULL);
}

static void random_graphs_stay_valid(void **state) {
    (void)state;
    test_rng rng = {11};
    for (int i = 0; i < 300; i++) {
        pm_graph *g = test_random_graph(&rng, 60, i % 2), *fused = NULL;
        assert_ok(pm_pass_fuse(g, &fused));
        assert_ok(pm_graph_verify(fused));
        assert_int_equal(fused->n_outputs, g->n_outputs);
        for (size_t k = 0; k < g->n_outputs; k++)
            assert_true(pm_same_dims(g->outputs[k].tensor, fused->outputs[k].tensor));
        pm_graph_destroy(g);
        pm_graph_destroy(fused);
    }
}

/* Operands that are used twice at every level: 2^30 paths lead to the leaves. */
static void shared_operands_take_no_time(void **state) {
    (void)state;
    pm_graph *g, *fused;
    assert_ok(pm_graph_create("shared", &g));
    pm_tensor *key = pm_iota(g, 4), *row = pm_reshape(g, pm_iota(g, 3), 2, (int64_t[]){3, 1});
    for (int i = 0; i < 30; i++) key = pm_add(g, key, key);
    pm_tensor *mask = pm_lt(g, pm_const_i32(g, 0), pm_const_i32(g, 1)); /* always: a mask of no form */
    for (int i = 0; i < 30; i++) mask = pm_and(g, mask, mask);
    mask = pm_and(g, mask, pm_le(g, key, row));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){3, 4});
    pm_output(g, "y", pm_softmax(g, pm_where(g, mask, x, pm_const_f32(g, PM_MASKED))));
    assert_ok(pm_pass_fuse(g, &fused));
    pm_graph_destroy(g);
    pm_graph_destroy(fused);
}

static pm_status fuse_and_drop(void *user) {
    pm_graph *out = NULL;
    pm_status s = pm_pass_fuse(user, &out);
    pm_graph_destroy(out);
    return s;
}

static void run_out_of_memory(const test_pass_case *c, void *user) {
    (void)user;
    if (strcmp(c->name, "block") == 0) assert_true(test_every_allocation(fuse_and_drop, c->before) > 10);
}

static void memory_may_run_out(void **state) {
    (void)state;
    test_each_pass_case("fuse_attention.txt", run_out_of_memory, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms),
        cmocka_unit_test(activations),
        cmocka_unit_test(rotary),
        cmocka_unit_test(softmax),
        cmocka_unit_test(log_softmax),
        cmocka_unit_test(relative),
        cmocka_unit_test(sink),
        cmocka_unit_test(attention),
        cmocka_unit_test(places),
        cmocka_unit_test(matmul),
        cmocka_unit_test(grouped),
        cmocka_unit_test(earlier_passes_hide_nothing),
        cmocka_unit_test(random_graphs_stay_valid),
        cmocka_unit_test(shared_operands_take_no_time),
        cmocka_unit_test(memory_may_run_out),
    };
    return run_all_tests(tests);
}
