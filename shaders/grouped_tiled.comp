#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// grouped_matmul for many pairs of a token and an expert: y[i,n] = act(sum over k of x[i,k] w[e,n,k] + bias[e,n]), e = ids[i].
// A workgroup owns one expert and BN columns. It counts the pairs of its expert, each invocation in its share of ids, and
// takes them BM at a time, so that a step of w is read once for BM pairs. With several groups along z, each takes every
// z-th tile of pairs. Experts without pairs are not read. Then as matmul_tiled: BK steps of k through shared memory, 4 x 4 sums an
// invocation, (BM / 4) * (BN / 4) invocations, sums of some steps added up apart.
// Groups: x over columns, y over experts, z over tiles of pairs.
#include "activation.glsl"
#include "matmul.params.h"

layout(local_size_x_id = 0) in;
layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 128;
layout(constant_id = 3) const uint BM = 32;
layout(constant_id = 4) const uint BN = 64;
layout(constant_id = 5) const uint BK = 16;
layout(constant_id = PM_SPEC_ACT) const uint ACT = PM_ACT_NONE;
layout(constant_id = PM_SPEC_HAS_BIAS) const uint HAS_BIAS = 0;
layout(push_constant) uniform Push { pm_grouped_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { float x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer W { float w[]; };
layout(std430, set = 0, binding = 2) readonly restrict buffer Ids { int ids[]; };
layout(std430, set = 0, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, set = 0, binding = 4) writeonly restrict buffer Y { float y[]; };

const uint STEP_M = BM / 4;
const uint STEP_N = BN / 4;
const uint X_ROW = BM + 1; // one word of padding: a column of k is spread over the banks
const uint W_ROW = BN + 1;
shared float tile_x[BK * X_ROW]; // [k][pair of the tile]
shared float tile_w[BK * W_ROW]; // [k][n]
shared uint counts[LOCAL_X];
shared uint pairs[BM];  // of the tile
shared uint starts[BM]; // their rows of x

uint expert_of(uint pair) { return uint(ids[p.ids_offset + pair * p.ids_stride]) - p.first_expert; }

// Pairs whose expert is none of this part's.
void clear_others(uint first, uint end, uint n0) {
    for (uint i = first; i < end; i++) {
        if (expert_of(i) < p.n_experts) continue;
        for (uint n = n0; n < min(n0 + BN, p.n); n++) y[p.y_offset + i * p.y_pair + n] = 0.0;
    }
}

// Puts the pairs of `expert` among first .. end-1, of which `before` come earlier, into the tile that begins at pair t0.
void list_pairs(uint expert, uint first, uint end, uint before, uint t0) {
    for (uint i = first; i < end; i++) {
        if (expert_of(i) != expert) continue;
        if (before >= t0 && before < t0 + BM) {
            pairs[before - t0] = i;
            starts[before - t0] = p.x_offset + i / p.n_chosen * p.x_token + i % p.n_chosen * p.x_choice;
        }
        before++;
    }
}

void load_x(uint lane, uint n_pairs, uint k0) {
    for (uint e = lane; e < BM * BK; e += LOCAL_X) {
        uint m = e / BK, k = e % BK;
        float v = 0.0;
        if (m < n_pairs && k0 + k < p.k) v = x[starts[m] + (k0 + k) * p.x_k];
        tile_x[k * X_ROW + m] = v;
    }
}

void load_w(uint lane, uint start, uint n0, uint k0) {
    for (uint e = lane; e < BN * BK; e += LOCAL_X) {
        uint n = p.w_k == 1u ? e / BK : e % BN;
        uint k = p.w_k == 1u ? e % BK : e / BN;
        float v = 0.0;
        if (n0 + n < p.n && k0 + k < p.k) v = w[start + (n0 + n) * p.w_n + (k0 + k) * p.w_k];
        tile_w[k * W_ROW + n] = v;
    }
}

void store(uint expert, uint n_pairs, uint m, uint n, float sum) {
    if (m >= n_pairs || n >= p.n) return;
    if (HAS_BIAS != 0) sum += bias[p.bias_offset + expert * p.bias_expert + n];
    y[p.y_offset + pairs[m] * p.y_pair + n] = activate(ACT, sum);
}

#define EACH_ROW(f) f(0) f(1) f(2) f(3)
#define CLEAR(i) sums[i] = vec4(0);
#define START(i) part[i] = vec4(0);
#define ADD(i) part[i] += tile_x[at_x + i * STEP_M] * v;
#define JOIN(i) sums[i] += part[i];
#define STORE(i) store(expert, n_pairs, r + i * STEP_M, n0 + c, sums[i].x);     \
    store(expert, n_pairs, r + i * STEP_M, n0 + c + STEP_N, sums[i].y);         \
    store(expert, n_pairs, r + i * STEP_M, n0 + c + 2 * STEP_N, sums[i].z);     \
    store(expert, n_pairs, r + i * STEP_M, n0 + c + 3 * STEP_N, sums[i].w);

void multiply(uint lane, uint expert, uint n_pairs, uint n0) {
    uint r = lane / STEP_N, c = lane % STEP_N;
    uint start = p.w_offset + expert * p.w_expert;
    vec4 sums[4], part[4]; // so far, and of the last steps
    EACH_ROW(CLEAR)
    EACH_ROW(START)
    uint n_apart = max(uint(sqrt(float(p.k))) / BK, 1u), n_steps = 0; // steps that are added up apart
    for (uint k0 = 0; k0 < p.k; k0 += BK) {
        load_x(lane, n_pairs, k0);
        load_w(lane, start, n0, k0);
        barrier();
        uint at_x = r, at_w = c;
        [[dont_unroll]] for (uint k = 0; k < BK; k++, at_x += X_ROW, at_w += W_ROW) {
            vec4 v = vec4(tile_w[at_w], tile_w[at_w + STEP_N], tile_w[at_w + 2 * STEP_N], tile_w[at_w + 3 * STEP_N]);
            EACH_ROW(ADD)
        }
        n_steps++;
        if (n_steps == n_apart) {
            EACH_ROW(JOIN)
            EACH_ROW(START)
            n_steps = 0;
        }
        barrier();
    }
    EACH_ROW(JOIN)
    EACH_ROW(STORE)
}

void main() {
    uint expert = gl_WorkGroupID.y, n0 = gl_WorkGroupID.x * BN, lane = gl_LocalInvocationID.x;
    uint share = (p.n_pairs + LOCAL_X - 1u) / LOCAL_X;
    uint first = min(lane * share, p.n_pairs), end = min(first + share, p.n_pairs);
    if (expert == 0u && gl_WorkGroupID.z == 0u && p.keep_others == 0u) clear_others(first, end, n0);
    uint own = 0u, before = 0u, all = 0u;
    for (uint i = first; i < end; i++) own += expert_of(i) == expert ? 1u : 0u;
    counts[lane] = own;
    barrier();
    for (uint i = 0; i < LOCAL_X; i++) {
        before += i < lane ? counts[i] : 0u;
        all += counts[i];
    }
    for (uint t0 = gl_WorkGroupID.z * BM; t0 < all; t0 += gl_NumWorkGroups.z * BM) {
        if (before < t0 + BM && before + own > t0) list_pairs(expert, first, end, before, t0);
        barrier();
        multiply(lane, expert, min(all - t0, BM), n0);
        barrier(); // the list has been read
    }
}
