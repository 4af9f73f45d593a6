/* How a model wants its pictures (pumice/image.h): preprocessor_config.json, whose keys and defaults depend on the processor
 * that it names. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "models/config.h"
#include "models/image.h"
#include "models/arch.h"

/* What files may leave out. */
typedef struct defaults {
    const char *begins; /* of image_processor_type or feature_extractor_type */
    bool square;        /* a size that is one number is both sides, else the shorter one */
    pm_resample filter;
    double mean, deviation; /* 0: must be given */
} defaults;

static const defaults processors[] = {
    {"ViT", true, PM_RESAMPLE_BILINEAR, 0.5, 0.5},
    {"DeiT", true, PM_RESAMPLE_BICUBIC, 0.5, 0.5},
    {"CLIP", false, PM_RESAMPLE_BICUBIC, 0, 0},
    {"Bit", false, PM_RESAMPLE_BICUBIC, 0, 0},
};

static const defaults *find_defaults(const pm_config *c) {
    const json_t *type = json_object_get(c->root, "image_processor_type");
    if (!json_is_string(type)) type = json_object_get(c->root, "feature_extractor_type");
    for (size_t i = 0; json_is_string(type) && i < PM_COUNT(processors); i++)
        if (!strncmp(json_string_value(type), processors[i].begins, strlen(processors[i].begins)))
            return &processors[i];
    return &processors[0];
}

#define SIZE(key, at)                                                                                        \
    { key, PM_CONFIG_INT, offsetof(pm_image_rules, at), 0, 1, 16384 }

static pm_status read_size(const pm_config *c, bool square, pm_image_rules *r) {
    static const pm_config_field sides[] = {SIZE("height", height), SIZE("width", width),
                                            SIZE("shortest_edge", shortest), SIZE("longest_edge", longest)};
    static const pm_config_field edge[] = {SIZE("size", shortest)};
    if (!pm_config_size(c, "size")) {
        PM_TRY(pm_config_read(c, NULL, edge, 1, r));
        if (square) {
            r->height = r->width = r->shortest;
            r->shortest = 0;
        }
    } else {
        PM_TRY(pm_config_read(c, "size", sides, PM_COUNT(sides), r));
    }
    if (r->height && r->width && !r->shortest && !r->longest) return PM_OK;
    if (r->shortest && !r->height && !r->width) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "%s: size is not supported, expected a number, height and width, or shortest_edge",
                    c->label);
}

static pm_status read_crop(const pm_config *c, pm_image_rules *r) {
    static const pm_config_field sides[] = {SIZE("height", crop_height), SIZE("width", crop_width)};
    static const pm_config_field edge[] = {SIZE("crop_size", crop_height)};
    if (pm_config_size(c, "crop_size"))
        PM_TRY(pm_config_read(c, "crop_size", sides, PM_COUNT(sides), r));
    else {
        PM_TRY(pm_config_read(c, NULL, edge, 1, r));
        r->crop_width = r->crop_height;
    }
    if (r->crop_height && r->crop_width) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: do_center_crop without a crop_size of height and width", c->label);
}

/* A list of a number a channel, or one number for all. */
static pm_status read_numbers(const pm_config *c, const char *key, double fallback, int32_t channels,
                              float *out) {
    const json_t *v = json_object_get(c->root, key);
    size_t n = json_array_size(v);
    if (!v && fallback == 0) return pm_raise(PM_ERR_FILE, "%s: %s is missing", c->label, key);
    if (v && !json_is_number(v) && n != 1 && n != (size_t)channels)
        return pm_raise(PM_ERR_FILE, "%s: %s is not a list of %d numbers", c->label, key, (int)channels);
    for (int32_t i = 0; i < channels; i++) {
        const json_t *one = n ? json_array_get(v, n == 1 ? 0 : (size_t)i) : v;
        if (one && !json_is_number(one))
            return pm_raise(PM_ERR_FILE, "%s: %s is not a list of numbers", c->label, key);
        out[i] = (float)(one ? json_number_value(one) : fallback);
    }
    return PM_OK;
}

