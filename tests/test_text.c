/* The text form: what is printed parses back to the same graph; malformed text is refused with its line, and
 * never crashes. Also the JSON and dot forms. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "graph/compile.h"
#include "graph/ops.h"
#include "graph/lexer.h"
#include "tests/support_memory.h"
#include "tests/support_random_graph.h"

static char *print(const pm_graph *g) {
    char *text = NULL;
    assert_ok(pm_graph_print(g, &text));
    return text;
}

/* ---- round trips ---- */

static void assert_same_tensor(const pm_tensor *a, const pm_tensor *b) {
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->dtype, b->dtype);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->n_in, b->n_in);
    assert_true(pm_same_dims(a, b));
    assert_int_equal(a->base->id, b->base->id);
    assert_int_equal(a->offset, b->offset);
    assert_memory_equal(a->strides, b->strides, (size_t)a->rank * sizeof a->strides[0]);
    assert_true(pm_attrs_equal(&a->attrs, &b->attrs));
    assert_true(!a->name == !b->name && (!a->name || strcmp(a->name, b->name) == 0));
    assert_true(!a->data == !b->data);
    if (a->data) assert_memory_equal(a->data, b->data, pm_storage_bytes(a));
    for (int i = 0; i < a->n_in; i++) {
        assert_int_equal(!a->in[i], !b->in[i]);
        if (a->in[i]) assert_int_equal(a->in[i]->id, b->in[i]->id);
    }
}

static void assert_same_graph(const pm_graph *a, const pm_graph *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->n_items, b->n_items);
    assert_int_equal(a->n_outputs, b->n_outputs);
    for (size_t i = 0; i < a->n_items; i++) assert_same_tensor(a->items[i], b->items[i]);
    for (size_t i = 0; i < a->n_outputs; i++) {
        assert_string_equal(a->outputs[i].name, b->outputs[i].name);
        assert_int_equal(a->outputs[i].tensor->id, b->outputs[i].tensor->id);
    }
}

static void check_round_trip(const pm_graph *g) {
    char *text = print(g), *again;
    pm_graph *parsed;
    assert_ok(pm_graph_parse(text, &parsed));
    assert_same_graph(g, parsed);
    again = print(parsed);
    assert_string_equal(text, again);
    pm_graph_destroy(parsed);
    pm_text_release(text);
    pm_text_release(again);
}

static void random_graphs_round_trip(void **state) {
    (void)state;
    test_rng r = {7};
    for (int i = 0; i < 200; i++) {
        pm_graph *g = test_random_graph(&r, 60, i % 2);
        check_round_trip(g);
        pm_graph_destroy(g);
    }
}

static void layouts_round_trip(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(pm_graph_create("layouts", &g));
    pm_tensor *x = pm_exp(g, pm_input(g, "x", PM_F32, 3, (int64_t[]){2, 3, 4}));
    assert_ok(pm_tensor_set_strides(x, (int64_t[]){4, 8, 1}));
    pm_output(g, "y",
              pm_reshape(g, pm_transpose(g, x, 0, 1), 2, (int64_t[]){6, 4})); /* dense through the layout */
    assert_int_equal(g->outputs[0].tensor->base->id, x->id);
    check_round_trip(g);
    pm_graph_destroy(g);
}

static void constants_keep_their_bits(void **state) {
    (void)state;
    test_rng r = {3};
    uint32_t words[512] = {0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x7f800000, 0xff800000,
                           0x7fc00000, 0xffc01234, 0x7f7fffff, 0x00800000, 0x3f800001, 0x7f800001};
    for (size_t i = 12; i < PM_COUNT(words); i++) words[i] = (uint32_t)test_random(&r);
    pm_graph *g;
    assert_ok(pm_graph_create("constants", &g));
    (void)pm_const_data(g, PM_F32, 2, (int64_t[]){2, 256}, words);
    (void)pm_const_data(g, PM_I32, 1, (int64_t[]){512}, words);
    (void)pm_const_data(g, PM_BOOL, 1, (int64_t[]){512}, words);
    assert_ok(pm_graph_status(g));
    check_round_trip(g);
    pm_graph_destroy(g);
}

static void names_of_all_kinds(void **state) {
    (void)state;
    const char *names[] = {"a",           "a b",   "quote\"",  "back\\slash",
                           "line\nbreak", "tab\t", "\x01\x7f", "\xc3\xa4 \xe4\xb8\xad",
                           "# no comment"};
    pm_graph *g;
    assert_ok(pm_graph_create("new\nline", &g));
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        pm_tensor *x = pm_input(g, names[i], PM_F32, 0, NULL);
        pm_graph_label(g, names[i]);
        pm_output(g, names[i], pm_exp(g, x));
    }
    assert_ok(pm_graph_status(g));
    check_round_trip(g);
    pm_graph_destroy(g);
}

