/* See trace.h. Format: the Trace Event Format of Chrome, complete events ("X") with times in microseconds. */
#include "runtime/trace.h"

#include <inttypes.h>
#include <string.h>

static void add_times(pm_text *out, uint64_t start_ns, uint64_t ns) {
    pm_text_add(out, "\"ts\": %.3f, \"dur\": %.3f", (double)start_ns / 1e3, (double)ns / 1e3);
}

static void add_run(pm_trace *t, const pm_program *p, uint64_t start_ns, uint64_t ns) {
    pm_text *out = &t->lines;
    pm_text_add(out, "{\"ph\": \"X\", \"tid\": 1, \"cat\": \"run\", \"name\": ");
    pm_text_add_json(out, p->name);
    pm_text_add(out, ", ");
    add_times(out, start_ns, ns);
    pm_text_add(out,
                ", \"args\": {\"run\": %" PRIu32 ", \"dispatches\": %" PRIu32 ", \"submissions\": %" PRIu32
                "}\n",
                t->n_runs, p->n_dispatches, p->n_submits);
}

static void add_dispatch(pm_trace *t, const pm_program *p, uint32_t i, uint64_t start_ns, uint64_t ns) {
    const pm_dispatch *d = &p->dispatches[i];
    pm_text *out = &t->lines;
    pm_text_add(out, "{\"ph\": \"X\", \"tid\": 2, \"cat\": \"dispatch\", \"name\": ");
    pm_text_add_json(out, d->label);
    pm_text_add(out, ", ");
    add_times(out, start_ns, ns);
    pm_text_add(out, ", \"args\": {\"run\": %" PRIu32 ", \"dispatch\": %" PRIu32 ", \"program\": ", t->n_runs,
                i);
    pm_text_add_json(out, p->name);
    pm_text_add(out,
                ", \"variant\": \"%s\", \"groups\": \"%ux%ux%u\", \"cost\": %" PRIu64 ", \"barrier\": %s}\n",
                pm_variant_get(d->variant)->name, d->groups[0], d->groups[1], d->groups[2], d->cost,
                d->barrier ? "true" : "false");
}

/* How far the dispatches' clock is behind the host's, modulo 2^64: their last end is the run's. */
static uint64_t clock_shift(const pm_program *p, uint64_t end_ns, const uint64_t *starts_ns,
                            const uint64_t *times_ns) {
    uint64_t last = 0;
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        if (starts_ns[i] + times_ns[i] > last) last = starts_ns[i] + times_ns[i];
    return end_ns - last;
}

pm_status pm_trace_add(pm_trace *t, const pm_program *p, const uint64_t span_ns[2], const uint64_t *starts_ns,
                       const uint64_t *times_ns) {
    if (t->lines.length > PM_TRACE_MAX_BYTES) {
        t->n_left_out++;
        return PM_OK;
    }
    if (!t->n_runs) t->origin_ns = span_ns[0];
    uint64_t start = span_ns[0] - t->origin_ns, end = span_ns[1] - t->origin_ns;
    add_run(t, p, start, end - start);
    if (times_ns && p->n_dispatches) {
        uint64_t shift = clock_shift(p, end, starts_ns, times_ns);
        for (uint32_t i = 0; i < p->n_dispatches; i++) {
            uint64_t at = starts_ns[i] + shift;
            add_dispatch(t, p, i, (int64_t)at < 0 ? 0 : at, times_ns[i]); /* clocks that run apart */
        }
    }
    t->n_runs++;
    return pm_text_status(&t->lines);
}

static void add_name(pm_text *out, const char *what, const char *name, uint32_t tid, uint32_t pid) {
    pm_text_add(out, "%s{\"ph\": \"M\", \"name\": \"%s\", \"tid\": %" PRIu32 ", \"args\": {\"name\": ",
                out->length ? ",\n" : "", what, tid);
    pm_text_add_json(out, name);
    pm_text_add(out, "}, \"pid\": %" PRIu32 "}", pid);
}

void pm_trace_print(const pm_trace *t, const char *device, uint32_t pid, pm_text *out) {
    add_name(out, "process_name", device, 0, pid);
    add_name(out, "thread_name", "runs", 1, pid);
    add_name(out, "thread_name", "dispatches", 2, pid);
    if (t->lines.failed) out->failed = true;
    for (const char *line = t->lines.data; line && *line;) {
        size_t n = strcspn(line, "\n");
        pm_text_add(out, ",\n");
        pm_text_add_bytes(out, line, n);
        pm_text_add(out, ", \"pid\": %" PRIu32 "}", pid);
        line += n + (line[n] == '\n');
    }
}
