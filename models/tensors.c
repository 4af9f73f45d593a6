/* See pumice/tensors.h. Owns the arrays of a set: copies, or the mapped file that they lie in. Invariant:
 * arrays are aligned for their type, so that a caller may read them through a pointer of that type. */
#include "pumice/tensors.h"

#include <inttypes.h>
#include <string.h>

#include "models/convert.h"
#include "models/files.h"
#include "models/safetensors.h"
#include "models/writer.h"

struct pm_tensors {
    pm_array *arrays;
    void **owned; /* owned[i]: memory of arrays[i], or NULL when it lies in the file */
    size_t n, arrays_capacity, owned_capacity;
    const pm_entry *entries; /* of the file, in `names` */
    size_t n_entries;
    pm_blob file;
    pm_arena names;
};

/* Bytes of one element in memory and in files; a BOOL is one byte there. */
static uint64_t elem_bytes(pm_dtype t) {
    return t == PM_BOOL || t == PM_U8 ? 1 : pm_dtype_bytes(t);
}

pm_status pm_tensors_create(pm_tensors **out_set) {
    *out_set = pm_calloc(1, sizeof **out_set);
    return *out_set ? PM_OK : PM_ERR_MEMORY;
}

void pm_tensors_free(pm_tensors *set) {
    if (!set) return;
    for (size_t i = 0; i < set->n; i++) pm_free(set->owned[i]);
    pm_free(set->arrays);
    pm_free(set->owned);
    pm_blob_close(&set->file);
    pm_arena_free(&set->names);
    pm_free(set);
}

static pm_array *find(const pm_tensors *set, const char *name) {
    for (size_t i = 0; i < set->n; i++)
        if (strcmp(set->arrays[i].name, name) == 0) return &set->arrays[i];
    return NULL;
}

static pm_status reserve(pm_tensors *set, size_t n) {
    PM_TRY(pm_grow((void **)&set->arrays, &set->arrays_capacity, n, sizeof *set->arrays));
    return pm_grow((void **)&set->owned, &set->owned_capacity, n, sizeof *set->owned);
}

static pm_status checked_bytes(const pm_array *a, uint64_t *out_bytes) {
    if (!a->name || !*a->name) return pm_raise(PM_ERR_USAGE, "tensor: has no name");
    if (a->rank < 0 || a->rank > PM_MAX_DIMS || (unsigned)a->dtype >= PM_N_DTYPES)
        return pm_raise(PM_ERR_USAGE,
                        "tensor %s: rank %d and type %d, 0 to %d and a known type were expected", a->name,
                        a->rank, (int)a->dtype, PM_MAX_DIMS);
    uint64_t n = elem_bytes(a->dtype);
    for (int32_t i = 0; i < a->rank; i++)
        if (a->dims[i] < 0 || !pm_mul_u64(n, (uint64_t)a->dims[i], &n))
            return pm_raise(PM_ERR_USAGE, "tensor %s: dim %d is %" PRId64, a->name, i, a->dims[i]);
    if (n > SIZE_MAX) return pm_raise(PM_ERR_MEMORY, "tensor %s: has %" PRIu64 " bytes", a->name, n);
    *out_bytes = n;
    return PM_OK;
}

pm_status pm_tensors_add(pm_tensors *set, const pm_array *array, void **out_data) {
    uint64_t bytes = 0;
    PM_TRY(checked_bytes(array, &bytes));
    PM_TRY(reserve(set, set->n + 1));
    const char *name = pm_arena_strdup(&set->names, array->name);
    void *data = array->data ? pm_alloc((size_t)bytes) : pm_calloc((size_t)bytes, 1);
    if (!name || !data) {
        pm_free(data);
        return PM_ERR_MEMORY;
    }
    if (array->data) memcpy(data, array->data, (size_t)bytes);
    pm_array *a = find(set, name);
    size_t i = a ? (size_t)(a - set->arrays) : set->n++;
    if (a) pm_free(set->owned[i]);
    set->arrays[i] = *array;
    set->arrays[i].name = name;
    set->arrays[i].data = set->owned[i] = data;
    set->arrays[i].bytes = bytes;
    if (out_data) *out_data = data;
    return PM_OK;
}

