/* What an attention map is made from: a text, ids, a picture, a sound or given tensors, as inputs of a forward pass; the
 * decoder's side is generated where the caller gives none. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/arch.h"
#include "models/attend_data.h"
#include "models/convert.h"
#include "models/model_text.h"
#include "models/text_run.h"
#include "models/whisper.h"

enum { USUAL_SEGMENT = 512 };

typedef struct id_list {
    int32_t *ids; /* pm_alloc'd */
    size_t n;
} id_list;

static pm_status copy_ids(const int32_t *ids, size_t n, id_list *out) {
    out->ids = pm_calloc(n, sizeof *ids);
    if (!out->ids) return PM_ERR_MEMORY;
    memcpy(out->ids, ids, n * sizeof *ids);
    out->n = n;
    return PM_OK;
}

static pm_status check_ids(const pm_model *m, int side, const char *what, const id_list *list) {
    if (list->n < 1)
        return pm_raise(PM_ERR_USAGE, "attention: the %s has no ids, expected one at least", what);
    return pm_check_ids(what, list->ids, list->n, m->spec.embed[side].vocab);
}

static pm_status check_length(const pm_model *m, size_t n) {
    if (n <= (size_t)m->spec.max_positions) return PM_OK;
    return pm_raise(PM_ERR_USAGE,
                    "attention: the text has %zu tokens, expected at most %" PRId64 ", the model's positions",
                    n, m->spec.max_positions);
}

/* ---- one text ---- */

static pm_status add_pair(const pm_model *m, const pm_attend_options *o, pm_tensors *in, size_t *out_n) {
    pm_text_input text = {o->text, o->pair};
    pm_encoding *e;
    id_list ids = {0}, types = {0};
    PM_TRY(pm_encode_texts(m, &text, 1, &(pm_text_options){0}, &e));
    ids.n = types.n = *out_n = e->n;
    ids.ids = pm_calloc(e->n, sizeof *ids.ids);
    types.ids = pm_calloc(e->n, sizeof *types.ids);
    pm_status s = ids.ids && types.ids ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < e->n; i++) {
        ids.ids[i] = e->tokens[i].id;
        types.ids[i] = e->tokens[i].type_id;
    }
    if (s == PM_OK) s = pm_tensors_add_ids(in, "in.input_ids", ids.ids, ids.n);
    if (s == PM_OK && m->spec.embed[0].types)
        s = pm_tensors_add_ids(in, "in.token_type_ids", types.ids, types.n);
    pm_free(ids.ids);
    pm_free(types.ids);
    pm_encodings_free(e, 1);
    return s;
}

static pm_status add_segments(const pm_model *m, const pm_attend_options *o, const id_list *list,
                              pm_tensors *in) {
    char name[32];
    int64_t most = m->spec.max_positions, each = o->segment ? o->segment : USUAL_SEGMENT;
    if (each > most && !o->segment) each = most;
    if (each < 1 || each > most)
        return pm_raise(PM_ERR_USAGE, "attention: segment is %" PRId64 ", expected 1..%" PRId64, each, most);
    for (size_t i = 0, k = 0; i < list->n; i += (size_t)each, k++) {
        size_t rest = list->n - i;
        snprintf(name, sizeof name, "in.segment.%zu", k);
        PM_TRY(pm_tensors_add_ids(in, name, list->ids + i, rest < (size_t)each ? rest : (size_t)each));
    }
    return PM_OK;
}

static pm_status add_source(const pm_model *m, const pm_map *map, const pm_attend_options *o,
                            const id_list *list, pm_tensors *in) {
    PM_TRY(check_ids(m, 0, "text", list));
    if (map->layout == PM_LAYOUT_SEGMENTS) return add_segments(m, o, list, in);
    PM_TRY(check_length(m, list->n));
    return pm_tensors_add_ids(in, "in.input_ids", list->ids, list->n);
}

static pm_status read_source(const pm_model *m, const pm_attend_options *o, pm_generate_options *how,
                             id_list *out) {
    if (o->ids) return copy_ids(o->ids, o->n_ids, out);
    if (m->arch->encoder_decoder) return pm_model_encode_source(m, o->text, how, &out->ids, &out->n);
    return pm_model_encode(m, o->text, &out->ids, &out->n);
}

/* ---- the decoder's side ---- */

static pm_status add_target(const pm_model *m, const pm_attend_options *o, pm_tensors *in) {
    id_list list = {(int32_t *)(uintptr_t)o->target, o->n_target}; /* is not written to */
    PM_TRY(check_ids(m, 1, "target", &list));
    PM_TRY(check_length(m, list.n));
    return pm_tensors_add_ids(in, "in.decoder_input_ids", list.ids, list.n);
}

