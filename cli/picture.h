/* Attention maps as pictures: one heat map a head, tokens on both axes. Each writer makes the whole file in memory. */
#ifndef PM_PICTURE_H
#define PM_PICTURE_H

#include "pumice/model.h"

/* What to draw: layer and head, or -1 for all of them. */
typedef struct picture_choice {
    const pm_attention *map;
    const char *title;
    int64_t layer, head;
} picture_choice;

/* A growing file in memory; freed with free(data). */
typedef struct picture_file {
    char *data;
    size_t bytes, capacity;
    bool failed;
} picture_file;
void picture_add(picture_file *f, const char *fmt, ...) PM_PRINTF(2, 3);
void picture_add_bytes(picture_file *f, const void *data, size_t bytes);
void picture_add_escaped(picture_file *f, const char *utf8); /* for XML and HTML */

/* Where things stand, in pixels, shared by the SVG and PNG writers. */
typedef struct picture_layout {
    int64_t n_layers, n_heads, first_layer, first_head;
    double cell, left, top, panel_w, panel_h, width, height;
} picture_layout;
void picture_measure(const picture_choice *c, picture_layout *out);
/* 0..1 -> red, green, blue: white through blue to near black, monotone in lightness. */
void picture_colour(float weight, unsigned char rgb[3]);
float picture_weight(const picture_choice *c, int64_t layer, int64_t head, int64_t q, int64_t k);
size_t picture_label_width(const char *utf8); /* in half character widths: wide (CJK) characters count 2 */

int picture_svg(const picture_choice *c, picture_file *out);
int picture_html(const picture_choice *c, picture_file *out);
int picture_png(const picture_choice *c, picture_file *out); /* PM_ERR_USAGE when built without cairo */
int picture_npy(const picture_choice *c, picture_file *out); /* [layers, heads, queries, keys] f32 */
/* The head of a .npy file of f32, before its data. */
void picture_npy_head(picture_file *f, int rank, const int64_t *dims);
int picture_json(const picture_choice *c, picture_file *out);

#endif
