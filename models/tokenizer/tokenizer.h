/* Tokenizers for the rest of models/: opening from files that are open already. The use of one is include/pumice/tokenizer.h. */
#ifndef PM_TOKENIZER_INTERNAL_H
#define PM_TOKENIZER_INTERNAL_H

#include "models/files.h"
#include "models/gguf.h"
#include "pumice/tokenizer.h"

/* The text that goes in and the text that comes out of a translation model may have vocabularies of their own. */
typedef enum pm_tokenizer_side { PM_TOKENIZER_SOURCE, PM_TOKENIZER_TARGET } pm_tokenizer_side;

/* True when the folder or the GGUF file has what pm_tokenizer_open_files reads. */
bool pm_tokenizer_has_files(const pm_files *files);
/* side matters where there are source.spm and target.spm. Errors: PM_ERR_FILE; nothing of `files` is kept. */
pm_status pm_tokenizer_open_files(const pm_files *files, pm_tokenizer_side side,
                                  pm_tokenizer **out) PM_MUST_USE;
/* From tokenizer.ggml.*; nothing of `g` is kept. */
pm_status pm_tokenizer_open_gguf(const pm_gguf *g, pm_tokenizer **out) PM_MUST_USE;

/* Whether the vocabulary tells tokens that go on with a word from those that begin one (##), and whether this one does. */
bool pm_tokenizer_marks_words(const pm_tokenizer *t);
bool pm_tokenizer_continues(const pm_tokenizer *t, int32_t id);

/* A token for people: as the vocabulary spells it, bytes of byte-level vocabularies as the text that they are. */
void pm_tokenizer_add_label(const pm_tokenizer *t, int32_t id, pm_text *out);
/* Any bytes as UTF-8 on one line that shows all of them: \n, \t and \xE4 where nothing else would be seen, a space in front as an open box,
 * a mark without a letter on a dotted circle. */
void pm_add_visible(pm_text *out, const char *bytes, size_t n);

#endif
