/* See build.h. Owns names: of weights and states in the store, of outputs, and which of them are wanted. */
#include "models/build.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/loop.h"

enum { NAME_CHARS = 256 };

void pm_build_fail(pm_build *b, pm_status s) {
    if (s == PM_OK || b->status != PM_OK) return;
    b->status = s;
    b->error = pm_arena_strdup(&b->arena, pm_error_text());
}

/* ---- leaves ---- */

static uint32_t hash_of(const char *name) {
    uint32_t h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h;
}

static pm_tensor *find_leaf(const pm_build *b, const char *name, uint32_t hash) {
    for (size_t i = 0; i < b->n_leaves; i++)
        if (b->leaves[i].hash == hash && strcmp(b->leaves[i].name, name) == 0) return b->leaves[i].tensor;
    return NULL;
}

/* A tied weight, or a table that every layer reads, is one leaf. */
static pm_tensor *keep_leaf(pm_build *b, const char *name, uint32_t hash, pm_tensor *t) {
    pm_status s = pm_grow((void **)&b->leaves, &b->leaves_capacity, b->n_leaves + 1, sizeof *b->leaves);
    const char *copy = s == PM_OK ? pm_arena_strdup(&b->arena, name) : NULL;
    if (!copy) return pm_build_fail(b, PM_ERR_MEMORY), t;
    b->leaves[b->n_leaves++] = (pm_leaf){hash, copy, t};
    return t;
}

/* Writes down that the model needs a tensor; its shape was checked. */
static pm_status record_need(pm_model *m, const pm_need *need) {
    for (size_t i = 0; i < m->n_needs; i++)
        if (strcmp(m->needs[i].name, need->name) == 0) return PM_OK;
    PM_TRY(pm_grow((void **)&m->needs, &m->needs_capacity, m->n_needs + 1, sizeof *m->needs));
    pm_need *to = &m->needs[m->n_needs];
    *to = *need;
    to->name = pm_arena_strdup(&m->arena, need->name);
    if (!to->name) return PM_ERR_MEMORY;
    m->n_needs++;
    return PM_OK;
}

/* *out_new: the graph had no such weight yet. */
static pm_tensor *weight_leaf(pm_build *b, const char *name, int rank, const int64_t *dims, bool *out_new) {
    char full[NAME_CHARS * 2];
    snprintf(full, sizeof full, "%s%s", b->options.weights ? b->options.weights : "", name);
    uint32_t hash = hash_of(full);
    pm_tensor *t = find_leaf(b, full, hash);
    *out_new = !t;
    return t ? t : keep_leaf(b, full, hash, pm_weight(b->g, full, PM_F32, rank, dims));
}

/* The arrays of a need, kept in the model's arena. */
static pm_status want_arrays(pm_model *m, const pm_source *source, pm_need *need) {
    const pm_array **arrays = pm_arena_alloc(&m->arena, source->n * sizeof *arrays);
    if (!arrays) return PM_ERR_MEMORY;
    for (size_t i = 0; i < source->n; i++) {
        int64_t dims[PM_MAX_DIMS + 1];
        bool packed = source->kind == PM_SOURCE_MXFP4;
        arrays[i] = NULL;
        if (!source->names[i]) continue;
        memcpy(dims, source->dims, sizeof source->dims);
        if (source->rows) dims[0] = source->rows[i];
        dims[source->rank] = 16; /* bytes of a block */
        PM_TRY(packed ? pm_checkpoint_want_bytes(&m->checkpoint, source->names[i], source->rank + (i == 0),
                                                 dims, &arrays[i])
                      : pm_checkpoint_want(&m->checkpoint, source->names[i], source->rank, dims, &arrays[i]));
    }
    if (source->rows) {
        int64_t *rows = pm_arena_alloc(&m->arena, source->n * sizeof *rows);
        if (!rows) return PM_ERR_MEMORY;
        memcpy(rows, source->rows, source->n * sizeof *rows);
        need->rows = rows;
    }
    need->kind = source->kind;
    need->arrays = arrays;
    need->n_arrays = source->n;
    return PM_OK;
}

/* Where memory was out, the dims of what follows are wrong: no file is to blame. */
static bool asks_files(const pm_build *b) {
    return b->record && b->status == PM_OK && pm_graph_status(b->g) != PM_ERR_MEMORY;
}

static pm_tensor *build_weight(pm_build *b, pm_need *need, const pm_source *source) {
    bool is_new;
    if (asks_files(b)) pm_build_fail(b, want_arrays(b->record, source, need));
    pm_tensor *t = weight_leaf(b, need->name, need->rank, need->dims, &is_new);
    if (is_new && asks_files(b)) pm_build_fail(b, record_need(b->record, need));
    return t;
}

