/* Owns volk and its process-wide function pointers, behind a lock: executors may be opened in several threads.
 * Nothing else in the folder calls volk's globals after start but vkGetInstanceProcAddr and vkEnumerateInstance*,
 * which do not change. Never unloads the library: drivers do not survive it. */
#define VOLK_IMPLEMENTATION
#include "runtime/vulkan/vk_loader.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;

bool pm_vk_loader_start(void) {
    pthread_mutex_lock(&lock);
    if (!started) started = volkInitialize() == VK_SUCCESS && vkCreateInstance;
    bool ok = started;
    pthread_mutex_unlock(&lock);
    return ok;
}

uint32_t pm_vk_loader_version(void) {
    uint32_t version = VK_API_VERSION_1_0;
    if (!vkEnumerateInstanceVersion || vkEnumerateInstanceVersion(&version) != VK_SUCCESS) return VK_API_VERSION_1_0;
    return version;
}

void pm_vk_loader_table(VkInstance instance, VkDevice device, struct VolkDeviceTable *out_table) {
    pthread_mutex_lock(&lock);
    volkLoadInstanceOnly(instance); /* sets vkGetDeviceProcAddr, which the next line reads */
    volkLoadDeviceTable(out_table, device);
    pthread_mutex_unlock(&lock);
}
