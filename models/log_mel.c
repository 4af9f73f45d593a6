/* Whisper's features (pumice/audio.h), as Hugging Face's WhisperFeatureExtractor has them: a short-time Fourier transform
 * over the samples, mirrored at both ends, then bands, logarithm and floor. Two frames go through one complex transform, as its real and its
 * imaginary part. Sums are in double precision: a quiet band beside a loud one is 80 dB below it. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "graph/base.h"
#include "models/fourier.h"
#include "pumice/audio.h"

enum { MAX_MELS = 512 };
#define PI 3.14159265358979323846

/* A triangle over the bins first .. first + n - 1. */
typedef struct band {
    int first, n;
    double *weights;
} band;

typedef struct extractor {
    pm_mel_options o;
    pm_fourier fourier;
    int n_bins;
    double *window;
    pm_complex *frames, *spectrum; /* n_fft each: two frames together */
    double *power[2];              /* n_bins each */
    band *bands;
    pm_arena arena;
} extractor;

/* Slaney's Auditory Toolbox (1998): linear up to 1000 Hz, logarithmic above. */
static double hz_of_mel(double mel) {
    return mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27);
}

static double mel_of_hz(double hz) {
    return hz < 1000 ? hz * 3 / 200 : 15 + log(hz / 1000) * 27 / log(6.4);
}

/* Rises from `low` to `middle` and falls to `high`, with the area of a band one Hz wide. */
static pm_status make_band(extractor *e, band *b, const double hz[3]) {
    double step = (double)e->o.rate / e->o.n_fft;
    b->first = (int)ceil(hz[0] / step);
    int last = (int)floor(hz[2] / step);
    if (last >= e->n_bins) last = e->n_bins - 1;
    b->n = last >= b->first ? last - b->first + 1 : 0;
    b->weights = pm_arena_alloc(&e->arena, (size_t)(b->n + 1) * sizeof *b->weights);
    if (!b->weights) return PM_ERR_MEMORY;
    for (int i = 0; i < b->n; i++) {
        double at = (b->first + i) * step;
        double up = (at - hz[0]) / (hz[1] - hz[0]), down = (hz[2] - at) / (hz[2] - hz[1]);
        b->weights[i] = fmax(0, fmin(up, down)) * 2 / (hz[2] - hz[0]);
    }
    return PM_OK;
}

static pm_status make_bands(extractor *e) {
    int n = e->o.n_mels;
    double top = mel_of_hz((double)e->o.rate / 2);
    e->bands = pm_arena_alloc(&e->arena, (size_t)n * sizeof *e->bands);
    if (!e->bands) return PM_ERR_MEMORY;
    for (int i = 0; i < n; i++) {
        double hz[3];
        for (int k = 0; k < 3; k++) hz[k] = hz_of_mel(top * (i + k) / (n + 1));
        PM_TRY(make_band(e, &e->bands[i], hz));
    }
    return PM_OK;
}

static pm_status open_extractor(extractor *e) {
    size_t n = (size_t)e->o.n_fft;
    e->n_bins = e->o.n_fft / 2 + 1;
    PM_TRY(pm_fourier_open(e->o.n_fft, &e->fourier));
    e->window = pm_arena_alloc(&e->arena, n * sizeof *e->window);
    e->frames = pm_arena_alloc(&e->arena, n * sizeof *e->frames);
    e->spectrum = pm_arena_alloc(&e->arena, n * sizeof *e->spectrum);
    for (int k = 0; k < 2; k++)
        e->power[k] = pm_arena_alloc(&e->arena, (size_t)e->n_bins * sizeof *e->power[k]);
    if (!e->window || !e->frames || !e->spectrum || !e->power[0] || !e->power[1]) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) e->window[i] = 0.5 - 0.5 * cos(2 * PI * (double)i / (double)n);
    return make_bands(e);
}

static void close_extractor(extractor *e) {
    pm_fourier_close(&e->fourier);
    pm_arena_free(&e->arena);
}

