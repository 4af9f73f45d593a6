/* Reports of classes and of entities, against figures by hand: each count stands in the comment. */
#include <math.h>

#include "pumice/scores.h"
#include "tests/support.h"

static const pm_score *row(const pm_report *r, const char *name) {
    for (size_t i = 0; i < r->n_rows; i++)
        if (!strcmp(r->rows[i].name, name)) return &r->rows[i];
    fail_msg("no row %s", name);
    return NULL;
}

static void check(const pm_score *s, double precision, double recall, double f1, uint64_t support) {
    assert_true(fabs(s->precision - precision) < 1e-12);
    assert_true(fabs(s->recall - recall) < 1e-12);
    assert_true(fabs(s->f1 - f1) < 1e-12);
    assert_int_equal(s->n_true, support);
}

/* truth a a a b b c, guess a b a b c d: a 2 of 2 guesses, 2 of 3; b 1 of 2, 1 of 2; c 0 of 1, 0 of 1; d 0 of 1, no truth. */
static void test_classes(void **state) {
    (void)state;
    static const char *const truth[] = {"a", "a", "a", "b", "b", "c"}, *const guess[] = {"a", "b", "a",
                                                                                         "b", "c", "d"};
    pm_report r = {0};
    for (int i = 0; i < 6; i++) assert_ok(pm_report_count_class(&r, truth[i], guess[i]));
    pm_report_finish(&r);
    assert_int_equal(r.n_rows, 4);
    assert_string_equal(r.rows[0].name, "a");
    check(row(&r, "a"), 1, 2.0 / 3, 0.8, 3);
    check(row(&r, "b"), 0.5, 0.5, 0.5, 2);
    check(row(&r, "c"), 0, 0, 0, 1);
    check(row(&r, "d"), 0, 0, 0, 0);
    check(&r.micro, 0.5, 0.5, 0.5, 6);
    check(&r.macro, 1.5 / 4, (2.0 / 3 + 0.5) / 4, 1.3 / 4, 6);
    check(&r.weighted, (3 + 1.0) / 6, (2 + 1.0) / 6, (2.4 + 1) / 6, 6);
    assert_true(fabs(r.accuracy - 0.5) < 1e-12);
    pm_report_free(&r);
}

/* Sets {a,b} {b} {} against {a} {b,c} {}: a 1/1 1/1, b 1/1 1/2, c 0/1; only the last is right as a whole. */
static void test_sets(void **state) {
    (void)state;
    static const char *const ab[] = {"a", "b"}, *const b[] = {"b"}, *const a[] = {"a"},
                             *const bc[] = {"b", "c"};
    pm_report r = {0};
    assert_ok(pm_report_count_classes(&r, ab, 2, a, 1));
    assert_ok(pm_report_count_classes(&r, b, 1, bc, 2));
    assert_ok(pm_report_count_classes(&r, NULL, 0, NULL, 0));
    pm_report_finish(&r);
    check(row(&r, "a"), 1, 1, 1, 1);
    check(row(&r, "b"), 1, 0.5, 2.0 / 3, 2);
    check(row(&r, "c"), 0, 0, 0, 0);
    check(&r.micro, 2.0 / 3, 2.0 / 3, 2.0 / 3, 3);
    assert_true(fabs(r.accuracy - 1.0 / 3) < 1e-12);
    pm_report_free(&r);
}

enum { WORDS = 10 };

static pm_report score(const char *const *truth, const char *const *guess, size_t n) {
    pm_report r = {0};
    assert_ok(pm_report_count_tags(&r, truth, guess, n));
    pm_report_finish(&r);
    return r;
}

/* Truth: PER 0-1, PER 2, LOC 4-5, ORG 7. Guess: PER 0-1, PER 2, LOC 4 (too short), LOC 7. 8 of 10 tags are the same. */
static void test_entities(void **state) {
    (void)state;
    static const char *const truth[WORDS] = {"B-PER", "I-PER", "B-PER", "O", "B-LOC",
                                             "I-LOC", "O",     "B-ORG", "O", "O"},
                             *const guess[WORDS] = {"B-PER", "I-PER", "B-PER", "O", "B-LOC",
                                                    "O",     "O",     "B-LOC", "O", "O"};
    pm_report r = score(truth, guess, WORDS);
    assert_int_equal(r.n_rows, 3);
    check(row(&r, "PER"), 1, 1, 1, 2);
    check(row(&r, "LOC"), 0, 0, 0, 1);
    check(row(&r, "ORG"), 0, 0, 0, 1);
    check(&r.micro, 0.5, 0.5, 0.5, 4);
    check(&r.macro, 1.0 / 3, 1.0 / 3, 1.0 / 3, 4);
    check(&r.weighted, 0.5, 0.5, 0.5, 4);
    assert_true(fabs(r.accuracy - 0.8) < 1e-12);
    pm_report_free(&r);
}

/* The same entities, PER 0-1, PER 2, LOC 4-5, ORG 7, as other schemes write them: all right. */
static void test_schemes(void **state) {
    (void)state;
    static const char *const
        iob2[WORDS] = {"B-PER", "I-PER", "B-PER", "O", "B-LOC", "I-LOC", "O", "B-ORG", "O", "O"},
        *const iob1[WORDS] = {"I-PER", "I-PER", "B-PER", "O", "I-LOC", "I-LOC", "O", "I-ORG", "O", "O"},
        *const bioes[WORDS] = {"B-PER", "E-PER", "S-PER", "O", "B-LOC", "E-LOC", "O", "S-ORG", "O", "O"},
        *const bilou[WORDS] = {"B-PER", "L-PER", "U-PER", "O", "B-LOC", "L-LOC", "O", "U-ORG", "O", "O"},
        *const plain[WORDS] = {"PER", "PER", "B-PER", "O", "LOC", "LOC", "O", "ORG", "O", "O"};
    const char *const *const all[] = {iob2, iob1, bioes, bilou, plain};
    for (size_t i = 0; i < PM_COUNT(all); i++)
        for (size_t k = 0; k < PM_COUNT(all); k++) {
            pm_report r = score(all[i], all[k], WORDS);
            assert_int_equal(r.n_rows, 3);
            check(&r.micro, 1, 1, 1, 4);
            check(&r.macro, 1, 1, 1, 4);
            pm_report_free(&r);
        }
}

/* A wrong type inside ends an entity and begins another; a type with a hyphen is one type; the last word may end one. */
static void test_edges(void **state) {
    (void)state;
    static const char *const truth[] = {"B-A-1", "I-A-1", "I-B", "B-B"}, *const guess[] = {"B-A-1", "I-A-1",
                                                                                           "B-B", "I-B"};
    pm_report r = score(truth, guess, 4);
    check(row(&r, "A-1"), 1, 1, 1, 1);
    check(row(&r, "B"), 0, 0, 0, 2);
    pm_report_free(&r);
    r = score(truth, guess, 0);
    assert_int_equal(r.n_rows, 0);
    check(&r.macro, 0, 0, 0, 0);
    assert_true(r.accuracy == 0);
    pm_report_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_classes), cmocka_unit_test(test_sets),
                                       cmocka_unit_test(test_entities), cmocka_unit_test(test_schemes),
                                       cmocka_unit_test(test_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
