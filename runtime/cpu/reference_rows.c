/* Reference kernels reduce, argmax, layer_norm, rms_norm: shaders/rowwise.params.h. An item is a row. */
#include "runtime/cpu/reference.h"
#include "shaders/elementwise.params.h"
#include "shaders/rowwise.params.h"

uint64_t pm_reference_reduce_items(const pm_call *c) {
    return ((const pm_reduce_params *)c->params)->n_rows;
}
uint64_t pm_reference_argmax_items(const pm_call *c) {
    return ((const pm_reduce_params *)c->params)->n_rows;
}
uint64_t pm_reference_layer_norm_items(const pm_call *c) {
    return ((const pm_norm_params *)c->params)->n_rows;
}
uint64_t pm_reference_rms_norm_items(const pm_call *c) {
    return ((const pm_norm_params *)c->params)->n_rows;
}

void pm_reference_reduce(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_reduce_params *p = c->params;
    uint32_t fn = c->spec[PM_SPEC_FN];
    for (uint64_t row = first; row < last; row++) {
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
        uint64_t at = p->y_offset + pm_strided(row, p->dims, p->y_stride, 4);
        double sum = 0, magnitude = 0, most = (double)x[0];
        for (uint64_t i = 0; i < p->n_cols; i++) {
            double v = (double)x[i * p->x_col_stride];
            sum += v;
            magnitude += fabs(v);
            if (v > most) most = v;
        }
        double n = fn == PM_FN_MEAN ? (double)p->n_cols : 1;
        ((float *)c->out)[at] = (float)(fn == PM_FN_REDUCE_MAX ? most : sum / n);
        /* a sum's error, with up to 3 PM_TINY flushed at each term; then a division (2.5 ULP) or multiplication by 1/n and
         * the output's rounding */
        double error = (PM_DOT * PM_U * magnitude + 6 * PM_U * fabs(sum) + 3 * PM_TINY * p->n_cols) / n;
        if (fn == PM_FN_REDUCE_MAX) error = most != 0 && pm_is_tiny(most) ? PM_TINY : 0;
        if (c->bound) c->bound[at] = (float)(fn == PM_FN_REDUCE_MAX ? error : error + PM_TINY);
    }
}

/* Exact, also among numbers that a device flushes: the shader compares them as integers. */
void pm_reference_argmax(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_reduce_params *p = c->params;
    for (uint64_t row = first; row < last; row++) {
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
        uint64_t at = p->y_offset + pm_strided(row, p->dims, p->y_stride, 4);
        uint32_t best = 0;
        for (uint32_t i = 1; i < p->n_cols; i++) {
            float most = x[(uint64_t)best * p->x_col_stride], v = x[(uint64_t)i * p->x_col_stride];
            if (v > most || (isnan(most) && !isnan(v))) best = i;
        }
        ((uint32_t *)c->out)[at] = best;
        if (c->bound) c->bound[at] = 0;
    }
}

uint64_t pm_reference_top_k_items(const pm_call *c) {
    return ((const pm_top_k_params *)c->params)->n_rows;
}

/* Whether a stands before b where both are values of x: greater, or a number beside NaN. */
static bool precedes(float a, float b) {
    return a > b || (isnan(b) && !isnan(a));
}

/* Exact, as argmax. The j-th is the first among those that stand behind the one before. */
void pm_reference_top_k(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_top_k_params *p = c->params;
    for (uint64_t row = first; row < last; row++) {
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
        uint64_t at = p->y_offset + pm_strided(row, p->dims, p->y_stride, 4);
        uint32_t before = 0;
        for (uint32_t j = 0; j < p->k; j++) {
            uint32_t best = p->n_cols;
            for (uint32_t i = 0; i < p->n_cols; i++) {
                float v = x[(uint64_t)i * p->x_col_stride], b = x[(uint64_t)before * p->x_col_stride];
                if (j && (precedes(v, b) || (!precedes(b, v) && i <= before))) continue;
                if (best == p->n_cols || precedes(v, x[(uint64_t)best * p->x_col_stride])) best = i;
            }
            before = best;
            ((uint32_t *)c->out)[at + j] = best;
            if (c->bound) c->bound[at + j] = 0;
        }
    }
}

/* One row: y = (x - m) r gamma + beta, where m is the mean (0 for rms_norm) and r = 1/sqrt(mean((x-m)^2) + eps).
 * Errors: mean e_m = (4u sum|x|)/n; each x - m: e_d = e_m + u|x-m|; the variance: e_v = 2 mean(|x-m| e_d) + (4u + 2u) var;
 * r relative: e_v / (2 (var + eps)) + 4u (rsqrt 2 ULP) + u; then three roundings of the product and the output's.
 * Each x, square and sum may also be flushed; nothing is known of r when var + eps is so small that it may. */
static void norm_row(const pm_call *c, const pm_norm_params *p, uint64_t row, bool centred) {
    const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
    const float *gamma = c->spec[PM_SPEC_HAS_GAMMA] ? (const float *)c->in[1] + p->gamma_offset : NULL;
    const float *beta =
        centred && c->spec[PM_SPEC_HAS_BETA] ? (const float *)c->in[2] + p->beta_offset : NULL;
    uint64_t y_row = p->y_offset + pm_strided(row, p->dims, p->y_stride, 4), xs = p->x_col_stride;
    double n = (double)p->n_cols, mean = 0, mean_error = 0, var = 0, var_error = 0;
    for (uint64_t i = 0; i < p->n_cols && centred; i++) {
        mean += (double)x[i * xs];
        mean_error += fabs((double)x[i * xs]);
    }
    mean /= n;
    mean_error = PM_DOT * PM_U * mean_error / n + (centred ? 3 * PM_U * fabs(mean) : 0) + PM_TINY;
    for (uint64_t i = 0; i < p->n_cols; i++) {
        double d = (double)x[i * xs] - mean;
        var += d * d;
        var_error += 2 * fabs(d) * (mean_error + (centred ? PM_U * fabs(d) : 0));
    }
    var /= n;
    var_error = var_error / n + mean_error * mean_error + (PM_DOT + 3) * PM_U * var + 3 * PM_TINY;
    double scale = var + (double)p->eps, r = 1 / sqrt(scale);
    double r_relative = 0.5 * var_error / scale + 6 * PM_U;
    bool any = scale > 0 && scale < 8 * PM_TINY;
    for (uint64_t i = 0; i < p->n_cols; i++) {
        double d = (double)x[i * xs] - mean, g = gamma ? (double)gamma[i] : 1, y = d * r * g;
        double error = fabs(r * g) * (mean_error + PM_U * fabs(d)) + fabs(y) * (r_relative + 3 * PM_U);
        if (beta) y += (double)beta[i];
        uint64_t at = y_row + i * p->y_col_stride;
        ((float *)c->out)[at] = (float)y;
        if (c->bound) c->bound[at] = (float)(any ? PM_ANY : error + PM_ULP * fabs(y) + PM_TINY);
    }
}

void pm_reference_layer_norm(const pm_call *c, uint64_t first, uint64_t last) {
    for (uint64_t row = first; row < last; row++) norm_row(c, c->params, row, true);
}

void pm_reference_rms_norm(const pm_call *c, uint64_t first, uint64_t last) {
    for (uint64_t row = first; row < last; row++) norm_row(c, c->params, row, false);
}
