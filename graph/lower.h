/* What the lowering functions (lower_*.c) share: shapes as kernels see them. Nobody else includes this.
 *
 * Kernels see every tensor with a fixed number of dims, innermost last, padded in front with 1. A dim over
 * which an operand repeats (its own dim is 1) has stride 0. Shape rules hold every number of a tensor within
 * 31 bits. */
#ifndef PM_LOWER_H
#define PM_LOWER_H

#include "graph/compile.h"
#include "graph/ops.h"
#include "shaders/common.params.h"

/* dims of t, right-aligned in n entries (n >= rank). */
void pm_lower_dims(const pm_tensor *t, int n, uint32_t *out);
/* strides of x, right-aligned in n entries; 0 where its dim is 1, which is also where it broadcasts. */
void pm_lower_strides(const pm_tensor *x, int n, uint32_t *out);

/* Sets kernel and parameters (`params` is that kernel's struct). */
void pm_lower_params(pm_dispatch *d, pm_kernel kernel, const void *params);

/* Whether the result's innermost elements lie side by side, as kernels that have no stride there need:
 * PM_ERR_OTHER if not, since only a pass could have laid it out otherwise. */
pm_status pm_lower_want_rows(const pm_tensor *t) PM_MUST_USE;

/* Over the batch; 0 for one position of all, and where there is none. */
uint32_t pm_lower_position_stride(const pm_tensor *position);
/* The optional operands that softmax and attention share, bound in the order position, length, key_mask,
 * bias. `first` is the index of the position operand. */
pm_status pm_lower_bind_masks(pm_lowering *l, const pm_tensor *t, int first, pm_dispatch *d,
                              pm_mask_params *out) PM_MUST_USE;

/* The last binding holds the program's n halt words, `word` elements behind where it begins (program.h). */
void pm_lower_halt(pm_lowering *l, const pm_dispatch *d, uint32_t word, uint32_t n);

/* t is a product or a gather, whose operand of rows (b, the table) is seen in slices where it is larger than one binding
 * or the work is more than one submission may hold: rows *out_first .. *out_first + *out_n - 1 are those of `part`. */
void pm_lower_rows_of_part(const pm_lowering *l, const pm_tensor *t, uint32_t part, int64_t *out_first,
                           int64_t *out_n);
/* Rows along dim of x that one binding holds; all of them when they fit. */
int64_t pm_lower_rows_of_binding(const pm_lowering *l, const pm_tensor *x, int dim);
/* The same, but not more than one submission may work on. */
int64_t pm_lower_rows_at_once(const pm_lowering *l, const pm_tensor *x, int dim, uint64_t row_cost);
/* Rows along dim of x, from `first` on, that one part may have: `most` or fewer, none of another piece of a weight (program.h). */
int64_t pm_lower_run(const pm_lowering *l, const pm_tensor *x, int dim, int64_t most, int64_t first);
/* Dispatches of a grouped_matmul (lower_grouped.c). */
uint32_t pm_lower_grouped_parts(const pm_lowering *l, const pm_tensor *t);
/* The cache_writes that the product t does on the way (caches.h): *out_n of them. */
void pm_lower_caches_of(const pm_lowering *l, const pm_tensor *t, const pm_tensor **out_writes,
                        uint32_t *out_n);
/* Whether nothing reads t but those. */
bool pm_lower_is_gone(const pm_lowering *l, const pm_tensor *t);
/* n entries of dim from `first`, as a view of x; all of x where it broadcasts over dim. */
pm_tensor pm_lower_slice(const pm_tensor *x, int dim, int64_t first, int64_t n);
/* Whether all of x can be one binding. */
bool pm_lower_can_bind(const pm_lowering *l, const pm_tensor *x);
/* How an operation with operands larger than a binding is cut along its outer dims (lower_cut.c): runs of dim `level`, for runs of
 * the dim before it (of one entry, mostly), for one entry of each dim before that. */
typedef struct pm_lower_cut {
    int32_t level;
    int64_t each, runs;
    int64_t each_before, runs_before;
    uint32_t n_parts; /* 1: it is not */
} pm_lower_cut;
pm_lower_cut pm_lower_find_cut(const pm_lowering *l, const pm_tensor *t);
/* t is the part as an operation of its own, whose inputs are views of the whole's. It must stay where it is. */
typedef struct pm_lower_slices {
    pm_tensor t, in[PM_MAX_IN];
} pm_lower_slices;
void pm_lower_cut_part(const pm_tensor *t, const pm_lower_cut *c, uint32_t part, pm_lower_slices *out);
/* Where part `part` of a concat belongs, as a view of the result. */
pm_tensor pm_lower_part_of_concat(const pm_tensor *concat, uint32_t part);

#endif
