/* Words that the case tables of softmax and attention share: hints for the operands of masks, and mask bits. */
#ifndef PM_OP_CASES_MASKS_H
#define PM_OP_CASES_MASKS_H

#include "graph/fuse.h"
#include "tests/support_ops.h"

#define AT(position)                                                                                         \
    { "position", TEST_UNIFORM, position, position }
/* A position for each batch, 7 apart: low + 3, low + 10, .. */
#define AT_EACH(low)                                                                                         \
    { "position", TEST_RAMP, low, (low) + 1000 }
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
#define GLOBAL   (PM_MASK_GLOBAL | PM_MASK_KEYS)
#define ROWS     (PM_MASK_ROWS | PM_MASK_LENGTH)
/* Few keys that all queries see; a length for each row. */
#define WORDS                                                                                                \
    { "keys", TEST_RARE, 1, 2 }
#define LENGTHS(n)                                                                                           \
    { "length", TEST_UNIFORM, -1, n }

/* One for all, or one for each of `n`: a column, as a loop's words are. */
static inline pm_tensor *test_position(pm_graph *g, bool each, int64_t n) {
    if (!each) return pm_param(g, "position");
    pm_tensor *words = pm_input(g, "position", PM_I32, 2, (int64_t[]){n, 7});
    return pm_reshape(g, pm_slice(g, words, 1, 3, 1), 1, &n);
}

/* The operands length and key_mask that `mask` names, for scores of `batch`, T queries and S keys. */
static inline pm_tensor *test_length(pm_graph *g, uint32_t mask, bool a_batch, const int64_t bts[3]) {
    if (mask & PM_MASK_ROWS) return pm_input(g, "length", PM_I32, 2, bts);
    return a_batch ? pm_input(g, "length", PM_I32, 1, bts) : pm_param(g, "length");
}

static inline pm_tensor *test_keys(pm_graph *g, uint32_t mask, bool as_bool, const int64_t bts[3]) {
    const int64_t dims[2] = {bts[0], bts[2]};
    pm_tensor *words = pm_input(g, "keys", as_bool ? PM_BOOL : PM_I32, 2, dims);
    return mask & PM_MASK_GLOBAL ? pm_fuse_key_words(g, words) : words;
}

#endif
