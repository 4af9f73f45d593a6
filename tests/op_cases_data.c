/* Cases of the kernels gather, cache_write, advance, rotary and rel_shift, and of concat, which runs as copies. */
#include "tests/op_cases_masks.h"

#include <math.h>

#include "shaders/common.params.h"

/* ---- gather: V, C, then the ids' dims ---- */

static int ids_rank(const test_op_case *c) {
    int rank = 0;
    while (rank < 4 && c->size[2 + rank] > 0) rank++;
    return rank;
}

static pm_tensor *gather(pm_graph *g, const test_op_case *c) {
    return pm_gather(g, pm_weight(g, "table", PM_F32, 2, c->size),
                     pm_input(g, "ids", PM_I32, ids_rank(c), c->size + 2));
}

static pm_tensor *gather_i32(pm_graph *g, const test_op_case *c) {
    return pm_gather(g, pm_weight(g, "table", PM_I32, 2, c->size),
                     pm_input(g, "ids", PM_I32, ids_rank(c), c->size + 2));
}

/* the table transposed and cut; every second id */
static pm_tensor *gather_strided(pm_graph *g, const test_op_case *c) {
    pm_tensor *table = pm_input(g, "table", PM_F32, 2, (int64_t[]){c->size[1] + 2, c->size[0] + 3});
    pm_tensor *ids = pm_input(g, "ids", PM_I32, 2, (int64_t[]){c->size[2], 2});
    table = pm_slice(g, pm_slice(g, table, 0, 2, c->size[1]), 1, 3, c->size[0]);
    return pm_gather(g, pm_transpose(g, table, 0, 1),
                     pm_reshape(g, pm_slice(g, ids, 1, 1, 1), 1, c->size + 2));
}

/* one id for all: a stride of 0 */
static pm_tensor *gather_expanded(pm_graph *g, const test_op_case *c) {
    pm_tensor *ids = pm_expand(g, pm_input(g, "ids", PM_I32, 1, (int64_t[]){1}), 1, c->size + 2);
    return pm_gather(g, pm_weight(g, "table", PM_F32, 2, c->size), ids);
}

/* columns first, as a table by distance wants them */
static pm_tensor *gather_turned(pm_graph *g, const test_op_case *c) {
    pm_tensor *y =
        pm_gather(g, pm_weight(g, "table", PM_F32, 2, c->size), pm_input(g, "ids", PM_I32, 1, c->size + 2));
    if (y && pm_tensor_set_strides(y, (int64_t[]){1, c->size[2]}) != PM_OK) return NULL;
    return y;
}

/* rows of learned positions: iota + position */
static pm_tensor *gather_positions(pm_graph *g, const test_op_case *c) {
    pm_tensor *ids = pm_add(g, pm_iota(g, c->size[2]), pm_param(g, "position"));
    return pm_gather(g, pm_weight(g, "table", PM_F32, 2, c->size), ids);
}

/* ---- concat: dims of one part in size[0..3], attrs.axis, the number of parts in size[5]; part i is i longer ---- */

static pm_tensor *concat(pm_graph *g, const test_op_case *c) {
    pm_tensor *parts[PM_MAX_IN];
    char name[] = "x0";
    int n = (int)c->size[5], rank = 0;
    while (rank < 4 && c->size[rank] > 0) rank++;
    for (int i = 0; i < n; i++) {
        int64_t dims[4];
        memcpy(dims, c->size, sizeof dims);
        dims[c->attrs.axis] += i;
        name[1] = (char)('0' + i);
        parts[i] = pm_input(g, name, PM_F32, rank, dims);
    }
    return pm_concat(g, n, parts, c->attrs.axis);
}

/* parts of an odd number of words that are made where they belong: norms, a product, a sum */
static pm_tensor *concat_made(pm_graph *g, const test_op_case *c) {
    int64_t rows = c->size[0], n = c->size[1];
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, c->size);
    pm_tensor *w = pm_weight(g, "w", PM_F32, 2, (int64_t[]){n, n});
    pm_tensor *parts[] = {pm_slice(g, pm_tanh(g, x), 0, 0, rows), pm_matmul(g, x, w), pm_softmax(g, x),
                          pm_reshape(g, pm_sum(g, pm_mul(g, x, x), 0), 2, (int64_t[]){1, n})};
    return pm_concat(g, 4, parts, 0);
}

