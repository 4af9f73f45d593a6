/* Pattern: rotary position embedding, x * cos + rotate_half(x) * sin,
 * rotate_half(x) = concat(-x[D/2 .. D], x[0 .. D/2]) along the innermost axis. */
#include "graph/fuse.h"

static bool is_half(const pm_fuse *f, const pm_tensor *t, const pm_tensor *x, int64_t start) {
    int32_t last = x->rank - 1;
    return t->op == PM_OP_SLICE && t->in[0] == x && t->attrs.axis == last && t->attrs.start == start &&
           t->attrs.length == x->dims[last] / 2 && pm_fuse_single(f, t);
}

/* The x of rotate_half(x). */
static const pm_tensor *rotated(const pm_fuse *f, const pm_tensor *t) {
    if (t->op != PM_OP_CONCAT || t->n_in != 2 || t->rank < 1 || t->attrs.axis != t->rank - 1 ||
        !pm_fuse_single(f, t))
        return NULL;
    const pm_tensor *high = t->in[0], *low = t->in[1];
    if (high->op != PM_OP_NEG || !pm_fuse_single(f, high) || low->op != PM_OP_SLICE) return NULL;
    const pm_tensor *x = low->in[0];
    int64_t half = x->dims[t->rank - 1] / 2;
    return is_half(f, low, x, 0) && is_half(f, high->in[0], x, half) && pm_same_dims(t, x) ? x : NULL;
}

/* x as [B,G*R,T,D]; NULL: it would have to be copied. A table that differs from head to head is refused by the shape
 * rule. */
static pm_tensor *as_heads(pm_graph *g, pm_tensor *x) {
    if (!x) return NULL;
    const pm_five own = pm_fuse_five(x, PM_MAX_DIMS);
    pm_tensor *y = pm_fuse_four(g, x, &own, own.dims);
    return y && y->base == x->base ? y : NULL;
}

/* Grouped heads [B,G,R,T,D] are turned as [B,G*R,T,D]. */
static pm_tensor *make_rotary(pm_fuse *f, const pm_tensor *root, const pm_tensor *const *in) {
    pm_tensor *mapped[3], like;
    if (root->rank != PM_MAX_DIMS) return pm_fuse_op(f, root, PM_OP_ROTARY, 3, in, NULL);
    if (!pm_same_dims(in[0], root)) return NULL;
    for (int i = 0; i < 3; i++) {
        if (!pm_fuse_readable(f, in[i], root)) return NULL;
        mapped[i] = as_heads(f->r.graph, pm_rebuilt(&f->r, in[i]));
        if (!mapped[i]) return NULL;
    }
    if (!pm_fuse_fits(PM_OP_ROTARY, 3, mapped, NULL, &like)) return NULL;
    pm_tensor *made = pm_rebuild_op(&f->r, root, PM_OP_ROTARY, 3, mapped, NULL);
    return pm_reshape(f->r.graph, made, root->rank, root->dims);
}

pm_tensor *pm_fuse_rotary(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 4; i++) {
        const pm_tensor *straight = root->in[i & 1], *turned = root->in[1 - (i & 1)];
        if (straight->op != PM_OP_MUL || turned->op != PM_OP_MUL) return NULL;
        if (!pm_fuse_single(f, straight) || !pm_fuse_single(f, turned)) return NULL;
        const pm_tensor *x = rotated(f, turned->in[i >> 1]), *sine = turned->in[1 - (i >> 1)];
        const pm_tensor *cosine = x ? pm_fuse_other(straight, x) : NULL;
        if (cosine) return make_rotary(f, root, (const pm_tensor *[]){x, cosine, sine});
    }
    return NULL;
}
