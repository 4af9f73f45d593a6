/* Flags, errors and small printing for the commands. See cli.h. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int cli_error(pm_status status, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fflush(stdout);
    fprintf(stderr, "pumice: error: ");
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\n");
    va_end(args);
    return (int)status;
}

int cli_library_error(pm_status status) {
    return cli_error(status, "%s", pm_error_text());
}

/* ---- flags ---- */

/* The flags of every command that opens a model. */
static pm_model_options model_options;
static uint64_t max_memory;
static const cli_flag model_flags[] = {
    {"--lora", CLI_STRING, &model_options.lora, "FOLDER",
     "a LoRA adapter in PEFT layout, merged as weights are read", 0, 0},
    {"--max-memory", CLI_BYTES, &max_memory, "BYTES",
     "as 800M or 3G: of weights, states and intermediate results; a GPU reads weights past it from the host's memory",
     0, 0},
};

static bool is_name(const char *names, const char *word) {
    size_t n = strlen(word);
    for (const char *at = names; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (!strncmp(at, word, n) && (at[n] == 0 || at[n] == '|')) return true;
    return false;
}

/* tokenize reads no weights and has no device. */
static size_t n_model_flags(const cli_usage *u) {
    bool device = false;
    for (size_t i = 0; i < u->n_flags; i++) device |= is_name(u->flags[i].name, "--device");
    return device && strstr(u->forms, "MODEL") ? sizeof model_flags / sizeof *model_flags : 0;
}

static void print_flags(const cli_flag *flags, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s %s", flags[i].name, flags[i].argument ? flags[i].argument : "");
        printf("  %-28s %s\n", left, flags[i].help);
    }
}

static void print_usage(const cli_usage *u) {
    printf("usage: pumice %s\n\n%s\n\n", u->forms, u->purpose);
    print_flags(u->flags, u->n_flags);
    print_flags(model_flags, n_model_flags(u));
    printf("  %-28s %s\n\nexample: %s\n", "--help ", "this text", u->example);
}

static const cli_flag *find_flag(const cli_usage *u, const char *word) {
    for (size_t i = 0; i < u->n_flags; i++)
        if (is_name(u->flags[i].name, word)) return &u->flags[i];
    for (size_t i = 0; i < n_model_flags(u); i++)
        if (is_name(model_flags[i].name, word)) return &model_flags[i];
    return NULL;
}

static int set_seed(const cli_flag *f, const char *text) {
    char *end;
    errno = 0;
    uint64_t v = strtoull(text, &end, 10);
    if (*end || *text < '0' || *text > '9' || errno) /* strtoull itself takes blanks and signs */
        return cli_error(PM_ERR_USAGE, "%s: %s is not a whole number from 0 to 2^64-1", f->name, text);
    *(cli_seed *)f->value = (cli_seed){v, true};
    return PM_OK;
}

/* "1500", "64K", "800M", "3G". */
static int set_bytes(const cli_flag *f, const char *text) {
    static const char units[] = "KMG";
    char *end;
    errno = 0;
    uintmax_t n = strtoumax(text, &end, 10);
    const char *unit = *end ? strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (text[0] < '0' || text[0] > '9' || errno || (*end && (!unit || end[1])) || n == 0 ||
        n > (UINT64_MAX >> shift))
        return cli_error(PM_ERR_USAGE,
                         "%s: %s, expected a number of bytes from 1 on, as 1500, 64K, 800M or 3G", f->name,
                         text);
    *(uint64_t *)f->value = (uint64_t)n << shift;
    return PM_OK;
}

static int set_number(const cli_flag *f, const char *text) {
    char *end;
    double v = strtod(text, &end);
    bool whole = f->kind == CLI_INT;
    if (*end || end == text || !(v >= f->min && v <= f->max) || (whole && v != (double)(int64_t)v))
        return cli_error(PM_ERR_USAGE, "%s: %s is not a %s from %g to %g", f->name, text,
                         whole ? "whole number" : "number", f->min, f->max);
    if (whole)
        *(int64_t *)f->value = (int64_t)v;
    else
        *(double *)f->value = v;
    return PM_OK;
}

static int set_flag(const cli_flag *f, const char *text) {
    switch (f->kind) {
    case CLI_BOOL: *(bool *)f->value = true; return PM_OK;
    case CLI_STRING: *(const char **)f->value = text; return PM_OK;
    case CLI_STRINGS: {
        cli_strings *list = f->value;
        if (list->n == CLI_MAX_STRINGS)
            return cli_error(PM_ERR_USAGE, "%s: given more than %d times", f->name, CLI_MAX_STRINGS);
        list->at[list->n++] = text;
        return PM_OK;
    }
    case CLI_INT:
    case CLI_REAL: return set_number(f, text);
    case CLI_SEED: return set_seed(f, text);
    case CLI_BYTES: return set_bytes(f, text);
    }
    return PM_ERR_OTHER;
}

int cli_parse(int argc, char **argv, const cli_usage *u, char ***out_words, size_t *out_n_words) {
    size_t n_words = 0;
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        bool is_flag = !only_words && word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9');
        if (is_flag && !strcmp(word, "--")) {
            only_words = true;
            continue;
        }
        if (!is_flag) {
            argv[1 + n_words++] = word; /* never ahead of i */
            continue;
        }
        if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
            print_usage(u);
            return CLI_HELP;
        }
        char *equals = !strncmp(word, "--", 2) ? strchr(word, '=') : NULL;
        if (equals) *equals = 0;
        const cli_flag *flag = find_flag(u, word);
        if (!flag)
            return cli_error(PM_ERR_USAGE, "%s: unknown flag %s; `pumice %s --help` lists them", argv[0],
                             word, argv[0]);
        const char *text = equals ? equals + 1 : NULL;
        if (flag->kind == CLI_BOOL && text)
            return cli_error(PM_ERR_USAGE, "%s: takes no value, got %s", word, text);
        if (flag->kind != CLI_BOOL && !text) {
            if (i + 1 >= argc)
                return cli_error(PM_ERR_USAGE, "%s: a value is missing, expected %s", word, flag->argument);
            text = argv[++i];
        }
        int s = set_flag(flag, text);
        if (s) return s;
    }
    if (n_words < u->min_words || n_words > u->max_words)
        return cli_error(PM_ERR_USAGE, "%s: %zu arguments, expected: pumice %s", argv[0], n_words, u->forms);
    *out_words = argv + 1;
    *out_n_words = n_words;
    return PM_OK;
}

