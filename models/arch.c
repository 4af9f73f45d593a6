/* See arch.h. Adding a model: one row here and one configure function; a new shape of graph: one build
 * function too. */
#include "models/arch.h"

#include <inttypes.h>
#include <string.h>

/* A decoder-only model by its classes: to generate, also without a class; hidden states; a label for a text. */
#define DECODER_ROW(type, class, task, decoder, configure, family)                                           \
    { type, class, task, decoder, false, configure, pm_causal_build, family }
#define DECODER(type, lm, prefix, configure, family)                                                         \
    DECODER_ROW(type, lm, "generate", true, configure, family),                                              \
        DECODER_ROW(type, NULL, "generate", true, configure, family),                                        \
        DECODER_ROW(type, prefix "Model", "features", false, configure, family),                             \
        DECODER_ROW(type, prefix "ForSequenceClassification", "classify", false, configure, family)
#define CAUSAL(type, prefix, family) DECODER(type, prefix "ForCausalLM", prefix, NULL, &family)

/* T5 and its kin: to generate, without a head, the encoder alone. */
#define T5_PAIR(type, class)                                                                                 \
    { type, class, "translate", true, true, pm_t5_configure, pm_transformer_build, NULL }
#define T5_MODEL(type, class)                                                                                \
    { type, class, "features", false, true, pm_t5_configure, pm_transformer_build, NULL }
#define T5_ENCODER(type, class)                                                                              \
    { type, class, "features", false, false, pm_t5_configure, pm_transformer_encoder_build, NULL }
#define T5(type, prefix)                                                                                     \
    T5_PAIR(type, prefix "ForConditionalGeneration"), T5_PAIR(type, NULL), T5_MODEL(type, prefix "Model"),   \
        T5_ENCODER(type, prefix "EncoderModel")

#define VIT(type, class, task)                                                                               \
    { type, class, task, false, false, pm_vit_configure, pm_vit_build, NULL }
#define CLIP(type, class, task)                                                                              \
    { type, class, task, false, false, pm_clip_configure, pm_clip_build, NULL }

/* An encoder: its classes by task, and without a class. */
#define ENCODER(type, name, configure)                                                                         \
    {type, name "Model", "features", false, false, configure, pm_encoder_build, NULL},                         \
        {type, name "ForMaskedLM", "fill", false, false, configure, pm_encoder_build, NULL},                   \
        {type, name "ForSequenceClassification", "classify", false, false, configure, pm_encoder_build, NULL}, \
        {type, name "ForTokenClassification", "tag", false, false, configure, pm_encoder_build, NULL},         \
        {type, name "ForQuestionAnswering", "answer", false, false, configure, pm_encoder_build, NULL}, {      \
        type, NULL, "features", false, false, configure, pm_encoder_build, NULL                                \
    }

