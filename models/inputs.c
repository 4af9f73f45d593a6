/* See inputs.h. */
#include "models/inputs.h"

#include <inttypes.h>
#include <string.h>

#include "models/arch.h"
#include "models/convert.h"
#include "models/session.h"

static const pm_inputs none = {{{.name = "input_ids"},
                                {.name = "attention_mask"},
                                {.name = "token_type_ids"},
                                {.name = "global_attention_mask"},
                                {.name = "decoder_input_ids"},
                                {.name = NULL}}}; /* the signal's is the model's */

const void *pm_given_words(const pm_given *in) {
    return in->values ? (const void *)in->values : in->reals;
}

uint64_t pm_given_elems(const pm_given *in) {
    uint64_t n = 1;
    for (int i = 0; i < in->rank; i++) n *= (uint64_t)in->dims[i];
    return n;
}

/* ---- reading ---- */

static pm_status want_ids_shape(const pm_array *a, const pm_given *ids, int64_t max_positions) {
    char is[PM_SHAPE_CHARS], expected[PM_SHAPE_CHARS];
    if (ids) {
        if (a->rank == 2 && a->dims[0] == ids->dims[0] && a->dims[1] == ids->dims[1]) return PM_OK;
        return pm_raise(PM_ERR_USAGE, "inputs: %s is %s, expected %s, the shape of in.input_ids", a->name,
                        pm_array_shape(a->rank, a->dims, is), pm_array_shape(2, ids->dims, expected));
    }
    if (a->rank == 2 && a->dims[0] >= 1 && a->dims[0] <= 65536 && a->dims[1] >= 1 &&
        a->dims[1] <= max_positions)
        return PM_OK;
    return pm_raise(PM_ERR_USAGE, "inputs: %s is %s, expected [B,T] with B in 1..65536 and T in 1..%" PRId64,
                    a->name, pm_array_shape(a->rank, a->dims, is), max_positions);
}

static pm_status want_signal_shape(const pm_array *a, const pm_signal *signal) {
    char is[PM_SHAPE_CHARS], one[PM_SHAPE_CHARS];
    bool fits = a->rank == signal->rank + 1 && a->dims[0] >= 1 && a->dims[0] <= 65536;
    for (int i = 0; fits && i < signal->rank; i++)
        fits = i > 0 && signal->smallest ? a->dims[i + 1] >= signal->smallest && a->dims[i + 1] <= 65536
                                         : a->dims[i + 1] == signal->dims[i];
    if (fits) return PM_OK;
    if (signal->smallest)
        return pm_raise(PM_ERR_USAGE,
                        "inputs: %s is %s, expected [B,%" PRId64
                        ",H,W] with B in 1..65536, H and W in %" PRId64 "..65536",
                        a->name, pm_array_shape(a->rank, a->dims, is), signal->dims[0], signal->smallest);
    return pm_raise(PM_ERR_USAGE, "inputs: %s is %s, expected [B, then %s] with B in 1..65536", a->name,
                    pm_array_shape(a->rank, a->dims, is), pm_array_shape(signal->rank, signal->dims, one));
}

/* The array of an input, NULL when there is none. */
static pm_status look_up(const pm_tensors *tensors, const char *input, const pm_array **out) {
    char name[64] = "in.";
    strncat(name, input, sizeof name - 4);
    *out = pm_tensors_get(tensors, name);
    const char *refusal = *out ? NULL : pm_tensors_refusal(tensors, name);
    return refusal ? pm_raise(PM_ERR_FILE, "inputs: %s %s", name, refusal) : PM_OK;
}

static void take_shape(const pm_array *a, pm_given *to) {
    to->rank = a->rank;
    memcpy(to->dims, a->dims, (size_t)a->rank * sizeof *to->dims);
}

/* Reads one input of ids; shape_of: the input whose shape it must have, or NULL. */
static pm_status take(const pm_tensors *tensors, pm_given *to, const pm_given *shape_of,
                      int64_t max_positions) {
    const pm_array *a;
    PM_TRY(look_up(tensors, to->name, &a));
    if (!a) return PM_OK;
    PM_TRY(want_ids_shape(a, shape_of, max_positions));
    take_shape(a, to);
    to->values = pm_calloc((size_t)pm_given_elems(to), sizeof *to->values);
    return to->values ? pm_convert_i32(a, to->values) : PM_ERR_MEMORY;
}

