/* See gguf_names.h. The names are those of gguf-py's constants.py and tensor_mapping.py, the changes those of llama.cpp's
 * converter (https://github.com/ggml-org/llama.cpp: conversion/). */
#include "models/gguf_names.h"

#include <stdio.h>
#include <string.h>

#define END                                                                                                  \
    { NULL, NULL, PM_FIX_NONE }

/* ---- decoders like Llama ---- */

static const pm_gguf_name model_rows[] = {
    {"token_embd", "model.embed_tokens", PM_FIX_NONE},
    {"output", "lm_head", PM_FIX_NONE},
    {"blk.%.attn_v", "model.layers.%.self_attn.v_proj", PM_FIX_NONE},
    {"blk.%.attn_output", "model.layers.%.self_attn.o_proj", PM_FIX_NONE},
    {"blk.%.ffn_gate", "model.layers.%.mlp.gate_proj", PM_FIX_NONE},
    {"blk.%.ffn_down", "model.layers.%.mlp.down_proj", PM_FIX_NONE},
    END};
static const pm_gguf_name up_rows[] = {{"blk.%.ffn_up", "model.layers.%.mlp.up_proj", PM_FIX_NONE}, END};
static const pm_gguf_name norm_rows[] = {
    {"output_norm", "model.norm", PM_FIX_NONE},
    {"blk.%.attn_norm", "model.layers.%.input_layernorm", PM_FIX_NONE},
    {"blk.%.ffn_norm", "model.layers.%.post_attention_layernorm", PM_FIX_NONE},
    END};
static const pm_gguf_name paired_rows[] = {{"blk.%.attn_q", "model.layers.%.self_attn.q_proj", PM_FIX_Q_ROWS},
                                           {"blk.%.attn_k", "model.layers.%.self_attn.k_proj", PM_FIX_K_ROWS},
                                           END};
static const pm_gguf_name halves_rows[] = {{"blk.%.attn_q", "model.layers.%.self_attn.q_proj", PM_FIX_NONE},
                                           {"blk.%.attn_k", "model.layers.%.self_attn.k_proj", PM_FIX_NONE},
                                           END};
static const pm_gguf_name qwen3_rows[] = {
    {"blk.%.attn_q_norm", "model.layers.%.self_attn.q_norm", PM_FIX_NONE},
    {"blk.%.attn_k_norm", "model.layers.%.self_attn.k_norm", PM_FIX_NONE},
    END};
/* Experts. Their norms are those of the other decoders, but for gpt-oss. */
#define EXPERTS(router, each, first, second, third)                                                          \
    {"blk.%.ffn_gate_inp", "model.layers.%." router, PM_FIX_NONE},                                           \
        {"blk.%.ffn_gate_exps", "model.layers.%." each "*." first, PM_FIX_NONE},                             \
        {"blk.%.ffn_up_exps", "model.layers.%." each "*." second, PM_FIX_NONE}, {                            \
        "blk.%.ffn_down_exps", "model.layers.%." each "*." third, PM_FIX_NONE                                \
    }
#define MLP_EXPERTS(router) EXPERTS(router, "mlp.experts.", "gate_proj", "up_proj", "down_proj")
static const pm_gguf_name mixtral_rows[] = {
    EXPERTS("block_sparse_moe.gate", "block_sparse_moe.experts.", "w1", "w3", "w2"), END};
static const pm_gguf_name qwen3moe_rows[] = {MLP_EXPERTS("mlp.gate"), END};
static const pm_gguf_name gpt_oss_rows[] = {
    {"output_norm", "model.norm", PM_FIX_NONE},
    {"blk.%.attn_norm", "model.layers.%.input_layernorm", PM_FIX_NONE},
    {"blk.%.post_attention_norm", "model.layers.%.post_attention_layernorm", PM_FIX_NONE},
    {"blk.%.attn_sinks.weight", "model.layers.%.self_attn.sinks", PM_FIX_NONE},
    MLP_EXPERTS("mlp.router"),
    END};
static const pm_gguf_name phi3_rows[] = {{"blk.%.attn_qkv", "model.layers.%.self_attn.qkv_proj", PM_FIX_NONE},
                                         {"blk.%.ffn_up", "model.layers.%.mlp.gate_up_proj", PM_FIX_NONE},
                                         END};

