/* The live ranges of a graph, for plan.c: which tensors own arena memory, from when to when, and which take
 * over the room of an input that dies with them.
 *
 * Step i is items[i]. A use through a view is a use of its base; a view itself reads nothing. Outputs live to
 * the end, since they are read after the run. Inputs live from the start, since they are written before it,
 * to the end, so that a program can be run again with the same inputs; for the same reason nothing takes an
 * input's room.
 *
 * A part of a concat is made where the concat has it, so that nothing is copied: a guest, in the room of its host, which
 * then lives from its first guest on. Where parts do not lie one behind the other there, as columns, a guest is one that
 * nothing but the concat reads, by an operation whose kernel writes rows at any distance. Where guests cost memory, no
 * concat of the graph has any. */
#include "graph/plan.h"

#include <inttypes.h>
#include <string.h>

enum { SHARE = 64 };

typedef struct uses {
    uint32_t
        *last;  /* by id of a tensor that owns storage: the last step that reads or makes it, or its guests */
    bool *kept; /* inputs and outputs */
    uint32_t *host;    /* id + 1 of the concat that it is a part of; 0: no guest */
    uint32_t *n_reads; /* of the tensor's storage, outputs not counted */
} uses;

static bool owns_arena(const pm_tensor *t) {
    return t->base == t && (t->kind == PM_KIND_TEMP || t->kind == PM_KIND_INPUT);
}

static void find_uses(const pm_graph *g, const pm_cache_plan *caches, const uses *u) {
    for (uint32_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        u->last[i] = i;
        if (t->kind == PM_KIND_INPUT) u->kept[i] = true;
        if (pm_op_get(t->op)->flags & PM_OPF_VIEW) continue;
        uint32_t step = caches->product_of[i] ? caches->product_of[i] - 1 : i; /* that reads */
        for (int k = 0; k < t->n_in; k++) u->n_reads[t->in[k] ? t->in[k]->base->id : i] += t->in[k] != NULL;
        for (int k = 0; k < t->n_in; k++)
            if (t->in[k] && u->last[t->in[k]->base->id] < step) u->last[t->in[k]->base->id] = step;
    }
    for (size_t i = 0; i < g->n_outputs; i++) u->kept[g->outputs[i].tensor->base->id] = true;
    for (size_t i = 0; i < g->n_items; i++)
        if (u->kept[i]) u->last[i] = (uint32_t)g->n_items - 1;
}

/* ---- guests ---- */

/* The tensor whose whole storage part k of a concat shows, element after element; NULL: none does. */
static const pm_tensor *whole_part(const pm_tensor *concat, int k) {
    const pm_tensor *x = concat->in[k], *base = x->base;
    bool whole = pm_is_dense(x) && pm_is_dense(base) && pm_elems(x) == pm_elems(base);
    return whole && base->kind == PM_KIND_TEMP && owns_arena(base) ? base : NULL;
}

/* Parts of a concat lie one behind the other where no dim stands before the axis. */
static bool lies_in_parts(const pm_tensor *t) {
    if (t->op != PM_OP_CONCAT || !pm_is_dense(t)) return false;
    for (int32_t k = 0; k < t->attrs.axis; k++)
        if (t->dims[k] != 1) return false;
    return true;
}

/* Part k of a concat, if it can be written as the slice lies: it is nothing but that. */
static const pm_tensor *column_part(const uses *u, const pm_tensor *concat, int k) {
    const pm_tensor *x = concat->in[k];
    bool writes_rows =
        pm_op_get(x->op)->flags & PM_OPF_ELEMENTWISE || x->op == PM_OP_COPY || x->op == PM_OP_MATMUL;
    return writes_rows && owns_arena(x) && u->n_reads[x->id] == 1 ? x : NULL;
}

static void find_columns(const pm_tensor *t, const uses *u, pm_graph_plan *p) {
    int64_t stride = 1, first = 0; /* elements of the dims behind the axis */
    for (int32_t k = t->attrs.axis + 1; k < t->rank; k++) stride *= t->dims[k];
    for (int k = 0; k < t->n_in; first += t->in[k++]->dims[t->attrs.axis]) {
        const pm_tensor *part = column_part(u, t, k);
        if (!part || u->kept[part->id] || u->host[part->id]) continue;
        u->host[part->id] = p->slice_of[part->id] = t->id + 1;
        p->offset_of[part->id] = p->offset_of[t->id] + 4 * (uint64_t)(first * stride);
    }
}

