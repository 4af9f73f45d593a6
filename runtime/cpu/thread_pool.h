/* Worker threads that share one loop at a time. Owns its threads; a pool belongs to one caller. */
#ifndef PM_THREAD_POOL_H
#define PM_THREAD_POOL_H

#include "graph/base.h"

typedef struct pm_thread_pool pm_thread_pool;
typedef void (*pm_loop_body)(const void *context, uint64_t first, uint64_t last);

uint32_t pm_core_count(void); /* at least 1 */
/* n_threads counts the caller; 0 is one a core. With one thread no thread is started. */
pm_status pm_thread_pool_create(uint32_t n_threads, pm_thread_pool **out) PM_MUST_USE;
void pm_thread_pool_destroy(pm_thread_pool *p); /* accepts NULL */
uint32_t pm_thread_pool_size(const pm_thread_pool *p);
/* Runs body over 0 .. n-1 in pieces of at least `grain` items and returns when all are done. */
void pm_thread_pool_run(pm_thread_pool *p, uint64_t n, uint64_t grain, pm_loop_body body,
                        const void *context);

#endif
