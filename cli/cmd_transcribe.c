/* pumice transcribe: sound files to text with a Whisper model. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "pumice/audio.h"

typedef struct transcription {
    cli_place place;
    pm_transcribe_options options;
    bool timestamps, ids, json, features;
} transcription;

/* "02:03.450"; hours where there are any. */
static void print_time(double seconds) {
    long long ms = (long long)(seconds * 1000 + 0.5), minutes = ms / 60000;
    if (minutes >= 60) printf("%lld:", minutes / 60);
    printf("%02lld:%02lld.%03lld", minutes % 60, ms / 1000 % 60, ms % 1000);
}

/* The text without the blanks around it. */
static void print_trimmed(const char *text) {
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n", text[n - 1])) n--;
    while (n && strchr(" \t\r\n", *text)) text++, n--;
    printf("%.*s\n", (int)n, text);
}

/* Segments are printed as they come. */
static bool print_segment(void *user, const pm_spoken *s) {
    const transcription *t = user;
    if (t->ids || !s->text) {
        cli_print_ids(s->ids, s->n_ids);
    } else if (!cli_is_blank(s->text)) {
        printf("[");
        print_time(s->start);
        printf(" --> ");
        print_time(s->end);
        printf("] ");
        print_trimmed(s->text);
    }
    fflush(stdout);
    return true;
}

static json_t *ids_json(const pm_spoken *s) {
    json_t *ids = json_array();
    for (size_t i = 0; i < s->n_ids; i++) json_array_append_new(ids, json_integer(s->ids[i]));
    return ids;
}

static int print_json(const char *path, const pm_transcript *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_segments; i++) {
        const pm_spoken *s = &r->segments[i];
        json_array_append_new(list, json_pack("{sf sf ss? so}", "start", s->start, "end", s->end, "text",
                                              s->text, "ids", ids_json(s)));
    }
    return cli_print_json(json_pack("{so? ss? sf ss? so}", "file", cli_json_text(path), "language",
                                    r->language[0] ? r->language : NULL, "seconds", r->seconds, "text",
                                    r->text, "segments", list),
                          0);
}

/* What the model sees of the first window, for `pumice run`. */
static int write_features(const transcription *t, const char *path, const char *to) {
    pm_sound sound;
    pm_tensors *set = NULL;
    pm_status s = pm_sound_open(path, 0, &sound);
    if (s != PM_OK) return cli_library_error(s);
    s = pm_sound_inputs(t->place.model, &sound, &set);
    pm_sound_free(&sound);
    if (s == PM_OK) s = pm_tensors_write(set, to);
    pm_tensors_free(set);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

static int transcribe_file(transcription *t, const char *path) {
    pm_sound sound;
    pm_transcript result = {0};
    bool streamed = !t->json && (t->timestamps || t->ids);
    pm_status s = pm_sound_open(path, 0, &sound);
    if (s != PM_OK) return cli_library_error(s);
    t->options.on_segment = streamed ? print_segment : NULL;
    t->options.user = t;
    s = pm_transcribe(t->place.session, &sound, &t->options, &result);
    pm_sound_free(&sound);
    if (s != PM_OK) return cli_library_error(s);
    int code = PM_OK;
    if (t->json)
        code = print_json(path, &result);
    else if (!streamed)
        print_trimmed(result.text);
    pm_transcript_free(&result);
    return code;
}

static int check(transcription *t, const char *print) {
    pm_model_info info;
    pm_model_get_info(t->place.model, &info);
    t->ids = strcmp(print, "ids") == 0;
    if (!t->ids && strcmp(print, "text") != 0)
        return cli_error(PM_ERR_USAGE, "--print: %s, expected text or ids", print);
    if (strcmp(info.task, "transcribe") != 0)
        return cli_error(PM_ERR_USAGE, "transcribe: %s is a %s model, expected whisper", info.name,
                         info.model_type);
    if (!info.has_tokenizer && !t->ids && !t->json && !t->features)
        return cli_error(PM_ERR_USAGE,
                         "transcribe: %s has no tokenizer that is supported; --print ids needs none",
                         info.name);
    return PM_OK;
}

int cmd_transcribe(int argc, char **argv) {
    transcription t = {0};
    const char *device = "auto", *print = "text", *features = NULL;
    int64_t beams = 1, max_new = 0, start = -1;
    const cli_flag flags[] = {
        {"--language", CLI_STRING, &t.options.language, "CODE", "en, de, zh, ...; default: detected", 0, 0},
        {"--task", CLI_STRING, &t.options.task, "T", "transcribe (default), or translate to English", 0, 0},
        {"--timestamps", CLI_BOOL, &t.timestamps, NULL, "one line a segment: [start --> end] text", 0, 0},
        {"--no-context", CLI_BOOL, &t.options.no_context, NULL, "windows do not see the text before them", 0,
         0},
        {"--beams", CLI_INT, &beams, "K", "beam search with K beams", 1, 64},
        {"-n|--max-new", CLI_INT, &max_new, "N", "most new tokens a window", 1, 1e6},
        {"--print", CLI_STRING, &print, "WHAT", "text, or ids: one line a segment, times among them", 0, 0},
        {"--features", CLI_STRING, &features, "FILE",
         "write what the model sees of the first window (safetensors) instead", 0, 0},
        CLI_START_FLAG(&start),
        CLI_DEVICE_FLAG(&device),
        {"--json", CLI_BOOL, &t.json, NULL, "one JSON object a file, with segments", 0, 0},
    };
    const cli_usage usage = {"transcribe MODEL AUDIO...",
                             "Writes down what is said in sound files (WAV, FLAC, OGG, MP3, ...).",
                             "pumice transcribe tests/data/speech tests/data/audio/chirp.wav --timestamps",
                             flags,
                             sizeof flags / sizeof *flags,
                             2,
                             4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    t.options.n_beams = (int32_t)beams;
    t.options.max_new = (int32_t)max_new;
    t.options.timestamps = t.timestamps;
    code = cli_open(words[0], device, NULL, &t.place);
    if (code) return code;
    t.features = features != NULL;
    code = check(&t, print);
    if (!code && features && n_words != 2)
        code = cli_error(PM_ERR_USAGE, "--features: %zu sounds are given, expected one", n_words - 1);
    if (!code) code = cli_set_start(&t.place, start);
    for (size_t i = 1; i < n_words && !code; i++)
        code = features ? write_features(&t, words[i], features) : transcribe_file(&t, words[i]);
    cli_close(&t.place);
    return code;
}
