/* Building graphs: the shape rule of every operation, good and bad; storage of views; errors that stick;
 * outputs. */
#include "graph/ops.h"
#include "tests/support_memory.h"
#include "tests/support_random_graph.h"

/* ---- shape rules, through the text form: one line on top of these tensors ---- */

static const char prelude[] = "graph \"rules\"\n"
                              "%0 = input \"f23\" f32[2,3]\n"
                              "%1 = input \"f45\" f32[4,5]\n"
                              "%2 = input \"i\" i32[3]\n"
                              "%3 = input \"b\" bool[2,1]\n"
                              "%4 = param \"p\" i32[]\n"
                              "%5 = input \"f3\" f32[3]\n"
                              "%6 = input \"q\" f32[2,6,4,8]\n"
                              "%7 = input \"k\" f32[2,3,5,8]\n"
                              "%8 = state \"s\" f32[2,3,9,8]\n"
                              "%9 = input \"key_mask\" i32[2,5]\n"
                              "%10 = input \"length\" i32[2]\n"
                              "%11 = input \"bias\" f32[1,6,4,5]\n"
                              "%12 = input \"cos\" f32[4,8]\n"
                              "%13 = input \"f253\" f32[2,5,3]\n"
                              "%14 = input \"scalar\" f32[]\n"
                              "%15 = input \"f5\" f32[5]\n"
                              "%16 = permute(%0) {axes=[1,0]} f32[3,2]\n"
                              "%17 = input \"big\" f32[2000000000]\n"
                              "%18 = permute(%7) {axes=[0,1,3,2]} f32[2,3,8,5]\n"
                              "%19 = input \"cosb\" f32[2,1,4,8]\n"
                              "%20 = input \"i23\" i32[2,3]\n"
                              "%21 = input \"f1\" f32[1]\n"
                              "%22 = permute(%20) {axes=[1,0]} i32[3,2]\n"
                              "%23 = input \"words\" i32[7]\n"
                              "%24 = input \"rows\" i32[10,7]\n"
                              "%25 = slice(%24) {axis=1, length=1} i32[10,1]\n"
                              "%26 = input \"turned\" i32[7,10]\n"
                              "%27 = permute(%26) {axes=[1,0]} i32[10,7]\n";

typedef struct rule {
    const char *line;
    const char *error; /* NULL: no error; else a part of its text */
} rule;

static void check_rules(const rule *rules, size_t n) {
    char text[4096];
    for (size_t i = 0; i < n; i++) {
        pm_graph *g = NULL;
        snprintf(text, sizeof text, "%s%%90 = %s\n", prelude, rules[i].line);
        pm_status s = pm_graph_parse(text, &g);
        if (!rules[i].error && s != PM_OK) fail_msg("%s: %s", rules[i].line, pm_error_text());
        if (rules[i].error && s != PM_ERR_FILE)
            fail_msg("%s: status %d, an error was expected", rules[i].line, (int)s);
        if (rules[i].error && !strstr(pm_error_text(), rules[i].error))
            fail_msg("%s: the error is \"%s\", \"%s\" was expected", rules[i].line, pm_error_text(),
                     rules[i].error);
        pm_graph_destroy(g);
    }
}

static void views(void **state) {
    (void)state;
    const rule rules[] = {
        {"reshape(%0) {dims=[6]} f32[6]", NULL},
        {"reshape(%0) {dims=[-1,2]} f32[3,2]", NULL},
        {"reshape(%14) f32[]", NULL},
        {"reshape(%14) {dims=[1,1]} f32[1,1]", NULL},
        {"reshape(%0) {dims=[7]} f32[7]", "[2,3] to [7]"},
        {"reshape(%0) {dims=[4,-1]} f32[4,1]", "[2,3] to [4,-1]"},
        {"reshape(%0) {dims=[-1,-1]} f32[2,3]", "dim 1 of [-1,-1] is -1"},
        {"reshape(%0) {dims=[0,-1]} f32[2,3]", "dim 0 of [0,-1] is 0"},
        {"reshape(%0) {dims=[4294967296,4294967296]} f32[6]", "equally many"},
        {"permute(%0) {axes=[1,0]} f32[3,2]", NULL},
        {"permute(%14) f32[]", NULL},
        {"permute(%0) {axes=[1,1]} f32[3,2]", "axis 1 stands twice"},
        {"permute(%0) {axes=[2,0]} f32[3,2]", "axis 2"},
        {"permute(%0) {axes=[0]} f32[3,2]", "1 axes for [2,3]"},
        {"slice(%1) {axis=1, start=2, length=3} f32[4,3]", NULL},
        {"slice(%1) {axis=-1, length=5} f32[4,5]", NULL},
        {"slice(%1) {axis=1, start=2, length=4} f32[4,4]", "4 elements from 2"},
        {"slice(%1) {axis=1, start=-1, length=2} f32[4,2]", "2 elements from -1"},
        {"slice(%1) {axis=1, start=2} f32[4,0]", "0 elements"},
        {"slice(%1) {axis=2, length=1} f32[4,1]", "axis 2"},
        {"windows(%1) {axis=1, length=3, step=1} f32[4,3,3]", NULL},
        {"windows(%1) {axis=-1, length=2, step=2} f32[4,2,2]", NULL},
        {"windows(%1) {length=3, step=9} f32[1,3,5]", NULL},
        {"windows(%1) {length=5, step=1} f32[1,5,5]", "5 elements at steps of 1"},
        {"windows(%1) {length=2} f32[3,2,5]", "steps of 0"},
        {"windows(%1) {axis=1, length=0, step=1} f32[4,6,0]", "0 elements"},
        {"windows(%1) {axis=1, length=1, step=9223372036854775807} f32[4,1,1]",
         "steps of 9223372036854775807"},
        {"windows(%1) {axis=2, length=1, step=1} f32[4,5,1,1]", "axis 2"},
        {"as_i32(%0) i32[2,3]", "bool was expected"},
        {"slice(%1) {axis=1, start=9223372036854775807, length=9223372036854775807} f32[4,1]",
         "elements from"},
        {"expand(%5) {dims=[7,3]} f32[7,3]", NULL},
        {"expand(%3) {dims=[2,4]} bool[2,4]", NULL},
        {"expand(%5) {dims=[3,7]} f32[3,7]", "[3] to [3,7]"},
        {"expand(%0) {dims=[3]} f32[3]", "[2,3] to [3]"},
        {"expand(%5) {dims=[2000000000,3]} f32[2000000000,3]", "too many elements"},
    };
    check_rules(rules, PM_COUNT(rules));
}

