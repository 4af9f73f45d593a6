/* Every model family against PyTorch: each tensor of reference.safetensors within 1e-4 (norm of the
 * difference over norm), with every output and with the final ones alone, on the reference executor, the CPU
 * and the Vulkan device. The tiny set is in tests/data, the small one in ../shared. */
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "graph/program.h"
#include "models/convert.h"

/* Rows that several people add to. */
/* clang-format off */
static const char *const families[] = {
    "transformer", "gpt2", "llama", "llama3-rope",
    "bert-base", "bert-mlm", "bert-classify", "bert-ner", "distilbert", "roberta", "modernbert",
    "xlm-roberta", "camembert", "electra", "albert", "mpnet", "sentence-mean", "longformer",
    "mistral-window", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "olmo2", "phi3",
    "qwen3-moe", "mixtral", "gpt-oss",
    "gpt-neox", "opt", "bloom", "falcon",
    "bart", "m2m100", "marian",
    "t5", "t5-v1.1",
    "whisper", "vit", "clip",
    "transfo-xl",
};
/* Other heads on layers that those above have: on Vulkan, whose drivers take long, with the final outputs alone. */
static const char *const heads[] = {
    "bert-answer", "bert-regress", "distilbert-base", "distilbert-mlm", "distilbert-ner", "distilbert-answer",
    "roberta-base", "roberta-classify", "xlm-roberta-classify", "xlm-roberta-ner", "camembert-ner",
    "electra-detect", "electra-mlm", "electra-classify", "electra-ner", "albert-mlm", "albert-classify", "albert-ner",
    "mpnet-mlm", "mpnet-classify", "mpnet-ner", "modernbert-base", "modernbert-classify", "modernbert-ner",
    "vit-gray-odd", "deit", "dinov2", "dinov2-swiglu", "dinov2-registers", "clip-eos2", "clip-text-proj",
    "sentence-cls", "sentence-last", "sentence-many",
    "gemma3-both", "llama-classify",
    "longformer-globals", "longformer-none", "longformer-short", "longformer-classify", "longformer-ner",
    "longformer-answer",
};
/* clang-format on */
#define TOLERANCE 1e-4

/* ---- comparing ---- */

/* Rows of [B,T,...] outputs and queries of [B,H,T,S] maps that are padding count nowhere. */
static bool is_padding(const pm_array *a, const pm_array *mask, uint64_t i) {
    int row_axis = a->rank == 4 ? 2 : 1;
    int64_t inner = 1, value = 0;
    if (!mask || a->rank < 3) return false;
    for (int k = row_axis + 1; k < a->rank; k++) inner *= a->dims[k];
    int64_t t = (int64_t)i / inner % a->dims[row_axis], batch = (int64_t)i;
    for (int k = 1; k < a->rank; k++) batch /= a->dims[k];
    if (a->dims[row_axis] != mask->dims[1]) return false;
    memcpy(&value, (const char *)mask->data + (batch * mask->dims[1] + t) * 8, 8);
    return value == 0;
}

static double relative_error(const pm_array *is, const pm_array *expected, const pm_array *mask) {
    uint64_t n = pm_array_elems(expected);
    double difference = 0, norm = 0;
    float *x = calloc(n, sizeof *x), *y = calloc(n, sizeof *y);
    assert_true(x && y);
    assert_ok(pm_convert_f32(is, x));
    assert_ok(pm_convert_f32(expected, y));
    for (uint64_t i = 0; i < n; i++) {
        if (is_padding(expected, mask, i)) continue;
        difference += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
        norm += (double)y[i] * (double)y[i];
    }
    free(x);
    free(y);
    return sqrt(difference) / sqrt(norm); /* NaN fails the comparison below */
}

static bool is_output(const pm_array *a) {
    return strncmp(a->name, "out.", 4) == 0 && !strstr(a->name, "greedy") && !strstr(a->name, "beam");
}

