/* Cases of the kernel sample. A row chooses once, so there are many rows, alike or not, whose counts differ. */
#include <math.h>

#include "models/sample.h"
#include "tests/support_ops.h"

/* What size[2] names. The wild ones come from no options. */
enum {
    PLAIN,
    TOP_K,
    TOP_P,
    MIN_P,
    ALL,
    COLD,
    HOT,
    HOT_TOP_K,
    NARROW_P,
    EQUAL_P,
    MOST_P,
    MUCH_K,
    ZEROS,
    ONES,
    N_SETTINGS
};
static const pm_generate_options options[N_SETTINGS] = {
    [PLAIN] = {.seed = 1},
    [TOP_K] = {.top_k = 5, .temperature = 0.7f, .seed = 2},
    [TOP_P] = {.top_p = 0.9f, .seed = 0xfedcba9876543210u},
    [MIN_P] = {.min_p = 0.05f, .seed = 4},
    [ALL] = {.temperature = 1.3f, .top_k = 700, .top_p = 0.6f, .min_p = 1e-3f, .seed = 5},
    [COLD] = {.temperature = 1e-30f, .seed = 6},
    [HOT] = {.temperature = 1e30f, .seed = 7},
    [HOT_TOP_K] = {.temperature = 1e6f, .top_k = 3, .seed = 8},
    [NARROW_P] = {.top_p = 1e-20f, .seed = 9},
    [EQUAL_P] = {.top_p = 0.5f, .min_p = 1, .seed = 10},
    [MOST_P] = {.top_p = 0.99999994f, .temperature = 3, .seed = 11},
    [MUCH_K] = {.top_k = 20000, .temperature = 2, .seed = 12},
};

static pm_tensor *settings_of(pm_graph *g, int64_t which) {
    uint32_t words[PM_SAMPLE_WORDS];
    const int64_t n = PM_SAMPLE_WORDS;
    memset(words, which == ZEROS ? 0 : 0xff, sizeof words);
    if (which < ZEROS) pm_sampling_words(&options[which], words);
    return pm_const_data(g, PM_I32, 1, &n, words);
}

/* x[size[0], size[1]] */
static pm_tensor *sample_of(pm_graph *g, const test_op_case *c, pm_tensor *x) {
    return pm_sample(g, x, settings_of(g, c->size[2]), pm_input(g, "count", PM_I32, 1, c->size));
}

static pm_tensor *sample(pm_graph *g, const test_op_case *c) {
    return sample_of(g, c, pm_input(g, "x", PM_F32, 2, c->size));
}

/* all rows are one */
static pm_tensor *sample_alike(pm_graph *g, const test_op_case *c) {
    return sample_of(g, c, pm_expand(g, pm_input(g, "x", PM_F32, 1, c->size + 1), 2, c->size));
}

/* the rows are columns, of which every second is one */
static pm_tensor *sample_turned(pm_graph *g, const test_op_case *c) {
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){c->size[1], c->size[0], 2});
    return sample_of(
        g, c,
        pm_transpose(g, pm_reshape(g, pm_slice(g, x, 2, 1, 1), 2, (int64_t[]){c->size[1], c->size[0]}), 0,
                     1));
}

/* rows of two dims, each with settings of its own and a count among other words; and all with one count */
static pm_tensor *sample_own(pm_graph *g, const test_op_case *c) {
    const int64_t rows = 2 * c->size[0];
    pm_tensor *x = pm_input(g, "x", PM_F32, 3, (int64_t[]){2, c->size[0], c->size[1]}), *own[8];
    for (int64_t i = 0; i < rows; i++)
        own[i] = pm_reshape(g, settings_of(g, c->size[2] + i), 2, (int64_t[]){1, PM_SAMPLE_WORDS});
    pm_tensor *settings = pm_concat(g, (int)rows, own, 0),
              *words = pm_input(g, "count", PM_I32, 2, (int64_t[]){rows, 5});
    pm_tensor *many = pm_sample(g, x, settings, pm_slice(g, words, 1, 3, 1));
    return pm_add(g, many, pm_sample(g, x, settings, pm_slice(g, pm_slice(g, words, 1, 2, 1), 0, 1, 1)));
}

