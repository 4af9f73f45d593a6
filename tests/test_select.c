/* Selection with invented devices: which variant, which workgroups, what is refused. Needs no device. */
#include "graph/compile.h"
#include "tests/support.h"

#include <stdlib.h>

#include "shaders/attention.params.h"
#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"
#include "shaders/matmul.params.h"
#include "shaders/rowwise.params.h"
#include "shaders/sample.params.h"
#include "shaders/softmax.params.h"

static pm_caps baseline(void) {
    pm_caps caps;
    pm_caps_baseline(&caps);
    return caps;
}

static pm_caps large_gpu(void) {
    pm_caps caps = baseline();
    snprintf(caps.name, sizeof caps.name, "invented");
    caps.max_workgroup_invocations = 1024;
    caps.max_workgroup_size[0] = caps.max_workgroup_size[1] = 1024;
    caps.max_groups[0] = UINT32_MAX;
    caps.shared_bytes = 65536;
    return caps;
}

static pm_dispatch dispatch_of(pm_kernel kernel, const void *params) {
    pm_dispatch d = {
        .kernel = kernel, .param_bytes = pm_kernel_get(kernel)->param_bytes, .label = "operation x"};
    memcpy(d.params, params, d.param_bytes);
    return d;
}

static pm_dispatch select_ok(const pm_caps *caps, pm_dispatch d) {
    uint32_t own[PM_N_SPEC - PM_SPEC_OP];
    memcpy(own, d.spec + PM_SPEC_OP, sizeof own);
    assert_ok(pm_select(caps, &d));
    assert_memory_equal(own, d.spec + PM_SPEC_OP, sizeof own); /* the operation's own constants are let be */
    assert_int_equal(pm_variant_get(d.variant)->kernel, d.kernel);
    assert_true(d.spec[0] * d.spec[1] * d.spec[2] <= caps->max_workgroup_invocations);
    for (int i = 0; i < 3; i++) {
        assert_true(d.spec[i] >= 1 && d.spec[i] <= caps->max_workgroup_size[i]);
        assert_true(d.groups[i] >= 1 && d.groups[i] <= caps->max_groups[i]);
    }
    return d;
}

/* ---- elements and rows: folded in x and y ---- */

static pm_dispatch select_unary(const pm_caps *caps, uint32_t n) {
    const pm_unary_params p = {.n = n};
    return select_ok(caps, dispatch_of(PM_KERNEL_UNARY, &p));
}

static void test_elements(void **state) {
    (void)state;
    const uint32_t counts[] = {1, 127, 128, 129, 65535 * 128, 65535 * 128 + 1, INT32_MAX};
    const pm_caps devices[] = {baseline(), large_gpu()};
    for (size_t c = 0; c < PM_COUNT(devices); c++)
        for (size_t i = 0; i < PM_COUNT(counts); i++) {
            pm_dispatch d = select_unary(&devices[c], counts[i]);
            uint64_t covered = (uint64_t)d.groups[0] * d.groups[1] * d.spec[0];
            assert_int_equal(d.variant, PM_VARIANT_UNARY_F32);
            assert_true(covered >= counts[i] && covered <= UINT32_MAX); /* shaders count in 32 bits */
            assert_true(covered - counts[i] < (uint64_t)d.spec[0] * (d.groups[1] > 1 ? d.groups[0] : 1) + 1);
            assert_true(d.groups[0] <= 65535 && d.groups[2] == 1);
        }
    const pm_caps small = baseline(), large = large_gpu();
    assert_int_equal(select_unary(&small, 1000).spec[0], 128);
    assert_int_equal(select_unary(&large, 1000).spec[0], 256);
    const pm_gather_params g = {.n_ids = 70, .n_cols = 100};
    assert_int_equal(select_ok(&small, dispatch_of(PM_KERNEL_GATHER, &g)).groups[0], 55);
}

