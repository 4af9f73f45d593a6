/* A model's graph at a stage of the compiler, as text (pm_model_dump). Builds and compiles, runs nothing. */
#include <string.h>

#include "models/session.h"

typedef enum dump_stage { STAGE_BUILT, STAGE_FUSED, STAGE_PLANNED, STAGE_PROGRAM } dump_stage;
static const char *const stages[] = {"built", "fused", "planned", "program"};
static const char *const formats[] = {"text", "json", "dot", "svg", "html", "csv"};
static const char *const graphs[] = {"forward", "prefill", "decode", "encode"};

static pm_status find(const char *what, const char *text, const char *const *texts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(texts[i], text) == 0) return PM_OK;
    pm_text known = {0};
    for (size_t i = 0; i < n; i++) pm_text_add(&known, "%s%s", i ? ", " : "", texts[i]);
    pm_status s = pm_text_status(&known);
    if (s == PM_OK)
        s = pm_raise(PM_ERR_USAGE, "dump: %s is \"%.40s\", expected one of: %s", what, text, known.data);
    pm_text_free(&known);
    return s;
}

static int64_t clamped(int64_t n, int64_t fallback, int64_t most) {
    if (n <= 0) n = fallback;
    return n < most ? n : most;
}

static pm_status choose_graph(const pm_model *m, const pm_dump_options *o, pm_build_options *out) {
    const char *which = o->which ? o->which : "forward";
    int64_t most = m->spec.max_positions, length = clamped(o->length, 16, most),
            target = clamped(o->target_length, 16, most);
    bool seq2seq = m->arch->encoder_decoder;
    PM_TRY(find("which", which, graphs, PM_COUNT(graphs)));
    *out = (pm_build_options){
        .batch = clamped(o->batch, 1, 65536), .length = length, .target_length = target, .want = o->want};
    if (m->spec.signal.name) out->signals = out->batch;
    out->globals = m->spec.global != PM_GLOBAL_OFF;
    if (!m->spec.embed[0].vocab) out->length = 0;
    if (strcmp(which, "forward") == 0) return PM_OK;
    if (strcmp(which, "encode") == 0 ? !seq2seq : !m->arch->decoder)
        return pm_raise(PM_ERR_USAGE, "dump: which is \"%s\", a %s model has no such graph", which,
                        m->arch->task);
    out->kind = strcmp(which, "encode") == 0 ? PM_BUILD_ENCODE : PM_BUILD_STEP;
    out->source = m->spec.front ? m->spec.front_length : length;
    out->cache = seq2seq ? target : length;
    out->states = out->cross_states = "kv.";
    if (out->kind == PM_BUILD_STEP) out->length = strcmp(which, "decode") == 0 ? 1 : out->cache;
    return PM_OK;
}

/* What the stages of one graph are printed from; what a stage does not need is NULL. */
typedef struct dumped {
    dump_stage stage;
    const pm_graph *g;
    const pm_graph_plan *plan;
    const pm_program *program;
} dumped;

static pm_status print_stage(const dumped *d, const char *format, char **out_text) {
    bool dot = !strcmp(format, "dot"), svg = !strcmp(format, "svg");
    switch (d->stage) {
    case STAGE_PLANNED:
        if (dot) return pm_plan_print_dot(d->g, d->plan, out_text);
        return svg ? pm_plan_print_svg(d->g, d->plan, out_text)
                   : pm_plan_print(d->g, d->plan, format, out_text);
    case STAGE_PROGRAM:
        if (dot) return pm_program_print_dot(d->program, out_text);
        return svg ? pm_program_print_svg(d->program, out_text)
                   : pm_program_print(d->program, format, out_text);
    default: break;
    }
    if (dot) return pm_graph_print_dot(d->g, out_text);
    if (svg) return pm_graph_print_svg(d->g, out_text);
    return strcmp(format, "json") ? pm_graph_print(d->g, out_text) : pm_graph_print_json(d->g, out_text);
}

/* One page: the picture, and the text below it. */
static pm_status print_page(const dumped *d, char **out_text) {
    char *svg = NULL, *text = NULL;
    pm_text t = {0};
    pm_status s = print_stage(d, "svg", &svg);
    if (s == PM_OK) s = print_stage(d, "text", &text);
    if (s == PM_OK) {
        pm_text_add(&t,
                    "<!doctype html>\n<html><head><meta charset=\"utf-8\"><title>%s</title></head>\n<body>\n",
                    stages[d->stage]);
        pm_text_add_bytes(&t, svg, strlen(svg));
        pm_text_add(&t, "<pre>");
        pm_text_add_xml(&t, text);
        pm_text_add(&t, "</pre>\n</body></html>\n");
        s = pm_text_status(&t);
    }
    pm_release(svg);
    pm_release(text);
    if (s == PM_OK)
        *out_text = t.data;
    else
        pm_text_free(&t);
    return s;
}

static pm_status print_any(const dumped *d, const char *format, char **out_text) {
    return strcmp(format, "html") ? print_stage(d, format, out_text) : print_page(d, out_text);
}

static pm_status print_compiled(const pm_graph *g, const pm_dump_options *o, dump_stage stage,
                                const char *format, char **out_text) {
    pm_compile_options co = {.caps = o->device ? pm_executor_caps(o->device->executor) : NULL,
                             .no_fuse = o->no_fuse};
    pm_compiled c = {0};
    pm_status s = pm_compile_stages(g, &co, &c);
    const dumped d = {stage, c.fused, &c.plan, c.program};
    if (s == PM_OK) s = print_any(&d, format, out_text);
    pm_compiled_free(&c);
    return s;
}

pm_status pm_model_dump(const pm_model *m, const pm_dump_options *options, char **out_text) {
    const char *format = options->format ? options->format : "text";
    pm_build_options o;
    pm_graph *g;
    *out_text = NULL;
    PM_TRY(find("stage", options->stage ? options->stage : "", stages, PM_COUNT(stages)));
    PM_TRY(find("format", format, formats, PM_COUNT(formats)));
    if (!strcmp(format, "csv") && strcmp(options->stage, "planned") != 0)
        return pm_raise(PM_ERR_USAGE,
                        "dump: format is \"csv\", stage \"%s\" has no such form, \"planned\" has",
                        options->stage);
    PM_TRY(choose_graph(m, options, &o));
    PM_TRY(pm_model_build(m, &o, &g));
    dump_stage stage = STAGE_BUILT;
    while (strcmp(options->stage, stages[stage]) != 0) stage++;
    pm_status s = stage == STAGE_BUILT ? print_any(&(dumped){.stage = stage, .g = g}, format, out_text)
                                       : print_compiled(g, options, stage, format, out_text);
    pm_graph_destroy(g);
    return s;
}
