/* Attention maps (pumice/attend.h): which maps a model has, and a forward pass with them as outputs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/arch.h"
#include "models/attend_data.h"
#include "models/image.h"

/* ---- which there are ---- */

static pm_attend_input signal_kind(const pm_spec *spec) {
    return !spec->signal.name ? PM_ATTEND_TEXT : spec->signal.rank == 2 ? PM_ATTEND_SOUND : PM_ATTEND_IMAGE;
}

static size_t maps_of_two(const pm_model *m, pm_map maps[PM_MAX_MAPS]) {
    const pm_stack *encoder = &m->spec.stack[0], *decoder = &m->spec.stack[1];
    const pm_map all[] = {
        {"cross", decoder, decoder->cross_out, PM_SIDE_TARGET, PM_SIDE_SOURCE, .has_target = true},
        {"encoder", encoder, encoder->self_out, PM_SIDE_SOURCE, PM_SIDE_SOURCE, .has_target = false},
        {"decoder", decoder, decoder->self_out, PM_SIDE_TARGET, PM_SIDE_TARGET, .has_target = true},
    };
    memcpy(maps, all, sizeof all);
    for (size_t i = 0; i < PM_COUNT(all); i++) maps[i].reads = signal_kind(&m->spec);
    return PM_COUNT(all);
}

static size_t maps_of_clip(const pm_model *m, pm_map maps[PM_MAX_MAPS]) {
    const pm_stack *text = &m->spec.stack[0], *vision = &m->spec.stack[1];
    size_t n = 0;
    if (m->spec.signal.name)
        maps[n++] =
            (pm_map){.name = "vision", .stack = vision, .output = vision->self_out, .reads = PM_ATTEND_IMAGE};
    if (m->spec.embed[0].vocab) maps[n++] = (pm_map){.name = "text", .stack = text, .output = text->self_out};
    return n;
}

size_t pm_maps_of(const pm_model *m, pm_map maps[PM_MAX_MAPS]) {
    const pm_stack *st = &m->spec.stack[0];
    const bool is_clip = m->spec.contrast.width > 0 || m->spec.stack[1].n_layers > 0;
    if (m->arch->encoder_decoder) return maps_of_two(m, maps);
    if (is_clip) return maps_of_clip(m, maps);
    pm_map one = {.name = m->arch->decoder ? "decoder" : "encoder",
                  .stack = st,
                  .output = st->self_out,
                  .reads = signal_kind(&m->spec)};
    if (m->spec.recurrence.on) one.layout = PM_LAYOUT_SEGMENTS;
    maps[0] = one;
    if (m->spec.global == PM_GLOBAL_OFF) return 1;
    static const char *const names[] = {"encoder", "window", "global"};
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        maps[i] = one;
        maps[i].name = names[i];
        maps[i].layout = (pm_map_layout)(PM_LAYOUT_SPARSE + (int)i);
    }
    return PM_COUNT(names);
}

static bool is_called(const pm_map *map, const char *name, size_t n_maps) {
    if (strcmp(map->name, name) == 0) return true;
    return n_maps == 1 && (strcmp(name, "encoder") == 0 || strcmp(name, "decoder") == 0);
}

pm_status pm_map_find(const pm_model *m, const char *name, const pm_attend_input *given, pm_map *out) {
    pm_map maps[PM_MAX_MAPS];
    char list[64] = "";
    size_t n = pm_maps_of(m, maps), found = n;
    for (size_t i = n; i-- > 0;)
        if (name ? is_called(&maps[i], name, n) : !given || maps[i].reads == *given) found = i;
    for (size_t i = 0, at = 0; i < n; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? " or " : "", maps[i].name);
    if (name && found == n)
        return pm_raise(PM_ERR_USAGE, "attention: map is \"%.40s\", expected %s", name, list);
    *out = maps[found < n ? found : 0]; /* what does not read that says so itself */
    if (out->output) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "attention: %s has no attention weights as map \"%s\"", m->files.path,
                    out->name);
}

pm_status pm_model_attend_input(const pm_model *m, const char *map, pm_attend_input *out) {
    pm_map found;
    PM_TRY(pm_map_find(m, map, NULL, &found));
    *out = found.reads;
    return PM_OK;
}

/* ---- the pass ---- */

