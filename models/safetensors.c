/* See safetensors.h. Invariant: an array that comes out lies inside the file, and its bytes are its
 * elements'. */
#include "models/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Types of the format whose size is known. Those without a pm_dtype, and types that are not here, are refused only
 * when somebody asks for the tensor. */
typedef struct dtype_row {
    const char *name;
    uint64_t bytes;
    pm_dtype dtype;
} dtype_row;

static const dtype_row dtype_rows[] = {
    {"F32", 4, PM_F32},      {"F16", 2, PM_F16},          {"BF16", 2, PM_BF16},
    {"I64", 8, PM_I64},      {"I32", 4, PM_I32},          {"U8", 1, PM_U8},
    {"BOOL", 1, PM_BOOL},    {"F64", 8, PM_N_DTYPES},     {"I16", 2, PM_N_DTYPES},
    {"U16", 2, PM_N_DTYPES}, {"U32", 4, PM_N_DTYPES},     {"U64", 8, PM_N_DTYPES},
    {"I8", 1, PM_N_DTYPES},  {"F8_E4M3", 1, PM_N_DTYPES}, {"F8_E5M2", 1, PM_N_DTYPES},
};

const char *pm_safetensors_dtype(pm_dtype t) {
    for (size_t i = 0; i < PM_COUNT(dtype_rows); i++)
        if (dtype_rows[i].dtype == t && t != PM_N_DTYPES) return dtype_rows[i].name;
    return NULL;
}

static const dtype_row *find_dtype(const char *name) {
    for (size_t i = 0; name && i < PM_COUNT(dtype_rows); i++)
        if (strcmp(dtype_rows[i].name, name) == 0) return &dtype_rows[i];
    return NULL;
}

/* What one entry is read with: names for errors, the data section's place, where texts go. */
typedef struct entry_context {
    const char *label, *name;
    const unsigned char *data;
    uint64_t data_bytes;
    pm_arena *arena;
} entry_context;

static pm_status read_shape(const entry_context *c, const json_t *shape, pm_array *a, uint64_t *out_elems) {
    uint64_t n = 1;
    if (!json_is_array(shape))
        return pm_raise(PM_ERR_FILE, "%s: tensor %s: shape is not an array", c->label, c->name);
    size_t rank = json_array_size(shape);
    a->rank = rank <= PM_MAX_DIMS ? (int32_t)rank : 0;
    for (size_t i = 0; i < rank; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return pm_raise(PM_ERR_FILE,
                            "%s: tensor %s: dim %zu of its shape is %s%" JSON_INTEGER_FORMAT
                            ", an integer of 0 or more was expected",
                            c->label, c->name, i,
                            json_is_integer(d) ? "" : "not an integer: ", json_integer_value(d));
        int64_t dim = json_integer_value(d);
        if (rank <= PM_MAX_DIMS) a->dims[i] = dim;
        if (!pm_mul_u64(n, (uint64_t)dim, &n))
            return pm_raise(PM_ERR_FILE,
                            "%s: tensor %s: the product of its dims overflows at dim %zu, which is %" PRId64,
                            c->label, c->name, i, dim);
    }
    *out_elems = n;
    return PM_OK;
}

static pm_status read_offsets(const entry_context *c, const json_t *offsets, uint64_t out[2]) {
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s: data_offsets is not an array of two numbers", c->label,
                        c->name);
    for (size_t i = 0; i < 2; i++) {
        const json_t *v = json_array_get(offsets, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0) {
            char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
            pm_status s =
                pm_raise(PM_ERR_FILE,
                         "%s: tensor %s: data_offsets[%zu] is %.40s, an integer of 0 or more was expected",
                         c->label, c->name, i, text ? text : "something else");
            free(text);
            return s;
        }
        out[i] = (uint64_t)json_integer_value(v);
    }
    if (out[0] > out[1] || out[1] > c->data_bytes)
        return pm_raise(PM_ERR_FILE,
                        "%s: tensor %s: data_offsets are %" PRIu64 " to %" PRIu64
                        ", inside the file's %" PRIu64 " bytes of data was expected",
                        c->label, c->name, out[0], out[1], c->data_bytes);
    return PM_OK;
}

/* Says why no pm_array can hold the tensor, if so. */
static pm_status refuse(const entry_context *c, const char *type, pm_dtype dtype, size_t rank,
                        const char **out) {
    char text[160];
    if (dtype == PM_N_DTYPES)
        snprintf(text, sizeof text, "has type %.40s, expected F32, F16, BF16, I64, I32, U8 or BOOL", type);
    else if (rank > PM_MAX_DIMS)
        snprintf(text, sizeof text, "has %zu dims, at most %d were expected", rank, PM_MAX_DIMS);
    else
        return PM_OK;
    *out = pm_arena_strdup(c->arena, text);
    return *out ? PM_OK : PM_ERR_MEMORY;
}

