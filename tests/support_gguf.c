/* See support_gguf.h. */
#include "tests/support_gguf.h"

#include <stdlib.h>

#include "models/convert.h"

void test_gguf_word(pm_text *t, uint64_t value, int bytes) {
    char c[8];
    for (int i = 0; i < bytes; i++) c[i] = (char)(value >> 8 * i);
    pm_text_add_bytes(t, c, (size_t)bytes);
}

void test_gguf_string(pm_text *t, const char *s) {
    test_gguf_word(t, strlen(s), 8);
    pm_text_add_bytes(t, s, strlen(s));
}

void test_gguf_key(test_gguf *f, const char *key, unsigned type, const void *bytes, size_t n) {
    test_gguf_string(&f->keys, key);
    test_gguf_word(&f->keys, type, 4);
    pm_text_add_bytes(&f->keys, bytes, n);
    f->n_keys++;
}

void test_gguf_u32(test_gguf *f, const char *key, uint32_t value) {
    pm_text t = {0};
    test_gguf_word(&t, value, 4);
    test_gguf_key(f, key, 4, t.data, t.length);
    pm_text_free(&t);
}

void test_gguf_f32(test_gguf *f, const char *key, float value) {
    uint32_t bits;
    pm_text t = {0};
    memcpy(&bits, &value, 4);
    test_gguf_word(&t, bits, 4);
    test_gguf_key(f, key, 6, t.data, t.length);
    pm_text_free(&t);
}

void test_gguf_text(test_gguf *f, const char *key, const char *value) {
    pm_text t = {0};
    test_gguf_string(&t, value);
    test_gguf_key(f, key, 8, t.data, t.length);
    pm_text_free(&t);
}

void test_gguf_array(test_gguf *f, const char *key, unsigned type, uint64_t n, const char *bytes,
                     size_t n_bytes) {
    pm_text t = {0};
    test_gguf_word(&t, type, 4);
    test_gguf_word(&t, n, 8);
    pm_text_add_bytes(&t, bytes, n_bytes);
    test_gguf_key(f, key, 9, t.data, t.length);
    pm_text_free(&t);
}

static void pad(pm_text *t) {
    while (t->length % 32) pm_text_add_bytes(t, "", 1);
}

void test_gguf_tensor(test_gguf *f, const char *name, unsigned type, int rank, const int64_t *dims,
                      const void *data, size_t bytes) {
    pad(&f->data);
    test_gguf_string(&f->infos, name);
    test_gguf_word(&f->infos, (uint64_t)rank, 4);
    for (int i = rank - 1; i >= 0; i--) test_gguf_word(&f->infos, (uint64_t)dims[i], 8);
    test_gguf_word(&f->infos, type, 4);
    test_gguf_word(&f->infos, f->data.length, 8);
    if (data)
        pm_text_add_bytes(&f->data, data, bytes);
    else
        for (size_t i = 0; i < bytes; i++) pm_text_add_bytes(&f->data, "", 1);
    f->n_tensors++;
}

unsigned char *test_gguf_bytes(test_gguf *f, size_t *out_n) {
    pm_text t = {0};
    pm_text_add_bytes(&t, "GGUF", 4);
    test_gguf_word(&t, f->version ? f->version : 3, 4);
    test_gguf_word(&t, f->n_tensors, 8);
    test_gguf_word(&t, f->n_keys, 8);
    pm_text_add_bytes(&t, f->keys.data ? f->keys.data : "", f->keys.length);
    pm_text_add_bytes(&t, f->infos.data ? f->infos.data : "", f->infos.length);
    pad(&t);
    pm_text_add_bytes(&t, f->data.data ? f->data.data : "", f->data.length);
    assert_ok(pm_text_status(&t));
    unsigned char *file = malloc(t.length);
    assert_non_null(file);
    memcpy(file, t.data, t.length);
    *out_n = t.length;
    pm_text_free(&t);
    pm_text_free(&f->keys);
    pm_text_free(&f->infos);
    pm_text_free(&f->data);
    *f = (test_gguf){0};
    return file;
}

void test_gguf_write(test_gguf *f, const char *path) {
    size_t n;
    unsigned char *file = test_gguf_bytes(f, &n);
    test_write_file(path, file, n);
    free(file);
}

/* ---- a checkpoint of tests/data ---- */

/* Parts of names, each in its place once. What llama.cpp's converter does to the elements: p: rows of pairs side by side
 * (heads in the number behind), t: transposed. */
