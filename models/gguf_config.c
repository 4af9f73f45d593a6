/* See gguf_config.h. A family is a table: the key of config.json, how its value is made, the GGUF key, and the value when
 * that is absent. What neither file says is what the family's converter and llama.cpp take for granted. */
#include "models/gguf_config.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "models/gguf_names.h"
#include "models/gguf_rope.h"

#define ABSENT   (-1e300) /* as the fallback: config.json does without the key */
#define REQUIRED (-2e300) /* an error */

typedef struct row row;
typedef pm_status (*maker)(const pm_gguf *g, const row *r, json_t **out);
struct row {
    const char *key;
    maker make;
    const char
        *from; /* a GGUF key (one that begins with "." follows the architecture), a tensor, or a text */
    double fallback;
};

/* ---- makers; *out NULL: the key is left out ---- */

static pm_status missing(const pm_gguf *g, const char *key, const char *expected) {
    return pm_raise(PM_ERR_FILE, "%s: %s is missing, %s was expected", pm_gguf_label(g), key, expected);
}

static pm_status take_int(const pm_gguf *g, const row *r, json_t **out) {
    char key[PM_GGUF_KEY_CHARS];
    int64_t v = 0;
    pm_gguf_key(g, r->from, key);
    if (pm_gguf_int(g, key, &v))
        *out = json_integer(v);
    else if (pm_gguf_has(g, key))
        return pm_raise(PM_ERR_FILE, "%s: %s is no single integer", pm_gguf_label(g), key);
    else if (r->fallback == REQUIRED)
        return missing(g, key, "an integer");
    else if (r->fallback != ABSENT)
        *out = json_integer((json_int_t)r->fallback);
    return PM_OK;
}

static pm_status take_real(const pm_gguf *g, const row *r, json_t **out) {
    char key[PM_GGUF_KEY_CHARS];
    double v = 0;
    pm_gguf_key(g, r->from, key);
    if (pm_gguf_real(g, key, &v)) {
        *out = json_real(v); /* NULL when it is not finite: then the key is as good as absent */
        if (*out) return PM_OK;
        return pm_raise(PM_ERR_FILE, "%s: %s is %g, a finite number was expected", pm_gguf_label(g), key, v);
    }
    if (pm_gguf_has(g, key))
        return pm_raise(PM_ERR_FILE, "%s: %s is no single number", pm_gguf_label(g), key);
    if (r->fallback == REQUIRED) return missing(g, key, "a number");
    if (r->fallback != ABSENT) *out = json_real(r->fallback);
    return PM_OK;
}

static pm_status text(const pm_gguf *g, const row *r, json_t **out) {
    (void)g;
    *out = json_string(r->from);
    return PM_OK;
}
/* architectures: a list of one. */
static pm_status list_of_text(const pm_gguf *g, const row *r, json_t **out) {
    (void)g;
    *out = json_pack("[s]", r->from);
    return PM_OK;
}

static pm_status flag(const pm_gguf *g, const row *r, json_t **out) {
    (void)g;
    *out = json_boolean(r->fallback != 0);
    return PM_OK;
}

/* True when the file has the tensor (fallback 1), or has it not (0). */
static pm_status has_tensor(const pm_gguf *g, const row *r, json_t **out) {
    *out = json_boolean((pm_gguf_find(g, r->from) != NULL) == (r->fallback != 0));
    return PM_OK;
}

/* Rows of a table: what a file says of its vocabulary is sometimes wrong, its tensor is not. */
static pm_status rows_of(const pm_gguf *g, const row *r, json_t **out) {
    const pm_entry *e = pm_gguf_find(g, r->from);
    if (!e || e->array.rank < 1)
        return pm_raise(PM_ERR_FILE, "%s: tensor %s is missing, a table was expected", pm_gguf_label(g),
                        r->from);
    *out = json_integer(e->array.dims[0]);
    return PM_OK;
}

