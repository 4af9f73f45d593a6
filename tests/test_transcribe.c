/* Transcription against Hugging Face's generate on a random Whisper (tests/data/speech/make_speech.py): the ids and times of every
 * segment, one window and several, greedy and by beams, with and without the text before; and what is refused. */
#include "pumice/audio.h"
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "models/whisper.h"

static const char folder[] = PM_SOURCE_DIR "/tests/data/speech";
enum { SECOND = 16000 };

/* The chirp again and again, each half as loud, five times. */
static pm_sound make_sound(size_t n) {
    pm_sound chirp, sound = {.n = n, .rate = SECOND};
    assert_ok(pm_sound_open(PM_SOURCE_DIR "/tests/data/audio/chirp.wav", SECOND, &chirp));
    assert_int_equal(chirp.n, SECOND);
    sound.samples = pm_calloc(n, sizeof *sound.samples);
    for (size_t i = 0; i < n; i++)
        sound.samples[i] = chirp.samples[i % SECOND] * ldexpf(1, -(int)(i / SECOND % 5));
    pm_sound_free(&chirp);
    return sound;
}

/* ---- the reference ---- */

static void compare_segment(const char *what, const pm_spoken *is, const json_t *expected) {
    const json_t *ids = json_object_get(expected, "ids");
    if (is->n_ids != json_array_size(ids))
        fail_msg("%s: %zu ids, expected %zu", what, is->n_ids, json_array_size(ids));
    for (size_t i = 0; i < is->n_ids; i++)
        if (is->ids[i] != json_integer_value(json_array_get(ids, i)))
            fail_msg("%s: id %zu is %d", what, i, (int)is->ids[i]);
    assert_float_equal(is->start, json_number_value(json_object_get(expected, "start")), 1e-6);
    assert_float_equal(is->end, json_number_value(json_object_get(expected, "end")), 1e-6);
    assert_string_equal(is->text, json_string_value(json_object_get(expected, "text")));
}

static void compare_case(pm_session *s, const json_t *c) {
    const json_t *options = json_object_get(c, "options"), *segments = json_object_get(c, "segments");
    pm_transcribe_options o = {
        .language = json_string_value(json_object_get(options, "language")),
        .task = json_string_value(json_object_get(options, "task")),
        .timestamps = json_is_true(json_object_get(options, "return_timestamps")),
        .no_context = !json_is_true(json_object_get(options, "condition_on_prev_tokens")),
        .n_beams = (int32_t)json_integer_value(json_object_get(options, "num_beams")),
        .max_new = (int32_t)json_integer_value(json_object_get(options, "max_new_tokens")),
    };
    char *text = json_dumps(options, 0), what[TEST_PATH];
    pm_sound sound = make_sound((size_t)json_integer_value(json_object_get(c, "samples")));
    pm_transcript t;
    size_t length = 0;
    assert_ok(pm_transcribe(s, &sound, &o, &t));
    for (size_t i = 0; i < t.n_segments && i < json_array_size(segments); i++) {
        snprintf(what, sizeof what, "%zu samples, %s, segment %zu", sound.n, text, i);
        compare_segment(what, &t.segments[i], json_array_get(segments, i));
        length += strlen(t.segments[i].text);
    }
    if (t.n_segments != json_array_size(segments))
        fail_msg("%s: %zu segments, expected %zu", text, t.n_segments, json_array_size(segments));
    assert_int_equal(strlen(t.text), length);
    assert_float_equal(t.seconds, (double)sound.n / SECOND, 1e-9);
    assert_true(o.language ? strcmp(t.language, o.language) == 0 : t.language[0] != 0);
    pm_transcript_free(&t);
    pm_sound_free(&sound);
    free(text);
}

static void check_device(const char *device) {
    pm_device *d = test_open_device(device);
    if (!d) skip_because("no device %s: %s", device, pm_error_text());
    pm_device_close(d);
    json_error_t error;
    json_t *cases = json_load_file(PM_SOURCE_DIR "/tests/data/speech/expected.json", 0, &error);
    assert_true(json_array_size(cases) >= 16);
    test_session o = test_open(folder, device);
    for (size_t i = 0; i < json_array_size(cases); i++) compare_case(o.s, json_array_get(cases, i));
    test_close(&o);
    json_decref(cases);
}

