/* See config.h. Invariant: what a caller gets is within the range that its table says. */
#include "models/config.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "models/gguf_config.h"

pm_status pm_config_open(const pm_files *f, const char *label, pm_config *out_config) {
    pm_blob blob;
    json_error_t error;
    *out_config = (pm_config){.label = label};
    if (f->gguf && strcmp(label, "config.json") == 0) {
        out_config->label = pm_gguf_label(f->gguf);
        return pm_gguf_config(f->gguf, &out_config->root);
    }
    PM_TRY(pm_files_get(f, label, &blob));
    json_t *root =
        json_loadb(blob.data ? (const char *)blob.data : "", blob.bytes, JSON_REJECT_DUPLICATES, &error);
    pm_blob_close(&blob);
    if (!root) return pm_raise(PM_ERR_FILE, "%s: line %d: %s", label, error.line, error.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return pm_raise(PM_ERR_FILE, "%s: is not a JSON object", label);
    }
    out_config->root = root;
    return PM_OK;
}

void pm_config_close(pm_config *c) {
    json_decref((json_t *)c->root);
    *c = (pm_config){0};
}

/* What stands at a path of keys joined by dots; NULL when it is absent or null. */
static const json_t *at_path(const pm_config *c, const char *path) {
    const json_t *v = c->root;
    while (v && path && *path) {
        size_t n = strcspn(path, ".");
        v = json_is_object(v) ? json_object_getn(v, path, n) : NULL;
        path += n + (path[n] == '.');
    }
    return json_is_null(v) ? NULL : v;
}

/* The object to look in; NULL when it is absent. */
static pm_status find_object(const pm_config *c, const char *inside, const json_t **out) {
    *out = at_path(c, inside);
    if (*out && !json_is_object(*out))
        return pm_raise(PM_ERR_FILE, "%s: %s is not an object", c->label, inside);
    return PM_OK;
}

static const json_t *find_value(const json_t *object, const char *key) {
    const json_t *v = object ? json_object_get(object, key) : NULL;
    return json_is_null(v) ? NULL : v;
}

bool pm_config_has(const pm_config *c, const char *inside, const char *key) {
    const json_t *object = at_path(c, inside);
    return json_is_object(object) && find_value(object, key);
}

size_t pm_config_size(const pm_config *c, const char *key) {
    const json_t *v = json_object_get(c->root, key);
    return json_is_array(v) ? json_array_size(v) : json_object_size(v);
}

static const char *type_text(pm_config_type t) {
    return t == PM_CONFIG_INT ? "an integer" : t == PM_CONFIG_REAL ? "a number" : "true or false";
}

/* The value of one field as a number (bools: 0 or 1), its type and range checked. */
static pm_status read_number(const pm_config *c, const json_t *v, const pm_config_field *f, double *out) {
    bool right = f->type == PM_CONFIG_BOOL  ? json_is_boolean(v)
                 : f->type == PM_CONFIG_INT ? json_is_integer(v)
                                            : json_is_number(v);
    if (!right) {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
        pm_status s = pm_raise(PM_ERR_FILE, "%s: %s is %.40s, %s was expected", c->label, f->key,
                               text ? text : "something else", type_text(f->type));
        free(text);
        return s;
    }
    if (f->type == PM_CONFIG_BOOL) return *out = json_is_true(v), PM_OK;
    *out = json_number_value(v);
    if (*out >= f->min && *out <= f->max) return PM_OK;
    if (f->type == PM_CONFIG_INT)
        return pm_raise(PM_ERR_FILE, "%s: %s is %" JSON_INTEGER_FORMAT ", expected %.0f..%.0f", c->label,
                        f->key, json_integer_value(v), f->min, f->max);
    return pm_raise(PM_ERR_FILE, "%s: %s is %g, expected %g..%g", c->label, f->key, *out, f->min, f->max);
}

static void store(const pm_config_field *f, double value, void *out) {
    char *at = (char *)out + f->offset;
    if (f->type == PM_CONFIG_BOOL) memcpy(at, &(bool){value != 0}, sizeof(bool));
    if (f->type == PM_CONFIG_INT) memcpy(at, &(int64_t){(int64_t)value}, sizeof(int64_t));
    if (f->type == PM_CONFIG_REAL) memcpy(at, &(float){(float)value}, sizeof(float));
}

pm_status pm_config_read(const pm_config *c, const char *inside, const pm_config_field *fields,
                         size_t n_fields, void *out) {
    const json_t *object;
    PM_TRY(find_object(c, inside, &object));
    for (size_t i = 0; i < n_fields; i++) {
        const pm_config_field *f = &fields[i];
        const json_t *v = find_value(object, f->key);
        double value = f->fallback;
        if (v) PM_TRY(read_number(c, v, f, &value));
        if (!v && f->fallback <= PM_CONFIG_REQUIRED)
            return pm_raise(PM_ERR_FILE, "%s: %s%s%s is missing", c->label, inside ? inside : "",
                            inside ? "." : "", f->key);
        store(f, value, out);
    }
    return PM_OK;
}

static pm_status choose(const pm_config *c, const pm_config_choice *choice, const char *text, int *out) {
    if (!text) return pm_raise(PM_ERR_FILE, "%s: %s is not a text", c->label, choice->key);
    for (size_t i = 0; i < choice->n_texts; i++)
        if (strcmp(choice->texts[i], text) == 0) return *out = (int)i, PM_OK;
    pm_text known = {0};
    for (size_t i = 0; i < choice->n_texts; i++) pm_text_add(&known, "%s%s", i ? ", " : "", choice->texts[i]);
    pm_status s = pm_text_status(&known);
    if (s == PM_OK)
        s = pm_raise(PM_ERR_FILE, "%s: %s is \"%.60s\", expected one of: %s", c->label, choice->key, text,
                     known.data);
    pm_text_free(&known);
    return s;
}

