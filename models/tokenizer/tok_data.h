/* What the parts of a tokenizer share. A text goes through
 *
 *     bytes -> UTF-8 -> added tokens cut out -> normalizers -> pre-tokenizers -> model -> template -> tokens
 *
 * as a pm_tok_text, which knows for each of its bytes which bytes of the caller's text it stands for. Every part is a
 * function from one text to the next; the components of tokenizer.json are rows of tables (pm_tok_kind). */
#ifndef PM_TOK_DATA_H
#define PM_TOK_DATA_H

#include <jansson.h>
#include <string.h>

#include "models/tokenizer/tokenizer.h"

enum {
    PM_TOK_MAX_TEXT = 1 << 30,  /* bytes of one text */
    PM_TOK_MAX_ID = 1 << 23,    /* ids are below: a table by id must not be a way to ask for memory */
    PM_TOK_MAX_TOKEN = 4096,    /* bytes of a token that a search follows byte by byte */
    PM_TOK_MAX_DEPTH = 16,      /* sequences within sequences */
    PM_TOK_MAX_COMPONENTS = 64, /* of a pipeline */
    PM_TOK_MAX_TEMPLATE = 64    /* pieces of a template */
};

#define PM_TOK_LIT(s)    s, sizeof(s) - 1
#define PM_TOK_UNDERLINE "\xE2\x96\x81" /* U+2581, SentencePiece's space */

/* ---- texts (tok_text.c) ---- */

typedef struct pm_tok_span {
    uint32_t begin, end;
} pm_tok_span;

typedef struct pm_tok_text {
    char *s;
    pm_tok_span *at; /* for each byte, its bytes in the caller's text */
    size_t n, capacity;
} pm_tok_text;

/* A part of a text. origin: where in the caller's text it began before normalizers took things away. */
typedef struct pm_tok_view {
    const char *s;
    const pm_tok_span *at;
    size_t n;
    size_t origin;
} pm_tok_view;

typedef struct pm_tok_piece {
    size_t begin, end, origin;
    int32_t id; /* an added token, or -1: text */
} pm_tok_piece;

typedef struct pm_tok_pieces {
    pm_tok_text text;
    pm_tok_piece *piece;
    size_t n, capacity;
} pm_tok_pieces;

pm_status pm_tok_text_add(pm_tok_text *t, const char *s, size_t n,
                          pm_tok_span at) PM_MUST_USE; /* all bytes stand for `at` */
pm_status pm_tok_text_add_char(pm_tok_text *t, int32_t c, pm_tok_span at) PM_MUST_USE;
pm_status pm_tok_text_copy(pm_tok_text *t, pm_tok_view from, size_t begin, size_t end) PM_MUST_USE;
pm_status pm_tok_text_read(pm_tok_text *t, const char *bytes,
                           size_t n) PM_MUST_USE; /* what is not UTF-8 becomes U+FFFD */
void pm_tok_text_free(pm_tok_text *t);
static inline pm_tok_view pm_tok_text_view(const pm_tok_text *t, size_t begin, size_t end, size_t origin) {
    return (pm_tok_view){t->s ? t->s + begin : "", t->at ? t->at + begin : NULL, end - begin, origin};
}
/* The bytes of the caller's text that [begin,end) of a view stands for. */
pm_tok_span pm_tok_view_span(pm_tok_view v, size_t begin, size_t end);

/* Ends a piece that began at `begin` and reaches to the end of the text; an empty one is dropped. */
pm_status pm_tok_pieces_end(pm_tok_pieces *p, size_t begin, size_t origin, int32_t id) PM_MUST_USE;
/* Copies [begin,end) of a view as a piece; `cut` says that it is a part of it. */
pm_status pm_tok_pieces_copy(pm_tok_pieces *p, pm_tok_view from, size_t begin, size_t end) PM_MUST_USE;
void pm_tok_pieces_free(pm_tok_pieces *p);

