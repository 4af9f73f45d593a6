/* The decode loop that stays on the device, of one sequence or of rows: a step program whose ids and positions are words of a state,
 * which the program itself writes at its end. So it is run many times in one submission, and the host reads the ids behind it. */
#ifndef PM_LOOP_H
#define PM_LOOP_H

#include "models/decoder.h"
#include "models/sample.h"

/* ---- of the graph (build.c, blocks.c) ---- */
void pm_loop_begin(pm_build *b);    /* makes b->loop and b->position */
pm_tensor *pm_loop_id(pm_build *b); /* I32 [B,1]: what this step feeds */
pm_tensor *pm_loop_penalise(pm_build *b, pm_tensor *logits);
void pm_loop_sample(pm_build *b, pm_tensor *logits);              /* chooses by chance, and ends */
void pm_loop_end(pm_build *b, pm_tensor *next, pm_tensor *logit); /* the output "loop" */

/* ---- of a decoder ---- */
typedef struct pm_loop {
    const int32_t *ends;      /* ids that end it */
    size_t n_ends;            /* at most PM_LOOP_MAX_ENDS */
    float penalty;            /* of ids that came before; 0 or 1: none */
    const uint32_t *sampling; /* [batch][PM_SAMPLE_WORDS] where chance chooses (sample.h); else NULL */
    /* what the device has, so that it is written only when it is to be something else */
    uint64_t made;    /* of the program that left it (session.h); 0: unknown */
    int32_t *words;   /* [PM_LOOP_WORDS][batch], and room for as many; pm_alloc'd */
    uint64_t step_ns; /* of the newest run; 0: there was none */
} pm_loop;
void pm_loop_free(pm_loop *l);

/* A sequence's part in one run: row i of the decoder has turns[i]. */
typedef struct pm_turn {
    const int32_t *ids; /* all that came before, the prompt's too; the last one was not fed yet */
    size_t n_ids;
    bool done; /* takes no part any more */
    /* results: what was chosen, and whether that ended (the last is one of the ends, or there was no finite logit: the host
     * has to choose then) */
    int32_t out[PM_LOOP_RING];
    size_t n_out;
    bool halted;
} pm_turn;

/* The program, made before it is needed. */
pm_status pm_loop_program(const pm_loop *l, pm_decoder *d, pm_ready **out) PM_MUST_USE;
/* The program, with room for its step and with words that say what comes next. */
pm_status pm_loop_prepare(pm_loop *l, pm_decoder *d, const pm_turn *turns, pm_ready **out) PM_MUST_USE;
/* Feeds each sequence its last id, then what was chosen, at most n times, and not beyond what one submission may hold or the cache
 * has room for without growing. on_ids (may be NULL) is called while the device goes on, when `out` of turns has grown; not for
 * the last ids. */
pm_status pm_loop_run(pm_loop *l, pm_decoder *d, pm_turn *turns, int64_t n, void (*on_ids)(void *user),
                      void *user) PM_MUST_USE;

#endif
