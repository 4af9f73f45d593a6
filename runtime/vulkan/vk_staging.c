/* Bytes between the host and any buffer: by the host itself where the buffer is mapped, else through the
 * staging ring. The ring has two halves: the host gathers small pieces in one, which is submitted when it is full
 * or when a program is about to run, while the device empties the other. Nothing here happens while commands of a
 * program are under way. */
#include "runtime/vulkan/vk.h"

#include <string.h>

#define HALF_BYTES (PM_VK_STAGING_BYTES / 2)

static pm_status create(pm_vk_executor *ex) {
    pm_vk_staging *st = &ex->staging;
    if (st->ring.handle) return PM_OK;
    pm_status s;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = ex->gpu.queue_family};
    PM_GOTO(
        pm_vk_check(ex->d.vkCreateCommandPool(ex->device, &pool, NULL, &st->pool), "vkCreateCommandPool"));
    const VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                  .commandPool = st->pool,
                                                  .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                                  .commandBufferCount = 2};
    PM_GOTO(pm_vk_check(ex->d.vkAllocateCommandBuffers(ex->device, &commands, st->commands),
                        "vkAllocateCommandBuffers"));
    for (int i = 0; i < 2; i++) {
        const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
        PM_GOTO(pm_vk_check(ex->d.vkCreateFence(ex->device, &fence, NULL, &st->fences[i]), "vkCreateFence"));
    }
    PM_GOTO(pm_vk_buffer_create(ex, PM_VK_STAGING_BYTES, PM_VK_USE_READBACK, "staging", &st->ring));
    return PM_OK;
fail:
    pm_vk_staging_destroy(ex);
    return s;
}

void pm_vk_staging_destroy(pm_vk_executor *ex) {
    pm_vk_staging *st = &ex->staging;
    for (int i = 0; i < 2 && !ex->hung; i++)
        if (st->fences[i]) ex->d.vkDestroyFence(ex->device, st->fences[i], NULL);
    if (st->pool && !ex->hung) ex->d.vkDestroyCommandPool(ex->device, st->pool, NULL);
    pm_vk_buffer_destroy(ex, &st->ring);
    *st = (pm_vk_staging){0};
}

static pm_status wait_half(pm_vk_executor *ex, uint32_t half) {
    pm_vk_staging *st = &ex->staging;
    if (!st->pending[half]) return PM_OK;
    st->pending[half] = false; /* a wait that fails leaves a lost device */
    return pm_vk_wait(ex, st->fences[half], 1);
}

pm_status pm_vk_staging_submit(pm_vk_executor *ex) {
    pm_vk_staging *st = &ex->staging;
    if (!st->open) return PM_OK;
    uint32_t half = st->half;
    st->open = false; /* whatever comes: ended, the commands can be begun again */
    st->half ^= 1;
    pm_vk_full_barrier(ex, st->commands[half]);
    pm_status s = pm_vk_check(ex->d.vkEndCommandBuffer(st->commands[half]), "vkEndCommandBuffer");
    if (s == PM_OK) s = pm_vk_submit(ex, &st->commands[half], 1, st->fences[half]);
    st->pending[half] = s == PM_OK;
    if (s == PM_OK) return PM_OK;
    pm_vk_drain(ex);
    ex->lost = true; /* uploads that were reported as done are gone */
    return s;
}

pm_status pm_vk_staging_flush(pm_vk_executor *ex) {
    PM_TRY(pm_vk_staging_submit(ex));
    PM_TRY(wait_half(ex, 0));
    return wait_half(ex, 1);
}

/* The commands of the open half, ready for one more that comes after all before it. */
static pm_status next_command(pm_vk_executor *ex, VkCommandBuffer *out) {
    PM_TRY(create(ex));
    pm_vk_staging *st = &ex->staging;
    if (!st->open) {
        PM_TRY(wait_half(ex, st->half));
        const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                                .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
        VK_TRY(ex->d.vkBeginCommandBuffer(st->commands[st->half], &begin), "vkBeginCommandBuffer");
        st->open = true;
        st->used = 0;
    }
    *out = st->commands[st->half];
    pm_vk_full_barrier(ex, *out);
    return PM_OK;
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

pm_status pm_vk_upload(pm_vk_executor *ex, const pm_vk_buffer *to, uint64_t offset, const void *data,
                       uint64_t bytes) {
    if (to->mapped) {
        memcpy(to->mapped + offset, data, (size_t)bytes);
        return PM_OK;
    }
    pm_vk_staging *st = &ex->staging;
    for (uint64_t done = 0; done < bytes;) {
        VkCommandBuffer c;
        PM_TRY(next_command(ex, &c));
        const VkBufferCopy copy = {.srcOffset = st->half * HALF_BYTES + st->used,
                                   .dstOffset = offset + done,
                                   .size = smaller(bytes - done, HALF_BYTES - st->used)};
        memcpy(st->ring.mapped + copy.srcOffset, (const char *)data + done, (size_t)copy.size);
        ex->d.vkCmdCopyBuffer(c, st->ring.handle, to->handle, 1, &copy);
        done += copy.size;
        st->used = pm_align_up(st->used + copy.size, 4);
        if (st->used == HALF_BYTES) PM_TRY(pm_vk_staging_submit(ex));
    }
    return PM_OK;
}

pm_status pm_vk_fill(pm_vk_executor *ex, const pm_vk_buffer *to, uint64_t offset, uint64_t bytes,
                     uint32_t word) {
    if (bytes == 0) return PM_OK;
    if (to->mapped) {
        for (uint64_t i = 0; i < bytes; i += sizeof word) memcpy(to->mapped + offset + i, &word, sizeof word);
        return PM_OK;
    }
    VkCommandBuffer c;
    PM_TRY(next_command(ex, &c));
    ex->d.vkCmdFillBuffer(c, to->handle, offset, bytes, word);
    return PM_OK;
}

pm_status pm_vk_download(pm_vk_executor *ex, const pm_vk_buffer *from, uint64_t offset, void *data,
                         uint64_t bytes) {
    if (from->mapped) {
        memcpy(data, from->mapped + offset, (size_t)bytes);
        return PM_OK;
    }
    pm_vk_staging *st = &ex->staging;
    PM_TRY(pm_vk_staging_submit(ex));
    for (uint64_t done = 0; done < bytes; done += HALF_BYTES) {
        VkCommandBuffer c;
        PM_TRY(next_command(ex, &c));
        uint32_t half = st->half;
        const VkBufferCopy copy = {.srcOffset = offset + done,
                                   .dstOffset = half * HALF_BYTES,
                                   .size = smaller(bytes - done, HALF_BYTES)};
        ex->d.vkCmdCopyBuffer(c, from->handle, st->ring.handle, 1, &copy);
        PM_TRY(pm_vk_staging_submit(ex));
        PM_TRY(wait_half(ex, half));
        memcpy((char *)data + done, st->ring.mapped + copy.dstOffset, (size_t)copy.size);
    }
    return PM_OK;
}
