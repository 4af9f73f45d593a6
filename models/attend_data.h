/* What the files attend*.c share: which maps a model has, and the ids and signals that one is made from. */
#ifndef PM_ATTEND_DATA_H
#define PM_ATTEND_DATA_H

#include "models/session.h"
#include "pumice/attend.h"

typedef enum pm_map_side { PM_SIDE_SOURCE, PM_SIDE_TARGET } pm_map_side;
typedef enum pm_map_layout {
    PM_LAYOUT_PLAIN,    /* [B,H,T,S] */
    PM_LAYOUT_SPARSE,   /* Longformer's: window and global */
    PM_LAYOUT_WINDOW,   /* of it, rows of local tokens */
    PM_LAYOUT_GLOBAL,   /* of it, rows of global tokens */
    PM_LAYOUT_SEGMENTS, /* a segment's keys are the memory and itself */
} pm_map_layout;

typedef struct pm_map {
    const char *name;
    const pm_stack *stack; /* whose queries they are */
    const char *output;    /* what the model calls its weights */
    pm_map_side query, key;
    pm_map_layout layout;
    pm_attend_input reads;
    bool has_target; /* needs what the decoder is fed with */
} pm_map;

enum { PM_MAX_MAPS = 4 };
/* The default comes first. */
size_t pm_maps_of(const pm_model *m, pm_map maps[PM_MAX_MAPS]);
/* name NULL: the first that reads `given` (or anything, where that is NULL). */
pm_status pm_map_find(const pm_model *m, const char *name, const pm_attend_input *given,
                      pm_map *out) PM_MUST_USE;

/* Inputs of a forward pass, made of the options (attend_inputs.c). */
typedef struct pm_map_inputs {
    pm_tensors *made;          /* or NULL: they are the caller's */
    const pm_tensors *tensors; /* either */
    int64_t row, batch;
    char *text; /* that was generated */
} pm_map_inputs;
pm_status pm_map_inputs_make(pm_session *s, const pm_map *map, const pm_attend_options *o,
                             pm_map_inputs *out) PM_MUST_USE;
void pm_map_inputs_free(pm_map_inputs *in);
/* Row `in->row` of an input of ids; all segments, one behind the other. *out_ids is pm_alloc'd. */
pm_status pm_map_ids(const pm_map_inputs *in, const char *name, int32_t **out_ids, size_t *out_n) PM_MUST_USE;

/* Axes, and the picture that patches are of (attend_axes.c). */
pm_status pm_map_axes(const pm_session *s, const pm_map *map, const pm_map_inputs *in,
                      pm_attention *out) PM_MUST_USE;

/* Whether a pass on these inputs has global tokens: then it has global_attentions. */
pm_status pm_map_has_globals(const pm_model *m, const pm_map *map, const pm_map_inputs *in,
                             bool *out) PM_MUST_USE;
/* The global tokens of the row. *out_at is pm_alloc'd. */
pm_status pm_map_globals(const pm_model *m, const pm_map_inputs *in, int64_t **out_at,
                         int64_t *out_n) PM_MUST_USE;
/* Weights of layers first .. first + n_layers - 1 from a forward pass's outputs, as a[layer][head][query][key]
 * (attend_layout.c). */
pm_status pm_map_take(const pm_session *s, const pm_map *map, const pm_map_inputs *in, const pm_tensors *set,
                      pm_attention *a) PM_MUST_USE;

/* Layers and heads as the options want them, or their rollout (attend_reduce.c). */
pm_status pm_map_reduce(const pm_attend_options *o, pm_attention *a) PM_MUST_USE;

#endif
