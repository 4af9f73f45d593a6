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
    PM_ACTIVATION_SILU
} pm_activation;
/* config.json's names of activations ("gelu_new"), for pm_config_choose; pm_activation_of gives the kind of
 * one. */
extern const char *const pm_activation_names[];
extern const size_t pm_n_activation_names;
pm_activation pm_activation_of(int choice);

/* One attention's tensors, named within a layer. Projections are separate, or rows of one matrix: q, then k,
 * then v. */
typedef struct pm_attention_names {
    pm_pair q, k, v, qkv, o;
} pm_attention_names;

/* A stack of equal layers. */
typedef struct pm_stack {
    const char *prefix; /* "model.layers.": a tensor is prefix, number, ".", name */
    const char *label;  /* for people: "encoder", "layers" */
    int64_t n_layers, width, n_heads, n_kv_heads, head_dim, ffn;
    pm_norm_kind norm;
    float eps;
    bool norm_first; /* x + f(norm(x)); else norm(x + f(x)) */
    bool causal;
    bool conv1d; /* linear weights are [K,N], as GPT-2 keeps them */
    bool rotary;
    bool raw_scores;      /* attention scores are q.k; else q.k / sqrt(D) */
    bool scores_by_layer; /* and divided by the layer's number, counted from 1 */
    pm_activation act;
    pm_attention_names self, cross; /* cross.o.weight NULL: no attention to an encoder */
    pm_pair self_norm, cross_norm, ffn_norm;
    pm_pair gate, up, down;                        /* down(act(up(x))), or down(act(gate(x)) * up(x)) */
    pm_pair final_norm;                            /* whole names */
    const char *hidden_out, *self_out, *cross_out; /* names of outputs: "hidden_states", "attentions" */
} pm_stack;

typedef struct pm_embedding {
    const char *tokens; /* [V,C] */
    int64_t vocab;
    float scale;           /* tokens times it; 0: 1 */
    const char *positions; /* [P,C], learned or computed; NULL: none */
    const char *types;     /* [n_types,C]; NULL: none */
    int64_t n_types;
    pm_pair norm;
} pm_embedding;

/* Rotary positions (RoFormer, 2021); scaling as Llama 3 has it. */
typedef enum pm_rope_kind { PM_ROPE_DEFAULT, PM_ROPE_LINEAR, PM_ROPE_LLAMA3 } pm_rope_kind;
typedef struct pm_rope {
    int kind;
    float theta, factor, low_freq_factor, high_freq_factor;
    float partial; /* share of the head that is turned: 1, no other is built */
    int64_t original_positions;
} pm_rope;

typedef struct pm_spec {
    pm_embedding embed[2]; /* 0: the only one, or the encoder's; 1: the decoder's */
    pm_stack stack[2];
    pm_pair head;                              /* last linear layer; weight may be the embedding's */
    pm_pair head_transform, head_norm, pooler; /* BERT's */
    int64_t n_labels;                          /* rows of a classifier */
    int64_t max_positions;
    pm_rope rope;
} pm_spec;

#endif
