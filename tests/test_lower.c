/* Lowering: what holds of every program, on random graphs; slots, bindings, parameters, barriers, deaths and submissions of
 * small ones. */
#include "graph/compile.h"
#include "tests/support_program.h"
#include "tests/support_random_graph.h"

#include <stdlib.h>

#include "shaders/attention.params.h"
#include "shaders/data.params.h"
#include "shaders/elementwise.params.h"
#include "shaders/matmul.params.h"
#include "shaders/rowwise.params.h"
#include "shaders/softmax.params.h"

/* Lowers a graph as it stands, with no pass before. */
static pm_program *lower(const pm_graph *g, const pm_caps *caps) {
    const pm_plan_limits limits = {.alignment = caps->binding_alignment,
                                   .max_block_bytes = caps->max_block_bytes};
    pm_graph_plan plan;
    pm_program *p = NULL;
    assert_ok(pm_plan_graph(g, &limits, &plan));
    assert_ok(pm_lower(g, &plan, caps, &p));
    pm_graph_plan_free(&plan);
    return p;
}

static pm_program *lower_text(const char *text) {
    pm_caps caps;
    pm_graph *g = NULL;
    pm_caps_baseline(&caps);
    assert_ok(pm_graph_parse(text, &g));
    pm_program *p = lower(g, &caps);
    pm_graph_destroy(g); /* a program must not point into its graph */
    return p;
}

/* ---- random graphs ---- */

static void test_random_graphs(void **state) {
    (void)state;
    test_rng r = {.state = 11};
    uint32_t n_dispatches = 0, n_barriers = 0;
    for (int round = 0; round < 400; round++) {
        pm_caps caps;
        pm_caps_baseline(&caps);
        caps.binding_alignment = 16u << test_below(&r, 5);
        if (round % 4 == 1) caps.max_block_bytes = 65536;
        if (round % 4 == 2)
            caps.submit_cost = 500, caps.max_workgroup_invocations = 1024, caps.max_workgroup_size[0] = 1024;
        pm_graph *g = test_random_graph(&r, 5 + (int)test_below(&r, 40), round % 2);
        pm_program *p = lower(g, &caps);
        test_check_program(p, &caps);
        n_dispatches += p->n_dispatches;
        n_barriers += p->n_barriers;
        pm_program_destroy(p);
        pm_graph_destroy(g);
    }
    print_message("random graphs: %u dispatches, %u barriers\n", n_dispatches, n_barriers);
}

static void test_compiled_random_graphs(void **state) {
    (void)state;
    test_rng r = {.state = 12};
    pm_caps caps;
    pm_caps_baseline(&caps);
    for (int round = 0; round < 200; round++) {
        pm_graph *g = test_random_graph(&r, 5 + (int)test_below(&r, 40), false);
        const pm_compile_options options = {.no_fuse = round % 2};
        pm_program *p = NULL;
        assert_ok(pm_compile(g, round % 4 ? &options : NULL, &p));
        pm_graph_destroy(g);
        test_check_program(p, &caps);
        pm_program_destroy(p);
    }
}

/* ---- small graphs, looked at closely ---- */

