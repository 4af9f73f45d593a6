/* See gguf.h. Owns the mapped file and the table of its keys. Invariant: a value in the table, arrays and their texts
 * included, lies inside the file. */
#include "models/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/gguf_reader.h"

/* Types of values, numbered as the format has them. */
enum { U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64, N_TYPES };
static const struct {
    unsigned char bytes; /* of one value; 0: as long as it says */
    char kind;           /* i: integer, u: unsigned, f: real, b: bool, s: text, a: array */
} types[N_TYPES] = {
    [U8] = {1, 'u'},  [I8] = {1, 'i'},  [U16] = {2, 'u'},  [I16] = {2, 'i'},  [U32] = {4, 'u'},
    [I32] = {4, 'i'}, [F32] = {4, 'f'}, [BOOL] = {1, 'b'}, [TEXT] = {0, 's'}, [ARRAY] = {0, 'a'},
    [U64] = {8, 'u'}, [I64] = {8, 'i'}, [F64] = {8, 'f'},
};

/* The value of a key. Single values are arrays of one, told apart by is_array. */
typedef struct value {
    pm_gguf_text key;
    unsigned type; /* of the elements */
    bool is_array;
    uint64_t n;
    const unsigned char *at; /* element 0, where elements are equally long */
    const pm_gguf_text *texts;
} value;

struct pm_gguf {
    const char *label;
    pm_blob file;  /* nothing when the bytes are the caller's */
    value *values; /* sorted by key */
    uint64_t n_values;
    pm_entry *entries; /* sorted by name */
    uint64_t n_entries;
    pm_arena arena;
};

/* ---- reading ---- */

/* Words of the smallest key and of the smallest tensor: a count beyond what they allow is refused before it is
 * believed. */
enum { MIN_KEY_BYTES = 8 + 4 + 1, MIN_TENSOR_BYTES = 8 + 4 + 4 + 8 };

static pm_status read_count(pm_gguf_reader *r, const char *what, uint64_t min_bytes, uint64_t *out) {
    PM_TRY(pm_gguf_next(r, 8, what, out));
    if (*out <= (r->bytes - r->at) / min_bytes) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: %s is %" PRIu64 ", but only %" PRIu64 " bytes follow", r->label, what,
                    *out, r->bytes - r->at);
}

static pm_status read_texts(pm_gguf *g, pm_gguf_reader *r, const char *what, value *v) {
    if (v->n > (r->bytes - r->at) / 8)
        return pm_raise(PM_ERR_FILE, "%s: %s has %" PRIu64 " texts, but only %" PRIu64 " bytes follow",
                        r->label, what, v->n, r->bytes - r->at);
    pm_gguf_text *texts = pm_arena_alloc(&g->arena, (size_t)v->n * sizeof *texts);
    if (!texts) return PM_ERR_MEMORY;
    for (uint64_t i = 0; i < v->n; i++) PM_TRY(pm_gguf_next_text(r, what, &texts[i]));
    v->texts = texts;
    return PM_OK;
}

static pm_status read_type(pm_gguf_reader *r, const char *what, unsigned *out) {
    uint64_t type = 0;
    PM_TRY(pm_gguf_next(r, 4, what, &type));
    if (type >= N_TYPES)
        return pm_raise(PM_ERR_FILE, "%s: %s has type %" PRIu64 ", expected 0..%d", r->label, what, type,
                        N_TYPES - 1);
    *out = (unsigned)type;
    return PM_OK;
}

static pm_status read_value(pm_gguf *g, pm_gguf_reader *r, value *v) {
    char what[128];
    uint64_t bytes = 0;
    PM_TRY(pm_gguf_next_text(r, "a key", &v->key));
    snprintf(what, sizeof what, "key %s", pm_gguf_show(v->key).s);
    PM_TRY(read_type(r, what, &v->type));
    v->n = 1;
    v->is_array = v->type == ARRAY;
    if (v->is_array) {
        PM_TRY(read_type(r, what, &v->type));
        PM_TRY(pm_gguf_next(r, 8, what, &v->n));
        if (v->type == ARRAY)
            return pm_raise(PM_ERR_FILE, "%s: %s is an array of arrays, expected one of numbers or texts",
                            r->label, what);
    }
    if (v->type == TEXT) return read_texts(g, r, what, v);
    if (!pm_mul_u64(v->n, types[v->type].bytes, &bytes))
        return pm_raise(PM_ERR_FILE, "%s: %s has %" PRIu64 " elements, more than any file", r->label, what,
                        v->n);
    v->at = r->data + r->at;
    return pm_gguf_skip(r, bytes, what);
}

