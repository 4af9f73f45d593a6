/* Encoder-decoders of fairseq's and Marian's line as Hugging Face keeps them: BART (Lewis et al. 2019), Marian
 * (Junczys-Dowmunt et al. 2018), M2M-100 and NLLB (Fan et al. 2020). They differ in positions and in where norms stand. */
#include "models/blocks.h"

#include <math.h>

typedef struct settings {
    int64_t vocab, source_vocab, positions, width, layers[2], heads[2], inner[2], pad;
    bool scaled, tied, shared;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, source_vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"decoder_vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), 0, 1, 1 << 24},
    {"max_position_embeddings", PM_CONFIG_INT, offsetof(settings, positions), 1024, 1, 1 << 20},
    {"d_model", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 4, 65536},
    {"encoder_layers", PM_CONFIG_INT, offsetof(settings, layers[0]), PM_CONFIG_REQUIRED, 1, 512},
    {"decoder_layers", PM_CONFIG_INT, offsetof(settings, layers[1]), PM_CONFIG_REQUIRED, 1, 512},
    {"encoder_attention_heads", PM_CONFIG_INT, offsetof(settings, heads[0]), PM_CONFIG_REQUIRED, 1, 1024},
    {"decoder_attention_heads", PM_CONFIG_INT, offsetof(settings, heads[1]), PM_CONFIG_REQUIRED, 1, 1024},
    {"encoder_ffn_dim", PM_CONFIG_INT, offsetof(settings, inner[0]), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"decoder_ffn_dim", PM_CONFIG_INT, offsetof(settings, inner[1]), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"scale_embedding", PM_CONFIG_BOOL, offsetof(settings, scaled), 0, 0, 1},
    {"tie_word_embeddings", PM_CONFIG_BOOL, offsetof(settings, tied), 1, 0, 1},
    {"share_encoder_decoder_embeddings", PM_CONFIG_BOOL, offsetof(settings, shared), 1, 0, 1},
    {"pad_token_id", PM_CONFIG_INT, offsetof(settings, pad), 1, 0, 1 << 24},
};

#define PAIR(name)                                                                                           \
    { name ".weight", name ".bias" }
/* What both sides and all three families call alike. */
#define SIDE(side)                                                                                           \
    .prefix = "model." side ".layers.", .label = side, .norm = PM_NORM_LAYER, .eps = 1e-5f,                  \
    .self = {.q = PAIR("self_attn.q_proj"),                                                                  \
             .k = PAIR("self_attn.k_proj"),                                                                  \
             .v = PAIR("self_attn.v_proj"),                                                                  \
             .o = PAIR("self_attn.out_proj")},                                                               \
    .self_norm = PAIR("self_attn_layer_norm"), .ffn_norm = PAIR("final_layer_norm"), .up = PAIR("fc1"),      \
    .down = PAIR("fc2"), .hidden_out = side "_hidden_states", .self_out = side "_attentions"

static const pm_stack names[2] = {
    {SIDE("encoder")},
    {SIDE("decoder"), .causal = true,
     .cross = {.q = PAIR("encoder_attn.q_proj"),
               .k = PAIR("encoder_attn.k_proj"),
               .v = PAIR("encoder_attn.v_proj"),
               .o = PAIR("encoder_attn.out_proj")},
     .cross_norm = PAIR("encoder_attn_layer_norm"), .cross_out = "cross_attentions"},
};
static const pm_pair last_norm[2] = {PAIR("model.encoder.layer_norm"), PAIR("model.decoder.layer_norm")};
static const pm_pair embed_norm[2] = {PAIR("model.encoder.layernorm_embedding"),
                                      PAIR("model.decoder.layernorm_embedding")};
static const char *const learned[2] = {"model.encoder.embed_positions.weight",
                                       "model.decoder.embed_positions.weight"};

static pm_status configure(pm_model *m, const pm_config *config, settings *c) {
    static const char *const keys[] = {"encoder_attention_heads", "decoder_attention_heads"};
    const pm_config_choice act = {"activation_function", "gelu", pm_activation_names, pm_n_activation_names};
    pm_spec *spec = &m->spec;
    int kind;
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), c));
    PM_TRY(pm_config_choose(config, NULL, &act, &kind));
    if (!c->vocab) c->vocab = c->source_vocab;
    for (int side = 0; side < 2; side++) {
        pm_stack *st = &spec->stack[side];
        PM_TRY(pm_check_divides(keys[side], c->heads[side], "d_model", c->width));
        *st = names[side];
        st->n_layers = c->layers[side];
        st->width = c->width;
        st->n_heads = st->n_kv_heads = c->heads[side];
        st->head_dim = c->width / c->heads[side];
        st->ffn = c->inner[side];
        st->act = pm_activation_of(kind);
        spec->embed[side] = (pm_embedding){.tokens = "model.shared.weight",
                                           .vocab = side ? c->vocab : c->source_vocab,
                                           .scale = c->scaled ? (float)sqrt((double)c->width) : 0};
    }
    spec->head.weight = c->tied ? "model.shared.weight" : "lm_head.weight";
    spec->max_positions = c->positions;
    return PM_OK;
}

pm_status pm_bart_configure(pm_model *m, const pm_config *config) {
    settings c;
    PM_TRY(configure(m, config, &c));
    for (int side = 0; side < 2; side++) {
        pm_embedding *e = &m->spec.embed[side];
        e->positions = learned[side];
        e->skipped = 2;
        e->norm = embed_norm[side];
    }
    m->spec.logits_bias = "final_logits_bias";
    return PM_OK;
}

/* Sides with vocabularies of their own have embeddings of their own. */
pm_status pm_marian_configure(pm_model *m, const pm_config *config) {
    static const char *const apart[] = {"model.encoder.embed_tokens.weight",
                                        "model.decoder.embed_tokens.weight"};
    settings c;
    PM_TRY(configure(m, config, &c));
    for (int side = 0; side < 2; side++) {
        pm_embedding *e = &m->spec.embed[side];
        e->positions = "positions.sinusoid_halves";
        e->fill = pm_fill_sinusoid_halves;
        if (!c.shared) e->tokens = apart[side];
    }
    if (c.tied && !c.shared) m->spec.head.weight = apart[1];
    m->spec.logits_bias = "final_logits_bias";
    return PM_OK;
}

pm_status pm_m2m100_configure(pm_model *m, const pm_config *config) {
    settings c;
    PM_TRY(configure(m, config, &c));
    for (int side = 0; side < 2; side++) {
        pm_embedding *e = &m->spec.embed[side];
        pm_stack *st = &m->spec.stack[side];
        e->positions = "positions.sinusoid_fairseq";
        e->fill = pm_fill_sinusoid_fairseq;
        e->skipped = c.pad + 1;
        e->has_blank = true;
        e->blank = (int32_t)c.pad;
        st->norm_first = true;
        st->final_norm = last_norm[side];
    }
    return PM_OK;
}
