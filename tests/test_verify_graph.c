/* The graph verifier: each of its checks finds the graph that breaks it. Graphs are built right and then broken, since
 * builders refuse what it would find. */
#include "graph/ir.h"
#include "tests/support.h"

typedef void (*breaker)(pm_graph *g);
static void break_order(pm_graph *g) {
    pm_tensor *t = g->items[2];
    g->items[2] = g->items[3];
    g->items[3] = t;
    g->items[2]->id = 2;
    g->items[3]->id = 3;
}
static void break_id(pm_graph *g) {
    g->items[3]->id = 2;
}
static void break_dims(pm_graph *g) {
    g->items[2]->dims[0] = 1;
}
static void break_type(pm_graph *g) {
    g->items[2]->dtype = PM_I32;
}
static void break_attrs(pm_graph *g) {
    g->items[3]->attrs.axis = -2;
}
static void break_offset(pm_graph *g) {
    g->items[3]->offset = 1;
}
static void break_strides(pm_graph *g) {
    g->items[2]->strides[0] = 4;
}
static void break_base(pm_graph *g) {
    g->items[3]->base = g->items[3];
}
static void break_arity(pm_graph *g) {
    g->items[2]->n_in = 1;
}
static void break_input(pm_graph *g) {
    g->items[2]->in[1] = NULL;
}
static void break_kind(pm_graph *g) {
    g->items[1]->kind = PM_KIND_CONST;
}
static void break_leaf(pm_graph *g) {
    g->items[1]->strides[0] = 7;
}
static void break_name(pm_graph *g) {
    g->items[1]->name = NULL;
}
static void break_data(pm_graph *g) {
    g->items[1]->data = g;
}
static void break_output(pm_graph *g) {
    g->outputs[0].tensor = g->items[0];
}
static void break_output_name(pm_graph *g) {
    g->outputs[1].name = g->outputs[0].name;
}
static void break_status(pm_graph *g) {
    g->status = PM_ERR_USAGE;
}

static void verifier_finds(void **state) {
    (void)state;
    const struct {
        breaker fn;
        const char *error;
    } cases[] = {
        {break_order, "%2 (slice): an input stands later"},
        {break_id, "its id is not its place"},
        {break_dims, "%2 (add): its shape is not what its inputs give"},
        {break_type, "%2 (add): its shape is not what its inputs give"},
        {break_attrs, "not in canonical form"},
        {break_offset, "%3 (slice): it does not lie in its input"},
        {break_strides, "%2 (add): it is not dense"},
        {break_base, "%3 (slice): it does not lie in its input"},
        {break_arity, "its number of inputs"},
        {break_input, "an input is missing"},
        {break_kind, "its kind is not"},
        {break_leaf, "%1 (weight): a leaf is not dense"},
        {break_name, "a leaf has no name"},
        {break_data, "data without a constant"},
        {break_output, "%0 (input): an output is not a dense part"},
        {break_output_name, "output \"y\" stands twice"},
        {break_status, "was not built without errors"},
    };
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_graph *g;
        assert_ok(pm_graph_parse(
            "graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = weight \"w\" f32[3]\n%2 = add(%0, %1) f32[2,3]\n"
            "%3 = slice(%2) {axis=0, length=1} f32[1,3]\noutput \"y\" %2\noutput \"z\" %3\n",
            &g));
        assert_ok(pm_graph_verify(g));
        cases[i].fn(g);
        assert_int_equal(pm_graph_verify(g), PM_ERR_OTHER);
        if (!strstr(pm_error_text(), cases[i].error))
            fail_msg("case %zu: the error is \"%s\", \"%s\" was expected", i, pm_error_text(),
                     cases[i].error);
        pm_graph_destroy(g);
    }
}

/* Builders refuse these, so each is made of a right graph. */
static void verifier_orders_states(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        pm_graph *g;
        assert_ok(pm_graph_create("states", &g));
        pm_tensor *s0 = pm_state(g, "s", PM_F32, 4, (int64_t[]){1, 1, 4, 2}), *p = pm_param(g, "p");
        pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){1, 1, 1, 2}), *view = pm_slice(g, s0, 2, 0, 1);
        pm_tensor *s1 = pm_cache_write(g, s0, x, p), *new_view = pm_slice(g, s1, 2, 0, 1);
        pm_tensor *read = pm_exp(g, s1), *read_part = pm_exp(g, new_view), *s2 = pm_cache_write(g, s1, x, p);
        assert_ok(pm_graph_status(g));
        assert_ok(pm_graph_verify(g));
        switch (i) {
        case 0: read->in[0] = s0; break;
        case 1: read_part->in[0] = view; break;
        case 2: s2->in[0] = s0; break;       /* two writes of one version */
        case 3: s2->in[1] = new_view; break; /* a write of what it writes to */
        default: read->in[0] = s2; break;    /* it stands later */
        }
        assert_int_equal(pm_graph_verify(g), PM_ERR_OTHER);
        pm_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifier_finds),
        cmocka_unit_test(verifier_orders_states),
    };
    return run_all_tests(tests);
}
