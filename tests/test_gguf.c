/* GGUF: the reader on whole, cut and spoilt files, and every type of block. */
#include "tests/support_gguf.h"

#include <math.h>
#include <stdlib.h>

#include "models/checkpoint.h"
#include "models/config.h"
#include "models/convert.h"
#include "models/gguf.h"
#include "models/gguf_quants.h"

/* ---- metadata ---- */

static pm_gguf *parse(test_gguf *f, unsigned char **out_file) {
    pm_gguf *g;
    size_t n;
    *out_file = test_gguf_bytes(f, &n);
    assert_ok(pm_gguf_parse("f.gguf", *out_file, n, &g));
    return g;
}

static void test_numbers(void **state) {
    static const struct {
        const char *key;
        unsigned type;
        unsigned char bytes[8];
        size_t n;
        bool is_int;
        double value;
    } rows[] = {
        {"u8", 0, {200}, 1, true, 200},
        {"i8", 1, {200}, 1, true, -56},
        {"u16", 2, {0, 128}, 2, true, 32768},
        {"i16", 3, {0, 128}, 2, true, -32768},
        {"u32", 4, {255, 255, 255, 255}, 4, true, 4294967295.0},
        {"i32", 5, {255, 255, 255, 255}, 4, true, -1},
        {"f32", 6, {0, 0, 0xc0, 0x3f}, 4, false, 1.5},
        {"u64", 10, {1, 0, 0, 0, 1}, 8, true, 4294967297.0},
        {"i64", 11, {0, 0, 0, 0, 0, 0, 0, 128}, 8, true, -9223372036854775808.0},
        {"f64", 12, {0, 0, 0, 0, 0, 0, 0xf8, 0xbf}, 8, false, -1.5},
    };
    test_gguf f = {.version = 2};
    unsigned char *file;
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_gguf_key(&f, rows[i].key, rows[i].type, rows[i].bytes, rows[i].n);
        char key[8];
        snprintf(key, sizeof key, "a%s", rows[i].key);
        test_gguf_array(&f, key, rows[i].type, 1, (const char *)rows[i].bytes, rows[i].n);
    }
    test_gguf_key(&f, "too_large", 10, "\377\377\377\377\377\377\377\377", 8);
    pm_gguf *g = parse(&f, &file);
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        int64_t v = 0;
        double x = 0;
        char key[8];
        snprintf(key, sizeof key, "a%s", rows[i].key);
        assert_int_equal(pm_gguf_int(g, rows[i].key, &v), rows[i].is_int);
        if (rows[i].is_int) assert_true((double)v == rows[i].value);
        assert_true(pm_gguf_real(g, rows[i].key, &x) && x == rows[i].value);
        assert_false(pm_gguf_int(g, key, &v) || pm_gguf_real(g, key, &x));
        assert_int_equal(pm_gguf_length(g, key), 1);
        assert_true(pm_gguf_real_at(g, key, 0, &x) && x == rows[i].value);
        assert_int_equal(pm_gguf_int_at(g, key, 0, &v), rows[i].is_int);
        assert_false(pm_gguf_int_at(g, key, 1, &v));
    }
    int64_t v;
    assert_false(pm_gguf_int(g, "too_large", &v) || pm_gguf_int(g, "absent", &v) || pm_gguf_int(g, "", &v));
    pm_gguf_close(g);
    free(file);
}

static void test_texts(void **state) {
    test_gguf f = {0};
    unsigned char *file;
    pm_text list = {0};
    pm_gguf_text t;
    bool b = false;
    int64_t v = 0;
    (void)state;
    test_gguf_text(&f, "text", "caf\xc3\xa9");
    test_gguf_key(&f, "yes", 7, "\1", 1);
    test_gguf_string(&list, "one");
    test_gguf_string(&list, "");
    test_gguf_string(&list, "three");
    test_gguf_array(&f, "list", 8, 3, list.data, list.length);
    test_gguf_array(&f, "none", 8, 0, "", 0);
    test_gguf_array(&f, "flags", 7, 2, "\0\1", 2);
    pm_gguf *g = parse(&f, &file);
    assert_true(pm_gguf_string(g, "text", &t) && t.n == 5 && memcmp(t.s, "caf\xc3\xa9", 5) == 0);
    assert_true(pm_gguf_bool(g, "yes", &b) && b);
    assert_false(pm_gguf_int(g, "yes", &v) || pm_gguf_bool(g, "text", &b) || pm_gguf_string(g, "list", &t));
    assert_int_equal(pm_gguf_length(g, "list"), 3);
    assert_int_equal(pm_gguf_length(g, "none"), 0);
    assert_int_equal(pm_gguf_length(g, "text"), 0);
    assert_true(pm_gguf_string_at(g, "list", 2, &t) && t.n == 5 && memcmp(t.s, "three", 5) == 0);
    assert_true(pm_gguf_string_at(g, "list", 1, &t) && t.n == 0);
    assert_false(pm_gguf_string_at(g, "list", 3, &t) || pm_gguf_string_at(g, "flags", 0, &t));
    assert_true(pm_gguf_int_at(g, "flags", 1, &v) && v == 1);
    pm_gguf_close(g);
    pm_text_free(&list);
    free(file);
}

