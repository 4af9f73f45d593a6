/* See safetensors.h. Invariant: an array that comes out lies inside the file, and its bytes are its
 * elements'. */
#include "models/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Types of the format. Those without a pm_dtype are checked like the others, but no model can use them. */
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

/* What one entry is read with: names for errors, the data section's place. */
typedef struct entry_context {
    const char *label, *name;
    const unsigned char *data;
    uint64_t data_bytes;
} entry_context;

static pm_status read_shape(const entry_context *c, const json_t *shape, pm_array *a, uint64_t *out_elems) {
    uint64_t n = 1;
    if (!json_is_array(shape))
        return pm_raise(PM_ERR_FILE, "%s: tensor %s: shape is not an array", c->label, c->name);
    if (json_array_size(shape) > PM_MAX_DIMS)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s has %zu dims, at most %d were expected", c->label,
                        c->name, json_array_size(shape), PM_MAX_DIMS);
    a->rank = (int32_t)json_array_size(shape);
    for (int32_t i = 0; i < a->rank; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return pm_raise(PM_ERR_FILE,
                            "%s: tensor %s: dim %d of its shape is %s%" JSON_INTEGER_FORMAT
                            ", an integer of 0 or more was expected",
                            c->label, c->name, i,
                            json_is_integer(d) ? "" : "not an integer: ", json_integer_value(d));
        a->dims[i] = json_integer_value(d);
        if (!pm_mul_u64(n, (uint64_t)a->dims[i], &n))
            return pm_raise(PM_ERR_FILE,
                            "%s: tensor %s: the product of its dims overflows at dim %d, which is %" PRId64,
                            c->label, c->name, i, a->dims[i]);
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
        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return pm_raise(PM_ERR_FILE,
                            "%s: tensor %s: data_offsets[%zu] is %" JSON_INTEGER_FORMAT
                            ", an integer of 0 or more was expected",
                            c->label, c->name, i, json_integer_value(v));
        out[i] = (uint64_t)json_integer_value(v);
    }
    if (out[0] > out[1] || out[1] > c->data_bytes)
        return pm_raise(PM_ERR_FILE,
                        "%s: tensor %s: data_offsets are %" PRIu64 " to %" PRIu64
                        ", inside the file's %" PRIu64 " bytes of data was expected",
                        c->label, c->name, out[0], out[1], c->data_bytes);
    return PM_OK;
}

static pm_status read_entry(const entry_context *c, const json_t *entry, pm_array *a) {
    uint64_t elems = 0, bytes = 0, at[2] = {0};
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    const dtype_row *row = find_dtype(type);
    if (!json_is_object(entry))
        return pm_raise(PM_ERR_FILE, "%s: tensor %s: its entry is not an object", c->label, c->name);
    if (!row)
        return pm_raise(PM_ERR_FILE,
                        "%s: tensor %s: dtype is %s, one of F32, F16, BF16, I64, I32, U8, BOOL was expected",
                        c->label, c->name, type ? type : "missing");
    PM_TRY(read_shape(c, json_object_get(entry, "shape"), a, &elems));
    PM_TRY(read_offsets(c, json_object_get(entry, "data_offsets"), at));
    if (!pm_mul_u64(elems, row->bytes, &bytes) || bytes != at[1] - at[0])
        return pm_raise(PM_ERR_FILE,
                        "%s: tensor %s: its data_offsets span %" PRIu64 " bytes, %" PRIu64
                        " elements of %s were expected",
                        c->label, c->name, at[1] - at[0], elems, row->name);
    a->dtype = row->dtype;
    a->bytes = bytes;
    a->data = c->data + at[0];
    return PM_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_array *)a)->name, ((const pm_array *)b)->name);
}

static int by_place(const void *a, const void *b) {
    uintptr_t x = (uintptr_t)((const pm_array *)a)->data, y = (uintptr_t)((const pm_array *)b)->data;
    if (x != y) return x < y ? -1 : 1;
    uint64_t m = ((const pm_array *)a)->bytes, n = ((const pm_array *)b)->bytes;
    return m < n ? -1 : m > n;
}

static pm_status check_overlaps(const char *label, pm_array *arrays, size_t n) {
    qsort(arrays, n, sizeof *arrays, by_place);
    for (size_t i = 1; i < n; i++) {
        const pm_array *a = &arrays[i - 1], *b = &arrays[i];
        if ((uintptr_t)a->data + a->bytes > (uintptr_t)b->data && b->bytes)
            return pm_raise(PM_ERR_FILE, "%s: tensors %s and %s share bytes", label, a->name, b->name);
    }
    qsort(arrays, n, sizeof *arrays, by_name);
    return PM_OK;
}

static pm_status read_header(entry_context *c, json_t *root, pm_arena *arena, pm_safetensors *out) {
    const char *name;
    json_t *entry;
    if (!json_is_object(root)) return pm_raise(PM_ERR_FILE, "%s: the header is not a JSON object", c->label);
    size_t n = json_object_size(root), used = 0;
    out->arrays = pm_arena_alloc(arena, (n + 1) * sizeof *out->arrays);
    if (!out->arrays) return PM_ERR_MEMORY;
    json_object_foreach(root, name, entry) {
        pm_array *a = &out->arrays[used];
        if (strcmp(name, "__metadata__") == 0) continue;
        c->name = name;
        PM_TRY(read_entry(c, entry, a));
        a->name = pm_arena_strdup(arena, name);
        if (!a->name) return PM_ERR_MEMORY;
        used++;
    }
    out->n_arrays = used;
    return check_overlaps(c->label, out->arrays, used);
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
    entry_context c = {.label = label, .data = data + 8 + length, .data_bytes = bytes - 8 - length};
    pm_status s = read_header(&c, root, arena, out_file);
    json_decref(root);
    return s;
}

const pm_array *pm_safetensors_find(const pm_safetensors *f, const char *name) {
    pm_array key = {.name = name};
    return f->n_arrays ? bsearch(&key, f->arrays, f->n_arrays, sizeof key, by_name) : NULL;
}
