/* Words in clusters (spec.h, pm_adaptive): what embeds ids and what gives every word's log probability. */
#ifndef PM_ADAPTIVE_H
#define PM_ADAPTIVE_H

#include "models/blocks.h"

/* ids [B,T] to [B,T,C], times `scale`. */
pm_tensor *pm_adaptive_embed(pm_build *b, const pm_adaptive *a, pm_tensor *ids, float scale);
/* x [B,T,C] to [B,T,V]. */
pm_tensor *pm_adaptive_log_probs(pm_build *b, const pm_adaptive *a, pm_tensor *x);

#endif
