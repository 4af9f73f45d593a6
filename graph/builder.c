/* The public constructors of pumice/graph.h: each one names its operation and fills its attributes. All
 * checks are in the shape rules, all storage in graph.c. */
#include "graph/ops.h"

#include <string.h>

/* ---- leaves ---- */

pm_tensor *pm_input(pm_graph *g, const char *name, pm_dtype type, int rank, const int64_t *dims) {
    return pm_add_leaf(g, PM_OP_INPUT, name, type, rank, dims, NULL);
}

pm_tensor *pm_weight(pm_graph *g, const char *name, pm_dtype type, int rank, const int64_t *dims) {
    return pm_add_leaf(g, PM_OP_WEIGHT, name, type, rank, dims, NULL);
}

pm_tensor *pm_state(pm_graph *g, const char *name, pm_dtype type, int rank, const int64_t *dims) {
    return pm_add_leaf(g, PM_OP_STATE, name, type, rank, dims, NULL);
}

pm_tensor *pm_param(pm_graph *g, const char *name) {
    return pm_add_leaf(g, PM_OP_PARAM, name, PM_I32, 0, NULL, NULL);
}
pm_tensor *pm_const_f32(pm_graph *g, float value) {
    return pm_const_data(g, PM_F32, 0, NULL, &value);
}
pm_tensor *pm_const_i32(pm_graph *g, int32_t value) {
    return pm_const_data(g, PM_I32, 0, NULL, &value);
}

pm_tensor *pm_const_data(pm_graph *g, pm_dtype type, int rank, const int64_t *dims, const void *data) {
    return pm_add_leaf(g, PM_OP_CONST, NULL, type, rank, dims, data);
}

pm_tensor *pm_iota(pm_graph *g, int64_t n) {
    return pm_add_leaf(g, PM_OP_IOTA, NULL, PM_I32, 1, &n, NULL);
}

void pm_graph_label(pm_graph *g, const char *label) {
    char *copy = NULL;
    if (g->status != PM_OK) return;
    if (label && !(copy = pm_arena_strdup(&g->arena, label)))
        g->status = PM_ERR_MEMORY;
    else
        g->label = copy;
}

/* ---- views ---- */

static pm_status too_many(pm_graph *g, const char *what, int rank) {
    return g->status = pm_raise(PM_ERR_USAGE, "%s: rank %d, 0 to %d was expected", what, rank, PM_MAX_DIMS);
}

static pm_tensor *to_dims(pm_graph *g, pm_op op, pm_tensor *x, int rank, const int64_t *dims) {
    pm_attrs a = {.rank = rank};
    if (g->status != PM_OK) return NULL;
    if (rank < 0 || rank > PM_MAX_DIMS) return (void)too_many(g, pm_op_get(op)->name, rank), NULL;
    for (int k = 0; k < rank; k++) a.dims[k] = dims[k];
    return pm_add_op(g, op, 1, &x, &a);
}

pm_tensor *pm_reshape(pm_graph *g, pm_tensor *x, int rank, const int64_t *dims) {
    return to_dims(g, PM_OP_RESHAPE, x, rank, dims);
}

pm_tensor *pm_expand(pm_graph *g, pm_tensor *x, int rank, const int64_t *dims) {
    return to_dims(g, PM_OP_EXPAND, x, rank, dims);
}

pm_tensor *pm_permute(pm_graph *g, pm_tensor *x, const int *axes) {
    pm_attrs a = {.rank = x ? x->rank : 0};
    for (int k = 0; k < a.rank; k++) a.axes[k] = axes[k];
    return pm_add_op(g, PM_OP_PERMUTE, 1, &x, &a);
}

pm_tensor *pm_transpose(pm_graph *g, pm_tensor *x, int a, int b) {
    int axes[PM_MAX_DIMS] = {0, 1, 2, 3, 4};
    int rank = pm_tensor_rank(x);
    if (g->status != PM_OK) return NULL;
    if (a < -rank || a >= rank || b < -rank || b >= rank) {
        g->status =
            pm_raise(PM_ERR_USAGE, "transpose: axes %d and %d of a tensor of rank %d, %d to %d was expected",
                     a, b, rank, -rank, rank - 1);
        return NULL;
    }
    a = a < 0 ? a + rank : a;
    b = b < 0 ? b + rank : b;
    axes[a] = b;
    axes[b] = a;
    return pm_permute(g, x, axes);
}

pm_tensor *pm_slice(pm_graph *g, pm_tensor *x, int axis, int64_t start, int64_t length) {
    return pm_add_op(g, PM_OP_SLICE, 1, &x, &(pm_attrs){.axis = axis, .start = start, .length = length});
}

pm_tensor *pm_windows(pm_graph *g, pm_tensor *x, int axis, int64_t length, int64_t step) {
    return pm_add_op(g, PM_OP_WINDOWS, 1, &x, &(pm_attrs){.axis = axis, .length = length, .step = step});
}

/* ---- element by element ---- */

#define UNARY(name, op)                                                                                      \
    pm_tensor *name(pm_graph *g, pm_tensor *x) {                                                             \
        return pm_add_op(g, op, 1, &x, NULL);                                                                \
    }
UNARY(pm_copy, PM_OP_COPY)
UNARY(pm_neg, PM_OP_NEG)
UNARY(pm_abs, PM_OP_ABS)
UNARY(pm_exp, PM_OP_EXP)
UNARY(pm_log, PM_OP_LOG)
UNARY(pm_sqrt, PM_OP_SQRT)
UNARY(pm_rsqrt, PM_OP_RSQRT)
UNARY(pm_tanh, PM_OP_TANH)
UNARY(pm_erf, PM_OP_ERF)
UNARY(pm_sigmoid, PM_OP_SIGMOID)
UNARY(pm_relu, PM_OP_RELU)
UNARY(pm_not, PM_OP_NOT)
UNARY(pm_softmax, PM_OP_SOFTMAX)
UNARY(pm_argmax, PM_OP_ARGMAX)