/* Positions of a model that computes them. What it was trained with is no limit, and converters write small numbers when
 * they know none; 2048 is what Llama's config.json means when it says nothing. */
static pm_status context(const pm_gguf *g, const row *r, json_t **out) {
    PM_TRY(take_int(g, r, out));
    if (json_integer_value(*out) < 2048) json_integer_set(*out, 2048);
    return PM_OK;
}

/* A window of 0 means none. */
static pm_status window(const pm_gguf *g, const row *r, json_t **out) {
    PM_TRY(take_int(g, r, out));
    if (*out && json_integer_value(*out) == 0) {
        json_decref(*out);
        *out = NULL;
    }
    return PM_OK;
}

/* A token's id; converters write 2^32 - 1 for none. */
static pm_status id(const pm_gguf *g, const row *r, json_t **out) {
    int64_t v = 0;
    if (pm_gguf_int(g, r->from, &v) && v >= 0 && v <= INT32_MAX) *out = json_integer(v);
    return PM_OK;
}

/* All that end a text: of a sequence, of a turn, of a message. */
static pm_status end_ids(const pm_gguf *g, const row *r, json_t **out) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    json_t *list = json_array();
    (void)r;
    for (size_t i = 0; list && i < PM_COUNT(keys); i++) {
        json_t *v = NULL;
        PM_TRY(id(g, &(row){.from = keys[i]}, &v));
        bool known = !v;
        for (size_t k = 0; k < json_array_size(list); k++)
            known |= json_equal(v, json_array_get(list, k)) != 0;
        if (known)
            json_decref(v);
        else
            json_array_append_new(list, v);
    }
    *out = list;
    return PM_OK;
}

static pm_status rope(const pm_gguf *g, const row *r, json_t **out) {
    void *object = NULL;
    pm_status s = pm_gguf_rope(g, r->from, r->fallback, &object);
    *out = object;
    return s;
}

/* gpt-oss does not round the borders of YaRN's ramp. */
static pm_status exact_rope(const pm_gguf *g, const row *r, json_t **out) {
    PM_TRY(rope(g, r, out));
    return json_object_set_new(*out, "truncate", json_false()) == 0
               ? PM_OK
               : pm_raise(PM_ERR_MEMORY, "out of memory");
}

/* Gemma 3: layers with a window turn by a base of their own, without scaling. */
static pm_status two_ropes(const pm_gguf *g, const row *r, json_t **out) {
    json_t *full = NULL, *theta = NULL, *local = json_pack("{s:s}", "rope_type", "default");
    pm_status s = take_real(g, &(row){.from = ".rope.freq_base_swa", .fallback = 10000}, &theta);
    if (theta) json_object_set_new(local, "rope_theta", theta);
    if (s == PM_OK) s = rope(g, r, &full);
    *out = json_object();
    if (full) json_object_set_new(*out, "full_attention", full);
    json_object_set_new(*out, "sliding_attention", local);
    return s;
}

/* Whether layer i has a window: the file's pattern (a list, or a number n: all but each n-th), else `usual`. */
static bool has_window(const pm_gguf *g, int64_t i, int64_t usual) {
    char key[PM_GGUF_KEY_CHARS];
    int64_t listed = 0;
    pm_gguf_key(g, ".attention.sliding_window_pattern", key);
    if (pm_gguf_int_at(g, key, (uint64_t)i, &listed)) return listed != 0;
    if (pm_gguf_int(g, key, &listed) && listed > 0) usual = listed;
    return (i + 1) % usual != 0;
}

static pm_status layer_types(const pm_gguf *g, const row *r, json_t **out) {
    json_t *layers = NULL, *list = json_array();
    pm_status s = take_int(g, &(row){.from = ".block_count", .fallback = REQUIRED}, &layers);
    int64_t n = s == PM_OK ? json_integer_value(layers) : 0;
    if (n > 4096) n = 4096; /* the architecture refuses the number of layers */
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(has_window(g, i, (int64_t)r->fallback) ? "sliding_attention"
                                                                                       : "full_attention"));
    json_decref(layers);
    *out = list;
    return s;
}

