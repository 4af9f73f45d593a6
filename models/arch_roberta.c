/* RoBERTa (Liu et al. 2019), XLM-RoBERTa and CamemBERT, whose files differ in nothing but their vocabularies, and MPNet (Song
 * et al. 2020): positions count the ids that are no padding; MPNet adds a bias by distance to the scores. */
#include "models/arch_encoder.h"

#include <inttypes.h>

#define PAIR PM_ENCODER_PAIR

static const pm_config_field roberta_fields[] = {
    PM_BERT_FIELDS,
    PM_ENCODER_INT("pad_token_id", pad, 1, 0, 1 << 24),
    PM_ENCODER_BOOL("is_decoder", decoder, 0),
};

static pm_status adjust_roberta(pm_model *m, const pm_config *c, const pm_encoder *s) {
    (void)m, (void)s;
    return pm_encoder_want_absolute(c);
}

static const pm_encoder_family roberta = {
    .fields = roberta_fields,
    .n_fields = PM_COUNT(roberta_fields),
    .prefix = "roberta.",
    PM_BERT_BODY,
    .counted = true,
    .heads = PM_ROBERTA_HEADS,
    .adjust = adjust_roberta,
};

/* Its padding is id 1, whatever config.json says. */
static const pm_config_field mpnet_fields[] = {
    PM_ENCODER_SIZES(512),
    PM_ENCODER_REAL("layer_norm_eps", eps, 1e-12),
};

enum { MPNET_BUCKETS = 32, MPNET_DISTANCE = 128 };

static pm_status adjust_mpnet(pm_model *m, const pm_config *c, const pm_encoder *s) {
    const pm_config_field field = {
        "relative_attention_num_buckets", PM_CONFIG_INT, 0, MPNET_BUCKETS, 1, 1 << 20};
    int64_t buckets;
    (void)m, (void)s;
    PM_TRY(pm_config_read(c, NULL, &field, 1, &buckets));
    if (buckets == MPNET_BUCKETS) return PM_OK;
    return pm_raise(PM_ERR_FILE, "config.json: relative_attention_num_buckets is %" PRId64 ", expected %d",
                    buckets, (int)MPNET_BUCKETS);
}

static const pm_encoder_family mpnet = {
    .fields = mpnet_fields,
    .n_fields = PM_COUNT(mpnet_fields),
    .act_key = "hidden_act",
    .act = "gelu",
    .prefix = "mpnet.",
    PM_BERT_EMBEDDING,
    .counted = true,
    .stack = {.prefix = "encoder.layer.",
              .label = "layer",
              .norm = PM_NORM_LAYER,
              .relative = {.weight = "encoder.relative_attention_bias.weight",
                           .buckets = MPNET_BUCKETS,
                           .max_distance = MPNET_DISTANCE},
              .self = {.q = PAIR("attention.attn.q"),
                       .k = PAIR("attention.attn.k"),
                       .v = PAIR("attention.attn.v"),
                       .o = PAIR("attention.attn.o")},
              .self_norm = PAIR("attention.LayerNorm"),
              .ffn_norm = PAIR("output.LayerNorm"),
              .up = PAIR("intermediate.dense"),
              .down = PAIR("output.dense")},
    .heads = PM_ROBERTA_HEADS,
    .adjust = adjust_mpnet,
};

pm_status pm_roberta_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &roberta);
}

pm_status pm_mpnet_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &mpnet);
}
