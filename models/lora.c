/* See lora.h. Invariant: every part has an A of [r,K] and a B of [N,r], of floats. */
#include "models/lora.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/config.h"
#include "models/convert.h"
#include "models/safetensors.h"

static const char config_name[] = "adapter_config.json", weights_name[] = "adapter_model.safetensors";
static const char prefix[] = "base_model.model.", a_end[] = ".lora_A.weight", b_end[] = ".lora_B.weight";

typedef struct settings {
    int64_t r;
    float alpha;
    bool rslora, transposed; /* W is [K,N], as GPT-2 keeps it */
} settings;

typedef struct part {
    const char *weight; /* the adapter's name of W */
    const char *name;   /* the checkpoint's; NULL until it is bound */
    const pm_array *a, *b;
} part;

struct pm_lora {
    settings settings;
    pm_files files;
    pm_config config;
    pm_blob blob;
    pm_safetensors file;
    part *parts;
    size_t n_parts;
    pm_arena arena;
};

/* ---- adapter_config.json ---- */

static const pm_config_field fields[] = {
    {"r", PM_CONFIG_INT, offsetof(settings, r), PM_CONFIG_REQUIRED, 1, 65536},
    {"lora_alpha", PM_CONFIG_REAL, offsetof(settings, alpha), PM_CONFIG_REQUIRED, -1e6, 1e6},
    {"use_rslora", PM_CONFIG_BOOL, offsetof(settings, rslora), 0, 0, 1},
    {"fan_in_fan_out", PM_CONFIG_BOOL, offsetof(settings, transposed), 0, 0, 1},
};

/* Keys that are read, and keys that change nothing of what is merged. Any other must be null, false or empty. */
static const char *const known_keys[] = {"r",
                                         "lora_alpha",
                                         "use_rslora",
                                         "fan_in_fan_out",
                                         "bias",
                                         "peft_type",
                                         "target_modules",
                                         "init_lora_weights",
                                         "auto_mapping",
                                         "base_model_name_or_path",
                                         "exclude_modules",
                                         "inference_mode",
                                         "layers_pattern",
                                         "layers_to_transform",
                                         "lora_dropout",
                                         "megatron_core",
                                         "peft_version",
                                         "qalora_group_size",
                                         "revision",
                                         "task_type"};

static bool is_known(const char *key) {
    for (size_t i = 0; i < PM_COUNT(known_keys); i++)
        if (strcmp(known_keys[i], key) == 0) return true;
    return false;
}

static bool is_empty(const json_t *v) {
    bool container = json_is_object(v) || json_is_array(v);
    return json_is_null(v) || json_is_false(v) ||
           (container && json_object_size(v) == 0 && json_array_size(v) == 0);
}

static pm_status refuse_key(const char *key, const json_t *v, const char *expected) {
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    pm_status s = pm_raise(PM_ERR_FILE, "%s: %s is %.60s, %s", config_name, key,
                           text ? text : "something else", expected);
    free(text);
    return s;
}

/* Some ways to begin an adapter's training change the model's own weights, too. */
static pm_status check_start(const json_t *v) {
    static const char *const harmless[] = {"gaussian", "eva", "orthogonal"};
    if (!v || json_is_boolean(v)) return PM_OK;
    for (size_t i = 0; json_is_string(v) && i < PM_COUNT(harmless); i++)
        if (strcmp(json_string_value(v), harmless[i]) == 0) return PM_OK;
    return refuse_key("init_lora_weights", v, "expected true, false, gaussian, eva or orthogonal");
}

static pm_status read_config(pm_lora *l) {
    static const char *const types[] = {"LORA"}, *const biases[] = {"none"};
    const pm_config *c = &l->config;
    const char *key;
    json_t *v;
    int choice;
    PM_TRY(pm_config_choose(c, NULL, &(pm_config_choice){"peft_type", "LORA", types, 1}, &choice));
    PM_TRY(pm_config_choose(c, NULL, &(pm_config_choice){"bias", "none", biases, 1}, &choice));
    PM_TRY(pm_config_read(c, NULL, fields, PM_COUNT(fields), &l->settings));
    json_object_foreach(c->root, key, v) {
        if (!is_known(key) && !is_empty(v)) return refuse_key(key, v, "which is not read");
    }
    return check_start(json_object_get(c->root, "init_lora_weights"));
}

