/* The safetensors format (https://huggingface.co/docs/safetensors/index#format): 8 bytes of little-endian
 * header length N, N bytes of JSON {name: {dtype, shape, data_offsets: [begin, end]}}, then the data that the
 * offsets count from. Reads from memory, converts nothing, keeps pointers into the file. */
#ifndef PM_SAFETENSORS_H
#define PM_SAFETENSORS_H

#include "graph/base.h"
#include "models/fix.h"
#include "pumice/tensors.h"

/* One tensor. refusal: why no pm_array can hold it ("has 6 dims, at most 5 were expected"), and then only name, data
 * and bytes of the array are meant; else NULL. array comes first: an entry is found again from it. */
typedef struct pm_entry {
    pm_array array;
    const char *refusal;
    pm_fix fix; /* nothing, but for entries of a GGUF file */
} pm_entry;
/* Sorts entries by name. True when bytes of two are the same; then *out_two are their names. */
bool pm_entries_sort(pm_entry *entries, size_t n, const char *out_two[2]);

typedef struct pm_safetensors {
    pm_entry *entries; /* sorted by name */
    size_t n_entries;
} pm_safetensors;

/* label: how the file is called in errors. Entries and texts are allocated in `arena`. Everything is checked:
 * PM_ERR_FILE names the file, the tensor and the values. A tensor of a kind that is not read is no error. */
pm_status pm_safetensors_parse(const char *label, const unsigned char *data, size_t bytes, pm_arena *arena,
                               pm_safetensors *out_file) PM_MUST_USE;
const pm_entry *pm_safetensors_find(const pm_safetensors *f, const char *name); /* NULL when absent */

/* The format's name of a type, "F32"; NULL when it has none. */
const char *pm_safetensors_dtype(pm_dtype t);

#endif
