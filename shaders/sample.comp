#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
// sample: y[row] = the column that chance picks, as sample.params.h says. One workgroup a row. A step is to find the first in the
// order whose running sum reaches a target. One pass over the row finds the greatest, one lists the likeliest, one adds up all (not
// for a small top_k): in most rows every target is reached in the list. Else more passes, which add up what stands before a few
// pivots, narrow down where the sum is reached, until what is left can be listed. Where pivots lie changes no result.
#include "index.glsl"
#include "sample_list.glsl"

layout(constant_id = PM_SPEC_LOCAL_X) const uint LOCAL_X = 128; // WORKERS to LISTED
layout(push_constant) uniform Push { pm_sample_params p; };
layout(std430, set = 0, binding = 0) readonly restrict buffer X { uint x[]; };
layout(std430, set = 0, binding = 1) readonly restrict buffer Settings { uint settings[]; };
layout(std430, set = 0, binding = 2) readonly restrict buffer Counts { uint counts[]; };
layout(std430, set = 0, binding = 3) writeonly restrict buffer Y { int y[]; };

const uint VALUE_ROUNDS = 3u; // of pivots evenly by value
const uint PIVOTS = 7u, SUMS = 8u; // the last sum is of weights that min_p leaves
const uint ALL = 0u, TOP_K = 1u, TOP_P = 2u, CHOICE = 3u, DONE = 4u; // the steps

// How many stand in the order up to a rank, and the sum of their weights.
shared uint pivot[SUMS], sum_count[SUMS], sum_low[SUMS], sum_high[SUMS];

// Of the row; the same in all invocations but for `lane`.
uint start, lane, top, least_weight, tied; // tied: not NONE: of those that have this rank the columns are the order
Unit unit;
float reach; // about how far below the top weights end

uint word_at(uint c) { return x[start + c * p.x_col_stride]; }
uint rank_at(uint c) {
    uint rank = rank_of_word(word_at(c));
    return tied == NONE ? rank : rank == tied ? p.n_cols - c : NONE;
}
uint rank_of_value(float value) { return rank_of_word(floatBitsToUint(value)); }
float value_of_rank(uint rank) { return uintBitsToFloat(word_of_rank(rank)); }

// Before a pass. Lane j < PIVOTS gives a pivot; sums begin with what stands before the pass's first rank.
void begin_pass(uint rank, uint n_before, uvec2 before) {
    barrier(); // all have read what the last pass left
    if (lane < SUMS) {
        pivot[lane] = rank;
        sum_count[lane] = n_before;
        sum_low[lane] = before.x;
        sum_high[lane] = before.y;
    }
    barrier();
}

// A pass over the ranks from .. to-1, adding up.
void add_up(uint from, uint to) {
    uvec4 p0 = uvec4(pivot[0], pivot[1], pivot[2], pivot[3]), p1 = uvec4(pivot[4], pivot[5], pivot[6], 0u);
    uvec4 n0 = uvec4(0u), n1 = n0, low0 = n0, low1 = n0, high0 = n0, high1 = n0;
    for (uint c = lane; c < p.n_cols; c += LOCAL_X) {
        uint rank = rank_at(c);
        if (rank < from || rank >= to) continue;
        uint weight = weight_of_word(unit, word_at(c));
        if (weight == 0u) continue;
        uvec4 is0 = uvec4(greaterThanEqual(uvec4(rank), p0)), is1 = uvec4(greaterThanEqual(uvec4(rank), p1));
        is1.w = uint(weight >= least_weight);
        n0 += is0;
        n1 += is1;
        is0 *= weight;
        is1 *= weight;
        low0 += is0;
        low1 += is1;
        high0 += uvec4(lessThan(low0, is0));
        high1 += uvec4(lessThan(low1, is1));
    }
    [[dont_unroll]] for (uint j = 0u; j < SUMS; j++) {
        uint n = j < 4u ? n0[j] : n1[j - 4u];
        if (n == 0u) continue;
        uint low = j < 4u ? low0[j] : low1[j - 4u], before = atomicAdd(sum_low[j], low);
        atomicAdd(sum_high[j], (j < 4u ? high0[j] : high1[j - 4u]) + uint(before + low < before));
        atomicAdd(sum_count[j], n);
    }
    barrier();
}

