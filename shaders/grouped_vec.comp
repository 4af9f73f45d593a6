#version 450
#extension GL_GOOGLE_include_directive : require
// grouped_matmul for few pairs of a token and an expert: y[i,n] = act(sum over k of x[i,k] w[e,n,k] + bias[e,n]), e = ids[i].
// A workgroup computes NPW columns (a multiple of 4) of one pair, four at a time; its invocations split k and add up through
// shared memory. Groups: x over columns; y and z count the pairs. Matrices that no pair names are not read.
#include "activation.glsl"
#include "matmul.params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 64;
layout(constant_id = 3) const uint NPW = 4;
layout(constant_id = PM_SPEC_ACT) const uint ACT = PM_ACT_NONE;
layout(constant_id = PM_SPEC_HAS_BIAS) const uint HAS_BIAS = 0;
layout(push_constant) uniform Push { pm_grouped_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer W { float w[]; };
layout(std430, set = 0, binding = 2) readonly restrict buffer Ids { int ids[]; };
layout(std430, set = 0, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, set = 0, binding = 4) writeonly restrict buffer Y { float y[]; };

const uint N_EIGHTS = LOCAL_X / 8;
const uint COLUMN = LOCAL_X + 8; // eight words of padding: four columns are spread over the banks
shared float partial[4 * COLUMN]; // [column][invocation], four columns at a time
shared float eights[4 * N_EIGHTS]; // [column][eighth]: each joins eight of partial

void main() {
    uint pair = gl_WorkGroupID.z * gl_NumWorkGroups.y + gl_WorkGroupID.y, lane = gl_LocalInvocationID.x;
    if (pair >= p.n_pairs) return;
    uint e = uint(ids[p.ids_offset + pair * p.ids_stride]) - p.first_expert; // a smaller or negative id: a large number
    uint first = gl_WorkGroupID.x * NPW, to = p.y_offset + pair * p.y_pair;
    if (e >= p.n_experts) {
        if (p.keep_others != 0u) return;
        for (uint n = first + lane; n < min(first + NPW, p.n); n += LOCAL_X) y[to + n] = 0.0;
        return;
    }
    uint from_x = p.x_offset + pair / p.n_chosen * p.x_token + pair % p.n_chosen * p.x_choice;
    uint from_w = p.w_offset + e * p.w_expert;
    uint last = p.n - 1u; // past the last column it is computed again, and not written
    for (uint n = first; n < first + NPW; n += 4) {
        uvec4 column = from_w + min(uvec4(n, n + 1, n + 2, n + 3), uvec4(last)) * p.w_n;
        vec4 sum = vec4(0);
        for (uint k = lane; k < p.k; k += LOCAL_X) {
            uvec4 at = column + k * p.w_k;
            sum += x[from_x + k * p.x_k] * vec4(w[at.x], w[at.y], w[at.z], w[at.w]);
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
            float v = eights[lane * N_EIGHTS];
            for (uint i = 1; i < N_EIGHTS; i++) v += eights[lane * N_EIGHTS + i];
            if (HAS_BIAS != 0) v += bias[p.bias_offset + e * p.bias_expert + n + lane];
            y[to + n + lane] = activate(ACT, v);
        } // the next partial may be written now; eights only past the next barrier
    }
}
