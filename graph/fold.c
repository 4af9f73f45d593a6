/* Folding: operations on constants become constants, and operations that change nothing go: x*1, x+0, x/1,
 * --x, views that keep the shape, views of views, copies of dense tensors. Nothing is changed that would give
 * other bits, but for x+0 with x = -0. iota is no constant here: masks are found by the comparisons that
 * build them. */
#include "graph/fold_eval.h"
#include "graph/ops.h"
#include "graph/rebuild.h"

#include <string.h>

/* A larger constant costs more to store than its operation to run. */
#define MAX_FOLDED 4096

typedef struct folder {
    pm_rebuild r;
    const pm_tensor *old;     /* the tensor at hand */
    pm_tensor *in[PM_MAX_IN]; /* its inputs, made already */
    bool *wants_dense;        /* by old id: a kernel that is particular about strides reads it */
} folder;

/* ---- constants ---- */

/* Element `index` in row-major order of `dims`, broadcast over x. */
static pm_word word_at(const pm_tensor *x, int32_t rank, const int64_t *dims, int64_t index) {
    pm_word w;
    int64_t at = x->offset;
    for (int32_t k = rank - 1; k >= 0; k--) {
        int64_t i = index % dims[k];
        int32_t own = k - (rank - x->rank);
        index /= dims[k];
        if (own >= 0 && x->dims[own] != 1) at += i * x->strides[own];
    }
    memcpy(&w, (const char *)x->base->data + (size_t)at * 4, 4);
    return w;
}

static bool is_uniform(const pm_tensor *x) {
    for (int32_t k = 0; k < x->rank; k++)
        if (x->dims[k] != 1 && x->strides[k] != 0) return false;
    return true;
}

static pm_tensor *make_const(folder *f, int32_t rank, const int64_t *dims, const pm_word *words) {
    f->r.graph->label = f->old->name;
    pm_tensor *made = pm_const_data(f->r.graph, f->old->dtype, rank, dims, words);
    f->r.graph->label = NULL;
    return made;
}

static bool evaluate(const folder *f, int64_t n, pm_word *words) {
    const pm_tensor *t = f->old;
    pm_dtype type = t->in[t->op == PM_OP_WHERE]->dtype;
    for (int64_t i = 0; i < n; i++) {
        pm_word in[3] = {{0}};
        for (int k = 0; k < t->n_in; k++) in[k] = word_at(f->in[k], t->rank, t->dims, i);
        if (!pm_fold_eval(t->op, type, in, &words[i])) return false;
    }
    return true;
}

/* Inputs of one value each give one value, which is broadcast by a view. */
static pm_tensor *fold_constants(folder *f) {
    const pm_tensor *t = f->old;
    uint32_t flags = pm_op_get(t->op)->flags;
    int64_t n = pm_elems(t);
    bool uniform = true;
    if (!(flags & PM_OPF_ELEMENTWISE) || flags & PM_OPF_FUSED) return NULL;
    for (int k = 0; k < t->n_in; k++) {
        if (f->in[k]->base->op != PM_OP_CONST) return NULL;
        uniform &= is_uniform(f->in[k]);
    }
    if (uniform && n > 1) {
        pm_word word;
        pm_attrs a = {.rank = t->rank};
        if (!evaluate(f, 1, &word)) return NULL;
        memcpy(a.dims, t->dims, sizeof a.dims);
        pm_tensor *scalar = make_const(f, 0, NULL, &word);
        return scalar ? pm_rebuild_op(&f->r, t, PM_OP_EXPAND, 1, &scalar, &a) : NULL;
    }
    if (n > MAX_FOLDED) return NULL;
    pm_word words[MAX_FOLDED];
    return evaluate(f, n, words) ? make_const(f, t->rank, t->dims, words) : NULL;
}

/* A small constant seen otherwise is another constant. Not expand: a broadcast is worth keeping. */
static pm_tensor *fold_view_of_const(folder *f) {
    const pm_tensor *t = f->old, *x = f->in[0];
    int64_t n = pm_elems(t);
    pm_word words[MAX_FOLDED];
    if (x->op != PM_OP_CONST || n > MAX_FOLDED || t->op == PM_OP_EXPAND) return NULL;
    pm_tensor view = *t;
    view.in[0] = f->in[0];
    if (!pm_set_storage(&view)) return NULL;
    for (int64_t i = 0; i < n; i++) words[i] = word_at(&view, t->rank, t->dims, i);
    return make_const(f, t->rank, t->dims, words);
}

/* ---- identities ---- */

static bool is_value(const pm_tensor *t, float value) {
    float v;
    return pm_is_const_scalar(t, &v) && v == value;
}

/* x op neutral = x, when x has the result's dims already. */
static pm_tensor *fold_neutral(folder *f) {
    static const struct {
        pm_op op;
        float neutral;
        bool either_side;
    } rows[] = {{PM_OP_ADD, 0, true}, {PM_OP_MUL, 1, true}, {PM_OP_SUB, 0, false}, {PM_OP_DIV, 1, false}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        if (rows[i].op != f->old->op) continue;
        if (is_value(f->in[1], rows[i].neutral) && pm_same_dims(f->in[0], f->old)) return f->in[0];
        if (rows[i].either_side && is_value(f->in[0], rows[i].neutral) && pm_same_dims(f->in[1], f->old))
            return f->in[1];
    }
    return NULL;
}

/* op(op(x)) = x */
static pm_tensor *fold_twice(folder *f) {
    pm_op op = f->old->op;
    if ((op == PM_OP_NEG || op == PM_OP_NOT) && f->in[0]->op == op) return f->in[0]->in[0];
    if (op == PM_OP_TO_BOOL && f->in[0]->op == PM_OP_TO_I32 && f->in[0]->in[0]->dtype == PM_BOOL)
        return f->in[0]->in[0];
    return NULL;
}

