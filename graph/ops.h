/* Declares the functions that the operation table names (ops.def), and what they share. Shape rules are in
 * infer_*.c, costs in cost.c, lowering in lower_*.c. Nobody calls these but through pm_op_get().
 *
 * A shape rule gets a tensor with op, inputs and attributes set; it checks them, makes attributes canonical
 * (no negative axis, no dim of -1) and sets dtype, rank and dims. It raises PM_ERR_USAGE; it never sets
 * storage. */
#ifndef PM_OPS_H
#define PM_OPS_H

#include "graph/ir.h"

pm_status pm_infer_reshape(pm_tensor *t);
pm_status pm_infer_permute(pm_tensor *t);
pm_status pm_infer_slice(pm_tensor *t);
pm_status pm_infer_as_i32(pm_tensor *t);
pm_status pm_infer_windows(pm_tensor *t);
pm_status pm_infer_expand(pm_tensor *t);
pm_status pm_infer_same(pm_tensor *t);
pm_status pm_infer_unary_f32(pm_tensor *t);
pm_status pm_infer_unary_bool(pm_tensor *t);
pm_status pm_infer_cast(pm_tensor *t);
pm_status pm_infer_arith(pm_tensor *t);
pm_status pm_infer_compare(pm_tensor *t);
pm_status pm_infer_logic(pm_tensor *t);
pm_status pm_infer_glu(pm_tensor *t);
pm_status pm_infer_where(pm_tensor *t);
pm_status pm_infer_reduce(pm_tensor *t);
pm_status pm_infer_argmax(pm_tensor *t);
pm_status pm_infer_top_k(pm_tensor *t);
pm_status pm_infer_sample(pm_tensor *t);
pm_status pm_infer_softmax(pm_tensor *t);
pm_status pm_infer_log_softmax(pm_tensor *t);
pm_status pm_infer_norm(pm_tensor *t);
pm_status pm_infer_matmul(pm_tensor *t);
pm_status pm_infer_grouped_matmul(pm_tensor *t);
pm_status pm_infer_attention(pm_tensor *t);
pm_status pm_infer_gather(pm_tensor *t);
pm_status pm_infer_concat(pm_tensor *t);
pm_status pm_infer_cache_write(pm_tensor *t);
pm_status pm_infer_advance(pm_tensor *t);
pm_status pm_infer_rotary(pm_tensor *t);
pm_status pm_infer_rel_shift(pm_tensor *t);

uint64_t pm_cost_elems(const pm_tensor *t); /* elements written */
uint64_t pm_cost_one(const pm_tensor *t);
uint64_t pm_cost_reads(const pm_tensor *t);  /* elements read */
uint64_t pm_cost_matmul(const pm_tensor *t); /* multiply-adds */
uint64_t pm_cost_top_k(const pm_tensor *t);
uint64_t pm_cost_grouped_matmul(const pm_tensor *t);
uint64_t pm_cost_attention(const pm_tensor *t); /* multiply-adds of both products */

#define PM_LOWER(name)                                                                                       \
    pm_status name(struct pm_lowering *l, const pm_tensor *t, uint32_t part, struct pm_dispatch *out)
PM_LOWER(pm_lower_unary);
PM_LOWER(pm_lower_binary);
PM_LOWER(pm_lower_where);
PM_LOWER(pm_lower_reduce);
PM_LOWER(pm_lower_argmax);
PM_LOWER(pm_lower_top_k);
PM_LOWER(pm_lower_sample);
PM_LOWER(pm_lower_softmax);
PM_LOWER(pm_lower_log_softmax);
PM_LOWER(pm_lower_layer_norm);
PM_LOWER(pm_lower_rms_norm);
PM_LOWER(pm_lower_matmul);
PM_LOWER(pm_lower_grouped_matmul);
PM_LOWER(pm_lower_attention);
PM_LOWER(pm_lower_gather);
PM_LOWER(pm_lower_concat);
PM_LOWER(pm_lower_cache_write);
PM_LOWER(pm_lower_advance);
PM_LOWER(pm_lower_rotary);
PM_LOWER(pm_lower_rel_shift);

/* ---- shared by the shape rules (infer.c) ---- */

/* A shape for an error's text, "[2,3]": use as pm_shape(t).s inside one expression. */
typedef struct pm_shape_text {
    char s[112];
} pm_shape_text;
pm_shape_text pm_shape(const pm_tensor *t);
pm_shape_text pm_shape_of(int32_t rank, const int64_t *dims);

/* Rank 0..PM_MAX_DIMS, every dim at least 1, at most PM_MAX_ELEMS elements. `what` begins the error's text.
 */
#define PM_MAX_ELEMS INT32_MAX
pm_status pm_check_dims(const char *what, int32_t rank, const int64_t *dims) PM_MUST_USE;

enum { PM_TYPE_F32 = 1 << PM_F32, PM_TYPE_I32 = 1 << PM_I32, PM_TYPE_BOOL = 1 << PM_BOOL };
/* Input i of t, called `what`, must have one of the types (bits). */
pm_status pm_want_type(const pm_tensor *t, int i, const char *what, unsigned types) PM_MUST_USE;
/* Sets t's result, checking its size. */
pm_status pm_set_result(pm_tensor *t, pm_dtype type, int32_t rank, const int64_t *dims) PM_MUST_USE;
/* Makes *axis lie in 0..rank-1. */
pm_status pm_want_axis(const pm_tensor *t, int32_t rank, int32_t *axis) PM_MUST_USE;
/* numpy's broadcast of the n first inputs (NULL ones are passed over). */
pm_status pm_broadcast_inputs(const pm_tensor *t, int n, int32_t *out_rank, int64_t *out_dims) PM_MUST_USE;
/* Whether x broadcasts to exactly these dims. */
bool pm_broadcasts_to(const pm_tensor *x, int32_t rank, const int64_t *dims);
/* Whether x's elements in row-major order lie one stride apart (so that a kernel needs one stride). */
bool pm_has_one_stride(const pm_tensor *x, int64_t *out_stride);
/* The same of x without its n innermost dims. */
bool pm_rows_have_one_stride(const pm_tensor *x, int32_t n, int64_t *out_stride);

/* ---- storage (views.c) ---- */

void pm_dense_strides(int32_t rank, const int64_t *dims, int64_t *out_strides);
/* Sets base (NULL means the tensor itself), offset and strides of an inferred tensor. False: a reshape that
 * no strides express. */
bool pm_set_storage(pm_tensor *t);
/* Whether strides are a permutation of a dense order of dims (dims of 1 do not matter). */
bool pm_is_dense_in_some_order(int32_t rank, const int64_t *dims, const int64_t *strides);
/* Whether t's operation can write its result with these strides: a dense order that its kernel takes. */
bool pm_can_lie(const pm_tensor *t, const int64_t *strides);

/* ---- leaves (ops.c) ---- */

bool pm_leaf_kind(pm_op op, pm_kind *out_kind); /* false: no leaf */

#endif
