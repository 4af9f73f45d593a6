/* The layout pass: drops copies that strides can serve. A copy that lies in an order of its own stays.
 *   - A copy of what is dense already, in memory that nothing writes, is that tensor itself.
 *   - A copy of a view (permutes and reshapes) of a tensor that nothing else reads: the tensor is written in
 * the order that makes the view dense. So attention writes [B,H,T,D] as [B,T,H,D] lies, and the next matmul
 * reads [B,T,C].
 *   - A cast of dense truth values to integers is those values, seen as integers: both are words of 0 and 1.
 * Changes no shape and no other operation; only strides, and which tensor a copy's reader reads. */
#include "graph/ops.h"
#include "graph/rebuild.h"

#include <string.h>

#define MAX_VIEWS 16

typedef struct layout {
    pm_rebuild r;
    const pm_graph *old;
    uint32_t *uses;
    bool *dropped;                   /* by id: a copy that is not made */
    int64_t (*strides)[PM_MAX_DIMS]; /* by id; [0] is 0 where the order stays */
} layout;

/* ---- a copy of a dense tensor ---- */

static bool is_output(const pm_graph *g, const pm_tensor *t) {
    for (size_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].tensor == t) return true;
    return false;
}

/* A state may be written after the copy, and an output is a part of a temp or of a state. */
static bool is_needless(const pm_graph *g, const pm_tensor *copy) {
    const pm_tensor *x = copy->in[0];
    if (!pm_is_dense(x) || x->base->kind == PM_KIND_STATE) return false;
    return x->base->kind == PM_KIND_TEMP || !is_output(g, copy);
}

/* Its readers may count on integers that lie as the cast writes them. */
static bool is_needless_cast(const pm_graph *g, const pm_tensor *t) {
    return t->op == PM_OP_TO_I32 && t->in[0]->dtype == PM_BOOL && pm_is_dense(t->in[0]) &&
           t->in[0]->base->kind != PM_KIND_STATE && !is_output(g, t);
}

/* ---- a copy of a view ---- */

/* The views between copy and the tensor that owns the memory, outermost first. False: something else uses one
 * of them, a view hides or repeats elements, or there are too many. */
static bool read_views(const layout *l, const pm_tensor *copy, const pm_tensor **views, int *out_n) {
    const pm_tensor *t = copy->in[0];
    int n = 0;
    for (; t->op == PM_OP_RESHAPE || t->op == PM_OP_PERMUTE; t = t->in[0]) {
        if (n == MAX_VIEWS || l->uses[t->id] != 1) return false;
        views[n++] = t;
    }
    *out_n = n;
    return t == t->base && l->uses[t->id] == 1;
}

/* Where the element that lies at `address` of the storage stands in the view, counted in the view's row-major
 * order. The view has every element of the storage once, so its strides are the places of a mixed radix. */
static int64_t row_major_of(const pm_tensor *view, int64_t address) {
    int64_t dense[PM_MAX_DIMS], at = 0;
    pm_dense_strides(view->rank, view->dims, dense);
    for (int32_t k = 0; k < view->rank; k++)
        if (view->dims[k] > 1) at += address / view->strides[k] % view->dims[k] * dense[k];
    return at;
}

/* Whether the views, put over x with these strides, end dense. Works on copies of the tensors. */
static bool ends_dense(const pm_tensor *x, const int64_t *strides, const pm_tensor *const *views, int n) {
    pm_tensor step[2] = {*x, *x};
    memcpy(step[0].strides, strides, sizeof step[0].strides);
    for (int i = n; i-- > 0;) {
        pm_tensor *now = &step[(n - i) & 1];
        *now = *views[i];
        now->in[0] = &step[(n - i + 1) & 1];
        if (!pm_set_storage(now)) return false;
    }
    return pm_is_dense(&step[n & 1]);
}

/* Finds the strides of the copied tensor that make the copy needless. */
static bool plan_order(layout *l, const pm_tensor *copy) {
    const pm_tensor *views[MAX_VIEWS], *x = copy->in[0]->base;
    int64_t strides[PM_MAX_DIMS] = {0};
    int n = 0;
    if (x->kind != PM_KIND_TEMP || x->rank < 1 || l->dropped[x->id] || !read_views(l, copy, views, &n) ||
        n == 0)
        return false;
    for (int32_t k = 0; k < x->rank; k++)
        strides[k] = x->dims[k] == 1 ? pm_elems(x) : row_major_of(views[0], x->strides[k]);
    if (!pm_can_lie(x, strides) || !ends_dense(x, strides, views, n)) return false;
    memcpy(l->strides[x->id], strides, sizeof strides);
    return true;
}

/* ---- the pass ---- */

static void plan(layout *l) {
    for (size_t i = 0; i < l->old->n_items; i++) {
        const pm_tensor *t = l->old->items[i];
        if (t->op == PM_OP_COPY && pm_is_dense(t)) l->dropped[i] = is_needless(l->old, t) || plan_order(l, t);
    }
}

static void rebuild(layout *l) {
    for (size_t i = 0; i < l->old->n_items && l->r.graph->status == PM_OK; i++) {
        const pm_tensor *t = l->old->items[i];
        if (l->dropped[i]) {
            l->r.map[i] = pm_rebuilt(&l->r, t->in[0]);
            continue;
        }
        if (!l->strides[i][0] && is_needless_cast(l->old, t)) {
            pm_tensor *x = pm_rebuilt(&l->r, t->in[0]);
            l->r.map[i] = pm_rebuild_op(&l->r, t, PM_OP_AS_I32, 1, &x, NULL);
            continue;
        }
        pm_tensor *made = pm_rebuild_tensor(&l->r, t);
        if (made && l->strides[i][0]) l->r.graph->status = pm_tensor_set_strides(made, l->strides[i]);
    }
}

pm_status pm_pass_layout(const pm_graph *g, pm_graph **out) {
    *out = NULL;
    layout l = {.old = g, .uses = pm_count_uses(g)};
    l.dropped = pm_calloc(g->n_items, sizeof *l.dropped);
    l.strides = pm_calloc(g->n_items, sizeof *l.strides);
    pm_status s = l.uses && l.dropped && l.strides ? pm_rebuild_begin(g, &l.r) : PM_ERR_MEMORY;
    if (s == PM_OK) {
        plan(&l);
        rebuild(&l);
        s = pm_rebuild_end(&l.r, out);
    }
    pm_free(l.uses);
    pm_free(l.dropped);
    pm_free(l.strides);
    return s;
}
