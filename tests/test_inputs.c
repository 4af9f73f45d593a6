/* What a forward pass takes and gives: which outputs are wanted, which inputs may be left out, and inputs that are wrong, each
 * refused in a sentence that names it. */
#include "tests/support_compare.h"
#include "tests/support_models.h"

#include <stdlib.h>

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
    test_session o = test_open(test_reference("gpt2", NULL).s, "cpu");
    pm_tensors *in, *set;
    assert_ok(pm_tensors_read(test_reference("gpt2", "reference.safetensors").s, &in));
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        assert_ok(pm_session_run(o.s, in, rows[i].want, &set));
        if (pm_tensors_count(set) != rows[i].n)
            fail_msg("want \"%s\": %zu outputs", rows[i].want, pm_tensors_count(set));
        assert_int_equal(test_compare(rows[i].want, set, in, false), rows[i].n);
        pm_tensors_free(set);
    }
    assert_int_equal(pm_session_run(o.s, in, "logits,pooler_output", &set), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "pooler_output"));
    assert_non_null(strstr(pm_error_text(), "hidden_states"));
    assert_null(set);
    pm_tensors_free(in);
    test_close(&o);
}

typedef struct bad_input {
    const char *name;
    pm_array array;
    const char *words[4];
} bad_input;

static void check_inputs(const char *model, const bad_input *rows, size_t n) {
    test_session o = test_open(test_reference(model, NULL).s, "cpu");
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
    test_close(&o);
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
    test_session o = test_open(test_reference("clip", NULL).s, "cpu");
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
        assert_int_equal(test_compare(inputs[side], set, all, false), 1);
        pm_tensors_free(set);
        pm_tensors_free(in);
    }
    assert_ok(pm_tensors_create(&in));
    assert_int_equal(pm_session_run(o.s, in, "final", &set), PM_ERR_USAGE);
    pm_tensors_free(in);
    pm_tensors_free(all);
    test_close(&o);
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
    test_session o = test_open(test_reference("gpt2", NULL).s, "cpu");
    pm_tensors *in, *set;
    assert_ok(pm_tensors_create(&in));
    assert_int_equal(pm_session_run(o.s, in, "", &set), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "in.input_ids is missing"));
    pm_tensors_free(in);
    test_close(&o);
}

/* An input of a type that is not read is there all the same. */
static void test_input_of_odd_type(void **state) {
    (void)state;
    test_session o = test_open(test_reference("gpt2", NULL).s, "cpu");
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
    test_close(&o);
}

/* A padded source gives the same target as the same source alone. */
static void test_source_mask(void **state) {
    (void)state;
    test_session o = test_open(test_reference("transformer", NULL).s, "cpu");
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
    assert_true(test_relative_error(pm_tensors_get(out[1], "out.logits"),
                                    pm_tensors_get(out[0], "out.logits"), NULL) < 1e-5);
    for (int i = 0; i < 2; i++) pm_tensors_free(in[i]), pm_tensors_free(out[i]);
    test_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_want),         cmocka_unit_test(test_bad_inputs),
        cmocka_unit_test(test_bad_pictures), cmocka_unit_test(test_sides),
        cmocka_unit_test(test_source_mask),  cmocka_unit_test(test_input_of_odd_type),
    };
    return run_all_tests(tests);
}
