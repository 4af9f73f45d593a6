/* Random graphs that use every operation: for round trips and for passes that must keep a graph valid. */
#ifndef PM_TEST_RANDOM_GRAPH_H
#define PM_TEST_RANDOM_GRAPH_H

#include "graph/ir.h"
#include "tests/support.h"

/* A graph of about n_ops operations, with a few outputs. `fused`: also the operations that only the compiler
 * makes. Fails the test when a builder refuses one of them. */
pm_graph *test_random_graph(test_rng *r, int n_ops, bool fused);

#endif
