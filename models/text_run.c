/* See text_run.h. */
#include "models/text_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "models/arch.h"
#include "models/convert.h"
#include "models/model_text.h"

enum { BATCH = 8, MAX_BATCH = 4096 };

/* ---- encoding ---- */

/* Keeps the first `keep` tokens of each text and all that were added. */
static void cut(pm_encoding *e, const size_t keep[2]) {
    size_t n = 0, seen[2] = {0};
    for (size_t i = 0; i < e->n; i++) {
        int side = e->tokens[i].sequence;
        if (side < 0 || seen[side]++ < keep[side]) e->tokens[n++] = e->tokens[i];
    }
    e->n = n;
}

/* Refuses or cuts an encoding that is longer than the model's positions. number: the text's in errors, from 1. */
static pm_status fit(const pm_model *m, const pm_text_options *options, size_t number, pm_encoding *e) {
    size_t limit = (size_t)m->info.max_positions, keep[2] = {0};
    int64_t own = m->spec.pooling.max_length;
    if (own && (size_t)own < limit) limit = (size_t)own;
    if (e->n <= limit) return PM_OK;
    if (!options || !options->truncate)
        return pm_raise(PM_ERR_USAGE,
                        "text %zu: has %zu tokens, the model has %zu positions; truncate cuts it", number,
                        e->n, limit);
    for (size_t i = 0; i < e->n; i++)
        if (e->tokens[i].sequence >= 0) keep[e->tokens[i].sequence]++;
    for (size_t n = e->n; n > limit && keep[0] + keep[1] > 0; n--) keep[keep[1] > keep[0]]--;
    cut(e, keep);
    return PM_OK;
}

void pm_encodings_free(pm_encoding *e, size_t n) {
    for (size_t i = 0; e && i < n; i++) pm_encoding_free(&e[i]);
    pm_free(e);
}

static pm_status encode_all(const pm_model *m, const pm_text_input *texts, size_t n,
                            const pm_text_options *options, pm_encoding *e) {
    for (size_t i = 0; i < n; i++) {
        pm_encode_options o = {.add_special = true, .pair = texts[i].pair};
        if (o.pair) o.pair_bytes = strlen(o.pair);
        PM_TRY(pm_tokenizer_encode(m->tokenizer[0], texts[i].text, strlen(texts[i].text), &o, &e[i]));
        PM_TRY(pm_model_put_language(m, m->source_language, &e[i]));
        if (e[i].n == 0) return pm_raise(PM_ERR_USAGE, "text %zu: has no tokens", i + 1);
        PM_TRY(fit(m, options, i + 1, &e[i]));
    }
    return PM_OK;
}

pm_status pm_encode_texts(const pm_model *m, const pm_text_input *texts, size_t n,
                          const pm_text_options *options, pm_encoding **out) {
    *out = NULL;
    PM_TRY(pm_model_want_tokenizer(m));
    pm_encoding *e = pm_calloc(n, sizeof *e);
    if (!e) return PM_ERR_MEMORY;
    pm_status s = encode_all(m, texts, n, options, e);
    if (s == PM_OK)
        *out = e;
    else
        pm_encodings_free(e, n);
    return s;
}

/* ---- batches ---- */

/* Few lengths, so that few programs are made: multiples of 8, 32 or 128. */
static int64_t padded(int64_t n, int64_t most) {
    int64_t step = n <= 64 ? 8 : n <= 512 ? 32 : 128, up = (n + step - 1) / step * step;
    return up < most ? up : most;
}

typedef struct order {
    size_t index, n;
} order;

