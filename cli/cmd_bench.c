/* pumice bench: the same work on each device named, side by side, as a table with ratios to the first device.
 * Each figure is the median of several runs; devices take turns case by case, so that a slow minute hits all alike. */
#include <stdlib.h>
#include <string.h>

#include "cli/bench_cases.h"
#include "cli/cli.h"

#define MAX_DEVICES CLI_MAX_STRINGS
#define MAX_RUNS    64

typedef struct bench {
    pm_device *devices[MAX_DEVICES];
    size_t n_devices;
    int64_t n_runs;
    json_t *json;
} bench;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median milliseconds of `run`, after one run to warm up. */
static pm_status median_ms(pm_status (*run)(void *), void *arg, int64_t n_runs, double *out_ms) {
    double ms[MAX_RUNS];
    pm_status s = run(arg);
    for (int64_t i = 0; i < n_runs && s == PM_OK; i++) {
        double start = cli_now_ms();
        s = run(arg);
        ms[i] = cli_now_ms() - start;
    }
    if (s != PM_OK) return s;
    qsort(ms, (size_t)n_runs, sizeof *ms, by_value);
    *out_ms = ms[n_runs / 2];
    return PM_OK;
}

/* One line: milliseconds on each device, then the ratio to the first (above 1: faster than it). */
enum {
    NAME_WIDTH = 28,
    MODEL_WIDTH = 20,
    OP_WIDTH = MODEL_WIDTH + 17
}; /* of the table's columns, as print_row fills them */

static void print_row(const bench *b, const char *name, const double *ms, double work, const char *unit) {
    if (b->json) {
        json_t *times = json_array();
        for (size_t i = 0; i < b->n_devices; i++)
            json_array_append_new(times, json_pack("{ss sf sf}", "device", pm_device_name(b->devices[i]),
                                                   "ms", ms[i], "speed_ratio", ms[0] / ms[i]));
        json_array_append_new(b->json, json_pack("{ss so}", "name", name, "times", times));
        return;
    }
    printf("%-*s", NAME_WIDTH, name);
    for (size_t i = 0; i < b->n_devices; i++) {
        char rate[32] = "", ratio[32] = "";
        if (work > 0) snprintf(rate, sizeof rate, " %8.2f %-7s", work / ms[i] / 1e6, unit);
        if (i) snprintf(ratio, sizeof ratio, " x%.2f", ms[0] / ms[i]);
        printf("  %10.3f ms%s%-7s", ms[i], rate, ratio);
    }
    printf("\n");
}

/* ---- operations ---- */

static pm_status run_compute(void *arg) {
    return pm_compute_run(arg);
}

/* Inputs and weights keep the zeros that they start with: no kernel here is faster for zeros. */
static int bench_op(bench *b, const bench_case *k) {
    double ms[MAX_DEVICES];
    for (size_t i = 0; i < b->n_devices; i++) {
        pm_graph *g = NULL;
        pm_compute *c = NULL;
        pm_status s = pm_graph_create(k->name, &g);
        if (s == PM_OK) {
            k->build(g, k->size);
            s = pm_graph_status(g);
        }
        if (s == PM_OK) s = pm_compute_open(g, b->devices[i], &c);
        if (s == PM_OK) s = pm_compute_put_zeros(c);
        if (s == PM_OK && k->position) s = pm_compute_param(c, "position", k->position);
        if (s == PM_OK) s = median_ms(run_compute, c, b->n_runs, &ms[i]);
        if (c) pm_compute_drop(c, "w"); /* cases share the name and differ in size */
        pm_compute_close(c);
        pm_graph_destroy(g);
        if (s != PM_OK) return cli_library_error(s);
    }
    print_row(b, k->name, ms, k->work, k->unit);
    return PM_OK;
}

/* ---- a model ---- */

typedef struct model_run {
    pm_session *session;
    pm_tensors *inputs;
    pm_generate_options options;
    const int32_t *prompt;
    size_t n_prompt;
    pm_generated last;
} model_run;

