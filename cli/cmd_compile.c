/* pumice compile: a bare graph in text form, as dump prints it: compiled, shown at a stage, run on tensors, timed, verified. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/texts.h"
#include "cli/verify_report.h"
#include "pumice/compute.h"

#define MAX_RUNS 101

typedef struct compile_flags {
    const char *device, *stage, *format, *path, *outputs;
    cli_strings inputs, params;
    cli_seed seed;
    uint64_t max_memory;
    int64_t runs;
    bool json, no_fuse, time, verify, all, validate;
} compile_flags;

/* A graph on a device, with all that it needs to run. */
typedef struct place {
    pm_device *device;
    pm_compute *compute;
} place;

static void close_place(place *p) {
    pm_compute_close(p->compute);
    pm_device_close(p->device);
    *p = (place){0};
}

/* ---- what the graph is given ---- */

static int set_params(pm_compute *c, const cli_strings *params) {
    for (size_t i = 0; i < params->n; i++) {
        const char *text = params->at[i], *equals = strchr(text, '=');
        char name[256], *end = NULL;
        size_t n = equals ? (size_t)(equals - text) : 0;
        long long value = equals ? strtoll(equals + 1, &end, 10) : 0;
        if (!n || n >= sizeof name || end == equals + 1 || *end || value < INT32_MIN || value > INT32_MAX)
            return cli_error(PM_ERR_USAGE, "--param: %s, expected NAME=NUMBER of 32 bits", text);
        memcpy(name, text, n);
        name[n] = 0;
        pm_status s = pm_compute_param(c, name, (int32_t)value);
        if (s != PM_OK) return cli_library_error(s);
    }
    return PM_OK;
}

static int feed(const compile_flags *f, pm_compute *c) {
    for (size_t i = 0; i < f->inputs.n; i++) {
        pm_tensors *set = NULL;
        pm_status s = pm_tensors_read(f->inputs.at[i], &set);
        if (s == PM_OK && (s = pm_compute_feed(c, set)) != PM_OK) {
            int code = cli_error(s, "%s: %s", f->inputs.at[i], pm_error_text());
            pm_tensors_free(set);
            return code;
        }
        pm_tensors_free(set);
        if (s != PM_OK) return cli_library_error(s);
    }
    const char *missing = pm_compute_missing(c);
    if (f->inputs.n && missing && !f->seed.given)
        return cli_error(PM_ERR_FILE,
                         "%s: has no tensor %s, which the graph reads (--seed N gives what is missing random "
                         "values)",
                         f->inputs.at[f->inputs.n - 1], missing);
    pm_status s = pm_compute_feed_random(c, f->seed.value);
    return s == PM_OK ? set_params(c, &f->params) : cli_library_error(s);
}

