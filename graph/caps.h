/* What a device can do: a plain struct, filled from queries by the runtime (never guessed from a name) and read by
 * selection and planning. Tests invent it. */
#ifndef PM_CAPS_H
#define PM_CAPS_H

#include "pumice/base.h"

typedef enum pm_device_type {
    PM_DEVICE_CPU,
    PM_DEVICE_SOFTWARE_GPU,
    PM_DEVICE_VIRTUAL_GPU,
    PM_DEVICE_INTEGRATED_GPU,
    PM_DEVICE_DISCRETE_GPU,
    PM_DEVICE_OTHER
} pm_device_type;

/* Driver quirks in force: named bits, all set in runtime/vulkan/vk_quirks.c with a link to the evidence. */
typedef enum pm_quirk {
    PM_QUIRK_NONE = 0,
    PM_QUIRK_SHORT_SUBMITS = 1,
    PM_QUIRK_NO_SQUARE_WORKGROUPS = 2,
    PM_QUIRK_FEW_LOOPS = 4
} pm_quirk;

typedef struct pm_caps {
    char name[256];
    char driver[256]; /* driver name and version */
    pm_device_type type;
    bool vulkan; /* false: the CPU executors */
    uint32_t vendor_id, device_id, api_version, driver_version;
    uint8_t pipeline_cache_uuid[16];
    uint32_t subgroup_min, subgroup_max;
    bool subgroup_arithmetic, subgroup_broadcast;
    bool f16_storage, f16_arithmetic, i8_storage, i8_arithmetic, integer_dot, cooperative_matrix;
    bool timestamps;
    bool unified_memory;   /* device memory that the host can map is the device's own */
    uint32_t shared_bytes; /* shared memory of a workgroup */
    uint32_t max_workgroup_invocations;
    uint32_t max_workgroup_size[3];
    uint32_t max_groups[3]; /* maxComputeWorkGroupCount */
    uint32_t push_constant_bytes;
    uint64_t max_binding_bytes; /* maxStorageBufferRange */
    uint64_t max_block_bytes;   /* of one allocation (maxMemoryAllocationSize); 0: no limit */
    uint64_t
        stream_part_bytes; /* of a weight that a product of many rows reads at once, where weights are streamed; 0: no limit */
    uint64_t memory_bytes;      /* of the largest device-local heap */
    uint32_t binding_alignment; /* bytes: minStorageBufferOffsetAlignment, at least 16 */
    uint64_t submit_cost;       /* multiply-adds that one submission may hold; 0: no limit */
    bool skips_halted;          /* runs of a program that has halted (program.h) cost next to nothing */
    uint32_t max_loops; /* iterations of all loops that an invocation may do; 0: no limit. Rows of select.c
                                   without `loops` are taken to do few, whatever the sizes */
    float timestamp_ns; /* nanoseconds of one timestamp tick */
    uint32_t quirks;    /* PM_QUIRK_* bits */
} pm_caps;

/* Whether the host's memory is on the far side of a bus, so that reading a weight there twice is worse than copying it once. Software
 * devices have no bus, but stand in for cards where there are none. */
bool pm_caps_has_bus(const pm_caps *c);

/* The least that any Vulkan device must have for the baseline kernels; the CPU executors use the same. */
void pm_caps_baseline(pm_caps *out_caps);

#endif
