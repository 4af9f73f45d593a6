/* Descriptor sets and command buffers of a loaded program: made once and replayed, and made again only when
 * the arena moved. One command buffer a submission; each begins by waiting for all that was submitted before
 * it, so that replays need no semaphore. Barriers between dispatches stand where the program says, nowhere
 * else, except when dispatches are timed. */
#include "runtime/vulkan/vk.h"

static pm_vk_executor *vk(const pm_vk_loaded *l) {
    return (pm_vk_executor *)l->base.executor;
}

/* ---- descriptor sets ---- */

/* Reads a weight that may be in a slot at one time, in another at another (graph/stream.h). */
static bool may_stream(const pm_program *p, const pm_dispatch *d) {
    for (uint32_t b = 0; b < d->n_bindings; b++)
        if (d->bindings[b].slot >= p->n_blocks && d->loads[b] > d->bindings[b].bytes) return true;
    return false;
}

static bool same_bindings(const pm_dispatch *a, const pm_dispatch *b) {
    if (a->n_bindings != b->n_bindings) return false;
    for (uint32_t i = 0; i < a->n_bindings; i++)
        if (a->bindings[i].slot != b->bindings[i].slot || a->bindings[i].offset != b->bindings[i].offset ||
            a->bindings[i].bytes != b->bindings[i].bytes)
            return false;
    return true;
}

static bool can_share(const pm_program *p, const pm_dispatch *a, const pm_dispatch *b) {
    return same_bindings(a, b) && !may_stream(p, a) && !may_stream(p, b);
}

/* Gives every dispatch a set; equal bindings share one, but for those of weights that may be in slots. A hash table of set numbers, open addressing. */
static pm_status share_sets(pm_vk_loaded *l) {
    const pm_program *p = l->base.program;
    uint32_t size = 16;
    while (size < 2 * p->n_dispatches) size *= 2;
    uint32_t *table = pm_calloc(size, sizeof *table); /* 1 + set */
    if (!table) return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_dispatch *d = &p->dispatches[i];
        uint64_t h = d->n_bindings;
        for (uint32_t b = 0; b < d->n_bindings; b++)
            h = (h ^ d->bindings[b].slot ^ d->bindings[b].offset << 8 ^ d->bindings[b].bytes << 20) *
                0x9e3779b97f4a7c15ull;
        uint32_t at = (uint32_t)(h >> 32) & (size - 1);
        while (table[at] && !can_share(p, d, &p->dispatches[l->set_dispatch[table[at] - 1]]))
            at = (at + 1) & (size - 1);
        if (!table[at]) {
            l->set_dispatch[l->n_sets] = i;
            table[at] = ++l->n_sets;
        }
        l->set_index[i] = table[at] - 1;
    }
    pm_free(table);
    return PM_OK;
}

pm_status pm_vk_sets_create(pm_vk_loaded *l) {
    pm_vk_executor *ex = vk(l);
    const pm_program *p = l->base.program;
    if (p->n_dispatches == 0) return PM_OK;
    if (p->n_dispatches > UINT32_MAX / 4)
        return pm_raise(PM_ERR_USAGE, "load: program '%s' has %u dispatches, too many", p->name,
                        p->n_dispatches);
    PM_TRY(share_sets(l));
    l->sets = pm_calloc(l->n_sets, sizeof(VkDescriptorSet));
    VkDescriptorSetLayout *layouts = pm_calloc(l->n_sets, sizeof(VkDescriptorSetLayout));
    pm_status s = l->sets && layouts ? PM_OK : PM_ERR_MEMORY;
    if (s != PM_OK) goto fail;
    VkDescriptorPoolSize size = {.type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER};
    for (uint32_t i = 0; i < l->n_sets; i++) {
        uint32_t n = p->dispatches[l->set_dispatch[i]].n_bindings;
        size.descriptorCount += n;
        layouts[i] = ex->pipelines.set_layouts[n];
    }
    const VkDescriptorPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = l->n_sets,
                                             .poolSizeCount = 1,
                                             .pPoolSizes = &size};
    PM_GOTO(pm_vk_check(ex->d.vkCreateDescriptorPool(ex->device, &pool, NULL, &l->descriptors),
                        "vkCreateDescriptorPool"));
    const VkDescriptorSetAllocateInfo sets = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
                                              .descriptorPool = l->descriptors,
                                              .descriptorSetCount = l->n_sets,
                                              .pSetLayouts = layouts};
    PM_GOTO(
        pm_vk_check(ex->d.vkAllocateDescriptorSets(ex->device, &sets, l->sets), "vkAllocateDescriptorSets"));
fail:
    pm_free(layouts);
    return s;
}

