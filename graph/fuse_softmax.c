/* Pattern: scale, cap, bias and mask in front of a softmax become its attributes and operands:
 *   softmax(where(mask, cap * tanh(scale * x / cap) + bias, PM_MASKED))
 * Any part may be missing. where and + bias may stand in either order, and twice; scale and cap stand inside
 * of both. */
#include "graph/fuse.h"

#include <math.h>

#define MAX_DEPTH 8

typedef struct scores {
    const pm_tensor *x, *bias;
    pm_mask_form mask;
    double scale, softcap;
} scores;

static bool is_masked(const pm_tensor *t) {
    float value;
    return pm_fuse_const(t, &value) && value <= PM_MASKED;
}

/* x of where(mask, x, PM_MASKED), or of where(mask, PM_MASKED, x), which negates. */
static const pm_tensor *read_where(const pm_tensor *z, bool *out_negate) {
    if (z->op != PM_OP_WHERE) return NULL;
    *out_negate = is_masked(z->in[1]);
    return is_masked(z->in[2]) != *out_negate ? z->in[*out_negate ? 2 : 1] : NULL;
}

/* x + where(mask, 0, PM_MASKED): the mask as an addend. */
static bool is_mask_addend(const pm_tensor *t, const pm_tensor **out_cond, bool *out_negate) {
    float value;
    const pm_tensor *zero = read_where(t, out_negate);
    if (!zero || !pm_fuse_const(zero, &value) || value != 0) return false;
    *out_cond = t->in[0];
    return true;
}

static bool leads_to_matmul(const pm_tensor *t) {
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        const pm_tensor *x = NULL;
        float value;
        bool negate;
        if (t->op == PM_OP_MATMUL) return true;
        if ((t->op == PM_OP_MUL || t->op == PM_OP_DIV) && pm_fuse_split_const(t, &x, &value))
            t = x;
        else if (t->op == PM_OP_TANH)
            t = t->in[0];
        else if ((x = read_where(t, &negate)))
            t = x;
        else
            return false;
    }
    return false;
}

/* An addition of scores and something else: the mask as an addend, or the one bias. */
static const pm_tensor *peel_add(scores *s, const pm_tensor *z) {
    const pm_tensor *cond;
    bool negate;
    float value;
    for (int i = 0; i < 2; i++)
        if (is_mask_addend(z->in[1 - i], &cond, &negate) && pm_same_dims(z, z->in[i]))
            return pm_fuse_read_mask(&s->mask, cond, negate) ? z->in[i] : NULL;
    int at = !pm_same_dims(z, z->in[0]) ||
             (pm_same_dims(z, z->in[1]) && !leads_to_matmul(z->in[0]) && leads_to_matmul(z->in[1]));
    const pm_tensor *x = z->in[at], *bias = z->in[1 - at];
    if (s->bias || !pm_same_dims(z, x) || pm_fuse_const(bias, &value)) return NULL;
    s->bias = bias;
    return x;
}

/* The outer layers, masks and bias. NULL: a mask that the kernels do not know. */
static const pm_tensor *peel_masks(const pm_fuse *f, scores *s, const pm_tensor *z) {
    for (int depth = 0; depth < MAX_DEPTH && pm_fuse_single(f, z); depth++) {
        bool negate;
        const pm_tensor *x = read_where(z, &negate);
        if (x) {
            if (!pm_same_dims(x, z) || !pm_fuse_read_mask(&s->mask, z->in[0], negate)) return NULL;
        } else if (z->op == PM_OP_ADD && (x = peel_add(s, z))) {
        } else {
            break;
        }
        z = x;
    }
    return z;
}

/* The inner layers: cap * tanh(z / cap), then a scale. */
static const pm_tensor *peel_scales(const pm_fuse *f, scores *s, const pm_tensor *z) {
    double cap, inner;
    const pm_tensor *capped = pm_fuse_scaled(f, z, &cap), *x;
    if (capped != z && capped->op == PM_OP_TANH && pm_fuse_single(f, capped) && cap > 0) {
        x = pm_fuse_scaled(f, capped->in[0], &inner);
        s->softcap = cap;
        s->scale = inner * cap; /* cap * tanh(inner * x) */
    } else {
        x = pm_fuse_scaled(f, z, &s->scale);
    }
    return x;
}

pm_tensor *pm_fuse_softmax(pm_fuse *f, const pm_tensor *root) {
    scores s = {.mask.scores = root};
    if (root->n_in != 1 || root->attrs.scale != 0 || root->attrs.softcap != 0) return NULL;
    const pm_tensor *z = peel_masks(f, &s, root->in[0]);
    if (!z) return NULL;
    s.x = peel_scales(f, &s, z);
    if (s.x == root->in[0] || !pm_fuse_readable(f, s.x, root) || !pm_fuse_readable(f, s.bias, root))
        return NULL;
    if (!isfinite((float)s.scale) || (float)s.scale == 0) return NULL;

    pm_attrs attrs = {.scale = s.scale == 1 ? 0 : (float)s.scale, .softcap = (float)s.softcap};
    pm_tensor *in[5] = {pm_rebuilt(&f->r, s.x)}, like;
    if (!pm_fuse_make_mask(f, &s.mask, &attrs, &in[PM_SOFTMAX_POSITION])) return NULL;
    if (s.bias) attrs.mask |= PM_MASK_BIAS, in[PM_SOFTMAX_BIAS] = pm_rebuilt(&f->r, s.bias);
    if (!pm_fuse_fits(PM_OP_SOFTMAX, 5, in, &attrs, &like) || !pm_same_dims(&like, root)) return NULL;
    return pm_rebuild_op(&f->r, root, PM_OP_SOFTMAX, 5, in, &attrs);
}
