/* pumice tag: entities of texts with their places, or how right they are on a file of tagged words. */
#include <stdlib.h>
#include <string.h>

#include "cli/texts.h"

typedef struct tagging {
    cli_place place;
    pm_text_options options;
    const char *device, *scores;
    int64_t batch;
    bool json;
} tagging;

static int print_text(const tagging *t, const char *text, const pm_spans *spans) {
    json_t *list = t->json ? json_array() : NULL;
    for (size_t i = 0; i < spans->n; i++) {
        const pm_span *s = &spans->spans[i];
        if (!t->json) {
            printf("%zu\t%zu\t%s\t%.6g\t%.*s\n", s->begin_char, s->end_char, s->type, (double)s->score,
                   (int)(s->end - s->begin), text + s->begin);
            continue;
        }
        json_array_append_new(list,
                              json_pack("{s:I, s:I, s:s, s:f, s:s%}", "begin", (json_int_t)s->begin_char,
                                        "end", (json_int_t)s->end_char, "label", s->type, "score",
                                        (double)s->score, "text", text + s->begin, s->end - s->begin));
    }
    return t->json ? cli_print_json(json_pack("{s:o, s:o}", "text", cli_json_text(text), "entities", list),
                                    JSON_COMPACT)
                   : PM_OK;
}

static int print_texts(const tagging *t, const cli_texts *given) {
    pm_text_input *texts = NULL;
    pm_spans *spans = calloc(given->n + 1, sizeof *spans);
    int code =
        spans ? cli_make_inputs(given, false, &texts) : cli_error(PM_ERR_MEMORY, "out of memory: spans");
    if (!code) {
        pm_status s = pm_session_tag(t->place.session, texts, given->n, &t->options, spans);
        if (s != PM_OK) code = cli_library_error(s);
    }
    for (size_t i = 0; i < given->n && !code; i++) {
        if (i && !t->json) printf("\n");
        code = print_text(t, texts[i].text, &spans[i]);
    }
    for (size_t i = 0; spans && i < given->n; i++) pm_spans_free(&spans[i]);
    free(spans);
    free(texts);
    return code;
}

/* ---- scores ---- */

/* The words and tags of a file, one word a line, sentences divided by blank lines. */
typedef struct corpus {
    const char **words, **tags, **guesses;
    int32_t *labels, **rows; /* rows: where a sentence's labels begin */
    pm_sentence *sentences;
    size_t n_words, n;
} corpus;

static bool begins_document(const char *line) {
    return !strncmp(line, "-DOCSTART-", 10);
}

/* The first column is the word, the last one the tag. */
static int read_columns(const char *path, char *line, size_t number, const char **word, const char **tag) {
    static const char blanks[] = " \t";
    size_t n = strlen(line);
    while (n && strchr(blanks, line[n - 1])) line[--n] = 0;
    char *last = line + n;
    while (last > line && !strchr(blanks, last[-1])) last--;
    if (last == line)
        return cli_error(PM_ERR_FILE, "%s: line %zu: has one column, expected a word and a tag", path,
                         number);
    *tag = last;
    *word = line;
    line[strcspn(line, blanks)] = 0;
    return PM_OK;
}

static int make_corpus(corpus *c, const char *file) {
    size_t n = cli_count_lines(file) + 1;
    c->words = calloc(n, sizeof *c->words);
    c->tags = calloc(n, sizeof *c->tags);
    c->guesses = calloc(n, sizeof *c->guesses);
    c->labels = calloc(n, sizeof *c->labels);
    c->rows = calloc(n, sizeof *c->rows);
    c->sentences = calloc(n, sizeof *c->sentences);
    return c->words && c->tags && c->guesses && c->labels && c->rows && c->sentences
               ? PM_OK
               : cli_error(PM_ERR_MEMORY, "out of memory: %zu lines", n);
}

static void end_sentence(corpus *c, size_t begin) {
    if (c->n_words == begin) return;
    c->rows[c->n] = c->labels + begin;
    c->sentences[c->n++] = (pm_sentence){c->words + begin, c->n_words - begin};
}

static int read_corpus(const char *path, char *file, corpus *c) {
    size_t number = 0, begin = 0;
    char *line;
    int code = make_corpus(c, file);
    while (!code && (line = cli_next_line(&file)) != NULL) {
        number++;
        if (cli_is_blank(line) || begins_document(line)) {
            end_sentence(c, begin);
            begin = c->n_words;
            continue;
        }
        code = read_columns(path, line, number, &c->words[c->n_words], &c->tags[c->n_words]);
        c->n_words++;
    }
    end_sentence(c, begin);
    return code || c->n
               ? code
               : cli_error(PM_ERR_FILE, "%s: has no words, expected lines of a word and a tag", path);
}

/* A word without a token of its own, or cut off, counts as O. */
static int count_corpus(const tagging *t, corpus *c, pm_report *r) {
    pm_status s = pm_session_tag_words(t->place.session, c->sentences, c->n, &t->options, c->rows);
    for (size_t i = 0; i < c->n_words; i++)
        c->guesses[i] = c->labels[i] >= 0 ? pm_model_label(t->place.model, c->labels[i]) : "O";
    for (size_t i = 0, at = 0; s == PM_OK && i < c->n; at += c->sentences[i++].n)
        s = pm_report_count_tags(r, c->tags + at, c->guesses + at, c->sentences[i].n);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

static int print_scores(const tagging *t) {
    corpus c = {0};
    pm_report r = {0};
    char *file = NULL;
    int code = cli_read_file(t->scores, &file);
    if (!code) code = read_corpus(t->scores, file, &c);
    if (!code) code = count_corpus(t, &c, &r);
    pm_report_finish(&r);
    if (!code) code = cli_print_report(&r, "words", t->json);
    pm_report_free(&r);
    free(c.words);
    free(c.tags);
    free(c.guesses);
    free(c.labels);
    free(c.rows);
    free(c.sentences);
    free(file);
    return code;
}

int cmd_tag(int argc, char **argv) {
    tagging t = {.device = "auto"};
    cli_texts texts = {0};
    const cli_flag flags[] = {
        {"--scores", CLI_STRING, &t.scores, "FILE",
         "words with tags, one a line (CoNLL): prints precision, recall and F1 of entities", 0, 0},
        CLI_TEXT_FLAGS(t.options, t.batch),
        CLI_DEVICE_FLAG(&t.device),
        {"--json", CLI_BOOL, &t.json, NULL, "one JSON object a text", 0, 0},
    };
    const cli_usage usage = {
        "tag MODEL [TEXT...]",
        "Prints the entities of each TEXT, or of each line of stdin: begin and end in characters, label, score, text; a blank "
        "line between texts.",
        "pumice tag tests/data/examples/tag \"ada lives in the city\"",
        flags,
        sizeof flags / sizeof *flags,
        1,
        4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (t.scores && n_words > 1) return cli_error(PM_ERR_USAGE, "tag: both TEXT and --scores were given");
    t.options.batch = (int32_t)t.batch;
    code = cli_open(words[0], t.device, NULL, &t.place);
    if (code) return code;
    if (!t.scores) code = cli_read_texts(words + 1, n_words - 1, &texts);
    if (!code) code = t.scores ? print_scores(&t) : print_texts(&t, &texts);
    cli_free_texts(&texts);
    cli_close(&t.place);
    return code;
}
