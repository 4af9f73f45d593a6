/* Best fit over a skyline (Sekiyama, Imai, Negishi, Kawachiya 2018): addresses, and an order for the packer. Memory is filled from below: of
 * the lowest stretch of time that has one height, the item that fits there and lives longest (or is largest) goes on
 * top; where none fits, the stretch is raised to its lower neighbour. */
#include "graph/plan_pack.h"

#include <stdlib.h>

#define NONE UINT32_MAX
enum { STEP_LOOKS = 16 }; /* what a step costs beside the search, in looks */

typedef struct stretch {
    uint32_t first, last; /* steps */
    uint64_t height;
    uint32_t left, right; /* neighbours, which differ in height; NONE at the ends */
    uint32_t place;       /* in the heap; NONE: it is no more */
} stretch;

typedef struct waiting {
    uint32_t first, last, item; /* last NONE: it is placed */
} waiting;

typedef struct skyline {
    const pm_pack_item *items;
    waiting *by_rank;   /* the best ones first */
    uint32_t *rank;     /* by item: its place there */
    uint32_t *by_first; /* items in the order of their first steps */
    uint32_t *start;    /* by step: where by_first comes to it */
    bool *placed;
    uint32_t n_items, n_ranked, n_gone; /* not empty; in by_rank; of these placed since */
    stretch *stretches;
    uint32_t *free, n_free; /* stretches that are no more */
    uint32_t *heap, n_heap; /* the lowest stretch on top; of equal ones the first */
} skyline;

static pm_status sort_items(skyline *s, const pm_pack_job *job, pm_pack_order best_first) {
    pm_pack_key *keys = pm_calloc(job->n, sizeof *keys);
    if (!keys) return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < job->n; i++) {
        if (!job->items[i].bytes) continue;
        keys[s->n_items] = best_first(&job->items[i]);
        keys[s->n_items++].index = i;
        s->start[job->items[i].first + 2]++;
    }
    qsort(keys, s->n_items, sizeof *keys, pm_compare_pack_keys);
    for (uint32_t step = 0; step < job->n_steps; step++) s->start[step + 2] += s->start[step + 1];
    for (uint32_t i = 0; i < s->n_items; i++) {
        uint32_t x = keys[i].index;
        s->by_rank[i] = (waiting){job->items[x].first, job->items[x].last, x};
        s->rank[x] = i;
        s->by_first[s->start[job->items[x].first + 1]++] =
            x; /* then start[step + 1] is where the next step begins */
    }
    s->n_ranked = s->n_items;
    pm_free(keys);
    return PM_OK;
}

/* An item has its place. by_rank is made dense again when half of it is placed. */
static void leave(skyline *s, uint32_t x) {
    s->placed[x] = true;
    s->by_rank[s->rank[x]].last = NONE;
    if (++s->n_gone * 2 < s->n_ranked) return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_ranked; i++) {
        if (s->by_rank[i].last == NONE) continue;
        s->rank[s->by_rank[i].item] = n;
        s->by_rank[n++] = s->by_rank[i];
    }
    s->n_ranked = n;
    s->n_gone = 0;
}

/* ---- the heap ---- */

static bool is_lower(const skyline *s, uint32_t a, uint32_t b) {
    const stretch *x = &s->stretches[a], *y = &s->stretches[b];
    return x->height != y->height ? x->height < y->height : x->first < y->first;
}

static void set_place(skyline *s, uint32_t place, uint32_t id) {
    s->heap[place] = id;
    s->stretches[id].place = place;
}

/* Moves what stands at `place` to where it belongs. */
static void settle(skyline *s, uint32_t place) {
    uint32_t id = s->heap[place];
    while (place && is_lower(s, id, s->heap[(place - 1) / 2])) {
        set_place(s, place, s->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child + 1 < s->n_heap && is_lower(s, s->heap[child + 1], s->heap[child])) child++;
        if (child >= s->n_heap || !is_lower(s, s->heap[child], id)) break;
        set_place(s, place, s->heap[child]);
        place = child;
    }
    set_place(s, place, id);
}

static uint32_t add_stretch(skyline *s, const stretch *x) {
    uint32_t id = s->free[--s->n_free];
    s->stretches[id] = *x;
    s->heap[s->n_heap] = id;
    s->stretches[id].place = s->n_heap;
    settle(s, s->n_heap++);
    if (x->left != NONE) s->stretches[x->left].right = id;
    if (x->right != NONE) s->stretches[x->right].left = id;
    return id;
}

static void remove_stretch(skyline *s, uint32_t id) {
    uint32_t place = s->stretches[id].place, last = s->heap[--s->n_heap];
    if (place < s->n_heap) {
        set_place(s, place, last);
        settle(s, place);
    }
    s->free[s->n_free++] = id;
}

/* ---- the skyline ---- */

