#version 450
#extension GL_GOOGLE_include_directive : require
// attention: y[b,h,t,:] = sum over present s of p[s] v[b,g,s,:], g = h / GROUP, p = softmax over s of
// z[s] = softcap(scale q[b,h,t,:] . k[b,g,s,:]) + bias[b,h,t,s] (or bias[h, distance]). A row with no key present gives 0.
// One workgroup a query row: groups x = t, y = h, z = b. Keys come in blocks of LOCAL_X: an invocation computes the score of
// one key, then sums dims d = lane, lane + LOCAL_X, ... of the result over the block. The maximum and the sum run along
// (online softmax), and what was summed is scaled down when the maximum grows, so T x S scores are never stored.
#include "activation.glsl"
#include "attention.params.h"
#include "reduce.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = PM_SPEC_HEAD_SIZE) const uint D = 64;
layout(constant_id = PM_SPEC_GROUP) const uint GROUP = 1;
layout(constant_id = PM_SPEC_PLACES) const uint PLACES = 0;
layout(push_constant) uniform Push { pm_attention_params p; };
layout(std430, set = 0, binding = 0) readonly buffer Q { float q[]; };
layout(std430, set = 0, binding = 1) readonly buffer K { float k[]; };
layout(std430, set = 0, binding = 2) readonly buffer V { float v[]; };
layout(std430, set = 0, binding = 3) readonly buffer Position { int position[]; };
layout(std430, set = 0, binding = 4) readonly buffer Lengths { int lengths[]; };
layout(std430, set = 0, binding = 5) readonly buffer KeyMask { uint key_mask[]; };
layout(std430, set = 0, binding = 6) readonly buffer Bias { float bias[]; };
layout(std430, set = 0, binding = 7) writeonly buffer Y { float y[]; };
#include "mask.glsl"
#include "attention_bias.glsl"

const uint N_ACC = (D + LOCAL_X - 1) / LOCAL_X;
const uint N_QUERY = D + PLACES * D; // what meets keys, then what meets places
shared float query[N_QUERY];
shared float weight[LOCAL_X]; // exp(z - largest) of this block's keys

// x: where this head's places begin; y: the query's position.
uvec2 place_row(uint b, uint h, uint t) {
    int at = int(t); // positions have 30 bits, as sizes have
    if ((MASK & PM_MASK_POSITION) != 0u) at += clamp(position[p.position_offset + b * p.position_stride], -0x3fffffff, 0x3fffffff);
    return uvec2(p.bias_offset + h * p.bias_stride[1], uint(at));
}

float dot_place(uvec2 place, uint s) {
    int distance = clamp(int(place.y) - int(s), 0, int(p.bias_stride[PM_ATTN_PLACES_COUNT]) - 1);
    uint row = place.x + uint(distance) * p.bias_stride[2];
    float sum = 0.0;
    for (uint d0 = 0; d0 < D; d0 += 32) {
        float part = 0.0;
        for (uint d = d0; d < min(d0 + 32, D); d++) part += query[D + d] * bias[row + d];
        sum += part;
    }
    return sum;
}

float score(uint b, uint s, uvec3 range, uint k_row, uvec2 biases) {
    if (!key_seen(b, s, range)) return NONE;
    float dot_qk = 0.0;
    for (uint d0 = 0; d0 < D; d0 += 32) { // in parts, so that roundings do not pile up over all of D
        float part = 0.0;
        for (uint d = d0; d < min(d0 + 32, D); d++) part += query[d] * k[k_row + d];
        dot_qk += part;
    }
    if (PLACES != 0u) dot_qk += dot_place(biases, s);
    float z = soft_cap(p.scale * dot_qk, p.softcap);
    if ((MASK & PM_MASK_BIAS) != 0u) z += bias_of(biases, s);
    return z > MASKED ? z : NONE;
}

void main() {
    uint t = gl_WorkGroupID.x, h = gl_WorkGroupID.y, b = gl_WorkGroupID.z, g = h / GROUP;
    uint lane = gl_LocalInvocationID.x;
    uint q_row = p.q_offset + b * p.q_stride[0] + h * p.q_stride[1] + t * p.q_stride[2];
    uint k_head = p.k_offset + b * p.k_stride[0] + g * p.k_stride[1];
    uint v_head = p.v_offset + b * p.v_stride[0] + g * p.v_stride[1];
    uvec2 biases = PLACES != 0u ? place_row(b, h, t) : bias_row(b, h, t);
    uvec3 range = key_range(b, t, p.n_keys);
    uint first = range_first(range), end = range_end(range);
    for (uint d = lane; d < N_QUERY; d += LOCAL_X) query[d] = q[q_row + d];
    barrier();

    float acc[N_ACC];
    for (uint i = 0; i < N_ACC; i++) acc[i] = 0.0;
    float largest = NONE, sum = 0.0; // sum: of this invocation's keys
    if ((MASK & PM_MASK_SINK) != 0u && bias[biases.x] > MASKED) {
        largest = bias[biases.x];
        sum = lane == 0 ? 1.0 : 0.0;
    }
    for (uint s0 = first; s0 < end; s0 += LOCAL_X) {
        if (HAS_GLOBAL && !blocks_seen(b, s0, LOCAL_X, range, p.n_keys)) continue; // the same for all invocations
        uint s = s0 + lane;
        float z = NONE;
        if (s < end) z = score(b, s, range, k_head + s * p.k_stride[2], biases);
        float now = max(largest, group_max(z));
        if (now <= NONE) continue; // the same for all invocations: no key so far
        float shrink = largest > NONE ? exp(largest - now) : 0.0;
        float w = z > NONE ? exp(z - now) : 0.0;
        largest = now;
        sum = sum * shrink + w;
        weight[lane] = w;
        barrier();
        uint n = min(LOCAL_X, end - s0);
        for (uint i = 0; i < N_ACC; i++) {
            uint d = lane + i * LOCAL_X;
            float total = 0.0;
            if (d < D)
                for (uint j = 0; j < n; j++) {
                    float w = weight[j], value = v[v_head + (s0 + j) * p.v_stride[2] + d];
                    total += w != 0.0 ? w * value : 0.0; // what v holds for an absent key may be infinite
                }
            acc[i] = acc[i] * shrink + total;
        } // the barriers in the next group_max keep the next block from overwriting weight too early
    }

    sum = group_sum(sum);
    uint y_row = p.y_offset + b * p.y_stride[0] + h * p.y_stride[1] + t * p.y_stride[2];
    for (uint i = 0; i < N_ACC; i++) {
        uint d = lane + i * LOCAL_X;
        if (d < D) y[y_row + d] = sum > 0.0 ? acc[i] / sum : 0.0;
    }
}
