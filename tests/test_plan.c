/* The memory plan: properties on thousands of random interval sets and random graphs, blocks, in-place rules,
 * errors. */
#include "graph/plan.h"
#include "tests/support_memory.h"
#include "tests/support_random_graph.h"

#include <stdlib.h>

static const pm_plan_limits no_limit = {.alignment = 64};

/* ---- the properties that every plan has ---- */

static uint64_t live_bytes(const pm_interval *v, size_t n, uint64_t alignment, uint32_t step) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        if (v[i].first <= step && step <= v[i].last) sum += pm_align_up(v[i].bytes, alignment);
    return sum;
}

/* The largest sum is reached where some interval starts. */
static uint64_t slow_bound(const pm_interval *v, size_t n, uint64_t alignment) {
    uint64_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t sum = live_bytes(v, n, alignment, v[i].first);
        if (sum > most) most = sum;
    }
    return most;
}

static void check_plan(const pm_interval *v, size_t n, const pm_plan_limits *limits,
                       const pm_plan_result *r) {
    uint64_t sum = 0;
    for (uint32_t b = 0; b < r->n_blocks; b++) {
        sum += r->block_bytes[b];
        assert_true(r->block_bytes[b] > 0);
        if (limits->max_block_bytes) assert_true(r->block_bytes[b] <= limits->max_block_bytes);
    }
    assert_true(sum == r->arena_bytes);
    assert_true(r->lower_bound_bytes == slow_bound(v, n, limits->alignment));
    assert_true(r->arena_bytes >= r->lower_bound_bytes);
    for (size_t i = 0; i < n; i++) {
        const pm_place *a = &r->places[i];
        if (!v[i].bytes) continue;
        assert_true(a->block < r->n_blocks);
        assert_true(a->offset % limits->alignment == 0);
        assert_true(a->offset + v[i].bytes <= r->block_bytes[a->block]);
        for (size_t k = 0; k < i; k++) {
            const pm_place *b = &r->places[k];
            bool meet_in_time = v[i].first <= v[k].last && v[k].first <= v[i].last;
            bool meet_in_room = a->block == b->block && a->offset < b->offset + v[k].bytes &&
                                b->offset < a->offset + v[i].bytes;
            if (v[k].bytes && meet_in_time && meet_in_room)
                fail_msg("intervals %zu and %zu share steps and bytes", k, i);
        }
    }
}

/* ---- random interval sets ---- */

static size_t random_intervals(test_rng *r, pm_interval *v, size_t most) {
    size_t n = test_below(r, (uint32_t)most + 1);
    uint32_t n_steps = 1 + test_below(r, 200), longest = 1 + test_below(r, n_steps), kind = test_below(r, 3);
    for (size_t i = 0; i < n; i++) {
        v[i].first = test_below(r, n_steps);
        v[i].last = v[i].first + test_below(r, longest);
        v[i].bytes = kind == 0   ? 1 + test_below(r, 5000)
                     : kind == 1 ? 64u << test_below(r, 8)
                                 : test_below(r, 3) * 256;
    }
    return n;
}

static void test_random_interval_sets(void **state) {
    (void)state;
    test_rng r = {.state = 1};
    pm_interval v[96];
    double sum = 0, worst = 1;
    int n_sets = 0, n_met = 0;
    for (int round = 0; round < 1200; round++) {
        size_t n = random_intervals(&r, v, PM_COUNT(v));
        pm_plan_limits limits = {.alignment = 1u << (4 + test_below(&r, 5))};
        if (round % 3 == 0) limits.max_block_bytes = 20000 + test_below(&r, 30000);
        pm_plan_result plan;
        assert_ok(pm_plan_intervals(v, n, &limits, &plan));
        check_plan(v, n, &limits, &plan);
        if (!limits.max_block_bytes && plan.lower_bound_bytes) {
            double ratio = (double)plan.arena_bytes / (double)plan.lower_bound_bytes;
            sum += ratio, n_sets++, n_met += ratio == 1;
            if (ratio > worst) worst = ratio;
        }
        pm_plan_result_free(&plan);
    }
    print_message("random intervals: average ratio %.4f, worst %.4f, %d of %d sets at the bound\n",
                  sum / n_sets, worst, n_met, n_sets);
    assert_true(worst < 1.02);
}