static void on_reference(void **state) {
    (void)state, check_device("reference");
}
static void on_cpu(void **state) {
    (void)state, check_device("cpu");
}
static void on_vulkan(void **state) {
    (void)state, check_device(test_device());
}

/* ---- what a caller may do ---- */

static bool stop_at_second(void *user, const pm_spoken *segment) {
    assert_non_null(segment->text);
    return ++*(int *)user < 2;
}

static void segments_come_one_by_one(void **state) {
    (void)state;
    test_session o = test_open(folder, "cpu");
    pm_sound sound = make_sound(3 * SECOND);
    pm_transcript t;
    int n = 0;
    assert_ok(
        pm_transcribe(o.s, &sound, &(pm_transcribe_options){.on_segment = stop_at_second, .user = &n}, &t));
    assert_int_equal(n, 2);
    assert_int_equal(t.n_segments, 2);
    pm_transcript_free(&t);
    pm_sound_free(&sound);
    test_close(&o);
}

/* Other rates, and sounds of any length: a sample, a hop, more than a window by one. */
static void sounds_of_any_length_and_rate(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 159, 160, 399, SECOND - 1, SECOND + 1, SECOND + 159};
    test_session o = test_open(folder, "cpu");
    for (size_t i = 0; i < PM_COUNT(lengths); i++) {
        pm_sound sound = make_sound(lengths[i]);
        pm_transcript t;
        assert_ok(pm_transcribe(o.s, &sound, NULL, &t));
        assert_true(t.n_segments >= 1);
        pm_transcript_free(&t);
        sound.rate = 44100;
        assert_ok(pm_transcribe(o.s, &sound, &(pm_transcribe_options){.timestamps = true}, &t));
        assert_float_equal(t.seconds, (double)lengths[i] / 44100, 1e-9);
        for (size_t k = 1; k < t.n_segments; k++) assert_true(t.segments[k].start >= t.segments[k - 1].start);
        pm_transcript_free(&t);
        pm_sound_free(&sound);
    }
    test_close(&o);
}

static void want_refusal(pm_session *s, const pm_transcribe_options *options, const char *expected) {
    pm_sound sound = make_sound(1000);
    pm_transcript t;
    pm_status status = pm_transcribe(s, &sound, options, &t);
    if (status != PM_ERR_USAGE && status != PM_ERR_FILE) fail_msg("\"%s\": status %d", expected, (int)status);
    if (!strstr(pm_error_text(), expected)) fail_msg("\"%s\" is not in: %s", expected, pm_error_text());
    assert_null(t.segments);
    pm_sound_free(&sound);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    test_session o = test_open(folder, "cpu");
    want_refusal(o.s, &(pm_transcribe_options){.language = "tlh"}, "expected one of: en, de, fr, yue");
    want_refusal(o.s, &(pm_transcribe_options){.task = "sing"}, "expected transcribe or translate");
    want_refusal(o.s, &(pm_transcribe_options){.n_beams = -1}, "n_beams: -1");
    want_refusal(o.s, &(pm_transcribe_options){.n_beams = 1000}, "n_beams: 1000");
    want_refusal(o.s, &(pm_transcribe_options){.max_new = -1}, "max_new: -1");
    pm_transcript t;
    assert_int_equal(pm_transcribe(o.s, &(pm_sound){.rate = SECOND}, NULL, &t), PM_ERR_USAGE);
    pm_generated g; /* it takes sound, no ids */
    assert_int_equal(pm_generate(o.s, (int32_t[]){1}, 1, NULL, &g), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "takes input_features"));
    test_close(&o);
    o = test_open(test_reference("gpt2", NULL).s, "cpu");
    want_refusal(o.s, NULL, "a gpt2 model does not transcribe");
    test_close(&o);
}

