/* The prompts of a generation: texts or ids of the command line, or the lines of a file. */
#ifndef PM_CLI_PROMPTS_H
#define PM_CLI_PROMPTS_H

#include "cli/cli.h"

typedef struct cli_prompt_source {
    char *const *texts;
    size_t n_texts;
    const cli_strings *ids; /* each a list */
    const char *file;       /* NULL: none; "-" is stdin */
    const char *lines;      /* what the file's lines are: "text", "ids", or NULL: text where the model has a tokenizer */
    bool chat;              /* texts are messages */
    const char *system;
} cli_prompt_source;

typedef struct cli_prompts {
    pm_ids *at;
    size_t n;
    bool listed; /* there may be several: results are listed, not streamed */
} cli_prompts;

/* All of them, checked: an error names the text or the line. With none given, one prompt without ids. */
int cli_read_prompts(const cli_place *p, const cli_prompt_source *source, cli_prompts *out);
void cli_free_prompts(cli_prompts *p);

#endif
