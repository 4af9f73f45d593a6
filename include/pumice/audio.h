/* Pumice, sound: sound files as samples, samples at another rate, log-mel features as Whisper's networks take them, and what
 * is said in them.
 *
 *     pm_sound sound;
 *     float *features;
 *     int64_t frames;
 *     if (pm_sound_open("speech.flac", 16000, &sound) != PM_OK) return complain(pm_error_text());
 *     if (pm_log_mel(sound.samples, sound.n, NULL, &features, &frames) == PM_OK) { ... features[80][frames] ... }
 *     pm_release(features);
 *     pm_sound_free(&sound);
 *
 * It does not record, play or write sound. */
#ifndef PUMICE_AUDIO_H
#define PUMICE_AUDIO_H

#include "pumice/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One channel. */
typedef struct pm_sound {
    float *samples; /* -1 .. 1 */
    size_t n;
    int32_t rate; /* samples a second */
} pm_sound;

/* Reads a file of any format that libsndfile knows (WAV, FLAC, OGG, AIFF, MP3, ...), takes the mean of its channels, and
 * resamples to `rate`, 0 for the file's own. Free with pm_sound_free.
 * Errors: PM_ERR_FILE for a file that is no sound, is damaged, holds no samples or a rate that is not supported. */
pm_status pm_sound_open(const char *path, int32_t rate, pm_sound *out) PM_MUST_USE;
void pm_sound_free(pm_sound *s);

/* ceil(n * to / from) samples; sample i is at the time i / to. What is below 0.45 of the lower rate stays within 0.001 dB, what
 * would fold back from above half of it is 100 dB down (a windowed sinc). Rates: 1000 .. 768000, else PM_ERR_USAGE. */
pm_status pm_sound_resample(const float *samples, size_t n, int32_t from, int32_t to,
                            pm_sound *out) PM_MUST_USE;

/* Zero means Whisper's: 16000, 400, 160, 80. */
typedef struct pm_mel_options {
    int32_t rate, n_fft, hop, n_mels;
} pm_mel_options;

/* Logarithmic mel spectrum (Radford et al. 2022, 2.2): windows of n_fft samples every hop, Hann's window, power, mel bands of Slaney's
 * scale and area, log10 with a floor 8 below the largest of all, (x + 4) / 4. features[n_mels][frames], frames = n / hop, freed
 * with pm_release. PM_ERR_USAGE: fewer than n_fft samples, or options that make no sense. */
pm_status pm_log_mel(const float *samples, size_t n, const pm_mel_options *options, float **out_features,
                     int64_t *out_frames) PM_MUST_USE;

/* ---- what is said ---- */

typedef struct pm_spoken {
    double start, end; /* seconds */
    int32_t *ids;      /* as the decoder gave them, times among them */
    size_t n_ids;
    char *text; /* without special tokens; NULL when the model has no tokenizer */
} pm_spoken;

typedef struct pm_transcribe_options {
    const char *language; /* "en"; NULL: detected in the first window, by a model of several */
    const char *task;     /* "transcribe", "translate" (to English); NULL: "transcribe" */
    bool timestamps;      /* segments with times, also for a sound that fits in one window */
    bool no_context;      /* a window does not see the text before it */
    int32_t n_beams;      /* 0 or 1: greedy */
    int32_t max_new;      /* ids a window; 0: the model's most */
    bool (*on_segment)(void *user, const pm_spoken *segment); /* called as they come; false stops */
    void *user;
} pm_transcribe_options;

typedef struct pm_transcript {
    char language[16]; /* "" for a model of one language */
    double seconds;    /* of the sound */
    pm_spoken *segments;
    size_t n_segments;
    char *text; /* of all segments; NULL when the model has no tokenizer */
} pm_transcript;

/* Whisper's long-form transcription (Radford et al. 2022, 3.8): windows of 30 s, each beginning where the last finished segment of the
 * one before ends, with the text before as a prompt; greedy or by beams, at temperature 0. A sound that fits in one window
 * is decoded once, without times, unless they are asked for. `sound` is resampled where its rate is not the model's.
 * Errors: PM_ERR_USAGE for a model that does not transcribe, a language or task that it does not have; PM_ERR_FILE for
 * files of the model that do not fit together. Free with pm_transcript_free. */
pm_status pm_transcribe(pm_session *s, const pm_sound *sound, const pm_transcribe_options *options,
                        pm_transcript *out) PM_MUST_USE;
void pm_transcript_free(pm_transcript *t);

/* What the model sees of the sound's first window: in.input_features [1,mels,frames], for pm_session_run. Freed with
 * pm_tensors_free. Errors: as of pm_transcribe. */
pm_status pm_sound_inputs(const pm_model *m, const pm_sound *sound, pm_tensors **out_inputs) PM_MUST_USE;

#ifdef __cplusplus
}
#endif
#endif
