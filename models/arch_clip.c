/* CLIP (Radford et al. 2021): a vision Transformer and a causal text Transformer whose results are compared; each also by
 * itself. stack[0] reads text, stack[1] pictures; a model of pictures alone uses stack[1] too. */
#include "models/pooling.h"
#include "models/stack.h"

#include <inttypes.h>
#include <string.h>

typedef struct settings {
    int64_t vocab, positions, width, layers, heads, inner, image, patch, channels, projected, end;
    float eps;
} settings;

#define INT(key, member, fallback, most)                                                                     \
    { key, PM_CONFIG_INT, offsetof(settings, member), fallback, 1, most }
#define EPS                                                                                                  \
    { "layer_norm_eps", PM_CONFIG_REAL, offsetof(settings, eps), 1e-5, 0, 1 }
static const pm_config_field text_fields[] = {
    INT("vocab_size", vocab, 49408, 1 << 24),
    INT("max_position_embeddings", positions, 77, 65536),
    INT("hidden_size", width, 512, 65536),
    INT("num_hidden_layers", layers, 12, 512),
    INT("num_attention_heads", heads, 8, 1024),
    INT("intermediate_size", inner, 2048, 1 << 20),
    INT("projection_dim", projected, 512, 65536),
    {"eos_token_id", PM_CONFIG_INT, offsetof(settings, end), 49407, 0, 1 << 24},
    EPS,
};
static const pm_config_field vision_fields[] = {
    INT("hidden_size", width, 768, 65536),
    INT("num_hidden_layers", layers, 12, 512),
    INT("num_attention_heads", heads, 12, 1024),
    INT("intermediate_size", inner, 3072, 1 << 20),
    INT("num_channels", channels, 3, 64),
    INT("image_size", image, 224, 16384),
    INT("patch_size", patch, 32, 1024),
    INT("projection_dim", projected, 512, 65536),
    EPS,
};
static const pm_config_field both_fields[] = {INT("projection_dim", projected, 512, 65536)};

#define PAIR(name)                                                                                           \
    { name ".weight", name ".bias" }
static const pm_stack names = {
    .norm = PM_NORM_LAYER,
    .norm_first = true,
    .hidden_raw = true,
    .self = {.q = PAIR("self_attn.q_proj"),
             .k = PAIR("self_attn.k_proj"),
             .v = PAIR("self_attn.v_proj"),
             .o = PAIR("self_attn.out_proj")},
    .self_norm = PAIR("layer_norm1"),
    .ffn_norm = PAIR("layer_norm2"),
    .up = PAIR("mlp.fc1"),
    .down = PAIR("mlp.fc2"),
};

static pm_pair pair(pm_model *m, const char *prefix, const char *name) {
    const char *full = pm_model_name(m, prefix, name);
    return full ? (pm_pair){pm_model_name(m, full, ".weight"), pm_model_name(m, full, ".bias")}
                : (pm_pair){0};
}

static pm_status fill_stack(const pm_config *c, const char *inside, const settings *s, pm_stack *st) {
    int act;
    PM_TRY(pm_check_divides("num_attention_heads", s->heads, "hidden_size", s->width));
    PM_TRY(pm_config_choose(
        c, inside,
        &(pm_config_choice){"hidden_act", "quick_gelu", pm_activation_names, pm_n_activation_names}, &act));
    *st = names;
    st->act = pm_activation_of(act);
    st->n_layers = s->layers;
    st->width = s->width;
    st->n_heads = st->n_kv_heads = s->heads;
    st->head_dim = s->width / s->heads;
    st->ffn = s->inner;
    st->eps = s->eps;
    return PM_OK;
}

/* Files of one side alone may leave out the side's prefix. */
static const char *side_prefix(const pm_model *m, const char *side, const char *probe) {
    return pm_checkpoint_has(&m->checkpoint, probe) ? "" : side;
}

