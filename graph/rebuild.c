/* See rebuild.h. Owns the map and, until pm_rebuild_end, the new graph. */
#include "graph/rebuild.h"

#include <string.h>

pm_status pm_rebuild_begin(const pm_graph *old, pm_rebuild *r) {
    *r = (pm_rebuild){.old = old};
    PM_TRY(pm_graph_create(old->name, &r->graph));
    r->map = pm_calloc(old->n_items, sizeof *r->map);
    if (r->map) return PM_OK;
    pm_graph_destroy(r->graph);
    return PM_ERR_MEMORY;
}

pm_tensor *pm_rebuilt(pm_rebuild *r, const pm_tensor *old) {
    if (!old || r->graph->status != PM_OK) return NULL;
    pm_tensor *t = r->map[old->id];
    if (!t)
        r->graph->status = pm_raise(PM_ERR_OTHER, "pass: %%%u (%s) is used, but the pass did not make it",
                                    old->id, pm_op_get(old->op)->name);
    return t;
}

pm_tensor *pm_rebuild_op(pm_rebuild *r, const pm_tensor *t, pm_op op, int n_in, pm_tensor *const *in,
                         const pm_attrs *attrs) {
    bool leaf = pm_op_get(t->op)->flags & PM_OPF_LEAF && t->kind != PM_KIND_CONST; /* its name is no label */
    r->graph->label = leaf ? NULL : t->name;
    pm_tensor *made = pm_add_op(r->graph, op, n_in, in, attrs);
    r->graph->label = NULL;
    return r->map[t->id] = made;
}

static pm_tensor *rebuild_leaf(pm_rebuild *r, const pm_tensor *t) {
    r->graph->label = t->kind == PM_KIND_CONST ? t->name : NULL;
    pm_tensor *made = pm_add_leaf(r->graph, t->op, t->name, t->dtype, t->rank, t->dims, t->data);
    r->graph->label = NULL;
    return r->map[t->id] = made;
}

pm_tensor *pm_rebuild_tensor(pm_rebuild *r, const pm_tensor *t) {
    pm_tensor *in[PM_MAX_IN];
    uint32_t flags = pm_op_get(t->op)->flags;
    if (flags & PM_OPF_LEAF) return rebuild_leaf(r, t);
    for (int i = 0; i < t->n_in; i++) in[i] = pm_rebuilt(r, t->in[i]);
    pm_tensor *made = pm_rebuild_op(r, t, t->op, t->n_in, in, &t->attrs);
    if (!made || flags & (PM_OPF_VIEW | PM_OPF_STATE)) return made;
    if (!pm_same_dims(made, t) || made->dtype != t->dtype)
        r->graph->status = pm_raise(PM_ERR_OTHER, "pass: the shape of %%%u (%s) has changed with its inputs",
                                    t->id, pm_op_get(t->op)->name);
    else
        r->graph->status = pm_tensor_set_strides(made, t->strides);
    return made;
}

pm_status pm_rebuild_end(pm_rebuild *r, pm_graph **out) {
    for (size_t i = 0; i < r->old->n_outputs; i++)
        pm_output(r->graph, r->old->outputs[i].name, pm_rebuilt(r, r->old->outputs[i].tensor));
    pm_status s = r->graph->status;
    pm_free(r->map);
    r->map = NULL;
    if (s != PM_OK) {
        pm_graph_destroy(r->graph);
        r->graph = NULL;
    }
    *out = r->graph;
    return s;
}

uint32_t *pm_count_uses(const pm_graph *g) {
    uint32_t *uses = pm_calloc(g->n_items, sizeof *uses);
    for (size_t i = 0; uses && i < g->n_items; i++)
        for (int k = 0; k < g->items[i]->n_in; k++)
            if (g->items[i]->in[k]) uses[g->items[i]->in[k]->id]++;
    for (size_t i = 0; uses && i < g->n_outputs; i++) uses[g->outputs[i].tensor->id]++;
    return uses;
}
