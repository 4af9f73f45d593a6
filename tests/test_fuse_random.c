/* Random spellings of what the fuse pass looks for, of rank 2 to 5, with operands that broadcast, are transposed, scaled
 * or shared, and masks that the kernels know or do not. Fused and as it stands they must give the same. */
#include "tests/support_run_both.h"

#include "graph/ir.h"

#include <math.h>

#define N_GRAPHS 2000 /* of each kind */

typedef struct gen {
    pm_graph *g;
    test_rng *r;
    int n_leaves;
} gen;

typedef struct shape {
    int rank;
    int64_t dims[PM_MAX_DIMS];
} shape;

static uint32_t below(gen *n, uint32_t limit) {
    return test_below(n->r, limit);
}
static bool chance(gen *n, uint32_t percent) {
    return below(n, 100) < percent;
}
static int64_t small(gen *n) {
    return (int64_t[]){1, 2, 2, 3}[below(n, 4)];
}
static pm_tensor *number(gen *n, float value) {
    return pm_const_f32(n->g, value);
}

static shape shape_of(const pm_tensor *t) {
    shape s = {.rank = t->rank};
    memcpy(s.dims, t->dims, sizeof s.dims);
    return s;
}

/* Leading dims, then two more. */
static shape with(const shape *lead, int64_t rows, int64_t cols) {
    shape s = *lead;
    s.dims[s.rank++] = rows;
    s.dims[s.rank++] = cols;
    return s;
}

static shape random_lead(gen *n, int most) {
    shape s = {.rank = (int)below(n, (uint32_t)most + 1)};
    for (int k = 0; k < s.rank; k++) s.dims[k] = small(n);
    return s;
}

/* Some dims become 1, some in front go; the last `kept` stay. */
static shape broadcasting(gen *n, const shape *full, int kept) {
    shape s = {0};
    int first = 0;
    while (first < full->rank - kept && chance(n, 30)) first++;
    for (int k = first; k < full->rank; k++)
        s.dims[s.rank++] = k >= full->rank - kept || chance(n, 70) ? full->dims[k] : 1;
    return s;
}

static pm_tensor *leaf(gen *n, pm_dtype type, const shape *s) {
    char name[16];
    snprintf(name, sizeof name, "l%d", n->n_leaves++);
    return (chance(n, 50) ? pm_input : pm_weight)(n->g, name, type, s->rank, s->dims);
}

/* A leaf whose dims lie in another order. */
static pm_tensor *permuted_leaf(gen *n, const shape *s) {
    int order[PM_MAX_DIMS] = {0, 1, 2, 3, 4}, back[PM_MAX_DIMS];
    shape stored = *s;
    for (int k = s->rank - 1; k > 0; k--) {
        int other = (int)below(n, (uint32_t)k + 1), was = order[k];
        order[k] = order[other];
        order[other] = was;
    }
    for (int k = 0; k < s->rank; k++) {
        stored.dims[k] = s->dims[order[k]];
        back[order[k]] = k;
    }
    return pm_permute(n->g, leaf(n, PM_F32, &stored), back);
}

static pm_tensor *scaled(gen *n, pm_tensor *x) {
    static const float factors[] = {2, 0.5f, 1, 0.125f, -1};
    pm_tensor *factor = number(n, factors[below(n, PM_COUNT(factors))]);
    if (chance(n, 50)) return pm_div(n->g, x, factor);
    return chance(n, 50) ? pm_mul(n->g, x, factor) : pm_mul(n->g, factor, x);
}

static pm_tensor *add_either(gen *n, pm_tensor *a, pm_tensor *b) {
    return chance(n, 50) ? pm_add(n->g, a, b) : pm_add(n->g, b, a);
}
static pm_tensor *mul_either(gen *n, pm_tensor *a, pm_tensor *b) {
    return chance(n, 50) ? pm_mul(n->g, a, b) : pm_mul(n->g, b, a);
}

