/* The executor interface: finds devices, opens one, and checks every call before the implementation sees it.
 * Vulkan is looked for only when a device other than "cpu" and "reference" is asked for. */
#include "runtime/executor.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- choosing ---- */

static int find_plain(const pm_caps *caps, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!caps[i].vulkan && !strcmp(caps[i].name, name)) return (int)i;
    return -1;
}

/* The device of a type with the most memory; the first of equals. */
static int find_best(const pm_caps *caps, size_t n, pm_device_type type) {
    int best = -1;
    for (size_t i = 0; i < n; i++)
        if (caps[i].vulkan && caps[i].type == type &&
            (best < 0 || caps[i].memory_bytes > caps[best].memory_bytes))
            best = (int)i;
    return best;
}

static int find_auto(const pm_caps *caps, size_t n) {
    int best = find_best(caps, n, PM_DEVICE_DISCRETE_GPU);
    if (best < 0) best = find_best(caps, n, PM_DEVICE_INTEGRATED_GPU);
    return best < 0 ? find_plain(caps, n, "cpu") : best;
}

/* The Vulkan device that `digits` counts, from 0. */
static int find_numbered(const pm_caps *caps, size_t n, const char *digits) {
    uint64_t number = 0;
    if (!*digits) return -1;
    for (; *digits; digits++) {
        if (*digits < '0' || *digits > '9' || number > UINT32_MAX) return -1;
        number = number * 10 + (uint64_t)(*digits - '0');
    }
    for (size_t i = 0; i < n; i++)
        if (caps[i].vulkan && number-- == 0) return (int)i;
    return -1;
}

static bool contains_ignoring_case(const char *text, const char *part) {
    for (; *text; text++) {
        size_t i = 0;
        while (part[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i])) i++;
        if (!part[i]) return true;
    }
    return false;
}

int pm_choose_device(const pm_caps *caps, size_t n, const char *spec) {
    if (!*spec) return -1;
    if (!strcmp(spec, "auto")) return find_auto(caps, n);
    if (!strcmp(spec, "cpu") || !strcmp(spec, "reference")) return find_plain(caps, n, spec);
    if (!strcmp(spec, "vulkan")) return find_numbered(caps, n, "0");
    if (!strncmp(spec, "vulkan:", 7)) return find_numbered(caps, n, spec + 7);
    for (size_t i = 0; i < n; i++)
        if (caps[i].vulkan && contains_ignoring_case(caps[i].name, spec)) return (int)i;
    return -1;
}

/* ---- listing and opening ---- */

enum { N_PLAIN = 2 }; /* "cpu" and "reference", behind the Vulkan devices of every list */

static pm_status list_vulkan(pm_caps **out_caps, size_t *out_n, const char **out_note) {
#ifdef PM_WITH_VULKAN
    return pm_vulkan_list(out_caps, out_n, out_note);
#else
    *out_caps = NULL;
    *out_n = 0;
    *out_note = "this library was built without Vulkan";
    return PM_OK;
#endif
}

static pm_status open_vulkan(size_t index, const pm_executor_options *options, pm_executor **out) {
#ifdef PM_WITH_VULKAN
    return pm_vulkan_open(index, options, out);
#else
    (void)options;
    *out = NULL;
    return pm_raise(PM_ERR_DEVICE,
                    "device: Vulkan device %zu was asked for, this library was built without Vulkan", index);
#endif
}

pm_status pm_executor_list(pm_caps **out_caps, size_t *out_n, const char **out_note) {
    const char *note = "";
    *out_caps = NULL;
    *out_n = 0;
    if (!out_note) out_note = &note;
    *out_note = "";
    pm_caps *vulkan = NULL;
    size_t n = 0;
    PM_TRY(list_vulkan(&vulkan, &n, out_note));
    pm_caps *caps = pm_realloc_array(vulkan, n + N_PLAIN, sizeof *caps);
    if (!caps) {
        pm_free(vulkan);
        return PM_ERR_MEMORY;
    }
    pm_cpu_caps(false, &caps[n]);
    pm_cpu_caps(true, &caps[n + 1]);
    *out_caps = caps;
    *out_n = n + N_PLAIN;
    return PM_OK;
}

