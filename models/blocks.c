/* See blocks.h: linear layers, norms, activations, embeddings. */
#include "models/blocks.h"

#include <stdio.h>

#include "models/loop.h"

const char *const pm_activation_names[] = {"relu", "gelu",  "gelu_new",   "gelu_pytorch_tanh", "gelu_fast",
                                           "silu", "swish", "quick_gelu", "gelu_python",       "tanh"};
const size_t pm_n_activation_names = PM_COUNT(pm_activation_names);

pm_activation pm_activation_of(int choice) {
    static const pm_activation kinds[] = {
        PM_ACTIVATION_RELU,      PM_ACTIVATION_GELU, PM_ACTIVATION_GELU_TANH, PM_ACTIVATION_GELU_TANH,
        PM_ACTIVATION_GELU_TANH, PM_ACTIVATION_SILU, PM_ACTIVATION_SILU,      PM_ACTIVATION_QUICK_GELU,
        PM_ACTIVATION_GELU,      PM_ACTIVATION_TANH};
    return kinds[choice];
}

/* ---- linear ---- */

pm_tensor *pm_block_linear(pm_build *b, pm_tensor *x, const pm_pair *names, const pm_linear_shape *shape) {
    return pm_block_linear_rows(b, x, names, shape, 0, shape->n);
}

pm_tensor *pm_block_linear_rows(pm_build *b, pm_tensor *x, const pm_pair *names, const pm_linear_shape *shape,
                                int64_t start, int64_t count) {
    pm_graph *g = b->g;
    int64_t n = shape->n, k = shape->k;
    pm_tensor *w =
        pm_build_weight(b, names->weight, 2, shape->conv1d ? (int64_t[]){k, n} : (int64_t[]){n, k});
    pm_tensor *bias = names->bias ? pm_build_weight(b, names->bias, 1, &n) : NULL;
    if (shape->conv1d) w = pm_transpose(g, w, 0, 1);
    if (count != n) {
        w = pm_slice(g, w, 0, start, count);
        if (bias) bias = pm_slice(g, bias, 0, start, count);
    }
    pm_tensor *y = pm_matmul(g, x, w);
    return bias ? pm_add(g, y, bias) : y;
}

pm_tensor *pm_block_linear_joint(pm_build *b, pm_tensor *x, const pm_pair *pairs, const int64_t *rows,
                                 int n) {
    const char *weights[PM_MAX_JOINT], *biases[PM_MAX_JOINT];
    bool any_bias = false;
    for (int i = 0; i < n; i++) {
        weights[i] = pairs[i].weight;
        biases[i] = pairs[i].bias;
        any_bias |= biases[i] != NULL;
    }
    pm_tensor *y = pm_matmul(b->g, x, pm_build_weight_rows(b, weights, rows, n, pm_tensor_dim(x, -1)));
    return any_bias ? pm_add(b->g, y, pm_build_weight_rows(b, biases, rows, n, 0)) : y;
}

/* ---- norms ---- */

/* Layer normalization (Ba, Kiros, Hinton 2016). */
static pm_tensor *layer_norm(pm_build *b, pm_tensor *x, const pm_pair *names, float eps) {
    pm_graph *g = b->g;
    int64_t c = pm_tensor_dim(x, -1);
    pm_tensor *d = pm_sub(g, x, pm_mean(g, x, -1));
    pm_tensor *v = pm_mean(g, pm_mul(g, d, d), -1);
    pm_tensor *y = pm_mul(g, d, pm_rsqrt(g, pm_add(g, v, pm_const_f32(g, eps))));
    y = pm_mul(g, y, pm_build_weight(b, names->weight, 1, &c));
    return names->bias ? pm_add(g, y, pm_build_weight(b, names->bias, 1, &c)) : y;
}

