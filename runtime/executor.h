/* The executor interface: a device, the named tensors that live on it (weights and states), and programs loaded on it.
 * Three implementations: "reference" (naive C, one thread), "cpu" (threads, fast kernels), Vulkan devices.
 * Knows no model. An executor and what is loaded on it belong to one thread at a time.
 *
 *     pm_executor *ex;   pm_executor_open("vulkan", NULL, &ex);
 *     pm_executor_put(ex, "w", data, bytes);               // weights, once; states: data NULL (zeros)
 *     pm_loaded *l;      pm_executor_load(ex, program, &l); // allocates, makes pipelines, records
 *     pm_loaded_write(l, 0, ids, bytes); pm_loaded_set_param(l, 0, position);
 *     pm_loaded_run(l);  pm_loaded_read(l, 0, logits, bytes);
 */
#ifndef PM_EXECUTOR_H
#define PM_EXECUTOR_H

#include "graph/program.h"
#include "runtime/trace.h"

typedef struct pm_executor pm_executor;
typedef struct pm_loaded pm_loaded;

#define PM_UNWRITTEN_WORD                                                                                    \
    0x7e967699u /* 1e38f: new memory of a device holds it, so that what nobody wrote is no zero */

typedef struct pm_executor_options {
    uint32_t n_threads; /* cpu: 0 is one a core */
    bool poison;        /* reference, cpu: NaN into arena ranges when they die, and before the run (tests) */
    bool
        validate; /* Vulkan: load the validation layer; its messages make runs fail (see pm_executor_messages) */
    bool profile;              /* time each dispatch */
    bool no_cache;             /* Vulkan: no pipeline cache on disk */
    const char *cache_dir;     /* NULL: $XDG_CACHE_HOME/pumice or ~/.cache/pumice */
    uint64_t max_block_bytes;  /* lowers the device's limit (tests); 0: the device's */
    uint64_t max_memory_bytes; /* of store, arena and constants (pumice/device.h); 0: as much as there is */
    uint64_t submit_cost;      /* lowers the cost of one submission (tests); 0: the device's */
    int32_t
        broken_kernel; /* test only: 1 + pm_kernel whose results this executor spoils (one element); 0: none */
} pm_executor_options;

/* device: "cpu", "reference", "vulkan", "vulkan:N", "auto", or a part of a device's name. PM_ERR_DEVICE names what was asked
 * for and what there is. */
pm_status pm_executor_open(const char *device, const pm_executor_options *options,
                           pm_executor **out) PM_MUST_USE;
void pm_executor_close(pm_executor *ex); /* accepts NULL; unload programs first */
const pm_caps *pm_executor_caps(const pm_executor *ex);
const char *pm_executor_note(const pm_executor *ex); /* why "auto" took the CPU, or "" */
const char *pm_executor_name(const pm_executor *ex); /* "reference", "cpu", or the Vulkan device's name */

/* Devices that could be opened, "cpu" and "reference" last. *out_caps is pm_alloc'd. note: why there is no Vulkan, or "". */
pm_status pm_executor_list(pm_caps **out_caps, size_t *out_n, const char **out_note) PM_MUST_USE;
/* Which of n devices `spec` means: a pure function. -1: none. "auto": best discrete, then integrated, else the cpu. */
int pm_choose_device(const pm_caps *caps, size_t n, const char *spec);

/* The store. Putting a name again with the same size replaces the contents; data NULL: zeros. */
pm_status pm_executor_put(pm_executor *ex, const char *name, const void *data, uint64_t bytes) PM_MUST_USE;
bool pm_executor_has(const pm_executor *ex, const char *name);
pm_status pm_executor_get(pm_executor *ex, const char *name, void *data,
                          uint64_t bytes) PM_MUST_USE; /* reads it back */
/* Which tensors of the store lie in the host's memory, for want of the device's; "" when none does. Valid until the next call. */
const char *pm_executor_memory_note(pm_executor *ex);
void pm_executor_drop(pm_executor *ex, const char *name); /* programs that use it must be unloaded before */

/* Programs. The program must outlive the loaded one. All programs of an executor share one arena (contents of a program's
 * arena do not survive another program's run; states do). */
pm_status pm_executor_load(pm_executor *ex, const pm_program *p, pm_loaded **out) PM_MUST_USE;
void pm_loaded_unload(pm_loaded *l); /* accepts NULL */
pm_status pm_loaded_write(pm_loaded *l, uint32_t input, const void *data, uint64_t bytes) PM_MUST_USE;
void pm_loaded_set_param(pm_loaded *l, uint32_t param, int32_t value);
pm_status pm_loaded_run(pm_loaded *l) PM_MUST_USE; /* returns when the outputs can be read */
/* Called by pm_loaded_repeat, on its thread, while the rest still runs: n_done runs have ended. Each word of an output that is read then is what
 * one of them wrote, or a later one. */
