/* The structs of the Vulkan executor, one Vulkan noun a file:
 *   vk_loader.c    libvulkan, found at run time; VkResult to pm_status
 *   vk_instance.c  instance, validation, messenger     vk_caps.c      physical devices to pm_caps
 *   vk_quirks.c    the table of driver quirks          vk_memory.c    buffers with their memory
 *   vk_staging.c   bytes between host and buffers      vk_store.c     named tensors; the arena
 *   vk_pipeline.c  layouts, pipelines                  vk_cache.c     the pipeline cache's file
 *   vk_recorder.c  descriptor sets, command buffers    vk_profiler.c  timestamps
 *   vk_stream.c    slots through which weights come
 *   vk_loaded.c    a program: load, run, peek          vk_executor.c  the device, its queue, the vtable
 * Nothing here knows an operation or a model. An executor belongs to one thread at a time; executors share
 * nothing but the loader. */
#ifndef PM_VK_H
#define PM_VK_H

#include <volk.h>

#include "graph/stream.h"
#include "runtime/executor.h"

#define PM_VK_FIRST_BLOCK_BYTES (4ull << 20) /* weights and states are cut from blocks: the first is small, */
#define PM_VK_BLOCK_BYTES       (64ull << 20)  /* each later one as large as all before it, up to this */
#define PM_VK_STAGING_BYTES     (16ull << 20)  /* two halves */
#define PM_VK_WAIT_NS           60000000000ull /* for one submission of a GPU */

/* ---- loader ---- */
bool pm_vk_loader_ready(void); /* loads libvulkan at the first call; false: this machine has none */
void pm_vk_load_device(PFN_vkGetDeviceProcAddr get, VkDevice device, struct VolkDeviceTable *out);
const char *pm_vk_result_name(VkResult r);
/* PM_OK for VK_SUCCESS; else raises "<what>: <name of the result>". */
pm_status pm_vk_check(VkResult r, const char *what) PM_MUST_USE;
#define VK_TRY(call, what) PM_TRY(pm_vk_check(call, what))

/* ---- instance ---- */
#define PM_VK_INSTANCE_FNS(X)                                                                                \
    X(vkDestroyInstance)                                                                                     \
    X(vkEnumeratePhysicalDevices)                                                                            \
    X(vkGetPhysicalDeviceProperties)                                                                         \
    X(vkGetPhysicalDeviceProperties2)                                                                        \
    X(vkGetPhysicalDeviceFeatures2)                                                                          \
    X(vkGetPhysicalDeviceMemoryProperties)                                                                   \
    X(vkGetPhysicalDeviceQueueFamilyProperties)                                                              \
    X(vkEnumerateDeviceExtensionProperties)                                                                  \
    X(vkCreateDevice)                                                                                        \
    X(vkGetDeviceProcAddr)                                                                                   \
    X(vkCreateDebugUtilsMessengerEXT) X(vkDestroyDebugUtilsMessengerEXT) X(vkSetDebugUtilsObjectNameEXT)
typedef struct pm_vk_instance {
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
    bool debug_utils; /* else the last three functions must not be called */
#define PM_VK_FN(name) PFN_##name name;
    PM_VK_INSTANCE_FNS(PM_VK_FN)
#undef PM_VK_FN
} pm_vk_instance;
/* ex: where messages of the validation layer go; only used with `validate`. The loader must be ready. */
pm_status pm_vk_instance_create(bool validate, pm_executor *ex, pm_vk_instance *out) PM_MUST_USE;
void pm_vk_instance_destroy(pm_vk_instance *in);
void pm_vk_messenger_destroy(pm_vk_instance *in); /* alone */

/* ---- physical devices ---- */
typedef struct pm_vk_gpu {
    VkPhysicalDevice handle;
    uint32_t queue_family, timestamp_bits;
    VkPhysicalDeviceMemoryProperties memory;
    bool feedback, feedback_extension; /* says whether a pipeline came from the cache */
    bool timeline;                     /* has timeline semaphores (Vulkan 1.2) */
    bool portability_subset;           /* the extension must be asked for where it is listed */
    pm_caps caps;
} pm_vk_gpu;
#define PM_VK_NOTE_BYTES 512
/* The devices that can run the baseline kernels, in the driver's order. Free *out with pm_free. out_note: which are
 * left out and why, or "". */
pm_status pm_vk_gpus(const pm_vk_instance *in, pm_vk_gpu **out, size_t *out_n,
                     char out_note[PM_VK_NOTE_BYTES]) PM_MUST_USE;
