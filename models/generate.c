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
    if (info->encoder_decoder && info->decoder_start_id < 0)
        return pm_raise(PM_ERR_USAGE, "config.json: decoder_start_token_id is missing, generation needs it");
    if (!info->encoder_decoder && n == 0 && info->bos_id < 0)
        return pm_raise(PM_ERR_USAGE, "ids: the prompt is empty");
    int32_t start = info->encoder_decoder ? info->decoder_start_id : info->bos_id;
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

static pm_status choose(pm_search *g, pm_random *random, float *logits, int32_t *out_id) {
    size_t vocab = (size_t)pm_decoder_vocab(&g->decoder);
    if (!g->options->sample) return pm_decoder_best(&g->decoder, out_id);
    PM_TRY(pm_decoder_logits(&g->decoder, logits));
    return pm_sample(g->options, random, logits, vocab, out_id);
}

static pm_status meets_stop(const pm_search *g, bool *out_stop) {
    char *text = NULL;
    if (!g->options->n_stops) return PM_OK;
    PM_TRY(pm_model_decode(g->s->model, g->ids + g->n_prompt, g->n_ids - g->n_prompt, &text));
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
    PM_TRY(meets_stop(g, &done));
    if (o->on_token && !o->on_token(o->user, id)) done = true;
    *out_done = done || g->n_ids - g->n_prompt >= (size_t)g->max_new;
    return PM_OK;
}

/* What decoding costs, from begin to end. */
typedef struct meter {
    uint64_t start_ns;
    pm_executor_stats start;
} meter;

/* Makes the one-token program, so that decoding itself records nothing, and starts to count. */
static pm_status begin_decoding(pm_search *g, pm_generated *out, meter *m) {
    pm_ready *step;
    PM_TRY(pm_decoder_program(&g->decoder, 1, &step));
    out->n_device_ops = step->program->n_dispatches - step->program->n_fallback;
    out->n_fallback_ops = step->program->n_fallback;
    pm_executor_get_stats(g->s->executor, &m->start);
    m->start_ns = pm_now_ns();
    return PM_OK;
}

static void end_decoding(const pm_search *g, pm_generated *out, const meter *m) {
    pm_executor_stats end;
    pm_executor_get_stats(g->s->executor, &end);
    out->decode_ns = pm_now_ns() - m->start_ns;
    out->decode_submits = end.n_submits - m->start.n_submits;
    out->decode_recordings = end.n_recordings - m->start.n_recordings;
    out->decode_host_ns = end.host_ns - m->start.host_ns;
}

static pm_status continue_one(pm_search *g, pm_generated *out, uint64_t start) {
    pm_random random = {g->options->seed};
    size_t vocab = (size_t)pm_decoder_vocab(&g->decoder);
    float *logits = pm_calloc(g->options->sample ? vocab : 0, sizeof *logits);
    bool done = false;
    int32_t id = 0;
    meter m;
    pm_status s = logits ? PM_OK : PM_ERR_MEMORY;
    if (s != PM_OK) return s;
    PM_GOTO(pm_decoder_feed(&g->decoder, g->ids, g->n_ids));
    PM_GOTO(choose(g, &random, logits, &id));
    PM_GOTO(take(g, id, &done));
    out->prompt_ns = out->first_token_ns = pm_now_ns() - start;
    PM_GOTO(begin_decoding(g, out, &m));
    for (; !done; out->decode_steps++) {
        PM_GOTO(pm_decoder_feed(&g->decoder, &id, 1));
        PM_GOTO(choose(g, &random, logits, &id));
        PM_GOTO(take(g, id, &done));
    }
    end_decoding(g, out, &m);
fail:
    pm_free(logits);
    return s;
}

static pm_status search_beams(pm_search *g, pm_generated *out) {
    meter m;
    PM_TRY(begin_decoding(g, out, &m));
    PM_TRY(pm_beam_search(g));
    end_decoding(g, out, &m);
    out->decode_steps = g->n_ids - g->n_prompt;
    return PM_OK;
}

/* ---- the whole ---- */

static pm_status generate(pm_search *g, const int32_t *ids, size_t n, pm_generated *out) {
    bool beams = g->options->n_beams > 1;
    PM_TRY(set_prompt(g, ids, n));
    /* Rows to begin with; longer outputs grow the cache when they come to it. */
    int64_t guess = g->options->max_new ? 1024 : 64, ahead = g->max_new < guess ? g->max_new : guess;
    PM_TRY(pm_decoder_open(&g->decoder, g->s, beams ? g->options->n_beams : 1,
                           (int64_t)g->n_prompt + ahead - 1));
    uint64_t start = pm_now_ns();
    if (g->s->model->arch->encoder_decoder) PM_TRY(pm_decoder_encode(&g->decoder, ids, n));
    return beams ? search_beams(g, out) : continue_one(g, out, start);
}

pm_status pm_generate(pm_session *s, const int32_t *ids, size_t n, const pm_generate_options *options,
                      pm_generated *out) {
    static const pm_generate_options defaults = {0};
    pm_search g = {.s = s, .options = options ? options : &defaults};
    *out = (pm_generated){0};
    PM_TRY(check_options(s, g.options));
    pm_status status = generate(&g, ids, n, out);
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