static pm_tensor *fold_where(folder *f) {
    float cond;
    if (f->old->op != PM_OP_WHERE || !pm_is_const_scalar(f->in[0], &cond)) return NULL;
    pm_tensor *chosen = f->in[cond != 0 ? 1 : 2];
    return pm_same_dims(chosen, f->old) ? chosen : NULL;
}

/* A copy for an output comes back by itself. */
static pm_tensor *fold_copy(folder *f) {
    return f->old->op == PM_OP_COPY && pm_is_dense(f->in[0]) ? f->in[0] : NULL;
}

/* ---- views ---- */

static pm_tensor *fold_same_view(folder *f) {
    const pm_tensor *t = f->old;
    if (t->op == PM_OP_AS_I32 || !pm_same_dims(f->in[0], t)) return NULL;
    for (int32_t k = 0; t->op == PM_OP_PERMUTE && k < t->rank; k++)
        if (t->attrs.axes[k] != k) return NULL;
    return f->in[0];
}

/* What t's attributes become when it looks through the view x at x's input. */
static bool compose(const pm_tensor *t, const pm_tensor *x, pm_attrs *out) {
    *out = t->attrs;
    if (x->op != t->op || t->op == PM_OP_WINDOWS || t->op == PM_OP_AS_I32) return false;
    if (t->op == PM_OP_SLICE) out->start += x->attrs.start;
    for (int32_t k = 0; t->op == PM_OP_PERMUTE && k < t->rank; k++)
        out->axes[k] = x->attrs.axes[t->attrs.axes[k]];
    return t->op != PM_OP_SLICE || t->attrs.axis == x->attrs.axis;
}

static pm_tensor *fold_view_of_view(folder *f) {
    pm_tensor *x = f->in[0];
    pm_attrs a;
    if (!compose(f->old, x, &a)) return NULL;
    pm_tensor probe = *f->old, *in = x->in[0];
    probe.in[0] = in;
    probe.attrs = a;
    if (!pm_set_storage(&probe)) return NULL;
    /* Two views that undo each other leave nothing. */
    if (pm_same_dims(in, f->old) &&
        memcmp(probe.strides, in->strides, (size_t)in->rank * sizeof in->strides[0]) == 0 &&
        probe.offset == in->offset)
        return in;
    return pm_rebuild_op(&f->r, f->old, f->old->op, 1, &in, &a);
}

/* ---- the pass ---- */

static pm_tensor *fold_one(folder *f) {
    static pm_tensor *(*const of_views[])(folder *) = {fold_same_view, fold_view_of_const, fold_view_of_view};
    static pm_tensor *(*const of_others[])(folder *) = {fold_copy, fold_constants, fold_neutral, fold_twice,
                                                        fold_where};
    uint32_t flags = pm_op_get(f->old->op)->flags;
    pm_tensor *made = NULL;
    if (flags & (PM_OPF_LEAF | PM_OPF_STATE)) return NULL;
    if (flags & PM_OPF_VIEW)
        for (size_t i = 0; !made && i < PM_COUNT(of_views); i++) made = of_views[i](f);
    else
        for (size_t i = 0; !made && i < PM_COUNT(of_others); i++) made = of_others[i](f);
    return made;
}

/* Elementwise kernels read any strides; others may want elements side by side, which an operation's result gives them and
 * what it folds to may not. A view hands on what its readers want. */
static void find_particular(folder *f) {
    const pm_graph *g = f->r.old;
    for (size_t i = g->n_items; i-- > 0;) {
        const pm_tensor *t = g->items[i];
        uint32_t flags = pm_op_get(t->op)->flags;
        bool particular = flags & PM_OPF_VIEW ? f->wants_dense[i] : !(flags & PM_OPF_ELEMENTWISE);
        for (int k = 0; k < t->n_in && particular; k++)
            if (t->in[k]) f->wants_dense[t->in[k]->id] = true;
    }
}

/* Whether readers of the old tensor may read this one. A result keeps its value and its order of elements; a state's
 * memory changes with the next write to it. */
static bool may_stand_in(const folder *f, const pm_tensor *made) {
    if (pm_op_get(f->old->op)->flags & PM_OPF_VIEW) return true;
    if (made->base->kind == PM_KIND_STATE) return false;
    return !f->wants_dense[f->old->id] || (pm_is_dense(f->old) && pm_is_dense(made));
}

static void fold_all(folder *f) {
    const pm_graph *g = f->r.old;
    for (size_t i = 0; i < g->n_items && f->r.graph->status == PM_OK; i++) {
        f->old = g->items[i];
        for (int k = 0; k < f->old->n_in; k++) f->in[k] = pm_rebuilt(&f->r, f->old->in[k]);
        pm_tensor *made = fold_one(f);
        if (made && may_stand_in(f, made))
            f->r.map[i] = made;
        else
            (void)pm_rebuild_tensor(&f->r, f->old);
    }
}

pm_status pm_pass_fold(const pm_graph *g, pm_graph **out) {
    folder f = {.old = NULL};
    *out = NULL;
    f.wants_dense = pm_calloc(g->n_items, sizeof *f.wants_dense);
    if (!f.wants_dense) return PM_ERR_MEMORY;
    pm_status s = pm_rebuild_begin(g, &f.r);
    if (s == PM_OK) {
        find_particular(&f);
        fold_all(&f);
        s = pm_rebuild_end(&f.r, out);
    }
    pm_free(f.wants_dense);
    return s;
}
