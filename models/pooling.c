/* See pooling.h: the graph. */
#include "models/pooling.h"

#include <stdio.h>
#include <string.h>

#include "models/blocks.h"

static const char *const kind_names[PM_N_POOL_KINDS] = {"cls",           "max",          "mean",
                                                        "mean_sqrt_len", "weightedmean", "lasttoken"};

static pm_tensor *flat(pm_graph *g, pm_tensor *x, int64_t batch) {
    return pm_reshape(g, x, 2, (int64_t[]){batch, -1});
}

/* The sum over tokens of x, and of w, each token w[B or 1,T,1] times. */
static pm_tensor *weighted_sum(pm_graph *g, pm_tensor *x, pm_tensor *w, pm_tensor **out_weight) {
    *out_weight = pm_sum(g, w, 1);
    return pm_sum(g, pm_mul(g, x, w), 1);
}

/* F32 [1,T,1]: 1, 2, .. T. */
static pm_tensor *places(pm_graph *g, int64_t t) {
    pm_tensor *n = pm_add(g, pm_iota(g, t), pm_const_i32(g, 1));
    return pm_reshape(g, pm_cast(g, n, PM_F32), 3, (int64_t[]){1, t, 1});
}

/* Row of the last present token of each sequence; of none: row 0. */
static pm_tensor *last_rows(pm_graph *g, pm_tensor *x, pm_tensor *present) {
    int64_t batch = pm_tensor_dim(x, 0), t = pm_tensor_dim(x, 1), c = pm_tensor_dim(x, 2);
    if (!present) return pm_slice(g, x, 1, t - 1, 1);
    pm_tensor *place = pm_reduce_max(g, pm_mul(g, present, places(g, t)), 1); /* exact: T is below 2^24 */
    pm_tensor *row = pm_cast(g, pm_reshape(g, place, 1, (int64_t[]){batch}), PM_I32);
    row = pm_max(g, pm_sub(g, row, pm_const_i32(g, 1)), pm_const_i32(g, 0));
    row = pm_add(g, row, pm_mul(g, pm_iota(g, batch), pm_const_i32(g, (int32_t)t)));
    return pm_gather(g, pm_reshape(g, x, 2, (int64_t[]){batch * t, c}), row);
}

pm_tensor *pm_pool(pm_build *b, pm_tensor *x, pm_tensor *keys, pm_pool_kind kind) {
    pm_graph *g = b->g;
    if (!x) return NULL;
    int64_t batch = pm_tensor_dim(x, 0), t = pm_tensor_dim(x, 1);
    pm_tensor *is = keys ? pm_reshape(g, pm_cast(g, keys, PM_BOOL), 3, (int64_t[]){batch, t, 1}) : NULL;
    pm_tensor *present = is ? pm_cast(g, is, PM_F32) : NULL, *weight, *sum;
    const float least = 1e-9f; /* of a divisor: a text without tokens gives 0 */
    switch (kind) {
    case PM_POOL_CLS: return flat(g, pm_slice(g, x, 1, 0, 1), batch);
    case PM_POOL_LAST: return flat(g, last_rows(g, x, present), batch);
    case PM_POOL_MAX:
        return flat(g, pm_reduce_max(g, is ? pm_where(g, is, x, pm_const_f32(g, -1e9f)) : x, 1), batch);
    case PM_POOL_WEIGHTED:
        weight = present ? pm_mul(g, present, places(g, t)) : places(g, t);
        sum = weighted_sum(g, x, weight, &weight);
        break;
    default:
        if (!present && kind == PM_POOL_MEAN) return flat(g, pm_mean(g, x, 1), batch);
        weight = present ? present : pm_expand(g, pm_const_f32(g, 1), 3, (int64_t[]){1, t, 1});
        sum = weighted_sum(g, x, weight, &weight);
        break;
    }
    weight = pm_max(g, weight, pm_const_f32(g, least));
    return flat(g, pm_div(g, sum, kind == PM_POOL_MEAN_SQRT ? pm_sqrt(g, weight) : weight), batch);
}

/* x / |x|, for rows of x[B,C]. */
static pm_tensor *normalize(pm_graph *g, pm_tensor *x) {
    pm_tensor *square = pm_sum(g, pm_mul(g, x, x), -1);
    return pm_mul(g, x, pm_rsqrt(g, pm_max(g, square, pm_const_f32(g, 1e-24f))));
}

pm_pool_kind pm_pool_default(const pm_model *m) {
    return m->spec.stack[0].causal ? PM_POOL_LAST : PM_POOL_MEAN;
}

void pm_pool_name(pm_pool_kind kind, char out_name[PM_POOL_NAME]) {
    snprintf(out_name, PM_POOL_NAME, "sentence_embedding.%s", kind_names[kind]);
}

static pm_tensor *pool_all(pm_build *b, const pm_pooling *p, pm_tensor *x, pm_tensor *keys) {
    pm_tensor *parts[PM_N_POOL_KINDS];
    int n = 0;
    for (int i = 0; i < PM_N_POOL_KINDS; i++)
        if (p->given ? p->kinds[i] : i == (int)pm_pool_default(b->model))
            parts[n++] = pm_pool(b, x, keys, (pm_pool_kind)i);
    return n == 1 ? parts[0] : pm_concat(b->g, n, parts, 1);
}

static pm_tensor *step(pm_build *b, const pm_pool_step *s, pm_tensor *x) {
    if (s->normalize) return normalize(b->g, x);
    x = pm_block_linear(b, x, &s->dense, &(pm_linear_shape){s->in, s->out, false});
    return s->has_act ? pm_block_activation(b, x, s->act) : x;
}

/* A pooling alone is an output for those who name it, not one of "all". */
static void offer_kind(pm_build *b, pm_tensor *x, pm_tensor *keys, pm_pool_kind kind) {
    char name[PM_POOL_NAME];
    pm_pool_name(kind, name);
    for (size_t i = 0; i < b->n_wanted; i++)
        if (b->wanted[i].length == strlen(name) && strncmp(b->wanted[i].text, name, strlen(name)) == 0)
            pm_build_output(b, name, -1, false, pm_pool(b, x, keys, kind));
}

void pm_pool_kinds(pm_build *b, pm_tensor *x, pm_tensor *keys) {
    pm_build_label(b, "sentence", -1, NULL);
    for (int i = 0; x && i < PM_N_POOL_KINDS; i++) offer_kind(b, x, keys, (pm_pool_kind)i);
}

void pm_pool_outputs(pm_build *b, pm_tensor *x, pm_tensor *keys) {
    const pm_pooling *p = &b->model->spec.pooling;
    bool features = strcmp(b->model->arch->task, "features") == 0;
    pm_build_label(b, "sentence", -1, NULL);
    if (x && (features || p->given) && pm_build_wants(b, "sentence_embedding", -1, p->given)) {
        pm_tensor *y = pool_all(b, p, x, keys);
        for (size_t i = 0; i < p->n_steps; i++) y = step(b, &p->steps[i], y);
        pm_output(b->g, "sentence_embedding", y);
    }
    pm_pool_kinds(b, x, keys);
}
