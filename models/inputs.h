/* The inputs of a forward pass: read from named tensors and checked, or made up. Knows ranges and shapes, no
 * device. */
#ifndef PM_INPUTS_H
#define PM_INPUTS_H

#include "models/model_data.h"

enum {
    PM_INPUT_IDS,
    PM_INPUT_MASK,
    PM_INPUT_TYPES,
    PM_INPUT_GLOBAL,
    PM_INPUT_DECODER_IDS,
    PM_INPUT_SIGNAL,
    PM_N_INPUTS
};

typedef struct pm_given {
    const char *name; /* without "in." */
    int32_t *values;  /* pm_alloc'd; NULL: not given */
    float *reals;     /* those of the signal, in place of values */
    int rank;
    int64_t dims[4];
} pm_given;

typedef struct pm_inputs {
    pm_given in[PM_N_INPUTS];
} pm_inputs;

const void *pm_given_words(const pm_given *in); /* values or reals; NULL: not given */
uint64_t pm_given_elems(const pm_given *in);

/* Errors: PM_ERR_USAGE or PM_ERR_FILE name the input, its shape or value, and what was expected. */
pm_status pm_inputs_read(const pm_model *m, const pm_tensors *tensors, pm_inputs *out) PM_MUST_USE;
/* The one input of ids named in->name; in->values is pm_alloc'd. */
pm_status pm_inputs_read_ids(const pm_model *m, const pm_tensors *tensors, pm_given *in) PM_MUST_USE;
/* One sequence of `length` ids on each side and one signal, the same on every call. */
pm_status pm_inputs_make_up(const pm_model *m, int64_t length, pm_inputs *out) PM_MUST_USE;
void pm_inputs_free(pm_inputs *inputs);

#endif
