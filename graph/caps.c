/* The baseline: what selection may assume of any device. See caps.h. Owns no query; devices are asked in
 * runtime/. */
#include "graph/caps.h"

#include <string.h>

bool pm_caps_has_bus(const pm_caps *c) {
    return c->vulkan && !(c->unified_memory && c->type == PM_DEVICE_INTEGRATED_GPU);
}

/* Vulkan's required minimums, but for shared memory (16 KiB there; no known driver has less than 32). Sizes
 * of memory are left open: they limit a plan, not a kernel, and only a real device can say them. */
void pm_caps_baseline(pm_caps *out_caps) {
    *out_caps = (pm_caps){
        .name = "baseline",
        .driver = "none",
        .type = PM_DEVICE_CPU,
        .subgroup_min = 1,
        .subgroup_max = 1,
        .unified_memory = true,
        .shared_bytes = 32768,
        .max_workgroup_invocations = 128,
        .max_workgroup_size = {128, 128, 64},
        .max_groups = {65535, 65535, 65535},
        .push_constant_bytes = 128,
        .max_binding_bytes = UINT64_MAX,
        .max_block_bytes = 0,
        .binding_alignment = 256,
        .submit_cost = 0,
        .skips_halted = true,
    };
}
