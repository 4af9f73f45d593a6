/* Vision Transformers with a class token: ViT (Dosovitskiy et al. 2020), DeiT with its second, distilled token (Touvron et
 * al. 2020), DINOv2 with and without registers (Oquab et al. 2023, Darcet et al. 2023). */
#include "models/stack.h"

#include <inttypes.h>
#include <string.h>

typedef struct settings {
    int64_t width, layers, heads, head_dim, inner, image, patch, channels, labels, pooled, registers;
    float eps, mlp_ratio;
    bool qkv_bias, swiglu;
} settings;

#define INT(key, member, fallback, most)                                                                     \
    { key, PM_CONFIG_INT, offsetof(settings, member), fallback, 1, most }
static const pm_config_field common_fields[] = {
    INT("hidden_size", width, 768, 65536),
    INT("num_hidden_layers", layers, 12, 512),
    INT("num_attention_heads", heads, 12, 1024),
    INT("head_dim", head_dim, 0, 1024),
    INT("num_channels", channels, 3, 64),
    INT("num_labels", labels, 0, 1 << 20),
    {"qkv_bias", PM_CONFIG_BOOL, offsetof(settings, qkv_bias), 1, 0, 1},
};
static const pm_config_field vit_fields[] = {
    INT("intermediate_size", inner, 3072, 1 << 20),
    INT("image_size", image, 224, 16384),
    INT("patch_size", patch, 16, 1024),
    INT("pooler_output_size", pooled, 0, 65536),
    {"layer_norm_eps", PM_CONFIG_REAL, offsetof(settings, eps), 1e-12, 0, 1},
};
static const pm_config_field dino_fields[] = {
    INT("image_size", image, 224, 16384),
    INT("patch_size", patch, 14, 1024),
    {"mlp_ratio", PM_CONFIG_REAL, offsetof(settings, mlp_ratio), 4, 0.01, 64},
    {"use_swiglu_ffn", PM_CONFIG_BOOL, offsetof(settings, swiglu), 0, 0, 1},
    {"layer_norm_eps", PM_CONFIG_REAL, offsetof(settings, eps), 1e-6, 0, 1},
};
static const pm_config_field register_fields[] = {
    INT("patch_size", patch, 16, 1024),
    INT("num_register_tokens", registers, 4, 256),
};

#define PAIR(name)                                                                                           \
    { name ".weight", name ".bias" }
#define COMMON                                                                                               \
    .label = "layer", .norm = PM_NORM_LAYER, .norm_first = true, .hidden_raw = true,                         \
    .self = {.q = PAIR("attention.attention.query"),                                                         \
             .k = PAIR("attention.attention.key"),                                                           \
             .v = PAIR("attention.attention.value"),                                                         \
             .o = PAIR("attention.output.dense")},                                                           \
    .hidden_out = "hidden_states", .self_out = "attentions"

static const pm_stack vit_names = {COMMON, .self_norm = PAIR("layernorm_before"),
                                   .ffn_norm = PAIR("layernorm_after"), .up = PAIR("intermediate.dense"),
                                   .down = PAIR("output.dense")};
static const pm_stack dino_names = {COMMON,
                                    .self_norm = PAIR("norm1"),
                                    .self_scale = "layer_scale1.lambda1",
                                    .ffn_norm = PAIR("norm2"),
                                    .up = PAIR("mlp.fc1"),
                                    .down = PAIR("mlp.fc2"),
                                    .ffn_scale = "layer_scale2.lambda1"};

typedef enum family { VIT, DEIT, DINO, DINO_REGISTERS } family;

static family family_of(const pm_model *m) {
    static const char *const types[] = {"vit", "deit", "dinov2", "dinov2_with_registers"};
    int f = VIT;
    while (strcmp(m->arch->model_type, types[f]) != 0) f++;
    return (family)f;
}

static bool is_dino(family f) {
    return f == DINO || f == DINO_REGISTERS;
}

static pm_pair pair(pm_model *m, const char *prefix, const char *name) {
    const char *full = pm_model_name(m, prefix, name);
    return full ? (pm_pair){pm_model_name(m, full, ".weight"), pm_model_name(m, full, ".bias")}
                : (pm_pair){0};
}

