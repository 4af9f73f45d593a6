/* Pictures without a layout program: a graph as a list with arcs from what is made to what reads it, the memory plan as a
 * map of addresses over steps. Owns how lists with arcs look. Only reads. */
#include "graph/dump_svg.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "graph/ops.h"

#define ROW_H    15
#define TEXT_W   PM_SVG_TEXT_W
#define ARCS_W   PM_SVG_ARCS_W
#define MAX_TEXT 160

void pm_svg_open(pm_text *t, double width, double height, const char *title) {
    pm_text_add(
        t,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
        "font-family=\"DejaVu Sans Mono, monospace\" font-size=\"10.5\">\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n<text x=\"12\" y=\"20\" font-size=\"14\">",
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

static const char *color_of(const pm_tensor *x) {
    static const char *const by_kind[] = {
        [PM_KIND_TEMP] = "#222222",  [PM_KIND_INPUT] = "#2e7d32", [PM_KIND_WEIGHT] = "#777777",
        [PM_KIND_STATE] = "#b26a00", [PM_KIND_PARAM] = "#3f51b5", [PM_KIND_CONST] = "#aaaaaa",
    };
    uint32_t flags = pm_op_get(x->op)->flags;
    return flags & PM_OPF_FUSED ? "#1557b0" : flags & PM_OPF_VIEW ? "#999999" : by_kind[x->kind];
}

static pm_status describe(const pm_tensor *x, char out[MAX_TEXT]) {
    pm_text t = {0};
    pm_text_add(&t, "%%%u %s%s%s ", x->id, pm_op_get(x->op)->name, x->name ? " " : "",
                x->name ? x->name : "");
    pm_attrs_print(&t, &x->attrs);
    pm_text_add(&t, " %s%s", pm_dtype_name(x->dtype), pm_shape(x).s);
    pm_status s = pm_text_status(&t);
    if (s == PM_OK) {
        size_t n = t.length < MAX_TEXT - 1 ? t.length : MAX_TEXT - 1;
        while (n && n < t.length && ((unsigned char)t.data[n] & 0xc0) == 0x80)
            n--; /* not within a character */
        memcpy(out, t.data, n);
        out[n] = 0;
    }
    pm_text_free(&t);
    return s;
}

pm_status pm_graph_print_svg(const pm_graph *g, char **out_text) {
    pm_text t = {0};
    char line[MAX_TEXT];
    size_t widest = strlen(g->name) * 2;
    pm_status s = PM_OK;
    *out_text = NULL;
    for (size_t i = 0; s == PM_OK && i < g->n_items; i++) {
        s = describe(g->items[i], line);
        if (s == PM_OK && strlen(line) > widest) widest = strlen(line);
    }
    pm_svg_open(&t, ARCS_W + 30 + TEXT_W * (double)widest, pm_svg_row_y(g->n_items + g->n_outputs) + 12,
                g->name);
    for (size_t i = 0; s == PM_OK && i < g->n_items; i++)
        for (int k = 0; k < g->items[i]->n_in; k++)
            if (g->items[i]->in[k]) pm_svg_arc(&t, g->items[i]->in[k]->id, i, color_of(g->items[i]->in[k]));
    for (size_t i = 0; s == PM_OK && i < g->n_items; i++) {
        s = describe(g->items[i], line);
        if (s == PM_OK) pm_svg_row(&t, i, color_of(g->items[i]), line);
    }
    for (size_t i = 0; s == PM_OK && i < g->n_outputs; i++) {
        pm_svg_arc(&t, g->outputs[i].tensor->id, g->n_items + i, "#c62828");
        pm_svg_row(&t, g->n_items + i, "#c62828", g->outputs[i].name);
    }
    if (s == PM_OK) return pm_svg_close(&t, out_text);
    pm_text_free(&t);
    return s;
}

/* ---- the memory plan: steps to the right, addresses downwards ---- */

#define MAP_H 420.0

/* A color of the interval's number: neighbours differ. */
static void add_color(pm_text *t, size_t i) {
    pm_text_add(t, "hsl(%zu,55%%,%zu%%)", i * 137 % 360, 68 + i % 3 * 6);
}

static void add_interval(pm_text *t, const pm_graph *g, const pm_graph_plan *p, size_t i,
                         const double scale[2], double top) {
    const pm_interval *v = &p->intervals[i];
    const pm_place *at = &p->result.places[i];
    double x = 60 + scale[0] * v->first, y = top + scale[1] * (double)at->offset;
    double w = scale[0] * (double)(v->last - v->first + 1), h = scale[1] * (double)v->bytes;
    const char *name = "";
    for (size_t k = 0; k < g->n_items; k++)
        if (p->interval_of[k] == (int32_t)i)
            name = g->items[k]->name ? g->items[k]->name : pm_op_get(g->items[k]->op)->name;
    pm_text_add(
        t,
        "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" stroke=\"#555\" stroke-width=\"0.3\" fill=\"",
        x, y, w, h > 0.4 ? h : 0.4);
    add_color(t, i);
    pm_text_add(t, "\"><title>");
    pm_text_add_xml(t, name);
    pm_text_add(t, ": %" PRIu64 " bytes at %" PRIu64 ", steps %u to %u</title></rect>\n", v->bytes,
                at->offset, v->first, v->last);
    if (h < 12 || w < TEXT_W * (double)strlen(name) + 6) return;
    pm_text_add(t, "<text x=\"%.1f\" y=\"%.1f\">", x + 3, y + h / 2 + 4);
    pm_text_add_xml(t, name);
    pm_text_add(t, "</text>\n");
}

pm_status pm_plan_print_svg(const pm_graph *g, const pm_graph_plan *p, char **out_text) {
    const pm_plan_result *r = &p->result;
    pm_text t = {0}, title = {0};
    uint64_t most = 1;
    double width = 1000, step = g->n_items ? (width - 100) / (double)g->n_items : 1;
    *out_text = NULL;
    for (uint32_t b = 0; b < r->n_blocks; b++)
        if (r->block_bytes[b] > most) most = r->block_bytes[b];
    pm_text_add(&title,
                "memory of %s: %" PRIu64 " bytes, lower bound %" PRIu64
                "; steps to the right, addresses down",
                g->name, r->arena_bytes, r->lower_bound_bytes);
    pm_svg_open(&t, width, 40 + (MAP_H + 30) * (double)(r->n_blocks ? r->n_blocks : 1),
                title.data ? title.data : "");
    for (uint32_t b = 0; b < r->n_blocks; b++) {
        double top = 40 + (MAP_H + 30) * b, scale[2] = {step, MAP_H / (double)most};
        pm_text_add(
            &t,
            "<rect x=\"60\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#f4f4f4\"/><text x=\"4\" y=\"%.1f\">"
            "block %u</text>\n",
            top, width - 100, scale[1] * (double)r->block_bytes[b], top + 12, b);
        for (size_t i = 0; i < p->n_intervals; i++)
            if (r->places[i].block == b) add_interval(&t, g, p, i, scale, top);
    }
    pm_text_free(&title);
    return pm_svg_close(&t, out_text);
}
