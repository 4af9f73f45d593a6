/* See decoder.h. Invariant: rows 0 .. position-1 of every cache state are those of the sequences fed so far;
 * what lies behind them is rubbish that the causal mask hides. */
#include "models/decoder.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MIN_BUCKET = 8, MAX_CHUNK = 512, MIN_CACHE = 16 };

static const pm_stack *stack_of(const pm_decoder *d) {
    return &d->s->model->spec.stack[d->s->model->arch->encoder_decoder ? 1 : 0];
}

static int64_t bucket(int64_t n, int64_t least, int64_t most) {
    int64_t b = least;
    while (b < n && b < most) b *= 2;
    return b < most ? b : most;
}

/* Rows that may be filled: the model's positions. */
static int64_t limit_of(const pm_decoder *d) {
    return d->s->model->spec.max_positions;
}

int64_t pm_decoder_vocab(const pm_decoder *d) {
    return d->s->model->spec.embed[d->s->model->arch->encoder_decoder ? 1 : 0].vocab;
}

static void name_states(pm_decoder *d) {
    snprintf(d->states, sizeof d->states, "%skv.%" PRId64 "x%" PRId64 ".", d->s->prefix, d->batch, d->cache);
    snprintf(d->cross, sizeof d->cross, "%skv.%" PRId64 "x%" PRId64 ".", d->s->prefix, d->batch, d->source);
}

/* Rows that a cache may have: all positions, or where the model forgets, so many that forgetting is rare. */
static int64_t most_rows(const pm_decoder *d) {
    const pm_recurrence *re = &d->s->model->spec.recurrence;
    int64_t most = limit_of(d), enough = 2 * re->rows + MAX_CHUNK;
    return re->on && enough < most ? enough : most;
}

pm_status pm_decoder_places(pm_decoder *d, pm_ready **out) {
    pm_build_options o = {
        .kind = PM_BUILD_ENCODE, .batch = d->batch, .length = 1, .cache = d->cache, .states = d->states};
    return pm_session_program(d->s, &o, out);
}

/* The states that depend on the cache's size alone. */
static pm_status fill_places(pm_decoder *d) {
    pm_ready *r;
    if (!d->s->model->spec.recurrence.on) return PM_OK;
    PM_TRY(pm_decoder_places(d, &r));
    return pm_loaded_run(r->loaded);
}

pm_status pm_decoder_open(pm_decoder *d, pm_session *s, int64_t batch, int64_t expected) {
    *d = (pm_decoder){.s = s, .batch = batch};
    d->cache = bucket(expected, MIN_CACHE, most_rows(d));
    name_states(d);
    return fill_places(d);
}

/* The program for a source of d->source rows. */
static pm_status encoder_program(pm_decoder *d, bool signal) {
    name_states(d);
    pm_build_options o = {.kind = PM_BUILD_ENCODE,
                          .batch = d->batch,
                          .length = signal ? 0 : d->source,
                          .signals = signal,
                          .source = d->source,
                          .cross_states = d->cross};
    return pm_session_program(d->s, &o, &d->encoder);
}

pm_status pm_decoder_encode(pm_decoder *d, const int32_t *ids, size_t n) {
    const pm_model *m = d->s->model;
    if (m->spec.front)
        return pm_raise(PM_ERR_USAGE, "source: %s takes %s, no ids", m->files.path, m->spec.signal.name);
    if (n == 0 || n > (size_t)limit_of(d))
        return pm_raise(PM_ERR_USAGE, "source: has %zu ids, expected 1..%" PRId64, n, limit_of(d));
    PM_TRY(pm_check_ids("source", ids, n, m->spec.embed[0].vocab));
    d->source = bucket((int64_t)n, MIN_BUCKET, limit_of(d));
    d->source_length = (int64_t)n;
    PM_TRY(encoder_program(d, false));
    int32_t *padded = pm_calloc((size_t)d->source, sizeof *padded);
    if (!padded) return PM_ERR_MEMORY;
    memcpy(padded, ids, n * sizeof *ids);
    pm_status s = pm_ready_write(d->encoder, "input_ids", padded, (size_t)d->source);
    pm_free(padded);
    PM_TRY(s);
    pm_ready_set(d->encoder, "source_length", d->source_length);
    return pm_loaded_run(d->encoder->loaded);
}

pm_status pm_decoder_encode_signal(pm_decoder *d, const float *values) {
    const pm_spec *spec = &d->s->model->spec;
    size_t n = 1;
    for (int i = 0; i < spec->signal.rank; i++) n *= (size_t)spec->signal.dims[i];
    d->source = d->source_length = spec->front_length;
    PM_TRY(encoder_program(d, true));
    PM_TRY(pm_ready_write(d->encoder, spec->signal.name, values, n));
    return pm_loaded_run(d->encoder->loaded);
}

/* ---- growing and reordering: small graphs over the states ---- */

