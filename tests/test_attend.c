/* Attention maps (pumice/attend.h) of every family of tests/data/reference: the numbers of PyTorch, rows that sum to 1, means and rollout worked
 * out a second time, layouts unfolded by other code, labels, and what is refused. */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "models/attend_data.h"
#include "models/tokenizer/tokenizer.h"
#include "pumice/attend.h"
#include "tests/support_compare.h"
#include "tests/support_models.h"

typedef struct family {
    test_session o;
    const char *name;
    pm_tensors *reference;
} family;

static bool open_family(pm_device *d, const char *name, family *out) {
    *out = (family){.name = name};
    if (pm_tensors_read(test_reference(name, "reference.safetensors").s, &out->reference) != PM_OK)
        return false;
    out->o = test_open_on(d, test_reference(name, NULL).s);
    return true;
}

static void close_family(family *f) {
    pm_tensors_free(f->reference);
    test_close(&f->o);
}

static double word_of(const pm_array *a, size_t i) {
    if (a->dtype == PM_I64) return (double)((const int64_t *)a->data)[i];
    if (a->dtype == PM_I32) return (double)((const int32_t *)a->data)[i];
    return (double)((const float *)a->data)[i];
}

/* ---- the numbers ---- */

/* Whether query q of the row is a token that the mask has; and is not all masked. */
static bool is_present(const family *f, const pm_attention *a, int64_t row, int64_t q) {
    const pm_array *mask = pm_tensors_get(f->reference, "in.attention_mask");
    if (!mask || a->query.kind != PM_AXIS_TOKENS || mask->dims[1] != a->n_queries) return true;
    return word_of(mask, (size_t)(row * mask->dims[1] + q)) != 0;
}

static void check_rows(const family *f, const pm_attention *a, int64_t row, bool empty_too) {
    bool sinks = strcmp(f->name, "gpt-oss") == 0;
    for (int64_t i = 0; i < a->n_layers * a->n_heads * a->n_queries; i++) {
        double sum = 0;
        for (int64_t k = 0; k < a->n_keys; k++) {
            double w = (double)a->weights[i * a->n_keys + k];
            if (!(w >= 0 && w <= 1 + 1e-5)) fail_msg("%s: a weight of %g", f->name, w);
            sum += w;
        }
        if (!is_present(f, a, row, i % a->n_queries) || (empty_too && sum == 0)) continue;
        if (sinks && !a->rollout ? !(sum > 0.01 && sum < 1) : !(fabs(sum - 1) < 1e-5))
            fail_msg("%s, map %s, row %d of the batch: row %d sums to %.8g", f->name, a->map, (int)row,
                     (int)i, sum);
    }
}

static void check_axis(const family *f, const pm_axis *axis, int64_t n) {
    assert_int_equal(axis->n, n);
    for (int64_t i = 0; i < n; i++)
        if (!axis->labels[i] || !*axis->labels[i]) fail_msg("%s: label %d is empty", f->name, (int)i);
    if (axis->kind == PM_AXIS_PATCHES) assert_int_equal(axis->n_lead + axis->rows * axis->columns, n);
}

/* CLIP's references and those of two more have none. */
static bool has_maps(const pm_tensors *reference) {
    for (size_t i = 0; i < pm_tensors_count(reference); i++)
        if (strstr(pm_tensors_at(reference, i)->name, "attentions.")) return true;
    return false;
}

/* out.<output>.<layer> of the reference, that row. */
static int compare_plain(const family *f, const char *output, int64_t row, const pm_attention *a) {
    char name[64];
    double difference = 0, norm = 0;
    for (int64_t l = 0; l < a->n_layers; l++) {
        snprintf(name, sizeof name, "out.%s.%d", output, (int)l);
        const pm_array *r = pm_tensors_get(f->reference, name);
        if (!r) fail_msg("%s: the reference has no %s", f->name, name);
        size_t elems = (size_t)(a->n_heads * a->n_queries * a->n_keys);
        assert_true(r->dims[1] == a->n_heads && r->dims[2] == a->n_queries && r->dims[3] == a->n_keys);
        for (size_t i = 0; i < elems; i++) {
            if (!is_present(f, a, row, (int64_t)i / a->n_keys % a->n_queries)) continue;
            double is = (double)a->weights[(size_t)l * elems + i],
                   expected = word_of(r, (size_t)row * elems + i);
            difference += (is - expected) * (is - expected);
            norm += expected * expected;
        }
    }
    if (!(sqrt(difference) <= TEST_TOLERANCE * sqrt(norm)))
        fail_msg("%s, map %s: off by %.3g of the norm", f->name, a->map, sqrt(difference / norm));
    return 1;
}

