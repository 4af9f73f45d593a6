/* Repair of a packing, after guided ejection search (Nagata, Bräysy 2009). What ends above a target below the packing's top is
 * taken out. Then the heaviest item that is out goes where it pushes out the least, and what it pushes out is out instead, until
 * none is. An item that had to push weighs more from then on, so that it is pushed less. Work is done only around what is in the
 * way, however many items there are. Invariant: items that are in never overlap. */
#include "graph/plan_pack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OUT       UINT64_MAX
#define MAX_PAIRS 1000000u
enum {
    STEPS = 24,     /* a target takes away one part in so many of what is above the bound */
    TRIES = 8,      /* the budget is for so many targets that are not met */
    MOVE_LOOKS = 30 /* what a move costs beside looking at neighbours, in looks */
};

typedef pm_pack_item item;

typedef struct edge { /* of a neighbour */
    uint64_t at;
    double weight;
} edge;

typedef struct repair {
    const pm_pack_job *job;
    uint64_t *at;
    uint32_t *start; /* neighbours of item i, which share a step with it: start[i] .. start[i + 1] - 1 of */
    uint32_t *by_low, *by_high; /* sorted by address when they were last looked at, so nearly sorted now */
    double *size, *weight;      /* by item: weight is what it costs to push it out, size times a count */
    edge *lows, *highs;         /* scratch */
    uint32_t *out;
    size_t n_out;
    uint64_t random;
    uint64_t looks;
} repair;

static uint64_t below(repair *r, uint64_t n) { /* splitmix64; the seed is fixed, so that a plan is, too */
    uint64_t z = r->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (z ^ z >> 31) % n;
}

static uint64_t high_of(const repair *r, uint32_t i) {
    return r->at[i] == OUT ? OUT : r->at[i] + r->job->items[i].bytes;
}

/* ---- neighbours ---- */

static int by_first(const void *a, const void *b) {
    const pm_pack_key *x = a, *y = b;
    return x->major != y->major  ? (x->major < y->major ? -1 : 1)
           : x->index < y->index ? -1
                                 : x->index > y->index;
}

/* keys: the items that are not empty by their first steps. end NULL: counts into start[i + 1]; else writes at end[i]. */
static uint64_t meet(repair *r, const pm_pack_key *keys, size_t n, uint32_t *end) {
    const item *items = r->job->items;
    uint64_t pairs = 0;
    for (size_t i = 0; i < n && pairs <= MAX_PAIRS; i++) {
        uint32_t x = keys[i].index;
        for (size_t k = i + 1; k < n && keys[k].major <= items[x].last && pairs <= MAX_PAIRS; k++) {
            uint32_t y = keys[k].index;
            if (end) {
                r->by_low[end[x]++] = y;
                r->by_low[end[y]++] = x;
            } else
                r->start[x + 1]++, r->start[y + 1]++;
            pairs += 2;
        }
    }
    return pairs;
}

/* *out_pairs above MAX_PAIRS: too many, nothing is listed. */
static pm_status list_neighbours(repair *r, uint64_t *out_pairs) {
    size_t n = r->job->n, used = 0;
    pm_status s = PM_ERR_MEMORY;
    uint32_t *end = pm_calloc(n + 1, sizeof *end);
    pm_pack_key *keys = pm_calloc(n, sizeof *keys);
    if (!end || !keys) goto fail;
    for (size_t i = 0; i < n; i++)
        if (r->job->items[i].bytes)
            keys[used++] = (pm_pack_key){.major = r->job->items[i].first, .index = (uint32_t)i};
    qsort(keys, used, sizeof *keys, by_first);
    *out_pairs = meet(r, keys, used, NULL);
    s = PM_OK;
    if (*out_pairs > MAX_PAIRS) goto fail;
    for (size_t i = 0; i < n; i++) r->start[i + 1] += r->start[i];
    memcpy(end, r->start, n * sizeof *end);
    s = PM_ERR_MEMORY;
    r->by_low = pm_calloc(*out_pairs + 1, sizeof *r->by_low);
    r->by_high = pm_calloc(*out_pairs + 1, sizeof *r->by_high);
    if (!r->by_low || !r->by_high) goto fail;
    (void)meet(r, keys, used, end);
    memcpy(r->by_high, r->by_low, *out_pairs * sizeof *r->by_high);
    s = PM_OK;
fail:
    pm_free(keys);
    pm_free(end);
    return s;
}

