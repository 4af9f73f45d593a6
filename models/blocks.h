/* The blocks that every architecture is built from, as their papers write them, in primitive operations. The
 * compiler finds the fast kernels behind them (graph/fuse_*.c), so the forms here are the ones that it knows.
 */
#ifndef PM_BLOCKS_H
#define PM_BLOCKS_H

#include "models/build.h"

/* A linear layer from K to N features. */
typedef struct pm_linear_shape {
    int64_t k, n;
    bool conv1d;
} pm_linear_shape;
pm_tensor *pm_block_linear(pm_build *b, pm_tensor *x, const pm_pair *names, const pm_linear_shape *shape);
/* n layers of one x as one product: layer i has rows[i] rows, the result [..,sum of rows]. */
enum { PM_MAX_JOINT = 3 };
pm_tensor *pm_block_linear_joint(pm_build *b, pm_tensor *x, const pm_pair *pairs, const int64_t *rows, int n);
/* Rows start .. start+count-1 of a layer [shape->n, shape->k]. */
pm_tensor *pm_block_linear_rows(pm_build *b, pm_tensor *x, const pm_pair *names, const pm_linear_shape *shape,
                                int64_t start, int64_t count);

typedef struct pm_norm {
    pm_norm_kind kind;
    float eps;
    bool plus_one; /* the weight is kept less 1 */
} pm_norm;
pm_tensor *pm_block_norm(pm_build *b, pm_tensor *x, const pm_norm *norm, const pm_pair *names);
pm_tensor *pm_block_softcap(pm_build *b, pm_tensor *x, float cap); /* cap * tanh(x / cap); cap 0: x */
pm_tensor *pm_block_activation(pm_build *b, pm_tensor *x, pm_activation kind);
/* ids [B,T] (types: NULL or [B,T]) to [B,T,C]; positions count from b->position. */
pm_tensor *pm_block_embed(pm_build *b, const pm_embedding *e, int64_t width, pm_tensor *ids,
                          pm_tensor *types);
/* How many entries of is[B,T] (BOOL) hold up to and with each: I32 [B,T]. T x T is never stored. */
pm_tensor *pm_block_count(pm_build *b, pm_tensor *is);
/* Pictures [B,channels,height,width] to tokens [B,N,C] (patches.c). */
pm_tensor *pm_block_patches(pm_build *b, const pm_patches *p, const pm_stack *st, pm_tensor *pixels);
/* Token i of x[B,T,C]: [B,C]. */
pm_tensor *pm_block_token(pm_build *b, pm_tensor *x, int64_t i);
/* Rotary embedding of x[B,H,T,D] at b->position. name: what its tables' names begin with. */
pm_tensor *pm_block_rotary(pm_build *b, pm_tensor *x, const pm_rope *rope, const char *name);
/* The bias of ALiBi for scores of n_heads heads and s keys: [n_heads,1,s]. */
pm_tensor *pm_block_alibi(pm_build *b, int64_t n_heads, int64_t s);

/* The bias for scores of T queries, the first of which stands at b->position, and S keys: [H,T,S], or [B,H,T,S] where each of B has
 * a position of its own. causal: keys behind
 * their query are all that counts. */
typedef struct pm_relative_shape {
    int64_t n_heads, t, s;
    bool causal;
} pm_relative_shape;
pm_tensor *pm_block_relative_bias(pm_build *b, const pm_relative *r, const pm_relative_shape *shape);
/* The buckets of n distances from `first` on. */
void pm_relative_buckets(const pm_relative *r, bool causal, int64_t first, int64_t n, int32_t *out);

/* Which keys a query sees; all of what is set must hold. */
typedef struct pm_mask {
    bool causal;         /* keys up to the query's position */
    pm_tensor *position; /* of query row 0, rank 0 or [B]; NULL: 0 */
    pm_tensor *keys;     /* I32 [B,S], 0: absent; or NULL */
    pm_tensor *length;   /* I32, rank 0 or [B]: keys at or past it are absent; or NULL */
    int64_t window;      /* causal: keys from position - window + 1 on; 0: all */
    bool near;           /* not causal: keys at most `reach` from the query on either side */
    int64_t reach;
    pm_tensor *globals; /* BOOL [B,S] or [1,S]: keys that are seen from any distance; or NULL */
    pm_tensor *rows;    /* BOOL [B,T] or [1,T]: queries that see any key; or NULL: all */
    float scale;        /* of the scores before they are masked */
    float softcap;      /* then cap * tanh(score / cap); 0: none */
    pm_tensor *bias;    /* then added: [H,T,S], [H,1,S] or [B,H,T,S]; or NULL */
    pm_tensor *by_place,
        *places;      /* q'[B,H,T,D], r[1,H,N,D]: q'.r[distance of the key] is added to q.k (Dai et al. 2019),
                                   * distances from N-1 on counting as N-1; or NULL */
    pm_tensor *sinks; /* [H]: one more score of each head, whose share of the weights is lost; or NULL */
    const char *map;  /* output that the weights are named as; and its layer */
    int64_t layer;
    pm_tensor **weights; /* where they go, with the dims of the scores; or NULL */
} pm_mask;
/* q[B,H,T,D], k[B,G,S,D], v[B,G,S,D] to [B,T,H*D]. */
pm_tensor *pm_block_attention(pm_build *b, pm_tensor *q, pm_tensor *k, pm_tensor *v, const pm_mask *mask);

/* x of rank 0, or [B], so that it broadcasts with `rank` dims of which the first is the batch. */
pm_tensor *pm_block_by_batch(pm_build *b, pm_tensor *x, int rank);
/* Where the T new tokens stand behind b->position: [T], or [B,T]. */
pm_tensor *pm_block_places(pm_build *b, int64_t t);
/* Splits [B,T,n*D] into heads [B,n,T,D]. */
pm_tensor *pm_block_heads(pm_build *b, pm_tensor *x, int64_t n);

/* STEP of one sequence, or of rows: outputs "next", the likeliest id of each of logits[B,1,V], and "next_logit", that id's logit. */
void pm_block_next(pm_build *b, pm_tensor *logits);

/* Row "last_row" (a param, or an input [B]) of each sequence of x[B,T,C]: [B,1,C]. With T 1 that is x. */
pm_tensor *pm_block_last_row(pm_build *b, pm_tensor *x);

/* Tables that the host computes. */
void pm_fill_bicubic(const pm_table *table, float *out); /* [new,old]: how a line of points is resized */
void pm_fill_bicubic_smooth(const pm_table *table, float *out); /* the same with antialiasing */
void pm_fill_rope_cos(const pm_table *table, float *out);
void pm_fill_rope_sin(const pm_table *table, float *out);
void pm_fill_sinusoids(const pm_table *table, float *out); /* sin on even, cos on odd columns */
void pm_fill_sinusoid_halves(const pm_table *table,
                             float *out); /* sin in the first half, cos in the second */
void pm_fill_sinusoid_fairseq(const pm_table *table, float *out); /* the same, with fairseq's frequencies */
void pm_fill_alibi(const pm_table *table, float *out);            /* [keys, heads] */

#endif