static int by_length(const void *a, const void *b) {
    const order *x = a, *y = b;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

typedef struct batch {
    const pm_encoding *e;
    const order *at; /* rows of it */
    int64_t rows, length;
} batch;

enum { IDS, MASK, TYPES };

static int32_t word_of(const pm_model *m, const pm_encoding *e, size_t k, int what) {
    int32_t pad = m->info.pad_id >= 0 && m->info.pad_id < m->info.source_vocab_size ? m->info.pad_id : 0;
    bool here = k < e->n;
    if (what == MASK) return here && !e->tokens[k].padding;
    if (what == TYPES)
        return here && e->tokens[k].type_id < m->spec.embed[0].n_types ? e->tokens[k].type_id : 0;
    return here ? e->tokens[k].id : pad;
}

static pm_status add_input(pm_tensors *in, const pm_model *m, const batch *b, int what) {
    static const char *const names[] = {"in.input_ids", "in.attention_mask", "in.token_type_ids"};
    pm_array a = {.name = names[what], .dtype = PM_I32, .rank = 2, .dims = {b->rows, b->length}};
    void *data;
    PM_TRY(pm_tensors_add(in, &a, &data));
    int32_t *to = data;
    for (int64_t i = 0; i < b->rows; i++)
        for (int64_t k = 0; k < b->length; k++)
            to[i * b->length + k] = word_of(m, &b->e[b->at[i].index], (size_t)k, what);
    pm_words_to_file(data, (uint64_t)(b->rows * b->length));
    return PM_OK;
}

/* An encoder-decoder's forward pass wants a decoder's id, too. */
static pm_status add_decoder(pm_tensors *in, const pm_session *s, const batch *b) {
    pm_array a = {.name = "in.decoder_input_ids", .dtype = PM_I32, .rank = 2, .dims = {b->rows, 1}};
    void *data;
    PM_TRY(pm_tensors_add(in, &a, &data));
    for (int64_t i = 0; i < b->rows; i++) ((int32_t *)data)[i] = s->decoder_start >= 0 ? s->decoder_start : 0;
    pm_words_to_file(data, (uint64_t)b->rows);
    return PM_OK;
}

static pm_status make_inputs(const pm_session *s, const batch *b, pm_tensors **out) {
    const pm_model *m = s->model;
    bool ragged = false;
    for (int64_t i = 0; i < b->rows; i++) ragged |= b->e[b->at[i].index].n != (size_t)b->length;
    pm_status status = pm_tensors_create(out);
    if (status == PM_OK) status = add_input(*out, m, b, IDS);
    if (status == PM_OK && ragged) status = add_input(*out, m, b, MASK);
    if (status == PM_OK && m->spec.embed[0].types) status = add_input(*out, m, b, TYPES);
    if (status == PM_OK && m->arch->encoder_decoder) status = add_decoder(*out, s, b);
    return status;
}

static pm_status take_rows(const batch *b, const pm_array *a, const char *output, pm_take_row take,
                           void *user) {
    int64_t rows = a && a->rank == 3 ? a->dims[1] : 1, columns = a && a->rank >= 2 ? a->dims[a->rank - 1] : 0;
    if (!a || (a->rank != 2 && a->rank != 3) || a->dims[0] != b->rows)
        return pm_raise(PM_ERR_USAGE, "output %s: the model has none with a row for each text", output);
    float *values = pm_calloc((size_t)pm_array_elems(a), sizeof *values);
    if (!values) return PM_ERR_MEMORY;
    pm_status s = pm_convert_f32(a, values);
    for (int64_t i = 0; s == PM_OK && i < b->rows; i++) {
        size_t index = b->at[i].index;
        s = take(user, &(pm_text_row){index, &b->e[index], values + i * rows * columns, rows, columns});
    }
    pm_free(values);
    return s;
}

static pm_status run_batch(pm_session *s, const batch *b, const char *output, pm_take_row take, void *user) {
    char name[96];
    pm_tensors *in = NULL, *out = NULL;
    snprintf(name, sizeof name, "out.%s", output);
    pm_status status = make_inputs(s, b, &in);
    if (status == PM_OK) status = pm_session_run(s, in, output, &out);
    if (status == PM_OK) status = take_rows(b, pm_tensors_get(out, name), output, take, user);
    pm_tensors_free(in);
    pm_tensors_free(out);
    return status;
}

pm_status pm_run_texts(pm_session *s, const pm_encoding *e, size_t n, const pm_text_options *options,
                       const char *output, pm_take_row take, void *user) {
    size_t most = options && options->batch > 0 ? (size_t)options->batch : BATCH;
    order *at = pm_calloc(n, sizeof *at);
    pm_status status = at ? PM_OK : PM_ERR_MEMORY;
    if (most > MAX_BATCH) most = MAX_BATCH;
    for (size_t i = 0; at && i < n; i++) at[i] = (order){i, e[i].n};
    if (at) qsort(at, n, sizeof *at, by_length);
    for (size_t i = 0; status == PM_OK && i < n; i += most) {
        size_t rows = n - i < most ? n - i : most;
        batch b = {e, at + i, (int64_t)rows,
                   padded((int64_t)at[i + rows - 1].n, s->model->info.max_positions)};
        status = run_batch(s, &b, output, take, user);
    }
    pm_free(at);
    return status;
}