// ---- the list ----

// Which of up to 32 columns, the i-th of them c + i * LOCAL_X, have ranks from .. to-1. Where few have, what is done with them is
// passed over by all, on devices that run through a branch that none of their lanes takes, too.
uint columns_between(uint c, uint from, uint to) {
    uint mask = 0u;
    [[dont_unroll]] for (uint i = 0u; i < 32u && c < p.n_cols; i++, c += LOCAL_X) {
        uint rank = rank_at(c);
        mask |= uint(rank >= from && rank < to) << i;
    }
    return mask;
}

// A pass over the ranks from .. to-1 that lists them, and nothing where there is no room for all.
void list(uint from, uint to, uint n_before, uvec2 before) {
    barrier(); // all have read what was listed
    if (lane == 0u) list_size = 0u;
    barrier();
    for (uint c = lane; c < p.n_cols; c += 32u * LOCAL_X)
        for (uint mask = columns_between(c, from, to); mask != 0u; mask &= mask - 1u) {
            uint column = c + uint(findLSB(mask)) * LOCAL_X, weight = weight_of_word(unit, word_at(column));
            uint i = weight != 0u ? atomicAdd(list_size, 1u) : LISTED;
            if (i < LISTED) list_rank[i] = rank_at(column), list_column[i] = column, list_weight[i] = weight;
        }
    barrier();
    take_list(n_before, before, lane, LOCAL_X);
}

// ---- the row ----

// The greatest rank, and in `least` one that WORKERS columns or more reach: the least of so many parts' greatest.
uint greatest(out uint least) {
    uint best = NONE;
    for (uint c = lane; c < p.n_cols; c += LOCAL_X) best = max(best, rank_of_word(word_at(c)));
    list_rank[lane] = best;
    barrier();
    if (lane < WORKERS) {
        for (uint i = lane + WORKERS; i < LOCAL_X; i += WORKERS) best = max(best, list_rank[i]);
        part_low[lane] = best;
    }
    barrier();
    best = NONE;
    least = 0xffffffffu;
    [[dont_unroll]] for (uint i = 0u; i < WORKERS; i++) {
        best = max(best, part_low[i]);
        least = min(least, part_low[i]);
    }
    return best;
}

// Pivots of the first pass: all, the top, and ever closer to it.
uint first_pivot() {
    if (lane < 2u) return lane == 0u ? 1u : top;
    return clamp(rank_of_value(value_of_rank(top) - reach / float(1u << (SUMS - min(lane, PIVOTS)))), 1u, top);
}

// PIVOTS ranks between two: evenly by value, as logits lie, or evenly by rank, which comes to an end.
uint pivot_between(uint from, uint to, bool by_value) {
    uint rank = from + (lane + 1u) * max((to - from) / SUMS, 1u);
    if (by_value) {
        float low = max(value_of_rank(max(from, 0x00800000u)), value_of_rank(top) - reach);
        rank = rank_of_value(low + (value_of_rank(to - 1u) - low) * (float(lane + 1u) / float(SUMS)));
    }
    return clamp(rank, from + 1u, to - 1u);
}

// Ranks from .. to-1, among which a target is reached: what stands before them, and up to the last of them.
struct Span {
    uint from, to, n_before, n_up_to;
    uvec2 before, up_to;
};

// As far as the pivots of the last pass say.
void narrow(inout Span s, uvec2 target, bool count) {
    [[dont_unroll]] for (uint j = 0u; j < PIVOTS; j++) {
        uint rank = pivot[j], n = sum_count[j];
        uvec2 sum = uvec2(sum_low[j], sum_high[j]);
        bool reached = count ? n >= target.x : !is_less(sum, target);
        if (reached && rank >= s.from) s.from = rank, s.n_up_to = n, s.up_to = sum;
        if (!reached && rank < s.to) s.to = rank, s.n_before = n, s.before = sum;
    }
}

