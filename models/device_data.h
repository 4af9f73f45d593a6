/* A device as models see it: an executor, and who keeps weights in its store. */
#ifndef PM_DEVICE_DATA_H
#define PM_DEVICE_DATA_H

#include "pumice/device.h"
#include "runtime/executor.h"

struct pm_device {
    pm_executor *executor;
    uint64_t max_memory_bytes; /* as it was opened with */
    uint32_t
        n_serials; /* sessions and computations opened so far: names in the store begin with their number */
};

#endif
