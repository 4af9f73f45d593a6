/* Pictures as the tokens of a Transformer (blocks.h): patches through a linear layer, tokens of the model's own before
 * them, positions. Owns the resizing of position tables for pictures of other sizes. */
#include "models/blocks.h"

#include <math.h>
#include <stdio.h>

/* Patches of [B,H,R*P,S*P] as rows of numbers: [B,R*S,H*P*P]. Tensors have five dims, so that of several pictures patches are
 * cut out of every channel by itself first, and the channels of a patch put together then. */
static pm_tensor *cut(pm_build *b, const pm_patches *p, pm_tensor *pixels) {
    pm_graph *g = b->g;
    int64_t batch = pm_tensor_dim(pixels, 0), channels = p->channels, n = p->size;
    int64_t rows = pm_tensor_dim(pixels, 2) / n, columns = pm_tensor_dim(pixels, 3) / n;
    pm_tensor *x = pm_slice(g, pm_slice(g, pixels, 2, 0, rows * n), 3, 0, columns * n);
    if (batch == 1) {
        x = pm_reshape(g, x, 5, (int64_t[]){channels, rows, n, columns, n});
        x = pm_permute(g, x, (int[]){1, 3, 0, 2, 4});
        return pm_reshape(g, x, 3, (int64_t[]){1, rows * columns, channels * n * n});
    }
    x = pm_reshape(g, x, 4, (int64_t[]){batch * channels * rows, n, columns, n});
    x = pm_permute(g, x, (int[]){0, 2, 1, 3});
    x = pm_reshape(g, x, 4, (int64_t[]){batch, channels, rows * columns, n * n});
    x = pm_permute(g, x, (int[]){0, 2, 1, 3});
    return pm_reshape(g, x, 3, (int64_t[]){batch, rows * columns, channels * n * n});
}

/* A convolution whose stride is its size is a product. */
static pm_tensor *embed(pm_build *b, const pm_patches *p, int64_t width, pm_tensor *x) {
    int64_t numbers = p->channels * p->size * p->size;
    pm_tensor *w = pm_build_weight(b, p->linear.weight, 4, (int64_t[]){width, p->channels, p->size, p->size});
    x = pm_matmul(b->g, x, pm_reshape(b->g, w, 2, (int64_t[]){width, numbers}));
    return p->linear.bias ? pm_add(b->g, x, pm_build_weight(b, p->linear.bias, 1, &width)) : x;
}

static pm_tensor *lead_tokens(pm_build *b, const pm_lead *lead, int64_t batch, int64_t width) {
    int64_t dims[3] = {1, lead->n, width};
    pm_tensor *t = pm_build_weight(b, lead->name, lead->flat ? 1 : 3, lead->flat ? &width : dims);
    return pm_expand(b->g, t, 3, (int64_t[]){batch, lead->n, width});
}

/* ---- positions ---- */

/* [new,old], which a line of `old` points is resized by. */
static pm_tensor *resizing(pm_build *b, const pm_patches *p, int64_t to, int64_t from) {
    char name[48];
    snprintf(name, sizeof name, "positions.%s.%lld", p->smooth_positions ? "smooth" : "bicubic",
             (long long)from);
    pm_table table = {.name = name, .rows = to, .columns = from};
    table.fill = p->smooth_positions ? pm_fill_bicubic_smooth : pm_fill_bicubic;
    return pm_build_table(b, &table);
}

/* The table [R*S,C] for another number of patches: each column of it is resized, then each row. */
static pm_tensor *resized(pm_build *b, const pm_patches *p, pm_tensor *table, const int64_t to[2]) {
    pm_graph *g = b->g;
    int64_t c = pm_tensor_dim(table, 1);
    pm_tensor *x = pm_reshape(g, table, 2, (int64_t[]){p->rows, p->columns * c});
    x = pm_matmul(g, resizing(b, p, to[0], p->rows), pm_transpose(g, x, 0, 1));
    x = pm_reshape(g, x, 3, (int64_t[]){to[0], p->columns, c});
    x = pm_matmul(g, resizing(b, p, to[1], p->columns), pm_transpose(g, x, 1, 2));
    return pm_reshape(g, x, 2, (int64_t[]){to[0] * to[1], c});
}

