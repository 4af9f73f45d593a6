/* A model's graph at a stage of the compiler (pm_model_dump): which graph it is; stages.c does the rest. */
#include <string.h>

#include "models/session.h"
#include "models/stages.h"

static const char *const graphs[] = {"forward", "prefill", "decode", "encode"};

static int64_t clamped(int64_t n, int64_t fallback, int64_t most) {
    if (n <= 0) n = fallback;
    return n < most ? n : most;
}

static pm_status choose_graph(const pm_model *m, const pm_dump_options *o, pm_build_options *out) {
    const char *which = o->which ? o->which : "forward";
    int64_t most = m->spec.max_positions, length = clamped(o->length, 16, most),
            target = clamped(o->target_length, 16, most);
    bool seq2seq = m->arch->encoder_decoder;
    PM_TRY(pm_check_word("which", which, graphs, PM_COUNT(graphs)));
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

pm_status pm_model_dump(const pm_model *m, const pm_dump_options *options, char **out_text) {
    const pm_graph_dump_options how = {.stage = options->stage,
                                       .format = options->format,
                                       .device = options->device,
                                       .no_fuse = options->no_fuse,
                                       .profile = options->profile,
                                       .max_memory_bytes = options->max_memory_bytes};
    pm_build_options o;
    pm_graph *g;
    *out_text = NULL;
    PM_TRY(pm_check_graph_dump(how.stage, how.format));
    PM_TRY(choose_graph(m, options, &o));
    PM_TRY(pm_model_build(m, &o, &g));
    pm_status s = pm_graph_dump(g, &how, out_text);
    pm_graph_destroy(g);
    return s;
}
