/* What a Transformer is made of, as data: an architecture file fills a pm_spec from config.json, the block
 * builder reads it. A model like an existing one is another way of filling it. Names are those of the
 * checkpoint. Legend: B batch, T new tokens, S cached tokens, H heads, G kv heads, D head size, C width, F
 * hidden width, V vocabulary. */
#ifndef PM_SPEC_H
#define PM_SPEC_H

#include "graph/base.h"

/* A weight and its bias by name; NULL where there is none. */
typedef struct pm_pair {
    const char *weight, *bias;
} pm_pair;

typedef enum pm_norm_kind { PM_NORM_LAYER, PM_NORM_RMS } pm_norm_kind;
typedef enum pm_activation {
    PM_ACTIVATION_RELU,
    PM_ACTIVATION_GELU,
    PM_ACTIVATION_GELU_TANH,
    PM_ACTIVATION_SILU,
    PM_ACTIVATION_QUICK_GELU,
    PM_ACTIVATION_TANH
} pm_activation;
/* config.json's names of activations ("gelu_new"), for pm_config_choose; pm_activation_of gives the kind of
 * one. */
extern const char *const pm_activation_names[];
extern const size_t pm_n_activation_names;
pm_activation pm_activation_of(int choice);

/* The rows of a matrix that holds q, k and v: all of q, then k, then v; or by kv head: the queries that share it, its
 * key, its value (GPT-NeoX, Bloom, Falcon). */
typedef enum pm_qkv_order { PM_QKV_PARTS, PM_QKV_GROUPS } pm_qkv_order;

/* One attention's tensors, named within a layer. Projections are separate, or rows of one matrix. */
typedef struct pm_attention_names {
    pm_pair q, k, v, qkv, o;
    pm_pair q_norm, k_norm; /* of each head, or of all heads together (norm_whole); before rotary */
    const char
        *sinks; /* [H]: a score of each head that no key has, whose share is lost (gpt-oss); NULL: none */
} pm_attention_names;

/* Relative positions (T5: Raffel et al. 2019): scores + a bias for each head and each bucket of distances key - query. */
typedef struct pm_relative {
    const char *weight; /* [buckets,H], a whole name; NULL: none */
    const char *own;    /* instead of it, the name within a layer: each layer has its own */
    int64_t buckets, max_distance;
} pm_relative;

/* A mixture of experts (Shazeer et al. 2017) in place of a layer's feed-forward: a router chooses some of n gated
 * feed-forwards for each token, whose results are added by its weights. Tensors are named within a layer. */
typedef struct pm_experts {
    int64_t n, chosen, ffn; /* n 0: there are none; ffn: hidden width of each */
    const bool *in_layer;   /* NULL: all; the others have the stack's feed-forward */
    pm_pair router;
    bool weights_of_all; /* softmax over all experts; else over the chosen ones */
    const char *each;    /* "experts.": its tensors are each, number, ".", name; NULL: one has those of all */
    pm_pair gate, up, down; /* of each: [F,C], [F,C], [C,F] */
    pm_pair gate_up,
        all_down; /* of all: [E,C,2F], a column of the gate and one of up by turns, and [E,F,C] */
    float limit;  /* act(min(gate, limit)) * (clamp(up) + 1), as gpt-oss has it; 0: act(gate) * up */
} pm_experts;

#define PM_REACH_ALL (-1) /* 0 is a reach, too: a query that sees itself alone */

/* A stack of equal layers. */
typedef struct pm_stack {
    const char *prefix;          /* "model.layers.": a tensor is prefix, number, ".", name */
    const char *const *prefixes; /* or, by layer, all that stands before the name; layers may share it */
    const char *label;           /* for people: "encoder", "layers" */
    int64_t n_layers, width, n_heads, n_kv_heads, head_dim, ffn;
    pm_norm_kind norm;
    float eps;
    bool norm_first;    /* x + after(f(norm(x))), each norm where it has a name; else norm(x + f(x)) */
    bool first_bare;    /* layer 0 has no norm in front of its attention (ModernBERT) */
    bool norm_plus_one; /* weights are kept less 1 (Gemma) */
    bool qk_norm_whole;
    bool parallel; /* x + attention(norm(x)) + ffn(ffn_norm(x)); without a name ffn_norm is the same norm */
    pm_qkv_order qkv_order;
    bool causal;
    bool conv1d; /* linear weights are [K,N], as GPT-2 keeps them */
    bool rotary;
    bool alibi; /* Press et al. 2021: scores + slope of the head * key position */
    pm_relative relative;
    int64_t window;         /* keys that a query sees in layers with a window; 0: none has one */
    const bool *has_window; /* by layer; NULL: all */
    const int64_t
        *reach; /* not causal, by layer: keys seen on either side of the query, or PM_REACH_ALL; NULL: all */
    bool window_rope;     /* layers with a window turn by spec.rope[1] */
    float score_scale;    /* 0: 1 / sqrt(D) */
    float softcap;        /* cap * tanh(score / cap), before the mask; 0: none */
    bool raw_scores;      /* attention scores are q.k; else q.k / sqrt(D) */
    bool scores_by_layer; /* and divided by the layer's number, counted from 1 */
    pm_activation act;
    pm_attention_names self, cross; /* cross.o.weight NULL: no attention to an encoder */
    pm_attention_names global;      /* q, k, v of global tokens (Longformer); q.weight NULL: there are none */
    int64_t
        longest_reach; /* of all layers; outputs of global attention are padded to a multiple of it twice */
    pm_pair self_norm, cross_norm, ffn_norm;
    pm_pair self_after, ffn_after; /* of a sublayer's result, before it is added */
    pm_pair gate, up, down;        /* down(act(up(x))), or down(act(gate(x)) * up(x)) */
    pm_pair gate_up;               /* both as rows of one matrix: gate, then up */
    pm_experts experts;
    const char *self_scale, *ffn_scale;            /* [C], times a sublayer's result; NULL: none */
    pm_pair final_norm;                            /* whole names */
    bool hidden_raw;                               /* the last of hidden_out is from before final_norm */
    const char *hidden_out, *self_out, *cross_out; /* names of outputs: "hidden_states", "attentions" */
} pm_stack;

