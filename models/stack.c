/* See stack.h. Invariant: names of tensors are made here and nowhere else: prefix, layer number, ".", name in
 * the layer. */
#include "models/stack.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

typedef struct layer_name {
    char s[256];
} layer_name;

/* One layer being built. */
typedef struct layer_place {
    const pm_stack *st;
    int64_t i;
} layer_place;

/* Whole names of a pair; both texts live as long as `text`. */
static pm_pair full_names(const layer_place *at, const pm_pair *names, layer_name text[2]) {
    const char *parts[2] = {names->weight, names->bias};
    for (int k = 0; k < 2; k++)
        if (parts[k])
            snprintf(text[k].s, sizeof text[k].s, "%s%" PRId64 ".%s", at->st->prefix, at->i, parts[k]);
    return (pm_pair){parts[0] ? text[0].s : NULL, parts[1] ? text[1].s : NULL};
}

static pm_tensor *linear(pm_build *b, const layer_place *at, pm_tensor *x, const pm_pair *names,
                         const int64_t kn[2]) {
    layer_name text[2];
    pm_pair full = full_names(at, names, text);
    return pm_block_linear(b, x, &full, &(pm_linear_shape){kn[0], kn[1], at->st->conv1d});
}

static pm_tensor *norm(pm_build *b, const layer_place *at, pm_tensor *x, const pm_pair *names) {
    layer_name text[2];
    pm_pair full = full_names(at, names, text);
    return pm_block_norm(b, x, at->st->norm, &full, at->st->eps);
}

/* ---- projections to heads ---- */

enum { PART_Q, PART_K, PART_V };

static int64_t part_heads(const pm_stack *st, int part) {
    return part == PART_Q ? st->n_heads : st->n_kv_heads;
}

/* Rows of part `from` up to and with part `to` of the joint matrix, applied to x. */
static pm_tensor *joint_rows(pm_build *b, const layer_place *at, pm_tensor *x, const pm_pair *names,
                             const int range[2]) {
    const pm_stack *st = at->st;
    layer_name text[2];
    int64_t start = 0, count = 0, n = 0;
    for (int part = PART_Q; part <= PART_V; part++) {
        int64_t rows = part_heads(st, part) * st->head_dim;
        start += part < range[0] ? rows : 0;
        count += part >= range[0] && part <= range[1] ? rows : 0;
        n += rows;
    }
    pm_pair full = full_names(at, names, text);
    return pm_block_linear_rows(b, x, &full, &(pm_linear_shape){st->width, n, st->conv1d}, start, count);
}

/* Parts from .. to of x, as [B,heads,T,D] each. One product serves all parts of a joint matrix. */
static void project(pm_build *b, const layer_place *at, pm_tensor *x, const pm_attention_names *names,
                    const int range[2], pm_tensor *out[3]) {
    const pm_stack *st = at->st;
    const pm_pair *separate[] = {&names->q, &names->k, &names->v};
    pm_tensor *joint = names->qkv.weight ? joint_rows(b, at, x, &names->qkv, range) : NULL;
    int64_t start = 0;
    for (int part = range[0]; part <= range[1]; part++) {
        int64_t heads = part_heads(st, part), n = heads * st->head_dim;
        pm_tensor *y = joint;
        if (!names->qkv.weight)
            y = linear(b, at, x, separate[part], (int64_t[]){st->width, n});
        else if (range[0] != range[1])
            y = pm_slice(b->g, joint, 2, start, n);
        start += n;
        out[part] = pm_block_heads(b, y, heads);
    }
}

/* ---- attention ---- */

static float score_scale(const layer_place *at) {
    double scale = at->st->raw_scores ? 1.0 : 1.0 / sqrt((double)at->st->head_dim);
    return (float)(at->st->scores_by_layer ? scale / (double)(at->i + 1) : scale);
}

static pm_tensor *self_attention(pm_build *b, const layer_place *at, pm_tensor *x,
                                 const pm_context *context) {
    const pm_stack *st = at->st;
    pm_tensor *p[3] = {0};
    pm_mask mask = {.causal = st->causal,
                    .position = b->position,
                    .keys = context->keys,
                    .length = context->length,
                    .scale = score_scale(at),
                    .map = st->self_out,
                    .layer = at->i};
    pm_build_label(b, st->label, at->i, "self");
    project(b, at, x, &st->self, (int[]){PART_Q, PART_V}, p);
    if (st->rotary) {
        p[PART_Q] = pm_block_rotary(b, p[PART_Q]);
        p[PART_K] = pm_block_rotary(b, p[PART_K]);
    }
    if (b->options.kind == PM_BUILD_STEP) {
        int64_t dims[4] = {b->options.batch, st->n_kv_heads, b->options.cache, st->head_dim};
        pm_tensor *k = pm_build_state(b, b->options.states, "k", at->i, dims);
        pm_tensor *v = pm_build_state(b, b->options.states, "v", at->i, dims);
        p[PART_K] = pm_cache_write(b->g, k, p[PART_K], b->position);
        p[PART_V] = pm_cache_write(b->g, v, p[PART_V], b->position);
    }
    pm_tensor *y = pm_block_attention(b, p[PART_Q], p[PART_K], p[PART_V], &mask);
    return linear(b, at, y, &st->self.o, (int64_t[]){st->n_heads * st->head_dim, st->width});
}

