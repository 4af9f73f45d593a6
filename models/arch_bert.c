/* BERT (Devlin et al. 2018) as Hugging Face keeps it: learned positions and types, norm after, four heads:
 * features, masked words, classes of texts, classes of tokens. */
#include "models/stack.h"

#include <string.h>

typedef struct settings {
    int64_t vocab, positions, types, width, layers, heads, inner, labels;
    float eps;
    bool tied, decoder;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"max_position_embeddings", PM_CONFIG_INT, offsetof(settings, positions), 512, 1, 1 << 20},
    {"type_vocab_size", PM_CONFIG_INT, offsetof(settings, types), 2, 1, 65536},
    {"hidden_size", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 1, 65536},
    {"num_hidden_layers", PM_CONFIG_INT, offsetof(settings, layers), PM_CONFIG_REQUIRED, 1, 512},
    {"num_attention_heads", PM_CONFIG_INT, offsetof(settings, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"intermediate_size", PM_CONFIG_INT, offsetof(settings, inner), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"num_labels", PM_CONFIG_INT, offsetof(settings, labels), 0, 1, 1 << 20},
    {"layer_norm_eps", PM_CONFIG_REAL, offsetof(settings, eps), 1e-12, 0, 1},
    {"tie_word_embeddings", PM_CONFIG_BOOL, offsetof(settings, tied), 1, 0, 1},
    {"is_decoder", PM_CONFIG_BOOL, offsetof(settings, decoder), 0, 0, 1},
};

static const pm_stack names = {
    .label = "layer",
    .norm = PM_NORM_LAYER,
    .self = {.q = {"attention.self.query.weight", "attention.self.query.bias"},
             .k = {"attention.self.key.weight", "attention.self.key.bias"},
             .v = {"attention.self.value.weight", "attention.self.value.bias"},
             .o = {"attention.output.dense.weight", "attention.output.dense.bias"}},
    .self_norm = {"attention.output.LayerNorm.weight", "attention.output.LayerNorm.bias"},
    .ffn_norm = {"output.LayerNorm.weight", "output.LayerNorm.bias"},
    .up = {"intermediate.dense.weight", "intermediate.dense.bias"},
    .down = {"output.dense.weight", "output.dense.bias"},
    .hidden_out = "hidden_states",
    .self_out = "attentions",
};

static pm_pair pair(pm_model *m, const char *prefix, const char *name) {
    const char *full = pm_model_name(m, prefix, name);
    return full ? (pm_pair){pm_model_name(m, full, ".weight"), pm_model_name(m, full, ".bias")}
                : (pm_pair){0};
}

/* Norms of old files (converted from TensorFlow) are called gamma and beta. */
static void use_old_names(pm_spec *spec) {
    pm_stack *st = &spec->stack[0];
    st->self_norm = (pm_pair){"attention.output.LayerNorm.gamma", "attention.output.LayerNorm.beta"};
    st->ffn_norm = (pm_pair){"output.LayerNorm.gamma", "output.LayerNorm.beta"};
    spec->head_norm =
        (pm_pair){"cls.predictions.transform.LayerNorm.gamma", "cls.predictions.transform.LayerNorm.beta"};
}

/* The bias stands in the file under two names; the layer's own counts when nothing is tied. */
static void name_fill_head(pm_model *m, const settings *c) {
    static const char own_bias[] = "cls.predictions.decoder.bias";
    m->spec.head = (pm_pair){m->spec.embed[0].tokens, "cls.predictions.bias"};
    if (c->tied) return;
    m->spec.head.weight = "cls.predictions.decoder.weight";
    if (pm_checkpoint_has(&m->checkpoint, own_bias)) m->spec.head.bias = own_bias;
}

static pm_status name_tensors(pm_model *m, const settings *c) {
    pm_spec *spec = &m->spec;
    const char *prefix =
        pm_checkpoint_has(&m->checkpoint, "embeddings.word_embeddings.weight") ? "" : "bert.";
    pm_embedding *e = &spec->embed[0];
    spec->stack[0].prefix = pm_model_name(m, prefix, "encoder.layer.");
    *e = (pm_embedding){.tokens = pm_model_name(m, prefix, "embeddings.word_embeddings.weight"),
                        .vocab = c->vocab,
                        .positions = pm_model_name(m, prefix, "embeddings.position_embeddings.weight"),
                        .types = pm_model_name(m, prefix, "embeddings.token_type_embeddings.weight"),
                        .n_types = c->types,
                        .norm = pair(m, prefix, "embeddings.LayerNorm")};
    spec->pooler = pair(m, prefix, "pooler.dense");
    spec->head_transform =
        (pm_pair){"cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias"};
    spec->head_norm =
        (pm_pair){"cls.predictions.transform.LayerNorm.weight", "cls.predictions.transform.LayerNorm.bias"};
    spec->head = (pm_pair){"classifier.weight", "classifier.bias"};
    if (strcmp(m->arch->task, "fill") == 0) name_fill_head(m, c);
    const char *gamma = pm_model_name(m, prefix, "embeddings.LayerNorm.gamma");
    if (!gamma) return PM_ERR_MEMORY;
    if (pm_checkpoint_has(&m->checkpoint, gamma)) {
        e->norm = (pm_pair){gamma, pm_model_name(m, prefix, "embeddings.LayerNorm.beta")};
        use_old_names(spec);
    }
    return spec->stack[0].prefix && e->tokens && e->positions && e->types && e->norm.weight && e->norm.bias &&
                   spec->pooler.weight && spec->pooler.bias
               ? PM_OK
               : PM_ERR_MEMORY;
}

