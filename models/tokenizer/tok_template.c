/* What goes around a text: the post-processors of tokenizer.json as one template for a text and one for a pair; cutting and padding. */
#include "models/tokenizer/tok_data.h"

#include <inttypes.h>

enum { LONGEST_FIRST, ONLY_FIRST, ONLY_SECOND, MAX_PADDING = 1 << 20 };

/* ---- templates ---- */

static pm_status add_piece(pm_tok_template *t, int sequence, int64_t id, int64_t type, const char *where) {
    if (t->n == PM_TOK_MAX_TEMPLATE)
        return pm_raise(PM_ERR_FILE, "%s: a template has more than %d pieces", where, PM_TOK_MAX_TEMPLATE);
    if (id < 0 || id >= PM_TOK_MAX_ID || type < 0 || type > 255)
        return pm_raise(PM_ERR_FILE,
                        "%s: a template has id %" PRId64 " of type %" PRId64 ", expected 0..%d and 0..255",
                        where, id, type, PM_TOK_MAX_ID - 1);
    t->piece[t->n].sequence = sequence;
    t->piece[t->n].id = (int32_t)id;
    t->piece[t->n++].type = (uint8_t)type;
    return PM_OK;
}

static pm_status fresh(pm_tok_template **t, const char *where) {
    if (*t) return pm_raise(PM_ERR_FILE, "%s: post_processor: two templates, one was expected", where);
    *t = pm_calloc(1, sizeof **t);
    return *t ? PM_OK : PM_ERR_MEMORY;
}

static pm_status add_special(pm_tok_template *t, const json_t *root, const json_t *special,
                             const char *where) {
    const char *name = json_string_value(json_object_get(special, "id"));
    const json_t *ids =
        json_object_get(json_object_get(json_object_get(root, "special_tokens"), name ? name : ""), "ids");
    if (!name || !json_is_array(ids))
        return pm_raise(PM_ERR_FILE, "%s: TemplateProcessing: special token %.60s has no ids", where,
                        name ? name : "without id");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id))
            return pm_raise(PM_ERR_FILE, "%s: TemplateProcessing: an id of %.60s is no integer", where, name);
        PM_TRY(add_piece(t, -1, json_integer_value(id),
                         json_integer_value(json_object_get(special, "type_id")), where));
    }
    return PM_OK;
}

static pm_status read_pieces(pm_tok_template *t, const json_t *root, const char *key, const char *where) {
    const json_t *list = json_object_get(root, key);
    if (!json_is_array(list))
        return pm_raise(PM_ERR_FILE, "%s: TemplateProcessing: %s is not a list", where, key);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *piece = json_array_get(list, i), *special = json_object_get(piece, "SpecialToken");
        const json_t *sequence = json_object_get(piece, "Sequence");
        const char *id = json_string_value(json_object_get(sequence, "id"));
        if (special) {
            PM_TRY(add_special(t, root, special, where));
        } else if (id && (!strcmp(id, "A") || !strcmp(id, "B"))) {
            PM_TRY(add_piece(t, id[0] - 'A', 0, json_integer_value(json_object_get(sequence, "type_id")),
                             where));
        } else {
            return pm_raise(
                PM_ERR_FILE,
                "%s: TemplateProcessing: piece %zu of %s is neither SpecialToken nor Sequence A or B", where,
                i, key);
        }
    }
    return PM_OK;
}

static pm_status read_template(pm_tokenizer *t, const json_t *json, const char *where) {
    PM_TRY(fresh(&t->single, where));
    PM_TRY(fresh(&t->pair, where));
    PM_TRY(read_pieces(t->single, json, "single", where));
    return read_pieces(t->pair, json, "pair", where);
}

/* ["[SEP]", 102] */
static pm_status read_token(const json_t *json, const char *key, const char *where, int32_t *out) {
    const json_t *v = json_array_get(json_object_get(json, key), 1);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= PM_TOK_MAX_ID)
        return pm_raise(PM_ERR_FILE,
                        "%s: post_processor: %s is not a token and its id, expected [\"%s\", 0..%d]", where,
                        key, key, PM_TOK_MAX_ID - 1);
    *out = (int32_t)json_integer_value(v);
    return PM_OK;
}

pm_status pm_tok_template_set_bert(pm_tokenizer *t, int32_t cls, int32_t sep, bool roberta) {
    static const char where[] = "tokenizer";
    PM_TRY(fresh(&t->single, where));
    PM_TRY(fresh(&t->pair, where));
    for (int pair = 0; pair < 2; pair++) {
        pm_tok_template *to = pair ? t->pair : t->single;
        int64_t type = roberta ? 0 : 1;
        PM_TRY(add_piece(to, -1, cls, 0, where));
        PM_TRY(add_piece(to, 0, 0, 0, where));
        PM_TRY(add_piece(to, -1, sep, 0, where));
        if (pair && roberta) PM_TRY(add_piece(to, -1, sep, 0, where));
        if (pair) PM_TRY(add_piece(to, 1, 0, type, where));
        if (pair) PM_TRY(add_piece(to, -1, sep, type, where));
    }
    return PM_OK;
}

