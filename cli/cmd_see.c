/* pumice see: the classes of pictures, and how often they are right. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/texts.h"
#include "pumice/image.h"

typedef struct see_flags {
    const char *device, *scores;
    int64_t top, batch;
    bool json;
} see_flags;

/* What is to be seen: files, or the items of one idx file. */
typedef struct see_set {
    char **paths;
    pm_idx idx;
    size_t n;
    const char **labels; /* of --scores; or numbers of classes in known */
    int32_t *known;
    char *text; /* of the file that paths and labels lie in */
} see_set;

typedef struct see_run {
    const see_flags *flags;
    cli_place place;
    pm_model_info info;
    see_set set;
    json_t *json;
    size_t n_right;
    double seconds; /* of pictures, from files to scores */
} see_run;

static bool is_idx(const char *path) {
    return strstr(path, "idx1-ubyte") || strstr(path, "idx3-ubyte");
}

/* ---- what is known: --scores ---- */

static int want_class(see_run *r, size_t i, int64_t class, const char *name) {
    if (class < 0 || class >= r->info.n_labels)
        return cli_error(PM_ERR_FILE,
                         "--scores: item %zu is of class \"%.60s\", which the model does not have", i + 1,
                         name);
    r->set.known[i] = (int32_t) class;
    return PM_OK;
}

static int read_idx_labels(see_run *r) {
    pm_idx labels;
    pm_status s = pm_idx_open(r->flags->scores, 1, &labels);
    if (s != PM_OK) return cli_library_error(s);
    int code = PM_OK;
    if ((size_t)labels.n != r->set.n)
        code = cli_error(PM_ERR_FILE, "%s: has %lld labels, expected %zu, one a picture", r->flags->scores,
                         (long long)labels.n, r->set.n);
    for (size_t i = 0; code == PM_OK && i < r->set.n; i++)
        code = want_class(r, i, labels.data[i], "a number too large");
    pm_idx_free(&labels);
    return code;
}

/* Lines "path<TAB>label"; paths are as from the current folder. */
static int read_table(see_run *r) {
    see_set *set = &r->set;
    int code = cli_read_file(r->flags->scores, &set->text);
    if (code != PM_OK) return code;
    size_t lines = cli_count_lines(set->text);
    set->paths = calloc(lines, sizeof *set->paths);
    set->labels = calloc(lines, sizeof *set->labels);
    if (!set->paths || !set->labels) return cli_error(PM_ERR_MEMORY, "out of memory: %zu lines", lines);
    size_t number = 0;
    for (char *at = set->text, *line; (line = cli_next_line(&at)) != NULL;) {
        number++;
        if (!*line) continue;
        char *tab = strchr(line, '\t');
        if (!tab || tab == line || !tab[1])
            return cli_error(PM_ERR_FILE, "%s: line %zu is not a path, a tab and a label", r->flags->scores,
                             number);
        *tab = 0;
        set->paths[set->n] = line;
        set->labels[set->n++] = tab + 1;
    }
    return set->n ? PM_OK : cli_error(PM_ERR_FILE, "%s: names no picture", r->flags->scores);
}

static int read_known(see_run *r) {
    see_set *set = &r->set;
    if (!r->flags->scores) return PM_OK;
    set->known = calloc(set->n, sizeof *set->known);
    if (!set->known) return cli_error(PM_ERR_MEMORY, "out of memory: %zu labels", set->n);
    if (!set->labels) return read_idx_labels(r);
    int code = PM_OK;
    for (size_t i = 0; code == PM_OK && i < set->n; i++)
        code = want_class(r, i, cli_find_label(r->place.model, set->labels[i]), set->labels[i]);
    return code;
}

/* ---- what is to be seen ---- */