/* Sample i of n, mirrored at the first and at the last, which are not repeated. */
static double mirrored(const float *samples, int64_t n, int64_t i) {
    if (i < 0) i = -i;
    if (i >= n) i = 2 * (n - 1) - i;
    return (double)samples[i];
}

/* The power of frames t and t + 1 (zeros when it is past the last). */
static void transform_pair(extractor *e, const float *samples, int64_t n, int64_t t, bool both) {
    int n_fft = e->o.n_fft;
    int64_t at = t * e->o.hop - n_fft / 2;
    for (int i = 0; i < n_fft; i++) {
        double w = e->window[i];
        e->frames[i].re = w * mirrored(samples, n, at + i);
        e->frames[i].im = both ? w * mirrored(samples, n, at + e->o.hop + i) : 0;
    }
    pm_fourier_run(&e->fourier, e->frames, e->spectrum);
    for (int k = 0; k < e->n_bins;
         k++) { /* the parts of z that are like a real and like an imaginary series' */
        pm_complex z = e->spectrum[k], y = e->spectrum[(n_fft - k) % n_fft];
        double a = z.re + y.re, b = z.im - y.im, c = z.im + y.im, d = y.re - z.re;
        e->power[0][k] = (a * a + b * b) / 4;
        e->power[1][k] = (c * c + d * d) / 4;
    }
}

static double band_sum(const band *b, const double *power) {
    double sum = 0;
    for (int i = 0; i < b->n; i++) sum += b->weights[i] * power[b->first + i];
    return sum;
}

static void fill(extractor *e, const float *samples, int64_t n, int64_t frames, float *out) {
    float most = -10;
    int64_t total = e->o.n_mels * frames;
    for (int64_t t = 0; t < frames; t += 2) {
        int both = t + 1 < frames;
        transform_pair(e, samples, n, t, both);
        for (int m = 0; m < e->o.n_mels; m++)
            for (int k = 0; k <= both; k++) {
                float x = (float)log10(fmax(band_sum(&e->bands[m], e->power[k]), 1e-10));
                out[m * frames + t + k] = x;
                if (x > most) most = x;
            }
    }
    for (int64_t i = 0; i < total; i++) out[i] = (fmaxf(out[i], most - 8) + 4) / 4;
}

static pm_status check(const pm_mel_options *o, size_t n) {
    if (o->rate < 1000 || o->rate > 768000 || o->n_fft < 16 || o->n_fft > PM_FOURIER_MAX || o->hop < 1 ||
        o->hop > o->n_fft || o->n_mels < 1 || o->n_mels > MAX_MELS)
        return pm_raise(PM_ERR_USAGE,
                        "log-mel features: rate %" PRId32 ", n_fft %" PRId32 ", hop %" PRId32 ", %" PRId32
                        " mels, expected 1000..768000, 16..%d, 1..n_fft, 1..%d",
                        o->rate, o->n_fft, o->hop, o->n_mels, PM_FOURIER_MAX, MAX_MELS);
    if (n >= (size_t)o->n_fft && n <= (size_t)1 << 40) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "log-mel features: %zu samples, expected %" PRId32 "..2^40", n, o->n_fft);
}

pm_status pm_log_mel(const float *samples, size_t n, const pm_mel_options *options, float **out_features,
                     int64_t *out_frames) {
    extractor e = {.o = options ? *options : (pm_mel_options){0}};
    int64_t frames;
    *out_features = NULL;
    if (!e.o.rate) e.o.rate = 16000;
    if (!e.o.n_fft) e.o.n_fft = 400;
    if (!e.o.hop) e.o.hop = 160;
    if (!e.o.n_mels) e.o.n_mels = 80;
    PM_TRY(check(&e.o, n));
    *out_frames = frames = (int64_t)n / e.o.hop;
    pm_status s = open_extractor(&e);
    float *out = s == PM_OK ? pm_calloc((size_t)(frames * e.o.n_mels), sizeof *out) : NULL;
    if (s == PM_OK && !out) s = PM_ERR_MEMORY;
    if (s == PM_OK) fill(&e, samples, (int64_t)n, frames, out);
    close_extractor(&e);
    *out_features = out;
    return s;
}