/* What the model sees: the features of pm_log_mel, silence behind the sound. */
static void the_first_window_can_be_had(void **state) {
    (void)state;
    test_session o = test_open(folder, "cpu");
    pm_sound sound = make_sound(SECOND);
    pm_tensors *in, *set;
    float *features;
    int64_t frames;
    assert_ok(pm_sound_inputs(o.m, &sound, &in));
    assert_ok(pm_log_mel(sound.samples, sound.n, &(pm_mel_options){.n_mels = 16}, &features, &frames));
    const pm_array *a = pm_tensors_get(in, "in.input_features");
    assert_non_null(a);
    assert_true(a->rank == 3 && a->dims[0] == 1 && a->dims[1] == 16 && a->dims[2] == 100 && frames == 100);
    assert_memory_equal(a->data, features, 1600 * sizeof(float));
    assert_ok(pm_tensors_add_ids(in, "in.decoder_input_ids", (int32_t[]){301}, 1));
    assert_ok(pm_session_run(o.s, in, "final", &set));
    pm_tensors_free(set);
    pm_tensors_free(in);
    pm_release(features);
    assert_int_equal(pm_sound_inputs(o.m, &(pm_sound){.rate = SECOND}, &in), PM_ERR_USAGE);
    assert_null(in);
    pm_sound_free(&sound);
    test_close(&o);
}

/* ---- the model's files ---- */

static void copy_file(const test_path *to, const char *file) {
    char from[TEST_PATH];
    size_t n;
    snprintf(from, sizeof from, "%s/%s", folder, file);
    unsigned char *bytes = test_read_file(from, &n);
    test_write_file(test_join(to, file).s, bytes, n);
    free(bytes);
}

/* A copy of the model; `file` with a key set to a value in JSON, or removed, or the whole file left out (key NULL). */
static test_path copy_model(const char *file, const char *key, const char *json) {
    static const char *const files[] = {"config.json", "generation_config.json", "preprocessor_config.json",
                                        "tokenizer.json", "model.safetensors"};
    test_path to = test_folder();
    for (size_t i = 0; i < PM_COUNT(files); i++)
        if (key || strcmp(files[i], file) != 0) copy_file(&to, files[i]);
    if (!key) return to;
    json_t *root = json_load_file(test_join(&to, file).s, 0, NULL);
    assert_non_null(root);
    if (json)
        assert_int_equal(json_object_set_new(root, key, json_loads(json, JSON_DECODE_ANY, NULL)), 0);
    else
        assert_int_equal(json_object_del(root, key), 0);
    assert_int_equal(json_dump_file(root, test_join(&to, file).s, 0), 0);
    json_decref(root);
    return to;
}

static void refused_with(const char *file, const char *key, const char *json, const char *expected) {
    test_path path = copy_model(file, key, json);
    test_session o = test_open(path.s, "cpu");
    want_refusal(o.s, &(pm_transcribe_options){.timestamps = true, .language = "fr"}, expected);
    test_close(&o);
}

static void bad_files_are_refused(void **state) {
    (void)state;
    refused_with("preprocessor_config.json", "feature_size", "80",
                 "feature_size is 80, expected num_mel_bins of config.json, 16");
    refused_with("preprocessor_config.json", "chunk_length", "30", "are 3000 frames, expected 100");
    refused_with("preprocessor_config.json", "hop_length", "0", "hop_length");
    refused_with("preprocessor_config.json", "sampling_rate", "2000000000", "sampling_rate");
    refused_with("preprocessor_config.json", "do_normalize", "true", "do_normalize");
    refused_with("generation_config.json", "no_timestamps_token_id", "99999",
                 "no_timestamps_token_id is 99999");
    refused_with("generation_config.json", "prev_sot_token_id", "99999", "prev_sot_token_id is 99999");
    refused_with("generation_config.json", "lang_to_id", "{\"<|fr|>\": 99999}", "99999");
    refused_with("generation_config.json", "lang_to_id", "{\"fr\": 3}", "lang_to_id.fr");
    refused_with("generation_config.json", "is_multilingual", "false", "the model knows one only");
}

