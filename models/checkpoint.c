/* See checkpoint.h. */
#include "models/checkpoint.h"

#include <jansson.h>
#include <string.h>

#include "models/convert.h"
#include "models/gguf_names.h"
#include "models/gguf_quants.h"

static pm_status add_shard(const pm_files *f, pm_checkpoint *c, const char *name) {
    for (size_t i = 0; i < c->n_shards; i++)
        if (strcmp(c->shards[i].label, name) == 0) return PM_OK;
    PM_TRY(pm_grow((void **)&c->shards, &c->shards_capacity, c->n_shards + 1, sizeof *c->shards));
    pm_shard *shard = &c->shards[c->n_shards];
    *shard = (pm_shard){.label = pm_arena_strdup(&c->arena, name)};
    if (!shard->label) return PM_ERR_MEMORY;
    PM_TRY(pm_files_get(f, name, &shard->blob));
    c->n_shards++; /* from here on pm_checkpoint_close unmaps it */
    return pm_safetensors_parse(shard->label, shard->blob.data, shard->blob.bytes, &c->arena, &shard->file);
}

static pm_status add_indexed(const pm_files *f, pm_checkpoint *c, const char *index) {
    pm_blob blob;
    json_error_t error;
    const char *tensor;
    json_t *file;
    pm_status s = PM_OK;
    PM_TRY(pm_files_get(f, index, &blob));
    json_t *root =
        json_loadb(blob.data ? (const char *)blob.data : "", blob.bytes, JSON_REJECT_DUPLICATES, &error);
    pm_blob_close(&blob);
    if (!root) return pm_raise(PM_ERR_FILE, "%s: line %d: %s", index, error.line, error.text);
    json_t *map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        s = pm_raise(PM_ERR_FILE, "%s: weight_map is missing or empty", index);
    json_object_foreach(map, tensor, file) {
        const char *name = json_string_value(file);
        if (s == PM_OK && (!name || strchr(name, '/')))
            s = pm_raise(PM_ERR_FILE, "%s: weight_map: %s is not in a file of this folder", index, tensor);
        if (s == PM_OK) s = add_shard(f, c, name);
    }
    json_decref(root);
    return s;
}

static pm_status add_gguf(const pm_gguf *g, pm_checkpoint *c) {
    PM_TRY(pm_grow((void **)&c->shards, &c->shards_capacity, 1, sizeof *c->shards));
    c->shards[0] = (pm_shard){.label = pm_arena_strdup(&c->arena, pm_gguf_label(g))};
    if (!c->shards[0].label) return PM_ERR_MEMORY;
    c->n_shards = 1;
    return pm_gguf_rename_all(g, &c->arena, &c->shards[0].file);
}

/* A pickle is a program that would be run: it is not read. */
static pm_status refuse_pickle(const pm_files *f) {
    static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
    for (size_t i = 0; i < PM_COUNT(pickles); i++)
        if (pm_files_has(f, pickles[i]))
            return pm_raise(PM_ERR_FILE,
                            "%s: has %s but no model.safetensors: load it in Python and save it with "
                            "save_pretrained(folder, safe_serialization=True)",
                            f->path, pickles[i]);
    return PM_OK;
}

pm_status pm_checkpoint_open(const pm_files *f, pm_checkpoint *out_checkpoint) {
    static const char index[] = "model.safetensors.index.json";
    *out_checkpoint = (pm_checkpoint){0};
    if (f->gguf) return add_gguf(f->gguf, out_checkpoint);
    bool whole = pm_files_has(f, "model.safetensors"), parts = pm_files_has(f, index);
    if (!whole && !parts) PM_TRY(refuse_pickle(f));
    if (!whole && parts) return add_indexed(f, out_checkpoint, index);
    return add_shard(f, out_checkpoint, "model.safetensors");
}

/* What is sorted by name stays so: each name gets the same text in front. */
static pm_status rename_entries(pm_checkpoint *c, pm_safetensors *file, const char *folder) {
    pm_text t = {0};
    pm_status s = PM_OK;
    for (size_t i = 0; s == PM_OK && i < file->n_entries; i++) {
        pm_array *a = &file->entries[i].array;
        pm_text_add(&t, "%s/%s", folder, a->name);
        s = pm_text_status(&t);
        const char *name = s == PM_OK ? pm_arena_strdup(&c->arena, t.data) : NULL;
        if (s == PM_OK && !name) s = PM_ERR_MEMORY;
        if (s == PM_OK) a->name = name;
        pm_text_free(&t);
    }
    return s;
}

