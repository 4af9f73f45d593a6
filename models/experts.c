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

/* Tensors that each expert has, n_parts [rows,K] of each, as [E, n_parts*rows, K]. */
static pm_tensor *stacked(pm_build *b, const pm_stack *st, int64_t layer, const char *const *parts,
                          int n_parts, const int64_t rows_k[2]) {
    const pm_experts *e = &st->experts;
    const int64_t dims[3] = {e->n, n_parts * rows_k[0], rows_k[1]};
    char name[512];
    snprintf(name, sizeof name, "%s%" PRId64 ".%s*.%s", st->prefix, layer, e->each, parts[0]);
    pm_source source = {.kind = PM_SOURCE_STACKED, .rank = 2, .dims = {rows_k[0], rows_k[1]}};
    if (!b->record) return pm_build_weight_from(b, name, 3, dims, &source); /* names are asked for once */
    source.n = (size_t)(e->n * n_parts);
    const char **names = pm_arena_alloc(&b->arena, source.n * sizeof *names);
    if (!names) return pm_build_fail(b, PM_ERR_MEMORY), NULL;
    for (size_t i = 0; i < source.n; i++)
        names[i] = name_of(b, st, layer, (int64_t)i / n_parts, parts[i % (size_t)n_parts]);
    source.names = names;
    return b->status == PM_OK ? pm_build_weight_from(b, name, 3, dims, &source) : NULL;
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

/* x . w[ids]^T + bias[ids]; names NULL: no bias. */
static pm_tensor *product(pm_build *b, pm_tensor *x, pm_tensor *w, pm_tensor *ids, const char *bias) {
    if (!w) return NULL;
    pm_tensor *y = pm_grouped_matmul(b->g, x, w, ids);
    if (!bias) return y;
    int64_t dims[2] = {pm_tensor_dim(w, 0), pm_tensor_dim(w, 1)};
    return pm_add(b->g, y, pm_gather(b->g, pm_build_weight(b, bias, 2, dims), ids));
}

/* act(gate) * up of [B,T,J,2F], where gate and up are halves. */
static pm_tensor *gate_halves(pm_build *b, const pm_stack *st, pm_tensor *both) {
    int64_t f = st->experts.ffn;
    pm_tensor *gate = pm_slice(b->g, both, -1, 0, f), *up = pm_slice(b->g, both, -1, f, f);
    return pm_mul(b->g, pm_block_activation(b, gate, st->act), up);
}

/* Where they take turns; with limits. */
static pm_tensor *gate_turns(pm_build *b, const pm_stack *st, pm_tensor *both) {
    pm_graph *g = b->g;
    int64_t dims[5] = {pm_tensor_dim(both, 0), pm_tensor_dim(both, 1), st->experts.chosen, st->experts.ffn,
                       2};
    both = pm_reshape(g, both, 5, dims);
    pm_tensor *gate = pm_reshape(g, pm_slice(g, both, 4, 0, 1), 4, dims),
              *up = pm_reshape(g, pm_slice(g, both, 4, 1, 1), 4, dims);
    if (st->experts.limit != 0) {
        pm_tensor *most = pm_const_f32(g, st->experts.limit), *least = pm_const_f32(g, -st->experts.limit);
        gate = pm_min(g, gate, most);
        up = pm_add(g, pm_max(g, pm_min(g, up, most), least), pm_const_f32(g, 1));
    }
    return pm_mul(g, pm_block_activation(b, gate, st->act), up);
}

static pm_tensor *chosen_ones(pm_build *b, const pm_stack *st, int64_t layer, pm_tensor *x, pm_tensor *ids) {
    const pm_experts *e = &st->experts;
    int64_t c = st->width, f = e->ffn;
    if (e->each) {
        const char *const in[] = {e->gate, e->up};
        x = product(b, x, stacked(b, st, layer, in, 2, (int64_t[]){f, c}), ids, NULL);
        return product(b, gate_halves(b, st, x), stacked(b, st, layer, &e->down, 1, (int64_t[]){c, f}), ids,
                       NULL);
    }
    pm_layer_name text[2][2];
    pm_pair in = pm_layer_names(st, layer, &e->gate_up, text[0]),
            out = pm_layer_names(st, layer, &e->all_down, text[1]);
    x = product(b, x, whole(b, in.weight, (int64_t[]){e->n, 2 * f, c}), ids, in.bias);
    return product(b, gate_turns(b, st, x), whole(b, out.weight, (int64_t[]){e->n, c, f}), ids, out.bias);
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
