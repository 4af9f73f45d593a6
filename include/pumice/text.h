/* Pumice, text: what encoders say of texts: classes, entities, masked words, vectors. Texts run together in batches, shorter ones padded
 * and masked, so that each result is that of the text alone.
 *
 *     pm_text_input texts[] = {{"A fine film.", NULL}, {"Dull.", NULL}};
 *     float scores[2 * 3];                                    // [2][n_labels]
 *     pm_text_options o = {.truncate = true};
 *     if (pm_session_classify(session, texts, 2, &o, scores) == PM_OK)
 *         printf("%s: %g\n", pm_model_label(model, 0), scores[0]);
 */
#ifndef PUMICE_TEXT_H
#define PUMICE_TEXT_H

#include "pumice/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_text_input {
    const char *text, *pair; /* pair: a second text, or NULL */
} pm_text_input;

/* Zero is the default of every member. Without truncate a text of more tokens than the model has positions is PM_ERR_USAGE, which names
 * the text's number, its tokens and the limit; but folders of sentence-transformers (modules.json) say themselves how long texts may be, and are
 * always cut. */
typedef struct pm_text_options {
    bool truncate; /* cut the end of what is too long, of the longer text of a pair */
    int32_t batch; /* texts that run together; 0: 8 */
} pm_text_options;

/* ---- classes of texts ---- */
typedef enum pm_class_kind {
    PM_CLASS_ONE,  /* one class a text: scores are a softmax */
    PM_CLASS_MANY, /* any of them (problem_type multi_label_classification, or one label): sigmoid */
    PM_CLASS_VALUE /* problem_type regression: the numbers themselves */
} pm_class_kind;
size_t pm_model_n_labels(const pm_model *m); /* 0: the model has no classes; pm_model_label names them */
pm_class_kind pm_model_class_kind(const pm_model *m);
/* out_scores[n][n_labels]. Errors: PM_ERR_USAGE when the model's task is another. */
pm_status pm_session_classify(pm_session *s, const pm_text_input *texts, size_t n,
                              const pm_text_options *options, float *out_scores) PM_MUST_USE;

/* ---- classes of words, joined to spans ---- */

/* A word is a run of tokens without a break: a token continues one when the vocabulary says so (##) or, in vocabularies that do not, when no white
 * space precedes it. The first token of a word decides its label. Words of one type join: from B-X over I-X, or from I-X or X on while the
 * type stays; O is left out. */
typedef struct pm_span {
    size_t begin, end;           /* bytes of the text */
    size_t begin_char, end_char; /* its characters (code points) */
    const char *type;            /* the label without B- or I-; the model's */
    float score;                 /* mean of its words' probabilities */
} pm_span;
typedef struct pm_spans {
    pm_span *spans;
    size_t n;
} pm_spans;
/* out_spans[n], each freed with pm_spans_free. Pairs are not for this task. */
pm_status pm_session_tag(pm_session *s, const pm_text_input *texts, size_t n, const pm_text_options *options,
                         pm_spans *out_spans) PM_MUST_USE;
void pm_spans_free(pm_spans *spans);

/* Words that are cut already: out_labels[i][k] is the label's number of words[i][k], the one of its first token; -1 where the word has none
 * (no token of its own, or cut off). */
typedef struct pm_sentence {
    const char *const *words;
    size_t n;
} pm_sentence;
pm_status pm_session_tag_words(pm_session *s, const pm_sentence *sentences, size_t n,
                               const pm_text_options *options, int32_t *const *out_labels) PM_MUST_USE;

/* ---- masked words ---- */
typedef struct pm_candidate {
    int32_t id;
    float score; /* softmax over the vocabulary */
    char *text;  /* of the token alone */
} pm_candidate;
typedef struct pm_fill {
    pm_candidate *candidates; /* [n_masks][n_each], best first */
    size_t n_masks, n_each;
} pm_fill;
/* text: with one or more mask tokens, spelled as the model spells them ("[MASK]", "<mask>"). n_each 0: 5. Freed with pm_fill_free.
 * Errors: PM_ERR_USAGE when there is no mask, with its spelling. */
pm_status pm_session_fill(pm_session *s, const char *text, size_t n_each, const pm_text_options *options,
                          pm_fill *out) PM_MUST_USE;
void pm_fill_free(pm_fill *f);

/* ---- vectors ---- */
typedef enum pm_embed_pooling {
    PM_EMBED_DEFAULT, /* what the folder says (modules.json of sentence-transformers); without it the mean, of decoder-only models the last */
    PM_EMBED_MEAN,    /* of the tokens' hidden states */
    PM_EMBED_CLS,     /* the first token's */
    PM_EMBED_LAST     /* the last token's */
} pm_embed_pooling;
typedef struct pm_embed_options {
    pm_text_options text;
    pm_embed_pooling pooling;
    bool normalize; /* to length 1 */
} pm_embed_options;
/* *out_vectors is [n][*out_width], freed with pm_release. */
pm_status pm_session_embed(pm_session *s, const pm_text_input *texts, size_t n,
                           const pm_embed_options *options, float **out_vectors,
                           size_t *out_width) PM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
