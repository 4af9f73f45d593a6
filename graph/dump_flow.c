/* A program as a picture of its dispatches and what flows between them: SVG, and Graphviz. Only reads. */
#include <inttypes.h>
#include <stdio.h>

#include "graph/dump_svg.h"
#include "graph/graph_picture.h"

static bool overlaps(const pm_range *a, const pm_range *b) {
    return a->slot == b->slot && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static bool writes(const pm_dispatch *d, const pm_range *r) {
    for (uint32_t i = 0; i < d->n_bindings; i++)
        if ((d->written >> i & 1) && overlaps(&d->bindings[i], r)) return true;
    return false;
}

/* The last dispatch before `to` that wrote what its binding k reads; `to` itself when none did. */
static uint32_t writer_of(const pm_program *p, uint32_t to, uint32_t k) {
    const pm_dispatch *d = &p->dispatches[to];
    if ((d->written | d->unused) >> k & 1) return to;
    for (uint32_t from = to; from-- > 0;)
        if (writes(&p->dispatches[from], &d->bindings[k])) return from;
    return to;
}

/* What bars show: a dispatch's time, or without a profile its work. */
static uint64_t length_of(const pm_program *p, const uint64_t *ns, uint32_t i) {
    return ns ? ns[i] : p->dispatches[i].cost;
}

#define BARS_W  200.0 /* px for the longest bar */
#define CHARS   84    /* of a row's text */
#define BARS_X  (PM_SVG_ARCS_W + 20 + PM_SVG_TEXT_W * CHARS)
#define NUMBERS 120.0

/* One dispatch: barrier and submission, variant, label, and a bar. */
static void add_dispatch(pm_text *t, const pm_program *p, const uint64_t *ns, uint32_t i, uint64_t most) {
    char text[CHARS + 16];
    const pm_dispatch *d = &p->dispatches[i];
    double y = pm_svg_row_y(i), w = BARS_W * (double)length_of(p, ns, i) / (double)most;
    snprintf(text, sizeof text, "%4u %c%c %-26.26s %.48s", i, d->submit ? 'S' : ' ', d->barrier ? 'B' : ' ',
             pm_variant_get(d->variant)->name, d->label);
    pm_text_add(t, "<g class=\"dispatch\" data-id=\"%u\">", d->node);
    pm_svg_row(t, i, d->submit ? "#c62828" : d->barrier ? "#222222" : "#1557b0", text);
    pm_text_add(t, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"10\" rx=\"2\" fill=\"%s\"/>", BARS_X,
                y, w, ns ? "#e0765f" : "#8fb3dd");
    pm_text_add(t, "<text x=\"%.1f\" y=\"%.1f\" fill=\"#555\">", BARS_X + w + 6, y + 9);
    if (ns)
        pm_text_add_time(t, ns[i]);
    else
        pm_text_add(t, "%" PRIu64, d->cost);
    pm_text_add(t, "</text></g>\n");
}

pm_status pm_program_print_svg(const pm_program *p, const uint64_t *ns, char **out_text) {
    pm_text t = {0};
    char title[256];
    uint64_t most = 1;
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        if (length_of(p, ns, i) > most) most = length_of(p, ns, i);
    snprintf(
        title, sizeof title,
        "%.80s: %u dispatches, %u barriers (B), %u submissions (S); blue: may run beside the one before; bars: %s",
        p->name, p->n_dispatches, p->n_barriers, p->n_submits, ns ? "time" : "work");
    pm_svg_open(&t, BARS_X + BARS_W + NUMBERS, pm_svg_row_y(p->n_dispatches) + 12, title);
    pm_text_add(&t, "<g class=\"list\">\n");
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        for (uint32_t k = 0; k < p->dispatches[i].n_bindings; k++) {
            uint32_t from = writer_of(p, i, k);
            if (from != i) pm_svg_arc(&t, from, i, "#7a8593");
        }
    for (uint32_t i = 0; i < p->n_dispatches; i++) add_dispatch(&t, p, ns, i, most);
    pm_text_add(&t, "</g>\n");
    return pm_svg_close(&t, out_text);
}

pm_status pm_program_node_ns(const pm_program *p, const uint64_t *ns, size_t n, uint64_t **out_node_ns) {
    uint64_t *sums = pm_calloc(n, sizeof *sums);
    if (!sums) return PM_ERR_MEMORY;
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        if (p->dispatches[i].node < n) sums[p->dispatches[i].node] += ns[i];
    *out_node_ns = sums;
    return PM_OK;
}

pm_status pm_program_print_dot(const pm_program *p, const uint64_t *ns, char **out_text) {
    pm_text t = {0};
    pm_text_add(&t, "digraph ");
    pm_text_add_json(&t, p->name);
    pm_text_add(&t, " {\n  node [shape=box, fontname=\"Helvetica\", fontsize=10];\n");
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_dispatch *d = &p->dispatches[i];
        char caption[256], time[48] = "";
        if (ns) snprintf(time, sizeof time, "\n%.1f us", (double)ns[i] / 1e3);
        snprintf(caption, sizeof caption, "%u %.60s\n%.120s%s", i, pm_variant_get(d->variant)->name, d->label,
                 time);
        pm_text_add(&t, "  d%u [label=", i);
        pm_text_add_json(&t, caption);
        pm_text_add(&t, "%s];\n",
                    d->submit    ? ", color=\"#c62828\""
                    : d->barrier ? ""
                                 : ", color=\"#1557b0\"");
        for (uint32_t k = 0; k < d->n_bindings; k++) {
            uint32_t from = writer_of(p, i, k);
            if (from != i)
                pm_text_add(&t, "  d%u -> d%u [label=\"%" PRIu64 "\"];\n", from, i, d->bindings[k].bytes);
        }
    }
    pm_text_add(&t, "}\n");
    if (pm_text_status(&t) != PM_OK) {
        pm_text_free(&t);
        return PM_ERR_MEMORY;
    }
    *out_text = t.data;
    return PM_OK;
}