static void test_same_intervals_same_plan(void **state) {
    (void)state;
    test_rng r = {.state = 2};
    pm_interval v[80];
    for (int round = 0; round < 50; round++) {
        size_t n = random_intervals(&r, v, PM_COUNT(v));
        pm_plan_result a, b;
        assert_ok(pm_plan_intervals(v, n, &no_limit, &a));
        assert_ok(pm_plan_intervals(v, n, &no_limit, &b));
        assert_true(a.arena_bytes == b.arena_bytes);
        for (size_t i = 0; i < n; i++)
            assert_true(a.places[i].block == b.places[i].block && a.places[i].offset == b.places[i].offset);
        pm_plan_result_free(&a);
        pm_plan_result_free(&b);
    }
}

static void test_large_set(void **state) {
    (void)state;
    test_rng r = {.state = 3};
    size_t n = 4000;
    pm_interval *v = malloc(n * sizeof *v);
    assert_non_null(v);
    for (size_t i = 0; i < n; i++) {
        v[i].first = (uint32_t)i;
        v[i].last = v[i].first + (test_below(&r, 50) ? test_below(&r, 6) : test_below(&r, 2000));
        v[i].bytes = 256 * (1 + test_below(&r, 64));
    }
    pm_plan_result plan;
    assert_ok(pm_plan_intervals(v, n, &no_limit, &plan));
    check_plan(v, n, &no_limit, &plan);
    print_message("4000 intervals: ratio %.4f\n", (double)plan.arena_bytes / (double)plan.lower_bound_bytes);
    assert_true((double)plan.arena_bytes <= 1.02 * (double)plan.lower_bound_bytes);
    pm_plan_result_free(&plan);
    free(v);
}

/* Rows made of two of the last 50 each: some 50 live at once, and best fit alone stays 10 % above the bound. */
static void test_hard_set(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 4; seed++) {
        enum { N = 300 };
        test_rng r = {.state = seed};
        pm_interval v[N];
        pm_plan_result plan;
        for (uint32_t i = 0; i < N; i++) {
            v[i] = (pm_interval){.bytes = 256 * (1 + test_below(&r, 256)), .first = i, .last = i};
            for (int k = 0; k < 2 && i; k++) v[i - 1 - test_below(&r, i < 50 ? i : 50)].last = i;
        }
        assert_ok(pm_plan_intervals(v, N, &no_limit, &plan));
        check_plan(v, N, &no_limit, &plan);
        double ratio = (double)plan.arena_bytes / (double)plan.lower_bound_bytes;
        print_message("50 of %d live: ratio %.4f\n", (int)N, ratio);
        assert_true(ratio < 1.05);
        pm_plan_result_free(&plan);
    }
}

/* ---- edges ---- */

static void test_edges(void **state) {
    (void)state;
    pm_plan_result plan;
    assert_ok(pm_plan_intervals(NULL, 0, &no_limit, &plan));
    assert_int_equal(plan.n_blocks, 0);
    assert_true(plan.arena_bytes == 0 && plan.lower_bound_bytes == 0);
    pm_plan_result_free(&plan);

    pm_interval nothing = {.bytes = 0, .first = 3, .last = 3};
    assert_ok(pm_plan_intervals(&nothing, 1, &no_limit, &plan));
    assert_true(plan.arena_bytes == 0);
    pm_plan_result_free(&plan);

    pm_interval far[] = {{.bytes = 1, .first = 0, .last = UINT32_MAX},
                         {.bytes = 65, .first = UINT32_MAX, .last = UINT32_MAX}};
    assert_ok(pm_plan_intervals(far, 2, &no_limit, &plan));
    check_plan(far, 2, &no_limit, &plan);
    assert_true(plan.arena_bytes == 192);
    pm_plan_result_free(&plan);

    pm_interval apart[] = {{.bytes = 100, .first = 0, .last = 1}, {.bytes = 128, .first = 2, .last = 3}};
    assert_ok(pm_plan_intervals(apart, 2, &no_limit, &plan));
    assert_true(plan.arena_bytes == 128);
    pm_plan_result_free(&plan);
}

