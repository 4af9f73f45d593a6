/* Vulkan's entry points. The Vulkan library is looked for when the first of these functions is called, never before;
 * a machine without it is no error. */
#ifndef PM_VK_LOADER_H
#define PM_VK_LOADER_H

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <volk.h>

#include "graph/base.h"

/* False: there is no libvulkan.so.1 on this machine. */
bool pm_vk_loader_start(void);
/* Of the loader; 1.0 when it cannot say. */
uint32_t pm_vk_loader_version(void);
/* Every device function, without the loader's dispatch in between. */
void pm_vk_loader_table(VkInstance instance, VkDevice device, struct VolkDeviceTable *out_table);

#endif
