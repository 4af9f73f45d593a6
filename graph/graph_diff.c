/* What differs between two graphs, whatever their numbering: tensors are paired in rounds, from the surest sign (all that a
 * tensor is made from is the same) to the weakest (the same operation at the same label). What finds no partner was removed or
 * added; of pairs the differences are told. Only reads. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/ops.h"

typedef struct entry {
    uint64_t key;
    uint32_t id;
} entry;

typedef struct side {
    const pm_graph *g;
    const char *mark; /* of a line: "-" or "+" */
    uint64_t foreign; /* stands for an input without a partner */
    uint64_t *deep;   /* by tensor: it, and all that it is made from */
    uint64_t *pair;   /* by tensor: number of its pair; 0: none yet */
    entry *entries;   /* of a round: sorted */
    size_t n_entries;
    bool failed;               /* memory was out */
    const pm_tensor **of_pair; /* by pair number */
} side;

typedef struct diff {
    side a, b;
    uint64_t n_pairs;
    size_t n_removed, n_added, n_changed;
    pm_text out;
} diff;

/* ---- signs ---- */

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * 0x9e3779b97f4a7c15ull;
    return h ^ h >> 29;
}

static uint64_t mix_text(uint64_t h, const char *text) {
    for (; *text; text++) h = mix(h, (unsigned char)*text);
    return mix(h, 0x100);
}

static bool is_named(const pm_tensor *x) {
    return pm_op_get(x->op)->flags & PM_OPF_LEAF && x->kind != PM_KIND_CONST;
}

static const char *label_of(const pm_tensor *x) {
    return !is_named(x) && x->name ? x->name : "";
}

/* Operation, and the name of a leaf. */
static uint64_t op_sign(const pm_tensor *x) {
    uint64_t h = mix(1, (uint64_t)x->op);
    return is_named(x) ? mix_text(h, x->name) : h;
}

/* All that a line of text says but numbers and the label. */
static uint64_t line_sign(side *s, const pm_tensor *x) {
    const uint32_t *words = x->data;
    uint64_t h = mix(op_sign(x), (uint64_t)x->dtype);
    pm_text attrs = {0};
    pm_attrs_print(&attrs, &x->attrs);
    s->failed |= attrs.failed;
    if (attrs.data) h = mix_text(h, attrs.data);
    pm_text_free(&attrs);
    for (int k = 0; k < x->rank; k++) h = mix(mix(h, (uint64_t)x->dims[k]), (uint64_t)x->strides[k]);
    for (int64_t i = 0; words && i < pm_elems(x); i++) h = mix(h, words[i]);
    return h;
}

/* The named leaves that an operation reads, through views too. */
static uint64_t leaves_sign(const pm_tensor *x) {
    uint64_t h = 2;
    for (int k = 0; k < x->n_in; k++) {
        const pm_tensor *in = x->in[k];
        while (in && pm_op_get(in->op)->flags & PM_OPF_VIEW) in = in->in[0];
        if (in && is_named(in)) h = mix(h, op_sign(in));
    }
    return h;
}

static uint64_t inputs_sign(const side *s, const pm_tensor *x) {
    uint64_t h = 3;
    for (int k = 0; k < x->n_in; k++) {
        uint64_t pair = x->in[k] ? s->pair[x->in[k]->id] : 1;
        h = mix(h, pair ? pair : s->foreign + x->in[k]->id);
    }
    return h;
}

typedef enum round {
    SAME,
    SAME_LEAVES,
    SAME_INPUTS,
    SAME_LINE,
    SAME_OP_AND_LEAVES,
    SAME_OP,
    MOVED,
    N_ROUNDS
} round_kind;

