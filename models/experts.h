/* A layer's mixture of experts as spec.h describes it: the router chooses, grouped products multiply the chosen ones alone. */
#ifndef PM_EXPERTS_H
#define PM_EXPERTS_H

#include "models/stack.h"

bool pm_has_experts(const pm_stack *st, int64_t layer);
/* x[B,T,C] to [B,T,C]. */
pm_tensor *pm_experts_layer(pm_build *b, const pm_stack *st, int64_t layer, pm_tensor *x);

#endif
