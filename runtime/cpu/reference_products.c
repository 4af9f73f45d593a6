/* Reference kernels matmul, grouped_matmul and attention: shaders/matmul.params.h, shaders/attention.params.h.
 * An item of matmul is an element of y; of attention, a query row. */
#include "runtime/cpu/attention_query.h"
#include "shaders/matmul.params.h"

uint64_t pm_reference_matmul_items(const pm_call *c) {
    const pm_matmul_params *p = c->params;
    return (uint64_t)p->batch[0] * p->batch[1] * p->batch[2] * p->m * p->n;
}

/* A dot product, the sum of its terms' magnitudes, and what of it a device may flush to zero. */
typedef struct dotted {
    double sum, magnitude, flushed;
} dotted;

static inline dotted dot_of(const float *a, uint64_t a_stride, const float *b, uint64_t b_stride,
                            uint64_t n) {
    dotted d = {0, 0, (double)n * PM_TINY};
    for (uint64_t k = 0; k < n; k++) {
        double l = (double)a[k * a_stride], r = (double)b[k * b_stride], product = l * r;
        d.sum += product;
        d.magnitude += fabs(product);
        if (pm_is_tiny(l) || pm_is_tiny(r)) d.flushed += fabs(product);
    }
    return d;
}

static double dot_error(const dotted *d, uint64_t n) {
    return pm_dot_factor(n) * PM_U * d->magnitude + d->flushed;
}

enum { POSITION = 4, CACHES = 5 }; /* bindings */

pm_product_place pm_place_product(const pm_call *c, uint64_t m, uint64_t n) {
    const pm_matmul_params *p = c->params;
    for (uint32_t i = 0; i < c->spec[PM_SPEC_CACHES]; i++) {
        uint32_t column = (uint32_t)n - p->pm_cache_first[i]; /* wraps before the first */
        uint64_t head = column / p->pm_cache_pitch, j = column % p->pm_cache_pitch;
        if (head >= p->pm_cache_heads || j >= p->pm_cache_size) continue;
        uint64_t at = p->cache_offset[i] + head * p->pm_cache_slots * p->pm_cache_size + j;
        return (pm_product_place){c, CACHES + i, at, m};
    }
    return (pm_product_place){.call = c};
}

bool pm_place_in_cache(const pm_product_place *to, uint32_t i, uint64_t *out_at) {
    const pm_matmul_params *p = to->call->params;
    const uint32_t *position = (const uint32_t *)to->call->in[POSITION] + p->pm_cache_position_offset;
    uint64_t b = to->m / p->pm_cache_tokens * p->pm_cache_repeats + i;
    uint32_t slot = position[b * p->pm_cache_position_stride] +
                    (uint32_t)(to->m % p->pm_cache_tokens); /* wraps for rows before 0 */
    *out_at = to->in_head + (b * p->pm_cache_heads * p->pm_cache_slots + slot) * p->pm_cache_size;
    return slot < p->pm_cache_slots;
}

static void put_product(const pm_call *c, uint64_t m, uint64_t n, uint64_t y_at, pm_valued v) {
    const pm_matmul_params *p = c->params;
    const pm_product_place to = pm_place_product(c, m, n);
    if (!to.binding) {
        ((float *)c->out)[y_at] = (float)v.y;
        if (c->bound) c->bound[y_at] = (float)v.error;
        return;
    }
    for (uint32_t i = 0; i < p->pm_cache_repeats; i++) {
        uint64_t at;
        if (!pm_place_in_cache(&to, i, &at)) continue;
        ((float *)c->also[to.binding])[at] = (float)v.y;
        if (c->also_bound[to.binding]) c->also_bound[to.binding][at] = (float)v.error;
    }
}

/* error of act(scale * dot + bias) + residual: |scale| times the dot's, two roundings before the activation, the activation's
 * slope and own error, and the output's rounding */
