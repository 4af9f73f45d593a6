/* The graph's inside: tensors, attributes, the operation table, and the passes over them.
 *
 * A pm_tensor is an operation and its one result. The tensors of a graph stand in `items` in a valid order of
 * execution. Inputs always stand earlier. A pass reads one graph and makes another; it never changes its argument.
 *
 * Storage: `base` is the tensor that owns the memory (itself, unless this is a view or an in-place state write);
 * element (i0, i1, ...) lies at base storage + offset + sum(ik * strides[k]), in elements. Tensors that are not views are
 * dense in some order of their dims (`strides` says which; the layout pass may permute them).
 */
#ifndef PM_IR_H
#define PM_IR_H

#include "graph/base.h"
#include "pumice/graph.h"

/* Most inputs of one operation. */
#define PM_MAX_IN 8
#define PM_MAX_ORIGIN                                                                                        \
    (1 << 30) /* of either sign: no distance to a position of 32 bits, taken modulo 2^32, is another */

typedef enum pm_op {
#define PM_OP(id, ...) PM_OP_##id,
#include "graph/ops.def"
#undef PM_OP
    PM_N_OPS
} pm_op;

/* Activations of epilogues, gates and the unary operation: one numbering for graph, C kernels and GLSL. */
#include "shaders/common.params.h"

typedef enum pm_kind {
    PM_KIND_TEMP,
    PM_KIND_INPUT,
    PM_KIND_WEIGHT,
    PM_KIND_STATE,
    PM_KIND_PARAM,
    PM_KIND_CONST
} pm_kind;

/* Attributes of every operation; zero is the default and is not printed. The table in graph/attrs.c names them. */
typedef struct pm_attrs {
    int64_t dims[PM_MAX_DIMS]; /* reshape, expand: target */
    int64_t start, length;     /* slice; length also: a window's, rel_shift's keys, top_k's k */
    int64_t step;              /* windows: from the start of one to that of the next */
    int64_t window; /* softmax, attention: keys allowed behind the query, with itself; 0 is no window */
    int64_t
        origin; /* softmax, attention: column of a relative bias that stands for distance 0; PM_MAX_ORIGIN */
    int32_t axes[PM_MAX_DIMS]; /* permute */
    int32_t rank;              /* reshape, expand, permute: entries used above */
    int32_t axis;              /* slice, windows, concat, sum, mean, reduce_max; never negative once built */
    int32_t act;               /* matmul, grouped_matmul, glu: PM_ACT_* */
    uint32_t mask;             /* softmax, attention: PM_MASK_* bits */
    float eps;                 /* layer_norm, rms_norm */
    float scale;               /* matmul: alpha; softmax, attention: score scale. 0 means 1 */
    float softcap;             /* softmax, attention: 0 is none */
    float limit;               /* glu: act(min(a, limit)) * (clamp(b, -limit, limit) + 1); 0 is act(a) * b */
} pm_attrs;

struct pm_tensor {
    pm_op op;
    pm_dtype dtype;
    pm_kind kind;
    int32_t rank;
    int32_t n_in;
    uint32_t id; /* index in graph->items */
    int64_t dims[PM_MAX_DIMS];
    int64_t strides[PM_MAX_DIMS]; /* elements */
    int64_t offset;               /* elements, from the start of base's storage */
    pm_tensor *base;
    pm_tensor *in[PM_MAX_IN]; /* an absent optional input is NULL */
    uint32_t version; /* id of the tensor whose result this one shows: itself, or what a view looks at */
    uint32_t newest;  /* state only: id of the state or of the last write to it */
    pm_attrs attrs;
    const char *name; /* leaves: the checkpoint's or caller's name; others: NULL or a label for people */
    const void *data; /* const only: dense, owned by the graph */
};

typedef struct pm_graph_output {
    const char *name;
    pm_tensor *tensor;
} pm_graph_output;

