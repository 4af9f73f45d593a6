/* pumice translate: encoder-decoder text to text, one line an input; stdin's lines when no text is given. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

typedef struct translation {
    cli_place place;
    pm_generate_options options;
    bool json;
} translation;

/* One line out. text NULL: there is no translation; as JSON null, else an empty line. A source that JSON cannot hold
 * is null too. */
static int print_line(const translation *t, const char *source, const char *text) {
    if (t->json)
        return cli_print_json(json_pack("{so? ss?}", "source", cli_json_text(source), "translation", text),
                              0);
    printf("%s\n", text ? text : "");
    return PM_OK;
}

static int translate_line(translation *t, const char *line) {
    char *text;
    pm_status s = pm_translate(t->place.session, line, &t->options, &text);
    if (s != PM_OK) return cli_library_error(s);
    int code = print_line(t, line, text);
    pm_release(text);
    return code;
}

/* A line of stdin gives a line on stdout, so that the two stay side by side: a blank one gives a blank one, and one
 * that cannot be translated is reported with its number and gives an empty one. What is no fault of the line ends
 * all. *first_code keeps the first failure. */
static pm_status take_stdin_line(translation *t, const char *line, size_t bytes, size_t number,
                                 int *first_code) {
    char *text = NULL;
    int code = PM_OK;
    pm_status s = PM_OK;
    bool whole = strlen(line) == bytes;
    if (!whole) {
        code = cli_error(PM_ERR_USAGE, "line %zu: text: has a NUL byte after %zu bytes, expected none",
                         number, strlen(line));
    } else if (!cli_is_blank(line)) {
        s = pm_translate(t->place.session, line, &t->options, &text);
        if (s != PM_OK) code = cli_error(s, "line %zu: %s", number, pm_error_text());
    }
    if (s == PM_OK || s == PM_ERR_USAGE) {
        int printed = print_line(t, whole ? line : NULL, code ? NULL : text ? text : "");
        if (!code) code = printed;
    }
    pm_release(text);
    if (!*first_code) *first_code = code;
    return s == PM_ERR_USAGE ? PM_OK : s;
}

static int translate_stdin(translation *t) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    int code = PM_OK;
    pm_status s = PM_OK;
    for (size_t number = 1; s == PM_OK && (n = getline(&line, &capacity, stdin)) >= 0; number++) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
        s = take_stdin_line(t, line, (size_t)n, number, &code);
    }
    free(line);
    return code;
}

/* Said once, before it would be said for every line. */
static int check_model(const cli_place *p, int64_t start) {
    pm_model_info info;
    pm_model_get_info(p->model, &info);
    if (!info.encoder_decoder)
        return cli_error(PM_ERR_USAGE, "translate: %s is a %s model, expected an encoder-decoder", info.name,
                         info.model_type);
    if (!info.has_tokenizer)
        return cli_error(PM_ERR_USAGE, "translate: %s has no tokenizer that is supported", info.name);
    if (info.decoder_start_id < 0 && start < 0)
        return cli_error(PM_ERR_USAGE, "translate: %s names no start token, expected --decoder-start ID",
                         info.name);
    return PM_OK;
}

int cmd_translate(int argc, char **argv) {
    translation t = {0};
    const char *device = "auto";
    int64_t beams = 0, max_new = 0, start = -1;
    const cli_flag flags[] = {
        CLI_DEVICE_FLAG(&device),
        {"--from", CLI_STRING, &t.options.from, "LANG",
         "the text's language, for models of many: en, eng_Latn", 0, 0},
        {"--to", CLI_STRING, &t.options.to, "LANG", "the language to translate into: fr, fra_Latn, fra", 0,
         0},
        {"--beams", CLI_INT, &beams, "K",
         "beam search with K beams; 1: greedy; default: as the model's files say", 1, 64},
        {"-n|--max-new", CLI_INT, &max_new, "N", "most new tokens", 1, 1e6},
        CLI_START_FLAG(&start),
        {"--json", CLI_BOOL, &t.json, NULL, "one JSON object a line", 0, 0},
    };
    const cli_usage usage = {"translate MODEL [TEXT...]",
                             "Translates each TEXT, or each line of stdin, to one line.",
                             "pumice translate numbers-en-zh \"half past three\"",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    t.options.n_beams = (int32_t)beams;
    t.options.max_new = (int32_t)max_new;
    code = cli_open(words[0], device, NULL, &t.place);
    if (code) return code;
    code = check_model(&t.place, start);
    if (!code) code = cli_set_start(&t.place, start);
    for (size_t i = 1; i < n_words && !code; i++) code = translate_line(&t, words[i]);
    if (n_words == 1 && !code) code = translate_stdin(&t);
    cli_close(&t.place);
    return code;
}