/* all: every output of the reference must be there; else those that are there. */
static int compare(const char *what, const pm_tensors *set, const pm_tensors *reference, bool all) {
    int n = 0;
    for (size_t i = 0; i < pm_tensors_count(reference); i++) {
        const pm_array *expected = pm_tensors_at(reference, i);
        const pm_array *is = pm_tensors_get(set, expected->name);
        if (!is_output(expected) || (!is && !all)) continue;
        if (!is) fail_msg("%s: %s is missing", what, expected->name);
        if (is->rank != expected->rank ||
            memcmp(is->dims, expected->dims, (size_t)is->rank * sizeof *is->dims) != 0)
            fail_msg("%s: %s has another shape", what, expected->name);
        double error = relative_error(is, expected, pm_tensors_get(reference, "in.attention_mask"));
        if (!(error <= TOLERANCE)) fail_msg("%s: %s is off by %g", what, expected->name, error);
        n++;
    }
    return n;
}

/* ---- running ---- */

/* What was generated from the first n ids of input_ids (0: all) is the reference's array `name`, where it has one. */
static void check_ids(pm_session *s, const pm_tensors *reference, const char *name, size_t n,
                      const pm_generate_options *options) {
    const pm_array *expected = pm_tensors_get(reference, name),
                   *source = pm_tensors_get(reference, "in.input_ids");
    if (!expected) return;
    int32_t prompt[64];
    pm_generated g;
    if (!n) n = (size_t)source->dims[1];
    assert_true(n <= PM_COUNT(prompt));
    for (size_t i = 0; i < n; i++) prompt[i] = (int32_t)((const int64_t *)source->data)[i];
    assert_ok(pm_generate(s, prompt, n, options, &g));
    if (g.n_ids != (size_t)expected->dims[1]) fail_msg("%s: %zu ids", name, g.n_ids);
    for (size_t i = 0; i < g.n_ids; i++) {
        int64_t id = ((const int64_t *)expected->data)[i];
        if (g.ids[i] != id) fail_msg("%s: id %zu is %d, not %d", name, i, (int)g.ids[i], (int)id);
    }
    pm_generated_free(&g);
}

static void check_generation(pm_session *s, const pm_tensors *reference) {
    const pm_generate_options greedy = {.max_new = 12, .ignore_eos = true}, translation = {.max_new = 10};
    const pm_generate_options beams = {.max_new = 10, .n_beams = 4, .early_stopping = 1};
    check_ids(s, reference, "out.greedy_from_7", 7, &greedy);
    check_ids(s, reference, "out.greedy", 0, &translation);
    check_ids(s, reference, "out.beam4", 0, &beams);
}

/* first: the want to begin with, 0 is every output. */
static void check_family(pm_device *d, const char *folder, const char *name, size_t first) {
    char path[TEST_PATH], reference_path[TEST_PATH], what[TEST_PATH];
    pm_model *m;
    pm_session *s;
    pm_tensors *reference, *set;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(reference_path, sizeof reference_path, "%s/%s/reference.safetensors", folder, name);
    assert_ok(pm_model_open(path, &m));
    assert_ok(pm_session_open(m, d, &s));
    assert_ok(pm_tensors_read(reference_path, &reference));
    static const char *const wants[] = {"", "final"};
    for (size_t i = first; i < PM_COUNT(wants); i++) {
        snprintf(what, sizeof what, "%s, want \"%s\"", name, wants[i]);
        assert_ok(pm_session_run(s, reference, wants[i], &set));
        assert_true(compare(what, set, reference, i == 0) >= 1);
        pm_tensors_free(set);
    }
    check_generation(s, reference);
    pm_program_figures figures;
    assert_ok(pm_session_figures(s, &figures));
    assert_true(figures.n_dispatches > 0 && figures.arena_bytes >= figures.lower_bound_bytes);
    pm_tensors_free(reference);
    pm_session_close(s);
    pm_model_close(m);
}

/* The small set has not all of the tiny one's families, and one that nobody can agree with. */
static bool is_small(const char *folder, const char *name) {
    char path[2 * TEST_PATH];
    snprintf(path, sizeof path, "%s/%s/config.json", folder, name);
    if (access(path, R_OK) != 0) return false;
    if (strcmp(name, "marian") != 0) return true;
    print_message("skipped: small/marian: its outputs are of random positions, which are not in its files\n");
    return false;
}