struct pm_graph {
    const char *name;
    pm_tensor **items;
    size_t n_items, items_capacity;
    pm_graph_output *outputs;
    size_t n_outputs, outputs_capacity;
    const char *label; /* copied to new tensors: the builder's place, as "layers.3.attn" */
    pm_tensor **named; /* leaves by name: open addressing, a power of two of slots or none */
    size_t n_named, n_slots;
    pm_status status;
    pm_arena arena;
};

/* Positions of the optional inputs that softmax and attention share, after their own (1 and 3). */
enum {
    PM_SOFTMAX_X = 0,
    PM_SOFTMAX_POSITION = 1,
    PM_SOFTMAX_LENGTH = 2,
    PM_SOFTMAX_KEY_MASK = 3,
    PM_SOFTMAX_BIAS = 4,
    PM_ATTN_Q = 0,
    PM_ATTN_K = 1,
    PM_ATTN_V = 2,
    PM_ATTN_POSITION =
        3, /* I32 rank 0 or [B]: position of query row 0 among the keys (PM_MASK_CAUSAL, PM_MASK_WINDOW) */
    PM_ATTN_LENGTH =
        4, /* I32 [B] or rank 0: keys at or past it are absent (PM_MASK_LENGTH); [B,T] (and PM_MASK_ROWS) */
    PM_ATTN_KEY_MASK = 5, /* I32 or BOOL [B,S]: keys with 0 are absent (PM_MASK_KEYS); I32 [B,S + ceil(S /
                             PM_KEY_BLOCK)]: and keys with 2 are seen by all queries (and PM_MASK_GLOBAL) */
    PM_ATTN_BIAS =
        6, /* F32, broadcasts to [B,H,T,S]: added to the scaled scores (PM_MASK_BIAS); or a table by
                         distance, [H,N] or [1,N], H being the dim before T (PM_MASK_RELATIVE); or, [..,T,1], a score
                         without a key (PM_MASK_SINK) */
    PM_ATTN_PLACES =
        7, /* F32 [H,N,D] with stride 1 over D: a term by distance (attention.params.h); no bias */
    PM_MATMUL_A = 0,
    PM_MATMUL_B = 1,
    PM_MATMUL_BIAS = 2,
    PM_MATMUL_RESIDUAL = 3,
    PM_GROUPED_X = 0,    /* F32 [..,K], one row for all J choices of a token, or [..,J,K] */
    PM_GROUPED_W = 1,    /* F32 [E,N,K] */
    PM_GROUPED_IDS = 2,  /* I32 [..,J] */
    PM_GROUPED_BIAS = 3, /* F32 [E,N] */
};

/* ---- the operation table ---- */

enum {
    PM_OPF_LEAF = 1, /* no inputs, no kernel */
    PM_OPF_VIEW = 2, /* shares its input's storage */
    PM_OPF_ELEMENTWISE =
        4, /* out[i] depends on in[i] alone: may run in place when dims, strides and types agree */
    PM_OPF_COMMUTES = 8,
    PM_OPF_STATE = 16, /* writes its first input in place; never merged or dropped */
    PM_OPF_FUSED = 32, /* made by the fuse pass, not by builders */
    PM_OPF_LIST = 64,  /* inputs are a list: none of them is optional */
};

struct pm_dispatch;
struct pm_lowering;
typedef struct pm_op_info {
    const char *name;
    int32_t min_in, max_in;
    uint32_t flags;
    uint32_t fn;                      /* PM_FN_*: which function of a shared kernel */
    pm_status (*infer)(pm_tensor *t); /* checks inputs and attributes, sets dtype, rank, dims */
    /* Fills kernel, bindings (through pm_lower_bind), params, spec[8..] and work of dispatch `part` of t: 0, except
     * concat (one part an input), products, gathers and grouped products (rows of b, of the table, of the experts;
     * lower.c). NULL: nothing runs. */
    pm_status (*lower)(struct pm_lowering *l, const pm_tensor *t, uint32_t part, struct pm_dispatch *out);
    uint64_t (*cost)(const pm_tensor *t); /* multiply-adds, or elements moved */
} pm_op_info;