static void want_ids(const pm_model *m, bool languages, bool times) {
    pm_whisper w;
    assert_ok(pm_whisper_open(m, &w));
    assert_int_equal(w.n_languages, languages ? 4 : 0);
    assert_int_equal(w.translate, languages ? 306 : -1);
    assert_int_equal(w.transcribe, languages ? 307 : -1);
    assert_int_equal(w.previous, 308);
    assert_int_equal(w.times.first, times ? 311 : -1);
    assert_int_equal(w.mel.n_mels, 16);
    if (languages) assert_string_equal(pm_whisper_code(&w, 305), "yue");
    assert_string_equal(pm_whisper_code(&w, 300), "");
    pm_whisper_close(&w);
}

/* Older checkpoints do not list ids: the tokenizer's names say them. */
static void ids_are_found_by_name(void **state) {
    (void)state;
    static const char *const keys[] = {"lang_to_id", "task_to_id", "no_timestamps_token_id",
                                       "prev_sot_token_id"};
    for (size_t i = 0; i < PM_COUNT(keys); i++) {
        test_path path = copy_model("generation_config.json", keys[i], NULL);
        pm_model *m;
        assert_ok(pm_model_open(path.s, &m));
        want_ids(m, true, true);
        pm_model_close(m);
    }
    test_path path = copy_model("generation_config.json", NULL, NULL);
    pm_model *m;
    assert_ok(pm_model_open(path.s, &m));
    want_ids(m, false, true); /* with so few ids it is no multilingual model */
    pm_model_close(m);
}

/* Old files say language and task as the ids behind the first. */
static void a_language_may_be_forced(void **state) {
    (void)state;
    test_path path = copy_model("generation_config.json", "forced_decoder_ids", "[[1, 304], [2, 307]]");
    test_session o = test_open(path.s, "cpu");
    pm_sound sound = make_sound(SECOND);
    pm_transcript t;
    assert_ok(pm_transcribe(o.s, &sound, NULL, &t));
    assert_string_equal(t.language, "fr");
    pm_transcript_free(&t);
    assert_ok(pm_transcribe(o.s, &sound, &(pm_transcribe_options){.language = "de"}, &t));
    assert_string_equal(t.language, "de");
    pm_transcript_free(&t);
    pm_sound_free(&sound);
    test_close(&o);
}

/* Without a tokenizer there are ids; without special ids, windows one behind the other. */
static void a_bare_model_gives_ids(void **state) {
    (void)state;
    test_session o = test_open(test_reference("whisper", NULL).s, "cpu");
    pm_sound sound = make_sound(2 * SECOND + 5000);
    pm_transcript t;
    assert_ok(pm_transcribe(o.s, &sound, &(pm_transcribe_options){.max_new = 4}, &t));
    assert_int_equal(t.n_segments, 3);
    assert_null(t.text);
    for (size_t i = 0; i < 3; i++) {
        assert_null(t.segments[i].text);
        assert_true(t.segments[i].n_ids <= 4);
        assert_float_equal(t.segments[i].start, (double)i, 1e-9);
    }
    pm_transcript_free(&t);
    want_refusal(o.s, &(pm_transcribe_options){.timestamps = true}, "no_timestamps_token_id is missing");
    want_refusal(o.s, &(pm_transcribe_options){.task = "translate"}, "cannot translate");
    pm_sound_free(&sound);
    test_close(&o);
}

static pm_status open_ids(void *user) {
    pm_whisper w;
    pm_status s = pm_whisper_open(user, &w);
    if (s == PM_OK) pm_whisper_close(&w);
    return s;
}

static void memory_may_run_out(void **state) {
    (void)state;
    pm_model *m;
    assert_ok(pm_model_open(folder, &m));
    assert_in_range(test_every_allocation(open_ids, m), 1, 1000);
    pm_model_close(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_reference),
        cmocka_unit_test(on_cpu),
        cmocka_unit_test(on_vulkan),
        cmocka_unit_test(segments_come_one_by_one),
        cmocka_unit_test(sounds_of_any_length_and_rate),
        cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(the_first_window_can_be_had),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(ids_are_found_by_name),
        cmocka_unit_test(a_language_may_be_forced),
        cmocka_unit_test(a_bare_model_gives_ids),
        cmocka_unit_test(memory_may_run_out),
    };
    return run_all_tests(tests);
}
