/* Settings of config.json and layouts of files that change what is computed, and that no checkpoint of the reference set has. */
#include "tests/support_compare.h"
#include "tests/support_models.h"

#include <math.h>
#include <stdlib.h>

#include "models/convert.h"

static pm_tensors *run_folder(const char *folder, const char *reference) {
    test_session o = test_open(folder, "cpu");
    pm_tensors *in, *out;
    assert_ok(pm_tensors_read(test_reference(reference, "reference.safetensors").s, &in));
    assert_ok(pm_session_run(o.s, in, "logits", &out));
    pm_tensors_free(in);
    test_close(&o);
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
        assert_true(test_relative_error(is, pm_tensors_get(b, "out.logits"), NULL) < 1e-5);
        assert_true(test_relative_error(is, not, NULL) > 1e-4);
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

/* Whisper's class without a head, whose names begin without "model.": blanks in the header take that part's place. */
static void test_whisper_without_head(void **state) {
    (void)state;
    test_path folder = test_copy_model("whisper"), weights = test_join(&folder, "model.safetensors");
    pm_tensors *in, *set;
    size_t n;
    unsigned char *bytes = test_read_file(weights.s, &n);
    for (size_t i = 8; i + 7 < n; i++)
        if (memcmp(bytes + i, "\"model.", 7) == 0) memcpy(bytes + i, "      \"", 7);
    test_write_file(weights.s, bytes, n);
    free(bytes);
    test_edit_config(&folder, "architectures", "[\"WhisperModel\"]");
    test_session o = test_open(folder.s, "cpu");
    assert_ok(pm_tensors_read(test_reference("whisper", "reference.safetensors").s, &in));
    assert_ok(pm_session_run(o.s, in, "", &set));
    assert_int_equal(test_compare("WhisperModel", set, in, false), 10);
    assert_non_null(pm_tensors_get(set, "out.last_hidden_state"));
    assert_null(pm_tensors_get(set, "out.logits"));
    pm_tensors_free(set);
    pm_tensors_free(in);
    test_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gpt2_scales),
        cmocka_unit_test(test_bert_own_bias),
        cmocka_unit_test(test_whisper_without_head),
    };
    return run_all_tests(tests);
}
