/* Reads what the graphs need from the checkpoint: a weight may be stacked from several tensors (experts), lie turned in
 * the file, or be packed. */
#ifndef PM_NEED_H
#define PM_NEED_H

#include "models/model_data.h"

uint64_t pm_need_elems(const pm_need *need);
/* All elements, as F32. Errors: as pm_checkpoint_read. */
pm_status pm_need_read(const pm_checkpoint *c, const pm_need *need, float *out) PM_MUST_USE;

#endif
