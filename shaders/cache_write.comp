#version 450
#extension GL_GOOGLE_include_directive : require
// cache_write: state[i0,i1,position[i0]+i2,i3] = x[i0,i1,i2,i3]; rows outside 0 .. n_slots-1 are dropped. When TURNED, x is turned
// on the way as rotary does it. One invocation an element of x; the rest of the state keeps its contents. Words are moved as
// integers, so that a state may hold I32.
#include "data.params.h"
#include "index.glsl"

layout(constant_id = PM_SPEC_TURNED) const bool TURNED = false;
layout(push_constant) uniform Push { pm_cache_write_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Position { int position[]; };
layout(std430, set = 0, binding = 2) readonly restrict buffer Cos { float cosines[]; };
layout(std430, set = 0, binding = 3) readonly restrict buffer Sin { float sines[]; };
layout(std430, set = 0, binding = 4) writeonly restrict buffer State { uint state[]; };

uint turned(uint at[4]) {
    uint j = at[3], half_size = p.turned / 2u;
    bool low = j < half_size;
    uint row = p.x_offset + at[0] * p.x_stride[0] + at[1] * p.x_stride[1] + at[2] * p.x_stride[2];
    float here = uintBitsToFloat(x[row + j * p.x_stride[3]]);
    float there = uintBitsToFloat(x[row + (low ? j + half_size : j - half_size) * p.x_stride[3]]);
    float c = cosines[p.cos_offset + at[0] * p.cos_stride[0] + at[2] * p.cos_stride[1] + j];
    float s = sines[p.sin_offset + at[0] * p.sin_stride[0] + at[2] * p.sin_stride[1] + j];
    return floatBitsToUint(here * c + (low ? -there : there) * s);
}

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint at[4];
    unflatten(i, p.dims, at);
    uint slot = uint(position[p.position_offset + at[0] * p.position_stride]) + at[2]; // wraps for rows before 0: negative ones become large
    if (slot >= p.n_slots) return;
    uint word = TURNED && at[3] < p.turned ? turned(at) : x[p.x_offset + strided(at, p.x_stride)];
    at[2] = slot;
    state[p.state_offset + strided(at, p.state_stride)] = word;
}