static void test_blocks_split(void **state) {
    (void)state;
    pm_interval v[6];
    for (uint32_t i = 0; i < 6; i++) v[i] = (pm_interval){.bytes = 1000, .first = 0, .last = 9};
    pm_plan_limits limits = {.alignment = 256,
                             .max_block_bytes = 2500}; /* two of 1024 in a block, not three */
    pm_plan_result plan;
    assert_ok(pm_plan_intervals(v, 6, &limits, &plan));
    check_plan(v, 6, &limits, &plan);
    assert_int_equal(plan.n_blocks, 3);
    assert_true(plan.arena_bytes == 6 * 1024);
    pm_plan_result_free(&plan);
}

static void test_errors(void **state) {
    (void)state;
    pm_interval v[] = {{.bytes = 10, .first = 0, .last = 0}, {.bytes = 5000, .first = 0, .last = 0}};
    pm_plan_limits limits = {.alignment = 64, .max_block_bytes = 4096};
    pm_plan_result plan;
    assert_int_equal(pm_plan_intervals(v, 2, &limits, &plan), PM_ERR_MEMORY);
    assert_string_equal(pm_error_text(),
                        "memory plan: interval 1 has 5000 bytes, at most 4096 fit one block of the device");
    v[1].bytes = UINT64_MAX;
    assert_int_equal(pm_plan_intervals(v, 2, &no_limit, &plan), PM_ERR_MEMORY);
    v[0].bytes = v[1].bytes = UINT64_MAX / 10;
    assert_int_equal(pm_plan_intervals(v, 2, &no_limit, &plan), PM_ERR_MEMORY);
    assert_non_null(strstr(pm_error_text(), "together"));
    v[0] = v[1] = (pm_interval){.bytes = 4, .first = 2, .last = 1};
    assert_int_equal(pm_plan_intervals(v, 2, &no_limit, &plan), PM_ERR_USAGE);
    limits = (pm_plan_limits){.alignment = 48};
    assert_int_equal(pm_plan_intervals(v, 1, &limits, &plan), PM_ERR_USAGE);
    limits = (pm_plan_limits){.alignment = 64, .max_block_bytes = 32};
    assert_int_equal(pm_plan_intervals(v, 1, &limits, &plan), PM_ERR_MEMORY);
    assert_null(plan.places);
}

static pm_status plan_some(void *user) {
    pm_interval v[40];
    test_rng r = {.state = 4};
    (void)user;
    for (uint32_t i = 0; i < 40; i++)
        v[i] = (pm_interval){
            .bytes = 64 * (1 + test_below(&r, 9)), .first = i / 2, .last = i / 2 + test_below(&r, 9)};
    pm_plan_result plan;
    pm_status s = pm_plan_intervals(v, 40, &no_limit, &plan);
    if (s == PM_OK) pm_plan_result_free(&plan);
    return s;
}

static void test_out_of_memory(void **state) {
    (void)state;
    assert_true(test_every_allocation(plan_some, NULL) > 8);
}

/* ---- graphs ---- */

/* Steps at which tensor t's storage must be intact, worked out slowly. */
static uint32_t last_use(const pm_graph *g, const pm_tensor *t) {
    uint32_t last = t->id;
    for (size_t i = 0; i < g->n_items; i++)
        for (int k = 0; k < g->items[i]->n_in; k++)
            if (g->items[i]->in[k] && g->items[i]->in[k]->base == t &&
                !(pm_op_get(g->items[i]->op)->flags & PM_OPF_VIEW))
                last = (uint32_t)i;
    for (size_t i = 0; i < g->n_outputs; i++)
        if (g->outputs[i].tensor->base == t) last = (uint32_t)g->n_items - 1;
    return last;
}

static bool is_planned(const pm_tensor *t) {
    return t->base == t && (t->kind == PM_KIND_TEMP || t->kind == PM_KIND_INPUT);
}

/* Whether `part` is made inside `host`: it is a part of it, or of one. */
static bool is_part(const pm_tensor *part, const pm_tensor *host) {
    if (host->op != PM_OP_CONCAT) return false;
    for (int k = 0; k < host->n_in; k++)
        if (host->in[k]->base == part || is_part(part, host->in[k]->base)) return true;
    return false;
}

/* Two tensors of one interval that share bytes: the earlier one is a part of the later one, or the later one is made where
 * the earlier one is used last, and by an operation that may. */
