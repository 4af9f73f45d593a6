/* See texts.h. */
#include "cli/texts.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading ---- */

static int read_all(FILE *from, const char *path, char **out) {
    size_t n = 0, capacity = 1 << 16;
    char *text = malloc(capacity);
    while (text) {
        n += fread(text + n, 1, capacity - 1 - n, from);
        if (n + 1 < capacity) break;
        char *more = realloc(text, capacity *= 2);
        if (!more) free(text);
        text = more;
    }
    if (!text) return cli_error(PM_ERR_MEMORY, "out of memory: reading %s", path);
    text[n] = 0;
    int code =
        ferror(from) ? cli_error(PM_ERR_FILE, "%s: cannot be read", path)
        : strlen(text) != n
            ? cli_error(PM_ERR_FILE, "%s: has a NUL byte after %zu bytes, expected text", path, strlen(text))
            : PM_OK;
    if (code)
        free(text);
    else
        *out = text;
    return code;
}

int cli_read_file(const char *path, char **out_text) {
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    if (f == stdin) path = "stdin";
    if (!f) return cli_error(PM_ERR_FILE, "%s: cannot be opened", path);
    int code = read_all(f, path, out_text);
    if (f != stdin) fclose(f);
    return code;
}

char *cli_next_line(char **at) {
    char *line = *at;
    if (!line || !*line) return NULL;
    size_t n = strcspn(line, "\n");
    *at = line[n] ? line + n + 1 : line + n;
    line[n] = 0;
    if (n && line[n - 1] == '\r') line[n - 1] = 0;
    return line;
}

size_t cli_count_lines(const char *text) {
    size_t n = 1;
    for (const char *c = text; *c; c++) n += *c == '\n';
    return n;
}

int64_t cli_find_label(const pm_model *m, const char *name) {
    int64_t n = (int64_t)pm_model_n_labels(m);
    for (int64_t i = 0; i < n; i++)
        if (!strcmp(pm_model_label(m, i), name)) return i;
    if (!*name || name[strspn(name, "0123456789")]) return -1;
    int64_t i = strtoll(name, NULL, 10);
    return i < n ? i : -1;
}

static int read_lines(cli_texts *out) {
    char *text, *line;
    int code = cli_read_file("-", &text);
    if (code) return code;
    size_t n = cli_count_lines(text);
    out->at = malloc(n * sizeof *out->at);
    if (!out->at) {
        free(text);
        return cli_error(PM_ERR_MEMORY, "out of memory: %zu lines", n);
    }
    out->block = text;
    for (char *at = text; (line = cli_next_line(&at)) != NULL;) out->at[out->n++] = line;
    return out->n ? PM_OK : cli_error(PM_ERR_USAGE, "stdin: has no lines, expected texts");
}

int cli_read_texts(char **words, size_t n_words, cli_texts *out) {
    *out = (cli_texts){words, n_words, NULL};
    return n_words ? PM_OK : read_lines(out);
}

void cli_free_texts(cli_texts *t) {
    if (t->block) free(t->at);
    free(t->block);
    *t = (cli_texts){0};
}

int cli_make_inputs(const cli_texts *t, bool pairs, pm_text_input **out) {
    *out = calloc(t->n + 1, sizeof **out);
    if (!*out) return cli_error(PM_ERR_MEMORY, "out of memory: %zu texts", t->n);
    for (size_t i = 0; i < t->n; i++) {
        char *text = t->at[i], *tab = pairs ? strchr(text, '\t') : NULL;
        if (tab) *tab = 0;
        (*out)[i] = (pm_text_input){text, tab ? tab + 1 : NULL};
    }
    return PM_OK;
}

/* ---- reports ---- */

static json_t *score_json(const pm_score *s, bool named) {
    json_t *o = json_pack("{s:f, s:f, s:f, s:I}", "precision", s->precision, "recall", s->recall, "f1", s->f1,
                          "support", (json_int_t)s->n_true);
    if (named) json_object_set_new(o, "label", json_string(s->name));
    return o;
}

static void print_row(const char *name, const pm_score *s) {
    printf("%-20s %10.4f %10.4f %10.4f %10llu\n", name, s->precision, s->recall, s->f1,
           (unsigned long long)s->n_true);
}

int cli_print_report(const pm_report *r, const char *what, bool json) {
    if (json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < r->n_rows; i++) json_array_append_new(rows, score_json(&r->rows[i], true));
        return cli_print_json(json_pack("{s:f, s:I, s:o, s:o, s:o, s:o}", "accuracy", r->accuracy, what,
                                        (json_int_t)r->n_items, "classes", rows, "micro",
                                        score_json(&r->micro, false), "macro", score_json(&r->macro, false),
                                        "weighted", score_json(&r->weighted, false)),
                              JSON_INDENT(2));
    }
    printf("%-20s %10s %10s %10s %10s\n", "", "precision", "recall", "f1", "support");
    for (size_t i = 0; i < r->n_rows; i++) print_row(r->rows[i].name, &r->rows[i]);
    print_row("micro", &r->micro);
    print_row("macro", &r->macro);
    print_row("weighted", &r->weighted);
    printf("accuracy %.4f of %llu %s\n", r->accuracy, (unsigned long long)r->n_items, what);
    return PM_OK;
}