void pm_vk_quirks_apply(pm_caps *caps, uint32_t driver_id);

/* ---- buffers ---- */
typedef enum pm_vk_use {
    PM_VK_USE_DEVICE,  /* the device's own; mapped too where memory is unified */
    PM_VK_USE_UPLOAD,  /* mapped, coherent */
    PM_VK_USE_READBACK /* mapped, coherent, cached where there is such memory */
} pm_vk_use;
typedef struct pm_vk_buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    unsigned char *mapped; /* NULL: reached by staging */
    uint64_t bytes;
    bool own; /* in the device's own memory: counts against max_memory_bytes */
} pm_vk_buffer;
/* A part of a buffer. */
typedef struct pm_vk_place {
    const pm_vk_buffer *buffer;
    uint64_t offset, bytes;
} pm_vk_place;

typedef struct pm_vk_staging {
    pm_vk_buffer ring;
    VkCommandPool pool;
    VkCommandBuffer commands[2];
    VkFence fences[2];
    bool pending[2]; /* the fence of this half is on its way */
    bool open;       /* commands are gathered in half `half`, not yet submitted */
    uint32_t half;
    uint64_t used; /* bytes of the open half */
} pm_vk_staging;

/* ---- store ---- */
typedef struct pm_vk_taken {
    uint64_t offset, end;
} pm_vk_taken;
typedef struct pm_vk_store_block pm_vk_store_block;
struct pm_vk_store_block { /* freed with its last tensor */
    pm_vk_store_block *next;
    pm_vk_buffer buffer;
    pm_vk_taken *taken; /* by tensors; in the order of offset, apart */
    size_t n_taken, cap_taken;
    bool states; /* of states alone, which stay where they are; else of weights, which may move out */
    bool host;   /* moved out, or never in: in the host's memory, which the device reads over its bus */
};
typedef struct pm_vk_tensor {
    char *name;
    pm_vk_store_block *block;
    uint64_t offset, bytes;
} pm_vk_tensor;
typedef struct pm_vk_store {
    pm_vk_store_block *blocks;
    uint64_t block_bytes; /* of all of them */
    pm_vk_tensor *tensors;
    size_t n_tensors, cap_tensors;
} pm_vk_store;
typedef struct pm_vk_arena {
    pm_vk_buffer *blocks;
    size_t n_blocks, cap_blocks;
    uint64_t generation; /* changes when a block moved: programs bind and record again */
} pm_vk_arena;

/* ---- stream slots (graph/stream.h), shared by all programs ---- */
typedef struct pm_vk_slots {
    pm_vk_buffer buffers[PM_STREAM_SLOTS];
    bool refused; /* the device had no room for them once, all weights moved out: not tried again */
    /* for people: of the program that streams most, and of one that would with more room */
    uint64_t n_streamed, copied_bytes, missing_bytes;
} pm_vk_slots;

/* ---- pipelines ---- */
typedef struct pm_vk_pipeline {
    pm_variant variant;
    uint32_t spec[PM_N_SPEC];
    VkPipeline handle;
} pm_vk_pipeline;
typedef struct pm_vk_pipelines {
    VkDescriptorSetLayout set_layouts[PM_MAX_BINDINGS + 1]; /* by number of bindings */
    VkPipelineLayout layouts[PM_MAX_BINDINGS + 1];
    VkPipelineCache cache;
    char *cache_path; /* NULL: none on disk */
    bool cache_changed;
    pm_vk_pipeline *all;
    size_t n, capacity;
} pm_vk_pipelines;

/* ---- the executor ---- */
typedef struct pm_vk_executor {
    pm_executor base;
    pm_vk_instance in;
    pm_vk_gpu gpu;
    VkDevice device;
    struct VolkDeviceTable d;
    VkQueue queue;
    pm_vk_staging staging;
    pm_vk_store store;
    pm_vk_arena arena;
    pm_vk_slots slots;
    pm_vk_pipelines pipelines;
    uint64_t own_bytes;   /* of all buffers in the device's own memory */
    VkSemaphore timeline; /* counts marks of submissions; none where the device has no such semaphores */
    uint64_t n_marks;
    bool lost; /* nothing is submitted any more */
    bool hung; /* lost, and what was submitted may still run: its objects are leaked, never destroyed */
} pm_vk_executor;

pm_status pm_vk_buffer_create(pm_vk_executor *ex, uint64_t bytes, pm_vk_use use, const char *name,
                              pm_vk_buffer *out) PM_MUST_USE;