static void elementwise(void **state) {
    (void)state;
    const rule rules[] = {
        {"copy(%3) bool[2,1]", NULL},
        {"exp(%0) f32[2,3]", NULL},
        {"exp(%2) i32[3]", "x is i32[3], f32 was expected"},
        {"neg(%2) i32[3]", "f32 was expected"},
        {"gelu(%0) f32[2,3]", NULL},
        {"not(%3) bool[2,1]", NULL},
        {"not(%0) bool[2,3]", "bool was expected"},
        {"to_f32(%3) f32[2,1]", NULL},
        {"to_f32(%2) f32[3]", NULL},
        {"to_f32(%0) f32[2,3]", "x is f32[2,3], i32 or bool was expected"},
        {"to_i32(%0) i32[2,3]", NULL},
        {"to_i32(%2) i32[3]", "f32 or bool was expected"},
        {"to_bool(%2) bool[3]", NULL},
        {"to_bool(%0) bool[2,3]", "i32 was expected"},
        {"add(%0, %5) f32[2,3]", NULL},
        {"add(%2, %4) i32[3]", NULL},
        {"div(%14, %0) f32[2,3]", NULL},
        {"max(%0, %13) f32[2,5,3]", "[2,3] and [2,5,3] do not broadcast: dim -2 is 2 and 5"},
        {"add(%0, %1) f32[4,5]", "[2,3] and [4,5] do not broadcast"},
        {"add(%0, %2) f32[2,3]", "a is f32[2,3] and b is i32[3]"},
        {"mul(%3, %3) bool[2,1]", "f32 or i32 was expected"},
        {"lt(%2, %4) bool[3]", NULL},
        {"eq(%0, %0) bool[2,3]", NULL},
        {"eq(%3, %3) bool[2,1]", "f32 or i32"},
        {"and(%3, %3) bool[2,1]", NULL},
        {"or(%3, %2) bool[2,3]", "b is i32[3], bool was expected"},
        {"glu(%0, %0) {act=silu} f32[2,3]", NULL},
        {"glu(%0, %0) f32[2,3]", "act is 0"},
        {"glu(%0, %0) {act=tanh} f32[2,3]", "act is 5"},
        {"where(%3, %0, %5) f32[2,3]", NULL},
        {"where(%0, %0, %5) f32[2,3]", "cond is f32[2,3], bool was expected"},
        {"where(%3, %0, %2) f32[2,3]", "one type"},
        {"add(%0) f32[2,3]", "add: 1 inputs, 2 to 2 were expected"},
        {"add(%0, _) f32[2,3]", "add: input 1 is missing"},
        {"exp(%0, %0) f32[2,3]", "exp: 2 inputs"},
    };
    check_rules(rules, PM_COUNT(rules));
}

