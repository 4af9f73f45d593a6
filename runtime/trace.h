/* What ran when, as events of Chrome's trace format (Perfetto opens it): a line an event, without its end, to which the reader
 * adds `, "pid": N}`. An executor that profiles keeps one. */
#ifndef PM_TRACE_H
#define PM_TRACE_H

#include "graph/program.h"

typedef struct pm_trace {
    pm_text lines;
    uint64_t origin_ns; /* the first run's start */
    uint32_t n_runs, n_left_out;
} pm_trace;

enum { PM_TRACE_MAX_BYTES = 64 << 20 }; /* later runs are counted, not kept */

/* A run of p within span_ns (pm_now_ns); times NULL: the device has none. starts_ns count from any moment on: the last
 * dispatch's end is put at the run's. */
pm_status pm_trace_add(pm_trace *t, const pm_program *p, const uint64_t span_ns[2], const uint64_t *starts_ns,
                       const uint64_t *times_ns) PM_MUST_USE;
/* The whole document's events of one device, joined with what `out` has. */
void pm_trace_print(const pm_trace *t, const char *device, uint32_t pid, pm_text *out);

#endif
