#version 450
#extension GL_GOOGLE_include_directive : require
// rms_norm: y[row,c] = x[row,c] / sqrt(mean(x[row,:]^2) + eps) * gamma[c]. One workgroup a row; an invocation takes every
// LOCAL_X-th column.
#include "index.glsl"
#include "reduce.glsl"
#include "rowwise.params.h"

layout(constant_id = PM_SPEC_HAS_GAMMA) const uint HAS_GAMMA = 1;
layout(push_constant) uniform Push { pm_norm_params p; };
layout(std430, set = 0, binding = 0) readonly buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly buffer Gamma { float gamma[]; };
layout(std430, set = 0, binding = 2) writeonly buffer Y { float y[]; };

#define COLUMN(c) x[from + (c) * p.x_col_stride]
#define SQUARE(c) square(COLUMN(c))
float square(float v) { return v * v; }

void main() {
    uint row = folded_group();
    if (row >= p.n_rows) return;
    uint at[4];
    unflatten(row, p.dims, at);
    uint from = p.x_offset + strided(at, p.x_stride);
    uint to = p.y_offset + strided(at, p.y_stride);
    uint lane = gl_LocalInvocationID.x;

    float squares;
    SUM_TERMS(squares, p.n_cols, SQUARE)
    float scale = inversesqrt(group_sum(squares) / float(p.n_cols) + p.eps);

    for (uint c = lane; c < p.n_cols; c += LOCAL_X) {
        float v = COLUMN(c) * scale;
        if (HAS_GAMMA != 0) v *= gamma[p.gamma_offset + c];
        y[to + c * p.y_col_stride] = v;
    }
}
