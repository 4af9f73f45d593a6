/* Inside of the fuse pass: what its patterns share. A pattern looks at the old graph from the last tensor of
 * what it may replace (its root) and answers with the new tensor that stands for the root, or NULL when the
 * graph is something else. It need not remove what it has looked through: tensors that lost their last use
 * are dropped after each stage. So a pattern is right as soon as the new tensor has the root's values; the
 * questions about uses only keep work from being done twice. Almost a match is no match: constants are
 * compared, never assumed. */
#ifndef PM_FUSE_H
#define PM_FUSE_H

#include "graph/rebuild.h"

typedef struct pm_fuse {
    pm_rebuild r;         /* r.old is the graph that patterns look at */
    const uint32_t *uses; /* by old id; outputs count */
} pm_fuse;

typedef pm_tensor *(*pm_fuse_fn)(pm_fuse *f, const pm_tensor *root);

/* The patterns, tried in the order of the table in fuse.c. */
pm_tensor *pm_fuse_norm(pm_fuse *f, const pm_tensor *root);            /* fuse_norm.c */
pm_tensor *pm_fuse_norm_beta(pm_fuse *f, const pm_tensor *root);       /* fuse_norm.c */
pm_tensor *pm_fuse_norm_gamma(pm_fuse *f, const pm_tensor *root);      /* fuse_norm.c */
pm_tensor *pm_fuse_norm_gamma_beta(pm_fuse *f, const pm_tensor *root); /* fuse_norm.c */
pm_tensor *pm_fuse_gelu(pm_fuse *f, const pm_tensor *root);            /* fuse_act.c */
pm_tensor *pm_fuse_gelu_tanh(pm_fuse *f, const pm_tensor *root);       /* fuse_act.c */
pm_tensor *pm_fuse_quick_gelu(pm_fuse *f, const pm_tensor *root);      /* fuse_act.c */
pm_tensor *pm_fuse_silu(pm_fuse *f, const pm_tensor *root);            /* fuse_act.c */
pm_tensor *pm_fuse_glu(pm_fuse *f, const pm_tensor *root);             /* fuse_act.c */
pm_tensor *pm_fuse_rotary(pm_fuse *f, const pm_tensor *root);          /* fuse_rotary.c */
pm_tensor *pm_fuse_rotary_part(pm_fuse *f, const pm_tensor *root);     /* fuse_rotary.c */
pm_tensor *pm_fuse_rotary_write(pm_fuse *f, const pm_tensor *root);    /* fuse_rotary.c */
pm_tensor *pm_fuse_softmax(pm_fuse *f, const pm_tensor *root);         /* fuse_softmax.c */
pm_tensor *pm_fuse_sink(pm_fuse *f, const pm_tensor *root);            /* fuse_softmax.c */
pm_tensor *pm_fuse_log_softmax(pm_fuse *f, const pm_tensor *root);     /* fuse_log_softmax.c */
pm_tensor *pm_fuse_attention(pm_fuse *f, const pm_tensor *root);       /* fuse_attention.c */
pm_tensor *pm_fuse_matmul(pm_fuse *f, const pm_tensor *root);          /* fuse_matmul.c */
pm_tensor *pm_fuse_matmul_viewed(pm_fuse *f, const pm_tensor *root);   /* fuse_matmul.c */
pm_tensor *pm_fuse_grouped(pm_fuse *f, const pm_tensor *root);         /* fuse_grouped.c */

/* PM_ACT_* of an activation's operation; PM_ACT_NONE for all others. */
int32_t pm_fuse_act_of(pm_op op); /* fuse_act.c */

/* ---- questions about the old graph (fuse_match.c) ---- */

bool pm_fuse_is_op(const pm_tensor *t, pm_op op, pm_dtype type);
bool pm_fuse_single(const pm_fuse *f, const pm_tensor *t); /* one use, and that is not as an output */
bool pm_fuse_const(const pm_tensor *t, float *out_value);  /* an F32 constant of one value */
bool pm_fuse_near(double value, double expected);          /* within 1e-6, relative */

/* Splits a two-input operation in a constant and the other operand, in either order where the operation
 * commutes; a division's constant is its divisor. */
bool pm_fuse_split_const(const pm_tensor *t, const pm_tensor **out_other, float *out_value);
/* Whether t is `op` of exactly this operand and a constant; finds the other operand of a commuting operation.
 */
const pm_tensor *pm_fuse_other(const pm_tensor *t, const pm_tensor *operand);

/* A product taken apart, through multiplications and divisions that nothing else uses. */
#define PM_MAX_FACTORS 4
typedef struct pm_product {
    int n;
    const pm_tensor *factor[PM_MAX_FACTORS];
    bool inverse[PM_MAX_FACTORS]; /* 1 / factor */
    double scale;                 /* all constants */
} pm_product;
bool pm_fuse_product(const pm_fuse *f, const pm_tensor *t, pm_product *out); /* false: too many factors */
/* t = scale * x, x no constant; t itself with scale 1 otherwise. */
const pm_tensor *pm_fuse_scaled(const pm_fuse *f, const pm_tensor *t, double *out_scale);

/* The [n] behind x, which is [n] or a reshape of it to [..,1,n]; NULL when x is something else or its stride
 * is not 1. */
