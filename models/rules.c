/* See rules.h. */
#include "models/rules.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- reading ---- */

typedef struct numbers {
    int64_t no_repeat_ngram, min_length, min_new, n_beams, max_length, max_new;
    float repetition_penalty, length_penalty;
} numbers;

static const pm_config_field fields[] = {
    {"no_repeat_ngram_size", PM_CONFIG_INT, offsetof(numbers, no_repeat_ngram), 0, 0, 1 << 20},
    {"min_length", PM_CONFIG_INT, offsetof(numbers, min_length), 0, 0, INT32_MAX},
    {"min_new_tokens", PM_CONFIG_INT, offsetof(numbers, min_new), 0, 0, INT32_MAX},
    {"num_beams", PM_CONFIG_INT, offsetof(numbers, n_beams), 0, 0, 256},
    {"max_length", PM_CONFIG_INT, offsetof(numbers, max_length), 0, 0, INT32_MAX},
    {"max_new_tokens", PM_CONFIG_INT, offsetof(numbers, max_new), 0, 0, INT32_MAX},
    {"repetition_penalty", PM_CONFIG_REAL, offsetof(numbers, repetition_penalty), 1, 1e-3, 1e3},
    {"length_penalty", PM_CONFIG_REAL, offsetof(numbers, length_penalty), 1, -1e3, 1e3},
};

/* false, true or "never". */
static pm_status read_early_stopping(const pm_config *c, int *out) {
    static const pm_config_field field = {"early_stopping", PM_CONFIG_BOOL, 0, 0, 0, 1};
    const char *text = NULL;
    bool early = false;
    if (pm_config_text(c, field.key, &text) == PM_OK && text && !strcmp(text, "never"))
        return *out = 2, PM_OK;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &early));
    *out = early;
    return PM_OK;
}

pm_status pm_rules_read(const pm_config *c, pm_arena *arena, pm_rules *out) {
    numbers n;
    PM_TRY(pm_config_read(c, NULL, fields, PM_COUNT(fields), &n));
    *out = (pm_rules){.repetition_penalty = n.repetition_penalty,
                      .no_repeat_ngram = n.no_repeat_ngram,
                      .min_length = n.min_length,
                      .min_new = n.min_new,
                      .n_beams = n.n_beams,
                      .max_length = n.max_length,
                      .max_new = n.max_new,
                      .length_penalty = n.length_penalty};
    PM_TRY(read_early_stopping(c, &out->early_stopping));
    PM_TRY(pm_config_ids(c, "forced_bos_token_id", out->forced_bos, PM_MAX_FORCED, &out->n_forced_bos));
    PM_TRY(pm_config_ids(c, "forced_eos_token_id", out->forced_eos, PM_MAX_FORCED, &out->n_forced_eos));
    PM_TRY(pm_config_id_list(c, "suppress_tokens", arena, &out->suppress, &out->n_suppress));
    PM_TRY(
        pm_config_id_list(c, "begin_suppress_tokens", arena, &out->begin_suppress, &out->n_begin_suppress));
    return pm_config_id_lists(c, "bad_words_ids", arena, &out->bad, &out->bad_end, &out->n_bad);
}

void pm_rules_override(pm_rules *r, const pm_generate_options *o) {
    if (o->ignore_rules) *r = (pm_rules){.repetition_penalty = 1, .length_penalty = 1};
    if (o->repetition_penalty > 0) r->repetition_penalty = o->repetition_penalty;
    if (o->no_repeat_ngram > 0) r->no_repeat_ngram = o->no_repeat_ngram;
    if (o->min_new > 0) r->min_new = o->min_new;
    if (o->has_length_penalty) r->length_penalty = o->length_penalty;
    if (o->has_early_stopping || o->early_stopping) r->early_stopping = o->early_stopping;
    if (o->has_forced_bos) {
        r->forced_bos[0] = o->forced_bos;
        r->n_forced_bos = 1;
    }
}

static pm_status check_forced(const char *key, const int32_t *ids, size_t n, int64_t vocab) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= vocab)
            return pm_raise(PM_ERR_FILE, "generation rules: %s is %d, expected 0..%" PRId64, key, (int)ids[i],
                            vocab - 1);
    return PM_OK;
}

pm_status pm_rules_check(const pm_rules *r, int64_t vocab) {
    PM_TRY(check_forced("forced_bos_token_id", r->forced_bos, r->n_forced_bos, vocab));
    return check_forced("forced_eos_token_id", r->forced_eos, r->n_forced_eos, vocab);
}

/* ---- judging ---- */

static pm_status ban(pm_verdict *v, const int32_t *ids, size_t n) {
    PM_TRY(pm_grow((void **)&v->banned, &v->capacity, v->n_banned + n, sizeof *v->banned));
    if (n) memcpy(v->banned + v->n_banned, ids, n * sizeof *ids);
    v->n_banned += n;
    return PM_OK;
}

