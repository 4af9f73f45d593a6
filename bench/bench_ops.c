/* Times single kernels on the devices named on the command line, side by side, with ratios to the first:
 *
 *     bench_ops [--only TEXT] [--sweep] DEVICE...        bench_ops cpu vulkan
 *
 * Kernels are put into the graph as they are (no fusion to be found), so that a figure belongs to one shader.
 * --sweep also times the matmul cases with every row of the table of tilings, which is how the selection
 * table's sizes are chosen. Devices take turns case by case; a figure is the median of the runs, of at least
 * 5 and at least 0.2 s. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/compile.h"
#include "graph/ir.h"
#include "models/sample.h"
#include "runtime/executor.h"
#include "shaders/matmul.params.h"

#define MAX_DEVICES 8
#define MAX_RUNS    200

typedef struct bench_case {
    const char *name;
    const char *unit;
    double work; /* floating-point operations, or bytes that must be moved */
    int64_t size[4];
    pm_tensor *(*build)(pm_graph *g, const int64_t *size);
} bench_case;

static pm_tensor *input(pm_graph *g, const char *name, int rank, const int64_t *dims) {
    return pm_input(g, name, PM_F32, rank, dims);
}

static pm_tensor *build_linear(pm_graph *g, const int64_t *s) { /* M K N */
    return pm_matmul(g, input(g, "x", 2, s), pm_weight(g, "w", PM_F32, 2, (int64_t[]){s[2], s[1]}));
}

static pm_tensor *build_product(pm_graph *g, const int64_t *s) { /* M K N, b[K,N] */
    pm_tensor *b = pm_weight(g, "w", PM_F32, 2, (int64_t[]){s[1], s[2]});
    return pm_matmul(g, input(g, "x", 2, s), pm_transpose(g, b, 0, 1));
}

static pm_tensor *build_batched(pm_graph *g, const int64_t *s) { /* B M K N */
    return pm_matmul(g, input(g, "x", 3, s), input(g, "b", 3, (int64_t[]){s[0], s[3], s[2]}));
}

static pm_tensor *build_attention(pm_graph *g,
                                  const int64_t *s) { /* H T S D, causal, queries at the end of the keys */
    pm_tensor *in[PM_MAX_IN] = {input(g, "q", 4, (int64_t[]){1, s[0], s[1], s[3]}),
                                input(g, "k", 4, (int64_t[]){1, s[0], s[2], s[3]}),
                                input(g, "v", 4, (int64_t[]){1, s[0], s[2], s[3]}),
                                pm_const_i32(g, (int32_t)(s[2] - s[1]))};
    pm_attrs a = {.mask = PM_MASK_CAUSAL | PM_MASK_POSITION, .scale = 0.125f};
    return pm_add_op(g, PM_OP_ATTENTION, 4, in, &a);
}

static pm_tensor *build_norm(pm_graph *g, const int64_t *s, pm_op op) {
    pm_tensor *in[] = {input(g, "x", 2, s), pm_weight(g, "w", PM_F32, 1, s + 1)};
    pm_attrs a = {.eps = 1e-5f};
    return pm_add_op(g, op, 2, in, &a);
}

static pm_tensor *build_layer_norm(pm_graph *g, const int64_t *s) {
    return build_norm(g, s, PM_OP_LAYER_NORM);
}
static pm_tensor *build_rms_norm(pm_graph *g, const int64_t *s) {
    return build_norm(g, s, PM_OP_RMS_NORM);
}
static pm_tensor *build_softmax(pm_graph *g, const int64_t *s) {
    return pm_softmax(g, input(g, "x", 2, s));
}
static pm_tensor *build_sum(pm_graph *g, const int64_t *s) {
    return pm_sum(g, input(g, "x", 2, s), 1);
}
static pm_tensor *build_argmax(pm_graph *g, const int64_t *s) {
    return pm_argmax(g, input(g, "x", 2, s));
}
/* rows, columns, top_k, top_p in hundredths */
static pm_tensor *build_sample(pm_graph *g, const int64_t *s) {
    const pm_generate_options o = {.top_k = (int32_t)s[2], .top_p = (float)s[3] / 100, .seed = 1};
    const int64_t n = PM_SAMPLE_WORDS;
    uint32_t words[PM_SAMPLE_WORDS];
    pm_sampling_words(&o, words);
    return pm_sample(g, input(g, "x", 2, s), pm_const_data(g, PM_I32, 1, &n, words), pm_const_i32(g, 1));
}
static pm_tensor *build_add(pm_graph *g, const int64_t *s) {
    return pm_add(g, input(g, "x", 2, s), input(g, "b", 2, s));
}
static pm_tensor *build_add_row(pm_graph *g, const int64_t *s) {
    return pm_add(g, input(g, "x", 2, s), input(g, "b", 1, s + 1));
}
static pm_tensor *build_gelu(pm_graph *g, const int64_t *s) {
    pm_tensor *x = input(g, "x", 2, s);
    return pm_add_op(g, PM_OP_GELU, 1, &x, NULL);
}
static pm_tensor *build_transpose(pm_graph *g, const int64_t *s) {
    return pm_copy(g, pm_transpose(g, input(g, "x", 2, s), 0, 1));
}
static pm_tensor *build_gather(pm_graph *g, const int64_t *s) { /* V C T */
    return pm_gather(g, pm_weight(g, "w", PM_F32, 2, s), pm_input(g, "ids", PM_I32, 1, s + 2));
}
static pm_tensor *build_rotary(pm_graph *g, const int64_t *s) { /* B H T D */
    pm_tensor *in[] = {input(g, "x", 4, s), pm_weight(g, "w", PM_F32, 2, s + 2),
                       pm_weight(g, "w2", PM_F32, 2, s + 2)};
    return pm_add_op(g, PM_OP_ROTARY, 3, in, NULL);
}

