/* From a graph to boxes, lines and blocks, without their places. Owns what stands in a box, and in which order blocks come:
 * a block goes on as long as operations of its label can run, so that a layer is in one piece although the schedule is not. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/ops.h"
#include "graph/graph_picture.h"

enum { MAX_CHARS = 40 }; /* of a line in a box */

size_t pm_label_layer(const char *label) {
    for (const char *part = label; part && *part;) {
        size_t n = strcspn(part, ".");
        if (n && strspn(part, "0123456789") == n) return (size_t)(part - label) + n;
        part += n + (part[n] == '.');
    }
    return 0;
}

bool pm_is_fused(const pm_tensor *x) {
    bool epilogue = x->op == PM_OP_MATMUL && (x->n_in > PM_MATMUL_BIAS || x->attrs.act);
    bool masked = x->op == PM_OP_SOFTMAX && x->n_in > 1;
    return pm_op_get(x->op)->flags & PM_OPF_FUSED || epilogue || masked;
}

void pm_text_add_time(pm_text *t, uint64_t ns) {
    if (ns < 1000000)
        pm_text_add(t, "%.1f \xc2\xb5s", (double)ns / 1e3);
    else
        pm_text_add(t, "%.2f ms", (double)ns / 1e6);
}

/* Weights, parameters and constants, and views of them: they stand in their readers' boxes. */
static bool is_quiet(const pm_tensor *x) {
    pm_kind kind = x->base->kind;
    bool fixed = kind == PM_KIND_WEIGHT || kind == PM_KIND_CONST || kind == PM_KIND_PARAM;
    return fixed && pm_op_get(x->op)->flags & (PM_OPF_LEAF | PM_OPF_VIEW);
}

/* ---- labels and order ---- */

/* Every tensor's block: its label; without one, its first reader's, else its first operand's. */
static void find_labels(const pm_graph *g, const char **labels) {
    for (size_t i = g->n_items; i-- > 0;) {
        const pm_tensor *x = g->items[i];
        bool leaf = pm_op_get(x->op)->flags & PM_OPF_LEAF;
        if (!leaf && x->name) labels[i] = x->name;
        for (int k = 0; labels[i] && k < x->n_in; k++)
            if (x->in[k]) labels[x->in[k]->id] = labels[i]; /* the earliest reader comes last */
    }
    for (size_t i = 0; i < g->n_items; i++) {
        const pm_tensor *x = g->items[i];
        if (x->kind == PM_KIND_INPUT) labels[i] = "inputs";
        if (!labels[i] && x->n_in) labels[i] = labels[x->in[0]->id];
        if (!labels[i]) labels[i] = "";
    }
}

static bool is_ready(const pm_tensor *x, const uint32_t *box_of) {
    for (int k = 0; k < x->n_in; k++)
        if (x->in[k] && !is_quiet(x->in[k]) && box_of[x->in[k]->id] == PM_NOWHERE) return false;
    return true;
}

static pm_status add_box(pm_picture *p, const pm_tensor *x, const char *label) {
    if (!p->n_blocks || strcmp(p->blocks[p->n_blocks - 1].label, label) != 0) {
        PM_TRY(pm_grow((void **)&p->blocks, &p->blocks_capacity, p->n_blocks + 1, sizeof *p->blocks));
        p->blocks[p->n_blocks++] = (pm_block){.label = label};
    }
    PM_TRY(pm_grow((void **)&p->boxes, &p->boxes_capacity, p->n_boxes + 1, sizeof *p->boxes));
    p->boxes[p->n_boxes++] = (pm_box){.tensor = x, .block = (uint32_t)p->n_blocks - 1};
    return PM_OK;
}

/* Boxes in an order of execution that changes its label as seldom as going on with a label does. */
static pm_status add_boxes(pm_picture *p, const pm_graph *g, const char *const *labels, uint32_t *box_of) {
    const char *label = "inputs";
    for (size_t first = 0; first < g->n_items;) {
        for (size_t i = first; i < g->n_items; i++) {
            const pm_tensor *x = g->items[i];
            if (box_of[i] != PM_NOWHERE || is_quiet(x) || strcmp(labels[i], label) != 0 ||
                !is_ready(x, box_of))
                continue;
            box_of[i] = (uint32_t)p->n_boxes;
            PM_TRY(add_box(p, x, label));
        }
        while (first < g->n_items && (box_of[first] != PM_NOWHERE || is_quiet(g->items[first]))) first++;
        if (first < g->n_items) label = labels[first];
    }
    return PM_OK;
}

/* ---- what stands in a box ---- */

