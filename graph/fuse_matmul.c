/* Pattern: what follows a matmul and its kernel does on the way out, act(scale * a.b + bias) + residual. Any
 * part may be missing. A part is taken in only where nothing else needs the value before it. */
#include "graph/fuse.h"

#include <math.h>

#define MAX_DEPTH 8

typedef struct epilogue {
    const pm_tensor *in[4]; /* a, b, bias, residual */
    int32_t act;
    double scale;
} epilogue;

static bool read_epilogue(const pm_fuse *f, const pm_tensor *t, int depth, epilogue *out);

/* Operand `inner` of t ends in a matmul, and no other tensor uses it. */
static bool read_inner(const pm_fuse *f, const pm_tensor *t, const pm_tensor *inner, int depth,
                       epilogue *out) {
    return depth < MAX_DEPTH && pm_fuse_single(f, inner) && pm_same_dims(t, inner) &&
           read_epilogue(f, inner, depth + 1, out) && !out->in[PM_MATMUL_RESIDUAL];
}

static bool read_scale(const pm_fuse *f, const pm_tensor *t, int depth, epilogue *out) {
    const pm_tensor *inner = NULL;
    float value = 0;
    if (!pm_fuse_split_const(t, &inner, &value) || !read_inner(f, t, inner, depth, out)) return false;
    if (out->in[PM_MATMUL_BIAS] || out->act) return false;
    out->scale = t->op == PM_OP_MUL ? out->scale * (double)value : out->scale / (double)value;
    return isfinite((float)out->scale) && (float)out->scale != 0; /* 0 means 1 */
}

/* Bias where it can be one, else residual. */
static bool take_addend(const pm_tensor *t, const pm_tensor *addend, epilogue *out) {
    int64_t n = t->dims[t->rank - 1];
    const pm_tensor *row = pm_fuse_row(addend, n);
    if (row && !out->in[PM_MATMUL_BIAS] && !out->act) {
        out->in[PM_MATMUL_BIAS] = row;
        return true;
    }
    int32_t last = addend->rank - 1;
    if (last < 0 || addend->dims[last] != n || (n != 1 && addend->strides[last] != 1)) return false;
    out->in[PM_MATMUL_RESIDUAL] = addend;
    return true;
}

/* The later one of two matmuls takes the earlier one's result as its residual. */
static bool read_add(const pm_fuse *f, const pm_tensor *t, int depth, epilogue *out) {
    int later = t->in[1]->id > t->in[0]->id;
    for (int i = 0; i < 2; i++) {
        const pm_tensor *inner = t->in[i ? !later : later], *addend = t->in[i ? later : !later];
        if (read_inner(f, t, inner, depth, out) && take_addend(t, addend, out)) return true;
    }
    return false;
}

static bool read_act(const pm_fuse *f, const pm_tensor *t, int depth, epilogue *out) {
    int32_t act = pm_fuse_act_of(t->op);
    if (act == PM_ACT_NONE || !read_inner(f, t, t->in[0], depth, out) || out->act) return false;
    out->act = act;
    return true;
}

static bool read_epilogue(const pm_fuse *f, const pm_tensor *t, int depth, epilogue *out) {
    if (t->dtype != PM_F32) return false;
    switch (t->op) {
    case PM_OP_MATMUL:
        *out = (epilogue){.act = t->attrs.act, .scale = t->attrs.scale != 0 ? (double)t->attrs.scale : 1};
        for (int i = 0; i < t->n_in; i++) out->in[i] = t->in[i];
        return true;
    case PM_OP_MUL:
    case PM_OP_DIV: return read_scale(f, t, depth, out);
    case PM_OP_ADD: return read_add(f, t, depth, out);
    default: return read_act(f, t, depth, out);
    }
}

static pm_attrs attrs_of(const epilogue *e) {
    return (pm_attrs){.act = e->act, .scale = e->scale == 1 ? 0 : (float)e->scale};
}

pm_tensor *pm_fuse_matmul(pm_fuse *f, const pm_tensor *root) {
    epilogue e;
    if (!read_epilogue(f, root, 0, &e)) return NULL;
    const pm_attrs attrs = attrs_of(&e);
    return pm_fuse_op(f, root, PM_OP_MATMUL, 4, e.in, &attrs);
}

/* The product with the addend, seen as the product's rows, as its residual. NULL: it would have to be copied. */
static pm_tensor *make_viewed(pm_fuse *f, const pm_tensor *root, const epilogue *e, const pm_tensor *product,
                              const pm_tensor *addend) {
    pm_tensor *in[4], like, *whole = pm_rebuilt(&f->r, addend);
    const pm_attrs attrs = attrs_of(e);
    for (int i = 0; i < 3; i++) in[i] = pm_rebuilt(&f->r, e->in[i]);
    pm_tensor *seen = in[PM_MATMUL_RESIDUAL] = pm_reshape(f->r.graph, whole, product->rank, product->dims);
    if (!seen || seen->base != whole->base || !pm_fuse_fits(PM_OP_MATMUL, 4, in, &attrs, &like)) return NULL;
    pm_tensor *made = pm_rebuild_op(&f->r, root, PM_OP_MATMUL, 4, in, &attrs);
    return pm_reshape(f->r.graph, made, root->rank, root->dims);
}

/* reshape(product) + addend, as where the results of experts are summed: [B,T,1,C] is added as [B,T,C]. */
pm_tensor *pm_fuse_matmul_viewed(pm_fuse *f, const pm_tensor *root) {
    for (int i = 0; i < 2; i++) {
        const pm_tensor *view = root->in[i], *addend = root->in[1 - i], *product = view->in[0];
        epilogue e;
        if (view->op != PM_OP_RESHAPE || !pm_same_dims(view, addend) || !pm_fuse_single(f, view)) continue;
        if (!pm_fuse_single(f, product) || !read_epilogue(f, product, 0, &e) || e.in[PM_MATMUL_RESIDUAL])
            continue;
        bool readable = pm_fuse_readable(f, addend, root);
        for (int k = 0; k < 3; k++) readable = readable && pm_fuse_readable(f, e.in[k], root);
        if (readable) return make_viewed(f, root, &e, product, addend);
    }
    return NULL;
}
