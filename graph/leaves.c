/* The inputs, weights and states of a graph, told to those who do not see tensors (compile.h). Only reads. */
#include "graph/compile.h"
#include "graph/ir.h"

#include <string.h>

static bool is_listed(const pm_tensor *t) {
    return t->op == PM_OP_INPUT || t->op == PM_OP_WEIGHT || t->op == PM_OP_STATE;
}

/* Ids choose rows of a table: at most as many as it has. bounds: by tensor, 0 where none is known yet. */
static void bound_ids(const pm_tensor *t, int64_t *bounds) {
    bool gathers = t->op == PM_OP_GATHER;
    if (!gathers && t->op != PM_OP_GROUPED_MATMUL) return;
    const pm_tensor *ids = t->in[gathers ? 1 : PM_GROUPED_IDS], *table = t->in[gathers ? 0 : PM_GROUPED_W];
    int64_t *bound = &bounds[ids->base->id];
    if (*bound == 0 || table->dims[0] < *bound) *bound = table->dims[0];
}

static pm_status describe(const pm_tensor *t, pm_arena *arena, pm_given_leaf *out) {
    *out = (pm_given_leaf){.name = pm_arena_strdup(arena, t->name),
                           .kind = t->op == PM_OP_INPUT    ? PM_GIVEN_INPUT
                                   : t->op == PM_OP_WEIGHT ? PM_GIVEN_WEIGHT
                                                           : PM_GIVEN_STATE,
                           .dtype = t->dtype,
                           .rank = t->rank,
                           .n_elems = (uint64_t)pm_elems(t)};
    memcpy(out->dims, t->dims, sizeof out->dims);
    return out->name ? PM_OK : PM_ERR_MEMORY;
}

pm_status pm_graph_leaves(const pm_graph *g, pm_arena *arena, pm_given_leaf **out_leaves, size_t *out_n) {
    size_t n = 0;
    *out_n = 0;
    for (size_t i = 0; i < g->n_items; i++) n += is_listed(g->items[i]);
    *out_leaves = pm_arena_alloc(arena, (n + 1) * sizeof **out_leaves);
    int64_t *bounds = pm_calloc(g->n_items, sizeof *bounds);
    pm_status s = *out_leaves && bounds ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < g->n_items; i++) bound_ids(g->items[i], bounds);
    for (size_t i = 0; s == PM_OK && i < g->n_items; i++) {
        if (!is_listed(g->items[i])) continue;
        pm_given_leaf *leaf = &(*out_leaves)[(*out_n)++];
        s = describe(g->items[i], arena, leaf);
        leaf->n_ids = bounds[i];
    }
    pm_free(bounds);
    return s;
}
