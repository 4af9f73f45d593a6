/* Verification of a program: each dispatch on a device against the reference kernel on the same inputs, within computed
 * bounds; then its dispatches one by one and two replays of the whole, compared bit for bit. Knows no model. */
#ifndef PM_VERIFY_INTERNAL_H
#define PM_VERIFY_INTERNAL_H

#include "pumice/verify.h"
#include "runtime/executor.h"

typedef struct pm_verify_job {
    const char *name;          /* of the program, in the report's rows */
    const pm_program *program; /* compiled for `device` */
    pm_executor *device;       /* its store has the weights and states */
    const void *const *inputs; /* one a program input, of its range's bytes */
    const int32_t *params;     /* one a parameter word; NULL: zeros */
    const char *dump_dir;      /* offenders go there as .npy; NULL: nowhere */
} pm_verify_job;

/* Appends one row a dispatch to the report (start with {.first_out = -1, .bit_equal = true}). States are left as they were.
 * PM_OK also when operations are out of bounds: the report says so. Others: what kept it from running. */
pm_status pm_verify_program(const pm_verify_job *job, pm_verify_report *report) PM_MUST_USE;

/* PM_OK, or PM_ERR_VERIFY with a text that names the first operation out of bounds or the first unequal output. */
pm_status pm_verify_verdict(const pm_verify_report *report) PM_MUST_USE;

#endif
