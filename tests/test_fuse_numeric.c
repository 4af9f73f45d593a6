/* What fusion and layout make means the same as what they found: every case of tests/passes/ is run before
 * and after by the interpreter of support_interpret.h, on random leaves. So are mutants of the cases, in
 * which one thing is different: whatever the passes still find there must be right, too. Constants may differ
 * by 1e-6 where they are matched, hence 1e-5. */
#include "tests/support_interpret.h"
#include "tests/support_pass_cases.h"
#include "tests/support_random_graph.h"

#define N_SEEDS   8
#define TOLERANCE 1e-5

static const char *const files[] = {
    "fuse_norm.txt",   "fuse_act.txt",         "fuse_rotary.txt", "fuse_softmax.txt", "fuse_attention.txt",
    "fuse_matmul.txt", "fuse_log_softmax.txt", "fuse_places.txt", "fuse_grouped.txt", "fuse_relative.txt",
    "fuse_sink.txt",   "layout.txt",           "fold.txt"};

typedef pm_status (*pass_fn)(const pm_graph *g, pm_graph **out);

static void check_values(const test_pass_case *c, void *user) {
    pass_fn pass = *(pass_fn *)user;
    pm_graph *out = NULL;
    assert_ok(pass(c->before, &out));
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
        double off = test_difference(c->before, out, seed);
        if (!(off <= TOLERANCE)) fail_msg("case %s, seed %d: off by %g", c->name, (int)seed, off);
    }
    pm_graph_destroy(out);
}

static void check_file(const char *file, pass_fn pass) {
    test_each_pass_case(file, check_values, &pass);
}

static void norms(void **state) {
    (void)state, check_file("fuse_norm.txt", pm_pass_fuse);
}
static void activations(void **state) {
    (void)state, check_file("fuse_act.txt", pm_pass_fuse);
}
static void rotary(void **state) {
    (void)state, check_file("fuse_rotary.txt", pm_pass_fuse);
}
static void softmax(void **state) {
    (void)state, check_file("fuse_softmax.txt", pm_pass_fuse);
}
static void log_softmax(void **state) {
    (void)state, check_file("fuse_log_softmax.txt", pm_pass_fuse);
}
static void attention(void **state) {
    (void)state, check_file("fuse_attention.txt", pm_pass_fuse);
}
static void places(void **state) {
    (void)state, check_file("fuse_places.txt", pm_pass_fuse);
}
static void matmul(void **state) {
    (void)state, check_file("fuse_matmul.txt", pm_pass_fuse);
}
static void grouped(void **state) {
    (void)state, check_file("fuse_grouped.txt", pm_pass_fuse);
}
static void relative(void **state) {
    (void)state, check_file("fuse_relative.txt", pm_pass_fuse);
}
static void sinks(void **state) {
    (void)state, check_file("fuse_sink.txt", pm_pass_fuse);
}
static void layouts(void **state) {
    (void)state, check_file("layout.txt", pm_pass_layout);
}

static void folding(void **state) {
    (void)state, check_file("fold.txt", pm_pass_fold);
}

static void all_passes(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(files); i++) check_file(files[i], pm_optimize);
}

/* ---- mutants: near misses of each pattern, at every place of every case ---- */

static const struct {
    pm_op from, to;
} swaps[] = {
    {PM_OP_ADD, PM_OP_SUB},     {PM_OP_SUB, PM_OP_ADD},     {PM_OP_MUL, PM_OP_ADD},  {PM_OP_DIV, PM_OP_MUL},
    {PM_OP_SQRT, PM_OP_RSQRT},  {PM_OP_RSQRT, PM_OP_SQRT},  {PM_OP_MEAN, PM_OP_SUM}, {PM_OP_ERF, PM_OP_TANH},
    {PM_OP_TANH, PM_OP_ERF},    {PM_OP_SIGMOID, PM_OP_ERF}, {PM_OP_RELU, PM_OP_ABS}, {PM_OP_NEG, PM_OP_RELU},
    {PM_OP_LE, PM_OP_LT},       {PM_OP_LT, PM_OP_LE},       {PM_OP_GT, PM_OP_GE},    {PM_OP_GE, PM_OP_GT},
    {PM_OP_AND, PM_OP_OR},      {PM_OP_OR, PM_OP_AND},      {PM_OP_NE, PM_OP_EQ},    {PM_OP_EQ, PM_OP_NE},
    {PM_OP_SOFTMAX, PM_OP_EXP}, {PM_OP_EXP, PM_OP_ERF},
};

static bool other_operation(pm_graph *g, pm_tensor *t) {
    (void)g;
    for (size_t i = 0; i < PM_COUNT(swaps); i++)
        if (swaps[i].from == t->op && t->n_in <= pm_op_get(swaps[i].to)->max_in)
            return t->op = swaps[i].to, true;
    return false;
}

