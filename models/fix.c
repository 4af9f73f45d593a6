/* See fix.h. */
#include "models/fix.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "models/convert.h"

static bool is_rows(pm_fix fix) {
    return fix.kind == PM_FIX_Q_ROWS || fix.kind == PM_FIX_K_ROWS;
}

const char *pm_fix_refusal(const pm_array *a, pm_fix fix, char out[128]) {
    if (fix.kind == PM_FIX_TRANSPOSE && a->rank != 2)
        return snprintf(out, 128, "has %d dims, 2 were expected", a->rank), out;
    if (!is_rows(fix)) return NULL;
    if (fix.heads >= 1 && fix.heads <= INT32_MAX && a->rank >= 1 && a->dims[0] % (2 * fix.heads) == 0)
        return NULL;
    snprintf(out, 128, "has %" PRId64 " rows, a multiple of 2 x %" PRId64 " heads was expected",
             a->rank ? a->dims[0] : 0, fix.heads);
    return out;
}

void pm_fix_dims(pm_array *a, pm_fix fix) {
    if (fix.kind != PM_FIX_TRANSPOSE) return;
    int64_t rows = a->dims[0];
    a->dims[0] = a->dims[1];
    a->dims[1] = rows;
}

/* out[k][n] = in[n][k]. */
static void transpose(const pm_array *a, const float *in, float *out) {
    uint64_t rows = (uint64_t)a->dims[0], columns = (uint64_t)a->dims[1];
    for (uint64_t k = 0; k < rows; k++)
        for (uint64_t n = 0; n < columns; n++) out[k * columns + n] = in[n * rows + k];
}

/* Row 2 i + h of a head goes to row h x pairs + i. */
static void halve_rows(const pm_array *a, int64_t heads, const float *in, float *out) {
    uint64_t rows = (uint64_t)a->dims[0], row = rows ? pm_array_elems(a) / rows : 0;
    uint64_t size = rows / (uint64_t)heads, pairs = size / 2;
    for (uint64_t r = 0; r < rows; r++) {
        uint64_t head = r / size, i = r % size / 2, half = r % 2;
        memcpy(out + (head * size + half * pairs + i) * row, in + r * row, (size_t)row * sizeof *out);
    }
}

pm_status pm_fix_read(const pm_array *a, pm_fix fix, float *out) {
    uint64_t n = pm_array_elems(a);
    if (n == 0) return PM_OK; /* the other dim may be anything */
    if (fix.kind == PM_FIX_NONE || fix.kind == PM_FIX_MINUS_ONE) {
        PM_TRY(pm_convert_f32(a, out));
        for (uint64_t i = 0; fix.kind == PM_FIX_MINUS_ONE && i < n; i++) out[i] -= 1;
        return PM_OK;
    }
    float *in = pm_realloc_array(NULL, (size_t)n, sizeof *in);
    if (!in) return PM_ERR_MEMORY;
    pm_status s = pm_convert_f32(a, in);
    if (s == PM_OK && fix.kind == PM_FIX_TRANSPOSE) transpose(a, in, out);
    if (s == PM_OK && is_rows(fix)) halve_rows(a, fix.heads, in, out);
    pm_free(in);
    return s;
}
