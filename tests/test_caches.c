/* Columns of a product that its kernel writes to caches (graph/caches.h): where that is done and where it must not be, that it
 * changes no result, also where the product runs in parts. */
#include "tests/support_run_both.h"

#include "graph/compile.h"
#include "runtime/executor.h"
#include "shaders/matmul.params.h"

/* ---- what is done, and what is not ---- */

/* rows 2, width 3; queries, keys and values of two heads of size 2 */
#define PRODUCT                                                                                              \
    "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[12,3]\n%2 = param \"p\" i32[]\n"                     \
    "%3 = state \"k\" f32[1,2,8,2]\n%4 = state \"v\" f32[1,2,8,2]\n"                                         \
    "%5 = matmul(%0, %1) f32[1,2,12]\n"
#define QUERIES "%6 = slice(%5) {axis=2, length=4} f32[1,2,4]\n%7 = exp(%6) f32[1,2,4]\n"
#define KEYS                                                                                                 \
    "%8 = slice(%5) {axis=2, start=4, length=4} f32[1,2,4]\n%9 = reshape(%8) {dims=[1,2,2,2]} "              \
    "f32[1,2,2,2]\n%10 = permute(%9) {axes=[0,2,1,3]} f32[1,2,2,2]\n"
#define VALUES                                                                                               \
    "%11 = slice(%5) {axis=2, start=8, length=4} f32[1,2,4]\n%12 = reshape(%11) {dims=[1,2,2,2]} "           \
    "f32[1,2,2,2]\n%13 = permute(%12) {axes=[0,2,1,3]} f32[1,2,2,2]\n"
#define WRITES "%14 = cache_write(%3, %10, %2) f32[1,2,8,2]\n%15 = cache_write(%4, %13, %2) f32[1,2,8,2]\n"
#define OUT    "output \"y\" %7\n"