static void test_linear(void **state) {
    (void)state;
    pm_program *p = lower_text("graph \"linear\"\n"
                               "%0 = input \"x\" f32[2,3,4]\n"
                               "%1 = weight \"w\" f32[5,4]\n"
                               "%2 = weight \"b\" f32[5]\n"
                               "%3 = matmul(%0, %1, %2) {act=gelu} f32[2,3,5] @\"layers.3.ffn\"\n"
                               "output \"y\" %3\n");
    assert_string_equal(p->name, "linear");
    assert_int_equal(p->n_dispatches, 1);
    assert_int_equal(p->n_externals, 2);
    assert_int_equal(p->externals[0].kind, PM_EXTERNAL_WEIGHT);
    assert_string_equal(p->externals[0].name, "w");
    assert_true(p->externals[0].bytes == 80);
    assert_string_equal(p->externals[1].name, "b");
    assert_int_equal(p->n_inputs, 1);
    assert_string_equal(p->inputs[0].name, "x");
    assert_int_equal(p->inputs[0].rank, 3);
    assert_true(p->inputs[0].range.bytes == 96);
    assert_true(p->outputs[0].range.bytes == 120);
    assert_int_equal(pm_program_output(p, "y"), 0);

    const pm_dispatch *d = &p->dispatches[0];
    pm_matmul_params m;
    memcpy(&m, d->params, sizeof m);
    assert_string_equal(d->label, "matmul layers.3.ffn");
    assert_int_equal(d->bindings[1].slot, p->n_blocks);
    assert_int_equal(d->bindings[2].slot, p->n_blocks + 1);
    assert_int_equal(d->unused, 0x78); /* residual, position, caches */
    assert_memory_equal(&d->bindings[3], &d->bindings[0], sizeof d->bindings[0]);
    assert_int_equal(d->spec[PM_SPEC_ACT], PM_ACT_GELU);
    assert_int_equal(d->spec[PM_SPEC_HAS_BIAS], 1);
    assert_int_equal(d->spec[PM_SPEC_HAS_RESIDUAL], 0);
    assert_int_equal(m.m, 6); /* the batch became rows */
    assert_int_equal(m.n, 5);
    assert_int_equal(m.k, 4);
    assert_int_equal(m.batch[0] * m.batch[1] * m.batch[2], 1);
    assert_int_equal(m.a_m, 4);
    assert_int_equal(m.a_k, 1);
    assert_int_equal(m.b_n, 4);
    assert_int_equal(m.y_m, 5);
    assert_true(m.scale == 1.0f);
    assert_true(d->cost == 2 * 3 * 5 * 4);
    pm_program_destroy(p);
}

static pm_matmul_params matmul_of(const char *text, uint32_t node) {
    pm_program *p = lower_text(text);
    pm_matmul_params m = {0};
    for (uint32_t i = 0; i < p->n_dispatches; i++)
        if (p->dispatches[i].node == node) memcpy(&m, p->dispatches[i].params, sizeof m);
    pm_program_destroy(p);
    return m;
}

static void test_matmul_batches(void **state) {
    (void)state;
    /* heads: b has batches of its own, and a is a permuted view */
    pm_matmul_params m = matmul_of(
        "graph \"g\"\n%0 = input \"q\" f32[2,3,4,5]\n%1 = permute(%0) {axes=[0,2,1,3]} f32[2,4,3,5]\n"
        "%2 = input \"k\" f32[2,4,7,5]\n%3 = matmul(%1, %2) f32[2,4,3,7]\noutput \"y\" %3\n",
        3);
    assert_int_equal(m.m, 3);
    assert_int_equal(m.batch[1], 2);
    assert_int_equal(m.batch[2], 4);
    assert_int_equal(m.a_batch[1], 60);
    assert_int_equal(m.a_batch[2], 5);
    assert_int_equal(m.a_m, 20);
    assert_int_equal(m.b_batch[2], 35);
    /* b without batches, a with rows that do not follow each other: nothing merges */
    m = matmul_of(
        "graph \"g\"\n%0 = input \"q\" f32[2,3,4,5]\n%1 = permute(%0) {axes=[0,2,1,3]} f32[2,4,3,5]\n"
        "%2 = weight \"w\" f32[7,5]\n%3 = matmul(%1, %2) f32[2,4,3,7]\noutput \"y\" %3\n",
        3);
    assert_int_equal(m.m, 3);
    assert_int_equal(m.batch[2], 4);
    assert_int_equal(m.b_batch[2], 0);
    /* one row a sequence: the sequences become rows */
    m = matmul_of(
        "graph \"g\"\n%0 = input \"x\" f32[4,6,5]\n%1 = slice(%0) {axis=1, start=5, length=1} f32[4,1,5]\n"
        "%2 = weight \"w\" f32[7,5]\n%3 = matmul(%1, %2) f32[4,1,7]\noutput \"y\" %3\n",
        3);
    assert_int_equal(m.m, 4);
    assert_int_equal(m.batch[2], 1);
    assert_int_equal(m.a_m, 30);
    assert_int_equal(m.a_offset, 25);
    assert_int_equal(m.y_m, 7);
    /* a residual that repeats over the batch keeps batches apart */
    m = matmul_of(
        "graph \"g\"\n%0 = input \"x\" f32[2,3,4]\n%1 = weight \"w\" f32[5,4]\n%2 = weight \"r\" f32[3,5]\n"
        "%3 = matmul(%0, %1, _, %2) f32[2,3,5]\noutput \"y\" %3\n",
        3);
    assert_int_equal(m.m, 3);
    assert_int_equal(m.batch[2], 2);
    assert_int_equal(m.residual_batch[2], 0);
    assert_int_equal(m.residual_m, 5);
    /* a . b with b[K,N] through a view: contiguous along n */
    m = matmul_of("graph \"g\"\n%0 = input \"x\" f32[3,4]\n%1 = input \"w\" f32[4,5]\n%2 = permute(%1) "
                  "{axes=[1,0]} f32[5,4]\n"
                  "%3 = matmul(%0, %2) {scale=0.5} f32[3,5]\noutput \"y\" %3\n",
                  3);
    assert_int_equal(m.b_n, 1);
    assert_int_equal(m.b_k, 5);
    assert_true(m.scale == 0.5f);
}

