/* Sound to text with Whisper (pumice/audio.h): windows, prompts, segments. Rules of times are in timestamps.c, ids in
 * whisper.c, searches in generate.c and beam.c. */
#include <inttypes.h>
#include <string.h>

#include "models/convert.h"
#include "models/search.h"
#include "models/whisper.h"

enum { STRIDE = 2 }; /* frames a step of time: the second convolution's */

typedef struct transcriber {
    pm_session *s;
    const pm_transcribe_options *o;
    pm_transcript *out;
    size_t capacity; /* of out->segments */
    pm_whisper w;
    pm_decoder decoder;
    float *features, *window;  /* [mels][n_frames]; [mels][w.frames] */
    int64_t n_frames, content; /* with the silence behind the sound; of the sound */
    bool times;                /* decoded with times */
    int32_t language;          /* -1: the model has one */
    int32_t *context;          /* ids of the segments so far */
    size_t n_context, context_capacity;
    bool stopped;
    pm_tensors *first; /* where what the first window is made from goes, and no other follows; or NULL */
} transcriber;

/* ---- features ---- */

/* A sound shorter than a window is silence behind its end. */
static pm_status make_features(transcriber *t, const pm_sound *sound) {
    const pm_mel_options *mel = &t->w.mel;
    size_t window = (size_t)(t->w.frames * mel->hop), n = sound->n > window ? sound->n : window;
    if (n < (size_t)mel->n_fft) n = (size_t)mel->n_fft;
    float *padded = pm_calloc(n, sizeof *padded);
    if (!padded) return PM_ERR_MEMORY;
    memcpy(padded, sound->samples, sound->n * sizeof *padded);
    pm_status s = pm_log_mel(padded, n, mel, &t->features, &t->n_frames);
    pm_free(padded);
    t->content = (int64_t)sound->n / mel->hop;
    if (t->content < 1) t->content = 1;
    return s;
}

static pm_status take_sound(transcriber *t, const pm_sound *sound) {
    pm_sound other = {0};
    t->out->seconds = (double)sound->n / sound->rate;
    if (sound->rate != t->w.mel.rate)
        PM_TRY(pm_sound_resample(sound->samples, sound->n, sound->rate, t->w.mel.rate, &other));
    pm_status s = make_features(t, other.samples ? &other : sound);
    pm_sound_free(&other);
    return s;
}

/* Frames from `seek` on, zeros behind the last. */
static void cut_window(const transcriber *t, int64_t seek) {
    int64_t n = t->n_frames - seek < t->w.frames ? t->n_frames - seek : t->w.frames;
    memset(t->window, 0, (size_t)(t->w.mel.n_mels * t->w.frames) * sizeof *t->window);
    for (int32_t m = 0; m < t->w.mel.n_mels; m++)
        memcpy(t->window + m * t->w.frames, t->features + m * t->n_frames + seek,
               (size_t)n * sizeof *t->window);
}

static pm_status make_window(transcriber *t) {
    t->window = pm_calloc((size_t)(t->w.mel.n_mels * t->w.frames), sizeof *t->window);
    return t->window ? PM_OK : PM_ERR_MEMORY;
}

/* ---- prompts ---- */

/* The likeliest language behind the start token. */
static pm_status detect_language(transcriber *t) {
    size_t batch = (size_t)t->decoder.batch, vocab = (size_t)pm_decoder_vocab(&t->decoder);
    float *logits = pm_calloc(batch * vocab, sizeof *logits);
    int32_t *start = pm_calloc(batch, sizeof *start);
    const pm_language *best = t->w.languages;
    pm_status s = logits && start ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; s == PM_OK && i < batch; i++) start[i] = t->s->decoder_start;
    t->decoder.position = 0;
    if (s == PM_OK) s = pm_decoder_feed(&t->decoder, start, 1);
    if (s == PM_OK) s = pm_decoder_logits(&t->decoder, logits);
    for (size_t i = 1; s == PM_OK && i < t->w.n_languages; i++)
        if (logits[t->w.languages[i].id] > logits[best->id]) best = &t->w.languages[i];
    t->language = best->id;
    pm_free(logits);
    pm_free(start);
    return s;
}

static pm_status choose_language(transcriber *t) {
    if (t->w.n_languages && t->language < 0) PM_TRY(detect_language(t));
    strncpy(t->out->language, pm_whisper_code(&t->w, t->language), sizeof t->out->language - 1);
    return PM_OK;
}

