/* Which dispatches must wait: ranges touched since the last barrier. Owns no program; used by lower.c. */
#ifndef PM_HAZARDS_H
#define PM_HAZARDS_H

#include "graph/program.h"

typedef struct pm_hazards {
    struct pm_touch *touches; /* since the last barrier */
    size_t n, capacity;
} pm_hazards;

/* Notes what d touches. *out_barrier: whether d must wait for dispatches before it: one of its ranges
 * overlaps a range of theirs, and one of the two is written. */
pm_status pm_hazards_add(pm_hazards *h, const pm_dispatch *d, bool *out_barrier) PM_MUST_USE;
void pm_hazards_free(pm_hazards *h);

#endif
