/* The decode loop on the device: programs that feed themselves, run many times in one submission, leave what single runs
 * leave; generation by it gives the ids of the host's way for every decoder, whatever ends it. */
#include <math.h>
#include <stdlib.h>

#include "graph/compile.h"
#include "models/loop.h"
#include "tests/support_models.h"

enum { MOST = 200, MODULUS = 11 };

static const char *const plain[] = {"reference", "cpu"};

/* ---- programs that feed themselves ---- */

/* The id 0 .. MODULUS - 1 is followed by the one `steps[id]` says, which has the logit logits[next]. n 0: one sequence, whose words
 * have one dim. */
static pm_program *walk_program(const int32_t *steps, const float *logits, int64_t n, const pm_caps *caps) {
    const int64_t words[2] = {PM_LOOP_WORDS, n}, column[2] = {MODULUS, 1}, ids = n ? n : 1;
    pm_graph *g = NULL;
    pm_program *p = NULL;
    assert_ok(pm_graph_create("walk", &g));
    pm_tensor *loop = pm_state(g, "loop", PM_I32, n ? 2 : 1, words);
    pm_tensor *id = pm_reshape(g, pm_slice(g, loop, 0, PM_LOOP_ID, 1), 1, &ids);
    pm_tensor *next = pm_reshape(g, pm_gather(g, pm_const_data(g, PM_I32, 2, column, steps), id), 1, &ids);
    pm_tensor *logit = pm_gather(g, pm_const_data(g, PM_F32, 2, column, logits), next);
    pm_output(g, "loop", pm_advance(g, loop, next, logit));
    pm_tensor *ran =
        pm_state(g, "ran", PM_F32, 4,
                 (int64_t[]){1, 1, 1, 1}); /* what a halted program may not do: it counts its runs */
    (void)pm_cache_write(g, ran, pm_add(g, ran, pm_const_f32(g, 1)), pm_const_i32(g, 0));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = caps}, &p));
    assert_true(p->has_halt);
    pm_graph_destroy(g);
    return p;
}

/* What the words are after one more step, worked out here. */
static void walk(int32_t *words, const int32_t *steps, const float *logits) {
    int32_t next = steps[words[PM_LOOP_ID]];
    if (words[PM_LOOP_HALT]) return;
    if (!isfinite(logits[next])) {
        words[PM_LOOP_HALT] = PM_HALT_STUCK;
        return;
    }
    words[PM_LOOP_IDS + words[PM_LOOP_COUNT]++ % PM_LOOP_RING] = words[PM_LOOP_ID] = next;
    words[PM_LOOP_POSITION]++;
    for (int i = 0; i < words[PM_LOOP_N_ENDS]; i++)
        if (words[PM_LOOP_ENDS + i] == next) words[PM_LOOP_HALT] = PM_HALT_END;
}

/* Runs of 1, 2, 3, ... steps, 150 in all, so that the ring goes round; stopping at `end` (-1: nowhere), and where id `bad`
 * (-1: none) has no number as its logit. */
