/* Makes the n-th allocation fail, and counts what is not freed. */
#ifndef PM_TEST_MEMORY_H
#define PM_TEST_MEMORY_H

#include "tests/support.h"

typedef struct test_memory {
    size_t n_calls; /* allocations and reallocations so far */
    size_t fail_at; /* 1: the first; 0: none */
    bool all;       /* what comes after it fails too */
    size_t live;    /* blocks not freed */
} test_memory;

void test_memory_begin(test_memory *m, size_t fail_at); /* installs the allocator; zeroes m */
void test_memory_end(void);                             /* the C library's again */

/* Runs `work` with its 1st, 2nd, ... allocation failing, until it needs no more. Each failing run must give
 * PM_ERR_MEMORY and leave no block; the last one must succeed. Of more than 500 each seventh fails. Returns how many there are.
 */
size_t test_every_allocation(pm_status (*work)(void *user), void *user);
/* The same of work that tries again with less: it may succeed in spite of one failure, not when all fail from there on. */
size_t test_every_recovery(pm_status (*work)(void *user), void *user);

#endif
