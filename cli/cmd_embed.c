/* pumice embed: vectors of texts, as lines of numbers, JSON or a .npy file. */
#include <stdlib.h>
#include <string.h>

#include "cli/picture.h"
#include "cli/texts.h"

typedef struct embedding {
    cli_place place;
    pm_embed_options options;
    const char *device, *pooling, *path;
    int64_t batch;
    bool json;
} embedding;

static int read_pooling(embedding *e) {
    static const char *const names[] = {"default", "mean", "cls", "last"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(e->pooling, names[i])) {
            e->options.pooling = (pm_embed_pooling)i;
            return PM_OK;
        }
    return cli_error(PM_ERR_USAGE, "--pooling: %s, expected mean, cls or last", e->pooling);
}

static int print_vector(const embedding *e, const char *text, const float *v, size_t width) {
    if (!e->json) {
        for (size_t i = 0; i < width; i++) printf("%s%.9g", i ? " " : "", (double)v[i]);
        printf("\n");
        return PM_OK;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < width; i++) json_array_append_new(list, json_real((double)v[i]));
    return cli_print_json(json_pack("{s:o, s:o}", "text", cli_json_text(text), "vector", list), JSON_COMPACT);
}

static int write_npy(const char *path, const float *vectors, size_t n, size_t width) {
    picture_file f = {0};
    int64_t dims[2] = {(int64_t)n, (int64_t)width};
    picture_npy_head(&f, 2, dims);
    picture_add_bytes(&f, vectors, n * width * sizeof *vectors);
    int code = f.failed ? cli_error(PM_ERR_MEMORY, "out of memory: %zu vectors", n) : PM_OK;
    if (!code) code = cli_write_file(path, f.data, f.bytes);
    free(f.data);
    return code;
}

static int embed(embedding *e, const cli_texts *given) {
    pm_text_input *texts = NULL;
    float *vectors = NULL;
    size_t width = 0;
    int code = cli_make_inputs(given, false, &texts);
    if (!code) {
        pm_status s = pm_session_embed(e->place.session, texts, given->n, &e->options, &vectors, &width);
        if (s != PM_OK) code = cli_library_error(s);
    }
    if (!code && e->path) code = write_npy(e->path, vectors, given->n, width);
    for (size_t i = 0; i < given->n && !code && !e->path; i++)
        code = print_vector(e, texts[i].text, vectors + i * width, width);
    pm_release(vectors);
    free(texts);
    return code;
}

int cmd_embed(int argc, char **argv) {
    embedding e = {.device = "auto", .pooling = "default"};
    cli_texts texts = {0};
    const cli_flag flags[] = {
        {"--pooling", CLI_STRING, &e.pooling, "HOW",
         "mean, cls or last; default: what the folder says (modules.json), else mean, or last of decoders", 0,
         0},
        {"--normalize", CLI_BOOL, &e.options.normalize, NULL, "vectors of length 1", 0, 0},
        {"--output|-o", CLI_STRING, &e.path, "FILE", "write them all as a .npy array [texts, width]", 0, 0},
        CLI_TEXT_FLAGS(e.options.text, e.batch),
        CLI_DEVICE_FLAG(&e.device),
        {"--json", CLI_BOOL, &e.json, NULL, "one JSON object a line", 0, 0},
    };
    const cli_usage usage = {
        "embed MODEL [TEXT...]",
        "Prints the vector of each TEXT, or of each line of stdin, as a line of numbers.",
        "pumice embed tests/data/examples/embed --normalize \"a cat\" \"a kitten\"",
        flags,
        sizeof flags / sizeof *flags,
        1,
        4096};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    if ((code = read_pooling(&e)) != 0) return code;
    e.options.text.batch = (int32_t)e.batch;
    code = cli_open(words[0], e.device, NULL, &e.place);
    if (code) return code;
    code = cli_read_texts(words + 1, n_words - 1, &texts);
    if (!code) code = embed(&e, &texts);
    cli_free_texts(&texts);
    cli_close(&e.place);
    return code;
}
