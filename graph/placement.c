/* See placement.h. Weights stay on the device in their turn while they fit beside what must be there; the slots take their room
 * from the last of them, until they suffice for what is then on the host. */
#include "graph/placement.h"

#include <inttypes.h>

#define SMALL_BYTES 65536u

int pm_weight_turn(uint64_t bytes, bool looked_up) {
    return looked_up ? 2 : bytes > SMALL_BYTES;
}

static bool is_weight(const pm_program *p, uint32_t e) {
    return p->externals[e].kind == PM_EXTERNAL_WEIGHT;
}

/* When each external has its turn; weights that gathers alone read are looked up. */
static pm_status find_turns(const pm_program *p, int *turn) {
    bool *looked_up = pm_calloc(p->n_externals, sizeof *looked_up),
         *read = pm_calloc(p->n_externals, sizeof *read);
    for (uint32_t i = 0; looked_up && read && i < p->n_dispatches; i++) {
        const pm_dispatch *d = &p->dispatches[i];
        for (uint32_t b = 0; b < d->n_bindings; b++) {
            if (d->bindings[b].slot < p->n_blocks || d->unused >> b & 1) continue;
            const uint32_t e = d->bindings[b].slot - p->n_blocks;
            *(d->kernel == PM_KERNEL_GATHER && b == 0 ? &looked_up[e] : &read[e]) = true;
        }
    }
    for (uint32_t e = 0; looked_up && read && e < p->n_externals; e++)
        turn[e] = pm_weight_turn(p->externals[e].bytes, looked_up[e] && !read[e]);
    const pm_status s = looked_up && read ? PM_OK : PM_ERR_MEMORY;
    pm_free(looked_up);
    pm_free(read);
    return s;
}

static void fill(const pm_program *p, const int *turn, uint64_t alignment, uint64_t room, pm_placement *at) {
    at->n_resident = at->n_on_host = 0;
    at->resident_bytes = at->host_bytes = 0;
    for (int now = 0; now < 3; now++)
        for (uint32_t e = 0; e < p->n_externals; e++) {
            uint64_t bytes = p->externals[e].bytes, takes = pm_align_up(bytes, alignment);
            if (!is_weight(p, e) || turn[e] != now) continue;
            at->on_host[e] = takes > room;
            room -= at->on_host[e] ? 0 : takes;
            at->n_on_host += at->on_host[e];
            at->n_resident += !at->on_host[e];
            *(at->on_host[e] ? &at->host_bytes : &at->resident_bytes) += bytes;
        }
}

static pm_status place(const pm_program *p, const pm_caps *caps, const int *turn, pm_placement *at) {
    const uint32_t alignment = caps && caps->binding_alignment ? caps->binding_alignment : 256;
    const uint64_t room = at->limit_bytes - at->fixed_bytes;
    uint64_t have = 0, most = !caps || pm_caps_has_bus(caps) ? room / PM_STREAM_SLOTS : 0;
    if (caps && caps->max_block_bytes && most > caps->max_block_bytes) most = caps->max_block_bytes;
    for (;;) {
        fill(p, turn, alignment, room - PM_STREAM_SLOTS * have, at);
        pm_stream_free(&at->stream);
        PM_TRY(pm_stream_plan(p, at->on_host, &(pm_stream_room){have, most, alignment}, &at->stream));
        if (at->stream.slot_bytes <= have) break;
        have = at->stream.slot_bytes;
    }
    if (caps && !caps->vulkan && at->host_bytes)
        return pm_raise(PM_ERR_MEMORY,
                        "placement: %" PRIu64 " bytes of weights have no room beside %" PRIu64
                        " of intermediate results, states and constants within %" PRIu64
                        " bytes, and %s has no other memory",
                        at->host_bytes, at->fixed_bytes, at->limit_bytes, caps->name);
    return PM_OK;
}

pm_status pm_placement_make(const pm_program *p, const pm_caps *caps, uint64_t limit_bytes,
                            pm_placement **out) {
    pm_placement *at = pm_calloc(1, sizeof *at);
    int *turn = pm_calloc(p->n_externals, sizeof *turn);
    pm_status s = PM_ERR_MEMORY;
    *out = NULL;
    if (!at || !turn) goto fail;
    at->on_host = pm_calloc(p->n_externals, sizeof *at->on_host);
    if (!at->on_host) goto fail;
    at->limit_bytes = limit_bytes;
    at->fixed_bytes = p->arena_bytes + p->constants_bytes + pm_program_external_bytes(p, PM_EXTERNAL_STATE);
    PM_GOTO(find_turns(p, turn));
    if (at->fixed_bytes > limit_bytes)
        s = pm_raise(PM_ERR_MEMORY,
                     "placement: intermediate results of %" PRIu64 " bytes, states of %" PRIu64
                     " and constants of %" PRIu64 " must be on the device, at most %" PRIu64 " are allowed",
                     p->arena_bytes, pm_program_external_bytes(p, PM_EXTERNAL_STATE), p->constants_bytes,
                     limit_bytes);
    if (s == PM_OK) s = place(p, caps, turn, at);
fail:
    pm_free(turn);
    if (s == PM_OK)
        *out = at;
    else
        pm_placement_destroy(at);
    return s;
}

void pm_placement_destroy(pm_placement *at) {
    if (!at) return;
    pm_stream_free(&at->stream);
    pm_free(at->on_host);
    pm_free(at);
}