/* a row is the leaf `all`, the rest of it x */
static pm_tensor *sample_among(pm_graph *g, const test_op_case *c) {
    const int64_t n = c->size[1] - c->size[3];
    pm_tensor *parts[] = {pm_expand(g, pm_input(g, "all", PM_F32, 0, NULL), 2, (int64_t[]){c->size[0], n}),
                          pm_input(g, "x", PM_F32, 2, (int64_t[]){c->size[0], c->size[3]})};
    return sample_of(g, c, pm_concat(g, 2, parts, 1));
}

/* ---- the table: rows, columns, settings ---- */

#define SAMPLE(text, how, fill, low, high, ...)                                                              \
    {                                                                                                        \
        .name = "sample " text, .build = sample##how, .size = {__VA_ARGS__}, .hints = {                      \
            {"x", fill, low, high},                                                                          \
            {"count", TEST_RAMP, -3, 100000}                                                                 \
        }                                                                                                    \
    }
/* size[3] columns of x behind others that are all `value` */
#define AMONG(text, value, low, high, ...)                                                                   \
    {                                                                                                        \
        .name = "sample " text, .build = sample_among, .size = {__VA_ARGS__}, .hints = {                     \
            {"x", TEST_UNIFORM, low, high},                                                                  \
            {"all", TEST_UNIFORM, value, value},                                                             \
            {"count", TEST_RAMP, 0, 100000}                                                                  \
        }                                                                                                    \
    }

