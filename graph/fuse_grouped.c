/* Pattern: what follows a grouped_matmul and its kernel does on the way out, act(w[e] . x + bias[e]); the bias is written as
 * rows of a table, gathered by the same ids. Any part may be missing. A pair without an expert gives 0, so only activations
 * that keep 0 are taken in: no sigmoid. */
#include "graph/fuse.h"

static const pm_tensor *operand(const pm_tensor *t, int i) {
    return i < t->n_in ? t->in[i] : NULL;
}

/* A grouped_matmul that nothing else reads and that has no activation yet. */
static bool is_open(const pm_fuse *f, const pm_tensor *t) {
    return t->op == PM_OP_GROUPED_MATMUL && t->attrs.act == PM_ACT_NONE && pm_fuse_single(f, t);
}

static pm_tensor *make(pm_fuse *f, const pm_tensor *root, const pm_tensor *product, const pm_tensor *bias,
                       int32_t act) {
    const pm_tensor *in[] = {product->in[PM_GROUPED_X], product->in[PM_GROUPED_W],
                             product->in[PM_GROUPED_IDS], bias};
    return pm_fuse_op(f, root, PM_OP_GROUPED_MATMUL, 4, in, &(pm_attrs){.act = act});
}

/* The table whose rows are added to t's product in t = product + gather(table, ids). */
static const pm_tensor *read_bias(const pm_fuse *f, const pm_tensor *t, const pm_tensor **out_product) {
    for (int i = 0; t->op == PM_OP_ADD && i < 2; i++) {
        const pm_tensor *product = t->in[i], *rows = t->in[1 - i];
        if (!is_open(f, product) || operand(product, PM_GROUPED_BIAS) || rows->op != PM_OP_GATHER) continue;
        if (rows->in[1] != product->in[PM_GROUPED_IDS] || rows->dtype != PM_F32) continue;
        *out_product = product;
        return rows->in[0];
    }
    return NULL;
}

pm_tensor *pm_fuse_grouped(pm_fuse *f, const pm_tensor *root) {
    const pm_tensor *product = root->in[0];
    const pm_tensor *bias = read_bias(f, root, &product);
    int32_t act = pm_fuse_act_of(root->op);
    if (bias) return make(f, root, product, bias, PM_ACT_NONE);
    if (act == PM_ACT_NONE) return NULL;
    if (is_open(f, product)) return make(f, root, product, operand(product, PM_GROUPED_BIAS), act);
    bias = pm_fuse_single(f, product) ? read_bias(f, product, &product) : NULL;
    return bias ? make(f, root, product, bias, act) : NULL;
}
