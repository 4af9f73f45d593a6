/* Files that are cut or absurd: each gives PM_ERR_FILE and one line that names the key or tensor and the
 * values, before a device is opened. */
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/model_data.h"

/* ---- config.json ---- */

typedef struct bad_key {
    const char *model, *key, *json;
    const char *words[5];
} bad_key;

static const bad_key bad_keys[] = {
    {"llama", "model_type", NULL, {"model_type is missing"}},
    {"llama", "model_type", "\"rwkv\"", {"model_type", "rwkv", "llama", "gpt2"}},
    {"llama", "model_type", "3", {"model_type", "not a text"}},
    {"llama",
     "architectures",
     "[\"LlamaForQuestionAnswering\"]",
     {"architectures", "LlamaForQuestionAnswering", "LlamaForCausalLM"}},
    {"llama", "hidden_size", NULL, {"hidden_size is missing"}},
    {"llama", "hidden_size", "-3", {"hidden_size is -3", "1..65536"}},
    {"llama", "hidden_size", "0", {"hidden_size is 0"}},
    {"llama", "hidden_size", "\"32\"", {"hidden_size", "\"32\"", "an integer"}},
    {"llama", "hidden_size", "32.5", {"hidden_size", "32.5", "an integer"}},
    {"llama", "hidden_size", "9000000000000000000", {"hidden_size is 9000000000000000000"}},
    {"llama", "hidden_size", "36", {"model.embed_tokens.weight", "[61,32]", "[61,36]"}},
    {"llama", "num_hidden_layers", "1000000000", {"num_hidden_layers is 1000000000", "1..512"}},
    {"llama", "num_hidden_layers", "3", {"model.layers.2.", "missing"}},
    {"llama", "num_attention_heads", "3", {"num_attention_heads", "3"}},
    {"llama", "num_attention_heads", "0", {"num_attention_heads is 0"}},
    {"llama", "num_key_value_heads", "3", {"num_key_value_heads is 3", "num_attention_heads", "4"}},
    {"llama", "num_key_value_heads", "8", {"num_key_value_heads is 8"}},
    {"llama", "head_dim", "7", {"head_dim is 7", "even"}},
    {"llama", "head_dim", "16", {"q_proj.weight", "[32,32]", "[64,32]"}},
    {"llama", "intermediate_size", "49", {"mlp.up_proj.weight", "[48,32]", "[49,32]"}},
    {"llama", "vocab_size", "62", {"model.embed_tokens.weight", "[61,32]", "[62,32]"}},
    {"llama", "vocab_size", "99999999999", {"vocab_size is 99999999999"}},
    {"llama", "max_position_embeddings", "999999999", {"max_position_embeddings is 999999999"}},
    {"llama", "rms_norm_eps", "-1", {"rms_norm_eps is -1"}},
    {"llama", "rms_norm_eps", "\"small\"", {"rms_norm_eps", "small", "a number"}},
    {"llama", "hidden_act", "\"xielu\"", {"hidden_act", "xielu", "silu"}},
    {"llama", "attention_bias", "true", {"q_proj.bias", "missing"}},
    {"llama", "attention_bias", "1", {"attention_bias", "true or false"}},
    {"llama",
     "rope_parameters",
     "{\"rope_type\":\"longrope\",\"factor\":4.0}",
     {"rope_type", "longrope", "llama3"}},
    {"llama",
     "rope_parameters",
     "{\"rope_type\":\"yarn\",\"factor\":4.0}",
     {"original_max_position_embeddings is missing"}},
    {"gemma2", "layer_types", "[\"full_attention\"]", {"layer_types has 1 entries, 2"}},
    {"gemma2",
     "layer_types",
     "[\"full_attention\",\"chunked\"]",
     {"layer_types", "chunked", "sliding_attention"}},
    {"opt", "word_embed_proj_dim", "16", {"word_embed_proj_dim is 16", "hidden_size", "32"}},
    {"bloom",
     "apply_residual_connection_post_layernorm",
     "true",
     {"apply_residual_connection_post_layernorm is true"}},
    {"falcon", "alibi", "true", {"alibi is true"}},
    {"mixtral", "num_experts_per_tok", "5", {"num_experts_per_tok is 5", "num_local_experts", "4"}},
    {"mixtral", "num_experts_per_tok", "0", {"num_experts_per_tok is 0"}},
    {"mixtral", "num_local_experts", "5", {"block_sparse_moe.gate.weight", "[4,32]", "[5,32]"}},
    {"mixtral", "num_experts", "3", {"block_sparse_moe.gate.weight", "[4,32]", "[3,32]"}},
    {"mixtral", "intermediate_size", "49", {"experts.0.w1.weight", "[48,32]", "[49,32]"}},
    {"qwen3-moe", "mlp_only_layers", "[1]", {"layers.1.mlp.up_proj.weight", "missing"}},
    {"qwen3-moe", "decoder_sparse_step", "2", {"layers.0.mlp.up_proj.weight", "missing"}},
    {"qwen3-moe", "moe_intermediate_size", "47", {"experts.0.gate_proj.weight", "[48,32]", "[47,32]"}},
    {"gpt-oss", "num_local_experts", "5", {"mlp.router.weight", "[4,32]", "[5,32]"}},
    {"gpt-oss", "intermediate_size", "40", {"gate_up_proj", "[4,32,96]", "[4,32,80]"}},
    {"bart", "decoder_attention_heads", "5", {"decoder_attention_heads is 5", "d_model"}},
    {"t5", "feed_forward_proj", "\"gated-snake\"", {"feed_forward_proj", "gated-snake", "gated-gelu"}},
    {"t5", "feed_forward_proj", "\"gated-relu\"", {"DenseReluDense.wi_1.weight", "missing"}},
    {"t5",
     "relative_attention_max_distance",
     "4",
     {"relative_attention_max_distance is 4", "relative_attention_num_buckets", "8"}},
    {"t5", "relative_attention_num_buckets", "16", {"relative_attention_bias.weight", "[8,4]", "[16,4]"}},
    {"t5", "d_kv", "16", {"SelfAttention.q.weight", "[32,32]", "[64,32]"}},
    {"t5", "model_type", "\"umt5\"", {"architectures", "T5ForConditionalGeneration", "UMT5ForConditional"}},
    {"llama", "rope_parameters", "{\"rope_type\":\"llama3\",\"factor\":4.0}", {"low_freq_factor is missing"}},
    {"llama", "rope_parameters", "7", {"rope_parameters is not an object"}},
    {"llama", "eos_token_id", "\"</s>\"", {"eos_token_id"}},
    {"llama3-rope", "tie_word_embeddings", "false", {"lm_head.weight", "missing", "[61,32]"}},
    {"gpt2", "n_head", "5", {"n_head is 5", "n_embd", "32"}},
    {"gpt2", "n_positions", "63", {"transformer.wpe.weight", "[64,32]", "[63,32]"}},
    {"gpt2", "activation_function", "\"snake\"", {"activation_function", "snake"}},
    {"llama", "partial_rotary_factor", "1.5", {"partial_rotary_factor is 1.5"}},
    {"bert-ner", "id2label", "{\"0\":\"A\"}", {"classifier.weight", "[9,32]", "[1,32]"}},
    {"bert-base", "position_embedding_type", "\"relative_key\"", {"position_embedding_type", "relative_key"}},
    {"bert-base", "is_decoder", "true", {"is_decoder is true"}},
    {"bert-base", "type_vocab_size", "3", {"token_type_embeddings", "[2,32]", "[3,32]"}},
    {"distilbert", "n_heads", "3", {"n_heads is 3", "dim", "32"}},
    {"distilbert", "activation", "\"xielu\"", {"activation", "xielu"}},
    {"distilbert", "num_labels", "7", {"classifier.weight", "[2,32]", "[7,32]"}},
    {"roberta", "pad_token_id", "63", {"max_position_embeddings is 64", "pad_token_id 63"}},
    {"roberta", "position_embedding_type", "\"relative_key\"", {"position_embedding_type", "relative_key"}},
    {"roberta",
     "architectures",
     "[\"RobertaForMultipleChoice\"]",
     {"RobertaForMultipleChoice", "RobertaModel"}},
    {"modernbert", "local_attention", "0", {"local_attention is 0"}},
    {"modernbert", "layer_types", "[\"full_attention\",\"chunked\"]", {"layer_types", "chunked"}},
    {"modernbert", "classifier_pooling", "\"last\"", {"classifier_pooling", "last", "mean"}},
    {"modernbert", "norm_bias", "true", {"norm.bias", "missing"}},
    {"longformer", "attention_window", "7", {"attention_window is 7", "even"}},
    {"longformer", "attention_window", "[8]", {"attention_window has 1 entries", "2 were expected"}},
    {"longformer", "attention_window", "[8,0]", {"attention_window is 0"}},
    {"longformer", "attention_window", "[8,\"all\"]", {"attention_window is \"all\""}},
    {"longformer", "max_position_embeddings", "2", {"max_position_embeddings is 2"}},
    {"transformer", "positions", "\"learned\"", {"positions", "learned", "sinusoidal"}},
    {"transformer", "nhead", "7", {"nhead is 7", "d_model"}},
    {"transformer", "dim_feedforward", NULL, {"dim_feedforward is missing"}},
};