/* Root mean square normalization (Zhang, Sennrich 2019). */
static pm_tensor *rms_norm(pm_build *b, pm_tensor *x, const pm_norm *norm, const pm_pair *names) {
    pm_graph *g = b->g;
    int64_t c = pm_tensor_dim(x, -1);
    pm_tensor *v = pm_mean(g, pm_mul(g, x, x), -1);
    pm_tensor *y = pm_mul(g, x, pm_rsqrt(g, pm_add(g, v, pm_const_f32(g, norm->eps))));
    return pm_mul(g, y, pm_build_weight_plus(b, names->weight, 1, &c, norm->plus_one ? 1 : 0));
}

pm_tensor *pm_block_norm(pm_build *b, pm_tensor *x, const pm_norm *norm, const pm_pair *names) {
    if (!x) return NULL; /* the graph failed before */
    return norm->kind == PM_NORM_RMS ? rms_norm(b, x, norm, names) : layer_norm(b, x, names, norm->eps);
}

/* ---- activations ---- */

/* Gaussian error linear units (Hendrycks, Gimpel 2016): exact, and with the tanh approximation. */
static pm_tensor *gelu(pm_graph *g, pm_tensor *x) {
    pm_tensor *e = pm_erf(g, pm_mul(g, x, pm_const_f32(g, 0.70710678f)));
    return pm_mul(g, pm_mul(g, pm_const_f32(g, 0.5f), x), pm_add(g, pm_const_f32(g, 1.0f), e));
}

static pm_tensor *gelu_tanh(pm_graph *g, pm_tensor *x) {
    pm_tensor *cube = pm_mul(g, pm_mul(g, pm_mul(g, pm_const_f32(g, 0.044715f), x), x), x);
    pm_tensor *t = pm_tanh(g, pm_mul(g, pm_const_f32(g, 0.79788456f), pm_add(g, x, cube)));
    return pm_mul(g, pm_mul(g, pm_const_f32(g, 0.5f), x), pm_add(g, pm_const_f32(g, 1.0f), t));
}

pm_tensor *pm_block_activation(pm_build *b, pm_tensor *x, pm_activation kind) {
    switch (kind) {
    case PM_ACTIVATION_RELU: return pm_relu(b->g, x);
    case PM_ACTIVATION_GELU: return gelu(b->g, x);
    case PM_ACTIVATION_GELU_TANH: return gelu_tanh(b->g, x);
    case PM_ACTIVATION_SILU: return pm_mul(b->g, x, pm_sigmoid(b->g, x));
    case PM_ACTIVATION_QUICK_GELU: /* the sigmoid form of GELU, Hendrycks and Gimpel 2016 */
        return pm_mul(b->g, x, pm_sigmoid(b->g, pm_mul(b->g, pm_const_f32(b->g, 1.702f), x)));
    case PM_ACTIVATION_TANH: return pm_tanh(b->g, x);
    }
    return x;
}

pm_tensor *pm_block_softcap(pm_build *b, pm_tensor *x, float cap) {
    if (cap == 0) return x;
    pm_tensor *c = pm_const_f32(b->g, cap);
    return pm_mul(b->g, c, pm_tanh(b->g, pm_div(b->g, x, c)));
}

/* ---- embeddings ---- */

enum { MIN_TABLE = 16 };

/* A table of as many rows as this graph's positions can reach: a step's cache, or the sequence. Rounded up, so that
 * programs of like lengths share it. */
static pm_tensor *position_table(pm_build *b, pm_table table, int64_t length, int64_t skipped) {
    int64_t need = (b->position ? b->options.cache : length) + skipped;
    int64_t most = b->model->spec.max_positions + skipped;
    table.rows = MIN_TABLE;
    while (table.rows < need) table.rows *= 2;
    if (table.rows > most) table.rows = most;
    return pm_build_table(b, &table);
}

pm_tensor *pm_block_by_batch(pm_build *b, pm_tensor *x, int rank) {
    int64_t dims[PM_MAX_DIMS] = {1, 1, 1, 1, 1};
    if (!x || pm_tensor_rank(x) == 0) return x;
    dims[0] = pm_tensor_dim(x, 0);
    return pm_reshape(b->g, x, rank, dims);
}

