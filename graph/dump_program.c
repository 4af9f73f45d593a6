/* The program for people and programs: text lines or JSON. Only reads. */
#include "graph/compile.h"
#include "graph/placement.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const external_kinds[] = {
    [PM_EXTERNAL_WEIGHT] = "weight",
    [PM_EXTERNAL_STATE] = "state",
    [PM_EXTERNAL_CONSTANTS] = "constants",
    [PM_EXTERNAL_PARAMS] = "params",
};

static void print_shape(pm_text *out, const pm_io *io) {
    for (int32_t k = 0; k < io->rank; k++) pm_text_add(out, "%s%" PRId64, k ? "," : "", io->dims[k]);
}

/* ---- places ---- */

/* How dispatches read a weight of the host's memory. */
typedef struct reading {
    bool in_place, slots[PM_STREAM_SLOTS];
} reading;

/* Of each external; of zeros where all is resident. NULL: memory is out. */
static reading *make_readings(const pm_program *p) {
    reading *all = pm_calloc(p->n_externals, sizeof *all);
    for (uint32_t i = 0; all && p->placement && i < p->n_dispatches; i++) {
        const pm_stream *s = &p->placement->stream;
        const pm_dispatch *d = &p->dispatches[i];
        for (uint32_t b = 0; b < d->n_bindings; b++) {
            if (d->bindings[b].slot < p->n_blocks || d->unused >> b & 1) continue;
            reading *r = &all[d->bindings[b].slot - p->n_blocks];
            if (pm_stream_find(s, p, i, b))
                r->slots[(s->group_of[i] - 1) % PM_STREAM_SLOTS] = true;
            else
                r->in_place = true;
        }
    }
    return all;
}

static void add_word(pm_text *out, const char *word, bool *later) {
    pm_text_add(out, "%s%s", *later ? " and " : "", word);
    *later = true;
}

/* resident, in place, streamed slot 0, streamed slot 1, or several of the last three. */
static void add_place(pm_text *out, const pm_program *p, const reading *r, uint32_t e) {
    static const char *const streamed[PM_STREAM_SLOTS] = {"streamed slot 0", "streamed slot 1"};
    bool later = false;
    if (!p->placement->on_host[e]) {
        pm_text_add(out, "resident");
        return;
    }
    for (int i = 0; i < PM_STREAM_SLOTS; i++)
        if (r[e].slots[i]) add_word(out, streamed[i], &later);
    if (r[e].in_place || !later) add_word(out, "in place", &later);
}

static bool is_placed(const pm_program *p, uint32_t e) {
    return p->placement && p->externals[e].kind == PM_EXTERNAL_WEIGHT;
}

static void print_placement(pm_text *out, const pm_placement *at) {
    const pm_stream *s = &at->stream;
    pm_text_add(out,
                "within %" PRIu64 " bytes: %u weights of %" PRIu64 " bytes resident, %u of %" PRIu64
                " in the host's memory; a run copies %" PRIu64 " bytes through %d slots of %" PRIu64
                " and reads %" PRIu64 " in place\n",
                at->limit_bytes, at->n_resident, at->resident_bytes, at->n_on_host, at->host_bytes,
                s->copied_bytes, PM_STREAM_SLOTS, s->slot_bytes, s->in_place_bytes);
}

static void placement_json(pm_text *out, const pm_placement *at) {
    pm_text_add(out,
                " \"max_memory_bytes\": %" PRIu64 ", \"resident_bytes\": %" PRIu64
                ", \"host_bytes\": %" PRIu64 ", \"slot_bytes\": %" PRIu64 ", \"streamed_bytes\": %" PRIu64
                ", \"in_place_bytes\": %" PRIu64 ",\n",
                at->limit_bytes, at->resident_bytes, at->host_bytes, at->stream.slot_bytes,
                at->stream.copied_bytes, at->stream.in_place_bytes);
}

/* ---- text ---- */

static void print_io(pm_text *out, const char *what, const pm_io *io) {
    pm_text_add(out, "%s \"%s\": %s[", what, io->name, pm_dtype_name(io->dtype));
    print_shape(out, io);
    pm_text_add(out, "] at %u:%" PRIu64 "+%" PRIu64 "\n", io->range.slot, io->range.offset, io->range.bytes);
}

