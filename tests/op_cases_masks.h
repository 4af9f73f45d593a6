/* Words that the case tables of softmax and attention share: hints for the operands of masks, and mask bits. */
#ifndef PM_OP_CASES_MASKS_H
#define PM_OP_CASES_MASKS_H

#include "tests/support_ops.h"

#define AT(position)                                                                                         \
    { "position", TEST_UNIFORM, position, position }
#define LENGTH(low, high)                                                                                    \
    { "length", TEST_RAMP, low, high }
#define KEYS                                                                                                 \
    { "keys", TEST_UNIFORM, 0, 1 }
#define DIMS(...)                                                                                            \
    { __VA_ARGS__ }
#define CAUSAL   PM_MASK_CAUSAL
#define POSITION PM_MASK_POSITION
#define SINK     PM_MASK_SINK
#define RELATIVE (PM_MASK_BIAS | PM_MASK_RELATIVE)

#endif