static int compare_texts(pm_gguf_text a, pm_gguf_text b) {
    int c = memcmp(a.s, b.s, (size_t)(a.n < b.n ? a.n : b.n));
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int by_key(const void *a, const void *b) {
    return compare_texts(((const value *)a)->key, ((const value *)b)->key);
}

static pm_status read_values(pm_gguf *g, pm_gguf_reader *r, uint64_t n) {
    g->values = pm_arena_alloc(&g->arena, (size_t)(n + 1) * sizeof *g->values);
    if (!g->values) return PM_ERR_MEMORY;
    for (; g->n_values < n; g->n_values++) PM_TRY(read_value(g, r, &g->values[g->n_values]));
    qsort(g->values, (size_t)n, sizeof *g->values, by_key);
    for (uint64_t i = 1; i < n; i++)
        if (by_key(&g->values[i - 1], &g->values[i]) == 0)
            return pm_raise(PM_ERR_FILE, "%s: key %s is there twice", r->label,
                            pm_gguf_show(g->values[i].key).s);
    return PM_OK;
}

static pm_status read_alignment(const pm_gguf *g, uint64_t *out) {
    int64_t a = 32; /* the format's default */
    static const char key[] = "general.alignment";
    pm_gguf_int(g, key, &a);
    if (a < 8 || a > 1 << 20 || (a & (a - 1)) != 0)
        return pm_raise(PM_ERR_FILE, "%s: %s is %" PRId64 ", expected a power of two of 8..%d", g->label, key,
                        a, 1 << 20);
    *out = (uint64_t)a;
    return PM_OK;
}

static pm_status read_head(pm_gguf_reader *r) {
    uint64_t version = 0;
    if (r->bytes < 4 || memcmp(r->data, "GGUF", 4) != 0)
        return pm_raise(PM_ERR_FILE, "%s: does not begin with GGUF", r->label);
    r->at = 4;
    PM_TRY(pm_gguf_next(r, 4, "the version", &version));
    if (version == 2 || version == 3) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: version is %" PRIu64 "%s, expected 2 or 3", r->label, version,
                    version && !(version & 0xffff) ? " (a big-endian file)" : "");
}

static pm_status read_all(pm_gguf *g, pm_gguf_reader *r) {
    uint64_t n_values = 0, n_tensors = 0, alignment = 0;
    PM_TRY(read_head(r));
    PM_TRY(read_count(r, "the number of tensors", MIN_TENSOR_BYTES, &n_tensors));
    PM_TRY(read_count(r, "the number of keys", MIN_KEY_BYTES, &n_values));
    PM_TRY(read_values(g, r, n_values));
    PM_TRY(read_alignment(g, &alignment));
    PM_TRY(pm_gguf_read_tensors(r, n_tensors, alignment, &g->arena, &g->entries));
    g->n_entries = n_tensors;
    return PM_OK;
}

pm_status pm_gguf_parse(const char *label, const unsigned char *data, size_t bytes, pm_gguf **out) {
    *out = NULL;
    pm_gguf *g = pm_calloc(1, sizeof *g);
    if (!g) return PM_ERR_MEMORY;
    g->label = pm_arena_strdup(&g->arena, label);
    pm_gguf_reader r = {.label = g->label, .data = data, .bytes = bytes};
    pm_status s = g->label ? read_all(g, &r) : PM_ERR_MEMORY;
    if (s == PM_OK)
        *out = g;
    else
        pm_gguf_close(g);
    return s;
}

pm_status pm_gguf_open(const char *path, pm_gguf **out) {
    pm_blob file;
    *out = NULL;
    PM_TRY(pm_blob_open(path, &file));
    pm_status s = pm_gguf_parse(path, file.data, file.bytes, out);
    if (s == PM_OK)
        (*out)->file = file;
    else
        pm_blob_close(&file);
    return s;
}

void pm_gguf_close(pm_gguf *g) {
    if (!g) return;
    pm_blob_close(&g->file);
    pm_arena_free(&g->arena);
    pm_free(g);
}

