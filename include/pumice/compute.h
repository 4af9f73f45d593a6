/* Pumice, compute: compile a graph of your own for a device and run it. No model is involved.
 *
 *     pm_compute *c;
 *     pm_compute_open(g, d, &c);                               // g as built in graph.h; may be destroyed after
 *     pm_compute_put(c, "w", w, sizeof w);                     // weights and states, by name, before the first run
 *     pm_compute_input(c, "x", x, sizeof x);
 *     pm_compute_run(c);
 *     pm_compute_output(c, "y", y, sizeof y);
 *     pm_compute_close(c);
 *
 * Weights and states live in the device's store under their names: two computations on one device that use the same name
 * share the tensor.
 */
#ifndef PUMICE_COMPUTE_H
#define PUMICE_COMPUTE_H

#include "pumice/device.h"
#include "pumice/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_compute pm_compute;

pm_status pm_compute_open(const pm_graph *g, pm_device *d, pm_compute **out_compute) PM_MUST_USE;
void pm_compute_close(pm_compute *c); /* accepts NULL; the store keeps the tensors until pm_compute_drop */
/* data NULL: zeros. bytes must be the tensor's. Errors: PM_ERR_USAGE names the tensor and the sizes. */
pm_status pm_compute_put(pm_compute *c, const char *name, const void *data, uint64_t bytes) PM_MUST_USE;
pm_status
pm_compute_put_zeros(pm_compute *c) PM_MUST_USE; /* every weight and state that the store does not have yet */
pm_status pm_compute_input(pm_compute *c, const char *name, const void *data, uint64_t bytes) PM_MUST_USE;
pm_status pm_compute_param(pm_compute *c, const char *name, int32_t value) PM_MUST_USE;
pm_status pm_compute_run(pm_compute *c) PM_MUST_USE; /* returns when the outputs can be read */
pm_status pm_compute_output(pm_compute *c, const char *name, void *data, uint64_t bytes) PM_MUST_USE;
void pm_compute_drop(pm_compute *c,
                     const char *name); /* takes a weight or state out of the store; no run after it */

/* Multiply-adds (products) or elements moved, summed over the program. */
uint64_t pm_compute_cost(const pm_compute *c);

/* A graph at a stage of the compiler, for people and programs. */
typedef struct pm_graph_dump_options {
    const char *stage;  /* "built", "fused", "planned", "program" */
    const char *format; /* "text", "json", "dot", "svg", "html"; "csv" of planned; NULL: text */
    pm_device *device;  /* selection and limits; NULL: the baseline */
    bool no_fuse;       /* primitive operations stay, to compare with */
} pm_graph_dump_options;
pm_status pm_graph_dump(const pm_graph *g, const pm_graph_dump_options *options,
                        char **out_text) PM_MUST_USE; /* pm_text_release */

#ifdef __cplusplus
}
#endif
#endif
