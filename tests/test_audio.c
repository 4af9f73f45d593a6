/* Sound: files, other rates, features. Expected features are Hugging Face's (tests/data/audio/make_audio.py); what the resampler
 * may do is measured on sines, against what pumice/audio.h promises. */
#include "pumice/audio.h"
#include "tests/support_memory.h"
#include "tests/support_models.h"

#include <math.h>
#include <sndfile.h>
#include <stdlib.h>

#include "models/fourier.h"

#define PI 3.14159265358979323846
static const char folder[] = PM_SOURCE_DIR "/tests/data/audio";

/* ---- the transform ---- */

static void transforms_of_any_length(void **state) {
    static const int lengths[] = {1, 2, 3, 4, 5, 7, 8, 12, 25, 97, 400, 441, 512, 1000};
    (void)state;
    for (size_t l = 0; l < PM_COUNT(lengths); l++) {
        int n = lengths[l];
        pm_fourier f;
        pm_complex *x = calloc((size_t)n, sizeof *x), *y = calloc((size_t)n, sizeof *y);
        test_rng r = {(uint64_t)n};
        assert_ok(pm_fourier_open(n, &f));
        for (int i = 0; i < n; i++)
            x[i] = (pm_complex){(double)test_uniform(&r, -1, 1), (double)test_uniform(&r, -1, 1)};
        pm_fourier_run(&f, x, y);
        for (int k = 0; k < n; k++) {
            double re = 0, im = 0;
            for (int i = 0; i < n; i++) {
                double a = -2 * PI * (double)((int64_t)i * k % n) / n;
                re += x[i].re * cos(a) - x[i].im * sin(a);
                im += x[i].re * sin(a) + x[i].im * cos(a);
            }
            assert_true(hypot(re - y[k].re, im - y[k].im) < 1e-12 * (n + 1));
        }
        pm_fourier_close(&f);
        free(x);
        free(y);
    }
}

/* ---- features ---- */

static double feature_error(const pm_sound *s, int32_t n_mels, const float *expected, int64_t n_expected) {
    float *padded = calloc(480000, sizeof *padded), *features;
    int64_t frames;
    double worst = 0;
    memcpy(padded, s->samples, s->n * sizeof *padded);
    assert_ok(pm_log_mel(padded, 480000, &(pm_mel_options){.n_mels = n_mels}, &features, &frames));
    assert_int_equal(frames, 3000);
    for (int64_t m = 0; m < n_mels; m++)
        for (int64_t t = 0; t < n_expected; t++)
            worst =
                fmax(worst, fabs((double)features[m * frames + t] - (double)expected[m * n_expected + t]));
    pm_release(features);
    free(padded);
    return worst;
}

/* 2e-5: what fp32 transforms of the reference lose in bands 80 dB below the loudest. */
static void check_features(const char *wav, const char *reference, const char *name, int32_t n_mels) {
    pm_sound s;
    pm_tensors *set;
    assert_ok(pm_sound_open(wav, 16000, &s));
    assert_int_equal(s.rate, 16000);
    assert_ok(pm_tensors_read(reference, &set));
    const pm_array *a = pm_tensors_get(set, name);
    assert_non_null(a);
    int64_t n = a->dims[a->rank - 1];
    assert_int_equal(a->bytes, (uint64_t)(n_mels * n) * sizeof(float));
    double worst = feature_error(&s, n_mels, (const float *)a->data, n);
    print_message("%s: %d bands: worst difference %.2g\n", name, n_mels, worst);
    assert_true(worst < 2e-5);
    pm_tensors_free(set);
    pm_sound_free(&s);
}

static void features_are_the_reference_s(void **state) {
    char wav[TEST_PATH], reference[TEST_PATH];
    (void)state;
    snprintf(wav, sizeof wav, "%s/chirp.wav", folder);
    snprintf(reference, sizeof reference, "%s/chirp-logmel.safetensors", folder);
    check_features(wav, reference, "mel80", 80);
    check_features(wav, reference, "mel128", 128);
}

static void features_of_speech(void **state) {
    const char *shared = test_shared_dir();
    char wav[TEST_PATH], reference[TEST_PATH];
    (void)state;
    if (!shared) skip_because("../shared is not here");
    snprintf(wav, sizeof wav, "%s/reference/preprocess/jfk.wav", shared);
    snprintf(reference, sizeof reference, "%s/reference/preprocess/jfk-logmel80.safetensors", shared);
    check_features(wav, reference, "out.input_features", 80);
}

