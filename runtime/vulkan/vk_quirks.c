/* Driver quirks: the whole list, one row each, with the evidence. A row is a last resort: what can be queried
 * is queried in vk_caps.c instead. Rows speak of a driver (VkDriverId) where one is to blame, since other
 * drivers of the same vendor's devices are sound. */
#include "runtime/vulkan/vk.h"

#define SHORT_SUBMIT_COST 1000000000ull /* multiply-adds: some 10 ms on the slowest of them */
#define LLVMPIPE_LOOPS    65535

typedef struct quirk_row {
    uint32_t vendor_id;
    uint32_t driver_id; /* 0: any */
    uint32_t fixed_in;  /* driver version; 0: not known to be fixed */
    uint32_t quirk;
} quirk_row;

static const quirk_row rows[] = {
    /* The i915 kernel driver resets the device when a shader runs too long, and work queued behind it is
     * dropped: https://github.com/opencv/opencv/pull/13520,
     * https://github.com/ggml-org/llama.cpp/issues/29054 */
    {0x8086, VK_DRIVER_ID_INTEL_OPEN_SOURCE_MESA, 0, PM_QUIRK_SHORT_SUBMITS},
    /* The v3d kernel driver (Raspberry Pi) does not recover from a job that ran too long:
     * https://github.com/raspberrypi/linux/issues/6660 */
    {0x14e4, 0, 0, PM_QUIRK_SHORT_SUBMITS},
    /* Qualcomm's own driver gives wrong blocks for workgroups of 8x8 and 4x16, and right ones for 64x1:
     * https://github.com/pytorch/executorch/pull/22328 */
    {0x5143, VK_DRIVER_ID_QUALCOMM_PROPRIETARY, 0, PM_QUIRK_NO_SQUARE_WORKGROUPS},
    /* llvmpipe leaves loops after 65535 iterations of an invocation, all loops together, and goes on behind them:
     * found with 22.3.6 here, in 2025 by https://github.com/ggml-org/llama.cpp/pull/13813; 26.2.6 is sound. */
    {0x10005, VK_DRIVER_ID_MESA_LLVMPIPE, VK_MAKE_VERSION(26, 2, 0), PM_QUIRK_FEW_LOOPS},
};

void pm_vk_quirks_apply(pm_caps *caps, uint32_t driver_id) {
    for (size_t i = 0; i < PM_COUNT(rows); i++)
        if (rows[i].vendor_id == caps->vendor_id &&
            (rows[i].driver_id == 0 || rows[i].driver_id == driver_id) &&
            (rows[i].fixed_in == 0 || caps->driver_version < rows[i].fixed_in))
            caps->quirks |= rows[i].quirk;
    if ((caps->quirks & PM_QUIRK_SHORT_SUBMITS) && caps->submit_cost > SHORT_SUBMIT_COST)
        caps->submit_cost = SHORT_SUBMIT_COST;
    if (caps->quirks & PM_QUIRK_FEW_LOOPS) caps->max_loops = LLVMPIPE_LOOPS;
}