static pm_status finish_graph(pm_graph *g, pm_graph **out_graph) {
    pm_status s = pm_graph_status(g);
    if (s == PM_OK)
        *out_graph = g;
    else
        pm_graph_destroy(g);
    return s;
}

static pm_tensor *state(pm_graph *g, const pm_decoder *d, const char *part, int64_t layer) {
    char name[128];
    const pm_stack *st = stack_of(d);
    snprintf(name, sizeof name, "%s%s.%" PRId64, d->states, part, layer);
    return pm_state(g, name, PM_F32, 4, (int64_t[]){d->batch, st->n_kv_heads, d->cache, st->head_dim});
}

static const char *const parts[] = {"k", "v"};

/* context: the decoder before [0] and after [1]. */
static pm_status make_grow(pm_session *s, const void *context, pm_graph **out_graph) {
    const pm_decoder *const *d = context;
    pm_graph *g;
    (void)s;
    PM_TRY(pm_graph_create("grow", &g));
    for (int64_t i = 0; i < stack_of(d[0])->n_layers; i++)
        for (size_t k = 0; k < PM_COUNT(parts); k++)
            (void)pm_cache_write(g, state(g, d[1], parts[k], i), state(g, d[0], parts[k], i),
                                 pm_const_i32(g, 0));
    return finish_graph(g, out_graph);
}

/* A larger cache with the same rows. The smaller one and its programs go. */
static pm_status grow(pm_decoder *d, int64_t need) {
    pm_decoder bigger = *d;
    pm_ready *r, *step;
    char key[64], old[128];
    if (need <= d->cache) return PM_OK;
    bigger.cache = bucket(need, d->cache, most_rows(d));
    name_states(&bigger);
    snprintf(key, sizeof key, "grow:%" PRId64 ",%" PRId64 ",%" PRId64, d->batch, d->cache, bigger.cache);
    snprintf(old, sizeof old, "%sk.0", d->states);
    if (d->position > 0) {
        PM_TRY(pm_session_ready(d->s, key, make_grow, (const pm_decoder *[]){d, &bigger}, &r));
        PM_TRY(pm_loaded_run(r->loaded));
        PM_TRY(pm_decoder_program(&bigger, 1, &step)); /* the new states have a user before the old ones go */
        pm_session_forget(d->s, old);
        snprintf(old, sizeof old, "%sr.0", d->states);
        pm_session_forget(d->s, old);
    }
    *d = bigger;
    return fill_places(d);
}

/* Rows position-rows .. position-1 of each sequence and head become rows 0 .. rows-1. */
static pm_status make_forget(pm_session *s, const void *context, pm_graph **out_graph) {
    const pm_decoder *d = context;
    const pm_stack *st = stack_of(d);
    int64_t rows = s->model->spec.recurrence.rows, n_heads = d->batch * st->n_kv_heads, size = st->head_dim;
    int64_t dims[4] = {d->batch, st->n_kv_heads, rows, size};
    pm_graph *g;
    PM_TRY(pm_graph_create("forget", &g));
    pm_tensor *head = pm_mul(g, pm_iota(g, n_heads), pm_const_i32(g, (int32_t)d->cache));
    pm_tensor *row = pm_add(g, pm_iota(g, rows), pm_param(g, "first"));
    pm_tensor *from = pm_add(g, pm_reshape(g, head, 2, (int64_t[]){n_heads, 1}), row);
    for (int64_t i = 0; i < st->n_layers; i++)
        for (size_t k = 0; k < PM_COUNT(parts); k++) {
            pm_tensor *to = state(g, d, parts[k], i);
            pm_tensor *all = pm_reshape(g, to, 2, (int64_t[]){n_heads * d->cache, size});
            (void)pm_cache_write(g, to, pm_reshape(g, pm_gather(g, all, from), 4, dims), pm_const_i32(g, 0));
        }
    return finish_graph(g, out_graph);
}

/* A segment of several tokens sees the memory whole, each of its tokens, so what lies before must go; a single token has
 * a window, and what lies before goes when the cache is full. */
static pm_status forget(pm_decoder *d, int64_t n) {
    int64_t rows = d->s->model->spec.recurrence.rows;
    char key[64];
    pm_ready *r;
    if (!d->s->model->spec.recurrence.on || d->position <= rows) return PM_OK;
    if (n == 1 && d->position + n <= most_rows(d)) return PM_OK;
    if (rows) {
        snprintf(key, sizeof key, "forget:%" PRId64 ",%" PRId64, d->batch, d->cache);
        PM_TRY(pm_session_ready(d->s, key, make_forget, d, &r));
        pm_ready_set(r, "first", d->position - rows);
        PM_TRY(pm_loaded_run(r->loaded));
    }
    d->position = rows;
    return PM_OK;
}

