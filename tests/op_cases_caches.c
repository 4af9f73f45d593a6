/* Cases of products whose kernel writes columns to caches. size: B, T, G, D, S, K. */
#include "tests/support_ops.h"

#include "shaders/matmul.params.h"

enum { QUERIES = 3 }; /* columns before those of the caches that stay in the product's result */

static pm_tensor *a_of(pm_graph *g, const test_op_case *c) {
    return pm_input(g, "a", PM_F32, 3, (int64_t[]){c->size[0], c->size[1], c->size[5]});
}
static pm_tensor *b_of(pm_graph *g, const test_op_case *c, int64_t n) {
    return pm_weight(g, "b", PM_F32, 2, (int64_t[]){n, c->size[5]});
}
/* as [K,N], transposed */
static pm_tensor *b_turned(pm_graph *g, const test_op_case *c, int64_t n) {
    return pm_transpose(g, pm_weight(g, "b", PM_F32, 2, (int64_t[]){c->size[5], n}), 0, 1);
}

/* Columns first .. of the product, [B,G,T,D]. */
static pm_tensor *heads_of(pm_graph *g, const test_op_case *c, pm_tensor *product, int64_t first) {
    const int64_t *s = c->size, dims[] = {s[0], s[1], s[2], s[3]};
    return pm_transpose(g, pm_reshape(g, pm_slice(g, product, 2, first, s[2] * s[3]), 4, dims), 1, 2);
}

/* Each sequence of the batch stands at a position of its own where there are hints for "positions". */
static pm_tensor *position_of(pm_graph *g, const test_op_case *c) {
    bool apart = c->hints[0].leaf && !strcmp(c->hints[0].leaf, "positions");
    return apart ? pm_input(g, "positions", PM_I32, 1, c->size) : pm_param(g, "position");
}

static pm_tensor *written(pm_graph *g, const test_op_case *c, const char *name, pm_tensor *x) {
    const int64_t *s = c->size;
    pm_tensor *state = pm_state(g, name, PM_F32, 4, (int64_t[]){s[0], s[2], s[4], s[3]});
    return pm_cache_write(g, state, x, position_of(g, c));
}

/* What is left of the product, and a sum over a cache, so that it is read behind the write. */
static pm_tensor *result(pm_graph *g, pm_tensor *rest, pm_tensor *cache) {
    pm_tensor *sum = pm_reshape(g, pm_sum(g, pm_sum(g, cache, 3), 2), 3, (int64_t[]){1, 1, -1});
    return rest ? pm_add(g, rest, pm_slice(g, sum, 2, 0, 1)) : sum;
}

static pm_tensor *two_of(pm_graph *g, const test_op_case *c, pm_tensor *product) {
    int64_t n = c->size[2] * c->size[3];
    pm_tensor *keys = written(g, c, "keys", heads_of(g, c, product, QUERIES));
    (void)written(g, c, "values", heads_of(g, c, product, QUERIES + n));
    return result(g, pm_slice(g, product, 2, 0, QUERIES), keys);
}

static pm_tensor *two(pm_graph *g, const test_op_case *c) {
    return two_of(g, c, pm_matmul(g, a_of(g, c), b_of(g, c, QUERIES + 2 * c->size[2] * c->size[3])));
}
static pm_tensor *two_turned(pm_graph *g, const test_op_case *c) {
    return two_of(g, c, pm_matmul(g, a_of(g, c), b_turned(g, c, QUERIES + 2 * c->size[2] * c->size[3])));
}

/* one sequence for all sequences of the caches, as beams begin; size[0]: how many */
static pm_tensor *repeated(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size, n = s[2] * s[3], dims[] = {s[0], s[2], s[1], s[3]};
    test_op_case one = *c;
    pm_tensor *x[2];
    one.size[0] = 1;
    pm_tensor *product = pm_matmul(g, a_of(g, &one), b_of(g, c, 2 * n));
    for (int i = 0; i < 2; i++) x[i] = pm_expand(g, heads_of(g, &one, product, i * n), 4, dims);
    (void)written(g, c, "keys", x[0]);
    return result(g, NULL, written(g, c, "values", x[1]));
}

