/* Regular expressions by PCRE2, on UTF-8 with Unicode classes. Bounded: a pattern that needs too many steps on a text is an
 * error, never a hang. The compiled pattern is read-only; what a search needs is its own. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "models/tokenizer/tok_data.h"

#include <pcre2.h>

enum { MATCH_LIMIT = 50 * 1000 * 1000, HEAP_LIMIT_KIB = 64 * 1024, MAX_PATTERN = 1 << 16 };

struct pm_tok_regex {
    pcre2_general_context *memory;
    pcre2_code *code;
    char *where;
};

struct pm_tok_match {
    const pm_tok_regex *regex;
    pcre2_match_data *data;
    pcre2_match_context *limits;
    const char *s;
    size_t n, at;
};

static void *allocate(PCRE2_SIZE n, void *user) {
    (void)user;
    return pm_alloc(n);
}

static void release(void *p, void *user) {
    (void)user;
    pm_free(p);
}

static pm_status out_of_memory(void) {
    return pm_raise(PM_ERR_MEMORY, "out of memory: a regular expression");
}

static pm_status compile(pm_tok_regex *r, const char *pattern, const char *translated) {
    int error;
    PCRE2_SIZE at;
    pcre2_compile_context *context = pcre2_compile_context_create(r->memory);
    if (!context) return out_of_memory();
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 100);
    r->code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &at,
                            context);
    pcre2_compile_context_free(context);
    if (r->code) {
        /* where there is no just-in-time compiler, the interpreter does it */
        error = pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
        return error == PCRE2_ERROR_NOMEMORY ? out_of_memory() : PM_OK;
    }
    if (error == PCRE2_ERROR_HEAP_FAILED) return out_of_memory();
    PCRE2_UCHAR text[120];
    pcre2_get_error_message(error, text, sizeof text);
    return pm_raise(PM_ERR_FILE, "%s: regular expression \"%.80s\": %s", r->where, pattern, (char *)text);
}

pm_status pm_tok_regex_open(const char *pattern, const char *where, pm_tok_regex **out) {
    pm_status s = PM_ERR_MEMORY;
    pm_text translated = {0};
    *out = NULL;
    if (strlen(pattern) > MAX_PATTERN)
        return pm_raise(PM_ERR_FILE, "%s: a regular expression has %zu bytes, at most %d were expected",
                        where, strlen(pattern), MAX_PATTERN);
    pm_tok_regex *r = pm_calloc(1, sizeof *r);
    if (!r) return PM_ERR_MEMORY;
    r->where = pm_strdup(where);
    if (!r->where) goto fail;
    r->memory = pcre2_general_context_create(allocate, release, NULL);
    if (!r->memory) goto fail;
    PM_GOTO(pm_tok_regex_translate(pattern, where, &translated));
    PM_GOTO(pm_text_status(&translated));
    PM_GOTO(compile(r, pattern, translated.data ? translated.data : ""));
    pm_text_free(&translated);
    *out = r;
    return PM_OK;
fail:
    pm_text_free(&translated);
    pm_tok_regex_close(r);
    return s;
}

void pm_tok_regex_close(pm_tok_regex *r) {
    if (!r) return;
    pcre2_code_free(r->code);
    pcre2_general_context_free(r->memory);
    pm_free(r->where);
    pm_free(r);
}

pm_status pm_tok_match_open(const pm_tok_regex *r, const char *s, size_t n, pm_tok_match **out) {
    pm_tok_match *m = *out = pm_calloc(1, sizeof *m);
    if (!m) return PM_ERR_MEMORY;
    *m = (pm_tok_match){.regex = r, .s = s, .n = n};
    m->data = pcre2_match_data_create_from_pattern(r->code, r->memory);
    m->limits = pcre2_match_context_create(r->memory);
    if (!m->data || !m->limits) {
        pm_tok_match_close(m);
        *out = NULL;
        return out_of_memory();
    }
    pcre2_set_match_limit(m->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(m->limits, HEAP_LIMIT_KIB);
    return PM_OK;
}

static int match_at(pm_tok_match *m, size_t at) {
    int k = pcre2_match(m->regex->code, (PCRE2_SPTR)m->s, m->n, at, PCRE2_NO_UTF_CHECK, m->data, m->limits);
    if (k != PCRE2_ERROR_JIT_STACKLIMIT) return k;
    return pcre2_match(m->regex->code, (PCRE2_SPTR)m->s, m->n, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, m->data,
                       m->limits);
}

pm_status pm_tok_match_next(pm_tok_match *m, bool *out_found, size_t *out_begin, size_t *out_end) {
    *out_found = false;
    while (m->at <= m->n) {
        int k = match_at(m, m->at);
        if (k == PCRE2_ERROR_NOMATCH) break;
        if (k < 0) {
            PCRE2_UCHAR text[120];
            pcre2_get_error_message(k, text, sizeof text);
            return pm_raise(k == PCRE2_ERROR_NOMEMORY ? PM_ERR_MEMORY : PM_ERR_USAGE,
                            "%s: regular expression, on %zu bytes of text: %s", m->regex->where, m->n,
                            (char *)text);
        }
        const PCRE2_SIZE *v = pcre2_get_ovector_pointer(m->data);
        size_t begin = v[0], end = v[1], last = m->at;
        bool empty = begin >= end;
        int32_t c;
        /* \K can put the beginning anywhere; a search goes forward all the same. */
        m->at = empty ? (begin < m->n ? begin + pm_tok_char(m->s + begin, m->n - begin, &c) : m->n + 1) : end;
        if (begin < last || m->at <= last)
            return pm_raise(PM_ERR_FILE, "%s: a regular expression goes backwards", m->regex->where);
        *out_found = true;
        *out_begin = begin;
        *out_end = empty ? begin : end;
        break;
    }
    return PM_OK;
}

void pm_tok_match_close(pm_tok_match *m) {
    if (!m) return;
    pcre2_match_data_free(m->data);
    pcre2_match_context_free(m->limits);
    pm_free(m);
}
