/* Pattern: softmax(q . k^T) . v, masks and scale already in the softmax, nothing else using scores or
 * probabilities. Heads come as [B,H,T,D], as [B,G,R,T,D] (R queries share the keys of one of G heads), or
 * with fewer leading dims. The kernel wants [B,H,T,D], [B,G,S,D], [B,G,S,D] with stride 1 over D: views where
 * strides can say it, else copies. */
#include "graph/fuse.h"

#include <math.h>
#include <string.h>

#define MAX_HEAD_SIZE 256

static bool is_plain_matmul(const pm_tensor *t) {
    return t->op == PM_OP_MATMUL && t->n_in == 2 && t->attrs.act == PM_ACT_NONE;
}

#define MAX_VIEWS 8
typedef struct attention {
    const pm_tensor *softmax, *scores, *q, *k, *v;
    const pm_tensor *views[MAX_VIEWS]; /* of q, outermost first */
    int n_views;
    bool v_transposed; /* v is [..,D,S] */
    bool has_places;   /* the scores have a term by distance, too */
    pm_places places;
    double scale;
} attention;

/* Takes a constant factor of the queries into the scale, also from behind the views that make heads of them.
 */
static void read_query(const pm_fuse *f, const pm_tensor *q, attention *a) {
    double total = 1, scale;
    int n = 0;
    a->q = q;
    a->n_views = 0;
    a->scale = 1;
    for (;;) {
        const pm_tensor *x = pm_fuse_scaled(f, q, &scale);
        if (x != q) {
            total *= scale;
            a->q = q = x;
            a->n_views = n;
            a->scale = total;
        }
        bool view = pm_op_get(q->op)->flags & PM_OPF_VIEW && pm_fuse_single(f, q) && n < MAX_VIEWS;
        if (!view) return;
        a->views[n++] = q;
        q = q->in[0];
    }
}

static bool read_attention(const pm_fuse *f, const pm_tensor *root, attention *a) {
    if (!is_plain_matmul(root) || root->attrs.scale != 0) return false;
    a->softmax = root->in[PM_MATMUL_A];
    if (a->softmax->op != PM_OP_SOFTMAX || !pm_fuse_single(f, a->softmax)) return false;
    a->scores = a->softmax->in[PM_SOFTMAX_X];
    a->has_places = pm_fuse_read_places(f, a->scores, &a->places);
    if (a->has_places) a->scores = a->places.content;
    if (!is_plain_matmul(a->scores) || !pm_fuse_single(f, a->scores)) return false;
    a->v = root->in[PM_MATMUL_B];
    a->v_transposed = !pm_fuse_swaps_last(a->v);
    if (!a->v_transposed) a->v = a->v->in[0];
    const pm_attrs *inner = &a->scores->attrs, *outer = &a->softmax->attrs;
    a->q = a->scores->in[PM_MATMUL_A];
    a->scale = 1;
    if (!a->has_places) read_query(f, a->q, a);
    a->k = a->scores->in[PM_MATMUL_B];
    if (inner->scale != 0) a->scale *= (double)inner->scale;
    if (outer->scale != 0) a->scale *= (double)outer->scale;
    if (!isfinite((float)a->scale) || (float)a->scale == 0) return false;
    for (int i = PM_SOFTMAX_POSITION; i < a->softmax->n_in; i++)
        if (!pm_fuse_readable(f, a->softmax->in[i], root)) return false;
    if (a->has_places &&
        (!pm_fuse_readable(f, a->places.q, root) || !pm_fuse_readable(f, a->places.r, root) ||
         !pm_fuse_readable(f, a->places.position, root)))
        return false;
    return pm_fuse_readable(f, a->q, root) && pm_fuse_readable(f, a->k, root) &&
           pm_fuse_readable(f, a->v, root);
}

/* ---- operands: new tensors ---- */

static pm_tensor *with_unit_stride(pm_graph *g, pm_tensor *x) {
    if (!x) return NULL;
    int32_t last = x->rank - 1;
    return x->dims[last] != 1 && x->strides[last] != 1 ? pm_copy(g, x) : x;
}

/* All queries of a group read the same keys. */
static bool shares_heads(const pm_five *x) {
    return x->dims[2] == 1 || x->strides[2] == 0;
}

/* k or v as [B,n_heads,S,D], where n_heads is 1 or all of G: heads that were repeated are read once. */
static pm_tensor *make_kv(pm_graph *g, pm_tensor *x, pm_five *own, const pm_five *scores, int64_t n_heads) {
    const int64_t full[PM_MAX_DIMS] = {scores->dims[0], n_heads, 1, scores->dims[4], own->dims[4]};
    if (own->dims[2] != 1) x = pm_slice(g, x, -3, 0, 1);
    own->dims[2] = 1;
    return with_unit_stride(g, pm_fuse_four(g, x, own, full));
}

