/* The memory plan as a picture: steps to the right, offsets upwards, one rectangle an interval, the layers' steps below, and
 * what is live at each step above, with the arena's size and the lower bound. Only reads. */
#include <inttypes.h>
#include <string.h>

#include "graph/dump_svg.h"
#include "graph/ops.h"
#include "graph/graph_picture.h"

#define MAP_W   1080.0
#define MAP_H   420.0
#define LIVE_H  130.0
#define LEFT    92.0
#define RIGHT   28.0
#define TOP     52.0
#define BETWEEN 34.0
#define BAND_H  20.0

typedef struct map {
    pm_text *t;
    const pm_graph *g;
    const pm_graph_plan *p;
    size_t n_steps;
    double per_step, per_byte;
    uint64_t *live;        /* aligned bytes at each step */
    uint32_t *head, *next; /* the tensors of an interval: id + 1 */
} map;

static double x_of(const map *m, size_t step) {
    return LEFT + m->per_step * (double)step;
}

static void add_bytes(pm_text *t, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t k = 0;
    while (v >= 1024 && k + 1 < PM_COUNT(units)) v /= 1024, k++;
    pm_text_add(t, "%.*f %s", k && v < 100 ? 1 : 0, v, units[k]);
}

/* ---- what is live ---- */

static pm_status find_live(map *m) {
    m->live = pm_calloc(m->n_steps + 1, sizeof *m->live);
    m->head = pm_calloc(m->p->n_intervals, sizeof *m->head);
    m->next = pm_calloc(m->g->n_items, sizeof *m->next);
    if (!m->live || !m->head || !m->next) return PM_ERR_MEMORY;
    for (size_t i = 0; i < m->p->n_intervals; i++) {
        const pm_interval *v = &m->p->intervals[i];
        uint64_t bytes = pm_align_up(v->bytes, m->p->alignment);
        m->live[v->first] += bytes; /* differences, then their sums */
        if (v->last + 1u < m->n_steps) m->live[v->last + 1] -= bytes;
    }
    for (size_t i = 1; i < m->n_steps; i++) m->live[i] += m->live[i - 1];
    for (size_t i = m->g->n_items; i-- > 0;) {
        int32_t at = m->p->interval_of[i];
        if (at < 0) continue;
        m->next[i] = m->head[at];
        m->head[at] = (uint32_t)i + 1;
    }
    return PM_OK;
}

static void add_mark(const map *m, double y, const char *color, const char *what, uint64_t bytes, double dy) {
    pm_text_add(m->t,
                "<path d=\"M%.1f %.1fH%.1f\" stroke=\"%s\" stroke-dasharray=\"6 4\" stroke-width=\"1.2\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"%s\">%s ",
                LEFT, y, x_of(m, m->n_steps), color, x_of(m, m->n_steps) - 4, y + dy, color, what);
    add_bytes(m->t, bytes);
    pm_text_add(m->t, "</text>\n");
}

/* Live bytes at each step, as steps; the first step of the most is marked. */
static void add_live(const map *m) {
    const pm_plan_result *r = &m->p->result;
    double bottom = TOP + LIVE_H, scale = r->arena_bytes ? (LIVE_H - 14) / (double)r->arena_bytes : 0;
    size_t peak = 0;
    pm_text_add(m->t, "<text x=\"12\" y=\"%.1f\" fill=\"#555\">live bytes</text><path d=\"M%.1f %.1f",
                TOP + LIVE_H / 2, LEFT, bottom);
    for (size_t i = 0; i < m->n_steps; i++) {
        pm_text_add(m->t, "V%.1fH%.1f", bottom - scale * (double)m->live[i], x_of(m, i + 1));
        if (m->live[i] > m->live[peak]) peak = i;
    }
    pm_text_add(m->t, "V%.1fZ\" fill=\"#d6e4f7\" stroke=\"#3a74c4\" stroke-width=\"0.8\"/>\n", bottom);
    bool same = r->arena_bytes == r->lower_bound_bytes;
    add_mark(m, bottom - scale * (double)r->arena_bytes, "#c0392b", same ? "arena and bound" : "arena",
             r->arena_bytes, -5);
    if (!same)
        add_mark(m, bottom - scale * (double)r->lower_bound_bytes, "#1f4fa3", "bound", r->lower_bound_bytes,
                 13);
    pm_text_add(m->t,
                "<path class=\"peak\" d=\"M%.1f %.1fV%.1f\" stroke=\"#c0392b\" stroke-dasharray=\"2 3\"/>"
                "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"#c0392b\">peak: step %zu</text>\n",
                x_of(m, peak) + m->per_step / 2, TOP, bottom,
                x_of(m, peak) + (peak * 2 > m->n_steps ? -4 : m->per_step + 4), TOP - 4,
                peak * 2 > m->n_steps ? "end" : "start", peak);
}

