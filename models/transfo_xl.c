/* The graph of Transformer-XL (Dai et al. 2019): a segment's layers see the hidden states that the segments before left, and
 * scores have a term for the distance of the key. FORWARD is a segment, whose memory is what its layers were given, in
 * states "mem.L" [B,1,rows,C]. STEP is generation: keys and values of what would be memory are kept instead, since they do
 * not change, as are the keys of distances "r.L", which ENCODE computes. */
#include "models/adaptive.h"

#include <math.h>

/* One layer being built. */
typedef struct place {
    const pm_stack *st;
    const pm_recurrence *re;
    int64_t i;
    pm_tensor *memory;   /* [B,M,C], or NULL */
    pm_tensor *position; /* of the first new token among the keys; NULL: 0 */
} place;

static pm_tensor *linear(pm_build *b, const place *at, pm_tensor *x, const pm_pair *names,
                         const pm_linear_shape *shape) {
    pm_layer_name weight = pm_build_layer_name(at->st->prefix, at->i, names->weight),
                  bias = pm_build_layer_name(at->st->prefix, at->i, names->bias ? names->bias : "");
    return pm_block_linear(b, x, &(pm_pair){weight.s, names->bias ? bias.s : NULL}, shape);
}

static pm_tensor *norm(pm_build *b, const place *at, pm_tensor *x, const pm_pair *names) {
    pm_layer_name weight = pm_build_layer_name(at->st->prefix, at->i, names->weight),
                  bias = pm_build_layer_name(at->st->prefix, at->i, names->bias);
    return pm_block_norm(b, x, &(pm_norm){PM_NORM_LAYER, at->st->eps, false}, &(pm_pair){weight.s, bias.s});
}

/* Parts `first` .. of q, k, v from one matrix. */
static pm_tensor *part_rows(pm_build *b, const place *at, pm_tensor *x, int64_t first, int64_t n) {
    const pm_stack *st = at->st;
    int64_t part = st->n_heads * st->head_dim;
    pm_layer_name weight = pm_build_layer_name(st->prefix, at->i, st->self.qkv.weight);
    return pm_block_linear_rows(b, x, &(pm_pair){weight.s, NULL},
                                &(pm_linear_shape){st->width, 3 * part, false}, first * part, n * part);
}

/* ---- distances ---- */

/* The keys of n distances from 0 on: [1,H,n,D]. */
static pm_tensor *place_keys(pm_build *b, const place *at, int64_t n) {
    const pm_stack *st = at->st;
    pm_table table = {.name = "distances", .rows = 16, .columns = st->width, .fill = pm_fill_sinusoid_halves};
    while (table.rows < n) table.rows *= 2; /* programs of like lengths share it */
    pm_tensor *r = pm_slice(b->g, pm_build_table(b, &table), 0, 0, n);
    r = linear(b, at, r, &at->re->r, &(pm_linear_shape){st->width, st->n_heads * st->head_dim, false});
    r = pm_reshape(b->g, r, 4, (int64_t[]){1, n, st->n_heads, st->head_dim});
    return pm_permute(b->g, r, (int[]){0, 2, 1, 3});
}

/* How many distances n_keys keys can have. */
static int64_t n_distances(const pm_recurrence *re, int64_t n_keys) {
    return re->farthest && re->farthest + 1 < n_keys ? re->farthest + 1 : n_keys;
}

static pm_tensor *place_state(pm_build *b, const place *at) {
    const pm_stack *st = at->st;
    int64_t n = n_distances(at->re, b->options.cache);
    return pm_build_state(b, b->options.states, "r", at->i, (int64_t[]){1, st->n_heads, n, st->head_dim});
}

/* q plus what the model adds to all of its queries: [B,H,T,D]. */
static pm_tensor *biased(pm_build *b, const place *at, pm_tensor *q, const char *name) {
    const pm_stack *st = at->st;
    pm_layer_name full = pm_build_layer_name(st->prefix, at->i, name);
    pm_tensor *bias =
        pm_build_weight(b, at->re->shared_u_and_v ? name : full.s, 2, (int64_t[]){st->n_heads, st->head_dim});
    return pm_add(b->g, q, pm_reshape(b->g, bias, 4, (int64_t[]){1, st->n_heads, 1, st->head_dim}));
}

