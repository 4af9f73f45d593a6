/* Choosing a token by chance, as Hugging Face filters: temperature, top-k, top-p, min-p. What the options become is a few words, which
 * the operation `sample` reads (shaders/sample.params.h); the host chooses with the same function, so that the same logits, seed and
 * place give the same token wherever it is chosen. */
#ifndef PM_SAMPLE_H
#define PM_SAMPLE_H

#include "graph/base.h"
#include "pumice/model.h"
#include "runtime/sampling.h"

/* PM_ERR_USAGE names an option out of its range. */
pm_status pm_check_sampling(const pm_generate_options *o) PM_MUST_USE;
/* The settings of the operation, of options that are in their ranges. */
void pm_sampling_words(const pm_generate_options *o, uint32_t out[PM_SAMPLE_WORDS]);

/* The likeliest of logits[n]; the lower id among equals. Like pm_sample_id it passes over what is no finite number, and
 * fails with PM_ERR_OTHER when none is. */
pm_status pm_likeliest(const float *logits, size_t n, int32_t *out_id) PM_MUST_USE;
/* By chance, of logits[n]. place: how many ids come before it, the prompt's too. */
pm_status pm_sample_id(const uint32_t words[PM_SAMPLE_WORDS], size_t place, const float *logits, size_t n,
                       int32_t *out_id) PM_MUST_USE;

#endif
