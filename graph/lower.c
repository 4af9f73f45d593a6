/* From a planned graph to a program: slots for what lies outside of the arena, one dispatch after the other
 * through the operation table, barriers, submissions, inputs and outputs, deaths. Knows no operation but
 * the number of parts of those that take several dispatches. Invariant: the program owns all that it names; nothing in it points into the
 * graph. */
#include "graph/lower.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "graph/hazards.h"
#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"

/* Constants lie in the program; a line of text can ask for any number of them (iota). */
#define MAX_CONSTANTS_BYTES (1u << 30)
#define MAX_PIECES          (1u << 20)

/* Where the storage of a tensor begins. */
typedef struct home {
    uint32_t slot; /* of its first piece; the others follow */
    uint64_t offset, bytes;
    pm_pieces pieces; /* of weights */
} home;

struct pm_lowering {
    const pm_graph *g;
    const pm_graph_plan *plan;
    const pm_caps *caps;
    pm_program *p;
    home *homes; /* by tensor id; only of tensors that own storage */
    size_t dispatches_capacity;
    size_t deaths_capacity;
    pm_hazards hazards;
    uint64_t submit_cost; /* gathered since the last submission began */
};

static uint64_t binding_alignment(const pm_caps *caps) {
    return caps->binding_alignment ? caps->binding_alignment : 16;
}

/* ---- slots ---- */

static void *keep_array(pm_program *p, size_t n, size_t size) {
    if (n > SIZE_MAX / 2 / size)
        return (void)pm_raise(PM_ERR_MEMORY, "lowering: %zu entries of %zu bytes", n, size), NULL;
    return pm_arena_alloc(&p->arena, n * size);
}

static pm_status keep_name(pm_program *p, const char *name, const char **out) {
    *out = pm_arena_strdup(&p->arena, name ? name : "");
    return *out ? PM_OK : PM_ERR_MEMORY;
}

static pm_status add_external(pm_lowering *l, pm_external_kind kind, const char *name, pm_dtype type,
                              uint64_t bytes) {
    pm_program *p = l->p;
    pm_external *e = &p->externals[p->n_externals];
    *e = (pm_external){.kind = kind, .dtype = type, .bytes = bytes};
    PM_TRY(keep_name(p, name, &e->name));
    e->tensor = e->name;
    p->n_externals++;
    return PM_OK;
}

static pm_status add_weight(pm_lowering *l, const pm_tensor *t, const pm_pieces *pieces) {
    const char *tensor = NULL;
    PM_TRY(keep_name(l->p, t->name, &tensor));
    for (uint64_t i = 0; i < pieces->n; i++) {
        uint64_t first, bytes;
        pm_piece_at(pieces, i, &first, &bytes);
        const pm_piece_name name = pm_piece_name_of(pieces, i, "", tensor);
        PM_TRY(add_external(l, PM_EXTERNAL_WEIGHT, pieces->n > 1 ? name.s : tensor, t->dtype, bytes));
        l->p->externals[l->p->n_externals - 1].tensor = tensor;
        l->p->externals[l->p->n_externals - 1].first = first;
    }
    return PM_OK;
}

static pm_status add_state(pm_lowering *l, const pm_tensor *t, uint64_t bytes) {
    uint64_t most = l->caps->max_block_bytes;
    if (most && bytes > most)
        return pm_raise(PM_ERR_MEMORY,
                        "state \"%s\": %" PRIu64 " bytes of it (%s) must be one allocation, at most %" PRIu64
                        " are possible on %s",
                        t->name, bytes, pm_shape(t).s, most, l->caps->name);
    return add_external(l, PM_EXTERNAL_STATE, t->name, t->dtype, bytes);
}

/* Weights and states are found by name; constants and parameters share an external each, the latter in words.
 */
