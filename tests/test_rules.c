/* Generation by the rules of generation_config.json: ids as Hugging Face's generate gave them (data/make_rule_cases.py), each rule alone and
 * several together, greedy and with beams; where rules come from, and what is refused. */
#include <jansson.h>
#include <stdlib.h>

#include "tests/support_models.h"

enum { MAX_IDS = 64 };

static size_t read_ids(const json_t *list, int32_t *out) {
    size_t n = json_array_size(list);
    assert_true(n <= MAX_IDS);
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return n;
}

static void write_rules(const test_path *folder, const json_t *config) {
    test_path path = test_join(folder, "generation_config.json");
    char *text = json_dumps(config, 0);
    assert_non_null(text);
    test_write_file(path.s, text, strlen(text));
    free(text);
}

static pm_status run(const test_path *folder, pm_device *d, const json_t *row, pm_generated *out) {
    int32_t ids[MAX_IDS];
    size_t n = read_ids(json_object_get(row, "ids"), ids);
    pm_generate_options o = {.n_beams = (int32_t)json_integer_value(json_object_get(row, "beams")),
                             .max_new = (int32_t)json_integer_value(json_object_get(row, "max_new"))};
    pm_model *m;
    pm_session *session;
    assert_ok(pm_model_open(folder->s, &m));
    assert_ok(pm_session_open(m, d, &session));
    pm_status s = pm_generate(session, ids, n, &o, out);
    pm_session_close(session);
    pm_model_close(m);
    return s;
}

static bool is_expected(const json_t *row, const pm_generated *g) {
    int32_t ids[MAX_IDS];
    size_t n = read_ids(json_object_get(row, "expected"), ids);
    return n == g->n_ids && memcmp(ids, g->ids, n * sizeof *ids) == 0;
}

static void test_cases(void **state) {
    (void)state;
    json_error_t error;
    json_t *cases = json_load_file(PM_SOURCE_DIR "/tests/data/rule_cases.json", 0, &error);
    pm_device *d = test_open_device("cpu");
    size_t i, wrong = 0;
    const json_t *row;
    const char *last = "";
    test_path folder;
    assert_non_null(cases);
    assert_true(json_array_size(cases) > 20);
    json_array_foreach(cases, i, row) {
        const char *name = json_string_value(json_object_get(row, "model"));
        if (strcmp(name, last) != 0) folder = test_copy_model(last = name);
        pm_generated g;
        write_rules(&folder, json_object_get(row, "config"));
        assert_ok(run(&folder, d, row, &g));
        if (!is_expected(row, &g)) {
            char *text = json_dumps(row, JSON_COMPACT);
            print_message("case %zu: %s\n  got", i, text);
            for (size_t k = 0; k < g.n_ids; k++) print_message(" %d", (int)g.ids[k]);
            print_message("\n");
            free(text);
            wrong++;
        }
        pm_generated_free(&g);
    }
    pm_device_close(d);
    json_decref(cases);
    assert_int_equal(wrong, 0);
}

/* config.json's rules count where there is no generation_config.json, and not beside one; BART's class forces its end by itself. */
static void test_sources(void **state) {
    (void)state;
    test_path folder = test_copy_model("bart");
    pm_device *d = test_open_device("cpu");
    json_t *row = json_pack("{s:[i,i,i], s:i, s:i}", "ids", 5, 9, 7, "beams", 1, "max_new", 4),
           *none = json_object();
    pm_generated g;
    test_edit_config(&folder, "forced_eos_token_id", NULL);
    assert_ok(run(&folder, d, row, &g));
    assert_int_equal(g.ids[g.n_ids - 1], 2);
    pm_generated_free(&g);
    test_edit_config(&folder, "forced_eos_token_id", "11");
    assert_ok(run(&folder, d, row, &g));
    assert_int_equal(g.n_ids, 5);
    assert_int_equal(g.ids[4], 11);
    pm_generated_free(&g);
    write_rules(&folder, none);
    assert_ok(run(&folder, d, row, &g));
    assert_int_not_equal(g.ids[g.n_ids - 1], 11);
    pm_generated_free(&g);
    json_decref(row);
    json_decref(none);
    pm_device_close(d);
}

/* What must come is an id of the model, or the rules are wrong; greedy and beams say so. */
static void test_forced_outside(void **state) {
    (void)state;
    static const char *const keys[] = {"forced_bos_token_id", "forced_eos_token_id"};
    pm_device *d = test_open_device("cpu");
    for (int i = 0; i < 4; i++) {
        test_path folder = test_copy_model("gpt2");
        json_t *rules = json_pack("{s:[i,i]}", keys[i / 2], 60, 61),
               *row = json_pack("{s:[i], s:i, s:i}", "ids", 5, "beams", 1 + i % 2, "max_new", 4);
        pm_generated g;
        write_rules(&folder, rules);
        assert_int_equal(run(&folder, d, row, &g), PM_ERR_FILE);
        assert_non_null(strstr(pm_error_text(), keys[i / 2]));
        assert_non_null(strstr(pm_error_text(), " is 61, expected 0..60"));
        json_decref(rules);
        json_decref(row);
    }
    pm_device_close(d);
}

static void refuse(const char *rules, const char *word) {
    test_path folder = test_copy_model("gpt2"), path = test_join(&folder, "generation_config.json");
    test_write_file(path.s, rules, strlen(rules));
    test_expect_error(&folder, PM_ERR_FILE, (const char *const[]){"generation_config.json", word, NULL});
}

static void test_refusals(void **state) {
    (void)state;
    refuse("{\"bad_words_ids\": [5]}", "bad_words_ids");
    refuse("{\"bad_words_ids\": [[]]}", "bad_words_ids");
    refuse("{\"suppress_tokens\": [\"a\"]}", "suppress_tokens");
    refuse("{\"no_repeat_ngram_size\": -1}", "no_repeat_ngram_size");
    refuse("{\"repetition_penalty\": 0}", "repetition_penalty");
    refuse("{\"early_stopping\": 3}", "early_stopping");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_sources),
                                       cmocka_unit_test(test_forced_outside),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
