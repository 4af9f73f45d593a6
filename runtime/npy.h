/* Writes a flat array as a NumPy file. (Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html) */
#ifndef PM_NPY_H
#define PM_NPY_H

#include "graph/base.h"

/* n 32-bit words, floats or (integers true) int32. PM_ERR_OTHER names the path and the reason. */
pm_status pm_npy_write(const char *path, const void *words, uint64_t n, bool integers) PM_MUST_USE;

#endif
