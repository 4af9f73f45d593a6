#version 450
#extension GL_GOOGLE_include_directive : require
// argmax: y[row] = the lowest index of the largest x[row, 0 .. n_cols-1]. One workgroup a row; an invocation scans every
// LOCAL_X-th column upwards, then a tree joins (value, index) pairs. Equal values keep the lower index at every step. NaN never
// wins; a row of NaN gives 0. Values are compared as integers in the order of the floats: that is exact for numbers that a
// device flushes to zero, and it needs no NaN, which a device may lose.
#include "index.glsl"
#include "rowwise.params.h"

layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 64;
layout(push_constant) uniform Push { pm_reduce_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) writeonly restrict buffer Y { int y[]; };
shared uint values[LOCAL_X];
shared uint columns[LOCAL_X];

// Greater for the greater float; NaN is 0, below all, and both zeros are the same.
uint order_of(uint word) {
    uint magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 0u;
    return magnitude != word && magnitude != 0u ? ~word : magnitude | 0x80000000u;
}

void main() {
    uint row = folded_group();
    if (row >= p.n_rows) return;
    uint at[4];
    unflatten(row, p.dims, at);
    uint start = p.x_offset + strided(at, p.x_stride);
    uint lane = gl_LocalInvocationID.x;
    uint best = min(lane, p.n_cols - 1u); // an invocation with no column stands in for the last one
    uint value = order_of(x[start + best * p.x_col_stride]);
    for (uint c = lane + LOCAL_X; c < p.n_cols; c += LOCAL_X) {
        uint v = order_of(x[start + c * p.x_col_stride]);
        if (v > value) value = v, best = c;
    }
    values[lane] = value;
    columns[lane] = best;
    barrier();
    for (uint half_size = LOCAL_X / 2u; half_size > 0u; half_size /= 2u) {
        if (lane < half_size) {
            uint v = values[lane + half_size];
            uint c = columns[lane + half_size];
            if (v > values[lane] || (v == values[lane] && c < columns[lane])) values[lane] = v, columns[lane] = c;
        }
        barrier();
    }
    if (lane == 0u) y[p.y_offset + strided(at, p.y_stride)] = int(columns[0]);
}
