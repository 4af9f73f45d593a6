/* Llama (Touvron et al. 2023; rotary scaling as in Llama 3.1) as Hugging Face keeps it: rotary positions in
 * halves, RMS norm first, grouped key heads, SwiGLU. */
#include "models/arch.h"

#include <inttypes.h>

enum { MAX_TABLE = 1 << 28 }; /* elements of a rotary table */

typedef struct settings {
    int64_t vocab, positions, width, layers, heads, kv_heads, head_dim, inner;
    float eps;
    bool tied, attention_bias, mlp_bias;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"max_position_embeddings", PM_CONFIG_INT, offsetof(settings, positions), 2048, 1, 1 << 20},
    {"hidden_size", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 1, 65536},
    {"num_hidden_layers", PM_CONFIG_INT, offsetof(settings, layers), PM_CONFIG_REQUIRED, 1, 512},
    {"num_attention_heads", PM_CONFIG_INT, offsetof(settings, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"num_key_value_heads", PM_CONFIG_INT, offsetof(settings, kv_heads), 0, 1, 1024},
    {"head_dim", PM_CONFIG_INT, offsetof(settings, head_dim), 0, 2, 1024},
    {"intermediate_size", PM_CONFIG_INT, offsetof(settings, inner), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"rms_norm_eps", PM_CONFIG_REAL, offsetof(settings, eps), 1e-6, 0, 1},
    {"tie_word_embeddings", PM_CONFIG_BOOL, offsetof(settings, tied), 0, 0, 1},
    {"attention_bias", PM_CONFIG_BOOL, offsetof(settings, attention_bias), 0, 0, 1},
    {"mlp_bias", PM_CONFIG_BOOL, offsetof(settings, mlp_bias), 0, 0, 1},
};

static const pm_stack names = {
    .prefix = "model.layers.",
    .label = "layers",
    .norm = PM_NORM_RMS,
    .norm_first = true,
    .causal = true,
    .rotary = true,
    .self = {.q = {"self_attn.q_proj.weight", "self_attn.q_proj.bias"},
             .k = {"self_attn.k_proj.weight", "self_attn.k_proj.bias"},
             .v = {"self_attn.v_proj.weight", "self_attn.v_proj.bias"},
             .o = {"self_attn.o_proj.weight", "self_attn.o_proj.bias"}},
    .self_norm = {"input_layernorm.weight", NULL},
    .ffn_norm = {"post_attention_layernorm.weight", NULL},
    .gate = {"mlp.gate_proj.weight", "mlp.gate_proj.bias"},
    .up = {"mlp.up_proj.weight", "mlp.up_proj.bias"},
    .down = {"mlp.down_proj.weight", "mlp.down_proj.bias"},
    .final_norm = {"model.norm.weight", NULL},
    .hidden_out = "hidden_states",
    .self_out = "attentions",
};

/* ---- rotary settings: "rope_parameters" (new files), or "rope_theta" and "rope_scaling" (old ones) ---- */

static const char *const rope_kinds[] = {"default", "linear", "llama3"}; /* pm_rope_kind */
static const pm_config_field theta_field[] = {
    {"rope_theta", PM_CONFIG_REAL, offsetof(pm_rope, theta), 10000, 1e-3, 1e12}};
static const pm_config_field partial_field[] = {
    {"partial_rotary_factor", PM_CONFIG_REAL, offsetof(pm_rope, partial), 1, 1, 1}};
static const pm_config_field factor_field[] = {
    {"factor", PM_CONFIG_REAL, offsetof(pm_rope, factor), PM_CONFIG_REQUIRED, 1e-3, 1e6}};
static const pm_config_field llama3_fields[] = {
    {"low_freq_factor", PM_CONFIG_REAL, offsetof(pm_rope, low_freq_factor), PM_CONFIG_REQUIRED, 1e-3, 1e6},
    {"high_freq_factor", PM_CONFIG_REAL, offsetof(pm_rope, high_freq_factor), PM_CONFIG_REQUIRED, 1e-3, 1e6},
    {"original_max_position_embeddings", PM_CONFIG_INT, offsetof(pm_rope, original_positions),
     PM_CONFIG_REQUIRED, 1, 1 << 20},
};

