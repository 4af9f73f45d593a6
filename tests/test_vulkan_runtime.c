/* The Vulkan executor on this machine's device: loading, replaying, the shared arena, limits, cuts, staging,
 * the pipeline cache, programs that are refused. What the kernels compute is tested in test_ops_vulkan.c. */
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "graph/compile.h"
#include "runtime/verify.h"
#include "runtime/vulkan/vk.h"
#include "tests/support.h"
#include "tests/support_memory.h"

#define ROWS  3
#define WIDTH 40

/* ---- one program and what it must give ---- */

typedef struct loaded_case {
    pm_executor *ex;
    pm_program *program;
    pm_loaded *loaded;
    int64_t rows;
    float *x, *w, *want;
    size_t n; /* of x and want */
} loaded_case;

/* y = (relu(x w^T) w^T), in two products so that there is something to wait for. */
static pm_status compile(const pm_caps *caps, int64_t rows, pm_program **out) {
    pm_graph *g;
    PM_TRY(pm_graph_create("two", &g));
    pm_tensor *x = pm_input(g, "x", PM_F32, 2, (int64_t[]){rows, WIDTH});
    pm_tensor *w = pm_weight(g, "w", PM_F32, 2, (int64_t[]){WIDTH, WIDTH});
    pm_output(g, "y", pm_matmul(g, pm_relu(g, pm_matmul(g, x, w)), w));
    pm_status s = pm_graph_status(g);
    if (s == PM_OK) s = pm_compile(g, &(pm_compile_options){.caps = caps}, out);
    pm_graph_destroy(g);
    return s;
}

static void multiply(const float *x, const float *w, int64_t rows, bool relu, float *out) {
    for (int64_t r = 0; r < rows; r++)
        for (int n = 0; n < WIDTH; n++) {
            double sum = 0;
            for (int k = 0; k < WIDTH; k++) sum += (double)x[r * WIDTH + k] * (double)w[n * WIDTH + k];
            out[r * WIDTH + n] = (float)(relu && sum < 0 ? 0 : sum);
        }
}

static void fill_data(loaded_case *c, int64_t rows) {
    test_rng r = {(uint64_t)rows};
    c->rows = rows;
    c->n = (size_t)(rows * WIDTH);
    c->x = calloc(c->n, sizeof *c->x);
    c->want = calloc(c->n, sizeof *c->want);
    c->w = calloc(WIDTH * WIDTH, sizeof *c->w);
    float *middle = calloc(c->n, sizeof *middle);
    test_rng same = {7}; /* all cases share the weight */
    for (size_t i = 0; i < c->n; i++) c->x[i] = test_uniform(&r, -1, 1);
    for (size_t i = 0; i < WIDTH * WIDTH; i++) c->w[i] = test_uniform(&same, -1, 1);
    multiply(c->x, c->w, rows, true, middle);
    multiply(middle, c->w, rows, false, c->want);
    free(middle);
}

static void case_load(loaded_case *c, pm_executor *ex, int64_t rows) {
    *c = (loaded_case){.ex = ex};
    fill_data(c, rows);
    assert_ok(pm_executor_put(ex, "w", c->w, WIDTH * WIDTH * 4));
    assert_ok(compile(pm_executor_caps(ex), rows, &c->program));
    assert_ok(pm_executor_load(ex, c->program, &c->loaded));
}

static void case_free(loaded_case *c) {
    pm_loaded_unload(c->loaded);
    pm_program_destroy(c->program);
    free(c->x);
    free(c->w);
    free(c->want);
}

static double worst_difference(const float *a, const float *b, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        if (!(d >= 0 ? d <= worst : -d <= worst))
            worst = d >= 0 ? d : d < 0 ? -d : 1e30; /* NaN is the worst */
    }
    return worst;
}

/* Runs it on its x; the largest error. */
static double case_error(loaded_case *c) {
    float *y = calloc(c->n, sizeof *y);
    assert_ok(pm_loaded_write(c->loaded, 0, c->x, c->n * 4));
    assert_ok(pm_loaded_run(c->loaded));
    assert_ok(pm_loaded_read(c->loaded, 0, y, c->n * 4));
    double worst = worst_difference(y, c->want, c->n);
    free(y);
    return worst;
}