static pm_status read_entry(const entry_context *c, const json_t *entry, pm_entry *out) {
    uint64_t elems = 0, bytes = 0, at[2] = {0};
    const json_t *shape = json_object_get(entry, "shape");
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const dtype_row *row = find_dtype(type);
    if (!json_is_object(entry))
        return pm_raise(PM_ERR_FILE, "%s: tensor %s: its entry is not an object", c->label, c->name);
    if (!type)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s: dtype is missing, a text was expected", c->label,
                        c->name);
    PM_TRY(read_shape(c, shape, &out->array, &elems));
    PM_TRY(read_offsets(c, json_object_get(entry, "data_offsets"), at));
    if (row && (!pm_mul_u64(elems, row->bytes, &bytes) || bytes != at[1] - at[0]))
        return pm_raise(PM_ERR_FILE,
                        "%s: tensor %s: its data_offsets span %" PRIu64 " bytes, %" PRIu64
                        " elements of %s were expected",
                        c->label, c->name, at[1] - at[0], elems, row->name);
    out->array.dtype = row ? row->dtype : PM_N_DTYPES;
    out->array.bytes = at[1] - at[0];
    out->array.data = c->data + at[0];
    return refuse(c, type, out->array.dtype, json_array_size(shape), &out->refusal);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_entry *)a)->array.name, ((const pm_entry *)b)->array.name);
}

static int by_place(const void *a, const void *b) {
    const pm_array *x = &((const pm_entry *)a)->array, *y = &((const pm_entry *)b)->array;
    uintptr_t x_at = (uintptr_t)x->data, y_at = (uintptr_t)y->data;
    if (x_at != y_at) return x_at < y_at ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

bool pm_entries_sort(pm_entry *entries, size_t n, const char *out_two[2]) {
    bool shared = false;
    qsort(entries, n, sizeof *entries, by_place);
    for (size_t i = 1; i < n && !shared; i++) {
        const pm_array *a = &entries[i - 1].array, *b = &entries[i].array;
        shared = (uintptr_t)a->data + a->bytes > (uintptr_t)b->data && b->bytes;
        out_two[0] = a->name;
        out_two[1] = b->name;
    }
    qsort(entries, n, sizeof *entries, by_name);
    return shared;
}

static pm_status read_header(entry_context *c, json_t *root, pm_safetensors *out) {
    const char *name;
    json_t *entry;
    if (!json_is_object(root)) return pm_raise(PM_ERR_FILE, "%s: the header is not a JSON object", c->label);
    size_t n = json_object_size(root), used = 0;
    out->entries = pm_arena_alloc(c->arena, (n + 1) * sizeof *out->entries);
    if (!out->entries) return PM_ERR_MEMORY;
    json_object_foreach(root, name, entry) {
        pm_entry *e = &out->entries[used];
        if (strcmp(name, "__metadata__") == 0) continue;
        c->name = name;
        PM_TRY(read_entry(c, entry, e));
        e->array.name = pm_arena_strdup(c->arena, name);
        if (!e->array.name) return PM_ERR_MEMORY;
        used++;
    }
    out->n_entries = used;
    const char *two[2];
    if (pm_entries_sort(out->entries, used, two))
        return pm_raise(PM_ERR_FILE, "%s: tensors %s and %s share bytes", c->label, two[0], two[1]);
    return PM_OK;
}

pm_status pm_safetensors_parse(const char *label, const unsigned char *data, size_t bytes, pm_arena *arena,
                               pm_safetensors *out_file) {
    uint64_t length = 0;
    json_error_t error;
    *out_file = (pm_safetensors){0};
    if (bytes < 8) return pm_raise(PM_ERR_FILE, "%s: has %zu bytes, at least 8 were expected", label, bytes);
    for (int i = 7; i >= 0; i--) length = length << 8 | data[i];
    if (length > bytes - 8)
        return pm_raise(PM_ERR_FILE, "%s: the header has %" PRIu64 " bytes, but %zu follow its length", label,
                        length, bytes - 8);
    json_t *root = json_loadb((const char *)data + 8, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!root) return pm_raise(PM_ERR_FILE, "%s: header, byte %d: %s", label, error.position, error.text);
    entry_context c = {
        .label = label, .data = data + 8 + length, .data_bytes = bytes - 8 - length, .arena = arena};
    pm_status s = read_header(&c, root, out_file);
    json_decref(root);
    return s;
}

const pm_entry *pm_safetensors_find(const pm_safetensors *f, const char *name) {
    pm_entry key = {.array = {.name = name}};
    return f->n_entries ? bsearch(&key, f->entries, f->n_entries, sizeof key, by_name) : NULL;
}