typedef struct change {
    const char *hf, *gguf, *what;
} change;
static const change llama_changes[] = {
    {"model.layers.", "blk.", ""},
    {"model.embed_tokens", "token_embd", ""},
    {"model.norm", "output_norm", ""},
    {"lm_head", "output", ""},
    {"self_attn.q_proj", "attn_q", "p4"},
    {"self_attn.k_proj", "attn_k", "p2"},
    {"self_attn.v_proj", "attn_v", ""},
    {"self_attn.o_proj", "attn_output", ""},
    {"mlp.gate_proj", "ffn_gate", ""},
    {"mlp.up_proj", "ffn_up", ""},
    {"mlp.down_proj", "ffn_down", ""},
    {"input_layernorm", "attn_norm", ""},
    {"post_attention_layernorm", "ffn_norm", ""},
};
/* ... and first what experts' tensors are called. */
#define DECODER_CHANGES(norm)                                                                                \
    {"model.layers.", "blk.", ""}, {"model.embed_tokens", "token_embd", ""},                                 \
        {"model.norm", "output_norm", ""}, {"lm_head", "output", ""}, {"self_attn.v_proj", "attn_v", ""},    \
        {"self_attn.o_proj", "attn_output", ""}, {"input_layernorm", "attn_norm", ""}, {                     \
        "post_attention_layernorm", norm, ""                                                                 \
    }
static const change mixtral_changes[] = {
    {"block_sparse_moe.experts.w1", "ffn_gate_exps", ""},
    {"block_sparse_moe.experts.w3", "ffn_up_exps", ""},
    {"block_sparse_moe.experts.w2", "ffn_down_exps", ""},
    {"block_sparse_moe.gate", "ffn_gate_inp", ""},
    {"self_attn.q_proj", "attn_q", "p4"},
    {"self_attn.k_proj", "attn_k", "p2"},
    DECODER_CHANGES("ffn_norm"),
};
#define EXPERTS_CHANGES                                                                                      \
    {"mlp.experts.gate_proj", "ffn_gate_exps", ""}, {"mlp.experts.up_proj", "ffn_up_exps", ""},              \
        {"mlp.experts.down_proj", "ffn_down_exps", ""}, {"self_attn.q_proj", "attn_q", ""}, {                \
        "self_attn.k_proj", "attn_k", ""                                                                     \
    }
static const change qwen3moe_changes[] = {
    EXPERTS_CHANGES,
    {"mlp.gate", "ffn_gate_inp", ""},
    {"self_attn.q_norm", "attn_q_norm", ""},
    {"self_attn.k_norm", "attn_k_norm", ""},
    DECODER_CHANGES("ffn_norm"),
};
static const change gpt_oss_changes[] = {
    EXPERTS_CHANGES,
    {"mlp.router", "ffn_gate_inp", ""},
    {"self_attn.sinks", "attn_sinks.weight", ""},
    DECODER_CHANGES("post_attention_norm"),
};
static const change gpt2_changes[] = {
    {"transformer.h.", "blk.", ""},
    {"transformer.wte", "token_embd", ""},
    {"transformer.wpe", "position_embd", ""},
    {"transformer.ln_f", "output_norm", ""},
    {"attn.c_attn", "attn_qkv", "t"},
    {"attn.c_proj", "attn_output", "t"},
    {"mlp.c_fc", "ffn_up", "t"},
    {"mlp.c_proj", "ffn_down", "t"},
    {"ln_1", "attn_norm", ""},
    {"ln_2", "ffn_norm", ""},
};

static const change t5_changes[] = {
    {"shared", "token_embd", ""},
    {"encoder.final_layer_norm", "enc.output_norm", ""},
    {"decoder.final_layer_norm", "dec.output_norm", ""},
    {"encoder.block.", "enc.blk.", ""},
    {"decoder.block.", "dec.blk.", ""},
    {"layer.0.SelfAttention.relative_attention_bias", "attn_rel_b", ""},
    {"layer.0.SelfAttention.", "attn_", ""},
    {"layer.0.layer_norm", "attn_norm", ""},
    {"layer.1.EncDecAttention.", "cross_attn_", ""},
    {"dec.blk.0.layer.1.layer_norm", "dec.blk.0.cross_attn_norm", ""},
    {"dec.blk.1.layer.1.layer_norm", "dec.blk.1.cross_attn_norm", ""},
    {"layer.1.layer_norm", "ffn_norm", ""},
    {"layer.2.layer_norm", "ffn_norm", ""},
    {"layer.1.DenseReluDense.", "", ""},
    {"layer.2.DenseReluDense.", "", ""},
    {"wi_0.", "ffn_gate.", ""},
    {"wi_1.", "ffn_up.", ""},
    {"wi.", "ffn_up.", ""},
    {"wo.", "ffn_down.", ""},
};

