/* The store: named tensors (weights and states) cut from large blocks of device memory, first fit, and the
 * arena's blocks. Weights for which the device's memory has no room lie in blocks of the host's. A tensor keeps its place until it is dropped; a block is freed with its last tensor. Programs
 * hold places in blocks, so what a loaded program uses must not be dropped. */
#include "runtime/vulkan/vk.h"

#include <string.h>

static pm_vk_executor *vk(pm_executor *ex) {
    return (pm_vk_executor *)ex;
}

static pm_vk_tensor *find(const pm_vk_executor *ex, const char *name) {
    for (size_t i = 0; i < ex->store.n_tensors; i++)
        if (strcmp(ex->store.tensors[i].name, name) == 0) return &ex->store.tensors[i];
    return NULL;
}

/* Where `bytes` bytes fit into a block: the first gap between what is taken; false when there is none. */
static bool find_gap(const pm_vk_store_block *b, uint64_t alignment, uint64_t bytes, size_t *out_index,
                     uint64_t *out_offset) {
    uint64_t at = 0;
    for (size_t i = 0; i <= b->n_taken; i++) {
        uint64_t end = i < b->n_taken ? b->taken[i].offset : b->buffer.bytes;
        if (at <= end && bytes <= end - at) {
            *out_index = i;
            *out_offset = at;
            return true;
        }
        if (i < b->n_taken) at = pm_align_up(b->taken[i].end, alignment);
    }
    return false;
}

/* ---- the device's memory and the host's ---- */

/* Bytes that the device's memory may still take. */
static uint64_t room_left(const pm_vk_executor *ex) {
    uint64_t limit = ex->base.options.max_memory_bytes;
    if (!limit) return UINT64_MAX;
    return limit > ex->own_bytes ? limit - ex->own_bytes : 0;
}

static uint64_t bytes_of_tensors(const pm_vk_store_block *b) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < b->n_taken; i++) bytes += b->taken[i].end - b->taken[i].offset;
    return bytes;
}

/* From now on programs are compiled for streaming. */
static void note_host(pm_vk_executor *ex) {
    pm_caps *c = &ex->base.caps;
    const uint64_t limit = ex->base.options.max_memory_bytes;
    if (pm_caps_has_bus(c)) c->stream_part_bytes = pm_stream_part_bytes(limit ? limit : c->memory_bytes);
}

/* Moves the newest block of weights out; *out_moved false: there is none. Programs hold the block's buffer by its place here and
 * bind again when the generation changes. */
static pm_status move_out(pm_vk_executor *ex, bool *out_moved) {
    pm_vk_store_block *b = ex->store.blocks;
    pm_vk_buffer host;
    while (b && (b->states || b->host)) b = b->next;
    *out_moved = b != NULL;
    if (!b) return PM_OK;
    PM_TRY(pm_vk_staging_flush(ex));
    PM_TRY(pm_vk_buffer_create(ex, b->buffer.bytes, PM_VK_USE_READBACK, "store on the host", &host));
    pm_status s = pm_vk_download(ex, &b->buffer, 0, host.mapped, b->buffer.bytes);
    if (s != PM_OK) {
        pm_vk_buffer_destroy(ex, &host);
        return s;
    }
    pm_vk_buffer_destroy(ex, &b->buffer);
    b->buffer = host;
    b->host = true;
    note_host(ex);
    ex->base.stats.host_bytes += bytes_of_tensors(b);
    ex->arena.generation++;
    return PM_OK;
}

static pm_status no_room(const pm_vk_executor *ex, uint64_t bytes, const char *name) {
    return pm_raise(
        PM_ERR_MEMORY,
        "device memory: %llu bytes for %s, beside %llu of states, constants and intermediate "
        "results, at most %llu together are allowed on %s (%llu bytes of weights are in the host's memory)",
        (unsigned long long)bytes, name, (unsigned long long)ex->own_bytes,
        (unsigned long long)ex->base.options.max_memory_bytes, ex->base.caps.name,
        (unsigned long long)ex->base.stats.host_bytes);
}