static void rows(void **state) {
    (void)state;
    const rule rules[] = {
        {"sum(%13) {axis=1} f32[2,1,3]", NULL},
        {"mean(%13) {axis=-1} f32[2,5,1]", NULL},
        {"reduce_max(%13) {axis=3} f32[2,5,1]", "axis 3 of a tensor of rank 3, -3 to 2"},
        {"sum(%2) i32[1]", "f32 was expected"},
        {"sum(%14) f32[]", "rank 0"},
        {"argmax(%13) i32[2,5]", NULL},
        {"argmax(%5) i32[]", NULL},
        {"argmax(%2) i32[]", "f32 was expected"},
        {"sample(%13, %23, %4) i32[2,5]", NULL},
        {"sample(%13, %24, %25) i32[2,5]", NULL},
        {"sample(%5, %23, %4) i32[]", NULL},
        {"sample(%2, %23, %4) i32[]", "x is i32[3], f32 was expected"},
        {"sample(%13, %24, %24) i32[2,5]", "count is [10,7], one element or 10 evenly spaced ones"},
        {"sample(%13, %23, %5) i32[2,5]", "count is f32[3], i32 was expected"},
        {"sample(%13, %2, %4) i32[2,5]", "settings is [3], [7] or [10,7] with stride 1 was expected"},
        {"sample(%13, %27, %4) i32[2,5]", "settings is [10,7], [7] or [10,7] with stride 1 was expected"},
        {"sample(%5, %24, %4) i32[]", "settings is [10,7], [7] or [1,7]"},
        {"sample(%13, %0, %4) i32[2,5]", "settings is f32[2,3], i32 was expected"},
        {"softmax(%13) f32[2,5,3]", NULL},
        {"softmax(%14) f32[]", "rank 0"},
        {"softmax(%11, %4) {mask=causal|position} f32[1,6,4,5]", NULL},
        {"softmax(%11, %4) {mask=causal} f32[1,6,4,5]", "mask does not name position"},
        {"softmax(%11) {mask=causal|length} f32[1,6,4,5]", "mask names length, but the operand is absent"},
        {"softmax(%11, %2) {mask=causal|position} f32[1,6,4,5]", "rank 0 or [B] for scores [1,6,4,5]"},
        {"softmax(%11, %14) {mask=causal|position} f32[1,6,4,5]", "i32 was expected"},
        {"softmax(%5) {mask=causal} f32[3]", "rank 2 was expected"},
        {"softmax(%11) {window=3, mask=window} f32[1,6,4,5]", NULL},
        {"softmax(%11) {mask=window} f32[1,6,4,5]", "window is 0"},
        {"softmax(%11) {window=3} f32[1,6,4,5]", "window is 3"},
        {"softmax(%13, _, _, _, %0) {origin=-2, mask=bias|relative} f32[2,5,3]", NULL},
        {"softmax(%13, _, _, _, %0) {mask=relative} f32[2,5,3]", "mask does not name bias"},
        {"softmax(%13) {mask=relative} f32[2,5,3]", "mask names relative, but the operand is absent"},
        {"softmax(%13, _, _, _, %1) {mask=bias|relative} f32[2,5,3]", "bias is [4,5], [H,N] or [1,N]"},
        {"softmax(%13, _, _, _, %13) {mask=bias|relative} f32[2,5,3]", "bias is [2,5,3], [H,N] or [1,N]"},
        {"softmax(%13, _, _, _, %0) {origin=4294967296, mask=bias|relative} f32[2,5,3]",
         "origin is 4294967296"},
        {"softmax(%13, _, _, _, %0) {origin=-1073741824, mask=bias|relative} f32[2,5,3]", NULL},
        {"softmax(%13, _, _, _, %0) {origin=1073741825, mask=bias|relative} f32[2,5,3]",
         "softmax: origin is 1073741825, -1073741824 to 1073741824 was expected"},
        {"softmax(%13, _, _, _, %0) {origin=-1073741825, mask=bias|relative} f32[2,5,3]",
         "origin is -1073741825"},
        {"softmax(%13) {origin=3} f32[2,5,3]", "origin is 3"},
        {"softmax(%0, _, _, _, %3) {mask=sink} f32[2,3]", "bias is bool[2,1], f32 was expected"},
        {"softmax(%0, _, _, _, %14) {mask=sink} f32[2,3]", NULL},
        {"softmax(%0, _, _, _, %14) {mask=bias|sink} f32[2,3]", "[..,T,1] alone"},
        {"softmax(%0, _, _, _, %5) {mask=sink} f32[2,3]", "sink is [3], [..,T,1]"},
        {"softmax(%0) {mask=sink} f32[2,3]", "mask names bias, but the operand is absent"},
        {"softmax(%5, _, _, _, %0) {mask=bias|relative} f32[3]", "rank 2 was expected"},
        {"softmax(%11) {scale=0x7f800000} f32[1,6,4,5]", "finite"},
        {"layer_norm(%0, %5, %5) {eps=1e-5} f32[2,3]", NULL},
        {"layer_norm(%0, _, %5) {eps=1e-5} f32[2,3]", NULL},
        {"layer_norm(%0) f32[2,3]", NULL},
        {"layer_norm(%0, %15) f32[2,3]", "gamma is [5], [3] with stride 1 was expected"},
        {"layer_norm(%0, _, %2) f32[2,3]", "beta is i32[3]"},
        {"rms_norm(%0, %5) {eps=1e-6} f32[2,3]", NULL},
        {"rms_norm(%0, %5, %5) f32[2,3]", "3 inputs"},
        {"rms_norm(%0, %5) {eps=-1} f32[2,3]", "eps is -1"},
    };
    check_rules(rules, PM_COUNT(rules));
}

