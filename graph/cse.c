/* Common subexpressions: a tensor that was made before is not made again. Two tensors are one when operation,
 * type, dims, layout, attributes, constant data and inputs agree (inputs of commuting operations in either
 * order). State writes are never merged. Leaves with names are merged by pm_add_leaf. Reads of one state
 * version agree wherever they stand, since the verifier lets nothing read an older version. */
#include "graph/rebuild.h"

#include <string.h>

typedef struct table {
    pm_tensor **slots; /* of the new graph; open addressing */
    size_t mask;
} table;

static uint64_t mix(uint64_t h, uint64_t value) {
    h = (h ^ value) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint64_t hash_of(const pm_tensor *t) {
    uint64_t h = mix(mix((uint64_t)t->op, (uint64_t)t->dtype), (uint64_t)t->rank);
    uint64_t inputs = 0; /* a sum, so that the order does not matter */
    for (int32_t k = 0; k < t->rank; k++) h = mix(h, (uint64_t)t->dims[k]);
    for (int i = 0; i < t->n_in; i++) inputs += mix(17, t->in[i] ? t->in[i]->id : UINT32_MAX);
    const uint32_t *words = t->data;
    for (int64_t i = 0; words && i < pm_elems(t) && i < 64; i++) h = mix(h, words[i]);
    return mix(h, inputs);
}

static bool same_inputs(const pm_tensor *a, const pm_tensor *b) {
    if (a->n_in != b->n_in) return false;
    if (memcmp(a->in, b->in, (size_t)a->n_in * sizeof a->in[0]) == 0) return true;
    return pm_op_get(a->op)->flags & PM_OPF_COMMUTES && a->in[0] == b->in[1] && a->in[1] == b->in[0];
}

static bool is_same(const pm_tensor *a, const pm_tensor *b) {
    if (a->op != b->op || a->dtype != b->dtype || !pm_same_dims(a, b) || !same_inputs(a, b)) return false;
    return pm_attrs_equal(&a->attrs, &b->attrs) &&
           memcmp(a->strides, b->strides, (size_t)a->rank * sizeof a->strides[0]) == 0 &&
           (!a->data || memcmp(a->data, b->data, (size_t)pm_storage_bytes(a)) == 0);
}

/* Where t, or what it repeats, stands or belongs. */
static pm_tensor **slot_of(const table *seen, const pm_tensor *t) {
    size_t at = (size_t)hash_of(t) & seen->mask;
    while (seen->slots[at] && !is_same(seen->slots[at], t)) at = (at + 1) & seen->mask;
    return &seen->slots[at];
}

/* t as it will be, before it is made: the map's inputs in the old tensor's place. */
static pm_tensor preview(pm_rebuild *r, const pm_tensor *t) {
    pm_tensor p = *t;
    for (int i = 0; i < t->n_in; i++) p.in[i] = pm_rebuilt(r, t->in[i]);
    return p;
}

static void merge_all(pm_rebuild *r, const table *seen) {
    for (size_t i = 0; i < r->old->n_items && r->graph->status == PM_OK; i++) {
        const pm_tensor *t = r->old->items[i];
        if (pm_op_get(t->op)->flags & PM_OPF_STATE || (t->kind != PM_KIND_TEMP && t->kind != PM_KIND_CONST)) {
            (void)pm_rebuild_tensor(r, t);
            continue;
        }
        pm_tensor p = preview(r, t), **slot = slot_of(seen, &p);
        if (!*slot) *slot = pm_rebuild_tensor(r, t);
        r->map[i] = *slot;
    }
}

pm_status pm_pass_cse(const pm_graph *g, pm_graph **out) {
    pm_rebuild r;
    size_t n = 16;
    *out = NULL;
    while (n < 2 * g->n_items) n *= 2;
    table seen = {.slots = pm_calloc(n, sizeof *seen.slots), .mask = n - 1};
    if (!seen.slots) return PM_ERR_MEMORY;
    pm_status s = pm_rebuild_begin(g, &r);
    if (s == PM_OK) {
        merge_all(&r, &seen);
        s = pm_rebuild_end(&r, out);
    }
    pm_free(seen.slots);
    return s;
}
