/* See session.h. Invariant: what the store has under the session's prefix is a weight of the model
 * or in `made`, and what is in `made` goes when no program uses it any more. */
#include "models/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/need.h"

/* ---- opening ---- */

/* Memory for n * m elements, checked. */
static pm_status make_floats(const char *name, uint64_t n, uint64_t m, float **out, uint64_t *out_bytes) {
    uint64_t bytes = 0;
    if (!pm_mul_u64(n, m, &bytes) || !pm_mul_u64(bytes, sizeof(float), &bytes) || bytes > SIZE_MAX)
        return pm_raise(PM_ERR_MEMORY,
                        "tensor %s: has %" PRIu64 " x %" PRIu64
                        " elements, more than this machine can address",
                        name, n, m);
    *out = pm_alloc((size_t)bytes);
    *out_bytes = bytes;
    return *out ? PM_OK : PM_ERR_MEMORY;
}

/* What is done with each tensor of the store that a weight is: one, or its pieces (graph/program.h). */
typedef pm_status (*pm_on_piece)(pm_session *s, const char *name, const void *data, uint64_t bytes);

static pm_status each_piece(pm_session *s, const char *tensor, int32_t rank, const int64_t *dims,
                            const void *data, pm_on_piece act) {
    const pm_pieces pieces = pm_pieces_of(pm_executor_caps(s->executor), rank, dims);
    for (uint64_t i = 0; i < pieces.n; i++) {
        const pm_piece_name name = pm_piece_name_of(&pieces, i, s->prefix, tensor);
        uint64_t first, bytes;
        pm_piece_at(&pieces, i, &first, &bytes);
        PM_TRY(act(s, name.s, data ? (const char *)data + first : NULL, bytes));
    }
    return PM_OK;
}

/* All of them go and come together. */
static bool has_pieces(const pm_session *s, const char *tensor, int32_t rank, const int64_t *dims) {
    const pm_pieces pieces = pm_pieces_of(pm_executor_caps(s->executor), rank, dims);
    return pm_executor_has(s->executor, pm_piece_name_of(&pieces, 0, s->prefix, tensor).s);
}

static pm_status put_piece(pm_session *s, const char *name, const void *data, uint64_t bytes) {
    return pm_executor_put(s->executor, name, data, bytes);
}

static pm_status upload(pm_session *s, const pm_need *need) {
    uint64_t bytes = 0;
    float *data = NULL;
    PM_TRY(make_floats(need->name, pm_need_elems(need), 1, &data, &bytes));
    pm_status status = pm_need_read(&s->model->checkpoint, need, data);
    if (status == PM_OK) status = each_piece(s, need->name, need->rank, need->dims, data, put_piece);
    pm_free(data);
    return status;
}

static pm_status drop_piece(pm_session *s, const char *name, const void *data, uint64_t bytes) {
    (void)data, (void)bytes;
    if (pm_executor_has(s->executor, name)) pm_executor_drop(s->executor, name);
    return PM_OK;
}

static void drop_weights(pm_session *s) {
    for (size_t i = 0; i < s->model->n_needs; i++) {
        const pm_need *need = &s->model->needs[i];
        if (each_piece(s, need->name, need->rank, need->dims, NULL, drop_piece) != PM_OK) return;
    }
}

/* Weights alone may be more than a device without other memory is allowed: said before any is read. */
static pm_status want_memory(const pm_session *s) {
    const pm_model *m = s->model;
    uint64_t limit = s->device->max_memory_bytes, bytes = 0;
    if (!limit || pm_executor_caps(s->executor)->vulkan) return PM_OK;
    for (size_t i = 0; i < m->n_needs; i++) bytes += sizeof(float) * pm_need_elems(&m->needs[i]);
    return bytes <= limit ? PM_OK
                          : pm_raise(PM_ERR_MEMORY,
                                     "memory: the %zu weights of %s take %" PRIu64 " bytes, at most %" PRIu64
                                     " are allowed on %s, which has no other memory to read them from",
                                     m->n_needs, m->files.path, bytes, limit, pm_executor_name(s->executor));
}

/* Whether few rows of the weight are read for a token, and never all of it. */
static bool is_looked_up(const pm_spec *spec, const char *name) {
    if (spec->head.weight && strcmp(spec->head.weight, name) == 0) return false;
    for (size_t i = 0; i < PM_COUNT(spec->embed); i++)
        if (spec->embed[i].tokens && strcmp(spec->embed[i].tokens, name) == 0) return true;
    return false;
}

/* What is put last is the first for which a device has no room. */
static int turn_of(const pm_model *m, const pm_need *need) {
    return pm_weight_turn(sizeof(float) * pm_need_elems(need), is_looked_up(&m->spec, need->name));
}