static void test_bad_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bad_keys); i++) {
        const bad_key *b = &bad_keys[i];
        test_path folder = test_copy_model(b->model);
        test_edit_config(&folder, b->key, b->json);
        test_expect_error(&folder, PM_ERR_FILE, b->words);
    }
}

static void test_bad_config_files(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *words[3];
    } rows[] = {{"", {"config.json"}},
                {"[1]", {"config.json", "not a JSON object"}},
                {"{\"model_type\":\"llama\",", {"config.json", "line 1"}},
                {"{\"a\":1,\"a\":2}", {"config.json", "duplicate"}},
                {"\xff\xfe{", {"config.json"}}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_copy_model("llama"), path = test_join(&folder, "config.json");
        test_write_file(path.s, rows[i].text, strlen(rows[i].text));
        test_expect_error(&folder, PM_ERR_FILE, rows[i].words);
    }
    test_path both = test_copy_model("gpt2");
    test_edit_config(&both, "n_embd", "-4");
    test_write_file(test_join(&both, "model.safetensors").s, "cut", 3);
    test_expect_error(&both, PM_ERR_FILE, (const char *[]){"n_embd is -4", NULL});
    test_path empty = test_folder(), none = {"/nonexistent-model"};
    test_expect_error(&empty, PM_ERR_FILE, (const char *[]){"config.json", NULL});
    test_expect_error(&none, PM_ERR_FILE, (const char *[]){"/nonexistent-model", "built-in", NULL});
}

