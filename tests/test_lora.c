/* LoRA adapters in PEFT's layout: what is merged against sums in double precision, and what is refused by name. */
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>

#include "models/checkpoint.h"
#include "models/convert.h"

enum { R = 4 };

static const char q_weight[] = "model.layers.0.self_attn.q_proj.weight";
#define Q "base_model.model.model.layers.0.self_attn.q_proj"
#define PLAIN                                                                                                \
    "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":6,\"bias\":\"none\",\"target_modules\":[\"q_proj\"]"

/* ---- adapters by code ---- */

static void add(pm_tensors *set, const char *name, int64_t rows, int64_t columns, uint64_t seed) {
    pm_array a = {.name = name, .dtype = PM_F32, .rank = 2, .dims = {rows, columns}};
    test_rng r = {seed};
    void *data;
    assert_ok(pm_tensors_add(set, &a, &data));
    for (int64_t i = 0; i < rows * columns; i++) ((float *)data)[i] = test_uniform(&r, -1, 1);
    pm_words_to_file(data, (uint64_t)(rows * columns));
}

static void write_adapter(const test_path *folder, const char *config, const pm_tensors *set) {
    test_path json = test_join(folder, "adapter_config.json"),
              weights = test_join(folder, "adapter_model.safetensors");
    test_write_file(json.s, config, strlen(config));
    assert_ok(pm_tensors_write(set, weights.s));
}

/* An adapter of one weight [N,K] (by its shape in x W^T). */
static test_path make_adapter(const char *config, const char *module, int64_t n, int64_t k) {
    test_path folder = test_folder();
    pm_tensors *set;
    char name[256];
    assert_ok(pm_tensors_create(&set));
    snprintf(name, sizeof name, "%s.lora_A.weight", module);
    add(set, name, R, k, 1);
    snprintf(name, sizeof name, "%s.lora_B.weight", module);
    add(set, name, n, R, 2);
    write_adapter(&folder, config, set);
    pm_tensors_free(set);
    return folder;
}

static void open_model(const char *model, pm_files *files, pm_checkpoint *c) {
    test_path folder = test_copy_model(model);
    assert_ok(pm_files_open(folder.s, files));
    assert_ok(pm_checkpoint_open(files, c));
}

/* ---- merging ---- */

typedef struct merge_case {
    const char *model, *config, *module, *weight, *other;
    int64_t n, k;
    double scale;
    bool transposed;
} merge_case;

static const merge_case merges[] = {
    {"llama", PLAIN "}", Q, q_weight, "model.layers.1.self_attn.q_proj.weight", 32, 32, 1.5, false},
    {"llama", PLAIN ",\"use_rslora\":true}", Q, q_weight, "model.layers.1.self_attn.q_proj.weight", 32, 32, 3,
     false},
    {"llama",
     "{\"r\":4,\"lora_alpha\":4,\"target_modules\":\".*mlp.*\",\"init_lora_weights\":\"gaussian\","
     "\"task_type\":\"CAUSAL_LM\",\"modules_to_save\":null,\"rank_pattern\":{},\"use_dora\":false}",
     "base_model.model.model.layers.1.mlp.down_proj", "model.layers.1.mlp.down_proj.weight",
     "model.layers.0.mlp.down_proj.weight", 32, 48, 1, false},
    {"llama", /* the first pattern that fits counts */
     "{\"r\":8,\"lora_alpha\":1,\"rank_pattern\":{\"proj\":2,\"layers.1.self_attn.q_proj\":3,\"q_proj\":4},"
     "\"alpha_pattern\":{\"model\\\\.layers\\\\.[0-4]\\\\..*q_proj\":10,\"q_proj\":3}}",
     Q, q_weight, "model.layers.1.self_attn.q_proj.weight", 32, 32, 2.5, false},
    {"gpt2", "{\"r\":4,\"lora_alpha\":8,\"fan_in_fan_out\":true,\"target_modules\":[\"attn.c_attn\"]}",
     "base_model.model.transformer.h.1.attn.c_attn", "transformer.h.1.attn.c_attn.weight",
     "transformer.h.0.attn.c_attn.weight", 96, 32, 2, true},
    {"bert-base", "{\"r\":4,\"lora_alpha\":8,\"target_modules\":[\"query\"]}", /* the file has no "bert." */
     "base_model.model.bert.encoder.layer.0.attention.self.query",
     "encoder.layer.0.attention.self.query.weight", "encoder.layer.0.attention.self.key.weight", 32, 32, 2,
     false},
};