/* What it was fed with to make its output: all but the last id. */
static pm_status generate_target(pm_session *s, const id_list *source, const pm_generate_options *how,
                                 pm_map_inputs *to) {
    pm_generated g = {0};
    const pm_model *m = s->model;
    PM_TRY(pm_generate(s, source->ids, source->n, how, &g));
    pm_status status =
        pm_tensors_add_ids(to->made, "in.decoder_input_ids", g.ids, g.n_ids > 1 ? g.n_ids - 1 : g.n_ids);
    if (status == PM_OK && m->info.has_tokenizer)
        status = pm_model_decode(m, g.ids + g.n_prompt, g.n_ids - g.n_prompt, &to->text);
    pm_generated_free(&g);
    return status;
}

/* A map of the encoder alone needs no output; its forward pass takes any decoder id. */
static pm_status add_any_target(pm_tensors *in) {
    return pm_tensors_add_ids(in, "in.decoder_input_ids", &(int32_t){0}, 1);
}

static pm_status make_ids(pm_session *s, const pm_map *map, const pm_attend_options *o, pm_map_inputs *to) {
    const pm_model *m = s->model;
    pm_generate_options how = o->generate ? *o->generate : (pm_generate_options){0};
    id_list source = {0};
    size_t n = 0;
    if (o->pair) {
        PM_TRY(add_pair(m, o, to->made, &n));
        return check_length(m, n);
    }
    if (!how.n_beams && !how.sample && !how.ignore_rules && o->text) how.n_beams = (int32_t)m->rules.n_beams;
    pm_status status = read_source(m, o, &how, &source);
    if (status == PM_OK) status = add_source(m, map, o, &source, to->made);
    if (status == PM_OK && m->arch->encoder_decoder)
        status = o->target         ? add_target(m, o, to->made)
                 : map->has_target ? generate_target(s, &source, &how, to)
                                   : add_any_target(to->made);
    pm_free(source.ids);
    return status;
}

/* ---- pictures and sound ---- */

static pm_status make_sound(pm_session *s, const pm_map *map, const pm_attend_options *o, pm_map_inputs *to) {
    if (map->has_target && !o->target)
        return pm_sound_first_window(s, o->sound, o->transcribe, &to->made, &to->text);
    PM_TRY(pm_sound_inputs(s->model, o->sound, &to->made));
    return o->target ? add_target(s->model, o, to->made) : add_any_target(to->made);
}

static pm_status make(pm_session *s, const pm_map *map, const pm_attend_options *o, pm_map_inputs *to) {
    static const char *const inputs[] = {"a text or ids", "a picture", "a sound"};
    int n_given = !!o->text + !!o->ids + !!o->image + !!o->sound;
    pm_attend_input given = o->image ? PM_ATTEND_IMAGE : o->sound ? PM_ATTEND_SOUND : PM_ATTEND_TEXT;
    if (n_given != 1 || given != map->reads)
        return pm_raise(PM_ERR_USAGE,
                        "attention: map \"%s\" of %s is made from %s, expected one and nothing else",
                        map->name, s->model->files.path, inputs[map->reads]);
    if (o->image) return pm_model_image_inputs(s->model, o->image, 1, &to->made);
    if (o->sound) return make_sound(s, map, o, to);
    PM_TRY(pm_tensors_create(&to->made));
    return make_ids(s, map, o, to);
}

/* ---- given tensors ---- */

/* The input that says how many there are in a batch. */
static const pm_array *leading(const pm_map *map, const pm_tensors *inputs) {
    if (map->reads == PM_ATTEND_IMAGE) return pm_tensors_get(inputs, "in.pixel_values");
    if (map->reads == PM_ATTEND_SOUND) return pm_tensors_get(inputs, "in.input_features");
    const pm_array *a = pm_tensors_get(inputs, "in.segment.0");
    return map->layout == PM_LAYOUT_SEGMENTS && a ? a : pm_tensors_get(inputs, "in.input_ids");
}

static pm_status take_given(const pm_map *map, const pm_attend_options *o, pm_map_inputs *to) {
    static const char *const names[] = {"in.input_ids", "in.pixel_values", "in.input_features"};
    const pm_array *a = leading(map, o->inputs);
    if (!a || a->rank < 1)
        return pm_raise(PM_ERR_USAGE, "inputs: %s is missing, map \"%s\" is made from it", names[map->reads],
                        map->name);
    if (o->row < 0 || o->row >= a->dims[0])
        return pm_raise(PM_ERR_USAGE, "attention: row is %" PRId64 ", %s has rows 0 to %" PRId64, o->row,
                        a->name, a->dims[0] - 1);
    to->row = o->row;
    to->batch = a->dims[0];
    to->tensors = o->inputs;
    return PM_OK;
}