/* Gemma 2 and 3 divide scores by the root of the head's size, but the largest of each (fallback: its number of layers)
 * by that of width / heads. */
static pm_status query_scalar(const pm_gguf *g, const row *r, json_t **out) {
    char key[PM_GGUF_KEY_CHARS];
    int64_t layers = 0, width = 0, heads = 0, head_dim = 0;
    struct {
        const char *key;
        int64_t *to;
    } wanted[] = {{".block_count", &layers},
                  {".embedding_length", &width},
                  {".attention.head_count", &heads},
                  {".attention.key_length", &head_dim}};
    for (size_t i = 0; i < PM_COUNT(wanted); i++) {
        pm_gguf_key(g, wanted[i].key, key);
        if (!pm_gguf_int(g, key, wanted[i].to) || *wanted[i].to < 1)
            return missing(g, key, "a positive integer");
    }
    *out = json_integer(layers == (int64_t)r->fallback ? width / heads : head_dim);
    return PM_OK;
}

static pm_status t5_activation(const pm_gguf *g, const row *r, json_t **out) {
    (void)r;
    *out = json_string(pm_gguf_find(g, "enc.blk.0.ffn_gate.weight") ? "gated-gelu" : "relu");
    return PM_OK;
}

/* T5 1.0 scales what goes into its tied head; 1.1, which is gated, does not. */
static pm_status t5_scale(const pm_gguf *g, const row *r, json_t **out) {
    (void)r;
    *out = json_boolean(!pm_gguf_find(g, "output.weight") && !pm_gguf_find(g, "enc.blk.0.ffn_gate.weight"));
    return PM_OK;
}

/* ---- tables ---- */

#define END                                                                                                  \
    { NULL, NULL, NULL, 0 }
#define MODEL(type, class)                                                                                   \
    {"model_type", text, type, 0}, {                                                                         \
        "architectures", list_of_text, class, 0                                                              \
    }
#define VOCAB                                                                                                \
    { "vocab_size", rows_of, "token_embd.weight", 0 }
#define TIED                                                                                                 \
    { "tie_word_embeddings", has_tensor, "output.weight", 0 }

static const row token_rows[] = {{"bos_token_id", id, "tokenizer.ggml.bos_token_id", 0},
                                 {"eos_token_id", end_ids, NULL, 0},
                                 {"pad_token_id", id, "tokenizer.ggml.padding_token_id", 0},
                                 END};

static const row causal_rows[] = {VOCAB,
                                  TIED,
                                  {"hidden_size", take_int, ".embedding_length", REQUIRED},
                                  {"num_hidden_layers", take_int, ".block_count", REQUIRED},
                                  {"num_attention_heads", take_int, ".attention.head_count", REQUIRED},
                                  {"num_key_value_heads", take_int, ".attention.head_count_kv", ABSENT},
                                  {"intermediate_size", take_int, ".feed_forward_length", REQUIRED},
                                  {"max_position_embeddings", context, ".context_length", REQUIRED},
                                  {"rms_norm_eps", take_real, ".attention.layer_norm_rms_epsilon", REQUIRED},
                                  END};
#define HEAD_DIM                                                                                             \
    { "head_dim", take_int, ".attention.key_length", ABSENT }
#define ROPE                                                                                                 \
    { "rope_parameters", rope, NULL, 10000 }
#define SILU                                                                                                 \
    { "hidden_act", text, "silu", 0 }
#define TANH_GELU "gelu_pytorch_tanh", 0

static const row llama_rows[] = {MODEL("llama", "LlamaForCausalLM"),
                                 SILU,
                                 HEAD_DIM,
                                 ROPE,
                                 {"attention_bias", has_tensor, "blk.0.attn_q.bias", 1},
                                 {"mlp_bias", has_tensor, "blk.0.ffn_gate.bias", 1},
                                 END};
