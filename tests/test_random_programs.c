/* Random graphs from builder to results: as they stand and with all passes, on the reference executor with
 * poisoned memory, in small blocks and with several alignments. Passes, plan, lowering and kernels must
 * agree: a range reused too early, a missing operand or a wrong stride shows as a difference or as NaN. */
#include "graph/compile.h"
#include "runtime/executor.h"
#include "tests/support_random_graph.h"

#include <math.h>
#include <stdlib.h>

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

static void write_inputs(pm_loaded *l, const pm_program *p, uint64_t seed) {
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const pm_io *io = &p->inputs[i];
        uint32_t *words = words_for(io->range.bytes);
        fill(seed, io->name, io->dtype, words, io->range.bytes / 4);
        assert_ok(pm_loaded_write(l, i, words, io->range.bytes));
        free(words);
    }
    for (uint32_t i = 0; i < p->n_params; i++) pm_loaded_set_param(l, i, 1);
}

static void run(const pm_program *p, uint64_t seed, uint32_t **outputs) {
    const pm_executor_options options = {.poison = true};
    pm_executor *ex = NULL;
    pm_loaded *l = NULL;
    assert_ok(pm_executor_open("reference", &options, &ex));
    put_leaves(ex, p, seed);
    assert_ok(pm_executor_load(ex, p, &l));
    write_inputs(l, p, seed);
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

static uint64_t compare(const pm_program *p, uint32_t *const *a, uint32_t *const *b, int round) {
    uint64_t n = 0;
    for (uint32_t o = 0; o < p->n_outputs; o++)
        for (uint64_t i = 0; i < p->outputs[o].range.bytes / 4; i++, n++)
            if (!agree(p->outputs[o].dtype, a[o][i], b[o][i]))
                fail_msg("round %d, output %s, element %llu: %08x as it stands, %08x with all passes", round,
                         p->outputs[o].name, (unsigned long long)i, a[o][i], b[o][i]);
    return n;
}

static void test_passes_keep_results(void **state) {
    (void)state;
    test_rng r = {.state = 77};
    uint64_t n_elements = 0;
    for (int round = 0; round < 300; round++) {
        pm_graph *g = test_random_graph(&r, 5 + (int)test_below(&r, 50), round % 2);
        uint32_t *out[2][MAX_OUTPUTS];
        pm_program *p[2];
        pm_caps caps;
        pm_caps_baseline(&caps);
        caps.binding_alignment = 16u << round % 5;
        if (round % 7 == 0) caps.max_block_bytes = 8192;
        for (int fused = 0; fused < 2; fused++) {
            const pm_compile_options options = {.caps = &caps, .no_fuse = !fused};
            assert_ok(pm_compile(g, &options, &p[fused]));
            assert_true(p[fused]->n_outputs <= MAX_OUTPUTS);
            run(p[fused], (uint64_t)round, out[fused]);
        }
        n_elements += compare(p[0], out[0], out[1], round);
        for (int fused = 0; fused < 2; fused++) {
            for (uint32_t o = 0; o < p[fused]->n_outputs; o++) free(out[fused][o]);
            pm_program_destroy(p[fused]);
        }
        pm_graph_destroy(g);
    }
    print_message("%llu elements compared\n", (unsigned long long)n_elements);
    assert_true(n_elements > 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes_keep_results)};
    return run_all_tests(tests);
}