static uint64_t sign(side *s, const pm_tensor *x, round_kind r) {
    uint64_t label = mix_text(4, label_of(x));
    switch (r) {
    case SAME: return s->deep[x->id];
    case SAME_LEAVES: return mix(mix(label, line_sign(s, x)), leaves_sign(x));
    case SAME_INPUTS: return mix(mix(label, line_sign(s, x)), inputs_sign(s, x));
    case SAME_LINE: return mix(label, line_sign(s, x));
    case SAME_OP_AND_LEAVES: return mix(mix(label, op_sign(x)), leaves_sign(x));
    case SAME_OP: return mix(label, op_sign(x));
    default: return mix(line_sign(s, x), leaves_sign(x)); /* under another label */
    }
}

/* ---- pairing ---- */

static int by_key(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void sort_single(side *s, round_kind r) {
    s->n_entries = 0;
    for (uint32_t i = 0; i < s->g->n_items; i++)
        if (!s->pair[i]) s->entries[s->n_entries++] = (entry){sign(s, s->g->items[i], r), i};
    qsort(s->entries, s->n_entries, sizeof *s->entries, by_key);
}

/* Pairs equal signs in the order of the graphs. Returns how many. */
static size_t run_round(diff *d, round_kind r) {
    size_t i = 0, k = 0, n = 0;
    sort_single(&d->a, r);
    sort_single(&d->b, r);
    while (i < d->a.n_entries && k < d->b.n_entries) {
        const entry *x = &d->a.entries[i], *y = &d->b.entries[k];
        i += x->key <= y->key;
        k += y->key <= x->key;
        if (x->key != y->key) continue;
        uint64_t pair = ++d->n_pairs + 1; /* 1 is an absent operand */
        d->a.pair[x->id] = d->b.pair[y->id] = pair;
        d->a.of_pair[pair] = d->a.g->items[x->id];
        d->b.of_pair[pair] = d->b.g->items[y->id];
        n++;
    }
    return n;
}

static void find_deep(side *s) {
    for (size_t i = 0; i < s->g->n_items; i++) {
        const pm_tensor *x = s->g->items[i];
        uint64_t h = mix(mix_text(5, label_of(x)), line_sign(s, x));
        for (int k = 0; k < x->n_in; k++) h = mix(h, x->in[k] ? s->deep[x->in[k]->id] : 6);
        s->deep[i] = h;
    }
}

static void find_pairs(diff *d) {
    find_deep(&d->a);
    find_deep(&d->b);
    for (round_kind r = 0; r < N_ROUNDS; r++) {
        run_round(d, r);
        for (int again = 0; again < 32 && run_round(d, SAME_INPUTS);)
            again++; /* pairs make their readers sure */
    }
}

/* ---- telling ---- */

static void add_tensor(pm_text *t, const pm_tensor *x) {
    pm_text_add(t, "%%%u = %s", x->id, pm_op_get(x->op)->name);
    if (is_named(x)) {
        pm_text_add(t, " ");
        pm_text_add_json(t, x->name);
    }
    for (int k = 0; k < x->n_in; k++)
        x->in[k] ? pm_text_add(t, "%s%%%u", k ? ", " : "(", x->in[k]->id) : pm_text_add(t, ", _");
    if (x->n_in) pm_text_add(t, ")");
    pm_attrs_print(t, &x->attrs);
    pm_text_add(t, " %s%s", pm_dtype_name(x->dtype), pm_shape(x).s);
}

static void add_single(diff *d, const side *s, const pm_tensor *x) {
    pm_text_add(&d->out, "  %s ", s->mark);
    add_tensor(&d->out, x);
    pm_text_add(&d->out, "\n");
}

static void add_short(pm_text *t, const pm_tensor *x) {
    if (x)
        pm_text_add(t, "%%%u %s", x->id, pm_op_get(x->op)->name);
    else
        pm_text_add(t, "none");
}

static const char *separator(size_t *n) {
    return (*n)++ ? ", " : ": ";
}

/* Partners, or made from the same in the same way: of twins any will do. */
static bool are_same(const diff *d, const pm_tensor *x, const pm_tensor *y) {
    if (!x || !y) return x == y;
    uint64_t pair = d->a.pair[x->id];
    return (pair && pair == d->b.pair[y->id]) || d->a.deep[x->id] == d->b.deep[y->id];
}

static void add_operands(diff *d, const pm_tensor *a, const pm_tensor *b, size_t *n) {
    for (int k = 0; k < a->n_in || k < b->n_in; k++) {
        const pm_tensor *x = k < a->n_in ? a->in[k] : NULL, *y = k < b->n_in ? b->in[k] : NULL;
        if (are_same(d, x, y)) continue;
        pm_text_add(&d->out, "%soperand %d ", separator(n), k);
        add_short(&d->out, x);
        pm_text_add(&d->out, " -> ");
        add_short(&d->out, y);
    }
}

static void add_attrs(diff *d, const pm_tensor *a, const pm_tensor *b, size_t *n) {
    pm_text x = {0}, y = {0};
    pm_attrs_print(&x, &a->attrs);
    pm_attrs_print(&y, &b->attrs);
    if (x.failed || y.failed) d->out.failed = true;
    if (strcmp(x.data ? x.data : "", y.data ? y.data : "") != 0)
        pm_text_add(&d->out, "%sattributes%s ->%s", separator(n), x.data && x.length ? x.data : " {}",
                    y.data && y.length ? y.data : " {}");
    pm_text_free(&x);
    pm_text_free(&y);
}

static void add_shapes(diff *d, const pm_tensor *a, const pm_tensor *b, size_t *n) {
    bool same = a->dtype == b->dtype && pm_same_dims(a, b);
    if (!same)
        pm_text_add(&d->out, "%s%s%s -> %s%s", separator(n), pm_dtype_name(a->dtype), pm_shape(a).s,
                    pm_dtype_name(b->dtype), pm_shape(b).s);
    else if (memcmp(a->strides, b->strides, (size_t)a->rank * sizeof a->strides[0]) != 0)
        pm_text_add(&d->out, "%sstrides%s -> %s", separator(n), pm_shape_of(a->rank, a->strides).s,
                    pm_shape_of(b->rank, b->strides).s);
    if (same && a->data && b->data && memcmp(a->data, b->data, (size_t)pm_elems(a) * 4) != 0)
        pm_text_add(&d->out, "%svalues", separator(n));
}

/* A pair, if anything differs. */
static void add_pair(diff *d, const pm_tensor *a, const pm_tensor *b) {
    size_t n = 0, before = d->out.length;
    pm_text_add(&d->out, "  ~ ");
    add_short(&d->out, a);
    if (a->id != b->id) pm_text_add(&d->out, " (now %%%u)", b->id);
    add_shapes(d, a, b, &n);
    add_attrs(d, a, b, &n);
    add_operands(d, a, b, &n);
    if (strcmp(label_of(a), label_of(b)) != 0) {
        pm_text_add(&d->out, "%slabel \"%s\" -> \"%s\"", separator(&n), label_of(a), label_of(b));
    }
    pm_text_add(&d->out, "\n");
    if (n) {
        d->n_changed++;
    } else if (!d->out.failed) {
        d->out.length = before;
        d->out.data[before] = 0;
    }
}

static bool has_label(const pm_tensor *x, const char *label) {
    return !strcmp(label_of(x), label);
}

/* All of one label: what went, what changed, what came. */
static void add_label(diff *d, const char *label) {
    size_t before = d->out.length, head;
    pm_text_add(&d->out, "%s\n", *label ? label : "(no label)");
    head = d->out.length;
    for (size_t i = 0; i < d->a.g->n_items; i++) {
        const pm_tensor *x = d->a.g->items[i];
        if (!has_label(x, label)) continue;
        if (d->a.pair[i])
            add_pair(d, x, d->b.of_pair[d->a.pair[i]]);
        else
            add_single(d, &d->a, x), d->n_removed++;
    }
    for (size_t i = 0; i < d->b.g->n_items; i++)
        if (!d->b.pair[i] && has_label(d->b.g->items[i], label))
            add_single(d, &d->b, d->b.g->items[i]), d->n_added++;
    if (d->out.length == head && !d->out.failed) {
        d->out.length = before;
        d->out.data[before] = 0;
    }
}

static bool is_first_of_label(const pm_graph *g, size_t i) {
    for (size_t k = i; k-- > 0;)
        if (has_label(g->items[k], label_of(g->items[i]))) return false;
    return true;
}

static bool is_in(const pm_graph *g, const char *label) {
    for (size_t i = 0; i < g->n_items; i++)
        if (has_label(g->items[i], label)) return true;
    return false;
}

static const pm_graph_output *find_output(const pm_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_outputs; i++)
        if (!strcmp(g->outputs[i].name, name)) return &g->outputs[i];
    return NULL;
}

