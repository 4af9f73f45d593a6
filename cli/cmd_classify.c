/* pumice classify: classes of texts with scores, or how right they are on a file of labelled texts. */
#include <stdlib.h>
#include <string.h>

#include "cli/texts.h"

typedef struct classification {
    cli_place place;
    pm_text_options options;
    const char *device, *scores, *pair;
    int64_t batch, top;
    bool json;
} classification;

/* Numbers of the labels, best first. */
static void sort_labels(const float *scores, size_t n, size_t *order) {
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && scores[i] > scores[order[at - 1]]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
}

static int print_text(const classification *c, const pm_text_input *text, const float *scores,
                      size_t *order) {
    const pm_model *m = c->place.model;
    size_t n = pm_model_n_labels(m), shown = c->top && (size_t)c->top < n ? (size_t)c->top : n;
    sort_labels(scores, n, order);
    if (!c->json) {
        for (size_t i = 0; i < shown; i++)
            printf("%s%s\t%.6g", i ? "\t" : "", pm_model_label(m, (int64_t)order[i]),
                   (double)scores[order[i]]);
        printf("\n");
        return PM_OK;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < shown; i++)
        json_array_append_new(list, json_pack("{s:s, s:f}", "label", pm_model_label(m, (int64_t)order[i]),
                                              "score", (double)scores[order[i]]));
    json_t *row = json_pack("{s:o, s:o}", "text", cli_json_text(text->text), "labels", list);
    if (row && text->pair) json_object_set_new(row, "pair", cli_json_text(text->pair));
    return cli_print_json(row, JSON_COMPACT);
}

