/* Pictures through a model (pumice/image.h): prepared into one batch, run, and what comes out as shares. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/arch.h"
#include "models/convert.h"
#include "models/image.h"
#include "models/labels.h"
#include "models/session.h"
#include "models/text_run.h"

/* ---- inputs ---- */

static pm_status check_size(const pm_model *m, const int64_t size[2], const int64_t first[2]) {
    const pm_signal *signal = &m->spec.signal;
    const int64_t *expected = signal->smallest ? first : signal->dims + 1;
    if (size[0] == expected[0] && size[1] == expected[1]) return PM_OK;
    return pm_raise(PM_ERR_FILE,
                    "preprocessor_config.json: makes a picture of height %" PRId64 " and width %" PRId64
                    ", %s %" PRId64 " and %" PRId64,
                    size[0], size[1],
                    signal->smallest ? "expected the same for all of a batch," : "the model takes",
                    expected[0], expected[1]);
}

/* All of a batch into one array of the set, which is made when the size of the first is known. */
static pm_status add_images(const pm_model *m, const pm_image *images, size_t n, pm_tensors *set) {
    pm_image_rules rules;
    pm_array a = {
        .name = "in.pixel_values", .dtype = PM_F32, .rank = 4, .dims = {(int64_t)n, m->spec.signal.dims[0]}};
    float *to = NULL;
    PM_TRY(pm_model_image_rules(m, &rules));
    for (size_t i = 0; i < n; i++) {
        int64_t size[2] = {0};
        float *one;
        void *data = NULL;
        PM_TRY(pm_image_prepare(&images[i], &rules, &one, &size[0], &size[1]));
        if (i == 0) memcpy(a.dims + 2, size, sizeof size);
        pm_status s = check_size(m, size, a.dims + 2);
        if (s == PM_OK && i == 0) {
            s = pm_tensors_add(set, &a, &data);
            to = data;
        }
        size_t elems = (size_t)(a.dims[1] * size[0] * size[1]);
        if (s == PM_OK) {
            memcpy(to + i * elems, one, elems * sizeof *one);
            pm_words_to_file(to + i * elems, elems);
        }
        pm_free(one);
        PM_TRY(s);
    }
    return PM_OK;
}

pm_status pm_model_image_inputs(const pm_model *m, const pm_image *images, size_t n,
                                pm_tensors **out_inputs) {
    pm_tensors *set = NULL;
    *out_inputs = NULL;
    if (n < 1 || n > 65536) return pm_raise(PM_ERR_USAGE, "pictures: %zu in a batch, expected 1..65536", n);
    PM_TRY(pm_tensors_create(&set));
    pm_status s = add_images(m, images, n, set);
    if (s == PM_OK)
        *out_inputs = set;
    else
        pm_tensors_free(set);
    return s;
}

/* ---- classes ---- */

static void softmax_rows(float *x, size_t rows, size_t n) {
    for (size_t r = 0; r < rows; r++, x += n) pm_softmax_row(x, (int64_t)n, x);
}

/* Copies an output of rows x n numbers. */
static pm_status take(const pm_tensors *set, const char *name, size_t rows, size_t n, float *out) {
    const pm_array *a = pm_tensors_get(set, name);
    if (!a || a->rank != 2 || a->dims[0] != (int64_t)rows || a->dims[1] != (int64_t)n)
        return pm_raise(PM_ERR_OTHER, "%s: is not there with %zu x %zu numbers", name, rows, n);
    return pm_convert_f32(a, out);
}

pm_status pm_session_see(pm_session *s, const pm_image *images, size_t n, float *out_scores) {
    const pm_model *m = s->model;
    pm_tensors *inputs = NULL, *outputs = NULL;
    pm_status status;
    if (strcmp(m->arch->task, "see") != 0)
        return pm_raise(PM_ERR_USAGE, "%s: its task is %s, expected a classifier of pictures", m->files.path,
                        m->arch->task);
    size_t classes = (size_t)m->spec.n_labels;
    PM_TRY(pm_model_image_inputs(m, images, n, &inputs));
    status = pm_session_run(s, inputs, "logits", &outputs);
    if (status == PM_OK) status = take(outputs, "out.logits", n, classes, out_scores);
    if (status == PM_OK) softmax_rows(out_scores, n, classes);
    pm_tensors_free(inputs);
    pm_tensors_free(outputs);
    return status;
}

/* ---- pictures and texts ---- */

typedef struct text_ids {
    int32_t *ids; /* freed with pm_free */
    size_t n;
} text_ids;

