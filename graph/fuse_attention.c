/* Pattern: softmax(q . k^T) . v, masks and scale already in the softmax, nothing else using scores or
 * probabilities. Heads come as [B,H,T,D], as [B,G,R,T,D] (R queries share the keys of one of G heads), or
 * with fewer leading dims. The kernel wants [B,H,T,D], [B,G,S,D], [B,G,S,D] with stride 1 over D: views where
 * strides can say it, else copies. */
#include "graph/fuse.h"

#include <math.h>

#define MAX_HEAD_SIZE 256

typedef struct heads {
    int64_t b, g, r, t, s, d;
} heads;

static bool is_plain_matmul(const pm_tensor *t) {
    return t->op == PM_OP_MATMUL && t->n_in == 2 && t->attrs.act == PM_ACT_NONE;
}

/* Dims of the scores, seen as five. */
static heads read_heads(const pm_tensor *scores, int64_t d) {
    int64_t x[PM_MAX_DIMS] = {1, 1, 1, 1, 1};
    int32_t skip = PM_MAX_DIMS - scores->rank;
    for (int32_t k = 0; k < scores->rank; k++) x[k + skip] = scores->dims[k];
    if (scores->rank == 4) return (heads){x[1], x[2], 1, x[3], x[4], d};
    if (scores->rank < 4) return (heads){1, x[2], 1, x[3], x[4], d};
    return (heads){x[0], x[1], x[2], x[3], x[4], d};
}

/* Leading dims of an operand, aligned at the innermost, as three: those of the scores or 1. */
static void leading(const pm_tensor *x, int32_t scores_rank, int64_t out[3]) {
    int64_t lead[3] = {1, 1, 1};
    for (int32_t k = 0; k < x->rank - 2; k++)
        lead[k + 5 - x->rank] = x->dims[k]; /* right-aligned: .., .., head */
    bool grouped = scores_rank == 5;
    out[0] = grouped ? lead[0] : lead[1];
    out[1] = grouped ? lead[1] : lead[2];
    out[2] = grouped ? lead[2] : 1;
}

/* q as [B,G*R,T,D]. */
static pm_tensor *make_q(pm_graph *g, pm_tensor *q, const heads *h, int32_t rank) {
    int64_t lead[3];
    if (!q) return NULL;
    leading(q, rank, lead);
    if (lead[0] != h->b || lead[1] != h->g || lead[2] != h->r) {
        int64_t five[5] = {lead[0], lead[1], lead[2], h->t, h->d}, full[5] = {h->b, h->g, h->r, h->t, h->d};
        q = pm_expand(g, pm_reshape(g, q, 5, five), 5, full);
    }
    int64_t dims[4] = {h->b, h->g * h->r, h->t, h->d};
    return q && q->rank == 4 ? q : pm_reshape(g, q, 4, dims);
}

/* k or v as [B,n_heads,S,D], where n_heads is 1 or all of G: heads that were repeated are read once. */
static pm_tensor *make_kv(pm_graph *g, pm_tensor *x, const heads *h, int64_t n_heads, int32_t rank) {
    int64_t lead[3], full[4] = {h->b, n_heads, h->s, h->d};
    if (!x) return NULL;
    leading(x, rank, lead);
    if (lead[2] != 1) x = pm_slice(g, x, -3, 0, 1);
    int64_t four[4] = {lead[0], lead[1], h->s, h->d};
    if (x && x->rank != 4) x = pm_reshape(g, x, 4, four);
    return x && (lead[0] != h->b || lead[1] != n_heads) ? pm_expand(g, x, 4, full) : x;
}

/* All queries of a group read the same keys. */
static bool shares_heads(const pm_tensor *x, int32_t rank, int64_t *out_heads) {
    int64_t lead[3];
    leading(x, rank, lead);
    *out_heads = lead[1];
    return lead[2] == 1 || x->strides[x->rank - 3] == 0;
}

static pm_tensor *with_unit_stride(pm_graph *g, pm_tensor *x) {
    if (!x) return NULL;
    int32_t last = x->rank - 1;
    return x->dims[last] != 1 && x->strides[last] != 1 ? pm_copy(g, x) : x;
}

/* The softmax's bias over [.., G, R, T, S] as one over [.., G*R, T, S]; false: no strides can say that. */
static bool make_bias(pm_graph *g, pm_tensor *bias, const heads *h, int32_t rank, pm_tensor **out) {
    if (bias && rank == 5 && bias->rank >= 3) {
        int64_t lead[3];
        leading(bias, rank, lead);
        bool all = lead[1] == h->g && lead[2] == h->r, one = lead[1] == 1 && lead[2] == 1;
        if (!all && !one) return false;
        int64_t dims[4] = {lead[0], lead[1] * lead[2], bias->dims[bias->rank - 2],
                           bias->dims[bias->rank - 1]};
        bias = pm_reshape(g, bias, 4, dims);
    }
    if (bias && (bias->rank < 1 || bias->dims[bias->rank - 1] != h->s)) return false;
    *out = bias ? with_unit_stride(g, bias) : NULL;
    return true;
}

