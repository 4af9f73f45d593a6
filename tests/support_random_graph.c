/* See support_random_graph.h. Each operation has a maker, which asks for the inputs that the operation needs:
 * from the pool of what has been made, or as new leaves. */
#include "shaders/sample.params.h"
#include "tests/support_random_graph.h"

#include "graph/fuse.h"
#include "shaders/common.params.h"

#define POOL 64

typedef struct gen {
    pm_graph *g;
    test_rng *r;
    pm_tensor *pool[POOL]; /* no tensor that shows a state's memory: a later write would make it stale */
    uint32_t n_pool, n_leaves;
} gen;

static uint32_t below(gen *n, uint32_t limit) {
    return test_below(n->r, limit);
}
static int64_t dim(gen *n) {
    return 1 + (int64_t)below(n, 4);
}

static void keep(gen *n, pm_tensor *t) {
    if (t) n->pool[n->n_pool < POOL ? n->n_pool++ : below(n, POOL)] = t;
}

static pm_tensor *new_leaf(gen *n, pm_dtype type, int rank, const int64_t *dims) {
    uint32_t words[4096];
    char name[32];
    snprintf(name, sizeof name, "leaf \"%u\"\\", n->n_leaves++);
    int64_t elems = 1;
    for (int k = 0; k < rank; k++) elems *= dims[k];
    if (below(n, 3) == 0 && elems <= 4096) {
        for (int64_t i = 0; i < elems; i++) {
            float f = test_uniform(n->r, -3, 3);
            memcpy(&words[i], &f, 4);
            if (type != PM_F32) words[i] = below(n, 2);
        }
        return pm_const_data(n->g, type, rank, dims, words);
    }
    return below(n, 2) ? pm_input(n->g, name, type, rank, dims) : pm_weight(n->g, name, type, rank, dims);
}

static bool fits(const pm_tensor *t, pm_dtype type, int rank, const int64_t *dims) {
    if (t->dtype != type || t->rank != rank) return false;
    for (int k = 0; k < rank; k++)
        if (t->dims[k] != dims[k]) return false;
    return true;
}

/* A tensor of this type and shape; `dense`: not a strided view. */
static pm_tensor *want(gen *n, pm_dtype type, int rank, const int64_t *dims) {
    for (uint32_t i = 0, at = below(n, POOL); i < n->n_pool; i++) {
        pm_tensor *t = n->pool[(at + i) % n->n_pool];
        if (fits(t, type, rank, dims)) return t;
    }
    pm_tensor *t = new_leaf(n, type, rank, dims);
    keep(n, t);
    return t;
}

static pm_tensor *want_dense(gen *n, pm_dtype type, int rank, const int64_t *dims) {
    pm_tensor *t = want(n, type, rank, dims);
    return t && !pm_is_dense(t) ? pm_copy(n->g, t) : t;
}

static int random_dims(gen *n, int min_rank, int64_t *dims) {
    int rank = min_rank + (int)below(n, (uint32_t)(PM_MAX_DIMS - min_rank));
    for (int k = 0; k < rank; k++) dims[k] = dim(n);
    return rank;
}

static pm_tensor *any(gen *n, pm_dtype type, int min_rank) {
    int64_t dims[PM_MAX_DIMS];
    for (uint32_t i = 0; n->n_pool && i < 8; i++) {
        pm_tensor *t = n->pool[below(n, n->n_pool)];
        if (t->dtype == type && t->rank >= min_rank) return t;
    }
    int rank = random_dims(n, min_rank, dims);
    return want(n, type, rank, dims);
}

/* A tensor that broadcasts with x. */
static pm_tensor *partner(gen *n, const pm_tensor *x, pm_dtype type) {
    int64_t dims[PM_MAX_DIMS];
    int drop = (int)below(n, (uint32_t)x->rank + 1);
    for (int k = drop; k < x->rank; k++) dims[k - drop] = below(n, 3) ? x->dims[k] : 1;
    return want(n, type, x->rank - drop, dims);
}

