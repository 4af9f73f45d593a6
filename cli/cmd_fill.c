/* pumice fill: candidates for masked words. */
#include <string.h>

#include "cli/texts.h"

typedef struct filling {
    cli_place place;
    pm_text_options options;
    const char *device;
    int64_t top;
    bool json;
} filling;

/* A line a candidate: which mask, token, score; a blank line between texts. */
static int print_fill(const filling *f, const char *text, const pm_fill *r) {
    json_t *masks = json_array();
    for (size_t i = 0; i < r->n_masks; i++) {
        json_t *list = json_array();
        for (size_t k = 0; k < r->n_each; k++) {
            const pm_candidate *c = &r->candidates[i * r->n_each + k];
            if (!f->json) printf("%zu\t%s\t%.6g\n", i + 1, c->text, (double)c->score);
            json_array_append_new(list, json_pack("{s:i, s:s, s:f}", "id", (int)c->id, "token", c->text,
                                                  "score", (double)c->score));
        }
        json_array_append_new(masks, list);
    }
    if (f->json)
        return cli_print_json(json_pack("{s:o, s:o}", "text", cli_json_text(text), "masks", masks),
                              JSON_COMPACT);
    json_decref(masks);
    return PM_OK;
}

int cmd_fill(int argc, char **argv) {
    filling f = {.device = "auto", .top = 5};
    cli_texts texts = {0};
    int64_t batch = 0;
    const cli_flag flags[] = {
        {"--top", CLI_INT, &f.top, "K", "candidates for each mask (default 5)", 1, 1e6},
        CLI_TEXT_FLAGS(f.options, batch),
        CLI_DEVICE_FLAG(&f.device),
        {"--json", CLI_BOOL, &f.json, NULL, "one JSON object a text", 0, 0},
    };
    const cli_usage usage = {
        "fill MODEL [TEXT...]",
        "Prints the likeliest tokens for each mask of each TEXT, or of each line of stdin: number of the mask, "
        "token, score.",
        "pumice fill tests/data/examples/fill \"paris is the [MASK] of france\"",
        flags,
        sizeof flags / sizeof *flags,
        1,
        4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    code = cli_open(words[0], f.device, NULL, &f.place);
    if (code) return code;
    f.options.batch = (int32_t)batch;
    code = cli_read_texts(words + 1, n_words - 1, &texts);
    for (size_t i = 0; i < texts.n && !code; i++) {
        const char *text = texts.at[i];
        pm_fill r = {0};
        pm_status s = pm_session_fill(f.place.session, text, (size_t)f.top, &f.options, &r);
        if (i && !f.json) printf("\n");
        code = s == PM_OK ? print_fill(&f, text, &r) : cli_library_error(s);
        pm_fill_free(&r);
    }
    cli_free_texts(&texts);
    cli_close(&f.place);
    return code;
}