pm_tensor *pm_build_weight_from(pm_build *b, const char *name, int rank, const int64_t *dims,
                                const pm_source *source) {
    pm_need need = {.name = name, .rank = rank};
    for (int i = 0; i < rank; i++) need.dims[i] = dims[i];
    return build_weight(b, &need, source);
}

pm_tensor *pm_build_weight(pm_build *b, const char *name, int rank, const int64_t *dims) {
    return pm_build_weight_plus(b, name, rank, dims, 0);
}

pm_tensor *pm_build_weight_plus(pm_build *b, const char *name, int rank, const int64_t *dims, float plus) {
    char changed[NAME_CHARS];
    if (plus != 0) snprintf(changed, sizeof changed, "%s+%g", name, (double)plus);
    pm_need need = {.name = plus != 0 ? changed : name, .rank = rank, .plus = plus};
    pm_source source = {.names = &name, .n = 1, .rank = rank};
    for (int i = 0; i < rank; i++) source.dims[i] = need.dims[i] = dims[i];
    return build_weight(b, &need, &source);
}

/* "layers.0.attn.q_proj.weight+k_proj.weight": the first name, then what the others do not share with it. */
static void join_names(pm_text *out, const char *const *names, int n) {
    const char *first = NULL;
    for (int i = 0; i < n; i++) {
        size_t shared = 0;
        if (!names[i]) continue;
        for (size_t k = 0; first && first[k] && first[k] == names[i][k]; k++)
            if (first[k] == '.') shared = k + 1;
        pm_text_add(out, "%s%s", first ? "+" : "", names[i] + shared);
        if (!first) first = names[i];
    }
}

pm_tensor *pm_build_weight_rows(pm_build *b, const char *const *names, const int64_t *rows, int n,
                                int64_t columns) {
    pm_text name = {0};
    pm_source source = {.names = names, .rows = rows, .n = (size_t)n, .rank = columns ? 2 : 1};
    int64_t dims[2] = {0, columns};
    join_names(&name, names, n);
    for (int i = 0; i < n; i++) dims[0] += rows[i];
    source.dims[1] = columns;
    pm_status s = pm_text_status(&name);
    pm_build_fail(b, s);
    pm_tensor *t = s == PM_OK ? pm_build_weight_from(b, name.data, source.rank, dims, &source) : NULL;
    pm_text_free(&name);
    return t;
}

pm_tensor *pm_build_table(pm_build *b, const pm_table *table) {
    char name[NAME_CHARS];
    pm_table named = *table;
    bool is_new;
    snprintf(name, sizeof name, "%s.%" PRId64, table->name, table->rows);
    named.name = name;
    pm_tensor *t = weight_leaf(b, name, 2, (int64_t[]){table->rows, table->columns}, &is_new);
    if (is_new && b->options.on_table && b->status == PM_OK)
        pm_build_fail(b, b->options.on_table(b->options.user, &named));
    return t;
}

pm_tensor *pm_build_state(pm_build *b, const char *prefix, const char *name, int64_t layer,
                          const int64_t dims[4]) {
    char full[NAME_CHARS];
    snprintf(full, sizeof full, "%s%s.%" PRId64, prefix ? prefix : "", name, layer);
    uint32_t hash = hash_of(full);
    pm_tensor *t = find_leaf(b, full, hash);
    return t ? t : keep_leaf(b, full, hash, pm_state(b->g, full, PM_F32, 4, dims));
}

pm_layer_name pm_build_layer_name(const char *prefix, int64_t layer, const char *name) {
    pm_layer_name full;
    snprintf(full.s, sizeof full.s, "%s%" PRId64 ".%s", prefix, layer, name);
    return full;
}

pm_tensor *pm_build_ids(pm_build *b, const char *name, int64_t batch, int64_t length) {
    return pm_input(b->g, name, PM_I32, 2, (int64_t[]){batch, length});
}

pm_tensor *pm_build_word(pm_build *b, const char *name) {
    return b->options.rows ? pm_input(b->g, name, PM_I32, 1, &b->options.batch) : pm_param(b->g, name);
}

pm_tensor *pm_build_new_ids(pm_build *b, const char *name, int64_t batch, int64_t length) {
    return b->loop ? pm_loop_id(b) : pm_build_ids(b, name, batch, length);
}

pm_tensor *pm_build_signal(pm_build *b) {
    const pm_signal *signal = &b->model->spec.signal;
    const pm_build_options *o = &b->options;
    int64_t dims[4] = {o->signals, signal->dims[0], o->height ? o->height : signal->dims[1],
                       o->width ? o->width : signal->dims[2]};
    return b->options.signals ? pm_input(b->g, signal->name, PM_F32, signal->rank + 1, dims) : NULL;
}

void pm_build_label(pm_build *b, const char *stack, int64_t layer, const char *part) {
    char text[NAME_CHARS];
    if (layer < 0)
        snprintf(text, sizeof text, "%s%s%s", stack, part ? "." : "", part ? part : "");
    else
        snprintf(text, sizeof text, "%s.%" PRId64 ".%s", stack, layer, part);
    pm_graph_label(b->g, text);
}