/* the two halves change places, as a rotation's do */
static pm_tensor *concat_swapped(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, c->size);
    int64_t half = c->size[2] / 2;
    return pm_concat(
        g, 2, (pm_tensor *[]){pm_neg(g, pm_slice(g, x, 2, half, half)), pm_slice(g, x, 2, 0, half)}, 2);
}

/* x, x transposed, x's first column expanded */
static pm_tensor *concat_views(pm_graph *g, const test_op_case *c) {
    const int64_t n = c->size[0];
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){n, n});
    pm_tensor *column = pm_expand(g, pm_slice(g, x, 1, 0, 1), 2, (int64_t[]){n, 3});
    return pm_concat(g, 3, (pm_tensor *[]){x, pm_transpose(g, x, 0, 1), column}, 1);
}

/* ---- cache_write: B G T S D; position from its hint ---- */

static pm_tensor *cache_write_of(pm_graph *g, const test_op_case *c, pm_tensor *x) {
    const int64_t *s = c->size;
    pm_tensor *state = pm_state(g, "state", PM_F32, 4, (int64_t[]){s[0], s[1], s[3], s[4]});
    return pm_cache_write(g, state, x, pm_param(g, "position"));
}

static pm_tensor *cache_write(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    return cache_write_of(g, c, pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[1], s[2], s[4]}));
}

/* x is [B,T,G,D], as a projection leaves it */
static pm_tensor *cache_write_heads(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[2], s[1], s[4]});
    return cache_write_of(g, c, pm_transpose(g, x, 1, 2));
}

/* each batch at its own */
static pm_tensor *cache_write_each(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[2], s[1], s[4]});
    pm_tensor *state = pm_state(g, "state", PM_F32, 4, (int64_t[]){s[0], s[1], s[3], s[4]});
    return pm_cache_write(g, state, pm_transpose(g, x, 1, 2), test_position(g, true, s[0]));
}

/* twice: the second write stands after the first */
static pm_tensor *cache_write_twice(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[1], s[2], s[4]});
    pm_tensor *after = cache_write_of(g, c, x);
    return pm_neg(g, pm_cache_write(g, after, pm_abs(g, x), pm_param(g, "later")));
}

/* with tables, of which the first size[5] dims of a head are turned, from a tensor with others beside it, [B,T,3G,D] */
static pm_tensor *cache_write_turned(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size, table[2] = {s[2], s[5]};
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[2], 3 * s[1], s[4]});
    pm_tensor *state = pm_state(g, "state", PM_F32, 4, (int64_t[]){s[0], s[1], s[3], s[4]});
    pm_tensor *in[] = {state, pm_transpose(g, pm_slice(g, x, 2, s[1], s[1]), 1, 2), pm_param(g, "position"),
                       pm_weight(g, "cos", PM_F32, 2, table), pm_weight(g, "sin", PM_F32, 2, table)};
    return pm_add_op(g, PM_OP_CACHE_WRITE, 5, in, NULL);
}

/* each batch at its own position and with its own rows of the tables */
static pm_tensor *cache_write_turned_each(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size, table[4] = {s[0], 1, s[2], s[5]};
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[1], s[2], s[4]});
    pm_tensor *state = pm_state(g, "state", PM_F32, 4, (int64_t[]){s[0], s[1], s[3], s[4]});
    pm_tensor *in[] = {state, x, test_position(g, true, s[0]), pm_input(g, "cos", PM_F32, 4, table),
                       pm_input(g, "sin", PM_F32, 4, table)};
    return pm_add_op(g, PM_OP_CACHE_WRITE, 5, in, NULL);
}

/* ---- advance: size[0] says which logit, 4: none, size[1] where in their rows id and logit stand ---- */

