/* Fast attention: one query row an item, keys in blocks with a running maximum and sum, as the shader does. */
#include "runtime/cpu/fast.h"
#include "runtime/cpu/reference.h"
#include "shaders/attention.params.h"

#include <string.h>

enum { BLOCK = 64, MAX_HEAD = 256 };

uint64_t pm_fast_attention_items(const pm_call *c) {
    return pm_reference_attention_items(c);
}

/* What is known of the keys seen so far: y is scaled by exp(most). */
typedef struct running {
    float most, sum;
    float y[MAX_HEAD];
} running;

typedef struct query {
    const pm_attention_params *p;
    const float *q, *k, *v, *bias;
    const int32_t *key_mask;
    pm_key_range keys;
    uint32_t head_size;
} query;

/* Scores of keys s .. s+n-1; absent ones are PM_MASKED_F32. Returns the largest. */
PM_CLONES static float block_scores(const query *q, int64_t s, int64_t n, float *out) {
    float most = (float)PM_MASKED_F32;
    for (int64_t i = 0; i < n; i++) {
        if (q->key_mask && !q->key_mask[s + i]) {
            out[i] = (float)PM_MASKED_F32;
            continue;
        }
        float z = q->p->scale * pm_fast_dot(q->q, q->k + (uint64_t)(s + i) * q->p->k_stride[2], q->head_size);
        if (q->p->softcap != 0) z = q->p->softcap * tanhf(z / q->p->softcap);
        if (q->bias) z += q->bias[s + i];
        out[i] = z;
        if (z > most) most = z;
    }
    return most;
}

PM_CLONES static void add_scaled(float *restrict y, const float *restrict v, float weight, uint32_t n) {
    for (uint32_t j = 0; j < n; j++) y[j] += weight * v[j];
}

/* A block is summed by itself first: over thousands of keys one running float sum loses more than the bound allows. */
static void add_block(const query *q, int64_t s, int64_t n, running *r) {
    float y[MAX_HEAD], sum = 0;
    float z[BLOCK], most = block_scores(q, s, n, z);
    if (most > r->most) {
        float shrink = expf(r->most - most); /* 0 for the first block with a key */
        r->sum *= shrink;
        for (uint32_t j = 0; j < q->head_size; j++) r->y[j] *= shrink;
        r->most = most;
    }
    memset(y, 0, q->head_size * sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        if (!(z[i] > (float)PM_MASKED_F32)) continue; /* NaN is absent, too */
        float e = expf(z[i] - r->most);
        if (e == 0) continue; /* 0 * inf */
        sum += e;
        add_scaled(y, q->v + (uint64_t)(s + i) * q->p->v_stride[2], e, q->head_size);
    }
    r->sum += sum;
    for (uint32_t j = 0; j < q->head_size; j++) r->y[j] += y[j];
}

static void attend_row(const pm_call *c, uint64_t index) {
    const pm_attention_params *p = c->params;
    uint32_t mask = c->spec[PM_SPEC_MASK];
    uint64_t t = index % p->n_queries, h = index / p->n_queries % p->n_heads,
             b = index / p->n_queries / p->n_heads;
    uint64_t g = h / c->spec[PM_SPEC_GROUP];
    query q = {.p = p, .head_size = c->spec[PM_SPEC_HEAD_SIZE]};
    q.q =
        (const float *)c->in[0] + p->q_offset + b * p->q_stride[0] + h * p->q_stride[1] + t * p->q_stride[2];
    q.k = (const float *)c->in[1] + p->k_offset + b * p->k_stride[0] + g * p->k_stride[1];
    q.v = (const float *)c->in[2] + p->v_offset + b * p->v_stride[0] + g * p->v_stride[1];
    int64_t position = mask & PM_MASK_POSITION ? ((const int32_t *)c->in[3])[p->position_offset] : 0;
    int64_t length =
        mask & PM_MASK_LENGTH ? ((const int32_t *)c->in[4])[p->length_offset + b * p->length_stride] : 0;
    if (mask & PM_MASK_KEYS)
        q.key_mask = (const int32_t *)c->in[5] + p->key_mask_offset + b * p->key_mask_stride;
    if (mask & PM_MASK_BIAS)
        q.bias = (const float *)c->in[6] + p->bias_offset + b * p->bias_stride[0] + h * p->bias_stride[1] +
                 t * p->bias_stride[2];
    q.keys = pm_visible_keys(mask, c->spec[PM_SPEC_WINDOW], (int64_t)t + position, length, p->n_keys);

    running r = {.most = (float)PM_MASKED_F32};
    for (int64_t s = q.keys.first; s < q.keys.end; s += BLOCK)
        add_block(&q, s, q.keys.end - s < BLOCK ? q.keys.end - s : BLOCK, &r);
    float *y = (float *)c->out + p->y_offset + b * p->y_stride[0] + h * p->y_stride[1] + t * p->y_stride[2];
    float share = r.sum > 0 ? 1.0f / r.sum : 0;
    for (uint32_t j = 0; j < q.head_size; j++) y[j] = r.y[j] * share;
}

void pm_fast_attention(const pm_call *c, uint64_t first, uint64_t last) {
    if (c->spec[PM_SPEC_HEAD_SIZE] > MAX_HEAD) {
        pm_reference_attention(c, first, last);
        return;
    }
    for (uint64_t i = first; i < last; i++) attend_row(c, i);
}