/* ---- makers: return what to keep ---- */

static pm_tensor *make_view(gen *n, pm_op op) {
    pm_tensor *x = any(n, below(n, 2) ? PM_F32 : PM_I32, op == PM_OP_SLICE);
    int axes[PM_MAX_DIMS] = {0, 1, 2, 3, 4};
    int64_t dims[PM_MAX_DIMS];
    if (!x) return NULL;
    if (op == PM_OP_SLICE) {
        int axis = (int)below(n, (uint32_t)x->rank);
        int64_t start = (int64_t)below(n, (uint32_t)x->dims[axis]);
        return pm_slice(n->g, x, axis - x->rank, start,
                        1 + (int64_t)below(n, (uint32_t)(x->dims[axis] - start)));
    }
    if (op == PM_OP_PERMUTE) {
        for (int k = x->rank - 1; k > 0; k--) {
            int other = (int)below(n, (uint32_t)k + 1), was = axes[k];
            axes[k] = axes[other];
            axes[other] = was;
        }
        return pm_permute(n->g, x, axes);
    }
    if (op == PM_OP_RESHAPE)
        return pm_reshape(n->g, x, 2, (int64_t[]){-1, x->rank ? x->dims[below(n, (uint32_t)x->rank)] : 1});
    int more = x->rank < PM_MAX_DIMS && pm_elems(x) < 2000;
    dims[0] = dim(n);
    for (int k = 0; k < x->rank; k++) dims[k + more] = x->dims[k] == 1 && more ? dim(n) : x->dims[k];
    return pm_expand(n->g, x, x->rank + more, dims);
}

static pm_tensor *make_windows(gen *n, pm_op op) {
    pm_tensor *x = any(n, below(n, 2) ? PM_F32 : PM_I32, 1);
    (void)op;
    if (!x || x->rank == PM_MAX_DIMS) return NULL;
    int axis = (int)below(n, (uint32_t)x->rank);
    return pm_windows(n->g, x, axis - x->rank, 1 + below(n, (uint32_t)x->dims[axis]), 1 + below(n, 3));
}

static pm_tensor *make_as_i32(gen *n, pm_op op) {
    pm_tensor *x = any(n, PM_BOOL, 0);
    return x ? pm_add_op(n->g, op, 1, &x, NULL) : NULL;
}

static pm_tensor *make_unary(gen *n, pm_op op) {
    pm_dtype type = op == PM_OP_NOT ? PM_BOOL : op == PM_OP_TO_F32 || op == PM_OP_TO_BOOL ? PM_I32 : PM_F32;
    pm_tensor *x = any(n, type, 0);
    return pm_add_op(n->g, op, 1, &x, NULL);
}

static pm_tensor *make_binary(gen *n, pm_op op) {
    pm_dtype type = op == PM_OP_AND || op == PM_OP_OR     ? PM_BOOL
                    : op != PM_OP_GLU && below(n, 3) == 0 ? PM_I32
                                                          : PM_F32;
    pm_tensor *a = any(n, type, 0), *b = a ? partner(n, a, type) : NULL;
    pm_attrs attrs = {.act = op == PM_OP_GLU ? 1 + (int32_t)below(n, 4) : 0};
    if (op == PM_OP_GLU && below(n, 3) == 0) attrs.limit = 1.5f;
    return pm_add_op(n->g, op, 2, (pm_tensor *[]){a, b}, &attrs);
}

static pm_tensor *make_where(gen *n, pm_op op) {
    pm_tensor *a = any(n, PM_F32, 0);
    (void)op;
    return a ? pm_where(n->g, partner(n, a, PM_BOOL), a, partner(n, a, PM_F32)) : NULL;
}

