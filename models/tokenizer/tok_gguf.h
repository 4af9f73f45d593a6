/* What the two files that read GGUF vocabularies share. */
#ifndef PM_TOK_GGUF_H
#define PM_TOK_GGUF_H

#include "models/tokenizer/tok_data.h"

enum { TOK_MAX_PRE = 6 };
typedef struct tok_pre {
    const char *name;
    const char *pattern[TOK_MAX_PRE]; /* one after the other, each match a piece of its own; NULL ends */
    bool ignore_merges;
} tok_pre;
const tok_pre *tok_pre_find(const char *s, size_t n); /* NULL: not known */

#endif
