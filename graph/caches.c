/* See caches.h. All conditions are here; lowering only fills in numbers. */
#include "graph/caches.h"

#include "graph/ops.h"

/* ---- columns ---- */

bool pm_cache_columns_of(const pm_tensor *product, const pm_tensor *x, pm_cache_columns *out) {
    const int64_t *dims = x->dims, *strides = x->strides, n = product->dims[product->rank - 1];
    if (x->rank != 4 || x->base != product || !pm_is_dense(product)) return false;
    *out = (pm_cache_columns){.first = x->offset,
                              .pitch = dims[1] == 1 ? dims[3] : strides[1],
                              .n_heads = dims[1],
                              .size = dims[3],
                              .n_tokens = dims[2],
                              .n_repeats = strides[0] == 0 ? dims[0] : 1};
    int64_t n_sequences = dims[0] / out->n_repeats;
    bool rows = n_sequences * dims[2] == pm_elems(product) / n && (dims[2] == 1 || strides[2] == n) &&
                (n_sequences == 1 || strides[0] == dims[2] * n);
    bool heads = (dims[3] == 1 || strides[3] == 1) && out->pitch >= dims[3] &&
                 out->pitch <= n; /* so the next line cannot overflow */
    return rows && heads && out->first + (dims[1] - 1) * out->pitch + dims[3] <= n;
}

static bool has_column(const pm_cache_columns *c, int64_t n) {
    int64_t at = n - c->first;
    return at >= 0 && at / c->pitch < c->n_heads && at % c->pitch < c->size;
}

/* Whether the view x of the product shows one of the columns; true also where that is not plain. */
static bool shows_columns(const pm_tensor *product, const pm_tensor *x, const pm_cache_columns *c) {
    int64_t n = product->dims[product->rank - 1], at[PM_MAX_DIMS] = {0}, column = x->offset % n,
            last = column;
    for (int32_t k = 0; k < x->rank; k++)
        if (x->strides[k] % n != 0) last += (x->dims[k] - 1) * x->strides[k];
    if (last >= n) return true; /* not rows of some columns */
    for (int32_t k = 0; k < x->rank;) {
        if (k == 0 && has_column(c, column)) return true;
        if (x->strides[k] % n == 0 || at[k] + 1 == x->dims[k]) { /* the same column again, or the last one */
            if (x->strides[k] % n != 0) column -= at[k] * x->strides[k];
            at[k++] = 0;
            continue;
        }
        at[k]++;
        column += x->strides[k];
        k = 0;
    }
    return x->rank == 0 && has_column(c, column);
}

/* ---- a product that may ---- */

/* The kernel must see one batch of rows, evenly spaced, and all that it writes must be the product's own. */
static bool is_plain_product(const pm_tensor *t) {
    if (t->op != PM_OP_MATMUL || t->dtype != PM_F32) return false;
    const pm_tensor *b = t->in[PM_MATMUL_B];
    int64_t stride;
    for (int32_t k = 0; k + 2 < b->rank; k++)
        if (b->dims[k] != 1) return false;
    return !(t->n_in > PM_MATMUL_RESIDUAL && t->in[PM_MATMUL_RESIDUAL]) &&
           pm_rows_have_one_stride(t->in[PM_MATMUL_A], 1, &stride);
}

static bool reads_storage(const pm_tensor *t, const pm_tensor *base) {
    if (pm_op_get(t->op)->flags & PM_OPF_VIEW) return false;
    for (int k = 0; k < t->n_in; k++)
        if (t->in[k] && t->in[k]->base == base) return true;
    return false;
}

/* Whether the write may happen where the product stands: nothing reads or writes its state from there on, and the position is
 * known there. If that is in a state, the write that made the version which is read stands before the product, and no other
 * before the cache_write, since the graph reads no old version of one. */
static bool may_write_early(const pm_graph *g, const pm_tensor *product, const pm_tensor *write) {
    const pm_tensor *state = write->base, *position = g->items[write->in[2]->version];
    bool is_leaf = pm_op_get(position->op)->flags & PM_OPF_LEAF;
    if (position->id > product->id && !is_leaf) return false;
    for (uint32_t i = product->id; i < write->id; i++)
        if (reads_storage(g->items[i], state)) return false;
    return true;
}