static pm_status read_settings(const pm_config *c, family f, settings *s) {
    *s = (settings){0};
    PM_TRY(pm_config_read(c, NULL, common_fields, PM_COUNT(common_fields), s));
    if (is_dino(f))
        PM_TRY(pm_config_read(c, NULL, dino_fields, PM_COUNT(dino_fields), s));
    else
        PM_TRY(pm_config_read(c, NULL, vit_fields, PM_COUNT(vit_fields), s));
    if (f == DINO_REGISTERS) PM_TRY(pm_config_read(c, NULL, register_fields, PM_COUNT(register_fields), s));
    if (!s->head_dim) {
        PM_TRY(pm_check_divides("num_attention_heads", s->heads, "hidden_size", s->width));
        s->head_dim = s->width / s->heads;
    }
    if (s->patch > s->image)
        return pm_raise(PM_ERR_FILE,
                        "config.json: patch_size is %" PRId64
                        ", expected at most image_size, which is %" PRId64,
                        s->patch, s->image);
    if (is_dino(f)) s->inner = (int64_t)((float)s->width * s->mlp_ratio);
    if (s->swiglu) s->inner = (int64_t)((double)s->inner * 2 / 3 + 7) / 8 * 8;
    if (s->inner < 1) return pm_raise(PM_ERR_FILE, "config.json: mlp_ratio gives no hidden width");
    if (!s->labels) s->labels = (int64_t)pm_config_size(c, "id2label");
    if (!s->labels) s->labels = 2; /* that library's default */
    return PM_OK;
}

static void fill_stack(const settings *s, family f, pm_stack *st) {
    *st = is_dino(f) ? dino_names : vit_names;
    st->n_layers = s->layers;
    st->width = s->width;
    st->n_heads = st->n_kv_heads = s->heads;
    st->head_dim = s->head_dim;
    st->ffn = s->inner;
    st->eps = s->eps;
    if (!s->qkv_bias) st->self.q.bias = st->self.k.bias = st->self.v.bias = NULL;
    if (!s->swiglu) return;
    st->up = (pm_pair){NULL, NULL};
    st->gate_up = (pm_pair)PAIR("mlp.weights_in");
    st->down = (pm_pair)PAIR("mlp.weights_out");
}

static void fill_pictures(const settings *s, family f, pm_spec *spec) {
    pm_patches *p = &spec->patches;
    p->channels = s->channels;
    p->size = s->patch;
    p->rows = p->columns = s->image / s->patch;
    p->smooth_positions = f == DINO_REGISTERS;
    spec->signal =
        (pm_signal){"pixel_values", 3, {s->channels, s->image, s->image}, is_dino(f) ? s->patch : 0};
    spec->max_positions = p->rows * p->columns + 1 + (f == DEIT) + s->registers;
}

/* Names of the base model begin with `base`, or with nothing where the file holds the base model alone. */
static pm_status name_tensors(pm_model *m, const char *base, family f, int64_t n_registers) {
    pm_spec *spec = &m->spec;
    const char *prefix = pm_checkpoint_has(&m->checkpoint, "embeddings.cls_token") ? "" : base;
    pm_patches *p = &spec->patches;
    p->linear = pair(m, prefix, "embeddings.patch_embeddings.projection");
    p->lead[0] = (pm_lead){pm_model_name(m, prefix, "embeddings.cls_token"), 1, false};
    if (f == DEIT)
        p->lead[1] = (pm_lead){pm_model_name(m, prefix, "embeddings.distillation_token"), 1, false};
    if (f == DINO_REGISTERS)
        p->registers = (pm_lead){pm_model_name(m, prefix, "embeddings.register_tokens"), n_registers, false};
    p->positions = pm_model_name(m, prefix, "embeddings.position_embeddings");
    spec->stack[0].prefix = pm_model_name(m, prefix, "encoder.layer.");
    spec->stack[0].final_norm = pair(m, prefix, "layernorm");
    spec->pooler = pair(m, prefix, "pooler.dense");
    if (!spec->pooler.weight || !spec->pooler.bias || !spec->stack[0].prefix || !p->positions ||
        !p->lead[0].name || !p->linear.bias)
        return PM_ERR_MEMORY;
    if (is_dino(f) || !pm_checkpoint_has(&m->checkpoint, spec->pooler.weight)) spec->pooler = (pm_pair){0};
    spec->head = (pm_pair)PAIR("classifier");
    if (m->arch->architecture && strstr(m->arch->architecture, "WithTeacher")) {
        spec->head = (pm_pair)PAIR("cls_classifier");
        spec->head_distilled = (pm_pair)PAIR("distillation_classifier");
    }
    spec->head_mean = is_dino(f);
    return PM_OK;
}