static pm_status check_part(const char *what, pm_attend_parts parts, int64_t i, int64_t n) {
    if (parts != PM_ATTEND_ONE || (i >= 0 && i < n)) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "attention: %s is %" PRId64 ", the model has %ss 0 to %" PRId64, what, i,
                    what, n - 1);
}

static pm_status check_rollout(const pm_attend_options *o, const pm_map *map) {
    if (!o->rollout) return PM_OK;
    if (map->query != map->key || map->layout == PM_LAYOUT_WINDOW || map->layout == PM_LAYOUT_GLOBAL)
        return pm_raise(PM_ERR_USAGE,
                        "attention: rollout is of tokens to themselves, which map \"%s\" is not", map->name);
    if (o->layers == PM_ATTEND_MEAN)
        return pm_raise(PM_ERR_USAGE, "attention: rollout goes through layers, their mean is not expected");
    return PM_OK;
}

/* The layers that are needed, as first_layer and n_layers of `a`. */
static void choose_layers(const pm_attend_options *o, const pm_map *map, pm_attention *a) {
    a->n_layers = map->stack->n_layers;
    if (o->layers != PM_ATTEND_ONE) return;
    a->first_layer = o->rollout ? 0 : o->layer;
    a->n_layers = o->rollout ? o->layer + 1 : 1;
}

/* One layer's output, or those of all: a list of them may be longer than a pass takes. */
static pm_status run(pm_session *s, const pm_map *map, const pm_map_inputs *in, const pm_attention *a,
                     pm_tensors **out) {
    pm_text want = {0};
    char one[24] = "";
    bool globals = false;
    pm_status status = pm_map_has_globals(s->model, map, in, &globals);
    if (a->n_layers == 1) snprintf(one, sizeof one, ".%" PRId64, a->first_layer);
    pm_text_add(&want, "%s%s", map->output, one);
    if (globals) pm_text_add(&want, ",global_attentions%s", one);
    if (status == PM_OK) status = pm_text_status(&want);
    if (status == PM_OK) status = pm_session_run(s, in->tensors, want.data, out);
    pm_text_free(&want);
    return status;
}

static pm_status attend(pm_session *s, const pm_map *map, const pm_attend_options *o, pm_map_inputs *in,
                        pm_attention *a) {
    pm_tensors *set = NULL;
    PM_TRY(check_part("layer", o->layers, o->layer, map->stack->n_layers));
    PM_TRY(check_part("head", o->heads, o->head, map->stack->n_heads));
    PM_TRY(check_rollout(o, map));
    PM_TRY(pm_map_inputs_make(s, map, o, in));
    a->map = map->name;
    choose_layers(o, map, a);
    PM_TRY(run(s, map, in, a, &set));
    pm_status status = pm_map_take(s, map, in, set, a);
    pm_tensors_free(set);
    PM_TRY(status);
    PM_TRY(pm_map_axes(s, map, in, a));
    a->text = in->text;
    in->text = NULL;
    return pm_map_reduce(o, a);
}

/* What the options give, for a model that has maps of several kinds. */
static pm_attend_input given_kind(const pm_attend_options *o) {
    if (o->inputs) return pm_tensors_get(o->inputs, "in.input_ids") ? PM_ATTEND_TEXT : PM_ATTEND_IMAGE;
    return o->image ? PM_ATTEND_IMAGE : o->sound ? PM_ATTEND_SOUND : PM_ATTEND_TEXT;
}

pm_status pm_session_attend(pm_session *s, const pm_attend_options *options, pm_attention *out) {
    pm_map map;
    pm_map_inputs in = {0};
    pm_attend_input given = given_kind(options);
    *out = (pm_attention){0};
    PM_TRY(pm_map_find(s->model, options->map, &given, &map));
    pm_status status = attend(s, &map, options, &in, out);
    pm_map_inputs_free(&in);
    if (status != PM_OK) pm_attention_free(out);
    return status;
}

static void free_axis(pm_axis *axis) {
    for (int64_t i = 0; axis->labels && i < axis->n; i++) pm_free(axis->labels[i]);
    pm_free(axis->labels);
}

void pm_attention_free(pm_attention *a) {
    free_axis(&a->query);
    free_axis(&a->key);
    pm_image_free(&a->image);
    pm_free(a->weights);
    pm_free(a->text);
    *a = (pm_attention){0};
}
