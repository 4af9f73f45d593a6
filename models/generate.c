/* Generation (pumice/model.h): prompt, greedy and sampled continuation of one sequence or of several together. Beams are in
 * beam.c, batches and text to text in generate_batch.c. */
#include "models/search.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "models/model_text.h"
#include "models/sample.h"

enum { STOP_IDS = 16 };

static pm_rule_place place_of(const pm_search *g, const int32_t *ids, size_t n) {
    const pm_model *m = g->s->model;
    return (pm_rule_place){.ids = ids,
                           .n = n,
                           .n_prompt = g->n_prompt,
                           .max_new = g->max_new,
                           .eos = m->eos,
                           .n_eos = g->options->ignore_eos ? 0 : m->n_eos,
                           .vocab = (size_t)g->s->model->info.vocab_size};
}

pm_status pm_search_judge(pm_search *g, const int32_t *ids, size_t n) {
    pm_rule_place at = place_of(g, ids, n);
    return pm_rules_judge(&g->rules, &at, &g->verdict);
}

void pm_search_apply(pm_search *g, const int32_t *ids, size_t n, float *logits) {
    pm_rule_place at = place_of(g, ids, n);
    pm_rules_apply(&g->rules, &at, &g->verdict, logits);
    if (g->restriction.apply)
        g->restriction.apply(g->restriction.user, ids + g->n_prompt, n - g->n_prompt, logits, at.vocab);
}

bool pm_search_is_eos(const pm_search *g, int32_t id) {
    const pm_model *m = g->s->model;
    for (size_t i = 0; !g->options->ignore_eos && i < m->n_eos; i++)
        if (m->eos[i] == id) return true;
    return false;
}

pm_status pm_search_append(pm_search *g, int32_t id) {
    void *ids = g->ids;
    pm_status s = pm_grow(&ids, &g->capacity, g->n_ids + 1, sizeof *g->ids);
    g->ids = ids;
    if (s == PM_OK) g->ids[g->n_ids++] = id;
    return s;
}

/* ---- checks ---- */

pm_status pm_name_prompt(pm_status status, const pm_generate_options *o, size_t i) {
    char *text = pm_strdup(pm_error_text());
    if (!text) return PM_ERR_MEMORY;
    (void)pm_raise(status, "%s %zu: %s", o->prompt_name ? o->prompt_name : "prompt",
                   o->prompt_numbers ? o->prompt_numbers[i] : i + 1, text);
    pm_free(text);
    return status;
}

pm_status pm_check_generate_options(const pm_session *s, const pm_generate_options *o) {
    if (!s->model->arch->decoder)
        return pm_raise(PM_ERR_USAGE, "%s: a %s model has no decoder to generate with", s->model->files.path,
                        s->model->arch->task);
    if (o->max_new < 0) return pm_raise(PM_ERR_USAGE, "max_new: %d, expected 0 or more", (int)o->max_new);
    if (o->n_beams < 0 || o->n_beams > PM_MAX_BEAMS)
        return pm_raise(PM_ERR_USAGE, "n_beams: %d, expected 0..%d", (int)o->n_beams, (int)PM_MAX_BEAMS);
    if (o->n_beams > 1 && o->sample)
        return pm_raise(PM_ERR_USAGE, "n_beams: %d together with sampling, which is not supported",
                        (int)o->n_beams);
    if (o->early_stopping < 0 || o->early_stopping > 2)
        return pm_raise(PM_ERR_USAGE, "early_stopping: %d, expected 0, 1 or 2", (int)o->early_stopping);
    if (!(o->repetition_penalty >= 0) || !isfinite(o->repetition_penalty))
        return pm_raise(PM_ERR_USAGE, "repetition_penalty: %g, expected more than 0",
                        (double)o->repetition_penalty);
    if (o->no_repeat_ngram < 0 || o->min_new < 0)
        return pm_raise(PM_ERR_USAGE, "no_repeat_ngram and min_new: %d and %d, expected 0 or more",
                        (int)o->no_repeat_ngram, (int)o->min_new);
    if (o->has_forced_bos) PM_TRY(pm_check_ids("forced_bos", &o->forced_bos, 1, s->model->info.vocab_size));
    if (o->n_stops && !s->model->info.has_tokenizer)
        return pm_raise(PM_ERR_USAGE,
                        "stops: the model has no tokenizer, so that no text can end its output");
    if (o->loop_steps < 0 || o->loop_steps > PM_LOOP_RING)
        return pm_raise(PM_ERR_USAGE, "loop_steps: %d, expected 0..%d", (int)o->loop_steps, PM_LOOP_RING);
    return pm_check_sampling(o);
}

