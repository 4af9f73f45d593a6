/* Patterns: layer norm and RMS norm.
 *   layer_norm: d = x - mean(x); d * rsqrt(mean(d*d) + eps) [* gamma] [+ beta]
 *   rms_norm:   x * rsqrt(mean(x*x) + eps) [* gamma]
 * with / sqrt(...) in place of * rsqrt(...), and the factors in any order; and norms of one x, of which CSE left one. */
#include "graph/fuse.h"

typedef struct norm {
    pm_op op;
    const pm_tensor *x, *gamma;
    float eps;
} norm;

/* mean(x, innermost), which nothing else uses. */
static const pm_tensor *mean_of(const pm_fuse *f, const pm_tensor *t) {
    bool is_mean = t->op == PM_OP_MEAN && t->attrs.axis == t->rank - 1 && pm_fuse_single(f, t);
    return is_mean ? t->in[0] : NULL;
}

/* The d of "1 / sqrt(mean(d * d) + eps)", given as rsqrt or, `inverse`, as a divisor. */
static const pm_tensor *deviation(const pm_fuse *f, const pm_tensor *t, bool inverse, float *out_eps) {
    const pm_tensor *variance = NULL;
    if (t->op != (inverse ? PM_OP_SQRT : PM_OP_RSQRT) || !pm_fuse_single(f, t)) return NULL;
    t = t->in[0];
    if (t->op != PM_OP_ADD || !pm_fuse_single(f, t) || !pm_fuse_split_const(t, &variance, out_eps))
        return NULL;
    const pm_tensor *square = mean_of(f, variance);
    if (!square || square->op != PM_OP_MUL || square->in[0] != square->in[1] || !pm_fuse_single(f, square))
        return NULL;
    return *out_eps > 0 ? square->in[0] : NULL;
}

/* d = x - mean(x), used in the square (twice) and in the result. */
static const pm_tensor *centered(const pm_fuse *f, const pm_tensor *d) {
    if (!pm_fuse_is_op(d, PM_OP_SUB, PM_F32) || f->uses[d->id] != 3) return NULL;
    return mean_of(f, d->in[1]) == d->in[0] ? d->in[0] : NULL;
}

/* Which factor is the root of the variance; the one that it was taken of and gamma are the others. */
static bool read_factors(const pm_fuse *f, const pm_product *p, norm *out) {
    const pm_tensor *d = NULL, *rest = NULL;
    int at = 0;
    while (at < p->n && !(d = deviation(f, p->factor[at], p->inverse[at], &out->eps))) at++;
    if (!d) return false;
    bool found = false;
    for (int i = 0; i < p->n; i++) {
        if (i == at) continue;
        if (p->inverse[i]) return false;
        if (p->factor[i] == d && !found)
            found = true;
        else
            rest = p->factor[i];
    }
    const pm_tensor *x = centered(f, d);
    out->op = x ? PM_OP_LAYER_NORM : PM_OP_RMS_NORM;
    out->x = x ? x : d;
    out->gamma = rest ? pm_fuse_row(rest, d->dims[d->rank - 1]) : NULL;
    return found && (!rest || out->gamma);
}

static bool read_norm(const pm_fuse *f, const pm_tensor *t, norm *out) {
    pm_product p;
    if (t->op != PM_OP_MUL && t->op != PM_OP_DIV) return false;
    return pm_fuse_product(f, t, &p) && p.n >= 2 && p.n <= 3 && p.scale == 1 && read_factors(f, &p, out) &&
           pm_same_dims(t, out->x);
}

pm_tensor *pm_fuse_norm(pm_fuse *f, const pm_tensor *root) {
    norm n;
    if (!read_norm(f, root, &n)) return NULL;
    return pm_fuse_op(f, root, n.op, 2, (const pm_tensor *[]){n.x, n.gamma}, &(pm_attrs){.eps = n.eps});
}

pm_tensor *pm_fuse_norm_beta(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 2; i++) {
        norm n;
        const pm_tensor *t = root->in[i], *beta;
        if (!pm_fuse_single(f, t) || !read_norm(f, t, &n) || n.op != PM_OP_LAYER_NORM) continue;
        beta = pm_fuse_row(root->in[1 - i], n.x->dims[n.x->rank - 1]);
        if (beta)
            return pm_fuse_op(f, root, n.op, 3, (const pm_tensor *[]){n.x, n.gamma, beta},
                              &(pm_attrs){.eps = n.eps});
    }
    return NULL;
}

/* ---- two norms of one x ---- */

/* The norm without gamma and beta that t multiplies by a row. */
static const pm_tensor *bare_norm(const pm_tensor *t, const pm_tensor **out_gamma) {
    for (int i = 0; i < 2 && t->op == PM_OP_MUL; i++) {
        const pm_tensor *n = t->in[i];
        if ((n->op != PM_OP_LAYER_NORM && n->op != PM_OP_RMS_NORM) || (n->n_in > 1 && n->in[1]) ||
            (n->n_in > 2 && n->in[2]))
            continue;
        *out_gamma = pm_fuse_row(t->in[1 - i], n->dims[n->rank - 1]);
        if (*out_gamma) return n;
    }
    return NULL;
}

/* What CSE made one of several norms has several users, so the patterns above left it without gamma. Each user becomes
 * the norm whole: one pass over x in place of two over its result. */
pm_tensor *pm_fuse_norm_gamma(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *gamma, *n = bare_norm(root, &gamma);
    return n ? pm_fuse_op(f, root, n->op, 2, (const pm_tensor *[]){n->in[0], gamma}, &n->attrs) : NULL;
}

pm_tensor *pm_fuse_norm_gamma_beta(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *gamma, *n = bare_norm(root->in[i], &gamma);
        if (!n || n->op != PM_OP_LAYER_NORM || !pm_fuse_single(f, root->in[i])) continue;
        const pm_tensor *beta = pm_fuse_row(root->in[1 - i], n->dims[n->rank - 1]);
        if (beta)
            return pm_fuse_op(f, root, n->op, 3, (const pm_tensor *[]){n->in[0], gamma, beta}, &n->attrs);
    }
    return NULL;
}
