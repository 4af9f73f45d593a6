/* Pumice, verify: what a verification found. Filled by pm_session_verify (model.h). */
#ifndef PUMICE_VERIFY_H
#define PUMICE_VERIFY_H

#include "pumice/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One dispatch compared with the reference kernel on the same inputs. */
typedef struct pm_verify_row {
    const char *program, *label, *kernel, *variant; /* owned by the report */
    uint64_t n_elements, n_out;                     /* compared; out of bounds */
    uint64_t n_not_finite;                          /* infinities and NaN of the reference itself */
    double worst_error;                             /* absolute, where error / bound is largest */
    double bound;                                   /* there */
    double worst_ratio;                             /* error / bound; at most 1 is within */
    uint64_t worst_index;                           /* element of the output's range */
} pm_verify_row;

typedef struct pm_verify_report {
    pm_verify_row *rows;
    size_t n_rows, rows_capacity;
    int64_t first_out; /* row of the first dispatch out of bounds, -1 when all are within */
    bool bit_equal;    /* two replays of each program, and its dispatches one by one, gave the same bits */
    const char *bit_unequal; /* a sentence on the first that did not, or NULL */
    void *arena;             /* owns the strings */
} pm_verify_report;
void pm_verify_report_free(pm_verify_report *r);

#ifdef __cplusplus
}
#endif
#endif
