/* The weights of a model: one model.safetensors, the shards that model.safetensors.index.json names, or a GGUF file under
 * Hugging Face's names. A loader asks for name and shape and gets exactly that or an error with both shapes. An adapter
 * changes what is read. */
#ifndef PM_CHECKPOINT_H
#define PM_CHECKPOINT_H

#include "models/files.h"
#include "models/lora.h"
#include "models/safetensors.h"

typedef struct pm_shard {
    const char *label;
    pm_blob blob;
    pm_safetensors file;
} pm_shard;

typedef struct pm_checkpoint {
    pm_shard *shards;
    size_t n_shards, shards_capacity;
    pm_lora *lora; /* or NULL */
    pm_arena arena;
} pm_checkpoint;

pm_status pm_checkpoint_open(const pm_files *f, pm_checkpoint *out_checkpoint) PM_MUST_USE;
/* Adds model.safetensors of a folder within `f`; its tensors are known as "folder/name". */
pm_status pm_checkpoint_add_folder(pm_checkpoint *c, const pm_files *f, const char *folder) PM_MUST_USE;
void pm_checkpoint_close(pm_checkpoint *c);
bool pm_checkpoint_has(const pm_checkpoint *c, const char *name);
/* Errors: PM_ERR_FILE when the tensor is missing, has another shape, or a type that is no float. The array's dtype may be
 * one of gguf_quants.h. */
pm_status pm_checkpoint_want(const pm_checkpoint *c, const char *name, int rank, const int64_t *dims,
                             const pm_array **out) PM_MUST_USE;
/* The same of a tensor of bytes (U8). */
pm_status pm_checkpoint_want_bytes(const pm_checkpoint *c, const char *name, int rank, const int64_t *dims,
                                   const pm_array **out) PM_MUST_USE;
/* The elements of an array that pm_checkpoint_want gave, as F32: blocks taken apart, the adapter added. pm_convert_f32
 * alone would give what the file holds. */
pm_status pm_checkpoint_read(const pm_checkpoint *c, const pm_array *array, float *out) PM_MUST_USE;
/* Adds the LoRA adapter of a folder to what is read from now on; one at most. Names of the adapter may have one part in
 * front ("transformer.") that the checkpoint leaves out. Errors: PM_ERR_FILE names the tensor that does not fit. */
pm_status pm_checkpoint_adapt(pm_checkpoint *c, const char *folder) PM_MUST_USE;

#endif