/* [lead.., rows, cols], or what broadcasts to it over the leading dims. */
static pm_tensor *operand(gen *n, const shape *lead, int64_t rows, int64_t cols) {
    const shape full = with(lead, rows, cols), own = broadcasting(n, &full, 2);
    pm_tensor *x = chance(n, 25) ? permuted_leaf(n, &own) : leaf(n, PM_F32, &own);
    if (chance(n, 15)) x = pm_expand(n->g, x, full.rank, full.dims); /* heads that are repeated */
    return chance(n, 25) ? scaled(n, x) : x;
}

/* ---- masks ---- */

/* The place along one of the last two axes, and symbols and constants. */
static pm_tensor *position(gen *n, const shape *scores, int from_end) {
    static const char *const names[] = {"p", "q"};
    int64_t length = scores->dims[scores->rank - from_end];
    pm_tensor *x = pm_iota(n->g, length);
    if (from_end == 2) x = pm_reshape(n->g, x, 2, (int64_t[]){length, 1});
    for (uint32_t i = below(n, 3); i > 0; i--) {
        pm_tensor *y =
            chance(n, 40) ? pm_param(n->g, names[below(n, 2)]) : pm_const_i32(n->g, (int32_t)below(n, 6) - 2);
        x = chance(n, 33) ? pm_sub(n->g, x, y) : add_either(n, x, y);
    }
    return x;
}

static pm_tensor *bound(gen *n, const shape *scores) {
    if (scores->rank > 2 && chance(n, 40)) {
        shape one = {.rank = scores->rank, .dims = {scores->dims[0], 1, 1, 1, 1}};
        one.rank -= (int)below(n, 2); /* its batch may stand elsewhere than that of the scores */
        if (one.rank < scores->rank && scores->dims[1] != 1) one.dims[0] = scores->dims[1];
        return leaf(n, PM_I32, &one);
    }
    return chance(n, 50) ? pm_param(n->g, "length") : pm_const_i32(n->g, (int32_t)below(n, 5));
}

static pm_tensor *comparison(gen *n, const shape *scores) {
    static pm_tensor *(*const compare[])(pm_graph *, pm_tensor *, pm_tensor *) = {pm_lt, pm_le, pm_gt, pm_ge};
    pm_tensor *key = position(n, scores, 1),
              *other = chance(n, 30) ? bound(n, scores) : position(n, scores, 2);
    if (chance(n, 30)) {
        other = pm_sub(n->g, other, key);
        key = pm_const_i32(n->g, (int32_t)below(n, 4) - 1);
    }
    return compare[below(n, 4)](n->g, chance(n, 50) ? key : other, chance(n, 50) ? other : key);
}

static pm_tensor *mask_leaf(gen *n, const shape *scores) {
    shape s = broadcasting(n, scores, 0);
    if (chance(n, 60)) {
        s = *scores;
        for (int k = 1; k + 1 < s.rank; k++) s.dims[k] = 1;
    }
    if (chance(n, 50)) return leaf(n, PM_BOOL, &s);
    pm_tensor *x = leaf(n, PM_I32, &s);
    return chance(n, 50) ? pm_cast(n->g, x, PM_BOOL)
                         : pm_ne(n->g, x, pm_const_i32(n->g, (int32_t)below(n, 2)));
}

static pm_tensor *predicate(gen *n, const shape *scores, int depth) {
    if (depth < 2 && chance(n, 35)) {
        pm_tensor *a = predicate(n, scores, depth + 1), *b = predicate(n, scores, depth + 1);
        return chance(n, 70) ? pm_and(n->g, a, b) : pm_or(n->g, a, b);
    }
    if (depth < 3 && chance(n, 15)) return pm_not(n->g, predicate(n, scores, depth + 1));
    return chance(n, 60) ? comparison(n, scores) : mask_leaf(n, scores);
}

/* ---- softmax, attention ---- */

