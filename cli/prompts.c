/* See prompts.h. */
#include "cli/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "cli/texts.h"
#include "pumice/chat.h"

typedef struct reader {
    const cli_place *place;
    const cli_prompt_source *source;
    cli_prompts *out;
    char where[48]; /* of the prompt at hand: "line 3: "; empty when it is the only one */
} reader;

/* The newest error of the library, with the prompt's place. */
static int prompt_error(const reader *r, pm_status s) {
    return cli_error(s, "%s%s", r->where, pm_error_text());
}

static int set_text(const reader *r, const char *text, pm_ids *to) {
    pm_chat_message talk[2] = {{"system", r->source->system}, {"user", text}};
    int skip = r->source->system ? 0 : 1;
    int32_t *ids;
    pm_status s = r->source->chat
                      ? pm_chat_encode(r->place->model, talk + skip, (size_t)(2 - skip), &ids, &to->n)
                      : pm_model_encode(r->place->model, text, &ids, &to->n);
    if (s != PM_OK) return prompt_error(r, s);
    int32_t *own = malloc(to->n * sizeof *own + 1);
    if (own && to->n) memcpy(own, ids, to->n * sizeof *own);
    to->ids = own;
    pm_release(ids);
    return own ? PM_OK : cli_error(PM_ERR_MEMORY, "out of memory: %zu ids", to->n);
}

static int set_ids(const char *what, const char *text, pm_ids *to) {
    int32_t *ids = NULL;
    int code = cli_parse_ids(what, text, &ids, &to->n);
    to->ids = ids;
    return code;
}

/* What cannot be generated from is said before anything is; of a single prompt generation itself says so. */
static int check(const reader *r, const pm_ids *ids) {
    pm_status s = *r->where ? pm_check_prompt(r->place->session, ids->ids, ids->n) : PM_OK;
    return s == PM_OK ? PM_OK : prompt_error(r, s);
}

static int add_line(reader *r, const char *line, bool as_ids, size_t number) {
    char what[32];
    pm_ids *to = &r->out->at[r->out->n++];
    snprintf(what, sizeof what, "line %zu", number);
    snprintf(r->where, sizeof r->where, "%s: ", what);
    if (cli_is_blank(line)) return cli_error(PM_ERR_USAGE, "%s: is empty, expected a prompt", what);
    int code = as_ids ? set_ids(what, line, to) : set_text(r, line, to);
    return code ? code : check(r, to);
}

static int make_room(cli_prompts *p, size_t n) {
    p->at = calloc(n + 1, sizeof *p->at);
    return p->at ? PM_OK : cli_error(PM_ERR_MEMORY, "out of memory: %zu prompts", n);
}

static int read_file(reader *r) {
    const cli_prompt_source *from = r->source;
    char *text, *line;
    pm_model_info info;
    pm_model_get_info(r->place->model, &info);
    bool as_ids = from->lines ? !strcmp(from->lines, "ids") : !info.has_tokenizer;
    int code = cli_read_file(from->file, &text);
    if (code) return code;
    code = make_room(r->out, cli_count_lines(text));
    for (char *at = text; !code && (line = cli_next_line(&at)) != NULL;)
        code = add_line(r, line, as_ids, r->out->n + 1);
    if (!code && r->out->n == 0)
        code = cli_error(PM_ERR_USAGE, "%s: has no lines, expected prompts",
                         strcmp(from->file, "-") ? from->file : "stdin");
    free(text);
    return code;
}

static int read_words(reader *r) {
    const cli_prompt_source *from = r->source;
    size_t n = from->ids->n + from->n_texts;
    int code = make_room(r->out, n);
    for (size_t i = 0; !code && i < n; i++) {
        pm_ids *to = &r->out->at[r->out->n++];
        if (n > 1) snprintf(r->where, sizeof r->where, "%s %zu: ", from->ids->n ? "--ids" : "TEXT", i + 1);
        code = from->ids->n ? set_ids("--ids", from->ids->at[i], to) : set_text(r, from->texts[i], to);
        if (!code) code = check(r, to);
    }
    if (!code && n == 0) r->out->n = 1; /* from the model's first token on */
    return code;
}

/* One source at most; a model that only continues needs none. */
static int check_source(const reader *r) {
    const cli_prompt_source *from = r->source;
    pm_model_info info;
    pm_model_get_info(r->place->model, &info);
    if (from->ids->n && from->n_texts)
        return cli_error(PM_ERR_USAGE, "generate: both TEXT and --ids were given, expected one");
    if (from->file && (from->ids->n || from->n_texts))
        return cli_error(PM_ERR_USAGE, "generate: both --file and %s were given, expected one",
                         from->n_texts ? "TEXT" : "--ids");
    if (from->lines && !from->file) return cli_error(PM_ERR_USAGE, "generate: --lines goes with --file");
    if (from->lines && strcmp(from->lines, "ids") && strcmp(from->lines, "text"))
        return cli_error(PM_ERR_USAGE, "--lines: %s, expected text or ids", from->lines);
    if (!from->ids->n && !from->n_texts && !from->file && (from->chat || info.encoder_decoder))
        return cli_error(PM_ERR_USAGE, "generate: TEXT is missing");
    if (from->chat && (from->ids->n || (from->lines && !strcmp(from->lines, "ids"))))
        return cli_error(PM_ERR_USAGE, "generate: --chat needs TEXT, not %s", from->ids->n ? "--ids" : "ids");
    if (from->system && !from->chat) return cli_error(PM_ERR_USAGE, "generate: --system goes with --chat");
    return PM_OK;
}

int cli_read_prompts(const cli_place *p, const cli_prompt_source *source, cli_prompts *out) {
    reader r = {.place = p, .source = source, .out = out};
    *out = (cli_prompts){.listed = source->file || source->n_texts > 1 || source->ids->n > 1};
    int code = check_source(&r);
    if (!code) code = source->file ? read_file(&r) : read_words(&r);
    if (code) cli_free_prompts(out);
    return code;
}

void cli_free_prompts(cli_prompts *p) {
    for (size_t i = 0; p->at && i < p->n; i++) free((void *)p->at[i].ids);
    free(p->at);
    *p = (cli_prompts){0};
}
