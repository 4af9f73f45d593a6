/* See pumice/compute.h: a caller's own graph on a device. A thin face of graph/compile.h and
 * runtime/executor.h; names in the store are the caller's. */
#include "pumice/compute.h"

#include <inttypes.h>
#include <string.h>

#include "graph/compile.h"
#include "models/compute_data.h"
#include "models/device_data.h"

pm_status pm_compute_open(const pm_graph *g, pm_device *d, pm_compute **out_compute) {
    *out_compute = NULL;
    pm_compute *c = pm_calloc(1, sizeof *c);
    if (!c) return PM_ERR_MEMORY;
    c->executor = d->executor;
    pm_compile_options o = {.caps = pm_executor_caps(d->executor)};
    pm_status s = pm_graph_status(g);
    if (s == PM_OK) s = pm_compile(g, &o, &c->program);
    if (s == PM_OK) {
        c->inputs = pm_calloc(c->program->n_inputs, sizeof *c->inputs);
        c->params = pm_calloc(c->program->n_params, sizeof *c->params);
        s = c->inputs && c->params ? pm_graph_leaves(g, &c->arena, &c->leaves, &c->n_leaves) : PM_ERR_MEMORY;
    }
    if (s == PM_OK)
        *out_compute = c;
    else
        pm_compute_close(c);
    return s;
}

void pm_compute_close(pm_compute *c) {
    if (!c) return;
    pm_loaded_unload(c->loaded);
    for (uint32_t i = 0; c->inputs && i < c->program->n_inputs; i++) pm_free(c->inputs[i]);
    pm_free(c->inputs);
    pm_free(c->params);
    pm_arena_free(&c->arena);
    pm_program_destroy(c->program);
    pm_free(c);
}

const pm_external *pm_compute_stored(const pm_compute *c, const char *name) {
    for (uint32_t i = 0; i < c->program->n_externals; i++) {
        const pm_external *e = &c->program->externals[i];
        if ((e->kind == PM_EXTERNAL_WEIGHT || e->kind == PM_EXTERNAL_STATE) && strcmp(e->tensor, name) == 0)
            return e;
    }
    return NULL;
}

/* Behind its first piece come the others (graph/program.h). */
static bool is_last(const pm_compute *c, const pm_external *e) {
    return e + 1 == c->program->externals + c->program->n_externals || e[1].first == 0;
}

static pm_status wrong_bytes(const char *what, const char *name, uint64_t bytes, uint64_t expected) {
    return pm_raise(PM_ERR_USAGE, "%s %s: %" PRIu64 " bytes, expected %" PRIu64, what, name, bytes, expected);
}

pm_status pm_compute_put(pm_compute *c, const char *name, const void *data, uint64_t bytes) {
    const pm_external *e = pm_compute_stored(c, name);
    if (!e) return PM_OK; /* the compiler found that nothing depends on it */
    const pm_external *last = e;
    while (!is_last(c, last)) last++;
    if (bytes != last->first + last->bytes)
        return wrong_bytes("tensor", name, bytes, last->first + last->bytes);
    for (; e <= last; e++)
        PM_TRY(pm_executor_put(c->executor, e->name, data ? (const char *)data + e->first : NULL, e->bytes));
    return PM_OK;
}

pm_status pm_compute_put_zeros(pm_compute *c) {
    for (uint32_t i = 0; i < c->program->n_externals; i++) {
        const pm_external *e = &c->program->externals[i];
        if (e->kind != PM_EXTERNAL_WEIGHT && e->kind != PM_EXTERNAL_STATE) continue;
        if (!pm_executor_has(c->executor, e->name))
            PM_TRY(pm_executor_put(c->executor, e->name, NULL, e->bytes));
    }
    return PM_OK;
}

pm_status pm_compute_input(pm_compute *c, const char *name, const void *data, uint64_t bytes) {
    int i = pm_program_input(c->program, name);
    if (i < 0) return pm_raise(PM_ERR_USAGE, "input %s: the graph does not use it", name);
    if (bytes != c->program->inputs[i].range.bytes)
        return wrong_bytes("input", name, bytes, c->program->inputs[i].range.bytes);
    if (!c->inputs[i]) c->inputs[i] = pm_alloc((size_t)bytes);
    if (!c->inputs[i]) return PM_ERR_MEMORY;
    memcpy(c->inputs[i], data, (size_t)bytes);
    return c->loaded ? pm_loaded_write(c->loaded, (uint32_t)i, data, bytes) : PM_OK;
}

pm_status pm_compute_param(pm_compute *c, const char *name, int32_t value) {
    int i = pm_program_param(c->program, name);
    if (i < 0) return pm_raise(PM_ERR_USAGE, "param %s: the graph does not use it", name);
    c->params[i] = value;
    if (c->loaded) pm_loaded_set_param(c->loaded, (uint32_t)i, value);
    return PM_OK;
}

static pm_status load(pm_compute *c) {
    for (uint32_t i = 0; i < c->program->n_externals; i++) {
        const pm_external *e = &c->program->externals[i];
        if ((e->kind == PM_EXTERNAL_WEIGHT || e->kind == PM_EXTERNAL_STATE) &&
            !pm_executor_has(c->executor, e->name))
            return pm_raise(PM_ERR_USAGE, "tensor %s: was not put before the first run", e->name);
    }
    PM_TRY(pm_executor_load(c->executor, c->program, &c->loaded));
    for (uint32_t i = 0; i < c->program->n_params; i++) pm_loaded_set_param(c->loaded, i, c->params[i]);
    for (uint32_t i = 0; i < c->program->n_inputs; i++) {
        if (!c->inputs[i]) continue;
        PM_TRY(pm_loaded_write(c->loaded, i, c->inputs[i], c->program->inputs[i].range.bytes));
    }
    return PM_OK;
}

pm_status pm_compute_run(pm_compute *c) {
    if (!c->loaded) PM_TRY(load(c));
    return pm_loaded_run(c->loaded);
}

pm_status pm_compute_output(pm_compute *c, const char *name, void *data, uint64_t bytes) {
    int i = pm_program_output(c->program, name);
    if (i < 0) return pm_raise(PM_ERR_USAGE, "output %s: the graph has none of that name", name);
    if (!c->loaded) return pm_raise(PM_ERR_USAGE, "output %s: nothing ran yet", name);
    if (bytes != c->program->outputs[i].range.bytes)
        return wrong_bytes("output", name, bytes, c->program->outputs[i].range.bytes);
    return pm_loaded_read(c->loaded, (uint32_t)i, data, bytes);
}

void pm_compute_drop(pm_compute *c, const char *name) {
    pm_loaded_unload(c->loaded); /* it may use the tensor */
    c->loaded = NULL;
    const pm_external *e = pm_compute_stored(c, name);
    if (!e && pm_executor_has(c->executor, name)) pm_executor_drop(c->executor, name);
    for (; e; e = is_last(c, e) ? NULL : e + 1)
        if (pm_executor_has(c->executor, e->name)) pm_executor_drop(c->executor, e->name);
}
