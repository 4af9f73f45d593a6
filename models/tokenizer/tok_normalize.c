/* The normalizers and their table. Each reads a view and appends to a text; a byte that is new stands for the bytes of the
 * character that it came from. */
#include "models/tokenizer/tok_data.h"

/* ---- Strip, Prepend, Replace, Nmt ---- */

enum { STRIP_LEFT, STRIP_RIGHT };
static const pm_tok_field strip_fields[] = {{"strip_left", PM_TOK_FLAG, STRIP_LEFT, false, 1, NULL},
                                            {"strip_right", PM_TOK_FLAG, STRIP_RIGHT, false, 1, NULL},
                                            {0}};

static pm_status strip(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    size_t begin = 0, end = in.n;
    int32_t ch;
    while (c->flag[STRIP_LEFT] && begin < end) {
        size_t k = pm_tok_char(in.s + begin, end - begin, &ch);
        if (!pm_tok_is_space(ch)) break;
        begin += k;
    }
    while (c->flag[STRIP_RIGHT] && begin < end) {
        size_t at = pm_tok_char_before(in.s, end);
        pm_tok_char(in.s + at, end - at, &ch);
        if (!pm_tok_is_space(ch)) break;
        end = at;
    }
    return pm_tok_text_copy(out, in, begin, end);
}

static const pm_tok_field prepend_fields[] = {{"prepend", PM_TOK_TEXT, 0, true, 0, NULL}, {0}};

static pm_status prepend(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    if (in.n) PM_TRY(pm_tok_text_add(out, c->text[0], c->text_n[0], in.at[0]));
    return pm_tok_text_copy(out, in, 0, in.n);
}

static const pm_tok_field replace_fields[] = {{"content", PM_TOK_TEXT, 0, true, 0, NULL}, {0}};

static pm_status replace_setup(pm_tok_component *c, const json_t *json, const char *where) {
    return pm_tok_pattern_read(&c->pattern, json_object_get(json, "pattern"), where);
}

pm_status pm_tok_replace(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    pm_tok_finder f;
    size_t copied = 0, begin, end;
    bool found;
    PM_TRY(pm_tok_finder_open(&f, &c->pattern, in.s, in.n));
    pm_status s = pm_tok_finder_next(&f, &found, &begin, &end);
    while (s == PM_OK && found) {
        pm_tok_span at = end > begin ? in.at[end - 1] : pm_tok_view_span(in, begin, end);
        s = pm_tok_text_copy(out, in, copied, begin);
        if (s == PM_OK) s = pm_tok_text_add(out, c->text[0], c->text_n[0], at);
        copied = end;
        if (s == PM_OK) s = pm_tok_finder_next(&f, &found, &begin, &end);
    }
    pm_tok_finder_close(&f);
    return s == PM_OK ? pm_tok_text_copy(out, in, copied, in.n) : s;
}

/* SentencePiece's nmt rules: controls go, what separates becomes a space. */
static pm_status nmt(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    int32_t ch;
    (void)c;
    for (size_t i = 0, k; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &ch);
        if ((ch >= 1 && ch <= 8) || ch == 11 || (ch >= 14 && ch <= 31) || ch == 0x7F || ch == 0x8F ||
            ch == 0x9F)
            continue;
        bool space = ch == 9 || ch == 10 || ch == 12 || ch == 13 || ch == 0x1680 ||
                     (ch >= 0x200B && ch <= 0x200F) || ch == 0x2028 || ch == 0x2029 || ch == 0x2581 ||
                     ch == 0xFEFF || ch == 0xFFFD;
        PM_TRY(space ? pm_tok_text_add(out, " ", 1, in.at[i]) : pm_tok_text_copy(out, in, i, i + k));
    }
    return PM_OK;
}

static pm_status strip_accents(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    (void)c;
    return pm_tok_strip_marks(in, false, out);
}

/* ---- ByteLevel as a normalizer ---- */

static pm_status bytes_to_chars(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    (void)c;
    for (size_t i = 0; i < in.n; i++)
        PM_TRY(pm_tok_text_add_char(out, pm_tok_byte_char((unsigned char)in.s[i]), in.at[i]));
    return PM_OK;
}

static const pm_tok_field bert_fields[] = {{"clean_text", PM_TOK_FLAG, 0, false, 1, NULL},
                                           {"handle_chinese_chars", PM_TOK_FLAG, 1, false, 1, NULL},
                                           {"strip_accents", PM_TOK_FLAG, 2, false, 0, NULL},
                                           {"lowercase", PM_TOK_FLAG, 3, false, 1, NULL},
                                           {0}};

static pm_status bert_setup(pm_tok_component *c, const json_t *json, const char *where) {
    (void)where; /* null: accents go with lower case */
    if (!json_is_boolean(json_object_get(json, "strip_accents"))) c->flag[2] = c->flag[3];
    return PM_OK;
}

static const pm_tok_field piece_fields[] = {{"prefix", PM_TOK_FLAG, 0, false, 1, NULL},
                                            {"collapse", PM_TOK_FLAG, 1, false, 1, NULL},
                                            {"escape", PM_TOK_FLAG, 2, false, 1, NULL},
                                            {"suffix", PM_TOK_FLAG, 3, false, 0, NULL},
                                            {0}};

static const pm_tok_kind kinds[] = {
    {.name = "NFC", .setup = pm_tok_unicode_setup, .normalize = pm_tok_unicode_normalize},
    {.name = "NFD", .setup = pm_tok_unicode_setup, .normalize = pm_tok_unicode_normalize},
    {.name = "NFKC", .setup = pm_tok_unicode_setup, .normalize = pm_tok_unicode_normalize},
    {.name = "NFKD", .setup = pm_tok_unicode_setup, .normalize = pm_tok_unicode_normalize},
    {.name = "Lowercase", .normalize = pm_tok_lowercase},
    {.name = "Strip", .fields = strip_fields, .normalize = strip},
    {.name = "StripAccents", .normalize = strip_accents},
    {.name = "BertNormalizer",
     .fields = bert_fields,
     .setup = bert_setup,
     .normalize = pm_tok_bert_normalize},
    {.name = "Replace", .fields = replace_fields, .setup = replace_setup, .normalize = pm_tok_replace},
    {.name = "Prepend", .fields = prepend_fields, .normalize = prepend},
    {.name = "Precompiled", .setup = pm_tok_charsmap_setup, .normalize = pm_tok_charsmap_normalize},
    {.name = "Nmt", .normalize = nmt},
    {.name = "ByteLevel", .normalize = bytes_to_chars},
    /* SentencePiece's own normalizer, for its files; not in tokenizer.json */
    {.name = "pumice.SentencePiece",
     .fields = piece_fields,
     .setup = pm_tok_piece_setup,
     .normalize = pm_tok_piece_normalize},
};
const pm_tok_family pm_tok_normalizers = {"normalizer", "normalizers", kinds, PM_COUNT(kinds)};

pm_status pm_tok_normalize(const pm_tok_pipeline *p, pm_tok_view in, pm_tok_text *out) {
    pm_tok_text a = {0}, b = {0};
    pm_status s = p->n ? PM_OK : pm_tok_text_copy(out, in, 0, in.n);
    for (size_t i = 0; i < p->n && s == PM_OK; i++) {
        bool last = i + 1 == p->n;
        a.n = 0;
        s = p->c[i].kind->normalize(&p->c[i], in, last ? out : &a);
        pm_tok_text t = a;
        a = b;
        b = t;
        in = pm_tok_text_view(&b, 0, b.n, in.origin);
    }
    pm_tok_text_free(&a);
    pm_tok_text_free(&b);
    return s;
}
