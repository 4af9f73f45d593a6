/* Masks: operands of softmax and attention from the form that fuse_mask.c has read. Owns the order position, length,
 * key_mask and what stands in them. */
#include "graph/fuse.h"

static bool lines_readable(const pm_fuse *f, const pm_mask_form *m, const pm_line_masks *list) {
    for (int i = 0; i < list->n; i++)
        if (!pm_fuse_readable(f, list->of[i].mask, m->scores)) return false;
    return true;
}

/* No write to a state comes between what the mask reads and the softmax. */
static bool is_readable(const pm_fuse *f, const pm_mask_form *m) {
    return lines_readable(f, m, &m->keys) && lines_readable(f, m, &m->rows) &&
           lines_readable(f, m, &m->global) && pm_fuse_readable(f, m->relative.table, m->scores) &&
           pm_fuse_readable(f, m->relative.row.symbol, m->scores) &&
           pm_fuse_readable(f, m->causal.symbol, m->scores) &&
           pm_fuse_readable(f, m->window.symbol, m->scores) &&
           pm_fuse_readable(f, m->length.symbol, m->scores);
}

/* symbol + origin as a scalar, or as [B]; NULL stands for 0. */
static pm_tensor *make_symbol(pm_fuse *f, const pm_tensor *symbol, int64_t origin) {
    pm_graph *g = f->r.graph;
    pm_tensor *origin_t = origin || !symbol ? pm_const_i32(g, (int32_t)origin) : NULL;
    if (!symbol) return origin_t;
    pm_tensor *t = pm_rebuilt(&f->r, symbol);
    int64_t n = pm_elems(symbol);
    if (n == 1 && symbol->rank != 0) t = pm_reshape(g, t, 0, NULL);
    if (n != 1 && symbol->rank != 1) t = pm_reshape(g, t, 1, &n);
    return origin_t ? pm_add(g, t, origin_t) : t;
}

static bool fits_i32(int64_t x) {
    return x >= INT32_MIN && x <= INT32_MAX;
}

/* Query row t stands at key position t + position; causal gives the position, or else the window's symbol. */
static bool make_position(pm_fuse *f, const pm_mask_form *m, pm_attrs *attrs, pm_tensor **out) {
    const pm_affine *w = &m->window;
    int64_t origin;
    const pm_tensor *symbol = pm_fuse_mask_position(m, &origin);
    if (m->has_window && (w->symbol != symbol || !fits_i32(origin - w->origin) || origin - w->origin <= 0))
        return false;
    if (!fits_i32(origin)) return false;
    if (m->has_causal) attrs->mask |= PM_MASK_CAUSAL;
    if (m->has_window) attrs->mask |= PM_MASK_WINDOW, attrs->window = origin - w->origin;
    if (m->has_relative) {
        attrs->mask |= PM_MASK_RELATIVE | PM_MASK_BIAS;
        attrs->origin = m->relative.row.origin + origin;
        if (attrs->origin < -PM_MAX_ORIGIN || attrs->origin > PM_MAX_ORIGIN) return false;
    }
    if (!symbol && origin == 0) return true;
    attrs->mask |= PM_MASK_POSITION;
    *out = make_symbol(f, symbol, origin);
    return true;
}

/* The table as [H,N] with stride 1 over N. */
static pm_tensor *make_relative(pm_fuse *f, const pm_mask_form *m) {
    pm_tensor *t = pm_transpose(f->r.graph, pm_rebuilt(&f->r, m->relative.table), 0, 1);
    return t && t->dims[1] != 1 && t->strides[1] != 1 ? pm_copy(f->r.graph, t) : t;
}

/* ---- masks of keys and of queries ---- */

/* One of them as [B,n] with stride 1 over n. */
static pm_tensor *make_line(pm_fuse *f, const pm_line_mask *line, const int64_t *dims) {
    pm_graph *g = f->r.graph;
    pm_tensor *t = pm_rebuilt(&f->r, line->mask);
    if (!t || t->rank != 2 || t->dims[0] != line->dims[0]) t = pm_reshape(g, t, 2, line->dims);
    if (line->dims[0] != dims[0] || line->dims[1] != dims[1]) t = pm_expand(g, t, 2, dims);
    if (line->negate) t = pm_not(g, pm_cast(g, t, PM_BOOL));
    if (t && dims[1] != 1 && t->strides[1] != 1) t = pm_copy(g, t);
    return t;
}

