/* What the files of pictures share beside pumice/image.h. */
#ifndef PM_IMAGE_H
#define PM_IMAGE_H

#include "graph/base.h"
#include "pumice/image.h"

/* Pixels that are not written yet. */
pm_status pm_image_make(int64_t width, int64_t height, int32_t channels, pm_image *out) PM_MUST_USE;
pm_status pm_image_convert(const pm_image *image, int32_t channels, pm_image *out) PM_MUST_USE;

#endif