static pm_tensor *scale_or_cap(gen *n, pm_tensor *z) {
    if (chance(n, 50)) z = scaled(n, z);
    if (chance(n, 20)) z = pm_mul(n->g, pm_tanh(n->g, pm_div(n->g, z, number(n, 5))), number(n, 5));
    return z;
}

/* A table by distance, of one head or all, gathered at (mostly) key - query. */
static pm_tensor *by_distance(gen *n, const shape *scores) {
    int64_t t = scores->dims[scores->rank - 2], s = scores->dims[scores->rank - 1],
            heads = scores->rank > 2 && chance(n, 70) ? scores->dims[scores->rank - 3] : 1;
    const shape table = {.rank = 2, .dims = {1 + below(n, 6), heads}};
    pm_tensor *key = position(n, scores, 1), *query = position(n, scores, 2);
    pm_tensor *at = chance(n, 90) ? pm_sub(n->g, key, query) : pm_add(n->g, key, query);
    if (chance(n, 50)) at = add_either(n, at, pm_const_i32(n->g, (int32_t)below(n, 5)));
    pm_tensor *y = pm_gather(n->g, leaf(n, PM_F32, &table), at);
    if (heads == 1 && chance(n, 50)) return pm_reshape(n->g, y, 2, (int64_t[]){t, s});
    y = pm_permute(n->g, y, (int[]){2, 0, 1});
    if (scores->rank > 3 && chance(n, 50)) y = pm_reshape(n->g, y, 4, (int64_t[]){1, heads, t, s});
    return scores->rank > 2 ? y : pm_reshape(n->g, y, 2, (int64_t[]){t, s});
}

static pm_tensor *masked(gen *n, pm_tensor *z) {
    static const float absent[] = {PM_MASKED, -INFINITY, -3e38f};
    pm_tensor *none = number(n, absent[below(n, 3)]);
    const shape scores = shape_of(z), beside = broadcasting(n, &scores, 0);
    switch (below(n, 9)) {
    case 0:
    case 1:
    case 2: return pm_where(n->g, predicate(n, &scores, 0), z, none);
    case 3: return pm_where(n->g, predicate(n, &scores, 0), none, z);
    case 4: return add_either(n, z, pm_where(n->g, predicate(n, &scores, 0), number(n, 0), none));
    case 5:
    case 6: return add_either(n, z, leaf(n, PM_F32, &beside));
    case 7: return add_either(n, z, by_distance(n, &scores));
    default: return chance(n, 50) ? scale_or_cap(n, z) : z;
    }
}

static pm_tensor *transposed(gen *n, pm_tensor *x) {
    return pm_transpose(n->g, x, -1, -2);
}

/* One more score a row, which takes its share and has no value; now and then it is not what is cut off. */
static pm_tensor *with_sink(gen *n, pm_tensor *z) {
    shape scores = shape_of(z), own;
    int last = scores.rank - 1;
    int64_t n_keys = scores.dims[last];
    scores.dims[last] = 1;
    own = broadcasting(n, &scores, 1);
    pm_tensor *parts[] = {z, pm_expand(n->g, leaf(n, PM_F32, &own), scores.rank, scores.dims)};
    pm_tensor *p = pm_softmax(n->g, pm_concat(n->g, 2, parts, last));
    return pm_slice(n->g, p, last, chance(n, 90) ? 0 : 1, n_keys);
}