static void test_params_and_constants(void **state) {
    (void)state;
    pm_program *p = lower_text("graph \"g\"\n"
                               "%0 = param \"length\" i32[]\n"
                               "%1 = param \"position\" i32[]\n"
                               "%2 = iota i32[70]\n"
                               "%3 = add(%2, %1) i32[70]\n"
                               "%4 = const f32[2] data[1.5,-2]\n"
                               "%5 = exp(%4) f32[2]\n"
                               "%6 = lt(%2, %0) bool[70]\n"
                               "output \"a\" %3\noutput \"b\" %5\noutput \"c\" %6\n");
    assert_int_equal(p->n_params, 2);
    assert_int_equal(pm_program_param(p, "position"), 1);
    assert_int_equal(pm_program_param(p, "none"), -1);
    assert_int_equal(p->n_externals, 2);
    assert_int_equal(p->externals[0].kind, PM_EXTERNAL_CONSTANTS);
    assert_int_equal(p->externals[1].kind, PM_EXTERNAL_PARAMS);
    assert_true(p->externals[1].bytes == 8);
    assert_true(p->constants_bytes == 512 + 256 && p->externals[0].bytes == p->constants_bytes);
    const int32_t *iota = p->constants;
    for (int32_t i = 0; i < 70; i++) assert_int_equal(iota[i], i);
    const float *numbers = (const float *)p->constants + 128;
    assert_true(numbers[0] == 1.5f && numbers[1] == -2.0f);

    const pm_dispatch *d = &p->dispatches[0];
    pm_binary_params b;
    memcpy(&b, d->params, sizeof b);
    assert_int_equal(d->spec[PM_SPEC_FN], PM_FN_ADD + PM_FN_I32);
    assert_int_equal(d->spec[PM_SPEC_DENSE], 0);
    assert_int_equal(d->bindings[1].slot, p->n_blocks + 1);
    assert_true(d->bindings[1].offset == 0 && d->bindings[1].bytes == 8); /* word 1 of the parameters */
    assert_int_equal(b.b_offset, 1);
    assert_int_equal(b.b_stride[PM_DIMS - 1], 0);
    assert_int_equal(b.a_stride[PM_DIMS - 1], 1);
    assert_int_equal(b.dims[0] * b.dims[1] * b.dims[2] * b.dims[3], 1);
    assert_int_equal(b.dims[4], 70);
    pm_program_destroy(p);
}

