/* The attention map as PNG, drawn by cairo, labels by pango (which finds fonts for every script). */
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

static void draw_text(cairo_t *cr, double x, double y, double size, double angle, int align,
                      const char *text) {
    PangoLayout *layout = pango_cairo_create_layout(cr);
    PangoFontDescription *font = pango_font_description_from_string("sans");
    int w, h;
    pango_font_description_set_absolute_size(font, size * PANGO_SCALE);
    pango_layout_set_font_description(layout, font);
    pango_layout_set_text(layout, text, -1);
    pango_layout_get_pixel_size(layout, &w, &h);
    cairo_save(cr);
    cairo_translate(cr, x, y);
    cairo_rotate(cr, angle);
    cairo_move_to(cr, align * (double)-w, -(double)h / 2);
    pango_cairo_show_layout(cr, layout);
    cairo_restore(cr);
    pango_font_description_free(font);
    g_object_unref(layout);
}

static void draw_panel(cairo_t *cr, const picture_choice *c, const picture_layout *o, int64_t layer,
                       int64_t head) {
    const pm_attention *a = c->map;
    char title[64];
    snprintf(title, sizeof title, "layer %lld, head %lld", (long long)layer, (long long)head);
    cairo_set_source_rgb(cr, 0.13, 0.13, 0.2);
    draw_text(cr, o->left, 10, 11, 0, 0, title);
    for (int64_t k = 0; k < a->n_keys; k++)
        draw_text(cr, o->left + o->cell * ((double)k + 0.5), o->top - 4, o->cell * 0.7, -1.5707963, 0,
                  a->key_labels[k]);
    for (int64_t q = 0; q < a->n_queries; q++)
        draw_text(cr, o->left - 4, o->top + o->cell * ((double)q + 0.5), o->cell * 0.7, 0, 1,
                  a->query_labels[q]);
    for (int64_t q = 0; q < a->n_queries; q++)
        for (int64_t k = 0; k < a->n_keys; k++) {
            unsigned char rgb[3];
            picture_colour(picture_weight(c, layer, head, q, k), rgb);
            cairo_set_source_rgb(cr, rgb[0] / 255.0, rgb[1] / 255.0, rgb[2] / 255.0);
            cairo_rectangle(cr, o->left + o->cell * (double)k, o->top + o->cell * (double)q, o->cell,
                            o->cell);
            cairo_fill(cr);
        }
    cairo_set_source_rgb(cr, 0.4, 0.4, 0.47);
    cairo_set_line_width(cr, 0.7);
    cairo_rectangle(cr, o->left, o->top, o->cell * (double)a->n_keys, o->cell * (double)a->n_queries);
    cairo_stroke(cr);
}

static cairo_status_t take_bytes(void *user, const unsigned char *data, unsigned bytes) {
    picture_add_bytes(user, data, bytes);
    return CAIRO_STATUS_SUCCESS;
}

int picture_png(const picture_choice *c, picture_file *out) {
    picture_layout o;
    picture_measure(c, &o);
    if (o.width > 32000 || o.height > 32000)
        return cli_error(PM_ERR_USAGE,
                         "attend: the picture would be %.0f x %.0f pixels, expected at most 32000; choose "
                         "--layer and --head",
                         o.width, o.height);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)o.width, (int)o.height);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_set_source_rgb(cr, 0.13, 0.13, 0.2);
    draw_text(cr, 12, 16, 13, 0, 0, c->title);
    for (int64_t l = 0; l < o.n_layers; l++)
        for (int64_t h = 0; h < o.n_heads; h++) {
            cairo_save(cr);
            cairo_translate(cr, o.panel_w * (double)h, 32 + o.panel_h * (double)l);
            draw_panel(cr, c, &o, o.first_layer + l, o.first_head + h);
            cairo_restore(cr);
        }
    cairo_status_t s = cairo_surface_write_to_png_stream(surface, take_bytes, out);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return s == CAIRO_STATUS_SUCCESS
               ? PM_OK
               : cli_error(PM_ERR_OTHER, "attend: cairo says: %s", cairo_status_to_string(s));
}
#endif
