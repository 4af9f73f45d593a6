/* Named tensors in host memory: an open-addressing hash table. Owns the memory. */
#ifndef PM_CPU_STORE_H
#define PM_CPU_STORE_H

#include "graph/base.h"

typedef struct pm_stored {
    char *name; /* NULL: free; its first byte 0: dropped */
    uint64_t bytes;
    void *data;
} pm_stored;

typedef struct pm_cpu_store {
    pm_stored *slots;
    size_t n_slots, n_used, n_live; /* used: with dropped ones */
    uint64_t bytes;
} pm_cpu_store;

pm_status pm_cpu_store_put(pm_cpu_store *s, const char *name, const void *data, uint64_t bytes) PM_MUST_USE;
pm_stored *pm_cpu_store_find(const pm_cpu_store *s, const char *name); /* NULL when absent */
void pm_cpu_store_drop(pm_cpu_store *s, const char *name);
void pm_cpu_store_free(pm_cpu_store *s);

#endif
