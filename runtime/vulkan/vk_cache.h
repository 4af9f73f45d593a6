/* The pipeline cache's file: <vendor>-<device>-<driver version>-<uuid>.bin in the cache folder. Knows no
 * Vulkan handle. A file that is cut, changed or of another device is as good as none. */
#ifndef PM_VK_CACHE_H
#define PM_VK_CACHE_H

#include "graph/base.h"
#include "graph/caps.h"

/* The path for this device; dir NULL: $XDG_CACHE_HOME/pumice or ~/.cache/pumice. *out_path NULL: there is no
 * such folder. Free with pm_free. */
pm_status pm_vk_cache_path(const pm_caps *caps, const char *dir, char **out_path) PM_MUST_USE;
/* The driver's bytes, checked; NULL with *out_bytes 0 where there is no usable file. Free with pm_free. */
void *pm_vk_cache_read(const char *path, const pm_caps *caps, size_t *out_bytes);
/* Makes the folder, writes a file beside and renames it. Failing is no error: the next start is slower, no
 * more. */
void pm_vk_cache_write(const char *path, const void *data, size_t bytes);

#endif
