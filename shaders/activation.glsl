// Element functions: activations (PM_ACT_*) and the functions of the unary and binary kernels (PM_FN_*).
// Built from +, *, /, exp, log, sqrt and inversesqrt alone, whose errors the Vulkan specification bounds. Its tanh may be off
// by far more than rounding, and there is no erf. No finite result relies on infinities or NaN, which a device may lose. Where it
// keeps them, limits at infinity and NaN come out as in the reference: branches for large arguments are taken on `>=`, which
// NaN never is, and a factor that grows is cut where the other has vanished, since inf * 0 is NaN.
#ifndef PM_ACTIVATION_GLSL
#define PM_ACTIVATION_GLSL
#include "common.params.h"

// 1 / (1 + exp(-x)), with a negative exponent on both sides so that exp never overflows.
float act_sigmoid(float x) {
    float e = exp(-abs(x));
    float d = 1.0 / (1.0 + e);
    return x >= 0.0 ? d : e * d;
}

// |error| < 2^-21. Near 0 an odd polynomial (minimax, relative error 5e-9), since 1 - 2 / (exp(2x) + 1) cancels there.
float act_tanh(float x) {
    float a = abs(x);
    if (a >= 0.625) {
        float big = 1.0 - 2.0 / (exp(2.0 * min(a, 10.0)) + 1.0);
        return x >= 0.0 ? big : -big;
    }
    float u = x * x;
    float r = -0.00570498267;
    r = r * u + 0.0206390843;
    r = r * u - 0.0537397154;
    r = r * u + 0.133314416;
    r = r * u - 0.333332807;
    return x + x * (u * r);
}

// erf(x) for |x| <= 1: x P(x^2), minimax, relative error 4e-8.
float erf_near(float x) {
    float u = x * x;
    float r = -0.000563144684;
    r = r * u + 0.00491755875;
    r = r * u - 0.0267113186;
    r = r * u + 0.112801805;
    r = r * u - 0.37612325;
    r = r * u + 1.12837911;
    return x * r;
}

// erfc(z) for z in 1 .. 10: exp(-z^2) t Q(t), t = 1 / (1 + 0.4 z), minimax, relative error 3e-8 before rounding.
float erfc_far(float z) {
    float t = 1.0 / (1.0 + 0.4 * z);
    float r = -0.116798669;
    r = r * t + 0.24506323;
    r = r * t + 0.00666418532;
    r = r * t + 0.213956699;
    r = r * t + 0.19850263;
    r = r * t + 0.226737112;
    r = r * t + 0.225624159;
    return exp(-z * z) * (t * r);
}

// |error| < 2^-21.
float act_erf(float x) {
    float a = abs(x);
    if (a >= 1.0) {
        float big = 1.0 - erfc_far(min(a, 10.0));
        return x >= 0.0 ? big : -big;
    }
    return erf_near(x);
}

// x * 0.5 * (1 + erf(x / sqrt(2))). Far below 0 through erfc, so that the small result keeps its digits.
float act_gelu(float x) {
    float z = x * 0.707106781;
    if (abs(z) >= 1.0) {
        float tail = 0.5 * erfc_far(min(abs(z), 10.0));
        if (x >= 0.0) return x - min(x, 20.0) * tail;
        return x < -14.0 ? 0.0 : x * tail;
    }
    return x * (0.5 + 0.5 * erf_near(z));
}

// 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3), which keeps the digits of small results.
float act_gelu_tanh(float x) {
    float v = clamp(x, -10.0, 10.0); // past them the sigmoid is 0 or 1, and x^3 could overflow
    float s = act_sigmoid(1.59576912 * (v + 0.044715 * (v * v * v)));
    return x < -10.0 ? 0.0 : x * s;
}

float act_silu(float x) { return x < -110.0 ? 0.0 : x * act_sigmoid(x); }

float act_quick_gelu(float x) { return x < -64.0 ? 0.0 : x * act_sigmoid(1.702 * x); }

float activate(uint act, float x) {
    switch (act) {
    case PM_ACT_RELU: return max(x, 0.0);
    case PM_ACT_GELU: return act_gelu(x);
    case PM_ACT_GELU_TANH: return act_gelu_tanh(x);
    case PM_ACT_SILU: return act_silu(x);
    case PM_ACT_TANH: return act_tanh(x);
    case PM_ACT_SIGMOID: return act_sigmoid(x);
    case PM_ACT_QUICK_GELU: return act_quick_gelu(x);
    }
    return x;
}

