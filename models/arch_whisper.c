/* Whisper (Radford et al. 2022) as Hugging Face keeps it: log-mel features through two convolutions over time, an encoder with
 * fixed sinusoids (kept as a weight), a decoder with learned positions and the embedding's table as its head; norms first. */
#include "models/blocks.h"

#include <math.h>

typedef struct settings {
    int64_t vocab, mels, sources, targets, width, layers[2], heads[2], inner[2];
    bool scaled;
} settings;

static const pm_config_field fields[] = {
    {"vocab_size", PM_CONFIG_INT, offsetof(settings, vocab), PM_CONFIG_REQUIRED, 1, 1 << 24},
    {"num_mel_bins", PM_CONFIG_INT, offsetof(settings, mels), 80, 1, 512},
    {"max_source_positions", PM_CONFIG_INT, offsetof(settings, sources), 1500, 1, 1 << 16},
    {"max_target_positions", PM_CONFIG_INT, offsetof(settings, targets), 448, 1, 1 << 16},
    {"d_model", PM_CONFIG_INT, offsetof(settings, width), PM_CONFIG_REQUIRED, 4, 65536},
    {"encoder_layers", PM_CONFIG_INT, offsetof(settings, layers[0]), PM_CONFIG_REQUIRED, 1, 512},
    {"decoder_layers", PM_CONFIG_INT, offsetof(settings, layers[1]), PM_CONFIG_REQUIRED, 1, 512},
    {"encoder_attention_heads", PM_CONFIG_INT, offsetof(settings, heads[0]), PM_CONFIG_REQUIRED, 1, 1024},
    {"decoder_attention_heads", PM_CONFIG_INT, offsetof(settings, heads[1]), PM_CONFIG_REQUIRED, 1, 1024},
    {"encoder_ffn_dim", PM_CONFIG_INT, offsetof(settings, inner[0]), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"decoder_ffn_dim", PM_CONFIG_INT, offsetof(settings, inner[1]), PM_CONFIG_REQUIRED, 1, 1 << 20},
    {"scale_embedding", PM_CONFIG_BOOL, offsetof(settings, scaled), 0, 0, 1},
};

#define PAIR(name)                                                                                           \
    { name ".weight", name ".bias" }
#define ATTENTION(name)                                                                                      \
    {                                                                                                        \
        .q = PAIR(name ".q_proj"), .k = {name ".k_proj.weight", NULL}, .v = PAIR(name ".v_proj"),            \
        .o = PAIR(name ".out_proj")                                                                          \
    }
#define SIDE(side)                                                                                           \
    .label = side, .norm = PM_NORM_LAYER, .eps = 1e-5f, .norm_first = true, .self = ATTENTION("self_attn"),  \
    .self_norm = PAIR("self_attn_layer_norm"), .ffn_norm = PAIR("final_layer_norm"), .up = PAIR("fc1"),      \
    .down = PAIR("fc2"), .hidden_out = side "_hidden_states", .self_out = side "_attentions"

static const pm_stack stacks[2] = {
    {SIDE("encoder")},
    {SIDE("decoder"), .causal = true, .cross = ATTENTION("encoder_attn"),
     .cross_norm = PAIR("encoder_attn_layer_norm"), .cross_out = "cross_attentions"},
};

/* Whole names, which begin with "model." in checkpoints of the class with a head. */
enum { LAYERS, TOKENS, POSITIONS, NORM_WEIGHT, NORM_BIAS, N_NAMES };
static const char *const names[2][N_NAMES] = {
    {"encoder.layers.", NULL, "encoder.embed_positions.weight", "encoder.layer_norm.weight",
     "encoder.layer_norm.bias"},
    {"decoder.layers.", "decoder.embed_tokens.weight", "decoder.embed_positions.weight",
     "decoder.layer_norm.weight", "decoder.layer_norm.bias"},
};
static const char *const convolutions[2][2] = {{"encoder.conv1.weight", "encoder.conv1.bias"},
                                               {"encoder.conv2.weight", "encoder.conv2.bias"}};

