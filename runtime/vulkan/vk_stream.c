/* Streaming weights from the host's memory: two slots of the device's own, filled in turn by copies that the recorded commands hold.
 * What is streamed says graph/stream.c. Before the first dispatch of group g stand two barriers and the copies of group g + 1:
 *
 *     transfer -> compute   group g has arrived (its copies were recorded with group g - 1)
 *     compute -> transfer   the dispatches of group g - 1 are done with the other slot
 *     copy group g + 1; dispatch group g
 *
 * so those copies run beside the dispatches of group g, and nothing waits for them before group g + 1. The order of the barriers
 * matters: the other way round the dispatches would wait for each other through the chain of both. */
#include "runtime/vulkan/vk.h"

static pm_vk_executor *vk(const pm_vk_loaded *l) {
    return (pm_vk_executor *)l->base.executor;
}

/* ---- slots ---- */

static void destroy_slots(pm_vk_executor *ex) {
    for (int i = 0; i < PM_STREAM_SLOTS; i++) {
        ex->base.stats.slot_bytes -= ex->slots.buffers[i].bytes;
        pm_vk_buffer_destroy(ex, &ex->slots.buffers[i]);
    }
    ex->slots.n_streamed = ex->slots.copied_bytes = ex->slots.missing_bytes = 0;
    ex->arena.generation++; /* programs bind and record again */
}

bool pm_vk_slots_drop(pm_vk_executor *ex) {
    if (!ex->slots.buffers[0].handle) return false;
    destroy_slots(ex);
    return true;
}

void pm_vk_slots_forget(pm_vk_executor *ex) {
    (void)pm_vk_slots_drop(ex);
    ex->slots.missing_bytes = 0;
    ex->slots.refused = false;
    ex->base.caps.stream_part_bytes = 0;
}

/* PM_ERR_MEMORY: the device has no room, even with all weights moved out. */
static pm_status make_slots(pm_vk_executor *ex, uint64_t bytes) {
    destroy_slots(ex); /* before larger ones are made */
    for (int i = 0; i < PM_STREAM_SLOTS; i++) {
        pm_vk_buffer made; /* making room may drop the slots that are there */
        PM_TRY(pm_vk_make_room(ex, bytes, "stream slot", &made));
        ex->slots.buffers[i] = made;
        ex->base.stats.slot_bytes += made.bytes;
    }
    return ex->slots.buffers[0].handle ? PM_OK : pm_raise(PM_ERR_MEMORY, "stream slots: no room for two");
}

/* ---- what is streamed ---- */

static void note(pm_vk_loaded *l, uint64_t most) {
    pm_vk_slots *slots = &vk(l)->slots;
    const pm_program *p = l->base.program;
    const pm_stream *s = &l->stream;
    if (s->wanted_slot_bytes > most && s->wanted_slot_bytes > slots->missing_bytes)
        slots->missing_bytes = s->wanted_slot_bytes;
    if (s->copied_bytes <= slots->copied_bytes) return;
    slots->copied_bytes = s->copied_bytes;
    slots->n_streamed = 0;
    for (uint32_t e = 0; e < p->n_externals; e++) {
        bool streamed = false;
        for (uint32_t i = 0; i < s->n_copies; i++) streamed |= s->copies[i].from.slot == p->n_blocks + e;
        slots->n_streamed += streamed;
    }
}

static bool find_weights(pm_vk_loaded *l) {
    const pm_program *p = l->base.program;
    bool any = false;
    for (uint32_t e = 0; e < p->n_externals; e++) {
        l->on_host[e] = p->externals[e].kind == PM_EXTERNAL_WEIGHT && !l->externals[e].buffer->own;
        any |= l->on_host[e];
    }
    return any && pm_caps_has_bus(&l->base.executor->caps);
}

pm_status pm_vk_stream_update(pm_vk_loaded *l) {
    pm_vk_executor *ex = vk(l);
    const pm_caps *caps = &ex->base.caps;
    pm_stream_free(&l->stream);
    if (!find_weights(l)) return PM_OK;
    uint64_t have = ex->slots.buffers[0].bytes,
             most = ex->slots.refused ? 0 : have + pm_vk_room(ex) / PM_STREAM_SLOTS;
    if (most > caps->max_block_bytes) most = caps->max_block_bytes;
    const pm_stream_room room = {have, most, caps->binding_alignment};
    PM_TRY(pm_stream_plan(l->base.program, l->on_host, &room, &l->stream));
    if (l->stream.slot_bytes <= have) {
        note(l, most);
        return PM_OK;
    }
    pm_status s = make_slots(ex, l->stream.slot_bytes);
    if (s != PM_ERR_MEMORY) return s;
    destroy_slots(ex);
    ex->slots.refused = true; /* and the program is looked at again */
    return PM_OK;
}

