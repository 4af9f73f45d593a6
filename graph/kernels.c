/* The kernel and variant tables as data. See program.h. */
#include "graph/program.h"

#include <string.h>

#include "shaders/attention.params.h"
#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"
#include "shaders/matmul.params.h"
#include "shaders/rowwise.params.h"
#include "shaders/sample.params.h"
#include "shaders/softmax.params.h"

static const pm_kernel_info kernels[PM_N_KERNELS] = {
#define PM_KERNEL(id, name, n_bindings, params)                                                              \
    [PM_KERNEL_##id] = {name, n_bindings, (uint32_t)sizeof(params)},
#include "graph/kernels.def"
#undef PM_KERNEL
};

#define PM_KERNEL(id, name, n_bindings, params)                                                              \
    _Static_assert(sizeof(params) <= PM_MAX_PARAM_BYTES && (n_bindings) <= PM_MAX_BINDINGS,                  \
                   "a device may have no more");
#include "graph/kernels.def"
#undef PM_KERNEL

static const pm_variant_info variants[PM_N_VARIANTS] = {
#define PM_VARIANT(id, name, kernel, ...) [PM_VARIANT_##id] = {PM_KERNEL_##kernel, name},
#include "shaders/variants.def"
#undef PM_VARIANT
};

const pm_kernel_info *pm_kernel_get(pm_kernel k) {
    return &kernels[k];
}
const pm_variant_info *pm_variant_get(pm_variant v) {
    return &variants[v];
}

static int find_io(const pm_io *io, uint32_t n, const char *name) {
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(io[i].name, name)) return (int)i;
    return -1;
}

int pm_program_input(const pm_program *p, const char *name) {
    return find_io(p->inputs, p->n_inputs, name);
}
int pm_program_output(const pm_program *p, const char *name) {
    return find_io(p->outputs, p->n_outputs, name);
}

int pm_program_param(const pm_program *p, const char *name) {
    for (uint32_t i = 0; i < p->n_params; i++)
        if (!strcmp(p->param_names[i], name)) return (int)i;
    return -1;
}