/* ---- model.safetensors ---- */

typedef struct bad_tensor {
    const char *model, *tensor, *field, *json;
    const char *words[5];
} bad_tensor;

static const bad_tensor bad_tensors[] = {
    {"gpt2",
     "transformer.h.0.attn.c_attn.weight",
     NULL,
     NULL,
     {"model.safetensors", "transformer.h.0.attn.c_attn.weight", "missing", "[32,96]"}},
    {"gpt2",
     "transformer.h.0.attn.c_attn.weight",
     "shape",
     "[96,32]",
     {"c_attn.weight is [96,32]", "expected [32,96]"}},
    {"gpt2",
     "transformer.h.0.attn.c_attn.weight",
     "shape",
     "[3072]",
     {"c_attn.weight is [3072]", "expected [32,96]"}},
    {"gpt2", "transformer.h.0.attn.c_attn.weight", "shape", "[32,97]", {"c_attn.weight", "3104 elements"}},
    {"gpt2", "transformer.h.1.ln_2.bias", "dtype", "\"I32\"", {"transformer.h.1.ln_2.bias", "i32", "f32"}},
    {"gpt2", "transformer.h.1.ln_2.bias", "dtype", "\"F16\"", {"transformer.h.1.ln_2.bias", "128 bytes"}},
    {"gpt2",
     "transformer.h.1.ln_2.bias",
     "dtype",
     "\"U32\"",
     {"transformer.h.1.ln_2.bias has type U32", "F32"}},
    {"gpt2", "transformer.h.1.ln_2.bias", "dtype", "\"F31\"", {"transformer.h.1.ln_2.bias has type F31"}},
    {"gpt2",
     "transformer.h.1.ln_2.bias",
     "shape",
     "[1,1,1,1,1,32]",
     {"transformer.h.1.ln_2.bias has 6 dims"}},
    {"gpt2", "transformer.h.1.ln_2.bias", "data_offsets", "[0,128]", {"share bytes"}},
    {"gpt2",
     "transformer.h.1.ln_2.bias",
     "data_offsets",
     "[99999999,99999999]",
     {"transformer.h.1.ln_2.bias", "99999999"}},
    {"llama", "model.norm.weight", NULL, NULL, {"model.norm.weight is missing", "[32]"}},
    {"llama",
     "model.layers.1.mlp.up_proj.weight",
     NULL,
     NULL,
     {"model.layers.1.mlp.up_proj.weight is missing"}},
    {"bert-mlm", "cls.predictions.bias", NULL, NULL, {"cls.predictions.bias is missing"}},
    {"bert-base", "pooler.dense.bias", NULL, NULL, {"pooler.dense.bias is missing"}},
    {"bert-classify",
     "classifier.weight",
     "shape",
     "[32,3]",
     {"classifier.weight is [32,3]", "expected [3,32]"}},
    {"transformer",
     "transformer.decoder.layers.1.multihead_attn.in_proj_weight",
     NULL,
     NULL,
     {"transformer.decoder.layers.1.multihead_attn.in_proj_weight is missing", "[96,32]"}},
    {"transformer", "generator.bias", "shape", "[1,61]", {"generator.bias is [1,61]", "expected [61]"}},
};

