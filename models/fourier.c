/* See fourier.h: decimation in time (Cooley, Tukey 1965) by one factor a level. */
#include "models/fourier.h"

#include <math.h>

static pm_complex times(pm_complex a, pm_complex b) {
    return (pm_complex){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

/* Fours first: they are the cheapest. */
static void factorise(pm_fourier *f) {
    int left = f->n;
    while (left % 4 == 0) f->factors[f->n_factors++] = 4, left /= 4;
    for (int p = 2; left > 1; p++)
        while (left % p == 0) f->factors[f->n_factors++] = p, left /= p;
}

pm_status pm_fourier_open(int n, pm_fourier *out) {
    *out = (pm_fourier){.n = n};
    if (n < 1 || n > PM_FOURIER_MAX)
        return pm_raise(PM_ERR_USAGE, "Fourier transform: length %d, expected 1..%d", n, PM_FOURIER_MAX);
    out->roots = pm_calloc((size_t)n, sizeof *out->roots);
    out->room = pm_calloc((size_t)n, sizeof *out->room);
    if (!out->roots || !out->room) {
        pm_fourier_close(out);
        return PM_ERR_MEMORY;
    }
    for (int k = 0; k < n; k++) {
        double angle = -6.28318530717958647692 * k / n;
        out->roots[k] = (pm_complex){cos(angle), sin(angle)};
    }
    factorise(out);
    return PM_OK;
}

void pm_fourier_close(pm_fourier *f) {
    pm_free(f->roots);
    pm_free(f->room);
    *f = (pm_fourier){0};
}

static void four(pm_complex a[4]) {
    pm_complex s = {a[0].re + a[2].re, a[0].im + a[2].im}, d = {a[0].re - a[2].re, a[0].im - a[2].im};
    pm_complex t = {a[1].re + a[3].re, a[1].im + a[3].im}, e = {a[1].re - a[3].re, a[1].im - a[3].im};
    a[0] = (pm_complex){s.re + t.re, s.im + t.im};
    a[1] = (pm_complex){d.re + e.im, d.im - e.re};
    a[2] = (pm_complex){s.re - t.re, s.im - t.im};
    a[3] = (pm_complex){d.re - e.im, d.im + e.re};
}

/* `p` parts of `m` each lie behind each other in out, transformed; joins them. Entry k of part r is turned by root r k. */
static void join(const pm_fourier *f, int p, int m, pm_complex *out) {
    pm_complex *room = f->room;
    int step = f->n / (p * m);
    for (int k = 0; k < m; k++) {
        for (int r = 0; r < p; r++) room[r] = times(out[r * m + k], f->roots[r * k * step]);
        if (p == 4) {
            four(room);
            for (int q = 0; q < 4; q++) out[q * m + k] = room[q];
            continue;
        }
        for (int q = 0; q < p; q++) {
            pm_complex sum = room[0];
            for (int r = 1; r < p; r++) {
                pm_complex turned = times(room[r], f->roots[r * q % p * m * step]);
                sum = (pm_complex){sum.re + turned.re, sum.im + turned.im};
            }
            out[q * m + k] = sum;
        }
    }
}

/* Entries x[0], x[stride], ... */
static void transform(const pm_fourier *f, int level, const pm_complex *x, int stride, pm_complex *out) {
    if (level == f->n_factors) {
        *out = *x;
        return;
    }
    int p = f->factors[level], m = f->n / (stride * p);
    for (int r = 0; r < p; r++) transform(f, level + 1, x + r * stride, stride * p, out + r * m);
    join(f, p, m, out);
}

void pm_fourier_run(const pm_fourier *f, const pm_complex *x, pm_complex *out) {
    transform(f, 0, x, 1, out);
}