static pm_status no_such_device(const pm_caps *caps, size_t n, const char *device, const char *note) {
    pm_text there = {0};
    uint32_t number = 0;
    for (size_t i = 0; i < n; i++) {
        if (caps[i].vulkan)
            pm_text_add(&there, "%svulkan:%" PRIu32 " (%s)", i ? ", " : "", number++, caps[i].name);
        else
            pm_text_add(&there, "%s%s", i ? ", " : "", caps[i].name);
    }
    if (*note) pm_text_add(&there, "; %s", note);
    pm_status s = pm_raise(PM_ERR_DEVICE, "device: there is no \"%s\", expected auto, vulkan, or one of: %s",
                           device, there.data ? there.data : "");
    pm_text_free(&there);
    return s;
}

pm_status pm_executor_open(const char *device, const pm_executor_options *options, pm_executor **out) {
    const pm_executor_options none = {0};
    pm_caps *caps = NULL;
    size_t n = 0;
    const char *note = "";
    *out = NULL;
    if (!options) options = &none;
    if (!device) device = "auto";
    if (!strcmp(device, "cpu") || !strcmp(device, "reference"))
        return pm_cpu_open(device[0] == 'r', options, out);
    PM_TRY(pm_executor_list(&caps, &n, &note));
    int chosen = pm_choose_device(caps, n, device);
    pm_status s;
    if (chosen < 0)
        s = no_such_device(caps, n, device, note);
    else if (caps[chosen].vulkan)
        s = open_vulkan((size_t)chosen, options,
                        out); /* Vulkan devices come first, in the order of pm_vulkan_list */
    else
        s = pm_cpu_open(false, options, out);
    if (s == PM_OK && !caps[chosen].vulkan)
        (void)snprintf((*out)->note, sizeof(*out)->note, "running on the CPU: %.400s",
                       *note         ? note
                       : n > N_PLAIN ? "there is no GPU, and a software driver is taken only when it is named"
                                     : "there is no GPU");
    pm_free(caps);
    return s;
}

const char *pm_executor_note(const pm_executor *ex) {
    return ex->note;
}

/* ---- an open executor ---- */

void pm_executor_close(pm_executor *ex) {
    if (!ex) return;
    pm_text_free(&ex->trace.lines);
    ex->vtable->close(ex);
}

const pm_trace *pm_executor_trace(const pm_executor *ex) {
    return &ex->trace;
}

const pm_caps *pm_executor_caps(const pm_executor *ex) {
    return &ex->caps;
}
const char *pm_executor_name(const pm_executor *ex) {
    return ex->caps.name;
}

pm_status pm_executor_put(pm_executor *ex, const char *name, const void *data, uint64_t bytes) {
    if (bytes == 0) return pm_raise(PM_ERR_USAGE, "store: \"%s\" was put with 0 bytes, expected some", name);
    return ex->vtable->put(ex, name, data, bytes);
}

bool pm_executor_has(const pm_executor *ex, const char *name) {
    return ex->vtable->has(ex, name);
}

pm_status pm_executor_get(pm_executor *ex, const char *name, void *data, uint64_t bytes) {
    if (!ex->vtable->has(ex, name))
        return pm_raise(PM_ERR_USAGE, "store: \"%s\" was asked for and is not there", name);
    return ex->vtable->get(ex, name, data, bytes);
}

void pm_executor_drop(pm_executor *ex, const char *name) {
    ex->vtable->drop(ex, name);
}

const char *pm_executor_memory_note(pm_executor *ex) {
    pm_text text = {0};
    ex->memory_note[0] = 0;
    if (ex->vtable->describe_memory) ex->vtable->describe_memory(ex, &text);
    if (text.data) snprintf(ex->memory_note, sizeof ex->memory_note, "%s", text.data);
    pm_text_free(&text);
    return ex->memory_note;
}

void pm_executor_get_stats(const pm_executor *ex, pm_executor_stats *out) {
    *out = ex->stats;
}
const char *pm_executor_messages(const pm_executor *ex) {
    return ex->messages.data ? ex->messages.data : "";
}

/* ---- programs ---- */

pm_status pm_executor_load(pm_executor *ex, const pm_program *p, pm_loaded **out) {
    *out = NULL;
    return ex->vtable->load(ex, p, out);
}

void pm_loaded_unload(pm_loaded *l) {
    if (l) l->executor->vtable->unload(l);
}

