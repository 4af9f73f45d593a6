/* Reading the components of tokenizer.json: a table row says which fields a component has; sequences are flattened to one list. */
#include "models/tokenizer/tok_data.h"

#include <inttypes.h>

static pm_status read_field(pm_tok_component *c, const pm_tok_field *f, const json_t *object,
                            const char *where) {
    const json_t *v = json_object_get(object, f->key);
    if (json_is_null(v)) v = NULL;
    if (!v && f->required)
        return pm_raise(PM_ERR_FILE, "%s: %s: %s is missing", where, c->kind->name, f->key);
    bool right = !v || (f->type == PM_TOK_FLAG     ? json_is_boolean(v)
                        : f->type == PM_TOK_NUMBER ? json_is_integer(v)
                                                   : json_is_string(v));
    if (!right)
        return pm_raise(PM_ERR_FILE, "%s: %s: %s is not %s", where, c->kind->name, f->key,
                        f->type == PM_TOK_FLAG     ? "true or false"
                        : f->type == PM_TOK_NUMBER ? "an integer"
                                                   : "a text");
    if (f->type == PM_TOK_FLAG) c->flag[f->slot] = v ? json_is_true(v) : f->fallback != 0;
    if (f->type == PM_TOK_NUMBER) c->number[f->slot] = v ? json_integer_value(v) : f->fallback;
    if (f->type != PM_TOK_TEXT || (!v && !f->fallback_text)) return PM_OK;
    const char *text = v ? json_string_value(v) : f->fallback_text;
    size_t n = v ? json_string_length(v) : strlen(text);
    pm_free(c->text[f->slot]);
    char *copy = c->text[f->slot] = pm_alloc(n + 1);
    if (!copy) return PM_ERR_MEMORY;
    memcpy(copy, text, n);
    copy[n] = 0;
    c->text_n[f->slot] = n;
    return PM_OK;
}

static void free_component(pm_tok_component *c) {
    for (size_t i = 0; i < PM_COUNT(c->text); i++) pm_free(c->text[i]);
    pm_free(c->pattern.text);
    pm_tok_regex_close(c->pattern.regex);
    pm_free(c->data);
}

static const pm_tok_kind *find_kind(const pm_tok_family *family, const char *name) {
    for (size_t i = 0; i < family->n_kinds; i++)
        if (!strcmp(family->kinds[i].name, name)) return &family->kinds[i];
    return NULL;
}

static pm_status read_component(pm_tok_pipeline *p, const pm_tok_family *family, const json_t *json,
                                const char *where) {
    const char *type = json_string_value(json_object_get(json, "type"));
    const pm_tok_kind *kind = find_kind(family, type);
    if (!kind)
        return pm_raise(PM_ERR_FILE,
                        "%s: %s \"%.60s\" is not supported; docs/tokenizers.md lists those that are", where,
                        family->what, type);
    if (p->n == PM_TOK_MAX_COMPONENTS)
        return pm_raise(PM_ERR_FILE, "%s: more than %d %ss", where, PM_TOK_MAX_COMPONENTS, family->what);
    if (!p->c) p->c = pm_calloc(PM_TOK_MAX_COMPONENTS, sizeof *p->c);
    if (!p->c) return PM_ERR_MEMORY;
    pm_tok_component *c = &p->c[p->n++]; /* freed with the pipeline, however far it came */
    c->kind = kind;
    for (const pm_tok_field *f = kind->fields; f && f->key; f++) PM_TRY(read_field(c, f, json, where));
    return kind->setup ? kind->setup(c, json, where) : PM_OK;
}