static float *read_weight(const pm_checkpoint *c, const char *name, bool transposed, const merge_case *m,
                          size_t *out_n) {
    const pm_array *a;
    const int64_t dims[2] = {transposed ? m->k : m->n, transposed ? m->n : m->k};
    assert_ok(pm_checkpoint_want(c, name, 2, dims, &a));
    *out_n = (size_t)pm_array_elems(a);
    float *w = calloc(*out_n, sizeof *w);
    assert_non_null(w);
    assert_ok(pm_checkpoint_read(c, a, w));
    return w;
}

static void check_merge(const merge_case *m) {
    pm_files files;
    pm_checkpoint c;
    size_t n_elems;
    test_rng ra = {1}, rb = {2};
    float a[R * 96], b[96 * R];
    open_model(m->model, &files, &c);
    float *before = read_weight(&c, m->weight, m->transposed, m, &n_elems);
    test_path adapter = make_adapter(m->config, m->module, m->n, m->k);
    assert_ok(pm_checkpoint_adapt(&c, adapter.s));
    float *after = read_weight(&c, m->weight, m->transposed, m, &n_elems);
    for (int64_t i = 0; i < R * m->k; i++) a[i] = test_uniform(&ra, -1, 1);
    for (int64_t i = 0; i < R * m->n; i++) b[i] = test_uniform(&rb, -1, 1);
    for (int64_t n = 0; n < m->n; n++)
        for (int64_t k = 0; k < m->k; k++) {
            double sum = 0;
            for (int64_t r = 0; r < R; r++) sum += (double)b[n * R + r] * (double)a[r * m->k + k];
            int64_t at = m->transposed ? k * m->n + n : n * m->k + k;
            assert_true(fabs((double)after[at] - ((double)before[at] + m->scale * sum)) < 2e-6);
        }
    assert_int_equal(pm_checkpoint_adapt(&c, adapter.s), PM_ERR_USAGE); /* one at most */
    pm_checkpoint_close(&c);
    pm_files_close(&files);
    free(before);
    free(after);
}

static void test_merges(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(merges); i++) check_merge(&merges[i]);
}

/* Weights that the adapter does not name stay as they are. */
static void test_others_stay(void **state) {
    const merge_case *m = &merges[0];
    pm_files files;
    pm_checkpoint c;
    size_t n;
    (void)state;
    open_model(m->model, &files, &c);
    float *before = read_weight(&c, m->other, false, m, &n);
    test_path adapter = make_adapter(m->config, m->module, m->n, m->k);
    assert_ok(pm_checkpoint_adapt(&c, adapter.s));
    float *after = read_weight(&c, m->other, false, m, &n);
    assert_memory_equal(before, after, n * sizeof *before);
    free(before);
    free(after);
    pm_checkpoint_close(&c);
    pm_files_close(&files);
}

