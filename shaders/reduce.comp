#version 450
#extension GL_GOOGLE_include_directive : require
// reduce: y[row] = sum, mean or max over x[row, 0 .. n_cols-1]. One workgroup a row; an invocation takes every
// LOCAL_X-th column, then a tree joins them.
#include "elementwise.params.h"
#include "index.glsl"
#include "reduce.glsl"
#include "rowwise.params.h"

layout(constant_id = PM_SPEC_FN) const uint FN = PM_FN_SUM;
layout(push_constant) uniform Push { pm_reduce_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(std430, set = 0, binding = 1) writeonly restrict buffer Y { float y[]; };

#define COLUMN(c) x[start + (c) * p.x_col_stride]

void main() {
    uint row = folded_group();
    if (row >= p.n_rows) return;
    uint at[4];
    unflatten(row, p.dims, at);
    uint start = p.x_offset + strided(at, p.x_stride);
    uint lane = gl_LocalInvocationID.x;
    float result;
    if (FN == PM_FN_REDUCE_MAX) {
        float largest = x[start]; // no sentinel: a row may hold any finite value
        for (uint c = lane; c < p.n_cols; c += LOCAL_X) largest = max(largest, COLUMN(c));
        result = group_max(largest);
    } else {
        float sum;
        SUM_TERMS(sum, p.n_cols, COLUMN)
        result = group_sum(sum);
        if (FN == PM_FN_MEAN) result /= float(p.n_cols);
    }
    if (lane == 0u) y[p.y_offset + strided(at, p.y_stride)] = result;
}
