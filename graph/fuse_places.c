/* Pattern: scores with a term for the distance of the key (Dai et al. 2019), q . k^T + rel_shift(q' . r^T), in front of an
 * attention's softmax. The kernel takes both queries as one row of 2D elements, and r[H,N,D]. See fuse.h. */
#include "graph/fuse.h"

#include <string.h>

/* A product as builders write it, of four dims, that nothing else uses. */
static bool is_product(const pm_fuse *f, const pm_tensor *t) {
    return t->op == PM_OP_MATMUL && t->n_in == 2 && t->attrs.act == PM_ACT_NONE && t->attrs.scale == 0 &&
           t->rank == 4 && pm_fuse_single(f, t);
}

static const pm_tensor *position_of(const pm_tensor *shift) {
    return shift->n_in > 1 ? shift->in[1] : NULL;
}

static bool read_sides(const pm_fuse *f, const pm_tensor *content, const pm_tensor *shift, pm_places *out) {
    if (shift->op != PM_OP_REL_SHIFT || !pm_fuse_single(f, shift) || !is_product(f, content)) return false;
    const pm_tensor *by_place = shift->in[0];
    if (!is_product(f, by_place) || !pm_same_dims(content, shift)) return false;
    *out = (pm_places){.content = content,
                       .q = by_place->in[PM_MATMUL_A],
                       .r = by_place->in[PM_MATMUL_B],
                       .position = position_of(shift)};
    const pm_tensor *q = content->in[PM_MATMUL_A], *r = out->r;
    return pm_same_dims(q, out->q) && q->rank == 4 && (r->rank == 3 || (r->rank == 4 && r->dims[0] == 1)) &&
           r->dims[r->rank - 3] == content->dims[1];
}

bool pm_fuse_read_places(const pm_fuse *f, const pm_tensor *scores, pm_places *out) {
    if (scores->op != PM_OP_ADD || scores->rank != 4 || !pm_fuse_single(f, scores)) return false;
    return read_sides(f, scores->in[0], scores->in[1], out) ||
           read_sides(f, scores->in[1], scores->in[0], out);
}

static bool is_same_position(const pm_tensor *a, const pm_tensor *b) {
    if (a == b) return true;
    return a && b && a->op == PM_OP_CONST && b->op == PM_OP_CONST && pm_elems(a) == 1 && pm_elems(b) == 1 &&
           a->dtype == b->dtype && memcmp(a->data, b->data, 4) == 0;
}

/* Masks over positions count from the same one, or there are none of them. */
static bool agrees(const pm_tensor *softmax, const pm_places *p) {
    const uint32_t over_positions = PM_MASK_CAUSAL | PM_MASK_WINDOW | PM_MASK_POSITION;
    const pm_tensor *position = softmax->n_in > PM_SOFTMAX_POSITION ? softmax->in[PM_SOFTMAX_POSITION] : NULL;
    if (softmax->n_in > PM_SOFTMAX_BIAS && softmax->in[PM_SOFTMAX_BIAS]) return false;
    return !(softmax->attrs.mask & over_positions) || is_same_position(position, p->position);
}

bool pm_fuse_make_places(pm_fuse *f, const pm_tensor *softmax, const pm_places *p, pm_attrs *attrs,
                         pm_tensor **in) {
    pm_graph *g = f->r.graph;
    const pm_tensor *r = p->r;
    if (!agrees(softmax, p)) return false;
    pm_tensor *q[] = {pm_rebuilt(&f->r, p->content->in[PM_MATMUL_A]), pm_rebuilt(&f->r, p->q)};
    in[PM_ATTN_Q] = pm_concat(g, 2, q, 3);
    pm_tensor *places = pm_reshape(g, pm_rebuilt(&f->r, r), 3, r->dims + r->rank - 3);
    if (places && places->dims[2] != 1 && places->strides[2] != 1) places = pm_copy(g, places);
    in[PM_ATTN_PLACES] = places;
    if (p->position && !(attrs->mask & PM_MASK_POSITION)) {
        attrs->mask |= PM_MASK_POSITION;
        in[PM_ATTN_POSITION] = pm_rebuilt(&f->r, p->position);
    }
    return in[PM_ATTN_Q] && places;
}