pm_status pm_vit_configure(pm_model *m, const pm_config *c) {
    static const char *const bases[] = {"vit.", "deit.", "dinov2.", "dinov2_with_registers."};
    static const char *const pooler_acts[] = {"tanh"};
    settings s;
    int act, pooler_act;
    family f = family_of(m);
    PM_TRY(read_settings(c, f, &s));
    PM_TRY(pm_config_choose(
        c, NULL, &(pm_config_choice){"hidden_act", "gelu", pm_activation_names, pm_n_activation_names},
        &act));
    PM_TRY(pm_config_choose(c, NULL, &(pm_config_choice){"pooler_act", "tanh", pooler_acts, 1}, &pooler_act));
    fill_stack(&s, f, &m->spec.stack[0]);
    m->spec.stack[0].act = s.swiglu ? PM_ACTIVATION_SILU : pm_activation_of(act);
    fill_pictures(&s, f, &m->spec);
    m->spec.n_labels = s.labels;
    m->spec.pooled = s.pooled ? s.pooled : s.width;
    return name_tensors(m, bases[f], f, s.registers);
}

/* ---- the graph ---- */

static void features(pm_build *b, pm_tensor *x) {
    const pm_spec *spec = &b->model->spec;
    pm_build_output(b, "last_hidden_state", -1, true, x);
    pm_build_label(b, "pooler", -1, NULL);
    pm_tensor *first = pm_block_token(b, x, 0);
    const pm_linear_shape shape = {spec->stack[0].width, spec->pooled, false};
    if (spec->pooler.weight)
        pm_build_output(b, "pooler_output", -1, true,
                        pm_tanh(b->g, pm_block_linear(b, first, &spec->pooler, &shape)));
    else if (spec->head_mean)
        pm_build_output(b, "pooler_output", -1, true, first);
}

/* Token 0 and the mean of the patches: [B,2*C]. */
static pm_tensor *with_mean(pm_build *b, pm_tensor *x, int64_t n_lead) {
    int64_t n = pm_tensor_dim(x, 1) - n_lead;
    pm_tensor *mean = pm_mean(b->g, pm_slice(b->g, x, 1, n_lead, n), 1);
    pm_tensor *parts[] = {pm_block_token(b, x, 0), pm_block_token(b, mean, 0)};
    return pm_concat(b->g, 2, parts, 1);
}

static void classify(pm_build *b, pm_tensor *x) {
    const pm_spec *spec = &b->model->spec;
    int64_t width = spec->stack[0].width;
    pm_build_label(b, "classifier", -1, NULL);
    pm_tensor *seen =
        spec->head_mean ? with_mean(b, x, 1 + spec->patches.registers.n) : pm_block_token(b, x, 0);
    const pm_linear_shape shape = {width * (1 + spec->head_mean), spec->n_labels, false};
    pm_tensor *logits = pm_block_linear(b, seen, &spec->head, &shape);
    if (spec->head_distilled.weight) {
        pm_build_output(b, "cls_logits", -1, false, logits);
        pm_tensor *second = pm_block_linear(b, pm_block_token(b, x, 1), &spec->head_distilled, &shape);
        pm_build_output(b, "distillation_logits", -1, false, second);
        logits = pm_mul(b->g, pm_add(b->g, logits, second), pm_const_f32(b->g, 0.5f));
    }
    pm_build_output(b, "logits", -1, true, logits);
}

void pm_vit_build(pm_build *b) {
    const pm_spec *spec = &b->model->spec;
    const pm_stack *st = &spec->stack[0];
    const pm_context none = {0};
    pm_build_label(b, "embeddings", -1, NULL);
    pm_tensor *x = pm_block_patches(b, &spec->patches, st, pm_build_signal(b));
    x = pm_stack_finish(b, st, pm_stack_layers(b, st, x, &none));
    if (!x) return;
    if (strcmp(b->model->arch->task, "features") == 0)
        features(b, x);
    else
        classify(b, x);
}
