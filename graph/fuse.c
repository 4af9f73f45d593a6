/* The fuse pass: finds the compiler's operations in graphs of primitives. Owns the order in which patterns
 * are tried. Each stage makes a new graph, in which the next one looks; a pattern sees nothing of its own
 * stage. */
#include "graph/fuse.h"

#define N_STAGES 3

/* One row a pattern and root operation. Earlier rows win. Attention needs the softmax with its masks, a gate
 * its activation; an epilogue comes last, since it would take the activation from the gate and the scale from
 * attention. */
static const struct {
    int stage;
    pm_op root;
    pm_fuse_fn match;
} patterns[] = {
    {1, PM_OP_MUL, pm_fuse_norm},
    {1, PM_OP_DIV, pm_fuse_norm},
    {1, PM_OP_ADD, pm_fuse_norm_beta},
    {1, PM_OP_MUL, pm_fuse_gelu},
    {1, PM_OP_DIV, pm_fuse_gelu},
    {1, PM_OP_MUL, pm_fuse_gelu_tanh},
    {1, PM_OP_DIV, pm_fuse_gelu_tanh},
    {1, PM_OP_MUL, pm_fuse_silu},
    {1, PM_OP_MUL, pm_fuse_quick_gelu},
    {1, PM_OP_ADD, pm_fuse_rotary},
    {1, PM_OP_SOFTMAX, pm_fuse_softmax},
    {1, PM_OP_SLICE, pm_fuse_sink},
    {1, PM_OP_SUB, pm_fuse_log_softmax},
    {2, PM_OP_CONCAT, pm_fuse_rotary_part},
    {2, PM_OP_MATMUL, pm_fuse_attention},
    {2, PM_OP_MUL, pm_fuse_glu},
    {2, PM_OP_MUL, pm_fuse_norm_gamma},
    {2, PM_OP_ADD, pm_fuse_norm_gamma_beta},
    {3, PM_OP_MUL, pm_fuse_matmul},
    {3, PM_OP_DIV, pm_fuse_matmul},
    {3, PM_OP_ADD, pm_fuse_matmul},
    {3, PM_OP_RELU, pm_fuse_matmul},
    {3, PM_OP_GELU, pm_fuse_matmul},
    {3, PM_OP_GELU_TANH, pm_fuse_matmul},
    {3, PM_OP_SILU, pm_fuse_matmul},
    {3, PM_OP_TANH, pm_fuse_matmul},
    {3, PM_OP_SIGMOID, pm_fuse_matmul},
    {3, PM_OP_QUICK_GELU, pm_fuse_matmul},
    {3, PM_OP_ADD, pm_fuse_grouped},
    {3, PM_OP_RELU, pm_fuse_grouped},
    {3, PM_OP_GELU, pm_fuse_grouped},
    {3, PM_OP_GELU_TANH, pm_fuse_grouped},
    {3, PM_OP_SILU, pm_fuse_grouped},
    {3, PM_OP_TANH, pm_fuse_grouped},
    {3, PM_OP_QUICK_GELU, pm_fuse_grouped},
    {3, PM_OP_ADD, pm_fuse_matmul_viewed},
    {3, PM_OP_CACHE_WRITE, pm_fuse_rotary_write},
};

static pm_tensor *match_any(pm_fuse *f, int stage, const pm_tensor *t) {
    for (size_t i = 0; i < PM_COUNT(patterns); i++) {
        if (patterns[i].stage != stage || patterns[i].root != t->op) continue;
        pm_tensor *made = patterns[i].match(f, t);
        if (made) return made;
    }
    return NULL;
}

static pm_status rewrite(pm_fuse *f, int stage, size_t *out_n, pm_graph **out) {
    pm_status s = pm_rebuild_begin(f->r.old, &f->r);
    if (s != PM_OK) return s;
    for (size_t i = 0; i < f->r.old->n_items && f->r.graph->status == PM_OK; i++) {
        const pm_tensor *t = f->r.old->items[i];
        pm_tensor *made = match_any(f, stage, t);
        if (made)
            f->r.map[t->id] = made, (*out_n)++;
        else
            (void)pm_rebuild_tensor(&f->r, t);
    }
    return pm_rebuild_end(&f->r, out);
}

/* Replaces *g by the graph after one stage. */
static pm_status run_stage(pm_graph **g, int stage) {
    size_t n = 0;
    pm_graph *next = NULL, *clean = NULL;
    uint32_t *uses = pm_count_uses(*g);
    if (!uses) return PM_ERR_MEMORY;
    pm_fuse f = {.r.old = *g, .uses = uses};
    pm_status s = rewrite(&f, stage, &n, &next);
    pm_free(uses);
    if (s == PM_OK && n) s = pm_pass_dce(next, &clean);
    pm_graph_destroy(next);
    if (s != PM_OK || !clean) return s;
    pm_graph_destroy(*g);
    *g = clean;
    return PM_OK;
}

pm_status pm_pass_fuse(const pm_graph *g, pm_graph **out) {
    *out = NULL;
    pm_graph *now = NULL;
    PM_TRY(pm_pass_dce(g, &now)); /* what is dead would count as a use */
    pm_status s = PM_OK;
    for (int stage = 1; s == PM_OK && stage <= N_STAGES; stage++) s = run_stage(&now, stage);
    if (s == PM_OK)
        *out = now;
    else
        pm_graph_destroy(now);
    return s;
}
