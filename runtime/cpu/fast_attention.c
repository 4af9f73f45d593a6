/* Fast attention: one query row an item, keys in blocks with a running maximum and sum, as the shader does. */
#include "runtime/cpu/attention_query.h"
#include "runtime/cpu/fast.h"
#include "runtime/cpu/fast_exp.h"

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

/* Scores of keys s .. s+n-1; absent ones are PM_MASKED_F32. Returns the largest. */
PM_CLONES static float block_scores(const pm_query *q, int64_t s, int64_t n, float *out) {
    float most = (float)PM_MASKED_F32;
    for (int64_t i = 0; i < n; i++) {
        if (!pm_key_seen(&q->keys, s + i)) {
            out[i] = (float)PM_MASKED_F32;
            continue;
        }
        float dot = pm_fast_dot(q->q, q->k + (uint64_t)(s + i) * q->p->k_stride[2], q->head_size);
        if (q->places) dot += pm_fast_dot(q->q + q->head_size, pm_place_of(q, s + i), q->head_size);
        float z = q->p->scale * dot;
        if (q->p->softcap != 0) z = q->p->softcap * tanhf(z / q->p->softcap);
        if (q->bias.at) z += pm_bias_of(&q->bias, s + i);
        out[i] = z;
        if (z > most) most = z;
    }
    return most;
}

PM_CLONES static void add_scaled(float *restrict y, const float *restrict v, float weight, uint32_t n) {
    for (uint32_t j = 0; j < n; j++) y[j] += weight * v[j];
}

/* Four keys at once: y is read and written once for them. */
PM_CLONES static void add_four(float *restrict y, const float *v, uint64_t step, const float *weights,
                               uint32_t n) {
    const float *v1 = v + step, *v2 = v1 + step, *v3 = v2 + step;
    float w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
    for (uint32_t j = 0; j < n; j++) y[j] += (w0 * v[j] + w1 * v1[j]) + (w2 * v2[j] + w3 * v3[j]);
}

/* Scores become weights; absent keys, and NaN, get 0. Returns their sum. */
PM_CLONES static float weigh(float *z, int64_t n, float most) {
    float acc[PM_LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (int64_t s = 0; s < n; s++) z[s] = z[s] > (float)PM_MASKED_F32 ? pm_fast_exp(z[s] - most) : 0;
    for (; i + PM_LANES <= n; i += PM_LANES)
        for (int64_t j = 0; j < PM_LANES; j++) acc[j] += z[i + j];
    for (; i < n; i++) sum += z[i];
    return sum + pm_lanes_sum(acc);
}

/* Adds weight * v of n keys to y; a key of weight 0 is not read: 0 * inf. */
static void add_values(const float *v, uint64_t step, const float *w, int64_t n, uint32_t head, float *y) {
    int64_t i = 0;
    while (i < n) {
        bool four = i + 4 <= n && w[i] != 0 && w[i + 1] != 0 && w[i + 2] != 0 && w[i + 3] != 0;
        if (four)
            add_four(y, v + (uint64_t)i * step, step, w + i, head);
        else if (w[i] != 0)
            add_scaled(y, v + (uint64_t)i * step, w[i], head);
        i += four ? 4 : 1;
    }
}

/* A block is summed by itself first: over thousands of keys one running float sum loses more than the bound allows. */
static void add_block(const pm_query *q, int64_t s, int64_t n, running *r) {
    float y[MAX_HEAD], sum;
    float z[BLOCK], most = block_scores(q, s, n, z);
    if (most > r->most) {
        float shrink = expf(r->most - most); /* 0 for the first block with a key */
        r->sum *= shrink;
        for (uint32_t j = 0; j < q->head_size; j++) r->y[j] *= shrink;
        r->most = most;
    }
    memset(y, 0, q->head_size * sizeof *y);
    sum = weigh(z, n, r->most);
    add_values(q->v + (uint64_t)s * q->p->v_stride[2], q->p->v_stride[2], z, n, q->head_size, y);
    r->sum += sum;
    for (uint32_t j = 0; j < q->head_size; j++) r->y[j] += y[j];
}

/* With global keys a row walks over all blocks, and looks into those that hold one or lie near. */
static bool is_seen(const pm_keys *k, int64_t s, int64_t n) {
    int32_t largest = 0;
    if (!k->blocks) return true;
    for (int64_t i = s / PM_KEY_BLOCK; i < (s + n + PM_KEY_BLOCK - 1) / PM_KEY_BLOCK; i++)
        if (k->blocks[i] > largest) largest = k->blocks[i];
    return largest > 1 || (largest == 1 && s < k->near_end && s + n > k->near_first);
}

static void attend_row(const pm_call *c, uint64_t index) {
    const pm_query q = pm_find_query(c, index);
    running r = {.most = (float)PM_MASKED_F32};
    if (q.sink > r.most) r.most = q.sink, r.sum = 1;
    for (int64_t s = q.keys.first; s < q.keys.end; s += BLOCK) {
        int64_t n = q.keys.end - s < BLOCK ? q.keys.end - s : BLOCK;
        if (is_seen(&q.keys, s, n)) add_block(&q, s, n, &r);
    }
    float *y = (float *)c->out + q.y_at;
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
