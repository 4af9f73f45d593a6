/* Choosing by chance is right: its random numbers are Philox's, its weights are those of softmax, what it chooses is distributed
 * as Hugging Face's filters say, worked out here in double; and all ways to find the chosen column find the same. */
#include <math.h>
#include <stdlib.h>

#include "models/sample.h"
#include "runtime/cpu/sample_row.h"
#include "tests/support.h"

/* Known answers of Random123 (Salmon et al. 2011), philox4x32-10. */
static void test_philox(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        uint32_t words[4];
        memcpy(words, rows[i].counter, sizeof words);
        pm_sample_philox(words, rows[i].key);
        assert_memory_equal(words, rows[i].out, sizeof words);
    }
}

/* Every fraction: close to 2^-f, and smaller than the one before. */
static void test_powers(void **state) {
    (void)state;
    assert_int_equal(pm_sample_exp2(0), PM_SAMPLE_C0);
    for (uint32_t q = 1, before = PM_SAMPLE_C0; q <= 1u << PM_SAMPLE_FRACTION; q++) {
        uint32_t w = pm_sample_exp2(q);
        if (w >= before) fail_msg("q %u: %u behind %u", q, w, before);
        before = w;
        if (q % 61 == 0) assert_true(fabs(w / exp2(31 - q * 0x1p-24) - 1) < 1e-7);
    }
    for (uint32_t q = 1u << PM_SAMPLE_FRACTION; q < 1u << 29; q += 12347)
        assert_true(fabs(pm_sample_exp2(q) - exp2(31 - q * 0x1p-24)) <= 1 + 1e-7 * exp2(31 - q * 0x1p-24));
}

