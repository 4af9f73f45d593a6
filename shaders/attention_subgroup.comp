#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_arithmetic : require
// attention, as attention_tiled.comp, by a subgroup of eight: 32 query rows of one head, 32 keys at a time. Groups
// x = ceil(t / 32), y = h, z = b. D up to 128. A lane has keys s0 + lane + 8j, then dims lane + 8j, of all rows. What is needed of a row
// by turns (its scores' masks, weights, results) is done for the first row, and the others move up: written out for 32 rows it
// takes drivers seconds to compile.
// Indices past the end are those of the last row, key or dim: such keys get weight 0, and such results are not stored.
#include "activation.glsl"
#include "attention.params.h"
#include "subgroup8.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = PM_SPEC_HEAD_SIZE) const uint D = 64;
layout(constant_id = PM_SPEC_GROUP) const uint GROUP = 1;
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

const uint TILE = 32;
#include "attention_scores.glsl"
shared float tile_p[TILE * TILE]; // [key][query]
const uvec4 EACH_8 = uvec4(0, LANES, 2 * LANES, 3 * LANES);

void store4(uint at, uint d, vec4 v) {
    if (d < D) y[at + d] = v.x;
    if (d + 8 < D) y[at + d + 8] = v.y;
    if (d + 16 < D) y[at + d + 16] = v.z;
    if (d + 24 < D) y[at + d + 24] = v.w;
}

vec4 values(uvec4 at) { return vec4(v[at.x], v[at.y], v[at.z], v[at.w]); }

void main() {
    uint t0 = gl_WorkGroupID.x * TILE, h = gl_WorkGroupID.y, b = gl_WorkGroupID.z, g = h / GROUP;
    uint lane = gl_SubgroupInvocationID, last = min(t0 + TILE, p.n_queries) - 1u;
    uint k_head = p.k_offset + b * p.k_stride[0] + g * p.k_stride[1];
    uint v_head = p.v_offset + b * p.v_stride[0] + g * p.v_stride[1];
    uvec4 q_rows = p.q_offset + b * p.q_stride[0] + h * p.q_stride[1] + min(t0 + lane + EACH_8, last) * p.q_stride[2];
    uvec3 range = tile_range(b, t0, last);
    uint first = range_first(range), end = range_end(range);

    // Of each row: scores or what is added to it, results for dims 0..31, 32..63, ..., the largest score, this lane's share
    // of the sum, and what a larger score makes of both.
    vec4 part[32], more[32], acc0[32], acc1[32], acc2[32], acc3[32];
    float largest[32], sum[32], shrink[32];
#define CLEAR(i, of, from) acc0[i] = acc1[i] = acc2[i] = acc3[i] = vec4(0), largest[i] = NONE, sum[i] = 0.0;
    EACH_ROW(CLEAR)
#define NEXT_STATE(i, of, from) if (i < 31) largest[i] = largest[(i + 1) % 32], sum[i] = sum[(i + 1) % 32];
    if ((MASK & PM_MASK_SINK) != 0u)
        [[dont_unroll]] for (uint row = 0; row < TILE; row++) {
            float sink = t0 + row < p.n_queries ? bias[bias_row(b, h, t0 + row).x] : NONE;
            EACH_ROW(NEXT_STATE)
            largest[31] = sink > MASKED ? sink : NONE;
            sum[31] = sink > MASKED && lane == 0 ? 1.0 : 0.0;
        }

    [[dont_unroll]] for (uint s0 = first; s0 < end; s0 += TILE) {
        if (HAS_GLOBAL && !blocks_seen(b, s0, TILE, range, p.n_keys)) continue; // the same for all lanes
        uvec4 at_q = q_rows, at_k = k_head + min(s0 + lane + EACH_8, end - 1u) * p.k_stride[2];
        vec4 z[32];
#define CLEAR_SCORES(i, of, from) z[i] = vec4(0), part[i] = vec4(0);
        EACH_ROW(CLEAR_SCORES)
        [[dont_unroll]] for (uint d0 = 0; d0 < D; d0 += 32) {
            [[dont_unroll]] for (uint d = d0; d < min(d0 + 32, D); d++, at_q++, at_k++) {
                vec4 queries = vec4(q[at_q.x], q[at_q.y], q[at_q.z], q[at_q.w]);
                vec4 keys = vec4(k[at_k.x], k[at_k.y], k[at_k.z], k[at_k.w]);
#define MULTIPLY(i, of, from) part[i] += subgroupBroadcast(queries.of, from) * keys;
                EACH_ROW(MULTIPLY)
            }
#define JOIN(i, of, from) z[i] += part[i], part[i] = vec4(0);
            EACH_ROW(JOIN)
        }

        [[dont_unroll]] for (uint row = 0; row < TILE; row++) {
            vec4 scores = score_row(b, h, t0 + row, s0 + lane, z[0]);
            float now = max(largest[0], subgroupMax(max(max(scores.x, scores.y), max(scores.z, scores.w))));
            float shrink_row = largest[0] > NONE ? exp(largest[0] - now) : 0.0;
            vec4 weights = vec4(weight(scores.x, now), weight(scores.y, now), weight(scores.z, now), weight(scores.w, now));
            float sum_row = sum[0] * shrink_row + (weights.x + weights.y + weights.z + weights.w);
            tile_p[lane * TILE + row] = weights.x;
            tile_p[(lane + 8) * TILE + row] = weights.y;
            tile_p[(lane + 16) * TILE + row] = weights.z;
            tile_p[(lane + 24) * TILE + row] = weights.w;
#define NEXT_SCORES(i, of, from) if (i < 31) z[i] = z[(i + 1) % 32], shrink[i] = shrink[(i + 1) % 32];
            EACH_ROW(NEXT_SCORES)
            EACH_ROW(NEXT_STATE)
            largest[31] = now, sum[31] = sum_row, shrink[31] = shrink_row;
        }
        subgroupBarrier();

        // 64 dims at a time
#define WEIGH(i, of, from) {                                     \
        float w = subgroupBroadcast(weights.of, from);           \
        part[i] += w * low;                                      \
        if (many) more[i] += w * high;                           \
    }
#define CLEAR_MORE(i, of, from) part[i] = vec4(0), more[i] = vec4(0);
#define ADD_DIMS(acc_low, acc_high, from_d) {                                                                    \
        const bool many = D > from_d + 32;                                                                       \
        uvec4 at_low = v_head + s0 * p.v_stride[2] + min(from_d + lane + EACH_8, D - 1u);                        \
        uvec4 at_high = v_head + s0 * p.v_stride[2] + min(from_d + 32 + lane + EACH_8, D - 1u);                  \
        uvec4 at_p = lane + EACH_8;                                                                              \
        EACH_ROW(CLEAR_MORE)                                                                                     \
        [[dont_unroll]] for (uint s = s0; s < min(s0 + TILE, end); s++) {                                        \
            vec4 weights = vec4(tile_p[at_p.x], tile_p[at_p.y], tile_p[at_p.z], tile_p[at_p.w]);                 \
            vec4 low = values(at_low), high = vec4(0);                                                           \
            if (many) high = values(at_high);                                                                    \
            at_p += TILE, at_low += p.v_stride[2], at_high += p.v_stride[2];                                     \
            EACH_ROW(WEIGH)                                                                                      \
        }                                                                                                        \
        EACH_ROW(acc_low)                                                                                        \
        if (many) { EACH_ROW(acc_high) }                                                                         \
    }
