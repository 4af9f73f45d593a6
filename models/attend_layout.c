/* A forward pass's outputs as maps of one shape. Most families give tokens by tokens. Longformer gives a band and a few columns, which go back
 * to their tokens; a Transformer-XL's segments become one map, whose columns are the tokens that a memory is of. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/attend_data.h"
#include "models/convert.h"

/* One layer's output of the row: [heads][queries][keys]. */
typedef struct layer_map {
    float *all, *w; /* pm_alloc'd; the row in it */
    int64_t heads, queries, keys;
} layer_map;

static pm_status read_layer(const pm_map_inputs *in, const pm_tensors *set, const char *name,
                            layer_map *out) {
    const pm_array *a = pm_tensors_get(set, name);
    *out = (layer_map){0};
    if (!a || a->rank != 4 || in->row >= a->dims[0])
        return pm_raise(PM_ERR_OTHER, "attention: %s is missing", name);
    out->all = pm_calloc((size_t)pm_array_elems(a), sizeof *out->all);
    if (!out->all) return PM_ERR_MEMORY;
    out->heads = a->dims[1];
    out->queries = a->dims[2];
    out->keys = a->dims[3];
    out->w = out->all + in->row * out->heads * out->queries * out->keys;
    return pm_convert_f32(a, out->all);
}

static pm_status make_weights(pm_attention *a, int64_t heads, int64_t queries, int64_t keys) {
    a->n_heads = heads;
    a->n_queries = queries;
    a->n_keys = keys;
    if (queries > INT32_MAX || keys > INT32_MAX || heads * a->n_layers > INT32_MAX)
        return pm_raise(PM_ERR_USAGE, "attention: %" PRId64 " queries by %" PRId64 " keys are too many",
                        queries, keys);
    a->weights = pm_calloc((size_t)(a->n_layers * heads), (size_t)(queries * keys) * sizeof *a->weights);
    return a->weights ? PM_OK : PM_ERR_MEMORY;
}

static float *map_at(const pm_attention *a, int64_t i, int64_t head) {
    return a->weights + (i * a->n_heads + head) * a->n_queries * a->n_keys;
}

/* ---- tokens by tokens ---- */

static pm_status take_plain(const pm_map *map, const pm_map_inputs *in, const pm_tensors *set,
                            pm_attention *a) {
    char name[64];
    pm_status s = PM_OK;
    for (int64_t i = 0; s == PM_OK && i < a->n_layers; i++) {
        layer_map one;
        snprintf(name, sizeof name, "out.%s.%" PRId64, map->output, a->first_layer + i);
        s = read_layer(in, set, name, &one);
        if (s == PM_OK && i == 0) s = make_weights(a, one.heads, one.queries, one.keys);
        if (s == PM_OK && (one.heads != a->n_heads || one.queries != a->n_queries || one.keys != a->n_keys))
            s = pm_raise(PM_ERR_OTHER, "attention: %s has another shape than the layers before it", name);
        if (s == PM_OK)
            memcpy(map_at(a, i, 0), one.w, (size_t)(one.heads * one.queries * one.keys) * sizeof(float));
        pm_free(one.all);
    }
    return s;
}

/* ---- Longformer ---- */

/* The global tokens of the row, in their order; the columns of the outputs. */
typedef struct globals {
    int64_t *at; /* pm_alloc'd */
    int64_t n;
    int64_t *number; /* of token t, from 0; -1: it is local */
    bool any;        /* in any row */
} globals;

static bool is_global(const pm_model *m, const int32_t *ids, const int32_t *mask, int64_t t) {
    if (mask) return mask[t] != 0;
    if (m->spec.global == PM_GLOBAL_FIRST) return t == 0;
    if (m->spec.global != PM_GLOBAL_QUESTION) return false;
    for (int64_t i = 0; i <= t; i++)
        if (ids[i] == m->spec.separator) return false;
    return true;
}

static pm_status find_in_row(const pm_model *m, const pm_map_inputs *in, globals *out, int64_t *out_t) {
    static const char *const names[] = {"in.input_ids", "in.global_attention_mask", "in.attention_mask"};
    int32_t *rows[PM_COUNT(names)] = {0};
    size_t n[PM_COUNT(names)] = {0};
    pm_status s = PM_OK;
    for (size_t i = 0; s == PM_OK && i < PM_COUNT(names); i++)
        if (i == 0 || pm_tensors_get(in->tensors, names[i])) s = pm_map_ids(in, names[i], &rows[i], &n[i]);
    for (size_t i = 1; s == PM_OK && i < PM_COUNT(names); i++)
        if (rows[i] && n[i] != n[0])
            s = pm_raise(PM_ERR_USAGE, "inputs: %s has %zu columns, expected %zu", names[i], n[i], n[0]);
    out->at = pm_calloc(n[0], sizeof *out->at);
    out->number = pm_calloc(n[0], sizeof *out->number);
    if (s == PM_OK && (!out->at || !out->number)) s = PM_ERR_MEMORY;
    for (size_t t = 0; s == PM_OK && t < n[0]; t++) {
        bool is = is_global(m, rows[0], rows[1], (int64_t)t) && (!rows[2] || rows[2][t]);
        out->number[t] = is ? out->n : -1;
        if (is) out->at[out->n++] = (int64_t)t;
    }
    for (size_t i = 0; i < PM_COUNT(names); i++) pm_free(rows[i]);
    *out_t = (int64_t)n[0];
    return s;
}