static pm_status configure_text(pm_model *m, const pm_config *c, const char *inside, int64_t *out_projected) {
    settings s;
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[0];
    const char *prefix = side_prefix(m, "text_model.", "embeddings.token_embedding.weight");
    PM_TRY(pm_config_read(c, inside, text_fields, PM_COUNT(text_fields), &s));
    PM_TRY(fill_stack(c, inside, &s, st));
    *out_projected = s.projected;
    st->label = "text";
    st->causal = true;
    st->hidden_out = inside ? "text_hidden_states" : "hidden_states";
    st->self_out = inside ? "text_attentions" : "attentions";
    st->prefix = pm_model_name(m, prefix, "encoder.layers.");
    st->final_norm = pair(m, prefix, "final_layer_norm");
    spec->embed[0] =
        (pm_embedding){.tokens = pm_model_name(m, prefix, "embeddings.token_embedding.weight"),
                       .positions = pm_model_name(m, prefix, "embeddings.position_embedding.weight"),
                       .vocab = s.vocab};
    spec->max_positions = s.positions;
    spec->contrast.end = s.end == 2 ? -1 : (int32_t)s.end; /* 2 is what old files say, whatever the id is */
    return st->prefix && st->final_norm.weight && st->final_norm.bias && spec->embed[0].tokens &&
                   spec->embed[0].positions
               ? PM_OK
               : PM_ERR_MEMORY;
}

static pm_status configure_vision(pm_model *m, const pm_config *c, const char *inside,
                                  int64_t *out_projected) {
    settings s;
    pm_spec *spec = &m->spec;
    pm_stack *st = &spec->stack[1];
    pm_patches *p = &spec->patches;
    const char *prefix = side_prefix(m, "vision_model.", "embeddings.class_embedding");
    PM_TRY(pm_config_read(c, inside, vision_fields, PM_COUNT(vision_fields), &s));
    PM_TRY(fill_stack(c, inside, &s, st));
    if (s.patch > s.image)
        return pm_raise(PM_ERR_FILE,
                        "config.json: patch_size is %" PRId64
                        ", expected at most image_size, which is %" PRId64,
                        s.patch, s.image);
    *out_projected = s.projected;
    st->label = "vision";
    st->hidden_out = inside ? "vision_hidden_states" : "hidden_states";
    st->self_out = inside ? "vision_attentions" : "attentions";
    st->prefix = pm_model_name(m, prefix, "encoder.layers.");
    *p = (pm_patches){.linear.weight = pm_model_name(m, prefix, "embeddings.patch_embedding.weight"),
                      .channels = s.channels,
                      .size = s.patch,
                      .rows = s.image / s.patch,
                      .columns = s.image / s.patch,
                      .lead = {{pm_model_name(m, prefix, "embeddings.class_embedding"), 1, true}},
                      .positions = pm_model_name(m, prefix, "embeddings.position_embedding.weight"),
                      .flat_positions = true,
                      .norm = pair(m, prefix, "pre_layrnorm")}; /* so it is spelled in files */
    spec->pool_norm = pair(m, prefix, "post_layernorm");
    spec->signal = (pm_signal){"pixel_values", 3, {s.channels, s.image, s.image}, 0};
    if (!inside) spec->max_positions = p->rows * p->columns + 1;
    return st->prefix && p->linear.weight && p->lead[0].name && p->positions && p->norm.weight &&
                   p->norm.bias && spec->pool_norm.weight && spec->pool_norm.bias
               ? PM_OK
               : PM_ERR_MEMORY;
}

pm_status pm_clip_configure(pm_model *m, const pm_config *c) {
    pm_contrast *contrast = &m->spec.contrast;
    const char *type = m->arch->model_type, *class = m->arch->architecture;
    bool both = strcmp(type, "clip") == 0, projects = both || strstr(class, "WithProjection");
    settings s;
    if (strcmp(type, "clip_vision_model") != 0) {
        PM_TRY(configure_text(m, c, both ? "text_config" : NULL, &contrast->width));
        if (projects) contrast->text.weight = "text_projection.weight";
    }
    if (strcmp(type, "clip_text_model") != 0) {
        PM_TRY(configure_vision(m, c, both ? "vision_config" : NULL, &contrast->width));
        if (projects) contrast->image.weight = "visual_projection.weight";
    }
    if (!both) return PM_OK;
    PM_TRY(pm_config_read(c, NULL, both_fields, PM_COUNT(both_fields), &s));
    contrast->width = s.projected;
    contrast->scale = "logit_scale";
    return PM_OK;
}

/* ---- the graph ---- */