static pm_tensor *make_row(gen *n, pm_op op) {
    pm_tensor *x = any(n, PM_F32, 1);
    pm_attrs attrs = {0};
    if (x && op != PM_OP_ARGMAX) attrs.axis = (int32_t)below(n, (uint32_t)x->rank) - x->rank;
    return pm_add_op(n->g, op, 1, &x, &attrs);
}

static pm_tensor *make_log_softmax(gen *n, pm_op op) {
    pm_tensor *x = any(n, PM_F32, 1);
    return pm_add_op(n->g, op, 1, &x, NULL);
}

static pm_tensor *make_norm(gen *n, pm_op op) {
    pm_tensor *x = any(n, PM_F32, 1);
    pm_attrs attrs = {.eps = 1e-5f};
    if (!x) return NULL;
    const int64_t *last = &x->dims[x->rank - 1];
    pm_tensor *in[3] = {x, below(n, 2) ? want_dense(n, PM_F32, 1, last) : NULL, NULL};
    if (op == PM_OP_LAYER_NORM && below(n, 2)) in[2] = want_dense(n, PM_F32, 1, last);
    return pm_add_op(n->g, op, op == PM_OP_LAYER_NORM ? 3 : 2, in, &attrs);
}

/* A bias, a table by distance, a sink, or none of them, for scores of these dims. */
static pm_tensor *bias_of(gen *n, pm_attrs *a, int rank, const int64_t *scores) {
    int64_t dims[PM_MAX_DIMS], table[2] = {rank > 2 && below(n, 2) ? scores[rank - 3] : 1, dim(n)};
    uint32_t kind = below(n, 4);
    memcpy(dims, scores, (size_t)rank * sizeof *dims);
    if (kind == 0) return NULL;
    if (kind == 1) return a->mask |= PM_MASK_BIAS, want_dense(n, PM_F32, rank, dims);
    if (kind == 2) {
        a->mask |= PM_MASK_BIAS | PM_MASK_RELATIVE, a->origin = dim(n) - 2;
        return want_dense(n, PM_F32, 2, table);
    }
    dims[rank - 1] = 1;
    return a->mask |= PM_MASK_SINK, want_dense(n, PM_F32, rank, dims);
}

/* One for all, or one for each of the batch. */
static pm_tensor *position_of(gen *n, int64_t batch) {
    return below(n, 2) ? pm_param(n->g, "position") : want_dense(n, PM_I32, 1, &batch);
}

/* Fills position, length, key_mask and bias for scores of these dims. */
static void add_masks(gen *n, pm_tensor **in, pm_attrs *a, int rank, const int64_t *scores) {
    int64_t keys[2] = {rank > 2 ? scores[0] : 1, scores[rank - 1]}, rows[2] = {keys[0], scores[rank - 2]};
    bool by_row = below(n, 2), global = below(n, 2);
    if (below(n, 2)) in[0] = position_of(n, keys[0]), a->mask |= PM_MASK_POSITION | PM_MASK_CAUSAL;
    if (below(n, 2)) a->mask |= PM_MASK_WINDOW, a->window = 1 + (int64_t)below(n, 9);
    if (below(n, 2)) {
        in[1] = want_dense(n, PM_I32, by_row ? 2 : 1, by_row ? rows : keys);
        a->mask |= by_row ? PM_MASK_LENGTH | PM_MASK_ROWS : PM_MASK_LENGTH;
    }
    if (below(n, 2)) {
        in[2] = want_dense(n, global || below(n, 2) ? PM_I32 : PM_BOOL, 2, keys);
        if (global) in[2] = pm_fuse_key_words(n->g, in[2]);
        a->mask |= global ? PM_MASK_KEYS | PM_MASK_GLOBAL : PM_MASK_KEYS;
    }
    in[3] = bias_of(n, a, rank, scores);
    a->scale = test_uniform(n->r, 0.1f, 1);
    a->softcap = below(n, 2) ? 30.0f : 0.0f;
}

