/* Pumice, graph: build a computation graph from primitive operations and read it back as text.
 *
 * A tensor is the result of one operation (static single assignment). Shapes are static, at most PM_MAX_DIMS dims,
 * outermost first. Legend: B batch, T new tokens, S cached tokens, H heads, G kv heads, D head size, C model width,
 * F hidden width, V vocabulary.
 *
 *     pm_graph *g;  pm_graph_create("linear", &g);
 *     pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){3, 4});
 *     pm_tensor *w = pm_weight(g, "w", PM_F32, 2, (int64_t[]){5, 4});
 *     pm_output(g, "y", pm_matmul(g, x, w));              // y[3,5] = x[3,4] . w[5,4]^T
 *     if (pm_graph_status(g) != PM_OK) ...                // the first error of any call above
 *     pm_graph_destroy(g);
 *
 * The builder functions return NULL after the first error of the graph and accept NULL inputs then, so that a builder
 * checks once, at the end. The graph owns its tensors. Builders write primitives as the paper reads: the compiler
 * finds attention, norms, activations, epilogues and rotary embeddings by itself.
 */
#ifndef PUMICE_GRAPH_H
#define PUMICE_GRAPH_H

#include "pumice/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_graph pm_graph;
typedef struct pm_tensor pm_tensor;

pm_status pm_graph_create(const char *name, pm_graph **out_graph) PM_MUST_USE;
void pm_graph_destroy(pm_graph *g); /* accepts NULL */
pm_status
pm_graph_status(const pm_graph *g) PM_MUST_USE; /* the first error of a builder call; text in pm_error_text */

/* The builder's place, as "layers.3.attn", which later tensors carry for people to read; copied; NULL ends it. */
void pm_graph_label(pm_graph *g, const char *label);

int pm_tensor_rank(const pm_tensor *t); /* 0 when t is NULL */
int64_t pm_tensor_dim(const pm_tensor *t,
                      int axis); /* axis may be negative: -1 is the innermost; 0 when t is NULL */

/* Leaves. Names are copied. */
pm_tensor *pm_input(pm_graph *g, const char *name, pm_dtype type, int rank, const int64_t *dims);
pm_tensor *pm_weight(pm_graph *g, const char *name, pm_dtype type, int rank, const int64_t *dims);
pm_tensor *pm_state(pm_graph *g, const char *name, pm_dtype type, int rank,
                    const int64_t *dims); /* lives across runs */
pm_tensor *pm_param(pm_graph *g,
                    const char *name); /* a rank-0 I32 that changes from run to run: position, length */
pm_tensor *pm_const_f32(pm_graph *g, float value); /* rank 0 */
pm_tensor *pm_const_i32(pm_graph *g, int32_t value);
pm_tensor *pm_const_data(pm_graph *g, pm_dtype type, int rank, const int64_t *dims,
                         const void *data); /* copied */
pm_tensor *pm_iota(pm_graph *g, int64_t n); /* I32 [n]: 0, 1, ... n-1 */

/* Marks a result. One tensor may be several outputs. A tensor that is not dense is copied first. */
void pm_output(pm_graph *g, const char *name, pm_tensor *t);

/* Views: no data moves, unless a reshape cannot be expressed by strides (then a copy is inserted). */
pm_tensor *pm_reshape(pm_graph *g, pm_tensor *x, int rank, const int64_t *dims); /* one dim may be -1 */
pm_tensor *pm_permute(pm_graph *g, pm_tensor *x, const int *axes); /* out dim i = in dim axes[i] */
pm_tensor *pm_transpose(pm_graph *g, pm_tensor *x, int a, int b);  /* a permute that swaps two axes */
pm_tensor *pm_slice(pm_graph *g, pm_tensor *x, int axis, int64_t start, int64_t length);
/* x[..,N,..] as [..,windows,length,..]: `length` elements from every step-th on; they may overlap */
pm_tensor *pm_windows(pm_graph *g, pm_tensor *x, int axis, int64_t length, int64_t step);
pm_tensor *pm_expand(pm_graph *g, pm_tensor *x, int rank,
                     const int64_t *dims);     /* broadcast, as numpy aligns dims */
pm_tensor *pm_copy(pm_graph *g, pm_tensor *x); /* a dense tensor with x's values */

/* Element by element; binary operations broadcast as numpy does. */
pm_tensor *pm_neg(pm_graph *g, pm_tensor *x);
pm_tensor *pm_abs(pm_graph *g, pm_tensor *x);
pm_tensor *pm_exp(pm_graph *g, pm_tensor *x);
pm_tensor *pm_log(pm_graph *g, pm_tensor *x);
pm_tensor *pm_sqrt(pm_graph *g, pm_tensor *x);
pm_tensor *pm_rsqrt(pm_graph *g, pm_tensor *x);
pm_tensor *pm_tanh(pm_graph *g, pm_tensor *x);
pm_tensor *pm_erf(pm_graph *g, pm_tensor *x);
pm_tensor *pm_sigmoid(pm_graph *g, pm_tensor *x);
pm_tensor *pm_relu(pm_graph *g, pm_tensor *x);
pm_tensor *pm_not(pm_graph *g, pm_tensor *x); /* BOOL */
pm_tensor *pm_cast(pm_graph *g, pm_tensor *x,
                   pm_dtype type); /* F32 <-> I32, BOOL -> F32 or I32, I32 -> BOOL */
