/* Choosing a token by chance, as Hugging Face filters: temperature, top-k, top-p, min-p. Own generator: the
 * same seed gives the same choices on every machine for the same logits. */
#ifndef PM_SAMPLE_H
#define PM_SAMPLE_H

#include "graph/base.h"
#include "pumice/model.h"

typedef struct pm_random {
    uint64_t state;
} pm_random; /* splitmix64 */

/* PM_ERR_USAGE names an option out of its range. */
pm_status pm_check_sampling(const pm_generate_options *o) PM_MUST_USE;
/* The likeliest of logits[n]; the lower id among equals. Like pm_sample it passes over what is no finite number, and
 * fails with PM_ERR_OTHER when none is. */
pm_status pm_likeliest(const float *logits, size_t n, int32_t *out_id) PM_MUST_USE;
/* logits[n]; changes nothing. */
pm_status pm_sample(const pm_generate_options *o, pm_random *r, const float *logits, size_t n,
                    int32_t *out_id) PM_MUST_USE;

#endif
