/* GPT-2 (Radford et al. 2019) as Hugging Face keeps it: learned positions, layer norm first, one qkv matrix,
 * [K,N] weights. */
#include "models/arch_causal.h"

#include <inttypes.h>

typedef struct settings {
    int64_t vocab, positions, width, layers, heads, inner;
    float eps;
    bool tied, scaled, by_layer, cross;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"n_positions", PM_CONFIG_INT, offsetof(settings, positions), 1024, 1, 1 << 20},
    {"n_embd", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 1, 65536},
    {"n_layer", PM_CONFIG_INT, offsetof(settings, layers), PM_CONFIG_REQUIRED, 1, 512},
    {"n_head", PM_CONFIG_INT, offsetof(settings, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"n_inner", PM_CONFIG_INT, offsetof(settings, inner), 0, 1, 1 << 20},
    {"layer_norm_epsilon", PM_CONFIG_REAL, offsetof(settings, eps), 1e-5, 0, 1},
    {"tie_word_embeddings", PM_CONFIG_BOOL, offsetof(settings, tied), 1, 0, 1},
    {"scale_attn_weights", PM_CONFIG_BOOL, offsetof(settings, scaled), 1, 0, 1},
    {"scale_attn_by_inverse_layer_idx", PM_CONFIG_BOOL, offsetof(settings, by_layer), 0, 0, 1},
    {"add_cross_attention", PM_CONFIG_BOOL, offsetof(settings, cross), 0, 0, 1},
};

static const pm_stack names = {
    .label = "h",
    .norm = PM_NORM_LAYER,
    .norm_first = true,
    .causal = true,
    .conv1d = true,
    .self = {.qkv = {"attn.c_attn.weight", "attn.c_attn.bias"},
             .o = {"attn.c_proj.weight", "attn.c_proj.bias"}},
    .self_norm = {"ln_1.weight", "ln_1.bias"},
    .ffn_norm = {"ln_2.weight", "ln_2.bias"},
    .up = {"mlp.c_fc.weight", "mlp.c_fc.bias"},
    .down = {"mlp.c_proj.weight", "mlp.c_proj.bias"},
    .hidden_out = "hidden_states",
    .self_out = "attentions",
};

static pm_status check(const settings *c) {
    PM_TRY(pm_check_divides("n_head", c->heads, "n_embd", c->width));
    if (c->cross) return pm_raise(PM_ERR_FILE, "config.json: add_cross_attention is true, expected false");
    return PM_OK;
}

pm_status pm_gpt2_configure(pm_model *m, const pm_config *config) {
    settings c;
    int act;
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    PM_TRY(check(&c));
    PM_TRY(pm_config_choose(
        config, NULL,
        &(pm_config_choice){"activation_function", "gelu_new", pm_activation_names, pm_n_activation_names},
        &act));
    /* Files of the base model have no "transformer." before their names. */
    const char *prefix = pm_checkpoint_has(&m->checkpoint, "wte.weight") ? "" : "transformer.";
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[0];
    *st = names;
    st->prefix = pm_model_name(m, prefix, "h.");
    st->n_layers = c.layers;
    st->width = c.width;
    st->n_heads = st->n_kv_heads = c.heads;
    st->head_dim = c.width / c.heads;
    st->ffn = c.inner ? c.inner : 4 * c.width;
    st->eps = c.eps;
    st->act = pm_activation_of(act);
    st->raw_scores = !c.scaled;
    st->scores_by_layer = c.by_layer;
    st->final_norm =
        (pm_pair){pm_model_name(m, prefix, "ln_f.weight"), pm_model_name(m, prefix, "ln_f.bias")};
    spec->embed[0] = (pm_embedding){.tokens = pm_model_name(m, prefix, "wte.weight"),
                                    .vocab = c.vocab,
                                    .positions = pm_model_name(m, prefix, "wpe.weight")};
    spec->max_positions = c.positions;
    if (!st->prefix || !st->final_norm.weight || !st->final_norm.bias || !spec->embed[0].tokens ||
        !spec->embed[0].positions)
        return PM_ERR_MEMORY;
    return pm_causal_read_head(m, config, c.tied, "lm_head.weight");
}