/* ---- characters (tok_unicode.c) ---- */

size_t pm_tok_char(const char *s, size_t n,
                   int32_t *out); /* bytes of the first character; s is UTF-8 and not empty */
size_t pm_tok_char_before(const char *s, size_t n); /* where the last character of s[0,n) begins */
size_t pm_tok_char_write(int32_t c, char out[4]);
size_t pm_tok_utf8_check(const unsigned char *s, size_t n,
                         bool *out_valid); /* a character, or the bytes one U+FFFD replaces */
bool pm_tok_is_space(int32_t c);           /* White_Space */
bool pm_tok_is_punctuation(int32_t c);     /* ASCII punctuation and P* */
bool pm_tok_is_word(int32_t c);            /* \w */
bool pm_tok_is_number(int32_t c);          /* N* */
bool pm_tok_is_other(int32_t c);           /* Cc, Cf, Co */
bool pm_tok_is_mark(int32_t c);            /* M* */
bool pm_tok_is_mark_nonspacing(int32_t c);
bool pm_tok_is_chinese(int32_t c);
int32_t pm_tok_byte_char(unsigned char b); /* the printable character of a byte, in byte-level vocabularies */
int pm_tok_char_byte(int32_t c);           /* the byte, or -1 */
size_t pm_tok_grapheme(const char *s, size_t n);

/* ---- hash table of texts, and a trie (tok_vocab.c, tok_trie.c) ---- */

typedef struct pm_tok_entry {
    size_t at; /* in vocab->bytes */
    uint32_t n;
    int32_t id;
    double score;
} pm_tok_entry;

typedef struct pm_tok_vocab {
    char *bytes;
    size_t n_bytes, bytes_capacity;
    pm_tok_entry *entry;
    size_t n, capacity;
    uint32_t *slot; /* entry + 1; open addressing, a power of two */
    size_t n_slots;
    uint32_t *by_id; /* entry + 1 */
    size_t n_ids;    /* ids are below */
    size_t by_id_capacity;
    size_t longest; /* bytes */
} pm_tok_vocab;

uint64_t pm_tok_hash(const char *s, size_t n);
/* A text that is there already gets the new id; the old id keeps its text. */
pm_status pm_tok_vocab_add(pm_tok_vocab *v, const char *s, size_t n, int64_t id, double score) PM_MUST_USE;
/* The text of an id alone (no text leads to it). */
pm_status pm_tok_vocab_add_id(pm_tok_vocab *v, const char *s, size_t n, int64_t id) PM_MUST_USE;
const pm_tok_entry *pm_tok_vocab_find(const pm_tok_vocab *v, const char *s, size_t n);
const pm_tok_entry *pm_tok_vocab_by_id(const pm_tok_vocab *v, int64_t id);
static inline const char *pm_tok_vocab_text(const pm_tok_vocab *v, const pm_tok_entry *e) {
    return v->bytes + e->at;
}
void pm_tok_vocab_free(pm_tok_vocab *v);

typedef struct pm_tok_trie {
    struct pm_tok_trie_edge *edge;
    size_t n_edges, n_slots;
    uint32_t n_nodes;
    int64_t *value; /* of each node; -1: none */
    size_t value_capacity;
} pm_tok_trie;

pm_status pm_tok_trie_add(pm_tok_trie *t, const char *s, size_t n, int64_t value) PM_MUST_USE;
bool pm_tok_trie_step(const pm_tok_trie *t, uint32_t *node, unsigned char byte); /* node 0 is the root */
/* The longest key that s begins with: its bytes (0: none) and value. */
size_t pm_tok_trie_longest(const pm_tok_trie *t, const char *s, size_t n, int64_t *out_value);
void pm_tok_trie_free(pm_tok_trie *t);

/* ---- regular expressions (tok_regex.c, tok_regex_translate.c) ---- */