static pm_status place_leaves(pm_lowering *l) {
    pm_program *p = l->p;
    for (size_t i = 0; i < l->g->n_items; i++) {
        const pm_tensor *t = l->g->items[i];
        home *h = &l->homes[i];
        h->bytes = pm_storage_bytes(t);
        if (t->op == PM_OP_WEIGHT || t->op == PM_OP_STATE) {
            h->slot = p->n_blocks + p->n_externals;
            PM_TRY(t->op == PM_OP_STATE ? add_state(l, t, h->bytes) : add_weight(l, t, &h->pieces));
        } else if (t->kind == PM_KIND_CONST) {
            h->offset = p->constants_bytes;
            p->constants_bytes += pm_align_up(h->bytes, binding_alignment(l->caps));
        } else if (t->kind == PM_KIND_PARAM) {
            h->offset = 4 * (uint64_t)p->n_params;
            PM_TRY(keep_name(p, t->name, &p->param_names[p->n_params]));
            p->n_params++;
        } else if (l->plan->interval_of[i] >= 0) {
            const pm_place *at = &l->plan->result.places[l->plan->interval_of[i]];
            h->slot = at->block;
            h->offset = at->offset + l->plan->offset_of[i];
            if (p->largest_tensor_bytes < h->bytes) p->largest_tensor_bytes = h->bytes;
        }
    }
    return PM_OK;
}

static void fill_constant(const pm_tensor *t, void *to) {
    int32_t *words = to;
    if (t->op == PM_OP_CONST)
        memcpy(to, t->data, (size_t)pm_storage_bytes(t));
    else
        for (int32_t i = 0; i < (int32_t)t->dims[0]; i++) words[i] = i; /* iota */
}

static pm_status place_shared(pm_lowering *l) {
    pm_program *p = l->p;
    uint32_t constants = p->n_blocks + p->n_externals;
    if (p->constants_bytes)
        PM_TRY(add_external(l, PM_EXTERNAL_CONSTANTS, "constants", PM_F32, p->constants_bytes));
    uint32_t params = p->n_blocks + p->n_externals;
    if (p->n_params) PM_TRY(add_external(l, PM_EXTERNAL_PARAMS, "params", PM_I32, 4 * (uint64_t)p->n_params));
    if (p->constants_bytes > MAX_CONSTANTS_BYTES)
        return pm_raise(PM_ERR_MEMORY, "lowering: constants of %" PRIu64 " bytes, at most %u are possible",
                        p->constants_bytes, MAX_CONSTANTS_BYTES);
    char *data = pm_arena_alloc(&p->arena, (size_t)p->constants_bytes);
    if (!data) return PM_ERR_MEMORY;
    p->constants = data;
    for (size_t i = 0; i < l->g->n_items; i++) {
        const pm_tensor *t = l->g->items[i];
        if (t->kind == PM_KIND_PARAM) l->homes[i].slot = params;
        if (t->kind != PM_KIND_CONST || t->base != t) continue;
        l->homes[i].slot = constants;
        fill_constant(t, data + l->homes[i].offset);
    }
    return PM_OK;
}

/* Finds the pieces of weights; *out_n: how many externals there may be. */
static pm_status cut_weights(pm_lowering *l, size_t *out_n) {
    *out_n = l->g->n_items + 2;
    for (size_t i = 0; i < l->g->n_items; i++) {
        const pm_tensor *t = l->g->items[i];
        if (t->op != PM_OP_WEIGHT) continue;
        const pm_pieces pieces = l->homes[i].pieces = pm_pieces_of(l->caps, t->rank, t->dims);
        if (pieces.n > MAX_PIECES)
            return pm_raise(PM_ERR_MEMORY,
                            "weight \"%s\": %" PRIu64 " bytes would be %" PRIu64
                            " pieces, since one allocation of %s may have %" PRIu64,
                            t->name, pieces.bytes, pieces.n, l->caps->name, l->caps->max_block_bytes);
        *out_n += (size_t)pieces.n - 1;
    }
    return PM_OK;
}