static pm_tensor *advance(pm_graph *g, const test_op_case *c) {
    static const float logits[] = {0, INFINITY, -INFINITY, NAN};
    const int64_t n = 5, words = PM_LOOP_WORDS;
    pm_tensor *next = pm_slice(g, pm_input(g, "next", PM_I32, 1, &n), 0, c->size[1], 1);
    if (c->size[0] == 4) return pm_advance(g, pm_state(g, "loop", PM_I32, 1, &words), next, NULL);
    pm_tensor *logit = c->size[0] ? pm_const_f32(g, logits[c->size[0]])
                                  : pm_slice(g, pm_input(g, "logit", PM_F32, 1, &n), 0, c->size[1], 1);
    return pm_advance(g, pm_state(g, "loop", PM_I32, 1, &words), next, logit);
}

/* Sequences whose words begin at their number: a halted one, and such with other counts and ends. id and logit are columns
 * of their rows; one logit of three is no number when size[1]. */
static pm_tensor *advance_each(pm_graph *g, const test_op_case *c) {
    const int64_t b = c->size[0], row[2] = {b, 5}, words[2] = {PM_LOOP_WORDS, b};
    pm_tensor *next = pm_slice(g, pm_input(g, "next", PM_I32, 2, row), 1, 3, 1);
    pm_tensor *logit = pm_slice(g, pm_input(g, c->size[1] ? "hard logit" : "logit", PM_F32, 2, row), 1, 2, 1);
    return pm_advance(g, pm_state(g, "loop", PM_I32, 2, words), next, logit);
}

/* ---- rotary: B H T D; size[4]: rank of the tables; size[5]: dims that are turned, 0: all ---- */

static pm_tensor *table_of(pm_graph *g, const test_op_case *c, const char *name) {
    const int64_t *s = c->size;
    int64_t turned = s[5] ? s[5] : s[3];
    if (s[4] == 4) return pm_input(g, name, PM_F32, 4, (int64_t[]){s[0], 1, s[2], turned});
    return pm_weight(g, name, PM_F32, 2, (int64_t[]){s[2], turned});
}

static pm_tensor *rotary_of(pm_graph *g, const test_op_case *c, pm_tensor *x) {
    pm_tensor *in[] = {x, table_of(g, c, "cos"), table_of(g, c, "sin")};
    return pm_add_op(g, PM_OP_ROTARY, 3, in, NULL);
}

static pm_tensor *rotary(pm_graph *g, const test_op_case *c) {
    return rotary_of(g, c, pm_input(g, "x", PM_F32, 4, c->size));
}

/* x is [B,T,H,D], with another tensor of the same rows beside it */
static pm_tensor *rotary_heads(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[0], s[2], s[1] + 2, s[3]});
    return rotary_of(g, c, pm_transpose(g, pm_slice(g, x, 2, 1, s[1]), 1, 2));
}

/* rows T at position .. of longer tables, as decoding reads them; the result goes on as [B,T,H,D] */
static pm_tensor *rotary_strided_result(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *y = rotary(g, c);
    if (y && pm_tensor_set_strides(y, (int64_t[]){s[1] * s[2] * s[3], s[3], s[1] * s[3], 1}) != PM_OK)
        return NULL;
    return y;
}

/* ---- rel_shift: leading dims 2, heads, T, N distances, S keys ---- */

static pm_tensor *rel_shift(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){2, s[0], s[1], s[2]});
    return pm_rel_shift(g, x, s[4] ? pm_param(g, "position") : NULL, s[3]);
}

/* [T,B,N,H], seen as [B,H,T,N] */
static pm_tensor *rel_shift_strided(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){s[1], 2, s[2], s[0]});
    return pm_rel_shift(g, pm_permute(g, x, (int[]){1, 3, 0, 2}), s[4] ? pm_param(g, "position") : NULL,
                        s[3]);
}

/* heads, T, N, S; the batch is 4 */
static pm_tensor *rel_shift_each(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 4, (int64_t[]){4, s[0], s[1], s[2]});
    return pm_rel_shift(g, x, test_position(g, true, 4), s[3]);
}

static pm_tensor *rel_shift_each_of_groups(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size;
    pm_tensor *x = pm_input(g, "x", PM_F32, 5, (int64_t[]){3, 2, s[0], s[1], s[2]});
    return pm_rel_shift(g, x, test_position(g, true, 3), s[3]);
}

