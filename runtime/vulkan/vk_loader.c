/* libvulkan, loaded at the first use and never before; the names of VkResult. Owns volk's global function
 * pointers, and is the only file that writes them: all under one lock, since executors may be opened in
 * several threads. */
#define VOLK_IMPLEMENTATION
#include "runtime/vulkan/vk.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool pm_vk_loader_ready(void) {
    static int state; /* 0: not tried; 1: loaded; -1: there is none */
    pthread_mutex_lock(&lock);
    if (state == 0) state = volkInitialize() == VK_SUCCESS && vkEnumerateInstanceVersion ? 1 : -1;
    bool ready = state == 1;
    pthread_mutex_unlock(&lock);
    return ready;
}

void pm_vk_load_device(PFN_vkGetDeviceProcAddr get, VkDevice device, struct VolkDeviceTable *out) {
    pthread_mutex_lock(&lock);
    vkGetDeviceProcAddr = get; /* volkLoadDeviceTable asks this global one */
    volkLoadDeviceTable(out, device);
    pthread_mutex_unlock(&lock);
}

const char *pm_vk_result_name(VkResult r) {
    switch ((int)r) {
#define NAME(x)                                                                                              \
    case x:                                                                                                  \
        return #x;
        NAME(VK_SUCCESS)
        NAME(VK_NOT_READY) NAME(VK_TIMEOUT) NAME(VK_INCOMPLETE) NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
            NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY) NAME(VK_ERROR_INITIALIZATION_FAILED)
                NAME(VK_ERROR_DEVICE_LOST) NAME(VK_ERROR_MEMORY_MAP_FAILED) NAME(VK_ERROR_LAYER_NOT_PRESENT)
                    NAME(VK_ERROR_EXTENSION_NOT_PRESENT) NAME(VK_ERROR_FEATURE_NOT_PRESENT)
                        NAME(VK_ERROR_INCOMPATIBLE_DRIVER) NAME(VK_ERROR_TOO_MANY_OBJECTS)
                            NAME(VK_ERROR_FRAGMENTED_POOL) NAME(VK_ERROR_UNKNOWN)
                                NAME(VK_ERROR_OUT_OF_POOL_MEMORY) NAME(VK_ERROR_FRAGMENTATION)
                                    NAME(VK_ERROR_INVALID_SHADER_NV)
#undef NAME
                                        default : return "an unknown VkResult";
    }
}

pm_status pm_vk_check(VkResult r, const char *what) {
    switch ((int)r) {
    case VK_SUCCESS:
        return PM_OK;
    case VK_ERROR_DEVICE_LOST:
        return pm_raise(PM_ERR_LOST, "%s: %s", what, pm_vk_result_name(r));
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_MEMORY_MAP_FAILED:
        return pm_raise(PM_ERR_MEMORY, "%s: %s", what, pm_vk_result_name(r));
    default:
        return pm_raise(PM_ERR_OTHER, "%s: %s (%d)", what, pm_vk_result_name(r), (int)r);
    }
}