/* The lower or upper ends of x's neighbours, sorted, with the list in that order, too: by insertion, since few have moved since the last
 * time. Those that are out come last and do not count. */
static size_t sort_ends(repair *r, uint32_t x, bool upper) {
    uint32_t *list = (upper ? r->by_high : r->by_low) + r->start[x];
    size_t n = r->start[x + 1] - r->start[x], n_in = 0;
    edge *ends = upper ? r->highs : r->lows;
    for (size_t i = 0; i < n; i++) {
        uint32_t y = list[i];
        edge e = {upper ? high_of(r, y) : r->at[y], r->weight[y]};
        size_t k = i;
        for (; k && ends[k - 1].at > e.at; k--) {
            ends[k] = ends[k - 1];
            list[k] = list[k - 1];
        }
        ends[k] = e;
        list[k] = y;
        n_in += e.at != OUT;
        r->looks += 1 + (i - k) / 4;
    }
    return n_in;
}

/* ---- one move ---- */

typedef struct choice {
    uint64_t at;
    double cost;
    uint64_t ties;
} choice;

static void consider(repair *r, choice *best, uint64_t at, double cost) {
    if (cost > best->cost) return;
    if (cost < best->cost) best->ties = 0;
    best->cost = cost;
    if (below(r, ++best->ties) == 0) best->at = at;
}

/* Goes through places from low to high: weights of neighbours that begin before the place's end, less those that end before it begins. */
typedef struct sweep {
    double begun, ended;
    size_t n_begun, n_ended;
} sweep;

static double cost_at(const repair *r, sweep *w, size_t n, uint64_t at, uint64_t bytes) {
    for (; w->n_begun < n && r->lows[w->n_begun].at < at + bytes; w->n_begun++)
        w->begun += r->lows[w->n_begun].weight;
    for (; w->n_ended < n && r->highs[w->n_ended].at <= at; w->n_ended++)
        w->ended += r->highs[w->n_ended].weight;
    return w->n_begun == w->n_ended ? 0 : w->begun - w->ended;
}

static bool crosses(const pm_pack_job *job, uint64_t at, uint64_t bytes) {
    return !job->one_block && at / job->cut != (at + bytes - 1) / job->cut;
}

/* The places of least cost begin where a neighbour ends, or end where one begins; one of the best by chance. */
static choice choose_place(repair *r, uint32_t x, uint64_t target) {
    uint64_t bytes = r->job->items[x].bytes, last = target - bytes;
    size_t n = sort_ends(r, x, false);
    (void)sort_ends(r, x, true);
    choice best = {.cost = INFINITY};
    sweep up = {0}, down = {0};
    for (size_t i = 0; i <= n; i++) {
        uint64_t at = i ? r->highs[i - 1].at : 0;
        if (at <= last && !crosses(r->job, at, bytes)) consider(r, &best, at, cost_at(r, &up, n, at, bytes));
    }
    for (size_t i = 0; i <= n; i++) {
        uint64_t end = i < n ? r->lows[i].at : target;
        if (end < bytes || end > target || crosses(r->job, end - bytes, bytes)) continue;
        consider(r, &best, end - bytes, cost_at(r, &down, n, end - bytes, bytes));
    }
    return best;
}

