/* Tokenizers that are two lists. The built-in models': source words and target characters, one a line; a line's number is
 * its id. Spelling models': config.json's grapheme_chars and phoneme_chars, a character each. Ids 0 to 3 are <pad>, <bos>,
 * <eos>, <unk>. */
#ifndef PM_WORDS_H
#define PM_WORDS_H

#include "models/files.h"

typedef struct pm_words {
    const char **source, **target; /* lines; NULL without a tokenizer */
    size_t n_source, n_target;
    bool letters; /* the source is characters, which stand between <bos> and <eos> */
    pm_arena arena;
} pm_words;

enum { PM_WORD_PAD = 0, PM_WORD_BOS = 1, PM_WORD_EOS = 2, PM_WORD_UNKNOWN = 3, PM_N_SPECIAL_WORDS = 4 };

/* Both lists, source.vocab.txt and target.vocab.txt; absent ones give no tokenizer and no error. */
pm_status pm_words_open(const pm_files *f, pm_words *out_words) PM_MUST_USE;
/* The characters of config.json; without both keys no tokenizer and no error. */
pm_status pm_words_open_letters(const pm_files *f, pm_words *out_words) PM_MUST_USE;
void pm_words_close(pm_words *w);

/* Letters: <bos>, each character, <eos>; PM_ERR_USAGE names a character that is not in the list.
 * Words: lower-cases, cuts at white space, hyphens and commas, drops other ASCII punctuation but apostrophes within
 * words; <eos> comes last. PM_ERR_USAGE names a word that is not in the list. *out_ids is pm_alloc'd. */
pm_status pm_words_encode(const pm_words *w, const char *text, int32_t **out_ids, size_t *out_n) PM_MUST_USE;
/* Joins the target's characters; special tokens are left out. */
pm_status pm_words_decode(const pm_words *w, const int32_t *ids, size_t n, pm_text *out_text) PM_MUST_USE;

#endif
