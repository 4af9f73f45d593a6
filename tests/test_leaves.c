/* Leaves and states: a name stands for one leaf, however many there are; a state is read and written in the order of its
 * versions. */
#include "graph/compile.h"
#include "graph/ir.h"
#include "runtime/executor.h"
#include "tests/support.h"

static void leaves_by_name_are_one(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("leaves", &g));
    pm_tensor *w = pm_weight(g, "w", PM_F32, 1, (int64_t[]){3});
    assert_ptr_equal(pm_weight(g, "w", PM_F32, 1, (int64_t[]){3}), w);
    assert_ptr_not_equal(pm_input(g, "w", PM_F32, 1, (int64_t[]){3}), w);
    assert_ptr_equal(pm_param(g, "p"), pm_param(g, "p"));
    assert_null(pm_weight(g, "w", PM_I32, 1, (int64_t[]){3}));
    assert_int_equal(pm_graph_status(g), PM_ERR_USAGE);
    pm_graph_destroy(g);
}

static void many_leaves_are_found(void **state) {
    (void)state;
    pm_graph *g;
    enum { N = 20000 };
    pm_tensor **first = pm_calloc(N, sizeof *first);
    assert_non_null(first);
    assert_ok(pm_graph_create("leaves", &g));
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < N; i++) {
            char name[32];
            snprintf(name, sizeof name, "layers.%d.weight", i / 3);
            pm_tensor *t = i % 3 == 0   ? pm_weight(g, name, PM_F32, 1, (int64_t[]){2})
                           : i % 3 == 1 ? pm_input(g, name, PM_F32, 1, (int64_t[]){2})
                                        : pm_param(g, name);
            assert_non_null(t);
            if (round == 0) first[i] = t;
            assert_ptr_equal(first[i], t);
        }
    assert_int_equal(g->n_items, N);
    assert_null(pm_state(g, "layers.7.weight", PM_F32, 1, (int64_t[]){2})); /* a weight has the name */
    pm_free(first);
    pm_graph_destroy(g);
}

/* The use of a state after it was overwritten is told where it stands. */
static void old_versions_are_refused(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        pm_graph *g;
        assert_ok(pm_graph_create("states", &g));
        pm_tensor *s0 = pm_state(g, "s", PM_F32, 4, (int64_t[]){1, 1, 4, 2}), *p = pm_param(g, "p");
        pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){1, 1, 1, 2}), *view = pm_slice(g, s0, 2, 0, 2);
        pm_tensor *s1 = pm_cache_write(g, s0, x, p);
        switch (i) {
        case 0: (void)pm_exp(g, s0); break;
        case 1: (void)pm_exp(g, pm_transpose(g, view, 2, 3)); break;
        case 2: (void)pm_cache_write(g, s0, x, p); break;
        case 3: pm_output(g, "y", s0); break;
        default: (void)pm_cache_write(g, pm_cache_write(g, s1, x, p), pm_slice(g, s1, 2, 0, 1), p); break;
        }
        assert_int_equal(pm_graph_status(g), PM_ERR_USAGE);
        assert_non_null(strstr(pm_error_text(), "of state \"s\", but %"));
        pm_graph_destroy(g);
    }
}

/* What is written comes from before the write. */
static void a_state_moves_within_itself(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("shift", &g));
    pm_tensor *s = pm_state(g, "s", PM_I32, 4, (int64_t[]){1, 1, 4, 1});
    pm_tensor *position = pm_reshape(g, pm_slice(g, s, 2, 0, 1), 0, NULL);
    pm_tensor *w = pm_cache_write(g, s, pm_slice(g, s, 2, 0, 3), position);
    assert_ok(pm_graph_status(g));
    assert_int_equal(w->in[1]->op, PM_OP_COPY);
    assert_int_equal(w->in[2]->op, PM_OP_COPY);
    assert_ptr_equal(w->base, s);
    assert_ok(pm_graph_verify(g));
    pm_graph_destroy(g);
}

/* The same, run: each row takes the one before it, and none of them takes one that was taken already. */
static void moved_rows_arrive(void **state) {
    (void)state;
    pm_graph *g;
    pm_program *p;
    pm_executor *ex;
    pm_loaded *l;
    float rows[4] = {1, 2, 3, 4};
    assert_ok(pm_graph_create("shift", &g));
    pm_tensor *s = pm_state(g, "s", PM_F32, 4, (int64_t[]){1, 1, 4, 1});
    (void)pm_cache_write(g, s, pm_slice(g, s, 2, 0, 3), pm_const_i32(g, 1));
    assert_ok(pm_compile(g, NULL, &p));
    assert_ok(pm_executor_open("reference", NULL, &ex));
    assert_ok(pm_executor_put(ex, "s", rows, sizeof rows));
    assert_ok(pm_executor_load(ex, p, &l));
    assert_ok(pm_loaded_run(l));
    assert_ok(pm_executor_get(ex, "s", rows, sizeof rows));
    assert_memory_equal(rows, ((float[]){1, 1, 2, 3}), sizeof rows);
    pm_loaded_unload(l);
    pm_executor_close(ex);
    pm_program_destroy(p);
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_by_name_are_one),   cmocka_unit_test(many_leaves_are_found),
        cmocka_unit_test(old_versions_are_refused), cmocka_unit_test(a_state_moves_within_itself),
        cmocka_unit_test(moved_rows_arrive),
    };
    return run_all_tests(tests);
}
