/* Stages of the compiler as text: what a model's dump and a bare graph's share. */
#ifndef PM_STAGES_H
#define PM_STAGES_H

#include "pumice/compute.h"

/* PM_ERR_USAGE unless text is one of n; the sentence lists them after `what`. */
pm_status pm_check_word(const char *what, const char *text, const char *const *texts, size_t n) PM_MUST_USE;
/* What pm_graph_dump checks first. */
pm_status pm_check_graph_dump(const char *stage, const char *format) PM_MUST_USE;

#endif