static void replace(char *name, size_t room, const change *c) {
    char *at = strstr(name, c->hf), rest[256];
    if (!at) return;
    snprintf(rest, sizeof rest, "%s", at + strlen(c->hf));
    snprintf(at, room - (size_t)(at - name), "%s%s", c->gguf, rest);
}

static void add_tensor(test_gguf *f, const pm_array *a, const change *changes, size_t n_changes) {
    char name[256];
    const char *what = "";
    uint64_t n = pm_array_elems(a), rows = (uint64_t)a->dims[0], row = n / rows;
    float *in = calloc(n, sizeof *in), *out = calloc(n, sizeof *out);
    int64_t dims[3] = {a->dims[0], a->rank > 1 ? a->dims[1] : 0, a->rank > 2 ? a->dims[2] : 0};
    assert_true(in && out && a->rank <= 3);
    assert_ok(pm_convert_f32(a, in));
    snprintf(name, sizeof name, "%s", a->name);
    for (size_t i = 0; i < n_changes; i++) {
        if (strstr(name, changes[i].hf) && *changes[i].what) what = changes[i].what;
        replace(name, sizeof name, &changes[i]);
    }
    bool turned = *what == 't' && a->rank == 2;
    uint64_t size = *what == 'p' ? rows / (uint64_t)(what[1] - '0') : 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t r = i / row, k = i % row, head = r / size, in_head = r % size;
        uint64_t to = *what == 'p' ? head * size + in_head % (size / 2) * 2 + in_head / (size / 2) : r;
        out[turned ? k * rows + r : to * row + k] = in[i];
    }
    if (turned) dims[0] = a->dims[1], dims[1] = a->dims[0];
    pm_words_to_file(out, n);
    test_gguf_tensor(f, name, 0, a->rank, dims, out, n * sizeof *out);
    free(in);
    free(out);
}

static void add_llama_keys(test_gguf *f) {
    test_gguf_text(f, "general.architecture", "llama");
    test_gguf_u32(f, "llama.embedding_length", 32);
    test_gguf_u32(f, "llama.block_count", 2);
    test_gguf_u32(f, "llama.attention.head_count", 4);
    test_gguf_u32(f, "llama.attention.head_count_kv", 2);
    test_gguf_u32(f, "llama.feed_forward_length", 48);
    test_gguf_u32(f, "llama.context_length", 64);
    test_gguf_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-6f);
    test_gguf_u32(f, "llama.rope.dimension_count", 8);
    test_gguf_u32(f, "tokenizer.ggml.bos_token_id", 1);
    test_gguf_u32(f, "tokenizer.ggml.eos_token_id", 2);
    test_gguf_u32(f, "tokenizer.ggml.padding_token_id", UINT32_MAX);
}

