/* Passes as text in, text out: folding, common subexpressions, dead code; what almost matches is left alone.
 * Also passes on random graphs. */
#include <math.h>

#include "graph/fold_eval.h"
#include "graph/ops.h"
#include "graph/rebuild.h"
#include "tests/support_memory.h"
#include "tests/support_pass_cases.h"
#include "tests/support_random_graph.h"

typedef pm_status (*pass_fn)(const pm_graph *g, pm_graph **out);

static pm_graph *parse(const char *text) {
    pm_graph *g;
    assert_ok(pm_graph_parse(text, &g));
    return g;
}

static char *print(const pm_graph *g) {
    char *text;
    assert_ok(pm_graph_print(g, &text));
    return text;
}

/* The pass makes `after` of `before`; NULL: the same again. Both stand without their first line. */
static void check(pass_fn pass, const char *before, const char *after) {
    char text[2048];
    snprintf(text, sizeof text, "graph \"g\"\n%s", before);
    pm_graph *in = parse(text), *out = NULL;
    char *in_text = print(in), *untouched, *got;
    assert_ok(pass(in, &out));
    assert_ok(pm_graph_verify(out));
    untouched = print(in);
    assert_string_equal(in_text, untouched); /* a pass never changes its argument */
    got = print(out);
    snprintf(text, sizeof text, "graph \"g\"\n%s", after ? after : before);
    pm_graph *want = parse(text);
    char *want_text = print(want);
    if (strcmp(got, want_text) != 0) fail_msg("before:\n%safter:\n%sexpected:\n%s", in_text, got, want_text);
    pm_graph_destroy(in);
    pm_graph_destroy(out);
    pm_graph_destroy(want);
    pm_text_release(in_text);
    pm_text_release(untouched);
    pm_text_release(got);
    pm_text_release(want_text);
}

/* Folding leaves what it no longer needs; dead code takes it away. */
static pm_status fold_and_clean(const pm_graph *g, pm_graph **out) {
    pm_graph *folded = NULL;
    *out = NULL;
    pm_status s = pm_pass_fold(g, &folded);
    if (s == PM_OK) s = pm_graph_verify(folded);
    if (s == PM_OK) s = pm_pass_dce(folded, out);
    pm_graph_destroy(folded);
    return s;
}

#define X "%0 = input \"x\" f32[2,3]\n"

/* ---- fold ---- */

static void neutral_elements_go(void **state) {
    (void)state;
    const char *lines[] = {
        "%1 = const f32[] data[1]\n%2 = mul(%0, %1) f32[2,3]\n",
        "%1 = const f32[] data[1]\n%2 = mul(%1, %0) f32[2,3]\n",
        "%1 = const f32[] data[0]\n%2 = add(%0, %1) f32[2,3]\n",
        "%1 = const f32[1,3] data[0,0,0]\n%2 = const f32[] data[1]\n%3 = div(%0, %2) f32[2,3]\n",
        "%1 = const f32[] data[0]\n%2 = sub(%0, %1) f32[2,3]\n",
        "%1 = const f32[1] data[1]\n%2 = expand(%1) {dims=[2,3]} f32[2,3]\n%3 = mul(%2, %0) f32[2,3]\n",
        "%1 = neg(%0) f32[2,3]\n%2 = neg(%1) f32[2,3]\n",
        "%1 = const bool[] data[1]\n%2 = neg(%0) f32[2,3]\n%3 = where(%1, %0, %2) f32[2,3]\n",
        "%1 = const bool[] data[0]\n%2 = neg(%0) f32[2,3]\n%3 = where(%1, %2, %0) f32[2,3]\n",
    };
    for (size_t i = 0; i < PM_COUNT(lines); i++) {
        char before[512];
        int last = strstr(lines[i], "%3 =") ? 3 : 2;
        snprintf(before, sizeof before, "%s%s%%4 = exp(%%%d) f32[2,3]\noutput \"y\" %%4\n", X, lines[i],
                 last);
        check(fold_and_clean, before, X "%1 = exp(%0) f32[2,3]\noutput \"y\" %1\n");
    }
}

