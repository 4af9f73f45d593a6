/* See support_interpret.h. A tensor that owns its storage has one array of doubles; views read and write it
 * by strides. */
#include "runtime/cpu/sample_row.h"
#include "tests/support_interpret.h"

#include <math.h>

#include "shaders/common.params.h"

typedef struct run {
    const pm_graph *g;
    double **data; /* by id, of tensors that own their storage */
    uint64_t seed;
} run;

typedef struct place {
    int64_t at[PM_MAX_DIMS];
} place;

/* ---- elements ---- */

static double *element(const run *r, const pm_tensor *t, const int64_t *at) {
    int64_t address = t->offset;
    for (int32_t k = 0; k < t->rank; k++) address += at[k] * t->strides[k];
    assert_in_range(address, 0, pm_elems(t->base) - 1);
    return &r->data[t->base->id][address];
}

/* Of an operand that broadcasts to a result of this rank. */
static double broadcast(const run *r, const pm_tensor *t, int32_t rank, const int64_t *at) {
    int64_t own[PM_MAX_DIMS] = {0};
    for (int32_t k = 0; k < t->rank; k++) own[k] = t->dims[k] == 1 ? 0 : at[k + rank - t->rank];
    return *element(r, t, own);
}

/* The next place in row-major order; false after the last. */
static bool advance(const pm_tensor *t, place *p) {
    for (int32_t k = t->rank - 1; k >= 0; k--) {
        if (++p->at[k] < t->dims[k]) return true;
        p->at[k] = 0;
    }
    return false;
}

/* ---- element by element ---- */