/* ---- layers below the steps ---- */

static size_t band_of(const char *label) {
    size_t n = label ? pm_label_layer(label) : 0;
    return n ? n : label ? strlen(label) : 0;
}

static const char *label_of(const pm_tensor *x) {
    return pm_op_get(x->op)->flags & PM_OPF_LEAF ? NULL : x->name;
}

static void add_band(const map *m, const char *label, size_t n, size_t first, size_t last, int which) {
    double y = TOP + LIVE_H + 2, w = x_of(m, last) - x_of(m, first);
    pm_text_add(m->t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>",
                x_of(m, first), y, w, BAND_H - 2, which % 2 ? "#e4e8ee" : "#f2f4f7");
    if (w < 6.4 * (double)n + 4) return;
    char text[64];
    if (n >= sizeof text) return;
    memcpy(text, label, n);
    text[n] = 0;
    pm_text_add(m->t, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#444\">",
                x_of(m, first) + w / 2, y + 13);
    pm_text_add_xml(m->t, text);
    pm_text_add(m->t, "</text>\n");
}

static void add_bands(const map *m) {
    const char *label = NULL;
    size_t n = 0, first = 0;
    int which = 0;
    for (size_t i = 0; i <= m->n_steps; i++) {
        const char *next = i < m->g->n_items ? label_of(m->g->items[i]) : "";
        if (!next) continue;
        size_t k = band_of(next);
        if (label && i < m->g->n_items && k == n && !strncmp(next, label, n)) continue;
        if (label) add_band(m, label, n, first, i, which++);
        label = next, n = k, first = i;
    }
}

/* ---- intervals ---- */

static const char *name_of(const pm_tensor *x) {
    bool leaf = pm_op_get(x->op)->flags & PM_OPF_LEAF;
    return leaf && x->name ? x->name : pm_op_get(x->op)->name;
}

/* One color a layer; blocks without one are grey-blue. */
static void add_color(const map *m, const pm_tensor *x) {
    const char *label = label_of(x);
    size_t n = label ? pm_label_layer(label) : 0, i = n;
    unsigned hue = 0;
    while (i && label[i - 1] >= '0' && label[i - 1] <= '9') i--;
    for (; i < n; i++) hue = hue * 10 + (unsigned)(label[i] - '0');
    if (n)
        pm_text_add(m->t, "hsl(%u,58%%,%u%%)", (hue * 67 + 205) % 360, 76 + x->id % 3 * 5);
    else
        pm_text_add(m->t, "hsl(215,16%%,%u%%)", 78 + x->id % 3 * 5);
}

static void add_title(const map *m, size_t i) {
    const pm_interval *v = &m->p->intervals[i];
    pm_text_add(m->t, "<title>");
    for (uint32_t k = m->head[i]; k; k = m->next[k - 1]) {
        const pm_tensor *x = m->g->items[k - 1];
        pm_text_add(m->t, "%%%u ", x->id);
        pm_text_add_xml(m->t, pm_op_get(x->op)->name);
        pm_text_add(m->t, " ");
        pm_text_add_xml(m->t, x->name ? x->name : "");
        pm_text_add(m->t, " %s%s\n", pm_dtype_name(x->dtype), pm_shape(x).s);
    }
    pm_text_add(m->t, "%" PRIu64 " bytes at %" PRIu64 ", steps %u to %u</title>", v->bytes,
                m->p->result.places[i].offset, v->first, v->last);
}

static void add_interval(const map *m, size_t i, double bottom) {
    const pm_interval *v = &m->p->intervals[i];
    const pm_tensor *x = m->head[i] ? m->g->items[m->head[i] - 1] : NULL;
    double w = m->per_step * (double)(v->last - v->first + 1), h = m->per_byte * (double)v->bytes;
    double at = bottom - m->per_byte * (double)m->p->result.places[i].offset - h;
    if (!x) return;
    const char *name = name_of(x);
    pm_text_add(
        m->t,
        "<g class=\"interval\" data-id=\"%u\"><rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" stroke=\"#5b6470\" stroke-width=\"0.5\" fill=\"",
        x->id, x_of(m, v->first), at, w, h > 0.6 ? h : 0.6);
    add_color(m, x);
    pm_text_add(m->t, "\">");
    add_title(m, i);
    pm_text_add(m->t, "</rect>");
    if (h >= 13 && w >= 6.2 * (double)strlen(name) + 8) {
        pm_text_add(
            m->t,
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\" fill=\"#1c2430\" pointer-events=\"none\">",
            x_of(m, v->first) + w / 2, at + h / 2 + 4);
        pm_text_add_xml(m->t, name);
        pm_text_add(m->t, "</text>");
    }
    pm_text_add(m->t, "</g>\n");
}

