/* The kernels of the CPU executors: every case of the operation table, the fast kernels against the
 * reference's bounds; that a spoiled kernel is noticed; and the reference itself against figures that were
 * worked out by hand. */
#include "tests/support_ops.h"

#include <math.h>

#include "runtime/cpu/cpu_kernel.h"
#include "shaders/matmul.params.h"

/* ---- the table ---- */

static void run_table(const char *device, const pm_executor_options *options) {
    size_t n;
    const test_op_case *cases = test_op_cases(&n);
    pm_executor *ex = NULL;
    int n_failed = 0;
    assert_ok(pm_executor_open(device, options, &ex));
    for (size_t i = 0; i < n; i++) {
        test_op_result r;
        pm_status s = test_run_op_case(ex, &cases[i], &r);
        if (s == PM_OK && !r.failed) continue;
        n_failed++;
        print_error("%s: %s\n", cases[i].name, s == PM_OK ? r.text : pm_error_text());
    }
    pm_executor_close(ex);
    if (n_failed) fail_msg("%d of %zu cases failed", n_failed, n);
}

static void test_cpu_table(void **state) {
    (void)state;
    run_table("cpu", NULL);
}
static void test_cpu_table_on_one_thread(void **state) {
    (void)state;
    run_table("cpu", &(pm_executor_options){.n_threads = 1});
}
static void test_cpu_table_on_seven_threads(void **state) {
    (void)state;
    run_table("cpu", &(pm_executor_options){.n_threads = 7});
}

/* The whole run, with NaN in all of the arena that holds nothing live, gives what the steps give, without. */
static void test_table_with_poison(void **state) {
    (void)state;
    run_table("reference", &(pm_executor_options){.poison = true});
    run_table("cpu", &(pm_executor_options){.poison = true});
}

/* The reference kernels must not differ from themselves: this tests the running of a case. */
static void test_reference_table(void **state) {
    (void)state;
    run_table("reference", NULL);
}

static void test_names_are_unique(void **state) {
    (void)state;
    size_t n;
    const test_op_case *cases = test_op_cases(&n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++)
            if (!strcmp(cases[i].name, cases[k].name)) fail_msg("two cases are named %s", cases[i].name);
}

/* One case of each kernel on an executor that spoils that kernel. */
static void test_table_notices_spoiled_kernels(void **state) {
    (void)state;
    size_t n;
    const test_op_case *cases = test_op_cases(&n);
    for (int kernel = 0; kernel < PM_N_KERNELS; kernel++) {
        const char *name = pm_kernel_get((pm_kernel)kernel)->name;
        pm_executor *ex = NULL;
        test_op_result r = {0};
        size_t i = 0;
        while (i < n && (strncmp(cases[i].name, name, strlen(name)) || cases[i].size[0] < 2)) i++;
        if (i == n) fail_msg("kernel %s has no case", name);
        assert_ok(pm_executor_open("cpu", &(pm_executor_options){.broken_kernel = 1 + kernel}, &ex));
        assert_ok(test_run_op_case(ex, &cases[i], &r));
        if (!r.failed) fail_msg("%s: the spoiled element was not noticed; %s", cases[i].name, r.text);
        assert_ptr_not_equal(strstr(r.text, name), NULL);
        pm_executor_close(ex);
    }
}

/* ---- by hand ---- */

enum { MAX_LEAVES = 8, MAX_VALUES = 32 };

typedef struct sheet {
    pm_graph *g;
    int n;
    uint32_t leaves[MAX_LEAVES][MAX_VALUES];
} sheet;

static sheet new_sheet(void) {
    sheet s = {0};
    assert_ok(pm_graph_create("by hand", &s.g));
    return s;
}

#define DIMS(...)                                                                                            \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                                 \
        __VA_ARGS__                                                                                          \
    }
#define F(...)                                                                                               \
    (float[]) {                                                                                              \
        __VA_ARGS__                                                                                          \
    }
#define I(...)                                                                                               \
    (int32_t[]) {                                                                                            \
        __VA_ARGS__                                                                                          \
    }
#define D(...)                                                                                               \
    (double[]) {                                                                                             \
        __VA_ARGS__                                                                                          \
    }