static pm_status refuse(const pm_session *s, const char *option, const char *what) {
    return pm_raise(PM_ERR_USAGE, "attention: %s is not expected, %s %s", option, s->model->files.path, what);
}

/* Options that would do nothing. */
static pm_status check_unused(const pm_session *s, const pm_map *map, const pm_attend_options *o) {
    bool two = s->model->arch->encoder_decoder;
    if (o->target && !two) return refuse(s, "target", "has no decoder besides its encoder");
    if (o->target && o->inputs) return refuse(s, "target", "is given its decoder's ids by inputs");
    if (o->generate && (o->generate->from || o->generate->to) && (!two || map->reads != PM_ATTEND_TEXT))
        return refuse(s, "from or to", "does not translate texts");
    if (o->segment && map->layout != PM_LAYOUT_SEGMENTS)
        return refuse(s, "segment", "has no memory of segments");
    if (o->pair && (two || s->model->arch->decoder || !o->text)) return refuse(s, "pair", "reads one text");
    if (o->inputs && (o->text || o->ids || o->image || o->sound))
        return refuse(s, "anything besides inputs", "reads one of them");
    return PM_OK;
}

pm_status pm_map_inputs_make(pm_session *s, const pm_map *map, const pm_attend_options *o,
                             pm_map_inputs *out) {
    PM_TRY(check_unused(s, map, o));
    if (o->inputs) return take_given(map, o, out);
    PM_TRY(make(s, map, o, out));
    out->tensors = out->made;
    out->batch = 1;
    return PM_OK;
}

void pm_map_inputs_free(pm_map_inputs *in) {
    pm_tensors_free(in->made);
    pm_free(in->text);
    *in = (pm_map_inputs){0};
}

pm_status pm_session_inputs(pm_session *s, const int32_t *ids, size_t n, pm_tensors **out_inputs) {
    pm_map_inputs in = {0};
    pm_status status = pm_tensors_create(&in.made);
    *out_inputs = NULL;
    if (status == PM_OK) status = pm_tensors_add_ids(in.made, "in.input_ids", ids, n);
    if (status == PM_OK && s->model->arch->encoder_decoder)
        status = generate_target(s, &(id_list){(int32_t *)(uintptr_t)ids, n}, NULL, &in);
    if (status == PM_OK) {
        *out_inputs = in.made;
        in.made = NULL;
    }
    pm_map_inputs_free(&in);
    return status;
}

/* ---- ids of a row ---- */

static pm_status append_row(const pm_map_inputs *in, const pm_array *a, int32_t **ids, size_t *n,
                            size_t *capacity) {
    if (a->rank != 2 || in->row >= a->dims[0])
        return pm_raise(PM_ERR_USAGE, "inputs: %s has no row %" PRId64, a->name, in->row);
    int32_t *all = pm_calloc((size_t)pm_array_elems(a), sizeof *all);
    void *grown = *ids;
    size_t t = (size_t)a->dims[1];
    pm_status s = all ? pm_convert_i32(a, all) : PM_ERR_MEMORY;
    if (s == PM_OK) s = pm_grow(&grown, capacity, *n + t, sizeof **ids);
    *ids = grown;
    if (s == PM_OK) memcpy(*ids + *n, all + (size_t)in->row * t, t * sizeof *all);
    if (s == PM_OK) *n += t;
    pm_free(all);
    return s;
}

pm_status pm_map_ids(const pm_map_inputs *in, const char *name, int32_t **out_ids, size_t *out_n) {
    char segment[32];
    size_t capacity = 0;
    pm_status s = PM_OK;
    const pm_array *a = pm_tensors_get(in->tensors, name);
    *out_ids = NULL;
    *out_n = 0;
    if (a) s = append_row(in, a, out_ids, out_n, &capacity);
    for (int64_t i = 0; !a && s == PM_OK; i++) {
        snprintf(segment, sizeof segment, "in.segment.%" PRId64, i);
        const pm_array *part = pm_tensors_get(in->tensors, segment);
        if (!part) break;
        s = append_row(in, part, out_ids, out_n, &capacity);
    }
    if (s == PM_OK && !*out_n) s = pm_raise(PM_ERR_USAGE, "inputs: %s is missing", name);
    if (s != PM_OK) pm_free(*out_ids);
    if (s != PM_OK) *out_ids = NULL;
    return s;
}
