/* Masks: from a predicate over query and key positions to the few forms that the kernels know. Each
 * comparison of integers is brought to "affine form < 0" over query row, key and one symbol (a parameter,
 * lengths). The signs of query and key tell the form: keys up to the query (causal), keys not too far behind
 * it (window), keys below a length. What varies over batch and keys alone is a key mask, over batch and queries a row
 * mask; a key mask in an `or` with causal and window exempts its keys from them (global). Everything else is
 * refused. Knows no softmax and no attention. */
#include "graph/fuse.h"

#include <string.h>

#define MAX_DEPTH 32
#define MAX_STEPS 512                /* of one mask; real ones take less than 30 */
#define LIMIT     (INT64_C(1) << 40) /* of coefficients: sums of integers of 32 bits stay far below */

/* A tensor and which dims of the scores its own dims walk along; -1 where it has length 1. */
typedef struct placed {
    const pm_tensor *t;
    int32_t axis[PM_MAX_DIMS];
} placed;

static placed place(const pm_mask_form *m, const pm_tensor *t) {
    placed p = {.t = t};
    for (int32_t k = 0; k < t->rank; k++) p.axis[k] = t->dims[k] == 1 ? -1 : k + m->scores->rank - t->rank;
    return p;
}

/* An operand of an element by element operation: aligned at the innermost dim. */
static placed operand(const placed *p, int i) {
    placed x = {.t = p->t->in[i]};
    for (int32_t k = 0; k < x.t->rank; k++)
        x.axis[k] = x.t->dims[k] == 1 ? -1 : p->axis[k + p->t->rank - x.t->rank];
    return x;
}

/* A reshape that only adds or drops dims of 1. */
static bool behind_reshape(const placed *p, placed *x) {
    int32_t k = 0;
    for (int32_t j = 0; j < x->t->rank; j++) {
        x->axis[j] = -1;
        if (x->t->dims[j] == 1) continue;
        while (k < p->t->rank && p->t->dims[k] == 1) k++;
        if (k == p->t->rank || p->t->dims[k] != x->t->dims[j]) return false;
        x->axis[j] = p->axis[k++];
    }
    return true;
}

/* The input of a view, placed; false when the view does more than rename dims. */
static bool behind_view(const placed *p, placed *out) {
    *out = (placed){.t = p->t->in[0]};
    switch (p->t->op) {
    case PM_OP_EXPAND: return *out = operand(p, 0), true;
    case PM_OP_RESHAPE: return behind_reshape(p, out);
    case PM_OP_PERMUTE:
        for (int32_t k = 0; k < p->t->rank; k++) out->axis[p->t->attrs.axes[k]] = p->axis[k];
        return true;
    default: return false;
    }
}

static placed behind_views(placed p) {
    placed x;
    for (int depth = 0; depth < MAX_DEPTH && pm_op_get(p.t->op)->flags & PM_OPF_VIEW && behind_view(&p, &x);
         depth++)
        p = x;
    return p;
}

/* ---- integers ---- */

static bool is_symbol(const pm_mask_form *m, const placed *p) {
    for (int32_t k = 0; k < p->t->rank; k++)
        if (p->axis[k] > 0 || (p->axis[k] == 0 && m->scores->rank < 4)) return false;
    return p->t->dtype == PM_I32;
}

static bool read_iota(const pm_mask_form *m, const placed *p, pm_affine *out) {
    int32_t last = m->scores->rank - 1, axis = p->axis[0];
    *out = (pm_affine){.q = axis == last - 1, .k = axis == last};
    return axis < 0 || axis >= last - 1;
}

static bool combine(const pm_affine *a, const pm_affine *b, int64_t sign, pm_affine *out) {
    if (a->symbol && b->symbol && a->symbol != b->symbol) return false;
    *out = (pm_affine){a->q + sign * b->q, a->k + sign * b->k, a->origin + sign * b->origin,
                       a->symbol ? a->symbol : b->symbol, a->n_symbol + sign * b->n_symbol};
    if (out->n_symbol == 0) out->symbol = NULL;
    return out->origin < LIMIT && out->origin > -LIMIT;
}