static float float_of(uint32_t word) {
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

/* Any two floats, any temperature: the weight is exp((x - top) / temperature), and a greater logit weighs no less. */
static void test_weights(void **state) {
    (void)state;
    test_rng rng = {3};
    for (int i = 0; i < 300000; i++) {
        pm_generate_options o = {.temperature = exp2f(test_uniform(&rng, -20, 20))};
        bool any = i % 3 == 0;
        float top = any ? float_of((uint32_t)test_random(&rng)) : test_uniform(&rng, -30, 30);
        float x = any && i % 2 ? float_of((uint32_t)test_random(&rng))
                               : top - o.temperature * test_uniform(&rng, 0, 24);
        uint32_t words[PM_SAMPLE_WORDS], top_word, x_word;
        if (!isfinite(top) || !isfinite(x) || x > top) continue;
        memcpy(&top_word, &top, 4);
        memcpy(&x_word, &x, 4);
        pm_sampling_words(&o, words);
        pm_sample_unit unit = pm_sample_unit_of(words, pm_sample_rank(top_word));
        double want = ldexp(exp(((double)x - (double)top) / (double)o.temperature), 31);
        double got = pm_sample_weight(&unit, x_word);
        if (fabs(got - want) > 1 + 3e-7 * want)
            fail_msg("%a of %a at %a: %.9g, expected %.9g", (double)x, (double)top, (double)o.temperature,
                     got, want);
        assert_true(pm_sample_weight(&unit, pm_sample_word(pm_sample_rank(x_word) - 1)) <= got);
        assert_int_equal(pm_sample_weight(&unit, top_word), PM_SAMPLE_C0);
        assert_int_equal(pm_sample_word(pm_sample_rank(x_word)), x == 0 ? 0 : x_word);
    }
}

static void test_words(void **state) {
    (void)state;
    uint32_t w[PM_SAMPLE_WORDS];
    pm_sampling_words(&(pm_generate_options){.top_k = 3, .top_p = 0.5f, .min_p = 0.25f, .seed = 1ull << 33},
                      w);
    assert_int_equal(w[PM_SAMPLE_TOP_K], 3);
    assert_int_equal(w[PM_SAMPLE_TOP_P], 1u << 31);
    assert_int_equal(w[PM_SAMPLE_MIN_P], 1u << 29);
    assert_int_equal(w[PM_SAMPLE_SEED_LO], 0);
    assert_int_equal(w[PM_SAMPLE_SEED_HI], 2);
    pm_sampling_words(&(pm_generate_options){.top_p = 1e-12f, .min_p = 1e-12f}, w);
    assert_int_equal(w[PM_SAMPLE_TOP_P], 1); /* not 0, which is none */
    assert_int_equal(w[PM_SAMPLE_MIN_P], 1);
    pm_sampling_words(&(pm_generate_options){.top_p = 1, .min_p = 1}, w);
    assert_int_equal(w[PM_SAMPLE_TOP_P], 0);
    assert_int_equal(w[PM_SAMPLE_MIN_P], PM_SAMPLE_C0);
}

/* ---- Hugging Face's filters, in double ---- */

typedef struct token {
    double p;
    float logit;
    int32_t id;
} token;

static int by_logit(const void *a, const void *b) {
    const token *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return x->id - y->id;
}

static void normalise(token *t, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += t[i].p;
    for (size_t i = 0; i < n; i++) t[i].p /= sum;
}

/* The probability of each id. */
static void expect(const pm_generate_options *o, const float *logits, size_t n, double *p) {
    token *t = pm_calloc(n, sizeof *t);
    size_t kept = 0, all = 0;
    assert_non_null(t);
    for (size_t i = 0; i < n; i++) {
        p[i] = 0;
        if (isfinite(logits[i])) t[all++] = (token){.logit = logits[i], .id = (int32_t)i};
    }
    qsort(t, all, sizeof *t, by_logit);
    double temperature = o->temperature > 0 ? (double)o->temperature : 1;
    for (size_t i = 0; i < all; i++) t[i].p = exp(((double)t[i].logit - (double)t[0].logit) / temperature);
    if (o->top_k > 0 && (size_t)o->top_k < all) {
        for (kept = (size_t)o->top_k; kept < all && t[kept].logit == t[kept - 1].logit;) kept++;
        all = kept;
    }
    normalise(t, all);
    double before = 0;
    for (kept = 0; o->top_p > 0 && o->top_p < 1 && kept < all && before < (double)o->top_p; kept++)
        before += t[kept].p;
    if (kept) all = kept;
    for (kept = 1; kept < all && t[kept].p >= (double)o->min_p * t[0].p;) kept++;
    normalise(t, kept);
    for (size_t i = 0; i < kept; i++) p[t[i].id] = t[i].p;
    pm_free(t);
}

/* A bound that chi-square with k degrees of freedom passes once in some millions (Wilson and Hilferty 1931; 5 sigma). */
static double most_chi_square(size_t k) {
    double s = 2.0 / (9.0 * (double)k);
    return (double)k * pow(1 - s + 5 * sqrt(s), 3);
}

/* Draws with counts 0, 1, ..., or seeds, against what is expected; ids of less than 8 expected draws are counted together. */
static void check_shares(const char *what, pm_generate_options o, const float *logits, size_t n,
                         bool by_seed) {
    enum { DRAWS = 16000 };
    uint32_t words[PM_SAMPLE_WORDS];
    double *p = pm_calloc(n, sizeof *p), *seen = pm_calloc(n, sizeof *seen);
    assert_true(p && seen);
    expect(&o, logits, n, p);
    for (uint32_t i = 0; i < DRAWS; i++) {
        int32_t id;
        if (by_seed) o.seed = i * 0x123456789u;
        pm_sampling_words(&o, words);
        assert_ok(pm_sample_id(words, by_seed ? 9 : i, logits, n, &id));
        assert_in_range(id, 0, n - 1);
        if (p[id] == 0) fail_msg("%s: token %d was filtered out", what, (int)id);
        seen[id]++;
    }
    double chi = 0, rest = 0, rest_seen = 0;
    size_t cells = 0;
    for (size_t i = 0; i < n; i++) {
        double want = p[i] * DRAWS;
        if (want >= 8)
            chi += (seen[i] - want) * (seen[i] - want) / want, cells++;
        else
            rest += want, rest_seen += seen[i];
    }
    if (rest >= 8) chi += (rest_seen - rest) * (rest_seen - rest) / rest, cells++;
    assert_true(cells > 0 && (rest >= 8 || fabs(rest_seen - rest) < 40));
    if (cells > 1 && chi > most_chi_square(cells - 1))
        fail_msg("%s: chi-square %g of %zu tokens, at most %g", what, chi, cells, most_chi_square(cells - 1));
    pm_free(p);
    pm_free(seen);
}

static const pm_generate_options settings[] = {
    {0},
    {.top_k = 1},
    {.top_k = 7, .seed = 5},
    {.top_k = 100000},
    {.top_p = 0.9f},
    {.top_p = 0.31f, .seed = 1ull << 40},
    {.top_p = 1e-9f},
    {.min_p = 0.1f},
    {.min_p = 1},
    {.temperature = 0.5f},
    {.temperature = 4, .top_p = 0.7f},
    {.temperature = 1e4f, .top_k = 20},
    {.temperature = 0.05f, .seed = 8},
    {.temperature = 1.7f, .top_k = 40, .top_p = 0.8f, .min_p = 0.05f, .seed = 99},
};

static void test_shares(void **state) {
    (void)state;
    test_rng rng = {17};
    static const size_t sizes[] = {1, 2, 6, 50, 513, 1500};
    float logits[1500];
    for (size_t i = 0; i < PM_COUNT(sizes); i++)
        for (size_t k = 0; k < PM_COUNT(settings); k++) {
            char what[64];
            float spread = i % 2 ? 2 : 5;
            snprintf(what, sizeof what, "%zu logits, settings %zu", sizes[i], k);
            for (size_t j = 0; j < sizes[i]; j++)
                logits[j] = 20 + spread * (test_uniform(&rng, -1, 1) + test_uniform(&rng, -1, 1) +
                                           test_uniform(&rng, -1, 1));
            if (sizes[i] > 40 && k % 2) /* ties, and what is absent */
                for (size_t j = 0; j < sizes[i]; j += 5) {
                    logits[j] = j % 3 ? logits[j / 2] : -INFINITY;
                    logits[j + 1] = rintf(logits[j + 1]);
                }
            if (sizes[i] > 600 && k >= 6 && k % 3) continue; /* enough of these slow ones */
            check_shares(what, settings[k], logits, sizes[i], (i + k) % 4 == 0);
        }
}

/* What follows does not depend on what came before: pairs of neighbouring counts, and of neighbouring seeds. */
static void test_pairs(void **state) {
    (void)state;
    enum { N = 8, DRAWS = 64000 };
    const float logits[N] = {0};
    for (int by_seed = 0; by_seed < 2; by_seed++) {
        double seen[N][N] = {{0}}, chi = 0, want = (double)DRAWS / (N * N);
        int32_t before = -1, id;
        for (uint32_t i = 0; i <= DRAWS; i++, before = id) {
            uint32_t words[PM_SAMPLE_WORDS];
            pm_sampling_words(&(pm_generate_options){.seed = by_seed ? i : 0}, words);
            assert_ok(pm_sample_id(words, by_seed ? 0 : i, logits, N, &id));
            if (before >= 0) seen[before][id]++;
        }
        for (int i = 0; i < N * N; i++)
            chi += (seen[i / N][i % N] - want) * (seen[i / N][i % N] - want) / want;
        assert_true(chi < most_chi_square(N * N - 1));
        assert_true(chi > 20); /* nor more even than chance */
    }
}

/* Among equals the limits of top-k keep all, those of top-p the lower ids. */
static void test_ties(void **state) {
    (void)state;
    const float logits[6] = {1, 3, 2, 2, 0, 2}; /* the second best are three */
    uint32_t words[PM_SAMPLE_WORDS];
    bool seen[2][6] = {{false}};
    int32_t id;
    for (size_t i = 0; i < 2000; i++) {
        pm_sampling_words(&(pm_generate_options){.top_k = 2}, words);
        assert_ok(pm_sample_id(words, i, logits, 6, &id));
        seen[0][id] = true;
        pm_sampling_words(&(pm_generate_options){.top_k = 2, .top_p = 0.6f}, words); /* e of e + 3 is 0.475 */
        assert_ok(pm_sample_id(words, i, logits, 6, &id));
        seen[1][id] = true;
    }
    assert_memory_equal(seen[0], ((bool[]){false, true, true, true, false, true}), 6);
    assert_memory_equal(seen[1], ((bool[]){false, true, true, false, false, false}), 6);
    const float none[2] = {NAN, -INFINITY};
    assert_int_equal(pm_sample_id(words, 0, none, 2, &id), PM_ERR_OTHER);
    assert_non_null(strstr(pm_error_text(), "none of 2 logits is a finite number"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox), cmocka_unit_test(test_powers), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_words),  cmocka_unit_test(test_shares), cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_ties),
    };
    return run_all_tests(tests);
}
