/* pumice match: how well texts fit pictures. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "pumice/image.h"

typedef struct match_flags {
    const char *device;
    cli_strings images, ids;
    bool json;
} match_flags;

typedef struct match_run {
    const match_flags *flags;
    cli_place place;
    const char *paths[CLI_MAX_STRINGS + 1];
    pm_image images[CLI_MAX_STRINGS + 1];
    size_t n_images, n_texts;
    pm_match_text *texts;
    int32_t *ids[CLI_MAX_STRINGS]; /* of --ids */
    float *scores, *cosines;       /* [n_images][n_texts] */
} match_run;

static int read_texts(match_run *r, char **words, size_t n) {
    const match_flags *f = r->flags;
    r->n_texts = n + f->ids.n;
    if (!r->n_texts) return cli_error(PM_ERR_USAGE, "match: no text is given, expected TEXT... or --ids");
    r->texts = calloc(r->n_texts, sizeof *r->texts);
    if (!r->texts) return cli_error(PM_ERR_MEMORY, "out of memory: %zu texts", r->n_texts);
    for (size_t i = 0; i < n; i++) r->texts[i].text = words[i];
    for (size_t i = 0; i < f->ids.n; i++) {
        int code = cli_parse_ids("--ids", f->ids.at[i], &r->ids[i], &r->texts[n + i].n_ids);
        if (code != PM_OK) return code;
        r->texts[n + i].ids = r->ids[i];
    }
    return PM_OK;
}

static int open_images(match_run *r, const char *first) {
    const cli_strings *more = &r->flags->images;
    r->paths[0] = first;
    for (size_t i = 0; i < more->n; i++) r->paths[1 + i] = more->at[i];
    for (r->n_images = 0; r->n_images < 1 + more->n; r->n_images++) {
        pm_status s = pm_image_open(r->paths[r->n_images], &r->images[r->n_images]);
        if (s != PM_OK) return cli_library_error(s);
    }
    return PM_OK;
}

static int print_json(const match_run *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_images; i++) {
        json_t *rows = json_array();
        for (size_t k = 0; k < r->n_texts; k++) {
            size_t at = i * r->n_texts + k;
            json_t *row =
                json_pack("{s:f, s:f}", "score", (double)r->scores[at], "cosine", (double)r->cosines[at]);
            if (r->texts[k].text) json_object_set_new(row, "text", cli_json_text(r->texts[k].text));
            json_array_append_new(rows, row);
        }
        json_array_append_new(list,
                              json_pack("{s:o, s:o}", "image", cli_json_text(r->paths[i]), "texts", rows));
    }
    return cli_print_json(list, JSON_INDENT(1));
}

static int print(const match_run *r) {
    if (r->flags->json) return print_json(r);
    for (size_t i = 0; i < r->n_images; i++)
        for (size_t k = 0; k < r->n_texts; k++) {
            size_t at = i * r->n_texts + k, first_ids = r->n_texts - r->flags->ids.n;
            if (r->n_images > 1) printf("%s\t", r->paths[i]);
            printf("%.4f\t%.4f\t%s\n", (double)r->scores[at], (double)r->cosines[at],
                   k < first_ids ? r->texts[k].text : r->flags->ids.at[k - first_ids]);
        }
    return PM_OK;
}

static int run(match_run *r, char **words, size_t n) {
    int code = read_texts(r, words + 2, n - 2);
    if (code == PM_OK) code = open_images(r, words[1]);
    if (code == PM_OK) code = cli_open(words[0], r->flags->device, NULL, &r->place);
    if (code != PM_OK) return code;
    r->scores = calloc(r->n_images * r->n_texts, sizeof *r->scores);
    r->cosines = calloc(r->n_images * r->n_texts, sizeof *r->cosines);
    if (!r->scores || !r->cosines) return cli_error(PM_ERR_MEMORY, "out of memory: %zu scores", r->n_texts);
    pm_status s = pm_session_match(r->place.session, r->images, r->n_images, r->texts, r->n_texts, r->scores,
                                   r->cosines);
    return s == PM_OK ? print(r) : cli_library_error(s);
}

int cmd_match(int argc, char **argv) {
    match_flags f = {.device = "auto"};
    const cli_flag flags[] = {
        CLI_DEVICE_FLAG(&f.device),
        {"--image", CLI_STRINGS, &f.images, "IMAGE", "one more picture; may be given several times", 0, 0},
        {"--ids", CLI_STRINGS, &f.ids, "IDS",
         "ids of one more text, as 49406,320,49407; may be given several times", 0, 0},
        {"--json", CLI_BOOL, &f.json, NULL, "results as JSON", 0, 0},
    };
    const cli_usage usage = {
        "match MODEL IMAGE TEXT...",
        "Prints for each text its share among the texts, the cosine of its vector with the picture's, and the text.",
        "pumice match tests/data/examples/match tests/data/images/rgb.png \"a photo of a cat\" \"a photo of a dog\"",
        flags,
        sizeof flags / sizeof *flags,
        2,
        SIZE_MAX};
    char **words;
    size_t n;
    int code = cli_parse(argc, argv, &usage, &words, &n);
    if (code) return code;
    match_run r = {.flags = &f};
    code = run(&r, words, n);
    for (size_t i = 0; i < r.n_images; i++) pm_image_free(&r.images[i]);
    for (size_t i = 0; i < f.ids.n; i++) free(r.ids[i]);
    free(r.texts);
    free(r.scores);
    free(r.cosines);
    cli_close(&r.place);
    return code;
}
