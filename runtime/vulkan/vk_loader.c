/* libvulkan, loaded at the first use and never before; the names of VkResult. Owns volk's global function
 * pointers, and is the only file that writes them: all under one lock, since executors may be opened in
 * several threads. */
#include <dlfcn.h>
#include <pthread.h>

/* Volk hides its pointers from programs that link the shared library, but not its functions: a program with a volk of its own
 * would have ours load its pointers. */
#pragma GCC visibility push(hidden)
#define VOLK_IMPLEMENTATION
#include <volk.h>
#pragma GCC visibility pop

#include "runtime/vulkan/vk.h"

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

static const struct {
    VkResult value;
    const char *name;
} results[] = {
    {VK_SUCCESS, "VK_SUCCESS"},
    {VK_NOT_READY, "VK_NOT_READY"},
    {VK_TIMEOUT, "VK_TIMEOUT"},
    {VK_INCOMPLETE, "VK_INCOMPLETE"},
    {VK_ERROR_OUT_OF_HOST_MEMORY, "VK_ERROR_OUT_OF_HOST_MEMORY"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, "VK_ERROR_OUT_OF_DEVICE_MEMORY"},
    {VK_ERROR_INITIALIZATION_FAILED, "VK_ERROR_INITIALIZATION_FAILED"},
    {VK_ERROR_DEVICE_LOST, "VK_ERROR_DEVICE_LOST"},
    {VK_ERROR_MEMORY_MAP_FAILED, "VK_ERROR_MEMORY_MAP_FAILED"},
    {VK_ERROR_LAYER_NOT_PRESENT, "VK_ERROR_LAYER_NOT_PRESENT"},
    {VK_ERROR_EXTENSION_NOT_PRESENT, "VK_ERROR_EXTENSION_NOT_PRESENT"},
    {VK_ERROR_FEATURE_NOT_PRESENT, "VK_ERROR_FEATURE_NOT_PRESENT"},
    {VK_ERROR_INCOMPATIBLE_DRIVER, "VK_ERROR_INCOMPATIBLE_DRIVER"},
    {VK_ERROR_TOO_MANY_OBJECTS, "VK_ERROR_TOO_MANY_OBJECTS"},
    {VK_ERROR_FRAGMENTED_POOL, "VK_ERROR_FRAGMENTED_POOL"},
    {VK_ERROR_UNKNOWN, "VK_ERROR_UNKNOWN"},
    {VK_ERROR_OUT_OF_POOL_MEMORY, "VK_ERROR_OUT_OF_POOL_MEMORY"},
    {VK_ERROR_FRAGMENTATION, "VK_ERROR_FRAGMENTATION"},
    {VK_ERROR_INVALID_SHADER_NV, "VK_ERROR_INVALID_SHADER_NV"},
};

const char *pm_vk_result_name(VkResult r) {
    for (size_t i = 0; i < PM_COUNT(results); i++)
        if (results[i].value == r) return results[i].name;
    return "an unknown VkResult";
}

pm_status pm_vk_check(VkResult r, const char *what) {
    switch ((int)r) {
    case VK_SUCCESS: return PM_OK;
    case VK_ERROR_DEVICE_LOST: return pm_raise(PM_ERR_LOST, "%s: %s", what, pm_vk_result_name(r));
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_ERROR_MEMORY_MAP_FAILED: return pm_raise(PM_ERR_MEMORY, "%s: %s", what, pm_vk_result_name(r));
    default: return pm_raise(PM_ERR_OTHER, "%s: %s (%d)", what, pm_vk_result_name(r), (int)r);
    }
}
