#version 450
#extension GL_GOOGLE_include_directive : require
// where: y[i] = cond[i] != 0 ? a[i] : b[i] over dims[5]; strides as in binary.comp. One invocation an element.
// Words are moved as integers, as in unary.comp. y may be the range of an operand (in place), hence no restrict.
#include "elementwise.params.h"
#include "index.glsl"

layout(constant_id = PM_SPEC_DENSE) const uint DENSE = 0;
layout(push_constant) uniform Push { pm_where_params p; };
layout(std430, set = 0, binding = 0) readonly buffer C { uint cond[]; };
layout(std430, set = 0, binding = 1) readonly buffer A { uint a[]; };
layout(std430, set = 0, binding = 2) readonly buffer B { uint b[]; };
layout(std430, set = 0, binding = 3) writeonly buffer Y { uint y[]; };

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint from_c = i, from_a = i, from_b = i, to = i;
    if (DENSE == 0) {
        uint at[5];
        unflatten(i, p.dims, at);
        from_c = strided(at, p.c_stride);
        from_a = strided(at, p.a_stride);
        from_b = strided(at, p.b_stride);
        to = strided(at, p.y_stride);
    }
    uint value;
    if (cond[p.c_offset + from_c] != 0u) value = a[p.a_offset + from_a];
    else value = b[p.b_offset + from_b];
    y[p.y_offset + to] = value;
}