static const test_op_case cases[] = {
    SAMPLE("one column", , TEST_HARD, -4, 4, 5, 1, ALL),
    SAMPLE("two columns", , TEST_HARD, -4, 4, 65, 2, PLAIN),
    SAMPLE("63", , TEST_HARD, -4, 4, 17, 63, TOP_K),
    SAMPLE("64", , TEST_HARD, -4, 4, 17, 64, TOP_P),
    SAMPLE("65", , TEST_HARD, -4, 4, 17, 65, MIN_P),
    SAMPLE("257, top k", , TEST_HARD, -9, 9, 33, 257, TOP_K),
    SAMPLE("257, all", , TEST_HARD, -9, 9, 33, 257, ALL),
    SAMPLE("alike", _alike, TEST_HARD, -4, 4, 129, 77, PLAIN),
    SAMPLE("turned", _turned, TEST_HARD, -4, 4, 9, 77, TOP_P),
    SAMPLE("own settings", _own, TEST_HARD, -4, 4, 4, 130, PLAIN),
    SAMPLE("own settings, others", _own, TEST_HARD, -4, 4, 3, 1030, COLD),
    SAMPLE("1023", , TEST_HARD, -4, 4, 9, 1023, MIN_P),
    SAMPLE("1024", , TEST_HARD, -4, 4, 9, 1024, TOP_P),
    SAMPLE("1025", , TEST_HARD, -4, 4, 9, 1025, TOP_P),
    SAMPLE("1025, top k", , TEST_HARD, -20, 20, 9, 1025, TOP_K),

    SAMPLE("flat", , TEST_UNIFORM, -0.5, 0.5, 5, 8193, PLAIN),
    SAMPLE("flat, all", , TEST_UNIFORM, -0.5, 0.5, 5, 8193, ALL),
    SAMPLE("flat, most", , TEST_UNIFORM, -0.5, 0.5, 5, 8193, MOST_P),
    SAMPLE("flat, top p", , TEST_UNIFORM, -0.5, 0.5, 5, 8193, TOP_P),
    SAMPLE("flat, above 0", , TEST_UNIFORM, 7, 9, 5, 8193, TOP_P),
    SAMPLE("flat, below 0", , TEST_UNIFORM, -9, -7, 5, 8193, PLAIN),
    SAMPLE("wide", , TEST_UNIFORM, -20, 20, 5, 8193, PLAIN),
    SAMPLE("wide, min p", , TEST_UNIFORM, -20, 20, 5, 8193, MIN_P),
    SAMPLE("magnitudes", , TEST_WIDE, 1e-6, 1e2, 5, 8193, TOP_P),
    SAMPLE("all magnitudes", , TEST_WIDE, 1e-38, 3e38, 5, 8193, PLAIN),
    SAMPLE("all magnitudes, hot", , TEST_WIDE, 1e-38, 3e38, 5, 8193, HOT),
    SAMPLE("tiny", , TEST_UNIFORM, -1e-39, 1e-39, 5, 8193, TOP_P),
    SAMPLE("tiny, cold", , TEST_UNIFORM, -1e-39, 1e-39, 5, 8193, COLD),
    SAMPLE("huge", , TEST_UNIFORM, -3.4e38, 3.4e38, 5, 8193, PLAIN),
    SAMPLE("huge, hot", , TEST_UNIFORM, -3.4e38, 3.4e38, 5, 8193, HOT_TOP_K),
    SAMPLE("cold", , TEST_UNIFORM, -4, 4, 9, 3001, COLD),
    SAMPLE("hot", , TEST_UNIFORM, -4, 4, 9, 3001, HOT),
    SAMPLE("hot, top k", , TEST_UNIFORM, -4, 4, 9, 3001, HOT_TOP_K),
    SAMPLE("narrow p", , TEST_UNIFORM, -4, 4, 9, 3001, NARROW_P),
    SAMPLE("equal p", , TEST_WHOLE, -4, 4, 9, 3001, EQUAL_P),

    SAMPLE("ties", , TEST_WHOLE, -3, 3, 9, 20011, PLAIN),
    SAMPLE("ties, top k", , TEST_WHOLE, -3, 3, 9, 20011, TOP_K),
    SAMPLE("ties, all", , TEST_WHOLE, -3, 3, 9, 20011, ALL),
    SAMPLE("ties, most", , TEST_WHOLE, -3, 3, 9, 20011, MOST_P),
    SAMPLE("all equal", , TEST_UNIFORM, 2, 2, 9, 20011, PLAIN),
    SAMPLE("all equal, top p", , TEST_UNIFORM, 2, 2, 9, 20011, TOP_P),
    SAMPLE("all zeros, of both signs", , TEST_WIDE, 1e-50, 1e-50, 9, 3001, PLAIN),
    SAMPLE("ties of some", , TEST_WHOLE, -4000, 4000, 5, 30011, MUCH_K),
    AMONG("most equal, lower", -1, 0, 1, 5, 9001, MOST_P, 70),
    AMONG("most equal, greater", 1, -1, 0, 5, 9001, MOST_P, 70),
    AMONG("most masked", -1e30, 0, 1, 5, 9001, ALL, 700),
    AMONG("most -infinity", -INFINITY, 0, 1, 5, 9001, MUCH_K, 700),
    AMONG("most NaN", NAN, 0, 1, 5, 9001, TOP_P, 3),

    SAMPLE("not finite", , TEST_NONFINITE, -4, 4, 65, 5, PLAIN),
    SAMPLE("not finite, long", , TEST_NONFINITE, -4, 4, 5, 3001, TOP_K),
    SAMPLE("nothing finite", , TEST_UNIFORM, NAN, NAN, 3, 130, TOP_K),
    SAMPLE("nothing finite: infinity", , TEST_UNIFORM, INFINITY, INFINITY, 3, 1300, PLAIN),
    SAMPLE("wild settings, 0", , TEST_HARD, -4, 4, 9, 3001, ZEROS),
    SAMPLE("wild settings, -1", , TEST_HARD, -4, 4, 9, 3001, ONES),

    SAMPLE("32000", , TEST_UNIFORM, -9, 3, 2, 32000, ALL),
    SAMPLE("50257", , TEST_UNIFORM, -9, 3, 2, 50257, TOP_P),
    SAMPLE("131073", , TEST_UNIFORM, -9, 3, 2, 131073, PLAIN),
};

const test_op_table test_sample_cases = {cases, PM_COUNT(cases)};