static const struct {
    const char *what, *text;
    uint32_t n_caches, n_writes; /* of the product; dispatches of cache_write */
    bool gone;                   /* the product's result has no room */
} cases[] = {
    {"keys and values", PRODUCT QUERIES KEYS VALUES WRITES OUT, 2, 0, false},
    {"nothing stays",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,2]\n%4 = matmul(%0, %1) f32[1,2,4]\n"
     "%5 = reshape(%4) {dims=[1,2,2,2]} f32[1,2,2,2]\n%6 = permute(%5) {axes=[0,2,1,3]} f32[1,2,2,2]\n"
     "%7 = cache_write(%3, %6, %2) f32[1,2,8,2]\n%8 = exp(%7) f32[1,2,8,2]\noutput \"y\" %8\n",
     1, 0, true},
    {"columns that nobody reads are written somewhere",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[6,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,2]\n%4 = matmul(%0, %1) f32[1,2,6]\n"
     "%5 = slice(%4) {axis=2, length=4} f32[1,2,4]\n%6 = reshape(%5) {dims=[1,2,2,2]} f32[1,2,2,2]\n"
     "%7 = permute(%6) {axes=[0,2,1,3]} f32[1,2,2,2]\n%8 = cache_write(%3, %7, %2) f32[1,2,8,2]\n"
     "%9 = exp(%8) f32[1,2,8,2]\noutput \"y\" %9\n",
     1, 0, false},
    {"the values are an output, too",
     PRODUCT QUERIES KEYS VALUES WRITES "%16 = copy(%11) f32[1,2,4]\noutput \"v\" %16\n" OUT, 1, 1, false},
    {"all of the product is an output", PRODUCT QUERIES KEYS VALUES WRITES "output \"x\" %5\n" OUT, 0, 2,
     false},
    {"one column of the keys is read elsewhere",
     PRODUCT QUERIES KEYS VALUES WRITES
     "%16 = slice(%5) {axis=2, start=7, length=1} f32[1,2,1]\n%17 = exp(%16) f32[1,2,1]\noutput \"c\" %17\n" OUT,
     1, 1, false},
    {"the column before the keys is read elsewhere",
     PRODUCT QUERIES KEYS VALUES WRITES
     "%16 = slice(%5) {axis=2, start=3, length=1} f32[1,2,1]\n%17 = exp(%16) f32[1,2,1]\noutput \"c\" %17\n" OUT,
     2, 0, false},
    {"rows from the second on are written",
     PRODUCT QUERIES KEYS VALUES
     "%14 = slice(%10) {axis=2, start=1, length=1} f32[1,2,1,2]\n"
     "%15 = cache_write(%3, %14, %2) f32[1,2,8,2]\n%16 = cache_write(%4, %13, %2) f32[1,2,8,2]\n" OUT,
     1, 1, false},
    {"the state is read between product and write",
     PRODUCT QUERIES KEYS VALUES "%14 = exp(%3) f32[1,2,8,2]\n%15 = cache_write(%3, %10, %2) f32[1,2,8,2]\n"
                                 "%16 = cache_write(%4, %13, %2) f32[1,2,8,2]\noutput \"before\" %14\n" OUT,
     1, 1, false},
    {"one state twice",
     PRODUCT QUERIES KEYS VALUES "%14 = const i32[] data[1]\n%15 = cache_write(%3, %10, %2) f32[1,2,8,2]\n"
                                 "%16 = cache_write(%15, %13, %14) f32[1,2,8,2]\n" OUT,
     1, 1, false},
    {"two positions",
     PRODUCT QUERIES KEYS VALUES "%14 = const i32[] data[1]\n%15 = cache_write(%3, %10, %2) f32[1,2,8,2]\n"
                                 "%16 = cache_write(%4, %13, %14) f32[1,2,8,2]\n" OUT,
     1, 1, false},
    {"the position is computed behind the product",
     PRODUCT QUERIES KEYS VALUES
     "%14 = to_i32(%7) i32[1,2,4]\n%15 = slice(%14) {axis=2, length=1} i32[1,2,1]\n"
     "%16 = slice(%15) {axis=1, length=1} i32[1,1,1]\n"
     "%17 = reshape(%16) i32[]\n%18 = cache_write(%3, %10, %17) f32[1,2,8,2]\n" OUT,
     0, 1, false},
    {"the position is written to a state behind the product",
     PRODUCT QUERIES KEYS VALUES
     "%14 = input \"next\" i32[1,1,1,1]\n%15 = const i32[] data[0]\n%16 = state \"at\" i32[1,1,1,1]\n"
     "%17 = cache_write(%16, %14, %15) i32[1,1,1,1]\n%18 = reshape(%17) i32[]\n"
     "%19 = cache_write(%3, %10, %18) f32[1,2,8,2]\n%20 = cache_write(%4, %13, %18) f32[1,2,8,2]\n"
     "output \"k\" %19\noutput \"v\" %20\n" OUT,
     0, 3, false},
    {"heads in turn: each has queries, keys and values",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[12,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,2]\n%4 = state \"v\" f32[1,2,8,2]\n%5 = matmul(%0, %1) f32[1,2,12]\n"
     "%6 = reshape(%5) {dims=[1,2,2,3,2]} f32[1,2,2,3,2]\n"
     "%7 = slice(%6) {axis=3, start=1, length=1} f32[1,2,2,1,2]\n"
     "%8 = permute(%7) {axes=[0,2,1,3,4]} f32[1,2,2,1,2]\n%9 = reshape(%8) {dims=[1,2,2,2]} f32[1,2,2,2]\n"
     "%10 = slice(%6) {axis=3, start=2, length=1} f32[1,2,2,1,2]\n"
     "%11 = permute(%10) {axes=[0,2,1,3,4]} f32[1,2,2,1,2]\n%12 = reshape(%11) {dims=[1,2,2,2]} f32[1,2,2,2]\n"
     "%13 = cache_write(%3, %9, %2) f32[1,2,8,2]\n%14 = cache_write(%4, %12, %2) f32[1,2,8,2]\n"
     "%15 = slice(%6) {axis=3, length=1} f32[1,2,2,1,2]\n%16 = exp(%15) f32[1,2,2,1,2]\noutput \"y\" %16\n",
     2, 0, false},
    {"columns in another order: the size of heads before the heads",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,2]\n%4 = matmul(%0, %1) f32[1,2,4]\n"
     "%5 = reshape(%4) {dims=[1,2,2,2]} f32[1,2,2,2]\n%6 = permute(%5) {axes=[0,3,1,2]} f32[1,2,2,2]\n"
     "%7 = cache_write(%3, %6, %2) f32[1,2,8,2]\n%8 = exp(%7) f32[1,2,8,2]\noutput \"y\" %8\n",
     0, 1, false},
    {"a product with a residual",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,2]\n%4 = input \"r\" f32[1,2,4]\n%5 = matmul(%0, %1, _, %4) f32[1,2,4]\n"
     "%6 = reshape(%5) {dims=[1,2,2,2]} f32[1,2,2,2]\n%7 = permute(%6) {axes=[0,2,1,3]} f32[1,2,2,2]\n"
     "%8 = cache_write(%3, %7, %2) f32[1,2,8,2]\n%9 = exp(%8) f32[1,2,8,2]\noutput \"y\" %9\n",
     0, 1, false},
    {"a product of batches",
     "%0 = input \"x\" f32[2,2,3]\n%1 = weight \"w\" f32[2,4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[2,2,8,2]\n%4 = matmul(%0, %1) f32[2,2,4]\n"
     "%5 = reshape(%4) {dims=[2,2,2,2]} f32[2,2,2,2]\n%6 = permute(%5) {axes=[0,2,1,3]} f32[2,2,2,2]\n"
     "%7 = cache_write(%3, %6, %2) f32[2,2,8,2]\n%8 = exp(%7) f32[2,2,8,2]\noutput \"y\" %8\n",
     0, 1, false},
    {"caches of different lengths",
     PRODUCT QUERIES KEYS VALUES
     "%14 = state \"long\" f32[1,2,9,2]\n%15 = cache_write(%3, %10, %2) f32[1,2,8,2]\n"
     "%16 = cache_write(%14, %13, %2) f32[1,2,9,2]\n" OUT,
     1, 1, false},
    {"elements across rows are read elsewhere",
     PRODUCT QUERIES KEYS VALUES WRITES
     "%16 = reshape(%5) {dims=[24]} f32[24]\n%17 = slice(%16) {start=10, length=10} f32[10]\n"
     "%18 = exp(%17) f32[10]\noutput \"c\" %18\n" OUT,
     0, 2, false},
    {"the first sequence of two",
     "%0 = input \"x\" f32[2,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,2]\n%4 = matmul(%0, %1) f32[2,2,4]\n%5 = slice(%4) {length=1} f32[1,2,4]\n"
     "%6 = reshape(%5) {dims=[1,2,2,2]} f32[1,2,2,2]\n%7 = permute(%6) {axes=[0,2,1,3]} f32[1,2,2,2]\n"
     "%8 = cache_write(%3, %7, %2) f32[1,2,8,2]\n%9 = exp(%8) f32[1,2,8,2]\noutput \"y\" %9\n",
     0, 1, false},
    {"one row for all tokens",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,1,8,4]\n%4 = matmul(%0, %1) f32[1,2,4]\n"
     "%5 = slice(%4) {axis=1, length=1} f32[1,1,4]\n%6 = expand(%5) {dims=[1,1,2,4]} f32[1,1,2,4]\n"
     "%7 = cache_write(%3, %6, %2) f32[1,1,8,4]\n%8 = exp(%7) f32[1,1,8,4]\noutput \"y\" %8\n",
     0, 1, false},
    {"one sequence for all of two, but one of its two rows",
     "%0 = input \"x\" f32[2,1,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[2,1,8,4]\n%4 = matmul(%0, %1) f32[2,1,4]\n%5 = slice(%4) {length=1} f32[1,1,4]\n"
     "%6 = expand(%5) {dims=[2,1,1,4]} f32[2,1,1,4]\n%7 = cache_write(%3, %6, %2) f32[2,1,8,4]\n"
     "%8 = exp(%7) f32[2,1,8,4]\noutput \"y\" %8\n",
     0, 1, false},
    {"one sequence for two",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[2,1,8,4]\n%4 = matmul(%0, %1) f32[1,2,4]\n"
     "%5 = expand(%4) {dims=[2,1,2,4]} f32[2,1,2,4]\n%6 = cache_write(%3, %5, %2) f32[2,1,8,4]\n"
     "%7 = exp(%6) f32[2,1,8,4]\noutput \"y\" %7\n",
     1, 0, true},
    {"one sequence for two, and two columns for themselves",
     "%0 = input \"x\" f32[2,1,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[2,1,8,2]\n%4 = state \"v\" f32[2,1,8,2]\n%5 = matmul(%0, %1) f32[2,1,4]\n"
     "%6 = slice(%5) {axis=2, length=2} f32[2,1,2]\n%7 = slice(%6) {length=1} f32[1,1,2]\n"
     "%8 = expand(%7) {dims=[2,1,1,2]} f32[2,1,1,2]\n%9 = slice(%5) {axis=2, start=2, length=2} f32[2,1,2]\n"
     "%10 = reshape(%9) {dims=[2,1,1,2]} f32[2,1,1,2]\n%11 = cache_write(%3, %8, %2) f32[2,1,8,2]\n"
     "%12 = cache_write(%4, %10, %2) f32[2,1,8,2]\n%13 = exp(%11) f32[2,1,8,2]\n"
     "%14 = exp(%12) f32[2,1,8,2]\noutput \"y\" %13\noutput \"z\" %14\n",
     1, 1, false},
    {"every second column",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[8,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,1,8,4]\n%4 = matmul(%0, %1) f32[1,2,8]\n"
     "%5 = reshape(%4) {dims=[1,2,4,2]} f32[1,2,4,2]\n%6 = slice(%5) {axis=3, length=1} f32[1,2,4,1]\n"
     "%7 = permute(%6) {axes=[0,3,1,2]} f32[1,1,2,4]\n%8 = cache_write(%3, %7, %2) f32[1,1,8,4]\n"
     "%9 = exp(%8) f32[1,1,8,4]\noutput \"y\" %9\n",
     0, 1, false},
    {"one head for two",
     "%0 = input \"x\" f32[1,2,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[1,2,8,4]\n%4 = matmul(%0, %1) f32[1,2,4]\n"
     "%5 = expand(%4) {dims=[1,2,2,4]} f32[1,2,2,4]\n%6 = cache_write(%3, %5, %2) f32[1,2,8,4]\n"
     "%7 = exp(%6) f32[1,2,8,4]\noutput \"y\" %7\n",
     0, 1, false},
    {"rows that are not evenly spaced",
     "%0 = input \"x\" f32[2,3,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[3,1,8,4]\n%4 = permute(%0) {axes=[1,0,2]} f32[3,2,3]\n"
     "%5 = matmul(%4, %1) f32[3,2,4]\n%6 = reshape(%5) {dims=[3,1,2,4]} f32[3,1,2,4]\n"
     "%7 = cache_write(%3, %6, %2) f32[3,1,8,4]\n%8 = exp(%7) f32[3,1,8,4]\noutput \"y\" %8\n",
     0, 1, false},
    {"a product that lies in another order",
     "%0 = input \"x\" f32[2,3,3]\n%1 = weight \"w\" f32[4,3]\n%2 = param \"p\" i32[]\n"
     "%3 = state \"k\" f32[3,1,8,4]\n%4 = matmul(%0, %1) f32[2,3,4] strides[4,8,1]\n"
     "%5 = permute(%4) {axes=[1,0,2]} f32[3,2,4]\n%6 = reshape(%5) {dims=[3,1,2,4]} f32[3,1,2,4]\n"
     "%7 = cache_write(%3, %6, %2) f32[3,1,8,4]\n%8 = exp(%7) f32[3,1,8,4]\noutput \"y\" %8\n",
     0, 1, false},
    {"keys that are turned",
     PRODUCT QUERIES KEYS VALUES
     "%14 = weight \"c\" f32[2,2]\n%15 = weight \"s\" f32[2,2]\n"
     "%16 = cache_write(%3, %10, %2, %14, %15) f32[1,2,8,2]\n%17 = cache_write(%4, %13, %2) f32[1,2,8,2]\n" OUT,
     1, 1, false},
};

