/* A graph's picture (graph_picture.h) as SVG. The names of classes and the data-* are for the script of the page (looking.js), which
 * folds frames by moving what this file has drawn. Only reads. */
#include <inttypes.h>
#include <string.h>

#include "graph/dump_svg.h"
#include "graph/ops.h"
#include "graph/graph_picture.h"

/* ---- colors ---- */

typedef struct look {
    const char *what, *fill, *stroke;
} look;

static const look looks[] = {
    {"product", "#dbe9fb", "#3a74c4"},   {"attention", "#e6dff9", "#6a4fc0"},
    {"norm, row", "#dcf2e3", "#3f9a63"}, {"elementwise", "#fdf1d3", "#c0932a"},
    {"data", "#f9e1ea", "#c0567f"},      {"view", "#ffffff", "#a9b0bb"},
    {"input", "#d9f0ee", "#2f8f88"},     {"state", "#f6e3cf", "#b26a00"},
    {"output", "#fbdcdc", "#c0392b"},
};
enum { PRODUCT, ATTENTION, ROWS, ELEMENTWISE, DATA, VIEW, INPUT, STATE, OUTPUT };

static const look *look_of(const pm_box *b) {
    const pm_op_info *info = pm_op_get(b->tensor->op);
    if (b->output) return &looks[OUTPUT];
    if (info->flags & PM_OPF_LEAF) return &looks[b->tensor->kind == PM_KIND_STATE ? STATE : INPUT];
    if (info->flags & PM_OPF_VIEW) return &looks[VIEW];
    if (info->flags & PM_OPF_ELEMENTWISE) return &looks[ELEMENTWISE];
    if (info->cost == pm_cost_attention) return &looks[ATTENTION];
    if (info->cost == pm_cost_matmul || info->cost == pm_cost_grouped_matmul) return &looks[PRODUCT];
    return &looks[info->cost == pm_cost_reads ? ROWS : DATA];
}

static void add_legend(pm_text *t) {
    double x = 30;
    for (size_t i = 0; i < PM_COUNT(looks); i++) {
        pm_text_add(
            t,
            "<rect x=\"%.1f\" y=\"35\" width=\"12\" height=\"12\" rx=\"3\" fill=\"%s\" stroke=\"%s\"/>"
            "<text x=\"%.1f\" y=\"45\" fill=\"#555\">%s</text>\n",
            x, looks[i].fill, looks[i].stroke, x + 17, looks[i].what);
        x += 32 + 6.6 * (double)strlen(looks[i].what);
    }
    pm_text_add(
        t,
        "<rect x=\"%.1f\" y=\"34\" width=\"14\" height=\"14\" rx=\"4\" fill=\"none\" stroke=\"#1f4fa3\" "
        "stroke-width=\"1.8\"/><text x=\"%.1f\" y=\"45\" fill=\"#555\">fused</text>\n",
        x, x + 19);
}

/* ---- frames ---- */

typedef struct frame {
    const char *class, *label, *fill;
    size_t index;
    uint32_t n_ops, n_fused;
    uint64_t ns;
    double x, y, w, h;
} frame;

static void add_frame(pm_text *t, const frame *f, uint64_t total_ns) {
    pm_text_add(
        t,
        "<g class=\"%s\" data-i=\"%zu\" data-y=\"%.1f\" data-h=\"%.1f\"><rect x=\"%.1f\" y=\"%.1f\" "
        "width=\"%.1f\" height=\"%.1f\" rx=\"8\" fill=\"%s\" stroke=\"#ccd3dd\"/><text x=\"%.1f\" y=\"%.1f\" "
        "font-size=\"12\" fill=\"#333\"><tspan font-weight=\"bold\">",
        f->class, f->index, f->y, f->h, f->x, f->y, f->w, f->h, f->fill, f->x + 24, f->y + 16);
    pm_text_add_xml(t, f->label);
    pm_text_add(t, "</tspan><tspan dx=\"10\" fill=\"#778\" font-size=\"11\">%u box%s", f->n_ops,
                f->n_ops == 1 ? "" : "es");
    if (f->n_fused) pm_text_add(t, ", %u fused", f->n_fused);
    if (f->ns) {
        pm_text_add(t, ", ");
        pm_text_add_time(t, f->ns);
        pm_text_add(t, " (%.1f %%)", 100.0 * (double)f->ns / (double)total_ns);
    }
    pm_text_add(t, "</tspan></text></g>\n");
}

