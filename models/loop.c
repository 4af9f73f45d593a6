/* See loop.h. Invariant: the words that the device has are those that pm_loop says, or pm_loop.ready is NULL. */
#include "models/loop.h"

#include <stdio.h>
#include <string.h>

/* ---- the graph ---- */

static pm_tensor *word(pm_build *b, int64_t at, int rank) {
    const int64_t dims[2] = {1, 1};
    return pm_reshape(b->g, pm_slice(b->g, b->loop, 0, at, 1), rank, dims);
}

static void name_of(const char *prefix, char *out, size_t bytes) {
    snprintf(out, bytes, "%sloop", prefix ? prefix : "");
}

void pm_loop_begin(pm_build *b) {
    char name[64];
    const int64_t n = PM_LOOP_WORDS;
    name_of(b->options.weights, name, sizeof name);
    b->loop = pm_state(b->g, name, PM_I32, 1, &n);
    b->position = word(b, PM_LOOP_POSITION, 0);
}

pm_tensor *pm_loop_id(pm_build *b) {
    return word(b, PM_LOOP_ID, 2);
}

void pm_loop_end(pm_build *b, pm_tensor *next, pm_tensor *logit) {
    b->loop = pm_advance(b->g, b->loop, next, logit);
    pm_build_output(b, "loop", -1, true, b->loop);
}

/* ---- running ---- */

pm_status pm_loop_program(pm_decoder *d, pm_ready **out) {
    pm_build_options o = {.kind = PM_BUILD_STEP,
                          .loop = true,
                          .batch = 1,
                          .length = 1,
                          .cache = d->cache,
                          .source = d->source,
                          .want = "loop",
                          .states = d->states,
                          .cross_states = d->cross};
    return pm_session_program(d->s, &o, out);
}

/* The words before the first step, or after the host has done one. */
static pm_status write_words(pm_loop *l, const pm_decoder *d, const pm_ready *r, int32_t id) {
    int32_t words[PM_LOOP_WORDS] = {
        [PM_LOOP_POSITION] = (int32_t)d->position, [PM_LOOP_ID] = id, [PM_LOOP_N_ENDS] = (int32_t)l->n_ends};
    char name[64];
    if (l->ready == r && l->position == d->position && l->id == id) return PM_OK;
    for (size_t i = 0; i < l->n_ends; i++) words[PM_LOOP_ENDS + i] = l->ends[i];
    name_of(d->s->prefix, name, sizeof name);
    PM_TRY(pm_executor_put(d->s->executor, name, words, sizeof words));
    l->ready = r;
    l->count = 0;
    return PM_OK;
}

/* Steps that one submission may hold. */
static int64_t steps_at_once(const pm_decoder *d, const pm_program *p, int64_t n) {
    uint64_t limit = pm_executor_caps(d->s->executor)->submit_cost, cost = 0;
    for (uint32_t i = 0; limit && i < p->n_dispatches; i++)
        if (!pm_add_u64(cost, p->dispatches[i].cost, &cost)) cost = limit;
    if (cost && limit / cost < (uint64_t)n) n = limit / cost ? (int64_t)(limit / cost) : 1;
    return n < PM_LOOP_RING ? n : PM_LOOP_RING;
}

pm_status pm_loop_prepare(pm_loop *l, pm_decoder *d, int32_t id, pm_ready **out) {
    PM_TRY(pm_decoder_make_room(d, 1));
    PM_TRY(pm_loop_program(d, out));
    PM_TRY(write_words(l, d, *out, id));
    pm_ready_set(*out, "source_length", d->source_length);
    return PM_OK;
}

pm_status pm_loop_run(pm_loop *l, pm_decoder *d, int32_t id, int64_t n, int32_t out_ids[PM_LOOP_RING],
                      size_t *out_n) {
    int32_t words[PM_LOOP_WORDS];
    pm_ready *r;
    *out_n = 0;
    PM_TRY(pm_loop_prepare(l, d, id, &r));
    if (n > d->cache - d->position) n = d->cache - d->position;
    n = steps_at_once(d, r->program, n);
    if (n < 1) return PM_OK; /* no position is left: feeding says so */
    const pm_ready *ready = l->ready;
    l->ready = NULL; /* until all went well */
    PM_TRY(pm_loaded_repeat(r->loaded, (uint32_t)n));
    PM_TRY(pm_ready_read(r, "loop", words, sizeof words));
    uint32_t first = (uint32_t)l->count, end = (uint32_t)words[PM_LOOP_COUNT];
    if (end - first > (uint32_t)n || words[PM_LOOP_POSITION] - d->position != (int64_t)(end - first))
        return pm_raise(PM_ERR_OTHER, "decode loop: %u ids and position %d after %u steps from %u and %lld",
                        (unsigned)end, (int)words[PM_LOOP_POSITION], (unsigned)n, (unsigned)first,
                        (long long)d->position);
    for (uint32_t i = first; i != end; i++) out_ids[(*out_n)++] = words[PM_LOOP_IDS + i % PM_LOOP_RING];
    PM_TRY(pm_check_ids("decode loop", out_ids, *out_n, pm_decoder_vocab(d)));
    d->position += (int64_t)*out_n;
    if (words[PM_LOOP_HALT]) return PM_OK;
    l->ready = ready;
    l->position = d->position;
    l->id = words[PM_LOOP_ID];
    l->count = words[PM_LOOP_COUNT];
    return PM_OK;
}