static void test_softmax_dims(void **state) {
    (void)state;
    pm_program *p = lower_text(
        "graph \"g\"\n%0 = input \"x\" f32[2,3,4,5]\n%1 = input \"n\" i32[2]\n%2 = input \"bias\" "
        "f32[3,1,5]\n"
        "%3 = softmax(%0, _, %1, _, %2) {mask=length|bias, scale=0.5} f32[2,3,4,5]\noutput \"y\" %3\n");
    pm_softmax_params s;
    memcpy(&s, p->dispatches[0].params, sizeof s);
    const uint32_t dims[] = {2, 3, 1, 4, 5}, bias[] = {0, 5, 0, 0, 1}, x[] = {60, 20, 0, 5, 1};
    assert_memory_equal(s.dims, dims, sizeof dims);
    assert_memory_equal(s.bias_stride, bias, sizeof bias);
    assert_memory_equal(s.x_stride, x, sizeof x);
    assert_int_equal(s.length_stride, 1);
    assert_true(s.scale == 0.5f);
    assert_int_equal(p->dispatches[0].unused, 1u << 1 | 1u << 3);
    assert_int_equal(p->dispatches[0].spec[PM_SPEC_MASK], PM_MASK_LENGTH | PM_MASK_BIAS);
    pm_program_destroy(p);

    p = lower_text(
        "graph \"g\"\n%0 = input \"x\" f32[2,4,5]\n%1 = softmax(%0) f32[2,4,5]\noutput \"y\" %1\n");
    memcpy(&s, p->dispatches[0].params, sizeof s);
    const uint32_t three[] = {2, 1, 1, 4, 5};
    assert_memory_equal(s.dims, three, sizeof three);
    assert_true(s.scale == 1.0f);
    pm_program_destroy(p);
}

static void test_reduce_dims(void **state) {
    (void)state;
    pm_program *p = lower_text(
        "graph \"g\"\n%0 = input \"x\" f32[2,3,4]\n%1 = mean(%0) {axis=1} f32[2,1,4]\noutput \"y\" %1\n");
    pm_reduce_params r;
    memcpy(&r, p->dispatches[0].params, sizeof r);
    const uint32_t dims[] = {1, 1, 2, 4}, x[] = {0, 0, 12, 1}, y[] = {0, 0, 4, 1};
    assert_int_equal(r.n_rows, 8);
    assert_int_equal(r.n_cols, 3);
    assert_int_equal(r.x_col_stride, 4);
    assert_memory_equal(r.dims, dims, sizeof dims);
    assert_memory_equal(r.x_stride, x, sizeof x);
    assert_memory_equal(r.y_stride, y, sizeof y);
    assert_int_equal(p->dispatches[0].spec[PM_SPEC_FN], PM_FN_MEAN);
    pm_program_destroy(p);
}

static void test_attention_specs(void **state) {
    (void)state;
    pm_program *p = lower_text("graph \"g\"\n%0 = input \"q\" f32[1,4,3,8]\n%1 = state \"k\" "
                               "f32[1,2,16,8]\n%2 = state \"v\" f32[1,2,16,8]\n"
                               "%3 = param \"position\" i32[]\n"
                               "%4 = attention(%0, %1, %2, %3) {mask=causal|window|position, window=6, "
                               "scale=0.25} f32[1,4,3,8]\noutput \"y\" %4\n");
    const pm_dispatch *d = &p->dispatches[0];
    pm_attention_params a;
    memcpy(&a, d->params, sizeof a);
    assert_int_equal(d->spec[PM_SPEC_MASK], PM_MASK_CAUSAL | PM_MASK_WINDOW | PM_MASK_POSITION);
    assert_int_equal(d->spec[PM_SPEC_WINDOW], 6);
    assert_int_equal(d->spec[PM_SPEC_HEAD_SIZE], 8);
    assert_int_equal(d->spec[PM_SPEC_GROUP], 2);
    assert_int_equal(a.n_queries, 3);
    assert_int_equal(a.n_keys, 16);
    assert_int_equal(a.k_stride[1], 128);
    assert_int_equal(a.k_stride[2], 8);
    assert_int_equal(p->externals[0].kind, PM_EXTERNAL_STATE);
    assert_int_equal(d->unused, 1u << 4 | 1u << 5 | 1u << 6);
    pm_program_destroy(p);
}