static pm_status put_prefix(pm_model *m, const char *prefix, const char *const *from, size_t n,
                            const char **to) {
    for (size_t i = 0; i < n; i++) {
        to[i] = from[i] ? pm_model_name(m, prefix, from[i]) : NULL;
        if (from[i] && !to[i]) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

static pm_status configure_side(pm_model *m, const settings *c, int side, const char *prefix) {
    static const char *const keys[] = {"encoder_attention_heads", "decoder_attention_heads"};
    pm_stack *st = &m->spec.stack[side];
    pm_embedding *e = &m->spec.embed[side];
    const char *full[N_NAMES];
    PM_TRY(pm_check_divides(keys[side], c->heads[side], "d_model", c->width));
    PM_TRY(put_prefix(m, prefix, names[side], N_NAMES, full));
    *st = stacks[side];
    st->prefix = full[LAYERS];
    st->final_norm = (pm_pair){full[NORM_WEIGHT], full[NORM_BIAS]};
    st->n_layers = c->layers[side];
    st->width = c->width;
    st->n_heads = st->n_kv_heads = c->heads[side];
    st->head_dim = c->width / c->heads[side];
    st->ffn = c->inner[side];
    *e = (pm_embedding){.tokens = full[TOKENS], .positions = full[POSITIONS]};
    return PM_OK;
}

/* ---- the convolutions ---- */

typedef struct convolution {
    const char *weight, *bias;
    int64_t width, stride;
} convolution;

/* x[B,T,M] with a row of zeros at both ends. */
static pm_tensor *pad(pm_build *b, pm_tensor *x) {
    int64_t dims[3] = {pm_tensor_dim(x, 0), 1, pm_tensor_dim(x, 2)};
    pm_tensor *zeros = pm_expand(b->g, pm_const_f32(b->g, 0), 3, dims);
    return pm_concat(b->g, 3, (pm_tensor *[]){zeros, x, zeros}, 1);
}

/* The weight [C,M,3] of a file as [C,3 * M]: with the kernel's rows in the order of time. */
static pm_tensor *kernel_of(pm_build *b, const convolution *c, int64_t m) {
    const int64_t dims[3] = {c->width, 3, m};
    const pm_source turned = {
        .kind = PM_SOURCE_SWAPPED, .names = &c->weight, .n = 1, .rank = 3, .dims = {c->width, m, 3}};
    pm_tensor *w = pm_build_weight_from(b, c->weight, 3, dims, &turned);
    return w ? pm_reshape(b->g, w, 2, (int64_t[]){c->width, 3 * m}) : NULL;
}

/* A kernel of three over time with one product: row t of its left side is rows t s - 1, t s, t s + 1 of x, which lie one
 * behind the other. GELU follows. */
static pm_tensor *convolve(pm_build *b, pm_tensor *x, const convolution *c) {
    pm_graph *g = b->g;
    int64_t n = pm_tensor_dim(x, 0), m = pm_tensor_dim(x, 2);
    pm_tensor *w = kernel_of(b, c, m), *bias = pm_build_weight(b, c->bias, 1, &c->width);
    x = pm_windows(g, pad(b, x), 1, 3, c->stride);
    x = pm_matmul(g, pm_reshape(g, x, 3, (int64_t[]){n, -1, 3 * m}), w);
    return pm_block_activation(b, pm_add(g, x, bias), PM_ACTIVATION_GELU);
}

/* input_features [B,M,2T] to [B,T,C]. */
static pm_tensor *front(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    int64_t rows[2] = {spec->front_length, spec->stack[0].width};
    pm_tensor *x = pm_transpose(b->g, pm_build_signal(b), -1, -2);
    for (int i = 0; i < 2; i++) {
        const pm_pair *names_of = &spec->front_names[i];
        pm_build_label(b, "front", i, "conv");
        x = convolve(b, x, &(convolution){names_of->weight, names_of->bias, rows[1], i + 1});
    }
    return pm_add(b->g, x, pm_build_weight(b, spec->embed[0].positions, 2, rows));
}

pm_status pm_whisper_configure(pm_model *m, const pm_config *config) {
    const pm_config_choice act = {"activation_function", "gelu", pm_activation_names, pm_n_activation_names};
    pm_spec *spec = &m->spec;
    settings c;
    int kind;
    PM_TRY(pm_config_read(config, NULL, fields, PM_COUNT(fields), &c));
    PM_TRY(pm_config_choose(config, NULL, &act, &kind));
    const char *prefix = pm_checkpoint_has(&m->checkpoint, "decoder.embed_tokens.weight") ? "" : "model.";
    for (int side = 0; side < 2; side++) {
        const char *conv[2];
        PM_TRY(configure_side(m, &c, side, prefix));
        PM_TRY(put_prefix(m, prefix, convolutions[side], 2, conv));
        spec->stack[side].act = pm_activation_of(kind);
        spec->front_names[side] = (pm_pair){conv[0], conv[1]};
    }
    spec->embed[1].vocab = c.vocab;
    if (c.scaled) spec->embed[1].scale = (float)sqrt((double)c.width);
    bool own_head = pm_checkpoint_has(&m->checkpoint, "proj_out.weight");
    spec->head.weight = own_head ? "proj_out.weight" : spec->embed[1].tokens;
    spec->front = front;
    spec->front_length = c.sources;
    spec->signal = (pm_signal){.name = "input_features", .rank = 2, .dims = {c.mels, 2 * c.sources}};
    spec->max_positions = c.targets;
    return PM_OK;
}

/* Without the head. */
pm_status pm_whisper_model_configure(pm_model *m, const pm_config *config) {
    PM_TRY(pm_whisper_configure(m, config));
    m->spec.head.weight = NULL;
    return PM_OK;
}