/* ---- Gemma ---- */

static const pm_gguf_name gemma_rows[] = {
    {"output_norm", "model.norm", PM_FIX_MINUS_ONE},
    {"blk.%.attn_norm", "model.layers.%.input_layernorm", PM_FIX_MINUS_ONE},
    END};
static const pm_gguf_name gemma1_rows[] = {
    {"blk.%.ffn_norm", "model.layers.%.post_attention_layernorm", PM_FIX_MINUS_ONE}, END};
static const pm_gguf_name gemma2_rows[] = {
    {"blk.%.post_attention_norm", "model.layers.%.post_attention_layernorm", PM_FIX_MINUS_ONE},
    {"blk.%.ffn_norm", "model.layers.%.pre_feedforward_layernorm", PM_FIX_MINUS_ONE},
    {"blk.%.post_ffw_norm", "model.layers.%.post_feedforward_layernorm", PM_FIX_MINUS_ONE},
    END};
static const pm_gguf_name gemma3_rows[] = {
    {"blk.%.attn_q_norm", "model.layers.%.self_attn.q_norm", PM_FIX_MINUS_ONE},
    {"blk.%.attn_k_norm", "model.layers.%.self_attn.k_norm", PM_FIX_MINUS_ONE},
    END};

/* ---- GPT-2, BERT ---- */

static const pm_gguf_name gpt2_rows[] = {
    {"token_embd", "transformer.wte", PM_FIX_NONE},
    {"position_embd", "transformer.wpe", PM_FIX_NONE},
    {"output_norm", "transformer.ln_f", PM_FIX_NONE},
    {"output", "lm_head", PM_FIX_NONE},
    {"blk.%.attn_norm", "transformer.h.%.ln_1", PM_FIX_NONE},
    {"blk.%.attn_qkv", "transformer.h.%.attn.c_attn", PM_FIX_TRANSPOSE},
    {"blk.%.attn_output", "transformer.h.%.attn.c_proj", PM_FIX_TRANSPOSE},
    {"blk.%.ffn_norm", "transformer.h.%.ln_2", PM_FIX_NONE},
    {"blk.%.ffn_up", "transformer.h.%.mlp.c_fc", PM_FIX_TRANSPOSE},
    {"blk.%.ffn_down", "transformer.h.%.mlp.c_proj", PM_FIX_TRANSPOSE},
    END};

static const pm_gguf_name bert_rows[] = {
    {"token_embd", "embeddings.word_embeddings", PM_FIX_NONE},
    {"position_embd", "embeddings.position_embeddings", PM_FIX_NONE},
    {"token_types", "embeddings.token_type_embeddings", PM_FIX_NONE},
    {"token_embd_norm", "embeddings.LayerNorm", PM_FIX_NONE},
    {"blk.%.attn_q", "encoder.layer.%.attention.self.query", PM_FIX_NONE},
    {"blk.%.attn_k", "encoder.layer.%.attention.self.key", PM_FIX_NONE},
    {"blk.%.attn_v", "encoder.layer.%.attention.self.value", PM_FIX_NONE},
    {"blk.%.attn_output", "encoder.layer.%.attention.output.dense", PM_FIX_NONE},
    {"blk.%.attn_output_norm", "encoder.layer.%.attention.output.LayerNorm", PM_FIX_NONE},
    {"blk.%.ffn_up", "encoder.layer.%.intermediate.dense", PM_FIX_NONE},
    {"blk.%.ffn_down", "encoder.layer.%.output.dense", PM_FIX_NONE},
    {"blk.%.layer_output_norm", "encoder.layer.%.output.LayerNorm", PM_FIX_NONE},
    END};

/* ---- T5 ---- */