static pm_status make_reorder(pm_session *s, const void *context, pm_graph **out_graph) {
    const pm_decoder *d = context;
    const pm_stack *st = stack_of(d);
    int64_t row = st->n_kv_heads * d->cache * st->head_dim,
            dims[4] = {d->batch, st->n_kv_heads, d->cache, st->head_dim};
    pm_graph *g;
    (void)s;
    PM_TRY(pm_graph_create("reorder", &g));
    pm_tensor *order = pm_input(g, "order", PM_I32, 1, &d->batch);
    for (int64_t i = 0; i < st->n_layers; i++)
        for (size_t k = 0; k < PM_COUNT(parts); k++) {
            pm_tensor *to = state(g, d, parts[k], i);
            pm_tensor *rows = pm_gather(g, pm_reshape(g, to, 2, (int64_t[]){d->batch, row}), order);
            (void)pm_cache_write(g, to, pm_reshape(g, rows, 4, dims), pm_const_i32(g, 0));
        }
    return finish_graph(g, out_graph);
}

pm_status pm_decoder_reorder(pm_decoder *d, const int32_t *order) {
    pm_ready *r;
    char key[64];
    bool same = true;
    for (int64_t i = 0; i < d->batch; i++) same &= order[i] == i;
    if (same) return PM_OK;
    snprintf(key, sizeof key, "reorder:%" PRId64 ",%" PRId64, d->batch, d->cache);
    PM_TRY(pm_session_ready(d->s, key, make_reorder, d, &r));
    PM_TRY(pm_ready_write(r, "order", order, (size_t)d->batch));
    return pm_loaded_run(r->loaded);
}

/* ---- feeding ---- */

pm_status pm_decoder_program(pm_decoder *d, int64_t length, pm_ready **out) {
    pm_build_options o = {.kind = PM_BUILD_STEP,
                          .batch = d->batch,
                          .length = length,
                          .cache = d->cache,
                          .source = d->source,
                          .states = d->states,
                          .cross_states = d->cross};
    return pm_session_program(d->s, &o, out);
}

pm_status pm_decoder_make_room(pm_decoder *d, int64_t n) {
    PM_TRY(forget(d, n));
    return grow(d, d->position + n);
}

/* ids: [batch][stride], of which n each are fed. */
static pm_status feed_chunk(pm_decoder *d, const int32_t *ids, size_t stride, int64_t n) {
    const char *input = d->s->model->arch->encoder_decoder ? "decoder_input_ids" : "input_ids";
    pm_ready *r;
    PM_TRY(pm_decoder_make_room(d, n));
    int64_t length = n == 1 ? 1 : bucket(n, MIN_BUCKET, d->cache);
    PM_TRY(pm_decoder_program(d, length, &r));
    size_t total = (size_t)(d->batch * length);
    int32_t *padded = pm_calloc(total, sizeof *padded);
    if (!padded) return PM_ERR_MEMORY;
    for (int64_t i = 0; i < d->batch; i++)
        memcpy(padded + i * length, ids + (size_t)i * stride, (size_t)n * sizeof *ids);
    pm_status s = pm_ready_write(r, input, padded, total);
    pm_free(padded);
    PM_TRY(s);
    pm_ready_set(r, "position", d->position);
    pm_ready_set(r, "last_row", n - 1);
    pm_ready_set(r, "source_length", d->source_length);
    PM_TRY(pm_loaded_run(r->loaded));
    d->position += n;
    d->last = r;
    return PM_OK;
}

pm_status pm_decoder_feed(pm_decoder *d, const int32_t *ids, size_t n) {
    int64_t held = d->s->model->spec.recurrence.on ? 0 : d->position;
    if (n == 0 || n > (size_t)(limit_of(d) - held))
        return pm_raise(PM_ERR_USAGE, "ids: %zu more behind %" PRId64 ", the model has %" PRId64 " positions",
                        n, d->position, limit_of(d));
    PM_TRY(pm_check_ids("ids", ids, n * (size_t)d->batch, pm_decoder_vocab(d)));
    for (size_t at = 0; at < n; at += MAX_CHUNK) {
        size_t left = n - at;
        PM_TRY(feed_chunk(d, ids + at, n, (int64_t)(left < MAX_CHUNK ? left : MAX_CHUNK)));
    }
    return PM_OK;
}

pm_status pm_decoder_best(pm_decoder *d, int32_t *out_id, bool *out_found) {
    float logit;
    PM_TRY(pm_ready_read(d->last, "next", out_id, sizeof *out_id));
    PM_TRY(pm_ready_read(d->last, "next_logit", &logit, sizeof logit));
    *out_found = *out_id >= 0 && *out_id < pm_decoder_vocab(d) && isfinite(logit);
    return PM_OK;
}

pm_status pm_decoder_logits(pm_decoder *d, float *out_logits) {
    return pm_ready_read(d->last, "logits", out_logits,
                         (uint64_t)(d->batch * pm_decoder_vocab(d)) * sizeof *out_logits);
}
