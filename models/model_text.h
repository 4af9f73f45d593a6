/* A model's words: its tokenizers, from text to ids and back. */
#ifndef PM_MODEL_TEXT_H
#define PM_MODEL_TEXT_H

#include "models/model_data.h"
#include "models/tokenizer/tokenizer.h"

/* Opens the tokenizers of m->files. One that is not supported is no error before a text needs it. */
pm_status pm_model_open_text(pm_model *m) PM_MUST_USE;
void pm_model_close_text(pm_model *m);

/* PM_OK when there is a tokenizer from a folder or a GGUF file; else PM_ERR_USAGE says what is missing. */
pm_status pm_model_want_tokenizer(const pm_model *m) PM_MUST_USE;
/* pm_model_encode, or without the special tokens around a text. */
pm_status pm_model_encode_with(const pm_model *m, const char *text, bool add_special, int32_t **out_ids,
                               size_t *out_n) PM_MUST_USE;
/* Puts the token of a language where the tokenizer puts one by itself, else to the front. id -1: nothing. */
pm_status pm_model_put_language(const pm_model *m, int32_t id, pm_encoding *e) PM_MUST_USE;
/* The source of a translation, with the tokens of its languages; o->forced_bos is set where the target's language goes there. */
pm_status pm_model_encode_source(const pm_model *m, const char *text, pm_generate_options *o,
                                 int32_t **out_ids, size_t *out_n) PM_MUST_USE;

#endif