static bool make_keys_and_values(pm_fuse *f, const attention *a, const pm_five *scores, pm_tensor **in) {
    pm_graph *g = f->r.graph;
    pm_tensor *k = pm_rebuilt(&f->r, a->k), *v = pm_rebuilt(&f->r, a->v);
    if (a->v_transposed) v = pm_transpose(g, v, -1, -2);
    if (!k || !v) return false;
    pm_five own_k = pm_fuse_five(k, a->scores->rank), own_v = pm_fuse_five(v, a->scores->rank);
    if (!shares_heads(&own_k) || !shares_heads(&own_v)) return false;
    int64_t n_heads = own_k.dims[1] > own_v.dims[1] ? own_k.dims[1] : own_v.dims[1];
    in[PM_ATTN_K] = make_kv(g, k, &own_k, scores, n_heads);
    in[PM_ATTN_V] = make_kv(g, v, &own_v, scores, n_heads);
    return in[PM_ATTN_K] && in[PM_ATTN_V];
}

/* q, less what read_query took of it, as [B,G*R,T,D]. */
static pm_tensor *make_query(pm_fuse *f, const attention *a, const pm_five *scores) {
    pm_graph *g = f->r.graph;
    pm_tensor *q = pm_rebuilt(&f->r, a->q);
    for (int i = a->n_views; i-- > 0 && q;) q = pm_add_op(g, a->views[i]->op, 1, &q, &a->views[i]->attrs);
    if (!q) return NULL;
    pm_five own = pm_fuse_five(q, a->scores->rank), full = *scores;
    full.dims[4] = own.dims[4];
    return with_unit_stride(g, pm_fuse_four(g, q, &own, full.dims));
}

/* The softmax's operands; the bias over [..,G,R,T,S] as one over [..,G*R,T,S], if G and R both are whole or both 1. */
static bool make_masks(pm_fuse *f, const attention *a, const pm_five *scores, pm_tensor **in) {
    for (int i = PM_SOFTMAX_POSITION; i < a->softmax->n_in; i++)
        in[PM_ATTN_POSITION - PM_SOFTMAX_POSITION + i] = pm_rebuilt(&f->r, a->softmax->in[i]);
    pm_tensor **bias = &in[PM_ATTN_BIAS];
    if (!*bias) return true;
    if (a->softmax->attrs.mask &
        PM_MASK_RELATIVE) /* [H,N] beside scores [..,H,T,S]; fits says whether H is all heads */
        return a->scores->rank < 5 || (*bias)->dims[0] == 1 || scores->dims[1] == 1;
    const pm_five own = pm_fuse_five(*bias, a->scores->rank);
    bool all = own.dims[1] == scores->dims[1] && own.dims[2] == scores->dims[2];
    bool one = own.dims[1] == 1 && own.dims[2] == 1;
    bool sink = a->softmax->attrs.mask & PM_MASK_SINK;
    if ((!all && !one) || own.dims[4] != (sink ? 1 : scores->dims[4])) return false;
    return (*bias = with_unit_stride(f->r.graph, pm_fuse_four(f->r.graph, *bias, &own, own.dims)));
}

/* v broadcasts to the probabilities, and has the head size of q and k. */
static bool gives_heads(const pm_tensor *root, const attention *a) {
    int64_t d = a->k->dims[a->k->rank - 1];
    if (d > MAX_HEAD_SIZE || root->dims[root->rank - 1] != d || root->rank != a->scores->rank) return false;
    return memcmp(root->dims, a->scores->dims, (size_t)(root->rank - 1) * sizeof root->dims[0]) == 0;
}

pm_tensor *pm_fuse_attention(pm_fuse *f, const pm_tensor *root) {
    attention a;
    pm_tensor *in[PM_ATTN_PLACES + 1] = {0}, like;
    if (!read_attention(f, root, &a) || !gives_heads(root, &a)) return NULL;
    const pm_five scores = pm_fuse_five(a.scores, a.scores->rank);
    pm_attrs attrs = a.softmax->attrs;
    if (!a.has_places) in[PM_ATTN_Q] = make_query(f, &a, &scores);
    if ((!a.has_places && !in[PM_ATTN_Q]) || !make_keys_and_values(f, &a, &scores, in) ||
        !make_masks(f, &a, &scores, in))
        return NULL;
    if (a.has_places && !pm_fuse_make_places(f, a.softmax, &a.places, &attrs, in)) return NULL;
    attrs.scale = a.scale == 1 ? 0 : (float)a.scale;
    if (!pm_fuse_fits(PM_OP_ATTENTION, PM_ATTN_PLACES + 1, in, &attrs, &like) ||
        pm_elems(&like) != pm_elems(root))
        return NULL;
    pm_tensor *made = pm_rebuild_op(&f->r, root, PM_OP_ATTENTION, PM_ATTN_PLACES + 1, in, &attrs);
    return made && root->rank != 4 ? pm_reshape(f->r.graph, made, root->rank, root->dims) : made;
}
