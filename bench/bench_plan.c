/* How good and how fast the memory planner is: random and transformer-like interval sets, beside the two
 * usual greedy planners, or the problems in files. Ratio: arena bytes over the lower bound. */
#include "graph/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench_random.h"

#define ALIGNMENT 256u

/* ---- interval sets ---- */

static void make_random(pm_interval *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t a = below((uint32_t)n), b = below((uint32_t)n);
        v[i] = (pm_interval){
            .bytes = ALIGNMENT * (1 + below(4096)), .first = a < b ? a : b, .last = a < b ? b : a};
    }
}

static void make_short(pm_interval *v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t first = below((uint32_t)n);
        v[i] =
            (pm_interval){.bytes = ALIGNMENT * (1 + below(4096)), .first = first, .last = first + below(20)};
    }
}

/* Layers of a decoder: norm, q, k, v, attention, projection, sum, norm, gate, up, product, down, sum; an
 * output of each layer that lives to the end in every fourth one. The sizes differ, so that gaps do not fit
 * by themselves. */
static void make_transformer(pm_interval *v, size_t n) {
    static const struct {
        uint32_t kib, lives;
    } layer[] = {{96, 3}, {96, 3},  {32, 3},  {32, 2},  {96, 1}, {96, 1}, {96, 8},
                 {96, 2}, {260, 2}, {260, 1}, {260, 1}, {96, 1}, {96, 9}};
    for (size_t i = 0; i < n; i++) {
        size_t at = i % PM_COUNT(layer);
        uint32_t first = (uint32_t)i;
        v[i] = (pm_interval){.bytes = layer[at].kib * 1024ull + 256 * below(3),
                             .first = first,
                             .last = first + layer[at].lives};
        if (at == 12 && i / PM_COUNT(layer) % 4 == 0) v[i].last = (uint32_t)n;
    }
}

/* ---- the usual planners ---- */

static int by_size(const void *a, const void *b) {
    const pm_interval *x = *(const pm_interval *const *)a, *y = *(const pm_interval *const *)b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes ? -1 : 1) : x < y ? -1 : x > y;
}

static int by_first(const void *a, const void *b) {
    const pm_interval *x = *(const pm_interval *const *)a, *y = *(const pm_interval *const *)b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : x < y ? -1 : x > y;
}

typedef struct placed {
    const pm_interval *v;
    uint64_t low, high;
} placed;

/* One pass in one order: the tightest gap among those placed before. */
static uint64_t greedy(const pm_interval *v, size_t n, int (*order)(const void *, const void *)) {
    const pm_interval **turn = malloc(n * sizeof *turn);
    placed *done = malloc(n * sizeof *done); /* lowest first */
    uint64_t top = 0;
    if (!turn || !done) exit(PM_ERR_MEMORY);
    for (size_t i = 0; i < n; i++) turn[i] = &v[i];
    qsort(turn, n, sizeof *turn, order);
    for (size_t i = 0; i < n; i++) {
        uint64_t bytes = pm_align_up(turn[i]->bytes, ALIGNMENT), end = 0, at = UINT64_MAX, waste = UINT64_MAX;
        for (size_t k = 0; k < i; k++) {
            if (done[k].v->first > turn[i]->last || done[k].v->last < turn[i]->first) continue;
            if (done[k].low >= end + bytes && done[k].low - end - bytes < waste)
                at = end, waste = done[k].low - end - bytes;
            if (done[k].high > end) end = done[k].high;
        }
        if (at == UINT64_MAX) at = end;
        size_t k = i;
        for (; k > 0 && done[k - 1].low > at; k--) done[k] = done[k - 1];
        done[k] = (placed){.v = turn[i], .low = at, .high = at + bytes};
        if (at + bytes > top) top = at + bytes;
    }
    free(turn);
    free(done);
    return top;
}

/* ---- the table ---- */

static const pm_plan_limits limits = {.alignment = ALIGNMENT};

static int measure(const char *name, const pm_interval *v, size_t n) {
    pm_plan_result r;
    uint64_t best_ns = UINT64_MAX;
    for (int round = 0; round < 3; round++) {
        uint64_t start = pm_now_ns();
        pm_status s = pm_plan_intervals(v, n, &limits, &r);
        uint64_t ns = pm_now_ns() - start;
        if (s != PM_OK) return fprintf(stderr, "bench_plan: %s\n", pm_error_text()), (int)s;
        if (ns < best_ns) best_ns = ns;
        if (round < 2) pm_plan_result_free(&r);
    }
    double bound = r.lower_bound_bytes ? (double)r.lower_bound_bytes : 1;
    printf("%-12s %6zu %9.3f ms %8.4f %14.4f %14.4f\n", name, n, (double)best_ns / 1e6,
           (double)r.arena_bytes / bound, (double)greedy(v, n, by_size) / bound,
           (double)greedy(v, n, by_first) / bound);
    pm_plan_result_free(&r);
    return 0;
}

static int measure_made(const char *name, void (*make)(pm_interval *v, size_t n), size_t n) {
    pm_interval *v = malloc(n * sizeof *v);
    if (!v) return PM_ERR_MEMORY;
    random_state = n;
    make(v, n);
    int code = measure(name, v, n);
    free(v);
    return code;
}

/* A problem as `pumice dump --stage planned --format csv` writes it: id,lower,upper,size. */
static int measure_file(const char *path) {
    FILE *f = fopen(path, "r");
    pm_interval *v = NULL;
    size_t n = 0, capacity = 0;
    unsigned long long id, lower, upper, bytes;
    if (!f) return fprintf(stderr, "bench_plan: %s: cannot be read\n", path), PM_ERR_FILE;
    int code = fscanf(f, "id,lower,upper,size") == 0 ? 0 : PM_ERR_FILE, got = 0;
    while (!code && (got = fscanf(f, "%llu,%llu,%llu,%llu", &id, &lower, &upper, &bytes)) == 4) {
        if (lower >= upper || upper > UINT32_MAX) code = PM_ERR_FILE;
        if (!code && pm_grow((void **)&v, &capacity, n + 1, sizeof *v) != PM_OK) code = PM_ERR_MEMORY;
        if (!code)
            v[n++] = (pm_interval){.bytes = bytes, .first = (uint32_t)lower, .last = (uint32_t)upper - 1};
    }
    fclose(f);
    if (!code && got != EOF) code = PM_ERR_FILE;
    if (code == PM_ERR_FILE)
        fprintf(stderr, "bench_plan: %s: line %zu: expected id,lower,upper,size\n", path, n + 2);
    if (!code) code = measure(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, v, n);
    pm_free(v);
    return code;
}

int main(int argc, char **argv) {
    static const size_t sizes[] = {100, 1000, 10000};
    int code = 0;
    printf("%-12s %6s %12s %8s %14s %14s\n", "intervals", "n", "time", "ratio", "greedy by size",
           "greedy by first");
    for (int i = 1; i < argc && !code; i++) code = measure_file(argv[i]);
    for (size_t i = 0; i < PM_COUNT(sizes) && argc == 1; i++) {
        if (!code) code = measure_made("transformer", make_transformer, sizes[i]);
        if (!code) code = measure_made("short", make_short, sizes[i]);
        if (!code) code = measure_made("random", make_random, sizes[i]);
    }
    return code;
}
