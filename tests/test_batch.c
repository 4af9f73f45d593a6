/* Sequences of different lengths in one batch: each gets what it gets alone, for every decoder, whatever ends it, with the loop and by
 * the host; on plain C to the bit of its logits. */
#include <math.h>
#include <stdlib.h>

#include "models/search.h"
#include "tests/support_models.h"

enum { MOST_PROMPTS = 5 };

static const int32_t words[] = {5,  9,  2,  17, 3,  30, 8,  11, 4,  21, 6,  13, 19, 7,  25, 10,
                                12, 28, 14, 22, 15, 1,  26, 16, 24, 18, 20, 23, 27, 29, 31, 0};

typedef struct prompts {
    const char *name;
    size_t n;
    pm_ids of[MOST_PROMPTS];
} prompts;

static const prompts several = {
    "3, 1, 11, 2, 20", 5, {{words, 3}, {words + 3, 1}, {words + 4, 11}, {words + 7, 2}, {words + 9, 20}}};
static const prompts equal = {"two of one length", 2, {{words, 4}, {words + 8, 4}}};
static const prompts same = {"the same twice, and a longer one", 3, {{words, 2}, {words, 2}, {words, 9}}};

/* A batch against each of its prompts alone. Returns how many different lengths the results have. */
static size_t check_batch(const test_session *o, const char *name, const prompts *p,
                          pm_generate_options options) {
    pm_generated together[MOST_PROMPTS], alone;
    size_t n_lengths = 0;
    assert_ok(pm_generate_batch(o->s, p->of, p->n, &options, together));
    for (size_t i = 0; i < p->n; i++) {
        const pm_generated *g = &together[i];
        bool is_new = true;
        assert_ok(pm_generate(o->s, p->of[i].ids, p->of[i].n, &options, &alone));
        if (g->n_ids != alone.n_ids || memcmp(g->ids, alone.ids, g->n_ids * sizeof *g->ids) != 0) {
            size_t at = 0;
            while (at < g->n_ids && at < alone.n_ids && g->ids[at] == alone.ids[at]) at++;
            fail_msg("%s, %s: sequence %zu has %zu ids, alone %zu; they differ at %zu", name, p->name, i,
                     g->n_ids, alone.n_ids, at);
        }
        assert_int_equal(g->n_prompt, alone.n_prompt);
        assert_int_equal(g->decode_steps, alone.decode_steps);
        assert_int_equal(g->no_loop != NULL, alone.no_loop != NULL);
        for (size_t k = 0; k < i; k++)
            is_new &= together[k].n_ids - together[k].n_prompt != g->n_ids - g->n_prompt;
        n_lengths += is_new;
        pm_generated_free(&alone);
    }
    for (size_t i = 0; i < p->n; i++) pm_generated_free(&together[i]);
    return n_lengths;
}

static void check_family(test_session *o, const char *name, const void *user) {
    const int32_t most = *(const int32_t *)user;
    check_batch(o, name, &several, (pm_generate_options){.max_new = most, .ignore_eos = true});
    check_batch(o, name, &equal, (pm_generate_options){.max_new = 9, .ignore_eos = true, .loop_steps = 1});
}

static void test_families_reference(void **state) {
    (void)state, test_each_decoder("reference", check_family, &(int32_t){20});
}
static void test_families_cpu(void **state) {
    (void)state, test_each_decoder("cpu", check_family, &(int32_t){40});
}
/* Each kind of position: ALiBi, relative with an encoder, rotary with a window, and experts. Software drivers take long for all
 * families. */
static void test_families_vulkan(void **state) {
    (void)state;
    static const char *const names[] = {"bloom", "t5", "mistral-window", "mixtral"};
    pm_device *d = test_need_device(test_device());
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        test_session o = test_open_on(d, test_reference(names[i], NULL).s);
        assert_true(test_is_decoder(&o));
        check_batch(&o, names[i], &several, (pm_generate_options){.max_new = 12, .ignore_eos = true});
        test_close(&o);
    }
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void check_near(const char *name, const float *a, const float *b, size_t n, float tolerance) {
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= tolerance * (1 + fabsf(a[i]))))
            fail_msg("%s: logit %zu is %.9g alone, %.9g in a batch", name, i, (double)a[i], (double)b[i]);
}

