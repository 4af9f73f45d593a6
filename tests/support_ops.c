/* Runs the cases of op_cases_*.c against the reference kernels. Owns the filling of leaves and the
 * comparison; knows no kernel. Invariant: a dispatch of the executor and the reference kernel see the same
 * words in every binding. */
#include "tests/support_ops.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/cpu/reference.h"

/* ---- the table ---- */

const test_op_case *test_op_cases(size_t *out_n) {
    static const test_op_table *const tables[] = {
        &test_elementwise_cases, &test_rows_cases,      &test_softmax_cases,
        &test_matmul_cases,      &test_attention_cases, &test_data_cases,
        &test_grouped_cases,     &test_cache_cases,     &test_sample_cases};
    static test_op_case all[1024];
    static size_t n;
    for (size_t i = 0; n == 0 || i > 0; i++) {
        if (i == PM_COUNT(tables)) break;
        assert_true(n + tables[i]->n <= PM_COUNT(all));
        memcpy(all + n, tables[i]->cases, tables[i]->n * sizeof *all);
        n += tables[i]->n;
    }
    *out_n = n;
    return all;
}

int test_rank_of(const test_op_case *c) {
    int rank = 0;
    while (rank < PM_MAX_DIMS && c->size[rank] > 0) rank++;
    return rank;
}

/* ---- values ---- */

static uint64_t seed_of(const char *a, const char *b) { /* FNV-1a */
    uint64_t h = 14695981039346656037u;
    for (; *a; a++) h = (h ^ (unsigned char)*a) * 1099511628211u;
    for (; *b; b++) h = (h ^ (unsigned char)*b) * 1099511628211u;
    return h;
}

static const test_hint *hint_of(const test_op_case *c, const char *leaf) {
    for (int i = 0; i < TEST_MAX_HINTS && c->hints[i].leaf; i++)
        if (!strcmp(c->hints[i].leaf, leaf)) return &c->hints[i];
    return NULL;
}

/* In double: the range may span all of float. */
static float uniform_value(test_rng *r, const test_hint *h) {
    return (float)(h->lo + (h->hi - h->lo) * (double)(test_random(r) >> 40) / 16777216.0);
}

static float hard_value(test_rng *r, const test_hint *h, float before) {
    float x = uniform_value(r, h);
    bool has_zero = h->lo <= 0 && h->hi >= 0;
    if (h->values == TEST_SPECIAL && test_below(r, 4) == 0) return test_below(r, 2) ? PM_MASKED : -3e38f;
    if ((h->values == TEST_NONFINITE || h->values == TEST_NAN) && test_below(r, 4) == 0)
        return test_below(r, 2) ? NAN : h->values == TEST_NAN || test_below(r, 2) ? -INFINITY : INFINITY;
    switch (test_below(r, 40)) {
    case 0: return has_zero ? 0.0f : x;
    case 1: return has_zero && h->lo < 0 ? -0.0f : x;
    case 2: return h->hi - h->lo > 2 ? rintf(x) : x;
    case 3: return has_zero ? ldexpf(x, -20) : x;
    case 4: return before;
    default: return x;
    }
}

static float f32_value(test_rng *r, const test_hint *h, uint64_t i, float before) {
    double share, span = h->hi - h->lo;
    switch (h->values) {
    case TEST_WIDE:
        share = (double)test_uniform(r, 0, 1);
        return (float)((test_below(r, 2) ? 1 : -1) * h->lo * pow(h->hi / h->lo, share));
    case TEST_WHOLE: return (float)(h->lo + test_below(r, (uint32_t)span + 1));
    case TEST_RAMP: return (float)(h->lo + (double)(i % ((uint64_t)span + 1)));
    case TEST_UNIFORM: return uniform_value(r, h);
    default: return hard_value(r, h, before);
    }
}

static int32_t i32_value(test_rng *r, const test_hint *h, uint64_t i) {
    uint64_t span = (uint64_t)(h->hi - h->lo) + 1;
    uint64_t step = h->values == TEST_RAMP ? i % span : test_random(r) % span;
    if (h->values == TEST_RARE) step = test_below(r, 50) ? 0 : span - 1;
    return (int32_t)((int64_t)h->lo + (int64_t)step);
}