/* The caller's most, else the files', else the model's usual one, else what there is room for. The last new id is never fed, so that it needs no
 * position. */
static void set_most(pm_search *g) {
    int64_t most = g->options->max_new;
    g->max_new = g->s->model->info.max_positions - (int64_t)g->n_prompt + 1;
    if (!most) most = g->rules.max_new;
    if (!most && g->rules.max_length > (int64_t)g->n_prompt)
        most = g->rules.max_length - (int64_t)g->n_prompt;
    if (!most) most = g->s->model->spec.usual_new;
    if (most && most < g->max_new) g->max_new = most;
}

/* The ids that the decoder begins with. */
static pm_status set_prompt(pm_search *g, const int32_t *ids, size_t n) {
    const pm_model_info *info = &g->s->model->info;
    if (info->encoder_decoder && g->s->decoder_start < 0)
        return pm_raise(PM_ERR_USAGE,
                        "config.json: decoder_start_token_id is missing, generation needs it or "
                        "a start id of the caller's (--decoder-start)");
    if (!info->encoder_decoder && n == 0 && info->bos_id < 0)
        return pm_raise(PM_ERR_USAGE, "ids: the prompt is empty");
    int32_t start = info->encoder_decoder ? g->s->decoder_start : info->bos_id;
    if (info->encoder_decoder || n == 0)
        PM_TRY(pm_search_append(g, start));
    else
        for (size_t i = 0; i < n; i++) PM_TRY(pm_search_append(g, ids[i]));
    g->n_prompt = g->n_ids;
    if (g->n_prompt > (size_t)info->max_positions)
        return pm_raise(PM_ERR_USAGE, "ids: the prompt has %zu ids, the model has %" PRId64 " positions",
                        g->n_prompt, info->max_positions);
    set_most(g);
    return pm_check_ids("ids", g->ids, g->n_ids, info->vocab_size);
}

/* ---- sequences that run together ---- */

typedef struct group {
    pm_search *rows; /* row i of the decoder */
    size_t n;
    pm_session *s;
    pm_decoder *decoder;
    const pm_generate_options *options;
    pm_loop loop;
    pm_turn *turns;
    pm_status taken;    /* how taking ids from the loop went */
    int64_t loop_steps; /* of the next submission; 0 or 1: the host chooses */
    float *logits;      /* [n][vocab] of the newest feed, when has_logits */
    int32_t *best;      /* the likeliest of each, where found */
    uint32_t *sampling; /* [n][PM_SAMPLE_WORDS], where the options sample */
    bool *found, has_best, has_logits;
    pm_arena arena;
} group;

static pm_status make_group(group *c, pm_search *rows, size_t n) {
    *c = (group){.rows = rows, .n = n, .s = rows->s, .decoder = rows->decoder, .options = rows->options};
    c->best = pm_arena_alloc(&c->arena, n * sizeof *c->best);
    c->found = pm_arena_alloc(&c->arena, n * sizeof *c->found);
    c->turns = pm_arena_alloc(&c->arena, n * sizeof *c->turns);
    c->sampling = pm_arena_alloc(&c->arena, n * PM_SAMPLE_WORDS * sizeof *c->sampling);
    return c->best && c->found && c->turns && c->sampling ? PM_OK : PM_ERR_MEMORY;
}

static bool all_done(const group *c) {
    for (size_t i = 0; i < c->n; i++)
        if (!c->rows[i].done) return false;
    return true;
}

/* Ids that each sequence is fed next: its prompt, or the newest; nothing of one that is done. */
static pm_status feed(group *c, bool prompts) {
    pm_ids parts[PM_MAX_ROWS];
    c->has_best = c->has_logits = false;
    for (size_t i = 0; i < c->n; i++) {
        const pm_search *g = &c->rows[i];
        size_t n = g->done ? 0 : prompts ? g->n_ids : 1;
        parts[i] = (pm_ids){g->ids + g->n_ids - n, n};
    }
    if (c->decoder->rows) return pm_decoder_feed_rows(c->decoder, parts);
    return pm_decoder_feed(c->decoder, parts->ids, parts->n);
}

static pm_status read_best(group *c) {
    if (!c->has_best) PM_TRY(pm_decoder_best(c->decoder, c->best, c->found));
    c->has_best = true;
    return PM_OK;
}

static pm_status read_logits(group *c) {
    size_t bytes = c->n * (size_t)pm_decoder_vocab(c->decoder) * sizeof *c->logits;
    if (!c->logits && !(c->logits = pm_arena_alloc(&c->arena, bytes))) return PM_ERR_MEMORY;
    if (!c->has_logits) PM_TRY(pm_decoder_logits(c->decoder, c->logits));
    c->has_logits = true;
    return PM_OK;
}

