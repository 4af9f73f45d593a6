/* The table of reference kernels, and the scalar functions that they share with their errors.
 *
 * Errors follow the precision that the Vulkan specification asks of fp32 ("Precision and Operation of SPIR-V Instructions"):
 * add, subtract, multiply correctly rounded; divide 2.5 ULP; exp 3 + 2|x| ULP; log 3 ULP, or 2^-21 absolute in [0.5, 2];
 * inversesqrt 2 ULP; sqrt as 1 / inversesqrt. tanh and erf are formulas of shaders/activation.glsl: tanh within 2^-20
 * relative, erf within 2^-20 absolute. What a function gives for an operand below the smallest normal number may be what it
 * gives for 0. */
#include "runtime/cpu/reference.h"

#include <assert.h>

#define FORMULA_ERROR 9.5367431640625e-07 /* 2^-20 */

static const pm_cpu_kernel table[PM_N_KERNELS] = {
#define ROW(id, name, grain) [PM_KERNEL_##id] = {pm_reference_##name##_items, pm_reference_##name, grain}
    ROW(UNARY, unary, 4096),
    ROW(BINARY, binary, 4096),
    ROW(WHERE, where, 4096),
    ROW(REDUCE, reduce, 16),
    ROW(ARGMAX, argmax, 1),
    ROW(SAMPLE, sample, 1),
    ROW(SOFTMAX, softmax, 4),
    ROW(LAYER_NORM, layer_norm, 8),
    ROW(RMS_NORM, rms_norm, 8),
    ROW(MATMUL, matmul, 64),
    ROW(ATTENTION, attention, 1),
    ROW(GATHER, gather, 4096),
    ROW(CACHE_WRITE, cache_write, 4096),
    ROW(ADVANCE, advance, 1),
    ROW(ROTARY, rotary, 2048),
    ROW(LOG_SOFTMAX, log_softmax, 4),
    ROW(REL_SHIFT, rel_shift, 4096),
    ROW(TOP_K, top_k, 4),
    ROW(GROUPED_MATMUL, grouped_matmul, 64),
#undef ROW
};

const pm_cpu_kernel *pm_reference_kernel(pm_kernel k) {
    assert(table[k].run);
    return &table[k];
}

/* y (1 - y) slope damps the error of exp; then one addition and one division. */
static pm_valued sigmoid_value(double x) {
    double y = 1 / (1 + exp(-x));
    return (pm_valued){y, y * PM_ULP * ((1 - y) * (3 + 2 * fabs(x)) + 4) + PM_TINY};
}

/* |x|, but far below 0, where the result is 0, it does not grow on. */
static double reach(double x) {
    return x < -20 ? 20 : fabs(x);
}

static pm_valued gelu_value(double x) {
    double y = x < -50 ? 0 : 0.5 * x * (1 + erf(x * 0.70710678118654752440)); /* not -inf * 0 */
    return (pm_valued){y, 0.5 * reach(x) * (FORMULA_ERROR + 2 * PM_U) + 4 * PM_U * fabs(y) + PM_TINY};
}

/* The argument carries four roundings; |a| (1 - tanh(a)^2) stays below 0.45. */
static pm_valued gelu_tanh_value(double x) {
    double y = x < -50 ? 0 : 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    return (pm_valued){y, 0.5 * reach(x) * (FORMULA_ERROR + 6 * PM_U) + 4 * PM_U * fabs(y) + PM_TINY};
}

static pm_valued silu_value(double x) {
    if (x < -1000) return (pm_valued){0, PM_TINY}; /* not -inf * 0 */
    pm_valued s = sigmoid_value(x);
    return (pm_valued){x * s.y, fabs(x) * s.error + 2 * PM_U * fabs(x * s.y) + PM_TINY};
}

/* The argument carries two roundings. */
static pm_valued quick_gelu_value(double x) {
    double z = 1.702 * x;
    if (x < -1000) return (pm_valued){0, PM_TINY}; /* not -inf * 0 */
    pm_valued s = sigmoid_value(z);
    double error = s.error + 2 * PM_U * fabs(z) * s.y * (1 - s.y);
    return (pm_valued){x * s.y, fabs(x) * error + 2 * PM_U * fabs(x * s.y) + PM_TINY};
}

static pm_valued log_value(double x) {
    double y = log(x);
    double error = x >= 0.5 && x <= 2 ? 4.76837158203125e-07 : 3 * PM_ULP * fabs(y);
    return (pm_valued){y, error + PM_TINY};
}

/* Of an operand that is moved or compared and not computed with. */
static pm_valued exact_value(double y) {
    return (pm_valued){y, y != 0 && pm_is_tiny(y) ? PM_TINY : 0};
}