static void test_rows(void **state) {
    (void)state;
    const pm_caps caps = baseline();
    const pm_norm_params n = {.n_rows = 70000, .n_cols = 5};
    pm_dispatch d = select_ok(&caps, dispatch_of(PM_KERNEL_LAYER_NORM, &n));
    assert_int_equal(d.spec[0], 64);
    assert_int_equal(d.groups[0], 65535);
    assert_int_equal(d.groups[1], 2);
    const pm_softmax_params s = {.dims = {2, 3, 1, 5, 7}};
    d = select_ok(&caps, dispatch_of(PM_KERNEL_SOFTMAX, &s));
    assert_int_equal(d.groups[0], 30);
    assert_int_equal(d.groups[1], 1);
}

/* More invocations for longer rows, and never loops that a driver would cut. */
static void test_samples(void **state) {
    (void)state;
    const pm_caps small = baseline(), large = large_gpu();
    pm_caps few = large;
    few.max_loops = 65535;
    const struct {
        uint32_t n_cols, small, large;
    } cases[] = {{1, 128, 128},      {32768, 128, 128},   {50257, 128, 256},
                 {131072, 128, 512}, {262144, 128, 1024}, {1u << 20, 128, 1024}};
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        const pm_sample_params p = {.n_rows = 3, .n_cols = cases[i].n_cols};
        pm_dispatch d = select_ok(&small, dispatch_of(PM_KERNEL_SAMPLE, &p));
        assert_int_equal(d.spec[0], cases[i].small);
        assert_int_equal(d.groups[0], 3);
        assert_int_equal(select_ok(&large, dispatch_of(PM_KERNEL_SAMPLE, &p)).spec[0], cases[i].large);
        if (cases[i].n_cols <= 1u << 18) (void)select_ok(&few, dispatch_of(PM_KERNEL_SAMPLE, &p));
    }
    const pm_sample_params p = {.n_rows = 1, .n_cols = 1u << 21};
    pm_dispatch d = dispatch_of(PM_KERNEL_SAMPLE, &p);
    assert_int_equal(pm_select(&few, &d), PM_ERR_DEVICE);
    assert_non_null(strstr(pm_error_text(), "iterations of loops"));
}

/* ---- matmul ---- */

static pm_dispatch matmul(uint32_t m, uint32_t n, bool columns) {
    const pm_matmul_params p = {.m = m,
                                .n = n,
                                .k = 40,
                                .batch = {1, 2, 3},
                                .a_m = 40,
                                .a_k = 1,
                                .b_n = columns ? 1 : 40,
                                .b_k = columns ? n : 1};
    return dispatch_of(PM_KERNEL_MATMUL, &p);
}

static void test_matmul_vec(void **state) {
    (void)state;
    const pm_caps caps = baseline();
    for (uint32_t m = 1; m <= 4; m++) {
        pm_dispatch d = select_ok(&caps, matmul(m, 103, false));
        assert_int_equal(d.variant, PM_VARIANT_MATMUL_F32_F32_VEC);
        assert_int_equal(d.spec[4], 0);
        assert_int_equal(d.groups[0] * d.spec[3], 104);
        assert_int_equal(d.groups[1], m);
        assert_int_equal(d.groups[2], 6);
        d = select_ok(&caps, matmul(m, 103, true));
        assert_int_equal(d.spec[4], 1);
        assert_int_equal(d.groups[0], 2);
    }
    pm_dispatch d =
        select_ok(&caps, matmul(1, 1000000, false)); /* more columns a group, so that groups do not run out */
    assert_true(d.spec[3] % 4 == 0 && (uint64_t)d.groups[0] * d.spec[3] >= 1000000);
}

static void check_tiles(const pm_caps *caps, uint32_t m, uint32_t n) {
    pm_dispatch d = select_ok(caps, matmul(m, n, false));
    uint32_t bm = d.spec[3], bn = d.spec[4], bk = d.spec[5];
    assert_true(strncmp(pm_variant_get(d.variant)->name, "matmul_f32_f32_tiled", 20) == 0);
    uint32_t a_side = d.variant == PM_VARIANT_MATMUL_F32_F32_TILED8 ? 8 : 4;
    assert_true(d.spec[0] * d.spec[1] >=
                bm / a_side * (bn / a_side)); /* an invocation for each square of sums */
    assert_true(4 * bk * (bm + bn + 2) <= caps->shared_bytes);
    assert_true(d.groups[0] * bn >= n && (d.groups[0] - 1) * bn < n);
    assert_true(d.groups[1] * bm >= m && (d.groups[1] - 1) * bm < m);
    assert_int_equal(d.groups[2], 6);
    if (caps->quirks & PM_QUIRK_NO_SQUARE_WORKGROUPS) assert_true(d.spec[0] >= 8 * d.spec[1]);
}