static double gelu(double x) {
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}
static double gelu_tanh(double x) {
    return 0.5 * x * (1 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
}
static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double silu(double x) {
    return x * sigmoid(x);
}

static double unary(pm_op op, double x) {
    switch (op) {
    case PM_OP_COPY:
    case PM_OP_TO_F32: return x;
    case PM_OP_NEG: return -x;
    case PM_OP_ABS: return fabs(x);
    case PM_OP_EXP: return exp(x);
    case PM_OP_LOG: return log(x);
    case PM_OP_SQRT: return sqrt(x);
    case PM_OP_RSQRT: return 1 / sqrt(x);
    case PM_OP_TANH: return tanh(x);
    case PM_OP_ERF: return erf(x);
    case PM_OP_SIGMOID: return sigmoid(x);
    case PM_OP_RELU: return fmax(x, 0);
    case PM_OP_NOT: return x == 0;
    case PM_OP_TO_I32: return fabs(x) < 2147483648.0 ? trunc(x) : 0;
    case PM_OP_TO_BOOL: return x != 0;
    case PM_OP_GELU: return gelu(x);
    case PM_OP_GELU_TANH: return gelu_tanh(x);
    case PM_OP_SILU: return silu(x);
    case PM_OP_QUICK_GELU: return x * sigmoid(1.702 * x);
    default: fail_msg("%s: not known here", pm_op_get(op)->name); return 0;
    }
}

static double activation(int32_t act, double x) {
    static const pm_op ops[PM_N_ACT] = {
        [PM_ACT_NONE] = PM_OP_COPY,       [PM_ACT_RELU] = PM_OP_RELU,
        [PM_ACT_GELU] = PM_OP_GELU,       [PM_ACT_GELU_TANH] = PM_OP_GELU_TANH,
        [PM_ACT_SILU] = PM_OP_SILU,       [PM_ACT_TANH] = PM_OP_TANH,
        [PM_ACT_SIGMOID] = PM_OP_SIGMOID, [PM_ACT_QUICK_GELU] = PM_OP_QUICK_GELU,
    };
    return unary(ops[act], x);
}

static double binary(const pm_tensor *t, double a, double b) {
    switch (t->op) {
    case PM_OP_ADD: return a + b;
    case PM_OP_SUB: return a - b;
    case PM_OP_MUL: return a * b;
    case PM_OP_DIV: return t->dtype != PM_I32 ? a / b : b == 0 ? 0 : trunc(a / b);
    case PM_OP_MAX: return fmax(a, b);
    case PM_OP_MIN: return fmin(a, b);
    case PM_OP_LT: return a < b;
    case PM_OP_LE: return a <= b;
    case PM_OP_GT: return a > b;
    case PM_OP_GE: return a >= b;
    case PM_OP_EQ: return a == b;
    case PM_OP_NE: return a != b;
    case PM_OP_AND: return a != 0 && b != 0;
    case PM_OP_OR: return a != 0 || b != 0;
    case PM_OP_GLU:
        if (t->attrs.limit == 0) return activation(t->attrs.act, a) * b;
        return activation(t->attrs.act, fmin(a, (double)t->attrs.limit)) *
               (fmax(fmin(b, (double)t->attrs.limit), -(double)t->attrs.limit) + 1);
    default: fail_msg("%s: not known here", pm_op_get(t->op)->name); return 0;
    }
}

static double elementwise(const run *r, const pm_tensor *t, const int64_t *at) {
    double in[3];
    for (int i = 0; i < t->n_in; i++) in[i] = broadcast(r, t->in[i], t->rank, at);
    return t->n_in == 1   ? unary(t->op, in[0])
           : t->n_in == 2 ? binary(t, in[0], in[1])
           : in[0] != 0   ? in[1]
                          : in[2];
}

/* ---- along an axis ---- */

static double reduce(const run *r, const pm_tensor *t, const int64_t *at) {
    place p;
    memcpy(p.at, at, sizeof p.at);
    double sum = 0, most = -INFINITY;
    int64_t n = t->in[0]->dims[t->attrs.axis];
    for (int64_t i = 0; i < n; i++) {
        p.at[t->attrs.axis] = i;
        double x = *element(r, t->in[0], p.at);
        sum += x;
        most = fmax(most, x);
    }
    return t->op == PM_OP_SUM ? sum : t->op == PM_OP_MEAN ? sum / (double)n : most;
}

static double argmax(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *x = t->in[0];
    int64_t best = 0;
    place p, q;
    memcpy(p.at, at, sizeof p.at);
    q = p;
    for (q.at[t->rank] = p.at[t->rank] = 0; p.at[t->rank] < x->dims[t->rank]; p.at[t->rank]++) {
        q.at[t->rank] = best;
        if (*element(r, x, p.at) > *element(r, x, q.at)) best = p.at[t->rank];
    }
    return (double)best;
}

/* The place of the j-th largest: that which j others stand before. */
static double top_k(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *x = t->in[0];
    int32_t last = t->rank - 1;
    int64_t n = x->dims[last];
    place p, q;
    memcpy(p.at, at, sizeof p.at);
    q = p;
    for (p.at[last] = 0; p.at[last] < n; p.at[last]++) {
        int64_t before = 0;
        double own = *element(r, x, p.at);
        for (q.at[last] = 0; q.at[last] < n; q.at[last]++) {
            double other = *element(r, x, q.at);
            before += other > own || (!(own > other) && q.at[last] < p.at[last]);
        }
        if (before == at[last]) return (double)p.at[last];
    }
    return NAN;
}

static double norm(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *x = t->in[0];
    int32_t last = t->rank - 1;
    int64_t n = x->dims[last];
    double mean = 0, square = 0;
    place p;
    memcpy(p.at, at, sizeof p.at);
    for (p.at[last] = 0; p.at[last] < n; p.at[last]++) mean += *element(r, x, p.at) / (double)n;
    if (t->op == PM_OP_RMS_NORM) mean = 0;
    for (p.at[last] = 0; p.at[last] < n; p.at[last]++)
        square += pow(*element(r, x, p.at) - mean, 2) / (double)n;
    double y = (*element(r, x, at) - mean) / sqrt(square + (double)t->attrs.eps);
    if (t->n_in > 1 && t->in[1]) y *= *element(r, t->in[1], &at[last]);
    if (t->n_in > 2 && t->in[2]) y += *element(r, t->in[2], &at[last]);
    return y;
}

/* ---- softmax and attention ---- */

static const pm_tensor *input(const pm_tensor *t, int i) {
    return i < t->n_in ? t->in[i] : NULL;
}

/* Where the queries of batch b begin: one word, or one for each. 0 without. */
static double position_of(const run *r, const pm_tensor *position, int64_t b) {
    return position ? *element(r, position, (int64_t[]){b}) : 0;
}

/* The masks of t, whose operands begin at `first`, for query q and key k of batch b. */
static bool is_present(const run *r, const pm_tensor *t, int first, int64_t b, int64_t q, int64_t k) {
    static const int64_t none[1] = {0};
    const pm_tensor *position = input(t, first), *length = input(t, first + 1), *keys = input(t, first + 2);
    uint32_t mask = t->attrs.mask;
    int64_t row[2] = {b, q};
    double at = (double)q + position_of(r, position, b), key = (double)k;
    double word = mask & PM_MASK_KEYS ? *element(r, keys, (int64_t[]){b, k}) : 1;
    bool everywhere = mask & PM_MASK_GLOBAL && word > 1;
    if (mask & PM_MASK_CAUSAL && key > at && !everywhere) return false;
    if (mask & PM_MASK_WINDOW && key <= at - (double)t->attrs.window && !everywhere) return false;
    if (mask & PM_MASK_LENGTH && key >= *element(r, length, length->rank ? row : none)) return false;
    return word != 0;
}

/* The relative bias of [..., h, q, k]; 0 for distances that the table does not have. */
static double by_distance(const run *r, const pm_tensor *t, int first, int32_t rank, const int64_t *at) {
    const pm_tensor *table = input(t, first + 3);
    int64_t head = rank > 2 && table->dims[0] != 1 ? at[rank - 3] : 0;
    int64_t column = at[rank - 1] - at[rank - 2] + t->attrs.origin;
    column -= (int64_t)position_of(r, input(t, first), rank > 2 ? at[0] : 0);
    return column >= 0 && column < table->dims[1] ? *element(r, table, (int64_t[]){head, column}) : 0;
}

/* A score as it enters the softmax at `at` = [..., q, k]; -INFINITY where the key is absent. */
static double score(const run *r, const pm_tensor *t, int first, int32_t rank, const int64_t *at, double x) {
    const pm_tensor *bias = input(t, first + 3);
    int64_t batch = rank > 2 ? at[0] : 0, query = rank > 1 ? at[rank - 2] : 0;
    if (!is_present(r, t, first, batch, query, at[rank - 1])) return -INFINITY;
    double cap = (double)t->attrs.softcap, z = x * (t->attrs.scale != 0 ? (double)t->attrs.scale : 1);
    if (cap != 0) z = cap * tanh(z / cap);
    if (t->attrs.mask & PM_MASK_BIAS)
        z += t->attrs.mask & PM_MASK_RELATIVE ? by_distance(r, t, first, rank, at)
                                              : broadcast(r, bias, rank, at);
    return z <= (double)PM_MASKED ? -INFINITY : z;
}

/* What a sink beside the scores of `at` adds to the sum of exp(z - most). */
static double sink_share(const run *r, const pm_tensor *t, int first, int32_t rank, const int64_t *at,
                         double most) {
    place p;
    if (!(t->attrs.mask & PM_MASK_SINK)) return 0;
    memcpy(p.at, at, sizeof p.at);
    p.at[rank - 1] = 0;
    double z = broadcast(r, input(t, first + 3), rank, p.at);
    return z > (double)PM_MASKED ? exp(z - most) : 0;
}

static double softmax(const run *r, const pm_tensor *t, const int64_t *at) {
    int32_t last = t->rank - 1;
    double sum = 0, own = score(r, t, 1, t->rank, at, *element(r, t->in[0], at));
    place p;
    if (own == -INFINITY) return 0;
    sum = sink_share(r, t, 1, t->rank, at, own);
    memcpy(p.at, at, sizeof p.at);
    for (p.at[last] = 0; p.at[last] < t->dims[last]; p.at[last]++)
        sum += exp(score(r, t, 1, t->rank, p.at, *element(r, t->in[0], p.at)) - own);
    return 1 / sum;
}

/* The second half of a query . the place of key s. */
static double by_place(const run *r, const pm_tensor *t, const int64_t *query, int64_t s) {
    const pm_tensor *q = t->in[PM_ATTN_Q], *places = t->in[PM_ATTN_PLACES];
    double position = position_of(r, t->in[PM_ATTN_POSITION], query[0]), dot = 0;
    double far = fmin(fmax((double)(query[2] - s) + position, 0), (double)places->dims[1] - 1);
    for (int64_t d = 0; d < places->dims[2]; d++)
        dot += *element(r, q, (int64_t[]){query[0], query[1], query[2], places->dims[2] + d}) *
               *element(r, places, (int64_t[]){query[1], (int64_t)far, d});
    return dot;
}

static double attention(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *q = t->in[0], *k = t->in[1], *v = t->in[2], *places = input(t, PM_ATTN_PLACES);
    int64_t group = q->dims[1] / k->dims[1], kv[4] = {at[0], at[1] / group, 0, 0},
            scores[PM_MAX_DIMS] = {at[0], at[1], at[2], 0};
    double sum = sink_share(r, t, PM_ATTN_POSITION, 4, scores, 0), y = 0;
    for (int64_t s = 0; s < k->dims[2]; s++) {
        double dot = 0;
        int64_t query[4] = {at[0], at[1], at[2], 0};
        kv[2] = scores[3] = s;
        for (kv[3] = 0; kv[3] < k->dims[3]; kv[3]++) {
            query[3] = kv[3];
            dot += *element(r, q, query) * *element(r, k, kv);
        }
        if (places) dot += by_place(r, t, query, s);
        kv[3] = at[3];
        double e = exp(score(r, t, PM_ATTN_POSITION, 4, scores, dot)); /* test scores are small */
        sum += e;
        y += e * *element(r, v, kv);
    }
    return sum > 0 ? y / sum : 0;
}

static double matmul(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *a = t->in[0], *b = t->in[1], *bias = input(t, PM_MATMUL_BIAS),
                    *residual = input(t, PM_MATMUL_RESIDUAL);
    int32_t last = t->rank - 1;
    place pa, pb;
    memcpy(pa.at, at, sizeof pa.at);
    memcpy(pb.at, at, sizeof pb.at);
    pb.at[last - 1] = at[last];
    double sum = 0;
    for (int64_t k = 0; k < a->dims[a->rank - 1]; k++) {
        pa.at[last] = pb.at[last] = k;
        sum += broadcast(r, a, t->rank, pa.at) * broadcast(r, b, t->rank, pb.at);
    }
    if (t->attrs.scale != 0) sum *= (double)t->attrs.scale;
    if (bias) sum += *element(r, bias, &at[last]);
    sum = activation(t->attrs.act, sum);
    return residual ? sum + broadcast(r, residual, t->rank, at) : sum;
}

static double grouped_matmul(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *x = t->in[PM_GROUPED_X], *w = t->in[PM_GROUPED_W];
    const pm_tensor *bias = t->n_in > PM_GROUPED_BIAS ? t->in[PM_GROUPED_BIAS] : NULL;
    int64_t e = (int64_t)*element(r, t->in[PM_GROUPED_IDS], at), n = at[t->rank - 1];
    if (e < 0 || e >= w->dims[0]) return 0;
    place p;
    double sum = 0;
    memcpy(p.at, at, sizeof p.at);
    int64_t *k = &p.at[x->rank - 1];
    for (*k = 0; *k < w->dims[2]; (*k)++) sum += *element(r, x, p.at) * *element(r, w, (int64_t[]){e, n, *k});
    if (bias) sum += *element(r, bias, (int64_t[]){e, n});
    return activation(t->attrs.act, sum);
}

/* ---- data ---- */

/* Element `at` of x, turned by inputs first and first + 1 of t. */
static double turned_element(const run *r, const pm_tensor *t, const pm_tensor *x, int first,
                             const int64_t *at) {
    const pm_tensor *cosine = t->in[first];
    int64_t turned_dims = cosine->dims[cosine->rank - 1], half = turned_dims / 2,
            other[4] = {at[0], at[1], at[2], at[3] < half ? at[3] + half : at[3] - half};
    if (at[3] >= turned_dims) return *element(r, x, at);
    double turned = *element(r, x, other);
    return *element(r, x, at) * broadcast(r, cosine, 4, at) +
           (at[3] < half ? -turned : turned) * broadcast(r, t->in[first + 1], 4, at);
}

static double rotary(const run *r, const pm_tensor *t, const int64_t *at) {
    return turned_element(r, t, t->in[0], 1, at);
}

static double gather(const run *r, const pm_tensor *t, const int64_t *at) {
    int64_t id = (int64_t)*element(r, t->in[1], at);
    return id < 0 || id >= t->in[0]->dims[0] ? 0 : *element(r, t->in[0], (int64_t[]){id, at[t->rank - 1]});
}

static double concat(const run *r, const pm_tensor *t, const int64_t *at) {
    place p;
    memcpy(p.at, at, sizeof p.at);
    int i = 0;
    for (; p.at[t->attrs.axis] >= t->in[i]->dims[t->attrs.axis]; i++)
        p.at[t->attrs.axis] -= t->in[i]->dims[t->attrs.axis];
    return *element(r, t->in[i], p.at);
}

static void cache_write(const run *r, const pm_tensor *t) {
    const pm_tensor *x = t->in[1];
    place p = {{0}};
    do {
        place to = p;
        to.at[2] += (int64_t)position_of(r, t->in[2], p.at[0]);
        if (to.at[2] >= 0 && to.at[2] < t->dims[2])
            *element(r, t, to.at) = t->n_in > 3 ? turned_element(r, t, x, 3, p.at) : *element(r, x, p.at);
    } while (advance(x, &p));
}

/* A word of sequence b of the loop. */
static double *word(const run *r, const pm_tensor *loop, int64_t w, int64_t b) {
    return element(r, loop, (int64_t[]){w, b});
}

static void advance_sequence(const run *r, const pm_tensor *t, int64_t b, double id, double logit) {
    if (*word(r, t, PM_LOOP_HALT, b) != 0) return;
    if (id < 0 || !isfinite(logit)) {
        *word(r, t, PM_LOOP_HALT, b) = PM_HALT_STUCK;
        return;
    }
    int count = (int)(*word(r, t, PM_LOOP_COUNT, b))++;
    *word(r, t, PM_LOOP_IDS + count % PM_LOOP_RING, b) = id;
    (*word(r, t, PM_LOOP_POSITION, b))++;
    *word(r, t, PM_LOOP_ID, b) = id;
    for (int i = 0; i < *word(r, t, PM_LOOP_N_ENDS, b) && i < PM_LOOP_MAX_ENDS; i++)
        if (*word(r, t, PM_LOOP_ENDS + i, b) == id) *word(r, t, PM_LOOP_HALT, b) = PM_HALT_END;
}

static void advance_loop(const run *r, const pm_tensor *t) {
    place next = {{0}}, logit = {{0}};
    for (int64_t b = 0; b < (t->rank == 2 ? t->dims[1] : 1); b++) {
        bool has = t->n_in > 2;
        advance_sequence(r, t, b, *element(r, t->in[1], next.at), has ? *element(r, t->in[2], logit.at) : 0);
        advance(t->in[1], &next);
        if (has) advance(t->in[2], &logit);
    }
}

static double rel_shift(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *x = t->in[0];
    int32_t last = t->rank - 1;
    double position = position_of(r, input(t, 1), at[0]);
    place p;
    memcpy(p.at, at, sizeof p.at);
    p.at[last] =
        (int64_t)fmin(fmax((double)(at[last - 1] - at[last]) + position, 0), (double)x->dims[last] - 1);
    return *element(r, x, p.at);
}

static double log_softmax(const run *r, const pm_tensor *t, const int64_t *at) {
    int32_t last = t->rank - 1;
    double most = -INFINITY, sum = 0;
    place p;
    memcpy(p.at, at, sizeof p.at);
    for (p.at[last] = 0; p.at[last] < t->dims[last]; p.at[last]++)
        most = fmax(most, *element(r, t->in[0], p.at));
    for (p.at[last] = 0; p.at[last] < t->dims[last]; p.at[last]++)
        sum += exp(*element(r, t->in[0], p.at) - most);
    return *element(r, t->in[0], at) - most - log(sum);
}

/* The row as floats, by the function that all executors are tested against. */
static double sample(const run *r, const pm_tensor *t, const int64_t *at) {
    const pm_tensor *x = t->in[0], *settings = t->in[1], *count = t->in[2];
    int64_t row = 0, n = x->dims[t->rank];
    uint32_t words[PM_SAMPLE_WORDS];
    float *values = pm_calloc((size_t)n, sizeof *values);
    place p = {{0}}, q = {{0}};
    assert_non_null(values);
    for (int32_t k = 0; k < t->rank; k++) row = row * t->dims[k] + (p.at[k] = at[k]);
    for (int64_t i = 0; i < n; i++) {
        p.at[t->rank] = i;
        values[i] = (float)*element(r, x, p.at);
    }
    for (int64_t i = 0; i < PM_SAMPLE_WORDS; i++)
        words[i] = (uint32_t)(int32_t)*element(r, settings,
                                               settings->rank == 2 ? (int64_t[]){row, i} : (int64_t[]){i});
    for (int64_t i = 0; i < row && pm_elems(count) > 1; i++) (void)advance(count, &q);
    int32_t column =
        pm_sample_row(words, (uint32_t)(int32_t)*element(r, count, q.at), values, (uint64_t)n, 1);
    pm_free(values);
    return column;
}

typedef double (*element_fn)(const run *r, const pm_tensor *t, const int64_t *at);

static element_fn function_of(const pm_tensor *t) {
    if (pm_op_get(t->op)->flags & PM_OPF_ELEMENTWISE || t->op == PM_OP_COPY) return elementwise;
    switch (t->op) {
    case PM_OP_SUM:
    case PM_OP_MEAN:
    case PM_OP_REDUCE_MAX: return reduce;
    case PM_OP_ARGMAX: return argmax;
    case PM_OP_TOP_K: return top_k;
    case PM_OP_SAMPLE: return sample;
    case PM_OP_LAYER_NORM:
    case PM_OP_RMS_NORM: return norm;
    case PM_OP_SOFTMAX: return softmax;
    case PM_OP_ATTENTION: return attention;
    case PM_OP_MATMUL: return matmul;
    case PM_OP_GROUPED_MATMUL: return grouped_matmul;
    case PM_OP_ROTARY: return rotary;
    case PM_OP_REL_SHIFT: return rel_shift;
    case PM_OP_LOG_SOFTMAX: return log_softmax;
    case PM_OP_GATHER: return gather;
    case PM_OP_CONCAT: return concat;
    default: fail_msg("%s: not known here", pm_op_get(t->op)->name); return NULL;
    }
}

/* ---- graphs ---- */

/* The same numbers for the same name. Integers are small, so that they make sense as positions, lengths, ids
 * and masks. */
static void draw_leaf(const run *r, const pm_tensor *t) {
    test_rng rng = {r->seed};
    for (const char *c = t->kind == PM_KIND_CONST ? "" : t->name; *c; c++)
        rng.state = rng.state * 31 + (unsigned char)*c;
    for (int64_t i = 0; i < pm_elems(t); i++) {
        double *x = &r->data[t->id][i];
        if (t->op == PM_OP_IOTA)
            *x = (double)i;
        else if (t->op == PM_OP_CONST)
            *x = t->dtype == PM_F32 ? (double)((const float *)t->data)[i]
                                    : (double)((const int32_t *)t->data)[i];
        else if (t->dtype == PM_F32)
            *x = (double)test_uniform(&rng, -2, 2);
        else
            *x = test_below(&rng, t->dtype == PM_BOOL ? 2 : 4);
    }
}

static void interpret(const run *r) {
    for (size_t i = 0; i < r->g->n_items; i++) {
        const pm_tensor *t = r->g->items[i];
        uint32_t flags = pm_op_get(t->op)->flags;
        if (t->base == t) {
            r->data[i] = pm_calloc((size_t)pm_elems(t), sizeof(double));
            assert_non_null(r->data[i]);
        }
        if (flags & PM_OPF_LEAF) {
            draw_leaf(r, t);
        } else if (flags & PM_OPF_STATE) {
            (t->op == PM_OP_ADVANCE ? advance_loop : cache_write)(r, t);
        } else if (!(flags & PM_OPF_VIEW)) {
            place p = {{0}};
            element_fn fn = function_of(t);
            do *element(r, t, p.at) = fn(r, t, p.at);
            while (advance(t, &p));
        }
    }
}

static run begin(const pm_graph *g, uint64_t seed) {
    run r = {.g = g, .data = pm_calloc(g->n_items, sizeof(double *)), .seed = seed};
    assert_non_null(r.data);
    interpret(&r);
    return r;
}

static void end(run *r) {
    for (size_t i = 0; i < r->g->n_items; i++) pm_free(r->data[i]);
    pm_free(r->data);
}

static double difference(const run *a, const pm_tensor *x, const run *b, const pm_tensor *y) {
    double worst = 0;
    place p = {{0}};
    do {
        double want = *element(a, x, p.at), got = *element(b, y, p.at);
        bool same = got == want || (isnan(got) && isnan(want));
        double off = same ? 0 : fabs(got - want) / fmax(1, fabs(want));
        if (!(off <= worst)) worst = isfinite(off) ? off : INFINITY;
    } while (advance(x, &p));
    return worst;
}

double test_difference(const pm_graph *before, const pm_graph *after, uint64_t seed) {
    run a = begin(before, seed), b = begin(after, seed);
    double worst = 0;
    assert_int_equal(before->n_outputs, after->n_outputs);
    for (size_t i = 0; i < before->n_outputs; i++) {
        assert_string_equal(before->outputs[i].name, after->outputs[i].name);
        assert_true(pm_same_dims(before->outputs[i].tensor, after->outputs[i].tensor));
        worst = fmax(worst, difference(&a, before->outputs[i].tensor, &b, after->outputs[i].tensor));
    }
    end(&a);
    end(&b);
    return worst;
}