static void check_device(const char *spec) {
    pm_device *d = test_open_device(spec);
    const char *shared = test_shared_dir();
    char small[TEST_PATH];
    if (!d) skip_because("no device %s: %s", spec, pm_error_text());
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        check_family(d, PM_SOURCE_DIR "/tests/data/reference", families[i], 0);
        snprintf(small, sizeof small, "%s/reference/small", shared ? shared : "");
        if (shared && is_small(small, families[i])) check_family(d, small, families[i], 0);
    }
    size_t first = strcmp(spec, "reference") != 0 && strcmp(spec, "cpu") != 0;
    for (size_t i = 0; i < PM_COUNT(heads); i++)
        check_family(d, PM_SOURCE_DIR "/tests/data/reference", heads[i], first);
    assert_string_equal(pm_device_messages(d), "");
    pm_device_close(d);
}

static void test_on_reference(void **state) {
    (void)state, check_device("reference");
}
static void test_on_cpu(void **state) {
    (void)state, check_device("cpu");
}
static void test_on_vulkan(void **state) {
    (void)state, check_device(test_device());
}

/* ---- what outputs are wanted, and inputs that are wrong ---- */

typedef struct opened {
    pm_device *d;
    pm_model *m;
    pm_session *s;
} opened;

static opened open_model(const char *name) {
    opened o = {0};
    assert_ok(pm_device_open("cpu", NULL, &o.d));
    assert_ok(pm_model_open(test_reference(name, NULL).s, &o.m));
    assert_ok(pm_session_open(o.m, o.d, &o.s));
    return o;
}

static void close_model(opened *o) {
    pm_session_close(o->s);
    pm_model_close(o->m);
    pm_device_close(o->d);
}

static void test_want(void **state) {
    (void)state;
    static const struct {
        const char *want;
        size_t n;
    } rows[] = {{"", 6},
                {"final", 1},
                {"logits", 1},
                {"out.logits", 1},
                {"attentions", 2},
                {"attentions.1", 1},
                {"hidden_states, logits", 4},
                {"hidden_states.2,final", 2}};
    opened o = open_model("gpt2");
    pm_tensors *in, *set;
    assert_ok(pm_tensors_read(test_reference("gpt2", "reference.safetensors").s, &in));
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        assert_ok(pm_session_run(o.s, in, rows[i].want, &set));
        if (pm_tensors_count(set) != rows[i].n)
            fail_msg("want \"%s\": %zu outputs", rows[i].want, pm_tensors_count(set));
        assert_int_equal(compare(rows[i].want, set, in, false), rows[i].n);
        pm_tensors_free(set);
    }
    assert_int_equal(pm_session_run(o.s, in, "logits,pooler_output", &set), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "pooler_output"));
    assert_non_null(strstr(pm_error_text(), "hidden_states"));
    assert_null(set);
    pm_tensors_free(in);
    close_model(&o);
}

typedef struct bad_input {
    const char *name;
    pm_array array;
    const char *words[4];
} bad_input;

static void check_inputs(const char *model, const bad_input *rows, size_t n) {
    opened o = open_model(model);
    for (size_t i = 0; i < n; i++) {
        pm_tensors *in, *set;
        assert_ok(pm_tensors_read(test_reference(model, "reference.safetensors").s, &in));
        pm_array a = rows[i].array;
        a.name = rows[i].name;
        assert_ok(pm_tensors_add(in, &a, NULL));
        pm_status s = pm_session_run(o.s, in, "final", &set);
        if (s != PM_ERR_USAGE && s != PM_ERR_FILE) fail_msg("%s %zu: status %d", model, i, (int)s);
        for (const char *const *w = rows[i].words; *w; w++)
            if (!strstr(pm_error_text(), *w)) fail_msg("\"%s\" is not in: %s", *w, pm_error_text());
        pm_tensors_free(in);
    }
    close_model(&o);
}