/* From the end, so that a host's own last use is known, with those of its guests. */
static void find_guests(const pm_graph *g, const uses *u, pm_graph_plan *p) {
    uint64_t *offsets = p->offset_of;
    for (size_t i = g->n_items; i-- > 0;) {
        const pm_tensor *t = g->items[i];
        uint64_t at = offsets[i];
        if (t->op == PM_OP_CONCAT && pm_is_dense(t) && !lies_in_parts(t)) find_columns(t, u, p);
        if (!lies_in_parts(t)) continue;
        for (int k = 0; k < t->n_in; at += 4 * (uint64_t)pm_elems(t->in[k++])) {
            const pm_tensor *part = whole_part(t, k);
            if (!part || u->kept[part->id] || u->host[part->id]) continue;
            u->host[part->id] = (uint32_t)i + 1;
            offsets[part->id] = at;
        }
    }
    for (size_t i = 0; i < g->n_items; i++) /* guests of guests come first */
        if (u->host[i] && u->last[i] > u->last[u->host[i] - 1]) u->last[u->host[i] - 1] = u->last[i];
}

static uint32_t outermost_host(const uses *u, uint32_t id) {
    while (u->host[id]) id = u->host[id] - 1;
    return id;
}

/* ---- rooms taken over ---- */

/* Whether element by element x lies as t does. */
static bool same_layout(const pm_tensor *x, const pm_tensor *t) {
    if (!pm_same_dims(x, t) || x->offset != t->offset) return false;
    for (int32_t k = 0; k < t->rank; k++)
        if (t->dims[k] != 1 && x->strides[k] != t->strides[k]) return false;
    return true;
}

/* Whether t may be written over its input k. Elementwise kernels read element i of every operand before they
 * write it, so other operands may show the same memory in the same layout. A product's kernels read an
 * element of the residual just before they write that element; but its other operands are read by other
 * invocations, so they must lie elsewhere. */
static bool may_overwrite(const pm_tensor *t, int k, const uses *u) {
    const pm_tensor *x = t->in[k];
    bool elementwise = pm_op_get(t->op)->flags & PM_OPF_ELEMENTWISE;
    if (!x || !(elementwise || (t->op == PM_OP_MATMUL && k == PM_MATMUL_RESIDUAL))) return false;
    const pm_tensor *base = x->base;
    if (base->kind != PM_KIND_TEMP || !owns_arena(base) || u->kept[base->id] || u->host[base->id] ||
        u->last[base->id] != t->id)
        return false;
    if (!same_layout(x, t) || pm_storage_bytes(base) != pm_storage_bytes(t)) return false;
    for (int i = 0; i < t->n_in; i++)
        if (i != k && t->in[i] && t->in[i]->base == base && !(elementwise && same_layout(t->in[i], t)))
            return false;
    return true;
}

static int32_t room_of_input(const pm_tensor *t, const uses *u, const pm_graph_plan *p) {
    for (int k = 0; k < t->n_in; k++)
        if (may_overwrite(t, k, u)) return p->interval_of[t->in[k]->base->id];
    return -1;
}

/* Of the outermost host, from its first guest on. */
static int32_t guest_interval(const pm_graph *g, const uses *u, uint32_t host, uint32_t step,
                              pm_graph_plan *out) {
    if (out->interval_of[host] < 0) {
        out->interval_of[host] = (int32_t)out->n_intervals;
        out->intervals[out->n_intervals++] =
            (pm_interval){.bytes = pm_storage_bytes(g->items[host]), .first = step, .last = u->last[host]};
    }
    return out->interval_of[host];
}

static void make_intervals(const pm_graph *g, const pm_cache_plan *caches, const uses *u,
                           pm_graph_plan *out) {
    for (uint32_t i = 0; i < g->n_items; i++) out->interval_of[i] = -1;
    for (uint32_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        if (!owns_arena(t) || caches->is_gone[i] || out->interval_of[i] >= 0)
            continue; /* a host has its first guest's */
        uint32_t host = outermost_host(u, i);
        if (host != i) {
            out->interval_of[i] = guest_interval(g, u, host, i, out);
            out->n_guests++;
            continue;
        }
        int32_t room = t->kind == PM_KIND_INPUT ? -1 : room_of_input(t, u, out);
        if (room >= 0) {
            out->intervals[room].last = u->last[i];
            out->n_in_place++;
        } else {
            room = (int32_t)out->n_intervals++;
            out->intervals[room] = (pm_interval){
                .bytes = pm_storage_bytes(t), .last = u->last[i], .first = t->kind == PM_KIND_INPUT ? 0 : i};
        }
        out->interval_of[i] = room;
    }
}

/* The planner knows numbers; people know tensors. */
static pm_status check_sizes(const pm_graph *g, const pm_plan_limits *limits) {
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        if (!owns_arena(t) || !limits->max_block_bytes || pm_storage_bytes(t) <= limits->max_block_bytes)
            continue;
        return pm_raise(PM_ERR_MEMORY,
                        "memory plan: %%%u (%s%s%s) has %" PRIu64 " bytes, at most %" PRIu64
                        " fit one block of the device",
                        t->id, pm_op_get(t->op)->name, t->name ? " " : "", t->name ? t->name : "",
                        pm_storage_bytes(t), limits->max_block_bytes);
    }
    return PM_OK;
}

