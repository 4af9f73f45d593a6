/* ModernBERT (Warner et al. 2024): norms first, rotary positions, gated feed-forward, layers that see all tokens and
 * layers that see the near ones on both sides, each kind with a theta of its own. */
#include "models/arch_causal.h"
#include "models/arch_encoder.h"

#define PAIR PM_ENCODER_PAIR

static const pm_config_field fields[] = {
    PM_ENCODER_SIZES(8192),
    PM_ENCODER_REAL("norm_eps", eps, 1e-5),
};

/* What this family alone has. */
typedef struct settings {
    int64_t local, every;
    float global_theta, local_theta;
    bool norm_bias, attention_bias, mlp_bias, decoder_bias, classifier_bias;
} settings;
#define BIAS(key, member, fallback)                                                                          \
    { key, PM_CONFIG_BOOL, offsetof(settings, member), fallback, 0, 1 }
static const pm_config_field own_fields[] = {
    {"local_attention", PM_CONFIG_INT, offsetof(settings, local), 128, 1, 1 << 20},
    {"global_attn_every_n_layers", PM_CONFIG_INT, offsetof(settings, every), 3, 1, 512},
    {"global_rope_theta", PM_CONFIG_REAL, offsetof(settings, global_theta), 160000, 1e-3, 1e12},
    {"local_rope_theta", PM_CONFIG_REAL, offsetof(settings, local_theta), 10000, 1e-3, 1e12},
    BIAS("norm_bias", norm_bias, 0),
    BIAS("attention_bias", attention_bias, 0),
    BIAS("mlp_bias", mlp_bias, 0),
    BIAS("decoder_bias", decoder_bias, 1),
    BIAS("classifier_bias", classifier_bias, 0),
};

static void drop_biases(pm_model *m, const settings *s) {
    pm_stack *st = &m->spec.stack[0];
    pm_head *h = &m->spec.last;
    if (!s->norm_bias)
        m->spec.embed[0].norm.bias = st->self_norm.bias = st->ffn_norm.bias = st->final_norm.bias =
            h->norm.bias = NULL;
    if (!s->attention_bias) st->self.qkv.bias = st->self.o.bias = NULL;
    if (!s->mlp_bias) st->gate_up.bias = st->down.bias = NULL;
    if (!s->classifier_bias) h->dense.bias = NULL;
    if (!s->decoder_bias && pm_encoder_task_of(m) == PM_ENCODER_FILL) h->out.bias = NULL;
}

/* "layer_types", or else all layers but each every-th see the near tokens alone. */
static pm_status read_reach(pm_model *m, const pm_config *c, const settings *s) {
    static const char *const types[] = {"full_attention", "sliding_attention"};
    pm_stack *st = &m->spec.stack[0];
    size_t n = (size_t)st->n_layers;
    int64_t *reach = pm_arena_alloc(&m->arena, n * sizeof *reach);
    int *kinds = pm_arena_alloc(&m->arena, n * sizeof *kinds);
    if (!reach || !kinds) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++) kinds[i] = i % (size_t)s->every != 0;
    if (pm_config_has(c, NULL, "layer_types"))
        PM_TRY(pm_config_choose_each(c, &(pm_config_choice){"layer_types", NULL, types, PM_COUNT(types)},
                                     kinds, n));
    for (size_t i = 0; i < n; i++) reach[i] = kinds[i] ? s->local / 2 : PM_REACH_ALL;
    st->reach = reach;
    st->window_rope = true;
    return PM_OK;
}

static pm_status read_heads(pm_model *m, const pm_config *c) {
    static const char *const poolings[] = {"cls", "mean"};
    pm_head *h = &m->spec.last;
    int pooling, act;
    PM_TRY(
        pm_config_choose(c, NULL, &(pm_config_choice){"classifier_pooling", "cls", poolings, 2}, &pooling));
    PM_TRY(pm_config_choose(
        c, NULL,
        &(pm_config_choice){"classifier_activation", "gelu", pm_activation_names, pm_n_activation_names},
        &act));
    h->act = pm_activation_of(act);
    if (pm_encoder_task_of(m) == PM_ENCODER_CLASSIFY) h->pick = pooling ? PM_PICK_MEAN : PM_PICK_FIRST;
    return PM_OK;
}

static pm_status adjust(pm_model *m, const pm_config *c, const pm_encoder *s) {
    settings own;
    pm_rope *rope = m->spec.rope;
    PM_TRY(pm_config_read(c, NULL, own_fields, PM_COUNT(own_fields), &own));
    PM_TRY(pm_check_rotary(m->spec.stack[0].head_dim, s->positions));
    PM_TRY(read_reach(m, c, &own));
    PM_TRY(read_heads(m, c));
    PM_TRY(pm_rope_read(c, "rope_parameters.full_attention", own.global_theta, &rope[0]));
    PM_TRY(pm_rope_read(c, "rope_parameters.sliding_attention", own.local_theta, &rope[1]));
    drop_biases(m, &own);
    return PM_OK;
}

#define HEAD .dense = "head.dense", .norm = "head.norm"

static const pm_encoder_family family = {
    .fields = fields,
    .n_fields = PM_COUNT(fields),
    .act_key = "hidden_activation",
    .act = "gelu",
    .prefix = "model.",
    .tokens = "embeddings.tok_embeddings.weight",
    .norm = "embeddings.norm",
    .stack = {.prefix = "layers.",
              .label = "layer",
              .norm = PM_NORM_LAYER,
              .norm_first = true,
              .first_bare = true,
              .rotary = true,
              .self = {.qkv = PAIR("attn.Wqkv"), .o = PAIR("attn.Wo")},
              .self_norm = PAIR("attn_norm"),
              .ffn_norm = PAIR("mlp_norm"),
              .gate_up = PAIR("mlp.Wi"),
              .down = PAIR("mlp.Wo"),
              .final_norm = PAIR("final_norm")},
    .heads =
        {
            [PM_ENCODER_FILL] = {HEAD, .out = "decoder"},
            [PM_ENCODER_CLASSIFY] = {HEAD, .out = "classifier"},
            [PM_ENCODER_TAG] = {HEAD, .out = "classifier"},
            [PM_ENCODER_ANSWER] = {HEAD, .out = "classifier"},
        },
    .adjust = adjust,
};

pm_status pm_modernbert_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &family);
}