static bool read_affine(pm_mask_form *m, placed p, int depth, pm_affine *out) {
    float value;
    p = behind_views(p);
    if (p.t->dtype != PM_I32 || depth > MAX_DEPTH || ++m->n_steps > MAX_STEPS) return false;
    if (pm_is_const_scalar(p.t, &value)) return *out = (pm_affine){.origin = (int64_t)value}, true;
    if (p.t->op == PM_OP_IOTA) return read_iota(m, &p, out);
    if (p.t->op == PM_OP_ADD || p.t->op == PM_OP_SUB) {
        pm_affine a, b;
        if (read_affine(m, operand(&p, 0), depth + 1, &a) && read_affine(m, operand(&p, 1), depth + 1, &b) &&
            combine(&a, &b, p.t->op == PM_OP_ADD ? 1 : -1, out))
            return true;
    }
    *out = (pm_affine){.symbol = p.t, .n_symbol = 1};
    return is_symbol(m, &p);
}

/* ---- comparisons ---- */

/* The form that is below 0 exactly where the comparison holds (or does not, with negate). */
static bool read_comparison(pm_mask_form *m, const placed *p, bool negate, pm_affine *out) {
    pm_op op = p->t->op;
    pm_affine a, b;
    if (op != PM_OP_LT && op != PM_OP_LE && op != PM_OP_GT && op != PM_OP_GE) return false;
    if (!read_affine(m, operand(p, 0), 0, &a) || !read_affine(m, operand(p, 1), 0, &b)) return false;
    bool below = op == PM_OP_LT || op == PM_OP_LE, strict = op == PM_OP_LT || op == PM_OP_GT;
    if (negate) below = !below, strict = !strict;
    if (!(below ? combine(&a, &b, -1, out) : combine(&b, &a, -1, out))) return false;
    out->origin -= !strict;
    return true;
}

/* Coefficient c may stand for `want`: it is that, or its variable is always 0. */
static bool goes(int64_t c, int64_t want, int64_t n) {
    return c == want || (c == 0 && n == 1);
}

/* Enters "d < 0" as one of the forms that have not been used. With global keys there is no more of causal and window: it
 * would not hold for them. */
static bool enter_form(pm_mask_form *m, const pm_affine *d) {
    int64_t n_q = m->scores->dims[m->scores->rank - 2], n_k = m->scores->dims[m->scores->rank - 1];
    bool at_query = d->q != 0 || (d->symbol && d->origin == -1); /* a single query may as well be a length */
    if (!d->q && !d->k && !d->symbol) return d->origin < 0;      /* always true: no mask */
    if (!m->has_causal && !m->global.n && goes(d->k, 1, n_k) && goes(d->q, -1, n_q) && at_query &&
        (!d->symbol || d->n_symbol == -1))
        return m->causal = *d, m->has_causal = true;
    if (!m->has_window && !m->global.n && goes(d->k, -1, n_k) && goes(d->q, 1, n_q) &&
        (!d->symbol || d->n_symbol == 1))
        return m->window = *d, m->has_window = true;
    if (!m->has_length && d->q == 0 && goes(d->k, 1, n_k) && (!d->symbol || d->n_symbol == -1))
        return m->length = *d, m->has_length = true;
    return false;
}

/* ---- a bias by distance ---- */

const pm_tensor *pm_fuse_mask_position(const pm_mask_form *m, int64_t *out_origin) {
    *out_origin = m->has_causal ? -m->causal.origin - 1 : 0;
    if (m->has_causal) return m->causal.symbol;
    return m->has_window ? m->window.symbol : m->has_relative ? m->relative.row.symbol : NULL;
}

bool pm_fuse_read_relative(pm_mask_form *m, const pm_tensor *bias) {
    int32_t rank = m->scores->rank;
    if (rank < 2 || bias->rank > rank) return false;
    int64_t origin, n_q = m->scores->dims[rank - 2], n_k = m->scores->dims[rank - 1];
    placed p = behind_views(place(m, bias)), rows;
    if (p.t->op != PM_OP_GATHER || p.t->dtype != PM_F32 || p.t->in[0]->rank != 2) return false;
    int32_t last = p.t->rank - 1, heads = p.axis[last];
    if (heads != -1 && heads != rank - 3) return false;
    rows = p;
    rows.t = p.t->in[1];
    pm_relative_bias r = {.table = p.t->in[0]};
    if (!read_affine(m, rows, 0, &r.row) || !goes(r.row.q, -1, n_q) || !goes(r.row.k, 1, n_k)) return false;
    if (r.row.symbol && r.row.n_symbol != -1) return false;
    bool has_position = m->has_causal || m->has_window;
    if (has_position && pm_fuse_mask_position(m, &origin) != r.row.symbol) return false;
    m->relative = r;
    return m->has_relative = true;
}

