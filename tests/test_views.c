/* What views and integer arithmetic mean, worked out on dense arrays and compared with what strides say, on
 * random graphs; and that simplification keeps every value. */
#include "graph/ops.h"
#include "tests/support_random_graph.h"

#include <stdlib.h>

#define MAX_ELEMS 600

typedef struct values {
    int32_t *of; /* by tensor id: the dense values, MAX_ELEMS apart */
} values;

static int32_t *at(const values *v, const pm_tensor *t) {
    return v->of + (size_t)t->id * MAX_ELEMS;
}

static void split(const pm_tensor *t, int64_t index, int64_t *out_i) {
    for (int k = t->rank - 1; k >= 0; k--) {
        out_i[k] = index % t->dims[k];
        index /= t->dims[k];
    }
}

/* Index in row-major order of x, broadcast to t's rank. */
static int64_t join(const pm_tensor *x, int32_t rank, const int64_t *i) {
    int64_t index = 0;
    for (int k = 0; k < x->rank; k++)
        index = index * x->dims[k] + (x->dims[k] == 1 ? 0 : i[rank - x->rank + k]);
    return index;
}

static int32_t arith(pm_op op, int32_t a, int32_t b) {
    uint32_t ua = (uint32_t)a, ub = (uint32_t)b;
    switch (op) {
    case PM_OP_ADD: return (int32_t)(ua + ub);
    case PM_OP_SUB: return (int32_t)(ua - ub);
    case PM_OP_MUL: return (int32_t)(ua * ub);
    case PM_OP_MAX: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

static int32_t value_of(const values *v, const pm_tensor *t, int64_t index) {
    int64_t i[PM_MAX_DIMS] = {0}, from[PM_MAX_DIMS] = {0};
    const pm_tensor *x = t->in[0];
    split(t, index, i);
    memcpy(from, i, sizeof from);
    switch (t->op) {
    case PM_OP_INPUT: return (int32_t)(strtol(t->name, NULL, 10) * 1000 + index);
    case PM_OP_CONST: return ((const int32_t *)t->data)[index];
    case PM_OP_RESHAPE:
    case PM_OP_COPY: return at(v, x)[index];
    case PM_OP_PERMUTE:
        for (int k = 0; k < t->rank; k++) from[t->attrs.axes[k]] = i[k];
        return at(v, x)[join(x, x->rank, from)];
    case PM_OP_SLICE: from[t->attrs.axis] += t->attrs.start; return at(v, x)[join(x, x->rank, from)];
    case PM_OP_EXPAND: return at(v, x)[join(x, t->rank, i)];
    case PM_OP_WINDOWS:
        from[t->attrs.axis] = i[t->attrs.axis] * t->attrs.step + i[t->attrs.axis + 1];
        for (int k = t->attrs.axis + 1; k < x->rank; k++) from[k] = i[k + 1];
        return at(v, x)[join(x, x->rank, from)];
    default: return arith(t->op, at(v, x)[join(x, t->rank, i)], at(v, t->in[1])[join(t->in[1], t->rank, i)]);
    }
}

static values evaluate(const pm_graph *g) {
    values v = {pm_calloc(g->n_items, MAX_ELEMS * sizeof(int32_t))};
    for (size_t i = 0; i < g->n_items; i++)
        for (int64_t k = 0; k < pm_elems(g->items[i]); k++)
            at(&v, g->items[i])[k] = value_of(&v, g->items[i], k);
    return v;
}

/* Reading the base's storage through offset and strides gives the same values. */
static void check_strides(const pm_graph *g, const values *v) {
    for (size_t n = 0; n < g->n_items; n++) {
        const pm_tensor *t = g->items[n];
        for (int64_t index = 0; index < pm_elems(t); index++) {
            int64_t i[PM_MAX_DIMS], where = t->offset;
            split(t, index, i);
            for (int k = 0; k < t->rank; k++) where += i[k] * t->strides[k];
            if (at(v, t->base)[where] != at(v, t)[index]) fail_msg("%%%zu: element %d", n, (int)index);
        }
    }
}

/* ---- random graphs of integers ---- */

static pm_tensor *random_leaf(pm_graph *g, test_rng *r, int n) {
    int64_t dims[PM_MAX_DIMS];
    int32_t words[81];
    char name[24];
    int rank = (int)test_below(r, 5);
    for (int k = 0; k < rank; k++) dims[k] = 1 + (int64_t)test_below(r, 3);
    for (size_t i = 0; i < PM_COUNT(words); i++) words[i] = (int32_t)test_below(r, 3);
    snprintf(name, sizeof name, "%d", n);
    return test_below(r, 2) ? pm_const_data(g, PM_I32, rank, dims, words)
                            : pm_input(g, name, PM_I32, rank, dims);
}

static pm_tensor *random_reshape(pm_graph *g, test_rng *r, pm_tensor *x) {
    int64_t dims[PM_MAX_DIMS] = {1}, left = pm_elems(x);
    int rank = 1 + (int)test_below(r, PM_MAX_DIMS);
    for (int k = 0; k < rank - 1; k++) {
        int64_t part = 1 + (int64_t)test_below(r, 4);
        dims[k] = left % part ? 1 : part;
        left /= dims[k];
    }
    dims[rank - 1] = left;
    return pm_reshape(g, x, rank, dims);
}

static pm_tensor *random_view(pm_graph *g, test_rng *r, pm_tensor *x) {
    int64_t dims[PM_MAX_DIMS];
    int a = x->rank ? (int)test_below(r, (uint32_t)x->rank) : 0,
        b = x->rank ? (int)test_below(r, (uint32_t)x->rank) : 0;
    switch (test_below(r, 6)) {
    case 0: return random_reshape(g, r, x);
    case 1: return x->rank ? pm_transpose(g, x, a, b) : x;
    case 2:
        if (!x->rank) return x;
        int64_t start = (int64_t)test_below(r, (uint32_t)x->dims[a]);
        return pm_slice(g, x, a, start, 1 + (int64_t)test_below(r, (uint32_t)(x->dims[a] - start)));
    case 3:
        for (int k = 0; k < x->rank; k++)
            dims[k] = x->dims[k] == 1 ? 1 + (int64_t)test_below(r, 3) : x->dims[k];
        return pm_expand(g, x, x->rank, dims);
    case 4:
        if (!x->rank || x->rank > 3) return x;
        return pm_windows(g, x, a, 1 + (int64_t)test_below(r, (uint32_t)x->dims[a]), 1 + test_below(r, 3));
    default: return pm_copy(g, x);
    }
}

static pm_tensor *random_arith(pm_graph *g, test_rng *r, pm_tensor *a) {
    static pm_tensor *(*const ops[])(pm_graph *, pm_tensor *, pm_tensor *) = {pm_add, pm_sub, pm_mul, pm_max,
                                                                              pm_min};
    pm_tensor *b = test_below(r, 2) ? a : pm_const_i32(g, (int32_t)test_below(r, 2));
    return test_below(r, 2) ? ops[test_below(r, 5)](g, a, b) : ops[test_below(r, 5)](g, b, a);
}

static pm_graph *random_integers(test_rng *r) {
    pm_graph *g;
    pm_tensor *pool[40];
    assert_ok(pm_graph_create("integers", &g));
    for (int n = 0; n < 40; n++) {
        pm_tensor *x = n < 3 ? random_leaf(g, r, n) : pool[test_below(r, (uint32_t)n)];
        if (n >= 3) x = test_below(r, 4) ? random_view(g, r, x) : random_arith(g, r, x);
        if (pm_graph_status(g) != PM_OK) fail_msg("%s", pm_error_text());
        pool[n] = pm_elems(x) <= MAX_ELEMS ? x : pool[0];
    }
    for (int i = 0; i < 5; i++) {
        char name[24];
        snprintf(name, sizeof name, "y%d", i);
        pm_output(g, name, pool[39 - i]);
    }
    assert_ok(pm_graph_status(g));
    return g;
}

static bool small(const pm_graph *g) {
    for (size_t i = 0; i < g->n_items; i++)
        if (pm_elems(g->items[i]) > MAX_ELEMS) return false;
    return true;
}

static void strides_mean_what_views_mean(void **state) {
    (void)state;
    test_rng r = {31};
    int checked = 0;
    for (int i = 0; i < 400; i++) {
        pm_graph *g = random_integers(&r);
        if (small(g)) {
            values v = evaluate(g);
            check_strides(g, &v);
            pm_free(v.of);
            checked++;
        }
        pm_graph_destroy(g);
    }
    assert_true(checked > 200);
}

static void simplification_keeps_values(void **state) {
    (void)state;
    test_rng r = {32};
    size_t before = 0, after = 0;
    for (int i = 0; i < 400; i++) {
        pm_graph *g = random_integers(&r), *out;
        assert_ok(pm_simplify(g, &out));
        if (small(g) && small(out)) {
            values was = evaluate(g), is = evaluate(out);
            check_strides(out, &is);
            for (size_t k = 0; k < g->n_outputs; k++)
                assert_memory_equal(at(&was, g->outputs[k].tensor), at(&is, out->outputs[k].tensor),
                                    (size_t)pm_elems(g->outputs[k].tensor) * 4);
            pm_free(was.of);
            pm_free(is.of);
            before += g->n_items;
            after += out->n_items;
        }
        pm_graph_destroy(g);
        pm_graph_destroy(out);
    }
    assert_true(after * 2 < before); /* the graphs have much to simplify */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strides_mean_what_views_mean),
        cmocka_unit_test(simplification_keeps_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