/* An input that will hold `values`, row-major: as many as it has elements. */
static pm_tensor *leaf(sheet *s, pm_dtype type, int rank, const int64_t *dims, const void *values) {
    char name[] = "0";
    name[0] = (char)('0' + s->n);
    pm_tensor *t = pm_input(s->g, name, type, rank, dims);
    assert_ptr_not_equal(t, NULL);
    assert_true(s->n < MAX_LEAVES && pm_elems(t) <= MAX_VALUES);
    memcpy(s->leaves[s->n++], values, 4 * (size_t)pm_elems(t));
    return t;
}

/* Runs the sheet on the reference; the elements of y must be `want`, a few ulps aside. Frees the sheet. */
static void expect(sheet *s, pm_tensor *y, const double *want) {
    pm_executor *ex = NULL;
    pm_program *p = NULL;
    pm_loaded *l = NULL;
    uint32_t got[MAX_VALUES];
    assert_ok(pm_graph_status(s->g));
    pm_output(s->g, "y", y);
    assert_ok(pm_executor_open("reference", NULL, &ex));
    assert_ok(pm_compile(s->g, &(pm_compile_options){.caps = pm_executor_caps(ex), .no_fuse = true}, &p));
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (p->externals[i].kind == PM_EXTERNAL_STATE)
            assert_ok(pm_executor_put(ex, p->externals[i].name, NULL, p->externals[i].bytes));
    assert_ok(pm_executor_load(ex, p, &l));
    for (uint32_t i = 0; i < p->n_inputs; i++)
        assert_ok(pm_loaded_write(l, i, s->leaves[p->inputs[i].name[0] - '0'], p->inputs[i].range.bytes));
    assert_ok(pm_loaded_run(l));
    assert_ok(pm_loaded_read(l, 0, got, p->outputs[0].range.bytes));
    for (uint64_t i = 0; i < p->outputs[0].range.bytes / 4; i++) {
        float f;
        memcpy(&f, &got[i], 4);
        double x = p->outputs[0].dtype == PM_F32 ? (double)f : (double)(int32_t)got[i];
        if (!(fabs(x - want[i]) <= 2e-7 * fabs(want[i]) + 1e-9))
            fail_msg("%s: element %llu is %.9g, expected %.9g", p->dispatches[p->n_dispatches - 1].label,
                     (unsigned long long)i, x, want[i]);
    }
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
    pm_graph_destroy(s->g);
}

static pm_tensor *op(sheet *s, pm_op id, int n, pm_tensor *const *in, const pm_attrs *attrs) {
    pm_tensor *t = pm_add_op(s->g, id, n, in, attrs);
    if (!t) fail_msg("%s", pm_error_text());
    return t;
}

static void test_unary_by_hand(void **state) {
    (void)state;
    static const struct {
        pm_op op;
        float x;
        double y;
    } rows[] = {
        {PM_OP_COPY, 2.5f, 2.5},
        {PM_OP_NEG, 2.5f, -2.5},
        {PM_OP_ABS, -2.5f, 2.5},
        {PM_OP_EXP, 1, 2.718281828459045},
        {PM_OP_EXP, -2, 0.1353352832366127},
        {PM_OP_LOG, 10, 2.302585092994046},
        {PM_OP_LOG, 1, 0},
        {PM_OP_SQRT, 2, 1.414213562373095},
        {PM_OP_RSQRT, 4, 0.5},
        {PM_OP_TANH, 0.5f, 0.4621171572600098},
        {PM_OP_TANH, -100, -1},
        {PM_OP_ERF, 0.5f, 0.5204998778130465},
        {PM_OP_ERF, -1, -0.8427007929497149},
        {PM_OP_SIGMOID, 0, 0.5},
        {PM_OP_SIGMOID, 1, 0.7310585786300049},
        {PM_OP_RELU, 3, 3},
        {PM_OP_RELU, -3, 0},
        {PM_OP_GELU, 1, 0.8413447460685429},
        {PM_OP_GELU, -1, -0.1586552539314571},
        {PM_OP_GELU, -50, 0},
        {PM_OP_GELU_TANH, 1, 0.8411919906082767},
        {PM_OP_GELU_TANH, -1, -0.1588080093917232},
        {PM_OP_SILU, 1, 0.7310585786300049},
        {PM_OP_SILU, -1, -0.2689414213699951},
        {PM_OP_QUICK_GELU, 1, 0.8457957659328212},
        {PM_OP_QUICK_GELU, -1, -0.1542042340671788},
        {PM_OP_QUICK_GELU, -500, 0},
        {PM_OP_TO_I32, 1.75f, 1},
        {PM_OP_TO_I32, -1.75f, -1},
        {PM_OP_TO_I32, -0.5f, 0},
        {PM_OP_TO_I32, 3e9f, 2147483647},
        {PM_OP_TO_I32, -3e9f, -2147483648.0},
    };
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        sheet s = new_sheet();
        pm_tensor *x = leaf(&s, PM_F32, DIMS(1), &rows[i].x);
        expect(&s, op(&s, rows[i].op, 1, &x, NULL), &rows[i].y);
    }
    sheet s = new_sheet();
    expect(&s, pm_cast(s.g, leaf(&s, PM_I32, DIMS(3), I(-7, 0, 3)), PM_BOOL), D(1, 0, 1));
    s = new_sheet();
    expect(&s, pm_cast(s.g, leaf(&s, PM_I32, DIMS(3), I(-7, 0, 16777216)), PM_F32), D(-7, 0, 16777216));
    s = new_sheet();
    expect(&s, pm_not(s.g, leaf(&s, PM_BOOL, DIMS(2), I(0, 1))), D(1, 0));
    s = new_sheet(); /* elements in their places: a permuted copy */
    expect(&s, pm_copy(s.g, pm_transpose(s.g, leaf(&s, PM_F32, DIMS(2, 3), F(1, 2, 3, 4, 5, 6)), 0, 1)),
           D(1, 4, 2, 5, 3, 6));
}