static void check_walk(const char *device, const pm_executor_options *options, int32_t end, int32_t bad) {
    const int32_t steps[MODULUS] = {3, 8, 7, 1, 0, 10, 4, 9, 5, 6, 2}; /* one ring of all */
    float logits[MODULUS];
    float ran = 0;
    int32_t want[PM_LOOP_WORDS] = {[PM_LOOP_POSITION] = 5, [PM_LOOP_N_ENDS] = end >= 0 ? 2 : 0},
            got[PM_LOOP_WORDS];
    pm_executor *ex = NULL;
    pm_loaded *l = NULL;
    pm_executor_stats before, after;
    for (int i = 0; i < MODULUS; i++) logits[i] = i == bad ? (end >= 0 ? NAN : INFINITY) : (float)-i;
    want[PM_LOOP_ENDS] = 99;
    want[PM_LOOP_ENDS + 1] = end;
    assert_ok(pm_executor_open(device, options, &ex));
    pm_program *p = walk_program(steps, logits, 0, pm_executor_caps(ex));
    assert_ok(pm_executor_put(ex, "loop", want, sizeof want));
    assert_ok(pm_executor_put(ex, "ran", NULL, sizeof ran));
    assert_ok(pm_executor_load(ex, p, &l));
    pm_executor_get_stats(ex, &before);
    for (uint32_t n = 1; n <= 17; n++) {
        assert_ok(pm_loaded_repeat(l, n, NULL));
        for (uint32_t i = 0; i < n; i++) walk(want, steps, logits);
        assert_ok(pm_loaded_read(l, 0, got, sizeof got));
        assert_memory_equal(got, want, sizeof want);
        assert_ok(pm_executor_get(ex, "loop", got, sizeof got));
        assert_memory_equal(got, want, sizeof want);
    }
    pm_executor_get_stats(ex, &after);
    assert_int_equal(after.n_recordings, before.n_recordings);
    if (end < 0 && bad < 0) {
        assert_int_equal(want[PM_LOOP_COUNT], 153);
        assert_int_equal(after.n_runs - before.n_runs, 153);
    }
    assert_int_equal(want[PM_LOOP_HALT], bad >= 0 ? PM_HALT_STUCK : end >= 0 ? PM_HALT_END : 0);
    assert_ok(pm_executor_get(ex, "ran", &ran, sizeof ran));
    const pm_caps *caps = pm_executor_caps(ex);
    if (caps->vulkan) /* the CPU's run once before they look at the word */
        assert_float_equal(ran, (float)(caps->skips_halted ? want[PM_LOOP_COUNT] + (bad >= 0) : 153), 0);
    assert_int_equal(pm_loaded_repeat(l, 0, NULL), PM_ERR_USAGE);
    assert_string_equal(pm_executor_messages(ex), "");
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
}

/* What the host sees while the rest runs: each call after one more pair of runs, whose ids are there. */
typedef struct watching {
    pm_loaded *l;
    const int32_t *steps;
    uint32_t n_calls;
} watching;

static void watch_pair(void *user, uint32_t n_done) {
    watching *w = user;
    int32_t words[PM_LOOP_WORDS], id = 0;
    assert_int_equal(n_done, 2 * ++w->n_calls);
    assert_ok(pm_loaded_read(w->l, 0, words, sizeof words));
    assert_true(words[PM_LOOP_COUNT] >= (int32_t)n_done);
    for (uint32_t i = 0; i < n_done; i++) assert_int_equal(words[PM_LOOP_IDS + i], id = w->steps[id]);
}

static void check_watch(const char *device, const pm_executor_options *options) {
    const int32_t steps[MODULUS] = {3, 8, 7, 1, 0, 10, 4, 9, 5, 6, 2}, words[PM_LOOP_WORDS] = {0};
    const float logits[MODULUS] = {0};
    pm_executor *ex = NULL;
    watching w = {.steps = steps};
    const pm_watch watch = {.on_runs = watch_pair, .user = &w, .every = 2};
    pm_executor_stats before, after;
    assert_ok(pm_executor_open(device, options, &ex));
    pm_program *p = walk_program(steps, logits, 0, pm_executor_caps(ex));
    assert_ok(pm_executor_put(ex, "loop", words, sizeof words));
    assert_ok(pm_executor_put(ex, "ran", NULL, sizeof(float)));
    assert_ok(pm_executor_load(ex, p, &w.l));
    pm_executor_get_stats(ex, &before);
    assert_ok(pm_loaded_repeat(w.l, 21, &watch));
    pm_executor_get_stats(ex, &after);
    assert_int_equal(w.n_calls, 10);
    if (pm_executor_caps(ex)->vulkan && !(options && options->profile))
        assert_int_equal(after.n_submits - before.n_submits, 1);
    assert_string_equal(pm_executor_messages(ex), "");
    pm_loaded_unload(w.l);
    pm_program_destroy(p);
    pm_executor_close(ex);
}

/* Several sequences in one program: each goes from another id to another end, one of them to a logit that is no number, and stands
 * still then; when all do, an executor that sees it runs no more. */
