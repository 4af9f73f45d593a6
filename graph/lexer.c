/* See lexer.h. */
#include "graph/lexer.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static void pass_blanks(const char **cursor) {
    while (**cursor == ' ' || **cursor == '\t' || **cursor == '\r') ++*cursor;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

pm_status pm_lex_expected(const char *at, const char *what) {
    int n = 0;
    while (n < 20 && at[n] && at[n] != '\n') n++;
    return pm_raise(PM_ERR_FILE, "%s was expected before \"%.*s\"", what, n, at);
}

bool pm_lex_at(const char **cursor, char c) {
    pass_blanks(cursor);
    return **cursor == c && c;
}

bool pm_lex_take(const char **cursor, char c) {
    if (!pm_lex_at(cursor, c)) return false;
    ++*cursor;
    return true;
}

bool pm_lex_end_of_line(const char **cursor) {
    pass_blanks(cursor);
    if (**cursor == '#') *cursor += strcspn(*cursor, "\n");
    return **cursor == '\n' || !**cursor;
}

pm_status pm_lex_want(const char **cursor, char c) {
    char what[4] = {'\'', c, '\'', 0};
    return pm_lex_take(cursor, c) ? PM_OK : pm_lex_expected(*cursor, what);
}

pm_status pm_lex_word(const char **cursor, char *out, size_t room, const char *what) {
    size_t n = 0;
    pass_blanks(cursor);
    while (is_letter((*cursor)[n]) || (n && is_digit((*cursor)[n]))) n++;
    if (n == 0 || n >= room) return pm_lex_expected(*cursor, what);
    memcpy(out, *cursor, n);
    out[n] = 0;
    *cursor += n;
    return PM_OK;
}

pm_status pm_lex_int(const char **cursor, int64_t min, int64_t max, int64_t *out) {
    pass_blanks(cursor);
    const char *at = *cursor;
    if (!is_digit(at[*at == '-'])) return pm_lex_expected(at, "an integer");
    char *end;
    errno = 0;
    long long value = strtoll(at, &end, 10);
    if (errno || value < min || value > max)
        return pm_raise(PM_ERR_FILE, "integer %.*s: %" PRId64 " to %" PRId64 " was expected",
                        (int)(end - at > 24 ? 24 : end - at), at, min, max);
    *out = value;
    *cursor = end;
    return PM_OK;
}

/* strtof with the C locale's point, whatever locale the caller has set. */
static float read_decimal(const char *at, const char **end) {
    char number[64];
    size_t n = 0;
    while (n + 1 < sizeof number && (is_digit(at[n]) || (at[n] && strchr("+-.eE", at[n])))) n++;
    memcpy(number, at, n);
    number[n] = 0;
    char *point = strchr(number, '.'), *stop;
    if (point) *point = *localeconv()->decimal_point;
    float value = strtof(number, &stop);
    *end = at + (stop - number);
    return value;
}

pm_status pm_lex_f32(const char **cursor, float *out) {
    pass_blanks(cursor);
    const char *end = *cursor;
    if (end[0] == '0' && end[1] == 'x') {
        uint32_t word = 0;
        int n = 0;
        for (end += 2; n < 8 && isxdigit((unsigned char)*end); end++, n++)
            word = word << 4 | (uint32_t)(is_digit(*end) ? *end - '0' : (*end | 32) - 'a' + 10);
        if (n == 0) return pm_lex_expected(*cursor, "a number's bits");
        memcpy(out, &word, 4);
    } else {
        *out = read_decimal(*cursor, &end);
        if (end == *cursor) return pm_lex_expected(*cursor, "a number");
    }
    *cursor = end;
    return PM_OK;
}

pm_status pm_lex_dims(const char **cursor, int32_t *out_rank, int64_t *out_dims) {
    int32_t rank = 0;
    PM_TRY(pm_lex_want(cursor, '['));
    while (!pm_lex_at(cursor, ']')) {
        if (rank == PM_MAX_DIMS) return pm_lex_expected(*cursor, "']' after five dims");
        if (rank) PM_TRY(pm_lex_want(cursor, ','));
        PM_TRY(pm_lex_int(cursor, INT64_MIN, INT64_MAX, &out_dims[rank]));
        rank++;
    }
    *out_rank = rank;
    return pm_lex_want(cursor, ']');
}

static int hex_digit(char c) {
    if (is_digit(c)) return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* After the backslash. */
static pm_status lex_escape(const char **cursor, pm_text *out) {
    char c = **cursor;
    if (c == '"' || c == '\\') {
        pm_text_add_bytes(out, &c, 1);
        ++*cursor;
        return PM_OK;
    }
    int code = c == 'u' ? 0 : -1;
    for (int i = 1; i <= 4 && code >= 0; i++) {
        int digit = hex_digit((*cursor)[i]);
        code = digit < 0 ? -1 : code * 16 + digit;
    }
    if (code < 1 || code > 0x7f)
        return pm_lex_expected(*cursor, "an escape (\\\", \\\\ or \\u0001 to \\u007f)");
    c = (char)code;
    pm_text_add_bytes(out, &c, 1);
    *cursor += 5;
    return PM_OK;
}

pm_status pm_lex_string(const char **cursor, pm_text *out) {
    if (!pm_lex_take(cursor, '"')) return pm_lex_expected(*cursor, "a quoted name");
    pm_text_add_bytes(out, "", 0);
    while (**cursor != '"') {
        if (!**cursor || **cursor == '\n') return pm_lex_expected(*cursor, "'\"' at the end of a name");
        char c = *(*cursor)++;
        if (c == '\\')
            PM_TRY(lex_escape(cursor, out));
        else
            pm_text_add_bytes(out, &c, 1);
    }
    ++*cursor;
    return pm_text_status(out);
}
