/* Cases of the kernel matmul. size: M, N, K, then three leading dims (0: none). */
#include "tests/support_ops.h"

static pm_tensor *leaf(pm_graph *g, const test_op_case *c, const char *name, int64_t rows, int64_t cols) {
    int64_t dims[PM_MAX_DIMS];
    int rank = 0;
    for (int i = 3; i < 6; i++)
        if (c->size[i]) dims[rank++] = c->size[i];
    dims[rank++] = rows;
    dims[rank++] = cols;
    return pm_input(g, name, PM_F32, rank, dims);
}

static pm_tensor *a_of(pm_graph *g, const test_op_case *c) {
    return leaf(g, c, "a", c->size[0], c->size[2]);
}
static pm_tensor *b_of(pm_graph *g, const test_op_case *c) {
    return leaf(g, c, "b", c->size[1], c->size[2]);
}
/* as [..,K,M] and [..,K,N], transposed */
static pm_tensor *a_turned(pm_graph *g, const test_op_case *c) {
    return pm_transpose(g, leaf(g, c, "a", c->size[2], c->size[0]), -1, -2);
}
static pm_tensor *b_turned(pm_graph *g, const test_op_case *c) {
    return pm_transpose(g, leaf(g, c, "b", c->size[2], c->size[1]), -1, -2);
}

static pm_tensor *product(pm_graph *g, const test_op_case *c, pm_tensor *a, pm_tensor *b) {
    pm_tensor *in[] = {a, b};
    return pm_add_op(g, PM_OP_MATMUL, 2, in, &c->attrs);
}

static pm_tensor *nt(pm_graph *g, const test_op_case *c) {
    return product(g, c, a_of(g, c), b_of(g, c));
}
static pm_tensor *nn(pm_graph *g, const test_op_case *c) {
    return product(g, c, a_of(g, c), b_turned(g, c));
}
static pm_tensor *tt(pm_graph *g, const test_op_case *c) {
    return product(g, c, a_turned(g, c), b_of(g, c));
}
static pm_tensor *tn(pm_graph *g, const test_op_case *c) {
    return product(g, c, a_turned(g, c), b_turned(g, c));
}

/* a linear layer: b is one weight for all leading dims */
static pm_tensor *linear(pm_graph *g, const test_op_case *c) {
    return product(g, c, a_of(g, c), pm_weight(g, "b", PM_F32, 2, c->size + 1));
}
/* the other way round: one a */
static pm_tensor *one_a(pm_graph *g, const test_op_case *c) {
    return product(g, c, pm_input(g, "a", PM_F32, 2, (int64_t[]){c->size[0], c->size[2]}), b_turned(g, c));
}
/* leading dims 1 of a and of b in turn */
static pm_tensor *crossed(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *a = pm_input(g, "a", PM_F32, 4, (int64_t[]){s[3], 1, s[0], s[2]});
    pm_tensor *b = pm_input(g, "b", PM_F32, 4, (int64_t[]){1, s[4], s[1], s[2]});
    return product(g, c, a, b);
}

/* heads: a is [B,M,H,K] and b [B,N,H,K], both permuted to [B,H,..,K]; size[3] is B, size[4] H */
static pm_tensor *heads(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *a = pm_input(g, "a", PM_F32, 4, (int64_t[]){s[3], s[0], s[4], s[2]});
    pm_tensor *b = pm_input(g, "b", PM_F32, 4, (int64_t[]){s[3], s[1], s[4], s[2]});
    return product(g, c, pm_transpose(g, a, 1, 2), pm_transpose(g, b, 1, 2));
}

/* parts of wider tensors: rows and columns */
static pm_tensor *sliced(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *a = pm_input(g, "a", PM_F32, 2, (int64_t[]){s[0] + 3, s[2] + 5});
    pm_tensor *b = pm_input(g, "b", PM_F32, 2, (int64_t[]){s[1] + 2, s[2] + 9});
    a = pm_slice(g, pm_slice(g, a, 0, 2, s[0]), 1, 3, s[2]);
    b = pm_slice(g, pm_slice(g, b, 0, 1, s[1]), 1, 7, s[2]);
    return product(g, c, a, b);
}