static void test_binary_by_hand(void **state) {
    (void)state;
    static const struct {
        pm_op op;
        double y[3]; /* of 7 and -2, -3 and 3, 2 and 2 */
    } rows[] = {
        {PM_OP_ADD, {5, 0, 4}},     {PM_OP_SUB, {9, -6, 0}}, {PM_OP_MUL, {-14, -9, 4}},
        {PM_OP_DIV, {-3.5, -1, 1}}, {PM_OP_MAX, {7, 3, 2}},  {PM_OP_MIN, {-2, -3, 2}},
        {PM_OP_LT, {0, 1, 0}},      {PM_OP_LE, {0, 1, 1}},   {PM_OP_GT, {1, 0, 0}},
        {PM_OP_GE, {1, 0, 1}},      {PM_OP_EQ, {0, 0, 1}},   {PM_OP_NE, {1, 1, 0}},
    };
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        double whole[3] = {trunc(rows[i].y[0]), rows[i].y[1], rows[i].y[2]};
        sheet s = new_sheet();
        pm_tensor *f[] = {leaf(&s, PM_F32, DIMS(3), F(7, -3, 2)), leaf(&s, PM_F32, DIMS(3), F(-2, 3, 2))};
        expect(&s, op(&s, rows[i].op, 2, f, NULL), rows[i].y);
        s = new_sheet();
        pm_tensor *n[] = {leaf(&s, PM_I32, DIMS(3), I(7, -3, 2)), leaf(&s, PM_I32, DIMS(3), I(-2, 3, 2))};
        expect(&s, op(&s, rows[i].op, 2, n, NULL), whole);
    }
    sheet s = new_sheet();
    expect(&s,
           pm_and(s.g, leaf(&s, PM_BOOL, DIMS(4), I(0, 0, 1, 1)), leaf(&s, PM_BOOL, DIMS(4), I(0, 1, 0, 1))),
           D(0, 0, 0, 1));
    s = new_sheet();
    expect(&s,
           pm_or(s.g, leaf(&s, PM_BOOL, DIMS(4), I(0, 0, 1, 1)), leaf(&s, PM_BOOL, DIMS(4), I(0, 1, 0, 1))),
           D(0, 1, 1, 1));
    s = new_sheet(); /* broadcasting: a column and a row */
    expect(&s, pm_add(s.g, leaf(&s, PM_F32, DIMS(2, 1), F(10, 20)), leaf(&s, PM_F32, DIMS(3), F(1, 2, 3))),
           D(11, 12, 13, 21, 22, 23));
}