static void hand_written_text(void **state) {
    (void)state;
    pm_graph *g;
    assert_ok(
        pm_graph_parse("# a comment\n\n  graph   \"hand\"  # more\r\n%3=input \"x\" f32[ 2 , 3 ]\n\t%10 = "
                       "exp ( %3 ) f32[2,3]@\"l\"\n"
                       "%11 = slice(%10) {axis=-1, start=1, length=2} f32[2,2]\noutput \"y\" %11 # done",
                       &g));
    char *text = print(g);
    assert_string_equal(
        text,
        "graph \"hand\"\n%0 = input \"x\" f32[2,3]\n%1 = exp(%0) f32[2,3] @\"l\"\n"
        "%2 = slice(%1) {axis=1, start=1, length=2} f32[2,2]\n%3 = copy(%2) f32[2,2]\noutput \"y\" %3\n");
    pm_text_release(text);
    pm_graph_destroy(g);
}

static void numbers_end_where_they_end(void **state) {
    (void)state;
    const char *cursor = " -1.5e-3,";
    float value = 0;
    assert_ok(pm_lex_f32(&cursor, &value));
    assert_true(value == -1.5e-3f && *cursor == ',');
}

/* ---- errors ---- */

static void malformed_text(void **state) {
    (void)state;
#define HEAD "graph \"g\"\n%0 = input \"x\" f32[2,3]\n"
    static const struct {
        const char *text;
        const char *error;
    } cases[] = {
        {"", "graph text, line 1: nothing in it"},
        {"# only this\n\n", "line 3: nothing in it"},
        {"grape \"g\"", "line 1: graph \"name\" was expected before \"grape"},
        {"graph g", "a quoted name was expected before \"g\""},
        {"graph \"g", "'\"' at the end of a name"},
        {"graph \"\\q\"", "an escape"},
        {"graph \"\\u0000\"", "an escape"},
        {"graph \"\\u00", "an escape"},
        {"graph \"g\" \"h\"", "the end of the line"},
        {HEAD "graph \"g\"", "line 3: %, output or # was expected"},
        {HEAD "%1", "'=' was expected before \"\""},
        {HEAD "%1 = ", "an operation was expected"},
        {HEAD "%1 = frobnicate(%0) f32[2,3]", "\"frobnicate\": an operation's name was expected"},
        {HEAD "%0 = exp(%0) f32[2,3]", "%0: more than %0 was expected"},
        {HEAD "%-1 = exp(%0) f32[2,3]", "-1: 0 to 4294967295"},
        {HEAD "%99999999999999999999 = exp(%0) f32[2,3]", "0 to 4294967295"},
        {HEAD "%2 = exp(%1) f32[2,3]", "line 3: %1: a tensor of an earlier line was expected"},
        {HEAD "%2 = exp(%2) f32[2,3]", "%2: a tensor of an earlier line"},
        {HEAD "%2 = exp %0 f32[2,3]", "'(' was expected before \"%0"},
        {HEAD "%2 = exp(%0 %0) f32[2,3]", "',' was expected"},
        {HEAD "%2 = exp(%0", "',' was expected before \"\""},
        {HEAD "%2 = concat(%0,%0,%0,%0,%0,%0,%0,%0,%0) f32[18,3]", "')' after eight inputs"},
        {HEAD "%2 = exp(%0) f32[2,4]", "its result is f32[2,3], the line says f32[2,4]"},
        {HEAD "%2 = exp(%0) i32[2,3]", "the line says i32[2,3]"},
        {HEAD "%2 = exp(%0) f32[2,3", "',' was expected before"},
        {HEAD "%2 = exp(%0) f32[1,1,1,1,1,1]", "']' after five dims"},
        {HEAD "%2 = exp(%0) f32[2,3,]", "an integer was expected"},
        {HEAD "%2 = exp(%0) f33[2,3]", "type \"f33\""},
        {HEAD "%2 = exp(%0)", "a type was expected"},
        {HEAD "%2 = exp(%0) f32[2,3] strides[1]", "strides: 1 of them, 2 were expected"},
        {HEAD "%2 = exp(%0) f32[2,3] strides[1,1]", "a dense order"},
        {HEAD "%2 = matmul(%0, %0) f32[2,2] strides[1,2]", "line 3: matmul: strides [1,2] for [2,2]"},
        {HEAD "%2 = input \"i\" i32[2,2]\n%3 = gather(%0, %2) f32[2,2,3] strides[3,6,1]",
         "line 4: gather: strides [3,6,1]"},
        {HEAD "%2 = permute(%0) {axes=[1,0]} f32[3,2] strides[1,3]", "a dense order of its own storage"},
        {HEAD "%2 = exp(%0) f32[2,3] nonsense", "the end of the line"},
        {HEAD "%2 = sum(%0) {axle=1} f32[2,1]", "\"axle\": an attribute's name"},
        {HEAD "%2 = sum(%0) {axis} f32[2,1]", "'=' was expected"},
        {HEAD "%2 = sum(%0) {axis=one} f32[2,1]", "an integer was expected"},
        {HEAD "%2 = sum(%0) {axis=4294967296} f32[2,1]", "integer 4294967296"},
        {HEAD "%2 = sum(%0) {axis=1, axis=0} f32[2,1]", "\"axis\": stands twice"},
        {HEAD "%2 = sum(%0) {axis=1 f32[2,1]", "'}' was expected"},
        {HEAD "%2 = sum(%0) {} f32[1,3]", "an attribute was expected"},
        {HEAD "%2 = reshape(%0) {dims=[6], axes=[0]} f32[6]", "only one of them"},
        {HEAD "%2 = permute(%0) {axes=[0,-9]} f32[2,3]", "axes: -9"},
        {HEAD "%2 = softmax(%0) {mask=casual} f32[2,3]", "\"casual\""},
        {HEAD "%2 = softmax(%0) {scale=fast} f32[2,3]", "a number was expected"},
        {HEAD "%2 = softmax(%0) {scale=0xg} f32[2,3]", "a number's bits"},
        {HEAD "%2 = const f32[2]", "data[...] was expected"},
        {HEAD "%2 = const f32[2] data[1]", "1 values for [2], 2 were expected"},
        {HEAD "%2 = const f32[2] data[1,2,3]", "']' was expected"},
        {HEAD "%2 = const f32[2000000000] data[1,2,3]", "3 values for [2000000000]"},
        {HEAD "%2 = const i32[1] data[1.5]", "']' was expected"},
        {HEAD "%2 = const i32[1] data[2147483648]", "integer 2147483648"},
        {HEAD "%2 = const u8[1] data[1]", "type u8, f32, i32 or bool"},
        {HEAD "%2 = input f32[2]", "a quoted name"},
        {HEAD "output \"y\"", "'%' was expected"},
        {HEAD "output \"y\" %5", "%5: a tensor"},
        {HEAD "output \"\" %0", "output \"\": a name"},
        {HEAD "output \"y\" %0\noutput \"y\" %0", "line 4: output \"y\": stands twice"},
        {HEAD "%1 = state \"s\" f32[1,1,4,2]\n%2 = input \"k\" f32[1,1,1,2]\n%3 = param \"p\" i32[]\n"
              "%4 = cache_write(%1, %2, %3) f32[1,1,4,2]\n%5 = exp(%1) f32[1,1,4,2]\n",
         "exp: input 0 shows version %1 of state \"s\", but %4 has overwritten it"},
    };
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_graph *g = (pm_graph *)&g;
        pm_status s = pm_graph_parse(cases[i].text, &g);
        if (s != PM_ERR_FILE)
            fail_msg("case %zu: status %d, PM_ERR_FILE was expected: %s", i, (int)s, cases[i].text);
        if (!strstr(pm_error_text(), cases[i].error))
            fail_msg("case %zu: the error is \"%s\", \"%s\" was expected", i, pm_error_text(),
                     cases[i].error);
        assert_null(g);
    }
}