static pm_status read_text(const pm_model *m, const pm_match_text *t, text_ids *out) {
    size_t most = (size_t)m->spec.max_positions;
    if (t->text) {
        PM_TRY(pm_model_encode(m, t->text, &out->ids, &out->n));
    } else {
        out->ids = pm_calloc(t->n_ids, sizeof *out->ids);
        if (!out->ids) return PM_ERR_MEMORY;
        if (t->n_ids) memcpy(out->ids, t->ids, t->n_ids * sizeof *out->ids);
        out->n = t->n_ids;
    }
    if (!out->n) return pm_raise(PM_ERR_USAGE, "text \"%.60s\": has no ids", t->text ? t->text : "");
    if (out->n > most)
        out->ids[most - 1] = out->ids[out->n - 1]; /* the end stays: pictures are compared there */
    if (out->n > most) out->n = most;
    return PM_OK;
}

/* Rows of equal length: a text's last id, which is its end, is repeated and masked. */
static pm_status add_rows(pm_tensors *set, const text_ids *texts, size_t n) {
    size_t longest = 1;
    for (size_t i = 0; i < n; i++) longest = texts[i].n > longest ? texts[i].n : longest;
    pm_array ids = {
        .name = "in.input_ids", .dtype = PM_I32, .rank = 2, .dims = {(int64_t)n, (int64_t)longest}};
    pm_array mask = ids;
    mask.name = "in.attention_mask";
    void *to[2];
    PM_TRY(pm_tensors_add(set, &ids, &to[0]));
    PM_TRY(pm_tensors_add(set, &mask, &to[1]));
    int32_t *id = to[0], *present = to[1];
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < longest; k++) {
            *id++ = texts[i].ids[k < texts[i].n ? k : texts[i].n - 1];
            *present++ = k < texts[i].n;
        }
    for (int i = 0; i < 2; i++) pm_words_to_file(to[i], n * longest);
    return PM_OK;
}

static pm_status add_texts(const pm_model *m, const pm_match_text *texts, size_t n, pm_tensors *set) {
    text_ids *rows = pm_calloc(n, sizeof *rows);
    pm_status s = rows ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < n; i++) s = read_text(m, &texts[i], &rows[i]);
    if (s == PM_OK) s = add_rows(set, rows, n);
    for (size_t i = 0; rows && i < n; i++) pm_free(rows[i].ids);
    pm_free(rows);
    return s;
}

/* cosines[images][texts]: both vectors have length 1 already. */
static pm_status compare(const pm_tensors *set, size_t n_images, size_t n_texts, float *out) {
    const pm_array *image = pm_tensors_get(set, "out.image_embeds"),
                   *text = pm_tensors_get(set, "out.text_embeds");
    if (!image || !text) return pm_raise(PM_ERR_OTHER, "out.image_embeds or out.text_embeds is missing");
    size_t width = (size_t)image->dims[1];
    for (size_t i = 0; i < n_images; i++)
        for (size_t k = 0; k < n_texts; k++) {
            const float *a = (const float *)image->data + i * width,
                        *b = (const float *)text->data + k * width;
            double sum = 0;
            for (size_t j = 0; j < width; j++) sum += (double)a[j] * (double)b[j];
            out[i * n_texts + k] = (float)sum;
        }
    return PM_OK;
}

pm_status pm_session_match(pm_session *s, const pm_image *images, size_t n_images, const pm_match_text *texts,
                           size_t n_texts, float *out_scores, float *out_cosines) {
    const pm_model *m = s->model;
    pm_tensors *inputs = NULL, *outputs = NULL;
    if (strcmp(m->arch->task, "match") != 0)
        return pm_raise(PM_ERR_USAGE,
                        "%s: its task is %s, expected a model that compares pictures with texts",
                        m->files.path, m->arch->task);
    if (n_texts < 1 || n_texts > 65536)
        return pm_raise(PM_ERR_USAGE, "texts: %zu in a batch, expected 1..65536", n_texts);
    PM_TRY(pm_model_image_inputs(m, images, n_images, &inputs));
    pm_status status = add_texts(m, texts, n_texts, inputs);
    if (status == PM_OK)
        status = pm_session_run(s, inputs, "logits_per_image,image_embeds,text_embeds", &outputs);
    if (status == PM_OK && out_scores) {
        status = take(outputs, "out.logits_per_image", n_images, n_texts, out_scores);
        softmax_rows(out_scores, status == PM_OK ? n_images : 0, n_texts);
    }
    if (status == PM_OK && out_cosines) status = compare(outputs, n_images, n_texts, out_cosines);
    pm_tensors_free(inputs);
    pm_tensors_free(outputs);
    return status;
}