pm_tensor *pm_block_places(pm_build *b, int64_t t) {
    return pm_add(b->g, pm_iota(b->g, t), pm_block_by_batch(b, b->position, 2));
}

/* Rows of a table for the T new positions, which begin at row `skipped`: [T,C], or [B,T,C]. */
static pm_tensor *position_rows(pm_build *b, pm_tensor *table, int64_t length, int64_t skipped) {
    if (!b->position) return pm_slice(b->g, table, 0, skipped, length);
    pm_tensor *rows = pm_block_places(b, length);
    if (skipped) rows = pm_add(b->g, rows, pm_const_i32(b->g, (int32_t)skipped));
    return pm_gather(b->g, table, rows);
}

/* Ids that are not blank stand at rows skipped, skipped + 1, ...; blank ones at the row before. */
static pm_tensor *counted_rows(pm_build *b, const pm_embedding *e, pm_tensor *table, pm_tensor *ids) {
    pm_graph *g = b->g;
    pm_tensor *is = pm_ne(g, ids, pm_const_i32(g, e->blank));
    pm_tensor *count = pm_mul(g, pm_block_count(b, is), pm_cast(g, is, PM_I32));
    return pm_gather(g, table, pm_add(g, count, pm_const_i32(g, (int32_t)e->skipped - 1)));
}

static pm_tensor *positions(pm_build *b, const pm_embedding *e, int64_t width, pm_tensor *ids) {
    pm_graph *g = b->g;
    int64_t length = pm_tensor_dim(ids, 1), rows = b->model->spec.max_positions + e->skipped;
    pm_table computed = {.name = e->positions, .columns = width, .fill = e->fill};
    pm_tensor *table = e->fill ? position_table(b, computed, length, e->skipped)
                               : pm_build_weight(b, e->positions, 2, (int64_t[]){rows, width});
    if (e->counted) return counted_rows(b, e, table, ids);
    pm_tensor *at = position_rows(b, table, length, e->skipped);
    if (!e->has_blank) return at;
    pm_tensor *blank = pm_eq(g, ids, pm_const_i32(g, e->blank));
    blank = pm_reshape(g, blank, 3, (int64_t[]){pm_tensor_dim(ids, 0), length, 1});
    return pm_where(g, blank, pm_const_f32(g, 0), at);
}

pm_tensor *pm_block_embed(pm_build *b, const pm_embedding *e, int64_t width, pm_tensor *ids,
                          pm_tensor *types) {
    pm_graph *g = b->g;
    const pm_norm norm = {PM_NORM_LAYER, b->model->spec.stack[0].eps, false};
    int64_t n = e->width ? e->width : width;
    pm_tensor *x = pm_gather(g, pm_build_weight(b, e->tokens, 2, (int64_t[]){e->vocab, n}), ids);
    if (e->scale != 0 && e->scale != 1) x = pm_mul(g, x, pm_const_f32(g, e->scale));
    if (e->types) {
        pm_tensor *table = pm_build_weight(b, e->types, 2, (int64_t[]){e->n_types, n});
        x = pm_add(g, x, types ? pm_gather(g, table, types) : pm_slice(g, table, 0, 0, 1));
    }
    if (e->positions) x = pm_add(g, x, positions(b, e, n, ids));
    if (e->norm.weight) x = pm_block_norm(b, x, &norm, &e->norm);
    return e->project.weight ? pm_block_linear(b, x, &e->project, &(pm_linear_shape){n, width, false}) : x;
}

/* x[B,H,T,D] * cos + (-x2, x1) * sin, the halves x1 and x2 as Hugging Face keeps Llama's rows. */
static pm_tensor *rotate(pm_graph *g, pm_tensor *x, pm_tensor *cos, pm_tensor *sin) {
    int64_t half = pm_tensor_dim(x, 3) / 2;
    pm_tensor *parts[] = {pm_neg(g, pm_slice(g, x, 3, half, half)), pm_slice(g, x, 3, 0, half)};
    return pm_add(g, pm_mul(g, x, cos), pm_mul(g, pm_concat(g, 2, parts, 3), sin));
}