static void check_merge(const pm_graph *g, const pm_graph_plan *p, const pm_tensor *earlier,
                        const pm_tensor *later) {
    uint64_t a = p->offset_of[earlier->id], b = p->offset_of[later->id];
    if (p->slice_of[earlier->id] && p->slice_of[earlier->id] == p->slice_of[later->id])
        return; /* columns beside each other */
    if (a >= b + pm_storage_bytes(later) || b >= a + pm_storage_bytes(earlier)) return;
    if (is_part(earlier, later)) return;
    assert_true(last_use(g, earlier) <= later->id);
    assert_int_equal(earlier->kind, PM_KIND_TEMP);
    assert_true(pm_op_get(later->op)->flags & PM_OPF_ELEMENTWISE || later->op == PM_OP_MATMUL);
    assert_true(pm_storage_bytes(earlier) <= pm_storage_bytes(later));
}

static void check_graph_plan(const pm_graph *g, const pm_graph_plan *p, const pm_plan_limits *limits) {
    check_plan(p->intervals, p->n_intervals, limits, &p->result);
    uint32_t n_merged = 0;
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *t = g->items[i];
        int32_t at = p->interval_of[i];
        assert_int_equal(is_planned(t), at >= 0);
        if (at < 0) continue;
        const pm_interval *v = &p->intervals[at];
        assert_true(v->bytes >= p->offset_of[i] + pm_storage_bytes(t));
        assert_true(v->first <= (t->kind == PM_KIND_INPUT ? 0 : t->id) && v->last >= last_use(g, t));
        for (size_t k = 0; k < i; k++)
            if (p->interval_of[k] == at) check_merge(g, p, g->items[k], t);
        bool first = true;
        for (size_t k = 0; k < i; k++) first &= p->interval_of[k] != at;
        n_merged += !first;
    }
    assert_int_equal(n_merged, p->n_in_place + p->n_guests);
}

static void test_random_graphs(void **state) {
    (void)state;
    test_rng r = {.state = 5};
    double sum = 0;
    uint32_t n_in_place = 0, n_guests = 0;
    const int rounds = 1500;
    for (int round = 0; round < rounds; round++) {
        pm_graph *g = test_random_graph(&r, 5 + (int)test_below(&r, 60), round % 2);
        pm_plan_limits limits = {.alignment = 64, .max_block_bytes = round % 4 == 3 ? 65536 : 0};
        pm_graph_plan p;
        assert_ok(pm_plan_graph(g, &limits, &p));
        check_graph_plan(g, &p, &limits);
        sum += p.result.lower_bound_bytes ? (double)p.result.arena_bytes / (double)p.result.lower_bound_bytes
                                          : 1;
        n_in_place += p.n_in_place;
        n_guests += p.n_guests;
        pm_graph_plan_free(&p);
        pm_graph_destroy(g);
    }
    print_message("random graphs: average ratio %.4f, %.1f tensors in place a graph\n", sum / rounds,
                  (double)n_in_place / rounds);
    assert_true(n_in_place > 0 && n_guests > 0);
    assert_true(sum / rounds < 1.02);
}

static pm_graph *parse(const char *text) {
    pm_graph *g = NULL;
    assert_ok(pm_graph_parse(text, &g));
    return g;
}

