/* Beam search for one input, with the rules of Hugging Face Transformers 5 (generation/utils.py,
 * _beam_search): K running beams, the best K finished ones, a heuristic for when the running ones cannot win
 * any more. Scores are fp32, as there. Invariant: running[i] is the sequence whose keys and values are in row
 * i of the cache. */
#include "models/search.h"

#include <math.h>
#include <string.h>

#include "models/sample.h"

#define NO_SCORE (-1.0e9f)

/* A sequence: its new ids are in the row `ids` of a table. */
typedef struct beam {
    int32_t *ids;
    float score;
    bool finished;
    int64_t length; /* of ids */
} beam;

/* One continuation that is looked at: id behind running beam `from`. */
typedef struct candidate {
    float score, running, final; /* accumulated; as a running beam; as a finished one */
    int32_t from, id;
    bool ends;
} candidate;

typedef struct beams {
    pm_search *g;
    int64_t k, n_kept, vocab, max_new, length; /* length: new ids of a running beam */
    beam *running, *next, *finished, *spare;   /* k each */
    candidate *kept;                           /* n_kept: continuations of a step, best first */
    float *logits;
    int32_t *ids, *order, *whole; /* whole: prompt and new ids of the beam that rules are asked about */
    bool can_improve, all_end;
    pm_arena arena;
} beams;

/* ---- memory ---- */

static beam *make_beams(beams *b) {
    beam *rows = pm_arena_alloc(&b->arena, (size_t)b->k * sizeof *rows);
    for (int64_t i = 0; rows && i < b->k; i++) {
        rows[i].ids = pm_arena_alloc(&b->arena, (size_t)b->max_new * sizeof *rows[i].ids);
        rows[i].score = NO_SCORE;
        if (!rows[i].ids) return NULL;
    }
    return rows;
}

static pm_status make(beams *b, pm_search *g) {
    size_t n_eos = g->options->ignore_eos ? 0 : g->s->model->n_eos;
    *b = (beams){.g = g,
                 .k = g->options->n_beams,
                 .vocab = pm_decoder_vocab(g->decoder),
                 .max_new = g->max_new,
                 .can_improve = true};
    b->n_kept = b->k * (int64_t)(n_eos + 1 > 2 ? n_eos + 1 : 2);
    if (b->n_kept > b->k * b->vocab) b->n_kept = b->k * b->vocab;
    b->running = make_beams(b);
    b->next = make_beams(b);
    b->finished = make_beams(b);
    b->spare = make_beams(b);
    b->kept = pm_arena_alloc(&b->arena, (size_t)b->n_kept * sizeof *b->kept);
    b->logits = pm_arena_alloc(&b->arena, (size_t)(b->k * b->vocab) * sizeof *b->logits);
    b->ids = pm_arena_alloc(&b->arena, (size_t)b->k * sizeof *b->ids * (g->n_prompt + 1));
    b->order = pm_arena_alloc(&b->arena, (size_t)b->k * sizeof *b->order);
    b->whole = pm_arena_alloc(&b->arena, (g->n_prompt + (size_t)b->max_new) * sizeof *b->whole);
    if (!b->running || !b->next || !b->finished || !b->spare || !b->kept || !b->logits || !b->ids ||
        !b->order || !b->whole)
        return PM_ERR_MEMORY;
    memcpy(b->whole, g->ids, g->n_prompt * sizeof *b->whole);
    b->running[0].score = 0; /* all rows are the prompt: only the first may go on */
    return PM_OK;
}

static void extend(beam *to, const beam *from, const candidate *c, float score) {
    if (from->length) memcpy(to->ids, from->ids, (size_t)from->length * sizeof *to->ids);
    to->ids[from->length] = c->id;
    to->length = from->length + 1;
    to->score = score;
}

/* ---- one step ---- */

/* What is no finite number counts as absent, as in sampling. */
static pm_status log_softmax(float *x, int64_t n) {
    int32_t best = 0;
    double sum = 0;
    PM_TRY(pm_likeliest(x, (size_t)n, &best));
    float most = x[best];
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) x[i] = -INFINITY;
        sum += exp((double)x[i] - (double)most);
    }
    float shift = (float)((double)most + log(sum));
    for (int64_t i = 0; i < n; i++) x[i] -= shift;
    return PM_OK;
}

/* Puts c into the sorted list of n_kept; the earlier one stays first among equals. */
static int64_t keep(candidate *list, int64_t n, int64_t most, const candidate *c) {
    if (n == most && !(c->score > list[n - 1].score)) return n;
    int64_t at = n < most ? n++ : n - 1;
    for (; at > 0 && c->score > list[at - 1].score; at--) list[at] = list[at - 1];
    list[at] = *c;
    return n;
}

/* A continuation ends with an end-of-text id, a stop in its text, or the last id that may be new. The row that its
 * ids are put together in is free until choose_running fills it. */
static pm_status find_end(beams *b, candidate *c) {
    const pm_search *g = b->g;
    c->ends = pm_search_is_eos(g, c->id) || b->length + 1 >= b->max_new;
    if (c->ends || !g->options->n_stops) return PM_OK;
    extend(&b->next[0], &b->running[c->from], c, 0);
    return pm_search_meets_stop(g, b->next[0].ids, (size_t)b->next[0].length, &c->ends);
}

/* The model's rules on the log probabilities behind a running beam. */
static pm_status follow_rules(beams *b, const beam *from, float *row) {
    pm_search *g = b->g;
    size_t n = g->n_prompt + (size_t)b->length;
    if (b->length) memcpy(b->whole + g->n_prompt, from->ids, (size_t)b->length * sizeof *b->whole);
    PM_TRY(pm_search_judge(g, b->whole, n));
    pm_search_apply(g, b->whole, n, row);
    return PM_OK;
}

