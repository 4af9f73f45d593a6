/* Fills pm_caps from queries alone. Each query struct is chained only where the device's version or an extension allows. */
#include "runtime/vulkan/vk_caps.h"

#include <stdio.h>
#include <string.h>

#include "runtime/vulkan/vk_quirks.h"

/* Extensions that matter; `core`: the version from which the device has it without the extension. */
enum { EXT_STORAGE8, EXT_FLOAT16_INT8, EXT_INTEGER_DOT, EXT_SUBGROUP_SIZE, EXT_DRIVER, EXT_MAINTENANCE4, EXT_FEEDBACK,
       EXT_PORTABILITY, EXT_COOPERATIVE_MATRIX, N_EXT };

static const struct {
    const char *name;
    uint32_t core;
    bool enable; /* ask for it when the device is older than `core` */
} extensions[N_EXT] = {
    [EXT_STORAGE8] = {"VK_KHR_8bit_storage", VK_API_VERSION_1_2, true},
    [EXT_FLOAT16_INT8] = {"VK_KHR_shader_float16_int8", VK_API_VERSION_1_2, true},
    [EXT_INTEGER_DOT] = {"VK_KHR_shader_integer_dot_product", VK_API_VERSION_1_3, true},
    [EXT_SUBGROUP_SIZE] = {"VK_EXT_subgroup_size_control", VK_API_VERSION_1_3, false},
    [EXT_DRIVER] = {"VK_KHR_driver_properties", VK_API_VERSION_1_2, false},
    [EXT_MAINTENANCE4] = {"VK_KHR_maintenance4", VK_API_VERSION_1_3, false},
    [EXT_FEEDBACK] = {"VK_EXT_pipeline_creation_feedback", VK_API_VERSION_1_3, true},
    [EXT_PORTABILITY] = {"VK_KHR_portability_subset", UINT32_MAX, true}, /* must be enabled where it is listed */
    [EXT_COOPERATIVE_MATRIX] = {"VK_KHR_cooperative_matrix", UINT32_MAX, false}, /* reported; no variant uses it yet */
};

static const pm_device_type types[] = {
    [VK_PHYSICAL_DEVICE_TYPE_OTHER] = PM_DEVICE_OTHER,
    [VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU] = PM_DEVICE_INTEGRATED_GPU,
    [VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU] = PM_DEVICE_DISCRETE_GPU,
    [VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU] = PM_DEVICE_VIRTUAL_GPU,
    [VK_PHYSICAL_DEVICE_TYPE_CPU] = PM_DEVICE_SOFTWARE_GPU,
};

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

static pm_status find_extensions(const pm_vk_instance *i, pm_vk_physical *p, bool have[N_EXT]) {
    uint32_t n = 0;
    bool listed[N_EXT] = {0};
    VkExtensionProperties *list = NULL;
    if (i->EnumerateDeviceExtensionProperties(p->handle, NULL, &n, NULL) != VK_SUCCESS) n = 0;
    if (n && !(list = pm_calloc(n, sizeof *list))) return PM_ERR_MEMORY;
    VkResult r = n ? i->EnumerateDeviceExtensionProperties(p->handle, NULL, &n, list) : VK_SUCCESS;
    if (r != VK_SUCCESS && r != VK_INCOMPLETE) n = 0;
    for (uint32_t k = 0; k < n; k++)
        for (int e = 0; e < N_EXT; e++)
            if (!strcmp(list[k].extensionName, extensions[e].name)) listed[e] = true;
    pm_free(list);
    p->n_extensions = 0;
    for (int e = 0; e < N_EXT; e++) {
        bool core = p->caps.api_version >= extensions[e].core;
        have[e] = core || listed[e];
        if (!core && listed[e] && extensions[e].enable && p->n_extensions < PM_VK_MAX_EXTENSIONS)
            p->extensions[p->n_extensions++] = extensions[e].name;
    }
    return PM_OK;
}

