/* See pumice/chat.h: a conversation as its model's family writes it. */
#include "models/chat_style.h"

#include <jansson.h>
#include <string.h>

#include "models/model_text.h"

/* ---- writing ---- */

static pm_status check_messages(const pm_chat_style *s, const pm_chat_message *m, size_t n) {
    static const char *const roles[] = {"system", "user", "assistant"};
    if (n == 0) return pm_raise(PM_ERR_USAGE, "chat: has no messages");
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < PM_COUNT(roles); k++) known |= !strcmp(m[i].role, roles[k]);
        if (!known)
            return pm_raise(PM_ERR_USAGE,
                            "chat: message %zu has role \"%.40s\", expected system, user or assistant", i + 1,
                            m[i].role);
        if (i && !strcmp(m[i].role, "system"))
            return pm_raise(PM_ERR_USAGE, "chat: message %zu is the system's, which can only be the first",
                            i + 1);
    }
    bool system = !strcmp(m[0].role, "system");
    if (system && s->system_place == CHAT_SYSTEM_NONE)
        return pm_raise(PM_ERR_USAGE, "chat: the model's template (%s) takes no system message", s->family);
    if (!system && s->needs_system)
        return pm_raise(
            PM_ERR_USAGE,
            "chat: the model's template (%s) has a system message of its own that is not read here, give one "
            "(--system)",
            s->family);
    return PM_OK;
}

static void add_trimmed(pm_text *t, const char *s, bool trims) {
    size_t n = strlen(s);
    static const char blanks[] = " \t\n\r\v\f";
    while (trims && n && strchr(blanks, s[n - 1])) n--;
    size_t skip = trims ? strspn(s, blanks) : 0;
    if (skip < n) pm_text_add_bytes(t, s + skip, n - skip);
}

static void begin_turn(pm_text *t, const chat_turn *turn, const char *role) {
    pm_text_add(t, "%s%s%s", turn->before, turn->names_role ? role : "", turn->between);
}

static const char *behind_thoughts(const char *s, bool drops_lines) {
    const char *at, *whole = s;
    static const char mark[] = "</think>";
    while ((at = strstr(s, mark)) != NULL) s = at + sizeof mark - 1;
    return drops_lines && s != whole ? s + strspn(s, "\n") : s;
}

static void add_message(pm_text *t, const pm_chat_style *s, const pm_chat_message *m, const char *system) {
    bool user = !strcmp(m->role, "user");
    const chat_turn *turn = user ? &s->user : &s->assistant;
    pm_text content = {0};
    begin_turn(t, turn, user ? "user" : s->assistant_role);
    if (system && s->system_place != CHAT_SYSTEM_TURN)
        pm_text_add(&content, "%s%s%s", s->system_before, system, s->system_after);
    bool whole = content.length > 0 && !strcmp(s->family, "Gemma"); /* trims the message alone */
    if (whole) pm_text_add_bytes(t, content.data, content.length);
    if (whole) content.length = 0;
    pm_text_add(&content, "%s",
                !user && s->drops_thoughts ? behind_thoughts(m->content, s->drops_lines) : m->content);
    add_trimmed(t, content.data ? content.data : "", turn->trims);
    t->failed |= content.failed;
    pm_text_free(&content);
    pm_text_add(t, "%s", turn->after);
}

static void add_system(pm_text *t, const pm_chat_style *s, const char *system) {
    if (!system && !s->system_preamble) return;
    begin_turn(t, &s->system, s->system_role);
    pm_text_add(t, "%s", s->system_preamble ? s->system_preamble : "");
    add_trimmed(t, system ? system : "", s->system.trims);
    pm_text_add(t, "%s", s->system.after);
}

static pm_status write(const pm_chat_style *s, const pm_chat_message *m, size_t n, pm_text *t) {
    PM_TRY(check_messages(s, m, n));
    size_t first = !strcmp(m[0].role, "system"), last = n;
    const char *system = first ? m[0].content : s->default_system;
    while (last > first && strcmp(m[last - 1].role, "user") != 0) last--;
    pm_text_add(t, "%s", s->begin);
    if (s->system_place == CHAT_SYSTEM_TURN) add_system(t, s, system);
    for (size_t i = first; i < n; i++) {
        bool here = s->system_place == CHAT_SYSTEM_LAST ? i + 1 == last : i == first;
        add_message(t, s, &m[i], here ? system : NULL);
    }
    pm_text_add(t, "%s", s->end);
    return pm_text_status(t);
}

pm_status pm_chat_render_template(const pm_chat_template *t, const pm_chat_message *messages, size_t n,
                                  char **out_text) {
    pm_chat_style style;
    pm_text text = {0};
    *out_text = NULL;
    pm_status s = pm_chat_style_read(t, &style);
    if (s == PM_OK) s = write(&style, messages, n, &text);
    pm_chat_style_close(&style);
    if (s == PM_OK)
        *out_text = text.data;
    else
        pm_text_free(&text);
    return s;
}

