/* A program on the device: its buffers, loading, running, reading, and the single steps of verification. The
 * inputs wait in a mapped buffer of the program's own and are copied into the shared arena by its first
 * command, the outputs out of it by its last. Every range of the program is checked once, at loading. */
#include "runtime/vulkan/vk.h"

#include <string.h>

enum { REPEATS_AT_ONCE = 64 };

static pm_vk_loaded *vkl(pm_loaded *l) {
    return (pm_vk_loaded *)l;
}
static pm_vk_executor *vk(const pm_vk_loaded *l) {
    return (pm_vk_executor *)l->base.executor;
}

pm_vk_place pm_vk_slot(const pm_vk_loaded *l, uint32_t slot) {
    const pm_program *p = l->base.program;
    if (slot >= p->n_blocks) return l->externals[slot - p->n_blocks];
    const pm_vk_buffer *b = &vk(l)->arena.blocks[slot];
    return (pm_vk_place){b, 0, p->block_bytes[slot]};
}

/* ---- checks of what comes from lowering ---- */

static pm_status check_range(const pm_program *p, const pm_range *r, const char *what) {
    bool good = r->slot < p->n_blocks + p->n_externals;
    uint64_t limit = 0;
    if (good)
        limit = r->slot < p->n_blocks ? p->block_bytes[r->slot] : p->externals[r->slot - p->n_blocks].bytes;
    if (good && r->offset <= limit && r->bytes <= limit - r->offset) return PM_OK;
    return pm_raise(PM_ERR_OTHER,
                    "load: program '%s', %s: slot %u, offset %llu, %llu bytes: outside the slot's %llu",
                    p->name, what, r->slot, (unsigned long long)r->offset, (unsigned long long)r->bytes,
                    (unsigned long long)limit);
}

/* Whether the shader takes what the dispatch gives. */
static bool is_consistent(const pm_dispatch *d) {
    if ((unsigned)d->kernel >= PM_N_KERNELS || (unsigned)d->variant >= PM_N_VARIANTS) return false;
    const pm_kernel_info *k = pm_kernel_get(d->kernel);
    return pm_variant_get(d->variant)->kernel == d->kernel && d->n_bindings == k->n_bindings &&
           d->n_bindings <= PM_MAX_BINDINGS && d->param_bytes == k->param_bytes &&
           d->param_bytes <= PM_MAX_PARAM_BYTES && d->param_bytes % 4 == 0;
}

static pm_status check_dispatch(const pm_vk_executor *ex, const pm_program *p, const pm_dispatch *d) {
    const pm_caps *c = &ex->base.caps;
    const char *label = d->label ? d->label : "a dispatch";
    if (!is_consistent(d))
        return pm_raise(PM_ERR_OTHER,
                        "load: program '%s', %s: kernel %d, variant %d, %u bindings, %u parameter bytes",
                        p->name, label, (int)d->kernel, (int)d->variant, d->n_bindings, d->param_bytes);
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        PM_TRY(check_range(p, &d->bindings[b], label));
        if (d->bindings[b].bytes == 0)
            return pm_raise(PM_ERR_OTHER, "load: program '%s', %s, binding %u: 0 bytes, expected some",
                            p->name, label, b);
        if (d->bindings[b].offset % c->binding_alignment != 0 || d->bindings[b].bytes > c->max_binding_bytes)
            return pm_raise(
                PM_ERR_OTHER,
                "load: program '%s', %s, binding %u: offset %llu, %llu bytes; %s wants multiples of "
                "%u and at most %llu",
                p->name, label, b, (unsigned long long)d->bindings[b].offset,
                (unsigned long long)d->bindings[b].bytes, c->name, c->binding_alignment,
                (unsigned long long)c->max_binding_bytes);
    }
    for (int i = 0; i < 3; i++)
        if (d->groups[i] > c->max_groups[i])
            return pm_raise(PM_ERR_OTHER, "load: program '%s', %s: %u workgroups along axis %d, %s allows %u",
                            p->name, label, d->groups[i], i, c->name, c->max_groups[i]);
    return PM_OK;
}

static pm_status check_program(const pm_vk_executor *ex, const pm_program *p) {
    for (uint32_t i = 0; i < p->n_dispatches; i++) PM_TRY(check_dispatch(ex, p, &p->dispatches[i]));
    for (uint32_t i = 0; i < p->n_inputs; i++) PM_TRY(check_range(p, &p->inputs[i].range, p->inputs[i].name));
    for (uint32_t i = 0; i < p->n_outputs; i++)
        PM_TRY(check_range(p, &p->outputs[i].range, p->outputs[i].name));
    return PM_OK;
}

/* ---- loading ---- */

