/* Position tables, computed on the host (see blocks.h): Vulkan bounds neither sin nor cos. Angles are rounded
 * to fp32 where PyTorch's models round them. */
#include "models/blocks.h"

#include <math.h>

const char pm_sinusoids[] = "positions.sinusoids";

/* Frequency i of `half`, with Llama 3's scaling (Llama 3.1's inference code: long waves slowed, short ones
 * kept). */
static float rope_frequency(const pm_rope *r, int64_t i, int64_t half) {
    float f = 1.0f / powf(r->theta, (float)i / (float)half);
    if (r->kind == PM_ROPE_LINEAR) return f / r->factor;
    if (r->kind != PM_ROPE_LLAMA3) return f;
    float context = (float)r->original_positions, wave = 6.28318530718f / f;
    if (wave < context / r->high_freq_factor) return f;
    if (wave > context / r->low_freq_factor) return f / r->factor;
    float smooth = (context / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1.0f - smooth) * f / r->factor + smooth * f;
}

static void fill_rope(const pm_spec *spec, int64_t rows, int64_t columns, float *out, double (*fn)(double)) {
    int64_t half = columns / 2;
    for (int64_t i = 0; i < half; i++) {
        float f = rope_frequency(&spec->rope, i, half);
        for (int64_t p = 0; p < rows; p++) {
            float angle = (float)p * f;
            out[p * columns + i] = out[p * columns + half + i] = (float)fn((double)angle);
        }
    }
}

void pm_fill_rope_cos(const pm_spec *spec, int64_t rows, int64_t columns, float *out) {
    fill_rope(spec, rows, columns, out, cos);
}

void pm_fill_rope_sin(const pm_spec *spec, int64_t rows, int64_t columns, float *out) {
    fill_rope(spec, rows, columns, out, sin);
}

/* Attention is all you need, 3.5: sin on even, cos on odd channels. */
void pm_fill_sinusoids(const pm_spec *spec, int64_t rows, int64_t columns, float *out) {
    (void)spec;
    for (int64_t i = 0; i < columns; i++) {
        float f = expf((float)(i & ~(int64_t)1) * (float)(-log(10000.0) / (double)columns));
        for (int64_t p = 0; p < rows; p++) {
            double angle = (double)((float)p * f);
            out[p * columns + i] = (float)(i % 2 ? cos(angle) : sin(angle));
        }
    }
}
