/* The canvas of attention pictures as PNG, drawn by cairo, labels by pango (which finds fonts for every script). */
#include "cli/picture.h"

#include "cli/cli.h"

#ifndef PM_WITH_CAIRO
int picture_png(const picture_choice *c, picture_file *out) {
    (void)c;
    (void)out;
    return cli_error(PM_ERR_USAGE,
                     "attend: this build has no PNG (cairo was not found when it was built), expected .svg");
}
#else
#include <pango/pangocairo.h>

static void draw_text(void *to, const picture_text *t) {
    cairo_t *cr = to;
    PangoLayout *layout = pango_cairo_create_layout(cr);
    PangoFontDescription *font = pango_font_description_from_string(t->bold ? "sans bold" : "sans");
    int w, h;
    pango_font_description_set_absolute_size(font, t->size * PANGO_SCALE);
    pango_layout_set_font_description(layout, font);
    pango_layout_set_single_paragraph_mode(layout, TRUE);
    pango_layout_set_text(layout, t->text, -1);
    pango_layout_get_pixel_size(layout, &w, &h);
    cairo_save(cr);
    cairo_set_source_rgb(cr, 0.13, 0.13, 0.2);
    cairo_translate(cr, t->x, t->y);
    if (t->up) cairo_rotate(cr, -1.5707963);
    cairo_move_to(cr, t->align * (double)-w, -(double)h / 2);
    pango_cairo_show_layout(cr, layout);
    cairo_restore(cr);
    pango_font_description_free(font);
    g_object_unref(layout);
}

static void draw_cells(void *to, const picture_cells *c) {
    cairo_t *cr = to;
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)c->columns, (int)c->rows);
    unsigned char *data = cairo_image_surface_get_data(s);
    int stride = cairo_image_surface_get_stride(s);
    for (int64_t y = 0; data && y < c->rows; y++)
        for (int64_t x = 0; x < c->columns; x++) {
            const unsigned char *rgb = c->rgb + 3 * (y * c->columns + x);
            *(uint32_t *)(void *)(data + y * stride + 4 * x) =
                (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
        }
    cairo_surface_mark_dirty(s);
    cairo_save(cr);
    cairo_translate(cr, c->box.x, c->box.y);
    cairo_scale(cr, c->box.w / (double)c->columns, c->box.h / (double)c->rows);
    cairo_set_source_surface(cr, s, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
    cairo_rectangle(cr, 0, 0, (double)c->columns, (double)c->rows);
    cairo_fill(cr);
    cairo_restore(cr);
    cairo_surface_destroy(s);
}

static void draw_tint(void *to, const picture_box *b, double share, float value) {
    (void)value;
    cairo_set_source_rgba(to, 0.89, 0.09, 0.04, picture_tint(share));
    cairo_rectangle(to, b->x, b->y, b->w, b->h);
    cairo_fill(to);
}

static void draw_frame(void *to, const picture_box *b) {
    cairo_set_source_rgb(to, 0.4, 0.4, 0.47);
    cairo_set_line_width(to, 0.7);
    cairo_rectangle(to, b->x, b->y, b->w, b->h);
    cairo_stroke(to);
}

static cairo_status_t take_bytes(void *out, const unsigned char *data, unsigned int n) {
    picture_add_bytes(out, data, n);
    return ((picture_file *)out)->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

int picture_png(const picture_choice *c, picture_file *out) {
    picture_layout o;
    int code = picture_measure(c, &o);
    if (code) return code;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)o.width, (int)o.height);
    cairo_t *cr = cairo_create(surface);
    const picture_canvas on = {cr, draw_text, draw_cells, draw_tint, draw_frame};
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    code = picture_draw(c, &o, &on);
    cairo_status_t s = cairo_surface_write_to_png_stream(surface, take_bytes, out);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    pango_cairo_font_map_set_default(NULL); /* frees the fonts that were found */
    if (code) return code;
    return s == CAIRO_STATUS_SUCCESS
               ? PM_OK
               : cli_error(PM_ERR_OTHER, "attend: cairo says: %s", cairo_status_to_string(s));
}
#endif
