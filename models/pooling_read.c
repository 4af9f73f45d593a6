/* See pooling.h: the files of sentence-transformers. modules.json lists what runs in order: the Transformer, whose files are
 * those of the folder itself, a Pooling, then any of Dense and Normalize. */
#include "models/pooling.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "models/arch.h"

static const char file[] = "modules.json";

enum { PATH_CHARS = 256 };

/* One entry of modules.json. */
typedef struct module {
    const char *kind, *path; /* the last part of its type ("Pooling"); a folder within the model's */
} module;

static pm_status read_module(const json_t *list, size_t i, module *out) {
    const json_t *entry = json_array_get(list, i);
    const char *type = json_string_value(json_object_get(entry, "type")),
               *path = json_string_value(json_object_get(entry, "path"));
    if (!type || !path)
        return pm_raise(PM_ERR_FILE, "%s: entry %zu has no %s", file, i, type ? "path" : "type");
    if (path[0] == '/' || strstr(path, "..") || strlen(path) > 64)
        return pm_raise(PM_ERR_FILE, "%s: path is \"%.60s\", expected a folder of the model's", file, path);
    const char *dot = strrchr(type, '.');
    *out = (module){dot ? dot + 1 : type, path};
    return PM_OK;
}

static const char *file_of(char text[PATH_CHARS], const module *m, const char *name) {
    snprintf(text, PATH_CHARS, "%s%s%s", m->path, *m->path ? "/" : "", name);
    return text;
}

/* ---- pooling ---- */

typedef struct modes {
    int64_t width;
    bool kinds[PM_N_POOL_KINDS];
} modes;

#define MODE(key, kind)                                                                                      \
    { "pooling_mode_" key, PM_CONFIG_BOOL, offsetof(modes, kinds) + kind * sizeof(bool), 0, 0, 1 }
static const pm_config_field mode_fields[] = {
    {"word_embedding_dimension", PM_CONFIG_INT, offsetof(modes, width), 0, 1, 65536},
    MODE("cls_token", PM_POOL_CLS),
    MODE("max_tokens", PM_POOL_MAX),
    MODE("mean_tokens", PM_POOL_MEAN),
    MODE("mean_sqrt_len_tokens", PM_POOL_MEAN_SQRT),
    MODE("weightedmean_tokens", PM_POOL_WEIGHTED),
    MODE("lasttoken", PM_POOL_LAST),
};

static pm_status read_pooling(pm_model *m, const module *from, int64_t *out_width) {
    pm_pooling *p = &m->spec.pooling;
    int64_t width = m->spec.stack[0].width, n = 0;
    char text[PATH_CHARS];
    pm_config c;
    modes is;
    PM_TRY(pm_config_open(&m->files, file_of(text, from, "config.json"), &c));
    pm_status s = pm_config_read(&c, NULL, mode_fields, PM_COUNT(mode_fields), &is);
    pm_config_close(&c);
    PM_TRY(s);
    for (int i = 0; i < PM_N_POOL_KINDS; i++) n += is.kinds[i];
    if (!n) return pm_raise(PM_ERR_FILE, "%s: no pooling_mode that is known is true", text);
    if (is.width && is.width != width)
        return pm_raise(PM_ERR_FILE,
                        "%s: word_embedding_dimension is %" PRId64 ", expected %" PRId64
                        ", the model's hidden size",
                        text, is.width, width);
    memcpy(p->kinds, is.kinds, sizeof p->kinds);
    p->given = true;
    *out_width = n * width;
    return PM_OK;
}

/* ---- dense ---- */

typedef struct dense {
    int64_t in, out;
    bool bias;
} dense;
static const pm_config_field dense_fields[] = {
    {"in_features", PM_CONFIG_INT, offsetof(dense, in), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"out_features", PM_CONFIG_INT, offsetof(dense, out), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"bias", PM_CONFIG_BOOL, offsetof(dense, bias), 1, 0, 1},
};
static const char *const activations[] = {
    "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Tanh",
    "torch.nn.modules.activation.ReLU", "torch.nn.modules.activation.GELU",
    "torch.nn.modules.activation.SiLU"};
static const pm_activation kinds[] = {PM_ACTIVATION_TANH, PM_ACTIVATION_TANH, PM_ACTIVATION_RELU,
                                      PM_ACTIVATION_GELU, PM_ACTIVATION_SILU};

static pm_status read_dense_config(const pm_files *f, const char *name, dense *d, int *act) {
    pm_config c;
    PM_TRY(pm_config_open(f, name, &c));
    pm_status s = pm_config_read(&c, NULL, dense_fields, PM_COUNT(dense_fields), d);
    if (s == PM_OK)
        s = pm_config_choose(
            &c, NULL,
            &(pm_config_choice){"activation_function", activations[1], activations, PM_COUNT(activations)},
            act);
    pm_config_close(&c);
    return s;
}

