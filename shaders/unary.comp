#version 450
#extension GL_GOOGLE_include_directive : require
// unary: y[i] = fn(x[i]) over dims[5]; x and y have strides of their own. One invocation an element.
// x and y may be the same range (in place), hence no restrict. Words are moved as integers: a copy must keep the bits of
// an I32, which a device could flush to zero if they passed through a float.
#include "activation.glsl"
#include "elementwise.params.h"
#include "index.glsl"

layout(constant_id = PM_SPEC_FN) const uint FN = PM_FN_COPY;
layout(constant_id = PM_SPEC_DENSE) const uint DENSE = 0;
layout(push_constant) uniform Push { pm_unary_params p; };
layout(std430, set = 0, binding = 0) readonly buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) writeonly buffer Y { uint y[]; };

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint from = i, to = i;
    if (DENSE == 0) {
        uint at[5];
        unflatten(i, p.dims, at);
        from = strided(at, p.x_stride);
        to = strided(at, p.y_stride);
    }
    y[p.y_offset + to] = unary_fn(FN, x[p.x_offset + from]);
}
