// What a product does with its sums: act(scale * sum + bias) + residual, to y or to a row of a cache. Included by the product's
// shaders behind matmul.params.h. y may be the range of residual: no restrict there.
#include "activation.glsl"

layout(constant_id = PM_SPEC_ACT) const uint ACT = PM_ACT_NONE;
layout(constant_id = PM_SPEC_HAS_BIAS) const uint HAS_BIAS = 0;
layout(constant_id = PM_SPEC_HAS_RESIDUAL) const uint HAS_RESIDUAL = 0;
layout(constant_id = PM_SPEC_CACHES) const uint CACHES = 0;
layout(push_constant) uniform Push { pm_matmul_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer A { float a[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer B { float b[]; };
layout(std430, set = 0, binding = 2) readonly buffer Bias { float bias[]; };
layout(std430, set = 0, binding = 3) readonly buffer Residual { float residual[]; };
layout(std430, set = 0, binding = 4) readonly buffer Position { int position[]; };
layout(std430, set = 0, binding = 5) writeonly buffer Cache0 { float cache0[]; };
layout(std430, set = 0, binding = 6) writeonly buffer Cache1 { float cache1[]; };
layout(std430, set = 0, binding = 7) writeonly buffer Y { float y[]; };

uint batch_offset(uint at[3], uint stride[3]) { return at[0] * stride[0] + at[1] * stride[1] + at[2] * stride[2]; }

// Whether column n belongs to the cache whose columns begin at `first`, and where in a slot of all heads. A column before
// `first` wraps to one far behind the last head.
bool is_cached(uint n, uint first, out uint at) {
    uint head = (n - first) / p.pm_cache_pitch, i = (n - first) % p.pm_cache_pitch;
    at = head * p.pm_cache_slots * p.pm_cache_size + i;
    return head < p.pm_cache_heads && i < p.pm_cache_size;
}

// Element n of row m: to the cache that the column belongs to, if any.
void put(uint at_y, uint m, uint n, float v) {
    if (CACHES != 0) {
        uint at;
        bool to_first = is_cached(n, p.pm_cache_first[0], at), to_second = false;
        if (CACHES > 1 && !to_first) to_second = is_cached(n, p.pm_cache_first[1], at);
        if (to_first || to_second) {
            uint first = m / p.pm_cache_tokens * p.pm_cache_repeats;
            for (uint b = first; b < first + p.pm_cache_repeats; b++) {
                uint slot = uint(position[p.pm_cache_position_offset + b * p.pm_cache_position_stride]) + m % p.pm_cache_tokens;
                if (slot >= p.pm_cache_slots) continue; // as rows before 0, which wrap
                uint row = at + (b * p.pm_cache_heads * p.pm_cache_slots + slot) * p.pm_cache_size;
                if (to_first)
                    cache0[p.cache_offset[0] + row] = v;
                else
                    cache1[p.cache_offset[1] + row] = v;
            }
            return;
        }
    }
    y[at_y + m * p.y_m + n] = v;
}

float bias_of(uint n) {
    return HAS_BIAS != 0 ? bias[p.bias_offset + n] : 0.0;
}

// at_residual and at_y: where row 0 of the batch begins.
void store(uint at_residual, uint at_y, uint m, uint n, float bias_n, float sum) {
    float v = activate(ACT, p.scale * sum + bias_n);
    if (HAS_RESIDUAL != 0) v += residual[at_residual + m * p.residual_m + n];
    put(at_y, m, n, v);
}
