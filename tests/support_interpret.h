/* A naive interpreter of graphs, in double precision, for tests of passes: two graphs that should mean the
 * same are run on the same leaves. Knows every operation by its definition in graph/ir.h, and no kernel, plan
 * or program. */
#ifndef PM_TEST_INTERPRET_H
#define PM_TEST_INTERPRET_H

#include "graph/ir.h"
#include "tests/support.h"

/* Runs both graphs with leaves drawn from `seed` by name. The largest |a - b| / max(1, |b|) over all outputs,
 * with b of `before`; infinity where only one is a number. They must have the same outputs in the same order.
 */
double test_difference(const pm_graph *before, const pm_graph *after, uint64_t seed);

#endif
