/* Classes, vectors and masked words of texts (pumice/text.h). Words and their spans are in text_tag.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/arch.h"
#include "models/model_text.h"
#include "models/pooling.h"
#include "models/text_run.h"

pm_status pm_want_task(const pm_model *m, const char *task) {
    if (strcmp(m->arch->task, task) == 0) return pm_model_want_tokenizer(m);
    return pm_raise(PM_ERR_USAGE, "%s: its task is \"%s\", expected \"%s\" (architectures of config.json)",
                    m->files.path, m->arch->task, task);
}

void pm_softmax_row(const float *x, int64_t n, float *out) {
    double sum = 0;
    float most = x[0];
    for (int64_t i = 1; i < n; i++)
        if (x[i] > most) most = x[i];
    for (int64_t i = 0; i < n; i++) sum += exp((double)x[i] - (double)most);
    for (int64_t i = 0; i < n; i++) out[i] = (float)(exp((double)x[i] - (double)most) / sum);
}

/* ---- classes ---- */

typedef struct classes {
    const pm_model *m;
    float *out;
} classes;

static pm_status take_classes(void *user, const pm_text_row *row) {
    classes *c = user;
    size_t n = pm_model_n_labels(c->m);
    float *to = c->out + row->index * n;
    if (row->rows != 1 || row->columns != (int64_t)n)
        return pm_raise(PM_ERR_FILE, "%s: logits have %d columns, id2label has %zu entries", c->m->files.path,
                        (int)row->columns, n);
    for (size_t i = 0; i < n; i++)
        to[i] = c->m->class_kind == PM_CLASS_MANY ? (float)(1 / (1 + exp(-(double)row->values[i])))
                                                  : row->values[i];
    if (c->m->class_kind == PM_CLASS_ONE) pm_softmax_row(row->values, (int64_t)n, to);
    return PM_OK;
}

pm_status pm_session_classify(pm_session *s, const pm_text_input *texts, size_t n,
                              const pm_text_options *options, float *out_scores) {
    pm_encoding *e;
    classes c = {s->model, out_scores};
    PM_TRY(pm_want_task(s->model, "classify"));
    PM_TRY(pm_encode_texts(s->model, texts, n, options, &e));
    pm_status status = pm_run_texts(s, e, n, options, "logits", take_classes, &c);
    pm_encodings_free(e, n);
    return status;
}

/* ---- vectors ---- */

typedef struct vectors {
    size_t n, width;
    bool normalize;
    float *out; /* made with the first row */
} vectors;

static void normalize(float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    for (size_t i = 0; sum > 0 && i < n; i++) x[i] = (float)((double)x[i] / sqrt(sum));
}

static pm_status take_vector(void *user, const pm_text_row *row) {
    vectors *v = user;
    if (!v->out) {
        v->width = (size_t)row->columns;
        v->out = pm_calloc(v->n * v->width, sizeof *v->out);
        if (!v->out) return PM_ERR_MEMORY;
    }
    float *to = v->out + row->index * v->width;
    memcpy(to, row->values, v->width * sizeof *to);
    if (v->normalize) normalize(to, v->width);
    return PM_OK;
}

/* The output that is the texts' vectors; the graph has pooled them. */
static void name_vectors(const pm_model *m, pm_embed_pooling pooling, char name[PM_POOL_NAME]) {
    static const pm_pool_kind kinds[] = {
        [PM_EMBED_MEAN] = PM_POOL_MEAN, [PM_EMBED_CLS] = PM_POOL_CLS, [PM_EMBED_LAST] = PM_POOL_LAST};
    bool clip = m->arch->build == pm_clip_build;
    if (pooling != PM_EMBED_DEFAULT)
        pm_pool_name(kinds[pooling], name);
    else if (m->spec.pooling.given)
        snprintf(name, PM_POOL_NAME, "sentence_embedding");
    else if (clip)
        snprintf(name, PM_POOL_NAME, m->spec.contrast.text.weight ? "text_embeds" : "pooler_output");
    else
        pm_pool_name(pm_pool_default(m), name);
}