/* ---- a model's own template ---- */

typedef struct own_template {
    char *text;
    char *bos, *eos;
} own_template;

/* A text, or the "content" of an added token; or of a list of named templates the one called "default". */
static const char *text_of(const json_t *v) {
    const json_t *entry;
    size_t i;
    if (json_is_object(v)) v = json_object_get(v, "content");
    json_array_foreach(v, i, entry) {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && !strcmp(name, "default")) return json_string_value(json_object_get(entry, "template"));
    }
    return json_string_value(v);
}

static pm_status copy(const char *s, char **out) {
    if (!s || *out) return PM_OK;
    *out = pm_strdup(s);
    return *out ? PM_OK : PM_ERR_MEMORY;
}

static pm_status take_object(const json_t *root, own_template *out) {
    PM_TRY(copy(text_of(json_object_get(root, "chat_template")), &out->text));
    PM_TRY(copy(text_of(json_object_get(root, "bos_token")), &out->bos));
    return copy(text_of(json_object_get(root, "eos_token")), &out->eos);
}

static pm_status take_file(const pm_files *f, const char *name, own_template *out) {
    pm_config c;
    if (!pm_files_has(f, name)) return PM_OK;
    PM_TRY(pm_config_open(f, name, &c));
    pm_status s = take_object(c.root, out);
    pm_config_close(&c);
    return s;
}

static pm_status take_whole_file(const pm_files *f, const char *name, own_template *out) {
    pm_blob blob;
    if (!pm_files_has(f, name)) return PM_OK;
    PM_TRY(pm_files_get(f, name, &blob));
    out->text = pm_calloc(blob.bytes + 1, 1);
    if (out->text && blob.bytes) memcpy(out->text, blob.data, blob.bytes);
    pm_blob_close(&blob);
    return out->text ? PM_OK : PM_ERR_MEMORY;
}

static pm_status copy_gguf(pm_gguf_text from, char **out) {
    *out = pm_calloc((size_t)from.n + 1, 1);
    if (*out && from.n) memcpy(*out, from.s, (size_t)from.n);
    return *out ? PM_OK : PM_ERR_MEMORY;
}

static pm_status take_gguf(const pm_gguf *g, own_template *out) {
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"};
    char **to[] = {&out->bos, &out->eos};
    pm_gguf_text text;
    int64_t id;
    if (pm_gguf_string(g, "tokenizer.chat_template", &text)) PM_TRY(copy_gguf(text, &out->text));
    for (size_t i = 0; i < PM_COUNT(keys); i++)
        if (pm_gguf_int(g, keys[i], &id) && id >= 0 &&
            pm_gguf_string_at(g, "tokenizer.ggml.tokens", (uint64_t)id, &text))
            PM_TRY(copy_gguf(text, to[i]));
    return PM_OK;
}

/* chat_template.jinja comes over tokenizer_config.json's; special_tokens_map.json and the tokenizer itself know tokens that it lacks. */
static pm_status take_own(const pm_model *m, own_template *out) {
    const int32_t ids[] = {m->info.bos_id, m->info.eos_id};
    char **to[] = {&out->bos, &out->eos};
    if (m->files.gguf) return take_gguf(m->files.gguf, out);
    PM_TRY(take_whole_file(&m->files, "chat_template.jinja", out));
    PM_TRY(take_file(&m->files, "tokenizer_config.json", out));
    PM_TRY(take_file(&m->files, "special_tokens_map.json", out));
    for (size_t i = 0; i < PM_COUNT(ids); i++) {
        size_t n = 0;
        const char *token = *to[i] || ids[i] < 0 ? NULL : pm_tokenizer_token(m->tokenizer[0], ids[i], &n);
        if (token) PM_TRY(copy_gguf((pm_gguf_text){token, n}, to[i]));
    }
    return PM_OK;
}

pm_status pm_chat_render(const pm_model *m, const pm_chat_message *messages, size_t n, char **out_text) {
    own_template own = {0};
    *out_text = NULL;
    PM_TRY(pm_model_want_tokenizer(m));
    pm_status s = take_own(m, &own);
    if (s == PM_OK && !own.text)
        s = pm_raise(PM_ERR_USAGE,
                     "chat: %s has no chat template (tokenizer_config.json, chat_template.jinja)",
                     m->files.path);
    if (s == PM_OK)
        s = pm_chat_render_template(&(pm_chat_template){own.text, own.bos, own.eos}, messages, n, out_text);
    pm_free(own.text);
    pm_free(own.bos);
    pm_free(own.eos);
    return s;
}

pm_status pm_chat_encode(const pm_model *m, const pm_chat_message *messages, size_t n, int32_t **out_ids,
                         size_t *out_n) {
    char *text;
    *out_ids = NULL;
    *out_n = 0;
    PM_TRY(pm_chat_render(m, messages, n, &text));
    pm_status s = pm_model_encode_with(m, text, false, out_ids, out_n);
    pm_release(text);
    return s;
}