typedef struct pm_tok_regex pm_tok_regex;
typedef struct pm_tok_match pm_tok_match;
/* pattern: as Oniguruma reads it. where: for errors. */
pm_status pm_tok_regex_open(const char *pattern, const char *where, pm_tok_regex **out) PM_MUST_USE;
void pm_tok_regex_close(pm_tok_regex *r);
pm_status pm_tok_regex_translate(const char *pattern, const char *where, pm_text *out) PM_MUST_USE;
/* Searches one text again and again. */
pm_status pm_tok_match_open(const pm_tok_regex *r, const char *s, size_t n, pm_tok_match **out) PM_MUST_USE;
pm_status pm_tok_match_next(pm_tok_match *m, bool *out_found, size_t *out_begin, size_t *out_end) PM_MUST_USE;
void pm_tok_match_close(pm_tok_match *m);

/* ---- components (tok_components.c) ---- */

/* Tokens on their way to a text: the decoders' value. Token i is bytes [end[i-1], end[i]). */
typedef struct pm_tok_words {
    pm_text text;
    size_t *end;
    size_t n, capacity;
} pm_tok_words;

typedef struct pm_tok_component pm_tok_component;
typedef struct pm_tok_field pm_tok_field;

typedef struct pm_tok_kind {
    const char *name;
    const pm_tok_field *fields; /* ends with key NULL; may be NULL */
    pm_status (*setup)(pm_tok_component *c, const json_t *json,
                       const char *where); /* what fields cannot say; may be NULL */
    pm_status (*normalize)(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);
    pm_status (*split)(const pm_tok_component *c, pm_tok_view in, pm_tok_pieces *out);
    pm_status (*decode)(const pm_tok_component *c, const pm_tok_words *in, pm_tok_words *out);
} pm_tok_kind;

typedef struct pm_tok_pattern {
    char *text; /* a literal, when regex is NULL */
    size_t n;
    pm_tok_regex *regex;
} pm_tok_pattern;

struct pm_tok_component {
    const pm_tok_kind *kind;
    bool flag[4];
    int64_t number[2];
    char *text[2];
    size_t text_n[2];
    pm_tok_pattern pattern;
    void *data; /* one block of pm_alloc */
};

/* A value that a component reads from its JSON object into flag, number or text [slot]. */
typedef enum pm_tok_field_type { PM_TOK_FLAG, PM_TOK_NUMBER, PM_TOK_TEXT } pm_tok_field_type;
struct pm_tok_field {
    const char *key;
    pm_tok_field_type type;
    int slot;
    bool required;
    int64_t fallback; /* of flags and numbers */
    const char *fallback_text;
};

typedef struct pm_tok_pipeline {
    pm_tok_component *c;
    size_t n;
} pm_tok_pipeline;

typedef struct pm_tok_family {
    const char *what;     /* "normalizer" */
    const char *sequence; /* the key of a Sequence's list */
    const pm_tok_kind *kinds;
    size_t n_kinds;
} pm_tok_family;

/* Appends the bytes that a token of a byte-level vocabulary is of; one with other characters is a text as it stands (tok_decode.c). */
void pm_tok_bytes_of(pm_text *bytes, pm_tok_view token);
extern const pm_tok_family pm_tok_normalizers, pm_tok_pretokenizers, pm_tok_decoders;

/* json: a component, null or absent (an empty pipeline). Sequences are flattened. */
pm_status pm_tok_pipeline_read(pm_tok_pipeline *p, const pm_tok_family *family, const json_t *json,
                               const char *where) PM_MUST_USE;
pm_status pm_tok_pipeline_read_text(pm_tok_pipeline *p, const pm_tok_family *family, const char *json,
                                    const char *where) PM_MUST_USE;
void pm_tok_pipeline_free(pm_tok_pipeline *p);
pm_status pm_tok_pattern_read(pm_tok_pattern *p, const json_t *json,
                              const char *where) PM_MUST_USE; /* {"String": ..} or {"Regex": ..} */

