/* See support_gguf.h. */
#include "tests/support_gguf.h"

#include <ctype.h>
#include <stdlib.h>

#include "models/convert.h"

/* A zeroed F32 tensor of `out`, or the one that is there. */
static float *room(pm_tensors *out, const char *name, int32_t rank, const int64_t *dims) {
    pm_array a = {.name = name, .dtype = PM_F32, .rank = rank};
    void *data = NULL;
    const pm_array *there = pm_tensors_get(out, name);
    if (there) return (float *)(uintptr_t)there->data;
    memcpy(a.dims, dims, (size_t)rank * sizeof *dims);
    a.bytes = pm_array_elems(&a) * sizeof(float);
    assert_ok(pm_tensors_add(out, &a, &data));
    return data;
}

/* ...experts.3.w1.weight as part 3 of ...experts.w1.weight. at: where "experts." stands. */
static void stack(pm_tensors *out, const pm_array *a, const char *at, int64_t n_experts) {
    char name[256], *rest;
    int64_t dims[3] = {n_experts, a->dims[0], a->dims[1]};
    uint64_t n = pm_array_elems(a);
    unsigned long i = strtoul(at + strlen("experts."), &rest, 10);
    assert_true(a->rank == 2 && (int64_t)i < n_experts);
    snprintf(name, sizeof name, "%.*sexperts%s", (int)(at - a->name), a->name, rest);
    memcpy(room(out, name, 3, dims) + i * n, a->data, n * sizeof(float));
}

/* Of [E,rows,columns] those columns that begin at `from` and are `step` apart, as [E,those,rows]. */
static void turn(pm_tensors *out, const char *name, const pm_array *a, int64_t from, int64_t step) {
    const int64_t rows = a->dims[1], columns = a->dims[2], n = columns / step;
    const float *in = a->data;
    float *to = room(out, name, 3, (int64_t[]){a->dims[0], n, rows});
    for (int64_t e = 0; e < a->dims[0]; e++)
        for (int64_t k = 0; k < n; k++)
            for (int64_t r = 0; r < rows; r++)
                to[(e * n + k) * rows + r] = in[(e * rows + r) * columns + k * step + from];
}

/* Biases [E,columns], chosen in the same way. */
static void choose(pm_tensors *out, const char *name, const pm_array *a, int64_t from, int64_t step) {
    const int64_t columns = a->dims[1], n = columns / step;
    float *to = room(out, name, 2, (int64_t[]){a->dims[0], n});
    for (int64_t i = 0; i < a->dims[0] * n; i++)
        to[i] = ((const float *)a->data)[i / n * columns + i % n * step + from];
}

/* One of gpt-oss's tensors of all experts. at: where "experts." stands. */
static void take_apart(pm_tensors *out, const pm_array *a, const char *at) {
    static const struct {
        const char *from, *to;
        int64_t begin, step;
    } parts[] = {{"gate_up_proj", "gate_proj", 0, 2},
                 {"gate_up_proj", "up_proj", 1, 2},
                 {"down_proj", "down_proj", 0, 1}};
    for (size_t i = 0; i < PM_COUNT(parts); i++) {
        char name[256];
        const char *rest = at + strlen("experts.");
        if (strncmp(rest, parts[i].from, strlen(parts[i].from)) != 0) continue;
        bool bias = a->rank == 2;
        snprintf(name, sizeof name, "%.*s%s.%s", (int)(rest - a->name), a->name, parts[i].to,
                 bias ? "bias" : "weight");
        (bias ? choose : turn)(out, name, a, parts[i].begin, parts[i].step);
    }
}

pm_tensors *test_join_experts(const pm_tensors *set, int64_t n_experts) {
    pm_tensors *out;
    assert_ok(pm_tensors_create(&out));
    for (size_t i = 0; i < pm_tensors_count(set); i++) {
        const pm_array *a = pm_tensors_at(set, i);
        const char *at = strstr(a->name, "experts.");
        if (!at)
            assert_ok(pm_tensors_add(out, a, NULL));
        else if (isdigit((unsigned char)at[strlen("experts.")]))
            stack(out, a, at, n_experts);
        else
            take_apart(out, a, at);
    }
    return out;
}
