/* See lora.h. Invariant: every part has an A of [r,K] and a B of [N,r], of floats. */
#include "models/lora.h"

#include <inttypes.h>
#include <string.h>

#include "models/convert.h"
#include "models/lora_config.h"
#include "models/safetensors.h"

static const char weights_name[] = "adapter_model.safetensors";
static const char prefix[] = "base_model.model.", a_end[] = ".lora_A.weight", b_end[] = ".lora_B.weight";

/* What the adapter has for one tensor of the model: a product that is added, or (b NULL) the tensor that takes its place. */
typedef struct part {
    const char *weight; /* the adapter's name of it */
    const char *name;   /* the checkpoint's; NULL until it is bound */
    const pm_array *a, *b;
    double scale;
} part;

struct pm_lora {
    pm_lora_config config;
    pm_files files;
    pm_blob blob;
    pm_safetensors file;
    part *parts;
    size_t n_parts;
    pm_arena arena;
};

/* ---- adapter_model.safetensors ---- */

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

static pm_status check_floats(const pm_entry *e) {
    const pm_array *a = &e->array;
    if (e->refusal) return pm_raise(PM_ERR_FILE, "%s: tensor %s %s", weights_name, a->name, e->refusal);
    if (a->dtype == PM_F32 || a->dtype == PM_F16 || a->dtype == PM_BF16) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: tensor %s has type %s, expected f32, f16 or bf16", weights_name,
                    a->name, pm_dtype_name(a->dtype));
}

static pm_status check_shape(const pm_array *a, int axis, int64_t r) {
    char is[PM_SHAPE_CHARS];
    if (a->rank == 2 && a->dims[axis] == r) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: tensor %s is %s, dim %d of 2 was expected to be r, which is %" PRId64,
                    weights_name, a->name, pm_array_shape(a->rank, a->dims, is), axis, r);
}

static pm_status find_end(const pm_lora *l, const char *module, const char *end, const pm_entry **out) {
    pm_text name = {0};
    pm_text_add(&name, "%s%s%s", prefix, module, end);
    pm_status s = pm_text_status(&name);
    if (s == PM_OK) *out = pm_safetensors_find(&l->file, name.data);
    pm_text_free(&name);
    return s;
}

/* A tensor of its own: of modules_to_save, or a bias. */
static pm_status read_whole(pm_lora *l, const pm_entry *e) {
    const char *name = e->array.name + strlen(prefix), *dot = strrchr(name, '.');
    size_t n = dot ? (size_t)(dot - name) : 0;
    char *module = pm_arena_alloc(&l->arena, n + 1);
    if (!module) return PM_ERR_MEMORY;
    memcpy(module, name, n), module[n] = 0;
    bool bias = l->config.biases && ends_in(name, ".bias");
    if (!bias && (!n || !pm_lora_config_saves(&l->config, module)))
        return pm_raise(PM_ERR_FILE, "%s: tensor %.160s is not read, %sMODULE%s or %s was expected",
                        weights_name, e->array.name, prefix, a_end, b_end);
    PM_TRY(check_floats(e));
    l->parts[l->n_parts++] = (part){.weight = name, .a = &e->array};
    return PM_OK;
}

/* One tensor: an A brings its part, a B must have one. */
static pm_status read_tensor(pm_lora *l, const pm_entry *e) {
    const char *name = e->array.name, *end = ends_in(name, a_end)   ? a_end
                                             : ends_in(name, b_end) ? b_end
                                                                    : NULL;
    if (strncmp(name, prefix, strlen(prefix)) != 0)
        return pm_raise(PM_ERR_FILE, "%s: tensor %.160s is not read, %sMODULE%s or %s was expected",
                        weights_name, name, prefix, a_end, b_end);
    if (!end) return read_whole(l, e);
    size_t n = strlen(name) - strlen(prefix) - strlen(end);
    char *module = pm_arena_alloc(&l->arena, n + sizeof ".weight");
    if (!module) return PM_ERR_MEMORY;
    memcpy(module, name + strlen(prefix), n);
    PM_TRY(check_floats(e));
    if (!pm_lora_config_targets(&l->config, module))
        return pm_raise(PM_ERR_FILE, "%s: module %.120s is not in target_modules of adapter_config.json",
                        weights_name, module);
    const pm_entry *other = NULL;
    PM_TRY(find_end(l, module, end == a_end ? b_end : a_end, &other));
    if (!other)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s has no %s beside it", weights_name, name,
                        end == a_end ? "lora_B" : "lora_A");
    int64_t r;
    double scale;
    PM_TRY(pm_lora_config_of(&l->config, module, &r, &scale));
    PM_TRY(check_shape(&e->array, end == a_end ? 0 : 1, r));
    if (end != a_end) return PM_OK;
    memcpy(module + n, ".weight", sizeof ".weight");
    l->parts[l->n_parts++] = (part){.weight = module, .a = &e->array, .b = &other->array, .scale = scale};
    return PM_OK;
}

