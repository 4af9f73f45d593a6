/* Lowering of the operations that move data: gather, concat, cache_write, advance, rotary, rel_shift. */
#include "graph/lower.h"

#include <string.h>

#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"

/* A part sees some rows of the table. The first writes all of the result, zeros for ids that are not its own; the others
 * write what is theirs over it. */
pm_status pm_lower_gather(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *ids = t->in[1];
    pm_tensor rows = *t; /* t without its last dim */
    int64_t ids_stride, y_stride, first, n;
    rows.rank--;
    if (!pm_has_one_stride(ids, &ids_stride) || !pm_has_one_stride(&rows, &y_stride))
        return pm_raise(PM_ERR_OTHER, "lowering: %%%u (gather): ids or rows do not lie evenly spaced", t->id);
    pm_lower_rows_of_part(l, t, part, &first, &n);
    const pm_tensor table = pm_lower_slice(t->in[0], 0, first, n);
    pm_gather_params p = {.n_ids = (uint32_t)pm_elems(ids),
                          .n_cols = (uint32_t)table.dims[1],
                          .n_rows = (uint32_t)n,
                          .first_row = (uint32_t)first,
                          .keep_others = part > 0,
                          .table_row_stride = (uint32_t)table.strides[0],
                          .table_col_stride = (uint32_t)table.strides[1],
                          .ids_stride = (uint32_t)ids_stride,
                          .y_row_stride = (uint32_t)y_stride,
                          .y_col_stride = (uint32_t)t->strides[t->rank - 1]};
    PM_TRY(pm_lower_bind(l, out, &table, false, &p.table_offset));
    PM_TRY(pm_lower_bind(l, out, ids, false, &p.ids_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_params(out, PM_KERNEL_GATHER, &p);
    return PM_OK;
}

pm_tensor pm_lower_part_of_concat(const pm_tensor *concat, uint32_t part) {
    int32_t axis = concat->attrs.axis;
    int64_t first = 0;
    for (uint32_t i = 0; i < part; i++) first += concat->in[i]->dims[axis];
    return pm_lower_slice(concat, axis, first, concat->in[part]->dims[axis]);
}

/* Part i copies input i to its slice of the result. */
pm_status pm_lower_concat(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *x = t->in[part];
    const pm_tensor slice = pm_lower_part_of_concat(t, part);
    pm_unary_params p = {.n = (uint32_t)pm_elems(x)};
    PM_TRY(pm_lower_bind(l, out, x, false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, &slice, true, &p.y_offset));
    pm_lower_dims(x, PM_DIMS, p.dims);
    pm_lower_strides(x, PM_DIMS, p.x_stride);
    pm_lower_strides(&slice, PM_DIMS, p.y_stride);
    out->spec[PM_SPEC_FN] = PM_FN_COPY;
    out->spec[PM_SPEC_DENSE] = pm_is_dense(x) && pm_is_dense(&slice);
    out->cost = (uint64_t)pm_elems(x);
    pm_lower_params(out, PM_KERNEL_UNARY, &p);
    return PM_OK;
}

/* Of a tensor that is evenly spaced; 0 for one element. */
static uint32_t even_stride(const pm_tensor *x) {
    int64_t stride = 0;
    return pm_elems(x) > 1 && pm_has_one_stride(x, &stride) ? (uint32_t)stride : 0;
}

pm_status pm_lower_advance(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *logit = t->n_in > 2 ? t->in[2] : NULL;
    pm_advance_params p = {.n = t->rank == 2 ? (uint32_t)t->dims[1] : 1,
                           .next_stride = even_stride(t->in[1]),
                           .logit_stride = logit ? even_stride(logit) : 0,
                           .has_logit = logit != NULL};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, t->in[1], false, &p.next_offset));
    PM_TRY(pm_lower_bind(l, out, logit, false, &p.logit_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.loop_offset));
    pm_lower_params(out, PM_KERNEL_ADVANCE, &p);
    pm_lower_halt(l, out, p.loop_offset + PM_LOOP_HALT * p.n, p.n);
    return PM_OK;
}

/* Strides over dims 0 and 2 of x[B,H,T,D]. */
static void table_strides(const pm_tensor *c, uint32_t *out) {
    uint32_t strides[4];
    pm_lower_strides(c, 4, strides);
    out[0] = strides[0];
    out[1] = strides[2];
}

pm_status pm_lower_cache_write(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *x = t->in[1], *position = t->in[2], *cosine = t->n_in > 3 ? t->in[3] : NULL,
                    *sine = t->n_in > 3 ? t->in[4] : NULL;
    pm_cache_write_params p = {.n = (uint32_t)pm_elems(x), .n_slots = (uint32_t)t->dims[2]};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, x, false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, position, false, &p.position_offset));
    p.position_stride = pm_lower_position_stride(position);
    PM_TRY(pm_lower_bind(l, out, cosine, false, &p.cos_offset));
    PM_TRY(pm_lower_bind(l, out, sine, false, &p.sin_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.state_offset));
    pm_lower_dims(x, 4, p.dims);
    pm_lower_strides(x, 4, p.x_stride);
    pm_lower_strides(t, 4, p.state_stride);
    if (cosine) {
        p.turned = (uint32_t)cosine->dims[cosine->rank - 1];
        table_strides(cosine, p.cos_stride);
        table_strides(sine, p.sin_stride);
    }
    out->spec[PM_SPEC_TURNED] = cosine != NULL;
    out->cost = (uint64_t)pm_elems(x); /* of the state no more is touched */
    pm_lower_params(out, PM_KERNEL_CACHE_WRITE, &p);
    return PM_OK;
}

pm_status pm_lower_rotary(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *cosine = t->in[1];
    pm_rotary_params p = {.n = (uint32_t)pm_elems(t), .turned = (uint32_t)cosine->dims[cosine->rank - 1]};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, t->in[0], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, t->in[1], false, &p.cos_offset));
    PM_TRY(pm_lower_bind(l, out, t->in[2], false, &p.sin_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_dims(t, 4, p.dims);
    pm_lower_strides(t->in[0], 4, p.x_stride);
    pm_lower_strides(t, 4, p.y_stride);
    table_strides(t->in[1], p.cos_stride);
    table_strides(t->in[2], p.sin_stride);
    pm_lower_params(out, PM_KERNEL_ROTARY, &p);
    return PM_OK;
}

pm_status pm_lower_rel_shift(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *x = t->in[0], *position = t->n_in > 1 ? t->in[1] : NULL;
    pm_rel_shift_params p = {.n = (uint32_t)pm_elems(t), .has_position = position != NULL};
    (void)part;
    PM_TRY(pm_lower_bind(l, out, x, false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, position, false, &p.position_offset));
    PM_TRY(pm_lower_bind(l, out, t, true, &p.y_offset));
    pm_lower_dims(t, PM_DIMS, p.dims);
    pm_lower_strides(x, PM_DIMS, p.x_stride);
    pm_lower_strides(t, PM_DIMS, p.y_stride);
    p.n_distances = (uint32_t)x->dims[x->rank - 1];
    p.position_stride = pm_lower_position_stride(position);
    p.batch_axis = (uint32_t)(PM_DIMS - x->rank);
    pm_lower_params(out, PM_KERNEL_REL_SHIFT, &p);
    return PM_OK;
}