/* Finds what a pattern matches, one after the other, in a text. */
typedef struct pm_tok_finder {
    const pm_tok_pattern *pattern;
    pm_tok_match *match;
    const char *s;
    size_t n, at;
} pm_tok_finder;
pm_status pm_tok_finder_open(pm_tok_finder *f, const pm_tok_pattern *p, const char *s, size_t n) PM_MUST_USE;
pm_status pm_tok_finder_next(pm_tok_finder *f, bool *out_found, size_t *out_begin,
                             size_t *out_end) PM_MUST_USE;
void pm_tok_finder_close(pm_tok_finder *f);

/* The pipelines' steps (tok_normalize.c, ...): in and out are ping and pong of the caller's. */
pm_status pm_tok_normalize(const pm_tok_pipeline *p, pm_tok_view in, pm_tok_text *out) PM_MUST_USE;
pm_status pm_tok_pretokenize(const pm_tok_pipeline *p, pm_tok_pieces *pieces) PM_MUST_USE;

/* Components with files of their own. */
pm_status pm_tok_bert_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);
pm_status pm_tok_unicode_setup(pm_tok_component *c, const json_t *json, const char *where);
pm_status pm_tok_unicode_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);
pm_status pm_tok_lowercase(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);
pm_status pm_tok_strip_marks(pm_tok_view in, bool nonspacing_only, pm_tok_text *out);
pm_status pm_tok_charsmap_set(pm_tok_component *c, const unsigned char *bytes, size_t n,
                              const char *where) PM_MUST_USE;
pm_status pm_tok_charsmap_setup(pm_tok_component *c, const json_t *json, const char *where);
pm_status pm_tok_charsmap_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);
pm_status pm_tok_piece_normalize(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);
pm_status pm_tok_piece_setup(pm_tok_component *c, const json_t *json, const char *where);
pm_status pm_tok_replace(const pm_tok_component *c, pm_tok_view in, pm_tok_text *out);

/* ---- models ---- */

typedef struct pm_tok_id {
    int32_t id;
    uint32_t begin, end; /* bytes of the piece */
} pm_tok_id;

typedef struct pm_tok_ids {
    pm_tok_id *v;
    size_t n, capacity;
} pm_tok_ids;
pm_status pm_tok_ids_add(pm_tok_ids *ids, int32_t id, size_t begin, size_t end) PM_MUST_USE;

typedef enum pm_tok_model_type {
    PM_TOK_BPE,
    PM_TOK_WORDPIECE,
    PM_TOK_UNIGRAM,
    PM_TOK_WORDLEVEL
} pm_tok_model_type;

typedef struct pm_tok_merge {
    int32_t left, right; /* left -1: an empty slot */
    int32_t id, rank;
} pm_tok_merge;

typedef struct pm_tok_model {
    pm_tok_model_type type;
    int32_t unk; /* -1: none */
    bool fuse_unk, byte_fallback, ignore_merges;
    bool by_score;         /* BPE: SentencePiece's, any two pieces that join to a token, best score first */
    bool single_precision; /* Unigram: scores add up as floats, as SentencePiece's do */
    bool word_start;       /* WordPiece: the prefix marks the beginning of a word, not its continuation */
    char *prefix, *suffix; /* continuing_subword_prefix, end_of_word_suffix; never NULL */
    size_t max_chars;      /* WordPiece: longer words are unknown */
    double unk_score;
    int32_t byte_id[256]; /* -1: none */
    pm_tok_merge *merge;
    size_t n_merges, n_slots;
    pm_tok_trie trie; /* Unigram */
} pm_tok_model;

typedef struct pm_tok_scratch pm_tok_scratch; /* of one call: heaps, chains, the cache of words */
struct pm_tok_scratch {
    struct pm_tok_symbol *symbol;
    size_t symbol_capacity;
    struct pm_tok_candidate *heap;
    size_t n_heap, heap_capacity;
    struct pm_tok_step *step;
    size_t step_capacity;
    char *word;
    size_t word_capacity;
    struct pm_tok_cached *cache;
    pm_tok_ids cached_ids;
    pm_tok_ids reversed;
};
void pm_tok_scratch_free(pm_tok_scratch *s);