static void test_bad_pictures(void **state) {
    (void)state;
    static const bad_input clip[] = {
        {"in.pixel_values",
         {.dtype = PM_F32, .rank = 3, .dims = {3, 32, 32}},
         {"in.pixel_values is [3,32,32]"}},
        {"in.pixel_values",
         {.dtype = PM_F32, .rank = 4, .dims = {2, 3, 32, 31}},
         {"[2,3,32,31]", "[3,32,32]"}},
        {"in.pixel_values", {.dtype = PM_F32, .rank = 4, .dims = {0, 3, 32, 32}}, {"[0,3,32,32]"}},
        {"in.pixel_values", {.dtype = PM_I32, .rank = 4, .dims = {2, 3, 32, 32}}, {"in.pixel_values", "i32"}},
        {"in.input_ids", {.dtype = PM_I32, .rank = 2, .dims = {1, 33}}, {"[1,33]", "1..32"}},
    };
    static const bad_input dino[] = {
        {"in.pixel_values",
         {.dtype = PM_F32, .rank = 4, .dims = {1, 3, 3, 20}},
         {"[1,3,3,20]", "H and W in 4.."}},
        {"in.pixel_values",
         {.dtype = PM_F32, .rank = 4, .dims = {1, 1, 20, 20}},
         {"[1,1,20,20]", "[B,3,H,W]"}},
    };
    check_inputs("clip", clip, PM_COUNT(clip));
    check_inputs("dinov2", dino, PM_COUNT(dino));
}

/* Each side of CLIP by itself gives what it gives beside the other; neither is an error. */
static void test_sides(void **state) {
    (void)state;
    opened o = open_model("clip");
    pm_tensors *all, *in, *set;
    assert_ok(pm_tensors_read(test_reference("clip", "reference.safetensors").s, &all));
    static const char *const inputs[] = {"in.pixel_values", "in.input_ids"}, *const outputs[] = {
                                                                                 "out.image_embeds",
                                                                                 "out.text_embeds"};
    for (int side = 0; side < 2; side++) {
        assert_ok(pm_tensors_create(&in));
        assert_ok(pm_tensors_add(in, pm_tensors_get(all, inputs[side]), NULL));
        assert_ok(pm_session_run(o.s, in, "final", &set));
        assert_int_equal(pm_tensors_count(set), 1);
        assert_non_null(pm_tensors_get(set, outputs[side]));
        assert_int_equal(compare(inputs[side], set, all, false), 1);
        pm_tensors_free(set);
        pm_tensors_free(in);
    }
    assert_ok(pm_tensors_create(&in));
    assert_int_equal(pm_session_run(o.s, in, "final", &set), PM_ERR_USAGE);
    pm_tensors_free(in);
    pm_tensors_free(all);
    close_model(&o);
}

