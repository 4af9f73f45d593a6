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

/* The operand that two sums share, and the two others; false: they share none. */
static bool read_sums(const pm_tensor *const *sums, const pm_tensor **out_x, const pm_tensor **out_rows) {
    if (sums[0]->op != PM_OP_ADD || sums[1]->op != PM_OP_ADD) return false;
    for (int i = 0; i < 4; i++) {
        const pm_tensor *x = sums[0]->in[i & 1];
        if (x != sums[1]->in[i >> 1]) continue;
        *out_x = x;
        out_rows[0] = sums[0]->in[!(i & 1)];
        out_rows[1] = sums[1]->in[!(i >> 1)];
        return x->rank == 4 && pm_same_dims(x, sums[0]) && pm_same_dims(out_rows[0], out_rows[1]);
    }
    return false;
}

/* x[..,D] as [..,1,D]. */
static pm_tensor *with_dim(pm_fuse *f, const pm_tensor *x) {
    int64_t dims[PM_MAX_DIMS];
    if (x->rank < 1 || x->rank >= PM_MAX_DIMS) return NULL;
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank] = dims[x->rank - 1];
    dims[x->rank - 1] = 1;
    return pm_reshape(f->r.graph, pm_rebuilt(&f->r, x), x->rank + 1, dims);
}

/* Both queries as one row. x + a and x + b are one sum, x + [a, b], which leaves them side by side. */
static pm_tensor *make_queries(pm_fuse *f, const pm_tensor *const *queries) {
    pm_graph *g = f->r.graph;
    const pm_tensor *x, *rows[2];
    const int64_t *d = queries[0]->dims, dims[4] = {d[0], d[1], d[2], 2 * d[3]};
    if (read_sums(queries, &x, rows)) {
        pm_tensor *wide[] = {with_dim(f, rows[0]), with_dim(f, rows[1])};
        if (wide[0] && wide[1])
            return pm_reshape(g, pm_add(g, with_dim(f, x), pm_concat(g, 2, wide, -2)), 4, dims);
    }
    pm_tensor *q[] = {pm_rebuilt(&f->r, queries[0]), pm_rebuilt(&f->r, queries[1])};
    return pm_concat(g, 2, q, 3);
}

bool pm_fuse_make_places(pm_fuse *f, const pm_tensor *softmax, const pm_places *p, pm_attrs *attrs,
                         pm_tensor **in) {
    pm_graph *g = f->r.graph;
    const pm_tensor *r = p->r;
    if (!agrees(softmax, p)) return false;
    in[PM_ATTN_Q] = make_queries(f, (const pm_tensor *[]){p->content->in[PM_MATMUL_A], p->q});
    pm_tensor *places = pm_reshape(g, pm_rebuilt(&f->r, r), 3, r->dims + r->rank - 3);
    if (places && places->dims[2] != 1 && places->strides[2] != 1) places = pm_copy(g, places);
    in[PM_ATTN_PLACES] = places;
    if (p->position && !(attrs->mask & PM_MASK_POSITION)) {
        attrs->mask |= PM_MASK_POSITION;
        in[PM_ATTN_POSITION] = pm_rebuilt(&f->r, p->position);
    }
    return in[PM_ATTN_Q] && places;
}