static void test_matmul_tiled(void **state) {
    (void)state;
    const uint32_t sizes[] = {5, 31, 32, 33, 63, 64, 65, 200, 1000, 4096};
    pm_caps devices[] = {baseline(), large_gpu(), large_gpu()};
    devices[2].quirks = PM_QUIRK_NO_SQUARE_WORKGROUPS;
    for (size_t c = 0; c < PM_COUNT(devices); c++)
        for (size_t i = 0; i < PM_COUNT(sizes); i++)
            for (size_t k = 0; k < PM_COUNT(sizes); k++) check_tiles(&devices[c], sizes[i], sizes[k]);
}

static void test_groups_run_out(void **state) {
    (void)state;
    pm_caps caps = baseline();
    caps.max_groups[2] = 5; /* and there are 6 batches */
    pm_dispatch d = matmul(100, 100, false);
    assert_int_equal(pm_select(&caps, &d), PM_ERR_DEVICE);
    assert_string_equal(
        pm_error_text(),
        "selection: no variant of kernel matmul fits operation x on device baseline: 2 x 2 x 6 workgroups, at most 65535 x 65535 x 5 are possible");
}

/* ---- attention ---- */

static void test_attention(void **state) {
    (void)state;
    const pm_attention_params p = {.n_batch = 2, .n_heads = 12, .n_queries = 7, .n_keys = 9};
    pm_caps caps = baseline();
    pm_dispatch d = dispatch_of(PM_KERNEL_ATTENTION, &p);
    d.spec[PM_SPEC_HEAD_SIZE] = 64;
    d = select_ok(&caps, d);
    assert_int_equal(d.variant, PM_VARIANT_ATTENTION_F32_F32_ONLINE);
    assert_int_equal(d.groups[0], 7);
    assert_int_equal(d.groups[1], 12);
    assert_int_equal(d.groups[2], 2);
    pm_attention_params many = p;
    many.n_queries = 65;
    pm_dispatch t = dispatch_of(PM_KERNEL_ATTENTION, &many);
    t.spec[PM_SPEC_HEAD_SIZE] = 128;
    assert_int_equal(select_ok(&caps, t).variant, PM_VARIANT_ATTENTION_F32_F32_TILED);
    assert_int_equal(select_ok(&caps, t).groups[0], 3);
    t.spec[PM_SPEC_HEAD_SIZE] = 129; /* more than its tiles hold */
    assert_int_equal(select_ok(&caps, t).variant, PM_VARIANT_ATTENTION_F32_F32_ONLINE);
    d.spec[PM_SPEC_HEAD_SIZE] = 8192; /* its query row does not fit shared memory */
    assert_int_equal(pm_select(&caps, &d), PM_ERR_DEVICE);
    assert_string_equal(
        pm_error_text(),
        "selection: no variant of kernel attention fits operation x on device baseline: too little shared memory");
}

/* ---- a CPU behind Vulkan, with subgroups of eight ---- */

static pm_dispatch tile_of_attention(uint32_t n_queries) {
    const pm_attention_params p = {.n_batch = 2, .n_heads = 12, .n_queries = n_queries, .n_keys = 50};
    pm_dispatch d = dispatch_of(PM_KERNEL_ATTENTION, &p);
    d.spec[PM_SPEC_HEAD_SIZE] = 64;
    return d;
}

