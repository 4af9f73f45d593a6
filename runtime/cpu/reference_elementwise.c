/* Reference kernels unary, binary, where: shaders/elementwise.params.h. An item is an element. */
#include "runtime/cpu/reference.h"
#include "shaders/elementwise.params.h"

#include <string.h>

uint64_t pm_reference_unary_items(const pm_call *c) {
    return ((const pm_unary_params *)c->params)->n;
}
uint64_t pm_reference_binary_items(const pm_call *c) {
    return ((const pm_binary_params *)c->params)->n;
}
uint64_t pm_reference_where_items(const pm_call *c) {
    return ((const pm_where_params *)c->params)->n;
}

/* Truncation, with what C leaves undefined pinned down: NaN gives 0, values beyond the range its ends. */
static int32_t to_i32(float x) {
    if (!(x == x)) return 0;
    if (x >= 2147483648.0f) return INT32_MAX;
    if (x < -2147483648.0f) return INT32_MIN;
    return (int32_t)x;
}

static float as_f32(uint32_t word) {
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

static uint32_t as_word(float x) {
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word;
}

static uint32_t unary_word(uint32_t fn, uint32_t x, double *out_error) {
    *out_error = 0;
    switch (fn) {
    case PM_FN_COPY: return x; /* words of any type */
    case PM_FN_NOT: return x == 0;
    case PM_FN_I32_TO_BOOL: return x != 0;
    case PM_FN_F32_TO_I32: return (uint32_t)to_i32(as_f32(x));
    case PM_FN_I32_TO_F32: *out_error = PM_ULP * fabs((double)(int32_t)x); return as_word((float)(int32_t)x);
    default: break;
    }
    pm_valued v = pm_unary_value(fn, (double)as_f32(x));
    *out_error = v.error;
    return as_word((float)v.y);
}

void pm_reference_unary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_unary_params *p = c->params;
    const uint32_t *x = c->in[0];
    uint32_t *y = c->out;
    for (uint64_t i = first; i < last; i++) {
        double error;
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, PM_DIMS);
        y[at] = unary_word(c->spec[PM_SPEC_FN], x[p->x_offset + pm_strided(i, p->dims, p->x_stride, PM_DIMS)],
                           &error);
        if (c->bound) c->bound[at] = (float)error;
    }
}

static uint32_t integer_word(uint32_t fn, int32_t a, int32_t b) {
    switch (fn) {
    case PM_FN_ADD: return (uint32_t)a + (uint32_t)b;
    case PM_FN_SUB: return (uint32_t)a - (uint32_t)b;
    case PM_FN_MUL: return (uint32_t)a * (uint32_t)b;
    case PM_FN_DIV: return b == 0 || (a == INT32_MIN && b == -1) ? 0 : (uint32_t)(a / b);
    case PM_FN_MAX: return (uint32_t)(a > b ? a : b);
    case PM_FN_MIN: return (uint32_t)(a < b ? a : b);
    case PM_FN_LT: return a < b;
    case PM_FN_LE: return a <= b;
    case PM_FN_GT: return a > b;
    case PM_FN_GE: return a >= b;
    case PM_FN_EQ: return a == b;
    case PM_FN_NE: return a != b;
    case PM_FN_AND: return a != 0 && b != 0;
    case PM_FN_OR: return a != 0 || b != 0;
    default: return 0;
    }
}

static const uint32_t gate_act[] = {
    [PM_FN_GLU_SILU - PM_FN_GLU_SILU] = PM_ACT_SILU,
    [PM_FN_GLU_GELU - PM_FN_GLU_SILU] = PM_ACT_GELU,
    [PM_FN_GLU_GELU_TANH - PM_FN_GLU_SILU] = PM_ACT_GELU_TANH,
    [PM_FN_GLU_RELU - PM_FN_GLU_SILU] = PM_ACT_RELU,
    [PM_FN_GLU_SIGMOID - PM_FN_GLU_SILU] = PM_ACT_SIGMOID,
    [PM_FN_GLU_QUICK_GELU - PM_FN_GLU_SILU] = PM_ACT_QUICK_GELU,
};

static bool is_comparison(uint32_t fn) {
    return fn >= PM_FN_LT && fn <= PM_FN_NE;
}