static pm_status place_storage(pm_lowering *l) {
    pm_program *p = l->p;
    const pm_plan_result *r = &l->plan->result;
    size_t n_externals;
    PM_TRY(cut_weights(l, &n_externals));
    p->n_blocks = r->n_blocks;
    p->arena_bytes = r->arena_bytes;
    p->lower_bound_bytes = r->lower_bound_bytes;
    p->block_bytes = keep_array(p, r->n_blocks, sizeof *p->block_bytes);
    p->externals = keep_array(p, n_externals, sizeof *p->externals);
    p->param_names = keep_array(p, l->g->n_items, sizeof *p->param_names);
    if (!p->block_bytes || !p->externals || !p->param_names) return PM_ERR_MEMORY;
    memcpy(p->block_bytes, r->block_bytes, r->n_blocks * sizeof *p->block_bytes);
    PM_TRY(place_leaves(l));
    return place_shared(l);
}

/* ---- bindings ---- */

/* Names a tensor for an error: a leaf by its name, others by operation and label. */
static void describe(const pm_tensor *t, char *out, size_t bytes) {
    const pm_tensor *base = t->base;
    const char *name = base->name ? base->name : "";
    snprintf(out, bytes, "%s%s%s%s", pm_op_get(base->op)->name, *name ? " \"" : "", name, *name ? "\"" : "");
}

/* The part of h that holds bytes first .. first + bytes - 1: a piece of a weight, or all of it. */
static pm_status find_piece(const pm_lowering *l, const pm_tensor *t, uint64_t first, uint64_t bytes,
                            home *out) {
    *out = l->homes[t->base->id];
    if (out->pieces.n < 2) return PM_OK;
    uint64_t piece = pm_piece_of(&out->pieces, first), begin, size;
    pm_piece_at(&out->pieces, piece, &begin, &size);
    if (first + bytes > begin + size) {
        char what[256];
        describe(t, what, sizeof what);
        return pm_raise(PM_ERR_DEVICE,
                        "%s: %" PRIu64 " bytes of it (%s) must be bound at once, and it lies in %" PRIu64
                        " pieces, since one allocation of %s may have %" PRIu64,
                        what, bytes, pm_shape(t).s, out->pieces.n, l->caps->name, l->caps->max_block_bytes);
    }
    out->slot += (uint32_t)piece;
    out->offset -= begin; /* modulo 2^64: offsets are from the tensor's beginning */
    return PM_OK;
}

pm_status pm_lower_bind(pm_lowering *l, pm_dispatch *d, const pm_tensor *t, bool written,
                        uint32_t *out_offset) {
    if (d->n_bindings >= PM_MAX_BINDINGS)
        return pm_raise(PM_ERR_OTHER, "lowering: more than %d bindings", PM_MAX_BINDINGS);
    uint32_t index = d->n_bindings++;
    *out_offset = 0;
    if (!t) {
        d->bindings[index] = d->bindings[0];
        d->unused |= 1u << index;
        return PM_OK;
    }
    home h;
    PM_TRY(find_piece(l, t, 4 * (uint64_t)t->offset, pm_extent_bytes(t), &h));
    uint64_t first = h.offset + 4 * (uint64_t)t->offset;
    uint64_t start = first - first % binding_alignment(l->caps);
    pm_range range = {.slot = h.slot, .offset = start, .bytes = first - start + pm_extent_bytes(t)};
    if (l->caps->max_binding_bytes && range.bytes > l->caps->max_binding_bytes) {
        char what[256];
        describe(t, what, sizeof what);
        return pm_raise(PM_ERR_DEVICE,
                        "%s: %" PRIu64 " bytes of it (%s) must be bound at once, at most %" PRIu64
                        " are possible on %s",
                        what, range.bytes, pm_shape(t).s, l->caps->max_binding_bytes, l->caps->name);
    }
    d->bindings[index] = range;
    if (written) d->written |= 1u << index;
    *out_offset = (uint32_t)((first - start) / 4);
    return PM_OK;
}

void pm_lower_halt(pm_lowering *l, const pm_dispatch *d, uint32_t word, uint32_t n) {
    const pm_range *r = &d->bindings[d->n_bindings - 1];
    l->p->has_halt = true;
    l->p->halt = (pm_range){r->slot, r->offset + 4 * (uint64_t)word, 4 * (uint64_t)n};
}