static int open_place(const compile_flags *f, const pm_graph *g, bool profile, place *out) {
    *out = (place){0};
    pm_status s = pm_device_open(
        f->device,
        &(pm_device_options){.profile = profile, .validate = f->validate, .max_memory_bytes = f->max_memory},
        &out->device);
    if (s == PM_OK) s = pm_compute_open(g, out->device, &out->compute);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

/* ---- outputs ---- */

static int write_outputs(const compile_flags *f, const place *p) {
    pm_tensors *out = NULL;
    pm_status s = pm_compute_run(p->compute);
    if (s == PM_OK) s = pm_tensors_create(&out);
    if (s == PM_OK) s = pm_compute_results(p->compute, out);
    if (s == PM_OK) s = pm_tensors_write(out, f->outputs);
    if (s == PM_OK)
        fprintf(stderr, "pumice: %zu tensors from %s to %s\n", pm_tensors_count(out),
                pm_device_name(p->device), f->outputs);
    pm_tensors_free(out);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

/* ---- times ---- */

typedef struct timing {
    double ms[MAX_RUNS]; /* of whole runs, sorted */
    size_t n_runs, n_steps;
    double *step_ms; /* medians; NULL: the device has no timestamps */
} timing;

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of whole runs, without anything between the operations; after one run to warm up. */
static pm_status time_runs(pm_compute *c, timing *t) {
    pm_status s = pm_compute_run(c);
    for (size_t i = 0; i < t->n_runs && s == PM_OK; i++) {
        double start = cli_now_ms();
        s = pm_compute_run(c);
        t->ms[i] = cli_now_ms() - start;
    }
    qsort(t->ms, t->n_runs, sizeof *t->ms, by_value);
    return s;
}

/* Each step's median over the runs. */
static pm_status time_steps(pm_compute *c, timing *t) {
    size_t n = t->n_steps = pm_compute_n_steps(c);
    double *ms = calloc(n * t->n_runs + 1, sizeof *ms), total = 0;
    t->step_ms = calloc(n + 1, sizeof *t->step_ms);
    pm_status s = ms && t->step_ms ? pm_compute_run(c) : PM_ERR_MEMORY;
    for (size_t r = 0; r < t->n_runs && s == PM_OK; r++) {
        s = pm_compute_run(c);
        for (size_t i = 0; i < n; i++) {
            pm_compute_step step;
            pm_compute_get_step(c, i, &step);
            total += ms[i * t->n_runs + r] = cli_ms(step.ns);
        }
    }
    for (size_t i = 0; i < n && s == PM_OK; i++) {
        qsort(ms + i * t->n_runs, t->n_runs, sizeof *ms, by_value);
        t->step_ms[i] = ms[i * t->n_runs + t->n_runs / 2];
    }
    if (s == PM_OK && total == 0) {
        free(t->step_ms);
        t->step_ms = NULL;
    }
    free(ms);
    return s;
}

/* Steps of one kernel together. */
typedef struct kernel_time {
    const char *kernel;
    size_t n;
    double ms;
} kernel_time;

static int slowest_first(const void *a, const void *b) {
    double x = ((const kernel_time *)a)->ms, y = ((const kernel_time *)b)->ms;
    return (x < y) - (x > y);
}

static void print_kernels(const pm_compute *c, const timing *t, double total) {
    kernel_time kernels[64];
    size_t n = 0;
    for (size_t i = 0; i < t->n_steps; i++) {
        pm_compute_step step;
        size_t k = 0;
        pm_compute_get_step(c, i, &step);
        while (k < n && strcmp(kernels[k].kernel, step.kernel)) k++;
        if (k == sizeof kernels / sizeof *kernels) continue;
        if (k == n) kernels[n++] = (kernel_time){.kernel = step.kernel};
        kernels[k].n++;
        kernels[k].ms += t->step_ms[i];
    }
    qsort(kernels, n, sizeof *kernels, slowest_first);
    printf("%-16s %10s %12s %7s\n", "kernel", "dispatches", "ms", "share");
    for (size_t k = 0; k < n; k++)
        printf("%-16s %10zu %12.4f %6.1f%%\n", kernels[k].kernel, kernels[k].n, kernels[k].ms,
               100 * kernels[k].ms / total);
}

static void print_times(const compile_flags *f, const pm_compute *c, const timing *t) {
    double total = 0;
    printf("%.4f ms, the median of %zu runs (%.4f to %.4f)\n", t->ms[t->n_runs / 2], t->n_runs, t->ms[0],
           t->ms[t->n_runs - 1]);
    if (!t->step_ms) {
        printf("operations: not timed, the device has no timestamps\n");
        return;
    }
    for (size_t i = 0; i < t->n_steps; i++) total += t->step_ms[i];
    if (f->all) printf("%5s %-26s %12s %7s  %s\n", "step", "variant", "ms", "share", "operation");
    for (size_t i = 0; i < t->n_steps && f->all; i++) {
        pm_compute_step step;
        pm_compute_get_step(c, i, &step);
        printf("%5zu %-26s %12.4f %6.1f%%  %s\n", i, step.variant, t->step_ms[i], 100 * t->step_ms[i] / total,
               step.label);
    }
    print_kernels(c, t, total);
}

static json_t *times_json(const pm_compute *c, const timing *t) {
    json_t *steps = t->step_ms ? json_array() : json_null();
    for (size_t i = 0; i < t->n_steps && t->step_ms; i++) {
        pm_compute_step step;
        pm_compute_get_step(c, i, &step);
        json_array_append_new(steps, json_pack("{so ss ss sI sf}", "operation", cli_json_text(step.label),
                                               "kernel", step.kernel, "variant", step.variant, "cost",
                                               (json_int_t)step.cost, "ms", t->step_ms[i]));
    }
    return json_pack("{sf sf sf sI so}", "ms", t->ms[t->n_runs / 2], "fastest_ms", t->ms[0], "slowest_ms",
                     t->ms[t->n_runs - 1], "runs", (json_int_t)t->n_runs, "operations", steps);
}

/* Whole runs on the device that is open; steps on one that profiles, which puts barriers between them. */
static int time_graph(const compile_flags *f, const pm_graph *g, const place *p, json_t *json) {
    timing t = {.n_runs = (size_t)f->runs};
    place profiled = {0};
    pm_status s = time_runs(p->compute, &t);
    int code = s == PM_OK ? open_place(f, g, true, &profiled) : cli_library_error(s);
    if (!code) code = feed(f, profiled.compute);
    if (!code && (s = time_steps(profiled.compute, &t)) != PM_OK) code = cli_library_error(s);
    if (!code && json) json_object_set_new(json, "time", times_json(p->compute, &t));
    if (!code && !json) print_times(f, p->compute, &t);
    free(t.step_ms);
    close_place(&profiled);
    return code;
}

/* ---- verification ---- */

static int verify(const compile_flags *f, const place *p, json_t *json) {
    pm_verify_report r = {.first_out = -1};
    pm_status s = pm_compute_verify(p->compute, NULL, &r);
    bool done = s == PM_OK || s == PM_ERR_VERIFY;
    if (done && json)
        json_object_set_new(json, "verify", cli_verify_report_json(&r, pm_device_name(p->device)));
    else if (done)
        cli_print_verify_report(&r, f->all);
    pm_verify_report_free(&r);
    return s == PM_OK ? PM_OK : cli_library_error(s);
}

/* ---- what came out of the compiler ---- */

static json_t *figures_json(const place *p) {
    pm_compute_figures x;
    pm_compute_get_figures(p->compute, &x);
    return json_pack("{so sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI sI}", "device",
                     cli_json_text(pm_device_name(p->device)), "n_inputs", (json_int_t)x.n_inputs, "n_params",
                     (json_int_t)x.n_params, "n_outputs", (json_int_t)x.n_outputs, "n_weights",
                     (json_int_t)x.n_weights, "n_states", (json_int_t)x.n_states, "weight_bytes",
                     (json_int_t)x.weight_bytes, "state_bytes", (json_int_t)x.state_bytes, "constant_bytes",
                     (json_int_t)x.constant_bytes, "arena_bytes", (json_int_t)x.arena_bytes,
                     "lower_bound_bytes", (json_int_t)x.lower_bound_bytes, "n_dispatches",
                     (json_int_t)x.n_dispatches, "n_barriers", (json_int_t)x.n_barriers, "n_submits",
                     (json_int_t)x.n_submits, "fallback_ops", (json_int_t)x.n_fallback, "n_copies",
                     (json_int_t)x.n_copies, "copied_bytes", (json_int_t)x.copied_bytes);
}

static void print_figures(const place *p) {
    pm_compute_figures x;
    pm_compute_get_figures(p->compute, &x);
    printf("for %s: %" PRIu32 " dispatches, %" PRIu32 " barriers, %" PRIu32 " submissions, %" PRIu32
           " copies of %" PRIu64 " bytes\n",
           pm_device_name(p->device), x.n_dispatches, x.n_barriers, x.n_submits, x.n_copies, x.copied_bytes);
    printf("%" PRIu32 " inputs, %" PRIu32 " parameters, %" PRIu32 " outputs, %" PRIu32 " weights of %" PRIu64
           " bytes, %" PRIu32 " states of %" PRIu64 " bytes\n",
           x.n_inputs, x.n_params, x.n_outputs, x.n_weights, x.weight_bytes, x.n_states, x.state_bytes);
    printf("arena %" PRIu64 " bytes, lower bound %" PRIu64 "\n", x.arena_bytes, x.lower_bound_bytes);
}

static int run_graph(const compile_flags *f, const pm_graph *g) {
    place p;
    bool runs = f->outputs || f->time || f->verify;
    int code = open_place(f, g, false, &p);
    json_t *json = !code && f->json ? figures_json(&p) : NULL;
    if (!code && !f->json) print_figures(&p);
    if (!code && runs) code = feed(f, p.compute);
    if (!code && f->verify) code = verify(f, &p, json);
    if (!code && f->outputs) code = write_outputs(f, &p);
    if (!code && f->time) code = time_graph(f, g, &p, json);
    if (p.device) cli_note_memory(p.device);
    if (!code && f->validate && pm_device_messages(p.device)[0])
        code = cli_error(PM_ERR_VERIFY, "the validation layer spoke: %s", pm_device_messages(p.device));
    if (f->json && (!code || code == PM_ERR_VERIFY)) {
        int printed = cli_print_json(json, JSON_INDENT(2));
        code = code ? code : printed;
    } else {
        json_decref(json);
    }
    close_place(&p);
    return code;
}

static int dump_graph(const compile_flags *f, const pm_graph *g) {
    pm_device *d = NULL;
    char *text = NULL;
    pm_status s = f->device ? pm_device_open(f->device, NULL, &d) : PM_OK;
    const pm_graph_dump_options o = {.stage = f->stage,
                                     .format = f->json ? "json" : f->format,
                                     .device = d,
                                     .no_fuse = f->no_fuse,
                                     .max_memory_bytes = f->max_memory};
    if (s == PM_OK) s = pm_graph_dump(g, &o, &text);
    int code = s == PM_OK ? cli_write_file(f->path, text, strlen(text)) : cli_library_error(s);
    pm_text_release(text);
    pm_device_close(d);
    return code;
}

static int compile(const char *path, const compile_flags *f) {
    pm_graph *g = NULL;
    char *text = NULL;
    int code = cli_read_file(path, &text);
    if (code) return code;
    pm_status s = pm_graph_parse(text, &g);
    free(text);
    if (s != PM_OK) return cli_error(s, "%s: %s", strcmp(path, "-") ? path : "stdin", pm_error_text());
    code = f->stage ? dump_graph(f, g) : run_graph(f, g);
    pm_graph_destroy(g);
    return code;
}

/* Flags that exclude each other, or say nothing without another. */
static int check_flags(const compile_flags *f) {
    bool runs = f->outputs || f->time || f->verify;
    if (f->stage && runs)
        return cli_error(PM_ERR_USAGE,
                         "compile: --stage shows a stage and runs nothing, %s was given with it",
                         f->outputs ? "--outputs"
                         : f->time  ? "--time"
                                    : "--verify");
    if (!f->stage && (f->format || f->no_fuse || strcmp(f->path, "-")))
        return cli_error(PM_ERR_USAGE, "compile: %s was given without --stage, which it belongs to",
                         f->format    ? "--format"
                         : f->no_fuse ? "--no-fuse"
                                      : "--output");
    if (!runs && (f->inputs.n || f->params.n || f->seed.given))
        return cli_error(PM_ERR_USAGE, "compile: %s was given, and none of --outputs, --time, --verify",
                         f->inputs.n   ? "--inputs"
                         : f->params.n ? "--param"
                                       : "--seed");
    return PM_OK;
}

int cmd_compile(int argc, char **argv) {
    compile_flags f = {.path = "-", .runs = 9};
    const cli_flag flags[] = {
        {"--device", CLI_STRING, &f.device, "D",
         "auto (the default), cpu, reference, vulkan, vulkan:N or part of a name; with --stage: default the "
         "baseline",
         0, 0},
        {"--inputs", CLI_STRINGS, &f.inputs, "FILE",
         "safetensors with inputs, weights and states by name; may be repeated, later ones count", 0, 0},
        {"--outputs", CLI_STRING, &f.outputs, "FILE", "run it; its outputs and states go there", 0, 0},
        {"--time", CLI_BOOL, &f.time, NULL, "run it several times: median, and times by kernel", 0, 0},
        {"--runs", CLI_INT, &f.runs, "N", "of --time", 1, MAX_RUNS},
        {"--verify", CLI_BOOL, &f.verify, NULL, "each operation against the reference executor", 0, 0},
        {"--all", CLI_BOOL, &f.all, NULL, "--time, --verify: a line for every operation", 0, 0},
        {"--seed", CLI_SEED, &f.seed, "N",
         "of random inputs and weights: all without --inputs, else what the files lack", 0, 0},
        {"--param", CLI_STRINGS, &f.params, "NAME=N", "a parameter's value, as position=3 (default 0)", 0, 0},
        {"--stage", CLI_STRING, &f.stage, "S", "show it: built, fused, planned or program", 0, 0},
        {"--format", CLI_STRING, &f.format, "F", "of --stage: text, json, dot, svg, html or csv, as dump has",
         0, 0},
        {"--output|-o", CLI_STRING, &f.path, "FILE", "of --stage: where to write; - is stdout", 0, 0},
        {"--no-fuse", CLI_BOOL, &f.no_fuse, NULL, "of --stage: keep primitive operations", 0, 0},
        {"--max-memory", CLI_BYTES, &f.max_memory, "BYTES",
         "as 800M or 3G: a GPU reads weights past it from the host's memory", 0, 0},
        {"--validate", CLI_BOOL, &f.validate, NULL, "under the Vulkan validation layer", 0, 0},
        {"--json", CLI_BOOL, &f.json, NULL, "print JSON", 0, 0},
    };
    const cli_usage usage = {
        "compile FILE|-",
        "Compiles a graph in the text form that `dump --stage built` prints.",
        "pumice dump numbers-en-zh --stage built --format text | pumice compile - --time",
        flags,
        sizeof flags / sizeof *flags,
        1,
        1};
    char **words;
    size_t n_words;
    int code = cli_parse(argc, argv, &usage, &words, &n_words);
    if (!code) code = check_flags(&f);
    return code ? code : compile(words[0], &f);
}
