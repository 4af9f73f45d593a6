/* A computation as its files see it: compute.c owns its life, compute_feed.c what goes in and out by name,
 * compute_look.c what it is made of. */
#ifndef PM_COMPUTE_DATA_H
#define PM_COMPUTE_DATA_H

#include "graph/compile.h"
#include "pumice/compute.h"
#include "runtime/executor.h"

struct pm_compute {
    pm_executor *executor;
    pm_program *program;
    pm_loaded *loaded; /* made at the first run, when the store has what the program names */
    void **inputs;     /* the newest of each, NULL until it is given */
    int32_t *params;
    pm_given_leaf *leaves;
    size_t n_leaves;
    pm_arena arena; /* of the leaves */
};

/* The weight or state of that name that the program uses, or its first piece; NULL when it uses none. */
const pm_external *pm_compute_stored(const pm_compute *c, const char *name);

#endif
