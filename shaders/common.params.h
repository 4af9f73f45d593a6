/* Numbers that C and GLSL share. Both include this file: only #define, and structs whose members are uint, int, float
 * (`pm_uint` in the structs) or flat arrays of them (in C also PM_MASK_PARAMS). Strides, sizes and offsets are in elements. */
#ifndef PM_COMMON_PARAMS_H
#define PM_COMMON_PARAMS_H

#ifdef GL_core_profile
#define pm_uint         uint
#define pm_int          int
#define PM_PARAMS(name) struct name
#else
#include <stdint.h>
#define pm_uint uint32_t
#define pm_int  int32_t
#define PM_PARAMS(name)                                                                                      \
    typedef struct name name;                                                                                \
    struct name
#endif

/* What softmax and attention have for their masks; in C also as one struct, `masks`, which the lowering fills. */
#define PM_MASK_FIELDS                                                                                       \
    pm_uint position_offset, length_offset, key_mask_offset, bias_offset;                                    \
    pm_uint position_stride; /* over b; 0 for one position */                                                \
    pm_uint length_stride;   /* over b; 0 for one length; over t it is 1 (PM_MASK_ROWS) */                   \
    pm_uint key_mask_stride; /* over b; over s it is 1 */                                                    \
    float scale, softcap;
#ifdef GL_core_profile
#define PM_MASK_PARAMS PM_MASK_FIELDS
#else
typedef struct pm_mask_params {
    PM_MASK_FIELDS
} pm_mask_params;
#define PM_MASK_PARAMS                                                                                       \
    union {                                                                                                  \
        struct {                                                                                             \
            PM_MASK_FIELDS                                                                                   \
        };                                                                                                   \
        pm_mask_params masks;                                                                                \
    };
#endif

/* Kernels see every tensor with PM_DIMS dims, innermost last, padded in front with 1. */
#define PM_DIMS 5

/* Specialization constants: 0..7 belong to the shader variant (sizes, tiles; 0, 1, 2 are the workgroup's size) and are
 * written by the selection table; 8..15 belong to the operation (PM_SPEC_*) and are written by its lowering. */
#define PM_N_SPEC       16
#define PM_SPEC_LOCAL_X 0
#define PM_SPEC_OP      8

/* Functions of the unary kernel. */
#define PM_FN_COPY        0
#define PM_FN_NEG         1
#define PM_FN_ABS         2
#define PM_FN_EXP         3
#define PM_FN_LOG         4
#define PM_FN_SQRT        5
#define PM_FN_RSQRT       6
#define PM_FN_TANH        7
#define PM_FN_ERF         8
#define PM_FN_SIGMOID     9
#define PM_FN_RELU        10
#define PM_FN_GELU        11 /* x * 0.5 * (1 + erf(x / sqrt(2))) */
#define PM_FN_GELU_TANH   12 /* 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
#define PM_FN_SILU        13 /* x * sigmoid(x) */
#define PM_FN_QUICK_GELU  14 /* x * sigmoid(1.702 x) */
#define PM_FN_NOT         15
#define PM_FN_F32_TO_I32  16 /* truncates */
#define PM_FN_I32_TO_F32  17
#define PM_FN_I32_TO_BOOL 18 /* x != 0 */
#define PM_N_UNARY_FN     19

/* Functions of the binary kernel; the _I32 ones read integers. Comparisons and PM_FN_AND, PM_FN_OR write 0 or 1. */
#define PM_FN_ADD            0
#define PM_FN_SUB            1
#define PM_FN_MUL            2
#define PM_FN_DIV            3
#define PM_FN_MAX            4
#define PM_FN_MIN            5
#define PM_FN_LT             6
#define PM_FN_LE             7
#define PM_FN_GT             8
#define PM_FN_GE             9
#define PM_FN_EQ             10
#define PM_FN_NE             11
#define PM_FN_AND            12
#define PM_FN_OR             13
#define PM_FN_GLU_SILU       14 /* silu(a) * b */
#define PM_FN_GLU_GELU       15 /* gelu(a) * b */
#define PM_FN_GLU_GELU_TANH  16 /* gelu_tanh(a) * b */
#define PM_FN_GLU_RELU       17
#define PM_FN_GLU_SIGMOID    18
#define PM_FN_GLU_QUICK_GELU 19
#define PM_N_BINARY_FN       20
#define PM_FN_I32                                                                                            \
    64 /* added to ADD..NE: both operands and the result (or the comparison's operands) are integers */