/* ---- a layer ---- */

/* The window of queries: what same_length says; and a step sees `rows` tokens before its own. */
static int64_t window_of(const pm_build *b, const place *at) {
    if (at->re->same_length) return at->re->rows;
    return b->options.kind == PM_BUILD_STEP && b->options.length == 1 ? at->re->rows + 1 : 0;
}

static pm_tensor *attention(pm_build *b, const place *at, pm_tensor *x, pm_tensor *memory) {
    const pm_stack *st = at->st;
    pm_tensor *seen = x, *kv[2], *heads[2];
    if (memory) seen = pm_concat(b->g, 2, (pm_tensor *[]){memory, x}, 1);
    pm_tensor *q = pm_block_heads(b, part_rows(b, at, x, 0, 1), st->n_heads);
    pm_tensor *both = part_rows(b, at, seen, 1, 2);
    int64_t part = st->n_heads * st->head_dim;
    for (int i = 0; i < 2; i++) {
        kv[i] = pm_slice(b->g, both, -1, i * part, part);
        heads[i] = pm_block_heads(b, kv[i], st->n_heads);
    }
    if (b->options.kind == PM_BUILD_STEP) {
        int64_t dims[4] = {b->options.batch, st->n_heads, b->options.cache, st->head_dim};
        for (int i = 0; i < 2; i++) {
            pm_tensor *state = pm_build_state(b, b->options.states, i ? "v" : "k", at->i, dims);
            heads[i] = pm_cache_write(b->g, state, heads[i], b->position);
        }
    }
    bool step = b->options.kind == PM_BUILD_STEP;
    pm_mask mask = {.causal = true,
                    .position = at->position,
                    .window = window_of(b, at),
                    .scale = (float)(1 / sqrt((double)st->head_dim)),
                    .by_place = biased(b, at, q, at->re->v),
                    .map = st->self_out,
                    .layer = at->i};
    mask.places = step ? place_state(b, at) : place_keys(b, at, n_distances(at->re, pm_tensor_dim(seen, 1)));
    pm_tensor *y = pm_block_attention(b, biased(b, at, q, at->re->u), heads[0], heads[1], &mask);
    return linear(b, at, y, &st->self.o, &(pm_linear_shape){part, st->width, false});
}

static pm_tensor *feed_forward(pm_build *b, const place *at, pm_tensor *x) {
    const pm_stack *st = at->st;
    x = pm_relu(b->g, linear(b, at, x, &st->up, &(pm_linear_shape){st->width, st->ffn, false}));
    return linear(b, at, x, &st->down, &(pm_linear_shape){st->ffn, st->width, false});
}

static pm_tensor *layer(pm_build *b, const place *at, pm_tensor *x) {
    const pm_stack *st = at->st;
    bool first = st->norm_first;
    pm_tensor *memory = at->memory, *in = first ? norm(b, at, x, &st->self_norm) : x;
    if (memory && first) memory = norm(b, at, memory, &st->self_norm);
    pm_build_label(b, st->label, at->i, "self");
    x = pm_add(b->g, x, attention(b, at, in, memory));
    if (!first) x = norm(b, at, x, &st->self_norm);
    pm_build_label(b, st->label, at->i, "ffn");
    x = pm_add(b->g, x, feed_forward(b, at, first ? norm(b, at, x, &st->ffn_norm) : x));
    return first ? x : norm(b, at, x, &st->ffn_norm);
}

/* ---- memory ---- */

static pm_tensor *memory_state(pm_build *b, int64_t i) {
    const pm_spec *spec = &b->model->spec;
    int64_t dims[4] = {b->options.batch, 1, spec->recurrence.rows, spec->stack[0].width};
    return pm_build_state(b, b->options.states, "mem", i, dims);
}

