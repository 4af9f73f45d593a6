/* Places live ranges in memory: checks and aligns them, finds the lower bound, has them packed (plan_pack.c),
 * tells blocks and offsets. Pure: it sees intervals, no tensors, and the same intervals always get the same
 * places.
 *
 * Steps are renumbered by the starts of intervals: between two starts nothing new becomes live, so that
 * overlaps and the largest live sums are the same. */
#include "graph/plan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "graph/plan_pack.h"

#define MAX_BYTES (UINT64_MAX >> 3) /* of all intervals together: sums of addresses cannot overflow */

typedef pm_pack_item item;

static int compare_u32(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* The index of the last start at or before `step`. */
static uint32_t start_index(const uint32_t *starts, uint32_t n, uint32_t step) {
    uint32_t low = 0, high = n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (starts[middle] <= step)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static pm_status check_interval(const pm_interval *v, size_t index, uint64_t alignment, uint64_t cut) {
    if (v->first > v->last)
        return pm_raise(PM_ERR_USAGE,
                        "memory plan: interval %zu lives from step %" PRIu32 " to %" PRIu32
                        ", an end at or after the start was expected",
                        index, v->first, v->last);
    if (v->bytes > MAX_BYTES - alignment || pm_align_up(v->bytes, alignment) > cut)
        return pm_raise(PM_ERR_MEMORY,
                        "memory plan: interval %zu has %" PRIu64 " bytes, at most %" PRIu64
                        " fit one block of the device",
                        index, v->bytes, cut);
    return PM_OK;
}

/* Aligned sizes and renumbered steps. *out_n_steps: how many different starts there are. */
static pm_status make_items(const pm_interval *in, size_t n, uint64_t alignment, pm_pack_job *job,
                            item *items) {
    uint32_t *starts = pm_calloc(n, sizeof *starts), n_steps = 0;
    uint64_t total = 0;
    pm_status s = starts ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < n; i++) {
        s = check_interval(&in[i], i, alignment, job->cut);
        if (s != PM_OK) break;
        starts[i] = in[i].first;
        items[i].bytes = pm_align_up(in[i].bytes, alignment);
        total += items[i].bytes;
        if (total > MAX_BYTES)
            s = pm_raise(PM_ERR_MEMORY,
                         "memory plan: the first %zu intervals have more than %" PRIu64 " bytes together",
                         i + 1, MAX_BYTES);
    }
    job->one_block = total <= job->cut;
    if (s == PM_OK) {
        qsort(starts, n, sizeof *starts, compare_u32);
        for (size_t i = 0; i < n; i++)
            if (!n_steps || starts[n_steps - 1] != starts[i]) starts[n_steps++] = starts[i];
        for (size_t i = 0; i < n; i++) {
            items[i].first = start_index(starts, n_steps, in[i].first);
            items[i].last = start_index(starts, n_steps, in[i].last);
        }
        job->n_steps = n_steps;
    }
    pm_free(starts);
    return s;
}

/* Live sums by step, then a table of maxima over 2^k steps, so that each item's breadth is one comparison. */
static pm_status measure_breadth(item *items, size_t n, uint32_t n_steps, uint64_t *out_bound) {
    uint32_t levels = 1;
    while (1u << levels <= n_steps && levels < 31) levels++;
    uint64_t *sums = pm_calloc((size_t)levels * (n_steps + 1u), sizeof *sums);
    if (!sums) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        sums[items[i].first] += items[i].bytes;
        sums[items[i].last + 1] -= items[i].bytes; /* wraps, and back in the running sum */
    }
    *out_bound = 0;
    for (uint32_t s = 0; s < n_steps; s++) {
        if (s) sums[s] += sums[s - 1];
        if (sums[s] > *out_bound) *out_bound = sums[s];
    }
    for (uint32_t k = 1; k < levels; k++) {
        const uint64_t *below = sums + (size_t)(k - 1) * n_steps;
        uint64_t *here = sums + (size_t)k * n_steps;
        for (uint32_t s = 0; s + (1u << k) <= n_steps; s++) {
            uint64_t a = below[s], b = below[s + (1u << (k - 1))];
            here[s] = a > b ? a : b;
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t k = 0;
        while (k + 1 < levels && 2u << k <= items[i].last - items[i].first + 1) k++;
        const uint64_t *level = sums + (size_t)k * n_steps;
        uint64_t a = level[items[i].first], b = level[items[i].last + 1 - (1u << k)];
        items[i].breadth = a > b ? a : b;
    }
    pm_free(sums);
    return PM_OK;
}

/* ---- result ---- */

static pm_status make_result(const pm_pack_job *p, const uint64_t *at_line, pm_plan_result *out) {
    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].bytes && at_line[i] / p->cut >= out->n_blocks)
            out->n_blocks = (uint32_t)(at_line[i] / p->cut) + 1;
    out->places = pm_calloc(p->n, sizeof *out->places);
    out->block_bytes = pm_calloc(out->n_blocks, sizeof *out->block_bytes);
    if (!out->places || !out->block_bytes) return PM_ERR_MEMORY;
    for (size_t i = 0; i < p->n; i++) {
        if (!p->items[i].bytes) continue;
        pm_place *at = &out->places[i];
        *at = (pm_place){.block = (uint32_t)(at_line[i] / p->cut), .offset = at_line[i] % p->cut};
        uint64_t end = at->offset + p->items[i].bytes;
        if (out->block_bytes[at->block] < end) out->block_bytes[at->block] = end;
    }
    for (uint32_t b = 0; b < out->n_blocks; b++) out->arena_bytes += out->block_bytes[b];
    out->lower_bound_bytes = p->bound;
    return PM_OK;
}

static pm_status check_limits(const pm_plan_limits *limits, size_t n) {
    uint64_t alignment = limits->alignment;
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > 1u << 30 || n > UINT32_MAX / 2)
        return pm_raise(PM_ERR_USAGE,
                        "memory plan: alignment %" PRIu64 " for %zu intervals, a power of two was expected",
                        alignment, n);
    if (limits->max_block_bytes && limits->max_block_bytes < alignment)
        return pm_raise(PM_ERR_MEMORY,
                        "memory plan: blocks of %" PRIu64 " bytes, at least the alignment of %" PRIu64
                        " was expected",
                        limits->max_block_bytes, alignment);
    return PM_OK;
}

pm_status pm_plan_intervals(const pm_interval *intervals, size_t n, const pm_plan_limits *limits,
                            pm_plan_result *out) {
    *out = (pm_plan_result){0};
    PM_TRY(check_limits(limits, n));
    item *items = pm_calloc(n, sizeof *items);
    uint64_t *at = pm_calloc(n, sizeof *at), alignment = limits->alignment;
    pm_pack_job job = {.items = items, .n = n, .alignment = alignment, .cut = MAX_BYTES};
    pm_status s = PM_ERR_MEMORY;
    if (limits->max_block_bytes && limits->max_block_bytes < MAX_BYTES) job.cut = limits->max_block_bytes;
    job.cut -= job.cut % alignment;
    if (!items || !at) goto fail;
    if (n) {
        PM_GOTO(make_items(intervals, n, alignment, &job, items));
        PM_GOTO(measure_breadth(items, n, job.n_steps, &job.bound));
        PM_GOTO(pm_pack(&job, at));
    }
    s = make_result(&job, at, out);
fail:
    pm_free(at);
    pm_free(items);
    if (s != PM_OK) pm_plan_result_free(out);
    return s;
}

void pm_plan_result_free(pm_plan_result *r) {
    pm_free(r->block_bytes);
    pm_free(r->places);
    *r = (pm_plan_result){0};
}
