/* See support_run_both.h. */
#include "tests/support_run_both.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/executor.h"

#define MAX_OUTPUTS 64

/* The same name gets the same values in both programs. */
static void fill(uint64_t seed, const char *name, pm_dtype type, uint32_t *words, uint64_t n) {
    test_rng r = {.state = seed};
    for (const char *c = name; *c; c++) r.state = r.state * 131 + (unsigned char)*c;
    for (uint64_t i = 0; i < n; i++) {
        float f = test_uniform(&r, -2, 2);
        if (type == PM_F32)
            memcpy(&words[i], &f, 4);
        else
            words[i] = test_below(&r, type == PM_BOOL ? 2 : 4);
    }
}

static uint32_t *words_for(uint64_t bytes) {
    uint32_t *words = malloc(bytes);
    assert_non_null(words);
    return words;
}

static void put_leaves(pm_executor *ex, const pm_program *p, uint64_t seed) {
    for (uint32_t e = 0; e < p->n_externals; e++) {
        const pm_external *x = &p->externals[e];
        if (x->kind != PM_EXTERNAL_WEIGHT && x->kind != PM_EXTERNAL_STATE) continue;
        uint32_t *words = words_for(x->bytes);
        fill(seed, x->name, x->dtype, words, x->bytes / 4);
        assert_ok(pm_executor_put(ex, x->name, words, x->bytes));
        free(words);
    }
}

static void write_inputs(pm_loaded *l, const pm_program *p, uint64_t seed, int32_t param) {
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const pm_io *io = &p->inputs[i];
        uint32_t *words = words_for(io->range.bytes);
        fill(seed, io->name, io->dtype, words, io->range.bytes / 4);
        assert_ok(pm_loaded_write(l, i, words, io->range.bytes));
        free(words);
    }
    for (uint32_t i = 0; i < p->n_params; i++) pm_loaded_set_param(l, i, param);
}

static void run(const pm_program *p, uint64_t seed, int32_t param, uint32_t **outputs) {
    const pm_executor_options options = {.poison = true};
    pm_executor *ex = NULL;
    pm_loaded *l = NULL;
    assert_ok(pm_executor_open("reference", &options, &ex));
    put_leaves(ex, p, seed);
    assert_ok(pm_executor_load(ex, p, &l));
    write_inputs(l, p, seed, param);
    assert_ok(pm_loaded_run(l));
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        outputs[i] = words_for(p->outputs[i].range.bytes);
        assert_ok(pm_loaded_read(l, i, outputs[i], p->outputs[i].range.bytes));
    }
    pm_loaded_unload(l);
    pm_executor_close(ex);
}

static bool agree(pm_dtype type, uint32_t a, uint32_t b) {
    float x, y;
    if (type != PM_F32 || a == b) return a == b;
    memcpy(&x, &a, 4);
    memcpy(&y, &b, 4);
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return x == y ||
           fabsf(x - y) <= 1e-3f * (1 + fabsf(x)); /* fusion may round once less; a mistake is far larger */
}

static void fail_at(const pm_graph *g, const pm_io *io, uint64_t at, uint32_t plain, uint32_t fused) {
    char *text;
    assert_ok(pm_graph_print(g, &text));
    print_error("%s", text);
    fail_msg("output %s, element %llu: %08x as it stands, %08x with all passes", io->name,
             (unsigned long long)at, plain, fused);
}

static uint64_t compare(const pm_graph *g, const pm_program *p, uint32_t *const *plain,
                        uint32_t *const *fused) {
    uint64_t n = 0;
    for (uint32_t o = 0; o < p->n_outputs; o++)
        for (uint64_t i = 0; i < p->outputs[o].range.bytes / 4; i++, n++)
            if (!agree(p->outputs[o].dtype, plain[o][i], fused[o][i]))
                fail_at(g, &p->outputs[o], i, plain[o][i], fused[o][i]);
    return n;
}

uint64_t test_run_both(const pm_graph *g, const pm_caps *caps, uint64_t seed, int32_t param) {
    uint32_t *out[2][MAX_OUTPUTS];
    pm_program *p[2];
    for (int fused = 0; fused < 2; fused++) {
        const pm_compile_options options = {.caps = caps, .no_fuse = !fused};
        assert_ok(pm_compile(g, &options, &p[fused]));
        assert_true(p[fused]->n_outputs <= MAX_OUTPUTS);
        run(p[fused], seed, param, out[fused]);
    }
    uint64_t n = compare(g, p[0], out[0], out[1]);
    for (int fused = 0; fused < 2; fused++) {
        for (uint32_t o = 0; o < p[fused]->n_outputs; o++) free(out[fused][o]);
        pm_program_destroy(p[fused]);
    }
    return n;
}
