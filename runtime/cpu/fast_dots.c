/* See fast_dots.h. */
#include "runtime/cpu/fast_dots.h"

#include <math.h>

enum { LEAST_LANES_PART = 48 }; /* terms of each of PM_LANES, whose sums must be joined */

uint64_t pm_fast_part(uint64_t n, uint64_t least) {
    if (n * 9 <= least * least * 4) return least;      /* without the root */
    uint64_t part = (uint64_t)(1.5 * sqrt((double)n)); /* longer than the other chain: joining costs time */
    return part > least ? part : least;
}

/* PM_DOT_ROWS x PM_DOT_COLS dots of one part at once, so that each loaded lane is used several times. Added to out. */
PM_CLONES static void add_dots(const float *const *a, const float *const *b, uint64_t n, float *out) {
    float acc[PM_DOT_ROWS][PM_DOT_COLS][PM_LANES] = {{{0}}};
    uint64_t i = 0;
    for (; i + PM_LANES <= n; i += PM_LANES)
        for (int r = 0; r < PM_DOT_ROWS; r++)
            for (int k = 0; k < PM_DOT_COLS; k++)
                for (int j = 0; j < PM_LANES; j++)
                    acc[r][k][j] += a[r][i + (uint64_t)j] * b[k][i + (uint64_t)j];
    for (int r = 0; r < PM_DOT_ROWS; r++)
        for (int k = 0; k < PM_DOT_COLS; k++) {
            float sum = pm_lanes_sum(acc[r][k]);
            for (uint64_t rest = i; rest < n; rest++) sum += a[r][rest] * b[k][rest];
            out[r * PM_DOT_COLS + k] += sum;
        }
}

void pm_fast_dots(const float *const *a, const float *const *b, uint64_t n, float *out) {
    uint64_t part = pm_fast_part(n / PM_LANES, LEAST_LANES_PART) * PM_LANES;
    for (int i = 0; i < PM_DOT_ROWS * PM_DOT_COLS; i++) out[i] = 0;
    for (uint64_t at = 0; at < n; at += part) {
        const float *pa[PM_DOT_ROWS], *pb[PM_DOT_COLS];
        for (int r = 0; r < PM_DOT_ROWS; r++) pa[r] = a[r] + at;
        for (int k = 0; k < PM_DOT_COLS; k++) pb[k] = b[k] + at;
        add_dots(pa, pb, n - at < part ? n - at : part, out);
    }
}

PM_CLONES static float part_dot(const float *a, const float *b, uint64_t n) {
    return pm_fast_dot(a, b, n);
}

float pm_fast_long_dot(const float *a, const float *b, uint64_t n) {
    float sum = 0;
    uint64_t part = pm_fast_part(n / PM_LANES, LEAST_LANES_PART) * PM_LANES;
    for (uint64_t at = 0; at < n; at += part) sum += part_dot(a + at, b + at, n - at < part ? n - at : part);
    return sum;
}