static pm_valued unary_value(uint32_t fn, double x) {
    double y;
    switch (fn) {
    case PM_FN_COPY: return (pm_valued){x, 0};
    case PM_FN_NEG: return exact_value(-x);
    case PM_FN_ABS: return exact_value(fabs(x));
    case PM_FN_EXP: y = exp(x); return (pm_valued){y, (3 + 2 * fabs(x)) * PM_ULP * y + PM_TINY};
    case PM_FN_LOG: return log_value(x);
    case PM_FN_SQRT: y = sqrt(x); return (pm_valued){y, 5 * PM_ULP * y + PM_TINY};
    case PM_FN_RSQRT: y = 1 / sqrt(x); return (pm_valued){y, 2 * PM_ULP * y + PM_U * y + PM_TINY};
    case PM_FN_TANH: y = tanh(x); return (pm_valued){y, FORMULA_ERROR * fabs(y) + PM_TINY};
    case PM_FN_ERF: return (pm_valued){erf(x), FORMULA_ERROR};
    case PM_FN_SIGMOID: return sigmoid_value(x);
    case PM_FN_RELU: return exact_value(x > 0 ? x : 0);
    case PM_FN_GELU: return gelu_value(x);
    case PM_FN_GELU_TANH: return gelu_tanh_value(x);
    case PM_FN_SILU: return silu_value(x);
    case PM_FN_QUICK_GELU: return quick_gelu_value(x);
    default: assert(0 && "a function of floats"); return (pm_valued){0, 0};
    }
}

pm_valued pm_or_flushed(pm_valued exact, pm_valued flushed) {
    if (!isfinite(exact.y)) return exact;
    double error = fabs(flushed.y - exact.y) + flushed.error;
    if (!isfinite(error)) error = PM_ANY;
    return (pm_valued){exact.y, error > exact.error ? error : exact.error};
}

pm_valued pm_unary_value(uint32_t fn, double x) {
    pm_valued v = unary_value(fn, x);
    if (isinf(x) && isfinite(v.y))
        v.error = unary_value(fn, copysign(1000, x)).error; /* a limit: not inf * 0 */
    return fn != PM_FN_COPY && x != 0 && pm_is_tiny(x) ? pm_or_flushed(v, unary_value(fn, pm_flush(x))) : v;
}

static const struct {
    uint32_t fn;
    double slope;
} acts[PM_N_ACT] = {
    [PM_ACT_NONE] = {PM_FN_COPY, 1},          [PM_ACT_RELU] = {PM_FN_RELU, 1},
    [PM_ACT_GELU] = {PM_FN_GELU, 1.13},       [PM_ACT_GELU_TANH] = {PM_FN_GELU_TANH, 1.13},
    [PM_ACT_SILU] = {PM_FN_SILU, 1.1},        [PM_ACT_TANH] = {PM_FN_TANH, 1},
    [PM_ACT_SIGMOID] = {PM_FN_SIGMOID, 0.25}, [PM_ACT_QUICK_GELU] = {PM_FN_QUICK_GELU, 1.1},
};

pm_valued pm_act_value(uint32_t act, double x) {
    return pm_unary_value(acts[act].fn, x);
}
double pm_act_slope(uint32_t act) {
    return acts[act].slope;
}

/* softcap * tanh(z / softcap) has slope at most 1: the argument's error stays, tanh's own comes on top. */
pm_valued pm_score_value(double score, double score_error, float scale, float softcap, double bias) {
    double z = score * (double)scale;
    double error = (score_error + PM_TINY) * fabs((double)scale) + 2 * PM_U * fabs(z);
    if (softcap != 0) {
        double t = tanh(z / (double)softcap);
        z = t * (double)softcap;
        error += (FORMULA_ERROR + 8 * PM_U) * fabs(z);
    }
    double sum = z + bias;
    if (bias != 0) error += PM_U * fabs(sum);
    return (pm_valued){sum, error};
}

/* exp may be off by 3 + 2|d| ULP, twice where running sums are rescaled; an error e of the argument is a factor of 1 + e. */
double pm_exp_relative(double d, double z_error, double max_error) {
    return 2 * (3 + 2 * fabs(d)) * PM_ULP + z_error + max_error + PM_U * fabs(d) + 6 * PM_U;
}

pm_keys pm_keys_of_row(const pm_call *c, const pm_mask_params *p, int first_in, const uint64_t bt[2],
                       int64_t n_keys) {
    uint32_t mask = c->spec[PM_SPEC_MASK];
    const int32_t *position = c->in[first_in], *length = c->in[first_in + 1], *words = c->in[first_in + 2];
    int64_t at = (int64_t)bt[1], end = n_keys;
    if (mask & PM_MASK_POSITION) at += position[p->position_offset + bt[0] * p->position_stride];
    if (mask & PM_MASK_LENGTH) {
        uint64_t row = mask & PM_MASK_ROWS ? bt[1] : 0;
        int64_t n = length[p->length_offset + bt[0] * p->length_stride + row];
        end = n < 0 ? 0 : n < end ? n : end;
    }
    pm_keys k = {.at = at, .near_end = end, .end = end};
    if (mask & PM_MASK_CAUSAL && at + 1 < k.near_end) k.near_end = at + 1;
    if (mask & PM_MASK_WINDOW && at - (int64_t)c->spec[PM_SPEC_WINDOW] + 1 > 0)
        k.near_first = at - (int64_t)c->spec[PM_SPEC_WINDOW] + 1;
    if (k.near_end < k.near_first) k.near_end = k.near_first;
    if (mask & PM_MASK_KEYS) k.words = words + p->key_mask_offset + bt[0] * p->key_mask_stride;
    if (mask & PM_MASK_GLOBAL) return k.blocks = k.words + n_keys, k;
    k.first = k.near_first;
    k.end = k.near_end;
    return k;
}
