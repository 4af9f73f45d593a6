/* See cpu_store.h. */
#include "runtime/cpu/cpu_store.h"

#include <string.h>

static size_t hash(const char *name) { /* FNV-1a */
    uint64_t h = 14695981039346656037u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 1099511628211u;
    return (size_t)h;
}

/* The slot of `name`, or the free one where it would go. n_slots is a power of two and never full. */
static pm_stored *probe(pm_stored *slots, size_t n_slots, const char *name) {
    size_t i = hash(name) & (n_slots - 1);
    while (slots[i].name && strcmp(slots[i].name, name)) i = (i + 1) & (n_slots - 1);
    return &slots[i];
}

pm_stored *pm_cpu_store_find(const pm_cpu_store *s, const char *name) {
    if (!s->n_slots || !*name) return NULL;
    pm_stored *slot = probe(s->slots, s->n_slots, name);
    return slot->name ? slot : NULL;
}

static pm_status make_room(pm_cpu_store *s) {
    if ((s->n_used + 1) * 2 <= s->n_slots) return PM_OK;
    size_t n = s->n_slots ? s->n_slots : 64; /* enough where many were dropped */
    if (s->n_live * 4 > n) n *= 2;
    pm_stored *slots = pm_calloc(n, sizeof *slots);
    if (!slots) return PM_ERR_MEMORY;
    s->n_used = 0;
    for (size_t i = 0; i < s->n_slots; i++) {
        if (!s->slots[i].name) continue;
        if (!*s->slots[i].name) {
            pm_free(s->slots[i].name);
            continue;
        }
        *probe(slots, n, s->slots[i].name) = s->slots[i];
        s->n_used++;
    }
    pm_free(s->slots);
    s->slots = slots;
    s->n_slots = n;
    return PM_OK;
}

pm_status pm_cpu_store_put(pm_cpu_store *s, const char *name, const void *data, uint64_t bytes) {
    pm_stored *slot = pm_cpu_store_find(s, name);
    if (slot && slot->bytes != bytes)
        return pm_raise(PM_ERR_USAGE, "store: %s has %llu bytes, expected the same again, not %llu", name,
                        (unsigned long long)slot->bytes, (unsigned long long)bytes);
    if (!slot) {
        if (bytes > SIZE_MAX)
            return pm_raise(PM_ERR_MEMORY, "store: %s has %llu bytes, more than an address space", name,
                            (unsigned long long)bytes);
        PM_TRY(make_room(s));
        pm_stored fresh = {pm_strdup(name), bytes, pm_alloc((size_t)bytes)};
        if (!fresh.name || !fresh.data) {
            pm_free(fresh.name);
            pm_free(fresh.data);
            return PM_ERR_MEMORY;
        }
        slot = probe(s->slots, s->n_slots, name);
        *slot = fresh;
        s->n_used++;
        s->n_live++;
        s->bytes += bytes;
    }
    if (data)
        memcpy(slot->data, data, (size_t)bytes);
    else
        memset(slot->data, 0, (size_t)bytes);
    return PM_OK;
}

void pm_cpu_store_drop(pm_cpu_store *s, const char *name) {
    pm_stored *slot = pm_cpu_store_find(s, name);
    if (!slot) return;
    pm_free(slot->data);
    s->bytes -= slot->bytes;
    s->n_live--;
    slot->data = NULL;
    slot->bytes = 0;
    slot->name[0] = 0; /* keeps the chain of probes whole */
}

void pm_cpu_store_free(pm_cpu_store *s) {
    for (size_t i = 0; i < s->n_slots; i++) {
        pm_free(s->slots[i].name);
        pm_free(s->slots[i].data);
    }
    pm_free(s->slots);
    *s = (pm_cpu_store){0};
}