static pm_status take_signal(const pm_tensors *tensors, const pm_signal *signal, pm_given *to) {
    const pm_array *a;
    to->name = signal->name;
    PM_TRY(look_up(tensors, to->name, &a));
    if (!a) return PM_OK;
    PM_TRY(want_signal_shape(a, signal));
    take_shape(a, to);
    to->reals = pm_calloc((size_t)pm_given_elems(to), sizeof *to->reals);
    return to->reals ? pm_convert_f32(a, to->reals) : PM_ERR_MEMORY;
}

static pm_status want_given(const pm_given *in) {
    return pm_given_words(in) ? PM_OK : pm_raise(PM_ERR_USAGE, "inputs: in.%s is missing", in->name);
}

static pm_status check_range(const pm_given *in, int64_t limit) {
    return in->values ? pm_check_ids(in->name, in->values, (size_t)pm_given_elems(in), limit) : PM_OK;
}

pm_status pm_inputs_read_ids(const pm_model *m, const pm_tensors *tensors, pm_given *in) {
    PM_TRY(take(tensors, in, NULL, m->spec.max_positions));
    PM_TRY(want_given(in));
    return check_range(in, m->spec.embed[0].vocab);
}

static void as_bits(pm_given *mask) {
    for (uint64_t i = 0; mask->values && i < pm_given_elems(mask); i++)
        mask->values[i] = mask->values[i] != 0;
}

/* A question and a text: three separators, one behind the question and one before the text. All of the question is global. */
static pm_status mark_question(const pm_given *ids, int32_t separator, pm_given *to) {
    int64_t batch = ids->dims[0], t = ids->dims[1];
    to->rank = 2;
    memcpy(to->dims, ids->dims, sizeof to->dims);
    to->values = pm_calloc((size_t)(batch * t), sizeof *to->values);
    if (!to->values) return PM_ERR_MEMORY;
    for (int64_t b = 0; b < batch; b++) {
        int n = 0;
        for (int64_t i = b * t; i < (b + 1) * t; i++) {
            n += ids->values[i] == separator;
            to->values[i] = n == 0;
        }
        if (n != 3)
            return pm_raise(PM_ERR_USAGE,
                            "inputs: in.global_attention_mask is missing, and row %" PRId64
                            " of in.input_ids has %d separators (id %d), expected 3 to tell the question by",
                            b, n, (int)separator);
    }
    return PM_OK;
}

static pm_status read_global(const pm_model *m, const pm_tensors *tensors, pm_given *in) {
    pm_given *ids = &in[PM_INPUT_IDS], *global = &in[PM_INPUT_GLOBAL];
    if (m->spec.global == PM_GLOBAL_OFF) return PM_OK;
    PM_TRY(take(tensors, global, ids, m->spec.max_positions));
    as_bits(global);
    if (global->values || m->spec.global != PM_GLOBAL_QUESTION) return PM_OK;
    return mark_question(ids, m->spec.separator, global);
}

/* input_ids and what has their shape. */
static pm_status read_ids(const pm_model *m, const pm_tensors *tensors, pm_given *in) {
    const pm_spec *spec = &m->spec;
    pm_given *ids = &in[PM_INPUT_IDS], *mask = &in[PM_INPUT_MASK], *types = &in[PM_INPUT_TYPES];
    if (spec->recurrence.on && pm_segments_given(tensors)) ids->name = "segment.0";
    pm_status s = take(tensors, ids, NULL, spec->max_positions);
    ids->name = none.in[PM_INPUT_IDS].name;
    PM_TRY(s);
    if (!spec->signal.name) PM_TRY(want_given(ids));
    if (!ids->values) return PM_OK;
    PM_TRY(check_range(ids, spec->embed[0].vocab));
    PM_TRY(take(tensors, mask, ids, spec->max_positions));
    as_bits(mask);
    PM_TRY(read_global(m, tensors, in));
    if (!spec->embed[0].types) return PM_OK;
    PM_TRY(take(tensors, types, ids, spec->max_positions));
    return check_range(types, spec->embed[0].n_types);
}