/* ---- parts, means and rollout, again ---- */

static const float *at(const pm_attention *a, int64_t l, int64_t h, int64_t q) {
    return a->weights + ((l * a->n_heads + h) * a->n_queries + q) * a->n_keys;
}

static void check_parts(const family *f, const pm_attend_options *all, const pm_attention *a) {
    pm_attend_options o = *all;
    pm_attention one;
    o.layers = PM_ATTEND_ONE;
    o.layer = a->n_layers - 1;
    o.heads = PM_ATTEND_ONE;
    o.head = a->n_heads - 1;
    assert_ok(pm_session_attend(f->o.s, &o, &one));
    assert_true(one.n_layers == 1 && one.n_heads == 1 && one.first_layer == o.layer &&
                one.first_head == o.head);
    size_t elems = (size_t)(a->n_queries * a->n_keys);
    for (size_t i = 0; i < elems; i++) /* a pass of one layer may be planned in another way */
        assert_true(fabsf(one.weights[i] - at(a, o.layer, o.head, 0)[i]) < 1e-5f);
    pm_attention_free(&one);
    o.layers = o.heads = PM_ATTEND_MEAN;
    assert_ok(pm_session_attend(f->o.s, &o, &one));
    assert_true(one.n_layers == 1 && one.n_heads == 1 && one.layers == PM_ATTEND_MEAN &&
                one.heads == PM_ATTEND_MEAN);
    for (size_t i = 0; i < elems; i++) {
        double mean = 0;
        for (int64_t k = 0; k < a->n_layers * a->n_heads; k++)
            mean += (double)a->weights[(size_t)k * elems + i];
        mean /= (double)(a->n_layers * a->n_heads);
        assert_true(fabs((double)one.weights[i] - mean) < 1e-6);
    }
    pm_attention_free(&one);
}

/* The mean over heads and the identity, over the row's sum. */
static double share(const pm_attention *a, int64_t l, int64_t q, int64_t k) {
    double sum = 1, is = q == k;
    for (int64_t h = 0; h < a->n_heads; h++) {
        is += (double)at(a, l, h, q)[k] / (double)a->n_heads;
        for (int64_t j = 0; j < a->n_keys; j++) sum += (double)at(a, l, h, q)[j] / (double)a->n_heads;
    }
    return is / sum;
}

/* Layers 0 .. last: from[q,k], the weight of all paths from q down to k. */
static double *roll_out(const pm_attention *a, int64_t last) {
    int64_t n = a->n_queries;
    double *now = calloc((size_t)(n * n), sizeof *now), *next = calloc((size_t)(n * n), sizeof *next);
    for (int64_t i = 0; i < n; i++) now[i * n + i] = 1;
    for (int64_t l = last; l >= 0; l--) { /* from the top: the other order */
        memset(next, 0, (size_t)(n * n) * sizeof *next);
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = 0; k < n; k++) {
                double w = share(a, l, j, k);
                for (int64_t q = 0; q < n; q++) next[q * n + k] += now[q * n + j] * w;
            }
        memcpy(now, next, (size_t)(n * n) * sizeof *now);
    }
    free(next);
    return now;
}

static void check_rollout(const family *f, const pm_attend_options *all, const pm_attention *a, int64_t row) {
    pm_attend_options o = *all;
    o.rollout = true;
    for (int64_t last = 0; last < a->n_layers; last++) {
        pm_attention r;
        o.layers = last < a->n_layers - 1 ? PM_ATTEND_ONE : PM_ATTEND_EACH;
        o.layer = last;
        assert_ok(pm_session_attend(f->o.s, &o, &r));
        assert_true(r.n_layers == 1 && r.n_heads == 1 && r.rollout && r.first_layer == last);
        check_rows(f, &r, row, false);
        double *expected = roll_out(a, last);
        for (int64_t i = 0; i < a->n_queries * a->n_queries; i++)
            if (!(fabs((double)r.weights[i] - expected[i]) < 1e-5))
                fail_msg("%s: rollout is %g, expected %g", f->name, (double)r.weights[i], expected[i]);
        free(expected);
        pm_attention_free(&r);
    }
}