/* States of a layer's cross keys and values. */
static void memory_states(pm_build *b, const layer_place *at, pm_tensor *out[3]) {
    int64_t dims[4] = {b->options.batch, at->st->n_kv_heads, b->options.source, at->st->head_dim};
    out[PART_K] = pm_build_state(b, b->options.cross_states, "cross_k", at->i, dims);
    out[PART_V] = pm_build_state(b, b->options.cross_states, "cross_v", at->i, dims);
}

static pm_tensor *cross_attention(pm_build *b, const layer_place *at, pm_tensor *x,
                                  const pm_context *context) {
    const pm_stack *st = at->st;
    pm_tensor *p[3] = {0};
    pm_mask mask = {.keys = context->memory_keys,
                    .length = b->source_length,
                    .scale = score_scale(at),
                    .map = st->cross_out,
                    .layer = at->i};
    pm_build_label(b, st->label, at->i, "cross");
    project(b, at, x, &st->cross, (int[]){PART_Q, PART_Q}, p);
    if (context->memory)
        project(b, at, context->memory, &st->cross, (int[]){PART_K, PART_V}, p);
    else
        memory_states(b, at, p);
    pm_tensor *y = pm_block_attention(b, p[PART_Q], p[PART_K], p[PART_V], &mask);
    return linear(b, at, y, &st->cross.o, (int64_t[]){st->n_heads * st->head_dim, st->width});
}

void pm_stack_keep_memory(pm_build *b, const pm_stack *st, pm_tensor *memory) {
    pm_tensor *position = pm_const_i32(b->g, 0);
    for (int64_t i = 0; i < st->n_layers && b->status == PM_OK; i++) {
        layer_place at = {st, i};
        pm_tensor *p[3] = {0}, *state[3] = {0};
        int64_t dims[4] = {b->options.batch, st->n_kv_heads, b->options.source, st->head_dim};
        pm_build_label(b, st->label, i, "cross");
        project(b, &at, memory, &st->cross, (int[]){PART_K, PART_V}, p);
        memory_states(b, &at, state);
        for (int part = PART_K; part <= PART_V; part++)
            (void)pm_cache_write(b->g, state[part], pm_expand(b->g, p[part], 4, dims), position);
    }
}

/* ---- layers ---- */

static pm_tensor *feed_forward(pm_build *b, const layer_place *at, pm_tensor *x, const pm_context *context) {
    const pm_stack *st = at->st;
    (void)context;
    pm_build_label(b, st->label, at->i, "ffn");
    pm_tensor *up = linear(b, at, x, &st->up, (int64_t[]){st->width, st->ffn});
    if (st->gate.weight) {
        pm_tensor *gate = linear(b, at, x, &st->gate, (int64_t[]){st->width, st->ffn});
        up = pm_mul(b->g, pm_block_activation(b, gate, st->act), up);
    } else
        up = pm_block_activation(b, up, st->act);
    return linear(b, at, up, &st->down, (int64_t[]){st->ffn, st->width});
}

typedef pm_tensor *(*sublayer_fn)(pm_build *b, const layer_place *at, pm_tensor *x,
                                  const pm_context *context);

static pm_tensor *sublayer(pm_build *b, const layer_place *at, pm_tensor *x, const pm_context *context,
                           sublayer_fn fn, const pm_pair *norm_names) {
    if (at->st->norm_first) return pm_add(b->g, x, fn(b, at, norm(b, at, x, norm_names), context));
    return norm(b, at, pm_add(b->g, x, fn(b, at, x, context)), norm_names);
}

pm_tensor *pm_stack_layers(pm_build *b, const pm_stack *st, pm_tensor *x, const pm_context *context) {
    for (int64_t i = 0; i < st->n_layers && b->status == PM_OK; i++) {
        layer_place at = {st, i};
        if (st->hidden_out) pm_build_output(b, st->hidden_out, i, false, x);
        x = sublayer(b, &at, x, context, self_attention, &st->self_norm);
        if (st->cross.o.weight) x = sublayer(b, &at, x, context, cross_attention, &st->cross_norm);
        x = sublayer(b, &at, x, context, feed_forward, &st->ffn_norm);
    }
    return x;
}

pm_tensor *pm_stack_finish(pm_build *b, const pm_stack *st, pm_tensor *x) {
    pm_build_label(b, st->label, -1, "norm");
    if (st->final_norm.weight) x = pm_block_norm(b, x, st->norm, &st->final_norm, st->eps);
    if (st->hidden_out) pm_build_output(b, st->hidden_out, st->n_layers, false, x);
    return x;
}