static void test_bad_inputs(void **state) {
    (void)state;
    static const int32_t big[22] = {0, 61}, negative[22] = {-1}, two[22] = {0, 0, 2};
    static const bad_input bert[] = {
        {"in.input_ids", {.dtype = PM_I32, .rank = 1, .dims = {11}}, {"in.input_ids is [11]", "[B,T]"}},
        {"in.input_ids", {.dtype = PM_I32, .rank = 2, .dims = {1, 65}}, {"in.input_ids is [1,65]", "1..64"}},
        {"in.input_ids", {.dtype = PM_I32, .rank = 2, .dims = {2, 0}}, {"in.input_ids is [2,0]"}},
        {"in.input_ids", {.dtype = PM_F32, .rank = 2, .dims = {2, 11}}, {"in.input_ids", "f32"}},
        {"in.input_ids", {.dtype = PM_I32, .rank = 2, .dims = {2, 11}, .data = big}, {"id 61 at 1", "0..60"}},
        {"in.input_ids", {.dtype = PM_I32, .rank = 2, .dims = {2, 11}, .data = negative}, {"id -1 at 0"}},
        {"in.attention_mask",
         {.dtype = PM_I32, .rank = 2, .dims = {2, 10}},
         {"in.attention_mask is [2,10]", "[2,11]"}},
        {"in.token_type_ids",
         {.dtype = PM_I32, .rank = 2, .dims = {2, 11}, .data = two},
         {"token_type_ids", "id 2 at 2", "0..1"}},
    };
    static const bad_input transformer[] = {
        {"in.decoder_input_ids",
         {.dtype = PM_I32, .rank = 2, .dims = {3, 7}},
         {"in.decoder_input_ids has 3 rows", "2"}},
    };
    check_inputs("bert-base", bert, PM_COUNT(bert));
    static const bad_input whisper[] = {
        {"in.input_features",
         {.dtype = PM_F32, .rank = 3, .dims = {1, 80, 100}},
         {"in.input_features is [1,80,100]", "[16,100]"}},
        {"in.input_features", {.dtype = PM_F32, .rank = 3, .dims = {1, 16, 99}}, {"[1,16,99]", "[16,100]"}},
        {"in.input_features", {.dtype = PM_F32, .rank = 2, .dims = {16, 100}}, {"[16,100]"}},
        {"in.input_features", {.dtype = PM_F32, .rank = 3, .dims = {2, 16, 100}}, {"1 rows", "2"}},
        {"in.decoder_input_ids", {.dtype = PM_I32, .rank = 2, .dims = {1, 41}}, {"[1,41]", "1..40"}},
    };
    static const int32_t no_separators[62] = {0};
    static const bad_input longformer[] = {
        {"in.global_attention_mask",
         {.dtype = PM_I32, .rank = 2, .dims = {2, 30}},
         {"in.global_attention_mask is [2,30]", "[2,31]"}},
        {"in.input_ids",
         {.dtype = PM_I32, .rank = 2, .dims = {2, 31}, .data = no_separators},
         {"in.global_attention_mask is missing", "0 separators (id 2)", "expected 3"}},
    };
    check_inputs("longformer-answer", longformer, PM_COUNT(longformer));
    check_inputs("transformer", transformer, PM_COUNT(transformer));
    check_inputs("whisper", whisper, PM_COUNT(whisper));
    opened o = open_model("gpt2");
    pm_tensors *in, *set;
    assert_ok(pm_tensors_create(&in));
    assert_int_equal(pm_session_run(o.s, in, "", &set), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "in.input_ids is missing"));
    pm_tensors_free(in);
    close_model(&o);
}

/* An input of a type that is not read is there all the same. */
static void test_input_of_odd_type(void **state) {
    (void)state;
    opened o = open_model("gpt2");
    test_path folder = test_folder(), path = test_join(&folder, "model.safetensors");
    pm_tensors *in, *set;
    size_t n;
    unsigned char *data = test_read_file(test_reference("gpt2", "reference.safetensors").s, &n);
    test_write_file(path.s, data, n);
    free(data);
    test_edit_header(&folder, "in.input_ids", "dtype", "\"F64\"");
    assert_ok(pm_tensors_read(path.s, &in));
    assert_null(pm_tensors_get(in, "in.input_ids"));
    assert_null(pm_tensors_refusal(in, "in.attention_mask"));
    assert_int_equal(pm_session_run(o.s, in, "final", &set), PM_ERR_FILE);
    assert_non_null(strstr(pm_error_text(), "in.input_ids has type F64"));
    pm_tensors_free(in);
    close_model(&o);
}

/* ---- settings that change what is computed ---- */

static pm_tensors *run_folder(const char *folder, const char *reference) {
    opened o = {0};
    pm_tensors *in, *out;
    assert_ok(pm_device_open("cpu", NULL, &o.d));
    assert_ok(pm_model_open(folder, &o.m));
    assert_ok(pm_session_open(o.m, o.d, &o.s));
    assert_ok(pm_tensors_read(test_reference(reference, "reference.safetensors").s, &in));
    assert_ok(pm_session_run(o.s, in, "logits", &out));
    pm_tensors_free(in);
    close_model(&o);
    return out;
}