/* Logits behind a prompt and behind a step, of rows and of one. Fast products of few rows and of many add in other orders. */
static void check_logits(const char *spec, const char *name, float tolerance) {
    pm_device *d = test_need_device(spec);
    test_session o = test_open_on(d, test_reference(name, NULL).s);
    pm_decoder rows, one;
    const prompts *p = &several;
    assert_true(test_is_decoder(&o));
    assert_ok(pm_decoder_open_rows(&rows, o.s, (int64_t)p->n, 1));
    size_t vocab = (size_t)pm_decoder_vocab(&rows);
    float *together = malloc(p->n * vocab * sizeof *together), *alone = malloc(vocab * sizeof *alone);
    assert_non_null(together);
    assert_non_null(alone);
    bool two = rows.s->model->arch->encoder_decoder;
    if (two) assert_ok(pm_decoder_encode_rows(&rows, p->of));
    for (int round = 0; round < 2; round++) {
        pm_ids fed[MOST_PROMPTS];
        for (size_t i = 0; i < p->n; i++)
            fed[i] =
                round == 0 ? p->of[i] : (pm_ids){words + i, i == 2 ? 0 : 1}; /* one has nothing to feed */
        assert_ok(pm_decoder_feed_rows(&rows, fed));
        assert_ok(pm_decoder_logits(&rows, together));
        for (size_t i = 0; i < p->n; i++) {
            if (fed[i].n == 0) continue;
            assert_ok(pm_decoder_open(&one, o.s, 1, 1));
            if (two) assert_ok(pm_decoder_encode(&one, p->of[i].ids, p->of[i].n));
            assert_ok(pm_decoder_feed(&one, p->of[i].ids, p->of[i].n));
            if (round) assert_ok(pm_decoder_feed(&one, fed[i].ids, 1));
            assert_ok(pm_decoder_logits(&one, alone));
            assert_int_equal(rows.at[i], one.position);
            check_near(name, alone, together + i * vocab, vocab, tolerance);
        }
    }
    free(together);
    free(alone);
    test_close(&o);
    pm_device_close(d);
}

static void test_logits(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "llama", "gpt-oss", "bloom", "t5", "marian"};
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        check_logits("reference", names[i], 0);
        check_logits("cpu", names[i], 2e-5f);
    }
}

