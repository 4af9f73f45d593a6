/* Models from GGUF files: the same as from their folders, and errors that name the key or the tensor. */
#include "tests/support_gguf.h"
#include "tests/support_memory.h"

#include "models/convert.h"

static const int64_t dims_32[] = {32}, dims_2_32[] = {2, 32};

/* ---- models ---- */

/* An output for a few ids, n elements in all. */
static void run_for(const char *path, const char *want, float *out, size_t n) {
    char name[64];
    pm_tensors *in, *result;
    const int32_t ids[] = {1, 5, 17, 3, 60, 2, 9};
    test_session o = test_open(path, "cpu");
    assert_ok(pm_tensors_create(&in));
    assert_ok(pm_tensors_add_ids(in, "in.input_ids", ids, PM_COUNT(ids)));
    assert_ok(pm_tensors_add_ids(in, "in.decoder_input_ids", ids, PM_COUNT(ids))); /* of encoder-decoders */
    assert_ok(pm_session_run(o.s, in, want, &result));
    snprintf(name, sizeof name, "out.%s", want);
    const pm_array *a = pm_tensors_get(result, name);
    assert_non_null(a);
    assert_int_equal(pm_array_elems(a), n);
    assert_ok(pm_convert_f32(a, out));
    pm_tensors_free(result);
    pm_tensors_free(in);
    test_close(&o);
}

static void run(const char *path, float *out, size_t n) {
    run_for(path, "logits", out, n);
}

static void test_same_as_folder(void **state) {
    static const char *const names[] = {"llama", "mixtral", "qwen3-moe", "gpt-oss", "gpt2", "t5", "t5-v1.1"};
    float x[7 * 61], y[7 * 61];
    (void)state;
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        test_path gguf = test_gguf_of(names[i]), folder = test_copy_model(names[i]);
        run(gguf.s, x, PM_COUNT(x));
        run(folder.s, y, PM_COUNT(y));
        assert_memory_equal(x, y, sizeof x);
    }
}

/* The encoder alone, as files for other models' texts have it. */
static void test_t5_encoder(void **state) {
    float x[7 * 32], y[7 * 32];
    test_path gguf = test_gguf_of("t5encoder"), folder = test_copy_model("t5-v1.1");
    (void)state;
    run_for(gguf.s, "last_hidden_state", x, PM_COUNT(x));
    run_for(folder.s, "encoder_last_hidden_state", y, PM_COUNT(y));
    assert_memory_equal(x, y, sizeof x);
}

/* A trained model whose two files came from different hands. */
static void test_stories(void **state) {
    enum { N = 7 * 512 };
    char gguf[TEST_PATH], folder[TEST_PATH];
    static float x[N], y[N];
    (void)state;
    if (!test_shared_dir()) skip_because("no ../shared");
    snprintf(gguf, sizeof gguf, "%s/models/stories260k.gguf", test_shared_dir());
    snprintf(folder, sizeof folder, "%s/models/stories260k", test_shared_dir());
    run(gguf, x, N);
    run(folder, y, N);
    assert_memory_equal(x, y, sizeof x);
}

static void test_information(void **state) {
    test_path path = test_gguf_of("llama");
    pm_model *m;
    pm_model_info info;
    (void)state;
    assert_ok(pm_model_open(path.s, &m));
    pm_model_get_info(m, &info);
    assert_string_equal(info.model_type, "llama");
    assert_int_equal(info.bos_id, 1);
    assert_int_equal(info.eos_id, 2);
    assert_int_equal(info.pad_id, -1);
    assert_int_equal(info.vocab_size, 61);
    assert_int_equal(info.max_positions, 2048); /* computed positions: not what it was trained with */
    pm_model_close(m);
}

