/* The order of the operations: one in which few bytes live at once (pm_pass_schedule). Two greedy walks are tried, one from
 * the inputs and one from the outputs; the order that the graph has stays unless one of them is better by enough, since
 * its builder has put together what can run at one time. Changes no operation.
 *
 * A node is an operation that runs. Views and leaves cost nothing and stand where their first reader wants them. A node
 * waits for those whose results it reads, and a write to a state for all that read what the state held before. */
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

#include "graph/rebuild.h"

enum {
    ALIGNMENT = 256,
    WINDOW = 64,      /* ready nodes that are compared, the first ones of the old order */
    SHARE = 64,       /* a new order must save one part in so many, */
    WORTH = 256 << 10 /* and so many bytes, since it may cost barriers */
};

typedef struct edges { /* by id: of node i those at begin[i] .. begin[i + 1] */
    uint32_t *begin, *to;
} edges;

typedef struct schedule {
    const pm_graph *g;
    edges after, before; /* those who wait for a node; those for whom it waits */
    uint64_t *bytes;     /* of the node's own result in the arena; 0: of none, or it lives all the time */
    bool *kept;          /* outputs */
    uint32_t *waits;     /* of the walk: nodes that must still come first */
    uint32_t *readers;   /* of the walk: nodes that will still read the result */
    uint32_t *ready;
    size_t n_ready, n_nodes;
    uint32_t *order; /* nodes */
} schedule;

static bool runs(const pm_tensor *t) {
    return !(pm_op_get(t->op)->flags & (PM_OPF_LEAF | PM_OPF_VIEW));
}

/* ---- who waits for whom ---- */

typedef struct edge_list {
    uint32_t (*pairs)[2]; /* from, to */
    size_t n, capacity;
} edge_list;

static pm_status add_edge(edge_list *e, uint32_t from, uint32_t to) {
    void *pairs = e->pairs;
    pm_status s = pm_grow(&pairs, &e->capacity, e->n + 1, sizeof *e->pairs);
    e->pairs = pairs;
    if (s != PM_OK) return s;
    e->pairs[e->n][0] = from;
    e->pairs[e->n++][1] = to;
    return PM_OK;
}

/* next_write: by id of a version of a state, the write that ends it; 0: none. */
static pm_status list_edges(const pm_graph *g, const uint32_t *next_write, edge_list *out) {
    for (uint32_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        for (int k = 0; runs(t) && k < t->n_in; k++) {
            if (!t->in[k]) continue;
            uint32_t version = t->in[k]->version, write = next_write[version];
            if (runs(g->items[version])) PM_TRY(add_edge(out, version, i));
            if (write && write != i) PM_TRY(add_edge(out, i, write));
        }
    }
    return PM_OK;
}

