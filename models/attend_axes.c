/* What the rows and columns of an attention map stand for: tokens as the vocabulary spells them, patches of a picture with the picture
 * itself, pieces of sound. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/attend_data.h"
#include "models/convert.h"
#include "models/image.h"
#include "models/whisper.h"

static pm_status begin_axis(pm_axis *axis, pm_axis_kind kind, int64_t n) {
    axis->kind = kind;
    axis->n = n;
    axis->labels = pm_calloc((size_t)n, sizeof *axis->labels);
    return axis->labels ? PM_OK : PM_ERR_MEMORY;
}

/* ---- tokens ---- */

static pm_status name_tokens(const pm_model *m, pm_map_side side, const int32_t *ids, size_t n,
                             pm_axis *axis) {
    PM_TRY(begin_axis(axis, PM_AXIS_TOKENS, (int64_t)n));
    for (size_t i = 0; i < n; i++) PM_TRY(pm_model_token_label(m, (int)side, ids[i], &axis->labels[i]));
    return PM_OK;
}

static pm_status token_axis(const pm_model *m, const pm_map_inputs *in, pm_map_side side, pm_axis *axis) {
    int32_t *ids;
    size_t n;
    PM_TRY(pm_map_ids(in, side == PM_SIDE_TARGET ? "in.decoder_input_ids" : "in.input_ids", &ids, &n));
    pm_status s = name_tokens(m, side, ids, n, axis);
    pm_free(ids);
    return s;
}

/* ---- patches ---- */

