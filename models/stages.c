/* A graph at a stage of the compiler, as text (pm_graph_dump). Compiles as far as the stage needs, runs nothing. */
#include "models/stages.h"

#include <string.h>

#include "graph/compile.h"
#include "models/device_data.h"

typedef enum dump_stage { STAGE_BUILT, STAGE_FUSED, STAGE_PLANNED, STAGE_PROGRAM } dump_stage;
static const char *const stages[] = {"built", "fused", "planned", "program"};
static const char *const formats[] = {"text", "json", "dot", "svg", "html", "csv"};

pm_status pm_check_word(const char *what, const char *text, const char *const *texts, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(texts[i], text) == 0) return PM_OK;
    pm_text known = {0};
    for (size_t i = 0; i < n; i++) pm_text_add(&known, "%s%s", i ? ", " : "", texts[i]);
    pm_status s = pm_text_status(&known);
    if (s == PM_OK)
        s = pm_raise(PM_ERR_USAGE, "%s is \"%.40s\", expected one of: %s", what, text, known.data);
    pm_text_free(&known);
    return s;
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
    pm_text_release(svg);
    pm_text_release(text);
    if (s == PM_OK)
        *out_text = t.data;
    else
        pm_text_free(&t);
    return s;
}

static pm_status print_any(const dumped *d, const char *format, char **out_text) {
    return strcmp(format, "html") ? print_stage(d, format, out_text) : print_page(d, out_text);
}

static pm_status print_compiled(const pm_graph *g, const pm_graph_dump_options *o, dump_stage stage,
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

pm_status pm_check_graph_dump(const char *stage, const char *format) {
    PM_TRY(pm_check_word("stage", stage ? stage : "", stages, PM_COUNT(stages)));
    PM_TRY(pm_check_word("format", format ? format : "text", formats, PM_COUNT(formats)));
    if (format && !strcmp(format, "csv") && strcmp(stage, "planned") != 0)
        return pm_raise(PM_ERR_USAGE, "format is \"csv\", stage \"%s\" has no such form, \"planned\" has",
                        stage);
    return PM_OK;
}

pm_status pm_graph_dump(const pm_graph *g, const pm_graph_dump_options *o, char **out_text) {
    const char *format = o->format ? o->format : "text";
    *out_text = NULL;
    PM_TRY(pm_check_graph_dump(o->stage, format));
    PM_TRY(pm_graph_status(g));
    dump_stage stage = STAGE_BUILT;
    while (strcmp(o->stage, stages[stage]) != 0) stage++;
    return stage == STAGE_BUILT ? print_any(&(dumped){.stage = stage, .g = g}, format, out_text)
                                : print_compiled(g, o, stage, format, out_text);
}