static void check_walk_together(const char *device, const pm_executor_options *options, bool all_end) {
    enum { N = 4 };
    const int32_t steps[MODULUS] = {3, 8, 7, 1, 0, 10, 4, 9, 5, 6, 2};
    float logits[MODULUS] = {[7] = NAN};
    int32_t want[N][PM_LOOP_WORDS] = {{0}}, words[PM_LOOP_WORDS * N], got[PM_LOOP_WORDS * N];
    pm_executor *ex = NULL;
    pm_loaded *l = NULL;
    pm_executor_stats before, after;
    for (int b = 0; b < N; b++) { /* 6 4 0 3 1 8 5 10 2 (7) */
        want[b][PM_LOOP_POSITION] = 7 * b;
        want[b][PM_LOOP_ID] = (const int32_t[N]){5, 6, 6, 0}[b];
        want[b][PM_LOOP_N_ENDS] = 1;
        want[b][PM_LOOP_ENDS] = (const int32_t[N]){99, 2, 4, all_end ? 1 : 99}[b];
    }
    logits[7] = all_end ? logits[7] : 1;
    for (int i = 0; i < N * PM_LOOP_WORDS; i++) words[i] = want[i % N][i / N];
    assert_ok(pm_executor_open(device, options, &ex));
    pm_program *p = walk_program(steps, logits, N, pm_executor_caps(ex));
    assert_int_equal(p->halt.bytes, 4 * N);
    assert_ok(pm_executor_put(ex, "loop", words, sizeof words));
    assert_ok(pm_executor_put(ex, "ran", NULL, sizeof(float)));
    assert_ok(pm_executor_load(ex, p, &l));
    pm_executor_get_stats(ex, &before);
    for (uint32_t n = 1; n < 6; n++) {
        assert_ok(pm_loaded_repeat(l, n, NULL));
        for (uint32_t i = 0; i < n * N; i++) walk(want[i % N], steps, logits);
        assert_ok(pm_loaded_read(l, 0, got, sizeof got));
        for (int i = 0; i < N * PM_LOOP_WORDS; i++) assert_int_equal(got[i], want[i % N][i / N]);
    }
    pm_executor_get_stats(ex, &after);
    assert_int_equal(want[1][PM_LOOP_COUNT], 8);
    assert_int_equal(want[2][PM_LOOP_COUNT], 1);
    assert_int_equal(want[0][PM_LOOP_HALT], all_end ? PM_HALT_STUCK : 0);
    if (!pm_executor_caps(ex)->vulkan) /* 1, 2, 3, then 2 of 4, then 1 of 5 that shows that all have halted */
        assert_int_equal(after.n_runs - before.n_runs, all_end ? 9 : 15);
    assert_string_equal(pm_executor_messages(ex), "");
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_executor_close(ex);
}

static void check_walks(const char *device, const pm_executor_options *options) {
    if (!options || !options->submit_cost) check_watch(device, options);
    check_walk_together(device, options, true);
    check_walk_together(device, options, false);
    check_walk(device, options, -1, -1);
    check_walk(device, options, 6, -1);
    check_walk(device, options, 3, -1); /* the first */
    check_walk(device, options, -1, 4);
    check_walk(device, options, 0, 9); /* which comes before 0 */
}

static void test_walk_plain(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(plain); i++) {
        check_walks(plain[i], &(pm_executor_options){.poison = true});
        check_walks(plain[i], NULL);
    }
}

static bool has_device(const char *device) {
    pm_executor *ex = NULL;
    bool has = pm_executor_open(device, NULL, &ex) == PM_OK;
    pm_executor_close(ex);
    return has;
}

static void test_walk_vulkan(void **state) {
    (void)state;
    if (!has_device(test_device())) skip_because("no device %s: %s", test_device(), pm_error_text());
    check_walks(test_device(), NULL);
    check_walks(test_device(), &(pm_executor_options){.submit_cost = 1}); /* several submissions a run */
    check_walks(test_device(), &(pm_executor_options){.profile = true});
}

