/* Owns the choice of a memory type, and allocations. One allocation a buffer: tensors are suballocated above (store, arena),
 * so there are few. Never falls back to a slower kind of memory in silence: out of memory is an error. */
#include "runtime/vulkan/vk_memory.h"

#define LOCAL VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
#define VISIBLE (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define CACHED VK_MEMORY_PROPERTY_HOST_CACHED_BIT
#define ODD                                                                                                  \
    (VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT | VK_MEMORY_PROPERTY_PROTECTED_BIT |                            \
     VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD | VK_MEMORY_PROPERTY_DEVICE_UNCACHED_BIT_AMD)

/* What is looked for, best first. Plain device memory avoids what the host can map: on a discrete card that may be a
 * small window. Every implementation has a type that is VISIBLE, and one that is LOCAL. */
typedef struct memory_wish { VkMemoryPropertyFlags want, avoid; } memory_wish;
static const memory_wish unified_wishes[] = {{LOCAL | VISIBLE | CACHED, 0}, {LOCAL | VISIBLE, 0}, {LOCAL, 0}};
static const memory_wish device_wishes[] = {{LOCAL, VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT}, {LOCAL, 0}, {0, 0}};
static const memory_wish shared_wishes[] = {{LOCAL | VISIBLE, 0}, {VISIBLE, 0}, {VISIBLE, 0}};
static const memory_wish host_wishes[] = {{VISIBLE | CACHED, LOCAL}, {VISIBLE | CACHED, 0}, {VISIBLE, 0}};

static const memory_wish *choose_wishes(const pm_vk_device *d, pm_vk_place place) {
    if (place == PM_VK_PLACE_SHARED) return shared_wishes;
    if (place == PM_VK_PLACE_HOST) return host_wishes;
    return d->physical.caps.unified_memory ? unified_wishes : device_wishes;
}

/* UINT32_MAX: none, which a conforming driver cannot cause. */
static uint32_t choose_type(const pm_vk_device *d, pm_vk_place place, uint32_t allowed) {
    const memory_wish *wishes = choose_wishes(d, place);
    for (int w = 0; w < 3; w++)
        for (uint32_t i = 0; i < d->physical.memory.memoryTypeCount; i++) {
            VkMemoryPropertyFlags has = d->physical.memory.memoryTypes[i].propertyFlags;
            if ((allowed >> i & 1) && (has & wishes[w].want) == wishes[w].want && !(has & (wishes[w].avoid | ODD)))
                return i;
        }
    return UINT32_MAX;
}

static pm_status allocate(pm_vk_device *d, pm_vk_place place, const char *name, pm_vk_buffer *b) {
    VkMemoryRequirements need;
    d->fn.vkGetBufferMemoryRequirements(d->handle, b->handle, &need);
    VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                 .allocationSize = need.size,
                                 .memoryTypeIndex = choose_type(d, place, need.memoryTypeBits)};
    if (info.memoryTypeIndex == UINT32_MAX)
        return pm_raise(PM_ERR_DEVICE, "%s: no kind of memory fits %s", d->physical.caps.name, name);
    VkResult r = d->fn.vkAllocateMemory(d->handle, &info, NULL, &b->memory);
    if (r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_TOO_MANY_OBJECTS)
        return pm_raise(PM_ERR_MEMORY, "%s: out of memory: %llu bytes for %s were refused", d->physical.caps.name,
                        (unsigned long long)need.size, name);
    PM_TRY(pm_vk_check(d, r, "allocating memory"));
    PM_TRY(pm_vk_check(d, d->fn.vkBindBufferMemory(d->handle, b->handle, b->memory, 0), "binding memory"));
    VkMemoryPropertyFlags flags = d->physical.memory.memoryTypes[info.memoryTypeIndex].propertyFlags;
    bool map = place != PM_VK_PLACE_DEVICE || d->physical.caps.unified_memory;
    if (map && (flags & VISIBLE) == VISIBLE)
        return pm_vk_check(d, d->fn.vkMapMemory(d->handle, b->memory, 0, VK_WHOLE_SIZE, 0, &b->mapped), "mapping memory");
    return PM_OK;
}

pm_status pm_vk_buffer_create(pm_vk_device *d, pm_vk_place place, uint64_t bytes, const char *name, pm_vk_buffer *out) {
    *out = (pm_vk_buffer){.bytes = bytes};
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = bytes ? bytes : 16, /* Vulkan knows no empty buffer */
                               .usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                               .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    pm_status s;
    PM_GOTO(pm_vk_check(d, d->fn.vkCreateBuffer(d->handle, &info, NULL, &out->handle), "creating a buffer"));
    PM_GOTO(allocate(d, place, name, out));
    pm_vk_name(d, VK_OBJECT_TYPE_BUFFER, (uint64_t)(uintptr_t)out->handle, name);
    return PM_OK;
fail:
    pm_vk_buffer_destroy(d, out);
    return s;
}

void pm_vk_buffer_destroy(pm_vk_device *d, pm_vk_buffer *b) {
    if (pm_vk_device_usable(d)) {
        if (b->handle) d->fn.vkDestroyBuffer(d->handle, b->handle, NULL);
        if (b->memory) d->fn.vkFreeMemory(d->handle, b->memory, NULL); /* unmaps */
    }
    *b = (pm_vk_buffer){0};
}
