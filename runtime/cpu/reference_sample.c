/* Reference kernel sample: shaders/sample.params.h. An item is a row. Every sum goes over the whole row anew. */
#include "runtime/cpu/reference.h"
#include "runtime/cpu/sample_row.h"

uint64_t pm_reference_sample_items(const pm_call *c) {
    return ((const pm_sample_params *)c->params)->n_rows;
}

void pm_sample_philox(uint32_t counter[4], const uint32_t key[2]) {
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < PM_PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)counter[0] * PM_PHILOX_M0, p1 = (uint64_t)counter[2] * PM_PHILOX_M1;
        counter[0] = (uint32_t)(p1 >> 32) ^ counter[1] ^ k0;
        counter[1] = (uint32_t)p1;
        counter[2] = (uint32_t)(p0 >> 32) ^ counter[3] ^ k1;
        counter[3] = (uint32_t)p0;
        k0 += PM_PHILOX_W0;
        k1 += PM_PHILOX_W1;
    }
}

typedef struct sampled_row {
    const uint32_t *x;
    uint64_t n, stride;
    pm_sample_unit unit;
} sampled_row;

/* The sum of the weights of what stands at `rank` or before it in the order, or how many they are. */
static uint64_t sum_to(const sampled_row *r, uint32_t rank, bool count) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < r->n; i++) {
        uint32_t word = r->x[i * r->stride], weight = 0;
        if (pm_sample_rank(word) >= rank) weight = pm_sample_weight(&r->unit, word);
        sum += count ? weight > 0 : weight;
    }
    return sum;
}

/* The first rank of the order whose sum reaches `target`; 1 where none does. */
static uint32_t rank_reaching(const sampled_row *r, uint64_t target, bool count) {
    uint32_t rank = 0;
    for (uint32_t bit = 1u << 31; bit; bit >>= 1)
        if (sum_to(r, rank | bit, count) >= target) rank |= bit;
    return rank ? rank : 1;
}

/* The first column whose running sum, in the order, reaches `target`, which the sum of all does. *out_sum: that running sum. */
static uint64_t column_reaching(const sampled_row *r, uint64_t target, uint64_t *out_sum) {
    uint32_t rank = rank_reaching(r, target, false);
    uint64_t sum = rank == UINT32_MAX ? 0 : sum_to(r, rank + 1, false), found = 0;
    for (uint64_t i = 0; i < r->n && sum < target; i++) {
        uint32_t word = r->x[i * r->stride];
        if (pm_sample_rank(word) != rank) continue;
        sum += pm_sample_weight(&r->unit, word);
        found = i;
    }
    *out_sum = sum;
    return found;
}

/* What min_p leaves of all. */
static uint64_t sum_of_likely(const sampled_row *r, uint32_t least) {
    uint64_t sum = 0;
    for (uint64_t i = 0; i < r->n; i++) {
        uint32_t weight = pm_sample_weight(&r->unit, r->x[i * r->stride]);
        if (weight >= least) sum += weight;
    }
    return sum;
}

static int32_t sample_row(sampled_row *r, const uint32_t *settings, uint32_t count) {
    uint32_t random[4] = {count}, top = 0, least = settings[PM_SAMPLE_MIN_P];
    for (uint64_t i = 0; i < r->n; i++) {
        uint32_t rank = pm_sample_rank(r->x[i * r->stride]);
        if (rank > top) top = rank;
    }
    if (top == 0) return -1;
    r->unit = pm_sample_unit_of(settings, top);
    uint64_t kept, likely = sum_of_likely(r, least < PM_SAMPLE_C0 ? least : PM_SAMPLE_C0);
    kept =
        sum_to(r, settings[PM_SAMPLE_TOP_K] ? rank_reaching(r, settings[PM_SAMPLE_TOP_K], true) : 1, false);
    if (settings[PM_SAMPLE_TOP_P])
        (void)column_reaching(r, pm_sample_share_up(kept, settings[PM_SAMPLE_TOP_P]), &kept);
    if (likely < kept) kept = likely;
    pm_sample_philox(random, settings + PM_SAMPLE_SEED_LO);
    return (int32_t)column_reaching(r, pm_sample_share(kept, random[0]) + 1, &kept);
}

void pm_reference_sample(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_sample_params *p = c->params;
    for (uint64_t row = first; row < last; row++) {
        sampled_row r = {.x = (const uint32_t *)c->in[0] + p->x_offset +
                              pm_strided(row, p->dims, p->x_stride, 4),
                         .n = p->n_cols,
                         .stride = p->x_col_stride};
        const uint32_t *settings = (const uint32_t *)c->in[1] + p->settings_offset + row * p->settings_stride;
        const uint32_t *count = (const uint32_t *)c->in[2] + p->count_offset + row * p->count_stride;
        uint64_t at = p->y_offset + pm_strided(row, p->dims, p->y_stride, 4);
        ((int32_t *)c->out)[at] = sample_row(&r, settings, *count);
        if (c->bound) c->bound[at] = 0;
    }
}
