/* Cases of the kernels reduce, argmax, layer_norm and rms_norm. Sizes stand for dims unless a builder says otherwise. */
#include <math.h>

#include "tests/support_ops.h"

static pm_tensor *input_x(pm_graph *g, const test_op_case *c) {
    return pm_input(g, "x", PM_F32, test_rank_of(c), c->size);
}

static pm_tensor *add_op(pm_graph *g, const test_op_case *c, int n, pm_tensor *const *in) {
    return pm_add_op(g, c->op, n, in, &c->attrs);
}

/* x as it is; the axes reversed; the inner half of every axis; the even half of the last axis' pairs */
static pm_tensor *reversed(pm_graph *g, pm_tensor *x) {
    int rank = pm_tensor_rank(x), axes[PM_MAX_DIMS];
    for (int i = 0; i < rank; i++) axes[i] = rank - 1 - i;
    return pm_permute(g, x, axes);
}

static pm_tensor *sliced(pm_graph *g, pm_tensor *x) {
    for (int i = 0; i < pm_tensor_rank(x); i++)
        x = pm_slice(g, x, i, pm_tensor_dim(x, i) / 4, (pm_tensor_dim(x, i) + 1) / 2);
    return x;
}

/* ---- reduce (the axis in attrs) and argmax ---- */

static pm_tensor *rows(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = input_x(g, c);
    return add_op(g, c, 1, &x);
}

static pm_tensor *rows_reversed(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = reversed(g, input_x(g, c));
    return add_op(g, c, 1, &x);
}

static pm_tensor *rows_sliced(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = sliced(g, input_x(g, c));
    return add_op(g, c, 1, &x);
}

/* [N]: rows that are all the same */
static pm_tensor *rows_expanded(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_expand(g, input_x(g, c), 2, (int64_t[]){3, c->size[0]});
    return add_op(g, c, 1, &x);
}

/* a few elements that are not finite, and the rest */
static pm_tensor *argmax_with_nan(pm_graph *g, const test_op_case *c) {
    pm_tensor *parts[] = {pm_input(g, "nan", PM_F32, 2, (int64_t[]){c->size[0], 3}), input_x(g, c)};
    pm_tensor *x = pm_concat(g, 2, parts, 1);
    return add_op(g, c, 1, &x);
}

/* a column of minus infinity, and the rest */
static pm_tensor *log_softmax_absent(pm_graph *g, const test_op_case *c) {
    const float none = -INFINITY;
    pm_tensor *absent = pm_const_data(g, PM_F32, 0, NULL, &none);
    pm_tensor *parts[] = {pm_expand(g, absent, 2, (int64_t[]){c->size[0], 1}), input_x(g, c)};
    pm_tensor *x = pm_concat(g, 2, parts, 1);
    return add_op(g, c, 1, &x);
}

/* ---- norms: size[4] says which of gamma (1) and beta (2) there are ---- */

static pm_tensor *norm_of(pm_graph *g, const test_op_case *c, pm_tensor *x) {
    int64_t n = pm_tensor_dim(x, -1);
    pm_tensor *in[] = {x, c->size[4] & 1 ? pm_weight(g, "gamma", PM_F32, 1, &n) : NULL,
                       c->size[4] & 2 ? pm_weight(g, "beta", PM_F32, 1, &n) : NULL};
    return add_op(g, c, in[2] ? 3 : in[1] ? 2 : 1, in);
}

static pm_tensor *norm(pm_graph *g, const test_op_case *c) {
    return norm_of(g, c, input_x(g, c));
}
static pm_tensor *norm_reversed(pm_graph *g, const test_op_case *c) {
    return norm_of(g, c, reversed(g, input_x(g, c)));
}
static pm_tensor *norm_sliced(pm_graph *g, const test_op_case *c) {
    return norm_of(g, c, sliced(g, input_x(g, c)));
}

/* [B,T,H,D] as [B,H,T,D] */
static pm_tensor *norm_heads(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, c->size);
    return norm_of(g, c, pm_transpose(g, x, 1, 2));
}

/* the result's elements lie transposed */
static pm_tensor *norm_strided_result(pm_graph *g, const test_op_case *c) {
    pm_tensor *y = norm(g, c);
    if (y && pm_tensor_set_strides(y, (int64_t[]){1, c->size[0]}) != PM_OK) return NULL;
    return y;
}