/* The right one of two neighbours of one height goes. */
static void join(skyline *s, uint32_t left) {
    if (left == NONE) return;
    stretch *x = &s->stretches[left];
    uint32_t right = x->right;
    if (right == NONE || s->stretches[right].height != x->height) return;
    x->last = s->stretches[right].last;
    x->right = s->stretches[right].right;
    if (x->right != NONE) s->stretches[x->right].left = left;
    remove_stretch(s, right);
}

static void raise(skyline *s, uint32_t id) {
    stretch *x = &s->stretches[id];
    uint64_t left = x->left != NONE ? s->stretches[x->left].height : UINT64_MAX;
    uint64_t right = x->right != NONE ? s->stretches[x->right].height : UINT64_MAX;
    x->height = left < right ? left : right;
    settle(s, x->place);
    join(s, id);
    join(s, x->left);
}

/* Puts an item on a stretch, which becomes up to three. */
static void put(skyline *s, uint32_t id, const pm_pack_item *item) {
    const stretch old = s->stretches[id];
    stretch *x = &s->stretches[id];
    *x = (stretch){item->first, item->last, old.height + item->bytes, old.left, old.right, old.place};
    settle(s, old.place);
    if (item->first > old.first)
        (void)add_stretch(s, &(stretch){old.first, item->first - 1, old.height, old.left, id, 0});
    if (item->last < old.last)
        (void)add_stretch(s, &(stretch){item->last + 1, old.last, old.height, id, old.right, 0});
    join(s, id);
    join(s, x->left);
}

/* The best item that waits and fits; NONE: none does. A short stretch is searched by steps, a long one by rank. */
static uint32_t find_item(skyline *s, const stretch *at, uint64_t *looks) {
    uint32_t from = s->start[at->first], to = s->start[at->last + 1], found = NONE;
    if (to - from <= s->n_ranked / 4) {
        for (uint32_t i = from; i < to; i++) {
            uint32_t x = s->by_first[i];
            bool fits = !s->placed[x] && s->items[x].last <= at->last;
            if (fits && (found == NONE || s->rank[x] < s->rank[found])) found = x;
        }
        *looks += to - from;
        return found;
    }
    for (uint32_t i = 0; i < s->n_ranked; i++) {
        const waiting *w = &s->by_rank[i];
        if ((w->first < at->first) | (w->last > at->last)) continue; /* | : && would be guessed wrong */
        *looks += i;
        return w->item;
    }
    *looks += s->n_ranked;
    return NONE;
}

/* ---- the whole ---- */

static pm_status open_skyline(const pm_pack_job *job, skyline *s) {
    size_t n = job->n, most = 2 * n + 3; /* stretches: an item makes two more at the most */
    *s = (skyline){.items = job->items};
    s->by_rank = pm_calloc(n, sizeof *s->by_rank);
    s->rank = pm_calloc(n, sizeof *s->rank);
    s->by_first = pm_calloc(n, sizeof *s->by_first);
    s->start = pm_calloc((size_t)job->n_steps + 2, sizeof *s->start);
    s->placed = pm_calloc(n, sizeof *s->placed);
    s->stretches = pm_calloc(most, sizeof *s->stretches);
    s->free = pm_calloc(most, sizeof *s->free);
    s->heap = pm_calloc(most, sizeof *s->heap);
    if (!s->by_rank || !s->rank || !s->by_first || !s->start || !s->placed || !s->stretches || !s->free ||
        !s->heap)
        return PM_ERR_MEMORY;
    while (s->n_free < most) s->free[s->n_free] = (uint32_t)(most - 1 - s->n_free), s->n_free++;
    return PM_OK;
}

static void close_skyline(skyline *s) {
    pm_free(s->by_rank);
    pm_free(s->rank);
    pm_free(s->by_first);
    pm_free(s->start);
    pm_free(s->placed);
    pm_free(s->stretches);
    pm_free(s->free);
    pm_free(s->heap);
}

pm_status pm_skyline_pack(const pm_pack_job *job, pm_pack_order best_first, uint32_t *out_order,
                          uint64_t *out_at, uint64_t *looks) {
    skyline s;
    uint32_t n_placed = 0;
    pm_status status = open_skyline(job, &s);
    if (status == PM_OK) status = sort_items(&s, job, best_first);
    if (status == PM_OK) (void)add_stretch(&s, &(stretch){0, job->n_steps - 1, 0, NONE, NONE, 0});
    while (status == PM_OK && n_placed < s.n_items) {
        uint32_t lowest = s.heap[0], x = find_item(&s, &s.stretches[lowest], looks);
        *looks += STEP_LOOKS;
        if (x == NONE) {
            raise(&s, lowest);
            continue;
        }
        out_at[x] = s.stretches[lowest].height;
        put(&s, lowest, &s.items[x]);
        leave(&s, x);
        out_order[n_placed++] = x;
    }
    for (uint32_t i = 0; status == PM_OK && i < job->n; i++)
        if (!job->items[i].bytes) out_order[n_placed++] = i;
    close_skyline(&s);
    return status;
}