struct pm_table;

typedef struct pm_embedding {
    const char *tokens; /* [V,C] */
    int64_t vocab;
    float scale;           /* tokens times it; 0: 1 */
    const char *positions; /* [P,C], learned; or the name of a table that `fill` computes; NULL: none */
    void (*fill)(const struct pm_table *table, float *out);
    int64_t skipped; /* rows of the table before that of position 0 */
    bool has_blank;  /* an id, `blank`, whose position adds nothing */
    bool counted; /* positions count the ids that are not `blank`, which stands before position 0 (RoBERTa) */
    int32_t blank;
    const char *types; /* [n_types,C]; NULL: none */
    int64_t n_types;
    pm_pair norm;
    int64_t width;   /* columns of the tables; 0: C */
    pm_pair project; /* [C,width], after the norm; NULL: none */
} pm_embedding;

/* Rotary positions (RoFormer, 2021); scaled as Llama 3 has it, or by YaRN (Peng et al. 2023). */
typedef enum pm_rope_kind {
    PM_ROPE_DEFAULT,
    PM_ROPE_LINEAR,
    PM_ROPE_LLAMA3,
    PM_ROPE_YARN,
    PM_ROPE_DYNAMIC
} pm_rope_kind;
typedef struct pm_rope {
    int kind;
    float theta, factor, low_freq_factor, high_freq_factor, beta_fast, beta_slow;
    float attention_factor; /* cos and sin times it; 0: as YaRN says */
    float partial;          /* the first dims of a head, this share of them, are turned */
    bool truncate;
    int64_t original_positions;
} pm_rope;

/* Models with global tokens, which see all and are seen by all: which they are where the caller names none. */
typedef enum pm_global {
    PM_GLOBAL_OFF, /* no such model */
    PM_GLOBAL_NONE,
    PM_GLOBAL_FIRST,
    PM_GLOBAL_QUESTION /* all before the first separator */
} pm_global;

/* An input of numbers, not ids: pictures, sound. A batch of it is [N, dims[0], ...]. */
typedef struct pm_signal {
    const char *name; /* "pixel_values"; NULL: the model has none */
    int rank;         /* of one: 3 for [channels,height,width], 2 for [mels,frames] */
    int64_t dims[3];
    int64_t smallest; /* pictures may have any height and width from this on; 0: dims alone */
} pm_signal;

/* Tokens of the model's own that stand before others. */
typedef struct pm_lead {
    const char *name; /* NULL: none */
    int64_t n;
    bool flat; /* kept as [C], else as [1,n,C] */
} pm_lead;

/* Pictures as tokens: patches of size x size pixels, a linear layer of each (Dosovitskiy et al. 2020). */
typedef struct pm_patches {
    pm_pair linear; /* weight [C,channels,size,size] */
    int64_t channels, size;
    int64_t rows, columns; /* of patches, that the table of positions is for */
    pm_lead lead[2];       /* class token, distillation token: have positions as patches do */
    pm_lead registers;     /* stand behind the class token, without positions */
    const char *positions; /* of lead tokens and patches */
    bool flat_positions;   /* kept as [N,C], else as [1,N,C] */
    bool smooth_positions; /* for other sizes the table is resized with antialiasing */
    pm_pair norm;          /* behind the positions; or no name */
} pm_patches;

/* The two sides of a model that compares pictures with texts (CLIP). */
typedef struct pm_contrast {
    pm_pair image, text; /* projections; no name: the model has no such side */
    int64_t width;       /* of what they make */
    const char *scale;   /* of the products, as its logarithm; rank 0; NULL: only one side */
    int32_t end;         /* a text is what its first such id became; -1: its largest id */
} pm_contrast;