static void add_frames(pm_text *t, const pm_picture *p) {
    for (size_t i = 0; i < p->n_layers; i++) {
        const pm_layer *l = &p->layers[i];
        const frame f = {.class = "layer",
                         .label = l->label,
                         .fill = "#eef1f6",
                         .index = i,
                         .n_ops = l->n_ops,
                         .ns = l->ns,
                         .x = 10,
                         .y = l->y,
                         .w = p->width - 20,
                         .h = l->h};
        if (l->label) add_frame(t, &f, p->total_ns);
    }
    for (size_t i = 0; i < p->n_blocks; i++) {
        const pm_block *b = &p->blocks[i];
        const frame f = {.class = "block",
                         .label = b->label,
                         .fill = "#fbfcfe",
                         .index = i,
                         .n_ops = b->n_ops,
                         .n_fused = b->n_fused,
                         .ns = b->ns,
                         .x = 20,
                         .y = b->y,
                         .w = p->width - 40,
                         .h = b->h};
        add_frame(t, &f, p->total_ns);
    }
}

/* ---- lines ---- */

typedef struct path {
    double x[8], y[8];
    int n;
} path;

static void add_point(path *to, double x, double y) {
    to->x[to->n] = x;
    to->y[to->n++] = y;
}

/* Through bends: the gaps between rows are curves, the rest is straight; points 2k+1 and 2k+2 are the ends of a curve. */
static path straight_path(const pm_picture *p, const pm_line *l) {
    const pm_box *from = &p->boxes[l->from], *to = &p->boxes[l->to];
    path out = {.n = 0};
    add_point(&out, from->x, from->y + from->h);
    add_point(&out, from->x, p->row_ends[from->row] + 15); /* past the shape's text */
    for (uint32_t k = 0; k < l->n_bends; k++) {
        const pm_box *b = &p->boxes[l->bends[k]];
        add_point(&out, b->x, b->y);
        add_point(&out, b->x, b->y + b->h);
    }
    add_point(&out, to->x, to->y);
    return out;
}

static path lane_path(const pm_picture *p, const pm_line *l) {
    const pm_box *from = &p->boxes[l->from], *to = &p->boxes[l->to];
    double x = pm_picture_lane_x(p, l->lane), aside = 3.0 * (l->lane % 3);
    double down = p->row_ends[from->row] + 16 + aside, up = to->y - 7 - aside;
    path out = {.n = 0};
    add_point(&out, from->x, from->y + from->h);
    add_point(&out, from->x, down);
    add_point(&out, x, down);
    add_point(&out, x, up);
    add_point(&out, to->x + 8, up);
    add_point(&out, to->x + 8, to->y);
    return out;
}

static void add_line(pm_text *t, const pm_picture *p, const pm_line *l) {
    path way = l->lane < 0 ? straight_path(p, l) : lane_path(p, l);
    pm_text_add(t, "<path class=\"%s\" data-from=\"%u\" data-to=\"%u\" data-p=\"",
                l->lane < 0 ? "line" : "line lane", l->from, l->to);
    for (int i = 0; i < way.n; i++) pm_text_add(t, "%s%.1f,%.1f", i ? " " : "", way.x[i], way.y[i]);
    pm_text_add(t, "\" d=\"M%.1f %.1f", way.x[0], way.y[0]);
    for (int i = 1; i < way.n; i++) {
        double middle = (way.y[i - 1] + way.y[i]) / 2;
        if (l->lane < 0 && i % 2 == 0)
            pm_text_add(t, "C%.1f %.1f %.1f %.1f %.1f %.1f", way.x[i - 1], middle, way.x[i], middle, way.x[i],
                        way.y[i]);
        else
            pm_text_add(t, "L%.1f %.1f", way.x[i], way.y[i]);
    }
    pm_text_add(t, "\" marker-end=\"url(#tip)\"/>\n");
}

/* ---- boxes ---- */

static void add_texts(pm_text *t, const pm_box *b) {
    for (int i = 0; i < b->n_lines; i++) {
        double y = i ? PM_BOX_HEAD + PM_BOX_LINE * i - 3 : 14;
        pm_text_add(t, "<text y=\"%.1f\" %s>", y,
                    i ? "font-size=\"10.5\" fill=\"#444\"" : "font-weight=\"bold\" fill=\"#111\"");
        pm_text_add_xml(t, b->lines[i]);
        pm_text_add(t, "</text>");
    }
}

