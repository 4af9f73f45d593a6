/* Opening and closing a Vulkan device, submitting to its queue, and the vtable. Kernels need no features; two serve the decode
 * loop where a device has them: timeline semaphores and conditional rendering. */
#include "runtime/vulkan/vk.h"

#include <stdio.h>

static const pm_executor_vtable vtable;

void pm_vk_full_barrier(pm_vk_executor *ex, VkCommandBuffer c) {
    const bool conditions = ex->base.caps.skips_halted; /* they are read, and then written for the next run */
    const VkPipelineStageFlags stages = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT |
                                        VK_PIPELINE_STAGE_TRANSFER_BIT |
                                        (conditions ? VK_PIPELINE_STAGE_CONDITIONAL_RENDERING_BIT_EXT : 0u);
    const VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                 .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                 .dstAccessMask =
                                     VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                                     VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT |
                                     VK_ACCESS_HOST_READ_BIT | VK_ACCESS_HOST_WRITE_BIT |
                                     (conditions ? VK_ACCESS_CONDITIONAL_RENDERING_READ_BIT_EXT : 0u)};
    ex->d.vkCmdPipelineBarrier(c, stages, stages | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &all, 0, NULL, 0, NULL);
}

static pm_status check_lost(pm_vk_executor *ex, pm_status s) {
    if (s == PM_ERR_LOST) ex->lost = true;
    return s;
}

pm_status pm_vk_submit(pm_vk_executor *ex, const VkCommandBuffer *commands, uint32_t n, VkFence fence) {
    if (ex->lost) return pm_raise(PM_ERR_LOST, "submit: device %s was lost before", ex->base.caps.name);
    const VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = n, .pCommandBuffers = commands};
    ex->base.stats.n_submits++;
    return check_lost(ex, pm_vk_check(ex->d.vkQueueSubmit(ex->queue, 1, &info, fence), "vkQueueSubmit"));
}

/* The batches of one submission, `every` command buffers each; the timeline counts those that have ended. */
pm_status pm_vk_submit_marked(pm_vk_executor *ex, const VkCommandBuffer *commands, uint32_t n, uint32_t every,
                              VkFence fence) {
    VkSubmitInfo infos[PM_VK_MAX_MARKS];
    VkTimelineSemaphoreSubmitInfo marks[PM_VK_MAX_MARKS];
    uint64_t values[PM_VK_MAX_MARKS];
    uint32_t n_infos = 0;
    if (ex->lost) return pm_raise(PM_ERR_LOST, "submit: device %s was lost before", ex->base.caps.name);
    for (uint32_t at = 0; at < n && n_infos < PM_VK_MAX_MARKS; at += every, n_infos++) {
        values[n_infos] = ex->n_marks + n_infos + 1;
        marks[n_infos] =
            (VkTimelineSemaphoreSubmitInfo){.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
                                            .signalSemaphoreValueCount = 1,
                                            .pSignalSemaphoreValues = &values[n_infos]};
        infos[n_infos] = (VkSubmitInfo){.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                                        .pNext = &marks[n_infos],
                                        .commandBufferCount = n - at < every ? n - at : every,
                                        .pCommandBuffers = commands + at,
                                        .signalSemaphoreCount = 1,
                                        .pSignalSemaphores = &ex->timeline};
    }
    ex->base.stats.n_submits++;
    PM_TRY(
        check_lost(ex, pm_vk_check(ex->d.vkQueueSubmit(ex->queue, n_infos, infos, fence), "vkQueueSubmit")));
    ex->n_marks += n_infos;
    return PM_OK;
}

void pm_vk_drain(pm_vk_executor *ex) {
    if (ex->hung) return;
    VkResult r = ex->d.vkQueueWaitIdle(ex->queue);
    if (r == VK_SUCCESS) return;
    ex->lost = true;
    ex->hung = r != VK_ERROR_DEVICE_LOST; /* the work of a lost device counts as done */
}

/* For one submission; a software device is as slow as it likes: it cannot hang. */
static uint64_t patience_ns(const pm_vk_executor *ex, uint64_t n_submits) {
    bool software = ex->base.caps.type == PM_DEVICE_SOFTWARE_GPU;
    return software ? UINT64_MAX : PM_VK_WAIT_NS * (n_submits ? n_submits : 1);
}

static pm_status give_up(pm_vk_executor *ex, uint64_t waited_ns) {
    ex->lost = ex->hung = true;
    return pm_raise(PM_ERR_LOST, "wait: device %s did not finish within %llu s", ex->base.caps.name,
                    (unsigned long long)(waited_ns / 1000000000));
}