static pm_tensor *build_experts(pm_graph *g, const int64_t *s) { /* T E N K: two experts a token */
    pm_tensor *ids = pm_top_k(g, input(g, "x", 2, s), 2);
    pm_tensor *x = input(g, "b", 2, (int64_t[]){s[0], s[3]});
    return pm_grouped_matmul(g, x, pm_weight(g, "w", PM_F32, 3, s + 1), ids);
}

#define EXPERTS(t, e, n, k)    FLOPS, 2.0 * 2 * (t) * (n) * (k), {t, e, n, k}, build_experts
#define FLOPS                  "GFLOP/s"
#define BYTES                  "GB/s"
#define MATMUL(m, k, n, build) FLOPS, 2.0 * (m) * (k) * (n), {m, k, n, 0}, build
static const bench_case cases[] = {
    {"matmul 64x64x64", MATMUL(64, 64, 64, build_linear)},
    {"matmul 128x128x128", MATMUL(128, 128, 128, build_linear)},
    {"matmul 256x256x256", MATMUL(256, 256, 256, build_linear)},
    {"matmul 512x512x512", MATMUL(512, 512, 512, build_linear)},
    {"matmul 1024x1024x1024", MATMUL(1024, 1024, 1024, build_linear)},
    {"matmul 16x768x768", MATMUL(16, 768, 768, build_linear)},
    {"matmul 128x768x3072", MATMUL(128, 768, 3072, build_linear)},
    {"matmul b[K,N] 256x256x256", MATMUL(256, 256, 256, build_product)},
    {"matmul 12 x 64x64x64", FLOPS, 2.0 * 12 * 64 * 64 * 64, {12, 64, 64, 64}, build_batched},
    {"matvec 768x768", MATMUL(1, 768, 768, build_linear)},
    {"matvec 1024x4096", MATMUL(1, 1024, 4096, build_linear)},
    {"matvec b[K,N] 1024x4096", MATMUL(1, 1024, 4096, build_product)},
    {"experts 2 of 8, 1 token, 512x512", EXPERTS(1, 8, 512, 512)},
    {"experts 2 of 8, 16 tokens, 512x512", EXPERTS(16, 8, 512, 512)},
    {"experts 2 of 8, 128 tokens, 512x512", EXPERTS(128, 8, 512, 512)},
    {"experts 2 of 64, 128 tokens, 256x512", EXPERTS(128, 64, 256, 512)},
    {"attention 12h T=1 S=512", FLOPS, 4.0 * 12 * 512 * 64, {12, 1, 512, 64}, build_attention},
    {"attention 12h T=128 S=128", FLOPS, 2.0 * 12 * 128 * 129 * 64, {12, 128, 128, 64}, build_attention},
    {"attention 4h T=512 S=512", FLOPS, 2.0 * 4 * 512 * 513 * 64, {4, 512, 512, 64}, build_attention},
    {"layer_norm 256x768", BYTES, 8.0 * 256 * 768, {256, 768, 0, 0}, build_layer_norm},
    {"rms_norm 256x768", BYTES, 8.0 * 256 * 768, {256, 768, 0, 0}, build_rms_norm},
    {"softmax 512x512", BYTES, 8.0 * 512 * 512, {512, 512, 0, 0}, build_softmax},
    {"sum 512x512", BYTES, 4.0 * 512 * 512, {512, 512, 0, 0}, build_sum},
    {"argmax 1x32000", BYTES, 4.0 * 32000, {1, 32000, 0, 0}, build_argmax},
    {"sample 1x32000", BYTES, 4.0 * 32000, {1, 32000, 0, 0}, build_sample},
    {"sample top-k 50, 1x32000", BYTES, 4.0 * 32000, {1, 32000, 50, 0}, build_sample},
    {"sample top-p 0.9, 1x32000", BYTES, 4.0 * 32000, {1, 32000, 0, 90}, build_sample},
    {"sample top-k 50, 1x131072", BYTES, 4.0 * 131072, {1, 131072, 50, 0}, build_sample},
    {"sample top-p 0.9, 1x131072", BYTES, 4.0 * 131072, {1, 131072, 0, 90}, build_sample},
    {"sample top-k 50, 1x262144", BYTES, 4.0 * 262144, {1, 262144, 50, 0}, build_sample},
    {"add 1024x1024", BYTES, 12.0 * 1024 * 1024, {1024, 1024, 0, 0}, build_add},
    {"add row 1024x1024", BYTES, 8.0 * 1024 * 1024, {1024, 1024, 0, 0}, build_add_row},
    {"gelu 1024x1024", BYTES, 8.0 * 1024 * 1024, {1024, 1024, 0, 0}, build_gelu},
    {"transpose 1024x1024", BYTES, 8.0 * 1024 * 1024, {1024, 1024, 0, 0}, build_transpose},
    {"gather 512 of 30000x768", BYTES, 8.0 * 512 * 768, {30000, 768, 512, 0}, build_gather},
    {"rotary 12h T=512 D=64", BYTES, 8.0 * 12 * 512 * 64, {1, 12, 512, 64}, build_rotary},
};

