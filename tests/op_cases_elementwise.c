/* Cases of the kernels unary, binary and where. Sizes stand for dims unless a builder says otherwise. */
#include "tests/support_ops.h"

static pm_tensor *input(pm_graph *g, const test_op_case *c, const char *name, pm_dtype type) {
    return pm_input(g, name, type, test_rank_of(c), c->size);
}

static pm_tensor *add_op(pm_graph *g, const test_op_case *c, int n, pm_tensor *const *in) {
    return pm_add_op(g, c->op, n, in, &c->attrs);
}

/* ---- unary ---- */

static pm_tensor *unary(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = input(g, c, "x", PM_F32);
    return add_op(g, c, 1, &x);
}

static pm_tensor *unary_bool(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = input(g, c, "x", PM_BOOL);
    return add_op(g, c, 1, &x);
}

static pm_tensor *unary_i32(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = input(g, c, "x", PM_I32);
    return add_op(g, c, 1, &x);
}

/* dims of x; its axes reversed */
static pm_tensor *unary_reversed(pm_graph *g, const test_op_case *c) {
    int rank = test_rank_of(c), axes[PM_MAX_DIMS];
    for (int i = 0; i < rank; i++) axes[i] = rank - 1 - i;
    pm_tensor *x = pm_permute(g, input(g, c, "x", PM_F32), axes);
    return add_op(g, c, 1, &x);
}

/* [A,B,C]: the inner half of every axis */
static pm_tensor *unary_sliced(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = input(g, c, "x", PM_F32);
    for (int i = 0; i < test_rank_of(c); i++) x = pm_slice(g, x, i, c->size[i] / 4, (c->size[i] + 1) / 2);
    return add_op(g, c, 1, &x);
}

/* [N]: every row the same */
static pm_tensor *unary_expanded(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_expand(g, pm_input(g, "x", PM_F32, 1, c->size), 3, (int64_t[]){3, 5, c->size[0]});
    return add_op(g, c, 1, &x);
}

/* [A,B]: x lies transposed, as the result of an operation before whose order of elements the layout pass could choose */
static pm_tensor *unary_strided_result(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_neg(g, input(g, c, "x", PM_F32));
    pm_tensor *y = add_op(g, c, 1, &x);
    if (y && pm_tensor_set_strides(y, (int64_t[]){1, c->size[0]}) != PM_OK) return NULL;
    return y;
}

/* a weight and an input */
static pm_tensor *unary_chain(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_add(g, input(g, c, "x", PM_F32), pm_weight(g, "w", PM_F32, test_rank_of(c), c->size));
    x = add_op(g, c, 1, &x);
    return pm_mul(g, add_op(g, c, 1, &x), x);
}

/* ---- binary ---- */

static pm_tensor *binary_of(pm_graph *g, const test_op_case *c, pm_dtype type) {
    pm_tensor *in[] = {input(g, c, "a", type), input(g, c, "b", type)};
    return add_op(g, c, 2, in);
}
static pm_tensor *binary(pm_graph *g, const test_op_case *c) {
    return binary_of(g, c, PM_F32);
}
static pm_tensor *binary_i32(pm_graph *g, const test_op_case *c) {
    return binary_of(g, c, PM_I32);
}
static pm_tensor *binary_bool(pm_graph *g, const test_op_case *c) {
    return binary_of(g, c, PM_BOOL);
}

/* [A,B,C] and a b of size[3] dims of which bit i of size[4] says that dim i is 1; size[5]: the operands change places */
static pm_tensor *binary_broadcast(pm_graph *g, const test_op_case *c) {
    int64_t dims[3];
    int rank = (int)c->size[3];
    for (int i = 0; i < rank; i++) dims[i] = c->size[4] >> i & 1 ? 1 : c->size[3 - rank + i];
    pm_tensor *a = pm_input(g, "a", PM_F32, 3, c->size), *b = pm_input(g, "b", PM_F32, rank, dims);
    return add_op(g, c, 2, c->size[5] ? (pm_tensor *[]){b, a} : (pm_tensor *[]){a, b});
}

