/* Bytes between the host and any buffer: by the host itself where the buffer is mapped, else through the
 * staging ring. The ring has two halves, so that the host fills one while the device empties the other.
 * Upload and download stand between runs: no command of a program is under way. */
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
    for (int i = 0; i < 2; i++)
        if (st->fences[i]) ex->d.vkDestroyFence(ex->device, st->fences[i], NULL);
    if (st->pool) ex->d.vkDestroyCommandPool(ex->device, st->pool, NULL);
    pm_vk_buffer_destroy(ex, &st->ring);
    *st = (pm_vk_staging){0};
}

static pm_status wait_half(pm_vk_executor *ex, uint32_t half) {
    pm_vk_staging *st = &ex->staging;
    if (!st->pending[half]) return PM_OK;
    PM_TRY(pm_vk_wait(ex, st->fences[half], 1));
    st->pending[half] = false;
    return PM_OK;
}

pm_status pm_vk_staging_flush(pm_vk_executor *ex) {
    PM_TRY(wait_half(ex, 0));
    return wait_half(ex, 1);
}

/* The next half, free to be used. */
static pm_status next_half(pm_vk_executor *ex, uint32_t *out) {
    *out = ex->staging.next;
    ex->staging.next ^= 1;
    return wait_half(ex, *out);
}

/* Copies, or with `from` NULL zeroes, in the half's command buffer. */
static pm_status send(pm_vk_executor *ex, uint32_t half, VkBuffer from, VkBuffer to,
                      const VkBufferCopy *copy) {
    pm_vk_staging *st = &ex->staging;
    VkCommandBuffer c = st->commands[half];
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    VK_TRY(ex->d.vkBeginCommandBuffer(c, &begin), "vkBeginCommandBuffer");
    pm_vk_full_barrier(ex, c);
    if (from)
        ex->d.vkCmdCopyBuffer(c, from, to, 1, copy);
    else
        ex->d.vkCmdFillBuffer(c, to, copy->dstOffset, copy->size, 0);
    pm_vk_full_barrier(ex, c);
    VK_TRY(ex->d.vkEndCommandBuffer(c), "vkEndCommandBuffer");
    PM_TRY(pm_vk_submit(ex, c, st->fences[half]));
    st->pending[half] = true;
    return PM_OK;
}

static uint64_t part_bytes(uint64_t bytes, uint64_t done) {
    return bytes - done < HALF_BYTES ? bytes - done : HALF_BYTES;
}

pm_status pm_vk_upload(pm_vk_executor *ex, const pm_vk_buffer *to, uint64_t offset, const void *data,
                       uint64_t bytes) {
    if (bytes == 0) return PM_OK;
    if (to->mapped) {
        if (data)
            memcpy(to->mapped + offset, data, (size_t)bytes);
        else
            memset(to->mapped + offset, 0, (size_t)bytes);
        return PM_OK;
    }
    PM_TRY(create(ex));
    uint32_t half;
    if (!data) { /* whole tensors are zeroed, whose room is a multiple of 4 bytes */
        const VkBufferCopy fill = {.dstOffset = offset, .size = pm_align_up(bytes, 4)};
        PM_TRY(next_half(ex, &half));
        return send(ex, half, VK_NULL_HANDLE, to->handle, &fill);
    }
    for (uint64_t done = 0; done < bytes; done += HALF_BYTES) {
        PM_TRY(next_half(ex, &half));
        const VkBufferCopy copy = {
            .srcOffset = half * HALF_BYTES, .dstOffset = offset + done, .size = part_bytes(bytes, done)};
        memcpy(ex->staging.ring.mapped + copy.srcOffset, (const char *)data + done, (size_t)copy.size);
        PM_TRY(send(ex, half, ex->staging.ring.handle, to->handle, &copy));
    }
    return PM_OK;
}

pm_status pm_vk_download(pm_vk_executor *ex, const pm_vk_buffer *from, uint64_t offset, void *data,
                         uint64_t bytes) {
    if (bytes == 0) return PM_OK;
    if (from->mapped) {
        memcpy(data, from->mapped + offset, (size_t)bytes);
        return PM_OK;
    }
    PM_TRY(create(ex));
    for (uint64_t done = 0; done < bytes; done += HALF_BYTES) {
        uint32_t half;
        PM_TRY(next_half(ex, &half));
        const VkBufferCopy copy = {
            .srcOffset = offset + done, .dstOffset = half * HALF_BYTES, .size = part_bytes(bytes, done)};
        PM_TRY(send(ex, half, from->handle, ex->staging.ring.handle, &copy));
        PM_TRY(wait_half(ex, half));
        memcpy((char *)data + done, ex->staging.ring.mapped + copy.dstOffset, (size_t)copy.size);
    }
    return PM_OK;
}
