#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// matmul: y[b,m,n] = act(scale * sum over k of a[b,m,k] b[b,n,k] + bias[n]) + residual[b,m,n]; b is three leading dims.
// A workgroup computes a tile of BM x BN for one batch, BK steps of k at a time through shared memory. All of its LX * LY
// invocations load; (BM / ROWS) * (BN / COLS) of them, at most all, compute ROWS x COLS elements each: 8 x 8 when SUMS_8X8
// is defined, else 4 x 4. One computes rows r, r + STEP_M, ... and columns c, c + STEP_N, ... of the tile, so that
// neighbours read and write neighbouring columns. The sums are unrolled by hand: some drivers keep an array that a loop
// indexes in memory. Sums of some steps are added up apart and then joined: two chains of about sqrt(K) roundings, not one of K.
// Groups: x over n, y over m, z over batches.
#include "matmul.params.h"
#include "matmul_store.glsl"

layout(local_size_x_id = 0, local_size_y_id = 1) in;
layout(constant_id = 0) const uint LX = 16;
layout(constant_id = 1) const uint LY = 16;
layout(constant_id = 3) const uint BM = 64;
layout(constant_id = 4) const uint BN = 64;
layout(constant_id = 5) const uint BK = 16;

#ifdef SUMS_8X8
#define ROWS 8
#define COLS 8
#else
#define ROWS 4
#define COLS 4
#endif
const uint STEP_M = BM / ROWS;
const uint STEP_N = BN / COLS;
const uint A_ROW = BM + 1; // one word of padding: a column of k is spread over the banks
const uint B_ROW = BN + 1;
shared float tile_a[BK * A_ROW]; // [k][m]
shared float tile_b[BK * B_ROW]; // [k][n]

// Both loads walk memory in the order in which it is contiguous: along k, or along m (n).
void load_a(uint lane, uint start, uint m0, uint k0) {
    for (uint e = lane; e < BM * BK; e += LX * LY) {
        uint m = p.a_k == 1u ? e / BK : e % BM;
        uint k = p.a_k == 1u ? e % BK : e / BM;
        float v = 0.0;
        if (m0 + m < p.m && k0 + k < p.k) v = a[start + (m0 + m) * p.a_m + (k0 + k) * p.a_k];
        tile_a[k * A_ROW + m] = v;
    }
}

void load_b(uint lane, uint start, uint n0, uint k0) {
    for (uint e = lane; e < BN * BK; e += LX * LY) {
        uint n = p.b_k == 1u ? e / BK : e % BN;
        uint k = p.b_k == 1u ? e % BK : e / BN;
        float v = 0.0;
        if (n0 + n < p.n && k0 + k < p.k) v = b[start + (n0 + n) * p.b_n + (k0 + k) * p.b_k];
        tile_b[k * B_ROW + n] = v;
    }
}

void finish(uint at_residual, uint at_y, uint m, uint n, float sum) {
    if (m < p.m && n < p.n) store(at_residual, at_y, m, n, bias_of(n), sum);
}

#define B4(j) vec4(tile_b[at_b + (j) * STEP_N], tile_b[at_b + ((j) + 1) * STEP_N], \
                   tile_b[at_b + ((j) + 2) * STEP_N], tile_b[at_b + ((j) + 3) * STEP_N])
#define STORE4(i, j, sums) finish(at_residual, at_y, m0 + (i) * STEP_M, n0 + (j) * STEP_N, sums.x); \
    finish(at_residual, at_y, m0 + (i) * STEP_M, n0 + ((j) + 1) * STEP_N, sums.y);                   \
    finish(at_residual, at_y, m0 + (i) * STEP_M, n0 + ((j) + 2) * STEP_N, sums.z);                   \
    finish(at_residual, at_y, m0 + (i) * STEP_M, n0 + ((j) + 3) * STEP_N, sums.w);
#ifdef SUMS_8X8
#define EACH_ROW(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7)
#define CLEAR(i) low[i] = vec4(0), high[i] = vec4(0);
#define START(i) part_low[i] = vec4(0), part_high[i] = vec4(0);
#define ADD(i) v = tile_a[at_a + i * STEP_M], part_low[i] += v * b_low, part_high[i] += v * b_high;
#define JOIN(i) low[i] += part_low[i], high[i] += part_high[i];
#define STORE(i) STORE4(i, 0, low[i]) STORE4(i, 4, high[i])
#else
#define EACH_ROW(f) f(0) f(1) f(2) f(3)
#define CLEAR(i) low[i] = vec4(0);
#define START(i) part_low[i] = vec4(0);
#define ADD(i) v = tile_a[at_a + i * STEP_M], part_low[i] += v * b_low;
#define JOIN(i) low[i] += part_low[i];
#define STORE(i) STORE4(i, 0, low[i])
#endif

void main() {
    uint z = gl_WorkGroupID.z;
    uint batch[3];
    batch[2] = z % p.batch[2];
    batch[1] = z / p.batch[2] % p.batch[1];
    batch[0] = z / p.batch[2] / p.batch[1];
    uint m0 = gl_WorkGroupID.y * BM, n0 = gl_WorkGroupID.x * BN;
    uint lane = gl_LocalInvocationID.y * LX + gl_LocalInvocationID.x;
    uint r = lane / STEP_N, c = lane % STEP_N;
    uint start_a = p.a_offset + batch_offset(batch, p.a_batch);
    uint start_b = p.b_offset + batch_offset(batch, p.b_batch);

    vec4 low[ROWS], part_low[ROWS]; // sums of columns 0 .. 3: so far, and of the last steps
#ifdef SUMS_8X8
    vec4 high[ROWS], part_high[ROWS]; // and of columns 4 .. 7
#endif
    EACH_ROW(CLEAR)
    EACH_ROW(START)
    uint n_apart = max(uint(sqrt(float(p.k))) / BK, 1u), n_steps = 0; // steps that are added up apart
    for (uint k0 = 0; k0 < p.k; k0 += BK) {
        load_a(lane, start_a, m0, k0);
        load_b(lane, start_b, n0, k0);
        barrier();
        uint at_a = r, at_b = c;
        if (r < STEP_M) {
            // Drivers that unroll this hoist the loads of all steps, and then spill (Adreno) or run fewer waves (AMD).
            [[dont_unroll]] for (uint k = 0; k < BK; k++, at_a += A_ROW, at_b += B_ROW) {
                vec4 b_low = B4(0);
#ifdef SUMS_8X8
                vec4 b_high = B4(4);
#endif
                float v;
                EACH_ROW(ADD)
            }
        }
        n_steps++;
        if (n_steps == n_apart) {
            EACH_ROW(JOIN)
            EACH_ROW(START)
            n_steps = 0;
        }
        barrier();
    }
    if (r >= STEP_M) return;
    EACH_ROW(JOIN)
    m0 += r;
    n0 += c;
    uint at_residual = p.residual_offset + batch_offset(batch, p.residual_batch);
    uint at_y = p.y_offset + batch_offset(batch, p.y_batch);
    EACH_ROW(STORE)
}
