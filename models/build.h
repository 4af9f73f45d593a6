/* The state of one graph being built from a model: its options, wanted outputs, weights by name, first error.
 * A builder writes on after an error (weights are stood in for) and pm_model_build reports the first one. */
#ifndef PM_BUILD_H
#define PM_BUILD_H

#include "models/arch.h"
#include "pumice/graph.h"

typedef enum pm_build_kind {
    PM_BUILD_FORWARD, /* whole sequences, every output */
    PM_BUILD_STEP,    /* T new tokens behind param "position"; keys and values live in states */
    PM_BUILD_ENCODE   /* an encoder, which leaves the decoder's cross keys and values in states */
} pm_build_kind;

typedef struct pm_build_options {
    pm_build_kind kind;
    int64_t batch, length; /* B and T of input_ids (encoder-decoders: the source; STEP: the new tokens) */
    int64_t signals;       /* batch of the spec's signal; 0: it is not given */
    int64_t height, width; /* of its pictures, where the model takes any; 0: the spec's */
    int64_t target_length; /* FORWARD of encoder-decoders: T of decoder_input_ids */
    int64_t cache, source; /* STEP: S of the cache; keys of the encoder's states */
    int64_t
        memory; /* FORWARD of a segment: tokens before it that are in states; with `states` it leaves its own */
    bool
        rows; /* STEP, ENCODE: each sequence of the batch has a position, a last row and a source length of its
                                own, inputs [B] where else one parameter tells them for all */
    int64_t globals;      /* FORWARD: the most tokens of a sequence that global_attention_mask names */
    bool global_mask;     /* which is given */
    bool key_mask, types; /* FORWARD: attention_mask, token_type_ids are given */
    bool
        loop; /* STEP of length 1, of one sequence or of rows: id and position are states, and the step chooses the next (loop.h) */
    bool penalty;                                /* with loop: ids that came before are less likely */
    bool sample;                                 /* with loop: chance chooses, not what is likeliest */
    const char *want;                            /* as in pm_session_run; NULL: "final" */
    const char *weights, *states, *cross_states; /* what names in the store begin with; NULL: "" */
    pm_status (*on_table)(void *user,
                          const pm_table *table); /* called for each table of the graph; or NULL */
    void *user;
} pm_build_options;

enum { PM_MAX_WANTED = 32 };
typedef struct pm_wanted {
    const char *text;
    size_t length;
    bool found;
} pm_wanted;
typedef struct pm_leaf {
    uint32_t hash;
    const char *name;
    pm_tensor *tensor;
} pm_leaf;

struct pm_build {
    pm_graph *g;
    const pm_model *model;
    pm_model *record; /* at pm_model_open: the model whose needs are written down and checked; else NULL */
    pm_build_options options;
    pm_wanted wanted[PM_MAX_WANTED];
    size_t n_wanted;
    pm_text offered; /* outputs that the model has, for an error */
    pm_leaf *leaves;
    size_t n_leaves, leaves_capacity;
    pm_tensor *position;      /* STEP: param, or an input or words of the loop, [B] or rank 0; else NULL */
    pm_tensor *loop;          /* options.loop: the state that a decode loop keeps; else NULL */
    pm_tensor *source_length; /* STEP of an encoder-decoder, ENCODE: param, or input [B]; else NULL */
    pm_tensor *key_mask;      /* FORWARD: I32 [B,S] over input_ids, or NULL */
    pm_status status;         /* first error of this file's functions; its text: */
    char *error;
    pm_arena arena;
};

pm_status pm_model_build(const pm_model *m, const pm_build_options *options,
                         pm_graph **out_graph) PM_MUST_USE;
/* Builds every graph of the model once, small, and writes down what they need: a bad checkpoint fails here.
 */
pm_status pm_model_collect(pm_model *m) PM_MUST_USE;

/* ---- for builders ---- */
void pm_build_fail(pm_build *b, pm_status s); /* keeps the first error, which pm_raise has just set */
pm_tensor *pm_build_weight(pm_build *b, const char *name, int rank, const int64_t *dims);
/* The weight with `plus` added to each element when it is read. */
pm_tensor *pm_build_weight_plus(pm_build *b, const char *name, int rank, const int64_t *dims, float plus);
/* Where a weight comes from that is no single tensor of the checkpoint. */
typedef struct pm_source {
    pm_source_kind kind;
    const char *const *names; /* of the arrays, NULL: zeros; MXFP4: blocks, then scales */
    const int64_t *rows;      /* dims[0] of each array, where they differ; else NULL */
    size_t n;
    int rank; /* of each array; MXFP4: of the scales, of which blocks have one dim more */
    int64_t dims[PM_MAX_DIMS];
} pm_source;
pm_tensor *pm_build_weight_from(pm_build *b, const char *name, int rank, const int64_t *dims,
                                const pm_source *source);
/* Matrices of `columns` columns one on top of the other, rows[i] rows of each; columns 0: vectors, one behind the other. A
 * name may be NULL: zeros. */
pm_tensor *pm_build_weight_rows(pm_build *b, const char *const *names, const int64_t *rows, int n,
                                int64_t columns);
/* A weight [rows, columns] that table->fill computes. table->name is without the rows. */
pm_tensor *pm_build_table(pm_build *b, const pm_table *table);
pm_tensor *pm_build_state(pm_build *b, const char *prefix, const char *name, int64_t layer,
                          const int64_t dims[4]);
/* The name of a tensor of a layer: "prefix" "layer" "." "name". */
typedef struct pm_layer_name {
    char s[256];
} pm_layer_name;
pm_layer_name pm_build_layer_name(const char *prefix, int64_t layer, const char *name);
pm_tensor *pm_build_ids(pm_build *b, const char *name, int64_t batch,
                        int64_t length); /* an I32 input [B,T] */
/* What is one word of all sequences, a param, or one of each: options.rows. */
pm_tensor *pm_build_word(pm_build *b, const char *name);
/* The ids that a decoder is fed: the same, but in a loop the id that it chose. */
pm_tensor *pm_build_new_ids(pm_build *b, const char *name, int64_t batch, int64_t length);
/* The spec's signal, an F32 input of options.signals; NULL when it is not given. */
pm_tensor *pm_build_signal(pm_build *b);
/* Marks an output when it is wanted. layer -1: a plain name; else "name.layer". final: one of the last
 * outputs. */
bool pm_build_wants(pm_build *b, const char *name, int64_t layer, bool final);
void pm_build_output(pm_build *b, const char *name, int64_t layer, bool final, pm_tensor *t);
void pm_build_wanted(pm_build *b, const char *name, int64_t layer, pm_tensor *t); /* pm_build_wants said so */
void pm_build_label(pm_build *b, const char *stack, int64_t layer, const char *part); /* layer -1: none */

#endif