static void test_glu_by_hand(void **state) {
    (void)state;
    static const struct {
        int32_t act;
        double y; /* of 1, times 3 */
    } rows[] = {{PM_ACT_SILU, 2.193175735890015},     {PM_ACT_GELU, 2.524034238205629},
                {PM_ACT_GELU_TANH, 2.52357597182483}, {PM_ACT_RELU, 3},
                {PM_ACT_SIGMOID, 2.193175735890015},  {PM_ACT_QUICK_GELU, 2.5373872977984636}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        sheet s = new_sheet();
        pm_tensor *in[] = {leaf(&s, PM_F32, DIMS(1), F(1)), leaf(&s, PM_F32, DIMS(1), F(3))};
        expect(&s, op(&s, PM_OP_GLU, 2, in, &(pm_attrs){.act = rows[i].act}), &rows[i].y);
    }
}

/* Within limits of 2: relu(min(a, 2)) * (clamp(b, -2, 2) + 1). */
static void test_limited_glu_by_hand(void **state) {
    (void)state;
    sheet s = new_sheet();
    pm_tensor *in[] = {leaf(&s, PM_F32, DIMS(4), F(1, 3, 3, -1)),
                       leaf(&s, PM_F32, DIMS(4), F(3, 1.5, -5, 1))};
    expect(&s, op(&s, PM_OP_GLU, 2, in, &(pm_attrs){.act = PM_ACT_RELU, .limit = 2}), D(3, 5, -2, 0));
}

static void test_where_by_hand(void **state) {
    (void)state;
    sheet s = new_sheet();
    pm_tensor *cond = leaf(&s, PM_BOOL, DIMS(2, 1), I(1, 0)), *a = leaf(&s, PM_F32, DIMS(2), F(1, 2));
    expect(&s, pm_where(s.g, cond, a, leaf(&s, PM_F32, DIMS(2, 2), F(5, 6, 7, 8))), D(1, 2, 7, 8));
}

static void test_reductions_by_hand(void **state) {
    (void)state;
    const float x[] = {1, 5, -2, 4, 5, -9};
    sheet s = new_sheet();
    expect(&s, pm_sum(s.g, leaf(&s, PM_F32, DIMS(2, 3), x), 1), D(4, 0));
    s = new_sheet();
    expect(&s, pm_sum(s.g, leaf(&s, PM_F32, DIMS(2, 3), x), 0), D(5, 10, -11));
    s = new_sheet();
    expect(&s, pm_mean(s.g, leaf(&s, PM_F32, DIMS(2, 3), x), 1), D(4.0 / 3, 0));
    s = new_sheet();
    expect(&s, pm_reduce_max(s.g, leaf(&s, PM_F32, DIMS(2, 3), x), 0), D(4, 5, -2));
    s = new_sheet();
    expect(&s, pm_argmax(s.g, leaf(&s, PM_F32, DIMS(3, 3), F(1, 5, 5, -2, -2, -3, 0, -1, 4))), D(1, 0, 2));
}

static void test_norms_by_hand(void **state) {
    (void)state;
    sheet s = new_sheet(); /* mean 2, variance 1 */
    pm_tensor *ln[] = {leaf(&s, PM_F32, DIMS(1, 2), F(1, 3)), leaf(&s, PM_F32, DIMS(2), F(2, 3)),
                       leaf(&s, PM_F32, DIMS(2), F(10, 20))};
    expect(&s, op(&s, PM_OP_LAYER_NORM, 3, ln, &(pm_attrs){.eps = 3}), D(9, 21.5));
    s = new_sheet();
    pm_tensor *plain = leaf(&s, PM_F32, DIMS(4), F(1, 1, 5, 5));
    expect(&s, op(&s, PM_OP_LAYER_NORM, 1, &plain, NULL), D(-1, -1, 1, 1));
    s = new_sheet(); /* mean of squares 4 */
    pm_tensor *rms[] = {leaf(&s, PM_F32, DIMS(4), F(2, -2, 2, 2)), leaf(&s, PM_F32, DIMS(4), F(1, 2, 3, 4))};
    expect(&s, op(&s, PM_OP_RMS_NORM, 2, rms, NULL), D(1, -2, 3, 4));
    s = new_sheet();
    rms[0] = leaf(&s, PM_F32, DIMS(4), F(2, -2, 2, 2));
    expect(&s, op(&s, PM_OP_RMS_NORM, 1, rms, &(pm_attrs){.eps = 12}), D(0.5, -0.5, 0.5, 0.5));
}

