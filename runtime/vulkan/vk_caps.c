/* Physical devices as pm_caps, from queries alone. A structure is chained only where the device's version or
 * an extension of it says that the driver knows it. Devices that cannot run the baseline kernels are not
 * listed. */
#include "runtime/vulkan/vk.h"

#include <stdio.h>
#include <string.h>

#define GPU_SUBMIT_COST                                                                                      \
    20000000000ull /* multiply-adds: well below the 2 s after which systems reset a GPU  \
                                        */

/* VK_KHR_cooperative_matrix, younger than the headers of some distributions. */
#define COOPERATIVE_MATRIX_EXTENSION "VK_KHR_cooperative_matrix"
#define COOPERATIVE_MATRIX_FEATURES  ((VkStructureType)1000506000)
typedef struct cooperative_matrix_features {
    VkStructureType sType;
    void *pNext;
    VkBool32 matrix, robust;
} cooperative_matrix_features;

/* What the driver may be asked about. */
typedef struct probe {
    uint32_t version;
    VkExtensionProperties *extensions;
    uint32_t n_extensions;
} probe;

static bool has_extension(const probe *p, const char *name) {
    for (uint32_t i = 0; i < p->n_extensions; i++)
        if (strcmp(p->extensions[i].extensionName, name) == 0) return true;
    return false;
}

static bool knows(const probe *p, uint32_t version, const char *extension) {
    return p->version >= version || has_extension(p, extension);
}

/* Puts `s` (any Vulkan structure) in front of the chain that hangs on `head`. */
static void chain(void **head, void *s) {
    ((VkBaseOutStructure *)s)->pNext = *head;
    *head = s;
}

static pm_status list_extensions(const pm_vk_instance *in, VkPhysicalDevice gpu, probe *out) {
    VK_TRY(in->vkEnumerateDeviceExtensionProperties(gpu, NULL, &out->n_extensions, NULL),
           "list device extensions");
    out->extensions = pm_calloc(out->n_extensions, sizeof *out->extensions);
    if (!out->extensions) return PM_ERR_MEMORY;
    VkResult r = in->vkEnumerateDeviceExtensionProperties(gpu, NULL, &out->n_extensions, out->extensions);
    return pm_vk_check(r == VK_INCOMPLETE ? VK_SUCCESS : r, "list device extensions");
}

static pm_device_type device_type(VkPhysicalDeviceType t) {
    switch (t) {
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return PM_DEVICE_SOFTWARE_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return PM_DEVICE_VIRTUAL_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return PM_DEVICE_INTEGRATED_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return PM_DEVICE_DISCRETE_GPU;
    default: return PM_DEVICE_OTHER;
    }
}

static void fill_limits(const VkPhysicalDeviceProperties *p, pm_caps *c) {
    const VkPhysicalDeviceLimits *l = &p->limits;
    (void)snprintf(c->name, sizeof c->name, "%s", p->deviceName);
    c->type = device_type(p->deviceType);
    c->vulkan = true;
    c->vendor_id = p->vendorID;
    c->device_id = p->deviceID;
    c->api_version = p->apiVersion;
    c->driver_version = p->driverVersion;
    memcpy(c->pipeline_cache_uuid, p->pipelineCacheUUID, sizeof c->pipeline_cache_uuid);
    c->shared_bytes = l->maxComputeSharedMemorySize;
    c->max_workgroup_invocations = l->maxComputeWorkGroupInvocations;
    for (int i = 0; i < 3; i++) {
        c->max_workgroup_size[i] = l->maxComputeWorkGroupSize[i];
        c->max_groups[i] = l->maxComputeWorkGroupCount[i];
    }
    c->push_constant_bytes = l->maxPushConstantsSize;
    c->max_binding_bytes = l->maxStorageBufferRange;
    uint64_t alignment = l->minStorageBufferOffsetAlignment;
    c->binding_alignment = alignment > 16 ? (uint32_t)alignment : 16;
    c->timestamp_ns = l->timestampPeriod;
    c->submit_cost = c->type == PM_DEVICE_SOFTWARE_GPU ? 0 : GPU_SUBMIT_COST;
}