/* with bias, scale and activation; a is a part of wider rows */
static pm_tensor *two_dressed(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size, n = QUERIES + 2 * s[2] * s[3];
    pm_tensor *a = pm_input(g, "a", PM_F32, 3, (int64_t[]){s[0], s[1], s[5] + 5});
    pm_tensor *y = pm_matmul(g, pm_slice(g, a, 2, 3, s[5]), b_of(g, c, n));
    y = pm_add(g, pm_mul(g, y, pm_const_f32(g, 0.5f)), pm_weight(g, "bias", PM_F32, 1, &n));
    return two_of(g, c, pm_relu(g, y));
}

/* nothing stays: the product's result needs no room */
static pm_tensor *gone(pm_graph *g, const test_op_case *c) {
    int64_t n = c->size[2] * c->size[3];
    pm_tensor *product = pm_matmul(g, a_of(g, c), b_of(g, c, 2 * n));
    (void)written(g, c, "keys", heads_of(g, c, product, 0));
    return result(g, NULL, written(g, c, "values", heads_of(g, c, product, n)));
}

/* columns that nobody reads, between those of the cache and at the end */
static pm_tensor *one(pm_graph *g, const test_op_case *c) {
    int64_t n = c->size[2] * c->size[3];
    pm_tensor *product = pm_matmul(g, a_of(g, c), b_of(g, c, QUERIES + n + 2));
    return result(g, NULL, written(g, c, "values", heads_of(g, c, product, QUERIES)));
}

/* each head has queries, keys and values of its own: [B,T,G,3,D] */
static pm_tensor *interleaved(pm_graph *g, const test_op_case *c) {
    const int64_t *s = c->size, dims[] = {s[0], s[2], s[1], s[3]};
    pm_tensor *product = pm_matmul(g, a_of(g, c), b_of(g, c, 3 * s[2] * s[3])), *part[3];
    pm_tensor *x = pm_reshape(g, product, 5, (int64_t[]){s[0], s[1], s[2], 3, s[3]});
    for (int i = 0; i < 3; i++)
        part[i] = pm_reshape(g, pm_transpose(g, pm_slice(g, x, 3, i, 1), 1, 2), 4, dims);
    pm_tensor *keys = written(g, c, "keys", part[1]);
    (void)written(g, c, "values", part[2]);
    return result(g, pm_reshape(g, pm_slice(g, part[0], 3, 0, 1), 3, (int64_t[]){s[0], s[2], s[1]}), keys);
}

/* Only as compiled: a case that does not write its caches would test nothing. */
static void expect_caches(const pm_dispatch *d, uint32_t n) {
    assert_int_not_equal(d->kernel, PM_KERNEL_CACHE_WRITE);
    if (d->kernel == PM_KERNEL_MATMUL) assert_int_equal(d->spec[PM_SPEC_CACHES], n);
}
static void expect_one(pm_dispatch *d) {
    expect_caches(d, 1);
}
static void expect_two(pm_dispatch *d) {
    expect_caches(d, 2);
}

/* positions from `low` to `high` */
#define APART(text, how, low, high, ...)                                                                     \
    {                                                                                                        \
        .name = "matmul to caches " text, .build = how, .size = {__VA_ARGS__}, .fuse = true,                 \
        .hints = {{"positions", TEST_UNIFORM, low, high}}, .adjust = expect_two                              \
    }
#define CACHE(text, how, n, at, ...)                                                                         \
    {                                                                                                        \
        .name = "matmul to caches " text, .build = how, .size = {__VA_ARGS__}, .fuse = true,                 \
        .hints = {{"position", TEST_UNIFORM, at, at}}, .adjust = expect_##n                                  \
    }

