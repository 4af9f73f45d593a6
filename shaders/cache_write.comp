#version 450
#extension GL_GOOGLE_include_directive : require
// cache_write: state[i0,i1,position+i2,i3] = x[i0,i1,i2,i3]; rows outside 0 .. n_slots-1 are dropped.
// One invocation an element of x; the rest of the state keeps its contents.
#include "data.params.h"
#include "index.glsl"

layout(push_constant) uniform Push { pm_cache_write_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Position { int position[]; };
layout(std430, set = 0, binding = 2) writeonly restrict buffer State { uint state[]; };

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint at[4];
    unflatten(i, p.dims, at);
    uint from = strided(at, p.x_stride);
    uint slot = uint(position[p.position_offset]) + at[2]; // wraps for rows before 0: negative ones become large
    if (slot >= p.n_slots) return;
    at[2] = slot;
    state[p.state_offset + strided(at, p.state_stride)] = x[p.x_offset + from];
}