/* All of a list joined by and, or by or; one alone stays what it is. NULL: none, or memory is out. */
static pm_tensor *make_lines(pm_fuse *f, const pm_mask_form *m, const pm_line_masks *list, int32_t from_end) {
    pm_graph *g = f->r.graph;
    const pm_tensor *s = m->scores;
    const int64_t dims[2] = {s->dims[0], s->dims[s->rank - from_end]};
    pm_tensor *all = NULL;
    for (int i = 0; i < list->n; i++) {
        pm_tensor *t = make_line(f, &list->of[i], dims);
        if (i == 0)
            all = t;
        else
            all = (list == &m->global ? pm_or : pm_and)(g, pm_cast(g, all, PM_BOOL), pm_cast(g, t, PM_BOOL));
    }
    return all;
}

static pm_tensor *as_ones(pm_graph *g, pm_tensor *mask) {
    return pm_cast(g, pm_cast(g, mask, PM_BOOL), PM_I32);
}

pm_tensor *pm_fuse_key_words(pm_graph *g, pm_tensor *words) {
    int64_t batch = pm_tensor_dim(words, 0), s = pm_tensor_dim(words, 1);
    int64_t n = (s + PM_KEY_BLOCK - 1) / PM_KEY_BLOCK, rest = n * PM_KEY_BLOCK - s;
    pm_tensor *blocks = words;
    if (rest) {
        pm_tensor *none = pm_expand(g, pm_const_i32(g, 0), 2, (int64_t[]){batch, rest});
        blocks = pm_concat(g, 2, (pm_tensor *[]){words, none}, 1);
    }
    blocks = pm_reshape(g, pm_cast(g, blocks, PM_F32), 3, (int64_t[]){batch, n, PM_KEY_BLOCK});
    blocks = pm_reshape(g, pm_cast(g, pm_reduce_max(g, blocks, 2), PM_I32), 2, (int64_t[]){batch, n});
    return pm_concat(g, 2, (pm_tensor *[]){words, blocks}, 1);
}

static void make_key_mask(pm_fuse *f, const pm_mask_form *m, pm_attrs *attrs, pm_tensor **out) {
    pm_graph *g = f->r.graph;
    if (m->keys.n) attrs->mask |= PM_MASK_KEYS, *out = make_lines(f, m, &m->keys, 1);
    if (!m->global.n) return;
    pm_tensor *words = pm_add(g, as_ones(g, make_lines(f, m, &m->global, 1)), pm_const_i32(g, 1));
    if (m->keys.n) words = pm_mul(g, words, as_ones(g, *out));
    attrs->mask |= PM_MASK_KEYS | PM_MASK_GLOBAL;
    *out = pm_fuse_key_words(g, words);
}

/* Queries that are masked have no keys: their length is 0. */
static bool make_length(pm_fuse *f, const pm_mask_form *m, pm_attrs *attrs, pm_tensor **out) {
    pm_graph *g = f->r.graph;
    if (m->has_length) {
        if (!fits_i32(-m->length.origin)) return false;
        attrs->mask |= PM_MASK_LENGTH;
        *out = make_symbol(f, m->length.symbol, -m->length.origin);
    }
    if (!m->rows.n) return true;
    attrs->mask |= PM_MASK_LENGTH | PM_MASK_ROWS;
    if (!m->has_length) *out = pm_const_i32(g, (int32_t)m->scores->dims[m->scores->rank - 1]);
    if (pm_tensor_rank(*out) == 1) *out = pm_reshape(g, *out, 2, (int64_t[]){pm_tensor_dim(*out, 0), 1});
    *out = pm_mul(g, as_ones(g, make_lines(f, m, &m->rows, 2)), *out);
    return true;
}

bool pm_fuse_make_mask(pm_fuse *f, const pm_mask_form *m, pm_attrs *attrs, pm_tensor **out_in) {
    for (int i = 0; i < 4; i++) out_in[i] = NULL;
    if (!is_readable(f, m) || !make_position(f, m, attrs, &out_in[0])) return false;
    if (m->has_relative) out_in[3] = make_relative(f, m);
    if (!make_length(f, m, attrs, &out_in[1])) return false;
    make_key_mask(f, m, attrs, &out_in[2]);
    return f->r.graph->status == PM_OK;
}