#define T5_ATTENTION(side, hf)                                                                               \
    {side ".blk.%.attn_q", hf ".block.%.layer.0.SelfAttention.q", PM_FIX_NONE},                              \
        {side ".blk.%.attn_k", hf ".block.%.layer.0.SelfAttention.k", PM_FIX_NONE},                          \
        {side ".blk.%.attn_v", hf ".block.%.layer.0.SelfAttention.v", PM_FIX_NONE},                          \
        {side ".blk.%.attn_o", hf ".block.%.layer.0.SelfAttention.o", PM_FIX_NONE},                          \
        {side ".blk.%.attn_norm", hf ".block.%.layer.0.layer_norm", PM_FIX_NONE},                            \
        {side ".blk.%.attn_rel_b", hf ".block.%.layer.0.SelfAttention.relative_attention_bias",              \
         PM_FIX_NONE},                                                                                       \
    {                                                                                                        \
        side ".output_norm", hf ".final_layer_norm", PM_FIX_NONE                                             \
    }
#define T5_FFN(side, layer)                                                                                  \
    {side ".ffn_norm", layer ".layer_norm", PM_FIX_NONE},                                                    \
        {side ".ffn_down", layer ".DenseReluDense.wo", PM_FIX_NONE}, {                                       \
        side ".ffn_gate", layer ".DenseReluDense.wi_0", PM_FIX_NONE                                          \
    }
#define ENCODER "encoder.block.%.layer.1"
#define DECODER "decoder.block.%.layer.2"

static const pm_gguf_name t5_rows[] = {
    {"token_embd", "shared", PM_FIX_NONE},
    {"output", "lm_head", PM_FIX_NONE},
    T5_ATTENTION("enc", "encoder"),
    T5_ATTENTION("dec", "decoder"),
    {"dec.blk.%.cross_attn_q", "decoder.block.%.layer.1.EncDecAttention.q", PM_FIX_NONE},
    {"dec.blk.%.cross_attn_k", "decoder.block.%.layer.1.EncDecAttention.k", PM_FIX_NONE},
    {"dec.blk.%.cross_attn_v", "decoder.block.%.layer.1.EncDecAttention.v", PM_FIX_NONE},
    {"dec.blk.%.cross_attn_o", "decoder.block.%.layer.1.EncDecAttention.o", PM_FIX_NONE},
    {"dec.blk.%.cross_attn_norm", "decoder.block.%.layer.1.layer_norm", PM_FIX_NONE},
    T5_FFN("enc.blk.%", ENCODER),
    T5_FFN("dec.blk.%", DECODER),
    END};
/* The first product is called wi, or wi_1 where there is a gate. */
static const pm_gguf_name t5_plain_rows[] = {{"enc.blk.%.ffn_up", ENCODER ".DenseReluDense.wi", PM_FIX_NONE},
                                             {"dec.blk.%.ffn_up", DECODER ".DenseReluDense.wi", PM_FIX_NONE},
                                             END};
static const pm_gguf_name t5_gated_rows[] = {
    {"enc.blk.%.ffn_up", ENCODER ".DenseReluDense.wi_1", PM_FIX_NONE},
    {"dec.blk.%.ffn_up", DECODER ".DenseReluDense.wi_1", PM_FIX_NONE},
    END};

/* ---- families ---- */

#define TABLES(...)                                                                                          \
    (const pm_gguf_name *const[]) {                                                                          \
        __VA_ARGS__, NULL                                                                                    \
    }
static const pm_gguf_family families[] = {
    {"llama", TABLES(model_rows, up_rows, norm_rows, paired_rows, mixtral_rows)},
    {"qwen2", TABLES(model_rows, up_rows, norm_rows, halves_rows)},
    {"qwen3", TABLES(model_rows, up_rows, norm_rows, halves_rows, qwen3_rows)},
    {"qwen3moe", TABLES(model_rows, norm_rows, halves_rows, qwen3_rows, qwen3moe_rows)},
    {"gpt-oss", TABLES(model_rows, halves_rows, gpt_oss_rows)},
    {"gemma", TABLES(model_rows, up_rows, halves_rows, gemma_rows, gemma1_rows)},
    {"gemma2", TABLES(model_rows, up_rows, halves_rows, gemma_rows, gemma2_rows)},
    {"gemma3", TABLES(model_rows, up_rows, halves_rows, gemma_rows, gemma2_rows, gemma3_rows)},
    {"phi3", TABLES(model_rows, norm_rows, phi3_rows)},
    {"gpt2", TABLES(gpt2_rows)},
    {"bert", TABLES(bert_rows)},
    {"t5", TABLES(t5_rows, t5_plain_rows)},
    {"t5encoder", TABLES(t5_rows, t5_plain_rows)},
};
/* T5's with a gate, under the same names. */
static const pm_gguf_family gated[] = {{"t5", TABLES(t5_rows, t5_gated_rows)},
                                       {"t5encoder", TABLES(t5_rows, t5_gated_rows)}};