/* a[A,1,C] with b[1,B,1]: both broadcast */
static pm_tensor *binary_outer(pm_graph *g, const test_op_case *c) {
    pm_tensor *in[] = {pm_input(g, "a", PM_F32, 3, (int64_t[]){c->size[0], 1, c->size[2]}),
                       pm_input(g, "b", PM_F32, 3, (int64_t[]){1, c->size[1], 1})};
    return add_op(g, c, 2, in);
}

/* a[A,B] with b[B,A] transposed */
static pm_tensor *binary_transposed(pm_graph *g, const test_op_case *c) {
    pm_tensor *b = pm_input(g, "b", PM_F32, 2, (int64_t[]){c->size[1], c->size[0]});
    pm_tensor *in[] = {input(g, c, "a", PM_F32), pm_transpose(g, b, 0, 1)};
    return add_op(g, c, 2, in);
}

/* both halves of one tensor's last axis, as a gate's */
static pm_tensor *binary_halves(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = input(g, c, "x", PM_F32);
    int last = test_rank_of(c) - 1;
    int64_t half = c->size[last] / 2;
    pm_tensor *in[] = {pm_slice(g, x, last, 0, half), pm_slice(g, x, last, half, half)};
    return add_op(g, c, 2, in);
}

/* five dims, each operand with another pair of them broadcast and b's axes reversed */
static pm_tensor *binary_rank5(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *b = pm_input(g, "b", PM_F32, 5, (int64_t[]){s[4], 1, s[2], s[1], 1});
    pm_tensor *in[] = {pm_input(g, "a", PM_F32, 5, (int64_t[]){s[0], 1, s[2], s[3], 1}),
                       pm_permute(g, b, (int[]){4, 3, 2, 1, 0})};
    return add_op(g, c, 2, in);
}

/* x with itself, and in place twice */
static pm_tensor *binary_self(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_abs(g, input(g, c, "x", PM_F32));
    pm_tensor *y = add_op(g, c, 2, (pm_tensor *[]){x, x});
    return add_op(g, c, 2, (pm_tensor *[]){y, x});
}

/* ---- where ---- */

static pm_tensor *where_of(pm_graph *g, const test_op_case *c, pm_dtype type) {
    return pm_where(g, input(g, c, "cond", PM_BOOL), input(g, c, "a", type), input(g, c, "b", type));
}
static pm_tensor *where_f32(pm_graph *g, const test_op_case *c) {
    return where_of(g, c, PM_F32);
}
static pm_tensor *where_i32(pm_graph *g, const test_op_case *c) {
    return where_of(g, c, PM_I32);
}
static pm_tensor *where_bool(pm_graph *g, const test_op_case *c) {
    return where_of(g, c, PM_BOOL);
}

/* [B,H,T,S]: a key mask chooses scores or a constant */
static pm_tensor *where_mask(pm_graph *g, const test_op_case *c) {
    pm_tensor *keys = pm_input(g, "cond", PM_BOOL, 4, (int64_t[]){c->size[0], 1, 1, c->size[3]});
    return pm_where(g, keys, input(g, c, "a", PM_F32), pm_const_f32(g, PM_MASKED));
}

/* [A,B]: the condition transposed, a a column, b a row */
static pm_tensor *where_strided(pm_graph *g, const test_op_case *c) {
    pm_tensor *cond = pm_input(g, "cond", PM_BOOL, 2, (int64_t[]){c->size[1], c->size[0]});
    return pm_where(g, pm_transpose(g, cond, 0, 1), pm_input(g, "a", PM_F32, 2, (int64_t[]){c->size[0], 1}),
                    pm_input(g, "b", PM_F32, 1, c->size + 1));
}

/* [T,S]: a causal mask from iotas, as builders write it */
static pm_tensor *where_causal(pm_graph *g, const test_op_case *c) {
    pm_tensor *row = pm_reshape(g, pm_add(g, pm_iota(g, c->size[0]), pm_param(g, "position")), 2,
                                (int64_t[]){c->size[0], 1});
    return pm_where(g, pm_le(g, pm_iota(g, c->size[1]), row), input(g, c, "a", PM_F32),
                    pm_const_f32(g, PM_MASKED));
}

