/* Pattern: rotary position embedding, x * cos + rotate_half(x) * sin,
 * rotate_half(x) = concat(-x[D/2 .. D], x[0 .. D/2]) along the innermost axis. Where only the first dims of a head are turned,
 * that is found of a slice, and then joined with the rest: concat(rotary(x[0 .. R]), x[R .. D]). And its way into a cache:
 * cache_write(state, rotary(x), position). */
#include "graph/fuse.h"

#define MAX_DEPTH 8

/* Some of the innermost dims of a tensor: slices of slices are one slice, whoever wrote or folded them. */
typedef struct columns {
    const pm_tensor *of;
    int64_t start, n;
} columns;

static columns columns_of(const pm_tensor *t) {
    columns c = {t, 0, t->dims[t->rank - 1]};
    for (int depth = 0; c.of->op == PM_OP_SLICE && c.of->attrs.axis == c.of->rank - 1 && depth < MAX_DEPTH;
         depth++)
        c.start += c.of->attrs.start, c.of = c.of->in[0];
    return c;
}

static bool is_columns(const pm_tensor *t, const pm_tensor *of, int64_t start, int64_t n) {
    const columns c = columns_of(t);
    return c.of == of && c.start == start && c.n == n;
}

/* Whether t is rotate_half(x). */
static bool is_rotated(const pm_fuse *f, const pm_tensor *t, const pm_tensor *x) {
    if (t->op != PM_OP_CONCAT || t->n_in != 2 || t->rank < 1 || t->attrs.axis != t->rank - 1 ||
        !pm_fuse_single(f, t) || !pm_same_dims(t, x))
        return false;
    const pm_tensor *high = t->in[0], *low = t->in[1];
    if (high->op != PM_OP_NEG || !pm_fuse_single(f, high)) return false;
    const columns all = columns_of(x);
    int64_t half = all.n / 2;
    return is_columns(low, all.of, all.start, half) &&
           is_columns(high->in[0], all.of, all.start + half, half);
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

/* The other of a product's two operands. */
static const pm_tensor *beside(const pm_tensor *product, int i) {
    return product->in[1 - i];
}

pm_tensor *pm_fuse_rotary(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 8; i++) {
        const pm_tensor *straight = root->in[i & 1], *turned = beside(root, i & 1);
        int of_x = i >> 1 & 1, of_half = i >> 2;
        if (straight->op != PM_OP_MUL || turned->op != PM_OP_MUL) return NULL;
        if (!pm_fuse_single(f, straight) || !pm_fuse_single(f, turned)) return NULL;
        const pm_tensor *x = straight->in[of_x];
        if (x->rank < 1 || !is_rotated(f, turned->in[of_half], x)) continue;
        const pm_tensor *in[] = {x, beside(straight, of_x), beside(turned, of_half)};
        return make_rotary(f, root, in);
    }
    return NULL;
}

pm_tensor *pm_fuse_rotary_part(pm_fuse *f, const pm_tensor *root) {
    if (root->n_in != 2 || root->attrs.axis != root->rank - 1) return NULL;
    const pm_tensor *turned = root->in[0], *rest = root->in[1];
    if (turned->op != PM_OP_ROTARY || !pm_fuse_single(f, turned)) return NULL;
    const columns first = columns_of(turned->in[0]);
    const pm_tensor *in[] = {first.of, turned->in[1], turned->in[2]};
    if (first.start != 0 || !is_columns(rest, first.of, first.n, first.of->dims[root->rank - 1] - first.n))
        return NULL;
    return pm_fuse_op(f, root, PM_OP_ROTARY, 3, in, NULL);
}

/* Keys are turned on their way into the cache. */
pm_tensor *pm_fuse_rotary_write(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *turned = root->in[1];
    if (root->n_in != 3 || turned->op != PM_OP_ROTARY || !pm_fuse_single(f, turned)) return NULL;
    const pm_tensor *in[] = {root->in[0], turned->in[0], root->in[2], turned->in[1], turned->in[2]};
    return pm_fuse_op(f, root, PM_OP_CACHE_WRITE, 5, in, NULL);
}