static int compare_pairs(const void *a, const void *b) {
    const uint32_t *x = a, *y = b;
    if (x[0] != y[0]) return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

/* A node that reads another one twice waits once. */
static void drop_repeats(edge_list *e) {
    size_t kept = 0;
    if (e->n) qsort(e->pairs, e->n, sizeof *e->pairs, compare_pairs);
    for (size_t i = 0; i < e->n; i++)
        if (!i || compare_pairs(e->pairs[i - 1], e->pairs[i]) != 0)
            memmove(e->pairs[kept++], e->pairs[i], sizeof *e->pairs);
    e->n = kept;
}

/* The pairs by their node `side`. */
static pm_status sort_edges(size_t n_items, const edge_list *list, int side, edges *out) {
    out->begin = pm_calloc(n_items + 2, sizeof *out->begin);
    out->to = pm_calloc(list->n, sizeof *out->to);
    if (!out->begin || !out->to) return PM_ERR_MEMORY;
    for (size_t i = 0; i < list->n; i++) out->begin[list->pairs[i][side] + 2]++;
    for (size_t i = 2; i < n_items + 2; i++) out->begin[i] += out->begin[i - 1];
    for (size_t i = 0; i < list->n; i++)
        out->to[out->begin[list->pairs[i][side] + 1]++] = list->pairs[i][1 - side];
    return PM_OK;
}

static pm_status find_edges(schedule *s) {
    const pm_graph *g = s->g;
    edge_list list = {0};
    uint32_t *next_write = pm_calloc(g->n_items, sizeof *next_write);
    pm_status status = next_write ? PM_OK : PM_ERR_MEMORY;
    for (uint32_t i = 0; next_write && i < g->n_items; i++)
        if (pm_op_get(g->items[i]->op)->flags & PM_OPF_STATE) next_write[g->items[i]->in[0]->version] = i;
    if (status == PM_OK) status = list_edges(g, next_write, &list);
    drop_repeats(&list);
    if (status == PM_OK) status = sort_edges(g->n_items, &list, 0, &s->after);
    if (status == PM_OK) status = sort_edges(g->n_items, &list, 1, &s->before);
    pm_free(next_write);
    pm_free(list.pairs);
    return status;
}

/* ---- greedy walks ---- */

static uint32_t n_edges(const edges *e, uint32_t node) {
    return e->begin[node + 1] - e->begin[node];
}

/* What lives more once the node has run: its result, less what it reads last. */
static int64_t growth_forwards(const schedule *s, uint32_t node) {
    int64_t more = (int64_t)s->bytes[node];
    for (uint32_t e = s->before.begin[node]; e < s->before.begin[node + 1]; e++) {
        uint32_t x = s->before.to[e];
        if (s->readers[x] == 1 && !s->kept[x]) more -= (int64_t)s->bytes[x];
    }
    return more;
}

/* The same for a walk from the end: what it reads and nothing behind it does, less its result. */
static int64_t growth_backwards(const schedule *s, uint32_t node) {
    int64_t more = -(int64_t)s->bytes[node];
    for (uint32_t e = s->before.begin[node]; e < s->before.begin[node + 1]; e++) {
        uint32_t x = s->before.to[e];
        if (s->readers[x] == n_edges(&s->after, x) && !s->kept[x]) more += (int64_t)s->bytes[x];
    }
    return more;
}

/* Takes the ready node that makes least live; of equal ones the first of the old order, or the last one of it. */
static uint32_t take_best(schedule *s, bool backwards) {
    size_t best = 0, n = s->n_ready < WINDOW ? s->n_ready : WINDOW;
    int64_t least = INT64_MAX;
    for (size_t i = 0; i < n; i++) {
        int64_t more = backwards ? growth_backwards(s, s->ready[i]) : growth_forwards(s, s->ready[i]);
        if (more >= least) continue;
        least = more;
        best = i;
    }
    uint32_t node = s->ready[best];
    memmove(&s->ready[best], &s->ready[best + 1], (--s->n_ready - best) * sizeof *s->ready);
    return node;
}

/* Keeps `ready` in the order of the walk. */
static void add_ready(schedule *s, uint32_t node, bool backwards) {
    size_t at = s->n_ready++;
    while (at > 0 && (backwards ? s->ready[at - 1] < node : s->ready[at - 1] > node)) {
        s->ready[at] = s->ready[at - 1];
        at--;
    }
    s->ready[at] = node;
}

static void walk(schedule *s, bool backwards) {
    const edges *to = backwards ? &s->before : &s->after, *from = backwards ? &s->after : &s->before;
    s->n_ready = 0;
    for (uint32_t k = 0; k < s->g->n_items; k++) {
        uint32_t i = backwards ? (uint32_t)s->g->n_items - 1 - k : k;
        s->waits[i] = n_edges(from, i);
        s->readers[i] = n_edges(&s->after, i);
        if (runs(s->g->items[i]) && !s->waits[i]) s->ready[s->n_ready++] = i;
    }
    for (size_t n = 0; s->n_ready; n++) {
        uint32_t node = take_best(s, backwards);
        s->order[backwards ? s->n_nodes - 1 - n : n] = node;
        for (uint32_t e = s->before.begin[node]; e < s->before.begin[node + 1]; e++)
            s->readers[s->before.to[e]]--;
        for (uint32_t e = to->begin[node]; e < to->begin[node + 1]; e++)
            if (--s->waits[to->to[e]] == 0) add_ready(s, to->to[e], backwards);
    }
}

/* ---- the new graph ---- */

/* Leaves that are the program's interface keep their order, in front of all. */
static bool is_interface(const pm_tensor *t) {
    return t->kind == PM_KIND_INPUT || t->kind == PM_KIND_PARAM || t->kind == PM_KIND_STATE;
}

/* The place of each tensor: a node's is its own in the order, another one's is that of the first node that reads it.
 * s->waits holds the heads of lists by place, s->readers the next ones; both id + 1. */
static void find_places(schedule *s, uint32_t *places) {
    const pm_graph *g = s->g;
    memset(s->waits, 0, g->n_items * sizeof *s->waits);
    for (uint32_t i = 0; i < g->n_items; i++) places[i] = (uint32_t)s->n_nodes;
    for (uint32_t i = 0; i < s->n_nodes; i++) places[s->order[i]] = i;
    for (size_t i = g->n_items; i-- > 0;) { /* from the end, so that lists run forwards */
        const pm_tensor *t = g->items[i];
        for (int k = 0; k < t->n_in; k++)
            if (t->in[k] && !runs(t->in[k]) && places[t->in[k]->id] > places[i])
                places[t->in[k]->id] = places[i];
        if (runs(t) || is_interface(t) || places[i] == s->n_nodes) continue;
        s->readers[i] = s->waits[places[i]];
        s->waits[places[i]] = (uint32_t)i + 1;
    }
}

static pm_status apply(schedule *s, pm_graph **out) {
    const pm_graph *g = s->g;
    pm_rebuild r;
    uint32_t *places = pm_calloc(g->n_items, sizeof *places);
    pm_status status = places ? pm_rebuild_begin(g, &r) : PM_ERR_MEMORY;
    if (status == PM_OK) {
        find_places(s, places);
        for (size_t i = 0; i < g->n_items; i++)
            if (is_interface(g->items[i])) (void)pm_rebuild_tensor(&r, g->items[i]);
        for (size_t i = 0; i < s->n_nodes; i++) {
            for (uint32_t t = s->waits[i]; t; t = s->readers[t - 1])
                (void)pm_rebuild_tensor(&r, g->items[t - 1]);
            (void)pm_rebuild_tensor(&r, g->items[s->order[i]]);
        }
        for (size_t i = 0; i < g->n_items; i++) /* what only outputs show */
            if (!r.map[i]) (void)pm_rebuild_tensor(&r, g->items[i]);
        status = pm_rebuild_end(&r, out);
    }
    pm_free(places);
    return status;
}

/* As it is. */
static pm_status copy(const pm_graph *g, pm_graph **out) {
    pm_rebuild r;
    PM_TRY(pm_rebuild_begin(g, &r));
    for (size_t i = 0; i < g->n_items; i++) (void)pm_rebuild_tensor(&r, g->items[i]);
    return pm_rebuild_end(&r, out);
}

/* ---- the whole ---- */

static pm_status open_schedule(const pm_graph *g, schedule *s) {
    *s = (schedule){.g = g};
    s->bytes = pm_calloc(g->n_items, sizeof *s->bytes);
    s->kept = pm_calloc(g->n_items, sizeof *s->kept);
    s->waits = pm_calloc(g->n_items, sizeof *s->waits);
    s->readers = pm_calloc(g->n_items, sizeof *s->readers);
    s->ready = pm_calloc(g->n_items, sizeof *s->ready);
    s->order = pm_calloc(g->n_items, sizeof *s->order);
    if (!s->bytes || !s->kept || !s->waits || !s->readers || !s->ready || !s->order) return PM_ERR_MEMORY;
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        s->n_nodes += runs(t);
        if (runs(t) && t->base == t) s->bytes[i] = pm_align_up(pm_storage_bytes(t), ALIGNMENT);
    }
    for (size_t i = 0; i < g->n_outputs; i++) s->kept[g->outputs[i].tensor->base->id] = true;
    return find_edges(s);
}