static pm_tensor *make_softmax(gen *n, pm_op op) {
    pm_tensor *in[PM_MAX_IN] = {any(n, PM_F32, 2)};
    pm_attrs attrs = {0};
    if (!in[0]) return NULL;
    if (below(n, 2)) return pm_softmax(n->g, in[0]);
    add_masks(n, in + 1, &attrs, in[0]->rank, in[0]->dims);
    return pm_add_op(n->g, op, 5, in, &attrs);
}

static pm_tensor *make_attention(gen *n, pm_op op) {
    int64_t groups = dim(n), q[4] = {dim(n), groups * dim(n), dim(n), dim(n)},
            k[4] = {q[0], groups, dim(n), q[3]};
    int64_t scores[4] = {q[0], q[1], q[2], k[2]};
    int64_t places[3] = {q[1], dim(n), k[3]};
    bool by_place = below(n, 3) == 0;
    if (by_place) q[3] *= 2;
    pm_tensor *in[PM_MAX_IN] = {want_dense(n, PM_F32, 4, q), want_dense(n, PM_F32, 4, k),
                                want_dense(n, PM_F32, 4, k)};
    pm_attrs attrs = {0};
    add_masks(n, in + 3, &attrs, 4, scores);
    if (by_place && !in[PM_ATTN_BIAS])
        in[PM_ATTN_PLACES] = want_dense(n, PM_F32, 3, places);
    else if (by_place)
        in[PM_ATTN_Q] = pm_copy(n->g, pm_slice(n->g, in[PM_ATTN_Q], 3, 0, k[3]));
    return pm_add_op(n->g, op, PM_MAX_IN, in, &attrs);
}

static pm_tensor *make_matmul(gen *n, pm_op op) {
    int64_t a[4] = {dim(n), dim(n), dim(n), dim(n)}, b[4] = {below(n, 2) ? 1 : a[0], a[1], dim(n), a[3]};
    int64_t y[4] = {a[0], a[1], a[2], b[2]};
    int skip_a = (int)below(n, 3), skip_b = skip_a + (int)below(n, (uint32_t)(3 - skip_a));
    pm_tensor *in[4] = {want(n, PM_F32, 4 - skip_a, a + skip_a), want(n, PM_F32, 4 - skip_b, b + skip_b),
                        NULL, NULL};
    pm_attrs attrs = {0};
    if (below(n, 2)) return pm_matmul(n->g, in[0], in[1]);
    attrs.act = (int32_t)below(n, PM_N_ACT);
    attrs.scale = 0.125f;
    if (below(n, 2)) in[2] = want_dense(n, PM_F32, 1, &b[2]);
    if (below(n, 2)) in[3] = want_dense(n, PM_F32, 4 - skip_a, y + skip_a);
    return pm_add_op(n->g, op, 4, in, &attrs);
}

static pm_tensor *make_top_k(gen *n, pm_op op) {
    pm_tensor *x = any(n, PM_F32, 1);
    (void)op;
    return x ? pm_top_k(n->g, x, 1 + (int64_t)below(n, (uint32_t)x->dims[x->rank - 1])) : NULL;
}

static pm_tensor *make_sample(gen *n, pm_op op) {
    pm_tensor *x = any(n, PM_F32, 1);
    int64_t words[2] = {1, PM_SAMPLE_WORDS};
    (void)op;
    if (!x) return NULL;
    int64_t rows = words[0] = pm_elems(x) / x->dims[x->rank - 1];
    bool own = below(n, 2), own_counts = below(n, 2);
    pm_tensor *settings = want_dense(n, PM_I32, 1 + own, words + !own);
    return pm_sample(n->g, x, settings, want(n, PM_I32, own_counts, &rows));
}

