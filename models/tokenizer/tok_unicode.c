/* Characters: reading and writing UTF-8, the classes that tokenizers ask for (on utf8proc's tables), the alphabet of byte-level
 * vocabularies. */
#include "models/tokenizer/tok_data.h"

#include <utf8proc.h>

size_t pm_tok_char(const char *s, size_t n, int32_t *out) {
    const unsigned char *u = (const unsigned char *)s;
    size_t bytes = u[0] < 0x80 ? 1 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
    if (bytes > n) bytes = n;
    int32_t c = bytes == 1 ? u[0] : u[0] & (0xFF >> (bytes + 1));
    for (size_t i = 1; i < bytes; i++) c = (c << 6) | (u[i] & 0x3F);
    *out = c;
    return bytes;
}

size_t pm_tok_char_before(const char *s, size_t n) {
    size_t i = n - 1;
    while (i > 0 && ((unsigned char)s[i] & 0xC0) == 0x80) i--;
    return i;
}

size_t pm_tok_char_write(int32_t c, char out[4]) {
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((0xF00 >> n) | c);
    return n;
}

/* The Unicode standard's "maximal subpart" (3.9, table 3-7): how many bytes one U+FFFD replaces. */
size_t pm_tok_utf8_check(const unsigned char *s, size_t n, bool *out_valid) {
    unsigned char c = s[0], low = 0x80, high = 0xBF;
    size_t bytes = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    *out_valid = bytes == 1;
    if (bytes <= 1) return 1;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
    for (size_t i = 1; i < bytes; i++, low = 0x80, high = 0xBF)
        if (i >= n || s[i] < low || s[i] > high) return i;
    *out_valid = true;
    return bytes;
}

static utf8proc_category_t category(int32_t c) {
    return utf8proc_category(c);
}

bool pm_tok_is_space(int32_t c) {
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
           c == 0x3000;
}

bool pm_tok_is_punctuation(int32_t c) {
    if (c < 0x80)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO;
}

bool pm_tok_is_mark(int32_t c) {
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_MN && k <= UTF8PROC_CATEGORY_ME;
}

bool pm_tok_is_mark_nonspacing(int32_t c) {
    return category(c) == UTF8PROC_CATEGORY_MN;
}

bool pm_tok_is_number(int32_t c) {
    utf8proc_category_t k = category(c);
    return k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO;
}

bool pm_tok_is_other(int32_t c) {
    utf8proc_category_t k = category(c);
    return k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF || k == UTF8PROC_CATEGORY_CO;
}

/* UTS 18: Alphabetic, marks, decimal numbers, connectors, join controls. Alphabetic is letters, letter numbers, some marks, and the
 * circled letters, which are symbols. */
bool pm_tok_is_word(int32_t c) {
    utf8proc_category_t k = category(c);
    return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_NL) || k == UTF8PROC_CATEGORY_PC ||
           c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
           (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

bool pm_tok_is_chinese(int32_t c) {
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

/* GPT-2's alphabet: bytes that print stand for themselves, the 68 others for U+0100 and up, in order. */
int32_t pm_tok_byte_char(unsigned char b) {
    if ((b >= 33 && b <= 126) || (b >= 161 && b != 173)) return b;
    return b <= 32 ? 256 + b : b <= 160 ? 256 + 33 + (b - 127) : 256 + 67;
}

int pm_tok_char_byte(int32_t c) {
    if ((c >= 33 && c <= 126) || (c >= 161 && c <= 255 && c != 173)) return c;
    if (c < 256 || c > 256 + 67) return -1;
    return c - 256 <= 32 ? c - 256 : c == 256 + 67 ? 173 : c - 256 - 33 + 127;
}

size_t pm_tok_grapheme(const char *s, size_t n) {
    int32_t before, c, state = 0;
    size_t at = pm_tok_char(s, n, &before);
    while (at < n) {
        size_t k = pm_tok_char(s + at, n - at, &c);
        if (utf8proc_grapheme_break_stateful(before, c, &state)) break;
        before = c;
        at += k;
    }
    return at;
}
