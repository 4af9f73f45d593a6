/* BERT (Devlin et al. 2018) and encoders whose layers are BERT's: ELECTRA (Clark et al. 2020), as Hugging Face keeps them:
 * learned positions and types, norm after. */
#include "models/arch_encoder.h"

static const pm_config_field bert_fields[] = {
    PM_BERT_FIELDS,
    PM_ENCODER_BOOL("is_decoder", decoder, 0),
};

static const pm_config_field electra_fields[] = {
    PM_BERT_FIELDS,
    PM_ENCODER_INT("embedding_size", embedding, 128, 1, 65536),
    PM_ENCODER_BOOL("is_decoder", decoder, 0),
};

/* Norms of old files (converted from TensorFlow) are called gamma and beta; those outside the layers are found so. */
static pm_status adjust(pm_model *m, const pm_config *c, const pm_encoder *s) {
    pm_stack *st = &m->spec.stack[0];
    const char *first = pm_model_name(m, st->prefix, "0.output.LayerNorm.gamma");
    (void)s;
    if (!first) return PM_ERR_MEMORY;
    if (pm_checkpoint_has(&m->checkpoint, first)) {
        st->self_norm = (pm_pair){"attention.output.LayerNorm.gamma", "attention.output.LayerNorm.beta"};
        st->ffn_norm = (pm_pair){"output.LayerNorm.gamma", "output.LayerNorm.beta"};
    }
    return pm_encoder_want_absolute(c);
}

static const pm_encoder_family bert = {
    .fields = bert_fields,
    .n_fields = PM_COUNT(bert_fields),
    .prefix = "bert.",
    PM_BERT_BODY,
    .heads =
        {
            [PM_ENCODER_FEATURES] = {PM_PICK_FIRST, "pooler.dense", true, .act = PM_ACTIVATION_TANH},
            [PM_ENCODER_FILL] = {.dense = "cls.predictions.transform.dense",
                                 .stack_act = true,
                                 .norm = "cls.predictions.transform.LayerNorm",
                                 .out = "cls.predictions.decoder",
                                 .tied_bias = "cls.predictions.bias"},
            [PM_ENCODER_CLASSIFY] = {PM_PICK_FIRST, "pooler.dense", true, .act = PM_ACTIVATION_TANH,
                                     .out = "classifier"},
            [PM_ENCODER_TAG] = {.out = "classifier"},
            [PM_ENCODER_ANSWER] = {.out = "qa_outputs"},
        },
    .adjust = adjust,
};

static const pm_encoder_family electra = {
    .fields = electra_fields,
    .n_fields = PM_COUNT(electra_fields),
    .prefix = "electra.",
    PM_BERT_BODY,
    .project = "embeddings_project",
    .heads =
        {
            [PM_ENCODER_FILL] = {.dense = "generator_predictions.dense",
                                 .act = PM_ACTIVATION_GELU,
                                 .norm = "generator_predictions.LayerNorm",
                                 .out = "generator_lm_head"},
            [PM_ENCODER_CLASSIFY] = {PM_PICK_FIRST, "classifier.dense", .act = PM_ACTIVATION_GELU,
                                     .out = "classifier.out_proj"},
            [PM_ENCODER_TAG] = {.out = "classifier"},
            [PM_ENCODER_ANSWER] = {.out = "qa_outputs"},
            [PM_ENCODER_DETECT] = {.dense = "discriminator_predictions.dense",
                                   .stack_act = true,
                                   .out = "discriminator_predictions.dense_prediction"},
        },
    .adjust = adjust,
};

pm_status pm_bert_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &bert);
}

pm_status pm_electra_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &electra);
}