static pm_tensor *make_grouped_matmul(gen *n, pm_op op) {
    int64_t dims[4] = {dim(n), dim(n), dim(n), dim(n)}, w[3] = {dim(n), dim(n), dims[3]};
    bool own_rows = below(n, 2); /* [B,T,J,K], else [B,T,K] */
    if (!own_rows) dims[2] = dims[3];
    pm_tensor *x = want(n, PM_F32, 3 + own_rows, dims);
    if (!own_rows) dims[2] = dim(n);
    pm_tensor *y = pm_grouped_matmul(n->g, x, want(n, PM_F32, 3, w), want(n, PM_I32, 3, dims));
    if (!y || below(n, 2)) return y;
    pm_tensor *in[] = {y->in[0], y->in[1], y->in[2], want_dense(n, PM_F32, 2, w)};
    return pm_add_op(n->g, op, 4, in, &(pm_attrs){.act = (int32_t)below(n, PM_N_ACT)});
}

static pm_tensor *make_gather(gen *n, pm_op op) {
    pm_tensor *ids = any(n, PM_I32, 0);
    int64_t table[2] = {dim(n), dim(n)};
    (void)op;
    return ids && ids->rank < PM_MAX_DIMS ? pm_gather(n->g, want(n, PM_F32, 2, table), ids) : NULL;
}

static pm_tensor *make_concat(gen *n, pm_op op) {
    pm_tensor *parts[11], *x = any(n, PM_F32, 1);
    int n_parts = 1 + (int)below(n, 11);
    int64_t dims[PM_MAX_DIMS];
    (void)op;
    if (!x || pm_elems(x) > 500) return NULL;
    int axis = (int)below(n, (uint32_t)x->rank);
    memcpy(dims, x->dims, sizeof dims);
    for (int i = 0; i < n_parts; i++) {
        if (i) dims[axis] = dim(n);
        parts[i] = i ? want(n, PM_F32, x->rank, dims) : x;
    }
    return pm_concat(n->g, n_parts, parts, axis);
}

static pm_tensor *make_cache_write(gen *n, pm_op op) {
    int64_t s[4] = {dim(n), dim(n), 8, dim(n)}, x[4] = {s[0], s[1], dim(n), s[3]};
    char name[32];
    snprintf(name, sizeof name, "state%u", n->n_leaves++);
    pm_tensor *state = pm_state(n->g, name, PM_F32, 4, s), *position = position_of(n, s[0]);
    state = pm_cache_write(n->g, state, want(n, PM_F32, 4, x), position);
    if (below(n, 2)) state = pm_cache_write(n->g, state, want(n, PM_F32, 4, x), pm_const_i32(n->g, 3));
    if (s[3] % 2 == 0) {
        pm_tensor *in[5] = {state, want(n, PM_F32, 4, x), position, want_dense(n, PM_F32, 2, x + 2),
                            want_dense(n, PM_F32, 2, x + 2)};
        state = pm_add_op(n->g, op, 5, in, NULL);
    }
    return pm_add(n->g, state, pm_const_f32(n->g, 1));
}

static pm_tensor *make_advance(gen *n, pm_op op) {
    const int64_t words[2] = {PM_LOOP_WORDS, below(n, 2) ? dim(n) : 1};
    char name[32];
    (void)op;
    snprintf(name, sizeof name, "loop%u", n->n_leaves++);
    pm_tensor *loop = pm_state(n->g, name, PM_I32, words[1] == 1 ? 1 : 2, words);
    for (uint32_t i = 1 + below(n, 2); i > 0; i--)
        loop = pm_advance(n->g, loop, want_dense(n, PM_I32, 1, words + 1),
                          below(n, 3) ? want_dense(n, PM_F32, 1, words + 1) : NULL);
    return pm_add(n->g, loop, pm_const_i32(n->g, 1));
}