pm_status pm_tok_template_set(pm_tokenizer *t, int32_t before, int32_t after) {
    static const char where[] = "tokenizer";
    PM_TRY(fresh(&t->single, where));
    PM_TRY(fresh(&t->pair, where));
    for (int pair = 0; pair < 2; pair++)
        for (int k = 0; k <= pair; k++) {
            pm_tok_template *to = pair ? t->pair : t->single;
            if (before >= 0) PM_TRY(add_piece(to, -1, before, k, where));
            PM_TRY(add_piece(to, k, 0, k, where));
            if (after >= 0) PM_TRY(add_piece(to, -1, after, k, where));
        }
    return PM_OK;
}

static bool flag_or(const json_t *json, const char *key, bool fallback) {
    const json_t *v = json_object_get(json, key);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

static pm_status read_any(pm_tokenizer *t, const json_t *json, const char *where, int depth) {
    const char *type = json_string_value(json_object_get(json, "type"));
    int32_t cls = -1, sep = -1;
    if (!type) return pm_raise(PM_ERR_FILE, "%s: a post_processor has no type", where);
    if (!strcmp(type, "Sequence")) {
        const json_t *list = json_object_get(json, "processors");
        if (depth == PM_TOK_MAX_DEPTH || !json_is_array(list))
            return pm_raise(PM_ERR_FILE,
                            "%s: post_processor: a Sequence without processors, or more than %d deep", where,
                            PM_TOK_MAX_DEPTH);
        for (size_t i = 0; i < json_array_size(list); i++)
            PM_TRY(read_any(t, json_array_get(list, i), where, depth + 1));
        return PM_OK;
    }
    if (!strcmp(type, "TemplateProcessing")) return read_template(t, json, where);
    bool roberta = !strcmp(type, "RobertaProcessing"), bytes = !strcmp(type, "ByteLevel");
    if ((roberta || bytes) && flag_or(json, "trim_offsets", true)) {
        t->trim_offsets = true;
        t->trim_prefix_space = flag_or(json, "add_prefix_space", true);
    }
    if (bytes) return PM_OK;
    if (!roberta && strcmp(type, "BertProcessing") != 0)
        return pm_raise(
            PM_ERR_FILE,
            "%s: post_processor \"%.60s\" is not supported; docs/tokenizers.md lists those that are", where,
            type);
    PM_TRY(read_token(json, "cls", where, &cls));
    PM_TRY(read_token(json, "sep", where, &sep));
    return pm_tok_template_set_bert(t, cls, sep, roberta);
}

pm_status pm_tok_template_read(pm_tokenizer *t, const json_t *json, const char *where) {
    return !json || json_is_null(json) ? PM_OK : read_any(t, json, where, 0);
}

/* ---- truncation and padding ---- */

static pm_status read_count(const json_t *json, const char *key, int64_t most, const char *where,
                            int64_t *out) {
    const json_t *v = json_object_get(json, key);
    *out = json_is_integer(v) ? json_integer_value(v) : 0;
    if (*out >= 0 && *out <= most && (!v || json_is_null(v) || json_is_integer(v))) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: %s is not an integer in 0..%" PRId64, where, key, most);
}

static bool is_text(const json_t *json, const char *key, const char *text) {
    const char *s = json_string_value(json_object_get(json, key));
    return s && !strcmp(s, text);
}

pm_status pm_tok_length_read(pm_tokenizer *t, const json_t *root, const char *where) {
    const json_t *cut = json_object_get(root, "truncation"), *pad = json_object_get(root, "padding");
    int64_t id = 0, type = 0;
    if (json_is_object(cut)) {
        t->truncation.on = true;
        t->truncation.left = is_text(cut, "direction", "Left");
        t->truncation.strategy = is_text(cut, "strategy", "OnlyFirst")    ? ONLY_FIRST
                                 : is_text(cut, "strategy", "OnlySecond") ? ONLY_SECOND
                                                                          : LONGEST_FIRST;
        PM_TRY(read_count(cut, "max_length", INT64_MAX, where, &t->truncation.max));
    }
    if (!json_is_object(pad)) return PM_OK;
    t->padding.on = true;
    t->padding.left = is_text(pad, "direction", "Left");
    const json_t *strategy = json_object_get(pad, "strategy");
    t->padding.fixed = -1; /* as long as the text */
    if (json_is_object(strategy))
        PM_TRY(read_count(strategy, "Fixed", MAX_PADDING, where, &t->padding.fixed));
    PM_TRY(read_count(pad, "pad_to_multiple_of", MAX_PADDING, where, &t->padding.multiple));
    PM_TRY(read_count(pad, "pad_id", PM_TOK_MAX_ID - 1, where, &id));
    PM_TRY(read_count(pad, "pad_type_id", 255, where, &type));
    t->padding.id = (int32_t)id;
    t->padding.type = (int32_t)type;
    return PM_OK;
}

static size_t n_added(const pm_tok_template *t) {
    size_t n = 0;
    for (size_t i = 0; t && i < t->n; i++) n += t->piece[i].sequence < 0;
    return n;
}

static void cut(pm_encoding *e, size_t n, bool left) {
    if (n >= e->n) return;
    if (left) memmove(e->tokens, e->tokens + (e->n - n), n * sizeof *e->tokens);
    e->n = n;
}

/* The longer text gives first; then both share what there is. */
static void longest_first(size_t most, size_t *a, size_t *b) {
    size_t *less = *a <= *b ? a : b, *more = *a <= *b ? b : a;
    *more = *less > most ? *less : *less > most - *less ? *less : most - *less;
    if (*less + *more <= most) return;
    *less = most / 2;
    *more = most / 2 + most % 2;
}

static pm_status truncate(const pm_tokenizer *t, size_t added, bool pair, pm_encoding parts[2]) {
    size_t max = (uint64_t)t->truncation.max > SIZE_MAX / 2 ? SIZE_MAX / 2 : (size_t)t->truncation.max;
    size_t most = max > added ? max - added : 0;
    cut(&parts[0], max,
        t->truncation.left); /* each text first, as the library does: it shows in who gives more */
    cut(&parts[1], max, t->truncation.left);
    size_t a = parts[0].n, b = parts[1].n;
    if (a + b <= most) return PM_OK;
    size_t over = a + b - most;
    int s = t->truncation.strategy;
    if (s == LONGEST_FIRST && pair)
        longest_first(most, &a, &b);
    else if (s != ONLY_SECOND && a >= over)
        a -= over;
    else if (s == ONLY_SECOND && pair && b > over)
        b -= over;
    else
        return pm_raise(PM_ERR_USAGE, "tokenize: the text cannot be cut to %zu tokens as the file says",
                        most);
    cut(&parts[0], a, t->truncation.left);
    cut(&parts[1], b, t->truncation.left);
    return PM_OK;
}

static pm_status pad(const pm_tokenizer *t, pm_encoding *e) {
    size_t n = e->n, had = e->n, multiple = (size_t)t->padding.multiple;
    if (t->padding.fixed >= 0) n = (size_t)t->padding.fixed;
    if (multiple && n % multiple) n += multiple - n % multiple;
    if (n <= had) return PM_OK;
    pm_token *tokens = pm_realloc_array(e->tokens, n, sizeof *tokens);
    if (!tokens) return PM_ERR_MEMORY;
    e->tokens = tokens;
    if (t->padding.left) memmove(tokens + (n - had), tokens, had * sizeof *tokens);
    for (size_t i = 0; i < n - had; i++)
        tokens[t->padding.left ? i : had + i] = (pm_token){
            .id = t->padding.id, .sequence = -1, .type_id = (uint8_t)t->padding.type, .padding = true};
    e->n = n;
    return PM_OK;
}

/* The texts' tokens, in `parts`, into the template. */
static pm_status fill(const pm_tok_template *t, bool special, const pm_encoding parts[2], pm_encoding *out) {
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) n += t->piece[i].sequence < 0 ? special : parts[t->piece[i].sequence].n;
    out->tokens = pm_calloc(n ? n : 1, sizeof *out->tokens);
    if (!out->tokens) return PM_ERR_MEMORY;
    for (size_t i = 0; i < t->n; i++) {
        int sequence = t->piece[i].sequence;
        if (sequence < 0 && special)
            out->tokens[out->n++] =
                (pm_token){.id = t->piece[i].id, .sequence = -1, .type_id = t->piece[i].type};
        for (size_t k = 0; sequence >= 0 && k < parts[sequence].n; k++) {
            out->tokens[out->n] = parts[sequence].tokens[k];
            out->tokens[out->n++].type_id = t->piece[i].type;
        }
    }
    return PM_OK;
}

pm_status pm_tok_finish_encoding(const pm_tokenizer *t, const pm_encode_options *o, pm_encoding parts[2],
                                 pm_encoding *out) {
    static const pm_tok_template plain[2] = {{1, {{0, 0, 0}}}, {2, {{0, 0, 0}, {1, 0, 1}}}};
    const pm_tok_template *have = o->pair ? t->pair : t->single;
    if (o->apply_length && t->truncation.on)
        PM_TRY(truncate(t, o->add_special ? n_added(have) : 0, o->pair != NULL, parts));
    PM_TRY(fill(have ? have : &plain[o->pair != NULL], o->add_special, parts, out));
    return o->apply_length && t->padding.on ? pad(t, out) : PM_OK;
}
