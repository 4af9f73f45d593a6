/* Decoders without a head: every family's base class, made of the reference files, gives the reference's last hidden states;
 * a label for a text; folders of sentence-transformers that name the class that generates; texts cut at max_seq_length. */
#include "tests/support_compare.h"
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "models/convert.h"
#include "pumice/text.h"

/* Tensors lose the part before their first dot where it is the prefix; others are the head's and go. */
static const struct {
    const char *reference, *class, *prefix;
} families[] = {
    {"llama", "LlamaModel", "model."},
    {"mistral-window", "MistralModel", "model."},
    {"qwen2", "Qwen2Model", "model."},
    {"qwen3", "Qwen3Model", "model."},
    {"gemma", "GemmaModel", "model."},
    {"gemma2", "Gemma2Model", "model."},
    {"gemma3", "Gemma3TextModel", "model."},
    {"olmo2", "Olmo2Model", "model."},
    {"phi3", "Phi3Model", "model."},
    {"mixtral", "MixtralModel", "model."},
    {"qwen3-moe", "Qwen3MoeModel", "model."},
    {"gpt-oss", "GptOssModel", "model."},
    {"gpt2", "GPT2Model", "transformer."},
    {"gpt-neox", "GPTNeoXModel", "gpt_neox."},
    {"opt", "OPTModel", "model."},
    {"bloom", "BloomModel", "transformer."},
    {"falcon", "FalconModel", "transformer."},
};

static void make_base(const test_path *folder, const char *prefix) {
    test_path path = test_join(folder, "model.safetensors");
    pm_tensors *all, *base;
    size_t n = strlen(prefix);
    assert_ok(pm_tensors_read(path.s, &all));
    assert_ok(pm_tensors_create(&base));
    for (size_t i = 0; i < pm_tensors_count(all); i++) {
        pm_array a = *pm_tensors_at(all, i);
        if (strncmp(a.name, prefix, n) != 0) continue;
        a.name += n;
        assert_ok(pm_tensors_add(base, &a, NULL));
    }
    assert_true(pm_tensors_count(base) > 4);
    assert_ok(pm_tensors_write(base, path.s));
    pm_tensors_free(all);
    pm_tensors_free(base);
}

static void set_class(const test_path *folder, const char *class) {
    char json[80];
    snprintf(json, sizeof json, "[\"%s\"]", class);
    test_edit_config(folder, "architectures", json);
}

static void check_base(const char *reference_name, const char *class, const char *prefix) {
    test_path folder = test_copy_model(reference_name);
    char last[32];
    pm_tensors *reference, *set;
    pm_model_info info;
    pm_generated g;
    set_class(&folder, class);
    make_base(&folder, prefix);
    test_session o = test_open(folder.s, "cpu");
    pm_model_get_info(o.m, &info);
    assert_string_equal(info.task, "features");
    snprintf(last, sizeof last, "out.hidden_states.%d", (int)info.n_layers);
    assert_ok(pm_tensors_read(test_reference(reference_name, "reference.safetensors").s, &reference));
    assert_ok(pm_session_run(o.s, reference, "final", &set));
    assert_int_equal(pm_tensors_count(set), 1);
    test_expect_near(class, pm_tensors_get(set, "out.last_hidden_state"), pm_tensors_get(reference, last),
                     NULL);
    assert_int_equal(pm_generate(o.s, (int32_t[]){1}, 1, NULL, &g), PM_ERR_USAGE);
    pm_tensors_free(reference);
    pm_tensors_free(set);
    test_close(&o);
}

static void test_bases(void **state) {
    (void)state;
    for (size_t i = 0; i < PM_COUNT(families); i++)
        check_base(families[i].reference, families[i].class, families[i].prefix);
}

/* ---- folders of sentence-transformers ---- */

static void write_text(const test_path *folder, const char *name, const char *text) {
    test_write_file(test_join(folder, name).s, text, strlen(text));
}

/* As Qwen3-Embedding lies: the class that generates, no head in the file, the last token, length 1. */
static test_path make_vectors(const char *length) {
    test_path folder = test_copy_model("qwen3"), pooling = test_join(&folder, "1_Pooling");
    size_t n;
    unsigned char *vocab = test_read_file(PM_SOURCE_DIR "/tests/data/texts/vocab.txt", &n);
    make_base(&folder, "model.");
    test_edit_config(&folder, "tie_word_embeddings", "false");
    assert_int_equal(mkdir(pooling.s, 0700), 0);
    write_text(&pooling, "config.json",
               "{\"pooling_mode_lasttoken\":true,\"pooling_mode_mean_tokens\":false}");
    write_text(&folder, "modules.json",
               "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
               "{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},"
               "{\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}]");
    if (length) write_text(&folder, "sentence_bert_config.json", length);
    test_write_file(test_join(&folder, "vocab.txt").s, vocab, n);
    test_edit_config(&folder, "tokenizer_class", "\"BertTokenizer\"");
    free(vocab);
    return folder;
}

