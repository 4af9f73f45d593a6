/* Operations whose operands are larger than one binding: cut along their outer dims, where each part of the result depends on the
 * same part of the operands alone. Knows which dims those are, and nothing of kernels: a part is lowered as if it were the whole. Products
 * and gathers are also cut along the rows of their tables (lower.c). */
#include "graph/lower.h"

/* How many outer dims of t may be cut. */
static int32_t cuttable(const pm_lowering *l, const pm_tensor *t) {
    const pm_tensor *caches[PM_MAX_CACHES];
    uint32_t n_caches;
    if (pm_op_get(t->op)->flags & PM_OPF_ELEMENTWISE) return t->rank;
    switch (t->op) {
    case PM_OP_COPY:
    case PM_OP_ARGMAX: return t->rank;
    case PM_OP_SUM:
    case PM_OP_MEAN:
    case PM_OP_REDUCE_MAX: return t->attrs.axis;
    case PM_OP_SOFTMAX: /* with masks along the batch alone, which is its first dim */
        if (t->n_in == 1 && !t->attrs.mask) return t->rank - 1;
        return t->rank >= 3;
    case PM_OP_ATTENTION: return t->n_in <= PM_ATTN_PLACES || !t->in[PM_ATTN_PLACES];
    case PM_OP_CACHE_WRITE: return 1;
    case PM_OP_TOP_K:
    case PM_OP_LOG_SOFTMAX:
    case PM_OP_LAYER_NORM:
    case PM_OP_RMS_NORM:
    case PM_OP_ROTARY:
    case PM_OP_GATHER: return t->rank - 1;
    case PM_OP_MATMUL: /* rows of caches are counted from the product's first */
        pm_lower_caches_of(l, t, caches, &n_caches);
        return n_caches ? 0 : t->rank - 1;
    default: return 0;
    }
}

/* Whether operand i is a position, a length or a mask of keys, with an entry for each of the batch or for all of it. */
static bool is_of_batch(const pm_tensor *t, int i) {
    if (t->op == PM_OP_CACHE_WRITE) return i == 2;
    int first = t->op == PM_OP_SOFTMAX ? PM_SOFTMAX_POSITION : PM_ATTN_POSITION;
    return (t->op == PM_OP_SOFTMAX || t->op == PM_OP_ATTENTION) && i >= first && i < first + 3;
}

static bool is_relative_bias(const pm_tensor *t, int i) {
    int bias = t->op == PM_OP_SOFTMAX ? PM_SOFTMAX_BIAS : PM_ATTN_BIAS;
    return (t->op == PM_OP_SOFTMAX || t->op == PM_OP_ATTENTION) && (t->attrs.mask & PM_MASK_RELATIVE) &&
           i == bias;
}

/* The dim of operand i that goes along with dim k of t; -1: none does. */
static int32_t dim_of(const pm_tensor *t, int i, int32_t k) {
    const pm_tensor *x = t->in[i];
    if (x && is_of_batch(t, i)) return x->rank && x->dims[0] == t->dims[0] ? 0 : -1;
    if (x && is_relative_bias(t, i)) return -1;
    bool table = (t->op == PM_OP_GATHER && i == 0) || (t->op == PM_OP_MATMUL && i == PM_MATMUL_BIAS);
    if (!x || table) return -1;
    if (t->op == PM_OP_ARGMAX || t->op == PM_OP_GATHER) return k < x->rank ? k : -1; /* aligned in front */
    if (t->op == PM_OP_MATMUL && i == PM_MATMUL_B && k == t->rank - 2) return -1;
    return k - (t->rank - x->rank);
}

/* Which of them is seen in parts of its own: a table, a product's b that all batches share. */
static bool has_own_parts(const pm_tensor *t, int i) {
    if (t->op == PM_OP_GATHER) return i == 0;
    if (t->op != PM_OP_MATMUL || (i != PM_MATMUL_B && i != PM_MATMUL_BIAS)) return false;
    for (int32_t k = 0; k + 2 < t->in[PM_MATMUL_B]->rank; k++)
        if (t->in[PM_MATMUL_B]->dims[k] != 1) return false;
    return true;
}

static void begin(const pm_tensor *t, pm_lower_slices *s) {
    s->t = *t;
    for (int i = 0; i < t->n_in; i++) {
        if (!t->in[i]) continue;
        s->in[i] = *t->in[i];
        s->t.in[i] = &s->in[i];
    }
}

static void slice(const pm_tensor *t, int32_t k, int64_t first, int64_t n, pm_lower_slices *s) {
    for (int i = 0; i < t->n_in; i++) {
        int32_t dim = dim_of(t, i, k);
        if (dim >= 0) s->in[i] = pm_lower_slice(&s->in[i], dim, first, n);
    }
    s->t = pm_lower_slice(&s->t, k, first, n);
}

