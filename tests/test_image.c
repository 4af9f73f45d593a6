/* Pictures: files to pixels, PIL's resizing to the last bit, what preprocessor_config.json says, classes and comparison.
 * tests/data/images has the pictures and what PIL and Hugging Face's processors make of them. Most needs no device; the
 * models run on the CPU. */
#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#include "pumice/image.h"
#include "tests/support_models.h"

#define IMAGES PM_SOURCE_DIR "/tests/data/images/"

static const char *path_of(const char *name) {
    static char path[TEST_PATH];
    snprintf(path, sizeof path, IMAGES "%s", name);
    return path;
}

static pm_tensors *expected_set(void) {
    pm_tensors *set;
    assert_ok(pm_tensors_read(path_of("expected.safetensors"), &set));
    return set;
}

static const pm_array *expected_array(const pm_tensors *set, const char *name) {
    const pm_array *a = pm_tensors_get(set, name);
    if (!a) fail_msg("%s: is not in expected.safetensors", name);
    return a;
}

static void expect_pixels(const pm_tensors *set, const char *name, const pm_image *is, int tolerance) {
    const pm_array *a = expected_array(set, name);
    assert_int_equal(a->dims[0], is->height);
    assert_int_equal(a->dims[1], is->width);
    for (int64_t i = 0; i < is->height * is->width; i++)
        for (int64_t c = 0; c < a->dims[2];
             c++) { /* gray files are compared with each of three equal channels */
            int x = is->pixels[i * is->channels + (is->channels == 1 ? 0 : c)];
            int y = ((const uint8_t *)a->data)[i * a->dims[2] + c];
            if (abs(x - y) > tolerance) fail_msg("%s: pixel %d is %d, expected %d", name, (int)i, x, y);
        }
}

/* ---- files ---- */

static void test_files(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int channels, tolerance;
    } rows[] = {{"rgb.png", 3, 0},    {"alpha.png", 3, 0}, {"gray.png", 1, 0}, {"palette.png", 3, 0},
                {"bits.png", 1, 0},   {"rgb.bmp", 3, 0},   {"rgb.ppm", 3, 0},  {"rgb.gif", 3, 0},
                {"gray16.png", 1, 0}, {"rgb.jpg", 3, 24}}; /* against the picture before it was compressed */
    pm_tensors *set = expected_set();
    for (size_t i = 0; i < PM_COUNT(rows); i++) {
        pm_image image;
        assert_ok(pm_image_open(path_of(rows[i].name), &image));
        assert_int_equal(image.channels, rows[i].channels);
        expect_pixels(set, rows[i].name, &image, rows[i].tolerance);
        pm_image_free(&image);
    }
    pm_tensors_free(set);
}

static void expect_refused(const char *what, const void *data, size_t bytes, const char *word) {
    pm_image image;
    pm_status s = pm_image_decode(what, data, bytes, &image);
    if (s != PM_ERR_FILE) fail_msg("%s: status %d with %zu bytes", what, (int)s, bytes);
    assert_null(image.pixels);
    if (!strstr(pm_error_text(), what) || !strstr(pm_error_text(), word))
        fail_msg("%s: the error is: %s", what, pm_error_text());
}

/* The segments of Huffman tables: with more codes than bytes there are, and left out. */
static void test_bad_jpeg(void **state) {
    (void)state;
    size_t bytes, n_tables = 0;
    unsigned char *data = test_read_file(path_of("rgb.jpg"), &bytes);
    for (size_t i = 2; i + 20 < bytes && data[i] == 0xFF && data[i + 1] != 0xDA;
         i += 2 + ((size_t)data[i + 2] << 8 | data[i + 3])) {
        if (data[i + 1] != 0xC4) continue;
        unsigned char codes = data[i + 20];
        data[i + 20] = 255;
        expect_refused("rgb.jpg", data, bytes, "Huffman table of more than 256 codes");
        data[i + 20] = codes;
        data[i + 1] = 0xFE; /* a comment */
        expect_refused("rgb.jpg", data, bytes, "a Huffman table that it does not have");
        n_tables++;
        break;
    }
    assert_int_equal(n_tables, 1);
    free(data);
}