#define assert_right(c) assert_true(case_error(c) < 1e-4)

static pm_executor_stats stats_of(const pm_executor *ex) {
    pm_executor_stats s;
    pm_executor_get_stats(ex, &s);
    return s;
}

/* NULL, after saying so, when there is no Vulkan device here. */
static pm_executor *open_device(pm_executor_options options) {
    pm_caps *caps;
    size_t n;
    const char *note;
    assert_ok(pm_executor_list(&caps, &n, &note));
    bool any = n > 0 && caps[0].vulkan;
    pm_free(caps);
    if (!any) return NULL;
    pm_executor *ex;
    if (!options.cache_dir) options.no_cache = true;
    assert_ok(pm_executor_open(test_device(), &options, &ex));
    return ex;
}

#define OPEN(name, ...)                                                                                      \
    pm_executor *name = open_device((pm_executor_options){__VA_ARGS__});                                     \
    if (!name) skip_because("no Vulkan device on this machine")

/* ---- tests ---- */

static void test_caps_are_sane(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    const pm_caps *c = pm_executor_caps(ex);
    assert_true(c->vulkan && c->name[0]);
    assert_true(c->binding_alignment >= 16 && (c->binding_alignment & (c->binding_alignment - 1)) == 0);
    assert_true(c->subgroup_min >= 1 && c->subgroup_min <= c->subgroup_max);
    assert_true(c->shared_bytes >= 16384 && c->max_workgroup_invocations >= 128);
    assert_true(c->push_constant_bytes >= 128 && c->max_binding_bytes >= 1u << 27);
    assert_true(c->max_block_bytes >= 1u << 30 && c->memory_bytes > 0);
    for (int i = 0; i < 3; i++) assert_true(c->max_groups[i] >= 65535 && c->max_workgroup_size[i] >= 64);
    assert_true(c->type != PM_DEVICE_SOFTWARE_GPU || c->submit_cost == 0);
    pm_executor_close(ex);
}

static void test_no_such_device(void **state) {
    (void)state;
    pm_executor *ex = NULL;
    assert_int_equal(pm_executor_open("vulkan:99", NULL, &ex), PM_ERR_DEVICE);
    assert_null(ex);
}

static void test_replaying_records_nothing(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    loaded_case c;
    case_load(&c, ex, ROWS);
    pm_executor_stats before = stats_of(ex);
    assert_int_equal(before.n_recordings, 1);
    for (int i = 0; i < 4; i++) assert_right(&c);
    pm_executor_stats after = stats_of(ex);
    assert_int_equal(after.n_recordings, 1);
    assert_int_equal(after.n_runs, 4);
    assert_int_equal(after.n_submits - before.n_submits, 4);
    case_free(&c);
    pm_executor_close(ex);
}

static void test_arena_grows_under_a_loaded_program(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    loaded_case small, large;
    case_load(&small, ex, ROWS);
    assert_right(&small);
    uint64_t bytes = stats_of(ex).arena_bytes;
    case_load(&large, ex, 700);
    assert_true(stats_of(ex).arena_bytes > bytes);
    assert_int_equal(stats_of(ex).n_recordings, 2);
    assert_right(&large);
    assert_right(&small); /* bound and recorded anew, once */
    assert_int_equal(stats_of(ex).n_recordings, 3);
    assert_right(&large);
    assert_right(&small);
    assert_int_equal(stats_of(ex).n_recordings, 3);
    case_free(&large);
    assert_right(&small);
    case_free(&small);
    pm_executor_close(ex);
}

static void test_submissions_are_cut(void **state) {
    (void)state;
    OPEN(ex, .submit_cost = 1);
    assert_int_equal(pm_executor_caps(ex)->submit_cost, 1);
    loaded_case c;
    case_load(&c, ex, ROWS);
    assert_true(c.program->n_submits > 1);
    assert_int_equal(stats_of(ex).n_recordings, c.program->n_submits);
    assert_right(&c);
    assert_int_equal(stats_of(ex).n_submits, c.program->n_submits);
    assert_right(&c);
    case_free(&c);
    pm_executor_close(ex);
}

