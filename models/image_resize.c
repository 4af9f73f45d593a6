/* Resizing as PIL does it (pumice/image.h): every new pixel is a weighted sum of old ones, one direction after the other; weights
 * are integers of 22 bits, and each direction rounds to 8 bits. The same arithmetic, so that pixels come out equal. */
#include "models/image.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { WEIGHT_BITS = 22 };

/* ---- filters: weight of a point at distance x, 0 beyond `support` ---- */

static double box(double x) {
    return x > -0.5 && x <= 0.5;
}

static double triangle(double x) {
    x = fabs(x);
    return x < 1 ? 1 - x : 0;
}

static double hamming(double x) {
    x = fabs(x);
    if (x == 0) return 1;
    if (x >= 1) return 0;
    x *= 3.14159265358979323846;
    return sin(x) / x * ((double)0.54f + (double)0.46f * cos(x));
}

/* Keys 1981, a = -0.5. */
static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static double sinc(double x) {
    if (x == 0) return 1;
    x *= 3.14159265358979323846;
    return sin(x) / x;
}

static double lanczos(double x) {
    return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
}

static const struct {
    double (*weight)(double x);
    double support;
} filters[] = {
    [PM_RESAMPLE_LANCZOS] = {lanczos, 3}, [PM_RESAMPLE_BILINEAR] = {triangle, 1},
    [PM_RESAMPLE_BICUBIC] = {cubic, 2},   [PM_RESAMPLE_BOX] = {box, 0.5},
    [PM_RESAMPLE_HAMMING] = {hamming, 1},
};

/* ---- weights of one direction ---- */

typedef struct taps {
    int64_t first, n;
} taps;

typedef struct weights {
    int64_t most; /* weights a new point */
    taps *of;
    int32_t *values; /* [to][most] */
} weights;

static void free_weights(weights *w) {
    pm_free(w->of);
    pm_free(w->values);
}

static pm_status make_weights(int64_t from, int64_t to, pm_resample filter, weights *out) {
    double scale = (double)from / (double)to, stretch = scale < 1 ? 1 : scale;
    double reach = filters[filter].support * stretch;
    *out = (weights){.most = (int64_t)ceil(reach) * 2 + 1};
    double *row = pm_calloc((size_t)out->most, sizeof *row);
    out->of = pm_calloc((size_t)to, sizeof *out->of);
    out->values = pm_calloc((size_t)to * (size_t)out->most, sizeof *out->values);
    pm_status s = row && out->of && out->values ? PM_OK : PM_ERR_MEMORY;
    for (int64_t i = 0; s == PM_OK && i < to; i++) {
        double middle = ((double)i + 0.5) * scale, sum = 0;
        int64_t first = (int64_t)(middle - reach + 0.5), end = (int64_t)(middle + reach + 0.5);
        if (first < 0) first = 0;
        if (end > from) end = from;
        for (int64_t k = 0; k < end - first; k++) {
            row[k] = filters[filter].weight(((double)(k + first) - middle + 0.5) * (1 / stretch));
            sum += row[k];
        }
        for (int64_t k = 0; k < end - first; k++) {
            double v = (sum != 0 ? row[k] / sum : row[k]) * (1 << WEIGHT_BITS);
            out->values[i * out->most + k] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        out->of[i] = (taps){first, end - first};
    }
    pm_free(row);
    if (s != PM_OK) free_weights(out);
    return s;
}

static uint8_t rounded(int32_t sum) {
    if (sum < 0) return 0;
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* One new point; step: pixels between taps, in bytes. */
static uint8_t weighted(const uint8_t *from, int64_t step, const weights *w, int64_t i) {
    const int32_t *values = w->values + i * w->most;
    int32_t sum = 1 << (WEIGHT_BITS - 1);
    from += w->of[i].first * step;
    for (int64_t k = 0; k < w->of[i].n; k++) sum += from[k * step] * values[k];
    return rounded(sum);
}

/* ---- the two directions ---- */

static void resize_columns(const pm_image *from, const weights *w, pm_image *to) {
    int64_t c = from->channels;
    for (int64_t y = 0; y < to->height; y++)
        for (int64_t x = 0; x < to->width; x++)
            for (int64_t k = 0; k < c; k++)
                to->pixels[(y * to->width + x) * c + k] =
                    weighted(from->pixels + y * from->width * c + k, c, w, x);
}

static void resize_rows(const pm_image *from, const weights *w, pm_image *to) {
    int64_t row = from->width * from->channels;
    for (int64_t y = 0; y < to->height; y++)
        for (int64_t k = 0; k < row; k++) to->pixels[y * row + k] = weighted(from->pixels + k, row, w, y);
}

static pm_status resize_one(const pm_image *from, bool columns, int64_t to, pm_resample filter,
                            pm_image *out) {
    weights w;
    PM_TRY(pm_image_make(columns ? to : from->width, columns ? from->height : to, from->channels, out));
    pm_status s = make_weights(columns ? from->width : from->height, to, filter, &w);
    if (s != PM_OK) {
        pm_image_free(out);
        return s;
    }
    (columns ? resize_columns : resize_rows)(from, &w, out);
    free_weights(&w);
    return PM_OK;
}

/* The old pixel that each new one lies in. */
static void take_nearest(const pm_image *from, pm_image *to) {
    double scale[2] = {(double)from->height / (double)to->height, (double)from->width / (double)to->width};
    int64_t c = from->channels;
    double y = scale[0] * 0.5; /* added up as PIL adds, so that ties fall alike */
    for (int64_t i = 0; i < to->height; i++, y += scale[0]) {
        double x = scale[1] * 0.5;
        for (int64_t k = 0; k < to->width; k++, x += scale[1])
            memcpy(to->pixels + (i * to->width + k) * c,
                   from->pixels + ((int64_t)y * from->width + (int64_t)x) * c, (size_t)c);
    }
}

/* The order shows in the last bits, since 8 are kept between. Pillow 13 takes rows first where they lose more than twice as
 * many points as columns do (found by trying 1500 sizes); earlier versions never do. */
static bool columns_go_first(const pm_image *image, int64_t width, int64_t height) {
    return height >= image->height || image->height - height <= 2 * (image->width - width);
}

pm_status pm_image_resize(const pm_image *image, int64_t width, int64_t height, pm_resample filter,
                          pm_image *out) {
    pm_image between = {0};
    *out = (pm_image){0};
    if ((unsigned)filter >= PM_COUNT(filters))
        return pm_raise(PM_ERR_USAGE, "picture: filter %d, expected 0..%d", (int)filter,
                        (int)PM_COUNT(filters) - 1);
    if (width == image->width && height == image->height)
        return pm_image_convert(image, image->channels, out);
    if (filter == PM_RESAMPLE_NEAREST) {
        PM_TRY(pm_image_make(width, height, image->channels, out));
        take_nearest(image, out);
        return PM_OK;
    }
    if (width < 1 || height < 1)
        return pm_raise(PM_ERR_USAGE, "picture: a size of %" PRId64 " x %" PRId64 ", expected at least 1 x 1",
                        width, height);
    if (width == image->width) return resize_one(image, false, height, filter, out);
    if (height == image->height) return resize_one(image, true, width, filter, out);
    bool columns_first = columns_go_first(image, width, height);
    PM_TRY(resize_one(image, columns_first, columns_first ? width : height, filter, &between));
    pm_status s = resize_one(&between, !columns_first, columns_first ? height : width, filter, out);
    pm_image_free(&between);
    return s;
}
