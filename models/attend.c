/* Attention weights of one text, with its tokens as labels (pm_session_attend). Runs the forward pass with
 * the maps as outputs; an encoder-decoder generates its output first. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/convert.h"
#include "models/session.h"

/* What a map is made from. */
typedef struct map_row {
    const char *name;
    bool seq2seq;
    int query_side, key_side; /* 0: source, 1: target */
} map_row;

static const map_row maps[] = {
    {"cross", true, 1, 0},    {"encoder", true, 0, 0},
    {"decoder", true, 1, 1},  {"encoder", false, 0, 0}, /* models of one stack: both names mean it */
    {"decoder", false, 0, 0},
};

static const map_row *find_map(bool seq2seq, const char *name) {
    for (size_t i = 0; i < PM_COUNT(maps); i++)
        if (maps[i].seq2seq == seq2seq && (!name || strcmp(maps[i].name, name) == 0)) return &maps[i];
    return NULL;
}

/* The stack whose queries they are, and what the model calls its weights; NULL: it gives none. */
static const pm_stack *stack_of(const pm_model *m, const map_row *map) {
    return &m->spec.stack[map->seq2seq ? map->query_side : 0];
}

static const char *output_of(const pm_model *m, const map_row *map) {
    const pm_stack *st = stack_of(m, map);
    return map->query_side == map->key_side ? st->self_out : st->cross_out;
}

typedef struct id_list {
    const int32_t *ids;
    size_t n;
} id_list;

/* sides[1].n 0: no decoder. */
static pm_status make_inputs(const id_list sides[2], pm_tensors **out) {
    pm_tensors *in = NULL;
    pm_status s = pm_tensors_create(&in);
    if (s == PM_OK) s = pm_tensors_add_ids(in, "in.input_ids", sides[0].ids, sides[0].n);
    if (s == PM_OK && sides[1].n)
        s = pm_tensors_add_ids(in, "in.decoder_input_ids", sides[1].ids, sides[1].n);
    if (s == PM_OK)
        *out = in;
    else
        pm_tensors_free(in);
    return s;
}

/* Generates from the source; the target is what was fed: all but the last id. `g` owns it. */
static pm_status make_target(pm_session *s, const id_list *source, pm_generated *g, id_list *out) {
    PM_TRY(pm_generate(s, source->ids, source->n, NULL, g));
    *out = (id_list){g->ids, g->n_ids > 1 ? g->n_ids - 1 : g->n_ids};
    return PM_OK;
}

pm_status pm_session_inputs(pm_session *s, const int32_t *ids, size_t n, pm_tensors **out_inputs) {
    id_list sides[2] = {{ids, n}, {0}};
    pm_generated g = {0};
    pm_status status = PM_OK;
    *out_inputs = NULL;
    if (s->model->arch->encoder_decoder) status = make_target(s, &sides[0], &g, &sides[1]);
    if (status == PM_OK) status = make_inputs(sides, out_inputs);
    pm_generated_free(&g);
    return status;
}

static pm_status make_labels(const pm_model *m, int side, const id_list *list, char ***out) {
    *out = pm_calloc(list->n, sizeof **out);
    if (!*out) return PM_ERR_MEMORY;
    for (size_t i = 0; i < list->n; i++) PM_TRY(pm_model_token_label(m, side, list->ids[i], &(*out)[i]));
    return PM_OK;
}

