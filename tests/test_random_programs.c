/* Random graphs of all operations from builder to results, in small blocks and with several alignments: see
 * support_run_both.h. */
#include "tests/support_random_graph.h"
#include "tests/support_run_both.h"

static void test_passes_keep_results(void **state) {
    (void)state;
    test_rng r = {.state = 77};
    uint64_t n_elements = 0;
    for (int round = 0; round < 300; round++) {
        pm_graph *g = test_random_graph(&r, 5 + (int)test_below(&r, 50), round % 2);
        pm_caps caps;
        pm_caps_baseline(&caps);
        caps.binding_alignment = 16u << round % 5;
        if (round % 7 == 0) caps.max_block_bytes = 8192;
        n_elements += test_run_both(g, &caps, (uint64_t)round, 1);
        pm_graph_destroy(g);
    }
    print_message("%llu elements compared\n", (unsigned long long)n_elements);
    assert_true(n_elements > 10000);
}

/* ---- concats, whose parts are made where they belong ---- */

/* Of these dims, by an operation that writes rows, or by one that does not. */
static pm_tensor *part_of(pm_graph *g, test_rng *r, int rank, const int64_t *dims, pm_tensor **pool, int n) {
    int64_t a[4], b[2] = {dims[rank - 1], 3};
    char name[16];
    memcpy(a, dims, sizeof a);
    a[rank - 1] = 3;
    snprintf(name, sizeof name, "x%d", n);
    pm_tensor *x =
        test_below(r, 3) && n ? pool[test_below(r, (uint32_t)n)] : NULL; /* which then has two readers */
    if (!x || x->rank != rank || memcmp(x->dims, dims, (size_t)rank * sizeof *dims) != 0)
        x = pm_input(g, name, PM_F32, rank, dims);
    switch (test_below(r, 6)) {
    case 0: return pm_neg(g, x);
    case 1: return pm_add(g, x, pm_const_f32(g, 2));
    case 2: return pm_softmax(g, x);
    case 3: return pm_copy(g, pm_slice(g, pm_concat(g, 2, (pm_tensor *[]){x, x}, 0), 0, 0, dims[0]));
    case 4: return x;
    default:
        return pm_matmul(g, pm_input(g, strcat(name, "a"), PM_F32, rank, a),
                         pm_weight(g, strcat(name, "b"), PM_F32, 2, b));
    }
}

static pm_tensor *random_concat(pm_graph *g, test_rng *r, int rank, const int64_t *dims, pm_tensor **pool,
                                int *n) {
    int axis = (int)test_below(r, (uint32_t)rank), n_parts = 2 + (int)test_below(r, 2);
    pm_tensor *parts[3];
    for (int i = 0; i < n_parts; i++) {
        int64_t own[4];
        memcpy(own, dims, sizeof own);
        own[axis] = 1 + test_below(r, 3);
        parts[i] = test_below(r, 5) == 0 && *n < 20 ? random_concat(g, r, rank, own, pool, n)
                                                    : part_of(g, r, rank, own, pool, *n);
        for (int k = 0; k < rank; k++) /* a concat inside is longer or shorter along its own axis */
            if (k != axis && parts[i]->dims[k] > dims[k])
                parts[i] = pm_slice(g, parts[i], k, 0, dims[k]);
            else if (k != axis && parts[i]->dims[k] < dims[k])
                parts[i] = part_of(g, r, rank, own, pool, *n);
        pool[(*n)++] = parts[i];
    }
    return pm_concat(g, n_parts, parts, axis);
}

static void test_concats(void **state) {
    (void)state;
    test_rng r = {.state = 5};
    uint64_t n_elements = 0, n_guests = 0, n_columns = 0;
    for (int round = 0; round < 1000; round++) {
        pm_tensor *pool[64];
        int64_t dims[4];
        int n = 0, rank = 2 + (int)test_below(&r, 3);
        pm_graph *g;
        assert_ok(pm_graph_create("concats", &g));
        for (int k = 0; k < 4; k++) dims[k] = 1 + test_below(&r, 3);
        pm_tensor *y = random_concat(g, &r, rank, dims, pool, &n);
        pm_output(g, "y", test_below(&r, 2) ? y : pm_neg(g, y));
        if (test_below(&r, 3) == 0) pm_output(g, "part", pool[test_below(&r, (uint32_t)n)]);
        assert_ok(pm_graph_status(g));
        n_elements += test_run_both(g, NULL, (uint64_t)round, 1);
        pm_compiled c;
        assert_ok(pm_compile_stages(g, NULL, &c));
        n_guests += c.plan.n_guests;
        for (size_t i = 0; i < c.fused->n_items; i++) n_columns += c.plan.slice_of[i] != 0;
        pm_compiled_free(&c);
        pm_graph_destroy(g);
    }
    print_message("%llu guests, %llu of them columns, %llu elements\n", (unsigned long long)n_guests,
                  (unsigned long long)n_columns, (unsigned long long)n_elements);
    assert_true(n_guests > 500 && n_columns > 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes_keep_results),
                                       cmocka_unit_test(test_concats)};
    return run_all_tests(tests);
}