/* ---- barriers ---- */

static void want_barriers(const char *text, const char *expected) {
    pm_program *p = lower_text(text);
    char got[32] = "";
    for (uint32_t i = 0; i < p->n_dispatches; i++) got[i] = p->dispatches[i].barrier ? 'B' : '.';
    assert_string_equal(got, expected);
    test_check_barriers(p);
    pm_program_destroy(p);
}

static void test_barriers(void **state) {
    (void)state;
    /* a chain waits at every link */
    want_barriers("graph \"g\"\n%0 = input \"x\" f32[9]\n%1 = exp(%0) f32[9]\n%2 = neg(%1) f32[9]\n%3 = "
                  "abs(%2) f32[9]\n"
                  "output \"y\" %3\n",
                  ".BB");
    /* two readers of one input go side by side; their join waits for both at once */
    want_barriers("graph \"g\"\n%0 = input \"x\" f32[9]\n%1 = exp(%0) f32[9]\n%2 = neg(%0) f32[9]\n%3 = "
                  "add(%1, %2) f32[9]\n"
                  "output \"y\" %3\n",
                  "..B");
    /* the last one depends on the first alone, which a barrier has covered already */
    want_barriers("graph \"g\"\n%0 = input \"x\" f32[9]\n%1 = exp(%0) f32[9]\n%2 = neg(%1) f32[9]\n%3 = "
                  "abs(%1) f32[9]\n"
                  "output \"y\" %2\noutput \"z\" %3\noutput \"e\" %1\n",
                  ".B.");
    /* slices of a concat that lie apart are written side by side; those that lie between each other are not
     */
    want_barriers("graph \"g\"\n%0 = input \"x\" f32[64]\n%1 = concat(%0, %0) {axis=0} f32[128]\n%2 = "
                  "exp(%1) f32[128]\n"
                  "output \"y\" %2\n",
                  "..B");
    want_barriers("graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = input \"z\" f32[2,4]\n%2 = concat(%0, %1) "
                  "{axis=1} f32[2,7]\n"
                  "output \"y\" %2\n",
                  ".B");
    /* a write to a state, then its reader, then a write over what was read */
    want_barriers(
        "graph \"g\"\n%0 = state \"s\" f32[1,1,8,2]\n%1 = input \"x\" f32[1,1,1,2]\n%2 = param \"p\" i32[]\n"
        "%3 = cache_write(%0, %1, %2) f32[1,1,8,2]\n%4 = sum(%3) {axis=2} f32[1,1,1,2]\n"
        "%5 = cache_write(%3, %1, %2) f32[1,1,8,2]\noutput \"y\" %4\n",
        ".BB");
}

static void test_concat_slices(void **state) {
    (void)state;
    pm_program *p = lower_text("graph \"g\"\n%0 = input \"x\" f32[2,3]\n%1 = input \"z\" f32[2,4]\n"
                               "%2 = concat(%0, %1) {axis=1} f32[2,7]\noutput \"y\" %2\n");
    pm_unary_params u;
    assert_int_equal(p->n_dispatches, 2);
    memcpy(&u, p->dispatches[1].params, sizeof u);
    assert_int_equal(u.n, 8);
    assert_int_equal(u.y_offset, 3);
    assert_int_equal(u.y_stride[3], 7);
    assert_int_equal(u.x_stride[3], 4);
    assert_int_equal(p->dispatches[1].spec[PM_SPEC_DENSE], 0);
    assert_int_equal(p->dispatches[0].spec[PM_SPEC_FN], PM_FN_COPY);
    assert_true(p->dispatches[0].cost == 6 && p->dispatches[1].cost == 8);
    pm_program_destroy(p);
}