typedef struct pm_watch {
    void (*on_runs)(void *user, uint32_t n_done);
    void *user;
    uint32_t every; /* runs between two calls; 0: 1 */
} pm_watch;
/* For executors: calls it where it is to be called. */
void pm_watch_runs(const pm_watch *watch, uint32_t n_done, uint32_t n);
/* Runs n times (1 or more), each on the states that the one before left, with the same inputs and parameters, in one submission
 * where one run is one: for programs that feed themselves through states. An executor may end early once the program's halt
 * word is set. Outputs are those of the last run. watch: may be NULL; it is not called for the last run, nor on devices that cannot tell. */
pm_status pm_loaded_repeat(pm_loaded *l, uint32_t n, const pm_watch *watch) PM_MUST_USE;
pm_status pm_loaded_read(pm_loaded *l, uint32_t output, void *data, uint64_t bytes) PM_MUST_USE;

/* For verification: one dispatch at a time, and any range. Only between runs. */
pm_status pm_loaded_step(pm_loaded *l, uint32_t dispatch) PM_MUST_USE;
pm_status pm_loaded_peek(pm_loaded *l, const pm_range *r, void *data) PM_MUST_USE;
pm_status pm_loaded_poke(pm_loaded *l, const pm_range *r, const void *data) PM_MUST_USE;

typedef struct pm_executor_stats {
    uint64_t n_runs,
        n_recordings; /* repetitions count; command buffers recorded since open; replaying adds none */
    uint64_t n_submits;
    uint64_t host_ns, device_ns; /* host: in pm_loaded_run but not waiting; device: waiting for it */
    uint64_t store_bytes, arena_bytes;
    uint64_t slot_bytes; /* of the slots through which programs stream what is in the host's memory */
    uint64_t host_bytes; /* of the store: in the host's memory, read over the device's bus */
    uint64_t n_pipelines, n_pipelines_cached;
    uint64_t n_messages; /* validation layer */
} pm_executor_stats;
void pm_executor_get_stats(const pm_executor *ex, pm_executor_stats *out);
const char *pm_executor_messages(const pm_executor *ex); /* validation messages, "" when none */
const uint64_t *
pm_loaded_times_ns(const pm_loaded *l); /* of each dispatch in the last run; NULL without profile */
const pm_trace *pm_executor_trace(const pm_executor *ex); /* of all runs, when it profiles */

/* ---- for implementations ---- */
typedef struct pm_executor_vtable {
    void (*close)(pm_executor *ex);
    pm_status (*put)(pm_executor *ex, const char *name, const void *data, uint64_t bytes);
    bool (*has)(const pm_executor *ex, const char *name);
    pm_status (*get)(pm_executor *ex, const char *name, void *data, uint64_t bytes);
    void (*drop)(pm_executor *ex, const char *name);
    void (*describe_memory)(const pm_executor *ex, pm_text *out); /* NULL: there is one memory alone */
    pm_status (*load)(pm_executor *ex, const pm_program *p, pm_loaded **out);
    void (*unload)(pm_loaded *l);
    pm_status (*write)(pm_loaded *l, uint32_t input, const void *data, uint64_t bytes);
    void (*set_param)(pm_loaded *l, uint32_t param, int32_t value);
    pm_status (*run)(pm_loaded *l, uint32_t n, const pm_watch *watch);
    pm_status (*read)(pm_loaded *l, uint32_t output, void *data, uint64_t bytes);
    pm_status (*step)(pm_loaded *l, uint32_t dispatch);
    pm_status (*peek)(pm_loaded *l, const pm_range *r, void *data);
    pm_status (*poke)(pm_loaded *l, const pm_range *r, const void *data);
    const uint64_t *(*times_ns)(const pm_loaded *l);
    const uint64_t *(*starts_ns)(const pm_loaded *l); /* of the same dispatches, from any moment on */
} pm_executor_vtable;
struct pm_executor { /* first member of each implementation's struct */
    const pm_executor_vtable *vtable;
    pm_caps caps;
    pm_executor_options options;
    pm_executor_stats stats;
    pm_text messages;
    pm_trace trace;
    char note[512]; /* see pm_executor_note */
    char memory_note[512];
};
struct pm_loaded { /* likewise */
    pm_executor *executor;
    const pm_program *program;
};
/* the constructors that executor.c calls */
void pm_cpu_caps(bool reference, pm_caps *out_caps);
pm_status pm_cpu_open(bool reference, const pm_executor_options *options, pm_executor **out) PM_MUST_USE;
#ifdef PM_WITH_VULKAN
pm_status pm_vulkan_list(pm_caps **out_caps, size_t *out_n, const char **out_note) PM_MUST_USE;
pm_status pm_vulkan_open(size_t index, const pm_executor_options *options,
                         pm_executor **out) PM_MUST_USE; /* of the list */
#endif

#endif
