/* Storage of tensors: which memory a tensor's elements lie in, and how far apart. Owns the stride rules of
 * views, and which orders kernels can write. Invariant: a view never reaches outside of the elements of its input. */
#include "graph/ops.h"

#include <string.h>

void pm_dense_strides(int32_t rank, const int64_t *dims, int64_t *out_strides) {
    int64_t step = 1;
    for (int32_t k = rank - 1; k >= 0; k--) {
        out_strides[k] = step;
        step *= dims[k];
    }
}

static bool is_row_major(int32_t rank, const int64_t *dims, const int64_t *strides) {
    int64_t step = 1;
    for (int32_t k = rank - 1; k >= 0; k--) {
        if (dims[k] != 1 && strides[k] != step) return false;
        step *= dims[k];
    }
    return true;
}

bool pm_is_dense(const pm_tensor *t) {
    return is_row_major(t->rank, t->dims, t->strides);
}

bool pm_is_dense_in_some_order(int32_t rank, const int64_t *dims, const int64_t *strides) {
    int64_t step = 1;
    uint32_t used = 0;
    for (int32_t k = 0; k < rank; k++)
        if (dims[k] == 1) used |= 1u << k;
    while (used != (1u << rank) - 1) {
        int32_t next = -1;
        for (int32_t k = 0; k < rank; k++)
            if (!(used & 1u << k) && strides[k] == step) next = k;
        if (next < 0) return false;
        used |= 1u << next;
        step *= dims[next];
    }
    return true;
}

/* Orders other than row-major that an operation's kernel can write its result in. */
typedef enum order_rule { ORDER_FIXED, ORDER_KEEPS_LAST, ORDER_EVEN_ROWS, ORDER_ANY } order_rule;

static order_rule rule_of(pm_op op) {
    static const order_rule rules[PM_N_OPS] = {
        [PM_OP_MATMUL] = ORDER_KEEPS_LAST,    /* over n the stride is 1 */
        [PM_OP_ATTENTION] = ORDER_KEEPS_LAST, /* over D the stride is 1 */
        [PM_OP_GATHER] = ORDER_EVEN_ROWS,     /* one stride over all ids */
        [PM_OP_SOFTMAX] = ORDER_ANY,
        [PM_OP_LAYER_NORM] = ORDER_ANY,
        [PM_OP_RMS_NORM] = ORDER_ANY,
        [PM_OP_ROTARY] = ORDER_ANY,
        [PM_OP_LOG_SOFTMAX] = ORDER_ANY,
        [PM_OP_REL_SHIFT] = ORDER_ANY,
        [PM_OP_COPY] = ORDER_ANY,
    };
    return pm_op_get(op)->flags & PM_OPF_ELEMENTWISE ? ORDER_ANY : rules[op];
}

bool pm_can_lie(const pm_tensor *t, const int64_t *strides) {
    int32_t last = t->rank - 1;
    int64_t row_stride;
    pm_tensor laid = *t;
    memcpy(laid.strides, strides, (size_t)t->rank * sizeof *strides);
    if (!pm_is_dense_in_some_order(t->rank, t->dims, strides)) return false;
    switch (rule_of(t->op)) {
    case ORDER_ANY: return true;
    case ORDER_KEEPS_LAST: return last < 0 || t->dims[last] == 1 || strides[last] == 1;
    case ORDER_EVEN_ROWS: return pm_rows_have_one_stride(&laid, 1, &row_stride);
    default: return is_row_major(t->rank, t->dims, strides);
    }
}

bool pm_has_one_stride(const pm_tensor *x, int64_t *out_stride) {
    int64_t step = 0, n = 1; /* n: elements of the dims seen, which must all follow at `step` */
    for (int32_t k = x->rank - 1; k >= 0; k--) {
        if (x->dims[k] == 1) continue;
        if (n == 1)
            step = x->strides[k];
        else if (x->strides[k] != step * n)
            return false;
        n *= x->dims[k];
    }
    *out_stride = n == 1 ? 1 : step;
    return true;
}

bool pm_rows_have_one_stride(const pm_tensor *x, int32_t n, int64_t *out_stride) {
    pm_tensor rows = *x;
    rows.rank -= n;
    return pm_has_one_stride(&rows, out_stride);
}

/* Groups old and new dims into runs of equal products; a run of old dims must be evenly spaced. */
static bool reshape_strides(const pm_tensor *x, int32_t rank, const int64_t *dims, int64_t *strides) {
    int64_t old_dims[PM_MAX_DIMS], old_strides[PM_MAX_DIMS];
    int32_t n_old = 0, i = 0, o = 0;
    for (int32_t k = 0; k < x->rank; k++) {
        if (x->dims[k] == 1) continue;
        old_dims[n_old] = x->dims[k];
        old_strides[n_old++] = x->strides[k];
    }
    while (i < rank && o < n_old) {
        int64_t new_elems = dims[i], old_elems = old_dims[o];
        int32_t i_end = i + 1, o_end = o + 1;
        while (new_elems != old_elems)
            if (new_elems < old_elems)
                new_elems *= dims[i_end++];
            else
                old_elems *= old_dims[o_end++];
        for (int32_t k = o; k + 1 < o_end; k++)
            if (old_strides[k] != old_dims[k + 1] * old_strides[k + 1]) return false;
        strides[i_end - 1] = old_strides[o_end - 1];
        for (int32_t k = i_end - 1; k > i; k--) strides[k - 1] = strides[k] * dims[k];
        i = i_end;
        o = o_end;
    }
    for (int64_t last = i ? strides[i - 1] : 1; i < rank; i++) strides[i] = last; /* dims of 1 at the end */
    return true;
}

static void expand_strides(const pm_tensor *x, pm_tensor *t) {
    int32_t shift = t->rank - x->rank;
    for (int32_t k = 0; k < t->rank; k++)
        t->strides[k] = k < shift || x->dims[k - shift] != t->dims[k] ? 0 : x->strides[k - shift];
}

static void windows_strides(const pm_tensor *x, pm_tensor *t) {
    const int32_t axis = t->attrs.axis;
    for (int32_t k = 0; k < x->rank; k++) t->strides[k + (k > axis)] = x->strides[k];
    t->strides[axis + 1] = x->strides[axis];
    t->strides[axis] = x->strides[axis] * t->attrs.step;
    if (t->dims[axis] == 1) t->strides[axis] = x->strides[axis]; /* a step may be longer than x */
}

bool pm_set_storage(pm_tensor *t) {
    const pm_op_info *info = pm_op_get(t->op);
    const pm_tensor *x = t->in[0];
    memset(t->strides, 0, sizeof t->strides);
    if (!(info->flags & (PM_OPF_VIEW | PM_OPF_STATE))) {
        t->base = NULL;
        t->offset = 0;
        pm_dense_strides(t->rank, t->dims, t->strides);
        return true;
    }
    t->base = x->base;
    t->offset = x->offset;
    switch (t->op) {
    case PM_OP_RESHAPE: return reshape_strides(x, t->rank, t->dims, t->strides);
    case PM_OP_PERMUTE:
        for (int32_t k = 0; k < t->rank; k++) t->strides[k] = x->strides[t->attrs.axes[k]];
        return true;
    case PM_OP_EXPAND: expand_strides(x, t); return true;
    case PM_OP_WINDOWS: windows_strides(x, t); return true;
    case PM_OP_SLICE: t->offset += t->attrs.start * x->strides[t->attrs.axis]; break;
    default: break; /* a state after a write lies where it lay */
    }
    memcpy(t->strides, x->strides, sizeof t->strides);
    return true;
}
