/* The text form of a graph, read back (the form is in text_print.c). Texts come from files: every line is
 * checked, and an error is PM_ERR_FILE with the line's number. Ids grow from line to line but may leave some
 * out. Invariant: tensors come to be through pm_add_op and pm_add_leaf alone, so that a parsed graph obeys
 * all shape rules. */
#include "graph/ops.h"
#include "graph/lexer.h"

#include <inttypes.h>
#include <string.h>

typedef struct named_id {
    int64_t id;
    pm_tensor *tensor;
} named_id;

typedef struct parser {
    const char *at;
    pm_graph *g;
    named_id *ids; /* ascending */
    size_t n_ids, ids_capacity;
    pm_text string; /* the newest quoted string */
    uint32_t *words;
    size_t words_capacity;
} parser;

static pm_status read_string(parser *p) {
    p->string.length = 0;
    if (p->string.data) p->string.data[0] = 0;
    return pm_lex_string(&p->at, &p->string);
}

/* "%7": a number that an earlier line has. */
static pm_status read_reference(parser *p, pm_tensor **out) {
    int64_t id = 0;
    PM_TRY(pm_lex_want(&p->at, '%'));
    PM_TRY(pm_lex_int(&p->at, 0, UINT32_MAX, &id));
    size_t low = 0, high = p->n_ids;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (p->ids[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == p->n_ids || p->ids[low].id != id)
        return pm_raise(PM_ERR_FILE, "%%%" PRId64 ": a tensor of an earlier line was expected", id);
    *out = p->ids[low].tensor;
    return PM_OK;
}

static pm_status read_inputs(parser *p, pm_tensor **in, int *out_n) {
    int n = 0;
    PM_TRY(pm_lex_want(&p->at, '('));
    while (!pm_lex_at(&p->at, ')')) {
        if (n == PM_MAX_IN) return pm_lex_expected(p->at, "')' after eight inputs");
        if (n) PM_TRY(pm_lex_want(&p->at, ','));
        in[n] = NULL;
        if (!pm_lex_take(&p->at, '_')) PM_TRY(read_reference(p, &in[n]));
        n++;
    }
    *out_n = n;
    return pm_lex_want(&p->at, ')');
}

typedef struct shape {
    pm_dtype type;
    int32_t rank;
    int64_t dims[PM_MAX_DIMS];
} shape;

static pm_status read_shape(parser *p, shape *out) {
    char word[8];
    PM_TRY(pm_lex_word(&p->at, word, sizeof word, "a type"));
    int type = 0;
    while (type < PM_N_DTYPES && strcmp(pm_dtype_name((pm_dtype)type), word) != 0) type++;
    if (type == PM_N_DTYPES) return pm_raise(PM_ERR_FILE, "type \"%s\": f32, i32 or bool was expected", word);
    out->type = (pm_dtype)type;
    return pm_lex_dims(&p->at, &out->rank, out->dims);
}

static bool take_word(parser *p, const char *word) {
    (void)pm_lex_at(&p->at, ' ');
    size_t n = strlen(word);
    if (strncmp(p->at, word, n) != 0) return false;
    p->at += n;
    return true;
}

/* As many values as stand there: memory grows with the text, not with what a shape claims. */
static pm_status read_data(parser *p, const shape *sh) {
    uint64_t n = 0, want = 1;
    PM_TRY(pm_check_dims("const", sh->rank, sh->dims));
    for (int32_t k = 0; k < sh->rank; k++) want *= (uint64_t)sh->dims[k];
    if (!take_word(p, "data")) return pm_lex_expected(p->at, "data[...]");
    PM_TRY(pm_lex_want(&p->at, '['));
    do {
        void *words = p->words;
        PM_TRY(pm_grow(&words, &p->words_capacity, (size_t)n + 1, sizeof *p->words));
        p->words = words;
        int64_t integer = 0;
        float real = 0;
        if (sh->type == PM_F32) {
            PM_TRY(pm_lex_f32(&p->at, &real));
            memcpy(&p->words[n++], &real, 4);
        } else {
            PM_TRY(pm_lex_int(&p->at, INT32_MIN, INT32_MAX, &integer));
            p->words[n++] = (uint32_t)(int32_t)integer;
        }
    } while (pm_lex_take(&p->at, ',') && n < want);
    if (n != want)
        return pm_raise(PM_ERR_FILE, "const: %" PRIu64 " values for %s, %" PRIu64 " were expected", n,
                        pm_shape_of(sh->rank, sh->dims).s, want);
    return pm_lex_want(&p->at, ']');
}

static pm_status read_leaf(parser *p, pm_op op, pm_tensor **out) {
    bool named = op != PM_OP_CONST && op != PM_OP_IOTA;
    shape sh = {0};
    if (named) PM_TRY(read_string(p));
    PM_TRY(read_shape(p, &sh));
    if (op == PM_OP_CONST) PM_TRY(read_data(p, &sh));
    *out = pm_add_leaf(p->g, op, named ? p->string.data : NULL, sh.type, sh.rank, sh.dims, p->words);
    return p->g->status;
}

static pm_status read_strides(parser *p, pm_tensor *t) {
    int64_t strides[PM_MAX_DIMS];
    int32_t rank = 0;
    PM_TRY(pm_lex_dims(&p->at, &rank, strides));
    if (rank != t->rank) return pm_raise(PM_ERR_FILE, "strides: %d of them, %d were expected", rank, t->rank);
    return pm_tensor_set_strides(t, strides);
}

static pm_status read_op(parser *p, pm_op op, pm_tensor **out) {
    pm_tensor *in[PM_MAX_IN];
    pm_attrs attrs;
    shape sh = {0};
    int n_in = 0;
    PM_TRY(read_inputs(p, in, &n_in));
    PM_TRY(pm_attrs_parse(&p->at, &attrs));
    PM_TRY(read_shape(p, &sh));
    pm_tensor *t = pm_add_op(p->g, op, n_in, in, &attrs);
    if (!t) return p->g->status;
    if (t->dtype != sh.type || t->rank != sh.rank ||
        memcmp(t->dims, sh.dims, (size_t)t->rank * sizeof t->dims[0]) != 0)
        return pm_raise(PM_ERR_FILE, "%s: its result is %s%s, the line says %s%s", pm_op_get(op)->name,
                        pm_dtype_name(t->dtype), pm_shape(t).s, pm_dtype_name(sh.type),
                        pm_shape_of(sh.rank, sh.dims).s);
    if (take_word(p, "strides")) PM_TRY(read_strides(p, t));
    *out = t;
    return PM_OK;
}

/* %ID = ... */
static pm_status read_tensor(parser *p) {
    char word[32];
    int64_t id = 0;
    pm_op op = PM_OP_INPUT;
    pm_tensor *t = NULL;
    void *ids = p->ids;
    PM_TRY(pm_lex_int(&p->at, 0, UINT32_MAX, &id));
    if (p->n_ids && id <= p->ids[p->n_ids - 1].id)
        return pm_raise(PM_ERR_FILE, "%%%" PRId64 ": more than %%%" PRId64 " was expected", id,
                        p->ids[p->n_ids - 1].id);
    PM_TRY(pm_lex_want(&p->at, '='));
    PM_TRY(pm_lex_word(&p->at, word, sizeof word, "an operation"));
    if (!pm_op_by_name(word, &op))
        return pm_raise(PM_ERR_FILE, "\"%s\": an operation's name was expected", word);
    PM_TRY(pm_op_get(op)->flags & PM_OPF_LEAF ? read_leaf(p, op, &t) : read_op(p, op, &t));
    if (pm_lex_take(&p->at, '@')) {
        PM_TRY(read_string(p));
        if (t->op == PM_OP_CONST || t->op == PM_OP_IOTA || !(pm_op_get(op)->flags & PM_OPF_LEAF))
            if (!(t->name = pm_arena_strdup(&p->g->arena, p->string.data))) return PM_ERR_MEMORY;
    }
    PM_TRY(pm_grow(&ids, &p->ids_capacity, p->n_ids + 1, sizeof p->ids[0]));
    p->ids = ids;
    p->ids[p->n_ids++] = (named_id){id, t};
    return PM_OK;
}

static pm_status read_output(parser *p) {
    pm_tensor *t = NULL;
    PM_TRY(read_string(p));
    PM_TRY(read_reference(p, &t));
    pm_output(p->g, p->string.data, t);
    return p->g->status;
}

static pm_status read_line(parser *p) {
    if (pm_lex_end_of_line(&p->at)) return PM_OK;
    if (!p->g) {
        if (!take_word(p, "graph")) return pm_lex_expected(p->at, "graph \"name\"");
        PM_TRY(read_string(p));
        PM_TRY(pm_graph_create(p->string.data, &p->g));
    } else if (pm_lex_take(&p->at, '%')) {
        PM_TRY(read_tensor(p));
    } else if (take_word(p, "output")) {
        PM_TRY(read_output(p));
    } else {
        return pm_lex_expected(p->at, "%, output or #");
    }
    return pm_lex_end_of_line(&p->at) ? PM_OK : pm_lex_expected(p->at, "the end of the line");
}

pm_status pm_graph_parse(const char *text, pm_graph **out_graph) {
    parser p = {.at = text};
    pm_status s = PM_OK;
    uint64_t line = 1;
    *out_graph = NULL;
    for (;; line++) {
        s = read_line(&p);
        if (s != PM_OK || !*p.at) break;
        p.at++;
    }
    if (s == PM_OK && !p.g) s = pm_raise(PM_ERR_FILE, "nothing in it, graph \"name\" was expected");
    if (s == PM_OK) s = pm_graph_verify(p.g); /* our own mistakes: builders refuse what is wrong */
    if (s != PM_OK && s != PM_ERR_MEMORY)
        s = pm_raise(PM_ERR_FILE, "graph text, line %" PRIu64 ": %s", line, pm_error_text());
    pm_free(p.ids);
    pm_free(p.words);
    pm_text_free(&p.string);
    if (s == PM_OK)
        *out_graph = p.g;
    else
        pm_graph_destroy(p.g);
    return s;
}