const pm_op_info *pm_op_get(pm_op op);
bool pm_op_by_name(const char *name, pm_op *out_op);

/* ---- building (graph.c) ---- */

/* Adds one operation: infers, sets default strides (views: from the input). The one way that tensors come to be.
 * `attrs` may be NULL. Returns NULL and sets g->status on an error. */
pm_tensor *pm_add_op(pm_graph *g, pm_op op, int n_in, pm_tensor *const *in, const pm_attrs *attrs);
/* Adds a leaf: input, weight, state, param, const, iota. */
pm_tensor *pm_add_leaf(pm_graph *g, pm_op op, const char *name, pm_dtype type, int rank, const int64_t *dims,
                       const void *data);

/* Another order for the elements of a tensor that owns its storage (no leaf, view or state). Set it before the tensor is
 * used: views take their strides from it. PM_ERR_USAGE when the strides are not a dense order of its dims, or one that
 * the operation's kernel cannot write. */
pm_status pm_tensor_set_strides(pm_tensor *t, const int64_t *strides) PM_MUST_USE;
/* Dense, and in memory of the arena or of a state that nothing writes behind it: pm_output copies all others. */
bool pm_can_be_output(const pm_tensor *t);

int64_t pm_elems(const pm_tensor *t);
uint64_t pm_storage_bytes(const pm_tensor *base); /* of a tensor that owns its storage */
uint64_t pm_extent_bytes(const pm_tensor *t);     /* from its first element to its last */
bool pm_is_dense(const pm_tensor *t);             /* row-major, no gaps (dims of length 1 do not matter) */
bool pm_same_dims(const pm_tensor *a, const pm_tensor *b);
bool pm_is_const_scalar(const pm_tensor *t, float *out_value); /* rank 0 or one element, through views */

/* ---- text of attributes (attrs.c) ---- */
void pm_attrs_print(pm_text *t, const pm_attrs *a);                     /* " {eps=1e-05, act=gelu}" or "" */
pm_status pm_attrs_parse(const char **cursor, pm_attrs *a) PM_MUST_USE; /* reads what was printed */
bool pm_attrs_equal(const pm_attrs *a, const pm_attrs *b);              /* bit for bit */

/* ---- passes: each makes a new graph ---- */
pm_status pm_graph_verify(const pm_graph *g) PM_MUST_USE;              /* verify_graph.c */
pm_status pm_pass_fold(const pm_graph *g, pm_graph **out) PM_MUST_USE; /* fold.c: constants, x*1, x+0 */
pm_status pm_pass_cse(const pm_graph *g, pm_graph **out) PM_MUST_USE;  /* cse.c */
pm_status pm_pass_dce(const pm_graph *g, pm_graph **out) PM_MUST_USE;  /* dce.c */
pm_status pm_pass_fuse(const pm_graph *g, pm_graph **out) PM_MUST_USE; /* fuse.c and fuse_*.c */
pm_status pm_pass_layout(const pm_graph *g,
                         pm_graph **out) PM_MUST_USE; /* layout.c: copies that strides serve */
pm_status pm_pass_schedule(const pm_graph *g, pm_graph **out) PM_MUST_USE; /* schedule.c: few bytes live */
pm_status pm_optimize(const pm_graph *g, pm_graph **out) PM_MUST_USE; /* passes.c: all, in order, verified */
pm_status pm_simplify(const pm_graph *g,
                      pm_graph **out) PM_MUST_USE; /* passes.c: fold, cse, dce: primitives stay */

/* ---- pictures (dump_*.c) ---- */
pm_status pm_graph_print_json(const pm_graph *g, char **out_text) PM_MUST_USE;
/* node_ns: the time of each tensor's operation in nanoseconds, by id, or NULL. */
pm_status pm_graph_print_dot(const pm_graph *g, const uint64_t *node_ns, char **out_text) PM_MUST_USE;
pm_status pm_graph_print_svg(const pm_graph *g, const uint64_t *node_ns, char **out_text) PM_MUST_USE;

#endif