static pm_valued float_value(uint32_t fn, double a, double b) {
    pm_valued v = {0, 0};
    switch (fn) {
    case PM_FN_ADD: v.y = a + b; break;
    case PM_FN_SUB: v.y = a - b; break;
    case PM_FN_MUL: v.y = a * b; break;
    case PM_FN_DIV: /* by more than 2^126, Vulkan leaves it open: 1 / b may be flushed */
        v.y = a / b;
        v.error = (fabs(b) > 8.507059173023462e37 ? 1 : 2.5 * PM_ULP) * fabs(v.y);
        break;
    case PM_FN_MAX: return (pm_valued){a > b ? a : b, 0};
    case PM_FN_MIN: return (pm_valued){a < b ? a : b, 0};
    case PM_FN_LT: return (pm_valued){a < b, 0};
    case PM_FN_LE: return (pm_valued){a <= b, 0};
    case PM_FN_GT: return (pm_valued){a > b, 0};
    case PM_FN_GE: return (pm_valued){a >= b, 0};
    case PM_FN_EQ: return (pm_valued){a == b, 0};
    case PM_FN_NE: return (pm_valued){a != b, 0};
    default: /* gates: act(a) * b */
        v = pm_act_value(gate_act[fn - PM_FN_GLU_SILU], a);
        v.error = v.error * fabs(b);
        v.y *= b;
    }
    v.error += PM_ULP * fabs(v.y) + PM_TINY; /* the last operation's rounding */
    return v;
}

static uint32_t float_word(uint32_t fn, double a, double b, double *out_error) {
    pm_valued v = float_value(fn, a, b);
    if (pm_is_tiny(a) || pm_is_tiny(b)) v = pm_or_flushed(v, float_value(fn, pm_flush(a), pm_flush(b)));
    *out_error = v.error;
    return is_comparison(fn) ? v.y != 0 : as_word((float)v.y);
}

/* A gate of operands within limits; the sum beside it is rounded. */
static uint32_t limited_word(uint32_t fn, double limit, double a, double b, double *out_error) {
    a = a < limit ? a : limit;
    b = (b < -limit ? -limit : b < limit ? b : limit) + 1;
    uint32_t word = float_word(fn, a, b, out_error);
    *out_error += PM_U * fabs((double)as_f32(word));
    return word;
}

void pm_reference_binary(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_binary_params *p = c->params;
    const uint32_t *a = c->in[0], *b = c->in[1];
    uint32_t *y = c->out, fn = c->spec[PM_SPEC_FN];
    bool integers = fn & PM_FN_I32 || fn == PM_FN_AND || fn == PM_FN_OR;
    for (uint64_t i = first; i < last; i++) {
        double error = 0;
        uint32_t left = a[p->a_offset + pm_strided(i, p->dims, p->a_stride, PM_DIMS)];
        uint32_t right = b[p->b_offset + pm_strided(i, p->dims, p->b_stride, PM_DIMS)];
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, PM_DIMS);
        double l = (double)as_f32(left), r = (double)as_f32(right);
        if (integers)
            y[at] = integer_word(fn & ~(uint32_t)PM_FN_I32, (int32_t)left, (int32_t)right);
        else
            y[at] = c->spec[PM_SPEC_LIMITED] ? limited_word(fn, (double)p->limit, l, r, &error)
                                             : float_word(fn, l, r, &error);
        if (c->bound) c->bound[at] = (float)error;
    }
}

void pm_reference_where(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_where_params *p = c->params;
    const uint32_t *cond = c->in[0], *a = c->in[1], *b = c->in[2];
    uint32_t *y = c->out;
    for (uint64_t i = first; i < last; i++) {
        bool yes = cond[p->c_offset + pm_strided(i, p->dims, p->c_stride, PM_DIMS)] != 0;
        uint64_t at = p->y_offset + pm_strided(i, p->dims, p->y_stride, PM_DIMS);
        y[at] = yes ? a[p->a_offset + pm_strided(i, p->dims, p->a_stride, PM_DIMS)]
                    : b[p->b_offset + pm_strided(i, p->dims, p->b_stride, PM_DIMS)];
        if (c->bound) c->bound[at] = 0;
    }
}
