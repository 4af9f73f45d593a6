/* Generation of several sequences at once (pumice/model.h), and text to text. */
#include <string.h>

#include "models/model_text.h"
#include "models/search.h"

/* ---- batches ---- */

enum { KEPT_ROWS = 16 }; /* caches of so many sequences stay beside a batch's, for another batch of as many */

pm_status pm_check_prompt(pm_session *s, const int32_t *ids, size_t n) {
    static const pm_generate_options defaults = {0};
    pm_decoder decoder = {.s = s};
    pm_generated out = {0};
    pm_search g = {.s = s, .decoder = &decoder, .options = &defaults, .out = &out};
    int64_t expected;
    PM_TRY(pm_check_generate_options(s, &defaults));
    pm_status status = pm_search_prepare(&g, &(pm_ids){ids, n}, &expected);
    if (status == PM_OK && s->model->arch->encoder_decoder)
        status = pm_decoder_check_source(&decoder, &(pm_ids){ids, n});
    pm_search_finish(&g, status);
    pm_generated_free(&out);
    return status;
}

static pm_status check_batch(pm_session *s, const pm_ids *prompts, size_t n, const pm_generate_options *o) {
    PM_TRY(pm_check_generate_options(s, o));
    if (n > PM_MAX_ROWS)
        return pm_raise(PM_ERR_USAGE, "batch: %zu prompts, expected at most %d", n, (int)PM_MAX_ROWS);
    if (n > 1 && o->on_token)
        return pm_raise(PM_ERR_USAGE, "on_token: is for one sequence, there are %zu", n);
    for (size_t i = 0; i < n; i++) {
        pm_status status = pm_check_prompt(s, prompts[i].ids, prompts[i].n);
        if (status != PM_OK) return pm_name_prompt(status, o, i);
    }
    return PM_OK;
}

static pm_status run_together(pm_search *rows, const pm_ids *prompts, size_t n) {
    pm_session *s = rows->s;
    int64_t most = 1;
    for (size_t i = 0; i < n; i++) {
        int64_t expected;
        PM_TRY(pm_search_prepare(&rows[i], &prompts[i], &expected));
        if (expected > most) most = expected;
    }
    PM_TRY(pm_decoder_open_rows(rows->decoder, s, (int64_t)n, most));
    rows->start_ns = pm_now_ns();
    if (s->model->arch->encoder_decoder) PM_TRY(pm_decoder_encode_rows(rows->decoder, prompts));
    return pm_search_run_rows(rows, n);
}

static pm_status generate_together(pm_session *s, const pm_ids *prompts, size_t n,
                                   const pm_generate_options *o, pm_generated *out) {
    pm_decoder decoder;
    pm_search *rows = pm_calloc(n, sizeof *rows);
    if (!rows) return PM_ERR_MEMORY;
    for (size_t i = 0; i < n; i++)
        rows[i] = (pm_search){.s = s, .decoder = &decoder, .options = o, .out = &out[i]};
    pm_status status = run_together(rows, prompts, n);
    for (size_t i = 0; i < n; i++) pm_search_finish(&rows[i], status);
    pm_free(rows);
    return status;
}

/* Beams are rows of their own already. A segment memory is forgotten when the cache is full, of all rows at once, and they are not
 * full at once. */
static bool goes_together(const pm_session *s, size_t n, const pm_generate_options *o) {
    return n > 1 && o->n_beams <= 1 && !s->model->spec.recurrence.on;
}

/* One after the other, or all together. */
static pm_status generate_all(pm_session *s, const pm_ids *prompts, size_t n, const pm_generate_options *o,
                              pm_generated *out) {
    if (goes_together(s, n, o)) return generate_together(s, prompts, n, o, out);
    pm_status status = PM_OK;
    for (size_t i = 0; status == PM_OK && i < n; i++) {
        status = pm_generate(s, prompts[i].ids, prompts[i].n, o, &out[i]);
        if (status != PM_OK && o->prompt_numbers) status = pm_name_prompt(status, o, i);
    }
    return status;
}

/* Where memory is short: without the caches of other batches; then the halves, one after the other. */
static pm_status generate_parts(pm_session *s, const pm_ids *prompts, size_t n, const pm_generate_options *o,
                                pm_generated *out) {
    pm_generate_options rest = *o;
    pm_status status = generate_all(s, prompts, n, o, out);
    if (status != PM_ERR_MEMORY || !goes_together(s, n, o)) return status;
    pm_session_forget_caches(s, 0, 0);
    status = generate_together(s, prompts, n, o, out);
    if (status != PM_ERR_MEMORY) return status;
    pm_session_forget_caches(s, 0, 0);
    if (rest.prompt_numbers) rest.prompt_numbers += n / 2;
    PM_TRY(generate_parts(s, prompts, n / 2, o, out));
    return generate_parts(s, prompts + n / 2, n - n / 2, &rest, out + n / 2);
}