pm_status pm_tensors_add_ids(pm_tensors *set, const char *name, const int32_t *ids, size_t n) {
    pm_array a = {.name = name, .dtype = PM_I32, .rank = 2, .dims = {1, (int64_t)n}};
    void *data;
    PM_TRY(pm_tensors_add(set, &a, &data));
    if (n) memcpy(data, ids, n * sizeof *ids);
    pm_words_to_file(data, n);
    return PM_OK;
}

const pm_array *pm_tensors_get(const pm_tensors *set, const char *name) {
    return find(set, name);
}

const char *pm_tensors_refusal(const pm_tensors *set, const char *name) {
    for (size_t i = 0; i < set->n_entries; i++)
        if (strcmp(set->entries[i].array.name, name) == 0)
            return find(set, name) ? NULL : set->entries[i].refusal;
    return NULL;
}

size_t pm_tensors_count(const pm_tensors *set) {
    return set->n;
}
const pm_array *pm_tensors_at(const pm_tensors *set, size_t i) {
    return i < set->n ? &set->arrays[i] : NULL;
}

/* ---- reading ---- */

static pm_status take_file(pm_tensors *set, const char *path) {
    pm_safetensors f;
    PM_TRY(pm_blob_open(path, &set->file));
    PM_TRY(pm_safetensors_parse(path, set->file.data, set->file.bytes, &set->names, &f));
    set->entries = f.entries;
    set->n_entries = f.n_entries;
    PM_TRY(reserve(set, f.n_entries));
    for (size_t i = 0; i < f.n_entries; i++) {
        pm_array a = f.entries[i].array;
        if (f.entries[i].refusal) continue; /* other programs' business, until it is asked for */
        if ((uintptr_t)a.data % elem_bytes(a.dtype) != 0) {
            PM_TRY(pm_tensors_add(set, &a, NULL));
            continue;
        }
        set->owned[set->n] = NULL;
        set->arrays[set->n++] = a;
    }
    return PM_OK;
}

pm_status pm_tensors_read(const char *path, pm_tensors **out_set) {
    pm_tensors *set = NULL;
    *out_set = NULL;
    pm_status s = pm_tensors_create(&set);
    if (s == PM_OK) s = take_file(set, path);
    if (s == PM_OK)
        *out_set = set;
    else
        pm_tensors_free(set);
    return s;
}

/* ---- writing ---- */

static pm_status make_header(const pm_tensors *set, pm_text *t) {
    uint64_t at = 0;
    pm_text_add(t, "{");
    for (size_t i = 0; i < set->n; i++) {
        const pm_array *a = &set->arrays[i];
        pm_text_add(t, "%s", i ? "," : "");
        pm_text_add_json(t, a->name);
        pm_text_add(t, ":{\"dtype\":\"%s\",\"shape\":[", pm_safetensors_dtype(a->dtype));
        for (int32_t k = 0; k < a->rank; k++) pm_text_add(t, "%s%" PRId64, k ? "," : "", a->dims[k]);
        pm_text_add(t, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + a->bytes);
        at += a->bytes;
    }
    pm_text_add(t, "}");
    while (!t->failed && t->length % 8) pm_text_add(t, " "); /* the data starts at a multiple of 8 */
    return pm_text_status(t);
}

pm_status pm_tensors_write(const pm_tensors *set, const char *path) {
    pm_text header = {0};
    pm_writer w;
    unsigned char length[8];
    pm_status s = make_header(set, &header);
    if (s == PM_OK) s = pm_writer_open(&w, path);
    if (s == PM_OK) {
        for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.length >> 8 * i);
        pm_writer_add(&w, length, sizeof length);
        pm_writer_add(&w, header.data, header.length);
        for (size_t i = 0; i < set->n; i++)
            pm_writer_add(&w, set->arrays[i].data, (size_t)set->arrays[i].bytes);
        s = pm_writer_close(&w);
    }
    pm_text_free(&header);
    return s;
}