static pm_status find_external(pm_vk_loaded *l, const pm_external *e, pm_vk_place *out) {
    pm_vk_executor *ex = vk(l);
    const pm_program *p = l->base.program;
    if (e->kind == PM_EXTERNAL_CONSTANTS) {
        PM_TRY(pm_vk_make_room(ex, e->bytes, "constants", &l->constants));
        *out = (pm_vk_place){&l->constants, 0, e->bytes};
        uint64_t bytes = e->bytes < p->constants_bytes ? e->bytes : p->constants_bytes;
        return pm_vk_upload(ex, &l->constants, 0, p->constants, bytes);
    }
    if (e->kind == PM_EXTERNAL_PARAMS) {
        PM_TRY(pm_vk_buffer_create(ex, e->bytes, PM_VK_USE_UPLOAD, "params", &l->params));
        *out = (pm_vk_place){&l->params, 0, e->bytes};
        memset(l->params.mapped, 0, (size_t)l->params.bytes);
        return PM_OK;
    }
    if (!pm_vk_store_find(ex, e->name, out))
        return pm_raise(PM_ERR_USAGE, "load: program '%s' uses the tensor '%s', which is not on %s", p->name,
                        e->name, ex->base.caps.name);
    if (out->bytes != e->bytes)
        return pm_raise(PM_ERR_USAGE,
                        "load: program '%s' uses the tensor '%s' with %llu bytes, there it has %llu", p->name,
                        e->name, (unsigned long long)e->bytes, (unsigned long long)out->bytes);
    return PM_OK;
}

/* Lays n tensors out in one mapped buffer. */
static pm_status create_io(pm_vk_loaded *l, const pm_io *io, uint32_t n, pm_vk_use use, uint64_t *offsets) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        offsets[i] = bytes;
        if (!pm_add_u64(bytes, pm_align_up(io[i].range.bytes, 16), &bytes))
            return pm_raise(PM_ERR_MEMORY, "load: program '%s': its inputs or outputs are too large",
                            l->base.program->name);
    }
    if (n == 0) return PM_OK;
    bool in = use == PM_VK_USE_UPLOAD;
    pm_vk_buffer *b = in ? &l->inputs : &l->outputs;
    PM_TRY(pm_vk_buffer_create(vk(l), bytes, use, in ? "inputs" : "outputs", b));
    return pm_vk_fill(vk(l), b, 0, b->bytes, PM_UNWRITTEN_WORD);
}

static pm_status create_commands(pm_vk_loaded *l) {
    pm_vk_executor *ex = vk(l);
    const pm_program *p = l->base.program;
    l->n_submits = 1;
    for (uint32_t i = 1; i < p->n_dispatches; i++) l->n_submits += p->dispatches[i].submit;
    l->commands = pm_calloc(l->n_submits, sizeof(VkCommandBuffer));
    if (!l->commands) return PM_ERR_MEMORY;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = ex->gpu.queue_family};
    VK_TRY(ex->d.vkCreateCommandPool(ex->device, &pool, NULL, &l->pool), "vkCreateCommandPool");
    VkCommandBufferAllocateInfo commands = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = l->pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = l->n_submits};
    VK_TRY(ex->d.vkAllocateCommandBuffers(ex->device, &commands, l->commands), "vkAllocateCommandBuffers");
    commands.commandBufferCount = 1;
    VK_TRY(ex->d.vkAllocateCommandBuffers(ex->device, &commands, &l->step), "vkAllocateCommandBuffers");
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    return pm_vk_check(ex->d.vkCreateFence(ex->device, &fence, NULL, &l->fence), "vkCreateFence");
}

/* Whether runs of a halted program may be passed over: what it has in the arena does not outlive other programs' runs, so that
 * outputs must lie in states. */
static bool may_skip(const pm_vk_loaded *l) {
    const pm_program *p = l->base.program;
    for (uint32_t i = 0; i < p->n_outputs; i++)
        if (p->outputs[i].range.slot < p->n_blocks) return false;
    return vk(l)->base.caps.skips_halted && p->has_halt && p->halt.bytes == sizeof(uint32_t);
}

