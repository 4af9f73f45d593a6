/* DistilBERT (Sanh et al. 2019): BERT without types and pooler, under names of its own. */
#include "models/arch_encoder.h"
#include "models/blocks.h"

#define PAIR PM_ENCODER_PAIR

static const pm_config_field fields[] = {
    PM_ENCODER_INT("vocab_size", vocab, PM_CONFIG_REQUIRED, 1, 1 << 24),
    PM_ENCODER_INT("max_position_embeddings", positions, 512, 1, 1 << 20),
    PM_ENCODER_INT("dim", width, PM_CONFIG_REQUIRED, 1, 65536),
    PM_ENCODER_INT("n_layers", layers, PM_CONFIG_REQUIRED, 1, 512),
    PM_ENCODER_INT("n_heads", heads, PM_CONFIG_REQUIRED, 1, 1024),
    PM_ENCODER_INT("hidden_dim", inner, PM_CONFIG_REQUIRED, 1, 1 << 20),
    PM_ENCODER_INT("num_labels", labels, 0, 1, 1 << 20),
    PM_ENCODER_BOOL("tie_word_embeddings", tied, 1),
};

/* Sinusoids are kept in the file like learned positions; where they are not, they are computed. */
static pm_status adjust(pm_model *m, const pm_config *c, const pm_encoder *s) {
    const pm_config_field field = {"sinusoidal_pos_embds", PM_CONFIG_BOOL, 0, 0, 0, 1};
    pm_embedding *e = &m->spec.embed[0];
    bool sinusoidal;
    (void)s;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &sinusoidal));
    if (!sinusoidal || pm_checkpoint_has(&m->checkpoint, e->positions)) return PM_OK;
    e->positions = "sinusoids";
    e->fill = pm_fill_sinusoids;
    return PM_OK;
}

static const pm_encoder_family family = {
    .fields = fields,
    .n_fields = PM_COUNT(fields),
    .act_key = "activation",
    .act = "gelu",
    .prefix = "distilbert.",
    PM_BERT_EMBEDDING,
    .stack = {.prefix = "transformer.layer.",
              .label = "layer",
              .norm = PM_NORM_LAYER,
              .self = {.q = PAIR("attention.q_lin"),
                       .k = PAIR("attention.k_lin"),
                       .v = PAIR("attention.v_lin"),
                       .o = PAIR("attention.out_lin")},
              .self_norm = PAIR("sa_layer_norm"),
              .ffn_norm = PAIR("output_layer_norm"),
              .up = PAIR("ffn.lin1"),
              .down = PAIR("ffn.lin2")},
    .heads =
        {
            [PM_ENCODER_FILL] = {.dense = "vocab_transform",
                                 .stack_act = true,
                                 .norm = "vocab_layer_norm",
                                 .out = "vocab_projector"},
            [PM_ENCODER_CLASSIFY] = {PM_PICK_FIRST, "pre_classifier", .act = PM_ACTIVATION_RELU,
                                     .out = "classifier"},
            [PM_ENCODER_TAG] = {.out = "classifier"},
            [PM_ENCODER_ANSWER] = {.out = "qa_outputs"},
        },
    .adjust = adjust,
};

pm_status pm_distilbert_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &family);
}