static pm_status read_weights(pm_lora *l) {
    PM_TRY(pm_files_get(&l->files, weights_name, &l->blob));
    PM_TRY(pm_safetensors_parse(weights_name, l->blob.data, l->blob.bytes, &l->arena, &l->file));
    if (l->file.n_entries == 0) return pm_raise(PM_ERR_FILE, "%s: has no tensors", weights_name);
    l->parts = pm_arena_alloc(&l->arena, l->file.n_entries * sizeof *l->parts);
    if (!l->parts) return PM_ERR_MEMORY;
    for (size_t i = 0; i < l->file.n_entries; i++) PM_TRY(read_tensor(l, &l->file.entries[i]));
    return PM_OK;
}

pm_status pm_lora_open(const char *folder, pm_lora **out) {
    pm_status s;
    *out = NULL;
    pm_lora *l = pm_calloc(1, sizeof *l);
    if (!l) return PM_ERR_MEMORY;
    PM_GOTO(pm_files_open(folder, &l->files));
    PM_GOTO(pm_lora_config_open(&l->files, &l->config));
    PM_GOTO(read_weights(l));
    *out = l;
    return PM_OK;
fail:
    pm_lora_close(l);
    return s;
}

void pm_lora_close(pm_lora *l) {
    if (!l) return;
    pm_blob_close(&l->blob);
    pm_lora_config_close(&l->config);
    pm_files_close(&l->files);
    pm_arena_free(&l->arena);
    pm_free(l);
}

/* ---- merging ---- */

const char *pm_lora_weight(const pm_lora *l, size_t i) {
    return i < l->n_parts ? l->parts[i].weight : NULL;
}

pm_status pm_lora_bind(pm_lora *l, size_t i, const char *name, int32_t rank, const int64_t *dims) {
    char is[PM_SHAPE_CHARS], expected[PM_SHAPE_CHARS];
    part *p = &l->parts[i];
    int64_t n = p->b ? p->b->dims[0] : 0, k = p->b ? p->a->dims[1] : 0;
    const int64_t product[2] = {l->config.transposed ? k : n, l->config.transposed ? n : k};
    const int64_t *fits = p->b ? product : p->a->dims;
    int32_t fits_rank = p->b ? 2 : p->a->rank;
    bool same = rank == fits_rank;
    for (int32_t axis = 0; same && axis < rank; axis++) same = dims[axis] == fits[axis];
    if (!same)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s is for a weight of %s, the model's is %s", weights_name,
                        p->a->name, pm_array_shape(fits_rank, fits, expected),
                        pm_array_shape(rank, dims, is));
    p->name = pm_arena_strdup(&l->arena, name);
    return p->name ? PM_OK : PM_ERR_MEMORY;
}

/* row[k] = scale sum_r b[r] a[r][k]. */
static void product_row(const part *p, const float *a, const float *b, float *row) {
    uint64_t n_r = (uint64_t)p->a->dims[0], n_k = (uint64_t)p->a->dims[1];
    memset(row, 0, (size_t)n_k * sizeof *row);
    for (uint64_t r = 0; r < n_r; r++)
        for (uint64_t k = 0; k < n_k; k++) row[k] += b[r] * a[r * n_k + k];
    for (uint64_t k = 0; k < n_k; k++) row[k] = (float)(p->scale * (double)row[k]);
}

static pm_status floats_of(const pm_array *a, float **out) {
    *out = pm_realloc_array(NULL, (size_t)pm_array_elems(a), sizeof **out);
    return *out ? pm_convert_f32(a, *out) : PM_ERR_MEMORY;
}

static pm_status merge_part(const pm_lora *l, const part *p, float *w) {
    if (!p->b) return pm_convert_f32(p->a, w);
    uint64_t n_n = (uint64_t)p->b->dims[0], n_k = (uint64_t)p->a->dims[1], n_r = (uint64_t)p->a->dims[0];
    float *a = NULL, *b = NULL, *row = NULL;
    pm_status s;
    PM_GOTO(floats_of(p->a, &a));
    PM_GOTO(floats_of(p->b, &b));
    row = pm_realloc_array(NULL, (size_t)n_k, sizeof *row);
    PM_GOTO(row ? PM_OK : PM_ERR_MEMORY);
    for (uint64_t n = 0; n < n_n; n++) {
        product_row(p, a, b + n * n_r, row);
        for (uint64_t k = 0; k < n_k; k++) w[l->config.transposed ? k * n_n + n : n * n_k + k] += row[k];
    }
fail:
    pm_free(a);
    pm_free(b);
    pm_free(row);
    return s;
}

pm_status pm_lora_merge(const pm_lora *l, const char *name, float *w) {
    for (size_t i = 0; i < l->n_parts; i++)
        if (l->parts[i].name && strcmp(l->parts[i].name, name) == 0) return merge_part(l, &l->parts[i], w);
    return PM_OK;
}