/* A kernel that wants its elements side by side keeps the operation that puts them so. */
static void neutral_elements_stay_where_strides_matter(void **state) {
    (void)state;
    check(pm_pass_fold,
          "%0 = input \"x\" f32[3,4]\n"
          "%1 = weight \"w\" f32[3,4]\n"
          "%2 = input \"b\" f32[3,2]\n"
          "%3 = slice(%2) {axis=1, length=1} f32[3,1]\n"
          "%4 = reshape(%3) {dims=[3]} f32[3]\n"
          "%5 = const f32[] data[1]\n"
          "%6 = mul(%4, %5) f32[3]\n"
          "%7 = matmul(%0, %1, %6) f32[3,3]\n"
          "output \"y\" %7\n",
          NULL);
}

static void almost_neutral_stays(void **state) {
    (void)state;
    check(fold_and_clean, X "%1 = const f32[] data[1]\n%2 = sub(%1, %0) f32[2,3]\noutput \"y\" %2\n", NULL);
    check(fold_and_clean, X "%1 = const f32[] data[1]\n%2 = div(%1, %0) f32[2,3]\noutput \"y\" %2\n", NULL);
    check(fold_and_clean, X "%1 = const f32[] data[0]\n%2 = mul(%0, %1) f32[2,3]\noutput \"y\" %2\n",
          NULL); /* x may be NaN */
    check(fold_and_clean, X "%1 = const f32[] data[1.00000012]\n%2 = mul(%0, %1) f32[2,3]\noutput \"y\" %2\n",
          NULL);
    check(fold_and_clean, X "%1 = const f32[3] data[1,1,0.5]\n%2 = mul(%0, %1) f32[2,3]\noutput \"y\" %2\n",
          NULL);
    check(fold_and_clean, X "%1 = const f32[1,1,1] data[0]\n%2 = add(%0, %1) f32[1,2,3]\noutput \"y\" %2\n",
          NULL); /* other dims */
    check(fold_and_clean, X "%1 = weight \"one\" f32[]\n%2 = mul(%0, %1) f32[2,3]\noutput \"y\" %2\n", NULL);
    check(fold_and_clean, X "%1 = neg(%0) f32[2,3]\n%2 = abs(%1) f32[2,3]\noutput \"y\" %2\n", NULL);
}

static void constants_are_computed(void **state) {
    (void)state;
    check(fold_and_clean,
          X
          "%1 = const f32[] data[64]\n%2 = sqrt(%1) f32[]\n%3 = const f32[] data[1]\n%4 = div(%3, %2) f32[]\n"
          "%5 = mul(%0, %4) f32[2,3]\noutput \"y\" %5\n",
          X "%1 = const f32[] data[0.125]\n%2 = mul(%0, %1) f32[2,3]\noutput \"y\" %2\n");
    check(fold_and_clean,
          "%0 = const i32[3] data[5,-7,2]\n%1 = const i32[2,1] data[2,3]\n%2 = div(%0, %1) i32[2,3]\n%3 = "
          "to_f32(%2) f32[2,3]\n"
          "%4 = permute(%3) {axes=[1,0]} f32[3,2]\n%5 = slice(%4) {axis=0, start=1, length=2} "
          "f32[2,2]\noutput \"y\" %5\n",
          "%0 = const f32[2,2] data[-3,-2,1,0]\n%1 = copy(%0) f32[2,2]\noutput \"y\" %1\n");
    check(fold_and_clean, /* one value is broadcast, not written out */
          "%0 = const f32[] data[2]\n%1 = expand(%0) {dims=[50,100]} f32[50,100]\n%2 = const f32[] data[3]\n"
          "%3 = add(%1, %2) f32[50,100]\noutput \"y\" %3\n",
          "%0 = const f32[] data[5]\n%1 = expand(%0) {dims=[50,100]} f32[50,100]\n%2 = copy(%1) "
          "f32[50,100]\noutput \"y\" %2\n");
    check(fold_and_clean,
          "%0 = const bool[2] data[1,0]\n%1 = const f32[] data[-1]\n%2 = const f32[2] data[3,4]\n%3 = "
          "where(%0, %1, %2) f32[2]\n"
          "output \"y\" %3\n",
          "%0 = const f32[2] data[-1,4]\n%1 = copy(%0) f32[2]\noutput \"y\" %1\n");
}