static void test_bad_tensors(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bad_tensors); i++) {
        const bad_tensor *b = &bad_tensors[i];
        test_path folder = test_copy_model(b->model);
        test_edit_header(&folder, b->tensor, b->field, b->json);
        test_expect_error(&folder, PM_ERR_FILE, b->words);
    }
}

static void test_cut_weights(void **state) {
    (void)state;
    static const size_t cuts[] = {0, 1, 7, 8, 9, 100, 2583, 2584, 2585, 40000};
    size_t n;
    unsigned char *data = test_read_file(test_reference("gpt2", "model.safetensors").s, &n);
    for (size_t i = 0; i <= PM_COUNT(cuts); i++) {
        test_path folder = test_copy_model("gpt2"), path = test_join(&folder, "model.safetensors");
        test_write_file(path.s, data, i < PM_COUNT(cuts) ? cuts[i] : n - 1);
        test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"model.safetensors", NULL});
    }
    free(data);
}

/* ---- what must still open ---- */

static void expect_open(const test_path *folder) {
    pm_model *m;
    assert_ok(pm_model_open(folder->s, &m));
    pm_model_close(m);
}

static void test_good_variants(void **state) {
    (void)state;
    static const bad_key good[] = {
        {"gpt2", "n_inner", "48", {NULL}},
        {"gpt2", "architectures", NULL, {NULL}},
        {"gpt2", "tie_word_embeddings", NULL, {NULL}},
        {"llama", "eos_token_id", "[2,3,4]", {NULL}},
        {"llama", "head_dim", "null", {NULL}},
        {"llama", "pad_token_id", "-1", {NULL}},
        {"llama", "rope_parameters", NULL, {NULL}},
        {"llama", "rope_scaling", "{\"type\":\"linear\",\"factor\":2.0}", {NULL}},
        {"llama", "rope_scaling", "{\"type\":\"dynamic\",\"factor\":2.0}", {NULL}},
        {"llama", "rope_parameters", "{\"partial_rotary_factor\":0.25}", {NULL}},
        {"bert-base", "architectures", "[\"BertModel\",\"Other\"]", {NULL}},
        {"roberta", "pad_token_id", "null", {NULL}},
        {"roberta", "architectures", "[\"RobertaModel\"]", {NULL}}, /* without a pooler */
        {"modernbert", "rope_parameters", NULL, {NULL}},
        {"modernbert", "layer_types", NULL, {NULL}},
        {"longformer", "attention_window", "64", {NULL}},
        {"longformer", "attention_window", NULL, {NULL}},
    };
    for (size_t i = 0; i < PM_COUNT(good); i++) {
        test_path folder = test_copy_model(good[i].model);
        test_edit_config(&folder, good[i].key, good[i].json);
        expect_open(&folder);
    }
}

/* Tensors that no model here reads do no harm, as long as they lie within the file. */
static void test_unused_tensors(void **state) {
    (void)state;
    static const char *const entries[] = {
        "{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,0],\"data_offsets\":[0,0]}",
        "{\"dtype\":\"F4_NEW\",\"shape\":[7],\"data_offsets\":[0,0]}",
    };
    for (size_t i = 0; i < PM_COUNT(entries); i++) {
        test_path folder = test_copy_model("gpt2");
        test_edit_header(&folder, "not.of.this.model", NULL, entries[i]);
        expect_open(&folder);
    }
    test_path folder = test_copy_model("gpt2");
    test_edit_header(&folder, "x", NULL,
                     "{\"dtype\":\"F4_NEW\",\"shape\":[7],\"data_offsets\":[0,99999999]}");
    test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"tensor x", "99999999", NULL});
}

