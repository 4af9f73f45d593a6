/* Weights that are no single tensor of the file: stacked, turned, packed in 4 bits. */
#include "models/need.h"
#include "tests/support.h"

static const float two[2][6] = {{0, 1, 2, 3, 4, 5}, {6, 7, 8, 9, 10, 11}};

/* Arrays of a checkpoint are the first members of its entries. */
static pm_entry entry(pm_dtype type, const void *data, int rank, const int64_t *dims) {
    pm_entry e = {.array = {.name = "t", .dtype = type, .rank = rank, .data = data}};
    for (int i = 0; i < rank; i++) e.array.dims[i] = dims[i];
    return e;
}

static void test_stacked(void **state) {
    (void)state;
    const pm_checkpoint none = {0};
    const pm_entry parts[] = {entry(PM_F32, two[0], 2, (int64_t[]){2, 3}),
                              entry(PM_F32, two[1], 2, (int64_t[]){2, 3})};
    const pm_array *arrays[] = {&parts[0].array, &parts[1].array};
    const pm_need need = {
        .name = "w", .rank = 3, .dims = {2, 2, 3}, .plus = 1, .arrays = arrays, .n_arrays = 2};
    float out[12];
    assert_int_equal(pm_need_elems(&need), 12);
    assert_ok(pm_need_read(&none, &need, out));
    for (int i = 0; i < 12; i++) assert_true(out[i] == (float)(i + 1));
}

static void test_swapped(void **state) {
    (void)state;
    const pm_checkpoint none = {0};
    const pm_entry whole = entry(PM_F32, two, 3, (int64_t[]){2, 3, 2}); /* [E,K,N] */
    const pm_array *arrays[] = {&whole.array};
    const pm_need need = {.name = "w",
                          .rank = 3,
                          .dims = {2, 2, 3},
                          .kind = PM_SOURCE_SWAPPED,
                          .arrays = arrays,
                          .n_arrays = 1};
    static const float expected[] = {0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11};
    float out[12];
    assert_ok(pm_need_read(&none, &need, out));
    assert_memory_equal(out, expected, sizeof expected);
}

/* Every code, in two blocks of other scales; the low half of a byte comes first. */
static void test_mxfp4(void **state) {
    (void)state;
    static const float values[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
    const pm_checkpoint none = {0};
    unsigned char blocks[32], scales[2] = {127, 120};
    float out[64];
    for (unsigned i = 0; i < 32; i++) blocks[i] = (unsigned char)(i % 16 | (15 - i % 16) << 4);
    const pm_entry packed[] = {entry(PM_U8, blocks, 3, (int64_t[]){1, 2, 16}),
                               entry(PM_U8, scales, 2, (int64_t[]){1, 2})};
    const pm_array *arrays[] = {&packed[0].array, &packed[1].array};
    const pm_need need = {
        .name = "w", .rank = 2, .dims = {1, 64}, .kind = PM_SOURCE_MXFP4, .arrays = arrays, .n_arrays = 2};
    assert_ok(pm_need_read(&none, &need, out));
    for (int i = 0; i < 64; i++) {
        float v = values[i % 2 ? 15 - i / 2 % 16 : i / 2 % 16] * (i < 32 ? 1.0f : 0.0078125f);
        assert_memory_equal(&out[i], &v, sizeof v);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stacked), cmocka_unit_test(test_swapped),
                                       cmocka_unit_test(test_mxfp4)};
    return run_all_tests(tests);
}