static pm_tensor *rel_shift_rank2(pm_graph *g, const test_op_case *c) {
    return pm_rel_shift(g, pm_input(g, "x", PM_F32, 2, c->size + 1), NULL, c->size[3]);
}

/* ---- the table ---- */

#define GATHER(text, how, low, high, ...)                                                                    \
    {                                                                                                        \
        .name = "gather " text, .build = gather##how, .size = {__VA_ARGS__}, .hints = {                      \
            {"ids", TEST_UNIFORM, low, high}                                                                 \
        }                                                                                                    \
    }
#define CONCAT(text, how, ax, ...)                                                                           \
    {                                                                                                        \
        .name = "concat " text, .build = concat##how, .attrs = {.axis = ax}, .size = { __VA_ARGS__ }         \
    }
#define CACHE(text, how, at, ...)                                                                            \
    {                                                                                                        \
        .name = "cache_write " text, .build = cache_write##how, .size = {__VA_ARGS__}, .hints = {            \
            {"position", TEST_UNIFORM, at, at},                                                              \
            {"later", TEST_UNIFORM, 2, 2},                                                                   \
            {"cos", TEST_UNIFORM, -1, 1},                                                                    \
            {"sin", TEST_UNIFORM, -1, 1},                                                                    \
        }                                                                                                    \
    }
/* Each batch at its own position, the first one at low + 3. */
#define CACHE_EACH(text, how, low, ...)                                                                      \
    {                                                                                                        \
        .name = "cache_write, a position each" text, .build = cache_write##how##_each,                       \
        .size = {__VA_ARGS__}, .hints = {                                                                    \
            AT_EACH(low),                                                                                    \
            {"cos", TEST_UNIFORM, -1, 1},                                                                    \
            {"sin", TEST_UNIFORM, -1, 1},                                                                    \
        }                                                                                                    \
    }
/* Words of the loop from `low` on, by one: position, id, halt, count, number of ends, ends. */
#define ADVANCE(text, low, id, ...)                                                                          \
    {                                                                                                        \
        .name = "advance " text, .build = advance, .size = {__VA_ARGS__}, .hints = {                         \
            {"loop", TEST_RAMP, low, 200},                                                                   \
            {"next", TEST_UNIFORM, id, id}                                                                   \
        }                                                                                                    \
    }
#define ROTARY(text, how, ...)                                                                               \
    {                                                                                                        \
        .name = "rotary " text, .build = rotary##how, .size = {__VA_ARGS__}, .hints = {                      \
            {"cos", TEST_UNIFORM, -1, 1},                                                                    \
            {"sin", TEST_UNIFORM, -1, 1}                                                                     \
        }                                                                                                    \
    }