void test_fill_leaf(const test_op_case *c, const char *leaf, pm_dtype type, uint32_t *words, uint64_t n) {
    static const test_hint hard = {"", TEST_HARD, -4, 4}, zero = {"", TEST_UNIFORM, 0, 0},
                           bits = {"", TEST_UNIFORM, 0, 1};
    const test_hint *h = hint_of(c, leaf);
    test_rng r = {seed_of(c->name, leaf)};
    if (!h) h = type == PM_F32 ? &hard : type == PM_BOOL ? &bits : &zero;
    float x = (float)h->lo;
    for (uint64_t i = 0; i < n; i++) {
        if (type == PM_F32) {
            x = f32_value(&r, h, i, x);
            memcpy(&words[i], &x, 4);
        } else {
            int32_t v = i32_value(&r, h, i);
            memcpy(&words[i], &v, 4);
        }
    }
}

/* ---- one run ---- */

typedef struct op_run {
    const test_op_case *c;
    pm_executor *ex;
    pm_compiled compiled;
    const pm_program *p;
    pm_loaded *l;
    /* of a dispatch, by binding */
    uint32_t *host[PM_MAX_BINDINGS]; /* copies, before it runs; of written ones the reference's result */
    uint32_t *got[PM_MAX_BINDINGS],
        *before[PM_MAX_BINDINGS]; /* of written ones, after and before the dispatch */
    float *bound[PM_MAX_BINDINGS];
    uint32_t *whole; /* the output of the whole run */
    test_op_result *out;
} op_run;

static pm_status build_case(op_run *run) {
    pm_graph *g = NULL;
    pm_compile_options options = {.caps = pm_executor_caps(run->ex), .no_fuse = !run->c->fuse};
    PM_TRY(pm_graph_create(run->c->name, &g));
    pm_tensor *y = run->c->build(g, run->c);
    if (y && y->base->kind == PM_KIND_STATE)
        y = pm_copy(g, y); /* all of it is compared, what was not written as well */
    pm_output(g, "y", y);
    pm_status s = pm_compile_stages(g, &options, &run->compiled);
    pm_graph_destroy(g);
    run->p = run->compiled.program;
    for (uint32_t i = 0; s == PM_OK && run->c->adjust && i < run->p->n_dispatches; i++)
        run->c->adjust(&run->p->dispatches[i]);
    return s;
}

static uint32_t *leaf_words(const test_op_case *c, const char *name, pm_dtype type, uint64_t bytes) {
    uint32_t *words = pm_alloc((size_t)bytes);
    if (words) test_fill_leaf(c, name, type, words, bytes / 4);
    return words;
}

static bool is_stored(const pm_external *e) {
    return e->kind == PM_EXTERNAL_WEIGHT || e->kind == PM_EXTERNAL_STATE;
}

static pm_status put_store(op_run *run) {
    for (uint32_t i = 0; i < run->p->n_externals; i++) {
        const pm_external *e = &run->p->externals[i];
        if (!is_stored(e)) continue;
        uint32_t *words = leaf_words(run->c, e->name, e->dtype, e->bytes);
        pm_status s = words ? pm_executor_put(run->ex, e->name, words, e->bytes) : PM_ERR_MEMORY;
        pm_free(words);
        if (s != PM_OK) return s;
    }
    return PM_OK;
}

/* As pm_loaded_write for a run, and straight to the arena for steps. */
static pm_status put_inputs(op_run *run, bool poke) {
    for (uint32_t i = 0; i < run->p->n_inputs; i++) {
        const pm_io *io = &run->p->inputs[i];
        uint32_t *words = leaf_words(run->c, io->name, io->dtype, io->range.bytes);
        if (!words) return PM_ERR_MEMORY;
        pm_status s = poke ? pm_loaded_poke(run->l, &io->range, words)
                           : pm_loaded_write(run->l, i, words, io->range.bytes);
        pm_free(words);
        if (s != PM_OK) return s;
    }
    for (uint32_t i = 0; i < run->p->n_params; i++) {
        int32_t v;
        test_fill_leaf(run->c, run->p->param_names[i], PM_I32, (uint32_t *)&v, 1);
        pm_loaded_set_param(run->l, i, v);
    }
    return PM_OK;
}

