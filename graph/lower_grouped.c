/* Lowering of grouped_matmul. A table w[E,N,K] larger than one binding, or one that is more work than a submission may
 * hold, is multiplied in parts: some experts, and some of their rows, each. */
#include "graph/lower.h"
#include "shaders/matmul.params.h"

/* Entries of one dim that a part has. */
typedef struct span {
    int64_t first, n;
} span;

/* Parts are numbered by experts, then by rows. Finds where part `part` lies, if there are so many; returns how many came first. */
static uint32_t find_part(const pm_lowering *l, const pm_tensor *t, uint32_t part, span *experts,
                          span *rows) {
    const pm_tensor *w = t->in[PM_GROUPED_W], one = pm_lower_slice(w, 0, 0, 1);
    const int64_t most_rows =
        pm_lower_rows_at_once(l, &one, 1, pm_cost_grouped_matmul(t) / (uint64_t)w->dims[1]);
    const pm_tensor thin = pm_lower_slice(w, 1, 0, most_rows);
    const int64_t most_experts = pm_lower_rows_of_binding(l, &thin, 0);
    uint32_t n = 0;
    for (int64_t e = 0; e < w->dims[0]; e += experts->n) {
        *experts = (span){e, pm_lower_run(l, w, 0, most_experts, e)};
        const pm_tensor some = pm_lower_slice(w, 0, e, experts->n);
        for (int64_t r = 0; r < w->dims[1]; r += rows->n, n++) {
            *rows = (span){r, pm_lower_run(l, &some, 1, most_rows, r)};
            if (n == part) return n;
        }
    }
    return n;
}

uint32_t pm_lower_grouped_parts(const pm_lowering *l, const pm_tensor *t) {
    span experts = {0, 1}, rows = {0, 1};
    return find_part(l, t, UINT32_MAX, &experts, &rows);
}

static pm_tensor slice_of(const pm_tensor *x, span experts, span rows) {
    const pm_tensor some = pm_lower_slice(x, 0, experts.first, experts.n);
    return pm_lower_slice(&some, 1, rows.first, rows.n);
}

static pm_grouped_params shape_of(const pm_tensor *t, const pm_tensor *w, span experts) {
    const pm_tensor *x = t->in[PM_GROUPED_X], *ids = t->in[PM_GROUPED_IDS];
    int32_t last = x->rank - 1;
    bool own_rows = x->rank > ids->rank; /* a row for each choice */
    int64_t token, pair, ids_stride;
    (void)pm_rows_have_one_stride(x, own_rows ? 2 : 1, &token); /* the shape rule has seen to it */
    (void)pm_rows_have_one_stride(t, 1, &pair);
    (void)pm_has_one_stride(ids, &ids_stride);
    return (pm_grouped_params){
        .n_pairs = (uint32_t)pm_elems(ids),
        .n_chosen = (uint32_t)ids->dims[ids->rank - 1],
        .n = (uint32_t)w->dims[1],
        .k = (uint32_t)w->dims[2],
        .first_expert = (uint32_t)experts.first,
        .n_experts = (uint32_t)experts.n,
        .keep_others = experts.first > 0,
        .x_token = (uint32_t)token,
        .x_choice = own_rows ? (uint32_t)x->strides[last - 1] : 0,
        .x_k = w->dims[2] == 1 ? 1 : (uint32_t)x->strides[last],
        .w_expert = (uint32_t)w->strides[0],
        .w_n = (uint32_t)w->strides[1],
        .w_k = w->dims[2] == 1 ? 1 : (uint32_t)w->strides[2],
        .ids_stride = (uint32_t)ids_stride,
        .y_pair = (uint32_t)pair,
    };
}

/* The parts of the first experts write all pairs, zeros for those whose expert is another; the others write what is
 * theirs over it. */
pm_status pm_lower_grouped_matmul(pm_lowering *l, const pm_tensor *t, uint32_t part, pm_dispatch *out) {
    const pm_tensor *whole_w = t->in[PM_GROUPED_W],
                    *whole_bias = t->n_in > PM_GROUPED_BIAS ? t->in[PM_GROUPED_BIAS] : NULL;
    span experts = {0, 1}, rows = {0, 1};
    (void)find_part(l, t, part, &experts, &rows);
    const pm_tensor w = slice_of(whole_w, experts, rows),
                    y = pm_lower_slice(t, t->rank - 1, rows.first, rows.n);
    pm_tensor bias;
    if (whole_bias) bias = slice_of(whole_bias, experts, rows);
    pm_grouped_params p = shape_of(t, &w, experts);
    if (whole_bias) p.bias_expert = (uint32_t)bias.strides[0];
    PM_TRY(pm_lower_want_rows(t));
    PM_TRY(pm_lower_bind(l, out, t->in[PM_GROUPED_X], false, &p.x_offset));
    PM_TRY(pm_lower_bind(l, out, &w, false, &p.w_offset));
    PM_TRY(pm_lower_bind(l, out, t->in[PM_GROUPED_IDS], false, &p.ids_offset));
    PM_TRY(pm_lower_bind(l, out, whole_bias ? &bias : NULL, false, &p.bias_offset));
    PM_TRY(pm_lower_bind(l, out, &y, true, &p.y_offset));
    out->spec[PM_SPEC_ACT] = (uint32_t)t->attrs.act;
    out->spec[PM_SPEC_HAS_BIAS] = whole_bias != NULL;
    pm_lower_params(out, PM_KERNEL_GROUPED_MATMUL, &p);
    return PM_OK;
}
