/* Driver quirks: see vk_quirks.c. */
#ifndef PM_VK_QUIRKS_H
#define PM_VK_QUIRKS_H

#include "graph/caps.h"

/* Sets the quirk bits of the device, and the limits that follow from them. Needs vendor_id and type. */
void pm_vk_quirks_apply(pm_caps *caps);

#endif