/* Rotary embedding (Su et al. 2021) of the first dims of each head. */
pm_tensor *pm_block_rotary(pm_build *b, pm_tensor *x, const pm_rope *rope, const char *name) {
    if (!x) return NULL;
    int64_t t = pm_tensor_dim(x, 2), d = pm_tensor_dim(x, 3), turned = (int64_t)((float)d * rope->partial);
    char names[2][32];
    pm_tensor *table[2];
    for (int i = 0; i < 2; i++) {
        snprintf(names[i], sizeof names[i], "%s.%s", name, i ? "sin" : "cos");
        pm_table part = {.name = names[i], .columns = turned, .rope = rope};
        part.fill = i ? pm_fill_rope_sin : pm_fill_rope_cos;
        table[i] = position_rows(b, position_table(b, part, t, 0), t, 0);
        if (table[i] && pm_tensor_rank(table[i]) == 3)
            table[i] = pm_reshape(b->g, table[i], 4, (int64_t[]){pm_tensor_dim(x, 0), 1, t, turned});
    }
    if (turned == d) return rotate(b->g, x, table[0], table[1]);
    pm_tensor *parts[] = {rotate(b->g, pm_slice(b->g, x, 3, 0, turned), table[0], table[1]),
                          pm_slice(b->g, x, 3, turned, d - turned)};
    return pm_concat(b->g, 2, parts, 3);
}

pm_tensor *pm_block_alibi(pm_build *b, int64_t n_heads, int64_t s) {
    char name[32];
    snprintf(name, sizeof name, "alibi.%lld", (long long)s); /* keys, then heads */
    pm_table table = {.name = name, .rows = n_heads, .columns = s, .fill = pm_fill_alibi};
    return pm_reshape(b->g, pm_build_table(b, &table), 3, (int64_t[]){n_heads, 1, s});
}

pm_tensor *pm_block_last_row(pm_build *b, pm_tensor *x) {
    pm_graph *g = b->g;
    int64_t batch = pm_tensor_dim(x, 0), t = pm_tensor_dim(x, 1), c = pm_tensor_dim(x, 2);
    if (t == 1) return x;
    pm_tensor *row = pm_build_word(b, "last_row");
    if (batch > 1 || b->options.rows) {
        pm_tensor *first = pm_mul(g, pm_iota(g, batch), pm_const_i32(g, (int32_t)t));
        row = pm_add(g, first, row);
    } else
        row = pm_reshape(g, row, 1, (int64_t[]){1});
    x = pm_gather(g, pm_reshape(g, x, 2, (int64_t[]){batch * t, c}), row);
    return pm_reshape(g, x, 3, (int64_t[]){batch, 1, c});
}

void pm_block_next(pm_build *b, pm_tensor *logits) {
    pm_graph *g = b->g;
    int64_t batch = b->options.batch, vocab = pm_tensor_dim(logits, -1);
    if (b->options.kind != PM_BUILD_STEP || (batch > 1 && !b->options.rows)) return;
    if (b->options.penalty) logits = pm_loop_penalise(b, logits);
    if (b->options.sample) {
        pm_loop_sample(b, logits);
        return;
    }
    pm_tensor *next = pm_argmax(g, logits), *at = next; /* [B,1] */
    if (batch > 1) {
        pm_tensor *first = pm_mul(g, pm_iota(g, batch), pm_const_i32(g, (int32_t)vocab));
        at = pm_add(g, next, pm_reshape(g, first, 2, (int64_t[]){batch, 1}));
    }
    pm_tensor *column = pm_reshape(g, logits, 2, (int64_t[]){batch * vocab, 1});
    pm_tensor *logit = pm_gather(g, column, at);
    if (b->loop) {
        pm_loop_end(b, next, logit);
        return;
    }
    pm_build_output(b, "next", -1, true, next);
    pm_build_output(b, "next_logit", -1, true, logit);
}
