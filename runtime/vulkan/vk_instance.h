/* The Vulkan instance: one an executor, with its own function pointers, and the validation layer when asked for. */
#ifndef PM_VK_INSTANCE_H
#define PM_VK_INSTANCE_H

#include "runtime/executor.h"
#include "runtime/vulkan/vk_loader.h"

/* Functions of every instance, and those of VK_EXT_debug_utils (NULL without it). */
#define PM_VK_INSTANCE_FUNCTIONS(F)                                                                          \
    F(DestroyInstance) F(EnumeratePhysicalDevices) F(GetPhysicalDeviceProperties)                            \
    F(GetPhysicalDeviceProperties2) F(GetPhysicalDeviceFeatures2) F(GetPhysicalDeviceMemoryProperties)       \
    F(GetPhysicalDeviceQueueFamilyProperties) F(EnumerateDeviceExtensionProperties) F(CreateDevice)
#define PM_VK_DEBUG_FUNCTIONS(F)                                                                             \
    F(CreateDebugUtilsMessengerEXT) F(DestroyDebugUtilsMessengerEXT) F(SetDebugUtilsObjectNameEXT)           \
    F(CmdBeginDebugUtilsLabelEXT) F(CmdEndDebugUtilsLabelEXT)

typedef struct pm_vk_instance {
    VkInstance handle;
    uint32_t api_version; /* asked for; no device is used beyond it */
    VkDebugUtilsMessengerEXT messenger;
#define F(name) PFN_vk##name name;
    PM_VK_INSTANCE_FUNCTIONS(F)
    PM_VK_DEBUG_FUNCTIONS(F)
#undef F
} pm_vk_instance;

/* validated: the executor that collects the validation layer's messages and counts them, or NULL for no layer.
 * PM_ERR_DEVICE: no loader, no Vulkan 1.1, no driver, or no layer although asked for. `*out` is zero then. */
pm_status pm_vk_instance_create(pm_executor *validated, pm_vk_instance *out) PM_MUST_USE;
void pm_vk_instance_destroy(pm_vk_instance *i); /* accepts a zero one */

/* All devices of the instance that there are, usable or not; *out is pm_alloc'd. */
pm_status pm_vk_instance_devices(const pm_vk_instance *i, VkPhysicalDevice **out, uint32_t *out_n) PM_MUST_USE;

#endif