static void unsure_constants_stay(void **state) {
    (void)state;
    check(fold_and_clean, "%0 = const f32[] data[-1]\n%1 = sqrt(%0) f32[]\noutput \"y\" %1\n",
          NULL); /* NaN */
    check(fold_and_clean,
          "%0 = const i32[] data[1]\n%1 = const i32[] data[0]\n%2 = div(%0, %1) i32[]\noutput \"y\" %2\n",
          NULL);
    check(fold_and_clean,
          "%0 = const i32[] data[2147483647]\n%1 = const i32[] data[1]\n%2 = add(%0, %1) i32[]\noutput \"y\" "
          "%2\n",
          NULL);
    check(fold_and_clean, "%0 = const f32[] data[1e10]\n%1 = to_i32(%0) i32[]\noutput \"y\" %1\n", NULL);
    /* masks are found by their comparisons, so that what is made of iota stays symbolic */
    check(fold_and_clean,
          "%0 = iota i32[4]\n%1 = reshape(%0) {dims=[4,1]} i32[4,1]\n%2 = le(%0, %1) bool[4,4]\noutput \"y\" "
          "%2\n",
          NULL);
    check(fold_and_clean,
          "%0 = const f32[3] data[1,2,3]\n%1 = expand(%0) {dims=[2000,3]} f32[2000,3]\n%2 = exp(%1) "
          "f32[2000,3]\n"
          "output \"y\" %2\n",
          NULL); /* too large to store */
}

static void evaluator_agrees_with_c(void **state) {
    (void)state;
    const struct {
        pm_op op;
        pm_dtype type;
        pm_word a, b, want;
        bool folds;
    } cases[] = {
        {PM_OP_SUB, PM_F32, {.f = 1.5f}, {.f = 4.0f}, {.f = -2.5f}, true},
        {PM_OP_MAX, PM_F32, {.f = 1.5f}, {.f = 4.0f}, {.f = 4.0f}, true},
        {PM_OP_MIN, PM_I32, {.i = 2}, {.i = -4}, {.i = -4}, true},
        {PM_OP_LT, PM_F32, {.f = 1.0f}, {.f = 1.0f}, {.i = 0}, true},
        {PM_OP_GE, PM_I32, {.i = 2147483647}, {.i = 2147483646}, {.i = 1}, true},
        {PM_OP_NE, PM_I32, {.i = 3}, {.i = 3}, {.i = 0}, true},
        {PM_OP_AND, PM_BOOL, {.i = 1}, {.i = 0}, {.i = 0}, true},
        {PM_OP_OR, PM_BOOL, {.i = 1}, {.i = 0}, {.i = 1}, true},
        {PM_OP_NOT, PM_BOOL, {.i = 1}, {.i = 0}, {.i = 0}, true},
        {PM_OP_TO_I32, PM_F32, {.f = -2.9f}, {.i = 0}, {.i = -2}, true},
        {PM_OP_TO_I32, PM_F32, {.f = 2147483648.0f}, {.i = 0}, {.i = 0}, false},
        {PM_OP_TO_F32, PM_BOOL, {.i = 1}, {.i = 0}, {.f = 1.0f}, true},
        {PM_OP_TO_BOOL, PM_I32, {.i = -3}, {.i = 0}, {.i = 1}, true},
        {PM_OP_DIV, PM_I32, {.i = INT32_MIN}, {.i = -1}, {.i = 0}, false},
        {PM_OP_DIV, PM_F32, {.f = 1.0f}, {.f = 0.0f}, {.f = INFINITY}, true},
        {PM_OP_EXP, PM_F32, {.f = 1.0f}, {.i = 0}, {.f = 2.71828183f}, true},
        {PM_OP_SIGMOID, PM_F32, {.f = 0.0f}, {.i = 0}, {.f = 0.5f}, true},
        {PM_OP_RSQRT, PM_F32, {.f = 4.0f}, {.i = 0}, {.f = 0.5f}, true},
        {PM_OP_RELU, PM_F32, {.f = -4.0f}, {.i = 0}, {.f = 0.0f}, true},
        {PM_OP_LOG, PM_F32, {.f = -1.0f}, {.i = 0}, {.f = 0.0f}, false},
        {PM_OP_ADD, PM_F32, {.f = NAN}, {.f = 1.0f}, {.f = 0.0f}, false},
        {PM_OP_MATMUL, PM_F32, {.f = 1.0f}, {.f = 1.0f}, {.f = 0.0f}, false},
    };
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_word in[3] = {cases[i].a, cases[i].b, {.i = 0}}, out = {.i = 0};
        bool folds = pm_fold_eval(cases[i].op, cases[i].type, in, &out);
        if (folds != cases[i].folds || (folds && out.i != cases[i].want.i))
            fail_msg("case %zu (%s): folds %d, word %#x", i, pm_op_get(cases[i].op)->name, folds,
                     (unsigned)out.i);
    }
}