/* The last token's hidden states of `text` alone, made length 1 here. */
static void last_of(const test_session *o, const char *text, float *out, size_t width) {
    int32_t *ids;
    size_t n;
    double sum = 0;
    pm_tensors *in, *set;
    assert_ok(pm_model_encode(o->m, text, &ids, &n));
    assert_ok(pm_tensors_create(&in));
    pm_array a = {.name = "in.input_ids", .dtype = PM_I32, .rank = 2, .dims = {1, (int64_t)n}};
    void *data;
    assert_ok(pm_tensors_add(in, &a, &data));
    memcpy(data, ids, n * sizeof *ids);
    assert_ok(pm_session_run(o->s, in, "last_hidden_state", &set));
    const pm_array *x = pm_tensors_get(set, "out.last_hidden_state");
    assert_int_equal(x->dims[2], width);
    const float *row = (const float *)x->data + (n - 1) * width;
    for (size_t i = 0; i < width; i++) sum += (double)row[i] * (double)row[i];
    for (size_t i = 0; i < width; i++) out[i] = (float)((double)row[i] / sqrt(sum));
    pm_release(ids);
    pm_tensors_free(in);
    pm_tensors_free(set);
}

static void expect_vectors(const test_session *o, const pm_text_input *texts, const char *const *same,
                           size_t n) {
    float *v, one[256];
    size_t width;
    assert_ok(pm_session_embed(o->s, texts, n, NULL, &v, &width));
    assert_true(width <= PM_COUNT(one));
    for (size_t i = 0; i < n; i++) {
        last_of(o, same[i], one, width);
        for (size_t k = 0; k < width; k++)
            if (!(fabs((double)v[i * width + k] - (double)one[k]) < 2e-5))
                fail_msg("\"%s\": element %zu is %g, not %g", texts[i].text, k, (double)v[i * width + k],
                         (double)one[k]);
    }
    pm_release(v);
}

static void test_vectors(void **state) {
    (void)state;
    test_path folder = make_vectors(NULL);
    const char *const texts[] = {"walking in a city", "x", "talking, walking, talking city x y"};
    const pm_text_input inputs[] = {{texts[0], NULL}, {texts[1], NULL}, {texts[2], NULL}};
    test_session o = test_open(folder.s, "cpu");
    expect_vectors(&o, inputs, texts, PM_COUNT(texts)); /* in one batch, padded */
    test_close(&o);
}

/* max_seq_length cuts without a word; the tokens around the text stay. */
static void test_cut(void **state) {
    (void)state;
    test_path folder = make_vectors("{\"max_seq_length\": 5}");
    const pm_text_input inputs[] = {{"x y x y x y x y x y", NULL}, {"x y", NULL}, {"x y x", NULL}};
    const char *const same[] = {"x y x", "x y", "x y x"};
    test_session o = test_open(folder.s, "cpu");
    expect_vectors(&o, inputs, same, PM_COUNT(same));
    test_close(&o);
}

/* Without modules.json: a decoder's default is its last token. */
static void test_plain(void **state) {
    (void)state;
    test_path folder = test_copy_model("qwen3");
    size_t n, width;
    unsigned char *vocab = test_read_file(PM_SOURCE_DIR "/tests/data/texts/vocab.txt", &n);
    test_write_file(test_join(&folder, "vocab.txt").s, vocab, n);
    free(vocab);
    pm_text_input texts[] = {{"walking in a city", NULL}, {"x", NULL}};
    float *v, *last, *mean;
    test_session o = test_open(folder.s, "cpu");
    assert_ok(pm_session_embed(o.s, texts, 2, NULL, &v, &width));
    assert_ok(pm_session_embed(o.s, texts, 2, &(pm_embed_options){.pooling = PM_EMBED_LAST}, &last, &width));
    assert_ok(pm_session_embed(o.s, texts, 2, &(pm_embed_options){.pooling = PM_EMBED_MEAN}, &mean, &width));
    assert_memory_equal(v, last, 2 * width * sizeof *v);
    assert_memory_not_equal(v, mean, 2 * width * sizeof *v);
    pm_release(v);
    pm_release(last);
    pm_release(mean);
    assert_int_equal(
        pm_session_embed(o.s, texts, 2, &(pm_embed_options){.pooling = (pm_embed_pooling)9}, &v, &width),
        PM_ERR_USAGE);
    test_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bases), cmocka_unit_test(test_vectors),
                                       cmocka_unit_test(test_cut), cmocka_unit_test(test_plain)};
    return run_all_tests(tests);
}