// The score cap of some attentions; 0 is none.
float soft_cap(float z, float cap) { return cap != 0.0 ? cap * act_tanh(z / cap) : z; }

// Truncates; what does not fit becomes the nearest integer that does.
int to_int(float x) {
    if (x >= 2147483648.0) return 0x7fffffff;
    if (x <= -2147483648.0) return int(0x80000000u);
    return int(x);
}

uint unary_fn(uint fn, uint word) {
    float x = uintBitsToFloat(word);
    float y = 0.0;
    switch (fn) {
    case PM_FN_NEG: y = -x; break;
    case PM_FN_ABS: y = abs(x); break;
    case PM_FN_EXP: y = exp(x); break;
    case PM_FN_LOG: y = log(x); break;
    case PM_FN_SQRT: y = sqrt(x); break;
    case PM_FN_RSQRT: y = inversesqrt(x); break;
    case PM_FN_TANH: y = act_tanh(x); break;
    case PM_FN_ERF: y = act_erf(x); break;
    case PM_FN_SIGMOID: y = act_sigmoid(x); break;
    case PM_FN_RELU: y = max(x, 0.0); break;
    case PM_FN_GELU: y = act_gelu(x); break;
    case PM_FN_GELU_TANH: y = act_gelu_tanh(x); break;
    case PM_FN_SILU: y = act_silu(x); break;
    case PM_FN_QUICK_GELU: y = act_quick_gelu(x); break;
    case PM_FN_NOT: return word == 0u ? 1u : 0u;
    case PM_FN_F32_TO_I32: return uint(to_int(x));
    case PM_FN_I32_TO_F32: y = float(int(word)); break;
    case PM_FN_I32_TO_BOOL: return word != 0u ? 1u : 0u;
    default: return word; // PM_FN_COPY
    }
    return floatBitsToUint(y);
}

uint truth(bool b) { return b ? 1u : 0u; }

// Division rounds towards 0; by 0 it gives 0, and so does the one quotient that does not fit.
int divide(int a, int b) {
    if (b == 0 || (b == -1 && a == int(0x80000000u))) return 0;
    return a / b;
}

uint binary_int(uint fn, int a, int b) {
    switch (fn) {
    case PM_FN_ADD: return uint(a + b);
    case PM_FN_SUB: return uint(a - b);
    case PM_FN_MUL: return uint(a * b);
    case PM_FN_DIV: return uint(divide(a, b));
    case PM_FN_MAX: return uint(max(a, b));
    case PM_FN_MIN: return uint(min(a, b));
    case PM_FN_LT: return truth(a < b);
    case PM_FN_LE: return truth(a <= b);
    case PM_FN_GT: return truth(a > b);
    case PM_FN_GE: return truth(a >= b);
    case PM_FN_EQ: return truth(a == b);
    }
    return truth(a != b); // PM_FN_NE
}

uint binary_float(uint fn, float a, float b) {
    float y = 0.0;
    switch (fn) {
    case PM_FN_ADD: y = a + b; break;
    case PM_FN_SUB: y = a - b; break;
    case PM_FN_MUL: y = a * b; break;
    case PM_FN_DIV: y = a / b; break;
    case PM_FN_MAX: y = max(a, b); break;
    case PM_FN_MIN: y = min(a, b); break;
    case PM_FN_LT: return truth(a < b);
    case PM_FN_LE: return truth(a <= b);
    case PM_FN_GT: return truth(a > b);
    case PM_FN_GE: return truth(a >= b);
    case PM_FN_EQ: return truth(a == b);
    case PM_FN_NE: return truth(a != b);
    case PM_FN_GLU_SILU: y = act_silu(a) * b; break;
    case PM_FN_GLU_GELU: y = act_gelu(a) * b; break;
    case PM_FN_GLU_GELU_TANH: y = act_gelu_tanh(a) * b; break;
    case PM_FN_GLU_RELU: y = max(a, 0.0) * b; break;
    case PM_FN_GLU_SIGMOID: y = act_sigmoid(a) * b; break;
    case PM_FN_GLU_QUICK_GELU: y = act_quick_gelu(a) * b; break;
    }
    return floatBitsToUint(y);
}

uint binary_fn(uint fn, uint a, uint b) {
    if (fn == PM_FN_AND) return truth(a != 0u && b != 0u);
    if (fn == PM_FN_OR) return truth(a != 0u || b != 0u);
    if (fn >= PM_FN_I32) return binary_int(fn - PM_FN_I32, int(a), int(b));
    return binary_float(fn, uintBitsToFloat(a), uintBitsToFloat(b));
}

#endif