/* size[4]: whether there is a position, which is `at` */
#define REL_SHIFT(text, how, at, ...)                                                                        \
    {                                                                                                        \
        .name = "rel_shift " text, .build = rel_shift##how, .size = {__VA_ARGS__}, .hints = {                \
            {"position", TEST_UNIFORM, at, at}                                                               \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    GATHER("one", , 0, 0, 1, 1, 1),
    GATHER("rank 1", , 0, 12, 13, 33, 65),
    GATHER("rank 0 ids", , 5, 5, 13, 33),
    GATHER("rank 2 ids", , 0, 12, 13, 17, 3, 5),
    GATHER("rank 4 ids", , 0, 12, 13, 3, 2, 3, 4, 5),
    GATHER("out of range", , -5, 20, 13, 33, 65),
    GATHER("extreme ids", , -2147483648.0, 2147483647.0, 13, 33, 9),
    GATHER("large", , 0, 999, 1000, 129, 1601),
    GATHER("strided", _strided, -1, 13, 13, 7, 17),
    GATHER("expanded", _expanded, 3, 3, 13, 7, 17),
    GATHER("turned", _turned, -1, 13, 13, 7, 17),
    GATHER("turned, large", _turned, 0, 99, 100, 33, 1601),
    GATHER("one column", , 0, 12, 13, 1, 65),
    {.name = "gather i32",
     .build = gather_i32,
     .size = {13, 5, 9},
     .hints = {{"ids", TEST_UNIFORM, 0, 13}, {"table", TEST_RAMP, -40, 40}}},
    {.name = "gather positions",
     .build = gather_positions,
     .size = {13, 5, 7},
     .hints = {{"position", TEST_UNIFORM, 9, 9}}},

    {.name = "concat of results", .build = concat_made, .size = {3, 7}},
    {.name = "concat of results, larger", .build = concat_made, .size = {65, 33}},
    CONCAT("axis 0", , 0, 3, 5, 0, 0, 0, 3),
    CONCAT("axis 1", , 1, 3, 5, 0, 0, 0, 3),
    CONCAT("rank 1", , 0, 7, 0, 0, 0, 0, 2),
    CONCAT("axis 1 of 3", , 1, 3, 5, 7, 0, 0, 2),
    CONCAT("axis 0 of 4", , 0, 2, 3, 4, 5, 0, 2),
    CONCAT("axis 2 of 4", , 2, 2, 3, 4, 5, 0, 3),
    CONCAT("axis 3 of 4", , 3, 2, 3, 4, 16, 0, 4),
    CONCAT("eight", , 1, 3, 1, 0, 0, 0, 8),
    CONCAT("one part", , 0, 3, 5, 0, 0, 0, 1),
    CONCAT("swapped", _swapped, 2, 3, 5, 34),
    CONCAT("views", _views, 1, 17),

    CACHE("at 0", , 0, 1, 2, 3, 9, 16),
    CACHE("in the middle", , 4, 2, 3, 3, 9, 5),
    CACHE("at the end", , 6, 1, 2, 3, 9, 16),
    CACHE("partly past the end", , 7, 2, 2, 3, 9, 16),
    CACHE("past the end", , 9, 1, 2, 3, 9, 16),
    CACHE("far past the end", , 2147483647, 1, 2, 3, 9, 16),
    CACHE("partly before 0", , -1, 1, 2, 3, 9, 16),
    CACHE("far before 0", , -2147483648.0, 1, 2, 3, 9, 16),
    {.name = "advance from zeros",
     .build = advance,
     .hints = {{"loop", TEST_UNIFORM, 0, 0}, {"next", TEST_UNIFORM, 9, 9}}},
    {.name = "advance, wild words", /* halted, or with a count and a number of ends that are none */
     .build = advance,
     .hints = {{"loop", TEST_RARE, 0, -2147483648.0}, {"next", TEST_UNIFORM, 9, 9}}},
    ADVANCE("goes on", -2, 5, 0, 0), /* 2 ends: 3, 4 */
    ADVANCE("to the first end", -2, 3, 0, 4),
    ADVANCE("to the last end", -2, 4, 0, 2),
    ADVANCE("when halted", 0, 5, 0, 0),
    ADVANCE("when halted, to an end", -1, 4, 0, 0),
    {.name = "advance each",
     .build = advance_each,
     .size = {5},
     .hints = {{"loop", TEST_RAMP, -12, 0}, {"next", TEST_UNIFORM, -5, 5}}},
    {.name = "advance each, one",
     .build = advance_each,
     .size = {1},
     .hints = {{"loop", TEST_RAMP, -2, 200}, {"next", TEST_UNIFORM, 4, 4}}},
    {.name = "advance each, from zeros",
     .build = advance_each,
     .size = {130},
     .hints = {{"loop", TEST_UNIFORM, 0, 0}, {"next", TEST_UNIFORM, 0, 900}}},
    {.name = "advance each, some halted, wild words",
     .build = advance_each,
     .size = {67, 1},
     .hints = {{"loop", TEST_RARE, 0, -2147483648.0},
               {"next", TEST_UNIFORM, 0, 900},
               {"hard logit", TEST_NONFINITE, -4, 4}}},
    ADVANCE("by no number: infinity", -2, 5, 1, 1),
    ADVANCE("by no number: -infinity", -2, 5, 2, 1),
    ADVANCE("by no number: NaN", -2, 3, 3, 1),
    ADVANCE("by no id", -2, -1, 0, 1),
    ADVANCE("by an id alone", -2, 5, 4, 1),
    ADVANCE("by an id alone, to an end", -2, 3, 4, 2),
    ADVANCE("by no id alone", -2, -1, 4, 1),

    CACHE_EACH("", , -9, 4, 3, 3, 17, 5), /* the first ones begin before 0, the last one ends past the end */
    CACHE_EACH(", T 1", , 0, 5, 2, 1, 40, 16),
    CACHE_EACH(", one", , 2, 1, 2, 3, 9, 4),
    CACHE_EACH(", turned", _turned, -4, 3, 2, 3, 17, 8, 8),
    CACHE_EACH(", turned, T 1, 4 of 7", _turned, 0, 5, 3, 1, 33, 7, 4),
    CACHE_EACH(", large", , 10, 9, 8, 33, 100, 64),
    CACHE("one", , 5, 1, 1, 1, 9, 1),
    CACHE("more rows than slots", , 0, 1, 2, 11, 9, 3),
    CACHE("heads", _heads, 3, 2, 3, 5, 17, 8),
    CACHE("twice", _twice, 1, 1, 2, 3, 9, 5),
    CACHE("large", , 100, 2, 8, 33, 200, 64),
    CACHE("turned, D 2", _turned, 0, 1, 1, 1, 5, 2, 2),
    CACHE("turned", _turned, 4, 2, 3, 3, 9, 6, 6),
    CACHE("turned, 4 of 7", _turned, 4, 2, 3, 3, 9, 7, 4),
    CACHE("turned, past the end", _turned, 7, 2, 2, 3, 9, 16, 16),
    CACHE("turned, before 0", _turned, -2, 2, 2, 3, 9, 16, 8),
    CACHE("turned, large", _turned, 100, 2, 8, 33, 200, 64, 64),

    ROTARY("D 2", , 1, 1, 1, 2),
    ROTARY("D 64", , 1, 3, 5, 64),
    ROTARY("D 6", , 2, 3, 5, 6),
    ROTARY("T 1", , 2, 3, 1, 32),
    ROTARY("table a batch", , 2, 3, 5, 8, 4),
    ROTARY("heads", _heads, 2, 3, 5, 16),
    ROTARY("heads, table a batch", _heads, 2, 3, 5, 16, 4),
    ROTARY("strided result", _strided_result, 2, 3, 5, 16),
    ROTARY("2 of 3", , 2, 3, 5, 3, 2, 2),
    ROTARY("8 of 32", , 2, 3, 5, 32, 2, 8),
    ROTARY("6 of 17, table a batch", , 2, 3, 5, 17, 4, 6),
    ROTARY("12 of 16, heads", _heads, 2, 3, 5, 16, 2, 12),
    ROTARY("4 of 16, strided result", _strided_result, 2, 3, 5, 16, 2, 4),
    ROTARY("large", , 2, 8, 201, 64),

    REL_SHIFT("one", , 0, 1, 1, 1, 1, 0),
    REL_SHIFT("no memory", , 0, 3, 7, 7, 7, 0),
    REL_SHIFT("memory", , 5, 3, 7, 12, 12, 1),
    REL_SHIFT("few distances", , 5, 3, 7, 4, 12, 1),
    REL_SHIFT("many distances", , 5, 3, 7, 40, 12, 1),
    REL_SHIFT("behind 0", , -9, 2, 5, 6, 17, 1),
    REL_SHIFT("far ahead", , 2147483647, 2, 5, 6, 17, 1),
    REL_SHIFT("far behind", , -2147483648.0, 2, 5, 6, 17, 1),
    REL_SHIFT("a step", , 64, 4, 1, 65, 70, 1),
    REL_SHIFT("strided", _strided, 3, 3, 5, 8, 9, 1),
    {.name = "rel_shift, a position each",
     .build = rel_shift_each,
     .size = {3, 5, 17, 12},
     .hints = {AT_EACH(-6)}},
    {.name = "rel_shift, a position each, rank 5",
     .build = rel_shift_each_of_groups,
     .size = {2, 4, 9, 21},
     .hints = {AT_EACH(1)}},
    REL_SHIFT("rank 2", _rank2, 0, 1, 9, 5, 33, 0),
    REL_SHIFT("large", , 100, 8, 65, 165, 165, 1),
};

const test_op_table test_data_cases = {cases, PM_COUNT(cases)};
