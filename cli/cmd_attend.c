/* pumice attend: attention weights as .svg, .html, .png, .npy or .json, with tokens, patches or times on both axes. */
#include <errno.h>
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

typedef struct attend_flags {
    const char *device, *path, *layer, *head, *ids, *target, *inputs, *from, *to, *language, *task;
    int64_t start, query, row;
    bool json, rollout;
    pm_attend_options o;
    size_t format;
} attend_flags;

/* What the command opened for the map. */
typedef struct attend_things {
    int32_t *ids, *target;
    pm_image image;
    pm_sound sound;
    pm_tensors *inputs;
    pm_generate_options generate;
    pm_transcribe_options transcribe;
} attend_things;

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

/* A number from 0, or "mean". */
static int parse_part(const char *flag, const char *text, pm_attend_parts *parts, int64_t *out) {
    char *end;
    if (!text) return PM_OK;
    *parts = strcmp(text, "mean") == 0 ? PM_ATTEND_MEAN : PM_ATTEND_ONE;
    if (*parts == PM_ATTEND_MEAN) return PM_OK;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && !errno && n <= INT32_MAX) {
        *out = n;
        return PM_OK;
    }
    return cli_error(PM_ERR_USAGE, "%s: %s, expected a number from 0, or mean", flag, text);
}

static int check_flags(attend_flags *f, size_t n_words) {
    int code = PM_OK;
    if (!f->path) return cli_error(PM_ERR_USAGE, "attend: -o is missing, expected a file to write");
    if ((code = find_format(f->path, &f->format)) != 0) return code;
    if ((n_words > 1) + !!f->ids + !!f->inputs != 1)
        return cli_error(PM_ERR_USAGE,
                         "attend: expected one of TEXT (or a picture, or a sound), --ids and --inputs");
    f->o.rollout = f->rollout;
    code = parse_part("--layer", f->layer, &f->o.layers, &f->o.layer);
    return code ? code : parse_part("--head", f->head, &f->o.heads, &f->o.head);
}

/* ---- what is read ---- */

static int open_things(attend_flags *f, const cli_place *place, const char *word, attend_things *t) {
    pm_attend_input reads;
    pm_status s = pm_model_attend_input(place->model, f->o.map, &reads);
    int code = PM_OK;
    if (f->ids) {
        code = cli_parse_ids("--ids", f->ids, &t->ids, &f->o.n_ids);
        f->o.ids = t->ids;
    } else if (f->inputs) {
        s = s == PM_OK ? pm_tensors_read(f->inputs, &t->inputs) : s;
        f->o.inputs = t->inputs;
        f->o.row = f->row;
    } else if (s == PM_OK && reads == PM_ATTEND_IMAGE) {
        s = pm_image_open(word, &t->image);
        f->o.image = &t->image;
    } else if (s == PM_OK && reads == PM_ATTEND_SOUND) {
        s = pm_sound_open(word, 0, &t->sound);
        f->o.sound = &t->sound;
    } else {
        f->o.text = word;
    }
    if (!code && f->target) {
        code = cli_parse_ids("--target", f->target, &t->target, &f->o.n_target);
        f->o.target = t->target;
    }
    t->generate = (pm_generate_options){.from = f->from, .to = f->to};
    t->transcribe = (pm_transcribe_options){.language = f->language, .task = f->task};
    f->o.generate = &t->generate;
    f->o.transcribe = &t->transcribe;
    return code ? code : s == PM_OK ? PM_OK : cli_library_error(s);
}

static void close_things(attend_things *t) {
    free(t->ids);
    free(t->target);
    pm_image_free(&t->image);
    pm_sound_free(&t->sound);
    pm_tensors_free(t->inputs);
}

/* ---- what is written ---- */

static int draw(const attend_flags *f, const pm_attention *map, const char *title) {
    picture_choice choice = {map, title, f->query};
    picture_file file = {0};
    if (f->query >= map->n_queries)
        return cli_error(PM_ERR_USAGE, "--query: %lld, there are tokens 0 to %lld", (long long)f->query,
                         (long long)map->n_queries - 1);
    if (f->query && !picture_is_overlay(map))
        return cli_error(PM_ERR_USAGE, "--query: %lld, expected only where patches of a picture are drawn",
                         (long long)f->query);
    int code = formats[f->format].write(&choice, &file);
    if (!code && file.failed)
        code = cli_error(PM_ERR_MEMORY, "out of memory: the picture of an attention map");
    if (!code) code = cli_write_file(f->path, file.data, file.bytes);
    free(file.data);
    return code;
}