static int open_set(see_run *r, char **words, size_t n) {
    see_set *set = &r->set;
    const char *scores = r->flags->scores;
    if (n == 0) {
        if (!scores || is_idx(scores))
            return cli_error(PM_ERR_USAGE,
                             "see: no picture is given, expected IMAGE... or --scores FILE.tsv");
        return read_table(r);
    }
    if (is_idx(words[0])) {
        if (n > 1) return cli_error(PM_ERR_USAGE, "see: one idx file at a time, %zu files are given", n);
        pm_status s = pm_idx_open(words[0], 3, &set->idx);
        if (s != PM_OK) return cli_library_error(s);
        set->n = (size_t)set->idx.n;
        if (scores && !is_idx(scores))
            return cli_error(PM_ERR_USAGE,
                             "--scores: %s, expected the idx1-ubyte file of the pictures' labels", scores);
        return PM_OK;
    }
    if (scores)
        return cli_error(PM_ERR_USAGE,
                         "--scores: %s names the pictures itself, IMAGE is not expected beside it", scores);
    set->paths = calloc(n, sizeof *set->paths);
    if (!set->paths) return cli_error(PM_ERR_MEMORY, "out of memory: %zu names", n);
    memcpy(set->paths, words, n * sizeof *words);
    set->n = n;
    return PM_OK;
}

static void close_run(see_run *r) {
    pm_idx_free(&r->set.idx);
    free(r->set.paths);
    free(r->set.labels);
    free(r->set.known);
    free(r->set.text);
    json_decref(r->json);
    cli_close(&r->place);
}

/* ---- results ---- */

static void name_of(const see_run *r, size_t i, char *out, size_t bytes) {
    if (r->set.paths)
        snprintf(out, bytes, "%s", r->set.paths[i]);
    else
        snprintf(out, bytes, "%zu", i);
}

/* The best class that is not among the first n of chosen. */
static int64_t next_best(const float *scores, int64_t n_classes, const int64_t *chosen, int64_t n) {
    int64_t best = -1;
    for (int64_t i = 0; i < n_classes; i++) {
        bool seen = false;
        for (int64_t k = 0; k < n && !seen; k++) seen = chosen[k] == i;
        if (!seen && (best < 0 || scores[i] > scores[best])) best = i;
    }
    return best;
}

enum { MOST_TOP = 1000 };

static void show(see_run *r, size_t i, const float *scores) {
    int64_t chosen[MOST_TOP], top = r->flags->top < r->info.n_labels ? r->flags->top : r->info.n_labels;
    char name[4096];
    json_t *classes = r->json ? json_array() : NULL;
    name_of(r, i, name, sizeof name);
    for (int64_t k = 0; k < top; k++) {
        int64_t c = chosen[k] = next_best(scores, r->info.n_labels, chosen, k);
        const char *label = pm_model_label(r->place.model, c);
        if (classes)
            json_array_append_new(classes, json_pack("{s:s, s:I, s:f}", "label", label, "index",
                                                     (json_int_t)c, "score", (double)scores[c]));
        else
            printf("%s\t%.4f\t%s\n", name, (double)scores[c], label);
    }
    if (classes)
        json_array_append_new(r->json,
                              json_pack("{s:o, s:o}", "image", cli_json_text(name), "classes", classes));
}

/* ---- running ---- */

static int see_batch(see_run *r, size_t first, size_t n, pm_image *images, float *scores) {
    double start = cli_now_ms();
    pm_status s = PM_OK;
    size_t opened = 0;
    for (; opened < n && s == PM_OK; opened++)
        if (r->set.paths)
            s = pm_image_open(r->set.paths[first + opened], &images[opened]);
        else
            images[opened] = pm_idx_image(&r->set.idx, (int64_t)(first + opened));
    if (s == PM_OK) s = pm_session_see(r->place.session, images, n, scores);
    int code = s == PM_OK ? PM_OK : cli_library_error(s);
    for (size_t i = 0; r->set.paths && i < opened; i++) pm_image_free(&images[i]);
    r->seconds += (cli_now_ms() - start) / 1e3;
    for (size_t i = 0; code == PM_OK && i < n; i++) {
        const float *row = scores + i * (size_t)r->info.n_labels;
        if (r->set.known)
            r->n_right += next_best(row, r->info.n_labels, NULL, 0) == r->set.known[first + i];
        else
            show(r, first + i, row);
    }
    return code;
}