void pm_reference_matmul(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_matmul_params *p = c->params;
    uint32_t act = c->spec[PM_SPEC_ACT];
    for (uint64_t i = first; i < last; i++) {
        uint64_t n = i % p->n, m = i / p->n % p->m, batch = i / p->n / p->m;
        const float *a =
            (const float *)c->in[0] + p->a_offset + pm_strided(batch, p->batch, p->a_batch, 3) + m * p->a_m;
        const float *b =
            (const float *)c->in[1] + p->b_offset + pm_strided(batch, p->batch, p->b_batch, 3) + n * p->b_n;
        dotted dot = dot_of(a, p->a_k, b, p->b_k, p->k);
        double v = dot.sum * (double)p->scale,
               error = dot_error(&dot, p->k) * fabs((double)p->scale) + PM_U * fabs(v);
        if (c->spec[PM_SPEC_HAS_BIAS]) {
            v += (double)((const float *)c->in[2])[p->bias_offset + n];
            error += PM_U * fabs(v);
        }
        pm_valued y = pm_act_value(act, v);
        error = error * pm_act_slope(act) + y.error;
        if (c->spec[PM_SPEC_HAS_RESIDUAL])
            y.y += (double)((const float *)c->in[3])[p->residual_offset +
                                                     pm_strided(batch, p->batch, p->residual_batch, 3) +
                                                     m * p->residual_m + n];
        uint64_t at = p->y_offset + pm_strided(batch, p->batch, p->y_batch, 3) + m * p->y_m + n;
        put_product(c, m, n, at, (pm_valued){y.y, error + PM_ULP * fabs(y.y) + PM_TINY});
    }
}

uint64_t pm_reference_grouped_matmul_items(const pm_call *c) {
    const pm_grouped_params *p = c->params;
    return (uint64_t)p->n_pairs * p->n;
}

/* As matmul's, without scale and residual. */
void pm_reference_grouped_matmul(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_grouped_params *p = c->params;
    uint32_t act = c->spec[PM_SPEC_ACT];
    for (uint64_t i = first; i < last; i++) {
        uint64_t n = i % p->n, pair = i / p->n, at = p->y_offset + pair * p->y_pair + n;
        uint64_t e = ((const uint32_t *)c->in[2])[p->ids_offset + pair * p->ids_stride] - p->first_expert;
        if ((e &= UINT32_MAX) >= p->n_experts) {
            if (p->keep_others) continue;
            ((float *)c->out)[at] = 0;
            if (c->bound) c->bound[at] = 0;
            continue;
        }
        const float *x = (const float *)c->in[0] + p->x_offset + pair / p->n_chosen * p->x_token +
                         pair % p->n_chosen * p->x_choice;
        const float *w = (const float *)c->in[1] + p->w_offset + e * p->w_expert + n * p->w_n;
        dotted dot = dot_of(x, p->x_k, w, p->w_k, p->k);
        double v = dot.sum, error = dot_error(&dot, p->k);
        if (c->spec[PM_SPEC_HAS_BIAS]) {
            v += (double)((const float *)c->in[3])[p->bias_offset + e * p->bias_expert + n];
            error += PM_U * fabs(v);
        }
        pm_valued y = pm_act_value(act, v);
        ((float *)c->out)[at] = (float)y.y;
        if (c->bound)
            c->bound[at] = (float)(error * pm_act_slope(act) + y.error + PM_ULP * fabs(y.y) + PM_TINY);
    }
}

uint64_t pm_reference_attention_items(const pm_call *c) {
    const pm_attention_params *p = c->params;
    return (uint64_t)p->n_batch * p->n_heads * p->n_queries;
}

pm_query pm_find_query(const pm_call *c, uint64_t index) {
    const pm_attention_params *p = c->params;
    uint32_t mask = c->spec[PM_SPEC_MASK];
    uint64_t t = index % p->n_queries, h = index / p->n_queries % p->n_heads,
             b = index / p->n_queries / p->n_heads;
    uint64_t g = h / c->spec[PM_SPEC_GROUP];
    pm_query q = {.p = p, .head_size = c->spec[PM_SPEC_HEAD_SIZE]};
    q.q =
        (const float *)c->in[0] + p->q_offset + b * p->q_stride[0] + h * p->q_stride[1] + t * p->q_stride[2];
    q.k = (const float *)c->in[1] + p->k_offset + b * p->k_stride[0] + g * p->k_stride[1];
    q.v = (const float *)c->in[2] + p->v_offset + b * p->v_stride[0] + g * p->v_stride[1];
    q.keys = pm_keys_of_row(c, &p->masks, 3, (uint64_t[]){b, t}, p->n_keys);
    const float *bias = (const float *)c->in[6] + p->bias_offset + h * p->bias_stride[1];
    if (c->spec[PM_SPEC_PLACES]) q.places = bias, q.n_places = p->bias_stride[PM_ATTN_PLACES_COUNT];
    if (mask & PM_MASK_RELATIVE)
        q.bias = (pm_bias_row){bias, 1, (int32_t)p->bias_stride[PM_ATTN_RELATIVE_ORIGIN] - q.keys.at,
                               p->bias_stride[PM_ATTN_RELATIVE_COUNT]};
    else if (mask & PM_MASK_BIAS)
        q.bias = (pm_bias_row){.at = bias + b * p->bias_stride[0] + t * p->bias_stride[2], .stride = 1};
    const float *sink = bias + b * p->bias_stride[0] + t * p->bias_stride[2];
    q.sink = pm_sink_of(mask & PM_MASK_SINK ? sink : NULL);
    q.y_at = p->y_offset + b * p->y_stride[0] + h * p->y_stride[1] + t * p->y_stride[2];
    return q;
}

