/* See verify.h. One dispatch at a time: operands are read from the device, the reference kernel runs on the copies (with
 * bounds), the device steps, its result is compared and then replaced by the reference's, so that errors do not add up and
 * the next dispatch starts from the reference's values. Then the whole: the device's dispatches one by one, with nothing
 * put in between, and two replays must agree in every bit of outputs and states; a barrier or a submission that is
 * missing, or a binding that is wrong only in the recorded program, shows here. */
#include "runtime/verify.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/cpu/cpu_kernel.h"
#include "runtime/npy.h"
#include "shaders/elementwise.params.h"

#define MAX_DUMPED 4 /* offenders whose tensors are written */

void pm_verify_report_free(pm_verify_report *r) {
    if (!r) return;
    pm_free(r->rows);
    if (r->arena) {
        pm_arena_free(r->arena);
        pm_free(r->arena);
    }
    *r = (pm_verify_report){.first_out = -1};
}

static char *keep(pm_verify_report *r, const char *text) {
    if (!r->arena) r->arena = pm_calloc(1, sizeof(pm_arena));
    return r->arena ? pm_arena_strdup(r->arena, text) : NULL;
}

/* ---- one dispatch ---- */

/* The reference's result with its bounds, and the device's. */
typedef struct result {
    uint32_t *want, *got;
    float *bound; /* -1 where the kernel writes nothing: the device must leave such words as they are */
    uint64_t n;   /* words of the range */
} result;

/* Host copies of a dispatch's operands, and its results; both by binding. */
typedef struct comparison {
    const pm_dispatch *d;
    uint32_t *in[PM_MAX_BINDINGS];
    result results[PM_MAX_BINDINGS]; /* n 0 where none is written */
} comparison;

static void free_comparison(comparison *c) {
    for (uint32_t i = 0; i < PM_MAX_BINDINGS; i++) pm_free(c->in[i]);
    for (uint32_t i = 0; i < PM_MAX_BINDINGS; i++) {
        pm_free(c->results[i].want);
        pm_free(c->results[i].got);
        pm_free(c->results[i].bound);
    }
}

static pm_status copy_range(pm_loaded *l, const pm_range *r, uint32_t **out) {
    *out = pm_alloc((size_t)r->bytes);
    return *out ? pm_loaded_peek(l, r, *out) : PM_ERR_MEMORY;
}

static pm_status make_result(result *r, pm_loaded *l, const pm_range *range) {
    r->n = range->bytes / 4;
    PM_TRY(copy_range(l, range, &r->want)); /* what the kernel leaves alone stays */
    r->got = pm_alloc((size_t)range->bytes);
    r->bound = pm_realloc_array(NULL, (size_t)r->n, sizeof *r->bound);
    if (!r->got || !r->bound) return PM_ERR_MEMORY;
    for (uint64_t i = 0; i < r->n; i++) r->bound[i] = -1; /* not written */
    return PM_OK;
}

static pm_status run_reference(comparison *c, pm_loaded *l) {
    const pm_dispatch *d = c->d;
    const pm_cpu_kernel *kernel = pm_reference_kernel(d->kernel);
    pm_call call = {.params = d->params, .spec = d->spec};
    for (uint32_t i = 0; i < d->n_bindings; i++) {
        result *r = &c->results[i];
        if (d->unused >> i & 1) continue;
        if (d->written >> i & 1) {
            PM_TRY(make_result(r, l, &d->bindings[i]));
            call.also[i] = r->want;
            call.also_bound[i] = r->bound;
        } else {
            PM_TRY(copy_range(l, &d->bindings[i], &c->in[i]));
            call.in[i] = c->in[i];
        }
    }
    call.out = call.also[d->n_bindings - 1];
    call.bound = call.also_bound[d->n_bindings - 1];
    kernel->run(&call, 0, kernel->n_items(&call));
    return PM_OK;
}

static bool writes_integers(const pm_dispatch *d) {
    return d->kernel == PM_KERNEL_ARGMAX || d->kernel == PM_KERNEL_TOP_K || d->kernel == PM_KERNEL_SAMPLE ||
           d->kernel == PM_KERNEL_ADVANCE ||
           (d->kernel == PM_KERNEL_BINARY && d->spec[PM_SPEC_FN] >= PM_FN_I32);
}

/* Kernels whose results are integers, or words of any type that they only move. */
static bool writes_words(const pm_dispatch *d) {
    if (d->kernel == PM_KERNEL_BINARY) return d->spec[PM_SPEC_FN] & PM_FN_I32;
    return writes_integers(d) || d->kernel == PM_KERNEL_GATHER || d->kernel == PM_KERNEL_CACHE_WRITE ||
           d->kernel == PM_KERNEL_REL_SHIFT;
}

