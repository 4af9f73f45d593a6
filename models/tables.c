/* Position tables, computed on the host (see blocks.h): Vulkan bounds neither sin nor cos. Angles are rounded
 * to fp32 where PyTorch's models round them. */
#include "models/blocks.h"

#include <math.h>

/* Llama 3.1's inference code: long waves slowed, short ones kept. */
static float llama3_frequency(const pm_rope *r, float f) {
    float context = (float)r->original_positions, wave = 6.28318530718f / f;
    if (wave < context / r->high_freq_factor) return f;
    if (wave > context / r->low_freq_factor) return f / r->factor;
    float smooth = (context / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1.0f - smooth) * f / r->factor + smooth * f;
}

/* The dim whose wave turns n times within the original context. */
static double turning_dim(const pm_rope *r, double n, int64_t columns) {
    double turns = (double)r->original_positions / (n * 6.283185307179586);
    return (double)columns * log(turns) / (2 * log((double)r->theta));
}

/* YaRN (Peng et al. 2023): dims that turn often are kept, those that turn seldom slowed, with a ramp between. */
static float yarn_frequency(const pm_rope *r, float f, int64_t i, int64_t columns) {
    double low = turning_dim(r, (double)r->beta_fast, columns),
           high = turning_dim(r, (double)r->beta_slow, columns);
    if (r->truncate) low = floor(low), high = ceil(high);
    low = fmax(low, 0), high = fmin(high, (double)columns - 1);
    if (low == high) high += 0.001;
    float slowed = (float)fmin(fmax(((double)i - low) / (high - low), 0), 1);
    return f / r->factor * slowed + f * (1 - slowed);
}

/* PM_ROPE_DYNAMIC is the default up to max_position_embeddings, where models end here. */
static float rope_frequency(const pm_rope *r, int64_t i, int64_t columns) {
    float f = 1.0f / powf(r->theta, (float)(2 * i) / (float)columns);
    if (r->kind == PM_ROPE_LINEAR) return f / r->factor;
    if (r->kind == PM_ROPE_LLAMA3) return llama3_frequency(r, f);
    return r->kind == PM_ROPE_YARN ? yarn_frequency(r, f, i, columns) : f;
}

static float rope_magnitude(const pm_rope *r) {
    if (r->kind != PM_ROPE_YARN) return 1;
    if (r->attention_factor != 0) return r->attention_factor;
    return r->factor > 1 ? (float)(0.1 * log((double)r->factor) + 1) : 1;
}

static void fill_rope(const pm_table *t, float *out, double (*fn)(double)) {
    int64_t half = t->columns / 2;
    double magnitude = (double)rope_magnitude(t->rope);
    for (int64_t i = 0; i < half; i++) {
        float f = rope_frequency(t->rope, i, t->columns);
        for (int64_t p = 0; p < t->rows; p++) {
            float angle = (float)p * f;
            out[p * t->columns + i] = out[p * t->columns + half + i] = (float)(fn((double)angle) * magnitude);
        }
    }
}

void pm_fill_rope_cos(const pm_table *table, float *out) {
    fill_rope(table, out, cos);
}

void pm_fill_rope_sin(const pm_table *table, float *out) {
    fill_rope(table, out, sin);
}

/* Slopes are powers of 2^(-8/n) for n heads; for other than powers of two, those of the next lower one and then every
 * other one of the next higher. */
static double alibi_slope(int64_t head, int64_t n_heads) {
    int64_t lower = 1;
    while (lower * 2 <= n_heads) lower *= 2;
    bool beyond = head >= lower;
    double step = 8.0 / (double)(beyond ? 2 * lower : lower);
    return pow(2, -step * (double)(beyond ? 2 * (head - lower) + 1 : head + 1));
}

void pm_fill_alibi(const pm_table *t, float *out) {
    for (int64_t h = 0; h < t->rows; h++) {
        float slope = (float)alibi_slope(h, t->rows);
        for (int64_t s = 0; s < t->columns; s++) out[h * t->columns + s] = slope * (float)s;
    }
}

/* Attention is all you need, 3.5: sin on even, cos on odd channels. */
void pm_fill_sinusoids(const pm_table *t, float *out) {
    for (int64_t i = 0; i < t->columns; i++) {
        float f = expf((float)(i & ~(int64_t)1) * (float)(-log(10000.0) / (double)t->columns));
        for (int64_t p = 0; p < t->rows; p++) {
            double angle = (double)((float)p * f);
            out[p * t->columns + i] = (float)(i % 2 ? cos(angle) : sin(angle));
        }
    }
}

static void fill_halves(const pm_table *t, double steps, float *out) {
    int64_t half = t->columns / 2;
    for (int64_t i = 0; i < half; i++) {
        double f = exp((double)i * -log(10000.0) / steps);
        for (int64_t p = 0; p < t->rows; p++) {
            out[p * t->columns + i] = (float)sin((double)p * f);
            out[p * t->columns + half + i] = (float)cos((double)p * f);
        }
    }
}

void pm_fill_sinusoid_halves(const pm_table *t, float *out) {
    fill_halves(t, (double)t->columns / 2, out);
}

void pm_fill_sinusoid_fairseq(const pm_table *t, float *out) {
    fill_halves(t, (double)(t->columns / 2) - 1, out);
}