/* Tilings of matmul_tiled.comp that --sweep tries. */
static const struct tiling {
    pm_variant variant;
    uint32_t local[2], bm, bn, bk;
} tilings[] = {
    {PM_VARIANT_MATMUL_F32_F32_TILED, {16, 16}, 64, 64, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED, {16, 16}, 64, 64, 32},
    {PM_VARIANT_MATMUL_F32_F32_TILED, {8, 8}, 32, 32, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED, {8, 8}, 32, 32, 32},
    {PM_VARIANT_MATMUL_F32_F32_TILED, {16, 4}, 16, 64, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED, {16, 8}, 32, 64, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED8, {8, 8}, 64, 64, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED8, {8, 8}, 64, 64, 32},
    {PM_VARIANT_MATMUL_F32_F32_TILED8, {16, 8}, 64, 128, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED8, {16, 4}, 32, 128, 16},
    {PM_VARIANT_MATMUL_F32_F32_TILED8, {16, 16}, 128, 128, 16},
};

static void apply_tiling(pm_dispatch *d, const struct tiling *t) {
    pm_matmul_params p;
    memcpy(&p, d->params, sizeof p);
    d->variant = t->variant;
    d->spec[0] = t->local[0], d->spec[1] = t->local[1], d->spec[2] = 1;
    d->spec[3] = t->bm, d->spec[4] = t->bn, d->spec[5] = t->bk;
    d->groups[0] = (p.n + t->bn - 1) / t->bn;
    d->groups[1] = (p.m + t->bm - 1) / t->bm;
    d->groups[2] = p.batch[0] * p.batch[1] * p.batch[2];
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static pm_status fill_inputs(pm_loaded *l, const pm_program *p) {
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        uint64_t n = p->inputs[i].range.bytes / 4;
        uint32_t *words = pm_alloc(n * 4);
        if (!words) return PM_ERR_MEMORY;
        for (uint64_t j = 0; j < n; j++) {
            float f = (float)((j * 2654435761u) >> 8 & 0xffff) / 65536.0f - 0.5f;
            if (p->inputs[i].dtype == PM_F32)
                memcpy(&words[j], &f, 4);
            else
                words[j] = (uint32_t)(j * 37 % 1000);
        }
        pm_status s = pm_loaded_write(l, i, words, n * 4);
        pm_free(words);
        if (s != PM_OK) return s;
    }
    return PM_OK;
}