/* ---- files that are wrong ---- */

static const int64_t dims_32[] = {32}, dims_2_32[] = {2, 32}, huge[] = {INT64_MAX, 4};

static void no_magic(test_gguf *f, unsigned char *file) {
    (void)f;
    file[0] = 'g';
}
static void version_1(test_gguf *f, unsigned char *file) {
    (void)f;
    file[4] = 1;
}
static void big_endian(test_gguf *f, unsigned char *file) {
    (void)f;
    file[4] = 0;
    file[7] = 3;
}
static void many_tensors(test_gguf *f, unsigned char *file) {
    (void)f;
    file[14] = 1;
}
static void many_keys(test_gguf *f, unsigned char *file) {
    (void)f;
    file[22] = 1;
}

static void twice(test_gguf *f) {
    test_gguf_u32(f, "k", 1);
    test_gguf_u32(f, "k", 2);
}
static void bad_type(test_gguf *f) {
    test_gguf_key(f, "k", 13, "", 0);
}
static void nested(test_gguf *f) {
    test_gguf_array(f, "k", 9, 1, "", 0);
}
static void long_array(test_gguf *f) {
    test_gguf_array(f, "k", 12, UINT64_MAX / 4, "", 0);
}
static void cut_array(test_gguf *f) {
    test_gguf_array(f, "k", 4, 1000, "", 0);
}
static void many_texts(test_gguf *f) {
    test_gguf_array(f, "k", 8, UINT64_MAX, "", 0);
}
static void long_text(test_gguf *f) {
    test_gguf_key(f, "k", 8, "\377\377\377\377\377\377\377\377", 8);
}
static void odd_alignment(test_gguf *f) {
    test_gguf_u32(f, "general.alignment", 24);
}
static void no_alignment(test_gguf *f) {
    test_gguf_u32(f, "general.alignment", 0);
}
static void same_name(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 1, dims_32, NULL, 128);
    test_gguf_tensor(f, "t", 0, 1, dims_32, NULL, 128);
}
static void no_name(test_gguf *f) {
    test_gguf_tensor(f, "", 0, 1, dims_32, NULL, 128);
}
static void five_dims(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 5, (int64_t[]){1, 1, 1, 1, 1}, NULL, 4);
}
static void overflow(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 2, huge, NULL, 128);
}
static void negative(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 1, (int64_t[]){-1}, NULL, 128);
}
static void too_short(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 2, dims_2_32, NULL, 128);
}
static void half_block(test_gguf *f) {
    test_gguf_tensor(f, "t", 8, 2, (int64_t[]){32, 33}, NULL, 4096);
}
static void misaligned(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 1, dims_32, NULL, 128);
    f->infos.data[f->infos.length - 8] = 4;
}
static void beyond(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 1, dims_32, NULL, 128);
    f->infos.data[f->infos.length - 1] = 127;
}
static void overlap(test_gguf *f) {
    test_gguf_tensor(f, "t", 0, 1, dims_32, NULL, 128);
    test_gguf_tensor(f, "u", 0, 1, dims_32, NULL, 128);
    f->infos.data[f->infos.length - 8] = 64;
}

static const struct {
    void (*make)(test_gguf *f);
    void (*spoil)(test_gguf *f, unsigned char *file);
    const char *words[4];
} bad[] = {
    {NULL, no_magic, {"does not begin with GGUF"}},
    {NULL, version_1, {"version is 1", "2 or 3"}},
    {NULL, big_endian, {"version", "big-endian"}},
    {NULL, many_tensors, {"number of tensors", "bytes follow"}},
    {NULL, many_keys, {"number of keys", "bytes follow"}},
    {twice, NULL, {"key k", "twice"}},
    {bad_type, NULL, {"key k", "type 13", "0..12"}},
    {nested, NULL, {"key k", "array of arrays"}},
    {long_array, NULL, {"key k", "4611686018427387903 elements"}},
    {cut_array, NULL, {"key k", "4000 bytes"}},
    {many_texts, NULL, {"key k", "18446744073709551615 texts"}},
    {long_text, NULL, {"key k", "18446744073709551615 bytes"}},
    {odd_alignment, NULL, {"general.alignment is 24", "power of two"}},
    {no_alignment, NULL, {"general.alignment is 0"}},
    {same_name, NULL, {"tensor t", "twice"}},
    {no_name, NULL, {"tensor", "empty"}},
    {five_dims, NULL, {"tensor t", "5 dims", "at most 4"}},
    {overflow, NULL, {"tensor t", "9223372036854775807"}},
    {negative, NULL, {"tensor t", "18446744073709551615"}},
    {too_short, NULL, {"tensor t", "64 elements of F32", "128 bytes"}},
    {half_block, NULL, {"tensor t", "33 elements", "Q8_0", "32"}},
    {misaligned, NULL, {"tensor t", "byte 4", "multiple of 32"}},
    {beyond, NULL, {"tensor t", "begins at byte"}},
    {overlap, NULL, {"t and u", "share"}},
};