/* Error over bound of one word; more than 1 is out. An exact word (bound 0) must have the same bits; a float may be a
 * zero of the other sign. NaN is NaN, whatever its bits; a bound of FLT_MAX lets any finite number pass. */
static double word_ratio(uint32_t got, uint32_t want, float bound, bool is_float, double *out_error) {
    float g, w;
    memcpy(&g, &got, sizeof g);
    memcpy(&w, &want, sizeof w);
    *out_error = 0;
    if (got == want) return 0;
    *out_error = fabs((double)g - (double)w);
    if (is_float && isnan(g) && isnan(w)) return 0;
    if (bound == 0) return is_float && g == 0 && w == 0 ? 0 : INFINITY;
    if (!isfinite(g) || !isfinite(w) || !isfinite(bound)) return INFINITY;
    return *out_error / (double)bound;
}

static bool is_not_finite(uint32_t word) {
    return (word & 0x7f800000u) == 0x7f800000u;
}

static void compare_result(const result *c, bool is_float, pm_verify_row *row) {
    for (uint64_t i = 0; i < c->n; i++) {
        bool written = !(c->bound[i] < 0);
        float bound = written ? c->bound[i] : 0;
        double error, ratio = word_ratio(c->got[i], c->want[i], bound, is_float, &error);
        row->n_elements += written;
        row->n_not_finite += written && is_float && is_not_finite(c->want[i]);
        row->n_out += !(ratio <= 1);
        if (ratio <= row->worst_ratio) continue;
        row->worst_ratio = ratio;
        row->worst_error = error;
        row->bound = (double)bound;
        row->worst_index = i;
    }
}

static void compare(const comparison *c, pm_verify_row *row) {
    row->worst_ratio = -1;
    for (uint32_t b = 0; b < PM_MAX_BINDINGS; b++) compare_result(&c->results[b], !writes_words(c->d), row);
    if (row->worst_ratio < 0) row->worst_ratio = 0;
    /* reports are printed and written as JSON: no infinities */
    if (!isfinite(row->worst_ratio)) row->worst_ratio = 1e30;
    if (!isfinite(row->worst_error)) row->worst_error = 1e30;
    if (!isfinite(row->bound)) row->bound = 1e30;
}

/* Files of a result: of the last binding "got", "want" and "bound", of others with their number before. */
static pm_status dump_result(const comparison *c, uint32_t binding, const char *stem) {
    const result *r = &c->results[binding];
    const struct {
        const char *name;
        const void *words;
        bool integers;
    } files[] = {{"got", r->got, writes_integers(c->d)},
                 {"want", r->want, writes_integers(c->d)},
                 {"bound", r->bound, false}};
    char path[4096 + 128], number[32] = "";
    if (binding + 1 < c->d->n_bindings) snprintf(number, sizeof number, "binding%u-", binding);
    for (size_t i = 0; i < PM_COUNT(files); i++) {
        snprintf(path, sizeof path, "%s-%s%s.npy", stem, number, files[i].name);
        PM_TRY(pm_npy_write(path, files[i].words, r->n, files[i].integers));
    }
    return PM_OK;
}

static pm_status dump(const comparison *c, size_t row, const char *dir) {
    char stem[4096], path[4096 + 64];
    snprintf(stem, sizeof stem, "%s/%04zu-%s", dir, row, pm_kernel_get(c->d->kernel)->name);
    for (uint32_t i = 0; i < c->d->n_bindings; i++) {
        if (c->results[i].n) PM_TRY(dump_result(c, i, stem));
        if (!c->in[i]) continue;
        snprintf(path, sizeof path, "%s-operand%u.npy", stem, i);
        PM_TRY(pm_npy_write(path, c->in[i], c->d->bindings[i].bytes / 4, false));
    }
    return PM_OK;
}

static size_t count_out(const pm_verify_report *r) {
    size_t n = 0;
    for (size_t i = 0; i < r->n_rows; i++) n += r->rows[i].n_out > 0;
    return n;
}

static pm_status add_row(pm_verify_report *r, const char *name, const pm_dispatch *d, const comparison *c) {
    void *rows = r->rows;
    PM_TRY(pm_grow(&rows, &r->rows_capacity, r->n_rows + 1, sizeof *r->rows));
    r->rows = rows;
    pm_verify_row row = {.program = keep(r, name),
                         .label = keep(r, d->label),
                         .kernel = pm_kernel_get(d->kernel)->name,
                         .variant = pm_variant_get(d->variant)->name};
    if (!row.program || !row.label) return PM_ERR_MEMORY;
    compare(c, &row);
    r->rows[r->n_rows] = row;
    if (row.n_out && r->first_out < 0) r->first_out = (int64_t)r->n_rows;
    r->n_rows++;
    return PM_OK;
}

