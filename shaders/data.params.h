/* gather:      y[i,c] = table[ids[i] - first_row, c] for the n_rows rows from first_row; for other ids nothing is
 *              written when keep_others, else 0; a table larger than a binding is gathered in parts
 *              bindings: table, ids, y
 * cache_write: state[i0,i1,position[i0]+i2,i3] = x[i0,i1,i2,i3], rows past n_slots dropped; x turned as rotary does when
 *              PM_SPEC_TURNED  bindings: x, position, cos, sin, state
 * advance:     the end of one step of a decode loop: next becomes the loop's id, and its position moves on, see PM_LOOP_*;
 *              of n sequences, whose words lie side by side: word w of sequence b at w * n + b
 *              bindings: next, logit, loop
 * rotary:      y[...,t,j] = x[...,t,j] cos[t,j] + r[j] sin[t,j], r[j] = j < R/2 ? -x[j+R/2] : x[j-R/2], for the first R of
 *              D = dims[3] (R: turned); the others are copied
 *              bindings: x, cos, sin, y; t = dims[2] */
#ifndef PM_DATA_PARAMS_H
#define PM_DATA_PARAMS_H
#include "common.params.h"

PM_PARAMS(pm_gather_params) {
    pm_uint n_ids, n_cols, n_rows, first_row, keep_others;
    pm_uint table_offset, table_row_stride, table_col_stride;
    pm_uint ids_offset, ids_stride;
    pm_uint y_offset, y_row_stride, y_col_stride;
};

PM_PARAMS(pm_cache_write_params) {
    pm_uint n;       /* elements of x */
    pm_uint dims[4]; /* of x */
    pm_uint x_offset, position_offset, state_offset;
    pm_uint position_stride; /* over dim 0; 0 for one position */
    pm_uint x_stride[4], state_stride[4];
    pm_uint n_slots; /* dim 2 of the state */
    /* as in pm_rotary_params; of use when PM_SPEC_TURNED */
    pm_uint cos_offset, sin_offset, cos_stride[2], sin_stride[2], turned;
};
#define PM_SPEC_TURNED 8

PM_PARAMS(pm_advance_params) {
    pm_uint n; /* sequences */
    pm_uint next_offset, logit_offset, loop_offset;
    pm_uint next_stride, logit_stride;
    pm_uint has_logit; /* 0: none is bound */
};

PM_PARAMS(pm_rotary_params) {
    pm_uint n; /* elements of x */
    pm_uint dims[4];
    pm_uint x_offset, cos_offset, sin_offset, y_offset;
    pm_uint x_stride[4], y_stride[4];
    pm_uint cos_stride[2], sin_stride[2]; /* dims 0 and 2; over j it is 1 */
    pm_uint turned;
};

PM_PARAMS(pm_rel_shift_params) {
    pm_uint n; /* elements of y */
    pm_uint dims[PM_DIMS];
    pm_uint x_offset, position_offset, y_offset;
    pm_uint x_stride[PM_DIMS], y_stride[PM_DIMS];
    pm_uint n_distances, has_position;
    pm_uint position_stride, batch_axis; /* a position for each of dims[batch_axis]; stride 0: one */
};
#endif
