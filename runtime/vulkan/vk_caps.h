/* A physical device and what it can do, from queries. */
#ifndef PM_VK_CAPS_H
#define PM_VK_CAPS_H

#include "runtime/vulkan/vk_instance.h"

#define PM_VK_MAX_EXTENSIONS 8

typedef struct pm_vk_physical {
    VkPhysicalDevice handle;
    pm_caps caps;
    uint32_t queue_family;   /* the first with compute */
    uint32_t timestamp_bits; /* of that family; 0: none */
    bool pipeline_feedback;  /* drivers say whether a pipeline came from the cache */
    VkPhysicalDeviceMemoryProperties memory;
    /* What to ask of vkCreateDevice: only what the device reported. */
    const char *extensions[PM_VK_MAX_EXTENSIONS];
    uint32_t n_extensions;
    VkPhysicalDevice16BitStorageFeatures storage16;
    VkPhysicalDevice8BitStorageFeatures storage8;
    VkPhysicalDeviceShaderFloat16Int8Features float16_int8;
    VkPhysicalDeviceShaderIntegerDotProductFeatures integer_dot;
} pm_vk_physical;

/* *out_usable: false when it is older than Vulkan 1.1 or has no compute queue. PM_ERR_MEMORY only. */
pm_status pm_vk_physical_query(const pm_vk_instance *i, VkPhysicalDevice handle, pm_vk_physical *out,
                               bool *out_usable) PM_MUST_USE;
/* The chain of feature structs inside `p`, for vkGetPhysicalDeviceFeatures2 and vkCreateDevice. */
void *pm_vk_physical_features(pm_vk_physical *p);

#endif