pm_status pm_tok_merge_add(pm_tok_model *m, pm_tok_merge add) PM_MUST_USE;
pm_status pm_tok_model_finish(pm_tok_model *m,
                              const pm_tok_vocab *v) PM_MUST_USE; /* byte ids, trie, scores */
void pm_tok_model_free(pm_tok_model *m);
pm_status pm_tok_bpe(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                     pm_tok_ids *out) PM_MUST_USE;
pm_status pm_tok_wordpiece(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                           pm_tok_ids *out) PM_MUST_USE;
pm_status pm_tok_wordlevel(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                           pm_tok_ids *out) PM_MUST_USE;
pm_status pm_tok_unigram(const pm_tok_model *m, const pm_tok_vocab *v, pm_tok_scratch *x, pm_tok_view in,
                         pm_tok_ids *out) PM_MUST_USE;
/* The unknown token for [begin,end), or PM_ERR_USAGE where there is none. */
pm_status pm_tok_put_unknown(const pm_tok_model *m, pm_tok_view in, size_t begin, size_t end,
                             pm_tok_ids *out) PM_MUST_USE;
bool pm_tok_has_bytes(const pm_tok_model *m, const char *s, size_t n); /* tokens for all of these bytes */
bool pm_tok_byte_token(const char *s, size_t n, unsigned char *out);   /* "<0x41>" */

/* ---- added tokens (tok_added.c) ---- */

typedef struct pm_tok_added_token {
    int32_t id;
    bool single_word, left_strip, right_strip, normalized, special;
    bool literal; /* with normalized: spelled as it is after normalization */
    size_t at, n; /* of its text in `bytes` */
} pm_tok_added_token;

typedef struct pm_tok_added {
    pm_tok_added_token *token;
    size_t n, capacity;
    pm_text bytes;
    pm_tok_trie raw, normalized; /* values: index of the token */
    pm_tok_vocab ids;            /* of tokens that the model's vocabulary lacks, and the texts of all */
} pm_tok_added;

struct pm_tokenizer {
    pm_tok_vocab vocab;
    pm_tok_model model;
    pm_tok_added added;
    bool *special; /* by id */
    size_t n_special;
    pm_tok_pipeline normalizer, pretokenizer, decoder;
    struct pm_tok_template *single, *pair; /* NULL: the text alone */
    bool trim_offsets, trim_prefix_space;
    bool has_decoder;
    struct {
        bool on, left;
        int64_t max, stride;
        int strategy;
    } truncation;
    struct {
        bool on, left;
        int64_t fixed, multiple;
        int32_t id, type;
    } padding;
};

pm_status pm_tok_added_token_add(pm_tokenizer *t, const char *s, size_t n,
                                 const pm_tok_added_token *like) PM_MUST_USE;
pm_status pm_tok_added_finish(pm_tokenizer *t) PM_MUST_USE; /* once the normalizer is there */
/* Cuts the added tokens out of a part; what is between is text. */
pm_status pm_tok_added_split(const pm_tokenizer *t, pm_tok_view in, bool normalized, bool plain,
                             pm_tok_pieces *out) PM_MUST_USE;
void pm_tok_added_free(pm_tok_added *a);

/* ---- templates (tok_template.c) ---- */

typedef struct pm_tok_template {
    size_t n;
    struct {
        int sequence; /* 0, 1, or -1: the id */
        int32_t id;
        uint8_t type;
    } piece[PM_TOK_MAX_TEMPLATE];
} pm_tok_template;

