/* Classes of words (pumice/text.h): tokens to words, words to spans. */
#include <string.h>

#include "models/arch.h"
#include "models/model_text.h"
#include "models/text_run.h"

/* ---- tokens to words ---- */

/* The first token of a word, its label and that label's probability, and the bytes of all its tokens. */
typedef struct word {
    size_t begin, end;
    int32_t label;
    float score;
} word;

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Whether token k goes on with the word of the one before. */
static bool continues(const pm_tokenizer *t, const char *text, const pm_token *token) {
    if (pm_tokenizer_marks_words(t)) return pm_tokenizer_continues(t, token->id);
    return token->begin > 0 && !is_blank(text[token->begin - 1]) && !is_blank(text[token->begin]);
}

static int32_t best_of(const float *p, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (p[i] > p[best]) best = i;
    return (int32_t)best;
}

/* words: room for as many as there are tokens. p: room for the labels. */
static size_t find_words(const pm_tokenizer *t, const char *text, const pm_text_row *row, float *p,
                         word *words) {
    size_t n = 0;
    for (size_t k = 0; k < row->encoding->n; k++) {
        const pm_token *token = &row->encoding->tokens[k];
        if (token->sequence != 0 || token->end <= token->begin) continue;
        if (n && continues(t, text, token)) {
            words[n - 1].end = token->end;
            continue;
        }
        pm_softmax_row(row->values + (int64_t)k * row->columns, row->columns, p);
        int32_t label = best_of(p, row->columns);
        words[n++] = (word){token->begin, token->end, label, p[label]};
    }
    return n;
}

/* ---- words to spans ---- */

static bool begins_span(const char *label) {
    return label[0] == 'B' && label[1] == '-';
}

static const char *type_of(const char *label) {
    return (label[0] == 'B' || label[0] == 'I') && label[1] == '-' ? label + 2 : label;
}