pm_status pm_vk_wait(pm_vk_executor *ex, VkFence fence, uint32_t n_submits) {
    if (ex->lost) return pm_raise(PM_ERR_LOST, "wait: device %s was lost before", ex->base.caps.name);
    uint64_t timeout = patience_ns(ex, n_submits), start = pm_now_ns();
    VkResult r = ex->d.vkWaitForFences(ex->device, 1, &fence, VK_TRUE, timeout);
    ex->base.stats.device_ns += pm_now_ns() - start;
    if (r == VK_TIMEOUT) return give_up(ex, timeout);
    if (r != VK_SUCCESS) {
        pm_vk_drain(ex);
        ex->lost = true; /* the fence is in an unknown state */
        return pm_vk_check(r, "vkWaitForFences");
    }
    r = ex->d.vkResetFences(ex->device, 1, &fence);
    if (r != VK_SUCCESS) ex->lost = true; /* a fence that stays signalled ends no wait */
    return pm_vk_check(r, "vkResetFences");
}

pm_status pm_vk_wait_mark(pm_vk_executor *ex, uint64_t mark, uint32_t n_submits) {
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &ex->timeline,
                                      .pValues = &mark};
    uint64_t timeout = patience_ns(ex, n_submits), start = pm_now_ns();
    VkResult r = ex->d.vkWaitSemaphores(ex->device, &info, timeout);
    ex->base.stats.device_ns += pm_now_ns() - start;
    if (r == VK_TIMEOUT) return give_up(ex, timeout);
    if (r != VK_SUCCESS) ex->lost = true; /* the fence behind it is in an unknown state */
    return pm_vk_check(r, "vkWaitSemaphores");
}

static pm_status create_timeline(pm_vk_executor *ex) {
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO, .pNext = &type};
    return pm_vk_check(ex->d.vkCreateSemaphore(ex->device, &info, NULL, &ex->timeline), "vkCreateSemaphore");
}

static pm_status create_device(pm_vk_executor *ex) {
    const float priority = 1.0f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = ex->gpu.queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    const VkPhysicalDeviceConditionalRenderingFeaturesEXT conditional = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_CONDITIONAL_RENDERING_FEATURES_EXT,
        .conditionalRendering = VK_TRUE};
    const VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES,
        .pNext = ex->gpu.caps.skips_halted ? (void *)&conditional : NULL,
        .timelineSemaphore = VK_TRUE};
    const char *extensions[3];
    uint32_t n = 0;
    if (ex->gpu.feedback_extension) extensions[n++] = VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME;
    if (ex->gpu.portability_subset) extensions[n++] = "VK_KHR_portability_subset";
    if (ex->gpu.caps.skips_halted) extensions[n++] = VK_EXT_CONDITIONAL_RENDERING_EXTENSION_NAME;
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = ex->gpu.timeline ? &timeline : timeline.pNext,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = n,
                                     .ppEnabledExtensionNames = extensions};
    VkResult r = ex->in.vkCreateDevice(ex->gpu.handle, &info, NULL, &ex->device);
    if (r != VK_SUCCESS && r != VK_ERROR_OUT_OF_HOST_MEMORY && r != VK_ERROR_OUT_OF_DEVICE_MEMORY)
        return pm_raise(PM_ERR_DEVICE, "open: device %s: vkCreateDevice: %s", ex->gpu.caps.name,
                        pm_vk_result_name(r));
    VK_TRY(r, "vkCreateDevice");
    pm_vk_load_device(ex->in.vkGetDeviceProcAddr, ex->device, &ex->d);
    ex->d.vkGetDeviceQueue(ex->device, ex->gpu.queue_family, 0, &ex->queue);
    return ex->gpu.timeline ? create_timeline(ex) : PM_OK;
}

static pm_status choose(pm_vk_executor *ex, size_t index) {
    pm_vk_gpu *gpus;
    size_t n;
    char note[PM_VK_NOTE_BYTES];
    PM_TRY(pm_vk_gpus(&ex->in, &gpus, &n, note));
    if (index < n) ex->gpu = gpus[index];
    pm_free(gpus);
    if (index >= n) return pm_raise(PM_ERR_DEVICE, "open: Vulkan device %zu: this machine has %zu", index, n);
    return PM_OK;
}

static void apply_options(pm_vk_executor *ex) {
    pm_caps *c = &ex->base.caps;
    const pm_executor_options *o = &ex->base.options;
    *c = ex->gpu.caps;
    if (o->max_block_bytes && o->max_block_bytes < c->max_block_bytes)
        c->max_block_bytes = o->max_block_bytes;
    if (o->submit_cost && (c->submit_cost == 0 || o->submit_cost < c->submit_cost)) /* 0: no limit */
        c->submit_cost = o->submit_cost;
}