/* Functions of the reduce kernel. */
#define PM_FN_SUM        0
#define PM_FN_MEAN       1
#define PM_FN_REDUCE_MAX 2

/* Activations of matmul epilogues and gates. */
#define PM_ACT_NONE       0
#define PM_ACT_RELU       1
#define PM_ACT_GELU       2
#define PM_ACT_GELU_TANH  3
#define PM_ACT_SILU       4
#define PM_ACT_TANH       5
#define PM_ACT_SIGMOID    6
#define PM_ACT_QUICK_GELU 7
#define PM_N_ACT          8

#define PM_SPEC_MASK   8 /* of softmax and attention: PM_MASK_* */
#define PM_SPEC_WINDOW 9

/* Which keys a query sees; softmax and attention. Query row t of batch b stands at key position t + position[b]. */
#define PM_MASK_CAUSAL   1  /* key s is present when s <= t + position */
#define PM_MASK_WINDOW   2  /* and s > t + position - window */
#define PM_MASK_LENGTH   4  /* and s < length[b] */
#define PM_MASK_KEYS     8  /* and key_mask[b, s] != 0 */
#define PM_MASK_BIAS     16 /* bias[b, h, t, s] is added to scale * score */
#define PM_MASK_POSITION 32 /* a position operand is bound; without it position is 0 */
#define PM_MASK_RELATIVE                                                                                     \
    64 /* with PM_MASK_BIAS: the bias is a table by distance, bias[h, s - (t + position) + origin], and 0 */
       /* where that lies outside of the table */
#define PM_MASK_SINK                                                                                         \
    128 /* bias[b, h, t] is no bias but a score that takes its share beside those of the keys, and has no value */
#define PM_MASK_GLOBAL                                                                                       \
    256 /* with KEYS: key_mask[b, s] is 0 absent, 1 present, 2 present however far from the query */
#define PM_MASK_ROWS 512 /* with LENGTH: a length for each query row, length[b, t]; 0 masks the row */

/* With PM_MASK_GLOBAL, behind the words of the S keys there is a word for each block of so many keys: the largest of
 * theirs. So kernels find the few keys that all queries see without a look at each. */
#define PM_KEY_BLOCK 32

/* Words of a loop: what a decode loop on a device keeps of a sequence from step to step. The host writes all of them before
 * the first. Those of several sequences lie side by side, [PM_LOOP_WORDS, B]. */
#define PM_LOOP_POSITION 0 /* rows of the cache that are filled */
#define PM_LOOP_ID       1 /* that the next step feeds */
#define PM_LOOP_HALT     2 /* not 0: steps change no word of the loop any more; why, PM_HALT_* */
#define PM_LOOP_COUNT    3 /* ids chosen since the host wrote it */
#define PM_LOOP_N_ENDS   4
#define PM_LOOP_ENDS     5 /* ids that end the text */
#define PM_LOOP_MAX_ENDS 16
#define PM_LOOP_IDS      21 /* a ring of the newest ids: number i at i % PM_LOOP_RING */
#define PM_LOOP_RING     64
#define PM_LOOP_WORDS    85

#define PM_HALT_END   1 /* the newest id is one of the ends */
#define PM_HALT_STUCK 2 /* the likeliest logit is no finite number: nothing was chosen */

#define PM_MASKED_F32 (-1.0e30) /* scores at or below it are absent: PM_MASKED of graph.h */

#endif