/* Modules that were trained whole, and biases, take the place of the model's. */
static void test_whole_tensors(void **state) {
    static const struct {
        const char *model, *config, *name, *weight;
        int64_t dims[2];
        int rank;
        const char *refusal; /* NULL: it is read */
    } rows[] = {
        {"llama",
         PLAIN ",\"modules_to_save\":[\"lm_head\"]}",
         "base_model.model.lm_head.weight",
         "lm_head.weight",
         {61, 32},
         2,
         NULL},
        {"llama",
         PLAIN ",\"modules_to_save\":[\"mlp\"]}",
         "base_model.model.model.layers.0.mlp.up_proj.weight",
         "model.layers.0.mlp.up_proj.weight",
         {48, 32},
         2,
         NULL},
        {"llama",
         PLAIN ",\"modules_to_save\":[\"head\"]}",
         "base_model.model.lm_head.weight",
         NULL,
         {61, 32},
         2,
         "not read"},
        {"llama",
         PLAIN ",\"modules_to_save\":[\"lm_head\"]}",
         "base_model.model.lm_head.weight",
         NULL,
         {64, 32},
         2,
         "[64,32]"},
        {"gpt2",
         "{\"r\":4,\"lora_alpha\":1,\"bias\":\"all\"}",
         "base_model.model.transformer.h.0.mlp.c_fc.bias",
         "transformer.h.0.mlp.c_fc.bias",
         {48},
         1,
         NULL},
        {"gpt2",
         "{\"r\":4,\"lora_alpha\":1}",
         "base_model.model.transformer.h.0.mlp.c_fc.bias",
         NULL,
         {48},
         1,
         "not read"},
    };
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_folder();
        pm_files files;
        pm_checkpoint c;
        pm_tensors *set;
        const pm_array *a;
        void *data;
        pm_array own = {.name = rows[i].name,
                        .dtype = PM_F32,
                        .rank = rows[i].rank,
                        .dims = {rows[i].dims[0], rows[i].dims[1]}};
        size_t n = (size_t)pm_array_elems(&own);
        float *w = calloc(n, sizeof *w);
        assert_non_null(w);
        assert_ok(pm_tensors_create(&set));
        assert_ok(pm_tensors_add(set, &own, &data));
        for (size_t k = 0; k < n; k++) ((float *)data)[k] = (float)k;
        pm_words_to_file(data, n);
        write_adapter(&folder, rows[i].config, set);
        pm_tensors_free(set);
        open_model(rows[i].model, &files, &c);
        pm_status s = pm_checkpoint_adapt(&c, folder.s);
        if (rows[i].refusal) {
            assert_int_equal(s, PM_ERR_FILE);
            if (!strstr(pm_error_text(), rows[i].refusal)) fail_msg("%s", pm_error_text());
        } else {
            assert_ok(s);
            assert_ok(pm_checkpoint_want(&c, rows[i].weight, rows[i].rank, rows[i].dims, &a));
            assert_ok(pm_checkpoint_read(&c, a, w));
            for (size_t k = 0; k < n; k++) assert_true(w[k] == (float)k);
        }
        pm_checkpoint_close(&c);
        pm_files_close(&files);
        free(w);
    }
}

/* ---- a whole model ---- */

static float merged_a[R * 32], merged_b[32 * R];
static float merge_by_hand(float x, size_t i) {
    double sum = 0;
    for (size_t r = 0; r < R; r++)
        sum += (double)merged_b[i / 32 * R + r] * (double)merged_a[r * 32 + i % 32];
    return (float)((double)x + 1.5 * sum);
}

/* The logits of a Llama for the reference's inputs; lora: the adapter's folder or NULL. */
static void run_logits(const char *model, const char *lora, pm_tensors **out) {
    pm_device *d;
    pm_model *m;
    pm_session *s;
    pm_tensors *in;
    assert_ok(pm_tensors_read(test_reference("llama", "reference.safetensors").s, &in));
    assert_ok(pm_device_open("cpu", NULL, &d));
    assert_ok(pm_model_open_with(model, &(pm_model_options){.lora = lora}, &m));
    assert_ok(pm_session_open(m, d, &s));
    assert_ok(pm_session_run(s, in, "logits", out));
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
    pm_tensors_free(in);
}