/* The result's and the residual's, when b's rows are a part. */
static void slice_columns(const pm_tensor *t, int64_t n, pm_lower_slices *s) {
    pm_tensor *residual =
        t->n_in > PM_MATMUL_RESIDUAL && t->in[PM_MATMUL_RESIDUAL] ? &s->in[PM_MATMUL_RESIDUAL] : NULL;
    s->t = pm_lower_slice(&s->t, t->rank - 1, 0, n);
    if (residual) *residual = pm_lower_slice(residual, residual->rank - 1, 0, n);
}

/* Whether n entries of dim `level`, of n_before of the dim before it and one of each before that, can be bound; of a product,
 * `columns` at a time. */
static bool fits(const pm_lowering *l, const pm_tensor *t, int32_t level, int64_t n, int64_t n_before,
                 int64_t columns) {
    pm_lower_slices s;
    begin(t, &s);
    if (columns < t->dims[t->rank - 1]) slice_columns(t, columns, &s);
    for (int32_t k = 0; k <= level && k < t->rank; k++)
        slice(t, k, 0, k == level ? n : k == level - 1 ? n_before : 1, &s);
    bool good = pm_lower_can_bind(l, &s.t);
    for (int i = 0; i < t->n_in && good; i++)
        good = !t->in[i] || has_own_parts(t, i) || pm_lower_can_bind(l, &s.in[i]);
    return good;
}

/* Runs of n entries, as few as can be, are as long as each other. */
static int64_t even(int64_t n, int64_t most) {
    const int64_t runs = (n + most - 1) / most;
    return (n + runs - 1) / runs;
}

/* The most entries of dim `level` that fit; with `each` of them, as many of the dim before it. */
static int64_t most_that_fit(const pm_lowering *l, const pm_tensor *t, int32_t level, int64_t each) {
    int64_t low = 1, high = t->dims[each ? level - 1 : level];
    while (low < high) {
        const int64_t middle = low + (high - low + 1) / 2;
        if (fits(l, t, level, each ? each : middle, each ? middle : 1, t->dims[t->rank - 1]))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* The cut at a level of which one entry fits. Where operands lie turned to each other, an entry of an outer dim is as far from end to
 * end as all of them: kernels with any strides take as many of those as fit, since each alone would be a dispatch. */
static pm_lower_cut cut_at(const pm_lowering *l, const pm_tensor *t, int32_t level) {
    const bool any_strides = t->op == PM_OP_COPY || pm_op_get(t->op)->flags & PM_OPF_ELEMENTWISE;
    const int64_t n = t->dims[level], n_before = level ? t->dims[level - 1] : 1;
    pm_lower_cut c = {.level = level, .each = even(n, most_that_fit(l, t, level, 0)), .each_before = 1};
    if (level && any_strides) c.each_before = even(n_before, most_that_fit(l, t, level, c.each));
    c.runs = (n + c.each - 1) / c.each;
    c.runs_before = (n_before + c.each_before - 1) / c.each_before;
    return c;
}

pm_lower_cut pm_lower_find_cut(const pm_lowering *l, const pm_tensor *t) {
    const pm_lower_cut whole = {.n_parts = 1};
    int32_t n_dims = pm_op_get(t->op)->lower ? cuttable(l, t) : 0;
    int64_t all = t->rank ? t->dims[t->rank - 1] : 1, first, columns = all;
    if (t->op == PM_OP_MATMUL) pm_lower_rows_of_part(l, t, 0, &first, &columns);
    if (n_dims <= 0 || fits(l, t, 0, t->dims[0], 1, columns)) return whole;
    int64_t outer = 1; /* entries of the dims before the one before level */
    for (int32_t level = 0; level < n_dims; level++) {
        if (level > 1) outer *= t->dims[level - 2];
        if (!fits(l, t, level, 1, 1, all)) continue;
        pm_lower_cut c = cut_at(l, t, level);
        if (outer * c.runs_before > INT32_MAX / c.runs) return whole; /* and refused */
        c.n_parts = (uint32_t)(outer * c.runs_before * c.runs);
        return c;
    }
    return whole; /* what is too large is said when it is bound */
}

/* Run `run` of dim k, of `each` entries; the last one may have fewer. */
static void slice_run(const pm_tensor *t, int32_t k, int64_t run, int64_t each, pm_lower_slices *out) {
    const int64_t first = run * each, left = t->dims[k] - first;
    slice(t, k, first, left < each ? left : each, out);
}

void pm_lower_cut_part(const pm_tensor *t, const pm_lower_cut *c, uint32_t part, pm_lower_slices *out) {
    int64_t outer = part / c->runs;
    begin(t, out);
    slice_run(t, c->level, part % c->runs, c->each, out);
    if (c->level) slice_run(t, c->level - 1, outer % c->runs_before, c->each_before, out);
    outer /= c->runs_before;
    for (int32_t k = c->level - 2; k >= 0; k--) {
        slice(t, k, outer % t->dims[k], 1, out);
        outer /= t->dims[k];
    }
}
