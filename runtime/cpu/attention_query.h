/* A query row of attention as the reference and the fast kernel see it: its operands and the keys within reach. */
#ifndef PM_ATTENTION_QUERY_H
#define PM_ATTENTION_QUERY_H

#include "runtime/cpu/reference.h"
#include "shaders/attention.params.h"

typedef struct pm_query {
    const pm_attention_params *p;
    const float *q, *k, *v;
    pm_bias_row bias;
    float sink; /* minus infinity: there is none */
    pm_keys keys;
    const float *places; /* of this head; NULL: no term by distance */
    int64_t n_places;
    uint32_t head_size;
    uint64_t y_at; /* element of the result where the row begins */
} pm_query;

/* The place of key s: its row of D elements. */
static inline const float *pm_place_of(const pm_query *q, int64_t s) {
    int64_t distance = q->keys.at - s;
    distance = distance < 0 ? 0 : distance < q->n_places ? distance : q->n_places - 1;
    return q->places + (uint64_t)distance * q->p->bias_stride[2];
}

/* index: t, then h, then b, t innermost. */
pm_query pm_find_query(const pm_call *c, uint64_t index);

#endif
