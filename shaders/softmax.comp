#version 450
#extension GL_GOOGLE_include_directive : require
// softmax: y[b,.,.,t,s] = exp(z[s] - max z) / sum exp(z - max z) over the present s, z = softcap(scale x[..,s]) + bias[..,s].
// Absent keys (mask, or x or z <= PM_MASKED_F32) give 0; a row of absent keys gives 0. One workgroup a row (b,.,.,t);
// A sink takes a share of its own. An invocation takes every LOCAL_X-th key, in three passes: maximum, exponentials and their sum, division.
#include "activation.glsl"
#include "softmax.params.h"
#include "index.glsl"
#include "reduce.glsl"

layout(push_constant) uniform Push { pm_softmax_params p; };
layout(std430, set = 0, binding = 0) readonly buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly buffer Position { int position[]; };
layout(std430, set = 0, binding = 2) readonly buffer Lengths { int lengths[]; };
layout(std430, set = 0, binding = 3) readonly buffer KeyMask { uint key_mask[]; };
layout(std430, set = 0, binding = 4) readonly buffer Bias { float bias[]; };
layout(std430, set = 0, binding = 5) buffer Y { float y[]; };
#include "mask.glsl"

const uint PART = 16 * LOCAL_X; // keys of which an invocation adds its share in one chain

// biases.x: where those of the row begin; biases.y: of a relative bias the row of the table for key 0, which wraps.
uvec2 bias_row(uint at[5]) {
    if ((MASK & PM_MASK_RELATIVE) == 0u) return uvec2(p.bias_offset + strided(at, p.bias_stride), 0u);
    uint head = at[0] * p.bias_stride[0] + at[1] * p.bias_stride[1] + at[2] * p.bias_stride[2], t = at[3];
    if ((MASK & PM_MASK_POSITION) != 0u) t += uint(position[p.position_offset + at[0] * p.position_stride]);
    return uvec2(p.bias_offset + head, p.bias_stride[PM_SOFTMAX_RELATIVE_ORIGIN] - t);
}

float bias_of(uvec2 biases, uint s) {
    if ((MASK & PM_MASK_RELATIVE) == 0u) return bias[biases.x + s * p.bias_stride[4]];
    return biases.y + s < p.bias_stride[PM_SOFTMAX_RELATIVE_COUNT] ? bias[biases.x + biases.y + s] : 0.0;
}

// z[s] of the row whose x starts at the given element; NONE when key s is absent.
float score(uint b, uint s, uvec3 range, uint x_row, uvec2 biases) {
    if (!key_seen(b, s, range)) return NONE;
    float entry = x[x_row + s * p.x_stride[4]];
    if (entry <= MASKED) return NONE; // before scale and cap lift it
    float z = soft_cap(p.scale * entry, p.softcap);
    if ((MASK & PM_MASK_BIAS) != 0u) z += bias_of(biases, s);
    return z > MASKED ? z : NONE;
}

void main() {
    uint row = folded_group();
    if (row >= p.dims[0] * p.dims[1] * p.dims[2] * p.dims[3]) return;
    uint at[5];
    unflatten(row * p.dims[4], p.dims, at);
    uint x_row = p.x_offset + strided(at, p.x_stride);
    uint y_row = p.y_offset + strided(at, p.y_stride);
    uvec2 biases = bias_row(at);
    uint b = at[0], lane = gl_LocalInvocationID.x;
    uvec3 range = key_range(b, at[3], p.dims[4]);
    uint first = range_first(range), end = range_end(range);

    float largest = NONE;
    for (uint s = first + lane; s < end; s += LOCAL_X) largest = max(largest, score(b, s, range, x_row, biases));
    largest = group_max(largest);
    float sink = NONE;
    if ((MASK & PM_MASK_SINK) != 0u && bias[biases.x] > MASKED) {
        sink = bias[biases.x];
        largest = max(largest, sink);
    }

    float sum = 0.0, lost = 0.0;
    for (uint part_start = lane; part_start < p.dims[4]; part_start += PART) {
        float part = 0.0;
        for (uint s = part_start; s < min(part_start + PART, p.dims[4]); s += LOCAL_X) {
            float e = 0.0;
            if (s >= first && s < end) {
                float z = score(b, s, range, x_row, biases);
                if (z > NONE) e = exp(z - largest);
            }
            y[y_row + s * p.y_stride[4]] = e;
            part += e;
        }
        sum = add_part(sum, part, lost);
    }
    sum = group_sum(add_lost(sum, lost));
    if (sink > NONE) sum += exp(sink - largest);
    if (sum == 0.0) return; // no key: the zeros are written
    for (uint s = lane; s < p.dims[4]; s += LOCAL_X) y[y_row + s * p.y_stride[4]] /= sum; // its own elements: no barrier
}