static void products(void **state) {
    (void)state;
    const rule rules[] = {
        {"matmul(%0, %13) f32[2,2,5]", NULL},
        {"matmul(%0, %0) f32[2,2]", NULL},
        {"matmul(%0, %1) f32[2,4]", "matmul: a [2,3] and b [4,5] do not agree: K is 3 and 5"},
        {"matmul(%6, %7) f32[2,3,4,5]", "dim -3 is 6 and 3"},
        {"matmul(%0, %5) f32[2]", "rank 2 or more"},
        {"matmul(%20, %0) f32[2,2]", "a is i32[2,3]"},
        {"matmul(%0, %13, %15) {act=gelu, scale=0.5} f32[2,2,5]", NULL},
        {"matmul(%0, %13, %5) f32[2,2,5]", "bias is [3], [5] with stride 1"},
        {"matmul(%16, %16, _, %5) f32[3,3]", NULL},
        {"matmul(%16, %16, _, %15) f32[3,3]", "residual is [5]"},
        {"matmul(%16, %16, _, %14) f32[3,3]", "residual is []"},
        {"matmul(%0, %0) {act=sine} f32[2,2]", "\"sine\""},
        {"attention(%6, %7, %7) {scale=0.35} f32[2,6,4,8]", NULL},
        {"attention(%6, %7, %7, %4, %10, %9, %11) {window=4, mask=causal|window|length|keys|bias|position} "
         "f32[2,6,4,8]",
         NULL},
        {"attention(%6, %7, %7, _, _, %9) {mask=keys} f32[2,6,4,8]", NULL},
        {"attention(%6, %7, %7, _, _, %20) {mask=keys} f32[2,6,4,8]", "key_mask is [2,3]"},
        {"attention(%6, %7, %7, _, %2) {mask=length} f32[2,6,4,8]", "length is [3]"},
        {"attention(%6, %7, %7, _, _, _, %15) {mask=bias} f32[2,6,4,8]", NULL},
        {"attention(%6, %7, %7, _, _, _, %5) {mask=bias} f32[2,6,4,8]", "bias is [3]"},
        {"attention(%6, %7, %7, _, _, _, %21) {mask=bias} f32[2,6,4,8]", "stride 1 over S = 5"},
        {"attention(%6, %7, %7, _, _, _, _, %13) f32[2,6,4,8]", "q [2,6,4,8]"},
        {"attention(%6, %7, %7, _, _, _, _, %13) f32[2,6,4,8]", "[B,H,T,2D]"},
        {"attention(%7, %6, %6) f32[2,3,5,8]", "H a multiple of G"},
        {"attention(%6, %7, %6) f32[2,6,4,8]", "v [2,6,4,8]"},
        {"attention(%6, %18, %18) f32[2,6,4,8]", "k is [2,3,8,5], rank 4 with stride 1"},
        {"attention(%0, %7, %7) f32[2,3]", "q is [2,3], rank 4"},
    };
    check_rules(rules, PM_COUNT(rules));
}

static void data(void **state) {
    (void)state;
    const rule rules[] = {
        {"gather(%0, %2) f32[3,3]", NULL},
        {"gather(%0, %4) f32[3]", NULL},
        {"gather(%20, %20) i32[2,3,3]", NULL},
        {"gather(%13, %2) f32[3,5,3]", "rank 2"},
        {"gather(%0, %5) f32[3,3]", "ids is f32[3], i32 was expected"},
        {"gather(%0, %22) f32[3,2,3]", "evenly spaced"},
        {"concat(%0, %0, %0) f32[6,3]", NULL},
        {"concat(%0, %0) {axis=-1} f32[2,6]", NULL},
        {"concat(%0, %1) f32[6,3]", "parts f32[2,3] and f32[4,5]"},
        {"concat(%0, %20) f32[4,3]", "parts f32[2,3] and i32[2,3]"},
        {"concat(%0, _, %0) f32[4,3]", "input 1 is missing"},
        {"concat(%17, %17) f32[4000000000]", "too many elements"},
        {"concat(%14, %14) f32[2]", "axis 0"},
        {"cache_write(%8, %7, %4) f32[2,3,9,8]", NULL},
        {"cache_write(%7, %7, %4) f32[2,3,5,8]", "the result of input, a state was expected"},
        {"cache_write(%8, %6, %4) f32[2,3,9,8]", "x f32[2,6,4,8]"},
        {"cache_write(%8, %7, %2) f32[2,3,9,8]", "position is [3], rank 0 or [2]"},
        {"cache_write(%8, %7, %4, %0) f32[2,3,9,8]", "one of cos and sin is missing"},
        {"cache_write(%8, %7, %4, %0, %0) f32[2,3,9,8]", "cos [2,3] turns 3 dims of a head"},
        {"advance(%8, %4, %2) i32[85]", "a dense state i32[85] or i32[85,B] was expected"},
        {"rotary(%6, %12, %12) f32[2,6,4,8]", NULL},
        {"rotary(%6, %19, %12) f32[2,6,4,8]", NULL},
        {"rotary(%6, %6, %12) f32[2,6,4,8]", "cos is [2,6,4,8]"},
        {"rotary(%18, %12, %12) f32[2,3,8,5]", "an even number up to 5"},
        {"rotary(%6, %12, %5) f32[2,6,4,8]", "sin is [3]"},
        {"rel_shift(%6) {length=3} f32[2,6,4,3]", NULL},
        {"rel_shift(%6, %4) {length=9} f32[2,6,4,9]", NULL},
        {"rel_shift(%6, %2) {length=9} f32[2,6,4,9]", "position is [3], rank 0 or [2]"},
        {"rel_shift(%5) {length=9} f32[9]", "x is [3], [..,T,N]"},
        {"rel_shift(%6) f32[2,6,4,0]", "length is 0"},
        {"log_softmax(%0) f32[2,3]", NULL},
        {"log_softmax(%14) f32[]", "rank 0"},
        {"iota i32[4]", NULL},
        {"iota f32[4]", "i32 of rank 1"},
        {"param \"x\" i32[2]", "i32 of rank 0"},
        {"weight \"x\" f16[2]", "type f16, f32, i32 or bool"},
        {"weight \"\" f32[2]", "no name"},
        {"input \"x\" f32[2,0]", "dim 1 of [2,0] is 0"},
        {"input \"x\" f32[65536,65536]", "too many elements"},
        {"input \"x\" f32[9223372036854775807,9223372036854775807]", "too many elements"},
        {"input \"q\" f32[2]", "but it was input f32[2,6,4,8] before"},
        {"weight \"s\" f32[2,3,9,8]", "but it was state"},
    };
    check_rules(rules, PM_COUNT(rules));
}

