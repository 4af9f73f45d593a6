#version 450
#extension GL_GOOGLE_include_directive : require
// rotary: y[i0,i1,t,j] = x[i0,i1,t,j] cos[i0,t,j] + r[j] sin[i0,t,j], r[j] = j < R/2 ? -x[j + R/2] : x[j - R/2], j < R; the
// dims of a head from R on are copied.
// One invocation an element. It reads a neighbour of x, so y is never the range of x. The tables come from the host, since
// Vulkan does not bound the error of sin and cos.
#include "data.params.h"
#include "index.glsl"

layout(push_constant) uniform Push { pm_rotary_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Cos { float cosines[]; };
layout(std430, set = 0, binding = 2) readonly restrict buffer Sin { float sines[]; };
layout(std430, set = 0, binding = 3) writeonly restrict buffer Y { float y[]; };

void main() {
    uint i = folded_invocation();
    if (i >= p.n) return;
    uint at[4];
    unflatten(i, p.dims, at);
    uint j = at[3], half_size = p.turned / 2u;
    bool low = j < half_size;
    uint row = p.x_offset + at[0] * p.x_stride[0] + at[1] * p.x_stride[1] + at[2] * p.x_stride[2];
    float here = x[row + j * p.x_stride[3]];
    if (j >= p.turned) {
        y[p.y_offset + strided(at, p.y_stride)] = here;
        return;
    }
    float there = x[row + (low ? j + half_size : j - half_size) * p.x_stride[3]];
    float c = cosines[p.cos_offset + at[0] * p.cos_stride[0] + at[2] * p.cos_stride[1] + j];
    float s = sines[p.sin_offset + at[0] * p.sin_stride[0] + at[2] * p.sin_stride[1] + j];
    y[p.y_offset + strided(at, p.y_stride)] = here * c + (low ? -there : there) * s;
}
