/* The memory plan: live ranges -> offsets in blocks. plan.c is pure: it sees intervals, not tensors.
 * plan_graph.c makes the intervals of a graph (in-place merges, outputs live to the end, inputs live from the start). */
#ifndef PM_PLAN_H
#define PM_PLAN_H

#include "graph/caches.h"

typedef struct pm_interval {
    uint64_t bytes;       /* 0 is allowed and takes no room */
    uint32_t first, last; /* steps, inclusive: live from the start of `first` to the end of `last` */
} pm_interval;

typedef struct pm_place {
    uint32_t block;
    uint64_t offset; /* bytes; a multiple of the alignment */
} pm_place;

typedef struct pm_plan_limits {
    uint64_t alignment;         /* bytes; a power of two */
    uint64_t max_block_bytes;   /* 0: no limit */
    uint64_t max_binding_bytes; /* the same */
    bool apart; /* each operation has dispatches of its own: no guests, no caches that products write */
} pm_plan_limits;

typedef struct pm_plan_result {
    uint32_t n_blocks;
    uint64_t *block_bytes;      /* pm_alloc'd */
    pm_place *places;           /* pm_alloc'd; one an interval */
    uint64_t arena_bytes;       /* sum of the blocks */
    uint64_t lower_bound_bytes; /* largest sum of (aligned) live bytes at any step */
} pm_plan_result;

/* Places n intervals so that no two that are live at one step overlap. Errors: PM_ERR_MEMORY when an interval is larger
 * than a block may be (the text names interval and sizes) or the host is out of memory. */
pm_status pm_plan_intervals(const pm_interval *intervals, size_t n, const pm_plan_limits *limits,
                            pm_plan_result *out) PM_MUST_USE;
void pm_plan_result_free(pm_plan_result *r);

/* The plan of a graph. Step i is items[i]. Tensors that own no arena storage (views, weights, states, params, consts)
 * have interval -1. Tensors merged in place share one interval. */
typedef struct pm_graph_plan {
    int32_t *interval_of; /* by tensor id */
    uint64_t *
        offset_of; /* by tensor id: bytes from the start of the interval; parts of a concat lie in its room */
    uint32_t *
        slice_of; /* by tensor id: 1 + id of the concat in which it lies as its slice, not densely; 0: none */
    pm_interval *intervals;
    size_t n_intervals;
    uint32_t n_in_place; /* tensors that took their input's room */
    uint32_t n_guests;   /* parts that are made where their concat has them, and are not copied */
    uint64_t alignment;
    pm_cache_plan caches; /* which products write them; results that are gone have interval -1, too */
    pm_plan_result result;
} pm_graph_plan;
pm_status pm_plan_graph(const pm_graph *g, const pm_plan_limits *limits, pm_graph_plan *out) PM_MUST_USE;
void pm_graph_plan_free(pm_graph_plan *p);

/* The lower bound of the graph's plan, without the plan: the largest sum of live bytes at any step. */
pm_status pm_plan_peak(const pm_graph *g, uint64_t alignment, uint64_t *out_bytes) PM_MUST_USE;

/* The graph in an order whose peak is less by at least `worth` bytes (and one part in 64), or as it is. */
pm_status pm_schedule(const pm_graph *g, uint64_t worth, pm_graph **out) PM_MUST_USE;

#endif
