/* Times from a trace file (pm_device_trace). */
#ifndef PM_PROFILE_H
#define PM_PROFILE_H

#include "graph/program.h"

/* The nanoseconds of p's dispatches: the median over the file's runs of this very program, known by its dispatches' labels,
 * variants and work. Freed with pm_free. Errors: PM_ERR_FILE; PM_ERR_USAGE when no run in it is of this program. */
pm_status pm_profile_read(const char *path, const pm_program *p, uint64_t **out_ns) PM_MUST_USE;

#endif
