/* See support_compare.h. */
#include "tests/support_compare.h"

#include <math.h>
#include <stdlib.h>

#include "models/convert.h"
#include "tests/support.h"

/* Rows of [B,T,...] outputs and queries of [B,H,T,S] maps that are padding count nowhere. */
static bool is_padding(const pm_array *a, const pm_array *mask, uint64_t i) {
    int row_axis = a->rank == 4 ? 2 : 1;
    int64_t inner = 1, value = 0;
    if (!mask || a->rank < 3) return false;
    for (int k = row_axis + 1; k < a->rank; k++) inner *= a->dims[k];
    int64_t t = (int64_t)i / inner % a->dims[row_axis], batch = (int64_t)i;
    for (int k = 1; k < a->rank; k++) batch /= a->dims[k];
    if (a->dims[row_axis] != mask->dims[1]) return false;
    memcpy(&value, (const char *)mask->data + (batch * mask->dims[1] + t) * 8, 8);
    return value == 0;
}

double test_relative_error(const pm_array *is, const pm_array *expected, const pm_array *mask) {
    uint64_t n = pm_array_elems(expected);
    double difference = 0, norm = 0;
    float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
    assert_true(x && y);
    assert_ok(pm_convert_f32(is, x));
    assert_ok(pm_convert_f32(expected, y));
    for (uint64_t i = 0; i < n; i++) {
        if (is_padding(expected, mask, i)) continue;
        difference += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        norm += (double)y[i] * (double)y[i];
    }
    free(x);
    free(y);
    return norm > 0 || isnan(norm) ? sqrt(difference) / sqrt(norm)
                                   : sqrt(difference); /* NaN is within no bound */
}

static bool is_output(const pm_array *a) {
    return strncmp(a->name, "out.", 4) == 0 && !strstr(a->name, "greedy") && !strstr(a->name, "beam");
}

void test_expect_near(const char *what, const pm_array *is, const pm_array *expected, const pm_array *mask) {
    if (!is) fail_msg("%s: %s is missing", what, expected->name);
    if (is->rank != expected->rank ||
        memcmp(is->dims, expected->dims, (size_t)is->rank * sizeof *is->dims) != 0)
        fail_msg("%s: %s has another shape", what, expected->name);
    double error = test_relative_error(is, expected, mask);
    if (!(error <= TEST_TOLERANCE)) fail_msg("%s: %s is off by %g", what, expected->name, error);
}

int test_compare(const char *what, const pm_tensors *set, const pm_tensors *reference, bool all) {
    int n = 0;
    for (size_t i = 0; i < pm_tensors_count(reference); i++) {
        const pm_array *expected = pm_tensors_at(reference, i);
        const pm_array *is = pm_tensors_get(set, expected->name);
        if (!is_output(expected) || (!is && !all)) continue;
        test_expect_near(what, is, expected, pm_tensors_get(reference, "in.attention_mask"));
        n++;
    }
    return n;
}
