#version 450
#extension GL_GOOGLE_include_directive : require
// log_softmax: y[row,c] = z[c] - log(sum over c of exp(z[c])), z = x[row,c] - max x[row,:]. One workgroup a row; an
// invocation takes every LOCAL_X-th column, in three passes: maximum, sum of exponentials, result.
#include "index.glsl"
#include "reduce.glsl"
#include "rowwise.params.h"

layout(push_constant) uniform Push { pm_norm_params p; };
layout(std430, set = 0, binding = 0) readonly buffer X { float x[]; };
layout(std430, set = 0, binding = 1) writeonly buffer Y { float y[]; };

#define COLUMN(c) x[from + (c) * p.x_col_stride]
#define POWER(c) exp(COLUMN(c) - largest)

void main() {
    uint row = folded_group();
    if (row >= p.n_rows) return;
    uint at[4];
    unflatten(row, p.dims, at);
    uint from = p.x_offset + strided(at, p.x_stride);
    uint to = p.y_offset + strided(at, p.y_stride);
    uint lane = gl_LocalInvocationID.x;

    float largest = COLUMN(0), sum;
    for (uint c = lane; c < p.n_cols; c += LOCAL_X) largest = max(largest, COLUMN(c));
    largest = group_max(largest);
    SUM_TERMS(sum, p.n_cols, POWER)
    float log_sum = log(group_sum(sum));
    for (uint c = lane; c < p.n_cols; c += LOCAL_X) y[to + c * p.y_col_stride] = COLUMN(c) - largest - log_sum;
}