static void random_edits_never_crash(void **state) {
    (void)state;
    static const char alphabet[] = "%0123456789-=()[]{},._\"@#| \n\\abcdefghijklmnopqrstuvwxyz";
    test_rng r = {11};
    int accepted = 0;
    for (int i = 0; i < 3000; i++) {
        static char *text;
        if (i % 50 == 0) {
            pm_graph *g = test_random_graph(&r, 25, true);
            pm_text_release(text);
            text = print(g);
            pm_graph_destroy(g);
        }
        size_t n = strlen(text);
        char *edited = pm_alloc(n + 1); /* a block of its own: reading past its end is found */
        memcpy(edited, text, n + 1);
        for (uint32_t k = test_below(&r, 4); k-- > 0;)
            edited[test_below(&r, (uint32_t)n)] =
                test_below(&r, 8) ? alphabet[test_below(&r, sizeof alphabet - 1)] : (char)test_random(&r);
        if (test_below(&r, 8) == 0) edited[test_below(&r, (uint32_t)n)] = 0;
        pm_graph *g = NULL;
        pm_status s = pm_graph_parse(edited, &g);
        if (s == PM_OK) {
            accepted++;
            assert_ok(pm_graph_verify(g));
            check_round_trip(g);
        } else {
            assert_int_equal(s, PM_ERR_FILE);
        }
        pm_graph_destroy(g);
        pm_free(edited);
        if (i == 2999) pm_text_release(text);
    }
    assert_true(accepted > 100);
}

