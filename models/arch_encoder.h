/* Encoders as data: a family says which keys of config.json hold what, how its tensors are named and which heads it has;
 * pm_encoder_configure reads a model of it and pm_encoder_build makes its graph. The task comes from the row in arch.c. */
#ifndef PM_ARCH_ENCODER_H
#define PM_ARCH_ENCODER_H

#include "models/arch.h"
#include "pumice/graph.h"

/* What config.json says. Fields that a family's table does not name keep what pm_encoder_configure gives. */
typedef struct pm_encoder {
    int64_t vocab, positions, types, width, embedding, layers, heads, inner, labels;
    int64_t pad; /* the id that positions do not count */
    float eps;
    bool tied, decoder;
} pm_encoder;

typedef enum pm_encoder_task {
    PM_ENCODER_FEATURES, /* "features": the hidden states, and what `last` makes of them is "pooler_output" */
    PM_ENCODER_FILL,     /* "fill": an id for each token */
    PM_ENCODER_CLASSIFY, /* "classify": a label for each text */
    PM_ENCODER_TAG,      /* "tag": a label for each token */
    PM_ENCODER_ANSWER,   /* "answer": where the answer starts and ends */
    PM_ENCODER_DETECT,   /* "detect": a number for each token (ELECTRA: whether it was replaced) */
    PM_N_ENCODER_TASKS
} pm_encoder_task;

/* Names of one head, without ".weight" and ".bias"; NULL where there is no such part. */
typedef struct pm_head_names {
    pm_pick pick;
    const char *dense;
    bool dense_inside; /* its name stands behind the family's prefix */
    bool stack_act;    /* the layers' activation, else: */
    pm_activation act;
    const char *norm, *out;
    const char *tied_bias; /* FILL: of the last layer where its weight is the embedding's; NULL: out's */
} pm_head_names;

struct pm_encoder_family {
    const pm_config_field *fields; /* read into one pm_encoder */
    size_t n_fields;
    const char *act_key, *act; /* and the activation when the key is absent */
    const char *prefix;        /* of all names but the heads'; files of the base model leave it out */
    const char *tokens, *positions, *types, *norm, *project; /* behind prefix; norm and project as a head's */
    bool counted;   /* positions count the ids that are not pad (pm_embedding) */
    pm_stack stack; /* names and constants; prefix, final_norm and relative.weight stand behind `prefix` */
    pm_head_names heads[PM_N_ENCODER_TASKS];
    /* What tables cannot say; NULL: nothing. The spec is filled already. */
    pm_status (*adjust)(pm_model *m, const pm_config *c, const pm_encoder *s);
};
typedef struct pm_encoder_family pm_encoder_family;

#define PM_ENCODER_INT(key, member, fallback, least, most)                                                   \
    { key, PM_CONFIG_INT, offsetof(pm_encoder, member), fallback, least, most }
#define PM_ENCODER_REAL(key, member, fallback)                                                               \
    { key, PM_CONFIG_REAL, offsetof(pm_encoder, member), fallback, 0, 1 }
#define PM_ENCODER_BOOL(key, member, fallback)                                                               \
    { key, PM_CONFIG_BOOL, offsetof(pm_encoder, member), fallback, 0, 1 }
/* Keys that most encoders call as BERT does; longest: the positions where the key is absent. */
#define PM_ENCODER_SIZES(longest)                                                                            \
    PM_ENCODER_INT("vocab_size", vocab, PM_CONFIG_REQUIRED, 1, 1 << 24),                                     \
        PM_ENCODER_INT("max_position_embeddings", positions, longest, 1, 1 << 20),                           \
        PM_ENCODER_INT("hidden_size", width, PM_CONFIG_REQUIRED, 1, 65536),                                  \
        PM_ENCODER_INT("num_hidden_layers", layers, PM_CONFIG_REQUIRED, 1, 512),                             \
        PM_ENCODER_INT("num_attention_heads", heads, PM_CONFIG_REQUIRED, 1, 1024),                           \
        PM_ENCODER_INT("intermediate_size", inner, PM_CONFIG_REQUIRED, 1, 1 << 20),                          \
        PM_ENCODER_INT("num_labels", labels, 0, 1, 1 << 20), PM_ENCODER_BOOL("tie_word_embeddings", tied, 1)
#define PM_BERT_FIELDS                                                                                       \
    PM_ENCODER_SIZES(512), PM_ENCODER_INT("type_vocab_size", types, 2, 1, 65536),                            \
        PM_ENCODER_REAL("layer_norm_eps", eps, 1e-12)

/* BERT's embedding and layers, which many share. */
#define PM_ENCODER_PAIR(name)                                                                                \
    { name ".weight", name ".bias" }
#define PM_BERT_EMBEDDING                                                                                    \
    .tokens = "embeddings.word_embeddings.weight", .positions = "embeddings.position_embeddings.weight",     \
    .norm = "embeddings.LayerNorm"
#define PM_BERT_TYPES .types = "embeddings.token_type_embeddings.weight"
#define PM_BERT_STACK                                                                                        \
    {                                                                                                        \
        .prefix = "encoder.layer.", .label = "layer", .norm = PM_NORM_LAYER,                                 \
        .self = {.q = PM_ENCODER_PAIR("attention.self.query"),                                               \
                 .k = PM_ENCODER_PAIR("attention.self.key"),                                                 \
                 .v = PM_ENCODER_PAIR("attention.self.value"),                                               \
                 .o = PM_ENCODER_PAIR("attention.output.dense")},                                            \
        .self_norm = PM_ENCODER_PAIR("attention.output.LayerNorm"),                                          \
        .ffn_norm = PM_ENCODER_PAIR("output.LayerNorm"), .up = PM_ENCODER_PAIR("intermediate.dense"),        \
        .down = PM_ENCODER_PAIR("output.dense"),                                                             \
    }

#define PM_BERT_BODY                                                                                         \
    .act_key = "hidden_act", .act = "gelu", PM_BERT_EMBEDDING, PM_BERT_TYPES, .stack = PM_BERT_STACK

/* RoBERTa's heads, likewise. */
#define PM_ROBERTA_HEADS                                                                                     \
    {                                                                                                        \
        [PM_ENCODER_FEATURES] = {PM_PICK_FIRST, "pooler.dense", true, .act = PM_ACTIVATION_TANH},            \
        [PM_ENCODER_FILL] = {.dense = "lm_head.dense",                                                       \
                             .act = PM_ACTIVATION_GELU,                                                      \
                             .norm = "lm_head.layer_norm",                                                   \
                             .out = "lm_head.decoder",                                                       \
                             .tied_bias = "lm_head.bias"},                                                   \
        [PM_ENCODER_CLASSIFY] = {PM_PICK_FIRST, "classifier.dense", .act = PM_ACTIVATION_TANH,               \
                                 .out = "classifier.out_proj"},                                              \
        [PM_ENCODER_TAG] = {.out = "classifier"}, [PM_ENCODER_ANSWER] = {.out = "qa_outputs"},               \
    }

pm_status pm_encoder_configure(pm_model *m, const pm_config *c, const pm_encoder_family *f) PM_MUST_USE;
pm_encoder_task pm_encoder_task_of(const pm_model *m);
/* name + ".weight" and name + ".bias" in the model's arena; files converted from TensorFlow may call them ".gamma" and
 * ".beta". Nothing when memory is out. */
pm_pair pm_encoder_pair(pm_model *m, const char *prefix, const char *name);
/* config.json's position_embedding_type must be "absolute". */
pm_status pm_encoder_want_absolute(const pm_config *c) PM_MUST_USE;

#endif
