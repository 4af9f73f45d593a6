/* See plan_pack.h. Memory is one line of addresses, cut at multiples of a block's size. Items are placed one
 * by one into the gaps that the placed ones of the same time leave. The result depends on their order, so
 * several orders are tried, best fit's first (plan_skyline.c), then the best packing is repaired (plan_repair.c);
 * all within budgets counted in looks at placed items, not in time, and only until the lower bound is met.
 * Invariant: two items that share a step never share an address. */
#include "graph/plan_pack.h"

#include <stdlib.h>
#include <string.h>

#define BUDGET        4000000u /* in looks at placed intervals, 2 to 3 ns each; the first order is always finished */
#define REPAIR_BUDGET 5000000u
#define NOWHERE       UINT64_MAX

typedef pm_pack_item item;

typedef struct spot { /* a placed item */
    uint64_t low, high;
    uint32_t first, last;
} spot;

/* The spots that live while a node's steps last, lowest address first. Nodes form a binary tree over time in
 * one array (children of i: 2i, 2i + 1): a short interval looks only at the small node around it. */
typedef struct node {
    spot *spots;
    size_t n, capacity;
    size_t sweep_at; /* number of spots at which the dead ones are swept out */
} node;

typedef struct packer {
    const item *items;
    size_t n;
    uint64_t cut, bound;
    bool one_block;
    uint64_t looks;
    uint32_t n_leaves, leaf_shift; /* step s belongs to leaf s >> leaf_shift */
    node *nodes;
    uint32_t *order;
    uint64_t *at, *best_at; /* addresses by item */
    uint64_t *filled;       /* scratch: bytes used of each block */
    uint64_t best_bytes;
    bool in_time; /* the order is that of first steps: what has died is met no more */
} packer;

/* Something is found, and it is the best, or all that the budget is for. */
static bool done(const packer *p) {
    return p->best_bytes == p->bound || (p->best_bytes != NOWHERE && p->looks > BUDGET);
}

/* ---- one packing ---- */

static uint64_t beyond_cut(const packer *p, uint64_t at, uint64_t bytes) {
    return p->one_block || at / p->cut == (at + bytes - 1) / p->cut ? at : (at / p->cut + 1) * p->cut;
}

static node *node_around(const packer *p, const item *x) {
    uint32_t a = p->n_leaves + (x->first >> p->leaf_shift), b = p->n_leaves + (x->last >> p->leaf_shift);
    while (a != b) a >>= 1, b >>= 1;
    return &p->nodes[a];
}

/* Drops what died before `step`; not before the list has grown by a quarter, so that it costs little. */
static void sweep(node *n, uint32_t step) {
    size_t kept = 0;
    if (n->n < n->sweep_at) return;
    for (size_t i = 0; i < n->n; i++)
        if (n->spots[i].last >= step) n->spots[kept++] = n->spots[i];
    n->n = kept;
    n->sweep_at = 32 + kept + kept / 4;
}

/* The tightest gap (or the lowest), else the end of what lives at the same time. */
static uint64_t find_room(packer *p, const item *x, bool first_fit) {
    node *n = node_around(p, x);
    if (p->in_time) sweep(n, x->first);
    uint64_t end = 0, best = NOWHERE, best_waste = UINT64_MAX;
    p->looks += n->n;
    for (size_t i = 0; i < n->n; i++) {
        const spot *s = &n->spots[i];
        bool meets = (s->first <= x->last) &
                     (s->last >= x->first); /* & here and below: branches would be guessed wrong */
        if (meets & (s->low > end)) {
            uint64_t at = beyond_cut(p, end, x->bytes);
            if (at + x->bytes <= s->low && s->low - at - x->bytes < best_waste) {
                best = at;
                best_waste = s->low - at - x->bytes;
                if (first_fit || best_waste == 0) break;
            }
        }
        end = (meets & (s->high > end)) ? s->high : end;
    }
    return best != NOWHERE ? best : beyond_cut(p, end, x->bytes);
}