/* ---- every family ---- */

static int check_map(family *f, const pm_map *map) {
    const pm_array *input = pm_tensors_get(f->reference, map->reads == PM_ATTEND_IMAGE   ? "in.pixel_values"
                                                         : map->reads == PM_ATTEND_SOUND ? "in.input_features"
                                                                                         : "in.input_ids");
    int compared = 0;
    int64_t n_rows = input ? input->dims[0] : 1; /* segments */
    for (int64_t row = 0; row<n_rows; row += n_rows> 1 ? n_rows - 1 : 1) {
        pm_attend_options o = {.map = map->name, .inputs = f->reference, .row = row};
        pm_attention a;
        pm_status s = pm_session_attend(f->o.s, &o, &a);
        if (s == PM_ERR_USAGE && map->layout == PM_LAYOUT_GLOBAL &&
            strstr(pm_error_text(), "no token of the text is"))
            continue;
        if (s != PM_OK) fail_msg("%s, map %s: %s", f->name, map->name, pm_error_text());
        assert_string_equal(a.map, map->name);
        check_axis(f, &a.query, a.n_queries);
        check_axis(f, &a.key, a.n_keys);
        check_rows(f, &a, row, map->layout == PM_LAYOUT_WINDOW);
        if (map->layout == PM_LAYOUT_PLAIN && has_maps(f->reference))
            compared += compare_plain(f, map->output, row, &a);
        check_parts(f, &o, &a);
        if (map->query == map->key && (map->layout == PM_LAYOUT_PLAIN || map->layout == PM_LAYOUT_SEGMENTS ||
                                       map->layout == PM_LAYOUT_SPARSE))
            check_rollout(f, &o, &a, row);
        assert_true((a.image.pixels != NULL) == (map->reads == PM_ATTEND_IMAGE));
        pm_attention_free(&a);
    }
    return compared;
}

static void test_families(void **state) {
    (void)state;
    pm_device *d = test_open_device("cpu");
    DIR *folder = opendir(PM_SOURCE_DIR "/tests/data/reference");
    int n_families = 0, n_compared = 0;
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder)) != NULL;) {
        family f;
        pm_map maps[PM_MAX_MAPS];
        if (*e->d_name == '.' || strchr(e->d_name, '_') || !open_family(d, e->d_name, &f)) continue;
        size_t n = pm_maps_of(f.o.m, maps);
        for (size_t i = 0; i < n; i++) n_compared += check_map(&f, &maps[i]);
        n_families++;
        close_family(&f);
    }
    closedir(folder);
    if (n_families < 84 || n_compared < 136)
        fail_msg("%d families, %d maps compared", n_families, n_compared);
    pm_device_close(d);
}

/* ---- Longformer ---- */

/* Where the row's global tokens are, by what the folders' names say where there is no mask. */
static int64_t list_globals(const family *f, int64_t row, int64_t t, int64_t *out) {
    const pm_array *global = pm_tensors_get(f->reference, "in.global_attention_mask"),
                   *mask = pm_tensors_get(f->reference, "in.attention_mask");
    int64_t n = 0;
    for (int64_t i = 0; i < t; i++) {
        size_t at_i = (size_t)(row * t + i);
        bool is = global ? word_of(global, at_i) != 0 : strcmp(f->name, "longformer-classify") == 0 && i == 0;
        if (is && word_of(mask, at_i) != 0) out[n++] = i;
    }
    return n;
}

typedef struct sparse_layer {
    const pm_array *band, *columns;
    int64_t globals[64], n, n_columns;
} sparse_layer;

/* Weight of key k in row `head * T + q` of the file: in the band, or in the column of a global token; 0 elsewhere. */
static double local_weight(const sparse_layer *s, int64_t head, int64_t q, int64_t k) {
    int64_t width = s->band->dims[3], reach = (width - s->n_columns - 1) / 2, j = k - q + reach;
    size_t row = (size_t)((head * s->band->dims[2] + q) * width);
    for (int64_t i = 0; i < s->n; i++)
        if (s->globals[i] == k) return word_of(s->band, row + (size_t)i);
    return j >= 0 && j <= 2 * reach ? word_of(s->band, row + (size_t)(s->n_columns + j)) : 0;
}

