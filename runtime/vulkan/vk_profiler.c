/* Timestamps around each dispatch of a loaded program, when asked for and the queue has them. The recorder
 * then puts a barrier between any two dispatches, so that no two share their time. */
#include "runtime/vulkan/vk.h"

static pm_vk_executor *vk(const pm_vk_loaded *l) {
    return (pm_vk_executor *)l->base.executor;
}

pm_status pm_vk_profiler_create(pm_vk_loaded *l) {
    pm_vk_executor *ex = vk(l);
    uint32_t n = l->base.program->n_dispatches;
    if (!ex->base.options.profile || !ex->base.caps.timestamps || n == 0) return PM_OK;
    if (n > UINT32_MAX / 2)
        return pm_raise(PM_ERR_USAGE, "profile: %u dispatches are too many for timestamps", n);
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = 2 * n};
    VK_TRY(ex->d.vkCreateQueryPool(ex->device, &info, NULL, &l->queries), "vkCreateQueryPool");
    l->times_ns = pm_calloc(n, sizeof *l->times_ns);
    l->starts_ns = pm_calloc(n, sizeof *l->starts_ns);
    l->ticks = pm_calloc(2 * (size_t)n, sizeof *l->ticks);
    return l->times_ns && l->starts_ns && l->ticks ? PM_OK : PM_ERR_MEMORY;
}

void pm_vk_profiler_reset(const pm_vk_loaded *l, VkCommandBuffer c) {
    if (l->queries) vk(l)->d.vkCmdResetQueryPool(c, l->queries, 0, 2 * l->base.program->n_dispatches);
}

void pm_vk_profiler_mark(const pm_vk_loaded *l, VkCommandBuffer c, uint32_t mark) {
    if (l->queries) vk(l)->d.vkCmdWriteTimestamp(c, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, l->queries, mark);
}

pm_status pm_vk_profiler_read(pm_vk_loaded *l) {
    if (!l->queries) return PM_OK;
    pm_vk_executor *ex = vk(l);
    uint32_t n = l->base.program->n_dispatches;
    VK_TRY(ex->d.vkGetQueryPoolResults(ex->device, l->queries, 0, 2 * n, 2 * (size_t)n * sizeof *l->ticks,
                                       l->ticks, sizeof *l->ticks,
                                       VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT),
           "vkGetQueryPoolResults");
    uint32_t bits = ex->gpu.timestamp_bits;
    uint64_t mask = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t ticks = (l->ticks[2 * i + 1] - l->ticks[2 * i]) & mask;
        uint64_t before = (l->ticks[2 * i] - l->ticks[0]) & mask; /* since the first dispatch */
        l->times_ns[i] = (uint64_t)((double)ticks * (double)ex->base.caps.timestamp_ns);
        l->starts_ns[i] = (uint64_t)((double)before * (double)ex->base.caps.timestamp_ns);
    }
    return PM_OK;
}

void pm_vk_profiler_destroy(pm_vk_loaded *l) {
    if (l->queries && !vk(l)->hung) vk(l)->d.vkDestroyQueryPool(vk(l)->device, l->queries, NULL);
    pm_free(l->times_ns);
    pm_free(l->starts_ns);
    pm_free(l->ticks);
}