static void test_blocks_stay_below_the_limit(void **state) {
    (void)state;
    OPEN(ex, .max_block_bytes = 1 << 20);
    assert_int_equal(pm_executor_caps(ex)->max_block_bytes, 1 << 20);
    const size_t bytes = 700000; /* two do not fit in one block */
    unsigned char *data = malloc(bytes), *back = malloc(bytes);
    const char *names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        memset(data, 'a' + i, bytes);
        assert_ok(pm_executor_put(ex, names[i], data, bytes));
    }
    for (int i = 0; i < 3; i++) {
        memset(data, 'a' + i, bytes);
        assert_ok(pm_executor_get(ex, names[i], back, bytes));
        assert_memory_equal(data, back, bytes);
    }
    assert_int_equal(stats_of(ex).store_bytes, 3 * bytes);
    assert_int_equal(pm_executor_put(ex, "large", NULL, (1 << 20) + 4), PM_ERR_MEMORY);
    assert_non_null(strstr(pm_error_text(), "large"));
    assert_false(pm_executor_has(ex, "large"));
    free(data);
    free(back);
    pm_executor_close(ex);
}

static void test_store_names(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    int32_t words[4] = {1, 2, 3, 4}, back[4];
    assert_ok(pm_executor_put(ex, "a", words, sizeof words));
    assert_ok(pm_executor_put(ex, "b", words, sizeof words));
    assert_int_equal(pm_executor_put(ex, "a", words, 8), PM_ERR_USAGE);
    assert_int_equal(pm_executor_get(ex, "a", back, 8), PM_ERR_USAGE);
    pm_executor_drop(ex, "a");
    assert_false(pm_executor_has(ex, "a"));
    assert_ok(pm_executor_put(ex, "zeros", NULL, sizeof words)); /* in the place of a */
    assert_ok(pm_executor_get(ex, "zeros", back, sizeof back));
    for (int i = 0; i < 4; i++) assert_int_equal(back[i], 0);
    assert_ok(pm_executor_get(ex, "b", back, sizeof back));
    assert_memory_equal(back, words, sizeof words);
    pm_executor_drop(ex, "zeros");
    pm_executor_drop(ex, "b"); /* the block goes too */
    assert_ok(pm_executor_put(ex, "b", words, sizeof words));
    assert_ok(pm_executor_get(ex, "b", back, sizeof back));
    assert_memory_equal(back, words, sizeof words);
    pm_executor_close(ex);
}

/* As on a device whose memory the host cannot map: all goes through the ring, in several parts. */
static void check_staging(pm_executor *ex) {
    ex->caps.unified_memory = false;
    const size_t n = 5 << 20, bytes = n * 4;
    uint32_t *data = malloc(bytes), *back = malloc(bytes);
    for (size_t i = 0; i < n; i++) data[i] = (uint32_t)(i * 2654435761u);
    assert_ok(pm_executor_put(ex, "large", NULL, bytes));
    assert_ok(pm_executor_put(ex, "large", data, bytes));
    assert_ok(pm_executor_get(ex, "large", back, bytes));
    assert_memory_equal(data, back, bytes);
    assert_ok(pm_executor_put(ex, "large", NULL, bytes));
    assert_ok(pm_executor_get(ex, "large", back, bytes));
    for (size_t i = 0; i < n; i++)
        if (back[i]) fail_msg("word %zu is not zero", i);
    loaded_case c;
    case_load(&c, ex, ROWS);
    assert_right(&c);
    case_free(&c);
    free(data);
    free(back);
}

static void test_staging(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    check_staging(ex);
    pm_executor_close(ex);
}

static void test_steps_make_a_run(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    loaded_case c;
    case_load(&c, ex, ROWS);
    float *y = calloc(c.n, sizeof *y);
    assert_ok(pm_loaded_poke(c.loaded, &c.program->inputs[0].range, c.x));
    for (uint32_t i = 0; i < c.program->n_dispatches; i++) assert_ok(pm_loaded_step(c.loaded, i));
    assert_ok(pm_loaded_peek(c.loaded, &c.program->outputs[0].range, y));
    assert_true(worst_difference(y, c.want, c.n) < 1e-4);
    free(y);
    case_free(&c);
    pm_executor_close(ex);
}