/* ---- parts: dispatches of one operation ---- */

#define PART_ROWS 64 /* parts are multiples of it: whole tiles */

/* Rows along dim of x that one binding holds; all of them when they fit. */
static int64_t rows_of_binding(const pm_caps *caps, const pm_tensor *x, int dim) {
    uint64_t limit = caps->max_binding_bytes, others, step = 4 * (uint64_t)x->strides[dim];
    pm_tensor one = pm_lower_slice(x, dim, 0, 1);
    others = pm_extent_bytes(&one) +
             binding_alignment(caps); /* a binding begins up to that much before its tensor */
    if (!limit || pm_extent_bytes(x) + binding_alignment(caps) <= limit || others >= limit || !step)
        return x->dims[dim];
    return (int64_t)((limit - others) / step) + 1;
}

bool pm_lower_can_bind(const pm_lowering *l, const pm_tensor *x) {
    uint64_t limit = l->caps->max_binding_bytes;
    return !limit || pm_extent_bytes(x) <=
                         limit - (limit > binding_alignment(l->caps) ? binding_alignment(l->caps) : 0);
}

/* Rows of one part: as many as a binding holds, and as one submission may work on. */
static int64_t rows_of_part(const pm_caps *caps, const pm_tensor *x, int dim, uint64_t row_cost) {
    int64_t n = rows_of_binding(caps, x, dim);
    uint64_t most = caps->submit_cost && row_cost ? caps->submit_cost / row_cost : (uint64_t)n;
    if (most < PART_ROWS) most = PART_ROWS;
    if (most < (uint64_t)n) n = (int64_t)most;
    return n < x->dims[dim] && n > PART_ROWS ? n - n % PART_ROWS : n;
}

/* Where weights are streamed, a part of what a product of several tiles of rows reads should fit a slot: parts alike, none so narrow
 * that a kernel for narrow ones would take it, which might add in another order. */
static int64_t rows_of_slot(const pm_caps *caps, const pm_tensor *t, const pm_tensor *x, int dim, int64_t n) {
    uint64_t limit = caps->stream_part_bytes, step = 4 * (uint64_t)x->strides[dim];
    const pm_tensor one = pm_lower_slice(x, dim, 0, 1);
    int64_t n_rows = (int64_t)pm_elems(t) / t->dims[t->rank - 1], most;
    if (!limit || x->base->op != PM_OP_WEIGHT || n_rows <= PART_ROWS || pm_extent_bytes(&one) > step)
        return n;
    most = (int64_t)(limit / step);
    if (most < PART_ROWS) most = PART_ROWS;
    if (most >= n) return n;
    const int64_t n_parts = (n + most - 1) / most;
    return (n + n_parts - 1) / n_parts;
}

pm_tensor pm_lower_slice(const pm_tensor *x, int dim, int64_t first, int64_t n) {
    pm_tensor part = *x; /* its base is x's */
    if (x->dims[dim] == 1) return part;
    part.dims[dim] = n;
    part.offset += first * x->strides[dim];
    return part;
}

int64_t pm_lower_run(const pm_lowering *l, const pm_tensor *x, int dim, int64_t most, int64_t first) {
    const pm_pieces *pieces = &l->homes[x->base->id].pieces;
    int64_t left = x->dims[dim] - first, n = left < most ? left : most;
    if (pieces->n < 2 || x->dims[dim] == 1) return n;
    const pm_tensor one = pm_lower_slice(x, dim, first, 1);
    uint64_t at = 4 * (uint64_t)one.offset, end = at + pm_extent_bytes(&one), begin, size,
             step = 4 * (uint64_t)x->strides[dim];
    pm_piece_at(pieces, pm_piece_of(pieces, at), &begin, &size);
    uint64_t more = end < begin + size && step ? (begin + size - end) / step : 0; /* rows behind the first */
    return (uint64_t)n - 1 < more ? n : (int64_t)more + 1;
}

int64_t pm_lower_rows_of_binding(const pm_lowering *l, const pm_tensor *x, int dim) {
    return rows_of_binding(l->caps, x, dim);
}

