/* Cases of the kernel softmax. size[0 .. rank-1] are the dims of the scores; size[5] holds the bits below. */
#include "tests/op_cases_masks.h"

enum { LENGTH_A_BATCH = 1, KEYS_BOOL = 2, BIAS_ROWS = 4, BIAS_KEYS = 8, BIAS_HEADS = 16, AT_A_BATCH = 32 };

static int64_t batch_of(const test_op_case *c) {
    return test_rank_of(c) > 2 ? c->size[0] : 1;
}

/* A table by distance; the full shape of the scores, without one part of it, or the keys alone. */
static pm_tensor *bias_of(pm_graph *g, const test_op_case *c) {
    int rank = test_rank_of(c);
    int64_t dims[PM_MAX_DIMS], table[2] = {c->size[5] & BIAS_HEADS ? 1 : rank > 2 ? c->size[rank - 3] : 1};
    memcpy(dims, c->size, sizeof dims);
    table[1] = dims[rank - 1] + dims[rank - 2] - 3; /* the furthest are not in it */
    if (c->attrs.mask & PM_MASK_RELATIVE) return pm_input(g, "bias", PM_F32, 2, table);
    if (c->attrs.mask & PM_MASK_SINK) dims[rank - 1] = 1;
    if (c->size[5] & BIAS_KEYS) return pm_input(g, "bias", PM_F32, 1, dims + rank - 1);
    if (c->size[5] & BIAS_ROWS) dims[rank - 1] = 1;
    if (c->size[5] & BIAS_HEADS) dims[1] = 1;
    return pm_input(g, "bias", PM_F32, rank, dims);
}

/* x and the operands that attrs.mask names */
static pm_tensor *softmax_of(pm_graph *g, const test_op_case *c, pm_tensor *x) {
    uint32_t mask = c->attrs.mask;
    int rank = test_rank_of(c);
    const int64_t bts[3] = {batch_of(c), rank > 1 ? c->size[rank - 2] : 1, c->size[rank - 1]};
    pm_tensor *in[5] = {x};
    if (mask & PM_MASK_POSITION) in[1] = test_position(g, c->size[5] & AT_A_BATCH, bts[0]);
    if (mask & PM_MASK_LENGTH) in[2] = test_length(g, mask, c->size[5] & LENGTH_A_BATCH, bts);
    if (mask & PM_MASK_KEYS) in[3] = test_keys(g, mask, c->size[5] & KEYS_BOOL, bts);
    if (mask & (PM_MASK_BIAS | PM_MASK_SINK)) in[4] = bias_of(g, c);
    int n = 5;
    while (!in[n - 1]) n--;
    return pm_add_op(g, PM_OP_SOFTMAX, n, in, &c->attrs);
}

static pm_tensor *softmax(pm_graph *g, const test_op_case *c) {
    return softmax_of(g, c, pm_input(g, "x", PM_F32, test_rank_of(c), c->size));
}

/* x lies with its axes reversed */
static pm_tensor *softmax_reversed(pm_graph *g, const test_op_case *c) {
    int rank = test_rank_of(c), axes[PM_MAX_DIMS];
    int64_t dims[PM_MAX_DIMS];
    for (int i = 0; i < rank; i++) axes[i] = rank - 1 - i, dims[i] = c->size[rank - 1 - i];
    return softmax_of(g, c, pm_permute(g, pm_input(g, "x", PM_F32, rank, dims), axes));
}

/* x is a part of longer rows */
static pm_tensor *softmax_sliced(pm_graph *g, const test_op_case *c) {
    int rank = test_rank_of(c);
    int64_t dims[PM_MAX_DIMS];
    memcpy(dims, c->size, sizeof dims);
    dims[rank - 1] += 7;
    pm_tensor *x = pm_input(g, "x", PM_F32, rank, dims);
    return softmax_of(g, c, pm_slice(g, x, rank - 1, 3, c->size[rank - 1]));
}

/* in the middle of other work, so that it may run in place of its operand */
static pm_tensor *softmax_chain(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_neg(g, pm_input(g, "x", PM_F32, test_rank_of(c), c->size));
    return pm_neg(g, softmax_of(g, c, x));
}

/* One score is above all others, which are equal: a long sum of equal terms. */
static pm_tensor *softmax_peaked(pm_graph *g, const test_op_case *c) {
    pm_tensor *parts[] = {pm_input(g, "peak", PM_F32, 2, (int64_t[]){c->size[0], 1}),
                          pm_input(g, "x", PM_F32, 2, c->size)};
    return softmax_of(g, c, pm_concat(g, 2, parts, 1));
}

#define PLAIN(text, how, ...)                                                                                \
    {                                                                                                        \
        .name = "softmax " text, .build = softmax##how, .size = { __VA_ARGS__ }                              \
    }