static void bad_mel_options_are_refused(void **state) {
    static const pm_mel_options bad[] = {{.rate = -1}, {.rate = 5},  {.n_fft = 7},   {.n_fft = 100000},
                                         {.hop = -3},  {.hop = 401}, {.n_mels = -1}, {.n_mels = 100000}};
    float x[500] = {0}, *features;
    int64_t frames;
    (void)state;
    for (size_t i = 0; i < PM_COUNT(bad); i++)
        assert_int_equal(pm_log_mel(x, 500, &bad[i], &features, &frames), PM_ERR_USAGE);
    assert_int_equal(pm_log_mel(x, 399, NULL, &features, &frames), PM_ERR_USAGE);
    assert_non_null(strstr(pm_error_text(), "399 samples"));
    assert_ok(pm_log_mel(x, 400, NULL, &features, &frames));
    assert_int_equal(frames, 2);
    for (int i = 0; i < 160; i++) assert_float_equal(features[i], -1.5, 0); /* (-10 + 4) / 4 */
    pm_release(features);
}

/* ---- other rates ---- */

/* Amplitude at `hz` of what a sine of amplitude 1 at `from_hz` becomes, away from the ends. */
typedef struct tone {
    double amplitude, rest; /* at its frequency; root mean square of everything else times sqrt(2) */
} tone;

static tone resampled_tone(int32_t from, int32_t to, double hz) {
    size_t n = (size_t)from / 2;
    float *x = calloc(n, sizeof *x);
    pm_sound y;
    for (size_t i = 0; i < n; i++) x[i] = (float)sin(2 * PI * hz * (double)i / from);
    assert_ok(pm_sound_resample(x, n, from, to, &y));
    assert_int_equal(y.rate, to);
    assert_int_equal(y.n, (n * (size_t)to + (size_t)from - 1) / (size_t)from);
    /* Least squares of a sine and a cosine over the middle. */
    size_t first = y.n / 4, last = y.n * 3 / 4;
    double ss = 0, cc = 0, sc = 0, xs = 0, xc = 0, rest = 0;
    for (size_t i = first; i < last; i++) {
        double s = sin(2 * PI * hz * (double)i / to), c = cos(2 * PI * hz * (double)i / to),
               v = (double)y.samples[i];
        ss += s * s, cc += c * c, sc += s * c, xs += v * s, xc += v * c;
    }
    double d = ss * cc - sc * sc, a = (xs * cc - xc * sc) / d, b = (xc * ss - xs * sc) / d;
    for (size_t i = first; i < last; i++) {
        double w = 2 * PI * hz * (double)i / to;
        rest += pow((double)y.samples[i] - a * sin(w) - b * cos(w), 2);
    }
    assert_true(fabs(b) < 1e-4); /* no delay */
    pm_sound_free(&y);
    free(x);
    return (tone){hypot(a, b), sqrt(2 * rest / (double)(last - first))};
}

/* The loudest that a sine above half of the new rate leaves. */
static double alias(int32_t from, int32_t to, double hz) {
    size_t n = (size_t)from / 2;
    float *x = calloc(n, sizeof *x);
    pm_sound y;
    double most = 0;
    for (size_t i = 0; i < n; i++) x[i] = (float)sin(2 * PI * hz * (double)i / from);
    assert_ok(pm_sound_resample(x, n, from, to, &y));
    for (size_t i = y.n / 4; i < y.n * 3 / 4; i++) most = fmax(most, fabs((double)y.samples[i]));
    pm_sound_free(&y);
    free(x);
    return most;
}

static const int32_t rates[] = {8000, 11025, 16001, 22050, 24000, 32000, 44100, 48000, 96000, 192000};

static void tones_pass(void **state) {
    static const double at[] = {0.01, 0.1, 0.3, 0.42, 0.45};
    double ripple = 0, rest = -300;
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rates); i++)
        for (size_t k = 0; k < PM_COUNT(at); k++) {
            int32_t lower = rates[i] < 16000 ? rates[i] : 16000;
            tone t = resampled_tone(rates[i], 16000, at[k] * lower);
            ripple = fmax(ripple, fabs(20 * log10(t.amplitude)));
            rest = fmax(rest, 20 * log10(t.rest));
        }
    print_message("passband ripple %.2g dB, everything else %.0f dB\n", ripple, rest);
    assert_true(ripple < 0.001);
    assert_true(rest < -100);
}

