/* What the reference kernels share: rounding units, strided indices, errors of functions, masks. Only reference_*.c and the
 * fast kernels that fall back on the same scalar functions include this. */
#ifndef PM_REFERENCE_H
#define PM_REFERENCE_H

#include <float.h>
#include <math.h>

#include "runtime/cpu/cpu_kernel.h"

/* Unit roundoff of fp32, and the smallest normal number: a device may flush what is smaller to zero, operands as well as
 * results. A bound allows the result of flushed operands, too. */
#define PM_U    5.9604644775390625e-08
#define PM_TINY 1.1754943508222875e-38
#define PM_ULP  (2 * PM_U) /* one unit in the last place is at most this, relative */
/* The bound of a result that Vulkan leaves open, as that of a division by a number that may be flushed to 0. */
#define PM_ANY ((double)FLT_MAX)

/* A sum of n terms may be off by PM_DOT * u * (sum of magnitudes), however large n is. */
#define PM_DOT 4.0
/* A dot product of n terms by pm_dot_factor(n) * u * (sum of magnitudes). A chain of m equal terms may lose m u / 4. The kernels
 * of products have no registers for more than two chains: about sqrt(n) parts of about sqrt(n) terms, or 64 chains of n / 64. */
static inline double pm_dot_factor(uint64_t n) {
    return fmax(PM_DOT, fmax(0.5 * sqrt((double)n), (double)n / 256));
}

static inline bool pm_is_tiny(double x) {
    return fabs(x) < PM_TINY;
}
static inline double pm_flush(double x) {
    return pm_is_tiny(x) ? copysign(0, x) : x;
}

/* Offset of element `index` (counted row-major over dims) of a strided operand. */
static inline uint64_t pm_strided(uint64_t index, const uint32_t *dims, const uint32_t *strides, int n) {
    uint64_t offset = 0;
    for (int i = n - 1; i >= 0; i--) {
        offset += index % dims[i] * strides[i];
        index /= dims[i];
    }
    return offset;
}

/* A function's value and the largest error that a device may make in it, the argument being exact. */
typedef struct pm_valued {
    double y, error;
} pm_valued;
/* `exact` where a device that flushes operands may also give the value `flushed`. */
pm_valued pm_or_flushed(pm_valued exact, pm_valued flushed);
pm_valued pm_unary_value(uint32_t fn, double x); /* PM_FN_NEG .. PM_FN_QUICK_GELU */
pm_valued pm_act_value(uint32_t act, double x);  /* PM_ACT_* */
double pm_act_slope(uint32_t act); /* the largest slope anywhere: how much an argument's error can grow */

/* z = softcap(scale * score) + bias, with its error, given the error of the score. */
pm_valued pm_score_value(double score, double score_error, float scale, float softcap, double bias);
/* The relative error of exp(z - max) / sum that comes with an argument d = z - max and the errors of z and max. */
double pm_exp_relative(double d, double z_error, double max_error);

/* The biases of a query row: of its keys, or a table by distance, of which key s takes entry s + zero. */
typedef struct pm_bias_row {
    const float *at;         /* NULL: there is none */
    int64_t stride, zero, n; /* n: entries of the table; 0: a bias a key */
} pm_bias_row;
static inline float pm_bias_of(const pm_bias_row *b, int64_t s) {
    if (!b->at) return 0;
    if (!b->n) return b->at[s * b->stride];
    int64_t i = s + b->zero;
    return i >= 0 && i < b->n ? b->at[i] : 0;
}

/* A sink's score, or minus infinity where there is none. */
static inline float pm_sink_of(const float *at) {
    return at && *at > (float)PM_MASKED_F32 ? *at : -INFINITY;
}

/* What masks leave of the keys of a query row: those of near_first .. near_end-1 that have a word, and with PM_MASK_GLOBAL
 * those before the limit whose word is more than 1. All lie in first .. end-1. */
typedef struct pm_keys {
    int64_t at; /* where the row stands among the keys */
    int64_t near_first, near_end, first, end;
    const int32_t *words;  /* of keys; NULL without a key mask */
    const int32_t *blocks; /* their largest words, of PM_KEY_BLOCK keys each; NULL without PM_MASK_GLOBAL */
} pm_keys;
/* Of query row t of batch b among n_keys. The operands stand at c->in[first_in]: position, length, key_mask. */
pm_keys pm_keys_of_row(const pm_call *c, const pm_mask_params *p, int first_in, const uint64_t bt[2],
                       int64_t n_keys);
static inline bool pm_key_seen(const pm_keys *k, int64_t s) {
    if (s >= k->near_first && s < k->near_end) return !k->words || k->words[s] != 0;
    return k->blocks && s >= k->first && s < k->end && k->words[s] > 1;
}

/* Where element n of row m of a product goes: to y, or to the sequences of a cache that its row is for. */
typedef struct pm_product_place {
    const pm_call *call;
    uint32_t binding;    /* of the cache; 0: y */
    uint64_t in_head, m; /* of a cache: which element of slot 0 of the first sequence; the row */
} pm_product_place;
pm_product_place pm_place_product(const pm_call *c, uint64_t m, uint64_t n);
/* The index in the cache of sequence i of its repeats; false: it has no such row. */
bool pm_place_in_cache(const pm_product_place *p, uint32_t i, uint64_t *out_at);

/* The kernels: rows of the table in reference.c. */
#define PM_REFERENCE(name)                                                                                   \
    uint64_t pm_reference_##name##_items(const pm_call *c);                                                  \
    void pm_reference_##name(const pm_call *c, uint64_t first, uint64_t last);
PM_REFERENCE(unary)
PM_REFERENCE(binary)
PM_REFERENCE(where)
PM_REFERENCE(reduce)
PM_REFERENCE(argmax)
PM_REFERENCE(top_k)
PM_REFERENCE(sample)
PM_REFERENCE(softmax)
PM_REFERENCE(log_softmax)
PM_REFERENCE(layer_norm)
PM_REFERENCE(rms_norm)
PM_REFERENCE(matmul)
PM_REFERENCE(grouped_matmul)
PM_REFERENCE(attention)
PM_REFERENCE(gather)
PM_REFERENCE(cache_write)
PM_REFERENCE(advance)
PM_REFERENCE(rotary)
PM_REFERENCE(rel_shift)
#undef PM_REFERENCE

#endif