pm_status pm_tok_template_read(pm_tokenizer *t, const json_t *post_processor, const char *where) PM_MUST_USE;
/* before, after: added ids around each text, -1: none. between: before the second text. */
pm_status pm_tok_template_set(pm_tokenizer *t, int32_t before, int32_t after) PM_MUST_USE;
pm_status pm_tok_template_set_bert(pm_tokenizer *t, int32_t cls, int32_t sep, bool roberta) PM_MUST_USE;
pm_status pm_tok_length_read(pm_tokenizer *t, const json_t *root, const char *where) PM_MUST_USE;
pm_status pm_tok_finish_encoding(const pm_tokenizer *t, const pm_encode_options *o, pm_encoding parts[2],
                                 pm_encoding *out) PM_MUST_USE;

/* ---- opening ---- */

pm_tokenizer *pm_tok_new(void);
/* Takes `t` over: finishes it, or closes it where `s` or the finishing failed. */
pm_status pm_tok_finish(pm_tokenizer *t, pm_status s, pm_tokenizer **out) PM_MUST_USE;
pm_status pm_tok_merge_texts(pm_tok_model *m, const pm_tok_vocab *v, size_t rank, const char *a, size_t n_a,
                             const char *b, size_t n_b, const char *where) PM_MUST_USE;
pm_status pm_tok_read_added(pm_tokenizer *t, const json_t *token, int64_t id, const char *where) PM_MUST_USE;

pm_status pm_tok_json_load(const pm_files *f, const char *name, json_t **out) PM_MUST_USE;
pm_status pm_tok_open_json(pm_tokenizer *t, const pm_files *f, const char *name) PM_MUST_USE;
pm_status pm_tok_open_vocab_txt(pm_tokenizer *t, const pm_files *f) PM_MUST_USE;
pm_status pm_tok_open_vocab_merges(pm_tokenizer *t, const pm_files *f) PM_MUST_USE;
pm_status pm_tok_open_sentencepiece(pm_tokenizer *t, const pm_files *f, const char *name) PM_MUST_USE;

/* ---- SentencePiece's vocabularies, from its files and from GGUF (tok_pieces.c) ---- */

enum { PM_TOK_NORMAL = 1, PM_TOK_UNKNOWN, PM_TOK_CONTROL, PM_TOK_USER_DEFINED, PM_TOK_UNUSED, PM_TOK_BYTE };

typedef struct pm_tok_sp {
    bool unigram, prefix, collapse, escape, suffix; /* suffix: the space goes after the text */
    bool raw_user_defined; /* user-defined pieces are looked for before normalization */
    const unsigned char *charsmap;
    size_t charsmap_bytes;
} pm_tok_sp;

pm_status pm_tok_sp_add(pm_tokenizer *t, const pm_tok_sp *o, const char *s, size_t n, int64_t id, int type,
                        double score) PM_MUST_USE;
pm_status pm_tok_sp_finish(pm_tokenizer *t, const pm_tok_sp *o, const char *where) PM_MUST_USE;
/* A special token by its text, if the vocabulary has it: its id, or -1. */
pm_status pm_tok_add_special(pm_tokenizer *t, const char *s, int32_t *out_id) PM_MUST_USE;

/* ---- what tokenizer_config.json and config.json say of folders without tokenizer.json (tok_config.c) ---- */

typedef struct pm_tok_config {
    json_t *tokenizer, *model, *special; /* may be NULL; special_tokens_map.json */
} pm_tok_config;
pm_status pm_tok_config_open(pm_tok_config *c, const pm_files *f) PM_MUST_USE;
void pm_tok_config_close(pm_tok_config *c);
/* The class or model type begins with that (case and "Tokenizer..." left aside). */
bool pm_tok_config_is(const pm_tok_config *c, const char *family);
bool pm_tok_config_flag(const pm_tok_config *c, const char *key, bool fallback);
const char *pm_tok_config_token(const pm_tok_config *c, const char *key,
                                const char *fallback); /* "bos_token" */
pm_status pm_tok_config_added(const pm_tok_config *c, const pm_files *f, pm_tokenizer *t) PM_MUST_USE;

#endif
