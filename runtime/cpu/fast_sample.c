/* Fast sample. What is looked for is always the first in the order whose running sum reaches some target. Sums over bins of
 * ranks, each pass over the row with finer ones, narrow down where it stands, until few are left and can be sorted. */
#include "runtime/cpu/fast.h"
#include "runtime/cpu/reference.h"
#include "runtime/cpu/sample_row.h"

enum { FEW = 512, BINS = 2048, BLOCK = 256 };

typedef struct tally {
    uint64_t sum, count;
} tally;

/* The ranks from .. to-1, and what stands before them in the order. */
typedef struct span {
    uint64_t from, to;
    tally before;
} span;

typedef struct search {
    const uint32_t *x;
    uint64_t n, stride;
    pm_sample_unit unit;
    tally bins[BINS];  /* of the first pass */
    uint64_t few[FEW]; /* rank and complement of the column of all in `listed`, in the order */
    size_t n_few;
    span listed;
} search;

/* Ranks and weights of columns first .. first+n-1. */
PM_CLONES static void weigh(const search *s, uint64_t first, uint64_t n, uint32_t *ranks, uint32_t *weights) {
    uint32_t words[BLOCK];
    for (uint64_t i = 0; i < n; i++) words[i] = s->x[(first + i) * s->stride];
    for (uint64_t i = 0; i < n; i++) ranks[i] = pm_sample_rank(words[i]);
    for (uint64_t i = 0; i < n; i++) weights[i] = pm_sample_weight(&s->unit, words[i]);
}

static uint64_t block_at(const search *s, uint64_t first) {
    return s->n - first < BLOCK ? s->n - first : BLOCK;
}

/* All weights by their ranks' first bits; *out_likely: the sum of those that are `least` or more. */
static void fill_first_bins(search *s, uint32_t least, uint64_t *out_likely) {
    uint32_t ranks[BLOCK], weights[BLOCK];
    memset(s->bins, 0, sizeof s->bins);
    *out_likely = 0;
    for (uint64_t at = 0; at < s->n; at += BLOCK) {
        uint64_t n = block_at(s, at);
        weigh(s, at, n, ranks, weights);
        for (uint64_t i = 0; i < n; i++) {
            tally *bin = &s->bins[ranks[i] >> 21];
            bin->sum += weights[i];
            bin->count += weights[i] > 0;
            *out_likely += weights[i] >= least ? weights[i] : 0;
        }
    }
}

/* The ranks of a span in bins of 2^shift each. */
static void fill_bins(const search *s, const span *in, uint32_t shift, tally *bins) {
    memset(bins, 0, BINS * sizeof *bins);
    for (uint64_t i = 0; i < s->n; i++) {
        uint32_t word = s->x[i * s->stride], rank = pm_sample_rank(word);
        if (rank < in->from || rank >= in->to) continue;
        uint32_t weight = pm_sample_weight(&s->unit, word);
        bins[(rank - in->from) >> shift].sum += weight;
        bins[(rank - in->from) >> shift].count += weight > 0;
    }
}

static uint64_t of(tally t, bool count) {
    return count ? t.count : t.sum;
}

/* The bin of a span in which the running sum reaches the target, which becomes the span. Returns how many it holds. */
static uint64_t narrow(const tally *bins, uint32_t n_bins, uint32_t shift, uint64_t target, bool count,
                       span *in) {
    uint32_t i = n_bins - 1;
    for (; i > 0 && of(in->before, count) + of(bins[i], count) < target; i--) {
        in->before.sum += bins[i].sum;
        in->before.count += bins[i].count;
    }
    in->from += (uint64_t)i << shift;
    in->to = in->from + (1ull << shift);
    return bins[i].count;
}

static void sort_falling(uint64_t *a, size_t n) {
    for (size_t gap = n / 2; gap; gap = gap == 2 ? 1 : gap * 5 / 11)
        for (size_t i = gap; i < n; i++) {
            uint64_t x = a[i];
            size_t j = i;
            for (; j >= gap && a[j - gap] < x; j -= gap) a[j] = a[j - gap];
            a[j] = x;
        }
}

static void list(search *s, const span *in) {
    s->listed = *in;
    s->n_few = 0;
    for (uint64_t i = 0; i < s->n; i++) {
        uint32_t word = s->x[i * s->stride], rank = pm_sample_rank(word);
        if (rank >= in->from && rank < in->to && pm_sample_weight(&s->unit, word))
            s->few[s->n_few++] = (uint64_t)rank << 32 | (uint32_t)~i;
    }
    sort_falling(s->few, s->n_few);
}

static uint32_t weight_of(const search *s, uint32_t rank) {
    return pm_sample_weight(&s->unit, pm_sample_word(rank));
}

/* What is found: its column, and the sum up to it; counting, the sum of all up to its rank. */
typedef struct found {
    uint64_t column, sum;
} found;

