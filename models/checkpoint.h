/* The weights of a model: one model.safetensors, or the shards that model.safetensors.index.json names. A
 * loader asks for name and shape and gets exactly that or an error with both shapes. */
#ifndef PM_CHECKPOINT_H
#define PM_CHECKPOINT_H

#include "models/files.h"
#include "models/safetensors.h"

typedef struct pm_shard {
    const char *label;
    pm_blob blob;
    pm_safetensors file;
} pm_shard;

typedef struct pm_checkpoint {
    pm_shard *shards;
    size_t n_shards, shards_capacity;
    pm_arena arena;
} pm_checkpoint;

pm_status pm_checkpoint_open(const pm_files *f, pm_checkpoint *out_checkpoint) PM_MUST_USE;
void pm_checkpoint_close(pm_checkpoint *c);
bool pm_checkpoint_has(const pm_checkpoint *c, const char *name);
/* Errors: PM_ERR_FILE when the tensor is missing, has another shape, or a type that is no float. */
pm_status pm_checkpoint_want(const pm_checkpoint *c, const char *name, int rank, const int64_t *dims,
                             const pm_array **out) PM_MUST_USE;

#endif
