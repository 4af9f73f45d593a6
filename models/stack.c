/* See stack.h. Invariant: names of tensors are made here and nowhere else: prefix, layer number, ".", name in
 * the layer; or a layer's own prefix and the name. */
#include "models/experts.h"
#include "models/sparse.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

/* One layer being built. */
typedef struct layer_place {
    const pm_stack *st;
    int64_t i;
} layer_place;

pm_pair pm_layer_names(const pm_stack *st, int64_t i, const pm_pair *names, pm_layer_name text[2]) {
    const char *parts[2] = {names->weight, names->bias};
    for (int k = 0; k < 2; k++)
        if (parts[k] && st->prefixes)
            snprintf(text[k].s, sizeof text[k].s, "%s%s", st->prefixes[i], parts[k]);
        else if (parts[k])
            text[k] = pm_build_layer_name(st->prefix, i, parts[k]);
    return (pm_pair){parts[0] ? text[0].s : NULL, parts[1] ? text[1].s : NULL};
}

static pm_pair full_names(const layer_place *at, const pm_pair *names, pm_layer_name text[2]) {
    return pm_layer_names(at->st, at->i, names, text);
}

static pm_tensor *linear(pm_build *b, const layer_place *at, pm_tensor *x, const pm_pair *names,
                         const int64_t kn[2]) {
    pm_layer_name text[2];
    pm_pair full = full_names(at, names, text);
    return pm_block_linear(b, x, &full, &(pm_linear_shape){kn[0], kn[1], at->st->conv1d});
}

static pm_tensor *norm(pm_build *b, const layer_place *at, pm_tensor *x, const pm_pair *names) {
    pm_layer_name text[2];
    pm_pair full = full_names(at, names, text);
    return pm_block_norm(b, x, &(pm_norm){at->st->norm, at->st->eps, at->st->norm_plus_one}, &full);
}

/* The same where the norm has a name; else x. */
static pm_tensor *norm_if_named(pm_build *b, const layer_place *at, pm_tensor *x, const pm_pair *names) {
    return names->weight ? norm(b, at, x, names) : x;
}

/* A weight [n]. */
static pm_tensor *vector(pm_build *b, const layer_place *at, const char *name, int64_t n) {
    pm_layer_name text[2];
    return pm_build_weight(b, full_names(at, &(pm_pair){name, NULL}, text).weight, 1, &n);
}