/* Every operation with a shape rule is made by test_random_graph, which fails when one is refused. */
static void every_operation_is_built(void **state) {
    (void)state;
    test_rng r = {1};
    bool seen[PM_N_OPS] = {false};
    for (int i = 0; i < 100; i++) {
        pm_graph *g = test_random_graph(&r, 100, true);
        for (size_t k = 0; k < g->n_items; k++) seen[g->items[k]->op] = true;
        assert_ok(pm_graph_verify(g));
        pm_graph_destroy(g);
    }
    for (int op = 0; op < PM_N_OPS; op++)
        if (!seen[op]) fail_msg("%s was not made in 100 random graphs", pm_op_get((pm_op)op)->name);
}

/* ---- builders ---- */

static void first_error_sticks(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("sticky", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){2, 3}),
              *w = pm_input(g, "w", PM_F32, 2, (int64_t[]){4, 5});
    pm_tensor *y = pm_matmul(g, x, w);
    assert_null(y);
    assert_int_equal(pm_graph_status(g), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "a [2,3] and b [4,5] do not agree: K is 3 and 5"));
    size_t n = g->n_items;
    assert_null(pm_add(g, y, x)); /* and no builder trips over what is missing */
    assert_null(pm_transpose(g, y, 0, 1));
    assert_null(pm_permute(g, y, (int[]){1, 0}));
    assert_null(pm_reshape(g, y, 1, (int64_t[]){-1}));
    assert_null(pm_slice(g, y, 0, 0, 1));
    assert_null(pm_gather(g, y, y));
    assert_null(pm_concat(g, 2, (pm_tensor *[]){y, x}, 0));
    assert_null(pm_cast(g, y, PM_I32));
    assert_null(pm_cache_write(g, y, y, y));
    assert_null(pm_iota(g, 3));
    pm_output(g, "y", y);
    assert_int_equal(g->n_items, n);
    assert_int_equal(g->n_outputs, 0);
    assert_int_equal(pm_tensor_rank(y), 0);
    assert_int_equal(pm_tensor_dim(y, -1), 0);
    pm_graph_destroy(g);
    pm_graph_destroy(NULL);
}

static void missing_and_foreign_tensors(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) {
        pm_graph *g, *other;
        assert_ok(pm_graph_create("one", &g));
        assert_ok(pm_graph_create("other", &other));
        pm_tensor *x = pm_input(g, "x", PM_F32, 1, (int64_t[]){2}),
                  *y = pm_input(other, "y", PM_F32, 1, (int64_t[]){2});
        if (i == 0) (void)pm_add(g, x, NULL);
        if (i == 1) (void)pm_add(g, x, y);
        if (i == 2) pm_output(g, "x", y);
        if (i == 3) pm_output(g, NULL, x);
        if (i == 4) (void)pm_transpose(g, x, 0, 1);
        if (i == 5) (void)pm_reshape(g, x, PM_MAX_DIMS + 1, (int64_t[]){1, 1, 1, 1, 1, 2});
        assert_int_equal(pm_graph_status(g), PM_ERR_USAGE);
        pm_graph_destroy(g);
        pm_graph_destroy(other);
    }
}