/* ---- masks of keys and of queries ---- */

/* Batch before `axis`, nothing else; the batch is dim 0 of four or more. */
static bool is_along(const pm_mask_form *m, const placed *p, int32_t axis) {
    int32_t before = -1;
    if (m->scores->rank < 4) return false;
    for (int32_t k = 0; k < p->t->rank; k++) {
        if (p->axis[k] < 0) continue;
        if ((p->axis[k] != 0 && p->axis[k] != axis) || p->axis[k] < before) return false;
        before = p->axis[k];
    }
    return true;
}

static bool enter_line(const pm_mask_form *m, placed p, bool negate, int32_t axis, pm_line_masks *to) {
    float zero = 1;
    bool over_batch = false, over_axis = false;
    if (p.t->op == PM_OP_TO_BOOL)
        p = operand(&p, 0);
    else if (p.t->op == PM_OP_NE && p.t->in[0]->dtype == PM_I32 && pm_is_const_scalar(p.t->in[1], &zero) &&
             zero == 0)
        p = operand(&p, 0);
    p = behind_views(p);
    if (to->n == PM_MAX_LINE_MASKS || !is_along(m, &p, axis)) return false;
    for (int32_t k = 0; k < p.t->rank; k++) {
        over_batch |= p.axis[k] == 0;
        over_axis |= p.axis[k] > 0;
    }
    const int64_t *dims = m->scores->dims;
    int64_t n_batch = over_batch ? dims[0] : 1, n = over_axis ? dims[axis] : 1;
    to->of[to->n++] = (pm_line_mask){.mask = p.t, .dims = {n_batch, n}, .negate = negate};
    return true;
}

static placed behind_not(placed p, bool *negate) {
    p = behind_views(p);
    for (int depth = 0; depth < MAX_DEPTH && p.t->op == PM_OP_NOT; depth++) {
        p = behind_views(operand(&p, 0));
        *negate = !*negate;
    }
    return p;
}

static bool read_predicate(pm_mask_form *m, placed p, bool negate, int depth);

/* or(near, global), where near is causal, window or both, or such an `or` again. No other word about what is near may stand
 * beside it, since that would hold for the global keys, too. */
static bool read_or(pm_mask_form *m, const placed *p, bool negate, int depth) {
    if (p->t->op != (negate ? PM_OP_AND : PM_OP_OR) || m->has_causal || m->has_window || m->global.n)
        return false;
    for (int i = 0; i < 2; i++) {
        pm_mask_form near = {.scores = m->scores, .n_steps = m->n_steps};
        bool flipped = negate;
        bool read = read_predicate(&near, operand(p, 1 - i), negate, depth + 1);
        m->n_steps = near.n_steps;
        if (!read || near.has_length || near.keys.n || near.rows.n || !(near.has_causal || near.has_window))
            continue;
        placed global = behind_not(operand(p, i), &flipped);
        if (!enter_line(m, global, flipped, m->scores->rank - 1, &near.global)) continue;
        m->has_causal = near.has_causal, m->causal = near.causal;
        m->has_window = near.has_window, m->window = near.window;
        m->global = near.global;
        return true;
    }
    return false;
}

static bool read_predicate(pm_mask_form *m, placed p, bool negate, int depth) {
    int32_t keys = m->scores->rank - 1;
    pm_affine d;
    p = behind_views(p);
    if (depth > MAX_DEPTH || ++m->n_steps > MAX_STEPS) return false;
    if (p.t->op == PM_OP_NOT) return read_predicate(m, operand(&p, 0), !negate, depth + 1);
    if (p.t->op == (negate ? PM_OP_OR : PM_OP_AND))
        return read_predicate(m, operand(&p, 0), negate, depth + 1) &&
               read_predicate(m, operand(&p, 1), negate, depth + 1);
    if (read_or(m, &p, negate, depth)) return true;
    if (read_comparison(m, &p, negate, &d) && enter_form(m, &d)) return true;
    return enter_line(m, p, negate, keys, &m->keys) || enter_line(m, p, negate, keys - 1, &m->rows);
}

bool pm_fuse_read_mask(pm_mask_form *m, const pm_tensor *cond, bool negate) {
    if (m->scores->rank < 2 || cond->rank > m->scores->rank) return false;
    return read_predicate(m, place(m, cond), negate, 0);
}