static const row qwen2_rows[] = {MODEL("qwen2", "Qwen2ForCausalLM"), SILU, HEAD_DIM, ROPE, END};
static const row qwen3_rows[] = {MODEL("qwen3", "Qwen3ForCausalLM"),
                                 SILU,
                                 {"head_dim", take_int, ".attention.key_length", 128},
                                 ROPE,
                                 {"attention_bias", has_tensor, "blk.0.attn_q.bias", 1},
                                 END};
#define EXPERTS(n)                                                                                           \
    {n, take_int, ".expert_count", REQUIRED}, {                                                              \
        "num_experts_per_tok", take_int, ".expert_used_count", REQUIRED                                      \
    }
static const row mixtral_rows[] = {MODEL("mixtral", "MixtralForCausalLM"),
                                   SILU,
                                   HEAD_DIM,
                                   ROPE,
                                   EXPERTS("num_local_experts"),
                                   {"attention_bias", has_tensor, "blk.0.attn_q.bias", 1},
                                   END};
static const row qwen3moe_rows[] = {
    MODEL("qwen3_moe", "Qwen3MoeForCausalLM"),
    SILU,
    {"head_dim", take_int, ".attention.key_length", 128},
    ROPE,
    EXPERTS("num_experts"),
    {"moe_intermediate_size", take_int, ".expert_feed_forward_length", REQUIRED},
    {"norm_topk_prob", flag, NULL, 1},
    {"attention_bias", has_tensor, "blk.0.attn_q.bias", 1},
    END};
static const row gpt_oss_rows[] = {MODEL("gpt_oss", "GptOssForCausalLM"),
                                   SILU,
                                   {"head_dim", take_int, ".attention.key_length", 64},
                                   {"rope_parameters", exact_rope, NULL, 150000},
                                   EXPERTS("num_local_experts"),
                                   {"intermediate_size", take_int, ".expert_feed_forward_length", REQUIRED},
                                   {"attention_bias", has_tensor, "blk.0.attn_q.bias", 1},
                                   {"sliding_window", window, ".attention.sliding_window", ABSENT},
                                   {"layer_types", layer_types, NULL, 2},
                                   END};
static const row gemma_rows[] = {MODEL("gemma", "GemmaForCausalLM"),
                                 {"hidden_act", text, TANH_GELU},
                                 {"head_dim", take_int, ".attention.key_length", 256},
                                 ROPE,
                                 END};
static const row gemma2_rows[] = {MODEL("gemma2", "Gemma2ForCausalLM"),
                                  {"hidden_activation", text, TANH_GELU},
                                  {"head_dim", take_int, ".attention.key_length", REQUIRED},
                                  ROPE,
                                  {"attn_logit_softcapping", take_real, ".attn_logit_softcapping", 50},
                                  {"final_logit_softcapping", take_real, ".final_logit_softcapping", 30},
                                  {"sliding_window", window, ".attention.sliding_window", 4096},
                                  {"layer_types", layer_types, NULL, 2},
                                  {"query_pre_attn_scalar", query_scalar, NULL, 46},
                                  END};
static const row gemma3_rows[] = {MODEL("gemma3_text", "Gemma3ForCausalLM"),
                                  {"hidden_activation", text, TANH_GELU},
                                  {"head_dim", take_int, ".attention.key_length", REQUIRED},
                                  {"rope_parameters", two_ropes, NULL, 1e6},
                                  {"final_logit_softcapping", take_real, ".final_logit_softcapping", ABSENT},
                                  {"sliding_window", window, ".attention.sliding_window", ABSENT},
                                  {"layer_types", layer_types, NULL, 6},
                                  {"query_pre_attn_scalar", query_scalar, NULL, 62},
                                  END};