pm_status pm_session_open(const pm_model *m, pm_device *d, pm_session **out_session) {
    *out_session = NULL;
    pm_session *s = pm_calloc(1, sizeof *s);
    if (!s) return PM_ERR_MEMORY;
    s->model = m;
    s->device = d;
    s->executor = d->executor;
    s->decoder_start = m->info.decoder_start_id;
    snprintf(s->prefix, sizeof s->prefix, "s%u/", (unsigned)++d->n_serials);
    pm_status status = want_memory(s);
    for (int turn = 0; turn < 3; turn++)
        for (size_t i = 0; status == PM_OK && i < m->n_needs; i++)
            if (turn_of(m, &m->needs[i]) == turn) status = upload(s, &m->needs[i]);
    if (status == PM_OK)
        *out_session = s;
    else
        pm_session_close(s);
    return status;
}

pm_status pm_session_set_decoder_start(pm_session *s, int32_t id) {
    if (!s->model->arch->encoder_decoder)
        return pm_raise(PM_ERR_USAGE, "decoder start: %s is not an encoder-decoder", s->model->files.path);
    PM_TRY(pm_check_ids("decoder start", &id, 1, s->model->info.vocab_size));
    s->decoder_start = id;
    return PM_OK;
}

static void free_ready(pm_ready *r) {
    if (!r) return;
    pm_loaded_unload(r->loaded);
    pm_program_destroy(r->program);
    pm_free(r->key);
    pm_free(r);
}

void pm_session_close(pm_session *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n_ready; i++) free_ready(s->ready[i]);
    for (size_t i = 0; i < s->n_made; i++) {
        pm_executor_drop(s->executor, s->made[i]);
        pm_free(s->made[i]);
    }
    pm_free(s->made);
    drop_weights(s);
    pm_free(s);
}

/* ---- states and tables ---- */

static bool uses(const pm_ready *r, const char *name) {
    for (uint32_t i = 0; i < r->program->n_externals; i++) {
        const pm_external *e = &r->program->externals[i];
        if ((e->kind == PM_EXTERNAL_STATE || e->kind == PM_EXTERNAL_WEIGHT) && strcmp(e->name, name) == 0)
            return true;
    }
    return false;
}

/* Puts a tensor that the session makes into the store; data NULL: zeros. */
static pm_status put_made(pm_session *s, const char *name, const void *data, uint64_t bytes) {
    PM_TRY(pm_grow((void **)&s->made, &s->made_capacity, s->n_made + 1, sizeof *s->made));
    char *copy = pm_strdup(name);
    if (!copy) return PM_ERR_MEMORY;
    pm_status status = pm_executor_put(s->executor, copy, data, bytes);
    if (status == PM_OK)
        s->made[s->n_made++] = copy;
    else
        pm_free(copy);
    return status;
}

static pm_status make_state(pm_session *s, const pm_external *e) {
    return pm_executor_has(s->executor, e->name) ? PM_OK : put_made(s, e->name, NULL, e->bytes);
}

static pm_status make_table(void *user, const pm_table *t) {
    pm_session *s = user;
    const int64_t dims[] = {t->rows, t->columns};
    uint64_t bytes = 0;
    float *data = NULL;
    if (has_pieces(s, t->name, 2, dims)) return PM_OK;
    PM_TRY(make_floats(t->name, (uint64_t)t->rows, (uint64_t)t->columns, &data, &bytes));
    t->fill(t, data);
    pm_status status = each_piece(s, t->name, 2, dims, data, put_made);
    pm_free(data);
    return status;
}

static void drop_idle(pm_session *s) {
    for (size_t i = s->n_made; i-- > 0;) {
        bool used = false;
        for (size_t k = 0; k < s->n_ready; k++) used |= uses(s->ready[k], s->made[i]);
        if (used) continue;
        pm_executor_drop(s->executor, s->made[i]);
        pm_free(s->made[i]);
        s->made[i] = s->made[--s->n_made];
    }
}

/* ---- programs ---- */

static void make_room(pm_session *s) {
    if (s->n_ready < PM_MAX_READY) return;
    size_t oldest = 0;
    for (size_t i = 1; i < s->n_ready; i++)
        if (s->ready[i]->used < s->ready[oldest]->used) oldest = i;
    free_ready(s->ready[oldest]);
    s->ready[oldest] = s->ready[--s->n_ready];
    drop_idle(s);
}

void pm_session_forget(pm_session *s, const char *state) {
    for (size_t i = s->n_ready; i-- > 0;) {
        if (!uses(s->ready[i], state)) continue;
        free_ready(s->ready[i]);
        s->ready[i] = s->ready[--s->n_ready];
    }
    drop_idle(s);
}