static pm_status run_whole(op_run *run) {
    const pm_io *y = &run->p->outputs[0];
    run->whole = pm_alloc((size_t)y->range.bytes);
    if (!run->whole) return PM_ERR_MEMORY;
    PM_TRY(put_inputs(run, false));
    PM_TRY(pm_loaded_run(run->l));
    return pm_loaded_read(run->l, 0, run->whole, y->range.bytes);
}

/* ---- one dispatch ---- */

static void free_copies(op_run *run) {
    for (int i = 0; i < PM_MAX_BINDINGS; i++) {
        pm_free(run->host[i]), run->host[i] = NULL;
        pm_free(run->got[i]), run->got[i] = NULL;
        pm_free(run->before[i]), run->before[i] = NULL;
        pm_free(run->bound[i]), run->bound[i] = NULL;
    }
}

static pm_status peek_copy(op_run *run, const pm_range *r, uint32_t **out) {
    *out = pm_alloc((size_t)r->bytes);
    return *out ? pm_loaded_peek(run->l, r, *out) : PM_ERR_MEMORY;
}

/* Copies the bindings, runs the dispatch on the executor, and the reference kernel on the copies. */
static pm_status step_both(op_run *run, const pm_dispatch *d, uint32_t index) {
    const pm_cpu_kernel *kernel = pm_reference_kernel(d->kernel);
    pm_call call = {.params = d->params, .spec = d->spec};
    for (uint32_t i = 0; i < d->n_bindings; i++) {
        const pm_range *r = &d->bindings[i];
        PM_TRY(peek_copy(run, r, &run->host[i]));
        call.in[i] = run->host[i];
        if (!(d->written >> i & 1)) continue;
        PM_TRY(peek_copy(run, r, &run->before[i]));
        run->bound[i] = pm_alloc((size_t)r->bytes);
        if (!run->bound[i]) return PM_ERR_MEMORY;
        for (uint64_t k = 0; k < r->bytes / 4; k++) run->bound[i][k] = -1;
        call.also[i] = run->host[i];
        call.also_bound[i] = run->bound[i];
    }
    PM_TRY(pm_loaded_step(run->l, index));
    for (uint32_t i = 0; i < d->n_bindings; i++)
        if (run->bound[i]) PM_TRY(peek_copy(run, &d->bindings[i], &run->got[i]));
    call.out = call.also[d->n_bindings - 1];
    call.bound = call.also_bound[d->n_bindings - 1];
    kernel->run(&call, 0, kernel->n_items(&call));
    return PM_OK;
}

static double word_value(uint32_t word, pm_dtype type) {
    float f;
    int32_t i;
    memcpy(&f, &word, 4);
    memcpy(&i, &word, 4);
    return type == PM_F32 ? (double)f : (double)i;
}

static double error_ratio(double got, double want, double bound) {
    if (!isfinite(want)) return got == want || (isnan(got) && isnan(want)) ? 0 : INFINITY;
    if (!isfinite(bound)) return INFINITY; /* would allow anything by mistake */
    if (got == want || bound == PM_ANY) return 0;
    double error = fabs(got - want);
    return bound > 0 && error < INFINITY ? error / bound : INFINITY;
}