/* ---- outputs ---- */

static pm_status parse_want(pm_build *b) {
    const char *at = b->options.want ? b->options.want : "final";
    while (*at) {
        size_t n = strcspn(at, ",");
        const char *text = at;
        at += n + (at[n] == ',');
        while (n && *text == ' ') text++, n--;
        while (n && text[n - 1] == ' ') n--;
        if (n > 4 && strncmp(text, "out.", 4) == 0) text += 4, n -= 4;
        if (!n) continue;
        if (b->n_wanted == PM_MAX_WANTED)
            return pm_raise(PM_ERR_USAGE, "want: more than %d outputs are listed", (int)PM_MAX_WANTED);
        b->wanted[b->n_wanted++] = (pm_wanted){.text = text, .length = n};
    }
    return PM_OK;
}

static bool is_text(const pm_wanted *w, const char *text) {
    return w->length == strlen(text) && strncmp(w->text, text, w->length) == 0;
}

bool pm_build_wants(pm_build *b, const char *name, int64_t layer, bool final) {
    char full[NAME_CHARS];
    bool wants = b->n_wanted == 0;
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%" PRId64, name, layer);
    if (layer <= 0) pm_text_add(&b->offered, "%s%s", b->offered.length ? ", " : "", name);
    for (size_t i = 0; i < b->n_wanted; i++) {
        pm_wanted *w = &b->wanted[i];
        bool is_final = is_text(w, "final");
        if (!(is_final ? final : is_text(w, full) || is_text(w, name))) continue;
        wants = w->found = true;
    }
    return wants;
}

void pm_build_output(pm_build *b, const char *name, int64_t layer, bool final, pm_tensor *t) {
    if (pm_build_wants(b, name, layer, final)) pm_build_wanted(b, name, layer, t);
}

void pm_build_wanted(pm_build *b, const char *name, int64_t layer, pm_tensor *t) {
    char full[NAME_CHARS];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "%s.%" PRId64, name, layer);
    pm_output(b->g, full, t);
}

static pm_status check_wanted(const pm_build *b) {
    for (size_t i = 0; i < b->n_wanted; i++)
        if (!b->wanted[i].found && !is_text(&b->wanted[i], "final"))
            return pm_raise(PM_ERR_USAGE, "want: the model has no output %.*s, it has: %s",
                            (int)b->wanted[i].length, b->wanted[i].text,
                            b->offered.data ? b->offered.data : "none");
    return PM_OK;
}

/* ---- the whole ---- */

static pm_status build(const pm_model *m, pm_model *record, const pm_build_options *options,
                       pm_graph **out_graph) {
    static const char *const names[] = {"forward", "step", "encode"};
    pm_build b = {.model = m, .record = record, .options = *options};
    pm_status s;
    PM_GOTO(parse_want(&b));
    PM_GOTO(pm_graph_create(options->loop ? "loop" : names[options->kind], &b.g));
    if (options->loop)
        pm_loop_begin(&b);
    else if (options->kind == PM_BUILD_STEP)
        b.position = pm_build_word(&b, "position");
    bool has_source =
        options->kind == PM_BUILD_ENCODE || (options->kind == PM_BUILD_STEP && m->arch->encoder_decoder);
    if (has_source && !m->spec.front) /* a signal is always whole */
        b.source_length = pm_build_word(&b, "source_length");
    m->arch->build(&b);
    s = b.status;
    if (s != PM_OK && b.error) s = pm_raise(s, "%s", b.error);
    if (s == PM_OK) s = pm_graph_status(b.g);
    if (s == PM_OK) s = pm_text_status(&b.offered);
    if (s == PM_OK && options->kind == PM_BUILD_FORWARD) s = check_wanted(&b);
fail:
    if (s != PM_OK) {
        pm_graph_destroy(b.g);
        b.g = NULL;
    }
    *out_graph = b.g;
    pm_text_free(&b.offered);
    pm_free(b.leaves);
    pm_arena_free(&b.arena);
    return s;
}

pm_status pm_model_build(const pm_model *m, const pm_build_options *options, pm_graph **out_graph) {
    return build(m, NULL, options, out_graph);
}

pm_status pm_model_collect(pm_model *m) {
    pm_graph *g = NULL;
    pm_build_options o = {.kind = PM_BUILD_FORWARD,
                          .batch = m->spec.embed[0].vocab || m->arch->encoder_decoder,
                          .length = m->spec.embed[0].vocab != 0,
                          .signals = m->spec.signal.name != NULL,
                          .target_length = 1,
                          .globals = m->spec.global != PM_GLOBAL_OFF,
                          .want = ""};
    PM_TRY(build(m, m, &o, &g));
    pm_graph_destroy(g);
    return PM_OK;
}
