#version 450
#extension GL_GOOGLE_include_directive : require
// matmul for few rows: y[b,m,n] = act(scale * sum over k of a[b,m,k] b[b,n,k] + bias[n]) + residual[b,m,n].
// Groups: y is the row m, z the batch. COLUMNS = 0, for b contiguous along k: a workgroup computes NPW columns (a
// multiple of 4), four at a time; its invocations split k and add up through shared memory. COLUMNS = 1, for b contiguous
// along n: an invocation computes one column, so that neighbours read neighbouring elements.
#include "matmul.params.h"
#include "matmul_store.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 64;
layout(constant_id = 3) const uint NPW = 4;
layout(constant_id = 4) const uint COLUMNS = 0;
const uint N_EIGHTS = LOCAL_X / 8;
const uint COLUMN = LOCAL_X + 8; // eight words of padding: four columns are spread over the banks
shared float partial[4 * COLUMN]; // [column][invocation], four columns at a time
shared float eights[4 * N_EIGHTS]; // [column][eighth]: each joins eight of partial

void finish(uint batch[3], uint m, uint n, float sum) {
    uint at_residual = p.residual_offset + batch_offset(batch, p.residual_batch);
    store(at_residual, p.y_offset + batch_offset(batch, p.y_batch), m, n, bias_of(n), sum);
}

void main() {
    uint z = gl_WorkGroupID.z, m = gl_WorkGroupID.y, lane = gl_LocalInvocationID.x;
    uint batch[3];
    batch[2] = z % p.batch[2];
    batch[1] = z / p.batch[2] % p.batch[1];
    batch[0] = z / p.batch[2] / p.batch[1];
    uint from_a = p.a_offset + batch_offset(batch, p.a_batch) + m * p.a_m;
    uint from_b = p.b_offset + batch_offset(batch, p.b_batch);

    if (COLUMNS != 0) {
        uint n = gl_WorkGroupID.x * LOCAL_X + lane;
        if (n >= p.n) return;
        from_b += n * p.b_n;
        float sum = 0.0;
        uint n_apart = max(uint(sqrt(float(p.k))), 16u); // in parts, so that roundings do not pile up over all of k
        for (uint k0 = 0; k0 < p.k; k0 += n_apart) {
            float part = 0.0;
            for (uint k = k0; k < min(k0 + n_apart, p.k); k++) part += a[from_a + k * p.a_k] * b[from_b + k * p.b_k];
            sum += part;
        }
        finish(batch, m, n, sum);
        return;
    }

    uint last = p.n - 1u; // past the last column it is computed again, and not written
    for (uint j = 0; j < NPW; j += 4) {
        uint n = gl_WorkGroupID.x * NPW + j;
        uvec4 column = from_b + min(uvec4(n, n + 1, n + 2, n + 3), uvec4(last)) * p.b_n;
        vec4 sum = vec4(0);
        for (uint k = lane; k < p.k; k += LOCAL_X) {
            uvec4 at = column + k * p.b_k;
            sum += a[from_a + k * p.a_k] * vec4(b[at.x], b[at.y], b[at.z], b[at.w]);
        }
        partial[lane] = sum.x;
        partial[COLUMN + lane] = sum.y;
        partial[2 * COLUMN + lane] = sum.z;
        partial[3 * COLUMN + lane] = sum.w;
        barrier();
        if (lane < 4 * N_EIGHTS) {
            uint at = lane / N_EIGHTS * COLUMN + lane % N_EIGHTS;
            eights[lane] = ((partial[at] + partial[at + N_EIGHTS]) + (partial[at + 2 * N_EIGHTS] + partial[at + 3 * N_EIGHTS])) +
                           ((partial[at + 4 * N_EIGHTS] + partial[at + 5 * N_EIGHTS]) +
                            (partial[at + 6 * N_EIGHTS] + partial[at + 7 * N_EIGHTS]));
        }
        barrier();
        if (lane < 4u && n + lane < p.n) {
            float total = eights[lane * N_EIGHTS];
            for (uint i = 1; i < N_EIGHTS; i++) total += eights[lane * N_EIGHTS + i];
            finish(batch, m, n + lane, total);
        } // the next partial may be written now; eights only past the next barrier
    }
}
