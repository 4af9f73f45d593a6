/* Parts of SVG pictures that are lists with arcs at their left. */
#ifndef PM_DUMP_SVG_H
#define PM_DUMP_SVG_H

#include "graph/compile.h"

#define PM_SVG_TEXT_W 6.3 /* px of a character */
#define PM_SVG_ARCS_W 220 /* px at the left */

void pm_svg_open(pm_text *t, double width, double height, const char *title);
pm_status pm_svg_close(pm_text *t,
                       char **out_text) PM_MUST_USE; /* *out_text takes over the text, or it is freed */
double pm_svg_row_y(size_t row);
void pm_svg_row(pm_text *t, size_t row, const char *color, const char *text);
void pm_svg_arc(pm_text *t, size_t from, size_t to, const char *color); /* from < to: rows */

#endif