/* Greedy reads one id and its logit from the device; all logits only when that one is no finite number, or when rules
 * forbid it or change logits. */
static pm_status choose(group *c, size_t row, int32_t *out_id) {
    pm_search *g = &c->rows[row];
    size_t vocab = (size_t)pm_decoder_vocab(c->decoder);
    bool found = false;
    PM_TRY(pm_search_judge(g, g->ids, g->n_ids));
    if (!g->options->sample && !g->verdict.penalised && !g->restriction.apply) {
        PM_TRY(read_best(c));
        found = c->found[row];
        *out_id = c->best[row];
    }
    found &= g->verdict.n_forced < 2; /* of several that are forced, each as likely, the first comes */
    if (found && pm_verdict_allows(&g->verdict, *out_id)) return PM_OK;
    PM_TRY(read_logits(c));
    float *logits = c->logits + row * vocab;
    pm_search_apply(g, g->ids, g->n_ids, logits);
    if (!g->options->sample) return pm_likeliest(logits, vocab, out_id);
    return pm_sample_id(c->sampling + row * PM_SAMPLE_WORDS, g->n_ids, logits, vocab, out_id);
}

/* A stop is found as soon as it is whole, so that the newest ids alone can hold its end: at least one byte of text each,
 * but for a few that have none. */
pm_status pm_search_meets_stop(const pm_search *g, const int32_t *ids, size_t n, bool *out_stop) {
    char *text = NULL;
    size_t most = 0;
    for (size_t i = 0; i < g->options->n_stops; i++) {
        size_t bytes = strlen(g->options->stops[i]);
        if (bytes > most) most = bytes;
    }
    if (!most) return PM_OK;
    size_t skip = n > most + STOP_IDS ? n - most - STOP_IDS : 0;
    PM_TRY(pm_model_decode(g->s->model, ids + skip, n - skip, &text));
    for (size_t i = 0; i < g->options->n_stops; i++)
        if (*g->options->stops[i] && strstr(text, g->options->stops[i])) *out_stop = true;
    pm_release(text);
    return PM_OK;
}

/* Takes the newest id. */
static pm_status take(pm_search *g, int32_t id) {
    const pm_generate_options *o = g->options;
    bool done = pm_search_is_eos(g, id);
    PM_TRY(pm_search_append(g, id));
    PM_TRY(pm_search_meets_stop(g, g->ids + g->n_prompt, g->n_ids - g->n_prompt, &done));
    if (o->on_token && !o->on_token(o->user, id)) done = true;
    g->done = done || g->n_ids - g->n_prompt >= (size_t)g->max_new;
    return PM_OK;
}

/* One id for each sequence that goes on, chosen by the host. */
static pm_status choose_all(group *c) {
    for (size_t i = 0; i < c->n; i++) {
        pm_search *g = &c->rows[i];
        int32_t id = 0;
        if (g->done) continue;
        pm_status s = choose(c, i, &id);
        if (s != PM_OK) return c->n > 1 ? pm_name_prompt(s, c->options, i) : s;
        PM_TRY(take(g, id));
        g->stuck = false;
    }
    return PM_OK;
}

static void start_meter(pm_search *g) {
    pm_executor_get_stats(g->s->executor, &g->meter.start);
    g->meter.start_ns = pm_now_ns();
}

pm_status pm_search_begin_decoding(pm_search *g) {
    pm_ready *step;
    g->out->prompt_ns = g->out->first_token_ns = pm_now_ns() - g->start_ns;
    PM_TRY(pm_decoder_program(g->decoder, 1, &step));
    g->out->n_device_ops = step->program->n_dispatches - step->program->n_fallback;
    g->out->n_fallback_ops = step->program->n_fallback;
    start_meter(g);
    return PM_OK;
}

static void end_decoding(pm_search *g) {
    const pm_executor_stats *start = &g->meter.start;
    pm_executor_stats end;
    pm_executor_get_stats(g->s->executor, &end);
    g->out->decode_ns = pm_now_ns() - g->meter.start_ns;
    g->out->decode_submits = end.n_submits - start->n_submits;
    g->out->decode_recordings = end.n_recordings - start->n_recordings;
    g->out->decode_host_ns = end.host_ns - start->host_ns;
}

/* Times and counts of a group are its first sequence's, but for what each has of its own. */
static void share_figures(pm_search *rows, size_t n) {
    const pm_generated *first = rows->out;
    rows->out->n_together = n;
    for (size_t i = 1; i < n; i++) {
        pm_generated own = *rows[i].out;
        *rows[i].out = *first;
        rows[i].out->decode_steps = own.decode_steps;
        rows[i].out->loop_steps = own.loop_steps;
        rows[i].out->no_loop = own.no_loop;
    }
}

