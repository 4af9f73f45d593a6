/* Llama and what follows it: rotary positions in halves, RMS norms, grouped key heads, gated feed-forward. Each family
 * says where it differs (Touvron et al. 2023 for Llama; the others' configuration classes for theirs). */
#include "models/arch_llama.h"

#include <math.h>
#include <string.h>

static const pm_config_field llama_own[] = {EPS(1e-6), TIED(0), NO_BIAS};
static const pm_config_field window_own[] = {EPS(1e-6), TIED(0), NO_BIAS, WINDOW};
static const pm_config_field qwen2_own[] = {EPS(1e-6), TIED(0), MLP_BIAS(0), WINDOW};
static const pm_config_field gemma_own[] = {EPS(1e-6), TIED(1), NO_BIAS};
static const pm_config_field gemma2_own[] = {
    EPS(1e-6),
    TIED(1),
    NO_BIAS,
    WINDOW,
    {"query_pre_attn_scalar", PM_CONFIG_REAL, offsetof(pm_causal, query_scalar), 256, 1e-3, 1e6},
    {"attn_logit_softcapping", PM_CONFIG_REAL, offsetof(pm_causal, softcap), 0, 1e-3, 1e6},
    {"final_logit_softcapping", PM_CONFIG_REAL, offsetof(pm_causal, final_softcap), 0, 1e-3, 1e6},
};
static const pm_config_field phi3_own[] = {EPS(1e-5), TIED(0), NO_BIAS, WINDOW};
static const pm_config_field olmo2_own[] = {EPS(1e-5), TIED(0), NO_BIAS};

/* ---- what tables cannot say ---- */

/* Qwen: the window is off unless use_sliding_window says so. */
static pm_status adjust_qwen(pm_model *m, const pm_config *c, const pm_causal *s) {
    static const pm_config_field field = {"use_sliding_window", PM_CONFIG_BOOL, 0, 0, 0, 1};
    bool use;
    (void)s;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &use));
    if (!use) m->spec.stack[0].window = 0;
    return use ? pm_read_windows(m, c, 0) : PM_OK;
}

static pm_status adjust_gemma(pm_model *m, const pm_config *c, const pm_causal *s) {
    (void)c;
    m->spec.embed[0].scale = sqrtf((float)s->width);
    return PM_OK;
}

static pm_status adjust_gemma2(pm_model *m, const pm_config *c, const pm_causal *s) {
    PM_TRY(adjust_gemma(m, c, s));
    return pm_read_windows(m, c, 2);
}

/* EmbeddingGemma: all tokens see all, in layers with a window those up to half of it away. */
static pm_status read_both_ways(pm_model *m, const pm_config *c) {
    static const pm_config_field field = {"use_bidirectional_attention", PM_CONFIG_BOOL, 0, 0, 0, 1};
    pm_stack *st = &m->spec.stack[0];
    bool both;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &both));
    if (!both) return PM_OK;
    if (strcmp(m->arch->task, "generate") == 0)
        return pm_raise(PM_ERR_FILE,
                        "config.json: use_bidirectional_attention is true, expected false of a model that "
                        "generates");
    int64_t *reach = pm_arena_alloc(&m->arena, (size_t)st->n_layers * sizeof *reach);
    if (!reach) return PM_ERR_MEMORY;
    for (int64_t i = 0; i < st->n_layers; i++)
        reach[i] = st->has_window[i] && st->window ? st->window / 2 : PM_REACH_ALL;
    st->reach = reach;
    st->causal = false;
    return PM_OK;
}

