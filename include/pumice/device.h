/* Pumice, device: list the devices of this machine and open one. Vulkan is loaded when the first of these functions is
 * called, never before; without it the CPU executors remain.
 *
 *     pm_device *d;
 *     if (pm_device_open("auto", NULL, &d) != PM_OK) ...
 *     pm_device_close(d);
 */
#ifndef PUMICE_DEVICE_H
#define PUMICE_DEVICE_H

#include "pumice/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_device pm_device;

/* Zero is the default of every member. */
typedef struct pm_device_options {
    uint32_t n_threads;        /* cpu: 0 is one a core */
    bool validate;             /* Vulkan: run under the validation layer, with synchronization validation */
    bool profile;              /* time each dispatch: one after another, for pm_device_trace */
    uint64_t max_block_bytes;  /* lower the device's allocation limit, for tests; 0: the device's own */
    uint64_t max_memory_bytes; /* see below; 0: as much as there is */
    int32_t test_break_kernel; /* tests only: 1 + number of a kernel whose results are spoiled */
} pm_device_options;

/* max_memory_bytes: of weights, states, constants and intermediate results together. On a Vulkan device weights past it, or past what
 * its heap has, lie in the host's memory: it reads them over its bus, or, where a prompt would read them several times, copies them first, through two slots of its
 * own memory (pm_device_memory_note says which). What must be on the
 * device and does not fit, and on a CPU executor all that does not, is PM_ERR_MEMORY with the numbers. */

/* spec: "auto" (best discrete GPU, then integrated, else the CPU), "cpu", "reference" (the naive executor), "vulkan" (the first
 * Vulkan device of any kind), "vulkan:N", or a part of a device's name. Errors: PM_ERR_DEVICE names what there is. */
pm_status pm_device_open(const char *spec, const pm_device_options *options,
                         pm_device **out_device) PM_MUST_USE;
void pm_device_close(pm_device *d); /* close models' sessions first; accepts NULL */
const char *pm_device_name(const pm_device *d);
const char *pm_device_note(const pm_device *d); /* why "auto" took the CPU, or "" */
/* Which weights lie in the host's memory, since the device's is full or at its limit; "" when none does. Valid until the next call. */
const char *pm_device_memory_note(pm_device *d);
bool pm_device_is_software(const pm_device *d);     /* a CPU executor or a software Vulkan driver */
const char *pm_device_messages(const pm_device *d); /* validation messages so far, "" when none */

typedef struct pm_device_stats {
    uint64_t n_runs, n_submits, n_recordings;
    uint64_t host_ns, device_ns; /* host: preparing and submitting; device: waiting for it */
    uint64_t store_bytes, arena_bytes, n_pipelines, n_messages;
    uint64_t host_bytes; /* of the store: in the host's memory, read by the device over its bus */
    uint64_t
        slot_bytes; /* of the device's memory: slots into which prompts copy such weights ahead of their use */
} pm_device_stats;
void pm_device_get_stats(const pm_device *d, pm_device_stats *out_stats);

/* What ran when on n devices that were opened with `profile`, as JSON in Chrome's trace format, which Perfetto opens: a process
 * a device, with its runs and, where the device has timestamps, their dispatches. Freed with pm_text_release (graph.h) or
 * pm_release (model.h). */
pm_status pm_device_trace(pm_device *const *devices, size_t n, char **out_json) PM_MUST_USE;

typedef struct pm_device_info {
    const char *name, *driver, *type,
        *spec;          /* type: "discrete GPU", ..., "CPU"; spec: "vulkan:0", "cpu", "reference" */
    const char *quirks; /* comma-separated names, "" when none */
    uint64_t memory_bytes, max_block_bytes, max_binding_bytes; /* memory_bytes 0: the host's, not asked for */
    uint32_t subgroup_min, subgroup_max, shared_bytes, api_version;
    bool f16_storage, f16_arithmetic, i8_storage, i8_arithmetic, cooperative_matrix, timestamps,
        unified_memory, skips_halted, is_auto;
} pm_device_info;
/* The list and its strings live in one block that pm_device_list_free frees. *out_note: why there is no Vulkan, or "". */
pm_status pm_device_list(pm_device_info **out_list, size_t *out_n, const char **out_note) PM_MUST_USE;
void pm_device_list_free(pm_device_info *list);

#ifdef __cplusplus
}
#endif
#endif