static pm_status read_normal(const pm_config *c, const defaults *d, pm_image_rules *r) {
    PM_TRY(read_numbers(c, "image_mean", d->mean, r->channels, r->mean));
    PM_TRY(read_numbers(c, "image_std", d->deviation, r->channels, r->deviation));
    for (int32_t i = 0; i < r->channels; i++)
        if (r->deviation[i] == 0) return pm_raise(PM_ERR_FILE, "%s: image_std has a 0", c->label);
    return PM_OK;
}

typedef struct steps {
    bool resize, crop, rescale, normalize;
    int64_t filter;
    float factor;
} steps;

static pm_status read_rules(const pm_config *c, pm_image_rules *r) {
    const defaults *d = find_defaults(c);
    const pm_config_field fields[] = {
        {"do_resize", PM_CONFIG_BOOL, offsetof(steps, resize), 1, 0, 1},
        {"do_center_crop", PM_CONFIG_BOOL, offsetof(steps, crop), pm_config_has(c, NULL, "crop_size"), 0, 1},
        {"do_rescale", PM_CONFIG_BOOL, offsetof(steps, rescale), 1, 0, 1},
        {"do_normalize", PM_CONFIG_BOOL, offsetof(steps, normalize), 1, 0, 1},
        {"resample", PM_CONFIG_INT, offsetof(steps, filter), d->filter, PM_RESAMPLE_NEAREST,
         PM_RESAMPLE_HAMMING},
    };
    const json_t *factor = json_object_get(c->root, "rescale_factor");
    steps s;
    PM_TRY(pm_config_read(c, NULL, fields, PM_COUNT(fields), &s));
    if (factor && !json_is_number(factor))
        return pm_raise(PM_ERR_FILE, "%s: rescale_factor is not a number", c->label);
    r->filter = (pm_resample)s.filter;
    r->factor = !s.rescale ? 1 : factor ? json_number_value(factor) : 1.0 / 255;
    if (s.resize) PM_TRY(read_size(c, d->square, r));
    if (s.crop) PM_TRY(read_crop(c, r));
    return s.normalize ? read_normal(c, d, r) : PM_OK;
}

/* The object of the processor; newer files keep it within processor_config.json. */
static pm_status open_config(const pm_model *m, pm_config *out) {
    static const char own[] = "preprocessor_config.json", shared[] = "processor_config.json";
    if (pm_files_has(&m->files, own)) return pm_config_open(&m->files, own, out);
    if (!pm_files_has(&m->files, shared))
        return pm_raise(PM_ERR_FILE, "%s: has no %s, which says how pictures are prepared", m->files.path,
                        own);
    PM_TRY(pm_config_open(&m->files, shared, out));
    json_t *inside = json_object_get(out->root, "image_processor");
    if (!json_is_object(inside)) {
        pm_config_close(out);
        return pm_raise(PM_ERR_FILE, "%s: has no object image_processor", shared);
    }
    json_incref(inside);
    json_decref(out->root);
    out->root = inside;
    return PM_OK;
}

pm_status pm_model_image_rules(const pm_model *m, pm_image_rules *out) {
    const pm_signal *signal = &m->spec.signal;
    pm_config c;
    *out = (pm_image_rules){0};
    if (!signal->name || strcmp(signal->name, "pixel_values") != 0)
        return pm_raise(PM_ERR_USAGE, "%s: a %s model takes no pictures", m->files.path, m->arch->model_type);
    if (signal->dims[0] != 1 && signal->dims[0] != 3)
        return pm_raise(PM_ERR_FILE,
                        "config.json: num_channels is %" PRId64 ", expected 1 or 3 for picture files",
                        signal->dims[0]);
    out->channels = (int32_t)signal->dims[0];
    PM_TRY(open_config(m, &c));
    pm_status s = read_rules(&c, out);
    pm_config_close(&c);
    return s;
}
