/* pumice translate: encoder-decoder text to text, one line an input; stdin's lines when no text is given. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

typedef struct translation {
    cli_place place;
    pm_generate_options options;
    bool json;
} translation;

static int translate_line(translation *t, const char *line) {
    char *text;
    pm_status s = pm_translate(t->place.session, line, &t->options, &text);
    if (s != PM_OK) return cli_library_error(s);
    if (t->json) {
        json_t *row = json_pack("{ss ss}", "source", line, "translation", text);
        char *dump = row ? json_dumps(row, 0) : NULL;
        if (dump) printf("%s\n", dump);
        free(dump);
        json_decref(row);
    } else {
        printf("%s\n", text);
    }
    pm_release(text);
    return PM_OK;
}

static int translate_stdin(translation *t) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    int code = PM_OK;
    while (!code && (n = getline(&line, &capacity, stdin)) >= 0) {
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
        code = translate_line(t, line);
    }
    free(line);
    return code;
}

int cmd_translate(int argc, char **argv) {
    translation t = {0};
    const char *device = "auto";
    int64_t beams = 1, max_new = 0;
    const cli_flag flags[] = {
        {"--device", CLI_STRING, &device, "D", "auto, cpu, reference, vulkan, vulkan:N or part of a name", 0,
         0},
        {"--beams", CLI_INT, &beams, "K", "beam search with K beams", 1, 64},
        {"-n|--max-new", CLI_INT, &max_new, "N", "most new tokens", 1, 1e6},
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
    if (code) return code == CLI_HELP ? PM_OK : code;
    t.options = (pm_generate_options){.n_beams = (int32_t)beams, .max_new = (int32_t)max_new};
    code = cli_open(words[0], device, NULL, &t.place);
    if (code) return code;
    for (size_t i = 1; i < n_words && !code; i++) code = translate_line(&t, words[i]);
    if (n_words == 1) code = translate_stdin(&t);
    cli_close(&t.place);
    return code;
}
