/* A text in segments that see what the ones before left (spec.h, pm_recurrence): inputs in.segment.0, in.segment.1, ...
 * are run in turn, and their outputs have the segment's number behind the name, as out.log_probs.0 and out.mems.0.2.
 * in.input_ids alone is one segment with nothing before it, whose outputs have no number. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/inputs.h"
#include "models/session.h"

static const char prefix[] = "in.segment.";

bool pm_segments_given(const pm_tensors *inputs) {
    for (size_t i = 0; i < pm_tensors_count(inputs); i++)
        if (strncmp(pm_tensors_at(inputs, i)->name, prefix, sizeof prefix - 1) == 0) return true;
    return false;
}

/* Segments are counted from 0 with none left out. */
static pm_status count(const pm_tensors *inputs, int64_t *out_n) {
    char name[32];
    int64_t n = 0, given = 0;
    for (size_t i = 0; i < pm_tensors_count(inputs); i++)
        given += strncmp(pm_tensors_at(inputs, i)->name, prefix, sizeof prefix - 1) == 0;
    for (;; n++) {
        snprintf(name, sizeof name, "%s%" PRId64, prefix, n);
        if (!pm_tensors_get(inputs, name)) break;
    }
    const char *refusal = pm_tensors_refusal(inputs, name);
    if (refusal) return pm_raise(PM_ERR_FILE, "inputs: %s %s", name, refusal);
    *out_n = n;
    if (n == given) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "inputs: %s is missing, there are %" PRId64 " segments, counted from 0",
                    name, given);
}

static int64_t kept(const pm_recurrence *re, int64_t memory, int64_t length) {
    int64_t total = memory + (length > re->skipped ? length - re->skipped : 0);
    return total < re->rows ? total : re->rows;
}

/* mems of no rows, which no graph can give. */
static pm_status add_empty_mems(const pm_session *s, const pm_segment *at, pm_tensors *set) {
    const pm_stack *st = &s->model->spec.stack[0];
    char name[64];
    if (*at->want && !strstr(at->want, "mems")) return PM_OK;
    for (int64_t i = 0; i <= st->n_layers; i++) {
        pm_array a = {.name = name, .dtype = PM_F32, .rank = 3, .dims = {0, at->batch, st->width}};
        snprintf(name, sizeof name, "out.mems.%" PRId64 ".%" PRId64, at->number, i);
        if (at->number < 0) snprintf(name, sizeof name, "out.mems.%" PRId64, i);
        PM_TRY(pm_tensors_add(set, &a, NULL));
    }
    return PM_OK;
}

pm_status pm_segment_program(pm_session *s, const pm_segment *at, pm_ready **out) {
    char states[64];
    snprintf(states, sizeof states, "%smem.%" PRId64 ".", s->prefix, at->batch);
    pm_build_options o = {.kind = PM_BUILD_FORWARD,
                          .batch = at->batch,
                          .length = at->length,
                          .memory = at->memory,
                          .states = states,
                          .want = at->want};
    return pm_session_program(s, &o, out);
}

static pm_status run_segment(pm_session *s, const pm_segment *at, const int32_t *ids, pm_tensors *set) {
    pm_ready *r;
    PM_TRY(pm_segment_program(s, at, &r));
    PM_TRY(pm_ready_write(r, "input_ids", ids, (size_t)(at->batch * at->length)));
    PM_TRY(pm_loaded_run(r->loaded));
    PM_TRY(pm_session_outputs(s, r, at->number, set));
    return kept(&s->model->spec.recurrence, at->memory, at->length) ? PM_OK : add_empty_mems(s, at, set);
}

static pm_status run_next(pm_session *s, const pm_tensors *inputs, pm_segment *at, pm_tensors *set) {
    char name[32] = "input_ids";
    if (at->number >= 0) snprintf(name, sizeof name, "segment.%" PRId64, at->number);
    pm_given in = {.name = name};
    pm_status status = pm_inputs_read_ids(s->model, inputs, &in);
    if (status == PM_OK && at->number > 0 && in.dims[0] != at->batch)
        status =
            pm_raise(PM_ERR_USAGE, "inputs: in.%s has %" PRId64 " rows, expected %" PRId64 " as in.segment.0",
                     name, in.dims[0], at->batch);
    if (status == PM_OK) {
        at->batch = in.dims[0];
        at->length = in.dims[1];
        status = run_segment(s, at, in.values, set);
    }
    pm_free(in.values);
    at->memory = kept(&s->model->spec.recurrence, at->memory, at->length);
    return status;
}

pm_status pm_segments_run(pm_session *s, const pm_tensors *inputs, const char *want, pm_tensors *set) {
    pm_segment at = {.number = -1, .want = want};
    int64_t n = 0;
    if (!pm_segments_given(inputs)) return run_next(s, inputs, &at, set);
    PM_TRY(count(inputs, &n));
    for (at.number = 0; at.number < n; at.number++) PM_TRY(run_next(s, inputs, &at, set));
    return PM_OK;
}