pm_status pm_vk_make_room(pm_vk_executor *ex, uint64_t bytes, const char *name, pm_vk_buffer *out) {
    for (;;) {
        bool moved = false, fits = bytes <= room_left(ex);
        pm_status s = fits ? pm_vk_buffer_create(ex, bytes, PM_VK_USE_DEVICE, name, out) : PM_ERR_MEMORY;
        if (s != PM_ERR_MEMORY || bytes > ex->base.caps.max_block_bytes) return s;
        PM_TRY(move_out(ex, &moved));
        if (!moved) {
            PM_TRY(pm_vk_staging_flush(ex));
            moved = pm_vk_slots_drop(ex); /* reading in place needs none */
        }
        if (!moved)
            return fits ? pm_vk_buffer_create(ex, bytes, PM_VK_USE_DEVICE, name, out)
                        : no_room(ex, bytes, name);
    }
}

uint64_t pm_vk_room(const pm_vk_executor *ex) {
    const uint64_t limit =
        ex->base.options.max_memory_bytes ? ex->base.options.max_memory_bytes : ex->base.caps.memory_bytes;
    uint64_t bytes = limit > ex->own_bytes ? limit - ex->own_bytes : 0;
    for (const pm_vk_store_block *b = ex->store.blocks; b; b = b->next)
        if (!b->states && !b->host) bytes += b->buffer.bytes;
    return bytes;
}

/* As large as all blocks of its kind before it, within bounds: few tensors make a small store. */
static uint64_t block_bytes(const pm_vk_executor *ex, uint64_t needed, bool states) {
    uint64_t bytes = 0, room = room_left(ex), limit = ex->base.options.max_memory_bytes;
    for (const pm_vk_store_block *b = ex->store.blocks; b; b = b->next)
        if (b->states == states) bytes += b->buffer.bytes;
    if (bytes < PM_VK_FIRST_BLOCK_BYTES) bytes = PM_VK_FIRST_BLOCK_BYTES;
    if (bytes > PM_VK_BLOCK_BYTES) bytes = PM_VK_BLOCK_BYTES;
    if (bytes > ex->base.caps.max_block_bytes) bytes = ex->base.caps.max_block_bytes;
    if (limit && bytes > limit / 16) bytes = limit / 16; /* small steps up to it, and out of it */
    if (bytes > room) bytes = room;
    return bytes < needed ? needed : bytes;
}

/* In the device's memory, or in the host's where it has no room for a block of weights. */
static pm_status create_buffer(pm_vk_executor *ex, uint64_t needed, pm_vk_store_block *b) {
    uint64_t bytes = block_bytes(ex, needed, b->states);
    pm_status s = PM_ERR_MEMORY;
    if (b->states) return pm_vk_make_room(ex, bytes <= room_left(ex) ? bytes : needed, "states", &b->buffer);
    if (bytes <= room_left(ex)) s = pm_vk_buffer_create(ex, bytes, PM_VK_USE_DEVICE, "store", &b->buffer);
    if (s == PM_ERR_MEMORY && needed <= room_left(ex)) /* nearly full: just what is needed may still fit */
        s = pm_vk_buffer_create(ex, needed, PM_VK_USE_DEVICE, "store", &b->buffer);
    if (s != PM_ERR_MEMORY) return s;
    b->host = true;
    note_host(ex);
    return pm_vk_buffer_create(ex, needed > PM_VK_FIRST_BLOCK_BYTES ? needed : PM_VK_FIRST_BLOCK_BYTES,
                               PM_VK_USE_READBACK, "store on the host", &b->buffer);
}

static pm_status create_block(pm_vk_executor *ex, uint64_t needed, bool states, pm_vk_store_block **out) {
    pm_vk_store *st = &ex->store;
    pm_vk_store_block *b = pm_calloc(1, sizeof *b);
    if (!b) return PM_ERR_MEMORY;
    b->states = states;
    pm_status s = create_buffer(ex, needed, b);
    if (s != PM_OK) {
        pm_free(b);
        return s;
    }
    b->next = st->blocks;
    st->blocks = b;
    st->block_bytes += b->buffer.bytes;
    *out = b;
    return PM_OK;
}

static void destroy_block(pm_vk_executor *ex, pm_vk_store_block *b) {
    ex->store.block_bytes -= b->buffer.bytes;
    pm_vk_buffer_destroy(ex, &b->buffer);
    pm_free(b->taken);
    pm_free(b);
}