static bool asks_for_translation(const transcriber *t) {
    return t->o->task && strcmp(t->o->task, "translate") == 0;
}

/* <|startofprev|>, the newest text before; start, language, task, and that no times are wanted. */
static pm_status make_prompt(const transcriber *t, pm_search *g) {
    size_t room = (size_t)t->s->model->spec.max_positions / 2, n = t->n_context;
    if (room > 0) room--;
    if (n > room) n = room;
    if (t->w.previous >= 0 && n > 0) {
        PM_TRY(pm_search_append(g, t->w.previous));
        for (size_t i = t->n_context - n; i < t->n_context; i++) PM_TRY(pm_search_append(g, t->context[i]));
    }
    PM_TRY(pm_search_append(g, t->s->decoder_start));
    if (t->language >= 0) {
        int32_t task = asks_for_translation(t) ? t->w.translate : t->w.transcribe;
        PM_TRY(pm_search_append(g, t->language));
        if (task >= 0) PM_TRY(pm_search_append(g, task));
    }
    if (!t->times && t->w.times.first >= 0) PM_TRY(pm_search_append(g, t->w.times.no_timestamps));
    g->n_prompt = g->n_ids;
    return PM_OK;
}

/* Most new ids, as Hugging Face Transformers 5 counts: text before does not shorten what the model's file allows. */
static pm_status set_most(const transcriber *t, pm_search *g) {
    int64_t limit = t->s->model->spec.max_positions, n = (int64_t)g->n_prompt, most = limit;
    int64_t before = n - 1 < limit / 2 - 1 ? n - 1 : limit / 2 - 1;
    if (t->w.max_length && t->w.max_length + before < most) most = t->w.max_length + before;
    g->max_new = most - n;
    if (t->o->max_new && t->o->max_new < limit - n) g->max_new = t->o->max_new;
    if (g->max_new >= 1) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "transcribe: a prompt of %" PRId64 " ids leaves no room in %" PRId64, n,
                    most);
}

/* ---- a window ---- */

static void restrict_times(const void *user, const int32_t *ids, size_t n, float *scores, size_t n_scores) {
    const transcriber *t = user;
    pm_timestamps_restrict(&t->w.times, ids, n, scores, n_scores);
}

static pm_status search_window(transcriber *t, pm_search *g) {
    PM_TRY(make_prompt(t, g));
    PM_TRY(set_most(t, g));
    if (t->times) g->restriction = (pm_restriction){restrict_times, t};
    t->decoder.position = 0;
    g->decoder = &t->decoder;
    return pm_search_run(g);
}

/* Text ids of a segment, without times and the end. */
static pm_status decode_text(const transcriber *t, pm_spoken *segment) {
    int32_t *ids = pm_calloc(segment->n_ids, sizeof *ids);
    size_t n = 0;
    if (!ids) return PM_ERR_MEMORY;
    for (size_t i = 0; i < segment->n_ids; i++)
        if (t->w.times.first < 0 || segment->ids[i] < t->w.times.first) ids[n++] = segment->ids[i];
    pm_status s = pm_model_decode(t->s->model, ids, n, &segment->text);
    pm_free(ids);
    return s;
}

/* What the next window sees of a segment: of two times at its end, one. */
static pm_status keep_context(transcriber *t, const pm_spoken *segment) {
    size_t n = segment->n_ids;
    void *context = t->context;
    if (t->o->no_context) return PM_OK;
    if (t->w.times.first >= 0 && n > 2 && segment->ids[n - 2] >= t->w.times.first) n--;
    pm_status s = pm_grow(&context, &t->context_capacity, t->n_context + n, sizeof *t->context);
    t->context = context;
    PM_TRY(s);
    for (size_t i = 0; i < n; i++) t->context[t->n_context++] = segment->ids[i];
    return PM_OK;
}

static pm_status add_segment(transcriber *t, int64_t seek, const int32_t *ids,
                             const pm_window_segment *from) {
    double frame = (double)t->w.mel.hop / t->w.mel.rate;
    void *segments = t->out->segments;
    pm_status s = pm_grow(&segments, &t->capacity, t->out->n_segments + 1, sizeof *t->out->segments);
    t->out->segments = segments;
    PM_TRY(s);
    pm_spoken *to = &t->out->segments[t->out->n_segments];
    *to = (pm_spoken){.start = (double)(seek + from->start * STRIDE) * frame,
                      .end = (double)(seek + from->end * STRIDE) * frame,
                      .n_ids = from->n};
    to->ids = pm_calloc(from->n, sizeof *to->ids);
    if (!to->ids) return PM_ERR_MEMORY;
    t->out->n_segments++;
    if (from->n) memcpy(to->ids, ids + from->first, from->n * sizeof *ids);
    if (t->s->model->info.has_tokenizer) PM_TRY(decode_text(t, to));
    PM_TRY(keep_context(t, to));
    if (t->o->on_segment && !t->o->on_segment(t->o->user, to)) t->stopped = true;
    return PM_OK;
}

