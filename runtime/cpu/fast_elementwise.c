/* Fast unary and binary. An item is a row: the innermost dim, so that indices are worked out once a row. Functions that are
 * not of floats, and gates, go to the reference kernels. */
#include "runtime/cpu/fast.h"
#include "runtime/cpu/reference.h"
#include "shaders/elementwise.params.h"

#include <assert.h>

/* PM_FN_NEG .. PM_FN_QUICK_GELU. */
static float unary_fn(uint32_t fn, float x) {
    switch (fn) {
    case PM_FN_NEG: return -x;
    case PM_FN_ABS: return fabsf(x);
    case PM_FN_EXP: return expf(x);
    case PM_FN_LOG: return logf(x);
    case PM_FN_SQRT: return sqrtf(x);
    case PM_FN_RSQRT: return 1.0f / sqrtf(x);
    case PM_FN_TANH: return tanhf(x);
    case PM_FN_ERF: return erff(x);
    case PM_FN_SIGMOID: return 1.0f / (1.0f + expf(-x));
    case PM_FN_RELU: return x > 0 ? x : 0;
    case PM_FN_GELU: return x < -20 ? 0 : 0.5f * x * (1.0f + erff(x * 0.70710678f)); /* not -inf * 0 */
    case PM_FN_GELU_TANH:
        return x < -20 ? 0 : 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case PM_FN_SILU: return x < -110 ? 0 : x / (1.0f + expf(-x));
    case PM_FN_QUICK_GELU: return x < -64 ? 0 : x / (1.0f + expf(-1.702f * x));
    default: assert(0 && "a function of floats"); return x;
    }
}

float pm_fast_act(uint32_t act, float x) {
    static const uint32_t fns[PM_N_ACT] = {
        [PM_ACT_NONE] = PM_FN_COPY,       [PM_ACT_RELU] = PM_FN_RELU,
        [PM_ACT_GELU] = PM_FN_GELU,       [PM_ACT_GELU_TANH] = PM_FN_GELU_TANH,
        [PM_ACT_SILU] = PM_FN_SILU,       [PM_ACT_TANH] = PM_FN_TANH,
        [PM_ACT_SIGMOID] = PM_FN_SIGMOID, [PM_ACT_QUICK_GELU] = PM_FN_QUICK_GELU,
    };
    return act == PM_ACT_NONE ? x : unary_fn(fns[act], x);
}

void pm_fast_act_row(uint32_t act, uint64_t n, float *x) {
    if (act == PM_ACT_GELU)
        pm_fast_gelu_row(n, x);
    else if (act != PM_ACT_NONE)
        for (uint64_t i = 0; i < n; i++) x[i] = pm_fast_act(act, x[i]);
}

/* Rows are short pieces of long dense operands, or the innermost dim of strided ones. */
enum { PIECE = 4096 };
static uint64_t n_rows(uint32_t n, const uint32_t *dims, bool dense) {
    return dense ? ((uint64_t)n + PIECE - 1) / PIECE : n / dims[PM_DIMS - 1];
}

uint64_t pm_fast_unary_items(const pm_call *c) {
    const pm_unary_params *p = c->params;
    return n_rows(p->n, p->dims, c->spec[PM_SPEC_DENSE]);
}

static void unary_row(uint32_t fn, uint64_t n, const uint32_t *x, uint64_t xs, uint32_t *y, uint64_t ys) {
    if (fn == PM_FN_COPY) {
        for (uint64_t i = 0; i < n; i++) y[i * ys] = x[i * xs];
        return;
    }
    const float *from = (const float *)x;
    float *to = (float *)y;
    for (uint64_t i = 0; i < n; i++) to[i * ys] = unary_fn(fn, from[i * xs]);
}

void pm_fast_unary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_unary_params *p = c->params;
    uint32_t fn = c->spec[PM_SPEC_FN];
    bool dense = c->spec[PM_SPEC_DENSE];
    uint64_t row = dense ? PIECE : p->dims[PM_DIMS - 1];
    if (fn >= PM_FN_NOT) {
        pm_reference_unary(c, first * row, last * row < p->n ? last * row : p->n);
        return;
    }
    for (uint64_t i = first; i < last; i++) {
        uint64_t n = p->n - i * row < row ? p->n - i * row : row;
        const uint32_t *x = (const uint32_t *)c->in[0] + p->x_offset;
        uint32_t *y = (uint32_t *)c->out + p->y_offset;
        if (dense)
            unary_row(fn, n, x + i * row, 1, y + i * row, 1);
        else
            unary_row(fn, n, x + pm_strided(i, p->dims, p->x_stride, PM_DIMS - 1), p->x_stride[PM_DIMS - 1],
                      y + pm_strided(i, p->dims, p->y_stride, PM_DIMS - 1), p->y_stride[PM_DIMS - 1]);
    }
}