pm_status pm_checkpoint_add_folder(pm_checkpoint *c, const pm_files *f, const char *folder) {
    pm_text name = {0};
    size_t had = c->n_shards;
    pm_text_add(&name, "%s/model.safetensors", folder);
    pm_status s = pm_text_status(&name);
    if (s == PM_OK) s = add_shard(f, c, name.data);
    pm_text_free(&name);
    return s == PM_OK && c->n_shards > had ? rename_entries(c, &c->shards[had].file, folder) : s;
}

void pm_checkpoint_close(pm_checkpoint *c) {
    for (size_t i = 0; i < c->n_shards; i++) pm_blob_close(&c->shards[i].blob);
    pm_free(c->shards);
    pm_lora_close(c->lora);
    pm_arena_free(&c->arena);
    *c = (pm_checkpoint){0};
}

static const pm_entry *find(const pm_checkpoint *c, const char *name, const char **out_label) {
    for (size_t i = 0; i < c->n_shards; i++) {
        const pm_entry *e = pm_safetensors_find(&c->shards[i].file, name);
        *out_label = c->shards[i].label;
        if (e) return e;
    }
    return NULL;
}

bool pm_checkpoint_has(const pm_checkpoint *c, const char *name) {
    const char *label;
    return find(c, name, &label) != NULL;
}

/* A tensor of these dims, of any type. */
static pm_status want_shape(const pm_checkpoint *c, const char *name, int rank, const int64_t *dims,
                            const char **out_label, const pm_array **out) {
    char is[PM_SHAPE_CHARS], expected[PM_SHAPE_CHARS];
    const pm_entry *e = find(c, name, out_label);
    if (!e)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s is missing, expected %s",
                        c->n_shards == 1 ? *out_label : "model.safetensors", name,
                        pm_array_shape(rank, dims, expected));
    if (e->refusal) return pm_raise(PM_ERR_FILE, "%s: tensor %s %s", *out_label, name, e->refusal);
    const pm_array *a = &e->array;
    bool same = a->rank == rank;
    for (int i = 0; same && i < rank; i++) same = a->dims[i] == dims[i];
    if (!same)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s is %s, expected %s", *out_label, name,
                        pm_array_shape(a->rank, a->dims, is), pm_array_shape(rank, dims, expected));
    *out = a;
    return PM_OK;
}

static pm_status bad_type(const char *label, const pm_array *a, const char *expected) {
    return pm_raise(PM_ERR_FILE, "%s: tensor %s has type %s, expected %s", label, a->name,
                    pm_dtype_name(a->dtype), expected);
}

pm_status pm_checkpoint_want(const pm_checkpoint *c, const char *name, int rank, const int64_t *dims,
                             const pm_array **out) {
    const char *label = "model.safetensors";
    PM_TRY(want_shape(c, name, rank, dims, &label, out));
    pm_dtype type = (*out)->dtype;
    if (type == PM_F32 || type == PM_F16 || type == PM_BF16 || pm_block_of_dtype(type)) return PM_OK;
    return bad_type(label, *out, "f32, f16 or bf16");
}

pm_status pm_checkpoint_want_bytes(const pm_checkpoint *c, const char *name, int rank, const int64_t *dims,
                                   const pm_array **out) {
    const char *label = "model.safetensors";
    PM_TRY(want_shape(c, name, rank, dims, &label, out));
    return (*out)->dtype == PM_U8 ? PM_OK : bad_type(label, *out, "u8");
}

/* want's arrays are the first member of their entries. */
pm_status pm_checkpoint_read(const pm_checkpoint *c, const pm_array *array, float *out) {
    const pm_entry *e = (const pm_entry *)array;
    PM_TRY(pm_fix_read(array, e->fix, out));
    return c->lora ? pm_lora_merge(c->lora, array->name, out) : PM_OK;
}

static pm_status bind(const pm_checkpoint *c, pm_lora *l, const char *folder) {
    const char *weight, *label;
    for (size_t i = 0; (weight = pm_lora_weight(l, i)) != NULL; i++) {
        const char *dot = strchr(weight, '.');
        const pm_entry *e = find(c, weight, &label);
        if (!e && dot) e = find(c, dot + 1, &label);
        if (!e || e->refusal) return pm_raise(PM_ERR_FILE, "%s: the model has no tensor %s", folder, weight);
        PM_TRY(pm_lora_bind(l, i, e->array.name, e->array.rank, e->array.dims));
    }
    return PM_OK;
}

pm_status pm_checkpoint_adapt(pm_checkpoint *c, const char *folder) {
    pm_lora *l = NULL;
    if (c->lora) return pm_raise(PM_ERR_USAGE, "%s: one adapter is merged already", folder);
    PM_TRY(pm_lora_open(folder, &l));
    pm_status s = bind(c, l, folder);
    if (s == PM_OK)
        c->lora = l;
    else
        pm_lora_close(l);
    return s;
}
