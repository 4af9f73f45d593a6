/* The pre-tokenizers and their table. Each reads one piece and appends pieces; those that change the text (byte level, Metaspace)
 * write the changed text. */
#include "models/tokenizer/tok_data.h"

/* ---- splitting: what is found, and what becomes of it ---- */

typedef enum behavior { REMOVED, ISOLATED, MERGED_PREVIOUS, MERGED_NEXT, CONTIGUOUS } behavior;
static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};

/* A splitter is told of parts of the text in order, matches and what is between, and cuts. */
typedef struct splitter {
    behavior how;
    pm_tok_view in;
    pm_tok_pieces *out;
    size_t open, end; /* the part that waits: [open,end) */
    bool waits, was_match;
} splitter;

static pm_status flush(splitter *s) {
    bool waits = s->waits;
    s->waits = false;
    return waits ? pm_tok_pieces_copy(s->out, s->in, s->open, s->end) : PM_OK;
}

static pm_status part(splitter *s, size_t begin, size_t end, bool match) {
    bool joins = false;
    if (s->how == REMOVED && match) return PM_OK;
    if (s->how == CONTIGUOUS) joins = match == s->was_match;
    if (s->how == MERGED_PREVIOUS) joins = match && !s->was_match;
    if (s->how == MERGED_NEXT) joins = s->was_match && !match;
    s->was_match = match;
    if (!joins || !s->waits) {
        PM_TRY(flush(s));
        s->open = begin;
    }
    s->end = end;
    s->waits = true;
    return PM_OK;
}

typedef bool (*char_class)(int32_t c);

/* Each character of a class is a match. */
static pm_status split_class(char_class is, behavior how, pm_tok_view in, pm_tok_pieces *out) {
    splitter s = {.how = how, .in = in, .out = out};
    size_t last = 0, k;
    int32_t c;
    for (size_t i = 0; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &c);
        if (!is(c)) continue;
        if (last < i) PM_TRY(part(&s, last, i, false));
        PM_TRY(part(&s, i, i + k, true));
        last = i + k;
    }
    if (last < in.n) PM_TRY(part(&s, last, in.n, false));
    return flush(&s);
}

static pm_status split_pattern(const pm_tok_pattern *p, behavior how, bool invert, pm_tok_view in,
                               pm_tok_pieces *out) {
    splitter s = {.how = how, .in = in, .out = out};
    pm_tok_finder f;
    size_t last = 0, begin, end;
    bool found;
    PM_TRY(pm_tok_finder_open(&f, p, in.s, in.n));
    pm_status status = pm_tok_finder_next(&f, &found, &begin, &end);
    while (status == PM_OK && found) {
        if (last < begin) status = part(&s, last, begin, invert);
        if (status == PM_OK) status = part(&s, begin, end, !invert);
        last = end;
        if (status == PM_OK) status = pm_tok_finder_next(&f, &found, &begin, &end);
    }
    pm_tok_finder_close(&f);
    PM_TRY(status);
    if (last < in.n) PM_TRY(part(&s, last, in.n, invert));
    return flush(&s);
}

static pm_status read_behavior(pm_tok_component *c, const json_t *json, behavior fallback,
                               const char *where) {
    const json_t *v = json_object_get(json, "behavior");
    c->number[0] = fallback;
    for (size_t i = 0; v && i < PM_COUNT(behaviors); i++)
        if (json_is_string(v) && !strcmp(json_string_value(v), behaviors[i]))
            return c->number[0] = (int64_t)i, PM_OK;
    if (!v) return PM_OK;
    return pm_raise(
        PM_ERR_FILE,
        "%s: %s: behavior is \"%.40s\", expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous",
        where, c->kind->name, json_is_string(v) ? json_string_value(v) : "no text");
}

enum { INVERT };
static const pm_tok_field split_fields[] = {{"invert", PM_TOK_FLAG, INVERT, false, 0, NULL}, {0}};

static pm_status split_setup(pm_tok_component *c, const json_t *json, const char *where) {
    PM_TRY(read_behavior(c, json, REMOVED, where));
    return pm_tok_pattern_read(&c->pattern, json_object_get(json, "pattern"), where);
}

static pm_status split(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    return split_pattern(&c->pattern, (behavior)c->number[0], c->flag[INVERT], in, out);
}

