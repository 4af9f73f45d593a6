/* Unicode normalization forms, case and accents. utf8proc has the tables (decompositions, combining classes, pairs that compose); the
 * walk is ours, since each character must keep the place that it came from. */
#include "models/tokenizer/tok_data.h"

#include <utf8proc.h>

typedef struct mark {
    int32_t c;
    utf8proc_propval_t class;
    pm_tok_span at;
} mark;

typedef struct marks {
    mark *v, *sorted;
    size_t n, capacity, sorted_capacity;
} marks;

enum { COMPOSE, COMPATIBLE };

pm_status pm_tok_unicode_setup(pm_tok_component *c, const json_t *json, const char *where) {
    (void)json, (void)where;
    c->flag[COMPATIBLE] = c->kind->name[2] == 'K';
    c->flag[COMPOSE] = c->kind->name[strlen(c->kind->name) - 1] == 'C';
    return PM_OK;
}

static utf8proc_propval_t combining_class(int32_t c) {
    return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

static pm_status decompose(pm_tok_view in, bool compatible, marks *out) {
    utf8proc_option_t options = UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (compatible ? UTF8PROC_COMPAT : 0);
    utf8proc_int32_t parts[32];
    int boundary = 0;
    int32_t c;
    for (size_t i = 0, k; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &c);
        parts[0] = c;
        utf8proc_ssize_t n = c < 0x80 ? 1 : utf8proc_decompose_char(c, parts, 32, options, &boundary);
        if (n < 1 || n > 32) n = 1, parts[0] = c;
        PM_TRY(pm_grow((void **)&out->v, &out->capacity, out->n + (size_t)n, sizeof *out->v));
        for (utf8proc_ssize_t j = 0; j < n; j++)
            out->v[out->n++] = (mark){parts[j], combining_class(parts[j]), in.at[i]};
    }
    return PM_OK;
}

/* Marks after a starter by combining class, stably: a counting sort, so that a million marks are no way to waste time. */
static pm_status sort_marks(marks *m, size_t begin, size_t end) {
    size_t count[257] = {0};
    bool sorted = true;
    for (size_t i = begin + 1; i < end; i++) sorted &= m->v[i - 1].class <= m->v[i].class;
    if (sorted) return PM_OK;
    PM_TRY(pm_grow((void **)&m->sorted, &m->sorted_capacity, end - begin, sizeof *m->sorted));
    for (size_t i = begin; i < end; i++) count[(m->v[i].class & 255) + 1]++;
    for (size_t i = 1; i < PM_COUNT(count); i++) count[i] += count[i - 1];
    for (size_t i = begin; i < end; i++) m->sorted[count[m->v[i].class & 255]++] = m->v[i];
    memcpy(m->v + begin, m->sorted, (end - begin) * sizeof *m->v);
    return PM_OK;
}

static pm_status order(marks *m) {
    for (size_t i = 0; i < m->n;) {
        size_t begin = i;
        while (i < m->n && m->v[i].class) i++;
        if (i > begin + 1) PM_TRY(sort_marks(m, begin, i));
        if (i == begin) i++;
    }
    return PM_OK;
}

/* What two characters compose to, or -1. */
static int32_t compose_pair(int32_t a, int32_t b) {
    if (b < 0x300) return -1;
    utf8proc_int32_t pair[3] = {a, b, 0};
    utf8proc_ssize_t n = utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return n == 1 ? pair[0] : -1;
}

/* The standard's canonical composition (3.11, D117): a mark joins the last starter unless something of its class is between. */
static void compose(marks *m) {
    size_t n = 0, starter = SIZE_MAX;
    utf8proc_propval_t last = 0;
    for (size_t i = 0; i < m->n; i++) {
        mark c = m->v[i];
        bool blocked = starter == SIZE_MAX || (n > starter + 1 && last >= c.class);
        int32_t joined = blocked ? -1 : compose_pair(m->v[starter].c, c.c);
        if (joined >= 0) {
            m->v[starter].c = joined;
            continue;
        }
        if (c.class == 0) starter = n;
        last = c.class;
        m->v[n++] = c;
    }
    m->n = n;
}