static void assert_strides(const pm_tensor *t, int64_t offset, const int64_t *strides) {
    assert_int_equal(t->offset, offset);
    for (int k = 0; k < t->rank; k++) assert_int_equal(t->strides[k], strides[k]);
}

static void views_share_storage(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("views", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){4, 5, 6});
    pm_tensor *heads = pm_transpose(g, pm_reshape(g, x, 4, (int64_t[]){4, 5, 2, 3}), 1, 2);
    assert_strides(heads, 0, (int64_t[]){30, 3, 6, 1});
    pm_tensor *part = pm_slice(g, heads, 2, 1, 3);
    assert_strides(part, 6, (int64_t[]){30, 3, 6, 1});
    assert_ptr_equal(part->base, x);
    assert_ok(pm_graph_verify(g));
    pm_graph_destroy(g);
}

static void reshape_copies_only_when_it_must(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("reshape", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){4, 5, 6});
    pm_tensor *t = pm_transpose(g, x, 0, 1); /* [5,4,6], strides 6,30,1 */
    pm_tensor *split = pm_reshape(g, t, 5, (int64_t[]){5, 2, 2, 1, 6});
    assert_ptr_equal(split->base, x);
    assert_strides(split, 0, (int64_t[]){6, 60, 30, 6, 1});
    pm_tensor *joined = pm_reshape(g, t, 2, (int64_t[]){20, 6});
    assert_int_equal(joined->base->op, PM_OP_COPY);
    assert_strides(joined, 0, (int64_t[]){6, 1});
    pm_tensor *wide = pm_expand(g, pm_slice(g, x, 0, 1, 1), 3, (int64_t[]){7, 5, 6});
    assert_strides(wide, 30, (int64_t[]){0, 6, 1});
    assert_ptr_equal(pm_reshape(g, wide, 2, (int64_t[]){7, 30})->base, x);
    assert_int_equal(pm_reshape(g, wide, 2, (int64_t[]){35, 6})->base->op, PM_OP_COPY);
    assert_ok(pm_graph_verify(g));
    pm_graph_destroy(g);
}

static void outputs_are_dense_and_keep_their_values(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("outputs", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){4, 6}), *y = pm_exp(g, x);
    pm_tensor *cache = pm_state(g, "s", PM_F32, 4, (int64_t[]){1, 1, 8, 6});
    cache = pm_cache_write(g, cache, pm_reshape(g, y, 4, (int64_t[]){1, 1, 4, 6}), pm_param(g, "position"));
    const struct {
        pm_tensor *t;
        bool copied;
    } cases[] = {
        {y, false},
        {pm_slice(g, y, 0, 1, 2), false}, /* rows: dense, with an offset */
        {pm_slice(g, y, 1, 1, 2), true},  /* columns */
        {pm_transpose(g, y, 0, 1), true},
        {pm_expand(g, y, 3, (int64_t[]){2, 4, 6}), true},
        {x, true},
        {cache, false}, /* as long as nothing writes it behind */
        {pm_iota(g, 3), true},
        {pm_const_f32(g, 1), true},
        {pm_param(g, "position"), true},
    };
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        char name[8];
        snprintf(name, sizeof name, "y%zu", i);
        pm_output(g, name, cases[i].t);
        assert_ok(pm_graph_status(g));
        pm_tensor *o = g->outputs[i].tensor;
        assert_int_equal(o != cases[i].t, cases[i].copied);
        assert_true(pm_is_dense(o) && (o->base->kind == PM_KIND_TEMP || o == cache));
    }
    assert_ok(pm_graph_verify(g));
    (void)pm_cache_write(g, cache, pm_reshape(g, y, 4, (int64_t[]){1, 1, 4, 6}), pm_param(g, "position"));
    assert_int_equal(pm_graph_verify(g), PM_ERR_OTHER);
    pm_output(g, "y0", y);
    assert_int_equal(pm_graph_status(g), PM_ERR_USAGE);
    pm_graph_destroy(g);
}

static void labels_are_copied(void **state) {
    (void)state;
    pm_graph *g;
    char label[] = "layers.0";
    assert_ok(pm_graph_create("labels", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 0, NULL);
    pm_graph_label(g, label);
    pm_tensor *y = pm_exp(g, x);
    memset(label, 'x', sizeof label - 1);
    pm_tensor *z = pm_exp(g, y);
    pm_graph_label(g, NULL);
    assert_string_equal(y->name, "layers.0");
    assert_string_equal(z->name, "layers.0");
    assert_string_equal(x->name, "x");
    assert_null(pm_exp(g, z)->name);
    pm_graph_destroy(g);
}

static void concat_of_many(void **state) {
    (void)state;
    pm_graph *g;
    pm_tensor *parts[71];
    assert_ok(pm_graph_create("many", &g));
    for (int i = 0; i < 71; i++) parts[i] = pm_expand(g, pm_const_i32(g, i), 2, (int64_t[]){2, 1 + i % 3});
    pm_tensor *all = pm_concat(g, 71, parts, 1);
    assert_ok(pm_graph_status(g));
    assert_int_equal(pm_tensor_dim(all, 0), 2);
    assert_int_equal(pm_tensor_dim(all, 1), 24 * 1 + 24 * 2 + 23 * 3);
    assert_ok(pm_graph_verify(g));
    assert_null(pm_concat(g, 0, NULL, 0));
    pm_graph_destroy(g);
}

/* A list has no optional parts, wherever they stand. */
static void concat_misses_nothing(void **state) {
    (void)state;
    for (int n = 2; n <= 17; n++) {
        pm_graph *g;
        assert_ok(pm_graph_create("concat", &g));
        pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){2, 3}), *parts[17];
        for (int i = 0; i < n; i++) parts[i] = i + 1 < n ? x : NULL;
        assert_null(pm_concat(g, n, parts, 1));
        assert_int_equal(pm_graph_status(g), PM_ERR_USAGE);
        assert_non_null(strstr(pm_error_text(), "is missing"));
        pm_graph_destroy(g);
    }
}

