/* Columns of a product's result that go straight to a cache. Where the x of a cache_write is such columns and nothing else
 * reads them, the product's kernel writes them where they belong, and the cache_write has no dispatch of its own. The graph
 * keeps both operations: who reads and who writes a state is said in one place. */
#ifndef PM_CACHES_H
#define PM_CACHES_H

#include "graph/ir.h"

#define PM_MAX_CACHES 2 /* of one product */

/* Column first + g * pitch + i of row b / n_repeats * n_tokens + t is element [b,g,t,i] of x[B,G,T,D]. */
typedef struct pm_cache_columns {
    int64_t first, pitch, n_heads, size, n_tokens;
    int64_t n_repeats; /* B where one sequence is written for all of the batch (beams), else 1 */
} pm_cache_columns;

typedef struct pm_cache_plan {
    uint32_t *product_of; /* by id of a cache_write: 1 + id of the product that does it; 0: none */
    uint32_t (
        *writes_of)[PM_MAX_CACHES]; /* by id of a product: 1 + id of a cache_write that it does; 0: none */
    bool *is_gone;                  /* by id of a product: caches have all of it, its result needs no room */
} pm_cache_plan;

/* With `apart`, products write none, and none is written where more than `most_bytes` (0: no limit) would have to be bound, since
 * each is cut in its own way then. Freed with pm_cache_plan_free on errors, too. */
pm_status pm_find_caches(const pm_graph *g, bool apart, uint64_t most_bytes, pm_cache_plan *out) PM_MUST_USE;
void pm_cache_plan_free(pm_cache_plan *p);

/* Whether x shows columns of the product's rows, each row once and in order, or all of them B times; fills *out. */
bool pm_cache_columns_of(const pm_tensor *product, const pm_tensor *x, pm_cache_columns *out);

#endif
