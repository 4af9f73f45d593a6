/* Decoder-only models of before Llama: GPT-NeoX (Black et al. 2022), OPT (Zhang et al. 2022), Bloom (Scao et al. 2022),
 * Falcon (Almazrouei et al. 2023), as Hugging Face keeps them. */
#include "models/arch_causal.h"

#include <string.h>

#define INT(key, member, fallback, most)                                                                     \
    { key, PM_CONFIG_INT, offsetof(pm_causal, member), fallback, 1, most }
#define REAL(key, member, fallback)                                                                          \
    { key, PM_CONFIG_REAL, offsetof(pm_causal, member), fallback, 0, 1 }
#define BOOL(key, member, fallback)                                                                          \
    { key, PM_CONFIG_BOOL, offsetof(pm_causal, member), fallback, 0, 1 }
#define SIZES(positions_key, positions_default)                                                              \
    INT("vocab_size", vocab, PM_CONFIG_REQUIRED, 1 << 24),                                                   \
        INT("hidden_size", width, PM_CONFIG_REQUIRED, 65536),                                                \
        INT(positions_key, positions, positions_default, 1 << 20)
#define ONE_TABLE(fields)                                                                                    \
    .tables = (const pm_config_field *const[]){fields, NULL}, .n_fields = (const size_t[]) {                 \
        PM_COUNT(fields)                                                                                     \
    }
#define BASE(prefix_, label_)                                                                                \
    .prefix = prefix_, .label = label_, .norm = PM_NORM_LAYER, .norm_first = true, .causal = true
#define PAIR(name)                                                                                           \
    { name ".weight", name ".bias" }

/* A key of config.json that must have this value. */
static pm_status want_bool(const pm_config *c, const char *key, bool fallback, bool wanted) {
    const pm_config_field field = {key, PM_CONFIG_BOOL, 0, fallback, 0, 1};
    bool value;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &value));
    if (value == wanted) return PM_OK;
    return pm_raise(PM_ERR_FILE, "config.json: %s is %s, expected %s", key, value ? "true" : "false",
                    wanted ? "true" : "false");
}

static pm_status read_bool(const pm_config *c, const char *key, bool fallback, bool *out) {
    const pm_config_field field = {key, PM_CONFIG_BOOL, 0, fallback, 0, 1};
    return pm_config_read(c, NULL, &field, 1, out);
}

/* ---- GPT-NeoX ---- */

static const pm_config_field neox_fields[] = {
    SIZES("max_position_embeddings", 2048),
    INT("num_hidden_layers", layers, PM_CONFIG_REQUIRED, 512),
    INT("num_attention_heads", heads, PM_CONFIG_REQUIRED, 1024),
    INT("intermediate_size", inner, PM_CONFIG_REQUIRED, 1 << 20),
    REAL("layer_norm_eps", eps, 1e-5),
    BOOL("tie_word_embeddings", tied, 0),
    BOOL("attention_bias", attention_bias, 1),
};

static pm_status adjust_neox(pm_model *m, const pm_config *c, const pm_causal *s) {
    static const pm_config_field old[] = {
        {"rotary_pct", PM_CONFIG_REAL, offsetof(pm_rope, partial), 0.25, 0.01, 1},
        {"rotary_emb_base", PM_CONFIG_REAL, offsetof(pm_rope, theta), 10000, 1e-3, 1e12},
    };
    (void)s;
    if (!pm_config_has(c, NULL, "rope_parameters"))
        PM_TRY(pm_config_read(c, NULL, old, PM_COUNT(old), &m->spec.rope[0]));
    return read_bool(c, "use_parallel_residual", true, &m->spec.stack[0].parallel);
}

const pm_causal_family pm_neox = {
    ONE_TABLE(neox_fields),
    .act_key = "hidden_act",
    .act = "gelu",
    .prefix = "gpt_neox.",
    .tokens = "embed_in.weight",
    .head = "embed_out.weight",
    .stack = {BASE("layers.", "layers"), .rotary = true, .qkv_order = PM_QKV_GROUPS,
              .self = {.qkv = PAIR("attention.query_key_value"), .o = PAIR("attention.dense")},
              .self_norm = PAIR("input_layernorm"), .ffn_norm = PAIR("post_attention_layernorm"),
              .up = PAIR("mlp.dense_h_to_4h"), .down = PAIR("mlp.dense_4h_to_h"),
              .final_norm = PAIR("final_layer_norm")},
    .adjust = adjust_neox,
};

