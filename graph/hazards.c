/* See hazards.h. Ranges are taken as bound, as Vulkan's synchronization validation takes them. They begin
 * where the device's alignment wants it, up to an alignment too early, but no two tensors share such a piece.
 * So only parts of one result, of a concat along an inner axis or of a product cut by columns, wait for
 * no reason: their slices lie between each other. */
#include "graph/hazards.h"

typedef struct pm_touch {
    pm_range range;
    bool written;
} pm_touch;

static bool overlap(const pm_range *a, const pm_range *b) {
    return a->slot == b->slot && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static bool is_written(const pm_dispatch *d, uint32_t binding) {
    return d->written >> binding & 1;
}
static bool is_unused(const pm_dispatch *d, uint32_t binding) {
    return d->unused >> binding & 1;
}

static bool must_wait(const pm_hazards *h, const pm_dispatch *d) {
    for (uint32_t b = 0; b < d->n_bindings; b++)
        for (size_t i = 0; !is_unused(d, b) && i < h->n; i++) {
            const pm_touch *t = &h->touches[i];
            if ((t->written || is_written(d, b)) && overlap(&t->range, &d->bindings[b])) return true;
        }
    return false;
}

pm_status pm_hazards_add(pm_hazards *h, const pm_dispatch *d, bool *out_barrier) {
    *out_barrier = must_wait(h, d);
    if (*out_barrier) h->n = 0;
    void *touches = h->touches;
    pm_status s = pm_grow(&touches, &h->capacity, h->n + d->n_bindings, sizeof *h->touches);
    h->touches = touches;
    if (s != PM_OK) return s;
    for (uint32_t b = 0; b < d->n_bindings; b++)
        if (!is_unused(d, b))
            h->touches[h->n++] = (pm_touch){.range = d->bindings[b], .written = is_written(d, b)};
    return PM_OK;
}

void pm_hazards_free(pm_hazards *h) {
    pm_free(h->touches);
    *h = (pm_hazards){0};
}