static void test_bad_files(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bad); i++) {
        test_gguf f = {0};
        pm_gguf *g;
        size_t n;
        if (bad[i].make) bad[i].make(&f);
        unsigned char *file = test_gguf_bytes(&f, &n);
        if (bad[i].spoil) bad[i].spoil(&f, file);
        assert_int_equal(pm_gguf_parse("f.gguf", file, n, &g), PM_ERR_FILE);
        assert_null(g);
        assert_non_null(strstr(pm_error_text(), "f.gguf: "));
        for (size_t k = 0; k < 4 && bad[i].words[k]; k++)
            if (!strstr(pm_error_text(), bad[i].words[k])) fail_msg("row %zu: %s", i, pm_error_text());
        free(file);
    }
}

/* Everything that a model does with a file, without a device. */
static pm_status use(const unsigned char *file, size_t n) {
    pm_files files = {0};
    pm_checkpoint c = {0};
    pm_config config = {0};
    PM_TRY(pm_gguf_parse("f.gguf", file, n, &files.gguf));
    pm_status s = pm_config_open(&files, "config.json", &config);
    pm_config_close(&config);
    pm_status opened = pm_checkpoint_open(&files, &c);
    for (size_t i = 0; opened == PM_OK && i < c.shards[0].file.n_entries; i++) {
        const pm_array *a = &c.shards[0].file.entries[i].array;
        if (c.shards[0].file.entries[i].refusal || pm_array_elems(a) > 1 << 20) continue;
        float *x = malloc((size_t)pm_array_elems(a) * sizeof *x + 1);
        assert_non_null(x);
        pm_status read = pm_checkpoint_read(&c, a, x);
        if (opened == PM_OK) opened = read;
        free(x);
    }
    pm_checkpoint_close(&c);
    pm_gguf_close(files.gguf);
    return s == PM_OK ? opened : s;
}

/* A copy that ends where the allocation does, so that a sanitizer sees each byte too many. */
static pm_status use_copy(const unsigned char *file, size_t n) {
    unsigned char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, file, n);
    pm_status s = use(copy, n);
    free(copy);
    return s;
}

static void test_cut_and_changed(void **state) {
    test_path path = test_gguf_of("llama");
    size_t n;
    unsigned char *file = test_read_file(path.s, &n);
    test_rng r = {1};
    uint32_t n_accepted = 0;
    (void)state;
    assert_ok(use_copy(file, n));
    for (size_t cut = 0; cut < n; cut += cut < 4096 ? 7 : 4099)
        if (use_copy(file, cut) == PM_OK) fail_msg("%zu of %zu bytes were accepted", cut, n);
    for (int i = 0; i < 3000; i++) {
        size_t at = test_below(&r, i % 2 ? 2600 : 400); /* the head, and the keys */
        unsigned char old = file[at], values[] = {0, 1, 127, 255, (unsigned char)test_random(&r)};
        file[at] = values[test_below(&r, 5)];
        pm_status s = use_copy(file, n);
        assert_true(s == PM_OK || s == PM_ERR_FILE || s == PM_ERR_MEMORY);
        n_accepted += s == PM_OK;
        if (i % 5) file[at] = old; /* every fifth stays, so that damage adds up */
        if (i % 100 == 0) {
            free(file);
            file = test_read_file(path.s, &n);
        }
    }
    assert_true(n_accepted > 0);
    free(file);
}

/* No elements, but a dim that would take for ever to count to. */
static void test_empty_tensors(void **state) {
    test_gguf f = {0};
    size_t n;
    (void)state;
    test_gguf_text(&f, "general.architecture", "gpt2");
    test_gguf_tensor(&f, "blk.0.attn_qkv.weight", 0, 2, (int64_t[]){0, INT64_MAX}, NULL, 0);
    test_gguf_tensor(&f, "blk.0.ffn_up.weight", 0, 2, (int64_t[]){INT64_MAX, 0}, NULL, 0);
    unsigned char *file = test_gguf_bytes(&f, &n);
    assert_int_equal(use_copy(file, n), PM_ERR_FILE); /* the keys are missing */
    free(file);
}