static float halve_q(float x, size_t i) {
    return i % 96 < 32 ? x / 2 : x; /* c_attn: 96 columns, of which 32 are q */
}
static float enlarge_q(float x, size_t i) {
    return i % 96 < 32 ? x * 2.828427125f : x;
}

/* A scale of the scores is as good as one of the queries. */
static void test_gpt2_scales(void **state) {
    (void)state;
    static const struct {
        const char *key, *json, *layers[2];
        float (*edit)(float x, size_t i);
    } rows[] = {
        {"scale_attn_by_inverse_layer_idx", "true", {"transformer.h.1.attn.c_attn"}, halve_q},
        {"scale_attn_weights",
         "false",
         {"transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"},
         enlarge_q},
    };
    pm_tensors *plain = run_folder(test_reference("gpt2", NULL).s, "gpt2");
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        test_path set = test_copy_model("gpt2"), edited = test_copy_model("gpt2");
        char name[64];
        test_edit_config(&set, rows[i].key, rows[i].json);
        for (size_t k = 0; k < 2 && rows[i].layers[k]; k++) {
            snprintf(name, sizeof name, "%s.weight", rows[i].layers[k]);
            test_edit_tensor(&edited, name, rows[i].edit);
            snprintf(name, sizeof name, "%s.bias", rows[i].layers[k]);
            test_edit_tensor(&edited, name, rows[i].edit);
        }
        pm_tensors *a = run_folder(set.s, "gpt2"), *b = run_folder(edited.s, "gpt2");
        const pm_array *is = pm_tensors_get(a, "out.logits"), *not = pm_tensors_get(plain, "out.logits");
        assert_true(relative_error(is, pm_tensors_get(b, "out.logits"), NULL) < 1e-5);
        assert_true(relative_error(is, not, NULL) > 1e-4);
        pm_tensors_free(a);
        pm_tensors_free(b);
    }
    pm_tensors_free(plain);
}

/* With nothing tied, the last layer's own bias counts (a file has both). */
static void test_bert_own_bias(void **state) {
    (void)state;
    test_path folder = test_copy_model("bert-mlm"), path = test_join(&folder, "model.safetensors");
    pm_tensors *set, *reference;
    float bias[61];
    assert_ok(pm_tensors_read(path.s, &set));
    pm_array decoder = *pm_tensors_get(set, "bert.embeddings.word_embeddings.weight"),
             own = *pm_tensors_get(set, "cls.predictions.bias");
    assert_ok(pm_convert_f32(&own, bias));
    for (int i = 0; i < 61; i++) bias[i] += 3;
    decoder.name = "cls.predictions.decoder.weight";
    own.name = "cls.predictions.decoder.bias";
    own.data = bias;
    assert_ok(pm_tensors_add(set, &decoder, NULL));
    assert_ok(pm_tensors_add(set, &own, NULL));
    assert_ok(pm_tensors_write(set, path.s));
    pm_tensors_free(set);
    for (int tied = 0; tied < 2; tied++) {
        test_edit_config(&folder, "tie_word_embeddings", tied ? "true" : "false");
        set = run_folder(folder.s, "bert-mlm");
        assert_ok(pm_tensors_read(test_reference("bert-mlm", "reference.safetensors").s, &reference));
        const float *is = pm_tensors_get(set, "out.logits")->data,
                    *expected = pm_tensors_get(reference, "out.logits")->data;
        for (int i = 0; i < 61; i++) assert_true(fabsf(is[i] - expected[i] - (tied ? 0 : 3)) < 1e-3f);
        pm_tensors_free(reference);
        pm_tensors_free(set);
    }
}

