/* See sample.h. */
#include "models/sample.h"

#include <math.h>

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

void pm_sampling_words(const pm_generate_options *o, uint32_t out[PM_SAMPLE_WORDS]) {
    double temperature = o->temperature > 0 ? (double)o->temperature : 1.0;
    int exponent;
    double scale = frexp(1.4426950408889634 / temperature, &exponent);
    double share = o->top_p < 1 ? ldexp((double)o->top_p, 32) : 0, least = ldexp((double)o->min_p, 31);
    out[PM_SAMPLE_SCALE] = (uint32_t)ldexp(scale, 31);
    out[PM_SAMPLE_PLACE] = (uint32_t)(164 - exponent);
    out[PM_SAMPLE_TOP_K] = (uint32_t)o->top_k;
    out[PM_SAMPLE_TOP_P] = share > 0 && share < 1 ? 1 : (uint32_t)share;
    out[PM_SAMPLE_MIN_P] = (uint32_t)ceil(least);
    out[PM_SAMPLE_SEED_LO] = (uint32_t)o->seed;
    out[PM_SAMPLE_SEED_HI] = (uint32_t)(o->seed >> 32);
}

pm_status pm_sample_id(const uint32_t words[PM_SAMPLE_WORDS], size_t place, const float *logits, size_t n,
                       int32_t *out_id) {
    *out_id = pm_sample_row(words, (uint32_t)place, logits, n, 1);
    return *out_id < 0 ? no_finite_logit(n) : PM_OK;
}
