/* Sound files as samples of one channel (pumice/audio.h), by libsndfile. */
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <math.h>

#include "graph/base.h"
#include "pumice/audio.h"

enum { BLOCK_FRAMES = 4096, MAX_CHANNELS = 64, MAX_HOURS = 24 };

typedef struct reader {
    SNDFILE *file;
    SF_INFO info;
    const char *path;
    float *block;   /* BLOCK_FRAMES of every channel */
    float *samples; /* mixed; pm_alloc'd */
    size_t n, capacity;
} reader;

/* The mean of the channels, in the order of the file. */
static pm_status mix(reader *r, size_t n_frames) {
    int channels = r->info.channels;
    void *samples = r->samples;
    pm_status s = pm_grow(&samples, &r->capacity, r->n + n_frames, sizeof *r->samples);
    r->samples = samples;
    PM_TRY(s);
    for (size_t i = 0; i < n_frames; i++) {
        double sum = 0;
        for (int c = 0; c < channels; c++) sum += (double)r->block[i * (size_t)channels + (size_t)c];
        r->samples[r->n] = (float)(sum / channels);
        if (!isfinite(r->samples[r->n]))
            return pm_raise(PM_ERR_FILE, "%s: sample %zu is not a finite number", r->path, r->n);
        r->n++;
    }
    return PM_OK;
}

static pm_status read_all(reader *r) {
    const SF_INFO *info = &r->info;
    if (info->channels < 1 || info->channels > MAX_CHANNELS)
        return pm_raise(PM_ERR_FILE, "%s: has %d channels, expected 1..%d", r->path, info->channels,
                        MAX_CHANNELS);
    if (info->samplerate < 1000 || info->samplerate > 768000)
        return pm_raise(PM_ERR_FILE, "%s: has %d samples a second, expected 1000..768000", r->path,
                        info->samplerate);
    size_t most = (size_t)info->samplerate * 3600 * MAX_HOURS;
    r->block = pm_calloc(BLOCK_FRAMES * (size_t)info->channels, sizeof *r->block);
    if (!r->block) return PM_ERR_MEMORY;
    for (;;) {
        sf_count_t n = sf_readf_float(r->file, r->block, BLOCK_FRAMES);
        if (n > 0) PM_TRY(mix(r, (size_t)n));
        if (r->n > most) return pm_raise(PM_ERR_FILE, "%s: is longer than %d hours", r->path, MAX_HOURS);
        if (n < BLOCK_FRAMES) break;
    }
    if (sf_error(r->file))
        return pm_raise(PM_ERR_FILE, "%s: damaged after %zu samples: %s", r->path, r->n,
                        sf_strerror(r->file));
    return r->n ? PM_OK : pm_raise(PM_ERR_FILE, "%s: holds no samples", r->path);
}

/* Of a file that is there libsndfile says that it is not when no decoder takes it. */
static const char *why_not(const char *path) {
    const char *why = sf_strerror(NULL);
    FILE *f = strstr(why, "does not exist") ? fopen(path, "rb") : NULL;
    if (!f) return why;
    fclose(f);
    return "no format that is read begins like it";
}

pm_status pm_sound_open(const char *path, int32_t rate, pm_sound *out) {
    reader r = {.path = path};
    *out = (pm_sound){0};
    r.file = sf_open(path, SFM_READ, &r.info);
    if (!r.file) return pm_raise(PM_ERR_FILE, "%s: is not a sound file: %s", path, why_not(path));
    pm_status s = read_all(&r);
    sf_close(r.file);
    pm_free(r.block);
    if (s == PM_OK && (!rate || rate == r.info.samplerate)) {
        *out = (pm_sound){r.samples, r.n, r.info.samplerate};
        return PM_OK;
    }
    if (s == PM_OK) s = pm_sound_resample(r.samples, r.n, r.info.samplerate, rate, out);
    pm_free(r.samples);
    return s;
}

void pm_sound_free(pm_sound *s) {
    pm_free(s->samples);
    *s = (pm_sound){0};
}
