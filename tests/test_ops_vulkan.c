/* Every kernel's shader on the Vulkan device: the case tables of the operations, each element within the
 * bound that the reference kernel computes for it. Shaders that can be tiled in several ways run their cases
 * with each, not only with the one that selection chooses today; so do kernels for subgroups and those in their place. Nearly
 * all time goes into making pipelines, so a way takes few new ones and runs more cases on those that are there. Owns the
 * ways to run a kernel; the cases and the comparison are support_ops.h's. */
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
    uint32_t local[2], size[3]; /* spec 0, 1 and 3, 4, 5; local 0: as selected */
    int n_new;                  /* pipelines that it may make */
} way;

static const way matmul_ways[] = {
    {"tiled 64x64", PM_VARIANT_MATMUL_F32_F32_TILED, {16, 16}, {64, 64, 16}, 3},
    {"tiled 64x64, a row of invocations", PM_VARIANT_MATMUL_F32_F32_TILED, {256, 1}, {64, 64, 16}, 3},
    {"tiled 32x32, idle invocations", PM_VARIANT_MATMUL_F32_F32_TILED, {16, 16}, {32, 32, 16}, 3},
    {"tiled 16x64", PM_VARIANT_MATMUL_F32_F32_TILED, {16, 4}, {16, 64, 8}, 3},
    {"tiled8 64x64", PM_VARIANT_MATMUL_F32_F32_TILED8, {8, 8}, {64, 64, 16}, 2},
    {"tiled8 64x128", PM_VARIANT_MATMUL_F32_F32_TILED8, {16, 8}, {64, 128, 16}, 1},
    {"vec 4", PM_VARIANT_MATMUL_F32_F32_VEC, {64, 1}, {4, 0, 0}, 8},
    {"vec 8", PM_VARIANT_MATMUL_F32_F32_VEC, {64, 1}, {8, 0, 0}, 8},
    {"vec columns", PM_VARIANT_MATMUL_F32_F32_VEC, {64, 1}, {4, 1, 0}, 8},
};
static const way attention_ways[] = {
    {"tiled", PM_VARIANT_ATTENTION_F32_F32_TILED, {64, 1}, {32, 0, 0}, 3},
};
static const way grouped_ways[] = {
    {"tiled", PM_VARIANT_GROUPED_F32_F32_TILED, {128, 1}, {32, 64, 16}, 4},
    {"tiled 16x32", PM_VARIANT_GROUPED_F32_F32_TILED, {32, 1}, {16, 32, 8}, 4},
    {"vec 4", PM_VARIANT_GROUPED_F32_F32_VEC, {64, 1}, {4, 0, 0}, 4},
    {"vec 8", PM_VARIANT_GROUPED_F32_F32_VEC, {64, 1}, {8, 0, 0}, 4},
};
static const way folded = {.name = "folded"}; /* groups along y, which else tens of thousands of rows need */
static const way without_subgroups = {.name = "without subgroups", .n_new = 8};

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

/* Of kernels that count groups along x and y together. */
static void fold(pm_dispatch *d) {
    bool has_tiles = d->kernel == PM_KERNEL_MATMUL || d->kernel == PM_KERNEL_ATTENTION ||
                     d->kernel == PM_KERNEL_GROUPED_MATMUL;
    if (has_tiles || d->groups[1] != 1 || d->groups[0] < 2) return;
    uint32_t n = d->groups[0];
    d->groups[0] = n / 2 + n % 2; /* an odd number leaves one too many */
    d->groups[1] = 2;
}

static const way *current_way; /* NULL: as selected */

static void set_way(pm_dispatch *d) {
    if (current_way == &folded) fold(d);
    if (!current_way || !current_way->local[0]) return;
    if (pm_executor_caps(executor)->max_loops && d->cost > 1 << 24) return; /* long sums: as selected */
    if (d->kernel == PM_KERNEL_MATMUL) set_matmul(d, current_way);
    if (d->kernel == PM_KERNEL_ATTENTION) set_attention(d, current_way);
    if (d->kernel == PM_KERNEL_GROUPED_MATMUL) set_grouped(d, current_way);
}

/* ---- what was selected, and which pipelines there are ---- */

static bool selected[PM_N_VARIANTS];

static struct {
    pm_variant variant;
    uint32_t spec[PM_N_SPEC];
} made[4096];
static size_t n_made;
static int n_missing; /* of the case that is looked at */

