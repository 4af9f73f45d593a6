/* The operations that `pumice bench ops` times: rows of a table, built with the public graph API. */
#ifndef PM_BENCH_CASES_H
#define PM_BENCH_CASES_H

#include "pumice/compute.h"

/* Builds one operation on inputs "x0", "x1", ... and marks the output "y". */
typedef struct bench_case {
    const char *name;
    const char *unit; /* "GFLOP/s" or "GB/s" */
    double work;      /* floating-point operations or bytes of one run */
    int64_t size[4];  /* read by build */
    int32_t position; /* of the first query among the keys: the parameter "position", if the case has one */
    void (*build)(pm_graph *g, const int64_t *size);
} bench_case;

extern const bench_case bench_cases[];
extern const size_t n_bench_cases;

#endif