static void push_out(repair *r, uint32_t x, uint64_t at) {
    for (uint32_t i = r->start[x]; i < r->start[x + 1]; i++) {
        uint32_t y = r->by_low[i];
        if (r->at[y] >= at + r->job->items[x].bytes) break; /* sorted by choose_place */
        if (high_of(r, y) <= at) continue;
        r->at[y] = OUT;
        r->out[r->n_out++] = y;
    }
}

/* The turn of what is hardest to place. */
static size_t heaviest(const repair *r) {
    size_t best = 0;
    for (size_t i = 1; i < r->n_out; i++)
        if (r->weight[r->out[i]] > r->weight[r->out[best]]) best = i;
    return best;
}

/* Whether all found room below the target before the budget was used up. */
static bool reach(repair *r, uint64_t target, uint64_t most_looks) {
    r->n_out = 0;
    for (size_t i = 0; i < r->job->n; i++) {
        if (!r->job->items[i].bytes || high_of(r, (uint32_t)i) <= target) continue;
        r->at[i] = OUT;
        r->out[r->n_out++] = (uint32_t)i;
    }
    while (r->n_out && r->looks < most_looks) {
        size_t turn = heaviest(r);
        uint32_t x = r->out[turn];
        choice to = choose_place(r, x, target);
        r->looks += MOVE_LOOKS + r->n_out / 4;
        if (to.cost == INFINITY) return false; /* it crosses a cut wherever it is put */
        r->out[turn] = r->out[--r->n_out];
        if (to.cost > 0) {
            r->weight[x] += r->size[x];
            push_out(r, x, to.at);
        }
        r->at[x] = to.at;
    }
    return r->n_out == 0;
}

/* ---- the whole ---- */

static uint64_t top_of(const repair *r) {
    uint64_t top = 0;
    for (size_t i = 0; i < r->job->n; i++)
        if (r->job->items[i].bytes && high_of(r, (uint32_t)i) > top) top = high_of(r, (uint32_t)i);
    return top;
}

static pm_status open_repair(repair *r, uint64_t *out_pairs) {
    size_t n = r->job->n;
    r->start = pm_calloc(n + 2, sizeof *r->start);
    r->out = pm_calloc(n, sizeof *r->out);
    r->lows = pm_calloc(n, sizeof *r->lows);
    r->highs = pm_calloc(n, sizeof *r->highs);
    r->size = pm_calloc(n, sizeof *r->size);
    r->weight = pm_calloc(n, sizeof *r->weight);
    if (!r->start || !r->out || !r->lows || !r->highs || !r->size || !r->weight) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const item *x = &r->job->items[i];
        r->size[i] = r->weight[i] = sqrt((double)x->bytes * (x->last - x->first + 1.0));
    }
    return list_neighbours(r, out_pairs);
}

static void close_repair(repair *r) {
    pm_free(r->start);
    pm_free(r->out);
    pm_free(r->lows);
    pm_free(r->highs);
    pm_free(r->size);
    pm_free(r->weight);
    pm_free(r->by_low);
    pm_free(r->by_high);
}

pm_status pm_repair_packing(const pm_pack_job *job, uint64_t *at, uint64_t budget) {
    repair r = {.job = job, .at = at, .random = job->n};
    uint64_t part = budget / TRIES, pairs;
    uint64_t *kept = pm_calloc(job->n, sizeof *kept);
    pm_status s = kept ? open_repair(&r, &pairs) : PM_ERR_MEMORY;
    if (s != PM_OK || pairs > MAX_PAIRS) goto fail;
    for (uint64_t top = top_of(&r); top > job->bound && r.looks + part <= budget;) {
        uint64_t step = pm_align_up((top - job->bound) / STEPS + 1, job->alignment);
        memcpy(kept, at, job->n * sizeof *kept);
        if (reach(&r, top - step, r.looks + part))
            top = top_of(&r);
        else
            memcpy(at, kept, job->n * sizeof *kept);
    }
fail:
    close_repair(&r);
    pm_free(kept);
    return s;
}
