/* See experts.h. E experts, J of them chosen for each token. */
#include "models/experts.h"

#include <inttypes.h>
#include <stdio.h>

bool pm_has_experts(const pm_stack *st, int64_t layer) {
    return st->experts.n && (!st->experts.in_layer || st->experts.in_layer[layer]);
}

/* ---- weights ---- */

/* Name k of expert i: "model.layers.0.experts.7.w1.weight". */
static const char *name_of(pm_build *b, const pm_stack *st, int64_t layer, int64_t i, const char *name) {
    char text[512];
    snprintf(text, sizeof text, "%s%" PRId64 ".%s%" PRId64 ".%s", st->prefix, layer, st->experts.each, i,
             name);
    const char *copy = pm_arena_strdup(&b->arena, text);
    if (!copy) pm_build_fail(b, PM_ERR_MEMORY);
    return copy;
}

/* Tensors that each expert has, n_parts [rows,K] or [rows] of each, as [E, n_parts*rows, K] or [E, n_parts*rows]. K 0:
 * the latter. */
static pm_tensor *stacked(pm_build *b, const pm_stack *st, int64_t layer, const char *const *parts,
                          int n_parts, const int64_t rows_k[2]) {
    const pm_experts *e = &st->experts;
    const int64_t dims[3] = {e->n, n_parts * rows_k[0], rows_k[1]};
    const int32_t rank = rows_k[1] ? 2 : 1;
    char name[512];
    snprintf(name, sizeof name, "%s%" PRId64 ".%s*.%s", st->prefix, layer, e->each, parts[0]);
    pm_source source = {.kind = PM_SOURCE_STACKED, .rank = rank, .dims = {rows_k[0], rows_k[1]}};
    if (!b->record)
        return pm_build_weight_from(b, name, rank + 1, dims, &source); /* names are asked for once */
    source.n = (size_t)(e->n * n_parts);
    const char **names = pm_arena_alloc(&b->arena, source.n * sizeof *names);
    if (!names) return pm_build_fail(b, PM_ERR_MEMORY), NULL;
    for (size_t i = 0; i < source.n; i++)
        names[i] = name_of(b, st, layer, (int64_t)i / n_parts, parts[i % (size_t)n_parts]);
    source.names = names;
    return b->status == PM_OK ? pm_build_weight_from(b, name, rank + 1, dims, &source) : NULL;
}

/* One tensor of all experts, kept as [E,K,N], or packed as NAME_blocks and NAME_scales with K innermost: [E,N,K]. */
static pm_tensor *whole(pm_build *b, const char *name, const int64_t dims[3]) {
    char blocks[300], scales[300];
    snprintf(blocks, sizeof blocks, "%s_blocks", name);
    snprintf(scales, sizeof scales, "%s_scales", name);
    const char *packed[] = {blocks, scales};
    pm_source source = {.kind = PM_SOURCE_SWAPPED, .names = &name, .n = 1, .rank = 3};
    source.dims[0] = dims[0], source.dims[1] = dims[2], source.dims[2] = dims[1];
    if (pm_checkpoint_has(&b->model->checkpoint, blocks)) {
        if (dims[2] % 32)
            return pm_build_fail(b, pm_raise(PM_ERR_FILE,
                                             "tensor %s: has rows of %" PRId64
                                             " elements in all, expected a multiple of the 32 of a block",
                                             blocks, dims[2])),
                   NULL;
        source = (pm_source){.kind = PM_SOURCE_MXFP4, .names = packed, .n = 2, .rank = 3};
        source.dims[0] = dims[0], source.dims[1] = dims[1], source.dims[2] = dims[2] / 32;
    }
    return pm_build_weight_from(b, name, 3, dims, &source);
}

/* ---- the layer ---- */

/* p[B,T,E] at ids[B,T,J]: [B,T,J]. */
static pm_tensor *pick(pm_graph *g, pm_tensor *p, pm_tensor *ids) {
    int64_t batch = pm_tensor_dim(p, 0), t = pm_tensor_dim(p, 1), n = pm_tensor_dim(p, 2);
    if (!p || !ids) return NULL;
    pm_tensor *row = pm_mul(g, pm_iota(g, batch * t), pm_const_i32(g, (int32_t)n));
    pm_tensor *at = pm_add(g, ids, pm_reshape(g, row, 3, (int64_t[]){batch, t, 1}));
    p = pm_gather(g, pm_reshape(g, p, 2, (int64_t[]){batch * t * n, 1}), at);
    return pm_reshape(g, p, 3, (int64_t[]){batch, t, pm_tensor_dim(ids, 2)});
}

/* x . w[ids]^T + bias[ids]; bias NULL: none. */
static pm_tensor *product(pm_build *b, pm_tensor *x, pm_tensor *w, pm_tensor *ids, pm_tensor *bias) {
    if (!w) return NULL;
    pm_tensor *y = pm_grouped_matmul(b->g, x, w, ids);
    return bias ? pm_add(b->g, y, pm_gather(b->g, bias, ids)) : y;
}

/* [E,N], or NULL where the experts have none. */
static pm_tensor *bias_of(pm_build *b, const char *name, pm_tensor *w) {
    const int64_t dims[2] = {pm_tensor_dim(w, 0), pm_tensor_dim(w, 1)};
    return name && w ? pm_build_weight(b, name, 2, dims) : NULL;
}