static void tones_above_are_gone(void **state) {
    static const double at[] = {0.5, 0.52, 0.6, 0.9, 1.3};
    double most = 0;
    (void)state;
    for (size_t i = 0; i < PM_COUNT(rates); i++)
        for (size_t k = 0; k < PM_COUNT(at); k++)
            if (at[k] * 16000 < rates[i] * 0.499) most = fmax(most, alias(rates[i], 16000, at[k] * 16000));
    print_message("aliases %.0f dB\n", 20 * log10(most));
    assert_true(20 * log10(most) < -100);
}

static void constants_stay(void **state) {
    float x[3000];
    (void)state;
    for (int i = 0; i < 3000; i++) x[i] = 0.5f;
    for (size_t i = 0; i < PM_COUNT(rates); i++) {
        pm_sound y;
        assert_ok(pm_sound_resample(x, 3000, rates[i], 16000, &y));
        assert_float_equal(y.samples[y.n / 2], 0.5, 1e-6);
        pm_sound_free(&y);
    }
}

static void absurd_rates_are_refused(void **state) {
    float x[4] = {0};
    pm_sound y;
    (void)state;
    assert_int_equal(pm_sound_resample(x, 4, 0, 16000, &y), PM_ERR_USAGE);
    assert_int_equal(pm_sound_resample(x, 4, 16000, -5, &y), PM_ERR_USAGE);
    assert_int_equal(pm_sound_resample(x, 4, 2000000000, 16000, &y), PM_ERR_USAGE);
    assert_int_equal(pm_sound_resample(x, 0, 48000, 16000, &y), PM_ERR_USAGE);
    assert_ok(pm_sound_resample(x, 1, 768000, 1000, &y));
    assert_int_equal(y.n, 1);
    pm_sound_free(&y);
}

/* ---- files ---- */

/* A file of n frames: channel c is a sine of amplitude 0.5 / (c + 1). */
static void write_sound(const char *path, int format, int rate, int channels, size_t n) {
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *f = sf_open(path, SFM_WRITE, &info);
    float *x = calloc(n * (size_t)channels + 1, sizeof *x);
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < channels; c++)
            x[i * (size_t)channels + (size_t)c] =
                (float)(0.5 / (c + 1) * sin(2 * PI * 440 * (double)i / rate));
    assert_int_equal(sf_writef_float(f, x, (sf_count_t)n), n);
    sf_close(f);
    free(x);
}

typedef struct file_case {
    int format, rate, channels;
    double tolerance;
} file_case;

static void files_of_many_kinds(void **state) {
    static const file_case cases[] = {{SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 4e-5},
                                      {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 2, 1e-5},
                                      {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 48000, 2, 1e-4},
                                      {SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 22050, 3, 1e-5},
                                      {SF_FORMAT_OGG | SF_FORMAT_VORBIS, 44100, 1, 0.05}};
    test_path dir = test_folder(), path = test_join(&dir, "sound");
    (void)state;
    for (size_t k = 0; k < PM_COUNT(cases); k++) {
        const file_case *c = &cases[k];
        double gain = 0, worst = 0;
        pm_sound s;
        write_sound(path.s, c->format, c->rate, c->channels, (size_t)c->rate);
        for (int i = 0; i < c->channels; i++) gain += 0.5 / (i + 1) / c->channels;
        assert_ok(pm_sound_open(path.s, 16000, &s));
        assert_int_equal(s.n, 16000);
        for (size_t i = 2000; i < 14000; i++)
            worst = fmax(worst, fabs((double)s.samples[i] - gain * sin(2 * PI * 440 * (double)i / 16000)));
        if (worst > c->tolerance) fail_msg("case %zu: worst difference %g", k, worst);
        pm_sound_free(&s);
        assert_ok(pm_sound_open(path.s, 0, &s));
        assert_int_equal(s.rate, c->rate);
        pm_sound_free(&s);
    }
}

static void want_error(const char *path, const char *expected) {
    pm_sound s;
    assert_int_equal(pm_sound_open(path, 16000, &s), PM_ERR_FILE);
    assert_null(s.samples);
    if (!strstr(pm_error_text(), expected)) fail_msg("\"%s\" is not in: %s", expected, pm_error_text());
}

