/* The decoders and their table, and texts of ids. Tokens are read as a list of words; each decoder makes another list, and the last
 * one is joined. */
#include "models/tokenizer/tok_data.h"

#include "pumice/model.h"

/* Ends a token at the end of the text. */
static pm_status words_end(pm_tok_words *w) {
    PM_TRY(pm_text_status(&w->text));
    PM_TRY(pm_grow((void **)&w->end, &w->capacity, w->n + 1, sizeof *w->end));
    w->end[w->n++] = w->text.length;
    return PM_OK;
}

static void words_free(pm_tok_words *w) {
    pm_text_free(&w->text);
    pm_free(w->end);
    *w = (pm_tok_words){0};
}

static const char *bytes_of(const pm_text *t) {
    return t->data ? t->data : "";
}

static pm_tok_view word_at(const pm_tok_words *w, size_t i) {
    size_t begin = i ? w->end[i - 1] : 0;
    return (pm_tok_view){.s = w->text.data ? w->text.data + begin : "", .n = w->end[i] - begin};
}

static bool begins_with(pm_tok_view v, const char *s, size_t n) {
    return v.n >= n && memcmp(v.s, s, n) == 0;
}

/* Copies a text with each `from` replaced. */
static void replace_all(pm_text *out, pm_tok_view in, const char *from, size_t n, const char *to) {
    size_t i = 0;
    while (i < in.n) {
        if (n && begins_with((pm_tok_view){.s = in.s + i, .n = in.n - i}, from, n)) {
            pm_text_add(out, "%s", to);
            i += n;
        } else {
            pm_text_add_bytes(out, in.s + i++, 1);
        }
    }
}

/* Bytes as UTF-8, each bad run as U+FFFD. */
static void add_lossy(pm_text *out, const char *s, size_t n) {
    size_t k;
    for (size_t i = 0; i < n; i += k) {
        bool valid;
        k = pm_tok_utf8_check((const unsigned char *)s + i, n - i, &valid);
        pm_text_add_bytes(out, valid ? s + i : "\xEF\xBF\xBD", valid ? k : 3);
    }
}

void pm_tok_bytes_of(pm_text *bytes, pm_tok_view w) {
    size_t before = bytes->length, k;
    int32_t ch;
    for (size_t j = 0; j < w.n; j += k) {
        k = pm_tok_char(w.s + j, w.n - j, &ch);
        int byte = pm_tok_char_byte(ch);
        if (byte < 0) {
            bytes->length = before;
            pm_text_add_bytes(bytes, w.s, w.n);
            return;
        }
        pm_text_add_bytes(bytes, &(char){(char)byte}, 1);
    }
}

static pm_status byte_level(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    pm_text bytes = {0};
    (void)c;
    for (size_t i = 0; i < in->n; i++) pm_tok_bytes_of(&bytes, word_at(in, i));
    pm_status s = pm_text_status(&bytes);
    add_lossy(&out->text, bytes.data, bytes.length);
    pm_text_free(&bytes);
    return s == PM_OK ? words_end(out) : s;
}

static const pm_tok_field wordpiece_fields[] = {
    {"prefix", PM_TOK_TEXT, 0, false, 0, "##"}, {"cleanup", PM_TOK_FLAG, 0, false, 1, NULL}, {0}};

/* English as it is written: no space before a full stop. One rule after the other, as in the library. */
static pm_status clean_up(pm_text *word, pm_text *out) {
    static const char *const rules[][2] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < PM_COUNT(rules); i++) {
        pm_text next = {0};
        PM_TRY(pm_text_status(word));
        replace_all(&next, (pm_tok_view){.s = bytes_of(word), .n = word->length}, rules[i][0],
                    strlen(rules[i][0]), rules[i][1]);
        pm_text_free(word);
        *word = next;
    }
    pm_text_add_bytes(out, bytes_of(word), word->length);
    return pm_text_status(word);
}

static pm_status wordpiece(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    for (size_t i = 0; i < in->n; i++) {
        pm_tok_view w = word_at(in, i);
        pm_text word = {0};
        bool goes_on = i && begins_with(w, c->text[0], c->text_n[0]);
        if (i && !goes_on) pm_text_add(&word, " ");
        pm_text_add_bytes(&word, w.s + (goes_on ? c->text_n[0] : 0), w.n - (goes_on ? c->text_n[0] : 0));
        pm_status s = PM_OK;
        if (c->flag[0])
            s = clean_up(&word, &out->text);
        else
            pm_text_add_bytes(&out->text, bytes_of(&word), word.length);
        pm_text_free(&word);
        PM_TRY(s);
        PM_TRY(words_end(out));
    }
    return PM_OK;
}

static const pm_tok_field metaspace_fields[] = {{"replacement", PM_TOK_TEXT, 0, false, 0, PM_TOK_UNDERLINE},
                                                {"prepend_scheme", PM_TOK_TEXT, 1, false, 0, "always"},
                                                {"add_prefix_space", PM_TOK_FLAG, 0, false, 1, NULL},
                                                {0}};

static pm_status metaspace(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    bool strip = c->flag[0] && strcmp(c->text[1], "never") != 0;
    for (size_t i = 0; i < in->n; i++) {
        replace_all(&out->text, word_at(in, i), c->text[0], c->text_n[0], i == 0 && strip ? "" : " ");
        PM_TRY(words_end(out));
    }
    return PM_OK;
}

static const pm_tok_field bpe_fields[] = {{"suffix", PM_TOK_TEXT, 0, false, 0, "</w>"}, {0}};

static pm_status bpe(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    for (size_t i = 0; i < in->n; i++) {
        replace_all(&out->text, word_at(in, i), c->text[0], c->text_n[0], i + 1 == in->n ? "" : " ");
        PM_TRY(words_end(out));
    }
    return PM_OK;
}