/* What the segments before left of layer i's input: [B,M,C]; NULL: nothing. */
static pm_tensor *read_memory(pm_build *b, int64_t i) {
    int64_t m = b->options.memory, dims[3] = {b->options.batch, m, b->model->spec.stack[0].width};
    if (!m) return NULL;
    return pm_reshape(b->g, pm_slice(b->g, memory_state(b, i), 2, 0, m), 3, dims);
}

/* Keeps the last rows of memory and x for the next segment, and gives them as an output [M,B,C]. */
static void leave_memory(pm_build *b, int64_t i, pm_tensor *memory, pm_tensor *x) {
    const pm_recurrence *re = &b->model->spec.recurrence;
    int64_t length = pm_tensor_dim(x, 1), m = b->options.memory;
    int64_t total = m + (length > re->skipped ? length - re->skipped : 0);
    int64_t n = total < re->rows ? total : re->rows, width = pm_tensor_dim(x, 2);
    bool wanted = pm_build_wants(b, "mems", i, false), kept = b->options.states != NULL;
    if (!n || (!wanted && !kept)) return;
    pm_tensor *all = memory ? pm_concat(b->g, 2, (pm_tensor *[]){memory, x}, 1) : x;
    if (total != pm_tensor_dim(all, 1) || n != total) all = pm_slice(b->g, all, 1, total - n, n);
    if (wanted) pm_build_output(b, "mems", i, false, pm_permute(b->g, all, (int[]){1, 0, 2}));
    if (!kept) return;
    int64_t old = n == total ? m : 0; /* rows that are in their place already */
    if (old == n) return;
    pm_tensor *fresh = old ? pm_slice(b->g, all, 1, old, n - old) : all;
    fresh = pm_reshape(b->g, fresh, 4, (int64_t[]){b->options.batch, 1, n - old, width});
    (void)pm_cache_write(b->g, memory_state(b, i), fresh, pm_const_i32(b->g, (int32_t)old));
}

/* ---- the whole ---- */

/* States "r.L" of a generation's cache. */
static void keep_places(pm_build *b, place *at) {
    for (at->i = 0; at->i < at->st->n_layers && b->status == PM_OK; at->i++) {
        pm_tensor *keys = place_keys(b, at, n_distances(at->re, b->options.cache));
        (void)pm_cache_write(b->g, place_state(b, at), keys, pm_const_i32(b->g, 0));
    }
}

static pm_tensor *run_layers(pm_build *b, place *at, pm_tensor *x) {
    bool segment = b->options.kind == PM_BUILD_FORWARD;
    at->position = b->position;
    if (segment && b->options.memory) at->position = pm_const_i32(b->g, (int32_t)b->options.memory);
    for (at->i = 0; at->i < at->st->n_layers && b->status == PM_OK && x; at->i++) {
        at->memory = segment ? read_memory(b, at->i) : NULL;
        pm_tensor *y = layer(b, at, x);
        if (segment) leave_memory(b, at->i, at->memory, x);
        x = y;
    }
    if (segment && x) leave_memory(b, at->st->n_layers, read_memory(b, at->st->n_layers), x);
    return x;
}

void pm_transfo_xl_build(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_build_options *o = &b->options;
    place at = {.st = &spec->stack[0], .re = &spec->recurrence};
    if (o->kind == PM_BUILD_ENCODE) {
        keep_places(b, &at);
        return;
    }
    pm_tensor *ids = pm_build_new_ids(b, "input_ids", o->batch, o->length);
    pm_build_label(b, "embed", -1, NULL);
    pm_tensor *x = pm_adaptive_embed(b, &spec->adaptive, ids, (float)sqrt((double)at.st->width));
    x = run_layers(b, &at, x);
    if (!x) return;
    if (o->kind == PM_BUILD_STEP) x = pm_block_last_row(b, x);
    pm_build_output(b, "hidden", -1, false, x);
    pm_build_label(b, "head", -1, NULL);
    x = pm_adaptive_log_probs(b, &spec->adaptive, x);
    pm_build_output(b, o->kind == PM_BUILD_STEP ? "logits" : "log_probs", -1, true, x);
    pm_block_next(b, x);
}