/* A program without a halt word, which the first repetition has recorded again: kept = 2 kept + x. */
static void check_doubling(const char *device, const pm_executor_options *options) {
    const int64_t dims[4] = {1, 1, 1, 3};
    const float x[3] = {1, 2, 3};
    float got[3];
    pm_executor *ex = NULL;
    pm_graph *g = NULL;
    pm_program *p = NULL;
    pm_loaded *l = NULL;
    pm_executor_stats before, after;
    assert_ok(pm_executor_open(device, options, &ex));
    assert_ok(pm_graph_create("doubling", &g));
    pm_tensor *kept = pm_state(g, "kept", PM_F32, 4, dims), *in = pm_input(g, "x", PM_F32, 4, dims);
    pm_tensor *y = pm_add(g, pm_mul(g, kept, pm_const_f32(g, 2)), in);
    pm_output(g, "y", pm_cache_write(g, kept, y, pm_const_i32(g, 0)));
    assert_ok(pm_compile(g, &(pm_compile_options){.caps = pm_executor_caps(ex)}, &p));
    assert_false(p->has_halt);
    assert_ok(pm_executor_put(ex, "kept", NULL, sizeof got));
    assert_ok(pm_executor_load(ex, p, &l));
    assert_ok(pm_loaded_write(l, 0, x, sizeof x));
    assert_ok(pm_loaded_run(l));
    pm_executor_get_stats(ex, &before);
    assert_ok(pm_loaded_repeat(l, 9, NULL));
    pm_executor_get_stats(ex, &after);
    assert_int_equal(after.n_runs - before.n_runs, 9);
    if (pm_executor_caps(ex)->vulkan)
        assert_int_equal(after.n_submits - before.n_submits,
                         9 * (uint64_t)p->n_submits / (p->n_submits == 1 ? 9 : 1));
    assert_ok(pm_loaded_read(l, 0, got, sizeof got));
    for (int i = 0; i < 3; i++) assert_float_equal(got[i], x[i] * 1023, 0);
    assert_string_equal(pm_executor_messages(ex), "");
    pm_loaded_unload(l);
    pm_program_destroy(p);
    pm_graph_destroy(g);
    pm_executor_close(ex);
}

static void test_repeats(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(plain); i++)
        check_doubling(plain[i], &(pm_executor_options){.poison = true});
    if (!has_device(test_device())) skip_because("no device %s: %s", test_device(), pm_error_text());
    check_doubling(test_device(), NULL);
    check_doubling(test_device(), &(pm_executor_options){.submit_cost = 1});
}

/* ---- generation ---- */

/* How a generation goes by the loop and by the host alone: the same ids. *out: the loop's, to be freed. */
static void check_same(const test_session *o, const int32_t *ids, size_t n, pm_generate_options options,
                       pm_generated *out) {
    pm_generated host;
    assert_ok(pm_generate(o->s, ids, n, &options, out));
    options.loop_steps = 1;
    options.on_token = NULL;
    assert_ok(pm_generate(o->s, ids, n, &options, &host));
    assert_int_equal(host.loop_steps, 0);
    assert_non_null(host.no_loop);
    assert_int_equal(out->n_ids, host.n_ids);
    assert_memory_equal(out->ids, host.ids, host.n_ids * sizeof *host.ids);
    assert_int_equal(out->decode_steps, host.decode_steps);
    pm_generated_free(&host);
}

static void check_family(test_session *o, const char *name, const void *user) {
    (void)name;
    const int32_t prompt[3] = {5, 9, 2}, most = *(const int32_t *)user;
    pm_generated g;
    check_same(o, prompt, 3, (pm_generate_options){.max_new = most, .ignore_eos = true}, &g);
    assert_null(g.no_loop);
    assert_int_equal(g.decode_recordings, 0);
    assert_true(g.decode_steps > 20 &&
                g.loop_steps + 1 >= g.decode_steps); /* one left over may be the host's */
    pm_generated_free(&g);
}

static void test_families_reference(void **state) {
    (void)state, test_each_decoder("reference", check_family, &(int32_t){40});
}
static void test_families_cpu(void **state) {
    (void)state, test_each_decoder("cpu", check_family, &(int32_t){60});
}
static void test_families_vulkan(void **state) {
    (void)state, test_each_decoder(test_device(), check_family, &(int32_t){24});
}

