/* Pumice, text: a tokenizer of its own, without a model. Ids of texts with the bytes they stand for, texts of ids, and a
 * decoder for texts that arrive id by id. It does not run a network and knows no chat templates.
 *
 *     pm_tokenizer *t;
 *     pm_encoding e;
 *     if (pm_tokenizer_open("path/to/model", &t) != PM_OK) return complain(pm_error_text());
 *     if (pm_tokenizer_encode(t, "Hello, world!", 13, NULL, &e) == PM_OK)
 *         for (size_t i = 0; i < e.n; i++) printf("%d: bytes %u to %u\n", e.tokens[i].id, e.tokens[i].begin, e.tokens[i].end);
 *     pm_encoding_free(&e);
 *     pm_tokenizer_close(t);
 *
 * A tokenizer never changes after it was opened: any number of threads may use one. */
#ifndef PUMICE_TOKENIZER_H
#define PUMICE_TOKENIZER_H

#include "pumice/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pm_tokenizer pm_tokenizer;

/* path: a folder with tokenizer.json, vocab.txt, vocab.json and merges.txt, tokenizer.model, spiece.model, *.spm; or a .gguf file,
 * which may have a vocabulary only. Where a folder has several of them, that is the order.
 * Errors: PM_ERR_FILE names the file and the component, token or value that is wrong or not supported. */
pm_status pm_tokenizer_open(const char *path, pm_tokenizer **out) PM_MUST_USE;
void pm_tokenizer_close(pm_tokenizer *t); /* accepts NULL */

/* ---- text to ids ---- */

typedef struct pm_token {
    int32_t id;
    uint32_t begin, end; /* bytes of the text it came from; 0, 0 for a token that was added */
    int8_t sequence; /* 0: the text, 1: the second text of a pair, -1: added by the template or as padding */
    uint8_t type_id; /* BERT's segment */
    bool padding;
} pm_token;

typedef struct pm_encoding {
    pm_token *tokens;
    size_t n;
} pm_encoding;

typedef struct pm_encode_options {
    bool add_special;    /* what the model wants around a text: [CLS] ... [SEP], <s> ... */
    bool apply_length;   /* cut and pad as the tokenizer's file says; else every token of the text comes */
    bool plain_specials; /* special tokens that are spelled out in the text are text, not tokens */
    const char *pair;    /* a second text, or NULL */
    size_t pair_bytes;
} pm_encode_options;

/* text: any bytes; what is not UTF-8 is read as U+FFFD. options NULL: all false. Free with pm_encoding_free.
 * Errors: PM_ERR_USAGE when the text has more than 2^30 bytes or holds a word that the vocabulary cannot say. */
pm_status pm_tokenizer_encode(const pm_tokenizer *t, const char *text, size_t bytes,
                              const pm_encode_options *options, pm_encoding *out) PM_MUST_USE;
void pm_encoding_free(pm_encoding *e);

/* ---- ids to text ---- */

/* Always UTF-8. Ids that are no token are left out. Freed with pm_release; *out_bytes may be NULL. */
pm_status pm_tokenizer_decode(const pm_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                              char **out_text, size_t *out_bytes) PM_MUST_USE;

/* A text that arrives id by id. What was given out never splits a character, and is never taken back. */
typedef struct pm_text_stream pm_text_stream;
pm_status pm_text_stream_open(const pm_tokenizer *t, bool skip_special, pm_text_stream **out) PM_MUST_USE;
/* *out_text: the text that is complete by now and was not given out yet; often empty; valid until the next call. out_bytes may be NULL. */
pm_status pm_text_stream_add(pm_text_stream *s, int32_t id, const char **out_text,
                             size_t *out_bytes) PM_MUST_USE;
/* What is left, however incomplete. */
pm_status pm_text_stream_end(pm_text_stream *s, const char **out_text, size_t *out_bytes) PM_MUST_USE;
void pm_text_stream_close(pm_text_stream *s); /* accepts NULL */

/* ---- the vocabulary ---- */

int32_t pm_tokenizer_id_limit(const pm_tokenizer *t); /* every id is below */
/* The token as the vocabulary spells it, not zero-terminated; NULL when the id is none. */
const char *pm_tokenizer_token(const pm_tokenizer *t, int32_t id, size_t *out_bytes);
int32_t pm_tokenizer_find(const pm_tokenizer *t, const char *token, size_t bytes); /* -1: none */
bool pm_tokenizer_is_special(const pm_tokenizer *t, int32_t id);

#ifdef __cplusplus
}
#endif
#endif
