/* A pass as a rebuild: every pass reads one graph and makes another, with a map from old tensors to new ones.
 *
 *     pm_rebuild r;
 *     PM_TRY(pm_rebuild_begin(old, &r));
 *     for (size_t i = 0; i < old->n_items; i++) {
 *         const pm_tensor *t = old->items[i];
 *         if (dead(t)) continue;                       // no new tensor; nobody may ask for it later
 *         if (same_as(t)) r.map[t->id] = r.map[same_as(t)->id];
 *         else if (pattern(t)) r.map[t->id] = pm_rebuild_op(&r, t, PM_OP_GELU, 1, (pm_tensor
 * *[]){pm_rebuilt(&r, x)}, NULL); else pm_rebuild_tensor(&r, t);               // as it was, inputs mapped
 *     }
 *     return pm_rebuild_end(&r, out);                  // adds the outputs; frees all and forwards the error
 * if any failed
 *
 * Builder functions (pm_add_op, pm_mul, ...) may be called on r.graph in between: like them, these functions
 * return NULL after the first error, so that a pass checks nothing but pm_rebuild_end. */
#ifndef PM_REBUILD_H
#define PM_REBUILD_H

#include "graph/ir.h"

typedef struct pm_rebuild {
    const pm_graph *old;
    pm_graph *graph; /* the new one */
    pm_tensor **map; /* by old id; NULL: not made */
} pm_rebuild;

pm_status pm_rebuild_begin(const pm_graph *old,
                           pm_rebuild *r) PM_MUST_USE; /* a failure leaves nothing to free */

/* The new tensor of an old one; NULL for NULL, and (with an error set) for one that was not made. */
pm_tensor *pm_rebuilt(pm_rebuild *r, const pm_tensor *old);

/* Copies one tensor: operation, attributes, label, data, the layout of a tensor that owns its storage; inputs
 * mapped. Sets the map. */
pm_tensor *pm_rebuild_tensor(pm_rebuild *r, const pm_tensor *t);

/* Adds an operation in place of `t`: as pm_add_op on r->graph, with t's label. Sets the map. */
pm_tensor *pm_rebuild_op(pm_rebuild *r, const pm_tensor *t, pm_op op, int n_in, pm_tensor *const *in,
                         const pm_attrs *attrs);

/* Adds the outputs of the old graph and gives the new one, or frees it and forwards the first error. */
pm_status pm_rebuild_end(pm_rebuild *r, pm_graph **out) PM_MUST_USE;

/* How many inputs of tensors and outputs of the graph name each tensor (by id; pm_free). NULL: out of memory.
 */
uint32_t *pm_count_uses(const pm_graph *g);

#endif
