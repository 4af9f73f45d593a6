/* See words.h. Reads two lists; knows no model. */
#include "models/words.h"

#include "models/config.h"

#include <string.h>

/* The lines of a file, each a NUL-terminated text of the arena. */
static pm_status read_lines(const pm_files *f, const char *name, pm_arena *arena, const char ***out,
                            size_t *out_n) {
    pm_blob blob;
    PM_TRY(pm_files_get(f, name, &blob));
    size_t n = 0, at = 0, bytes = blob.bytes;
    for (size_t i = 0; i < bytes; i++) n += blob.data[i] == '\n';
    n += bytes && blob.data[bytes - 1] != '\n';
    const char **lines = pm_arena_alloc(arena, (n + 1) * sizeof *lines);
    char *text = pm_arena_alloc(arena, bytes + 1);
    pm_status s = lines && text ? PM_OK : PM_ERR_MEMORY;
    if (s == PM_OK && bytes) memcpy(text, blob.data, bytes);
    for (size_t i = 0; s == PM_OK && i < n; i++) {
        char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end ? (size_t)(end - (text + at)) : bytes - at;
        lines[i] = text + at;
        text[at + length] = 0;
        if (length && text[at + length - 1] == '\r') text[at + length - 1] = 0;
        at += length + 1;
    }
    pm_blob_close(&blob);
    if (s == PM_OK && n < PM_N_SPECIAL_WORDS)
        return pm_raise(PM_ERR_FILE,
                        "%s: has %zu lines, at least <pad>, <bos>, <eos> and <unk> were expected", name, n);
    *out = lines;
    *out_n = n;
    return s;
}

pm_status pm_words_open(const pm_files *f, pm_words *out_words) {
    *out_words = (pm_words){0};
    if (!pm_files_has(f, "source.vocab.txt") || !pm_files_has(f, "target.vocab.txt")) return PM_OK;
    PM_TRY(read_lines(f, "source.vocab.txt", &out_words->arena, &out_words->source, &out_words->n_source));
    return read_lines(f, "target.vocab.txt", &out_words->arena, &out_words->target, &out_words->n_target);
}

/* Bytes of the character at s, which is not empty. */
static size_t char_bytes(const char *s) {
    size_t n = 1;
    while (((unsigned char)s[n] & 0xC0) == 0x80) n++;
    return n;
}

/* The characters of a text; the first are places for special tokens, whatever they look like. */
static pm_status read_letters(const pm_config *c, const char *key, pm_arena *arena, const char ***out,
                              size_t *out_n) {
    static const char *const special[PM_N_SPECIAL_WORDS] = {"<pad>", "<bos>", "<eos>", "<unk>"};
    const char *s;
    size_t n = 0, bytes;
    PM_TRY(pm_config_text(c, key, &s));
    const char **list = pm_arena_alloc(arena, (strlen(s) + 1) * sizeof *list);
    if (!list) return PM_ERR_MEMORY;
    for (; *s; s += bytes, n++) {
        bytes = char_bytes(s);
        char *text = pm_arena_alloc(arena, bytes + 1);
        if (!text) return PM_ERR_MEMORY;
        memcpy(text, s, bytes);
        text[bytes] = 0;
        list[n] = n < PM_N_SPECIAL_WORDS ? special[n] : text;
    }
    if (n <= PM_N_SPECIAL_WORDS)
        return pm_raise(PM_ERR_FILE, "%s: %s has %zu characters, expected more than %d", c->label, key, n,
                        (int)PM_N_SPECIAL_WORDS);
    *out = list;
    *out_n = n;
    return PM_OK;
}

pm_status pm_words_open_letters(const pm_files *f, pm_words *out_words) {
    static const char source[] = "grapheme_chars", target[] = "phoneme_chars";
    pm_config c;
    *out_words = (pm_words){0};
    PM_TRY(pm_config_open(f, "config.json", &c));
    pm_status s = PM_OK;
    if (pm_config_has(&c, NULL, source) && pm_config_has(&c, NULL, target)) {
        s = read_letters(&c, source, &out_words->arena, &out_words->source, &out_words->n_source);
        if (s == PM_OK)
            s = read_letters(&c, target, &out_words->arena, &out_words->target, &out_words->n_target);
        out_words->letters = true;
    }
    pm_config_close(&c);
    return s;
}