static bool find_queue(const pm_vk_instance *i, pm_vk_physical *p) {
    VkQueueFamilyProperties families[32];
    uint32_t n = (uint32_t)PM_COUNT(families);
    i->GetPhysicalDeviceQueueFamilyProperties(p->handle, &n, families);
    for (uint32_t k = 0; k < n; k++) {
        if (!(families[k].queueFlags & VK_QUEUE_COMPUTE_BIT) || !families[k].queueCount) continue;
        p->queue_family = k;
        p->timestamp_bits = families[k].timestampValidBits;
        return true;
    }
    return false;
}

/* The struct types stay at zero where the device knows no such struct, and the chain leaves those out. */
void *pm_vk_physical_features(pm_vk_physical *p) {
    void *chain = NULL;
#define LINK(member)                                                                                         \
    if (p->member.sType) p->member.pNext = chain, chain = &p->member
    LINK(storage16);
    LINK(storage8);
    LINK(float16_int8);
    LINK(integer_dot);
#undef LINK
    return chain;
}

static void query_features(const pm_vk_instance *i, pm_vk_physical *p, const bool have[N_EXT]) {
    p->storage16.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES;
    if (have[EXT_STORAGE8]) p->storage8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES;
    if (have[EXT_FLOAT16_INT8])
        p->float16_int8.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES;
    if (have[EXT_INTEGER_DOT])
        p->integer_dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = pm_vk_physical_features(p)};
    i->GetPhysicalDeviceFeatures2(p->handle, &features);
    /* Ask only for what shaders would use: the others of these structs cost some drivers speed. */
    p->storage16.uniformAndStorageBuffer16BitAccess = VK_FALSE;
    p->storage16.storagePushConstant16 = p->storage16.storageInputOutput16 = VK_FALSE;
    p->storage8.uniformAndStorageBuffer8BitAccess = p->storage8.storagePushConstant8 = VK_FALSE;
    p->caps.f16_storage = p->storage16.storageBuffer16BitAccess;
    p->caps.i8_storage = p->storage8.storageBuffer8BitAccess;
    p->caps.f16_arithmetic = p->float16_int8.shaderFloat16;
    p->caps.i8_arithmetic = p->float16_int8.shaderInt8;
    p->caps.integer_dot = p->integer_dot.shaderIntegerDotProduct;
    p->caps.cooperative_matrix = have[EXT_COOPERATIVE_MATRIX];
    p->pipeline_feedback = have[EXT_FEEDBACK];
}

static void copy_limits(pm_vk_physical *p, const VkPhysicalDeviceProperties *device) {
    const VkPhysicalDeviceLimits *l = &device->limits;
    pm_caps *c = &p->caps;
    c->vulkan = true;
    c->type = device->deviceType < PM_COUNT(types) ? types[device->deviceType] : PM_DEVICE_OTHER;
    c->vendor_id = device->vendorID;
    c->device_id = device->deviceID;
    c->driver_version = device->driverVersion;
    memcpy(c->pipeline_cache_uuid, device->pipelineCacheUUID, sizeof c->pipeline_cache_uuid);
    c->shared_bytes = l->maxComputeSharedMemorySize;
    c->max_workgroup_invocations = l->maxComputeWorkGroupInvocations;
    memcpy(c->max_workgroup_size, l->maxComputeWorkGroupSize, sizeof c->max_workgroup_size);
    memcpy(c->max_groups, l->maxComputeWorkGroupCount, sizeof c->max_groups);
    c->push_constant_bytes = l->maxPushConstantsSize;
    c->max_binding_bytes = l->maxStorageBufferRange;
    c->binding_alignment = (uint32_t)l->minStorageBufferOffsetAlignment;
    if (c->binding_alignment < 16) c->binding_alignment = 16;
    c->timestamps = p->timestamp_bits > 0 && l->timestampPeriod > 0;
    c->timestamp_ns = l->timestampPeriod;
}