static double sparse_weight(const sparse_layer *s, int64_t head, int64_t q, int64_t k) {
    for (int64_t i = 0; i < s->n; i++)
        if (s->globals[i] == q)
            return word_of(s->columns, (size_t)((head * s->columns->dims[2] + k) * s->n_columns + i));
    return local_weight(s, head, q, k);
}

static void check_longformer_layer(const family *f, const pm_attention *a, int64_t row, int64_t l) {
    char text[64];
    sparse_layer s = {0};
    int64_t t = a->n_keys;
    s.n = list_globals(f, row, t, s.globals);
    snprintf(text, sizeof text, "out.attentions.%d", (int)l);
    s.band = pm_tensors_get(f->reference, text);
    snprintf(text, sizeof text, "out.global_attentions.%d", (int)l);
    s.columns = pm_tensors_get(f->reference, text);
    s.n_columns = s.columns ? s.columns->dims[3] : 0;
    for (int64_t i = 0; i < a->n_heads * t * t; i++) {
        int64_t h = i / t / t, q = i / t % t, k = i % t;
        double is = (double)at(a, l, h, q)[k], expected = sparse_weight(&s, row * a->n_heads + h, q, k);
        if (!(fabs(is - expected) < 1e-5))
            fail_msg("%s: layer %d, head %d, query %d, key %d: %g, expected %g", f->name, (int)l, (int)h,
                     (int)q, (int)k, is, expected);
    }
}

static void check_longformer(pm_device *d, const char *name) {
    family f;
    assert_true(open_family(d, name, &f));
    int64_t n_rows = pm_tensors_get(f.reference, "in.input_ids")->dims[0];
    for (int64_t row = 0; row < n_rows; row++) {
        pm_attention a;
        assert_ok(pm_session_attend(f.o.s, &(pm_attend_options){.inputs = f.reference, .row = row}, &a));
        for (int64_t l = 0; l < a.n_layers; l++) check_longformer_layer(&f, &a, row, l);
        pm_attention_free(&a);
    }
    close_family(&f);
}

static void test_longformer(void **state) {
    (void)state;
    static const char *const names[] = {"longformer",       "longformer-globals",  "longformer-none",
                                        "longformer-short", "longformer-classify", "longformer-ner"};
    pm_device *d = test_open_device("cpu");
    for (size_t i = 0; i < PM_COUNT(names); i++) check_longformer(d, names[i]);
    pm_device_close(d);
}

/* ---- Transformer-XL ---- */

/* The reference's segments of 6 see the last 8 tokens before them: query q of segment s is token 6 s + q, key k of it token 6 s - memory + k. */
static void test_segments(void **state) {
    (void)state;
    pm_device *d = test_open_device("cpu");
    family f;
    pm_attention a, b;
    int32_t ids[18];
    assert_true(open_family(d, "transfo-xl", &f));
    assert_ok(pm_session_attend(f.o.s, &(pm_attend_options){.inputs = f.reference}, &a));
    assert_true(a.n_queries == 18 && a.n_keys == 18);
    for (int64_t s = 0; s < 3; s++) {
        char name[64];
        snprintf(name, sizeof name, "in.segment.%d", (int)s);
        for (size_t i = 0; i < 6; i++)
            ids[6 * s + (int64_t)i] = (int32_t)word_of(pm_tensors_get(f.reference, name), i);
        for (int64_t l = 0; l < a.n_layers; l++) {
            snprintf(name, sizeof name, "out.attentions.%d.%d", (int)s, (int)l);
            const pm_array *r = pm_tensors_get(f.reference, name);
            int64_t memory = r->dims[3] - 6;
            for (int64_t i = 0; i < r->dims[1] * 6 * r->dims[3]; i++) {
                int64_t k = i % r->dims[3], q = i / r->dims[3] % 6, h = i / r->dims[3] / 6;
                assert_true(
                    fabs((double)at(&a, l, h, 6 * s + q)[6 * s - memory + k] - word_of(r, (size_t)i)) < 1e-5);
            }
        }
    }
    pm_attend_options o = {.ids = ids, .n_ids = 18, .segment = 6};
    assert_ok(pm_session_attend(f.o.s, &o, &b));
    assert_memory_equal(a.weights, b.weights, (size_t)(a.n_layers * a.n_heads * 18 * 18) * sizeof(float));
    pm_attention_free(&b);
    pm_attention_free(&a);
    close_family(&f);
    pm_device_close(d);
}

