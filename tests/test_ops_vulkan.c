/* Every kernel's shader on the Vulkan device: the case tables of the operations, each element within the
 * bound that the reference kernel computes for it. Shaders that can be tiled in several ways run their cases
 * with each, not only with the one that selection chooses today. Owns the ways to run a kernel; the cases and the comparison are support_ops.h's. */
#include <string.h>

#include "shaders/attention.params.h"
#include "shaders/matmul.params.h"
#include "tests/support_ops.h"

static pm_executor *executor; /* opened by the first test that finds a device, closed after the last */

/* NULL when there is no Vulkan device to run on. */
static pm_executor *open_device(void) {
#ifdef PM_WITH_VULKAN
    if (executor) return executor;
    pm_status s = pm_executor_open(test_device(), NULL, &executor);
    if (s != PM_OK && s != PM_ERR_DEVICE) fail_msg("device %s: %s", test_device(), pm_error_text());
    if (s != PM_OK) executor = NULL;
#endif
    return executor;
}

#define NEED_DEVICE()                                                                                        \
    if (!open_device()) skip_because("no Vulkan device \"%s\"", test_device())

/* ---- the ways to run a kernel ---- */

typedef struct way {
    const char *name;
    pm_variant variant;
    uint32_t local[2], size[3]; /* spec 0, 1 and 3, 4, 5 */
} way;

static const way matmul_ways[] = {
    {"tiled 64x64", PM_VARIANT_MATMUL_F32_F32_TILED, {16, 16}, {64, 64, 16}},
    {"tiled 64x64, a row of invocations", PM_VARIANT_MATMUL_F32_F32_TILED, {256, 1}, {64, 64, 16}},
    {"tiled 32x32, idle invocations", PM_VARIANT_MATMUL_F32_F32_TILED, {16, 16}, {32, 32, 16}},
    {"tiled 16x64", PM_VARIANT_MATMUL_F32_F32_TILED, {16, 4}, {16, 64, 8}},
    {"tiled8 64x64", PM_VARIANT_MATMUL_F32_F32_TILED8, {8, 8}, {64, 64, 16}},
    {"tiled8 64x128", PM_VARIANT_MATMUL_F32_F32_TILED8, {16, 8}, {64, 128, 16}},
    {"vec 4", PM_VARIANT_MATMUL_F32_F32_VEC, {64, 1}, {4, 0, 0}},
    {"vec 8", PM_VARIANT_MATMUL_F32_F32_VEC, {64, 1}, {8, 0, 0}},
    {"vec columns", PM_VARIANT_MATMUL_F32_F32_VEC, {64, 1}, {4, 1, 0}},
};
static const way attention_ways[] = {
    {"tiled, other cases", PM_VARIANT_ATTENTION_F32_F32_TILED, {64, 1}, {0}},
    {"tiled", PM_VARIANT_ATTENTION_F32_F32_TILED, {64, 1}, {0}},
};

static const way grouped_ways[] = {
    {"tiled", PM_VARIANT_GROUPED_F32_F32_TILED, {128, 1}, {32, 64, 16}},
    {"tiled 16x32", PM_VARIANT_GROUPED_F32_F32_TILED, {32, 1}, {16, 32, 8}},
    {"vec 4", PM_VARIANT_GROUPED_F32_F32_VEC, {64, 1}, {4, 0, 0}},
    {"vec 8", PM_VARIANT_GROUPED_F32_F32_VEC, {64, 1}, {8, 0, 0}},
};

static uint32_t ceil_div(uint32_t a, uint32_t b) {
    return (a + b - 1) / b;
}

static void set_spec(pm_dispatch *d, const way *w) {
    d->variant = w->variant;
    memset(d->spec, 0, PM_SPEC_OP * sizeof d->spec[0]);
    d->spec[0] = w->local[0], d->spec[1] = w->local[1], d->spec[2] = 1;
    memcpy(&d->spec[3], w->size, sizeof w->size);
}

static void set_matmul(pm_dispatch *d, const way *w) {
    pm_matmul_params p;
    memcpy(&p, d->params, sizeof p);
    bool vec = w->variant == PM_VARIANT_MATMUL_F32_F32_VEC;
    uint32_t columns = !vec ? w->size[1] : w->size[1] ? w->local[0] : w->size[0];
    set_spec(d, w);
    d->groups[0] = ceil_div(p.n, columns);
    d->groups[1] = vec ? p.m : ceil_div(p.m, w->size[0]);
    d->groups[2] = p.batch[0] * p.batch[1] * p.batch[2];
}

