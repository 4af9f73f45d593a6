/* Pumice, pictures: files as pixels, pixels as a model wants them, classes of pictures, pictures compared with texts.
 *
 *     pm_image image;
 *     float scores[1000];
 *     if (pm_image_open("cat.jpg", &image) != PM_OK) return complain(pm_error_text());
 *     if (pm_session_see(session, &image, 1, scores) == PM_OK) { ... scores[i] is of pm_model_label(model, i) ... }
 *     pm_image_free(&image);
 *
 * It does not draw, write or turn pictures; a turn that a camera noted beside the pixels (EXIF) is not followed. */
#ifndef PUMICE_IMAGE_H
#define PUMICE_IMAGE_H

#include "pumice/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* pixels[height][width][channels], 1 channel (gray) or 3 (red, green, blue). May be a view of the caller's memory. */
typedef struct pm_image {
    int64_t width, height;
    int32_t channels;
    uint8_t *pixels;
} pm_image;

/* PNG, JPEG, BMP, GIF (the first frame), PGM and PPM, found by content. 16 bits a channel become 8; transparency is dropped.
 * Errors: PM_ERR_FILE for a file that is no such picture, is damaged, cut short, or larger than 2^28 pixels. */
pm_status pm_image_open(const char *path, pm_image *out) PM_MUST_USE;
/* The same from memory; label: what errors call it. */
pm_status pm_image_decode(const char *label, const void *data, size_t bytes, pm_image *out) PM_MUST_USE;
void pm_image_free(pm_image *image); /* of the two above; accepts NULL */

/* Filters by the numbers that preprocessor_config.json has for them. */
typedef enum pm_resample {
    PM_RESAMPLE_NEAREST,
    PM_RESAMPLE_LANCZOS,
    PM_RESAMPLE_BILINEAR,
    PM_RESAMPLE_BICUBIC,
    PM_RESAMPLE_BOX,
    PM_RESAMPLE_HAMMING
} pm_resample;
/* Another size, exactly as the resize of PIL (Pillow 13): a filter widened by the scale when it gets smaller, rounded to 8 bits
 * after each direction. Free with pm_image_free. */
pm_status pm_image_resize(const pm_image *image, int64_t width, int64_t height, pm_resample filter,
                          pm_image *out) PM_MUST_USE;

/* How a model wants its pictures; in the order of use. A size of 0: that step is left out. */
typedef struct pm_image_rules {
    int32_t channels; /* converted to: 1 or 3 */
    pm_resample filter;
    int64_t height, width; /* resized to; or: */
    int64_t shortest,
        longest; /* the shorter side becomes `shortest`, the longer at most `longest` (0: any) */
    int64_t crop_height, crop_width; /* around the middle; what the picture lacks is 0 */
    double factor;                   /* pixels times it, then (x - mean) / deviation */
    float mean[3], deviation[3];
} pm_image_rules;
/* From preprocessor_config.json, or image_processor of processor_config.json. Errors: PM_ERR_USAGE for a model that takes no
 * pictures, PM_ERR_FILE for a file that is missing or says what is not supported (named). */
pm_status pm_model_image_rules(const pm_model *m, pm_image_rules *out) PM_MUST_USE;
/* out[channels][height][width], freed with pm_release. */
pm_status pm_image_prepare(const pm_image *image, const pm_image_rules *rules, float **out,
                           int64_t *out_height, int64_t *out_width) PM_MUST_USE;

/* Pictures as the input in.pixel_values of pm_session_run, all in one batch. Freed with pm_tensors_free. */
pm_status pm_model_image_inputs(const pm_model *m, const pm_image *images, size_t n,
                                pm_tensors **out_inputs) PM_MUST_USE;
/* Classes of n pictures in one batch: out_scores[n][n_labels], each row sums to 1. Errors: PM_ERR_USAGE for a model that has no
 * classes of pictures. */
pm_status pm_session_see(pm_session *s, const pm_image *images, size_t n, float *out_scores) PM_MUST_USE;

/* A text to compare pictures with. */
typedef struct pm_match_text {
    const char *text;   /* or, where that is NULL: */
    const int32_t *ids; /* with the special tokens that the model wants */
    size_t n_ids;
} pm_match_text;
/* Each picture with each text (CLIP): out_scores[n_images][n_texts], each row sums to 1, and the cosines of their vectors,
 * likewise; either may be NULL. Texts that are too long lose their end. */
pm_status pm_session_match(pm_session *s, const pm_image *images, size_t n_images, const pm_match_text *texts,
                           size_t n_texts, float *out_scores, float *out_cosines) PM_MUST_USE;

/* ---- idx files, in which MNIST and its like come; plain or gzip ---- */

/* n items of height x width bytes; labels have height and width 1. */
typedef struct pm_idx {
    int64_t n, height, width;
    uint8_t *data;
} pm_idx;
/* rank: 3 for pictures, 1 for labels. Free with pm_idx_free. Errors: PM_ERR_FILE. */
pm_status pm_idx_open(const char *path, int rank, pm_idx *out) PM_MUST_USE;
void pm_idx_free(pm_idx *f);
pm_image pm_idx_image(const pm_idx *f, int64_t i); /* a view */

#ifdef __cplusplus
}
#endif
#endif
