/* See adaptive.h. An id outside of a cluster's rows gathers zeros there, so the clusters' embeddings add up to the one that
 * the id is in. */
#include "models/adaptive.h"

static pm_tensor *embed_cluster(pm_build *b, const pm_cluster *c, pm_tensor *ids) {
    pm_tensor *table = pm_build_weight(b, c->table.weight, 2, (int64_t[]){c->rows, c->width});
    if (c->first) ids = pm_sub(b->g, ids, pm_const_i32(b->g, (int32_t)c->first));
    return pm_gather(b->g, c->n != c->rows ? pm_slice(b->g, table, 0, c->row, c->n) : table, ids);
}

pm_tensor *pm_adaptive_embed(pm_build *b, const pm_adaptive *a, pm_tensor *ids, float scale) {
    int64_t width = b->model->spec.stack[0].width;
    pm_tensor *sum = NULL;
    for (int i = 0; i < a->n_in; i++) {
        const pm_cluster *c = &a->in[i];
        pm_tensor *x = embed_cluster(b, c, ids);
        if (c->project)
            x = pm_block_linear(b, x, &(pm_pair){c->project, NULL},
                                &(pm_linear_shape){c->width, width, false});
        if (scale != 1) x = pm_mul(b->g, x, pm_const_f32(b->g, scale));
        sum = sum ? pm_add(b->g, sum, x) : x;
    }
    return sum;
}

/* A numerically safe log softmax over the innermost axis. */
static pm_tensor *log_softmax(pm_graph *g, pm_tensor *x) {
    pm_tensor *z = pm_sub(g, x, pm_reduce_max(g, x, -1));
    return pm_sub(g, z, pm_log(g, pm_sum(g, pm_exp(g, z), -1)));
}

/* x as the words of a cluster see it. */
static pm_tensor *projected(pm_build *b, const pm_cluster *c, pm_tensor *x) {
    const pm_linear_shape shape = {pm_tensor_dim(x, -1), c->width, true};
    return c->project ? pm_block_linear(b, x, &(pm_pair){c->project, NULL}, &shape) : x;
}

static pm_tensor *words(pm_build *b, const pm_cluster *c, pm_tensor *x) {
    return pm_block_linear_rows(b, x, &c->table, &(pm_linear_shape){c->width, c->rows, false}, c->row, c->n);
}

pm_tensor *pm_adaptive_log_probs(pm_build *b, const pm_adaptive *a, pm_tensor *x) {
    pm_graph *g = b->g;
    int64_t n_gates = a->n_out - 1, n_head = a->out[0].n;
    pm_tensor *parts[PM_MAX_CLUSTERS], *seen = projected(b, &a->out[0], x);
    pm_tensor *head = words(b, &a->out[0], seen);
    if (n_gates == 0) return log_softmax(g, head);
    const pm_linear_shape gates = {a->out[0].width, n_gates, false};
    pm_tensor *all[] = {head, pm_block_linear(b, seen, &a->gates, &gates)};
    head = log_softmax(g, pm_concat(g, 2, all, -1));
    parts[0] = pm_slice(g, head, -1, 0, n_head);
    for (int i = 1; i < a->n_out; i++) {
        int64_t gate = n_head + (a->gates_backwards ? n_gates - i : i - 1);
        pm_tensor *tail = log_softmax(g, words(b, &a->out[i], projected(b, &a->out[i], x)));
        parts[i] = pm_add(g, tail, pm_slice(g, head, -1, gate, 1));
    }
    return pm_concat(g, a->n_out, parts, -1);
}