/* Returns the driver's id, 0 where it does not tell. */
static uint32_t fill_properties(const pm_vk_instance *in, const pm_vk_gpu *gpu, const probe *p, pm_caps *c) {
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType =
                                                       VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
    VkPhysicalDeviceMaintenance4Properties buffers = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    chain(&all.pNext, &subgroup);
    chain(&all.pNext, &maintenance);
    if (knows(p, VK_API_VERSION_1_3, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)) chain(&all.pNext, &sizes);
    if (knows(p, VK_API_VERSION_1_2, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)) chain(&all.pNext, &driver);
    if (knows(p, VK_API_VERSION_1_3, VK_KHR_MAINTENANCE_4_EXTENSION_NAME)) chain(&all.pNext, &buffers);
    in->vkGetPhysicalDeviceProperties2(gpu->handle, &all);
    c->subgroup_min = sizes.minSubgroupSize ? sizes.minSubgroupSize : subgroup.subgroupSize;
    c->subgroup_max = sizes.maxSubgroupSize ? sizes.maxSubgroupSize : subgroup.subgroupSize;
    bool compute = (subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) != 0;
    c->subgroup_arithmetic =
        compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_ARITHMETIC_BIT) != 0;
    c->subgroup_broadcast = compute && (subgroup.supportedOperations & VK_SUBGROUP_FEATURE_BALLOT_BIT) != 0;
    c->max_block_bytes =
        maintenance.maxMemoryAllocationSize; /* a block is one buffer with all of its memory */
    if (buffers.maxBufferSize && buffers.maxBufferSize < c->max_block_bytes)
        c->max_block_bytes = buffers.maxBufferSize;
    (void)snprintf(c->driver, sizeof c->driver, "%.120s %.120s", driver.driverName, driver.driverInfo);
    return (uint32_t)driver.driverID;
}

static void fill_features(const pm_vk_instance *in, pm_vk_gpu *gpu, const probe *p, pm_caps *c) {
    VkPhysicalDevice16BitStorageFeatures f16 = {.sType =
                                                    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
    VkPhysicalDevice8BitStorageFeatures i8 = {.sType =
                                                  VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_8BIT_STORAGE_FEATURES};
    VkPhysicalDeviceShaderFloat16Int8Features arithmetic = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceShaderIntegerDotProductFeatures dot = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
    cooperative_matrix_features matrix = {.sType = COOPERATIVE_MATRIX_FEATURES};
    VkPhysicalDeviceConditionalRenderingFeaturesEXT conditional = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_CONDITIONAL_RENDERING_FEATURES_EXT};
    VkPhysicalDeviceFeatures2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};
    chain(&all.pNext, &f16);
    VkPhysicalDeviceTimelineSemaphoreFeatures timeline = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES};
    if (p->version >= VK_API_VERSION_1_2) chain(&all.pNext, &timeline);
    if (has_extension(p, VK_EXT_CONDITIONAL_RENDERING_EXTENSION_NAME)) chain(&all.pNext, &conditional);
    if (knows(p, VK_API_VERSION_1_2, VK_KHR_8BIT_STORAGE_EXTENSION_NAME)) chain(&all.pNext, &i8);
    if (knows(p, VK_API_VERSION_1_2, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME))
        chain(&all.pNext, &arithmetic);
    if (knows(p, VK_API_VERSION_1_3, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME))
        chain(&all.pNext, &dot);
    if (has_extension(p, COOPERATIVE_MATRIX_EXTENSION)) chain(&all.pNext, &matrix);
    in->vkGetPhysicalDeviceFeatures2(gpu->handle, &all);
    c->f16_storage = f16.storageBuffer16BitAccess;
    c->i8_storage = i8.storageBuffer8BitAccess;
    c->f16_arithmetic = arithmetic.shaderFloat16;
    c->i8_arithmetic = arithmetic.shaderInt8;
    c->integer_dot = dot.shaderIntegerDotProduct;
    c->cooperative_matrix = matrix.matrix;
    c->skips_halted = conditional.conditionalRendering;
    gpu->timeline = timeline.timelineSemaphore;
}

static void fill_memory(const VkPhysicalDeviceMemoryProperties *m, pm_caps *c) {
    const VkMemoryPropertyFlags own_and_mapped = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT |
                                                 VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                                 VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
    bool mapped = false;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        mapped |= (m->memoryTypes[i].propertyFlags & own_and_mapped) == own_and_mapped;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++)
        if ((m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) &&
            m->memoryHeaps[i].size > c->memory_bytes)
            c->memory_bytes = m->memoryHeaps[i].size;
    c->unified_memory = mapped && (c->type == PM_DEVICE_INTEGRATED_GPU || c->type == PM_DEVICE_SOFTWARE_GPU);
}

/* Finds a queue family with compute; false when there is none. */
static bool fill_queue(const pm_vk_instance *in, pm_vk_gpu *gpu) {
    VkQueueFamilyProperties families[32];
    uint32_t n = 32;
    in->vkGetPhysicalDeviceQueueFamilyProperties(gpu->handle, &n, families);
    for (uint32_t i = 0; i < n; i++)
        if (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) {
            gpu->queue_family = i;
            gpu->timestamp_bits = families[i].timestampValidBits;
            return true;
        }
    return false;
}