static pm_status insert(packer *p, node *n, const spot *s) {
    void *spots = n->spots;
    pm_status status = pm_grow(&spots, &n->capacity, n->n + 1, sizeof *s);
    n->spots = spots;
    if (status != PM_OK) return status;
    size_t low = 0, high = n->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (n->spots[middle].low < s->low)
            low = middle + 1;
        else
            high = middle;
    }
    p->looks += 8 + (n->n - low) / 8; /* what this costs, in looks */
    memmove(&n->spots[low + 1], &n->spots[low], (n->n - low) * sizeof *s);
    n->spots[low] = *s;
    n->n++;
    return PM_OK;
}

static pm_status insert_in_tree(packer *p, const item *x, uint64_t at) {
    const spot s = {.low = at, .high = at + x->bytes, .first = x->first, .last = x->last};
    uint32_t a = p->n_leaves + (x->first >> p->leaf_shift), b = p->n_leaves + (x->last >> p->leaf_shift);
    for (; a > 0; a >>= 1, b >>= 1)
        for (uint32_t i = a; i <= b; i++) PM_TRY(insert(p, &p->nodes[i], &s));
    return PM_OK;
}

/* The sum of what is used of each block. */
static uint64_t arena_bytes(packer *p) {
    uint64_t n_blocks = 0, sum = 0;
    for (size_t i = 0; p->one_block && i < p->n; i++)
        if (p->at[i] + p->items[i].bytes > sum) sum = p->at[i] + p->items[i].bytes;
    if (p->one_block) return sum;
    for (size_t i = 0; i < p->n; i++) {
        if (!p->items[i].bytes) continue;
        uint64_t block = p->at[i] / p->cut, end = p->at[i] % p->cut + p->items[i].bytes;
        while (n_blocks <= block) p->filled[n_blocks++] = 0; /* no block is empty, so there are at most n */
        if (p->filled[block] < end) p->filled[block] = end;
    }
    for (uint64_t b = 0; b < n_blocks; b++) sum += p->filled[b];
    return sum;
}

static void keep_better(packer *p) {
    uint64_t bytes = arena_bytes(p);
    if (bytes >= p->best_bytes) return;
    p->best_bytes = bytes;
    memcpy(p->best_at, p->at, p->n * sizeof *p->at);
}

/* Packs in p->order; keeps the result when it is the best, and when the budget was not passed on the way. */
static pm_status pack(packer *p, bool first_fit) {
    for (uint32_t i = 0; i < 2 * p->n_leaves; i++) p->nodes[i].n = p->nodes[i].sweep_at = 0;
    for (size_t i = 0; i < p->n; i++) {
        const item *x = &p->items[p->order[i]];
        if (!x->bytes) continue;
        if (done(p)) return PM_OK;
        uint64_t at = find_room(p, x, first_fit);
        p->at[p->order[i]] = at;
        PM_TRY(insert_in_tree(p, x, at));
    }
    keep_better(p);
    return PM_OK;
}

/* ---- orders ---- */