/* ---- texts, pictures, sound ---- */

static void test_picture(void **state) {
    (void)state;
    test_session o = test_open(PM_SOURCE_DIR "/tests/data/examples/see", "cpu");
    pm_image image;
    pm_attention a;
    assert_ok(pm_image_open(PM_SOURCE_DIR "/tests/data/images/rgb.png", &image));
    assert_ok(pm_session_attend(o.s, &(pm_attend_options){.image = &image}, &a));
    assert_true(a.query.kind == PM_AXIS_PATCHES && a.query.n_lead >= 1 && a.image.pixels);
    assert_string_equal(a.query.labels[0], "[class]");
    assert_string_equal(a.query.labels[a.query.n_lead], "0,0");
    double sum[2] = {0};
    for (int64_t i = 0; i < a.image.width * a.image.height * a.image.channels; i++)
        sum[0] += a.image.pixels[i];
    for (int64_t i = 0; i < image.width * image.height * image.channels; i++) sum[1] += image.pixels[i];
    sum[0] /= (double)(a.image.width * a.image.height * a.image.channels);
    sum[1] /= (double)(image.width * image.height * image.channels);
    assert_true(fabs(sum[0] - sum[1]) <
                12); /* the colours are those of the file, not of what the model computes with */
    pm_attention_free(&a);
    assert_int_equal(pm_session_attend(o.s, &(pm_attend_options){.text = "x"}, &a), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "a picture"));
    pm_image_free(&image);
    test_close(&o);
}

/* What the decoder is fed with is what transcription chose: another pass on it chooses the same ids. */
static void test_sound(void **state) {
    (void)state;
    test_session o = test_open(PM_SOURCE_DIR "/tests/data/speech", "cpu");
    pm_sound sound;
    pm_attention a, b;
    assert_ok(pm_sound_open(PM_SOURCE_DIR "/tests/data/audio/chirp.wav", 0, &sound));
    assert_ok(pm_session_attend(o.s, &(pm_attend_options){.sound = &sound}, &a));
    assert_true(a.key.kind == PM_AXIS_FRAMES && a.query.kind == PM_AXIS_TOKENS && a.text);
    assert_string_equal(a.key.labels[0], "0.00 s");
    assert_string_equal(a.key.labels[1], "0.02 s");
    pm_transcript t;
    assert_ok(pm_transcribe(o.s, &sound, NULL, &t));
    size_t n = 0;
    for (size_t i = 0; i < t.n_segments; i++) n += t.segments[i].n_ids;
    if (t.seconds <= 1) assert_true((size_t)a.n_queries > n && (size_t)a.n_queries <= n + 8);
    pm_transcript_free(&t);
    pm_attend_options again = {.sound = &sound, .map = "encoder"};
    assert_ok(pm_session_attend(o.s, &again, &b));
    assert_true(b.n_queries == a.n_keys && b.n_keys == a.n_keys);
    pm_attention_free(&b);
    pm_attention_free(&a);
    pm_sound_free(&sound);
    test_close(&o);
}

static void test_clip(void **state) {
    (void)state;
    test_session o = test_open(PM_SOURCE_DIR "/tests/data/examples/match", "cpu");
    pm_image image;
    pm_attention a;
    assert_ok(pm_image_open(PM_SOURCE_DIR "/tests/data/images/rgb.png", &image));
    assert_ok(pm_session_attend(o.s, &(pm_attend_options){.image = &image}, &a));
    assert_string_equal(a.map, "vision");
    pm_attention_free(&a);
    assert_ok(pm_session_attend(o.s, &(pm_attend_options){.text = "a photo of a cat"}, &a));
    assert_string_equal(a.map, "text");
    pm_attention_free(&a);
    pm_attend_input reads;
    assert_ok(pm_model_attend_input(o.m, "vision", &reads));
    assert_int_equal(reads, PM_ATTEND_IMAGE);
    assert_int_equal(pm_model_attend_input(o.m, "cross", &reads), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "vision or text"));
    pm_image_free(&image);
    test_close(&o);
}

/* ---- labels ---- */

static void expect_visible(const char *bytes, size_t n, const char *expected) {
    pm_text t = {0};
    pm_add_visible(&t, bytes, n);
    assert_ok(pm_text_status(&t));
    assert_string_equal(t.data, expected);
    pm_text_free(&t);
}
#define VISIBLE(bytes, expected) expect_visible(bytes, sizeof(bytes) - 1, expected)

