/* Cases of the kernels top_k and grouped_matmul: mixture of experts. */
#include <math.h>

#include "tests/support_ops.h"

/* ---- top_k: dims in size, k in attrs.length ---- */

static pm_tensor *top_k_of(pm_graph *g, const test_op_case *c, pm_tensor *x) {
    return pm_top_k(g, x, c->attrs.length);
}

static pm_tensor *top_k(pm_graph *g, const test_op_case *c) {
    return top_k_of(g, c, pm_input(g, "x", PM_F32, test_rank_of(c), c->size));
}

/* as columns of the transposed, between others */
static pm_tensor *top_k_turned(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){s[0], s[2] + 3, s[1]});
    return top_k_of(g, c, pm_transpose(g, pm_slice(g, x, 1, 2, s[2]), 1, 2));
}

/* ---- grouped_matmul: T (0: no such dim), J, E, N, K; ids from their hint ---- */

enum { TOKENS, CHOICES, EXPERTS, ROWS, TERMS };

static pm_tensor *ids_of(pm_graph *g, const test_op_case *c) {
    bool tokens = c->size[TOKENS];
    return pm_input(g, "ids", PM_I32, 1 + tokens, c->size + !tokens);
}
static pm_tensor *w_of(pm_graph *g, const test_op_case *c) {
    return pm_weight(g, "w", PM_F32, 3, c->size + EXPERTS);
}
static pm_tensor *bias_of(pm_graph *g, const test_op_case *c) {
    return pm_weight(g, "bias", PM_F32, 2, c->size + EXPERTS);
}
/* one row a token, and one a choice */
static pm_tensor *tokens_of(pm_graph *g, const test_op_case *c) {
    bool tokens = c->size[TOKENS];
    return pm_input(g, "x", PM_F32, 1 + tokens,
                    tokens ? (int64_t[]){c->size[TOKENS], c->size[TERMS]} : c->size + TERMS);
}
static pm_tensor *choices_of(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    return pm_input(g, "x", PM_F32, 3, (int64_t[]){s[TOKENS], s[CHOICES], s[TERMS]});
}

static pm_tensor *grouped(pm_graph *g, const test_op_case *c) {
    return pm_grouped_matmul(g, tokens_of(g, c), w_of(g, c), ids_of(g, c));
}
static pm_tensor *grouped_rows(pm_graph *g, const test_op_case *c) {
    return pm_grouped_matmul(g, choices_of(g, c), w_of(g, c), ids_of(g, c));
}
static pm_tensor *grouped_bias(pm_graph *g, const test_op_case *c) {
    pm_tensor *in[] = {tokens_of(g, c), w_of(g, c), ids_of(g, c), bias_of(g, c)};
    return pm_add_op(g, PM_OP_GROUPED_MATMUL, 4, in, &c->attrs);
}
/* a batch of two: ids [2,T,J] */
static pm_tensor *grouped_batch(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    return pm_grouped_matmul(g, pm_input(g, "x", PM_F32, 3, (int64_t[]){2, s[TOKENS], s[TERMS]}), w_of(g, c),
                             pm_input(g, "ids", PM_I32, 3, (int64_t[]){2, s[TOKENS], s[CHOICES]}));
}
/* w [E,K,N], turned; x a slice of wider rows; every second id */
static pm_tensor *grouped_strided(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *w = pm_weight(g, "w", PM_F32, 3, (int64_t[]){s[EXPERTS], s[TERMS], s[ROWS]});
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){s[TOKENS], s[TERMS] + 5});
    pm_tensor *ids = pm_input(g, "ids", PM_I32, 2, (int64_t[]){s[TOKENS], 2 * s[CHOICES]});
    ids = pm_reshape(g, ids, 3, (int64_t[]){s[TOKENS], s[CHOICES], 2});
    ids = pm_reshape(g, pm_slice(g, ids, 2, 1, 1), 2, c->size);
    return pm_grouped_matmul(g, pm_slice(g, x, 1, 3, s[TERMS]), pm_transpose(g, w, 1, 2), ids);
}
/* x [J,T,K], turned: choices lie farther apart than tokens */
static pm_tensor *grouped_turned(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){s[CHOICES], s[TOKENS], s[TERMS]});
    return pm_grouped_matmul(g, pm_transpose(g, x, 0, 1), w_of(g, c), ids_of(g, c));
}
/* as builders write it, for the compiler to fuse: silu(w[e] . x + bias[e]) */
static pm_tensor *grouped_primitives(pm_graph *g, const test_op_case *c) {
    pm_tensor *ids = ids_of(g, c), *y = pm_grouped_matmul(g, tokens_of(g, c), w_of(g, c), ids);
    y = pm_add(g, y, pm_gather(g, bias_of(g, c), ids));
    return pm_mul(g, y, pm_sigmoid(g, y));
}

/* ---- the table ---- */

#define TOP(text, how, k, kind, lo, hi, ...)                                                                 \
    {                                                                                                        \
        .name = "top_k " text, .build = top_k##how, .attrs = {.length = k}, .size = {__VA_ARGS__},           \
        .hints = {                                                                                           \
            {"x", TEST_##kind, lo, hi}                                                                       \
        }                                                                                                    \
    }
#define GROUPED(text, how, lo, hi, ...)                                                                      \
    {                                                                                                        \
        .name = "grouped_matmul " text, .build = grouped##how, .size = {__VA_ARGS__}, .hints = {             \
            {"ids", TEST_UNIFORM, lo, hi}                                                                    \
        }                                                                                                    \
    }
