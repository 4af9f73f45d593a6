/* Tests of passes as text in, text out. A file under tests/passes holds cases:
 *     case NAME
 *     ...a graph, without its first line...
 *     gives
 *     ...the graph that the pass makes of it...
 * or, for what a pass must leave alone, `stays` in place of `gives` and all after it. # begins a comment. */
#ifndef PM_TEST_PASS_CASES_H
#define PM_TEST_PASS_CASES_H

#include "graph/ir.h"
#include "tests/support.h"

typedef struct test_pass_case {
    char name[64];
    pm_graph *before;
    const char *after; /* text without the first line; NULL: it stays */
} test_pass_case;

/* Calls `check` with each case of tests/passes/`file`. Fails the test when the file is not as it should be.
 */
void test_each_pass_case(const char *file, void (*check)(const test_pass_case *c, void *user), void *user);

/* Runs the pass on the case and compares; also that the result is valid and the argument untouched. */
void test_pass_case_check(const test_pass_case *c, pm_status (*pass)(const pm_graph *g, pm_graph **out));

#endif