void main() {
    uint row = folded_group(), at[4], head;
    if (row >= p.n_rows) return;
    unflatten(row, p.dims, at);
    start = p.x_offset + strided(at, p.x_stride);
    lane = gl_LocalInvocationID.x;
    top = greatest(head);
    if (top == NONE) {
        if (lane == 0u) y[p.y_offset + strided(at, p.y_stride)] = -1;
        return;
    }
    uint set = p.settings_offset + row * p.settings_stride, count_at = p.count_offset + row * p.count_stride;
    uint k = settings[set + PM_SAMPLE_TOP_K], share = settings[set + PM_SAMPLE_TOP_P];
    int place = int(settings[set + PM_SAMPLE_PLACE]);
    uint random = random_word(counts[count_at], uvec2(settings[set + PM_SAMPLE_SEED_LO], settings[set + PM_SAMPLE_SEED_HI]));
    least_weight = min(settings[set + PM_SAMPLE_MIN_P], PM_SAMPLE_C0);
    unit = unit_of(top, settings[set + PM_SAMPLE_SCALE], place);
    reach = uintBitsToFloat(uint(clamp(place - PM_SAMPLE_REACH + 1, 1, 254)) << 23);
    tied = NONE;
    if (p.n_cols <= LISTED) head = 1u;
    head = max(head, 1u);

    // The likeliest are listed. Where the k first are sure to be among them, no other matters.
    uint rank = first_pivot(), n_all = 0u;
    bool known = false; // the pivots have ranks of the kind that a step begins with
    uvec2 kept = uvec2(0u), likely = kept;
    list(head, top + 1u, 0u, kept);
    if (k != 0u && k <= WORKERS && list_n != 0u) {
        n_all = list_n;
        kept = list_up_to;
        likely = sum_listed(NONE, least_weight, lane);
    }
    [[dont_unroll]] for (uint step = n_all == 0u ? ALL : TOP_K; step != DONE; step++) {
        bool count = step == TOP_K;
        if (count ? k == 0u || k >= n_all : step == TOP_P && share == 0u) continue; // all stay
        if (step == CHOICE && is_less(likely, kept)) kept = likely;
        uvec2 target = count ? uvec2(k, 0u) : share_of(kept, step == TOP_P ? share : random, step == TOP_P);
        if (step == CHOICE) target = plus(target, uvec2(1u, 0u));
        Span s = Span(1u, top + 1u, 0u, 0xffffffffu, uvec2(0u), uvec2(0u));
        bool done = step != ALL && is_listed(target, count);
        for (uint round = 0u; !done; round++) {
            if (step != ALL) {
                if (round == 0u && tied != NONE) tied = NONE, known = false;
                if (known) narrow(s, target, count);
                done = s.n_up_to - s.n_before <= LISTED;
                if (done) {
                    list(s.from, s.to, s.n_before, s.before);
                    break;
                }
                if (s.to - s.from == 1u && tied == NONE) {
                    if (count) break;
                    tied = s.from;
                    s.from = 1u;
                    s.to = p.n_cols + 1u;
                }
                rank = pivot_between(s.from, s.to, tied == NONE && round < VALUE_ROUNDS);
            }
            begin_pass(rank, s.n_before, s.before);
            add_up(s.from, s.to);
            known = true;
            if (step == ALL) break;
        }
        if (step == ALL) {
            n_all = sum_count[0];
            kept = uvec2(sum_low[0], sum_high[0]);
            likely = uvec2(sum_low[PIVOTS], sum_high[PIVOTS]);
        } else if (count)
            kept = done ? sum_listed(list_rank[k - 1u - list_n_before], 0u, lane) : s.up_to;
        else
            kept = find_listed(target, lane);
    }
    if (lane == 0u) y[p.y_offset + strided(at, p.y_stride)] = int(found_column);
}
