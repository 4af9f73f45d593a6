/* Dot products of the fast products, each in parts as its error bound (pm_dot_factor) asks. */
#ifndef PM_FAST_DOTS_H
#define PM_FAST_DOTS_H

#include "runtime/cpu/fast.h"

enum { PM_DOT_ROWS = 2, PM_DOT_COLS = 4 };

/* Long sums are made in parts, joined after. The error of one chain grows with its length; with parts of about the root of
 * n terms neither theirs nor that of joining them grows faster than the bound. Terms of a part, at least `least`. */
uint64_t pm_fast_part(uint64_t n, uint64_t least);
/* PM_DOT_ROWS x PM_DOT_COLS dots of n terms at once, so that each loaded lane is used several times. */
void pm_fast_dots(const float *const *a, const float *const *b, uint64_t n, float *out);
float pm_fast_long_dot(const float *a, const float *b, uint64_t n);

#endif
