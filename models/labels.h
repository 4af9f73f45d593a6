/* The names of a classifier's classes. */
#ifndef PM_LABELS_H
#define PM_LABELS_H

#include "models/arch.h"

/* The names, and what a classifier's numbers mean (problem_type). */
pm_status pm_labels_read(pm_model *m, const pm_config *c) PM_MUST_USE;

#endif