static void query_properties(const pm_vk_instance *i, pm_vk_physical *p, const bool have[N_EXT]) {
    VkPhysicalDeviceMaintenance4Properties maintenance4 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance3 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &maintenance3};
    if (have[EXT_MAINTENANCE4]) maintenance4.pNext = all.pNext, all.pNext = &maintenance4;
    if (have[EXT_DRIVER]) driver.pNext = all.pNext, all.pNext = &driver;
    if (have[EXT_SUBGROUP_SIZE]) sizes.pNext = all.pNext, all.pNext = &sizes;
    i->GetPhysicalDeviceProperties2(p->handle, &all);

    pm_caps *c = &p->caps;
    copy_limits(p, &all.properties);
    snprintf(c->name, sizeof c->name, "%s", all.properties.deviceName);
    uint32_t v = c->driver_version;
    if (have[EXT_DRIVER])
        snprintf(c->driver, sizeof c->driver, "%.120s %.120s", driver.driverName, driver.driverInfo);
    else
        snprintf(c->driver, sizeof c->driver, "driver %u.%u.%u", VK_VERSION_MAJOR(v), VK_VERSION_MINOR(v), VK_VERSION_PATCH(v));
    bool in_compute = subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT;
    c->subgroup_arithmetic = in_compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT);
    c->subgroup_min = c->subgroup_max = subgroup.subgroupSize;
    if (have[EXT_SUBGROUP_SIZE] && sizes.minSubgroupSize) {
        c->subgroup_min = sizes.minSubgroupSize;
        c->subgroup_max = sizes.maxSubgroupSize;
    }
    c->max_block_bytes = maintenance3.maxMemoryAllocationSize;
    if (have[EXT_MAINTENANCE4] && maintenance4.maxBufferSize)
        c->max_block_bytes = smaller(c->max_block_bytes, maintenance4.maxBufferSize);
}

/* Unified: the host can map device memory, and the type of the device says that it is the same memory (a discrete
 * card's mappable memory lies behind a bus). Call after the properties. */
static void query_memory(const pm_vk_instance *i, pm_vk_physical *p) {
    const VkMemoryPropertyFlags mappable = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                           VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    bool has_mappable = false;
    i->GetPhysicalDeviceMemoryProperties(p->handle, &p->memory);
    for (uint32_t k = 0; k < p->memory.memoryTypeCount; k++)
        has_mappable = has_mappable || (p->memory.memoryTypes[k].propertyFlags & mappable) == mappable;
    for (uint32_t k = 0; k < p->memory.memoryHeapCount; k++)
        if ((p->memory.memoryHeaps[k].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            p->memory.memoryHeaps[k].size > p->caps.memory_bytes)
            p->caps.memory_bytes = p->memory.memoryHeaps[k].size;
    p->caps.max_block_bytes = smaller(p->caps.max_block_bytes, p->caps.memory_bytes);
    p->caps.unified_memory =
        has_mappable && (p->caps.type == PM_DEVICE_INTEGRATED_GPU || p->caps.type == PM_DEVICE_SOFTWARE_GPU);
}

pm_status pm_vk_physical_query(const pm_vk_instance *i, VkPhysicalDevice handle, pm_vk_physical *out, bool *out_usable) {
    bool have[N_EXT];
    *out = (pm_vk_physical){.handle = handle};
    *out_usable = false;
    VkPhysicalDeviceProperties first;
    i->GetPhysicalDeviceProperties(handle, &first); /* the version says what else may be asked */
    uint32_t version = first.apiVersion;
    if (version < VK_API_VERSION_1_1 || !find_queue(i, out)) return PM_OK;
    out->caps.api_version = version < i->api_version ? version : i->api_version;
    PM_TRY(find_extensions(i, out, have));
    query_features(i, out, have);
    query_properties(i, out, have);
    query_memory(i, out);
    pm_vk_quirks_apply(&out->caps);
    *out_usable = true;
    return PM_OK;
}
