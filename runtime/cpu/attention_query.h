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
    uint32_t head_size;
    uint64_t y_at; /* element of the result where the row begins */
} pm_query;

/* index: t, then h, then b, t innermost. */
pm_query pm_find_query(const pm_call *c, uint64_t index);

#endif
