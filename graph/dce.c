/* Dead code: drops what no output and no state write needs. Inputs and parameters stay, since they are the
 * interface of the program; writes to a state stay, since the next run reads it. Changes no tensor. */
#include "graph/rebuild.h"

static bool always_lives(const pm_tensor *t) {
    return t->kind == PM_KIND_INPUT || t->kind == PM_KIND_PARAM || pm_op_get(t->op)->flags & PM_OPF_STATE;
}

/* Inputs stand earlier, so that one walk from the end marks all. */
static bool *mark_live(const pm_graph *g) {
    bool *live = pm_calloc(g->n_items, sizeof *live);
    if (!live) return NULL;
    for (size_t i = 0; i < g->n_outputs; i++) live[g->outputs[i].tensor->id] = true;
    for (size_t i = g->n_items; i-- > 0;) {
        const pm_tensor *t = g->items[i];
        if (always_lives(t)) live[i] = true;
        for (int k = 0; live[i] && k < t->n_in; k++)
            if (t->in[k]) live[t->in[k]->id] = true;
    }
    return live;
}

pm_status pm_pass_dce(const pm_graph *g, pm_graph **out) {
    pm_rebuild r;
    *out = NULL;
    bool *live = mark_live(g);
    if (!live) return PM_ERR_MEMORY;
    pm_status s = pm_rebuild_begin(g, &r);
    if (s == PM_OK) {
        for (size_t i = 0; i < g->n_items; i++)
            if (live[i]) (void)pm_rebuild_tensor(&r, g->items[i]);
        s = pm_rebuild_end(&r, out);
    }
    pm_free(live);
    return s;
}