pm_status pm_config_choose(const pm_config *c, const char *inside, const pm_config_choice *choice, int *out) {
    const json_t *object;
    PM_TRY(find_object(c, inside, &object));
    const json_t *v = find_value(object, choice->key);
    if (!v && !choice->fallback) return pm_raise(PM_ERR_FILE, "%s: %s is missing", c->label, choice->key);
    return choose(c, choice, v ? json_string_value(v) : choice->fallback, out);
}

pm_status pm_config_choose_each(const pm_config *c, const pm_config_choice *choice, int *out, size_t n) {
    const json_t *list = find_value(c->root, choice->key);
    if (json_array_size(list) != n)
        return pm_raise(PM_ERR_FILE, "%s: %s has %zu entries, %zu were expected", c->label, choice->key,
                        json_array_size(list), n);
    for (size_t i = 0; i < n; i++)
        PM_TRY(choose(c, choice, json_string_value(json_array_get(list, i)), &out[i]));
    return PM_OK;
}

pm_status pm_config_ints(const pm_config *c, const pm_config_field *field, int64_t *out, size_t n) {
    const json_t *list = find_value(c->root, field->key);
    pm_config_field f = *field;
    f.type = PM_CONFIG_INT;
    if (json_is_array(list) && json_array_size(list) != n)
        return pm_raise(PM_ERR_FILE, "%s: %s has %zu entries, %zu were expected", c->label, f.key,
                        json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        double value = f.fallback;
        const json_t *v = json_is_array(list) ? json_array_get(list, i) : list;
        if (v) PM_TRY(read_number(c, v, &f, &value));
        out[i] = (int64_t)value;
    }
    return PM_OK;
}

pm_status pm_config_text(const pm_config *c, const char *key, const char **out) {
    const json_t *v = find_value(c->root, key);
    if (json_is_array(v)) v = json_array_get(v, 0);
    *out = v ? json_string_value(v) : NULL;
    if (v && !*out) return pm_raise(PM_ERR_FILE, "%s: %s is not a text", c->label, key);
    return PM_OK;
}

bool pm_config_names(const pm_config *c, const char *key) {
    return json_object_get(c->root, key) != NULL;
}

/* Some configs write -1 for none. */
static pm_status read_id(const pm_config *c, const char *key, const json_t *id, int64_t *out) {
    if (!json_is_integer(id))
        return pm_raise(PM_ERR_FILE, "%s: %s is not an id or a list of ids", c->label, key);
    *out = json_integer_value(id);
    if (*out < -1 || *out > INT32_MAX)
        return pm_raise(PM_ERR_FILE, "%s: %s is %" JSON_INTEGER_FORMAT ", expected 0..%d", c->label, key,
                        (json_int_t)*out, INT32_MAX);
    return PM_OK;
}

/* out: room for all of them. */
static pm_status read_ids(const pm_config *c, const char *key, const json_t *v, int32_t *out, size_t *out_n) {
    size_t n = !v ? 0 : json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        int64_t id = -1;
        PM_TRY(read_id(c, key, json_is_array(v) ? json_array_get(v, i) : v, &id));
        if (id >= 0) out[(*out_n)++] = (int32_t)id;
    }
    return PM_OK;
}

pm_status pm_config_ids(const pm_config *c, const char *key, int32_t *out, size_t capacity, size_t *out_n) {
    const json_t *v = find_value(c->root, key);
    *out_n = 0;
    if (json_is_array(v) && json_array_size(v) > capacity)
        return pm_raise(PM_ERR_FILE, "%s: %s has %zu ids, at most %zu were expected", c->label, key,
                        json_array_size(v), capacity);
    return read_ids(c, key, v, out, out_n);
}

pm_status pm_config_id_list(const pm_config *c, const char *key, pm_arena *arena, int32_t **out,
                            size_t *out_n) {
    const json_t *v = find_value(c->root, key);
    *out_n = 0;
    *out = pm_arena_alloc(arena, (json_array_size(v) + 1) * sizeof **out);
    return *out ? read_ids(c, key, v, *out, out_n) : PM_ERR_MEMORY;
}

pm_status pm_config_id_lists(const pm_config *c, const char *key, pm_arena *arena, int32_t **out_ids,
                             size_t **out_ends, size_t *out_n) {
    const json_t *v = find_value(c->root, key), *list;
    size_t i, n = 0;
    *out_n = 0;
    if (v && !json_is_array(v)) return pm_raise(PM_ERR_FILE, "%s: %s is not a list of lists", c->label, key);
    json_array_foreach(v, i, list) {
        if (!json_is_array(list) || !json_array_size(list))
            return pm_raise(PM_ERR_FILE, "%s: %s has an entry that is no list of ids", c->label, key);
        n += json_array_size(list);
    }
    *out_ids = pm_arena_alloc(arena, (n + 1) * sizeof **out_ids);
    *out_ends = pm_arena_alloc(arena, (json_array_size(v) + 1) * sizeof **out_ends);
    if (!*out_ids || !*out_ends) return PM_ERR_MEMORY;
    n = 0;
    json_array_foreach(v, i, list) {
        PM_TRY(read_ids(c, key, list, *out_ids, &n));
        (*out_ends)[(*out_n)++] = n;
    }
    return PM_OK;
}

pm_status pm_config_flag_of(const pm_config *c, const char *key, size_t i, bool *out) {
    const json_t *list = find_value(c->root, key), *v = json_array_get(list, i);
    if (!list) return PM_OK;
    if (!json_is_boolean(v))
        return pm_raise(PM_ERR_FILE, "%s: %s has no true or false at %zu, as was expected", c->label, key, i);
    *out = json_is_true(v);
    return PM_OK;
}