/* ---- other forms ---- */

static void json_is_json(void **state) {
    (void)state;
    test_rng r = {5};
    pm_graph *g = test_random_graph(&r, 200, true);
    char *text;
    json_error_t error;
    assert_ok(pm_graph_print_json(g, &text));
    json_t *root = json_loads(text, 0, &error);
    if (!root) fail_msg("line %d: %s", error.line, error.text);
    assert_int_equal(json_array_size(json_object_get(root, "tensors")), g->n_items);
    assert_int_equal(json_integer_value(json_object_get(root, "n_tensors")), g->n_items);
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        json_t *x = json_array_get(json_object_get(root, "tensors"), i),
               *inputs = json_object_get(x, "inputs");
        assert_string_equal(json_string_value(json_object_get(x, "op")), pm_op_get(t->op)->name);
        assert_int_equal(json_array_size(json_object_get(x, "dims")), t->rank);
        assert_int_equal(json_array_size(inputs), t->n_in);
        for (size_t k = 0; k < (size_t)t->n_in; k++)
            assert_int_equal(json_is_null(json_array_get(inputs, k)), !t->in[k]);
    }
    assert_int_equal(json_array_size(json_object_get(root, "outputs")), g->n_outputs);
    json_decref(root);
    pm_text_release(text);
    pm_graph_destroy(g);
}

static void dot_has_frames_and_shapes(void **state) {
    (void)state;
    pm_graph *g;
    char *text;
    assert_ok(
        pm_graph_parse("graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = weight \"w\" f32[4,3]\n"
                       "%2 = matmul(%0, %1) f32[2,4] @\"decoder.layers.3.attn\"\n%3 = const f32[] data[0.5]\n"
                       "%4 = mul(%2, %3) f32[2,4]\noutput \"y\" %4\n",
                       &g));
    assert_ok(pm_graph_print_dot(g, NULL, &text));
    const char *parts[] = {
        "digraph \"g\" {",
        "subgraph \"cluster_decoder.layers.3\" { label=\"decoder.layers.3\"; "
        "subgraph \"cluster_decoder.layers.3.attn \" { label=\"decoder.layers.3.attn\"; n2 [label=\"matmul\"",
        "subgraph \"cluster_decoder.layers.3\" { label=\"decoder.layers.3\"; "
        "subgraph \"cluster_decoder.layers.3.attn \" { label=\"decoder.layers.3.attn\"; n1 [label=\"w\"",
        "  n0 [label=\"x\"",
        "n0 -> n2 [label=\"f32[2,3]\"]",
        "n2 -> n4 [label=\"f32[2,4]\"]",
        "n3 [label=\"0.5\"",
        "n4 -> o0",
    };
    for (size_t i = 0; i < PM_COUNT(parts); i++)
        if (!strstr(text, parts[i])) fail_msg("\"%s\" is not in\n%s", parts[i], text);
    pm_text_release(text);
    pm_graph_destroy(g);
}

/* ---- memory ---- */

static pm_status print_dot(const pm_graph *g, char **out_text) {
    return pm_graph_print_dot(g, NULL, out_text);
}

static pm_status print_svg(const pm_graph *g, char **out_text) {
    return pm_graph_print_svg(g, NULL, out_text);
}

static pm_status print_page(const pm_graph *g, char **out_text) {
    return pm_page_print(&(pm_page){.stage = "built", .graph = g}, out_text);
}

static pm_status print_and_parse(void *user) {
    pm_status (*const printers[])(const pm_graph *, char **) = {pm_graph_print, pm_graph_print_json,
                                                                print_dot, print_svg, print_page};
    pm_graph *parsed = NULL;
    pm_status s = PM_OK;
    for (size_t i = PM_COUNT(printers); s == PM_OK && i-- > 0;) {
        char *text = NULL;
        s = printers[i](user, &text);
        if (i == 0 && s == PM_OK) s = pm_graph_parse(text, &parsed);
        pm_text_release(text);
    }
    pm_graph_destroy(parsed);
    return s;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    test_rng r = {13};
    pm_graph *g = test_random_graph(&r, 120, true);
    assert_true(test_every_allocation(print_and_parse, g) > 10);
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_round_trip),
        cmocka_unit_test(layouts_round_trip),
        cmocka_unit_test(constants_keep_their_bits),
        cmocka_unit_test(names_of_all_kinds),
        cmocka_unit_test(hand_written_text),
        cmocka_unit_test(numbers_end_where_they_end),
        cmocka_unit_test(malformed_text),
        cmocka_unit_test(random_edits_never_crash),
        cmocka_unit_test(json_is_json),
        cmocka_unit_test(dot_has_frames_and_shapes),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