static void test_profile(void **state) {
    (void)state;
    OPEN(ex, .profile = true);
    loaded_case c;
    case_load(&c, ex, ROWS);
    assert_right(&c);
    const uint64_t *times = pm_loaded_times_ns(c.loaded);
    assert_int_equal(times != NULL, pm_executor_caps(ex)->timestamps);
    uint64_t sum = 0;
    for (uint32_t i = 0; times && i < c.program->n_dispatches; i++) sum += times[i];
    assert_true(!times || (sum > 0 && sum < 60000000000ull));
    case_free(&c);
    pm_executor_close(ex);
}

static void test_broken_kernel_is_broken(void **state) {
    (void)state;
    OPEN(ex, .broken_kernel = 1 + PM_KERNEL_MATMUL);
    loaded_case c;
    case_load(&c, ex, ROWS);
    assert_true(case_error(&c) > 1);
    case_free(&c);
    pm_executor_close(ex);
}

static void test_missing_weight(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    pm_program *p;
    pm_loaded *l = NULL;
    assert_ok(compile(pm_executor_caps(ex), ROWS, &p));
    assert_int_equal(pm_executor_load(ex, p, &l), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "'w'"));
    assert_null(l);
    assert_ok(pm_executor_put(ex, "w", NULL, 8));
    assert_int_equal(pm_executor_load(ex, p, &l), PM_ERR_USAGE);
    pm_program_destroy(p);
    pm_executor_close(ex);
}

/* ---- the pipeline cache ---- */

/* The only file of the folder, as a path; "" when there is none. */
static void only_file(const char *dir, char *out, size_t size) {
    DIR *d = opendir(dir);
    int n = 0;
    out[0] = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && ++n) snprintf(out, size, "%s/%s", dir, e->d_name);
    if (d) closedir(d);
    assert_true(n <= 1);
}

static void run_with_cache(const char *dir) {
    pm_executor *ex = open_device((pm_executor_options){.cache_dir = dir});
    loaded_case c;
    case_load(&c, ex, ROWS);
    assert_right(&c);
    case_free(&c);
    pm_executor_close(ex);
}

/* keep: bytes that stay; the byte at `change` is changed where it is below that. */
static void damage(const char *path, size_t keep, size_t change) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    static unsigned char data[1 << 20];
    size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    if (keep > n) keep = n;
    if (change < keep) data[change] ^= 0xff;
    f = fopen(path, "wb");
    assert_int_equal(fwrite(data, 1, keep, f), keep);
    fclose(f);
}

static void test_damaged_cache_is_ignored(void **state) {
    (void)state;
    OPEN(probe, .n_threads = 0);
    pm_executor_close(probe);
    char base[] = "/tmp/pumice-cache-XXXXXX", dir[64], path[512];
    assert_non_null(mkdtemp(base));
    snprintf(dir, sizeof dir, "%s/made", base);
    run_with_cache(dir);
    only_file(dir, path, sizeof path);
    assert_true(path[0] != 0);
    run_with_cache(dir); /* a good one */
    const size_t cases[][2] = {{0, 0},       {7, 9},        {24, 99},     {1 << 20, 0},
                               {1 << 20, 9}, {1 << 20, 30}, {1 << 20, 50}};
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        damage(path, cases[i][0], cases[i][1]);
        run_with_cache(dir);
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(rmdir(base), 0);
}

/* All at once: timed, cut into many submissions, an arena that grew under a loaded program, single steps. */
static void test_timed_cut_and_grown(void **state) {
    (void)state;
    OPEN(ex, .submit_cost = 1, .profile = true);
    loaded_case small, large;
    case_load(&small, ex, ROWS);
    case_load(&large, ex, 700);
    for (int i = 0; i < 2; i++) {
        assert_right(&small);
        assert_right(&large);
    }
    for (uint32_t i = 0; i < large.program->n_dispatches; i++) assert_ok(pm_loaded_step(large.loaded, i));
    case_free(&small);
    case_free(&large);
    check_staging(ex);
    pm_executor_close(ex);
}