void pm_vk_buffer_destroy(pm_vk_executor *ex, pm_vk_buffer *b);
/* Between host and any buffer; both return when `data` may be reused, reading when it is complete. What is
 * uploaded and filled is gathered: pm_vk_staging_submit comes before the commands that read it. */
pm_status pm_vk_upload(pm_vk_executor *ex, const pm_vk_buffer *to, uint64_t offset, const void *data,
                       uint64_t bytes) PM_MUST_USE;
pm_status pm_vk_fill(pm_vk_executor *ex, const pm_vk_buffer *to, uint64_t offset, uint64_t bytes,
                     uint32_t word) PM_MUST_USE; /* offset, bytes: whole words */
pm_status pm_vk_download(pm_vk_executor *ex, const pm_vk_buffer *from, uint64_t offset, void *data,
                         uint64_t bytes) PM_MUST_USE;
pm_status pm_vk_staging_submit(pm_vk_executor *ex) PM_MUST_USE; /* what was gathered */
pm_status pm_vk_staging_flush(pm_vk_executor *ex) PM_MUST_USE;  /* submits, and waits for all of it */
void pm_vk_staging_destroy(pm_vk_executor *ex);
void pm_vk_name(pm_vk_executor *ex, VkObjectType type, uint64_t handle, const char *name);
/* Everything before it, then everything after it: of compute, transfers and, at the end, the host. */
void pm_vk_full_barrier(pm_vk_executor *ex, VkCommandBuffer c);
/* One vkQueueSubmit of n command buffers, one after the other; the fence (or none) is signalled when all are done. */
pm_status pm_vk_submit(pm_vk_executor *ex, const VkCommandBuffer *commands, uint32_t n,
                       VkFence fence) PM_MUST_USE;
/* The same in batches of `every` command buffers, at most PM_VK_MAX_MARKS of them: as each ends, the timeline counts one on, up to n_marks. */
enum { PM_VK_MAX_MARKS = 64 };
pm_status pm_vk_submit_marked(pm_vk_executor *ex, const VkCommandBuffer *commands, uint32_t n, uint32_t every,
                              VkFence fence) PM_MUST_USE;
/* n_submits: command buffers whose end is waited for. */
pm_status pm_vk_wait_mark(pm_vk_executor *ex, uint64_t mark, uint32_t n_submits) PM_MUST_USE;
pm_status pm_vk_wait(pm_vk_executor *ex, VkFence fence, uint32_t n_submits) PM_MUST_USE;
/* After a failure: waits for what was submitted without a fence. */
void pm_vk_drain(pm_vk_executor *ex);

pm_status pm_vk_store_put(pm_executor *ex, const char *name, const void *data, uint64_t bytes) PM_MUST_USE;
pm_status pm_vk_store_get(pm_executor *ex, const char *name, void *data, uint64_t bytes) PM_MUST_USE;
bool pm_vk_store_has(const pm_executor *ex, const char *name);
void pm_vk_store_drop(pm_executor *ex, const char *name);
void pm_vk_store_describe(const pm_executor *ex, pm_text *out);
/* A buffer in the device's own memory for what must be there (arena, states, constants): where there is no room, blocks
 * of weights move to the host's memory, the newest first; programs bind again. PM_ERR_MEMORY, with numbers: all have. */
pm_status pm_vk_make_room(pm_vk_executor *ex, uint64_t bytes, const char *name,
                          pm_vk_buffer *out) PM_MUST_USE;
bool pm_vk_store_find(const pm_vk_executor *ex, const char *name, pm_vk_place *out);
void pm_vk_store_destroy(pm_vk_executor *ex);
pm_status pm_vk_arena_reserve(pm_vk_executor *ex, const pm_program *p) PM_MUST_USE;
void pm_vk_arena_destroy(pm_vk_executor *ex);
/* Bytes that could be had for what must be in the device's own memory, all weights moved out. */
uint64_t pm_vk_room(const pm_vk_executor *ex);

pm_status pm_vk_pipelines_create(pm_vk_executor *ex) PM_MUST_USE;
void pm_vk_pipelines_destroy(pm_vk_executor *ex); /* saves the cache when it changed */
pm_status pm_vk_pipeline_get(pm_vk_executor *ex, const pm_dispatch *d, VkPipeline *out) PM_MUST_USE;

