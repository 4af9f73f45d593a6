/* A logical device with its one queue: results checked, work submitted and waited for. */
#ifndef PM_VK_DEVICE_H
#define PM_VK_DEVICE_H

#include "runtime/vulkan/vk_caps.h"

typedef struct pm_vk_device {
    pm_vk_instance instance;
    pm_vk_physical physical;
    VkDevice handle;
    struct VolkDeviceTable fn;
    VkQueue queue;
    uint64_t timeout_ns; /* of one submission */
    bool lost;           /* nothing more can be submitted */
    bool hung;           /* it did not answer: its objects may be in use for ever, so they are leaked, not destroyed */
} pm_vk_device;

/* Of all devices of the machine the one with this index in pm_vulkan_list. validated: as in pm_vk_instance_create.
 * On failure `*out` is zero. */
pm_status pm_vk_device_create(size_t index, pm_executor *validated, pm_vk_device *out) PM_MUST_USE;
void pm_vk_device_destroy(pm_vk_device *d); /* accepts a zero one */

/* PM_OK for VK_SUCCESS; else raises "<what>: ...": PM_ERR_MEMORY, PM_ERR_LOST, PM_ERR_DEVICE or PM_ERR_OTHER. */
pm_status pm_vk_check(pm_vk_device *d, VkResult r, const char *what) PM_MUST_USE;
/* Whether objects may be destroyed. */
bool pm_vk_device_usable(const pm_vk_device *d);

/* Submits one command buffer; fence may be VK_NULL_HANDLE. */
pm_status pm_vk_submit(pm_vk_device *d, VkCommandBuffer commands, VkFence fence) PM_MUST_USE;
/* Waits for a fence behind n submissions, and resets it. */
pm_status pm_vk_wait(pm_vk_device *d, VkFence fence, uint32_t n_submissions) PM_MUST_USE;

/* Names an object for validation messages and debuggers; without VK_EXT_debug_utils it does nothing. */
void pm_vk_name(const pm_vk_device *d, VkObjectType type, uint64_t handle, const char *name);

/* ---- commands recorded once, submitted once ---- */

typedef struct pm_vk_commands {
    VkCommandPool pool;
    VkCommandBuffer buffer;
    VkFence fence;
    bool recording, pending;
} pm_vk_commands;

pm_status pm_vk_commands_create(pm_vk_device *d, pm_vk_commands *out) PM_MUST_USE;
void pm_vk_commands_destroy(pm_vk_device *d, pm_vk_commands *c); /* waits; accepts a zero one */
pm_status pm_vk_commands_begin(pm_vk_device *d, pm_vk_commands *c) PM_MUST_USE; /* waits for its earlier work */
pm_status pm_vk_commands_submit(pm_vk_device *d, pm_vk_commands *c) PM_MUST_USE;
pm_status pm_vk_commands_wait(pm_vk_device *d, pm_vk_commands *c) PM_MUST_USE;

/* ---- barriers: whole memory, since hazards are known per dispatch, not per buffer ---- */

typedef enum pm_vk_side { PM_VK_COMPUTE = 1, PM_VK_TRANSFER = 2, PM_VK_HOST = 4 } pm_vk_side; /* bits */
/* What `before` did is finished and visible before `after` begins. HOST only in `after`: it reads. */
void pm_vk_barrier(const pm_vk_device *d, VkCommandBuffer commands, uint32_t before, uint32_t after);

#endif
