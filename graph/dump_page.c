/* One page of HTML: pictures, JSON forms as data, and the script and style of graph/looking.js and looking.css, which CMake
 * embeds. Nothing comes from outside. Only reads. */
#include <inttypes.h>
#include <string.h>

#include "graph/compile.h"

extern const unsigned char pm_looking_js[], pm_looking_css[];
extern const unsigned long pm_looking_js_bytes, pm_looking_css_bytes;

static void add_view(pm_text *t, const char *name, const char *title, const char *svg) {
    pm_text_add(t, "<section id=\"%s\" data-title=\"%s\">\n%s", name, title, "");
    pm_text_add_bytes(t, svg, strlen(svg));
    pm_text_add(t, "</section>\n");
}

/* JSON that no parser of HTML takes for markup. */
static void add_data(pm_text *t, const char *name, const char *json) {
    pm_text_add(t, "<script type=\"application/json\" id=\"%s-data\">", name);
    for (const char *at = json; *at;) {
        size_t n = strcspn(at, "<");
        pm_text_add_bytes(t, at, n);
        at += n;
        if (*at) pm_text_add(t, "\\u003c"), at++;
    }
    pm_text_add(t, "</script>\n");
}

/* A picture and its data; takes over both texts. */
static pm_status add_both(pm_text *t, const char *name, const char *title, char *svg, char *json,
                          pm_status s) {
    if (s == PM_OK) {
        add_view(t, name, title, svg);
        add_data(t, name, json);
    }
    pm_text_release(svg);
    pm_text_release(json);
    return s;
}

static pm_status add_graph(pm_text *t, const pm_page *p) {
    char *svg = NULL, *json = NULL;
    pm_status s = pm_graph_print_svg(p->graph, p->node_ns, &svg);
    if (s == PM_OK) s = pm_graph_print_json(p->graph, &json);
    return add_both(t, "graph", "Graph", svg, json, s);
}

static pm_status add_plan(pm_text *t, const pm_page *p) {
    char *svg = NULL, *json = NULL;
    pm_status s = pm_plan_print_svg(p->graph, p->plan, &svg);
    if (s == PM_OK) s = pm_plan_print(p->graph, p->plan, "json", &json);
    return add_both(t, "plan", "Memory", svg, json, s);
}

static pm_status add_program(pm_text *t, const pm_page *p) {
    char *svg = NULL, *json = NULL;
    pm_status s = pm_program_print_svg(p->program, p->dispatch_ns, &svg);
    if (s == PM_OK) s = pm_program_print(p->program, "json", p->dispatch_ns, &json);
    return add_both(t, "program", "Program", svg, json, s);
}

static void add_times(pm_text *t, const pm_page *p) {
    pm_text_add(t, "<script type=\"application/json\" id=\"times-data\">{\"nodes\": [");
    for (size_t i = 0; p->node_ns && i < p->graph->n_items; i++)
        pm_text_add(t, "%s%" PRIu64, i ? "," : "", p->node_ns[i]);
    pm_text_add(t, "]}</script>\n");
}

static void add_head(pm_text *t, const pm_page *p) {
    pm_text_add(t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>");
    pm_text_add_xml(t, p->graph->name);
    pm_text_add(t, ", %s</title>\n<style>\n", p->stage);
    pm_text_add_bytes(t, (const char *)pm_looking_css, pm_looking_css_bytes);
    pm_text_add(t, "</style></head>\n<body data-stage=\"%s\">\n<header><b>", p->stage);
    pm_text_add_xml(t, p->graph->name);
    pm_text_add(
        t,
        "</b> <span>%s</span><nav id=\"tabs\"></nav><input id=\"search\" type=\"search\" "
        "placeholder=\"search: matmul, layers.3, 512\"><span id=\"found\"></span>\n"
        "<button id=\"fold\">fold all</button><button id=\"unfold\">unfold all</button>"
        "<button id=\"fit\">fit</button>"
        "<small>drag and wheel move, ctrl+wheel zooms, a click on a title folds</small></header>\n<main>\n",
        p->stage);
}

pm_status pm_page_print(const pm_page *p, char **out_text) {
    pm_text t = {0};
    *out_text = NULL;
    add_head(&t, p);
    pm_status s = add_graph(&t, p);
    if (s == PM_OK && p->plan) s = add_plan(&t, p);
    if (s == PM_OK && p->program) s = add_program(&t, p);
    add_times(&t, p);
    pm_text_add(&t, "<aside id=\"details\" hidden></aside>\n</main>\n<script>\n");
    pm_text_add_bytes(&t, (const char *)pm_looking_js, pm_looking_js_bytes);
    pm_text_add(&t, "</script>\n</body></html>\n");
    if (s == PM_OK) s = pm_text_status(&t);
    if (s == PM_OK)
        *out_text = t.data;
    else
        pm_text_free(&t);
    return s;
}
