/* A graph as JSON, for programs: every tensor with its operation, shape, storage and inputs, and the outputs
 * by name. Constants' values are left out; the text form (text_print.c) has them. Nothing reads this back. */
#include "graph/graph_picture.h"

#include <inttypes.h>

static const char *const kind_names[] = {
    [PM_KIND_TEMP] = "temp",   [PM_KIND_INPUT] = "input", [PM_KIND_WEIGHT] = "weight",
    [PM_KIND_STATE] = "state", [PM_KIND_PARAM] = "param", [PM_KIND_CONST] = "const",
};

static void add_numbers(pm_text *t, const char *key, int32_t n, const int64_t *numbers) {
    pm_text_add(t, ", \"%s\": [", key);
    for (int32_t k = 0; k < n; k++) pm_text_add(t, "%s%" PRId64, k ? ", " : "", numbers[k]);
    pm_text_add(t, "]");
}

static void add_inputs(pm_text *t, const pm_tensor *x) {
    pm_text_add(t, ", \"inputs\": [");
    for (int i = 0; i < x->n_in; i++)
        if (x->in[i])
            pm_text_add(t, "%s%u", i ? ", " : "", x->in[i]->id);
        else
            pm_text_add(t, ", null"); /* never the first */
    pm_text_add(t, "]");
}

static pm_status add_attrs(pm_text *t, const pm_tensor *x) {
    pm_text attrs = {0};
    pm_attrs_print(&attrs, &x->attrs);
    if (attrs.length > 1) {
        pm_text_add(t, ", \"attrs\": ");
        pm_text_add_json(t, attrs.data + 1); /* after the blank */
    }
    pm_status s = pm_text_status(&attrs);
    pm_text_free(&attrs);
    return s;
}

static pm_status add_tensor(pm_text *t, const pm_tensor *x) {
    bool named = pm_op_get(x->op)->flags & PM_OPF_LEAF && x->kind != PM_KIND_CONST;
    pm_text_add(t, "    {\"id\": %u, \"op\": \"%s\", \"kind\": \"%s\", \"dtype\": \"%s\"", x->id,
                pm_op_get(x->op)->name, kind_names[x->kind], pm_dtype_name(x->dtype));
    add_numbers(t, "dims", x->rank, x->dims);
    add_numbers(t, "strides", x->rank, x->strides);
    if (x->base != x) pm_text_add(t, ", \"base\": %u, \"offset\": %" PRId64, x->base->id, x->offset);
    if (x->n_in) add_inputs(t, x);
    if (x->name) {
        pm_text_add(t, ", \"%s\": ", named ? "name" : "label");
        pm_text_add_json(t, x->name);
    }
    if (pm_is_fused(x)) pm_text_add(t, ", \"fused\": true");
    pm_status s = add_attrs(t, x);
    pm_text_add(t, "}");
    return s;
}

pm_status pm_graph_print_json(const pm_graph *g, char **out_text) {
    pm_text t = {0};
    pm_status s = PM_OK;
    *out_text = NULL;
    pm_text_add(&t, "{\"graph\": ");
    pm_text_add_json(&t, g->name);
    pm_text_add(&t, ", \"n_tensors\": %zu, \"tensors\": [", g->n_items);
    for (size_t i = 0; s == PM_OK && i < g->n_items; i++) {
        pm_text_add(&t, "%s", i ? ",\n" : "\n");
        s = add_tensor(&t, g->items[i]);
    }
    pm_text_add(&t, "\n], \"outputs\": [");
    for (size_t i = 0; i < g->n_outputs; i++) {
        pm_text_add(&t, "%s{\"name\": ", i ? ", " : "");
        pm_text_add_json(&t, g->outputs[i].name);
        pm_text_add(&t, ", \"id\": %u}", g->outputs[i].tensor->id);
    }
    pm_text_add(&t, "]}\n");
    if (s == PM_OK) s = pm_text_status(&t);
    if (s == PM_OK)
        *out_text = t.data;
    else
        pm_text_free(&t);
    return s;
}