static pm_tensor *make_rotary(gen *n, pm_op op) {
    int64_t x[4] = {dim(n), dim(n), dim(n), 2 * dim(n)}, own[4] = {x[0], 1, x[2], x[3]};
    if (below(n, 2)) x[3] += dim(n) - 1; /* the last ones are not turned */
    pm_tensor *in[3] = {want(n, PM_F32, 4, x), want_dense(n, PM_F32, 2, own + 2),
                        want_dense(n, PM_F32, 4, own)};
    return pm_add_op(n->g, op, 3, in, NULL);
}

static pm_tensor *make_rel_shift(gen *n, pm_op op) {
    int64_t x[4] = {dim(n), dim(n), dim(n), dim(n)};
    pm_tensor *in[2] = {want(n, PM_F32, 4, x), below(n, 2) ? position_of(n, x[0]) : NULL};
    return pm_add_op(n->g, op, 2, in, &(pm_attrs){.length = dim(n)});
}

static pm_tensor *make_op(gen *n, pm_op op) {
    static pm_tensor *(*const makers[PM_N_OPS])(gen *, pm_op) = {
        [PM_OP_RESHAPE] = make_view,
        [PM_OP_PERMUTE] = make_view,
        [PM_OP_SLICE] = make_view,
        [PM_OP_EXPAND] = make_view,
        [PM_OP_AS_I32] = make_as_i32,
        [PM_OP_WINDOWS] = make_windows,
        [PM_OP_WHERE] = make_where,
        [PM_OP_SUM] = make_row,
        [PM_OP_MEAN] = make_row,
        [PM_OP_REDUCE_MAX] = make_row,
        [PM_OP_ARGMAX] = make_row,
        [PM_OP_SOFTMAX] = make_softmax,
        [PM_OP_LAYER_NORM] = make_norm,
        [PM_OP_RMS_NORM] = make_norm,
        [PM_OP_MATMUL] = make_matmul,
        [PM_OP_ATTENTION] = make_attention,
        [PM_OP_TOP_K] = make_top_k,
        [PM_OP_SAMPLE] = make_sample,
        [PM_OP_GROUPED_MATMUL] = make_grouped_matmul,
        [PM_OP_GATHER] = make_gather,
        [PM_OP_CONCAT] = make_concat,
        [PM_OP_CACHE_WRITE] = make_cache_write,
        [PM_OP_ADVANCE] = make_advance,
        [PM_OP_ROTARY] = make_rotary,
        [PM_OP_REL_SHIFT] = make_rel_shift,
        [PM_OP_LOG_SOFTMAX] = make_log_softmax,
    };
    const pm_op_info *info = pm_op_get(op);
    if (op == PM_OP_IOTA) return pm_iota(n->g, dim(n));
    if (info->flags & PM_OPF_LEAF) return NULL; /* asked for by others */
    if (makers[op]) return makers[op](n, op);
    return info->max_in == 1 ? make_unary(n, op) : make_binary(n, op);
}

pm_graph *test_random_graph(test_rng *r, int n_ops, bool fused) {
    gen n = {.r = r};
    char label[32];
    assert_ok(pm_graph_create("random \"graph\"", &n.g));
    for (int i = 0; i < n_ops; i++) {
        pm_op op = (pm_op)below(&n, PM_N_OPS);
        if (pm_op_get(op)->flags & PM_OPF_FUSED && !fused) continue;
        snprintf(label, sizeof label, "layers.%d", i / 8);
        pm_graph_label(n.g, below(&n, 4) ? label : NULL);
        pm_tensor *t = make_op(&n, op);
        if (t && pm_elems(t) <= 3000) keep(&n, t);
        if (pm_graph_status(n.g) != PM_OK) fail_msg("%s: %s", pm_op_get(op)->name, pm_error_text());
    }
    for (uint32_t i = 0; i < 4 && n.n_pool; i++) {
        snprintf(label, sizeof label, "out.%u", i);
        pm_output(n.g, label, n.pool[below(&n, n.n_pool)]);
    }
    assert_ok(pm_graph_status(n.g));
    return n.g;
}