/* ---- blocks ---- */

/* 64 blocks of random bytes (scales made positive and moderate, MXFP4's small): elements 1 of the first, the last of the last, and the sum
 * of all, each times a random weight. The numbers are what ggml's own functions give for these bytes. */
static const struct {
    unsigned type, elems, bytes;
    int d, m; /* where the two scales stand; -1: none (then byte 0 is made small) */
    double second, last, sum;
} golden[] = {
    {8, 32, 34, 0, -1, -0.536567688, 9.48046875, 9506285615.45},                /* Q8_0 */
    {2, 32, 18, 0, -1, -9.48730469, -14.578125, -2003181193.9},                 /* Q4_0 */
    {3, 32, 20, 0, 2, 0.445386887, 0.181533813, 26856690422.2},                 /* Q4_1 */
    {6, 32, 22, 0, -1, 0.631713867, -1.21337891, 1317408471.03},                /* Q5_0 */
    {7, 32, 24, 0, 2, 0.00311344862, 0.986986101, 40290404958.9},               /* Q5_1 */
    {10, 256, 84, 80, 82, 15.9375, -5.21484375, 81716003951.3},                 /* Q2_K */
    {11, 256, 110, 108, -1, 0, -162.5, 2882333965.18},                          /* Q3_K */
    {12, 256, 144, 0, 2, 51.5957642, 27.435791, 5.7104988637e+12},              /* Q4_K */
    {13, 256, 176, 0, 2, 0.226419926, 0.106190681, 1.2911140316e+13},           /* Q5_K */
    {14, 256, 210, 208, -1, -436.025391, -11.910553, -532905113919.0},          /* Q6_K */
    {39, 32, 17, -1, -1, -5.77778983e-34, -9.24446373e-33, -1.14196653044e-11}, /* MXFP4 */
};

static void assert_near(double is, double expected) {
    if (!(fabs(is - expected) <= 1e-6 * fabs(expected))) fail_msg("%.12g, expected %.12g", is, expected);
}

static void test_blocks(void **state) {
    (void)state;
    for (size_t k = 0; k < PM_COUNT(golden); k++) {
        const pm_block_type *type = pm_block_of_gguf(golden[k].type);
        test_rng r = {golden[k].type};
        double sum = 0;
        float x[257];
        assert_non_null(type);
        assert_int_equal(type->elems, golden[k].elems);
        assert_int_equal(type->bytes, golden[k].bytes);
        assert_ptr_equal(pm_block_of_dtype(type->dtype), type);
        for (int i = 0; i < 64; i++) {
            unsigned char *block = malloc(type->bytes); /* its end guarded by the sanitizer */
            for (unsigned b = 0; b < type->bytes; b++) block[b] = (unsigned char)(test_random(&r) >> 56);
            block[golden[k].d + 1] &= 0x3f;
            if (golden[k].m >= 0) block[golden[k].m + 1] &= 0x3f;
            x[type->elems] = 1e38f;
            type->to_f32(block, x);
            free(block);
            assert_true(x[type->elems] == 1e38f);
            for (unsigned e = 0; e < type->elems; e++) sum += (double)x[e] * (double)(test_random(&r) >> 40);
            if (i == 0) assert_near((double)x[1], golden[k].second);
        }
        assert_near((double)x[type->elems - 1], golden[k].last);
        assert_near(sum, golden[k].sum);
    }
}

/* A type that is not read, in a tensor that nobody asks for, is no error. */
static void test_unasked_type(void **state) {
    size_t n;
    pm_gguf *g;
    test_gguf f = {0};
    (void)state;
    test_gguf_tensor(&f, "odd", 16, 1, dims_32, NULL, 17);
    unsigned char *file = test_gguf_bytes(&f, &n);
    assert_ok(pm_gguf_parse("f.gguf", file, n, &g));
    assert_non_null(strstr(pm_gguf_find(g, "odd")->refusal, "type 16"));
    assert_null(pm_gguf_find(g, "even"));
    pm_gguf_close(g);
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),         cmocka_unit_test(test_texts),
        cmocka_unit_test(test_bad_files),       cmocka_unit_test(test_unasked_type),
        cmocka_unit_test(test_cut_and_changed), cmocka_unit_test(test_empty_tensors),
        cmocka_unit_test(test_blocks)};
    return run_all_tests(tests);
}
