/* The evaluator of constant folding: elementwise operations on single 32-bit words. */
#ifndef PM_FOLD_EVAL_H
#define PM_FOLD_EVAL_H

#include "graph/ir.h"

typedef union pm_word {
    float f;
    int32_t i; /* PM_I32; PM_BOOL as 0 or 1 */
} pm_word;

/* Computes op on in[0..] of type `type` (where: of its second input). False: not an operation that is folded,
 * or a value that devices may disagree about (NaNs, integers out of range): leave the operation in the graph.
 */
bool pm_fold_eval(pm_op op, pm_dtype type, const pm_word *in, pm_word *out);

#endif
