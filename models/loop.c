/* See loop.h. Invariant: the words that the device has are those that pm_loop says, or pm_loop.made is 0. */
#include "models/loop.h"

#include <stdio.h>
#include <string.h>

/* ---- the graph ---- */

static pm_tensor *word(pm_build *b, int64_t at, int rank) {
    const int64_t dims[2] = {1, 1};
    return pm_reshape(b->g, pm_slice(b->g, b->loop, 0, at, 1), rank, dims);
}

typedef struct state_name {
    char s[64];
} state_name;

static state_name name_of(const char *prefix, const char *what) {
    state_name name;
    snprintf(name.s, sizeof name.s, "%s%s", prefix ? prefix : "", what);
    return name;
}

void pm_loop_begin(pm_build *b) {
    const int64_t n = PM_LOOP_WORDS;
    b->loop = pm_state(b->g, name_of(b->options.weights, "loop").s, PM_I32, 1, &n);
    b->position = word(b, PM_LOOP_POSITION, 0);
}

pm_tensor *pm_loop_id(pm_build *b) {
    return word(b, PM_LOOP_ID, 2);
}

static pm_tensor *seen(pm_build *b, int64_t vocab) {
    return pm_state(b->g, name_of(b->options.weights, "seen").s, PM_I32, 4, (int64_t[]){1, 1, vocab, 1});
}

/* As pm_rules_apply does, to the bit: logits of ids that came before times the penalty where they are negative, times its
 * reciprocal where they are not. */
pm_tensor *pm_loop_penalise(pm_build *b, pm_tensor *logits) {
    pm_graph *g = b->g;
    int64_t vocab = pm_tensor_dim(logits, -1), two = 2;
    pm_tensor *factors = pm_input(g, "penalty", PM_F32, 1, &two), *row = pm_reshape(g, logits, 1, &vocab);
    pm_tensor *before = pm_cast(g, pm_reshape(g, seen(b, vocab), 1, &vocab), PM_BOOL);
    pm_tensor *factor = pm_where(g, pm_lt(g, row, pm_const_f32(g, 0)), pm_slice(g, factors, 0, 0, 1),
                                 pm_slice(g, factors, 0, 1, 1));
    row = pm_where(g, before, pm_mul(g, row, factor), row);
    return pm_reshape(g, row, 3, (int64_t[]){1, 1, vocab});
}

static void mark_seen(pm_build *b, pm_tensor *next) {
    const int64_t one[4] = {1, 1, 1, 1};
    pm_tensor *mark = pm_reshape(b->g, pm_const_i32(b->g, 1), 4, one);
    int64_t vocab = b->model->info.vocab_size;
    (void)pm_cache_write(b->g, seen(b, vocab), mark, pm_reshape(b->g, next, 0, NULL));
}

void pm_loop_end(pm_build *b, pm_tensor *next, pm_tensor *logit) {
    if (b->options.penalty) mark_seen(b, next);
    b->loop = pm_advance(b->g, b->loop, next, logit);
    pm_build_output(b, "loop", -1, true, b->loop);
}

/* ---- running ---- */

static bool penalises(const pm_loop *l) {
    return l->penalty != 0 && l->penalty != 1;
}

/* Which ids came before. */
static pm_status write_seen(const pm_loop *l, const pm_decoder *d) {
    int64_t vocab = pm_decoder_vocab(d);
    int32_t *marks = pm_calloc((size_t)vocab, sizeof *marks);
    if (!marks) return PM_ERR_MEMORY;
    for (size_t i = 0; i < l->n_ids; i++)
        if (l->ids[i] >= 0 && l->ids[i] < vocab) marks[l->ids[i]] = 1;
    pm_status s = pm_executor_put(d->s->executor, name_of(d->s->prefix, "seen").s, marks,
                                  (uint64_t)vocab * sizeof *marks);
    pm_free(marks);
    return s;
}

pm_status pm_loop_program(const pm_loop *l, pm_decoder *d, pm_ready **out) {
    pm_build_options o = {.kind = PM_BUILD_STEP,
                          .loop = true,
                          .penalty = penalises(l),
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
    if (l->made == r->made && l->position == d->position && l->id == id) return PM_OK;
    for (size_t i = 0; i < l->n_ends; i++) words[PM_LOOP_ENDS + i] = l->ends[i];
    PM_TRY(pm_executor_put(d->s->executor, name_of(d->s->prefix, "loop").s, words, sizeof words));
    if (penalises(l)) PM_TRY(write_seen(l, d));
    l->made = r->made;
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
    PM_TRY(pm_loop_program(l, d, out));
    PM_TRY(write_words(l, d, *out, id));
    pm_ready_set(*out, "source_length", d->source_length);
    return pm_ready_write(*out, "penalty", (const float[]){l->penalty, 1 / l->penalty}, 2);
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
    uint64_t made = l->made;
    l->made = 0; /* until all went well */
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
    l->made = made;
    l->position = d->position;
    l->id = words[PM_LOOP_ID];
    l->count = words[PM_LOOP_COUNT];
    return PM_OK;
}
