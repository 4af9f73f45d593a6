/* See verify_report.h. */
#include "cli/verify_report.h"

#include <string.h>

/* The worst row of each kernel, in order of appearance: what a person wants first. */
typedef struct kernel_summary {
    const char *kernel;
    size_t n_rows, n_out;
    const pm_verify_row *worst;
} kernel_summary;

static size_t summarise(const pm_verify_report *r, kernel_summary *out, size_t capacity) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) {
        const pm_verify_row *row = &r->rows[i];
        size_t k = 0;
        while (k < n && strcmp(out[k].kernel, row->kernel)) k++;
        if (k == capacity) continue;
        if (k == n) out[n++] = (kernel_summary){.kernel = row->kernel, .worst = row};
        out[k].n_rows++;
        out[k].n_out += row->n_out > 0;
        if (row->worst_ratio > out[k].worst->worst_ratio) out[k].worst = row;
    }
    return n;
}

void cli_print_verify_report(const pm_verify_report *r, bool all) {
    kernel_summary kernels[64];
    size_t n = summarise(r, kernels, sizeof kernels / sizeof *kernels);
    if (all) {
        printf("%-10s %-36s %12s %12s %9s %s\n", "program", "operation", "worst error", "bound", "ratio", "");
        for (size_t i = 0; i < r->n_rows; i++) {
            const pm_verify_row *w = &r->rows[i];
            printf("%-10s %-36s %12.3g %12.3g %9.3g %s\n", w->program, w->label, w->worst_error, w->bound,
                   w->worst_ratio, w->n_out ? "OUT" : "ok");
        }
        printf("\n");
    }
    printf("%-14s %10s %12s %12s %9s  %s\n", "kernel", "dispatches", "worst error", "bound", "ratio",
           "where");
    for (size_t k = 0; k < n; k++)
        printf("%-14s %10zu %12.3g %12.3g %9.3g  %s: %s%s\n", kernels[k].kernel, kernels[k].n_rows,
               kernels[k].worst->worst_error, kernels[k].worst->bound, kernels[k].worst->worst_ratio,
               kernels[k].worst->program, kernels[k].worst->label,
               kernels[k].n_out ? "   OUT OF BOUNDS" : "");
    if (r->first_out >= 0) {
        const pm_verify_row *w = &r->rows[r->first_out];
        printf("first out of bounds: %s: %s (%s): element %llu is off by %.3g, bound %.3g; %llu of %llu "
               "elements are out\n",
               w->program, w->label, w->variant, (unsigned long long)w->worst_index, w->worst_error, w->bound,
               (unsigned long long)w->n_out, (unsigned long long)w->n_elements);
    }
    uint64_t n_not_finite = 0;
    for (size_t i = 0; i < r->n_rows; i++) n_not_finite += r->rows[i].n_not_finite;
    if (n_not_finite)
        printf("note: %llu results are infinite or NaN, on the reference executor as well\n",
               (unsigned long long)n_not_finite);
    printf("%zu operations, %s; two runs and single steps %s%s\n", r->n_rows,
           r->first_out < 0 ? "all within bounds" : "NOT all within bounds",
           r->bit_equal ? "agree bit for bit" : "DIFFER: ", r->bit_unequal ? r->bit_unequal : "");
}

json_t *cli_verify_report_json(const pm_verify_report *r, const char *device) {
    json_t *rows = json_array();
    for (size_t i = 0; i < r->n_rows; i++) {
        const pm_verify_row *w = &r->rows[i];
        json_t *row =
            json_pack("{ss ss ss ss sI sI sI sf sf sf}", "program", w->program, "operation", w->label,
                      "kernel", w->kernel, "variant", w->variant, "elements", (json_int_t)w->n_elements,
                      "out_of_bounds", (json_int_t)w->n_out, "not_finite", (json_int_t)w->n_not_finite,
                      "worst_error", w->worst_error, "bound", w->bound, "ratio", w->worst_ratio);
        if (!row || json_array_append_new(rows, row)) {
            json_decref(rows);
            return NULL;
        }
    }
    json_t *first = r->first_out >= 0 ? json_string(r->rows[r->first_out].label) : json_null();
    return json_pack("{ss sb sb so so}", "device", device, "passed", r->first_out < 0 && r->bit_equal,
                     "bit_equal", r->bit_equal, "first_out_of_bounds", first, "operations", rows);
}
