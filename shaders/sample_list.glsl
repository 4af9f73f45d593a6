// The list of `sample`: all that stands in a piece of the order, sorted, with the sums of WORKERS parts of it, each a worker's.
#ifndef PM_SAMPLE_LIST_GLSL
#define PM_SAMPLE_LIST_GLSL

#include "sample.glsl"

const uint NONE = 0u, LISTED = 1024u, WORKERS = 64u; // NONE: a rank below all; LISTED: the most that there is room for

shared uint list_rank[LISTED], list_column[LISTED], list_weight[LISTED], list_size;
shared uint part_low[WORKERS], part_high[WORKERS];
shared uint found_column, found_low, found_high;

// The same in all invocations: how many are listed, what stands before them in the order, and the sum up to the last.
uint list_n, list_n_before;
uvec2 list_before, list_up_to;

// Bitonic, over the next power of two.
void sort_list(uint lane, uint n_lanes) {
    uint size = 1u;
    while (size < list_n) size *= 2u;
    for (uint i = list_n + lane; i < size; i += n_lanes) list_rank[i] = NONE, list_column[i] = i;
    barrier();
    for (uint k = 2u; k <= size; k *= 2u)
        for (uint j = k / 2u; j > 0u; j /= 2u) {
            for (uint i = lane; i < size / 2u; i += n_lanes) {
                uint a = 2u * i - (i & (j - 1u)), b = a + j;
                uvec3 one = uvec3(list_rank[a], list_column[a], list_weight[a]);
                uvec3 other = uvec3(list_rank[b], list_column[b], list_weight[b]);
                bool in_order = one.x > other.x || (one.x == other.x && one.y < other.y);
                if (in_order == ((a & k) != 0u)) {
                    list_rank[a] = other.x, list_column[a] = other.y, list_weight[a] = other.z;
                    list_rank[b] = one.x, list_column[b] = one.y, list_weight[b] = one.z;
                }
            }
            barrier();
        }
}

uint part_begin(uint worker) { return min(worker * ((list_n + WORKERS - 1u) / WORKERS), list_n); }

uvec2 sum_before_part(uint worker) {
    uvec2 sum = list_before;
    [[dont_unroll]] for (uint i = 0u; i < worker; i++) sum = plus(sum, uvec2(part_low[i], part_high[i]));
    return sum;
}

// Takes what was listed behind n_before others; nothing where there was no room for all.
void take_list(uint n_before, uvec2 before, uint lane, uint n_lanes) {
    list_n = list_size <= LISTED ? list_size : 0u;
    list_n_before = n_before;
    list_before = before;
    sort_list(lane, n_lanes);
    if (lane < WORKERS) {
        uvec2 sum = uvec2(0u);
        for (uint i = part_begin(lane); i < part_begin(lane + 1u); i++) sum = plus(sum, uvec2(list_weight[i], 0u));
        part_low[lane] = sum.x;
        part_high[lane] = sum.y;
    }
    barrier();
    list_up_to = sum_before_part(WORKERS);
}

bool is_listed(uvec2 target, bool count) {
    if (count) return target.x > list_n_before && target.x <= list_n_before + list_n;
    return is_less(list_before, target) && !is_less(list_up_to, target);
}

// The sum up to the last in the list that has a rank and a weight as large as these, or larger.
uvec2 sum_listed(uint rank, uint weight, uint lane) {
    if (lane == 0u) found_low = list_before.x, found_high = list_before.y;
    barrier();
    if (lane < WORKERS) {
        uvec2 sum = uvec2(0u);
        for (uint i = part_begin(lane); i < part_begin(lane + 1u); i++)
            if (list_rank[i] >= rank && list_weight[i] >= weight) sum = plus(sum, uvec2(list_weight[i], 0u));
        uint low = atomicAdd(found_low, sum.x);
        atomicAdd(found_high, sum.y + uint(low + sum.x < low));
    }
    barrier();
    uvec2 found = uvec2(found_low, found_high);
    barrier(); // all have read it
    return found;
}

// The first in the list that reaches the target: its column in found_column; returns the sum up to it.
uvec2 find_listed(uvec2 target, uint lane) {
    if (lane < WORKERS) {
        uvec2 sum = sum_before_part(lane);
        for (uint i = part_begin(lane); i < part_begin(lane + 1u) && is_less(sum, target); i++) {
            sum = plus(sum, uvec2(list_weight[i], 0u));
            if (is_less(sum, target)) continue;
            found_column = list_column[i];
            found_low = sum.x;
            found_high = sum.y;
        }
    }
    barrier();
    uvec2 found = uvec2(found_low, found_high);
    barrier();
    return found;
}
#endif