static void views_are_joined(void **state) {
    (void)state;
    check(fold_and_clean,
          X "%1 = reshape(%0) {dims=[6]} f32[6]\n%2 = reshape(%1) {dims=[3,2]} f32[3,2]\n%3 = exp(%2) "
            "f32[3,2]\noutput \"y\" %3\n",
          X "%1 = reshape(%0) {dims=[3,2]} f32[3,2]\n%2 = exp(%1) f32[3,2]\noutput \"y\" %2\n");
    check(fold_and_clean,
          "%0 = input \"x\" f32[2,3,4]\n%1 = permute(%0) {axes=[1,2,0]} f32[3,4,2]\n%2 = permute(%1) "
          "{axes=[0,2,1]} f32[3,2,4]\n"
          "%3 = exp(%2) f32[3,2,4]\noutput \"y\" %3\n",
          "%0 = input \"x\" f32[2,3,4]\n%1 = permute(%0) {axes=[1,0,2]} f32[3,2,4]\n%2 = exp(%1) "
          "f32[3,2,4]\noutput \"y\" %2\n");
    check(fold_and_clean,
          "%0 = input \"x\" f32[9,4]\n%1 = slice(%0) {axis=0, start=2, length=6} f32[6,4]\n%2 = slice(%1) "
          "{axis=0, start=1, length=3} f32[3,4]\n"
          "%3 = exp(%2) f32[3,4]\noutput \"y\" %3\n",
          "%0 = input \"x\" f32[9,4]\n%1 = slice(%0) {axis=0, start=3, length=3} f32[3,4]\n%2 = exp(%1) "
          "f32[3,4]\noutput \"y\" %2\n");
    const char *undone[] = {
        "%1 = permute(%0) {axes=[1,0]} f32[3,2]\n%2 = permute(%1) {axes=[1,0]} f32[2,3]\n",
        "%1 = reshape(%0) {dims=[6]} f32[6]\n%2 = reshape(%1) {dims=[2,3]} f32[2,3]\n",
        "%1 = expand(%0) {dims=[2,3]} f32[2,3]\n%2 = slice(%1) {axis=1, length=3} f32[2,3]\n",
        "%1 = permute(%0) {axes=[0,1]} f32[2,3]\n%2 = reshape(%1) {dims=[2,3]} f32[2,3]\n",
        "%1 = copy(%0) f32[2,3]\n%2 = copy(%1) f32[2,3]\n",
    };
    for (size_t i = 0; i < PM_COUNT(undone); i++) {
        char before[512];
        snprintf(before, sizeof before, "%s%s%%4 = exp(%%2) f32[2,3]\noutput \"y\" %%4\n", X, undone[i]);
        check(fold_and_clean, before, X "%1 = exp(%0) f32[2,3]\noutput \"y\" %1\n");
    }
}

