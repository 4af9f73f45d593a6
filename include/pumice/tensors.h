/* Pumice, tensors: a set of named arrays in memory, read from and written to safetensors files.
 * (Format: https://huggingface.co/docs/safetensors/index#format) */
#ifndef PUMICE_TENSORS_H
#define PUMICE_TENSORS_H

#include "pumice/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_tensors pm_tensors;

/* One array: row-major; `data` is little-endian as in the file and belongs to the set. */
typedef struct pm_array {
    const char *name;
    pm_dtype dtype;
    int32_t rank; /* up to PM_MAX_DIMS */
    int64_t dims[PM_MAX_DIMS];
    const void *data;
    uint64_t bytes;
} pm_array;

pm_status pm_tensors_create(pm_tensors **out_set) PM_MUST_USE;
void pm_tensors_free(pm_tensors *set); /* accepts NULL */
/* Adds an array (replaces one of that name). data is copied; NULL gives zeros; *out_data, when not NULL, is where it lies. */
pm_status pm_tensors_add(pm_tensors *set, const pm_array *array, void **out_data) PM_MUST_USE;
/* Ids as an I32 array [1,n]. */
pm_status pm_tensors_add_ids(pm_tensors *set, const char *name, const int32_t *ids, size_t n) PM_MUST_USE;
const pm_array *pm_tensors_get(const pm_tensors *set, const char *name); /* NULL when absent */
/* Why a tensor of the file that was read is not in the set ("has 6 dims, ..."); NULL: it is, or the file has none. */
const char *pm_tensors_refusal(const pm_tensors *set, const char *name);
size_t pm_tensors_count(const pm_tensors *set);
const pm_array *pm_tensors_at(const pm_tensors *set, size_t i);

/* The file is memory-mapped; every size and offset is checked. Tensors that no pm_array can hold are left out.
 * Errors: PM_ERR_FILE names file, tensor, values. */
pm_status pm_tensors_read(const char *path, pm_tensors **out_set) PM_MUST_USE;
/* Both write whole or not at all: a file is replaced only when all is written, links are followed, and a device or pipe
 * is written to. Errors: PM_ERR_OTHER names the path and the reason. */
pm_status pm_tensors_write(const pm_tensors *set, const char *path) PM_MUST_USE;
pm_status pm_file_write(const char *path, const void *data, size_t bytes) PM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