static pm_status run_forward(void *arg) {
    model_run *r = arg;
    pm_tensors *out = NULL;
    pm_status s = pm_session_run(r->session, r->inputs, "final", &out);
    pm_tensors_free(out);
    return s;
}

static pm_status run_generate(void *arg) {
    model_run *r = arg;
    pm_generated_free(&r->last);
    r->last = (pm_generated){0};
    return pm_generate(r->session, r->prompt, r->n_prompt, &r->options, &r->last);
}

static void make_ids(int64_t vocab, int64_t n, int32_t *out) {
    for (int64_t i = 0; i < n; i++) out[i] = (int32_t)((4 + i * 7) % vocab);
}

/* ids: memory for n. They are the prompt, or the source, when this returns. */
static pm_status make_inputs(const pm_model_info *info, int32_t *ids, int64_t n, pm_tensors **out) {
    pm_status s = pm_tensors_create(out);
    make_ids(info->vocab_size, n, ids);
    if (s == PM_OK && info->encoder_decoder)
        s = pm_tensors_add_ids(*out, "in.decoder_input_ids", ids, (size_t)n);
    make_ids(info->source_vocab_size, n, ids);
    if (s == PM_OK) s = pm_tensors_add_ids(*out, "in.input_ids", ids, (size_t)n);
    return s;
}