/* [N,C] for n_lead tokens and to[0] x to[1] patches. */
static pm_tensor *positions(pm_build *b, const pm_patches *p, int64_t width, int64_t n_lead,
                            const int64_t to[2]) {
    pm_graph *g = b->g;
    int64_t n = n_lead + p->rows * p->columns, dims[3] = {1, n, width};
    pm_tensor *table =
        pm_build_weight(b, p->positions, p->flat_positions ? 2 : 3, p->flat_positions ? dims + 1 : dims);
    table = pm_reshape(g, table, 2, dims + 1);
    if (to[0] == p->rows && to[1] == p->columns) return table;
    pm_tensor *parts[] = {pm_slice(g, table, 0, 0, n_lead),
                          resized(b, p, pm_slice(g, table, 0, n_lead, p->rows * p->columns), to)};
    return pm_concat(g, 2, parts, 0);
}

static double cubic(double x, double a) {
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
}

/* Keys' cubic convolution (1981) with a = -0.75 at four points; points outside are the nearest inside. */
void pm_fill_bicubic(const pm_table *table, float *out) {
    int64_t from = table->columns;
    double scale = (double)from / (double)table->rows;
    for (int64_t i = 0; i < table->rows; i++, out += from) {
        double at = ((double)i + 0.5) * scale - 0.5, first = floor(at);
        for (int64_t k = 0; k < from; k++) out[k] = 0;
        for (int tap = -1; tap <= 2; tap++) {
            int64_t k = (int64_t)first + tap;
            k = k < 0 ? 0 : k < from ? k : from - 1;
            out[k] += (float)cubic(at - first - tap, -0.75);
        }
    }
}

/* The same with a = -0.5, stretched over what a new point covers; points outside do not count. */
void pm_fill_bicubic_smooth(const pm_table *table, float *out) {
    int64_t from = table->columns;
    double scale = (double)from / (double)table->rows, stretch = scale > 1 ? scale : 1;
    for (int64_t i = 0; i < table->rows; i++, out += from) {
        double at = ((double)i + 0.5) * scale - 0.5, sum = 0;
        for (int64_t k = 0; k < from; k++) sum += cubic(((double)k - at) / stretch, -0.5);
        for (int64_t k = 0; k < from; k++) out[k] = (float)(cubic(((double)k - at) / stretch, -0.5) / sum);
    }
}

/* ---- the whole ---- */

pm_tensor *pm_block_patches(pm_build *b, const pm_patches *p, const pm_stack *st, pm_tensor *pixels) {
    pm_graph *g = b->g;
    int64_t batch = pm_tensor_dim(pixels, 0), width = st->width, n_lead = 0;
    int64_t grid[2] = {pm_tensor_dim(pixels, 2) / p->size, pm_tensor_dim(pixels, 3) / p->size};
    pm_tensor *parts[3];
    int n = 0;
    if (!pixels) return NULL;
    for (size_t i = 0; i < PM_COUNT(p->lead) && p->lead[i].name; i++) {
        parts[n++] = lead_tokens(b, &p->lead[i], batch, width);
        n_lead += p->lead[i].n;
    }
    parts[n++] = embed(b, p, width, cut(b, p, pixels));
    pm_tensor *x = pm_concat(g, n, parts, 1);
    x = pm_add(g, x, positions(b, p, width, n_lead, grid));
    if (p->registers.name) {
        pm_tensor *with[] = {pm_slice(g, x, 1, 0, 1), lead_tokens(b, &p->registers, batch, width),
                             pm_slice(g, x, 1, 1, n_lead - 1 + grid[0] * grid[1])};
        x = pm_concat(g, 3, with, 1);
    }
    return p->norm.weight ? pm_block_norm(b, x, &(pm_norm){st->norm, st->eps, false}, &p->norm) : x;
}

pm_tensor *pm_block_token(pm_build *b, pm_tensor *x, int64_t i) {
    int64_t batch = pm_tensor_dim(x, 0), c = pm_tensor_dim(x, 2);
    return pm_reshape(b->g, pm_slice(b->g, x, 1, i, 1), 2, (int64_t[]){batch, c});
}
