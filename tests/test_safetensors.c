/* The safetensors reader and writer, and the conversions: whole files, cut files, absurd headers. */
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/convert.h"
#include "models/safetensors.h"

/* ---- a file from its header ---- */

static pm_status parse(const char *header, size_t data_bytes, pm_arena *arena, pm_safetensors *out) {
    size_t n = strlen(header);
    unsigned char *file = calloc(8 + n + data_bytes + 1, 1);
    assert_non_null(file);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)(n >> 8 * i);
    memcpy(file + 8, header, n);
    pm_status s = pm_safetensors_parse("f.safetensors", file, 8 + n + data_bytes, arena, out);
    free(file); /* the arrays' data is not looked at */
    return s;
}

typedef struct bad_header {
    const char *header;
    size_t data_bytes;
    const char *words[4];
} bad_header;

static const bad_header bad_headers[] = {
    {"", 0, {"header"}},
    {"[]", 0, {"not a JSON object"}},
    {"{\"a\":", 0, {"header"}},
    {"{\"a\":1}", 0, {"tensor a", "not an object"}},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, {"tensor a", "dtype is missing"}},
    {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,5]}}", 4, {"tensor a", "0 to 5"}},
    {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, {"tensor a", "dtype"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, {"tensor a", "shape"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, {"tensor a", "-1"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, {"tensor a", "not an integer"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,2],\"data_offsets\":[0,4]}}",
     4,
     {"tensor a", "2 elements"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,-7],\"data_offsets\":[0,4]}}", 4, {"tensor a", "-7"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}",
     4,
     {"tensor a", "overflows"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 4, {"tensor a"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,0]}}", 4, {"header"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, {"tensor a", "data_offsets"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, {"tensor a", "-4"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 8, {"tensor a", "4 to 0"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     3,
     {"tensor a", "0 to 4", "3 bytes"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
     4,
     {"tensor a", "span 4", "2 elements of F32"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[2,6]}}",
     6,
     {"a and b", "share"}},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
     "\"data_offsets\":[4,8]}}",
     8,
     {"duplicate"}},
};

static void test_bad_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bad_headers); i++) {
        pm_arena arena = {0};
        pm_safetensors f;
        pm_status s = parse(bad_headers[i].header, bad_headers[i].data_bytes, &arena, &f);
        if (s != PM_ERR_FILE) fail_msg("%s: status %d", bad_headers[i].header, (int)s);
        assert_non_null(strstr(pm_error_text(), "f.safetensors"));
        for (const char *const *w = bad_headers[i].words; *w; w++)
            if (!strstr(pm_error_text(), *w)) fail_msg("\"%s\" is not in: %s", *w, pm_error_text());
        pm_arena_free(&arena);
    }
}

static void test_odd_headers(void **state) {
    (void)state;
    static const char *const good[] = {
        "{}   ",
        "{\"__metadata__\":{\"format\":\"pt\"}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[4,4]}}",
        "{\"a\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F31\",\"shape\":[9],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
        /* clang takes two literals side by side in a table for a forgotten comma */
        "{\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[4,12]},\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
    };
    for (size_t i = 0; i < PM_COUNT(good); i++) {
        pm_arena arena = {0};
        pm_safetensors f;
        assert_ok(parse(good[i], 12, &arena, &f));
        if (i + 1 == PM_COUNT(good)) {
            assert_int_equal(f.n_entries, 2);
            assert_string_equal(f.entries[0].array.name, "a");
            assert_int_equal(pm_safetensors_find(&f, "b")->array.dtype, PM_I64);
            assert_null(pm_safetensors_find(&f, "c"));
        }
        pm_arena_free(&arena);
    }
}

/* Every beginning of a good file is a bad file, and none of them is read past its end (the copy is exact, for
 * ASan). */
static void test_cut_files(void **state) {
    (void)state;
    size_t n;
    unsigned char *whole = test_read_file(test_reference("gpt2", "reference.safetensors").s, &n);
    for (size_t cut = 0; cut < n; cut += cut < 700 ? 1 : 997) {
        pm_arena arena = {0};
        pm_safetensors f;
        unsigned char *part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, whole, cut);
        assert_int_equal(pm_safetensors_parse("cut", part, cut, &arena, &f), PM_ERR_FILE);
        pm_arena_free(&arena);
        free(part);
    }
    free(whole);
}

/* ---- sets ---- */

