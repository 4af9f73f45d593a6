#version 450
#extension GL_GOOGLE_include_directive : require
// top_k: y[row, j] = the index of the j-th largest x[row, 0 .. n_cols-1], the lower index first among equals. One workgroup a
// row. Pass j looks for the first of what stands behind the result of pass j - 1: an invocation scans every LOCAL_X-th column
// upwards, then a tree joins (rank, index) pairs. Values are compared as integers in the order of the floats, as in argmax.
#include "index.glsl"
#include "rowwise.params.h"

layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 64;
layout(push_constant) uniform Push { pm_top_k_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) writeonly restrict buffer Y { int y[]; };
shared uint ranks[LOCAL_X];
shared uint columns[LOCAL_X];

const uint NONE = 0u; // below the rank of every value

// Greater for the greater float; NaN is 1, below all, and both zeros are the same.
uint rank_of(uint word) {
    uint magnitude = word & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return 1u;
    return 1u + (magnitude != word && magnitude != 0u ? ~word : magnitude | 0x80000000u);
}

void main() {
    uint row = folded_group();
    if (row >= p.n_rows) return;
    uint at[4];
    unflatten(row, p.dims, at);
    uint start = p.x_offset + strided(at, p.x_stride);
    uint lane = gl_LocalInvocationID.x;
    uint rank_before = 0xffffffffu, column_before = 0u; // no value has this rank
    for (uint j = 0; j < p.k; j++) {
        uint rank = NONE, best = p.n_cols;
        for (uint c = lane; c < p.n_cols; c += LOCAL_X) {
            uint r = rank_of(x[start + c * p.x_col_stride]);
            bool behind = r < rank_before || (r == rank_before && c > column_before);
            if (behind && r > rank) rank = r, best = c;
        }
        ranks[lane] = rank;
        columns[lane] = best;
        barrier();
        for (uint half_size = LOCAL_X / 2u; half_size > 0u; half_size /= 2u) {
            if (lane < half_size) {
                uint r = ranks[lane + half_size];
                uint c = columns[lane + half_size];
                if (r > ranks[lane] || (r == ranks[lane] && c < columns[lane])) ranks[lane] = r, columns[lane] = c;
            }
            barrier();
        }
        rank_before = ranks[0];
        column_before = columns[0];
        barrier(); // all have read them
        if (lane == 0u) y[p.y_offset + strided(at, p.y_stride) + j] = int(column_before);
    }
}
