/* What a dispatch loads from each binding: what would cross the bus if the binding lay in the host's memory. Computed from kernel,
 * parameters and workgroups alone. Invariant: reads none but these, so a program's figures are those of its dispatches. */
#include "graph/compile.h"

#include <string.h>

#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"
#include "shaders/matmul.params.h"
#include "shaders/rowwise.params.h"

static uint64_t times(uint64_t a, uint64_t b) {
    uint64_t n;
    return pm_mul_u64(a, b, &n) ? n : UINT64_MAX;
}

static uint64_t words(uint64_t a, uint64_t b, uint64_t c) {
    return times(4, times(a, times(b, c)));
}

/* A workgroup loads the rows of a and of b that its tile needs: b once for each tile of rows, a once for each tile of columns. */
static uint64_t loads_of_matmul(const pm_dispatch *d, uint32_t binding) {
    enum { A, B, BIAS, RESIDUAL };
    pm_matmul_params p;
    memcpy(&p, d->params, sizeof p);
    switch (binding) {
    case A: return words(times(p.m, p.k), d->groups[0], d->groups[2]);
    case B: return words(times(p.n, p.k), d->groups[1], d->groups[2]);
    case BIAS: return words(p.n, d->groups[1], d->groups[2]);
    default: return words(p.m, p.n, d->groups[2]);
    }
}

/* The rows of an expert once for each pair, or once for each tile of an expert's pairs: as if pairs were dealt out evenly. Of
 * all experts, the dispatch may have a part. */
static uint64_t loads_of_grouped(const pm_tensor *t, const pm_dispatch *d, uint32_t binding) {
    enum { X, W, IDS, BIAS };
    pm_grouped_params p;
    memcpy(&p, d->params, sizeof p);
    const uint64_t all = (uint64_t)t->in[PM_GROUPED_W]->dims[0];
    uint64_t passes = (times(p.n_pairs, p.n_experts) + all - 1) / all;
    if (d->variant == PM_VARIANT_GROUPED_F32_F32_TILED) {
        uint64_t each = (p.n_pairs + all - 1) / all;
        passes = times(p.n_experts, (each + d->spec[3] - 1) / d->spec[3]);
    }
    return binding == W      ? words(p.n, p.k, passes)
           : binding == BIAS ? words(p.n, passes, 1)
                             : d->bindings[binding].bytes;
}

static uint64_t loads_of_gather(const pm_dispatch *d, uint32_t binding) {
    pm_gather_params p;
    memcpy(&p, d->params, sizeof p);
    return binding == 0 ? words(p.n_ids, p.n_cols, 1) : d->bindings[binding].bytes;
}

/* Gamma and beta are loaded by each row. */
static uint64_t loads_of_norm(const pm_dispatch *d, uint32_t binding) {
    pm_norm_params p;
    memcpy(&p, d->params, sizeof p);
    return binding == 0 ? d->bindings[0].bytes : words(p.n_rows, p.n_cols, 1);
}

static uint64_t loads_of_elements(const pm_dispatch *d) {
    uint32_t n;
    memcpy(&n, d->params, sizeof n);
    return words(n, 1, 1);
}

uint64_t pm_dispatch_loads(const pm_tensor *t, const pm_dispatch *d, uint32_t binding) {
    if (d->unused >> binding & 1 || d->written >> binding & 1) return 0;
    switch (d->kernel) {
    case PM_KERNEL_MATMUL: return loads_of_matmul(d, binding);
    case PM_KERNEL_GROUPED_MATMUL: return loads_of_grouped(t, d, binding);
    case PM_KERNEL_GATHER: return loads_of_gather(d, binding);
    case PM_KERNEL_LAYER_NORM:
    case PM_KERNEL_RMS_NORM: return loads_of_norm(d, binding);
    case PM_KERNEL_UNARY:
    case PM_KERNEL_BINARY:
    case PM_KERNEL_WHERE: return loads_of_elements(d);
    default: return d->bindings[binding].bytes;
    }
}
