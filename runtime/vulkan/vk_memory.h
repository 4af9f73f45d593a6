/* Buffers, each with memory of its own, and how bytes get in and out of them. */
#ifndef PM_VK_MEMORY_H
#define PM_VK_MEMORY_H

#include "runtime/vulkan/vk_device.h"

typedef enum pm_vk_place {
    PM_VK_PLACE_DEVICE, /* the device's own; mapped only where memory is unified */
    PM_VK_PLACE_SHARED, /* mapped; a few words that the device reads and the host writes */
    PM_VK_PLACE_HOST,   /* mapped, cached by the host: what is copied from and to */
} pm_vk_place;

typedef struct pm_vk_buffer {
    VkBuffer handle;
    VkDeviceMemory memory;
    uint64_t bytes;
    void *mapped; /* or NULL; coherent */
} pm_vk_buffer;

/* bytes may be 0. On failure `*out` is zero. */
pm_status pm_vk_buffer_create(pm_vk_device *d, pm_vk_place place, uint64_t bytes, const char *name,
                              pm_vk_buffer *out) PM_MUST_USE;
void pm_vk_buffer_destroy(pm_vk_device *d, pm_vk_buffer *b); /* not in use any more; accepts a zero one */

/* ---- staging: two halves of a ring; the host fills one while the device copies from the other ---- */

#define PM_VK_STAGING_BYTES (16u << 20)

typedef struct pm_vk_staging {
    pm_vk_buffer ring; /* created when first needed: never with unified memory */
    pm_vk_commands halves[2];
    uint32_t current;
    uint64_t used; /* of the current half */
} pm_vk_staging;

void pm_vk_staging_destroy(pm_vk_device *d, pm_vk_staging *s); /* accepts a zero one */
/* Copies host bytes to a buffer. They are there for everything submitted after pm_vk_staging_flush. */
pm_status pm_vk_upload(pm_vk_device *d, pm_vk_staging *s, const pm_vk_buffer *to, uint64_t offset, const void *data,
                       uint64_t bytes) PM_MUST_USE;
/* Fills with a word; offset and bytes are multiples of 4. */
pm_status pm_vk_fill(pm_vk_device *d, pm_vk_staging *s, const pm_vk_buffer *to, uint64_t offset, uint64_t bytes,
                     uint32_t word) PM_MUST_USE;
/* Waits for what was uploaded, then copies from a buffer to the host. */
pm_status pm_vk_download(pm_vk_device *d, pm_vk_staging *s, const pm_vk_buffer *from, uint64_t offset, void *data,
                         uint64_t bytes) PM_MUST_USE;
/* Submits what is recorded and waits: after it no buffer is in use by staging. */
pm_status pm_vk_staging_flush(pm_vk_device *d, pm_vk_staging *s) PM_MUST_USE;

#endif