static pm_status read_all(const pm_model *m, const pm_tensors *tensors, pm_given *in) {
    const pm_spec *spec = &m->spec;
    pm_given *ids = &in[PM_INPUT_IDS], *target = &in[PM_INPUT_DECODER_IDS], *signal = &in[PM_INPUT_SIGNAL];
    if (spec->embed[0].vocab) PM_TRY(read_ids(m, tensors, in));
    if (spec->signal.name) {
        PM_TRY(take_signal(tensors, &spec->signal, signal));
        if (!ids->values) PM_TRY(want_given(signal));
    }
    if (!m->arch->encoder_decoder) return PM_OK;
    const pm_given *source = ids->values ? ids : signal;
    PM_TRY(take(tensors, target, NULL, spec->max_positions));
    PM_TRY(want_given(target));
    if (target->dims[0] != source->dims[0])
        return pm_raise(PM_ERR_USAGE,
                        "inputs: in.decoder_input_ids has %" PRId64 " rows, expected %" PRId64 " as in.%s",
                        target->dims[0], source->dims[0], source->name);
    return check_range(target, spec->embed[1].vocab);
}

pm_status pm_inputs_read(const pm_model *m, const pm_tensors *tensors, pm_inputs *out) {
    *out = none;
    pm_status s = read_all(m, tensors, out->in);
    if (s != PM_OK) pm_inputs_free(out);
    return s;
}

/* ---- making up ---- */

/* Numerical Recipes' generator: any spread will do. */
static uint32_t next_random(uint32_t *random) {
    *random = *random * 1664525u + 1013904223u;
    return *random >> 8;
}

static pm_status make_up_signal(pm_given *to, const pm_signal *signal) {
    uint32_t random = 12345;
    to->name = signal->name;
    to->rank = signal->rank + 1;
    to->dims[0] = 1;
    memcpy(to->dims + 1, signal->dims, sizeof signal->dims);
    uint64_t n = pm_given_elems(to);
    to->reals = pm_calloc((size_t)n, sizeof *to->reals);
    if (!to->reals) return PM_ERR_MEMORY;
    for (uint64_t i = 0; i < n; i++) to->reals[i] = (float)next_random(&random) / (float)(1 << 23) - 1;
    return PM_OK;
}

static pm_status make_up(pm_given *to, int64_t length, int64_t vocab) {
    uint32_t random = 12345;
    to->values = pm_calloc((size_t)length, sizeof *to->values);
    if (!to->values) return PM_ERR_MEMORY;
    to->rank = 2;
    to->dims[0] = 1;
    to->dims[1] = length;
    for (int64_t i = 0; i < length; i++) to->values[i] = (int32_t)((int64_t)next_random(&random) % vocab);
    return PM_OK;
}

/* The first token, and one in the middle. */
static pm_status make_up_global(pm_given *to, int64_t length) {
    PM_TRY(make_up(to, length, 1));
    to->values[0] = to->values[length / 2] = 1;
    return PM_OK;
}

pm_status pm_inputs_make_up(const pm_model *m, int64_t length, pm_inputs *out) {
    const pm_spec *spec = &m->spec;
    pm_status s = PM_OK;
    *out = none;
    if (length > spec->max_positions) length = spec->max_positions;
    if (spec->embed[0].vocab) s = make_up(&out->in[PM_INPUT_IDS], length, spec->embed[0].vocab);
    if (s == PM_OK && spec->global != PM_GLOBAL_OFF) s = make_up_global(&out->in[PM_INPUT_GLOBAL], length);
    if (s == PM_OK && spec->signal.name) s = make_up_signal(&out->in[PM_INPUT_SIGNAL], &spec->signal);
    if (s == PM_OK && m->arch->encoder_decoder)
        s = make_up(&out->in[PM_INPUT_DECODER_IDS], length, spec->embed[1].vocab);
    if (s != PM_OK) pm_inputs_free(out);
    return s;
}

void pm_inputs_free(pm_inputs *inputs) {
    for (int i = 0; i < PM_N_INPUTS; i++) {
        pm_free(inputs->in[i].values);
        pm_free(inputs->in[i].reals);
    }
    *inputs = none;
}