static pm_graph *parse(const char *text) {
    char whole[4096];
    pm_graph *g;
    snprintf(whole, sizeof whole, "graph \"g\"\n%s", text);
    assert_ok(pm_graph_parse(whole, &g));
    return g;
}

static void test_where(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        uint32_t n_writes = 0, n_caches = 0;
        bool gone = false;
        pm_program *p;
        pm_graph *g = parse(cases[i].text);
        assert_ok(pm_compile(g, NULL, &p));
        for (uint32_t k = 0; k < p->n_dispatches; k++) {
            const pm_dispatch *d = &p->dispatches[k];
            n_writes += d->kernel == PM_KERNEL_CACHE_WRITE;
            if (d->kernel != PM_KERNEL_MATMUL) continue;
            n_caches += d->spec[PM_SPEC_CACHES];
            gone |= d->unused >> (d->n_bindings - 1) & 1;
            assert_int_equal(d->written >> (d->n_bindings - 1) & 1, !(d->unused >> (d->n_bindings - 1) & 1));
        }
        if (n_writes != cases[i].n_writes || n_caches != cases[i].n_caches || gone != cases[i].gone)
            fail_msg("%s: %u caches of products, %u writes, the result is %s", cases[i].what, n_caches,
                     n_writes, gone ? "gone" : "there");
        for (int32_t at = -1; at < 9; at += 3) assert_true(test_run_both(g, NULL, i, at) > 0);
        pm_program_destroy(p);
        pm_graph_destroy(g);
    }
}