uint64_t pm_fast_binary_items(const pm_call *c) {
    const pm_binary_params *p = c->params;
    return n_rows(p->n, p->dims, c->spec[PM_SPEC_DENSE]);
}

/* Strides of one row: a, b, y. */
typedef struct row_strides {
    uint64_t a, b, y;
} row_strides;

#define EACH(expression)                                                                                     \
    for (uint64_t i = 0; i < n; i++) {                                                                       \
        float l = a[i * s.a], r = b[i * s.b];                                                                \
        y[i * s.y] = (expression);                                                                           \
    }                                                                                                        \
    break

static void binary_row(uint32_t fn, uint64_t n, const float *a, const float *b, float *y, row_strides s) {
    switch (fn) {
    case PM_FN_ADD: EACH(l + r);
    case PM_FN_SUB: EACH(l - r);
    case PM_FN_MUL: EACH(l * r);
    case PM_FN_DIV: EACH(l / r);
    case PM_FN_GLU_SILU: EACH(unary_fn(PM_FN_SILU, l) * r);
    case PM_FN_GLU_GELU: EACH(unary_fn(PM_FN_GELU, l) * r);
    case PM_FN_GLU_GELU_TANH: EACH(unary_fn(PM_FN_GELU_TANH, l) * r);
    case PM_FN_GLU_QUICK_GELU: EACH(unary_fn(PM_FN_QUICK_GELU, l) * r);
    default: assert(0 && "a row of is_fast");
    }
}

static bool is_fast(uint32_t fn) {
    return fn <= PM_FN_DIV || (fn >= PM_FN_GLU_SILU && fn <= PM_FN_GLU_GELU_TANH) ||
           fn == PM_FN_GLU_QUICK_GELU;
}

/* Pieces of a row within limits (elementwise.params.h), then as any other. */
static void limited_row(uint32_t fn, float limit, uint64_t n, const float *a, const float *b, float *y,
                        row_strides s) {
    enum { MOST = 256 };
    float l[MOST], r[MOST];
    for (uint64_t at = 0; at < n; at += MOST) {
        uint64_t some = n - at < MOST ? n - at : MOST;
        for (uint64_t i = 0; i < some; i++) {
            float x = a[(at + i) * s.a], z = b[(at + i) * s.b];
            l[i] = x < limit ? x : limit;
            r[i] = (z < -limit ? -limit : z < limit ? z : limit) + 1;
        }
        binary_row(fn, some, l, r, y + at * s.y, (row_strides){1, 1, s.y});
    }
}

void pm_fast_binary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_binary_params *p = c->params;
    uint32_t fn = c->spec[PM_SPEC_FN];
    bool dense = c->spec[PM_SPEC_DENSE];
    uint64_t row = dense ? PIECE : p->dims[PM_DIMS - 1];
    if (!is_fast(fn)) {
        pm_reference_binary(c, first * row, last * row < p->n ? last * row : p->n);
        return;
    }
    const int in = PM_DIMS - 1;
    row_strides strides =
        dense ? (row_strides){1, 1, 1} : (row_strides){p->a_stride[in], p->b_stride[in], p->y_stride[in]};
    for (uint64_t i = first; i < last; i++) {
        uint64_t n = p->n - i * row < row ? p->n - i * row : row;
        uint64_t at_a = dense ? i * row : pm_strided(i, p->dims, p->a_stride, in);
        uint64_t at_b = dense ? i * row : pm_strided(i, p->dims, p->b_stride, in);
        uint64_t at_y = dense ? i * row : pm_strided(i, p->dims, p->y_stride, in);
        const float *a = (const float *)c->in[0] + p->a_offset + at_a,
                    *b = (const float *)c->in[1] + p->b_offset + at_b;
        float *y = (float *)c->out + p->y_offset + at_y;
        if (c->spec[PM_SPEC_LIMITED])
            limited_row(fn, p->limit, n, a, b, y, strides);
        else
            binary_row(fn, n, a, b, y, strides);
    }
}