static bool other_order(pm_graph *g, pm_tensor *t) {
    (void)g;
    if (t->n_in != 2 || !(pm_op_get(t->op)->flags & PM_OPF_ELEMENTWISE)) return false;
    pm_tensor *first = t->in[0];
    t->in[0] = t->in[1];
    t->in[1] = first;
    return true;
}

static bool other_constant(pm_graph *g, pm_tensor *t) {
    uint32_t words[64];
    int64_t n = pm_elems(t);
    if (t->op != PM_OP_CONST || t->dtype == PM_BOOL || n > 64) return false;
    memcpy(words, t->data, (size_t)n * 4);
    for (int64_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, &words[i], 4);
        value *= 1.01f;
        if (t->dtype == PM_F32)
            memcpy(&words[i], &value, 4);
        else
            words[i]++;
    }
    void *copy = pm_arena_alloc(&g->arena, (size_t)n * 4);
    assert_non_null(copy);
    memcpy(copy, words, (size_t)n * 4);
    t->data = copy;
    return true;
}

static bool one_more_output(pm_graph *g, pm_tensor *t) {
    if (t->dtype != PM_F32 || !pm_can_be_output(t)) return false;
    pm_output(g, "extra", t);
    return true;
}

static pm_graph *clone(const pm_graph *g) {
    pm_graph *copy;
    char *text;
    assert_ok(pm_graph_print(g, &text));
    assert_ok(pm_graph_parse(text, &copy));
    pm_text_release(text);
    return copy;
}

static void check_mutants(const test_pass_case *c, void *user) {
    static bool (*const mutate[])(pm_graph * g, pm_tensor * t) = {other_operation, other_order,
                                                                  other_constant, one_more_output};
    size_t *n = user;
    for (size_t i = 0; i < c->before->n_items; i++)
        for (size_t k = 0; k < PM_COUNT(mutate); k++) {
            pm_graph *g = clone(c->before), *out = NULL;
            if (mutate[k](g, g->items[i])) {
                assert_ok(pm_graph_verify(g));
                assert_ok(pm_optimize(g, &out));
                for (uint64_t seed = 1; seed <= 2; seed++) {
                    double off = test_difference(g, out, seed);
                    if (!(off <= TOLERANCE))
                        fail_msg("case %s, mutation %zu of %%%zu, seed %d: off by %g", c->name, k, i,
                                 (int)seed, off);
                }
                ++*n;
            }
            pm_graph_destroy(g);
            pm_graph_destroy(out);
        }
}

static void mutants_keep_their_meaning(void **state) {
    (void)state;
    size_t n = 0;
    for (size_t i = 0; i < PM_COUNT(files); i++) test_each_pass_case(files[i], check_mutants, &n);
    assert_true(n > 1000);
}

static void random_graphs_keep_their_meaning(void **state) {
    (void)state;
    test_rng rng = {13};
    for (int i = 0; i < 200; i++) {
        pm_graph *g = test_random_graph(&rng, 40, i % 2), *fused = NULL, *out = NULL;
        assert_ok(pm_pass_fuse(g, &fused));
        assert_ok(pm_pass_layout(fused, &out));
        double off = test_difference(g, out, (uint64_t)i);
        if (!(off <= TOLERANCE)) fail_msg("graph %d: off by %g", i, off);
        pm_graph_destroy(g);
        pm_graph_destroy(fused);
        pm_graph_destroy(out);
    }
}

/* The interpreter can tell: an output that is off by little more than the tolerance is found. */
static pm_graph *scaled(float by) {
    pm_graph *g;
    assert_ok(pm_graph_create("scaled", &g));
    pm_output(g, "y", pm_mul(g, pm_exp(g, pm_input(g, "x", PM_F32, 1, (int64_t[]){4})), pm_const_f32(g, by)));
    assert_ok(pm_graph_status(g));
    return g;
}

static void interpreter_sees_differences(void **state) {
    (void)state;
    pm_graph *a = scaled(1000), *b = scaled(1000.3f);
    assert_true(test_difference(a, a, 1) == 0);
    assert_true(test_difference(a, b, 1) > TOLERANCE);
    pm_graph_destroy(a);
    pm_graph_destroy(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms),
        cmocka_unit_test(activations),
        cmocka_unit_test(rotary),
        cmocka_unit_test(softmax),
        cmocka_unit_test(log_softmax),
        cmocka_unit_test(attention),
        cmocka_unit_test(places),
        cmocka_unit_test(matmul),
        cmocka_unit_test(grouped),
        cmocka_unit_test(relative),
        cmocka_unit_test(sinks),
        cmocka_unit_test(layouts),
        cmocka_unit_test(folding),
        cmocka_unit_test(all_passes),
        cmocka_unit_test(mutants_keep_their_meaning),
        cmocka_unit_test(random_graphs_keep_their_meaning),
        cmocka_unit_test(interpreter_sees_differences),
    };
    return run_all_tests(tests);
}