static const char *keep(pm_picture *p, pm_text *t) {
    if (t->length > MAX_CHARS) { /* cut between characters */
        size_t n = MAX_CHARS - 1;
        while (n && ((unsigned char)t->data[n] & 0xc0) == 0x80) n--;
        t->length = n;
        pm_text_add(t, "\xe2\x80\xa6");
    }
    const char *kept = pm_text_status(t) == PM_OK ? pm_arena_strdup(&p->arena, t->data ? t->data : "") : NULL;
    pm_text_free(t);
    return kept;
}

static pm_status add_line(pm_picture *p, pm_box *b, pm_text *t) {
    const char *line = keep(p, t);
    if (!line) return PM_ERR_MEMORY;
    if (b->n_lines < PM_BOX_LINES) b->lines[b->n_lines++] = line;
    return PM_OK;
}

/* The end of a name, from a dot on: "q_proj.weight" of "model.layers.0.self_attn.q_proj.weight", and of "layers.0.q.weight+k.weight"
 * as much as has all its parts. */
static const char *tail_of(const char *name, size_t most) {
    size_t first = strcspn(name, "+"), dot;
    while (strlen(name) > most && (dot = strcspn(name, ".")) < first) {
        name += dot + 1;
        first -= dot + 1;
    }
    return name;
}

/* Six digits are enough to look at: "eps=9.99999975e-06" becomes "eps=1e-05". */
static void add_short_numbers(pm_text *t, const char *text) {
    for (const char *at = text; *at;) {
        size_t n = strspn(at, "+-.0123456789e"), whole = strspn(at, "+-0123456789");
        if (at > text && at[-1] == '=' && n > whole && n > 7)
            pm_text_add(t, "%.6g", strtod(at, NULL));
        else if (n == 0)
            pm_text_add_bytes(t, at, n = 1);
        else
            pm_text_add_bytes(t, at, n);
        at += n;
    }
}

static pm_status add_operand(pm_picture *p, pm_box *b, const pm_tensor *x) {
    pm_text t = {0};
    float value;
    const pm_tensor *base = x->base;
    pm_shape_text shape = pm_shape(x);
    size_t room = MAX_CHARS - 4 - strlen(shape.s) % MAX_CHARS;
    if (pm_is_const_scalar(x, &value))
        pm_text_add(&t, "%.6g", (double)value);
    else if (base->kind == PM_KIND_CONST)
        pm_text_add(&t, "%s %s%s", pm_op_get(base->op)->name, pm_dtype_name(x->dtype), shape.s);
    else if (base->kind == PM_KIND_PARAM)
        pm_text_add(&t, "%s", base->name);
    else
        pm_text_add(&t, "%s %s%s", tail_of(base->name, room < 14 ? 14 : room), pm_dtype_name(x->dtype),
                    shape.s);
    return add_line(p, b, &t);
}

/* Attributes without braces; those that only repeat the shape are left out. */
static pm_status add_attrs(pm_picture *p, pm_box *b) {
    const pm_tensor *x = b->tensor;
    pm_text t = {0}, all = {0};
    if (x->op == PM_OP_RESHAPE || x->op == PM_OP_EXPAND) return PM_OK;
    pm_attrs_print(&all, &x->attrs);
    if (all.length > 3) {
        all.data[all.length - 1] = 0;
        add_short_numbers(&t, all.data + 2);
    }
    pm_status s = pm_text_status(&all);
    pm_text_free(&all);
    if (s == PM_OK && (t.data || t.failed)) return add_line(p, b, &t);
    pm_text_free(&t);
    return s;
}

static pm_status add_times(pm_picture *p, pm_box *b) {
    uint64_t ns = p->node_ns ? p->node_ns[b->tensor->id] : 0;
    pm_text t = {0};
    if (!ns || b->output) return PM_OK;
    pm_text_add_time(&t, ns);
    pm_text_add(&t, ", %.1f %%", 100.0 * (double)ns / (double)p->total_ns);
    return add_line(p, b, &t);
}

static pm_status fill_box(pm_picture *p, pm_box *b) {
    const pm_tensor *x = b->tensor;
    bool named = b->output || pm_op_get(x->op)->flags & PM_OPF_LEAF;
    pm_text title = {0}, shape = {0};
    pm_text_add(&title, "%s",
                b->output ? b->output
                : named   ? tail_of(x->name, MAX_CHARS)
                          : pm_op_get(x->op)->name);
    PM_TRY(add_line(p, b, &title));
    if (!named) {
        PM_TRY(add_attrs(p, b));
        for (int k = 0; k < x->n_in; k++)
            if (x->in[k] && is_quiet(x->in[k])) PM_TRY(add_operand(p, b, x->in[k]));
        PM_TRY(add_times(p, b));
    }
    pm_text_add(&shape, "%s%s", pm_dtype_name(x->dtype), pm_shape(x).s);
    return (b->shape = keep(p, &shape)) ? PM_OK : PM_ERR_MEMORY;
}