/* ---- the table ---- */

#define X(kind, low, high)                                                                                   \
    { "x", TEST_##kind, low, high }
#define ONE(text, id, ...)                                                                                   \
    {                                                                                                        \
        .name = "unary " text, .build = unary, .op = PM_OP_##id, .size = {33, 7}, .hints = { __VA_ARGS__ }   \
    }
#define UNARY(text, how, id, ...)                                                                            \
    {                                                                                                        \
        .name = "unary " text, .build = unary##how, .op = PM_OP_##id, .size = { __VA_ARGS__ }                \
    }
#define FLOATS(text, id)                                                                                     \
    {                                                                                                        \
        .name = "binary " text, .build = binary, .op = PM_OP_##id, .size = { 5, 67 }                         \
    }
#define WHOLES                                                                                               \
    {"a", TEST_WHOLE, -3, 3}, {                                                                              \
        "b", TEST_WHOLE, -3, 3                                                                               \
    }
#define TIES(text, id)                                                                                       \
    {                                                                                                        \
        .name = "binary " text " ties", .build = binary, .op = PM_OP_##id, .size = {259}, .hints = {         \
            WHOLES                                                                                           \
        }                                                                                                    \
    }
/* On both sides of the smallest normal number, 1.2e-38: what a device may flush to zero. */
#define TINY(leaf)                                                                                           \
    { leaf, TEST_WIDE, 1e-42, 1e-37 }
#define TINIES(text, id)                                                                                     \
    {                                                                                                        \
        .name = "binary " text " of tiny", .build = binary, .op = PM_OP_##id, .size = {67}, .hints = {       \
            TINY("a"),                                                                                       \
            TINY("b")                                                                                        \
        }                                                                                                    \
    }
#define INTS(text, id)                                                                                       \
    {                                                                                                        \
        .name = "binary " text " i32", .build = binary_i32, .op = PM_OP_##id, .size = {17, 5}, .hints = {    \
            {"a", TEST_UNIFORM, -9, 9},                                                                      \
            {"b", TEST_UNIFORM, 1, 9}                                                                        \
        }                                                                                                    \
    }
#define BINARY(text, how, id, ...)                                                                           \
    {                                                                                                        \
        .name = "binary " text, .build = binary##how, .op = PM_OP_##id, .size = { __VA_ARGS__ }              \
    }
#define LIMITED(text, how, a, ...)                                                                           \
    {                                                                                                        \
        .name = "binary limited glu " text, .build = binary##how, .op = PM_OP_GLU,                           \
        .attrs = {.act = PM_ACT_##a, .limit = 7}, .size = {__VA_ARGS__}, .hints = {                          \
            X(HARD, -30, 30)                                                                                 \
        }                                                                                                    \
    }