static int see_all(see_run *r) {
    size_t batch = (size_t)r->flags->batch < r->set.n ? (size_t)r->flags->batch : r->set.n;
    pm_image *images = calloc(batch, sizeof *images);
    float *scores = calloc(batch * (size_t)r->info.n_labels, sizeof *scores);
    int code = images && scores ? PM_OK : cli_error(PM_ERR_MEMORY, "out of memory: a batch of %zu", batch);
    for (size_t i = 0; code == PM_OK && i < r->set.n; i += batch)
        code = see_batch(r, i, r->set.n - i < batch ? r->set.n - i : batch, images, scores);
    free(images);
    free(scores);
    return code;
}

static int print_accuracy(const see_run *r) {
    double n = (double)r->set.n, share = (double)r->n_right / n, rate = r->seconds > 0 ? n / r->seconds : 0;
    if (r->flags->json)
        return cli_print_json(json_pack("{s:f, s:I, s:I, s:f, s:f}", "accuracy", share, "right",
                                        (json_int_t)r->n_right, "images", (json_int_t)r->set.n, "seconds",
                                        r->seconds, "images_per_second", rate),
                              JSON_INDENT(1));
    printf("accuracy %.4f (%zu of %zu)\n%.2f s, %.0f images/s\n", share, r->n_right, r->set.n, r->seconds,
           rate);
    return PM_OK;
}

static int run(see_run *r, const char *model, char **words, size_t n) {
    int code = open_set(r, words, n);
    if (code == PM_OK) code = cli_open(model, r->flags->device, NULL, &r->place);
    if (code != PM_OK) return code;
    pm_model_get_info(r->place.model, &r->info);
    if (strcmp(r->info.task, "see") != 0)
        return cli_error(PM_ERR_USAGE, "%s: its task is %s, expected a classifier of pictures", model,
                         r->info.task);
    code = read_known(r);
    if (r->flags->json && !r->set.known) r->json = json_array();
    if (code == PM_OK) code = see_all(r);
    if (code != PM_OK) return code;
    if (r->set.known) return print_accuracy(r);
    if (!r->json) return PM_OK;
    json_t *json = r->json;
    r->json = NULL;
    return cli_print_json(json, JSON_INDENT(1));
}

int cmd_see(int argc, char **argv) {
    see_flags f = {.device = "auto", .top = 5, .batch = 16};
    const cli_flag flags[] = {
        CLI_DEVICE_FLAG(&f.device),
        {"--top", CLI_INT, &f.top, "K", "classes a picture (5)", 1, MOST_TOP},
        {"--batch", CLI_INT, &f.batch, "N", "pictures in one pass (16)", 1, 4096},
        {"--scores", CLI_STRING, &f.scores, "FILE",
         "print the accuracy: lines \"path<TAB>label\", or idx1-ubyte labels of an idx3-ubyte IMAGE", 0, 0},
        {"--json", CLI_BOOL, &f.json, NULL, "results as JSON", 0, 0},
    };
    const cli_usage usage = {
        "see MODEL IMAGE...",
        "Prints the most likely classes of each picture: its name, the class's share, the class.",
        "pumice see tests/data/examples/see tests/data/images/rgb.png --top 3",
        flags,
        sizeof flags / sizeof *flags,
        1,
        SIZE_MAX};
    char **words;
    size_t n;
    int code = cli_parse(argc, argv, &usage, &words, &n);
    if (code) return code;
    see_run r = {.flags = &f};
    code = run(&r, words[0], words + 1, n - 1);
    close_run(&r);
    return code;
}
