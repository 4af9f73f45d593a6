/* Decoder-only models with a mixture of experts: Mixtral (Jiang et al. 2024), Qwen 3 MoE, gpt-oss (OpenAI 2025), as Hugging
 * Face keeps them. */
#include "models/arch_llama.h"

#include <string.h>

enum { MAX_EXPERTS = 4096, MAX_LAYERS = 512 };

/* How many experts there are, by one of two names, and how many serve a token. */
static pm_status read_experts(pm_model *m, const pm_config *c, double n, double chosen) {
    const char *key = pm_config_has(c, NULL, "num_experts") ? "num_experts" : "num_local_experts";
    const pm_config_field fields[] = {
        {key, PM_CONFIG_INT, offsetof(pm_experts, n), n, 1, MAX_EXPERTS},
        {"num_experts_per_tok", PM_CONFIG_INT, offsetof(pm_experts, chosen), chosen, 1, MAX_EXPERTS},
    };
    pm_stack *st = &m->spec.stack[0];
    pm_experts *e = &st->experts;
    PM_TRY(pm_config_read(c, NULL, fields, PM_COUNT(fields), e));
    e->ffn = st->ffn;
    if (e->chosen <= e->n) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "config.json: num_experts_per_tok is %lld, expected at most %s, which is %lld",
                    (long long)e->chosen, key, (long long)e->n);
}

/* ---- Mixtral ---- */

static const pm_config_field mixtral_own[] = {EPS(1e-5), TIED(0), ATTENTION_BIAS(0), WINDOW};

static pm_status adjust_mixtral(pm_model *m, const pm_config *c, const pm_causal *s) {
    (void)s;
    PM_TRY(pm_rope_read(c, NULL, 1e6f, &m->spec.rope[0]));
    return read_experts(m, c, 8, 2);
}

const pm_causal_family pm_mixtral = {
    LLAMA_TABLES(mixtral_own),
    SILU,
    LLAMA_FILE,
    .stack = {LLAMA_STACK, TWO_NORMS, .self = {QKV, OUT},
              .experts = {.router = {"block_sparse_moe.gate.weight", NULL},
                          .each = "block_sparse_moe.experts.",
                          .gate = {"w1.weight", NULL},
                          .up = {"w3.weight", NULL},
                          .down = {"w2.weight", NULL}}},
    .adjust = adjust_mixtral,
};

/* ---- Qwen 3 MoE ---- */

static const pm_config_field qwen_own[] = {EPS(1e-6), TIED(0), NO_BIAS, WINDOW};

/* Every sparse_step-th layer has experts, but for those that mlp_only_layers names. */
static pm_status read_layers(pm_model *m, const pm_config *c, int64_t sparse_step) {
    int32_t dense[MAX_LAYERS];
    size_t n_dense = 0;
    pm_stack *st = &m->spec.stack[0];
    bool *has = pm_arena_alloc(&m->arena, (size_t)st->n_layers * sizeof *has);
    if (!has) return PM_ERR_MEMORY;
    if (pm_config_size(c, "mlp_only_layers"))
        PM_TRY(pm_config_ids(c, "mlp_only_layers", dense, PM_COUNT(dense), &n_dense));
    for (int64_t i = 0; i < st->n_layers; i++) has[i] = (i + 1) % sparse_step == 0;
    for (size_t i = 0; i < n_dense; i++)
        if (dense[i] >= 0 && dense[i] < st->n_layers) has[dense[i]] = false;
    st->experts.in_layer = has;
    return PM_OK;
}

static pm_status adjust_qwen(pm_model *m, const pm_config *c, const pm_causal *s) {
    struct own {
        int64_t ffn, step;
        bool normed, window;
    } own;
    const pm_config_field fields[] = {
        {"moe_intermediate_size", PM_CONFIG_INT, offsetof(struct own, ffn), 768, 1, 1 << 20},
        {"decoder_sparse_step", PM_CONFIG_INT, offsetof(struct own, step), 1, 1, MAX_LAYERS},
        {"norm_topk_prob", PM_CONFIG_BOOL, offsetof(struct own, normed), 0, 0, 1},
        {"use_sliding_window", PM_CONFIG_BOOL, offsetof(struct own, window), 0, 0, 1},
    };
    pm_stack *st = &m->spec.stack[0];
    (void)s;
    PM_TRY(pm_config_read(c, NULL, fields, PM_COUNT(fields), &own));
    PM_TRY(read_experts(m, c, 128, 8));
    st->experts.ffn = own.ffn;
    st->experts.weights_of_all = !own.normed;
    if (!own.window) st->window = 0;
    return read_layers(m, c, own.step);
}

const pm_causal_family pm_qwen3_moe = {
    LLAMA_TABLES(qwen_own),
    SILU,
    LLAMA_FILE,
    .stack = {LLAMA_STACK, TWO_NORMS, .self = {QKV, OUT, QK_NORMS}, GATED,
              .experts = {.router = {"mlp.gate.weight", NULL},
                          .each = "mlp.experts.",
                          .gate = {"gate_proj.weight", NULL},
                          .up = {"up_proj.weight", NULL},
                          .down = {"down_proj.weight", NULL}}},
    .adjust = adjust_qwen,
};

/* ---- gpt-oss ---- */

static const pm_config_field gpt_oss_own[] = {EPS(1e-5), TIED(0), ATTENTION_BIAS(1), WINDOW};

/* The gate is x sigmoid(1.702 x), whatever hidden_act says. */
static pm_status adjust_gpt_oss(pm_model *m, const pm_config *c, const pm_causal *s) {
    static const pm_config_field limit = {"swiglu_limit", PM_CONFIG_REAL, 0, 7, 1e-3, 1e6};
    static const pm_rope yarn = {.kind = PM_ROPE_YARN,
                                 .theta = 150000,
                                 .factor = 32,
                                 .beta_fast = 32,
                                 .beta_slow = 1,
                                 .partial = 1,
                                 .original_positions = 4096};
    pm_spec *spec = &m->spec;
    bool given = pm_config_has(c, NULL, "rope_parameters") || pm_config_has(c, NULL, "rope_scaling");
    (void)s;
    if (given) PM_TRY(pm_rope_read(c, NULL, yarn.theta, &spec->rope[0]));
    if (!given) spec->rope[0] = yarn;
    spec->stack[0].act = PM_ACTIVATION_QUICK_GELU;
    PM_TRY(pm_config_read(c, NULL, &limit, 1, &spec->stack[0].experts.limit));
    PM_TRY(read_experts(m, c, 128, 4));
    return pm_read_windows(m, c, 2);
}

const pm_causal_family pm_gpt_oss = {
    LLAMA_TABLES(gpt_oss_own),
    SILU,
    LLAMA_FILE,
    .stack = {LLAMA_STACK, TWO_NORMS, .self = {QKV, OUT, .sinks = "self_attn.sinks"},
              .experts = {.router = {"mlp.router.weight", "mlp.router.bias"},
                          .each = "mlp.experts.",
                          .gate = {"gate_proj.weight", "gate_proj.bias"},
                          .up = {"up_proj.weight", "up_proj.bias"},
                          .down = {"down_proj.weight", "down_proj.bias"},
                          .gate_up = {"mlp.experts.gate_up_proj", "mlp.experts.gate_up_proj_bias"},
                          .all_down = {"mlp.experts.down_proj", "mlp.experts.down_proj_bias"}}},
    .adjust = adjust_gpt_oss,
};