static int print_sizes(const pm_attention *map, const char *path) {
    return cli_print_json(json_pack("{so ss sI sI sI sI}", "file", cli_json_text(path), "map", map->map,
                                    "layers", (json_int_t)map->n_layers, "heads", (json_int_t)map->n_heads,
                                    "queries", (json_int_t)map->n_queries, "keys", (json_int_t)map->n_keys),
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

static int attend(attend_flags *f, const cli_place *place, const char *model, const char *word) {
    pm_attention map = {0};
    attend_things things = {0};
    int code = open_things(f, place, word, &things);
    pm_status s = code ? PM_OK : pm_session_attend(place->session, &f->o, &map);
    if (s != PM_OK) code = cli_library_error(s);
    if (!code) {
        char *title = make_title(model, word ? word : f->ids ? f->ids : f->inputs, map.text);
        code = title ? draw(f, &map, title)
                     : cli_error(PM_ERR_MEMORY, "out of memory: the title of an attention map");
        free(title);
    }
    if (!code && f->json) code = print_sizes(&map, f->path);
    pm_attention_free(&map);
    close_things(&things);
    return code;
}

int cmd_attend(int argc, char **argv) {
    attend_flags f = {.device = "auto", .start = -1};
    const cli_flag flags[] = {
        {"--output|-o", CLI_STRING, &f.path, "FILE", "where to write: .svg, .html, .png, .npy or .json", 0,
         0},
        {"--layer", CLI_STRING, &f.layer, "L", "only this layer, from 0; or mean", 0, 0},
        {"--head", CLI_STRING, &f.head, "H", "only this head, from 0; or mean", 0, 0},
        {"--rollout", CLI_BOOL, &f.rollout, NULL, "attention through all layers, or up to --layer", 0, 0},
        {"--map", CLI_STRING, &f.o.map, "M",
         "cross, encoder, decoder; vision, text (CLIP); window, global (Longformer)", 0, 0},
        {"--query", CLI_INT, &f.query, "N",
         "of a picture: whose attention is drawn over it (0, the class token)", 0, INT32_MAX},
        {"--ids", CLI_STRING, &f.ids, "LIST", "token ids in place of TEXT", 0, 0},
        {"--inputs", CLI_STRING, &f.inputs, "FILE", "tensors in place of TEXT, as for run (safetensors)", 0,
         0},
        {"--row", CLI_INT, &f.row, "B", "which of the batch in --inputs (0)", 0, INT32_MAX},
        {"--pair", CLI_STRING, &f.o.pair, "TEXT", "a second text, of encoders", 0, 0},
        {"--target", CLI_STRING, &f.target, "LIST",
         "ids that the decoder is fed with, in place of what it generates", 0, 0},
        {"--from", CLI_STRING, &f.from, "LANG", "language of the text, for models of many", 0, 0},
        {"--to", CLI_STRING, &f.to, "LANG", "language of the translation", 0, 0},
        {"--language", CLI_STRING, &f.language, "CODE", "of the sound; default: detected", 0, 0},
        {"--task", CLI_STRING, &f.task, "T", "of the sound: transcribe or translate", 0, 0},
        {"--segment", CLI_INT, &f.o.segment, "N", "tokens of a segment, for models with a memory (512)", 1,
         1e9},
        CLI_START_FLAG(&f.start),
        CLI_DEVICE_FLAG(&f.device),
        {"--json", CLI_BOOL, &f.json, NULL, "print the sizes of the map as JSON", 0, 0},
    };
    const cli_usage usage = {"attend MODEL [TEXT|IMAGE|AUDIO] [--layer L] [--head H] -o FILE",
                             "Writes the attention weights of one text, picture or sound.",
                             "pumice attend numbers-en-zh \"half past three\" -o attention.svg",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             2};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (!code) code = check_flags(&f, n_words);
    if (code) return code;
    cli_place place = {0};
    code = cli_open(words[0], f.device, NULL, &place);
    if (!code) code = cli_set_start(&place, f.start);
    if (!code) code = attend(&f, &place, words[0], n_words > 1 ? words[1] : NULL);
    cli_close(&place);
    return code;
}