static void bad_files_are_refused(void **state) {
    test_path dir = test_folder(), path = test_join(&dir, "sound");
    size_t n;
    (void)state;
    want_error("/nonexistent/a.wav", "/nonexistent/a.wav");
    want_error(dir.s, dir.s);
    test_write_file(path.s, "this is a text, no sound at all", 31);
    want_error(path.s, "is not a sound file");
    test_write_file(path.s, "", 0);
    want_error(path.s, "is not a sound file");
    test_write_file(path.s, "\xff\xf3\x88\xc4 and no frame of MP3 behind it", 34);
    want_error(path.s, "no format that is read begins like it");
    write_sound(path.s, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 0);
    want_error(path.s, "holds no samples");
    write_sound(path.s, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 999, 1, 50);
    want_error(path.s, "999 samples a second");
    write_sound(path.s, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 2000000000, 1, 50);
    want_error(path.s, "2000000000 samples a second");
    write_sound(path.s, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 65, 50);
    want_error(path.s, "65 channels");
    float bad[3] = {0, NAN, 0};
    SF_INFO info = {.samplerate = 16000, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    SNDFILE *f = sf_open(path.s, SFM_WRITE, &info);
    assert_int_equal(sf_writef_float(f, bad, 3), 3);
    sf_close(f);
    want_error(path.s, "sample 1 is not a finite number");
    write_sound(path.s, SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, 5000);
    unsigned char *bytes = test_read_file(path.s, &n);
    test_write_file(path.s, bytes, 20); /* within the header */
    want_error(path.s, "is not a sound file");
    test_write_file(path.s, bytes, n / 2); /* within the data: what is there is read, as of a stream */
    pm_sound s;
    assert_ok(pm_sound_open(path.s, 0, &s));
    assert_in_range(s.n, 2400, 2500);
    pm_sound_free(&s);
    free(bytes);
}

/* Files cut and spoilt at every place: an answer or an error, never a crash (the sanitizers look on). */
static void spoilt_files_do_no_harm(void **state) {
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    test_path dir = test_folder(), path = test_join(&dir, "sound"), bad = test_join(&dir, "bad");
    test_rng r = {3};
    (void)state;
    for (size_t k = 0; k < PM_COUNT(formats); k++) {
        size_t n;
        write_sound(path.s, formats[k], 16000, 1, 300);
        unsigned char *bytes = test_read_file(path.s, &n);
        for (int i = 0; i < 200; i++) {
            pm_sound s;
            unsigned char *copy = malloc(n);
            memcpy(copy, bytes, n);
            for (int j = 0; j < 3; j++)
                copy[test_below(&r, n < 64 ? (uint32_t)n : 64)] = (unsigned char)test_random(&r);
            test_write_file(bad.s, copy, i % 2 ? n : test_below(&r, (uint32_t)n));
            if (pm_sound_open(bad.s, 16000, &s) == PM_OK) assert_true(s.n > 0);
            pm_sound_free(&s);
            free(copy);
        }
        free(bytes);
    }
}

static pm_status open_and_extract(void *user) {
    pm_sound s;
    float *features = NULL;
    int64_t frames;
    pm_status status = pm_sound_open(user, 8000, &s);
    if (status == PM_OK)
        status = pm_log_mel(s.samples, s.n, &(pm_mel_options){.rate = 8000}, &features, &frames);
    pm_release(features);
    pm_sound_free(&s);
    return status;
}

static void memory_may_run_out_anywhere(void **state) {
    char wav[TEST_PATH];
    (void)state;
    snprintf(wav, sizeof wav, "%s/chirp.wav", folder);
    assert_in_range(test_every_allocation(open_and_extract, wav), 5, 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transforms_of_any_length),
        cmocka_unit_test(features_are_the_reference_s),
        cmocka_unit_test(features_of_speech),
        cmocka_unit_test(bad_mel_options_are_refused),
        cmocka_unit_test(tones_pass),
        cmocka_unit_test(tones_above_are_gone),
        cmocka_unit_test(constants_stay),
        cmocka_unit_test(absurd_rates_are_refused),
        cmocka_unit_test(files_of_many_kinds),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(spoilt_files_do_no_harm),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return run_all_tests(tests);
}