static void views_that_differ_stay(void **state) {
    (void)state;
    check(fold_and_clean,
          X "%1 = permute(%0) {axes=[1,0]} f32[3,2]\n%2 = reshape(%1) {dims=[3,2,1]} f32[3,2,1]\n"
            "%3 = exp(%2) f32[3,2,1]\noutput \"y\" %3\n",
          NULL);
    check(fold_and_clean,
          X "%1 = slice(%0) {axis=0, length=1} f32[1,3]\n%2 = slice(%1) {axis=1, length=2} f32[1,2]\n"
            "%3 = exp(%2) f32[1,2]\noutput \"y\" %3\n",
          NULL);
    check(fold_and_clean,
          X "%1 = permute(%0) {axes=[1,0]} f32[3,2]\n%2 = copy(%1) f32[3,2]\n%3 = exp(%2) f32[3,2]\noutput "
            "\"y\" %3\n",
          NULL);
    check(fold_and_clean, X "%1 = copy(%0) f32[2,3]\noutput \"y\" %1\n",
          NULL);          /* an output is never an input's memory */
    check(fold_and_clean, /* a square permute keeps the dims, but not the order */
          "%0 = input \"x\" f32[3,3]\n%1 = permute(%0) {axes=[1,0]} f32[3,3]\n%2 = exp(%1) f32[3,3]\noutput "
          "\"y\" %2\n",
          NULL);
}

#define CACHE "%0 = state \"s\" f32[1,1,4,2]\n%1 = input \"x\" f32[1,1,1,2]\n%2 = param \"p\" i32[]\n"

static void copies_of_states_stay(void **state) {
    (void)state;
    check(fold_and_clean,
          CACHE "%3 = copy(%0) f32[1,1,4,2]\n%4 = cache_write(%0, %1, %2) f32[1,1,4,2]\n"
                "%5 = exp(%3) f32[1,1,4,2]\noutput \"old\" %5\n",
          NULL);
}

static void check_fold_case(const test_pass_case *c, void *user) {
    (void)user, test_pass_case_check(c, pm_pass_fold);
}

static void values_and_orders_stay(void **state) {
    (void)state, test_each_pass_case("fold.txt", check_fold_case, NULL);
}

/* ---- cse ---- */

static void check_cse_case(const test_pass_case *c, void *user) {
    (void)user, test_pass_case_check(c, pm_pass_cse);
}

static void repeats_are_merged(void **state) {
    (void)state, test_each_pass_case("cse.txt", check_cse_case, NULL);
}

/* ---- dce ---- */

static void check_dce_case(const test_pass_case *c, void *user) {
    (void)user, test_pass_case_check(c, pm_pass_dce);
}

static void dead_code_goes(void **state) {
    (void)state, test_each_pass_case("dce.txt", check_dce_case, NULL);
}

/* ---- all together ---- */

static void random_graphs_stay_valid(void **state) {
    (void)state;
    const pass_fn passes[] = {pm_pass_fold, pm_pass_cse, pm_pass_dce, pm_simplify};
    test_rng r = {21};
    for (int i = 0; i < 100; i++) {
        pm_graph *g = test_random_graph(&r, 60, i % 2);
        for (size_t k = 0; k < PM_COUNT(passes); k++) {
            pm_graph *out, *again;
            assert_ok(passes[k](g, &out));
            assert_ok(pm_graph_verify(out));
            assert_int_equal(out->n_outputs, g->n_outputs);
            for (size_t o = 0; o < g->n_outputs; o++) {
                assert_string_equal(out->outputs[o].name, g->outputs[o].name);
                assert_true(pm_same_dims(out->outputs[o].tensor, g->outputs[o].tensor));
                assert_int_equal(out->outputs[o].tensor->dtype, g->outputs[o].tensor->dtype);
            }
            assert_ok(pm_simplify(out, &again));
            assert_true(again->n_items <= out->n_items + out->n_outputs);
            pm_graph_destroy(out);
            pm_graph_destroy(again);
        }
        pm_graph_destroy(g);
    }
}