/* neither stride of either operand is 1: every second column of the transposed */
static pm_tensor *scattered(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *a = pm_input(g, "a", PM_F32, 3, (int64_t[]){s[2], s[0], 2}),
              *b = pm_input(g, "b", PM_F32, 3, (int64_t[]){s[1], s[2], 2});
    a = pm_reshape(g, pm_slice(g, a, 2, 1, 1), 2, (int64_t[]){s[2], s[0]});
    b = pm_reshape(g, pm_slice(g, b, 2, 0, 1), 2, (int64_t[]){s[1], s[2]});
    return product(g, c, pm_transpose(g, a, 0, 1), b);
}

/* the result goes on as [B,M,H,N] */
static pm_tensor *strided_result(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *y = nt(g, c);
    if (y && pm_tensor_set_strides(y, (int64_t[]){s[4] * s[0] * s[1], s[1], s[4] * s[1], 1}) != PM_OK)
        return NULL;
    return y;
}

/* ---- epilogues ---- */

static pm_tensor *with_epilogue(pm_graph *g, const test_op_case *c, pm_tensor *a, pm_tensor *residual) {
    pm_tensor *in[] = {a, pm_weight(g, "b", PM_F32, 2, c->size + 1),
                       pm_weight(g, "bias", PM_F32, 1, c->size + 1), residual};
    return pm_add_op(g, PM_OP_MATMUL, residual ? 4 : 3, in, &c->attrs);
}

static pm_tensor *bias(pm_graph *g, const test_op_case *c) {
    return with_epilogue(g, c, a_of(g, c), NULL);
}
static pm_tensor *both(pm_graph *g, const test_op_case *c) {
    return with_epilogue(g, c, a_of(g, c), leaf(g, c, "residual", c->size[0], c->size[1]));
}
/* a residual for all rows, one for all leading dims, and one that lies permuted */
static pm_tensor *both_row(pm_graph *g, const test_op_case *c) {
    return with_epilogue(g, c, a_of(g, c), pm_input(g, "residual", PM_F32, 1, c->size + 1));
}
static pm_tensor *both_matrix(pm_graph *g, const test_op_case *c) {
    return with_epilogue(g, c, a_of(g, c), pm_input(g, "residual", PM_F32, 2, c->size));
}
static pm_tensor *both_heads(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *r = pm_input(g, "residual", PM_F32, 4, (int64_t[]){s[3], s[0], s[4], s[1]});
    return with_epilogue(g, c, a_of(g, c), pm_transpose(g, r, 1, 2));
}
static pm_tensor *residual_only(pm_graph *g, const test_op_case *c) {
    pm_tensor *in[] = {a_of(g, c), b_turned(g, c), NULL, leaf(g, c, "residual", c->size[0], c->size[1])};
    return pm_add_op(g, PM_OP_MATMUL, 4, in, &c->attrs);
}

/* the residual dies here: the result may be written over it */
static pm_tensor *residual_in_place(pm_graph *g, const test_op_case *c) {
    pm_tensor *r = pm_neg(g, leaf(g, c, "residual", c->size[0], c->size[1]));
    return pm_abs(g, with_epilogue(g, c, pm_neg(g, a_of(g, c)), r));
}

/* written as builders write it, for the compiler to fuse: relu(a b^T + bias) + residual, then turned */
static pm_tensor *primitives(pm_graph *g, const test_op_case *c) {
    pm_tensor *y = pm_matmul(g, a_of(g, c), pm_weight(g, "b", PM_F32, 2, c->size + 1));
    y = pm_relu(g, pm_add(g, y, pm_weight(g, "bias", PM_F32, 1, c->size + 1)));
    y = pm_add(g, y, leaf(g, c, "residual", c->size[0], c->size[1]));
    return pm_copy(g, pm_transpose(g, y, -1, -2));
}

