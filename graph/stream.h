/* Streaming: how a program comes by weights that lie in the host's memory. A dispatch reads them in place, over the bus, or from one of
 * two slots of device memory into which they are copied before it, while dispatches before it read the other. A pure function of the
 * program and of where its weights lie, so the executor that records it and the dump that shows it agree; owns no memory of a device.
 *
 * The rule: bytes over the bus. In place a dispatch moves what it loads (pm_dispatch.loads), through a slot what it binds. It takes the
 * slot where that is at most half. Slots take room from weights, whose bytes then cross the bus once more in a run: their size is
 * the one with the least bytes in all, and none when none is less than doing without. */
#ifndef PM_STREAM_H
#define PM_STREAM_H

#include "graph/program.h"

#define PM_STREAM_SLOTS 2

/* How much there is for slots. */
typedef struct pm_stream_room {
    uint64_t have;      /* bytes of each slot that is there already */
    uint64_t most;      /* bytes that each may have, those included */
    uint32_t alignment; /* of bindings */
} pm_stream_room;

/* A range of an external, copied to byte `to` of a slot. */
typedef struct pm_stream_copy {
    pm_range from;
    uint64_t to;
} pm_stream_copy;

/* What one slot holds at a time, for one dispatch or for several with the same weights. Group g has slot g % PM_STREAM_SLOTS. */
typedef struct pm_stream_group {
    uint32_t first_dispatch;
    uint32_t first_copy, n_copies;
} pm_stream_group;

typedef struct pm_stream {
    uint64_t slot_bytes; /* of each; 0: nothing is streamed */
    uint64_t
        wanted_slot_bytes; /* as it would be with room for any; larger than slot_bytes: some dispatches read in place for want of it */
    uint64_t copied_bytes;   /* in one run */
    uint64_t in_place_bytes; /* loaded over the bus in one run */
    uint32_t n_groups, n_copies;
    pm_stream_group *groups;
    pm_stream_copy *copies;
    uint32_t *group_of; /* by dispatch: 1 + group; 0: none */
} pm_stream;

/* What pm_caps.stream_part_bytes is on a device of so much memory once weights lie outside of it: slots of this size take a
 * sixteenth of it at most, and copies as long as this are long enough to hide behind products. */
uint64_t pm_stream_part_bytes(uint64_t memory_bytes);

/* on_host: by external. Freed with pm_stream_free, which accepts zeros. */
pm_status pm_stream_plan(const pm_program *p, const bool *on_host, const pm_stream_room *room,
                         pm_stream *out) PM_MUST_USE;
void pm_stream_free(pm_stream *s);
/* Where dispatch i reads binding b from a slot; NULL: from where it lies. */
const pm_stream_copy *pm_stream_find(const pm_stream *s, const pm_program *p, uint32_t i, uint32_t b);

#endif