/* A model whose keys are right and whose tensors are missing or odd. */
static void add_head(test_gguf *f, const char *architecture) {
    test_gguf_text(f, "general.architecture", architecture);
    test_gguf_tensor(f, "token_embd.weight", 0, 2, dims_2_32, NULL, 256);
}
static void no_architecture(test_gguf *f) {
    test_gguf_u32(f, "x", 1);
}
static void other_architecture(test_gguf *f) {
    add_head(f, "mamba");
}
static void no_width(test_gguf *f) {
    add_head(f, "llama");
}
static void array_of_heads(test_gguf *f) {
    add_head(f, "llama");
    test_gguf_u32(f, "llama.embedding_length", 32);
    test_gguf_u32(f, "llama.block_count", 1);
    test_gguf_array(f, "llama.attention.head_count", 4, 1, "\4\0\0\0", 4);
}
static void experts(test_gguf *f) {
    add_head(f, "qwen3");
    test_gguf_u32(f, "qwen3.expert_count", 8);
}
static void shared_experts(test_gguf *f) {
    add_head(f, "llama");
    test_gguf_u32(f, "llama.expert_shared_count", 1);
}
static void sigmoid(test_gguf *f) {
    add_head(f, "llama");
    test_gguf_u32(f, "llama.expert_gating_func", 2);
}
static void part(test_gguf *f) {
    add_head(f, "llama");
    test_gguf_u32(f, "split.count", 3);
}
static void no_table(test_gguf *f) {
    test_gguf_text(f, "general.architecture", "gpt2");
}
static void sizes(test_gguf *f) {
    static const char *const keys[] = {"embedding_length", "block_count", "attention.head_count",
                                       "feed_forward_length", "context_length"};
    static const uint32_t values[] = {32, 1, 3, 48, 64};
    add_head(f, "llama");
    for (size_t i = 0; i < PM_COUNT(keys); i++) {
        char key[64];
        snprintf(key, sizeof key, "llama.%s", keys[i]);
        test_gguf_u32(f, key, values[i]);
    }
    test_gguf_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    test_gguf_u32(f, "llama.attention.key_length", 8);
}
/* blk.0.ffn_gate_exps.weight of a file that says 4 experts, 2 of them for a token. */
static void add_experts(test_gguf *f, unsigned type, int rank, const int64_t *dims, size_t bytes) {
    sizes(f);
    test_gguf_u32(f, "llama.expert_count", 4);
    test_gguf_u32(f, "llama.expert_used_count", 2);
    test_gguf_tensor(f, "blk.0.ffn_gate_exps.weight", type, rank, dims, NULL, bytes);
}
static void uncounted_experts(test_gguf *f) {
    sizes(f);
    test_gguf_tensor(f, "blk.0.ffn_gate_exps.weight", 0, 2, dims_2_32, NULL, 256);
}
static void few_experts(test_gguf *f) {
    add_experts(f, 0, 3, (int64_t[]){3, 48, 32}, 3 * 48 * 128);
}
static void flat_experts(test_gguf *f) {
    add_experts(f, 0, 1, (int64_t[]){4}, 16);
}
static void empty_experts(test_gguf *f) {
    add_experts(f, 0, 3, (int64_t[]){4, 0, 32}, 0);
}
static void dynamic_rope(test_gguf *f) {
    sizes(f);
    test_gguf_text(f, "llama.rope.scaling.type", "spiral");
}
static void long_rope(test_gguf *f) {
    sizes(f);
    test_gguf_tensor(f, "rope_factors_long.weight", 0, 1, dims_32, NULL, 128);
}
static void wrong_factors(test_gguf *f) {
    sizes(f);
    test_gguf_tensor(f, "rope_freqs.weight", 0, 1, dims_32, NULL, 128);
}
static void partial_rope(test_gguf *f) {
    sizes(f);
    test_gguf_u32(f, "llama.rope.dimension_count", 4);
}
static void unknown_type(test_gguf *f) {
    sizes(f);
    test_gguf_tensor(f, "blk.0.attn_norm.weight", 16, 1, dims_32, NULL, 32);
}
static void odd_rows(test_gguf *f) {
    sizes(f);
    test_gguf_tensor(f, "blk.0.attn_norm.weight", 0, 1, dims_32, NULL, 128);
    test_gguf_tensor(f, "blk.0.attn_q.weight", 0, 2, (int64_t[]){7, 32}, NULL, 7 * 128);
}

static void test_bad_models(void **state) {
    static const struct {
        void (*make)(test_gguf *f);
        const char *words[4];
    } rows[] = {
        {no_architecture, {"general.architecture is missing"}},
        {other_architecture, {"general.architecture is mamba", "expected one of", "gemma3"}},
        {no_width, {"llama.embedding_length is missing"}},
        {array_of_heads, {"llama.attention.head_count is no single integer"}},
        {experts, {"qwen3.expert_count is 8", "qwen3moe"}},
        {shared_experts, {"llama.expert_shared_count is 1", "not read"}},
        {sigmoid, {"llama.expert_gating_func is 2", "softmax"}},
        {uncounted_experts, {"llama.expert_count is 0", "ffn_gate_exps"}},
        {few_experts, {"ffn_gate_exps.weight has 3 dims and 3 experts", "4"}},
        {flat_experts, {"ffn_gate_exps.weight has 1 dims"}},
        {empty_experts, {"ffn_gate_exps.weight has no elements"}},
        {part, {"split.count is 3", "merge"}},
        {no_table, {"token_embd.weight is missing"}},
        {dynamic_rope, {"llama.rope.scaling.type is spiral", "linear"}},
        {long_rope, {"rope_factors_long.weight"}},
        {wrong_factors, {"rope_freqs.weight", "element 0 is 0"}},
        {partial_rope, {"rope.dimension_count is 4", "8"}},
        {unknown_type, {"model.layers.0.input_layernorm.weight", "type 16", "Q6_K"}},
        {odd_rows, {"model.layers.0.self_attn.q_proj.weight", "7 rows", "3 heads"}},
    };
    test_path folder = test_folder(), path = test_join(&folder, "m.gguf");
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_gguf f = {0};
        rows[i].make(&f);
        test_gguf_write(&f, path.s);
        test_expect_error(&path, PM_ERR_FILE,
                          (const char *const[]){"m.gguf", rows[i].words[0], rows[i].words[1],
                                                rows[i].words[2], rows[i].words[3], NULL});
    }
}

static void test_pickle(void **state) {
    test_path folder = test_copy_model("llama"), old = test_join(&folder, "model.safetensors"),
              pickle = test_join(&folder, "pytorch_model.bin");
    (void)state;
    assert_int_equal(rename(old.s, pickle.s), 0);
    test_expect_error(&folder, PM_ERR_FILE,
                      (const char *const[]){"pytorch_model.bin", "safe_serialization", NULL});
}

static pm_status open_and_close(void *user) {
    pm_model *m = NULL;
    pm_status s = pm_model_open(((test_path *)user)->s, &m);
    pm_model_close(m);
    return s;
}

static void test_memory_runs_out(void **state) {
    test_path path = test_gguf_of("llama");
    (void)state;
    assert_true(test_every_allocation(open_and_close, &path) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_folder), cmocka_unit_test(test_t5_encoder),
        cmocka_unit_test(test_stories),        cmocka_unit_test(test_information),
        cmocka_unit_test(test_bad_models),     cmocka_unit_test(test_pickle),
        cmocka_unit_test(test_memory_runs_out)};
    return run_all_tests(tests);
}