/* A model with an adapter is the model whose weights hold the sum; without it it is another. */
static void test_whole_model(void **state) {
    test_path adapter = make_adapter(PLAIN "}", Q, 32, 32), folder = test_copy_model("llama");
    test_rng ra = {1}, rb = {2};
    pm_tensors *sets[3];
    float *x[3];
    (void)state;
    for (size_t i = 0; i < R * 32; i++) merged_a[i] = test_uniform(&ra, -1, 1);
    for (size_t i = 0; i < R * 32; i++) merged_b[i] = test_uniform(&rb, -1, 1);
    run_logits(folder.s, NULL, &sets[0]);
    run_logits(folder.s, adapter.s, &sets[1]);
    test_edit_tensor(&folder, q_weight, merge_by_hand);
    run_logits(folder.s, NULL, &sets[2]);
    size_t n = pm_array_elems(pm_tensors_get(sets[0], "out.logits"));
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(x[i] = calloc(n, sizeof(float)));
        assert_ok(pm_convert_f32(pm_tensors_get(sets[i], "out.logits"), x[i]));
        pm_tensors_free(sets[i]);
    }
    float changed = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        changed = fmaxf(changed, fabsf(x[1][i] - x[0][i]));
        off = fmaxf(off, fabsf(x[1][i] - x[2][i]));
    }
    if (!(changed > 0.01f && off < 1e-4f)) fail_msg("changed by %g, off by %g", (double)changed, (double)off);
    for (size_t i = 0; i < 3; i++) free(x[i]);
}

/* ---- refusals ---- */

static void expect_refusal(const test_path *adapter, const char *const words[3]) {
    pm_files files;
    pm_checkpoint c;
    open_model("llama", &files, &c);
    assert_int_equal(pm_checkpoint_adapt(&c, adapter->s), PM_ERR_FILE);
    assert_null(c.lora);
    for (size_t i = 0; i < 3 && words[i]; i++)
        if (!strstr(pm_error_text(), words[i])) fail_msg("%s: no %s", pm_error_text(), words[i]);
    pm_checkpoint_close(&c);
    pm_files_close(&files);
}

static void test_bad_configs(void **state) {
    static const struct {
        const char *config, *words[3];
    } rows[] = {
        {"[]", {"adapter_config.json", "not a JSON object"}},
        {"{\"lora_alpha\":1}", {"adapter_config.json", "r is missing"}},
        {"{\"r\":4}", {"lora_alpha is missing"}},
        {"{\"r\":0,\"lora_alpha\":1}", {"r is 0", "1..65536"}},
        {"{\"r\":\"4\",\"lora_alpha\":1}", {"r is \"4\"", "an integer"}},
        {PLAIN ",\"r\":8}", {"adapter_config.json", "duplicate"}},
        {"{\"r\":4,\"lora_alpha\":1,\"peft_type\":\"IA3\"}", {"peft_type is \"IA3\"", "LORA"}},
        {"{\"r\":4,\"lora_alpha\":1,\"bias\":\"some\"}", {"bias is \"some\"", "none"}},
        {PLAIN ",\"use_dora\":true}", {"use_dora is true", "not read"}},
        {PLAIN ",\"modules_to_save\":\"lm_head\"}", {"modules_to_save is \"lm_head\"", "a list"}},
        {PLAIN ",\"rank_pattern\":{\"q_proj\":8}}", {"lora_A.weight", "r, which is 8"}},
        {PLAIN ",\"rank_pattern\":{\"q_proj\":0}}", {"rank_pattern is {\"q_proj\":0}", "from 1"}},
        {PLAIN ",\"alpha_pattern\":{\"(q\":8}}", {"regular expression", "(q"}},
        {PLAIN ",\"some_new_key\":1}", {"some_new_key is 1", "not read"}},
        {PLAIN ",\"init_lora_weights\":\"pissa\"}", {"init_lora_weights is \"pissa\""}},
        {"{\"r\":4,\"lora_alpha\":1,\"target_modules\":[\"v_proj\",\"proj\"]}", {"q_proj", "target_modules"}},
        {"{\"r\":8,\"lora_alpha\":1}", {"lora_A.weight", "[4,32]", "r, which is 8"}},
    };
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path adapter = make_adapter(rows[i].config, Q, 32, 32);
        expect_refusal(&adapter, rows[i].words);
    }
}