/* ---- the loop on the device (loop.h) ---- */

enum { LOOP_STEPS = 32, FIRST_LOOP_STEPS = 4 };

/* What the step program cannot do: the host does every step then. NULL: nothing. */
static const char *why_no_loop(const pm_search *g) {
    const pm_generate_options *o = g->options;
    const pm_rules *r = &g->rules;
    if (o->n_beams > 1) return "beams";
    if (o->loop_steps == 1) return "one step at a time was asked for";
    if (g->restriction.apply) return "the task restricts what may follow";
    if (r->no_repeat_ngram) return "no_repeat_ngram_size";
    if (r->n_bad) return "bad_words_ids";
    if (r->n_suppress) return "suppress_tokens";
    return NULL;
}

/* No step is in vain, or costs anything: nothing can end it before its time, or the device passes over what comes then. */
static bool wastes_none(const group *c) {
    bool skips = c->n == 1 && pm_executor_caps(c->s->executor)->skips_halted;
    return (c->loop.n_ends == 0 || skips) && c->options->n_stops == 0;
}

static int64_t most_steps(const group *c) {
    return c->options->loop_steps ? c->options->loop_steps : LOOP_STEPS;
}

static void begin_loop(group *c) {
    const pm_model *m = c->s->model;
    int64_t most = most_steps(c);
    c->loop = (pm_loop){.ends = m->eos,
                        .n_ends = c->options->ignore_eos ? 0 : m->n_eos,
                        .penalty = c->rows->rules.repetition_penalty};
    for (size_t i = 0; i < c->n; i++)
        pm_sampling_words(c->rows[i].options, c->sampling + i * PM_SAMPLE_WORDS);
    if (c->options->sample) c->loop.sampling = c->sampling;
    for (size_t i = 0; i < c->n; i++) c->rows[i].out->no_loop = why_no_loop(&c->rows[i]);
    c->loop_steps = wastes_none(c) || most < FIRST_LOOP_STEPS ? most : FIRST_LOOP_STEPS;
}

/* Steps that the device may do by itself now for a sequence. The rules about beginnings and the last id are the host's. */
static int64_t steps_ahead(const pm_search *g) {
    const pm_rules *r = &g->rules;
    size_t n_new = g->n_ids - g->n_prompt;
    if (g->out->no_loop || g->stuck || g->n_ids < (size_t)r->min_length || n_new < (size_t)r->min_new)
        return 0;
    if (r->n_begin_suppress && n_new < 2) return 0;
    return g->max_new - (int64_t)n_new - (r->n_forced_eos > 0);
}

/* For all of them: where a sequence needs the host, all wait for it. What the device makes behind the last id of one is dropped;
 * but behind the one before it where the host chooses the last. */
static int64_t steps_ahead_of_all(const group *c) {
    int64_t most = 0;
    for (size_t i = 0; i < c->n; i++) {
        const pm_search *g = &c->rows[i];
        int64_t n = g->done ? 0 : steps_ahead(g);
        if (!g->done && (n < 1 || (g->rules.n_forced_eos && n < c->loop_steps))) return n;
        if (n > most) most = n;
    }
    return most < c->loop_steps ? most : c->loop_steps;
}

/* Ids as they come from the device, which may still be at it. */
static void take_new(void *user) {
    group *c = user;
    for (size_t i = 0; i < c->n; i++) {
        pm_search *g = &c->rows[i];
        const pm_turn *t = &c->turns[i];
        while (c->taken == PM_OK && !g->done && g->n_ids - t->n_ids < t->n_out) {
            c->taken = take(g, t->out[g->n_ids - t->n_ids]);
            g->out->decode_steps++;
            g->out->loop_steps++;
        }
    }
}

/* One submission of the loop. Each one may be twice as long as the one before: of an output that ends in the middle, no more steps
 * are in vain than were made. */
static pm_status loop(group *c, int64_t n) {
    int64_t most = most_steps(c);
    for (size_t i = 0; i < c->n; i++)
        c->turns[i] = (pm_turn){.ids = c->rows[i].ids, .n_ids = c->rows[i].n_ids, .done = c->rows[i].done};
    c->taken = PM_OK;
    PM_TRY(pm_loop_run(&c->loop, c->decoder, c->turns, n, take_new, c));
    take_new(c);
    PM_TRY(c->taken);
    for (size_t i = 0; i < c->n; i++) {
        pm_search *g = &c->rows[i];
        g->stuck = !g->done && (c->turns[i].n_out == 0 || c->turns[i].halted);
    }
    c->loop_steps = 2 * c->loop_steps < most ? 2 * c->loop_steps : most;
    return PM_OK;
}