pm_status pm_generate_batch(pm_session *s, const pm_ids *prompts, size_t n,
                            const pm_generate_options *options, pm_generated *out) {
    static const pm_generate_options defaults = {0};
    const pm_generate_options *o = options ? options : &defaults;
    pm_generate_options named = *o;
    size_t numbers[PM_MAX_ROWS];
    memset(out, 0, n * sizeof *out);
    PM_TRY(check_batch(s, prompts, n, o));
    pm_session_forget_caches(s, (int64_t)n, KEPT_ROWS);
    for (size_t i = 0; i < n; i++) numbers[i] = i + 1;
    if (n > 1 && !named.prompt_numbers) named.prompt_numbers = numbers;
    pm_status status = generate_parts(s, prompts, n, &named, out);
    for (size_t i = 0; status != PM_OK && i < n; i++) pm_generated_free(&out[i]);
    return status;
}

/* ---- text to text ---- */

/* The ids of those texts that can be translated; why not of the others. */
static pm_status encode_texts(pm_session *s, const char *const *texts, size_t n, pm_generate_options *o,
                              pm_ids *ids, pm_translation *out) {
    for (size_t i = 0; i < n; i++) {
        int32_t *own = NULL;
        pm_status status = pm_model_encode_source(s->model, texts[i], o, &own, &ids[i].n);
        ids[i].ids = own;
        if (status == PM_OK) status = pm_check_prompt(s, own, ids[i].n);
        if (status != PM_OK && status != PM_ERR_USAGE) return status;
        out[i].status = status;
        if (status != PM_OK && !(out[i].error = pm_strdup(pm_error_text()))) return PM_ERR_MEMORY;
    }
    return PM_OK;
}

/* Generates for texts `which` and decodes. */
static pm_status translate_ids(pm_session *s, const pm_ids *ids, const size_t *which, size_t n,
                               const pm_generate_options *o, pm_translation *out) {
    pm_generated *g = pm_calloc(n, sizeof *g);
    if (!g) return PM_ERR_MEMORY;
    pm_status status = pm_generate_batch(s, ids, n, o, g);
    for (size_t i = 0; status == PM_OK && i < n; i++)
        status = pm_model_decode(s->model, g[i].ids + g[i].n_prompt, g[i].n_ids - g[i].n_prompt,
                                 &out[which[i]].text);
    for (size_t i = 0; i < n; i++) pm_generated_free(&g[i]);
    pm_free(g);
    return status;
}

static pm_status translate_all(pm_session *s, const char *const *texts, size_t n, pm_generate_options *o,
                               pm_ids *ids, pm_translation *out) {
    pm_generate_options named;
    pm_ids good[PM_MAX_ROWS];
    size_t which[PM_MAX_ROWS], numbers[PM_MAX_ROWS], n_good = 0;
    PM_TRY(encode_texts(s, texts, n, o, ids, out));
    for (size_t i = 0; i < n; i++) {
        if (out[i].status != PM_OK) continue;
        numbers[n_good] = o->prompt_numbers ? o->prompt_numbers[i] : i + 1;
        good[n_good] = ids[i], which[n_good++] = i;
    }
    named = *o;
    if (n > 1 || o->prompt_numbers) named.prompt_numbers = numbers;
    return n_good ? translate_ids(s, good, which, n_good, &named, out) : PM_OK;
}

pm_status pm_translate_batch(pm_session *s, const char *const *texts, size_t n,
                             const pm_generate_options *options, pm_translation *out) {
    pm_generate_options o = options ? *options : (pm_generate_options){0};
    memset(out, 0, n * sizeof *out);
    if (!s->model->arch->encoder_decoder)
        return pm_raise(PM_ERR_USAGE, "%s: the model is not an encoder-decoder", s->model->files.path);
    if (!o.n_beams && !o.sample && !o.ignore_rules) o.n_beams = (int32_t)s->model->rules.n_beams;
    PM_TRY(check_batch(s, NULL, 0, &o));
    if (n > PM_MAX_ROWS)
        return pm_raise(PM_ERR_USAGE, "batch: %zu texts, expected at most %d", n, (int)PM_MAX_ROWS);
    pm_ids *ids = pm_calloc(n, sizeof *ids);
    if (n && !ids) return PM_ERR_MEMORY;
    pm_status status = translate_all(s, texts, n, &o, ids, out);
    for (size_t i = 0; i < n; i++) pm_free((void *)ids[i].ids);
    pm_free(ids);
    if (status != PM_OK) pm_translations_free(out, n);
    return status;
}

void pm_translations_free(pm_translation *t, size_t n) {
    for (size_t i = 0; i < n; i++) {
        pm_free(t[i].text);
        pm_free(t[i].error);
        t[i] = (pm_translation){0};
    }
}

pm_status pm_translate(pm_session *s, const char *text, const pm_generate_options *options, char **out_text) {
    pm_translation t = {0};
    *out_text = NULL;
    PM_TRY(pm_translate_batch(s, &text, 1, options, &t));
    pm_status status = t.status;
    if (status == PM_OK)
        *out_text = t.text;
    else
        (void)pm_raise(status, "%s", t.error);
    pm_free(t.error);
    return status;
}
