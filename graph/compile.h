/* From a built graph to a program: optimize -> plan -> lower (with selection). Each stage can be kept for dumps. */
#ifndef PM_COMPILE_H
#define PM_COMPILE_H

#include "graph/plan.h"
#include "graph/program.h"

typedef struct pm_compile_options {
    const pm_caps *caps; /* NULL: the baseline */
    bool no_fuse;        /* keep primitives (tests, debugging) */
    uint64_t
        max_memory_bytes; /* place the weights within it, for a dump; 0: nowhere. Executors place by what they hold */
} pm_compile_options;

typedef struct pm_compiled {
    pm_graph *fused; /* NULL unless asked for */
    pm_graph_plan plan;
    pm_program *program;
} pm_compiled;

/* The common way: only the program. */
pm_status pm_compile(const pm_graph *g, const pm_compile_options *options, pm_program **out) PM_MUST_USE;
/* All stages, owned by out; freed with pm_compiled_free. */
pm_status pm_compile_stages(const pm_graph *g, const pm_compile_options *options,
                            pm_compiled *out) PM_MUST_USE;
void pm_compiled_free(pm_compiled *c);

/* What a graph is given by name, for those who may not look into it (leaves.c). */
typedef enum pm_given_kind { PM_GIVEN_INPUT, PM_GIVEN_WEIGHT, PM_GIVEN_STATE } pm_given_kind;
typedef struct pm_given_leaf {
    const char *name; /* in the arena */
    pm_given_kind kind;
    pm_dtype dtype;
    int32_t rank;
    int64_t dims[PM_MAX_DIMS];
    uint64_t n_elems;
    int64_t
        n_ids; /* I32 that choose rows of a table: its rows, the fewest of several tables; 0: they choose none */
} pm_given_leaf;
/* In the graph's order; *out_leaves is in the arena, too. */
pm_status pm_graph_leaves(const pm_graph *g, pm_arena *arena, pm_given_leaf **out_leaves,
                          size_t *out_n) PM_MUST_USE;

/* Lowering: plan places are turned to ranges, offsets to parameters, hazards to barriers, cost to submissions. */
pm_status pm_lower(const pm_graph *g, const pm_graph_plan *plan, const pm_caps *caps,
                   pm_program **out) PM_MUST_USE;

/* For the lower functions of the operation table. Binds tensor t as the next binding of d and returns its offset in
 * elements from the binding's start, for the parameters. t NULL: an absent operand (stands in with binding 0). */
typedef struct pm_lowering pm_lowering;
pm_status pm_lower_bind(pm_lowering *l, pm_dispatch *d, const pm_tensor *t, bool written,
                        uint32_t *out_offset) PM_MUST_USE;

/* Selection (select.c): the first row of the table whose kernel matches and whose `fits` holds gives variant, spec[0..7]
 * and groups. PM_ERR_DEVICE when none fits. Reads kernel, params and spec[8..] of d. */
pm_status pm_select(const pm_caps *caps, pm_dispatch *d) PM_MUST_USE;

/* Bytes that the workgroups of a selected dispatch load from a binding, each as often as it is loaded (loads.c). */
uint64_t pm_dispatch_loads(const pm_tensor *t, const pm_dispatch *d, uint32_t binding);

/* What keeps its place on the device the longest: 0 small weights, of which there are many and which are read by every row; 1 the
 * others; 2 tables of which some rows are looked up. */
int pm_weight_turn(uint64_t bytes, bool looked_up);

/* Dumps of plan and program (dump_plan.c, dump_program.c). JSON of the plan has arena_bytes, lower_bound_bytes, ratio, intervals
 * (csv: the problem alone, id,lower,upper,size with aligned sizes); of the
 * program n_dispatches, n_barriers, n_submits, fallback_ops and the dispatches, with their times where ns has them. */
pm_status pm_plan_print(const pm_graph *g, const pm_graph_plan *p, const char *format,
                        char **out_text) PM_MUST_USE;
pm_status pm_program_print(const pm_program *p, const char *format, const uint64_t *ns,
                           char **out_text) PM_MUST_USE;
/* Pictures (dump_map.c, dump_dot.c, dump_flow.c). Graphviz's of the plan is the graph with each tensor's place. A profile is
 * an array of nanoseconds by dispatch, or NULL; node_ns is one by tensor. */
pm_status pm_plan_print_svg(const pm_graph *g, const pm_graph_plan *p, char **out_text) PM_MUST_USE;
pm_status pm_plan_print_dot(const pm_graph *g, const pm_graph_plan *p, const uint64_t *node_ns,
                            char **out_text) PM_MUST_USE;
pm_status pm_program_print_svg(const pm_program *p, const uint64_t *ns, char **out_text) PM_MUST_USE;
pm_status pm_program_print_dot(const pm_program *p, const uint64_t *ns, char **out_text) PM_MUST_USE;
/* The times of the planned graph's n tensors: the sums over their dispatches. Freed with pm_free. */
pm_status pm_program_node_ns(const pm_program *p, const uint64_t *ns, size_t n,
                             uint64_t **out_node_ns) PM_MUST_USE;

/* One page of HTML without anything from outside (dump_page.c): the graph's picture, which folds, and where they are given the
 * plan's and the program's, with their JSON forms as data. */
typedef struct pm_page {
    const char *stage;
    const pm_graph *graph;
    const pm_graph_plan *plan;   /* or NULL */
    const pm_program *program;   /* or NULL */
    const uint64_t *dispatch_ns; /* a profile, or NULL; needs node_ns */
    const uint64_t *node_ns;
} pm_page;
pm_status pm_page_print(const pm_page *page, char **out_text) PM_MUST_USE;

#endif
