/* A model's graph at a stage of the compiler, as text (pm_model_dump). Builds and compiles, runs nothing. */
#include <string.h>

#include "models/session.h"

typedef enum dump_stage { STAGE_BUILT, STAGE_FUSED, STAGE_PLANNED, STAGE_PROGRAM } dump_stage;
static const char *const stages[] = {"built", "fused", "planned", "program"};
static const char *const formats[] = {"text", "json", "dot"};
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
    if (strcmp(which, "forward") == 0) return PM_OK;
    if (strcmp(which, "encode") == 0 ? !seq2seq : !m->arch->decoder)
        return pm_raise(PM_ERR_USAGE, "dump: which is \"%s\", a %s model has no such graph", which,
                        m->arch->task);
    out->kind = strcmp(which, "encode") == 0 ? PM_BUILD_ENCODE : PM_BUILD_STEP;
    out->source = length;
    out->cache = seq2seq ? target : length;
    out->states = out->cross_states = "kv.";
    if (out->kind == PM_BUILD_STEP) out->length = strcmp(which, "decode") == 0 ? 1 : out->cache;
    return PM_OK;
}

static pm_status print_graph(const pm_graph *g, const char *format, char **out_text) {
    if (strcmp(format, "json") == 0) return pm_graph_print_json(g, out_text);
    if (strcmp(format, "dot") == 0) return pm_graph_print_dot(g, out_text);
    return pm_graph_print(g, out_text);
}

static pm_status print_compiled(const pm_graph *g, const pm_dump_options *o, const char *format,
                                char **out_text) {
    pm_compile_options co = {.caps = o->device ? pm_executor_caps(o->device->executor) : NULL};
    pm_compiled c = {0};
    pm_status s = pm_compile_stages(g, &co, &c);
    if (s == PM_OK && strcmp(o->stage, stages[STAGE_FUSED]) == 0) s = print_graph(c.fused, format, out_text);
    if (s == PM_OK && strcmp(o->stage, stages[STAGE_PLANNED]) == 0)
        s = pm_plan_print(c.fused, &c.plan, format, out_text);
    if (s == PM_OK && strcmp(o->stage, stages[STAGE_PROGRAM]) == 0)
        s = pm_program_print(c.program, format, out_text);
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
    PM_TRY(choose_graph(m, options, &o));
    PM_TRY(pm_model_build(m, &o, &g));
    pm_status s = strcmp(options->stage, stages[STAGE_BUILT]) == 0
                      ? print_graph(g, format, out_text)
                      : print_compiled(g, options, format, out_text);
    pm_graph_destroy(g);
    return s;
}
