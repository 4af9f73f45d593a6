/* What the tests share: cmocka with its includes, paths, skips with a reason, seeded numbers. */
#ifndef PM_TEST_SUPPORT_H
#define PM_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "graph/base.h"

/* Fails with the library's error text. */
#define assert_ok(call)                                                                                      \
    do {                                                                                                     \
        pm_status test_s = (call);                                                                           \
        if (test_s != PM_OK) fail_msg("%s: status %d: %s", #call, (int)test_s, pm_error_text());             \
    } while (0)

/* Skips this test, saying why. */
extern int test_n_skipped;
#define skip_because(...)                                                                                    \
    do {                                                                                                     \
        test_n_skipped++;                                                                                    \
        print_message("[  SKIP    ] "), print_message(__VA_ARGS__), print_message("\n");                     \
        skip();                                                                                              \
    } while (0)

/* For main: runs the tests of an array; the exit code is 77 (ctest: skipped) when every one of them was skipped. */
#define run_all_tests(tests)                                                                                 \
    test_exit_code(cmocka_run_group_tests(tests, NULL, NULL), (int)(sizeof(tests) / sizeof(tests)[0]))
int test_exit_code(int n_failed, int n_tests);

/* The Vulkan device that the tests use: $PUMICE_TEST_DEVICE, or "vulkan". */
const char *test_device(void);

/* The folder ../shared of the repository, or $PUMICE_SHARED; NULL when it is not there. */
const char *test_shared_dir(void);

/* A small deterministic generator (splitmix64): the same numbers on every machine. */
typedef struct test_rng {
    uint64_t state;
} test_rng;
uint64_t test_random(test_rng *r);
uint32_t test_below(test_rng *r, uint32_t n); /* 0 .. n-1 */
float test_uniform(test_rng *r, float lo, float hi);

#endif