/* Takes room in the first block that has it; makes a block when none has. */
static pm_status take(pm_vk_executor *ex, uint64_t bytes, bool states, pm_vk_store_block **out,
                      uint64_t *out_offset) {
    uint64_t alignment = ex->base.caps.binding_alignment;
    size_t at = 0;
    pm_vk_store_block *b = ex->store.blocks;
    while (b && (b->states != states || !find_gap(b, alignment, bytes, &at, out_offset))) b = b->next;
    if (!b) {
        PM_TRY(create_block(ex, bytes, states, &b));
        at = 0;
        *out_offset = 0;
    }
    *out = b;
    PM_TRY(pm_grow((void **)&b->taken, &b->cap_taken, b->n_taken + 1, sizeof *b->taken));
    memmove(b->taken + at + 1, b->taken + at, (b->n_taken - at) * sizeof *b->taken);
    b->taken[at] = (pm_vk_taken){*out_offset, *out_offset + bytes};
    b->n_taken++;
    return PM_OK;
}

static void give_back(pm_vk_executor *ex, pm_vk_store_block *b, uint64_t offset) {
    size_t at = 0;
    while (b->taken[at].offset != offset) at++;
    memmove(b->taken + at, b->taken + at + 1, (b->n_taken - at - 1) * sizeof *b->taken);
    if (--b->n_taken > 0) return;
    pm_vk_store_block **link = &ex->store.blocks;
    while (*link != b) link = &(*link)->next;
    *link = b->next;
    destroy_block(ex, b);
}

static uint64_t room_of(uint64_t bytes) { /* whole words, and never nothing */
    return pm_align_up(bytes ? bytes : 4, 4);
}

static pm_status add(pm_vk_executor *ex, const char *name, uint64_t bytes, bool state, pm_vk_tensor **out) {
    pm_vk_store *st = &ex->store;
    if (bytes > ex->base.caps.max_block_bytes)
        return pm_raise(PM_ERR_MEMORY, "put: tensor '%s' has %llu bytes, one allocation of %s may have %llu",
                        name, (unsigned long long)bytes, ex->base.caps.name,
                        (unsigned long long)ex->base.caps.max_block_bytes);
    PM_TRY(pm_grow((void **)&st->tensors, &st->cap_tensors, st->n_tensors + 1, sizeof *st->tensors));
    pm_vk_tensor t = {.name = pm_strdup(name), .bytes = bytes};
    if (!t.name) return PM_ERR_MEMORY;
    pm_status s = take(ex, room_of(bytes), state, &t.block, &t.offset);
    if (s != PM_OK) {
        pm_free(t.name);
        return s;
    }
    ex->base.stats.store_bytes += bytes;
    if (t.block->host) ex->base.stats.host_bytes += room_of(bytes);
    st->tensors[st->n_tensors] = t;
    *out = &st->tensors[st->n_tensors++];
    return PM_OK;
}

pm_status pm_vk_store_put(pm_executor *base, const char *name, const void *data, uint64_t bytes) {
    pm_vk_executor *ex = vk(base);
    pm_vk_tensor *t = find(ex, name);
    bool added = !t;
    if (t && t->bytes != bytes)
        return pm_raise(PM_ERR_USAGE, "put: tensor '%s' is there with %llu bytes, not %llu; drop it first",
                        name, (unsigned long long)t->bytes, (unsigned long long)bytes);
    if (added) PM_TRY(add(ex, name, bytes, data == NULL, &t)) /* states begin as zeros */;
    const pm_vk_buffer *to = &t->block->buffer;
    pm_status s = data ? pm_vk_upload(ex, to, t->offset, data, bytes)
                       : pm_vk_fill(ex, to, t->offset, room_of(bytes), 0);
    if (s != PM_OK && added) pm_vk_store_drop(base, name);
    return s;
}

pm_status pm_vk_store_get(pm_executor *base, const char *name, void *data, uint64_t bytes) {
    const pm_vk_tensor *t = find(vk(base), name);
    if (!t) return pm_raise(PM_ERR_USAGE, "get: there is no tensor '%s' on %s", name, base->caps.name);
    if (t->bytes != bytes)
        return pm_raise(PM_ERR_USAGE, "get: tensor '%s' has %llu bytes, not %llu", name,
                        (unsigned long long)t->bytes, (unsigned long long)bytes);
    return pm_vk_download(vk(base), &t->block->buffer, t->offset, data, bytes);
}

bool pm_vk_store_has(const pm_executor *base, const char *name) {
    return find((const pm_vk_executor *)base, name) != NULL;
}

