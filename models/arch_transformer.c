/* The encoder-decoder Transformer (Vaswani et al. 2017) as torch.nn.Transformer keeps it: sinusoidal
 * positions, one qkv matrix, norm after (or first), a last norm on each side. */
#include "models/pooling.h"
#include "models/stack.h"

#include <math.h>

typedef struct settings {
    int64_t source_vocab, vocab, positions, width, heads, encoder_layers, decoder_layers, inner;
    float eps;
    bool norm_first, scaled;
} settings;

static const pm_config_field fields[] = {
    {"src_vocab_size", PM_CONFIG_INT, offsetof(settings, source_vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"max_position_embeddings", PM_CONFIG_INT, offsetof(settings, positions), 1024, 1, 65536},
    {"d_model", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 1, 65536},
    {"nhead", PM_CONFIG_INT, offsetof(settings, heads), PM_CONFIG_REQUIRED, 1, 1024},
    {"num_encoder_layers", PM_CONFIG_INT, offsetof(settings, encoder_layers), PM_CONFIG_REQUIRED, 1, 512},
    {"num_decoder_layers", PM_CONFIG_INT, offsetof(settings, decoder_layers), PM_CONFIG_REQUIRED, 1, 512},
    {"dim_feedforward", PM_CONFIG_INT, offsetof(settings, inner), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"layer_norm_eps", PM_CONFIG_REAL, offsetof(settings, eps), 1e-5, 0, 1},
    {"norm_first", PM_CONFIG_BOOL, offsetof(settings, norm_first), 0, 0, 1},
    {"scale_embedding", PM_CONFIG_BOOL, offsetof(settings, scaled), 1, 0, 1},
};

static const pm_attention_names self_names = {.qkv = {"self_attn.in_proj_weight", "self_attn.in_proj_bias"},
                                              .o = {"self_attn.out_proj.weight", "self_attn.out_proj.bias"}};
static const pm_stack names[2] = {
    {.prefix = "transformer.encoder.layers.",
     .label = "encoder",
     .norm = PM_NORM_LAYER,
     .self_norm = {"norm1.weight", "norm1.bias"},
     .ffn_norm = {"norm2.weight", "norm2.bias"},
     .up = {"linear1.weight", "linear1.bias"},
     .down = {"linear2.weight", "linear2.bias"},
     .final_norm = {"transformer.encoder.norm.weight", "transformer.encoder.norm.bias"},
     .hidden_out = "encoder_hidden_states",
     .self_out = "encoder_attentions"},
    {.prefix = "transformer.decoder.layers.",
     .label = "decoder",
     .norm = PM_NORM_LAYER,
     .causal = true,
     .cross = {.qkv = {"multihead_attn.in_proj_weight", "multihead_attn.in_proj_bias"},
               .o = {"multihead_attn.out_proj.weight", "multihead_attn.out_proj.bias"}},
     .self_norm = {"norm1.weight", "norm1.bias"},
     .cross_norm = {"norm2.weight", "norm2.bias"},
     .ffn_norm = {"norm3.weight", "norm3.bias"},
     .up = {"linear1.weight", "linear1.bias"},
     .down = {"linear2.weight", "linear2.bias"},
     .final_norm = {"transformer.decoder.norm.weight", "transformer.decoder.norm.bias"},
     .hidden_out = "decoder_hidden_states",
     .self_out = "decoder_attentions",
     .cross_out = "cross_attentions"},
};

pm_status pm_transformer_configure(pm_model *m, const pm_config *config) {
    static const char *const positions[] = {"sinusoidal"}, *const tables[] = {"src_embed.weight",
                                                                              "tgt_embed.weight"};
    settings c;
    int act, position;
    pm_spec *spec = &m->spec;
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    PM_TRY(pm_check_divides("nhead", c.heads, "d_model", c.width));
    PM_TRY(pm_config_choose(
        config, NULL, &(pm_config_choice){"activation", "relu", pm_activation_names, pm_n_activation_names},
        &act));
    PM_TRY(pm_config_choose(config, NULL, &(pm_config_choice){"positions", "sinusoidal", positions, 1},
                            &position));
    for (int side = 0; side < 2; side++) {
        pm_stack *st = &spec->stack[side];
        *st = names[side];
        st->self = self_names;
        st->n_layers = side ? c.decoder_layers : c.encoder_layers;
        st->width = c.width;
        st->n_heads = st->n_kv_heads = c.heads;
        st->head_dim = c.width / c.heads;
        st->ffn = c.inner;
        st->eps = c.eps;
        st->norm_first = c.norm_first;
        st->act = pm_activation_of(act);
        spec->embed[side] = (pm_embedding){.tokens = tables[side],
                                           .vocab = side ? c.vocab : c.source_vocab,
                                           .scale = c.scaled ? (float)sqrt((double)c.width) : 0,
                                           .positions = "positions.sinusoids",
                                           .fill = pm_fill_sinusoids};
    }
    spec->head = (pm_pair){"generator.weight", "generator.bias"};
    spec->max_positions = c.positions;
    return PM_OK;
}

/* ---- the graph ---- */

static pm_tensor *encode(pm_build *b, int64_t batch, const pm_context *context, const char *name) {
    const pm_spec *spec = &b->model->spec;
    pm_tensor *x;
    if (spec->front)
        x = spec->front(b);
    else {
        pm_tensor *ids = pm_build_ids(b, "input_ids", batch, b->options.length);
        pm_build_label(b, "source", -1, NULL);
        x = pm_block_embed(b, &spec->embed[0], spec->stack[0].width, ids, NULL);
    }
    x = pm_stack_finish(b, &spec->stack[0], pm_stack_layers(b, &spec->stack[0], x, context));
    pm_build_output(b, name, -1, true, x);
    return x;
}

static void decode(pm_build *b, int64_t length, const pm_context *context) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[1];
    pm_tensor *ids = pm_build_new_ids(b, "decoder_input_ids", b->options.batch, length);
    pm_build_label(b, "target", -1, NULL);
    pm_tensor *x = pm_block_embed(b, &spec->embed[1], st->width, ids, NULL);
    x = pm_stack_layers(b, st, x, context);
    if (b->options.kind == PM_BUILD_STEP) x = pm_block_last_row(b, x);
    x = pm_stack_finish(b, st, x);
    if (!spec->head.weight) {
        pm_build_output(b, "last_hidden_state", -1, true, x);
        return;
    }
    pm_build_label(b, "head", -1, NULL);
    x = pm_block_linear(b, x, &spec->head, &(pm_linear_shape){st->width, spec->embed[1].vocab, false});
    if (spec->head_scale != 0) x = pm_mul(b->g, x, pm_const_f32(b->g, spec->head_scale));
    if (spec->logits_bias)
        x = pm_add(b->g, x, pm_build_weight(b, spec->logits_bias, 2, (int64_t[]){1, spec->embed[1].vocab}));
    pm_build_output(b, "logits", -1, true, x);
    pm_block_next(b, x);
}

