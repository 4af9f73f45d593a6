/* A graph from builder to results, twice: as it stands and with all passes, on the reference executor with poisoned
 * memory. Passes, plan, lowering and kernels must agree: a range reused too early, a missing operand or a wrong stride
 * shows as a difference or as NaN. */
#ifndef PM_TEST_RUN_BOTH_H
#define PM_TEST_RUN_BOTH_H

#include "graph/compile.h"
#include "tests/support.h"

/* Leaves are drawn from `seed` by name; parameters are `param`. Fails the test, with the graph's text, when the results
 * differ by more than rounding. Gives the number of elements compared. `caps` may be NULL. */
uint64_t test_run_both(const pm_graph *g, const pm_caps *caps, uint64_t seed, int32_t param);

#endif