pm_status pm_session_embed(pm_session *s, const pm_text_input *texts, size_t n,
                           const pm_embed_options *options, float **out_vectors, size_t *out_width) {
    pm_embed_options o = options ? *options : (pm_embed_options){0};
    vectors v = {.n = n, .normalize = o.normalize};
    char name[PM_POOL_NAME];
    pm_encoding *e;
    *out_vectors = NULL;
    *out_width = 0;
    if (o.pooling < PM_EMBED_DEFAULT || o.pooling > PM_EMBED_LAST)
        return pm_raise(PM_ERR_USAGE, "pooling: %d, expected 0 to %d", (int)o.pooling, (int)PM_EMBED_LAST);
    name_vectors(s->model, o.pooling, name);
    if (s->model->spec.pooling.given) o.text.truncate = true; /* as sentence-transformers does */
    PM_TRY(pm_encode_texts(s->model, texts, n, &o.text, &e));
    pm_status status = pm_run_texts(s, e, n, &o.text, name, take_vector, &v);
    pm_encodings_free(e, n);
    if (status != PM_OK) {
        pm_free(v.out);
        return status;
    }
    *out_vectors = v.out;
    *out_width = v.width;
    return PM_OK;
}

/* ---- masked words ---- */

typedef struct filling {
    const pm_model *m;
    int32_t mask;
    size_t n_each;
    pm_fill *out;
} filling;

/* The best n_each of a row, likeliest first. */
static pm_status take_best(filling *f, const float *p, int64_t vocab, pm_candidate *to) {
    size_t n = 0;
    for (int64_t i = 0; i < vocab; i++) {
        if (n == f->n_each && !(p[i] > to[n - 1].score)) continue;
        size_t at = n < f->n_each ? n++ : n - 1;
        for (; at > 0 && p[i] > to[at - 1].score; at--) to[at] = to[at - 1];
        to[at] = (pm_candidate){.id = (int32_t)i, .score = p[i]};
    }
    for (size_t i = 0; i < n; i++)
        PM_TRY(pm_tokenizer_decode(f->m->tokenizer[0], &to[i].id, 1, false, &to[i].text, NULL));
    return PM_OK;
}

static pm_status take_masks(void *user, const pm_text_row *row) {
    filling *f = user;
    pm_status s = PM_OK;
    float *p = pm_calloc((size_t)row->columns, sizeof *p);
    if (!p) return PM_ERR_MEMORY;
    if ((size_t)row->columns < f->n_each) f->n_each = (size_t)row->columns;
    f->out->n_each = f->n_each;
    f->out->candidates = pm_calloc(f->out->n_masks * f->n_each, sizeof *f->out->candidates);
    if (!f->out->candidates) s = PM_ERR_MEMORY;
    for (size_t k = 0, i = 0; s == PM_OK && k < row->encoding->n; k++) {
        if (row->encoding->tokens[k].id != f->mask) continue;
        pm_softmax_row(row->values + (int64_t)k * row->columns, row->columns, p);
        s = take_best(f, p, row->columns, f->out->candidates + i++ * f->n_each);
    }
    pm_free(p);
    return s;
}

/* The token that stands for a missing word. */
static pm_status find_mask(const pm_model *m, int32_t *out) {
    static const char *const spellings[] = {"[MASK]", "<mask>", "<|mask|>"};
    *out = -1;
    for (size_t i = 0; *out < 0 && i < PM_COUNT(spellings); i++)
        *out = pm_tokenizer_find(m->tokenizer[0], spellings[i], strlen(spellings[i]));
    if (*out >= 0) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "%s: its vocabulary has no [MASK] and no <mask>", m->files.path);
}

static pm_status check_masks(const filling *f, const pm_encoding *e) {
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++) f->out->n_masks += e->tokens[i].id == f->mask;
    const char *mask = pm_tokenizer_token(f->m->tokenizer[0], f->mask, &n);
    if (f->out->n_masks) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "text: has no mask, expected %.*s in the place of a word", (int)n, mask);
}

pm_status pm_session_fill(pm_session *s, const char *text, size_t n_each, const pm_text_options *options,
                          pm_fill *out) {
    filling f = {.m = s->model, .n_each = n_each ? n_each : 5, .out = out};
    pm_encoding *e = NULL;
    pm_status status;
    *out = (pm_fill){0};
    PM_TRY(pm_want_task(s->model, "fill"));
    PM_TRY(find_mask(s->model, &f.mask));
    PM_TRY(pm_encode_texts(s->model, &(pm_text_input){text, NULL}, 1, options, &e));
    status = check_masks(&f, e);
    if (status == PM_OK) status = pm_run_texts(s, e, 1, options, "logits", take_masks, &f);
    pm_encodings_free(e, 1);
    if (status != PM_OK) pm_fill_free(out);
    return status;
}

void pm_fill_free(pm_fill *f) {
    for (size_t i = 0; f->candidates && i < f->n_masks * f->n_each; i++) pm_free(f->candidates[i].text);
    pm_free(f->candidates);
    *f = (pm_fill){0};
}