int pm_compare_pack_keys(const void *a, const void *b) {
    const pm_pack_key *x = a, *y = b;
    if (x->major != y->major) return x->major > y->major ? -1 : 1;
    if (x->minor != y->minor) return x->minor > y->minor ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

typedef pm_pack_key sort_key;

static uint64_t life(const item *x) {
    return (uint64_t)(x->last - x->first) + 1;
}
static sort_key by_size(const item *x) {
    return (sort_key){.major = x->bytes, .minor = life(x)};
}
static sort_key by_breadth(const item *x) {
    return (sort_key){.major = x->breadth, .minor = x->bytes};
}
static sort_key by_life(const item *x) {
    return (sort_key){.major = life(x), .minor = x->bytes};
}
static sort_key by_first(const item *x) {
    return (sort_key){.major = UINT32_MAX - x->first, .minor = x->bytes};
}
static sort_key by_last(const item *x) {
    return (sort_key){.major = x->last, .minor = x->bytes};
}
static uint64_t area(const item *x) {
    uint64_t product;
    return pm_mul_u64(x->bytes, life(x), &product) ? product : UINT64_MAX;
}
static sort_key by_area(const item *x) {
    return (sort_key){.major = area(x), .minor = x->bytes};
}
static sort_key by_area_and_life(const item *x) {
    return (sort_key){.major = area(x), .minor = life(x)};
}

/* The best ones first, for when the budget ends early; all with the tightest gap, then all with the lowest.
 */
static const pm_pack_order orders[] = {by_first, by_size, by_breadth, by_area, by_last, by_life};

static pm_status try_orders(packer *p) {
    pm_status s = PM_OK;
    sort_key *keys = pm_calloc(p->n, sizeof *keys);
    if (!keys) return PM_ERR_MEMORY;
    for (size_t k = 0; s == PM_OK && k < 2 * PM_COUNT(orders) && !done(p); k++) {
        const pm_pack_order order = orders[k % PM_COUNT(orders)];
        for (size_t i = 0; i < p->n; i++) {
            keys[i] = order(&p->items[i]);
            keys[i].index = (uint32_t)i;
        }
        qsort(keys, p->n, sizeof *keys, pm_compare_pack_keys);
        for (size_t i = 0; i < p->n; i++) p->order[i] = keys[i].index;
        p->in_time = order == by_first;
        s = pack(p, k >= PM_COUNT(orders));
    }
    pm_free(keys);
    return s;
}

/* Best fit, where no block has an end that it would have to know. */
static pm_status try_skylines(packer *p, const pm_pack_job *job) {
    static const pm_pack_order choices[] = {by_life, by_size, by_area_and_life};
    p->in_time = false;
    for (size_t k = 0; k < PM_COUNT(choices) && !done(p) && p->one_block; k++) {
        PM_TRY(pm_skyline_pack(job, choices[k], p->order, p->at, &p->looks));
        keep_better(p);
        PM_TRY(pack(p, true));
    }
    return PM_OK;
}

/* ---- improvement ---- */

/* Repairs the best packing; keeps the result when it is better. */
static pm_status improve(packer *p, const pm_pack_job *job) {
    if (p->best_bytes == p->bound || p->looks > 2 * BUDGET) return PM_OK;
    memcpy(p->at, p->best_at, p->n * sizeof *p->at);
    PM_TRY(pm_repair_packing(job, p->at, REPAIR_BUDGET));
    keep_better(p);
    return PM_OK;
}

/* ---- the whole ---- */

/* Leaves about as long as two lives: long lives in a fine tree would be entered in very many nodes. */
static void choose_leaves(packer *p, uint32_t n_steps) {
    uint64_t lives = 0;
    for (size_t i = 0; i < p->n; i++) lives += life(&p->items[i]);
    uint64_t width = 2 * lives / p->n;
    for (p->leaf_shift = 5; 1ull << p->leaf_shift < width; p->leaf_shift++) {
    }
    for (p->n_leaves = 1; (n_steps - 1) >> p->leaf_shift >= p->n_leaves; p->n_leaves *= 2) {
    }
}

static pm_status open_packer(packer *p, uint32_t n_steps) {
    choose_leaves(p, n_steps);
    p->best_bytes = NOWHERE;
    p->nodes = pm_calloc(2 * (size_t)p->n_leaves, sizeof *p->nodes);
    p->order = pm_calloc(p->n, sizeof *p->order);
    p->at = pm_calloc(p->n, sizeof *p->at);
    p->best_at = pm_calloc(p->n, sizeof *p->best_at);
    p->filled = pm_calloc(p->n, sizeof *p->filled);
    return p->nodes && p->order && p->at && p->best_at && p->filled ? PM_OK : PM_ERR_MEMORY;
}

static void close_packer(packer *p) {
    for (uint32_t i = 0; p->nodes && i < 2 * p->n_leaves; i++) pm_free(p->nodes[i].spots);
    pm_free(p->nodes);
    pm_free(p->order);
    pm_free(p->at);
    pm_free(p->best_at);
    pm_free(p->filled);
}

pm_status pm_pack(const pm_pack_job *job, uint64_t *out_at) {
    packer p = {
        .items = job->items, .n = job->n, .cut = job->cut, .one_block = job->one_block, .bound = job->bound};
    pm_status s;
    PM_GOTO(open_packer(&p, job->n_steps));
    PM_GOTO(try_skylines(&p, job));
    PM_GOTO(try_orders(&p));
    PM_GOTO(improve(&p, job));
    memcpy(out_at, p.best_at, p.n * sizeof *out_at);
fail:
    close_packer(&p);
    return s;
}
