/* What brings the elements of a file's tensor to those that the model expects, once they are F32. */
#ifndef PM_FIX_H
#define PM_FIX_H

#include "graph/base.h"
#include "pumice/tensors.h"

typedef enum pm_fix_kind {
    PM_FIX_NONE,
    PM_FIX_MINUS_ONE, /* GGUF keeps Gemma's norms as w + 1 */
    PM_FIX_TRANSPOSE, /* GGUF keeps GPT-2's linear weights as [N,K], GPT-2 as [K,N] */
    PM_FIX_Q_ROWS, /* GGUF has the rows that Llama turns as a pair side by side, Hugging Face in a head's halves */
    PM_FIX_K_ROWS
} pm_fix_kind;

typedef struct pm_fix {
    pm_fix_kind kind;
    int64_t heads; /* of *_ROWS: rows are heads x 2 x pairs */
} pm_fix;

/* Why the tensor cannot be fixed ("has 7 rows, ..."), in `out`; NULL when it can. a: as the file has it. */
const char *pm_fix_refusal(const pm_array *a, pm_fix fix, char out[128]);
/* The dims that the fixed tensor has, in place of the file's. */
void pm_fix_dims(pm_array *a, pm_fix fix);
/* Converts and fixes. a: with fixed dims. Errors: PM_ERR_MEMORY, and as pm_convert_f32. */
pm_status pm_fix_read(const pm_array *a, pm_fix fix, float *out) PM_MUST_USE;

#endif