/* in the middle of other work, so that it may run in place of its operand */
static pm_tensor *norm_chain(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_neg(g, input_x(g, c));
    return pm_abs(g, norm_of(g, c, x));
}

#define RED(text, how, id, ax, ...)                                                                          \
    {                                                                                                        \
        .name = "reduce " text, .build = rows##how, .op = PM_OP_##id, .attrs = {.axis = ax}, .size = {       \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define EQUAL(text, id, x, ...)                                                                              \
    {                                                                                                        \
        .name = "reduce " text " of equal elements", .build = rows, .op = PM_OP_##id, .attrs = {.axis = 1},  \
        .size = {__VA_ARGS__}, .hints = {                                                                    \
            {"x", TEST_UNIFORM, x, x}                                                                        \
        }                                                                                                    \
    }
#define WIDE(text, id)                                                                                       \
    {                                                                                                        \
        .name = "reduce " text " wide", .build = rows, .op = PM_OP_##id, .attrs = {.axis = 1},               \
        .size = {5, 333}, .hints = {                                                                         \
            {"x", TEST_WIDE, 1e-6, 1e6}                                                                      \
        }                                                                                                    \
    }
#define ARG(text, how, ...)                                                                                  \
    {                                                                                                        \
        .name = "argmax " text, .build = rows##how, .op = PM_OP_ARGMAX, .size = { __VA_ARGS__ }              \
    }
#define NORM(text, how, id, given, a, b, c, d, ...)                                                          \
    {                                                                                                        \
        .name = text, .build = norm##how, .op = PM_OP_##id, .attrs = {.eps = 1e-5f},                         \
        .size = {a, b, c, d, given}, .hints = {                                                              \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    RED("sum one", , SUM, 0, 1),
    RED("sum rank 1", , SUM, 0, 65),
    RED("sum 15", , SUM, 1, 3, 15),
    RED("sum 63", , SUM, 1, 3, 63),
    RED("sum 64", , SUM, 1, 3, 64),
    RED("sum 65", , SUM, 1, 3, 65),
    RED("sum of one", , SUM, 1, 7, 1),
    RED("sum large", , SUM, 1, 23, 10007),
    RED("sum of many rows", , SUM, 1, 1027, 3),
    RED("sum axis 0", , SUM, 0, 33, 17),
    RED("sum axis 1 of 3", , SUM, 1, 3, 17, 5),
    RED("sum axis 2 of 5", , SUM, 2, 2, 3, 17, 4, 5),
    RED("sum axis 4 of 5", , SUM, 4, 2, 3, 4, 5, 33),
    RED("sum reversed", _reversed, SUM, 2, 33, 5, 7),
    RED("sum sliced", _sliced, SUM, 1, 5, 67, 9),
    RED("sum expanded", _expanded, SUM, 0, 33),
    RED("mean", , MEAN, 1, 5, 77),
    RED("mean of one", , MEAN, 1, 5, 1),
    RED("mean axis 0", , MEAN, 0, 33, 17),
    RED("mean reversed", _reversed, MEAN, 1, 5, 33, 7),
    RED("reduce_max", , REDUCE_MAX, 1, 5, 77),
    RED("reduce_max of one", , REDUCE_MAX, 1, 5, 1),
    RED("reduce_max axis 0", , REDUCE_MAX, 0, 33, 17),
    RED("reduce_max sliced", _sliced, REDUCE_MAX, 1, 5, 133),
    {.name = "reduce max of negatives",
     .build = rows,
     .op = PM_OP_REDUCE_MAX,
     .attrs = {.axis = 1},
     .size = {5, 33},
     .hints = {{"x", TEST_UNIFORM, -1e30, -1e20}}},
    WIDE("sum", SUM),
    WIDE("mean", MEAN),
    WIDE("reduce_max", REDUCE_MAX),

    EQUAL("sum", SUM, 0.1, 2, 65536),
    EQUAL("sum of more", SUM, 0.7, 1, 1 << 20),
    EQUAL("mean", MEAN, 0.1, 2, 16384),
    {.name = "reduce sum biased",
     .build = rows,
     .op = PM_OP_SUM,
     .attrs = {.axis = 1},
     .size = {2, 65533},
     .hints = {{"x", TEST_UNIFORM, 1, 1.1}}},
    {.name = "reduce sum of tiny",
     .build = rows,
     .op = PM_OP_SUM,
     .attrs = {.axis = 1},
     .size = {3, 99},
     .hints = {{"x", TEST_WIDE, 1e-42, 1e-37}}},
    {.name = "reduce max of tiny",
     .build = rows,
     .op = PM_OP_REDUCE_MAX,
     .attrs = {.axis = 1},
     .size = {3, 99},
     .hints = {{"x", TEST_UNIFORM, -1e-39, 1e-39}}},

    ARG("one", , 1),
    ARG("rank 1", , 65),
    ARG("15", , 3, 15),
    ARG("63", , 3, 63),
    ARG("65", , 3, 65),
    ARG("large", , 7, 30011),
    ARG("rank 5", , 2, 3, 1, 4, 33),
    ARG("reversed", _reversed, 65, 3, 5),
    ARG("sliced", _sliced, 5, 7, 131),
    ARG("all equal rows", _expanded, 130),
    {.name = "argmax ties",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {33, 129},
     .hints = {{"x", TEST_WHOLE, -3, 3}}},
    {.name = "argmax all equal",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {3, 300},
     .hints = {{"x", TEST_UNIFORM, 2, 2}}},
    {.name = "argmax of masked",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {9, 77},
     .hints = {{"x", TEST_UNIFORM, -3.4e38, -3e38}}},

    {.name = "argmax of tiny",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {5, 99},
     .hints = {{"x", TEST_UNIFORM, 0, 1e-39}}},
    {.name = "argmax of negative tiny",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {5, 99},
     .hints = {{"x", TEST_UNIFORM, -1e-39, -1e-40}}},
    {.name = "argmax, not finite",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {65, 5},
     .hints = {{"x", TEST_NONFINITE, -4, 4}}},
    {.name = "argmax, long rows with NaN",
     .build = argmax_with_nan,
     .op = PM_OP_ARGMAX,
     .size = {9, 130},
     .hints = {{"nan", TEST_NONFINITE, -4, 4}}},
    {.name = "argmax, rows of NaN",
     .build = rows,
     .op = PM_OP_ARGMAX,
     .size = {2, 130},
     .hints = {{"x", TEST_UNIFORM, NAN, NAN}}},

    NORM("log_softmax", , LOG_SOFTMAX, 0, 5, 77, 0, 0),
    NORM("log_softmax 1 column", , LOG_SOFTMAX, 0, 5, 1, 0, 0),
    NORM("log_softmax 63", , LOG_SOFTMAX, 0, 3, 63, 0, 0),
    NORM("log_softmax 65", , LOG_SOFTMAX, 0, 3, 65, 0, 0),
    NORM("log_softmax 512", , LOG_SOFTMAX, 0, 2, 512, 0, 0),
    NORM("log_softmax rank 1", , LOG_SOFTMAX, 0, 33, 0, 0, 0),
    NORM("log_softmax rank 4", , LOG_SOFTMAX, 0, 2, 3, 4, 33),
    NORM("log_softmax heads", _heads, LOG_SOFTMAX, 0, 2, 5, 3, 16),
    NORM("log_softmax reversed", _reversed, LOG_SOFTMAX, 0, 65, 3, 5, 0),
    NORM("log_softmax sliced", _sliced, LOG_SOFTMAX, 0, 9, 131, 0, 0),
    NORM("log_softmax strided result", _strided_result, LOG_SOFTMAX, 0, 17, 33, 0, 0),
    NORM("log_softmax in place", _chain, LOG_SOFTMAX, 0, 17, 33, 0, 0),
    NORM("log_softmax of equal elements", , LOG_SOFTMAX, 0, 2, 65536, 0, 0, {"x", TEST_UNIFORM, 3.3, 3.3}),
    NORM("log_softmax of a long row", , LOG_SOFTMAX, 0, 2, 40000, 0, 0, {"x", TEST_UNIFORM, -3, 3}),
    NORM("log_softmax far from 0", , LOG_SOFTMAX, 0, 5, 200, 0, 0, {"x", TEST_UNIFORM, 1000, 1001}),
    {.name = "log_softmax of absent entries",
     .build = log_softmax_absent,
     .op = PM_OP_LOG_SOFTMAX,
     .size = {5, 70}},
    NORM("log_softmax wide", , LOG_SOFTMAX, 0, 5, 200, 0, 0, {"x", TEST_WIDE, 1e-4, 1e4}),

    NORM("layer_norm", , LAYER_NORM, 3, 5, 77, 0, 0),
    NORM("layer_norm 1 column", , LAYER_NORM, 3, 5, 1, 0, 0),
    NORM("layer_norm 63", , LAYER_NORM, 3, 3, 63, 0, 0),
    NORM("layer_norm 65", , LAYER_NORM, 3, 3, 65, 0, 0),
    NORM("layer_norm 768", , LAYER_NORM, 3, 267, 768, 0, 0),
    NORM("layer_norm rank 1", , LAYER_NORM, 3, 33, 0, 0, 0),
    NORM("layer_norm rank 4", , LAYER_NORM, 3, 2, 3, 4, 33),
    NORM("layer_norm plain", , LAYER_NORM, 0, 5, 77, 0, 0),
    NORM("layer_norm gamma", , LAYER_NORM, 1, 5, 77, 0, 0),
    NORM("layer_norm beta", , LAYER_NORM, 2, 5, 77, 0, 0),
    NORM("layer_norm reversed", _reversed, LAYER_NORM, 3, 65, 3, 5, 0),
    NORM("layer_norm sliced", _sliced, LAYER_NORM, 3, 9, 131, 0, 0),
    NORM("layer_norm heads", _heads, LAYER_NORM, 3, 2, 5, 3, 16),
    NORM("layer_norm strided result", _strided_result, LAYER_NORM, 3, 17, 33, 0, 0),
    NORM("layer_norm in place", _chain, LAYER_NORM, 3, 17, 33, 0, 0),
    NORM("layer_norm far from 0", , LAYER_NORM, 3, 5, 200, 0, 0, {"x", TEST_UNIFORM, 1000, 1001}),
    NORM("layer_norm tiny", , LAYER_NORM, 3, 5, 200, 0, 0, {"x", TEST_UNIFORM, -1e-6, 1e-6}),
    NORM("layer_norm constant rows", , LAYER_NORM, 3, 5, 64, 0, 0, {"x", TEST_UNIFORM, 0.5, 0.5}),
    NORM("layer_norm wide", , LAYER_NORM, 3, 5, 200, 0, 0, {"x", TEST_WIDE, 1e-4, 1e4}),

    NORM("layer_norm of equal elements", , LAYER_NORM, 0, 2, 4096, 0, 0, {"x", TEST_UNIFORM, 0.1, 0.1}),
    NORM("layer_norm of long rows", , LAYER_NORM, 0, 2, 40000, 0, 0, {"x", TEST_UNIFORM, 100, 101}),

    NORM("rms_norm", , RMS_NORM, 1, 5, 77, 0, 0),
    NORM("rms_norm 1 column", , RMS_NORM, 1, 5, 1, 0, 0),
    NORM("rms_norm 63", , RMS_NORM, 1, 3, 63, 0, 0),
    NORM("rms_norm 65", , RMS_NORM, 1, 3, 65, 0, 0),
    NORM("rms_norm 2048", , RMS_NORM, 1, 101, 2048, 0, 0),
    NORM("rms_norm plain", , RMS_NORM, 0, 5, 77, 0, 0),
    NORM("rms_norm rank 1", , RMS_NORM, 1, 33, 0, 0, 0),
    NORM("rms_norm rank 4", , RMS_NORM, 1, 2, 3, 4, 33),
    NORM("rms_norm heads", _heads, RMS_NORM, 1, 2, 5, 3, 16),
    NORM("rms_norm reversed", _reversed, RMS_NORM, 1, 65, 3, 5, 0),
    NORM("rms_norm sliced", _sliced, RMS_NORM, 1, 9, 131, 0, 0),
    NORM("rms_norm strided result", _strided_result, RMS_NORM, 1, 17, 33, 0, 0),
    NORM("rms_norm of equal elements", , RMS_NORM, 0, 2, 65536, 0, 0, {"x", TEST_UNIFORM, 0.3, 0.3}),
    NORM("rms_norm zeros", , RMS_NORM, 1, 5, 64, 0, 0, {"x", TEST_UNIFORM, 0, 0}),
    NORM("rms_norm tiny", , RMS_NORM, 1, 5, 64, 0, 0, {"x", TEST_UNIFORM, -1e-6, 1e-6}),
    NORM("rms_norm wide", , RMS_NORM, 1, 5, 200, 0, 0, {"x", TEST_WIDE, 1e-4, 1e4}),
};

const test_op_table test_rows_cases = {cases, PM_COUNT(cases)};
