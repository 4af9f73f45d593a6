/* Compiling as a whole: dumps of the plan and the program, every allocation failing once, a graph that is broken. */
#include "graph/compile.h"
#include "tests/support_memory.h"

#include <jansson.h>

static const char *const small_graph =
    "graph \"small\"\n%0 = input \"x\" f32[3,4]\n%1 = weight \"w\" f32[5,4]\n"
    "%2 = const f32[] data[2]\n%3 = matmul(%0, %1) f32[3,5]\n%4 = mul(%3, %2) f32[3,5]\n"
    "%5 = param \"p\" i32[]\n%6 = to_f32(%5) f32[]\n%7 = add(%4, %6) f32[3,5] @\"sum \\\"q\\\"\"\n"
    "output \"y\" %7\n";

static pm_status compile_small(void *user) {
    pm_compiled c;
    PM_TRY(pm_compile_stages(user, NULL, &c));
    pm_compiled_free(&c);
    return PM_OK;
}

static void test_out_of_memory(void **state) {
    (void)state;
    pm_graph *g = NULL;
    assert_ok(pm_graph_parse(small_graph, &g));
    assert_true(test_every_allocation(compile_small, g) > 20);
    pm_graph_destroy(g);
}

static json_t *load(char *text) {
    json_error_t error;
    json_t *j = json_loads(text, 0, &error);
    if (!j) fail_msg("line %d: %s", error.line, error.text);
    pm_text_release(text);
    return j;
}

static json_int_t number(json_t *j, const char *key) {
    assert_true(json_is_integer(json_object_get(j, key)));
    return json_integer_value(json_object_get(j, key));
}

static void test_dumps(void **state) {
    (void)state;
    pm_graph *g = NULL;
    pm_compiled c;
    char *text = NULL;
    assert_ok(pm_graph_parse(small_graph, &g));
    assert_ok(pm_compile_stages(g, NULL, &c));
    assert_ok(pm_plan_print(c.fused, &c.plan, "json", &text));
    json_t *j = load(text);
    assert_true(number(j, "arena_bytes") == (json_int_t)c.plan.result.arena_bytes);
    assert_true(number(j, "lower_bound_bytes") == (json_int_t)c.plan.result.lower_bound_bytes);
    assert_true(json_number_value(json_object_get(j, "ratio")) >= 1);
    assert_int_equal(json_array_size(json_object_get(j, "intervals")), c.plan.n_intervals);
    json_decref(j);

    assert_ok(pm_program_print(c.program, "json", NULL, &text));
    j = load(text);
    assert_int_equal(number(j, "n_dispatches"), c.program->n_dispatches);
    assert_int_equal(number(j, "n_barriers"), c.program->n_barriers);
    assert_int_equal(number(j, "n_submits"), 1);
    assert_int_equal(number(j, "fallback_ops"), 0);
    assert_int_equal(json_array_size(json_object_get(j, "dispatches")), c.program->n_dispatches);
    json_t *last = json_array_get(json_object_get(j, "dispatches"), c.program->n_dispatches - 1);
    assert_string_equal(json_string_value(json_object_get(last, "label")), "add sum \"q\"");
    json_decref(j);

    assert_ok(pm_plan_print(c.fused, &c.plan, "text", &text));
    assert_non_null(strstr(text, "plan of \"small\": arena "));
    pm_text_release(text);
    assert_ok(pm_program_print(c.program, "text", NULL, &text));
    assert_non_null(strstr(text, "matmul_f32_f32_vec"));
    pm_text_release(text);

    assert_ok(pm_plan_print(c.fused, &c.plan, "csv", &text));
    size_t n_lines = 0;
    for (const char *at = text; *at; at++) n_lines += *at == '\n';
    assert_int_equal(n_lines, 1 + c.plan.n_intervals);
    assert_memory_equal(text, "id,lower,upper,size\n0,0,", 24);
    pm_text_release(text);
    assert_int_equal(pm_plan_print(c.fused, &c.plan, "dot", &text), PM_ERR_USAGE);
    assert_string_equal(pm_error_text(), "dump: format \"dot\" of a plan, text, json or csv was expected");
    assert_int_equal(pm_program_print(c.program, "svg", NULL, &text), PM_ERR_USAGE);
    assert_null(text);
    pm_compiled_free(&c);
    pm_graph_destroy(g);
}

static void test_broken_graph(void **state) {
    (void)state;
    pm_graph *g = NULL;
    pm_program *p = NULL;
    assert_ok(pm_graph_create("broken", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){3, 4});
    pm_output(g, "y", pm_matmul(g, x, pm_input(g, "w", PM_F32, 2, (int64_t[]){5, 6})));
    assert_int_equal(pm_compile(g, NULL, &p), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "matmul"));
    assert_null(p);
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_dumps),
        cmocka_unit_test(test_broken_graph),
    };
    return run_all_tests(tests);
}