/* ---- lines ---- */

static pm_status add_edge(pm_picture *p, uint32_t from, uint32_t to) {
    for (size_t i = p->n_lines; i-- > 0 && p->lines[i].to == to;)
        if (p->lines[i].from == from) return PM_OK; /* x * x */
    PM_TRY(pm_grow((void **)&p->lines, &p->lines_capacity, p->n_lines + 1, sizeof *p->lines));
    p->lines[p->n_lines++] = (pm_line){.from = from, .to = to, .lane = -1};
    p->boxes[from].n_readers++;
    return PM_OK;
}

static pm_status add_outputs(pm_picture *p, const pm_graph *g, const uint32_t *box_of) {
    for (size_t i = 0; i < g->n_outputs; i++) {
        PM_TRY(add_box(p, g->outputs[i].tensor, "outputs"));
        p->boxes[p->n_boxes - 1].output = g->outputs[i].name;
        uint32_t from = box_of[g->outputs[i].tensor->id];
        if (from != PM_NOWHERE) PM_TRY(add_edge(p, from, (uint32_t)p->n_boxes - 1));
    }
    return PM_OK;
}

static pm_status add_edges(pm_picture *p, const uint32_t *box_of) {
    for (uint32_t i = 0; i < p->n_boxes; i++) {
        const pm_tensor *x = p->boxes[i].tensor;
        for (int k = 0; k < x->n_in; k++)
            if (x->in[k] && box_of[x->in[k]->id] != PM_NOWHERE) PM_TRY(add_edge(p, box_of[x->in[k]->id], i));
    }
    return PM_OK;
}

/* ---- layers ---- */

static pm_status add_layers(pm_picture *p) {
    for (uint32_t i = 0; i < p->n_blocks; i++) {
        size_t n = pm_label_layer(p->blocks[i].label);
        const pm_layer *last = p->n_layers ? &p->layers[p->n_layers - 1] : NULL;
        bool same = n && last && last->label && strlen(last->label) == n &&
                    !strncmp(last->label, p->blocks[i].label, n);
        if (!same) {
            PM_TRY(pm_grow((void **)&p->layers, &p->layers_capacity, p->n_layers + 1, sizeof *p->layers));
            char *label = n ? pm_arena_strdup(&p->arena, p->blocks[i].label) : NULL;
            if (n && !label) return PM_ERR_MEMORY;
            if (n) label[n] = 0;
            p->layers[p->n_layers++] = (pm_layer){.label = label, .first_block = i};
        }
        p->layers[p->n_layers - 1].n_blocks++;
        p->blocks[i].layer = (uint32_t)p->n_layers - 1;
    }
    return PM_OK;
}

static void count(pm_picture *p) {
    for (size_t i = 0; i < p->n_boxes; i++) {
        const pm_box *b = &p->boxes[i];
        pm_block *block = &p->blocks[b->block];
        uint64_t ns = p->node_ns && !b->output ? p->node_ns[b->tensor->id] : 0;
        block->n_ops++;
        block->n_fused += !b->output && pm_is_fused(b->tensor);
        block->ns += ns;
        p->layers[block->layer].n_ops++;
        p->layers[block->layer].ns += ns;
    }
}

pm_status pm_picture_fill(pm_picture *p, const pm_graph *g) {
    const char **labels = pm_calloc(g->n_items, sizeof *labels);
    uint32_t *box_of = pm_calloc(g->n_items, sizeof *box_of);
    pm_status s = labels && box_of ? PM_OK : PM_ERR_MEMORY;
    if (s != PM_OK) goto fail;
    for (size_t i = 0; i < g->n_items; i++) {
        box_of[i] = PM_NOWHERE;
        p->total_ns += p->node_ns ? p->node_ns[i] : 0;
    }
    find_labels(g, labels);
    PM_GOTO(add_boxes(p, g, labels, box_of));
    PM_GOTO(add_edges(p, box_of));
    PM_GOTO(add_outputs(p, g, box_of));
    for (size_t i = 0; s == PM_OK && i < p->n_boxes; i++) s = fill_box(p, &p->boxes[i]);
    if (s == PM_OK) s = add_layers(p);
    if (s == PM_OK) count(p);
fail:
    pm_free(labels);
    pm_free(box_of);
    return s;
}
