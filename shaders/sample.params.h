/* sample: y[row] = the column of x[row, :] that chance picks, I32; -1 where x[row, :] has no finite number
 *         bindings: x, settings (PM_SAMPLE_WORDS words), count, y
 *
 * Not a bit depends on a device's rounding: all is done with integers, on the bits of x. In a row, the order is that of the logits,
 * the greater first, equal ones by column; what is no finite number is absent. Of a finite x at a distance of top - x,
 *
 *     q = floor((top - x) log2(e) / temperature * 2^24)       w = 2^31 2^(-q / 2^24), 0 for q >= 2^29
 *
 * where top - x is exact but for what lies below 2^-30 of the largest number that can have a weight. Then, as Hugging Face's
 * warpers do it, what stays is a beginning of the order:
 *     top_k    the k first, and those equal to the k-th;
 *     top_p    of those, the fewest whose weights together reach the share p;
 *     min_p    of those, the ones with w >= p 2^31.
 * One of them is chosen: the first whose running sum of weights, in the order, exceeds floor(sum r / 2^32). r is word 0 of
 * Philox4x32-10 (Salmon et al. 2011) at (count[row], 0, 0, 0) under the key (seed). So a row's result depends on
 * its logits, settings and count, and on nothing else. */
#ifndef PM_SAMPLE_PARAMS_H
#define PM_SAMPLE_PARAMS_H
#include "common.params.h"

/* The words of settings. */
#define PM_SAMPLE_SCALE                                                                                      \
    0 /* log2(e) / temperature = PM_SAMPLE_SCALE 2^(133 - PM_SAMPLE_PLACE), with the first in 2^30 .. 2^31-1 */
#define PM_SAMPLE_PLACE   1
#define PM_SAMPLE_TOP_K   2 /* 0: all */
#define PM_SAMPLE_TOP_P   3 /* of 2^32; 0: all */
#define PM_SAMPLE_MIN_P   4 /* of 2^31, the smallest weight that stays; 0: all */
#define PM_SAMPLE_SEED_LO 5
#define PM_SAMPLE_SEED_HI 6
#define PM_SAMPLE_WORDS   7

#define PM_SAMPLE_FRACTION    24          /* bits of q behind the point */
#define PM_SAMPLE_GUARD       7           /* bits behind a float's 24, in which top - x is computed */
#define PM_SAMPLE_REACH       32          /* powers of two between the largest weight and 0 */
#define PM_SAMPLE_END         0x20000000u /* the q from which weights are 0: PM_SAMPLE_REACH 2^PM_SAMPLE_FRACTION */
#define PM_SAMPLE_PLACES      1000        /* places beyond are taken for these: a temperature is a float */
#define PM_SAMPLE_LEAST_SHIFT 3
#define PM_SAMPLE_UNIT_BIAS                                                                                  \
    157 /* a distance counts units of 2^(exponent - PM_SAMPLE_UNIT_BIAS): 127 + 23 + PM_SAMPLE_GUARD */

/* 2^31 2^-f for 0 <= f < 1, within 1e-7 of it and falling everywhere:
 * C0 - f (C1 - f (C2 - f (C3 - f (C4 - f C5)))), of each product the high word of f 2^32 times the other. */
#define PM_SAMPLE_C0 0x80000000u
#define PM_SAMPLE_C1 0x58b8ec9fu
#define PM_SAMPLE_C2 0x1ebe209eu
#define PM_SAMPLE_C3 0x0713acb3u
#define PM_SAMPLE_C4 0x012d4323u
#define PM_SAMPLE_C5 0x001eca6fu

#define PM_PHILOX_ROUNDS 10
#define PM_PHILOX_M0     0xD2511F53u
#define PM_PHILOX_M1     0xCD9E8D57u
#define PM_PHILOX_W0     0x9E3779B9u
#define PM_PHILOX_W1     0xBB67AE85u

PM_PARAMS(pm_sample_params) {
    pm_uint n_rows, n_cols;
    pm_uint dims[4]; /* rows are counted as in rowwise.params.h */
    pm_uint x_offset, settings_offset, count_offset, y_offset;
    pm_uint x_stride[4], x_col_stride;
    pm_uint y_stride[4];
    pm_uint settings_stride, count_stride; /* over rows; 0: the same for all */
};
#endif
