/* What the two files that read GGUF vocabularies share. */
#ifndef PM_TOK_GGUF_H
#define PM_TOK_GGUF_H

#include "models/tokenizer/tok_data.h"

enum { PM_TOK_MAX_PRE = 6 };
typedef struct pm_tok_pre {
    const char *name;
    const char *pattern[PM_TOK_MAX_PRE]; /* one after the other, each match a piece of its own; NULL ends */
    bool ignore_merges;
} pm_tok_pre;
const pm_tok_pre *pm_tok_pre_find(const char *s, size_t n); /* NULL: not known */

#endif
