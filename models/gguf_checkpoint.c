/* The tensors of a GGUF file as a model of its family asks for them. See gguf_names.h. */
#include "models/gguf_names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Heads whose rows lie in pairs; 0 when the file does not say. */
static int64_t heads_of(const pm_gguf *g, pm_fix_kind kind) {
    char key[PM_GGUF_KEY_CHARS];
    int64_t heads = 0;
    pm_gguf_key(g, ".attention.head_count", key);
    pm_gguf_int(g, key, &heads);
    pm_gguf_key(g, ".attention.head_count_kv", key); /* absent: as many as there are of queries */
    if (kind == PM_FIX_K_ROWS) pm_gguf_int(g, key, &heads);
    return heads;
}

static pm_status fix(pm_entry *e, pm_fix f, pm_arena *arena) {
    char text[128];
    if (e->refusal || f.kind == PM_FIX_NONE) return PM_OK;
    const char *refusal = pm_fix_refusal(&e->array, f, text);
    if (refusal) return (e->refusal = pm_arena_strdup(arena, refusal)) ? PM_OK : PM_ERR_MEMORY;
    e->fix = f;
    pm_fix_dims(&e->array, f);
    return PM_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const pm_entry *)a)->array.name, ((const pm_entry *)b)->array.name);
}

/* ---- experts ---- */

enum { MAX_EXPERTS = 4096 };

/* How many tensors of the model one of the file holds. One that cannot be read counts as one, for its refusal. */
static pm_status count_parts(const pm_gguf *g, const pm_entry *e, const char *name, size_t *out) {
    char key[PM_GGUF_KEY_CHARS];
    const pm_array *a = &e->array;
    int64_t n = 0;
    *out = 1;
    if (!strchr(name, '*') || e->refusal) return PM_OK;
    pm_gguf_key(g, ".expert_count", key);
    pm_gguf_int(g, key, &n);
    if (n < 1 || n > MAX_EXPERTS)
        return pm_raise(PM_ERR_FILE, "%s: %s is %" PRId64 ", expected 1..%d, for it has the tensor %s",
                        pm_gguf_label(g), key, n, MAX_EXPERTS, a->name);
    if (a->rank < 2 || a->dims[0] != n)
        return pm_raise(PM_ERR_FILE,
                        "%s: tensor %s has %d dims and %" PRId64 " experts, %" PRId64
                        " were expected, which is %s",
                        pm_gguf_label(g), a->name, a->rank, a->rank ? a->dims[0] : 0, n, key);
    if (a->bytes == 0)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s has no elements", pm_gguf_label(g), a->name);
    *out = (size_t)n;
    return PM_OK;
}

/* Part i of n of a tensor, under `name` with i in place of its star. The experts' dim is the outermost, and no block goes
 * over from one to the next. */
static pm_status take_part(const pm_entry *from, const char *name, size_t i, size_t n, pm_arena *arena,
                           pm_entry *out) {
    char text[PM_GGUF_NAME_CHARS + 16];
    pm_array *a = &out->array;
    int before = (int)strcspn(name, "*");
    bool one_of_all = name[before];
    *out = *from;
    snprintf(text, sizeof text, "%.*s", before, name);
    if (one_of_all) snprintf(text, sizeof text, "%.*s%zu%s", before, name, i, name + before + 1);
    a->name = pm_arena_strdup(arena, text);
    if (!a->name) return PM_ERR_MEMORY;
    if (!one_of_all || from->refusal) return PM_OK;
    a->bytes /= n;
    a->data = (const unsigned char *)a->data + i * a->bytes;
    a->rank--;
    memmove(a->dims, a->dims + 1, (size_t)a->rank * sizeof *a->dims);
    return PM_OK;
}

/* ---- all of them ---- */

typedef struct name {
    char text[PM_GGUF_NAME_CHARS];
    pm_fix fix;
    size_t n_parts;
} name;

static pm_status name_of(const pm_gguf *g, const pm_gguf_family *family, const pm_entry *from, name *out) {
    *out = (name){0};
    if (!pm_gguf_rename(family, from->array.name, out->text, &out->fix.kind)) return PM_OK;
    out->fix.heads = heads_of(g, out->fix.kind);
    return count_parts(g, from, out->text, &out->n_parts);
}

pm_status pm_gguf_rename_all(const pm_gguf *g, pm_arena *arena, pm_safetensors *out) {
    const pm_gguf_family *family;
    size_t n, n_parts = 0;
    name to;
    *out = (pm_safetensors){0};
    PM_TRY(pm_gguf_family_of(g, &family));
    const pm_entry *from = pm_gguf_tensors(g, &n);
    for (size_t i = 0; i < n; i++) {
        PM_TRY(name_of(g, family, &from[i], &to));
        n_parts += to.n_parts;
    }
    out->entries = pm_arena_alloc(arena, (n_parts + 1) * sizeof *out->entries);
    if (!out->entries) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        PM_TRY(name_of(g, family, &from[i], &to));
        for (size_t k = 0; k < to.n_parts; k++) {
            pm_entry *e = &out->entries[out->n_entries++];
            PM_TRY(take_part(&from[i], to.text, k, to.n_parts, arena, e));
            PM_TRY(fix(e, to.fix, arena));
        }
    }
    qsort(out->entries, out->n_entries, sizeof *out->entries, by_name);
    return PM_OK;
}