static void test_top_k(void **state) {
    (void)state;
    pm_program *p = lower_text("graph \"g\"\n%0 = input \"x\" f32[3,40]\n"
                               "%1 = top_k(%0) {length=8} i32[3,8]\noutput \"y\" %1\n");
    assert_int_equal(p->n_dispatches, 1);
    assert_true(p->dispatches[0].cost == 8 * 3 * 40); /* eight passes over each row */
    pm_program_destroy(p);
}

static void test_deaths(void **state) {
    (void)state;
    /* %1 dies with its reader %3, %2 with %4; inputs and outputs live on */
    pm_program *p = lower_text(
        "graph \"g\"\n%0 = input \"x\" f32[9,3]\n%1 = exp(%0) f32[9,3]\n%2 = neg(%0) f32[9,3]\n"
        "%3 = sum(%1) {axis=1} f32[9,1]\n%4 = sum(%2) {axis=1} f32[9,1]\n%5 = add(%3, %4) f32[9,1]\n"
        "output \"y\" %5\n");
    assert_int_equal(p->n_deaths, 2); /* %1, %2: what lives at the last step is let be */
    assert_int_equal(p->deaths[0].dispatch, 2);
    assert_true(p->deaths[0].range.bytes == 108);
    assert_int_equal(p->deaths[1].dispatch, 3);
    test_check_deaths(p);
    pm_program_destroy(p);
}

static void test_blocks_and_submissions(void **state) {
    (void)state;
    pm_caps caps;
    pm_graph *g = NULL;
    pm_caps_baseline(&caps);
    caps.max_block_bytes = 1024;
    caps.submit_cost = 500;
    assert_ok(pm_graph_parse(
        "graph \"g\"\n%0 = input \"x\" f32[200]\n%1 = exp(%0) f32[200]\n%2 = neg(%0) f32[200]\n"
        "%3 = abs(%0) f32[200]\n%4 = add(%1, %2) f32[200]\n%5 = add(%4, %3) f32[200]\noutput \"y\" %5\n",
        &g));
    pm_program *p = lower(g, &caps);
    test_check_program(p, &caps);
    assert_int_equal(p->n_blocks, 4);
    const bool submits[] = {false, false, true, false, true};
    for (uint32_t i = 0; i < 5; i++) assert_int_equal(p->dispatches[i].submit, submits[i]);
    assert_int_equal(p->n_submits, 3);
    pm_program_destroy(p);
    caps.submit_cost = 1; /* each dispatch is more than one may hold: each goes alone */
    p = lower(g, &caps);
    assert_int_equal(p->n_submits, 5);
    pm_program_destroy(p);
    pm_graph_destroy(g);
}

static void test_binding_too_large(void **state) {
    (void)state;
    pm_caps caps;
    pm_graph *g = NULL;
    pm_program *p = NULL;
    pm_caps_baseline(&caps);
    caps.max_binding_bytes = 4096;
    assert_ok(pm_graph_parse(
        "graph \"g\"\n%0 = input \"x\" f32[50,40]\n%1 = sum(%0) {axis=0} f32[1,40]\noutput \"y\" %1\n", &g));
    const pm_compile_options options = {.caps = &caps};
    assert_int_equal(pm_compile(g, &options, &p), PM_ERR_DEVICE);
    assert_string_equal(pm_error_text(),
                        "input \"x\": 8000 bytes of it ([50,40]) must be bound at once, at most 4096 are "
                        "possible on baseline");
    assert_null(p);
    pm_graph_destroy(g);
}

/* Tables of more than 4 GiB: cut by rows for a device that binds less, with offsets of 64 bits; what cannot be cut, and what has more
 * elements than 31 bits count, is refused. Nothing is allocated here. */
