/* Token-by-token running of a decoder with its key and value cache: prefill in bucketed programs, then one
 * replay of a T = 1 program a token. Knows no search: greedy, sampling and beams are on top. */
#ifndef PM_DECODER_H
#define PM_DECODER_H

#include "models/session.h"

typedef struct pm_decoder {
    pm_session *s;
    int64_t batch;    /* sequences that run together: beams */
    int64_t cache;    /* S: rows of the cache */
    int64_t position; /* rows that are filled */
    int64_t source,
        source_length; /* encoder-decoders: rows of the encoder's states, and how many of them are true */
    pm_ready *encoder;
    pm_ready *last; /* program whose outputs are the newest */
    char states[64], cross[64];
} pm_decoder;

int64_t pm_decoder_vocab(const pm_decoder *d);

/* expected: rows that will likely be filled; the cache grows past them when it must. */
pm_status pm_decoder_open(pm_decoder *d, pm_session *s, int64_t batch, int64_t expected) PM_MUST_USE;
/* Encoder-decoders, before the first feed. The program that it ran stays in d->encoder. */
pm_status pm_decoder_encode(pm_decoder *d, const int32_t *ids, size_t n) PM_MUST_USE;
/* The same of one signal, as the model's spec has it. */
pm_status pm_decoder_encode_signal(pm_decoder *d, const float *values) PM_MUST_USE;
/* ids[batch][n] behind what was fed before. PM_ERR_USAGE when that passes the limit. */
pm_status pm_decoder_feed(pm_decoder *d, const int32_t *ids, size_t n) PM_MUST_USE;
/* Room for n more rows: what feeding them begins with. */
pm_status pm_decoder_make_room(pm_decoder *d, int64_t n) PM_MUST_USE;
/* The program that feeds `length` tokens at once, 1 or a bucket's size: made before it is needed, or to look
 * at. */
pm_status pm_decoder_program(pm_decoder *d, int64_t length, pm_ready **out) PM_MUST_USE;

/* Models that score by distance (spec.h, pm_recurrence): the program that computes the keys of distances, which opening runs. */
pm_status pm_decoder_places(pm_decoder *d, pm_ready **out) PM_MUST_USE;

/* After a feed of one sequence: its likeliest id. *out_found is false when the device had no finite logit there: the
 * logits have to be looked at then. */
pm_status pm_decoder_best(pm_decoder *d, int32_t *out_id, bool *out_found) PM_MUST_USE;
/* After a feed: all logits[batch][V]. */
pm_status pm_decoder_logits(pm_decoder *d, float *out_logits) PM_MUST_USE;

/* Sequence i goes on from what sequence order[i] has in its cache. */
pm_status pm_decoder_reorder(pm_decoder *d, const int32_t *order) PM_MUST_USE;

#endif