static void test_round_trip(void **state) {
    (void)state;
    test_path folder = test_folder(), path = test_join(&folder, "x.safetensors");
    pm_tensors *set, *back;
    float f[6] = {1, -2, 3.5f, 0, 1e-30f, 7};
    unsigned char *data = (unsigned char *)f;
    assert_ok(pm_tensors_create(&set));
    assert_ok(pm_tensors_add(
        set, &(pm_array){.name = "u8 \"odd\"", .dtype = PM_U8, .rank = 1, .dims = {3}, .data = data}, NULL));
    assert_ok(
        pm_tensors_add(set, &(pm_array){.name = "f", .dtype = PM_F32, .rank = 2, .dims = {9, 9}}, NULL));
    assert_ok(pm_tensors_add(set,
                             &(pm_array){.name = "f", .dtype = PM_F32, .rank = 2, .dims = {2, 3}, .data = f},
                             NULL)); /* replaces */
    assert_ok(pm_tensors_add(set, &(pm_array){.name = "i", .dtype = PM_I64, .rank = 0, .data = data}, NULL));
    assert_int_equal(pm_tensors_count(set), 3);
    assert_ok(pm_tensors_write(set, path.s));
    assert_ok(pm_tensors_read(path.s, &back));
    assert_int_equal(pm_tensors_count(back), 3);
    const pm_array *a = pm_tensors_get(back, "f");
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->dims[1], 3);
    assert_int_equal((uintptr_t)a->data % sizeof(float), 0); /* though 3 bytes stand before it in the file */
    assert_memory_equal(a->data, f, sizeof f);
    assert_int_equal(pm_tensors_get(back, "u8 \"odd\"")->bytes, 3);
    assert_int_equal(pm_tensors_get(back, "i")->rank, 0);
    pm_tensors_free(back);
    pm_tensors_free(set);
}

static void test_write_fails_whole(void **state) {
    (void)state;
    pm_tensors *set;
    assert_ok(pm_tensors_create(&set));
    assert_int_equal(pm_tensors_write(set, "/nonexistent/x.safetensors"), PM_ERR_OTHER);
    assert_non_null(strstr(pm_error_text(), "/nonexistent/x.safetensors"));
    pm_tensors_free(set);
    pm_tensors *none;
    assert_int_equal(pm_tensors_read("/nonexistent/x.safetensors", &none), PM_ERR_FILE);
    assert_null(none);
}

/* ---- where files go ---- */

static size_t n_files(const test_path *folder) {
    size_t n = 0;
    DIR *d = opendir(folder->s);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(d);
    return n;
}

static void expect_file(const char *path, const char *text, mode_t mode) {
    size_t n;
    struct stat st;
    char *data = (char *)test_read_file(path, &n);
    assert_string_equal(data, text);
    free(data);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 0777, mode);
}

/* A file takes the umask's mode when it is new and keeps its own when it is not; links are written through, also one
 * that points at nothing yet. */
static void test_write_places(void **state) {
    (void)state;
    test_path folder = test_folder(), file = test_join(&folder, "a.safetensors"),
              link = test_join(&folder, "b.safetensors"), loose = test_join(&folder, "x.safetensors"),
              target = test_join(&folder, "config.json");
    mode_t old = umask(027);
    assert_ok(pm_file_write(file.s, "one", 3));
    expect_file(file.s, "one", 0640);
    assert_int_equal(chmod(file.s, 0604), 0);
    assert_int_equal(symlink("a.safetensors", link.s), 0);
    assert_ok(pm_file_write(link.s, "two", 3));
    expect_file(file.s, "two", 0604);
    assert_int_equal(symlink("config.json", loose.s), 0);
    assert_ok(pm_file_write(loose.s, "three", 5));
    expect_file(target.s, "three", 0640);
    umask(old);
    struct stat st;
    assert_true(lstat(link.s, &st) == 0 && S_ISLNK(st.st_mode));
    assert_true(lstat(loose.s, &st) == 0 && S_ISLNK(st.st_mode));
    assert_int_equal(n_files(&folder), 4);
}

