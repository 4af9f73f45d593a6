/* Generation (pumice/model.h): prompt, greedy and sampled continuation, text to text. Beams are in beam.c. */
#include "models/search.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "models/sample.h"

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
    if (o->n_stops && !s->model->words.source)
        return pm_raise(PM_ERR_USAGE,
                        "stops: the model has no tokenizer, so that no text can end its output");
    return pm_check_sampling(o);
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
    /* The last new id is never fed, so that it needs no position. */
    g->max_new = info->max_positions - (int64_t)g->n_prompt + 1;
    if (g->options->max_new && g->options->max_new < g->max_new) g->max_new = g->options->max_new;
    return pm_check_ids("ids", g->ids, g->n_ids, info->vocab_size);
}

/* ---- one sequence ---- */

/* Greedy reads one id and its logit from the device; all logits only when that one is no finite number. */
static pm_status choose(pm_search *g, pm_random *random, float *logits, int32_t *out_id) {
    size_t vocab = (size_t)pm_decoder_vocab(&g->decoder);
    bool found = false;
    if (!g->options->sample) PM_TRY(pm_decoder_best(&g->decoder, out_id, &found));
    if (found) return PM_OK;
    PM_TRY(pm_decoder_logits(&g->decoder, logits));
    if (!g->options->sample) return pm_likeliest(logits, vocab, out_id);
    return pm_sample(g->options, random, logits, vocab, out_id);
}

pm_status pm_search_meets_stop(const pm_search *g, const int32_t *ids, size_t n, bool *out_stop) {
    char *text = NULL;
    if (!g->options->n_stops) return PM_OK;
    PM_TRY(pm_model_decode(g->s->model, ids, n, &text));
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
    for (; !done; g->out->decode_steps++) {
        PM_GOTO(pm_decoder_feed(&g->decoder, &id, 1));
        PM_GOTO(choose(g, &random, logits, &id));
        PM_GOTO(take(g, id, &done));
    }
fail:
    pm_free(logits);
    return s;
}

/* ---- the whole ---- */

static pm_status generate(pm_search *g, const int32_t *ids, size_t n) {
    bool beams = g->options->n_beams > 1;
    PM_TRY(set_prompt(g, ids, n));
    /* Rows to begin with; longer outputs grow the cache when they come to it. */
    int64_t guess = g->options->max_new ? 1024 : 64, ahead = g->max_new < guess ? g->max_new : guess;
    PM_TRY(pm_decoder_open(&g->decoder, g->s, beams ? g->options->n_beams : 1,
                           (int64_t)g->n_prompt + ahead - 1));
    g->start_ns = pm_now_ns();
    if (g->s->model->arch->encoder_decoder) PM_TRY(pm_decoder_encode(&g->decoder, ids, n));
    PM_TRY(beams ? pm_beam_search(g) : continue_one(g));
    end_decoding(g);
    return PM_OK;
}

pm_status pm_generate(pm_session *s, const int32_t *ids, size_t n, const pm_generate_options *options,
                      pm_generated *out) {
    static const pm_generate_options defaults = {0};
    pm_search g = {.s = s, .options = options ? options : &defaults, .out = out};
    *out = (pm_generated){0};
    PM_TRY(check_options(s, g.options));
    pm_status status = generate(&g, ids, n);
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
    int32_t *ids = NULL;
    size_t n = 0;
    pm_generated g = {0};
    *out_text = NULL;
    if (!s->model->arch->encoder_decoder)
        return pm_raise(PM_ERR_USAGE, "%s: the model is not an encoder-decoder", s->model->files.path);
    PM_TRY(pm_model_encode(s->model, text, &ids, &n));
    pm_status status = pm_generate(s, ids, n, options, &g);
    if (status == PM_OK)
        status = pm_model_decode(s->model, g.ids + g.n_prompt, g.n_ids - g.n_prompt, out_text);
    pm_generated_free(&g);
    pm_free(ids);
    return status;
}
