/* Pumice, sound: sound files as samples, samples at another rate, log-mel features as Whisper's networks take them.
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

#ifdef __cplusplus
}
#endif
#endif
