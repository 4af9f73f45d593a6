/* Elements of files to the two types that executors compute with. Knows byte order and the small float
 * formats. */
#ifndef PM_CONVERT_H
#define PM_CONVERT_H

#include "graph/base.h"
#include "pumice/tensors.h"

uint64_t pm_array_elems(const pm_array *a);
/* "[2,3]" for error texts, in a buffer of the caller's. */
#define PM_SHAPE_CHARS 128
const char *pm_array_shape(int32_t rank, const int64_t *dims, char out[PM_SHAPE_CHARS]);

/* F32, F16, BF16 or blocks of gguf_quants.h to F32. `data` need not be aligned. Errors: PM_ERR_FILE names the tensor and its type. */
pm_status pm_convert_f32(const pm_array *a, float *out) PM_MUST_USE;
/* I64, I32, U8 or BOOL to I32. Errors: PM_ERR_FILE names the tensor and the value that does not fit. */
pm_status pm_convert_i32(const pm_array *a, int32_t *out) PM_MUST_USE;

float pm_f16_to_f32(uint16_t h);
/* n 32-bit words as a device gave them, to a file's byte order, in place. */
void pm_words_to_file(void *words, uint64_t n);

#endif