/* ---- random products ---- */

enum { N_GRAPHS = 1500 };

typedef struct gen {
    pm_graph *g;
    test_rng *r;
    int64_t b, t, g_heads, d, s;
} gen;

static uint32_t below(gen *n, uint32_t limit) {
    return test_below(n->r, limit);
}

/* Of the product, from a random column on, heads one behind the other or apart; NULL: they do not fit. */
static pm_tensor *heads(gen *n, pm_tensor *product, int64_t n_columns) {
    int64_t parts = 1 + below(n, 3), wide = n->g_heads * parts * n->d;
    if (wide > n_columns) return NULL;
    int64_t first = below(n, (uint32_t)(n_columns - wide) + 1), part = below(n, (uint32_t)parts);
    pm_tensor *x = pm_slice(n->g, product, -1, first, wide);
    x = pm_reshape(n->g, x, 5, (int64_t[]){n->b, n->t, n->g_heads, parts, n->d});
    x = pm_transpose(n->g, pm_slice(n->g, x, 3, part, 1), 1, 2);
    return pm_reshape(n->g, x, 4, (int64_t[]){n->b, n->g_heads, n->t, n->d});
}

static pm_tensor *position(gen *n) {
    pm_tensor *p = below(n, 4) ? pm_param(n->g, "p") : pm_input(n->g, "positions", PM_I32, 1, &n->b);
    return below(n, 4) ? p : pm_add(n->g, p, pm_const_i32(n->g, 1));
}