#define ADD0(i, of, from) acc0[i] = acc0[i] * shrink[i] + part[i];
#define ADD1(i, of, from) acc1[i] = acc1[i] * shrink[i] + more[i];
#define ADD2(i, of, from) acc2[i] = acc2[i] * shrink[i] + part[i];
#define ADD3(i, of, from) acc3[i] = acc3[i] * shrink[i] + more[i];
        ADD_DIMS(ADD0, ADD1, 0)
        if (D > 64) ADD_DIMS(ADD2, ADD3, 64)
        subgroupBarrier();
    }

    uint at_y = p.y_offset + b * p.y_stride[0] + h * p.y_stride[1] + t0 * p.y_stride[2];
    [[dont_unroll]] for (uint t = t0; t <= last; t++, at_y += p.y_stride[2]) {
        float total = subgroupAdd(sum[0]);
        bool any = total > 0.0;
        store4(at_y, lane, any ? acc0[0] / total : vec4(0));
        if (D > 32) store4(at_y, lane + 32, any ? acc1[0] / total : vec4(0));
        if (D > 64) store4(at_y, lane + 64, any ? acc2[0] / total : vec4(0));
        if (D > 96) store4(at_y, lane + 96, any ? acc3[0] / total : vec4(0));
#define NEXT(i, of, from) if (i < 31) {                                        \
        acc0[i] = acc0[(i + 1) % 32], sum[i] = sum[(i + 1) % 32];              \
        if (D > 32) acc1[i] = acc1[(i + 1) % 32];                              \
        if (D > 64) acc2[i] = acc2[(i + 1) % 32], acc3[i] = acc3[(i + 1) % 32]; \
    }
        EACH_ROW(NEXT)
    }
}