const pm_tensor *pm_fuse_row(const pm_tensor *x, int64_t n);
bool pm_fuse_swaps_last(const pm_tensor *t); /* a permute that swaps the two innermost dims and no others */

/* Whether x may still be read where the root stands: no later write to its state comes in between. */
bool pm_fuse_readable(const pm_fuse *f, const pm_tensor *x, const pm_tensor *root);

/* ---- heads (fuse_match.c) ---- */

/* A tensor as [B,G,R,rows,cols], where R queries share the keys of each of G heads. Dims are aligned at the innermost,
 * as broadcasting does it; beside scores of fewer than five dims, [B,H,T,S], R is 1. */
typedef struct pm_five {
    int64_t dims[PM_MAX_DIMS], strides[PM_MAX_DIMS];
} pm_five;

pm_five pm_fuse_five(const pm_tensor *x, int32_t scores_rank);
/* The new tensor x, seen as `own`, broadcast to `full` and with G and R as one: [B,G*R,rows,cols]. NULL: too large. */
pm_tensor *pm_fuse_four(pm_graph *g, pm_tensor *x, const pm_five *own, const int64_t *full);

/* ---- scores by distance (fuse_places.c) ---- */

/* q . k^T + rel_shift(q' . r^T, position): content is the first product. */
typedef struct pm_places {
    const pm_tensor *content, *q, *r, *position; /* position NULL: 0 */
} pm_places;
bool pm_fuse_read_places(const pm_fuse *f, const pm_tensor *scores, pm_places *out);
/* Makes the attention's operands q and places, and position where masks have not. False: the masks count from another
 * position, or there is a bias. */
bool pm_fuse_make_places(pm_fuse *f, const pm_tensor *softmax, const pm_places *p, pm_attrs *attrs,
                         pm_tensor **in);

/* ---- making the new tensor (fuse_match.c) ---- */

/* Whether the operation's shape rule takes these (new) inputs; fills *out_like with the dims it would have.
 */
bool pm_fuse_fits(pm_op op, int n_in, pm_tensor *const *in, const pm_attrs *attrs, pm_tensor *out_like);
/* The operation on old inputs in place of root, or NULL when they cannot be read there, when the shape rule
 * refuses them, or when the result would not have root's dims. */
pm_tensor *pm_fuse_op(pm_fuse *f, const pm_tensor *root, pm_op op, int n_in, const pm_tensor *const *in,
                      const pm_attrs *attrs);

/* ---- masks (fuse_mask.c, fuse_mask_make.c) ---- */

/* origin + q * (query row) + k * (key) + n_symbol * symbol: a tensor of integers as a function of its place
 * in the scores. */
typedef struct pm_affine {
    int64_t q, k, origin;
    const pm_tensor *symbol; /* a scalar or [B]; NULL: none */
    int64_t n_symbol;
} pm_affine;

/* Masks that vary over batch and keys alone, or over batch and queries. */
#define PM_MAX_LINE_MASKS 4
typedef struct pm_line_mask {
    const pm_tensor *mask; /* BOOL, or I32 where 0 is absent */
    int64_t dims[2];       /* [B,n], or 1 where it does not vary */
    bool negate;
} pm_line_mask;
typedef struct pm_line_masks {
    int n;
    pm_line_mask of[PM_MAX_LINE_MASKS];
} pm_line_masks;

/* A bias that depends on head and distance alone: table[row(distance), head], 0 for rows outside of the table. */
typedef struct pm_relative_bias {
    const pm_tensor *table; /* [N,H] or [N,1] */
    pm_affine row;
} pm_relative_bias;

typedef struct pm_mask_form {
    const pm_tensor *scores;                 /* the softmax [..., T, S] that the mask is for */
    bool has_causal, has_window, has_length; /* each means: key present where the affine form is below 0 */
    pm_affine causal, window, length;
    bool has_relative;
    pm_relative_bias relative;
    pm_line_masks keys, rows; /* all of them hold */
    pm_line_masks global;     /* keys to which causal and window do not apply, if one of these holds */
    int n_steps; /* tensors looked at: shared operands are looked at once a path, and graphs come from files */
} pm_mask_form;

/* Adds a predicate (BOOL, broadcasts to the scores) to the form. False: no mask that the kernels know. */
bool pm_fuse_read_mask(pm_mask_form *m, const pm_tensor *cond, bool negate);
/* Whether the bias is a gather at distances key - query, measured from where the masks that were read before have the
 * queries stand; it is kept in the form then. */
bool pm_fuse_read_relative(pm_mask_form *m, const pm_tensor *bias);
/* Makes the operands position, length, key_mask (new tensors, NULL where absent) and sets mask, window and origin. The bias
 * is made here only if it is relative. */
bool pm_fuse_make_mask(pm_fuse *f, const pm_mask_form *m, pm_attrs *attrs, pm_tensor **out_in);
/* Query row t stands at key position t + symbol + origin; causal tells, or else the window, or the bias itself. */
const pm_tensor *pm_fuse_mask_position(const pm_mask_form *m, int64_t *out_origin);
/* The key_mask of PM_MASK_GLOBAL: words[B,S] (I32), and behind them the largest of each block of PM_KEY_BLOCK. */
pm_tensor *pm_fuse_key_words(pm_graph *g, pm_tensor *words);

#endif