/* y times a weight [C]; y when it has no name (Touvron et al. 2021). */
static pm_tensor *scaled(pm_build *b, const layer_place *at, pm_tensor *y, const char *name) {
    return name ? pm_mul(b->g, y, vector(b, at, name, at->st->width)) : y;
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
    pm_layer_name text[2];
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

/* Separate matrices of one x are one product, too. GPT-2's lie turned and are joint in its files. */
static pm_tensor *joint_parts(pm_build *b, const layer_place *at, pm_tensor *x,
                              const pm_attention_names *names, const int range[2]) {
    const pm_stack *st = at->st;
    const pm_pair *separate[] = {&names->q, &names->k, &names->v};
    pm_layer_name text[PM_MAX_JOINT][2];
    pm_pair full[PM_MAX_JOINT];
    int64_t rows[PM_MAX_JOINT];
    int n = 0;
    if (range[0] == range[1] || st->conv1d) return NULL;
    for (int part = range[0]; part <= range[1]; part++, n++) {
        full[n] = full_names(at, separate[part], text[n]);
        rows[n] = part_heads(st, part) * st->head_dim;
    }
    return pm_block_linear_joint(b, x, full, rows, n);
}

/* Part `part` of a joint result [B,T,G*(R+2)*D], whose rows lie by group: [B,heads,T,D]. */
static pm_tensor *group_part(pm_build *b, const pm_stack *st, pm_tensor *joint, int part) {
    int64_t batch = pm_tensor_dim(joint, 0), t = pm_tensor_dim(joint, 1), d = st->head_dim;
    int64_t g = st->n_kv_heads, r = st->n_heads / g;
    pm_tensor *y = pm_reshape(b->g, joint, 5, (int64_t[]){batch, t, g, r + 2, d});
    y = part == PART_Q ? pm_slice(b->g, y, 3, 0, r) : pm_slice(b->g, y, 3, r + part - PART_K, 1);
    y = pm_permute(b->g, y, (int[]){0, 2, 3, 1, 4});
    return pm_reshape(b->g, y, 4, (int64_t[]){batch, part == PART_Q ? g * r : g, t, d});
}

/* Parts from .. to of x, as [B,heads,T,D] each. One product serves all parts of a joint matrix. */
static void project(pm_build *b, const layer_place *at, pm_tensor *x, const pm_attention_names *names,
                    const int range[2], pm_tensor *out[3]) {
    const pm_stack *st = at->st;
    const pm_pair *separate[] = {&names->q, &names->k, &names->v};
    const pm_pair *norms[] = {&names->q_norm, &names->k_norm, &(pm_pair){NULL, NULL}};
    bool by_group = names->qkv.weight && st->qkv_order == PM_QKV_GROUPS;
    const int all[2] = {PART_Q, PART_V};
    pm_tensor *joint = names->qkv.weight ? joint_rows(b, at, x, &names->qkv, by_group ? all : range)
                                         : joint_parts(b, at, x, names, range);
    int64_t start = 0;
    for (int part = range[0]; part <= range[1] && b->status == PM_OK; part++) {
        int64_t heads = part_heads(st, part), n = heads * st->head_dim;
        pm_tensor *y = joint;
        if (!joint)
            y = linear(b, at, x, separate[part], (int64_t[]){st->width, n});
        else if (range[0] != range[1] && !by_group)
            y = pm_slice(b->g, joint, 2, start, n);
        start += n;
        if (st->qk_norm_whole) y = norm_if_named(b, at, y, norms[part]);
        y = by_group ? group_part(b, st, y, part) : pm_block_heads(b, y, heads);
        out[part] = st->qk_norm_whole ? y : norm_if_named(b, at, y, norms[part]);
    }
}

/* ---- attention ---- */

static float score_scale(const layer_place *at) {
    double scale = at->st->raw_scores ? 1.0 : 1.0 / sqrt((double)at->st->head_dim);
    if (at->st->score_scale != 0) scale = (double)at->st->score_scale;
    return (float)(at->st->scores_by_layer ? scale / (double)(at->i + 1) : scale);
}

static bool has_window(const layer_place *at) {
    const pm_stack *st = at->st;
    if (!st->causal) return st->reach && st->reach[at->i] != PM_REACH_ALL;
    return st->window && (!st->has_window || st->has_window[at->i]);
}

static void turn(pm_build *b, const layer_place *at, pm_tensor *p[3]) {
    bool local = at->st->window_rope && has_window(at);
    const pm_rope *rope = &b->model->spec.rope[local];
    for (int part = PART_Q; part <= PART_K; part++)
        p[part] = pm_block_rotary(b, p[part], rope, local ? "rope_window" : "rope");
}

/* NULL without relative positions. */
static pm_tensor *relative_bias(pm_build *b, const layer_place *at, const pm_mask *mask, int64_t t,
                                int64_t s) {
    pm_relative r = at->st->relative;
    pm_layer_name text[2];
    if (r.own) r.weight = full_names(at, &(pm_pair){r.own, NULL}, text).weight;
    if (!r.weight) return NULL;
    return pm_block_relative_bias(b, &r, &(pm_relative_shape){at->st->n_heads, t, s, mask->causal});
}

/* Longformer (Beltagy et al. 2020): tokens see their neighbours and the global ones; these see all, by projections of
 * their own. Each part gives 0 where the other one's rows are. */
static pm_tensor *sparse_attention(pm_build *b, const layer_place *at, pm_tensor *x,
                                   const pm_context *context, pm_tensor *const p[3], pm_mask *local) {
    const pm_stack *st = at->st;
    pm_tensor *weights = NULL, *q[3] = {0};
    pm_mask all = {.keys = local->keys, .rows = context->globals, .scale = local->scale, .weights = &weights};
    local->globals = context->globals;
    local->rows = context->local;
    local->map = NULL;
    local->weights = &weights;
    pm_tensor *y = pm_block_attention(b, p[PART_Q], p[PART_K], p[PART_V], local);
    if (weights && pm_build_wants(b, st->self_out, at->i, false))
        pm_build_wanted(b, st->self_out, at->i, pm_sparse_weights(b, weights, context, local->reach));
    if (!context->globals) return y;
    pm_build_label(b, st->label, at->i, "global");
    project(b, at, x, &st->global, (int[]){PART_Q, PART_V}, q);
    y = pm_add(b->g, y, pm_block_attention(b, q[PART_Q], q[PART_K], q[PART_V], &all));
    if (weights && pm_build_wants(b, "global_attentions", at->i, false))
        pm_build_wanted(b, "global_attentions", at->i,
                        pm_sparse_global_weights(b, weights, context, 2 * st->longest_reach));
    return y;
}

static pm_tensor *self_attention(pm_build *b, const layer_place *at, pm_tensor *x,
                                 const pm_context *context) {
    const pm_stack *st = at->st;
    pm_tensor *p[3] = {0};
    pm_mask mask = {.causal = st->causal,
                    .position = b->position,
                    .keys = context->keys,
                    .length = context->length,
                    .window = st->causal && has_window(at) ? st->window : 0,
                    .near = !st->causal && has_window(at),
                    .reach = st->reach ? st->reach[at->i] : 0,
                    .scale = score_scale(at),
                    .softcap = st->softcap,
                    .map = st->self_out,
                    .layer = at->i};
    pm_build_label(b, st->label, at->i, "self");
    project(b, at, x, &st->self, (int[]){PART_Q, PART_V}, p);
    if (st->rotary) turn(b, at, p);
    if (b->options.kind == PM_BUILD_STEP) {
        int64_t dims[4] = {b->options.batch, st->n_kv_heads, b->options.cache, st->head_dim};
        pm_tensor *k = pm_build_state(b, b->options.states, "k", at->i, dims);
        pm_tensor *v = pm_build_state(b, b->options.states, "v", at->i, dims);
        p[PART_K] = pm_cache_write(b->g, k, p[PART_K], b->position);
        p[PART_V] = pm_cache_write(b->g, v, p[PART_V], b->position);
    }
    if (p[PART_K]) mask.bias = relative_bias(b, at, &mask, pm_tensor_dim(x, 1), pm_tensor_dim(p[PART_K], 2));
    if (st->alibi && p[PART_K]) mask.bias = pm_block_alibi(b, st->n_heads, pm_tensor_dim(p[PART_K], 2));
    if (st->self.sinks) mask.sinks = vector(b, at, st->self.sinks, st->n_heads);
    pm_tensor *y = st->global.q.weight ? sparse_attention(b, at, x, context, p, &mask)
                                       : pm_block_attention(b, p[PART_Q], p[PART_K], p[PART_V], &mask);
    y = linear(b, at, y, &st->self.o, (int64_t[]){st->n_heads * st->head_dim, st->width});
    return scaled(b, at, y, st->self_scale);
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
    if (pm_has_experts(st, at->i)) return pm_experts_layer(b, st, at->i, x);
    pm_tensor *gate = NULL, *up;
    if (st->gate_up.weight) {
        pm_tensor *both = linear(b, at, x, &st->gate_up, (int64_t[]){st->width, 2 * st->ffn});
        gate = pm_slice(b->g, both, -1, 0, st->ffn);
        up = pm_slice(b->g, both, -1, st->ffn, st->ffn);
    } else {
        up = linear(b, at, x, &st->up, (int64_t[]){st->width, st->ffn});
        if (st->gate.weight) gate = linear(b, at, x, &st->gate, (int64_t[]){st->width, st->ffn});
    }
    up = gate ? pm_mul(b->g, pm_block_activation(b, gate, st->act), up) : pm_block_activation(b, up, st->act);
    up = linear(b, at, up, &st->down, (int64_t[]){st->ffn, st->width});
    return scaled(b, at, up, st->ffn_scale);
}

typedef pm_tensor *(*sublayer_fn)(pm_build *b, const layer_place *at, pm_tensor *x,
                                  const pm_context *context);

static pm_tensor *sublayer(pm_build *b, const layer_place *at, pm_tensor *x, const pm_context *context,
                           sublayer_fn fn, const pm_pair *before, const pm_pair *after) {
    if (!at->st->norm_first) return norm(b, at, pm_add(b->g, x, fn(b, at, x, context)), before);
    pm_tensor *y = fn(b, at, norm_if_named(b, at, x, before), context);
    return pm_add(b->g, x, norm_if_named(b, at, y, after));
}

/* Attention and feed-forward side by side (Wang, Komatsuzaki 2021). */
static pm_tensor *parallel_layer(pm_build *b, const layer_place *at, pm_tensor *x,
                                 const pm_context *context) {
    const pm_stack *st = at->st;
    pm_tensor *seen = norm_if_named(b, at, x, &st->self_norm);
    pm_tensor *fed = st->ffn_norm.weight ? norm(b, at, x, &st->ffn_norm) : seen;
    pm_tensor *y = pm_add(b->g, x, self_attention(b, at, seen, context));
    return pm_add(b->g, y, feed_forward(b, at, fed, context));
}

pm_tensor *pm_stack_layers(pm_build *b, const pm_stack *st, pm_tensor *x, const pm_context *context) {
    static const pm_pair none = {NULL, NULL};
    for (int64_t i = 0; i < st->n_layers && b->status == PM_OK; i++) {
        layer_place at = {st, i};
        if (st->hidden_out) pm_build_output(b, st->hidden_out, i, false, x);
        if (st->parallel) {
            x = parallel_layer(b, &at, x, context);
            continue;
        }
        x = sublayer(b, &at, x, context, self_attention, st->first_bare && i == 0 ? &none : &st->self_norm,
                     &st->self_after);
        if (st->cross.o.weight) x = sublayer(b, &at, x, context, cross_attention, &st->cross_norm, &none);
        x = sublayer(b, &at, x, context, feed_forward, &st->ffn_norm, &st->ffn_after);
    }
    return x;
}

pm_tensor *pm_stack_finish(pm_build *b, const pm_stack *st, pm_tensor *x) {
    pm_build_label(b, st->label, -1, "norm");
    if (st->hidden_out && st->hidden_raw) pm_build_output(b, st->hidden_out, st->n_layers, false, x);
    if (st->final_norm.weight)
        x = pm_block_norm(b, x, &(pm_norm){st->norm, st->eps, st->norm_plus_one}, &st->final_norm);
    if (st->hidden_out && !st->hidden_raw) pm_build_output(b, st->hidden_out, st->n_layers, false, x);
    return x;
}