static pm_status normalize_form(pm_tok_view in, bool composed, bool compatible, pm_tok_text *out) {
    marks m = {0};
    size_t ascii = 0;
    while (ascii < in.n && (unsigned char)in.s[ascii] < 0x80) ascii++;
    if (ascii == in.n) return pm_tok_text_copy(out, in, 0, in.n);
    pm_status s = decompose(in, compatible, &m);
    if (s == PM_OK) s = order(&m);
    if (s == PM_OK && composed) compose(&m);
    for (size_t i = 0; i < m.n && s == PM_OK; i++) s = pm_tok_text_add_char(out, m.v[i].c, m.v[i].at);
    pm_free(m.v);
    pm_free(m.sorted);
    return s;
}

pm_status pm_tok_unicode_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    return normalize_form(in, c->flag[COMPOSE], c->flag[COMPATIBLE], out);
}

static pm_status nfd(pm_tok_view in, pm_tok_text *out) {
    return normalize_form(in, false, false, out);
}

pm_status pm_tok_strip_marks(pm_tok_view in, bool nonspacing_only, pm_tok_text *out) {
    int32_t c;
    for (size_t i = 0, k; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &c);
        if (c >= 0x300 && (nonspacing_only ? pm_tok_is_mark_nonspacing(c) : pm_tok_is_mark(c))) continue;
        PM_TRY(pm_tok_text_copy(out, in, i, i + k));
    }
    return PM_OK;
}

pm_status pm_tok_lowercase(const pm_tok_component *component, pm_tok_view in, pm_tok_text *out) {
    int32_t c;
    (void)component;
    for (size_t i = 0, k; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &c);
        int32_t lower = c < 0x80 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : utf8proc_tolower(c);
        if (c == 0x130) { /* the only one that becomes two */
            PM_TRY(pm_tok_text_add(out, "i\xCC\x87", 3, in.at[i]));
        } else {
            PM_TRY(lower == c ? pm_tok_text_copy(out, in, i, i + k)
                              : pm_tok_text_add_char(out, lower, in.at[i]));
        }
    }
    return PM_OK;
}

/* ---- BERT's: flags clean_text, handle_chinese_chars, strip_accents, lowercase ---- */

static pm_status clean(pm_tok_view in, bool clean_text, bool chinese, pm_tok_text *out) {
    int32_t c;
    for (size_t i = 0, k; i < in.n; i += k) {
        k = pm_tok_char(in.s + i, in.n - i, &c);
        bool blank = c == '\t' || c == '\n' || c == '\r' || c == ' ';
        if (clean_text && !blank && (c == 0 || c == 0xFFFD || pm_tok_is_other(c))) continue;
        bool apart = chinese && pm_tok_is_chinese(c);
        if (apart) PM_TRY(pm_tok_text_add(out, " ", 1, in.at[i]));
        PM_TRY(clean_text && pm_tok_is_space(c) ? pm_tok_text_add(out, " ", 1, in.at[i])
                                                : pm_tok_text_copy(out, in, i, i + k));
        if (apart) PM_TRY(pm_tok_text_add(out, " ", 1, in.at[i]));
    }
    return PM_OK;
}

pm_status pm_tok_bert_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out) {
    pm_tok_text cleaned = {0}, split = {0}, bare = {0};
    pm_status s;
    pm_tok_view v;
    PM_GOTO(clean(in, c->flag[0], c->flag[1], &cleaned));
    v = pm_tok_text_view(&cleaned, 0, cleaned.n, in.origin);
    if (c->flag[2]) {
        PM_GOTO(nfd(v, &split));
        PM_GOTO(pm_tok_strip_marks(pm_tok_text_view(&split, 0, split.n, in.origin), true, &bare));
        v = pm_tok_text_view(&bare, 0, bare.n, in.origin);
    }
    PM_GOTO(c->flag[3] ? pm_tok_lowercase(NULL, v, out) : pm_tok_text_copy(out, v, 0, v.n));
fail:
    pm_tok_text_free(&cleaned);
    pm_tok_text_free(&split);
    pm_tok_text_free(&bare);
    return s;
}