/* A decoder's words are given on where they can be read. */
static void test_unreadable_reason(void **state) {
    (void)state;
    size_t bytes;
    unsigned char *data = test_read_file(path_of("rgb.png"), &bytes);
    memcpy(data + 37, "\x01\xFFHQ", 4); /* the name of the chunk behind the header */
    expect_refused("rgb.png", data, bytes, "rgb.png: cannot be decoded, expected a whole");
    free(data);
    data = test_read_file(path_of("palette.png"), &bytes);
    data[96] ^= 1; /* the decoder has an empty text for it */
    expect_refused("palette.png", data, bytes, "palette.png: cannot be decoded, expected a whole");
    free(data);
}

static void test_bad_files(void **state) {
    (void)state;
    static const char *const names[] = {"rgb.png", "alpha.png", "rgb.jpg",
                                        "rgb.bmp", "rgb.ppm",   "palette.png"};
    for (size_t i = 0; i < PM_COUNT(names); i++) { /* cut anywhere: an error, never a half picture */
        size_t bytes;
        unsigned char *data = test_read_file(path_of(names[i]), &bytes);
        size_t last =
            strstr(names[i], "png") ? bytes - 16 : bytes - 2; /* PNG's pixels end before its last chunk */
        for (size_t n = 0; n < last; n += 1 + n / 16) expect_refused(names[i], data, n, "expected");
        free(data);
    }
    expect_refused("text", "no picture at all", 17, "expected a whole");
    /* a header of 65535 x 65535 pixels without any */
    static const unsigned char huge[] = {'B', 'M',  0,    0, 0, 0,    0,    0, 0, 0, 54, 0,  0, 0, 40, 0, 0,
                                         0,   0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 1, 0,  24, 0, 0, 0,  0, 0,
                                         0,   0,    0,    0, 0, 0,    0,    0, 0, 0, 0,  0,  0, 0, 0,  0, 0};
    expect_refused("huge", huge, sizeof huge, "65535 x 65535");
    pm_image image;
    assert_int_equal(pm_image_open(path_of("nothing.png"), &image), PM_ERR_FILE);
}

/* ---- resizing ---- */

static void test_resize(void **state) {
    (void)state;
    static const int sizes[][2] = {{37, 23}, {1, 1}, {16, 16}, {80, 7}, {5, 61}, {37, 40}, {90, 23}};
    pm_tensors *set = expected_set();
    pm_image image, resized;
    assert_ok(pm_image_open(path_of("rgb.png"), &image));
    for (int f = PM_RESAMPLE_NEAREST; f <= PM_RESAMPLE_HAMMING; f++)
        for (size_t i = 0; i < PM_COUNT(sizes); i++) {
            char name[64];
            snprintf(name, sizeof name, "resize %d %d %d", f, sizes[i][0], sizes[i][1]);
            assert_ok(pm_image_resize(&image, sizes[i][0], sizes[i][1], (pm_resample)f, &resized));
            expect_pixels(set, name, &resized, 0);
            pm_image_free(&resized);
        }
    assert_int_equal(pm_image_resize(&image, 0, 5, PM_RESAMPLE_BILINEAR, &resized), PM_ERR_USAGE);
    assert_int_equal(pm_image_resize(&image, 5, -1, PM_RESAMPLE_NEAREST, &resized), PM_ERR_USAGE);
    assert_int_equal(pm_image_resize(&image, 5, 5, (pm_resample)6, &resized), PM_ERR_USAGE);
    pm_image_free(&image);
    pm_tensors_free(set);
}

/* ---- rules ---- */

/* A copy of a model with a file of rules, which is made of those at `name`, or is `text`. */
static test_path model_with_rules(const char *model, const char *file, const char *name, const char *text) {
    test_path folder = test_copy_model(model), to = test_join(&folder, file);
    size_t bytes = text ? strlen(text) : 0;
    unsigned char *data = text ? NULL : test_read_file(path_of(name ? name : ""), &bytes);
    test_write_file(to.s, text ? (const void *)text : data, bytes);
    free(data);
    return folder;
}

static void expect_prepared(const pm_tensors *set, const char *name, const pm_image *image,
                            const pm_image_rules *r) {
    char full[64];
    snprintf(full, sizeof full, "prepared %s", name);
    const pm_array *a = expected_array(set, full);
    float *is;
    int64_t h, w;
    assert_ok(pm_image_prepare(image, r, &is, &h, &w));
    assert_true(a->dims[0] == r->channels && a->dims[1] == h && a->dims[2] == w);
    for (int64_t i = 0; i < a->dims[0] * h * w; i++) {
        float y = ((const float *)a->data)[i];
        if (!(fabsf(is[i] - y) <= 4e-6f * fmaxf(1, fabsf(y)))) /* a few roundings, in another order */
            fail_msg("%s: number %d is %g, expected %g", name, (int)i, (double)is[i], (double)y);
    }
    pm_release(is);
}