static pm_tensor *make_attention(gen *n) {
    const shape lead = random_lead(n, 3);
    int64_t t = (int64_t[]){1, 2, 4}[below(n, 3)], s = (int64_t[]){1, 2, 4, 5}[below(n, 4)],
            d = 1 << below(n, 3);
    pm_tensor *z = pm_matmul(n->g, operand(n, &lead, t, d), operand(n, &lead, s, d));
    shape scores = shape_of(z);
    if (chance(n, 10)) z = leaf(n, PM_F32, &scores);
    z = scale_or_cap(n, z);
    for (uint32_t i = below(n, 4); i > 0; i--) z = masked(n, z);
    z = chance(n, 15) ? with_sink(n, z) : pm_softmax(n->g, z);
    if (chance(n, 10)) pm_output(n->g, "shares", z);
    scores.rank -= 2; /* its leading dims */
    int64_t e = chance(n, 80) ? d : d + 1;
    pm_tensor *v = chance(n, 70) ? transposed(n, operand(n, &scores, s, e)) : operand(n, &scores, e, s);
    pm_tensor *y = pm_matmul(n->g, z, v);
    if (y && y->rank > 2 && chance(n, 40))
        y = pm_copy(n->g, pm_transpose(n->g, y, -2, -3)); /* heads side by side */
    return y;
}

/* ---- rotary ---- */

static pm_tensor *make_rotary(gen *n) {
    const shape lead = random_lead(n, 3);
    int64_t half = 1 + (int64_t)below(n, 3);
    const shape full = with(&lead, small(n), 2 * half);
    pm_tensor *x = chance(n, 30) ? permuted_leaf(n, &full) : leaf(n, PM_F32, &full), *table[2];
    for (int i = 0; i < 2; i++) {
        const shape own = broadcasting(n, &full, chance(n, 80) ? 2 : 0);
        table[i] = leaf(n, PM_F32, &own);
    }
    pm_tensor *low = pm_slice(n->g, x, -1, 0, half), *high = pm_slice(n->g, x, -1, half, half);
    pm_tensor *turned = pm_concat(n->g, 2, (pm_tensor *[]){pm_neg(n->g, high), low}, -1);
    return add_either(n, mul_either(n, x, table[0]), mul_either(n, turned, table[1]));
}

/* ---- norms, activations, gates, epilogues ---- */

/* A vector, a matrix, or anything that broadcasts. */
static pm_tensor *beside(gen *n, const pm_tensor *x) {
    const shape full = shape_of(x), last = {.rank = 1, .dims = {full.dims[full.rank - 1]}};
    const shape own = broadcasting(n, &full, (int)below(n, 2));
    if (chance(n, 15)) return pm_reshape(n->g, leaf(n, PM_F32, &last), 2, (int64_t[]){1, last.dims[0]});
    return leaf(n, PM_F32, chance(n, 50) ? &last : &own);
}

static pm_tensor *norm(gen *n, pm_tensor *x) {
    pm_tensor *d = chance(n, 50) ? pm_sub(n->g, x, pm_mean(n->g, x, -1)) : x;
    pm_tensor *v = add_either(n, pm_mean(n->g, pm_mul(n->g, d, d), -1), number(n, 1e-3f));
    pm_tensor *y = chance(n, 50) ? mul_either(n, d, pm_rsqrt(n->g, v)) : pm_div(n->g, d, pm_sqrt(n->g, v));
    if (chance(n, 60)) y = mul_either(n, y, beside(n, x));
    return chance(n, 60) ? add_either(n, y, beside(n, x)) : y;
}

static pm_tensor *gelu(gen *n, pm_tensor *x) {
    pm_tensor *inner = pm_erf(n->g, pm_mul(n->g, x, number(n, 0.70710678f)));
    if (chance(n, 50)) {
        pm_tensor *cube = pm_mul(n->g, pm_mul(n->g, x, x), x);
        inner = pm_tanh(n->g, pm_mul(n->g, add_either(n, x, pm_mul(n->g, cube, number(n, 0.044715f))),
                                     number(n, 0.79788456f)));
    }
    pm_tensor *half = mul_either(n, number(n, 0.5f), x);
    return mul_either(n, half, add_either(n, inner, number(n, 1)));
}

static pm_tensor *activation(gen *n, pm_tensor *x) {
    static pm_tensor *(*const plain[])(pm_graph *, pm_tensor *) = {pm_relu, pm_tanh, pm_sigmoid};
    switch (below(n, 3)) {
    case 0: return plain[below(n, 3)](n->g, x);
    case 1: return mul_either(n, x, pm_sigmoid(n->g, x));
    default: return gelu(n, x);
    }
}

