/* What the commands on texts share: where texts come from, and reports of scores. */
#ifndef PM_CLI_TEXTS_H
#define PM_CLI_TEXTS_H

#include "cli/cli.h"
#include "pumice/scores.h"
#include "pumice/text.h"

/* Texts of the command line, or lines of stdin. */
typedef struct cli_texts {
    char **at;
    size_t n;
    char *block; /* of the lines; NULL: the command line's */
} cli_texts;
int cli_read_texts(char **words, size_t n_words, cli_texts *out);
void cli_free_texts(cli_texts *t);
/* Each text as an input of the library; with a tab in it, a pair (the text is cut there). Freed with free(). */
int cli_make_inputs(const cli_texts *t, bool pairs, pm_text_input **out);

/* All of a file, zero-terminated, without zeros in it; "-" is stdin. Freed with free(). */
int cli_read_file(const char *path, char **out_text);
/* The next line of a text, which is cut at its end; NULL past the last. */
char *cli_next_line(char **at);
size_t cli_count_lines(const char *text); /* or more: enough room for them */
/* The number of the model's class of that name, else of that number; -1: there is none. */
int64_t cli_find_label(const pm_model *m, const char *name);

/* A table, or JSON. what: "texts" or "words". */
int cli_print_report(const pm_report *r, const char *what, bool json);

#define CLI_TEXT_FLAGS(options, batch)                                                                       \
    {"--truncate", CLI_BOOL, &(options).truncate, NULL, "cut texts that are too long for the model", 0, 0},  \
    {                                                                                                        \
        "--batch", CLI_INT, &(batch), "N", "texts that run together (default 8)", 1, 4096                    \
    }

#endif
