/* A graph, or its plan, as a picture for Graphviz: operations are boxes, edges carry shapes, labels are frames, and layers
 * frames around them: all of a label up to its first number, as "layers.3" of "layers.3.attn". A leaf stands in the frame of its
 * first reader. What fusion made has a bold outline. */
#include <inttypes.h>
#include <string.h>

#include "graph/compile.h"
#include "graph/ops.h"
#include "graph/graph_picture.h"

static const char *style_of(const pm_tensor *x) {
    static const char *const by_kind[] = {
        [PM_KIND_TEMP] = "shape=box, style=rounded",
        [PM_KIND_INPUT] = "shape=invhouse, style=filled, fillcolor=\"#cfe8cf\"",
        [PM_KIND_WEIGHT] = "shape=box, style=filled, fillcolor=\"#e6e6e6\"",
        [PM_KIND_STATE] = "shape=cylinder, style=filled, fillcolor=\"#f4ddb0\"",
        [PM_KIND_PARAM] = "shape=invhouse, style=filled, fillcolor=\"#d5ddf2\"",
        [PM_KIND_CONST] = "shape=plain",
    };
    uint32_t flags = pm_op_get(x->op)->flags;
    if (pm_is_fused(x)) return "shape=box, style=\"rounded,bold\", color=\"#2b5fa8\"";
    if (flags & PM_OPF_VIEW) return "shape=box, style=\"rounded,dashed\"";
    return by_kind[x->kind];
}

/* What may stand in boxes, beside the graph. */
typedef struct extras {
    const pm_graph_plan *plan;
    const uint64_t *node_ns;
} extras;

/* What stands in the box: operation and attributes, or a leaf's name, or a constant's value; place and time. */
static pm_status add_caption(pm_text *t, const pm_tensor *x, const extras *e) {
    const pm_graph_plan *p = e->plan;
    pm_text caption = {0};
    float value;
    if (x->kind != PM_KIND_TEMP && x->kind != PM_KIND_CONST)
        pm_text_add(&caption, "%s", x->name);
    else if (x->op == PM_OP_CONST && pm_is_const_scalar(x, &value))
        pm_text_add(&caption, "%.9g", (double)value);
    else
        pm_text_add(&caption, "%s", pm_op_get(x->op)->name);
    pm_attrs_print(&caption, &x->attrs);
    if (p && p->interval_of[x->id] >= 0) {
        const pm_place *at = &p->result.places[p->interval_of[x->id]];
        pm_text_add(&caption, "\n%u:%" PRIu64 "+%" PRIu64, at->block, at->offset, pm_storage_bytes(x));
    }
    if (e->node_ns && e->node_ns[x->id]) {
        pm_text_add(&caption, "\n");
        pm_text_add_time(&caption, e->node_ns[x->id]);
    }
    if (caption.data) pm_text_add_json(t, caption.data);
    pm_status s = pm_text_status(&caption);
    pm_text_free(&caption);
    return s;
}

static pm_status add_node(pm_text *t, const pm_tensor *x, const char *label, const extras *e) {
    size_t n = pm_label_layer(label);
    bool inner = label && strlen(label) > n;
    pm_text_add(t, "  ");
    if (n) /* Graphviz joins subgraphs of one name */
        pm_text_add(t, "subgraph \"cluster_%.*s\" { label=\"%.*s\"; ", (int)n, label, (int)n, label);
    if (inner) pm_text_add(t, "subgraph \"cluster_%s \" { label=\"%s\"; ", label, label);
    pm_text_add(t, "n%u [label=", x->id);
    PM_TRY(add_caption(t, x, e));
    pm_text_add(t, ", %s];%s\n", style_of(x), n && inner ? " } }" : n || inner ? " }" : "");
    for (int i = 0; i < x->n_in; i++)
        if (x->in[i])
            pm_text_add(t, "  n%u -> n%u [label=\"%s%s\"];\n", x->in[i]->id, x->id,
                        pm_dtype_name(x->in[i]->dtype), pm_shape(x->in[i]).s);
    return PM_OK;
}

/* The label that gives each tensor its frame; NULL where there is none. */
static const char **frame_labels(const pm_graph *g) {
    const char **labels = pm_calloc(g->n_items, sizeof *labels);
    for (size_t i = 0; labels && i < g->n_items; i++) {
        const pm_tensor *x = g->items[i];
        if (pm_op_get(x->op)->flags & PM_OPF_LEAF) continue;
        labels[i] = x->name;
        for (int k = 0; k < x->n_in; k++) {
            const pm_tensor *in = x->in[k];
            if (in && pm_op_get(in->op)->flags & PM_OPF_LEAF && !labels[in->id] && in->kind != PM_KIND_INPUT)
                labels[in->id] = x->name;
        }
    }
    return labels;
}

static bool is_plain(const char *label) {
    return !label || !label[strcspn(label, "\"\\\n")];
}

static pm_status add_graph(pm_text *t, const pm_graph *g, const char *const *labels, const extras *e) {
    pm_text_add(t, "digraph ");
    pm_text_add_json(t, g->name);
    pm_text_add(t, " {\n  rankdir=TB; fontname=\"Helvetica\"; node [fontname=\"Helvetica\", fontsize=10];\n"
                   "  edge [fontname=\"Helvetica\", fontsize=8]; graph [style=rounded, color=gray];\n");
    for (size_t i = 0; i < g->n_items; i++)
        PM_TRY(add_node(t, g->items[i], is_plain(labels[i]) ? labels[i] : NULL, e));
    for (size_t i = 0; i < g->n_outputs; i++) {
        const pm_tensor *x = g->outputs[i].tensor;
        pm_text_add(t, "  o%zu [label=", i);
        pm_text_add_json(t, g->outputs[i].name);
        pm_text_add(t,
                    ", shape=house, style=filled, fillcolor=\"#f2cccc\"];\n  n%u -> o%zu [label=\"%s%s\"];\n",
                    x->id, i, pm_dtype_name(x->dtype), pm_shape(x).s);
    }
    pm_text_add(t, "}\n");
    return pm_text_status(t);
}

pm_status pm_plan_print_dot(const pm_graph *g, const pm_graph_plan *p, const uint64_t *node_ns,
                            char **out_text) {
    pm_text t = {0};
    const char **labels = frame_labels(g);
    *out_text = NULL;
    pm_status s = labels ? add_graph(&t, g, labels, &(extras){p, node_ns}) : PM_ERR_MEMORY;
    if (s == PM_OK)
        *out_text = t.data;
    else
        pm_text_free(&t);
    pm_free(labels);
    return s;
}

pm_status pm_graph_print_dot(const pm_graph *g, const uint64_t *node_ns, char **out_text) {
    return pm_plan_print_dot(g, NULL, node_ns, out_text);
}