static bool find_listed(const search *s, uint64_t target, bool count, found *out) {
    tally sum = s->listed.before;
    size_t i = 0;
    if (of(sum, count) >= target) return false;
    for (; i < s->n_few && of(sum, count) < target; i++) {
        sum.sum += weight_of(s, (uint32_t)(s->few[i] >> 32));
        sum.count++;
    }
    if (of(sum, count) < target) return false;
    for (uint64_t rank = s->few[i - 1] >> 32; count && i < s->n_few && s->few[i] >> 32 == rank; i++)
        sum.sum += weight_of(s, (uint32_t)rank);
    *out = (found){(uint32_t)~s->few[i - 1], sum.sum};
    return true;
}

/* Among more than a few that have one rank. */
static found find_equal(const search *s, const span *in, uint64_t target, bool count) {
    found f = {0, in->before.sum};
    uint32_t weight = weight_of(s, (uint32_t)in->from);
    for (uint64_t i = 0; i < s->n && (count || f.sum < target); i++)
        if (pm_sample_rank(s->x[i * s->stride]) == in->from) f = (found){i, f.sum + weight};
    return f;
}

/* The first in the order with which the running sum, or the count, reaches the target, which that of all does. */
static found find(search *s, uint64_t target, bool count) {
    static const uint32_t shifts[] = {21, 10, 0};
    tally bins[BINS];
    span in = {0, 1ull << 32, {0, 0}};
    found f;
    if (find_listed(s, target, count, &f)) return f;
    uint64_t n = narrow(s->bins, BINS, shifts[0], target, count, &in);
    for (size_t i = 1; n > FEW && i < PM_COUNT(shifts); i++) {
        fill_bins(s, &in, shifts[i], bins);
        n = narrow(bins, 1u << (shifts[i - 1] - shifts[i]), shifts[i], target, count, &in);
    }
    if (n > FEW) return find_equal(s, &in, target, count);
    list(s, &in);
    (void)find_listed(s, target, count, &f);
    return f;
}

/* Begins with what all weigh: the whole row listed, or in bins. */
static tally begin(search *s, uint32_t least, uint64_t *out_likely) {
    tally all = {0, 0};
    *out_likely = 0;
    if (s->n <= FEW) {
        list(s, &(span){0, 1ull << 32, {0, 0}});
        for (size_t i = 0; i < s->n_few; i++) {
            uint32_t weight = weight_of(s, (uint32_t)(s->few[i] >> 32));
            all.sum += weight;
            *out_likely += weight >= least ? weight : 0;
        }
        all.count = s->n_few;
        return all;
    }
    fill_first_bins(s, least, out_likely);
    for (size_t i = 0; i < BINS; i++) {
        all.sum += s->bins[i].sum;
        all.count += s->bins[i].count;
    }
    return all;
}

PM_CLONES static uint32_t greatest(const uint32_t *x, uint64_t n, uint64_t stride) {
    uint32_t top = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t rank = pm_sample_rank(x[i * stride]);
        top = rank > top ? rank : top;
    }
    return top;
}

int32_t pm_sample_row(const uint32_t settings[PM_SAMPLE_WORDS], uint32_t count, const float *x, uint64_t n,
                      uint64_t stride) {
    search s;
    uint32_t random[4] = {count, 0, 0, 0}, least = settings[PM_SAMPLE_MIN_P], k = settings[PM_SAMPLE_TOP_K];
    uint32_t top = greatest((const uint32_t *)x, n, stride);
    if (top == 0) return -1;
    s.x = (const uint32_t *)x;
    s.n = n;
    s.stride = stride;
    s.unit = pm_sample_unit_of(settings, top);
    s.n_few = 0;
    s.listed = (span){0};
    uint64_t likely;
    tally all = begin(&s, least < PM_SAMPLE_C0 ? least : PM_SAMPLE_C0, &likely);
    uint64_t kept = k && k < all.count ? find(&s, k, true).sum : all.sum;
    if (settings[PM_SAMPLE_TOP_P])
        kept = find(&s, pm_sample_share_up(kept, settings[PM_SAMPLE_TOP_P]), false).sum;
    if (likely < kept) kept = likely;
    pm_sample_philox(random, settings + PM_SAMPLE_SEED_LO);
    return (int32_t)find(&s, pm_sample_share(kept, random[0]) + 1, false).column;
}

uint64_t pm_fast_sample_items(const pm_call *c) {
    return pm_reference_sample_items(c);
}

void pm_fast_sample(const pm_call *c, uint64_t first, uint64_t last) {
    const pm_sample_params *p = c->params;
    for (uint64_t row = first; row < last; row++) {
        const float *x = (const float *)c->in[0] + p->x_offset + pm_strided(row, p->dims, p->x_stride, 4);
        const uint32_t *settings = (const uint32_t *)c->in[1] + p->settings_offset + row * p->settings_stride;
        const uint32_t *count = (const uint32_t *)c->in[2] + p->count_offset + row * p->count_stride;
        int32_t *y = (int32_t *)c->out + p->y_offset + pm_strided(row, p->dims, p->y_stride, 4);
        *y = pm_sample_row(settings, *count, x, p->n_cols, p->x_col_stride);
    }
}
