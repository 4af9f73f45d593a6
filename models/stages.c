/* A graph at a stage of the compiler, as text (pm_graph_dump). Compiles as far as the stage needs, runs nothing. */
#include "models/stages.h"

#include <string.h>

#include "graph/compile.h"
#include "models/device_data.h"
#include "models/profile.h"

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
    const uint64_t *ns; /* a profile: by dispatch, and by tensor */
    uint64_t *node_ns;
} dumped;

static pm_status print_stage(const dumped *d, const char *format, char **out_text) {
    bool dot = !strcmp(format, "dot"), svg = !strcmp(format, "svg");
    switch (d->stage) {
    case STAGE_PLANNED:
        if (dot) return pm_plan_print_dot(d->g, d->plan, d->node_ns, out_text);
        return svg ? pm_plan_print_svg(d->g, d->plan, out_text)
                   : pm_plan_print(d->g, d->plan, format, out_text);
    case STAGE_PROGRAM:
        if (dot) return pm_program_print_dot(d->program, d->ns, out_text);
        return svg ? pm_program_print_svg(d->program, d->ns, out_text)
                   : pm_program_print(d->program, format, d->ns, out_text);
    default: break;
    }
    if (dot) return pm_graph_print_dot(d->g, d->node_ns, out_text);
    if (svg) return pm_graph_print_svg(d->g, d->node_ns, out_text);
    return strcmp(format, "json") ? pm_graph_print(d->g, out_text) : pm_graph_print_json(d->g, out_text);
}

static pm_status print_page(const dumped *d, char **out_text) {
    const pm_page page = {.stage = stages[d->stage],
                          .graph = d->g,
                          .plan = d->stage >= STAGE_PLANNED ? d->plan : NULL,
                          .program = d->stage >= STAGE_PROGRAM ? d->program : NULL,
                          .dispatch_ns = d->ns,
                          .node_ns = d->node_ns};
    return pm_page_print(&page, out_text);
}

static pm_status print_any(const dumped *d, const char *format, char **out_text) {
    return strcmp(format, "html") ? print_stage(d, format, out_text) : print_page(d, out_text);
}

static pm_status print_compiled(const pm_graph *g, const pm_graph_dump_options *o, dump_stage stage,
                                const char *format, char **out_text) {
    pm_compile_options co = {.caps = o->device ? pm_executor_caps(o->device->executor) : NULL,
                             .no_fuse = o->no_fuse,
                             .max_memory_bytes = o->max_memory_bytes};
    if (stage == STAGE_PROGRAM && !co.max_memory_bytes && o->device)
        co.max_memory_bytes = o->device->max_memory_bytes;
    pm_compiled c = {0};
    uint64_t *ns = NULL;
    pm_status s = pm_compile_stages(g, &co, &c);
    dumped d = {.stage = stage, .g = c.fused, .plan = &c.plan, .program = c.program};
    if (s == PM_OK && o->profile) s = pm_profile_read(o->profile, c.program, &ns);
    d.ns = ns;
    if (s == PM_OK && ns) s = pm_program_node_ns(c.program, ns, c.fused->n_items, &d.node_ns);
    if (s == PM_OK) s = print_any(&d, format, out_text);
    pm_free(d.node_ns);
    pm_free(ns);
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
    if (o->profile && stage == STAGE_BUILT)
        return pm_raise(
            PM_ERR_USAGE,
            "profile: stage \"built\" has no dispatches to time, expected fused, planned or program");
    if (o->max_memory_bytes && stage != STAGE_PROGRAM)
        return pm_raise(PM_ERR_USAGE, "max memory: stage \"%s\" gives weights no place, expected program",
                        o->stage);
    return stage == STAGE_BUILT ? print_any(&(dumped){.stage = stage, .g = g}, format, out_text)
                                : print_compiled(g, o, stage, format, out_text);
}