/* ---- programs that the compiler would not make ---- */

static void set_no_bindings(pm_dispatch *d) {
    d->n_bindings = 0;
}
static void set_few_bindings(pm_dispatch *d) {
    d->n_bindings--;
}
static void set_few_parameters(pm_dispatch *d) {
    d->param_bytes -= 4;
}
static void set_other_kernel(pm_dispatch *d) {
    d->variant = PM_VARIANT_ATTENTION_F32_F32_TILED;
}
static void set_empty_range(pm_dispatch *d) {
    d->bindings[0].bytes = 0;
}
static void set_far_range(pm_dispatch *d) {
    d->bindings[0].offset = 1ull << 40;
}
static void set_odd_range(pm_dispatch *d) {
    d->bindings[0].offset = 1;
}

static void test_wrong_programs_are_refused(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    static void (*const changes[])(pm_dispatch *) = {set_no_bindings,  set_few_bindings, set_few_parameters,
                                                     set_other_kernel, set_empty_range,  set_far_range,
                                                     set_odd_range};
    assert_ok(pm_executor_put(ex, "w", NULL, WIDTH * WIDTH * 4));
    for (size_t i = 0; i < PM_COUNT(changes); i++) {
        pm_program *p;
        pm_loaded *l = NULL;
        assert_ok(compile(pm_executor_caps(ex), ROWS, &p));
        changes[i](&p->dispatches[0]);
        assert_int_equal(pm_executor_load(ex, p, &l), PM_ERR_OTHER);
        assert_non_null(strstr(pm_error_text(), "load: program 'two'"));
        pm_loaded_unload(l);
        pm_program_destroy(p);
    }
    pm_executor_close(ex);
}

/* ---- drivers that misbehave: their functions are replaced in the executor's table ---- */

static PFN_vkQueueSubmit real_submit;