static void test_subgroups(void **state) {
    (void)state;
    pm_caps eight = baseline();
    eight.type = PM_DEVICE_SOFTWARE_GPU;
    eight.subgroup_min = eight.subgroup_max = 8;
    eight.subgroup_arithmetic = eight.subgroup_broadcast = true;
    pm_dispatch d = select_ok(&eight, matmul(50, 65, false));
    assert_int_equal(d.variant, PM_VARIANT_MATMUL_F32_F32_SUBGROUP);
    assert_int_equal(d.spec[0], 8);
    assert_int_equal(d.spec[3], 32);
    assert_int_equal(d.groups[0], 3);
    assert_int_equal(d.groups[1], 2);
    assert_int_equal(select_ok(&eight, matmul(9, 65, false)).spec[3], 16); /* no rows for nothing */
    assert_int_equal(select_ok(&eight, matmul(4, 65, false)).variant, PM_VARIANT_MATMUL_F32_F32_VEC);
    d = select_ok(&eight, tile_of_attention(50));
    assert_int_equal(d.variant, PM_VARIANT_ATTENTION_F32_F32_SUBGROUP);
    assert_int_equal(d.spec[0], 8);
    assert_int_equal(d.groups[0], 2);
    const pm_norm_params norm = {.n_rows = 800, .n_cols = 64};
    d = select_ok(&eight, dispatch_of(PM_KERNEL_LAYER_NORM, &norm));
    assert_int_equal(d.variant, PM_VARIANT_LAYER_NORM_F32_SUBGROUP);
    assert_int_equal(d.spec[0], 8);
    assert_int_equal(d.groups[0], 800);
    pm_caps others[] = {eight, eight, eight};
    others[0].type = PM_DEVICE_DISCRETE_GPU;
    others[1].subgroup_max = 16; /* a workgroup of eight might be a part of one */
    others[2].subgroup_broadcast = false;
    for (size_t i = 0; i < PM_COUNT(others); i++) {
        assert_int_equal(select_ok(&others[i], matmul(50, 65, false)).variant,
                         PM_VARIANT_MATMUL_F32_F32_TILED8);
        assert_int_equal(select_ok(&others[i], tile_of_attention(50)).variant,
                         PM_VARIANT_ATTENTION_F32_F32_TILED);
    }
    eight.subgroup_arithmetic = false;
    assert_int_equal(select_ok(&eight, tile_of_attention(50)).variant, PM_VARIANT_ATTENTION_F32_F32_TILED);
}

/* ---- the table as a whole ---- */

static void test_every_kernel_has_a_baseline(void **state) {
    (void)state;
    const uint32_t ones[PM_MAX_PARAM_BYTES / 4] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                                   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const pm_caps caps = baseline();
    for (int k = 0; k < PM_N_KERNELS; k++) {
        pm_dispatch d = dispatch_of((pm_kernel)k, ones);
        for (int i = PM_SPEC_OP; i < PM_N_SPEC; i++) d.spec[i] = 1;
        (void)select_ok(&caps, d);
    }
}

/* ---- a driver that leaves long loops: other variants, then a refusal ---- */

static pm_status select_long(uint32_t m, uint32_t k, pm_dispatch *d) {
    const pm_matmul_params p = {
        .m = m, .n = 40, .k = k, .batch = {1, 1, 1}, .a_m = k, .a_k = 1, .b_n = k, .b_k = 1};
    pm_caps caps = baseline();
    caps.max_loops = 65535;
    *d = dispatch_of(PM_KERNEL_MATMUL, &p);
    return pm_select(&caps, d);
}

static void test_loops_run_out(void **state) {
    (void)state;
    pm_dispatch d;
    assert_ok(select_long(40, 16384, &d));
    assert_int_equal(d.variant, PM_VARIANT_MATMUL_F32_F32_TILED8);
    assert_ok(select_long(40, 30000, &d));
    assert_int_equal(d.variant, PM_VARIANT_MATMUL_F32_F32_TILED);
    assert_ok(select_long(40, 100000, &d));
    assert_int_equal(d.variant, PM_VARIANT_MATMUL_F32_F32_VEC);
    assert_int_equal(select_long(40, 100000000, &d), PM_ERR_DEVICE);
    assert_non_null(strstr(pm_error_text(), "iterations of loops, its driver does at most 65535"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),       cmocka_unit_test(test_rows),
        cmocka_unit_test(test_samples),        cmocka_unit_test(test_matmul_vec),
        cmocka_unit_test(test_matmul_tiled),   cmocka_unit_test(test_attention),
        cmocka_unit_test(test_subgroups),      cmocka_unit_test(test_every_kernel_has_a_baseline),
        cmocka_unit_test(test_groups_run_out), cmocka_unit_test(test_loops_run_out),
    };
    return run_all_tests(tests);
}
