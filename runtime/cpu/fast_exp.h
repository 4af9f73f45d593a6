/* exp without a call or a branch, for loops that compilers make vectors of. */
#ifndef PM_FAST_EXP_H
#define PM_FAST_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* exp(x) for x <= 88, off by less than 2 ulp; below -87 it is 0, for NaN it is NaN. x = n log 2 + r, |r| <= log(2) / 2: a
 * polynomial of r (Taylor's to r^7, 4e-9), and n goes into the exponent. */
static inline float pm_fast_exp(float x) {
    float in = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    const float shift = 12582912.0f; /* 1.5 * 2^23: the sum's last bits are the nearest integer */
    float shifted = in * 1.44269504f + shift, n = shifted - shift;
    float r =
        (in - n * 0.693359375f) + n * 2.12194440e-4f; /* log 2 in two parts: the first product is exact */
    float y = 1.9841270e-4f;
    y = y * r + 1.3888889e-3f;
    y = y * r + 8.3333333e-3f;
    y = y * r + 4.1666668e-2f;
    y = y * r + 1.6666667e-1f;
    y = y * r + 0.5f;
    y = (y * r) * r + r + 1.0f;
    uint32_t bits;
    float scale;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0f ? 0.0f : y * scale;
}

#endif
