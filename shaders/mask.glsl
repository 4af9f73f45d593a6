// Which keys a query sees: PM_MASK_* of common.params.h, shared by softmax and attention. The includer has declared, before:
// parameters `p` with position_offset, position_stride, length_offset, length_stride, key_mask_offset, key_mask_stride, and buffers
// position[] (int), lengths[] (int), key_mask[] (uint).
#ifndef PM_MASK_GLSL
#define PM_MASK_GLSL

layout(constant_id = PM_SPEC_MASK) const uint MASK = 0;
layout(constant_id = PM_SPEC_WINDOW) const uint WINDOW = 0;

const float MASKED = PM_MASKED_F32;  // scores at or below it are absent
const float NONE = -3.0e38;          // below every score that is present: the maximum of no scores
const bool HAS_GLOBAL = (MASK & PM_MASK_GLOBAL) != 0u;
const bool HAS_ROWS = (MASK & PM_MASK_ROWS) != 0u;

// Keys at or past it are absent for query t of batch b.
uint key_limit(uint b, uint t, uint n_keys) {
    if ((MASK & PM_MASK_LENGTH) == 0u) return n_keys;
    int n = lengths[p.length_offset + b * p.length_stride + (HAS_ROWS ? t : 0u)];
    return uint(clamp(n, 0, int(n_keys)));
}

// Keys x .. y-1 are near query t of batch b. x may lie past the keys. Exact for every position and window: nothing wraps.
uvec2 key_band(uint b, uint t, uint n_keys) {
    uint low = 0u, high = n_keys, at = t;
    if ((MASK & (PM_MASK_CAUSAL | PM_MASK_WINDOW)) != 0u) {
        int behind = (MASK & PM_MASK_POSITION) != 0u ? position[p.position_offset + b * p.position_stride] : 0;
        at += uint(behind);
        if (behind < 0 && at >= 0x80000000u) return uvec2(0u, (MASK & PM_MASK_CAUSAL) != 0u ? 0u : n_keys); // before all keys
        if ((MASK & PM_MASK_CAUSAL) != 0u) high = min(high, at + 1u);
        if ((MASK & PM_MASK_WINDOW) != 0u && at >= WINDOW) low = at + 1u - WINDOW;
    }
    return uvec2(low, max(high, low));
}

// Both: keys x .. y-1 are near and before the limit; z is the limit, before which lie the global keys.
uvec3 key_range(uint b, uint t, uint n_keys) {
    uvec2 band = key_band(b, t, n_keys);
    uint limit = key_limit(b, t, n_keys);
    return uvec3(band.x, max(min(band.y, limit), band.x), limit);
}

// Where a loop over the keys of a range begins and ends. Loops need go no further, so that a step with a long, mostly empty
// cache reads only what is there. With global keys it begins at a block, and block_seen tells which steps to take.
uint range_first(uvec3 range) { return HAS_GLOBAL ? 0u : range.x; }
uint range_end(uvec3 range) { return HAS_GLOBAL ? range.z : range.y; }

bool key_seen(uint b, uint s, uvec3 range) {
    bool near = s >= range.x && s < range.y;
    if (!near && !(HAS_GLOBAL && s < range.z)) return false;
    if ((MASK & PM_MASK_KEYS) == 0u) return true;
    uint word = key_mask[p.key_mask_offset + b * p.key_mask_stride + s];
    return near ? word != 0u : word > 1u;
}

// With global keys: whether of keys s0 .. s0+n-1 (blocks) any may be seen within the range.
bool blocks_seen(uint b, uint s0, uint n, uvec3 range, uint n_keys) {
    uint words = p.key_mask_offset + b * p.key_mask_stride + n_keys, largest = 0u;
    for (uint s = s0; s < min(s0 + n, n_keys); s += PM_KEY_BLOCK) largest = max(largest, key_mask[words + s / PM_KEY_BLOCK]);
    return largest > 1u || (largest == 1u && s0 < range.y && s0 + n > range.x);
}

#endif
