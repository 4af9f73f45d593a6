/* The decode loop of one sequence that stays on the device: a step program whose id and position are words of a state, which the
 * program itself writes at its end. So it is run many times in one submission, and the host reads the ids behind it. */
#ifndef PM_LOOP_H
#define PM_LOOP_H

#include "models/decoder.h"

/* ---- of the graph (build.c, blocks.c) ---- */
void pm_loop_begin(pm_build *b);    /* makes b->loop and b->position */
pm_tensor *pm_loop_id(pm_build *b); /* I32 [1,1]: what this step feeds */
pm_tensor *pm_loop_penalise(pm_build *b, pm_tensor *logits);
void pm_loop_end(pm_build *b, pm_tensor *next, pm_tensor *logit); /* the output "loop" */

/* ---- of a decoder ---- */
typedef struct pm_loop {
    const int32_t *ends; /* ids that end it */
    size_t n_ends;       /* at most PM_LOOP_MAX_ENDS */
    float penalty;       /* of ids that came before; 0 or 1: none */
    const int32_t *ids;  /* with a penalty: all that came before, the prompt's too, as they are at each run */
    size_t n_ids;
    /* what the device has in its words, so that they are written only when they are to be others */
    uint64_t made; /* of the program that left them (session.h); 0: unknown */
    int64_t position;
    int32_t id, count;
} pm_loop;

/* The program, made before it is needed. */
pm_status pm_loop_program(const pm_loop *l, pm_decoder *d, pm_ready **out) PM_MUST_USE;
/* The program, with room for its step and with words that say that `id` comes next. */
pm_status pm_loop_prepare(pm_loop *l, pm_decoder *d, int32_t id, pm_ready **out) PM_MUST_USE;
/* Feeds `id`, then what was chosen, at most n times, and not beyond what one submission may hold or the cache has room for
 * without growing. out_ids: what was chosen, *out_n of them; fewer than were run when an end was chosen (the last) or when
 * there was no finite logit: the host has to choose then. */
pm_status pm_loop_run(pm_loop *l, pm_decoder *d, int32_t id, int64_t n, int32_t out_ids[PM_LOOP_RING],
                      size_t *out_n) PM_MUST_USE;

#endif