/* Writes of columns, which may overlap, into states, which may be the same, and reads of both in between. */
static pm_graph *random_writes(test_rng *r) {
    gen of = {.r = r}, *n = &of;
    assert_ok(pm_graph_create("random", &n->g));
    n->b = 1 + below(n, 2), n->t = 1 + below(n, 3), n->g_heads = 1 + below(n, 2), n->d = 1 + below(n, 3);
    n->s = n->t + below(n, 4);
    int64_t n_columns = below(n, 2) ? 2 + below(n, 24) : n->g_heads * n->d * (1 + below(n, 2)),
            k = 1 + below(n, 4);
    pm_tensor *a = pm_input(n->g, "a", PM_F32, 3, (int64_t[]){n->b, n->t, k});
    pm_tensor *y = pm_matmul(n->g, a, pm_weight(n->g, "w", PM_F32, 2, (int64_t[]){n_columns, k}));
    pm_tensor *states[3], *p = position(n);
    char name[16];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "s%d", i);
        states[i] = pm_state(n->g, name, PM_F32, 4, (int64_t[]){n->b, n->g_heads, n->s, n->d});
    }
    if (below(n, 3) == 0) y = pm_relu(n->g, y);
    for (int i = 0, n_outputs = 0; i < 5; i++) {
        uint32_t which = below(n, 3);
        pm_tensor *x = heads(n, y, n_columns);
        snprintf(name, sizeof name, "y%d", n_outputs);
        switch (below(n, 7)) {
        case 0: pm_output(n->g, name, pm_neg(n->g, states[which])), n_outputs++; break;
        case 1: pm_output(n->g, name, pm_neg(n->g, x ? x : y)), n_outputs++; break;
        default:
            if (x) states[which] = pm_cache_write(n->g, states[which], x, below(n, 5) ? p : position(n));
        }
    }
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "s%d", i);
        pm_output(n->g, name, pm_neg(n->g, states[i]));
    }
    assert_ok(pm_graph_status(n->g));
    return n->g;
}

