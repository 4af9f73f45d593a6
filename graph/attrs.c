/* Attributes as text, " {eps=1e-05, act=gelu}", and back. Owns the names; one row an attribute. A value of
 * zero is the default and is not written. Knows no operation: which attributes mean something is for the
 * shape rules to say. */
#include "graph/lexer.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

typedef enum attr_kind { ATTR_I64, ATTR_I32, ATTR_F32, ATTR_DIMS, ATTR_AXES, ATTR_ACT, ATTR_MASK } attr_kind;

static const struct {
    const char *name;
    attr_kind kind;
    size_t at, bytes;
} rows[] = {
#define ROW(field, kind)                                                                                     \
    { #field, kind, offsetof(pm_attrs, field), sizeof((pm_attrs *)0)->field }
    ROW(dims, ATTR_DIMS),  ROW(axes, ATTR_AXES),  ROW(axis, ATTR_I32),   ROW(start, ATTR_I64),
    ROW(length, ATTR_I64), ROW(step, ATTR_I64), ROW(window, ATTR_I64), ROW(origin, ATTR_I64), ROW(act, ATTR_ACT),
    ROW(mask, ATTR_MASK),  ROW(eps, ATTR_F32),    ROW(scale, ATTR_F32),  ROW(softcap, ATTR_F32),
    ROW(limit, ATTR_F32),
#undef ROW
};

static const char *const act_names[PM_N_ACT] = {
    [PM_ACT_NONE] = "none",       [PM_ACT_RELU] = "relu",
    [PM_ACT_GELU] = "gelu",       [PM_ACT_GELU_TANH] = "gelu_tanh",
    [PM_ACT_SILU] = "silu",       [PM_ACT_TANH] = "tanh",
    [PM_ACT_SIGMOID] = "sigmoid", [PM_ACT_QUICK_GELU] = "quick_gelu",
};

static const char *const mask_names[] = {"causal",   "window",   "length", "keys",   "bias",
                                         "position", "relative", "sink",   "global", "rows"}; /* bit i */

bool pm_attrs_equal(const pm_attrs *a, const pm_attrs *b) {
    if (a->rank != b->rank) return false;
    for (size_t i = 0; i < PM_COUNT(rows); i++)
        if (memcmp((const char *)a + rows[i].at, (const char *)b + rows[i].at, rows[i].bytes) != 0)
            return false;
    return true;
}

/* ---- printing ---- */

void pm_text_add_f32(pm_text *t, float value) {
    uint32_t word;
    memcpy(&word, &value, 4);
    if ((word & 0x7f800000u) == 0x7f800000u)
        pm_text_add(t, "0x%08x", word); /* infinities and the payload of NaNs */
    else
        pm_text_add(t, "%.9g", (double)value);
}

static bool is_default(const pm_attrs *a, size_t row) {
    static const char zero[sizeof(pm_attrs)];
    switch (rows[row].kind) {
    case ATTR_DIMS: return a->rank == 0 || a->dims[0] == 0;
    case ATTR_AXES: return a->rank == 0 || a->dims[0] != 0; /* the identity of rank 1 is all zero, too */
    default: return memcmp((const char *)a + rows[row].at, zero, rows[row].bytes) == 0;
    }
}

static void print_mask(pm_text *t, uint32_t mask) {
    const char *between = "";
    for (size_t i = 0; i < PM_COUNT(mask_names); i++)
        if (mask & 1u << i) {
            pm_text_add(t, "%s%s", between, mask_names[i]);
            between = "|";
        }
}

static void print_value(pm_text *t, const pm_attrs *a, size_t row) {
    const void *at = (const char *)a + rows[row].at;
    switch (rows[row].kind) {
    case ATTR_I64: pm_text_add(t, "%" PRId64, *(const int64_t *)at); break;
    case ATTR_I32: pm_text_add(t, "%" PRId32, *(const int32_t *)at); break;
    case ATTR_F32: pm_text_add_f32(t, *(const float *)at); break;
    case ATTR_ACT: pm_text_add(t, "%s", a->act > 0 && a->act < PM_N_ACT ? act_names[a->act] : "none"); break;
    case ATTR_MASK: print_mask(t, a->mask); break;
    case ATTR_DIMS:
    case ATTR_AXES:
        for (int32_t k = 0; k < a->rank; k++)
            pm_text_add(t, "%s%" PRId64, k ? "," : "[",
                        rows[row].kind == ATTR_DIMS ? a->dims[k] : a->axes[k]);
        pm_text_add(t, "]");
        break;
    }
}

void pm_attrs_print(pm_text *t, const pm_attrs *a) {
    const char *open = " {";
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        if (is_default(a, i)) continue;
        pm_text_add(t, "%s%s=", open, rows[i].name);
        print_value(t, a, i);
        open = ", ";
    }
    if (*open == ',') pm_text_add(t, "}");
}

