/* Choosing a token by chance on the host, as the operation `sample` does it on a device: the same logits, settings and count give
 * the same column. Settings and what is done with them: shaders/sample.params.h. */
#ifndef PM_SAMPLING_H
#define PM_SAMPLING_H

#include <stdint.h>

#include "shaders/sample.params.h"

/* The column of x[0], x[stride], ..., x[(n - 1) stride] that is chosen; -1 where none of them is a finite number. */
int32_t pm_sample_row(const uint32_t settings[PM_SAMPLE_WORDS], uint32_t count, const float *x, uint64_t n,
                      uint64_t stride);

#endif
