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

static pm_status open_decoder(pm_decoder *d, int64_t expected) {
    d->cache = bucket(expected, MIN_CACHE, most_rows(d));
    name_states(d);
    return fill_places(d);
}

pm_status pm_decoder_open(pm_decoder *d, pm_session *s, int64_t batch, int64_t expected) {
    *d = (pm_decoder){.s = s, .batch = batch};
    return open_decoder(d, expected);
}

pm_status pm_decoder_open_rows(pm_decoder *d, pm_session *s, int64_t n, int64_t expected) {
    *d = (pm_decoder){.s = s, .batch = n, .rows = true};
    return open_decoder(d, expected);
}

/* ---- sources ---- */

/* The program for a source of d->source rows. */
static pm_status encoder_program(pm_decoder *d, bool signal) {
    name_states(d);
    pm_build_options o = {.kind = PM_BUILD_ENCODE,
                          .batch = d->batch,
                          .rows = d->rows,
                          .length = signal ? 0 : d->source,
                          .signals = signal,
                          .source = d->source,
                          .cross_states = d->cross};
    return pm_session_program(d->s, &o, &d->encoder);
}

pm_status pm_decoder_check_source(const pm_decoder *d, const pm_ids *source) {
    const pm_model *m = d->s->model;
    if (m->spec.front)
        return pm_raise(PM_ERR_USAGE, "source: %s takes %s, no ids", m->files.path, m->spec.signal.name);
    if (source->n == 0 || source->n > (size_t)limit_of(d))
        return pm_raise(PM_ERR_USAGE, "source: has %zu ids, expected 1..%" PRId64, source->n, limit_of(d));
    return pm_check_ids("source", source->ids, source->n, m->spec.embed[0].vocab);
}

/* n parts, of at most `length` ids each, as an input [n,length] with zeros behind them. */
static pm_status write_padded(pm_ready *r, const char *input, const pm_ids *parts, int64_t n,
                              int64_t length) {
    size_t total = (size_t)(n * length);
    int32_t *padded = pm_calloc(total, sizeof *padded);
    if (!padded) return PM_ERR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        if (parts[i].n) memcpy(padded + i * length, parts[i].ids, parts[i].n * sizeof *padded);
    pm_status s = pm_ready_write(r, input, padded, total);
    pm_free(padded);
    return s;
}

/* A word for all sequences, or one for each row. */
static pm_status set_words(const pm_decoder *d, pm_ready *r, const char *name, int64_t one,
                           const int32_t *each) {
    if (d->rows) return pm_ready_write(r, name, each, (size_t)d->batch);
    pm_ready_set(r, name, one);
    return PM_OK;
}

static pm_status encode(pm_decoder *d, const pm_ids *sources, int64_t n) {
    d->source_length = 0;
    for (int64_t i = 0; i < n; i++) {
        PM_TRY(pm_decoder_check_source(d, &sources[i]));
        d->source_lengths[i] = (int32_t)sources[i].n;
        if ((int64_t)sources[i].n > d->source_length) d->source_length = (int64_t)sources[i].n;
    }
    d->source = bucket(d->source_length, MIN_BUCKET, limit_of(d));
    PM_TRY(encoder_program(d, false));
    PM_TRY(write_padded(d->encoder, "input_ids", sources, n, d->source));
    PM_TRY(set_words(d, d->encoder, "source_length", d->source_length, d->source_lengths));
    return pm_loaded_run(d->encoder->loaded);
}

pm_status pm_decoder_encode(pm_decoder *d, const int32_t *ids, size_t n) {
    return encode(d, &(pm_ids){ids, n}, 1);
}

