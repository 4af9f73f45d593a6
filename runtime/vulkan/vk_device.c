/* Owns the logical device and its queue. Everything on it is submitted to that one queue, so barriers order it all and no
 * semaphore is needed. */
#include "runtime/vulkan/vk_device.h"

#define SECOND_NS 1000000000ull
#define TIMEOUT_NS (60 * SECOND_NS)
#define SOFTWARE_TIMEOUT_NS (3600 * SECOND_NS) /* a driver on the CPU may take minutes, and does not hang */

/* ---- results ---- */

static const struct {
    VkResult result;
    pm_status status;
    const char *text;
} results[] = {
    {VK_ERROR_OUT_OF_HOST_MEMORY, PM_ERR_MEMORY, "out of host memory"},
    {VK_ERROR_OUT_OF_DEVICE_MEMORY, PM_ERR_MEMORY, "out of device memory"},
    {VK_ERROR_OUT_OF_POOL_MEMORY, PM_ERR_MEMORY, "out of descriptors"},
    {VK_ERROR_FRAGMENTED_POOL, PM_ERR_MEMORY, "out of descriptors"},
    {VK_ERROR_TOO_MANY_OBJECTS, PM_ERR_MEMORY, "too many objects"},
    {VK_ERROR_MEMORY_MAP_FAILED, PM_ERR_MEMORY, "memory could not be mapped"},
    {VK_ERROR_DEVICE_LOST, PM_ERR_LOST,
     "the device was lost (a watchdog reset it, it was removed, or the driver failed)"},
    {VK_ERROR_EXTENSION_NOT_PRESENT, PM_ERR_DEVICE, "an extension is missing that the driver had listed"},
    {VK_ERROR_FEATURE_NOT_PRESENT, PM_ERR_DEVICE, "a feature is missing that the driver had reported"},
    {VK_ERROR_INITIALIZATION_FAILED, PM_ERR_DEVICE, "the driver could not start"},
};

pm_status pm_vk_check(pm_vk_device *d, VkResult r, const char *what) {
    if (r == VK_SUCCESS) return PM_OK;
    if (r == VK_ERROR_DEVICE_LOST) d->lost = true;
    for (size_t i = 0; i < PM_COUNT(results); i++)
        if (results[i].result == r)
            return pm_raise(results[i].status, "%s: %s: %s", d->physical.caps.name, what, results[i].text);
    return pm_raise(PM_ERR_OTHER, "%s: %s: VkResult %d", d->physical.caps.name, what, (int)r);
}

bool pm_vk_device_usable(const pm_vk_device *d) { return d->handle && !d->hung; }

/* ---- creation ---- */

static pm_status find_device(size_t index, pm_vk_device *d) {
    VkPhysicalDevice *handles;
    uint32_t n;
    PM_TRY(pm_vk_instance_devices(&d->instance, &handles, &n));
    pm_status s = PM_OK;
    bool found = false;
    for (uint32_t i = 0; s == PM_OK && !found && i < n; i++) {
        bool usable;
        s = pm_vk_physical_query(&d->instance, handles[i], &d->physical, &usable);
        found = usable && index-- == 0;
    }
    pm_free(handles);
    if (s == PM_OK && !found) s = pm_raise(PM_ERR_DEVICE, "Vulkan: no device with that number is there any more");
    return s;
}

static pm_status create_device(pm_vk_device *d) {
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                     .queueFamilyIndex = d->physical.queue_family,
                                     .queueCount = 1,
                                     .pQueuePriorities = &priority};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = pm_vk_physical_features(&d->physical)};
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                               .pNext = &features,
                               .queueCreateInfoCount = 1,
                               .pQueueCreateInfos = &queue,
                               .enabledExtensionCount = d->physical.n_extensions,
                               .ppEnabledExtensionNames = d->physical.extensions};
    return pm_vk_check(d, d->instance.CreateDevice(d->physical.handle, &info, NULL, &d->handle), "opening the device");
}

pm_status pm_vk_device_create(size_t index, pm_executor *validated, pm_vk_device *out) {
    *out = (pm_vk_device){0};
    pm_status s;
    PM_GOTO(pm_vk_instance_create(validated, &out->instance));
    PM_GOTO(find_device(index, out));
    PM_GOTO(create_device(out));
    pm_vk_loader_table(out->instance.handle, out->handle, &out->fn);
    out->fn.vkGetDeviceQueue(out->handle, out->physical.queue_family, 0, &out->queue);
    out->timeout_ns = out->physical.caps.type == PM_DEVICE_SOFTWARE_GPU ? SOFTWARE_TIMEOUT_NS : TIMEOUT_NS;
    return PM_OK;
fail:
    pm_vk_device_destroy(out);
    return s;
}

void pm_vk_device_destroy(pm_vk_device *d) {
    if (!d->hung) { /* else the device is leaked: destroying what is in use is undefined */
        if (d->handle && d->fn.vkDestroyDevice) d->fn.vkDestroyDevice(d->handle, NULL);
        pm_vk_instance_destroy(&d->instance);
    }
    *d = (pm_vk_device){0};
}

/* ---- work ---- */

pm_status pm_vk_submit(pm_vk_device *d, VkCommandBuffer commands, VkFence fence) {
    if (d->lost) return pm_raise(PM_ERR_LOST, "%s: the device was lost before", d->physical.caps.name);
    VkSubmitInfo info = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &commands};
    return pm_vk_check(d, d->fn.vkQueueSubmit(d->queue, 1, &info, fence), "submitting work");
}