/* Takes out.<map>.0 .. n-1, [1,H,T,S] each. */
static pm_status take_maps(const pm_tensors *set, const char *output, int64_t n_layers, pm_attention *out) {
    char name[64];
    uint64_t each = 0;
    for (int64_t i = 0; i < n_layers; i++) {
        snprintf(name, sizeof name, "out.%s.%" PRId64, output, i);
        const pm_array *a = pm_tensors_get(set, name);
        if (!a || a->rank != 4 || (i > 0 && a->bytes != each))
            return pm_raise(PM_ERR_OTHER, "attention: %s is missing", name);
        if (i == 0) {
            each = a->bytes;
            out->n_layers = n_layers;
            out->n_heads = a->dims[1];
            out->n_queries = a->dims[2];
            out->n_keys = a->dims[3];
            out->weights = pm_calloc((size_t)n_layers, (size_t)each);
            if (!out->weights) return PM_ERR_MEMORY;
        }
        PM_TRY(pm_convert_f32(a, out->weights + (uint64_t)i * (each / sizeof(float))));
    }
    return PM_OK;
}

static pm_status run_maps(pm_session *session, const map_row *map, const id_list sides[2],
                          pm_attention *out) {
    const pm_model *m = session->model;
    pm_tensors *in = NULL, *set = NULL;
    pm_status s;
    if (m->spec.global != PM_GLOBAL_OFF)
        return pm_raise(PM_ERR_USAGE, "attention: this model's weights lie by window, not token by token; "
                                      "run gives them as out.attentions and out.global_attentions");
    PM_GOTO(make_inputs(sides, &in));
    PM_GOTO(pm_session_run(session, in, output_of(m, map), &set));
    PM_GOTO(take_maps(set, output_of(m, map), stack_of(m, map)->n_layers, out));
    PM_GOTO(make_labels(m, map->query_side, &sides[map->query_side], &out->query_labels));
    PM_GOTO(make_labels(m, map->key_side, &sides[map->key_side], &out->key_labels));
fail:
    pm_tensors_free(in);
    pm_tensors_free(set);
    return s;
}

pm_status pm_session_attend_ids(pm_session *s, const int32_t *ids, size_t n, const char *map_name,
                                pm_attention *out) {
    const pm_model *m = s->model;
    const map_row *map = find_map(m->arch->encoder_decoder, map_name);
    pm_generated g = {0};
    *out = (pm_attention){0};
    if (!map)
        return pm_raise(PM_ERR_USAGE, "attention: map is \"%.40s\", expected %s", map_name,
                        m->arch->encoder_decoder ? "cross, encoder or decoder" : "encoder or decoder");
    if (!m->spec.embed[0].vocab || !output_of(m, map))
        return pm_raise(PM_ERR_USAGE,
                        "attention: %s: its weights are not of tokens by tokens, run gives what it has",
                        m->files.path);
    /* A map of the encoder alone needs no output; its forward pass takes any decoder id. */
    id_list sides[2] = {{ids, n}, {&(int32_t){0}, map->seq2seq ? 1 : 0}};
    bool needs_target = map->query_side || map->key_side;
    pm_status status = needs_target ? make_target(s, &sides[0], &g, &sides[1]) : PM_OK;
    if (status == PM_OK) status = run_maps(s, map, sides, out);
    if (status == PM_OK && needs_target && m->info.has_tokenizer)
        status = pm_model_decode(m, g.ids + g.n_prompt, g.n_ids - g.n_prompt, &out->text);
    pm_generated_free(&g);
    if (status != PM_OK) pm_attention_free(out);
    return status;
}

pm_status pm_session_attend(pm_session *s, const char *text, const char *map, pm_attention *out) {
    int32_t *ids = NULL;
    size_t n = 0;
    *out = (pm_attention){0};
    PM_TRY(pm_model_encode(s->model, text, &ids, &n));
    pm_status status = pm_session_attend_ids(s, ids, n, map, out);
    pm_free(ids);
    return status;
}

void pm_attention_free(pm_attention *a) {
    for (int64_t i = 0; a->query_labels && i < a->n_queries; i++) pm_free(a->query_labels[i]);
    for (int64_t i = 0; a->key_labels && i < a->n_keys; i++) pm_free(a->key_labels[i]);
    pm_free(a->query_labels);
    pm_free(a->key_labels);
    pm_free(a->weights);
    pm_free(a->text);
    *a = (pm_attention){0};
}
