/* Where the weights of a program lie on a device whose memory is limited: what a dump shows, and in which order a session puts them. The
 * executor goes by what its store holds, which moves in whole blocks, and by the same plan of streaming (stream.h). */
#ifndef PM_PLACEMENT_H
#define PM_PLACEMENT_H

#include "graph/compile.h"
#include "graph/stream.h"

typedef struct pm_placement {
    uint64_t limit_bytes;
    uint64_t fixed_bytes; /* arena, states, constants: on the device in any case */
    uint32_t n_resident, n_on_host;
    uint64_t resident_bytes, host_bytes;
    bool *on_host; /* by external */
    pm_stream stream;
} pm_placement;

/* PM_ERR_MEMORY with the numbers where arena, states and constants alone are too large, and on one without other memory where
 * weights are. caps NULL: a card. */
pm_status pm_placement_make(const pm_program *p, const pm_caps *caps, uint64_t limit_bytes,
                            pm_placement **out) PM_MUST_USE;
void pm_placement_destroy(pm_placement *at); /* accepts NULL */

#endif