/* rope_theta within the rotary object wins over the one beside it, whatever the object is called. */
static void test_rope_theta(void **state) {
    (void)state;
    static const struct {
        const char *scaling, *parameters, *beside;
        float theta;
    } rows[] = {
        {"{\"type\":\"linear\",\"factor\":2.0,\"rope_theta\":77.0}", NULL, "55.0", 77},
        {"{\"type\":\"linear\",\"factor\":2.0}", NULL, "55.0", 55},
        {"{\"type\":\"linear\",\"factor\":2.0}", NULL, NULL, 10000},
        {NULL, "{\"rope_type\":\"default\",\"rope_theta\":77.0}", "55.0", 77},
        {NULL, "{\"rope_type\":\"default\"}", "55.0", 55},
    };
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path folder = test_copy_model("llama");
        pm_model *m;
        test_edit_config(&folder, "rope_scaling", rows[i].scaling);
        test_edit_config(&folder, "rope_parameters", rows[i].parameters);
        test_edit_config(&folder, "rope_theta", rows[i].beside);
        assert_ok(pm_model_open(folder.s, &m));
        assert_true(m->spec.rope[0].theta == rows[i].theta);
        pm_model_close(m);
    }
}

/* A pipe in the place of a file is refused at once: nobody waits for its writer. */
static void test_pipes(void **state) {
    (void)state;
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        test_path folder = test_copy_model("gpt2"), path = test_join(&folder, names[i]);
        assert_int_equal(remove(path.s), 0);
        assert_int_equal(mkfifo(path.s, 0600), 0);
        alarm(20);
        test_expect_error(&folder, PM_ERR_FILE, (const char *[]){names[i], "not a regular file", NULL});
        alarm(0);
    }
}

/* Two shards behind an index, one of them named twice. */
static void test_shards(void **state) {
    (void)state;
    test_path folder = test_copy_model("gpt2"), whole = test_join(&folder, "model.safetensors");
    test_path a = test_join(&folder, "a.safetensors"), b = test_join(&folder, "b.safetensors");
    test_path index = test_join(&folder, "model.safetensors.index.json");
    size_t n;
    unsigned char *data = test_read_file(whole.s, &n);
    test_edit_header(&folder, "transformer.ln_f.bias", NULL, NULL); /* a: all but that one */
    size_t n_a;
    unsigned char *data_a = test_read_file(whole.s, &n_a);
    test_write_file(a.s, data_a, n_a);
    test_write_file(b.s, data, n);
    assert_int_equal(remove(whole.s), 0);
    const char *text =
        "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"a.safetensors\",\"z\":\"b.safetensors\"}}";
    test_write_file(index.s, text, strlen(text));
    expect_open(&folder);
    text = "{\"weight_map\":{\"x\":\"a.safetensors\"}}";
    test_write_file(index.s, text, strlen(text));
    test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"transformer.ln_f.bias is missing", NULL});
    text = "{\"weight_map\":{\"x\":\"../a.safetensors\"}}";
    test_write_file(index.s, text, strlen(text));
    test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"weight_map", "x", NULL});
    text = "{}";
    test_write_file(index.s, text, strlen(text));
    test_expect_error(&folder, PM_ERR_FILE, (const char *[]){"weight_map is missing", NULL});
    free(data);
    free(data_a);
}

/* ---- memory ---- */

static pm_status open_and_close(void *user) {
    pm_model *m = NULL;
    pm_status s = pm_model_open(user, &m);
    pm_model_close(m);
    return s;
}

static void test_out_of_memory(void **state) {
    (void)state;
    static const char *const families[] = {
        "gpt2",        "llama3-rope",   "bert-mlm", "transformer",     "modernbert",       "t5",
        "whisper",     "clip",          "vit",      "dinov2-swiglu",   "transfo-xl",       "longformer",
        "gpt-oss",     "qwen3-moe",     "mixtral",  "albert-ner",      "distilbert",       "marian",
        "xlm-roberta", "sentence-many", "electra",  "../examples/tag", "../examples/match"};
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        test_path path = test_reference(families[i], NULL);
        assert_true(test_every_allocation(open_and_close, path.s) > 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_keys),       cmocka_unit_test(test_bad_config_files),
        cmocka_unit_test(test_bad_tensors),    cmocka_unit_test(test_cut_weights),
        cmocka_unit_test(test_good_variants),  cmocka_unit_test(test_shards),
        cmocka_unit_test(test_unused_tensors), cmocka_unit_test(test_rope_theta),
        cmocka_unit_test(test_pipes),          cmocka_unit_test(test_out_of_memory),
    };
    return run_all_tests(tests);
}