static const row phi3_rows[] = {MODEL("phi3", "Phi3ForCausalLM"),
                                SILU,
                                {"rope_parameters", rope, ".rope.dimension_count", 10000},
                                {"sliding_window", window, ".attention.sliding_window", ABSENT},
                                END};

static const row gpt2_rows[] = {MODEL("gpt2", "GPT2LMHeadModel"),
                                VOCAB,
                                TIED,
                                {"n_embd", take_int, ".embedding_length", REQUIRED},
                                {"n_layer", take_int, ".block_count", REQUIRED},
                                {"n_head", take_int, ".attention.head_count", REQUIRED},
                                {"n_inner", rows_of, "blk.0.ffn_up.weight", 0},
                                {"n_positions", rows_of, "position_embd.weight", 0},
                                {"layer_norm_epsilon", take_real, ".attention.layer_norm_epsilon", REQUIRED},
                                {"activation_function", text, "gelu_new", 0},
                                END};

static const row bert_rows[] = {MODEL("bert", "BertModel"),
                                VOCAB,
                                {"hidden_size", take_int, ".embedding_length", REQUIRED},
                                {"num_hidden_layers", take_int, ".block_count", REQUIRED},
                                {"num_attention_heads", take_int, ".attention.head_count", REQUIRED},
                                {"intermediate_size", take_int, ".feed_forward_length", REQUIRED},
                                {"max_position_embeddings", rows_of, "position_embd.weight", 0},
                                {"type_vocab_size", rows_of, "token_types.weight", 0},
                                {"layer_norm_eps", take_real, ".attention.layer_norm_epsilon", REQUIRED},
                                {"hidden_act", text, "gelu", 0},
                                END};

static const row t5_model_rows[] = {MODEL("t5", "T5ForConditionalGeneration"), END};
static const row t5_encoder_rows[] = {MODEL("t5", "T5EncoderModel"), END};
static const row t5_rows[] = {
    VOCAB,
    TIED,
    {"is_encoder_decoder", flag, NULL, 1},
    {"scale_decoder_outputs", t5_scale, NULL, 0},
    {"d_model", take_int, ".embedding_length", REQUIRED},
    {"d_ff", take_int, ".feed_forward_length", REQUIRED},
    {"d_kv", take_int, ".attention.key_length", REQUIRED},
    {"num_heads", take_int, ".attention.head_count", REQUIRED},
    {"num_layers", take_int, ".block_count", REQUIRED},
    {"num_decoder_layers", take_int, ".decoder_block_count", ABSENT},
    {"n_positions", take_int, ".context_length", 512},
    {"layer_norm_epsilon", take_real, ".attention.layer_norm_rms_epsilon", 1e-6},
    {"relative_attention_num_buckets", take_int, ".attention.relative_buckets_count", 32},
    {"relative_attention_max_distance", take_int, ".attention.relative_max_distance", 128},
    {"decoder_start_token_id", take_int, ".decoder_start_token_id", 0},
    {"feed_forward_proj", t5_activation, NULL, 0},
    END};

/* Rows of a later table come over those before. */
static const struct {
    const char *architecture;
    const row *tables[3];
} families[] = {
    {"llama", {token_rows, causal_rows, llama_rows}},
    {"qwen2", {token_rows, causal_rows, qwen2_rows}},
    {"qwen3", {token_rows, causal_rows, qwen3_rows}},
    {"qwen3moe", {token_rows, causal_rows, qwen3moe_rows}},
    {"gpt-oss", {token_rows, causal_rows, gpt_oss_rows}},
    {"gemma", {token_rows, causal_rows, gemma_rows}},
    {"gemma2", {token_rows, causal_rows, gemma2_rows}},
    {"gemma3", {token_rows, causal_rows, gemma3_rows}},
    {"phi3", {token_rows, causal_rows, phi3_rows}},
    {"gpt2", {token_rows, gpt2_rows}},
    {"bert", {token_rows, bert_rows}},
    {"t5", {token_rows, t5_model_rows, t5_rows}},
    {"t5encoder", {token_rows, t5_encoder_rows, t5_rows}},
};