/* ---- OPT ---- */

enum { OPT_SKIPPED = 2 }; /* rows of the position table before the first */

static const pm_config_field opt_fields[] = {
    SIZES("max_position_embeddings", 2048),
    INT("num_hidden_layers", layers, PM_CONFIG_REQUIRED, 512),
    INT("num_attention_heads", heads, PM_CONFIG_REQUIRED, 1024),
    INT("ffn_dim", inner, PM_CONFIG_REQUIRED, 1 << 20),
    BOOL("tie_word_embeddings", tied, 1),
    BOOL("enable_bias", attention_bias, 1),
    BOOL("enable_bias", mlp_bias, 1),
};

static pm_status adjust_opt(pm_model *m, const pm_config *c, const pm_causal *s) {
    static const pm_config_field projected[] = {{"word_embed_proj_dim", PM_CONFIG_INT, 0, 0, 1, 65536}};
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[0];
    int64_t width;
    bool no_final;
    st->eps = 1e-5f;
    PM_TRY(pm_config_read(c, NULL, projected, 1, &width));
    if (width && width != s->width)
        return pm_raise(PM_ERR_FILE,
                        "config.json: word_embed_proj_dim is %lld, expected hidden_size, which is %lld",
                        (long long)width, (long long)s->width);
    PM_TRY(want_bool(c, "layer_norm_elementwise_affine", true, true));
    PM_TRY(read_bool(c, "do_layer_norm_before", true, &st->norm_first));
    PM_TRY(read_bool(c, "_remove_final_layer_norm", false, &no_final));
    if (!st->norm_first || no_final) st->final_norm = (pm_pair){NULL, NULL};
    const char *tokens = spec->embed[0].tokens;
    size_t n = strlen(tokens) - strlen("embed_tokens.weight");
    char prefix[256];
    if (n >= sizeof prefix) return PM_ERR_MEMORY;
    memcpy(prefix, tokens, n);
    prefix[n] = 0;
    spec->embed[0].positions = pm_model_name(m, prefix, "embed_positions.weight");
    spec->embed[0].skipped = OPT_SKIPPED;
    return spec->embed[0].positions ? PM_OK : PM_ERR_MEMORY;
}

const pm_causal_family pm_opt = {
    ONE_TABLE(opt_fields),
    .act_key = "activation_function",
    .act = "relu",
    .prefix = "model.decoder.",
    .tokens = "embed_tokens.weight",
    .head = "lm_head.weight",
    .stack = {BASE("layers.", "layers"),
              .self = {.q = PAIR("self_attn.q_proj"),
                       .k = PAIR("self_attn.k_proj"),
                       .v = PAIR("self_attn.v_proj"),
                       .o = PAIR("self_attn.out_proj")},
              .self_norm = PAIR("self_attn_layer_norm"), .ffn_norm = PAIR("final_layer_norm"),
              .up = PAIR("fc1"), .down = PAIR("fc2"), .final_norm = PAIR("final_layer_norm")},
    .adjust = adjust_opt,
};

/* ---- Bloom ---- */

static const pm_config_field bloom_fields[] = {
    SIZES("seq_length", 2048),
    INT("n_layer", layers, PM_CONFIG_REQUIRED, 512),
    INT("n_head", heads, PM_CONFIG_REQUIRED, 1024),
    REAL("layer_norm_epsilon", eps, 1e-5),
    BOOL("tie_word_embeddings", tied, 1),
};

static pm_status adjust_bloom(pm_model *m, const pm_config *c, const pm_causal *s) {
    (void)s;
    const char *tokens = m->spec.embed[0].tokens;
    bool base = strncmp(tokens, "transformer.", 12) != 0;
    const char *prefix = base ? "" : "transformer.";
    pm_pair *norm = &m->spec.embed[0].norm;
    *norm = (pm_pair){pm_model_name(m, prefix, "word_embeddings_layernorm.weight"),
                      pm_model_name(m, prefix, "word_embeddings_layernorm.bias")};
    PM_TRY(want_bool(c, "apply_residual_connection_post_layernorm", false, false));
    return norm->weight && norm->bias ? PM_OK : PM_ERR_MEMORY;
}

