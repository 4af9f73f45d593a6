/* One forward pass on named tensors (pm_session_run). */
#include <inttypes.h>
#include <string.h>

#include "models/convert.h"
#include "models/inputs.h"
#include "models/session.h"

static pm_status read_output(pm_ready *r, uint32_t i, int64_t segment, pm_tensors *set) {
    const pm_io *io = &r->program->outputs[i];
    pm_array a = {.dtype = io->dtype, .rank = io->rank};
    pm_text name = {0};
    void *data = NULL;
    memcpy(a.dims, io->dims, sizeof a.dims);
    int base = (int)strcspn(io->name, ".");
    pm_text_add(&name, "out.%.*s", base, io->name);
    if (segment >= 0) pm_text_add(&name, ".%" PRId64, segment);
    pm_text_add(&name, "%s", io->name + base);
    pm_status s = pm_text_status(&name);
    a.name = name.data;
    if (s == PM_OK) s = pm_tensors_add(set, &a, &data);
    pm_text_free(&name);
    PM_TRY(s);
    PM_TRY(pm_loaded_read(r->loaded, i, data, io->range.bytes));
    pm_words_to_file(data, io->range.bytes / 4);
    return PM_OK;
}

pm_status pm_session_outputs(pm_session *s, pm_ready *r, int64_t segment, pm_tensors *set) {
    for (uint32_t i = 0; i < r->program->n_outputs; i++) PM_TRY(read_output(r, i, segment, set));
    const pm_program *p = r->program;
    s->figures = (pm_program_figures){p->arena_bytes, p->lower_bound_bytes, p->n_dispatches,
                                      p->n_barriers,  p->n_submits,         p->n_fallback};
    return PM_OK;
}

/* The most global tokens that a sequence has. Those that are absent do not count. */
static int64_t most_globals(const pm_given *in) {
    const int32_t *global = in[PM_INPUT_GLOBAL].values, *mask = in[PM_INPUT_MASK].values;
    int64_t most = 0, n = 0, t = in[PM_INPUT_IDS].dims[1];
    for (int64_t i = 0; global && i < in[PM_INPUT_IDS].dims[0] * t; i++) {
        if (i % t == 0) n = 0;
        n += global[i] && (!mask || mask[i]);
        if (n > most) most = n;
    }
    return most;
}

pm_status pm_session_forward(pm_session *s, const pm_inputs *inputs, const char *want, pm_ready **out) {
    const pm_given *in = inputs->in;
    pm_build_options o = {.kind = PM_BUILD_FORWARD,
                          .batch = in[in[PM_INPUT_IDS].values ? PM_INPUT_IDS : PM_INPUT_DECODER_IDS].dims[0],
                          .length = in[PM_INPUT_IDS].dims[1],
                          .signals = in[PM_INPUT_SIGNAL].dims[0],
                          .target_length = in[PM_INPUT_DECODER_IDS].dims[1],
                          .globals = most_globals(in),
                          .global_mask = in[PM_INPUT_GLOBAL].values != NULL,
                          .key_mask = in[PM_INPUT_MASK].values != NULL,
                          .types = in[PM_INPUT_TYPES].values != NULL,
                          .want = want};
    if (s->model->spec.signal.smallest) {
        o.height = in[PM_INPUT_SIGNAL].dims[2];
        o.width = in[PM_INPUT_SIGNAL].dims[3];
    }
    return pm_session_program(s, &o, out);
}

static pm_status run(pm_session *s, const pm_inputs *inputs, const char *want, pm_tensors *set) {
    pm_ready *r;
    PM_TRY(pm_session_forward(s, inputs, want, &r));
    for (int i = 0; i < PM_N_INPUTS; i++) {
        const pm_given *in = &inputs->in[i];
        const void *words = pm_given_words(in);
        if (words) PM_TRY(pm_ready_write(r, in->name, words, (size_t)pm_given_elems(in)));
    }
    PM_TRY(pm_loaded_run(r->loaded));
    return pm_session_outputs(s, r, -1, set);
}

static pm_status run_inputs(pm_session *s, const pm_tensors *inputs, const char *want, pm_tensors *set) {
    pm_inputs in;
    if (s->model->spec.recurrence.on) return pm_segments_run(s, inputs, want, set);
    PM_TRY(pm_inputs_read(s->model, inputs, &in));
    pm_status status = run(s, &in, want, set);
    pm_inputs_free(&in);
    return status;
}

pm_status pm_session_run(pm_session *s, const pm_tensors *inputs, const char *want, pm_tensors **out_set) {
    pm_tensors *set = NULL;
    *out_set = NULL;
    pm_status status = pm_tensors_create(&set);
    if (status == PM_OK) status = run_inputs(s, inputs, want ? want : "", set);
    if (status == PM_OK)
        *out_set = set;
    else
        pm_tensors_free(set);
    return status;
}
