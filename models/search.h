/* What the searches of generate.c share: the run of one generation, its limits and when it ends. Several sequences may run together:
 * rows of one decoder. */
#ifndef PM_SEARCH_H
#define PM_SEARCH_H

#include "models/decoder.h"
#include "models/loop.h"
#include "models/rules.h"
#include "models/sample.h"

enum { PM_MAX_BEAMS = 256 };

/* What decoding costs, from its begin to its end. */
typedef struct pm_meter {
    uint64_t start_ns;
    pm_executor_stats start;
} pm_meter;

/* What a caller of its own forbids on top of the model's rules: scores of what may not follow the n new ids become -infinity. */
typedef struct pm_restriction {
    void (*apply)(const void *user, const int32_t *ids, size_t n, float *scores,
                  size_t n_scores); /* or NULL */
    const void *user;
} pm_restriction;

typedef struct pm_search {
    pm_session *s;
    pm_decoder *decoder; /* the one of all sequences that run together */
    const pm_generate_options *options;
    pm_rules rules;
    pm_verdict verdict; /* the newest */
    pm_restriction restriction;
    pm_generated *out; /* its times and counts are written as the search goes */
    uint64_t start_ns; /* when work on the prompt began */
    pm_meter meter;
    bool done, stuck; /* stuck: the device had no finite logit to choose by: the host has to */
    int32_t *ids;     /* result, pm_alloc'd: the prompt, then what is new */
    size_t n_ids, n_prompt, capacity;
    int64_t max_new; /* at least 1, within the model's positions */
    float score;
} pm_search;

/* What the rules say behind ids[n], the prompt among them: in g->verdict. */
pm_status pm_search_judge(pm_search *g, const int32_t *ids, size_t n) PM_MUST_USE;
void pm_search_apply(pm_search *g, const int32_t *ids, size_t n, float *logits);
bool pm_search_is_eos(const pm_search *g, int32_t id);
pm_status pm_search_append(pm_search *g, int32_t id) PM_MUST_USE;
/* Whether the text of new ids holds one of the options' stops; *out_stop is left alone when it does not. */
pm_status pm_search_meets_stop(const pm_search *g, const int32_t *ids, size_t n, bool *out_stop) PM_MUST_USE;
/* After the first choice: ends the time of the prompt, makes the one-token program, so that decoding itself records
 * nothing, and starts the meter. */
pm_status pm_search_begin_decoding(pm_search *g) PM_MUST_USE;

/* The newest error again, with the name of the prompt that it is about, as the options name it. */
pm_status pm_name_prompt(pm_status status, const pm_generate_options *o, size_t i) PM_MUST_USE;
/* Errors: PM_ERR_USAGE names an option that is out of its range. */
pm_status pm_check_generate_options(const pm_session *s, const pm_generate_options *o) PM_MUST_USE;
/* Rules, prompt and max_new of a generation from ids[n], before its decoder is opened; for how many rows of the cache there should be
 * room to begin with. */
pm_status pm_search_prepare(pm_search *g, const pm_ids *prompt, int64_t *out_expected) PM_MUST_USE;
/* Greedy, sampling or beams, as the options say, from the prompt in g->ids, of which nothing was fed yet. The decoder is open,
 * the source encoded, rules and max_new are set. */
pm_status pm_search_run(pm_search *g) PM_MUST_USE;
/* The same of n sequences with the same options, which are the n rows of their decoder; no beams. */
pm_status pm_search_run_rows(pm_search *rows, size_t n) PM_MUST_USE;
/* What a search has found becomes its result; on an error nothing is left of it. */
void pm_search_finish(pm_search *g, pm_status status);

/* Beam search as Hugging Face Transformers 5 defines it, from the prompt in g->ids, of which nothing was fed
 * yet. */
pm_status pm_beam_search(pm_search *g) PM_MUST_USE;

#endif
