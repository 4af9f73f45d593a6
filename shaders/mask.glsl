// Which keys a query sees: PM_MASK_* of common.params.h, shared by softmax and attention. The includer has declared, before:
// parameters `p` with position_offset, length_offset, length_stride, key_mask_offset, key_mask_stride, and buffers
// position[] (int), lengths[] (int), key_mask[] (uint).
#ifndef PM_MASK_GLSL
#define PM_MASK_GLSL

layout(constant_id = PM_SPEC_MASK) const uint MASK = 0;
layout(constant_id = PM_SPEC_WINDOW) const uint WINDOW = 0;

const float MASKED = PM_MASKED_F32;  // scores at or below it are absent
const float NONE = -3.0e38;          // below every score that is present: the maximum of no scores

// Keys outside first .. end-1 are absent for query t of batch b. Loops over keys need go no further, so that a step with a
// long, mostly empty cache reads only what is there.
void key_range(uint b, uint t, uint n_keys, out uint first, out uint end) {
    int low = 0, high = int(n_keys);
    if ((MASK & (PM_MASK_CAUSAL | PM_MASK_WINDOW)) != 0u) {
        int at = int(t);
        if ((MASK & PM_MASK_POSITION) != 0u) at += position[p.position_offset];
        if ((MASK & PM_MASK_CAUSAL) != 0u) high = min(high, at + 1);
        if ((MASK & PM_MASK_WINDOW) != 0u) low = max(low, at + 1 - int(WINDOW));
    }
    if ((MASK & PM_MASK_LENGTH) != 0u) high = min(high, lengths[p.length_offset + b * p.length_stride]);
    first = uint(low);
    end = uint(max(high, low));
}

bool key_allowed(uint b, uint s) {
    return (MASK & PM_MASK_KEYS) == 0u || key_mask[p.key_mask_offset + b * p.key_mask_stride + s] != 0u;
}

#endif
