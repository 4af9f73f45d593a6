/* An open model: files, settings, weights by name. Read-only after pm_model_open. */
#ifndef PM_MODEL_DATA_H
#define PM_MODEL_DATA_H

#include "models/checkpoint.h"
#include "models/rules.h"
#include "models/spec.h"
#include "models/words.h"
#include "pumice/text.h"

typedef struct pm_arch pm_arch;

/* How a weight comes out of the checkpoint's arrays. */
typedef enum pm_source_kind {
    PM_SOURCE_STACKED, /* one array behind the other (an absent one is zeros); mostly there is one */
    PM_SOURCE_SWAPPED, /* one, whose two last dims change places */
    PM_SOURCE_MXFP4 /* blocks [..,K/32,16] of two 4-bit floats a byte, and the exponents [..,K/32] of their scales */
} pm_source_kind;

/* A tensor of the checkpoint that the graphs of a model use. */
typedef struct pm_need {
    const char *name;
    int32_t rank;
    int64_t dims[PM_MAX_DIMS];
    float plus; /* added to each element */
    pm_source_kind kind;
    const pm_array **arrays; /* NULL among them: absent */
    const int64_t *rows;     /* dims[0] of each, where they differ; else NULL */
    size_t n_arrays;
} pm_need;

/* A tensor [rows, columns] that the host computes, once a program needs it. Its name holds its rows. */
typedef struct pm_table pm_table;
struct pm_table {
    const char *name;
    int64_t rows, columns;
    const pm_rope *rope; /* of rotary tables */
    void (*fill)(const pm_table *table, float *out);
};

#define PM_MAX_EOS 8
struct pm_model {
    pm_files files;
    pm_checkpoint checkpoint;
    const pm_arch *arch;
    pm_spec spec;
    pm_model_info info;
    int32_t eos[PM_MAX_EOS];
    size_t n_eos;
    pm_rules rules;             /* generation_config.json's */
    pm_words words;             /* of built-in models; else: */
    pm_tokenizer *tokenizer[2]; /* source and target; [1] NULL: the same; both NULL: none */
    char *tokenizer_error;      /* why files that are there gave none */
    int32_t
        source_language; /* id of the token that says a source's language, when the caller does not; -1: none */
    const char **labels; /* [spec.n_labels], of a model with classes; else NULL */
    pm_class_kind class_kind;
    pm_need *needs;
    size_t n_needs, needs_capacity;
    pm_arena arena;
};

#endif