#define X(kind, low, high)                                                                                   \
    { "x", TEST_##kind, low, high }
#define FILLED(text, hint, ...)                                                                              \
    {                                                                                                        \
        .name = "softmax " text, .build = softmax, .size = {__VA_ARGS__}, .hints = { hint }                  \
    }
#define MASKED(text, how, bits, dims, ...)                                                                   \
    {                                                                                                        \
        .name = "softmax " text, .build = softmax##how, .attrs = {.mask = bits}, .size = dims, .hints = {    \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }
#define WINDOW(text, bits, w, dims, ...)                                                                     \
    {                                                                                                        \
        .name = "softmax " text, .build = softmax, .attrs = {.mask = (bits) | PM_MASK_WINDOW, .window = w},  \
        .size = dims, .hints = {                                                                             \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

#define BY_DISTANCE(text, how, bits, zero, dims, ...)                                                        \
    {                                                                                                        \
        .name = "softmax, bias by distance" text, .build = softmax##how,                                     \
        .attrs = {.mask = (bits) | RELATIVE, .origin = zero}, .size = dims, .hints = {                       \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

/* Keys at most n away on either side. */
#define BAND(text, bits, n, dims, ...)                                                                       \
    {                                                                                                        \
        .name = "softmax " text, .build = softmax,                                                           \
        .attrs = {.mask = (bits) | CAUSAL | POSITION | PM_MASK_WINDOW, .window = 2 * (n) + 1}, .size = dims, \
        .hints = {                                                                                           \
            AT(n),                                                                                           \
            __VA_ARGS__                                                                                      \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    PLAIN("one", , 1),
    PLAIN("rank 1", , 65),
    PLAIN("rank 2", , 5, 33),
    PLAIN("63", , 3, 63),
    PLAIN("64", , 3, 64),
    PLAIN("65", , 3, 65),
    PLAIN("257", , 3, 257),
    PLAIN("one key", , 2, 3, 5, 1),
    PLAIN("one query", , 2, 3, 1, 17),
    PLAIN("large rows", , 41, 5003),
    PLAIN("rank 3", , 2, 5, 17),
    PLAIN("rank 5", , 2, 3, 2, 5, 17),
    PLAIN("reversed rank 2", _reversed, 17, 33),
    PLAIN("reversed rank 4", _reversed, 2, 3, 5, 17),
    PLAIN("reversed rank 5", _reversed, 2, 3, 2, 5, 9),
    PLAIN("sliced", _sliced, 2, 3, 5, 33),
    PLAIN("in place", _chain, 2, 3, 5, 33),
    FILLED("large values", X(HARD, -1000, 1000), 9, 77),
    FILLED("far from 0", X(UNIFORM, 5000, 5001), 9, 77),
    FILLED("very negative", X(UNIFORM, -9.9e29, -9e29), 9, 77),
    FILLED("equal", X(UNIFORM, 2, 2), 3, 100),
    FILLED("with NaN", X(NAN, -4, 4), 9, 77),
    {.name = "softmax of long rows of equal elements",
     .build = softmax_peaked,
     .size = {1, 150000},
     .hints = {{"peak", TEST_UNIFORM, 0, 0}, X(UNIFORM, -0.1, -0.1)}},
    FILLED("masked entries", X(SPECIAL, -4, 4), 9, 77),
    FILLED("masked rows", X(SPECIAL, -3e38, -1e30), 9, 77),
    {.name = "softmax scale",
     .build = softmax,
     .attrs = {.scale = 0.125f},
     .size = {5, 33},
     .hints = {X(HARD, -40, 40)}},
    {.name = "softmax softcap",
     .build = softmax,
     .attrs = {.softcap = 5},
     .size = {5, 33},
     .hints = {X(HARD, -40, 40)}},
    {.name = "softmax scale and softcap",
     .build = softmax,
     .attrs = {.scale = 0.3f, .softcap = 20},
     .size = {2, 3, 5, 33},
     .hints = {X(HARD, -90, 90)}},

    MASKED("causal", , CAUSAL, DIMS(2, 3, 17, 17)),
    MASKED("causal rank 2", , CAUSAL, DIMS(17, 33)),
    MASKED("causal, position", , CAUSAL | POSITION, DIMS(2, 3, 5, 33), AT(20)),
    MASKED("causal, position past the keys", , CAUSAL | POSITION, DIMS(1, 2, 5, 33), AT(40)),
    MASKED("causal, no key for the first rows", , CAUSAL | POSITION, DIMS(1, 2, 5, 33), AT(-3)),
    MASKED("causal reversed", _reversed, CAUSAL, DIMS(2, 3, 17, 17)),
    MASKED("causal, many queries", , CAUSAL, DIMS(1, 2, 67, 67)),
    WINDOW("window", CAUSAL, 4, DIMS(1, 2, 17, 17)),
    WINDOW("window of 1", CAUSAL, 1, DIMS(1, 2, 5, 9)),
    MASKED("causal, a position each", , CAUSAL | POSITION, DIMS(3, 2, 5, 33, 0, AT_A_BATCH), AT_EACH(4)),
    MASKED("causal, a position each, T 1", , CAUSAL | POSITION, DIMS(5, 1, 1, 77, 0, AT_A_BATCH),
           AT_EACH(-5)),
    MASKED("causal, a position each, rank 3", , CAUSAL | POSITION, DIMS(3, 5, 33, 0, 0, AT_A_BATCH),
           AT_EACH(4)),
    MASKED("causal, a position each, rank 5", , CAUSAL | POSITION, DIMS(3, 2, 2, 3, 33, AT_A_BATCH),
           AT_EACH(4)),
    MASKED("causal, a position each, sliced", _sliced, CAUSAL | POSITION, DIMS(3, 2, 5, 33, 0, AT_A_BATCH),
           AT_EACH(4)),
    WINDOW("window, a position each", CAUSAL | POSITION, 8, DIMS(3, 3, 5, 33, 0, AT_A_BATCH), AT_EACH(9)),
    WINDOW("window, position", CAUSAL | POSITION, 8, DIMS(2, 3, 5, 33), AT(25)),
    WINDOW("window past the keys", CAUSAL | POSITION, 3, DIMS(2, 3, 5, 33), AT(32)),
    WINDOW("window without causal", POSITION, 8, DIMS(1, 2, 5, 33), AT(12)),
    MASKED("length", , PM_MASK_LENGTH, DIMS(2, 3, 5, 33), LENGTH(20, 20)),
    MASKED("length 0", , PM_MASK_LENGTH, DIMS(2, 3, 5, 33), LENGTH(0, 0)),
    MASKED("negative length", , PM_MASK_LENGTH, DIMS(2, 3, 5, 33), LENGTH(-7, -7)),
    MASKED("length past the keys", , PM_MASK_LENGTH, DIMS(2, 3, 5, 33), LENGTH(99, 99)),
    MASKED("length a batch", , PM_MASK_LENGTH, DIMS(5, 2, 3, 3, 0, LENGTH_A_BATCH), LENGTH(0, 4)),
    MASKED("length a batch rank 3", , PM_MASK_LENGTH, DIMS(4, 3, 65, 0, 0, LENGTH_A_BATCH), LENGTH(62, 65)),
    MASKED("length rank 2", , PM_MASK_LENGTH, DIMS(3, 65), LENGTH(40, 40)),
    MASKED("keys", , PM_MASK_KEYS, DIMS(3, 2, 5, 33), KEYS),
    MASKED("keys bool", , PM_MASK_KEYS, DIMS(3, 2, 5, 33, 0, KEYS_BOOL), KEYS),
    MASKED("keys all absent", , PM_MASK_KEYS, DIMS(2, 2, 5, 33), {"keys", TEST_UNIFORM, 0, 0}),
    MASKED("keys of rows with few", , PM_MASK_KEYS, DIMS(9, 1, 2, 3), KEYS),
    MASKED("keys other than 1", , PM_MASK_KEYS, DIMS(3, 2, 5, 33), {"keys", TEST_UNIFORM, -2, 2}),
    MASKED("keys rank 5", , PM_MASK_KEYS, DIMS(2, 3, 2, 5, 17), KEYS),
    MASKED("rows", , ROWS, DIMS(2, 3, 9, 33), LENGTHS(40)),
    MASKED("rows rank 5", , ROWS | CAUSAL, DIMS(2, 3, 2, 9, 33), LENGTHS(33)),
    MASKED("rows rank 2", , ROWS, DIMS(9, 33), LENGTHS(33)),
    BAND("band", 0, 4, DIMS(1, 2, 33, 33)),
    BAND("band, global", GLOBAL, 4, DIMS(2, 3, 77, 77), WORDS),
    BAND("band, global and absent keys", GLOBAL, 4, DIMS(2, 3, 40, 129), {"keys", TEST_UNIFORM, 0, 2}),
    BAND("band, global rank 5", GLOBAL, 3, DIMS(2, 3, 2, 40, 40), WORDS),
    BAND("band, global, rows", GLOBAL | ROWS, 4, DIMS(2, 1, 50, 50), WORDS, LENGTHS(50)),
    BAND("band, global, length", GLOBAL | PM_MASK_LENGTH, 4, DIMS(2, 1, 50, 50), WORDS, LENGTH(20, 20)),
    MASKED("bias", , PM_MASK_BIAS, DIMS(2, 3, 5, 33)),
    MASKED("bias rank 2", , PM_MASK_BIAS, DIMS(5, 33)),
    MASKED("bias of keys", , PM_MASK_BIAS, DIMS(2, 3, 5, 33, 0, BIAS_KEYS)),
    MASKED("bias of rows", , PM_MASK_BIAS, DIMS(2, 3, 5, 33, 0, BIAS_ROWS)),
    MASKED("bias of all heads", , PM_MASK_BIAS, DIMS(2, 3, 5, 33, 0, BIAS_HEADS)),
    MASKED("bias rank 5", , PM_MASK_BIAS, DIMS(2, 3, 2, 5, 17)),
    MASKED("bias masks", , PM_MASK_BIAS, DIMS(2, 3, 5, 33), {"bias", TEST_SPECIAL, -4, 4}),
    MASKED("bias is NaN", , PM_MASK_BIAS, DIMS(2, 3, 5, 33), {"bias", TEST_NAN, -4, 4}),
    MASKED("bias masks rows", , PM_MASK_BIAS, DIMS(2, 3, 5, 33), {"bias", TEST_UNIFORM, -3e38, -2e30}),
    BY_DISTANCE("", , 0, 3, DIMS(2, 3, 5, 33)),
    BY_DISTANCE(" rank 2", , 0, 3, DIMS(5, 33)),
    BY_DISTANCE(" rank 3", , 0, 16, DIMS(3, 17, 17)),
    BY_DISTANCE(" rank 5", , 0, 16, DIMS(2, 3, 2, 5, 17)),
    BY_DISTANCE(", one for all heads", , 0, 6, DIMS(2, 3, 5, 70, 0, BIAS_HEADS)),
    BY_DISTANCE(" reversed", _reversed, 0, 15, DIMS(2, 3, 17, 17)),
    BY_DISTANCE(", causal, position", , CAUSAL | POSITION, 30, DIMS(2, 3, 5, 33), AT(26)),
    BY_DISTANCE(", a position each", , CAUSAL | POSITION, 30, DIMS(3, 3, 5, 33, 0, AT_A_BATCH), AT_EACH(2)),
    BY_DISTANCE(", negative position", , POSITION, 2, DIMS(2, 3, 5, 33), AT(-20)),
    BY_DISTANCE(", far origin, far position", , POSITION, 1 << 30, DIMS(2, 3, 5, 33), AT(2147483647)),
    BY_DISTANCE(", origin far behind, far position", , POSITION, -(1 << 30), DIMS(2, 3, 5, 33),
                AT(2147483647)),
    BY_DISTANCE(", far origin, position there", , POSITION, 1 << 30, DIMS(2, 3, 5, 33), AT((1 << 30) - 20)),
    BY_DISTANCE(" masks", , 0, 4, DIMS(2, 3, 5, 33), {"bias", TEST_SPECIAL, -4, 4}),
    MASKED("sink", , SINK, DIMS(2, 3, 5, 33)),
    MASKED("sink rank 2", , SINK, DIMS(5, 33)),
    MASKED("sink rank 5", , SINK, DIMS(2, 3, 2, 5, 17)),
    MASKED("sink of all heads", , SINK, DIMS(2, 3, 5, 70, 0, BIAS_HEADS)),
    MASKED("sink reversed", _reversed, SINK, DIMS(2, 3, 5, 17)),
    MASKED("sink, causal, no key for the first rows", , SINK | CAUSAL | POSITION, DIMS(1, 2, 5, 33), AT(-3)),
    MASKED("sink above all", , SINK, DIMS(2, 3, 5, 33), {"bias", TEST_UNIFORM, 80, 90}),
    MASKED("sink absent", , SINK, DIMS(2, 3, 5, 33), {"bias", TEST_SPECIAL, -4, 4}),
    MASKED("sink is NaN", , SINK, DIMS(2, 3, 5, 33), {"bias", TEST_NAN, -4, 4}),
    {.name = "softmax all masks",
     .build = softmax,
     .size = {3, 2, 9, 33, 0, LENGTH_A_BATCH},
     .attrs = {.mask = 63, .window = 20, .scale = 0.25f, .softcap = 3},
     .hints = {AT(17), LENGTH(24, 33), KEYS, {"bias", TEST_SPECIAL, -2, 2}}},
    {.name = "softmax all masks rank 5",
     .build = softmax,
     .size = {2, 3, 2, 5, 17, BIAS_HEADS},
     .attrs = {.mask = 63, .window = 9, .scale = 0.25f},
     .hints = {AT(9), LENGTH(14, 14), KEYS}},
};

const test_op_table test_softmax_cases = {cases, PM_COUNT(cases)};