static pm_status delimiter_setup(pm_tok_component *c, const json_t *json, const char *where) {
    const json_t *v = json_object_get(json, "delimiter");
    int32_t ch;
    if (!json_is_string(v) || json_string_length(v) == 0 ||
        pm_tok_char(json_string_value(v), json_string_length(v), &ch) != json_string_length(v))
        return pm_raise(PM_ERR_FILE, "%s: CharDelimiterSplit: delimiter is not one character", where);
    c->number[0] = REMOVED;
    return pm_tok_pattern_read(&c->pattern, v, where);
}

static pm_status punctuation_setup(pm_tok_component *c, const json_t *json, const char *where) {
    return read_behavior(c, json, ISOLATED, where);
}

static pm_status punctuation(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    return split_class(pm_tok_is_punctuation, (behavior)c->number[0], in, out);
}

static const pm_tok_field digits_fields[] = {{"individual_digits", PM_TOK_FLAG, 0, false, 0, NULL}, {0}};

static pm_status digits(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    return split_class(pm_tok_is_number, c->flag[0] ? ISOLATED : CONTIGUOUS, in, out);
}

static pm_status whitespace_split(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    (void)c;
    return split_class(pm_tok_is_space, REMOVED, in, out);
}

/* \w+|[^\w\s]+ */
static pm_status whitespace(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    enum { SPACE, WORD, OTHER };
    size_t begin = 0, k;
    int kind = SPACE;
    int32_t ch;
    (void)c;
    for (size_t i = 0; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &ch);
        int now = pm_tok_is_word(ch) ? WORD : pm_tok_is_space(ch) ? SPACE : OTHER;
        if (now == kind) continue;
        if (kind != SPACE) PM_TRY(pm_tok_pieces_copy(out, in, begin, i));
        begin = i;
        kind = now;
    }
    return kind != SPACE ? pm_tok_pieces_copy(out, in, begin, in.n) : PM_OK;
}

/* Punctuation alone, spaces away: one walk. */
static pm_status bert(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    size_t begin = 0, k;
    int32_t ch;
    (void)c;
    for (size_t i = 0; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &ch);
        bool space = pm_tok_is_space(ch);
        if (!space && !pm_tok_is_punctuation(ch)) continue;
        PM_TRY(pm_tok_pieces_copy(out, in, begin, i));
        if (!space) PM_TRY(pm_tok_pieces_copy(out, in, i, i + k));
        begin = i + k;
    }
    return pm_tok_pieces_copy(out, in, begin, in.n);
}

/* ---- ByteLevel ---- */

enum { PREFIX_SPACE, USE_REGEX };
static const pm_tok_field byte_level_fields[] = {
    {"add_prefix_space", PM_TOK_FLAG, PREFIX_SPACE, false, 1, NULL},
    {"use_regex", PM_TOK_FLAG, USE_REGEX, false, 1, NULL},
    {0}};
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

static pm_status byte_level_setup(pm_tok_component *c, const json_t *json, const char *where) {
    (void)json;
    return c->flag[USE_REGEX] ? pm_tok_regex_open(gpt2_pattern, where, &c->pattern.regex) : PM_OK;
}

static pm_status write_bytes(const pm_tok_pieces *in, pm_tok_pieces *out) {
    for (size_t p = 0; p < in->n; p++) {
        size_t begin = out->text.n;
        for (size_t i = in->piece[p].begin; i < in->piece[p].end; i++)
            PM_TRY(pm_tok_text_add_char(&out->text, pm_tok_byte_char((unsigned char)in->text.s[i]),
                                        in->text.at[i]));
        PM_TRY(pm_tok_pieces_end(out, begin, in->piece[p].origin, -1));
    }
    return PM_OK;
}

static pm_status byte_level(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    pm_tok_text text = {0};
    pm_tok_pieces parts = {0};
    pm_status s = PM_OK;
    if (c->flag[PREFIX_SPACE] && in.n && in.s[0] != ' ') {
        PM_GOTO(pm_tok_text_add(&text, " ", 1, in.at[0]));
        PM_GOTO(pm_tok_text_copy(&text, in, 0, in.n));
        in = pm_tok_text_view(&text, 0, text.n, in.origin);
    }
    PM_GOTO(c->flag[USE_REGEX] ? split_pattern(&c->pattern, ISOLATED, false, in, &parts)
                               : pm_tok_pieces_copy(&parts, in, 0, in.n));
    PM_GOTO(write_bytes(&parts, out));
fail:
    pm_tok_text_free(&text);
    pm_tok_pieces_free(&parts);
    return s;
}

/* ---- Metaspace ---- */

