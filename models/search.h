/* What the searches of generate.c share: the run of one generation, its limits and when it ends. */
#ifndef PM_SEARCH_H
#define PM_SEARCH_H

#include "models/decoder.h"

enum { PM_MAX_BEAMS = 256 };

typedef struct pm_search {
    pm_session *s;
    pm_decoder decoder;
    const pm_generate_options *options;
    int32_t *ids; /* result, pm_alloc'd: the prompt, then what is new */
    size_t n_ids, n_prompt, capacity;
    int64_t max_new; /* at least 1, within the model's positions */
    float score;
} pm_search;

bool pm_search_is_eos(const pm_search *g, int32_t id);
pm_status pm_search_append(pm_search *g, int32_t id) PM_MUST_USE;

/* Beam search as Hugging Face Transformers 5 defines it, from the prompt in g->ids, of which nothing was fed
 * yet. */
pm_status pm_beam_search(pm_search *g) PM_MUST_USE;

#endif
