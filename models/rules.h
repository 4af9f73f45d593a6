/* What a model's files say on how it generates (generation_config.json, or config.json where that is missing): ids that may
 * not come, ids that must come, penalties. Each rule is that of Hugging Face Transformers 5 (generation/logits_process.py),
 * in that library's order. Knows ids and logits, no device. */
#ifndef PM_RULES_H
#define PM_RULES_H

#include "models/config.h"
#include "pumice/model.h"

enum { PM_MAX_FORCED = 8 };

typedef struct pm_rules {
    float repetition_penalty;                     /* 1: none */
    int64_t no_repeat_ngram, min_length, min_new; /* 0: none */
    int32_t *suppress, *begin_suppress;           /* never; not as the first new id */
    int32_t *bad;                                 /* sequences that may not be completed, and their ends */
    size_t *bad_end, n_suppress, n_begin_suppress, n_bad;
    int32_t forced_bos[PM_MAX_FORCED], forced_eos[PM_MAX_FORCED]; /* as id 1; as the last id that may come */
    size_t n_forced_bos, n_forced_eos;
    /* Defaults of the search. */
    int64_t n_beams, max_length, max_new; /* 0: not said */
    float length_penalty;
    int early_stopping;
} pm_rules;

/* c: generation_config.json or config.json. `arena` keeps the lists. Errors: PM_ERR_FILE names the key. */
pm_status pm_rules_read(const pm_config *c, pm_arena *arena, pm_rules *out) PM_MUST_USE;
/* What the caller's options put in place of the model's. Lists stay the model's. */
void pm_rules_override(pm_rules *r, const pm_generate_options *o);

/* Errors: PM_ERR_FILE when an id that must come is none of the `vocab` ids. */
pm_status pm_rules_check(const pm_rules *r, int64_t vocab) PM_MUST_USE;

/* Where a generation stands: its ids so far, the prompt among them. */
typedef struct pm_rule_place {
    const int32_t *ids;
    size_t n, n_prompt;
    int64_t max_new;
    const int32_t *eos; /* that end it; n_eos 0: nothing does */
    size_t n_eos, vocab;
} pm_rule_place;

/* What the rules say on the next id. */
typedef struct pm_verdict {
    const int32_t *forced; /* one of these alone, when n_forced is not 0 */
    size_t n_forced;
    int32_t *banned; /* none of these */
    size_t n_banned, capacity;
    bool penalised; /* the logits of ids that came before change */
    bool *seen;     /* [vocab], all false between calls */
    size_t n_seen;
} pm_verdict;
pm_status pm_rules_judge(const pm_rules *r, const pm_rule_place *at, pm_verdict *v) PM_MUST_USE;
bool pm_verdict_allows(const pm_verdict *v, int32_t id);
/* `at`, v: as judged. logits[vocab], or log probabilities. */
void pm_rules_apply(const pm_rules *r, const pm_rule_place *at, pm_verdict *v, float *logits);
void pm_verdict_free(pm_verdict *v);

#endif