static void test_rules(void **state) {
    (void)state;
    static const char *const names[] = {"vit", "clip", "pad", "plain", "raw", "factor"};
    pm_tensors *set = expected_set();
    pm_image image;
    assert_ok(pm_image_open(path_of("rgb.png"), &image));
    for (size_t i = 0; i < PM_COUNT(names); i++) {
        char file[64];
        pm_model *m;
        pm_image_rules rules;
        snprintf(file, sizeof file, "%s.json", names[i]);
        test_path folder = model_with_rules("vit", "preprocessor_config.json", file, NULL);
        assert_ok(pm_model_open(folder.s, &m));
        assert_ok(pm_model_image_rules(m, &rules));
        expect_prepared(set, names[i], &image, &rules);
        pm_model_close(m);
    }
    pm_image_free(&image);
    pm_tensors_free(set);
}

static pm_status read_rules(const char *model, const char *file, const char *text, pm_image_rules *out) {
    pm_model *m;
    test_path folder = model_with_rules(model, file, NULL, text);
    assert_ok(pm_model_open(folder.s, &m));
    pm_status s = pm_model_image_rules(m, out);
    pm_model_close(m);
    return s;
}

static void test_forms(void **state) {
    (void)state;
    static const char own[] = "preprocessor_config.json";
    pm_image_rules r;
    assert_ok(read_rules("vit", own, "{\"size\":7}", &r)); /* ViT's defaults */
    assert_true(r.height == 7 && r.width == 7 && !r.shortest && !r.crop_height);
    assert_true(r.filter == PM_RESAMPLE_BILINEAR && r.mean[2] == 0.5f && r.deviation[0] == 0.5f);
    assert_ok(read_rules("vit", own,
                         "{\"feature_extractor_type\":\"CLIPFeatureExtractor\",\"size\":9,\"crop_size\":8,"
                         "\"image_mean\":[0.1],\"image_std\":2}",
                         &r));
    assert_true(r.shortest == 9 && !r.height && r.crop_height == 8 && r.crop_width == 8);
    assert_true(r.filter == PM_RESAMPLE_BICUBIC && r.mean[2] == 0.1f && r.deviation[1] == 2);
    assert_ok(read_rules("vit", "processor_config.json",
                         "{\"image_processor\":{\"do_resize\":false,\"resample\":0}}", &r));
    assert_true(!r.height && !r.shortest && r.filter == PM_RESAMPLE_NEAREST);
    static const char *const bad[][2] = {
        {"{\"size\":{\"longest_edge\":9}}", "size is not supported"},
        {"{\"size\":0}", "size"},
        {"{\"size\":7,\"resample\":6}", "resample"},
        {"{\"size\":7,\"image_mean\":[1,2]}", "image_mean"},
        {"{\"size\":7,\"image_std\":[1,0,1]}", "image_std"},
        {"{\"size\":7,\"do_center_crop\":true}", "crop_size"},
        {"{\"size\":7,\"rescale_factor\":\"x\"}", "rescale_factor"},
        {"{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":7}", "image_mean"},
    };
    for (size_t i = 0; i < PM_COUNT(bad); i++) {
        assert_int_equal(read_rules("vit", own, bad[i][0], &r), PM_ERR_FILE);
        if (!strstr(pm_error_text(), bad[i][1])) fail_msg("%s: %s", bad[i][0], pm_error_text());
    }
    assert_int_equal(read_rules("vit", "other.json", "{}", &r), PM_ERR_FILE);
    assert_int_equal(read_rules("gpt2", own, "{}", &r), PM_ERR_USAGE);
}

/* ---- models ---- */

