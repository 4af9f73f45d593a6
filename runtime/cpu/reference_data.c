/* Reference kernels gather, cache_write, rotary, rel_shift: shaders/data.params.h. An item is an element. */
#include "runtime/cpu/reference.h"
#include "shaders/data.params.h"

uint64_t pm_reference_gather_items(const pm_call *c) {
    const pm_gather_params *p = c->params;
    return (uint64_t)p->n_ids * p->n_cols;
}
uint64_t pm_reference_cache_write_items(const pm_call *c) {
    return ((const pm_cache_write_params *)c->params)->n;
}
uint64_t pm_reference_rotary_items(const pm_call *c) {
    return ((const pm_rotary_params *)c->params)->n;
}
uint64_t pm_reference_rel_shift_items(const pm_call *c) {
    return ((const pm_rel_shift_params *)c->params)->n;
}

void pm_reference_gather(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_gather_params *p = c->params;
    const uint32_t *table = (const uint32_t *)c->in[0] + p->table_offset;
    const uint32_t *ids = (const uint32_t *)c->in[1] + p->ids_offset;
    for (uint64_t i = first; i < last; i++) {
        uint64_t col = i % p->n_cols;
        uint32_t row =
            ids[i / p->n_cols * p->ids_stride] - p->first_row; /* a smaller or negative id: a large row */
        uint64_t at = p->y_offset + i / p->n_cols * p->y_row_stride + col * p->y_col_stride;
        if (row >= p->n_rows && p->keep_others) continue;
        ((uint32_t *)c->out)[at] =
            row < p->n_rows ? table[(uint64_t)row * p->table_row_stride + col * p->table_col_stride] : 0;
        if (c->bound) c->bound[at] = 0;
    }
}

void pm_reference_cache_write(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_cache_write_params *p = c->params;
    const uint32_t *x = (const uint32_t *)c->in[0] + p->x_offset;
    int64_t position = ((const int32_t *)c->in[1])[p->position_offset];
    for (uint64_t i = first; i < last; i++) {
        int64_t slot = position + (int64_t)(i / p->dims[3] % p->dims[2]);
        if (slot < 0 || slot >= p->n_slots) continue;
        uint64_t outer = i / p->dims[3] / p->dims[2];
        uint64_t at = p->state_offset + outer / p->dims[1] * p->state_stride[0] +
                      outer % p->dims[1] * p->state_stride[1] + (uint64_t)slot * p->state_stride[2] +
                      i % p->dims[3] * p->state_stride[3];
        ((uint32_t *)c->out)[at] = x[pm_strided(i, p->dims, p->x_stride, 4)];
        if (c->bound) c->bound[at] = 0;
    }
}

void pm_reference_rotary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_rotary_params *p = c->params;
    uint32_t half = p->turned / 2;
    for (uint64_t i = first; i < last; i++) {
        uint64_t j = i % p->dims[3], t = i / p->dims[3] % p->dims[2],
                 b = i / p->dims[3] / p->dims[2] / p->dims[1];
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(i - j, p->dims, p->x_stride, 4);
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, 4);
        if (j >= p->turned) {
            float kept = x[j * p->x_stride[3]];
            ((float *)c->out)[at] = kept;
            if (c->bound) c->bound[at] = kept != 0 && pm_is_tiny((double)kept) ? (float)PM_TINY : 0;
            continue;
        }
        double cosine =
            (double)((const float *)
                         c->in[1])[p->cos_offset + b * p->cos_stride[0] + t * p->cos_stride[1] + j];
        double sine = (double)((const float *)
                                   c->in[2])[p->sin_offset + b * p->sin_stride[0] + t * p->sin_stride[1] + j];
        double turned =
            j < half ? -(double)x[(j + half) * p->x_stride[3]] : (double)x[(j - half) * p->x_stride[3]];
        double left = (double)x[j * p->x_stride[3]] * cosine, right = turned * sine;
        ((float *)c->out)[at] = (float)(left + right);
        /* two products, a sum, and the rounding of the reference itself */
        if (c->bound) c->bound[at] = (float)(3 * PM_U * (fabs(left) + fabs(right)) + PM_TINY);
    }
}

void pm_reference_rel_shift(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_rel_shift_params *p = c->params;
    const uint32_t *x = (const uint32_t *)c->in[0] + p->x_offset;
    int64_t position = p->has_position ? ((const int32_t *)c->in[1])[p->position_offset] : 0;
    for (uint64_t i = first; i < last; i++) {
        int64_t s = (int64_t)(i % p->dims[4]), t = (int64_t)(i / p->dims[4] % p->dims[3]);
        int64_t distance = t + position - s, most = (int64_t)p->n_distances - 1;
        distance = distance < 0 ? 0 : distance < most ? distance : most;
        uint64_t row = pm_strided(i / p->dims[4], p->dims, p->x_stride, 4);
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, PM_DIMS);
        ((uint32_t *)c->out)[at] = x[row + (uint64_t)distance * p->x_stride[4]];
        if (c->bound) c->bound[at] = 0;
    }
}