static void close_schedule(schedule *s) {
    pm_free(s->after.begin);
    pm_free(s->after.to);
    pm_free(s->before.begin);
    pm_free(s->before.to);
    pm_free(s->bytes);
    pm_free(s->kept);
    pm_free(s->waits);
    pm_free(s->readers);
    pm_free(s->ready);
    pm_free(s->order);
}

/* Keeps in *best the better one of it and the walk's order. */
static pm_status try_walk(schedule *s, bool backwards, uint64_t *best_peak, pm_graph **best) {
    pm_graph *other = NULL;
    uint64_t peak = 0;
    walk(s, backwards);
    PM_TRY(apply(s, &other));
    pm_status status = pm_plan_peak(other, ALIGNMENT, &peak);
    if (status == PM_OK && peak < *best_peak) {
        pm_graph *worse = *best;
        *best_peak = peak;
        *best = other;
        other = worse;
    }
    pm_graph_destroy(other);
    return status;
}

/* The better walk's order, where its peak is less than `enough`; else *best stays NULL. */
static pm_status try_walks(const pm_graph *g, uint64_t enough, pm_graph **best) {
    schedule s;
    pm_status status = open_schedule(g, &s);
    if (status == PM_OK) status = try_walk(&s, false, &enough, best);
    if (status == PM_OK) status = try_walk(&s, true, &enough, best);
    close_schedule(&s);
    return status;
}

pm_status pm_schedule(const pm_graph *g, uint64_t worth, pm_graph **out) {
    pm_graph *best = NULL;
    uint64_t peak = 0;
    *out = NULL;
    pm_status status = pm_plan_peak(g, ALIGNMENT, &peak);
    if (worth < peak / SHARE) worth = peak / SHARE;
    if (status == PM_OK && peak > worth) status = try_walks(g, peak - worth, &best);
    if (status == PM_OK && !best) status = copy(g, &best);
    if (status == PM_OK)
        *out = best;
    else
        pm_graph_destroy(best);
    return status;
}

pm_status pm_pass_schedule(const pm_graph *g, pm_graph **out) {
    return pm_schedule(g, WORTH, out);
}
