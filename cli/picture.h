/* Attention maps as files. picture_draw.c lays heat maps out, or a picture's patches over the picture, on a canvas: SVG or cairo. HTML
 * draws in the browser; npy and JSON are numbers. Each writer makes the whole file in memory. */
#ifndef PM_PICTURE_H
#define PM_PICTURE_H

#include "pumice/attend.h"

typedef struct picture_choice {
    const pm_attention *map;
    const char *title;
    int64_t query; /* of patches: whose row is drawn over the picture */
} picture_choice;

/* A growing file in memory; freed with free(data). */
typedef struct picture_file {
    char *data;
    size_t bytes, capacity;
    bool failed;
} picture_file;
void picture_add(picture_file *f, const char *fmt, ...) PM_PRINTF(2, 3);
void picture_add_bytes(picture_file *f, const void *data, size_t bytes);
/* For XML and HTML; what is not UTF-8 or no character of XML becomes U+FFFD, control characters blanks. */
void picture_add_escaped(picture_file *f, const char *text);
void picture_add_base64(picture_file *f, const void *data, size_t bytes);
void picture_add_json(picture_file *f, const char *text); /* quoted, ASCII, without < */

/* "layer 3", "mean of layers", "rollout to layer 5"; "head 0", "mean of heads". */
enum { PICTURE_NAME = 64 };
void picture_layer_name(const pm_attention *a, int64_t i, char out[PICTURE_NAME]);
void picture_head_name(const pm_attention *a, int64_t i, char out[PICTURE_NAME]);
const float *picture_weights(const pm_attention *a, int64_t layer, int64_t head);
/* Weights over the picture (a query's, of the tokens with a place), not a matrix. */
bool picture_is_overlay(const pm_attention *a);
float picture_largest(const picture_choice *c); /* of what is drawn; at least 1e-6 */

/* Share of the largest, 0..1, to colour: white through blue to near black, monotone in lightness, by its square root, so that small ones
 * can be told apart. */
void picture_colour(double share, unsigned char rgb[3]);

double picture_tint(double share); /* how opaque */
/* The same head of a JSON object as in .json: title, names and labels, up to the weights. */
void picture_add_head(const picture_choice *c, picture_file *f);

/* ---- canvases ---- */

typedef struct picture_text {
    double x, y, size; /* y: the middle of the line */
    double align;      /* 0: begins at x, 1: ends there */
    bool up, bold;     /* up: turned by 90 degrees to the left */
    const char *text;
} picture_text;

typedef struct picture_box {
    double x, y, w, h;
} picture_box;

/* Cells of a heat map: columns x rows colours; values are for pointers to show, or NULL. */
typedef struct picture_cells {
    picture_box box;
    int64_t columns, rows;
    const unsigned char *rgb;
    const float *values;
} picture_cells;

typedef struct picture_canvas {
    void *to;
    void (*text)(void *to, const picture_text *t);
    void (*cells)(void *to, const picture_cells *cells);
    void (*tint)(void *to, const picture_box *box, double share, float value); /* over a picture */
    void (*frame)(void *to, const picture_box *box);
} picture_canvas;

/* Where things stand, in pixels. */
typedef struct picture_axis {
    double cell, font, margin; /* margin: of the labels */
    int64_t step;              /* every so many-th has a label */
} picture_axis;
typedef struct picture_layout {
    int64_t rows, columns; /* of panels */
    picture_axis query, key;
    double panel_w, panel_h, width, height;
    double title; /* room for it, in half sizes of its font */
} picture_layout;
/* PM_ERR_USAGE for a picture that is too large. */
int picture_measure(const picture_choice *c, picture_layout *out);
int picture_draw(const picture_choice *c, const picture_layout *o, const picture_canvas *on);

/* Pixels as a PNG file. */
void picture_add_pixels(picture_file *f, const unsigned char *rgb, int64_t width, int64_t height);

int picture_svg(const picture_choice *c, picture_file *out);
int picture_html(const picture_choice *c, picture_file *out);
int picture_png(const picture_choice *c, picture_file *out); /* PM_ERR_USAGE when built without cairo */
int picture_npy(const picture_choice *c, picture_file *out); /* [layers, heads, queries, keys] f32 */
/* The head of a .npy file of f32, before its data. */
void picture_npy_head(picture_file *f, int rank, const int64_t *dims);
int picture_json(const picture_choice *c, picture_file *out);

#endif
