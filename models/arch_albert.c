/* ALBERT (Lan et al. 2019): narrow embeddings that are projected, and layers that share their weights by group. */
#include "models/arch_encoder.h"

#include <inttypes.h>
#include <stdio.h>

#define PAIR PM_ENCODER_PAIR

static const pm_config_field fields[] = {
    PM_BERT_FIELDS,
    PM_ENCODER_INT("embedding_size", embedding, 128, 1, 65536),
    PM_ENCODER_BOOL("is_decoder", decoder, 0),
};

typedef struct groups {
    int64_t n, inner; /* groups; layers of each, which run one after the other at each of its places */
} groups;
static const pm_config_field group_fields[] = {
    {"num_hidden_groups", PM_CONFIG_INT, offsetof(groups, n), 1, 1, 512},
    {"inner_group_num", PM_CONFIG_INT, offsetof(groups, inner), 1, 1, 64},
};

/* What the names of each layer begin with. */
static pm_status name_layers(pm_model *m, const groups *g, int64_t places) {
    pm_stack *st = &m->spec.stack[0];
    const char **prefixes = pm_arena_alloc(&m->arena, (size_t)st->n_layers * sizeof *prefixes);
    if (!prefixes) return PM_ERR_MEMORY;
    for (int64_t i = 0; i < st->n_layers; i++) {
        char text[96];
        int64_t group = (int64_t)((double)(i / g->inner) / ((double)places / (double)g->n));
        snprintf(text, sizeof text, "albert_layer_groups.%" PRId64 ".albert_layers.%" PRId64 ".", group,
                 i % g->inner);
        prefixes[i] = pm_model_name(m, st->prefix, text);
        if (!prefixes[i]) return PM_ERR_MEMORY;
    }
    st->prefixes = prefixes;
    return PM_OK;
}

static pm_status adjust(pm_model *m, const pm_config *c, const pm_encoder *s) {
    pm_stack *st = &m->spec.stack[0];
    groups g;
    PM_TRY(pm_encoder_want_absolute(c));
    PM_TRY(pm_config_read(c, NULL, group_fields, PM_COUNT(group_fields), &g));
    if (g.n > s->layers)
        return pm_raise(PM_ERR_FILE,
                        "config.json: num_hidden_groups is %" PRId64
                        ", expected at most num_hidden_layers, which is %" PRId64,
                        g.n, s->layers);
    m->spec.embed[0].project = pm_encoder_pair(m, st->prefix, "embedding_hidden_mapping_in");
    if (!m->spec.embed[0].project.bias) return PM_ERR_MEMORY;
    st->n_layers = s->layers * g.inner;
    return name_layers(m, &g, s->layers);
}

static const pm_encoder_family family = {
    .fields = fields,
    .n_fields = PM_COUNT(fields),
    .act_key = "hidden_act",
    .act = "gelu_new",
    .prefix = "albert.",
    PM_BERT_EMBEDDING,
    PM_BERT_TYPES,
    .stack = {.prefix = "encoder.",
              .label = "layer",
              .norm = PM_NORM_LAYER,
              .self = {.q = PAIR("attention.query"),
                       .k = PAIR("attention.key"),
                       .v = PAIR("attention.value"),
                       .o = PAIR("attention.dense")},
              .self_norm = PAIR("attention.LayerNorm"),
              .ffn_norm = PAIR("full_layer_layer_norm"),
              .up = PAIR("ffn"),
              .down = PAIR("ffn_output")},
    .heads =
        {
            [PM_ENCODER_FEATURES] = {PM_PICK_FIRST, "pooler", true, .act = PM_ACTIVATION_TANH},
            [PM_ENCODER_FILL] = {.dense = "predictions.dense",
                                 .stack_act = true,
                                 .norm = "predictions.LayerNorm",
                                 .out = "predictions.decoder",
                                 .tied_bias = "predictions.bias"},
            [PM_ENCODER_CLASSIFY] = {PM_PICK_FIRST, "pooler", true, .act = PM_ACTIVATION_TANH,
                                     .out = "classifier"},
            [PM_ENCODER_TAG] = {.out = "classifier"},
            [PM_ENCODER_ANSWER] = {.out = "qa_outputs"},
        },
    .adjust = adjust,
};

pm_status pm_albert_configure(pm_model *m, const pm_config *c) {
    return pm_encoder_configure(m, c, &family);
}
