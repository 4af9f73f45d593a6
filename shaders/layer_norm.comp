#version 450
#extension GL_GOOGLE_include_directive : require
// layer_norm: y[row,c] = (x[row,c] - mean) / sqrt(var + eps) * gamma[c] + beta[c], var = mean of (x - mean)^2.
// One workgroup a row; an invocation takes every LOCAL_X-th column. The mean is known before the squares are summed: one
// pass of x and x^2 would cancel when the mean is large.
#include "index.glsl"
#include "reduce.glsl"
#include "rowwise.params.h"

layout(constant_id = PM_SPEC_HAS_GAMMA) const uint HAS_GAMMA = 1;
layout(constant_id = PM_SPEC_HAS_BETA) const uint HAS_BETA = 1;
layout(push_constant) uniform Push { pm_norm_params p; };
layout(std430, set = 0, binding = 0) readonly buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly buffer Gamma { float gamma[]; };
layout(std430, set = 0, binding = 2) readonly buffer Beta { float beta[]; };
layout(std430, set = 0, binding = 3) writeonly buffer Y { float y[]; };

#define COLUMN(c) x[from + (c) * p.x_col_stride]
#define SQUARE(c) square(COLUMN(c) - mean)
float square(float d) { return d * d; }

void main() {
    uint row = folded_group();
    if (row >= p.n_rows) return;
    uint at[4];
    unflatten(row, p.dims, at);
    uint from = p.x_offset + strided(at, p.x_stride);
    uint to = p.y_offset + strided(at, p.y_stride);
    uint lane = gl_LocalInvocationID.x;

    float sum, squares;
    SUM_TERMS(sum, p.n_cols, COLUMN)
    float mean = group_sum(sum) / float(p.n_cols);
    SUM_TERMS(squares, p.n_cols, SQUARE)
    float scale = inversesqrt(group_sum(squares) / float(p.n_cols) + p.eps);

    for (uint c = lane; c < p.n_cols; c += LOCAL_X) {
        float v = (COLUMN(c) - mean) * scale;
        if (HAS_GAMMA != 0) v *= gamma[p.gamma_offset + c];
        if (HAS_BETA != 0) v += beta[p.beta_offset + c];
        y[to + c * p.y_col_stride] = v;
    }
}