/* A padded source gives the same target as the same source alone. */
static void test_source_mask(void **state) {
    (void)state;
    opened o = open_model("transformer");
    int32_t padded[9] = {5, 9, 12, 40, 1, 1, 1, 1, 1}, mask[9] = {1, 1, 1, 1}, target[3] = {1, 30, 7};
    pm_tensors *in[2], *out[2];
    for (int i = 0; i < 2; i++) {
        int64_t n = i ? 9 : 4;
        assert_ok(pm_tensors_create(&in[i]));
        assert_ok(pm_tensors_add(
            in[i],
            &(pm_array){.name = "in.input_ids", .dtype = PM_I32, .rank = 2, .dims = {1, n}, .data = padded},
            NULL));
        assert_ok(pm_tensors_add(
            in[i],
            &(pm_array){
                .name = "in.decoder_input_ids", .dtype = PM_I32, .rank = 2, .dims = {1, 3}, .data = target},
            NULL));
        if (i)
            assert_ok(pm_tensors_add(
                in[i],
                &(pm_array){
                    .name = "in.attention_mask", .dtype = PM_I32, .rank = 2, .dims = {1, n}, .data = mask},
                NULL));
        assert_ok(pm_session_run(o.s, in[i], i ? "final" : "", &out[i]));
    }
    assert_true(relative_error(pm_tensors_get(out[1], "out.logits"), pm_tensors_get(out[0], "out.logits"),
                               NULL) < 1e-5);
    for (int i = 0; i < 2; i++) pm_tensors_free(in[i]), pm_tensors_free(out[i]);
    close_model(&o);
}

/* Two models with tensors of the same names on one device keep theirs apart, and nothing stays in the store.
 */
static void test_two_models(void **state) {
    (void)state;
    pm_device *d;
    pm_model *m[2];
    pm_session *s[2];
    pm_tensors *reference, *set;
    test_path paths[2] = {test_reference("bert-mlm", NULL), test_reference("bert-ner", NULL)};
    assert_ok(pm_device_open("cpu", NULL, &d));
    for (int i = 0; i < 2; i++) {
        assert_ok(pm_model_open(paths[i].s, &m[i]));
        assert_ok(pm_session_open(m[i], d, &s[i]));
    }
    assert_ok(pm_tensors_read(test_join(&paths[0], "reference.safetensors").s, &reference));
    assert_ok(pm_session_run(s[0], reference, "", &set));
    compare("bert-mlm beside bert-ner", set, reference, true);
    pm_tensors_free(set);
    pm_tensors_free(reference);
    for (int i = 0; i < 2; i++) {
        pm_session_close(s[i]);
        pm_model_close(m[i]);
    }
    pm_device_stats stats;
    pm_device_get_stats(d, &stats);
    assert_int_equal(stats.store_bytes, 0);
    pm_device_close(d);
}

/* ---- verification ---- */

static pm_status verify(const char *model, const char *spec, int32_t broken, pm_verify_report *report) {
    pm_device *d;
    pm_model *m;
    pm_session *s;
    pm_device_options options = {.test_break_kernel = broken};
    assert_ok(pm_device_open(spec, &options, &d));
    assert_ok(pm_model_open(test_reference(model, NULL).s, &m));
    assert_ok(pm_session_open(m, d, &s));
    pm_status status = pm_session_verify(s, NULL, NULL, report);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
    return status;
}

static void test_verify(void **state) {
    (void)state;
    static const char *const programs[] = {"all outputs", "forward", "encode", "prefill", "decode"};
    for (size_t i = 0; i < PM_COUNT(families); i++) {
        pm_verify_report report;
        bool seen[PM_COUNT(programs)] = {false};
        assert_ok(verify(families[i], "cpu", 0, &report));
        assert_true(report.first_out < 0 && report.bit_equal);
        for (size_t row = 0; row < report.n_rows; row++)
            for (size_t k = 0; k < PM_COUNT(programs); k++)
                seen[k] |= strcmp(report.rows[row].program, programs[k]) == 0;
        pm_model *m;
        pm_model_info info;
        assert_ok(pm_model_open(test_reference(families[i], NULL).s, &m));
        pm_model_get_info(m, &info);
        pm_model_close(m);
        bool decoder = info.decoder, seq2seq = info.encoder_decoder;
        assert_true(seen[0] && seen[1] && seen[2] == seq2seq && seen[3] == decoder && seen[4] == decoder);
        pm_verify_report_free(&report);
    }
}

