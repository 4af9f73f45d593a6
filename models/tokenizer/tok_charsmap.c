/* SentencePiece's compiled rules: a double-array trie (darts-clone) from characters to replacements. Two readers: Hugging Face's
 * Precompiled (a grapheme at a time, shortest match) and SentencePiece's own (longest match, spaces tidied). */
#include "models/tokenizer/tok_data.h"

typedef struct charsmap {
    size_t n_units, n_text;
    uint32_t *unit;
    char *text; /* replacements, each ends with a zero byte */
} charsmap;

enum { PREFIX, COLLAPSE, ESCAPE, SUFFIX };

pm_status pm_tok_charsmap_set(pm_tok_component *c, const unsigned char *bytes, size_t n, const char *where) {
    uint32_t trie_bytes = 0;
    if (n == 0) return PM_OK;
    if (n >= 4)
        trie_bytes = bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    if (n < 4 || trie_bytes > n - 4 || trie_bytes % 4 != 0 || trie_bytes == 0)
        return pm_raise(PM_ERR_FILE,
                        "%s: precompiled_charsmap has %zu bytes and a trie of %u, which does not fit", where,
                        n, (unsigned)trie_bytes);
    size_t n_units = trie_bytes / 4, n_text = n - 4 - trie_bytes;
    charsmap *m = pm_alloc(sizeof *m + trie_bytes + n_text + 1);
    if (!m) return PM_ERR_MEMORY;
    *m = (charsmap){.n_units = n_units, .n_text = n_text, .unit = (uint32_t *)(m + 1)};
    m->text = (char *)(m->unit + n_units);
    for (size_t i = 0; i < n_units; i++) {
        const unsigned char *u = bytes + 4 + 4 * i;
        m->unit[i] = u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
    }
    memcpy(m->text, bytes + 4 + trie_bytes, n_text);
    m->text[n_text] = 0;
    pm_free(c->data);
    c->data = m;
    return PM_OK;
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

pm_status pm_tok_charsmap_setup(pm_tok_component *c, const json_t *json, const char *where) {
    const json_t *v = json_object_get(json, "precompiled_charsmap");
    if (json_is_null(v)) return PM_OK;
    if (!json_is_string(v))
        return pm_raise(PM_ERR_FILE, "%s: Precompiled: precompiled_charsmap is not a text", where);
    const char *s = json_string_value(v);
    size_t n = json_string_length(v), n_bytes = 0;
    unsigned char *bytes = pm_alloc(n / 4 * 3 + 3);
    if (!bytes) return PM_ERR_MEMORY;
    uint32_t word = 0;
    for (size_t i = 0, bits = 0; i < n && s[i] != '='; i++) {
        int value = base64_value(s[i]);
        if (value < 0) {
            pm_free(bytes);
            return pm_raise(PM_ERR_FILE, "%s: Precompiled: precompiled_charsmap is not base64 at byte %zu",
                            where, i);
        }
        word = word << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) bytes[n_bytes++] = (unsigned char)(word >> (bits -= 8));
    }
    pm_status status = pm_tok_charsmap_set(c, bytes, n_bytes, where);
    pm_free(bytes);
    return status;
}