static void test_random_writes(void **state) {
    test_rng r = {41};
    uint64_t n_compared = 0, n_caches = 0, n_gone = 0;
    (void)state;
    for (int i = 0; i < N_GRAPHS; i++) {
        pm_graph *g = random_writes(&r);
        pm_program *p;
        assert_ok(pm_compile(g, NULL, &p));
        for (uint32_t k = 0; k < p->n_dispatches; k++) {
            if (p->dispatches[k].kernel != PM_KERNEL_MATMUL) continue;
            n_caches += p->dispatches[k].spec[PM_SPEC_CACHES];
            n_gone += p->dispatches[k].unused >> (p->dispatches[k].n_bindings - 1) & 1;
        }
        n_compared += test_run_both(g, NULL, (uint64_t)i, (int32_t)test_below(&r, 9) - 2);
        pm_program_destroy(p);
        pm_graph_destroy(g);
    }
    print_message("%llu caches of products, %llu results gone, %llu elements\n", (unsigned long long)n_caches,
                  (unsigned long long)n_gone, (unsigned long long)n_compared);
    assert_true(n_caches > N_GRAPHS / 5 && n_gone > 20);
}

/* ---- parts ---- */

enum { HEADS = 5, SIZE = 16, N = 3 * HEADS * SIZE, WIDTH = 24, SLOTS = 11, TOKENS = 3 };

typedef struct joint_size {
    int64_t batch, n_tokens, width;
} joint_size;

