#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// attention, as attention_online.comp, for many queries: a workgroup of 64 computes 32 query rows of one head, 32 keys at a
// time, so that a key is read once for 32 queries. Groups x = ceil(t / 32), y = h, z = b. D up to 128.
// Invocation (r, c) of 8 x 8 owns rows r, r + 8, r + 16, r + 24: their scores for keys c + 8j, and then their sums for dims
// c + 8j of each chunk of 32 dims. Scores q . k and sums p . v are both products of tiles in shared memory. The running maximum
// of a row is the same in all its invocations; each keeps the running sum of its own keys until the end.
// Keys past the last that a row of the tile sees are not loaded. A key that one row sees and another does not has weight 0 in the
// other's sum: where v is infinite or NaN there, that row's result is NaN.
// Loops over a tile are kept from unrolling: drivers hoist the loads of all steps, and then spill (Adreno, Apple).
#include "activation.glsl"
#include "attention.params.h"

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

const uint TILE = 32, ROW = TILE + 1, N_LOCAL = 64; // a word of padding spreads a column over the banks
#include "attention_scores.glsl"
const uint N_CHUNKS = (D + TILE - 1) / TILE;
shared float tile_q[TILE * ROW];  // [d][query]
shared float tile_kv[TILE * ROW]; // [d][key], then [key][d] of v
shared float tile_p[TILE * ROW];  // [query][key]
shared float row_parts[TILE * 8]; // [query][c]: what the invocations of a row exchange

#define EACH_ROW(f) f(0) f(1) f(2) f(3)
#define PARTS(join, at)                                                                              \
    join(join(join(row_parts[at], row_parts[at + 1]), join(row_parts[at + 2], row_parts[at + 3])), \
         join(join(row_parts[at + 4], row_parts[at + 5]), join(row_parts[at + 6], row_parts[at + 7])))
float add(float a, float b) { return a + b; }

void load_qk(uint lane, uint q_head, uint t0, uint k_head, uint s0, uint end, uint d0) {
    [[dont_unroll]] for (uint e = lane; e < TILE * TILE; e += N_LOCAL) {
        uint d = e % TILE, row = e / TILE;
        float from_q = 0.0, from_k = 0.0;
        if (d0 + d < D && t0 + row < p.n_queries) from_q = q[q_head + (t0 + row) * p.q_stride[2] + d0 + d];
        if (d0 + d < D && s0 + row < end) from_k = k[k_head + (s0 + row) * p.k_stride[2] + d0 + d];
        tile_q[d * ROW + row] = from_q;
        tile_kv[d * ROW + row] = from_k;
    }
}

void load_v(uint lane, uint v_head, uint s0, uint end, uint d0) {
    [[dont_unroll]] for (uint e = lane; e < TILE * TILE; e += N_LOCAL) {
        uint d = e % TILE, key = e / TILE;
        float from_v = 0.0;
        if (d0 + d < D && s0 + key < end) from_v = v[v_head + (s0 + key) * p.v_stride[2] + d0 + d];
        tile_kv[key * ROW + d] = from_v;
    }
}

void store(uint b, uint h, uint t, uint d, float v) {
    if (t < p.n_queries && d < D)
        y[p.y_offset + b * p.y_stride[0] + h * p.y_stride[1] + t * p.y_stride[2] + d] = v;
}