static bool score_key(const pm_query *q, int64_t s, pm_valued *out) {
    if (!pm_key_seen(&q->keys, s)) return false;
    dotted dot = dot_of(q->q, 1, q->k + (uint64_t)s * q->p->k_stride[2], 1, q->head_size);
    double error = dot_error(&dot, q->head_size);
    if (q->places) {
        dotted by_place = dot_of(q->q + q->head_size, 1, pm_place_of(q, s), 1, q->head_size);
        dot.sum += by_place.sum;
        error += dot_error(&by_place, q->head_size) + PM_U * fabs(dot.sum);
    }
    *out = pm_score_value(dot.sum, error, q->p->scale, q->p->softcap, (double)pm_bias_of(&q->bias, s));
    return out->y > PM_MASKED_F32;
}

enum { COLUMNS = 128 }; /* of a head's values at a time; any head size */

/* y = sum p v for n columns from `first`: each share p has the relative error of its exponential and of the sum;
 * the products add as a dot does. Flushed: each v, each product (n keys' at most, and of a sum that is 1 or more), the sum. */
static void attend_columns(const pm_call *c, const pm_query *q, pm_valued most, uint32_t first, uint32_t n,
                           uint64_t y_at) {
    double y[COLUMNS] = {0}, error[COLUMNS] = {0}, magnitude[COLUMNS] = {0};
    double sum = isinf(q->sink) ? 0 : exp((double)q->sink - most.y);
    double sum_error = sum > 0 ? sum * pm_exp_relative((double)q->sink - most.y, 0, most.error) : 0;
    uint64_t n_keys = 0;
    for (int64_t s = q->keys.first; s < q->keys.end; s++) {
        pm_valued z;
        if (!score_key(q, s, &z)) continue;
        double e = exp(z.y - most.y);
        if ((float)e == 0) continue; /* as if absent, whatever v holds */
        double relative = pm_exp_relative(z.y - most.y, z.error, most.error);
        n_keys++;
        const float *v = q->v + (uint64_t)s * q->p->v_stride[2] + first;
        sum += e;
        sum_error += e * relative;
        for (uint32_t j = 0; j < n; j++) {
            double product = e * (double)v[j];
            y[j] += product;
            magnitude[j] += fabs(product);
            error[j] += fabs(product) * relative;
        }
    }
    double factor = pm_dot_factor(n_keys) * PM_U;
    for (uint32_t j = 0; j < n; j++) {
        double out = sum > 0 ? y[j] / sum : 0;
        ((float *)c->out)[y_at + j] = (float)out;
        if (c->bound)
            c->bound[y_at + j] = sum > 0
                                     ? (float)((error[j] + magnitude[j] * (sum_error / sum + factor)) / sum +
                                               6 * PM_U * fabs(out) + PM_TINY * (3 + (double)n_keys / sum))
                                     : 0;
    }
}

static void attend_row(const pm_call *c, uint64_t index) {
    const pm_query q = pm_find_query(c, index);
    pm_valued z, most = {(double)q.sink, 0};
    for (int64_t s = q.keys.first; s < q.keys.end; s++)
        if (score_key(&q, s, &z) && z.y > most.y) most = z;
    for (uint32_t j = 0; j < q.head_size; j += COLUMNS)
        attend_columns(c, &q, most, j, q.head_size - j < COLUMNS ? q.head_size - j : COLUMNS, q.y_at + j);
}

void pm_reference_attention(const pm_call *c, uint64_t first, uint64_t last) {
    for (uint64_t i = first; i < last; i++) attend_row(c, i);
}