/* ---- reading ---- */

/* What makes a file another model than its architecture's name says. */
static pm_status check_kind(const pm_gguf *g) {
    static const struct {
        const char *key, *why;
        int64_t most;
    } limits[] = {
        {".expert_shared_count", "experts that serve all tokens are not read", 0},
        {"split.count", "only whole files are read: merge the parts with llama-gguf-split --merge", 1},
        {".altup.num_inputs", "Gemma 3n is not read", 0}};
    for (size_t i = 0; i < PM_COUNT(limits); i++) {
        char key[PM_GGUF_KEY_CHARS];
        int64_t v = 0;
        pm_gguf_key(g, limits[i].key, key);
        if (pm_gguf_int(g, key, &v) && v > limits[i].most)
            return pm_raise(PM_ERR_FILE, "%s: %s is %" PRId64 ": %s", pm_gguf_label(g), key, v,
                            limits[i].why);
    }
    return PM_OK;
}

/* Mixtral's files call themselves llama. */
static bool is_mixtral(const pm_gguf *g, const char *architecture) {
    int64_t n = 0;
    return strcmp(architecture, "llama") == 0 && pm_gguf_int(g, "llama.expert_count", &n) && n > 0;
}

/* Other families have no experts, and their shares come from a softmax. */
static pm_status check_experts(const pm_gguf *g, const char *architecture) {
    enum { SOFTMAX = 1, SOFTMAX_OF_CHOSEN = 3 };
    char key[PM_GGUF_KEY_CHARS];
    bool known = strcmp(architecture, "qwen3moe") == 0 || strcmp(architecture, "gpt-oss") == 0 ||
                 strcmp(architecture, "llama") == 0;
    int64_t v = 0;
    pm_gguf_key(g, ".expert_count", key);
    if (!known && pm_gguf_int(g, key, &v) && v > 0)
        return pm_raise(PM_ERR_FILE, "%s: %s is %" PRId64 ": only llama, qwen3moe and gpt-oss have experts",
                        pm_gguf_label(g), key, v);
    pm_gguf_key(g, ".expert_gating_func", key);
    if (pm_gguf_int(g, key, &v) && v != 0 && v != SOFTMAX && v != SOFTMAX_OF_CHOSEN)
        return pm_raise(PM_ERR_FILE, "%s: %s is %" PRId64 ", expected %d or %d, which are softmax",
                        pm_gguf_label(g), key, v, SOFTMAX, SOFTMAX_OF_CHOSEN);
    return PM_OK;
}

static pm_status fill(const pm_gguf *g, const row *r, json_t *root) {
    for (; r && r->key; r++) {
        json_t *v = NULL;
        pm_status s = r->make(g, r, &v);
        if (s != PM_OK) {
            json_decref(v);
            return s;
        }
        if (v && json_object_set_new(root, r->key, v) != 0) return pm_raise(PM_ERR_MEMORY, "out of memory");
    }
    return PM_OK;
}

pm_status pm_gguf_config(const pm_gguf *g, void **out_root) {
    const pm_gguf_family *family;
    *out_root = NULL;
    PM_TRY(pm_gguf_family_of(g, &family));
    PM_TRY(check_kind(g));
    PM_TRY(check_experts(g, family->architecture));
    json_t *root = json_object();
    pm_status s = root ? PM_OK : pm_raise(PM_ERR_MEMORY, "out of memory");
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        if (strcmp(families[i].architecture, family->architecture) != 0) continue;
        for (size_t k = 0; s == PM_OK && k < PM_COUNT(families[i].tables); k++)
            s = fill(g, families[i].tables[k], root);
        if (s == PM_OK && is_mixtral(g, family->architecture)) s = fill(g, mixtral_rows, root);
    }
    if (s == PM_OK)
        *out_root = root;
    else
        json_decref(root);
    return s;
}