static pm_status find_candidates(beams *b) {
    int64_t n = 0;
    for (int64_t i = 0; i < b->k; i++) {
        float *row = b->logits + i * b->vocab;
        PM_TRY(log_softmax(row, b->vocab));
        PM_TRY(follow_rules(b, &b->running[i], row));
        for (int64_t v = 0; v < b->vocab; v++) {
            candidate c = {.score = row[v] + b->running[i].score, .from = (int32_t)i, .id = (int32_t)v};
            n = keep(b->kept, n, b->n_kept, &c);
        }
    }
    b->all_end = true;
    for (int64_t i = 0; i < n; i++) {
        candidate *c = &b->kept[i];
        PM_TRY(find_end(b, c));
        c->running = c->score + (c->ends ? NO_SCORE : 0);
        b->all_end &= c->ends;
    }
    b->n_kept = n;
    return PM_OK;
}

/* The best k that go on, in their order of score. */
static void choose_running(beams *b) {
    for (int64_t i = 0; i < b->k; i++) {
        candidate *best = NULL;
        for (int64_t c = 0; c < b->n_kept; c++)
            if (b->kept[c].from >= 0 && (!best || b->kept[c].running > best->running)) best = &b->kept[c];
        if (!best) break;
        extend(&b->next[i], &b->running[best->from], best, best->running);
        b->order[i] = best->from;
        b->ids[i] = best->id;
        best->from = -1 - best->from; /* taken */
    }
    for (int64_t c = 0; c < b->n_kept; c++)
        if (b->kept[c].from < 0) b->kept[c].from = -1 - b->kept[c].from;
}

static bool all_finished(const beams *b) {
    bool all = true;
    for (int64_t i = 0; i < b->k; i++) all &= b->finished[i].finished;
    return all;
}

static float penalised(const beams *b, float score, int64_t length) {
    float penalty = b->g->rules.length_penalty;
    return score / (float)pow((double)length, (double)penalty);
}

/* Merges the k finished ones with the continuations that end, and keeps the best k. Only the first k of those
 * count. */
static void choose_finished(beams *b) {
    int64_t most = b->n_kept < b->k ? b->n_kept : b->k;
    for (int64_t i = 0; i < most; i++) {
        candidate *c = &b->kept[i];
        c->final = penalised(b, c->score, b->length + 1) + (c->ends ? 0 : NO_SCORE);
    }
    int64_t old = 0;
    bool taken[PM_MAX_BEAMS] = {false};
    for (int64_t i = 0; i < b->k; i++) {
        int64_t best = -1;
        for (int64_t c = 0; c < most; c++)
            if (!taken[c] && (best < 0 || b->kept[c].final > b->kept[best].final)) best = c;
        if (best < 0 || b->finished[old].score >= b->kept[best].final) {
            beam swap = b->spare[i];
            b->spare[i] = b->finished[old];
            b->finished[old++] = swap;
            continue;
        }
        taken[best] = true;
        extend(&b->spare[i], &b->running[b->kept[best].from], &b->kept[best], b->kept[best].final);
        b->spare[i].finished = b->kept[best].ends;
    }
    beam *swap = b->finished;
    b->finished = b->spare;
    b->spare = swap;
}

/* Whether the running beams may still pass the worst finished one. */
static void check_heuristic(beams *b) {
    float penalty = b->g->rules.length_penalty, worst = b->finished[0].score;
    int64_t length = b->g->rules.early_stopping == 2 && penalty > 0 ? b->max_new : b->length;
    float best = penalised(b, b->running[0].score, length);
    bool improves = false;
    for (int64_t i = 1; i < b->k; i++) worst = b->finished[i].score < worst ? b->finished[i].score : worst;
    for (int64_t i = 0; i < b->k; i++) improves |= best > (b->finished[i].finished ? worst : NO_SCORE);
    b->can_improve = b->can_improve && improves;
}

static pm_status step(beams *b) {
    PM_TRY(find_candidates(b));
    choose_running(b);
    choose_finished(b);
    beam *swap = b->running;
    b->running = b->next;
    b->next = swap;
    b->length++;
    check_heuristic(b);
    return PM_OK;
}

/* ---- the search ---- */

static pm_status search(beams *b) {
    pm_search *g = b->g;
    int64_t n_kept = b->n_kept;
    for (int64_t i = 0; i < b->k; i++)
        memcpy(b->ids + (size_t)i * g->n_prompt, g->ids, g->n_prompt * sizeof *b->ids);
    PM_TRY(pm_decoder_feed(g->decoder, b->ids, g->n_prompt));
    for (;;) {
        PM_TRY(pm_decoder_logits(g->decoder, b->logits));
        b->n_kept = n_kept;
        PM_TRY(step(b));
        if (b->length == 1) PM_TRY(pm_search_begin_decoding(g));
        if (!b->can_improve || b->all_end || (all_finished(b) && g->rules.early_stopping == 1)) break;
        PM_TRY(pm_decoder_reorder(g->decoder, b->order));
        PM_TRY(pm_decoder_feed(g->decoder, b->ids, 1));
        g->out->decode_steps++;
    }
    for (int64_t i = 0; i < b->finished[0].length; i++) PM_TRY(pm_search_append(g, b->finished[0].ids[i]));
    g->score = b->finished[0].score;
    return PM_OK;
}

pm_status pm_beam_search(pm_search *g) {
    beams b;
    pm_status s = make(&b, g);
    if (s == PM_OK) s = search(&b);
    pm_arena_free(&b.arena);
    return s;
}
