/* The graph verifier: checks all that ir.h promises, after every pass. A graph that fails here is our own
 * mistake (PM_ERR_OTHER), since builders and the parser refuse bad input before. Trusts nothing that a tensor
 * says about itself: shapes and storage are worked out again from operation, inputs and attributes. */
#include "graph/ops.h"

#include <inttypes.h>
#include <string.h>

static pm_status bad(const pm_tensor *t, const char *what) {
    return pm_raise(PM_ERR_OTHER, "graph verifier: %%%u (%s): %s", t->id, pm_op_get(t->op)->name, what);
}

/* ---- one tensor ---- */

static pm_status check_order(const pm_graph *g, size_t index) {
    const pm_tensor *t = g->items[index];
    const pm_op_info *info = pm_op_get(t->op);
    if (t->id != index) return bad(t, "its id is not its place");
    if (t->n_in < info->min_in || t->n_in > info->max_in)
        return bad(t, "its number of inputs is outside of its operation's");
    for (int i = 0; i < t->n_in; i++) {
        const pm_tensor *x = t->in[i];
        if (!x && i >= info->min_in) continue;
        if (!x) return bad(t, "an input is missing");
        if (x->id >= index || g->items[x->id] != x)
            return bad(t, "an input stands later, or in another graph");
    }
    if (t->base != t &&
        (t->base->id >= index || g->items[t->base->id] != t->base || t->base->base != t->base))
        return bad(t, "its base owns no storage of this graph");
    return PM_OK;
}

static pm_status check_leaf(const pm_tensor *t) {
    pm_kind kind;
    if (!pm_leaf_kind(t->op, &kind) || t->kind != kind) return bad(t, "its kind is not its operation's");
    if (t->dtype != PM_F32 && t->dtype != PM_I32 && t->dtype != PM_BOOL)
        return bad(t, "its type is not f32, i32 or bool");
    PM_TRY(pm_check_dims("graph verifier", t->rank, t->dims));
    if (t->base != t || t->offset != 0 || !pm_is_dense(t))
        return bad(t, "a leaf is not dense in its own storage");
    if (t->kind != PM_KIND_CONST && (!t->name || !*t->name)) return bad(t, "a leaf has no name");
    if ((t->op == PM_OP_CONST) != (t->data != NULL))
        return bad(t, "data without a constant, or a constant without data");
    return PM_OK;
}

/* Shape rule and view rule once more, from the inputs. */
static pm_status check_rules(const pm_tensor *t) {
    const pm_op_info *info = pm_op_get(t->op);
    pm_tensor again = *t;
    if (info->infer(&again) != PM_OK) return bad(t, pm_error_text());
    if (again.dtype != t->dtype || !pm_same_dims(&again, t))
        return bad(t, "its shape is not what its inputs give");
    if (!pm_attrs_equal(&again.attrs, &t->attrs)) return bad(t, "its attributes are not in canonical form");
    if (t->kind != PM_KIND_TEMP) return bad(t, "its kind is not temp");
    if (!pm_set_storage(&again)) return bad(t, "a reshape that strides cannot express");
    if (info->flags & (PM_OPF_VIEW | PM_OPF_STATE)) {
        if (t->base != again.base || t->offset != again.offset ||
            memcmp(t->strides, again.strides, (size_t)t->rank * sizeof t->strides[0]) != 0)
            return bad(t, "it does not lie in its input as its operation says");
    } else if (t->base != t || t->offset != 0 || !pm_can_lie(t, t->strides)) {
        return bad(t, "it is not dense in its own storage, or in an order that its kernel cannot write");
    }
    for (int i = 1; info->flags & PM_OPF_STATE && i < t->n_in; i++)
        if (t->in[i]->base == t->base) return bad(t, "it writes over what it reads");
    return PM_OK;
}

static pm_status check_reach(const pm_tensor *t) {
    int64_t last = t->offset;
    bool negative = t->offset < 0;
    for (int32_t k = 0; k < t->rank; k++) {
        negative |= t->strides[k] < 0;
        last += (t->dims[k] - 1) * t->strides[k];
    }
    return negative || last >= pm_elems(t->base) ? bad(t, "it reaches outside of its base's storage") : PM_OK;
}

static pm_status check_tensor(const pm_graph *g, size_t index) {
    const pm_tensor *t = g->items[index];
    if ((unsigned)t->op >= PM_N_OPS)
        return pm_raise(PM_ERR_OTHER, "graph verifier: %%%zu: operation %d", index, (int)t->op);
    PM_TRY(check_order(g, index));
    PM_TRY(pm_op_get(t->op)->flags & PM_OPF_LEAF ? check_leaf(t) : check_rules(t));
    return check_reach(t);
}

/* ---- states: a write happens in place, so nothing may read an older version afterwards ---- */

typedef struct versions {
    uint32_t *of;     /* by id: id of the state or write whose memory the tensor shows */
    uint32_t *newest; /* by id of the state: newest version */
} versions;

static pm_status check_reads(const pm_tensor *t, const versions *v) {
    for (int i = 0; i < t->n_in; i++) {
        const pm_tensor *x = t->in[i];
        if (!x || x->base->kind != PM_KIND_STATE || v->of[x->id] == v->newest[x->base->id]) continue;
        return pm_raise(
            PM_ERR_OTHER,
            "graph verifier: %%%u (%s): reads version %%%u of state \"%s\", but %%%u has overwritten it",
            t->id, pm_op_get(t->op)->name, v->of[x->id], x->base->name, v->newest[x->base->id]);
    }
    return PM_OK;
}

static pm_status check_states(const pm_graph *g, const versions *v) {
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        uint32_t flags = pm_op_get(t->op)->flags;
        v->of[i] = v->newest[i] = t->id;
        if (flags & PM_OPF_VIEW) {
            v->of[i] = v->of[t->in[0]->id]; /* reads nothing yet */
            continue;
        }
        PM_TRY(check_reads(t, v));
        if (flags & PM_OPF_STATE) v->newest[t->base->id] = t->id;
    }
    return PM_OK;
}

/* ---- the graph ---- */

static pm_status check_outputs(const pm_graph *g) {
    for (size_t i = 0; i < g->n_outputs; i++) {
        const pm_graph_output *o = &g->outputs[i];
        if (!o->tensor || o->tensor->id >= g->n_items || g->items[o->tensor->id] != o->tensor)
            return pm_raise(PM_ERR_OTHER, "graph verifier: output \"%s\" is no tensor of the graph", o->name);
        if (!pm_can_be_output(o->tensor))
            return bad(
                o->tensor,
                "an output is not a dense part of a temp's storage, or of a state's behind its last write");
        for (size_t k = 0; k < i; k++)
            if (strcmp(g->outputs[k].name, o->name) == 0)
                return pm_raise(PM_ERR_OTHER, "graph verifier: output \"%s\" stands twice", o->name);
    }
    return PM_OK;
}

pm_status pm_graph_verify(const pm_graph *g) {
    if (g->status != PM_OK)
        return pm_raise(PM_ERR_OTHER, "graph verifier: \"%s\" was not built without errors", g->name);
    for (size_t i = 0; i < g->n_items; i++) PM_TRY(check_tensor(g, i));
    versions v = {.of = pm_calloc(g->n_items, sizeof *v.of),
                  .newest = pm_calloc(g->n_items, sizeof *v.newest)};
    pm_status s = v.of && v.newest ? check_states(g, &v) : PM_ERR_MEMORY;
    pm_free(v.of);
    pm_free(v.newest);
    return s == PM_OK ? check_outputs(g) : s;
}
