/* A program as a picture of its dispatches and what flows between them: SVG, and Graphviz. Only reads. */
#include <inttypes.h>
#include <stdio.h>

#include "graph/dump_svg.h"

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

static uint64_t dearest(const pm_program *p) {
    uint64_t most = 1;
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        if (p->dispatches[i].cost > most) most = p->dispatches[i].cost;
    return most;
}

#define BARS_W 160.0 /* px for the cost of a dispatch */
#define CHARS  90    /* of a row's text */

/* One dispatch: barrier and submission, variant, label, and a bar as long as its work. */
static void add_dispatch(pm_text *t, uint32_t i, const pm_dispatch *d, uint64_t most) {
    char text[CHARS + 1];
    double y = pm_svg_row_y(i);
    snprintf(text, sizeof text, "%4u %c%c %-26.26s %.48s", i, d->submit ? 'S' : ' ', d->barrier ? 'B' : ' ',
             pm_variant_get(d->variant)->name, d->label);
    pm_svg_row(t, i, d->submit ? "#c62828" : d->barrier ? "#222222" : "#1557b0", text);
    pm_text_add(t,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"9\" fill=\"#8fb3dd\"><title>%" PRIu64
                "</title></rect>\n",
                PM_SVG_ARCS_W + 16 + PM_SVG_TEXT_W * CHARS, y, BARS_W * (double)d->cost / (double)most,
                d->cost);
}

pm_status pm_program_print_svg(const pm_program *p, char **out_text) {
    pm_text t = {0};
    char title[256];
    uint64_t most = dearest(p);
    snprintf(title, sizeof title, "%.80s: %u dispatches, %u barriers (B), %u submissions (S); bars: work",
             p->name, p->n_dispatches, p->n_barriers, p->n_submits);
    pm_svg_open(&t, PM_SVG_ARCS_W + 40 + PM_SVG_TEXT_W * CHARS + BARS_W, pm_svg_row_y(p->n_dispatches) + 12,
                title);
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        for (uint32_t k = 0; k < p->dispatches[i].n_bindings; k++) {
            uint32_t from = writer_of(p, i, k);
            if (from != i) pm_svg_arc(&t, from, i, "#555555");
        }
    for (uint32_t i = 0; i < p->n_dispatches; i++) add_dispatch(&t, i, &p->dispatches[i], most);
    return pm_svg_close(&t, out_text);
}

pm_status pm_program_print_dot(const pm_program *p, char **out_text) {
    pm_text t = {0};
    pm_text_add(&t, "digraph ");
    pm_text_add_json(&t, p->name);
    pm_text_add(&t, " {\n  node [shape=box, fontname=\"Helvetica\", fontsize=10];\n");
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_dispatch *d = &p->dispatches[i];
        char caption[256];
        snprintf(caption, sizeof caption, "%u %.60s\n%.120s", i, pm_variant_get(d->variant)->name, d->label);
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