pm_tensor *pm_add(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_sub(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_mul(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_div(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_max(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_min(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_lt(pm_graph *g, pm_tensor *a, pm_tensor *b); /* comparisons give BOOL */
pm_tensor *pm_le(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_gt(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_ge(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_eq(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_ne(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_and(pm_graph *g, pm_tensor *a, pm_tensor *b); /* BOOL */
pm_tensor *pm_or(pm_graph *g, pm_tensor *a, pm_tensor *b);
pm_tensor *pm_where(pm_graph *g, pm_tensor *cond, pm_tensor *yes, pm_tensor *no);

/* Along one axis, which keeps length 1. */
pm_tensor *pm_sum(pm_graph *g, pm_tensor *x, int axis);
pm_tensor *pm_mean(pm_graph *g, pm_tensor *x, int axis);
pm_tensor *pm_reduce_max(pm_graph *g, pm_tensor *x, int axis);

/* Softmax along the innermost axis. Entries at or below PM_MASKED count as absent; a row with none present is 0. */
#define PM_MASKED (-1.0e30f)
pm_tensor *pm_softmax(pm_graph *g, pm_tensor *x);
pm_tensor *pm_argmax(pm_graph *g,
                     pm_tensor *x); /* innermost axis, which goes; I32; ties give the lowest index */

/* y[...,M,N] = a[...,M,K] . b[...,N,K]^T: both have K innermost, as torch.nn.Linear keeps its weights. The leading
 * dims broadcast. For a . b with b[...,K,N], pass pm_transpose(b, -1, -2). */
pm_tensor *pm_matmul(pm_graph *g, pm_tensor *a, pm_tensor *b);

/* The places of the k largest along the innermost axis, which becomes k long: I32, by falling value, the lower place
 * first among equals. NaN is below all numbers. */
pm_tensor *pm_top_k(pm_graph *g, pm_tensor *x, int64_t k);
/* A column of each row x[...,V] by chance, I32 [...]; -1 where a row has no finite number. settings: the words of
 * shaders/sample.params.h, I32 [7], or [rows,7] for each row its own: temperature, top-k, top-p, min-p, seed. count: how many
 * choices came before, I32, one element or one for each row. The same logits, settings and count give the same column on every device. */
pm_tensor *pm_sample(pm_graph *g, pm_tensor *x, pm_tensor *settings, pm_tensor *count);
/* Products with the chosen ones of E matrices w[E,N,K] alone: y[..,j,:] = w[ids[..,j]] . x[..,:] for ids[..,J] (I32) and
 * x[..,K], or . x[..,j,:] for x[..,J,K]. Matrices that no id names are not read. An id outside 0..E-1 gives zeros. */
pm_tensor *pm_grouped_matmul(pm_graph *g, pm_tensor *x, pm_tensor *w, pm_tensor *ids);

/* Rows of table[V,C] chosen by ids (I32, any dims): out has ids' dims, then C. An id outside 0..V-1 gives zeros. */
pm_tensor *pm_gather(pm_graph *g, pm_tensor *table, pm_tensor *ids);
pm_tensor *pm_concat(pm_graph *g, int n, pm_tensor *const *parts, int axis);

/* Writes x[B,G,T,D] into state[B,G,S,D] at rows position .. position+T-1 and returns the state after the write, which
 * later reads must use. position: I32, one for all (rank 0) or one for each of B. Rows that would fall outside S are not written. */
pm_tensor *pm_cache_write(pm_graph *g, pm_tensor *state, pm_tensor *x, pm_tensor *position);

/* A decode loop that stays on the device: `loop` is an I32 state of PM_LOOP_WORDS words (shaders/common.params.h).
 * The id `next` (one I32), whose logit is one F32, is added to its ids and becomes the one to feed, at the next position; an id
 * below 0, or one whose logit is no finite number, halts it. logit may be NULL where the id says as much (pm_sample). Of B
 * sequences the state is [PM_LOOP_WORDS,B], and there are B ids and logits. Returns the state after that. */
pm_tensor *pm_advance(pm_graph *g, pm_tensor *loop, pm_tensor *next, pm_tensor *logit);

/* From distances to keys (Dai et al. 2019): x[...,T,N] to y[...,T,n_keys], y[...,t,s] = x[...,t,d], where
 * d = t + position - s tells how far key s lies behind query t, held within 0 .. N-1. position: I32, rank 0 or
 * one for each of the outermost dim, or NULL for 0. */
pm_tensor *pm_rel_shift(pm_graph *g, pm_tensor *x, pm_tensor *position, int64_t n_keys);

/* Text: one line a tensor; pm_graph_parse reads what pm_graph_print wrote. *out_text is freed with pm_text_release. */
pm_status pm_graph_print(const pm_graph *g, char **out_text) PM_MUST_USE;
pm_status pm_graph_parse(const char *text, pm_graph **out_graph) PM_MUST_USE;
/* What differs from a to b, as lines for people, by label: "-" removed, "+" added, "~" changed. Tensors are paired by what they are,
 * not by number. Freed with pm_text_release; *out_same: nothing differs. */
pm_status pm_graph_diff(const pm_graph *a, const pm_graph *b, char **out_text, bool *out_same) PM_MUST_USE;
void pm_text_release(char *text);

#ifdef __cplusplus
}
#endif
#endif
