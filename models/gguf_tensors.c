/* The tensor table of a GGUF file: names, dims innermost first, a type, an offset from the start of the data. A tensor
 * of a type that is not read is no error until somebody asks for it. See gguf_reader.h. */
#include "models/gguf_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/gguf_quants.h"

enum { MAX_RANK = 4 }; /* the format's */

/* One tensor while it is read. */
typedef struct info {
    pm_entry *entry;
    uint64_t type, elems, offset;
    char what[128]; /* for errors */
} info;

static pm_status read_name(pm_gguf_reader *r, pm_arena *arena, info *t) {
    pm_gguf_text name = {0};
    PM_TRY(pm_gguf_next_text(r, "a tensor's name", &name));
    snprintf(t->what, sizeof t->what, "tensor %s", pm_gguf_show(name).s);
    if (!name.n || memchr(name.s, 0, (size_t)name.n))
        return pm_raise(PM_ERR_FILE, "%s: %s: its name is empty or holds a zero byte", r->label, t->what);
    char *copy = pm_arena_alloc(arena, (size_t)name.n + 1);
    if (!copy) return PM_ERR_MEMORY;
    memcpy(copy, name.s, (size_t)name.n);
    t->entry->array.name = copy;
    return PM_OK;
}

static pm_status read_dims(pm_gguf_reader *r, info *t) {
    uint64_t rank = 0, dim = 0;
    pm_array *a = &t->entry->array;
    PM_TRY(pm_gguf_next(r, 4, t->what, &rank));
    if (rank > MAX_RANK)
        return pm_raise(PM_ERR_FILE, "%s: %s has %" PRIu64 " dims, at most %d were expected", r->label,
                        t->what, rank, MAX_RANK);
    a->rank = (int32_t)rank;
    t->elems = 1;
    for (int32_t i = 0; i < a->rank; i++) {
        PM_TRY(pm_gguf_next(r, 8, t->what, &dim));
        if (dim > INT64_MAX || !pm_mul_u64(t->elems, dim, &t->elems) || t->elems > INT64_MAX)
            return pm_raise(PM_ERR_FILE, "%s: %s: dim %d is %" PRIu64 ", more than any file holds", r->label,
                            t->what, i, dim);
        a->dims[a->rank - 1 - i] = (int64_t)dim;
    }
    return PM_OK;
}

static pm_status read_info(pm_gguf_reader *r, pm_arena *arena, uint64_t alignment, info *t) {
    PM_TRY(read_name(r, arena, t));
    PM_TRY(read_dims(r, t));
    PM_TRY(pm_gguf_next(r, 4, t->what, &t->type));
    PM_TRY(pm_gguf_next(r, 8, t->what, &t->offset));
    if (t->offset % alignment)
        return pm_raise(PM_ERR_FILE,
                        "%s: %s begins at byte %" PRIu64 " of the data, a multiple of %" PRIu64
                        " was expected",
                        r->label, t->what, t->offset, alignment);
    return PM_OK;
}

/* Why the tensor cannot be read, for whoever asks for it. */
static pm_status refuse_type(pm_arena *arena, info *t) {
    char text[128];
    snprintf(text, sizeof text, "has type %" PRIu64 " of GGUF, expected one of: ", t->type);
    pm_text known = {0};
    pm_text_add(&known, "%s", text);
    pm_gguf_list_types(&known);
    pm_status s = pm_text_status(&known);
    if (s == PM_OK) t->entry->refusal = pm_arena_strdup(arena, known.data);
    pm_text_free(&known);
    return s == PM_OK && !t->entry->refusal ? PM_ERR_MEMORY : s;
}

/* Gives the entry its type and its bytes of the data section. */
static pm_status place(const pm_gguf_reader *r, pm_arena *arena, const unsigned char *data,
                       uint64_t data_bytes, info *t) {
    pm_array *a = &t->entry->array;
    const pm_block_type *type = pm_block_of_gguf(t->type);
    uint64_t row = a->rank ? (uint64_t)a->dims[a->rank - 1] : 1;
    if (t->offset > data_bytes)
        return pm_raise(PM_ERR_FILE, "%s: %s begins at byte %" PRIu64 " of the data, which has %" PRIu64,
                        r->label, t->what, t->offset, data_bytes);
    a->data = data + t->offset;
    a->dtype = PM_N_DTYPES;
    if (!type) return refuse_type(arena, t);
    a->dtype = type->dtype;
    if (row % type->elems)
        return pm_raise(PM_ERR_FILE, "%s: %s has rows of %" PRIu64 " elements, %s wants a multiple of %u",
                        r->label, t->what, row, type->name, type->elems);
    if (!pm_mul_u64(t->elems / type->elems, type->bytes, &a->bytes) || a->bytes > data_bytes - t->offset)
        return pm_raise(PM_ERR_FILE,
                        "%s: %s: %" PRIu64 " elements of %s at byte %" PRIu64 " go beyond the %" PRIu64
                        " bytes of data",
                        r->label, t->what, t->elems, type->name, t->offset, data_bytes);
    return PM_OK;
}

static pm_gguf_shown show_name(const char *name) {
    return pm_gguf_show((pm_gguf_text){name, strlen(name)});
}

static pm_status check_table(const char *label, pm_entry *entries, size_t n) {
    const char *two[2];
    if (pm_entries_sort(entries, n, two))
        return pm_raise(PM_ERR_FILE, "%s: tensors %s and %s share bytes", label, show_name(two[0]).s,
                        show_name(two[1]).s);
    for (size_t i = 1; i < n; i++)
        if (strcmp(entries[i - 1].array.name, entries[i].array.name) == 0)
            return pm_raise(PM_ERR_FILE, "%s: tensor %s is there twice", label,
                            show_name(entries[i].array.name).s);
    return PM_OK;
}

pm_status pm_gguf_read_tensors(pm_gguf_reader *r, uint64_t n, uint64_t alignment, pm_arena *arena,
                               pm_entry **out_entries) {
    pm_entry *entries = pm_arena_alloc(arena, (size_t)(n + 1) * sizeof *entries);
    info *infos = pm_calloc((size_t)n, sizeof *infos);
    pm_status s = entries && infos ? PM_OK : PM_ERR_MEMORY;
    for (uint64_t i = 0; s == PM_OK && i < n; i++) {
        infos[i].entry = &entries[i];
        s = read_info(r, arena, alignment, &infos[i]);
    }
    uint64_t start = pm_align_up(r->at, alignment);
    if (start > r->bytes) start = r->bytes; /* a file of metadata alone may end before the padding */
    for (uint64_t i = 0; s == PM_OK && i < n; i++)
        s = place(r, arena, r->data + start, r->bytes - start, &infos[i]);
    pm_free(infos);
    if (s == PM_OK) s = check_table(r->label, entries, (size_t)n);
    *out_entries = entries;
    return s;
}