/* Every place of the id that ends it, within and between submissions; two ends; ends that may not come yet. */
static void check_ends(const char *spec, int stride) {
    pm_device *d = test_need_device(spec);
    test_path folder = test_copy_model("gpt-oss");
    const int32_t prompt[2] = {5, 9};
    char eos[64];
    test_session o = test_open_on(d, folder.s);
    pm_generated all, g;
    int n_ends = 0;
    check_same(&o, prompt, 2, (pm_generate_options){.ignore_eos = true}, &all);
    assert_int_equal(all.n_ids, 129); /* 128 positions, and the last id needs none */
    test_close(&o);
    for (size_t at = 3; at < all.n_ids; at += (size_t)stride) {
        size_t first = 2;
        while (all.ids[first] != all.ids[at]) first++;
        if (first != at) continue;
        n_ends++;
        snprintf(eos, sizeof eos, "[60,%d]", (int)all.ids[at]);
        test_edit_config(&folder, "eos_token_id", eos);
        o = test_open_on(d, folder.s);
        for (int32_t steps = 0; steps <= 5; steps += 5) {
            check_same(&o, prompt, 2, (pm_generate_options){.loop_steps = steps}, &g);
            assert_true(g.n_ids <= at + 1 && (g.ids[g.n_ids - 1] == all.ids[at] || g.ids[g.n_ids - 1] == 60));
            pm_generated_free(&g);
        }
        check_same(&o, prompt, 2, (pm_generate_options){.min_new = (int32_t)at + 3}, &g);
        assert_true(g.n_ids >= at + 5);
        pm_generated_free(&g);
        test_close(&o);
    }
    assert_true(n_ends >= 5);
    pm_generated_free(&all);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_ends_cpu(void **state) {
    (void)state, check_ends("cpu", 1);
}
static void test_ends_vulkan(void **state) {
    (void)state, check_ends(test_device(), 4);
}

typedef struct listener {
    int32_t ids[MOST];
    size_t n, stop; /* stop 0: never */
} listener;

static bool hear(void *user, int32_t id) {
    listener *l = user;
    assert_true(l->n < MOST);
    l->ids[l->n++] = id;
    return l->n != l->stop;
}

/* on_token sees every id once, in order, and ends generation where it says. */
static void test_listeners(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("llama", NULL).s);
    for (size_t stop = 0; stop < 50; stop += 3) {
        listener l = {.stop = stop};
        pm_generated g;
        pm_generate_options options = {
            .max_new = 50, .ignore_eos = true, .on_token = hear, .user = &l, .loop_steps = (int32_t)stop % 7};
        assert_ok(pm_generate(o.s, (int32_t[]){5, 9, 2}, 3, &options, &g));
        assert_int_equal(l.n, stop ? stop : 50);
        assert_int_equal(g.n_ids, 3 + l.n);
        assert_int_equal(g.decode_steps, l.n - 1);
        assert_memory_equal(g.ids + 3, l.ids, l.n * sizeof *l.ids);
        pm_generated_free(&g);
    }
    test_close(&o);
    pm_device_close(d);
}

/* Penalties of ids that came before, the prompt's and the loop's own; with ends, and where the host has to step in. */
static void check_penalties(const char *spec) {
    static const char *const names[] = {"llama", "gpt-oss", "t5", "transfo-xl"};
    static const float penalties[] = {3, 1.3f, 0.6f};
    pm_device *d = test_need_device(spec);
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        test_session o = test_open_on(d, test_reference(names[i], NULL).s);
        pm_generated plain_ones, g;
        check_same(&o, (int32_t[]){5, 9}, 2, (pm_generate_options){.max_new = 50, .ignore_eos = true},
                   &plain_ones);
        for (size_t k = 0; k < PM_COUNT(penalties); k++) {
            pm_generate_options options = {.max_new = 50, .ignore_eos = k > 0};
            options.repetition_penalty = penalties[k];
            check_same(&o, (int32_t[]){5, 9}, 2, options, &g);
            assert_null(g.no_loop);
            assert_true(g.loop_steps + 1 >= g.decode_steps || !options.ignore_eos);
            if (k == 0 && g.n_ids == plain_ones.n_ids)
                assert_memory_not_equal(g.ids, plain_ones.ids, g.n_ids * sizeof *g.ids);
            pm_generated_free(&g);
        }
        pm_generated_free(&plain_ones);
        test_close(&o);
    }
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_penalties_cpu(void **state) {
    (void)state, check_penalties("cpu");
}
static void test_penalties_vulkan(void **state) {
    (void)state, check_penalties(test_device());
}