enum { SCHEME_ALWAYS, SCHEME_FIRST, SCHEME_NEVER };
static const pm_tok_field metaspace_fields[] = {{"replacement", PM_TOK_TEXT, 0, false, 0, PM_TOK_UNDERLINE},
                                                {"prepend_scheme", PM_TOK_TEXT, 1, false, 0, "always"},
                                                {"add_prefix_space", PM_TOK_FLAG, 0, false, 1, NULL},
                                                {"split", PM_TOK_FLAG, 1, false, 1, NULL},
                                                {0}};

static pm_status metaspace_setup(pm_tok_component *c, const json_t *json, const char *where) {
    const char *scheme = c->text[1];
    int32_t ch;
    (void)json;
    c->number[0] = !strcmp(scheme, "always")  ? SCHEME_ALWAYS
                   : !strcmp(scheme, "first") ? SCHEME_FIRST
                                              : SCHEME_NEVER;
    if (c->number[0] == SCHEME_NEVER && strcmp(scheme, "never") != 0)
        return pm_raise(PM_ERR_FILE,
                        "%s: Metaspace: prepend_scheme is \"%.40s\", expected always, first or never", where,
                        scheme);
    if (!c->flag[0]) c->number[0] = SCHEME_NEVER;
    if (c->text_n[0] == 0 || pm_tok_char(c->text[0], c->text_n[0], &ch) != c->text_n[0])
        return pm_raise(PM_ERR_FILE, "%s: Metaspace: replacement is not one character", where);
    return PM_OK;
}

static pm_status metaspace(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out) {
    const char *mark = c->text[0];
    size_t n = c->text_n[0], begin = out->text.n;
    bool marked = in.n && (in.s[0] == ' ' || (in.n >= n && memcmp(in.s, mark, n) == 0));
    bool prefix = c->number[0] == SCHEME_ALWAYS || (c->number[0] == SCHEME_FIRST && in.origin == 0);
    if (in.n && prefix && !marked) PM_TRY(pm_tok_text_add(&out->text, mark, n, in.at[0]));
    size_t origin = in.origin;
    for (size_t i = 0; i < in.n; i++) {
        bool space = in.s[i] == ' ' || (in.n - i >= n && memcmp(in.s + i, mark, n) == 0);
        if (space && c->flag[1]) {
            PM_TRY(pm_tok_pieces_end(out, begin, origin, -1));
            begin = out->text.n;
            origin = in.at[i].begin;
        }
        PM_TRY(in.s[i] == ' ' ? pm_tok_text_add(&out->text, mark, n, in.at[i])
                              : pm_tok_text_add(&out->text, in.s + i, 1, in.at[i]));
    }
    return pm_tok_pieces_end(out, begin, origin, -1);
}

/* ---- the table ---- */

static const pm_tok_kind kinds[] = {
    {.name = "BertPreTokenizer", .split = bert},
    {.name = "ByteLevel", .fields = byte_level_fields, .setup = byte_level_setup, .split = byte_level},
    {.name = "CharDelimiterSplit", .setup = delimiter_setup, .split = split},
    {.name = "Digits", .fields = digits_fields, .split = digits},
    {.name = "Metaspace", .fields = metaspace_fields, .setup = metaspace_setup, .split = metaspace},
    {.name = "Punctuation", .setup = punctuation_setup, .split = punctuation},
    {.name = "Split", .fields = split_fields, .setup = split_setup, .split = split},
    {.name = "Whitespace", .split = whitespace},
    {.name = "WhitespaceSplit", .split = whitespace_split},
};
const pm_tok_family pm_tok_pretokenizers = {"pre_tokenizer", "pretokenizers", kinds, PM_COUNT(kinds)};

pm_status pm_tok_pretokenize(const pm_tok_pipeline *p, pm_tok_pieces *pieces) {
    for (size_t i = 0; i < p->n; i++) {
        pm_tok_pieces out = {0};
        pm_status s = PM_OK;
        for (size_t k = 0; k < pieces->n && s == PM_OK; k++) {
            const pm_tok_piece *q = &pieces->piece[k];
            pm_tok_view in = pm_tok_text_view(&pieces->text, q->begin, q->end, q->origin);
            size_t begin = out.text.n;
            if (q->id < 0) {
                s = p->c[i].kind->split(&p->c[i], in, &out);
                continue;
            }
            s = pm_tok_text_copy(&out.text, in, 0, in.n);
            if (s == PM_OK) s = pm_tok_pieces_end(&out, begin, q->origin, q->id);
        }
        pm_tok_pieces_free(pieces);
        *pieces = out;
        PM_TRY(s);
    }
    return PM_OK;
}