#define MM(text, how, ...)                                                                                   \
    {                                                                                                        \
        .name = "matmul " text, .build = how, .size = { __VA_ARGS__ }                                        \
    }
/* each way in which the operands can lie */
#define ALL(text, ...)                                                                                       \
    MM(text " nt", nt, __VA_ARGS__), MM(text " nn", nn, __VA_ARGS__), MM(text " tt", tt, __VA_ARGS__),       \
        MM(text " tn", tn, __VA_ARGS__)
#define ACT(text, id, m)                                                                                     \
    {.name = "matmul bias " text " M " #m,                                                                   \
     .build = bias,                                                                                          \
     .attrs = {.act = PM_ACT_##id},                                                                          \
     .size = {m, 33, 40}},                                                                                   \
    {                                                                                                        \
        .name = "matmul bias " text " residual M " #m, .build = both, .attrs = {.act = PM_ACT_##id},         \
        .size = {                                                                                            \
            m,                                                                                               \
            33,                                                                                              \
            40                                                                                               \
        }                                                                                                    \
    }
#define SCALED(text, how, s, a, ...)                                                                         \
    {                                                                                                        \
        .name = "matmul " text, .build = how, .attrs = {.scale = s, .act = PM_ACT_##a}, .size = {            \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define FILLED(text, how, m, n, k, kind, low, high)                                                          \
    {                                                                                                        \
        .name = "matmul " text, .build = how, .size = {m, n, k}, .hints = {                                  \
            {"a", TEST_##kind, low, high},                                                                   \
            {"b", TEST_##kind, low, high}                                                                    \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    ALL("1x1x1", 1, 1, 1),
    ALL("1x65x67", 1, 65, 67),
    ALL("2x17x33", 2, 17, 33),
    ALL("4x64x64", 4, 64, 64),
    ALL("5x65x17", 5, 65, 17),
    ALL("33x31x15", 33, 31, 15),
    ALL("65x63x33", 65, 63, 33),
    ALL("64x64x64", 64, 64, 64),
    MM("3x1x129", nt, 3, 1, 129),
    MM("1x3x1 nt", nt, 1, 3, 1),
    MM("1x257x300 nt", nt, 1, 257, 300),
    MM("1x257x300 nn", nn, 1, 257, 300),
    MM("17x1x5", nt, 17, 1, 5),
    MM("17x5x1", nt, 17, 5, 1),
    MM("15x16x17", nt, 15, 16, 17),
    MM("31x32x16", nt, 31, 32, 16),
    MM("63x65x64", nt, 63, 65, 64),
    MM("127x129x65 nn", nn, 127, 129, 65),
    MM("large nt", nt, 150, 200, 130),
    MM("large nn", nn, 130, 190, 257),
    MM("k of many loops", nt, 33, 33, 20500), /* one driver leaves loops that long: pitfalls.md */
    MM("long k", nt, 7, 9, 4099),
    MM("long k M 1", nt, 1, 9, 4099),
    MM("long k M 1 nn", nn, 1, 9, 4099),

    MM("batch nt", nt, 9, 17, 33, 3),
    MM("batch nn", nn, 9, 17, 33, 3, 2),
    MM("batch tn", tn, 9, 17, 33, 2, 3, 2),
    MM("batch M 1", nt, 1, 17, 33, 3, 2),
    MM("batch M 1 nn", nn, 1, 17, 33, 3, 2),
    MM("linear", linear, 5, 33, 17, 3),
    MM("linear of rank 5", linear, 5, 7, 9, 2, 3, 2),
    MM("linear M 1", linear, 1, 65, 33, 2, 3),
    MM("one a", one_a, 9, 17, 5, 3),
    MM("crossed", crossed, 9, 17, 33, 3, 2),
    MM("crossed M 1", crossed, 1, 17, 33, 3, 2),
    MM("heads", heads, 9, 17, 16, 2, 3),
    MM("heads M 1", heads, 1, 33, 64, 2, 3),
    MM("sliced", sliced, 17, 33, 40),
    MM("sliced M 1", sliced, 1, 33, 40),
    MM("scattered", scattered, 17, 33, 40),
    MM("scattered M 1", scattered, 1, 33, 40),
    MM("strided result", strided_result, 9, 17, 33, 2, 3),
    MM("strided result M 1", strided_result, 1, 17, 33, 2, 3),

    ACT("no act", NONE, 9),
    ACT("relu", RELU, 9),
    ACT("gelu", GELU, 9),
    ACT("gelu_tanh", GELU_TANH, 9),
    ACT("silu", SILU, 9),
    ACT("tanh", TANH, 9),
    ACT("sigmoid", SIGMOID, 9),
    ACT("quick_gelu", QUICK_GELU, 9),
    ACT("no act", NONE, 1),
    ACT("relu", RELU, 1),
    ACT("gelu", GELU, 1),
    ACT("gelu_tanh", GELU_TANH, 1),
    ACT("silu", SILU, 1),
    ACT("tanh", TANH, 1),
    ACT("sigmoid", SIGMOID, 1),
    ACT("quick_gelu", QUICK_GELU, 1),
    MM("residual for all rows", both_row, 9, 33, 17, 2),
    MM("residual for all batches", both_matrix, 9, 33, 17, 3),
    MM("residual permuted", both_heads, 9, 33, 17, 2, 3),
    MM("residual permuted M 1", both_heads, 1, 33, 17, 2, 3),
    MM("residual alone", residual_only, 9, 33, 17, 2),
    MM("residual alone M 2", residual_only, 2, 33, 17),
    MM("residual in place", residual_in_place, 33, 65, 17),
    MM("residual in place M 1", residual_in_place, 1, 65, 17),
    SCALED("scale", nt, 0.125f, NONE, 9, 17, 33),
    SCALED("scale nn", nn, -3.0f, NONE, 9, 17, 33),
    SCALED("scale M 1", nt, 0.125f, NONE, 1, 17, 33),
    SCALED("scale M 1 nn", nn, -3.0f, NONE, 1, 17, 33),
    SCALED("scale, bias, gelu, residual", both, 0.3f, GELU, 17, 33, 65),
    SCALED("scale, bias, silu, residual M 3", both, 0.3f, SILU, 3, 33, 65),
    {.name = "matmul fused", .build = primitives, .size = {9, 33, 40, 2}, .fuse = true},
    {.name = "matmul fused M 1", .build = primitives, .size = {1, 33, 40, 2}, .fuse = true},
    FILLED("wide", nt, 17, 33, 65, WIDE, 1e-6, 1e6),
    FILLED("wide M 1", nt, 1, 33, 65, WIDE, 1e-6, 1e6),
    FILLED("large numbers", nt, 17, 33, 65, UNIFORM, 1e15, 2e15),
    FILLED("small numbers", nn, 17, 33, 65, UNIFORM, 1e-15, 2e-15),
    FILLED("whole numbers", nt, 17, 33, 65, WHOLE, -8, 8),
    FILLED("equal products", nt, 33, 33, 4096, UNIFORM, 0.3, 0.3),
    FILLED("equal products, few columns", nt, 5, 3, 16384, UNIFORM, 0.3, 0.3),
    FILLED("equal products M 1", nt, 1, 5, 16384, UNIFORM, 0.3, 0.3),
    FILLED("equal products M 1 nn", nn, 1, 5, 16384, UNIFORM, 0.3, 0.3),
    FILLED("tiny numbers", nt, 17, 33, 65, WIDE, 1e-21, 1e-18),
    FILLED("tiny times huge", nt, 9, 17, 33, WIDE, 1e-41, 1e10),
    FILLED("zeros", nt, 17, 33, 65, UNIFORM, 0, 0),
};

const test_op_table test_matmul_cases = {cases, PM_COUNT(cases)};
