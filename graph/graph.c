/* The graph itself: its memory, its tensors in order, its outputs. Owns pm_add_op and pm_add_leaf, the only
 * two ways in which tensors come to be. Invariant: `items` is in a valid order of execution, and every tensor
 * in it has passed its shape rule. After the first error (g->status) nothing is added any more. */
#include "graph/ops.h"

#include <inttypes.h>
#include <string.h>

pm_status pm_graph_create(const char *name, pm_graph **out_graph) {
    *out_graph = NULL;
    pm_graph *g = pm_calloc(1, sizeof *g);
    if (!g) return PM_ERR_MEMORY;
    g->name = pm_arena_strdup(&g->arena, name ? name : "");
    if (!g->name) {
        pm_graph_destroy(g);
        return PM_ERR_MEMORY;
    }
    *out_graph = g;
    return PM_OK;
}

void pm_graph_destroy(pm_graph *g) {
    if (!g) return;
    pm_arena_free(&g->arena);
    pm_free(g->items);
    pm_free(g->outputs);
    pm_free(g);
}

pm_status pm_graph_status(const pm_graph *g) {
    return g->status;
}

/* ---- questions about tensors ---- */

int pm_tensor_rank(const pm_tensor *t) {
    return t ? t->rank : 0;
}

int64_t pm_tensor_dim(const pm_tensor *t, int axis) {
    if (!t) return 0;
    if (axis < 0) axis += t->rank;
    return axis < 0 || axis >= t->rank ? 0 : t->dims[axis];
}

int64_t pm_elems(const pm_tensor *t) {
    int64_t n = 1;
    for (int32_t k = 0; k < t->rank; k++) n *= t->dims[k];
    return n;
}

uint64_t pm_storage_bytes(const pm_tensor *base) {
    return (uint64_t)pm_elems(base) * pm_dtype_bytes(base->dtype);
}