typedef struct row {
    const char *a, *b;
    int64_t a_rows, a_columns, b_rows, b_columns;
    const char *words[3];
} row;

static void test_bad_tensors(void **state) {
    static const row rows[] = {
        {Q ".lora_A.weight", Q ".lora_C.weight", 4, 32, 32, 4, {"lora_A.weight", "no lora_B"}},
        {Q ".lora_B.weight", Q ".lora_B.bias", 32, 4, 4, 4, {"not read", "lora_B.bias"}},
        {"q_proj.lora_A.weight", "q_proj.lora_B.weight", 4, 32, 32, 4, {"not read", "base_model.model."}},
        {Q ".lora_A.weight", Q ".lora_B.weight", 4, 32, 32, 5, {"lora_B.weight is [32,5]", "r, which is 4"}},
        {Q ".lora_A.weight", Q ".lora_B.weight", 4, 32, 31, 4, {"[31,32]", "[32,32]"}},
        {Q ".lora_A.weight", Q ".lora_B.weight", 4, 30, 32, 4, {"[32,30]", "[32,32]"}},
        {"base_model.model.q_proj.lora_A.weight",
         "base_model.model.q_proj.lora_B.weight",
         4,
         32,
         32,
         4,
         {"no tensor q_proj.weight"}},
        {Q ".lora_embedding_A", Q ".lora_embedding_B", 4, 32, 32, 4, {"lora_embedding_A", "not read"}},
    };
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_folder();
        pm_tensors *set;
        assert_ok(pm_tensors_create(&set));
        add(set, rows[i].a, rows[i].a_rows, rows[i].a_columns, 1);
        add(set, rows[i].b, rows[i].b_rows, rows[i].b_columns, 2);
        write_adapter(&folder, PLAIN "}", set);
        pm_tensors_free(set);
        expect_refusal(&folder, rows[i].words);
    }
}

static void test_missing_files(void **state) {
    test_path folder = test_folder(), config = test_join(&folder, "adapter_config.json");
    (void)state;
    expect_refusal(&folder, (const char *const[3]){"adapter_config.json"});
    test_write_file(config.s, PLAIN "}", strlen(PLAIN "}"));
    expect_refusal(&folder, (const char *const[3]){"adapter_model.safetensors"});
}

static pm_status adapt_and_read(void *user) {
    const test_path *paths = user; /* the model, the adapter */
    pm_files files;
    pm_checkpoint c = {0};
    const pm_array *a = NULL;
    float w[32 * 32];
    PM_TRY(pm_files_open(paths[0].s, &files));
    pm_status s = pm_checkpoint_open(&files, &c);
    if (s == PM_OK) s = pm_checkpoint_adapt(&c, paths[1].s);
    if (s == PM_OK) s = pm_checkpoint_want(&c, q_weight, 2, (int64_t[]){32, 32}, &a);
    if (s == PM_OK) s = pm_checkpoint_read(&c, a, w);
    pm_checkpoint_close(&c);
    pm_files_close(&files);
    return s;
}

static void test_memory_runs_out(void **state) {
    test_path paths[] = {test_copy_model("llama"), make_adapter(PLAIN "}", Q, 32, 32)};
    (void)state;
    assert_true(test_every_allocation(adapt_and_read, paths) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),        cmocka_unit_test(test_others_stay),
        cmocka_unit_test(test_whole_tensors), cmocka_unit_test(test_whole_model),
        cmocka_unit_test(test_bad_configs),   cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_missing_files), cmocka_unit_test(test_memory_runs_out)};
    return run_all_tests(tests);
}