#define GROUPED_ACT(text, id, ...)                                                                           \
    {                                                                                                        \
        .name = "grouped_matmul " text, .build = grouped_bias, .attrs = {.act = PM_ACT_##id},                \
        .size = {__VA_ARGS__}, .hints = {                                                                    \
            {"ids", TEST_UNIFORM, 0, 2}                                                                      \
        }                                                                                                    \
    }
#define GROUPED_FILLED(text, kind, lo, hi, ...)                                                              \
    {                                                                                                        \
        .name = "grouped_matmul " text, .build = grouped, .size = {__VA_ARGS__}, .hints = {                  \
            {"ids", TEST_UNIFORM, 0, 2},                                                                     \
            {"x", TEST_##kind, lo, hi},                                                                      \
            {"w", TEST_##kind, lo, hi}                                                                       \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    TOP("one of one", , 1, HARD, -4, 4, 1),
    TOP("2 of 8", , 2, HARD, -4, 4, 7, 8),
    TOP("1 of 33", , 1, HARD, -4, 4, 5, 33),
    TOP("all of 9", , 9, HARD, -4, 4, 5, 9),
    TOP("all of 65", , 65, HARD, -4, 4, 3, 65),
    TOP("8 of 128", , 8, HARD, -4, 4, 2, 3, 128),
    TOP("4 of 300", , 4, HARD, -4, 4, 9, 300),
    TOP("rank 5", , 3, HARD, -4, 4, 2, 3, 2, 2, 17),
    TOP("many rows", , 2, HARD, -4, 4, 1031, 6),
    TOP("turned", _turned, 3, HARD, -4, 4, 2, 5, 66),
    TOP("ties", , 5, WHOLE, -2, 2, 33, 129),
    TOP("all equal", , 70, UNIFORM, 2, 2, 3, 130),
    TOP("not finite", , 5, NONFINITE, -4, 4, 65, 5),
    TOP("of NaN", , 3, UNIFORM, NAN, NAN, 2, 70),
    TOP("of tiny", , 4, UNIFORM, -1e-39, 1e-39, 5, 99),

    GROUPED("one", , 0, 0, 1, 1, 1, 1, 1),
    GROUPED("one token", , 0, 3, 1, 2, 4, 17, 33),
    GROUPED("one token, no T", , 0, 3, 0, 2, 4, 65, 67),
    GROUPED("one expert", , 0, 0, 3, 1, 1, 33, 40),
    GROUPED("few tokens", , 0, 7, 3, 2, 8, 65, 130),
    GROUPED("all experts chosen", , 0, 3, 5, 4, 4, 31, 48),
    GROUPED("many tokens", , 0, 3, 67, 2, 4, 65, 37),
    GROUPED("many tokens, one expert has all", , 2, 2, 133, 2, 4, 66, 40),
    GROUPED("many tokens, large", , 0, 5, 190, 3, 6, 130, 160),
    GROUPED("many tokens, long k", , 0, 2, 30, 2, 3, 9, 4099),
    GROUPED("few tokens, long k", , 0, 8, 2, 2, 9, 9, 4099),
    GROUPED("k of many loops", , 0, 1, 40, 1, 2, 5,
            20500), /* one driver leaves loops that long: pitfalls.md */
    GROUPED("k 1", , 0, 3, 9, 2, 4, 7, 1),
    GROUPED("out of range", , -3, 5, 5, 2, 4, 33, 20),
    GROUPED("out of range, many", , -3, 5, 37, 2, 4, 70, 20),
    GROUPED("extreme ids", , -2147483648.0, 2147483647.0, 9, 2, 4, 33, 20),
    GROUPED("rows of choices", _rows, 0, 3, 3, 2, 4, 33, 40),
    GROUPED("rows of choices, many", _rows, 0, 3, 40, 3, 4, 33, 40),
    GROUPED("batch", _batch, 0, 6, 3, 2, 7, 33, 40),
    GROUPED("batch, many", _batch, 0, 3, 33, 2, 4, 33, 40),
    GROUPED("strided", _strided, 0, 3, 3, 1, 4, 33, 40),
    GROUPED("strided, many", _strided, 0, 3, 50, 2, 4, 33, 40),
    GROUPED("turned rows", _turned, 0, 3, 3, 2, 4, 33, 40),
    GROUPED("turned rows, many", _turned, 0, 3, 41, 2, 4, 33, 40),
    GROUPED("bias", _bias, 0, 3, 3, 2, 4, 33, 40),
    GROUPED("bias, many", _bias, 0, 3, 41, 2, 4, 65, 40),
    GROUPED_ACT("silu", SILU, 1, 2, 3, 33, 40),
    GROUPED_ACT("silu, many", SILU, 41, 2, 3, 33, 40),
    GROUPED_ACT("gelu", GELU, 1, 2, 3, 33, 40),
    GROUPED_ACT("relu, many", RELU, 41, 2, 3, 33, 40),
    {.name = "grouped_matmul fused",
     .build = grouped_primitives,
     .size = {3, 2, 4, 33, 40},
     .hints = {{"ids", TEST_UNIFORM, -1, 4}},
     .fuse = true},
    GROUPED_FILLED("wide", WIDE, 1e-6, 1e6, 5, 2, 3, 33, 65),
    GROUPED_FILLED("wide, many", WIDE, 1e-6, 1e6, 30, 2, 3, 33, 65),
    GROUPED_FILLED("equal products", UNIFORM, 0.3, 0.3, 1, 2, 3, 5, 16384),
    GROUPED_FILLED("equal products, many", UNIFORM, 0.3, 0.3, 30, 2, 3, 33, 4096),
    GROUPED_FILLED("tiny numbers, many", WIDE, 1e-21, 1e-18, 30, 2, 3, 33, 65),
};

const test_op_table test_grouped_cases = {cases, PM_COUNT(cases)};
