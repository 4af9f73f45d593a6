/* Whisper's rules of times and the cutting of windows, on scores and ids made for each rule. Ids: 0..9 text, 10 the end, 11
 * <|notimestamps|>, 12.. times. */
#include "models/timestamps.h"
#include "tests/support.h"

#include <math.h>

enum { N = 20, EOS = 10, NO_TIMES = 11, T0 = 12 };
static const pm_timestamps rules = {T0, NO_TIMES, EOS, -1};

/* Which of N ids may follow, as a text of '.' and 'x'; all scores are equal but `likely`, which is larger by 5. */
static void check(const pm_timestamps *t, const int32_t *ids, size_t n, int likely, const char *expected) {
    float scores[N];
    char is[N + 1] = {0};
    for (int i = 0; i < N; i++) scores[i] = i == likely ? 5.0f : 0.0f;
    pm_timestamps_restrict(t, ids, n, scores, N);
    for (int i = 0; i < N; i++) {
        is[i] = isfinite(scores[i]) ? '.' : 'x';
        if (isfinite(scores[i])) assert_true(scores[i] == (i == likely ? 5.0f : 0.0f));
    }
    assert_string_equal(is, expected);
}
#define IDS(...) (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

static void a_time_comes_first(void **state) {
    (void)state;
    pm_timestamps limited = rules, zero = rules;
    limited.max_initial = 3;
    zero.max_initial = 0;
    check(&rules, NULL, 0, 4, "xxxxxxxxxxxx........");
    check(&limited, NULL, 0, 4, "xxxxxxxxxxxx....xxxx");
    check(&limited, NULL, 0, 19, "xxxxxxxxxxxx....xxxx");
    check(&zero, NULL, 0, 4, "xxxxxxxxxxxx.xxxxxxx");
}

static void times_come_in_pairs(void **state) {
    (void)state;
    /* The first time: text, or the end, behind it. */
    check(&rules, IDS(T0 + 2), 4, "...........xxxxxxxxx");
    /* A time behind text: its twin or a later one, or the end. */
    check(&rules, IDS(T0, 5, T0 + 3), EOS, "xxxxxxxxxx.xxxx.....");
    /* A whole pair: text. */
    check(&rules, IDS(T0, 5, T0 + 3, T0 + 3), 4, "...........xxxxxxxxx");
    /* Text: more text, the end, or a later time. */
    check(&rules, IDS(T0 + 1, 5), 4, "...........xxx......");
    check(&rules, IDS(T0, 5, T0 + 3, T0 + 4, 6, 7), 4, "...........xxxxxx...");
    /* The last time is reached: no other may follow. */
    check(&rules, IDS(T0 + 7, 5), 4, "...........xxxxxxxxx");
}

/* Ids of text and times alike 0: 7 times together are likelier than any one text, unless that one is likely. */
static void likely_times_win(void **state) {
    (void)state;
    check(&rules, IDS(T0, 5), -1,
          "xxxxxxxxxxxx"
          "x.......");
    check(&rules, IDS(T0, 5), 3,
          "...........x"
          "x.......");
    check(&rules, IDS(T0 + 5, 5), -1,
          "xxxxxxxxxxxx"
          "xxxxxx..");
    check(&rules, IDS(T0 + 6, 5), -1,
          "...........x"
          "xxxxxxx."); /* one time is as likely, not likelier */
}

static void odd_scores_do_no_harm(void **state) {
    (void)state;
    float none[N], some[N];
    for (int i = 0; i < N; i++) none[i] = -INFINITY, some[i] = i % 3 ? NAN : (float)i;
    pm_timestamps_restrict(&rules, NULL, 0, none, N);
    for (int i = 0; i < N; i++) assert_true(none[i] == -INFINITY);
    pm_timestamps_restrict(&rules, IDS(T0, 5), some, N);
    for (int i = 0; i < T0; i++) assert_true(some[i] == -INFINITY);
    float few[3] = {1, 2, 3}; /* a vocabulary without times */
    pm_timestamps_restrict(&rules, IDS(1, 2), few, 3);
    assert_true(few[0] == 1 && few[2] == 3);
    const pm_timestamps whole = {T0, NO_TIMES, EOS, INT32_MAX};
    check(&whole, NULL, 0, -1, "xxxxxxxxxxxx........");
}

/* ---- windows ---- */