/* *width: of the vectors so far. The layer's weights are known by its folder: "2_Dense/linear.weight". */
static pm_status read_dense(pm_model *m, const module *from, pm_pool_step *step, int64_t *width) {
    char text[PATH_CHARS];
    dense d;
    int act;
    PM_TRY(read_dense_config(&m->files, file_of(text, from, "config.json"), &d, &act));
    if (d.in != *width)
        return pm_raise(PM_ERR_FILE, "%s: in_features is %" PRId64 ", expected %" PRId64, text, d.in, *width);
    *step = (pm_pool_step){.in = d.in, .out = *width = d.out, .has_act = act != 0, .act = kinds[act]};
    step->dense.weight = pm_model_name(m, file_of(text, from, "linear.weight"), "");
    if (d.bias) step->dense.bias = pm_model_name(m, file_of(text, from, "linear.bias"), "");
    if (!step->dense.weight || (d.bias && !step->dense.bias)) return PM_ERR_MEMORY;
    return pm_checkpoint_add_folder(&m->checkpoint, &m->files, from->path);
}

/* ---- the whole ---- */

static pm_status read_step(pm_model *m, const module *from, int64_t *width) {
    pm_pooling *p = &m->spec.pooling;
    bool is_dense = strcmp(from->kind, "Dense") == 0;
    if (!is_dense && strcmp(from->kind, "Normalize") != 0)
        return pm_raise(PM_ERR_FILE, "%s: type is \"%.60s\" behind the pooling, expected Dense or Normalize",
                        file, from->kind);
    if (p->n_steps == PM_MAX_POOL_STEPS)
        return pm_raise(PM_ERR_FILE, "%s: more than %d modules stand behind the pooling", file,
                        (int)PM_MAX_POOL_STEPS);
    pm_pool_step *step = &p->steps[p->n_steps++];
    step->normalize = !is_dense;
    return is_dense ? read_dense(m, from, step, width) : PM_OK;
}

static pm_status read_list(pm_model *m, const json_t *list) {
    int64_t width = 0;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return pm_raise(PM_ERR_FILE, "%s: is not a list of modules", file);
    for (size_t i = 0; i < json_array_size(list); i++) {
        module at = {0};
        PM_TRY(read_module(list, i, &at));
        if (i == 0 && (strcmp(at.kind, "Transformer") != 0 || *at.path))
            return pm_raise(
                PM_ERR_FILE,
                "%s: the first module is %.60s in \"%s\", expected Transformer in the model's folder", file,
                at.kind, at.path);
        if (i == 1 && strcmp(at.kind, "Pooling") != 0)
            return pm_raise(PM_ERR_FILE, "%s: the second module is %.60s, expected Pooling", file, at.kind);
        if (i == 1) PM_TRY(read_pooling(m, &at, &width));
        if (i > 1) PM_TRY(read_step(m, &at, &width));
    }
    return PM_OK;
}

static pm_status read_modules(pm_model *m) {
    pm_blob blob;
    json_error_t error;
    PM_TRY(pm_files_get(&m->files, file, &blob));
    json_t *list =
        json_loadb(blob.data ? (const char *)blob.data : "", blob.bytes, JSON_REJECT_DUPLICATES, &error);
    pm_blob_close(&blob);
    if (!list) return pm_raise(PM_ERR_FILE, "%s: line %d: %s", file, error.line, error.text);
    pm_status s = read_list(m, list);
    json_decref(list);
    return s;
}

static pm_status read_length(pm_model *m) {
    static const char length_file[] = "sentence_bert_config.json";
    const pm_config_field field = {"max_seq_length", PM_CONFIG_INT, offsetof(pm_pooling, max_length), 0, 1,
                                   1 << 20};
    pm_config c;
    if (!pm_files_has(&m->files, length_file)) return PM_OK;
    PM_TRY(pm_config_open(&m->files, length_file, &c));
    pm_status s = pm_config_read(&c, NULL, &field, 1, &m->spec.pooling);
    pm_config_close(&c);
    return s;
}

/* Folders of vectors often name the class that generates, and have no head for it. */
static void drop_head(pm_model *m) {
    const pm_arch *base = pm_arch_features(m->arch);
    if (!base || pm_checkpoint_has(&m->checkpoint, m->spec.head.weight)) return;
    m->arch = base;
    m->spec.head = (pm_pair){NULL, NULL};
}

pm_status pm_pooling_read(pm_model *m) {
    bool decoder = m->arch->build == pm_causal_build && m->arch->decoder;
    if (!pm_files_has(&m->files, file)) return PM_OK;
    if (!decoder && strcmp(m->arch->task, "features") != 0) return PM_OK;
    if (decoder) drop_head(m);
    PM_TRY(read_modules(m));
    return read_length(m);
}