static void close_executor(pm_executor *base) {
    pm_vk_executor *ex = (pm_vk_executor *)base;
    if (ex->device && !ex->hung) (void)ex->d.vkDeviceWaitIdle(ex->device); /* a lost device is idle */
    if (ex->device) {
        if (ex->timeline && !ex->hung) ex->d.vkDestroySemaphore(ex->device, ex->timeline, NULL);
        pm_vk_staging_destroy(ex);
        pm_vk_pipelines_destroy(ex);
        (void)pm_vk_slots_drop(ex);
        pm_vk_arena_destroy(ex);
        pm_vk_store_destroy(ex);
    }
    /* Commands of a hung device may still run, and waiting for them may never end. Destroying what they use is
     * undefined, so the device, its objects and its instance are leaked: the process has them until it ends,
     * and only memory of the host is freed here and in the functions above. */
    if (ex->device && !ex->hung) ex->d.vkDestroyDevice(ex->device, NULL);
    if (ex->hung)
        pm_vk_messenger_destroy(&ex->in); /* it would write into this executor */
    else
        pm_vk_instance_destroy(&ex->in);
    pm_text_free(&base->messages);
    pm_free(ex);
}

pm_status pm_vulkan_open(size_t index, const pm_executor_options *options, pm_executor **out) {
    *out = NULL;
    if (!pm_vk_loader_ready())
        return pm_raise(PM_ERR_DEVICE, "open: no Vulkan loader (libvulkan.so.1) on this machine");
    pm_vk_executor *ex = pm_calloc(1, sizeof *ex);
    if (!ex) return PM_ERR_MEMORY;
    ex->base.vtable = &vtable;
    if (options) ex->base.options = *options;
    pm_status s;
    PM_GOTO(pm_vk_instance_create(ex->base.options.validate, &ex->base, &ex->in));
    PM_GOTO(choose(ex, index));
    apply_options(ex);
    PM_GOTO(create_device(ex));
    PM_GOTO(pm_vk_pipelines_create(ex));
    ex->base.options.cache_dir = NULL; /* used up; the caller's string need not live on */
    *out = &ex->base;
    return PM_OK;
fail:
    close_executor(&ex->base);
    return s;
}

pm_status pm_vulkan_list(pm_caps **out_caps, size_t *out_n, const char **out_note) {
    *out_caps = NULL;
    *out_n = 0;
    *out_note = "";
    static _Thread_local char note[PM_VK_NOTE_BYTES]; /* read before this thread lists again */
    pm_vk_gpu *gpus = NULL;
    size_t n = 0;
    if (!pm_vk_loader_ready()) {
        *out_note = "no Vulkan loader (libvulkan.so.1) on this machine";
    } else {
        pm_vk_instance in;
        pm_status s = pm_vk_instance_create(false, NULL, &in); /* with no driver at all this fails already */
        *note = 0;
        if (s == PM_OK) s = pm_vk_gpus(&in, &gpus, &n, note);
        pm_vk_instance_destroy(&in);
        if (s == PM_ERR_MEMORY) return s;
        if (s != PM_OK) (void)snprintf(note, sizeof note, "no Vulkan on this machine: %s", pm_error_text());
        *out_note = *note || n ? note : "no Vulkan driver on this machine";
    }
    pm_caps *caps = pm_calloc(n, sizeof *caps);
    if (!caps) {
        pm_free(gpus);
        return PM_ERR_MEMORY;
    }
    for (size_t i = 0; i < n; i++) caps[i] = gpus[i].caps;
    pm_free(gpus);
    *out_caps = caps;
    *out_n = n;
    return PM_OK;
}

static const pm_executor_vtable vtable = {
    .close = close_executor,
    .put = pm_vk_store_put,
    .has = pm_vk_store_has,
    .get = pm_vk_store_get,
    .drop = pm_vk_store_drop,
    .describe_memory = pm_vk_store_describe,
    .load = pm_vk_load,
    .unload = pm_vk_unload,
    .write = pm_vk_write,
    .set_param = pm_vk_set_param,
    .run = pm_vk_run,
    .read = pm_vk_read,
    .step = pm_vk_step,
    .peek = pm_vk_peek,
    .poke = pm_vk_poke,
    .times_ns = pm_vk_times_ns,
    .starts_ns = pm_vk_starts_ns,
};
