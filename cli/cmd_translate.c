/* pumice translate: encoder-decoder text to text, one line an input; stdin's lines when no text is given. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- batches ---- */

/* Texts that wait for their batch. number 0: a text of the command line, which needs none in an error. */
typedef struct source {
    char *text;    /* owned; NULL: the line has a NUL byte: */
    size_t number; /* of the line */
    size_t cut;    /* bytes before that byte */
} source;

enum { LINES_A_TEXT = 16 }; /* most lines in a queue, blank ones among them, for each text of a batch */

typedef struct queue {
    source *at;
    size_t n, capacity, n_texts, batch;
    int first_code; /* the first failure */
} queue;

static void keep_code(queue *q, int code) {
    if (!q->first_code) q->first_code = code;
}

static bool is_text(const source *from) {
    return from->text && !cli_is_blank(from->text);
}

/* The translations of those that are texts, in their order. */
static pm_status translate_queued(const translation *t, const queue *q, const char **texts,
                                  pm_translation *out) {
    pm_generate_options o = t->options;
    size_t n = 0, numbers[256];
    for (size_t i = 0; i < q->n; i++) {
        if (!is_text(&q->at[i])) continue;
        numbers[n] = q->at[i].number;
        texts[n++] = q->at[i].text;
    }
    if (n && numbers[0]) {
        o.prompt_name = "line";
        o.prompt_numbers = numbers;
    }
    return n ? pm_translate_batch(t->place.session, texts, n, &o, out) : PM_OK;
}

/* A line that cannot be translated is reported, and gives an empty one; a blank one gives a blank one. A text of the command line
 * that cannot be ends all. */
static void print_source(translation *t, queue *q, const source *from, const pm_translation *got) {
    int code = PM_OK;
    if (!from->number && q->first_code) return;
    if (!from->text)
        code = cli_error(PM_ERR_USAGE, "line %zu: text: has a NUL byte after %zu bytes, expected none",
                         from->number, from->cut);
    const char *text = got && got->text ? got->text : "";
    if (got && !got->text)
        code = from->number ? cli_error(got->status, "line %zu: %s", from->number, got->error)
                            : cli_error(got->status, "%s", got->error);
    if (!code || from->number) {
        int printed = print_line(t, from->text, code ? NULL : text);
        if (!code) code = printed;
    }
    keep_code(q, code);
}

/* Translates what is queued, prints it in its order, and empties the queue. Errors that are no text's fault end all. */
static pm_status flush_queue(translation *t, queue *q) {
    pm_translation *got = calloc(q->n + 1, sizeof *got);
    const char **texts = malloc((q->n + 1) * sizeof *texts);
    pm_status s = PM_ERR_MEMORY;
    if (!got || !texts)
        keep_code(q, cli_error(s, "out of memory: %zu texts", q->n));
    else if ((s = translate_queued(t, q, texts, got)) != PM_OK)
        keep_code(q, cli_library_error(s));
    for (size_t i = 0, k = 0; s == PM_OK && i < q->n; i++)
        print_source(t, q, &q->at[i], is_text(&q->at[i]) ? &got[k++] : NULL);
    fflush(stdout);
    if (got) pm_translations_free(got, q->n);
    for (size_t i = 0; i < q->n; i++) free(q->at[i].text);
    free(texts);
    free(got);
    q->n = q->n_texts = 0;
    return s;
}

static pm_status add_source(translation *t, queue *q, const source *from) {
    q->at[q->n++] = *from;
    q->n_texts += is_text(from);
    bool full = q->n_texts == q->batch || q->n == q->capacity;
    return full || !q->n_texts ? flush_queue(t, q) : PM_OK;
}

/* Whether stdin has more, or its end, by now. True of stdin alone, which has no buffer here. */
static bool is_more_waiting(void) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) != 0;
}

/* A line of stdin gives a line on stdout, so that the two stay side by side. Who waits for an answer before the next line gets it.
 * What is no fault of a line ends all. */
static pm_status translate_stdin(translation *t, queue *q) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    pm_status s = PM_OK;
    setvbuf(stdin, NULL, _IONBF, 0);
    for (size_t number = 1; s == PM_OK && (n = getline(&line, &capacity, stdin)) >= 0; number++) {
        source from = {.text = line, .number = number};
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r')) line[--n] = 0;
        from.cut = strlen(line);
        if (from.cut != (size_t)n) {
            from.text = NULL;
        } else {
            line = NULL; /* the queue's now */
            capacity = 0;
        }
        s = add_source(t, q, &from);
        if (s == PM_OK && q->n && !is_more_waiting()) s = flush_queue(t, q);
    }
    free(line);
    return s;
}

static pm_status translate_words(translation *t, queue *q, char *const *words, size_t n) {
    pm_status s = PM_OK;
    for (size_t i = 0; s == PM_OK && i < n && !q->first_code; i++) {
        source from = {.text = strdup(words[i])};
        if (!from.text) return keep_code(q, cli_error(PM_ERR_MEMORY, "out of memory: a text")), PM_ERR_MEMORY;
        s = add_source(t, q, &from);
    }
    return s;
}

static int translate_all(translation *t, size_t batch, char *const *words, size_t n) {
    queue q = {.capacity = batch * LINES_A_TEXT, .batch = batch};
    if (!(q.at = calloc(q.capacity, sizeof *q.at)))
        return cli_error(PM_ERR_MEMORY, "out of memory: %zu texts", batch);
    pm_status s = n ? translate_words(t, &q, words, n) : translate_stdin(t, &q);
    if (s == PM_OK) (void)flush_queue(t, &q);
    for (size_t i = 0; i < q.n; i++) free(q.at[i].text);
    free(q.at);
    return q.first_code;
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
    int64_t beams = 0, max_new = 0, start = -1, batch = 8;
    const cli_flag flags[] = {
        CLI_DEVICE_FLAG(&device),
        {"--from", CLI_STRING, &t.options.from, "LANG",
         "the text's language, for models of many: en, eng_Latn", 0, 0},
        {"--to", CLI_STRING, &t.options.to, "LANG", "the language to translate into: fr, fra_Latn, fra", 0,
         0},
        {"--beams", CLI_INT, &beams, "K",
         "beam search with K beams; 1: greedy; default: as the model's files say", 1, 64},
        {"-n|--max-new", CLI_INT, &max_new, "N", "most new tokens", 1, 1e6},
        {"--batch", CLI_INT, &batch, "N",
         "texts that run together (default 8; fewer when no more lines wait); with beams one after the other",
         1, 256},
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
    if (!code) code = translate_all(&t, (size_t)batch, words + 1, n_words - 1);
    cli_close(&t.place);
    return code;
}
