/* What the patterns ask and how they answer (fuse.h). Owns no pattern. Depths are limited, since graphs come
 * from files. */
#include "graph/fuse.h"
#include "graph/ops.h"

#include <math.h>
#include <string.h>

#define MAX_DEPTH 16

bool pm_fuse_is_op(const pm_tensor *t, pm_op op, pm_dtype type) {
    return t && t->op == op && t->dtype == type;
}

bool pm_fuse_single(const pm_fuse *f, const pm_tensor *t) {
    return f->uses[t->id] == 1;
}

bool pm_fuse_const(const pm_tensor *t, float *out_value) {
    return t->dtype == PM_F32 && pm_is_const_scalar(t, out_value);
}

bool pm_fuse_near(double value, double expected) {
    return fabs(value - expected) <= 1e-6 * fabs(expected);
}

bool pm_fuse_split_const(const pm_tensor *t, const pm_tensor **out_other, float *out_value) {
    bool commutes = pm_op_get(t->op)->flags & PM_OPF_COMMUTES;
    if (t->n_in != 2 || t->dtype != PM_F32) return false;
    if (pm_fuse_const(t->in[1], out_value)) return *out_other = t->in[0], true;
    if (commutes && pm_fuse_const(t->in[0], out_value)) return *out_other = t->in[1], true;
    return false;
}

const pm_tensor *pm_fuse_other(const pm_tensor *t, const pm_tensor *operand) {
    if (t->n_in != 2) return NULL;
    if (t->in[0] == operand) return t->in[1];
    return t->in[1] == operand && pm_op_get(t->op)->flags & PM_OPF_COMMUTES ? t->in[0] : NULL;
}

/* ---- products ---- */

typedef struct collecting {
    const pm_fuse *f;
    const pm_tensor *root;
    pm_product *p;
} collecting;

static bool collect(const collecting *c, const pm_tensor *t, bool inverse, int depth) {
    float value;
    if (pm_fuse_const(t, &value)) {
        c->p->scale *= inverse ? 1.0 / (double)value : (double)value;
        return isfinite(c->p->scale) && c->p->scale != 0;
    }
    bool product = (t->op == PM_OP_MUL || t->op == PM_OP_DIV) && (t == c->root || pm_fuse_single(c->f, t));
    if (product && depth < MAX_DEPTH)
        return collect(c, t->in[0], inverse, depth + 1) &&
               collect(c, t->in[1], inverse != (t->op == PM_OP_DIV), depth + 1);
    if (c->p->n == PM_MAX_FACTORS) return false;
    c->p->inverse[c->p->n] = inverse;
    c->p->factor[c->p->n++] = t;
    return true;
}

bool pm_fuse_product(const pm_fuse *f, const pm_tensor *t, pm_product *out) {
    *out = (pm_product){.scale = 1};
    return t->dtype == PM_F32 && collect(&(collecting){f, t, out}, t, false, 0);
}

const pm_tensor *pm_fuse_scaled(const pm_fuse *f, const pm_tensor *t, double *out_scale) {
    double scale = 1;
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        const pm_tensor *x = NULL;
        float value = 0;
        if ((t->op != PM_OP_MUL && t->op != PM_OP_DIV) || !pm_fuse_single(f, t) ||
            !pm_fuse_split_const(t, &x, &value))
            break;
        double next = t->op == PM_OP_MUL ? scale * (double)value : scale / (double)value;
        if (!isfinite((float)next) || (float)next == 0 || !pm_same_dims(t, x)) break;
        scale = next;
        t = x;
    }
    *out_scale = scale;
    return t;
}

/* ---- shapes ---- */

const pm_tensor *pm_fuse_row(const pm_tensor *x, int64_t n) {
    for (int32_t k = 0; k + 1 < x->rank; k++)
        if (x->dims[k] != 1) return NULL;
    if (x->rank < 1 || x->dims[x->rank - 1] != n || x->dtype != PM_F32) return NULL;
    for (int depth = 0; x->rank != 1 && x->op == PM_OP_RESHAPE && depth < MAX_DEPTH; depth++) x = x->in[0];
    return x->rank == 1 && (n == 1 || x->strides[0] == 1) ? x : NULL;
}

bool pm_fuse_swaps_last(const pm_tensor *t) {
    if (t->op != PM_OP_PERMUTE || t->rank < 2) return false;
    for (int32_t k = 0; k < t->rank - 2; k++)
        if (t->attrs.axes[k] != k) return false;
    return t->attrs.axes[t->rank - 1] == t->rank - 2;
}

bool pm_fuse_readable(const pm_fuse *f, const pm_tensor *x, const pm_tensor *root) {
    if (!x || x->base->kind != PM_KIND_STATE) return true;
    for (uint32_t id = x->version + 1; id < root->id; id++) {
        const pm_tensor *t = f->r.old->items[id];
        if (pm_op_get(t->op)->flags & PM_OPF_STATE && t->base == x->base) return false;
    }
    return true;
}

/* ---- heads ---- */

pm_five pm_fuse_five(const pm_tensor *x, int32_t scores_rank) {
    pm_five five = {.dims = {1, 1, 1, 1, 1}};
    for (int32_t k = 0; k < x->rank; k++) {
        int32_t from_end = x->rank - k;
        int32_t to = PM_MAX_DIMS - from_end - (from_end > 2 && scores_rank < PM_MAX_DIMS);
        five.dims[to] = x->dims[k];
        five.strides[to] = x->strides[k];
    }
    return five;
}

pm_tensor *pm_fuse_four(pm_graph *g, pm_tensor *x, const pm_five *own, const int64_t *full) {
    const int64_t four[4] = {full[0], full[1] * full[2], full[3], full[4]};
    if (!x || pm_check_dims("fuse", 4, four) != PM_OK) return NULL;
    if (memcmp(own->dims, full, sizeof own->dims) != 0)
        x = pm_expand(g, pm_reshape(g, x, PM_MAX_DIMS, own->dims), PM_MAX_DIMS, full);
    return x && x->rank == 4 && memcmp(x->dims, four, sizeof four) == 0 ? x : pm_reshape(g, x, 4, four);
}

/* ---- making ---- */

bool pm_fuse_fits(pm_op op, int n_in, pm_tensor *const *in, const pm_attrs *attrs, pm_tensor *out_like) {
    *out_like = (pm_tensor){.op = op, .n_in = n_in};
    if (attrs) out_like->attrs = *attrs;
    for (int i = 0; i < n_in; i++) {
        out_like->in[i] = in[i];
        if (!in[i] && i < pm_op_get(op)->min_in) return false;
    }
    return pm_op_get(op)->infer(out_like) == PM_OK;
}

pm_tensor *pm_fuse_op(pm_fuse *f, const pm_tensor *root, pm_op op, int n_in, const pm_tensor *const *in,
                      const pm_attrs *attrs) {
    pm_tensor *mapped[PM_MAX_IN], like;
    for (int i = 0; i < n_in; i++) {
        if (!pm_fuse_readable(f, in[i], root)) return NULL;
        mapped[i] = pm_rebuilt(&f->r, in[i]);
    }
    if (!pm_fuse_fits(op, n_in, mapped, attrs, &like) || !pm_same_dims(&like, root)) return NULL;
    return pm_rebuild_op(&f->r, root, op, n_in, mapped, attrs);
}
