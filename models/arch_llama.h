/* Rows and names that Llama and what follows it share (Touvron et al. 2023), for the files of such families. A family is
 * {LLAMA_TABLES(own), LLAMA_FILE, SILU, .stack = {LLAMA_STACK, TWO_NORMS, GATED, .self = {QKV, OUT}}}, or differs in parts. */
#ifndef PM_ARCH_LLAMA_H
#define PM_ARCH_LLAMA_H

#include "models/arch_causal.h"

/* ---- fields of config.json; value: where it says nothing ---- */

#define EPS(value)                                                                                           \
    { "rms_norm_eps", PM_CONFIG_REAL, offsetof(pm_causal, eps), value, 0, 1 }
#define TIED(value)                                                                                          \
    { "tie_word_embeddings", PM_CONFIG_BOOL, offsetof(pm_causal, tied), value, 0, 1 }
#define ATTENTION_BIAS(value)                                                                                \
    { "attention_bias", PM_CONFIG_BOOL, offsetof(pm_causal, attention_bias), value, 0, 1 }
#define MLP_BIAS(value)                                                                                      \
    { "mlp_bias", PM_CONFIG_BOOL, offsetof(pm_causal, mlp_bias), value, 0, 1 }
#define WINDOW                                                                                               \
    { "sliding_window", PM_CONFIG_INT, offsetof(pm_causal, window), 0, 1, 1 << 24 }
#define NO_BIAS ATTENTION_BIAS(0), MLP_BIAS(0)

#define LLAMA_TABLES(own)                                                                                    \
    .tables = (const pm_config_field *const[]){pm_llama_sizes, own, NULL}, .n_fields = (const size_t[]) {    \
        PM_N_LLAMA_SIZES, PM_COUNT(own)                                                                      \
    }
#define LLAMA_FILE .prefix = "model.", .tokens = "embed_tokens.weight", .head = "lm_head.weight"
#define SILU       .act_key = "hidden_act", .act = "silu"
#define GELU(key)  .act_key = key, .act = "gelu_pytorch_tanh"

/* ---- names ---- */

#define GATED                                                                                                \
    .gate = {"mlp.gate_proj.weight", "mlp.gate_proj.bias"},                                                  \
    .up = {"mlp.up_proj.weight", "mlp.up_proj.bias"}, .down = {"mlp.down_proj.weight", "mlp.down_proj.bias"}
#define LLAMA_STACK                                                                                          \
    .prefix = "layers.", .label = "layers", .norm = PM_NORM_RMS, .norm_first = true, .causal = true,         \
    .rotary = true, .final_norm = {"norm.weight", NULL}
#define TWO_NORMS                                                                                            \
    .self_norm = {"input_layernorm.weight", NULL}, .ffn_norm = {"post_attention_layernorm.weight", NULL}
#define FOUR_NORMS                                                                                           \
    .self_norm = {"input_layernorm.weight", NULL}, .self_after = {"post_attention_layernorm.weight", NULL},  \
    .ffn_norm = {"pre_feedforward_layernorm.weight", NULL},                                                  \
    .ffn_after = {"post_feedforward_layernorm.weight", NULL}
#define NORMS_AFTER                                                                                          \
    .self_after = {"post_attention_layernorm.weight", NULL},                                                 \
    .ffn_after = {"post_feedforward_layernorm.weight", NULL}
#define QKV                                                                                                  \
    .q = {"self_attn.q_proj.weight", "self_attn.q_proj.bias"},                                               \
    .k = {"self_attn.k_proj.weight", "self_attn.k_proj.bias"},                                               \
    .v = {"self_attn.v_proj.weight", "self_attn.v_proj.bias"}
#define OUT       .o = {"self_attn.o_proj.weight", "self_attn.o_proj.bias"}
#define OUT_PLAIN .o = {"self_attn.o_proj.weight", NULL}
#define QK_NORMS  .q_norm = {"self_attn.q_norm.weight", NULL}, .k_norm = {"self_attn.k_norm.weight", NULL}

#endif