static pm_status check_io(const pm_program *p, const char *what, const pm_io *io, uint32_t n, uint32_t index,
                          uint64_t bytes) {
    if (index >= n)
        return pm_raise(PM_ERR_USAGE, "%s: %s %" PRIu32 " of %" PRIu32 " was asked for", p->name, what, index,
                        n);
    if (bytes != io[index].range.bytes)
        return pm_raise(PM_ERR_USAGE, "%s: %s %s with %" PRIu64 " bytes, expected %" PRIu64, p->name, what,
                        io[index].name, bytes, io[index].range.bytes);
    return PM_OK;
}

pm_status pm_loaded_write(pm_loaded *l, uint32_t input, const void *data, uint64_t bytes) {
    PM_TRY(check_io(l->program, "input", l->program->inputs, l->program->n_inputs, input, bytes));
    return l->executor->vtable->write(l, input, data, bytes);
}

void pm_loaded_set_param(pm_loaded *l, uint32_t param, int32_t value) {
    if (param < l->program->n_params) l->executor->vtable->set_param(l, param, value);
}

/* A run whose dispatches are timed goes into the trace. */
static pm_status run_traced(pm_loaded *l) {
    pm_executor *ex = l->executor;
    uint64_t span[2] = {pm_now_ns(), 0};
    PM_TRY(ex->vtable->run(l, 1, NULL));
    span[1] = pm_now_ns();
    return pm_trace_add(&ex->trace, l->program, span, ex->vtable->starts_ns(l), ex->vtable->times_ns(l));
}

pm_status pm_loaded_run(pm_loaded *l) {
    return l->executor->options.profile ? run_traced(l) : l->executor->vtable->run(l, 1, NULL);
}

void pm_watch_runs(const pm_watch *watch, uint32_t n_done, uint32_t n) {
    if (watch && n_done < n && n_done % (watch->every ? watch->every : 1) == 0)
        watch->on_runs(watch->user, n_done);
}

pm_status pm_loaded_repeat(pm_loaded *l, uint32_t n, const pm_watch *watch) {
    if (n == 0)
        return pm_raise(PM_ERR_USAGE, "%s: 0 runs were asked for, expected 1 or more", l->program->name);
    if (!l->executor->options.profile) return l->executor->vtable->run(l, n, watch);
    for (uint32_t i = 0; i < n; i++) { /* one by one: timestamps hold one run */
        PM_TRY(run_traced(l));
        pm_watch_runs(watch, i + 1, n);
    }
    return PM_OK;
}

pm_status pm_loaded_read(pm_loaded *l, uint32_t output, void *data, uint64_t bytes) {
    PM_TRY(check_io(l->program, "output", l->program->outputs, l->program->n_outputs, output, bytes));
    return l->executor->vtable->read(l, output, data, bytes);
}

pm_status pm_loaded_step(pm_loaded *l, uint32_t dispatch) {
    if (dispatch >= l->program->n_dispatches)
        return pm_raise(PM_ERR_USAGE, "%s: dispatch %" PRIu32 " of %" PRIu32 " was asked for",
                        l->program->name, dispatch, l->program->n_dispatches);
    return l->executor->vtable->step(l, dispatch);
}

static pm_status check_range(const pm_program *p, const pm_range *r) {
    uint64_t end, size = 0;
    if (r->slot < p->n_blocks)
        size = p->block_bytes[r->slot];
    else if (r->slot - p->n_blocks < p->n_externals)
        size = p->externals[r->slot - p->n_blocks].bytes;
    if (!pm_add_u64(r->offset, r->bytes, &end) || end > size)
        return pm_raise(PM_ERR_USAGE,
                        "%s: range of %" PRIu64 " bytes at %" PRIu64 " in slot %" PRIu32
                        ", expected it within %" PRIu64,
                        p->name, r->bytes, r->offset, r->slot, size);
    return PM_OK;
}

pm_status pm_loaded_peek(pm_loaded *l, const pm_range *r, void *data) {
    PM_TRY(check_range(l->program, r));
    return l->executor->vtable->peek(l, r, data);
}

pm_status pm_loaded_poke(pm_loaded *l, const pm_range *r, const void *data) {
    PM_TRY(check_range(l->program, r));
    return l->executor->vtable->poke(l, r, data);
}

const uint64_t *pm_loaded_times_ns(const pm_loaded *l) {
    return l->executor->vtable->times_ns(l);
}
