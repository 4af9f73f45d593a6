/* See timestamps.h. */
#include "models/timestamps.h"

#include <math.h>

static bool is_time(const pm_timestamps *t, int32_t id) {
    return id >= t->first;
}

/* ---- rules ---- */

static void forbid(float *scores, int64_t from, int64_t to, size_t n_scores) {
    if (to > (int64_t)n_scores) to = (int64_t)n_scores;
    for (int64_t i = from > 0 ? from : 0; i < to; i++) scores[i] = -INFINITY;
}

/* Pairs, and the order of times. */
static void restrict_to_order(const pm_timestamps *t, const int32_t *ids, size_t n, float *scores,
                              size_t n_scores) {
    bool last = n >= 1 && is_time(t, ids[n - 1]), before = n < 2 || is_time(t, ids[n - 2]);
    size_t newest = n;
    if (last && before)
        forbid(scores, t->first, (int64_t)n_scores,
               n_scores); /* a pair is whole, or the window has begun: text */
    else if (last)
        forbid(scores, 0, t->eos, n_scores); /* the other half, or the end */
    while (newest > 0 && !is_time(t, ids[newest - 1])) newest--;
    if (newest > 0) /* only the second half of a pair repeats a time */
        forbid(scores, t->first, (int64_t)ids[newest - 1] + (last && !before ? 0 : 1), n_scores);
}

static double log_sum(const float *scores, size_t from, size_t to) {
    float most = -INFINITY;
    double sum = 0;
    for (size_t i = from; i < to; i++)
        if (scores[i] > most) most = scores[i];
    if (!isfinite(most)) return -INFINITY;
    for (size_t i = from; i < to; i++)
        if (isfinite(scores[i])) sum += exp((double)scores[i] - (double)most);
    return (double)most + log(sum);
}

void pm_timestamps_restrict(const pm_timestamps *t, const int32_t *ids, size_t n, float *scores,
                            size_t n_scores) {
    size_t first = (size_t)t->first < n_scores ? (size_t)t->first : n_scores;
    float best_text = -INFINITY;
    forbid(scores, t->no_timestamps, (int64_t)t->no_timestamps + 1, n_scores);
    restrict_to_order(t, ids, n, scores, n_scores);
    if (n == 0) {
        forbid(scores, 0, t->first, n_scores);
        if (t->max_initial >= 0)
            forbid(scores, (int64_t)t->first + t->max_initial + 1, (int64_t)n_scores, n_scores);
    }
    for (size_t i = 0; i < first; i++)
        if (scores[i] > best_text) best_text = scores[i];
    if (log_sum(scores, first, n_scores) > (double)best_text) forbid(scores, 0, t->first, n_scores);
}

/* ---- segments ---- */

/* Steps of an id that should be a time. */
static int64_t steps_of(const pm_timestamps *t, int32_t id) {
    return is_time(t, id) ? (int64_t)id - t->first : 0;
}

/* The whole window as one segment, up to its last time where it has one. */
static pm_window_segment one_segment(const pm_timestamps *t, const int32_t *ids, size_t n, int64_t steps) {
    pm_window_segment s = {.n = n, .end = steps};
    for (size_t i = n; i > 0; i--) {
        if (!is_time(t, ids[i - 1])) continue;
        if (ids[i - 1] != t->first) s.end = steps_of(t, ids[i - 1]);
        break;
    }
    return s;
}

size_t pm_timestamps_split(const pm_timestamps *t, const int32_t *ids, size_t n, int64_t steps,
                           pm_window_segment *out, int64_t *out_advance) {
    size_t n_out = 0, first = 0;
    bool finished = n >= 2 && is_time(t, ids[n - 1]) && !is_time(t, ids[n - 2]);
    for (size_t i = 1; i < n; i++) {
        if (!is_time(t, ids[i - 1]) || !is_time(t, ids[i])) continue;
        out[n_out++] =
            (pm_window_segment){first, i - first, steps_of(t, ids[first]), steps_of(t, ids[i - 1])};
        first = i;
    }
    *out_advance = 0;
    if (n_out == 0) {
        out[0] = one_segment(t, ids, n, steps);
        return 1;
    }
    if (finished) {
        out[n_out++] =
            (pm_window_segment){first, n - first, steps_of(t, ids[first]), steps_of(t, ids[n - 1])};
        return n_out;
    }
    out[n_out - 1].n++; /* the pair's second half says that it was one */
    *out_advance = out[n_out - 1].end;
    return n_out;
}