static void free_globals(globals *g) {
    pm_free(g->at);
    pm_free(g->number);
    *g = (globals){0};
}

/* A pass has columns of global tokens where one row has one; without a mask, where the model makes the first one global. */
static pm_status find_globals(const pm_model *m, const pm_map_inputs *in, globals *out, int64_t *out_t) {
    bool has_mask = pm_tensors_get(in->tensors, "in.global_attention_mask") != NULL;
    bool any = !has_mask && m->spec.global == PM_GLOBAL_FIRST;
    pm_map_inputs row = *in;
    for (row.row = 0; row.row < in->batch && !any; row.row++) {
        globals one = {0};
        pm_status s = find_in_row(m, &row, &one, out_t);
        any = one.n > 0;
        free_globals(&one);
        PM_TRY(s);
    }
    *out = (globals){.any = any};
    return find_in_row(m, in, out, out_t);
}

pm_status pm_map_has_globals(const pm_model *m, const pm_map *map, const pm_map_inputs *in, bool *out) {
    globals g = {0};
    int64_t t;
    *out = false;
    if (map->layout == PM_LAYOUT_PLAIN || map->layout == PM_LAYOUT_SEGMENTS) return PM_OK;
    pm_status s = find_globals(m, in, &g, &t);
    *out = g.any;
    free_globals(&g);
    return s;
}

pm_status pm_map_globals(const pm_model *m, const pm_map_inputs *in, int64_t **out_at, int64_t *out_n) {
    globals g = {0};
    int64_t t;
    pm_status s = find_globals(m, in, &g, &t);
    *out_at = g.at;
    *out_n = g.n;
    g.at = NULL;
    free_globals(&g);
    if (s != PM_OK) pm_free(*out_at);
    return s;
}

/* Row q of a band: weights of the global keys, then of keys q - reach .. q + reach. */
static void unfold_row(const float *row, const globals *g, int64_t n_columns, int64_t reach, int64_t q,
                       int64_t n_keys, float *to) {
    for (int64_t j = 0; j < g->n; j++) to[g->at[j]] += row[j];
    for (int64_t j = 0; j <= 2 * reach; j++) {
        int64_t k = q + j - reach;
        if (k >= 0 && k < n_keys && g->number[k] < 0) to[k] += row[n_columns + j];
    }
}

/* Row of global token j: column j of the output. */
static void unfold_global(const layer_map *one, int64_t head, int64_t j, int64_t n_keys, float *to) {
    const float *w = one->w + head * one->queries * one->keys;
    for (int64_t k = 0; k < n_keys && k < one->queries; k++) to[k] = w[k * one->keys + j];
}

/* Query rows of map PM_LAYOUT_GLOBAL are the global tokens alone. */
static void unfold_layer(const pm_map *map, const layer_map *band, const layer_map *columns, const globals *g,
                         int64_t i, pm_attention *a) {
    int64_t reach = map->stack->reach[a->first_layer + i];
    int64_t t = a->n_keys, n_columns = band->keys - (2 * reach + 1);
    bool alone = map->layout == PM_LAYOUT_GLOBAL;
    for (int64_t h = 0; h < a->n_heads; h++) {
        float *to = map_at(a, i, h);
        for (int64_t q = 0; q < t; q++) {
            int64_t number = g->number[q];
            float *row = to + (alone ? number : q) * t;
            if (number < 0 && !alone)
                unfold_row(band->w + (h * t + q) * band->keys, g, n_columns, reach, q, t, row);
            else if (number >= 0 && map->layout != PM_LAYOUT_WINDOW && columns->w)
                unfold_global(columns, h, number, t, row);
        }
    }
}

static pm_status take_sparse_layer(const pm_map *map, const pm_map_inputs *in, const pm_tensors *set,
                                   const globals *g, int64_t i, pm_attention *a) {
    char name[64];
    layer_map band = {0}, columns = {0};
    int64_t layer = a->first_layer + i, reach = map->stack->reach[layer];
    pm_status s;
    snprintf(name, sizeof name, "out.%s.%" PRId64, map->output, layer);
    PM_GOTO(read_layer(in, set, name, &band));
    snprintf(name, sizeof name, "out.global_attentions.%" PRId64, layer);
    if (g->any) PM_GOTO(read_layer(in, set, name, &columns));
    if (!a->weights)
        PM_GOTO(
            make_weights(a, band.heads, map->layout == PM_LAYOUT_GLOBAL ? g->n : band.queries, band.queries));
    int64_t n_columns = band.keys - (2 * reach + 1);
    if (n_columns < g->n || (g->any && columns.keys < g->n)) {
        s = pm_raise(PM_ERR_OTHER,
                     "attention: %s has %" PRId64 " columns of global tokens, expected %" PRId64, name,
                     n_columns, g->n);
        goto fail;
    }
    unfold_layer(map, &band, &columns, g, i, a);
fail:
    pm_free(band.all);
    pm_free(columns.all);
    return s;
}

