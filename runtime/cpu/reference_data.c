/* Reference kernels gather, cache_write, advance, rotary, rel_shift: shaders/data.params.h. An item is an element. */
#include "runtime/cpu/reference.h"
#include "shaders/data.params.h"

uint64_t pm_reference_gather_items(const pm_call *c) {
    const pm_gather_params *p = c->params;
    return (uint64_t)p->n_ids * p->n_cols;
}
uint64_t pm_reference_cache_write_items(const pm_call *c) {
    return ((const pm_cache_write_params *)c->params)->n;
}
uint64_t pm_reference_advance_items(const pm_call *c) {
    return ((const pm_advance_params *)c->params)->n;
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

/* One element of a rotary embedding (RoFormer, 2021): x is its row, j < turned its column. */
typedef struct turn {
    const float *x, *cosine, *sine;
    uint32_t x_stride, half;
} turn;

static float turned_element(const turn *t, uint64_t j, float *out_bound) {
    double here = (double)t->x[j * t->x_stride];
    double there =
        j < t->half ? -(double)t->x[(j + t->half) * t->x_stride] : (double)t->x[(j - t->half) * t->x_stride];
    double left = here * (double)t->cosine[j], right = there * (double)t->sine[j];
    /* two products, a sum, and the rounding of the reference itself */
    *out_bound = (float)(3 * PM_U * (fabs(left) + fabs(right)) + PM_TINY);
    return (float)(left + right);
}

/* What an element that is only moved may be off by: it may be flushed to zero. */
static float flushed_bound(float x) {
    return x != 0 && pm_is_tiny((double)x) ? (float)PM_TINY : 0;
}

/* Words are copied, since the state may hold I32. */
void pm_reference_cache_write(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_cache_write_params *p = c->params;
    const int32_t *position = (const int32_t *)c->in[1] + p->position_offset;
    for (uint64_t i = first; i < last; i++) {
        uint64_t j = i % p->dims[3], row = i / p->dims[3] % p->dims[2], outer = i / p->dims[3] / p->dims[2];
        uint64_t b = outer / p->dims[1];
        int64_t slot = position[b * p->position_stride] + (int64_t)row;
        if (slot < 0 || slot >= p->n_slots) continue;
        uint64_t at = p->state_offset + b * p->state_stride[0] + outer % p->dims[1] * p->state_stride[1] +
                      (uint64_t)slot * p->state_stride[2] + j * p->state_stride[3];
        uint64_t from = p->x_offset + pm_strided(i - j, p->dims, p->x_stride, 4);
        float bound = 0;
        if (j < p->turned) {
            const turn t = {
                (const float *)c->in[0] + from,
                (const float *)c->in[2] + p->cos_offset + b * p->cos_stride[0] + row * p->cos_stride[1],
                (const float *)c->in[3] + p->sin_offset + b * p->sin_stride[0] + row * p->sin_stride[1],
                p->x_stride[3], p->turned / 2};
            ((float *)c->out)[at] = turned_element(&t, j, &bound);
        } else
            ((uint32_t *)c->out)[at] = ((const uint32_t *)c->in[0])[from + j * p->x_stride[3]];
        if (c->bound) c->bound[at] = bound;
    }
}

static void set_word(const pm_call *c, uint64_t at, uint32_t value) {
    ((uint32_t *)c->out)[at] = value;
    if (c->bound) c->bound[at] = 0;
}

static void advance_sequence(const pm_call *c, uint64_t b) {
    const pm_advance_params *p = c->params;
    const uint32_t *loop = (const uint32_t *)c->out + p->loop_offset + b;
    uint32_t id = ((const uint32_t *)c->in[0])[p->next_offset + b * p->next_stride], logit = 0;
    uint64_t at = p->loop_offset + b, n = p->n; /* n: from a word to the next one of the same sequence */
    if (loop[PM_LOOP_HALT * n]) return;
    if (p->has_logit) logit = ((const uint32_t *)c->in[1])[p->logit_offset + b * p->logit_stride];
    if (id > INT32_MAX || (logit & 0x7f800000u) == 0x7f800000u) {
        set_word(c, at + PM_LOOP_HALT * n, PM_HALT_STUCK);
        return;
    }
    uint32_t count = loop[PM_LOOP_COUNT * n], n_ends = loop[PM_LOOP_N_ENDS * n];
    set_word(c, at + (PM_LOOP_IDS + count % PM_LOOP_RING) * n, id);
    set_word(c, at + PM_LOOP_COUNT * n, count + 1);
    set_word(c, at + PM_LOOP_POSITION * n, loop[PM_LOOP_POSITION * n] + 1);
    set_word(c, at + PM_LOOP_ID * n, id);
    for (uint32_t i = 0; i < n_ends && i < PM_LOOP_MAX_ENDS; i++)
        if (loop[(PM_LOOP_ENDS + i) * n] == id) set_word(c, at + PM_LOOP_HALT * n, PM_HALT_END);
}

void pm_reference_advance(const pm_call *c, uint64_t first, uint64_t last) {
    for (uint64_t b = first; b < last; b++) advance_sequence(c, b);
}

void pm_reference_rotary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_rotary_params *p = c->params;
    for (uint64_t i = first; i < last; i++) {
        uint64_t j = i % p->dims[3], row = i / p->dims[3] % p->dims[2],
                 b = i / p->dims[3] / p->dims[2] / p->dims[1];
        const turn t = {
            (const float *)c->in[0] + p->x_offset + pm_strided(i - j, p->dims, p->x_stride, 4),
            (const float *)c->in[1] + p->cos_offset + b * p->cos_stride[0] + row * p->cos_stride[1],
            (const float *)c->in[2] + p->sin_offset + b * p->sin_stride[0] + row * p->sin_stride[1],
            p->x_stride[3], p->turned / 2};
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, 4);
        float kept = t.x[j * t.x_stride], bound = flushed_bound(kept);
        ((float *)c->out)[at] = j < p->turned ? turned_element(&t, j, &bound) : kept;
        if (c->bound) c->bound[at] = bound;
    }
}

/* Where the queries of element i's batch begin. */
static int64_t shift_position(const pm_call *c, uint64_t i) {
    const pm_rel_shift_params *p = c->params;
    uint64_t b = i;
    if (!p->has_position) return 0;
    for (uint32_t k = PM_DIMS; k-- > p->batch_axis + 1;) b /= p->dims[k];
    return ((const int32_t *)c->in[1])[p->position_offset + b % p->dims[p->batch_axis] * p->position_stride];
}

void pm_reference_rel_shift(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_rel_shift_params *p = c->params;
    const uint32_t *x = (const uint32_t *)c->in[0] + p->x_offset;
    for (uint64_t i = first; i < last; i++) {
        int64_t position = shift_position(c, i);
        int64_t s = (int64_t)(i % p->dims[4]), t = (int64_t)(i / p->dims[4] % p->dims[3]);
        int64_t distance = t + position - s, most = (int64_t)p->n_distances - 1;
        distance = distance < 0 ? 0 : distance < most ? distance : most;
        uint64_t row = pm_strided(i / p->dims[4], p->dims, p->x_stride, 4);
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, PM_DIMS);
        ((uint32_t *)c->out)[at] = x[row + (uint64_t)distance * p->x_stride[4]];
        if (c->bound) c->bound[at] = 0;
    }
}