static void add_axis(const map *m, double bottom, uint64_t bytes) {
    for (int k = 0; k <= 4; k++) {
        uint64_t at = bytes / 4 * (uint64_t)k;
        double y = bottom - m->per_byte * (double)at;
        pm_text_add(
            m->t,
            "<path d=\"M%.1f %.1fH%.1f\" stroke=\"#dde2e8\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" fill=\"#555\">",
            LEFT - 4, y, x_of(m, m->n_steps), LEFT - 8, y + 4);
        add_bytes(m->t, at);
        pm_text_add(m->t, "</text>\n");
    }
}

static void add_block(const map *m, uint32_t b, double bottom) {
    const pm_plan_result *r = &m->p->result;
    double h = m->per_byte * (double)r->block_bytes[b];
    pm_text_add(
        m->t,
        "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#f7f8fa\" stroke=\"#c0392b\" stroke-dasharray=\"6 4\"/>\n",
        LEFT, bottom - h, x_of(m, m->n_steps) - LEFT, h);
    add_axis(m, bottom, r->block_bytes[b]);
    for (size_t i = 0; i < m->p->n_intervals; i++)
        if (r->places[i].block == b) add_interval(m, i, bottom);
    pm_text_add(m->t, "<text x=\"%.1f\" y=\"%.1f\" fill=\"#555\">block %u</text>\n", LEFT, bottom - h - 5, b);
}

static void add_steps(const map *m, double y) {
    size_t every = m->n_steps / 10 + 1;
    for (size_t i = 0; i < m->n_steps; i += every)
        pm_text_add(m->t, "<text x=\"%.1f\" y=\"%.1f\" fill=\"#555\" text-anchor=\"middle\">%zu</text>",
                    x_of(m, i) + m->per_step / 2, y, i);
    pm_text_add(m->t, "<text x=\"%.1f\" y=\"%.1f\" fill=\"#555\" text-anchor=\"end\">step</text>\n", LEFT - 8,
                y);
}

static void add_map(map *m) {
    const pm_plan_result *r = &m->p->result;
    pm_text title = {0};
    uint64_t most = 1;
    for (uint32_t b = 0; b < r->n_blocks; b++)
        if (r->block_bytes[b] > most) most = r->block_bytes[b];
    m->per_step = MAP_W / (double)(m->n_steps ? m->n_steps : 1);
    m->per_byte = MAP_H / (double)most;
    double ratio = r->lower_bound_bytes ? (double)r->arena_bytes / (double)r->lower_bound_bytes : 1;
    pm_text_add(&title, "memory of %s: arena %" PRIu64 " bytes, lower bound %" PRIu64 ", ratio %.4f",
                m->g->name, r->arena_bytes, r->lower_bound_bytes, ratio);
    double y = TOP + LIVE_H + BAND_H + BETWEEN;
    pm_svg_open(m->t, LEFT + MAP_W + RIGHT, y + (MAP_H + BETWEEN) * (r->n_blocks ? r->n_blocks : 1),
                title.data ? title.data : "");
    if (title.failed) m->t->failed = true;
    pm_text_free(&title);
    add_live(m);
    add_bands(m);
    for (uint32_t b = 0; b < r->n_blocks; b++) {
        double bottom = y + MAP_H + (MAP_H + BETWEEN) * b;
        add_block(m, b, bottom);
        add_steps(m, bottom + 15);
    }
}

pm_status pm_plan_print_svg(const pm_graph *g, const pm_graph_plan *p, char **out_text) {
    pm_text t = {0};
    map m = {.t = &t, .g = g, .p = p, .n_steps = g->n_items};
    *out_text = NULL;
    pm_status s = find_live(&m);
    if (s == PM_OK) add_map(&m);
    pm_free(m.live);
    pm_free(m.head);
    pm_free(m.next);
    if (s == PM_OK) return pm_svg_close(&t, out_text);
    pm_text_free(&t);
    return s;
}