/* ---- softmax and attention: scores that are logarithms of small whole numbers ---- */

#define LN2 0.693147180559945309f
#define LN3 1.098612288668109691f

static void expect_softmax(const pm_attrs *attrs, const float *x, int operand, pm_dtype type, int rank,
                           const int64_t *dims, const void *values, const double *want) {
    sheet s = new_sheet();
    pm_tensor *in[5] = {leaf(&s, PM_F32, DIMS(2, 3), x)};
    if (operand) in[operand] = leaf(&s, type, rank, dims, values);
    expect(&s, op(&s, PM_OP_SOFTMAX, operand ? operand + 1 : 1, in, attrs), want);
}

static void test_softmax_by_hand(void **state) {
    (void)state;
    const float x[] = {0, LN2, LN3, LN3, LN2, 0}, zeros[6] = {0},
                masked[] = {PM_MASKED, -3e38f, PM_MASKED, 0, PM_MASKED, 0};
    const float half[] = {0, 2 * LN2, 2 * LN3, 0, 0, 0};
    const double third = 1.0 / 3, sixth = 1.0 / 6;
#define NO_OPERAND 0, PM_F32, 0, NULL, NULL
    expect_softmax(NULL, x, NO_OPERAND, D(sixth, 2 * sixth, 0.5, 0.5, 2 * sixth, sixth));
    expect_softmax(NULL, masked, NO_OPERAND, D(0, 0, 0, 0.5, 0, 0.5));
    expect_softmax(&(pm_attrs){.scale = 0.5f}, half, NO_OPERAND,
                   D(sixth, 2 * sixth, 0.5, third, third, third));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_CAUSAL}, x, NO_OPERAND, D(1, 0, 0, 0.6, 0.4, 0));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_CAUSAL | PM_MASK_POSITION}, x, 1, PM_I32, 0, NULL, I(1),
                   D(third, 2 * third, 0, 0.5, 2 * sixth, sixth));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_CAUSAL | PM_MASK_POSITION}, x, 1, PM_I32, 0, NULL, I(-1),
                   D(0, 0, 0, 1, 0, 0));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_CAUSAL | PM_MASK_WINDOW | PM_MASK_POSITION, .window = 2}, x, 1,
                   PM_I32, 0, NULL, I(1), D(third, 2 * third, 0, 0, 2 * third, third));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_LENGTH}, x, 2, PM_I32, 0, NULL, I(2),
                   D(third, 2 * third, 0, 0.6, 0.4, 0));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_LENGTH}, x, 2, PM_I32, DIMS(1), I(0), D(0, 0, 0, 0, 0, 0));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_KEYS}, x, 3, PM_I32, DIMS(1, 3), I(1, 0, 9),
                   D(0.25, 0, 0.75, 0.75, 0, 0.25));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_BIAS}, zeros, 4, PM_F32, DIMS(2, 3), x,
                   D(sixth, 2 * sixth, 0.5, 0.5, 2 * sixth, sixth));
    expect_softmax(&(pm_attrs){.mask = PM_MASK_BIAS}, zeros, 4, PM_F32, DIMS(3), x,
                   D(sixth, 2 * sixth, 0.5, sixth, 2 * sixth, 0.5));
    float capped[6] = {0};
    for (int i = 0; i < 6; i++) capped[i] = (float)(2 * atanh((double)x[i] / 2));
    expect_softmax(&(pm_attrs){.softcap = 2}, capped, NO_OPERAND,
                   D(sixth, 2 * sixth, 0.5, 0.5, 2 * sixth, sixth));
}

/* q of one head and D = 1 is 1, 2: the scores are k and 2k. k is 0, ln 2; v is 3, 6 in group 0 and its double
 * in group 1. */
static pm_tensor *attention_sheet(sheet *s, int64_t n_heads, const pm_attrs *attrs, int n, pm_tensor *last) {
    pm_tensor *in[7] = {leaf(s, PM_F32, DIMS(1, n_heads, 2, 1), F(1, 2, 1, 2, 1, 2, 1, 2)),
                        leaf(s, PM_F32, DIMS(1, 2, 2, 1), F(0, LN2, 0, LN2)),
                        leaf(s, PM_F32, DIMS(1, 2, 2, 1), F(3, 6, 6, 12))};
    if (last) in[n - 1] = last;
    return op(s, PM_OP_ATTENTION, n, in, attrs);
}

