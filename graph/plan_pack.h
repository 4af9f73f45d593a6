/* Packing: addresses for items of known size and life, so that no two that live at the same time overlap and
 * the highest address in use is low. Used by plan.c alone, which prepares the items and reads the result. */
#ifndef PM_PLAN_PACK_H
#define PM_PLAN_PACK_H

#include "graph/base.h"

typedef struct pm_pack_item {
    uint64_t bytes;       /* aligned */
    uint64_t breadth;     /* the largest live sum while it lives */
    uint32_t first, last; /* steps, both included */
} pm_pack_item;

/* What items are sorted by: larger ones first, then the lower index. */
typedef struct pm_pack_key {
    uint64_t major, minor;
    uint32_t index;
} pm_pack_key;
int pm_compare_pack_keys(const void *a, const void *b);
typedef pm_pack_key (*pm_pack_order)(const pm_pack_item *x); /* sets no index */

typedef struct pm_pack_job {
    const pm_pack_item *items;
    size_t n; /* at least 1 */
    uint32_t n_steps;
    uint64_t alignment; /* of addresses; sizes and cut are multiples of it */
    uint64_t cut;       /* no item crosses a multiple of it: blocks */
    bool one_block;     /* all items together fit one block: no cut is ever met */
    uint64_t bound;     /* no packing is smaller: reaching it ends the search */
} pm_pack_job;

/* Sets out_at[i] to the address of item i (0 for an empty one). The same job always gives the same addresses.
 */
pm_status pm_pack(const pm_pack_job *job, uint64_t *out_at) PM_MUST_USE;

/* Best fit for a job of one block (plan_skyline.c): addresses by item, and the order, from low to high, in which it placed them; packed in it
 * by the lowest gaps, none lies higher. best_first: of the items that fit a place, the first goes there. Adds to *looks what it
 * cost, in looks at an item. */
pm_status pm_skyline_pack(const pm_pack_job *job, pm_pack_order best_first, uint32_t *out_order,
                          uint64_t *out_at, uint64_t *looks) PM_MUST_USE;

/* Lowers the top of a packing, addresses by item, while a budget lasts, counted in looks at an item (plan_repair.c). It stays as it is where
 * so many items live together that this would take too much memory. */
pm_status pm_repair_packing(const pm_pack_job *job, uint64_t *at, uint64_t budget) PM_MUST_USE;

#endif