int64_t pm_lower_rows_at_once(const pm_lowering *l, const pm_tensor *x, int dim, uint64_t row_cost) {
    return rows_of_part(l->caps, x, dim, row_cost);
}

/* The table of rows that an operation can take in slices, b of a product or a gather's, and how many of them at most; NULL: no
 * such operand. */
static const pm_tensor *rows_operand(const pm_lowering *l, const pm_tensor *t, int *out_dim,
                                     int64_t *out_most) {
    *out_dim = 0;
    *out_most = 0;
    if (t->op == PM_OP_GATHER) {
        *out_most = rows_of_part(l->caps, t->in[0], 0, 0);
        return t->in[0];
    }
    if (t->op != PM_OP_MATMUL) return NULL;
    const pm_tensor *x = t->in[PM_MATMUL_B];
    *out_dim = x->rank - 2;
    *out_most = rows_of_part(l->caps, x, *out_dim, pm_cost_matmul(t) / (uint64_t)x->dims[*out_dim]);
    *out_most = rows_of_slot(l->caps, t, x, *out_dim, *out_most);
    return x;
}

void pm_lower_rows_of_part(const pm_lowering *l, const pm_tensor *t, uint32_t part, int64_t *out_first,
                           int64_t *out_n) {
    int dim;
    int64_t most;
    const pm_tensor *x = rows_operand(l, t, &dim, &most);
    *out_first = 0;
    *out_n = pm_lower_run(l, x, dim, most, 0);
    while (part--) {
        *out_first += *out_n;
        *out_n = pm_lower_run(l, x, dim, most, *out_first);
    }
}

static uint32_t count_parts(const pm_lowering *l, const pm_tensor *t) {
    int dim;
    int64_t most;
    uint32_t n = 0;
    if (!pm_op_get(t->op)->lower) return 0;
    if (t->op == PM_OP_CONCAT) return (uint32_t)t->n_in;
    if (l->plan->caches.product_of[t->id]) return 0;
    if (t->op == PM_OP_GROUPED_MATMUL) return pm_lower_grouped_parts(l, t);
    const pm_tensor *x = rows_operand(l, t, &dim, &most);
    if (!x) return 1;
    for (int64_t first = 0; first < x->dims[dim]; n++) first += pm_lower_run(l, x, dim, most, first);
    return n;
}

void pm_lower_caches_of(const pm_lowering *l, const pm_tensor *t, const pm_tensor **out_writes,
                        uint32_t *out_n) {
    const uint32_t *writes = l->plan->caches.writes_of[t->id];
    for (*out_n = 0; *out_n < PM_MAX_CACHES && writes[*out_n]; ++*out_n)
        out_writes[*out_n] = l->g->items[writes[*out_n] - 1];
}

bool pm_lower_is_gone(const pm_lowering *l, const pm_tensor *t) {
    return l->plan->caches.is_gone[t->id];
}

/* ---- dispatches ---- */

static pm_status make_label(pm_program *p, const pm_tensor *t, const char **out) {
    char text[256];
    const char *name = t->name ? t->name : "";
    snprintf(text, sizeof text, "%s%s%s", pm_op_get(t->op)->name, *name ? " " : "", name);
    return keep_name(p, text, out);
}

/* A new submission begins when the work of the one before would pass the limit. */
static void cut_submission(pm_lowering *l, pm_dispatch *d) {
    uint64_t limit = l->caps->submit_cost;
    if (limit && l->submit_cost && (d->cost > limit || l->submit_cost > limit - d->cost)) {
        d->submit = true;
        l->submit_cost = 0;
        l->p->n_submits++;
    }
    if (!pm_add_u64(l->submit_cost, d->cost, &l->submit_cost)) l->submit_cost = UINT64_MAX;
}

static void count_copy(pm_program *p, const pm_dispatch *d) {
    bool copies = (d->kernel == PM_KERNEL_CACHE_WRITE && !d->spec[PM_SPEC_TURNED]) ||
                  (d->kernel == PM_KERNEL_UNARY && d->spec[PM_SPEC_FN] == PM_FN_COPY);
    p->n_copies += copies;
    p->copied_bytes += copies ? 4 * d->cost : 0;
}