static pm_status read_any(pm_tok_pipeline *p, const pm_tok_family *family, const json_t *json,
                          const char *where, int depth) {
    if (!json || json_is_null(json)) return PM_OK;
    const char *type = json_string_value(json_object_get(json, "type"));
    if (!type) return pm_raise(PM_ERR_FILE, "%s: a %s has no type", where, family->what);
    if (strcmp(type, "Sequence") != 0) return read_component(p, family, json, where);
    if (depth == PM_TOK_MAX_DEPTH)
        return pm_raise(PM_ERR_FILE, "%s: %ss: sequences within sequences, more than %d deep", where,
                        family->what, PM_TOK_MAX_DEPTH);
    const json_t *list = json_object_get(json, family->sequence);
    if (!json_is_array(list))
        return pm_raise(PM_ERR_FILE, "%s: a %s's Sequence has no list %s", where, family->what,
                        family->sequence);
    for (size_t i = 0; i < json_array_size(list); i++)
        PM_TRY(read_any(p, family, json_array_get(list, i), where, depth + 1));
    return PM_OK;
}

pm_status pm_tok_pipeline_read(pm_tok_pipeline *p, const pm_tok_family *family, const json_t *json,
                               const char *where) {
    return read_any(p, family, json, where, 0);
}

pm_status pm_tok_pipeline_read_text(pm_tok_pipeline *p, const pm_tok_family *family, const char *text,
                                    const char *where) {
    json_error_t error;
    json_t *json = json_loads(text, 0, &error);
    if (!json) return pm_raise(PM_ERR_OTHER, "%s: a %s of ours: %s", where, family->what, error.text);
    pm_status s = pm_tok_pipeline_read(p, family, json, where);
    json_decref(json);
    return s;
}

void pm_tok_pipeline_free(pm_tok_pipeline *p) {
    for (size_t i = 0; i < p->n; i++) free_component(&p->c[i]);
    pm_free(p->c);
    *p = (pm_tok_pipeline){0};
}

/* ---- patterns: a literal or a regular expression ---- */

pm_status pm_tok_pattern_read(pm_tok_pattern *p, const json_t *json, const char *where) {
    const json_t *regex = json_object_get(json, "Regex"), *literal = json_object_get(json, "String");
    if (json_is_string(json)) literal = json;
    if (!json_is_string(regex) && !json_is_string(literal))
        return pm_raise(PM_ERR_FILE, "%s: a pattern is neither {\"String\": ...} nor {\"Regex\": ...}",
                        where);
    if (json_is_string(regex)) {
        if (strlen(json_string_value(regex)) != json_string_length(regex))
            return pm_raise(PM_ERR_FILE, "%s: a regular expression has a zero byte", where);
        return pm_tok_regex_open(json_string_value(regex), where, &p->regex);
    }
    p->n = json_string_length(literal);
    p->text = pm_alloc(p->n + 1);
    if (!p->text) return PM_ERR_MEMORY;
    memcpy(p->text, json_string_value(literal), p->n);
    return PM_OK;
}

pm_status pm_tok_finder_open(pm_tok_finder *f, const pm_tok_pattern *p, const char *s, size_t n) {
    *f = (pm_tok_finder){.pattern = p, .s = s, .n = n};
    return p->regex ? pm_tok_match_open(p->regex, s, n, &f->match) : PM_OK;
}

pm_status pm_tok_finder_next(pm_tok_finder *f, bool *out_found, size_t *out_begin, size_t *out_end) {
    if (f->match) return pm_tok_match_next(f->match, out_found, out_begin, out_end);
    size_t n = f->pattern->n;
    *out_found = false;
    while (n && n <= f->n && f->at <= f->n - n) {
        const char *hit = memchr(f->s + f->at, f->pattern->text[0], f->n - n - f->at + 1);
        if (!hit) break;
        size_t at = (size_t)(hit - f->s);
        f->at = at + 1;
        if (memcmp(hit, f->pattern->text, n) != 0) continue;
        f->at = *out_end = at + n;
        *out_begin = at;
        *out_found = true;
        break;
    }
    return PM_OK;
}

void pm_tok_finder_close(pm_tok_finder *f) {
    pm_tok_match_close(f->match);
    f->match = NULL;
}
