/* The canvas of attention pictures as SVG: small maps are rectangles whose values a viewer can show, large ones pictures of pixels. */
#include <stdlib.h>
#include <string.h>

#include "cli/picture.h"

enum { MOST_RECTANGLES = 20000 }; /* of a file */

typedef struct svg {
    picture_file *f;
    bool small;
} svg;

static void add_text(void *to, const picture_text *t) {
    picture_file *f = ((svg *)to)->f;
    static const char *const anchors[] = {"start", "middle", "end"};
    /* the middle of a line's letters is about a third of the size above its base */
    double x = t->x + (t->up ? t->size * 0.34 : 0), y = t->y + (t->up ? 0 : t->size * 0.34);
    picture_add(f, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%.1f\" text-anchor=\"%s\"%s", x, y, t->size,
                anchors[(int)(t->align * 2 + 0.5)], t->bold ? " font-weight=\"bold\"" : "");
    if (t->up) picture_add(f, " transform=\"rotate(-90 %.1f %.1f)\"", x, y);
    picture_add(f, ">");
    picture_add_escaped(f, t->text);
    picture_add(f, "</text>\n");
}

static void add_rectangles(picture_file *f, const picture_cells *c) {
    double w = c->box.w / (double)c->columns, h = c->box.h / (double)c->rows;
    for (int64_t i = 0; i < c->rows * c->columns; i++) {
        const unsigned char *rgb = c->rgb + 3 * i;
        picture_add(
            f,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#%02x%02x%02x\"><title>%.4f</title></rect>\n",
            c->box.x + w * (double)(i % c->columns), c->box.y + h * (double)(i / c->columns), w, h, rgb[0],
            rgb[1], rgb[2], (double)c->values[i]);
    }
}

/* Each colour as often as it has pixels on the page: viewers that smooth pictures have nothing to smooth then. */
static void add_image(picture_file *f, const picture_cells *c) {
    int64_t x = (int64_t)(c->box.w / (double)c->columns + 0.5),
            y = (int64_t)(c->box.h / (double)c->rows + 0.5);
    if (x < 1) x = 1;
    if (y < 1) y = 1;
    int64_t width = c->columns * x, height = c->rows * y;
    unsigned char *rgb = malloc((size_t)(width * height) * 3), *to = rgb;
    for (int64_t i = 0; rgb && i < width * height; i++, to += 3)
        memcpy(to, c->rgb + 3 * (i / width / y * c->columns + i % width / x), 3);
    if (rgb)
        picture_add_pixels(f, rgb, width, height);
    else
        f->failed = true;
    free(rgb);
}

static void add_cells(void *to, const picture_cells *c) {
    picture_file *f = ((svg *)to)->f, png = {0};
    if (c->values && ((svg *)to)->small) {
        add_rectangles(f, c);
        return;
    }
    add_image(&png, c);
    picture_add(
        f,
        "<image x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" preserveAspectRatio=\"none\" "
        "image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,",
        c->box.x, c->box.y, c->box.w, c->box.h);
    if (png.failed)
        f->failed = true;
    else
        picture_add_base64(f, png.data, png.bytes);
    picture_add(f, "\"/>\n");
    free(png.data);
}

static void add_tint(void *to, const picture_box *b, double share, float value) {
    picture_add(
        ((svg *)to)->f,
        "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"#e3170a\" fill-opacity=\"%.3f\">"
        "<title>%.4f</title></rect>\n",
        b->x, b->y, b->w, b->h, picture_tint(share), (double)value);
}

static void add_frame(void *to, const picture_box *b) {
    picture_add(((svg *)to)->f,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"none\" stroke=\"#667\" "
                "stroke-width=\"0.7\"/>\n",
                b->x, b->y, b->w, b->h);
}

int picture_svg(const picture_choice *c, picture_file *f) {
    picture_layout o;
    const pm_attention *a = c->map;
    svg to = {f, a->n_layers * a->n_heads * a->n_queries * a->n_keys <= MOST_RECTANGLES};
    const picture_canvas on = {&to, add_text, add_cells, add_tint, add_frame};
    int code = picture_measure(c, &o);
    if (code) return code;
    picture_add(f,
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
                "viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\" fill=\"#223\">\n",
                o.width, o.height, o.width, o.height);
    picture_add(f, "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n");
    code = picture_draw(c, &o, &on);
    picture_add(f, "</svg>\n");
    return code;
}