/* ---- a loaded program ---- */
typedef struct pm_vk_loaded {
    pm_loaded base;
    uint64_t generation;    /* of the arena that the sets and command buffers were made for; 0: none */
    VkPipeline *pipelines;  /* of each dispatch; owned by the executor */
    uint32_t *set_index;    /* of each dispatch, into sets */
    uint32_t *set_dispatch; /* of each set, a dispatch whose bindings it holds */
    uint32_t n_sets;
    VkDescriptorPool descriptors;
    VkDescriptorSet *sets;
    pm_vk_place *externals;
    pm_stream stream;
    bool *on_host; /* of each external */
    pm_vk_buffer constants, params, inputs, outputs;
    pm_vk_buffer
        condition; /* one word: the run is one of a program that has halted; no handle: it is run all the same */
    uint64_t *input_offset, *output_offset;
    VkCommandPool pool;
    VkCommandBuffer *commands; /* one a submission */
    uint32_t n_submits;
    bool repeats; /* recorded so that a submission may hold a command buffer several times */
    VkCommandBuffer step;
    VkFence fence;
    VkQueryPool queries; /* two a dispatch; NULL without profile */
    uint64_t *times_ns, *starts_ns, *ticks;
    uint64_t watch_ns; /* of the newest run: in calls of the one who watches it */
} pm_vk_loaded;

/* Where slot `slot` lies now. */
pm_vk_place pm_vk_slot(const pm_vk_loaded *l, uint32_t slot);
pm_status pm_vk_sets_create(pm_vk_loaded *l) PM_MUST_USE; /* once */
/* Binds and records when the arena moved; else does nothing. */
pm_status pm_vk_record(pm_vk_loaded *l) PM_MUST_USE;
pm_status pm_vk_record_step(pm_vk_loaded *l, uint32_t i) PM_MUST_USE; /* dispatch i alone, into l->step */

/* What the program streams, as its weights lie now; makes the slots, for which weights may move out (the arena's generation
 * changes: then to be called again). */
pm_status pm_vk_stream_update(pm_vk_loaded *l) PM_MUST_USE;
/* Where binding b of dispatch i is: in a slot, or where its range lies. */
VkDescriptorBufferInfo pm_vk_stream_bind(const pm_vk_loaded *l, uint32_t i, uint32_t b);
/* The first copies, at the beginning of a run; those for what comes next, and the barrier for what dispatch i reads, before it. */
void pm_vk_stream_begin(const pm_vk_loaded *l, VkCommandBuffer c);
void pm_vk_stream_step(const pm_vk_loaded *l, uint32_t i, VkCommandBuffer c);
void pm_vk_stream_alone(const pm_vk_loaded *l, uint32_t i,
                        VkCommandBuffer c);  /* for dispatch i run by itself */
bool pm_vk_slots_drop(pm_vk_executor *ex);   /* false: there are none */
void pm_vk_slots_forget(pm_vk_executor *ex); /* when no weight is on the host */
void pm_vk_stream_describe(const pm_vk_executor *ex, pm_text *out);

pm_status pm_vk_profiler_create(pm_vk_loaded *l) PM_MUST_USE;
void pm_vk_profiler_reset(const pm_vk_loaded *l, VkCommandBuffer c);
/* mark: 2i before, 2i + 1 after dispatch i. */
void pm_vk_profiler_mark(const pm_vk_loaded *l, VkCommandBuffer c, uint32_t mark);
pm_status pm_vk_profiler_read(pm_vk_loaded *l) PM_MUST_USE;
void pm_vk_profiler_destroy(pm_vk_loaded *l);

pm_status pm_vk_load(pm_executor *ex, const pm_program *p, pm_loaded **out) PM_MUST_USE;
void pm_vk_unload(pm_loaded *l);
pm_status pm_vk_write(pm_loaded *l, uint32_t input, const void *data, uint64_t bytes) PM_MUST_USE;
void pm_vk_set_param(pm_loaded *l, uint32_t param, int32_t value);
pm_status pm_vk_run(pm_loaded *l, uint32_t n, const pm_watch *watch) PM_MUST_USE;
pm_status pm_vk_read(pm_loaded *l, uint32_t output, void *data, uint64_t bytes) PM_MUST_USE;
pm_status pm_vk_step(pm_loaded *l, uint32_t dispatch) PM_MUST_USE;
pm_status pm_vk_peek(pm_loaded *l, const pm_range *r, void *data) PM_MUST_USE;
pm_status pm_vk_poke(pm_loaded *l, const pm_range *r, const void *data) PM_MUST_USE;
const uint64_t *pm_vk_times_ns(const pm_loaded *l);
const uint64_t *pm_vk_starts_ns(const pm_loaded *l);

#endif