/* What the device does not do is done by the host, with a reason. */
static void test_host_only(void **state) {
    (void)state;
    static const struct {
        pm_generate_options options;
        const char *why;
    } cases[] = {
        {{.n_beams = 2}, "beams"},
        {{.no_repeat_ngram = 2}, "ngram"},
        {{.loop_steps = 1}, "one step"},
    };
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("llama");
    test_session o = test_open_on(d, folder.s);
    pm_generated g;
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        pm_generate_options options = cases[i].options;
        options.max_new = 20;
        options.ignore_eos = true;
        assert_ok(pm_generate(o.s, (int32_t[]){5, 9}, 2, &options, &g));
        assert_int_equal(g.loop_steps, 0);
        assert_non_null(g.no_loop);
        if (!strstr(g.no_loop, cases[i].why)) fail_msg("%s: %s", cases[i].why, g.no_loop);
        pm_generated_free(&g);
    }
    const int32_t many[] = {-1, PM_LOOP_RING + 1};
    for (size_t i = 0; i < PM_COUNT(many); i++) {
        assert_int_equal(
            pm_generate(o.s, (int32_t[]){5}, 1, &(pm_generate_options){.loop_steps = many[i]}, &g),
            PM_ERR_USAGE);
        assert_non_null(strstr(pm_error_text(), "loop_steps"));
    }
    test_close(&o);
    pm_device_close(d);
}

/* Rules of beginnings and ends stay the host's; the loop does what lies between. */
static void test_rules_around(void **state) {
    (void)state;
    static const char *const rules[][2] = {{"forced_eos_token_id", "7"},
                                           {"begin_suppress_tokens", "[11,12,13]"},
                                           {"forced_bos_token_id", "4"},
                                           {"min_length", "17"}};
    pm_device *d = test_need_device("cpu");
    pm_generated g;
    for (size_t i = 0; i < PM_COUNT(rules); i++) {
        test_path folder = test_copy_model("t5");
        test_edit_config(&folder, rules[i][0], rules[i][1]);
        test_session o = test_open_on(d, folder.s);
        check_same(&o, (int32_t[]){5, 9}, 2, (pm_generate_options){.max_new = 30, .ignore_eos = i != 3}, &g);
        assert_null(g.no_loop);
        assert_true(g.loop_steps > 0 || i == 3);
        if (i == 0) assert_int_equal(g.ids[g.n_ids - 1], 7);
        if (i == 2) assert_int_equal(g.ids[1], 4);
        pm_generated_free(&g);
        test_close(&o);
    }
    pm_device_close(d);
}

/* Of two logits one is infinity, the other minus infinity. */
static float make_two_rows_infinite(float x, size_t i) {
    if (i % 32 || i > 32) return i < 64 ? 0 : x;
    return i ? -INFINITY : INFINITY;
}

/* The loop gets stuck at each step whose likeliest logit is no number: the host goes on from there. */
static void check_stuck(const char *spec) {
    pm_device *d = test_need_device(spec);
    test_path folder = test_copy_model("llama");
    pm_generated g;
    test_edit_tensor(&folder, "lm_head.weight", make_two_rows_infinite);
    test_session o = test_open_on(d, folder.s);
    check_same(&o, (int32_t[]){5, 9}, 2, (pm_generate_options){.max_new = 12, .ignore_eos = true}, &g);
    assert_int_equal(g.n_ids, 14);
    assert_true(g.loop_steps + 1 < g.decode_steps); /* it was stuck, more than once */
    pm_generated_free(&g);
    pm_generate_options options = {.max_new = 30, .ignore_eos = true, .repetition_penalty = 2};
    check_same(&o, (int32_t[]){5, 9}, 2, options, &g);
    pm_generated_free(&g);
    test_close(&o);
    pm_device_close(d);
}

static void test_stuck(void **state) {
    (void)state, check_stuck("cpu");
}

/* The loop under its own feet: the cache grows, a limit of a submission cuts it, the host takes a step between. */
static void check_by_hand(const char *spec) {
    pm_device *d = test_need_device(spec);
    const int32_t prompt[3] = {5, 9, 2};
    test_session o = test_open_on(d, test_reference("llama", NULL).s);
    pm_generated g;
    pm_decoder decoder;
    pm_loop loop = {0};
    int32_t ids[PM_LOOP_RING], id;
    size_t n;
    bool found;
    assert_ok(pm_generate(o.s, prompt, 3,
                          &(pm_generate_options){.max_new = 60, .ignore_eos = true, .loop_steps = 1}, &g));
    assert_ok(pm_decoder_open(&decoder, o.s, 1, 1));
    assert_int_equal(decoder.cache, 16);
    assert_ok(pm_decoder_feed(&decoder, prompt, 3));
    assert_ok(pm_decoder_best(&decoder, &id, &found));
    assert_true(found && id == g.ids[3]);
    for (size_t at = 4, round = 0; at < g.n_ids; at += n, round++) {
        n = 1;
        if (round % 4 == 3) {
            assert_ok(pm_decoder_feed(&decoder, &id, 1));
            assert_ok(pm_decoder_best(&decoder, ids, &found));
        } else {
            pm_turn turn = {.ids = g.ids, .n_ids = at};
            assert_ok(pm_loop_run(&loop, &decoder, &turn, 7, NULL, NULL));
            memcpy(ids, turn.out, sizeof ids);
            n = turn.n_out;
        }
        assert_true(n > 0 && at + n <= g.n_ids + 7);
        for (size_t i = 0; i < n && at + i < g.n_ids; i++) assert_int_equal(ids[i], g.ids[at + i]);
        assert_int_equal(decoder.position, at - 1 + n);
        id = ids[n - 1];
        if (decoder.position == 64) break;
    }
    assert_int_equal(decoder.cache, 64);
    pm_loop_free(&loop);
    pm_generated_free(&g);
    test_close(&o);
    pm_device_close(d);
}