static void test_over_4_gib(void **state) {
    (void)state;
    const uint64_t rows = 70000, row_bytes = 4 * 20000;
    pm_caps caps;
    pm_graph *g = NULL;
    pm_program *p = NULL;
    pm_caps_baseline(&caps);
    caps.max_binding_bytes = UINT32_MAX;
    caps.max_block_bytes = 1ull << 40;
    const pm_compile_options options = {.caps = &caps};
    assert_ok(
        pm_graph_parse("graph \"g\"\n%0 = input \"x\" f32[1,20000]\n%1 = weight \"w\" f32[70000,20000]\n"
                       "%2 = matmul(%0, %1) f32[1,70000]\n%3 = input \"ids\" i32[3]\n"
                       "%4 = gather(%1, %3) f32[3,20000]\noutput \"y\" %2\noutput \"z\" %4\n",
                       &g));
    assert_ok(pm_compile(g, &options, &p));
    test_check_program(p, &caps);
    uint64_t seen[2] = {0}, n_parts[2] = {0};
    for (uint32_t i = 0; i < p->n_dispatches; i++) {
        const pm_dispatch *d = &p->dispatches[i];
        bool gathers = d->kernel == PM_KERNEL_GATHER;
        if (!gathers && d->kernel != PM_KERNEL_MATMUL) continue;
        const pm_range *w = &d->bindings[gathers ? 0 : 1];
        assert_true(w->bytes <= UINT32_MAX);
        assert_true(w->offset <= seen[gathers] && w->offset + w->bytes >= seen[gathers]);
        seen[gathers] = w->offset + w->bytes;
        n_parts[gathers]++;
    }
    assert_true(seen[0] == rows * row_bytes && seen[1] == rows * row_bytes);
    assert_true(n_parts[0] == 2 && n_parts[1] == 2);
    pm_program_destroy(p);
    pm_graph_destroy(g);
    assert_ok(
        pm_graph_parse("graph \"g\"\n%0 = weight \"w\" f32[70000,20000]\n%1 = sum(%0) {axis=0} f32[1,20000]\n"
                       "output \"y\" %1\n",
                       &g));
    assert_int_equal(pm_compile(g, &options, &p), PM_ERR_DEVICE);
    assert_non_null(strstr(pm_error_text(), "weight \"w\": 5600000000 bytes"));
    pm_graph_destroy(g);
    assert_int_equal(pm_graph_parse("graph \"g\"\n%0 = weight \"w\" f32[65536,32768]\n", &g), PM_ERR_FILE);
    assert_non_null(strstr(pm_error_text(), "line 2"));
    assert_non_null(strstr(pm_error_text(), "[65536,32768] has too many elements"));
}

/* A line that asks for gigabytes of numbers. */
static void test_constants_too_large(void **state) {
    (void)state;
    pm_graph *g = NULL;
    pm_program *p = NULL;
    assert_ok(pm_graph_parse("graph \"g\"\n%0 = iota i32[2000000000]\n%1 = param \"p\" i32[]\n"
                             "%2 = add(%0, %1) i32[2000000000]\noutput \"y\" %2\n",
                             &g));
    assert_int_equal(pm_compile(g, NULL, &p), PM_ERR_MEMORY);
    assert_non_null(strstr(pm_error_text(), "constants of 8000000000 bytes"));
    pm_graph_destroy(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_compiled_random_graphs),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_matmul_batches),
        cmocka_unit_test(test_params_and_constants),
        cmocka_unit_test(test_softmax_dims),
        cmocka_unit_test(test_reduce_dims),
        cmocka_unit_test(test_attention_specs),
        cmocka_unit_test(test_barriers),
        cmocka_unit_test(test_concat_slices),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_blocks_and_submissions),
        cmocka_unit_test(test_binding_too_large),
        cmocka_unit_test(test_over_4_gib),
        cmocka_unit_test(test_constants_too_large),
    };
    return run_all_tests(tests);
}