/* ---- adapter_model.safetensors ---- */

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Whether target_modules lists the module; a pattern, or nothing, is not asked. */
static pm_status check_target(const pm_lora *l, const char *module) {
    const json_t *list = json_object_get(l->config.root, "target_modules"), *v;
    size_t i, n = strlen(module);
    if (!json_is_array(list)) return PM_OK;
    json_array_foreach(list, i, v) {
        size_t m = json_string_length(v);
        const char *text = json_string_value(v);
        if (text && n >= m && memcmp(module + n - m, text, m) == 0 && (n == m || module[n - m - 1] == '.'))
            return PM_OK;
    }
    return pm_raise(PM_ERR_FILE, "%s: module %.120s is not in target_modules of %s", weights_name, module,
                    config_name);
}

static pm_status check_floats(const pm_entry *e) {
    const pm_array *a = &e->array;
    if (e->refusal) return pm_raise(PM_ERR_FILE, "%s: tensor %s %s", weights_name, a->name, e->refusal);
    if (a->dtype == PM_F32 || a->dtype == PM_F16 || a->dtype == PM_BF16) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: tensor %s has type %s, expected f32, f16 or bf16", weights_name,
                    a->name, pm_dtype_name(a->dtype));
}

static pm_status check_shape(const pm_array *a, int axis, int64_t r) {
    char is[PM_SHAPE_CHARS];
    if (a->rank == 2 && a->dims[axis] == r) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: tensor %s is %s, dim %d of 2 was expected to be r, which is %" PRId64,
                    weights_name, a->name, pm_array_shape(a->rank, a->dims, is), axis, r);
}

static pm_status find_end(const pm_lora *l, const char *module, const char *end, const pm_entry **out) {
    pm_text name = {0};
    pm_text_add(&name, "%s%s%s", prefix, module, end);
    pm_status s = pm_text_status(&name);
    if (s == PM_OK) *out = pm_safetensors_find(&l->file, name.data);
    pm_text_free(&name);
    return s;
}

/* One tensor: an A brings its part, a B must have one. */
static pm_status read_tensor(pm_lora *l, const pm_entry *e) {
    const char *name = e->array.name, *end = ends_in(name, a_end)   ? a_end
                                             : ends_in(name, b_end) ? b_end
                                                                    : NULL;
    if (!end || strncmp(name, prefix, strlen(prefix)) != 0)
        return pm_raise(PM_ERR_FILE, "%s: tensor %.160s is not read, %sMODULE%s or %s was expected",
                        weights_name, name, prefix, a_end, b_end);
    size_t n = strlen(name) - strlen(prefix) - strlen(end);
    char *module = pm_arena_alloc(&l->arena, n + sizeof ".weight");
    if (!module) return PM_ERR_MEMORY;
    memcpy(module, name + strlen(prefix), n);
    PM_TRY(check_floats(e));
    PM_TRY(check_target(l, module));
    const pm_entry *other = NULL;
    PM_TRY(find_end(l, module, end == a_end ? b_end : a_end, &other));
    if (!other)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s has no %s beside it", weights_name, name,
                        end == a_end ? "lora_B" : "lora_A");
    PM_TRY(check_shape(&e->array, end == a_end ? 0 : 1, l->settings.r));
    if (end != a_end) return PM_OK;
    memcpy(module + n, ".weight", sizeof ".weight");
    l->parts[l->n_parts++] = (part){.weight = module, .a = &e->array, .b = &other->array};
    return PM_OK;
}

static pm_status read_weights(pm_lora *l) {
    PM_TRY(pm_files_get(&l->files, weights_name, &l->blob));
    PM_TRY(pm_safetensors_parse(weights_name, l->blob.data, l->blob.bytes, &l->arena, &l->file));
    if (l->file.n_entries == 0) return pm_raise(PM_ERR_FILE, "%s: has no tensors", weights_name);
    l->parts = pm_arena_alloc(&l->arena, l->file.n_entries * sizeof *l->parts);
    if (!l->parts) return PM_ERR_MEMORY;
    for (size_t i = 0; i < l->file.n_entries; i++) PM_TRY(read_tensor(l, &l->file.entries[i]));
    return PM_OK;
}

