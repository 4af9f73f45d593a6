/* See need.h. */
#include "models/need.h"

#include <math.h>
#include <string.h>

#include "models/convert.h"

uint64_t pm_need_elems(const pm_need *need) {
    uint64_t n = 1; /* as many as the arrays have, which the file has room for */
    for (int32_t i = 0; i < need->rank; i++) n *= (uint64_t)need->dims[i];
    return n;
}

static pm_status read_stacked(const pm_checkpoint *c, const pm_need *need, float *out) {
    uint64_t n = 0;
    for (size_t i = 0; i < need->n_arrays; i++, out += n) {
        n = need->arrays[i] ? pm_array_elems(need->arrays[i])
                            : (uint64_t)need->rows[i] * pm_need_elems(need) / (uint64_t)need->dims[0];
        if (need->arrays[i])
            PM_TRY(pm_checkpoint_read(c, need->arrays[i], out));
        else
            memset(out, 0, (size_t)n * sizeof *out);
    }
    return PM_OK;
}

/* The need is [.., N, K], its array [.., K, N]. */
static pm_status read_swapped(const pm_checkpoint *c, const pm_need *need, float *out) {
    uint64_t n = (uint64_t)need->dims[need->rank - 2], k = (uint64_t)need->dims[need->rank - 1];
    uint64_t all = pm_need_elems(need);
    float *in = pm_realloc_array(NULL, (size_t)all, sizeof *in);
    if (!in) return PM_ERR_MEMORY;
    pm_status s = pm_checkpoint_read(c, need->arrays[0], in);
    for (uint64_t at = 0; s == PM_OK && at < all; at += n * k)
        for (uint64_t row = 0; row < n; row++)
            for (uint64_t i = 0; i < k; i++) out[at + row * k + i] = in[at + i * n + row];
    pm_free(in);
    return s;
}

enum { MXFP4_BYTES = 16, MXFP4_BIAS = 127 };

/* OCP Microscaling Formats 1.0: 32 elements of sign, two bits of exponent and one of mantissa, and a power of two. The
 * low half of a byte comes first. */
static void read_mxfp4(const pm_need *need, float *out) {
    static const float values[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
    const unsigned char *blocks = need->arrays[0]->data, *scales = need->arrays[1]->data;
    uint64_t n = pm_array_elems(need->arrays[0]);
    for (uint64_t i = 0; i < n; i++) {
        int exponent = scales[i / MXFP4_BYTES] - MXFP4_BIAS;
        for (int half = 0; half < 2; half++) {
            unsigned bits = half ? blocks[i] >> 4 : blocks[i] & 15u;
            float v = ldexpf(values[bits & 7u], exponent);
            out[2 * i + (uint64_t)half] = bits & 8u ? -v : v;
        }
    }
}

pm_status pm_need_read(const pm_checkpoint *c, const pm_need *need, float *out) {
    pm_status s = PM_OK;
    uint64_t n = pm_need_elems(need);
    switch (need->kind) {
    case PM_SOURCE_STACKED: s = read_stacked(c, need, out); break;
    case PM_SOURCE_SWAPPED: s = read_swapped(c, need, out); break;
    case PM_SOURCE_MXFP4: read_mxfp4(need, out); break;
    }
    for (uint64_t i = 0; s == PM_OK && need->plus != 0 && i < n; i++) out[i] += need->plus;
    return s;
}
