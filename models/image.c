/* Pictures as pixels (pumice/image.h): files to pixels, channels, steps of preparation. Knows no model. */
#include "models/image.h"

#include <inttypes.h>
#include <string.h>

#include "models/files.h"
#include "models/image_stb.h"

enum { MAX_PIXELS = 1 << 28, MAX_PREPARED = 1 << 26 };

/* ---- files ---- */

/* What the decoder says may quote bytes of the file. */
static pm_status bad(const char *label, const char *why) {
    for (const char *c = why; why && *c; c++)
        if (*c < ' ' || *c > '~') why = NULL;
    return pm_raise(PM_ERR_FILE, "%s: %s, expected a whole PNG, JPEG, BMP, GIF, PGM or PPM picture", label,
                    why && *why ? why : "cannot be decoded");
}

static pm_status undecoded(const char *label, const pm_picture_source *from, const char *why) {
    return from->no_memory ? PM_ERR_MEMORY : bad(label, from->ran_out ? "is cut short" : why);
}

/* Drops the last channel of 2 or 4, in place: 2 to 1, 4 to 3. */
static void drop_transparency(uint8_t *pixels, size_t n, size_t channels) {
    for (size_t i = 1; i < n; i++) memmove(pixels + i * (channels - 1), pixels + i * channels, channels - 1);
}

pm_status pm_image_decode(const char *label, const void *data, size_t bytes, pm_image *out) {
    pm_picture_source measured = {.data = data, .bytes = bytes}, decoded = measured;
    const char *why = NULL;
    int size[3];
    *out = (pm_image){0};
    if (!bytes) return bad(label, "is empty");
    if (!pm_jpeg_check(data, bytes, &why)) return bad(label, why);
    if (!pm_stb_measure(&measured, size, &why)) return undecoded(label, &measured, why);
    if (size[0] < 1 || size[1] < 1 || size[0] > MAX_PIXELS / size[1])
        return pm_raise(PM_ERR_FILE, "%s: has %d x %d pixels, expected at least 1 x 1 and at most %d in all",
                        label, size[0], size[1], (int)MAX_PIXELS);
    uint8_t *pixels = pm_stb_decode(&decoded, size, &why);
    if (!pixels) return undecoded(label, &decoded, why);
    if (decoded.ran_out || size[2] < 1 || size[2] > 4) {
        pm_free(pixels);
        return bad(label, decoded.ran_out ? "is cut short" : "has more than four channels");
    }
    if (size[2] % 2 == 0) drop_transparency(pixels, (size_t)size[0] * (size_t)size[1], (size_t)size[2]);
    *out = (pm_image){size[0], size[1], size[2] < 3 ? 1 : 3, pixels};
    return PM_OK;
}

pm_status pm_image_open(const char *path, pm_image *out) {
    pm_blob blob;
    *out = (pm_image){0};
    PM_TRY(pm_blob_open(path, &blob));
    pm_status s = pm_image_decode(path, blob.data, blob.bytes, out);
    pm_blob_close(&blob);
    return s;
}

void pm_image_free(pm_image *image) {
    if (!image) return;
    pm_free(image->pixels);
    *image = (pm_image){0};
}

pm_status pm_image_make(int64_t width, int64_t height, int32_t channels, pm_image *out) {
    *out = (pm_image){width, height, channels, NULL};
    if (width < 1 || height < 1 || (channels != 1 && channels != 3) || width > MAX_PIXELS / height)
        return pm_raise(PM_ERR_USAGE,
                        "picture: %" PRId64 " x %" PRId64
                        " pixels of %d channels, expected at least 1 x 1, at most %d "
                        "in all, 1 or 3 channels",
                        width, height, (int)channels, (int)MAX_PIXELS);
    out->pixels = pm_alloc((size_t)width * (size_t)height * (size_t)channels);
    return out->pixels ? PM_OK : PM_ERR_MEMORY;
}

/* ---- channels ---- */

/* Gray is what ITU-R 601 calls luma, with weights in 16 bits. */
pm_status pm_image_convert(const pm_image *image, int32_t channels, pm_image *out) {
    PM_TRY(pm_image_make(image->width, image->height, channels, out));
    const uint8_t *from = image->pixels;
    size_t n = (size_t)image->width * (size_t)image->height;
    for (size_t i = 0; i < n; i++, from += image->channels) {
        if (image->channels == channels)
            memcpy(out->pixels + i * (size_t)channels, from, (size_t)channels);
        else if (channels == 3)
            memset(out->pixels + i * 3, from[0], 3);
        else
            out->pixels[i] =
                (uint8_t)((from[0] * 19595u + from[1] * 38470u + from[2] * 7471u + 0x8000u) >> 16);
    }
    return PM_OK;
}