static void test_by_hand(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(plain); i++) check_by_hand(plain[i]);
}
static void test_by_hand_vulkan(void **state) {
    (void)state, check_by_hand(test_device());
}

/* A submission holds no more steps than its device's limit of work. */
static void test_limit_of_work(void **state) {
    (void)state;
    pm_device *d = test_need_device("cpu");
    int32_t id;
    size_t n_free, n_limited, n_tight;
    bool found;
    size_t *const counts[] = {&n_free, &n_limited, &n_tight};
    uint64_t cost = 0;
    for (size_t i = 0; i < PM_COUNT(counts); i++) {
        d->executor->caps.submit_cost = i == 0 ? 0 : i == 1 ? 3 * cost + cost / 2 : cost / 3;
        test_session o = test_open_on(d, test_reference("llama", NULL).s);
        pm_decoder decoder;
        pm_loop loop = {0};
        pm_ready *r;
        assert_ok(pm_decoder_open(&decoder, o.s, 1, 40));
        assert_ok(pm_decoder_feed(&decoder, (int32_t[]){5, 9}, 2));
        assert_ok(pm_decoder_best(&decoder, &id, &found));
        pm_turn turn = {.ids = &id, .n_ids = 1};
        assert_ok(pm_loop_run(&loop, &decoder, &turn, 20, NULL, NULL));
        *counts[i] = turn.n_out;
        pm_loop_free(&loop);
        assert_ok(pm_loop_program(&loop, &decoder, &r));
        for (uint32_t k = 0; i == 0 && k < r->program->n_dispatches; k++)
            cost += r->program->dispatches[k].cost;
        test_close(&o);
    }
    assert_int_equal(n_free, 20);
    assert_int_equal(n_limited, 3);
    assert_int_equal(n_tight, 1);
    pm_device_close(d);
}

/* At most one submission for sixteen tokens, and nothing is recorded. */
static void test_submissions(void **state) {
    (void)state;
    pm_device *d = test_need_device(test_device());
    test_session o = test_open_on(d, test_reference("gpt-oss", NULL).s);
    pm_generated g;
    pm_generate_options options = {.max_new = 100, .ignore_eos = true};
    for (int i = 0; i < 2; i++) {
        assert_ok(pm_generate(o.s, (int32_t[]){5, 9}, 2, &options, &g));
        assert_int_equal(g.decode_steps, 99);
        assert_int_equal(g.decode_recordings, 0);
        assert_true(g.decode_submits * 16 <= g.decode_steps);
        pm_generated_free(&g);
    }
    test_close(&o);
    pm_device_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_plain),    cmocka_unit_test(test_walk_vulkan),
        cmocka_unit_test(test_repeats),       cmocka_unit_test(test_families_reference),
        cmocka_unit_test(test_families_cpu),  cmocka_unit_test(test_families_vulkan),
        cmocka_unit_test(test_ends_cpu),      cmocka_unit_test(test_ends_vulkan),
        cmocka_unit_test(test_penalties_cpu), cmocka_unit_test(test_penalties_vulkan),
        cmocka_unit_test(test_listeners),     cmocka_unit_test(test_host_only),
        cmocka_unit_test(test_rules_around),  cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_by_hand),       cmocka_unit_test(test_by_hand_vulkan),
        cmocka_unit_test(test_submissions),   cmocka_unit_test(test_limit_of_work),
    };
    return run_all_tests(tests);
}
