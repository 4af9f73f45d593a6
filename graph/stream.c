/* See stream.h. Invariant: a group's dispatches stand between those of its neighbours, so a slot is free for group g + 1 when the
 * first dispatch of group g begins. */
#include "graph/stream.h"

#include <stdlib.h>

#define LEAST_PASSES 2 /* over a weight's bytes, for which a copy pays */

#define MOST_PART_BYTES (64u << 20)
#define PARTS_OF_MEMORY 32

uint64_t pm_stream_part_bytes(uint64_t memory_bytes) {
    uint64_t bytes = memory_bytes / PARTS_OF_MEMORY + 1;
    return bytes < MOST_PART_BYTES ? bytes : MOST_PART_BYTES;
}

/* What a dispatch would have in a slot. */
typedef struct share {
    pm_stream_copy copies[PM_MAX_BINDINGS];
    uint32_t n;
    uint64_t bytes; /* of the slot */
    uint64_t saved; /* bytes that need not cross the bus */
} share;

static bool lies_on_host(const pm_program *p, const bool *on_host, const pm_dispatch *d, uint32_t b) {
    uint32_t slot = d->bindings[b].slot;
    return slot >= p->n_blocks && on_host[slot - p->n_blocks] &&
           p->externals[slot - p->n_blocks].kind == PM_EXTERNAL_WEIGHT && !(d->unused >> b & 1);
}

static bool same_range(const pm_range *a, const pm_range *b) {
    return a->slot == b->slot && a->offset == b->offset && a->bytes == b->bytes;
}

static share share_of(const pm_program *p, const bool *on_host, uint32_t alignment, const pm_dispatch *d) {
    share s = {0};
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        const pm_range *r = &d->bindings[b];
        if (!lies_on_host(p, on_host, d, b) || d->loads[b] / LEAST_PASSES < r->bytes) continue;
        s.copies[s.n++] = (pm_stream_copy){.from = *r, .to = s.bytes};
        s.bytes += pm_align_up(r->bytes, alignment);
        s.saved += d->loads[b] - r->bytes;
    }
    return s;
}

/* ---- the size of the slots ---- */

typedef struct gain {
    uint64_t bytes, saved;
} gain;

static int by_bytes(const void *a, const void *b) {
    uint64_t x = ((const gain *)a)->bytes, y = ((const gain *)b)->bytes;
    return (x > y) - (x < y);
}

/* Of the sizes up to `most`, the one that leaves the fewest bytes for the bus. */
static uint64_t best_size(const gain *gains, size_t n, uint64_t have, uint64_t most) {
    uint64_t saved = 0, best = 0, best_saved = 0;
    for (size_t i = 0; i < n && gains[i].bytes <= most; i++) {
        if (!pm_add_u64(saved, gains[i].saved, &saved)) saved = UINT64_MAX;
        uint64_t cost = gains[i].bytes > have ? PM_STREAM_SLOTS * (gains[i].bytes - have) : 0;
        if (saved > cost && saved - cost > best_saved) {
            best = gains[i].bytes;
            best_saved = saved - cost;
        }
    }
    return best;
}

static pm_status choose_size(const pm_program *p, const bool *on_host, const pm_stream_room *room,
                             pm_stream *out) {
    gain *gains = pm_calloc(p->n_dispatches, sizeof *gains);
    size_t n = 0;
    if (!gains) return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const share s = share_of(p, on_host, room->alignment, &p->dispatches[i]);
        if (s.n) gains[n++] = (gain){s.bytes, s.saved};
    }
    if (n) qsort(gains, n, sizeof *gains, by_bytes);
    out->slot_bytes = best_size(gains, n, room->have, room->most);
    out->wanted_slot_bytes = best_size(gains, n, UINT64_MAX, UINT64_MAX);
    pm_free(gains);
    return PM_OK;
}

/* ---- groups ---- */

static bool holds(const pm_stream *s, const pm_stream_group *g, const share *want) {
    if (g->n_copies != want->n) return false;
    for (uint32_t i = 0; i < want->n; i++)
        if (!same_range(&s->copies[g->first_copy + i].from, &want->copies[i].from)) return false;
    return true;
}

static void add_group(pm_stream *s, uint32_t dispatch, const share *want) {
    s->groups[s->n_groups++] =
        (pm_stream_group){.first_dispatch = dispatch, .first_copy = s->n_copies, .n_copies = want->n};
    for (uint32_t i = 0; i < want->n; i++) {
        s->copies[s->n_copies++] = want->copies[i];
        s->copied_bytes += want->copies[i].from.bytes;
    }
}

static void count_in_place(const pm_program *p, const bool *on_host, const share *streamed,
                           const pm_dispatch *d, pm_stream *s) {
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        bool copied = false;
        for (uint32_t i = 0; streamed && i < streamed->n; i++)
            copied |= same_range(&streamed->copies[i].from, &d->bindings[b]);
        if (lies_on_host(p, on_host, d, b) && !copied &&
            !pm_add_u64(s->in_place_bytes, d->loads[b], &s->in_place_bytes))
            s->in_place_bytes = UINT64_MAX;
    }
}

pm_status pm_stream_plan(const pm_program *p, const bool *on_host, const pm_stream_room *room,
                         pm_stream *out) {
    *out = (pm_stream){0};
    out->groups = pm_calloc(p->n_dispatches, sizeof *out->groups);
    out->copies = pm_calloc((size_t)p->n_dispatches * PM_MAX_BINDINGS, sizeof *out->copies);
    out->group_of = pm_calloc(p->n_dispatches, sizeof *out->group_of);
    pm_status s = out->groups && out->copies && out->group_of ? PM_OK : PM_ERR_MEMORY;
    if (s == PM_OK) s = choose_size(p, on_host, room, out);
    if (s != PM_OK) {
        pm_stream_free(out);
        return s;
    }
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_dispatch *d = &p->dispatches[i];
        const share want = share_of(p, on_host, room->alignment, d);
        bool streamed = want.n && want.bytes <= out->slot_bytes;
        count_in_place(p, on_host, streamed ? &want : NULL, d, out);
        if (!streamed) continue;
        if (!out->n_groups || !holds(out, &out->groups[out->n_groups - 1], &want)) add_group(out, i, &want);
        out->group_of[i] = out->n_groups;
    }
    return PM_OK;
}

void pm_stream_free(pm_stream *s) {
    pm_free(s->groups);
    pm_free(s->copies);
    pm_free(s->group_of);
    *s = (pm_stream){0};
}

const pm_stream_copy *pm_stream_find(const pm_stream *s, const pm_program *p, uint32_t i, uint32_t b) {
    if (!s->group_of || !s->group_of[i] || p->dispatches[i].unused >> b & 1) return NULL;
    const pm_stream_group *g = &s->groups[s->group_of[i] - 1];
    const pm_range *r = &p->dispatches[i].bindings[b];
    for (uint32_t c = g->first_copy; c < g->first_copy + g->n_copies; c++)
        if (same_range(&s->copies[c].from, r)) return &s->copies[c];
    return NULL;
}
