/* What a computation is made of: its figures, its steps and their times, and whether they are right. */
#include <string.h>

#include "models/compute_data.h"
#include "runtime/verify.h"

uint64_t pm_compute_cost(const pm_compute *c) {
    uint64_t cost = 0;
    for (uint32_t i = 0; i < c->program->n_dispatches; i++) cost += c->program->dispatches[i].cost;
    return cost;
}

void pm_compute_get_figures(const pm_compute *c, pm_compute_figures *out) {
    const pm_program *p = c->program;
    *out = (pm_compute_figures){.weight_bytes = pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT),
                                .state_bytes = pm_program_external_bytes(p, PM_EXTERNAL_STATE),
                                .constant_bytes = p->constants_bytes,
                                .arena_bytes = p->arena_bytes,
                                .lower_bound_bytes = p->lower_bound_bytes,
                                .copied_bytes = p->copied_bytes,
                                .n_inputs = p->n_inputs,
                                .n_params = p->n_params,
                                .n_outputs = p->n_outputs,
                                .n_dispatches = p->n_dispatches,
                                .n_barriers = p->n_barriers,
                                .n_submits = p->n_submits,
                                .n_fallback = p->n_fallback,
                                .n_copies = p->n_copies};
    for (uint32_t i = 0; i < p->n_externals; i++) {
        const pm_external *e = &p->externals[i];
        out->n_weights += e->kind == PM_EXTERNAL_WEIGHT && e->first == 0; /* pieces are one */
        out->n_states += e->kind == PM_EXTERNAL_STATE;
    }
}

size_t pm_compute_n_steps(const pm_compute *c) {
    return c->program->n_dispatches;
}

void pm_compute_get_step(const pm_compute *c, size_t i, pm_compute_step *out) {
    const pm_dispatch *d = &c->program->dispatches[i];
    const uint64_t *times = c->loaded ? pm_loaded_times_ns(c->loaded) : NULL;
    *out = (pm_compute_step){.label = d->label,
                             .kernel = pm_kernel_get(d->kernel)->name,
                             .variant = pm_variant_get(d->variant)->name,
                             .cost = d->cost,
                             .ns = times ? times[i] : 0};
}

/* Inputs as verification wants them: every one; zeros, which *out_zeros owns, stand for what was not given. */
static pm_status all_inputs(const pm_compute *c, const void **inputs, void **out_zeros) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < c->program->n_inputs; i++)
        if (!c->inputs[i] && c->program->inputs[i].range.bytes > most)
            most = c->program->inputs[i].range.bytes;
    *out_zeros = pm_calloc(1, (size_t)most + 1);
    if (!*out_zeros) return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < c->program->n_inputs; i++) inputs[i] = c->inputs[i] ? c->inputs[i] : *out_zeros;
    return PM_OK;
}

pm_status pm_compute_verify(pm_compute *c, const char *dump_dir, pm_verify_report *out_report) {
    const void **inputs = pm_calloc(c->program->n_inputs, sizeof *inputs);
    void *zeros = NULL;
    *out_report = (pm_verify_report){.first_out = -1, .bit_equal = true};
    pm_status s = inputs ? all_inputs(c, inputs, &zeros) : PM_ERR_MEMORY;
    const pm_verify_job job = {.name = c->program->name,
                               .program = c->program,
                               .device = c->executor,
                               .inputs = inputs,
                               .params = c->params,
                               .dump_dir = dump_dir};
    if (s == PM_OK) s = pm_verify_program(&job, out_report);
    pm_free(inputs);
    pm_free(zeros);
    if (s == PM_OK) return pm_verify_verdict(out_report);
    pm_verify_report_free(out_report);
    return s;
}