static void test_attention_by_hand(void **state) {
    (void)state;
    sheet s = new_sheet();
    expect(&s, attention_sheet(&s, 2, NULL, 3, NULL), D(5, 5.4, 10, 10.8));
    s = new_sheet(); /* two heads a group */
    expect(&s, attention_sheet(&s, 4, NULL, 3, NULL), D(5, 5.4, 5, 5.4, 10, 10.8, 10, 10.8));
    s = new_sheet();
    expect(&s, attention_sheet(&s, 2, &(pm_attrs){.mask = PM_MASK_CAUSAL}, 3, NULL), D(3, 5.4, 6, 10.8));
    s = new_sheet();
    pm_tensor *length = leaf(&s, PM_I32, DIMS(1), I(1));
    expect(&s, attention_sheet(&s, 2, &(pm_attrs){.mask = PM_MASK_LENGTH}, 5, length), D(3, 3, 6, 6));
    s = new_sheet();
    pm_tensor *keys = leaf(&s, PM_BOOL, DIMS(1, 2), I(0, 0));
    expect(&s, attention_sheet(&s, 2, &(pm_attrs){.mask = PM_MASK_KEYS}, 6, keys), D(0, 0, 0, 0));
    s = new_sheet(); /* rows: ln 2 + ln 2, 0; and 0, 2 ln 2 - 2 ln 2 */
    pm_tensor *bias = leaf(&s, PM_F32, DIMS(2, 2), F(2 * LN2, 0, 0, -2 * LN2));
    expect(&s, attention_sheet(&s, 2, &(pm_attrs){.mask = PM_MASK_BIAS}, 7, bias), D(4, 4.5, 8, 9));
    s = new_sheet(); /* a window of one key, at position 1: row 1 stands past the keys */
    pm_tensor *position = leaf(&s, PM_I32, 0, NULL, I(1));
    const pm_attrs window = {.mask = PM_MASK_CAUSAL | PM_MASK_WINDOW | PM_MASK_POSITION, .window = 1};
    expect(&s, attention_sheet(&s, 2, &window, 4, position), D(6, 0, 12, 0));
    s = new_sheet();
    expect(&s, attention_sheet(&s, 2, &(pm_attrs){.scale = 0.5f}, 3, NULL),
           D((3 + 6 * sqrt(2)) / (1 + sqrt(2)), 5, (6 + 12 * sqrt(2)) / (1 + sqrt(2)), 10));
}

/* ---- products and data ---- */

static void test_matmul_by_hand(void **state) {
    (void)state;
    sheet s = new_sheet();
    pm_tensor *in[4] = {leaf(&s, PM_F32, DIMS(2, 2), F(1, 2, 3, 4)),
                        leaf(&s, PM_F32, DIMS(2, 2), F(5, 6, 7, 8))};
    expect(&s, op(&s, PM_OP_MATMUL, 2, in, NULL), D(17, 23, 39, 53));
    s = new_sheet();
    pm_tensor *a = leaf(&s, PM_F32, DIMS(2, 2), F(1, 2, 3, 4)),
              *b = leaf(&s, PM_F32, DIMS(2, 2), F(5, 6, 7, 8));
    expect(&s, pm_matmul(s.g, a, pm_transpose(s.g, b, 0, 1)), D(19, 22, 43, 50));
    s = new_sheet(); /* relu(2 y + bias) + residual */
    in[0] = leaf(&s, PM_F32, DIMS(2, 2), F(1, 2, 3, 4));
    in[1] = leaf(&s, PM_F32, DIMS(2, 2), F(5, 6, 7, 8));
    in[2] = leaf(&s, PM_F32, DIMS(2), F(1, -100));
    in[3] = leaf(&s, PM_F32, DIMS(2, 2), F(100, 200, 300, 400));
    expect(&s, op(&s, PM_OP_MATMUL, 4, in, &(pm_attrs){.scale = 2, .act = PM_ACT_RELU}),
           D(135, 200, 379, 406));
    s = new_sheet(); /* leading dims broadcast */
    in[0] = leaf(&s, PM_F32, DIMS(2, 1, 1, 2), F(1, 2, 3, 4));
    in[1] = leaf(&s, PM_F32, DIMS(2, 1, 2), F(1, 0, 0, 1));
    expect(&s, op(&s, PM_OP_MATMUL, 2, in, NULL), D(1, 2, 3, 4));
}

