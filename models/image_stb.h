/* Decoding of picture files (stb_image, public domain), seen by models/image.c alone. */
#ifndef PM_IMAGE_STB_H
#define PM_IMAGE_STB_H

#include "graph/base.h"

/* A file in memory that is being read. */
typedef struct pm_picture_source {
    const unsigned char *data;
    size_t bytes, at;
    bool ran_out;   /* more was asked for than there is */
    bool no_memory; /* the decoder takes a file that it has no memory for as one that it does not know */
} pm_picture_source;

/* Width, height and channels without decoding; false: no picture, and *out_why says so in a few words. */
bool pm_stb_measure(pm_picture_source *from, int out_size[3], const char **out_why);
/* 8 bits a channel, freed with pm_free; NULL: *out_why says why. */
uint8_t *pm_stb_decode(pm_picture_source *from, int out_size[3], const char **out_why);
/* Whether the tables of a JPEG file are such that pm_stb_decode may read them; true for files that are none. */
bool pm_jpeg_check(const unsigned char *data, size_t bytes, const char **out_why);

#endif
