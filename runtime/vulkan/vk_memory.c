/* Buffers, each with memory of its own (the store cuts tensors out of large ones). Which memory: the device's
 * own, mapped where the device shares it with the host; or the host's, mapped, for what goes in and out. */
#include "runtime/vulkan/vk.h"

#define HOST   (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define CACHED VK_MEMORY_PROPERTY_HOST_CACHED_BIT
#define OWN    VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT

/* Property sets to try, best first. */
static const VkMemoryPropertyFlags device_choice[] = {OWN, OWN};
static const VkMemoryPropertyFlags unified_choice[] = {OWN | HOST | CACHED, OWN | HOST};
static const VkMemoryPropertyFlags upload_choice[] = {HOST, HOST};
static const VkMemoryPropertyFlags readback_choice[] = {HOST | CACHED, HOST};

static const VkMemoryPropertyFlags *choice_of(const pm_vk_executor *ex, pm_vk_use use) {
    if (use == PM_VK_USE_DEVICE) return ex->base.caps.unified_memory ? unified_choice : device_choice;
    return use == PM_VK_USE_UPLOAD ? upload_choice : readback_choice;
}

/* The n-th of the memory types that suit a buffer, the best first; UINT32_MAX: there are no more. */
static uint32_t choose_type(const pm_vk_executor *ex, uint32_t allowed, const VkMemoryPropertyFlags choice[2],
                            uint32_t n) {
    const VkPhysicalDeviceMemoryProperties *m = &ex->gpu.memory;
    for (int c = 0; c < 2; c++)
        for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
            VkMemoryPropertyFlags flags = m->memoryTypes[i].propertyFlags;
            bool plain = !(flags & ~(VkMemoryPropertyFlags)(HOST | CACHED | OWN)); /* others want features */
            bool suits = plain && (allowed & 1u << i) && (flags & choice[c]) == choice[c];
            bool before = c == 1 && (flags & choice[0]) == choice[0];
            if (suits && !before && n-- == 0) return i;
        }
    return UINT32_MAX;
}

void pm_vk_name(pm_vk_executor *ex, VkObjectType type, uint64_t handle, const char *name) {
    if (!ex->in.debug_utils) return;
    const VkDebugUtilsObjectNameInfoEXT info = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
                                                .objectType = type,
                                                .objectHandle = handle,
                                                .pObjectName = name};
    (void)ex->in.vkSetDebugUtilsObjectNameEXT(ex->device, &info); /* a name that fails harms nothing */
}

static pm_status allocate(pm_vk_executor *ex, pm_vk_use use, const char *name, pm_vk_buffer *b) {
    VkMemoryRequirements need;
    ex->d.vkGetBufferMemoryRequirements(ex->device, b->handle, &need);
    VkResult r = VK_ERROR_OUT_OF_DEVICE_MEMORY;
    for (uint32_t n = 0; r == VK_ERROR_OUT_OF_DEVICE_MEMORY; n++) { /* another heap may have room */
        uint32_t type = choose_type(ex, need.memoryTypeBits, choice_of(ex, use), n);
        if (type == UINT32_MAX && n == 0)
            return pm_raise(PM_ERR_MEMORY, "device memory: no memory type of %s suits buffer '%s'",
                            ex->base.caps.name, name);
        if (type == UINT32_MAX) break;
        const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                           .allocationSize = need.size,
                                           .memoryTypeIndex = type};
        r = ex->d.vkAllocateMemory(ex->device, &info, NULL, &b->memory);
    }
    if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY)
        return pm_raise(PM_ERR_MEMORY, "device memory: %llu bytes for '%s' on %s: %s",
                        (unsigned long long)need.size, name, ex->base.caps.name, pm_vk_result_name(r));
    VK_TRY(r, "vkAllocateMemory");
    VK_TRY(ex->d.vkBindBufferMemory(ex->device, b->handle, b->memory, 0), "vkBindBufferMemory");
    if (use == PM_VK_USE_DEVICE && !ex->base.caps.unified_memory) return PM_OK;
    void *mapped;
    VK_TRY(ex->d.vkMapMemory(ex->device, b->memory, 0, VK_WHOLE_SIZE, 0, &mapped), "vkMapMemory");
    b->mapped = mapped;
    return PM_OK;
}

pm_status pm_vk_buffer_create(pm_vk_executor *ex, uint64_t bytes, pm_vk_use use, const char *name,
                              pm_vk_buffer *out) {
    uint64_t limit = use == PM_VK_USE_DEVICE ? ex->base.caps.max_block_bytes : ex->gpu.caps.max_block_bytes;
    *out = (pm_vk_buffer){0};
    if (bytes > limit)
        return pm_raise(PM_ERR_MEMORY,
                        "device memory: '%s' has %llu bytes, one allocation of %s may have %llu", name,
                        (unsigned long long)bytes, ex->base.caps.name, (unsigned long long)limit);
    out->bytes = pm_align_up(bytes ? bytes : 4, 4); /* fills want whole words */
    VkBufferUsageFlags condition = ex->base.caps.skips_halted && use == PM_VK_USE_DEVICE
                                       ? VK_BUFFER_USAGE_CONDITIONAL_RENDERING_BIT_EXT
                                       : 0u;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .size = out->bytes,
                                     .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                              VK_BUFFER_USAGE_TRANSFER_DST_BIT | condition,
                                     .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    pm_status s;
    PM_GOTO(pm_vk_check(ex->d.vkCreateBuffer(ex->device, &info, NULL, &out->handle), "vkCreateBuffer"));
    PM_GOTO(allocate(ex, use, name, out));
    pm_vk_name(ex, VK_OBJECT_TYPE_BUFFER, (uint64_t)out->handle, name);
    out->own = use == PM_VK_USE_DEVICE;
    if (out->own) ex->own_bytes += out->bytes;
    return PM_OK;
fail:
    pm_vk_buffer_destroy(ex, out);
    return s;
}

void pm_vk_buffer_destroy(pm_vk_executor *ex, pm_vk_buffer *b) {
    if (b->handle && !ex->hung) ex->d.vkDestroyBuffer(ex->device, b->handle, NULL);
    if (b->memory && !ex->hung) ex->d.vkFreeMemory(ex->device, b->memory, NULL); /* unmaps */
    if (b->own) ex->own_bytes -= b->bytes;
    *b = (pm_vk_buffer){0};
}
