/* The stages in order: optimize, plan, lower. Owns what it makes until it hands it over. */
#include "graph/compile.h"

#include "graph/placement.h"

/* Where weights lie within the limit; with some outside, of the program that an executor would then ask for. device: NULL, or caps. */
static pm_status place(pm_compiled *c, const pm_caps *device, const pm_caps *caps,
                       uint64_t max_memory_bytes) {
    pm_caps streaming = *caps;
    PM_TRY(pm_placement_make(c->program, device, max_memory_bytes, &c->program->placement));
    if (!c->program->placement->n_on_host || (device && !pm_caps_has_bus(device))) return PM_OK;
    streaming.stream_part_bytes = pm_stream_part_bytes(max_memory_bytes);
    pm_program_destroy(c->program);
    c->program = NULL;
    PM_TRY(pm_lower(c->fused, &c->plan, &streaming, &c->program));
    return pm_placement_make(c->program, device, max_memory_bytes, &c->program->placement);
}

pm_status pm_compile_stages(const pm_graph *g, const pm_compile_options *options, pm_compiled *out) {
    pm_caps baseline;
    const pm_caps *caps = options && options->caps ? options->caps : &baseline;
    *out = (pm_compiled){0};
    if (pm_graph_status(g) != PM_OK) return pm_graph_status(g); /* its text was recorded when it arose */
    pm_caps_baseline(&baseline);
    const pm_plan_limits limits = {.alignment = caps->binding_alignment ? caps->binding_alignment : 16,
                                   .max_block_bytes = caps->max_block_bytes,
                                   .max_binding_bytes = caps->max_binding_bytes,
                                   .apart = options && options->no_fuse};
    pm_status s;
    PM_GOTO(options && options->no_fuse ? pm_simplify(g, &out->fused) : pm_optimize(g, &out->fused));
    PM_GOTO(pm_plan_graph(out->fused, &limits, &out->plan));
    PM_GOTO(pm_lower(out->fused, &out->plan, caps, &out->program));
    if (options && options->max_memory_bytes)
        PM_GOTO(place(out, options->caps, caps, options->max_memory_bytes));
    return PM_OK;
fail:
    pm_compiled_free(out);
    return s;
}

void pm_compiled_free(pm_compiled *c) {
    pm_graph_destroy(c->fused);
    pm_graph_plan_free(&c->plan);
    pm_program_destroy(c->program);
    *c = (pm_compiled){0};
}

pm_status pm_compile(const pm_graph *g, const pm_compile_options *options, pm_program **out) {
    pm_compiled c;
    *out = NULL;
    PM_TRY(pm_compile_stages(g, options, &c));
    *out = c.program;
    c.program = NULL;
    pm_compiled_free(&c);
    return PM_OK;
}
