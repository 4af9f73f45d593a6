/* Texts through a forward pass: encoded, cut, sorted by length, padded to batches, one row of results each. Knows no task. */
#ifndef PM_TEXT_RUN_H
#define PM_TEXT_RUN_H

#include "models/session.h"
#include "pumice/text.h"

/* The encodings of texts, with the special tokens, refused or cut where they are too long. *out[n], freed with pm_encodings_free. */
pm_status pm_encode_texts(const pm_model *m, const pm_text_input *texts, size_t n,
                          const pm_text_options *options, pm_encoding **out) PM_MUST_USE;
void pm_encodings_free(pm_encoding *e, size_t n);

/* One text's row of the output: [rows][columns]; rows is 1 for outputs of one vector a text, else the tokens of the batch's longest, of
 * which the first e->n are this text's. */
typedef struct pm_text_row {
    size_t index; /* of the text */
    const pm_encoding *encoding;
    const float *values;
    int64_t rows, columns;
} pm_text_row;
/* PM_OK when the model's task is that one and it has a tokenizer. */
pm_status pm_want_task(const pm_model *m, const char *task) PM_MUST_USE;
void pm_softmax_row(const float *x, int64_t n, float *out);

typedef pm_status (*pm_take_row)(void *user, const pm_text_row *row);

/* output: without "out.". Rows come in any order. */
pm_status pm_run_texts(pm_session *s, const pm_encoding *e, size_t n, const pm_text_options *options,
                       const char *output, pm_take_row take, void *user) PM_MUST_USE;

#endif