VkDescriptorBufferInfo pm_vk_stream_bind(const pm_vk_loaded *l, uint32_t i, uint32_t b) {
    const pm_range *r = &l->base.program->dispatches[i].bindings[b];
    const pm_stream_copy *copy = pm_stream_find(&l->stream, l->base.program, i, b);
    if (copy) {
        const pm_vk_buffer *slot = &vk(l)->slots.buffers[(l->stream.group_of[i] - 1) % PM_STREAM_SLOTS];
        return (VkDescriptorBufferInfo){.buffer = slot->handle, .offset = copy->to, .range = r->bytes};
    }
    const pm_vk_place at = pm_vk_slot(l, r->slot);
    return (VkDescriptorBufferInfo){
        .buffer = at.buffer->handle, .offset = at.offset + r->offset, .range = r->bytes};
}

/* ---- commands ---- */

static void copy_group(const pm_vk_loaded *l, uint32_t group, VkCommandBuffer c) {
    const pm_stream_group *g = &l->stream.groups[group];
    const pm_vk_buffer *slot = &vk(l)->slots.buffers[group % PM_STREAM_SLOTS];
    for (uint32_t i = g->first_copy; i < g->first_copy + g->n_copies; i++) {
        const pm_stream_copy *copy = &l->stream.copies[i];
        const pm_vk_place at = pm_vk_slot(l, copy->from.slot);
        const VkBufferCopy region = {
            .srcOffset = at.offset + copy->from.offset, .dstOffset = copy->to, .size = copy->from.bytes};
        vk(l)->d.vkCmdCopyBuffer(c, at.buffer->handle, slot->handle, 1, &region);
    }
}

static void arrived(const pm_vk_loaded *l, VkCommandBuffer c) {
    const VkMemoryBarrier copied = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_SHADER_READ_BIT};
    vk(l)->d.vkCmdPipelineBarrier(c, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0,
                                  1, &copied, 0, NULL, 0, NULL);
}

static void was_read(const pm_vk_loaded *l, VkCommandBuffer c) {
    vk(l)->d.vkCmdPipelineBarrier(c, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_TRANSFER_BIT, 0,
                                  0, NULL, 0, NULL, 0, NULL);
}

void pm_vk_stream_begin(const pm_vk_loaded *l, VkCommandBuffer c) {
    if (l->stream.n_groups) copy_group(l, 0, c);
}

void pm_vk_stream_step(const pm_vk_loaded *l, uint32_t i, VkCommandBuffer c) {
    uint32_t group = l->stream.group_of ? l->stream.group_of[i] : 0;
    if (!group || l->stream.groups[group - 1].first_dispatch != i) return;
    arrived(l, c);
    if (group == l->stream.n_groups) return;
    was_read(l, c);
    copy_group(l, group, c);
}

void pm_vk_stream_alone(const pm_vk_loaded *l, uint32_t i, VkCommandBuffer c) {
    if (!l->stream.group_of || !l->stream.group_of[i]) return;
    copy_group(l, l->stream.group_of[i] - 1, c);
    arrived(l, c);
}

/* ---- for people ---- */

void pm_vk_stream_describe(const pm_vk_executor *ex, pm_text *out) {
    const pm_vk_slots *s = &ex->slots;
    if (s->buffers[0].handle && s->n_streamed)
        pm_text_add(out,
                    "; a prompt copies %llu of them, %llu bytes, ahead of their use, into two slots of %llu",
                    (unsigned long long)s->n_streamed, (unsigned long long)s->copied_bytes,
                    (unsigned long long)s->buffers[0].bytes);
    if (s->missing_bytes > s->buffers[0].bytes)
        pm_text_add(out, "; two slots of %llu, to copy more of them ahead of their use, have no room",
                    (unsigned long long)s->missing_bytes);
}