static size_t count_chars(const char *text, size_t begin, size_t end) {
    size_t n = 0;
    for (size_t i = begin; i < end; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static pm_status join_words(const pm_model *m, const char *text, const word *words, size_t n, pm_spans *out) {
    size_t capacity = 0, chars = 0, at = 0;
    for (size_t i = 0, next; i < n; i = next) {
        const char *label = m->labels[words[i].label], *type = type_of(label);
        double score = (double)words[i].score;
        for (next = i + 1; next < n; next++) {
            const char *other = m->labels[words[next].label];
            if (begins_span(other) || strcmp(type_of(other), type) != 0) break;
            score += (double)words[next].score;
        }
        if (strcmp(label, "O") == 0) continue;
        PM_TRY(pm_grow((void **)&out->spans, &capacity, out->n + 1, sizeof *out->spans));
        size_t begin = words[i].begin, end = words[next - 1].end;
        chars += count_chars(text, at, begin);
        at = begin;
        out->spans[out->n++] = (pm_span){begin, end,
                                         chars, chars + count_chars(text, begin, end),
                                         type,  (float)(score / (double)(next - i))};
    }
    return PM_OK;
}

/* ---- texts ---- */

typedef struct tagging {
    const pm_model *m;
    const pm_text_input *texts;
    pm_spans *out;
} tagging;

static pm_status check_columns(const pm_model *m, const pm_text_row *row) {
    if (row->columns == (int64_t)pm_model_n_labels(m) && row->rows >= (int64_t)row->encoding->n) return PM_OK;
    return pm_raise(PM_ERR_FILE, "%s: logits have %d columns, id2label has %zu entries", m->files.path,
                    (int)row->columns, pm_model_n_labels(m));
}

static pm_status take_spans(void *user, const pm_text_row *row) {
    tagging *t = user;
    PM_TRY(check_columns(t->m, row));
    word *words = pm_calloc(row->encoding->n, sizeof *words);
    float *p = pm_calloc(pm_model_n_labels(t->m), sizeof *p);
    pm_status s = words && p ? PM_OK : PM_ERR_MEMORY;
    if (s == PM_OK) {
        const char *text = t->texts[row->index].text;
        size_t n = find_words(t->m->tokenizer[0], text, row, p, words);
        s = join_words(t->m, text, words, n, &t->out[row->index]);
    }
    pm_free(words);
    pm_free(p);
    return s;
}

pm_status pm_session_tag(pm_session *s, const pm_text_input *texts, size_t n, const pm_text_options *options,
                         pm_spans *out_spans) {
    tagging t = {s->model, texts, out_spans};
    pm_encoding *e;
    for (size_t i = 0; i < n; i++) out_spans[i] = (pm_spans){0};
    PM_TRY(pm_want_task(s->model, "tag"));
    PM_TRY(pm_encode_texts(s->model, texts, n, options, &e));
    pm_status status = pm_run_texts(s, e, n, options, "logits", take_spans, &t);
    pm_encodings_free(e, n);
    for (size_t i = 0; status != PM_OK && i < n; i++) pm_spans_free(&out_spans[i]);
    return status;
}

void pm_spans_free(pm_spans *spans) {
    pm_free(spans->spans);
    *spans = (pm_spans){0};
}

/* ---- words that are cut already ---- */

typedef struct cutting {
    const pm_model *m;
    const pm_sentence *sentences;
    char **texts; /* the words of each, joined by blanks */
    int32_t *const *out;
} cutting;

static pm_status join_text(const pm_sentence *s, char **out) {
    pm_text t = {0};
    for (size_t i = 0; i < s->n; i++) pm_text_add(&t, "%s%s", i ? " " : "", s->words[i]);
    *out = t.data;
    if (!t.data && !t.failed) *out = pm_strdup("");
    return *out ? pm_text_status(&t) : PM_ERR_MEMORY;
}

/* The first token that lies in a word is the word's. */
static pm_status take_labels(void *user, const pm_text_row *row) {
    cutting *c = user;
    const pm_sentence *s = &c->sentences[row->index];
    int32_t *to = c->out[row->index];
    size_t begin = 0, k = 0;
    PM_TRY(check_columns(c->m, row));
    for (size_t i = 0; i < s->n; i++) {
        size_t end = begin + strlen(s->words[i]);
        to[i] = -1;
        while (k < row->encoding->n &&
               (row->encoding->tokens[k].sequence != 0 || row->encoding->tokens[k].end <= begin))
            k++;
        if (k < row->encoding->n && row->encoding->tokens[k].begin < end)
            to[i] = best_of(row->values + (int64_t)k * row->columns, row->columns);
        begin = end + 1;
    }
    return PM_OK;
}

static pm_status run_sentences(pm_session *session, cutting *c, size_t n, const pm_text_options *options) {
    pm_text_input *inputs = pm_calloc(n, sizeof *inputs);
    pm_encoding *e = NULL;
    pm_status s = inputs ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < n; i++) {
        s = join_text(&c->sentences[i], &c->texts[i]);
        inputs[i].text = c->texts[i];
    }
    if (s == PM_OK) s = pm_encode_texts(session->model, inputs, n, options, &e);
    if (s == PM_OK) s = pm_run_texts(session, e, n, options, "logits", take_labels, c);
    pm_encodings_free(e, n);
    pm_free(inputs);
    return s;
}

pm_status pm_session_tag_words(pm_session *s, const pm_sentence *sentences, size_t n,
                               const pm_text_options *options, int32_t *const *out_labels) {
    cutting c = {s->model, sentences, NULL, out_labels};
    PM_TRY(pm_want_task(s->model, "tag"));
    c.texts = pm_calloc(n, sizeof *c.texts);
    if (!c.texts) return PM_ERR_MEMORY;
    pm_status status = run_sentences(s, &c, n, options);
    for (size_t i = 0; i < n; i++) pm_free(c.texts[i]);
    pm_free(c.texts);
    return status;
}
