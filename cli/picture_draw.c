/* Layout of attention pictures: panels, axes, labels that fit, a scale; drawn on any canvas. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/picture.h"

enum { HEAD = 62, NAME = 22, GAP = 16, LONGEST = 30, LONGEST_TITLE = 150, SCALE = 140 };
static const double most_side = 32000, most_pixels = 1 << 27;

/* ---- text that fits ---- */

static bool is_within(uint32_t c, const uint32_t (*ranges)[2], size_t n) {
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

/* Width of a character in half sizes of the font, rather too much than too little: marks have none, East Asian ones and pictures two. */
static double width_of(uint32_t c) {
    static const uint32_t marks[][2] = {
        {0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},   {0x610, 0x61A},
        {0x64B, 0x65F},   {0x93C, 0x93C},   {0x941, 0x948},   {0x94D, 0x94D},
        {0xE31, 0xE31},   {0xE34, 0xE3A},   {0xE47, 0xE4E},   {0x1AB0, 0x1AFF},
        {0x1DC0, 0x1DFF}, {0x200C, 0x200D}, {0x20D0, 0x20FF}, {0xFE00, 0xFE2F}};
    static const uint32_t wide[][2] = {{0x1100, 0x115F},   {0x2E80, 0xA4CF},  {0xAC00, 0xD7A3},
                                       {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},  {0xFF00, 0xFF60},
                                       {0x1F000, 0x1FAFF}, {0x20000, 0x3FFFD}};
    if (is_within(c, marks, sizeof marks / sizeof *marks)) return 0;
    if (is_within(c, wide, sizeof wide / sizeof *wide)) return 2.1;
    if (c < 0x80) return strchr("MWmw@%", (int)c) ? 1.8 : (c >= 'A' && c <= 'Z') || c == '_' ? 1.45 : 1.2;
    return 1.5;
}

/* The first character of s; labels and titles may hold anything. */
static uint32_t next_character(const char *s, size_t *out_bytes) {
    const unsigned char *u = (const unsigned char *)s;
    size_t n = u[0] < 0xC0 ? 1 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4, i = 1;
    uint32_t c = n == 1 ? u[0] : u[0] & (0xFFu >> (n + 1));
    for (; i < n && (u[i] & 0xC0u) == 0x80; i++) c = c << 6 | (u[i] & 0x3Fu);
    *out_bytes = i;
    return c;
}

static double text_width(const char *s) {
    double width = 0;
    for (size_t n; *s; s += n) width += width_of(next_character(s, &n));
    return width;
}

/* The text itself, or its beginning and an ellipsis in `room`. A mark stays with its letter. */
enum { ROOM = 1024 };
static const char *fitted(const char *s, double most, char room[ROOM]) {
    double width = 0;
    size_t at = 0, n;
    if (text_width(s) <= most && strlen(s) < ROOM) return s;
    for (; s[at]; at += n) {
        width += width_of(next_character(s + at, &n));
        if (width > most - 2 || at + n > ROOM - 4) break;
    }
    memcpy(room, s, at);
    memcpy(room + at, "\xE2\x80\xA6", 4);
    return room;
}

/* ---- sizes ---- */

static void measure_axis(const pm_axis *axis, double room, double largest, picture_axis *o) {
    double widest = 0, cell = room / (double)axis->n;
    o->cell = cell > largest ? largest : cell > 1 ? floor(cell) : 1;
    o->font = o->cell * 0.7 < 8 ? 8 : o->cell * 0.7 > 15 ? 15 : o->cell * 0.7;
    o->step = (int64_t)ceil(o->font * 1.2 / o->cell);
    for (int64_t i = 0; i < axis->n; i += o->step) widest = fmax(widest, text_width(axis->labels[i]));
    o->margin = 10 + fmin(widest, LONGEST) * o->font / 2;
}

/* Layers by heads; one row of either becomes a grid, about as wide as high. */
static void arrange(const pm_attention *a, picture_layout *o, double ratio) {
    int64_t n = a->n_layers * a->n_heads;
    o->rows = a->n_layers;
    o->columns = a->n_heads;
    if (a->n_layers > 1 && a->n_heads > 1) return;
    o->columns = (int64_t)ceil(sqrt((double)n * ratio));
    if (o->columns > n) o->columns = n;
    o->rows = (n + o->columns - 1) / o->columns;
}

static void measure_overlay(const pm_attention *a, picture_layout *o, double room) {
    double longer = (double)(a->image.width > a->image.height ? a->image.width : a->image.height);
    double scale = fmin(room, 448) / longer;
    if (scale > 1) scale = floor(scale); /* small pictures keep whole pixels */
    o->key.cell = scale;                 /* of a pixel */
    o->panel_w = scale * (double)a->image.width;
    o->panel_h = scale * (double)a->image.height + 14;
}

static void measure_matrix(const pm_attention *a, picture_layout *o, double room) {
    double largest = a->n_layers * a->n_heads == 1 ? 24 : 14;
    measure_axis(&a->query, room, largest, &o->query);
    measure_axis(&a->key, room, largest, &o->key);
    o->panel_w = o->query.margin + o->key.cell * (double)a->n_keys;
    o->panel_h = o->key.margin + o->query.cell * (double)a->n_queries;
}

int picture_measure(const picture_choice *c, picture_layout *o) {
    const pm_attention *a = c->map;
    char title[ROOM];
    memset(o, 0, sizeof *o);
    arrange(a, o, 1);
    double room = o->columns == 1 ? 1100 : fmax(120, fmin(420, 6000 / (double)o->columns));
    if (picture_is_overlay(a))
        measure_overlay(a, o, o->columns == 1 ? room : fmin(room, 240));
    else
        measure_matrix(a, o, room);
    o->panel_w = fmax(o->panel_w, picture_is_overlay(a) ? 210 : 150) + GAP; /* room for what stands around */
    o->panel_h += NAME + GAP;
    if (o->panel_w > 2 * o->panel_h || o->panel_h > 2 * o->panel_w) arrange(a, o, o->panel_h / o->panel_w);
    o->title = fmax(LONGEST_TITLE, (o->panel_w * (double)o->columns - GAP) / 6.5);
    double head = fmax(15 + 6.5 * text_width(fitted(c->title, o->title, title)), SCALE + 120);
    o->width = ceil(fmax(o->panel_w * (double)o->columns, head) + GAP);
    o->height = ceil(o->panel_h * (double)o->rows + HEAD);
    if (o->width <= most_side && o->height <= most_side && o->width * o->height <= most_pixels) return PM_OK;
    return cli_error(
        PM_ERR_USAGE,
        "attend: the picture would be %.0f x %.0f pixels, expected at most %.0f a side and %.0f in "
        "all; choose --layer and --head",
        o->width, o->height, most_side, most_pixels);
}

/* ---- drawing ---- */

void picture_colour(double share, unsigned char rgb[3]) {
    static const double stops[][3] = {
        {250, 250, 252}, {190, 211, 236}, {98, 150, 207}, {32, 84, 158}, {8, 24, 66}};
    double x = 4 * sqrt(share > 0 ? fmin(share, 1) : 0);
    int i = x >= 4 ? 3 : (int)x;
    for (int k = 0; k < 3; k++)
        rgb[k] = (unsigned char)(stops[i][k] + (stops[i + 1][k] - stops[i][k]) * (x - i) + 0.5);
}

double picture_tint(double share) {
    return share > 0 ? 0.85 * fmin(share, 1) : 0;
}

typedef struct drawing {
    const picture_choice *c;
    const picture_layout *o;
    const picture_canvas *on;
    double largest;
    unsigned char *rgb; /* of a panel's cells */
} drawing;

static void put(const drawing *d, double x, double y, double size, bool bold, const char *text) {
    d->on->text(d->on->to, &(picture_text){.x = x, .y = y, .size = size, .bold = bold, .text = text});
}

/* The scale: colours from 0 to the largest, of which the square roots are evenly spaced, or tints, evenly themselves. */
static void draw_head(const drawing *d) {
    char room[ROOM], text[32];
    unsigned char rgb[SCALE][3];
    picture_cells bar = {{GAP, 32, SCALE, 10}, SCALE, 1, rgb[0], NULL};
    bool overlay = picture_is_overlay(d->c->map);
    put(d, GAP, 16, 13, false, fitted(d->c->title, d->o->title, room));
    for (int i = 0; i < SCALE; i++) {
        double x = (i + 0.5) / SCALE;
        picture_colour(x * x, rgb[i]);
        if (overlay) d->on->tint(d->on->to, &(picture_box){GAP + i, 32, 1, 10}, x, (float)(x * d->largest));
    }
    if (!overlay) d->on->cells(d->on->to, &bar);
    d->on->frame(d->on->to, &bar.box);
    for (int i = 0; i <= 2; i++) {
        snprintf(text, sizeof text, "%.2g", d->largest * (overlay ? i / 2.0 : i * i / 4.0));
        d->on->text(
            d->on->to,
            &(picture_text){.x = GAP + SCALE * i / 2.0, .y = 50, .size = 9, .align = i / 2.0, .text = text});
    }
}

static void draw_labels(const drawing *d, const pm_axis *axis, const picture_axis *at, bool up, double x,
                        double y) {
    char room[ROOM];
    for (int64_t i = 0; i < axis->n; i += at->step) {
        double middle = at->cell * ((double)i + 0.5);
        picture_text t = {.size = at->font, .up = up, .text = fitted(axis->labels[i], LONGEST, room)};
        t.x = up ? x + middle : x - 4;
        t.y = up ? y - 4 : y + middle;
        t.align = up ? 0 : 1;
        d->on->text(d->on->to, &t);
    }
}

static void draw_matrix(const drawing *d, const float *w, double x, double y) {
    const pm_attention *a = d->c->map;
    const picture_layout *o = d->o;
    picture_box box = {x + o->query.margin, y + o->key.margin, o->key.cell * (double)a->n_keys,
                       o->query.cell * (double)a->n_queries};
    for (int64_t i = 0; i < a->n_queries * a->n_keys; i++)
        picture_colour((double)w[i] / d->largest, d->rgb + 3 * i);
    draw_labels(d, &a->key, &o->key, true, box.x, box.y);
    draw_labels(d, &a->query, &o->query, false, box.x, box.y);
    d->on->cells(d->on->to, &(picture_cells){box, a->n_keys, a->n_queries, d->rgb, w});
    d->on->frame(d->on->to, &box);
}

static void draw_photo(const drawing *d, const picture_box *box) {
    const pm_image *image = &d->c->map->image;
    for (int64_t i = 0; i < image->width * image->height; i++) {
        const uint8_t *p = image->pixels + i * image->channels;
        double gray = image->channels == 3 ? 0.3 * p[0] + 0.59 * p[1] + 0.11 * p[2] : p[0];
        memset(d->rgb + 3 * i, (int)(80 + 0.65 * gray), 3);
    }
    d->on->cells(d->on->to, &(picture_cells){*box, image->width, image->height, d->rgb, NULL});
}

/* The picture in faint gray, each patch tinted by the weight that the query gives it. */
static void draw_overlay(const drawing *d, const float *w, double x, double y) {
    const pm_attention *a = d->c->map;
    const pm_axis *keys = &a->key;
    char text[96];
    double scale = d->o->key.cell, rest = 0;
    double side = scale * (double)keys->side;
    picture_box box = {x, y, scale * (double)a->image.width, scale * (double)a->image.height};
    const float *row = w + d->c->query * a->n_keys;
    draw_photo(d, &box);
    for (int64_t i = 0; i < keys->n_lead; i++) rest += (double)row[i];
    for (int64_t i = 0; i < keys->rows * keys->columns; i++) {
        float value = row[keys->n_lead + i];
        picture_box patch = {x + side * (double)(i % keys->columns), y + side * (double)(i / keys->columns),
                             side, side};
        d->on->tint(d->on->to, &patch, (double)value / d->largest, value);
        if (i + keys->n_lead == d->c->query) d->on->frame(d->on->to, &patch);
    }
    d->on->frame(d->on->to, &box);
    snprintf(text, sizeof text, "from %.20s; %.3f on tokens without a place", a->query.labels[d->c->query],
             rest);
    put(d, x, y + box.h + 9, 8.5, false, text);
}

static void draw_panels(const drawing *d) {
    const pm_attention *a = d->c->map;
    char layer[PICTURE_NAME], head[PICTURE_NAME], name[2 * PICTURE_NAME + 2];
    for (int64_t i = 0; i < a->n_layers * a->n_heads; i++) {
        double x = GAP + d->o->panel_w * (double)(i % d->o->columns),
               y = HEAD + d->o->panel_h * (double)(i / d->o->columns);
        const float *w = picture_weights(a, i / a->n_heads, i % a->n_heads);
        picture_layer_name(a, i / a->n_heads, layer);
        picture_head_name(a, i % a->n_heads, head);
        snprintf(name, sizeof name, "%s, %s", layer, head);
        put(d, x, y + NAME / 2.0, 11, true, name);
        if (picture_is_overlay(a))
            draw_overlay(d, w, x, y + NAME);
        else
            draw_matrix(d, w, x, y + NAME);
    }
}

int picture_draw(const picture_choice *c, const picture_layout *o, const picture_canvas *on) {
    const pm_attention *a = c->map;
    int64_t n = picture_is_overlay(a) ? a->image.width * a->image.height : a->n_queries * a->n_keys;
    drawing d = {c, o, on, (double)picture_largest(c), malloc((size_t)n * 3)};
    if (!d.rgb) return cli_error(PM_ERR_MEMORY, "out of memory: the cells of an attention map");
    draw_head(&d);
    draw_panels(&d);
    free(d.rgb);
    return PM_OK;
}
