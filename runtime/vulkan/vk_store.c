/* The store: named tensors (weights and states) cut from large blocks of device memory, and the arena's
 * blocks. A tensor keeps its place until it is dropped; a block is freed with its last tensor. Programs hold
 * places in blocks, so what a loaded program uses must not be dropped. */
#include "runtime/vulkan/vk.h"

#include <string.h>

static pm_vk_executor *vk(pm_executor *ex) {
    return (pm_vk_executor *)ex;
}

static pm_vk_tensor *find(const pm_vk_executor *ex, const char *name) {
    for (size_t i = 0; i < ex->store.n_tensors; i++)
        if (ex->store.tensors[i].name && strcmp(ex->store.tensors[i].name, name) == 0)
            return &ex->store.tensors[i];
    return NULL;
}

/* A dropped tensor's place of exactly this size in a live block; NULL when there is none. */
static pm_vk_tensor *find_dropped(const pm_vk_executor *ex, uint64_t reserved) {
    for (size_t i = 0; i < ex->store.n_tensors; i++) {
        pm_vk_tensor *t = &ex->store.tensors[i];
        if (!t->name && t->block && t->reserved == reserved) return t;
    }
    return NULL;
}

/* Any block with room for `reserved` bytes, made when there is none. */
static pm_status find_block(pm_vk_executor *ex, uint64_t reserved, pm_vk_store_block **out) {
    pm_vk_store *st = &ex->store;
    pm_vk_store_block **empty = NULL;
    for (size_t i = 0; i < st->n_blocks; i++) {
        pm_vk_store_block *b = st->blocks[i];
        if (!b) empty = &st->blocks[i];
        if (b && b->buffer.bytes - b->used >= reserved) {
            *out = b;
            return PM_OK;
        }
    }
    if (!empty) {
        PM_TRY(pm_grow((void **)&st->blocks, &st->cap_blocks, st->n_blocks + 1, sizeof *st->blocks));
        empty = &st->blocks[st->n_blocks];
        *empty = NULL;
        st->n_blocks++;
    }
    pm_vk_store_block *b = pm_calloc(1, sizeof *b);
    if (!b) return PM_ERR_MEMORY;
    uint64_t bytes =
        PM_VK_BLOCK_BYTES < ex->base.caps.max_block_bytes ? PM_VK_BLOCK_BYTES : ex->base.caps.max_block_bytes;
    if (bytes < reserved) bytes = reserved;
    pm_status s = pm_vk_buffer_create(ex, bytes, PM_VK_USE_DEVICE, "store", &b->buffer);
    if (s != PM_OK) {
        pm_free(b);
        return s;
    }
    *empty = *out = b;
    return PM_OK;
}

static void release_block(pm_vk_executor *ex, pm_vk_store_block *b) {
    if (b->n_tensors > 0) return;
    pm_vk_store *st = &ex->store;
    for (size_t i = 0; i < st->n_tensors; i++)
        if (st->tensors[i].block == b) st->tensors[i].block = NULL;
    for (size_t i = 0; i < st->n_blocks; i++)
        if (st->blocks[i] == b) st->blocks[i] = NULL;
    pm_vk_buffer_destroy(ex, &b->buffer);
    pm_free(b);
}

/* A row of the table for a new tensor: one whose place is gone, or a new one. */
static pm_status new_row(pm_vk_store *st, pm_vk_tensor **out) {
    for (size_t i = 0; i < st->n_tensors; i++)
        if (!st->tensors[i].name && !st->tensors[i].block) {
            *out = &st->tensors[i];
            return PM_OK;
        }
    PM_TRY(pm_grow((void **)&st->tensors, &st->cap_tensors, st->n_tensors + 1, sizeof *st->tensors));
    *out = &st->tensors[st->n_tensors++];
    **out = (pm_vk_tensor){0};
    return PM_OK;
}

static pm_status add(pm_vk_executor *ex, const char *name, uint64_t bytes, pm_vk_tensor **out) {
    if (bytes > ex->base.caps.max_block_bytes)
        return pm_raise(PM_ERR_MEMORY, "put: tensor '%s' has %llu bytes, one allocation of %s may have %llu",
                        name, (unsigned long long)bytes, ex->base.caps.name,
                        (unsigned long long)ex->base.caps.max_block_bytes);
    uint64_t reserved = pm_align_up(bytes ? bytes : 4, ex->base.caps.binding_alignment);
    if (reserved > ex->base.caps.max_block_bytes)
        reserved = bytes; /* alone in its block: nothing follows it */
    char *copy = pm_strdup(name);
    if (!copy) return PM_ERR_MEMORY;
    pm_status s = PM_OK;
    pm_vk_tensor *t = find_dropped(ex, reserved);
    if (!t) {
        pm_vk_store_block *b = NULL;
        PM_GOTO(new_row(&ex->store, &t));
        PM_GOTO(find_block(ex, reserved, &b));
        *t = (pm_vk_tensor){.block = b, .offset = b->used, .reserved = reserved};
        b->used += reserved;
    }
    t->name = copy;
    t->bytes = bytes;
    t->block->n_tensors++;
    ex->base.stats.store_bytes += bytes;
    *out = t;
    return PM_OK;
fail:
    pm_free(copy);
    return s;
}

pm_status pm_vk_store_put(pm_executor *base, const char *name, const void *data, uint64_t bytes) {
    pm_vk_executor *ex = vk(base);
    pm_vk_tensor *t = find(ex, name);
    bool added = !t;
    if (t && t->bytes != bytes)
        return pm_raise(PM_ERR_USAGE, "put: tensor '%s' is there with %llu bytes, not %llu; drop it first",
                        name, (unsigned long long)t->bytes, (unsigned long long)bytes);
    if (added) PM_TRY(add(ex, name, bytes, &t));
    pm_status s = pm_vk_upload(ex, &t->block->buffer, t->offset, data, bytes);
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
    pm_free(t->name);
    t->name = NULL;
    t->block->n_tensors--;
    release_block(ex, t->block);
}

bool pm_vk_store_find(const pm_vk_executor *ex, const char *name, pm_vk_place *out) {
    const pm_vk_tensor *t = find(ex, name);
    if (t) *out = (pm_vk_place){&t->block->buffer, t->offset, t->bytes};
    return t != NULL;
}

void pm_vk_store_destroy(pm_vk_executor *ex) {
    pm_vk_store *st = &ex->store;
    for (size_t i = 0; i < st->n_tensors; i++) pm_free(st->tensors[i].name);
    for (size_t i = 0; i < st->n_blocks; i++)
        if (st->blocks[i]) {
            pm_vk_buffer_destroy(ex, &st->blocks[i]->buffer);
            pm_free(st->blocks[i]);
        }
    pm_free(st->tensors);
    pm_free(st->blocks);
    *st = (pm_vk_store){0};
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
        PM_TRY(pm_vk_buffer_create(ex, p->block_bytes[i], PM_VK_USE_DEVICE, "arena", b));
        ex->base.stats.arena_bytes += b->bytes;
    }
    return PM_OK;
}

void pm_vk_arena_destroy(pm_vk_executor *ex) {
    for (size_t i = 0; i < ex->arena.n_blocks; i++) pm_vk_buffer_destroy(ex, &ex->arena.blocks[i]);
    pm_free(ex->arena.blocks);
    ex->arena = (pm_vk_arena){0};
}
