/* One file being written, whole or not at all. Links are followed; what exists and is no regular file (a device, a
 * pipe), has other names, or lies in a folder that takes no new file is written to as it stands; anything else comes into being beside its place and is renamed over it, so that
 * a failure leaves what was there. Knows no format. */
#ifndef PM_WRITER_H
#define PM_WRITER_H

#include <stdio.h>

#include "graph/base.h"

typedef struct pm_writer {
    const char *path; /* as the caller gave it, for errors */
    char *target;     /* where it goes, links followed */
    char *temporary;  /* beside the target; NULL: written straight to it */
    FILE *file;
    bool made_target; /* the link at `path` pointed nowhere: its empty target is ours */
    int error;        /* errno of the first failure, or 0 */
} pm_writer;

/* After success pm_writer_close must follow. `path` must live until then. Errors: PM_ERR_OTHER. */
pm_status pm_writer_open(pm_writer *w, const char *path) PM_MUST_USE;
void pm_writer_add(pm_writer *w, const void *data, size_t bytes); /* a failure is kept for pm_writer_close */
pm_status pm_writer_close(pm_writer *w) PM_MUST_USE; /* frees; on failure nothing is left behind */

#endif