bool pm_same_dims(const pm_tensor *a, const pm_tensor *b) {
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

bool pm_is_const_scalar(const pm_tensor *t, float *out_value) {
    if (t->base->op != PM_OP_CONST) return false;
    for (int32_t k = 0; k < t->rank; k++)
        if (t->dims[k] != 1 && t->strides[k] != 0) return false;
    const char *at = (const char *)t->base->data + (size_t)t->offset * 4;
    int32_t word;
    if (t->dtype == PM_F32) {
        memcpy(out_value, at, 4);
        return true;
    }
    memcpy(&word, at, 4);
    *out_value = (float)word;
    return word >= -(1 << 24) && word <= 1 << 24; /* a larger integer has no float of its own */
}

/* ---- adding ---- */

static pm_tensor *fail(pm_graph *g, pm_status status) {
    if (g->status == PM_OK) g->status = status;
    return NULL;
}

/* The text in the graph's memory; neighbours mostly share one label. */
static const char *intern(pm_graph *g, const char *text) {
    const char *last = g->n_items ? g->items[g->n_items - 1]->name : NULL;
    return last && strcmp(last, text) == 0 ? last : pm_arena_strdup(&g->arena, text);
}

/* Copies *t to the graph. */
static pm_tensor *append(pm_graph *g, const pm_tensor *t, const char *name) {
    void *items = g->items;
    pm_tensor *copy = pm_arena_alloc(&g->arena, sizeof *copy);
    if (!copy) return fail(g, PM_ERR_MEMORY);
    pm_status s = pm_grow(&items, &g->items_capacity, g->n_items + 1, sizeof g->items[0]);
    g->items = items;
    if (s != PM_OK) return fail(g, s);
    *copy = *t;
    if (!copy->base) copy->base = copy;
    if (name && !(copy->name = intern(g, name))) return fail(g, PM_ERR_MEMORY);
    copy->id = (uint32_t)g->n_items;
    return g->items[g->n_items++] = copy;
}

static pm_status check_inputs(const pm_graph *g, const pm_op_info *info, int n_in, pm_tensor *const *in) {
    if (n_in < info->min_in || n_in > info->max_in)
        return pm_raise(PM_ERR_USAGE, "%s: %d inputs, %d to %d were expected", info->name, n_in, info->min_in,
                        info->max_in);
    for (int i = 0; i < n_in; i++) {
        if (!in[i] && i < info->min_in)
            return pm_raise(PM_ERR_USAGE, "%s: input %d is missing, a tensor was expected", info->name, i);
        if (in[i] && (in[i]->id >= g->n_items || g->items[in[i]->id] != in[i]))
            return pm_raise(PM_ERR_USAGE,
                            "%s: input %d is a tensor of another graph, one of \"%s\" was expected",
                            info->name, i, g->name);
    }
    return PM_OK;
}

pm_tensor *pm_add_op(pm_graph *g, pm_op op, int n_in, pm_tensor *const *in, const pm_attrs *attrs) {
    if (g->status != PM_OK) return NULL;
    const pm_op_info *info = (unsigned)op < PM_N_OPS ? pm_op_get(op) : NULL;
    if (!info || info->flags & PM_OPF_LEAF)
        return fail(g,
                    pm_raise(PM_ERR_USAGE, "operation %d: an operation with inputs was expected", (int)op));
    while (n_in > info->min_in && n_in <= info->max_in && !in[n_in - 1]) n_in--;
    pm_status s = check_inputs(g, info, n_in, in);
    if (s != PM_OK) return fail(g, s);

    pm_tensor t = {.op = op, .kind = PM_KIND_TEMP, .n_in = n_in};
    for (int i = 0; i < n_in; i++) t.in[i] = in[i];
    if (attrs) t.attrs = *attrs;
    s = info->infer(&t);
    if (s != PM_OK) return fail(g, s);
    if (!pm_set_storage(&t)) {
        t.in[0] = pm_add_op(g, PM_OP_COPY, 1, &t.in[0], NULL);
        if (!t.in[0]) return NULL;
        (void)pm_set_storage(&t); /* a dense tensor takes any shape */
    }
    return append(g, &t, g->label);
}

pm_status pm_tensor_set_strides(pm_tensor *t, const int64_t *strides) {
    const pm_op_info *info = pm_op_get(t->op);
    if (info->flags & (PM_OPF_LEAF | PM_OPF_VIEW | PM_OPF_STATE) ||
        !pm_is_dense_in_some_order(t->rank, t->dims, strides))
        return pm_raise(PM_ERR_USAGE, "%s: strides %s for %s, a dense order of its own storage was expected",
                        info->name, pm_shape_of(t->rank, strides).s, pm_shape(t).s);
    memcpy(t->strides, strides, (size_t)t->rank * sizeof strides[0]);
    return PM_OK;
}

/* ---- leaves ---- */

static const struct {
    pm_op op;
    pm_kind kind;
} leaf_kinds[] = {
    {PM_OP_INPUT, PM_KIND_INPUT}, {PM_OP_WEIGHT, PM_KIND_WEIGHT}, {PM_OP_STATE, PM_KIND_STATE},
    {PM_OP_PARAM, PM_KIND_PARAM}, {PM_OP_CONST, PM_KIND_CONST},   {PM_OP_IOTA, PM_KIND_CONST},
};

static bool has_name(const pm_tensor *leaf) {
    return leaf->kind != PM_KIND_CONST;
}

static pm_status check_leaf(const pm_tensor *t, const char *name, const void *data) {
    const char *what = pm_op_get(t->op)->name;
    if (has_name(t) && (!name || !*name))
        return pm_raise(PM_ERR_USAGE, "%s: no name, one was expected", what);
    if (t->dtype != PM_F32 && t->dtype != PM_I32 && t->dtype != PM_BOOL)
        return pm_raise(PM_ERR_USAGE, "%s \"%s\": type %s, f32, i32 or bool was expected", what,
                        name ? name : "", pm_dtype_name(t->dtype));
    if ((t->op == PM_OP_PARAM && (t->rank != 0 || t->dtype != PM_I32)) ||
        (t->op == PM_OP_IOTA && (t->rank != 1 || t->dtype != PM_I32)))
        return pm_raise(PM_ERR_USAGE, "%s \"%s\": %s%s, i32 of rank %d was expected", what, name ? name : "",
                        pm_dtype_name(t->dtype), pm_shape(t).s, t->op == PM_OP_IOTA);
    if (t->op == PM_OP_CONST && !data) return pm_raise(PM_ERR_USAGE, "const %s: no data", pm_shape(t).s);
    return PM_OK;
}

/* A name stands for one thing: the same leaf again gives the first one; weights and states share one store.
 */
static pm_status find_leaf(const pm_graph *g, const pm_tensor *t, const char *name, pm_tensor **out_leaf) {
    bool stored = t->kind == PM_KIND_WEIGHT || t->kind == PM_KIND_STATE;
    for (size_t i = 0; i < g->n_items; i++) {
        pm_tensor *x = g->items[i];
        bool rival = stored && (x->kind == PM_KIND_WEIGHT || x->kind == PM_KIND_STATE);
        if ((x->kind != t->kind && !rival) || strcmp(x->name, name) != 0) continue;
        if (x->kind != t->kind || x->dtype != t->dtype || !pm_same_dims(x, t))
            return pm_raise(PM_ERR_USAGE, "%s \"%s\": %s%s, but it was %s %s%s before",
                            pm_op_get(t->op)->name, name, pm_dtype_name(t->dtype), pm_shape(t).s,
                            pm_op_get(x->op)->name, pm_dtype_name(x->dtype), pm_shape(x).s);
        *out_leaf = x;
        return PM_OK;
    }
    return PM_OK;
}

/* Bools are kept as 0 and 1, so that equal constants have equal bytes. */
static const void *copy_data(pm_graph *g, const pm_tensor *t, const void *data) {
    size_t n = (size_t)pm_elems(t);
    uint32_t *copy = pm_arena_alloc(&g->arena, n * sizeof *copy);
    if (!copy) return NULL;
    memcpy(copy, data, n * sizeof *copy);
    for (size_t i = 0; t->dtype == PM_BOOL && i < n; i++) copy[i] = copy[i] != 0;
    return copy;
}

pm_tensor *pm_add_leaf(pm_graph *g, pm_op op, const char *name, pm_dtype type, int rank, const int64_t *dims,
                       const void *data) {
    if (g->status != PM_OK) return NULL;
    size_t row = 0;
    while (row < PM_COUNT(leaf_kinds) && leaf_kinds[row].op != op) row++;
    if (row == PM_COUNT(leaf_kinds))
        return fail(g, pm_raise(PM_ERR_USAGE, "operation %d: a leaf was expected", (int)op));
    pm_tensor t = {.op = op, .kind = leaf_kinds[row].kind, .dtype = type};
    pm_status s = pm_check_dims(name ? name : pm_op_get(op)->name, rank, dims);
    if (s != PM_OK) return fail(g, s);
    t.rank = rank;
    for (int k = 0; k < rank; k++) t.dims[k] = dims[k];
    s = check_leaf(&t, name, data);
    if (s != PM_OK) return fail(g, s);
    pm_tensor *same = NULL;
    s = has_name(&t) ? find_leaf(g, &t, name, &same) : PM_OK;
    if (s != PM_OK) return fail(g, s);
    if (same) return same;
    pm_dense_strides(t.rank, t.dims, t.strides);
    if (op == PM_OP_CONST && !(t.data = copy_data(g, &t, data))) return fail(g, PM_ERR_MEMORY);
    return append(g, &t, has_name(&t) ? name : g->label);
}

/* ---- outputs ---- */

bool pm_can_be_output(const pm_tensor *t) {
    return t->base->kind == PM_KIND_TEMP && pm_is_dense(t);
}

void pm_output(pm_graph *g, const char *name, pm_tensor *t) {
    if (g->status != PM_OK) return;
    void *outputs = g->outputs;
    pm_status s = PM_OK;
    if (!t || !name || !*name || t->id >= g->n_items || g->items[t->id] != t)
        s = pm_raise(PM_ERR_USAGE, "output \"%s\": a name and a tensor of \"%s\" were expected",
                     name ? name : "", g->name);
    for (size_t i = 0; s == PM_OK && i < g->n_outputs; i++)
        if (strcmp(g->outputs[i].name, name) == 0)
            s = pm_raise(PM_ERR_USAGE, "output \"%s\": stands twice, one of a name was expected", name);
    if (s != PM_OK) return (void)fail(g, s);
    if (!pm_can_be_output(t)) t = pm_add_op(g, PM_OP_COPY, 1, &t, NULL);
    if (!t) return;
    s = pm_grow(&outputs, &g->outputs_capacity, g->n_outputs + 1, sizeof g->outputs[0]);
    g->outputs = outputs;
    char *copy = s == PM_OK ? pm_arena_strdup(&g->arena, name) : NULL;
    if (!copy) return (void)fail(g, PM_ERR_MEMORY);
    g->outputs[g->n_outputs++] = (pm_graph_output){.name = copy, .tensor = t};
}