static pm_status find_intervals(const pm_graph *g, const pm_cache_plan *caches, bool guests,
                                pm_graph_plan *out) {
    uses u = {.last = pm_calloc(g->n_items, sizeof *u.last),
              .kept = pm_calloc(g->n_items, sizeof *u.kept),
              .host = pm_calloc(g->n_items, sizeof *u.host),
              .n_reads = pm_calloc(g->n_items, sizeof *u.n_reads)};
    out->interval_of = pm_calloc(g->n_items, sizeof *out->interval_of);
    out->offset_of = pm_calloc(g->n_items, sizeof *out->offset_of);
    out->intervals = pm_calloc(g->n_items, sizeof *out->intervals);
    out->slice_of = pm_calloc(g->n_items, sizeof *out->slice_of);
    bool made = u.last && u.kept && u.host && u.n_reads && out->interval_of && out->offset_of &&
                out->intervals && out->slice_of;
    if (made) {
        find_uses(g, caches, &u);
        if (guests) find_guests(g, &u, out);
        make_intervals(g, caches, &u, out);
    }
    pm_free(u.last);
    pm_free(u.kept);
    pm_free(u.host);
    pm_free(u.n_reads);
    return made ? PM_OK : PM_ERR_MEMORY;
}

/* The largest sum of live bytes at any step. */
static pm_status measure_peak(const pm_graph *g, const pm_graph_plan *p, uint64_t alignment,
                              uint64_t *out_bytes) {
    uint64_t *change = pm_calloc(g->n_items + 1, sizeof *change), live = 0;
    *out_bytes = 0;
    if (!change) return PM_ERR_MEMORY;
    for (size_t i = 0; i < p->n_intervals; i++) {
        const pm_interval *v = &p->intervals[i];
        change[v->first] += pm_align_up(v->bytes, alignment);
        change[v->last + 1] -= pm_align_up(v->bytes, alignment); /* wraps, and back in the running sum */
    }
    for (size_t i = 0; i < g->n_items; i++) {
        live += change[i];
        if (live > *out_bytes) *out_bytes = live;
    }
    pm_free(change);
    return PM_OK;
}

/* The intervals with guests, or without them where that keeps the peak lower by one part in SHARE. */
static pm_status choose_intervals(const pm_graph *g, const pm_cache_plan *caches,
                                  const pm_plan_limits *limits, pm_graph_plan *out, uint64_t *out_peak) {
    pm_graph_plan other = {0};
    uint64_t without = 0;
    const uint64_t alignment = limits->alignment;
    pm_status s = find_intervals(g, caches, !limits->apart, out);
    if (s == PM_OK) s = measure_peak(g, out, alignment, out_peak);
    if (s != PM_OK || !out->n_guests) return s;
    s = find_intervals(g, caches, false, &other);
    if (s == PM_OK) s = measure_peak(g, &other, alignment, &without);
    if (s == PM_OK && *out_peak > without && *out_peak - without > without / SHARE) {
        const pm_graph_plan worse = *out;
        *out_peak = without;
        *out = other;
        out->alignment = worse.alignment;
        other = worse;
    }
    pm_graph_plan_free(&other);
    return s;
}

pm_status pm_plan_graph(const pm_graph *g, const pm_plan_limits *limits, pm_graph_plan *out) {
    uint64_t peak;
    pm_cache_plan caches = {0};
    *out = (pm_graph_plan){.alignment = limits->alignment};
    uint64_t most = limits->max_binding_bytes; /* a binding begins up to the alignment before its tensor */
    if (most > limits->alignment) most -= limits->alignment;
    PM_TRY(check_sizes(g, limits));
    pm_status s = pm_find_caches(g, limits->apart, most, &caches);
    if (s == PM_OK) s = choose_intervals(g, &caches, limits, out, &peak);
    out->caches = caches;
    if (s == PM_OK) s = pm_plan_intervals(out->intervals, out->n_intervals, limits, &out->result);
    if (s != PM_OK) pm_graph_plan_free(out);
    return s;
}

pm_status pm_plan_peak(const pm_graph *g, uint64_t alignment, uint64_t *out_bytes) {
    pm_graph_plan p = {0};
    pm_cache_plan caches = {0};
    pm_status s = pm_find_caches(g, false, 0, &caches);
    if (s == PM_OK)
        s = choose_intervals(g, &caches, &(pm_plan_limits){.alignment = alignment}, &p, out_bytes);
    p.caches = caches;
    pm_graph_plan_free(&p);
    return s;
}

void pm_graph_plan_free(pm_graph_plan *p) {
    pm_free(p->interval_of);
    pm_free(p->offset_of);
    pm_free(p->slice_of);
    pm_free(p->intervals);
    pm_cache_plan_free(&p->caches);
    pm_plan_result_free(&p->result);
    *p = (pm_graph_plan){0};
}