/* One comparison: runs the reference kernel on operands read from the device before its step, then steps the device and
 * compares. Adds a row. */
static pm_status verify_dispatch(const char *name, pm_loaded *l, uint32_t dispatch, const char *dump_dir,
                                 pm_verify_report *r) {
    comparison c = {.d = &l->program->dispatches[dispatch]};
    pm_status s;
    PM_GOTO(run_reference(&c, l));
    PM_GOTO(pm_loaded_step(l, dispatch));
    for (uint32_t i = 0; i < c.d->n_bindings; i++)
        if (c.results[i].n) PM_GOTO(pm_loaded_peek(l, &c.d->bindings[i], c.results[i].got));
    PM_GOTO(add_row(r, name, c.d, &c));
    if (r->rows[r->n_rows - 1].n_out && dump_dir && count_out(r) <= MAX_DUMPED)
        PM_GOTO(dump(&c, r->n_rows - 1, dump_dir));
    for (uint32_t i = 0; i < c.d->n_bindings; i++)
        if (c.results[i].n) PM_GOTO(pm_loaded_poke(l, &c.d->bindings[i], c.results[i].want));
fail:
    free_comparison(&c);
    return s;
}

/* ---- a whole program ---- */

/* Contents of the program's states, one an external (NULL for the others), read from or put back into the store. */
static pm_status save_states(pm_executor *ex, const pm_program *p, void **copies) {
    for (uint32_t i = 0; i < p->n_externals; i++) {
        if (p->externals[i].kind != PM_EXTERNAL_STATE) continue;
        if (!copies[i]) copies[i] = pm_alloc((size_t)p->externals[i].bytes);
        if (!copies[i]) return PM_ERR_MEMORY;
        pm_status s = pm_executor_get(ex, p->externals[i].name, copies[i], p->externals[i].bytes);
        if (s == PM_OK) continue;
        pm_free(copies[i]);
        copies[i] = NULL; /* nothing to put back */
        return s;
    }
    return PM_OK;
}

static pm_status restore_states(pm_executor *ex, const pm_program *p, void *const *copies) {
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (copies[i]) PM_TRY(pm_executor_put(ex, p->externals[i].name, copies[i], p->externals[i].bytes));
    return PM_OK;
}

static void free_copies(void **copies, uint32_t n) {
    for (uint32_t i = 0; copies && i < n; i++) pm_free(copies[i]);
    pm_free(copies);
}

static pm_status note_unequal(const pm_verify_job *job, const char *what, const char *name,
                              pm_verify_report *r) {
    r->bit_equal = false;
    if (r->bit_unequal) return PM_OK;
    char text[512];
    snprintf(text, sizeof text, "%s: %s in %s", job->name, what, name);
    r->bit_unequal = keep(r, text);
    return r->bit_unequal ? PM_OK : PM_ERR_MEMORY;
}

/* Fills the arena, so that no result is one that an earlier run left there. */
static pm_status spoil_arena(pm_loaded *l) {
    enum { WORDS = 1 << 16 };
    uint32_t *junk = pm_alloc(WORDS * sizeof *junk);
    pm_status s = junk ? PM_OK : PM_ERR_MEMORY;
    for (size_t i = 0; junk && i < WORDS; i++) junk[i] = PM_UNWRITTEN_WORD;
    for (uint32_t b = 0; b < l->program->n_blocks; b++)
        for (uint64_t at = 0, end = l->program->block_bytes[b]; s == PM_OK && at < end;
             at += WORDS * sizeof *junk) {
            uint64_t left = end - at, most = WORDS * sizeof *junk;
            s = pm_loaded_poke(l, &(pm_range){.slot = b, .offset = at, .bytes = left < most ? left : most},
                               junk);
        }
    pm_free(junk);
    return s;
}

/* Results of one whole run. */
typedef struct run_copies {
    void **outputs, **states;
} run_copies;

static void free_run(run_copies *r, const pm_program *p) {
    free_copies(r->outputs, p->n_outputs);
    free_copies(r->states, p->n_externals);
}

static pm_status run_in_steps(const pm_verify_job *job, pm_loaded *l) {
    const pm_program *p = job->program;
    for (uint32_t i = 0; i < p->n_inputs; i++) PM_TRY(pm_loaded_poke(l, &p->inputs[i].range, job->inputs[i]));
    for (uint32_t i = 0; i < p->n_dispatches; i++) PM_TRY(pm_loaded_step(l, i));
    return PM_OK;
}