/* Which tensors share room, in small graphs. */
static void test_in_place_rules(void **state) {
    (void)state;
    static const struct {
        const char *why, *text;
        uint32_t a, b; /* ids */
        bool together;
    } cases[] = {
        {"an elementwise chain",
         "graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = exp(%0) f32[2,3]\n%2 = neg(%1) f32[2,3]\n"
         "output \"y\" %2\n",
         1, 2, true},
        {"an input keeps its values",
         "graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = exp(%0) f32[2,3]\noutput \"y\" %1\n", 0, 1, false},
        {"an output keeps its values",
         "graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = exp(%0) f32[2,3]\n%2 = neg(%1) f32[2,3]\n"
         "output \"y\" %2\noutput \"e\" %1\n",
         1, 2, false},
        {"a later use",
         "graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = exp(%0) f32[2,3]\n%2 = neg(%1) f32[2,3]\n"
         "%3 = add(%1, %2) f32[2,3]\noutput \"y\" %3\n",
         1, 2, false},
        {"a broadcast operand",
         "graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = input \"v\" f32[3]\n%2 = exp(%1) f32[3]\n"
         "%3 = add(%0, %2) f32[2,3]\noutput \"y\" %3\n",
         2, 3, false},
        {"both operands show one memory in one layout",
         "graph \"g\"\n%0 = input \"x\" f32[3,3]\n%1 = exp(%0) f32[3,3]\n"
         "%2 = mul(%1, %1) f32[3,3]\noutput \"y\" %2\n",
         1, 2, true},
        {"the other operand is its transpose",
         "graph \"g\"\n%0 = input \"x\" f32[3,3]\n%1 = exp(%0) f32[3,3]\n"
         "%2 = permute(%1) {axes=[1,0]} f32[3,3]\n%3 = mul(%1, %2) f32[3,3]\noutput \"y\" %3\n",
         1, 3, false},
        {"a row sum is not elementwise",
         "graph \"g\"\n%0 = input \"x\" f32[3,1]\n%1 = exp(%0) f32[3,1]\n"
         "%2 = sum(%1) {axis=1} f32[3,1]\noutput \"y\" %2\n",
         1, 2, false},
        {"the residual of a product",
         "graph \"g\"\n%0 = input \"x\" f32[3,4]\n%1 = weight \"w\" f32[4,4]\n%2 = exp(%0) f32[3,4]\n"
         "%3 = matmul(%0, %1, _, %2) f32[3,4]\noutput \"y\" %3\n",
         2, 3, true},
        {"a residual that is the left operand, too",
         "graph \"g\"\n%0 = input \"x\" f32[3,4]\n%1 = weight \"w\" f32[4,4]\n"
         "%2 = exp(%0) f32[3,4]\n%3 = matmul(%2, %1, _, %2) f32[3,4]\noutput \"y\" %3\n",
         2, 3, false},
    };
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_graph *g = parse(cases[i].text);
        pm_graph_plan p;
        assert_ok(pm_plan_graph(g, &no_limit, &p));
        bool together = p.interval_of[cases[i].a] == p.interval_of[cases[i].b];
        if (together != cases[i].together)
            fail_msg("%s: %s", cases[i].why, together ? "in place" : "not in place");
        check_graph_plan(g, &p, &no_limit);
        pm_graph_plan_free(&p);
        pm_graph_destroy(g);
    }
}

