/* Generation (pumice/model.h): prompt, greedy and sampled continuation, text to text. Beams are in beam.c. */
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
                           .vocab = (size_t)pm_decoder_vocab(&g->decoder)};
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

static pm_status check_options(const pm_session *s, const pm_generate_options *o) {
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

/* ---- one sequence ---- */

/* Greedy reads one id and its logit from the device; all logits only when that one is no finite number, or when rules
 * forbid it or change logits. */
static pm_status choose(pm_search *g, pm_random *random, float *logits, int32_t *out_id) {
    size_t vocab = (size_t)pm_decoder_vocab(&g->decoder);
    bool found = false;
    PM_TRY(pm_search_judge(g, g->ids, g->n_ids));
    if (!g->options->sample && !g->verdict.penalised && !g->restriction.apply)
        PM_TRY(pm_decoder_best(&g->decoder, out_id, &found));
    found &= g->verdict.n_forced < 2; /* of several that are forced, each as likely, the first comes */
    if (found && pm_verdict_allows(&g->verdict, *out_id)) return PM_OK;
    PM_TRY(pm_decoder_logits(&g->decoder, logits));
    pm_search_apply(g, g->ids, g->n_ids, logits);
    if (!g->options->sample) return pm_likeliest(logits, vocab, out_id);
    return pm_sample(g->options, random, logits, vocab, out_id);
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

/* Takes the newest id; *out_done when it is the last. */
static pm_status take(pm_search *g, int32_t id, bool *out_done) {
    const pm_generate_options *o = g->options;
    bool done = pm_search_is_eos(g, id);
    PM_TRY(pm_search_append(g, id));
    PM_TRY(pm_search_meets_stop(g, g->ids + g->n_prompt, g->n_ids - g->n_prompt, &done));
    if (o->on_token && !o->on_token(o->user, id)) done = true;
    *out_done = done || g->n_ids - g->n_prompt >= (size_t)g->max_new;
    return PM_OK;
}

pm_status pm_search_begin_decoding(pm_search *g) {
    pm_ready *step;
    g->out->prompt_ns = g->out->first_token_ns = pm_now_ns() - g->start_ns;
    PM_TRY(pm_decoder_program(&g->decoder, 1, &step));
    g->out->n_device_ops = step->program->n_dispatches - step->program->n_fallback;
    g->out->n_fallback_ops = step->program->n_fallback;
    if (!g->out->no_loop && g->max_new > 2) PM_TRY(pm_loop_program(&g->loop, &g->decoder, &step));
    pm_executor_get_stats(g->s->executor, &g->meter.start);
    g->meter.start_ns = pm_now_ns();
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

/* ---- the loop on the device (loop.h) ---- */

enum { LOOP_STEPS = 32, FIRST_LOOP_STEPS = 4 };

/* What the step program cannot do: the host does every step then. NULL: nothing. */
static const char *why_no_loop(const pm_search *g) {
    const pm_generate_options *o = g->options;
    const pm_rules *r = &g->rules;
    if (o->n_beams > 1) return "beams";
    if (o->sample) return "sampling";
    if (o->loop_steps == 1) return "one step at a time was asked for";
    if (g->restriction.apply) return "the task restricts what may follow";
    if (r->no_repeat_ngram) return "no_repeat_ngram_size";
    if (r->n_bad) return "bad_words_ids";
    if (r->n_suppress) return "suppress_tokens";
    return NULL;
}

/* Nothing can end it before its time, so that no step is in vain. */
static bool ends_late(const pm_search *g) {
    return g->loop.n_ends == 0 && g->options->n_stops == 0;
}

static int64_t most_steps(const pm_search *g) {
    return g->options->loop_steps ? g->options->loop_steps : LOOP_STEPS;
}

static void begin_loop(pm_search *g) {
    const pm_model *m = g->s->model;
    int64_t most = most_steps(g);
    g->loop = (pm_loop){.ends = m->eos,
                        .n_ends = g->options->ignore_eos ? 0 : m->n_eos,
                        .penalty = g->rules.repetition_penalty};
    g->out->no_loop = why_no_loop(g);
    g->loop_steps = ends_late(g) || most < FIRST_LOOP_STEPS ? most : FIRST_LOOP_STEPS;
}

/* Steps that the device may do by itself now. The rules about beginnings and the last id are the host's. */
static int64_t steps_ahead(const pm_search *g) {
    const pm_rules *r = &g->rules;
    size_t n_new = g->n_ids - g->n_prompt;
    int64_t left = g->max_new - (int64_t)n_new - (r->n_forced_eos > 0);
    if (g->out->no_loop || g->n_ids < (size_t)r->min_length || n_new < (size_t)r->min_new) return 0;
    if (r->n_begin_suppress && n_new < 2) return 0;
    return left < g->loop_steps ? left : g->loop_steps;
}

/* One submission of the loop. *out_stuck: the host has to choose what follows. Each one may be twice as long as the one before:
 * of an output that ends in the middle, no more steps are in vain than were made. */
static pm_status loop(pm_search *g, int64_t n, int32_t *id, bool *out_stuck, bool *out_done) {
    int64_t most = most_steps(g);
    int32_t ids[PM_LOOP_RING];
    size_t n_ids;
    g->loop.ids = g->ids;
    g->loop.n_ids = g->n_ids;
    PM_TRY(pm_loop_run(&g->loop, &g->decoder, *id, n, ids, &n_ids));
    for (size_t i = 0; i < n_ids && !*out_done; i++) {
        *id = ids[i];
        PM_TRY(take(g, ids[i], out_done));
        g->out->decode_steps++;
        g->out->loop_steps++;
    }
    *out_stuck = !*out_done && (n_ids == 0 || g->loop.made == 0);
    g->loop_steps = 2 * g->loop_steps < most ? 2 * g->loop_steps : most;
    return PM_OK;
}

static pm_status continue_one(pm_search *g) {
    pm_random random = {g->options->seed};
    float *logits = pm_calloc((size_t)pm_decoder_vocab(&g->decoder), sizeof *logits);
    bool done = false;
    int32_t id = 0;
    pm_status s = logits ? PM_OK : PM_ERR_MEMORY;
    if (s != PM_OK) return s;
    PM_GOTO(pm_decoder_feed(&g->decoder, g->ids, g->n_ids));
    PM_GOTO(choose(g, &random, logits, &id));
    PM_GOTO(take(g, id, &done));
    PM_GOTO(pm_search_begin_decoding(g));
    for (bool stuck = false; !done;) {
        int64_t n = stuck ? 0 : steps_ahead(g);
        stuck = false;
        if (n > 1) {
            PM_GOTO(loop(g, n, &id, &stuck, &done));
            continue;
        }
        PM_GOTO(pm_decoder_feed(&g->decoder, &id, 1));
        PM_GOTO(choose(g, &random, logits, &id));
        PM_GOTO(take(g, id, &done));
        g->out->decode_steps++;
    }
fail:
    pm_free(logits);
    return s;
}

/* ---- the whole ---- */

pm_status pm_search_run(pm_search *g) {
    PM_TRY(pm_rules_check(&g->rules, pm_decoder_vocab(&g->decoder)));
    begin_loop(g);
    PM_TRY(g->options->n_beams > 1 ? pm_beam_search(g) : continue_one(g));
    end_decoding(g);
    return PM_OK;
}

static pm_status generate(pm_search *g, const int32_t *ids, size_t n) {
    bool beams = g->options->n_beams > 1;
    g->rules = g->s->model->rules;
    pm_rules_override(&g->rules, g->options);
    PM_TRY(set_prompt(g, ids, n));
    /* Rows to begin with; longer outputs grow the cache when they come to it. */
    int64_t guess = g->options->max_new ? 1024 : 64, ahead = g->max_new < guess ? g->max_new : guess;
    PM_TRY(pm_decoder_open(&g->decoder, g->s, beams ? g->options->n_beams : 1,
                           (int64_t)g->n_prompt + ahead - 1));
    g->start_ns = pm_now_ns();
    if (g->s->model->arch->encoder_decoder) PM_TRY(pm_decoder_encode(&g->decoder, ids, n));
    return pm_search_run(g);
}

pm_status pm_generate(pm_session *s, const int32_t *ids, size_t n, const pm_generate_options *options,
                      pm_generated *out) {
    static const pm_generate_options defaults = {0};
    pm_search g = {.s = s, .options = options ? options : &defaults, .out = out};
    *out = (pm_generated){0};
    PM_TRY(check_options(s, g.options));
    pm_status status = generate(&g, ids, n);
    pm_verdict_free(&g.verdict);
    if (status != PM_OK) {
        pm_free(g.ids);
        *out = (pm_generated){0};
        return status;
    }
    out->ids = g.ids;
    out->n_ids = g.n_ids;
    out->n_prompt = g.n_prompt;
    out->score = g.score;
    return PM_OK;
}

void pm_generated_free(pm_generated *g) {
    pm_free(g->ids);
    *g = (pm_generated){0};
}

pm_status pm_translate(pm_session *s, const char *text, const pm_generate_options *options, char **out_text) {
    pm_generate_options o = options ? *options : (pm_generate_options){0};
    int32_t *ids = NULL;
    size_t n = 0;
    pm_generated g = {0};
    *out_text = NULL;
    if (!s->model->arch->encoder_decoder)
        return pm_raise(PM_ERR_USAGE, "%s: the model is not an encoder-decoder", s->model->files.path);
    if (!o.n_beams && !o.sample && !o.ignore_rules) o.n_beams = (int32_t)s->model->rules.n_beams;
    PM_TRY(pm_model_encode_source(s->model, text, &o, &ids, &n));
    pm_status status = pm_generate(s, ids, n, &o, &g);
    if (status == PM_OK)
        status = pm_model_decode(s->model, g.ids + g.n_prompt, g.n_ids - g.n_prompt, out_text);
    pm_generated_free(&g);
    pm_free(ids);
    return status;
}