static const test_op_case cases[] = {
    CACHE("M 1", two, two, 4, 1, 1, 2, 8, 9, 33),
    CACHE("M 1, last slot", two, two, 8, 1, 1, 3, 5, 9, 17),
    CACHE("M 1, full", two, two, 9, 1, 1, 3, 5, 9, 17),
    CACHE("M 1 nn", two_turned, two, 4, 1, 1, 3, 5, 9, 33),
    CACHE("M 3", two, two, 2, 1, 3, 3, 5, 9, 65),
    CACHE("M 3 nn", two_turned, two, 7, 1, 3, 3, 5, 9, 65),
    CACHE("M 1 of 3 batches", two, two, 6, 3, 1, 2, 7, 8, 33),
    CACHE("rows", two, two, 3, 1, 19, 2, 8, 40, 33),
    CACHE("rows nn", two_turned, two, 3, 1, 19, 2, 8, 40, 33),
    CACHE("rows past the end", two, two, 30, 1, 19, 2, 8, 40, 33),
    CACHE("rows before 0", two, two, -5, 1, 19, 2, 8, 40, 33),
    CACHE("rows all past the end", two, two, 40, 1, 19, 2, 8, 40, 33),
    CACHE("rows of 3 batches", two, two, 5, 3, 13, 3, 7, 17, 33),
    CACHE("many rows", two, two, 5, 1, 70, 3, 16, 80, 65),
    CACHE("many rows nn", two_turned, two, 11, 2, 35, 3, 16, 40, 65),
    CACHE("bias, scale, relu M 1", two_dressed, two, 4, 1, 1, 2, 8, 9, 33),
    CACHE("bias, scale, relu", two_dressed, two, 4, 2, 13, 2, 8, 17, 33),
    CACHE("bias, scale, relu, many rows", two_dressed, two, 4, 2, 33, 3, 11, 37, 33),
    CACHE("nothing stays M 1", gone, two, 4, 1, 1, 2, 8, 9, 33),
    CACHE("nothing stays", gone, two, 0, 2, 13, 3, 7, 13, 33),
    CACHE("nothing stays, many rows", gone, two, 3, 1, 65, 2, 33, 70, 17),
    CACHE("unread columns M 1", one, one, 4, 1, 1, 2, 8, 9, 33),
    CACHE("unread columns", one, one, 4, 2, 13, 2, 8, 17, 33),
    CACHE("interleaved M 1", interleaved, two, 4, 1, 1, 3, 8, 9, 33),
    CACHE("interleaved", interleaved, two, 4, 2, 13, 3, 5, 17, 33),
    CACHE("interleaved, many rows", interleaved, two, 4, 1, 67, 3, 17, 90, 40),
    APART("positions apart M 1", two, 0, 9, 5, 1, 2, 8, 9, 33),
    APART("positions apart", two, -3, 19, 4, 7, 2, 8, 17, 33),
    APART("positions apart, one sequence", two, 2, 5, 1, 7, 2, 8, 17, 33),
    CACHE("for 3 sequences M 1", repeated, two, 4, 3, 1, 2, 8, 9, 33),
    CACHE("for 3 sequences", repeated, two, 4, 3, 13, 2, 8, 15, 33),
    CACHE("for 2 sequences, many rows", repeated, two, 0, 2, 65, 2, 17, 66, 33),
    APART("for 3 sequences, positions apart", repeated, -3, 9, 3, 7, 2, 8, 9, 33),
    APART("positions apart, interleaved", interleaved, -3, 19, 4, 9, 3, 5, 17, 33),
    CACHE("one head M 1", two, two, 4, 1, 1, 1, 12, 9, 33),
    CACHE("one head of size 1", two, two, 4, 2, 3, 1, 1, 9, 5),
};

const test_op_table test_cache_cases = {cases, PM_COUNT(cases)};