/* Graphs with a concat, and how many of its parts are made where it has them. */
static void test_guests(void **state) {
    static const struct {
        const char *what, *text;
        uint32_t n_guests;
    } cases[] = {
        {"two results",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = tanh(%0) f32[2,64]\n"
         "%3 = concat(%1, %2) {axis=0} f32[4,64]\n%4 = neg(%3) f32[4,64]\noutput \"y\" %4\n",
         2},
        {"a concat of a concat, which is an output",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = tanh(%0) f32[2,64]\n"
         "%3 = concat(%1, %2) {axis=0} f32[4,64]\n%4 = abs(%0) f32[2,64]\n"
         "%5 = concat(%4, %3) {axis=0} f32[6,64]\noutput \"y\" %5\n",
         4},
        {"an axis behind dims of 1, a part through a reshape",
         "%0 = input \"x\" f32[1,3,4]\n%1 = exp(%0) f32[1,3,4]\n%2 = reshape(%1) {dims=[1,12]} f32[1,12]\n"
         "%3 = input \"z\" f32[1,5]\n%4 = concat(%3, %2) {axis=1} f32[1,17]\n%5 = neg(%4) f32[1,17]\n"
         "output \"y\" %5\n",
         1},
        {"one part twice",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = concat(%1, %1) {axis=0} f32[4,64]\n"
         "%3 = neg(%2) f32[4,64]\noutput \"y\" %3\n",
         1},
        {"columns",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = tanh(%0) f32[2,64]\n"
         "%3 = concat(%1, %2) {axis=1} f32[2,128]\n%4 = neg(%3) f32[2,128]\noutput \"y\" %4\n",
         2},
        {"columns of products, one of which is read elsewhere",
         "%0 = input \"x\" f32[3,4]\n%1 = weight \"v\" f32[5,4]\n%2 = weight \"w\" f32[2,4]\n"
         "%3 = matmul(%0, %1) f32[3,5]\n%4 = matmul(%0, %2) f32[3,2]\n%5 = exp(%4) f32[3,2]\n"
         "%6 = concat(%3, %4, %5) {axis=1} f32[3,9]\n%7 = neg(%6) f32[3,9]\noutput \"y\" %7\n",
         2},
        {"one column twice",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = concat(%1, %1) {axis=1} f32[2,128]\n"
         "%3 = neg(%2) f32[2,128]\noutput \"y\" %3\n",
         0},
        {"columns of a norm, an input, a view, an output",
         "%0 = input \"x\" f32[2,64]\n%1 = softmax(%0) f32[2,64]\n%2 = exp(%0) f32[2,64]\n"
         "%3 = slice(%2) {axis=1, length=3} f32[2,3]\n%4 = tanh(%0) f32[2,64]\n"
         "%5 = concat(%1, %0, %3, %4) {axis=1} f32[2,195]\n%6 = neg(%5) f32[2,195]\noutput \"y\" %6\n"
         "output \"t\" %4\n",
         0},
        {"columns of a concat within rows of another",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = tanh(%0) f32[2,64]\n"
         "%3 = concat(%1, %2) {axis=1} f32[2,128]\n%4 = input \"z\" f32[3,128]\n"
         "%5 = concat(%4, %3) {axis=0} f32[5,128]\n%6 = neg(%5) f32[5,128]\noutput \"y\" %6\n",
         3},
        {"a part that is an output, an input, a slice",
         "%0 = input \"x\" f32[2,64]\n%1 = exp(%0) f32[2,64]\n%2 = tanh(%0) f32[2,64]\n"
         "%3 = slice(%2) {axis=0, length=1} f32[1,64]\n%4 = concat(%1, %0, %3) {axis=0} f32[5,64]\n"
         "%5 = neg(%4) f32[5,64]\noutput \"y\" %5\noutput \"e\" %1\n",
         0},
        {"room for the concat while a large tensor lives",
         "%0 = input \"x\" f32[1,64]\n%1 = exp(%0) f32[1,64]\n%2 = tanh(%0) f32[1,64]\n"
         "%3 = matmul(%2, %2) f32[1,1]\n%4 = expand(%3) {dims=[512,64]} f32[512,64]\n%5 = abs(%4) f32[512,64]\n"
         "%6 = sum(%5) {axis=0} f32[1,64]\n%7 = expand(%6) {dims=[500,64]} f32[500,64]\n"
         "%8 = concat(%1, %7) {axis=0} f32[501,64]\n%9 = sum(%8) {axis=0} f32[1,64]\noutput \"y\" %9\n",
         0},
    };
    (void)state;
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        char text[1024];
        pm_graph_plan p;
        snprintf(text, sizeof text, "graph \"g\"\n%s", cases[i].text);
        pm_graph *g = parse(text);
        assert_ok(pm_plan_graph(g, &no_limit, &p));
        check_graph_plan(g, &p, &no_limit);
        if (p.n_guests != cases[i].n_guests)
            fail_msg("%s: %u guests, not %u", cases[i].what, p.n_guests, cases[i].n_guests);
        pm_graph_plan_free(&p);
        pm_graph_destroy(g);
    }
}

static void test_graph_too_large(void **state) {
    (void)state;
    pm_graph *g = parse(
        "graph \"g\"\n%0 = input \"x\" f32[64,64]\n%1 = exp(%0) f32[64,64] @\"layers.3\"\noutput \"y\" %1\n");
    pm_plan_limits limits = {.alignment = 64, .max_block_bytes = 16383};
    pm_graph_plan p;
    assert_int_equal(pm_plan_graph(g, &limits, &p), PM_ERR_MEMORY);
    assert_string_equal(
        pm_error_text(),
        "memory plan: %0 (input x) has 16384 bytes, at most 16383 fit one block of the device");
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_interval_sets),
        cmocka_unit_test(test_same_intervals_same_plan),
        cmocka_unit_test(test_large_set),
        cmocka_unit_test(test_hard_set),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_blocks_split),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_in_place_rules),
        cmocka_unit_test(test_guests),
        cmocka_unit_test(test_graph_too_large),
    };
    return run_all_tests(tests);
}