static void test_data_by_hand(void **state) {
    (void)state;
    sheet s = new_sheet();
    pm_tensor *table = leaf(&s, PM_F32, DIMS(3, 2), F(1, 2, 3, 4, 5, 6));
    expect(&s, pm_gather(s.g, table, leaf(&s, PM_I32, DIMS(4), I(2, -1, 3, 0))), D(5, 6, 0, 0, 0, 0, 1, 2));
    s = new_sheet();
    pm_tensor *parts[] = {leaf(&s, PM_F32, DIMS(2, 1), F(1, 2)), leaf(&s, PM_F32, DIMS(2, 2), F(3, 4, 5, 6))};
    expect(&s, pm_concat(s.g, 2, parts, 1), D(1, 3, 4, 2, 5, 6));
    s = new_sheet(); /* the state begins as zeros; the last row falls off its end */
    pm_tensor *cache = pm_state(s.g, "cache", PM_F32, 4, (int64_t[]){1, 2, 3, 1});
    pm_tensor *rows = leaf(&s, PM_F32, DIMS(1, 2, 2, 1), F(1, 2, 3, 4));
    expect(&s, pm_cache_write(s.g, cache, rows, leaf(&s, PM_I32, 0, NULL, I(2))), D(0, 0, 1, 0, 0, 3));
    s = new_sheet(); /* a quarter turn of t = 0, none of t = 1 */
    pm_tensor *in[] = {leaf(&s, PM_F32, DIMS(1, 1, 2, 4), F(1, 2, 3, 4, 5, 6, 7, 8)),
                       leaf(&s, PM_F32, DIMS(2, 4), F(0, 0, 0, 0, 1, 1, 1, 1)),
                       leaf(&s, PM_F32, DIMS(2, 4), F(1, 1, 1, 1, 0, 0, 0, 0))};
    expect(&s, op(&s, PM_OP_ROTARY, 3, in, NULL), D(-3, -4, 1, 2, 5, 6, 7, 8));
}

/* ---- the bounds ---- */

/* A dot product of K terms may be off by as much as its two chains may lose and the roundings after it, not by more. */
static void test_matmul_bound(void **state) {
    (void)state;
    enum { K = 1000 };
    static float a[K], b[K];
    float y = 0, bound = -1;
    for (int i = 0; i < K; i++) a[i] = 1, b[i] = i % 2 ? -1 : 1;
    const pm_matmul_params p = {.m = 1,
                                .n = 1,
                                .k = K,
                                .batch = {1, 1, 1},
                                .a_m = K,
                                .a_k = 1,
                                .b_n = K,
                                .b_k = 1,
                                .y_m = 1,
                                .scale = 1};
    const uint32_t spec[PM_N_SPEC] = {0};
    const pm_call call = {.params = &p, .spec = spec, .in = {a, b, a, a}, .out = &y, .bound = &bound};
    pm_reference_kernel(PM_KERNEL_MATMUL)->run(&call, 0, 1);
    const double unit = ldexp(1, -24);
    assert_true(y == 0.0f);
    assert_true((double)bound >= 15.8 * unit * K &&
                (double)bound <= 15.9 * unit * K); /* sqrt(K) / 2; of magnitudes, not of the sum */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_table),
        cmocka_unit_test(test_cpu_table_on_one_thread),
        cmocka_unit_test(test_cpu_table_on_seven_threads),
        cmocka_unit_test(test_reference_table),
        cmocka_unit_test(test_table_with_poison),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_table_notices_spoiled_kernels),
        cmocka_unit_test(test_unary_by_hand),
        cmocka_unit_test(test_binary_by_hand),
        cmocka_unit_test(test_glu_by_hand),
        cmocka_unit_test(test_limited_glu_by_hand),
        cmocka_unit_test(test_where_by_hand),
        cmocka_unit_test(test_reductions_by_hand),
        cmocka_unit_test(test_norms_by_hand),
        cmocka_unit_test(test_softmax_by_hand),
        cmocka_unit_test(test_attention_by_hand),
        cmocka_unit_test(test_matmul_by_hand),
        cmocka_unit_test(test_data_by_hand),
        cmocka_unit_test(test_matmul_bound),
    };
    return run_all_tests(tests);
}