/* Row [B,C] of x[B,T,C] where ids[B,T] first have the id that ends a text, or their largest; row 0 without one. */
static pm_tensor *end_of_text(pm_build *b, pm_tensor *x, pm_tensor *ids) {
    pm_graph *g = b->g;
    int64_t batch = pm_tensor_dim(x, 0), t = pm_tensor_dim(x, 1), c = pm_tensor_dim(x, 2);
    int32_t end = b->model->spec.contrast.end;
    pm_tensor *score = end < 0 ? ids : pm_eq(g, ids, pm_const_i32(g, end));
    pm_tensor *at = pm_argmax(g, pm_cast(g, score, PM_F32));
    at = pm_add(g, at, pm_mul(g, pm_iota(g, batch), pm_const_i32(g, (int32_t)t)));
    return pm_gather(g, pm_reshape(g, x, 2, (int64_t[]){batch * t, c}), at);
}

/* What a model of one side gives. */
static void side_outputs(pm_build *b, pm_tensor *x, pm_tensor *pooled) {
    if (b->model->spec.contrast.scale) return;
    pm_build_output(b, "last_hidden_state", -1, true, x);
    pm_build_output(b, "pooler_output", -1, true, pooled);
}

static pm_tensor *read_text(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_build_options *o = &b->options;
    const pm_stack *st = &spec->stack[0];
    pm_tensor *ids = pm_build_ids(b, "input_ids", o->batch, o->length);
    pm_context context = {.keys =
                              o->key_mask ? pm_build_ids(b, "attention_mask", o->batch, o->length) : NULL};
    pm_build_label(b, "text", -1, "embeddings");
    pm_tensor *x = pm_block_embed(b, &spec->embed[0], st->width, ids, NULL);
    x = pm_stack_finish(b, st, pm_stack_layers(b, st, x, &context));
    pm_build_label(b, "text", -1, "head");
    pm_tensor *pooled = end_of_text(b, x, ids);
    side_outputs(b, x, pooled);
    pm_pool_kinds(b, x, context.keys);
    return pooled;
}

static pm_tensor *read_pictures(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[1];
    const pm_context none = {0};
    pm_build_label(b, "vision", -1, "embeddings");
    pm_tensor *x = pm_block_patches(b, &spec->patches, st, pm_build_signal(b));
    x = pm_stack_finish(b, st, pm_stack_layers(b, st, x, &none));
    pm_build_label(b, "vision", -1, "head");
    pm_tensor *pooled =
        pm_block_norm(b, pm_block_token(b, x, 0), &(pm_norm){st->norm, st->eps, false}, &spec->pool_norm);
    side_outputs(b, x, pooled);
    return pooled;
}

/* The projection of one side, of length 1 where the two are compared. */
static pm_tensor *project(pm_build *b, pm_tensor *x, const pm_pair *by, const char *output) {
    const pm_contrast *contrast = &b->model->spec.contrast;
    if (!by->weight || !x) return NULL;
    x = pm_block_linear(b, x, by, &(pm_linear_shape){pm_tensor_dim(x, 1), contrast->width, false});
    if (contrast->scale) x = pm_div(b->g, x, pm_sqrt(b->g, pm_sum(b->g, pm_mul(b->g, x, x), -1)));
    pm_build_output(b, output, -1, true, x);
    return x;
}

static void compare(pm_build *b, pm_tensor *images, pm_tensor *texts) {
    pm_graph *g = b->g;
    pm_build_label(b, "compare", -1, NULL);
    pm_tensor *scale = pm_exp(g, pm_build_weight(b, b->model->spec.contrast.scale, 0, NULL));
    pm_tensor *per_image = pm_mul(g, pm_matmul(g, images, texts), scale);
    pm_build_output(b, "logits_per_image", -1, true, per_image);
    pm_build_output(b, "logits_per_text", -1, true, pm_transpose(g, per_image, 0, 1));
}

void pm_clip_build(pm_build *b) {
    const pm_contrast *contrast = &b->model->spec.contrast;
    pm_tensor *images = b->options.signals ? read_pictures(b) : NULL;
    pm_tensor *texts = b->options.length ? read_text(b) : NULL;
    images = project(b, images, &contrast->image, "image_embeds");
    texts = project(b, texts, &contrast->text, "text_embeds");
    if (images && texts && contrast->scale) compare(b, images, texts);
}
