/* pumice attend: attention weights as .svg, .html, .png, .npy or .json, with the tokens on both axes. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/picture.h"

static const struct {
    const char *extension;
    int (*write)(const picture_choice *c, picture_file *out);
} formats[] = {
    {".svg", picture_svg}, {".html", picture_html}, {".png", picture_png},
    {".npy", picture_npy}, {".json", picture_json},
};

static int find_format(const char *path, size_t *out) {
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(dot, formats[i].extension)) {
            *out = i;
            return PM_OK;
        }
    return cli_error(PM_ERR_USAGE,
                     "attend: %s has no known ending, expected .svg, .html, .png, .npy or .json", path);
}

static int draw(const pm_attention *map, const char *title, const int64_t *chosen, const char *path) {
    size_t format = 0;
    int code = find_format(path, &format);
    if (code) return code;
    if (chosen[0] >= map->n_layers)
        return cli_error(PM_ERR_USAGE, "--layer: %lld, the model has layers 0 to %lld", (long long)chosen[0],
                         (long long)map->n_layers - 1);
    if (chosen[1] >= map->n_heads)
        return cli_error(PM_ERR_USAGE, "--head: %lld, the model has heads 0 to %lld", (long long)chosen[1],
                         (long long)map->n_heads - 1);
    picture_choice choice = {map, title, chosen[0], chosen[1]};
    picture_file file = {0};
    code = formats[format].write(&choice, &file);
    if (!code && file.failed)
        code = cli_error(PM_ERR_MEMORY, "out of memory: the picture of an attention map");
    if (!code) code = cli_write_file(path, file.data, file.bytes);
    free(file.data);
    return code;
}

static int print_sizes(const pm_attention *map, const char *path) {
    return cli_print_json(json_pack("{ss sI sI sI sI}", "file", path, "layers", (json_int_t)map->n_layers,
                                    "heads", (json_int_t)map->n_heads, "queries", (json_int_t)map->n_queries,
                                    "keys", (json_int_t)map->n_keys),
                          JSON_INDENT(2));
}

/* "MODEL: TEXT", and what it became. Freed with free(); NULL when memory is out. */
static char *make_title(const char *model, const char *text, const char *output) {
    picture_file f = {0};
    const char *parts[] = {model, ": ", text, output ? " \u2192 " : "", output ? output : ""};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        picture_add_bytes(&f, parts[i], strlen(parts[i]));
    picture_add_bytes(&f, "", 1);
    if (!f.failed) return f.data;
    free(f.data);
    return NULL;
}

typedef struct attend_flags {
    const char *device, *path, *map, *ids_text;
    int64_t chosen[2], start; /* layer and head; -1: all */
    bool json;
    int32_t *ids; /* of ids_text */
    size_t n_ids;
} attend_flags;

/* text: NULL where ids are given. */
static int attend(const attend_flags *f, const cli_place *place, const char *model, const char *text) {
    pm_attention map = {0};
    pm_status s = f->ids ? pm_session_attend_ids(place->session, f->ids, f->n_ids, f->map, &map)
                         : pm_session_attend(place->session, text, f->map, &map);
    char *title = s == PM_OK ? make_title(model, f->ids ? f->ids_text : text, map.text) : NULL;
    int code = s != PM_OK ? cli_library_error(s)
               : title    ? draw(&map, title, f->chosen, f->path)
                          : cli_error(PM_ERR_MEMORY, "out of memory: the title of an attention map");
    if (!code && f->json) code = print_sizes(&map, f->path);
    free(title);
    pm_attention_free(&map);
    return code;
}

int cmd_attend(int argc, char **argv) {
    attend_flags f = {.device = "auto", .chosen = {-1, -1}, .start = -1};
    const cli_flag flags[] = {
        {"--output|-o", CLI_STRING, &f.path, "FILE", "where to write: .svg, .html, .png, .npy or .json", 0,
         0},
        {"--layer", CLI_INT, &f.chosen[0], "L", "only this layer, from 0", 0, 1e6},
        {"--head", CLI_INT, &f.chosen[1], "H", "only this head, from 0", 0, 1e6},
        {"--map", CLI_STRING, &f.map, "M",
         "encoder, decoder or cross; default: cross, or the model's only one", 0, 0},
        {"--ids", CLI_STRING, &f.ids_text, "LIST", "token ids in place of TEXT", 0, 0},
        CLI_START_FLAG(&f.start),
        CLI_DEVICE_FLAG(&f.device),
        {"--json", CLI_BOOL, &f.json, NULL, "print the sizes of the map as JSON", 0, 0},
    };
    const cli_usage usage = {"attend MODEL TEXT [--layer L] [--head H] -o FILE",
                             "Writes the attention weights of one text.",
                             "pumice attend numbers-en-zh \"half past three\" -o attention.svg",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             2};
    char **words;
    size_t n_words, format = 0;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if (!f.path) return cli_error(PM_ERR_USAGE, "attend: -o is missing, expected a file to write");
    if ((code = find_format(f.path, &format)) != 0) return code;
    if (!f.ids_text == (n_words == 1))
        return cli_error(PM_ERR_USAGE, "attend: expected either TEXT or --ids");

    cli_place place = {0};
    if (f.ids_text) code = cli_parse_ids(f.ids_text, &f.ids, &f.n_ids);
    if (!code) code = cli_open(words[0], f.device, NULL, &place);
    if (!code) code = cli_set_start(&place, f.start);
    if (!code) code = attend(&f, &place, words[0], f.ids ? NULL : words[1]);
    free(f.ids);
    cli_close(&place);
    return code;
}