/* act(gate) * up, with limits where the model has them. */
static pm_tensor *gated(pm_build *b, const pm_stack *st, pm_tensor *gate, pm_tensor *up) {
    pm_graph *g = b->g;
    if (st->experts.limit != 0) {
        pm_tensor *most = pm_const_f32(g, st->experts.limit), *least = pm_const_f32(g, -st->experts.limit);
        gate = pm_min(g, gate, most);
        up = pm_add(g, pm_max(g, pm_min(g, up, most), least), pm_const_f32(g, 1));
    }
    return pm_mul(g, pm_block_activation(b, gate, st->act), up);
}

/* Of [B,T,J,2F], where gate and up are halves. */
static pm_tensor *gate_halves(pm_build *b, const pm_stack *st, pm_tensor *both) {
    int64_t f = st->experts.ffn;
    return gated(b, st, pm_slice(b->g, both, -1, 0, f), pm_slice(b->g, both, -1, f, f));
}

/* Where they take turns. */
static pm_tensor *gate_turns(pm_build *b, const pm_stack *st, pm_tensor *both) {
    pm_graph *g = b->g;
    int64_t dims[5] = {pm_tensor_dim(both, 0), pm_tensor_dim(both, 1), st->experts.chosen, st->experts.ffn,
                       2};
    both = pm_reshape(g, both, 5, dims);
    pm_tensor *gate = pm_reshape(g, pm_slice(g, both, 4, 0, 1), 4, dims),
              *up = pm_reshape(g, pm_slice(g, both, 4, 1, 1), 4, dims);
    return gated(b, st, gate, up);
}

/* From tensors that each expert has. */
static pm_tensor *one_by_one(pm_build *b, const pm_stack *st, int64_t layer, pm_tensor *x, pm_tensor *ids) {
    const pm_experts *e = &st->experts;
    const char *const in[] = {e->gate.weight, e->up.weight}, *const in_bias[] = {e->gate.bias, e->up.bias};
    const int64_t c = st->width, f = e->ffn;
    pm_tensor *bias = e->gate.bias ? stacked(b, st, layer, in_bias, 2, (int64_t[]){f, 0}) : NULL;
    x = product(b, x, stacked(b, st, layer, in, 2, (int64_t[]){f, c}), ids, bias);
    if (!x) return NULL;
    bias = e->down.bias ? stacked(b, st, layer, &e->down.bias, 1, (int64_t[]){c, 0}) : NULL;
    return product(b, gate_halves(b, st, x), stacked(b, st, layer, &e->down.weight, 1, (int64_t[]){c, f}),
                   ids, bias);
}

/* From tensors that hold those of all. */
static pm_tensor *all_in_one(pm_build *b, const pm_stack *st, int64_t layer, pm_tensor *x, pm_tensor *ids) {
    const pm_experts *e = &st->experts;
    const int64_t c = st->width, f = e->ffn;
    pm_layer_name text[2][2];
    pm_pair in = pm_layer_names(st, layer, &e->gate_up, text[0]),
            out = pm_layer_names(st, layer, &e->all_down, text[1]);
    pm_tensor *w = whole(b, in.weight, (int64_t[]){e->n, 2 * f, c});
    x = product(b, x, w, ids, bias_of(b, in.bias, w));
    w = whole(b, out.weight, (int64_t[]){e->n, c, f});
    return product(b, gate_turns(b, st, x), w, ids, bias_of(b, out.bias, w));
}

/* A family may have both forms (gpt-oss, of which GGUF files have each expert's); the file says which. */
static pm_tensor *chosen_ones(pm_build *b, const pm_stack *st, int64_t layer, pm_tensor *x, pm_tensor *ids) {
    const pm_experts *e = &st->experts;
    bool each = e->each;
    if (each && e->gate_up.weight) {
        const char *first = name_of(b, st, layer, 0, e->gate.weight);
        each = first && pm_checkpoint_has(&b->model->checkpoint, first);
    }
    return each ? one_by_one(b, st, layer, x, ids) : all_in_one(b, st, layer, x, ids);
}

pm_tensor *pm_experts_layer(pm_build *b, const pm_stack *st, int64_t layer, pm_tensor *x) {
    const pm_experts *e = &st->experts;
    pm_graph *g = b->g;
    pm_layer_name text[2];
    int64_t batch = pm_tensor_dim(x, 0), t = pm_tensor_dim(x, 1), c = st->width, j = e->chosen;
    pm_pair router = pm_layer_names(st, layer, &e->router, text);
    pm_tensor *scores = pm_block_linear(b, x, &router, &(pm_linear_shape){c, e->n, false});
    pm_tensor *ids = pm_top_k(g, scores, j);
    pm_tensor *shares =
        e->weights_of_all ? pick(g, pm_softmax(g, scores), ids) : pm_softmax(g, pick(g, scores, ids));
    pm_tensor *y = chosen_ones(b, st, layer, x, ids); /* [B,T,J,C] */
    if (!y) return NULL;
    y = pm_matmul(g, pm_reshape(g, shares, 4, (int64_t[]){batch, t, 1, j}), pm_transpose(g, y, -1, -2));
    return pm_reshape(g, y, 3, (int64_t[]){batch, t, c});
}