static const char source_out[] = "encoder_last_hidden_state";

void pm_transformer_build(pm_build *b) {
    const pm_build_options *o = &b->options;
    pm_context encoder = {.length = b->source_length}, decoder = {0};
    switch (o->kind) {
    case PM_BUILD_STEP: decode(b, o->length, &decoder); break;
    case PM_BUILD_ENCODE:
        pm_stack_keep_memory(b, &b->model->spec.stack[1],
                             encode(b, o->rows ? o->batch : 1, &encoder, source_out));
        break;
    case PM_BUILD_FORWARD:
        encoder.keys = o->key_mask ? pm_build_ids(b, "attention_mask", o->batch, o->length) : NULL;
        decoder.memory = encode(b, o->batch, &encoder, source_out);
        decoder.memory_keys = encoder.keys;
        if (!b->model->spec.front) pm_pool_outputs(b, decoder.memory, encoder.keys);
        decode(b, o->target_length, &decoder);
        break;
    }
}

void pm_transformer_encoder_build(pm_build *b) {
    const pm_build_options *o = &b->options;
    pm_context context = {0};
    if (o->key_mask) context.keys = pm_build_ids(b, "attention_mask", o->batch, o->length);
    pm_tensor *x = encode(b, o->batch, &context, "last_hidden_state");
    pm_build_label(b, "pooling", -1, NULL);
    pm_pool_outputs(b, x, context.keys);
}