static void test_see(void **state) {
    (void)state;
    pm_image images[3];
    pm_model_info info;
    float together[3 * 5], alone[5];
    test_path folder = model_with_rules("vit", "preprocessor_config.json", NULL, "{\"size\":32}");
    test_session o = test_open(folder.s, "cpu");
    pm_model_get_info(o.m, &info);
    assert_int_equal(info.n_labels, 5);
    assert_string_equal(pm_model_label(o.m, 4), "LABEL_4");
    assert_null(pm_model_label(o.m, 5));
    assert_ok(pm_image_open(path_of("rgb.png"), &images[0]));
    assert_ok(pm_image_open(path_of("gray16.png"), &images[1])); /* a gray picture becomes three channels */
    assert_ok(pm_image_open(path_of("palette.png"), &images[2]));
    assert_ok(pm_session_see(o.s, images, 3, together));
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        assert_ok(pm_session_see(o.s, &images[i], 1, alone));
        for (int k = 0; k < 5; k++) {
            sum += (double)alone[k];
            assert_true(fabsf(alone[k] - together[i * 5 + k]) < 1e-6f);
        }
        assert_true(fabs(sum - 1) < 1e-6);
        assert_true(memcmp(alone, together + (i + 1) % 3 * 5, sizeof alone) != 0);
    }
    assert_int_equal(pm_session_see(o.s, images, 0, alone), PM_ERR_USAGE);
    for (int i = 0; i < 3; i++) pm_image_free(&images[i]);
    test_close(&o);
}

static void test_match(void **state) {
    (void)state;
    static const char rules[] = "{\"size\":32,\"do_normalize\":false}";
    static const int32_t first[] = {1, 5, 9, 60}, second[] = {1, 7, 60};
    const pm_match_text texts[] = {{NULL, first, 4}, {NULL, second, 3}, {"a cat", NULL, 0}};
    pm_image image;
    float scores[2], cosines[2], alone, by_itself;
    test_path folder = model_with_rules("clip", "preprocessor_config.json", NULL, rules);
    test_session o = test_open(folder.s, "cpu");
    assert_ok(pm_image_open(path_of("rgb.png"), &image));
    assert_ok(pm_session_match(o.s, &image, 1, texts, 2, scores, cosines));
    assert_true(fabsf(scores[0] + scores[1] - 1) < 1e-6f);
    assert_true((scores[0] > scores[1]) == (cosines[0] > cosines[1]) && fabsf(cosines[0]) <= 1);
    assert_ok(pm_session_match(o.s, &image, 1, texts + 1, 1, &alone,
                               &by_itself)); /* without the longer text's padding */
    assert_true(alone == 1 && fabsf(by_itself - cosines[1]) < 1e-5f);
    assert_int_equal(pm_session_match(o.s, &image, 1, texts + 2, 1, scores, cosines),
                     PM_ERR_USAGE); /* no tokenizer */
    assert_int_equal(pm_session_see(o.s, &image, 1, scores), PM_ERR_USAGE);
    pm_image_free(&image);
    test_close(&o);
}

/* ---- idx files ---- */

static void test_idx(void **state) {
    (void)state;
    static const unsigned char pictures[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0,
                                             1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    test_path folder = test_folder(), plain = test_join(&folder, "idx3"),
              packed = test_join(&folder, "idx3.gz");
    pm_idx f;
    test_write_file(plain.s, pictures, sizeof pictures);
    gzFile z = gzopen(packed.s, "wb");
    assert_int_equal(gzwrite(z, pictures, sizeof pictures), sizeof pictures);
    gzclose(z);
    for (int i = 0; i < 2; i++) {
        assert_ok(pm_idx_open(i ? packed.s : plain.s, 3, &f));
        pm_image image = pm_idx_image(&f, 1);
        assert_true(f.n == 2 && image.width == 3 && image.height == 1 && image.channels == 1 &&
                    image.pixels[2] == 6);
        pm_idx_free(&f);
    }
    assert_int_equal(pm_idx_open(plain.s, 1, &f), PM_ERR_FILE); /* pictures are no labels */
    for (size_t n = 0; n < sizeof pictures; n++) {
        test_write_file(plain.s, pictures, n);
        assert_int_equal(pm_idx_open(plain.s, 3, &f), PM_ERR_FILE);
    }
    assert_int_equal(pm_idx_open("/nowhere", 3, &f), PM_ERR_FILE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),    cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_bad_jpeg), cmocka_unit_test(test_unreadable_reason),
        cmocka_unit_test(test_resize),   cmocka_unit_test(test_rules),
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_see),
        cmocka_unit_test(test_match),    cmocka_unit_test(test_idx),
    };
    return run_all_tests(tests);
}