static pm_status add_dispatch(pm_lowering *l, const pm_tensor *t, uint32_t part, uint32_t n_parts) {
    const pm_op_info *info = pm_op_get(t->op);
    pm_program *p = l->p;
    pm_dispatch d = {.node = t->id};
    PM_TRY(make_label(p, t, &d.label));
    PM_TRY(info->lower(l, t, part, &d));
    if (!d.cost && info->cost) d.cost = info->cost(t) / n_parts;
    PM_TRY(pm_select(l->caps, &d));
    for (uint32_t b = 0; b < d.n_bindings; b++) d.loads[b] = pm_dispatch_loads(t, &d, b);
    PM_TRY(pm_hazards_add(&l->hazards, &d, &d.barrier));
    p->n_barriers += d.barrier;
    count_copy(p, &d);
    cut_submission(l, &d);
    void *dispatches = p->dispatches;
    pm_status s = pm_grow(&dispatches, &l->dispatches_capacity, p->n_dispatches + 1u, sizeof d);
    p->dispatches = dispatches;
    if (s == PM_OK) p->dispatches[p->n_dispatches++] = d;
    return s;
}

/* ---- deaths: intervals by the step after which they are idle ---- */

/* Lists of intervals by last step: heads by step, next by interval; both hold index + 1. */
typedef struct by_last {
    uint32_t *heads, *next;
} by_last;

static pm_status list_by_last(const pm_lowering *l, by_last *out) {
    const pm_graph_plan *plan = l->plan;
    out->heads = pm_calloc(l->g->n_items, sizeof *out->heads);
    out->next = pm_calloc(plan->n_intervals, sizeof *out->next);
    if (!out->heads || !out->next) return PM_ERR_MEMORY;
    for (size_t i = 0; i < plan->n_intervals; i++) {
        uint32_t *head = &out->heads[plan->intervals[i].last];
        out->next[i] = *head;
        *head = (uint32_t)i + 1;
    }
    return PM_OK;
}

/* Nothing dies at the last step: what lives then is read after the run. */
static pm_status add_deaths(pm_lowering *l, const by_last *lists, uint32_t step) {
    pm_program *p = l->p;
    if (step + 1 == l->g->n_items || !p->n_dispatches) return PM_OK;
    for (uint32_t i = lists->heads[step]; i; i = lists->next[i - 1]) {
        const pm_place *at = &l->plan->result.places[i - 1];
        void *deaths = p->deaths;
        pm_status s = pm_grow(&deaths, &l->deaths_capacity, p->n_deaths + 1u, sizeof *p->deaths);
        p->deaths = deaths;
        if (s != PM_OK) return s;
        p->deaths[p->n_deaths++] = (pm_death){
            .dispatch = p->n_dispatches - 1,
            .range = {.slot = at->block, .offset = at->offset, .bytes = l->plan->intervals[i - 1].bytes},
        };
    }
    return PM_OK;
}

/* A part of a concat that was made where it belongs (plan_graph.c). */
static bool lies_in_place(const pm_lowering *l, const pm_tensor *t, uint32_t part) {
    if (t->op != PM_OP_CONCAT) return false;
    const pm_tensor *x = t->in[part], slice = pm_lower_part_of_concat(t, part);
    const int32_t *interval_of = l->plan->interval_of;
    return x->base->kind == PM_KIND_TEMP && interval_of[x->base->id] == interval_of[t->id] &&
           l->homes[x->base->id].offset + 4 * (uint64_t)x->offset ==
               l->homes[t->id].offset + 4 * (uint64_t)slice.offset;
}

static pm_status add_dispatches(pm_lowering *l, const pm_tensor *t) {
    uint32_t n_parts = count_parts(l, t);
    for (uint32_t part = 0; part < n_parts; part++)
        if (!lies_in_place(l, t, part)) PM_TRY(add_dispatch(l, t, part, n_parts));
    return PM_OK;
}