static pm_status read_rope(const pm_config *config, pm_rope *out) {
    bool scaling = pm_config_has(config, NULL, "rope_scaling");
    const char *inside = scaling ? "rope_scaling" : "rope_parameters";
    const char *key = pm_config_has(config, inside, "rope_type") ? "rope_type" : "type";
    /* what stands in the object wins over what stands beside it */
    const char *theta_in = pm_config_has(config, inside, "rope_theta") ? inside : NULL;
    PM_TRY(pm_config_read(config, theta_in, theta_field, 1, out));
    PM_TRY(pm_config_read(config, NULL, partial_field, 1, out));
    PM_TRY(pm_config_read(config, inside, partial_field, 1, out));
    PM_TRY(pm_config_choose(
        config, inside, &(pm_config_choice){key, "default", rope_kinds, PM_COUNT(rope_kinds)}, &out->kind));
    if (out->kind != PM_ROPE_DEFAULT) PM_TRY(pm_config_read(config, inside, factor_field, 1, out));
    if (out->kind == PM_ROPE_LLAMA3)
        PM_TRY(pm_config_read(config, inside, llama3_fields, PM_COUNT(llama3_fields), out));
    if (out->kind == PM_ROPE_LLAMA3 && out->high_freq_factor <= out->low_freq_factor)
        return pm_raise(
            PM_ERR_FILE,
            "config.json: high_freq_factor is %g, expected more than low_freq_factor, which is %g",
            (double)out->high_freq_factor, (double)out->low_freq_factor);
    return PM_OK;
}

static pm_status check(settings *c) {
    if (!c->kv_heads) c->kv_heads = c->heads;
    PM_TRY(pm_check_divides("num_key_value_heads", c->kv_heads, "num_attention_heads", c->heads));
    if (!c->head_dim) PM_TRY(pm_check_divides("num_attention_heads", c->heads, "hidden_size", c->width));
    if (!c->head_dim) c->head_dim = c->width / c->heads;
    if (c->head_dim % 2)
        return pm_raise(PM_ERR_FILE,
                        "config.json: head_dim is %" PRId64 ", expected an even number for rotary positions",
                        c->head_dim);
    if (c->positions * c->head_dim > MAX_TABLE)
        return pm_raise(PM_ERR_FILE,
                        "config.json: max_position_embeddings is %" PRId64
                        ", expected at most %d with head_dim %" PRId64,
                        c->positions, (int)(MAX_TABLE / c->head_dim), c->head_dim);
    return PM_OK;
}

static void drop_biases(const settings *c, pm_stack *st) {
    pm_pair *attention[] = {&st->self.q, &st->self.k, &st->self.v, &st->self.o},
            *mlp[] = {&st->gate, &st->up, &st->down};
    for (size_t i = 0; !c->attention_bias && i < PM_COUNT(attention); i++) attention[i]->bias = NULL;
    for (size_t i = 0; !c->mlp_bias && i < PM_COUNT(mlp); i++) mlp[i]->bias = NULL;
}

pm_status pm_llama_configure(pm_model *m, const pm_config *config) {
    settings c;
    int act;
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[0];
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    PM_TRY(check(&c));
    PM_TRY(pm_config_choose(
        config, NULL, &(pm_config_choice){"hidden_act", "silu", pm_activation_names, pm_n_activation_names},
        &act));
    PM_TRY(read_rope(config, &spec->rope));
    *st = names;
    drop_biases(&c, st);
    st->n_layers = c.layers;
    st->width = c.width;
    st->n_heads = c.heads;
    st->n_kv_heads = c.kv_heads;
    st->head_dim = c.head_dim;
    st->ffn = c.inner;
    st->eps = c.eps;
    st->act = pm_activation_of(act);
    spec->embed[0] = (pm_embedding){.tokens = "model.embed_tokens.weight", .vocab = c.vocab};
    spec->head.weight = c.tied ? spec->embed[0].tokens : "lm_head.weight";
    spec->max_positions = c.positions;
    return PM_OK;
}
