/* Compute pipelines, one for each (variant, specialization constants), kept for as long as the executor
 * lives, with the driver's pipeline cache behind them. All sixteen constants are passed to every shader:
 * Vulkan ignores those that a shader does not declare. */
#include "runtime/vulkan/vk.h"

#include <string.h>

#include "runtime/vulkan/vk_cache.h"
#include "runtime/vulkan/vk_spirv.h"

static pm_status create_layouts(pm_vk_executor *ex) {
    VkDescriptorSetLayoutBinding bindings[PM_MAX_BINDINGS];
    for (uint32_t i = 0; i < PM_MAX_BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                     .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                                     .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = PM_MAX_PARAM_BYTES};
    for (uint32_t n = 1; n <= PM_MAX_BINDINGS; n++) {
        const VkDescriptorSetLayoutCreateInfo set = {.sType =
                                                         VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                     .bindingCount = n,
                                                     .pBindings = bindings};
        VK_TRY(ex->d.vkCreateDescriptorSetLayout(ex->device, &set, NULL, &ex->pipelines.set_layouts[n]),
               "vkCreateDescriptorSetLayout");
        const VkPipelineLayoutCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                                 .setLayoutCount = 1,
                                                 .pSetLayouts = &ex->pipelines.set_layouts[n],
                                                 .pushConstantRangeCount = 1,
                                                 .pPushConstantRanges = &push};
        VK_TRY(ex->d.vkCreatePipelineLayout(ex->device, &info, NULL, &ex->pipelines.layouts[n]),
               "vkCreatePipelineLayout");
    }
    return PM_OK;
}

pm_status pm_vk_pipelines_create(pm_vk_executor *ex) {
    pm_vk_pipelines *ps = &ex->pipelines;
    PM_TRY(create_layouts(ex));
    size_t bytes = 0;
    void *data = NULL;
    if (!ex->base.options.no_cache) {
        PM_TRY(pm_vk_cache_path(&ex->base.caps, ex->base.options.cache_dir, &ps->cache_path));
        if (ps->cache_path) data = pm_vk_cache_read(ps->cache_path, &ex->base.caps, &bytes);
    }
    VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                      .initialDataSize = bytes,
                                      .pInitialData = data};
    VkResult r = ex->d.vkCreatePipelineCache(ex->device, &info, NULL, &ps->cache);
    if (r != VK_SUCCESS && bytes > 0) { /* the driver dislikes the data: start empty */
        info.initialDataSize = 0;
        r = ex->d.vkCreatePipelineCache(ex->device, &info, NULL, &ps->cache);
    }
    pm_free(data);
    return pm_vk_check(r, "vkCreatePipelineCache");
}

static void save_cache(pm_vk_executor *ex) {
    pm_vk_pipelines *ps = &ex->pipelines;
    if (!ps->cache_path || !ps->cache_changed || ex->lost) return;
    size_t bytes = 0;
    if (ex->d.vkGetPipelineCacheData(ex->device, ps->cache, &bytes, NULL) != VK_SUCCESS || bytes == 0) return;
    void *data = pm_alloc(bytes);
    if (data && ex->d.vkGetPipelineCacheData(ex->device, ps->cache, &bytes, data) == VK_SUCCESS)
        pm_vk_cache_write(ps->cache_path, data, bytes);
    pm_free(data);
}

void pm_vk_pipelines_destroy(pm_vk_executor *ex) {
    pm_vk_pipelines *ps = &ex->pipelines;
    if (ps->cache && !ex->hung) {
        save_cache(ex);
        ex->d.vkDestroyPipelineCache(ex->device, ps->cache, NULL);
    }
    for (size_t i = 0; i < ps->n && !ex->hung; i++)
        ex->d.vkDestroyPipeline(ex->device, ps->all[i].handle, NULL);
    for (uint32_t n = 1; n <= PM_MAX_BINDINGS && !ex->hung; n++) {
        if (ps->layouts[n]) ex->d.vkDestroyPipelineLayout(ex->device, ps->layouts[n], NULL);
        if (ps->set_layouts[n]) ex->d.vkDestroyDescriptorSetLayout(ex->device, ps->set_layouts[n], NULL);
    }
    pm_free(ps->all);
    pm_free(ps->cache_path);
    *ps = (pm_vk_pipelines){0};
}

static pm_status create(pm_vk_executor *ex, const pm_dispatch *d, VkShaderModule module, VkPipeline *out) {
    VkSpecializationMapEntry entries[PM_N_SPEC];
    for (uint32_t i = 0; i < PM_N_SPEC; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    const VkSpecializationInfo spec = {
        .mapEntryCount = PM_N_SPEC, .pMapEntries = entries, .dataSize = sizeof d->spec, .pData = d->spec};
    VkPipelineCreationFeedback whole = {0}, stage = {0};
    const VkPipelineCreationFeedbackCreateInfo feedback = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_CREATION_FEEDBACK_CREATE_INFO,
        .pPipelineCreationFeedback = &whole,
        .pipelineStageCreationFeedbackCount = 1,
        .pPipelineStageCreationFeedbacks = &stage};
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .pNext = ex->gpu.feedback ? &feedback : NULL,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &spec},
        .layout = ex->pipelines.layouts[d->n_bindings]};
    VkResult r = ex->d.vkCreateComputePipelines(ex->device, ex->pipelines.cache, 1, &info, NULL, out);
    if (r != VK_SUCCESS) {
        char what[128] = "pipeline ";
        strncat(what, pm_variant_get(d->variant)->name, sizeof what - strlen(what) - 1);
        return pm_vk_check(r, what);
    }
    const uint32_t hit = VK_PIPELINE_CREATION_FEEDBACK_VALID_BIT |
                         VK_PIPELINE_CREATION_FEEDBACK_APPLICATION_PIPELINE_CACHE_HIT_BIT;
    bool cached = (whole.flags & hit) == hit || (stage.flags & hit) == hit;
    ex->base.stats.n_pipelines++;
    ex->base.stats.n_pipelines_cached += cached;
    if (!cached) ex->pipelines.cache_changed = true;
    pm_vk_name(ex, VK_OBJECT_TYPE_PIPELINE, (uint64_t)*out, pm_variant_get(d->variant)->name);
    return PM_OK;
}

pm_status pm_vk_pipeline_get(pm_vk_executor *ex, const pm_dispatch *d, VkPipeline *out) {
    pm_vk_pipelines *ps = &ex->pipelines;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->all[i].variant == d->variant && memcmp(ps->all[i].spec, d->spec, sizeof d->spec) == 0) {
            *out = ps->all[i].handle;
            return PM_OK;
        }
    PM_TRY(pm_grow((void **)&ps->all, &ps->capacity, ps->n + 1, sizeof *ps->all));
    const VkShaderModuleCreateInfo info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                           .codeSize = pm_spirv_table[d->variant].bytes,
                                           .pCode = pm_spirv_table[d->variant].words};
    VkShaderModule module;
    VK_TRY(ex->d.vkCreateShaderModule(ex->device, &info, NULL, &module), "vkCreateShaderModule");
    pm_vk_pipeline *p = &ps->all[ps->n];
    p->variant = d->variant;
    memcpy(p->spec, d->spec, sizeof p->spec);
    pm_status s = create(ex, d, module, &p->handle);
    ex->d.vkDestroyShaderModule(ex->device, module, NULL);
    if (s != PM_OK) return s;
    ps->n++;
    *out = p->handle;
    return PM_OK;
}