/* Ends that come at `least` places or more, within and between submissions; by the loop, by the host, and by both. */
static void check_ends(const char *spec, const char *name, size_t least) {
    pm_device *d = test_need_device(spec);
    test_path folder = test_copy_model(name);
    size_t most = 0;
    for (int end = 0; end < 40; end += 8) {
        char eos[64];
        snprintf(eos, sizeof eos, "[%d,%d,%d]", end, end + 3, end + 5);
        test_edit_config(&folder, "eos_token_id", eos);
        test_session o = test_open_on(d, folder.s);
        assert_true(test_is_decoder(&o));
        for (int32_t steps = 0; steps < 3; steps++) {
            size_t n = check_batch(&o, name, &several,
                                   (pm_generate_options){.max_new = 30, .loop_steps = steps * steps});
            if (n > most) most = n;
        }
        check_batch(&o, name, &same, (pm_generate_options){.max_new = 30, .repetition_penalty = 1.4f});
        check_batch(&o, name, &several,
                    (pm_generate_options){.max_new = 30, .repetition_penalty = 1.4f, .min_new = 6});
        check_batch(&o, name, &several, (pm_generate_options){.max_new = 30, .no_repeat_ngram = 2});
        check_batch(&o, name, &several,
                    (pm_generate_options){.max_new = 20, .sample = true, .seed = (uint64_t)end});
        check_batch(&o, name, &equal, (pm_generate_options){.max_new = 9, .n_beams = 2});
        test_close(&o);
    }
    assert_true(most >= least);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_ends_cpu(void **state) {
    (void)state;
    check_ends("cpu", "llama", 5);
    check_ends("cpu", "gpt2", 3);
    check_ends("cpu", "t5", 2);
    check_ends("cpu", "bart", 2);
}
/* On a GPU: by the loop, with penalties, and by chance. */
static void test_ends_vulkan(void **state) {
    (void)state;
    pm_device *d = test_need_device(test_device());
    test_path folder = test_copy_model("gpt-oss");
    test_edit_config(&folder, "eos_token_id", "[8,11,13]");
    test_session o = test_open_on(d, folder.s);
    assert_true(check_batch(&o, "ends", &several, (pm_generate_options){.max_new = 30}) >= 3);
    check_batch(&o, "ends", &same, (pm_generate_options){.max_new = 30, .repetition_penalty = 1.4f});
    check_batch(&o, "ends", &several, (pm_generate_options){.max_new = 12, .sample = true, .seed = 5});
    test_close(&o);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

/* Rules that the host keeps, for each sequence where it stands: of the first and the last id, and of the whole length. */
static void test_rules(void **state) {
    (void)state;
    static const char *const rules[][2] = {
        {"forced_eos_token_id", "7"},    {"begin_suppress_tokens", "[11,12,13]"},
        {"forced_bos_token_id", "4"},    {"min_length", "17"},
        {"suppress_tokens", "[3,9,17]"}, {"bad_words_ids", "[[5,2],[8]]"}};
    static const char *const names[] = {"t5", "gpt2"};
    pm_device *d = test_need_device("cpu");
    for (size_t i = 0; i < PM_COUNT(rules) * PM_COUNT(names); i++) {
        const char *name = names[i % PM_COUNT(names)], *const *rule = rules[i / PM_COUNT(names)];
        test_path folder = test_copy_model(name);
        test_edit_config(&folder, rule[0], rule[1]);
        test_session o = test_open_on(d, folder.s);
        check_batch(&o, rule[0], &several, (pm_generate_options){.max_new = 24});
        test_close(&o);
    }
    pm_device_close(d);
}

/* To the last position of the model, which sequences reach one after the other; the cache grows on the way. */
static void check_limit(const char *spec, const char *name) {
    pm_device *d = test_need_device(spec);
    test_session o = test_open_on(d, test_reference(name, NULL).s);
    assert_true(test_is_decoder(&o));
    size_t n = check_batch(&o, name, &several, (pm_generate_options){.ignore_eos = true});
    assert_int_equal(n, o.s->model->arch->encoder_decoder ? 1 : 5);
    check_batch(&o, name, &several, (pm_generate_options){.ignore_eos = true, .loop_steps = 1});
    test_close(&o);
    pm_device_close(d);
}

static void test_limit(void **state) {
    (void)state;
    static const char *const names[] = {"llama", "gpt2", "mistral-window", "gemma3", "bloom", "t5", "bart"};
    for (size_t i = 0; i < PM_COUNT(names); i++) check_limit("cpu", names[i]);
}
/* Prompts that several programs take, and short ones beside them. */
static void test_long_prompts(void **state) {
    (void)state;
    int32_t long_ids[1100];
    const size_t lengths[] = {1100, 1, 512, 2, 513};
    prompts p = {.name = "long ones", .n = PM_COUNT(lengths)};
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("llama");
    test_edit_config(&folder, "max_position_embeddings", "1200");
    for (size_t i = 0; i < PM_COUNT(long_ids); i++) long_ids[i] = words[(i * 7 + i / 5) % PM_COUNT(words)];
    for (size_t i = 0; i < p.n; i++) p.of[i] = (pm_ids){long_ids + i, lengths[i]};
    test_session o = test_open_on(d, folder.s);
    check_batch(&o, "llama", &p, (pm_generate_options){.max_new = 20, .ignore_eos = true});
    test_close(&o);
    pm_device_close(d);
}

/* Of two logits one is infinity, the other minus infinity. */
static float make_two_rows_infinite(float x, size_t i) {
    if (i % 32 || i > 32) return i < 64 ? 0 : x;
    return i ? -INFINITY : INFINITY;
}

/* Steps whose likeliest logit is no number, in some of the sequences: the host chooses there, the others go on. */
static void check_stuck(const char *spec) {
    pm_device *d = test_need_device(spec);
    test_path folder = test_copy_model("llama");
    test_edit_tensor(&folder, "lm_head.weight", make_two_rows_infinite);
    test_session o = test_open_on(d, folder.s);
    check_batch(&o, "stuck", &several, (pm_generate_options){.max_new = 20, .ignore_eos = true});
    check_batch(&o, "stuck", &several, (pm_generate_options){.max_new = 20, .repetition_penalty = 2});
    test_close(&o);
    pm_device_close(d);
}

static void test_stuck(void **state) {
    (void)state;
    check_stuck("cpu");
    check_stuck("reference");
}

/* Of id 7 nothing is a number: what comes behind it cannot be chosen. */
static float make_seven_no_number(float x, size_t i) {
    return i / 32 == 7 ? NAN : x;
}

/* The error names the prompt that it is about, as the options name it. */
static void test_no_number(void **state) {
    (void)state;
    static const int32_t seven[] = {5, 9, 7};
    static const size_t numbers[] = {11, 12, 14};
    const pm_ids p[] = {{words, 3}, {words, 2}, {seven, 3}};
    pm_generated g[3];
    pm_device *d = test_need_device("cpu");
    test_path folder = test_copy_model("llama");
    test_edit_tensor(&folder, "model.embed_tokens.weight", make_seven_no_number);
    test_session o = test_open_on(d, folder.s);
    for (int32_t beams = 1; beams <= 2; beams++) {
        pm_generate_options options = {.max_new = 3, .n_beams = beams, .ignore_eos = true};
        assert_int_equal(pm_generate_batch(o.s, p, 3, &options, g), PM_ERR_OTHER);
        assert_non_null(strstr(pm_error_text(), "prompt 3: generation: none of"));
        options.prompt_name = "line";
        options.prompt_numbers = numbers;
        assert_int_equal(pm_generate_batch(o.s, p, 3, &options, g), PM_ERR_OTHER);
        assert_non_null(strstr(pm_error_text(), "line 14: generation: none of"));
        assert_int_equal(pm_generate_batch(o.s, p + 2, 1, &options, g), PM_ERR_OTHER);
        assert_non_null(strstr(pm_error_text(), "line 11: generation: none of"));
    }
    test_close(&o);
    pm_device_close(d);
}

/* One submission for many tokens of all sequences; nothing is recorded; what is asked for again is there. */
static void test_submissions(void **state) {
    (void)state;
    pm_device *d = test_need_device(test_device());
    test_session o = test_open_on(d, test_reference("gpt-oss", NULL).s);
    pm_generated g[MOST_PROMPTS];
    pm_generate_options options = {.max_new = 90, .ignore_eos = true};
    uint64_t n_submits = 0;
    for (int round = 0; round < 2; round++) {
        assert_ok(pm_generate_batch(o.s, several.of, several.n, &options, g));
        for (size_t i = 0; i < several.n; i++) {
            assert_null(g[i].no_loop);
            assert_int_equal(g[i].decode_steps, 89);
            assert_int_equal(g[i].decode_recordings, 0);
            if (i == 0) n_submits = g[i].decode_submits;
            assert_int_equal(g[i].decode_submits, n_submits);
            assert_true(g[i].decode_submits * 16 <= g[i].decode_steps);
            pm_generated_free(&g[i]);
        }
    }
    test_close(&o);
    pm_device_close(d);
}

/* The least memory, in steps of 4 KiB, with which the longest of `several` can be continued. */
static uint64_t find_least_memory(const char *folder, const pm_generate_options *options) {
    for (uint64_t bytes = 65536; bytes < 1 << 24; bytes += 4096) {
        pm_device *d;
        pm_generated alone = {0};
        assert_ok(pm_device_open("cpu", &(pm_device_options){.max_memory_bytes = bytes}, &d));
        pm_model *m;
        pm_session *s = NULL;
        assert_ok(pm_model_open(folder, &m));
        pm_status status = pm_session_open(m, d, &s);
        if (status == PM_OK) status = pm_generate(s, several.of[4].ids, several.of[4].n, options, &alone);
        pm_generated_free(&alone);
        pm_session_close(s);
        pm_model_close(m);
        pm_device_close(d);
        if (status == PM_OK) return bytes;
        assert_int_equal(status, PM_ERR_MEMORY);
    }
    fail_msg("16 MiB are too little");
    return 0;
}

/* Where there is no memory for all together, parts of the batch run one after the other, and give the same. */
static void test_little_memory(void **state) {
    (void)state;
    const pm_generate_options options = {.max_new = 30, .ignore_eos = true};
    test_path folder = test_reference("gpt2", NULL);
    uint64_t least = find_least_memory(folder.s, &options);
    size_t n_most = 0, n_parts = 0;
    for (uint64_t more = 0; more < 1 << 18 && n_most < several.n; more += 1 << 15) {
        pm_device *d;
        pm_generated g[MOST_PROMPTS];
        assert_ok(pm_device_open("cpu", &(pm_device_options){.max_memory_bytes = least + more}, &d));
        test_session o = test_open_on(d, folder.s);
        check_batch(&o, "little memory", &several, options);
        assert_ok(pm_generate_batch(o.s, several.of, several.n, &options, g));
        n_most = 0;
        for (size_t i = 0; i < several.n; i++) {
            if (g[i].n_together > n_most) n_most = g[i].n_together;
            pm_generated_free(&g[i]);
        }
        n_parts += n_most < several.n;
        test_close(&o);
        pm_device_close(d);
    }
    assert_true(n_parts > 0);
    assert_int_equal(n_most, several.n);
}

static void expect_refused(const test_session *o, const pm_ids *p, size_t n, pm_generate_options options,
                           const char *text) {
    pm_generated g[3];
    memset(g, 1, sizeof g);
    assert_int_equal(pm_generate_batch(o->s, p, n, &options, g), PM_ERR_USAGE);
    if (!strstr(pm_error_text(), text))
        fail_msg("the error is \"%s\", \"%s\" was expected", pm_error_text(), text);
    for (size_t i = 0; i < n && i < 3; i++) assert_null(g[i].ids);
}

static bool never(void *user, int32_t id) {
    (void)user, (void)id;
    return true;
}

static void test_refused(void **state) {
    (void)state;
    static const int32_t far[2] = {3, 1000}, many[200] = {0};
    pm_device *d = test_need_device("cpu");
    test_session o = test_open_on(d, test_reference("gpt2", NULL).s);
    expect_refused(&o, (pm_ids[]){{words, 3}, {far, 2}}, 2, (pm_generate_options){0},
                   "prompt 2: ids: id 1000 at 1");
    expect_refused(&o, (pm_ids[]){{words, 3}, {words, 1}, {many, 200}}, 3, (pm_generate_options){0},
                   "prompt 3: ids: the prompt has 200 ids");
    expect_refused(&o, (pm_ids[]){{words, 3}, {words, 2}}, 2, (pm_generate_options){.on_token = never},
                   "on_token");
    expect_refused(&o, (pm_ids[]){{far, 2}, {words, 2}}, 2, (pm_generate_options){.n_beams = 2},
                   "prompt 1: ids: id 1000 at 1");
    expect_refused(&o, (pm_ids[]){{words, 3}, {words, 2}}, 2, (pm_generate_options){.max_new = -1},
                   "max_new");
    pm_ids *p = calloc(PM_MAX_ROWS + 1, sizeof *p);
    pm_generated *g = calloc(PM_MAX_ROWS + 1, sizeof *g);
    assert_non_null(p);
    assert_non_null(g);
    assert_int_equal(pm_generate_batch(o.s, p, PM_MAX_ROWS + 1, NULL, g), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "257 prompts"));
    for (size_t i = 0; i < PM_MAX_ROWS; i++) p[i] = (pm_ids){words + i % 20, 1 + i % 7};
    assert_ok(pm_generate_batch(o.s, p, PM_MAX_ROWS, &(pm_generate_options){.max_new = 3}, g));
    for (size_t i = 0; i < PM_MAX_ROWS; i++) pm_generated_free(&g[i]);
    assert_ok(pm_generate_batch(o.s, p, 0, NULL, g));
    free(p);
    free(g);
    test_close(&o);
    o = test_open_on(d, test_reference("t5", NULL).s);
    expect_refused(&o, (pm_ids[]){{words, 3}, {words, 0}}, 2, (pm_generate_options){0},
                   "prompt 2: source: has 0 ids");
    test_close(&o);
    o = test_open_on(d, test_reference("bert-base", NULL).s);
    expect_refused(&o, (pm_ids[]){{words, 3}, {words, 2}}, 2, (pm_generate_options){0}, "no decoder");
    test_close(&o);
    pm_device_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits),       cmocka_unit_test(test_families_reference),
        cmocka_unit_test(test_families_cpu), cmocka_unit_test(test_families_vulkan),
        cmocka_unit_test(test_ends_cpu),     cmocka_unit_test(test_ends_vulkan),
        cmocka_unit_test(test_rules),        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_long_prompts), cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_submissions),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_number),    cmocka_unit_test(test_little_memory),
    };
    return run_all_tests(tests);
}
