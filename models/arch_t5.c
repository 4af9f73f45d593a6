/* T5 (Raffel et al. 2019) and its kin as Hugging Face keeps them: T5 v1.1 and Flan-T5 (gated feed-forward, a head of their
 * own), mT5 (Xue et al. 2020), UMT5 (Chung et al. 2023: relative positions of each layer's own). RMS norms first, scores
 * not scaled, no biases; the encoder alone for embeddings. */
#include "models/blocks.h"

#include <math.h>
#include <string.h>

typedef struct settings {
    int64_t vocab, width, head_dim, heads, ffn, layers, decoder_layers, buckets, max_distance, positions;
    float eps;
    bool tied, scaled;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"d_model", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 1, 65536},
    {"d_kv", PM_CONFIG_INT, offsetof(settings, head_dim), PM_CONFIG_REQUIRED, 1, 4096},
    {"d_ff", PM_CONFIG_INT, offsetof(settings, ffn), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"num_layers", PM_CONFIG_INT, offsetof(settings, layers), PM_CONFIG_REQUIRED, 1, 512},
    {"num_decoder_layers", PM_CONFIG_INT, offsetof(settings, decoder_layers), 0, 1, 512},
    {"num_heads", PM_CONFIG_INT, offsetof(settings, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"relative_attention_num_buckets", PM_CONFIG_INT, offsetof(settings, buckets), 32, 4, 65536},
    {"relative_attention_max_distance", PM_CONFIG_INT, offsetof(settings, max_distance), 128, 2, 1 << 20},
    {"n_positions", PM_CONFIG_INT, offsetof(settings, positions), 512, 1, 65536},
    {"layer_norm_epsilon", PM_CONFIG_REAL, offsetof(settings, eps), 1e-6, 0, 1},
    {"tie_word_embeddings", PM_CONFIG_BOOL, offsetof(settings, tied), 1, 0, 1},
};
/* Newer configs tie always and say the scale apart; in older ones tie_word_embeddings says both. */
static const pm_config_field scale_field[] = {
    {"scale_decoder_outputs", PM_CONFIG_BOOL, offsetof(settings, scaled), PM_CONFIG_REQUIRED, 0, 1},
};

#define RELATIVE "layer.0.SelfAttention.relative_attention_bias.weight"
#define WEIGHT(name)                                                                                         \
    { name ".weight", NULL }
#define SIDE(side, ffn_layer)                                                                                \
    .prefix = side ".block.", .label = side, .norm = PM_NORM_RMS, .norm_first = true, .raw_scores = true,    \
    .self = {.q = WEIGHT("layer.0.SelfAttention.q"),                                                         \
             .k = WEIGHT("layer.0.SelfAttention.k"),                                                         \
             .v = WEIGHT("layer.0.SelfAttention.v"),                                                         \
             .o = WEIGHT("layer.0.SelfAttention.o")},                                                        \
    .self_norm = WEIGHT("layer.0.layer_norm"), .ffn_norm = WEIGHT("layer." ffn_layer ".layer_norm"),         \
    .gate = WEIGHT("layer." ffn_layer ".DenseReluDense.wi_0"),                                               \
    .up = WEIGHT("layer." ffn_layer ".DenseReluDense.wi_1"),                                                 \
    .down = WEIGHT("layer." ffn_layer ".DenseReluDense.wo"), .final_norm = WEIGHT(side ".final_layer_norm"), \
    .hidden_out = side "_hidden_states", .self_out = side "_attentions",                                     \
    .relative = {.weight = side ".block.0." RELATIVE}

static const pm_stack names[2] = {
    {SIDE("encoder", "1")},
    {SIDE("decoder", "2"), .causal = true,
     .cross = {.q = WEIGHT("layer.1.EncDecAttention.q"),
               .k = WEIGHT("layer.1.EncDecAttention.k"),
               .v = WEIGHT("layer.1.EncDecAttention.v"),
               .o = WEIGHT("layer.1.EncDecAttention.o")},
     .cross_norm = WEIGHT("layer.1.layer_norm"), .cross_out = "cross_attentions"},
};
static const pm_pair plain_up[2] = {WEIGHT("layer.1.DenseReluDense.wi"), WEIGHT("layer.2.DenseReluDense.wi")};

/* What differs between the model types. */
static const struct kind {
    const char *model_type, *feed_forward; /* where config.json does not say */
    bool own_relative, scales;
} kinds[] = {
    {"t5", "relu", false, true}, {"mt5", "gated-gelu", false, false}, {"umt5", "gated-gelu", true, true}};