static void print_head(pm_text *out, const pm_program *p, const reading *r) {
    pm_text_add(out,
                "program \"%s\": %u dispatches, %u barriers, %u submissions, %u fallback operations, "
                "%u copies of %" PRIu64 " bytes\n",
                p->name, p->n_dispatches, p->n_barriers, p->n_submits, p->n_fallback, p->n_copies,
                p->copied_bytes);
    pm_text_add(out, "arena %" PRIu64 " bytes, lower bound %" PRIu64 ", largest tensor %" PRIu64 "\n",
                p->arena_bytes, p->lower_bound_bytes, p->largest_tensor_bytes);
    pm_text_add(out, "weights %" PRIu64 " bytes, states %" PRIu64 ", constants %" PRIu64 "\n",
                pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT),
                pm_program_external_bytes(p, PM_EXTERNAL_STATE), p->constants_bytes);
    if (p->placement) print_placement(out, p->placement);
    for (uint32_t b = 0; b < p->n_blocks; b++)
        pm_text_add(out, "slot %u: block of %" PRIu64 " bytes\n", b, p->block_bytes[b]);
    for (uint32_t e = 0; e < p->n_externals; e++) {
        pm_text_add(out, "slot %u: %s \"%s\", %s, %" PRIu64 " bytes%s", p->n_blocks + e,
                    external_kinds[p->externals[e].kind], p->externals[e].name,
                    pm_dtype_name(p->externals[e].dtype), p->externals[e].bytes, is_placed(p, e) ? ", " : "");
        if (is_placed(p, e)) add_place(out, p, r, e);
        pm_text_add(out, "\n");
    }
    for (uint32_t i = 0; i < p->n_params; i++) pm_text_add(out, "param %u: \"%s\"\n", i, p->param_names[i]);
    for (uint32_t i = 0; i < p->n_inputs; i++) print_io(out, "input", &p->inputs[i]);
    for (uint32_t i = 0; i < p->n_outputs; i++) print_io(out, "output", &p->outputs[i]);
}

static void print_dispatch(pm_text *out, uint32_t index, const pm_dispatch *d) {
    char groups[48];
    snprintf(groups, sizeof groups, "%ux%ux%u", d->groups[0], d->groups[1], d->groups[2]);
    pm_text_add(out, "%5u %c%c %-26s %-14s %-36s", index, d->submit ? 'S' : '.', d->barrier ? 'B' : '.',
                pm_variant_get(d->variant)->name, groups, d->label);
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        const pm_range *r = &d->bindings[b];
        if (d->unused >> b & 1)
            pm_text_add(out, " _");
        else
            pm_text_add(out, " %s%u:%" PRIu64 "+%" PRIu64, d->written >> b & 1 ? "->" : "", r->slot,
                        r->offset, r->bytes);
    }
    pm_text_add(out, "\n");
}

static void print_text(pm_text *out, const pm_program *p, const reading *r, const uint64_t *ns) {
    print_head(out, p, r);
    if (ns) pm_text_add(out, "%11s", "us");
    pm_text_add(out, "%5s %2s %-26s %-14s %-36s %s\n", "", "", "variant", "groups", "operation",
                "bindings (slot:offset+bytes, -> written, _ absent)");
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        if (ns) pm_text_add(out, "%11.2f", (double)ns[i] / 1e3);
        print_dispatch(out, i, &p->dispatches[i]);
    }
}

/* ---- JSON ---- */

static void range_json(pm_text *out, const pm_range *r) {
    pm_text_add(out, "\"slot\": %u, \"offset\": %" PRIu64 ", \"bytes\": %" PRIu64, r->slot, r->offset,
                r->bytes);
}

static void ios_json(pm_text *out, const char *what, const pm_io *ios, uint32_t n) {
    pm_text_add(out, " \"%s\": [", what);
    for (uint32_t i = 0; i < n; i++) {
        pm_text_add(out, "%s\n  {\"name\": ", i ? "," : "");
        pm_text_add_json(out, ios[i].name);
        pm_text_add(out, ", \"type\": \"%s\", \"dims\": [", pm_dtype_name(ios[i].dtype));
        print_shape(out, &ios[i]);
        pm_text_add(out, "], ");
        range_json(out, &ios[i].range);
        pm_text_add(out, "}");
    }
    pm_text_add(out, "],\n");
}

static void externals_json(pm_text *out, const pm_program *p, const reading *r) {
    pm_text_add(out, " \"externals\": [");
    for (uint32_t e = 0; e < p->n_externals; e++) {
        pm_text_add(out, "%s\n  {\"slot\": %u, \"kind\": \"%s\", \"name\": ", e ? "," : "", p->n_blocks + e,
                    external_kinds[p->externals[e].kind]);
        pm_text_add_json(out, p->externals[e].name);
        pm_text_add(out, ", \"bytes\": %" PRIu64, p->externals[e].bytes);
        if (is_placed(p, e)) {
            pm_text_add(out, ", \"place\": \"");
            add_place(out, p, r, e);
            pm_text_add(out, "\"");
        }
        pm_text_add(out, "}");
    }
    pm_text_add(out, "],\n \"params\": [");
    for (uint32_t i = 0; i < p->n_params; i++) {
        pm_text_add(out, "%s", i ? ", " : "");
        pm_text_add_json(out, p->param_names[i]);
    }
    pm_text_add(out, "],\n");
}

