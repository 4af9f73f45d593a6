/* Whisper's timestamps (Radford et al. 2022, 2.3 and 3.8): what ids may follow which, and what a decoded window says. Pure
 * functions of ids and scores. A time is an id: `first` is 0.00 s into the window, each next one a step (0.02 s) later. */
#ifndef PM_TIMESTAMPS_H
#define PM_TIMESTAMPS_H

#include "graph/base.h"

typedef struct pm_timestamps {
    int32_t first;         /* id of <|0.00|>; all from it on are times */
    int32_t no_timestamps; /* id of <|notimestamps|> */
    int32_t eos;           /* ids below it are text */
    int32_t max_initial;   /* the first time is at most so many steps; -1: any */
} pm_timestamps;

/* Scores (logits or log probabilities) of what may not follow the n new ids become -infinity: times come first, in pairs but
 * before the end, never go back; and when all times together are likelier than any one text, a time comes. */
void pm_timestamps_restrict(const pm_timestamps *t, const int32_t *ids, size_t n, float *scores,
                            size_t n_scores);

/* A segment of a window: ids first .. first + n - 1, its times in steps from the window's start. */
typedef struct pm_window_segment {
    size_t first, n;
    int64_t start, end;
} pm_window_segment;

/* Segments of the n new ids of a window of `steps` steps, into out[n + 1]; their count. *out_advance: the step that the next window begins at,
 * that of the last pair of times; 0 when nothing was left unfinished, so that it begins behind this one. */
size_t pm_timestamps_split(const pm_timestamps *t, const int32_t *ids, size_t n, int64_t steps,
                           pm_window_segment *out, int64_t *out_advance);

#endif
