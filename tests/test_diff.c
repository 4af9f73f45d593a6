/* Differences of graphs: none whatever the numbering and the order; what was taken out, put in or changed is told, and no more. */
#include "graph/ir.h"
#include "tests/support_memory.h"
#include "tests/support_random_graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char base[] =
    "graph \"g\"\n%0 = input \"x\" f32[2,8]\n%1 = weight \"q\" f32[8,8]\n%2 = weight \"k\" f32[8,8]\n"
    "%3 = weight \"v\" f32[8,8]\n%4 = matmul(%0, %1) f32[2,8] @\"layers.0.self\"\n"
    "%5 = matmul(%0, %2) f32[2,8] @\"layers.0.self\"\n%6 = matmul(%0, %3) f32[2,8] @\"layers.0.self\"\n"
    "%7 = const f32[] data[0.5]\n%8 = mul(%4, %7) f32[2,8] @\"layers.0.self\"\n"
    "%9 = add(%8, %5) f32[2,8] @\"layers.0.self\"\n%10 = add(%9, %6) f32[2,8] @\"layers.0.ffn\"\n"
    "%11 = relu(%10) f32[2,8] @\"layers.0.ffn\"\noutput \"y\" %11\n";

static pm_graph *parse(const char *text) {
    pm_graph *g = NULL;
    assert_ok(pm_graph_parse(text, &g));
    return g;
}

/* The difference must have every line of `parts`, and as many lines that begin so as there are parts. */
static void expect(const char *a, const char *b, const char *const *parts) {
    pm_graph *x = parse(a), *y = parse(b);
    char *text = NULL;
    bool same = true;
    size_t n_parts = 0, n_lines = 0;
    assert_ok(pm_graph_diff(x, y, &text, &same));
    for (; parts[n_parts]; n_parts++)
        if (!strstr(text, parts[n_parts])) fail_msg("\"%s\" is not in\n%s", parts[n_parts], text);
    for (const char *at = text; (at = strstr(at, "\n  ")) != NULL; at++) n_lines++;
    if (!strncmp(text, "  ", 2)) n_lines++;
    if (n_lines != n_parts) fail_msg("%zu lines, %zu were expected, in\n%s", n_lines, n_parts, text);
    assert_int_equal(same, n_parts == 0);
    pm_text_release(text);
    pm_graph_destroy(x);
    pm_graph_destroy(y);
}

/* base with one part of its text replaced. */
static void expect_change(const char *from, const char *to, const char *const *parts) {
    char text[2048];
    const char *at = strstr(base, from);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, to, at + strlen(from));
    expect(base, text, parts);
}

static void changes_are_told(void **state) {
    (void)state;
    expect(base, base, (const char *[]){NULL});
    expect_change(
        "relu", "neg",
        (const char *[]){"  - %11 = relu", "  + %11 = neg", "  ~ output \"y\" %11 relu -> %11 neg", NULL});
    expect_change("data[0.5]", "data[0.25]", (const char *[]){"  ~ %7 const: values", NULL});
    expect_change("mul(%4, %7)", "mul(%5, %7)",
                  (const char *[]){"  ~ %8 mul: operand 0 %4 matmul -> %5 matmul", NULL});
    expect_change("%11 = relu(%10) f32[2,8] @\"layers.0.ffn\"", "%11 = relu(%10) f32[2,8] @\"layers.1.ffn\"",
                  (const char *[]){"  ~ %11 relu: label \"layers.0.ffn\" -> \"layers.1.ffn\"", NULL});
    expect_change("output \"y\"", "output \"z\"",
                  (const char *[]){"  - output \"y\"", "  + output \"z\"", NULL});
    expect_change("output", "%12 = neg(%11) f32[2,8] @\"head\"\noutput \"n\" %12\noutput",
                  (const char *[]){"  + %12 = neg(%11)", "  + output \"n\"", NULL});
}

