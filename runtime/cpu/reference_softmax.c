/* Reference kernels softmax, log_softmax: shaders/softmax.params.h, rowwise.params.h. An item is a row. */
#include "runtime/cpu/reference.h"
#include "shaders/rowwise.params.h"
#include "shaders/softmax.params.h"

uint64_t pm_reference_softmax_items(const pm_call *c) {
    const pm_softmax_params *p = c->params;
    return (uint64_t)p->dims[0] * p->dims[1] * p->dims[2] * p->dims[3];
}

/* One row, walked three times: the largest score, the sum, the shares. */
typedef struct row {
    const pm_call *c;
    const pm_softmax_params *p;
    const float *x;
    pm_bias_row bias;
    float sink; /* minus infinity: there is none */
    pm_keys keys;
} row;

static bool present(const row *r, int64_t s, pm_valued *out) {
    if (!pm_key_seen(&r->keys, s)) return false;
    double x = (double)r->x[(uint64_t)s * r->p->x_stride[4]];
    *out = pm_score_value(x, 0, r->p->scale, r->p->softcap, (double)pm_bias_of(&r->bias, s));
    return out->y > PM_MASKED_F32 && x > PM_MASKED_F32;
}

static row find_row(const pm_call *c, uint64_t index) {
    const pm_softmax_params *p = c->params;
    uint32_t mask = c->spec[PM_SPEC_MASK];
    uint64_t b = index / ((uint64_t)p->dims[1] * p->dims[2] * p->dims[3]), t = index % p->dims[3];
    row r = {.c = c,
             .p = p,
             .x = (const float *)c->in[0] + p->x_offset + pm_strided(index, p->dims, p->x_stride, 4)};
    r.keys = pm_keys_of_row(c, &p->masks, 1, (uint64_t[]){b, t}, p->dims[4]);
    if (mask & PM_MASK_RELATIVE) {
        const float *table = (const float *)c->in[4] + p->bias_offset +
                             pm_strided(index / p->dims[3], p->dims, p->bias_stride, 3);
        r.bias = (pm_bias_row){table, 1, (int32_t)p->bias_stride[PM_SOFTMAX_RELATIVE_ORIGIN] - r.keys.at,
                               p->bias_stride[PM_SOFTMAX_RELATIVE_COUNT]};
    } else if (mask & PM_MASK_BIAS) {
        const float *first =
            (const float *)c->in[4] + p->bias_offset + pm_strided(index, p->dims, p->bias_stride, 4);
        r.bias = (pm_bias_row){.at = first, .stride = p->bias_stride[4]};
    }
    const float *sink =
        (const float *)c->in[4] + p->bias_offset + pm_strided(index, p->dims, p->bias_stride, 4);
    r.sink = pm_sink_of(mask & PM_MASK_SINK ? sink : NULL);
    return r;
}

static void softmax_row(const pm_call *c, uint64_t index) {
    row r = find_row(c, index);
    uint64_t y_row = r.p->y_offset + pm_strided(index, r.p->dims, r.p->y_stride, 4);
    pm_valued z, most = {(double)r.sink, 0};
    for (int64_t s = 0; s < r.p->dims[4]; s++)
        if (present(&r, s, &z) && z.y > most.y) most = z;
    double sum = isinf(r.sink) ? 0 : exp((double)r.sink - most.y);
    double sum_error = sum > 0 ? sum * pm_exp_relative((double)r.sink - most.y, 0, most.error) : 0;
    for (int64_t s = 0; s < r.p->dims[4]; s++) {
        if (!present(&r, s, &z)) continue;
        double e = exp(z.y - most.y);
        sum += e;
        sum_error += e * pm_exp_relative(z.y - most.y, z.error, most.error);
    }
    double sum_relative = sum > 0 ? sum_error / sum + PM_DOT * PM_U : 0;
    for (int64_t s = 0; s < r.p->dims[4]; s++) {
        uint64_t at = y_row + (uint64_t)s * r.p->y_stride[4];
        double y = 0, error = 0;
        if (present(&r, s, &z)) {
            y = exp(z.y - most.y) / sum;
            error = y * (pm_exp_relative(z.y - most.y, z.error, most.error) + sum_relative) + PM_TINY;
        }
        ((float *)c->out)[at] = (float)y;
        if (c->bound) c->bound[at] = (float)error;
    }
}

void pm_reference_softmax(const pm_call *c, uint64_t first, uint64_t last) {
    for (uint64_t i = first; i < last; i++) softmax_row(c, i);
}

/* ---- log_softmax ---- */

uint64_t pm_reference_log_softmax_items(const pm_call *c) {
    return ((const pm_norm_params *)c->params)->n_rows;
}

/* y = z - log(sum exp(z)), z = x - max: the roundings of z and y, the error of the logarithm (absolute near 1, and the sum
 * may lie on the other side of 2), and the relative error of the sum. */
static void log_softmax_row(const pm_call *c, uint64_t index) {
    const pm_norm_params *p = c->params;
    const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(index, p->dims, p->x_stride, 4);
    uint64_t y_row = p->y_offset + pm_strided(index, p->dims, p->y_stride, 4), step = p->x_col_stride;
    double most = -INFINITY, sum = 0, sum_error = 0;
    for (uint64_t i = 0; i < p->n_cols; i++) most = fmax(most, (double)x[i * step]);
    for (uint64_t i = 0; i < p->n_cols; i++) {
        double z = (double)x[i * step] - most, e = exp(z);
        sum += e;
        if (e > 0) sum_error += e * pm_exp_relative(z, 0, 0); /* not 0 * inf */
    }
    pm_valued log_sum = pm_unary_value(PM_FN_LOG, sum);
    double error = fmax(log_sum.error, 4.76837158203125e-07) + sum_error / sum + PM_DOT * PM_U;
    for (uint64_t i = 0; i < p->n_cols; i++) {
        double z = (double)x[i * step] - most, y = z - log_sum.y;
        uint64_t at = y_row + i * p->y_col_stride;
        ((float *)c->out)[at] = (float)y;
        if (c->bound) c->bound[at] = (float)(error + PM_ULP * fabs(z) + PM_ULP * fabs(y) + PM_TINY);
    }
}

void pm_reference_log_softmax(const pm_call *c, uint64_t first, uint64_t last) {
    for (uint64_t i = first; i < last; i++) log_softmax_row(c, i);
}