void main() {
    uint t0 = gl_WorkGroupID.x * TILE, h = gl_WorkGroupID.y, b = gl_WorkGroupID.z, g = h / GROUP;
    uint lane = gl_LocalInvocationID.x, r = lane / 8u, c = lane % 8u;
    uint q_head = p.q_offset + b * p.q_stride[0] + h * p.q_stride[1];
    uint k_head = p.k_offset + b * p.k_stride[0] + g * p.k_stride[1];
    uint v_head = p.v_offset + b * p.v_stride[0] + g * p.v_stride[1];
    uvec3 range = tile_range(b, t0, min(t0 + TILE, p.n_queries) - 1u);
    uint first = range_first(range), end = range_end(range);

    vec4 acc[16]; // [chunk][row], dims c + 8j
    acc[0] = acc[1] = acc[2] = acc[3] = acc[4] = acc[5] = acc[6] = acc[7] = vec4(0);
    acc[8] = acc[9] = acc[10] = acc[11] = acc[12] = acc[13] = acc[14] = acc[15] = vec4(0);
    vec4 largest = vec4(NONE), sum = vec4(0), shrink; // a component a row
#define SINK_ROW(i) {                                                     \
        uint t = t0 + r + 8 * i;                                          \
        float sink = t < p.n_queries ? bias[bias_row(b, h, t).x] : NONE;  \
        if (sink > MASKED) largest[i] = sink, sum[i] = c == 0 ? 1.0 : 0.0; \
    }
    if ((MASK & PM_MASK_SINK) != 0u) { EACH_ROW(SINK_ROW) }
    for (uint s0 = first; s0 < end; s0 += TILE) {
        if (HAS_GLOBAL && !blocks_seen(b, s0, TILE, range, p.n_keys)) continue; // the same for all invocations
        vec4 z[4]; // a vector a row: keys c + 8j
        z[0] = z[1] = z[2] = z[3] = vec4(0);
        for (uint d0 = 0; d0 < D; d0 += TILE) {
            vec4 part0 = vec4(0), part1 = vec4(0), part2 = vec4(0), part3 = vec4(0);
            load_qk(lane, q_head, t0, k_head, s0, end, d0);
            barrier();
            uint at_q = r, at_k = c;
            [[dont_unroll]] for (uint d = 0; d < TILE; d++, at_q += ROW, at_k += ROW) {
                vec4 keys = vec4(tile_kv[at_k], tile_kv[at_k + 8], tile_kv[at_k + 16], tile_kv[at_k + 24]);
                part0 += tile_q[at_q] * keys;
                part1 += tile_q[at_q + 8] * keys;
                part2 += tile_q[at_q + 16] * keys;
                part3 += tile_q[at_q + 24] * keys;
            }
            z[0] += part0, z[1] += part1, z[2] += part2, z[3] += part3;
            barrier();
        }

#define SCORE_ROW(i)                                              \
    z[i] = score_row(b, h, t0 + r + 8 * i, s0 + c, z[i]);         \
    row_parts[(r + 8 * i) * 8 + c] = max(max(z[i].x, z[i].y), max(z[i].z, z[i].w));
        EACH_ROW(SCORE_ROW)
        barrier();
#define WEIGH_ROW(i) {                                                                                             \
        uint at = (r + 8 * i) * 8;                                                                                 \
        float now = max(largest[i], PARTS(max, at));                                                               \
        shrink[i] = largest[i] > NONE ? exp(largest[i] - now) : 0.0;                                               \
        z[i] = vec4(weight(z[i].x, now), weight(z[i].y, now), weight(z[i].z, now), weight(z[i].w, now));           \
        largest[i] = now;                                                                                          \
        sum[i] = sum[i] * shrink[i] + (z[i].x + z[i].y + z[i].z + z[i].w);                                         \
        at = (r + 8 * i) * ROW + c;                                                                                \
        tile_p[at] = z[i].x, tile_p[at + 8] = z[i].y, tile_p[at + 16] = z[i].z, tile_p[at + 24] = z[i].w;          \
    }
        EACH_ROW(WEIGH_ROW)

#define ADD_CHUNK(n) if (n < N_CHUNKS) {                                                                           \
        load_v(lane, v_head, s0, end, n * TILE);                                                                   \
        vec4 part0 = vec4(0), part1 = vec4(0), part2 = vec4(0), part3 = vec4(0);                                   \
        barrier();                                                                                                 \
        uint at_p = r * ROW, at_v = c;                                                                             \
        [[dont_unroll]] for (uint key = 0; key < TILE; key++, at_p++, at_v += ROW) {                               \
            vec4 values = vec4(tile_kv[at_v], tile_kv[at_v + 8], tile_kv[at_v + 16], tile_kv[at_v + 24]);          \
            part0 += tile_p[at_p] * values;                                                                        \
            part1 += tile_p[at_p + 8 * ROW] * values;                                                              \
            part2 += tile_p[at_p + 16 * ROW] * values;                                                             \
            part3 += tile_p[at_p + 24 * ROW] * values;                                                             \
        }                                                                                                          \
        acc[4 * n] = acc[4 * n] * shrink.x + part0;                                                                \
        acc[4 * n + 1] = acc[4 * n + 1] * shrink.y + part1;                                                        \
        acc[4 * n + 2] = acc[4 * n + 2] * shrink.z + part2;                                                        \
        acc[4 * n + 3] = acc[4 * n + 3] * shrink.w + part3;                                                        \
        barrier();                                                                                                 \
    }
        ADD_CHUNK(0)
        ADD_CHUNK(1)
        ADD_CHUNK(2)
        ADD_CHUNK(3)
    }

#define SHARE_ROW(i) row_parts[(r + 8 * i) * 8 + c] = sum[i];
    EACH_ROW(SHARE_ROW)
    barrier();
#define TOTAL_ROW(i) sum[i] = PARTS(add, (r + 8 * i) * 8);
    EACH_ROW(TOTAL_ROW)
#define STORE(n, i) if (n < N_CHUNKS) {                                         \
        uint t = t0 + r + 8 * i, d = n * TILE + c;                              \
        vec4 result = sum[i] > 0.0 ? acc[4 * n + i] / sum[i] : vec4(0);         \
        store(b, h, t, d, result.x), store(b, h, t, d + 8, result.y);           \
        store(b, h, t, d + 16, result.z), store(b, h, t, d + 24, result.w);     \
    }
#define STORE_ROW(i) STORE(0, i) STORE(1, i) STORE(2, i) STORE(3, i)
    EACH_ROW(STORE_ROW)
}
