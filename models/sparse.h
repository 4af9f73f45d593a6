/* Longformer's attention weights as Hugging Face lays them out: outputs for people and programs that know them so. The
 * attention itself is in stack.c. */
#ifndef PM_SPARSE_H
#define PM_SPARSE_H

#include "models/stack.h"

/* Weights p[B,H,T,T] of local rows to [B,H,T,n_globals + 2 * reach + 1]: those of the global keys, then those of keys
 * t - reach .. t + reach that are not global, 0 where there is no such key. */
pm_tensor *pm_sparse_weights(pm_build *b, pm_tensor *p, const pm_context *context, int64_t reach);
/* Weights p[B,H,T,T] of global rows to [B,H,S,n_globals], where S is T rounded up to a multiple of `window`. A column
 * without a token has 1 / S everywhere, which is what that library's softmax leaves there. */
pm_tensor *pm_sparse_global_weights(pm_build *b, pm_tensor *p, const pm_context *context, int64_t window);

#endif
