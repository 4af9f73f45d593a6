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
                                {.name = "decoder_input_ids"}}};

static pm_status want_shape(const pm_array *a, const pm_given *ids, int64_t max_positions) {
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

/* Reads one input; shape_of: the input whose shape it must have, or NULL. */
static pm_status take(const pm_tensors *tensors, pm_given *to, const pm_given *shape_of,
                      int64_t max_positions) {
    char name[64] = "in.";
    strncat(name, to->name, sizeof name - 4);
    const pm_array *a = pm_tensors_get(tensors, name);
    if (!a) {
        const char *refusal = pm_tensors_refusal(tensors, name);
        return refusal ? pm_raise(PM_ERR_FILE, "inputs: %s %s", name, refusal) : PM_OK;
    }
    PM_TRY(want_shape(a, shape_of, max_positions));
    to->values = pm_calloc((size_t)(a->dims[0] * a->dims[1]), sizeof *to->values);
    if (!to->values) return PM_ERR_MEMORY;
    memcpy(to->dims, a->dims, sizeof to->dims);
    return pm_convert_i32(a, to->values);
}

static pm_status want_given(const pm_given *in) {
    return in->values ? PM_OK : pm_raise(PM_ERR_USAGE, "inputs: in.%s is missing", in->name);
}

static pm_status check_range(const pm_given *in, int64_t limit) {
    return in->values ? pm_check_ids(in->name, in->values, (size_t)(in->dims[0] * in->dims[1]), limit)
                      : PM_OK;
}

static pm_status read_all(const pm_model *m, const pm_tensors *tensors, pm_given *in) {
    const pm_spec *spec = &m->spec;
    pm_given *ids = &in[PM_INPUT_IDS], *mask = &in[PM_INPUT_MASK], *types = &in[PM_INPUT_TYPES],
             *target = &in[PM_INPUT_DECODER_IDS];
    PM_TRY(take(tensors, ids, NULL, spec->max_positions));
    PM_TRY(want_given(ids));
    PM_TRY(check_range(ids, spec->embed[0].vocab));
    PM_TRY(take(tensors, mask, ids, spec->max_positions));
    for (int64_t i = 0; mask->values && i < mask->dims[0] * mask->dims[1]; i++)
        mask->values[i] = mask->values[i] != 0;
    if (spec->embed[0].types) {
        PM_TRY(take(tensors, types, ids, spec->max_positions));
        PM_TRY(check_range(types, spec->embed[0].n_types));
    }
    if (!m->arch->encoder_decoder) return PM_OK;
    PM_TRY(take(tensors, target, NULL, spec->max_positions));
    PM_TRY(want_given(target));
    if (target->dims[0] != ids->dims[0])
        return pm_raise(PM_ERR_USAGE,
                        "inputs: in.decoder_input_ids has %" PRId64 " rows, expected %" PRId64
                        " as in.input_ids",
                        target->dims[0], ids->dims[0]);
    return check_range(target, spec->embed[1].vocab);
}

pm_status pm_inputs_read(const pm_model *m, const pm_tensors *tensors, pm_inputs *out) {
    *out = none;
    pm_status s = read_all(m, tensors, out->in);
    if (s != PM_OK) pm_inputs_free(out);
    return s;
}

static pm_status make_up(pm_given *to, int64_t length, int64_t vocab) {
    uint32_t random = 12345;
    to->values = pm_calloc((size_t)length, sizeof *to->values);
    if (!to->values) return PM_ERR_MEMORY;
    to->dims[0] = 1;
    to->dims[1] = length;
    for (int64_t i = 0; i < length; i++) {
        random = random * 1664525u + 1013904223u; /* Numerical Recipes' generator: any spread will do */
        to->values[i] = (int32_t)((int64_t)(random >> 8) % vocab);
    }
    return PM_OK;
}

pm_status pm_inputs_make_up(const pm_model *m, int64_t length, pm_inputs *out) {
    *out = none;
    if (length > m->spec.max_positions) length = m->spec.max_positions;
    pm_status s = make_up(&out->in[PM_INPUT_IDS], length, m->spec.embed[0].vocab);
    if (s == PM_OK && m->arch->encoder_decoder)
        s = make_up(&out->in[PM_INPUT_DECODER_IDS], length, m->spec.embed[1].vocab);
    if (s != PM_OK) pm_inputs_free(out);
    return s;
}

void pm_inputs_free(pm_inputs *inputs) {
    for (int i = 0; i < PM_N_INPUTS; i++) pm_free(inputs->in[i].values);
    *inputs = none;
}
