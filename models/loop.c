/* See loop.h. Invariant: the words that the device has are pm_loop.words, or pm_loop.made is 0. */
#include "models/loop.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- the graph ---- */

/* A word of each sequence: [B,1,..] of `rank` dims; rank 0: of the only one. */
static pm_tensor *word(pm_build *b, int64_t at, int rank) {
    const int64_t dims[2] = {b->options.batch, 1};
    return pm_reshape(b->g, pm_slice(b->g, b->loop, 0, at, 1), rank, dims);
}

typedef struct state_name {
    char s[64];
} state_name;

/* Those of rows tell how many there are. */
static state_name name_of(const char *prefix, const char *what, int64_t n_rows) {
    state_name name;
    if (n_rows)
        snprintf(name.s, sizeof name.s, "%s%s.%" PRId64, prefix ? prefix : "", what, n_rows);
    else
        snprintf(name.s, sizeof name.s, "%s%s", prefix ? prefix : "", what);
    return name;
}

static state_name name_in_graph(const pm_build *b, const char *what) {
    return name_of(b->options.weights, what, b->options.rows ? b->options.batch : 0);
}

void pm_loop_begin(pm_build *b) {
    const int64_t dims[2] = {PM_LOOP_WORDS, b->options.batch};
    b->loop = pm_state(b->g, name_in_graph(b, "loop").s, PM_I32, b->options.rows ? 2 : 1, dims);
    b->position = word(b, PM_LOOP_POSITION, b->options.rows ? 1 : 0);
}

pm_tensor *pm_loop_id(pm_build *b) {
    return word(b, PM_LOOP_ID, 2);
}

static pm_tensor *seen(pm_build *b, int64_t vocab) {
    return pm_state(b->g, name_in_graph(b, "seen").s, PM_I32, 4, (int64_t[]){b->options.batch, 1, vocab, 1});
}

/* As pm_rules_apply does, to the bit: logits of ids that came before times the penalty where they are negative, times its
 * reciprocal where they are not. */
pm_tensor *pm_loop_penalise(pm_build *b, pm_tensor *logits) {
    pm_graph *g = b->g;
    int64_t vocab = pm_tensor_dim(logits, -1), two = 2;
    const int64_t dims[] = {b->options.batch, 1, vocab};
    pm_tensor *factors = pm_input(g, "penalty", PM_F32, 1, &two);
    pm_tensor *before = pm_cast(g, pm_reshape(g, seen(b, vocab), 3, dims), PM_BOOL);
    pm_tensor *factor = pm_where(g, pm_lt(g, logits, pm_const_f32(g, 0)), pm_slice(g, factors, 0, 0, 1),
                                 pm_slice(g, factors, 0, 1, 1));
    return pm_where(g, before, pm_mul(g, logits, factor), logits);
}

static void mark_seen(pm_build *b, pm_tensor *next) {
    const int64_t one[4] = {1, 1, 1, 1}, each[4] = {b->options.batch, 1, 1, 1};
    pm_tensor *mark = pm_expand(b->g, pm_reshape(b->g, pm_const_i32(b->g, 1), 4, one), 4, each);
    int64_t vocab = b->model->info.vocab_size;
    (void)pm_cache_write(b->g, seen(b, vocab), mark, pm_reshape(b->g, next, b->options.rows ? 1 : 0, each));
}

/* Settings are an input, so that one program serves all; what a sequence has so far counts its choices. */
void pm_loop_sample(pm_build *b, pm_tensor *logits) {
    const int64_t dims[2] = {b->options.batch, PM_SAMPLE_WORDS};
    pm_tensor *settings = pm_input(b->g, "sampling", PM_I32, 2, dims);
    pm_loop_end(b, pm_sample(b->g, logits, settings, word(b, PM_LOOP_COUNT, 1)), NULL);
}

void pm_loop_end(pm_build *b, pm_tensor *next, pm_tensor *logit) {
    if (b->options.penalty) mark_seen(b, next);
    b->loop = pm_advance(b->g, b->loop, next, logit);
    pm_build_output(b, "loop", -1, true, b->loop);
}

/* ---- the words ---- */

static bool penalises(const pm_loop *l) {
    return l->penalty != 0 && l->penalty != 1;
}

static size_t n_words(const pm_decoder *d) {
    return PM_LOOP_WORDS * (size_t)d->batch;
}

static int32_t position_of(const pm_decoder *d, int64_t row) {
    return d->rows ? d->at[row] : (int32_t)d->position;
}

/* Word w of sequence `row`. */
static int32_t *word_of(int32_t *words, const pm_decoder *d, int64_t w, int64_t row) {
    return &words[w * d->batch + row];
}

void pm_loop_free(pm_loop *l) {
    pm_free(l->words);
    l->words = NULL;
}