/* ---- a model on a device ---- */

int cli_open_model(const char *path, pm_model **out_model) {
    pm_status s = pm_model_open_with(path, &model_options, out_model);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

pm_status cli_open_device(const char *device, const pm_device_options *options, pm_device **out) {
    pm_device_options o = options ? *options : (pm_device_options){0};
    o.max_memory_bytes = max_memory;
    return pm_device_open(device, &o, out);
}

uint64_t cli_max_memory(void) {
    return max_memory;
}

void cli_note_memory(pm_device *d) {
    static char said[512];
    const char *note = d ? pm_device_memory_note(d) : "";
    if (!*note || !strcmp(note, said)) return;
    fprintf(stderr, "pumice: note: %s\n", note);
    snprintf(said, sizeof said, "%s", note);
}

int cli_open(const char *model, const char *device, const pm_device_options *options, cli_place *out) {
    *out = (cli_place){0};
    int code = cli_open_model(model, &out->model);
    if (code) return code;
    pm_status s = cli_open_device(device, options, &out->device);
    if (s == PM_OK) s = pm_session_open(out->model, out->device, &out->session);
    if (s == PM_OK && pm_device_note(out->device)[0])
        fprintf(stderr, "pumice: note: %s\n", pm_device_note(out->device));
    if (s == PM_OK) cli_note_memory(out->device);
    if (s == PM_OK) return PM_OK;
    code = cli_library_error(s);
    cli_close(out);
    return code;
}

void cli_close(cli_place *p) {
    cli_note_memory(p->device); /* programs may have moved weights out */
    pm_session_close(p->session);
    pm_model_close(p->model);
    pm_device_close(p->device);
    *p = (cli_place){0};
}

int cli_set_start(cli_place *p, int64_t id) {
    pm_status s = id < 0 ? PM_OK : pm_session_set_decoder_start(p->session, (int32_t)id);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

/* ---- ids, printing, files ---- */

int cli_parse_ids(const char *what, const char *text, int32_t **out_ids, size_t *out_n) {
    size_t n = 1;
    for (const char *c = text; *c; c++) n += *c == ',';
    int32_t *ids = malloc(n * sizeof *ids);
    if (!ids) return cli_error(PM_ERR_MEMORY, "out of memory: %zu ids", n);
    const char *at = text;
    for (size_t i = 0; i < n; i++) {
        char *end;
        errno = 0;
        intmax_t v = strtoimax(at, &end, 10);
        if (end == at || errno || v < 0 || v > INT32_MAX || (*end != ',' && *end)) {
            free(ids);
            return cli_error(PM_ERR_USAGE,
                             "%s: number %zu of \"%s\" is not a token id, expected e.g. 5,9,2", what,
                             i + 1, text);
        }
        ids[i] = (int32_t)v;
        at = end + 1;
    }
    *out_ids = ids;
    *out_n = n;
    return PM_OK;
}

void cli_print_ids(const int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) printf("%s%" PRId32, i ? "," : "", ids[i]);
    printf("\n");
}

/* The bytes of the UTF-8 character that s begins with; 0: it begins with none. */
static size_t char_bytes(const char *s) {
    for (size_t n = 1; n <= 4 && s[n - 1]; n++) {
        json_t *one = json_stringn(s, n);
        json_decref(one);
        if (one) return n;
    }
    return 0;
}

json_t *cli_json_text(const char *text) {
    if (!text) return NULL;
    json_t *value = json_string(text);
    char *copy = value ? NULL : malloc(3 * strlen(text) + 1), *to = copy;
    if (!copy) return value;
    for (size_t n; *text; text += n ? n : 1) {
        n = char_bytes(text);
        memcpy(to, n ? text : "\xEF\xBF\xBD", n ? n : 3);
        to += n ? n : 3;
    }
    *to = 0;
    value = json_string(copy);
    free(copy);
    return value;
}

int cli_write_trace(const char *path, pm_device *const *devices, size_t n) {
    char *text = NULL;
    pm_status s = pm_device_trace(devices, n, &text);
    int code = s == PM_OK ? cli_write_file(path, text, strlen(text)) : cli_library_error(s);
    pm_release(text);
    return code;
}

int cli_print_json(json_t *value, size_t flags) {
    char *text = value ? json_dumps(value, flags | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(value);
    if (!text) return cli_error(PM_ERR_OTHER, "JSON: a text in the result is not UTF-8, or memory is out");
    printf("%s\n", text);
    free(text);
    return PM_OK;
}

int cli_write_file(const char *path, const void *data, size_t bytes) {
    if (!strcmp(path, "-")) return fwrite(data, 1, bytes, stdout) == bytes ? PM_OK : PM_ERR_OTHER;
    pm_status s = pm_file_write(path, data, bytes);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

double cli_ms(uint64_t ns) {
    return (double)ns / 1e6;
}

double cli_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

bool cli_is_blank(const char *text) {
    return text[strspn(text, " \t\v\f\r\n")] == 0;
}