/* Points every set at the buffers as they are now. */
static void bind(pm_vk_loaded *l) {
    pm_vk_executor *ex = vk(l);
    for (uint32_t i = 0; i < l->n_sets; i++) {
        const pm_dispatch *d = &l->base.program->dispatches[l->set_dispatch[i]];
        VkDescriptorBufferInfo buffers[PM_MAX_BINDINGS];
        for (uint32_t b = 0; b < d->n_bindings; b++) buffers[b] = pm_vk_stream_bind(l, l->set_dispatch[i], b);
        const VkWriteDescriptorSet write = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                            .dstSet = l->sets[i],
                                            .descriptorCount = d->n_bindings,
                                            .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                            .pBufferInfo = buffers};
        ex->d.vkUpdateDescriptorSets(ex->device, 1, &write, 0, NULL);
    }
}

/* ---- commands ---- */

static void compute_barrier(pm_vk_executor *ex, VkCommandBuffer c) {
    const VkMemoryBarrier all = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                 .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                 .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    ex->d.vkCmdPipelineBarrier(c, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                               0, 1, &all, 0, NULL, 0, NULL);
}

/* Test only: one word of the result becomes wrong. The last word of a written range is an element of the
 * result; of a cache, of which a dispatch writes some rows, the first word is one that is read. */
static void spoil(const pm_vk_loaded *l, const pm_dispatch *d, VkCommandBuffer c) {
    pm_vk_executor *ex = vk(l);
    const uint32_t wrong =
        d->kernel == PM_KERNEL_ARGMAX || d->kernel == PM_KERNEL_TOP_K || d->kernel == PM_KERNEL_SAMPLE
            ? 1u           /* a legal index */
            : 0x461c4000u; /* 10000.0f */
    pm_vk_full_barrier(ex, c);
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        const pm_range *r = &d->bindings[b];
        if (!(d->written & 1u << b) || r->bytes < 4) continue;
        pm_vk_place at = pm_vk_slot(l, r->slot);
        bool cache = d->kernel == PM_KERNEL_CACHE_WRITE ||
                     (d->kernel == PM_KERNEL_MATMUL && r->slot >= l->base.program->n_blocks);
        uint64_t word = at.offset + r->offset + (cache ? 0 : r->bytes / 4 * 4 - 4);
        ex->d.vkCmdFillBuffer(c, at.buffer->handle, word, 4, wrong);
    }
    pm_vk_full_barrier(ex, c);
}

static void record_dispatch(const pm_vk_loaded *l, uint32_t i, VkCommandBuffer c) {
    pm_vk_executor *ex = vk(l);
    const pm_dispatch *d = &l->base.program->dispatches[i];
    VkPipelineLayout layout = ex->pipelines.layouts[d->n_bindings];
    ex->d.vkCmdBindPipeline(c, VK_PIPELINE_BIND_POINT_COMPUTE, l->pipelines[i]);
    ex->d.vkCmdBindDescriptorSets(c, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &l->sets[l->set_index[i]],
                                  0, NULL);
    if (d->param_bytes)
        ex->d.vkCmdPushConstants(c, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, d->param_bytes, d->params);
    ex->d.vkCmdDispatch(c, d->groups[0], d->groups[1], d->groups[2]);
    if (ex->base.options.broken_kernel == 1 + (int32_t)d->kernel) spoil(l, d, c);
}

static void copy(const pm_vk_loaded *l, VkCommandBuffer c, const pm_range *r, const pm_vk_buffer *host,
                 bool in, uint64_t host_offset) {
    if (r->bytes == 0) return;
    pm_vk_place at = pm_vk_slot(l, r->slot);
    uint64_t offset = at.offset + r->offset;
    const VkBufferCopy region = {
        .srcOffset = in ? host_offset : offset, .dstOffset = in ? offset : host_offset, .size = r->bytes};
    vk(l)->d.vkCmdCopyBuffer(c, in ? host->handle : at.buffer->handle, in ? at.buffer->handle : host->handle,
                             1, &region);
}

/* ---- runs of a program that has halted (program.h) are passed over ---- */

/* The halt word as it is before the run: a device may look at a condition before every dispatch, and the run may change the word. */
static void keep_condition(const pm_vk_loaded *l, VkCommandBuffer c) {
    if (!l->condition.handle) return;
    const pm_range *halt = &l->base.program->halt;
    pm_vk_place at = pm_vk_slot(l, halt->slot);
    const VkBufferCopy word = {.srcOffset = at.offset + halt->offset, .size = sizeof(uint32_t)};
    vk(l)->d.vkCmdCopyBuffer(c, at.buffer->handle, l->condition.handle, 1, &word);
}

