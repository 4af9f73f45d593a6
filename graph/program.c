/* The life of a program. Its tables are in kernels.c; lower.c makes it. */
#include "graph/program.h"

#include "graph/placement.h"

void pm_program_destroy(pm_program *p) {
    if (!p) return;
    pm_free(p->dispatches);
    pm_free(p->deaths);
    pm_placement_destroy(p->placement);
    pm_arena_free(&p->arena);
    pm_free(p);
}

uint64_t pm_program_external_bytes(const pm_program *p, pm_external_kind kind) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (p->externals[i].kind == kind) bytes += p->externals[i].bytes;
    return bytes;
}