static pm_status take_sparse(const pm_model *m, const pm_map *map, const pm_map_inputs *in,
                             const pm_tensors *set, pm_attention *a) {
    globals g;
    int64_t t;
    pm_status s = find_globals(m, in, &g, &t);
    if (s == PM_OK && map->layout == PM_LAYOUT_GLOBAL && !g.n)
        s = pm_raise(PM_ERR_USAGE, "attention: map is \"global\", and no token of the text is");
    for (int64_t i = 0; s == PM_OK && i < a->n_layers; i++) s = take_sparse_layer(map, in, set, &g, i, a);
    free_globals(&g);
    return s;
}

/* ---- segments ---- */

/* Which tokens the columns of a segment are of: the memory's, then its own. */
typedef struct columns {
    int64_t *token;   /* pm_alloc'd, room for all */
    int64_t n, first; /* the segment's first token */
} columns;

static void enter_segment(columns *c, int64_t length) {
    for (int64_t i = 0; i < length; i++) c->token[c->n++] = c->first + i;
}

/* The newest `rows` before the `skipped` newest of the segment stay. */
static void leave_segment(columns *c, const pm_recurrence *re, int64_t length) {
    int64_t end = c->n - (length < re->skipped ? length : re->skipped), begin = end - re->rows;
    if (begin < 0) begin = 0;
    memmove(c->token, c->token + begin, (size_t)(end - begin) * sizeof *c->token);
    c->n = end - begin;
    c->first += length;
}

static pm_status take_segment_layer(const layer_map *one, const columns *c, int64_t i, const char *name,
                                    pm_attention *a) {
    if (one->keys != c->n || one->heads != a->n_heads || c->first + one->queries > a->n_queries)
        return pm_raise(PM_ERR_OTHER, "attention: %s has %" PRId64 " keys, expected %" PRId64, name,
                        one->keys, c->n);
    const float *from = one->w;
    for (int64_t h = 0; h < one->heads; h++)
        for (int64_t q = 0; q < one->queries; q++)
            for (int64_t k = 0; k < one->keys; k++)
                map_at(a, i, h)[(c->first + q) * a->n_keys + c->token[k]] = *from++;
    return PM_OK;
}

static pm_status take_segment(const pm_map *map, const pm_map_inputs *in, const pm_tensors *set,
                              const char *number, const columns *c, pm_attention *a) {
    char name[64];
    pm_status s = PM_OK;
    for (int64_t i = 0; s == PM_OK && i < a->n_layers; i++) {
        layer_map one;
        snprintf(name, sizeof name, "out.%s%s.%" PRId64, map->output, number, a->first_layer + i);
        s = read_layer(in, set, name, &one);
        if (s == PM_OK) s = take_segment_layer(&one, c, i, name, a);
        pm_free(one.all);
    }
    return s;
}

static pm_status take_segments(const pm_session *session, const pm_map *map, const pm_map_inputs *in,
                               const pm_tensors *set, pm_attention *a) {
    int32_t *ids;
    size_t n;
    columns c = {0};
    pm_status s;
    PM_TRY(pm_map_ids(in, "in.input_ids", &ids, &n));
    pm_free(ids);
    PM_GOTO(make_weights(a, map->stack->n_heads, (int64_t)n, (int64_t)n));
    c.token = pm_calloc(n, sizeof *c.token);
    s = c.token ? PM_OK : PM_ERR_MEMORY;
    for (int64_t i = 0; s == PM_OK; i++) {
        char name[32], number[24];
        snprintf(name, sizeof name, "in.segment.%" PRId64, i);
        snprintf(number, sizeof number, ".%" PRId64, i);
        const pm_array *part = pm_tensors_get(in->tensors, name);
        if (!part && i > 0) break;
        int64_t length = part ? part->dims[1] : (int64_t)n; /* in.input_ids alone is one segment */
        enter_segment(&c, length);
        s = take_segment(map, in, set, part ? number : "", &c, a);
        if (!part) break;
        leave_segment(&c, &session->model->spec.recurrence, length);
    }
fail:
    pm_free(c.token);
    return s;
}

pm_status pm_map_take(const pm_session *s, const pm_map *map, const pm_map_inputs *in, const pm_tensors *set,
                      pm_attention *a) {
    switch (map->layout) {
    case PM_LAYOUT_PLAIN: return take_plain(map, in, set, a);
    case PM_LAYOUT_SEGMENTS: return take_segments(s, map, in, set, a);
    default: return take_sparse(s->model, map, in, set, a);
    }
}
