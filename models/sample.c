/* See sample.h. Candidates are sorted once; each filter keeps a beginning of the list. */
#include "models/sample.h"

#include <math.h>
#include <stdlib.h>

/* In [0,1). */
static double random_unit(pm_random *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

pm_status pm_check_sampling(const pm_generate_options *o) {
    if (!(o->temperature >= 0) || !isfinite(o->temperature))
        return pm_raise(PM_ERR_USAGE, "temperature: %g, expected more than 0", (double)o->temperature);
    if (o->top_k < 0) return pm_raise(PM_ERR_USAGE, "top_k: %d, expected 0 or more", (int)o->top_k);
    if (!(o->top_p >= 0 && o->top_p <= 1))
        return pm_raise(PM_ERR_USAGE, "top_p: %g, expected 0..1", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1))
        return pm_raise(PM_ERR_USAGE, "min_p: %g, expected 0..1", (double)o->min_p);
    return PM_OK;
}

static pm_status no_finite_logit(size_t n) {
    return pm_raise(PM_ERR_OTHER, "generation: none of %zu logits is a finite number", n);
}

pm_status pm_likeliest(const float *logits, size_t n, int32_t *out_id) {
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (isfinite(logits[i]) && (best == n || logits[i] > logits[best])) best = i;
    if (best == n) return no_finite_logit(n);
    *out_id = (int32_t)best;
    return PM_OK;
}

typedef struct candidate {
    double p;
    float logit;
    int32_t id;
} candidate;

/* Likeliest first; the lower id first among equals. */
static int by_logit(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Softmax over the first n, which are sorted. */
static void normalise(candidate *c, size_t n, double temperature) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += c[i].p = exp(((double)c[i].logit - (double)c[0].logit) / temperature);
    for (size_t i = 0; i < n; i++) c[i].p /= sum;
}

static size_t keep_top_k(const candidate *c, size_t n, int32_t k) {
    size_t keep = k > 0 && (size_t)k < n ? (size_t)k : n;
    while (keep < n && c[keep].logit == c[keep - 1].logit) keep++; /* those equal to the k-th stay */
    return keep;
}

/* The fewest that hold more than top_p together: token i goes when those before it hold top_p already. */
static size_t keep_top_p(const candidate *c, size_t n, double top_p) {
    double before = 0;
    size_t keep = 0;
    if (top_p <= 0 || top_p >= 1) return n;
    while (keep < n && (keep == 0 || before < top_p)) before += c[keep++].p;
    return keep;
}

static size_t keep_min_p(const candidate *c, size_t n, double min_p) {
    size_t keep = 1;
    while (keep < n && c[keep].p >= min_p * c[0].p) keep++;
    return min_p > 0 ? keep : n;
}

pm_status pm_sample(const pm_generate_options *o, pm_random *r, const float *logits, size_t n,
                    int32_t *out_id) {
    double temperature = o->temperature > 0 ? (double)o->temperature : 1.0;
    candidate *c = pm_calloc(n, sizeof *c);
    if (!c) return PM_ERR_MEMORY;
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(logits[i])) c[used++] = (candidate){.logit = logits[i], .id = (int32_t)i};
    if (used == 0) {
        pm_free(c);
        return no_finite_logit(n);
    }
    qsort(c, used, sizeof *c, by_logit);
    used = keep_top_k(c, used, o->top_k);
    normalise(c, used, temperature);
    used = keep_top_p(c, used, (double)o->top_p);
    used = keep_min_p(c, used, (double)o->min_p);
    normalise(c, used, temperature);
    double at = random_unit(r);
    size_t chosen = 0;
    while (chosen + 1 < used && at >= c[chosen].p) at -= c[chosen++].p;
    *out_id = c[chosen].id;
    pm_free(c);
    return PM_OK;
}