static void test_labels(void **state) {
    (void)state;
    VISIBLE("word", "word");
    VISIBLE(" the", "\xE2\x90\xA3the");
    VISIBLE("  ", "\xE2\x90\xA3\xE2\x90\xA3");
    VISIBLE("a b ", "a b\xE2\x90\xA3");
    VISIBLE("\n\t\r", "\\n\\t\\r");
    VISIBLE("\x01", "\\x01");
    VISIBLE("a\0b", "a\\x00"
                    "b");
    VISIBLE("\xE4\xB8", "\\xE4\\xB8");
    VISIBLE("\xE4\xB8\xAD", "\xE4\xB8\xAD");
    VISIBLE("\xE2\x80\xAE", "\\u202E");
    VISIBLE("\xCC\x81", "\xE2\x97\x8C\xCC\x81");
    VISIBLE("e\xCC\x81", "e\xCC\x81");
    VISIBLE("\xE2\x80\xA8", "\\u2028");
    VISIBLE("\xEF\xBF\xBE", "\\uFFFE");
    VISIBLE("<&\"'>", "<&\"'>");
}

/* ---- what is refused ---- */

static void refuse(pm_session *s, pm_attend_options o, const char *words) {
    pm_attention a;
    assert_int_equal(pm_session_attend(s, &o, &a), PM_ERR_USAGE);
    if (!strstr(pm_error_text(), words)) fail_msg("\"%s\" lacks \"%s\"", pm_error_text(), words);
    assert_null(a.weights);
}

static void test_refused(void **state) {
    (void)state;
    test_session o = test_open(test_reference("gpt2", NULL).s, "cpu");
    const int32_t ids[] = {5, 9, 7};
    int32_t many[65] = {0};
    pm_attend_options three = {.ids = ids, .n_ids = 3}, other;
#define WITH(...) (other = three, __VA_ARGS__, other)
    refuse(o.s, WITH(other.map = "cross"), "map is \"cross\", expected decoder");
    refuse(o.s, WITH(other.layers = PM_ATTEND_ONE, other.layer = 2),
           "layer is 2, the model has layers 0 to 1");
    refuse(o.s, WITH(other.heads = PM_ATTEND_ONE, other.head = -1), "head is -1, the model has heads 0 to 3");
    refuse(o.s, WITH(other.ids = many, other.n_ids = 65), "65 tokens, expected at most 64");
    refuse(o.s, WITH(other.n_ids = 0), "no ids");
    refuse(o.s, WITH(other.ids = (int32_t[]){5, 1 << 20, 1}), "1048576");
    refuse(o.s, WITH(other.text = "x"), "expected one and nothing else");
    refuse(o.s, WITH(other.rollout = true, other.layers = PM_ATTEND_MEAN), "mean is not expected");
    refuse(o.s, WITH(other.pair = "x"), "pair is not expected");
    refuse(o.s, WITH(other.target = ids, other.n_target = 3), "target is not expected");
    refuse(o.s, WITH(other.segment = 2), "segment is not expected");
    refuse(o.s, WITH(other.generate = &(pm_generate_options){.to = "fr"}), "from or to is not expected");
    test_close(&o);
    o = test_open(test_reference("t5", NULL).s, "cpu");
    refuse(o.s, WITH(other.rollout = true), "map \"cross\" is not");
    refuse(o.s, WITH(other.target = ids, other.n_target = 0), "no ids");
    test_close(&o);
    o = test_open(test_reference("longformer-none", NULL).s, "cpu");
    refuse(o.s, WITH(other.map = "global"), "no token of the text is");
    test_close(&o);
    o = test_open(test_reference("vit", NULL).s, "cpu");
    refuse(o.s, three, "made from a picture");
    test_close(&o);
    o = test_open(test_reference("transfo-xl", NULL).s, "cpu");
    refuse(o.s, WITH(other.segment = -3), "segment is -3");
    test_close(&o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families), cmocka_unit_test(test_longformer), cmocka_unit_test(test_segments),
        cmocka_unit_test(test_picture),  cmocka_unit_test(test_sound),      cmocka_unit_test(test_clip),
        cmocka_unit_test(test_labels),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