static pm_status replay(const pm_verify_job *job, pm_loaded *l) {
    const pm_program *p = job->program;
    for (uint32_t i = 0; i < p->n_inputs; i++)
        PM_TRY(pm_loaded_write(l, i, job->inputs[i], p->inputs[i].range.bytes));
    return pm_loaded_run(l);
}

static pm_status whole_run(const pm_verify_job *job, pm_loaded *l, void *const *states, bool in_steps,
                           run_copies *out) {
    const pm_program *p = job->program;
    out->outputs = pm_calloc(p->n_outputs, sizeof *out->outputs);
    out->states = pm_calloc(p->n_externals, sizeof *out->states);
    if (!out->outputs || !out->states) return PM_ERR_MEMORY;
    PM_TRY(restore_states(job->device, p, states));
    PM_TRY(spoil_arena(l));
    PM_TRY(in_steps ? run_in_steps(job, l) : replay(job, l));
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        const pm_range *range = &p->outputs[i].range;
        out->outputs[i] = pm_alloc((size_t)range->bytes);
        if (!out->outputs[i]) return PM_ERR_MEMORY;
        PM_TRY(in_steps ? pm_loaded_peek(l, range, out->outputs[i])
                        : pm_loaded_read(l, i, out->outputs[i], range->bytes));
    }
    return save_states(job->device, p, out->states);
}

static pm_status compare_runs(const pm_verify_job *job, const run_copies *a, const run_copies *b,
                              const char *what, pm_verify_report *r) {
    const pm_program *p = job->program;
    for (uint32_t i = 0; i < p->n_outputs; i++)
        if (memcmp(a->outputs[i], b->outputs[i], (size_t)p->outputs[i].range.bytes) != 0)
            PM_TRY(note_unequal(job, what, p->outputs[i].name, r));
    for (uint32_t i = 0; i < p->n_externals; i++)
        if (a->states[i] && memcmp(a->states[i], b->states[i], (size_t)p->externals[i].bytes) != 0)
            PM_TRY(note_unequal(job, what, p->externals[i].name, r));
    return PM_OK;
}

static pm_status check_replay(const pm_verify_job *job, pm_loaded *l, void *const *states,
                              pm_verify_report *r) {
    run_copies runs[3] = {{0}};
    pm_status s;
    for (int i = 0; i < 3; i++) PM_GOTO(whole_run(job, l, states, i == 0, &runs[i]));
    PM_GOTO(compare_runs(job, &runs[1], &runs[2], "two runs differ", r));
    PM_GOTO(
        compare_runs(job, &runs[0], &runs[1], "the recorded run differs from its operations one by one", r));
fail:
    for (int i = 0; i < 3; i++) free_run(&runs[i], job->program);
    return s;
}

pm_status pm_verify_program(const pm_verify_job *job, pm_verify_report *report) {
    const pm_program *p = job->program;
    pm_loaded *l = NULL;
    pm_status s = PM_ERR_MEMORY;
    void **states = pm_calloc(p->n_externals, sizeof *states);
    if (!states) return s;
    PM_GOTO(pm_executor_load(job->device, p, &l));
    PM_GOTO(save_states(job->device, p, states));
    for (uint32_t i = 0; i < p->n_params; i++) pm_loaded_set_param(l, i, job->params ? job->params[i] : 0);
    for (uint32_t i = 0; i < p->n_inputs; i++)
        PM_GOTO(pm_loaded_poke(l, &p->inputs[i].range, job->inputs[i]));
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        PM_GOTO(verify_dispatch(job->name, l, i, job->dump_dir, report));
    PM_GOTO(check_replay(job, l, states, report));
    PM_GOTO(restore_states(job->device, p, states));
fail:
    if (s != PM_OK && l)
        (void)restore_states(job->device, p, states); /* as far as it can; s says what failed */
    pm_loaded_unload(l);
    free_copies(states, p->n_externals);
    return s;
}

pm_status pm_verify_verdict(const pm_verify_report *r) {
    if (r->first_out >= 0) {
        const pm_verify_row *row = &r->rows[r->first_out];
        return pm_raise(PM_ERR_VERIFY,
                        "verification failed: %s: %s (%s) is off by %.3g at element %llu, the bound is %.3g",
                        row->program, row->label, row->variant, row->worst_error,
                        (unsigned long long)row->worst_index, row->bound);
    }
    if (!r->bit_equal) return pm_raise(PM_ERR_VERIFY, "verification failed: %s", r->bit_unequal);
    return PM_OK;
}