void pm_vk_store_drop(pm_executor *base, const char *name) {
    pm_vk_executor *ex = vk(base);
    pm_vk_tensor *t = find(ex, name);
    if (!t) return;
    if (pm_vk_staging_flush(ex) != PM_OK) ex->lost = true; /* an upload into it may have been under way */
    base->stats.store_bytes -= t->bytes;
    if (t->block->host) base->stats.host_bytes -= room_of(t->bytes);
    if (!base->stats.host_bytes) pm_vk_slots_forget(ex); /* nothing is left to stream */
    pm_free(t->name);
    give_back(ex, t->block, t->offset);
    *t = ex->store.tensors[--ex->store.n_tensors];
}

bool pm_vk_store_find(const pm_vk_executor *ex, const char *name, pm_vk_place *out) {
    const pm_vk_tensor *t = find(ex, name);
    if (t) *out = (pm_vk_place){&t->block->buffer, t->offset, t->bytes};
    return t != NULL;
}

void pm_vk_store_destroy(pm_vk_executor *ex) {
    pm_vk_store *st = &ex->store;
    for (size_t i = 0; i < st->n_tensors; i++) pm_free(st->tensors[i].name);
    while (st->blocks) {
        pm_vk_store_block *b = st->blocks;
        st->blocks = b->next;
        destroy_block(ex, b);
    }
    pm_free(st->tensors);
    *st = (pm_vk_store){0};
}

/* Without the mark of whom the tensor belongs to ("s1/"). */
static const char *own_name(const char *name) {
    const char *slash = strchr(name, '/');
    return slash ? slash + 1 : name;
}

void pm_vk_store_describe(const pm_executor *base, pm_text *out) {
    const pm_vk_store *st = &((const pm_vk_executor *)base)->store;
    const char *first = NULL, *last = NULL;
    uint64_t n = 0, bytes = 0, n_all = 0, all = 0;
    for (size_t i = 0; i < st->n_tensors; i++) {
        const pm_vk_tensor *t = &st->tensors[i];
        if (t->block->states) continue;
        n_all++;
        all += t->bytes;
        if (!t->block->host) continue;
        if (!n++) first = t->name;
        last = t->name;
        bytes += t->bytes;
    }
    if (!n) return;
    pm_text_add(
        out,
        "%llu of %llu weights, %llu of %llu bytes, lie in the host's memory, where %s reads them each time: "
        "from %s to %s",
        (unsigned long long)n, (unsigned long long)n_all, (unsigned long long)bytes, (unsigned long long)all,
        base->caps.name, own_name(first), own_name(last));
    pm_vk_stream_describe((const pm_vk_executor *)base, out);
}

/* ---- the arena ---- */

pm_status pm_vk_arena_reserve(pm_vk_executor *ex, const pm_program *p) {
    pm_vk_arena *a = &ex->arena;
    if (a->generation == 0) a->generation = 1;
    if (p->n_blocks > a->n_blocks) {
        PM_TRY(pm_grow((void **)&a->blocks, &a->cap_blocks, p->n_blocks, sizeof *a->blocks));
        while (a->n_blocks < p->n_blocks) a->blocks[a->n_blocks++] = (pm_vk_buffer){0};
    }
    for (uint32_t i = 0; i < p->n_blocks; i++) {
        pm_vk_buffer *b = &a->blocks[i];
        if (b->handle && b->bytes >= p->block_bytes[i]) continue;
        PM_TRY(pm_vk_staging_flush(ex));
        a->generation++;
        ex->base.stats.arena_bytes -= b->bytes;
        pm_vk_buffer_destroy(ex, b); /* before the larger one is made: both might not fit */
        PM_TRY(pm_vk_make_room(ex, p->block_bytes[i], "intermediate results", b));
        ex->base.stats.arena_bytes += b->bytes;
        PM_TRY(pm_vk_fill(ex, b, 0, b->bytes, PM_UNWRITTEN_WORD));
    }
    return PM_OK;
}

void pm_vk_arena_destroy(pm_vk_executor *ex) {
    for (size_t i = 0; i < ex->arena.n_blocks; i++) pm_vk_buffer_destroy(ex, &ex->arena.blocks[i]);
    pm_free(ex->arena.blocks);
    ex->arena = (pm_vk_arena){0};
}
