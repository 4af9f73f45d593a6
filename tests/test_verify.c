/* Verification: a right device passes; a planted error (test_break_kernel) is found and its operation named, for every kernel that a
 * model uses; a report's tensors can be read back; the verdict's text says what and where. */
#include "tests/support_models.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "graph/program.h"

/* Verifies a model on a device with kernel `broken` (-1: none) spoiled. The report is freed by the caller. */
static pm_status verify(const char *model, const char *device, int broken, const char *dump_dir,
                        pm_verify_report *out) {
    pm_device_options o = {.test_break_kernel = broken + 1};
    pm_model *m = NULL;
    pm_device *d = NULL;
    pm_session *s = NULL;
    *out = (pm_verify_report){.first_out = -1};
    assert_ok(pm_model_open(test_reference(model, NULL).s, &m));
    assert_ok(pm_device_open(device, &o, &d));
    assert_ok(pm_session_open(m, d, &s));
    pm_status status = pm_session_verify(s, NULL, dump_dir, out);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
    return status;
}

/* A right device: every dispatch of every program compared, none out, bits repeat. */
static void expect_pass(const char *model, const char *device) {
    pm_verify_report r;
    pm_status s = verify(model, device, -1, NULL, &r);
    if (s != PM_OK) fail_msg("%s on %s: %s", model, device, pm_error_text());
    assert_true(r.n_rows > 10);
    assert_true(r.bit_equal);
    for (size_t i = 0; i < r.n_rows; i++) {
        assert_int_equal(r.rows[i].n_out, 0);
        assert_true(r.rows[i].n_elements > 0);
        assert_true(r.rows[i].worst_ratio <= 1);
    }
    pm_verify_report_free(&r);
}

static bool uses(const pm_verify_report *r, pm_kernel k) {
    for (size_t i = 0; i < r->n_rows; i++)
        if (!strcmp(r->rows[i].kernel, pm_kernel_get(k)->name)) return true;
    return false;
}

/* A broken kernel: found, and the first row out is of that kernel; kernels that were left alone stay within bounds. */
static void expect_named(const char *model, const char *device, pm_kernel broken) {
    pm_verify_report r;
    const char *name = pm_kernel_get(broken)->name;
    pm_status s = verify(model, device, (int)broken, NULL, &r);
    for (size_t i = 0; i < r.n_rows; i++)
        if (strcmp(r.rows[i].kernel, name) != 0 && r.rows[i].n_out)
            fail_msg("%s was broken, but %s is out", name, r.rows[i].label);
    assert_int_equal(s, PM_ERR_VERIFY);
    assert_true(r.first_out >= 0);
    assert_string_equal(r.rows[r.first_out].kernel, name);
    assert_non_null(strstr(pm_error_text(), r.rows[r.first_out].label));
    pm_verify_report_free(&r);
}

/* The first of the models that uses a kernel, or NULL. */
static const char *model_with(pm_kernel k) {
    static const char *const models[] = {"llama", "gpt2", "mixtral"};
    for (size_t i = 0; i < PM_COUNT(models); i++) {
        pm_verify_report r;
        assert_ok(verify(models[i], "cpu", -1, NULL, &r));
        bool used = uses(&r, k);
        pm_verify_report_free(&r);
        if (used) return models[i];
    }
    return NULL;
}

static void check_device(const char *device) {
    static const char *const models[] = {"gpt2",    "llama",   "transformer", "bert-mlm",
                                         "mixtral", "gpt-oss", "t5"};
    size_t n_broken = 0;
    for (size_t i = 0; i < PM_COUNT(models); i++) expect_pass(models[i], device);
    for (int k = 0; k < PM_N_KERNELS; k++) {
        const char *model = model_with((pm_kernel)k);
        if (model) expect_named(model, device, (pm_kernel)k);
        n_broken += model != NULL;
    }
    assert_true(n_broken >= 12); /* all but unary, where and reduce, which fusion leaves no use for here */
}

static void test_cpu(void **state) {
    (void)state;
    check_device("cpu");
}

static void test_vulkan(void **state) {
    (void)state;
    pm_device *d = test_open_device(test_device());
    if (!d) skip_because("no device %s: %s", test_device(), pm_error_text());
    pm_device_close(d);
    check_device(test_device());
}

/* The offender's tensors: NumPy files, got and want differing in one place. */
static void test_dump(void **state) {
    (void)state;
    char dir[] = "/tmp/pumice-verify-XXXXXX";
    assert_non_null(mkdtemp(dir));
    pm_verify_report r;
    assert_int_equal(verify("gpt2", "cpu", PM_KERNEL_SOFTMAX, dir, &r), PM_ERR_VERIFY);
    static const char *const parts[] = {"got", "want", "bound", "operand0"};
    size_t found = 0;
    for (size_t row = 0; row < r.n_rows; row++)
        for (size_t i = 0; i < PM_COUNT(parts); i++) {
            char path[256], head[6];
            snprintf(path, sizeof path, "%s/%04zu-softmax-%s.npy", dir, row, parts[i]);
            FILE *f = fopen(path, "rb");
            if (!f) continue;
            assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
            assert_memory_equal(head, "\x93NUMPY", 6);
            fseek(f, 0, SEEK_END);
            assert_true(ftell(f) > 128);
            fclose(f);
            unlink(path);
            found++;
        }
    assert_true(found >= PM_COUNT(parts));
    pm_verify_report_free(&r);
    char command[300]; /* operands beyond the first */
    snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cpu), cmocka_unit_test(test_vulkan),
                                       cmocka_unit_test(test_dump)};
    return run_all_tests(tests);
}