static pm_tensor *make_block(gen *n) {
    const shape lead = random_lead(n, 3);
    int64_t rows = small(n), inner = small(n), cols = small(n);
    const shape full = with(&lead, rows, cols);
    pm_tensor *x = leaf(n, PM_F32, &full), *other = NULL;
    if (chance(n, 60)) x = pm_matmul(n->g, operand(n, &lead, rows, inner), operand(n, &lead, cols, inner));
    for (uint32_t i = 1 + below(n, 5); i > 0; i--) {
        switch (below(n, 6)) {
        case 0: x = norm(n, x); break;
        case 1: x = activation(n, x); break;
        case 2: x = mul_either(n, activation(n, x), other ? other : beside(n, x)); break; /* a gate */
        case 3: x = add_either(n, x, other ? other : beside(n, x)); break;
        case 4: x = scaled(n, x); break;
        default: x = mul_either(n, x, beside(n, x)); break;
        }
        if (chance(n, 30)) other = x;
        if (chance(n, 10)) pm_output(n->g, (char[]){'x', (char)('0' + i), 0}, x);
    }
    return x;
}

/* ---- the tests ---- */

static bool has_op(const pm_graph *g, pm_op op) {
    for (size_t i = 0; i < g->n_items; i++)
        if (g->items[i]->op == op) return true;
    return false;
}

/* Bits of the masks that the graphs of a kind ended with. */
static uint32_t add_masks(const pm_graph *g, uint32_t masks) {
    for (size_t i = 0; i < g->n_items; i++)
        masks |= g->items[i]->op == PM_OP_ATTENTION ? g->items[i]->attrs.mask : 0;
    return masks;
}

/* At least `want` percent of the graphs end with one of the operations, so that it is the fusion that is tested. */
static uint32_t check(pm_tensor *(*make)(gen *), uint64_t seed, const pm_op ops[2], int want) {
    test_rng r = {.state = seed};
    uint32_t masks = 0;
    int n_fused = 0;
    for (int i = 0; i < N_GRAPHS; i++) {
        gen n = {.r = &r};
        pm_graph *fused;
        assert_ok(pm_graph_create("random", &n.g));
        pm_output(n.g, "y", make(&n));
        if (pm_graph_status(n.g) != PM_OK) fail_msg("graph %d: %s", i, pm_error_text());
        test_run_both(n.g, NULL, (uint64_t)i, i % 4 - 1);
        assert_ok(pm_pass_fuse(n.g, &fused));
        n_fused += has_op(fused, ops[0]) || has_op(fused, ops[1]);
        masks = add_masks(fused, masks);
        pm_graph_destroy(n.g);
        pm_graph_destroy(fused);
    }
    print_message("%d of %d graphs fused\n", n_fused, N_GRAPHS);
    assert_true(100 * n_fused >= want * N_GRAPHS);
    return masks;
}

static void attention(void **state) {
    (void)state;
    uint32_t masks = check(make_attention, 1, (pm_op[]){PM_OP_ATTENTION, PM_OP_ATTENTION}, 20);
    assert_int_equal(masks, 2 * PM_MASK_ROWS - 1); /* every bit was tried */
}
static void rotary(void **state) {
    (void)state, check(make_rotary, 3, (pm_op[]){PM_OP_ROTARY, PM_OP_ROTARY}, 5);
}
static void norms(void **state) {
    (void)state, check(make_block, 4, (pm_op[]){PM_OP_LAYER_NORM, PM_OP_RMS_NORM}, 20);
}
static void gates(void **state) {
    (void)state, check(make_block, 5, (pm_op[]){PM_OP_GLU, PM_OP_GELU}, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention),
        cmocka_unit_test(rotary),
        cmocka_unit_test(norms),
        cmocka_unit_test(gates),
    };
    return run_all_tests(tests);
}
