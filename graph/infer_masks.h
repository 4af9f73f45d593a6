/* The rule of the optional mask operands that softmax and attention share: position, length, key_mask, bias.
 */
#ifndef PM_INFER_MASKS_H
#define PM_INFER_MASKS_H

#include "graph/ops.h"

typedef struct pm_mask_rule {
    const pm_tensor *t;
    int position;          /* index of the position operand; length, key_mask and bias follow it */
    int32_t rank;          /* of the scores [..., T, S]; dim 0 is B when there are three dims or more */
    const int64_t *scores; /* dims */
} pm_mask_rule;

pm_status pm_want_masks(const pm_mask_rule *r) PM_MUST_USE; /* infer_rows.c */

#endif
