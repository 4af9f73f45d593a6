/* Moves bytes between the host and buffers: straight through the mapping where there is one, else through the ring.
 * Invariant: at most one half is being recorded, and the other may be at work. See vk_memory.h. */
#include <string.h>

#include "runtime/vulkan/vk_memory.h"

#define HALF_BYTES (PM_VK_STAGING_BYTES / 2)

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static pm_status create_ring(pm_vk_device *d, pm_vk_staging *s) {
    if (s->ring.handle) return PM_OK;
    for (int i = 0; i < 2; i++)
        if (!s->halves[i].pool) PM_TRY(pm_vk_commands_create(d, &s->halves[i]));
    return pm_vk_buffer_create(d, PM_VK_PLACE_HOST, PM_VK_STAGING_BYTES, "staging", &s->ring);
}

void pm_vk_staging_destroy(pm_vk_device *d, pm_vk_staging *s) {
    for (int i = 0; i < 2; i++) pm_vk_commands_destroy(d, &s->halves[i]); /* waits */
    pm_vk_buffer_destroy(d, &s->ring);
    *s = (pm_vk_staging){0};
}

/* The commands of the current half, recording. Each command waits for the ones before: a tensor may be put twice. */
static pm_status begin(pm_vk_device *d, pm_vk_staging *s, VkCommandBuffer *out) {
    PM_TRY(create_ring(d, s));
    pm_vk_commands *c = &s->halves[s->current];
    if (!c->recording) {
        PM_TRY(pm_vk_commands_begin(d, c));
        s->used = 0;
    }
    pm_vk_barrier(d, c->buffer, PM_VK_COMPUTE | PM_VK_TRANSFER, PM_VK_TRANSFER);
    *out = c->buffer;
    return PM_OK;
}

static pm_status submit(pm_vk_device *d, pm_vk_staging *s) {
    pm_vk_commands *c = &s->halves[s->current];
    if (!c->recording) return PM_OK;
    s->current ^= 1;
    return pm_vk_commands_submit(d, c);
}

pm_status pm_vk_staging_flush(pm_vk_device *d, pm_vk_staging *s) {
    PM_TRY(submit(d, s));
    PM_TRY(pm_vk_commands_wait(d, &s->halves[0]));
    return pm_vk_commands_wait(d, &s->halves[1]);
}

pm_status pm_vk_upload(pm_vk_device *d, pm_vk_staging *s, const pm_vk_buffer *to, uint64_t offset, const void *data,
                       uint64_t bytes) {
    if (to->mapped) {
        memcpy((char *)to->mapped + offset, data, (size_t)bytes);
        return PM_OK;
    }
    const char *from = data;
    while (bytes) {
        VkCommandBuffer commands;
        if (s->used >= HALF_BYTES) PM_TRY(submit(d, s));
        PM_TRY(begin(d, s, &commands));
        uint64_t at = s->current * (uint64_t)HALF_BYTES + s->used;
        uint64_t n = smaller(bytes, HALF_BYTES - s->used);
        memcpy((char *)s->ring.mapped + at, from, (size_t)n);
        VkBufferCopy copy = {.srcOffset = at, .dstOffset = offset, .size = n};
        d->fn.vkCmdCopyBuffer(commands, s->ring.handle, to->handle, 1, &copy);
        s->used += pm_align_up(n, 16);
        offset += n, from += n, bytes -= n;
    }
    return PM_OK;
}

pm_status pm_vk_fill(pm_vk_device *d, pm_vk_staging *s, const pm_vk_buffer *to, uint64_t offset, uint64_t bytes,
                     uint32_t word) {
    if (bytes == 0) return PM_OK;
    if (to->mapped) {
        uint32_t *words = (uint32_t *)((char *)to->mapped + offset);
        for (uint64_t i = 0; i < bytes / 4; i++) words[i] = word;
        return PM_OK;
    }
    VkCommandBuffer commands;
    PM_TRY(begin(d, s, &commands));
    d->fn.vkCmdFillBuffer(commands, to->handle, offset, bytes, word);
    return PM_OK;
}

pm_status pm_vk_download(pm_vk_device *d, pm_vk_staging *s, const pm_vk_buffer *from, uint64_t offset, void *data,
                         uint64_t bytes) {
    PM_TRY(pm_vk_staging_flush(d, s));
    if (from->mapped) {
        memcpy(data, (const char *)from->mapped + offset, (size_t)bytes);
        return PM_OK;
    }
    for (char *to = data; bytes;) {
        VkCommandBuffer commands;
        PM_TRY(begin(d, s, &commands));
        uint64_t at = s->current * (uint64_t)HALF_BYTES, n = smaller(bytes, HALF_BYTES);
        VkBufferCopy copy = {.srcOffset = offset, .dstOffset = at, .size = n};
        d->fn.vkCmdCopyBuffer(commands, from->handle, s->ring.handle, 1, &copy);
        pm_vk_barrier(d, commands, PM_VK_TRANSFER, PM_VK_HOST);
        PM_TRY(pm_vk_staging_flush(d, s));
        memcpy(to, (const char *)s->ring.mapped + at, (size_t)n);
        offset += n, to += n, bytes -= n;
    }
    return PM_OK;
}
