/* Pattern: scale, cap, bias and mask in front of a softmax become its attributes and operands:
 *   softmax(where(mask, cap * tanh(scale * x / cap) + bias, PM_MASKED))
 * A bias that is a gather at distances becomes the table that it gathers from. One more column of scores whose share is cut
 * off behind the softmax is a sink.
 * Any part may be missing. where and + bias may stand in either order, and twice; scale and cap stand inside
 * of both. */
#include "graph/fuse.h"

#include <math.h>

#define MAX_DEPTH 8
#define MAX_STEPS 64 /* looked at for masked entries */

typedef struct scores {
    const pm_tensor *x, *bias, *sink; /* a sink takes the bias's place */
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
    if (s->bias || s->sink || !pm_same_dims(z, x) || pm_fuse_const(bias, &value)) return NULL;
    s->bias = bias;
    return x;
}

/* The outer layers, masks and bias. NULL: a mask that the kernels do not know. */
static const pm_tensor *peel_masks(const pm_fuse *f, scores *s, const pm_tensor *z) {
    for (int depth = 0; depth < MAX_DEPTH && pm_fuse_single(f, z); depth++) {
        bool negate;
        const pm_tensor *x = read_where(z, &negate);
        if (x && (!pm_same_dims(x, z) || !pm_fuse_read_mask(&s->mask, z->in[0], negate))) return NULL;
        if (!x && z->op == PM_OP_ADD) x = peel_add(s, z);
        if (!x) return z;
        z = x;
    }
    return z;
}

/* Operations that hand on entries of their inputs, or sums and multiples of them. */
static bool hands_on(const pm_tensor *t) {
    static const bool rows[PM_N_OPS] = {
        [PM_OP_COPY] = true,       [PM_OP_NEG] = true,         [PM_OP_ABS] = true,    [PM_OP_ADD] = true,
        [PM_OP_SUB] = true,        [PM_OP_MUL] = true,         [PM_OP_DIV] = true,    [PM_OP_MAX] = true,
        [PM_OP_MIN] = true,        [PM_OP_WHERE] = true,       [PM_OP_SUM] = true,    [PM_OP_MEAN] = true,
        [PM_OP_REDUCE_MAX] = true, [PM_OP_CACHE_WRITE] = true, [PM_OP_GATHER] = true, [PM_OP_CONCAT] = true,
        [PM_OP_REL_SHIFT] = true,  [PM_OP_LOG_SOFTMAX] = true,
    };
    return rows[t->op] || pm_op_get(t->op)->flags & PM_OPF_VIEW;
}

/* Whether entries of t may be at or below PM_MASKED: those that somebody has put there. Products (but for what is added
 * to them), norms and activations make none. */
static bool may_hold_masked(const pm_tensor *t, int *n_steps) {
    float value;
    if (t->dtype != PM_F32) return false;
    if (++*n_steps > MAX_STEPS) return true;
    if (pm_fuse_const(t, &value)) return !(fabsf(value) < -PM_MASKED);
    if (pm_op_get(t->op)->flags & PM_OPF_LEAF || t->op == PM_OP_LOG) return true;
    int first = hands_on(t) ? 0 : t->op == PM_OP_MATMUL ? PM_MATMUL_BIAS : PM_MAX_IN;
    for (int i = first; i < t->n_in; i++)
        if (t->in[i] && may_hold_masked(t->in[i], n_steps)) return true;
    return false;
}

/* The inner layers: cap * tanh(z / cap), then a scale. Softmax takes entries of x at or below PM_MASKED as absent,
 * whatever scale and cap would make of them. So either x has none, or what is taken in leaves them there. */
static const pm_tensor *peel_scales(const pm_fuse *f, scores *s, const pm_tensor *z) {
    double outer, inner = 1;
    int n_steps = 0;
    const pm_tensor *x = pm_fuse_scaled(f, z, &outer);
    bool capped = x != z && x->op == PM_OP_TANH && pm_fuse_single(f, x) && outer > 0;
    if (capped) x = pm_fuse_scaled(f, x->in[0], &inner);
    if ((capped || outer < 1) && may_hold_masked(x, &n_steps)) return z;
    s->softcap = capped ? outer : 0;
    s->scale = inner * outer; /* cap * tanh(inner * x) */
    return x;
}

/* The softmax of z, as it may stand for root. */
static pm_tensor *fuse_scores(pm_fuse *f, const pm_tensor *root, const pm_tensor *from,
                              const pm_tensor *sink) {
    scores s = {.mask.scores = root, .sink = sink, .scale = 1};
    const pm_tensor *z = peel_masks(f, &s, from);
    if (!z) return NULL;
    s.x = peel_scales(f, &s, z);
    if ((s.x == from && !sink) || !pm_fuse_readable(f, s.x, root) || !pm_fuse_readable(f, s.bias, root) ||
        !pm_fuse_readable(f, sink, root))
        return NULL;
    if (!isfinite((float)s.scale) || (float)s.scale == 0) return NULL;
    if (s.bias && pm_fuse_read_relative(&s.mask, s.bias)) s.bias = NULL;

    pm_attrs attrs = {.scale = s.scale == 1 ? 0 : (float)s.scale, .softcap = (float)s.softcap};
    pm_tensor *in[5] = {pm_rebuilt(&f->r, s.x)}, like;
    if (!pm_fuse_make_mask(f, &s.mask, &attrs, &in[PM_SOFTMAX_POSITION])) return NULL;
    if (s.bias) attrs.mask |= PM_MASK_BIAS, in[PM_SOFTMAX_BIAS] = pm_rebuilt(&f->r, s.bias);
    if (sink) attrs.mask |= PM_MASK_SINK, in[PM_SOFTMAX_BIAS] = pm_rebuilt(&f->r, sink);
    if (!pm_fuse_fits(PM_OP_SOFTMAX, 5, in, &attrs, &like) || !pm_same_dims(&like, root)) return NULL;
    return pm_rebuild_op(&f->r, root, PM_OP_SOFTMAX, 5, in, &attrs);
}

static bool is_plain_softmax(const pm_tensor *t) {
    return t->op == PM_OP_SOFTMAX && t->n_in == 1 && pm_attrs_equal(&t->attrs, &(pm_attrs){0});
}

pm_tensor *pm_fuse_softmax(pm_fuse *f, const pm_tensor *root) {
    return is_plain_softmax(root) ? fuse_scores(f, root, root->in[0], NULL)
                                  : NULL; /* else it has a mask already */
}

/* softmax(concat(scores, sink)) without its last column, which is the sink's share. */
pm_tensor *pm_fuse_sink(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *p = root->in[0];
    if (!is_plain_softmax(p) || !pm_fuse_single(f, p)) return NULL;
    const pm_tensor *both = p->in[0];
    int32_t last = root->rank - 1;
    if (both->op != PM_OP_CONCAT || both->n_in != 2 || !pm_fuse_single(f, both) || both->attrs.axis != last)
        return NULL;
    const pm_tensor *z = both->in[0], *sink = both->in[1];
    bool rest = root->attrs.axis == last && root->attrs.start == 0 && root->attrs.length == z->dims[last];
    return rest && sink->dims[last] == 1 && root->rank > 1 ? fuse_scores(f, root, z, sink) : NULL;
}
