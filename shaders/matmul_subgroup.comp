#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// matmul as in matmul_tiled.comp, by a subgroup of eight that shares no memory: it computes a tile of ROWS (up to 32) x 32. A
// step of k takes ROWS / 8 loads of a, a row a lane, and four of b, a column a lane: columns n0 + lane + 8j. Indices past the end
// are those of the last row or column, whose results are not stored. Sums of some steps are added up apart, as there.
// Groups: x over n, y over m, z over batches.
#include "matmul.params.h"
#include "matmul_store.glsl"
#include "subgroup8.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint ROWS = 32;

const uint COLS = 32;

void finish(uint at_residual, uint at_y, uint m, uint n, float bias_n, float sum) {
    if (m < p.m && n < p.n) store(at_residual, at_y, m, n, bias_n, sum);
}

void main() {
    uint z = gl_WorkGroupID.z;
    uint batch[3];
    batch[2] = z % p.batch[2];
    batch[1] = z / p.batch[2] % p.batch[1];
    batch[0] = z / p.batch[2] / p.batch[1];
    uint m0 = gl_WorkGroupID.y * ROWS, n0 = gl_WorkGroupID.x * COLS, lane = gl_SubgroupInvocationID;
    uvec4 n = n0 + lane + uvec4(0, LANES, 2 * LANES, 3 * LANES), m = m0 + lane + uvec4(0, LANES, 2 * LANES, 3 * LANES);
    uvec4 at_a = p.a_offset + batch_offset(batch, p.a_batch) + min(m, p.m - 1u) * p.a_m;
    uvec4 at_b = p.b_offset + batch_offset(batch, p.b_batch) + min(n, p.n - 1u) * p.b_n;

    vec4 sums[32], parts[32]; // of a row: so far, and of the last steps
#define CLEAR(i, of, from) if (i < ROWS) sums[i] = vec4(0), parts[i] = vec4(0);
    EACH_ROW(CLEAR)
    uint n_apart = max(uint(sqrt(float(p.k))), 16u);
    [[dont_unroll]] for (uint k0 = 0; k0 < p.k; k0 += n_apart) {
        uint end = min(k0 + n_apart, p.k);
        [[dont_unroll]] for (uint k = k0; k < end; k++) {
            vec4 from_a = vec4(0);
            from_a.x = a[at_a.x];
            if (ROWS > 8) from_a.y = a[at_a.y];
            if (ROWS > 16) from_a.z = a[at_a.z];
            if (ROWS > 24) from_a.w = a[at_a.w];
            vec4 from_b = vec4(b[at_b.x], b[at_b.y], b[at_b.z], b[at_b.w]);
            at_a += p.a_k;
            at_b += p.b_k;
#define ADD(i, of, from) if (i < ROWS) parts[i] += subgroupBroadcast(from_a.of, from) * from_b;
            EACH_ROW(ADD)
        }
#define JOIN(i, of, from) if (i < ROWS) sums[i] += parts[i], parts[i] = vec4(0);
        EACH_ROW(JOIN)
    }
    vec4 bias_n = vec4(0);
    if (HAS_BIAS != 0) {
        uvec4 at = p.bias_offset + min(n, p.n - 1u);
        bias_n = vec4(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
    }
    uint at_residual = p.residual_offset + batch_offset(batch, p.residual_batch);
    uint at_y = p.y_offset + batch_offset(batch, p.y_batch);
    // Four rows at a time, the others moving up: each store in the code takes a driver long to compile.
#define STORE(i)                                                    \
    finish(at_residual, at_y, m0 + i, n.x, bias_n.x, sums[i].x);    \
    finish(at_residual, at_y, m0 + i, n.y, bias_n.y, sums[i].y);    \
    finish(at_residual, at_y, m0 + i, n.z, bias_n.z, sums[i].z);    \
    finish(at_residual, at_y, m0 + i, n.w, bias_n.w, sums[i].w);
#define MOVE_UP(i, of, from) if (i + 1 < ROWS) sums[i] = sums[(i + 1) % 32];
    [[dont_unroll]] for (uint row = 0; row < ROWS; row += 1, m0 += 1) {
        STORE(0)
        EACH_ROW(MOVE_UP)
    }
}