/* Median seconds of a run, after one run to warm up. */
static pm_status time_program(pm_executor *ex, const pm_program *p, double *out_seconds) {
    double seconds[MAX_RUNS], total = 0;
    size_t n = 0;
    pm_loaded *l = NULL;
    pm_status s = PM_OK;
    for (uint32_t e = 0; e < p->n_externals; e++)
        if (p->externals[e].kind == PM_EXTERNAL_WEIGHT)
            PM_GOTO(pm_executor_put(ex, p->externals[e].name, NULL, p->externals[e].bytes));
    PM_GOTO(pm_executor_load(ex, p, &l));
    PM_GOTO(fill_inputs(l, p));
    PM_GOTO(pm_loaded_run(l));
    while (n < MAX_RUNS && (n < 5 || total < 0.2)) {
        uint64_t start = pm_now_ns();
        PM_GOTO(pm_loaded_run(l));
        seconds[n] = (double)(pm_now_ns() - start) * 1e-9;
        total += seconds[n++];
    }
    qsort(seconds, n, sizeof *seconds, by_value);
    *out_seconds = seconds[n / 2];
fail:
    pm_loaded_unload(l);
    for (uint32_t e = 0; e < p->n_externals; e++)
        if (p->externals[e].kind == PM_EXTERNAL_WEIGHT) pm_executor_drop(ex, p->externals[e].name);
    return s;
}

static pm_status compile_case(const bench_case *c, pm_executor *ex, pm_program **out) {
    pm_graph *g = NULL;
    pm_compile_options options = {.caps = pm_executor_caps(ex)};
    pm_status s = pm_graph_create(c->name, &g);
    if (s != PM_OK) return s;
    pm_output(g, "y", c->build(g, c->size));
    s = pm_graph_status(g);
    if (s == PM_OK) s = pm_compile(g, &options, out);
    pm_graph_destroy(g);
    return s;
}

static void print_figure(const bench_case *c, double seconds, double first) {
    printf("  %9.3f ms %8.2f %-7s x%-6.2f", seconds * 1e3, c->work / seconds * 1e-9, c->unit,
           first / seconds);
    fflush(stdout);
}

static pm_status run_case(const bench_case *c, pm_executor *const *ex, size_t n, const struct tiling *t) {
    double first = 0;
    if (t)
        printf("  %ux%u tile %ux%ux%-8u", t->local[0], t->local[1], t->bm, t->bn, t->bk);
    else
        printf("%-28s", c->name);
    for (size_t i = 0; i < n; i++) {
        pm_program *p = NULL;
        double seconds = 0;
        pm_status s = compile_case(c, ex[i], &p);
        for (uint32_t d = 0; s == PM_OK && t && d < p->n_dispatches; d++)
            if (p->dispatches[d].kernel == PM_KERNEL_MATMUL) apply_tiling(&p->dispatches[d], t);
        if (s == PM_OK) s = time_program(ex[i], p, &seconds);
        pm_program_destroy(p);
        if (s != PM_OK) return s;
        if (i == 0) first = seconds;
        print_figure(c, seconds, first);
    }
    printf("\n");
    return PM_OK;
}

int main(int argc, char **argv) {
    pm_executor *ex[MAX_DEVICES] = {NULL};
    const char *only = "";
    bool sweep = false;
    size_t n = 0;
    pm_status s = PM_OK;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--sweep")) {
            sweep = true;
        } else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
            only = argv[++i];
        } else if (argv[i][0] == '-' || n == MAX_DEVICES) {
            fprintf(stderr, "usage: bench_ops [--only TEXT] [--sweep] DEVICE... (at most %d)\n", MAX_DEVICES);
            return PM_ERR_USAGE;
        } else {
            PM_GOTO(pm_executor_open(argv[i], NULL, &ex[n]));
            n++;
        }
    }
    if (n == 0) {
        PM_GOTO(pm_executor_open("cpu", NULL, &ex[0]));
        n = 1;
    }
    printf("%-28s", "median of runs");
    for (size_t i = 0; i < n; i++) printf("  %-37.37s", pm_executor_name(ex[i]));
    printf("\n");
    for (size_t i = 0; i < PM_COUNT(cases); i++) {
        if (!strstr(cases[i].name, only)) continue;
        PM_GOTO(run_case(&cases[i], ex, n, NULL));
        if (!sweep || (cases[i].build != build_linear && cases[i].build != build_product)) continue;
        for (size_t t = 0; t < PM_COUNT(tilings); t++) PM_GOTO(run_case(&cases[i], ex, n, &tilings[t]));
    }
fail:
    if (s != PM_OK) fprintf(stderr, "bench_ops: %s\n", pm_error_text());
    for (size_t i = 0; i < n; i++) pm_executor_close(ex[i]);
    return (int)s;
}
