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
#include "pumice/tensors.h"
#include "pumice/verify.h"

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

/* ---- many tensors at once ---- */

/* Every input, weight and state that the set has under its name (inputs: under "in." and the name, too), converted to the graph's type.
 * Errors: PM_ERR_FILE names the tensor, its shape or type, and what was expected. */
pm_status pm_compute_feed(pm_compute *c, const pm_tensors *set) PM_MUST_USE;
/* The name of the first input or weight that was not given; NULL: there is none. */
const char *pm_compute_missing(const pm_compute *c);
/* What is missing gets numbers that depend on the seed, the name and the shape alone: reals of a size that keeps products near 1, ids
 * within the tables that they choose from (0 or 1 where there is none). States that were not put become zeros. */
pm_status pm_compute_feed_random(pm_compute *c, uint64_t seed) PM_MUST_USE;
/* Adds the outputs, and the states as they are now, to the set under their names (an output before a state of its name). */
pm_status pm_compute_results(const pm_compute *c, pm_tensors *set) PM_MUST_USE;

/* ---- looking inside ---- */

/* Multiply-adds (products) or elements moved, summed over the program. */
uint64_t pm_compute_cost(const pm_compute *c);

typedef struct pm_compute_figures {
    uint64_t weight_bytes, state_bytes, constant_bytes, arena_bytes, lower_bound_bytes, copied_bytes;
    uint32_t n_weights, n_states, n_inputs, n_params, n_outputs; /* weights and states: those that are used */
    uint32_t n_dispatches, n_barriers, n_submits, n_fallback, n_copies;
} pm_compute_figures;
void pm_compute_get_figures(const pm_compute *c, pm_compute_figures *out);

/* One dispatch of the program. Its strings belong to the computation. */
typedef struct pm_compute_step {
    const char *label, *kernel, *variant;
    uint64_t cost; /* as in pm_compute_cost */
    uint64_t
        ns; /* in the newest run, on a device that was opened with `profile` and has timestamps; else 0 */
} pm_compute_step;
size_t pm_compute_n_steps(const pm_compute *c);
void pm_compute_get_step(const pm_compute *c, size_t i, pm_compute_step *out);

/* Each dispatch against the reference kernel on the same inputs, and the whole twice, as pm_session_verify (model.h) does: inputs that were not
 * given are zeros; states stay as they were. PM_ERR_VERIFY: something is out of bounds; the report is filled then, too. */
pm_status pm_compute_verify(pm_compute *c, const char *dump_dir, pm_verify_report *out_report) PM_MUST_USE;

/* A graph at a stage of the compiler, for people and programs. */
typedef struct pm_graph_dump_options {
    const char *stage;  /* "built", "fused", "planned", "program" */
    const char *format; /* "text", "json", "dot", "svg", "html"; "csv" of planned; NULL: text */
    pm_device *device;  /* selection and limits; NULL: the baseline */
    bool no_fuse;       /* primitive operations stay, to compare with */
    const char
        *profile; /* a file that pm_device_trace's text was written to: times in the pictures; NULL: none */
    uint64_t
        max_memory_bytes; /* of "program": show which weights have room within it, and how the others are read; 0: the device's */
} pm_graph_dump_options;
pm_status pm_graph_dump(const pm_graph *g, const pm_graph_dump_options *options,
                        char **out_text) PM_MUST_USE; /* pm_text_release */

#ifdef __cplusplus
}
#endif
#endif
