/* The one place where a device is judged by its vendor: a quirk is a fault that no query reports. Each row links the
 * evidence. Abilities are never guessed here: they come from queries (vk_caps.c). */
#include "runtime/vulkan/vk_quirks.h"

#define VENDOR_INTEL 0x8086
#define VENDOR_QUALCOMM 0x5143

/* A hardware device's work is cut into submissions, since a watchdog (2 to 10 s) resets what takes longer; see
 * https://github.com/ggml-org/llama.cpp/issues/21724 (AMD APUs, amdgpu.lockup_timeout). The slowest phones do some
 * 1e10 multiply-adds a second with our kernels, so 2e10 stays near 2 s there. */
#define SUBMIT_COST 20000000000u
#define SHORT_SUBMIT_COST 2000000000u

static const struct {
    uint32_t vendor;
    uint32_t quirks;
} rows[] = {
    /* i915 resets the context, or cancels queued work, after less than a second of preemption time-out:
     * https://github.com/ggml-org/llama.cpp/issues/29054 https://github.com/ggml-org/llama.cpp/issues/16684 */
    {VENDOR_INTEL, PM_QUIRK_SHORT_SUBMITS},
    /* Adreno 840: 8x8 and 4x16 workgroups of a shader without any communication give wrong blocks, other shapes of 64
     * do not: https://github.com/pytorch/executorch/issues/22327 */
    {VENDOR_QUALCOMM, PM_QUIRK_NO_SQUARE_WORKGROUPS},
};

void pm_vk_quirks_apply(pm_caps *caps) {
    caps->submit_cost = 0;
    if (caps->type == PM_DEVICE_SOFTWARE_GPU) return; /* no watchdog, and none of the hardware's faults */
    for (uint32_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].vendor == caps->vendor_id) caps->quirks |= rows[i].quirks;
    caps->submit_cost = caps->quirks & PM_QUIRK_SHORT_SUBMITS ? SHORT_SUBMIT_COST : SUBMIT_COST;
}