static pm_status refuse_family(const pm_gguf *g, pm_gguf_text name) {
    pm_text known = {0};
    for (size_t i = 0; i < PM_COUNT(families); i++)
        pm_text_add(&known, "%s%s", i ? ", " : "", families[i].architecture);
    pm_status s = pm_text_status(&known);
    if (s == PM_OK)
        s = pm_raise(PM_ERR_FILE, "%s: general.architecture is %s, expected one of: %s", pm_gguf_label(g),
                     pm_gguf_show(name).s, known.data);
    pm_text_free(&known);
    return s;
}

pm_status pm_gguf_family_of(const pm_gguf *g, const pm_gguf_family **out) {
    pm_gguf_text name = {0};
    if (!pm_gguf_string(g, "general.architecture", &name))
        return pm_raise(PM_ERR_FILE, "%s: general.architecture is missing or no text", pm_gguf_label(g));
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        const char *own = families[i].architecture;
        if (strlen(own) != name.n || memcmp(own, name.s, strlen(own)) != 0) continue;
        *out = &families[i];
        for (size_t k = 0; k < PM_COUNT(gated) && pm_gguf_find(g, "enc.blk.0.ffn_gate.weight"); k++)
            if (strcmp(gated[k].architecture, own) == 0) *out = &gated[k];
        return PM_OK;
    }
    return refuse_family(g, name);
}

void pm_gguf_key(const pm_gguf *g, const char *from, char out[PM_GGUF_KEY_CHARS]) {
    pm_gguf_text architecture = {"", 0};
    if (*from == '.') pm_gguf_string(g, "general.architecture", &architecture);
    snprintf(out, PM_GGUF_KEY_CHARS, "%.*s%s", architecture.n < 40 ? (int)architecture.n : 40, architecture.s,
             from);
}

/* ---- matching ---- */

/* Where `name` goes on after the pattern, and the digits that stood for %; NULL when it does not match. */
static const char *match(const char *pattern, const char *name, pm_gguf_text *out_digits) {
    *out_digits = (pm_gguf_text){0};
    for (; *pattern; pattern++) {
        if (*pattern == '%') {
            *out_digits = (pm_gguf_text){name, strspn(name, "0123456789")};
            if (out_digits->n == 0 || out_digits->n > 6) return NULL;
            name += out_digits->n;
        } else if (*pattern != *name++) {
            return NULL;
        }
    }
    return name;
}

static void write_name(const pm_gguf_name *row, pm_gguf_text digits, const char *suffix,
                       char out[PM_GGUF_NAME_CHARS]) {
    int before = (int)strcspn(row->hf, "%");
    const char *after = row->hf[before] ? row->hf + before + 1 : "";
    snprintf(out, PM_GGUF_NAME_CHARS, "%.*s%.*s%s%s", before, row->hf, (int)digits.n,
             digits.n ? digits.s : "", after, suffix);
}

bool pm_gguf_rename(const pm_gguf_family *f, const char *name, char out[PM_GGUF_NAME_CHARS],
                    pm_fix_kind *out_fix) {
    for (const pm_gguf_name *const *table = f->tables; *table; table++)
        for (const pm_gguf_name *row = *table; row->gguf; row++) {
            pm_gguf_text digits;
            const char *suffix = match(row->gguf, name, &digits);
            bool weight = suffix && strcmp(suffix, ".weight") == 0,
                 bias = suffix && strcmp(suffix, ".bias") == 0;
            if (!weight && !bias && !(suffix && !*suffix)) continue;
            write_name(row, digits, suffix, out);
            *out_fix = bias && row->fix == PM_FIX_TRANSPOSE ? PM_FIX_NONE : row->fix;
            return true;
        }
    return false;
}
