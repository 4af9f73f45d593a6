/* Fast softmax, log_softmax, layer_norm, rms_norm. Rows whose elements do not lie side by side go to the reference kernels. */
#include "runtime/cpu/fast.h"
#include "runtime/cpu/reference.h"
#include "shaders/rowwise.params.h"
#include "shaders/softmax.params.h"

uint64_t pm_fast_softmax_items(const pm_call *c) {
    return pm_reference_softmax_items(c);
}
uint64_t pm_fast_layer_norm_items(const pm_call *c) {
    return pm_reference_layer_norm_items(c);
}
uint64_t pm_fast_rms_norm_items(const pm_call *c) {
    return pm_reference_rms_norm_items(c);
}

/* ---- softmax: without key mask, bias, sink and softcap; they keep the reference's general walk ---- */

static void softmax_row(const pm_call *c, const pm_softmax_params *p, uint64_t index) {
    uint64_t b = index / ((uint64_t)p->dims[1] * p->dims[2] * p->dims[3]), t = index % p->dims[3];
    const pm_keys keys = pm_keys_of_row(c, &p->masks, 1, (uint64_t[]){b, t}, p->dims[4]);
    const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(index, p->dims, p->x_stride, 4);
    float *y = (float *)c->out + p->y_offset + pm_strided(index, p->dims, p->y_stride, 4);
    float most = (float)PM_MASKED_F32;
    double sum = 0; /* one float after the other would lose more in a long row than the bound allows */
    for (int64_t s = keys.first; s < keys.end; s++) {
        float z = x[s] * p->scale;
        if (x[s] > (float)PM_MASKED_F32 && z > most) most = z;
    }
    for (int64_t s = 0; s < p->dims[4]; s++) {
        float z = 0;
        bool in = s >= keys.first && s < keys.end && x[s] > (float)PM_MASKED_F32 &&
                  (z = x[s] * p->scale) > (float)PM_MASKED_F32;
        y[s] = in ? expf(z - most) : 0;
        sum += (double)y[s];
    }
    float share = sum > 0 ? (float)(1.0 / sum) : 0;
    for (int64_t s = keys.first; s < keys.end; s++) y[s] *= share;
}

void pm_fast_softmax(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_softmax_params *p = c->params;
    bool plain = !(c->spec[PM_SPEC_MASK] & (PM_MASK_KEYS | PM_MASK_BIAS | PM_MASK_SINK)) && p->softcap == 0;
    if (!plain || (p->dims[4] > 1 && (p->x_stride[4] != 1 || p->y_stride[4] != 1))) {
        pm_reference_softmax(c, first, last);
        return;
    }
    for (uint64_t i = first; i < last; i++) softmax_row(c, p, i);
}

/* ---- log_softmax ---- */

uint64_t pm_fast_log_softmax_items(const pm_call *c) {
    return pm_reference_log_softmax_items(c);
}

void pm_fast_log_softmax(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_norm_params *p = c->params;
    for (uint64_t row = first; row < last; row++) {
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
        float *y = (float *)c->out + p->y_offset + pm_strided(row, p->dims, p->y_stride, 4), most = x[0];
        uint64_t step = p->x_col_stride;
        double sum = 0;
        for (uint64_t i = 1; i < p->n_cols; i++) most = x[i * step] > most ? x[i * step] : most;
        for (uint64_t i = 0; i < p->n_cols; i++) sum += (double)expf(x[i * step] - most);
        float log_sum = (float)log(sum);
        for (uint64_t i = 0; i < p->n_cols; i++) y[i * p->y_col_stride] = x[i * step] - most - log_sum;
    }
}

/* ---- norms ---- */

/* In doubles: the bound of a sum (PM_DOT) does not grow with its length, as the error of a chain of floats does. */
static double sum_of_lanes(const double *acc) {
    double sum = 0;
    for (int j = 0; j < PM_LANES; j++) sum += acc[j];
    return sum;
}

PM_CLONES static double sum_of(const float *x, uint64_t n) {
    double acc[PM_LANES] = {0};
    uint64_t i = 0;
    for (; i + PM_LANES <= n; i += PM_LANES)
        for (uint64_t j = 0; j < PM_LANES; j++) acc[j] += (double)x[i + j];
    for (; i < n; i++) acc[0] += (double)x[i];
    return sum_of_lanes(acc);
}

PM_CLONES static double sum_of_squares(const float *x, float mean, uint64_t n) {
    double acc[PM_LANES] = {0};
    uint64_t i = 0;
    for (; i + PM_LANES <= n; i += PM_LANES)
        for (uint64_t j = 0; j < PM_LANES; j++) acc[j] += (double)((x[i + j] - mean) * (x[i + j] - mean));
    for (; i < n; i++) acc[0] += (double)((x[i] - mean) * (x[i] - mean));
    return sum_of_lanes(acc);
}

static void norm_row(const pm_call *c, const pm_norm_params *p, uint64_t row, bool centred) {
    const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
    const float *gamma = c->spec[PM_SPEC_HAS_GAMMA] ? (const float *)c->in[1] + p->gamma_offset : NULL;
    const float *beta =
        centred && c->spec[PM_SPEC_HAS_BETA] ? (const float *)c->in[2] + p->beta_offset : NULL;
    float *y = (float *)c->out + p->y_offset + pm_strided(row, p->dims, p->y_stride, 4);
    double n = (double)p->n_cols;
    float mean = centred ? (float)(sum_of(x, p->n_cols) / n) : 0;
    float r = (float)(1 / sqrt(sum_of_squares(x, mean, p->n_cols) / n + (double)p->eps));
    for (uint64_t i = 0; i < p->n_cols; i++) {
        float v = (x[i] - mean) * r;
        if (gamma) v *= gamma[i];
        y[i] = beta ? v + beta[i] : v;
    }
}

static bool rows_are_dense(const pm_norm_params *p) {
    return p->n_cols == 1 || (p->x_col_stride == 1 && p->y_col_stride == 1);
}

void pm_fast_layer_norm(const pm_call *c, uint64_t first, uint64_t last) {
    if (!rows_are_dense(c->params))
        pm_reference_layer_norm(c, first, last);
    else
        for (uint64_t row = first; row < last; row++) norm_row(c, c->params, row, true);
}

void pm_fast_rms_norm(const pm_call *c, uint64_t first, uint64_t last) {
    if (!rows_are_dense(c->params))
        pm_reference_rms_norm(c, first, last);
    else
        for (uint64_t row = first; row < last; row++) norm_row(c, c->params, row, false);
}
