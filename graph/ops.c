/* The operation table as data: ops.def's rows. Never changes; holds no logic of any one operation. */
#include "graph/ops.h"

#include <string.h>

static const pm_op_info ops[PM_N_OPS] = {
#define PM_OP(id, name, min_in, max_in, flags, fn, infer, lower, cost)                                       \
    [PM_OP_##id] = {name, min_in, max_in, flags, fn, infer, lower, cost},
#include "graph/ops.def"
#undef PM_OP
};

const pm_op_info *pm_op_get(pm_op op) {
    return &ops[op];
}

bool pm_leaf_kind(pm_op op, pm_kind *out_kind) {
    static const pm_kind kinds[PM_N_OPS] = {
        [PM_OP_INPUT] = PM_KIND_INPUT, [PM_OP_WEIGHT] = PM_KIND_WEIGHT, [PM_OP_STATE] = PM_KIND_STATE,
        [PM_OP_PARAM] = PM_KIND_PARAM, [PM_OP_CONST] = PM_KIND_CONST,   [PM_OP_IOTA] = PM_KIND_CONST,
    };
    *out_kind = (unsigned)op < PM_N_OPS ? kinds[op] : PM_KIND_TEMP;
    return *out_kind != PM_KIND_TEMP;
}

bool pm_op_by_name(const char *name, pm_op *out_op) {
    for (int i = 0; i < PM_N_OPS; i++)
        if (strcmp(ops[i].name, name) == 0) {
            *out_op = (pm_op)i;
            return true;
        }
    return false;
}