static void layouts(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("layouts", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){2, 3, 1}), *y = pm_exp(g, x),
              *v = pm_transpose(g, x, 0, 1);
    assert_ok(pm_tensor_set_strides(y, (int64_t[]){1, 2, 99}));
    assert_false(pm_is_dense(y));
    assert_ok(pm_graph_verify(g));
    assert_int_equal(pm_tensor_set_strides(y, (int64_t[]){1, 3, 1}), PM_ERR_USAGE);
    assert_int_equal(pm_tensor_set_strides(x, (int64_t[]){1, 2, 1}), PM_ERR_USAGE);
    assert_int_equal(pm_tensor_set_strides(v, (int64_t[]){1, 3, 1}), PM_ERR_USAGE);
    pm_tensor *m = pm_matmul(g, x, x); /* [2,3,3] */
    assert_ok(pm_tensor_set_strides(m, (int64_t[]){3, 6, 1}));
    assert_int_equal(pm_tensor_set_strides(m, (int64_t[]){9, 1, 3}), PM_ERR_USAGE);
    assert_int_equal(pm_tensor_set_strides(pm_sum(g, m, 2), (int64_t[]){1, 2, 1}), PM_ERR_USAGE);
    pm_graph_destroy(g);
}

static void scalars(void **state) {
    (void)state;
    pm_graph *g;
    float v = 0;
    assert_ok(pm_graph_create("scalars", &g));
    pm_tensor *c = pm_const_data(g, PM_F32, 1, (int64_t[]){3}, (float[]){1, 2, 3});
    assert_false(pm_is_const_scalar(c, &v));
    assert_true(pm_is_const_scalar(pm_expand(g, pm_slice(g, c, 0, 2, 1), 2, (int64_t[]){4, 5}), &v));
    assert_true(v == 3.0f);
    assert_true(pm_is_const_scalar(pm_const_i32(g, -7), &v) && v == -7.0f);
    assert_false(pm_is_const_scalar(pm_const_i32(g, (1 << 24) + 1), &v));
    assert_false(pm_is_const_scalar(pm_iota(g, 1), &v));
    assert_false(pm_is_const_scalar(pm_param(g, "p"), &v));
    pm_graph_destroy(g);
}

static void costs(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("costs", &g));
    pm_tensor *a = pm_input(g, "a", PM_F32, 3, (int64_t[]){2, 3, 4}),
              *b = pm_input(g, "b", PM_F32, 2, (int64_t[]){5, 4});
    pm_tensor *y = pm_matmul(g, a, b), *s = pm_sum(g, y, 1);
    assert_int_equal(pm_op_get(y->op)->cost(y), 2 * 3 * 5 * 4);
    assert_int_equal(pm_op_get(s->op)->cost(s), 2 * 3 * 5);
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, (int64_t[]){1, 2, 3, 4}),
              *k = pm_input(g, "k", PM_F32, 4, (int64_t[]){1, 1, 7, 4});
    pm_tensor *t = pm_add_op(g, PM_OP_ATTENTION, 3, (pm_tensor *[]){q, k, k}, NULL);
    assert_int_equal(pm_op_get(t->op)->cost(t), 2 * 2 * 3 * 4 * 7);
    pm_graph_destroy(g);
}

enum { UNKNOWN = 1 << 20 }; /* a position that is a parameter; beside it, 0 is no position */