/* What is no file is written to as it stands, and a failure leaves nothing. */
static void test_write_devices(void **state) {
    (void)state;
    test_path folder = test_folder(), pipe = test_join(&folder, "x.safetensors"),
              link = test_join(&folder, "a.safetensors");
    char text[8] = {0};
    struct stat st;
    assert_int_equal(mkfifo(pipe.s, 0600), 0);
    int fd = open(pipe.s, O_RDWR);
    assert_true(fd >= 0);
    assert_ok(pm_file_write(pipe.s, "four", 4));
    assert_int_equal(read(fd, text, sizeof text), 4);
    assert_string_equal(text, "four");
    close(fd);
    assert_true(lstat(pipe.s, &st) == 0 && S_ISFIFO(st.st_mode));
    assert_ok(pm_file_write("/dev/null", "five", 4));
    assert_true(lstat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));
    assert_int_equal(pm_file_write(folder.s, "six", 3), PM_ERR_OTHER);
    if (access("/dev/full", W_OK) == 0) assert_int_equal(pm_file_write("/dev/full", "six", 3), PM_ERR_OTHER);
    assert_int_equal(symlink("none/b.safetensors", link.s), 0);
    assert_int_equal(pm_file_write(link.s, "six", 3), PM_ERR_OTHER);
    assert_int_equal(n_files(&folder), 2);
}

static pm_status write_x(void *user) {
    return pm_file_write(user, "six", 3);
}

static void test_write_out_of_memory(void **state) {
    (void)state;
    test_path folder = test_folder(), path = test_join(&folder, "x.safetensors");
    assert_true(test_every_allocation(write_x, path.s) >= 2);
    assert_int_equal(n_files(&folder), 1);
}

static void test_bad_arrays(void **state) {
    (void)state;
    pm_tensors *set;
    assert_ok(pm_tensors_create(&set));
    assert_int_equal(pm_tensors_add(set, &(pm_array){.name = "a", .rank = 6}, NULL), PM_ERR_USAGE);
    assert_int_equal(pm_tensors_add(set, &(pm_array){.name = "a", .rank = 1, .dims = {-1}}, NULL),
                     PM_ERR_USAGE);
    assert_int_equal(pm_tensors_add(set, &(pm_array){.name = "a", .rank = 2, .dims = {INT64_MAX, 8}}, NULL),
                     PM_ERR_USAGE);
    assert_int_equal(pm_tensors_add(set, &(pm_array){.rank = 0}, NULL), PM_ERR_USAGE);
    assert_int_equal(pm_tensors_count(set), 0);
    pm_tensors_free(set);
}

/* ---- conversions ---- */

static void test_halves(void **state) {
    (void)state;
    static const struct {
        uint16_t h;
        float f;
    } rows[] = {{0x0000, 0},        {0x3c00, 1},
                {0xc000, -2},       {0x7bff, 65504},
                {0x0001, 0x1p-24f}, {0x83ff, -1023 * 0x1p-24f},
                {0x0400, 0x1p-14f}, {0x3555, 0.333251953125f},
                {0x7c00, INFINITY}, {0xfc00, -INFINITY}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        float f = pm_f16_to_f32(rows[i].h);
        assert_memory_equal(&f, &rows[i].f, sizeof f);
    }
    assert_true(isnan(pm_f16_to_f32(0x7e00)));
    float zero = pm_f16_to_f32(0x8000);
    assert_true(zero == 0 && signbit(zero));
    unsigned char bf16[5] = {0xff, 0x80, 0x3f, 0x49, 0xc0}; /* not aligned */
    float f[2];
    assert_ok(pm_convert_f32(
        &(pm_array){.name = "b", .dtype = PM_BF16, .rank = 1, .dims = {2}, .data = bf16 + 1}, f));
    assert_true(f[0] == 1.0f && f[1] == -3.140625f);
}

static void test_integers(void **state) {
    (void)state;
    unsigned char v[16] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 7};
    int32_t out[16];
    pm_array a = {.name = "ids", .dtype = PM_I64, .rank = 1, .dims = {2}, .data = v};
    assert_ok(pm_convert_i32(&a, out));
    assert_true(out[0] == -2 && out[1] == 7);
    v[12] = 1;
    assert_int_equal(pm_convert_i32(&a, out), PM_ERR_FILE);
    assert_non_null(strstr(pm_error_text(), "ids"));
    assert_non_null(strstr(pm_error_text(), "4294967303"));
    a.dtype = PM_F32;
    assert_int_equal(pm_convert_i32(&a, out), PM_ERR_FILE);
    a.dtype = PM_BOOL;
    assert_ok(pm_convert_i32(&a, out));
    assert_true(out[0] == 1);
    assert_int_equal(pm_convert_f32(&a, (float *)out), PM_ERR_FILE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_headers),       cmocka_unit_test(test_odd_headers),
        cmocka_unit_test(test_cut_files),         cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_write_fails_whole), cmocka_unit_test(test_write_places),
        cmocka_unit_test(test_write_devices),     cmocka_unit_test(test_write_out_of_memory),
        cmocka_unit_test(test_bad_arrays),        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_integers),
    };
    return run_all_tests(tests);
}
