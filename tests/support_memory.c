/* See support_memory.h. */
#include "tests/support_memory.h"

#include <stdlib.h>

static void *counting_alloc(void *user, void *old, size_t bytes) {
    test_memory *m = user;
    if (!bytes) {
        free(old);
        m->live--;
        return NULL;
    }
    m->n_calls++;
    if (m->n_calls == m->fail_at || (m->all && m->n_calls > m->fail_at)) return NULL;
    void *p = realloc(old, bytes);
    if (p && !old) m->live++;
    return p;
}

void test_memory_begin(test_memory *m, size_t fail_at) {
    *m = (test_memory){.fail_at = fail_at};
    pm_set_allocator(counting_alloc, m);
}

void test_memory_end(void) {
    pm_set_allocator(NULL, NULL);
}

/* Work with very many repeats most of what it does: then each seventh fails, for the time it takes grows as their square. */
enum { MOST_OF_ALL = 500 };

static pm_status run_failing(pm_status (*work)(void *user), void *user, size_t n, bool all, test_memory *m) {
    test_memory_begin(m, n);
    m->all = all;
    pm_status s = work(user);
    test_memory_end();
    if (m->live) fail_msg("allocation %zu failed: %zu blocks were not freed", n, m->live);
    return s;
}

static size_t test_each(pm_status (*work)(void *user), void *user, bool recovers) {
    for (size_t n = 1;; n += n < MOST_OF_ALL ? 1 : 7) {
        test_memory m;
        pm_status s = run_failing(work, user, n, false, &m);
        if (m.n_calls < n) {
            if (s != PM_OK)
                fail_msg("no allocation failed, but the status is %d: %s", (int)s, pm_error_text());
            return n - 1;
        }
        if (s == PM_OK && recovers) s = run_failing(work, user, n, true, &m);
        if (s != PM_ERR_MEMORY)
            fail_msg("allocation %zu failed, but the status is %d: %s", n, (int)s, pm_error_text());
    }
}

size_t test_every_allocation(pm_status (*work)(void *user), void *user) {
    return test_each(work, user, false);
}

size_t test_every_recovery(pm_status (*work)(void *user), void *user) {
    return test_each(work, user, true);
}
