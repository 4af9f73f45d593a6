/* Patterns are written for Oniguruma; PCRE2 reads most of them alike. What it reads differently is rewritten here:
 *   \s \w \d \h and their complements   Oniguruma's sets, inside and outside of classes
 *   [a[bc]]  [a&&b]                     a class in a class, an intersection
 *   (?m)  \uHHHH  \p{Han}               dot matches newline; a code point; a script (PCRE2 takes script extensions)
 * What cannot be said is an error. */
#include "models/tokenizer/tok_data.h"

#include <ctype.h>

typedef struct source {
    const char *at;
    const char *where, *pattern;
    pm_text *out;
} source;

#define SPACE                                                                                                \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define PRINT                                                                                                          \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}" \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define CIRCLED "\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
#define WORD    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}" CIRCLED

static const struct {
    char letter;
    const char *set;     /* inside brackets */
    const char *outside; /* the whole */
} sets[] = {
    {'s', SPACE, "[" SPACE "]"},       {'S', PRINT, "[^" SPACE "]"}, {'w', WORD, "[" WORD "]"},
    {'W', NULL, "[^" WORD "]"},        {'d', "\\p{Nd}", "\\p{Nd}"},  {'D', "\\P{Nd}", "\\P{Nd}"},
    {'h', "0-9A-Fa-f", "[0-9A-Fa-f]"}, {'H', NULL, "[^0-9A-Fa-f]"},
};

static pm_status refuse(const source *s, const char *what) {
    return pm_raise(PM_ERR_FILE, "%s: regular expression \"%.80s\": %s at byte %zu is not supported",
                    s->where, s->pattern, what, (size_t)(s->at - s->pattern));
}

/* \p{L} is the same everywhere; a longer name is a script, unless it is one of a few classes. */
static pm_status translate_property(source *s) {
    static const struct {
        const char *name, *is;
    } known[] = {{"alpha", "L}\\p{M"}, {"any", "Any"},       {"letter", "L"},    {"number", "N"},
                 {"punctuation", "P"}, {"symbol", "S"},      {"separator", "Z"}, {"mark", "M"},
                 {"other", "C"},       {"latin", "sc:Latin"}};
    const char *open = s->at + 2, *close = open[0] == '{' ? strchr(open, '}') : NULL;
    char name[40];
    size_t n = 0;
    if (!close) { /* \pL */
        if (!isalpha((unsigned char)*open)) return refuse(s, "\\p without a name");
        pm_text_add_bytes(s->out, s->at, 3);
        s->at += 3;
        return PM_OK;
    }
    bool negated = (s->at[1] == 'P') != (open[1] == '^');
    for (const char *c = open + 1 + (open[1] == '^'); c < close; c++)
        if (*c != '_' && *c != ' ' && *c != '-') {
            if (n + 1 >= sizeof name || !(isalnum((unsigned char)*c) || *c == '&'))
                return refuse(s, "a property's name");
            name[n++] = *c;
        }
    name[n] = 0;
    const char *is = n > 2 ? NULL : name;
    for (size_t i = 0; i < PM_COUNT(known) && !is; i++) {
        size_t k = 0;
        while (name[k] && tolower((unsigned char)name[k]) == known[i].name[k]) k++;
        if (!name[k] && !known[i].name[k]) is = known[i].is;
    }
    pm_text_add(s->out, "\\%c{%s%s}", negated ? 'P' : 'p', is ? "" : "sc:", is ? is : name);
    s->at = close + 1;
    return PM_OK;
}

/* At a backslash. */
static pm_status translate_escape(source *s, bool in_class) {
    char c = s->at[1];
    if (!c) return refuse(s, "a backslash at the end");
    for (size_t i = 0; i < PM_COUNT(sets); i++)
        if (sets[i].letter == c) {
            const char *set = in_class ? sets[i].set : sets[i].outside;
            if (!set) return refuse(s, "a complement inside of a class");
            pm_text_add(s->out, "%s", set);
            s->at += 2;
            return PM_OK;
        }
    if (c == 'p' || c == 'P') return translate_property(s);
    if (c == 'u') {
        for (int i = 2; i < 6; i++)
            if (!isxdigit((unsigned char)s->at[i])) return refuse(s, "\\u without four digits");
        pm_text_add(s->out, "\\x{%.4s}", s->at + 2);
        s->at += 6;
        return PM_OK;
    }
    if (c == 'y' || c == 'Y' || c == 'O' || c == 'M' || c == 'C' || c == 'c') return refuse(s, "an escape");
    pm_text_add_bytes(s->out, s->at, 2);
    s->at += 2;
    return PM_OK;
}