static void simplify_settles(void **state) {
    (void)state;
    test_rng r = {22};
    for (int i = 0; i < 50; i++) {
        pm_graph *g = test_random_graph(&r, 60, false);
        for (int k = 0; k < 4; k++) {
            pm_graph *next;
            assert_ok(pm_simplify(g, &next));
            if (k == 3) {
                char *before = print(g), *after = print(next);
                assert_string_equal(before, after);
                pm_text_release(before);
                pm_text_release(after);
            }
            pm_graph_destroy(g);
            g = next;
        }
        pm_graph_destroy(g);
    }
}

static void optimize_verifies(void **state) {
    (void)state;
    test_rng r = {23};
    for (int i = 0; i < 50; i++) {
        pm_graph *g = test_random_graph(&r, 60, false), *out;
        assert_ok(pm_optimize(g, &out));
        assert_ok(pm_graph_verify(out));
        pm_graph_destroy(out);
        g->items[g->n_items - 1]->id = 0; /* refused before any pass reads it */
        assert_int_equal(pm_optimize(g, &out), PM_ERR_OTHER);
        assert_null(out);
        pm_graph_destroy(g);
    }
}

static void a_pass_that_forgets_is_told(void **state) {
    (void)state;
    pm_graph *g = parse("graph \"g\"\n" X "%1 = exp(%0) f32[2,3]\noutput \"y\" %1\n"), *out;
    pm_rebuild r;
    assert_ok(pm_rebuild_begin(g, &r));
    assert_null(pm_rebuild_tensor(&r, g->items[1]));
    assert_int_equal(pm_rebuild_end(&r, &out), PM_ERR_OTHER);
    assert_non_null(strstr(pm_error_text(), "%0 (input) is used, but the pass did not make it"));
    assert_null(out);
    pm_graph_destroy(g);
}

static void uses_are_counted(void **state) {
    (void)state;
    pm_graph *g =
        parse("graph \"g\"\n" X
              "%1 = mul(%0, %0) f32[2,3]\n%2 = add(%0, %1) f32[2,3]\noutput \"y\" %1\noutput \"z\" %1\n");
    uint32_t *uses = pm_count_uses(g);
    assert_int_equal(uses[0], 3);
    assert_int_equal(uses[1], 3);
    assert_int_equal(uses[2], 0);
    pm_free(uses);
    pm_graph_destroy(g);
}

static pm_status simplify_only(void *user) {
    pm_graph *out = NULL;
    pm_status s = pm_simplify(user, &out);
    pm_graph_destroy(out);
    return s;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    test_rng r = {24};
    pm_graph *g = test_random_graph(&r, 150, true);
    assert_true(test_every_allocation(simplify_only, g) > 15);
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neutral_elements_go),
        cmocka_unit_test(neutral_elements_stay_where_strides_matter),
        cmocka_unit_test(almost_neutral_stays),
        cmocka_unit_test(constants_are_computed),
        cmocka_unit_test(unsure_constants_stay),
        cmocka_unit_test(evaluator_agrees_with_c),
        cmocka_unit_test(views_are_joined),
        cmocka_unit_test(views_that_differ_stay),
        cmocka_unit_test(copies_of_states_stay),
        cmocka_unit_test(values_and_orders_stay),
        cmocka_unit_test(repeats_are_merged),
        cmocka_unit_test(dead_code_goes),
        cmocka_unit_test(random_graphs_stay_valid),
        cmocka_unit_test(simplify_settles),
        cmocka_unit_test(optimize_verifies),
        cmocka_unit_test(a_pass_that_forgets_is_told),
        cmocka_unit_test(uses_are_counted),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