static const struct kind *kind_of(const pm_model *m) {
    size_t i = 0;
    while (i + 1 < PM_COUNT(kinds) && strcmp(kinds[i].model_type, m->arch->model_type) != 0) i++;
    return &kinds[i];
}

/* T5's "gated-gelu" means the tanh approximation. */
static const char *const feed_forwards[] = {
    "relu",       "gelu",       "gelu_new",       "gelu_pytorch_tanh",       "silu",       "swish",
    "gated-relu", "gated-gelu", "gated-gelu_new", "gated-gelu_pytorch_tanh", "gated-silu", "gated-swish"};
static const pm_activation activations[] = {
    PM_ACTIVATION_RELU,      PM_ACTIVATION_GELU,      PM_ACTIVATION_GELU_TANH, PM_ACTIVATION_GELU_TANH,
    PM_ACTIVATION_SILU,      PM_ACTIVATION_SILU,      PM_ACTIVATION_RELU,      PM_ACTIVATION_GELU_TANH,
    PM_ACTIVATION_GELU_TANH, PM_ACTIVATION_GELU_TANH, PM_ACTIVATION_SILU,      PM_ACTIVATION_SILU};
enum { N_PLAIN = PM_COUNT(feed_forwards) / 2 };

/* Tied tensors are saved once, under any of their names. */
static const char *embedding_of(const pm_model *m) {
    static const char *const known[] = {"shared.weight", "encoder.embed_tokens.weight",
                                        "decoder.embed_tokens.weight"};
    for (size_t i = 0; i < PM_COUNT(known); i++)
        if (pm_checkpoint_has(&m->checkpoint, known[i])) return known[i];
    return known[0];
}

/* Distances of one side must reach past the buckets of one distance each. */
static pm_status check_distances(const settings *c) {
    if (c->max_distance > c->buckets / 2) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "config.json: relative_attention_max_distance is %lld, expected more than half of "
                    "relative_attention_num_buckets, which is %lld",
                    (long long)c->max_distance, (long long)c->buckets);
}

static void describe_side(pm_model *m, const settings *c, const struct kind *k, int feed_forward, int side) {
    pm_stack *st = &m->spec.stack[side];
    *st = names[side];
    st->n_layers = side ? c->decoder_layers : c->layers;
    st->width = c->width;
    st->n_heads = st->n_kv_heads = c->heads;
    st->head_dim = c->head_dim;
    st->ffn = c->ffn;
    st->eps = c->eps;
    st->act = activations[feed_forward];
    if (feed_forward < N_PLAIN) st->gate = (pm_pair){NULL, NULL}, st->up = plain_up[side];
    if (k->own_relative) st->relative = (pm_relative){.own = RELATIVE};
    st->relative.buckets = c->buckets;
    st->relative.max_distance = c->max_distance;
    m->spec.embed[side] = (pm_embedding){.tokens = embedding_of(m), .vocab = c->vocab};
}

/* The head is the embedding unless the file has one. */
static void describe_outputs(pm_model *m, const settings *c, const struct kind *k) {
    pm_spec *spec = &m->spec;
    if (!m->arch->encoder_decoder) { /* the encoder alone calls its outputs as other encoders do */
        spec->stack[0].hidden_out = "hidden_states";
        spec->stack[0].self_out = "attentions";
    }
    if (!m->arch->decoder) return;
    bool own = pm_checkpoint_has(&m->checkpoint, "lm_head.weight");
    spec->head.weight = own ? "lm_head.weight" : spec->embed[1].tokens;
    if (c->scaled && k->scales) spec->head_scale = (float)(1 / sqrt((double)c->width));
}

pm_status pm_t5_configure(pm_model *m, const pm_config *config) {
    const struct kind *k = kind_of(m);
    const pm_config_choice forward = {"feed_forward_proj", k->feed_forward, feed_forwards,
                                      PM_COUNT(feed_forwards)};
    settings c;
    int feed_forward;
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    PM_TRY(pm_config_choose(config, NULL, &forward, &feed_forward));
    PM_TRY(check_distances(&c));
    c.scaled = c.tied;
    if (pm_config_has(config, NULL, "scale_decoder_outputs"))
        PM_TRY(pm_config_read(config, NULL, scale_field, 1, &c));
    if (!c.decoder_layers) c.decoder_layers = c.layers;
    for (int side = 0; side < 2; side++) describe_side(m, &c, k, feed_forward, side);
    describe_outputs(m, &c, k);
    m->spec.max_positions = 65536; /* distances have no end; this one keeps sizes sane */
    m->spec.usual_new = c.positions;
    return PM_OK;
}
