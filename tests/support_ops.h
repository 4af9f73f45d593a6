/* One table of cases for every operation, shared by the tests of the CPU kernels, of the shaders and by
 * benchmarks.
 *
 * A case builds a graph of one operation (with the views that make its operands awkward); its name begins
 * with the kernel's. test_run_op_case runs it on an executor, dispatch by dispatch, and compares each element
 * that a dispatch writes with the reference kernel's, given the same operands and within the bound that the
 * reference kernel computes.
 *
 *     size_t n;  const test_op_case *cases = test_op_cases(&n);
 *     for (size_t i = 0; i < n; i++) {
 *         test_op_result r;
 *         assert_ok(test_run_op_case(ex, &cases[i], &r));
 *         if (r.failed) fail_msg("%s: %s", cases[i].name, r.text);
 *     }
 */
#ifndef PM_TEST_OPS_H
#define PM_TEST_OPS_H

#include "graph/compile.h"
#include "graph/ir.h"
#include "runtime/executor.h"
#include "tests/support.h"

/* How a leaf is filled. F32 leaves without a hint: TEST_HARD in -4 .. 4; BOOL: 0 or 1; I32 and parameters:
 * TEST_UNIFORM in lo .. hi of the hint, 0 without one. */
typedef enum test_values {
    TEST_UNIFORM, /* lo .. hi, both included for I32 */
    TEST_HARD,    /* uniform, but one in eight is 0, -0, a whole number, 2^-20 as large, or a copy of the one
                     before */
    TEST_WIDE,    /* both signs, magnitudes from lo to hi, evenly in the exponent */
    TEST_WHOLE,   /* whole numbers lo .. hi: ties */
    TEST_RAMP,    /* lo, lo + 1, ... hi, lo, ... */
    TEST_RARE,    /* I32: hi once in 50, else lo */
    TEST_SPECIAL, /* F32: as TEST_HARD, but one in four is PM_MASKED or below it */
    TEST_NONFINITE, /* F32: as TEST_HARD, but one in four is NaN or an infinity */
    TEST_NAN,       /* F32: as TEST_HARD, but one in four is NaN or -infinity */
} test_values;

typedef struct test_hint {
    const char *leaf; /* NULL ends the list */
    test_values values;
    double lo, hi;
} test_hint;

#define TEST_MAX_HINTS 5

typedef struct test_op_case test_op_case;
struct test_op_case {
    const char *name;
    pm_tensor *(*build)(pm_graph *g,
                        const test_op_case *c); /* returns the result, which becomes output "y" */
    pm_op op;        /* what build adds, where one builder serves several operations */
    pm_attrs attrs;  /* of that operation */
    int64_t size[6]; /* what they mean is the builder's */
    test_hint hints[TEST_MAX_HINTS];
    bool fuse;                      /* run all passes; else only those that keep every operation */
    void (*adjust)(pm_dispatch *d); /* NULL, or changes each dispatch after selection: tests of variants */
};

/* All cases; the order is that of the op_cases_*.c files. */
const test_op_case *test_op_cases(size_t *out_n);

typedef struct test_op_result {
    bool failed;
    char text[512]; /* what failed, or the worst element; never empty */
    double worst; /* largest |got - want| / bound; INFINITY where they differ and bound is 0 or got is NaN */
    double got, want, bound; /* at the worst element */
    uint64_t index;          /* word of the written binding */
    uint32_t dispatch;
    char label[96];      /* kernel, variant and label of that dispatch */
    uint64_t n_compared; /* elements; 0 fails */
} test_op_result;

/* Compiles the case for ex's caps, runs it whole and then dispatch by dispatch. Fails, in `out`, when an
 * element is out of its bound or the bound is not finite (an element that should be NaN or infinite must be that), when a word that the dispatch should not write has
 * changed, or when the whole run gave other bits than the steps. The status is of calls that should not fail.
 * The executor's store is left as it was. */
pm_status test_run_op_case(pm_executor *ex, const test_op_case *c, test_op_result *out) PM_MUST_USE;

/* Compiles it alone: adjust sees its dispatches. */
pm_status test_compile_op_case(pm_executor *ex, const test_op_case *c) PM_MUST_USE;

/* Makes the program's pipelines, and runs nothing. */
pm_status test_load_op_case(pm_executor *ex, const test_op_case *c) PM_MUST_USE;

/* The values of a leaf of a case: n words. Same case and leaf: same values. */
void test_fill_leaf(const test_op_case *c, const char *leaf, pm_dtype type, uint32_t *words, uint64_t n);

/* ---- for op_cases_*.c ---- */

typedef struct test_op_table {
    const test_op_case *cases;
    size_t n;
} test_op_table;
extern const test_op_table test_elementwise_cases, test_rows_cases, test_softmax_cases, test_matmul_cases,
    test_attention_cases, test_data_cases, test_grouped_cases, test_cache_cases, test_sample_cases;

int test_rank_of(const test_op_case *c); /* size[0 ..] up to the first 0, at most 5, are dims */

#endif
