/* The tensors of a GGUF file as a model of its family asks for them. See gguf_names.h. */
#include "models/gguf_names.h"

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

pm_status pm_gguf_rename_all(const pm_gguf *g, pm_arena *arena, pm_safetensors *out) {
    const pm_gguf_family *family;
    size_t n;
    *out = (pm_safetensors){0};
    PM_TRY(pm_gguf_family_of(g, &family));
    const int64_t q_heads = heads_of(g, PM_FIX_Q_ROWS);
    const int64_t k_heads = heads_of(g, PM_FIX_K_ROWS);
    const pm_entry *from = pm_gguf_tensors(g, &n);
    pm_entry *to = pm_arena_alloc(arena, (n + 1) * sizeof *to);
    if (!to) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) {
        char name[PM_GGUF_NAME_CHARS];
        pm_fix f = {0};
        if (!pm_gguf_rename(family, from[i].array.name, name, &f.kind)) continue;
        f.heads = f.kind == PM_FIX_K_ROWS ? k_heads : q_heads;
        pm_entry *e = &to[out->n_entries++];
        *e = from[i];
        e->array.name = pm_arena_strdup(arena, name);
        if (!e->array.name) return PM_ERR_MEMORY;
        PM_TRY(fix(e, f, arena));
    }
    qsort(to, out->n_entries, sizeof *to, by_name);
    out->entries = to;
    return PM_OK;
}
