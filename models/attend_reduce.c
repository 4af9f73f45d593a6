/* Fewer maps out of many: one layer or head of them, their mean, and rollout. Arithmetic alone. */
#include <string.h>

#include "models/attend_data.h"

static size_t map_elems(const pm_attention *a) {
    return (size_t)(a->n_queries * a->n_keys);
}

/* to = mean of n maps that lie `stride` elements apart. */
static void mean_of(const float *from, int64_t n, size_t stride, size_t elems, float *to) {
    for (size_t i = 0; i < elems; i++) {
        double sum = 0;
        for (int64_t k = 0; k < n; k++) sum += (double)from[(size_t)k * stride + i];
        to[i] = (float)(sum / (double)n);
    }
}

/* In place: what is written lies before what is still to be read. */
static void reduce_heads(const pm_attend_options *o, pm_attention *a) {
    size_t elems = map_elems(a);
    bool mean = o->heads == PM_ATTEND_MEAN || (o->rollout && o->heads == PM_ATTEND_EACH);
    if (!mean && o->heads == PM_ATTEND_EACH) return;
    for (int64_t l = 0; l < a->n_layers; l++) {
        const float *from = a->weights + (size_t)(l * a->n_heads) * elems;
        float *to = a->weights + (size_t)l * elems;
        if (mean)
            mean_of(from, a->n_heads, elems, elems, to);
        else
            memmove(to, from + (size_t)o->head * elems, elems * sizeof *to);
    }
    a->n_heads = 1;
    a->first_head = mean ? 0 : o->head;
    a->heads = mean ? PM_ATTEND_MEAN : PM_ATTEND_ONE;
}

static void reduce_layers(const pm_attend_options *o, pm_attention *a) {
    size_t elems = map_elems(a) * (size_t)a->n_heads;
    a->layers = o->layers;
    if (o->layers != PM_ATTEND_MEAN) return; /* one: no other was read */
    mean_of(a->weights, a->n_layers, elems, elems, a->weights);
    a->n_layers = 1;
}

/* (A + I) with rows scaled to 1. A row that sums to less than 1 counts as it is. */
static void add_identity(float *w, int64_t n) {
    for (int64_t q = 0; q < n; q++) {
        float *row = w + q * n;
        double sum = 0;
        row[q] += 1;
        for (int64_t k = 0; k < n; k++) sum += (double)row[k];
        for (int64_t k = 0; k < n; k++) row[k] = (float)((double)row[k] / sum);
    }
}

/* rows of `layer` times what was before: all[q,k] = sum_j layer[q,j] before[j,k]. Sums of a row lie in `sum`. */
static void multiply(const float *layer, const float *before, int64_t n, double *sum, float *all) {
    for (int64_t q = 0; q < n; q++) {
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int64_t j = 0; j < n; j++) {
            double share = (double)layer[q * n + j];
            for (int64_t k = 0; share > 0 && k < n; k++) sum[k] += share * (double)before[j * n + k];
        }
        for (int64_t k = 0; k < n; k++) all[q * n + k] = (float)sum[k];
    }
}

static pm_status roll_out(pm_attention *a) {
    int64_t n = a->n_queries;
    size_t elems = map_elems(a);
    float *now = a->weights, *next = pm_calloc(elems, sizeof *next), *made = next;
    double *sum = pm_calloc((size_t)n, sizeof *sum);
    pm_status s = next && sum ? PM_OK : PM_ERR_MEMORY;
    if (s == PM_OK) add_identity(now, n);
    for (int64_t l = 1; s == PM_OK && l < a->n_layers; l++) {
        float *layer = a->weights + (size_t)l * elems;
        add_identity(layer, n);
        multiply(layer, now, n, sum, next);
        now = next;
        next = layer; /* is not needed any more */
    }
    if (s == PM_OK) memmove(a->weights, now, elems * sizeof *now);
    pm_free(made);
    pm_free(sum);
    a->first_layer = a->n_layers - 1;
    a->n_layers = 1;
    a->layers = PM_ATTEND_ONE;
    a->rollout = true;
    return s;
}

pm_status pm_map_reduce(const pm_attend_options *o, pm_attention *a) {
    reduce_heads(o, a);
    if (o->rollout) return roll_out(a);
    reduce_layers(o, a);
    return PM_OK;
}
