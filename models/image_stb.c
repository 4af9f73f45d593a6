/* See image_stb.h. The one file that has stb_image's functions, all static. */
#include "models/image_stb.h"

#include <string.h>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_ONLY_PNM
#define STBI_MALLOC(bytes)                        noted(pm_alloc(bytes))
#define STBI_REALLOC_SIZED(old, old_bytes, bytes) resized(old, old_bytes, bytes)
#define STBI_FREE(p)                              pm_free(p)

static _Thread_local bool no_memory; /* since the last look at a file began */

static void *noted(void *p) {
    no_memory |= !p;
    return p;
}

static void *resized(void *old, size_t old_bytes, size_t bytes) {
    (void)old_bytes;
    return noted(pm_realloc_array(old, bytes, 1));
}

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wunused-function" /* it declares some that it then leaves out */
#endif
#include <stb/stb_image.h>

enum { REFILL = 128 }; /* bytes that the decoder reads ahead; other reads want every byte */

/* The decoder reads past the end of a file that was cut short, and calls what it finds there zeros. */
static int read_more(void *user, char *to, int n) {
    pm_picture_source *s = user;
    size_t left = s->bytes - s->at, take = n < 0 ? 0 : (size_t)n < left ? (size_t)n : left;
    if (!left || (n != REFILL && take < (size_t)n)) s->ran_out = true;
    memcpy(to, s->data + s->at, take);
    s->at += take;
    return (int)take;
}

static void skip(void *user, int n) {
    pm_picture_source *s = user;
    if (n >= 0 && (size_t)n <= s->bytes - s->at) {
        s->at += (size_t)n;
    } else if (n < 0 && (size_t) - (int64_t)n <= s->at) {
        s->at -= (size_t) - (int64_t)n;
    } else {
        s->ran_out = true;
        s->at = s->bytes;
    }
}

static int at_end(void *user) {
    const pm_picture_source *s = user;
    return s->at == s->bytes;
}

static const stbi_io_callbacks reading = {read_more, skip, at_end};

bool pm_stb_measure(pm_picture_source *from, int size[3], const char **out_why) {
    no_memory = false;
    bool known = stbi_info_from_callbacks(&reading, from, &size[0], &size[1], &size[2]);
    if (!known) *out_why = stbi_failure_reason();
    from->no_memory = no_memory;
    return known && !no_memory;
}

uint8_t *pm_stb_decode(pm_picture_source *from, int size[3], const char **out_why) {
    no_memory = false;
    uint8_t *pixels = stbi_load_from_callbacks(&reading, from, &size[0], &size[1], &size[2], 0);
    if (!pixels) *out_why = stbi_failure_reason();
    from->no_memory = no_memory;
    return pixels;
}