/* [[:alpha:]]: its bytes, or 0. */
static size_t posix_class(const char *at) {
    if (at[0] != '[' || at[1] != ':') return 0;
    const char *end = strstr(at + 2, ":]");
    for (const char *c = at + 2; end && c < end; c++)
        if (!isalpha((unsigned char)*c) && *c != '^') return 0;
    return end ? (size_t)(end + 2 - at) : 0;
}

/* The items of a class up to its "]" or "&&". A class within adds its items. */
static pm_status translate_items(source *s) {
    int depth = 0;
    for (bool first = true; *s->at && (first || depth || *s->at != ']'); first = false) {
        size_t posix = posix_class(s->at);
        if (s->at[0] == '&' && s->at[1] == '&')
            return depth ? refuse(s, "an intersection inside of a class") : PM_OK;
        if (posix) {
            bool alpha = posix == 9 && !memcmp(s->at, "[:alpha:]", posix);
            pm_text_add_bytes(s->out, alpha ? "\\p{Alphabetic}" : s->at, alpha ? 14 : posix);
            s->at += posix;
        } else if (*s->at == '[') {
            if (*++s->at == '^') return refuse(s, "a complement inside of a class");
            depth++;
        } else if (*s->at == ']' && depth && !first) {
            s->at++;
            depth--;
        } else if (*s->at == '\\') {
            PM_TRY(translate_escape(s, true));
        } else {
            if (*s->at == ']' || *s->at == '^') pm_text_add_bytes(s->out, "\\", 1);
            pm_text_add_bytes(s->out, s->at++, 1);
        }
    }
    return *s->at ? PM_OK : refuse(s, "a class without its end");
}

/* At "[" of the pattern itself. An intersection becomes a lookahead for each part but the last. */
static pm_status translate_class(source *s) {
    pm_text part = {0}, *whole = s->out;
    pm_status status = PM_OK;
    bool negated = *++s->at == '^', more = true, cut = false;
    if (negated) s->at++;
    while (status == PM_OK && more) {
        s->out = &part;
        status = translate_items(s);
        s->out = whole;
        more = status == PM_OK && *s->at == '&';
        if (more && !cut) pm_text_add(whole, negated ? "(?:(?!" : "(?:");
        cut |= more;
        const char *form = more ? "(?=[%s%s])" : "[%s%s]";
        if (status == PM_OK) pm_text_add(whole, form, negated && !cut ? "^" : "", part.data ? part.data : "");
        if (more) s->at += 2;
        part.length = 0;
        if (part.data) part.data[0] = 0;
    }
    if (cut) pm_text_add(whole, negated ? ")(?s:.))" : ")");
    if (status == PM_OK) status = pm_text_status(&part);
    pm_text_free(&part);
    s->at += status == PM_OK;
    return status;
}

/* At "(?": flags mean the same but for m, which is PCRE2's s. */
static void translate_flags(source *s) {
    const char *end = s->at + 2;
    while (isalpha((unsigned char)*end) || *end == '-') end++;
    bool flags = end > s->at + 2 && (*end == ':' || *end == ')');
    for (pm_text_add_bytes(s->out, s->at, 2), s->at += 2; flags && s->at < end; s->at++)
        pm_text_add_bytes(s->out, *s->at == 'm' ? "s" : s->at, 1);
}

pm_status pm_tok_regex_translate(const char *pattern, const char *where, pm_text *out) {
    source s = {.at = pattern, .where = where, .pattern = pattern, .out = out};
    while (*s.at) {
        if (s.at[0] == '(' && s.at[1] == '*') return refuse(&s, "a verb");
        if (*s.at == '\\') {
            PM_TRY(translate_escape(&s, false));
        } else if (*s.at == '[') {
            PM_TRY(translate_class(&s));
        } else if (s.at[0] == '(' && s.at[1] == '?') {
            translate_flags(&s);
        } else {
            pm_text_add_bytes(out, s.at++, 1);
        }
    }
    return PM_OK;
}
