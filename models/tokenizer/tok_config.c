/* The small files beside a vocabulary: tokenizer_config.json, config.json, special_tokens_map.json, added_tokens.json. */
#include "models/tokenizer/tok_data.h"

#include <ctype.h>
#include <stdlib.h>

static pm_status load(const pm_files *f, const char *name, json_t **out) {
    *out = NULL;
    return pm_files_has(f, name) ? pm_tok_json_load(f, name, out) : PM_OK;
}

pm_status pm_tok_config_open(pm_tok_config *c, const pm_files *f) {
    *c = (pm_tok_config){0};
    pm_status s = load(f, "tokenizer_config.json", &c->tokenizer);
    if (s == PM_OK) s = load(f, "config.json", &c->model);
    if (s == PM_OK) s = load(f, "special_tokens_map.json", &c->special);
    if (s != PM_OK) pm_tok_config_close(c);
    return s;
}

void pm_tok_config_close(pm_tok_config *c) {
    json_decref(c->tokenizer);
    json_decref(c->model);
    json_decref(c->special);
    *c = (pm_tok_config){0};
}

static bool begins_with(const char *s, const char *family) {
    for (; *family; s++) {
        if (*s == '-' || *s == '_') continue;
        if (tolower((unsigned char)*s) != *family++) return false;
    }
    return true;
}

bool pm_tok_config_is(const pm_tok_config *c, const char *family) {
    const char *class = json_string_value(json_object_get(c->tokenizer, "tokenizer_class"));
    const char *type = json_string_value(json_object_get(c->model, "model_type"));
    if (class && strcmp(class, "PreTrainedTokenizerFast") != 0) return begins_with(class, family);
    return type && begins_with(type, family);
}

bool pm_tok_config_flag(const pm_tok_config *c, const char *key, bool fallback) {
    const json_t *v = json_object_get(c->tokenizer, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static const char *token_text(const json_t *v) {
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

const char *pm_tok_config_token(const pm_tok_config *c, const char *key, const char *fallback) {
    const json_t *v = json_object_get(c->tokenizer, key);
    if (!v) v = json_object_get(c->special, key);
    if (json_is_null(v) && v) return NULL;
    const char *s = token_text(v);
    return s ? s : fallback;
}

/* The tokens that the special keys name. mask_token may carry lstrip. */
static pm_status add_named(const pm_tok_config *c, pm_tokenizer *t) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < PM_COUNT(keys); i++) {
        const json_t *v = json_object_get(c->special, keys[i]);
        if (!json_is_object(v)) v = json_object_get(c->tokenizer, keys[i]);
        const char *s = pm_tok_config_token(c, keys[i], NULL);
        int32_t id = s ? pm_tokenizer_find(t, s, strlen(s)) : -1;
        if (id < 0) continue;
        pm_tok_added_token like = {.id = id, .special = true};
        like.left_strip = json_is_true(json_object_get(v, "lstrip"));
        like.right_strip = json_is_true(json_object_get(v, "rstrip"));
        PM_TRY(pm_tok_added_token_add(t, s, strlen(s), &like));
    }
    return PM_OK;
}

static pm_status add_map(const pm_files *f, pm_tokenizer *t) {
    const char *token;
    json_t *json, *id;
    pm_status s = PM_OK;
    PM_TRY(load(f, "added_tokens.json", &json));
    json_object_foreach(json, token, id) {
        pm_tok_added_token like = {.id = json_is_integer(id) && json_integer_value(id) < PM_TOK_MAX_ID
                                             ? (int32_t)json_integer_value(id)
                                             : -1};
        if (like.id < 0)
            s = pm_raise(PM_ERR_FILE, "added_tokens.json: token %.60s has no id in 0..%d", token,
                         PM_TOK_MAX_ID - 1);
        if (s == PM_OK) s = pm_tok_added_token_add(t, token, strlen(token), &like);
        if (s != PM_OK) break;
    }
    json_decref(json);
    return s;
}

pm_status pm_tok_config_added(const pm_tok_config *c, const pm_files *f, pm_tokenizer *t) {
    const char *key;
    json_t *list = json_object_get(c->tokenizer, "added_tokens_decoder"), *token;
    json_object_foreach(list, key, token)
        PM_TRY(pm_tok_read_added(t, token, strtoll(key, NULL, 10), "tokenizer_config.json"));
    if (!list) PM_TRY(add_map(f, t));
    return add_named(c, t);
}