/* Ids that would end a run of `size` ids for the second time. */
static pm_status ban_ngrams(const pm_rule_place *at, size_t size, pm_verdict *v) {
    if (size == 0 || at->n + 1 < size) return PM_OK;
    const int32_t *last = at->ids + at->n - (size - 1);
    for (size_t i = 0; i + size <= at->n; i++)
        if (size == 1 || memcmp(at->ids + i, last, (size - 1) * sizeof *last) == 0)
            PM_TRY(ban(v, &at->ids[i + size - 1], 1));
    return PM_OK;
}

static bool holds(const int32_t *ids, size_t n, int32_t id) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id) return true;
    return false;
}

/* The last id of each bad sequence whose others have just come. An end of text by itself is never bad. */
static pm_status ban_bad(const pm_rules *r, const pm_rule_place *at, pm_verdict *v) {
    for (size_t i = 0, begin = 0; i < r->n_bad; begin = r->bad_end[i++]) {
        size_t n = r->bad_end[i] - begin;
        const int32_t *ids = r->bad + begin;
        if (n == 0 || (n > 1 && n > at->n) || (n == 1 && holds(at->eos, at->n_eos, ids[0]))) continue;
        if (n == 1 || memcmp(at->ids + at->n - (n - 1), ids, (n - 1) * sizeof *ids) == 0)
            PM_TRY(ban(v, &ids[n - 1], 1));
    }
    return PM_OK;
}

pm_status pm_rules_judge(const pm_rules *r, const pm_rule_place *at, pm_verdict *v) {
    size_t n_new = at->n - at->n_prompt;
    v->n_banned = v->n_forced = 0;
    v->penalised = r->repetition_penalty != 1;
    if (v->penalised && v->n_seen < at->vocab) {
        pm_free(v->seen);
        v->seen = pm_calloc(at->vocab, sizeof *v->seen);
        v->n_seen = v->seen ? at->vocab : 0;
        if (!v->seen) return PM_ERR_MEMORY;
    }
    PM_TRY(ban_ngrams(at, (size_t)r->no_repeat_ngram, v));
    PM_TRY(ban_bad(r, at, v));
    if (at->n < (size_t)r->min_length || n_new < (size_t)r->min_new) PM_TRY(ban(v, at->eos, at->n_eos));
    if (at->n == 1 && r->n_forced_bos) {
        v->forced = r->forced_bos;
        v->n_forced = r->n_forced_bos;
    }
    if (at->n + 1 == at->n_prompt + (size_t)at->max_new && r->n_forced_eos) {
        v->forced = r->forced_eos;
        v->n_forced = r->n_forced_eos;
    }
    if (v->n_forced) v->n_banned = 0; /* what is forced comes over what was said before */
    PM_TRY(ban(v, r->suppress, r->n_suppress));
    size_t begin = at->n_prompt + (at->n_prompt <= 1 && r->n_forced_bos ? 1 : 0);
    return at->n == begin ? ban(v, r->begin_suppress, r->n_begin_suppress) : PM_OK;
}

bool pm_verdict_allows(const pm_verdict *v, int32_t id) {
    return (!v->n_forced || holds(v->forced, v->n_forced, id)) && !holds(v->banned, v->n_banned, id);
}

/* Each id that came before once, however often it came. Times the reciprocal, as the loop on a device does it (loop.c): division is no
 * exact operation there. */
static void penalise(float penalty, const pm_rule_place *at, bool *seen, float *logits) {
    const float reciprocal = 1 / penalty;
    for (size_t i = 0; i < at->n; i++) {
        int32_t id = at->ids[i];
        if (id < 0 || (size_t)id >= at->vocab || seen[id]) continue;
        seen[id] = true;
        logits[id] = logits[id] < 0 ? logits[id] * penalty : logits[id] * reciprocal;
    }
    for (size_t i = 0; i < at->n; i++)
        if (at->ids[i] >= 0 && (size_t)at->ids[i] < at->vocab) seen[at->ids[i]] = false;
}

void pm_rules_apply(const pm_rules *r, const pm_rule_place *at, pm_verdict *v, float *logits) {
    const size_t vocab = at->vocab;
    if (v->penalised) penalise(r->repetition_penalty, at, v->seen, logits);
    for (size_t i = 0; v->n_forced && i < vocab; i++) logits[i] = -INFINITY;
    for (size_t i = 0; i < v->n_forced; i++)
        if ((size_t)v->forced[i] < vocab) logits[v->forced[i]] = 0;
    for (size_t i = 0; i < v->n_banned; i++)
        if ((size_t)v->banned[i] < vocab) logits[v->banned[i]] = -INFINITY;
}

void pm_verdict_free(pm_verdict *v) {
    pm_free(v->banned);
    pm_free(v->seen);
    *v = (pm_verdict){0};
}
