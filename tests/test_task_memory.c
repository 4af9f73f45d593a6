/* Memory that runs out at any point of what commands do with texts and pictures: each call says so and leaves nothing. */
#include "pumice/attend.h"
#include "pumice/text.h"
#include "tests/support_memory.h"
#include "tests/support_models.h"

typedef struct row {
    const char *example;
    pm_status (*task)(pm_session *s);
} row;

static const pm_text_input texts[2] = {{"the city", NULL}, {"abc of the city", "of"}};

static pm_status classify(pm_session *s) {
    float scores[2 * 3];
    return pm_session_classify(s, texts, 2, NULL, scores);
}

static pm_status tag(pm_session *s) {
    pm_spans spans[2];
    pm_status status = pm_session_tag(s, texts, 2, NULL, spans);
    for (int i = 0; i < 2; i++) pm_spans_free(&spans[i]);
    return status;
}

static pm_status fill(pm_session *s) {
    pm_fill f = {0};
    pm_status status = pm_session_fill(s, "the [MASK] of [MASK]", 3, NULL, &f);
    pm_fill_free(&f);
    return status;
}

static pm_status embed(pm_session *s) {
    float *vectors = NULL;
    size_t width;
    pm_status status = pm_session_embed(s, texts, 2, NULL, &vectors, &width);
    pm_release(vectors);
    return status;
}

static pm_status open_picture(const char *name, pm_image *out) {
    test_path path;
    snprintf(path.s, sizeof path.s, PM_SOURCE_DIR "/tests/data/images/%s", name);
    return pm_image_open(path.s, out);
}

static pm_status see(pm_session *s) {
    pm_image images[2] = {0};
    float scores[2 * 5];
    pm_status status = open_picture("rgb.jpg", &images[0]);
    if (status == PM_OK) status = open_picture("palette.png", &images[1]);
    if (status == PM_OK) status = pm_session_see(s, images, 2, scores);
    pm_image_free(&images[0]);
    pm_image_free(&images[1]);
    return status;
}

static pm_status match(pm_session *s) {
    static const pm_match_text words[2] = {{.text = "the city"}, {.text = "abc"}};
    pm_image image = {0};
    float scores[2], cosines[2];
    pm_status status = open_picture("rgb.gif", &image);
    if (status == PM_OK) status = pm_session_match(s, &image, 1, words, 2, scores, cosines);
    pm_image_free(&image);
    return status;
}

/* ---- attention maps ---- */

static pm_status attend(pm_session *s, const pm_attend_options *o) {
    pm_attention a;
    pm_status status = pm_session_attend(s, o, &a);
    pm_attention_free(&a);
    return status;
}

static const int32_t ids[] = {5, 9, 7, 4, 11};

static pm_status attend_pair(pm_session *s) {
    return attend(s, &(pm_attend_options){.text = "the city", .pair = "of", .heads = PM_ATTEND_MEAN});
}

static pm_status attend_cross(pm_session *s) {
    return attend(
        s, &(pm_attend_options){.ids = ids, .n_ids = 3, .generate = &(pm_generate_options){.max_new = 2}});
}

static pm_status attend_globals(pm_session *s) {
    return attend(s, &(pm_attend_options){.ids = ids, .n_ids = 5, .rollout = true});
}

static pm_status attend_global_rows(pm_session *s) {
    return attend(s, &(pm_attend_options){.ids = ids, .n_ids = 5, .map = "global"});
}

static pm_status attend_segments(pm_session *s) {
    return attend(s, &(pm_attend_options){.ids = ids, .n_ids = 5, .segment = 3});
}

static pm_status attend_picture(pm_session *s) {
    pm_image image = {0};
    pm_status status = open_picture("rgb.jpg", &image);
    if (status == PM_OK) status = attend(s, &(pm_attend_options){.image = &image});
    pm_image_free(&image);
    return status;
}

static pm_status attend_sound(pm_session *s) {
    float samples[4000] = {0.5f, -0.5f, 0.25f};
    pm_sound sound = {samples, 4000, 16000};
    return attend(
        s, &(pm_attend_options){.sound = &sound, .transcribe = &(pm_transcribe_options){.max_new = 2}});
}

/* ---- batches ---- */

static pm_status generate_batch(pm_session *s) {
    const pm_ids prompts[2] = {{ids, 3}, {ids, 1}};
    pm_generated g[2];
    pm_status status =
        pm_generate_batch(s, prompts, 2, &(pm_generate_options){.max_new = 4, .no_repeat_ngram = 2}, g);
    for (int i = 0; i < 2; i++) pm_generated_free(&g[i]);
    return status;
}

static pm_status generate_batch_in_loop(pm_session *s) {
    const pm_ids prompts[2] = {{ids, 2}, {ids, 5}};
    pm_generated g[2];
    pm_generate_options o = {.max_new = 4, .ignore_eos = true, .repetition_penalty = 2};
    pm_status status = pm_generate_batch(s, prompts, 2, &o, g);
    for (int i = 0; i < 2; i++) pm_generated_free(&g[i]);
    return status;
}

static pm_status translate_batch(pm_session *s) {
    static const char *const lines[3] = {"two", "zebra", "half past one"};
    pm_translation t[3];
    pm_status status = pm_translate_batch(s, lines, 3, &(pm_generate_options){.max_new = 3}, t);
    pm_translations_free(t, 3);
    return status;
}

static pm_status run_task(void *user) {
    const row *r = user;
    test_path folder;
    pm_device *d = NULL;
    pm_model *m = NULL;
    pm_session *s = NULL;
    if (r->task == translate_batch)
        snprintf(folder.s, sizeof folder.s, "%s", r->example); /* a built-in model */
    else
        snprintf(folder.s, sizeof folder.s, PM_SOURCE_DIR "/tests/data/examples/%s", r->example);
    pm_status status = pm_device_open("reference", NULL, &d);
    if (status == PM_OK) status = pm_model_open(folder.s, &m);
    if (status == PM_OK) status = pm_session_open(m, d, &s);
    if (status == PM_OK) status = r->task(s);
    pm_session_close(s);
    pm_model_close(m);
    pm_device_close(d);
    return status;
}

static void test_tasks(void **state) {
    (void)state;
    row rows[] = {{"classify", classify}, {"tag", tag}, {"fill", fill},
                  {"embed", embed},       {"see", see}, {"match", match}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) assert_true(test_every_allocation(run_task, &rows[i]) > 100);
}

static void test_attention(void **state) {
    (void)state;
    row rows[] = {{"classify", attend_pair},
                  {"see", attend_picture},
                  {"../speech", attend_sound},
                  {"../reference/t5", attend_cross},
                  {"../reference/longformer-classify", attend_globals},
                  {"../reference/longformer-classify", attend_global_rows},
                  {"../reference/transfo-xl", attend_segments}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) assert_true(test_every_recovery(run_task, &rows[i]) > 100);
}

static void test_batches(void **state) {
    (void)state;
    row rows[] = {{"../reference/t5", generate_batch_in_loop},
                  {"../reference/llama", generate_batch},
                  {"numbers-en-zh", translate_batch}};
    for (size_t i = 0; i < PM_COUNT(rows); i++) assert_true(test_every_recovery(run_task, &rows[i]) > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_batches), cmocka_unit_test(test_tasks),
                                       cmocka_unit_test(test_attention)};
    return run_all_tests(tests);
}
