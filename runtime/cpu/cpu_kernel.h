/* C kernels: the reference kernels (naive, double accumulation; they define each operation and bound each other's error)
 * and the fast ones. A kernel computes items first .. last-1 of a dispatch, so that threads can share one. */
#ifndef PM_CPU_KERNEL_H
#define PM_CPU_KERNEL_H

#include "graph/program.h"

typedef struct pm_call {
    const void *params; /* <op>.params.h */
    const uint32_t *spec;
    const void *in[PM_MAX_BINDINGS]; /* start of each binding's range */
    void *out;                       /* start of the last binding; NULL when that is not used */
    float *bound; /* NULL, or laid out as out: the largest error allowed to a device that uses fp32 */
    /* of bindings before the last that are written, too, by binding: their start, and bounds as above */
    void *also[PM_MAX_BINDINGS];
    float *also_bound[PM_MAX_BINDINGS];
} pm_call;

typedef struct pm_cpu_kernel {
    uint64_t (*n_items)(const pm_call *c); /* independent pieces: elements, rows, ... */
    void (*run)(const pm_call *c, uint64_t first, uint64_t last);
    uint64_t grain; /* fewest items worth a thread */
} pm_cpu_kernel;

const pm_cpu_kernel *pm_reference_kernel(pm_kernel k); /* always there; fills c->bound when it is not NULL */
const pm_cpu_kernel *
pm_fast_kernel(pm_kernel k); /* NULL where the reference kernel serves; ignores c->bound */

#endif