static void dispatch_json(pm_text *out, const pm_dispatch *d, const uint64_t *ns) {
    pm_text_add(out, "{\"kernel\": \"%s\", \"variant\": \"%s\", \"label\": ", pm_kernel_get(d->kernel)->name,
                pm_variant_get(d->variant)->name);
    pm_text_add_json(out, d->label);
    pm_text_add(
        out,
        ", \"node\": %u, \"groups\": [%u, %u, %u], \"barrier\": %s, \"submit\": %s, \"cost\": %" PRIu64
        ", \"bindings\": [",
        d->node, d->groups[0], d->groups[1], d->groups[2], d->barrier ? "true" : "false",
        d->submit ? "true" : "false", d->cost);
    for (uint32_t b = 0; b < d->n_bindings; b++) {
        pm_text_add(out, "%s{", b ? ", " : "");
        range_json(out, &d->bindings[b]);
        pm_text_add(out, ", \"use\": \"%s\"}",
                    d->unused >> b & 1    ? "absent"
                    : d->written >> b & 1 ? "write"
                                          : "read");
    }
    pm_text_add(out, "]");
    if (ns) pm_text_add(out, ", \"ns\": %" PRIu64, *ns);
    pm_text_add(out, "}");
}

static void print_json(pm_text *out, const pm_program *p, const reading *r, const uint64_t *ns) {
    pm_text_add(out, "{\"program\": ");
    pm_text_add_json(out, p->name);
    pm_text_add(out,
                ", \"n_dispatches\": %u, \"n_barriers\": %u, \"n_submits\": %u, \"fallback_ops\": %u, "
                "\"n_copies\": %u, \"copied_bytes\": %" PRIu64 ",\n",
                p->n_dispatches, p->n_barriers, p->n_submits, p->n_fallback, p->n_copies, p->copied_bytes);
    pm_text_add(out,
                " \"arena_bytes\": %" PRIu64 ", \"lower_bound_bytes\": %" PRIu64
                ", \"largest_tensor_bytes\": %" PRIu64 ",\n",
                p->arena_bytes, p->lower_bound_bytes, p->largest_tensor_bytes);
    pm_text_add(out,
                " \"weight_bytes\": %" PRIu64 ", \"state_bytes\": %" PRIu64 ", \"constant_bytes\": %" PRIu64
                ",\n",
                pm_program_external_bytes(p, PM_EXTERNAL_WEIGHT),
                pm_program_external_bytes(p, PM_EXTERNAL_STATE), p->constants_bytes);
    if (p->placement) placement_json(out, p->placement);
    pm_text_add(out, " \"blocks\": [");
    for (uint32_t b = 0; b < p->n_blocks; b++)
        pm_text_add(out, "%s%" PRIu64, b ? ", " : "", p->block_bytes[b]);
    pm_text_add(out, "],\n");
    externals_json(out, p, r);
    ios_json(out, "inputs", p->inputs, p->n_inputs);
    ios_json(out, "outputs", p->outputs, p->n_outputs);
    pm_text_add(out, " \"dispatches\": [");
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        pm_text_add(out, "%s\n  ", i ? "," : "");
        dispatch_json(out, &p->dispatches[i], ns ? &ns[i] : NULL);
    }
    pm_text_add(out, "\n ]}\n");
}

pm_status pm_program_print(const pm_program *p, const char *format, const uint64_t *ns, char **out_text) {
    bool json = strcmp(format, "json") == 0;
    pm_text text = {0};
    *out_text = NULL;
    if (!json && strcmp(format, "text") != 0)
        return pm_raise(PM_ERR_USAGE, "dump: format \"%s\" of a program, text or json was expected", format);
    reading *readings = make_readings(p);
    if (!readings) return PM_ERR_MEMORY;
    (json ? print_json : print_text)(&text, p, readings, ns);
    pm_free(readings);
    if (pm_text_status(&text) == PM_OK)
        *out_text = text.data;
    else
        pm_text_free(&text);
    return *out_text ? PM_OK : PM_ERR_MEMORY;
}