static void set_attention(pm_dispatch *d, const way *w) {
    pm_attention_params p;
    memcpy(&p, d->params, sizeof p);
    bool tiled = w->variant == PM_VARIANT_ATTENTION_F32_F32_TILED;
    if (tiled && (d->spec[PM_SPEC_HEAD_SIZE] > 128 || d->spec[PM_SPEC_PLACES]))
        return; /* does not fit: as selected */
    set_spec(d, w);
    d->groups[0] = tiled ? ceil_div(p.n_queries, 32) : p.n_queries;
}

/* Tiles of pairs are dealt to three groups; pairs of few columns are counted along y and z. */
static void set_grouped(pm_dispatch *d, const way *w) {
    pm_grouped_params p;
    memcpy(&p, d->params, sizeof p);
    bool vec = w->variant == PM_VARIANT_GROUPED_F32_F32_VEC;
    set_spec(d, w);
    d->groups[0] = ceil_div(p.n, w->size[vec ? 0 : 1]);
    d->groups[1] = vec ? ceil_div(p.n_pairs, 3) : p.n_experts;
    d->groups[2] = 3;
}

static const way *current_way;

static void set_way(pm_dispatch *d) {
    if (pm_executor_caps(executor)->max_loops && d->cost > 1 << 24) return; /* long sums: as selected */
    if (d->kernel == PM_KERNEL_MATMUL) set_matmul(d, current_way);
    if (d->kernel == PM_KERNEL_ATTENTION) set_attention(d, current_way);
    if (d->kernel == PM_KERNEL_GROUPED_MATMUL) set_grouped(d, current_way);
}

/* ---- tests ---- */

static const char *const kernels[] = {
#define PM_KERNEL(id, name, ...) name,
#include "graph/kernels.def"
#undef PM_KERNEL
};

static bool begins_with(const char *text, const char *prefix) {
    return !strncmp(text, prefix, strlen(prefix));
}

static bool names_a_kernel(const char *text) {
    for (size_t k = 0; k < PM_COUNT(kernels); k++)
        if (begins_with(text, kernels[k])) return true;
    return false;
}

#define WAYS_SHARE 8 /* a way runs one case in eight, each way others: pipelines take most of the time */

/* Runs the cases whose name begins with `kernel` (NULL: with no kernel's name) and fails when one is out of
 * bounds or there is none. */
static void run_cases(const char *kernel, const way *w, size_t first) {
    size_t n, n_run = 0, n_failed = 0;
    const test_op_case *cases = test_op_cases(&n);
    double worst = 0;
    current_way = w;
    for (size_t i = 0; i < n; i++) {
        test_op_result r;
        test_op_case c = cases[i];
        if (kernel ? !begins_with(c.name, kernel) : names_a_kernel(c.name)) continue;
        if (w && ((i + first) % WAYS_SHARE != 0 || strstr(c.name, "infinite")))
            continue; /* those: as selected */
        if (w) c.adjust = set_way;
        if (test_run_op_case(executor, &c, &r) != PM_OK) fail_msg("%s: %s", c.name, pm_error_text());
        if (r.failed) print_error("%s%s%s: %s\n", c.name, w ? ", " : "", w ? w->name : "", r.text);
        n_failed += r.failed;
        n_run++;
        if (r.worst > worst) worst = r.worst;
    }
    print_message("%s%s%s: %zu cases, worst error %.3f of its bound\n", kernel ? kernel : "others",
                  w ? ", " : "", w ? w->name : "", n_run, worst);
    assert_true(n_run > 0);
    assert_int_equal(n_failed, 0);
}

static void test_kernel(void **state) {
    NEED_DEVICE();
    run_cases(*state, NULL, 0);
}

static void test_matmul_ways(void **state) {
    (void)state;
    NEED_DEVICE();
    for (size_t i = 0; i < PM_COUNT(matmul_ways); i++) run_cases("matmul", &matmul_ways[i], i);
}

static void test_attention_ways(void **state) {
    (void)state;
    NEED_DEVICE();
    for (size_t i = 0; i < PM_COUNT(attention_ways); i++) run_cases("attention", &attention_ways[i], i);
}

static void test_grouped_ways(void **state) {
    (void)state;
    NEED_DEVICE();
    for (size_t i = 0; i < PM_COUNT(grouped_ways); i++) run_cases("grouped_matmul", &grouped_ways[i], i);
}

/* Cases of operations that have no kernel of their own name. */
static void test_others(void **state) {
    (void)state;
    NEED_DEVICE();
    run_cases(NULL, NULL, 0);
}

static int close_device(void **state) {
    (void)state;
    pm_executor_close(executor);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define PM_KERNEL(id, name, ...) {name, test_kernel, NULL, NULL, name},
#include "graph/kernels.def"
#undef PM_KERNEL
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_matmul_ways),
        cmocka_unit_test(test_grouped_ways),
        cmocka_unit_test_teardown(test_attention_ways, close_device),
    };
    return run_all_tests(tests);
}