pm_status pm_vk_wait(pm_vk_device *d, VkFence fence, uint32_t n_submissions) {
    uint64_t timeout;
    if (!pm_mul_u64(d->timeout_ns, n_submissions, &timeout)) timeout = UINT64_MAX;
    VkResult r = d->fn.vkWaitForFences(d->handle, 1, &fence, VK_TRUE, timeout);
    if (r == VK_TIMEOUT) {
        d->lost = d->hung = true;
        return pm_raise(PM_ERR_LOST, "%s: the device did not finish %u submissions within %llu s", d->physical.caps.name,
                        n_submissions, (unsigned long long)(timeout / SECOND_NS));
    }
    PM_TRY(pm_vk_check(d, r, "waiting for work"));
    return pm_vk_check(d, d->fn.vkResetFences(d->handle, 1, &fence), "resetting a fence");
}

void pm_vk_name(const pm_vk_device *d, VkObjectType type, uint64_t handle, const char *name) {
    VkDebugUtilsObjectNameInfoEXT info = {.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT,
                                          .objectType = type,
                                          .objectHandle = handle,
                                          .pObjectName = name};
    if (d->instance.SetDebugUtilsObjectNameEXT) /* a name that could not be set is no loss */
        (void)d->instance.SetDebugUtilsObjectNameEXT(d->handle, &info);
}

/* ---- commands recorded once ---- */

pm_status pm_vk_commands_create(pm_vk_device *d, pm_vk_commands *out) {
    pm_status s;
    *out = (pm_vk_commands){0};
    VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                    .flags = VK_COMMAND_POOL_CREATE_TRANSIENT_BIT,
                                    .queueFamilyIndex = d->physical.queue_family};
    VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    PM_GOTO(pm_vk_check(d, d->fn.vkCreateCommandPool(d->handle, &pool, NULL, &out->pool), "creating a command pool"));
    VkCommandBufferAllocateInfo buffer = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                          .commandPool = out->pool,
                                          .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                          .commandBufferCount = 1};
    PM_GOTO(pm_vk_check(d, d->fn.vkAllocateCommandBuffers(d->handle, &buffer, &out->buffer), "creating a command buffer"));
    PM_GOTO(pm_vk_check(d, d->fn.vkCreateFence(d->handle, &fence, NULL, &out->fence), "creating a fence"));
    return PM_OK;
fail:
    pm_vk_commands_destroy(d, out);
    return s;
}

void pm_vk_commands_destroy(pm_vk_device *d, pm_vk_commands *c) {
    if (c->pending && !d->lost && pm_vk_commands_wait(d, c) != PM_OK) c->pending = false; /* hung says the rest */
    if (pm_vk_device_usable(d)) {
        if (c->fence) d->fn.vkDestroyFence(d->handle, c->fence, NULL);
        if (c->pool) d->fn.vkDestroyCommandPool(d->handle, c->pool, NULL); /* with its command buffer */
    }
    *c = (pm_vk_commands){0};
}

pm_status pm_vk_commands_begin(pm_vk_device *d, pm_vk_commands *c) {
    PM_TRY(pm_vk_commands_wait(d, c));
    PM_TRY(pm_vk_check(d, d->fn.vkResetCommandPool(d->handle, c->pool, 0), "resetting a command pool"));
    VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                      .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    PM_TRY(pm_vk_check(d, d->fn.vkBeginCommandBuffer(c->buffer, &begin), "beginning a command buffer"));
    c->recording = true;
    return PM_OK;
}

pm_status pm_vk_commands_submit(pm_vk_device *d, pm_vk_commands *c) {
    c->recording = false;
    PM_TRY(pm_vk_check(d, d->fn.vkEndCommandBuffer(c->buffer), "ending a command buffer"));
    PM_TRY(pm_vk_submit(d, c->buffer, c->fence));
    c->pending = true;
    return PM_OK;
}

pm_status pm_vk_commands_wait(pm_vk_device *d, pm_vk_commands *c) {
    if (!c->pending) return PM_OK;
    c->pending = false;
    return pm_vk_wait(d, c->fence, 1);
}

/* ---- barriers ---- */

void pm_vk_barrier(const pm_vk_device *d, VkCommandBuffer commands, uint32_t before, uint32_t after) {
    VkPipelineStageFlags from = 0, to = 0;
    VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER};
    if (before & PM_VK_COMPUTE) from |= VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, b.srcAccessMask |= VK_ACCESS_SHADER_WRITE_BIT;
    if (before & PM_VK_TRANSFER) from |= VK_PIPELINE_STAGE_TRANSFER_BIT, b.srcAccessMask |= VK_ACCESS_TRANSFER_WRITE_BIT;
    if (after & PM_VK_COMPUTE)
        to |= VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, b.dstAccessMask |= VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT;
    if (after & PM_VK_TRANSFER)
        to |= VK_PIPELINE_STAGE_TRANSFER_BIT, b.dstAccessMask |= VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
    if (after & PM_VK_HOST) to |= VK_PIPELINE_STAGE_HOST_BIT, b.dstAccessMask |= VK_ACCESS_HOST_READ_BIT;
    d->fn.vkCmdPipelineBarrier(commands, from, to, 0, 1, &b, 0, NULL, 0, NULL);
}
