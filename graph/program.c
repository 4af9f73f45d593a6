/* The life of a program. Its tables are in kernels.c; lower.c makes it. */
#include "graph/program.h"

void pm_program_destroy(pm_program *p) {
    if (!p) return;
    pm_free(p->dispatches);
    pm_free(p->deaths);
    pm_arena_free(&p->arena);
    pm_free(p);
}
