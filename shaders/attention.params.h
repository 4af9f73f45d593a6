/* attention: y[b,h,t,:] = sum over present s of p[s] v[b,g,s,:], p = softmax over s of
 * softcap(scale * q[b,h,t,:].k[b,g,s,:]) + bias[b,h,t,s], g = h / group. Never stores T x S.
 * q[B,H,T,D] k[B,G,S,D] v[B,G,S,D] y[B,H,T,D], each with strides for its first three dims and 1 for D.
 * A relative bias is bias[h, s - (t + position) + origin] instead, 0 outside of the table.
 * With places, q is [B,H,T,2D], and q[b,h,t,D..2D-1].places[h,d], d = t + position - s held within 0 .. N-1, is added to
 * q[b,h,t,0..D-1].k; places are bound as bias.
 * bindings: q, k, v, position, length, key_mask, bias, y; an absent operand is bound to q's range and not read.
 * Masks as in softmax.params.h: a key whose score is NaN is absent, too. What k and v hold for an absent key does not
 * matter if it is finite; a shader may multiply infinite values by 0. A row with no key present gives 0. */
#ifndef PM_ATTENTION_PARAMS_H
#define PM_ATTENTION_PARAMS_H
#include "common.params.h"

/* The parameters take all of 128 bytes: a relative bias and a sink have the bias's words, a new operand needs room made first.
 *
 * Of a relative bias bias_stride holds: how many distances the table has, its stride over h, the origin. */
#define PM_ATTN_RELATIVE_COUNT  0
#define PM_ATTN_RELATIVE_ORIGIN 2

#define PM_SPEC_HEAD_SIZE 10 /* D */
#define PM_SPEC_GROUP     11 /* H / G */
#define PM_SPEC_PLACES    12 /* 1: scores have a term by distance */

#define PM_ATTN_PLACES_COUNT 0 /* with places, bias_stride holds N, their stride over h, over the distance */

PM_PARAMS(pm_attention_params) {
    pm_uint n_batch, n_heads, n_queries, n_keys; /* B, H, T, S */
    pm_uint q_offset, k_offset, v_offset, y_offset;
    pm_uint q_stride[3], k_stride[3], v_stride[3], y_stride[3]; /* b, h or g, t or s */
    pm_uint bias_stride[3];                                     /* b, h, t; over s it is 1 */
    PM_MASK_PARAMS
};
#endif