/* ---- parsing ---- */

static pm_status parse_name_of(const char **cursor, const char *const *names, size_t n, size_t *out_index) {
    char word[32];
    PM_TRY(pm_lex_word(cursor, word, sizeof word, "a name"));
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], word) == 0) {
            *out_index = i;
            return PM_OK;
        }
    return pm_raise(PM_ERR_FILE, "\"%s\": one of \"%s\" to \"%s\" was expected", word, names[0],
                    names[n - 1]);
}

static pm_status parse_mask(const char **cursor, uint32_t *out_mask) {
    do {
        size_t bit = 0;
        PM_TRY(parse_name_of(cursor, mask_names, PM_COUNT(mask_names), &bit));
        *out_mask |= 1u << bit;
    } while (pm_lex_take(cursor, '|'));
    return PM_OK;
}

static pm_status parse_list(const char **cursor, attr_kind kind, pm_attrs *a) {
    int64_t values[PM_MAX_DIMS];
    PM_TRY(pm_lex_dims(cursor, &a->rank, values));
    for (int32_t k = 0; k < a->rank; k++) {
        if (kind == ATTR_AXES && (values[k] < -PM_MAX_DIMS || values[k] >= PM_MAX_DIMS))
            return pm_raise(PM_ERR_FILE, "axes: %" PRId64 ", less than %d was expected", values[k],
                            PM_MAX_DIMS);
        if (kind == ATTR_DIMS)
            a->dims[k] = values[k];
        else
            a->axes[k] = (int32_t)values[k];
    }
    return PM_OK;
}

static pm_status parse_value(const char **cursor, size_t row, pm_attrs *a) {
    void *at = (char *)a + rows[row].at;
    int64_t number = 0;
    size_t act = 0;
    switch (rows[row].kind) {
    case ATTR_I64: return pm_lex_int(cursor, INT64_MIN, INT64_MAX, at);
    case ATTR_F32: return pm_lex_f32(cursor, at);
    case ATTR_MASK: return parse_mask(cursor, &a->mask);
    case ATTR_DIMS:
    case ATTR_AXES: return parse_list(cursor, rows[row].kind, a);
    case ATTR_I32:
        PM_TRY(pm_lex_int(cursor, INT32_MIN, INT32_MAX, &number));
        *(int32_t *)at = (int32_t)number;
        return PM_OK;
    case ATTR_ACT:
        PM_TRY(parse_name_of(cursor, act_names, PM_N_ACT, &act));
        a->act = (int32_t)act;
        return PM_OK;
    }
    return PM_OK;
}

pm_status pm_attrs_parse(const char **cursor, pm_attrs *a) {
    uint32_t seen = 0;
    *a = (pm_attrs){0};
    if (!pm_lex_take(cursor, '{')) return PM_OK;
    do {
        char word[32];
        size_t row = 0;
        PM_TRY(pm_lex_word(cursor, word, sizeof word, "an attribute"));
        while (row < PM_COUNT(rows) && strcmp(rows[row].name, word) != 0) row++;
        if (row == PM_COUNT(rows))
            return pm_raise(PM_ERR_FILE, "\"%s\": an attribute's name was expected", word);
        if (seen & 1u << row) return pm_raise(PM_ERR_FILE, "\"%s\": stands twice, once was expected", word);
        seen |= 1u << row;
        PM_TRY(pm_lex_want(cursor, '='));
        PM_TRY(parse_value(cursor, row, a));
    } while (pm_lex_take(cursor, ','));
    if ((seen & 3u) == 3u) return pm_raise(PM_ERR_FILE, "dims and axes: only one of them was expected");
    return pm_lex_want(cursor, '}');
}