static void add_outputs(diff *d) {
    for (size_t i = 0; i < d->a.g->n_outputs; i++) {
        const pm_graph_output *x = &d->a.g->outputs[i], *y = find_output(d->b.g, x->name);
        if (y && are_same(d, x->tensor, y->tensor)) continue;
        y ? d->n_changed++ : d->n_removed++;
        pm_text_add(&d->out, "  %s output \"%s\" ", y ? "~" : "-", x->name);
        add_short(&d->out, x->tensor);
        if (y) pm_text_add(&d->out, " -> "), add_short(&d->out, y->tensor);
        pm_text_add(&d->out, "\n");
    }
    for (size_t i = 0; i < d->b.g->n_outputs; i++) {
        const pm_graph_output *y = &d->b.g->outputs[i];
        if (find_output(d->a.g, y->name)) continue;
        d->n_added++;
        pm_text_add(&d->out, "  + output \"%s\" ", y->name);
        add_short(&d->out, y->tensor);
        pm_text_add(&d->out, "\n");
    }
}

static pm_status open_side(side *s, const pm_graph *g, size_t most_pairs) {
    s->g = g;
    s->deep = pm_calloc(g->n_items, sizeof *s->deep);
    s->pair = pm_calloc(g->n_items, sizeof *s->pair);
    s->entries = pm_calloc(g->n_items, sizeof *s->entries);
    s->of_pair = pm_calloc(most_pairs + 2, sizeof(const pm_tensor *));
    return s->deep && s->pair && s->entries && s->of_pair ? PM_OK : PM_ERR_MEMORY;
}

