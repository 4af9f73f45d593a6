/* Samples at another rate (pumice/audio.h). A sample at time t is the sum of the given ones within 64 zero crossings of a
 * sinc under a Kaiser window (Kaiser, Schafer 1980), centred on t; its edge is just below half of the lower rate. The filter is
 * kept as a table of phases between two given samples: all that two rates need (L of from / to = M / L), or 1024, with a
 * straight line between neighbours, when that is more. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "graph/base.h"
#include "pumice/audio.h"

enum { CROSSINGS = 64, MAX_PHASES = 1024, LANES = 8, MIN_RATE = 1000, MAX_RATE = 768000 };
#define BETA       10.06 /* 100 dB: 0.1102 (A - 8.7) */
#define TRANSITION 0.05  /* of the lower rate: (A - 7.95) / (14.36 * 2 CROSSINGS) */
#define PI         3.14159265358979323846

typedef struct filter {
    int64_t m, l;     /* input moves on by m / l samples an output */
    int64_t n_phases; /* rows of taps less 1: the last is phase 0 of the next sample */
    int64_t n_taps;   /* a multiple of LANES */
    int64_t first;    /* the tap of the sample that t lies behind */
    float *taps;      /* [n_phases + 1][n_taps] */
} filter;

/* Modified Bessel function of order 0, by its series. */
static double bessel_i0(double x) {
    double sum = 1, term = 1;
    for (int k = 1; term > sum * 1e-17; k++) {
        term *= (x / (2 * k)) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

/* The filter at `t` input samples from its centre; `scale`: lower rate / input rate. */
static double response(double t, double scale) {
    double edge = (1 - TRANSITION) * scale, reach = CROSSINGS / scale, at = t / reach;
    if (at <= -1 || at >= 1) return 0;
    double x = PI * edge * t, sinc = t == 0 ? 1 : sin(x) / x;
    return edge * sinc * bessel_i0(BETA * sqrt(1 - at * at)) / bessel_i0(BETA);
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* One phase: its sum is 1, so that a constant stays what it is. */
static void fill_phase(const filter *f, double phase, double scale, float *row) {
    double sum = 0;
    for (int64_t i = 0; i < f->n_taps; i++) sum += response((double)(i - f->first) - phase, scale);
    for (int64_t i = 0; i < f->n_taps; i++)
        row[i] = (float)(response((double)(i - f->first) - phase, scale) / sum);
}

static pm_status make_filter(filter *f, int32_t from, int32_t to) {
    int64_t g = common_divisor(from, to);
    double scale = to < from ? (double)to / from : 1;
    int64_t reach = (int64_t)ceil(CROSSINGS / scale);
    *f = (filter){.m = from / g, .l = to / g, .first = reach};
    f->n_phases = f->l < MAX_PHASES ? f->l : MAX_PHASES;
    f->n_taps = (2 * reach + 2 + LANES - 1) / LANES * LANES;
    f->taps = pm_calloc((size_t)((f->n_phases + 1) * f->n_taps), sizeof *f->taps);
    if (!f->taps) return PM_ERR_MEMORY;
    for (int64_t p = 0; p <= f->n_phases; p++)
        fill_phase(f, (double)p / (double)f->n_phases, scale, f->taps + p * f->n_taps);
    return PM_OK;
}

static float dot(const float *a, const float *b, int64_t n) {
    float lanes[LANES] = {0}, sum = 0;
    for (int64_t i = 0; i < n; i += LANES)
        for (int64_t k = 0; k < LANES; k++) lanes[k] += a[i + k] * b[i + k];
    for (int64_t k = 0; k < LANES; k++) sum += lanes[k];
    return sum;
}

/* Output i; x has f->first samples of silence before it, and enough behind. */
static float filtered(const filter *f, const float *x, int64_t i) {
    int64_t at = i * f->m / f->l, rest = i * f->m % f->l;
    int64_t phase = rest * f->n_phases / f->l;
    const float *row = f->taps + phase * f->n_taps;
    float y = dot(x + at, row, f->n_taps);
    float share = (float)(rest * f->n_phases % f->l) / (float)f->l;
    return share == 0 ? y : y + share * (dot(x + at, row + f->n_taps, f->n_taps) - y);
}

static pm_status apply(const filter *f, const float *samples, size_t n, pm_sound *out) {
    size_t n_padded = n + (size_t)(f->first + f->n_taps), n_out;
    float *padded = pm_calloc(n_padded, sizeof *padded);
    if (!padded) return PM_ERR_MEMORY;
    memcpy(padded + f->first, samples, n * sizeof *samples);
    n_out = (n * (size_t)f->l + (size_t)f->m - 1) / (size_t)f->m;
    out->samples = pm_calloc(n_out, sizeof *out->samples);
    for (size_t i = 0; out->samples && i < n_out; i++) out->samples[i] = filtered(f, padded, (int64_t)i);
    out->n = out->samples ? n_out : 0;
    pm_free(padded);
    return out->samples ? PM_OK : PM_ERR_MEMORY;
}

pm_status pm_sound_resample(const float *samples, size_t n, int32_t from, int32_t to, pm_sound *out) {
    filter f = {0};
    *out = (pm_sound){.rate = to};
    if (from < MIN_RATE || from > MAX_RATE || to < MIN_RATE || to > MAX_RATE)
        return pm_raise(PM_ERR_USAGE,
                        "resample: from %" PRId32 " to %" PRId32 " samples a second, expected %d..%d", from,
                        to, MIN_RATE, MAX_RATE);
    if (n == 0 || n > (size_t)1 << 40)
        return pm_raise(PM_ERR_USAGE, "resample: %zu samples, expected 1..2^40", n);
    pm_status s = make_filter(&f, from, to);
    if (s == PM_OK) s = apply(&f, samples, n, out);
    pm_free(f.taps);
    return s;
}