/* Queries, keys and values; the weight is larger than a binding. */
static pm_graph *joint(joint_size n) {
    pm_graph *g;
    pm_tensor *part[3];
    assert_ok(pm_graph_create("joint", &g));
    pm_tensor *y = pm_matmul(g, pm_input(g, "a", PM_F32, 3, (int64_t[]){n.batch, n.n_tokens, n.width}),
                             pm_weight(g, "w", PM_F32, 2, (int64_t[]){N, n.width}));
    for (int i = 0; i < 3; i++)
        part[i] = pm_transpose(g,
                               pm_reshape(g, pm_slice(g, y, 2, i * HEADS * SIZE, HEADS * SIZE), 4,
                                          (int64_t[]){n.batch, n.n_tokens, HEADS, SIZE}),
                               1, 2);
    pm_output(g, "q", pm_copy(g, part[0]));
    for (int i = 1; i < 3; i++) {
        const char *name = i == 1 ? "k" : "v";
        pm_tensor *cache = pm_state(g, name, PM_F32, 4, (int64_t[]){n.batch, HEADS, SLOTS, SIZE});
        cache = pm_cache_write(g, cache, part[i], pm_param(g, "p"));
        pm_output(g, name, pm_neg(g, cache));
    }
    assert_ok(pm_graph_status(g));
    return g;
}

static void test_parts(void **state) {
    pm_caps caps;
    pm_program *p;
    pm_graph *g = joint((joint_size){1, TOKENS, WIDTH});
    uint32_t n_parts = 0, n_caches[4] = {0};
    (void)state;
    pm_caps_baseline(&caps);
    caps.max_binding_bytes =
        64 * WIDTH * 4 + caps.binding_alignment; /* 64 rows: keys begin within the second part */
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = &caps}, &p));
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        if (p->dispatches[i].kernel == PM_KERNEL_MATMUL && n_parts < 4)
            n_caches[n_parts++] = p->dispatches[i].spec[PM_SPEC_CACHES];
    assert_int_equal(n_parts, 4);
    assert_int_equal(n_caches[0], 0); /* columns 0 .. 63: queries */
    assert_int_equal(n_caches[1], 1); /* .. 127: queries and keys */
    assert_int_equal(n_caches[2], 2); /* .. 191: keys and values */
    assert_int_equal(n_caches[3], 1); /* .. 239: values */
    assert_int_equal(p->n_copies, 1); /* the queries' */
    for (int32_t at = 0; at < SLOTS; at += 4) assert_true(test_run_both(g, &caps, 3, at) > 0);
    pm_program_destroy(p);
    pm_graph_destroy(g);
}

/* One word more than a binding holds: a cut goes elsewhere through the product than through the cache, so each is cut for itself. */
static void test_larger_than_bindings(void **state) {
    static const struct {
        joint_size size;
        uint64_t bytes; /* of the largest operand */
    } large[] = {
        {{1, 10, WIDTH}, 4 * 10 * N},                       /* the result */
        {{1, 10, 300}, 4 * 10 * 300},                       /* the rows */
        {{2, TOKENS, WIDTH}, 4 * 2 * HEADS * SLOTS * SIZE}, /* the caches */
    };
    (void)state;
    for (size_t i = 0; i < PM_COUNT(large); i++) {
        pm_graph *g = joint(large[i].size);
        for (uint32_t less = 0; less < 8; less += 4) {
            uint32_t n_caches = 0;
            pm_caps caps;
            pm_program *p;
            pm_caps_baseline(&caps);
            caps.max_binding_bytes = large[i].bytes + caps.binding_alignment - less;
            assert_ok(pm_compile(g, &(pm_compile_options){.caps = &caps}, &p));
            for (uint32_t k = 0; k < p->n_dispatches; k++)
                n_caches +=
                    p->dispatches[k].kernel == PM_KERNEL_MATMUL ? p->dispatches[k].spec[PM_SPEC_CACHES] : 0;
            assert_true(less ? n_caches == 0 : n_caches >= 2);
            assert_true(test_run_both(g, &caps, 5, 1) > 0);
            pm_program_destroy(p);
        }
        pm_graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_random_writes),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_larger_than_bindings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