void pm_words_close(pm_words *w) {
    pm_arena_free(&w->arena);
    *w = (pm_words){0};
}

/* ---- encoding ---- */

static bool is_break(unsigned char c) {
    return c <= ' ' || c == '-' || c == ',';
}

static bool is_punctuation(unsigned char c) {
    return (c > ' ' && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 128);
}

/* The next word of *at in lower case, without what is dropped; false at the end. `word` holds as much as the
 * text. */
static bool next_word(const char **at, char *word) {
    const unsigned char *p = (const unsigned char *)*at;
    size_t n = 0;
    while (*p && n == 0) {
        while (*p && is_break(*p)) p++;
        for (; *p && !is_break(*p); p++) {
            bool inner =
                *p == '\'' && n > 0 && !is_punctuation(p[-1]) && !is_break(p[1]) && !is_punctuation(p[1]);
            if (is_punctuation(*p) && !inner) continue;
            word[n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        }
    }
    word[n] = 0;
    *at = (const char *)p;
    return n > 0;
}

static pm_status find_word(const pm_words *w, const char *word, int32_t *out_id) {
    for (size_t i = PM_N_SPECIAL_WORDS; i < w->n_source; i++)
        if (strcmp(w->source[i], word) == 0) return *out_id = (int32_t)i, PM_OK;
    return pm_raise(PM_ERR_USAGE, "text: the model does not know the word \"%.60s\"", word);
}

static pm_status find_letter(const pm_words *w, const char *s, size_t bytes, int32_t *out_id) {
    for (size_t i = PM_N_SPECIAL_WORDS; i < w->n_source; i++)
        if (strlen(w->source[i]) == bytes && memcmp(w->source[i], s, bytes) == 0)
            return *out_id = (int32_t)i, PM_OK;
    return pm_raise(PM_ERR_USAGE, "text: the model does not know the letter \"%.*s\"", (int)bytes, s);
}

static pm_status encode_letters(const pm_words *w, const char *text, int32_t **out_ids, size_t *out_n) {
    int32_t *ids = pm_calloc(strlen(text) + 2, sizeof *ids);
    size_t n = 0, bytes;
    pm_status s = ids ? PM_OK : PM_ERR_MEMORY;
    if (ids) ids[n++] = PM_WORD_BOS;
    for (; s == PM_OK && *text; text += bytes) {
        bytes = char_bytes(text);
        s = find_letter(w, text, bytes, &ids[n++]);
    }
    if (s == PM_OK && n == 1) s = pm_raise(PM_ERR_USAGE, "text: has no letters");
    if (s != PM_OK) {
        pm_free(ids);
        return s;
    }
    ids[n++] = PM_WORD_EOS;
    *out_ids = ids;
    *out_n = n;
    return PM_OK;
}

pm_status pm_words_encode(const pm_words *w, const char *text, int32_t **out_ids, size_t *out_n) {
    size_t bytes = strlen(text), n = 0;
    if (w->letters) return encode_letters(w, text, out_ids, out_n);
    char *word = pm_alloc(bytes + 1);
    int32_t *ids = pm_calloc(bytes + 1, sizeof *ids); /* no more words than bytes, and <eos> */
    pm_status s = word && ids ? PM_OK : PM_ERR_MEMORY;
    while (s == PM_OK && next_word(&text, word)) s = find_word(w, word, &ids[n++]);
    if (s == PM_OK && n == 0) s = pm_raise(PM_ERR_USAGE, "text: has no words");
    pm_free(word);
    if (s != PM_OK) {
        pm_free(ids);
        return s;
    }
    ids[n++] = PM_WORD_EOS;
    *out_ids = ids;
    *out_n = n;
    return PM_OK;
}

pm_status pm_words_decode(const pm_words *w, const int32_t *ids, size_t n, pm_text *out_text) {
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= w->n_target)
            return pm_raise(PM_ERR_USAGE, "ids: %d, 0 to %zu was expected", (int)ids[i], w->n_target - 1);
        if (ids[i] >= PM_N_SPECIAL_WORDS) pm_text_add(out_text, "%s", w->target[ids[i]]);
    }
    return pm_text_status(out_text);
}