/* The new ids of a window as segments; *seek moves on. */
static pm_status take_window(transcriber *t, const pm_search *g, int64_t *seek) {
    const int32_t *ids = g->ids + g->n_prompt;
    size_t n = g->n_ids - g->n_prompt;
    int64_t frames = t->content - *seek < t->w.frames ? t->content - *seek : t->w.frames;
    if (n > 0 && pm_search_is_eos(g, ids[n - 1])) n--;
    pm_window_segment *parts = pm_calloc(n + 1, sizeof *parts);
    if (!parts) return PM_ERR_MEMORY;
    size_t n_parts = 1;
    int64_t steps = 0;
    parts[0] = (pm_window_segment){.n = n, .end = frames / STRIDE};
    if (t->w.times.first >= 0)
        n_parts = pm_timestamps_split(&t->w.times, ids, n, frames / STRIDE, parts, &steps);
    pm_status s = PM_OK;
    for (size_t i = 0; s == PM_OK && i < n_parts && !t->stopped; i++)
        s = add_segment(t, *seek, ids, &parts[i]);
    pm_free(parts);
    *seek += steps > 0 ? steps * STRIDE : frames;
    return s;
}

static pm_status add_features(const transcriber *t, pm_tensors *set) {
    pm_array a = {.name = "in.input_features",
                  .dtype = PM_F32,
                  .rank = 3,
                  .dims = {1, t->w.mel.n_mels, t->w.frames},
                  .data = t->window};
    void *data;
    PM_TRY(pm_tensors_add(set, &a, &data));
    pm_words_to_file(data, (uint64_t)(t->w.mel.n_mels * t->w.frames));
    return PM_OK;
}

/* The last id was not fed. */
static pm_status keep_first(transcriber *t, const pm_search *g) {
    t->stopped = true;
    PM_TRY(add_features(t, t->first));
    return pm_tensors_add_ids(t->first, "in.decoder_input_ids", g->ids,
                              g->n_ids > 1 ? g->n_ids - 1 : g->n_ids);
}

static pm_status transcribe_window(transcriber *t, int64_t *seek) {
    pm_generate_options o = {.n_beams = t->o->n_beams};
    pm_generated figures = {0};
    pm_search g = {.s = t->s, .options = &o, .out = &figures};
    pm_status s;
    g.rules = t->s->model->rules;
    pm_rules_override(&g.rules, &o);
    cut_window(t, *seek);
    PM_GOTO(pm_decoder_encode_signal(&t->decoder, t->window));
    if (*seek == 0) PM_GOTO(choose_language(t));
    PM_GOTO(search_window(t, &g));
    PM_GOTO(take_window(t, &g, seek));
    if (t->first) PM_GOTO(keep_first(t, &g));
fail:
    pm_verdict_free(&g.verdict);
    pm_free(g.ids);
    return s;
}

/* ---- the whole ---- */

static pm_status check_sound(const pm_sound *sound) {
    if (sound->n > 0 && sound->rate > 0) return PM_OK;
    return pm_raise(PM_ERR_USAGE, "sound: has %zu samples at %" PRId32 " a second", sound->n, sound->rate);
}

static pm_status check(const transcriber *t, const pm_sound *sound) {
    const pm_transcribe_options *o = t->o;
    if (o->task && strcmp(o->task, "transcribe") != 0 && strcmp(o->task, "translate") != 0)
        return pm_raise(PM_ERR_USAGE, "task: is \"%.20s\", expected transcribe or translate", o->task);
    if (asks_for_translation(t) && t->w.translate < 0)
        return pm_raise(PM_ERR_USAGE, "task: the model knows one language only and cannot translate");
    if (o->timestamps && t->w.times.first < 0)
        return pm_raise(PM_ERR_USAGE, "timestamps: the model has none (no_timestamps_token_id is missing)");
    if (o->n_beams < 0 || o->n_beams > PM_MAX_BEAMS)
        return pm_raise(PM_ERR_USAGE, "n_beams: %d, expected 0..%d", (int)o->n_beams, (int)PM_MAX_BEAMS);
    if (o->max_new < 0) return pm_raise(PM_ERR_USAGE, "max_new: %d, expected 0 or more", (int)o->max_new);
    if (t->s->decoder_start < 0)
        return pm_raise(PM_ERR_USAGE, "config.json: decoder_start_token_id is missing");
    return check_sound(sound);
}

