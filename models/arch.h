/* The table of architectures: which file of models/ reads which config.json, and how its graph is built. */
#ifndef PM_ARCH_H
#define PM_ARCH_H

#include "models/config.h"
#include "models/model_data.h"

typedef struct pm_build pm_build;
typedef struct pm_causal_family pm_causal_family; /* arch_causal.h */

struct pm_arch {
    const char *model_type;   /* config.json's model_type */
    const char *architecture; /* config.json's architectures[0]; a row with NULL serves a config without it */
    /* "generate", "translate", "transcribe", "features", "fill", "classify", "tag", "answer", "detect", "see", "match" */
    const char *task;
    bool decoder, encoder_decoder;
    /* Fills m->spec and m->info from config.json. May look into the checkpoint for how its names begin. */
    pm_status (*configure)(pm_model *m, const pm_config *c);
    /* Builds the graph that b->options asks for. Errors are kept in b. */
    void (*build)(pm_build *b);
    const pm_causal_family *family; /* read by pm_causal_configure instead; else NULL */
};

pm_status pm_arch_find(const pm_config *c, const pm_arch **out) PM_MUST_USE;
/* The class of the same models that has no head; NULL: there is none. */
const pm_arch *pm_arch_features(const pm_arch *of);

/* One function an architecture file. */
pm_status pm_gpt2_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_bert_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_transfo_xl_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_electra_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_albert_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_distilbert_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_roberta_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_mpnet_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_longformer_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_modernbert_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_transformer_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_bart_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_marian_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_m2m100_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_whisper_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_whisper_model_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_t5_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
extern const pm_causal_family pm_llama, pm_mistral, pm_qwen2, pm_qwen3, pm_gemma, pm_gemma2, pm_gemma3,
    pm_olmo2, pm_phi3;
extern const pm_causal_family pm_neox, pm_opt, pm_bloom, pm_falcon;
extern const pm_causal_family pm_mixtral, pm_qwen3_moe, pm_gpt_oss;
pm_status pm_vit_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
pm_status pm_clip_configure(pm_model *m, const pm_config *c) PM_MUST_USE;
void pm_vit_build(pm_build *b);
void pm_clip_build(pm_build *b);
void pm_transfo_xl_build(pm_build *b);          /* segments with a memory */
void pm_causal_build(pm_build *b);              /* any decoder-only model */
void pm_encoder_build(pm_build *b);             /* any encoder alone */
void pm_transformer_build(pm_build *b);         /* any encoder-decoder */
void pm_transformer_encoder_build(pm_build *b); /* its encoder alone */

/* For configure functions. Heads must divide width, kv heads must divide heads: one sentence with the keys'
 * names. */
pm_status pm_check_divides(const char *what, int64_t part, const char *of, int64_t whole) PM_MUST_USE;
/* "prefix" + "name" in the model's arena; NULL when memory is out. */
const char *pm_model_name(pm_model *m, const char *prefix, const char *name);

#endif