static int classify(const classification *c, const pm_text_input *texts, size_t n, float **out_scores) {
    size_t n_labels = pm_model_n_labels(c->place.model);
    *out_scores = calloc(n * n_labels + 1, sizeof **out_scores);
    if (!*out_scores) return cli_error(PM_ERR_MEMORY, "out of memory: scores of %zu texts", n);
    pm_status s = pm_session_classify(c->place.session, texts, n, &c->options, *out_scores);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

static int print_texts(const classification *c, const cli_texts *given) {
    size_t n_labels = pm_model_n_labels(c->place.model), *order = calloc(n_labels + 1, sizeof *order);
    pm_text_input *texts = NULL;
    float *scores = NULL;
    int code =
        order ? cli_make_inputs(given, true, &texts) : cli_error(PM_ERR_MEMORY, "out of memory: labels");
    for (size_t i = 0; !code && c->pair && i < given->n; i++) texts[i].pair = c->pair;
    if (!code) code = classify(c, texts, given->n, &scores);
    for (size_t i = 0; i < given->n && !code; i++)
        code = print_text(c, &texts[i], scores + i * n_labels, order);
    free(order);
    free(texts);
    free(scores);
    return code;
}

/* ---- scores ---- */

/* Labels of the truth, comma-separated where a text may have several; cut in place. */
static int read_truth(const classification *c, char *list, size_t line, const char **out, size_t room,
                      size_t *out_n) {
    const pm_model *m = c->place.model;
    bool many = pm_model_class_kind(m) == PM_CLASS_MANY;
    *out_n = 0;
    for (char *at = list; at && *at && *out_n < room;) {
        char *comma = many ? strchr(at, ',') : NULL;
        if (comma) *comma = 0;
        int64_t label = cli_find_label(m, at);
        if (label < 0)
            return cli_error(PM_ERR_FILE, "%s: line %zu: \"%.60s\" is no label of the model", c->scores, line,
                             at);
        out[(*out_n)++] = pm_model_label(m, label);
        at = comma ? comma + 1 : NULL;
    }
    if (!many && *out_n != 1) return cli_error(PM_ERR_FILE, "%s: line %zu: has no label", c->scores, line);
    return PM_OK;
}

static int count_text(const classification *c, char *truth, size_t line, const float *scores, pm_report *r) {
    const pm_model *m = c->place.model;
    size_t n = pm_model_n_labels(m), n_true = 0, n_guess = 0, best = 0;
    const char **labels = calloc(2 * n + 2, sizeof *labels), **guess = labels + n + 1;
    if (!labels) return cli_error(PM_ERR_MEMORY, "out of memory: labels");
    int code = read_truth(c, truth, line, labels, n + 1, &n_true);
    for (size_t i = 1; i < n; i++) best = scores[i] > scores[best] ? i : best;
    for (size_t i = 0; i < n; i++)
        if (pm_model_class_kind(m) == PM_CLASS_MANY ? scores[i] > 0.5f : i == best)
            guess[n_guess++] = pm_model_label(m, (int64_t)i);
    if (!code) {
        pm_status s = pm_report_count_classes(r, labels, n_true, guess, n_guess);
        code = s == PM_OK ? PM_OK : cli_library_error(s);
    }
    free(labels);
    return code;
}

/* Lines of text<TAB>label, or text<TAB>second text<TAB>label. */
typedef struct labelled {
    pm_text_input *texts;
    char **truth;
    size_t *line, n;
} labelled;

static int read_labelled(const char *path, char *file, labelled *out) {
    size_t n = cli_count_lines(file), number = 0;
    char *line;
    out->texts = calloc(n, sizeof *out->texts);
    out->truth = calloc(n, sizeof *out->truth);
    out->line = calloc(n, sizeof *out->line);
    if (!out->texts || !out->truth || !out->line)
        return cli_error(PM_ERR_MEMORY, "out of memory: %zu lines", n);
    while ((line = cli_next_line(&file)) != NULL) {
        number++;
        if (!*line) continue;
        char *last = strrchr(line, '\t');
        if (!last)
            return cli_error(PM_ERR_FILE, "%s: line %zu: has no tab, expected text<TAB>label", path, number);
        *last = 0;
        char *tab = strchr(line, '\t');
        if (tab) *tab = 0;
        out->texts[out->n] = (pm_text_input){line, tab ? tab + 1 : NULL};
        out->truth[out->n] = last + 1;
        out->line[out->n++] = number;
    }
    return out->n ? PM_OK : cli_error(PM_ERR_FILE, "%s: has no lines, expected text<TAB>label", path);
}

static int print_scores(const classification *c) {
    labelled l = {0};
    pm_report r = {0};
    char *file = NULL;
    float *scores = NULL;
    int code = PM_OK;
    if (pm_model_class_kind(c->place.model) == PM_CLASS_VALUE)
        return cli_error(PM_ERR_USAGE,
                         "classify: --scores needs classes, the model gives numbers (regression)");
    code = cli_read_file(c->scores, &file);
    if (!code) code = read_labelled(c->scores, file, &l);
    if (!code) code = classify(c, l.texts, l.n, &scores);
    for (size_t i = 0; i < l.n && !code; i++)
        code = count_text(c, l.truth[i], l.line[i], scores + i * pm_model_n_labels(c->place.model), &r);
    pm_report_finish(&r);
    if (!code) code = cli_print_report(&r, "texts", c->json);
    pm_report_free(&r);
    free(l.texts);
    free(l.truth);
    free(l.line);
    free(scores);
    free(file);
    return code;
}

int cmd_classify(int argc, char **argv) {
    classification c = {.device = "auto"};
    cli_texts texts = {0};
    const cli_flag flags[] = {
        {"--pair", CLI_STRING, &c.pair, "TEXT", "a second text, as a pair with each; or TEXT<TAB>SECOND", 0,
         0},
        {"--top", CLI_INT, &c.top, "K", "only the K best labels", 1, 1e9},
        {"--scores", CLI_STRING, &c.scores, "FILE",
         "lines of text<TAB>label: prints precision, recall and F1", 0, 0},
        CLI_TEXT_FLAGS(c.options, c.batch),
        CLI_DEVICE_FLAG(&c.device),
        {"--json", CLI_BOOL, &c.json, NULL, "one JSON object a line", 0, 0},
    };
    const cli_usage usage = {
        "classify MODEL [TEXT...]",
        "Prints the labels of each TEXT, or of each line of stdin, on a line: label, score, best first.",
        "pumice classify tests/data/examples/classify \"a fine film\" \"dull\"",
        flags,
        sizeof flags / sizeof *flags,
        1,
        4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (c.scores && n_words > 1)
        return cli_error(PM_ERR_USAGE, "classify: both TEXT and --scores were given");
    c.options.batch = (int32_t)c.batch;
    code = cli_open(words[0], c.device, NULL, &c.place);
    if (code) return code;
    if (!c.scores) code = cli_read_texts(words + 1, n_words - 1, &texts);
    if (!code) code = c.scores ? print_scores(&c) : print_texts(&c, &texts);
    cli_free_texts(&texts);
    cli_close(&c.place);
    return code;
}