static void add_box(pm_text *t, const pm_picture *p, size_t i, uint64_t most_ns) {
    const pm_box *b = &p->boxes[i];
    const look *l = look_of(b);
    bool round = l == &looks[INPUT] || l == &looks[OUTPUT] || l == &looks[STATE],
         fused = !b->output && pm_is_fused(b->tensor);
    uint64_t ns = p->node_ns && !b->output ? p->node_ns[b->tensor->id] : 0;
    pm_text_add(
        t,
        "<g class=\"box%s\" data-i=\"%zu\" data-id=\"%u\" data-block=\"%u\" data-y=\"%.1f\" transform=\"translate(%.1f %.1f)\">",
        b->output ? " out" : "", i, b->tensor->id, b->block, b->y, b->x, b->y);
    if (fused)
        pm_text_add(
            t,
            "<rect class=\"fused\" x=\"%.1f\" y=\"-3\" width=\"%.1f\" height=\"%.1f\" rx=\"8\" fill=\"none\" stroke=\"#1f4fa3\" stroke-width=\"1.8\"/>",
            -b->w / 2 - 3, b->w + 6, b->h + 6);
    pm_text_add(
        t,
        "<rect class=\"body\" x=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"%d\" fill=\"%s\" stroke=\"%s\"%s/>",
        -b->w / 2, b->w, b->h, round ? 11 : 5, l->fill, l->stroke,
        l == &looks[VIEW] ? " stroke-dasharray=\"4 3\"" : "");
    if (ns && most_ns)
        pm_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"4\" fill=\"#d9452b\"/>",
                    -b->w / 2, b->h - 4, b->w * (double)ns / (double)most_ns);
    add_texts(t, b);
    if (b->n_readers) {
        pm_text_add(
            t,
            "<text class=\"shape\" x=\"6\" y=\"%.1f\" text-anchor=\"start\" font-size=\"10\" fill=\"#5a6472\">",
            b->h + 13);
        pm_text_add_xml(t, b->shape);
        pm_text_add(t, "</text>");
    }
    pm_text_add(t, "</g>\n");
}

static void add_picture(pm_text *t, const pm_graph *g, const pm_picture *p) {
    pm_text title = {0};
    uint64_t most_ns = 0;
    size_t n = 0;
    for (size_t i = 0; i < p->n_boxes; i++) n += p->boxes[i].tensor != NULL;
    for (size_t i = 0; p->node_ns && i < g->n_items; i++)
        if (p->node_ns[i] > most_ns) most_ns = p->node_ns[i];
    pm_text_add(&title, "%s: %zu tensors, %zu boxes", g->name, g->n_items, n);
    if (p->total_ns) {
        pm_text_add(&title, ", ");
        pm_text_add_time(&title, p->total_ns);
    }
    pm_svg_open(t, p->width, p->height, title.data ? title.data : "");
    if (title.failed) t->failed = true;
    pm_text_free(&title);
    add_legend(t);
    pm_text_add(
        t,
        "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\">"
        "<path d=\"M0 0L8 4L0 8z\" fill=\"#7a8593\"/></marker></defs>\n<g id=\"frames\">\n");
    add_frames(t, p);
    pm_text_add(
        t,
        "</g>\n<g id=\"lines\" fill=\"none\" stroke=\"#8b96a5\" stroke-width=\"1.1\" stroke-linejoin=\"round\">\n");
    for (size_t i = 0; i < p->n_lines; i++) add_line(t, p, &p->lines[i]);
    pm_text_add(t, "</g>\n<g id=\"boxes\" text-anchor=\"middle\" font-size=\"12\">\n");
    for (size_t i = 0; i < p->n_boxes; i++)
        if (p->boxes[i].tensor) add_box(t, p, i, most_ns);
    pm_text_add(t, "</g>\n");
}

pm_status pm_graph_print_svg(const pm_graph *g, const uint64_t *node_ns, char **out_text) {
    pm_picture p;
    pm_text t = {0};
    *out_text = NULL;
    PM_TRY(pm_picture_make(g, node_ns, &p));
    add_picture(&t, g, &p);
    pm_picture_free(&p);
    return pm_svg_close(&t, out_text);
}