pm_status pm_lora_open(const char *folder, pm_lora **out) {
    pm_status s;
    *out = NULL;
    pm_lora *l = pm_calloc(1, sizeof *l);
    if (!l) return PM_ERR_MEMORY;
    PM_GOTO(pm_files_open(folder, &l->files));
    PM_GOTO(pm_config_open(&l->files, config_name, &l->config));
    PM_GOTO(read_config(l));
    PM_GOTO(read_weights(l));
    *out = l;
    return PM_OK;
fail:
    pm_lora_close(l);
    return s;
}

void pm_lora_close(pm_lora *l) {
    if (!l) return;
    pm_blob_close(&l->blob);
    pm_config_close(&l->config);
    pm_files_close(&l->files);
    pm_arena_free(&l->arena);
    pm_free(l);
}

/* ---- merging ---- */

const char *pm_lora_weight(const pm_lora *l, size_t i) {
    return i < l->n_parts ? l->parts[i].weight : NULL;
}

pm_status pm_lora_bind(pm_lora *l, size_t i, const char *name, int32_t rank, const int64_t *dims) {
    char is[PM_SHAPE_CHARS], expected[PM_SHAPE_CHARS];
    part *p = &l->parts[i];
    int64_t n = p->b->dims[0], k = p->a->dims[1];
    const int64_t fits[2] = {l->settings.transposed ? k : n, l->settings.transposed ? n : k};
    if (rank != 2 || dims[0] != fits[0] || dims[1] != fits[1])
        return pm_raise(PM_ERR_FILE, "%s: tensors %s and %s are for a weight of %s, the model's is %s",
                        weights_name, p->a->name, p->b->name, pm_array_shape(2, fits, expected),
                        pm_array_shape(rank, dims, is));
    p->name = pm_arena_strdup(&l->arena, name);
    return p->name ? PM_OK : PM_ERR_MEMORY;
}

/* row[k] = scale sum_r b[r] a[r][k]. */
static void product_row(const settings *c, const float *a, const float *b, uint64_t n_k, float *row) {
    double r = (double)c->r, scale = (double)c->alpha / (c->rslora ? sqrt(r) : r);
    memset(row, 0, (size_t)n_k * sizeof *row);
    for (int64_t i = 0; i < c->r; i++)
        for (uint64_t k = 0; k < n_k; k++) row[k] += b[i] * a[(uint64_t)i * n_k + k];
    for (uint64_t k = 0; k < n_k; k++) row[k] = (float)(scale * (double)row[k]);
}

static pm_status floats_of(const pm_array *a, float **out) {
    *out = pm_realloc_array(NULL, (size_t)pm_array_elems(a), sizeof **out);
    return *out ? pm_convert_f32(a, *out) : PM_ERR_MEMORY;
}

static pm_status merge_part(const pm_lora *l, const part *p, float *w) {
    const settings *c = &l->settings;
    uint64_t n_n = (uint64_t)p->b->dims[0], n_k = (uint64_t)p->a->dims[1];
    float *a = NULL, *b = NULL, *row = NULL;
    pm_status s;
    PM_GOTO(floats_of(p->a, &a));
    PM_GOTO(floats_of(p->b, &b));
    row = pm_realloc_array(NULL, (size_t)n_k, sizeof *row);
    PM_GOTO(row ? PM_OK : PM_ERR_MEMORY);
    for (uint64_t n = 0; n < n_n; n++) {
        product_row(c, a, b + n * (uint64_t)c->r, n_k, row);
        for (uint64_t k = 0; k < n_k; k++) w[c->transposed ? k * n_n + n : n * n_k + k] += row[k];
    }
fail:
    pm_free(a);
    pm_free(b);
    pm_free(row);
    return s;
}

pm_status pm_lora_merge(const pm_lora *l, const char *name, float *w) {
    for (size_t i = 0; i < l->n_parts; i++)
        if (l->parts[i].name && strcmp(l->parts[i].name, name) == 0) return merge_part(l, &l->parts[i], w);
    return PM_OK;
}