static pm_status fill(pm_vk_loaded *l) {
    pm_vk_executor *ex = vk(l);
    const pm_program *p = l->base.program;
    l->pipelines = pm_calloc(p->n_dispatches, sizeof(VkPipeline));
    l->set_index = pm_calloc(p->n_dispatches, sizeof *l->set_index);
    l->set_dispatch = pm_calloc(p->n_dispatches, sizeof *l->set_dispatch);
    l->externals = pm_calloc(p->n_externals, sizeof *l->externals);
    l->on_host = pm_calloc(p->n_externals, sizeof *l->on_host);
    l->input_offset = pm_calloc(p->n_inputs, sizeof *l->input_offset);
    l->output_offset = pm_calloc(p->n_outputs, sizeof *l->output_offset);
    if (!l->pipelines || !l->set_index || !l->set_dispatch || !l->externals || !l->on_host ||
        !l->input_offset || !l->output_offset)
        return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < p->n_externals; i++)
        PM_TRY(find_external(l, &p->externals[i], &l->externals[i]));
    PM_TRY(create_io(l, p->inputs, p->n_inputs, PM_VK_USE_UPLOAD, l->input_offset));
    PM_TRY(create_io(l, p->outputs, p->n_outputs, PM_VK_USE_READBACK, l->output_offset));
    if (may_skip(l)) PM_TRY(pm_vk_make_room(ex, sizeof(uint32_t), "condition", &l->condition));
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        PM_TRY(pm_vk_pipeline_get(ex, &p->dispatches[i], &l->pipelines[i]));
    PM_TRY(create_commands(l));
    PM_TRY(pm_vk_profiler_create(l));
    PM_TRY(pm_vk_sets_create(l));
    PM_TRY(pm_vk_record(l));
    return pm_vk_staging_submit(ex);
}

pm_status pm_vk_load(pm_executor *base, const pm_program *p, pm_loaded **out) {
    *out = NULL;
    PM_TRY(check_program((pm_vk_executor *)base, p));
    pm_vk_loaded *l = pm_calloc(1, sizeof *l);
    if (!l) return PM_ERR_MEMORY;
    l->base = (pm_loaded){base, p};
    l->repeats = p->has_halt;
    pm_status s = fill(l);
    if (s != PM_OK) {
        pm_vk_unload(&l->base);
        return s;
    }
    *out = &l->base;
    return PM_OK;
}

void pm_vk_unload(pm_loaded *base) {
    if (!base) return;
    pm_vk_loaded *l = vkl(base);
    pm_vk_executor *ex = vk(l);
    if (pm_vk_staging_flush(ex) != PM_OK) ex->lost = true; /* constants may be on their way */
    pm_vk_profiler_destroy(l);
    if (!ex->hung) { /* else see close_executor */
        if (l->fence) ex->d.vkDestroyFence(ex->device, l->fence, NULL);
        if (l->pool) ex->d.vkDestroyCommandPool(ex->device, l->pool, NULL);
        if (l->descriptors) ex->d.vkDestroyDescriptorPool(ex->device, l->descriptors, NULL);
    }
    pm_vk_buffer_destroy(ex, &l->constants);
    pm_vk_buffer_destroy(ex, &l->condition);
    pm_vk_buffer_destroy(ex, &l->params);
    pm_vk_buffer_destroy(ex, &l->inputs);
    pm_vk_buffer_destroy(ex, &l->outputs);
    pm_free(l->pipelines);
    pm_free(l->set_index);
    pm_free(l->set_dispatch);
    pm_free(l->sets);
    pm_free(l->externals);
    pm_free(l->on_host);
    pm_stream_free(&l->stream);
    pm_free(l->input_offset);
    pm_free(l->output_offset);
    pm_free(l->commands);
    pm_free(l);
}

/* ---- running: runtime/executor.c has checked indices, sizes and ranges ---- */

pm_status pm_vk_write(pm_loaded *base, uint32_t input, const void *data, uint64_t bytes) {
    pm_vk_loaded *l = vkl(base);
    if (bytes) memcpy(l->inputs.mapped + l->input_offset[input], data, (size_t)bytes);
    return PM_OK;
}

pm_status pm_vk_read(pm_loaded *base, uint32_t output, void *data, uint64_t bytes) {
    pm_vk_loaded *l = vkl(base);
    if (bytes) memcpy(data, l->outputs.mapped + l->output_offset[output], (size_t)bytes);
    return PM_OK;
}

void pm_vk_set_param(pm_loaded *base, uint32_t param, int32_t value) {
    pm_vk_loaded *l = vkl(base);
    if (l->params.mapped && param < l->params.bytes / 4)
        memcpy(l->params.mapped + 4 * (size_t)param, &value, 4);
}

static pm_status check_messages(const pm_executor *ex) {
    if (ex->stats.n_messages == 0) return PM_OK;
    return pm_raise(PM_ERR_OTHER, "validation: %llu messages, the first: %.1000s",
                    (unsigned long long)ex->stats.n_messages, ex->messages.data ? ex->messages.data : "");
}

