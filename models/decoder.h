/* Token-by-token running of a decoder with its key and value cache: prefill in bucketed programs, then one
 * replay of a T = 1 program a token. Knows no search: greedy, sampling and beams are on top.
 *
 * A batch is either beams, which all stand at one position, or *rows*: sequences of their own, each with a position and a source.
 * Rows are fed together, each from its own position on, and padded behind: what padding leaves in a row's cache stands behind what
 * is filled, where its mask sees nothing and the next feed writes. */
#ifndef PM_DECODER_H
#define PM_DECODER_H

#include "models/session.h"

enum { PM_MAX_ROWS = 256 };

typedef struct pm_decoder {
    pm_session *s;
    int64_t batch;    /* sequences that run together */
    bool rows;        /* each on its own; else they are beams, or one */
    int64_t cache;    /* S: rows of the cache */
    int64_t position; /* rows that are filled; of rows: see `at` */
    int64_t source,
        source_length; /* encoder-decoders: rows of the encoder's states, and how many of them are true */
    int32_t at[PM_MAX_ROWS], source_lengths[PM_MAX_ROWS]; /* rows: the same of each */
    pm_ready *encoder;
    pm_ready *last; /* program whose outputs are the newest */
    char states[64], cross[64];
} pm_decoder;

int64_t pm_decoder_vocab(const pm_decoder *d);

/* expected: rows that will likely be filled; the cache grows past them when it must. */
pm_status pm_decoder_open(pm_decoder *d, pm_session *s, int64_t batch, int64_t expected) PM_MUST_USE;
/* The same for 2 .. PM_MAX_ROWS rows. Not for models with segment memory (pm_recurrence). */
pm_status pm_decoder_open_rows(pm_decoder *d, pm_session *s, int64_t n, int64_t expected) PM_MUST_USE;
/* Encoder-decoders, before the first feed. The program that it ran stays in d->encoder. */
pm_status pm_decoder_encode(pm_decoder *d, const int32_t *ids, size_t n) PM_MUST_USE;
/* What encoding would refuse. */
pm_status pm_decoder_check_source(const pm_decoder *d, const pm_ids *source) PM_MUST_USE;
/* A source for each row, run together. */
pm_status pm_decoder_encode_rows(pm_decoder *d, const pm_ids *sources) PM_MUST_USE;
/* The same of one signal, as the model's spec has it. */
pm_status pm_decoder_encode_signal(pm_decoder *d, const float *values) PM_MUST_USE;
/* ids[batch][n] behind what was fed before. PM_ERR_USAGE when that passes the limit. */
pm_status pm_decoder_feed(pm_decoder *d, const int32_t *ids, size_t n) PM_MUST_USE;
/* For each row what comes behind that row's; nothing for those with n = 0. */
pm_status pm_decoder_feed_rows(pm_decoder *d, const pm_ids *parts) PM_MUST_USE;
/* Room for n more rows of each sequence: what feeding them begins with. */
pm_status pm_decoder_make_room(pm_decoder *d, int64_t n) PM_MUST_USE;
/* The program that feeds `length` tokens at once, 1 or a bucket's size: made before it is needed, or to look
 * at. */
pm_status pm_decoder_program(pm_decoder *d, int64_t length, pm_ready **out) PM_MUST_USE;

/* Models that score by distance (spec.h, pm_recurrence): the program that computes the keys of distances, which opening runs. */
pm_status pm_decoder_places(pm_decoder *d, pm_ready **out) PM_MUST_USE;

/* After a feed of one sequence, or of rows: the likeliest id of each. out_found is false where the device had no finite
 * logit: the logits have to be looked at then. */
pm_status pm_decoder_best(pm_decoder *d, int32_t *out_ids, bool *out_found) PM_MUST_USE;
/* After a feed: all logits[batch][V]. */
pm_status pm_decoder_logits(pm_decoder *d, float *out_logits) PM_MUST_USE;

/* For programs that others run on the decoder's states: source lengths; and n more rows that one has filled for a sequence. */
pm_status pm_decoder_set_sources(const pm_decoder *d, pm_ready *r) PM_MUST_USE;
void pm_decoder_moved(pm_decoder *d, int64_t row, int64_t n);

/* Sequence i goes on from what sequence order[i] has in its cache. */
pm_status pm_decoder_reorder(pm_decoder *d, const int32_t *order) PM_MUST_USE;

#endif