/* ---- preparation ---- */

/* The size that rules ask for, before the crop. */
static pm_status target_size(const pm_image *image, const pm_image_rules *rules, int64_t *out_height,
                             int64_t *out_width) {
    int64_t h = image->height, w = image->width;
    if (rules->height) h = rules->height, w = rules->width;
    if (rules->shortest) {
        int64_t *small = w <= h ? &w : &h, *large = w <= h ? &h : &w;
        *large = rules->shortest * *large / *small;
        *small = rules->shortest;
        if (rules->longest && *large > rules->longest) {
            *small = rules->longest * *small / *large;
            *large = rules->longest;
        }
    }
    if (h < 1 || w < 1 || h > MAX_PREPARED / w)
        return pm_raise(PM_ERR_USAGE,
                        "picture: %" PRId64 " x %" PRId64 " would be resized to %" PRId64 " x %" PRId64
                        ", expected at least 1 x 1 and at most %d pixels",
                        image->width, image->height, w, h, (int)MAX_PREPARED);
    *out_height = h;
    *out_width = w;
    return PM_OK;
}

/* Where a crop begins in the picture: (is - crop) / 2 rounded down; below 0: beside it. */
static int64_t crop_start(int64_t is, int64_t crop) {
    return crop <= is ? (is - crop) / 2 : -((crop - is + 1) / 2);
}

/* Writes channels of height x width numbers. */
static void normalize(const pm_image *image, const pm_image_rules *rules, const int64_t size[2], float *out) {
    int64_t top = crop_start(image->height, size[0]), left = crop_start(image->width, size[1]);
    for (int32_t c = 0; c < image->channels; c++) {
        float mean = rules->mean[c], deviation = rules->deviation[c] != 0 ? rules->deviation[c] : 1;
        for (int64_t y = top; y < top + size[0]; y++)
            for (int64_t x = left; x < left + size[1]; x++) {
                bool inside = y >= 0 && y < image->height && x >= 0 && x < image->width;
                double pixel = inside ? image->pixels[(y * image->width + x) * image->channels + c] : 0;
                *out++ = ((float)(pixel * rules->factor) - mean) / deviation;
            }
    }
}

static pm_status check_rules(const pm_image *image, const pm_image_rules *r) {
    const int64_t sizes[] = {r->height, r->width, r->shortest, r->longest, r->crop_height, r->crop_width};
    if (!image->pixels || image->width < 1 || image->height < 1 ||
        (image->channels != 1 && image->channels != 3))
        return pm_raise(PM_ERR_USAGE, "picture: has no pixels, or not 1 or 3 channels");
    if (r->channels != 1 && r->channels != 3)
        return pm_raise(PM_ERR_USAGE, "picture: rules ask for %d channels, expected 1 or 3",
                        (int)r->channels);
    for (size_t i = 0; i < PM_COUNT(sizes); i++)
        if (sizes[i] < 0 || sizes[i] > 65536)
            return pm_raise(PM_ERR_USAGE, "picture: rules have the size %" PRId64 ", expected 0..65536",
                            sizes[i]);
    if (!r->height != !r->width || !r->crop_height != !r->crop_width)
        return pm_raise(PM_ERR_USAGE, "picture: rules have a height without a width, or the other way round");
    return PM_OK;
}

pm_status pm_image_prepare(const pm_image *image, const pm_image_rules *rules, float **out,
                           int64_t *out_height, int64_t *out_width) {
    pm_image converted = {0}, sized = {0};
    int64_t size[2] = {0};
    pm_status s;
    *out = NULL;
    PM_TRY(check_rules(image, rules));
    PM_TRY(target_size(image, rules, &size[0], &size[1]));
    PM_GOTO(pm_image_convert(image, rules->channels, &converted));
    PM_GOTO(pm_image_resize(&converted, size[1], size[0], rules->filter, &sized));
    if (rules->crop_height) {
        size[0] = rules->crop_height;
        size[1] = rules->crop_width;
    }
    *out = pm_calloc((size_t)size[0] * (size_t)size[1], (size_t)rules->channels * sizeof **out);
    s = *out ? PM_OK : PM_ERR_MEMORY;
    if (s == PM_OK) normalize(&sized, rules, size, *out);
    *out_height = size[0];
    *out_width = size[1];
fail:
    pm_image_free(&converted);
    pm_image_free(&sized);
    return s;
}