/* A run of bytes is a text when it is UTF-8, else one U+FFFD a byte. */
static pm_status byte_fallback(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    unsigned char byte;
    (void)c;
    for (size_t i = 0; i < in->n;) {
        pm_tok_view w = word_at(in, i);
        pm_text run = {0};
        bool valid = true;
        size_t k, n = 0;
        for (; i + n < in->n && pm_tok_byte_token(w.s, w.n, &byte);
             w = i + ++n < in->n ? word_at(in, i + n) : w)
            pm_text_add_bytes(&run, (const char *)&byte, 1);
        pm_status s = pm_text_status(&run);
        for (size_t j = 0; s == PM_OK && valid && j < run.length; j += k)
            k = pm_tok_utf8_check((const unsigned char *)run.data + j, run.length - j, &valid);
        if (valid) pm_text_add_bytes(&out->text, bytes_of(&run), run.length);
        for (size_t j = 0; j < n && s == PM_OK; j++) {
            if (!valid) pm_text_add(&out->text, "\xEF\xBF\xBD");
            if (!valid || j + 1 == n) s = words_end(out);
        }
        pm_text_free(&run);
        PM_TRY(s);
        if (n == 0) {
            pm_text_add_bytes(&out->text, w.s, w.n);
            PM_TRY(words_end(out));
        }
        i += n ? n : 1;
    }
    return PM_OK;
}

static pm_status fuse(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    (void)c;
    pm_text_add_bytes(&out->text, bytes_of(&in->text), in->text.length);
    return words_end(out);
}

static const pm_tok_field strip_fields[] = {{"content", PM_TOK_TEXT, 0, true, 0, NULL},
                                            {"start", PM_TOK_NUMBER, 0, true, 0, NULL},
                                            {"stop", PM_TOK_NUMBER, 1, true, 0, NULL},
                                            {0}};

static pm_status strip(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    const char *what = c->text[0];
    size_t n = c->text_n[0];
    for (size_t i = 0; i < in->n; i++) {
        pm_tok_view w = word_at(in, i);
        for (int64_t k = 0; k < c->number[0] && n && begins_with(w, what, n); k++) w.s += n, w.n -= n;
        for (int64_t k = 0; k < c->number[1] && n && w.n >= n && memcmp(w.s + w.n - n, what, n) == 0; k++)
            w.n -= n;
        pm_text_add_bytes(&out->text, w.s, w.n);
        PM_TRY(words_end(out));
    }
    return PM_OK;
}

static const pm_tok_field replace_fields[] = {{"content", PM_TOK_TEXT, 0, true, 0, NULL}, {0}};

static pm_status replace_setup(pm_tok_component *c, const json_t *json, const char *where) {
    return pm_tok_pattern_read(&c->pattern, json_object_get(json, "pattern"), where);
}

static pm_status replace(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out) {
    for (size_t i = 0; i < in->n; i++) {
        pm_tok_view w = word_at(in, i);
        pm_tok_text from = {0}, to = {0};
        pm_status s = pm_tok_text_read(&from, w.s, w.n);
        if (s == PM_OK) s = pm_tok_replace(c, pm_tok_text_view(&from, 0, from.n, 0), &to);
        pm_text_add_bytes(&out->text, to.s ? to.s : "", to.n);
        pm_tok_text_free(&from);
        pm_tok_text_free(&to);
        PM_TRY(s);
        PM_TRY(words_end(out));
    }
    return PM_OK;
}

static const pm_tok_kind kinds[] = {
    {.name = "BPEDecoder", .fields = bpe_fields, .decode = bpe},
    {.name = "ByteFallback", .decode = byte_fallback},
    {.name = "ByteLevel", .decode = byte_level},
    {.name = "Fuse", .decode = fuse},
    {.name = "Metaspace", .fields = metaspace_fields, .decode = metaspace},
    {.name = "Replace", .fields = replace_fields, .setup = replace_setup, .decode = replace},
    {.name = "Strip", .fields = strip_fields, .decode = strip},
    {.name = "WordPiece", .fields = wordpiece_fields, .decode = wordpiece},
};
const pm_tok_family pm_tok_decoders = {"decoder", "decoders", kinds, PM_COUNT(kinds)};

static pm_status decode_words(const pm_tok_pipeline *p, pm_tok_words *words) {
    for (size_t i = 0; i < p->n && words->n; i++) {
        pm_tok_words out = {0};
        pm_status s = p->c[i].kind->decode(&p->c[i], words, &out);
        words_free(words);
        *words = out;
        PM_TRY(s);
    }
    return PM_OK;
}

pm_status pm_tokenizer_decode(const pm_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                              char **out_text, size_t *out_bytes) {
    pm_tok_words words = {0};
    pm_text text = {0};
    pm_status s = PM_OK;
    *out_text = NULL;
    for (size_t i = 0; i < n; i++) {
        size_t bytes;
        const char *token = pm_tokenizer_token(t, ids[i], &bytes);
        if (!token || (skip_special && pm_tokenizer_is_special(t, ids[i]))) continue;
        if (!t->has_decoder && words.n) pm_text_add(&words.text, " ");
        pm_text_add_bytes(&words.text, token, bytes);
        PM_GOTO(words_end(&words));
    }
    PM_GOTO(decode_words(&t->decoder, &words));
    add_lossy(&text, words.text.data, words.text.length);
    PM_GOTO(pm_text_status(&text));
    *out_text = text.data ? text.data : pm_strdup("");
    if (out_bytes) *out_bytes = text.length;
    if (!*out_text) s = PM_ERR_MEMORY;
fail:
    if (s != PM_OK) pm_text_free(&text);
    words_free(&words);
    return s;
}
