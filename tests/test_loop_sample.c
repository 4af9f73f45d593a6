/* Choosing by chance in the decode loop on the device: the ids of the host's way, of every decoder, with any settings, whatever ends
 * it and however many steps a submission has; and one program for all settings. */
#include <math.h>

#include "models/loop.h"
#include "tests/support_models.h"

/* By the loop and by the host alone: the same ids. *out: the loop's, to be freed. */
static void check_same(pm_session *s, const int32_t *ids, size_t n, pm_generate_options options,
                       pm_generated *out) {
    pm_generated host;
    options.sample = true;
    assert_ok(pm_generate(s, ids, n, &options, out));
    options.loop_steps = 1;
    assert_ok(pm_generate(s, ids, n, &options, &host));
    assert_int_equal(host.loop_steps, 0);
    assert_null(out->no_loop);
    assert_int_equal(out->n_ids, host.n_ids);
    assert_memory_equal(out->ids, host.ids, host.n_ids * sizeof *host.ids);
    assert_int_equal(out->decode_steps, host.decode_steps);
    pm_generated_free(&host);
}

/* ---- every decoder ---- */

typedef struct extent {
    int32_t most;
    bool quick; /* the first settings alone */
} extent;

static void check_family(test_session *o, const char *name, const void *user) {
    static const pm_generate_options settings[] = {
        {.temperature = 1.2f,
         .top_k = 20,
         .top_p = 0.95f,
         .min_p = 0.01f,
         .seed = 11,
         .repetition_penalty = 1.3f},
        {.top_p = 0.9f, .seed = 1ull << 35},
    };
    const extent *e = user;
    (void)name;
    for (size_t i = 0; i < (e->quick ? 1 : PM_COUNT(settings)); i++) {
        pm_generate_options options = settings[i];
        pm_generated g;
        options.max_new = e->most;
        options.ignore_eos = true;
        check_same(o->s, (int32_t[]){5, 9, 2}, 3, options, &g);
        assert_int_equal(g.decode_recordings, 0);
        assert_true(g.loop_steps + 1 >= g.decode_steps &&
                    g.loop_steps > 10); /* one left over may be the host's */
        pm_generated_free(&g);
    }
}

static void test_families_reference(void **state) {
    (void)state, test_each_decoder("reference", check_family, &(extent){17, true});
}
static void test_families_cpu(void **state) {
    (void)state, test_each_decoder("cpu", check_family, &(extent){60, false});
}
static void test_families_vulkan(void **state) {
    (void)state, test_each_decoder(test_device(), check_family, &(extent){14, true});
}

/* ---- settings ---- */

