/* A graph as text, one line a tensor; text_parse.c reads it back. The form:
 *   graph "gpt2"
 *   %0 = input "in.input_ids" i32[1,7]
 *   %1 = const f32[2] data[1,0.5]
 *   %5 = layer_norm(%2, %3, _) {eps=9.99999975e-06} f32[1,7,32] strides[224,32,1] @"layers.0.attn"
 *   output "out.logits" %5
 * `_` is an absent operand; strides stand only where they are not the operation's own; @ is a label for
 * people. */
#include "graph/ops.h"
#include "graph/lexer.h"

#include <inttypes.h>
#include <string.h>

static void print_data(pm_text *t, const pm_tensor *x) {
    const uint32_t *words = x->data;
    size_t n = (size_t)pm_elems(x);
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, &words[i], 4);
        pm_text_add(t, "%s", i ? "," : " data[");
        if (x->dtype == PM_F32)
            pm_text_add_f32(t, value);
        else
            pm_text_add(t, "%" PRId32, (int32_t)words[i]);
    }
    pm_text_add(t, "]");
}

static void print_inputs(pm_text *t, const pm_tensor *x) {
    for (int i = 0; i < x->n_in; i++) {
        pm_text_add(t, "%s", i ? ", " : "(");
        if (x->in[i])
            pm_text_add(t, "%%%u", x->in[i]->id);
        else
            pm_text_add(t, "_");
    }
    pm_text_add(t, ")");
}

static bool has_own_strides(const pm_tensor *x) {
    int64_t strides[PM_MAX_DIMS];
    if (pm_op_get(x->op)->flags & (PM_OPF_LEAF | PM_OPF_VIEW | PM_OPF_STATE)) return false;
    pm_dense_strides(x->rank, x->dims, strides);
    return memcmp(strides, x->strides, (size_t)x->rank * sizeof strides[0]) != 0;
}

static void print_tensor(pm_text *t, const pm_tensor *x) {
    bool leaf = pm_op_get(x->op)->flags & PM_OPF_LEAF, named = leaf && x->kind != PM_KIND_CONST;
    pm_text_add(t, "%%%u = %s", x->id, pm_op_get(x->op)->name);
    if (named) {
        pm_text_add(t, " ");
        pm_text_add_json(t, x->name);
    }
    if (!leaf) {
        print_inputs(t, x);
        pm_attrs_print(t, &x->attrs);
    }
    pm_text_add(t, " %s%s", pm_dtype_name(x->dtype), pm_shape(x).s);
    if (x->op == PM_OP_CONST) print_data(t, x);
    if (has_own_strides(x)) pm_text_add(t, " strides%s", pm_shape_of(x->rank, x->strides).s);
    if (!named && x->name) {
        pm_text_add(t, " @");
        pm_text_add_json(t, x->name);
    }
    pm_text_add(t, "\n");
}

pm_status pm_graph_print(const pm_graph *g, char **out_text) {
    pm_text t = {0};
    *out_text = NULL;
    pm_text_add(&t, "graph ");
    pm_text_add_json(&t, g->name);
    pm_text_add(&t, "\n");
    for (size_t i = 0; i < g->n_items; i++) print_tensor(&t, g->items[i]);
    for (size_t i = 0; i < g->n_outputs; i++) {
        pm_text_add(&t, "output ");
        pm_text_add_json(&t, g->outputs[i].name);
        pm_text_add(&t, " %%%u\n", g->outputs[i].tensor->id);
    }
    pm_status s = pm_text_status(&t);
    if (s == PM_OK)
        *out_text = t.data;
    else
        pm_text_free(&t);
    return s;
}