typedef struct split_case {
    int32_t ids[12];
    size_t n;
    pm_window_segment expected[4];
    size_t n_expected;
    int64_t advance;
} split_case;

static void windows_are_cut_at_pairs(void **state) {
    (void)state;
    static const split_case cases[] = {
        {{0}, 0, {{0, 0, 0, 50}}, 1, 0},            /* nothing: one empty segment, behind the window */
        {{3, 4, 5}, 3, {{0, 3, 0, 50}}, 1, 0},      /* no times */
        {{T0, 3}, 2, {{0, 2, 0, 50}}, 1, 0},        /* begun, not ended */
        {{T0, 3, T0 + 6}, 3, {{0, 3, 0, 6}}, 1, 0}, /* ended, and silence behind */
        {{T0 + 1, 3, T0 + 6, T0 + 6}, 4, {{0, 4, 1, 6}}, 1, 6},       /* goes on at 6 */
        {{T0 + 1, 3, T0 + 6, T0 + 6, 4, 5}, 6, {{0, 4, 1, 6}}, 1, 6}, /* what is unfinished comes again */
        {{T0, 3, T0 + 2, T0 + 3, 4, 5, T0 + 5, T0 + 5, 7}, 9, {{0, 3, 0, 2}, {3, 5, 3, 5}}, 2, 5},
        {{T0, 3, T0 + 2, T0 + 3, 4, 5, T0 + 5}, 7, {{0, 3, 0, 2}, {3, 4, 3, 5}}, 2, 0},
        {{3, T0 + 2, T0 + 2}, 3, {{0, 3, 0, 2}}, 1, 2}, /* a first id that is no time counts as 0 */
        {{T0}, 1, {{0, 1, 0, 50}}, 1, 0},
    };
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        const split_case *c = &cases[i];
        pm_window_segment out[13];
        int64_t advance = -1;
        size_t n = pm_timestamps_split(&rules, c->ids, c->n, 50, out, &advance);
        if (n != c->n_expected || advance != c->advance)
            fail_msg("case %zu: %zu segments, advance %lld", i, n, (long long)advance);
        for (size_t k = 0; k < n; k++) {
            const pm_window_segment *is = &out[k], *e = &c->expected[k];
            if (is->first != e->first || is->n != e->n || is->start != e->start || is->end != e->end)
                fail_msg("case %zu, segment %zu: ids %zu +%zu, %lld to %lld", i, k, is->first, is->n,
                         (long long)is->start, (long long)is->end);
        }
    }
}

/* Whatever follows the rules is cut into segments that hold every id of the pairs once, in order, with times that never go back. */
static void what_the_rules_allow_is_cut_well(void **state) {
    (void)state;
    enum { STEPS = 50, TIMES = 51, LONG = 60 };
    test_rng r = {11};
    for (int round = 0; round < 500; round++) {
        int32_t ids[LONG];
        size_t n = 0;
        while (n < LONG) {
            float scores[T0 + TIMES];
            size_t best = 0;
            for (size_t i = 0; i < PM_COUNT(scores); i++) scores[i] = test_uniform(&r, 0, i < T0 ? 9 : 3);
            pm_timestamps_restrict(&rules, ids, n, scores, PM_COUNT(scores));
            for (size_t i = 1; i < PM_COUNT(scores); i++)
                if (scores[i] > scores[best]) best = i;
            assert_true(isfinite(scores[best]));
            if (best == EOS) break;
            ids[n++] = (int32_t)best;
        }
        pm_window_segment out[LONG + 1];
        int64_t advance, last = 0;
        size_t n_out = pm_timestamps_split(&rules, ids, n, STEPS, out, &advance), next = 0;
        assert_true(n_out >= 1 && n_out <= n + 1);
        for (size_t i = 0; i < n_out; i++) {
            assert_int_equal(out[i].first, next);
            assert_true(out[i].start >= last && out[i].end >= out[i].start && out[i].end <= STEPS);
            next = out[i].first + out[i].n;
            last = out[i].end;
        }
        assert_true(next <= n && advance >= 0 && advance <= STEPS);
        if (advance) assert_int_equal(advance, last);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_comes_first),       cmocka_unit_test(times_come_in_pairs),
        cmocka_unit_test(likely_times_win),         cmocka_unit_test(odd_scores_do_no_harm),
        cmocka_unit_test(windows_are_cut_at_pairs), cmocka_unit_test(what_the_rules_allow_is_cut_well),
    };
    return run_all_tests(tests);
}
