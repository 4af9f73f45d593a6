#version 450
#extension GL_GOOGLE_include_directive : require
// rel_shift: y[...,t,s] = x[...,t,d], d = t + position - s held within 0 .. n_distances-1. One invocation an element.
#include "data.params.h"
#include "index.glsl"

layout(push_constant) uniform Push { pm_rel_shift_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Position { int position[]; };
layout(std430, set = 0, binding = 2) writeonly restrict buffer Y { uint y[]; };

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint at[5];
    unflatten(i, p.dims, at);
    uint to = p.y_offset + strided(at, p.y_stride);
    int row_at = int(at[3]) - int(at[4]);
    if (p.has_position != 0u) {
        int far = position[p.position_offset + at[p.batch_axis] * p.position_stride];
        row_at += clamp(far, -0x3fffffff, 0x3fffffff); // sizes have 30 bits: the sum keeps its sign
    }
    at[4] = uint(clamp(row_at, 0, int(p.n_distances) - 1));
    y[to] = x[p.x_offset + strided(at, p.x_stride)];
}