/* Which ids came before. */
static pm_status write_seen(const pm_decoder *d, const pm_turn *turns) {
    int64_t vocab = pm_decoder_vocab(d);
    size_t n = (size_t)(vocab * d->batch);
    int32_t *marks = pm_calloc(n, sizeof *marks);
    if (!marks) return PM_ERR_MEMORY;
    for (int64_t row = 0; row < d->batch; row++)
        for (size_t i = 0; i < turns[row].n_ids; i++)
            if (turns[row].ids[i] >= 0 && turns[row].ids[i] < vocab)
                marks[row * vocab + turns[row].ids[i]] = 1;
    pm_status s = pm_executor_put(d->s->executor, name_of(d->s->prefix, "seen", d->rows ? d->batch : 0).s,
                                  marks, n * sizeof *marks);
    pm_free(marks);
    return s;
}

/* Whether the words that steps have left are those that the next one begins with. */
static bool are_current(const pm_loop *l, const pm_decoder *d, const pm_turn *turns, const pm_ready *r) {
    bool are = l->made == r->made;
    for (int64_t i = 0; are && i < d->batch; i++) {
        const pm_turn *t = &turns[i];
        are = (*word_of(l->words, d, PM_LOOP_HALT, i) != 0) == t->done;
        if (!t->done)
            are &= *word_of(l->words, d, PM_LOOP_POSITION, i) == position_of(d, i) &&
                   *word_of(l->words, d, PM_LOOP_COUNT, i) == (int32_t)t->n_ids &&
                   *word_of(l->words, d, PM_LOOP_ID, i) == t->ids[t->n_ids - 1];
    }
    return are;
}

/* The words before the first step, or after the host has done one. */
static pm_status write_words(pm_loop *l, const pm_decoder *d, const pm_turn *turns, const pm_ready *r) {
    size_t n = n_words(d);
    if (!l->words && !(l->words = pm_calloc(2 * n, sizeof *l->words))) return PM_ERR_MEMORY;
    if (are_current(l, d, turns, r)) return PM_OK;
    l->made = 0;
    memset(l->words, 0, n * sizeof *l->words);
    for (int64_t i = 0; i < d->batch; i++) {
        *word_of(l->words, d, PM_LOOP_POSITION, i) = position_of(d, i);
        *word_of(l->words, d, PM_LOOP_ID, i) = turns[i].ids[turns[i].n_ids - 1];
        *word_of(l->words, d, PM_LOOP_COUNT, i) = (int32_t)turns[i].n_ids;
        *word_of(l->words, d, PM_LOOP_HALT, i) = turns[i].done ? PM_HALT_END : 0;
        *word_of(l->words, d, PM_LOOP_N_ENDS, i) = (int32_t)l->n_ends;
        for (size_t k = 0; k < l->n_ends; k++)
            *word_of(l->words, d, PM_LOOP_ENDS + (int64_t)k, i) = l->ends[k];
    }
    PM_TRY(pm_executor_put(d->s->executor, name_of(d->s->prefix, "loop", d->rows ? d->batch : 0).s, l->words,
                           n * sizeof *l->words));
    if (penalises(l)) PM_TRY(write_seen(d, turns));
    l->made = r->made;
    return PM_OK;
}

/* ---- running ---- */

pm_status pm_loop_program(const pm_loop *l, pm_decoder *d, pm_ready **out) {
    pm_build_options o = {.kind = PM_BUILD_STEP,
                          .loop = true,
                          .penalty = penalises(l),
                          .sample = l->sampling != NULL,
                          .batch = d->batch,
                          .rows = d->rows,
                          .length = 1,
                          .cache = d->cache,
                          .source = d->source,
                          .want = "loop",
                          .states = d->states,
                          .cross_states = d->cross};
    return pm_session_program(d->s, &o, out);
}

/* Steps that one submission may hold. */
static int64_t steps_at_once(const pm_decoder *d, const pm_program *p, int64_t n) {
    uint64_t limit = pm_executor_caps(d->s->executor)->submit_cost, cost = 0;
    for (uint32_t i = 0; limit && i < p->n_dispatches; i++)
        if (!pm_add_u64(cost, p->dispatches[i].cost, &cost)) cost = limit;
    if (cost && limit / cost < (uint64_t)n) n = limit / cost ? (int64_t)(limit / cost) : 1;
    return n < PM_LOOP_RING ? n : PM_LOOP_RING;
}

/* Rows of the cache that are filled, of the fullest sequence that goes on. */
static int64_t filled(const pm_decoder *d, const pm_turn *turns) {
    int64_t most = 0;
    for (int64_t i = 0; i < d->batch; i++)
        if (!turns[i].done && position_of(d, i) > most) most = position_of(d, i);
    return most;
}

pm_status pm_loop_prepare(pm_loop *l, pm_decoder *d, const pm_turn *turns, pm_ready **out) {
    int64_t most = filled(d, turns);
    PM_TRY(pm_decoder_make_room(d, most < d->position ? 0 : 1));
    PM_TRY(pm_loop_program(l, d, out));
    PM_TRY(write_words(l, d, turns, *out));
    PM_TRY(pm_decoder_set_sources(d, *out));
    if (l->sampling)
        PM_TRY(pm_ready_write(*out, "sampling", l->sampling, PM_SAMPLE_WORDS * (size_t)d->batch));
    return pm_ready_write(*out, "penalty", (const float[]){l->penalty, 1 / l->penalty}, 2);
}