/* What an encoder's hidden states go through in the end: out(norm(act(dense(x)))), each part where it has a name. */
typedef enum pm_pick { PM_PICK_ALL, PM_PICK_FIRST, PM_PICK_MEAN } pm_pick;
typedef struct pm_head {
    pm_pick pick; /* of the tokens: x is [B,T,C], or [B,C] */
    pm_pair dense;
    int64_t inner; /* rows of dense */
    pm_activation act;
    pm_pair norm;
    pm_pair out;
    int64_t rows;
} pm_head;

/* Ways to make one vector of the tokens' (sentence-transformers' names), in the order in which several are joined. */
typedef enum pm_pool_kind {
    PM_POOL_CLS,  /* the first token's */
    PM_POOL_MAX,  /* the largest of each column */
    PM_POOL_MEAN, /* sum / n */
    PM_POOL_MEAN_SQRT,
    PM_POOL_WEIGHTED, /* token t counts t + 1 times */
    PM_POOL_LAST,     /* the last present token's */
    PM_N_POOL_KINDS
} pm_pool_kind;

/* What stands behind the pooling: dense layers and normalization, in the order of the files. */
typedef struct pm_pool_step {
    bool normalize; /* to length 1; else a dense layer */
    pm_pair dense;
    int64_t in, out;
    bool has_act;
    pm_activation act;
} pm_pool_step;
enum { PM_MAX_POOL_STEPS = 8 };
typedef struct pm_pooling {
    bool given; /* the folder says how */
    bool kinds[PM_N_POOL_KINDS];
    pm_pool_step steps[PM_MAX_POOL_STEPS];
    size_t n_steps;
    int64_t
        max_length; /* tokens of a text that are read, special ones with them; 0: as many as there are positions */
} pm_pooling;

struct pm_build;
struct pm_tensor;

/* Segment recurrence (Dai et al. 2019): a segment sees what each layer was given for the last `rows` tokens before it. */
typedef struct pm_recurrence {
    bool on;
    int64_t rows;
    int64_t skipped;  /* newest tokens of a segment that are not kept */
    int64_t farthest; /* distances beyond it count as it; 0: none do */
    bool same_length; /* a query sees the `rows` last keys alone */
    pm_pair
        r; /* within a layer: keys of distances; and what is added to queries for keys and for distances, */
    const char *u, *v;   /* [H,D], within a layer */
    bool shared_u_and_v; /* or whole names */
} pm_recurrence;

enum { PM_MAX_CLUSTERS = 16 };
/* Words of ids first .. first+n-1: rows from `row` on of a table [rows,width], whose vectors become the model's by a
 * matrix `project` [C,width] (NULL: they are). */
typedef struct pm_cluster {
    int64_t first, n, row, rows, width;
    pm_pair table; /* bias: of the output */
    const char *project;
} pm_cluster;

/* Adaptive embedding and softmax (Grave et al. 2017; Baevski, Auli 2019): words in clusters, the frequent ones first. A
 * probability is that of the word, or that of its cluster times the word's in the cluster. */
typedef struct pm_adaptive {
    int n_in, n_out; /* clusters; 0: no adaptive words */
    const pm_cluster *in, *out;
    pm_pair gates; /* rows for clusters 1 .. n_out-1, which stand behind cluster 0's words */
    bool gates_backwards;
} pm_adaptive;

typedef struct pm_spec {
    pm_patches patches;
    pm_contrast contrast;
    pm_signal signal; /* besides ids, or in place of embed[0]'s, whose vocab is 0 then */
    struct pm_tensor *(*front)(
        struct pm_build *b); /* encoder-decoders: makes the encoder's [B,T,C] of the signal */
    pm_pair front_names[2];
    int64_t front_length;  /* T of it */
    pm_embedding embed[2]; /* 0: the only one, or the encoder's; 1: the decoder's */
    pm_stack stack[2];
    pm_pair head;            /* last linear layer; weight may be the embedding's */
    float head_scale;        /* of the logits; 0: 1 */
    pm_head last;            /* instead of it, of encoders */
    pm_pair pooler;          /* ViT's */
    pm_pair head_distilled;  /* DeiT's second head, of token 1: the logits are the mean */
    bool head_mean;          /* the head sees token 0 and the patches' mean (DINOv2) */
    pm_pair pool_norm;       /* a norm of token 0 alone (CLIP's pictures) */
    int64_t n_labels;        /* rows of a classifier */
    int64_t pooled;          /* width of what ViT's pooler makes */
    const char *logits_bias; /* [1,V], added to the logits; NULL: none */
    float softcap;           /* of the logits; 0: none */
    pm_global global;
    int32_t separator; /* PM_GLOBAL_QUESTION */
    int64_t max_positions;
    int64_t
        usual_new; /* most new ids where neither the caller nor the files say; 0: what max_positions allows */
    pm_recurrence recurrence;
    pm_adaptive adaptive;
    pm_rope rope[2]; /* 1: of layers with a window, where stack.window_rope */
    pm_pooling pooling;
} pm_spec;

#endif