static void test_verify_finds_a_broken_kernel(void **state) {
    (void)state;
    static const pm_kernel kernels[] = {PM_KERNEL_MATMUL, PM_KERNEL_ATTENTION, PM_KERNEL_CACHE_WRITE,
                                        PM_KERNEL_ARGMAX};
    for (size_t i = 0; i < PM_COUNT(kernels); i++) {
        pm_verify_report report;
        assert_int_equal(verify("llama", "cpu", 1 + (int32_t)kernels[i], &report), PM_ERR_VERIFY);
        assert_true(report.first_out >= 0);
        assert_string_equal(report.rows[report.first_out].kernel, pm_kernel_get(kernels[i])->name);
        pm_verify_report_free(&report);
    }
}

static void test_dump(void **state) {
    (void)state;
    static const char *const stages[] = {"built", "fused", "planned", "program"}, *const formats[] = {
                                                                                      "text", "json", "dot"};
    static const char *const which[] = {"forward", "prefill", "decode", "encode"};
    pm_model *m;
    assert_ok(pm_model_open(test_reference("transformer", NULL).s, &m));
    for (size_t i = 0; i < 4 * 4 * 3; i++) {
        pm_dump_options o = {.stage = stages[i % 4], .which = which[i / 4 % 4], .format = formats[i / 16]};
        char *text;
        if (i / 16 == 2 && i % 4 > 1) continue; /* graphs alone have pictures */
        assert_ok(pm_model_dump(m, &o, &text));
        assert_true(strlen(text) > 100);
        if (i % 4 == 1) assert_non_null(strstr(text, "layer_norm"));
        if (i % 4 == 0) assert_null(strstr(text, "layer_norm"));
        pm_release(text);
    }
    char *none;
    assert_int_equal(pm_model_dump(m, &(pm_dump_options){.stage = "cooked"}, &none), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "cooked"));
    assert_int_equal(pm_model_dump(m, &(pm_dump_options){.stage = "built", .which = "later"}, &none),
                     PM_ERR_USAGE);
    pm_model_close(m);
}

/* Whisper's class without a head, whose names begin without "model.": blanks in the header take that part's place. */
static void test_whisper_without_head(void **state) {
    (void)state;
    test_path folder = test_copy_model("whisper"), weights = test_join(&folder, "model.safetensors");
    pm_device *d;
    pm_model *m;
    pm_session *s;
    pm_tensors *in, *set;
    size_t n;
    unsigned char *bytes = test_read_file(weights.s, &n);
    for (size_t i = 8; i + 7 < n; i++)
        if (memcmp(bytes + i, "\"model.", 7) == 0) memcpy(bytes + i, "      \"", 7);
    test_write_file(weights.s, bytes, n);
    free(bytes);
    test_edit_config(&folder, "architectures", "[\"WhisperModel\"]");
    assert_ok(pm_device_open("cpu", NULL, &d));
    assert_ok(pm_model_open(folder.s, &m));
    assert_ok(pm_session_open(m, d, &s));
    assert_ok(pm_tensors_read(test_reference("whisper", "reference.safetensors").s, &in));
    assert_ok(pm_session_run(s, in, "", &set));
    assert_int_equal(compare("WhisperModel", set, in, false), 10);
    assert_non_null(pm_tensors_get(set, "out.last_hidden_state"));
    assert_null(pm_tensors_get(set, "out.logits"));
    pm_tensors_free(set);
    pm_tensors_free(in);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_reference),
        cmocka_unit_test(test_on_cpu),
        cmocka_unit_test(test_on_vulkan),
        cmocka_unit_test(test_want),
        cmocka_unit_test(test_bad_inputs),
        cmocka_unit_test(test_bad_pictures),
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_source_mask),
        cmocka_unit_test(test_input_of_odd_type),
        cmocka_unit_test(test_whisper_without_head),
        cmocka_unit_test(test_gpt2_scales),
        cmocka_unit_test(test_bert_own_bias),
        cmocka_unit_test(test_two_models),
        cmocka_unit_test(test_dump),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_verify_finds_a_broken_kernel),
    };
    return run_all_tests(tests);
}