/* The tensor as it lies: a guest among the columns of its concat is that slice, which is made in *room. */
static const pm_tensor *as_it_lies(const pm_lowering *l, const pm_tensor *t, pm_tensor *room) {
    uint32_t host = l->plan->slice_of[t->id], part = 0;
    if (!host) return t;
    const pm_tensor *concat = l->g->items[host - 1];
    while (concat->in[part] != t) part++;
    const pm_tensor slice = pm_lower_part_of_concat(concat, part);
    *room = *t;
    room->base = slice.base;
    room->offset = slice.offset;
    memcpy(room->strides, slice.strides, sizeof room->strides);
    return room;
}

static pm_status lower_items(pm_lowering *l) {
    by_last lists = {0};
    pm_status s = list_by_last(l, &lists);
    for (uint32_t i = 0; s == PM_OK && i < l->g->n_items; i++) {
        pm_tensor room;
        const pm_tensor *t = as_it_lies(l, l->g->items[i], &room);
        const pm_lower_cut cut = pm_lower_find_cut(l, t);
        for (uint32_t k = 0; s == PM_OK && k < cut.n_parts; k++) {
            pm_lower_slices slices;
            if (cut.n_parts > 1) pm_lower_cut_part(t, &cut, k, &slices);
            s = add_dispatches(l, cut.n_parts > 1 ? &slices.t : t);
        }
        if (s == PM_OK) s = add_deaths(l, &lists, i);
    }
    pm_free(lists.heads);
    pm_free(lists.next);
    return s;
}

/* ---- inputs and outputs ---- */

static pm_status add_io(pm_lowering *l, const char *name, const pm_tensor *t, pm_io *io) {
    home h;
    PM_TRY(find_piece(l, t, 4 * (uint64_t)t->offset, 4 * (uint64_t)pm_elems(t), &h));
    *io = (pm_io){.dtype = t->dtype, .rank = t->rank};
    io->range = (pm_range){
        .slot = h.slot, .offset = h.offset + 4 * (uint64_t)t->offset, .bytes = 4 * (uint64_t)pm_elems(t)};
    memcpy(io->dims, t->dims, sizeof io->dims);
    return keep_name(l->p, name, &io->name);
}

static pm_status add_inputs_and_outputs(pm_lowering *l) {
    pm_program *p = l->p;
    p->inputs = keep_array(p, l->g->n_items, sizeof *p->inputs);
    p->outputs = keep_array(p, l->g->n_outputs, sizeof *p->outputs);
    if (!p->inputs || !p->outputs) return PM_ERR_MEMORY;
    for (size_t i = 0; i < l->g->n_items; i++)
        if (l->g->items[i]->kind == PM_KIND_INPUT)
            PM_TRY(add_io(l, l->g->items[i]->name, l->g->items[i], &p->inputs[p->n_inputs++]));
    for (size_t i = 0; i < l->g->n_outputs; i++)
        PM_TRY(add_io(l, l->g->outputs[i].name, l->g->outputs[i].tensor, &p->outputs[p->n_outputs++]));
    return PM_OK;
}

/* ---- the whole ---- */

pm_status pm_lower(const pm_graph *g, const pm_graph_plan *plan, const pm_caps *caps, pm_program **out) {
    pm_lowering l = {.g = g, .plan = plan, .caps = caps};
    pm_status s = PM_ERR_MEMORY;
    *out = NULL;
    l.p = pm_calloc(1, sizeof *l.p);
    l.homes = pm_calloc(g->n_items, sizeof *l.homes);
    if (!l.p || !l.homes) goto fail;
    l.p->n_submits = 1;
    PM_GOTO(keep_name(l.p, g->name, &l.p->name));
    PM_GOTO(place_storage(&l));
    PM_GOTO(lower_items(&l));
    PM_GOTO(add_inputs_and_outputs(&l));
fail:
    pm_hazards_free(&l.hazards);
    pm_free(l.homes);
    if (s == PM_OK)
        *out = l.p;
    else
        pm_program_destroy(l.p);
    return s;
}
