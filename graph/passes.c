/* The order of the passes. Owns nothing: every pass reads one graph and makes the next. */
#include "graph/ir.h"

typedef pm_status (*pass_fn)(const pm_graph *g, pm_graph **out);

/* After each pass when our own mistakes are looked for, else once at the end. */
#ifdef NDEBUG
#define VERIFY_EACH false
#else
#define VERIFY_EACH true
#endif

static pm_status run_passes(const pm_graph *g, const pass_fn *passes, size_t n, pm_graph **out) {
    pm_graph *kept = NULL; /* the newest of ours */
    pm_status s = pm_graph_verify(g);
    *out = NULL;
    for (size_t i = 0; s == PM_OK && i < n; i++) {
        pm_graph *next = NULL;
        s = passes[i](kept ? kept : g, &next);
        if (s == PM_OK && (VERIFY_EACH || i + 1 == n)) s = pm_graph_verify(next);
        pm_graph_destroy(kept);
        kept = next;
    }
    if (s == PM_OK)
        *out = kept;
    else
        pm_graph_destroy(kept);
    return s;
}

pm_status pm_optimize(const pm_graph *g, pm_graph **out) {
    static const pass_fn passes[] = {pm_pass_fold, pm_pass_cse,     pm_pass_dce,    pm_pass_fuse,
                                     pm_pass_cse,  pm_pass_dce,     pm_pass_layout, pm_pass_cse,
                                     pm_pass_dce,  pm_pass_schedule};
    return run_passes(g, passes, PM_COUNT(passes), out);
}

pm_status pm_simplify(const pm_graph *g, pm_graph **out) {
    static const pass_fn passes[] = {pm_pass_fold, pm_pass_cse, pm_pass_dce};
    return run_passes(g, passes, PM_COUNT(passes), out);
}