static size_t offset_of(uint32_t unit) {
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* The shortest or the longest key that s begins with: its bytes (0: none) and the replacement. */
static size_t find(const charsmap *m, const char *s, size_t n, bool longest, const char **out) {
    size_t at = offset_of(m->unit[0]), found = 0;
    for (size_t i = 0; i < n && s[i]; i++) {
        unsigned char byte = (unsigned char)s[i];
        at ^= byte;
        if (at >= m->n_units || (m->unit[at] & (1u << 31 | 0xFF)) != byte) break;
        uint32_t unit = m->unit[at];
        at ^= offset_of(unit);
        if (!((unit >> 8) & 1)) continue;
        size_t value = at < m->n_units ? m->unit[at] & ((1u << 31) - 1) : m->n_text;
        if (value >= m->n_text) break;
        *out = m->text + value;
        found = i + 1;
        if (!longest) break;
    }
    return found;
}

/* ---- Precompiled ---- */

/* The replacement of [i,i+n), character by character: each stands for the character at its place, what is more for the last. */
static pm_status put_replacement(pm_tok_view in, size_t i, size_t n, const char *with, pm_tok_text *out) {
    size_t bytes = strlen(with), from = i;
    pm_tok_span at = in.at[i];
    for (size_t k = 0; k < bytes;) {
        int32_t c;
        size_t w = pm_tok_char(with + k, bytes - k, &c);
        if (from < i + n) {
            at = in.at[from];
            from += pm_tok_char(in.s + from, i + n - from, &c);
        }
        PM_TRY(pm_tok_text_add(out, with + k, w, at));
        k += w;
    }
    return PM_OK;
}

static pm_status put_part(const charsmap *m, pm_tok_view in, size_t i, size_t n, pm_tok_text *out,
                          bool *out_done) {
    const char *with;
    *out_done = find(m, in.s + i, n, false, &with) > 0;
    return *out_done ? put_replacement(in, i, n, with, out) : PM_OK;
}

pm_status pm_tok_charsmap_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    const charsmap *m = c->data;
    if (!m) return pm_tok_text_copy(out, in, 0, in.n);
    for (size_t i = 0, g; i < in.n; i += g) {
        bool done = false;
        int32_t ch;
        g = pm_tok_grapheme(in.s + i, in.n - i);
        if (g < 6) PM_TRY(put_part(m, in, i, g, out, &done));
        for (size_t k = i, w; !done && k < i + g; k += w) {
            bool replaced;
            w = pm_tok_char(in.s + k, i + g - k, &ch);
            PM_TRY(put_part(m, in, k, w, out, &replaced));
            if (!replaced) PM_TRY(pm_tok_text_copy(out, in, k, k + w));
        }
    }
    return PM_OK;
}

/* ---- SentencePiece's own ---- */

pm_status pm_tok_piece_setup(pm_tok_component *c, const json_t *json, const char *where) {
    return json_object_get(json, "precompiled_charsmap") ? pm_tok_charsmap_setup(c, json, where) : PM_OK;
}

static pm_status put_space(const pm_tok_component *c, pm_tok_text *out, pm_tok_span at) {
    return c->flag[ESCAPE] ? pm_tok_text_add(out, PM_TOK_LIT(PM_TOK_UNDERLINE), at)
                           : pm_tok_text_add(out, " ", 1, at);
}

/* One step: the rule or the character that the rest begins with. */
static size_t next_part(const charsmap *m, const char *s, size_t n, const char **out, size_t *out_n) {
    int32_t c;
    const char *with = NULL;
    size_t k = m ? find(m, s, n, true, &with) : 0;
    *out = k ? with : s;
    if (k) return *out_n = strlen(with), k;
    return *out_n = pm_tok_char(s, n, &c);
}

pm_status pm_tok_piece_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    const char *part;
    size_t start = out->n, n, i = 0, k, space = c->flag[ESCAPE] ? 3 : 1;
    bool after_space = c->flag[COLLAPSE];
    for (; c->flag[COLLAPSE] && i < in.n; i += k) {
        k = next_part(c->data, in.s + i, in.n - i, &part, &n);
        if (n != 1 || *part != ' ') break;
    }
    if (i == in.n) return PM_OK;
    if (c->flag[PREFIX]) PM_TRY(put_space(c, out, in.at[i]));
    for (; i < in.n; i += k) {
        k = next_part(c->data, in.s + i, in.n - i, &part, &n);
        pm_tok_span at = pm_tok_view_span(in, i, i + k);
        for (; after_space && n && *part == ' '; n--) part++;
        for (size_t j = 0; j < n; j++)
            PM_TRY(part[j] == ' ' ? put_space(c, out, at) : pm_tok_text_add(out, part + j, 1, at));
        if (n) after_space = part[n - 1] == ' ';
        after_space &= c->flag[COLLAPSE];
    }
    const char *what = c->flag[ESCAPE] ? PM_TOK_UNDERLINE : " ";
    while (c->flag[COLLAPSE] && out->n >= start + space && memcmp(out->s + out->n - space, what, space) == 0)
        out->n -= space;
    return c->flag[SUFFIX] && out->n > start ? put_space(c, out, out->at[out->n - 1]) : PM_OK;
}