#define MAX_VIEWS 8
typedef struct attention {
    const pm_tensor *softmax, *scores, *q, *k, *v;
    const pm_tensor *views[MAX_VIEWS]; /* of q, outermost first */
    int n_views;
    bool v_transposed; /* v is [..,D,S] */
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

static pm_tensor *make_query(pm_fuse *f, const attention *a) {
    pm_tensor *q = pm_rebuilt(&f->r, a->q);
    for (int i = a->n_views; i-- > 0 && q;)
        q = pm_add_op(f->r.graph, a->views[i]->op, 1, &q, &a->views[i]->attrs);
    return q;
}

static bool read_attention(const pm_fuse *f, const pm_tensor *root, attention *a) {
    if (!is_plain_matmul(root) || root->attrs.scale != 0) return false;
    a->softmax = root->in[PM_MATMUL_A];
    if (a->softmax->op != PM_OP_SOFTMAX || !pm_fuse_single(f, a->softmax)) return false;
    a->scores = a->softmax->in[PM_SOFTMAX_X];
    if (!is_plain_matmul(a->scores) || !pm_fuse_single(f, a->scores)) return false;
    a->v = root->in[PM_MATMUL_B];
    a->v_transposed = !pm_fuse_swaps_last(a->v);
    if (!a->v_transposed) a->v = a->v->in[0];
    const pm_attrs *inner = &a->scores->attrs, *outer = &a->softmax->attrs;
    read_query(f, a->scores->in[PM_MATMUL_A], a);
    a->k = a->scores->in[PM_MATMUL_B];
    if (inner->scale != 0) a->scale *= (double)inner->scale;
    if (outer->scale != 0) a->scale *= (double)outer->scale;
    return isfinite((float)a->scale) && (float)a->scale != 0 && pm_fuse_readable(f, a->q, root) &&
           pm_fuse_readable(f, a->k, root) && pm_fuse_readable(f, a->v, root);
}

pm_tensor *pm_fuse_attention(pm_fuse *f, const pm_tensor *root) {
    attention a;
    pm_graph *g = f->r.graph;
    if (!read_attention(f, root, &a)) return NULL;
    int32_t rank = a.scores->rank;
    int64_t d = a.k->dims[a.k->rank - 1], k_heads, v_heads;
    if (d > MAX_HEAD_SIZE || root->dims[root->rank - 1] != d || root->rank != rank) return NULL;
    for (int32_t k = 0; k + 1 < rank; k++) /* v must not broadcast the probabilities */
        if (root->dims[k] != a.scores->dims[k]) return NULL;
    heads h = read_heads(a.scores, d);
    if (!shares_heads(a.k, rank, &k_heads) || !shares_heads(a.v, rank, &v_heads)) return NULL;
    int64_t n_heads = k_heads > v_heads ? k_heads : v_heads;

    pm_tensor *in[7] = {0}, like, *v = pm_rebuilt(&f->r, a.v);
    if (a.v_transposed) v = pm_transpose(g, v, -1, -2);
    in[PM_ATTN_Q] = with_unit_stride(g, make_q(g, make_query(f, &a), &h, rank));
    in[PM_ATTN_K] = with_unit_stride(g, make_kv(g, pm_rebuilt(&f->r, a.k), &h, n_heads, rank));
    in[PM_ATTN_V] = with_unit_stride(g, make_kv(g, v, &h, n_heads, rank));
    for (int i = PM_SOFTMAX_POSITION; i < a.softmax->n_in; i++)
        in[PM_ATTN_POSITION - PM_SOFTMAX_POSITION + i] = pm_rebuilt(&f->r, a.softmax->in[i]);
    if (!make_bias(g, in[PM_ATTN_BIAS], &h, rank, &in[PM_ATTN_BIAS])) return NULL;
    if (g->status != PM_OK) return NULL;

    pm_attrs attrs = a.softmax->attrs;
    attrs.scale = a.scale == 1 ? 0 : (float)a.scale;
    if (!pm_fuse_fits(PM_OP_ATTENTION, 7, in, &attrs, &like) || pm_elems(&like) != pm_elems(root))
        return NULL;
    pm_tensor *made = pm_rebuild_op(&f->r, root, PM_OP_ATTENTION, 7, in, &attrs);
    return made && rank != 4 ? pm_reshape(g, made, root->rank, root->dims) : made;
}