static void close_side(side *s) {
    pm_free(s->deep);
    pm_free(s->pair);
    pm_free(s->entries);
    pm_free(s->of_pair);
}

static void tell(diff *d) {
    for (size_t i = 0; i < d->a.g->n_items; i++)
        if (is_first_of_label(d->a.g, i)) add_label(d, label_of(d->a.g->items[i]));
    for (size_t i = 0; i < d->b.g->n_items; i++)
        if (is_first_of_label(d->b.g, i) && !is_in(d->a.g, label_of(d->b.g->items[i])))
            add_label(d, label_of(d->b.g->items[i]));
    add_outputs(d);
    pm_text_add(&d->out, "%zu removed, %zu added, %zu changed, %" PRIu64 " tensors paired\n", d->n_removed,
                d->n_added, d->n_changed, d->n_pairs);
}

pm_status pm_graph_diff(const pm_graph *a, const pm_graph *b, char **out_text, bool *out_same) {
    diff d = {.a = {.mark = "-", .foreign = 1ull << 40}, .b = {.mark = "+", .foreign = 2ull << 40}};
    *out_text = NULL;
    *out_same = false;
    pm_status s = open_side(&d.a, a, a->n_items);
    if (s == PM_OK) s = open_side(&d.b, b, a->n_items);
    if (s == PM_OK) {
        find_pairs(&d);
        tell(&d);
        s = d.a.failed || d.b.failed ? PM_ERR_MEMORY : pm_text_status(&d.out);
    }
    close_side(&d.a);
    close_side(&d.b);
    *out_same = d.n_removed + d.n_added + d.n_changed == 0;
    if (s == PM_OK)
        *out_text = d.out.data;
    else
        pm_text_free(&d.out);
    return s;
}