/* PM_ERR_DEVICE when it cannot run the baseline kernels. */
static pm_status check_usable(const pm_vk_instance *in, pm_vk_gpu *gpu,
                              const VkPhysicalDeviceProperties *properties) {
    const VkPhysicalDeviceLimits *l = &properties->limits;
    const struct {
        const char *what;
        uint32_t has, needs;
    } limits[] = {{"storage buffers a shader", l->maxPerStageDescriptorStorageBuffers, PM_MAX_BINDINGS},
                  {"storage buffers a descriptor set", l->maxDescriptorSetStorageBuffers, PM_MAX_BINDINGS},
                  {"bytes of push constants", l->maxPushConstantsSize, PM_MAX_PARAM_BYTES}};
    if (properties->apiVersion < VK_API_VERSION_1_1)
        return pm_raise(PM_ERR_DEVICE, "device %s: Vulkan %u.%u, expected 1.1 or later",
                        properties->deviceName, VK_API_VERSION_MAJOR(properties->apiVersion),
                        VK_API_VERSION_MINOR(properties->apiVersion));
    for (size_t i = 0; i < PM_COUNT(limits); i++)
        if (limits[i].has < limits[i].needs)
            return pm_raise(PM_ERR_DEVICE, "device %s: %u %s, expected at least %u", properties->deviceName,
                            limits[i].has, limits[i].what, limits[i].needs);
    if (!fill_queue(in, gpu))
        return pm_raise(PM_ERR_DEVICE, "device %s: no queue for compute", properties->deviceName);
    return PM_OK;
}

static pm_status query(const pm_vk_instance *in, pm_vk_gpu *gpu) {
    VkPhysicalDeviceProperties properties;
    in->vkGetPhysicalDeviceProperties(gpu->handle, &properties);
    PM_TRY(check_usable(in, gpu, &properties));
    probe p = {.version = properties.apiVersion};
    pm_status s = list_extensions(in, gpu->handle, &p);
    if (s == PM_OK) {
        fill_limits(&properties, &gpu->caps);
        uint32_t driver = fill_properties(in, gpu, &p, &gpu->caps);
        fill_features(in, gpu, &p, &gpu->caps);
        in->vkGetPhysicalDeviceMemoryProperties(gpu->handle, &gpu->memory);
        fill_memory(&gpu->memory, &gpu->caps);
        gpu->caps.timestamps = gpu->timestamp_bits > 0 && gpu->caps.timestamp_ns > 0;
        gpu->feedback_extension = has_extension(&p, VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME);
        gpu->feedback = gpu->feedback_extension || p.version >= VK_API_VERSION_1_3;
        gpu->portability_subset = has_extension(&p, "VK_KHR_portability_subset");
        pm_vk_quirks_apply(&gpu->caps, driver);
    }
    pm_free(p.extensions);
    return s;
}

static void add_note(char note[PM_VK_NOTE_BYTES], const char *text) {
    size_t used = strlen(note);
    (void)snprintf(note + used, PM_VK_NOTE_BYTES - used, "%sleft out: %s", used ? "; " : "", text);
}

pm_status pm_vk_gpus(const pm_vk_instance *in, pm_vk_gpu **out, size_t *out_n,
                     char out_note[PM_VK_NOTE_BYTES]) {
    *out = NULL;
    *out_note = 0;
    *out_n = 0;
    uint32_t n = 0;
    VkResult counted = in->vkEnumeratePhysicalDevices(in->handle, &n, NULL);
    /* With no driver at all the loader answers VK_ERROR_INITIALIZATION_FAILED: no devices, not a failure. */
    if (counted == VK_ERROR_INITIALIZATION_FAILED)
        n = 0;
    else if (counted != VK_SUCCESS)
        return pm_raise(PM_ERR_DEVICE, "vkEnumeratePhysicalDevices: %s", pm_vk_result_name(counted));
    VkPhysicalDevice *handles = pm_calloc(n, sizeof(VkPhysicalDevice));
    pm_vk_gpu *all = pm_calloc(n, sizeof *all);
    pm_status s = handles && all ? PM_OK : PM_ERR_MEMORY;
    if (s != PM_OK) goto fail;
    if (n > 0) {
        VkResult r = in->vkEnumeratePhysicalDevices(in->handle, &n, handles);
        PM_GOTO(pm_vk_check(r == VK_INCOMPLETE ? VK_SUCCESS : r, "vkEnumeratePhysicalDevices"));
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        all[kept] = (pm_vk_gpu){.handle = handles[i]};
        s = query(in, &all[kept]);
        if (s == PM_ERR_MEMORY) goto fail;
        if (s == PM_OK)
            kept++;
        else
            add_note(out_note, pm_error_text()); /* one bad driver hides no other device */
    }
    pm_free(handles);
    *out = all;
    *out_n = kept;
    return PM_OK;
fail:
    pm_free(handles);
    pm_free(all);
    return s;
}