/* Calls `watch` as marks come. What it does meanwhile is neither waiting nor work for the device. */
static pm_status follow(pm_vk_loaded *l, uint32_t n, const pm_watch *watch, uint32_t every, uint64_t mark) {
    for (uint32_t done = every; done < n; done += every, mark++) {
        PM_TRY(pm_vk_wait_mark(vk(l), mark, every));
        uint64_t start = pm_now_ns();
        watch->on_runs(watch->user, done);
        l->watch_ns += pm_now_ns() - start;
    }
    return PM_OK;
}

/* A command buffer begins and ends with barriers, so that it may stand behind itself. */
static pm_status submit_repeats(pm_vk_loaded *l, uint32_t n, const pm_watch *watch) {
    VkCommandBuffer same[REPEATS_AT_ONCE];
    for (uint32_t i = 0; i < REPEATS_AT_ONCE; i++) same[i] = l->commands[0];
    if (watch && vk(l)->timeline && n <= REPEATS_AT_ONCE) {
        uint32_t every = watch->every ? watch->every : 1;
        uint64_t first_mark = vk(l)->n_marks + 1;
        PM_TRY(pm_vk_submit_marked(vk(l), same, n, every, l->fence));
        return follow(l, n, watch, every, first_mark);
    }
    for (uint32_t left = n, m; left; left -= m) {
        m = left < REPEATS_AT_ONCE ? left : REPEATS_AT_ONCE;
        PM_TRY(pm_vk_submit(vk(l), same, m, m == left ? l->fence : VK_NULL_HANDLE));
    }
    return PM_OK;
}

static pm_status submit(pm_vk_loaded *l, uint32_t n, const pm_watch *watch) {
    if (l->n_submits == 1) return submit_repeats(l, n, watch);
    for (uint32_t r = 0; r < n; r++)
        for (uint32_t i = 0; i < l->n_submits; i++) {
            bool last = r + 1 == n && i + 1 == l->n_submits;
            PM_TRY(pm_vk_submit(vk(l), &l->commands[i], 1, last ? l->fence : VK_NULL_HANDLE));
        }
    return PM_OK;
}

pm_status pm_vk_run(pm_loaded *base, uint32_t n, const pm_watch *watch) {
    pm_vk_loaded *l = vkl(base);
    pm_vk_executor *ex = vk(l);
    uint64_t start = pm_now_ns(), waited = ex->base.stats.device_ns;
    if (n > 1 && !l->repeats) {
        l->repeats = true;
        l->generation = 0; /* recorded again, this time for that */
    }
    PM_TRY(pm_vk_record(l));
    PM_TRY(pm_vk_staging_submit(ex));
    l->watch_ns = 0;
    pm_status s = submit(l, n, watch);
    if (s != PM_OK) {
        pm_vk_drain(ex); /* those before it are under way */
        return s;
    }
    uint64_t waits = (uint64_t)n * l->n_submits;
    PM_TRY(pm_vk_wait(ex, l->fence, waits < UINT32_MAX ? (uint32_t)waits : UINT32_MAX));
    PM_TRY(pm_vk_profiler_read(l));
    ex->base.stats.n_runs += n;
    ex->base.stats.host_ns += pm_now_ns() - start - (ex->base.stats.device_ns - waited) - l->watch_ns;
    return check_messages(&ex->base);
}

pm_status pm_vk_step(pm_loaded *base, uint32_t dispatch) {
    pm_vk_loaded *l = vkl(base);
    PM_TRY(pm_vk_record_step(l, dispatch));
    PM_TRY(pm_vk_staging_submit(vk(l)));
    PM_TRY(pm_vk_submit(vk(l), &l->step, 1, l->fence));
    PM_TRY(pm_vk_wait(vk(l), l->fence, 1));
    return check_messages(base->executor);
}

static pm_status locate(pm_vk_loaded *l, const pm_range *r, pm_vk_place *out) {
    PM_TRY(pm_vk_record(l)); /* the arena may have moved */
    *out = pm_vk_slot(l, r->slot);
    out->offset += r->offset;
    return PM_OK;
}

pm_status pm_vk_peek(pm_loaded *base, const pm_range *r, void *data) {
    pm_vk_place at;
    PM_TRY(locate(vkl(base), r, &at));
    return pm_vk_download(vk(vkl(base)), at.buffer, at.offset, data, r->bytes);
}

pm_status pm_vk_poke(pm_loaded *base, const pm_range *r, const void *data) {
    pm_vk_place at;
    PM_TRY(locate(vkl(base), r, &at));
    return pm_vk_upload(vk(vkl(base)), at.buffer, at.offset, data, r->bytes);
}

const uint64_t *pm_vk_times_ns(const pm_loaded *l) {
    return ((const pm_vk_loaded *)l)->times_ns;
}

const uint64_t *pm_vk_starts_ns(const pm_loaded *l) {
    return ((const pm_vk_loaded *)l)->starts_ns;
}
