/* Pattern: log softmax over the innermost axis, z - log(sum(exp(z))) with z = x - reduce_max(x). */
#include "graph/fuse.h"

/* x of op(x) along the innermost axis, which nothing else uses. */
static const pm_tensor *reduced(const pm_fuse *f, const pm_tensor *t, pm_op op) {
    bool is = t->op == op && t->attrs.axis == t->rank - 1 && pm_fuse_single(f, t);
    return is ? t->in[0] : NULL;
}

static const pm_tensor *argument(const pm_fuse *f, const pm_tensor *t, pm_op op) {
    return t && t->op == op && pm_fuse_single(f, t) ? t->in[0] : NULL;
}

pm_tensor *pm_fuse_log_softmax(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *z = root->in[0], *sum = argument(f, root->in[1], PM_OP_LOG);
    const pm_tensor *power = sum ? reduced(f, sum, PM_OP_SUM) : NULL;
    if (argument(f, power, PM_OP_EXP) != z || !pm_fuse_is_op(z, PM_OP_SUB, PM_F32)) return NULL;
    const pm_tensor *x = z->in[0];
    if (reduced(f, z->in[1], PM_OP_REDUCE_MAX) != x || f->uses[z->id] != 2) return NULL;
    return pm_fuse_op(f, root, PM_OP_LOG_SOFTMAX, 1, &x, NULL);
}