/* Of a decoder of 2 layers, 4 and 2 heads of 8, with experts of 48. */
static void add_expert_keys(test_gguf *f, const char *architecture, uint32_t n_experts, float theta) {
    const struct {
        const char *key;
        uint32_t value;
    } keys[] = {
        {"embedding_length", 32},        {"block_count", 2},
        {"attention.head_count", 4},     {"attention.head_count_kv", 2},
        {"attention.key_length", 8},     {"attention.value_length", 8},
        {"feed_forward_length", 48},     {"expert_feed_forward_length", 48},
        {"expert_count", n_experts},     {"expert_used_count", 2},
        {"context_length", 64},          {"rope.dimension_count", 8},
        {"attention.sliding_window", 8}, /* of gpt-oss */
    };
    char key[96];
    test_gguf_text(f, "general.architecture", architecture);
    for (size_t i = 0; i < PM_COUNT(keys); i++) {
        snprintf(key, sizeof key, "%s.%s", architecture, keys[i].key);
        test_gguf_u32(f, key, keys[i].value);
    }
    snprintf(key, sizeof key, "%s.rope.freq_base", architecture);
    test_gguf_f32(f, key, theta);
}
static void add_mixtral(test_gguf *f) {
    add_expert_keys(f, "llama", 4, 1e6f);
    test_gguf_f32(f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}
static void add_qwen3moe(test_gguf *f) {
    add_expert_keys(f, "qwen3moe", 6, 1e4f);
    test_gguf_f32(f, "qwen3moe.attention.layer_norm_rms_epsilon", 1e-6f);
}
static void add_gpt_oss(test_gguf *f) {
    add_expert_keys(f, "gpt-oss", 4, 150000);
    test_gguf_f32(f, "gpt-oss.attention.layer_norm_rms_epsilon", 1e-5f);
    test_gguf_text(f, "gpt-oss.rope.scaling.type", "yarn");
    test_gguf_f32(f, "gpt-oss.rope.scaling.factor", 32);
    test_gguf_u32(f, "gpt-oss.rope.scaling.original_context_length", 4096);
}

static void add_gpt2_keys(test_gguf *f) {
    test_gguf_text(f, "general.architecture", "gpt2");
    test_gguf_u32(f, "gpt2.embedding_length", 32);
    test_gguf_u32(f, "gpt2.block_count", 2);
    test_gguf_u32(f, "gpt2.attention.head_count", 4);
    test_gguf_u32(f, "gpt2.feed_forward_length", 4 * 32); /* as converters write; the tensors say 48 */
    test_gguf_u32(f, "gpt2.context_length", 64);
    test_gguf_f32(f, "gpt2.attention.layer_norm_epsilon", 1e-5f);
    test_gguf_u32(f, "tokenizer.ggml.eos_token_id", 2);
}

static void add_t5_keys(test_gguf *f, const char *architecture, uint32_t head_size) {
    const struct {
        const char *key;
        uint32_t value;
    } keys[] = {
        {"embedding_length", 32},
        {"block_count", 2},
        {"decoder_block_count", 2},
        {"attention.head_count", 4},
        {"attention.key_length", head_size},
        {"attention.value_length", head_size},
        {"attention.relative_buckets_count", 8},
        {"attention.relative_max_distance", 20},
        {"feed_forward_length", 48},
        {"context_length", 512},
        {"decoder_start_token_id", 0},
    };
    char key[96];
    test_gguf_text(f, "general.architecture", architecture);
    for (size_t i = 0; i < PM_COUNT(keys); i++) {
        snprintf(key, sizeof key, "%s.%s", architecture, keys[i].key);
        test_gguf_u32(f, key, keys[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", architecture);
    test_gguf_f32(f, key, 1e-6f);
    test_gguf_u32(f, "tokenizer.ggml.eos_token_id", 1);
}

static void add_t5(test_gguf *f) {
    add_t5_keys(f, "t5", 8);
}
static void add_t5_gated(test_gguf *f) {
    add_t5_keys(f, "t5", 16);
}
static void add_t5_encoder(test_gguf *f) {
    add_t5_keys(f, "t5encoder", 16);
}

/* What a file of tests/data becomes; of an encoder alone only the tensors without `left_out` in their names. */
static const struct {
    const char *name, *of, *left_out;
    void (*add_keys)(test_gguf *f);
    const change *changes;
    size_t n_changes;
    int64_t n_experts;
} conversions[] = {
    {"llama", "llama", NULL, add_llama_keys, llama_changes, PM_COUNT(llama_changes), 0},
    {"mixtral", "mixtral", NULL, add_mixtral, mixtral_changes, PM_COUNT(mixtral_changes), 4},
    {"qwen3-moe", "qwen3-moe", NULL, add_qwen3moe, qwen3moe_changes, PM_COUNT(qwen3moe_changes), 6},
    {"gpt-oss", "gpt-oss", NULL, add_gpt_oss, gpt_oss_changes, PM_COUNT(gpt_oss_changes), 4},
    {"gpt2", "gpt2", NULL, add_gpt2_keys, gpt2_changes, PM_COUNT(gpt2_changes), 0},
    {"t5", "t5", NULL, add_t5, t5_changes, PM_COUNT(t5_changes), 0},
    {"t5-v1.1", "t5-v1.1", NULL, add_t5_gated, t5_changes, PM_COUNT(t5_changes), 0},
    {"t5encoder", "t5-v1.1", "decoder", add_t5_encoder, t5_changes, PM_COUNT(t5_changes), 0},
};

test_path test_gguf_of(const char *name) {
    size_t row = 0;
    while (row < PM_COUNT(conversions) && strcmp(conversions[row].name, name) != 0) row++;
    assert_true(row < PM_COUNT(conversions));
    test_gguf f = {0};
    pm_tensors *set;
    test_path weights = test_reference(conversions[row].of, "model.safetensors"), folder = test_folder();
    assert_ok(pm_tensors_read(weights.s, &set));
    if (conversions[row].n_experts) {
        pm_tensors *joined = test_join_experts(set, conversions[row].n_experts);
        pm_tensors_free(set);
        set = joined;
    }
    conversions[row].add_keys(&f);
    for (size_t i = 0; i < pm_tensors_count(set); i++) {
        const pm_array *a = pm_tensors_at(set, i);
        if (conversions[row].left_out && strstr(a->name, conversions[row].left_out)) continue;
        add_tensor(&f, a, conversions[row].changes, conversions[row].n_changes);
    }
    pm_tensors_free(set);
    test_path path = test_join(&folder, "model.gguf");
    test_gguf_write(&f, path.s);
    return path;
}
