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
    pm_free(g->named);
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

uint64_t pm_extent_bytes(const pm_tensor *t) {
    uint64_t last = 0;
    for (int32_t k = 0; k < t->rank; k++) last += (uint64_t)(t->dims[k] - 1) * (uint64_t)t->strides[k];
    return 4 * (last + 1);
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

/* A view shows what its input shows; a write makes a new version of its state. */
static void set_version(pm_tensor *t) {
    uint32_t flags = pm_op_get(t->op)->flags;
    t->version = flags & PM_OPF_VIEW ? t->in[0]->version : t->id;
    if (flags & PM_OPF_STATE || t->kind == PM_KIND_STATE) t->base->newest = t->id;
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
    set_version(copy);
    return g->items[g->n_items++] = copy;
}

static pm_status check_inputs(const pm_graph *g, const pm_op_info *info, int n_in, pm_tensor *const *in) {
    if (n_in < info->min_in || n_in > info->max_in)
        return pm_raise(PM_ERR_USAGE, "%s: %d inputs, %d to %d were expected", info->name, n_in, info->min_in,
                        info->max_in);
    for (int i = 0; i < n_in; i++) {
        if (!in[i] && (i < info->min_in || info->flags & PM_OPF_LIST))
            return pm_raise(PM_ERR_USAGE, "%s: input %d is missing, a tensor was expected", info->name, i);
        if (in[i] && (in[i]->id >= g->n_items || g->items[in[i]->id] != in[i]))
            return pm_raise(PM_ERR_USAGE,
                            "%s: input %d is a tensor of another graph, one of \"%s\" was expected",
                            info->name, i, g->name);
        if (in[i] && in[i]->base->kind == PM_KIND_STATE && in[i]->version != in[i]->base->newest &&
            !(info->flags & PM_OPF_VIEW))
            return pm_raise(
                PM_ERR_USAGE,
                "%s: input %d shows version %%%u of state \"%s\", but %%%u has overwritten it, its result was expected",
                info->name, i, in[i]->version, in[i]->base->name, in[i]->base->newest);
    }
    return PM_OK;
}

/* A dense copy in place of input i; a view of it can be said by strides. */
static bool use_copy(pm_graph *g, pm_tensor *t, int i) {
    t->in[i] = pm_add_op(g, PM_OP_COPY, 1, &t->in[i], NULL);
    return t->in[i] && pm_set_storage(t);
}

pm_tensor *pm_add_op(pm_graph *g, pm_op op, int n_in, pm_tensor *const *in, const pm_attrs *attrs) {
    if (g->status != PM_OK) return NULL;
    const pm_op_info *info = (unsigned)op < PM_N_OPS ? pm_op_get(op) : NULL;
    if (!info || info->flags & PM_OPF_LEAF)
        return fail(g,
                    pm_raise(PM_ERR_USAGE, "operation %d: an operation with inputs was expected", (int)op));
    while (n_in > info->min_in && n_in <= info->max_in && !in[n_in - 1] && !(info->flags & PM_OPF_LIST))
        n_in--;
    pm_status s = check_inputs(g, info, n_in, in);
    if (s != PM_OK) return fail(g, s);

    pm_tensor t = {.op = op, .kind = PM_KIND_TEMP, .n_in = n_in};
    for (int i = 0; i < n_in; i++) t.in[i] = in[i];
    if (attrs) t.attrs = *attrs;
    s = info->infer(&t);
    if (s != PM_OK) return fail(g, s);
    if (!pm_set_storage(&t) && !use_copy(g, &t, 0)) return NULL;
    /* What is written must not be read meanwhile. */
    for (int i = 1; info->flags & PM_OPF_STATE && i < n_in; i++)
        if (t.in[i]->base == t.base && !use_copy(g, &t, i)) return NULL;
    return append(g, &t, g->label);
}

pm_status pm_tensor_set_strides(pm_tensor *t, const int64_t *strides) {
    const pm_op_info *info = pm_op_get(t->op);
    if (info->flags & (PM_OPF_LEAF | PM_OPF_VIEW | PM_OPF_STATE) || !pm_can_lie(t, strides))
        return pm_raise(
            PM_ERR_USAGE,
            "%s: strides %s for %s, a dense order of its own storage that its kernel can write was "
            "expected",
            info->name, pm_shape_of(t->rank, strides).s, pm_shape(t).s);
    memcpy(t->strides, strides, (size_t)t->rank * sizeof strides[0]);
    return PM_OK;
}

/* ---- leaves ---- */

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

/* Weights and states share one store, and so their names; all others have names of their kind. */
static pm_kind name_space(pm_kind kind) {
    return kind == PM_KIND_STATE ? PM_KIND_WEIGHT : kind;
}

/* Where the leaf of this name stands or belongs. */
static pm_tensor **slot_of(const pm_graph *g, pm_kind kind, const char *name) {
    uint64_t hash = 14695981039346656037u + (uint64_t)name_space(kind);
    for (const char *c = name; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u; /* FNV-1a */
    for (size_t at = (size_t)(hash ^ hash >> 32);; at++) {
        pm_tensor **slot = &g->named[at & (g->n_slots - 1)];
        if (!*slot || (name_space((*slot)->kind) == name_space(kind) && strcmp((*slot)->name, name) == 0))
            return slot;
    }
}

/* Keeps half of the slots empty. */
static pm_status make_room_for_name(pm_graph *g) {
    const pm_graph was = *g;
    if (g->n_slots / 2 > g->n_named) return PM_OK;
    size_t n = g->n_slots ? 2 * g->n_slots : 64;
    pm_tensor **named = pm_calloc(n, sizeof *named);
    if (!named) return PM_ERR_MEMORY;
    g->named = named;
    g->n_slots = n;
    for (size_t i = 0; i < was.n_slots; i++)
        if (was.named[i]) *slot_of(g, was.named[i]->kind, was.named[i]->name) = was.named[i];
    pm_free(was.named);
    return PM_OK;
}

/* A name stands for one thing: the same leaf again gives the first one. */
static pm_tensor *add_named(pm_graph *g, const pm_tensor *t, const char *name) {
    pm_status s = make_room_for_name(g);
    if (s != PM_OK) return fail(g, s);
    pm_tensor **slot = slot_of(g, t->kind, name), *x = *slot;
    if (x && (x->kind != t->kind || x->dtype != t->dtype || !pm_same_dims(x, t)))
        return fail(g, pm_raise(PM_ERR_USAGE, "%s \"%s\": %s%s, but it was %s %s%s before",
                                pm_op_get(t->op)->name, name, pm_dtype_name(t->dtype), pm_shape(t).s,
                                pm_op_get(x->op)->name, pm_dtype_name(x->dtype), pm_shape(x).s));
    if (x) return x;
    *slot = append(g, t, name);
    g->n_named += *slot != NULL;
    return *slot;
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
    pm_tensor t = {.op = op, .dtype = type};
    if (!pm_leaf_kind(op, &t.kind))
        return fail(g, pm_raise(PM_ERR_USAGE, "operation %d: a leaf was expected", (int)op));
    pm_status s = pm_check_dims(name ? name : pm_op_get(op)->name, rank, dims);
    if (s != PM_OK) return fail(g, s);
    t.rank = rank;
    for (int k = 0; k < rank; k++) t.dims[k] = dims[k];
    s = check_leaf(&t, name, data);
    if (s != PM_OK) return fail(g, s);
    pm_dense_strides(t.rank, t.dims, t.strides);
    if (has_name(&t)) return add_named(g, &t, name);
    if (op == PM_OP_CONST && !(t.data = copy_data(g, &t, data))) return fail(g, PM_ERR_MEMORY);
    return append(g, &t, g->label);
}

/* ---- outputs ---- */

bool pm_can_be_output(const pm_tensor *t) {
    bool stays =
        t->base->kind == PM_KIND_TEMP ||
        (t->base->kind == PM_KIND_STATE && t->version == t->base->newest); /* read behind the last write */
    return stays && pm_is_dense(t);
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