/* Attention of 2 heads of 4 with all that the mask names. */
static uint64_t cost_of_attention(uint32_t mask, int64_t t, int64_t s, int64_t window, int position) {
    pm_graph *g;
    assert_ok(pm_graph_create("costs", &g));
    pm_tensor *q = pm_input(g, "q", PM_F32, 4, (int64_t[]){1, 2, t, 4}),
              *k = pm_input(g, "k", PM_F32, 4, (int64_t[]){1, 1, s, 4});
    pm_tensor *in[PM_ATTN_PLACES + 1] = {q, k, k};
    if (position) in[PM_ATTN_POSITION] = position == UNKNOWN ? pm_param(g, "at") : pm_const_i32(g, position);
    if (mask & PM_MASK_KEYS)
        in[PM_ATTN_KEY_MASK] = pm_input(g, "keys", PM_I32, 2, (int64_t[]){1, s + (s + 31) / 32});
    const pm_attrs attrs = {.mask = mask | (position ? PM_MASK_POSITION : 0), .window = window};
    pm_tensor *y = pm_add_op(g, PM_OP_ATTENTION, PM_ATTN_PLACES + 1, in, &attrs);
    if (!y) fail_msg("%s", pm_error_text());
    uint64_t cost = pm_op_get(y->op)->cost(y);
    pm_graph_destroy(g);
    return cost;
}

/* Pairs that the band lets through, counted one by one. */
static uint64_t count_pairs(uint32_t mask, int64_t t, int64_t s, int64_t window, int position) {
    uint64_t n = 0;
    for (int64_t i = position; i < position + t; i++)
        for (int64_t j = 0; j < s; j++)
            n += (!(mask & PM_MASK_CAUSAL) || j <= i) && (!(mask & PM_MASK_WINDOW) || j > i - window);
    return n;
}

static void costs_of_masks(void **state) {
    (void)state;
    static const int64_t sizes[] = {1, 2, 9, 40}, windows[] = {1, 7, 39, 100};
    static const int positions[] = {0, 3, -5, 38, 60, -60};
    const uint32_t causal = PM_MASK_CAUSAL, window = PM_MASK_WINDOW, both = causal | window;
    const uint64_t each = 2 * 2 * 4; /* products, heads, head size */
    for (size_t i = 0; i < PM_COUNT(sizes); i++)
        for (size_t j = 0; j < PM_COUNT(sizes); j++)
            for (size_t w = 0; w < PM_COUNT(windows); w++)
                for (size_t at = 0; at < PM_COUNT(positions); at++) {
                    int64_t t = sizes[i], s = sizes[j], wide = windows[w];
                    int p = positions[at];
                    assert_int_equal(cost_of_attention(causal, t, s, 0, p),
                                     each * count_pairs(causal, t, s, 0, p));
                    assert_int_equal(cost_of_attention(window, t, s, wide, p),
                                     each * count_pairs(window, t, s, wide, p));
                    assert_int_equal(cost_of_attention(both, t, s, wide, p),
                                     each * count_pairs(both, t, s, wide, p));
                }
    assert_int_equal(cost_of_attention(causal, 3, 50, 0, UNKNOWN), each * 3 * 50);
    assert_int_equal(cost_of_attention(both, 3, 50, 7, UNKNOWN), each * 3 * 7);
    assert_int_equal(cost_of_attention(both, 3, 50, 70, UNKNOWN), each * 3 * 50);
    /* Longformer's band of 8 on both sides, and a block of global keys: not all 1000. */
    uint64_t band = each * count_pairs(both, 1000, 1000, 17, 8);
    assert_int_equal(cost_of_attention(both | PM_MASK_GLOBAL | PM_MASK_KEYS, 1000, 1000, 17, 8),
                     band + each * 1000 * 32);
    assert_int_equal(cost_of_attention(both | PM_MASK_GLOBAL | PM_MASK_KEYS, 20, 20, 17, 8), each * 20 * 20);
}

/* ---- memory ---- */

static pm_status build_everything(void *user) {
    pm_graph *g = NULL;
    (void)user;
    PM_TRY(pm_graph_create("memory", &g));
    float big[20000] = {0};
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){3, 4});
    pm_graph_label(g, "layers.0");
    for (int i = 0; i < 80; i++)
        x = pm_reshape(g, pm_transpose(g, x, 0, 1), 2, (int64_t[]){3, 4}); /* each with a copy */
    x = pm_add(g, x, pm_slice(g, pm_const_data(g, PM_F32, 2, (int64_t[]){5000, 4}, big), 0, 0, 3));
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "y%d", i);
        pm_output(g, name, pm_transpose(g, x, 0, 1));
    }
    pm_status s = pm_graph_status(g);
    pm_graph_destroy(g);
    return s;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    assert_true(test_every_allocation(build_everything, NULL) > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(elementwise),
        cmocka_unit_test(rows),
        cmocka_unit_test(products),
        cmocka_unit_test(data),
        cmocka_unit_test(every_operation_is_built),
        cmocka_unit_test(first_error_sticks),
        cmocka_unit_test(missing_and_foreign_tensors),
        cmocka_unit_test(views_share_storage),
        cmocka_unit_test(reshape_copies_only_when_it_must),
        cmocka_unit_test(outputs_are_dense_and_keep_their_values),
        cmocka_unit_test(labels_are_copied),
        cmocka_unit_test(concat_of_many),
        cmocka_unit_test(concat_misses_nothing),
        cmocka_unit_test(layouts),
        cmocka_unit_test(scalars),
        cmocka_unit_test(costs),
        cmocka_unit_test(costs_of_masks),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