/* ---- looking up ---- */

static const value *find(const pm_gguf *g, const char *key) {
    value wanted = {.key = {key, strlen(key)}};
    return g->n_values ? bsearch(&wanted, g->values, (size_t)g->n_values, sizeof wanted, by_key) : NULL;
}

static bool int_of(const value *v, uint64_t i, int64_t *out) {
    int bytes = types[v->type].bytes;
    char kind = types[v->type].kind;
    if (kind != 'i' && kind != 'u') return false;
    uint64_t word = pm_gguf_word(v->at + i * (uint64_t)bytes, bytes);
    if (kind == 'u' && word > INT64_MAX) return false;
    uint64_t sign = (uint64_t)1 << (8 * bytes - 1);
    *out = kind == 'i' && word & sign ? -(int64_t)(~word & (sign - 1)) - 1 : (int64_t)word;
    return true;
}

static bool real_of(const value *v, uint64_t i, double *out) {
    int64_t integer;
    if (types[v->type].kind != 'f') return int_of(v, i, &integer) && (*out = (double)integer, true);
    uint64_t word = pm_gguf_word(v->at + i * types[v->type].bytes, types[v->type].bytes);
    uint32_t half = (uint32_t)word;
    float single;
    memcpy(&single, &half, sizeof single);
    *out = single;
    if (v->type == F64) memcpy(out, &word, sizeof *out);
    return true;
}

static const value *find_single(const pm_gguf *g, const char *key) {
    const value *v = find(g, key);
    return v && !v->is_array ? v : NULL;
}

bool pm_gguf_int(const pm_gguf *g, const char *key, int64_t *out) {
    const value *v = find_single(g, key);
    return v && int_of(v, 0, out);
}

bool pm_gguf_real(const pm_gguf *g, const char *key, double *out) {
    const value *v = find_single(g, key);
    return v && real_of(v, 0, out);
}

bool pm_gguf_bool(const pm_gguf *g, const char *key, bool *out) {
    const value *v = find_single(g, key);
    if (!v || v->type != BOOL) return false;
    *out = *v->at != 0;
    return true;
}

bool pm_gguf_string(const pm_gguf *g, const char *key, pm_gguf_text *out) {
    const value *v = find_single(g, key);
    if (!v || v->type != TEXT) return false;
    *out = v->texts[0];
    return true;
}

/* Element i of an array can be had. */
static const value *find_element(const pm_gguf *g, const char *key, uint64_t i) {
    const value *v = find(g, key);
    return v && v->is_array && i < v->n ? v : NULL;
}

uint64_t pm_gguf_length(const pm_gguf *g, const char *key) {
    const value *v = find(g, key);
    return v && v->is_array ? v->n : 0;
}

bool pm_gguf_string_at(const pm_gguf *g, const char *key, uint64_t i, pm_gguf_text *out) {
    const value *v = find_element(g, key, i);
    if (!v || v->type != TEXT) return false;
    *out = v->texts[i];
    return true;
}

bool pm_gguf_int_at(const pm_gguf *g, const char *key, uint64_t i, int64_t *out) {
    const value *v = find_element(g, key, i);
    if (v && v->type == BOOL) return *out = v->at[i] != 0, true;
    return v && int_of(v, i, out);
}

bool pm_gguf_real_at(const pm_gguf *g, const char *key, uint64_t i, double *out) {
    const value *v = find_element(g, key, i);
    return v && real_of(v, i, out);
}

bool pm_gguf_has(const pm_gguf *g, const char *key) {
    return find(g, key) != NULL;
}

/* ---- tensors ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_entry *)a)->array.name, ((const pm_entry *)b)->array.name);
}

const pm_entry *pm_gguf_find(const pm_gguf *g, const char *name) {
    pm_entry wanted = {.array = {.name = name}};
    return g->n_entries ? bsearch(&wanted, g->entries, (size_t)g->n_entries, sizeof wanted, by_name) : NULL;
}

const pm_entry *pm_gguf_tensors(const pm_gguf *g, size_t *out_n) {
    *out_n = (size_t)g->n_entries;
    return g->entries;
}

const char *pm_gguf_label(const pm_gguf *g) {
    return g->label;
}