#define GLU(text, how, a, ...)                                                                               \
    {                                                                                                        \
        .name = "binary glu " text, .build = binary##how, .op = PM_OP_GLU, .attrs = {.act = PM_ACT_##a},     \
        .size = {__VA_ARGS__}, .hints = {                                                                    \
            X(HARD, -30, 30)                                                                                 \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    ONE("neg", NEG, X(WIDE, 1e-30, 1e30)),
    ONE("abs", ABS, X(WIDE, 1e-30, 1e30)),
    ONE("relu", RELU, X(HARD, -4, 4)),
    ONE("exp", EXP, X(HARD, -80, 80)),
    ONE("exp small", EXP, X(WIDE, 1e-10, 1)),
    ONE("log", LOG, X(UNIFORM, 1e-6, 10)),
    ONE("log near 1", LOG, X(UNIFORM, 0.9, 1.1)),
    ONE("sqrt", SQRT, X(UNIFORM, 0, 1e6)),
    ONE("sqrt small", SQRT, X(UNIFORM, 1e-30, 1e-20)),
    ONE("rsqrt", RSQRT, X(UNIFORM, 1e-6, 1e6)),
    ONE("rsqrt small", RSQRT, X(UNIFORM, 1e-30, 1e-20)),
    ONE("tanh", TANH, X(HARD, -4, 4)),
    ONE("tanh wide", TANH, X(WIDE, 1e-8, 1e4)),
    ONE("erf", ERF, X(HARD, -4, 4)),
    ONE("erf wide", ERF, X(WIDE, 1e-8, 1e4)),
    ONE("sigmoid", SIGMOID, X(HARD, -4, 4)),
    ONE("sigmoid wide", SIGMOID, X(HARD, -80, 80)),
    ONE("gelu", GELU, X(HARD, -4, 4)),
    ONE("gelu wide", GELU, X(WIDE, 1e-8, 1e4)),
    ONE("gelu_tanh", GELU_TANH, X(HARD, -4, 4)),
    ONE("gelu_tanh wide", GELU_TANH, X(WIDE, 1e-8, 1e4)),
    ONE("silu", SILU, X(HARD, -4, 4)),
    ONE("silu wide", SILU, X(HARD, -80, 80)),
    ONE("quick_gelu", QUICK_GELU, X(HARD, -4, 4)),
    ONE("quick_gelu wide", QUICK_GELU, X(HARD, -80, 80)),
    ONE("to_i32", TO_I32, X(HARD, -1000, 1000)),
    {.name = "unary to_i32 halves",
     .build = unary,
     .op = PM_OP_TO_I32,
     .size = {65},
     .hints = {X(UNIFORM, -1.5, 1.5)}},
    {.name = "unary to_i32 of bool", .build = unary_bool, .op = PM_OP_TO_I32, .size = {65}},
    {.name = "unary to_f32",
     .build = unary_i32,
     .op = PM_OP_TO_F32,
     .size = {65},
     .hints = {X(UNIFORM, -1e6, 1e6)}},
    {.name = "unary to_f32 of bool", .build = unary_bool, .op = PM_OP_TO_F32, .size = {65}},
    {.name = "unary to_bool",
     .build = unary_i32,
     .op = PM_OP_TO_BOOL,
     .size = {65},
     .hints = {X(UNIFORM, -2, 2)}},
    {.name = "unary not", .build = unary_bool, .op = PM_OP_NOT, .size = {65}},
    {.name = "unary copy i32",
     .build = unary_i32,
     .op = PM_OP_COPY,
     .size = {65},
     .hints = {X(UNIFORM, -1e9, 1e9)}},
    UNARY("scalar", , TANH, 0),
    UNARY("one", , TANH, 1),
    UNARY("255", , NEG, 255),
    UNARY("257", , NEG, 257),
    UNARY("large", , GELU, 501, 433),
    UNARY("rank 5", , SILU, 2, 3, 1, 5, 7),
    UNARY("permuted rank 2", _reversed, COPY, 65, 33),
    UNARY("permuted rank 3", _reversed, EXP, 5, 17, 9),
    UNARY("permuted rank 4", _reversed, COPY, 3, 4, 5, 6),
    UNARY("permuted rank 5", _reversed, ABS, 2, 3, 4, 5, 6),
    UNARY("sliced rank 1", _sliced, NEG, 67),
    UNARY("sliced rank 3", _sliced, RELU, 5, 9, 31),
    UNARY("sliced rank 5", _sliced, COPY, 3, 4, 5, 4, 7),
    UNARY("expanded", _expanded, SIGMOID, 33),
    UNARY("expanded one", _expanded, COPY, 1),
    UNARY("strided result", _strided_result, TANH, 17, 33),
    UNARY("in place", _chain, TANH, 9, 31),

    ONE("neg of tiny", NEG, TINY("x")),
    ONE("abs of tiny", ABS, TINY("x")),
    ONE("relu of tiny", RELU, TINY("x")),
    ONE("exp of tiny", EXP, TINY("x")),
    ONE("log of tiny", LOG, {"x", TEST_UNIFORM, 1e-45, 1e-38}),
    ONE("sqrt of tiny", SQRT, {"x", TEST_UNIFORM, 1e-45, 1e-38}),
    ONE("rsqrt of tiny", RSQRT, {"x", TEST_UNIFORM, 1e-45, 1e-38}),
    ONE("gelu of tiny", GELU, TINY("x")),
    ONE("tanh of tiny", TANH, TINY("x")),
    ONE("neg, not finite", NEG, X(NONFINITE, -4, 4)),
    ONE("exp of -infinity", EXP, X(UNIFORM, -1e39, -1e39)),
    ONE("tanh, not finite", TANH, X(NONFINITE, -4, 4)),
    ONE("erf, not finite", ERF, X(NONFINITE, -4, 4)),
    ONE("sigmoid, not finite", SIGMOID, X(NONFINITE, -4, 4)),
    ONE("gelu, not finite", GELU, X(NONFINITE, -4, 4)),
    ONE("gelu_tanh, not finite", GELU_TANH, X(NONFINITE, -4, 4)),
    ONE("silu, not finite", SILU, X(NONFINITE, -4, 4)),
    ONE("quick_gelu, not finite", QUICK_GELU, X(NONFINITE, -4, 4)),

    FLOATS("add", ADD),
    FLOATS("sub", SUB),
    FLOATS("mul", MUL),
    FLOATS("max", MAX),
    FLOATS("min", MIN),
    FLOATS("lt", LT),
    FLOATS("le", LE),
    FLOATS("gt", GT),
    FLOATS("ge", GE),
    FLOATS("eq", EQ),
    FLOATS("ne", NE),
    TIES("max", MAX),
    TIES("min", MIN),
    TIES("lt", LT),
    TIES("le", LE),
    TIES("gt", GT),
    TIES("ge", GE),
    TIES("eq", EQ),
    TIES("ne", NE),
    TINIES("add", ADD),
    TINIES("sub", SUB),
    TINIES("max", MAX),
    TINIES("min", MIN),
    TINIES("lt", LT),
    TINIES("le", LE),
    TINIES("gt", GT),
    TINIES("ge", GE),
    TINIES("eq", EQ),
    TINIES("ne", NE),
    {.name = "binary mul of tiny",
     .build = binary,
     .op = PM_OP_MUL,
     .size = {67},
     .hints = {TINY("a"), {"b", TEST_WIDE, 1, 1e30}}},
    {.name = "binary div of tiny",
     .build = binary,
     .op = PM_OP_DIV,
     .size = {67},
     .hints = {TINY("a"), {"b", TEST_WIDE, 1e-30, 1}}},
    {.name = "binary div by tiny",
     .build = binary,
     .op = PM_OP_DIV,
     .size = {67},
     .hints = {{"a", TEST_WIDE, 1e-30, 1}, TINY("b")}},
    {.name = "binary div by huge",
     .build = binary,
     .op = PM_OP_DIV,
     .size = {67},
     .hints = {{"a", TEST_WIDE, 1, 1e38}, {"b", TEST_UNIFORM, 1e38, 3e38}}},
    INTS("add", ADD),
    INTS("sub", SUB),
    INTS("mul", MUL),
    INTS("div", DIV),
    INTS("max", MAX),
    INTS("min", MIN),
    INTS("lt", LT),
    INTS("le", LE),
    INTS("gt", GT),
    INTS("ge", GE),
    INTS("eq", EQ),
    INTS("ne", NE),
    {.name = "binary div",
     .build = binary,
     .op = PM_OP_DIV,
     .size = {5, 67},
     .hints = {{"b", TEST_WIDE, 1e-6, 1e6}}},
    {.name = "binary add wide",
     .build = binary,
     .op = PM_OP_ADD,
     .size = {300},
     .hints = {{"a", TEST_WIDE, 1e-20, 1e20}, {"b", TEST_WIDE, 1e-20, 1e20}}},
    {.name = "binary sub near",
     .build = binary,
     .op = PM_OP_SUB,
     .size = {300},
     .hints = {{"a", TEST_UNIFORM, 1, 1.001}, {"b", TEST_UNIFORM, 1, 1.001}}},
    {.name = "binary mul wide",
     .build = binary,
     .op = PM_OP_MUL,
     .size = {300},
     .hints = {{"a", TEST_WIDE, 1e-15, 1e15}, {"b", TEST_WIDE, 1e-15, 1e15}}},
    {.name = "binary and", .build = binary_bool, .op = PM_OP_AND, .size = {65}},
    {.name = "binary or", .build = binary_bool, .op = PM_OP_OR, .size = {65}},
    GLU("silu", , SILU, 5, 67),
    GLU("gelu", , GELU, 5, 67),
    GLU("gelu_tanh", , GELU_TANH, 5, 67),
    GLU("relu", , RELU, 5, 67),
    GLU("sigmoid", , SIGMOID, 5, 67),
    GLU("quick_gelu", , QUICK_GELU, 5, 67),
    LIMITED("quick_gelu", , QUICK_GELU, 5, 67),
    LIMITED("silu", , SILU, 5, 67),
    LIMITED("quick_gelu halves", _halves, QUICK_GELU, 9, 66),
    LIMITED("relu halves", _halves, RELU, 9, 66),
    GLU("silu halves", _halves, SILU, 9, 66),
    GLU("gelu halves", _halves, GELU, 2, 3, 34),
    BINARY("scalar", , ADD, 0),
    BINARY("one", , ADD, 1),
    BINARY("large", , MUL, 457, 501),
    BINARY("with row", _broadcast, ADD, 3, 5, 33, 1, 0),
    BINARY("with matrix", _broadcast, MUL, 3, 5, 33, 2, 0),
    BINARY("with rank 0", _broadcast, MUL, 3, 5, 33, 0, 0),
    BINARY("rank 0 with", _broadcast, SUB, 3, 5, 33, 0, 0, 1),
    {.name = "binary one with",
     .build = binary_broadcast,
     .op = PM_OP_DIV,
     .size = {3, 5, 33, 1, 1, 1},
     .hints = {{"a", TEST_UNIFORM, 1, 4}}},
    BINARY("row with", _broadcast, SUB, 3, 5, 33, 1, 0, 1),
    BINARY("with [A,1,1]", _broadcast, ADD, 3, 5, 33, 3, 6),
    BINARY("with [1,B,1]", _broadcast, SUB, 3, 5, 33, 3, 5),
    BINARY("with [1,1,C]", _broadcast, MUL, 3, 5, 33, 3, 3),
    BINARY("with [A,B,1]", _broadcast, ADD, 3, 5, 33, 3, 4),
    BINARY("with [A,1,C]", _broadcast, LT, 3, 5, 33, 3, 2),
    BINARY("with [1,B,C]", _broadcast, MAX, 3, 5, 33, 3, 1),
    BINARY("[A,B,1] with", _broadcast, SUB, 3, 5, 33, 3, 4, 1),
    BINARY("outer", _outer, MUL, 7, 9, 5),
    BINARY("transposed", _transposed, ADD, 33, 17),
    BINARY("halves", _halves, SUB, 4, 34),
    BINARY("rank 5", _rank5, ADD, 2, 3, 4, 5, 6),
    BINARY("self", _self, ADD, 5, 13),

    {.name = "where", .build = where_f32, .size = {5, 67}},
    {.name = "where i32",
     .build = where_i32,
     .size = {65},
     .hints = {{"a", TEST_RAMP, 0, 99}, {"b", TEST_RAMP, -99, 0}}},
    {.name = "where bool", .build = where_bool, .size = {65}},
    {.name = "where one", .build = where_f32, .size = {1}},
    {.name = "where rank 5", .build = where_f32, .size = {2, 3, 1, 5, 7}},
    {.name = "where large", .build = where_f32, .size = {455, 457}},
    {.name = "where mask", .build = where_mask, .size = {2, 3, 5, 17}},
    {.name = "where strided", .build = where_strided, .size = {17, 33}},
    {.name = "where causal",
     .build = where_causal,
     .size = {5, 17},
     .hints = {{"position", TEST_UNIFORM, 7, 7}}},
};

const test_op_table test_elementwise_cases = {cases, PM_COUNT(cases)};