static pm_status step(group *c) {
    PM_TRY(feed(c, false));
    for (size_t i = 0; i < c->n; i++) c->rows[i].out->decode_steps += !c->rows[i].done;
    return choose_all(c);
}

static pm_status continue_all(group *c) {
    pm_ready *program;
    PM_TRY(feed(c, true));
    PM_TRY(choose_all(c));
    PM_TRY(pm_search_begin_decoding(c->rows));
    if (!c->rows->out->no_loop && c->rows->max_new > 2)
        PM_TRY(pm_loop_program(&c->loop, c->decoder, &program));
    start_meter(c->rows);
    while (!all_done(c)) {
        int64_t n = steps_ahead_of_all(c);
        PM_TRY(n > 1 ? loop(c, n) : step(c));
    }
    return PM_OK;
}

/* ---- the whole ---- */

pm_status pm_search_run_rows(pm_search *rows, size_t n) {
    group c;
    pm_status s;
    PM_TRY(pm_rules_check(&rows->rules, pm_decoder_vocab(rows->decoder)));
    PM_GOTO(make_group(&c, rows, n));
    begin_loop(&c);
    PM_GOTO(continue_all(&c));
    end_decoding(rows);
    share_figures(rows, n);
fail:
    pm_loop_free(&c.loop);
    pm_arena_free(&c.arena);
    return s;
}

pm_status pm_search_run(pm_search *g) {
    if (g->options->n_beams <= 1) return pm_search_run_rows(g, 1);
    PM_TRY(pm_rules_check(&g->rules, pm_decoder_vocab(g->decoder)));
    g->out->no_loop = why_no_loop(g);
    PM_TRY(pm_beam_search(g));
    end_decoding(g);
    g->out->n_together = 1;
    return PM_OK;
}

/* Longer outputs grow the cache when they come to it. */
pm_status pm_search_prepare(pm_search *g, const pm_ids *prompt, int64_t *out_expected) {
    int64_t guess = g->options->max_new ? 1024 : 64;
    g->rules = g->s->model->rules;
    pm_rules_override(&g->rules, g->options);
    PM_TRY(set_prompt(g, prompt->ids, prompt->n));
    *out_expected = (int64_t)g->n_prompt + (g->max_new < guess ? g->max_new : guess) - 1;
    return PM_OK;
}

void pm_search_finish(pm_search *g, pm_status status) {
    pm_verdict_free(&g->verdict);
    if (status != PM_OK) {
        pm_free(g->ids);
        *g->out = (pm_generated){0};
        return;
    }
    g->out->ids = g->ids;
    g->out->n_ids = g->n_ids;
    g->out->n_prompt = g->n_prompt;
    g->out->score = g->score;
}

static pm_status generate(pm_search *g, const pm_ids *prompt) {
    int64_t expected, n_beams = g->options->n_beams;
    PM_TRY(pm_search_prepare(g, prompt, &expected));
    PM_TRY(pm_decoder_open(g->decoder, g->s, n_beams > 1 ? n_beams : 1, expected));
    g->start_ns = pm_now_ns();
    if (g->s->model->arch->encoder_decoder) PM_TRY(pm_decoder_encode(g->decoder, prompt->ids, prompt->n));
    return pm_search_run(g);
}

static pm_status generate_one(pm_session *s, const pm_ids *prompt, const pm_generate_options *o,
                              pm_generated *out) {
    pm_decoder decoder;
    pm_search g = {.s = s, .decoder = &decoder, .options = o, .out = out};
    pm_status status = generate(&g, prompt);
    pm_search_finish(&g, status);
    return status;
}

pm_status pm_generate(pm_session *s, const int32_t *ids, size_t n, const pm_generate_options *options,
                      pm_generated *out) {
    static const pm_generate_options defaults = {0};
    const pm_generate_options *o = options ? options : &defaults;
    *out = (pm_generated){0};
    PM_TRY(pm_check_generate_options(s, o));
    pm_status status = generate_one(s, &(pm_ids){ids, n}, o, out);
    if (status != PM_ERR_MEMORY || o->on_token) return status;
    pm_session_forget_caches(s, 0, 0); /* of batches before */
    return generate_one(s, &(pm_ids){ids, n}, o, out);
}

void pm_generated_free(pm_generated *g) {
    pm_free(g->ids);
    *g = (pm_generated){0};
}