/* Gemma 3 turns by another base in layers with a window, and scales in the others alone. */
static pm_status adjust_gemma3(pm_model *m, const pm_config *c, const pm_causal *s) {
    pm_spec *spec = &m->spec;
    int64_t pattern = 6;
    const char *key = pm_config_has(c, NULL, "sliding_window_pattern") ? "sliding_window_pattern"
                                                                       : "_sliding_window_pattern";
    const pm_config_field pattern_field = {key, PM_CONFIG_INT, 0, 6, 1, 1024};
    const pm_config_field local_field = {
        "rope_local_base_freq", PM_CONFIG_REAL, offsetof(pm_rope, theta), 10000, 1e-3, 1e12};
    PM_TRY(adjust_gemma(m, c, s));
    PM_TRY(pm_config_read(c, NULL, &pattern_field, 1, &pattern));
    spec->stack[0].window_rope = true;
    if (pm_config_has(c, "rope_parameters", "full_attention")) {
        PM_TRY(pm_rope_read(c, "rope_parameters.full_attention", 1e6f, &spec->rope[0]));
        PM_TRY(pm_rope_read(c, "rope_parameters.sliding_attention", 1e4f, &spec->rope[1]));
    } else {
        PM_TRY(pm_rope_read(c, NULL, 1e6f, &spec->rope[0]));
        spec->rope[1] = (pm_rope){.partial = 1};
        PM_TRY(pm_config_read(c, NULL, &local_field, 1, &spec->rope[1]));
    }
    PM_TRY(pm_read_windows(m, c, pattern));
    return read_both_ways(m, c);
}

/* ---- families ---- */

const pm_causal_family pm_llama = {LLAMA_TABLES(llama_own), SILU, LLAMA_FILE,
                                   .stack = {LLAMA_STACK, TWO_NORMS, GATED, .self = {QKV, OUT}}};
const pm_causal_family pm_mistral = {LLAMA_TABLES(window_own), SILU, LLAMA_FILE,
                                     .stack = {LLAMA_STACK, TWO_NORMS, GATED, .self = {QKV, OUT}}};
const pm_causal_family pm_qwen2 = {LLAMA_TABLES(qwen2_own), SILU, LLAMA_FILE,
                                   .stack = {LLAMA_STACK, TWO_NORMS, GATED, .self = {QKV, OUT_PLAIN}},
                                   .adjust = adjust_qwen};
const pm_causal_family pm_qwen3 = {LLAMA_TABLES(window_own), SILU, LLAMA_FILE,
                                   .stack = {LLAMA_STACK, TWO_NORMS, GATED, .self = {QKV, OUT, QK_NORMS}},
                                   .adjust = adjust_qwen};
const pm_causal_family pm_gemma = {
    LLAMA_TABLES(gemma_own), GELU("hidden_act"), LLAMA_FILE,
    .stack = {LLAMA_STACK, TWO_NORMS, GATED, .self = {QKV, OUT}, .norm_plus_one = true},
    .adjust = adjust_gemma};
const pm_causal_family pm_gemma2 = {
    LLAMA_TABLES(gemma2_own), GELU("hidden_activation"), LLAMA_FILE,
    .stack = {LLAMA_STACK, FOUR_NORMS, GATED, .self = {QKV, OUT}, .norm_plus_one = true},
    .adjust = adjust_gemma2};
const pm_causal_family pm_gemma3 = {
    LLAMA_TABLES(gemma2_own), GELU("hidden_activation"), LLAMA_FILE,
    .stack = {LLAMA_STACK, FOUR_NORMS, GATED, .self = {QKV, OUT, QK_NORMS}, .norm_plus_one = true},
    .adjust = adjust_gemma3};
const pm_causal_family pm_olmo2 = {
    LLAMA_TABLES(olmo2_own), SILU, LLAMA_FILE,
    .stack = {LLAMA_STACK, NORMS_AFTER, GATED, .self = {QKV, OUT, QK_NORMS}, .qk_norm_whole = true}};
const pm_causal_family pm_phi3 = {
    LLAMA_TABLES(phi3_own), SILU, LLAMA_FILE,
    .stack = {LLAMA_STACK, TWO_NORMS, .self = {.qkv = {"self_attn.qkv_proj.weight", NULL}, OUT_PLAIN},
              .gate_up = {"mlp.gate_up_proj.weight", NULL}, .down = {"mlp.down_proj.weight", NULL}}};
