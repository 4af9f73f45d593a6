/* See fold_eval.h. Real functions are computed in double and rounded once, as the reference kernels do. */
#include "graph/fold_eval.h"

#include <math.h>

static double eval_rsqrt(double x) {
    return 1.0 / sqrt(x);
}
static double eval_sigmoid(double x) {
    return 1.0 / (1.0 + exp(-x));
}
static double eval_relu(double x) {
    return x > 0.0 ? x : 0.0;
}
static double eval_neg(double x) {
    return -x;
}

static double (*const unary_f32[PM_N_OPS])(double) = {
    [PM_OP_NEG] = eval_neg,
    [PM_OP_ABS] = fabs,
    [PM_OP_EXP] = exp,
    [PM_OP_LOG] = log,
    [PM_OP_SQRT] = sqrt,
    [PM_OP_RSQRT] = eval_rsqrt,
    [PM_OP_SIGMOID] = eval_sigmoid,
    [PM_OP_TANH] = tanh,
    [PM_OP_ERF] = erf,
    [PM_OP_RELU] = eval_relu,
};

/* Every case is one sum, product or choice of doubles; rounding it to float equals the float operation. */
static bool arith_f32(pm_op op, double a, double b, double *out) {
    switch (op) {
    case PM_OP_ADD: *out = a + b; return true;
    case PM_OP_SUB: *out = a - b; return true;
    case PM_OP_MUL: *out = a * b; return true;
    case PM_OP_DIV: *out = a / b; return true;
    case PM_OP_MAX: *out = a > b ? a : b; return true;
    case PM_OP_MIN: *out = a < b ? a : b; return true;
    default: return false;
    }
}

static bool arith_i32(pm_op op, int64_t a, int64_t b, int64_t *out) {
    switch (op) {
    case PM_OP_ADD: *out = a + b; break;
    case PM_OP_SUB: *out = a - b; break;
    case PM_OP_MUL: *out = a * b; break;
    case PM_OP_DIV:
        if (b == 0) return false;
        *out = a / b;
        break;
    case PM_OP_MAX: *out = a > b ? a : b; break;
    case PM_OP_MIN: *out = a < b ? a : b; break;
    default: return false;
    }
    return *out >= INT32_MIN && *out <= INT32_MAX;
}

/* Every integer of 32 bits is a double, so that one comparison serves both types. */
static bool compare(pm_op op, double a, double b, int32_t *out) {
    switch (op) {
    case PM_OP_LT: *out = a < b; return true;
    case PM_OP_LE: *out = a <= b; return true;
    case PM_OP_GT: *out = a > b; return true;
    case PM_OP_GE: *out = a >= b; return true;
    case PM_OP_EQ: *out = a == b; return true;
    case PM_OP_NE: *out = a != b; return true;
    default: return false;
    }
}

static bool eval_f32(pm_op op, const pm_word *in, pm_word *out) {
    double value;
    if (isnan(in[0].f)) return false;
    if (op == PM_OP_TO_I32) {
        if (!(fabsf(in[0].f) < 2147483648.0f)) return false;
        out->i = (int32_t)in[0].f;
        return true;
    }
    if (unary_f32[op]) {
        value = unary_f32[op]((double)in[0].f);
    } else {
        if (isnan(in[1].f)) return false;
        if (compare(op, (double)in[0].f, (double)in[1].f, &out->i)) return true;
        if (!arith_f32(op, (double)in[0].f, (double)in[1].f, &value)) return false;
    }
    out->f = (float)value;
    return !isnan(value);
}

static bool eval_i32(pm_op op, const pm_word *in, pm_word *out) {
    int64_t value;
    if (op == PM_OP_TO_F32) {
        out->f = (float)in[0].i;
        return true;
    }
    if (op == PM_OP_TO_BOOL) {
        out->i = in[0].i != 0;
        return true;
    }
    if (compare(op, in[0].i, in[1].i, &out->i)) return true;
    if (!arith_i32(op, in[0].i, in[1].i, &value)) return false;
    out->i = (int32_t)value;
    return true;
}

static bool eval_bool(pm_op op, const pm_word *in, pm_word *out) {
    switch (op) {
    case PM_OP_NOT: out->i = !in[0].i; return true;
    case PM_OP_AND: out->i = in[0].i && in[1].i; return true;
    case PM_OP_OR: out->i = in[0].i || in[1].i; return true;
    case PM_OP_TO_F32: out->f = in[0].i ? 1.0f : 0.0f; return true;
    case PM_OP_TO_I32: out->i = in[0].i != 0; return true;
    default: return false;
    }
}

bool pm_fold_eval(pm_op op, pm_dtype type, const pm_word *in, pm_word *out) {
    if (op == PM_OP_WHERE) {
        *out = in[0].i ? in[1] : in[2];
        return true;
    }
    return type == PM_F32   ? eval_f32(op, in, out)
           : type == PM_I32 ? eval_i32(op, in, out)
                            : eval_bool(op, in, out);
}
