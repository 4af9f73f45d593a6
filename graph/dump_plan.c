/* The memory plan for people and programs: text lines, JSON, or the problem as CSV. Only reads. */
#include "graph/compile.h"

#include <inttypes.h>
#include <string.h>

static double ratio_of(const pm_plan_result *r) {
    return r->lower_bound_bytes ? (double)r->arena_bytes / (double)r->lower_bound_bytes : 1;
}

/* The tensors of each interval: heads by interval, next by tensor; both hold id + 1. Two when one was merged
 * in place. */
typedef struct members {
    uint32_t *heads, *next;
} members;

static pm_status find_members(const pm_graph *g, const pm_graph_plan *p, members *out) {
    out->heads = pm_calloc(p->n_intervals, sizeof *out->heads);
    out->next = pm_calloc(g->n_items, sizeof *out->next);
    if (!out->heads || !out->next) return PM_ERR_MEMORY;
    for (size_t i = g->n_items; i-- > 0;) { /* from the end, so that lists run forwards */
        int32_t at = p->interval_of[i];
        if (at < 0) continue;
        out->next[i] = out->heads[at];
        out->heads[at] = (uint32_t)i + 1;
    }
    return PM_OK;
}

static void print_tensor(pm_text *out, const pm_tensor *t, bool json) {
    pm_text name = {0};
    pm_text_add(&name, "%%%u %s%s%s", t->id, pm_op_get(t->op)->name, t->name ? " " : "",
                t->name ? t->name : "");
    if (name.failed)
        out->failed = true;
    else if (json)
        pm_text_add_json(out, name.data);
    else
        pm_text_add(out, "%s", name.data);
    pm_text_free(&name);
}

static void print_members(pm_text *out, const pm_graph *g, const members *m, size_t interval, bool json) {
    for (uint32_t t = m->heads[interval]; t; t = m->next[t - 1]) {
        if (t != m->heads[interval]) pm_text_add(out, json ? ", " : " -> ");
        print_tensor(out, g->items[t - 1], json);
    }
}

static void print_text(pm_text *out, const pm_graph *g, const pm_graph_plan *p, const members *m) {
    const pm_plan_result *r = &p->result;
    pm_text_add(out,
                "plan of \"%s\": arena %" PRIu64 " bytes, lower bound %" PRIu64
                ", ratio %.4f, %zu intervals, %u in place, %u made inside a concat\n",
                g->name, r->arena_bytes, r->lower_bound_bytes, ratio_of(r), p->n_intervals, p->n_in_place,
                p->n_guests);
    for (uint32_t b = 0; b < r->n_blocks; b++)
        pm_text_add(out, "block %u: %" PRIu64 " bytes\n", b, r->block_bytes[b]);
    pm_text_add(out, "%5s %12s %12s %6s %6s  %s\n", "block", "offset", "bytes", "first", "last", "tensors");
    for (size_t i = 0; i < p->n_intervals; i++) {
        const pm_interval *v = &p->intervals[i];
        pm_text_add(out, "%5u %12" PRIu64 " %12" PRIu64 " %6u %6u  ", r->places[i].block, r->places[i].offset,
                    v->bytes, v->first, v->last);
        print_members(out, g, m, i, false);
        pm_text_add(out, "\n");
    }
}

static void print_json(pm_text *out, const pm_graph *g, const pm_graph_plan *p, const members *m) {
    const pm_plan_result *r = &p->result;
    pm_text_add(out, "{\"graph\": ");
    pm_text_add_json(out, g->name);
    pm_text_add(out,
                ", \"arena_bytes\": %" PRIu64 ", \"lower_bound_bytes\": %" PRIu64
                ", \"ratio\": %.6f, \"n_in_place\": %u, \"alignment\": %" PRIu64 ",\n",
                r->arena_bytes, r->lower_bound_bytes, ratio_of(r), p->n_in_place, p->alignment);
    pm_text_add(out, " \"blocks\": [");
    for (uint32_t b = 0; b < r->n_blocks; b++)
        pm_text_add(out, "%s%" PRIu64, b ? ", " : "", r->block_bytes[b]);
    pm_text_add(out, "],\n \"intervals\": [");
    for (size_t i = 0; i < p->n_intervals; i++) {
        const pm_interval *v = &p->intervals[i];
        pm_text_add(out,
                    "%s\n  {\"block\": %u, \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64
                    ", \"first\": %u, \"last\": %u, "
                    "\"tensors\": [",
                    i ? "," : "", r->places[i].block, r->places[i].offset, v->bytes, v->first, v->last);
        print_members(out, g, m, i, true);
        pm_text_add(out, "]}");
    }
    pm_text_add(out, "\n ]}\n");
}

/* The problem without our answer, as MiniMalloc (Moffitt 2023) and other solvers read it: `upper` is the step behind the
 * last one, sizes are aligned ones. */
static void print_csv(pm_text *out, const pm_graph_plan *p) {
    pm_text_add(out, "id,lower,upper,size\n");
    for (size_t i = 0; i < p->n_intervals; i++)
        pm_text_add(out, "%zu,%" PRIu32 ",%" PRIu32 ",%" PRIu64 "\n", i, p->intervals[i].first,
                    p->intervals[i].last + 1, pm_align_up(p->intervals[i].bytes, p->alignment));
}

pm_status pm_plan_print(const pm_graph *g, const pm_graph_plan *p, const char *format, char **out_text) {
    bool json = strcmp(format, "json") == 0, csv = strcmp(format, "csv") == 0;
    pm_text text = {0};
    members m = {0};
    *out_text = NULL;
    if (!json && !csv && strcmp(format, "text") != 0)
        return pm_raise(PM_ERR_USAGE, "dump: format \"%s\" of a plan, text, json or csv was expected",
                        format);
    pm_status s = find_members(g, p, &m);
    if (s == PM_OK) {
        if (csv)
            print_csv(&text, p);
        else
            (json ? print_json : print_text)(&text, g, p, &m);
        s = pm_text_status(&text);
    }
    pm_free(m.heads);
    pm_free(m.next);
    if (s == PM_OK)
        *out_text = text.data;
    else
        pm_text_free(&text);
    return s;
}
