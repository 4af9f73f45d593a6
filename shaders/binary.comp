#version 450
#extension GL_GOOGLE_include_directive : require
// binary: y[i] = fn(a[i], b[i]) over dims[5], or of limited operands (elementwise.params.h); each operand has strides of its own, 0 where it broadcasts.
// One invocation an element. y may be the range of a or b (in place), hence no restrict.
#include "activation.glsl"
#include "elementwise.params.h"
#include "index.glsl"

layout(constant_id = PM_SPEC_FN) const uint FN = PM_FN_ADD;
layout(constant_id = PM_SPEC_DENSE) const uint DENSE = 0;
layout(constant_id = PM_SPEC_LIMITED) const uint LIMITED = 0;
layout(push_constant) uniform Push { pm_binary_params p; };
layout(std430, set = 0, binding = 0) readonly buffer A { uint a[]; };
layout(std430, set = 0, binding = 1) readonly buffer B { uint b[]; };
layout(std430, set = 0, binding = 2) writeonly buffer Y { uint y[]; };

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint from_a = i, from_b = i, to = i;
    if (DENSE == 0) {
        uint at[5];
        unflatten(i, p.dims, at);
        from_a = strided(at, p.a_stride);
        from_b = strided(at, p.b_stride);
        to = strided(at, p.y_stride);
    }
    uint left = a[p.a_offset + from_a], right = b[p.b_offset + from_b];
    if (LIMITED != 0) {
        left = floatBitsToUint(min(uintBitsToFloat(left), p.limit));
        right = floatBitsToUint(clamp(uintBitsToFloat(right), -p.limit, p.limit) + 1.0);
    }
    y[p.y_offset + to] = binary_fn(FN, left, right);
}