static pm_status run(transcriber *t, const pm_sound *sound) {
    PM_TRY(pm_whisper_open(t->s->model, &t->w));
    PM_TRY(check(t, sound));
    t->language = t->w.language;
    if (t->o->language) PM_TRY(pm_whisper_language(&t->w, t->o->language, &t->language));
    PM_TRY(take_sound(t, sound));
    t->times = t->w.times.first >= 0 && (t->o->timestamps || t->content > t->w.frames);
    PM_TRY(make_window(t));
    PM_TRY(pm_decoder_open(&t->decoder, t->s, t->o->n_beams > 1 ? t->o->n_beams : 1,
                           t->s->model->spec.max_positions));
    for (int64_t seek = 0; seek < t->content && !t->stopped;) PM_TRY(transcribe_window(t, &seek));
    return PM_OK;
}

static pm_status join_texts(pm_transcript *out) {
    pm_text all = {0};
    for (size_t i = 0; i < out->n_segments; i++) pm_text_add(&all, "%s", out->segments[i].text);
    pm_text_add(&all, "%s", "");
    PM_TRY(pm_text_status(&all));
    out->text = all.data ? all.data : pm_strdup("");
    return out->text ? PM_OK : PM_ERR_MEMORY;
}

static void close_transcriber(transcriber *t) {
    pm_whisper_close(&t->w);
    pm_free(t->features);
    pm_free(t->window);
    pm_free(t->context);
}

static pm_status transcribe(pm_session *s, const pm_sound *sound, const pm_transcribe_options *options,
                            pm_tensors *first, pm_transcript *out) {
    static const pm_transcribe_options defaults = {0};
    transcriber t = {.s = s, .o = options ? options : &defaults, .out = out, .first = first};
    *out = (pm_transcript){0};
    pm_status status = run(&t, sound);
    if (status == PM_OK && s->model->info.has_tokenizer) status = join_texts(out);
    close_transcriber(&t);
    if (status != PM_OK) pm_transcript_free(out);
    return status;
}

pm_status pm_transcribe(pm_session *s, const pm_sound *sound, const pm_transcribe_options *options,
                        pm_transcript *out) {
    return transcribe(s, sound, options, NULL, out);
}

pm_status pm_sound_first_window(pm_session *s, const pm_sound *sound, const pm_transcribe_options *options,
                                pm_tensors **out_inputs, char **out_text) {
    pm_transcript all = {0};
    pm_tensors *set = NULL;
    *out_inputs = NULL;
    pm_status status = pm_tensors_create(&set);
    if (status == PM_OK) status = transcribe(s, sound, options, set, &all);
    *out_text = all.text;
    all.text = NULL;
    pm_transcript_free(&all);
    if (status == PM_OK)
        *out_inputs = set;
    else
        pm_tensors_free(set);
    return status;
}

static pm_status make_inputs(transcriber *t, const pm_model *m, const pm_sound *sound, pm_tensors *set) {
    PM_TRY(pm_whisper_open(m, &t->w));
    PM_TRY(check_sound(sound));
    PM_TRY(take_sound(t, sound));
    PM_TRY(make_window(t));
    cut_window(t, 0);
    return add_features(t, set);
}

pm_status pm_sound_inputs(const pm_model *m, const pm_sound *sound, pm_tensors **out_inputs) {
    pm_transcript figures = {0};
    transcriber t = {.out = &figures};
    pm_tensors *set = NULL;
    *out_inputs = NULL;
    pm_status s = pm_tensors_create(&set);
    if (s == PM_OK) s = make_inputs(&t, m, sound, set);
    close_transcriber(&t);
    if (s == PM_OK)
        *out_inputs = set;
    else
        pm_tensors_free(set);
    return s;
}

void pm_transcript_free(pm_transcript *t) {
    for (size_t i = 0; i < t->n_segments; i++) {
        pm_free(t->segments[i].ids);
        pm_free(t->segments[i].text);
    }
    pm_free(t->segments);
    pm_free(t->text);
    *t = (pm_transcript){0};
}
