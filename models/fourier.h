/* The discrete Fourier transform of any length whose prime factors are small, as 400 = 4 * 4 * 5 * 5. */
#ifndef PM_FOURIER_H
#define PM_FOURIER_H

#include "graph/base.h"

enum { PM_FOURIER_MAX = 8192, PM_FOURIER_FACTORS = 16 };

typedef struct pm_complex {
    double re, im;
} pm_complex;

typedef struct pm_fourier {
    int n, n_factors, factors[PM_FOURIER_FACTORS];
    pm_complex *roots; /* e^(-2 pi i k / n) */
    pm_complex *room;  /* of one butterfly, so that a pm_fourier belongs to one thread at a time */
} pm_fourier;

/* n: 1 .. PM_FOURIER_MAX. */
pm_status pm_fourier_open(int n, pm_fourier *out) PM_MUST_USE;
void pm_fourier_close(pm_fourier *f);
/* out[k] = sum of x[j] e^(-2 pi i j k / n); n elements each, apart from each other. */
void pm_fourier_run(const pm_fourier *f, const pm_complex *x, pm_complex *out);

#endif
