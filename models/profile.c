/* See profile.h. Events of one run stand together, in the order of the dispatches, as runtime/trace.c writes them. */
#include "models/profile.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SAMPLES = 255 };

typedef struct reading {
    const pm_program *p;
    uint64_t *ns; /* samples x dispatches; the last one is being read */
    size_t n_samples;
    uint32_t next; /* the dispatch that a run which fits would show next */
    pm_text seen; /* programs in the file, for the error */
    const char *last_seen;
} reading;

static const char *text_of(const json_t *args, const char *key) {
    const char *text = json_string_value(json_object_get(args, key));
    return text ? text : "";
}

static void note_program(reading *r, const char *name) {
    if (r->last_seen && !strcmp(r->last_seen, name)) return;
    r->last_seen = name;
    if (r->seen.length < 200) pm_text_add(&r->seen, "%s\"%.60s\"", r->seen.length ? ", " : "", name);
}

static bool fits(const reading *r, const json_t *event, const json_t *args, uint32_t i) {
    const pm_dispatch *d = &r->p->dispatches[i];
    return !strcmp(text_of(event, "name"), d->label) && !strcmp(text_of(args, "program"), r->p->name) &&
           !strcmp(text_of(args, "variant"), pm_variant_get(d->variant)->name) &&
           json_integer_value(json_object_get(args, "cost")) == (json_int_t)d->cost;
}

/* Takes the dispatch if it goes on with a run of this program; a run counts once its last dispatch was there. */
static void take(reading *r, const json_t *event) {
    const json_t *args = json_object_get(event, "args");
    uint32_t n = r->p->n_dispatches;
    json_int_t i = json_integer_value(json_object_get(args, "dispatch"));
    double ns = json_number_value(json_object_get(event, "dur")) * 1e3;
    note_program(r, text_of(args, "program"));
    if (i == 0) r->next = 0;
    if (i != r->next || r->next >= n || !(ns >= 0 && ns < 1e18) || !fits(r, event, args, r->next)) {
        r->next = n;
        return;
    }
    r->ns[r->n_samples * n + r->next++] = (uint64_t)llround(ns);
    if (r->next == n && r->n_samples < MAX_SAMPLES) r->n_samples++;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static pm_status find_medians(const reading *r, const char *path, uint64_t **out_ns) {
    uint64_t column[MAX_SAMPLES], n = r->p->n_dispatches;
    if (!r->n_samples)
        return pm_raise(PM_ERR_USAGE,
                        "profile %s: it has no run of this program, \"%s\" with %" PRIu32
                        " dispatches, but runs of %s; "
                        "expected the same shapes, outputs and device",
                        path, r->p->name, r->p->n_dispatches, r->seen.data ? r->seen.data : "none");
    uint64_t *ns = pm_calloc(r->p->n_dispatches, sizeof *ns);
    if (!ns) return PM_ERR_MEMORY;
    for (uint64_t i = 0; i < n; i++) {
        for (size_t k = 0; k < r->n_samples; k++) column[k] = r->ns[k * n + i];
        qsort(column, r->n_samples, sizeof *column, by_value);
        ns[i] = column[r->n_samples / 2];
    }
    *out_ns = ns;
    return PM_OK;
}

pm_status pm_profile_read(const char *path, const pm_program *p, uint64_t **out_ns) {
    json_error_t e;
    reading r = {.p = p};
    size_t i;
    json_t *root = json_load_file(path, 0, &e), *events = json_object_get(root, "traceEvents"), *event;
    pm_status s = PM_OK;
    *out_ns = NULL;
    if (!json_is_array(events))
        s = pm_raise(PM_ERR_FILE, "profile %s: %s, expected what --trace writes", path,
                     root ? "no array traceEvents in it" : e.text);
    else if (!(r.ns = pm_calloc((MAX_SAMPLES + 1) * (size_t)p->n_dispatches, sizeof *r.ns)))
        s = PM_ERR_MEMORY;
    else
        json_array_foreach(events, i, event) if (!strcmp(text_of(event, "cat"), "dispatch")) take(&r, event);
    if (s == PM_OK) s = pm_text_status(&r.seen);
    if (s == PM_OK) s = find_medians(&r, path, out_ns);
    pm_text_free(&r.seen);
    pm_free(r.ns);
    json_decref(root);
    return s;
}
