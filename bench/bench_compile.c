/* How long the compiler takes on large graphs: optimizing, scheduling alone, planning, lowering; how far the plan is from its
 * lower bound, and what the order saved. */
#include "graph/compile.h"
#include "pumice/graph.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/bench_random.h"

enum { WIDTH = 64, HEADS = 4, INNER = 160, LENGTH = 32, VOCAB = 100, WIDEST = 512 };

/* ---- a decoder in primitives ---- */

static pm_tensor *weight(pm_graph *g, int64_t rows, int64_t columns) {
    static unsigned serial;
    char name[32];
    snprintf(name, sizeof name, "w%u", serial++);
    return pm_weight(g, name, PM_F32, rows ? 2 : 1, rows ? (int64_t[]){rows, columns} : &columns);
}

static pm_tensor *norm(pm_graph *g, pm_tensor *x) {
    pm_tensor *v = pm_add(g, pm_mean(g, pm_mul(g, x, x), -1), pm_const_f32(g, 1e-5f));
    return pm_mul(g, pm_mul(g, x, pm_rsqrt(g, v)), weight(g, 0, WIDTH));
}

static pm_tensor *heads(pm_graph *g, pm_tensor *x) {
    x = pm_reshape(g, x, 4, (int64_t[]){1, LENGTH, HEADS, WIDTH / HEADS});
    return pm_permute(g, x, (int[]){0, 2, 1, 3});
}

static pm_tensor *attention(pm_graph *g, pm_tensor *x) {
    pm_tensor *p[3];
    for (int i = 0; i < 3; i++) p[i] = heads(g, pm_matmul(g, x, weight(g, WIDTH, WIDTH)));
    pm_tensor *y = pm_matmul(g, pm_softmax(g, pm_matmul(g, p[0], p[1])), pm_transpose(g, p[2], -1, -2));
    y = pm_copy(g, pm_permute(g, y, (int[]){0, 2, 1, 3}));
    return pm_matmul(g, pm_reshape(g, y, 3, (int64_t[]){1, LENGTH, WIDTH}), weight(g, WIDTH, WIDTH));
}

static pm_tensor *feed_forward(pm_graph *g, pm_tensor *x) {
    pm_tensor *gate = pm_matmul(g, x, weight(g, INNER, WIDTH)),
              *up = pm_matmul(g, x, weight(g, INNER, WIDTH));
    return pm_matmul(g, pm_mul(g, pm_mul(g, gate, pm_sigmoid(g, gate)), up), weight(g, WIDTH, INNER));
}

static void make_decoder(pm_graph *g, size_t n) {
    pm_tensor *x =
        pm_gather(g, weight(g, VOCAB, WIDTH), pm_input(g, "ids", PM_I32, 2, (int64_t[]){1, LENGTH}));
    for (size_t made = 0; made < n; made += 45) { /* a layer has about so many tensors */
        x = pm_add(g, x, attention(g, norm(g, x)));
        x = pm_add(g, x, feed_forward(g, norm(g, x)));
    }
    pm_output(g, "y", x);
}

/* ---- rows of random widths, each made of two of the last fifty ---- */

static pm_tensor *widened(pm_graph *g, pm_tensor *x, int64_t width) {
    if (pm_tensor_dim(x, 1) == width) return x;
    return pm_matmul(g, x, weight(g, width, pm_tensor_dim(x, 1)));
}

static void make_random(pm_graph *g, size_t n) {
    pm_tensor *last[50] = {0};
    size_t made = 1;
    last[0] = pm_input(g, "x", PM_F32, 2, (int64_t[]){LENGTH, WIDTH});
    for (; made * 4 < n; made++) {
        size_t reach = made < PM_COUNT(last) ? made : PM_COUNT(last);
        pm_tensor *a = last[(made - 1 - below((uint32_t)reach)) % PM_COUNT(last)];
        pm_tensor *b = last[(made - 1 - below((uint32_t)reach)) % PM_COUNT(last)];
        int64_t width = 1 + below(WIDEST);
        last[made % PM_COUNT(last)] = pm_softmax(g, pm_add(g, widened(g, a, width), widened(g, b, width)));
    }
    pm_output(g, "y", last[(made - 1) % PM_COUNT(last)]);
}

/* ---- the table ---- */

static double since_ms(uint64_t start) {
    return (double)(pm_now_ns() - start) / 1e6;
}

static int measure(const char *name, void (*make)(pm_graph *g, size_t n), size_t n) {
    const pm_plan_limits limits = {.alignment = 256};
    pm_graph *g, *ordered = NULL;
    pm_compiled c = {0};
    pm_graph_plan plan = {0};
    uint64_t before = 0, after = 0, start;
    double ms[3] = {0};
    pm_status s = pm_graph_create(name, &g);
    if (s != PM_OK) return (int)s;
    random_state = n;
    make(g, n);
    start = pm_now_ns();
    s = pm_compile_stages(g, NULL, &c);
    ms[0] = since_ms(start);
    start = pm_now_ns();
    if (s == PM_OK) s = pm_schedule(c.fused, 1, &ordered);
    ms[1] = since_ms(start);
    start = pm_now_ns();
    if (s == PM_OK) s = pm_plan_graph(ordered, &limits, &plan);
    ms[2] = since_ms(start);
    if (s == PM_OK) s = pm_plan_peak(c.fused, limits.alignment, &before);
    if (s == PM_OK) s = pm_plan_peak(ordered, limits.alignment, &after);
    if (s == PM_OK)
        printf("%-8s %7zu %7zu %9.1f %9.1f %9.1f %8.4f %8.3f\n", name, g->n_items, c.fused->n_items, ms[0],
               ms[1], ms[2], (double)plan.result.arena_bytes / (double)plan.result.lower_bound_bytes,
               (double)after / (double)before);
    else
        fprintf(stderr, "bench_compile: %s\n", pm_error_text());
    pm_graph_plan_free(&plan);
    pm_graph_destroy(ordered);
    pm_compiled_free(&c);
    pm_graph_destroy(g);
    return (int)s;
}

int main(void) {
    static const size_t sizes[] = {1000, 10000};
    int code = 0;
    printf("%-8s %7s %7s %9s %9s %9s %8s %8s\n", "graph", "tensors", "fused", "all, ms", "order, ms",
           "plan, ms", "ratio", "peak");
    for (size_t i = 0; i < PM_COUNT(sizes) && !code; i++) {
        code = measure("decoder", make_decoder, sizes[i]);
        if (!code) code = measure("random", make_random, sizes[i]);
    }
    return code;
}