pm_status pm_bert_configure(pm_model *m, const pm_config *config) {
    static const char *const positions[] = {"absolute"};
    settings c;
    int act, position;
    pm_stack *st = &m->spec.stack[0];
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    PM_TRY(pm_check_divides("num_attention_heads", c.heads, "hidden_size", c.width));
    PM_TRY(pm_config_choose(
        config, NULL, &(pm_config_choice){"hidden_act", "gelu", pm_activation_names, pm_n_activation_names},
        &act));
    PM_TRY(pm_config_choose(
        config, NULL, &(pm_config_choice){"position_embedding_type", "absolute", positions, 1}, &position));
    if (c.decoder) return pm_raise(PM_ERR_FILE, "config.json: is_decoder is true, expected false");
    if (!c.labels) c.labels = (int64_t)pm_config_size(config, "id2label");
    *st = names;
    st->n_layers = c.layers;
    st->width = c.width;
    st->n_heads = st->n_kv_heads = c.heads;
    st->head_dim = c.width / c.heads;
    st->ffn = c.inner;
    st->eps = c.eps;
    st->act = pm_activation_of(act);
    m->spec.max_positions = c.positions;
    m->spec.n_labels = c.labels ? c.labels : 2; /* that library's default */
    return name_tensors(m, &c);
}

/* ---- the graph ---- */

/* tanh of a layer over the first token: [B,C]. */
static pm_tensor *pool(pm_build *b, pm_tensor *x) {
    int64_t batch = pm_tensor_dim(x, 0), c = pm_tensor_dim(x, 2);
    pm_build_label(b, "pooler", -1, NULL);
    x = pm_reshape(b->g, pm_slice(b->g, x, 1, 0, 1), 2, (int64_t[]){batch, c});
    return pm_tanh(b->g, pm_block_linear(b, x, &b->model->spec.pooler, &(pm_linear_shape){c, c, false}));
}

static pm_tensor *fill_head(pm_build *b, pm_tensor *x) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[0];
    pm_build_label(b, "cls", -1, NULL);
    x = pm_block_linear(b, x, &spec->head_transform, &(pm_linear_shape){st->width, st->width, false});
    x = pm_block_norm(b, pm_block_activation(b, x, st->act), &(pm_norm){PM_NORM_LAYER, st->eps, false},
                      &spec->head_norm);
    return pm_block_linear(b, x, &spec->head, &(pm_linear_shape){st->width, spec->embed[0].vocab, false});
}

void pm_bert_build(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[0];
    const pm_build_options *o = &b->options;
    const char *task = b->model->arch->task;
    pm_tensor *ids = pm_build_ids(b, "input_ids", o->batch, o->length);
    pm_tensor *types = o->types ? pm_build_ids(b, "token_type_ids", o->batch, o->length) : NULL;
    pm_context context = {.keys =
                              o->key_mask ? pm_build_ids(b, "attention_mask", o->batch, o->length) : NULL};
    pm_build_label(b, "embeddings", -1, NULL);
    pm_tensor *x = pm_block_embed(b, &spec->embed[0], st->width, ids, types);
    x = pm_stack_finish(b, st, pm_stack_layers(b, st, x, &context));
    if (!x) return;
    if (strcmp(task, "features") == 0) {
        pm_build_output(b, "last_hidden_state", -1, true, x);
        pm_build_output(b, "pooler_output", -1, true, pool(b, x));
    } else if (strcmp(task, "fill") == 0)
        pm_build_output(b, "logits", -1, true, fill_head(b, x));
    else {
        if (strcmp(task, "classify") == 0) x = pool(b, x);
        pm_build_label(b, "classifier", -1, NULL);
        x = pm_block_linear(b, x, &spec->head, &(pm_linear_shape){st->width, spec->n_labels, false});
        pm_build_output(b, "logits", -1, true, x);
    }
}