/* The first of three products that differ in their weights alone goes: the others keep their partners. */
static void a_removed_twin_takes_no_other_along(void **state) {
    (void)state;
    const char *without =
        "graph \"g\"\n%0 = input \"x\" f32[2,8]\n%2 = weight \"k\" f32[8,8]\n%3 = weight \"v\" f32[8,8]\n"
        "%5 = matmul(%0, %2) f32[2,8] @\"layers.0.self\"\n%6 = matmul(%0, %3) f32[2,8] @\"layers.0.self\"\n"
        "%7 = const f32[] data[0.5]\n%8 = mul(%5, %7) f32[2,8] @\"layers.0.self\"\n"
        "%9 = add(%8, %5) f32[2,8] @\"layers.0.self\"\n%10 = add(%9, %6) f32[2,8] @\"layers.0.ffn\"\n"
        "%11 = relu(%10) f32[2,8] @\"layers.0.ffn\"\noutput \"y\" %11\n";
    expect(base, without,
           (const char *[]){"  - %1 = weight \"q\"", "  - %4 = matmul(%0, %1)",
                            "  ~ %8 mul (now %6): operand 0 %4 matmul -> %3 matmul", NULL});
}

static bool is_named(const pm_tensor *x) {
    return pm_op_get(x->op)->flags & PM_OPF_LEAF && x->kind != PM_KIND_CONST;
}

static bool writes_states(const pm_graph *g) {
    for (size_t i = 0; i < g->n_items; i++)
        if (pm_op_get(g->items[i]->op)->flags & PM_OPF_STATE) return true;
    return false;
}

/* The same tensors in another order of execution, and so with other numbers. */
static void order_and_numbers_do_not_count(void **state) {
    (void)state;
    test_rng r = {29};
    for (int n = 0; n < 40;) {
        pm_graph *g = test_random_graph(&r, 24, false), *o = NULL;
        char *text = NULL;
        bool same = false;
        if (writes_states(g)) { /* whose order counts */
            pm_graph_destroy(g);
            continue;
        }
        n++;
        assert_ok(pm_graph_create(g->name, &o));
        pm_tensor **of = calloc(g->n_items, sizeof(pm_tensor *));
        for (size_t left = g->n_items; left;) { /* any that is ready, by chance */
            size_t k = test_below(&r, (uint32_t)g->n_items);
            const pm_tensor *x = g->items[k];
            pm_tensor *in[PM_MAX_IN] = {NULL};
            bool ready = !of[k];
            for (int q = 0; q < x->n_in; q++) {
                in[q] = x->in[q] ? of[x->in[q]->id] : NULL;
                ready &= !x->in[q] || in[q];
            }
            if (!ready) continue;
            pm_graph_label(o, is_named(x) ? NULL : x->name);
            of[k] = pm_op_get(x->op)->flags & PM_OPF_LEAF
                        ? pm_add_leaf(o, x->op, x->name, x->dtype, x->rank, x->dims, x->data)
                        : pm_add_op(o, x->op, x->n_in, in, &x->attrs);
            assert_non_null(of[k]);
            left--;
        }
        for (size_t k = 0; k < g->n_outputs; k++)
            pm_output(o, g->outputs[k].name, of[g->outputs[k].tensor->id]);
        assert_ok(pm_graph_status(o));
        assert_ok(pm_graph_diff(g, o, &text, &same));
        if (!same) fail_msg("%s", text);
        pm_text_release(text);
        free(of);
        pm_graph_destroy(g);
        pm_graph_destroy(o);
    }
}

static pm_status differ(void *user) {
    pm_graph *const *graphs = user;
    char *text = NULL;
    bool same;
    pm_status s = pm_graph_diff(graphs[0], graphs[1], &text, &same);
    pm_text_release(text);
    return s;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    test_rng r = {31};
    pm_graph *graphs[] = {test_random_graph(&r, 12, false), test_random_graph(&r, 12, false)};
    assert_true(test_every_allocation(differ, graphs) > 8);
    for (int i = 0; i < 2; i++) pm_graph_destroy(graphs[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(a_removed_twin_takes_no_other_along),
        cmocka_unit_test(order_and_numbers_do_not_count),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
