/* Functions over rows, free of branches, so that compilers make vectors of them; libm's take a call an element. */
#include "runtime/cpu/fast.h"
#include "runtime/cpu/fast_exp.h"

/* As act_gelu of shaders/activation.glsl, with both sides of its branch: near 0 erf by its polynomial, else through erfc, so
 * that small results keep their digits. */
static inline float gelu(float x) {
    float z = x * 0.707106781f, a = fabsf(z), far = a < 10.0f ? a : 10.0f, near = a < 1.0f ? z : 1.0f;
    float u = near * near, r = -0.000563144684f;
    r = r * u + 0.00491755875f;
    r = r * u - 0.0267113186f;
    r = r * u + 0.112801805f;
    r = r * u - 0.37612325f;
    r = r * u + 1.12837911f;
    float centre = x * (0.5f + 0.5f * (near * r));
    float t = 1.0f / (1.0f + 0.4f * far), q = -0.116798669f;
    q = q * t + 0.24506323f;
    q = q * t + 0.00666418532f;
    q = q * t + 0.213956699f;
    q = q * t + 0.19850263f;
    q = q * t + 0.226737112f;
    q = q * t + 0.225624159f;
    float tail = 0.5f * pm_fast_exp(-far * far) * (t * q), low = x > -14.0f ? x : -14.0f;
    float outer = x > 0 ? x - (x < 20.0f ? x : 20.0f) * tail : low * tail;
    outer = x < -14.0f ? 0.0f : outer; /* not -inf * 0 */
    return a >= 1.0f ? outer : centre; /* NaN is in neither tail */
}

PM_CLONES void pm_fast_gelu_row(uint64_t n, float *x) {
    for (uint64_t i = 0; i < n; i++) x[i] = gelu(x[i]);
}