static void compare(op_run *run, const pm_dispatch *d, uint32_t index, uint32_t binding) {
    const pm_range *written = &d->bindings[binding];
    const uint32_t *want_words = run->host[binding], *got_words = run->got[binding],
                   *before = run->before[binding];
    pm_dtype type = run->compiled.fused->items[d->node]->dtype;
    test_op_result *out = run->out;
    for (uint64_t i = 0; i < written->bytes / 4; i++) {
        double got = word_value(got_words[i], type), want = word_value(want_words[i], type),
               bound = (double)run->bound[binding][i];
        bool kept = bound < 0; /* a word that the dispatch has no business with */
        double ratio = kept ? (got_words[i] == before[i] ? 0 : INFINITY) : error_ratio(got, want, bound);
        out->n_compared += !kept;
        if (ratio <= out->worst) continue;
        out->worst = ratio;
        out->got = got;
        out->want = kept ? word_value(before[i], type) : want;
        out->bound = bound;
        out->index = i;
        out->dispatch = index;
        snprintf(out->label, sizeof out->label, "%s %s (%s)", pm_kernel_get(d->kernel)->name,
                 pm_variant_get(d->variant)->name, d->label);
        out->failed |= ratio > 1;
    }
}

static pm_status step_all(op_run *run) {
    PM_TRY(put_store(run));
    PM_TRY(put_inputs(run, true));
    for (uint32_t i = 0; i < run->p->n_dispatches; i++) {
        const pm_dispatch *d = &run->p->dispatches[i];
        pm_status s = step_both(run, d, i);
        for (uint32_t b = 0; s == PM_OK && b < d->n_bindings; b++)
            if (run->bound[b]) compare(run, d, i, b);
        free_copies(run);
        if (s != PM_OK) return s;
    }
    return PM_OK;
}

static pm_status compare_whole(op_run *run) {
    const pm_range *r = &run->p->outputs[0].range;
    uint32_t *stepped = NULL;
    pm_status s = peek_copy(run, r, &stepped);
    for (uint64_t i = 0; s == PM_OK && i < r->bytes / 4 && !run->out->failed; i++) {
        if (stepped[i] == run->whole[i]) continue;
        run->out->failed = true;
        snprintf(run->out->text, sizeof run->out->text,
                 "output word %llu: the whole run gave %08x, the steps %08x", (unsigned long long)i,
                 run->whole[i], stepped[i]);
    }
    pm_free(stepped);
    return s;
}

static void describe(test_op_result *out) {
    if (out->text[0]) return;
    if (!out->n_compared) {
        out->failed = true;
        snprintf(out->text, sizeof out->text, "nothing was compared");
        return;
    }
    snprintf(out->text, sizeof out->text,
             "dispatch %u, %s: word %llu is %.9g, %s %.9g, bound %.3g, ratio %.3g", out->dispatch, out->label,
             (unsigned long long)out->index, out->got, out->bound < 0 ? "should have stayed" : "expected",
             out->want, out->bound, out->worst);
}

pm_status test_compile_op_case(pm_executor *ex, const test_op_case *c) {
    op_run run = {.c = c, .ex = ex};
    pm_status s = build_case(&run);
    pm_compiled_free(&run.compiled);
    return s;
}

static pm_status load(op_run *run) {
    PM_TRY(build_case(run));
    PM_TRY(put_store(run));
    return pm_executor_load(run->ex, run->p, &run->l);
}

static void unload(op_run *run) {
    pm_loaded_unload(run->l);
    for (uint32_t i = 0; run->p && i < run->p->n_externals; i++)
        if (is_stored(&run->p->externals[i])) pm_executor_drop(run->ex, run->p->externals[i].name);
    pm_compiled_free(&run->compiled);
}

pm_status test_load_op_case(pm_executor *ex, const test_op_case *c) {
    op_run run = {.c = c, .ex = ex};
    pm_status s = load(&run);
    unload(&run);
    return s;
}

pm_status test_run_op_case(pm_executor *ex, const test_op_case *c, test_op_result *out) {
    op_run run = {.c = c, .ex = ex, .out = out};
    pm_status s;
    memset(out, 0, sizeof *out);
    PM_GOTO(load(&run));
    PM_GOTO(run_whole(&run));
    PM_GOTO(step_all(&run));
    PM_GOTO(compare_whole(&run));
    describe(out);
fail:
    free_copies(&run);
    pm_free(run.whole);
    unload(&run);
    return s;
}
