/* Fast rotary and cache_write. An item is a row of a head's D elements. Rows whose elements do not lie side by side go to
 * the reference kernels. */
#include "runtime/cpu/fast.h"
#include "runtime/cpu/reference.h"
#include "shaders/data.params.h"

#include <string.h>

uint64_t pm_fast_rotary_items(const pm_call *c) {
    const pm_rotary_params *p = c->params;
    return p->n / p->dims[3];
}

PM_CLONES static void turn(const float *restrict x, const float *restrict cosine, const float *restrict sine,
                           uint32_t half, float *restrict y) {
    const float *high = x + half;
    for (uint32_t j = 0; j < half; j++) y[j] = x[j] * cosine[j] - high[j] * sine[j];
    y += half, cosine += half, sine += half;
    for (uint32_t j = 0; j < half; j++) y[j] = high[j] * cosine[j] + x[j] * sine[j];
}

void pm_fast_rotary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_rotary_params *p = c->params;
    uint64_t d = p->dims[3];
    if (p->x_stride[3] != 1 || p->y_stride[3] != 1) {
        pm_reference_rotary(c, first * d, last * d);
        return;
    }
    for (uint64_t i = first; i < last; i++) {
        uint64_t t = i % p->dims[2], b = i / p->dims[2] / p->dims[1];
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(i, p->dims, p->x_stride, 3);
        const float *cosine =
            (const float *)c->in[1] + p->cos_offset + b * p->cos_stride[0] + t * p->cos_stride[1];
        const float *sine =
            (const float *)c->in[2] + p->sin_offset + b * p->sin_stride[0] + t * p->sin_stride[1];
        float *y = (float *)c->out + p->y_offset + pm_strided(i, p->dims, p->y_stride, 3);
        turn(x, cosine, sine, p->turned / 2, y);
        memcpy(y + p->turned, x + p->turned, (size_t)(d - p->turned) * sizeof *y);
    }
}

uint64_t pm_fast_cache_write_items(const pm_call *c) {
    const pm_cache_write_params *p = c->params;
    return p->n / p->dims[3];
}

void pm_fast_cache_write(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_cache_write_params *p = c->params;
    uint64_t d = p->dims[3];
    const int32_t *position = (const int32_t *)c->in[1] + p->position_offset;
    if (p->x_stride[3] != 1 || p->state_stride[3] != 1) {
        pm_reference_cache_write(c, first * d, last * d);
        return;
    }
    for (uint64_t i = first; i < last; i++) {
        uint64_t t = i % p->dims[2], outer = i / p->dims[2], b = outer / p->dims[1];
        int64_t slot = position[b * p->position_stride] + (int64_t)t;
        if (slot < 0 || slot >= p->n_slots) continue;
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(i, p->dims, p->x_stride, 3);
        float *y = (float *)c->out + p->state_offset + b * p->state_stride[0] +
                   outer % p->dims[1] * p->state_stride[1] + (uint64_t)slot * p->state_stride[2];
        if (p->turned)
            turn(x, (const float *)c->in[2] + p->cos_offset + b * p->cos_stride[0] + t * p->cos_stride[1],
                 (const float *)c->in[3] + p->sin_offset + b * p->sin_stride[0] + t * p->sin_stride[1],
                 p->turned / 2, y);
        memcpy(y + p->turned, x + p->turned, (size_t)(d - p->turned) * sizeof *y);
    }
}