const pm_causal_family pm_bloom = {
    ONE_TABLE(bloom_fields),
    .act_key = "activation", /* not in files: Bloom's own GELU is the tanh form */
    .act = "gelu_pytorch_tanh",
    .prefix = "transformer.",
    .tokens = "word_embeddings.weight",
    .head = "lm_head.weight",
    .stack = {BASE("h.", "h"), .alibi = true, .qkv_order = PM_QKV_GROUPS,
              .self = {.qkv = PAIR("self_attention.query_key_value"), .o = PAIR("self_attention.dense")},
              .self_norm = PAIR("input_layernorm"), .ffn_norm = PAIR("post_attention_layernorm"),
              .up = PAIR("mlp.dense_h_to_4h"), .down = PAIR("mlp.dense_4h_to_h"), .final_norm = PAIR("ln_f")},
    .adjust = adjust_bloom,
};

/* ---- Falcon ---- */

static const pm_config_field falcon_fields[] = {
    SIZES("max_position_embeddings", 2048),
    INT("num_hidden_layers", layers, PM_CONFIG_REQUIRED, 512),
    INT("num_attention_heads", heads, PM_CONFIG_REQUIRED, 1024),
    INT("ffn_hidden_size", inner, 0, 1 << 20),
    REAL("layer_norm_epsilon", eps, 1e-5),
    BOOL("tie_word_embeddings", tied, 1),
    BOOL("bias", attention_bias, 0),
    BOOL("bias", mlp_bias, 0),
};

/* The first Falcons have one key head (multi_query) and one norm for both sublayers; the later ones have groups of
 * heads and two norms. */
static pm_status adjust_falcon(pm_model *m, const pm_config *c, const pm_causal *s) {
    static const pm_config_field sizes[] = {{"num_kv_heads", PM_CONFIG_INT, 0, 0, 1, 1024},
                                            {"num_ln_in_parallel_attn", PM_CONFIG_INT, 8, 0, 1, 2}};
    struct {
        int64_t kv_heads, n_norms;
    } more;
    pm_stack *st = &m->spec.stack[0];
    bool grouped, multi_query;
    PM_TRY(want_bool(c, "alibi", false, false));
    PM_TRY(read_bool(c, "new_decoder_architecture", false, &grouped));
    PM_TRY(read_bool(c, "multi_query", true, &multi_query));
    PM_TRY(read_bool(c, "parallel_attn", true, &st->parallel));
    PM_TRY(pm_config_read(c, NULL, sizes, PM_COUNT(sizes), &more));
    if (grouped) {
        st->n_kv_heads = more.kv_heads ? more.kv_heads : s->heads;
        st->parallel = true;
        PM_TRY(pm_check_divides("num_kv_heads", st->n_kv_heads, "num_attention_heads", s->heads));
    } else if (multi_query) {
        st->n_kv_heads = 1;
    }
    bool two = grouped && more.n_norms != 1;
    if (two) {
        st->self_norm = (pm_pair){"ln_attn.weight", "ln_attn.bias"};
        st->ffn_norm = (pm_pair){"ln_mlp.weight", "ln_mlp.bias"};
    } else if (!st->parallel) {
        st->ffn_norm = (pm_pair){"post_attention_layernorm.weight", "post_attention_layernorm.bias"};
    }
    return PM_OK;
}

const pm_causal_family pm_falcon = {
    ONE_TABLE(falcon_fields),
    .act_key = "activation",
    .act = "gelu",
    .prefix = "transformer.",
    .tokens = "word_embeddings.weight",
    .head = "lm_head.weight",
    .stack = {BASE("h.", "h"), .rotary = true, .qkv_order = PM_QKV_GROUPS,
              .self = {.qkv = PAIR("self_attention.query_key_value"), .o = PAIR("self_attention.dense")},
              .self_norm = PAIR("input_layernorm"), .up = PAIR("mlp.dense_h_to_4h"),
              .down = PAIR("mlp.dense_4h_to_h"), .final_norm = PAIR("ln_f")},
    .adjust = adjust_falcon,
};