pm_status pm_decoder_encode_rows(pm_decoder *d, const pm_ids *sources) {
    return encode(d, sources, d->batch);
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

static const char *const kv[] = {"k", "v"};

/* context: the decoder before [0] and after [1]. */
static pm_status make_grow(pm_session *s, const void *context, pm_graph **out_graph) {
    const pm_decoder *const *d = context;
    pm_graph *g;
    (void)s;
    PM_TRY(pm_graph_create("grow", &g));
    for (int64_t i = 0; i < stack_of(d[0])->n_layers; i++)
        for (size_t k = 0; k < PM_COUNT(kv); k++)
            (void)pm_cache_write(g, state(g, d[1], kv[k], i), state(g, d[0], kv[k], i), pm_const_i32(g, 0));
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
        for (size_t k = 0; k < PM_COUNT(kv); k++) {
            pm_tensor *to = state(g, d, kv[k], i);
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
        for (size_t k = 0; k < PM_COUNT(kv); k++) {
            pm_tensor *to = state(g, d, kv[k], i);
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
                          .rows = d->rows,
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

pm_status pm_decoder_set_sources(const pm_decoder *d, pm_ready *r) {
    return set_words(d, r, "source_length", d->source_length, d->source_lengths);
}

void pm_decoder_moved(pm_decoder *d, int64_t row, int64_t n) {
    if (d->rows)
        d->at[row] += (int32_t)n;
    else
        d->position += n;
    if (d->rows && d->at[row] > d->position) d->position = d->at[row];
}

/* One program's worth: `most` is the largest part, each row's or each beam's. */
static pm_status feed_chunk(pm_decoder *d, const pm_ids *parts, int64_t most, int64_t room) {
    const char *input = d->s->model->arch->encoder_decoder ? "decoder_input_ids" : "input_ids";
    int32_t last[PM_MAX_ROWS] = {0};
    pm_ready *r;
    PM_TRY(pm_decoder_make_room(d, room));
    int64_t length = most == 1 ? 1 : bucket(most, MIN_BUCKET, d->cache);
    PM_TRY(pm_decoder_program(d, length, &r));
    for (int64_t i = 0; d->rows && i < d->batch; i++) last[i] = parts[i].n ? (int32_t)parts[i].n - 1 : 0;
    PM_TRY(write_padded(r, input, parts, d->batch, length));
    PM_TRY(set_words(d, r, "position", d->position, d->at));
    PM_TRY(set_words(d, r, "last_row", most - 1, last));
    PM_TRY(pm_decoder_set_sources(d, r));
    PM_TRY(pm_loaded_run(r->loaded));
    d->last = r;
    if (!d->rows) d->position += most;
    for (int64_t i = 0; d->rows && i < d->batch; i++) pm_decoder_moved(d, i, (int64_t)parts[i].n);
    return PM_OK;
}

static pm_status check_fed(const pm_decoder *d, int64_t at, const pm_ids *part) {
    int64_t held = d->s->model->spec.recurrence.on ? 0 : at;
    if (part->n > (size_t)(limit_of(d) - held))
        return pm_raise(PM_ERR_USAGE, "ids: %zu more behind %" PRId64 ", the model has %" PRId64 " positions",
                        part->n, at, limit_of(d));
    return pm_check_ids("ids", part->ids, part->n, pm_decoder_vocab(d));
}

pm_status pm_decoder_feed(pm_decoder *d, const int32_t *ids, size_t n) {
    pm_ids parts[PM_MAX_ROWS];
    if (n == 0) return pm_raise(PM_ERR_USAGE, "ids: none to feed");
    for (int64_t i = 0; i < d->batch; i++) {
        parts[i] = (pm_ids){ids + (size_t)i * n, n};
        PM_TRY(check_fed(d, d->position, &parts[i]));
    }
    for (size_t at = 0; at < n; at += MAX_CHUNK) {
        size_t left = n - at;
        for (int64_t i = 0; i < d->batch; i++)
            parts[i] = (pm_ids){ids + (size_t)i * n + at, left < MAX_CHUNK ? left : MAX_CHUNK};
        PM_TRY(feed_chunk(d, parts, (int64_t)parts[0].n, (int64_t)parts[0].n));
    }
    return PM_OK;
}

/* Parts longer than a program takes are cut so that each row has its last id in the last program, whose outputs count: all rows
 * have as many programs, and where there are fewer ids than programs the first ones have none of the row. */
static size_t share_of(const pm_ids *part, size_t fed, size_t n_after) {
    size_t left = part->n - fed, kept = left < n_after ? left : n_after;
    return left - kept < MAX_CHUNK ? left - kept : MAX_CHUNK;
}

pm_status pm_decoder_feed_rows(pm_decoder *d, const pm_ids *parts) {
    pm_ids chunk[PM_MAX_ROWS];
    size_t fed[PM_MAX_ROWS] = {0}, longest = 0;
    for (int64_t i = 0; i < d->batch; i++) {
        PM_TRY(check_fed(d, d->at[i], &parts[i]));
        if (parts[i].n > longest) longest = parts[i].n;
    }
    if (longest == 0) return pm_raise(PM_ERR_USAGE, "ids: none to feed");
    for (size_t left = (longest + MAX_CHUNK - 1) / MAX_CHUNK; left-- > 0;) {
        int64_t most = 1, end = 0;
        for (int64_t i = 0; i < d->batch; i++) {
            size_t n = share_of(&parts[i], fed[i], left);
            chunk[i] = (pm_ids){parts[i].ids + fed[i], n};
            fed[i] += n;
            if ((int64_t)n > most) most = (int64_t)n;
            if (n && d->at[i] + (int64_t)n > end) end = d->at[i] + (int64_t)n;
        }
        PM_TRY(feed_chunk(d, chunk, most, end > d->position ? end - d->position : 0));
    }
    return PM_OK;
}

pm_status pm_decoder_best(pm_decoder *d, int32_t *out_ids, bool *out_found) {
    size_t n = d->rows ? (size_t)d->batch : 1;
    float logits[PM_MAX_ROWS];
    PM_TRY(pm_ready_read(d->last, "next", out_ids, n * sizeof *out_ids));
    PM_TRY(pm_ready_read(d->last, "next_logit", logits, n * sizeof *logits));
    for (size_t i = 0; i < n; i++)
        out_found[i] = out_ids[i] >= 0 && out_ids[i] < pm_decoder_vocab(d) && isfinite(logits[i]);
    return PM_OK;
}

pm_status pm_decoder_logits(pm_decoder *d, float *out_logits) {
    return pm_ready_read(d->last, "logits", out_logits,
                         (uint64_t)(d->batch * pm_decoder_vocab(d)) * sizeof *out_logits);
}