static pm_status name_lead(pm_axis *axis, const char *name, int64_t n) {
    char text[48];
    for (int64_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "[%s]", name);
        if (n > 1) snprintf(text, sizeof text, "[%s %" PRId64 "]", name, i + 1);
        axis->labels[axis->n_lead] = pm_strdup(text);
        if (!axis->labels[axis->n_lead++]) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

/* Registers stand behind the class token (pm_block_patches). */
static pm_status patch_axis(const pm_spec *spec, const pm_array *pixels, int64_t n, pm_axis *axis) {
    const pm_patches *p = &spec->patches;
    char text[48];
    PM_TRY(begin_axis(axis, PM_AXIS_PATCHES, n));
    axis->side = p->size;
    axis->rows = pixels->dims[2] / p->size;
    axis->columns = pixels->dims[3] / p->size;
    int64_t lead = axis->rows * axis->columns + p->lead[0].n + (p->registers.name ? p->registers.n : 0) +
                   (p->lead[1].name ? p->lead[1].n : 0);
    if (lead != n)
        return pm_raise(PM_ERR_OTHER, "attention: %" PRId64 " tokens of a picture, expected %" PRId64, n,
                        lead);
    PM_TRY(name_lead(axis, "class", p->lead[0].n));
    if (p->registers.name) PM_TRY(name_lead(axis, "register", p->registers.n));
    if (p->lead[1].name) PM_TRY(name_lead(axis, "distillation", p->lead[1].n));
    for (int64_t i = 0; i < axis->rows * axis->columns; i++) {
        snprintf(text, sizeof text, "%" PRId64 ",%" PRId64, i / axis->columns, i % axis->columns);
        if (!(axis->labels[axis->n_lead + i] = pm_strdup(text))) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

/* How a channel's numbers become 0..255: back by the model's rules, or from the least to the largest where there are none. */
typedef struct shade {
    double scale, offset;
} shade;

static pm_status find_shades(const pm_model *m, const float *x, int64_t channels, int64_t elems,
                             shade out[3]) {
    pm_image_rules rules;
    pm_status s = pm_model_image_rules(m, &rules);
    bool known = s == PM_OK && rules.factor > 0;
    float least = x[0], most = x[0];
    for (int64_t i = 1; i < channels * elems; i++) {
        least = fminf(least, x[i]);
        most = fmaxf(most, x[i]);
    }
    for (int64_t c = 0; c < channels && c < 3; c++) {
        double unit = known ? 1 / rules.factor : 255 / fmax((double)most - (double)least, 1e-30);
        double deviation = known ? (double)rules.deviation[c] : 1;
        out[c] = (shade){unit * deviation, unit * (known ? (double)rules.mean[c] : -(double)least)};
    }
    return s == PM_ERR_MEMORY ? s : PM_OK;
}

static uint8_t as_byte(double x) {
    return x >= 255 ? 255 : x > 0 ? (uint8_t)(x + 0.5) : 0; /* NaN: 0 */
}

static pm_status show_picture(const pm_model *m, const pm_map_inputs *in, const pm_array *pixels,
                              pm_image *out) {
    int64_t channels = pixels->dims[1], h = pixels->dims[2], w = pixels->dims[3], elems = h * w;
    shade by[3];
    int32_t shown = channels >= 3 ? 3 : 1;
    float *all = pm_calloc((size_t)pm_array_elems(pixels), sizeof *all);
    pm_status s = all ? pm_convert_f32(pixels, all) : PM_ERR_MEMORY;
    if (s == PM_OK) s = pm_image_make(w, h, shown, out);
    const float *x = all + in->row * channels * elems;
    if (s == PM_OK) s = find_shades(m, x, shown, elems, by);
    for (int64_t c = 0; s == PM_OK && c < shown; c++)
        for (int64_t i = 0; i < elems; i++)
            out->pixels[i * shown + c] = as_byte((double)x[c * elems + i] * by[c].scale + by[c].offset);
    pm_free(all);
    return s;
}

/* ---- frames ---- */

static pm_status frame_axis(const pm_model *m, int64_t n, pm_axis *axis) {
    pm_whisper w;
    double seconds = 0;
    char text[48];
    PM_TRY(begin_axis(axis, PM_AXIS_FRAMES, n));
    pm_status s = pm_whisper_open(m, &w);
    if (s == PM_ERR_MEMORY) return s;
    if (s == PM_OK) { /* without its files there are numbers of frames */
        seconds = (double)w.mel.hop / w.mel.rate * (double)w.frames / (double)n;
        pm_whisper_close(&w);
    }
    for (int64_t i = 0; i < n; i++) {
        if (seconds > 0)
            snprintf(text, sizeof text, "%.2f s", (double)i * seconds);
        else
            snprintf(text, sizeof text, "%" PRId64, i);
        if (!(axis->labels[i] = pm_strdup(text))) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

/* ---- the two ---- */

static pm_status make_axis(const pm_model *m, const pm_map *map, const pm_map_inputs *in, pm_map_side side,
                           int64_t n, pm_axis *axis) {
    if (side == PM_SIDE_TARGET || map->reads == PM_ATTEND_TEXT) return token_axis(m, in, side, axis);
    if (map->reads == PM_ATTEND_SOUND) return frame_axis(m, n, axis);
    return patch_axis(&m->spec, pm_tensors_get(in->tensors, "in.pixel_values"), n, axis);
}

/* Of all tokens the global ones are those whose rows there are. */
static pm_status keep_globals(const pm_session *s, const pm_map_inputs *in, pm_axis *axis) {
    int64_t *at, n;
    PM_TRY(pm_map_globals(s->model, in, &at, &n));
    for (int64_t i = 0, k = 0; i < axis->n; i++)
        if (k < n && at[k] == i) {
            char *label = axis->labels[k];
            axis->labels[k++] = axis->labels[i];
            axis->labels[i] = label;
        }
    for (int64_t i = n; i < axis->n; i++) pm_free(axis->labels[i]);
    axis->n = n;
    pm_free(at);
    return PM_OK;
}

pm_status pm_map_axes(const pm_session *s, const pm_map *map, const pm_map_inputs *in, pm_attention *out) {
    PM_TRY(make_axis(s->model, map, in, map->query, out->n_queries, &out->query));
    if (map->layout == PM_LAYOUT_GLOBAL) PM_TRY(keep_globals(s, in, &out->query));
    PM_TRY(make_axis(s->model, map, in, map->key, out->n_keys, &out->key));
    if (out->query.n != out->n_queries || out->key.n != out->n_keys)
        return pm_raise(PM_ERR_OTHER,
                        "attention: %" PRId64 " by %" PRId64 " weights, of %" PRId64 " by %" PRId64 " tokens",
                        out->n_queries, out->n_keys, out->query.n, out->key.n);
    if (out->key.kind != PM_AXIS_PATCHES) return PM_OK;
    return show_picture(s->model, in, pm_tensors_get(in->tensors, "in.pixel_values"), &out->image);
}
