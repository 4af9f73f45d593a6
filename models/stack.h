/* A stack of Transformer layers as a pm_stack describes it: self attention, attention to an encoder,
 * feed-forward; norms before or after; keys and values in states when the graph is a step. */
#ifndef PM_STACK_H
#define PM_STACK_H

#include "models/blocks.h"

/* What the layers look at besides x. */
typedef struct pm_context {
    pm_tensor *memory;      /* [B,S,C] of the encoder; NULL: none, or its keys and values are in states */
    pm_tensor *keys;        /* I32 [B,S]: mask of own tokens; or NULL */
    pm_tensor *memory_keys; /* likewise of the memory's */
    pm_tensor *length;      /* rank-0 I32: own tokens at or past it are absent; or NULL */
    pm_tensor
        *globals;      /* BOOL [B,T] or [1,T]: own tokens that are global, of those that are there; or NULL */
    pm_tensor *local;  /* BOOL likewise: those that are there and not global; NULL: all */
    int64_t n_globals; /* most of a sequence */
} pm_context;

/* Whole names of a pair of layer i; both texts live as long as `text`. */
pm_pair pm_layer_names(const pm_stack *st, int64_t i, const pm_pair *names, pm_layer_name text[2]);

/* All layers; hidden_states.0 .. n-1 are offered as outputs. */
pm_tensor *pm_stack_layers(pm_build *b, const pm_stack *st, pm_tensor *x, const pm_context *context);
/* The final norm; hidden_states.n. */
pm_tensor *pm_stack_finish(pm_build *b, const pm_stack *st, pm_tensor *x);
/* ENCODE: the cross keys and values of every layer go into states of `batch` sequences. */
void pm_stack_keep_memory(pm_build *b, const pm_stack *st, pm_tensor *memory);

#endif
