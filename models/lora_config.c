/* See lora_config.h. */
#include "models/lora_config.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/tokenizer/tok_data.h"

static const char where[] = "adapter_config.json";
enum { MAX_RANK = 65536 };

static const pm_config_field fields[] = {
    {"r", PM_CONFIG_INT, offsetof(pm_lora_config, r), PM_CONFIG_REQUIRED, 1, MAX_RANK},
    {"lora_alpha", PM_CONFIG_REAL, offsetof(pm_lora_config, alpha), PM_CONFIG_REQUIRED, -1e6, 1e6},
    {"use_rslora", PM_CONFIG_BOOL, offsetof(pm_lora_config, rslora), 0, 0, 1},
    {"fan_in_fan_out", PM_CONFIG_BOOL, offsetof(pm_lora_config, transposed), 0, 0, 1},
};

/* Keys that are read, and keys that change nothing of what is merged. Any other must be null, false or empty. */
static const char *const known_keys[] = {"r",
                                         "lora_alpha",
                                         "rank_pattern",
                                         "alpha_pattern",
                                         "use_rslora",
                                         "fan_in_fan_out",
                                         "bias",
                                         "peft_type",
                                         "target_modules",
                                         "modules_to_save",
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
    pm_status s =
        pm_raise(PM_ERR_FILE, "%s: %s is %.60s, %s", where, key, text ? text : "something else", expected);
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

static pm_status check_list(const json_t *root, const char *key) {
    const json_t *list = json_object_get(root, key), *v;
    size_t i;
    if (!list || json_is_null(list)) return PM_OK;
    bool texts = json_is_array(list);
    json_array_foreach(list, i, v) texts &= json_is_string(v) != 0;
    return texts ? PM_OK : refuse_key(key, list, "a list of names was expected");
}

static pm_status check_patterns(const json_t *root, const char *key, bool whole) {
    json_t *list = json_object_get(root, key), *v;
    const char *name;
    if (!list || json_is_null(list)) return PM_OK;
    bool numbers = json_is_object(list);
    json_object_foreach(list, name, v) {
        double x = json_number_value(v);
        numbers &=
            whole ? json_is_integer(v) && x >= 1 && x <= MAX_RANK : json_is_number(v) && fabs(x) <= 1e6;
    }
    return numbers ? PM_OK
                   : refuse_key(key, list,
                                whole ? "ranks from 1 to 65536 were expected" : "numbers were expected");
}

static pm_status read_keys(pm_lora_config *c) {
    static const char *const types[] = {"LORA"}, *const biases[] = {"none", "all", "lora_only"};
    const json_t *root = c->file.root;
    const char *key;
    json_t *v;
    int choice;
    pm_lora_config read = {0};
    PM_TRY(pm_config_choose(&c->file, NULL, &(pm_config_choice){"peft_type", "LORA", types, 1}, &choice));
    PM_TRY(pm_config_choose(&c->file, NULL, &(pm_config_choice){"bias", "none", biases, 3}, &choice));
    PM_TRY(pm_config_read(&c->file, NULL, fields, PM_COUNT(fields), &read));
    read.file = c->file;
    read.biases = choice != 0;
    *c = read;
    json_object_foreach(c->file.root, key, v) {
        if (!is_known(key) && !is_empty(v)) return refuse_key(key, v, "which is not read");
    }
    PM_TRY(check_list(root, "modules_to_save"));
    PM_TRY(check_patterns(root, "rank_pattern", true));
    PM_TRY(check_patterns(root, "alpha_pattern", false));
    return check_start(json_object_get(root, "init_lora_weights"));
}

pm_status pm_lora_config_open(const pm_files *f, pm_lora_config *out) {
    *out = (pm_lora_config){0};
    PM_TRY(pm_config_open(f, where, &out->file));
    return read_keys(out);
}

void pm_lora_config_close(pm_lora_config *c) {
    pm_config_close(&c->file);
}

/* ---- modules ---- */

/* Whether the pattern, from some "." or the beginning on, is all of the rest of the name. */
static pm_status matches(const char *pattern, const char *module, bool *out) {
    pm_tok_regex *regex = NULL;
    pm_tok_match *match = NULL;
    size_t begin, end;
    pm_text whole = {0};
    *out = false;
    pm_text_add(&whole, "\\A(?:.*\\.)?(?:%s)\\z", pattern);
    pm_status s = pm_text_status(&whole);
    if (s == PM_OK) s = pm_tok_regex_open(whole.data, where, &regex);
    if (s == PM_OK) s = pm_tok_match_open(regex, module, strlen(module), &match);
    if (s == PM_OK) s = pm_tok_match_next(match, out, &begin, &end);
    pm_tok_match_close(match);
    pm_tok_regex_close(regex);
    pm_text_free(&whole);
    return s;
}

/* *out stays where no pattern matches. */
static pm_status of_pattern(const pm_lora_config *c, const char *key, const char *module, double *out) {
    json_t *list = json_object_get(c->file.root, key), *v;
    const char *pattern;
    json_object_foreach(list, pattern, v) {
        bool found;
        PM_TRY(matches(pattern, module, &found));
        if (!found) continue;
        *out = json_number_value(v);
        return PM_OK;
    }
    return PM_OK;
}

pm_status pm_lora_config_of(const pm_lora_config *c, const char *module, int64_t *out_r, double *out_scale) {
    double r = (double)c->r, alpha = (double)c->alpha;
    PM_TRY(of_pattern(c, "rank_pattern", module, &r));
    PM_TRY(of_pattern(c, "alpha_pattern", module, &alpha));
    *out_r = (int64_t)r;
    *out_scale = alpha / (c->rslora ? sqrt(r) : r);
    return PM_OK;
}

/* `text` is the last parts of the name. */
static bool ends_in_parts(const char *name, size_t n, const char *text) {
    size_t m = strlen(text);
    return n >= m && memcmp(name + n - m, text, m) == 0 && (n == m || name[n - m - 1] == '.');
}

bool pm_lora_config_targets(const pm_lora_config *c, const char *module) {
    const json_t *list = json_object_get(c->file.root, "target_modules"), *v;
    size_t i;
    if (!json_is_array(list)) return true;
    json_array_foreach(list, i, v) {
        const char *text = json_string_value(v);
        if (text && ends_in_parts(module, strlen(module), text)) return true;
    }
    return false;
}

bool pm_lora_config_saves(const pm_lora_config *c, const char *module) {
    const json_t *list = json_object_get(c->file.root, "modules_to_save"), *v;
    size_t i;
    json_array_foreach(list, i, v) {
        const char *text = json_string_value(v);
        for (const char *dot = module; dot; dot = strchr(dot + 1, '.')) {
            const char *end = strchr(dot + 1, '.');
            if (ends_in_parts(module, end ? (size_t)(end - module) : strlen(module), text)) return true;
        }
    }
    return false;
}
