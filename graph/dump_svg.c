/* Parts of SVG pictures: head and end, and how lists with arcs look. */
#include "graph/dump_svg.h"

#include <math.h>

#define ROW_H  15
#define ARCS_W PM_SVG_ARCS_W

void pm_svg_open(pm_text *t, double width, double height, const char *title) {
    pm_text_add(
        t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
        "font-family=\"Helvetica, Arial, DejaVu Sans, sans-serif\" font-size=\"11\">\n"
        "<style>.list text{font-family:DejaVu Sans Mono,monospace;font-size:10.5px;white-space:pre}"
        ".shape{paint-order:stroke;stroke:#fbfcfe;stroke-width:3px}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
        "<text x=\"12\" y=\"22\" font-size=\"15\" font-weight=\"bold\" fill=\"#222\">",
        width, height, width, height);
    pm_text_add_xml(t, title);
    pm_text_add(t, "</text>\n");
}

pm_status pm_svg_close(pm_text *t, char **out_text) {
    pm_text_add(t, "</svg>\n");
    *out_text = pm_text_status(t) == PM_OK ? t->data : NULL;
    if (!*out_text) pm_text_free(t);
    return *out_text ? PM_OK : PM_ERR_MEMORY;
}

/* ---- a list with arcs ---- */

double pm_svg_row_y(size_t row) {
    return 40 + ROW_H * (double)row;
}

/* An arc at the left of the list; the longer the farther out. */
void pm_svg_arc(pm_text *t, size_t from, size_t to, const char *color) {
    double a = pm_svg_row_y(from) + 6, b = pm_svg_row_y(to) + 4, reach = 10 + 9 * sqrt((double)(to - from));
    if (reach > ARCS_W - 12) reach = ARCS_W - 12;
    pm_text_add(
        t,
        "<path d=\"M%d %.1fC%.1f %.1f %.1f %.1f %d %.1f\" fill=\"none\" stroke=\"%s\" stroke-width=\"0.8\" "
        "opacity=\"0.6\"/>\n",
        ARCS_W, a, ARCS_W - reach, a, ARCS_W - reach, b, ARCS_W, b, color);
}

void pm_svg_row(pm_text *t, size_t row, const char *color, const char *text) {
    pm_text_add(t,
                "<circle cx=\"%d\" cy=\"%.1f\" r=\"2.4\" fill=\"%s\"/><text x=\"%d\" y=\"%.1f\" fill=\"%s\">",
                ARCS_W, pm_svg_row_y(row) + 5, color, ARCS_W + 8, pm_svg_row_y(row) + 9, color);
    pm_text_add_xml(t, text);
    pm_text_add(t, "</text>\n");
}
