/* pumice dump: the graph at a stage, the memory plan, or the program. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/texts.h"
#include "pumice/graph.h"

static int read_graph(const char *path, pm_graph **out) {
    char *text = NULL;
    int code = cli_read_file(path, &text);
    if (code) return code;
    pm_status s = pm_graph_parse(text, out);
    free(text);
    return s == PM_OK ? PM_OK : cli_error(s, "%s: %s", path, pm_error_text());
}

/* What differs between two text dumps. As diff: 0 when nothing does, 1 when something does. */
static int diff(char **paths, const char *to) {
    pm_graph *a = NULL, *b = NULL;
    char *text = NULL;
    bool same = false;
    int code = read_graph(paths[0], &a);
    if (!code) code = read_graph(paths[1], &b);
    if (!code) {
        pm_status s = pm_graph_diff(a, b, &text, &same);
        code = s == PM_OK ? cli_write_file(to, text, strlen(text)) : cli_library_error(s);
    }
    pm_text_release(text);
    pm_graph_destroy(a);
    pm_graph_destroy(b);
    return code ? code : !same;
}

int cmd_dump(int argc, char **argv) {
    const char *stage = "fused", *format = "text", *path = "-", *which = "forward", *want = "final",
               *device = NULL, *profile = NULL;
    int64_t batch = 0, length = 0, target = 0;
    bool json = false, no_fuse = false, differ = false;
    const cli_flag flags[] = {
        {"--stage", CLI_STRING, &stage, "S", "built, fused, planned or program", 0, 0},
        {"--format", CLI_STRING, &format, "F",
         "text, json, dot, svg, html, or csv (planned: the intervals, as solvers read them)", 0, 0},
        {"--output|-o", CLI_STRING, &path, "FILE", "where to write; - is stdout", 0, 0},
        {"--which", CLI_STRING, &which, "W", "forward, encode, prefill or decode", 0, 0},
        {"--want", CLI_STRING, &want, "LIST",
         "outputs of the forward pass: final (the default), logits,attentions, or \"\" for all", 0, 0},
        {"--batch", CLI_INT, &batch, "B", "sequences", 1, 65536},
        {"--length", CLI_INT, &length, "T", "tokens", 1, 1e7},
        {"--target-length", CLI_INT, &target, "T", "decoder tokens of an encoder-decoder", 1, 1e7},
        {"--device", CLI_STRING, &device, "D", "select and plan for this device; default: the baseline", 0,
         0},
        {"--profile", CLI_STRING, &profile, "FILE",
         "times from a trace that run, bench or generate wrote with --trace", 0, 0},
        {"--no-fuse", CLI_BOOL, &no_fuse, NULL, "keep primitive operations, to compare with", 0, 0},
        {"--json", CLI_BOOL, &json, NULL, "the same as --format json", 0, 0},
        {"--diff", CLI_BOOL, &differ, NULL,
         "compare two text dumps of graphs, given in MODEL's place; exit code 1: they differ", 0, 0},
    };
    const cli_usage usage = {"dump MODEL --stage built|fused|planned|program, or dump --diff A B",
                             "Shows what the compiler made of a model.",
                             "pumice dump numbers-en-zh --stage fused",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             2};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (differ != (n_words == 2))
        return cli_error(PM_ERR_USAGE, "dump: %zu arguments, expected %s", n_words,
                         differ ? "--diff A B, two files" : "one, MODEL, or --diff A B");
    if (differ) return diff(words, path);

    pm_model *model = NULL;
    pm_device *d = NULL;
    char *text = NULL;
    code = cli_open_model(words[0], &model);
    if (code) return code;
    pm_status s = device ? cli_open_device(device, NULL, &d) : PM_OK;
    if (s == PM_OK) {
        pm_dump_options o = {.stage = stage,
                             .format = json ? "json" : format,
                             .which = which,
                             .batch = batch,
                             .length = length,
                             .target_length = target,
                             .want = want,
                             .no_fuse = no_fuse,
                             .device = d,
                             .profile = profile,
                             .max_memory_bytes = cli_max_memory()};
        s = pm_model_dump(model, &o, &text);
    }
    code = s == PM_OK ? cli_write_file(path, text, strlen(text)) : cli_library_error(s);
    pm_release(text);
    pm_device_close(d);
    pm_model_close(model);
    return code;
}