pm_tensor *pm_cast(pm_graph *g, pm_tensor *x, pm_dtype type) {
    if (x && x->dtype == type) return x;
    pm_op op = type == PM_F32 ? PM_OP_TO_F32 : type == PM_I32 ? PM_OP_TO_I32 : PM_OP_TO_BOOL;
    if (g->status == PM_OK && type != PM_F32 && type != PM_I32 && type != PM_BOOL)
        g->status = pm_raise(PM_ERR_USAGE, "cast: to %s, f32, i32 or bool was expected", pm_dtype_name(type));
    return pm_add_op(g, op, 1, &x, NULL);
}

#define BINARY(name, op)                                                                                     \
    pm_tensor *name(pm_graph *g, pm_tensor *a, pm_tensor *b) {                                               \
        return pm_add_op(g, op, 2, (pm_tensor *[]){a, b}, NULL);                                             \
    }
BINARY(pm_add, PM_OP_ADD)
BINARY(pm_sub, PM_OP_SUB)
BINARY(pm_mul, PM_OP_MUL)
BINARY(pm_div, PM_OP_DIV)
BINARY(pm_max, PM_OP_MAX)
BINARY(pm_min, PM_OP_MIN)
BINARY(pm_lt, PM_OP_LT)
BINARY(pm_le, PM_OP_LE)
BINARY(pm_gt, PM_OP_GT)
BINARY(pm_ge, PM_OP_GE)
BINARY(pm_eq, PM_OP_EQ)
BINARY(pm_ne, PM_OP_NE)
BINARY(pm_and, PM_OP_AND)
BINARY(pm_or, PM_OP_OR)
BINARY(pm_matmul, PM_OP_MATMUL)

pm_tensor *pm_where(pm_graph *g, pm_tensor *cond, pm_tensor *yes, pm_tensor *no) {
    return pm_add_op(g, PM_OP_WHERE, 3, (pm_tensor *[]){cond, yes, no}, NULL);
}

/* ---- along one axis ---- */

#define REDUCE(name, op)                                                                                     \
    pm_tensor *name(pm_graph *g, pm_tensor *x, int axis) {                                                   \
        return pm_add_op(g, op, 1, &x, &(pm_attrs){.axis = axis});                                           \
    }
REDUCE(pm_sum, PM_OP_SUM)
REDUCE(pm_mean, PM_OP_MEAN)
REDUCE(pm_reduce_max, PM_OP_REDUCE_MAX)

/* ---- data ---- */

pm_tensor *pm_gather(pm_graph *g, pm_tensor *table, pm_tensor *ids) {
    int64_t stride;
    if (ids && !pm_has_one_stride(ids, &stride)) ids = pm_copy(g, ids);
    return pm_add_op(g, PM_OP_GATHER, 2, (pm_tensor *[]){table, ids}, NULL);
}

pm_tensor *pm_top_k(pm_graph *g, pm_tensor *x, int64_t k) {
    return pm_add_op(g, PM_OP_TOP_K, 1, &x, &(pm_attrs){.length = k});
}

pm_tensor *pm_sample(pm_graph *g, pm_tensor *x, pm_tensor *settings, pm_tensor *count) {
    int64_t stride;
    if (count && !pm_has_one_stride(count, &stride)) count = pm_copy(g, count);
    return pm_add_op(g, PM_OP_SAMPLE, 3, (pm_tensor *[]){x, settings, count}, NULL);
}

pm_tensor *pm_grouped_matmul(pm_graph *g, pm_tensor *x, pm_tensor *w, pm_tensor *ids) {
    int64_t stride;
    if (ids && !pm_has_one_stride(ids, &stride)) ids = pm_copy(g, ids);
    if (x && ids && x->rank >= ids->rank && ids->rank > 0 &&
        !pm_rows_have_one_stride(x, x->rank - ids->rank + 1, &stride))
        x = pm_copy(g, x);
    return pm_add_op(g, PM_OP_GROUPED_MATMUL, 3, (pm_tensor *[]){x, w, ids}, NULL);
}

/* More parts than one operation takes are joined in rounds. */
pm_tensor *pm_concat(pm_graph *g, int n, pm_tensor *const *parts, int axis) {
    pm_attrs a = {.axis = axis};
    if (n <= PM_MAX_IN) return pm_add_op(g, PM_OP_CONCAT, n, parts, &a);
    pm_tensor *round[PM_MAX_IN];
    int share = (n + PM_MAX_IN - 1) / PM_MAX_IN, used = 0;
    for (int at = 0; at < n; at += share)
        round[used++] = pm_concat(g, n - at < share ? n - at : share, parts + at, axis);
    return pm_add_op(g, PM_OP_CONCAT, used, round, &a);
}

pm_tensor *pm_rel_shift(pm_graph *g, pm_tensor *x, pm_tensor *position, int64_t n_keys) {
    return pm_add_op(g, PM_OP_REL_SHIFT, 2, (pm_tensor *[]){x, position}, &(pm_attrs){.length = n_keys});
}

pm_tensor *pm_advance(pm_graph *g, pm_tensor *loop, pm_tensor *next, pm_tensor *logit) {
    return pm_add_op(g, PM_OP_ADVANCE, logit ? 3 : 2, (pm_tensor *[]){loop, next, logit}, NULL);
}

pm_tensor *pm_cache_write(pm_graph *g, pm_tensor *state, pm_tensor *x, pm_tensor *position) {
    return pm_add_op(g, PM_OP_CACHE_WRITE, 3, (pm_tensor *[]){state, x, position}, NULL);
}