/* Any settings, any number of steps: no program but those of the first two ways, and a text that hangs on its seed alone. */
static void check_settings(const char *spec) {
    static const pm_generate_options settings[] = {
        {.seed = 1},
        {.seed = 2},
        {.temperature = 1e-4f, .seed = 1},
        {.temperature = 1e4f, .seed = 1},
        {.top_k = 1, .seed = 7},
        {.top_k = 3, .temperature = 2, .seed = 7},
        {.top_p = 1e-6f, .seed = 1},
        {.top_p = 0.5f, .min_p = 0.2f, .temperature = 3, .seed = UINT64_MAX},
    };
    enum { N = PM_COUNT(settings), NEW = 60 };
    pm_device *d = test_need_device(spec);
    test_session o = test_open_on(d, test_reference("llama", NULL).s);
    pm_generated g[N], greedy, other;
    size_t n_programs = 0, n_unlike = 0;
    const int32_t prompt[2] = {5, 9};
    assert_ok(
        pm_generate(o.s, prompt, 2, &(pm_generate_options){.max_new = NEW, .ignore_eos = true}, &greedy));
    for (size_t i = 0; i < N; i++) {
        pm_generate_options options = settings[i];
        options.max_new = NEW;
        options.ignore_eos = true;
        check_same(o.s, prompt, 2, options, &g[i]);
        assert_int_equal(g[i].n_ids, 2 + NEW);
        if (i == 0) n_programs = o.s->n_ready;
        assert_int_equal(o.s->n_ready, n_programs);
        for (options.loop_steps = 2; options.loop_steps <= PM_LOOP_RING; options.loop_steps *= 5) {
            check_same(o.s, prompt, 2, options, &other);
            assert_memory_equal(other.ids, g[i].ids, other.n_ids * sizeof *other.ids);
            pm_generated_free(&other);
        }
        for (size_t k = 0; k < i; k++)
            n_unlike += memcmp(g[i].ids, g[k].ids, g[i].n_ids * sizeof *g[i].ids) != 0;
        bool likeliest = i == 2 || i == 4 || i == 6;
        if (likeliest) assert_memory_equal(g[i].ids, greedy.ids, greedy.n_ids * sizeof *greedy.ids);
    }
    assert_int_equal(n_unlike, N * (N - 1) / 2 - 3); /* all but the three that are greedy */
    for (size_t i = 0; i < N; i++) pm_generated_free(&g[i]);
    pm_generated_free(&greedy);
    test_close(&o);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_settings_cpu(void **state) {
    (void)state, check_settings("cpu");
}
static void test_settings_vulkan(void **state) {
    (void)state, check_settings(test_device());
}

/* ---- ends ---- */

static void test_ends(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("gpt-oss");
    test_edit_config(&folder, "eos_token_id", "[11,30,50]");
    test_session o = test_open_on(d, folder.s);
    size_t n_ended = 0, lengths[2] = {1000, 0};
    for (uint64_t seed = 0; seed < 30; seed++) {
        pm_generate_options options = {
            .seed = seed, .max_new = 90, .loop_steps = seed % 3 ? (int32_t)seed : 0};
        pm_generated g;
        if (options.loop_steps == 1) options.loop_steps = 33;
        check_same(o.s, (int32_t[]){5, 9}, 2, options, &g);
        int32_t last = g.ids[g.n_ids - 1];
        n_ended += last == 11 || last == 30 || last == 50;
        if (g.n_ids < lengths[0]) lengths[0] = g.n_ids;
        if (g.n_ids > lengths[1]) lengths[1] = g.n_ids;
        pm_generated_free(&g);
    }
    assert_true(n_ended > 20 && lengths[0] + 20 < lengths[1]);
    test_close(&o);
    pm_device_close(d);
}

/* Texts that end where a stop is whole, in the middle of a submission, with what the device made behind it dropped. */
static void check_stops(const char *spec) {
    const char *stops[] = {"w17", "w40 w4", "w23"};
    char lines[61 * 8] = "<pad>\n<bos>\n<eos>\n<unk>\n";
    size_t at = strlen(lines), source = 0, n_stopped = 0;
    pm_device *d = test_need_device(spec);
    test_path folder = test_copy_model("transformer");
    for (int i = 4; i < 61; i++) {
        if (i == 53) source = at;
        at += (size_t)snprintf(lines + at, sizeof lines - at, "w%d\n", i);
    }
    test_write_file(test_join(&folder, "source.vocab.txt").s, lines, source);
    test_write_file(test_join(&folder, "target.vocab.txt").s, lines, at);
    test_session o = test_open_on(d, folder.s);
    assert_ok(pm_session_set_decoder_start(o.s, 1));
    for (uint64_t seed = 0; seed < 40; seed++) {
        pm_generate_options options = {
            .seed = seed / 2, .max_new = 40, .stops = stops, .n_stops = PM_COUNT(stops)};
        pm_generated g;
        char *text;
        options.temperature = seed % 2 ? 0 : 5;
        check_same(o.s, (int32_t[]){5, 9, 17}, 3, options, &g);
        assert_ok(pm_model_decode(o.m, g.ids + g.n_prompt, g.n_ids - g.n_prompt, &text));
        size_t n_stops = 0;
        for (size_t i = 0; i < PM_COUNT(stops); i++) n_stops += strstr(text, stops[i]) != NULL;
        pm_release(text);
        n_stopped += n_stops == 1 && g.n_ids - g.n_prompt > 3 && g.n_ids - g.n_prompt < 40;
        assert_true(n_stops == 1 || g.ids[g.n_ids - 1] == 2 || g.n_ids - g.n_prompt == 40);
        pm_generated_free(&g);
    }
    assert_true(n_stopped >= 5);
    test_close(&o);
    pm_device_close(d);
}

static void test_stops_cpu(void **state) {
    (void)state, check_stops("cpu");
}
static void test_stops_vulkan(void **state) {
    (void)state, check_stops(test_device());
}

static float make_rows_infinite(float x, size_t i) {
    return x == 0 ? 0 : i % 2 ? INFINITY : -INFINITY;
}

/* Where no logit is a finite number the loop gets stuck, and the host says what is wrong as it does alone. */
static void test_nothing_finite(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("llama");
    test_edit_tensor(&folder, "lm_head.weight", make_rows_infinite);
    test_session o = test_open_on(d, folder.s);
    for (int32_t steps = 0; steps < 2; steps++) {
        pm_generated g;
        pm_generate_options options = {
            .sample = true, .max_new = 12, .ignore_eos = true, .loop_steps = steps};
        assert_int_equal(pm_generate(o.s, (int32_t[]){5, 9}, 2, &options, &g), PM_ERR_OTHER);
        assert_non_null(strstr(pm_error_text(), "finite"));
    }
    test_close(&o);
    pm_device_close(d);
}

/* Several at once: each chooses as it does by the host's way, and alike prompts as each other. */
static void check_batch(const char *spec) {
    static const char *const names[] = {"llama", "t5"};
    const int32_t words[] = {5, 9, 2, 7, 33, 4, 5, 9, 2};
    const pm_ids prompts[] = {{words, 3}, {words + 3, 1}, {words + 2, 4}, {words + 6, 3}};
    enum { N = PM_COUNT(prompts) };
    pm_device *d = test_need_device(spec);
    for (size_t k = 0; k < PM_COUNT(names); k++) {
        test_session o = test_open_on(d, test_reference(names[k], NULL).s);
        pm_generated loop[N], host[N];
        pm_generate_options options = {
            .sample = true, .seed = 5, .top_k = 40, .max_new = 40, .repetition_penalty = 1.1f};
        assert_ok(pm_generate_batch(o.s, prompts, N, &options, loop));
        options.loop_steps = 1;
        assert_ok(pm_generate_batch(o.s, prompts, N, &options, host));
        for (size_t i = 0; i < N; i++) {
            assert_null(loop[i].no_loop);
            assert_true(loop[i].loop_steps > 0);
            assert_int_equal(loop[i].n_ids, host[i].n_ids);
            assert_memory_equal(loop[i].ids, host[i].ids, loop[i].n_ids * sizeof *loop[i].ids);
        }
        assert_int_equal(loop[0].n_ids, loop[3].n_ids);
        assert_memory_equal(loop[0].ids, loop[3].ids, loop[0].n_ids * sizeof *loop[0].ids);
        for (size_t i = 0; i < N; i++) pm_generated_free(&loop[i]), pm_generated_free(&host[i]);
        test_close(&o);
    }
    pm_device_close(d);
}

static void test_batch_cpu(void **state) {
    (void)state, check_batch("cpu");
}
static void test_batch_vulkan(void **state) {
    (void)state, check_batch(test_device());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families_reference), cmocka_unit_test(test_families_cpu),
        cmocka_unit_test(test_families_vulkan),    cmocka_unit_test(test_settings_cpu),
        cmocka_unit_test(test_settings_vulkan),    cmocka_unit_test(test_ends),
        cmocka_unit_test(test_stops_cpu),          cmocka_unit_test(test_stops_vulkan),
        cmocka_unit_test(test_nothing_finite),     cmocka_unit_test(test_batch_cpu),
        cmocka_unit_test(test_batch_vulkan),
    };
    return run_all_tests(tests);
}