static int bench_model(bench *b, const char *path, int64_t length, int64_t n_new) {
    pm_model *m = NULL;
    model_run runs[MAX_DEVICES] = {{0}};
    double ms[MAX_DEVICES];
    int32_t *ids = NULL;
    char name[64];
    pm_model_info info = {0};
    int code = cli_open_model(path, &m);
    if (code) return code;
    pm_status s = PM_OK;
    pm_model_get_info(m, &info);
    if (length > info.max_positions / 2) length = info.max_positions / 2; /* the other half is decoded */
    if (length < 1) length = 1;
    ids = malloc((size_t)length * sizeof *ids + 1);
    if (!ids) {
        s = PM_ERR_MEMORY;
        goto done;
    }
    for (size_t i = 0; i < b->n_devices && s == PM_OK; i++) {
        runs[i] = (model_run){.options = {.max_new = (int32_t)n_new, .ignore_eos = true},
                              .prompt = ids,
                              .n_prompt = (size_t)length};
        s = pm_session_open(m, b->devices[i], &runs[i].session);
        if (s == PM_OK && info.encoder_decoder && info.decoder_start_id < 0)
            s = pm_session_set_decoder_start(runs[i].session, 0); /* any will do */
        if (s == PM_OK) s = make_inputs(&info, ids, length, &runs[i].inputs);
        if (s == PM_OK) s = median_ms(run_forward, &runs[i], b->n_runs, &ms[i]);
    }
    if (s != PM_OK) goto done;
    snprintf(name, sizeof name, "forward T=%lld", (long long)length);
    print_row(b, name, ms, 0, "");
    if (!info.decoder && !info.encoder_decoder) goto done;
    for (size_t i = 0; i < b->n_devices && s == PM_OK; i++) {
        s = median_ms(run_generate, &runs[i], b->n_runs, &ms[i]);
        if (s == PM_OK && runs[i].last.decode_steps)
            ms[i] = cli_ms(runs[i].last.decode_ns) / (double)runs[i].last.decode_steps;
    }
    if (s == PM_OK) print_row(b, "decode, one token", ms, 0, "");
done:
    for (size_t i = 0; i < b->n_devices; i++) {
        pm_generated_free(&runs[i].last);
        pm_tensors_free(runs[i].inputs);
        cli_note_memory(b->devices[i]);
        pm_session_close(runs[i].session);
    }
    free(ids);
    pm_model_close(m);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

static bool names_a_case(const char *only) {
    for (size_t i = 0; i < n_bench_cases; i++)
        if (strstr(bench_cases[i].name, only)) return true;
    return false;
}

static void print_head(const bench *b, bool ops) {
    int width = ops ? OP_WIDTH : MODEL_WIDTH;
    printf("%-*s", NAME_WIDTH, "median of runs; x: speed");
    for (size_t i = 0; i < b->n_devices; i++)
        printf("  %-*.*s", width, i + 1 < b->n_devices ? width : 256, pm_device_name(b->devices[i]));
    printf("\n");
}

typedef struct bench_flags {
    cli_strings devices;
    const char *only, *model, *trace; /* model NULL: operations */
    int64_t runs, length, n_new;
    bool json;
} bench_flags;

static int run(const bench_flags *f) {
    bench b = {.n_runs = f->runs, .json = f->json ? json_array() : NULL};
    int code = PM_OK;
    for (size_t i = 0; i < f->devices.n && !code; i++) {
        pm_status s = cli_open_device(f->devices.at[i], &(pm_device_options){.profile = f->trace != NULL},
                                      &b.devices[i]);
        if (s == PM_OK)
            b.n_devices++;
        else
            code = cli_library_error(s);
    }
    if (!code && !f->json) print_head(&b, !f->model);
    for (size_t i = 0; i < n_bench_cases && !f->model && !code; i++)
        if (strstr(bench_cases[i].name, f->only)) code = bench_op(&b, &bench_cases[i]);
    if (f->model && !code) code = bench_model(&b, f->model, f->length, f->n_new);
    if (b.json && !code)
        code = cli_print_json(b.json, JSON_INDENT(2));
    else
        json_decref(b.json);
    if (!code && f->trace) code = cli_write_trace(f->trace, b.devices, b.n_devices);
    for (size_t i = 0; i < b.n_devices; i++) pm_device_close(b.devices[i]);
    return code;
}

int cmd_bench(int argc, char **argv) {
    bench_flags f = {.only = "", .runs = 5, .length = 64, .n_new = 32};
    const cli_flag flags[] = {
        {"--device", CLI_STRINGS, &f.devices, "D", "a device; repeat to compare (default: cpu and reference)",
         0, 0},
        {"--only", CLI_STRING, &f.only, "TEXT", "ops: only cases whose name holds TEXT", 0, 0},
        {"--runs", CLI_INT, &f.runs, "N", "runs of each case; the median counts", 1, MAX_RUNS},
        {"--length", CLI_INT, &f.length, "T", "model: tokens of the forward pass and of the prompt", 1, 1e6},
        {"-n|--max-new", CLI_INT, &f.n_new, "N", "model: tokens to decode", 1, 1e6},
        CLI_TRACE_FLAG(&f.trace),
        {"--json", CLI_BOOL, &f.json, NULL, "print JSON", 0, 0},
    };
    const cli_usage usage = {"bench ops|model [MODEL] [--device D]...",
                             "Times the same work on each device, side by side.",
                             "pumice bench ops --device cpu --device vulkan",
                             flags,
                             sizeof flags / sizeof *flags,
                             1,
                             2};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (code) return code;
    bool ops = !strcmp(words[0], "ops");
    if (!ops && strcmp(words[0], "model"))
        return cli_error(PM_ERR_USAGE, "bench: %s, expected ops or model", words[0]);
    if (ops != (n_words == 1))
        return cli_error(PM_ERR_USAGE, "bench: %s",
                         ops ? "ops takes no MODEL" : "model needs a MODEL: a folder or a built-in name");
    if (ops && !names_a_case(f.only))
        return cli_error(PM_ERR_USAGE,
                         "--only: no operation's name holds \"%s\", `pumice bench ops` lists them", f.only);
    if (!f.devices.n) f.devices = (cli_strings){.at = {"cpu", "reference"}, .n = 2};
    f.model = ops ? NULL : words[1];
    return run(&f);
}
