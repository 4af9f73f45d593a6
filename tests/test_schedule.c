/* The order of operations: fewer bytes live, nothing else changes. */
#include "graph/plan.h"
#include "tests/support_memory.h"
#include "tests/support_pass_cases.h"
#include "tests/support_random_graph.h"

#include <stdlib.h>

static uint64_t peak_of(const pm_graph *g) {
    uint64_t peak;
    assert_ok(pm_plan_peak(g, 256, &peak));
    return peak;
}

static pm_graph *schedule(const pm_graph *g) {
    pm_graph *out;
    assert_ok(pm_schedule(g, 1, &out));
    assert_ok(pm_graph_verify(out));
    assert_int_equal(out->n_items, g->n_items);
    assert_int_equal(out->n_outputs, g->n_outputs);
    return out;
}

/* Builds the text, schedules it, gives the peaks before and after. */
static pm_graph *schedule_text(const char *text, uint64_t peaks[2]) {
    pm_graph *g;
    assert_ok(pm_graph_parse(text, &g));
    pm_graph *out = schedule(g);
    peaks[0] = peak_of(g);
    peaks[1] = peak_of(out);
    pm_graph_destroy(g);
    return out;
}

/* Three wide results of one input, each of which becomes narrow: one at a time is enough. */
static void test_wide_branches(void **state) {
    (void)state;
    uint64_t peaks[2];
    pm_graph *g = schedule_text("graph \"g\"\n"
                                "%0 = input \"x\" f32[4096]\n"
                                "%1 = tanh(%0) f32[4096]\n"
                                "%2 = exp(%0) f32[4096]\n"
                                "%3 = sigmoid(%0) f32[4096]\n"
                                "%4 = sum(%1) f32[1]\n"
                                "%5 = sum(%2) f32[1]\n"
                                "%6 = sum(%3) f32[1]\n"
                                "%7 = add(%4, %5) f32[1]\n"
                                "%8 = add(%7, %6) f32[1]\n"
                                "output \"y\" %8\n",
                                peaks);
    assert_true(peaks[0] >= 4 * 16384);
    assert_true(peaks[1] <= 2 * 16384 + 4 * 256);
    pm_graph_destroy(g);
}

/* What reads a state before a write stays before it, however much memory the other order would save. */
static void test_states(void **state) {
    (void)state;
    uint64_t peaks[2];
    pm_graph *g = schedule_text("graph \"g\"\n"
                                "%0 = state \"k\" f32[1,1,64,64]\n"
                                "%1 = input \"x\" f32[1,1,8,64]\n"
                                "%2 = param \"position\" i32[]\n"
                                "%3 = tanh(%0) f32[1,1,64,64]\n"
                                "%4 = exp(%0) f32[1,1,64,64]\n"
                                "%5 = cache_write(%0, %1, %2) f32[1,1,64,64]\n"
                                "%6 = sum(%3) {axis=3} f32[1,1,64,1]\n"
                                "%7 = sum(%4) {axis=3} f32[1,1,64,1]\n"
                                "%8 = sum(%5) {axis=3} f32[1,1,64,1]\n"
                                "%9 = add(%6, %7) f32[1,1,64,1]\n"
                                "%10 = add(%9, %8) f32[1,1,64,1]\n"
                                "output \"y\" %10\n",
                                peaks);
    assert_true(peaks[1] < peaks[0]);
    pm_graph_destroy(g);
}

/* An order that is good stays, to the letter. */
static void test_stays(void **state) {
    (void)state;
    static const char text[] = "graph \"g\"\n"
                               "%0 = input \"x\" f32[4096]\n"
                               "%1 = tanh(%0) f32[4096]\n"
                               "%2 = sum(%1) f32[1]\n"
                               "%3 = exp(%0) f32[4096]\n"
                               "%4 = sum(%3) f32[1]\n"
                               "%5 = add(%2, %4) f32[1]\n"
                               "output \"y\" %5\n";
    uint64_t peaks[2];
    char *got;
    pm_graph *g = schedule_text(text, peaks);
    assert_ok(pm_graph_print(g, &got));
    assert_string_equal(got, text);
    pm_text_release(got);
    pm_graph_destroy(g);
}

static int compare_words(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Operation and size of all tensors, sorted. */
static uint32_t *kinds_of(const pm_graph *g) {
    uint32_t *kinds = pm_calloc(g->n_items, sizeof *kinds);
    for (size_t i = 0; i < g->n_items; i++)
        kinds[i] = (uint32_t)g->items[i]->op << 24 ^ (uint32_t)pm_elems(g->items[i]);
    qsort(kinds, g->n_items, sizeof *kinds, compare_words);
    return kinds;
}

/* Never more bytes, the same tensors, a valid order; mostly fewer bytes where the order was a random one. */
static void test_random_graphs(void **state) {
    (void)state;
    int better = 0;
    for (uint32_t seed = 1; seed <= 500; seed++) {
        test_rng r = {seed};
        pm_graph *g = test_random_graph(&r, 5 + (int)(seed % 60), seed % 2), *out = schedule(g);
        uint32_t *before = kinds_of(g), *after = kinds_of(out);
        assert_memory_equal(before, after, g->n_items * sizeof *before);
        assert_true(peak_of(out) <= peak_of(g));
        better += peak_of(out) < peak_of(g);
        pm_free(before);
        pm_free(after);
        pm_graph_destroy(g);
        pm_graph_destroy(out);
    }
    print_message("fewer bytes in %d of 500\n", better);
    assert_true(better > 100);
}

/* The pass asks for more than a few bytes, since another order may cost barriers. */
static void test_worth(void **state) {
    (void)state;
    for (int big = 0; big < 2; big++) {
        char text[512];
        int n = big ? 1 << 20 : 1 << 10;
        snprintf(
            text, sizeof text,
            "graph \"g\"\n%%0 = input \"x\" f32[%d]\n%%1 = tanh(%%0) f32[%d]\n%%2 = exp(%%0) f32[%d]\n"
            "%%3 = sum(%%1) f32[1]\n%%4 = sum(%%2) f32[1]\n%%5 = add(%%3, %%4) f32[1]\noutput \"y\" %%5\n",
            n, n, n);
        pm_graph *g, *out;
        assert_ok(pm_graph_parse(text, &g));
        assert_ok(pm_pass_schedule(g, &out));
        assert_true((peak_of(out) < peak_of(g)) == (big != 0));
        pm_graph_destroy(g);
        pm_graph_destroy(out);
    }
}

static pm_status schedule_once(void *user) {
    pm_graph *out = NULL;
    pm_status s = pm_schedule(user, 1, &out);
    pm_graph_destroy(out);
    return s;
}

static void test_out_of_memory(void **state) {
    (void)state;
    test_rng r = {7};
    pm_graph *g = test_random_graph(&r, 20, true);
    assert_true(test_every_allocation(schedule_once, g) > 10);
    pm_graph_destroy(g);
}

static void check_case(const test_pass_case *c, void *user) {
    (void)user, test_pass_case_check(c, pm_pass_schedule);
}

static void test_orders(void **state) {
    (void)state, test_each_pass_case("schedule.txt", check_case, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),        cmocka_unit_test(test_wide_branches),
        cmocka_unit_test(test_states),        cmocka_unit_test(test_stays),
        cmocka_unit_test(test_random_graphs), cmocka_unit_test(test_worth),
        cmocka_unit_test(test_out_of_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