/* Ids of a sequence up to the end-th since the loop began. */
static pm_status read_ids(const pm_loop *l, const pm_decoder *d, int64_t row, uint32_t end, pm_turn *t) {
    int32_t *after = l->words + n_words(d);
    size_t before = t->n_out;
    for (uint32_t i = (uint32_t)*word_of(l->words, d, PM_LOOP_COUNT, row) + (uint32_t)before; i != end; i++)
        t->out[t->n_out++] = *word_of(after, d, PM_LOOP_IDS + i % PM_LOOP_RING, row);
    return pm_check_ids("decode loop", t->out + before, t->n_out - before, pm_decoder_vocab(d));
}

/* What n steps have done for a sequence: from the words before and after them. */
static pm_status read_turn(pm_loop *l, pm_decoder *d, int64_t row, int64_t n, pm_turn *t) {
    int32_t *after = l->words + n_words(d), position = position_of(d, row);
    uint32_t first = (uint32_t)*word_of(l->words, d, PM_LOOP_COUNT, row),
             end = (uint32_t)*word_of(after, d, PM_LOOP_COUNT, row);
    int32_t moved = *word_of(after, d, PM_LOOP_POSITION, row) - position;
    if (end - first > (uint32_t)n || end - first < t->n_out ||
        (!t->done && moved != (int32_t)(end - first)) || (t->done && end != first))
        return pm_raise(PM_ERR_OTHER,
                        "decode loop: %u ids and position %d after %u steps from %u and %d of sequence %lld",
                        (unsigned)end, (int)*word_of(after, d, PM_LOOP_POSITION, row), (unsigned)n,
                        (unsigned)first, (int)position, (long long)row);
    t->halted = *word_of(after, d, PM_LOOP_HALT, row) != 0;
    PM_TRY(read_ids(l, d, row, end, t));
    pm_decoder_moved(d, row, (int64_t)t->n_out);
    return PM_OK;
}

/* ---- while it runs ---- */

enum { LOOK_NS = 10000000 }; /* between two looks at what was chosen */

typedef struct looking {
    pm_loop *l;
    pm_decoder *d;
    pm_turn *turns;
    pm_ready *ready;
    void (*on_ids)(void *user);
    void *user;
    pm_status status;
} looking;

/* Words may be those of a later step, and the count be there before its id: only ids of steps that have ended are taken. A halted sequence's
 * count stands still. */
static void look(void *user, uint32_t n_done) {
    looking *k = user;
    if (k->status != PM_OK) return;
    const size_t n = n_words(k->d);
    int32_t *after = k->l->words + n;
    k->status = pm_ready_read(k->ready, "loop", after, n * sizeof *after);
    for (int64_t i = 0; i < k->d->batch && k->status == PM_OK; i++) {
        uint32_t first = (uint32_t)*word_of(k->l->words, k->d, PM_LOOP_COUNT, i),
                 made = (uint32_t)*word_of(after, k->d, PM_LOOP_COUNT, i) - first;
        if (!k->turns[i].done)
            k->status = read_ids(k->l, k->d, i, first + (made < n_done ? made : n_done), &k->turns[i]);
    }
    if (k->status == PM_OK) k->on_ids(k->user);
}

static pm_status run(pm_loop *l, looking *k, int64_t n) {
    pm_watch watch = {.on_runs = look, .user = k};
    uint64_t start = pm_now_ns();
    if (l->step_ns) watch.every = (uint32_t)(LOOK_NS / l->step_ns);
    PM_TRY(pm_loaded_repeat(k->ready->loaded, (uint32_t)n, k->on_ids ? &watch : NULL));
    l->step_ns = (pm_now_ns() - start) / (uint64_t)n;
    return k->status;
}

pm_status pm_loop_run(pm_loop *l, pm_decoder *d, pm_turn *turns, int64_t n, void (*on_ids)(void *user),
                      void *user) {
    looking k = {.l = l, .d = d, .turns = turns, .on_ids = on_ids, .user = user};
    for (int64_t i = 0; i < d->batch; i++) turns[i].n_out = 0, turns[i].halted = false;
    PM_TRY(pm_loop_prepare(l, d, turns, &k.ready));
    int64_t room = d->cache - filled(d, turns);
    n = steps_at_once(d, k.ready->program, n < room ? n : room);
    if (n < 1) return PM_OK; /* no position is left: feeding says so */
    uint64_t made = l->made;
    l->made = 0; /* until all went well */
    PM_TRY(run(l, &k, n));
    PM_TRY(pm_ready_read(k.ready, "loop", l->words + n_words(d), n_words(d) * sizeof *l->words));
    for (int64_t i = 0; i < d->batch; i++) PM_TRY(read_turn(l, d, i, n, &turns[i]));
    memcpy(l->words, l->words + n_words(d), n_words(d) * sizeof *l->words);
    l->made = made;
    return PM_OK;
}