static const pm_arch archs[] = {
    VIT("vit", "ViTForImageClassification", "see"),
    VIT("vit", "ViTModel", "features"),
    VIT("vit", NULL, "features"),
    VIT("deit", "DeiTForImageClassificationWithTeacher", "see"),
    VIT("deit", "DeiTForImageClassification", "see"),
    VIT("deit", "DeiTModel", "features"),
    VIT("dinov2", "Dinov2ForImageClassification", "see"),
    VIT("dinov2", "Dinov2Model", "features"),
    VIT("dinov2_with_registers", "Dinov2WithRegistersForImageClassification", "see"),
    VIT("dinov2_with_registers", "Dinov2WithRegistersModel", "features"),
    CLIP("clip", "CLIPModel", "match"),
    CLIP("clip", NULL, "match"),
    CLIP("clip_text_model", "CLIPTextModel", "features"),
    CLIP("clip_text_model", "CLIPTextModelWithProjection", "features"),
    CLIP("clip_vision_model", "CLIPVisionModel", "features"),
    CLIP("clip_vision_model", "CLIPVisionModelWithProjection", "features"),
    CAUSAL("llama", "Llama", pm_llama),
    CAUSAL("mistral", "Mistral", pm_mistral),
    CAUSAL("qwen2", "Qwen2", pm_qwen2),
    CAUSAL("qwen3", "Qwen3", pm_qwen3),
    CAUSAL("gemma", "Gemma", pm_gemma),
    CAUSAL("gemma2", "Gemma2", pm_gemma2),
    DECODER("gemma3_text", "Gemma3ForCausalLM", "Gemma3Text", NULL, &pm_gemma3),
    CAUSAL("olmo2", "Olmo2", pm_olmo2),
    CAUSAL("phi3", "Phi3", pm_phi3),
    CAUSAL("gpt_neox", "GPTNeoX", pm_neox),
    CAUSAL("opt", "OPT", pm_opt),
    CAUSAL("bloom", "Bloom", pm_bloom),
    CAUSAL("falcon", "Falcon", pm_falcon),
    CAUSAL("mixtral", "Mixtral", pm_mixtral),
    CAUSAL("qwen3_moe", "Qwen3Moe", pm_qwen3_moe),
    CAUSAL("gpt_oss", "GptOss", pm_gpt_oss),
    DECODER("gpt2", "GPT2LMHeadModel", "GPT2", pm_gpt2_configure, NULL),
    ENCODER("bert", "Bert", pm_bert_configure),
    {"bert", "BertForPreTraining", "fill", false, false, pm_bert_configure, pm_encoder_build, NULL},
    ENCODER("electra", "Electra", pm_electra_configure),
    {"electra", "ElectraForPreTraining", "detect", false, false, pm_electra_configure, pm_encoder_build,
     NULL},
    {"transfo-xl", "TransfoXLLMHeadModel", "generate", true, false, pm_transfo_xl_configure,
     pm_transfo_xl_build, NULL},
    {"transfo-xl", NULL, "generate", true, false, pm_transfo_xl_configure, pm_transfo_xl_build, NULL},
    ENCODER("albert", "Albert", pm_albert_configure),
    {"albert", "AlbertForPreTraining", "fill", false, false, pm_albert_configure, pm_encoder_build, NULL},
    ENCODER("distilbert", "DistilBert", pm_distilbert_configure),
    ENCODER("roberta", "Roberta", pm_roberta_configure),
    ENCODER("xlm-roberta", "XLMRoberta", pm_roberta_configure),
    ENCODER("camembert", "Camembert", pm_roberta_configure),
    ENCODER("mpnet", "MPNet", pm_mpnet_configure),
    ENCODER("longformer", "Longformer", pm_longformer_configure),
    ENCODER("modernbert", "ModernBert", pm_modernbert_configure),
    {"bart", "BartForConditionalGeneration", "translate", true, true, pm_bart_configure, pm_transformer_build,
     NULL},
    {"marian", "MarianMTModel", "translate", true, true, pm_marian_configure, pm_transformer_build, NULL},
    {"m2m_100", "M2M100ForConditionalGeneration", "translate", true, true, pm_m2m100_configure,
     pm_transformer_build, NULL},
    T5("t5", "T5"),
    T5_PAIR("t5", "T5WithLMHeadModel"),
    T5("mt5", "MT5"),
    T5("umt5", "UMT5"),
    {"whisper", "WhisperForConditionalGeneration", "transcribe", true, true, pm_whisper_configure,
     pm_transformer_build, NULL},
    {"whisper", "WhisperModel", "features", false, true, pm_whisper_model_configure, pm_transformer_build,
     NULL},
    {"transformer", NULL, "translate", true, true, pm_transformer_configure, pm_transformer_build, NULL},
};

static pm_status unknown(const pm_config *c, const char *key, const char *value, const char *type) {
    pm_text known = {0};
    for (size_t i = 0; i < PM_COUNT(archs); i++) {
        const char *name = type ? archs[i].architecture : archs[i].model_type;
        bool seen = !name || (type && strcmp(archs[i].model_type, type) != 0);
        for (size_t k = 0; !type && k < i; k++) seen |= strcmp(archs[k].model_type, name) == 0;
        if (!seen) pm_text_add(&known, "%s%s", known.length ? ", " : "", name);
    }
    pm_status s = pm_text_status(&known);
    if (s == PM_OK)
        s = pm_raise(PM_ERR_FILE, "%s: %s is \"%.60s\", expected one of: %s", c->label, key, value,
                     known.data ? known.data : "none");
    pm_text_free(&known);
    return s;
}

pm_status pm_arch_find(const pm_config *c, const pm_arch **out) {
    const char *type, *architecture;
    bool known_type = false;
    PM_TRY(pm_config_text(c, "model_type", &type));
    PM_TRY(pm_config_text(c, "architectures", &architecture));
    if (!type) return pm_raise(PM_ERR_FILE, "%s: model_type is missing", c->label);
    for (size_t i = 0; i < PM_COUNT(archs); i++) {
        const pm_arch *a = &archs[i];
        if (strcmp(a->model_type, type) != 0) continue;
        known_type = true;
        if (architecture && a->architecture ? strcmp(a->architecture, architecture) == 0
                                            : !architecture && !a->architecture)
            return *out = a, PM_OK;
    }
    if (!known_type) return unknown(c, "model_type", type, NULL);
    return unknown(c, "architectures[0]", architecture ? architecture : "missing", type);
}

const pm_arch *pm_arch_features(const pm_arch *of) {
    for (size_t i = 0; i < PM_COUNT(archs); i++)
        if (archs[i].family == of->family && archs[i].configure == of->configure &&
            strcmp(archs[i].model_type, of->model_type) == 0 && strcmp(archs[i].task, "features") == 0)
            return &archs[i];
    return NULL;
}

pm_status pm_check_divides(const char *what, int64_t part, const char *of, int64_t whole) {
    if (part > 0 && whole % part == 0) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "config.json: %s is %" PRId64 ", expected a divisor of %s, which is %" PRId64, what, part,
                    of, whole);
}

const char *pm_model_name(pm_model *m, const char *prefix, const char *name) {
    size_t n = strlen(prefix), k = strlen(name);
    char *text = pm_arena_alloc(&m->arena, n + k + 1);
    if (!text) return NULL;
    memcpy(text, prefix, n);
    memcpy(text + n, name, k + 1);
    return text;
}