/* Work without a fence is dropped without a word, as a kernel driver may do after a reset. */
static VKAPI_ATTR VkResult VKAPI_CALL drop_without_fence(VkQueue queue, uint32_t n, const VkSubmitInfo *infos,
                                                         VkFence fence) {
    return fence ? real_submit(queue, n, infos, fence) : VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL fail_to_submit(VkQueue queue, uint32_t n, const VkSubmitInfo *infos,
                                                     VkFence fence) {
    (void)queue, (void)n, (void)infos, (void)fence;
    return VK_ERROR_OUT_OF_DEVICE_MEMORY;
}

static void test_verify_sees_a_dropped_submission(void **state) {
    (void)state;
    OPEN(ex, .submit_cost = 1);
    pm_vk_executor *vk = (pm_vk_executor *)ex;
    loaded_case c;
    case_load(&c, ex, ROWS);
    assert_true(c.program->n_submits > 1);
    real_submit = vk->d.vkQueueSubmit;
    for (int dropping = 0; dropping < 2; dropping++) {
        pm_verify_report r = {.first_out = -1, .bit_equal = true};
        const pm_verify_job job = {
            .name = "two", .program = c.program, .device = ex, .inputs = (const void *const[]){c.x}};
        vk->d.vkQueueSubmit = dropping ? drop_without_fence : real_submit;
        assert_ok(pm_verify_program(&job, &r));
        assert_true(r.first_out < 0); /* each operation alone is right */
        assert_true(r.bit_equal == !dropping);
        assert_int_equal(pm_verify_verdict(&r), dropping ? PM_ERR_VERIFY : PM_OK);
        pm_verify_report_free(&r);
    }
    vk->d.vkQueueSubmit = real_submit;
    case_free(&c);
    pm_executor_close(ex);
}

/* Uploads wait in the ring, so that they are lost when it cannot be submitted: nothing may run after that. */
static void test_failed_upload_ends_the_device(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    pm_vk_executor *vk = (pm_vk_executor *)ex;
    ex->caps.unified_memory = false;
    static const float w[WIDTH * WIDTH] = {1};
    pm_program *p;
    pm_loaded *l = NULL;
    assert_ok(compile(pm_executor_caps(ex), ROWS, &p));
    assert_ok(pm_executor_put(ex, "w", w, sizeof w));
    real_submit = vk->d.vkQueueSubmit;
    vk->d.vkQueueSubmit = fail_to_submit;
    assert_int_equal(pm_executor_load(ex, p, &l), PM_ERR_MEMORY);
    vk->d.vkQueueSubmit = real_submit;
    if (pm_executor_load(ex, p, &l) == PM_OK) assert_int_equal(pm_loaded_run(l), PM_ERR_LOST);
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
}

/* Dropped tensors leave gaps, which others of any size take: the store does not grow by coming and going. */
static void test_store_reuses_room(void **state) {
    (void)state;
    OPEN(ex, .n_threads = 0);
    enum { N = 32, WORDS = 40000 };
    static uint32_t data[N][WORDS], back[WORDS];
    char name[24];
    test_rng r = {3};
    uint64_t most = 0;
    size_t words[N] = {0};
    for (int round = 0; round < 2000; round++) {
        size_t i = test_below(&r, N);
        (void)snprintf(name, sizeof name, "t%zu", i);
        if (words[i]) {
            assert_ok(pm_executor_get(ex, name, back, words[i] * 4));
            assert_memory_equal(back, data[i], words[i] * 4);
            pm_executor_drop(ex, name);
            words[i] = 0;
        } else {
            words[i] = 1 + test_below(&r, WORDS);
            for (size_t w = 0; w < words[i]; w++) data[i][w] = (uint32_t)test_random(&r);
            assert_ok(pm_executor_put(ex, name, data[i], words[i] * 4));
        }
        uint64_t bytes = ((pm_vk_executor *)ex)->store.block_bytes;
        if (bytes > most) most = bytes;
    }
    assert_true(most <= 2 * N * WORDS * 4);
    for (size_t i = 0; i < N; i++) {
        (void)snprintf(name, sizeof name, "t%zu", i);
        if (words[i]) pm_executor_drop(ex, name);
    }
    assert_int_equal(((pm_vk_executor *)ex)->store.block_bytes, 0);
    pm_executor_close(ex);
}

/* ---- allocation failures ---- */

static pm_status whole_life(void *user) {
    (void)user;
    pm_executor *ex = NULL;
    pm_loaded *l = NULL;
    pm_program *p = NULL;
    pm_status s;
    PM_GOTO(pm_executor_open(test_device(), &(pm_executor_options){.no_cache = true, .profile = true}, &ex));
    PM_GOTO(pm_executor_put(ex, "w", NULL, WIDTH * WIDTH * 4));
    PM_GOTO(compile(pm_executor_caps(ex), ROWS, &p));
    PM_GOTO(pm_executor_load(ex, p, &l));
    PM_GOTO(pm_loaded_run(l));
fail:
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
    return s;
}

static void test_failed_allocations(void **state) {
    (void)state;
    OPEN(probe, .n_threads = 0);
    pm_executor_close(probe);
    assert_true(test_every_allocation(whole_life, NULL) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caps_are_sane),
        cmocka_unit_test(test_no_such_device),
        cmocka_unit_test(test_replaying_records_nothing),
        cmocka_unit_test(test_arena_grows_under_a_loaded_program),
        cmocka_unit_test(test_submissions_are_cut),
        cmocka_unit_test(test_blocks_stay_below_the_limit),
        cmocka_unit_test(test_store_names),
        cmocka_unit_test(test_staging),
        cmocka_unit_test(test_steps_make_a_run),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_broken_kernel_is_broken),
        cmocka_unit_test(test_missing_weight),
        cmocka_unit_test(test_damaged_cache_is_ignored),
        cmocka_unit_test(test_timed_cut_and_grown),
        cmocka_unit_test(test_wrong_programs_are_refused),
        cmocka_unit_test(test_store_reuses_room),
        cmocka_unit_test(test_verify_sees_a_dropped_submission),
        cmocka_unit_test(test_failed_upload_ends_the_device),
        cmocka_unit_test(test_failed_allocations),
    };
    return run_all_tests(tests);
}