static void skip_when_halted(const pm_vk_loaded *l, VkCommandBuffer c) {
    const VkConditionalRenderingBeginInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_CONDITIONAL_RENDERING_BEGIN_INFO_EXT,
        .buffer = l->condition.handle,
        .flags = VK_CONDITIONAL_RENDERING_INVERTED_BIT_EXT};
    if (l->condition.handle) vk(l)->d.vkCmdBeginConditionalRenderingEXT(c, &info);
}

static void skip_no_more(const pm_vk_loaded *l, VkCommandBuffer c) {
    if (l->condition.handle) vk(l)->d.vkCmdEndConditionalRenderingEXT(c);
}

/* ---- the whole ---- */

static void record_inputs(const pm_vk_loaded *l, VkCommandBuffer c) {
    const pm_program *p = l->base.program;
    pm_vk_profiler_reset(l, c);
    for (uint32_t i = 0; i < p->n_inputs; i++)
        copy(l, c, &p->inputs[i].range, &l->inputs, true, l->input_offset[i]);
    keep_condition(l, c);
    if (p->n_inputs > 0 || l->condition.handle) pm_vk_full_barrier(vk(l), c);
}

static void record_outputs(const pm_vk_loaded *l, VkCommandBuffer c) {
    const pm_program *p = l->base.program;
    if (p->n_outputs > 0) pm_vk_full_barrier(vk(l), c);
    for (uint32_t i = 0; i < p->n_outputs; i++)
        copy(l, c, &p->outputs[i].range, &l->outputs, false, l->output_offset[i]);
}

static pm_status begin(pm_vk_loaded *l, VkCommandBuffer c) {
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                           .flags =
                                               l->repeats ? VK_COMMAND_BUFFER_USAGE_SIMULTANEOUS_USE_BIT : 0};
    VK_TRY(vk(l)->d.vkBeginCommandBuffer(c, &info), "vkBeginCommandBuffer"); /* resets it */
    pm_vk_full_barrier(vk(l), c);
    return PM_OK;
}

/* The last command buffer's work is made visible to the host too. */
static pm_status end(pm_vk_loaded *l, VkCommandBuffer c, bool last) {
    if (last) pm_vk_full_barrier(vk(l), c);
    VK_TRY(vk(l)->d.vkEndCommandBuffer(c), "vkEndCommandBuffer");
    l->base.executor->stats.n_recordings++;
    return PM_OK;
}

static pm_status record_all(pm_vk_loaded *l) {
    const pm_program *p = l->base.program;
    uint32_t n = 0;
    PM_TRY(begin(l, l->commands[0]));
    record_inputs(l, l->commands[0]);
    pm_vk_stream_begin(l, l->commands[0]);
    skip_when_halted(l, l->commands[0]);
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        if (p->dispatches[i].submit && i > 0) {
            skip_no_more(l, l->commands[n]);
            PM_TRY(end(l, l->commands[n], false));
            n++;
            PM_TRY(begin(l, l->commands[n]));
            skip_when_halted(l, l->commands[n]);
        } else if ((p->dispatches[i].barrier || l->queries) && i > 0) {
            compute_barrier(vk(l), l->commands[n]);
        }
        pm_vk_stream_step(l, i, l->commands[n]);
        pm_vk_profiler_mark(l, l->commands[n], 2 * i);
        record_dispatch(l, i, l->commands[n]);
        pm_vk_profiler_mark(l, l->commands[n], 2 * i + 1);
    }
    skip_no_more(l, l->commands[n]);
    record_outputs(l, l->commands[n]);
    return end(l, l->commands[n], true);
}

/* The arena and the slots as this program needs them, and the sets pointing there. */
static pm_status rebind(pm_vk_loaded *l, bool *out_moved) {
    pm_vk_executor *ex = vk(l);
    uint64_t seen;
    PM_TRY(pm_vk_arena_reserve(ex, l->base.program));
    *out_moved = l->generation != ex->arena.generation;
    if (!*out_moved) return PM_OK;
    do { /* slots grow and weights move out, both a few times at most */
        seen = ex->arena.generation;
        PM_TRY(pm_vk_stream_update(l));
    } while (seen != ex->arena.generation);
    bind(l);
    return PM_OK;
}

pm_status pm_vk_record(pm_vk_loaded *l) {
    bool moved;
    PM_TRY(rebind(l, &moved));
    if (!moved) return PM_OK;
    l->generation = 0; /* until all is recorded */
    PM_TRY(record_all(l));
    l->generation = vk(l)->arena.generation;
    return PM_OK;
}

pm_status pm_vk_record_step(pm_vk_loaded *l, uint32_t i) {
    PM_TRY(pm_vk_record(l));
    PM_TRY(begin(l, l->step));
    pm_vk_stream_alone(l, i, l->step);
    record_dispatch(l, i, l->step);
    return end(l, l->step, true);
}
