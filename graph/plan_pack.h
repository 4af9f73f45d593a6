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
    uint64_t cut;   /* no item crosses a multiple of it: blocks */
    bool one_block; /* all items together fit one block: no cut is ever met */
    uint64_t bound; /* no packing is smaller: reaching it ends the search */
} pm_pack_job;

/* Sets out_at[i] to the address of item i (0 for an empty one). The same job always gives the same addresses.
 */
pm_status pm_pack(const pm_pack_job *job, uint64_t *out_at) PM_MUST_USE;

/* The order in which best fit places the items (plan_skyline.c), from low to high; packed in it by the lowest gaps, none lies
 * higher. best_first: of the items that fit a place, the first goes there. Adds to *looks what it cost, in looks at an item. */
pm_status pm_skyline_order(const pm_pack_job *job, pm_pack_order best_first, uint32_t *out_order,
                           uint64_t *looks) PM_MUST_USE;

#endif