/* Sequences of the decoder whose cache a tensor of the store is (name_states of decoder.c); 0: it is none. */
static int64_t rows_of_cache(const pm_session *s, const char *name) {
    size_t n = strlen(s->prefix);
    if (strncmp(name, s->prefix, n) != 0 || strncmp(name + n, "kv.", 3) != 0) return 0;
    return strtoll(name + n + 3, NULL, 10);
}

void pm_session_forget_caches(pm_session *s, int64_t n, int64_t most) {
    for (size_t i = 0; i < s->n_made;) {
        int64_t rows = rows_of_cache(s, s->made[i]);
        if (rows <= most || rows == n) {
            i++;
            continue;
        }
        pm_session_forget(s, s->made[i]);
        i = 0; /* the names have moved */
    }
}

static pm_status load(pm_session *s, const pm_graph *g, pm_ready *r) {
    pm_compile_options o = {.caps = pm_executor_caps(s->executor)};
    PM_TRY(pm_compile(g, &o, &r->program));
    for (uint32_t i = 0; i < r->program->n_externals; i++)
        if (r->program->externals[i].kind == PM_EXTERNAL_STATE)
            PM_TRY(make_state(s, &r->program->externals[i]));
    return pm_executor_load(s->executor, r->program, &r->loaded);
}

pm_status pm_session_ready(pm_session *s, const char *key, pm_make_graph make, const void *context,
                           pm_ready **out) {
    pm_graph *g = NULL;
    *out = NULL;
    s->clock++;
    for (size_t i = 0; i < s->n_ready; i++)
        if (strcmp(s->ready[i]->key, key) == 0) {
            s->ready[i]->used = s->clock;
            return *out = s->ready[i], PM_OK;
        }
    make_room(s); /* before the graph is made, since its tables have no user yet */
    pm_ready *r = pm_calloc(1, sizeof *r);
    pm_status status = r && (r->key = pm_strdup(key)) ? make(s, context, &g) : PM_ERR_MEMORY;
    if (status == PM_OK) status = load(s, g, r);
    pm_graph_destroy(g);
    if (status != PM_OK) {
        free_ready(r);
        drop_idle(s);
        return status;
    }
    r->used = r->made = s->clock;
    s->ready[s->n_ready++] = r;
    return *out = r, PM_OK;
}

static pm_status make_model_graph(pm_session *s, const void *context, pm_graph **out_graph) {
    pm_build_options o = *(const pm_build_options *)context;
    o.weights = s->prefix;
    o.on_table = make_table;
    o.user = s;
    return pm_model_build(s->model, &o, out_graph);
}

pm_status pm_session_program(pm_session *s, const pm_build_options *o, pm_ready **out) {
    pm_text key = {0};
    const int64_t sizes[] = {o->batch,  o->length, o->target_length, o->cache,   o->source,     o->signals,
                             o->height, o->width,  o->memory,        o->globals, o->global_mask};
    pm_text_add(&key, "%d:%d%d%d%d%d%d%d,%s", (int)o->kind, o->rows, o->loop, o->penalty, o->sample,
                o->key_mask, o->types, o->states != NULL, o->want ? o->want : "final");
    for (size_t i = 0; i < PM_COUNT(sizes); i++) pm_text_add(&key, ",%" PRId64, sizes[i]);
    pm_status status = pm_text_status(&key);
    if (status == PM_OK) status = pm_session_ready(s, key.data, make_model_graph, o, out);
    pm_text_free(&key);
    return status;
}

void pm_ready_set(pm_ready *r, const char *param, int64_t value) {
    int i = pm_program_param(r->program, param);
    if (i >= 0) pm_loaded_set_param(r->loaded, (uint32_t)i, (int32_t)value);
}

pm_status pm_ready_write(pm_ready *r, const char *input, const void *words, size_t n) {
    int i = pm_program_input(r->program, input);
    return i < 0 ? PM_OK : pm_loaded_write(r->loaded, (uint32_t)i, words, n * sizeof(int32_t));
}

pm_status pm_ready_read(pm_ready *r, const char *output, void *data, uint64_t bytes) {
    int i = pm_program_output(r->program, output);
    if (i < 0) return pm_raise(PM_ERR_OTHER, "program %s: has no output %s", r->program->name, output);
    return pm_loaded_read(r->loaded, (uint32_t)i, data, bytes);
}

pm_status pm_check_ids(const char *what, const int32_t *ids, size_t n, int64_t vocab) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= vocab)
            return pm_raise(PM_ERR_USAGE, "%s: id %d at %zu, expected 0..%" PRId64, what, (int)ids[i], i,
                            vocab - 1);
    return PM_OK;
}

pm_status pm_session_figures(const pm_session *s, pm_program_figures *out) {
    if (!s->figures.n_dispatches)
        return pm_raise(PM_ERR_USAGE, "session: has no figures before its first run");
    *out = s->figures;
    return PM_OK;
}