static bool is_made(const pm_dispatch *d) {
    for (size_t i = 0; i < n_made; i++)
        if (made[i].variant == d->variant && !memcmp(made[i].spec, d->spec, sizeof d->spec)) return true;
    return false;
}

static void look(pm_dispatch *d) {
    set_way(d);
    n_missing += !is_made(d);
}

static void use(pm_dispatch *d) {
    selected[d->variant] = true;
    set_way(d);
    if (is_made(d)) return;
    assert_true(n_made < PM_COUNT(made));
    made[n_made].variant = d->variant;
    memcpy(made[n_made++].spec, d->spec, sizeof d->spec);
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

/* Cases of a way: one in FEW if they need pipelines, until it has made all that it may, and one in SOME of the rest. */
enum { FEW = 8, SOME = 4 };

static bool takes_case(const way *w, const test_op_case *c, size_t i, int *n_new) {
    test_op_case seen = *c;
    if (i % SOME != 0 || strstr(c->name, "infinite")) return false; /* those: as selected */
    seen.adjust = look;
    n_missing = 0;
    assert_ok(test_compile_op_case(executor, &seen));
    if (n_missing > 0 && (i % FEW != 0 || *n_new + n_missing > w->n_new)) return false;
    *n_new += n_missing;
    return true;
}

/* Runs the cases whose name begins with `kernel` (NULL: with no kernel's name) and fails when one is out of
 * bounds or there is none. */
static void run_cases(const char *kernel, const way *w, size_t first) {
    size_t n, n_run = 0, n_failed = 0;
    const test_op_case *cases = test_op_cases(&n);
    double worst = 0;
    int n_new = 0;
    current_way = w;
    for (size_t i = 0; i < n; i++) {
        test_op_result r;
        test_op_case c = cases[i];
        if (kernel ? !begins_with(c.name, kernel) : names_a_kernel(c.name)) continue;
        if (w && !takes_case(w, &c, i + first, &n_new)) continue;
        c.adjust = use;
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

static void test_folded(void **state) {
    (void)state;
    NEED_DEVICE();
    for (size_t k = 0; k < PM_COUNT(kernels); k++)
        if (k != PM_KERNEL_MATMUL && k != PM_KERNEL_ATTENTION && k != PM_KERNEL_GROUPED_MATMUL)
            run_cases(kernels[k], &folded, k);
}

static bool is_for_subgroups(int variant) {
    return strstr(pm_variant_get((pm_variant)variant)->name, "_subgroup") != NULL;
}

/* As on a device without broadcasts: the kernels that stand behind those for subgroups of eight. */
static void test_without_subgroups(void **state) {
    (void)state;
    NEED_DEVICE();
    if (!executor->caps.subgroup_broadcast || executor->caps.subgroup_max != 8)
        skip_because("%s has no subgroups of eight", executor->caps.name);
    executor->caps.subgroup_broadcast = false;
    for (int v = 0; v < PM_N_VARIANTS; v++)
        if (is_for_subgroups(v))
            run_cases(pm_kernel_get(pm_variant_get((pm_variant)v)->kernel)->name, &without_subgroups,
                      (size_t)v);
    executor->caps.subgroup_broadcast = true;
}

/* Selection has taken each kernel that the device can run for some case: as it is, or without subgroups. */
static void test_every_variant(void **state) {
    (void)state;
    int n_never = 0;
    NEED_DEVICE();
    const pm_caps *caps = pm_executor_caps(executor);
    bool eight = caps->type == PM_DEVICE_SOFTWARE_GPU && caps->subgroup_broadcast &&
                 caps->subgroup_arithmetic && caps->subgroup_min == 8 && caps->subgroup_max == 8;
    for (int v = 0; v < PM_N_VARIANTS; v++) {
        if (selected[v]) continue;
        bool can = !is_for_subgroups(v) || eight;
        print_message("%s: %s\n", pm_variant_get((pm_variant)v)->name,
                      can ? "no case reached it" : "this device has no subgroups of eight");
        n_never += can;
    }
    print_message("%zu pipelines were made\n", n_made);
    assert_int_equal(n_never, 0);
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
        cmocka_unit_test(test_attention_ways),
        cmocka_unit_test(test_folded),
        cmocka_unit_test(test_without_subgroups),
        cmocka_unit_test_teardown(test_every_variant, close_device),
    };
    return run_all_tests(tests);
}