static bool is_read_elsewhere(const pm_graph *g, const pm_tensor *product, const pm_tensor *write,
                              const pm_cache_columns *c) {
    for (size_t i = 0; i < g->n_outputs; i++) {
        const pm_tensor *x = g->outputs[i].tensor;
        if (x->base == product && shows_columns(product, x, c)) return true;
    }
    for (size_t i = product->id + 1; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        if (t == write || !reads_storage(t, product)) continue;
        for (int k = 0; k < t->n_in; k++)
            if (t->in[k] && t->in[k]->base == product && shows_columns(product, t->in[k], c)) return true;
    }
    return false;
}

/* The kernel knows one shape and one position for all caches of a product. */
static bool suits_first(const pm_graph *g, const pm_cache_plan *p, const pm_tensor *product,
                        const pm_tensor *write, const pm_cache_columns *c) {
    uint32_t id = p->writes_of[product->id][0];
    if (!id) return true;
    const pm_tensor *first = g->items[id - 1];
    pm_cache_columns f;
    return pm_cache_columns_of(product, first->in[1], &f) && pm_same_dims(first, write) &&
           first->in[2] == write->in[2] && f.pitch == c->pitch && f.n_repeats == c->n_repeats;
}

/* Result, rows and cache, each as a whole. */
static bool can_be_bound(const pm_tensor *write, uint64_t most_bytes) {
    const pm_tensor *product = write->in[1]->base;
    return !most_bytes ||
           (pm_extent_bytes(product) <= most_bytes && pm_extent_bytes(write->base) <= most_bytes &&
            (product->op != PM_OP_MATMUL || pm_extent_bytes(product->in[PM_MATMUL_A]) <= most_bytes));
}

static void try_write(const pm_graph *g, const pm_tensor *write, const pm_cache_plan *p) {
    const pm_tensor *x = write->in[1], *product = x->base;
    pm_cache_columns c;
    if (write->n_in > 3 || !is_plain_product(product)) return;
    uint32_t *writes = p->writes_of[product->id];
    if (writes[PM_MAX_CACHES - 1] || !pm_cache_columns_of(product, x, &c)) return;
    if (!suits_first(g, p, product, write, &c) || !may_write_early(g, product, write) ||
        is_read_elsewhere(g, product, write, &c))
        return;
    writes[writes[0] ? 1 : 0] = write->id + 1;
    p->product_of[write->id] = product->id + 1;
}

/* Columns of the product that its caches have; they have none twice, since each would be a reader of the other's. */
static int64_t n_cached(const pm_graph *g, const pm_cache_plan *p, const pm_tensor *product) {
    const uint32_t *writes = p->writes_of[product->id];
    int64_t n = 0;
    for (int i = 0; i < PM_MAX_CACHES && writes[i]; i++) {
        const pm_tensor *x = g->items[writes[i] - 1]->in[1];
        n += x->dims[1] * x->dims[3];
    }
    return n;
}

/* Whether anything reads the product's result in its room. */
static bool is_read(const pm_graph *g, const pm_cache_plan *p, const pm_tensor *product) {
    for (size_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].tensor->base == product) return true;
    for (size_t i = product->id + 1; i < g->n_items; i++)
        if (p->product_of[i] != product->id + 1 && reads_storage(g->items[i], product)) return true;
    return false;
}

pm_status pm_find_caches(const pm_graph *g, bool apart, uint64_t most_bytes, pm_cache_plan *out) {
    *out = (pm_cache_plan){.product_of = pm_calloc(g->n_items, sizeof *out->product_of),
                           .writes_of = pm_calloc(g->n_items, sizeof *out->writes_of),
                           .is_gone = pm_calloc(g->n_items, sizeof *out->is_gone)};
    if (!out->product_of || !out->writes_of || !out->is_gone) return PM_ERR_MEMORY;
    for (size_t i = 0; i < g->n_items && !apart; i++)
        if (g->items[i]->op == PM_OP_CACHE_WRITE && can_be_bound(g->items[i], most_bytes))
            try_write(g, g->items[i], out);
    for (size_t i = 0; i < g->n_items; i++)
        out->is_gone[i] = out->writes_of[i][0] && !is_read(g, out, g->items[i]) &&
                          n_cached(g, out, g->items[i]) == g->items[i]->dims[g->items[i]->rank - 1];
    return PM_OK;
}

void pm_cache_plan_free(pm_cache_plan *p) {
    pm_free(p->product_of);
    pm_free(p->writes_of);
    pm_free(p->is_gone);
    *p = (pm_cache_plan){0};
}
